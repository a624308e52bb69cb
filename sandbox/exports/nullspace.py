"""Random vectors orthogonal to every row of a matrix over atoms: on what can be computed from the rows all of them
vanish, on anything else nearly none.

A row that has a column to itself needs no solving: that column takes up whatever the row's other columns are. Such rows
are taken off, in turns, and only what is left is solved for; their own columns are filled in afterwards.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from sandbox.exports.atoms import Matrix
from sandbox.exports.ranks import spread
from sandbox.products.budget import Cancelled

if TYPE_CHECKING:
    from sandbox.products.budget import Watch

VECTORS = 3
TOLERANCE, PAIR_TOLERANCE = 1e-2, 1e-3
"""Size below which an entry of a null vector (drawn with deviation `SPREAD`) is taken for zero: loosely, so that
nothing true is cleared."""
SPREAD = 30
PRECISION = 1e-7
STEPS = 3000
TURNS = 4
LARGEST = 1e6
"""Size of an entry beyond which its last bits could hide a zero: then no row is taken off."""

Vectors = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


def go_on(watch: Watch | None, share: float | None = None) -> None:
    """Tell who looks on how far the closure is. Raises `Cancelled`."""
    if watch is None:
        return
    if watch.cancelled():
        raise Cancelled("closure")
    if share is not None:
        watch.progress("closure", share)


class NullSpace:
    """The vectors that are orthogonal to the rows of `matrix`, which has so many `columns`."""

    def __init__(self, matrix: Matrix, columns: int, watch: Watch | None = None, turns: int = TURNS) -> None:
        self._matrix, self._columns, self._watch = matrix, columns, watch
        self._core, self._taken = _taken_off(matrix.of(matrix.lengths > 0), columns, turns)
        self._solved = self._turned() if len(self._core) else None

    def vectors(self, many: int, deadline: float) -> Vectors | None:
        """So many of them at random (least squares on the transpose); None where that takes too long. Raises
        `Cancelled`."""
        rng = np.random.default_rng(secrets.randbits(128))
        found = []
        for _ in range(many):
            if time.monotonic() > deadline:
                return None
            one = self._one(rng.standard_normal(self._columns) * SPREAD)
            if one is None:
                return None
            if np.abs(one).max(initial=0) > LARGEST and self._taken:
                return NullSpace(self._matrix, self._columns, self._watch, 0).vectors(many, deadline)
            found.append(one)
        return np.stack(found)

    def _one(self, start: Vectors) -> Vectors | None:
        vector = start
        if self._solved is not None:
            from scipy.sparse.linalg import lsmr  # type: ignore[import-untyped]

            weight, turned, operator = self._solved
            answer = lsmr(operator, start, atol=PRECISION, btol=PRECISION, conlim=0, maxiter=STEPS)
            if answer[1] == 7:  # the limit of steps
                return None
            vector = weight * (start - turned @ answer[0])
        for rows, own, sign in reversed(self._taken):
            vector[own] = 0
            vector[own] = -sign * np.add.reduceat(rows.signs * vector[rows.columns], rows.starts[:-1])
        return vector

    def _turned(self) -> tuple[Vectors, Any, Any]:
        """(weight of each column, transpose of the weighted core with rows of length one, the same asking `watch`)."""
        import scipy.sparse as sparse  # type: ignore[import-untyped]
        from scipy.sparse.linalg import LinearOperator

        core = self._core
        weight = 1 / np.sqrt(np.maximum(np.bincount(core.columns, minlength=self._columns), 1))
        values = weight[core.columns]
        values *= core.signs / np.repeat(np.sqrt(np.add.reduceat(values**2, core.starts[:-1])), core.lengths)
        shape = (len(core), self._columns)
        turned = sparse.csr_matrix((values, core.columns, core.starts), shape=shape).T.tocsr()

        def asking(side: Any) -> Callable[[Vectors], Vectors]:
            def product(vector: Vectors) -> Vectors:
                go_on(self._watch)  # thousands of products make one vector
                return cast("Vectors", side @ vector)

            return product

        return weight, turned, LinearOperator(turned.shape, asking(turned), asking(turned.T), dtype=np.float64)


Taken = list[tuple[Matrix, Indices, npt.NDArray[np.int8]]]
"""Of each turn the rows taken off, a column that each has to itself, and its sign there."""


def _taken_off(matrix: Matrix, columns: int, turns: int) -> tuple[Matrix, Taken]:
    """(the rows left, the others): a row goes when no other that is still there has one of its columns."""
    taken: Taken = []
    for _ in range(turns):
        alone = np.flatnonzero((np.bincount(matrix.columns, minlength=columns) == 1)[matrix.columns])
        rows, first = np.unique(np.searchsorted(matrix.starts, alone, "right") - 1, return_index=True)
        if not len(rows):
            break
        going = np.zeros(len(matrix), dtype=bool)
        going[rows] = True
        at = alone[first]
        taken.append((matrix.of(going), matrix.columns[at].astype(np.int64), matrix.signs[at]))
        matrix = matrix.of(~going)
    return matrix, taken


def opposite(values: Vectors) -> tuple[Indices, Indices]:
    """Pairs (u < v) of columns whose entries add up to nothing in every vector, up to the tolerance. Columns are looked
    up by the square that their first two entries lie in: by one entry alone far too many would come."""
    reach, wide = 1.1 * PAIR_TOLERANCE, 2.5 * PAIR_TOLERANCE  # what is looked for lies in two by two squares
    named = _square(np.floor(values[:2] / wide))
    order = np.argsort(named)
    squares = named[order]
    asking = np.flatnonzero(values[0] > -PAIR_TOLERANCE)  # one of each pair does
    corner = _square(np.floor((-values[:2, asking] - reach) / wide))
    turn = np.argsort(corner)  # one after the other they are found many times faster
    asking, corner = asking[turn], corner[turn]
    found = [np.empty((2, 0), dtype=np.int64)]
    for wanted in (corner, corner + _ASIDE):
        low, high = np.searchsorted(squares, wanted), np.searchsorted(squares, wanted + 1, "right")
        at, within = spread(low, high)
        first, second = asking[at], order[within]
        near = (np.abs(values[:, first] + values[:, second]) < PAIR_TOLERANCE).all(axis=0) & (first != second)
        found.append(np.sort([first[near], second[near]], axis=0))
    first, second = np.unique(np.concatenate(found, axis=1), axis=1)
    return first, second


_ASIDE = 2**26
"""From the number of a square to that of the one beside it in the first direction; in the second it is 1."""


def _square(at: Vectors) -> Indices:
    first, second = at.astype(np.int64)
    return first * _ASIDE + second
