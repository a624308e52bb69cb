"""Linear closure: can any sum or difference of *several* released cells isolate fewer than t entities?

Entities that are in exactly the same cells form an atom. A set of atoms can be computed from the released numbers iff
its indicator is in the row space of the matrix cells × atoms. Decided from two sides: what an echelon form of short
encoded rows yields is *proved*, with integer coefficients of the released cells that are checked on the entity sets
themselves; an atom or a pair of atoms on which a random null vector of all rows does not vanish is *cleared*. What is
neither, or was not reached in time, is *open* and for people. Single atoms and pairs are decided (`DEPTH`), and larger
unions found where a row of the echelon form is one. Not searched: other unions, coefficients other than 0 and ±1 in
the target, and what follows from numbers not being negative.

Cells that are sets of records make atoms of records; how many entities an atom or a union is about is counted.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from policies.verdict import Outcome
from sandbox.exports.atoms import Columns, atoms
from sandbox.exports.differencing import once
from sandbox.exports.echelon import PRIME, Echelon, Sparse
from sandbox.exports.encoding import Encoded, encode
from sandbox.exports.history import ReleasedCell
from sandbox.exports.nullspace import PAIR_TOLERANCE, TOLERANCE, VECTORS, NullSpace, Vectors, go_on, opposite
from sandbox.products.records import BITS, ascending

if TYPE_CHECKING:
    from sandbox.products.budget import Watch

DEPTH = 2
LENGTHS = (40, 60, 80, 160, 640, 2**63)
"""Atoms of the rows that prove, tried in turn: fill grows fast, and nearly everything follows from short ones."""
MOST_RECORDS = 40_000_000
"""Records in all cells that are compared, for the memory's sake: beyond, people look."""


@dataclass(frozen=True, slots=True)
class Term:
    """A released cell and its whole-number coefficient."""

    cell: ReleasedCell
    times: int


@dataclass(frozen=True, slots=True)
class Exposure:
    """`entities` whose sum the new release makes computable: `terms` add up to it `divisor` times."""

    kind: str
    variable: str
    entities: int
    terms: tuple[Term, ...]
    divisor: int


@dataclass(frozen=True, slots=True)
class Closure:
    """`proved` exposures, how many candidates stayed `opened`, and whether everything was looked at in time."""

    exposures: tuple[Exposure, ...]
    opened: int
    complete: bool
    depth: int = DEPTH

    @property
    def decided(self) -> bool:
        return self.complete and not self.opened


def closure(
    new: Sequence[ReleasedCell], old: Sequence[ReleasedCell], *, threshold: int, seconds: float,
    watch: Watch | None = None,
) -> Closure:  # fmt: skip
    """Exposures by the new cells together with the old ones, without those the old ones gave already. Raises
    `Cancelled` where `watch` ended it."""
    deadline = time.monotonic() + seconds
    groups: dict[tuple[str, str], tuple[list[ReleasedCell], list[ReleasedCell]]] = defaultdict(lambda: ([], []))
    for side, cells in ((0, old), (1, new)):
        for cell in cells:
            groups[cell.kind, cell.variable][side].append(cell)
    found: list[Exposure] = []
    opened, complete = 0, True
    searched: dict[Shape, _Answer] = {}
    for (kind, variable), (before, mine) in groups.items():
        go_on(watch, 0.0)
        known = {cell.bitmap for cell in before}
        if all(cell.bitmap in known for cell in mine):
            continue
        mine, before = once(mine, before)
        shape = _shape(mine, before)
        if shape not in searched:
            searched[shape] = _answer(mine, before, threshold, deadline, watch)
        answer = searched[shape]
        cell_of = {cell.bitmap: cell for cell in reversed([*before, *mine])}
        for entities, terms, divisor in answer.proofs:
            made = tuple(Term(cell_of[name], times) for name, times in terms)
            found.append(Exposure(kind, variable, entities, made, divisor))
        opened, complete = opened + answer.opened, complete and answer.complete
    return Closure(tuple(found), opened, complete)


Shape = tuple[str, frozenset[str], frozenset[str], frozenset[frozenset[frozenset[str]]]]
"""Their unit, the sets of new and of old cells, and those of the groupings of each table: cells alike in it have one
answer."""
Proof = tuple[int, tuple[tuple[str, int], ...], int]
"""(entities, sets and how often each is taken, divisor) of an exposure."""


def _shape(mine: Sequence[ReleasedCell], before: Sequence[ReleasedCell]) -> Shape:
    tables: dict[tuple[str, str], dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for cell in (*mine, *before):
        tables[cell.release, cell.table][cell.grouping].add(cell.bitmap)
    shapes = frozenset(frozenset(map(frozenset, groupings.values())) for groupings in tables.values())
    first, second = (frozenset(cell.bitmap for cell in side) for side in (mine, before))
    return mine[0].unit, first, second, shapes


@dataclass(frozen=True, slots=True)
class _Answer:
    """As `Closure`, of cells of one kind and variable."""

    proofs: tuple[Proof, ...] = ()
    opened: int = 0
    complete: bool = True


def _answer(
    mine: Sequence[ReleasedCell], before: Sequence[ReleasedCell], threshold: int, deadline: float, watch: Watch | None
) -> _Answer:  # fmt: skip
    owner = None
    if mine[0].unit == "record" and sum(cell.size for cell in (*mine, *before)) > MOST_RECORDS:
        return _Answer(complete=False)
    if _apart([*mine, *before], threshold):
        return _Answer()
    if mine[0].unit == "record":
        mine, before, owner = numbered(mine, before)
    one = _Search(encode(before, mine), threshold, deadline, watch, owner)
    one.run()
    return _Answer(tuple(one.proofs()), one.opened, one.complete)


def _apart(cells: Sequence[ReleasedCell], threshold: int) -> bool:
    """Whether nobody is in two of these sets, and each has enough: all that can be computed are sums of them."""
    seen = BitMap()
    for cell in {cell.bitmap: cell for cell in cells}.values():
        if len(cell.entities) < threshold or seen.intersect(cell.entities):
            return False
        seen |= cell.entities
    return True


def numbered(
    mine: Sequence[ReleasedCell], before: Sequence[ReleasedCell]
) -> tuple[list[ReleasedCell], list[ReleasedCell], npt.NDArray[np.uint32]]:
    """Cells of records as sets of small numbers, and the owner of each number."""
    every = ascending(np.concatenate([cell.records for cell in (*mine, *before)]))

    def alike(cell: ReleasedCell) -> ReleasedCell:
        members = BitMap(np.searchsorted(every, cell.records).astype(np.uint32))
        return replace(cell, unit="entity", n=len(members), members=members.serialize())

    return [*map(alike, mine)], [*map(alike, before)], (every >> np.uint64(BITS)).astype(np.uint32)


def certainty(exposure: Exposure, threshold: int) -> Outcome:
    """What a reader can conclude from the released values of a proved combination: as of a pair of cells, an exact
    number in it gives the entities away, and rounded counts give an interval."""
    pending = any(term.cell.status == "pending" for term in exposure.terms)
    worst = Outcome.REVIEW if pending else Outcome.BLOCK
    if not exposure.terms[0].cell.counted or any(None in (term.cell.low, term.cell.high) for term in exposure.terms):
        return worst
    ends = [[term.times * end for end in (term.cell.low, term.cell.high)] for term in exposure.terms]  # type: ignore[operator]
    low, high = (sum(pick(e) for e in ends) / exposure.divisor for pick in (min, max))
    if low >= 1 and high < threshold:
        return worst
    return Outcome.PASS if low < 1 and high - max(low, 0) >= threshold else Outcome.REVIEW


@dataclass
class _Search:
    """One kind and variable."""

    encoded: Encoded
    threshold: int
    deadline: float
    watch: Watch | None = None
    owner: npt.NDArray[np.uint32] | None = None
    complete: bool = True
    opened: int = 0
    exposed: list[tuple[int, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.matrix, self.sizes, self.members = atoms(self.encoded)
        self.people = _People(self.members, self.owner) if self.owner is not None else None
        if self.people is not None:
            self.sizes = self.people.counts
        self.echelon = Echelon()

    def run(self) -> None:
        """Short rows prove, null vectors of all rows clear; longer rows are used as long as something is open."""
        if not (self.sizes < self.threshold).any():
            return
        finished, everything = self._prove(LENGTHS[0]), self._within(LENGTHS[0])
        if finished and everything:
            return
        vectors = self.space.vectors(VECTORS, self.deadline)
        flagged = self._flagged(vectors) if vectors is not None else []
        if self._unproved(flagged):
            flagged = self._after_one_more(flagged)
        for length in LENGTHS[1:]:
            unproved = self._unproved(flagged)
            if not finished or everything or (vectors is not None and not unproved):
                break
            finished, everything = self._prove(length), self._within(length)
        self.opened = 0 if finished and everything else len(unproved)
        self.complete = vectors is not None or (finished and everything)

    @cached_property
    def space(self) -> NullSpace:
        """What is orthogonal to all rows."""
        return NullSpace(self.matrix, len(self.sizes), self.watch)

    def _entities(self, columns: Iterable[int]) -> int:
        """How many entities atoms are about together."""
        some = list(columns)
        return int(self.sizes[some].sum()) if self.people is None else self.people.count(some)

    def _few(self, columns: Iterable[int]) -> bool:
        some = list(columns)
        sizes = self.sizes[some]
        if sizes.sum() < self.threshold or self.people is None:
            return bool(sizes.sum() < self.threshold)
        return bool(sizes.max() < self.threshold) and self.people.count(some) < self.threshold

    def _unproved(self, targets: Iterable[tuple[int, ...]]) -> list[tuple[int, ...]]:
        return [one for one in targets if self.echelon.certificate(one) is None]

    def _after_one_more(self, flagged: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
        """Those of these on which one more null vector vanishes, too: among millions of pairs some are flagged by
        chance, and to prove or clear one of them by longer rows takes far longer."""
        more = self.space.vectors(1, self.deadline)
        if more is None:
            return flagged
        sums = np.array([abs(more[0, list(one)].sum()) for one in flagged])
        ends = np.array([TOLERANCE if len(one) == 1 else PAIR_TOLERANCE for one in flagged])
        return [one for one, left in zip(flagged, sums < ends, strict=True) if left]

    def _within(self, length: int) -> bool:
        return bool(self.matrix.lengths.max(initial=0) <= length)

    def _prove(self, length: int) -> bool:
        """What rows of at most `length` atoms expose now and did not before; false where time ran out."""
        self.echelon = Echelon(self._ask)
        lengths = self.matrix.lengths
        short = np.flatnonzero((lengths > 0) & (lengths <= length))
        order = short[np.argsort(lengths[short], kind="stable")].tolist()
        usage = self.matrix.usage(order)
        finished = self._add((i for i in order if i < self.encoded.old), usage)
        before = set(self._small_sums())
        finished = finished and self._add((i for i in order if i >= self.encoded.old), usage)
        self.exposed = [target for target in self._small_sums() if target not in before]
        return finished

    def _add(self, rows: Iterable[int], usage: Mapping[int, int]) -> bool:
        try:
            for done, i in enumerate(rows):
                go_on(self.watch, done / len(self.matrix))
                self._in_time()
                self.echelon.add(self.matrix.row(i), i, usage)
        except TimeoutError:
            return False
        return True

    def _ask(self) -> None:
        """Between two steps with a row: a long one takes many. Raises `Cancelled`, and `TimeoutError` at the
        deadline: what the echelon form holds is true then, but nothing more may be added to it."""
        go_on(self.watch)
        self._in_time()

    def _in_time(self) -> None:
        if time.monotonic() > self.deadline:
            raise TimeoutError

    def _small_sums(self) -> Iterator[tuple[int, ...]]:
        """Columns whose sum is in the row space and that are fewer than the threshold: rows that are such a sum, and
        pairs of rows whose rests cancel."""
        rests: dict[frozenset[tuple[int, int]], list[int]] = defaultdict(list)
        for pivot, row in self.echelon.rows.items():
            if self.sizes[pivot] >= self.threshold:
                continue
            if all(v == 1 for v in row.values()):
                if self._few(row):
                    yield tuple(sorted(row))
                if len(row) == 1:
                    continue
            rests[frozenset((c, v) for c, v in row.items() if c != pivot)].append(pivot)
        for rest, pivots in rests.items():
            for other in rests.get(frozenset((c, PRIME - v) for c, v in rest), ()):
                for pivot in pivots:
                    if pivot < other and self._few((pivot, other)):
                        yield pivot, other

    def _flagged(self, vectors: Vectors) -> list[tuple[int, ...]]:
        """Small atoms, and small pairs of others, on which no null vector says that they are safe."""
        small = np.flatnonzero(self.sizes < self.threshold)
        at = vectors[:, small]
        zero = (np.abs(at) < TOLERANCE).all(axis=0)
        rest = small[~zero]
        pairs = [
            (int(u), int(v)) for u, v in zip(*opposite(at[:, ~zero]), strict=True)
            if self._few((rest[u], rest[v]))
        ]  # fmt: skip
        return [*((int(c),) for c in small[zero]), *((int(rest[u]), int(rest[v])) for u, v in pairs)]

    def proofs(self) -> Iterator[Proof]:
        """Every new exposure with its certificate over the integers; one that does not hold stays open."""
        for target in self.exposed:
            made = self.echelon.certificate(target)
            found = self.encoded.of_sets(made) if made else None
            if found is None or not self._holds(target, *found):
                self.opened += 1
                continue
            coefficients, divisor = found
            terms = tuple((self.encoded.sets[i].bitmap, times) for i, times in sorted(coefficients.items()))
            yield self._entities(target), terms, divisor

    def _holds(self, target: Sequence[int], coefficients: Sparse, divisor: int) -> bool:
        """Whether the sets, taken so many times, are the target `divisor` times: on every entity, in whole numbers."""
        total = self.encoded.together(coefficients, len(self.members))
        return total is not None and bool((total == np.where(np.isin(self.members, target), divisor, 0)).all())


class _People:
    """Whose records the atoms are."""

    def __init__(self, members: Columns, owner: npt.NDArray[np.uint32]) -> None:
        """`members`: record → atom or -1; `owner`: record → entity."""
        used = np.flatnonzero(members >= 0)
        pairs = ascending(members[used].astype(np.uint64) << np.uint64(32) | owner[used].astype(np.uint64))
        self._owners = (pairs & np.uint64(2**32 - 1)).astype(np.uint32)
        self.counts = np.bincount((pairs >> np.uint64(32)).astype(np.int64)).astype(np.int64)
        self._begins = np.concatenate([[0], np.cumsum(self.counts)])

    def count(self, atoms: Iterable[int]) -> int:
        """The number of entities that some atoms have records of."""
        parts = [self._owners[self._begins[a] : self._begins[a + 1]] for a in atoms]
        return len(np.unique(np.concatenate(parts)))
