"""Tables of an HTML page: what many systems call an .xls file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

from pipelines.reading.dialect import Record
from pipelines.reading.excel import count_rows, land_rows
from pipelines.reading.findings import ReadFinding, refusal
from pipelines.reading.limits import refuse_wide
from pipelines.reading.placement import place, with_last
from pipelines.reading.recipe import Recipe
from pipelines.reading.source import Survey
from pipelines.reading.textfile import Landed, counted_findings

_LARGEST = 256 * 1024**2
_BLOCK = 1 << 20
_SAMPLE = 5000
Grid = list[list[str]]


class _Tables(HTMLParser):
    """Collects the cells of every outermost table; a cell that spans columns stands in the first of them, one that
    spans rows holds for each."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: list[tuple[Grid, set[int]]] = []
        self._depth = 0
        self._cell: list[str] | None = None
        self._span = (1, 1)
        self._below: dict[int, tuple[int, str]] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self._depth += 1
            if self._depth == 1:
                self.tables.append(([], set()))
                self._below = {}
        elif self._depth != 1:
            return
        elif tag == "tr":
            self._close()
            self.tables[-1][0].append([])
        elif tag in ("td", "th"):
            self._close()
            if not self.tables[-1][0]:
                self.tables[-1][0].append([])
            given = dict(attrs)
            self._cell, self._span = [], (_span(given.get("colspan")), _span(given.get("rowspan")))
        elif tag == "br" and self._cell is not None:
            self._cell.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == "table" and self._depth:
            if self._depth == 1:
                self._close()
            self._depth -= 1
        elif tag in ("td", "th", "tr") and self._depth == 1:
            self._close()

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)

    def _close(self) -> None:
        if self._cell is None:
            return
        grid, spanning = self.tables[-1]
        row = grid[-1]
        self._from_above(row)
        text = "\n".join(" ".join(line.split()) for line in "".join(self._cell).split("\n")).strip()
        columns, rows = self._span
        if not row and columns > 2:
            spanning.add(len(grid) - 1)
        for k in range(columns):
            if rows > 1:
                self._below[len(row)] = (rows - 1, "" if k else text)
            row.append("" if k else text)
        refuse_wide(len(row))
        self._cell = None
        self._from_above(row)

    def _from_above(self, row: list[str]) -> None:
        while (held := self._below.pop(len(row), None)) is not None and held[0] > 0:
            self._below[len(row)] = (held[0] - 1, held[1])
            row.append(held[1])


def _span(value: str | None) -> int:
    return min(int(value), 1000) if value and value.isdecimal() and int(value) > 0 else 1


def refuse_large(seen: Survey) -> None:
    """Raises `reading.too_large`: a page is held in memory."""
    if seen.size > _LARGEST:
        raise refusal("too_large", name=seen.path.name, limit=f"{_LARGEST >> 20} MB")


def read_html(
    seen: Survey,
    utf8: Path,
    name: str,
    hints: Recipe,
    digest: str,
    folder: Callable[[], Path],
    found: list[ReadFinding],
) -> Iterator[Landed]:
    """Every table with at least two columns, told apart by number (`1`, `2` … as their sheet).

    Raises:
        UserError: no table in it.
    """
    with utf8.open(encoding="utf-8", errors="replace", newline="") as page:
        tables = grids(iter(lambda: page.read(_BLOCK), ""))
    if not tables:
        raise refusal("no_table", name=seen.path.name)
    for number, (grid, spanning) in enumerate(tables, 1):
        if hints.sheet not in (None, str(number)):
            continue
        table = name if len(tables) == 1 else f"{name}/{number}"
        yield _read(grid, spanning, table, str(number), seen, hints, digest, folder(), found)


def grids(blocks: Iterable[str]) -> list[tuple[Grid, set[int]]]:
    """The cells of every table with at least two columns, and the rows that begin with a cell over several columns."""
    parser = _Tables()
    for block in blocks:
        parser.feed(block)
    parser.close()
    return [(g, s) for g, s in parser.tables if max(map(len, g), default=0) > 1]


def _read(
    grid: Grid, spanning: set[int], table: str, sheet: str, seen: Survey, hints: Recipe, digest: str, folder: Path,
    notes: list[ReadFinding],
) -> Landed:  # fmt: skip
    width = max(map(len, grid))
    filled = [i for i, row in enumerate(grid) if any(row)]
    texts = {i: [*grid[i], *[""] * (width - len(grid[i]))] for i in filled}
    rows = [Record(i + 1, 1, texts[i]) for i in filled[:_SAMPLE]]
    merged = {k for k, i in enumerate(filled[:_SAMPLE]) if i in spanning}
    placed = place(rows, width, hints, Recipe(format="html"), digest=digest, merged=merged)
    body = filled[placed.layout.titles + placed.layout.header :]
    if placed.layout.ghost and (late := sum(bool(texts[i][width - 1].strip()) for i in body)):
        placed = with_last(placed, late, hints, digest)
    laid = replace(placed.layout, names=list(placed.names))
    sections = (laid.sections or any(i in spanning for i in body)) and hints.section_rows
    sink = land_rows(texts, body, spanning, laid, sections, hints, folder)
    count_rows(sink, len(grid), filled, laid)
    recipe = placed.recipe(hints).model_copy(update={"format": "html", "encoding": seen.encoding, "sheet": sheet})
    recipe = recipe.model_copy(update={"section_rows": hints.section_rows})
    return Landed(table, recipe, sink, [*notes, *placed.findings, *counted_findings(sink)], {})
