"""The field plan as a table: what the catalogue knows of a column → what it is simulated as, and by which rule."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from api.pages.words_plans import SEMANTICS
from pipelines.fieldplan import choices, entries, learnable, open_questions, plan
from pipelines.planrules import ASK, NAMES, RULES, SEMANTIC_OF_ENTITY, stem
from synthetic.fields import GENERATED, Field, check_plan

ROWS = 10_000
MANY, SOME, FEW = 9_900, 900, 12


def column(name: str, type_: str = "text", distinct: int = MANY, **facts: Any) -> Any:
    """A column as the catalogue knows it."""
    usual = {"comment": "", "level": 2, "identifier_role": "none", "entity": None, "missing": 0}
    return SimpleNamespace(name=name, type=type_, distinct=distinct, **usual | facts)


def one(
    name: str, type_: str = "text", distinct: int = MANY, declared: dict[str, Any] | None = None, **facts: Any
) -> Field:
    return plan([column(name, type_, distinct, **facts)], declared or {}, {}, ROWS)[0]


DIRECT = {"identifier_role": "direct"}
TABLE: tuple[tuple[str, str, int, dict[str, Any], str, str], ...] = (
    # name, type, distinct values, further facts → semantic, rule
    ("甲列", "text", MANY, {"entity": "CN_RESIDENT_ID", **DIRECT}, "resident_id", "PLAN-ENTITY"),
    ("甲列", "text", MANY, {"entity": "CN_RESIDENT_ID_15", **DIRECT}, "resident_id", "PLAN-ENTITY"),
    ("甲列", "text", MANY, {"entity": "CN_PASSPORT", **DIRECT}, "passport", "PLAN-ENTITY"),
    ("甲列", "text", MANY, {"entity": "CN_TRAVEL_PERMIT", **DIRECT}, "permit", "PLAN-ENTITY"),
    ("甲列", "text", MANY, {"entity": "VIN"}, "vin", "PLAN-ENTITY"),
    ("甲列", "text", MANY, {"entity": "IMEI"}, "imei", "PLAN-ENTITY"),
    ("甲列", "text", MANY, {"entity": "CN_ORG_CODE"}, "organisation_code", "PLAN-ENTITY"),
    ("甲列", "text", SOME, {"entity": "IP_ADDRESS"}, "ip", "PLAN-ENTITY"),
    ("甲列", "text", MANY, {"entity": "MAC_ADDRESS"}, "mac", "PLAN-ENTITY"),
    ("甲列", "text", MANY, {"entity": "CN_QQ", **DIRECT}, "code", "PLAN-ENTITY"),
    ("甲列", "integer", MANY, {"entity": "CN_MOBILE", **DIRECT}, "mobile", "PLAN-ENTITY"),
    ("甲列", "integer", MANY, {"entity": "CN_RESIDENT_ID", **DIRECT}, "code", "PLAN-ENTITY"),
    ("坐标", "text", MANY, {"entity": "COORDINATES"}, "coordinates", "PLAN-ENTITY"),
    ("经度", "decimal", MANY, {"entity": "COORDINATES"}, "number", "PLAN-NUMBER"),
    # names and comments, where detection could not judge
    ("患者姓名", "text", MANY, {}, "person_name", "PLAN-NAME"),
    ("a1", "text", MANY, {"comment": "联系人，经办时填写"}, "person_name", "PLAN-NAME"),
    ("学生学籍号", "text", MANY, DIRECT, "school_number", "PLAN-NAME"),
    ("病案号", "text", MANY, DIRECT, "medical_number", "PLAN-NAME"),
    ("passport_no", "text", MANY, {}, "passport", "PLAN-NAME"),
    ("客户 IP", "text", SOME, {"comment": "登录IP"}, "ip", "PLAN-NAME"),
    ("收货地址", "text", MANY, {}, "address", "PLAN-NAME"),
    ("地址类型", "text", FEW, {}, "category", "PLAN-KIND"),
    ("企业类型", "text", FEW, {"entity": "ORGANIZATION"}, "category", "PLAN-KIND"),
    ("人员类型", "text", FEW, {"entity": "PERSON", **DIRECT}, "person_name", "PLAN-ENTITY"),
    ("姓名", "integer", MANY, {}, "number", "PLAN-NUMBER"),
    # identifiers nobody has a provider for
    ("个人账号", "text", MANY, DIRECT, "key", "PLAN-DIRECT-KEY"),
    ("个人账号", "text", SOME, DIRECT, "code", "PLAN-DIRECT-CODE"),
    ("个人账号", "integer", SOME, DIRECT, "code", "PLAN-DIRECT-CODE"),
    ("备注", "text", MANY, DIRECT, "free_text", "PLAN-TEXT"),
    # dictionaries, keys and codes
    ("事项编号", "text", MANY, {}, "key", "PLAN-SERIAL"),
    ("tap_id", "integer", MANY, {}, "key", "PLAN-SERIAL"),
    ("事项编码", "text", SOME, {}, "code", "PLAN-CODE"),
    ("行业代码", "integer", FEW, {}, "code", "PLAN-CODE"),
    ("产品型号", "text", SOME, {}, "", "PLAN-ASK"),
    # numbers, dates, labels
    ("缴费金额", "decimal", MANY, {}, "amount", "PLAN-AMOUNT"),
    ("人数", "integer", SOME, {}, "number", "PLAN-NUMBER"),
    ("办结日期", "date", SOME, {}, "date", "PLAN-DATE"),
    ("办结时间", "timestamp", MANY, {}, "timestamp", "PLAN-TIME"),
    ("办结日期", "integer", SOME, {}, "date", "PLAN-DATE-NUMBER"),
    ("数据年月", "integer", FEW, {}, "category", "PLAN-PERIOD"),
    ("是否", "boolean", 2, {}, "category", "PLAN-FLAG"),
    ("所属区", "text", FEW, {}, "district", "PLAN-AREA"),
    ("所属街道", "text", FEW, {}, "street", "PLAN-STREET"),
    ("科室", "text", FEW, {}, "category", "PLAN-CATEGORY"),
    ("空列", "text", 0, {"missing": ROWS}, "category", "PLAN-EMPTY"),
    # a question
    ("办件情况", "text", MANY, {}, "", "PLAN-ASK"),
    ("标签", "text", SOME, {}, "", "PLAN-ASK"),
    ("标签", "text", 190, {"missing": ROWS - 250}, "", "PLAN-ASK"),
)


@pytest.mark.parametrize(("name", "type_", "distinct", "facts", "semantic", "rule"), TABLE)
def test_rule(name: str, type_: str, distinct: int, facts: dict[str, Any], semantic: str, rule: str) -> None:
    field = one(name, type_, distinct, **facts)
    assert field.decision is not None
    assert (field.semantic, field.decision.rule, field.decision.by) == (semantic, rule, "machine")
    assert open_questions([field]) == ([name] if not semantic else [])


def test_every_rule_of_the_machine_has_an_example() -> None:
    assert {r.id for r in RULES} | {ASK.id} == {row[-1] for row in TABLE} | {"PLAN-CODES"}


def test_every_kind_detection_knows_has_a_meaning() -> None:
    from api.pages.words_catalog import ENTITIES

    assert set(SEMANTIC_OF_ENTITY) == set(ENTITIES)
    assert {s for s, _ in NAMES} | set(SEMANTIC_OF_ENTITY.values()) <= set(SEMANTICS)


def test_a_declared_code_list_is_the_dictionary() -> None:
    rules = {"quality": [{"kind": "code_list", "column": "险种", "values": ["养老", "医疗"]}]}
    field = one("险种", distinct=2, declared=rules)
    assert (field.semantic, field.codes, field.decision and field.decision.rule) == (
        "category", ("养老", "医疗"), "PLAN-CODES",
    )  # fmt: skip
    own = {"columns": {"险种": {"codes": ["A"]}}}
    assert one("险种", distinct=2, declared=rules | own).codes == ("A",)
    assert one("险种", distinct=2, declared=rules, **DIRECT).codes == ()


# ---- who decides ----


def test_the_department_says_more_than_the_rules() -> None:
    field = one("办件情况", declared={"columns": {"办件情况": {"semantic": "free_text"}}})
    assert (field.semantic, field.decision and field.decision.by) == ("free_text", "declared")


@pytest.mark.parametrize("semantic", ["category", "district", "nonsense", ""])
def test_nobody_may_declare_an_identifier_to_be_learned(semantic: str) -> None:
    declared = {"columns": {"账号": {"semantic": semantic}}}
    field = one("账号", "text", SOME, declared, **DIRECT)
    assert field.semantic == "code"
    assert not field.learned


@pytest.mark.parametrize("default", ["shape", "drop"])
def test_the_default_answer_can_be_taken_for_all_questions(default: str) -> None:
    field = one("办件情况", declared={"unclassified": default})
    assert (field.semantic, field.decision and field.decision.by) == (default, "default")
    assert one("办件情况", declared={"unclassified": "category"}).semantic == ""


def test_a_time_that_names_somebody_is_drawn_blind() -> None:
    field = one("交易时间", "timestamp", **DIRECT)
    assert (field.semantic, field.blind, field.role) == ("timestamp", True, "sensitive")


def test_an_empty_column_stays_empty_without_a_row_being_read() -> None:
    assert one("空列", distinct=0, missing=ROWS).null_share == 1.0


# ---- columns that belong together ----

PERSON = [
    column("身份证号", entity="CN_RESIDENT_ID", **DIRECT), column("姓名", entity="PERSON", **DIRECT),
    column("性别", distinct=2), column("出生日期", "date"), column("手机号", entity="CN_MOBILE", **DIRECT),
    column("现住址", entity="ADDRESS", **DIRECT), column("所属区", distinct=6), column("所属街道", distinct=38),
    column("监护人身份证号", entity="CN_RESIDENT_ID", **DIRECT), column("监护人姓名", entity="PERSON", **DIRECT),
]  # fmt: skip
FIRM = [
    column("统一社会信用代码", entity="CN_USCC"), column("企业名称", entity="ORGANIZATION"),
    column("学校代码", distinct=80), column("学校名称", entity="ORGANIZATION"), column("行业代码", distinct=80),
]  # fmt: skip


@pytest.mark.parametrize(
    ("columns", "name", "follows"),
    [
        (PERSON, "身份证号", {"sex": "性别", "birth": "出生日期"}),
        (PERSON, "姓名", {"sex": "性别", "entity": "身份证号"}),
        (PERSON, "监护人身份证号", {}),
        (PERSON, "监护人姓名", {"entity": "监护人身份证号"}),
        (PERSON, "手机号", {"entity": "身份证号"}),
        (PERSON, "现住址", {"district": "所属区", "street": "所属街道"}),
        (PERSON, "性别", {}),
        (FIRM, "学校名称", {"entity": "学校代码"}),
        (FIRM, "企业名称", {}),
        (FIRM[:2], "企业名称", {"entity": "统一社会信用代码"}),
        (FIRM[1:2] + FIRM[4:], "企业名称", {}),
    ],
)
def test_columns_of_one_row_that_agree(columns: list[Any], name: str, follows: dict[str, str]) -> None:
    fields = plan(columns, {}, {}, ROWS)
    field = next(f for f in fields if f.name == name)
    assert dict(field.follows) == follows
    assert field.decision is not None
    assert all(lead in field.decision.reason.zh for lead in follows.values())
    check_plan(fields, [c.name for c in columns])


def test_declared_ties_count_instead_and_never_point_at_a_column_left_out() -> None:
    declared = {"columns": {"姓名": {"follows": {"sex": "性别", "entity": "身份证号"}}, "性别": {"semantic": "drop"}}}
    fields = {f.name: f for f in plan(PERSON, declared, {}, ROWS)}
    assert dict(fields["姓名"].follows) == {"entity": "身份证号"}
    assert dict(fields["身份证号"].follows) == {"birth": "出生日期"}


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("监护人身份证号码", "监护人"), ("姓名", ""), ("mother_name", "mother"), ("学校代码", "学校"),
        ("就诊日期", "就诊日期"),
    ],
)  # fmt: skip
def test_stem_is_whose_column_it_is(name: str, left: str) -> None:
    assert stem(name) == left


# ---- what may be answered ----


@pytest.mark.parametrize("type_", ["text", "integer", "decimal", "date", "timestamp", "boolean"])
@pytest.mark.parametrize("facts", [{}, DIRECT, {"entity": "CN_USCC"}])
def test_every_choice_makes_a_plan_that_holds(type_: str, facts: dict[str, Any]) -> None:
    column_ = column("甲列", type_, **facts)
    for semantic in set(choices(column_)) - {"drop"}:
        fields = plan([column_], {"columns": {"甲列": {"semantic": semantic}}}, {}, ROWS)
        assert fields[0].semantic == semantic
        check_plan(fields, ["甲列"])
        if facts and type_ in ("text", "integer"):
            assert not fields[0].learned
    assert "drop" in choices(column_)
    assert not set(learnable(column_)) & GENERATED


def test_entries_are_plain_and_hold_the_choices() -> None:
    columns = [column("办件情况"), column("身份证号", entity="CN_RESIDENT_ID", **DIRECT)]
    told = entries(columns, plan(columns, {}, {}, ROWS))
    assert [e["open"] for e in told] == [True, False]
    assert told[1]["learned"] == []
    assert told[0]["choices"] and told[0]["reason"]["zh"]
