"""What of an aggregate preview is shown: tables of evidence, and whatever the data are."""

from __future__ import annotations

import math
from collections import defaultdict
from random import Random
from types import SimpleNamespace
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from policies.schema.workspace import AggregatePreview
from sandbox.applications.rowrule import Condition
from sandbox.workspaces import guard, preview_rules
from sandbox.workspaces.preview_rules import Asked, Measure, differences, shown, significant, statement

POLICY = AggregatePreview(
    levels=(1, 2, 3), min_group=30, base=10, digits=3, dominance_percent=50, per_day=20, groups=500
)
ROWS, ENTITIES = Measure("rows"), Measure("entities")
MEAN, SUM = Measure("mean", "费用"), Measure("sum", "费用")
ASKED = Asked("门诊", ("区",), (ROWS, ENTITIES, MEAN, SUM))
GOOD = {"kind": 0, "g0": "东区", "n": 118, "e": 64, "d": 0.1, "c0": 100, "s0": 12_345.6, "e0": 60, "d0": 0.2}


def told(*asked: Measure, **differs: Any) -> list[Any]:
    """The figures shown of one group whose evidence is good but for `differs`; empty: the group is not shown."""
    found = shown(Asked("门诊", ("区",), asked), [GOOD | differs], 1, POLICY)
    return [list(row[1:]) for row in found.rows]


@pytest.mark.parametrize(
    ("measures", "evidence", "figures"),
    [
        ((ROWS, ENTITIES, MEAN, SUM), {}, [[120, 60, 123.0, 12_300.0]]),
        ((ENTITIES,), {"e": 30}, [[30]]),
        ((ENTITIES,), {"e": 35}, [[40]]),
        ((ENTITIES,), {"e": 29}, []),
        ((ROWS,), {"e": 29, "n": 5_000}, []),
        ((ROWS,), {"e": 30, "n": 5_000}, [[5_000]]),
        ((ROWS,), {"d": 0.5}, [[120]]),
        ((ROWS, ENTITIES), {"d": 0.51}, [[None, 60]]),
        ((MEAN, SUM), {"e0": 30}, [[123.0, 12_300.0]]),
        ((ROWS, MEAN, SUM), {"e0": 29}, [[120, None, None]]),
        ((MEAN, SUM), {"d0": 0.5}, [[123.0, 12_300.0]]),
        ((ROWS, MEAN, SUM), {"d0": 0.501}, [[120, None, None]]),
        ((MEAN,), {"s0": -0.0123456}, [[-0.000123]]),
    ],
    ids=[
        "large-enough", "just-large-enough", "counts-go-to-the-base", "too-few-entities", "many-rows-of-few-entities",
        "rows-of-enough-entities", "half-is-not-above-half", "one-entity-has-most-rows", "enough-values",
        "too-few-values", "half-of-the-sum", "one-entity-has-most-of-the-sum", "three-digits",
    ],
)  # fmt: skip
def test_what_the_evidence_allows(measures: Any, evidence: Any, figures: Any) -> None:
    assert told(*measures, **evidence) == figures


@pytest.mark.parametrize("bad", [None, "64", True, 64.0, -1, math.nan])
def test_a_group_whose_entities_are_not_proven_is_not_shown(bad: Any) -> None:
    assert told(ROWS, ENTITIES, e=bad) == []


@pytest.mark.parametrize("bad", [None, "0.1", math.nan, math.inf, 0.0, -0.2, 1])
def test_a_value_whose_share_is_not_proven_is_withheld(bad: Any) -> None:
    assert told(MEAN, SUM, d0=bad) == [[None, None]]
    assert told(ROWS, d=bad) == [[None]]


@pytest.mark.parametrize("bad", [None, math.nan, math.inf, "1"])
def test_a_sum_that_is_no_number_is_withheld(bad: Any) -> None:
    assert told(MEAN, SUM, s0=bad) == [[None, None]]


def test_a_table_of_people_and_companies_needs_enough_of_both() -> None:
    company = GOOD | {"kind": 1, "e": 31}
    assert shown(ASKED, [GOOD, company], 2, POLICY).rows == (("东区", 120, 60, 123.0, 12_300.0),)
    assert shown(ASKED, [GOOD, company | {"e": 29}], 2, POLICY).rows == ()
    assert shown(ASKED, [GOOD], 2, POLICY).rows == (), "no proof for the second"
    assert shown(ASKED, [GOOD, company | {"d0": 0.6}], 2, POLICY).rows == (("东区", 120, 60, None, None),)


def test_groups_are_capped_and_those_dropped_are_not_counted() -> None:
    small = [GOOD | {"g0": f"小{n}", "e": 3} for n in range(600)]
    found = shown(ASKED, [GOOD, *small], 1, POLICY)
    assert len(found.rows) == 1 and not found.more
    large = shown(ASKED, [GOOD | {"g0": n} for n in range(501)], 1, POLICY)
    assert len(large.rows) == 500 and large.more
    assert shown(ASKED, [GOOD], 1, POLICY, cut=True).more


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [(123_456.0, 3, 123_000.0), (0.0012345, 3, 0.00123), (-9.996, 3, -10.0), (0.0, 3, 0.0), (math.inf, 3, None)],
)
def test_significant_digits(value: float, digits: int, expected: float | None) -> None:
    assert significant(value, digits) == expected


def test_the_record_says_what_differs() -> None:
    east, west = Condition("区", "in", ("东区",)), Condition("区", "in", ("东区", "西区"))
    first, second = Asked("门诊", ("月",), (ROWS,), (east,)), Asked("门诊", ("月",), (ROWS, MEAN), (west,))
    assert [t.zh for t in differences(second, first)] == [
        "+ “区”是其中之一：东区、西区", "+ 费用·均值", "− “区”是其中之一：东区",
    ]  # fmt: skip
    assert differences(first, first) == []


# --- the statement ----------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["区", "a\"b", "select", "g0", "k0", "chosen", "'; DROP TABLE granted; --", "费用 (元)"])
TYPES = {"文本": "text", "整数": "integer", "小数": "decimal", "日期": "date", "时间": "timestamp", "是否": "boolean"}
VALUES = {"文本": "' OR 1=1 --", "整数": "-3", "小数": "1.50", "日期": "2026-01-31", "时间": "2026-01-31 08:00:00",
          "是否": "true"}  # fmt: skip


@pytest.mark.parametrize("op", ["in", "between", ">=", "<="])
@pytest.mark.parametrize("column", TYPES)
def test_values_are_bound_and_the_guard_of_real_data_lets_the_statement_through(op: str, column: str) -> None:
    values = (VALUES[column],) * (2 if op == "between" else 1)
    asked = Asked("门诊", ("区",), (ROWS, ENTITIES, MEAN), (Condition(column, op, values),))
    sql, bound = statement(asked, TYPES, ("身份证号", "信用代码"), 30)
    assert VALUES[column] not in sql and set(values) <= set(map(str, bound.values()))
    con = duckdb.connect()
    con.execute(
        "CREATE TABLE granted (区 VARCHAR, 身份证号 VARCHAR, 信用代码 VARCHAR, 费用 DECIMAL(18, 2), 文本 VARCHAR,"
        " 整数 BIGINT, 小数 DECIMAL(12, 2), 日期 DATE, 时间 TIMESTAMP, 是否 BOOLEAN)"
    )
    checked = guard.check_select(con, sql, granted=frozenset({preview_rules.MOUNTED}))
    assert checked.refusal is None and checked.tables == (preview_rules.MOUNTED,)
    assert con.execute(sql, bound).fetchall() == []


@st.composite
def tables(draw: st.DrawFn) -> list[Any]:
    """Rows (area, flag, person, value): few or many people, some unknown or spelled in two ways, some far above all."""
    chance, size, people = Random(draw(st.integers(0, 2**32))), draw(st.integers(0, 900)), draw(st.integers(1, 120))
    skewed, missing = draw(st.booleans()), draw(st.sampled_from([0.0, 0.1, 0.7]))
    made = []
    for _ in range(size):
        who = min(chance.randrange(people), chance.randrange(people)) if skewed else chance.randrange(people)
        spelled = [f"4401{who:03d}x", f" 4401{who:03d}X "] if chance.random() > 0.1 else ["", None]
        person = chance.choice(spelled)
        value = None if chance.random() < missing else chance.choice([0, -50, 7, 90, 1_000_000 if skewed else 3])
        made.append((chance.choice(["东", "东", "东", "西", None]), chance.random() < 0.9, person, value))
    return made


def answered(asked: Asked, lines: list[Any], columns: tuple[str, str, str, str], keys: tuple[str, ...]) -> Any:
    """The platform's own statement on these lines, and what is shown of its answer."""
    granted = pa.table({
        columns[0]: pa.array([x[0] for x in lines], pa.string()), columns[1]: pa.array([x[1] for x in lines]),
        columns[2]: pa.array([x[2] for x in lines], pa.string()),
        columns[3]: pa.array([x[3] for x in lines], pa.int64()),
    })  # fmt: skip
    if not lines:
        granted = granted.cast(pa.schema([(c, pa.bool_() if i == 1 else granted.field(i).type)
                                          for i, c in enumerate(columns)]))  # fmt: skip
    with duckdb.connect() as con:
        con.register(preview_rules.MOUNTED, granted)
        sql, bound = statement(asked, {}, keys, POLICY.min_group)
        return shown(asked, con.sql(sql, params=bound).to_arrow_table().to_pylist(), max(1, len(keys)), POLICY)


def expected(lines: list[Any], keyed: bool) -> dict[Any, tuple[Any, ...]]:
    """The same, in the plainest Python: entities by their set, shares by adding up."""
    groups: dict[Any, list[Any]] = defaultdict(list)
    for place, (area, flag, person, value) in enumerate(lines):
        who = (person.strip().upper() if person else None) if keyed else place
        groups[area, flag].append((who, value))
    found = {}
    for group, members in groups.items():
        people = {w for w, _ in members if w is not None}
        if len(people) < POLICY.min_group:
            continue
        rows, absolute, valued = defaultdict(int), defaultdict(int), set()
        for who, value in members:
            rows[who] += 1
            if value is not None:
                absolute[who] += abs(value)
                valued |= {who} - {None}
        values = [v for _, v in members if v is not None]
        fine = 2 * max(rows.values()) <= len(members)
        total = sum(absolute.values())
        open_ = len(valued) >= POLICY.min_group and total and 2 * max(absolute.values()) <= total
        mean = significant(sum(values) / len(values), 3) if open_ else None
        found[group] = ((len(members) + 5) // 10 * 10 if fine else None, (len(people) + 5) // 10 * 10, mean)
    return found


@settings(max_examples=60, deadline=None)
@given(lines=tables(), names=st.lists(NAMES, min_size=4, max_size=4, unique=True), keyed=st.booleans())
def test_no_shown_group_rests_on_too_few_entities_whatever_the_data(
    lines: list[Any], names: list[str], keyed: bool
) -> None:
    columns = (names[0], names[1], names[2], names[3])
    measures = (ROWS, ENTITIES, Measure("mean", names[3]))
    found = answered(Asked("门诊", (names[0], names[1]), measures), lines, columns, (names[2],) if keyed else ())
    oracle = expected(lines, keyed)
    event(f"groups shown: {min(len(oracle), 2)}, a value withheld: {any(None in row for row in oracle.values())}")
    assert {row[:2]: row[2:] for row in found.rows} == oracle
    for area, flag, *_figures in found.rows:
        own = [x for x in lines if x[:2] == (area, flag)]
        counted = {x[2].strip().upper() for x in own if x[2]} if keyed else own
        assert len(counted) >= POLICY.min_group


EVIDENCE = st.fixed_dictionaries({
    "kind": st.sampled_from([0, 1, None, "0"]), "g0": st.sampled_from(["东", "西", None]),
    "e": st.one_of(st.none(), st.integers(-5, 90), st.floats(), st.text(max_size=2), st.booleans()),
    "n": st.one_of(st.none(), st.integers(-5, 900)), "d": st.one_of(st.none(), st.floats()),
    "c0": st.one_of(st.none(), st.integers(-5, 900)), "s0": st.one_of(st.none(), st.floats(), st.text(max_size=2)),
    "e0": st.one_of(st.none(), st.integers(-5, 90)), "d0": st.one_of(st.none(), st.floats()),
})  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(evidence=st.lists(EVIDENCE, max_size=8), kinds=st.sampled_from([1, 2]))
def test_whatever_an_answer_says_only_what_it_proves_is_shown(evidence: list[Any], kinds: int) -> None:
    found = shown(ASKED, evidence, kinds, POLICY)
    for area, rows, entities, mean, total in found.rows:
        proofs = [p for p in evidence if p["g0"] == area and p["kind"] in range(kinds)]
        assert any(p["e"].__class__ is int and p["e"] >= 30 for p in proofs)
        assert entities >= 30 and entities % 10 == 0 and (rows is None or (rows >= 30 and rows % 10 == 0))
        for value in (mean, total):
            assert value is None or (math.isfinite(value) and value == significant(value, 3))
            assert value is None or any((p["e0"] or 0) >= 30 and (p["d0"] or 9) <= 0.5 for p in proofs)


def test_a_stricter_policy_hides_more() -> None:
    strict = SimpleNamespace(**(POLICY.model_dump() | {"min_group": 100}))
    assert shown(ASKED, [GOOD], 1, strict).rows == ()
