"""What a reader can work out about hidden cells: intervals by linear programming.

A system is every cell of some tables with what a reader is shown of it, and the relations that hold among them (a total
is the sum of its parts). The true values satisfy it, so they are the first table that a reader has to reckon with; each
optimum of a linear program is another one. A hidden value is safe as soon as tables have been met that lie far enough
apart in it; it is too narrow when the program proves that none do. Whole numbers are believed only in tables of whole
numbers: in tables of three ways the real optimum can be wider than any of those.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from sandbox.exports.solver import SLACK, Rows, Solver, Unsolved, scale_of
from sandbox.exports.systems import (
    UNKNOWN,
    Bounds,
    Cell,
    CellKey,
    Contradiction,
    Limits,
    Need,
    Part,
    System,
    check_truth,
    parts,
)

Point = npt.NDArray[np.float64]
"""A table: one scaled value for each column."""
_TURNS = 4
"""Rounds of programs with random costs before each cell gets one of its own."""
_TRIES = 20
"""Short moves with random costs that are looked at for one of whole numbers, before an integer program is."""

State = Literal["safe", "narrow", "open"]


@dataclass(frozen=True, slots=True)
class Interval:
    """What a reader knows of one hidden cell that needs protection.

    Of a safe cell `low` and `high` are values that a reader cannot exclude; of a narrow one he can exclude everything
    outside them. `open`: not decided within the limits. `knows`: the contributor who reads along, where it is not
    anybody.
    """

    cell: CellKey
    low: float
    high: float
    need_low: float
    need_high: float
    state: State
    knows: str | None = None

    @property
    def safe(self) -> bool:
        return self.state == "safe"


@dataclass(frozen=True, slots=True)
class Audit:
    """One interval for each cell that needs protection: for the worst of its readers. `programs` were solved."""

    intervals: tuple[Interval, ...]
    programs: int

    @property
    def safe(self) -> bool:
        return all(i.safe for i in self.intervals)

    def of(self, state: State) -> tuple[Interval, ...]:
        return tuple(i for i in self.intervals if i.state == state)


def audit(system: System, limits: Limits | None = None, *, exact: bool = False) -> Audit:
    """Intervals of the hidden cells that need protection.

    `exact`: solve for the (relaxed) ends of every interval instead of stopping when a cell is seen to be safe. Raises
    `Contradiction`, `Unsolved` and `Cancelled`.
    """
    limits = limits or Limits()
    check_truth(system)
    found: list[Interval] = []
    for part in parts(system):
        places = [i for i in part.places if system.cells[i].hidden and system.cells[i].need]
        if not part.relations:
            found += [_alone(system.cells[i]) for i in places]
        elif places:
            found += _Part(system, part, limits).audited(places, exact)
    return Audit(tuple(found), limits.used)


def _alone(cell: Cell) -> Interval:
    """Of a cell that nothing ties to others a reader knows what is known of it."""
    assert cell.need is not None
    low, high = _whole(*cell.known) if cell.whole else cell.known
    met = cell.need.met(low, high, SLACK / scale_of([cell]))
    return Interval(cell.key, low, high, cell.need.low, cell.need.high, "safe" if met else "narrow")


def _whole(low: float, high: float) -> Bounds:
    """The whole numbers between two ends."""
    down = math.floor(high + SLACK) if math.isfinite(high) else high
    return (math.ceil(low - SLACK) if math.isfinite(low) else low), down


class _Part:
    """One independent part of a system, with every table that has been met on the way."""

    def __init__(self, system: System, part: Part, limits: Limits) -> None:
        self.cells = [system.cells[i] for i in part.places]
        self._scale, self._limits = scale_of(self.cells), limits
        self._whole = all(c.whole for c in self.cells)
        self._rows = Rows.of(system, part, self._scale)
        self._low, self._high = (np.array([c.known[end] for c in self.cells]) * self._scale for end in (0, 1))
        self._truth = np.array([c.value for c in self.cells]) * self._scale
        self._solver = Solver(self._rows, self._low, self._high, dual=False)
        self._moves: Solver | None = None
        self._random = np.random.default_rng(0)
        self._forget()

    def _forget(self) -> None:
        self._least, self._most = self._truth.copy(), self._truth.copy()

    def audited(self, places: Sequence[int], exact: bool) -> list[Interval]:
        """The cells at `places` of the system, for the worst of their readers."""
        columns = [self._rows.columns[i] for i in places]
        outer = (self._low.copy(), self._high.copy())
        self._rows.narrowed(*outer)
        found = {c: self._first(c, outer) for c in columns}
        if not exact:
            self._turns([c for c in columns if found[c] is None])
        done = {c: found[c] or self._interval(c, exact, None) for c in columns}
        for contributor, own in self._contributors().items():
            others = [c for c in columns if c not in own and done[c].safe]
            for c, interval in self._reading_along(contributor, own, others).items():
                done[c] = interval
        return [done[c] for c in columns]

    def _contributors(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for column, cell in enumerate(self.cells):
            if cell.hidden and cell.contributor is not None:
                found.setdefault(cell.contributor, []).append(column)
        return found

    def _reading_along(self, who: str, own: list[int], others: list[int]) -> dict[int, Interval]:
        """What the only contributor of the cells `own` can work out about others: its own values are no secret to
        it."""
        if not others:
            return {}
        kept = self._low.copy(), self._high.copy()
        self._low[own] = self._high[own] = self._truth[own]
        self._bound(own)
        self._turns(others)
        found = {c: self._interval(c, False, who) for c in others}
        self._low, self._high = kept
        self._bound(own)
        return {c: i for c, i in found.items() if not i.safe}

    def _bound(self, columns: list[int]) -> None:
        """What is known of these columns has changed: what was met before counts no longer."""
        for c in columns:
            self._solver.bounds(c, self._low[c], self._high[c])
        self._moves = None
        self._forget()

    def _first(self, c: int, outer: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]) -> Interval | None:
        """Too narrow already by looking at one row at a time."""
        low, high = self._ends(outer[0][c], outer[1][c])
        return None if self._need(c).met(low, high, self._slack) else self._as_interval(c, low, high, "narrow", None)

    def _turns(self, columns: list[int]) -> None:
        """Programs that move many cells at once: most cells are seen to be safe in what these find. First with every
        cell held back from going farther than it has to: else one takes what all could have."""
        try:
            self._solver.all_bounds(*self._far_enough())
            self._tossed(columns)
        except (Unsolved, Contradiction):  # the truth is inside of these bounds: a matter of the last digits
            self._solver.costs(np.zeros(self._solver.size))
        finally:
            self._solver.all_bounds(self._low, self._high)
        self._tossed(columns)

    def _far_enough(self) -> tuple[Point, Point]:
        """For every cell values between the true one and what it needs, inside of what is known of it."""
        low, high = self._low.copy(), self._high.copy()
        for c, cell in enumerate(self.cells):
            if cell.need is None:
                continue
            least = max(low[c], min(cell.value, cell.need.low) * self._scale)
            most = max(cell.value * self._scale, cell.need.high * self._scale, least + cell.need.width * self._scale)
            most = min(high[c], most)
            low[c], high[c] = (np.floor(least), np.ceil(most)) if self._whole else (least, most)
        return low, high

    def _tossed(self, columns: list[int]) -> None:
        """Every cell that is not seen to be safe up or down, by chance, and then all the other way."""
        for _ in range(_TURNS):
            waiting = [c for c in columns if not self._seen(c)]
            if len(waiting) < 2:
                return
            costs = np.zeros(self._solver.size)
            costs[waiting] = self._random.choice([-1.0, 1.0], len(waiting))
            for side in (costs, -costs):
                if not self._limits.spend():
                    return
                self._solver.costs(side)
                self._meet(self._solver.solve())
            self._solver.costs(np.zeros(self._solver.size))

    def _meet(self, point: Point | None) -> None:
        """Another table that a reader cannot exclude."""
        if point is None:
            return
        if self._whole:
            nearest = np.round(point)
            if np.abs(point - nearest).max() > SLACK:
                return
            point = nearest
        self._least, self._most = np.minimum(self._least, point), np.maximum(self._most, point)

    def _seen(self, c: int) -> bool:
        return self._need(c).met(self._least[c] / self._scale, self._most[c] / self._scale, self._slack)

    def _need(self, c: int) -> Need:
        need = self.cells[c].need
        assert need is not None
        return need

    @property
    def _slack(self) -> float:
        return SLACK / self._scale

    def _interval(self, c: int, exact: bool, who: str | None) -> Interval:
        near = self._whole and not self._seen(c) and self._tried(c, UNKNOWN, self._shortest_move)
        if not exact and (near or self._seen(c)):
            return self._as_interval(c, *self._met(c), "safe", who)
        ends = [self._end(c, sign) for sign in (1.0, -1.0)]
        if any(math.isnan(end) for end in ends):
            return self._as_interval(c, *self._met(c), "open", who)
        low, high = self._ends(*ends)
        if not self._need(c).met(low, high, self._slack):
            return self._as_interval(c, low, high, "narrow", who)
        if self._whole and not self._seen(c):
            safe = any(self._tried(c, (low, high), look) for look in (self._varied_moves, self._whole_numbers))
            return self._as_interval(c, *self._met(c), "safe" if safe else "open", who)
        return self._as_interval(c, low, high, "safe", who)

    def _tried(self, c: int, ends: Bounds, look: Callable[[int, float, float], Point | None]) -> bool:
        try:
            return self._reached(c, ends, look)
        except (Unsolved, Contradiction):
            return False

    def _met(self, c: int) -> Bounds:
        return self._least[c] / self._scale, self._most[c] / self._scale

    def _ends(self, low: float, high: float) -> Bounds:
        """Of a count the whole numbers inside."""
        low, high = float(low / self._scale), float(high / self._scale)
        return _whole(low, high) if self._whole else (low, high)

    def _end(self, c: int, sign: float) -> float:
        """The smallest (sign 1) or largest scaled value that some table has; infinite where none is, NaN where the
        limits ended it."""
        if not self._limits.spend():
            return math.nan
        self._solver.cost(c, sign)
        point = self._solver.solve()
        self._solver.cost(c, 0.0)
        if point is None:
            self._unbounded(c, sign)
            return -sign * math.inf
        self._meet(point)
        return float(point[c])

    def _unbounded(self, c: int, sign: float) -> None:
        if sign > 0:
            self._least[c] = -math.inf
        else:
            self._most[c] = math.inf

    def _reached(self, c: int, ends: Bounds, look: Callable[[int, float, float], Point | None]) -> bool:
        """Whether tables found by `look` protect a count that those met so far do not; it has no value outside of
        `ends`. Raises what `look` raises, and `Unsolved`."""
        for low, high in self._lacking(c, ends):
            if not self._limits.spend():
                raise Unsolved("limits")
            self._meet(look(c, max(low, self._low[c]), min(high, self._high[c])))
        return self._seen(c)

    def _lacking(self, c: int, ends: Bounds) -> Iterator[Bounds]:
        """Where tables are still to be met, one after the other: what is asked next depends on what was found."""
        need = self._need(c)
        if self._most[c] < need.high:
            yield need.high, math.inf
        if self._least[c] > need.low:
            yield -math.inf, need.low
        short = need.width - (self._most[c] - self._least[c])
        if short > 0:
            yield min(ends[1], self._most[c] + math.ceil(short / 2)), math.inf
        if self._most[c] - self._least[c] < need.width:
            yield -math.inf, max(ends[0], self._most[c] - need.width)
        if self._most[c] - self._least[c] < need.width:
            yield min(ends[1], self._least[c] + need.width), math.inf

    def _whole_numbers(self, c: int, low: float, high: float) -> Point:
        seconds = min(self._limits.left, self._limits.whole_seconds)
        if seconds <= 0:
            raise Unsolved("no time for whole numbers")
        return self._solver.whole_between(c, low, high, seconds)

    def _varied_moves(self, c: int, low: float, high: float) -> Point | None:
        """A table of whole numbers with `c` in [low, high] that is near to the true one by some measure of distance:
        if the nearest by one measure is none, that by another mostly is. None where none of some measures gives one."""
        if not self._limits.whole_seconds:
            return None
        point = self._shortest_move(c, low, high)
        for _ in range(_TRIES):
            if point is None or np.abs(point - np.round(point)).max() <= SLACK or not self._limits.spend():
                break
            assert self._moves is not None
            self._moves.costs(self._random.uniform(1.0, 3.0, self._moves.size))
            point = self._shortest_move(c, low, high)
        if self._moves is not None:
            self._moves.costs(np.ones(self._moves.size))
        return point

    def _shortest_move(self, c: int, low: float, high: float) -> Point | None:
        """The table nearest to the true one with `c` in [low, high]: short moves are mostly made of whole numbers."""
        n, up = len(self._truth), low > self._truth[c]
        if self._moves is None:
            both = np.concatenate([self._high - self._truth, self._truth - self._low])
            self._moves = Solver(self._rows.moves(self._truth, (1, -1)), np.zeros(2 * n), both, dual=True)
            self._moves.costs(np.ones(2 * n))
        own, other = (c, n + c) if up else (n + c, c)
        room = self._high[c] - self._truth[c], self._truth[c] - self._low[c]
        self._moves.bounds(own, low - self._truth[c] if up else self._truth[c] - high, room[0 if up else 1])
        self._moves.bounds(other, 0.0, 0.0)
        self._moves.restart()
        point = self._moves.feasible()
        self._moves.bounds(c, 0.0, room[0])
        self._moves.bounds(n + c, 0.0, room[1])
        return None if point is None else self._truth + point[:n] - point[n:]

    def _as_interval(self, c: int, low: float, high: float, state: State, who: str | None) -> Interval:
        need = self._need(c)
        return Interval(self.cells[c].key, low, high, need.low, need.high, state, who)
