"""The matrix of released sets, written as differences: the same row space with far fewer entries.

A total less all its released parts in the same table, or a set less a nearly equal earlier one, is short. Every row has
only rows before it subtracted, each with coefficient one, so nothing is lost or gained: what could be computed from
the sets can be computed from the differences, and back. Groupings whose sets overlap (one entity in several cells) are
no parts of a total and are not subtracted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from sandbox.exports.echelon import PRIME, Sparse, whole
from sandbox.exports.history import ReleasedCell
from sandbox.exports.ranks import Indices, Lowest, members_of, spread

Codes = npt.NDArray[np.uint32]
SKETCH = 16
PROBES = 4
"""Lowest ranks under which a nearly equal set is looked for."""
TRIED = 3
"""Most similar sketches that are compared exactly."""
_PAIRS = 2**18
"""Sketches compared at once."""


@dataclass(frozen=True, slots=True)
class Row:
    """Row `index` of the sets less the rows in `minus`: `plus` and `less` are the entities left with +1 and -1."""

    index: int
    minus: tuple[int, ...]
    plus: Codes
    less: Codes

    @property
    def size(self) -> int:
        return len(self.plus) + len(self.less)


@dataclass(frozen=True, slots=True)
class Encoded:
    """`sets` are the distinct sets, the first `old` of them the history's; `rows` one row each, in the same order."""

    sets: tuple[ReleasedCell, ...]
    old: int
    rows: tuple[Row, ...]

    def of_sets(self, made: Sparse) -> tuple[Sparse, int] | None:
        """Whole numbers and a divisor: the coefficients of the sets themselves from those of the rows, modulo the
        prime; None where they are no small fractions."""
        found: Sparse = {}
        for i, times in made.items():
            for place, factor in ((i, times), *((other, -times) for other in self.rows[i].minus)):
                found[place] = (found.get(place, 0) + factor) % PRIME
        return whole({i: times for i, times in found.items() if times})

    def together(self, coefficients: Sparse, top: int) -> npt.NDArray[np.int64] | None:
        """Of each entity below `top`, how often it is in these sets taken so many times; None where that may be more
        than can be counted."""
        if sum(map(abs, coefficients.values())) >= 2**62:
            return None
        total = np.zeros(top, dtype=np.int64)
        for i, times in coefficients.items():
            total[members_of(self.sets[i].entities)] += times
        return total


NOTHING: Codes = np.empty(0, np.uint32)


def encode(old: Sequence[ReleasedCell], new: Sequence[ReleasedCell]) -> Encoded:
    """The distinct sets of both, the old ones first and small before large, as short rows; `old` only use old ones."""
    known = {cell.bitmap: cell for cell in reversed(old)}
    added = {cell.bitmap: cell for cell in reversed(new) if cell.bitmap not in known}
    sets = [*sorted(known.values(), key=_size), *sorted(added.values(), key=_size)]
    members = [members_of(cell.entities) for cell in sets]
    place = {cell.bitmap: i for i, cell in enumerate(sets)}
    parts = _parts(place, members, [*old, *new])
    alike = _alike(sets, [i for i, codes in enumerate(members) if i not in parts or 2 * parts[i].size > len(codes)])
    rows = []
    for i, codes in enumerate(members):
        row = parts.get(i)
        if i in alike:
            row = min(filter(None, (row, _less(sets, i, alike[i]))), key=lambda r: r.size, default=None)
        rows.append(row or Row(i, (), codes, NOTHING))
    return Encoded(tuple(sets), len(known), tuple(rows))


def _size(cell: ReleasedCell) -> tuple[int, str]:
    return cell.n, cell.bitmap


def _parts(place: dict[str, int], members: Sequence[Codes], cells: Iterable[ReleasedCell]) -> dict[int, Row]:
    """For every set that is a total of released parts in one of its tables, the shortest rest."""
    tables: dict[tuple[str, str], dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    for cell in cells:
        if cell.table:
            tables[cell.release, cell.table][cell.grouping].add(place[cell.bitmap])
    top = max((int(codes[-1]) for codes in members if len(codes)), default=0) + 1
    found: dict[int, Row] = {}
    done: set[frozenset[frozenset[int]]] = set()
    for groupings in tables.values():
        shape = frozenset(map(frozenset, groupings.values()))
        if len(groupings) < 2 or shape in done:
            continue
        done.add(shape)
        for parts in groupings.values():
            partition = _partition(sorted(parts), members, top)
            if partition is None:
                continue
            for total in {i for other in groupings.values() if len(other) <= len(parts) for i in other} - parts:
                row = partition.rest(total, members[total])
                if row is not None and (total not in found or row.size < found[total].size):
                    found[total] = row
    return found


@dataclass(frozen=True, slots=True)
class _Partition:
    """Disjoint sets: `owner` is entity → place in `parts`, from 1; 0 is none of them."""

    parts: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    owner: npt.NDArray[np.int32]

    def rest(self, total: int, codes: Codes) -> Row | None:
        """Set `total` less the parts that it contains whole; None where it contains none but itself."""
        owners = self.owner[codes]
        counts = np.bincount(owners, minlength=len(self.parts) + 1)
        whole = (counts[1:] == self.sizes) & (self.parts < total)
        if not whole.any():
            return None
        left = codes[~np.concatenate([[False], whole])[owners]]
        return Row(total, tuple(self.parts[whole].tolist()), left, NOTHING)


def _partition(parts: Sequence[int], members: Sequence[Codes], top: int) -> _Partition | None:
    """These sets as parts; None where one entity is in several."""
    owner = np.zeros(top, dtype=np.int32)
    for place, i in enumerate(parts, start=1):
        if owner[members[i]].any():
            return None
        owner[members[i]] = place
    sizes = np.array([len(members[i]) for i in parts], dtype=np.int64)
    return _Partition(np.array(parts, dtype=np.int64), sizes, owner)


def _alike(sets: Sequence[ReleasedCell], wanted: Sequence[int]) -> dict[int, list[int]]:
    """Of the `wanted` sets those that have earlier ones nearly as large with several of their lowest members: these,
    the most similar first, as far as they are tried. Nearly equal sets have more than one of them in common."""
    lowest = Lowest.of([cell.entities for cell in sets], SKETCH)
    marks = np.where(np.arange(SKETCH) < lowest.sizes[:, None], lowest.marks.astype(np.int64), -1)
    sizes = np.array([cell.n for cell in sets], dtype=np.int64)
    asked = np.array(wanted, dtype=np.int64)
    found: dict[int, list[int]] = defaultdict(list)
    for first, second in _sharing(marks[:, :PROBES], asked):
        close = 2 * np.abs(sizes[second] - sizes[first]) < sizes[first]
        first, second = np.divmod(np.unique(first[close] * len(sets) + second[close]), len(sets))
        mine, theirs = marks[first], marks[second]
        shared = np.zeros(len(first), dtype=np.int64)
        for mark in theirs.T:
            shared += (mine == mark[:, None]).any(axis=1) & (mark >= 0)
        first, second, shared = first[shared > 1], second[shared > 1], shared[shared > 1]
        order = np.lexsort((second, np.abs(sizes[second] - sizes[first]), -shared, first))
        place = np.arange(len(order)) - np.searchsorted(first, first)  # the first of a pair come in order
        for i, j in zip(first[place < TRIED].tolist(), second[order][place < TRIED].tolist(), strict=True):
            found[i].append(j)
    return found


def _sharing(probes: Indices, asked: Indices) -> Iterator[tuple[Indices, Indices]]:
    """(asked set, earlier set) for every probe that both have, all of an asked set at once and so many sets at a time
    that the memory is bounded."""
    owners, places = np.nonzero(probes >= 0)
    keys = np.sort(probes[owners, places].astype(np.uint64) << np.uint64(32) | owners.astype(np.uint64))
    first = np.repeat(asked, probes.shape[1])
    mine = probes[asked].ravel()
    first, marks = first[mine >= 0], mine[mine >= 0].astype(np.uint64) << np.uint64(32)
    low, high = np.searchsorted(keys, marks), np.searchsorted(keys, marks | first.astype(np.uint64))
    before = np.cumsum(high - low) - (high - low)
    lots = before[np.searchsorted(first, first)] // _PAIRS
    edges = np.flatnonzero(np.diff(lots, prepend=-1, append=-1))
    for start, end in pairwise(edges.tolist()):
        at, within = spread(low[start:end], high[start:end])
        yield first[start:end][at], (keys[within] & np.uint64(2**32 - 1)).astype(np.int64)


def _less(sets: Sequence[ReleasedCell], i: int, earlier: Iterable[int]) -> Row | None:
    """Set `i` less the nearest of these, if that is short."""
    one = sets[i]
    best = min(((one.entities.symmetric_difference_cardinality(sets[j].entities), j) for j in earlier), default=None)
    if best is None or 2 * best[0] >= one.n:
        return None
    other = sets[best[1]].entities
    return Row(i, (best[1],), members_of(one.entities - other), members_of(other - one.entities))
