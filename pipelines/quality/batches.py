"""The rows of Parquet files in batches of bounded size; columns that repeat their values stay dictionary-coded.

A coded column is looked at once a value instead of once a cell, which is most of what keeps a measurement near the
price of a scan. pyarrow hands out the dictionaries of the file, polars reads the other columns faster.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

_ROWS = 131_072  # what is worked on at once stays near the processor
_AHEAD = 3  # batches read in advance: reading one takes longer than looking at one
_CORES = os.cpu_count() or 1
_READERS = min(_AHEAD, _CORES)  # reading is most of the work, and half of it waits for polars' own threads
LOOKERS = max(1, _CORES // 2)
"""threads that look at what was read: fewer than cores, as more of them only take each other's memory and the
interpreter"""
_MOST = 600_000  # rows of a group that is still read in one piece
_SAMPLE = 4096
_CODED = 6.0  # bytes a value below which a column chunk is its dictionary and small codes


@dataclass(frozen=True, slots=True)
class Cells:
    """One column of a batch: its cells, or different values and the place among them of every cell."""

    values: pl.Series
    codes: NDArray[np.integer[Any]] | None = None

    def __len__(self) -> int:
        return len(self.values) if self.codes is None else len(self.codes)

    def spread(self, of_values: pl.Series) -> pl.Series:
        """What was found for each of `values`, cell by cell."""
        return of_values if self.codes is None else of_values[self.codes]

    def count(self, of_values: NDArray[np.bool_]) -> int:
        """The number of cells whose value is marked."""
        if not of_values.any():
            return 0
        return int(np.count_nonzero(of_values if self.codes is None else of_values.take(self.codes)))

    def coded(self) -> Cells:
        """The same cells by code where a value comes three times or more on average, as a sample tells."""
        sample = self.values.head(_SAMPLE).drop_nulls()
        repeated = len(sample) - sample.n_unique()
        if self.codes is not None or 2 * repeated * len(self.values) <= 3 * len(sample) ** 2:
            return self
        encoded = self.values.to_arrow(compat_level=pl.CompatLevel.oldest()).dictionary_encode(null_encoding="encode")
        values = pl.Series(pl.from_arrow(encoded.dictionary), dtype=pl.String)
        return Cells(values, _codes(encoded.indices))

    def first(self, of_values: NDArray[np.bool_], samples: int) -> tuple[int, ...]:
        """The first rows whose value is marked."""
        if not samples or not of_values.any():
            return ()
        rows: list[int] = []
        for start in range(0, len(self), _SAMPLE):  # most often the first part has enough of them
            part = slice(start, start + _SAMPLE)
            marked = of_values[part] if self.codes is None else of_values.take(self.codes[part])
            rows += (np.flatnonzero(marked) + start).tolist()
            if len(rows) >= samples:
                break
        return tuple(rows[:samples])


Batch = dict[str, Cells]


def batches(files: Sequence[str]) -> Iterator[Batch]:
    """All rows in order. The next batches are read while the last one is worked on, by threads that do nothing else:
    they need no interpreter, and nothing that does must come between them."""
    ahead: deque[Future[Batch]] = deque()
    with ThreadPoolExecutor(_READERS) as readers:
        for piece in _pieces(files):
            ahead.append(readers.submit(_read, piece))
            if len(ahead) > _AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


@dataclass(frozen=True, slots=True)
class _Piece:
    """Rows of one file: `rows` from `start` on. `offset` counts from the first row of `groups`, which hold them."""

    file: str
    metadata: pq.FileMetaData
    groups: tuple[int, ...]
    start: int
    offset: int
    rows: int


def _pieces(files: Sequence[str]) -> Iterator[_Piece]:
    """Small row groups together, large ones in parts."""
    for file in files:
        metadata, start = pq.read_metadata(file), 0
        groups: list[int] = []
        held = 0
        for group in range(metadata.num_row_groups):
            rows = metadata.row_group(group).num_rows
            if held and held + rows > _ROWS:
                yield _Piece(file, metadata, tuple(groups), start - held, 0, held)
                groups, held = [], 0
            if rows > _MOST:
                offsets = range(0, rows, _ROWS)
                yield from (_Piece(file, metadata, (group,), start + at, at, min(_ROWS, rows - at)) for at in offsets)
            elif rows:
                groups, held = [*groups, group], held + rows
            start += rows
        if held:
            yield _Piece(file, metadata, tuple(groups), start - held, 0, held)


def _read(piece: _Piece) -> Batch:
    source = pq.ParquetFile(piece.file, metadata=piece.metadata)
    coded = _coded(source, piece.groups[0])
    names = source.schema_arrow.names
    found: Batch = {}
    if coded:
        # Without pre-buffering: it reads what lies between the wanted columns too, at three times the price.
        by_code = pq.ParquetFile(piece.file, read_dictionary=coded, metadata=piece.metadata, pre_buffer=False)
        table = by_code.read_row_groups(list(piece.groups), columns=coded, use_threads=False)
        for name in coded:
            found[name] = _cells(table.column(name).slice(piece.offset, piece.rows))
    rest = [n for n in names if n not in found]
    if rest:
        frame = pl.scan_parquet(piece.file).select(rest).slice(piece.start, piece.rows).collect()
        found |= {name: Cells(frame[name]) for name in rest}
    return {name: found[name] for name in names}


def _coded(source: pq.ParquetFile, group: int) -> list[str]:
    chunks = source.metadata.row_group(group)
    kinds = dict(zip(source.schema_arrow.names, source.schema_arrow.types, strict=True))
    found = []
    for place in range(chunks.num_columns):
        chunk = chunks.column(place)
        text = kinds.get(chunk.path_in_schema) in (pa.string(), pa.large_string())
        if text and chunk.has_dictionary_page and chunk.total_uncompressed_size < _CODED * chunk.num_values:
            found.append(chunk.path_in_schema)
    return found


def _cells(column: pa.ChunkedArray) -> Cells:
    array = column.unify_dictionaries().combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # no rows, no chunk
        return Cells(pl.Series([], dtype=pl.String))
    values = pl.Series(pl.from_arrow(array.dictionary), dtype=pl.String)
    if not array.indices.null_count:
        return Cells(values, _codes(array.indices))
    codes = _codes(array.indices.fill_null(len(values)))
    return Cells(values.extend(pl.Series([None], dtype=pl.String)), codes)


def _codes(indices: pa.Array) -> NDArray[np.integer[Any]]:
    """Read from the buffer: pyarrow's own way to numpy first imports pandas, which takes as long as many batches. They
    stay as narrow as they are: most columns have nothing to be counted, so that no one looks at their codes."""
    codes = np.frombuffer(indices.buffers()[1], dtype=indices.type.to_pandas_dtype())
    return codes[indices.offset : indices.offset + len(indices)]
