"""Linear closure: can any sum or difference of *several* released cells isolate fewer than t entities?

Entities that are in exactly the same cells form an atom. A set U of atoms can be computed from the released numbers
iff its indicator is in the row space of the matrix cells × atoms, iff it is orthogonal to every null vector; a random
null vector modulo a prime decides that with an error of about 1/p per set. Searched: single atoms and pairs below t.
Larger unions, coefficients other than 0 and ±1, and non-negativity are not searched, and the result says so by its
`depth`.
"""

from __future__ import annotations

import secrets
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sandbox.exports.history import ReleasedCell

PRIME = 2**31 - 1
VECTORS = 2
"""Independent null vectors: together they err once in 2^62."""
MAX_ENTRIES = 20_000_000
DEPTH = 2

Matrix = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Exposure:
    """Entities that the new release makes computable: how many, and under which kind and variable."""

    kind: str
    variable: str
    entities: int


@dataclass(frozen=True, slots=True)
class Closure:
    """`complete` is false when time or size ended the search; `depth` atoms a union were searched."""

    exposures: tuple[Exposure, ...]
    complete: bool
    depth: int = DEPTH


def closure(new: Sequence[ReleasedCell], old: Sequence[ReleasedCell], *, threshold: int, seconds: float) -> Closure:
    """Exposures by the new cells together with the old ones, without those the old ones gave already."""
    deadline = time.monotonic() + seconds
    groups: dict[tuple[str, str], tuple[list[ReleasedCell], list[ReleasedCell]]] = defaultdict(lambda: ([], []))
    for side, cells in ((0, old), (1, new)):
        for cell in cells:
            groups[cell.kind, cell.variable][side].append(cell)
    found: list[Exposure] = []
    complete = True
    for (kind, variable), (before, mine) in groups.items():
        if not mine:
            continue
        exposed = _of_group(before, mine, threshold, deadline)
        complete = complete and exposed is not None
        found += [Exposure(kind, variable, size) for size in exposed or ()]
    return Closure(tuple(found), complete)


def _of_group(
    old: Sequence[ReleasedCell], new: Sequence[ReleasedCell], threshold: int, deadline: float
) -> list[int] | None:
    """Sizes of newly exposed sets; None when the budget ended the search."""
    sets = {cell.bitmap: cell for cell in old}
    count_old = len(sets)
    sets |= {cell.bitmap: cell for cell in new if cell.bitmap not in sets}
    matrix, sizes = _atoms(list(sets.values()))
    if not (sizes < threshold).any():
        return []
    if matrix is None:
        return None
    echelon = _Echelon(matrix.shape[1])
    if not echelon.add(matrix[:count_old], deadline):
        return None
    before = _exposed(echelon, sizes, threshold)
    if not echelon.add(matrix[count_old:], deadline):
        return None
    return [size for key, size in _exposed(echelon, sizes, threshold).items() if key not in before]


def _atoms(cells: Sequence[ReleasedCell]) -> tuple[Matrix | None, npt.NDArray[np.int64]]:
    """(cells × atoms, atom sizes); the matrix is None where it would be too large to work on."""
    arrays = [np.asarray(cell.entities.to_array(), dtype=np.int64) for cell in cells]
    everyone, flat = np.unique(np.concatenate(arrays), return_inverse=True)
    signature = np.zeros((2, len(everyone)), dtype=np.uint64)
    edges = np.cumsum([0, *map(len, arrays)])
    for i in range(len(cells)):
        marks = [np.uint64(secrets.randbits(64)) for _ in range(2)]
        for row, mark in enumerate(marks):
            signature[row, flat[edges[i] : edges[i + 1]]] ^= mark
    _, atom, sizes = np.unique(signature, axis=1, return_inverse=True, return_counts=True)
    if len(cells) * len(sizes) > MAX_ENTRIES:
        return None, sizes
    matrix = np.zeros((len(cells), len(sizes)), dtype=np.int64)
    atom = atom.ravel()
    for i in range(len(cells)):
        matrix[i, atom[flat[edges[i] : edges[i + 1]]]] = 1
    return matrix, sizes


class _Echelon:
    """Rows in echelon form modulo PRIME, grown row by row."""

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._rows: list[tuple[int, Matrix]] = []

    def add(self, rows: Matrix, deadline: float) -> bool:
        """Reduce and keep the rows; false when time ran out."""
        for raw in rows:
            row = raw.copy()
            for pivot, kept in self._rows:
                if row[pivot]:
                    row = (row - row[pivot] * kept) % PRIME
            if time.monotonic() > deadline:
                return False
            lead = np.flatnonzero(row)
            if len(lead):
                pivot = int(lead[0])
                self._rows.append((pivot, row * pow(int(row[pivot]), -1, PRIME) % PRIME))
        return True

    def null_vector(self) -> Matrix:
        """A random vector orthogonal to every row."""
        rng = np.random.default_rng(secrets.randbits(128))
        z = rng.integers(1, PRIME, size=self._columns, dtype=np.int64)
        for pivot, row in reversed(self._rows):
            z[pivot] = 0
            z[pivot] = -int((row * z % PRIME).sum()) % PRIME
        return z


def _exposed(echelon: _Echelon, sizes: npt.NDArray[np.int64], threshold: int) -> dict[tuple[int, ...], int]:
    """Atoms and pairs of atoms below the threshold that every null vector vanishes on, with their size."""
    small = np.flatnonzero(sizes < threshold)
    vectors = np.stack([echelon.null_vector()[small] for _ in range(VECTORS)])
    zero = (vectors == 0).all(axis=0)
    found: dict[tuple[int, ...], int] = {(int(small[i]),): int(sizes[small[i]]) for i in np.flatnonzero(zero)}
    places: dict[tuple[int, ...], list[int]] = defaultdict(list)
    rest = np.flatnonzero(~zero)
    for i in rest:
        places[tuple(int(v) for v in vectors[:, i])].append(int(i))
    for i in rest:
        for j in places.get(tuple(int(-v % PRIME) for v in vectors[:, i]), ()):
            size = int(sizes[small[i]] + sizes[small[j]])
            if i < j and size < threshold:
                found[int(small[i]), int(small[j])] = size
    return found
