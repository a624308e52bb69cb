"""Hidden cells of a product inside cells that a reader has from elsewhere: references, and everything released before.

Cells are told by the entities behind them. Every cell from elsewhere that shares somebody with a hidden one is a whole,
and so is every hidden one: of each table the cells inside it, and a rest that nobody has been told, make it up.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from pyroaring import BitMap

from sandbox.exports.hiding import Builder, Quantity
from sandbox.exports.history import COUNT, COUNTS, ReleasedCell
from sandbox.exports.systems import UNKNOWN, Cell
from sandbox.products.budget import OverBudget
from sandbox.products.evidence import Evidence

_COMPARED = 2_000_000
"""Pairs of sets that are compared at most."""
Table = tuple[str, ...]
Kind = tuple[str, ...]
"""(kind of entity, variable, and of counts what is counted): only such cells are made of one another."""


@dataclass(frozen=True)
class _Item:
    place: int
    value: float
    entities: BitMap
    table: Table
    hidden: bool
    own: bool


def add_earlier(
    made: Builder, own: Sequence[tuple[Quantity, Sequence[int]]], evidence: Evidence, hidden: Collection[int],
    cells: Iterable[ReleasedCell],
) -> None:  # fmt: skip
    """Add what `cells` say about the `hidden` rows. `own`: the product's quantities with the places of their rows.

    Raises `OverBudget` where there is too much to compare.
    """
    sets = {name: BitMap.deserialize(raw) for kind in evidence.kinds for name, raw in kind.bitmaps.items()}
    items: dict[Kind, list[_Item]] = defaultdict(list)
    for quantity, places in own:
        for row, lines in enumerate(quantity.behind):
            for kind, name, *_ in lines:
                for variable in _variables(quantity):
                    table = ("own", quantity.name, str(evidence.groupings[row]))
                    value = quantity.values[row]
                    items[(kind, *variable)].append(_Item(places[row], value, sets[name], table, row in hidden, True))
    for cell in cells:
        if cell.value != "derived":
            _add(made, items, cell)
    compared = 0
    for same, found in items.items():
        compared += len(found) ** 2
        if compared > _COMPARED:
            raise OverBudget("history")
        _relate(made, same, found)


def _variables(quantity: Quantity) -> tuple[tuple[str, ...], ...]:
    if quantity.whole:
        return ((COUNT, "count_distinct" if quantity.distinct else "count"),)
    return tuple((f"amount:{column}",) for column in quantity.variables)


def _add(made: Builder, items: dict[Kind, list[_Item]], cell: ReleasedCell) -> None:
    """A cell from elsewhere, if it shares anybody with a hidden cell of its kind."""
    counted = cell.op in COUNTS
    kind = (cell.kind, cell.variable, cell.op) if counted else (cell.kind, cell.variable)
    entities = cell.entities
    if not any(one.hidden and one.own and one.entities.intersect(entities) for one in items.get(kind, ())):
        return
    value = float(cell.n) if cell.op == "count_distinct" or cell.x_total is None else cell.x_total
    shown = (value, value) if cell.low is None or cell.high is None else (cell.low, cell.high)
    value = min(max(value, shown[0]), shown[1])
    hidden = cell.value == "suppressed"
    key = (*kind, cell.bitmap, repr(value), repr(shown))
    place = made.add(Cell(key, value, shown, (0.0 if value >= 0 else -math.inf, math.inf), hidden, whole=counted))
    table = (cell.release, cell.table, str(cell.grouping))
    items[kind].append(_Item(place, value, entities, table, hidden, False))


def _relate(made: Builder, kind: Kind, items: list[_Item]) -> None:
    tables: dict[Table, list[_Item]] = defaultdict(list)
    for item in items:
        tables[item.table].append(item)
    for whole in items:
        if whole.own and not whole.hidden:
            continue
        for table, members in tables.items():
            if table == whole.table or (whole.own and members[0].own):
                continue
            inside = [m for m in members if len(m.entities) <= len(whole.entities) and m.entities <= whole.entities]
            if inside and (whole.hidden or any(m.hidden for m in inside)):
                _made_up(made, kind, whole, inside)


def _made_up(made: Builder, kind: Kind, whole: _Item, inside: list[_Item]) -> None:
    """`whole` = the cells inside it + a rest; nothing where that does not add up, for then they are different things"""
    together = BitMap.union(*(m.entities for m in inside))
    if len(together) != sum(len(m.entities) for m in inside):
        return
    rest = whole.entities - together
    value = whole.value - math.fsum(m.value for m in inside)
    small = 1e-9 * max(1.0, abs(whole.value))
    places = [m.place for m in inside]
    if not rest:
        if abs(value) <= small:
            made.relate(whole.place, places)
        return
    if value < -small:
        return
    key = (*kind, "rest", *_digest(rest), repr(round(value, 6)))
    counted = kind[1] == COUNT
    known = (float(value > 0) if counted else 0.0, math.inf)
    made.relate(whole.place, [*places, made.add(Cell(key, max(value, 0.0), UNKNOWN, known, True, whole=counted))])


def _digest(entities: BitMap) -> Iterator[str]:
    from sandbox.products.cells import packed

    yield packed(entities.to_array())[0]
