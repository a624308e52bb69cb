"""Linear programs over a system: its relations as a matrix, and one warm HiGHS model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sandbox.exports.systems import Cell, Contradiction, Part, System

SLACK = 1e-6
"""Of a scaled value: below it two numbers are one, above it a cell counts as moved."""
_SPAN = 1e4
"""Amounts are scaled so that the largest of a system is about this."""


_FEASIBLE = 2
"""HiGHS's word for a point that satisfies everything."""


class Unsolved(Exception):
    """The solver ended without an optimum and without saying that there is none; holds its own word."""


def scale_of(cells: Sequence[Cell]) -> float:
    """What values are multiplied by before they are given to the solver, which knows absolute tolerances only."""
    size = max((abs(c.value) for c in cells), default=0.0)
    return 1.0 if all(c.whole for c in cells) or not size else _SPAN / size


@dataclass(frozen=True)
class Rows:
    """The relations of some cells as a matrix by rows; constants are moved to the bounds."""

    columns: Mapping[int, int]
    start: npt.NDArray[np.int32]
    index: npt.NDArray[np.int32]
    value: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]

    @classmethod
    def of(cls, system: System, part: Part, scale: float) -> Rows:
        columns = {place: column for column, place in enumerate(part.places)}
        start, index, value, low, high = [0], [], [], [], []
        for relation in part.relations:
            inside = [(columns[i], k) for i, k in relation.terms if i in columns]
            known = math.fsum(k * system.cells[i].value for i, k in relation.terms if i not in columns)
            index += [c for c, _ in inside]
            value += [k for _, k in inside]
            start.append(len(index))
            low.append((relation.low - known) * scale)
            high.append((relation.high - known) * scale)
        return cls(
            columns, np.asarray(start, np.int32), np.asarray(index, np.int32), np.asarray(value, np.float64),
            np.asarray(low, np.float64), np.asarray(high, np.float64),
        )  # fmt: skip

    def narrowed(self, low: npt.NDArray[np.float64], high: npt.NDArray[np.float64], rounds: int = 4) -> None:
        """Tighten the columns' bounds in place by looking at one row at a time: never narrower than what is true, and
        not always as narrow."""
        for _ in range(rounds):
            for r in range(len(self.low)):
                at = self.index[self.start[r] : self.start[r + 1]]
                k = self.value[self.start[r] : self.start[r + 1]]
                small, large = np.where(k > 0, k * low[at], k * high[at]), np.where(k > 0, k * high[at], k * low[at])
                least, most = small.sum(), large.sum()
                with np.errstate(invalid="ignore"):
                    upper, lower = self.high[r] - (least - small), self.low[r] - (most - large)
                new_high = np.where(k > 0, upper / k, lower / k)
                new_low = np.where(k > 0, lower / k, upper / k)
                low[at] = np.fmax(low[at], new_low)
                high[at] = np.fmin(high[at], new_high)

    def moves(self, point: npt.NDArray[np.float64], signs: Sequence[int]) -> Rows:
        """The same for moves away from a point: every column once for each of `signs`, one set after the other."""
        n, copies = len(point), len(signs)
        index, value = [np.zeros(0, np.int32)], [np.zeros(0)]
        for r in range(len(self.low)):
            row = slice(self.start[r], self.start[r + 1])
            index += [self.index[row] + np.int32(copy * n) for copy in range(copies)]
            value += [self.value[row] * sign for sign in signs]
        at = np.add.reduceat(point[self.index] * self.value, self.start[:-1]) if len(self.low) else np.zeros(0)
        return Rows(
            self.columns, self.start * np.int32(copies), np.concatenate(index), np.concatenate(value), self.low - at,
            self.high - at,
        )  # fmt: skip


class Solver:
    """One warm HiGHS model: presolve off, so that each basis is the start of the next program."""

    def __init__(self, rows: Rows, low: npt.NDArray[np.float64], high: npt.NDArray[np.float64], *, dual: bool) -> None:
        import highspy

        self._model, self._status = highspy.Highs(), highspy.HighsModelStatus
        self._whole = highspy.HighsVarType.kInteger
        self.size = len(low)
        options = {"output_flag": False, "presolve": "off", "solver": "simplex", "simplex_strategy": 1 if dual else 4}
        for name, value in options.items():
            self._model.setOptionValue(name, value)
        program = highspy.HighsLp()
        program.num_col_, program.num_row_ = self.size, len(rows.low)
        program.col_cost_, program.col_lower_, program.col_upper_ = np.zeros(self.size), low, high
        program.row_lower_, program.row_upper_ = rows.low, rows.high
        program.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        program.a_matrix_.start_, program.a_matrix_.index_ = rows.start, rows.index
        program.a_matrix_.value_ = rows.value
        self._model.passModel(program)

    def cost(self, column: int, cost: float) -> None:
        self._model.changeColCost(column, cost)

    def costs(self, costs: npt.NDArray[np.float64]) -> None:
        self._model.changeColsCost(self.size, np.arange(self.size, dtype=np.int32), costs)

    def bounds(self, column: int, low: float, high: float) -> None:
        self._model.changeColBounds(column, low, high)

    def all_bounds(self, low: npt.NDArray[np.float64], high: npt.NDArray[np.float64]) -> None:
        self._model.changeColsBounds(self.size, np.arange(self.size, dtype=np.int32), low, high)

    def solve(self) -> npt.NDArray[np.float64] | None:
        """The best point; None where the cost falls without end. Raises `Contradiction` and `Unsolved`."""
        self._model.run()
        status = self._model.getModelStatus()
        if status == self._status.kUnbounded:
            return None
        if status == self._status.kInfeasible:
            raise Contradiction("no table fits what is shown")
        if status != self._status.kOptimal:
            raise Unsolved(self._model.modelStatusToString(status))
        return np.asarray(self._model.getSolution().col_value)

    def restart(self) -> None:
        """Forget the basis: what follows is nearer to nothing at all than to the last program."""
        self._model.setBasis()

    def feasible(self) -> npt.NDArray[np.float64] | None:
        """As `solve`, where it may well be that no point fits: None then."""
        try:
            return self.solve()
        except Contradiction:
            return None

    def whole_between(self, column: int, low: float, high: float, seconds: float) -> npt.NDArray[np.float64]:
        """A point of whole numbers with this column in [low, high], the first that is found in time, whatever its
        cost. Raises `Contradiction` where there is none, and `Unsolved` where the time was over."""
        columns = np.arange(self.size, dtype=np.int32)
        whole = {"presolve": "on", "mip_max_improving_sols": 1, "time_limit": self._model.getRunTime() + seconds}
        before = {name: self._model.getOptionValue(name)[1] for name in whole}
        ends = self._model.getLp().col_lower_[column], self._model.getLp().col_upper_[column]
        self.bounds(column, low, high)
        self._model.changeColsIntegrality(self.size, columns, np.full(self.size, self._whole))
        for name, value in whole.items():
            self._model.setOptionValue(name, value)
        try:
            self._model.run()
            status, solution = self._model.getModelStatus(), self._model.getSolution()
            if status == self._status.kInfeasible:
                raise Contradiction("no table of whole numbers fits")
            if self._model.getInfo().primal_solution_status != _FEASIBLE:
                raise Unsolved(self._model.modelStatusToString(status))
            return np.asarray(solution.col_value)
        finally:
            for name, value in before.items():
                self._model.setOptionValue(name, value)
            self._model.changeColsIntegrality(self.size, columns, np.full(self.size, type(self._whole).kContinuous))
            self.bounds(column, *ends)
