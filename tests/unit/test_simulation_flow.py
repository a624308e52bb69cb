"""From a table and its plan to simulated rows: what is refused, what is kept, what never appears."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from policies.editions import load
from policies.text import UserError
from policies.verdict import Outcome
from synthetic import simulate as flow
from synthetic.engines.base import engine_named
from synthetic.fields import Field, Order, Sum
from synthetic.filling import Parent
from synthetic.manifest import public
from synthetic.publishing import write_published
from synthetic.related import simulate_related
from synthetic.report import report
from synthetic.simulate import Simulated, simulate
from synthetic.tables import TableInput
from tests.simulation_tables import (
    RARE_JOB,
    RESIDENT_FIELDS,
    RESIDENT_RULES,
    RESIDENTS,
    VISIT_FIELDS,
    VISITS,
    residents,
    visits,
)

TITLES = {rule.id: rule.title for rule in load("simulation").rules}
ROWS = 8_000
HIDDEN = ("姓名", "身份证号", "手机号", "住址", "备注")


@pytest.fixture(scope="module")
def real() -> pl.DataFrame:
    return residents(ROWS)


def tree(real: pl.DataFrame, **changes: Any) -> Simulated:
    arguments: dict[str, Any] = {
        "rows": ROWS, "seed": 7, "engine": "tree", "name": RESIDENTS, "constraints": RESIDENT_RULES,
    }  # fmt: skip
    return simulate(real, RESIDENT_FIELDS, **arguments | changes)


@pytest.fixture(scope="module")
def by_tree(real: pl.DataFrame) -> Simulated:
    return tree(real)


@pytest.fixture(scope="module")
def compared(real: pl.DataFrame) -> Simulated:
    """`auto`: both engines, so SDV is imported and fitted once for the whole module."""
    return tree(real, engine="auto")


@pytest.fixture(scope="module")
def by_sdv(real: pl.DataFrame) -> Simulated:
    return tree(real, engine="sdv")


@pytest.fixture(params=["by_tree", "by_sdv", "compared"])
def made(request: pytest.FixtureRequest) -> Simulated:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


def test_honest_table_passes(made: Simulated) -> None:
    assert made.verdict.outcome is Outcome.PASS, made.verdict.findings


def test_types_and_columns_are_those_of_the_source(made: Simulated, real: pl.DataFrame) -> None:
    assert made.frame.schema == real.schema
    assert made.frame.height == ROWS


@pytest.mark.parametrize("column", HIDDEN)
def test_no_real_identifier_name_or_text_comes_out(made: Simulated, real: pl.DataFrame, column: str) -> None:
    assert not set(made.frame[column].drop_nulls()) & set(real[column].drop_nulls())


def test_rare_label_and_extreme_income_do_not_come_out(made: Simulated, real: pl.DataFrame) -> None:
    assert RARE_JOB not in made.frame["职业"].to_list()
    assert "其他" in made.frame["职业"].unique().to_list() or made.manifest["columns"][8]["labels_merged"]
    assert made.frame["月收入"].max() < real["月收入"].max() / 10


def test_person_fields_agree(made: Simulated) -> None:
    ids, births = made.frame["身份证号"], made.frame["出生日期"]
    assert (ids.str.slice(6, 8) == births.dt.strftime("%Y%m%d")).all()
    assert ((ids.str.slice(16, 1).cast(int) % 2 == 1) == (made.frame["性别"] == "男")).all()
    assert ids.str.starts_with("4499").all()
    assert ids.n_unique() == ROWS


def test_address_lies_in_its_district(made: Simulated) -> None:
    known = made.frame.drop_nulls(["住址", "区"])
    assert known.select(pl.col("住址").str.contains(pl.col("区"), literal=True).all()).item()


def test_order_holds_and_missing_values_remain(made: Simulated, real: pl.DataFrame) -> None:
    assert (made.frame["出生日期"] <= made.frame["登记日期"]).all()
    assert abs(made.frame["月收入"].null_count() - real["月收入"].null_count()) < ROWS * 0.03


def test_relation_between_columns_survives(by_tree: Simulated) -> None:
    rich = by_tree.frame.filter(pl.col("月收入") > 15_000)
    assert (rich["职业"] == "管理").mean() > 0.8


def test_same_seed_same_bytes_and_another_seed_differs(real: pl.DataFrame, by_tree: Simulated, tmp_path: Path) -> None:
    again, other = tree(real), tree(real, seed=8)
    first = write_published(by_tree.frame, by_tree.manifest, TITLES, tmp_path / "a")
    second = write_published(again.frame, again.manifest, TITLES, tmp_path / "b")
    assert {k: p.read_bytes() for k, p in first.items()} == {k: p.read_bytes() for k, p in second.items()}
    assert other.manifest["digest"] != by_tree.manifest["digest"]


def test_sdv_draws_by_seed(real: pl.DataFrame, by_sdv: Simulated) -> None:
    """SDV resets itself to one fixed seed; two seeds must differ all the same, and one seed must repeat."""
    assert tree(real, engine="sdv").frame.equals(by_sdv.frame)
    other = tree(real, engine="sdv", seed=8)
    assert not other.frame["月收入"].equals(by_sdv.frame["月收入"])


def test_auto_compares_and_takes_the_most_faithful(compared: Simulated) -> None:
    tried = compared.manifest["candidates"]
    assert [c["engine"] for c in tried] == list(load("simulation").by_check("engines").parameters.auto)
    assert compared.manifest["engine"]["used"] == max(tried, key=lambda c: c["fidelity"])["engine"]


def test_auto_falls_back_to_structure_where_every_engine_fails(real: pl.DataFrame) -> None:
    """Two labels only: nobody can prove that copies would be noticed."""
    made = simulate(real.select("性别"), [f for f in RESIDENT_FIELDS if f.name == "性别"], rows=50, seed=1)
    assert [c["outcome"] for c in made.manifest["candidates"]] == ["error", "error", "pass"]
    assert made.manifest["engine"]["used"] == "schema"


# ── refusals ──


@pytest.mark.parametrize("semantic", ["", "unknown", "text"])
def test_unclassified_text_is_refused_with_a_question(real: pl.DataFrame, semantic: str) -> None:
    fields = [replace(f, semantic=semantic) if f.name == "备注" else f for f in RESIDENT_FIELDS]
    with pytest.raises(UserError) as caught:
        simulate(real, fields, rows=10, seed=1)
    assert caught.value.code == "plan.unclassified"
    assert caught.value.detail["columns"] == ["备注"]
    assert caught.value.fix is not None
    assert "?" in caught.value.fix.zh


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"semantic": "category", "role": "direct"}, "plan.identifier_modelled"),
        ({"semantic": "number", "role": "none"}, "plan.type"),
        ({"follows": {"entity": "没有这列"}}, "plan.unknown_column"),
        ({"follows": {"friend": "姓名"}}, "plan.unknown_column"),
        ({"name": "别的"}, "plan.columns"),
        ({"dtype": "date", "semantic": "date", "role": "none"}, "plan.type_mismatch"),
    ],
)
def test_plan_that_does_not_fit_is_refused(real: pl.DataFrame, change: dict[str, Any], code: str) -> None:
    fields = [replace(f, **change) if f.name == "手机号" else f for f in RESIDENT_FIELDS]
    with pytest.raises(UserError) as caught:
        simulate(real, fields, rows=10, seed=1, engine="tree")
    assert caught.value.code == code
    assert real["手机号"][0] not in str(caught.value)


@pytest.mark.parametrize(("name", "code"), [("ctgan", "engine.unavailable"), ("magic", "engine.unknown")])
def test_engine_that_cannot_run_is_refused(real: pl.DataFrame, name: str, code: str) -> None:
    with pytest.raises(UserError) as caught:
        tree(real, engine=name)
    assert caught.value.code == code


@pytest.mark.parametrize("rows", [0, -1, flow.MAX_ROWS + 1])
def test_impossible_number_of_rows_is_refused(real: pl.DataFrame, rows: int) -> None:
    with pytest.raises(UserError):
        tree(real, rows=rows)


# ── structure only ──


def test_schema_engine_reads_no_row(real: pl.DataFrame) -> None:
    """A full table, another table and no row at all give the same bytes."""
    frames = [tree(f, engine="schema", rows=300).frame for f in (real, residents(400, seed=9), real.clear())]
    assert frames[0].equals(frames[1])
    assert frames[0].equals(frames[2])
    assert frames[0]["性别"].unique().sort().to_list() == ["女", "男"]


def test_small_table_gets_structure_only(real: pl.DataFrame) -> None:
    made = tree(real.head(150), engine="auto", rows=50)
    assert made.manifest["engine"]["used"] == "schema"
    assert made.verdict.outcome is Outcome.PASS
    assert "不可用于结论" in made.manifest["fidelity"]["words"]["zh"]


def test_schema_engine_says_which_rule_made_a_column(real: pl.DataFrame) -> None:
    made = tree(real, engine="schema", rows=50)
    sources = {c["name"]: c["source"] for c in made.manifest["columns"]}
    assert sources["性别"] == "dictionary"
    assert sources["月收入"] == "rules: name 收入"
    assert not engine_named("schema").reads_rows


def test_column_above_the_policy_level_is_drawn_blind(real: pl.DataFrame) -> None:
    edition = load("simulation")
    rules = [
        r.model_copy(update={"parameters": r.parameters.model_copy(update={"max_level": 2})})
        if r.check == "modelled_columns" else r
        for r in edition.rules
    ]  # fmt: skip
    strict = edition.model_copy(update={"rules": tuple(rules)})
    made = tree(real, policy=strict)
    assert made.verdict.outcome is Outcome.PASS
    assert next(c for c in made.manifest["columns"] if c["name"] == "月收入")["source"].startswith("rules: ")


# ── related tables ──


@pytest.fixture(scope="module")
def related(real: pl.DataFrame) -> dict[str, Simulated]:
    return simulate_related(
        {
            VISITS: TableInput(visits(real, 5_000), VISIT_FIELDS),
            RESIDENTS: TableInput(real, RESIDENT_FIELDS, constraints=RESIDENT_RULES),
        },
        seed=3,
        engine="tree",
    )


def test_joins_of_simulated_tables_work(related: dict[str, Simulated]) -> None:
    child, parent = related[VISITS].frame, related[RESIDENTS].frame
    joined = child.join(parent, on="身份证号")
    assert joined.height == child.height == 5_000
    assert all((joined[c] == joined[f"{c}_right"]).all() for c in ("姓名", "性别", "出生日期"))
    assert related[VISITS].verdict.outcome is Outcome.PASS


def test_children_per_parent_follow_the_capped_real_counts(real: pl.DataFrame, related: dict[str, Simulated]) -> None:
    before = visits(real, 5_000).group_by("身份证号").len()["len"]
    after = related[VISITS].frame.group_by("身份证号").len()["len"]
    assert abs(after.mean() - before.mean()) < 0.5
    assert abs(len(after) - len(before)) < 0.1 * len(before)
    assert after.max() <= before.sort(descending=True)[4]


def test_order_of_tables_does_not_matter(real: pl.DataFrame) -> None:
    tables = {
        RESIDENTS: TableInput(real, RESIDENT_FIELDS),
        VISITS: TableInput(visits(real, 600), VISIT_FIELDS),
    }
    one = simulate_related(tables, seed=3, engine="tree")
    two = simulate_related(dict(reversed(tables.items())), seed=3, engine="tree")
    assert all(one[n].frame.equals(two[n].frame) for n in tables)


def test_missing_parent_and_circle_are_refused(real: pl.DataFrame) -> None:
    child = visits(real, 300)
    with pytest.raises(UserError) as caught:
        simulate_related({VISITS: TableInput(child, VISIT_FIELDS)}, seed=1)
    assert caught.value.code == "simulation.parent_missing"
    with pytest.raises(UserError) as caught:
        simulate(child, VISIT_FIELDS, rows=10, seed=1, engine="tree")
    assert caught.value.code == "simulation.parent_missing"
    fields = (Field("a", "text", "key", references=("x", "a")),)
    with pytest.raises(UserError) as caught:
        simulate_related({"x": TableInput(pl.DataFrame({"a": ["1"]}), fields)}, seed=1)
    assert caught.value.code == "simulation.circular"


def test_table_alone_repeats_invented_people_as_often_as_real_ones(real: pl.DataFrame) -> None:
    fields = [
        replace(f, references=None, follows={"entity": "身份证号", "sex": "性别"} if f.name == "姓名" else f.follows)
        for f in VISIT_FIELDS
    ]
    made = simulate(visits(real.head(2_000), 5_000), fields, rows=5_000, seed=1, engine="tree")
    assert made.verdict.outcome is Outcome.PASS
    people = made.frame.group_by("身份证号").agg(pl.len(), pl.col("姓名", "性别", "出生日期").n_unique())
    assert people["len"].mean() > 2
    assert people.select(pl.max("姓名", "性别", "出生日期")).row(0) == (1, 1, 1)


def test_parent_rows_may_be_given_directly(real: pl.DataFrame, by_tree: Simulated) -> None:
    parents = {RESIDENTS: Parent(by_tree.frame, ROWS)}
    made = simulate(visits(real, 900), VISIT_FIELDS, rows=900, seed=2, engine="tree", parents=parents)
    assert made.frame["身份证号"].is_in(by_tree.frame["身份证号"].implode()).all()


# ── odd columns ──


def test_odd_columns_come_back_in_their_own_types() -> None:
    rng = np.random.default_rng(5)
    n, days = 600, pl.Series(rng.integers(0, 3_000, 600)).cast(pl.Date)
    frame = pl.DataFrame(
        {
            "全空": pl.Series([None] * n, dtype=pl.String),
            "常数": ["甲"] * n,
            "布尔": pl.Series(rng.random(n) < 0.3).set(pl.Series(rng.random(n) < 0.2), None),
            "小整数": pl.Series(rng.integers(0, 5, n), dtype=pl.Int8),
            "零多": np.where(rng.random(n) < 0.4, 0, np.round(rng.lognormal(3, 1, n), 2)),
            "日期数": days.dt.strftime("%Y%m%d").cast(pl.Int64),
            "日期文": days.dt.strftime("%Y/%m/%d"),
            "整点": (pl.Series(rng.integers(0, 10**5, n)) * 3_600_000_000).cast(pl.Datetime("us")),
            "长期": pl.Series(np.where(rng.random(n) < 0.5, "9999-12-31", "2024-01-01")).str.to_date(),
            "金额": pl.Series(np.round(rng.random(n) * 100, 2)).cast(pl.Decimal(10, 2)),
            "无穷": np.where(rng.random(n) < 0.1, np.inf, rng.normal(size=n)),
            "编码": [f"GZ-{i:05d}" for i in rng.integers(0, 400, n)],
            "状态": rng.choice([1, 2, 3, 99], n, p=[0.5, 0.3, 0.195, 0.005]),
            "整键": np.arange(n),
            "文键": [f"V{i:06d}" for i in range(n)],
        }
    )
    kinds: dict[str, tuple[Any, str]] = {
        "全空": ("text", "category"), "常数": ("text", "constant"), "布尔": ("boolean", "category"),
        "小整数": ("integer", "number"), "零多": ("decimal", "amount"), "日期数": ("date", "date"),
        "日期文": ("date", "date"), "整点": ("timestamp", "timestamp"), "长期": ("date", "date"),
        "金额": ("decimal", "amount"), "无穷": ("decimal", "number"), "编码": ("text", "code"),
        "状态": ("integer", "category"), "整键": ("integer", "key"), "文键": ("text", "key"),
    }  # fmt: skip
    fields = [Field(name, *kind, level=2) for name, kind in kinds.items()]
    for engine in ("tree", "sdv"):
        made = simulate(frame, fields, rows=500, seed=3, engine=engine)
        assert made.verdict.outcome is Outcome.PASS, (engine, made.verdict.findings)
        assert made.frame.schema == frame.schema
        assert set(made.frame["长期"].cast(pl.String)) == {"9999-12-31", "2024-01-01"}
        assert made.frame["整点"].dt.minute().max() == 0
        assert 99 not in made.frame["状态"]
        assert made.frame["文键"].str.contains(r"^V\d{6,}$").all()
        assert not set(made.frame["编码"]) & set(frame["编码"])
        assert made.frame["整键"].n_unique() == 500


def test_sums_are_recomputed() -> None:
    rng = np.random.default_rng(1)
    parts = np.round(rng.lognormal(3, 1, (800, 2)), 2)
    frame = pl.DataFrame({"药费": parts[:, 0], "检查费": parts[:, 1], "合计": np.round(parts.sum(1), 2)})
    fields = [Field(name, "decimal", "amount", level=2) for name in frame.columns]
    made = simulate(frame, fields, rows=500, seed=1, engine="tree", constraints=[Sum("合计", ("药费", "检查费"))])
    assert made.verdict.outcome is Outcome.PASS
    assert np.allclose(made.frame["合计"], made.frame["药费"] + made.frame["检查费"], atol=0.005)


# ── files and page ──


def test_files_carry_the_mark(by_tree: Simulated, tmp_path: Path) -> None:
    paths = write_published(by_tree.frame, by_tree.manifest, TITLES, tmp_path)
    assert all("仿真数据" in p.name for p in paths.values())
    table = pq.read_table(paths["parquet"])
    metadata = {k.decode(): v.decode() for k, v in table.schema.metadata.items()}
    assert metadata["mark"] == "仿真数据"
    assert json.loads(metadata["manifest"])["digest"] == by_tree.manifest["digest"]
    assert pl.read_parquet(paths["parquet"]).equals(by_tree.frame)
    assert paths["csv"].read_bytes().startswith(b"\xef\xbb\xbf")


def test_travelling_manifest_holds_no_measured_value(by_tree: Simulated) -> None:
    shown = public(by_tree.manifest)
    assert set(shown["verdict"]) == {"outcome", "policy", "edition", "digest"}
    assert not {"comparison", "source", "candidates"} & set(shown)


def test_blocked_rows_are_not_written(by_tree: Simulated, tmp_path: Path) -> None:
    blocked = by_tree.manifest | {"verdict": by_tree.manifest["verdict"] | {"outcome": "block"}}
    with pytest.raises(UserError) as caught:
        write_published(by_tree.frame, blocked, TITLES, tmp_path / "none")
    assert caught.value.code == "simulation.blocked"
    assert not (tmp_path / "none").exists()


def test_manifest_is_json_and_holds_no_real_value(by_tree: Simulated, real: pl.DataFrame) -> None:
    text = json.dumps(by_tree.manifest, ensure_ascii=False)
    assert RARE_JOB not in text
    assert str(real["月收入"].max()) not in text
    assert not [v for c in HIDDEN for v in real[c] if len(v) > 6 and v in text]


@pytest.mark.parametrize("audience", ["operator", "merchant"])
def test_page_is_self_contained_and_hides_thresholds_from_merchants(by_tree: Simulated, audience: Any) -> None:
    page = report(by_tree.manifest, TITLES, audience)
    assert "http" not in page
    assert "<script" not in page
    assert "不可用于结论" in page
    assert RARE_JOB not in page
    assert ("门槛" in page) == (audience == "operator")


def test_page_escapes_names(by_tree: Simulated) -> None:
    page = report(by_tree.manifest | {"table": "<b>x</b>"}, {})
    assert "<b>x</b>" not in page


def test_constraint_on_an_unknown_column_is_refused(real: pl.DataFrame) -> None:
    with pytest.raises(UserError):
        tree(real, constraints=[Order("出生日期", "没有")])


# ── people with many rows ──


def months(people: int = 400, each: int = 8) -> pl.DataFrame:
    """Every person has one salary, repeated in each monthly row, and a card; nobody shares a salary."""
    rng = np.random.default_rng(2)
    salary, who = np.round(rng.lognormal(9, 0.5, people), 2), np.repeat(np.arange(people), each)
    return pl.DataFrame(
        {
            "卡号": np.array([f"C{i:07d}" for i in range(people)], dtype=object)[who],
            "基数": salary[who],
            "单位编码": rng.choice([f"D{i}" for i in range(8)], people * each),
            "应收": np.round(rng.lognormal(3, 0.4, people * each), 2),
        }
    )


MONTH_FIELDS = (
    Field("卡号", "text", "code", "direct", 3),
    Field("基数", "decimal", "amount", "sensitive", 3),
    Field("单位编码", "text", "code", "none", 2),
    Field("应收", "decimal", "amount", "none", 2),
)


def test_value_repeated_by_one_person_is_not_reproduced() -> None:
    real = months()
    made = simulate(real, MONTH_FIELDS, rows=real.height, seed=1, engine="tree")
    assert made.verdict.outcome is Outcome.PASS, made.verdict.findings
    assert made.manifest["source"]["people"] == 400
    assert made.frame["基数"].is_in(real["基数"].implode()).mean() < 0.01


def test_direct_code_is_made_from_its_shape_and_repeats_as_in_reality() -> None:
    real = months()
    made = simulate(real, MONTH_FIELDS, rows=real.height, seed=1, engine="tree")
    assert not set(made.frame["卡号"]) & set(real["卡号"])
    assert made.frame["卡号"].str.contains(r"^C\d{7,}$").all()
    assert made.frame.group_by("卡号").len()["len"].mean() == pytest.approx(8, rel=0.1)
    assert next(c for c in made.manifest["columns"] if c["name"] == "卡号")["source"] == "pattern"


def test_name_follows_a_learned_code() -> None:
    real = months().with_columns(pl.format("示范市第{}局", pl.col("单位编码")).alias("单位"))
    fields = (*MONTH_FIELDS, Field("单位", "text", "organisation", level=2, follows={"entity": "单位编码"}))
    made = simulate(real, fields, rows=500, seed=1, engine="tree")
    assert made.frame.group_by("单位编码").agg(pl.col("单位").n_unique())["单位"].max() == 1


def test_few_people_with_many_rows_are_a_small_table() -> None:
    made = simulate(months(people=50, each=40), MONTH_FIELDS, rows=100, seed=1)
    assert made.manifest["engine"]["used"] == "schema"


def _coarse(numbers: int) -> tuple[pl.DataFrame, list[Field]]:
    rng, count = np.random.default_rng(5), 6_000
    frame = pl.DataFrame({name: rng.choice([f"{name}{i}" for i in range(9)], count) for name in "甲乙丙"})
    frame = frame.with_columns(pl.Series("数", rng.integers(0, numbers, count)))
    fields = [Field(name, "text", "category", nullable=False) for name in "甲乙丙"]
    return frame, [*fields, Field("数", "integer", "number", nullable=False)]


@pytest.mark.parametrize(("numbers", "few"), [(3_000, True), (5, False)], ids=["by chance", "by nature"])
def test_rows_that_equal_a_real_one_are_drawn_anew_where_few_do(numbers: int, few: bool) -> None:
    """Where many combinations are alike by nature, leaving them out would tell which ones the real table has."""
    frame, fields = _coarse(numbers)
    policy = load("simulation")
    rare = frame.filter(pl.len().over(frame.columns) < policy.by_check("rare_categories").parameters.k)
    made = simulate(frame, fields, rows=frame.height, seed=3, engine="tree")
    alike = made.frame.join(rare, on=frame.columns, how="semi").height
    assert (alike == 0) if few else (alike > frame.height / 3)
    outcomes = {run.rule: run.outcome for run in made.verdict.rules}
    assert outcomes[policy.by_check("exact_rows").id] is Outcome.PASS
