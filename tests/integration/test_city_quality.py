"""Every assessed indicator of every table of the demonstration city equals the figure computed by hand, exactly."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from pipelines.quality import Around, QualityReport, measure
from pipelines.quality.samples import Places, set_apart
from pipelines.reading import TableReading, read
from policies.editions import load
from policies.schema.quality import DeclaredRule
from synthetic.city import build
from tests import city_oracle

_DECLARED: TypeAdapter[Any] = TypeAdapter(list[DeclaredRule])
_DISTRICTS = ["东湖区", "西岭区", "南屏区", "中和区"]
RULES: dict[str, list[dict[str, Any]]] = {
    "residents": [
        {"kind": "unique_key", "columns": ["身份证号"]},
        {"kind": "required", "columns": ["身份证号", "姓名", "文化程度", "手机号"]},
        {"kind": "check_digit", "column": "身份证号", "scheme": "resident_id"},
        {"kind": "code_list", "column": "性别", "values": ["男", "女"]},
        {"kind": "range", "column": "年龄", "min": 0.0, "max": 120.0},
        {"kind": "regex", "column": "手机号", "pattern": "1[0-9]{10}"},
        {"kind": "column_type", "column": "出生日期", "type": "date", "max_length": None},
        {"kind": "date_order", "columns": ["出生日期", "登记日期"]},
        {"kind": "encoded", "column": "出生日期", "id_column": "身份证号", "part": "birth"},
        {"kind": "encoded", "column": "性别", "id_column": "身份证号", "part": "sex"},
        {"kind": "period", "column": "登记日期", "start": "1998-01-01", "end": "2025-12-31"},
        {"kind": "fresh_within", "column": "登记日期", "days": 30},
        {"kind": "expected_rows", "rows": 3000},
        {"kind": "masked", "column": "手机号", "hidden": 4},
        {"kind": "dictionary", "columns": ["身份证号", "姓名", "性别", "曾用名"]},
    ],
    "enterprises": [
        {"kind": "unique_key", "columns": ["统一社会信用代码"]},
        {"kind": "check_digit", "column": "统一社会信用代码", "scheme": "uscc"},
        {"kind": "range", "column": "从业人数", "min": 0.0, "max": 100000.0},
        {"kind": "range", "column": "注册资本(万元)", "min": 0.0, "max": 100000000.0},
        {"kind": "required", "columns": ["联系电话", "从业人数"]},
        {"kind": "column_type", "column": "成立日期", "type": "date", "max_length": None},
    ],
    "social_insurance": [
        {"kind": "unique_key", "columns": ["缴费流水号"]},
        {"kind": "unique_key", "columns": ["身份证号", "缴费年月"]},
        {"kind": "reference", "columns": ["身份证号"], "to_table": "居民登记", "to_columns": ["身份证号"]},
        {
            "kind": "reference", "columns": ["单位统一社会信用代码"], "to_table": "企业登记",
            "to_columns": ["统一社会信用代码"],
        },
        {"kind": "total", "column": "缴费合计", "parts": ["单位缴费额", "个人缴费额"], "tolerance": 0.005},
        {"kind": "regex", "column": "缴费年月", "pattern": "2025(0[1-9]|1[0-2])"},
        {"kind": "range", "column": "缴费基数", "min": 0.0, "max": 100000.0},
        {
            "kind": "same_data", "columns": ["身份证号"], "column": "姓名", "to_table": "居民登记",
            "to_columns": ["身份证号"], "to_column": "姓名",
        },
    ],
    "clinic_visits": [
        {"kind": "unique_key", "columns": ["就诊流水号"]},
        {"kind": "required", "columns": ["就诊流水号", "身份证号", "就诊日期", "费用"]},
        {"kind": "check_digit", "column": "身份证号", "scheme": "resident_id"},
        {"kind": "range", "column": "费用", "min": 0.0, "max": 1000000.0},
        {"kind": "range", "column": "年龄", "min": 0.0, "max": 120.0},
        {"kind": "reference", "columns": ["身份证号"], "to_table": "居民登记", "to_columns": ["身份证号"]},
        {"kind": "total", "column": "费用", "parts": ["医保支付", "自付金额"], "tolerance": 0.005},
        {"kind": "period", "column": "就诊日期", "start": "2025-01-01", "end": "2025-06-30"},
        {
            "kind": "truth", "columns": ["身份证号"], "column": "性别", "to_table": "居民登记",
            "to_columns": ["身份证号"], "to_column": "性别",
        },
    ],
    "transit_taps": [
        {"kind": "unique_key", "columns": ["交易流水号"]},
        {"kind": "total", "column": "应收金额", "parts": ["优惠金额", "实收金额"], "tolerance": 0.005},
        {"kind": "range", "column": "实收金额", "min": 0.0, "max": 100.0},
        {"kind": "regex", "column": "卡号", "pattern": "[0-9]{12}"},
        {
            "kind": "condition", "column": "交易类型", "values": ["公交刷卡"], "then_column": "车牌号",
            "then_values": None,
        },
    ],
    "permits_penalties": [
        {"kind": "unique_key", "columns": ["文书号"]},
        {"kind": "date_order", "columns": ["决定日期", "有效期至"]},
        {"kind": "check_digit", "column": "统一社会信用代码", "scheme": "uscc"},
        {"kind": "range", "column": "罚款金额", "min": 0.0, "max": 10000000.0},
        {
            "kind": "condition", "column": "信息类别", "values": ["行政处罚"], "then_column": "处罚种类",
            "then_values": ["罚款", "警告"],
        },
        {
            "kind": "reference", "columns": ["统一社会信用代码"], "to_table": "企业登记",
            "to_columns": ["统一社会信用代码"],
        },
    ],
    "schools": [
        {"kind": "unique_key", "columns": ["学校标识码"]},
        {"kind": "range", "column": "建校年份", "min": 1850.0, "max": 2026.0},
        {"kind": "range", "column": "在校学生数", "min": 0.0, "max": 20000.0},
        {"kind": "required", "columns": ["专任教师数", "联系电话"]},
    ],
    "air_readings": [
        {"kind": "unique_key", "columns": ["站点编码", "监测时间"]},
        {"kind": "range", "column": "PM2.5", "min": 0.0, "max": 1000.0},
        {"kind": "range", "column": "O3", "min": 0.0, "max": 1000.0},
        {"kind": "code_list", "column": "所属区", "values": _DISTRICTS},
    ],
    "areas": [
        {"kind": "unique_key", "columns": ["code"]},
        {"kind": "regex", "column": "code", "pattern": "44[0-9]{4}"},
    ],
}


class Built:
    """The city on disk: its answer key, the tables as plain Python reads them, and as the product reads them."""

    def __init__(self, folder: Path, work: Path) -> None:
        build(folder, seed=7, scale=0.2)
        key = json.loads((folder / "truth.json").read_text("utf-8"))
        self.truth: dict[str, Any] = {t["key"]: t for t in key["tables"]}
        self.by_hand = {k: city_oracle.load(folder, t) for k, t in self.truth.items()}
        self.readings: dict[str, TableReading] = {}
        for name, table in self.truth.items():
            (self.readings[name],) = read(folder / table["file"], work=work / name)
        self.cells = list(csv.DictReader((folder / "truth_cells.csv").open(encoding="utf-8")))
        self.folder = folder

    def titled(self, what: dict[str, Any]) -> dict[str, Any]:
        return {self.truth[key]["title"]: found for key, found in what.items()}

    def report(self, key: str, *, direct: tuple[str, ...] = ()) -> QualityReport:
        reading = self.readings[key]
        others = self.titled({k: [str(r.text_parquet)] for k, r in self.readings.items()})
        apart = set_apart(reading.quarantine_parquet)
        return measure(
            [str(reading.text_parquet)], reading.recipe.columns, _DECLARED.validate_json(json.dumps(RULES[key])),
            reading.accounting, load("quality", "2026-01"), name=key, around=Around(others, (), city_oracle.TODAY),
            direct=direct, places=Places.of(reading.accounting, [n for one in apart for n in one.lines]),
        )  # fmt: skip


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    yield Built(tmp_path_factory.mktemp("city"), tmp_path_factory.mktemp("work"))


@pytest.mark.parametrize("key", sorted(RULES))
def test_every_assessed_indicator_is_the_one_computed_by_hand(city: Built, key: str) -> None:
    wanted = city_oracle.indicators(city.truth[key], city.by_hand[key], RULES[key], city.titled(city.by_hand))
    report = city.report(key)
    assert {i.code: (i.a, i.b) for i in report.indicators if i.assessed} == wanted
    assert {i.code: Fraction(i.x) for i in report.indicators if i.x is not None} == {
        code: Fraction(a / b) for code, (a, b) in wanted.items()
    }


@pytest.mark.parametrize("key", sorted(RULES))
def test_hand_and_answer_key_agree_on_rows_repeats_and_missing_values(city: Built, key: str) -> None:
    """The oracle is checked against the record that the city's builder kept."""
    rows, truth = city.by_hand[key], city.truth[key]
    assert (len(rows), len(rows) - len({tuple(r.values()) for r in rows})) == (truth["rows"], truth["duplicate_rows"])
    missing = {c["name"]: sum(city_oracle.value(r, c["name"]) is None for r in rows) for c in truth["columns"]}
    assert missing == {c["name"]: c["missing"] for c in truth["columns"]}
    assert {c.name: c.missing for c in city.report(key).columns} == missing


def test_planted_dirt_is_what_fails(city: Built) -> None:
    """Cells that the builder spoiled, by their own record: not a computation but the list of what was done."""
    spoiled = {(c["table"], c["column"], c["kind"]): 0 for c in city.cells}
    for cell in city.cells:
        spoiled[cell["table"], cell["column"], cell["kind"]] += 1
    residents = {(r.kind, r.columns): r for r in city.report("residents").rules}
    wrong = spoiled["residents", "身份证号", "bad_check_digit"] + spoiled["residents", "身份证号", "full_width"]
    doubled = sum(c["table"] == "residents" and c["column"] == "身份证号" for c in city.cells)
    assert residents["check_digit", ("身份证号",)].failing == wrong == doubled
    assert residents["range", ("年龄",)].failing == spoiled["residents", "年龄", "impossible"]
    clinic = {(r.kind, r.columns): r for r in city.report("clinic_visits").rules}
    assert clinic["total", ("费用", "医保支付", "自付金额")].failing == spoiled["clinic_visits", "费用", "impossible"]


@pytest.mark.parametrize("key", ["residents", "clinic_visits", "social_insurance", "transit_taps"])
def test_a_failing_row_stands_on_the_line_of_the_file_that_is_named(city: Built, key: str) -> None:
    layout = city.truth[key]["layout"]
    lines = (city.folder / city.truth[key]["file"]).read_bytes().decode(layout["encoding"]).split("\n")
    named = [(r, s) for r in city.report(key).rules for s in r.samples if s.line is not None]
    if layout["blank_lines"]:
        assert not named, "empty lines may stand between records: no line is claimed"
        return
    assert named
    for rule, sample in named:
        row, line = city.by_hand[key][sample.row], lines[(sample.line or 0) - 1]
        assert all(row[c] in line for c in rule.columns if city_oracle.value(row, c)), (rule.kind, sample.row)


def test_samples_show_no_value_of_a_record(city: Built) -> None:
    report = city.report("residents", direct=("身份证号", "姓名", "手机号"))
    shown = json.dumps(report.as_dict(), ensure_ascii=False)
    for rule in report.rules:
        for sample in rule.samples:
            for column, text in sample.values.items():
                raw = city.by_hand["residents"][sample.row][column].strip()
                assert text in ("***", "") if column in ("身份证号", "姓名", "手机号") else text != raw or not raw
    for row in city.by_hand["residents"]:
        assert row["身份证号"] not in shown
