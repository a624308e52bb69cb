"""Dominance in differences: an amount less another one can rest on many entities and still be one giant's.

For a released amount inside another, the rest b∖a has the value X(b) - X(a). The largest contributions of both are
kept, so those of b that are not a's belong to the rest, exactly: a contribution of a that is among the largest of b is
among the largest of a too. Whoever else is in the rest has at most what the last of b's kept contributions is. So a
rest is dominated for sure, or possibly, or not. Values are absolute contributions, so that negative ones hide nobody;
where a part has more than the whole, the two are no sums of the same contributions and nothing can be subtracted.

Of cells that are sets of records an entity may have a part of its records in the rest. It has no more there than in the
whole, so that a rest which the two largest of the whole could fill is possibly dominated, and never for sure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from pyroaring import BitMap

from sandbox.exports.history import ReleasedCell, Unit
from sandbox.exports.ranks import members_of, ranks
from sandbox.products.records import Numbers, named

CLOSE = 1e-9
"""Relative difference up to which two contributions are one: sums of floats depend on their order."""


@dataclass(frozen=True, slots=True)
class Dominated:
    """`whole` less `part` leaves `entities`, of whom one or two hold nearly everything: surely, or it cannot be
    excluded. `share` is the largest contribution's part of the rest, at most."""

    whole: ReleasedCell
    part: ReleasedCell
    entities: int
    share: float
    certain: bool


@dataclass(frozen=True, slots=True)
class Differences:
    """What was found among the `compared` pairs that passed the bound; `complete`: there were not too many."""

    found: tuple[Dominated, ...]
    compared: int
    complete: bool


def dominated(
    new: Sequence[ReleasedCell], old: Sequence[ReleasedCell], *, threshold: int, percent: float, budget: int
) -> Differences:
    """Rests of at least `threshold` entities between a new amount and any other that the p% rule (`percent`) fails:
    what two contributors leave is less than so much of the larger one. Smaller rests are `near_pairs`'."""
    found: list[Dominated] = []
    compared = 0
    for mine, others in _groups(new, old):
        for whole, part in _nested(mine, others, threshold, percent):
            compared += 1
            if compared > budget:
                return Differences(tuple(found), budget, False)
            one = _judged_records(whole, part, threshold) if whole.unit == "record" else _judged(whole, part, percent)
            found += [one] if one and not _is_released(one, mine, others) else []
    return Differences(tuple(found), compared, True)


def _groups(
    new: Iterable[ReleasedCell], old: Iterable[ReleasedCell]
) -> Iterator[tuple[list[ReleasedCell], list[ReleasedCell]]]:
    """Amounts by kind and variable, each set and value once."""
    groups: dict[tuple[str, str], tuple[dict[tuple[str, float], ReleasedCell], ...]] = defaultdict(lambda: ({}, {}))
    for side, cells in ((0, new), (1, old)):
        for cell in cells:
            if not cell.counted and cell.x_total is not None and cell.tops:
                groups[cell.kind, cell.variable][side].setdefault((cell.bitmap, cell.x_total), cell)
    for mine, others in groups.values():
        if mine and len(mine) + len(others) > 1:
            yield list(mine.values()), [cell for key, cell in others.items() if key not in mine]


def _nested(
    new: list[ReleasedCell], old: list[ReleasedCell], threshold: int, percent: float
) -> Iterator[tuple[ReleasedCell, ReleasedCell]]:
    """(whole, part) that may be nested, one of them new, whose rest is small enough in value to be dominated."""
    cells = [*new, *old]
    sizes = np.array([cell.n for cell in cells])
    values = np.array([cell.x_total for cell in cells])
    lowest: dict[int, list[int]] = defaultdict(list)
    for i, cell in enumerate(cells):
        lowest[_lowest(cell)].append(i)
    everyone = _looked_for(new[0].unit, lowest)
    added = _looked_for(new[0].unit, [code for code, at in lowest.items() if at[0] < len(new)])
    for i, whole in enumerate(cells):
        inside = _members_among(whole, everyone if i < len(new) else added)
        parts = np.array([j for code in inside for j in lowest[code] if i < len(new) or j < len(new)], dtype=np.int64)
        with np.errstate(invalid="ignore"):
            rest = values[i] - values[parts]  # no number where both are endless: their difference may be anything
        most = (1 + percent / 100) * whole.tops[0] + (whole.tops[1] if len(whole.tops) > 1 else 0.0)
        enough = whole.unit == "record" or sizes[i] - sizes[parts] >= threshold
        kept = enough & (rest > CLOSE * values[i]) & (rest < most) | np.isnan(rest)
        yield from ((whole, cells[j]) for j in parts[kept])


def _lowest(cell: ReleasedCell) -> int:
    """The lowest-ranked member: a set that contains this one has it."""
    codes = cell.records if cell.unit == "record" else members_of(cell.entities)
    return int(codes[np.argmin(ranks(codes))])


def _looked_for(unit: Unit, members: Iterable[int]) -> BitMap | Numbers:
    return BitMap(members) if unit == "entity" else np.array(sorted(members), dtype=np.uint64)


def _members_among(cell: ReleasedCell, some: BitMap | Numbers) -> Iterable[int]:
    if isinstance(some, BitMap):
        return cell.entities & some
    at = np.searchsorted(some, cell.records)
    there = at < len(some)
    mine = cell.records[there]
    return [int(number) for number in mine[some[at[there]] == mine]]


def _judged_records(whole: ReleasedCell, part: ReleasedCell, threshold: int) -> Dominated | None:
    entities, nested = whole.apart(part)
    if not nested or part.size > whole.size or entities < threshold:
        return None
    rest = float(whole.x_total or 0) - float(part.x_total or 0)
    return Dominated(whole, part, entities, min(1.0, whole.tops[0] / rest), False)


def _is_released(one: Dominated, *known: Iterable[ReleasedCell]) -> bool:
    """Whether a rest of records is a cell itself, which the rules for cells have judged exactly."""
    if one.whole.unit == "entity":
        return False
    rest, _ = named(np.setdiff1d(one.whole.records, one.part.records, assume_unique=True))
    return any(cell.bitmap == rest for cells in known for cell in cells)


def _judged(whole: ReleasedCell, part: ReleasedCell, percent: float) -> Dominated | None:
    if not part.entities.issubset(whole.entities):
        return None
    rest = float(whole.x_total or 0) - float(part.x_total or 0)
    entities = whole.n - part.n
    known = _without(whole.tops, part.tops)
    if known and known[0] > rest * (1 + CLOSE):
        return Dominated(whole, part, entities, 1.0, False)  # no sums of the same contributions: holdings, filters
    bound = min(whole.tops[-1], rest)
    first = known[0] if known else bound
    most = known[1] if len(known) > 1 else min(bound, first, rest - first)
    least = known[1] if len(known) > 1 else (rest - first) / max(entities - 1, 1)
    if rest - first - most >= percent / 100 * first:
        return None
    certain = bool(known) and rest - first - least < percent / 100 * first
    return Dominated(whole, part, entities, first / rest, certain)


def _without(tops: Sequence[float], others: Sequence[float]) -> list[float]:
    """The contributions in `tops` that are not in `others`, each taken once."""
    left = list(others)
    found = []
    for one in tops:
        same = next((x for x in left if abs(x - one) <= CLOSE * max(abs(x), abs(one))), None)
        if same is None:
            found.append(one)
        else:
            left.remove(same)
    return found
