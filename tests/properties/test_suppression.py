"""Intervals of hidden cells against counting every table, and what protecting them promises."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.suppression import hidden_at_random, lattice, ten_wide, with_needs
from sandbox.exports import suppression
from sandbox.exports.protecting import protect
from sandbox.exports.solver import Solver
from sandbox.exports.suppression import audit
from sandbox.exports.systems import Cell, Contradiction, Limits, Need, Relation, System
from sandbox.products.releasing import count_interval

SMALL = st.lists(st.integers(0, 4), min_size=4, max_size=9).map(
    lambda xs: np.array(xs[: len(xs) // 2 * 2 if len(xs) < 9 else 9]).reshape(3 if len(xs) == 9 else 2, -1)
)
SEEN = Need(width=0.0)
QUICK = settings(max_examples=40, deadline=None)


def hidden_in(table: np.ndarray, chosen: set[int], base: int = 1) -> System:
    """The table with its totals, counts shown rounded to `base`, the chosen inner cells hidden."""
    system = lattice(table)
    cells = []
    for i, cell in enumerate(system.cells):
        ends = count_interval(int(cell.value), base)
        hide = cell.bundle is not None and i in chosen
        shown = (float(ends[0]), float(ends[1]))
        cells.append(replace(cell, shown=shown, hidden=hide, need=SEEN if hide else None))
    return System(tuple(cells), system.relations)


def inner(system: System) -> list[int]:
    return [i for i, c in enumerate(system.cells) if c.bundle is not None]


def counted(system: System, most: int) -> dict[tuple[str, ...], tuple[int, int]]:
    """By trying every table: the ends of each hidden cell."""
    free = [i for i, c in enumerate(system.cells) if c.hidden]
    found: dict[tuple[str, ...], list[int]] = {system.cells[i].key: [] for i in free}
    for values in itertools.product(range(most + 1), repeat=len(free)):
        point = {i: c.value for i, c in enumerate(system.cells)} | dict(zip(free, values, strict=True))
        if all(r.low <= sum(k * point[i] for i, k in r.terms) <= r.high for r in system.relations):
            for i in free:
                found[system.cells[i].key].append(int(point[i]))
    return {key: (min(xs), max(xs)) for key, xs in found.items()}


@QUICK
@given(SMALL, st.sets(st.integers(0, 8), max_size=4))
def test_intervals_are_those_of_counting_every_table(table: np.ndarray, chosen: set[int]) -> None:
    system = lattice(table)
    places = {inner(system)[i] for i in chosen if i < table.size}
    system = hidden_in(table, places)
    found = {i.cell: (i.low, i.high) for i in audit(system, exact=True).intervals}
    most = 9
    for key, ends in (counted(system, most) if places else {}).items():
        if ends[1] < most:  # what was tried ends there
            assert found[key] == ends
    for i in places:
        low, high = found[system.cells[i].key]
        assert low <= system.cells[i].value <= high


@QUICK
@given(SMALL, st.sets(st.integers(0, 8), min_size=1, max_size=4), st.integers(0, 8), st.sampled_from([1, 5]))
def test_hiding_more_narrows_no_interval(table: np.ndarray, chosen: set[int], more: int, base: int) -> None:
    every = inner(lattice(table))
    places = {every[i % table.size] for i in chosen}
    less = {i.cell: i for i in audit(hidden_in(table, places, base), exact=True).intervals}
    wide = {i.cell: i for i in audit(hidden_in(table, places | {every[more % table.size]}, base), exact=True).intervals}
    assert all(wide[k].low <= less[k].low and wide[k].high >= less[k].high for k in less)


@given(st.integers(0, 10_000), st.integers(3, 100))
def test_what_rounding_tells_contains_the_truth(value: int, base: int) -> None:
    low, high = count_interval(value, base)
    assert low <= value <= high < low + base


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_what_is_protected_is_wide_enough_when_audited_again_and_nothing_hidden_is_known(seed: int, few: int) -> None:
    system = lattice(np.random.default_rng(seed).integers(5, 60, (4, 5)))
    smallest = sorted(inner(system), key=lambda i: system.cells[i].value)[:few]
    needing = with_needs(system, smallest, ten_wide)
    extra = set(protect(needing, Limits(seconds=20)))
    more = {c.bundle for c in system.cells if c.key in extra and c.bundle is not None}
    again = needing.hiding(needing.hidden | more)
    assert audit(again).safe
    seen = System(tuple(replace(c, need=c.need or Need(width=1.0)) if c.hidden else c for c in again.cells),
                  again.relations)  # fmt: skip
    assert audit(seen).safe


def test_short_moves_by_other_measures_say_what_whole_number_programs_say(monkeypatch: pytest.MonkeyPatch) -> None:
    said, asked = [], []
    whole = Solver.whole_between
    monkeypatch.setattr(suppression, "_TURNS", 0)  # they leave hardly anything to look for
    monkeypatch.setattr(Solver, "whole_between", lambda self, *of: asked.append(of) or whole(self, *of))
    for tries in (0, suppression._TRIES):
        monkeypatch.setattr(suppression, "_TRIES", tries)
        found = [audit(hidden_at_random((7, 6, 5), 60, 60, seed)).intervals for seed in range(8)]
        said.append(([[(i.cell, i.state) for i in one] for one in found], len(asked)))
        asked.clear()
    assert said[0][0] == said[1][0] and said[0][1] > 2 * said[1][1]


def test_two_by_two_by_hand() -> None:
    """Totals 7, 3 by row and 6, 4 by column, nothing else shown."""
    system = hidden_in(np.array([[4, 3], [2, 1]]), set(range(4)))
    found = {i.cell: (i.low, i.high) for i in audit(system, exact=True).intervals}
    assert found == {("0", "0"): (3, 6), ("0", "1"): (1, 4), ("1", "0"): (0, 3), ("1", "1"): (0, 3)}


def cell(name: str, value: float, *, width: float = 2.0, contributor: str | None = None) -> Cell:
    return Cell((name,), value, (value, value), hidden=True, need=Need(width=width), whole=False,
                contributor=contributor)  # fmt: skip


def test_three_pairs_give_each_value_though_no_single_sum_does() -> None:
    cells = (*(cell(name, 5.0) for name in "xyz"), Cell(("10",), 10.0, (10.0, 10.0)))
    pairs = tuple(Relation(((i, 1.0), (j, 1.0), (3, -1.0))) for i, j in ((0, 1), (1, 2), (0, 2)))
    assert {(i.low, i.high, i.state) for i in audit(System(cells, pairs)).intervals} == {(5.0, 5.0, "narrow")}


def test_two_single_contributors_do_not_protect_each_other() -> None:
    cells = (cell("a", 40.0, contributor="A"), cell("b", 60.0, contributor="B"), Cell(("t",), 100.0, (100.0, 100.0)))
    total = (Relation(((0, 1.0), (1, 1.0), (2, -1.0))),)
    found = {i.cell: i for i in audit(System(cells, total)).intervals}
    assert found["a",].state == "narrow" and found["a",].knows == "B" and found["b",].knows == "A"
    outsiders = tuple(replace(c, contributor=None) for c in cells)
    assert audit(System(outsiders, total)).safe


def test_what_does_not_add_up_is_a_contradiction_and_a_spent_budget_is_no_pass() -> None:
    cells = (cell("a", 40.0), cell("b", 60.0), Cell(("t",), 90.0, (90.0, 90.0)))
    total = (Relation(((0, 1.0), (1, 1.0), (2, -1.0))),)
    with pytest.raises(Contradiction):
        audit(System(cells, total))
    good = System((*cells[:2], Cell(("t",), 100.0, (100.0, 100.0))), total)
    assert {i.state for i in audit(good, Limits(programs=0)).intervals} == {"open"}


def beside(one: System, *others: System) -> System:
    """Systems that have nothing to do with one another as one; keys and bundles are kept apart."""
    cells, relations, many = list(one.cells), list(one.relations), 1
    for other in others:
        first, free = len(cells), 1 + max(c.bundle for c in cells if c.bundle is not None)
        cells += [
            replace(c, key=(f"{many}", *c.key), bundle=None if c.bundle is None else c.bundle + free)
            for c in other.cells
        ]
        relations += [Relation(tuple((i + first, k) for i, k in r.terms), r.low, r.high) for r in other.relations]
        many += 1
    return System(tuple(cells), tuple(relations))


@QUICK
@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 12), st.booleans())
def test_a_cell_that_nothing_ties_is_known_as_far_as_something_is_known_of_it(
    low: int, more: int, width: int, exact: bool
) -> None:
    ends = low - 0.4, low + more + 0.4
    cell = Cell(("alone",), float(low), ends, outside=ends, hidden=True, need=Need(width=float(width)), bundle=0)
    found = audit(System((cell,), ()), exact=exact).intervals[0]
    assert (found.low, found.high) == (low, low + more) and found.safe == (more >= width)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 10_000), min_size=2, max_size=3, unique=True))
def test_tables_beside_one_another_are_audited_and_protected_as_each_alone(seeds: list[int]) -> None:
    tables = []
    for seed in seeds:
        system = lattice(np.random.default_rng(seed).integers(5, 60, (4, 5)))
        smallest = min(inner(system), key=lambda i: system.cells[i].value)
        tables.append(with_needs(system, [smallest], ten_wide))
    both = beside(*tables)
    alone = [(i.low, i.high, i.state) for one in tables for i in audit(one).intervals]
    assert [(i.low, i.high, i.state) for i in audit(both).intervals] == alone
    extra = set(protect(both))
    assert len(extra) == sum(len(protect(one)) for one in tables) > 0
    more = {c.bundle for c in both.cells if c.key in extra and c.bundle is not None}
    assert audit(both.hiding(both.hidden | more)).safe
