"""Suppression: the audit by one warm model against SciPy's call, and what is hidden beside the cells that must be.

Tables of counts with all their totals, shown exactly: 30 × 40 and 12 × 10 × 9. Intervals must be those of SciPy on a
sample and early verdicts those of whole intervals, and what is protected must be so when it is audited again: the
benchmark fails otherwise.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.figures import Figure
from policies.text import Text
from sandbox.exports.protecting import distance, protect
from sandbox.exports.suppression import Audit, audit
from sandbox.exports.systems import Bounds, Cell, CellKey, Limits, Need, Relation, System

_SAMPLE = 15
_WIDTH = 10.0
_SMALL_TABLES = 12


def counts(shape: Sequence[int], seed: int) -> npt.NDArray[np.int64]:
    """A table of counts from few to hundreds."""
    return np.random.default_rng(seed).lognormal(3.2, 0.9, tuple(shape)).astype(np.int64) + 1


def lattice(table: npt.NDArray[np.int64]) -> System:
    """The table with the totals over every set of dimensions, all shown; each cell is a bundle of its own."""
    totals: dict[tuple[int | None, ...], int] = {}
    for free in itertools.product((False, True), repeat=table.ndim):
        summed = table.sum(axis=tuple(i for i, out in enumerate(free) if out), keepdims=True)
        for at in itertools.product(*(range(n) for n in summed.shape)):
            totals[tuple(None if out else i for i, out in zip(at, free, strict=True))] = int(summed[at])
    places = {at: i for i, at in enumerate(totals)}
    cells = tuple(
        Cell(tuple(map(str, at)), value, (value, value), bundle=None if None in at else i, cost=float(value))
        for i, (at, value) in enumerate(totals.items())
    )
    return System(cells, tuple(_sums(places, table.shape)))


def _sums(places: dict[tuple[int | None, ...], int], shape: Sequence[int]) -> Iterator[Relation]:
    for at, place in places.items():
        for axis, value in enumerate(at):
            if value is None:
                below = [places[(*at[:axis], i, *at[axis + 1 :])] for i in range(shape[axis])]
                yield Relation(((place, -1.0), *((b, 1.0) for b in below)))


def with_needs(system: System, primaries: Sequence[int], need: Callable[[Cell], Need]) -> System:
    """The cells at these places need protection and are hidden."""
    cells = list(system.cells)
    for i in primaries:
        cells[i] = replace(cells[i], need=need(cells[i]), hidden=True)
    return System(tuple(cells), system.relations)


def five_each_way(cell: Cell) -> Need:
    low = min(5.0, cell.value)
    return Need(cell.value - low, cell.value + 5.0, low + 5.0)


def ten_wide(cell: Cell) -> Need:
    return Need(width=_WIDTH)


def hidden_at_random(shape: Sequence[int], primaries: int, partners: int, seed: int) -> System:
    """The smallest cells need protection; others chosen at random are hidden beside them."""
    system = lattice(counts(shape, seed))
    inner = [i for i, c in enumerate(system.cells) if c.bundle is not None]
    inner.sort(key=lambda i: system.cells[i].value)
    rng = np.random.default_rng(seed)
    beside = rng.choice(inner[primaries:], partners, replace=False).tolist()
    needing = with_needs(system, inner[:primaries], five_each_way)
    return needing.hiding(needing.hidden | set(beside))


def by_scipy(system: System, place: int) -> Bounds:
    """The interval of one hidden cell by SciPy's own call of HiGHS, from nothing."""
    from scipy.optimize import linprog  # type: ignore[import-untyped]
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped]

    columns = {i: c for c, i in enumerate(i for i, cell in enumerate(system.cells) if cell.hidden)}
    rows: list[int] = []
    at: list[int] = []
    values: list[float] = []
    right: list[float] = []
    for relation in system.relations:
        inside = [(columns[i], k) for i, k in relation.terms if i in columns]
        if inside:
            at += [c for c, _ in inside]
            values += [k for _, k in inside]
            rows += [len(right)] * len(inside)
            right.append(-sum(k * system.cells[i].value for i, k in relation.terms if i not in columns))
    matrix = csr_matrix((values, (rows, at)), shape=(len(right), len(columns)))
    ends = []
    for sign in (1.0, -1.0):
        cost = np.zeros(len(columns))
        cost[columns[place]] = sign
        found = linprog(cost, A_eq=matrix, b_eq=right, bounds=(0, None), method="highs")
        ends.append(sign * found.fun if found.status == 0 else -sign * math.inf)
    return ends[0], ends[1]


def run() -> list[Figure]:
    figures: list[Figure] = []
    for shape, primaries, partners in (((30, 40), 300, 298), ((12, 10, 9), 300, 270)):
        figures += _audited(hidden_at_random(shape, primaries, partners, 1), "×".join(map(str, shape)))
    figures += _protected((30, 40), 60)
    figures += _protected((12, 10, 9), 60)
    return [*figures, *_against_the_optimum()]


def _audited(system: System, name: str) -> list[Figure]:
    seconds, exact = _timed(lambda: audit(system, exact=True))
    early_seconds, early = _timed(lambda: audit(system))
    needing = [i for i, c in enumerate(system.cells) if c.hidden and c.need]
    sample = needing[:: max(1, len(needing) // _SAMPLE)][:_SAMPLE]
    cold, theirs = _timed(lambda: [by_scipy(system, i) for i in sample])
    _same(system, sample, exact, theirs)
    if [i.safe for i in sorted(exact.intervals, key=_key)] != [i.safe for i in sorted(early.intervals, key=_key)]:
        raise AssertionError(f"{name}: stopping early changes a verdict")
    whole = cold * len(needing) / len(sample)
    return [
        Figure(f"audit_{name}", seconds, whole, "s", Text("逐格区间，对照 SciPy 冷启动（抽样外推）",
               "intervals of all cells; against SciPy's call, extrapolated from a sample")),
        Figure(f"early_stop_{name}", early_seconds, seconds, "s", Text("看到足够远的表即停，对照求出全部区间",
               "stopping as soon as a cell is seen to be safe; against whole intervals")),
        Figure(f"narrow_{name}", len(early.of("narrow")), len(needing), "cells",
               Text("保护不足的单元格，对照应保护的", "cells that are too narrow; against those that need protection")),
    ]  # fmt: skip


def _key(interval: Any) -> Any:
    return interval.cell


def _same(system: System, sample: Sequence[int], exact: Audit, theirs: Sequence[Bounds]) -> None:
    ours = {i.cell: (i.low, i.high) for i in exact.intervals}
    for place, (low, high) in zip(sample, theirs, strict=True):
        mine = ours[system.cells[place].key]
        inside = math.ceil(low - 1e-6), math.floor(high + 1e-6)
        if mine != inside:
            raise AssertionError(f"{system.cells[place].key}: {mine}, SciPy {low, high}")


def _protected(shape: Sequence[int], primaries: int) -> list[Figure]:
    system = lattice(counts(shape, 2))
    inner = sorted((i for i, c in enumerate(system.cells) if c.bundle is not None), key=lambda i: system.cells[i].value)
    needing = with_needs(system, inner[:primaries], five_each_way)
    seconds, extra = _timed(lambda: set(protect(needing, Limits(seconds=60))))
    _audit_again(needing, extra)
    name = "×".join(map(str, shape))
    return [
        Figure(f"protect_{name}", seconds, 60.0, "s", Text("补充隐去并逐个放回，对照时限",
               "hiding further cells and giving back; against its time limit")),
        Figure(f"extra_{name}", len(extra), primaries, "cells", Text("补充隐去的单元格，对照应保护的",
               "further cells hidden; against those that need protection")),
    ]  # fmt: skip


def _audit_again(system: System, extra: Collection[CellKey]) -> None:
    more = {c.bundle for c in system.cells if c.key in extra and c.bundle is not None}
    if not audit(system.hiding(system.hidden | more)).safe:
        raise AssertionError("not protected when audited again")


def _against_the_optimum() -> list[Figure]:
    ratios = []
    for seed in range(_SMALL_TABLES):
        table = counts((5, 6), 100 + seed)
        system = lattice(table)
        inner = [i for i, c in enumerate(system.cells) if c.bundle is not None]
        chosen = np.random.default_rng(seed).choice(inner, 3, replace=False).tolist()
        needing = with_needs(system, chosen, five_each_way)
        extra = set(protect(needing))
        ours = sum(c.cost for c in needing.cells if c.key in extra)
        _audit_again(needing, extra)
        best = optimum(needing)
        ratios.append(1.0 if best == 0 and ours == 0 else ours / best)
    return [
        Figure("cost_over_optimum_mean", sum(ratios) / len(ratios), 1.0, "×",
               Text("十二张 5×6 表的代价，对照整数规划最优", "cost over twelve 5×6 tables; against the integer optimum")),
        Figure("cost_over_optimum_worst", max(ratios), 1.3, "×", Text("其中最差的一张，对照上限",
               "the worst of them; against the bound")),
    ]  # fmt: skip


def optimum(system: System) -> float:
    """The least cost of what must be hidden besides: an integer program with two tables for every cell in need."""
    from scipy.optimize import Bounds as Ends
    from scipy.optimize import LinearConstraint, milp
    from scipy.sparse import lil_matrix

    cells, needing = system.cells, [i for i, c in enumerate(system.cells) if c.need]
    n, sides = len(cells), [(i, sign) for i in needing for sign in (1.0, -1.0)]
    width = n + n * len(sides)
    big = float(max(c.value for c in cells))
    lower, upper = np.zeros(width), np.ones(width)
    for i, c in enumerate(cells):
        lower[i], upper[i] = float(c.hidden), float(c.bundle is not None)
    rows: list[tuple[dict[int, float], float, float]] = []
    for s, (place, sign) in enumerate(sides):
        base = n + s * n
        lower[base : base + n] = [-c.value for c in cells]
        upper[base : base + n] = big
        rows += [({base + i: k for i, k in r.terms}, 0.0, 0.0) for r in system.relations]
        for i in range(n):
            rows.append(({base + i: 1.0, i: -big}, -math.inf, 0.0))
            rows.append(({base + i: 1.0, i: big}, 0.0, math.inf))
        rows.append(({base + place: sign}, distance(cells[place], sign), math.inf))
    matrix = lil_matrix((len(rows), width))
    for r, (terms, _, _) in enumerate(rows):
        for column, k in terms.items():
            matrix[r, column] = k
    cost = np.array([*(0.0 if c.hidden else c.cost for c in cells), *np.zeros(n * len(sides))])
    whole = np.array([1] * n + [0] * (n * len(sides)))
    found = milp(cost, integrality=whole, bounds=Ends(lower, upper),
                 constraints=LinearConstraint(matrix.tocsr(), [r[1] for r in rows], [r[2] for r in rows]))  # fmt: skip
    if found.status != 0:
        raise AssertionError(f"the integer program ended with {found.message}")
    return float(found.fun)


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found
