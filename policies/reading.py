"""Reads a policy file into plain values and remembers the line of each.

YAML's habit of guessing types makes hand-written files go wrong without a sound, so scalars are resolved here and not
by the YAML library: only `true`, `false`, `null`, plain numbers and ISO dates are taken unquoted; look-alikes
(`yes`, `007`, `1_000`, `2026-01`, `12:30`) are refused with the line and the advice to quote them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from policies.problems import PolicyError, Problem
from policies.text import Text

Path = tuple[str | int, ...]

_KINDS_OF_VALUE = ("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "merge", "value")
_TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in _KINDS_OF_VALUE)
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_WORDS = {"true": True, "false": False, "null": None}
_GUESSED_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "~", ""}
_NUMBER_LIKE = re.compile(r"[-+.]?[0-9][0-9a-fA-FxXoO_.:eE+-]*|[-+]?\.(inf|nan)", re.IGNORECASE)

_QUOTE = Text(
    "“{value}”写法有歧义（可能被当作数字、日期或是/否）。文字请加引号；是/否只写 true 或 false",
    "'{value}' is ambiguous (number, date or yes/no?). Quote it if it is text; booleans are true or false only",
)
_TWICE = Text("字段“{key}”写了两次", "field '{key}' is written twice")
_PLAIN_ONLY = Text(
    "不允许使用 YAML 别名、合并键或自定义标签", "aliases, merge keys and tags of your own are not allowed"
)
_SYNTAX = Text("不是合法的 YAML：{reason}", "not valid YAML: {reason}")
_NOT_A_MAP = Text("文件应是“字段: 值”的列表", "the file should be a list of 'field: value' lines")


@dataclass(slots=True)
class Document:
    """A file as plain values: dict, tuple, str, int, float, bool, None, date; `lines` has the line of each path."""

    file: str
    data: dict[str, Any]
    lines: dict[Path, int]

    def line_of(self, path: Path) -> int:
        """The line of `path`, or of its nearest parent that is in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


@dataclass(slots=True)
class _Reader:
    file: str
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)

    def refuse(self, node: Any, path: Path, text: Text) -> None:
        self.problems.append(Problem(self.file, node.start_mark.line + 1, dotted(path), text))

    def value(self, node: Any, path: Path) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if id(node) in self.seen or str(node.tag) not in _TAGS:
            self.refuse(node, path, _PLAIN_ONLY)
        self.seen.add(id(node))  # an alias is the same node once more
        if node.id == "mapping":
            return self.mapping(node, path)
        if node.id == "sequence":
            return tuple(self.value(item, (*path, index)) for index, item in enumerate(node.value))
        return self.scalar(node, path)

    def mapping(self, node: Any, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            here = (*path, key)
            if key in found:
                self.refuse(key_node, here, _TWICE.fill(key=key))
            if key == "<<":
                self.refuse(key_node, here, _PLAIN_ONLY)
            self.lines[here] = key_node.start_mark.line + 1
            found[key] = self.value(value_node, here)
        return found

    def scalar(self, node: Any, path: Path) -> Any:
        written: str = node.value
        if node.style in {"'", '"', "|", ">"}:
            return written
        if written in _WORDS:
            return _WORDS[written]
        if _INTEGER.fullmatch(written):
            return int(written)
        if _DECIMAL.fullmatch(written):
            return float(written)
        if _DATE.fullmatch(written):
            return self.day(node, path, written)
        if written.lower() in _GUESSED_WORDS or _NUMBER_LIKE.fullmatch(written):
            self.refuse(node, path, _QUOTE.fill(value=written))
        return written

    def day(self, node: Any, path: Path, written: str) -> date | str:
        try:
            return date.fromisoformat(written)
        except ValueError:
            self.refuse(node, path, Text(f"日历上没有 {written} 这一天", f"there is no day {written}"))
            return written


def dotted(path: Path) -> str:
    """`("rules", 3, "parameters")` as `rules[4].parameters`: people count from one."""
    out = ""
    for part in path:
        out += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if out else part
    return out or "-"


def read(text: str, file: str, *, colons: bool = False) -> Document:
    """The document in `text`. Raises `PolicyError` with a line for every refused spot.

    `colons`: also read `a:b` unquoted inside braces, which only the library's own, slower scanner can.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        node = YAML(typ="safe", pure=colons).compose(text)
    except YAMLError as error:
        mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
        reason = getattr(error, "problem", None) or "unreadable"
        raise _invalid(file, [Problem(file, mark.line + 1 if mark else 1, "-", _SYNTAX.fill(reason=reason))]) from None
    if node is None or node.id != "mapping":
        raise _invalid(file, [Problem(file, 1, "-", _NOT_A_MAP)])
    reader = _Reader(file)
    data = reader.value(node, ())
    if reader.problems:
        raise _invalid(file, reader.problems)
    return Document(file, data, reader.lines)


def _invalid(file: str, problems: list[Problem]) -> PolicyError:
    return PolicyError(
        "policy.invalid",
        Text(f"规则文件 {file} 有 {len(problems)} 处错误", f"{len(problems)} mistake(s) in policy file {file}"),
        fix=Text("按所列行号逐处改正后再检查", "correct each listed line and check again"),
        problems=problems,
    )
