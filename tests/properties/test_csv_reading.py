"""A CSV file is read as the standard library reads it, however much of it takes the fast way."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sandbox.exports.reading import plain, readers
from sandbox.exports.reading.bounds import Bounds
from sandbox.exports.reading.found import Found

BOUNDS = Bounds(60, 500, 500, 100, 500, 50, 5, 100, 100)
CELLS = st.text(st.sampled_from('abé区0. \t"\r\n,\u2028\ufeff'), max_size=3) | st.text("ab区", max_size=3)
LINES = st.lists(st.lists(CELLS, min_size=1, max_size=4), min_size=1, max_size=9)


@settings(max_examples=200, deadline=None)
@given(LINES, st.sampled_from(["\n", "\r\n", "\r"]), st.booleans(), st.integers(8, 40))
@example([["a", "b"], ["1", ""], ["2", "区"]], "\n", True, 16)
@example([["a"], ["\ufeffx"], [""], ["y"]], "\r\n", True, 8)
def test_blocks_of_simple_lines_and_the_rest_are_what_the_strict_reader_gives(
    lines: list[list[str]], end: str, last: bool, block: int
) -> None:
    text = end.join(",".join(cells) for cells in lines) + end * last
    try:
        expected = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error:
        return
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(plain, "_BLOCK", block)
        path = Path(folder) / "t.csv"
        path.write_bytes(text.encode("utf-8-sig"))
        found = Found(Path(folder), "0", BOUNDS, readers.read)
        plain.read_csv(path, "t.csv", found)
        if not expected:
            assert found.problems == [("empty", "t.csv")]
            return
        (told,) = found.tables
        rows = pl.read_ipc(Path(folder) / told["file"]).rows()
    header, *body = expected
    width = len(header)
    assert (told["header"], told["rows"]) == (header, len(body))
    if width:
        assert rows == [tuple(c or None for c in [*row, *[""] * width][:width]) for row in body]
    assert (("ragged", "t.csv") in found.problems) == any(len(row) != width for row in body)
