"""Differencing: which pairs of released cells differ in fewer than t entities.

Sound and complete by a prefix index: give every entity a fixed pseudo-random rank and keep the t lowest-ranked
members of each cell. If 0 < |aΔb| < t and one of the two has at least t members, both share one of these members, so
only cells that share one are compared. Cells below t (let out by some policy) are compared with each other without
the index.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from policies.verdict import Outcome
from sandbox.exports.history import COUNT, ReleasedCell


@dataclass(frozen=True, slots=True)
class Pair:
    """Two cells whose entity sets differ by `distance` entities; `nested`: one contains the other."""

    new: ReleasedCell
    other: ReleasedCell
    distance: int
    nested: bool


@dataclass(frozen=True, slots=True)
class Pairs:
    """All pairs found; `compared` set comparisons were made; `complete` is false when the budget ended the search."""

    found: tuple[Pair, ...]
    compared: int
    complete: bool


def ranks(codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint64]:
    """Fixed pseudo-random rank of each code (splitmix64 finaliser; fixed here so that no upgrade moves it)."""
    with np.errstate(over="ignore"):
        x = codes.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def near_pairs(
    new: Sequence[ReleasedCell], old: Sequence[ReleasedCell], *, threshold: int, budget: int = 1_000_000
) -> Pairs:
    """Pairs (a new cell, any other cell of the same kind and variable) with 0 < |aΔb| < threshold."""
    found: list[Pair] = []
    compared = 0
    for mine, others in _groups(new, old):
        search = _Search([*mine, *others], threshold)
        for index in range(len(mine)):
            for other in search.candidates(index, len(mine)):
                compared += 1
                if compared > budget:
                    return Pairs(tuple(found), compared, False)
                pair = _pair(search.cells[index], search.cells[other], threshold)
                if pair:
                    found.append(pair)
    return Pairs(tuple(found), compared, True)


def _groups(
    new: Iterable[ReleasedCell], old: Iterable[ReleasedCell]
) -> Iterable[tuple[list[ReleasedCell], list[ReleasedCell]]]:
    """New and old cells of each kind and variable; equal sets within a side count once."""
    groups: dict[tuple[str, str], tuple[dict[str, ReleasedCell], dict[str, ReleasedCell]]] = defaultdict(
        lambda: ({}, {})
    )
    for side, cells in ((0, new), (1, old)):
        for cell in cells:
            groups[cell.kind, cell.variable][side].setdefault(f"{cell.bitmap} {cell.low} {cell.high} {cell.op}", cell)
    return [(list(mine.values()), list(others.values())) for mine, others in groups.values() if mine]


class _Search:
    def __init__(self, cells: list[ReleasedCell], threshold: int) -> None:
        self.cells = cells
        self._threshold = threshold
        self._sharing: dict[int, list[int]] = defaultdict(list)
        self._prefixes: list[list[int]] = []
        self._small = [i for i, cell in enumerate(cells) if cell.n < threshold]
        for index, cell in enumerate(cells):
            prefix = self._prefix(cell)
            self._prefixes.append(prefix)
            for rank in prefix:
                self._sharing[rank].append(index)

    def _prefix(self, cell: ReleasedCell) -> list[int]:
        order = ranks(np.asarray(cell.entities.to_array(), dtype=np.uint32))
        keep = self._threshold
        return [int(r) for r in (np.partition(order, keep - 1)[:keep] if len(order) > keep else order)]

    def candidates(self, index: int, new: int) -> list[int]:
        """Indices of cells worth comparing with new cell `index`; a pair of two new cells comes up once."""
        cell = self.cells[index]
        near = {other for rank in self._prefixes[index] for other in self._sharing[rank]}
        if cell.n < self._threshold:
            near.update(self._small)
        return sorted(o for o in near if (o > index or o >= new) and abs(self.cells[o].n - cell.n) < self._threshold)


def _pair(a: ReleasedCell, b: ReleasedCell, threshold: int) -> Pair | None:
    distance = a.entities.symmetric_difference_cardinality(b.entities)
    if not 0 < distance < threshold:
        return None
    return Pair(a, b, distance, distance == abs(a.n - b.n))


def severity(pair: Pair, threshold: int) -> Outcome:
    """What a reader can conclude from the two released values.

    Rounded counts are intervals: certain of a difference → block, an interval of at least `threshold` that starts at
    nothing → pass, else review. Amounts and exact values: block.
    """
    a, b = sorted((pair.new, pair.other), key=lambda c: c.n)
    if a.variable != COUNT or None in (a.low, a.high, b.low, b.high):
        return Outcome.BLOCK
    low, high = b.low - a.high, b.high - a.low  # type: ignore[operator]
    if low >= 1 and (high < threshold or "count" in (a.op, b.op)):
        return Outcome.BLOCK
    return Outcome.PASS if low < 1 and high - max(low, 0) >= threshold else Outcome.REVIEW
