"""Fixed columns: every row fulfils the condition exactly, and the others follow what was learned given it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest

from policies.text import UserError
from synthetic.engines.base import Ticks
from synthetic.engines.tree_engine import Tree, TreeEngine
from synthetic.fields import Field, Order, Sum
from synthetic.given import Between, read_given
from synthetic.simulate import Simulated, simulate
from tests.simulation_tables import RARE_JOB, RESIDENT_FIELDS, RESIDENT_RULES, residents

ROWS = 4_000


@pytest.fixture(scope="module")
def real() -> pl.DataFrame:
    return residents(ROWS)


def given(real: pl.DataFrame, conditions: dict[str, Any], **changes: Any) -> Simulated:
    arguments: dict[str, Any] = {
        "rows": 700, "seed": 3, "engine": "tree", "constraints": RESIDENT_RULES, "given": conditions,
    }  # fmt: skip
    return simulate(real, RESIDENT_FIELDS, **arguments | changes)


@pytest.mark.parametrize(
    ("conditions", "holds"),
    [
        ({"性别": "女"}, pl.col("性别") == "女"),
        ({"月收入": None}, pl.col("月收入").is_null()),
        ({"月收入": Between(5000, "6000.50")}, pl.col("月收入").is_between(5000, 6000.50)),
        ({"月收入": 4321.09}, pl.col("月收入") == 4321.09),
        ({"出生日期": date(1980, 2, 29)}, pl.col("出生日期") == date(1980, 2, 29)),
        ({"出生日期": "1980-02-29"}, pl.col("出生日期") == date(1980, 2, 29)),
        ({"登记日期": Between("2010-01-01", None)}, pl.col("登记日期") >= date(2010, 1, 1)),
        ({"登记日期": Between(None, "2001-12-31"), "职业": "工人", "月收入": Between(3000, 9000)},
         (pl.col("登记日期") <= date(2001, 12, 31)) & (pl.col("职业") == "工人")
         & pl.col("月收入").is_between(3000, 9000)),
    ],
)  # fmt: skip
def test_every_row_fulfils_the_conditions(real: pl.DataFrame, conditions: dict[str, Any], holds: pl.Expr) -> None:
    made = given(real, conditions)
    assert made.frame.height == 700
    assert made.frame.select(holds.all()).item()
    assert made.frame.schema == real.schema
    # Fewer than the policy's rows may fulfil it in reality: then a person decides on fidelity, but no gate is broken.
    assert made.verdict.outcome in ("pass", "review")
    assert [c["column"] for c in made.manifest["given"]] == list(conditions)


def test_identifiers_and_orders_follow_what_is_fixed(real: pl.DataFrame) -> None:
    made = given(real, {"性别": "男", "出生日期": Between("1990-01-01", "1990-12-31")}).frame
    assert (made["身份证号"].str.slice(6, 4) == "1990").all()
    assert (made["身份证号"].str.slice(16, 1).cast(int) % 2 == 1).all()
    assert (made["登记日期"] >= made["出生日期"]).all()


def test_conditions_of_enough_people_are_judged_against_those_people(real: pl.DataFrame) -> None:
    made = given(real, {"性别": "女"}, rows=2_000)
    assert made.verdict.outcome == "pass", made.verdict.findings
    assert made.manifest["fidelity"]["ratio"] > 0.95


@pytest.mark.parametrize(
    ("conditions", "code"),
    [
        ({"没有": "1"}, "simulation.given"),
        ({"姓名": "王伟"}, "simulation.given"),
        ({"职业": RARE_JOB}, "simulation.given"),
        ({"职业": Between("工人", "农民")}, "simulation.given"),
        ({"月收入": 987_654.32}, "simulation.given"),
        ({"月收入": 4321.095}, "simulation.given"),
        ({"月收入": "很多"}, "simulation.given"),
        ({"月收入": Between(6000, 5000)}, "simulation.given"),
        ({"出生日期": None}, "simulation.given"),
    ],
)
def test_what_cannot_be_fixed_is_refused_without_repeating_it(
    real: pl.DataFrame, conditions: dict[str, Any], code: str
) -> None:
    with pytest.raises(UserError) as caught:
        given(real, conditions)
    assert caught.value.code == code
    said = f"{caught.value} {caught.value.text} {caught.value.fix} {caught.value.detail}"
    assert "王伟" not in said
    assert RARE_JOB not in said


def test_totals_cannot_be_fixed() -> None:
    rng = np.random.default_rng(1)
    parts = np.round(rng.lognormal(3, 1, (800, 2)), 2)
    frame = pl.DataFrame({"药费": parts[:, 0], "检查费": parts[:, 1], "合计": np.round(parts.sum(1), 2)})
    fields = [Field(name, "decimal", "amount", level=2) for name in frame.columns]
    rules = [Sum("合计", ("药费", "检查费"))]
    with pytest.raises(UserError) as caught:
        simulate(frame, fields, rows=50, seed=1, engine="tree", constraints=rules, given={"合计": 30})
    assert caught.value.detail["columns"] == ["合计"]
    made = simulate(frame, fields, rows=500, seed=1, engine="tree", constraints=rules, given={"药费": 20}).frame
    assert (made["药费"] == 20).all()
    assert np.allclose(made["合计"], made["药费"] + made["检查费"], atol=0.005)


def test_an_engine_that_would_throw_rows_away_is_refused_and_shown(real: pl.DataFrame) -> None:
    with pytest.raises(UserError) as caught:
        given(real, {"性别": "女"}, engine="sdv")
    assert caught.value.code == "engine.conditions"
    made = given(real, {"性别": "女"}, engine="auto")
    assert {c["engine"]: c["outcome"] for c in made.manifest["candidates"]} == {"tree": "pass", "sdv": "not_run"}


def test_structure_only_cannot_fix_a_column(real: pl.DataFrame) -> None:
    for engine in ("schema", "auto"):
        with pytest.raises(UserError) as caught:
            given(real[:100], {"性别": "女"}, engine=engine)
        assert caught.value.code in ("engine.conditions", "engine.none")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("区=甲区", {"区": "甲区"}),
        ("编号=a=b", {"编号": "a=b"}),
        ("收入=", {"收入": None}),
        ("收入=3000..", {"收入": Between("3000", None)}),
        ("收入=..2.5", {"收入": Between(None, "2.5")}),
        ("日期=2020-01-01..2020-12-31", {"日期": Between("2020-01-01", "2020-12-31")}),
    ],
)
def test_conditions_can_be_written_on_a_command_line(text: str, expected: dict[str, Any]) -> None:
    assert read_given([text]) == expected


@pytest.mark.parametrize("texts", [["收入"], ["=3"], ["a=1", "a=2"]])
def test_unreadable_conditions_are_refused(texts: list[str]) -> None:
    with pytest.raises(UserError):
        read_given(texts)


# ── the distribution, against an independent way to get it: many rows, and those that do not fit thrown away ──


@pytest.fixture(scope="module")
def fitted() -> Tree:
    rng = np.random.default_rng(4)
    rows = 20_000
    cause = rng.normal(size=rows)
    frame = pl.DataFrame(
        {
            "a": np.round(cause * 100 + rng.normal(0, 40, rows)),
            "b": np.array(list("uvwxyz"))[np.clip(np.round(cause + 3 + rng.normal(0, 0.6, rows)), 0, 5).astype(int)],
            "c": pl.Series(np.round(np.exp(cause / 2) * 100)).set(pl.Series(rng.random(rows) < 0.2), None),
            "d": [f"码{i}" for i in np.minimum(rng.geometric(0.02, rows), 120)],
            "e": np.where(rng.random(rows) < 0.4, 0.0, np.round(rng.gamma(2, 50, rows) + 30 * cause)),
        }
    )
    kinds = {"a": "number", "b": "category", "c": "amount", "d": "code", "e": "amount"}
    fields = [Field(n, "text" if frame[n].dtype == pl.String else "decimal", k) for n, k in kinds.items()]
    return TreeEngine().fit(frame, fields, 0)


@pytest.mark.parametrize(
    ("conditions", "kept"),
    [
        ({"b": "w"}, pl.col("b") == "w"),
        ({"a": Ticks(-30, 75)}, pl.col("a").round(0).is_between(-30, 75)),
        ({"c": None}, pl.col("c").is_null()),
        ({"d": "码80"}, pl.col("d") == "码80"),
        ({"e": Ticks(0, 0)}, pl.col("e").round(0) == 0),
        ({"e": Ticks(60, np.inf), "b": "x"}, (pl.col("e").round(0) >= 60) & (pl.col("b") == "x")),
        ({"c": Ticks(-np.inf, 90), "a": Ticks(0, 20)},
         (pl.col("c").round(0) <= 90) & pl.col("a").round(0).is_between(0, 20)),
    ],
)  # fmt: skip
def test_conditional_rows_are_those_that_rejection_would_leave(
    fitted: Tree, conditions: dict[str, Any], kept: pl.Expr
) -> None:
    left = pl.concat([fitted.sample(500_000, seed) for seed in range(3)]).filter(kept)
    drawn = fitted.given(conditions).sample(left.height, 99)
    assert left.height > 1_000
    allowed = 2.2 * np.sqrt(1 / left.height)  # Kolmogorov-Smirnov of two samples of this size, far in the tail
    for name in ("a", "c", "e"):
        assert abs(left[name].null_count() - drawn[name].null_count()) / left.height < 2 * allowed
        assert _apart(left[name].drop_nulls(), drawn[name].drop_nulls()) < allowed * 1.5
    for name in ("b", "d"):
        shares = [f[name].value_counts(normalize=True).rename({"proportion": "p"}) for f in (left, drawn)]
        both = shares[0].join(shares[1], on=name, how="full", coalesce=True).fill_null(0.0)
        # Total variation of two samples of one distribution grows with the root of the number of labels.
        assert float((both["p"] - both["p_right"]).abs().sum()) / 2 < allowed * np.sqrt(both.height)


def _apart(left: pl.Series, right: pl.Series) -> float:
    """The Kolmogorov-Smirnov distance of whole ticks."""
    if not len(left) or not len(right):
        return float(len(left) != len(right))
    one, two = (np.sort(s.round(0).to_numpy()) for s in (left, right))
    grid = np.concatenate([one, two])
    below: Callable[[np.ndarray], np.ndarray] = lambda s: np.searchsorted(s, grid, side="right") / len(s)  # noqa: E731
    return float(np.abs(below(one) - below(two)).max())


def test_values_in_a_gap_between_bins_can_be_fixed() -> None:
    frame = pl.DataFrame({"x": np.repeat([0.0, 10.0, 500.0], 200), "y": np.repeat([1.0, 2.0, 3.0], 200)})
    tree = TreeEngine().fit(frame, [Field("x", "integer", "number"), Field("y", "integer", "number")], 0)
    near = tree.given({"x": Ticks(480, 480)}).sample(300, 1)
    assert set(near["x"]) == {480.0}
    assert (near["y"].round(0) == 3).mean() > 0.9


def test_impossible_together_is_refused() -> None:
    frame = pl.DataFrame({"x": [None] * 300 + [1.0] * 300}, schema={"x": pl.Float64})
    tree = TreeEngine().fit(frame, [Field("x", "integer", "number")], 0)
    assert tree.given({"x": None}).sample(50, 1)["x"].null_count() == 50
    with pytest.raises(UserError):
        tree.given({"x": None}).given({"x": Ticks(1, 1)})


def test_conditions_that_break_a_constraint_are_blocked(real: pl.DataFrame) -> None:
    verdict = given(real, {"登记日期": "1990-06-01", "出生日期": "1995-01-01"}).verdict
    assert verdict.outcome == "block"
    assert "SIM-CONS-01" in {f.rule for f in verdict.findings}


def test_fixed_ends_of_an_order_stay(real: pl.DataFrame) -> None:
    made = given(real, {"登记日期": "1985-05-05"}, constraints=[Order("出生日期", "登记日期")]).frame
    assert set(made["登记日期"]) == {date(1985, 5, 5)}
    assert (made["出生日期"] <= date(1985, 5, 5)).all()
