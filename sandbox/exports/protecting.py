"""Which further cells to hide so that those that must be hidden are: cheapest by one linear program at a time.

For a cell that is too narrow and for each direction: the cheapest way to move it as far as it needs is a second table,
and every shown cell that this table moves has to be hidden too. Then what turns out not to be needed is shown again.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from functools import cache

import numpy as np

from sandbox.exports.solver import SLACK, Rows, Solver, scale_of
from sandbox.exports.suppression import Interval, audit
from sandbox.exports.systems import Bounds, Cell, CellKey, Limits, Part, System, parts

_ROUNDS = 6
_SMALL, _ORDERS = 200, 8
"""Cells up to which several orders are tried, and how many."""


def protect(system: System, limits: Limits | None = None) -> tuple[CellKey, ...]:
    """The cells to hide besides those that are hidden already; none where nothing helps or the limits ended it first.

    Raises what `audit` raises.
    """
    limits = limits or Limits()
    cost = {c.bundle: c.cost for c in system.cells if c.bundle is not None}
    found = [
        _given_back(system, enough - system.hidden, limits)
        for order in range(_ORDERS if len(system.cells) <= _SMALL else 1)
        if (enough := _hidden_enough(system, order, limits)) is not None
    ]
    extra = min(found, key=lambda bundles: sum(cost[b] for b in bundles), default=frozenset())
    return tuple(c.key for c in system.cells if c.bundle in extra)


def _hidden_enough(system: System, order: int, limits: Limits) -> frozenset[int] | None:
    """All bundles to hide; None where some cell cannot be protected within the limits. `order`: 0 protects the largest
    cells first, any other number is a random order."""
    movers: _Movers | None = None
    hidden, quick = set(system.hidden), limits.without_whole
    for _ in range(_ROUNDS):
        result = audit(system.hiding(hidden), quick)
        if result.safe:
            return frozenset(hidden)
        movers = movers or _Movers(system, order, limits)
        before = len(hidden)
        movers.move([one for one in result.intervals if not one.safe], hidden)
        if len(hidden) == before:
            break
    return frozenset(hidden) if audit(system.hiding(hidden), limits).safe else None


def _given_back(system: System, extra: frozenset[int], limits: Limits) -> frozenset[int]:
    """`extra` without what is not needed, the dearest first; the limits may end the search early."""
    cost = {c.bundle: c.cost for c in system.cells if c.bundle is not None}
    fixed, quick = system.hidden, limits.without_whole
    for one in sorted(extra, key=lambda b: (-cost[b], b)):
        if limits.left <= 0 or limits.used >= limits.programs:
            return extra
        if audit(system.hiding(fixed | (extra - {one})), quick).safe:
            extra -= {one}
    return extra


class _Movers:
    """The parts in which something may have to move, each made ready when it has to."""

    def __init__(self, system: System, order: int, limits: Limits) -> None:
        tied = [part for part in parts(system, fixed=True) if part.relations]
        self._at = {system.cells[i].key: n for n, part in enumerate(tied) for i in part.places}
        self._mover = cache(lambda n: _Mover(system, tied[n], order, limits))

    def move(self, weak: Sequence[Interval], hidden: set[int]) -> None:
        """Add to `hidden` what has to be so that the weak cells can move as they need, part by part."""
        own: dict[int, list[Interval]] = defaultdict(list)
        for one in weak:
            if one.cell in self._at:
                own[self._at[one.cell]].append(one)
        for n in sorted(own):
            hidden |= self._mover(n).moving(own[n], hidden)


class _Mover:
    """One independent part in which every cell may move: columns for its way up, its way down, and, where it is shown
    rounded, for the moves that its rounding hides."""

    def __init__(self, system: System, part: Part, order: int, limits: Limits) -> None:
        self._cells = [system.cells[i] for i in part.places]
        self._order, self._limits, self._scale = order, limits, scale_of(self._cells)
        rows = Rows.of(system, part, self._scale)
        self._at = {c.key: i for i, c in enumerate(self._cells)}
        self._of: dict[int | str | None, list[int]] = defaultdict(list)
        """bundle, or only contributor, → its cells"""
        for i, cell in enumerate(self._cells):
            for name in (cell.bundle, cell.contributor):
                self._of[name].append(i)
        n = len(self._cells)
        moves = rows.moves(np.array([c.value for c in self._cells]) * self._scale, (1, -1, 1))
        low, high = np.zeros(3 * n), np.zeros(3 * n)
        for i, cell in enumerate(self._cells):
            low[2 * n + i], high[2 * n + i] = self._free(cell)
            up, down = self._room(cell)
            high[i], high[n + i] = up, down
        self._solver = Solver(moves, low, high, dual=True)
        self._n = n

    def _free(self, cell: Cell) -> Bounds:
        """How far it may move, scaled, within what is shown of it."""
        if cell.need is not None:
            return 0.0, 0.0
        return min(0.0, cell.shown[0] - cell.value) * self._scale, max(0.0, cell.shown[1] - cell.value) * self._scale

    def _room(self, cell: Cell) -> Bounds:
        """How far up and down it may move if it is hidden; not at all where it cannot be."""
        if cell.bundle is None and not cell.hidden:
            return 0.0, 0.0
        free = self._free(cell)
        up, down = (cell.outside[1] - cell.value) * self._scale, (cell.value - cell.outside[0]) * self._scale
        return max(0.0, up - free[1]), max(0.0, down + free[0])

    def moving(self, weak: Sequence[Interval], hidden: AbstractSet[int]) -> set[int]:
        """Bundles to hide so that each of these cells of the part can move as it needs."""
        found = set[int]()
        own = sorted(weak, key=lambda one: -self._cells[self._at[one.cell]].value)
        if self._order:
            own = [own[i] for i in np.random.default_rng(self._order).permutation(len(own))]
        self._solver.costs(np.array([self._cost(c, hidden) for c in self._cells] * 2 + [0.0] * self._n))
        for one in own:
            fixed = self._held(one.knows)
            for sign in (1.0, -1.0):
                new = self._moved(self._at[one.cell], sign) - hidden - found
                self._are_free(new)
                found |= new
            for c in fixed:
                self._release(c)
        return found

    def _cost(self, cell: Cell, hidden: AbstractSet[int]) -> float:
        return 0.0 if cell.hidden or cell.bundle in hidden else cell.cost

    def _held(self, contributor: str | None) -> list[int]:
        """The cells whose only contributor reads along stay where they are."""
        own = [] if contributor is None else self._of[contributor]
        for i in own:
            for column in (i, self._n + i, 2 * self._n + i):
                self._solver.bounds(column, 0.0, 0.0)
        return own

    def _release(self, i: int) -> None:
        up, down = self._room(self._cells[i])
        self._solver.bounds(i, 0.0, up)
        self._solver.bounds(self._n + i, 0.0, down)
        self._solver.bounds(2 * self._n + i, *self._free(self._cells[i]))

    def _moved(self, i: int, sign: float) -> set[int]:
        """The bundles that move when cell `i` moves as far as it needs in one direction."""
        cell = self._cells[i]
        target = distance(cell, sign) * self._scale
        column, other = (i, self._n + i) if sign > 0 else (self._n + i, i)
        room = self._room(cell)[0 if sign > 0 else 1]
        if target <= 0 or target > room or not self._limits.spend():
            return set()
        self._solver.bounds(column, target, room)
        self._solver.bounds(other, 0.0, 0.0)
        point = self._solver.feasible()
        up, down = self._room(cell)
        self._solver.bounds(i, 0.0, up)
        self._solver.bounds(self._n + i, 0.0, down)
        if point is None:
            return set()
        way = np.maximum(point[: self._n], point[self._n : 2 * self._n]) > SLACK
        return {b for c in np.flatnonzero(way).tolist() if (b := self._cells[c].bundle) is not None}

    def _are_free(self, bundles: AbstractSet[int]) -> None:
        """To move their cells costs no more: they are hidden now."""
        for one in bundles:
            for i in self._of[one]:
                self._solver.cost(i, 0.0)
                self._solver.cost(self._n + i, 0.0)


def distance(cell: Cell, sign: float) -> float:
    """How far the cell must be able to go up (sign 1) or down: of a width a part to each side, as far as there is room
    below."""
    need = cell.need
    assert need is not None
    down = max(0.0, cell.value - need.low) if math.isfinite(need.low) else 0.0
    up = max(0.0, need.high - cell.value) if math.isfinite(need.high) else 0.0
    short = need.width - up - down
    if short > 0:
        below = max(0.0, cell.value - cell.outside[0] - down)
        more = min(below, math.floor(short / 2) if cell.whole else short / 2)
        down, up = down + more, up + short - more
    return up if sign > 0 else down
