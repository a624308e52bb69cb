"""The file of an export as the officer sees it: its rows, with the cells that triggered rules marked."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from api.pages.views import Mark, Sheet
from policies.text import Text
from policies.verdict import Finding, Outcome

MOST_ROWS = 500
_ROW = re.compile(r"row=(\d+)")
_COLUMN = re.compile(r"column=([^;]+)$")


@dataclass(frozen=True, slots=True)
class Preview:
    """The first rows of the file, and rule → anchor of its first marked cell."""

    sheet: Sheet
    rows: int
    anchors: Mapping[str, str]


def preview(content: bytes, findings: Sequence[Finding], masked: str = "") -> Preview | None:
    """The CSV that the platform wrote (UTF-8 with BOM); None for bytes that are not such a table.

    `masked`: what stays hidden until somebody looks with a reason: `marked` (text and long numbers of marked cells),
    `all` (of every cell), or nothing.
    """
    try:
        rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error):
        return None
    if not rows or not rows[0]:
        return None
    header, body = tuple(rows[0]), rows[1:]
    kept = tuple(tuple(_value(c) for c in _padded(r, len(header))) for r in body[:MOST_ROWS])
    marks = _marks(findings, header, len(kept))
    hit = {(m.row, m.column) for m in marks}
    hit |= {(row, column) for column in _whole_columns(findings, header) for row in range(len(kept))}
    kept = _masked(kept, hit, masked)
    anchors = {rule: f"cell-{m.row}-{m.column}" for m in reversed(marks) for rule in m.rules}
    return Preview(Sheet(header, kept, tuple(marks)), len(body), anchors)


def _masked(
    rows: tuple[tuple[object, ...], ...], marked: set[tuple[int, int]], which: str
) -> tuple[tuple[object, ...], ...]:
    """Numbers that are too short to name anybody stay: they are what is to be judged."""
    if not which:
        return rows
    return tuple(
        tuple("＊＊＊" if (which == "all" or (r, c) in marked) and _tells(v) else v for c, v in enumerate(row))
        for r, row in enumerate(rows)
    )


def _tells(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, int) and abs(value) >= 10_000_000)


def spot(preview: Preview | None, file: str, place: str, cell: Mapping[str, Any]) -> str:
    """The anchor of a cell of the evidence in the file that is shown; empty where it is not shown."""
    if preview is None or place != file or cell["row"] > len(preview.sheet.rows):
        return ""
    return f"row-{cell['row']}"


def _padded(row: Sequence[str], width: int) -> list[str]:
    return [*row[:width], *[""] * (width - len(row))]


def _value(cell: str) -> object:
    """A number as a number, so that its column aligns; codes with leading zeros stay text, an empty cell is a gap."""
    if not cell:
        return None
    if re.fullmatch(r"-?(0|[1-9]\d{0,14})", cell):
        return int(cell)
    return float(cell) if re.fullmatch(r"-?(0|[1-9]\d{0,14})\.\d{1,6}", cell) else cell


def _marks(findings: Sequence[Finding], header: Sequence[str], rows: int) -> list[Mark]:
    """One mark a cell, with every rule that names it; the worst decides how it looks."""
    found: dict[tuple[int, int], list[Finding]] = {}
    for finding in findings:
        place = _place(finding.place, header)
        if place is not None and place[0] < rows:
            found.setdefault(place, []).append(finding)
    return [_mark(place, ones) for place, ones in sorted(found.items())]


def _mark(place: tuple[int, int], findings: Sequence[Finding]) -> Mark:
    worst = any(f.severity in (Outcome.BLOCK, Outcome.ERROR) for f in findings)
    severity: Literal["block", "review"] = "block" if worst else "review"
    notes = list(dict.fromkeys((f.text.zh, f.text.en) for f in findings))
    note = Text("；".join(zh for zh, _ in notes), "; ".join(en for _, en in notes))
    return Mark(*place, tuple(dict.fromkeys(f.rule for f in findings)), severity, note)


def _whole_columns(findings: Sequence[Finding], header: Sequence[str]) -> set[int]:
    """Columns that a finding names as a whole: detection says in which column people are, not in which row."""
    named = (_column(f.place, header) for f in findings if not _ROW.search(f.place))
    return {column for column in named if column is not None}


def _place(place: str, header: Sequence[str]) -> tuple[int, int] | None:
    """Row and column from 0 of "file#row=3;column=人次" (data rows from 1; a column by name or by number from 1)."""
    row, column = _ROW.search(place), _column(place, header)
    return None if row is None or column is None else (int(row.group(1)) - 1, column)


def _column(place: str, header: Sequence[str]) -> int | None:
    """The column from 0 that a place names, by its name or by its number from 1."""
    found = _COLUMN.search(place)
    name = found.group(1) if found else ""
    if name in header:
        return list(header).index(name)
    number = int(name) - 1 if name.isdigit() else -1
    return number if 0 <= number < len(header) else None
