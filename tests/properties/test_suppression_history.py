"""No hidden row can be recomputed from two earlier releases without the audit saying so: against a linear program over
everybody, which knows nothing of tables, wholes and rests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog  # type: ignore[import-untyped]

from sandbox.exports.checks.suppression import reader_of
from sandbox.exports.history import ReleasedCell
from sandbox.exports.subject import ExportSubject
from sandbox.exports.suppression import audit
from sandbox.products.cells import packed
from tests.export_subjects import subject_with

PEOPLE = 10
Part = frozenset[int]


def told(release: str, grouping: int, people: Part, *, hidden: bool) -> ReleasedCell:
    name, raw = packed(sorted(people))
    return ReleasedCell(
        release, f"{release}#row={grouping}", "person", "count", "count", len(people), name, raw, None, None,
        "suppressed" if hidden else "exact", float(len(people)), table=f"{release}:n", grouping=grouping,
    )  # fmt: skip


@st.composite
def release(draw: st.DrawFn, name: str) -> list[ReleasedCell]:
    """A table of some people by some column, with a total or without, some of its cells hidden or left out."""
    column = draw(st.lists(st.integers(-1, 3), min_size=PEOPLE, max_size=PEOPLE))
    groups = [frozenset(i for i, value in enumerate(column) if value == group) for group in range(4)]
    fates = draw(st.lists(st.sampled_from(["shown", "shown", "hidden", "left out"]), min_size=4, max_size=4))
    cells = [
        told(name, 0, group, hidden=fate == "hidden")
        for group, fate in zip(groups, fates, strict=True) if group and fate != "left out"
    ]  # fmt: skip
    everybody = frozenset().union(*groups)
    return [*cells, told(name, 1, everybody, hidden=False)] if everybody and draw(st.booleans()) else cells


def product(sizes: Sequence[int], history: Sequence[ReleasedCell]) -> ExportSubject:
    """People 0, 1, … in rows of these sizes; the first row is hidden, and no total is shown."""
    subject = subject_with([(f"区{i}", [1.0] * n) for i, n in enumerate(sizes)])
    return replace(subject, hidden=frozenset({(0, "人次"), (0, "金额")}), history=tuple(history), rounding_base=1)


def recomputed(sizes: Sequence[int], history: Sequence[ReleasedCell]) -> tuple[float, float]:
    """What the first row may be: how much each person counts is unknown, every shown number is a sum of them."""
    starts = np.cumsum([0, *sizes])
    known = [set(range(a, b)) for a, b in pairwise(starts[1:])]
    known += [set(cell.entities) for cell in history if cell.seen]
    rows = [[float(i in one) for i in range(PEOPLE)] for one in known]
    aim = np.array([float(i < sizes[0]) for i in range(PEOPLE)])
    ends = [
        linprog(sign * aim, A_eq=rows or None, b_eq=[len(one) for one in known] or None, bounds=(0, None))
        for sign in (1.0, -1.0)
    ]
    return ends[0].fun, -ends[1].fun if ends[1].status == 0 else np.inf


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), release("R-1"), release("R-2"))
def test_what_two_earlier_releases_give_away_is_found(
    sizes: list[int], one: list[ReleasedCell], two: list[ReleasedCell]
) -> None:
    assume(sum(sizes) <= PEOPLE)
    history = [*one, *two]
    system = reader_of(product(sizes, history), {0}, tuple(history), 1)
    (count,) = [i for i in audit(system, exact=True).intervals if i.cell[0] == "人次"]
    assert count.low <= sizes[0] <= count.high
    low, high = recomputed(sizes, history)
    if high - low < 1e-6:
        assert (count.low, count.high, count.state) == (sizes[0], sizes[0], "narrow")
