"""A system of cells: what is shown of each, what is true, and the relations that hold among them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sandbox.products.budget import Cancelled

if TYPE_CHECKING:
    from sandbox.products.budget import Watch

CellKey = tuple[str, ...]
"""What a cell is whatever it is called: its quantity and the set of entities behind it."""
Bounds = tuple[float, float]
UNKNOWN: Bounds = (-math.inf, math.inf)


class Contradiction(Exception):
    """No table fits what is shown: a relation between cells of different things, or a rounded cell taken as exact."""


@dataclass(frozen=True, slots=True)
class Need:
    """What protects a value: tables with at most `low`, with at least `high`, and with `width` between two of them."""

    low: float = math.inf
    high: float = -math.inf
    width: float = 0.0

    def met(self, low: float, high: float, slack: float = 0.0) -> bool:
        return low <= self.low + slack and high >= self.high - slack and high - low >= self.width - slack


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell. `shown`: what its released value lets a reader conclude, `outside`: what is known of it if it is
    hidden. `whole`: a count. `bundle`: cells that are hidden together share one; None: cannot be hidden. `contributor`:
    the only entity behind it, which knows its value; `cost` of hiding its bundle."""

    key: CellKey
    value: float
    shown: Bounds
    outside: Bounds = (0.0, math.inf)
    hidden: bool = False
    need: Need | None = None
    whole: bool = True
    bundle: int | None = None
    contributor: str | None = None
    cost: float = 1.0

    @property
    def known(self) -> Bounds:
        return self.outside if self.hidden else self.shown


@dataclass(frozen=True, slots=True)
class Relation:
    """Σ coefficient · cell lies in [low, high]; `terms` are (place of the cell, coefficient)."""

    terms: tuple[tuple[int, float], ...]
    low: float = 0.0
    high: float = 0.0


@dataclass(frozen=True, slots=True)
class System:
    cells: tuple[Cell, ...]
    relations: tuple[Relation, ...]

    def hiding(self, bundles: Iterable[int]) -> System:
        """The same with exactly the cells of these bundles hidden, besides those that are in no bundle."""
        wanted = set(bundles)
        cells = tuple(c if c.bundle is None else replace(c, hidden=c.bundle in wanted) for c in self.cells)
        return System(cells, self.relations)

    @property
    def hidden(self) -> frozenset[int]:
        return frozenset(c.bundle for c in self.cells if c.hidden and c.bundle is not None)


@dataclass
class Limits:
    """How many programs may be solved and how long it may take; `watch` is told how far it is and may end it.
    `whole_seconds`: for one integer program, where the real ones leave a count undecided; 0: whole numbers are not
    looked for."""

    programs: int = 100_000
    seconds: float = math.inf
    watch: Watch | None = None
    whole_seconds: float = 2.0
    clock: Callable[[], float] = time.monotonic
    used: int = 0
    _start: float = field(init=False)

    def __post_init__(self) -> None:
        self._start = self.clock()

    @property
    def left(self) -> float:
        """Seconds."""
        return self.seconds - (self.clock() - self._start)

    @property
    def without_whole(self) -> Limits:
        """What is left, for real programs only."""
        return Limits(self.programs - self.used, self.left, self.watch, 0.0, self.clock)

    def spend(self) -> bool:
        """Whether one more program may be solved, and that it is. Raises `Cancelled`."""
        if self.watch is not None:
            if self.watch.cancelled():
                raise Cancelled("suppression")
            self.watch.progress("suppression", min(1.0, self.used / self.programs))
        if self.used >= self.programs or self.left <= 0:
            return False
        self.used += 1
        return True


def check_truth(system: System) -> None:
    """Raises `Contradiction` unless the true values are among the tables that fit what is shown."""
    size = max((abs(c.value) for c in system.cells), default=0.0)
    for c in system.cells:
        low, high = c.known
        if not low - _noise(size) <= c.value <= high + _noise(size):
            raise Contradiction("a value outside of what is shown of it")
    for relation in system.relations:
        total = math.fsum(k * system.cells[i].value for i, k in relation.terms)
        if not relation.low - _noise(size) <= total <= relation.high + _noise(size):
            raise Contradiction("parts that are not the whole")


def _noise(size: float) -> float:
    return 1e-9 * max(1.0, size)


@dataclass(frozen=True, slots=True)
class Part:
    """Places of cells, and the relations among them and cells that are known exactly."""

    places: list[int]
    relations: list[Relation]


def parts(system: System, fixed: bool = False) -> list[Part]:
    """The independent parts; cells that are known exactly tie nothing together unless `fixed` ones count, because they
    may still be hidden."""
    free = [fixed or c.known[0] < c.known[1] for c in system.cells]
    root = list(range(len(system.cells)))

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    for relation in system.relations:
        open_ = [i for i, _ in relation.terms if free[i]]
        for i in open_[1:]:
            root[find(i)] = find(open_[0])
    found: dict[int, Part] = {}
    for i, is_free in enumerate(free):
        if is_free:
            found.setdefault(find(i), Part([], [])).places.append(i)
    for relation in system.relations:
        first = next((i for i, _ in relation.terms if free[i]), None)
        if first is not None:
            found[find(first)].relations.append(relation)
    return list(found.values())
