"""Words of a SQL text, without parsing it: for statements DuckDB gives no tree for, and for texts it cannot parse.

Follows DuckDB's own rules for strings, quoted names, dollar quotes and nested comments. Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["word", "quoted", "string", "number", "parameter", "sign", "comment", "open"]
_TOKEN = re.compile(
    r"""(?P<comment>--[^\n]*|/\*)
      | (?P<dollar>\$(?P<tag>[^\W\d]\w*)?\$)
      | (?P<parameter>\$\w+|\?\d*)
      | (?P<escaped>[eE]'(?:[^'\\]|''|\\.)*(?P<escaped_end>')?)
      | (?P<string>'(?:[^']|'')*(?P<string_end>')?)
      | (?P<quoted>"(?:[^"]|"")*(?P<quoted_end>")?)
      | (?P<number>\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?|\.\d+)
      | (?P<word>[^\s\d"'`$?(),;.:+\-*/%<>=!~&|^@\#\[\]{}\\][^\s"'`?(),;.:+\-*/%<>=!~&|^@\#\[\]{}\\]*)
      | (?P<sign>\S)""",
    re.VERBOSE | re.DOTALL,
)
_BARE = re.compile(r"[^\W\d]\w*")


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` "open" is a string, quoted name or comment without its end. Places count characters."""

    kind: Kind
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @property
    def name(self) -> str:
        """The identifier it stands for."""
        return self.text[1:-1].replace('""', '"') if self.kind == "quoted" else self.text


def tokens(sql: str) -> Iterator[Token]:
    """The tokens of `sql` in order, comments among them."""
    place = 0
    while found := _TOKEN.search(sql, place):
        token = _token(sql, found)
        yield token
        place = token.end


def plain(sql: str) -> str:
    """`sql` without comments and with empty strings, each replaced by blanks of the same length."""
    out = list(sql)
    for token in tokens(sql):
        if token.kind in ("comment", "string", "open"):
            out[token.start : token.end] = " " * len(token.text)
    return "".join(out)


def quoted(name: str) -> str:
    """The name as it is written in SQL: bare where it may be, else in double quotes."""
    return name if _BARE.fullmatch(name) else '"' + name.replace('"', '""') + '"'


def _token(sql: str, found: re.Match[str]) -> Token:
    start, text = found.start(), found.group()
    if found["comment"]:
        return Token("comment", text, start) if text.startswith("--") else _comment(sql, start)
    if found["dollar"]:
        end = sql.find(text, found.end())
        return Token("open", sql[start:], start) if end < 0 else Token("string", sql[start : end + len(text)], start)
    for kind, group, closed in (("string", "string", "string_end"), ("string", "escaped", "escaped_end"),
                                ("quoted", "quoted", "quoted_end")):  # fmt: skip
        if found[group]:
            return Token(kind if found[closed] else "open", text, start)  # type: ignore[arg-type]
    kind = next(k for k in ("parameter", "number", "word", "sign") if found[k])
    return Token(kind, text, start)  # type: ignore[arg-type]


def _comment(sql: str, start: int) -> Token:
    depth, place = 1, start + 2
    while depth:
        opens, closes = sql.find("/*", place), sql.find("*/", place)
        if closes < 0:
            return Token("open", sql[start:], start)
        if 0 <= opens < closes:
            depth, place = depth + 1, opens + 2
        else:
            depth, place = depth - 1, closes + 2
    return Token("comment", sql[start:place], start)
