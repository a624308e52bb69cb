"""Related tables: no orphan whatever the shape of the graph, values that follow the parent, rules across tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from policies.editions import load
from policies.text import UserError
from policies.verdict import Outcome
from synthetic.constraints import violations
from synthetic.fields import Field, Order
from synthetic.invariants import Constraint
from synthetic.links import Parent, links, orphans
from synthetic.related import simulate_related
from synthetic.tables import TableInput, sizes_of

DISTRICTS = ("东区", "西区", "南区", "北区")
HOUSE_FIELDS = (
    Field("户号", "text", "key", "none", 2, nullable=False),
    Field("区", "text", "category", "none", 2),
    Field("面积", "decimal", "number", "none", 2),
    Field("建成日期", "date", "date", "none", 2),
)
PERSON_FIELDS = (
    Field("编号", "integer", "key", "none", 2, nullable=False),
    Field("户号", "text", "key", "none", 2, references=("房屋", "户号")),
    Field("上级编号", "integer", "key", "none", 2, references=("人员", "编号")),
    Field("出生日期", "date", "date", "quasi", 2),
    Field("收入", "decimal", "amount", "none", 2),
    Field("学历", "text", "category", "none", 2),
    Field("身高", "integer", "number", "none", 2),
)
VISIT_FIELDS = (
    Field("就诊号", "text", "key", "none", 2, nullable=False),
    Field("编号", "integer", "key", "none", 2, nullable=False, references=("人员", "编号")),
    Field("陪同编号", "integer", "key", "none", 2, references=("人员", "编号")),
    Field("地点", "text", "key", "none", 2, nullable=False, references=("房屋", "户号")),
    Field("地点区", "text", "category", "none", 2, references=("房屋", "区")),
    Field("就诊区", "text", "category", "none", 2),
    Field("就诊日期", "date", "date", "none", 2),
    Field("费用", "decimal", "amount", "none", 2),
)
VISIT_RULES: tuple[Constraint, ...] = (
    Order("编号.出生日期", "就诊日期"), Order("房屋.建成日期", "就诊日期", strict=True),
)  # fmt: skip


def days(rng: np.random.Generator, first: str, span: int, n: int) -> np.ndarray:
    return np.datetime64(first) + rng.integers(0, span, n).astype("timedelta64[D]")


def houses(rng: np.random.Generator, n: int) -> pl.DataFrame:
    district = rng.choice(DISTRICTS, n)
    return pl.DataFrame(
        {
            "户号": [f"H{i:06d}" for i in range(n)],
            "区": district,
            "面积": np.round(rng.normal(80, 15, n) + 40 * (district == "东区"), 1),
            "建成日期": days(rng, "1990-01-01", 9_000, n),
        }
    )


def people(rng: np.random.Generator, homes: pl.DataFrame, n: int) -> pl.DataFrame:
    """Large houses hold more people; income follows the size of the house; a tenth has no manager."""
    weight = np.clip(homes["面积"].to_numpy() - 40, 1, None) ** 2
    home = rng.choice(homes.height, n, p=weight / weight.sum())
    boss = pl.Series(rng.integers(0, n // 8, n)).set(pl.Series(rng.random(n) < 0.1), None)
    return pl.DataFrame(
        {
            "编号": np.arange(n),
            "户号": homes["户号"].to_numpy()[home],
            "上级编号": boss,
            "出生日期": days(rng, "1950-01-01", 20_000, n),
            "收入": np.round(homes["面积"].to_numpy()[home] * 100 + rng.normal(0, 1_500, n), 2),
            "学历": rng.choice(["小学", "中学", "大学"], n),
            "身高": rng.normal(168, 9, n).astype(int),
        }
    )


def calls(rng: np.random.Generator, folk: pl.DataFrame, homes: pl.DataFrame, n: int) -> pl.DataFrame:
    """Visits near home, costlier for the old, always at a house that stands and by somebody who is born."""
    who, where = rng.integers(0, folk.height * 2 // 3, n), rng.integers(0, homes.height, n)
    age = (np.datetime64("2025-01-01") - folk["出生日期"].to_numpy()[who]).astype(int) / 365
    home = folk.join(homes, on="户号", how="left", maintain_order="left")["区"].to_numpy()[who]
    near = np.where(rng.random(n) < 0.9, home, rng.choice(DISTRICTS, n))
    return pl.DataFrame(
        {
            "就诊号": [f"V{i:07d}" for i in range(n)],
            "编号": who,
            "陪同编号": pl.Series(rng.integers(0, folk.height, n)).set(pl.Series(rng.random(n) < 0.6), None),
            "地点": homes["户号"].to_numpy()[where],
            "地点区": homes["区"].to_numpy()[where],
            "就诊区": near,
            "就诊日期": days(rng, "2022-01-01", 700, n),
            "费用": np.round(np.exp(age / 25 + rng.normal(7, 0.4, n)), 2),
        }
    )


@pytest.fixture(scope="module")
def real() -> dict[str, pl.DataFrame]:
    rng = np.random.default_rng(4)
    homes = houses(rng, 1_500)
    folk = people(rng, homes, 4_000)
    return {"房屋": homes, "人员": folk, "就诊": calls(rng, folk, homes, 9_000)}


def inputs(real: dict[str, pl.DataFrame], **rows: int) -> dict[str, TableInput]:
    plans: dict[str, Any] = {"房屋": HOUSE_FIELDS, "人员": PERSON_FIELDS, "就诊": VISIT_FIELDS}
    rules: dict[str, Any] = {"就诊": VISIT_RULES}
    return {n: TableInput(f, plans[n], rows.get(n), rules.get(n, ())) for n, f in real.items()}


@pytest.fixture(scope="module")
def made(real: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    done = simulate_related(inputs(real), seed=1, engine="tree")
    for name, one in done.items():
        assert one.verdict.outcome is Outcome.PASS, (name, one.verdict.findings)
    return {name: one.frame for name, one in done.items()}


def test_parents_children_and_grandchildren_join_completely(made: dict[str, pl.DataFrame]) -> None:
    folk, visits = made["人员"], made["就诊"]
    assert visits.join(folk, on="编号").join(made["房屋"], on="户号", how="left").height == visits.height
    assert visits["陪同编号"].drop_nulls().is_in(folk["编号"].implode()).all()
    assert folk["户号"].drop_nulls().is_in(made["房屋"]["户号"].implode()).all()


def test_columns_copied_from_one_parent_row_agree(made: dict[str, pl.DataFrame]) -> None:
    joined = made["就诊"].join(made["房屋"], left_on="地点", right_on="户号")
    assert joined.height == made["就诊"].height
    assert (joined["地点区"] == joined["区"]).all()


def test_self_reference_has_no_circle_and_keeps_its_share_of_tops(
    real: dict[str, pl.DataFrame], made: dict[str, pl.DataFrame]
) -> None:
    folk = made["人员"]
    assert folk["上级编号"].drop_nulls().is_in(folk["编号"].implode()).all()
    assert folk["上级编号"].null_count() / folk.height == pytest.approx(0.1, abs=0.02)
    above = dict(folk.select("编号", "上级编号").iter_rows())
    for start in folk["编号"][:500]:
        seen: set[int] = set()
        while start is not None:
            assert start not in seen
            seen.add(start)
            start = above[start]
    before, after = (f["上级编号"].drop_nulls().n_unique() for f in (real["人员"], folk))
    assert after == pytest.approx(before, rel=0.15)


def correlation(joined: pl.DataFrame, left: str, right: str) -> float:
    return float(joined.select(pl.corr(left, right, method="spearman")).item())


def test_values_follow_the_parent(real: dict[str, pl.DataFrame], made: dict[str, pl.DataFrame]) -> None:
    """Income by size of the house, cost by age of the person, district of the visit by that of the home."""
    for before, after in (
        tuple(f["人员"].join(f["房屋"], on="户号").pipe(correlation, "收入", "面积") for f in (real, made)),
        tuple(f["就诊"].join(f["人员"], on="编号").with_columns(pl.col("出生日期").to_physical())
              .pipe(correlation, "费用", "出生日期") for f in (real, made)),
    ):  # fmt: skip
        assert abs(before) > 0.7
        assert after == pytest.approx(before, abs=0.3)
    near = []
    for frames in (real, made):
        home = frames["就诊"].join(frames["人员"], on="编号").join(frames["房屋"], on="户号")
        near.append((home["就诊区"] == home["区"]).mean())
    assert near[0] > 0.85
    assert near[1] > 0.75


def test_number_of_children_follows_the_look_of_the_parent(
    real: dict[str, pl.DataFrame], made: dict[str, pl.DataFrame]
) -> None:
    means = []
    for frames in (real, made):
        counts = frames["人员"].group_by("户号").len()
        large = frames["房屋"].join(counts, on="户号", how="left").with_columns(pl.col("len").fill_null(0))
        means.append([large.filter(c)["len"].mean() for c in (pl.col("面积") > 110, pl.col("面积") < 70)])
    assert means[0][0] > 3 * means[0][1]
    assert means[1][0] > 2.5 * means[1][1]


def test_rules_across_tables_hold_in_every_row(made: dict[str, pl.DataFrame]) -> None:
    by_person = made["就诊"].join(made["人员"].select("编号", "出生日期"), on="编号")
    by_house = made["就诊"].join(made["房屋"], left_on="地点", right_on="户号")
    assert not (by_person["出生日期"] > by_person["就诊日期"]).any()
    assert not (by_house["建成日期"] >= by_house["就诊日期"]).any()


def test_the_gate_sees_a_broken_rule_across_tables_and_an_orphan(made: dict[str, pl.DataFrame]) -> None:
    parents = {n: Parent(made[n], 1, fields=f) for n, f in (("房屋", HOUSE_FIELDS), ("人员", PERSON_FIELDS))}
    early = made["就诊"].with_columns(pl.lit("1900-01-01").str.to_date().alias("就诊日期"))
    assert violations(early, VISIT_FIELDS, VISIT_RULES, parents) == {str(r): early.height for r in VISIT_RULES}
    assert violations(made["就诊"], VISIT_FIELDS, VISIT_RULES, parents) == {}
    lost = made["就诊"].with_columns(pl.Series("编号", [-5]).new_from_index(0, early.height).alias("编号"))
    assert orphans(lost, VISIT_FIELDS, parents)["编号"] == lost.height
    assert set(orphans(made["就诊"], VISIT_FIELDS, parents).values()) == {0}


def test_a_rule_whose_parent_column_is_not_there_counts_as_broken(made: dict[str, pl.DataFrame]) -> None:
    parents = {n: Parent(made[n], 1, fields=f) for n, f in (("房屋", HOUSE_FIELDS), ("人员", PERSON_FIELDS))}
    rule = Order("房屋.没有", "就诊日期")
    assert violations(made["就诊"], VISIT_FIELDS, [rule], parents) == {str(rule): made["就诊"].height}


def test_a_second_reference_to_one_column_is_another_row(made: dict[str, pl.DataFrame]) -> None:
    assert [x.column for x in links(VISIT_FIELDS)] == ["编号", "陪同编号", "地点"]
    both = made["就诊"].drop_nulls("陪同编号")
    assert (both["编号"] != both["陪同编号"]).mean() > 0.9


def test_rows_are_those_of_the_largest_root_and_the_rest_keeps_its_ratio(real: dict[str, pl.DataFrame]) -> None:
    assert sizes_of(inputs(real), 300, load("simulation")) == {"房屋": 300, "人员": 800, "就诊": 1_800}
    assert sizes_of(inputs(real), None, load("simulation")) == {n: f.height for n, f in real.items()}
    assert sizes_of(inputs(real, 人员=2_000), 300, load("simulation")) == {"房屋": 300, "人员": 2_000, "就诊": 4_500}
    codes = TableInput(pl.DataFrame({"码": ["1", "2"]}), (Field("码", "text", "key", "none", 1),))
    item = TableInput(
        pl.DataFrame({"码": ["1"] * 1_000}), (Field("码", "text", "key", "none", 1, references=("码表", "码")),)
    )
    several = {"码表": codes, "明细": item, "无关": TableInput(real["房屋"], HOUSE_FIELDS)}
    assert sizes_of(several, 50, load("simulation")) == {"码表": 2, "明细": 50, "无关": 50}


def test_a_plan_that_does_not_hold_is_refused_with_its_table_before_anything_is_made(
    real: dict[str, pl.DataFrame],
) -> None:
    told: list[str] = []
    unclear = (*PERSON_FIELDS[:-1], Field("身高", "integer", "", "none", 2))
    tables = inputs(real) | {"人员": TableInput(real["人员"], unclear)}
    with pytest.raises(UserError) as caught:
        simulate_related(tables, seed=1, engine="tree", progress=lambda name, step, share: told.append(name))
    assert (caught.value.code, caught.value.detail["table"]) == ("plan.unclassified", "人员")
    assert not told


def test_progress_never_falls_and_raising_cancels(real: dict[str, pl.DataFrame]) -> None:
    shares: list[float] = []

    def told(name: str, step: str, share: float) -> None:
        shares.append(share)
        if name == "人员":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate_related(inputs(real, 房屋=50, 人员=50, 就诊=50), seed=1, engine="tree", progress=told)
    assert shares == sorted(shares)
    assert 0.3 <= shares[-1] < 0.4


def test_a_column_that_is_not_in_the_parent_is_refused(real: dict[str, pl.DataFrame]) -> None:
    fields = (Field("户号", "text", "key", references=("房屋", "门牌")), *PERSON_FIELDS[3:])
    tables = inputs(real) | {"人员": TableInput(real["人员"].drop("编号", "上级编号"), fields)}
    with pytest.raises(UserError) as caught:
        simulate_related({n: tables[n] for n in ("房屋", "人员")}, seed=1)
    assert caught.value.code == "plan.unknown_column"
