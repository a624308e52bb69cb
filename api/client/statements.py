"""Where one SQL statement ends and the next begins, as DuckDB reads them: quotes, comments, dollar quotes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_NEXT = re.compile(r"""--|/\*|;|\$(?:[^\W\d]\w*)?\$|\$\w+|'|"|[^\W\d]\w*""")


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement without its semicolon; `line` is where it begins in the whole text, from 1."""

    text: str
    line: int


def split(text: str) -> tuple[list[Statement], str]:
    """The complete statements of `text`, and what is left after the last semicolon (unfinished, or only space)."""
    found, start = [], 0
    for end in _ends(text):
        piece = text[start:end]
        if has_words(piece):
            lead = len(piece) - len(piece.lstrip())
            found.append(Statement(piece.strip(), text.count("\n", 0, start + lead) + 1))
        start = end + 1
    return found, text[start:]


def everything(text: str) -> list[Statement]:
    """The statements of a whole file: its last one needs no semicolon."""
    found, rest = split(text)
    if has_words(rest):
        lead = len(rest) - len(rest.lstrip())
        found.append(Statement(rest.strip(), text.count("\n", 0, len(text) - len(rest) + lead) + 1))
    return found


def parameters_in(text: str) -> set[str]:
    """Names of the `$name` parameters that a statement uses."""
    return {text[start + 1 : end] for start, end in _marks(text) if text[start] == "$"}


def _ends(text: str) -> Iterator[int]:
    """Places of semicolons that end a statement."""
    return (start for start, _ in _marks(text) if text[start] == ";")


def _marks(text: str) -> Iterator[tuple[int, int]]:
    """Where semicolons and parameters stand, outside quotes and comments."""
    place, word = 0, (0, 0)
    while found := _NEXT.search(text, place):
        mark, place = found.group(), found.end()
        if mark[0] == ";" or (mark[0] == "$" and mark[-1] != "$"):
            yield found.span()
        elif mark[0] == "-":
            place = _after_line(text, place)
        elif mark[0] == "/":
            place = _after_comment(text, place)
        elif mark[0] in "'\"":
            escapes = word[1] == found.start() and text[word[0] : word[1]] in ("e", "E")
            place = _after_quote(text, mark, place, escapes=escapes)
        elif mark[0] == "$":
            place = _after(text, mark, place)
        else:
            word = found.span()


def _after(text: str, mark: str, place: int) -> int:
    found = text.find(mark, place)
    return len(text) if found < 0 else found + len(mark)


def _after_line(text: str, place: int) -> int:
    found = re.compile(r"[\r\n]").search(text, place)
    return found.end() if found else len(text)


def _after_quote(text: str, quote: str, place: int, *, escapes: bool) -> int:
    """Past the closing quote; a doubled quote is one of the text, and so is `\\'` in an `E'…'`."""
    pattern = r"\\.|''|'" if quote == "'" and escapes else quote * 2 + "|" + quote
    for found in re.compile(pattern, re.DOTALL).finditer(text, place):
        if found.group() == quote:
            return found.end()
    return len(text)


def _after_comment(text: str, place: int) -> int:
    """Past the end of a block comment; they nest."""
    depth = 1
    for found in re.compile(r"/\*|\*/").finditer(text, place):
        depth += 1 if found.group() == "/*" else -1
        if depth == 0:
            return found.end()
    return len(text)


def has_words(piece: str) -> bool:
    """Whether there is more than space and comments."""
    place = 0
    while place < len(piece):
        if piece.startswith("--", place):
            place = _after_line(piece, place)
        elif piece.startswith("/*", place):
            place = _after_comment(piece, place + 2)
        elif piece[place].isspace():
            place += 1
        else:
            return True
    return False
