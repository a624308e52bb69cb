"""Rows compared by keys of codes are the rows that are equal: against counting in Python, whatever the tables."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.products.coded import CodedTable, coded
from sandbox.products.row_keys import Part, RowKeys
from sandbox.products.source import Source, opened

CELL = st.sampled_from([None, "", "a", "b", "1", "1.0", "甲"])
Rows = list[list[str | None]]


@st.composite
def tables(draw: st.DrawFn) -> tuple[int, int, Rows, Rows]:
    """(columns, few of them, rows of the file, rows of the source)."""
    width = draw(st.integers(1, 5))
    row = st.lists(CELL, min_size=width, max_size=width)
    file, source = draw(st.lists(row, min_size=1, max_size=12)), draw(st.lists(row, min_size=1, max_size=12))
    copied = draw(st.lists(st.sampled_from(file), max_size=4))
    return width, draw(st.integers(1, 4)), file, source + copied


def counted(file: Rows, source: Rows, width: int) -> tuple[int, int, int]:
    there = Counter(tuple(cell or "" for cell in row[:width]) for row in source)
    asked = [there[tuple(cell or "" for cell in row[:width])] for row in file]
    return sum(n == 1 for n in asked), sum(n > 0 for n in asked), len(asked)


def written(rows: Rows, width: int) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={str(i + 1): pl.String for i in range(width)}, orient="row")


@settings(max_examples=40, deadline=None)
@given(tables())
def test_rows_are_counted_as_python_counts_them(given_tables: tuple[int, int, Rows, Rows]) -> None:
    width, few, file, source = given_tables
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        written(file, width).write_ipc(place / "f.arrow", compat_level=pl.CompatLevel.oldest())
        written(source, width).write_parquet(place / "s.parquet")
        parts = [Part(i + 1, str(i + 1), "coalesce(v, '')", "coalesce({c}, '')") for i in range(width)]
        with opened({"s": Source((str(place / "s.parquet"),), "sha256:s")}) as con:
            keys = RowKeys(con, "s", CodedTable(place / "f.arrow"), parts, few)
            assert keys.found() == counted(file, source, width)
            assert keys.found(few=True) == counted(file, source, min(few, width))


@settings(deadline=None)
@given(st.lists(st.none() | st.text(max_size=3), max_size=30))
def test_codes_give_the_cells_back(texts: list[str | None]) -> None:
    import pyarrow as pa

    found = coded(pa.chunked_array([pa.array(texts, pa.large_string())]))
    values = found.values.to_list()
    assert [values[code] if code >= 0 else None for code in found.codes.tolist()] == texts
    assert dict(zip(values, found.counts.tolist(), strict=True)) == Counter(t for t in texts if t is not None)
