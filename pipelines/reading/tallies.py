"""Columns that a Parquet file stores by code: their different values, and how many cells hold each.

What is asked of every cell of such a column is asked once a value. Files of text repeat their days, codes and states
thousands of times, and looking at them cell by cell is much of what a reading costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

_CODED = 4.5  # bytes a value, below which a column is its dictionaries and small codes
_MOST = 20_000  # different values
_REPEATED = 8  # times that a value occurs on average
_THREADS = 2


def number_of(name: str) -> str:
    """The column of a tally that holds the numbers of cells."""
    return f"{name}\0n"


def tallies(text: Path, names: Sequence[str]) -> dict[str, pl.DataFrame]:
    """The tally of each of the columns that is stored by code: its values, null among them, and their numbers.

    A column of many different values has none.
    """
    told = pq.read_metadata(text)
    coded = [name for name in _coded(told) if name in set(names)]
    with ThreadPoolExecutor(_THREADS) as threads:
        found = threads.map(lambda name: _tally(text, told, name), coded)
        return {name: tally for name, tally in zip(coded, found, strict=True) if tally is not None}


def _coded(told: pq.FileMetaData) -> list[str]:
    """By what the file says of itself."""
    groups = [told.row_group(g) for g in range(told.num_row_groups)]
    if not groups:
        return []
    chunks = [[group.column(k) for group in groups] for k in range(told.num_columns)]
    return [
        column[0].path_in_schema for column in chunks
        if all(c.has_dictionary_page for c in column)
        and sum(c.total_uncompressed_size for c in column) < _CODED * told.num_rows
    ]  # fmt: skip


def _tally(text: Path, told: pq.FileMetaData, name: str) -> pl.DataFrame | None:
    file = pq.ParquetFile(text, read_dictionary=[name], metadata=told, pre_buffer=False)
    place = file.schema_arrow.get_field_index(name)
    if place < 0 or not pa.types.is_dictionary(file.schema_arrow.field(place).type):  # not a column of text
        return None
    most = min(_MOST, told.num_rows // _REPEATED)
    parts: list[pl.DataFrame] = []
    for group in range(told.num_row_groups):
        table = file.read_row_group(group, columns=[name], use_threads=False)
        parts += [_counted(chunk, name) for chunk in table.column(0).chunks]
        if parts and parts[-1].height > most:
            return None
    tally = pl.concat(parts).group_by(name, maintain_order=True).agg(pl.col(number_of(name)).sum())
    return tally if tally.height <= most else None


def _counted(chunk: pa.DictionaryArray, name: str) -> pl.DataFrame:
    values = pl.Series(name, pl.from_arrow(chunk.dictionary), dtype=pl.String)
    codes = chunk.indices.fill_null(len(values)) if chunk.null_count else chunk.indices
    places = np.frombuffer(codes.buffers()[1], dtype=np.int32)[codes.offset : codes.offset + len(codes)]
    counts = np.bincount(places, minlength=len(values) + 1)
    numbers = pl.Series(number_of(name), counts, dtype=pl.Int64)
    both = pl.DataFrame([values.extend(pl.Series([None], dtype=pl.String)), numbers])
    return both.filter(pl.col(number_of(name)) > 0)
