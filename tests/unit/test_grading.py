"""Grading: the strictest rule wins, unknown counts as highest, tables rise above their columns, evidence is masked."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from pipelines.grading import ColumnInfo, TableGrade, grade, joined_level
from policies.editions import load
from policies.text import UserError
from sandbox.detection.scan import ColumnScan, EntityShare, TableScan, scan_table
from synthetic import providers

ROWS = 60


@pytest.fixture(scope="module")
def policy():
    return load("grading", "2026-01")


@pytest.fixture(scope="module")
def residents() -> pl.DataFrame:
    rng = np.random.default_rng(5)
    people = providers.people(rng, ROWS)
    districts, streets = providers.places(rng, ROWS)
    return pl.DataFrame(
        {
            "身份证号": people.resident_ids.tolist(),
            "姓名": people.names.tolist(),
            "性别": people.sexes.tolist(),
            "所属区": districts.tolist(),
            "民族": ["汉族", "壮族"] * (ROWS // 2),
            "住址": providers.addresses(rng, districts, streets).tolist(),
            "手机号": providers.mobiles(rng, ROWS).tolist(),
        }
    )


def _grade(frame: pl.DataFrame, policy, table: str = "", comments: dict[str, str] | None = None) -> TableGrade:
    comments = comments or {}
    columns = [ColumnInfo(name, str(dtype), comments.get(name, "")) for name, dtype in frame.schema.items()]
    return grade(scan_table(frame, comments), columns, policy, table=table)


def _scan(rows: int = 1000, **columns: list[EntityShare]) -> TableScan:
    return TableScan(rows, [ColumnScan(n, rows, 0, rows, e) for n, e in columns.items()])


def _plain(policy, scan: TableScan, table: str = "") -> TableGrade:
    return grade(scan, [ColumnInfo(c.name, "VARCHAR") for c in scan.columns], policy, table=table)


def _is(entity: str) -> EntityShare:
    return EntityShare(entity, 1000, 1.0, "is", ["x**"])


def _holds(entity: str) -> EntityShare:
    return EntityShare(entity, 20, 0.02, "contains", ["x**"])


def test_residents_table(residents: pl.DataFrame, policy) -> None:
    result = _grade(residents, policy, "居民登记")
    assert {c.name: (c.level, c.identifier_role, c.sensitive) for c in result.columns} == {
        "身份证号": (4, "direct", True),
        "姓名": (3, "direct", False),
        "性别": (2, "quasi", False),
        "所属区": (2, "quasi", False),
        "民族": (2, "quasi", False),
        "住址": (3, "direct", False),
        "手机号": (3, "direct", False),
    }
    assert result.level == 4
    assert (result.entity_key.column, result.entity_key.kind) == ("身份证号", "person")
    assert {u.rule for u in result.uplifts} == {"GRD-QUASI-01", "GRD-NAMEWITH-01"}
    assert (result.policy, result.edition, result.digest) == ("grading", "2026-01", policy.digest)


def test_values_decide_when_a_column_is_renamed(residents: pl.DataFrame, policy) -> None:
    renamed = residents.rename({"身份证号": "f1", "姓名": "f2", "手机号": "f3"})
    result = _grade(renamed, policy)
    assert [(result.column(n).level, result.column(n).rule) for n in ("f1", "f2", "f3")] == [
        (4, "GRD-ID-01"),
        (3, "GRD-NAME-01"),
        (3, "GRD-PHONE-01"),
    ]
    assert result.entity_key.column == "f1"


def test_evidence_is_bilingual_and_names_no_value(residents: pl.DataFrame, policy) -> None:
    result = _grade(residents, policy)
    shown = json.dumps(result.as_dict(), ensure_ascii=False)
    for name in ("身份证号", "姓名", "住址", "手机号"):
        assert not any(value in shown for value in residents[name])
    evidence = " ".join(result.column("身份证号").evidence)
    assert "GRD-ID-01" in evidence and "100.0%" in evidence and " / " in evidence and "449***" in evidence


def test_the_strictest_of_name_and_content_wins(policy) -> None:
    column = _plain(policy, _scan(年份=[_is("CN_RESIDENT_ID")])).column("年份")
    assert (column.level, column.sensitive, column.identifier_role, column.rule) == (4, True, "direct", "GRD-ID-01")
    assert "GRD-STAT-01" in column.rules


def test_unrecognised_column_is_level_four(policy) -> None:
    result = _plain(policy, _scan(zz9=[]))
    assert (result.level, result.column("zz9").level, result.column("zz9").rule) == (4, 4, "GRD-UNMARKED-01")


def test_expected_content_of_a_named_column_lifts_nothing(policy) -> None:
    column = _plain(policy, _scan(法定代表人=[_is("PERSON")])).column("法定代表人")
    assert (column.level, column.rule) == (2, "GRD-ORG-03")


@pytest.mark.parametrize(
    ("entity", "level", "rule"), [("CN_RESIDENT_ID", 4, "GRD-CONTAINS-01"), ("CN_MOBILE", 3, "GRD-TEXT-01")]
)
def test_remarks_that_hold_identifiers_are_lifted(policy, entity: str, level: int, rule: str) -> None:
    column = _plain(policy, _scan(备注=[_holds(entity)])).column("备注")
    assert (column.level, column.rule, column.identifier_role) == (level, rule, "direct")
    assert any("夹带" in line for line in column.evidence)


def test_accidental_hits_lift_nothing_but_are_told(policy) -> None:
    noise = EntityShare("CN_RESIDENT_ID", 91, 0.091, "noise", ["449***"])
    column = _plain(policy, _scan(案件编号=[noise])).column("案件编号")
    assert column.level == 1 and "91" in column.evidence[-1] and "偶然" in column.evidence[-1]


def test_public_register_of_firms_stays_low(policy) -> None:
    result = _plain(policy, _scan(统一社会信用代码=[_is("CN_USCC")], 企业名称=[_is("ORGANIZATION")], 成立日期=[]))
    assert result.level == 1
    assert (result.entity_key.column, result.entity_key.kind) == ("统一社会信用代码", "enterprise")


def test_three_quasi_identifiers_of_persons_lift_the_table(policy) -> None:
    two = _plain(policy, _scan(性别=[], 年龄=[]))
    three = _plain(policy, _scan(性别=[], 年龄=[], 民族=[]))
    assert (two.level, three.level) == (2, 3)
    assert [(u.rule, u.level) for u in three.uplifts] == [("GRD-QUASI-01", 3)]


def test_name_beside_a_contact_makes_the_table_level_four(policy) -> None:
    assert _plain(policy, _scan(姓名=[_is("PERSON")], 性别=[])).level == 3
    assert _plain(policy, _scan(姓名=[_is("PERSON")], 手机号=[_is("CN_MOBILE")])).level == 4


def test_stations_beside_a_personal_number_are_movements(policy) -> None:
    alone = _plain(policy, _scan(站点名称=[]))
    beside = _plain(policy, _scan(站点名称=[], 身份证号=[_is("CN_RESIDENT_ID")])).column("站点名称")
    assert alone.column("站点名称").level == 2
    assert (beside.level, beside.sensitive, beside.rule) == (4, True, "GRD-MOVEMENT-01")


def test_tables_about_children_are_sensitive(policy) -> None:
    result = _plain(policy, _scan(性别=[]), table="小学生学籍信息")
    assert (result.level, result.column("性别").sensitive, result.column("性别").rule) == (4, True, "GRD-MINOR-01")


def test_in_a_table_about_people_nothing_is_below_two(policy) -> None:
    column = _plain(policy, _scan(身份证号=[_is("CN_RESIDENT_ID")], 成立日期=[])).column("成立日期")
    assert (column.level, column.rule) == (2, "GRD-FLOOR-01")


@pytest.mark.parametrize(("rows", "called"), [(99_999, False), (100_000, True), (10_000_000, True)])
def test_large_personal_tables_call_a_person(policy, rows: int, called: bool) -> None:
    uplifts = _plain(policy, _scan(rows, 身份证号=[_is("CN_RESIDENT_ID")])).uplifts
    assert [u.level for u in uplifts if u.rule == "GRD-SCALE-01"] == ([None] if called else [])


def test_a_personal_number_known_by_name_only_is_a_key(policy) -> None:
    key = _plain(policy, _scan(卡号=[], 交易时间=[], 站点名称=[])).entity_key
    assert (key.column, key.kind) == ("卡号", "person")


def test_times_and_mostly_empty_columns_are_no_keys(policy) -> None:
    scan = TableScan(100, [ColumnScan("身份证号", 100, 80, 20, [_is("CN_RESIDENT_ID")])])
    assert grade(scan, [ColumnInfo("身份证号", "VARCHAR")], policy).entity_key is None
    assert grade(_scan(交易时间=[]), [ColumnInfo("交易时间", "TIMESTAMP")], policy).entity_key is None


def test_table_is_never_below_its_highest_column(residents: pl.DataFrame, policy) -> None:
    for name in residents.columns:
        result = _grade(residents.select(name), policy)
        assert result.level >= result.columns[0].level


def test_unscanned_column_is_refused(policy) -> None:
    with pytest.raises(UserError) as caught:
        grade(_scan(姓名=[]), [ColumnInfo("姓名", "VARCHAR"), ColumnInfo("住址", "VARCHAR")], policy)
    assert caught.value.code == "grading.not_scanned" and "住址" in caught.value.text.zh and caught.value.fix


def test_joined_sets_rise(policy) -> None:
    assert [joined_level(1, 1, policy), joined_level(1, 2, policy)] == [1, 2]
    assert [joined_level(2, 2, policy), joined_level(2, 4, policy)] == [3, 4]
