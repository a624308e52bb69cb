"""A table of texts as codes of its distinct values: what is asked of every cell is asked once a value.

Codes and values lie in files that are gone with the last use, so that memory is the system's to take back.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox.products.arrays import array_of, present, values_of

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa
    from numpy.typing import NDArray

    Numbers = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Coded:
    """`values`: the distinct texts; `codes`: of every row the place of its text among them, -1 where the cell is
    missing; `counts`: cells of each value."""

    values: pl.Series
    codes: Numbers
    counts: Numbers


class CodedTable:
    """The Arrow file `path` of strings with columns "1", "2", …; a column is read when it is first asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[int, Coded] = {}

    def column(self, place: int) -> Coded:
        """The column at `place` (from 0)."""
        if place not in self._known:
            self._known[place] = self._read(place)
        return self._known[place]

    def rows(self, places: Sequence[int], at: Numbers) -> pl.DataFrame:
        """The texts of some rows in the columns at `places`, which keep their names."""
        import polars as pl

        found = [(str(place + 1), self.column(place)) for place in places]
        return pl.DataFrame([
            one.values.gather(pl.Series(one.codes[at], dtype=pl.Int64).replace(-1, None)).alias(name)
            for name, one in found
        ])  # fmt: skip

    def _read(self, place: int) -> Coded:
        import pyarrow as pa

        with pa.memory_map(str(self.path)) as source:
            reader = pa.ipc.open_file(source)  # batch by batch nothing is copied
            cells = [reader.get_batch(n).column(place) for n in range(reader.num_record_batches)]
            return coded(pa.chunked_array(cells, pa.large_string()), self.path.parent)


def coded(cells: pa.ChunkedArray, folder: Path | None = None) -> Coded:
    """The texts `cells` as codes, kept in unnamed files of `folder`."""
    import numpy as np
    import polars as pl

    told = cells.dictionary_encode().combine_chunks()
    values, places = told.dictionary, told.indices
    codes = np.where(present(places), values_of(places), -1).astype(_narrowest(len(values)))
    counts = np.bincount(codes.astype(np.int64) + 1, minlength=len(values) + 1)[1:]
    return Coded(pl.Series(_kept(values, folder), dtype=pl.String), values_of(_kept(array_of(codes), folder)), counts)


def _narrowest(count: int) -> str:
    return "i1" if count < 1 << 7 else "i2" if count < 1 << 15 else "i4"


def _kept(array: pa.Array, folder: Path | None) -> pa.Array:
    import pyarrow as pa

    batch = pa.record_batch([array], names=[""])
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        with pa.ipc.new_file(file, batch.schema) as writer:
            writer.write_batch(batch)
        file.flush()
        return pa.ipc.open_file(pa.memory_map(file.name)).get_batch(0).column(0)
