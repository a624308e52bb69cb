"""Differencing: which pairs of released cells differ in fewer than t entities.

Sound and complete by a prefix index (`ranks`): cells that differ by so few share one of their t lowest-ranked members,
so only those are compared. Cells below t (let out by some policy) are compared with each other without the index.
Nested cells, overlapping ones, snapshots of one population and recoded groups need no search of their own: cells are
sets, not labels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from policies.verdict import Outcome
from sandbox.exports.history import COUNT, ReleasedCell
from sandbox.exports.ranks import members_of, prefix

CHUNK = 256
"""New cells looked up at once: bounds the memory of the join."""

Near = Mapping[str, Collection[str]]
"""Digest of a new set → digests of the kept sets that may be near it."""
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two cells whose entity sets differ by `distance` entities; `nested`: one contains the other."""

    new: ReleasedCell
    other: ReleasedCell
    distance: int
    nested: bool


@dataclass(frozen=True, slots=True)
class Pairs:
    """All pairs found; `compared` set comparisons were made of `possible` ones; `complete` is false when the budget
    ended the search."""

    found: tuple[Pair, ...]
    compared: int
    complete: bool
    possible: int = 0


def near_pairs(
    new: Sequence[ReleasedCell], old: Sequence[ReleasedCell], *, threshold: int, budget: int = 1_000_000,
    near: Near | None = None,
) -> Pairs:  # fmt: skip
    """Pairs (a new cell, any other cell of the same kind and variable) with 0 < |aΔb| < threshold.

    `near`: which of the old sets may be near which new one, as the ledger's own index says (`ledger.near_sets`); None:
    no index is kept of these cells and one is made.
    """
    found: list[Pair] = []
    compared = possible = 0
    for mine, others in _groups(new, old):
        possible += len(mine) * (len(mine) - 1) // 2 + len(mine) * len(others)
        for first, second in _candidates(mine, others, threshold, near):
            left = max(budget - compared, 0)
            pairs = (_pair(a, b, threshold) for a, b in zip(first[:left], second[:left], strict=True))
            found += [pair for pair in pairs if pair]
            compared += len(first)
            if compared > budget:
                return Pairs(tuple(found), budget, False, possible)
    return Pairs(tuple(found), compared, True, possible)


Cells = list[ReleasedCell]


def _candidates(mine: Cells, others: Cells, threshold: int, near: Near | None) -> Iterator[tuple[Cells, Cells]]:
    index = Index([*mine, *others] if near is None else mine, threshold)
    for first, second in index.candidates(len(mine)):
        yield [index.cells[a] for a in first], [index.cells[b] for b in second]
    if near is not None:
        by_set: dict[str, Cells] = defaultdict(list)
        for cell in others:
            by_set[cell.bitmap].append(cell)
        pairs = [(a, b) for a in mine for name in sorted(near[a.bitmap]) for b in by_set.get(name, ())]
        yield [a for a, _ in pairs], [b for _, b in pairs]


def _groups(
    new: Iterable[ReleasedCell], old: Iterable[ReleasedCell]
) -> Iterator[tuple[list[ReleasedCell], list[ReleasedCell]]]:
    """New and old cells of each kind and variable, each set once a side."""
    groups: dict[tuple[str, str], tuple[list[ReleasedCell], list[ReleasedCell]]] = defaultdict(lambda: ([], []))
    for side, cells in ((0, new), (1, old)):
        for cell in cells:
            groups[cell.kind, cell.variable][side].append(cell)
    yield from (once(mine, others) for mine, others in groups.values() if mine)


def once(
    new: Sequence[ReleasedCell], old: Sequence[ReleasedCell]
) -> tuple[list[ReleasedCell], list[ReleasedCell]]:
    """Cells of one kind and variable, each set (and operation) once a side, with what all numbers of it say."""
    known = intervals([*new, *old])
    return _once(new, known), _once(old, known)


def _once(cells: Iterable[ReleasedCell], known: Mapping[tuple[str, str], Interval]) -> list[ReleasedCell]:
    found: dict[tuple[str, str], ReleasedCell] = {}
    for cell in cells:
        kept = found.get((cell.bitmap, cell.op))
        if kept is None or (kept.status == "pending" and cell.status != "pending"):
            low, high = known[cell.bitmap, cell.op]
            found[cell.bitmap, cell.op] = replace(cell, low=low, high=high)
    return list(found.values())


Interval = tuple[float | None, float | None]


def intervals(cells: Iterable[ReleasedCell]) -> dict[tuple[str, str], Interval]:
    """(set, operation) → what all its released numbers together say: their intersection. One exact number makes it
    exact (None), and so does a contradiction: then they are different numbers, and none of them is trusted to hide."""
    found: dict[tuple[str, str], Interval] = {}
    for cell in cells:
        key = cell.bitmap, cell.op
        low, high = found.get(key, (cell.low, cell.high))
        if None in (low, high, cell.low, cell.high):
            found[key] = (None, None)
            continue
        low, high = max(low, cell.low), min(high, cell.high)  # type: ignore[type-var]
        found[key] = (low, high) if low <= high else (None, None)  # type: ignore[operator]
    return found


class Index:
    """The lowest ranks of every cell, sorted, so that those sharing one are neighbours."""

    def __init__(self, cells: list[ReleasedCell], threshold: int) -> None:
        self.cells = cells
        self._threshold = threshold
        self._sizes: Indices = np.array([cell.n for cell in cells], dtype=np.int64)
        prefixes = [prefix(members_of(cell.entities), threshold) for cell in cells]
        self._lengths = np.array([len(one) for one in prefixes], dtype=np.int64)
        self._starts = np.cumsum(self._lengths) - self._lengths
        self._ranks = np.concatenate(prefixes) if prefixes else np.empty(0, np.int64)
        owners = np.repeat(np.arange(len(cells)), self._lengths)
        order = np.argsort(self._ranks, kind="stable")
        self._sorted, self._owners = self._ranks[order], owners[order]
        self._small = np.flatnonzero(self._sizes < threshold)

    def candidates(self, new: int) -> Iterator[tuple[list[int], list[int]]]:
        """Pairs (one of the first `new` cells, a cell) worth comparing, in lots; a pair of two new ones once."""
        for start in range(0, new, CHUNK):
            end = min(start + CHUNK, new)
            span = slice(self._starts[start], self._starts[end - 1] + self._lengths[end - 1])
            low, high = (np.searchsorted(self._sorted, self._ranks[span], side) for side in ("left", "right"))
            counts = high - low
            first = np.repeat(np.repeat(np.arange(start, end), self._lengths[start:end]), counts)
            within = np.arange(len(first)) - np.repeat(np.cumsum(counts) - counts, counts)
            second = self._owners[np.repeat(low, counts) + within]
            mine = np.arange(start, end)[self._sizes[start:end] < self._threshold]
            first = np.concatenate([first, np.repeat(mine, len(self._small))])
            second = np.concatenate([second, np.tile(self._small, len(mine))])
            kept = ((second > first) | (second >= new)) & (first != second)
            kept &= np.abs(self._sizes[first] - self._sizes[second]) < self._threshold
            pairs = np.unique(first[kept] * len(self.cells) + second[kept])
            yield (pairs // len(self.cells)).tolist(), (pairs % len(self.cells)).tolist()


def _pair(a: ReleasedCell, b: ReleasedCell, threshold: int) -> Pair | None:
    distance = a.entities.symmetric_difference_cardinality(b.entities)
    if not 0 < distance < threshold:
        return None
    return Pair(a, b, distance, distance == abs(a.n - b.n))


def severity(pair: Pair, threshold: int) -> Outcome:
    """What a reader can conclude from the two released values.

    Rounded counts are intervals: certain of a difference → block, an interval of at least `threshold` that starts at
    nothing → pass, else review. Amounts and exact values: block. A cell that has not left yet is no certainty: review.
    """
    a, b = sorted((pair.new, pair.other), key=lambda c: c.n)
    worst = Outcome.REVIEW if pair.other.status == "pending" else Outcome.BLOCK
    if a.variable != COUNT or None in (a.low, a.high, b.low, b.high):
        return worst
    low, high = b.low - a.high, b.high - a.low  # type: ignore[operator]
    if low >= 1 and (high < threshold or "count" in (a.op, b.op)):
        return worst
    return Outcome.PASS if low < 1 and high - max(low, 0) >= threshold else Outcome.REVIEW
