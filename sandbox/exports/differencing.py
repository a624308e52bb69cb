"""Differencing: which pairs of released cells differ in fewer than t entities.

Sound and complete by an index (`ranks`): cells that differ by so few share one of their t lowest-ranked members, so
only those are compared. Cells below t (let out by some policy) are compared with each other without the index.
Nested cells, overlapping ones, snapshots of one population and recoded groups need no search of their own: cells are
sets, not labels. Cells that are sets of records are compared as such; how many entities the difference is about counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from policies.verdict import Outcome
from sandbox.exports.history import ReleasedCell
from sandbox.exports.ranks import PREFIX, Lowest, Near

LOT = 4096
"""Cells looked through at once: bounds the memory."""

NearSets = Mapping[str, Collection[str]]
"""Digest of a new set → digests of the sets, new and kept, that may be near it."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two cells whose entity sets differ by `distance` entities; `nested`: one contains the other."""

    new: ReleasedCell
    other: ReleasedCell
    distance: int
    nested: bool


@dataclass(frozen=True, slots=True)
class Pairs:
    """All pairs found; `compared` set comparisons were made; `complete` is false when the budget ended the
    search."""

    found: tuple[Pair, ...]
    compared: int
    complete: bool


def near_pairs(
    new: Sequence[ReleasedCell], old: Sequence[ReleasedCell], *, threshold: int, budget: int = 1_000_000,
    near: NearSets | None = None,
) -> Pairs:  # fmt: skip
    """Pairs (a new cell, any other cell of the same kind and variable) with 0 < |aΔb| < threshold.

    `near`: which sets may be near which new one, as the ledger's own index says (`ledger.near_sets`); None: no index is
    kept of these cells and one is made.
    """
    found: list[Pair] = []
    compared = 0
    if near is not None:  # most cells are near nothing
        new = [cell for cell in new if near[cell.bitmap]]
        wanted = set().union(*(near[cell.bitmap] for cell in new))
        old = [cell for cell in old if cell.bitmap in wanted]
    for mine, others in _groups(new, old):
        for a, b in _candidates(mine, others, threshold, near):
            if compared == budget:
                return Pairs(tuple(found), compared, False)
            compared += 1
            distance, nested = a.apart(b)
            if 0 < distance < threshold:
                found.append(Pair(a, b, distance, nested))
    return Pairs(tuple(found), compared, True)


Cells = list[ReleasedCell]


def _candidates(
    mine: Cells, others: Cells, threshold: int, near: NearSets | None
) -> Iterator[tuple[ReleasedCell, ReleasedCell]]:
    """Pairs worth comparing; one of two new cells once."""
    cells = [*mine, *others]
    if near is None:
        lowest = lowest_of(cells, min(reach(mine, threshold), PREFIX))
        look = looking(mine, lowest[: len(mine)], threshold)
        for start in range(0, len(cells), LOT):
            first, second = (side.tolist() for side in look.among(lowest[start : start + LOT]))
            yield from ((cells[a], cells[start + b]) for a, b in zip(first, second, strict=True) if start + b > a)
        return
    at: dict[str, list[int]] = defaultdict(list)
    for i, cell in enumerate(cells):
        at[cell.bitmap].append(i)
    for i, a in enumerate(mine):
        yield from ((a, cells[j]) for name in sorted(near[a.bitmap]) for j in at.get(name, ()) if j > i)


def reach(cells: Sequence[ReleasedCell], threshold: int) -> int:
    """Members, as the index counts them, that sets of the unit of `cells` can differ by if fewer than `threshold`
    entities differ, plus one: of sets of records an entity that differs is one member of either."""
    return 2 * threshold - 1 if cells[0].unit == "record" else threshold


def looking(cells: Sequence[ReleasedCell], lowest: Lowest, threshold: int) -> Near:
    """Looks for sets that differ from those of `cells`, whose index is `lowest`, by fewer than `threshold` entities.
    Where sets of records have no member in common, all their entities differ."""
    return Near(lowest, reach(cells, threshold), apart=threshold)


def lowest_of(cells: Sequence[ReleasedCell], length: int = PREFIX) -> Lowest:
    """The index of the sets of cells of one unit."""
    if cells and cells[0].unit == "record":
        return Lowest.of_records([cell.records for cell in cells], length)
    return Lowest.of([cell.entities for cell in cells], length)


def _groups(
    new: Iterable[ReleasedCell], old: Iterable[ReleasedCell]
) -> Iterator[tuple[list[ReleasedCell], list[ReleasedCell]]]:
    """New and old cells of each kind and variable that has several sets, each set once a side."""
    groups: dict[tuple[str, str], tuple[list[ReleasedCell], list[ReleasedCell]]] = defaultdict(lambda: ([], []))
    for side, cells in ((0, new), (1, old)):
        for cell in cells:
            groups[cell.kind, cell.variable][side].append(cell)
    for mine, others in groups.values():
        if mine and len({cell.bitmap for cell in (*mine, *others)}) > 1:
            yield once(mine, others)


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
            same = (cell.low, cell.high) == (low, high)
            found[cell.bitmap, cell.op] = cell if same else replace(cell, low=low, high=high)
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


def severity(pair: Pair, threshold: int) -> Outcome:
    """What a reader can conclude from the two released values.

    Rounded counts are intervals: certain of a difference → block, an interval of at least `threshold` that starts at
    nothing → pass, else review. Amounts and exact values: block. A cell that has not left yet is no certainty: review.
    """
    a, b = sorted((pair.new, pair.other), key=lambda c: c.size)
    worst = Outcome.REVIEW if pair.other.status == "pending" else Outcome.BLOCK
    if not a.counted or None in (a.low, a.high, b.low, b.high):
        return worst
    low, high = b.low - a.high, b.high - a.low  # type: ignore[operator]
    if low >= 1 and (high < threshold or "count" in (a.op, b.op)):
        return worst
    return Outcome.PASS if low < 1 and high - max(low, 0) >= threshold else Outcome.REVIEW
