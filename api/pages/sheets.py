"""The files of an export as the officer sees them: tables with marked cells, texts, pictures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from api.pages.views import Mark, Sheet
from policies.text import Text
from policies.verdict import Finding, Outcome
from sandbox.exports.places import Place, parse
from sandbox.exports.spoken import place_text

_COVER = "＊＊＊"
_LONG_NUMBER = re.compile("[0-9]{6}")
_IN_TABLE = frozenset({"row", "column", "header"})


@dataclass(frozen=True, slots=True)
class TableView:
    """The first rows of a table; `of` is how many it has."""

    place: str
    title: Text
    sheet: Sheet
    of: int
    hidden: bool
    model: bool


@dataclass(frozen=True, slots=True)
class Preview:
    """What is shown: tables; (place, beginning, length) of texts; (place, address, width, height) of pictures; (place,
    kind) of what lies inside. A beginning or an address is None until somebody looks with a reason. `anchors`: rule →
    its first marked cell."""

    tables: tuple[TableView, ...]
    texts: tuple[tuple[Text, str | None, int], ...]
    pictures: tuple[tuple[Text, str | None, int, int], ...]
    parts: tuple[tuple[Text, str], ...]
    left_out: Mapping[str, int]
    anchors: Mapping[str, str]


def preview(sight: Mapping[str, Any], findings: Sequence[Finding], masked: str = "") -> Preview:
    """What was kept for people when the file was checked (`sandbox.exports.sight`).

    `masked`: what stays hidden until somebody looks with a reason: `marked` (text and long numbers of marked cells),
    `all` (of every cell), or nothing; with either, texts and pictures are hidden too.
    """
    tables = tuple(_table(one, n, findings, masked) for n, one in enumerate(sight["tables"]))
    anchors: dict[str, str] = {}
    for table in tables:
        for mark in table.sheet.marks:
            for rule in mark.rules:
                anchors.setdefault(rule, f"{table.sheet.anchor}cell-{mark.row}-{mark.column}")
    texts = tuple((place_text(t["place"]), None if masked else t["text"], t["length"]) for t in sight["texts"])
    pictures = tuple(
        (place_text(p["place"]), None if masked else f"data:image/png;base64,{p['png']}", p["width"], p["height"])
        for p in sight["pictures"]
    )
    parts = tuple((place_text(place), kind) for place, kind in sight["parts"])
    return Preview(tables, texts, pictures, parts, sight["left_out"], anchors)


def _table(told: Mapping[str, Any], number: int, findings: Sequence[Finding], masked: str) -> TableView:
    first, header = told["first_row"], tuple(told["header"])
    mine = [f for f in findings if _same_table(parse(f.place), parse(told["place"]))]
    rows = tuple(tuple(_value(cell) for cell in row) for row in told["rows"])
    marks = _marks(mine, header, first, len(rows))
    hit = {(m.row, m.column) for m in marks}
    hit |= {(row, column) for column in _whole_columns(mine, header) for row in range(len(rows))}
    sheet = Sheet(
        _headings(header, mine, masked), _masked(rows, hit, masked), marks, first, f"t{number + 1}-" if number else ""
    )
    return TableView(told["place"], place_text(told["place"]), sheet, told["of"], told["hidden"], told["model"])


def _same_table(found: Place, table: Place) -> bool:
    detail = tuple(one for one in found.detail if one[0] not in _IN_TABLE)
    return (found.file, found.members, detail) == (table.file, table.members, table.detail)


def _headings(header: tuple[str, ...], findings: Sequence[Finding], masked: str) -> tuple[str, ...]:
    """A heading in which a rule found something, or that is a row of values (a file without headings), is hidden as
    cells are."""
    if not masked:
        return header
    named = {int(n) for f in findings if (n := parse(f.place).get("header")) and n.isdecimal()}
    return tuple(_COVER if n in named or _LONG_NUMBER.search(name) else name for n, name in enumerate(header, 1))


def _masked(
    rows: tuple[tuple[object, ...], ...], marked: set[tuple[int, int]], which: str
) -> tuple[tuple[object, ...], ...]:
    """Numbers that are too short to name anybody stay: they are what is to be judged."""
    if not which:
        return rows
    return tuple(
        tuple(_COVER if (which == "all" or (r, c) in marked) and _tells(v) else v for c, v in enumerate(row))
        for r, row in enumerate(rows)
    )


def _tells(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, int) and abs(value) >= 10_000_000)


def spot(preview: Preview | None, place: str, cell: Mapping[str, Any]) -> str:
    """The anchor of a cell of the evidence in the table that is shown of it; empty where it is not shown."""
    shown = next((t.sheet for t in preview.tables if t.place == place), None) if preview else None
    if shown is None or cell["row"] >= shown.first_row + len(shown.rows):
        return ""
    return f"{shown.anchor}row-{cell['row']}"


def _value(cell: str | None) -> object:
    """A number as a number, so that its column aligns; codes with leading zeros stay text, an empty cell is a gap."""
    if not cell:
        return None
    if re.fullmatch(r"-?(0|[1-9]\d{0,14})", cell):
        return int(cell)
    return float(cell) if re.fullmatch(r"-?(0|[1-9]\d{0,14})\.\d{1,6}", cell) else cell


def _marks(findings: Sequence[Finding], header: Sequence[str], first: int, rows: int) -> tuple[Mark, ...]:
    """One mark a cell, with every rule that names it; the worst decides how it looks."""
    found: dict[tuple[int, int], list[Finding]] = {}
    for finding in findings:
        place = parse(finding.place)
        row, column = place.get("row"), _column(place, header)
        if row and row.isdecimal() and column is not None and first <= int(row) < first + rows:
            found.setdefault((int(row) - first, column), []).append(finding)
    return tuple(_mark(place, ones) for place, ones in sorted(found.items()))


def _mark(place: tuple[int, int], findings: Sequence[Finding]) -> Mark:
    worst = any(f.severity in (Outcome.BLOCK, Outcome.ERROR) for f in findings)
    severity: Literal["block", "review"] = "block" if worst else "review"
    notes = list(dict.fromkeys((f.text.zh, f.text.en) for f in findings))
    note = Text("；".join(zh for zh, _ in notes), "; ".join(en for _, en in notes))
    return Mark(*place, tuple(dict.fromkeys(f.rule for f in findings)), severity, note)


def _whole_columns(findings: Sequence[Finding], header: Sequence[str]) -> set[int]:
    """Columns that a finding names as a whole: detection says in which column people are, not in which row."""
    places = [parse(f.place) for f in findings]
    named = (_column(place, header) for place in places if place.get("row") is None)
    return {column for column in named if column is not None}


def _column(place: Place, header: Sequence[str]) -> int | None:
    """The column from 0 that a place names, by its name or by its number from 1."""
    name = place.get("column") or ""
    if name in header:
        return list(header).index(name)
    number = int(name) - 1 if name.isdecimal() else -1
    return number if 0 <= number < len(header) else None
