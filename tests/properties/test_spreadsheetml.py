"""The same cells in SpreadsheetML 2003 and in an .xlsx are the same texts, wherever they stand."""

from __future__ import annotations

import datetime as dt
import tempfile
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import openpyxl
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.reading.excel import cell_text, open_book

_texts = st.text(st.sampled_from("aZ09甲 .-<&>'\"元"), min_size=1, max_size=6).map(str.strip).filter(bool)
_moments = st.datetimes(dt.datetime(1950, 1, 1), dt.datetime(2060, 1, 1)).map(lambda m: m.replace(microsecond=0))
_values = st.one_of(
    _texts, st.integers(-(10**9), 10**9), st.floats(-1e6, 1e6).map(lambda f: round(f, 3) + 0.0), st.booleans(), _moments
)
GRIDS = st.dictionaries(st.tuples(st.integers(0, 12), st.integers(0, 6)), _values, min_size=1, max_size=25)
_SPACE = 'xmlns="urn:schemas-microsoft-com:office:spreadsheet" xmlns:ss="urn:schemas-microsoft-com:office:spreadsheet"'


def data(value: Any) -> str:
    if isinstance(value, bool):
        return f'<Data ss:Type="Boolean">{int(value)}</Data>'
    if isinstance(value, dt.datetime):
        return f'<Data ss:Type="DateTime">{value.isoformat(timespec="milliseconds")}</Data>'
    kind = "String" if isinstance(value, str) else "Number"
    return f'<Data ss:Type="{kind}">{escape(str(value))}</Data>'


def written(cells: dict[tuple[int, int], Any]) -> str:
    """Rows and cells with an index only where one before them is left out."""
    rows, last = "", -1
    for row in sorted({r for r, _ in cells}):
        rows += "<Row>" if row == last + 1 else f'<Row ss:Index="{row + 1}">'
        before = -1
        for column in sorted(c for r, c in cells if r == row):
            index = "" if column == before + 1 else f' ss:Index="{column + 1}"'
            rows += f"<Cell{index}>{data(cells[row, column])}</Cell>"
            before = column
        rows, last = rows + "</Row>", row
    return (
        f'<?xml version="1.0"?><Workbook {_SPACE}><Worksheet ss:Name="s"><Table>{rows}</Table></Worksheet></Workbook>'
    )


def texts(path: Path) -> dict[tuple[int, int], str]:
    grid = open_book(path)[1]("s").to_python(skip_empty_area=False)
    return {(i, k): said for i, row in enumerate(grid) for k, cell in enumerate(row) if (said := cell_text(cell))}


@settings(deadline=None)
@given(GRIDS)
def test_cells_are_the_texts_that_an_xlsx_gives(cells: dict[tuple[int, int], Any]) -> None:
    with tempfile.TemporaryDirectory() as home:
        xml, xlsx = Path(home) / "t.xls", Path(home) / "t.xlsx"
        xml.write_text(written(cells), encoding="utf-8")
        book = openpyxl.Workbook()
        book.active.title = "s"
        for (row, column), value in cells.items():
            place = book.active.cell(row + 1, column + 1)
            place.value = value
            if isinstance(value, str):
                place.data_type = "s"
        book.save(xlsx)
        assert texts(xml) == texts(xlsx)
