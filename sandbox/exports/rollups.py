"""Roll-ups: cells of one table that make up a cell of another by their labels, whoever is behind them.

A quarter's amount is the sum of its months', a street's of its departments'. One person is in several of those, so that
sets of entities do not add up and cannot tell it; labels can. A table that hides cells is looked at beside every other
table of the same variable: where the parts of a cell make up exactly its value, and some of them are hidden, the rest
of the subtraction is what those hold together. Labels are compared by what they say, not by what a job calls a column,
and periods by what they cover; the values have to add up, so that equal words for different things tie nothing.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, TypeVar

from pyroaring import BitMap

from sandbox.exports.history import COUNT, ReleasedCell

CLOSE = 1e-9
"""Relative difference up to which a sum is the value of its whole: sums of floats depend on their order."""
NOT_ADDED = ("count_distinct",)
"""Operations whose parts do not add up: one entity is in several of them."""
_PERIOD = re.compile(r"(\d{4})[年-]?(?:[Qq第]([1-4])(?:季度)?|(\d{2}|\d(?=月))[月-]?(?:(\d{2}|\d(?=日))日?)?)?")

Labels = tuple[str | None, ...]


class Labelled(Protocol):
    """A number about a set of entities: `labels` of its dimensions (None: one it is the total over)."""

    @property
    def labels(self) -> Labels: ...
    @property
    def amount(self) -> float: ...
    @property
    def entities(self) -> BitMap: ...


L = TypeVar("L", bound=Labelled)


@dataclass(frozen=True, slots=True)
class Rest:
    """`whole` less its `told` parts leaves what the `hidden` ones hold together: `entities`, and the `share` of the
    largest contribution in it where the p% rule fails for certain."""

    whole: ReleasedCell
    told: tuple[ReleasedCell, ...]
    hidden: tuple[ReleasedCell, ...]
    entities: int
    share: float | None


@dataclass(frozen=True, slots=True)
class Rests:
    """What was found; `compared` parts were looked at; `complete`: there were not too many."""

    found: tuple[Rest, ...]
    compared: int
    complete: bool


def rests(
    new: Sequence[ReleasedCell], old: Sequence[ReleasedCell], *, threshold: int, percent: float, budget: int
) -> Rests:
    """Rests of fewer than `threshold` entities, or that the p% rule (`percent`) fails, between a table and another one
    that hides some of its parts; one of the two is new. Hidden cells are to be among both."""
    found: list[Rest] = []
    compared = 0
    for wholes, parts in _beside(new, old):
        for whole, inside in made_up([cell for cell in wholes if cell.seen], parts):
            compared += len(inside)
            if compared > budget:
                return Rests(tuple(found), compared, False)
            one = _judged(whole, inside, threshold, percent)
            found += [one] if one else []
    return Rests(tuple(found), compared, True)


Table = list[ReleasedCell]


def _beside(new: Sequence[ReleasedCell], old: Sequence[ReleasedCell]) -> Iterator[tuple[Table, Table]]:
    """(cells of a table, cells of a table that hides some): of one kind and variable, one of them new."""
    mine, theirs = _tables(new), _tables(old)
    for one, others in ((mine, theirs), (theirs, mine)):
        hiding = {key: table for key, table in one.items() if any(cell.value == "suppressed" for cell in table)}
        for key, parts in hiding.items():
            yield from ((wholes, parts) for other, wholes in others.items() if key[:2] == other[:2])


def _tables(cells: Iterable[ReleasedCell]) -> Mapping[tuple[str, str, str, str, int], Table]:
    """Cells by kind and variable, and by the table and the grouping they stand in."""
    found: dict[tuple[str, str, str, str, int], Table] = defaultdict(list)
    for cell in cells:
        if cell.op not in NOT_ADDED and cell.x_total is not None and cell.value != "derived":
            found[cell.kind, cell.variable, cell.release, cell.table, cell.grouping].append(cell)
    return found


# ---- by labels ----


def made_up(wholes: Sequence[L], parts: Sequence[L]) -> Iterator[tuple[L, list[L]]]:
    """Every cell of a table with the cells of another table that its labels cover, where these add up to it."""
    shapes: dict[tuple[int, ...], list[L]] = defaultdict(list)
    for cell in wholes:
        shapes[tuple(i for i, label in enumerate(cell.labels) if label is not None)].append(cell)
    for places, alike in shapes.items():
        ways = [_way([cell.labels[i] for cell in alike], parts) for i in places]
        if None in ways:
            continue
        inside: dict[Labels, list[L]] = defaultdict(list)
        for part in parts:
            inside[tuple(way(part.labels) for way in ways if way)].append(part)
        for whole in alike:
            covered = inside.get(tuple(_spelled(whole.labels[i]) for i in places), [])
            if covered and _adds_up(whole, covered):
                yield whole, covered


Way = Callable[[Labels], "str | None"]


def _way(coarse: Sequence[str | None], parts: Sequence[Labelled]) -> Way | None:
    """How the labels of parts lead to these: by the dimension that says the same, or the same more finely; the one that
    leads to most of them. None: no dimension does."""
    wanted = {_spelled(label) for label in coarse}
    best, found = 0, None
    for place in range(max((len(part.labels) for part in parts), default=0)):
        fine = {part.labels[place] for part in parts if place < len(part.labels)}
        for reach in (_spelled, *map(_within, sorted({len(_period(label)) for label in wanted} - {0}))):
            met = len(wanted & {reach(label) for label in fine})
            if met > best:
                best, found = met, _at(place, reach)
    return found


def _at(place: int, reach: Callable[[str | None], str | None]) -> Way:
    return lambda labels: reach(labels[place]) if place < len(labels) else None


def _spelled(label: str | None) -> str | None:
    """A period as the platform spells it; anything else as it is."""
    period = _period(label)
    return _SPELLED[len(period)](period) if period else label


def _within(unit: int) -> Callable[[str | None], str | None]:
    """The period of that length that a label lies in: 1 a year, 2 a quarter, 3 a month, 4 a day."""

    def reach(label: str | None) -> str | None:
        period = _period(label)
        return _SPELLED[unit](period) if period and len(period) >= unit else None

    return reach


_SPELLED: Mapping[int, Callable[[tuple[int, ...]], str]] = {
    1: lambda p: f"{p[0]:04}",
    2: lambda p: f"{p[0]:04}-Q{p[1]}",
    3: lambda p: f"{p[0]:04}-{p[2]:02}",
    4: lambda p: f"{p[0]:04}-{p[2]:02}-{p[3]:02}",
}


@lru_cache(10_000)
def _period(label: str | None) -> tuple[int, ...]:
    """(year, quarter, month, day) as far as a label says it."""
    found = _PERIOD.fullmatch(label or "")
    if not found:
        return ()
    year, quarter, month, day = (int(g) if g else None for g in found.groups())
    if year is None or (month is not None and not 1 <= month <= 12) or (day is not None and not 1 <= day <= 31):
        return ()
    quarter = (month + 2) // 3 if month else quarter
    return tuple(one for one in (year, quarter, month, day) if one is not None)


def _adds_up(whole: Labelled, parts: Sequence[Labelled]) -> bool:
    total = math.fsum(part.amount for part in parts)
    if abs(total - whole.amount) > CLOSE * max(abs(total), abs(whole.amount)):
        return False
    return BitMap.union(*(part.entities for part in parts)) == whole.entities


# ---- what is left ----


def _judged(whole: ReleasedCell, parts: Table, threshold: int, percent: float) -> Rest | None:
    hidden = tuple(part for part in parts if part.value == "suppressed")
    told = tuple(part for part in parts if part.seen)
    if not hidden:
        return None
    entities = len(BitMap.union(*(part.entities for part in hidden)))
    share = _dominated(hidden, percent)
    return Rest(whole, told, hidden, entities, share) if entities < threshold or share is not None else None


def _dominated(hidden: Sequence[ReleasedCell], percent: float) -> float | None:
    """The largest contribution's share of what hidden amounts hold together, where two of them leave less than
    `percent` of it, whoever else is behind several. Of counts, whose rounding is judged elsewhere, nothing is said."""
    tops = sorted((top for cell in hidden for top in cell.tops[:1]), reverse=True)
    seconds = [cell.tops[1] for cell in hidden if len(cell.tops) > 1]
    total = math.fsum(cell.amount for cell in hidden)
    if not tops or total <= 0 or hidden[0].variable == COUNT:
        return None
    second = max([*(tops[1:2] if len(hidden) > 1 else []), *seconds], default=0.0)
    return tops[0] / total if total - tops[0] - second < percent / 100 * tops[0] else None
