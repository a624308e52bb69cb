"""Generator plans: what a rule may say, what of an untrusted plan is refused, what the catalogue's rules draw."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.detection import scan_table
from synthetic import providers as p
from synthetic.engines.schema_engine import SchemaEngine
from synthetic.fields import Field
from synthetic.generator import RULE, Template, as_dict
from synthetic.planning import MOST_COLUMNS, MOST_ENTRIES, Planned, read_plan
from synthetic.providers.gazetteer import STREETS_OF
from synthetic.rules import catalogue_rule
from synthetic.shapes import first_refused, identifying, unsafe
from synthetic.simulate import simulate

FIELDS = (
    Field("姓名", "text", "person_name", "direct", 3),
    Field("险种", "text", "category", nullable=False),
    Field("人员状态", "text", "category", nullable=False),
    Field("性别", "text", "category", codes=("男", "女"), nullable=False),
    Field("总费用", "decimal", "amount", nullable=False),
    Field("报销金额", "decimal", "amount", nullable=False),
    Field("人次", "integer", "number", nullable=False),
    Field("入院日期", "date", "date", nullable=False),
    Field("出院日期", "date", "date", nullable=False),
    Field("结算时间", "timestamp", "timestamp", nullable=False),
    Field("业务编码", "text", "code", nullable=False),
    Field("短码", "text", "category", length=2, nullable=False),
    Field("等级", "integer", "category", nullable=False),
    Field("是否异地", "boolean", "category", nullable=False),
    Field("街道", "text", "street", nullable=False),
    Field("行政区", "text", "district", nullable=False),
)
_TYPES: dict[str, Any] = {
    "text": pl.String, "integer": pl.Int64, "decimal": pl.Float64, "date": pl.Date, "timestamp": pl.Datetime("us"),
    "boolean": pl.Boolean,
}  # fmt: skip
EMPTY = pl.DataFrame(schema={f.name: _TYPES[f.dtype] for f in FIELDS})
GOOD: dict[str, Any] = {
    "险种": {"make": "vocabulary", "values": ["职工", "居民"], "weights": [3, 1]},
    "人员状态": {"make": "cases", "of": "险种", "cases": {"职工": ["在职", "退休"]}, "otherwise": ["学生"]},
    "性别": {"make": "vocabulary", "values": ["女", "男"], "weights": [9, 1]},
    "总费用": {"make": "number", "low": 100, "high": 90000, "distribution": "lognormal"},
    "报销金额": {"make": "portion", "of": "总费用", "low": 0.3, "high": 0.9},
    "人次": {"make": "number", "low": 1, "high": 6},
    "入院日期": {"make": "date", "first": "2024-01-01", "last": "2024-12-31"},
    "出院日期": {"make": "after", "of": "入院日期", "least": 1, "most": 20},
    "结算时间": {"make": "after", "of": "出院日期", "least": 0, "most": 3},
    "业务编码": {"make": "template", "templates": ["YB-{year}-{digits:2}{letter}"]},
    "等级": {"make": "vocabulary", "values": ["1", "2"]},
    "行政区": {"make": "vocabulary", "values": ["天河区", "越秀区"]},
    "街道": {"make": "provider", "provider": "street", "of": "行政区"},
}


def read(columns: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    return read_plan(json.dumps({"columns": columns}, ensure_ascii=False), FIELDS)


class _Fixed:
    """A planner that has its plan already."""

    def __init__(self, planned: Planned) -> None:
        self.planned = planned

    def plan(self, table: str, fields: Any) -> Planned:
        return self.planned


# ── a good plan ──


@pytest.fixture(scope="module")
def planned() -> Planned:
    rules, refused = read(GOOD)
    assert not refused
    return Planned("model m", rules, refused)


@pytest.fixture(scope="module")
def frame(planned: Planned) -> pl.DataFrame:
    return simulate(EMPTY, FIELDS, rows=2000, seed=5, engine="schema", planner=_Fixed(planned)).frame


def test_values_are_those_of_the_plan_and_lean_on_each_other(frame: pl.DataFrame) -> None:
    assert 0.7 < (frame["险种"] == "职工").mean() < 0.8  # type: ignore[operator]
    assert set(frame.filter(pl.col("险种") == "职工")["人员状态"]) == {"在职", "退休"}
    assert set(frame.filter(pl.col("险种") == "居民")["人员状态"]) == {"学生"}
    assert 0.86 < (frame["性别"] == "女").mean() < 0.94  # type: ignore[operator]
    share = frame["报销金额"] / frame["总费用"]
    assert share.is_between(0.299, 0.901).all()
    assert frame["总费用"].is_between(100, 90_000).all()
    assert set(frame["人次"]) == {1, 2, 3, 4, 5, 6}
    assert frame["入院日期"].dt.year().unique().to_list() == [2024]
    assert (frame["出院日期"] - frame["入院日期"]).dt.total_days().is_between(1, 20).all()
    assert (frame["结算时间"].dt.date() - frame["出院日期"]).dt.total_days().is_between(0, 3).all()
    assert all(re.fullmatch(r"YB-20(?:19|2[0-5])-\d{2}[A-HJ-NP-Z]", code) for code in frame["业务编码"])
    assert set(frame["等级"]) == {1, 2}
    for district, street in frame.select("行政区", "街道").iter_rows():
        assert street in STREETS_OF[district]


def test_same_plan_and_seed_give_the_same_rows_and_the_manifest_holds_the_plan(planned: Planned) -> None:
    first = simulate(EMPTY, FIELDS, rows=300, seed=1, engine="schema", planner=_Fixed(planned))
    kept = {name: RULE.validate_python(rule) for name, rule in first.manifest["generator"]["rules"].items()}
    again = simulate(EMPTY, FIELDS, rows=300, seed=1, engine="schema", planner=_Fixed(Planned("model m", kept)))
    assert first.frame.equals(again.frame)
    assert first.manifest["generator"]["digest"] == again.manifest["generator"]["digest"]


def test_manifest_says_which_source_made_each_column(planned: Planned) -> None:
    made = simulate(EMPTY, FIELDS, rows=50, seed=1, engine="schema", planner=_Fixed(planned))
    sources = {c["name"]: c["source"] for c in made.manifest["columns"]}
    assert sources["险种"] == "model m: vocabulary"
    assert sources["姓名"] == "provider"
    assert sources["是否异地"] == "rules: type"
    assert made.manifest["engine"]["version"] == "schema/2 source: model m"
    alone = simulate(EMPTY, FIELDS, rows=50, seed=1, engine="schema")
    sources = {c["name"]: c["source"] for c in alone.manifest["columns"]}
    assert sources["性别"] == "dictionary"
    assert sources["总费用"] == "rules: name 费"
    assert alone.manifest["generator"]["source"] == "rules"


def test_a_rule_that_leans_on_a_column_drawn_elsewhere_gives_way_and_the_source_says_so(planned: Planned) -> None:
    engine = SchemaEngine(planned)
    engine.fit_sample(pl.DataFrame(), [f for f in FIELDS if f.name in ("人员状态", "人次")], 10, 1)
    assert engine.sources["人员状态"] == "rules: name 状态 (plan: unknown_column)"
    assert engine.sources["人次"] == "model m: number"


def test_a_plan_may_write_free_text_by_template_only() -> None:
    fields = [Field("办理意见", "text", "free_text", "sensitive", 3, nullable=False), *FIELDS[1:2]]
    told = {"办理意见": {"make": "template", "templates": ["{month}月{day}日经{street}核实", "已转办{count}次"]}}
    rules, refused = read_plan(json.dumps({"columns": told}), fields)
    assert not refused
    empty = pl.DataFrame(schema={f.name: pl.String for f in fields})
    made = simulate(empty, fields, rows=60, seed=1, engine="schema", planner=_Fixed(Planned("model m", rules)))
    assert all(re.fullmatch(r"\d+月\d+日经.+核实|已转办\d次", text) for text in made.frame["办理意见"])
    assert made.manifest["columns"][0]["source"] == "model m: template"
    for rule in (GOOD["险种"], {"make": "provider", "provider": "person_name"}):
        assert read_plan(json.dumps({"columns": {"办理意见": rule}}), fields)[1] == {"办理意见": "type"}


# ── what is refused ──

BAD: list[tuple[str, str, Any, str]] = [
    ("an unknown kind", "险种", {"make": "python", "code": "import os"}, "form"),
    ("an unknown key", "险种", {"make": "vocabulary", "values": ["甲"], "exec": "1"}, "form"),
    ("no rule at all", "险种", "__import__('os')", "form"),
    ("no values", "险种", {"make": "vocabulary", "values": []}, "form"),
    ("too few weights", "险种", {"make": "vocabulary", "values": ["甲", "乙"], "weights": [1]}, "form"),
    ("a weight below zero", "险种", {"make": "vocabulary", "values": ["甲"], "weights": [-1]}, "form"),
    ("a very long value", "险种", {"make": "vocabulary", "values": ["长" * 41]}, "form"),
    ("too many values", "险种", {"make": "vocabulary", "values": list(map(str, range(MOST_ENTRIES + 1)))}, "too_many"),
    ("a resident ID", "险种", {"make": "vocabulary", "values": ["110101199003078888"]}, "identifier"),
    ("a spaced mobile", "险种", {"make": "vocabulary", "values": ["138 0013 8000"]}, "identifier"),
    ("a wide mobile", "险种", {"make": "vocabulary", "values": ["１３８００１３８０００"]}, "identifier"),
    ("a formula", "险种", {"make": "vocabulary", "values": ["=HYPERLINK(1)"]}, "identifier"),
    ("an invisible character", "险种", {"make": "vocabulary", "values": ["甲\u202e乙"]}, "identifier"),
    ("an identifier under a case", "人员状态",
     {"make": "cases", "of": "险种", "cases": {"甲": ["a@b.cn"]}, "otherwise": ["乙"]}, "identifier"),
    ("digits that grow into a card", "业务编码",
     {"make": "template", "templates": ["62{digits:6}{digits:6}"]}, "identifier"),
    ("an unknown place", "业务编码", {"make": "template", "templates": ["{__class__}"]}, "form"),
    ("an open brace", "业务编码", {"make": "template", "templates": ["{digits:3"]}, "form"),
    ("a value outside the dictionary", "性别", {"make": "vocabulary", "values": ["男", "未知"]}, "not_in_dictionary"),
    ("a value longer than the column", "短码", {"make": "vocabulary", "values": ["甲乙丙"]}, "too_long"),
    ("words for a number", "人次", {"make": "vocabulary", "values": ["三"]}, "type"),
    ("words for a numeric code", "等级", {"make": "vocabulary", "values": ["高"]}, "type"),
    ("numbers for words", "险种", {"make": "number", "low": 1, "high": 2}, "type"),
    ("a name for a numeric code", "等级", {"make": "provider", "provider": "person_name"}, "type"),
    ("numbers for dates", "入院日期", {"make": "number", "low": 1, "high": 2}, "type"),
    ("an eleven-digit number", "人次", {"make": "number", "low": 13_000_000_000, "high": 13_999_999_999}, "form"),
    ("a number without end", "人次", {"make": "number", "low": 0, "high": float("inf")}, "form"),
    ("ends the wrong way round", "人次", {"make": "number", "low": 2, "high": 1}, "form"),
    ("a logarithm of zero", "人次", {"make": "number", "low": 0, "high": 1, "distribution": "lognormal"}, "form"),
    ("a far year", "入院日期", {"make": "date", "first": "0001-01-01", "last": "2024-01-01"}, "form"),
    ("an unknown column", "出院日期", {"make": "after", "of": "没有", "least": 0, "most": 1}, "unknown_column"),
    ("itself", "出院日期", {"make": "after", "of": "出院日期", "least": 0, "most": 1}, "unknown_column"),
    ("an identifier's column", "人员状态",
     {"make": "cases", "of": "姓名", "cases": {"张三": ["甲"]}, "otherwise": ["乙"]}, "unknown_column"),
    ("days after a word", "出院日期", {"make": "after", "of": "险种", "least": 0, "most": 1}, "type"),
    ("a part of a date", "报销金额", {"make": "portion", "of": "入院日期", "low": 0, "high": 1}, "type"),
    ("an unknown provider", "险种", {"make": "provider", "provider": "os.system"}, "form"),
]  # fmt: skip


@pytest.mark.parametrize(("column", "rule", "reason"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_rule_that_does_not_hold_is_refused_alone(column: str, rule: Any, reason: str) -> None:
    other = next(name for name in ("业务编码", "险种") if name != column)
    rules, refused = read({column: rule, other: GOOD[other]})
    assert refused == {column: reason}
    assert list(rules) == [other]


def test_columns_in_a_circle_are_refused_with_those_that_lean_on_them() -> None:
    circle = {
        "入院日期": {"make": "after", "of": "出院日期", "least": 0, "most": 1},
        "出院日期": {"make": "after", "of": "入院日期", "least": 0, "most": 1},
        "结算时间": {"make": "after", "of": "出院日期", "least": 0, "most": 1},
    }
    rules, refused = read({**circle, "险种": GOOD["险种"]})
    assert refused == dict.fromkeys(circle, "circle")
    assert list(rules) == ["险种"]


def test_a_plans_district_that_leans_on_the_street_does_not_meet_our_street_that_leans_on_the_district() -> None:
    rules, _ = read({"行政区": {"make": "cases", "of": "街道", "cases": {"甲街道": ["甲区"]}, "otherwise": ["乙区"]}})
    engine = SchemaEngine(Planned("model m", rules))
    assert set(engine.fit_sample(pl.DataFrame(), FIELDS[1:], 50, 1)["行政区"]) <= {"甲区", "乙区"}


def test_identifiers_and_unasked_columns_are_not_the_plans_business() -> None:
    rules, refused = read({"姓名": {"make": "vocabulary", "values": ["甲"]}, "没有的列": GOOD["险种"]})
    assert not rules
    assert not refused


@pytest.mark.parametrize(
    "text",
    ["", "好的", "[]", '{"columns": []}', '{"columns": {}, "rows": []}', '{"column": {}}', "[" * 100_000,
     json.dumps({"columns": {str(n): {} for n in range(MOST_COLUMNS + 1)}})],
    ids=["empty", "words", "list", "list of columns", "another key", "wrong key", "deep", "many columns"],
)  # fmt: skip
def test_what_is_no_plan_is_refused_whole_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="the plan") as caught:
        read_plan(text, FIELDS)
    assert not text or text not in str(caught.value)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=30), lambda v: st.lists(v, max_size=3)
                    | st.dictionaries(st.text(max_size=8), v, max_size=3), max_leaves=8))  # fmt: skip
def test_no_document_makes_the_reader_fail_otherwise(told: Any) -> None:
    try:
        rules, _ = read_plan(json.dumps({"columns": {f.name: told for f in FIELDS}}), FIELDS)
    except ValueError:
        return
    assert all(RULE.validate_python(rule) for rule in as_dict(rules).values())


# ── shapes ──


_PIECES = [
    "{digits:1}", "{digits:3}", "{digits:6}", "{letter}", "{year}", "{month}", "{day}", "{hour}", "{count}", "{street}",
    "{year}{month}{day}", "{year}-{month}-{day}", "A", "7", "20", "-", ":", ".", " ", "号", "YB",
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(_PIECES), min_size=1, max_size=6), st.integers(0, 2**31))
def test_an_accepted_template_never_renders_an_identifier(parts: list[str], seed: int) -> None:
    rule = Template(templates=("".join(parts),))
    if first_refused(rule.texts()) is not None:
        return
    field = Field("内容", "text", "category", nullable=False)
    engine = SchemaEngine(Planned("model m", {"内容": rule}))
    for value in engine.fit_sample(pl.DataFrame(), [field], 20, seed)["内容"]:
        assert not identifying(value)
        assert not unsafe(value)


IDENTIFIERS = {
    "resident IDs": lambda r: p.people(r, 50).resident_ids,
    "old resident IDs": lambda r: p.old_resident_ids(r, p.births(r, 50), p.person_sexes(r, 50)),
    "mobiles": lambda r: p.mobiles(r, 50),
    "landlines": lambda r: p.landlines(r, 50),
    "credit codes": lambda r: p.usccs(r, 50),
    "cards": lambda r: p.bank_cards(r, 50),
    "plates": lambda r: p.plates(r, 50),
    "VINs": lambda r: p.vins(r, 50),
    "passports": lambda r: p.passports(r, 50),
    "permits": lambda r: p.permits(r, 50, kind="home_return"),
    "compatriots' permits": lambda r: p.permits(r, 50, kind="compatriot"),
    "organisation codes": lambda r: p.organisation_codes(r, 50),
    "IMEIs": lambda r: p.imeis(r, 50),
    "IP addresses": lambda r: p.ips(r, 50),
    "IPv6 addresses": lambda r: p.ips(r, 50, version=6),
    "MAC addresses": lambda r: p.macs(r, 50),
    "e-mail addresses": lambda r: p.emails(r, 50),
}


@pytest.mark.parametrize("kind", IDENTIFIERS)
def test_every_identifier_is_seen_bare_hidden_in_a_text_wide_and_spaced(kind: str) -> None:
    for value in IDENTIFIERS[kind](np.random.default_rng(3)):
        wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in value)
        spaced = f"{value[:4]} {value[4:8]} {value[8:]}"
        assert all(identifying(text) for text in (value, f"客户{value}号", wide, value.lower(), spaced))


@pytest.mark.parametrize("text", ["138-1990-0101", "1381990-01-01", "138 19900101"])
def test_a_number_does_not_hide_behind_a_date(text: str) -> None:
    assert identifying(text)


@pytest.mark.parametrize(
    "text",
    ["职工基本医疗保险", "2024-03-01", "20240301", "A00001", "一级甲等", "PM2.5", "第3类", "B2B平台", "12345热线",
     "65岁以上", "100万元以下", "GB/T 4754", "Ⅱ类", "COVID-19", "0-6岁"],
)  # fmt: skip
def test_everyday_entries_are_let_through(text: str) -> None:
    assert not identifying(text)
    assert not unsafe(text)


# ── the catalogue's rules ──

CATALOGUE: list[tuple[Field, str]] = [
    (Field("随便", "text", "category", codes=("甲", "乙")), "dictionary"),
    (Field("性别", "text", "category", codes=("M", "F")), "dictionary"),
    (Field("经办人姓名", "text", "category"), "name 姓名"),
    (Field("f1", "text", "category", comment="申请人身份证"), "name 身份证"),
    (Field("统一社会信用代码", "text", "category"), "name 信用代码"),
    (Field("手机号", "text", "category"), "name 手机"),
    (Field("经营地址", "text", "category"), "name 地址"),
    (Field("增长率", "decimal", "number"), "name 率"),
    (Field("费用金额", "decimal", "amount"), "name 金额"),
    (Field("出生日期", "date", "date"), "name 出生"),
    (Field("发生日期", "date", "date"), "type"),
    (Field("业务编码", "text", "category"), "name 编码"),
    (Field("区", "text", "district"), "name district"),
    (Field("民族", "text", "category", length=1), "type"),
    (Field("x", "integer", "number"), "type"),
    (Field("x", "boolean", "category"), "type"),
    (Field("x", "date", "category"), "type"),
    (Field("x", "timestamp", "category"), "type"),
    (Field("x", "text", "code"), "type"),
]


@pytest.mark.parametrize(("field", "why"), CATALOGUE, ids=[f"{f.name}-{f.dtype}-{w}" for f, w in CATALOGUE])
def test_dictionary_comes_before_name_and_name_before_type(field: Field, why: str) -> None:
    assert catalogue_rule(field, [field])[1] == why


@pytest.mark.parametrize("field", [f for f, _ in CATALOGUE], ids=[f"{f.name}-{f.dtype}" for f, _ in CATALOGUE])
def test_every_catalogue_rule_draws_values_that_fit_the_column(field: Field) -> None:
    real = pl.DataFrame(schema={field.name: _TYPES[field.dtype]})
    made = simulate(real, [field], rows=200, seed=2, engine="schema").frame[field.name]
    assert made.dtype == _TYPES[field.dtype]
    assert 0 < made.null_count() < 40
    if field.codes:
        assert set(made.drop_nulls()) == set(field.codes)
    if field.length:
        assert made.drop_nulls().str.len_chars().max() <= field.length  # type: ignore[operator]


def test_a_street_lies_in_the_district_of_its_row() -> None:
    fields = [Field("街道", "text", "street", nullable=False), Field("行政区", "text", "district", nullable=False)]
    made = SchemaEngine().fit_sample(pl.DataFrame(), fields, 300, 4)
    assert all(street in STREETS_OF[district] for district, street in made.select("行政区", "街道").iter_rows())


def test_texts_drawn_for_category_columns_hold_no_identifier_that_detection_would_find() -> None:
    names = ("科室", "险种", "业务编码", "办理状态", "随便")
    fields = [Field(name, "text", "category", nullable=False) for name in names]
    scan = scan_table(SchemaEngine().fit_sample(pl.DataFrame(), fields, 500, 4))
    assert not [found for f in fields for found in scan.column(f.name).decided("is", "contains")]
