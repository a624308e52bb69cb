"""Whatever rows and rules there are: after repair every rule holds in every row, and what is fixed is left alone."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.text import UserError
from synthetic.constraints import broken_rows, repair, settled, violations
from synthetic.fields import Field
from synthetic.invariants import (
    Constraint,
    Needs,
    Order,
    Product,
    Range,
    Ratio,
    Sum,
    Together,
    chain,
    refuse_wrong_types,
    rules_of,
)
from synthetic.links import Parent, links, orphans
from synthetic.related import simulate_related
from synthetic.tables import TableInput

KINDS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "integer": (pl.Int64, st.integers(-(10**9), 10**9)),
    "decimal": (pl.Float64, st.integers(-(10**6), 10**6).map(lambda v: v / 100)),
    "date": (pl.Date, st.dates(date(1950, 1, 1), date(2049, 12, 31))),
    "timestamp": (pl.Datetime("us"), st.datetimes(datetime(1950, 1, 1), datetime(2049, 12, 31)).map(
        lambda v: v.replace(microsecond=0))),
}  # fmt: skip
NAMES = ("a", "b", "c", "d")


@st.composite
def ordered_tables(draw: st.DrawFn) -> tuple[pl.DataFrame, list[Field], list[Order]]:
    """Four columns of one kind (or dates among times), missing values, and any orders that close no circle."""
    dtype, values = KINDS[draw(st.sampled_from(sorted(KINDS)))]
    rows = draw(st.integers(1, 30))
    columns = {n: draw(st.lists(st.one_of(st.none(), values), min_size=rows, max_size=rows)) for n in NAMES}
    frame = pl.DataFrame({n: pl.Series(v, dtype=dtype) for n, v in columns.items()})
    kind = {pl.Int64: "integer", pl.Float64: "decimal", pl.Date: "date"}.get(dtype, "timestamp")
    if kind == "timestamp" and draw(st.booleans()):
        frame = frame.with_columns(pl.col("b").cast(pl.Date))
    fields = [Field(n, "date" if frame.schema[n] == pl.Date else kind, "number") for n in NAMES]  # type: ignore[arg-type]
    order = draw(st.permutations(NAMES))
    pairs = st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans()).filter(lambda p: p[0] < p[1])
    rules = [Order(order[i], order[j], strict) for i, j, strict in draw(st.lists(pairs, min_size=1, max_size=5))]
    return frame, fields, rules


@settings(max_examples=150, deadline=None)
@given(ordered_tables(), st.sampled_from([(), *((n,) for n in NAMES)]))
def test_orders_of_any_shape_hold_and_one_fixed_column_stays(
    table: tuple[pl.DataFrame, list[Field], list[Order]], fixed: tuple[str, ...]
) -> None:
    frame, fields, rules = table
    made = repair(frame, rules, fixed)
    assert violations(made, fields, rules) == {}
    assert all(made[n].equals(frame[n]) for n in fixed)
    assert made.schema == frame.schema
    assert all((made[n].is_null() == frame[n].is_null()).all() for n in NAMES)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 50)] * 4), min_size=1, max_size=40))
def test_a_chain_without_fixed_columns_keeps_the_values_of_the_row(rows: list[tuple[int, ...]]) -> None:
    frame = pl.DataFrame(rows, schema=list(NAMES), orient="row")
    made = repair(frame, chain(NAMES))
    assert [sorted(r) for r in frame.iter_rows()] == [list(r) for r in made.iter_rows()]


numbers = st.one_of(st.none(), st.integers(0, 10_000).map(lambda v: v / 100))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[numbers] * 5, st.one_of(st.none(), st.integers(0, 9))), min_size=1, max_size=40))
def test_sums_of_sums_products_ratios_and_ranges_hold_together(rows: list[tuple[float | None, ...]]) -> None:
    schema = dict.fromkeys(("合计", "小计", "甲", "乙", "占比"), pl.Float64) | {"件数": pl.Int64}
    frame = pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        pl.lit(1.0).alias("金额"), pl.lit("x").alias("状态")
    )
    fields = [Field(n, "decimal", "number") for n in ("合计", "小计", "甲", "乙", "占比", "金额")]
    fields += [Field("件数", "integer", "number"), Field("状态", "text", "category")]
    rules: list[Constraint] = [
        Sum("合计", ("小计", "乙")), Sum("小计", ("甲", "乙")), Product("金额", ("件数", "甲")),
        Ratio("占比", "甲", "合计"), Range("甲", 1, 60), Range("件数", 1, None), Order("甲", "合计"),
    ]  # fmt: skip
    made = repair(frame, rules)
    assert violations(made, fields, rules) == {}
    assert made.schema == frame.schema


cells = st.one_of(st.none(), st.sampled_from(["东", "西", "南"]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=60), st.sampled_from([(), ("a",), ("b",)]))
def test_combinations_are_existing_ones_and_begin_like_the_row(
    rows: list[tuple[str | None, ...]], fixed: tuple[str, ...]
) -> None:
    frame = pl.DataFrame(rows, schema=dict.fromkeys("abc", pl.String), orient="row")
    allowed = (("东", "东", "西"), ("东", "西", "西"), ("西", "东", "南"), ("西", "南", "南"))
    rule = Together(("a", "b", "c"), allowed, (3, 1, 1, 1))
    made = repair(frame, [rule], fixed)
    there = {c for row in allowed for c in row[:1]} if fixed == ("a",) else {row[1] for row in allowed}
    reachable = pl.Series([True] * len(rows)) if not fixed else frame[fixed[0]].is_in(list(there)).fill_null(False)
    assert not (broken_rows(made, rule) & reachable).any()
    assert all(made[n].equals(frame[n]) for n in fixed)
    if not fixed:
        whole = frame.with_row_index().drop_nulls().filter(pl.col("a") != "南")
        assert made["a"].gather(whole["index"]).equals(whole["a"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=60), st.sampled_from([(), ("东", "西")]))
def test_a_required_value_is_there_wherever_the_condition_holds(
    rows: list[tuple[str | None, ...]], then: tuple[str, ...]
) -> None:
    frame = pl.DataFrame(rows, schema=dict.fromkeys("ab", pl.String), orient="row")
    rule = Needs("a", "b", ("南",), then)
    made = repair(frame, [rule])
    assert not broken_rows(made, rule).any()
    untouched = frame["a"] != "南"
    assert made.filter(untouched.fill_null(True)).equals(frame.filter(untouched.fill_null(True)))


def test_only_combinations_of_enough_people_are_taken_over() -> None:
    frame = pl.DataFrame({"区": ["东"] * 6 + ["西"] * 9, "街": ["甲"] * 6 + ["乙"] * 5 + ["丙"] * 4})
    (rule,) = settled([Together(("区", "街"))], frame, [Field(n, "text", "category") for n in frame.columns], 5)
    assert isinstance(rule, Together)
    assert dict(zip(rule.allowed, rule.weights, strict=True)) == {("东", "甲"): 6, ("西", "乙"): 5}
    owned = frame.with_columns(pl.Series("号", ["1"] * 12 + ["2"] * 3))
    fields = [Field("号", "text", "resident_id", "direct"), *(Field(n, "text", "category") for n in ("区", "街"))]
    assert settled([Together(("区", "街"))], owned, fields, 5) == (Together(("区", "街")),)


# ── how rules are declared ──

FIELDS = [
    Field("起", "date", "date"), Field("止", "date", "date"), Field("时", "timestamp", "timestamp"),
    Field("量", "integer", "number"), Field("价", "decimal", "amount"), Field("额", "decimal", "amount"),
    Field("区", "text", "category"), Field("身份证号", "text", "resident_id"),
]  # fmt: skip


def test_declared_rules_and_quality_rules_give_the_same_constraints() -> None:
    declared = {
        "orders": [["起", "止", "时"]], "sums": [{"total": "额", "parts": ["价", "量"]}],
        "ranges": [{"column": "量", "min": 0, "max": 9}, {"column": "起", "min": "2020-01-01", "max": None}],
        "conditions": [{"column": "区", "values": ["东"], "then_column": "止", "then_values": None}],
    }  # fmt: skip
    quality = [
        {"kind": "date_order", "columns": ["起", "止", "时"]},
        {"kind": "total", "column": "额", "parts": ["价", "量"], "tolerance": 0.01},
        {"kind": "range", "column": "量", "min": 0, "max": 9},
        {"kind": "period", "column": "起", "start": "2020-01-01", "end": None},
        {"kind": "condition", "column": "区", "values": ["东"], "then_column": "止", "then_values": None},
        {"kind": "condition", "column": "区", "values": ["东"], "then_column": "身份证号", "then_values": None},
        {"kind": "check_digit", "column": "身份证号", "scheme": "resident_id"},
        {"kind": "range", "column": "区", "min": 0, "max": 9},
    ]
    rules = rules_of(declared, FIELDS)
    assert set(rules_of({"quality": quality}, FIELDS)) == set(rules)
    assert rules_of(declared | {"quality": quality}, FIELDS) == rules
    assert Order("起", "时") in rules and Range("起", date(2020, 1, 1), None) in rules


@pytest.mark.parametrize(
    "declared",
    [{"orders": ["起"]}, {"sums": [{"total": "额"}]}, {"ranges": [{"min": 0}]}, {"orders": [["起"]]},
     {"combinations": ["区"]}, {"conditions": [{"column": "区"}]}, {"ranges": [{"column": "起", "min": "昨天"}]}],
)  # fmt: skip
def test_a_rule_that_does_not_have_its_form_is_refused(declared: dict[str, Any]) -> None:
    with pytest.raises(UserError) as caught:
        rules_of(declared, FIELDS)
    assert caught.value.code == "plan.constraint"


@pytest.mark.parametrize(
    "rules",
    [[Order("起", "量")], [Order("区", "区")], [Sum("额", ("价", "起"))], [Range("区", 0, 1)], [Together(("区",))],
     [Order("起", "止"), Order("止", "起")], [Order("起", "起", strict=True)]],
)  # fmt: skip
def test_a_rule_that_cannot_hold_is_refused(rules: list[Constraint]) -> None:
    with pytest.raises(UserError) as caught:
        refuse_wrong_types(FIELDS, rules)
    assert caught.value.code == "plan.constraint"


# ── graphs of tables ──


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, TableInput]:
    """Up to five tables; each references any of the earlier ones, any of them twice, and perhaps itself."""
    tables: dict[str, TableInput] = {}
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    for number in range(draw(st.integers(1, 5))):
        name, rows = f"t{number}", draw(st.integers(0, 30))
        fields = [Field("键", "text", "key", nullable=False), Field("值", "integer", "number", nullable=True)]
        columns: dict[str, Any] = {
            "键": pl.Series([f"{name}-{i:04d}" for i in range(rows)], dtype=pl.String),
            "值": pl.Series(rng.integers(0, 99, rows), dtype=pl.Int64),
        }
        above = [*sorted(tables), *([name] if draw(st.booleans()) else [])]
        for place, parent in enumerate(draw(st.lists(st.sampled_from(above), max_size=3)) if above else []):
            keys = columns["键"] if parent == name else tables[parent].frame["键"]
            nullable = not len(keys) or draw(st.booleans())
            none = pl.Series([None] * rows, dtype=pl.String)
            columns[f"链{place}"] = keys.gather(rng.integers(0, len(keys), rows)) if len(keys) else none
            fields.append(Field(f"链{place}", "text", "key", nullable=nullable, references=(parent, "键")))
        tables[name] = TableInput(pl.DataFrame(columns), fields)
    return tables


@settings(max_examples=25, deadline=None)
@given(graphs(), st.integers(1, 40), st.integers(0, 9))
def test_no_graph_of_tables_gives_an_orphan_or_breaks_a_key(
    tables: dict[str, TableInput], rows: int, seed: int
) -> None:
    made = simulate_related(tables, seed=seed, rows=rows)
    parents = {n: Parent(m.frame, 1, fields=tables[n].fields) for n, m in made.items()}
    for name, one in made.items():
        fields = tables[name].fields
        assert set(orphans(one.frame, fields, parents).values()) <= {0}
        assert violations(one.frame, fields, ()) == {}
        assert one.verdict.outcome.value == "pass", one.verdict.findings
        for link in links(fields):
            if link.table == name:
                _climb(one.frame, link.column)


def _climb(frame: pl.DataFrame, column: str) -> None:
    """Everybody reaches the top: no circle beyond a top that names itself."""
    above = dict(frame.select("键", column).iter_rows())
    for start in above:
        here, steps = start, 0
        while above[here] is not None and above[here] != here:
            here, steps = above[here], steps + 1
            assert steps <= len(above)


def test_days_between_strict_ends_are_whole_days() -> None:
    frame = pl.DataFrame({"a": [datetime(2024, 1, 1, 10)], "b": [date(2024, 1, 1)]})
    made = repair(frame, [Order("a", "b", strict=True)], {"a"})
    assert made["b"][0] > made["a"][0].date()
    assert made["b"][0] - made["a"][0].date() <= timedelta(days=2)
