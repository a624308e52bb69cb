"""Reduced echelon form modulo a prime, grown row by row, that remembers what every row was made of.

Rows are sparse: column → coefficient. A column that is a pivot stands in no other row, so that a target lies in the row
space iff the rows of its pivots add up to it, and the sources of those rows are its certificate. Modulo a prime of 61
bits an identity that does not hold over the rationals is as good as impossible, and certificates are checked over the
integers.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

PRIME = 2**61 - 1

Sparse = dict[int, int]


class Echelon:
    """`rows`: pivot → row with coefficient one at its pivot; `made_of`: pivot → source → coefficient. `ask` is called
    before each step with a row and may end the whole by raising: nothing may be added after that."""

    def __init__(self, ask: Callable[[], None] = lambda: None) -> None:
        self._ask = ask
        self.rows: dict[int, Sparse] = {}
        self.made_of: dict[int, Sparse] = {}
        self._used: dict[int, set[int]] = defaultdict(set)

    def add(self, row: Mapping[int, int], source: int, usage: Mapping[int, int]) -> int | None:
        """Add one row; the pivot it got (its column of least `usage`), or None where it says nothing new."""
        left, made = self._reduced(row, {source: 1})
        if not left:
            return None
        pivot = min(left, key=lambda c: (usage[c], c))
        scale = pow(left[pivot], -1, PRIME)
        left = {c: v * scale % PRIME for c, v in left.items()}
        made = {s: v * scale % PRIME for s, v in made.items()}
        for other in list(self._used.pop(pivot, ())):
            self._subtract(other, pivot, left, made)
        self.rows[pivot], self.made_of[pivot] = left, made
        for column in left:
            if column != pivot:
                self._used[column].add(pivot)
        return pivot

    def dependency(self, row: Mapping[int, int], source: int) -> Sparse | None:
        """Sources, `source` of this row among them, whose combination is nothing; None where the row is independent of
        those that are there."""
        left, made = self._reduced(row, {source: 1})
        return None if left else made

    def _reduced(self, row: Mapping[int, int], made: Sparse) -> tuple[Sparse, Sparse]:
        left = {c: v % PRIME for c, v in row.items()}
        for pivot in [c for c in left if c in self.rows]:
            self._ask()
            factor = left[pivot]
            _less(left, self.rows[pivot], factor)
            _less(made, self.made_of[pivot], factor)
        return left, made

    def _subtract(self, other: int, pivot: int, row: Sparse, made: Sparse) -> None:
        """Take `row` off row `other`, which has its pivot."""
        self._ask()
        target = self.rows[other]
        factor = target[pivot]
        for column, value in row.items():
            before = target.get(column, 0)
            after = (before - factor * value) % PRIME
            if after:
                target[column] = after
                if not before:
                    self._used[column].add(other)
            elif before:
                del target[column]
                if column != pivot:
                    self._used[column].discard(other)
        _less(self.made_of[other], made, factor)

    def certificate(self, target: Iterable[int]) -> Sparse | None:
        """Sources whose combination is the sum of the `target` columns (coefficients modulo the prime), or None where
        that sum is not in the row space."""
        left, made = dict.fromkeys(target, 1), dict[int, int]()
        for pivot in [c for c in left if c in self.rows]:
            _less(left, self.rows[pivot], 1)
            _less(made, self.made_of[pivot], PRIME - 1)
        return made if not left else None


def _less(target: Sparse, row: Mapping[int, int], factor: int) -> None:
    for column, value in row.items():
        after = (target.get(column, 0) - factor * value) % PRIME
        if after:
            target[column] = after
        else:
            target.pop(column, None)


def whole(coefficients: Mapping[int, int]) -> tuple[dict[int, int], int] | None:
    """Integers and a divisor that are these coefficients modulo the prime; None where they are no small fractions."""
    found = {key: _fraction(value) for key, value in coefficients.items()}
    if any(one is None for one in found.values()):
        return None
    fractions = {key: one for key, one in found.items() if one}
    divisor = math.lcm(*(bottom for _, bottom in fractions.values()))
    return {key: top * (divisor // bottom) for key, (top, bottom) in fractions.items()}, divisor


def _fraction(value: int) -> tuple[int, int] | None:
    """The fraction with numerator and denominator below √(p/2) that is `value` modulo the prime (Wang's method)."""
    bound = math.isqrt(PRIME // 2)
    before, now, old, new = PRIME, value % PRIME, 0, 1
    while now > bound:
        quotient = before // now
        before, now = now, before - quotient * now
        old, new = new, old - quotient * new
    if not 0 < abs(new) <= bound:
        return None
    return (now, new) if new > 0 else (-now, -new)
