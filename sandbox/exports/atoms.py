"""The matrix of sets over atoms: entities that are in exactly the same sets are one column."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sandbox.exports.echelon import Sparse
from sandbox.exports.encoding import Encoded

Sizes = npt.NDArray[np.int64]
Columns = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Matrix:
    """Rows over atoms, one after the other: row i has `columns` `starts[i]` to `starts[i + 1]`, each with +1 or -1 of
    `signs`. Products over many people have millions."""

    columns: Columns
    signs: npt.NDArray[np.int8]
    starts: Sizes

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> Sizes:
        """The number of columns of each row."""
        return np.diff(self.starts)

    def row(self, i: int) -> Sparse:
        """Row `i` as column → sign."""
        at = slice(self.starts[i], self.starts[i + 1])
        return dict(zip(self.columns[at].tolist(), self.signs[at].tolist(), strict=True))

    def usage(self, rows: Sequence[int]) -> Sparse:
        """How many rows of all have each column of these."""
        times = np.bincount(self.columns)
        parts = [self.columns[self.starts[i] : self.starts[i + 1]] for i in rows]
        mine = np.unique(np.concatenate([np.empty(0, np.int32), *parts]))
        return dict(zip(mine.tolist(), times[mine].tolist(), strict=True))

    def of(self, rows: npt.NDArray[np.bool_]) -> Matrix:
        """These of the rows only."""
        kept = np.repeat(rows, self.lengths)
        starts = np.concatenate([[0], np.cumsum(self.lengths[rows])])
        return Matrix(self.columns[kept], self.signs[kept], starts)


def atoms(encoded: Encoded) -> tuple[Matrix, Sizes, Columns]:
    """(rows over atoms, entities in each atom, entity → atom or -1): entities with equal columns are one atom. Atoms
    are numbered by their first entity, so that the same sets give the same rows, and the same verdict, in every run."""
    parts = [codes for row in encoded.rows for codes in (row.plus, row.less)]
    flat = np.concatenate([np.empty(0, np.uint32), *parts])
    top = int(flat.max(initial=0)) + 1
    signature, used = np.zeros(top, dtype=np.uint64), np.zeros(top, dtype=bool)
    for plus, less in zip(parts[::2], parts[1::2], strict=True):
        mark = np.uint64(secrets.randbits(64))
        np.add.at(signature, plus, mark)
        if len(less):
            np.subtract.at(signature, less, mark)
    used[flat] = True
    entities = np.flatnonzero(used)
    first = _first_alike(signature[entities])
    leads = first == np.arange(len(first))
    number = np.cumsum(leads, dtype=np.int32) - 1
    member = np.full(top, -1, dtype=np.int32)
    member[entities] = number[first]
    sizes = np.bincount(member[entities]).astype(np.int64)
    # one entity tells an atom, and a row has each atom whole
    lead = np.full(top, -1, dtype=np.int32)
    lead[entities[leads]] = number[leads]
    columns = lead[flat]
    kept = columns >= 0
    ends = np.cumsum([0, *map(len, parts)])
    edges = np.append(0, np.cumsum(kept, dtype=np.int32))[ends].astype(np.int64)
    signs = np.repeat(np.tile(np.array([1, -1], np.int8), len(encoded.rows)), np.diff(edges))
    return Matrix(columns[kept], signs, edges[::2]), sizes, member


def _first_alike(values: npt.NDArray[np.uint64]) -> Sizes:
    """For each value the place of the first that is equal to it."""
    order = np.argsort(values)
    sorted_ = values[order]
    begins = np.flatnonzero(np.append(True, sorted_[1:] != sorted_[:-1])[: len(values)])
    first = np.empty(len(values), dtype=np.int64)
    if len(values):
        counts = np.diff(np.append(begins, len(values)))
        first[order] = np.repeat(np.minimum.reduceat(order, begins), counts)
    return first
