"""Results on a terminal, in a pipe or a file: one way to write rows for every `.mode`, a row at a time.

What people look at (table, box, line, markdown) is made safe for a terminal; csv and JSON carry the data itself, except
that a terminal never gets a control character.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, TextIO

from api.client.results import Column
from api.client.terminal import cut, neutral, pad, width

MODES = ("table", "box", "line", "markdown", "csv", "json", "jsonl")
_SAMPLE = 200
"""rows that decide the widths of columns; later, wider cells are cut"""
_WIDEST = 60


@dataclass(slots=True)
class Look:
    """How results are shown. `nullvalue` stands for NULL where people read; `terminal`: nothing may move the cursor."""

    mode: str = "table"
    headers: bool = True
    nullvalue: str = "NULL"
    terminal: bool = False


def write(columns: Sequence[Column], rows: Iterable[Sequence[Any]], look: Look, out: TextIO) -> None:
    """Write the rows as they come."""
    _WRITERS[look.mode](columns, rows, look, out)


def shown(value: Any, look: Look) -> str:
    """A value as people read it: NULL visible, one line, no control characters."""
    if value is None:
        return look.nullvalue
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return neutral(value)
    return neutral(json.dumps(value, ensure_ascii=False)) if isinstance(value, list | dict) else str(value)


def _grid(columns: Sequence[Column], rows: Iterable[Sequence[Any]], look: Look, out: TextIO, edges: _Edges) -> None:
    cells = ([cut(shown(v, look), _WIDEST) for v in row] for row in rows)
    sample = list(islice(cells, _SAMPLE))
    titles = [cut(neutral(c.name), _WIDEST) for c in columns]
    wide = [max([width(titles[i]) if look.headers else 1, *(width(r[i]) for r in sample)]) for i in range(len(titles))]
    right = [c.is_number for c in columns]

    def line(row: Sequence[str]) -> str:
        padded = [pad(cut(t, w), w, right=r) for t, w, r in zip(row, wide, right, strict=True)]
        return edges.left + edges.between.join(padded) + edges.right

    if edges.top:
        out.write(edges.rule(edges.top, wide))
    if look.headers:
        out.write(line(titles).rstrip() + "\n")
        out.write(edges.rule(edges.middle, wide))
    for row in chain(sample, cells):
        out.write(line(row).rstrip() + "\n")
    if edges.bottom:
        out.write(edges.rule(edges.bottom, wide))


@dataclass(frozen=True, slots=True)
class _Edges:
    left: str
    between: str
    right: str
    top: str
    middle: str
    bottom: str

    def rule(self, marks: str, wide: Sequence[int]) -> str:
        """A horizontal line: left corner, filling, crossing, right corner."""
        if len(marks) == 4:
            return marks[0] + marks[2].join(marks[1] * (w + 2) for w in wide) + marks[3] + "\n"
        return marks[1:].join(marks[0] * w for w in wide) + "\n"


_TABLE = _Edges("", "  ", "", "", "─  ", "")
_BOX = _Edges("│ ", " │ ", " │", "┌─┬┐", "├─┼┤", "└─┴┘")


def _table(columns: Sequence[Column], rows: Iterable[Sequence[Any]], look: Look, out: TextIO) -> None:
    _grid(columns, rows, look, out, _TABLE)


def _box(columns: Sequence[Column], rows: Iterable[Sequence[Any]], look: Look, out: TextIO) -> None:
    _grid(columns, rows, look, out, _BOX)


def _line(columns: Sequence[Column], rows: Iterable[Sequence[Any]], look: Look, out: TextIO) -> None:
    names = [neutral(c.name) for c in columns]
    wide = max(map(width, names), default=0)
    for number, row in enumerate(rows):
        out.write("\n" if number else "")
        for name, value in zip(names, row, strict=True):
            out.write(f"{pad(name, wide, right=True)} = {shown(value, look)}\n")


def _markdown(columns: Sequence[Column], rows: Iterable[Sequence[Any]], look: Look, out: TextIO) -> None:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(re.sub(r"([\\|`*_<])", r"\\\1", cell) for cell in cells) + " |\n"

    out.write(line(neutral(c.name) for c in columns))
    out.write("|" + "|".join("---:" if c.is_number else "---" for c in columns) + "|\n")
    for row in rows:
        out.write(line(shown(value, look) for value in row))


def _csv(columns: Sequence[Column], rows: Iterable[Sequence[Any]], look: Look, out: TextIO) -> None:
    """RFC 4180; NULL is an empty field and an empty text is `""`, so that both can be told apart."""
    if look.headers:
        out.write(_csv_line([c.name for c in columns], look))
    for row in rows:
        out.write(_csv_line(row, look))


def _csv_line(row: Sequence[Any], look: Look) -> str:
    fields = []
    for value in row:
        text = "" if value is None else value if isinstance(value, str) else shown(value, look)
        if look.terminal:
            text = neutral(text)
        quoted = value == "" or any(c in text for c in ',"\r\n')
        fields.append('"' + text.replace('"', '""') + '"' if quoted else text)
    return ",".join(fields) + "\n"


def _json(columns: Sequence[Column], rows: Iterable[Sequence[Any]], look: Look, out: TextIO) -> None:
    before = "["
    for row in rows:
        out.write(before + _object(columns, row))
        before = ",\n "
    out.write("]\n" if before != "[" else "[]\n")


def _jsonl(columns: Sequence[Column], rows: Iterable[Sequence[Any]], look: Look, out: TextIO) -> None:
    for row in rows:
        out.write(_object(columns, row) + "\n")


def _object(columns: Sequence[Column], row: Sequence[Any]) -> str:
    """One JSON object; of columns with one name, later ones are numbered so that none is lost."""
    named: dict[str, Any] = {}
    for column, value in zip(columns, row, strict=True):
        name, number = column.name, 2
        while name in named:
            name, number = f"{column.name}_{number}", number + 1
        named[name] = value
    return json_text(named)


_UNSEEN = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def json_text(value: Any) -> str:
    """JSON in which Chinese stays readable and every control character is an escape."""
    text = json.dumps(value, ensure_ascii=False)
    return _UNSEEN.sub(lambda m: f"\\u{ord(m.group()):04x}", text)


_WRITERS: dict[str, Callable[[Sequence[Column], Iterable[Sequence[Any]], Look, TextIO], None]] = {
    "table": _table, "box": _box, "line": _line, "markdown": _markdown, "csv": _csv, "json": _json, "jsonl": _jsonl,
}  # fmt: skip
