"""Hidden cells of a product inside cells that a reader has from elsewhere: references, and everything released before.

Cells are told by the entities behind them. Whatever contains a hidden cell, and the hidden cell itself, is a whole: of
each table the cells inside it, and a rest that nobody has been told, make it up. A rest is an unknown like the hidden
cell, so what contains it is asked the same way, `HOPS` times in all: of W = H + S and T = S + U the first hop gives the
rest S, the second says what it is. Rests of one set and one value are one unknown, and the number itself where one was
released. What adds up over tables, in sums and differences of sets that overlap, is found as the closure finds it, in
the echelon form of short rows; longer ones are the closure's to decide. Where entities are in several parts of a whole,
as people in several months, sets cannot tell: there labels do (`rollups`). All of it is bounded: a history that is too
large for it is for people.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pyroaring import BitMap

from sandbox.exports.atoms import atoms
from sandbox.exports.echelon import Echelon, Sparse
from sandbox.exports.encoding import encode
from sandbox.exports.hiding import Builder, Quantity
from sandbox.exports.history import COUNT, COUNTS, ReleasedCell, labels_of
from sandbox.exports.rollups import NOT_ADDED, Labels, made_up
from sandbox.exports.systems import UNKNOWN, Cell, Relation
from sandbox.products.budget import OverBudget
from sandbox.products.evidence import Evidence

HOPS = 2
_COMPARED = 2_000_000
"""Pairs of sets that are compared at most."""
_TERMS = 200_000
"""Unknown or rounded cells in all relations together, at most."""
_ROWS, _SHORT = 4_000, 40
"""Rows of the echelon form, at most, and atoms of each."""
_SMALL = 1e-9
"""Relative difference up to which two values are one."""
Table = tuple[str, ...]
Kind = tuple[str, ...]
"""(kind of entity, variable, and of counts what is counted): only such cells are made of one another."""


@dataclass(frozen=True, eq=False)
class _Item:
    """A number about a set; `name` is the set's digest. `place`: of the product's own cell or of a rest; `cell`: what
    an earlier one would be in the system, None where it is only a number that everybody has."""

    name: str
    entities: BitMap
    value: float
    table: Table
    hidden: bool
    place: int | None = None
    cell: Cell | None = None
    labels: Labels = ()

    @property
    def amount(self) -> float:
        return self.value

    @property
    def own(self) -> bool:
        return self.table[:1] == ("own",)

    @property
    def told(self) -> tuple[object, ...]:
        """The same of two numbers that say the same."""
        return self.name, self.value, self.place, self.cell and self.cell.key


def add_earlier(
    made: Builder, own: Sequence[tuple[Quantity, Sequence[int]]], evidence: Evidence, hidden: Collection[int],
    cells: Iterable[ReleasedCell],
) -> None:  # fmt: skip
    """Add what `cells` say about the `hidden` rows. `own`: the product's quantities with the places of their rows.

    Raises `OverBudget` where there is too much to compare.
    """
    given = list(cells)
    if not given:
        return
    items = _own(own, evidence, hidden)
    for cell in given:
        kind = (cell.kind, cell.variable, *([cell.op] if cell.op in COUNTS else []))
        if cell.value != "derived" and kind in items:
            items[kind].append(_earlier(kind, cell))
    budget = _Budget()
    for kind, same in items.items():
        unknown = [item for item in same if item.own and item.hidden]
        if unknown and len(same) > sum(item.own for item in same):
            _Reach(made, kind, same, budget).run(unknown)


def _own(
    own: Sequence[tuple[Quantity, Sequence[int]]], evidence: Evidence, hidden: Collection[int]
) -> dict[Kind, list[_Item]]:
    labels = [labels_of(evidence, row) for row in range(len(evidence.rows))]
    sets = {name: BitMap.deserialize(raw) for kind in evidence.kinds for name, raw in kind.bitmaps.items()}
    items: dict[Kind, list[_Item]] = defaultdict(list)
    for quantity, places in own:
        for row, lines in enumerate(quantity.behind):
            table = ("own", quantity.name, str(evidence.groupings[row]))
            for kind, name, *_ in lines:
                one = _Item(
                    name, sets[name], quantity.values[row], table, row in hidden, places[row], labels=labels[row]
                )
                for variable in _variables(quantity):
                    items[(kind, *variable)].append(one)
    return items


def _variables(quantity: Quantity) -> tuple[tuple[str, ...], ...]:
    if quantity.whole:
        return ((COUNT, "count_distinct" if quantity.distinct else "count"),)
    return tuple((f"amount:{column}",) for column in quantity.variables)


def _earlier(kind: Kind, cell: ReleasedCell) -> _Item:
    value = float(cell.n) if cell.op == "count_distinct" or cell.x_total is None else cell.x_total
    shown = (value, value) if cell.low is None or cell.high is None else (cell.low, cell.high)
    value = min(max(value, shown[0]), shown[1])
    hidden, table = cell.value == "suppressed", (cell.release, cell.table, str(cell.grouping))
    if not hidden and shown[0] == shown[1]:
        return _Item(cell.bitmap, cell.entities, value, table, False, labels=cell.labels)
    key, outside = (*kind, cell.bitmap, repr(value), repr(shown)), (0.0 if value >= 0 else -math.inf, math.inf)
    made = Cell(key, value, shown, outside, hidden, whole=cell.op in COUNTS)
    return _Item(cell.bitmap, cell.entities, value, table, hidden, cell=made, labels=cell.labels)


@dataclass
class _Budget:
    compared: int = 0
    terms: int = 0

    def spend(self, compared: int = 0, terms: int = 0) -> None:
        self.compared, self.terms = self.compared + compared, self.terms + terms
        if self.compared > _COMPARED or self.terms > _TERMS:
            raise OverBudget("history")


class _Reach:
    """What the numbers of one kind say about some unknown ones."""

    def __init__(self, made: Builder, kind: Kind, items: Sequence[_Item], budget: _Budget) -> None:
        self._made, self._kind, self._items, self._budget = made, kind, items, budget
        self._by_member = _by_member(items)
        self._members = BitMap(self._by_member)
        self._by_set: dict[str, list[_Item]] = defaultdict(list)
        self._relations: set[Relation] = set()
        for item in items:
            self._by_set[item.name].append(item)

    def run(self, unknown: Sequence[_Item]) -> None:
        """Relate everything that contains one of the `unknown`, and what is unknown of that, `HOPS` times."""
        met = {item.name for item in unknown}
        for _ in range(HOPS):
            about = BitMap.union(*(item.entities for item in unknown))
            found = [one for whole in self._wholes(unknown) for one in self._related(whole, about)]
            unknown = list({one.name: one for one in found if one.name not in met}.values())
            met |= {one.name for one in unknown}
            if not unknown:
                break
        self._add_up()
        if self._kind[-1] not in NOT_ADDED:
            self._roll_up()

    def _roll_up(self) -> None:
        """Relate the product's tables to earlier ones whose cells they make up, or are made of, by their labels."""
        tables: dict[Table, list[_Item]] = defaultdict(list)
        for item in self._items:
            tables[item.table].append(item)
        mine, theirs = ([t for name, t in tables.items() if (name[:1] == ("own",)) is own] for own in (True, False))
        for one in mine:
            for other in theirs:
                self._budget.spend(len(one) + len(other))
                for whole, parts in (*made_up(other, one), *made_up(one, other)):
                    if any(item.hidden for item in (whole, *parts)):
                        self._relate([(whole, -1), *((part, 1) for part in parts)])

    def _wholes(self, unknown: Sequence[_Item]) -> Iterator[_Item]:
        """The unknown ones, and every number whose set contains one of them."""
        yield from unknown
        known, by_member = {one.told for one in unknown}, _by_member(unknown)
        members = BitMap(by_member)
        for item in self._items:
            for member in item.entities & members:
                inside = [one for one in by_member[member] if one.entities <= item.entities]
                self._budget.spend(len(by_member[member]))
                if inside and item.told not in known:
                    known.add(item.told)
                    yield item
                    break

    def _related(self, whole: _Item, about: BitMap) -> Iterator[_Item]:
        """What is unknown in the relations between `whole` and the cells of each table inside it; `about` whom."""
        tables: dict[Table, list[_Item]] = defaultdict(list)
        for member in whole.entities & self._members:
            self._budget.spend(len(self._by_member[member]))
            for item in self._by_member[member]:
                if item.entities <= whole.entities and item is not whole and not (whole.own and item.own):
                    tables[item.table].append(item)
        for inside in tables.values():
            yield from self._made_up(whole, inside, about)

    def _made_up(self, whole: _Item, inside: Sequence[_Item], about: BitMap) -> Iterator[_Item]:
        """`whole` = the cells inside it + a rest; nothing where that does not add up, for then they are different
        things, nor where the rest is of others only and everything else is told."""
        together = BitMap.union(*(item.entities for item in inside))
        if len(together) != sum(len(item.entities) for item in inside):
            return
        rest = whole.entities - together
        value = whole.value - math.fsum(item.value for item in inside)
        small = _SMALL * max(1.0, abs(whole.value))
        if value < -small or (not rest and value > small):
            return
        open_ = [item for item in (whole, *inside) if item.hidden or item.cell]
        if open_ or rest.intersect(about):
            left = [self._rest(rest, max(value, 0.0), small)] if rest else []
            self._relate([(whole, -1), *((part, 1) for part in (*inside, *left))])
            yield from (item for item in (*open_, *left) if item.hidden)

    def _rest(self, entities: BitMap, value: float, small: float) -> _Item:
        """The number that is told of these, or one that nobody has been told."""
        from sandbox.products.cells import packed

        name = packed(entities.to_array())[0]
        same = [item for item in self._by_set[name] if abs(item.value - value) <= small]
        if same:
            return _plainest(same)
        counted = self._kind[1] == COUNT
        known = (float(value > 0) if counted else 0.0, math.inf)
        key = (*self._kind, "rest", name, repr(round(value, 6)))
        place = self._made.add(Cell(key, value, UNKNOWN, known, True, whole=counted))
        self._by_set[name].append(found := _Item(name, entities, value, (), True, place))
        return found

    def _relate(self, sums: Sequence[tuple[_Item, int]]) -> None:
        """Σ times · item = 0; what everybody has is a constant."""
        times: dict[int, float] = defaultdict(float)
        told = 0.0
        for item, factor in sums:
            place = self._made.add(item.cell) if item.cell else item.place
            if place is None:
                told -= factor * item.value
            else:
                times[place] += factor
        relation = Relation(tuple(sorted((place, k) for place, k in times.items() if k)), told, told)
        if relation.terms and relation not in self._relations:
            self._budget.spend(terms=len(relation.terms))
            self._relations.add(relation)
            self._made.relations.append(relation)

    def _add_up(self) -> None:
        """Relate each unknown to what is told and to the unknown ones before it, wherever their sets add up."""
        best = {name: _plainest(same) for name, same in self._by_set.items()}
        encoded = encode(*([self._as_cell(i) for i in best.values() if i.hidden is side] for side in (False, True)))
        whole = atoms(encoded)[0]
        matrix = {i: whole.row(i) for i in np.flatnonzero(whole.lengths <= _SHORT).tolist()}
        usage, echelon = whole.usage([*matrix]), Echelon()
        order = sorted((i >= encoded.old, len(matrix[i]), i) for i in _beside(matrix, encoded.old))
        for unknown, _, i in order:
            made = echelon.dependency(matrix[i], i) if unknown else None
            found = encoded.of_sets(made) if made else None
            if found is None:
                echelon.add(matrix[i], i, usage)
                continue
            sums = [(best[encoded.sets[place].bitmap], times) for place, times in found[0].items()]
            small = _SMALL * math.fsum(abs(times * item.value) for item, times in sums)
            if abs(math.fsum(times * item.value for item, times in sums)) <= small:
                self._relate(sums)

    def _as_cell(self, item: _Item) -> ReleasedCell:
        release, table, grouping = item.table or ("rest", "", "0")
        return ReleasedCell(
            release, "", self._kind[0], self._kind[1], "", len(item.entities), item.name, item.entities.serialize(),
            table=table, grouping=int(grouping),
        )  # fmt: skip


def _beside(short: Mapping[int, Sparse], first: int) -> set[int]:
    """Of the short rows those from `first` on, and all that are tied to them by atoms. Raises `OverBudget`."""
    rows: set[int] = set()
    more = {i for i in short if i >= first}
    while more:
        rows |= more
        if len(rows) > _ROWS:
            raise OverBudget("history")
        columns = {column for i in more for column in short[i]}
        more = {i for i, row in short.items() if i not in rows and not columns.isdisjoint(row)}
    return rows


def _plainest(same: Sequence[_Item]) -> _Item:
    """Of numbers about one set the one that says most."""
    return min(same, key=lambda item: (item.hidden, item.cell is not None))


def _by_member(items: Iterable[_Item]) -> dict[int, list[_Item]]:
    """The items by one of their members: an item lies inside a set only if that member does."""
    found: dict[int, list[_Item]] = defaultdict(list)
    for item in items:
        if item.entities:
            found[item.entities.min()].append(item)
    return found
