"""Whatever the table: a copied row is caught, a missing measurement never helps, small groups cannot be worked out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from policies.editions import load
from policies.verdict import Outcome
from synthetic import gates
from synthetic.distance import Comparison
from synthetic.fidelity import Fidelity
from synthetic.fields import Field
from synthetic.sidebyside import grouped, suppressed

K = 5
FIELDS = (
    Field("类", "text", "category", "quasi", 2),
    Field("值", "decimal", "amount", "sensitive", 3),
    Field("日", "date", "date", "quasi", 2),
)
ORDER = list(Outcome)


def table(rows: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    kind = rng.choice(list("甲乙丙丁"), rows)
    value = np.round(rng.normal(100, 20, rows) + 30 * (kind == "甲"), 2)
    return pl.DataFrame({"类": kind, "值": value, "日": pl.Series(rng.integers(0, 9_000, rows)).cast(pl.Date)})


def evidence(made: pl.DataFrame, seed: int) -> gates.Evidence:
    fitted, holdout = table(300, seed + 1), table(300, seed + 2)
    real = gates.RealRows(pl.concat([fitted, holdout]), fitted, holdout)
    good = Fidelity(0.9, 0.9, 0.9, 0.9, 1.0, {})
    return gates.Evidence("tree", made, FIELDS, (), {}, 600, good, "仿真数据", real)


def outcomes(one: gates.Evidence) -> dict[str, Outcome]:
    edition: Any = load("simulation")
    return {edition.rule(r.rule).check: r.outcome for r in gates.judge(one, edition).rules}


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 299), st.integers(0, 299))
def test_a_copied_row_is_always_caught(seed: int, which: int, place: int) -> None:
    one = evidence(table(300, seed), seed)
    assert one.real is not None
    # Where a held-out person happens to equal a fitted one, one such row may be chance too.
    assume(one.real.holdout.join(one.real.fitted, on=one.real.fitted.columns, how="semi").is_empty())
    made = pl.concat([one.simulated[:place], one.real.fitted[which], one.simulated[place + 1 :]])
    assert outcomes(replace(one, simulated=made, _closer={}))["exact_rows"] is Outcome.BLOCK


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.5, 1.0))
def test_many_slightly_changed_copies_are_caught_by_distance_and_by_inference(seed: int, share: float) -> None:
    one = evidence(table(300, seed), seed)
    assert one.real is not None
    copies = one.real.fitted.with_columns(pl.col("值") + 0.001)
    made = pl.concat([copies.head(round(300 * share)), one.simulated.head(300 - round(300 * share))])
    found = outcomes(replace(one, simulated=made, _closer={}))
    assert found["exact_rows"] is Outcome.PASS
    assert found["closer_to_training"] is Outcome.BLOCK
    assert found["sensitive_inference"] is Outcome.BLOCK


REMOVALS: dict[str, Any] = {
    "real": lambda e: replace(e, real=None, _closer={}),
    "holdout": lambda e: replace(e, real=replace(e.real, holdout=e.real.holdout.clear()), _closer={}),
    "fitted": lambda e: replace(e, real=replace(e.real, fitted=e.real.fitted.clear()), _closer={}),
    "every": lambda e: replace(e, real=replace(e.real, every=e.real.every.drop("值")), _closer={}),
    "fidelity": lambda e: replace(e, fidelity=Fidelity.unknown()),
    "people": lambda e: replace(e, people=None),
    "mark": lambda e: replace(e, mark=""),
    "engine": lambda e: replace(e, engine=""),
    "column": lambda e: replace(e, simulated=e.simulated.drop("类"), _closer={}),
}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(sorted(REMOVALS)), st.sampled_from(["honest", "copies", "far"]))
def test_taking_a_measured_value_away_never_improves_an_outcome(seed: int, removed: str, kind: str) -> None:
    one = evidence(table(300, seed), seed)
    assert one.real is not None
    if kind == "copies":
        one = replace(one, simulated=one.real.fitted, _closer={})
    if kind == "far":
        one = replace(one, fidelity=Fidelity(0.1, 0.1, 0.1, 0.9, 0.11, {}))
    before, after = outcomes(one), outcomes(REMOVALS[removed](one))
    assert [c for c in before if ORDER.index(after[c]) < ORDER.index(before[c])] == []
    assert max(map(ORDER.index, after.values())) > 0, "something was taken away and yet everything passes"


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 60), st.booleans())
def test_distance_agrees_with_a_plain_double_loop(seed: int, fitted: int, held: int, rough: bool) -> None:
    """Ranks and labels compared one pair at a time, in plain Python, without a matrix product."""
    rng = np.random.default_rng(seed)

    def rows(count: int) -> pl.DataFrame:
        numbers = rng.integers(0, 4, count) if rough else rng.normal(size=count)
        missing = pl.Series(rng.random(count) < 0.2)
        return pl.DataFrame({
            "a": pl.Series(rng.choice(list("xyz"), count)).set(missing, None),
            "b": pl.Series(numbers, dtype=pl.Float64).set(pl.Series(rng.random(count) < 0.2), None),
        })  # fmt: skip

    fields = (Field("a", "text", "category"), Field("b", "decimal", "number"))
    sides, made = (rows(fitted), rows(held)), rows(40)
    real = pl.concat(sides)
    known = sorted(v for v in real["b"].to_list() if v is not None)

    marks = {v: (np.searchsorted(known, v, "left") + np.searchsorted(known, v, "right")) / 2 for v in set(known)}
    places, ranks = sorted(marks), [marks[v] / len(known) for v in sorted(marks)]

    def point_of(row: tuple[Any, ...]) -> tuple[Any, float, bool]:
        return row[0], 0.0 if row[1] is None or not places else float(np.interp(row[1], places, ranks)), row[1] is None

    def gap(left: tuple[Any, float, bool], right: tuple[Any, float, bool]) -> float:
        return (left[0] != right[0]) + (left[1] - right[1]) ** 2 + (left[2] != right[2])

    points = [[point_of(row) for row in side.iter_rows()] for side in (*sides, made)]
    near = 0.0
    for point in points[2]:
        gaps = [[gap(point, other) for other in side] for side in points[:2]]
        least = min(min(gaps[0]), min(gaps[1]))
        close = [sum(g <= least + 1e-9 for g in side) for side in gaps]
        near += close[0] / sum(close)
    weighed = near / 40 / fitted, (1 - near / 40) / held
    found = Comparison(real, *sides, fields).closer(made.iter_slices(7)).share
    assert found is not None
    assert abs(found - weighed[0] / sum(weighed)) < 1e-6


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(20, 400), st.sampled_from(["label", "number", "date"]), st.booleans())
def test_every_group_that_is_shown_holds_k_people(seed: int, rows: int, kind: str, shared: bool) -> None:
    rng = np.random.default_rng(seed)
    ticks = np.round(rng.lognormal(2, 1.5, (2, rows)))
    words = [pl.Series([f"L{min(int(v), 12)}" for v in side]) for side in ticks]
    series = words if kind == "label" else [pl.Series(side, dtype=pl.Int64) for side in ticks]
    if kind == "date":
        series = [side.cast(pl.Date) for side in series]
    dtype, semantic = {"label": ("text", "category"), "number": ("integer", "number"), "date": ("date", "date")}[kind]
    real = series[0].set(pl.Series(rng.random(rows) < 0.05), None)
    people = pl.Series(rng.integers(0, max(1, rows // 4), rows) if shared else np.arange(rows))
    found = grouped(Field("x", dtype, semantic), real, series[1], people, K)  # type: ignore[arg-type]
    if found is None:
        return
    for group, share in enumerate(found.real):
        heads = people.filter(pl.Series(found.codes[0] == group)).n_unique() if share else 0
        assert heads >= K or (heads == 0 and found.labels[group] is None)
    hidden = people.filter(real.is_null()).n_unique()
    assert (found.missing[0] is None) == (0 < hidden < K)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(2, 5))
def test_a_hidden_cell_cannot_be_worked_out_from_the_shown_ones_and_all_totals(seed: int, down: int, wide: int) -> None:
    """Linear programming over everything a reader knows: for each hidden cell more than one number is possible."""
    people = np.random.default_rng(seed).poisson(9, (down, wide))
    hidden = suppressed(people, K)
    assert not ((people > 0) & (people < K) & ~hidden).any()
    cells = [tuple(c) for c in np.argwhere(hidden)]
    if not cells or hidden.all():
        return
    equations, totals = [], []
    for axis, size in ((0, down), (1, wide)):
        for at in range(size):
            inside = [c for c in cells if c[axis] == at]
            equations.append([float(c in inside) for c in cells])
            totals.append(float(sum(people[c] for c in inside)))
    for target in (c for c in cells if people[c] < K):
        aim = [float(c == target) for c in cells]
        ends = [linprog([s * a for a in aim], A_eq=equations, b_eq=totals, method="highs").fun * s for s in (1, -1)]
        assert ends[1] - ends[0] > 0.5
