"""Workbooks: cells and merges by calamine or `spreadsheetml`; number formats by openpyxl, only where leading zeros may
hide in them."""

from __future__ import annotations

import datetime as dt
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from pipelines.reading.archive import refuse_bomb
from pipelines.reading.dialect import Record
from pipelines.reading.findings import ReadFinding, finding, refusal
from pipelines.reading.fit import Difference, refuse
from pipelines.reading.landing import Shape, Sink
from pipelines.reading.layout import Layout
from pipelines.reading.limits import MAX_SHEET_CELLS
from pipelines.reading.placement import place, with_last
from pipelines.reading.recipe import Recipe
from pipelines.reading.sheetxml import SheetFacts, largest_ods_table, sheet_facts
from pipelines.reading.source import Survey, blocks
from pipelines.reading.spreadsheetml import Sheet, is_spreadsheetml, sheets
from pipelines.reading.textfile import Landed, counted_findings

_LARGEST = 512 * 1024**2
_LARGEST_UNPACKED = 4 * 1024**3
_SAMPLE = 5000
_BATCH = 20_000
_LONG = 1e15
_ZEROS = re.compile(r"0{2,}")
Merge = tuple[tuple[int, int], tuple[int, int]]


def read_workbook(
    seen: Survey, name: str, recipes: Sequence[Recipe], digest: str, folder: Callable[[], Path]
) -> Iterator[Landed]:
    """Every visible sheet with cells is a table, or those the recipes name; the others are named in findings.

    Raises:
        UserError: too large, encrypted, damaged, or without the sheet of a recipe.
    """
    import python_calamine as calamine

    if seen.size > _LARGEST:
        raise refusal("too_large", name=seen.path.name, limit=f"{_LARGEST >> 20} MB")
    if zipfile.is_zipfile(seen.path):
        refuse_bomb(seen.path, _LARGEST_UNPACKED)
        _refuse_cells(largest_ods_table(seen.path), seen.path.name)
    try:
        shown, sheet_of = open_book(seen.path)
        wanted, notes = _wanted(shown, recipes, digest)
        facts = {s: _refuse_far_cells(seen.path, s) for s, _ in wanted}
        read = [(s, sheet_of(s), hints) for s, hints in wanted]
    except calamine.PasswordError:
        raise refusal("encrypted", name=seen.path.name) from None
    except calamine.CalamineError:
        raise refusal("broken_file", name=seen.path.name) from None
    full = [(s, sheet, hints) for s, sheet, hints in read if sheet.height and sheet.width]
    notes += [finding("empty_sheet", sheet=s) for s, sheet, _ in read if not (sheet.height and sheet.width)]
    for sheet_name, sheet, hints in full:
        table = name if len(full) == 1 else f"{name}/{sheet_name}"
        seen_in = sheet.facts if isinstance(sheet, Sheet) else facts[sheet_name]
        empty = {"formulas_without_value": seen_in.empty_formulas, "error_cells": seen_in.errors}
        told = [*notes, *(finding(code, n=n) for code, n in empty.items() if n)]
        yield _read_sheet(seen, sheet_name, sheet, table, hints, digest, folder(), told)


def open_book(path: Path) -> tuple[dict[str, bool], Callable[[str], Any]]:
    """The names of the sheets with whether each is shown, and how to get one by its name."""
    import python_calamine as calamine

    if is_spreadsheetml(next(blocks(path), b"")):
        parsed = sheets(path)
        return {name: sheet.visible for name, sheet in parsed.items()}, parsed.__getitem__
    book = calamine.CalamineWorkbook.from_path(str(path))
    shown = {m.name: m.visible == calamine.SheetVisibleEnum.Visible for m in book.sheets_metadata}
    return shown, book.get_sheet_by_name


def _refuse_far_cells(path: Path, sheet: str) -> SheetFacts:
    """Raises `reading.too_many_cells` where a stray cell far away would make a small file take all memory."""
    facts = sheet_facts(path, sheet)
    _refuse_cells(facts.rows * facts.columns, sheet)
    return facts


def _refuse_cells(cells: int, sheet: str) -> None:
    if cells > MAX_SHEET_CELLS:
        raise refusal("too_many_cells", sheet=sheet, n=f"{cells:,}", limit=f"{MAX_SHEET_CELLS:,}")


def _wanted(
    sheets: dict[str, bool], recipes: Sequence[Recipe], digest: str
) -> tuple[list[tuple[str, Recipe]], list[ReadFinding]]:
    """The sheets to read with their recipes. A stored recipe's sheet may be called otherwise if there is only one."""
    visible = [s for s, shown in sheets.items() if shown]
    named = [r for r in recipes if r.sheet is not None]
    if not named:
        notes = [finding("hidden_sheet", sheet=s) for s, shown in sheets.items() if not shown]
        return [(s, recipes[0] if recipes else Recipe()) for s in visible], notes
    wanted: list[tuple[str, Recipe]] = []
    notes = []
    for recipe in named:
        sheet = recipe.sheet or ""
        if sheet not in sheets:
            if not recipe.binds(digest):
                raise refusal("no_work_left", what=sheet)
            alone = len(visible) == len(named) == 1
            now = "、".join(visible)
            refuse([change := Difference("sheet_renamed" if alone else "sheet", sheet, now)])
            notes.append(change.finding())
            sheet = now
        wanted.append((sheet, recipe))
    unread = [s for s in visible if s not in dict(wanted)]
    return wanted, [*notes, *([finding("parts_not_read", parts="、".join(unread))] if unread else [])]


def _read_sheet(
    seen: Survey,
    sheet_name: str,
    sheet: Any,
    table: str,
    hints: Recipe,
    digest: str,
    folder: Path,
    notes: list[ReadFinding],
) -> Landed:
    grid, merges, left = sheet_grid(sheet)
    width = max((i + 1 for row in grid for i, c in enumerate(row) if c not in ("", None)), default=0)
    filled = [i for i, row in enumerate(grid) if any(c not in ("", None) for c in row)]
    if not filled:
        raise refusal("no_table", name=f"{seen.path.name}/{sheet_name}")
    spanning = {a[0] for a, b in merges if a[0] == b[0] and a[1] == 0 and b[1] >= min(width - 1, 1) and width > 1}
    texts = {i: [cell_text(c) for c in grid[i][:width]] for i in filled}
    rows = [Record(i + 1, 1, texts[i]) for i in filled[:_SAMPLE]]
    merged = {k for k, i in enumerate(filled[:_SAMPLE]) if i in spanning}
    placed = place(rows, width, hints, Recipe(format="excel"), digest=digest, merged=merged)
    body = filled[placed.layout.titles + placed.layout.header :]
    if placed.layout.ghost and (late := sum(bool(texts[i][width - 1].strip()) for i in body)):
        placed = with_last(placed, late, hints, digest)
    laid = replace(placed.layout, names=list(placed.names))
    findings = [*notes, *placed.findings, *_sheet_findings(grid, body, width)]
    findings += _fill_down(texts, merges, body)
    findings += _restore_zeros(seen, sheet_name, grid, left, texts, body, width)
    sections = laid.sections or any(i in spanning for i in body)
    sink = land_rows(texts, body, spanning, laid, sections and hints.section_rows, hints, folder)
    count_rows(sink, len(grid), filled, laid)
    update = {"format": "excel", "sheet": sheet_name, "section_rows": hints.section_rows}
    recipe = placed.recipe(hints).model_copy(update=update)
    return Landed(table, recipe, sink, [*findings, *counted_findings(sink)], {})


def sheet_grid(sheet: Any) -> tuple[list[list[Any]], list[Merge], int]:
    """Cells and merges of a sheet without the empty columns left of its table, and how many those were."""
    grid = sheet.to_python(skip_empty_area=False)
    merges: list[Merge] = list(sheet.merged_cell_ranges or [])
    filled = [[i for i, c in enumerate(row) if c not in ("", None)] for row in grid]
    first = next((i for i, places in enumerate(filled) if len(places) > 1), 0)
    left = min((places[0] for places in filled[first:] if places), default=0)
    if left:
        # A title above may begin further left than the table: its cell moves in, it is not lost.
        grid = [
            [row[places[0]], *row[left + 1 :]] if places and places[0] < left else row[left:]
            for row, places in zip(grid, filled, strict=True)
        ]
        merges = [((a, max(0, b - left)), (c, d - left)) for (a, b), (c, d) in merges if d >= left]
    return grid, merges, left


def cell_text(value: Any) -> str:
    """The text of a cell: whole numbers without a fraction, dates in ISO form."""
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() else repr(value)
    if isinstance(value, dt.datetime):
        plain = value.time() == dt.time(0)
        return value.date().isoformat() if plain else value.isoformat(" ")
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return str(value)


def land_rows(
    texts: dict[int, list[str]],
    body: Sequence[int],
    spanning: set[int],
    laid: Layout,
    sections: bool,
    hints: Recipe,
    folder: Path,
) -> Sink:
    """Land the rows `body` of a sheet; `spanning` are rows that one cell spans."""
    shape = Shape(
        tuple(laid.names), tuple(laid.header_cells) if laid.header < 2 else (), laid.first_kind, sections,
        hints.repeated_headers, hints.footer_rows, laid.ghost, laid.trim,
    )  # fmt: skip
    sink = Sink(folder, shape)
    columns = [f"c{i}" for i in range(len(shape.names))]
    for start in range(0, len(body), _BATCH):
        part = body[start : start + _BATCH]
        cells = [texts[i][: len(columns)] for i in part]
        frame = pl.DataFrame(cells, schema=dict.fromkeys(columns, pl.String), orient="row")
        sink.add(frame, [k for k, i in enumerate(part) if i in spanning])
    sink.finish()
    return sink


def count_rows(sink: Sink, rows: int, filled: Sequence[int], laid: Layout) -> None:
    """Sheet rows under their headings; line breaks inside cells are no rows of a sheet."""
    account = sink.accounting
    account.lines = rows
    account.preamble, account.header = laid.titles, laid.header
    account.blank += rows - len(filled)
    account.balance()


def _sheet_findings(grid: list[list[Any]], body: Sequence[int], width: int) -> list[ReadFinding]:
    damaged = numbers = 0
    for k in range(width):
        cells = [grid[i][k] for i in body]
        damaged += sum(isinstance(c, float) and abs(c) >= _LONG for c in cells)
        dates = sum(isinstance(c, dt.date) for c in cells)
        plain = sum(isinstance(c, float) for c in cells)
        numbers += plain if dates > plain else 0
    out = [finding("damaged_long_number", n=damaged)] if damaged else []
    return [*out, finding("dates_and_numbers", n=numbers)] if numbers else out


def _fill_down(texts: dict[int, list[str]], merges: list[Merge], body: Sequence[int]) -> list[ReadFinding]:
    """A cell merged over several records holds for each of them."""
    rows = set(body)
    done = 0
    for (top, left), (bottom, right) in merges:
        if bottom > top and left == right and top in rows and left < len(texts[top]):
            below = [i for i in range(top + 1, bottom + 1) if i in rows]
            for i in below:
                texts[i][left] = texts[top][left]
            done += bool(below)
    return [finding("merged_filled", n=done)] if done else []


def _restore_zeros(
    seen: Survey,
    sheet: str,
    grid: list[list[Any]],
    left: int,
    texts: dict[int, list[str]],
    body: Sequence[int],
    width: int,
) -> list[ReadFinding]:
    """A number shown by the format `000000` is a code whose zeros only the format knows."""
    whole = [
        k for k in range(width) if any(isinstance(grid[i][k], float) and grid[i][k].is_integer() for i in body[:200])
    ]
    if not whole or not body or not zipfile.is_zipfile(seen.path):
        return []
    lengths = _zero_formats(seen.path, sheet, body[0] + 1, [k + left for k in whole])
    for k, length in ((at - left, n) for at, n in lengths.items()):
        for i in body:
            if isinstance(grid[i][k], float) and grid[i][k].is_integer() and grid[i][k] >= 0:
                texts[i][k] = texts[i][k].zfill(length)
    return [finding("restored_zeros")] if lengths else []


def _zero_formats(path: Path, sheet: str, first: int, columns: Sequence[int]) -> dict[int, int]:
    """Columns whose first 200 numbers all have one format of zeros only, with its length."""
    import openpyxl

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return {}
    try:
        formats: dict[int, set[str]] = {k: set() for k in columns}
        for row in book[sheet].iter_rows(min_row=first, max_row=first + 199):
            for k in columns:
                if k < len(row) and isinstance(row[k].value, int | float):
                    formats[k].add(row[k].number_format)
    finally:
        book.close()
    return {k: len(next(iter(f))) for k, f in formats.items() if len(f) == 1 and _ZEROS.fullmatch(next(iter(f)))}
