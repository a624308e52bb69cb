"""Types over all rows: what becomes a number or a date, what stays text, and what is reported."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.reading import ColumnRecipe, Recipe, TableReading, quarantined, read, typed


def one(tmp_path: Path, name: str, values: list[str], recipe: Recipe | None = None) -> TableReading:
    """A table with a key and the column `name`."""
    quoted = ["".join(('"', v.replace('"', '""'), '"')) if "," in v or v == "" else v for v in values]
    text = f"键,{name}\n" + "".join(f"k{i},{v}\n" for i, v in enumerate(quoted))
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    (reading,) = read(path, work=tmp_path / "work", recipe=recipe or Recipe(delimiter=","))
    return reading


def column(reading: TableReading) -> tuple[str, str, set[str]]:
    found = reading.columns[1]
    return found.type, found.role, {f.code for f in found.findings}


def values(reading: TableReading) -> list[Any]:
    return pl.read_parquet(typed(reading)).to_series(1).to_list()


D = dt.date
T = dt.datetime
DAYS = ["2020-01-11", "2020-02-12"]

CASES: list[tuple[str, str, list[str], str, list[Any]]] = [
    ("integers", "数量", ["1", "-25", "0"], "integer", [1, -25, 0]),
    ("a leading zero makes a code", "数量", ["1", "007", "12"], "text", ["1", "007", "12"]),
    (
        "15 digits are a code",
        "数量",
        ["123456789012345", "123456789012346", "1"],
        "text",
        ["123456789012345", "123456789012346", "1"],
    ),
    ("14 digits are a number", "数量", ["12345678901234", "2", "3"], "integer", [12345678901234, 2, 3]),
    (
        "18-digit identifiers",
        "身份证号",
        ["449901199001011234", "44990119900101123X"],
        "text",
        ["449901199001011234", "44990119900101123X"],
    ),
    ("one length and a name of codes", "机构代码", ["1101", "1102"], "text", ["1101", "1102"]),
    ("one length without such a name", "数量", ["1101", "1102"], "integer", [1101, 1102]),
    ("numbers of six digits called 编号", "编号", ["110101", "110102"], "text", ["110101", "110102"]),
    ("running numbers called 序号", "序号", ["1", "2", "10"], "integer", [1, 2, 10]),
    ("mobile numbers", "联系", ["15412345678", "13800000000"], "text", ["15412345678", "13800000000"]),
    ("a plus sign is no number", "数量", ["+86", "+87"], "text", ["+86", "+87"]),
    (
        "decimals keep their scale",
        "金额",
        ["1.5", "2.25", "3"],
        "decimal",
        [Decimal("1.50"), Decimal("2.25"), Decimal("3.00")],
    ),
    ("decimals are never rounded", "金额", ["1.239", "0.1"], "decimal", [Decimal("1.239"), Decimal("0.100")]),
    ("a leading point", "金额", [".5", "1.5"], "decimal", [Decimal("0.5"), Decimal("1.5")]),
    ("exponents", "值", ["1e5", "2.5"], "decimal", [100000.0, 2.5]),
    ("hexadecimal and underscores", "值", ["0x10", "1_000"], "text", ["0x10", "1_000"]),
    (
        "thousands",
        "金额",
        ["1,234", "12", "1,234,567.5"],
        "decimal",
        [Decimal("1234.0"), Decimal("12.0"), Decimal("1234567.5")],
    ),
    ("groups that are not of three", "金额", ["1,23", "4,56"], "text", ["1,23", "4,56"]),
    ("full-width commas", "金额", ["1，234", "2，345"], "text", ["1，234", "2，345"]),
    ("percent keeps its points", "占比", ["12.3%", "4%"], "decimal", [Decimal("12.3"), Decimal("4.0")]),
    ("one unit moves to the column", "金额", ["3.5万元", "12万元"], "decimal", [Decimal("3.5"), Decimal("12.0")]),
    ("two units stay text", "金额", ["3.5万元", "1.2亿元"], "text", ["3.5万元", "1.2亿元"]),
    ("a unit on some only", "金额", ["3.5万元", "12"], "text", ["3.5万元", "12"]),
    ("full-width digits in numbers", "数量", ["１２", "13", "14"], "integer", [12, 13, 14]),
    ("blanks around numbers", "数量", [" 5 ", "6"], "integer", [5, 6]),
    ("dates", "日期", DAYS, "date", [D(2020, 1, 11), D(2020, 2, 12)]),
    ("dates without zeros", "日期", ["2020/1/1", "2020/12/31"], "date", [D(2020, 1, 1), D(2020, 12, 31)]),
    ("dates in Chinese", "日期", ["2020年1月11日", "2020年2月1日"], "date", [D(2020, 1, 11), D(2020, 2, 1)]),
    (
        "four spellings in one column",
        "日期",
        ["2020-01-11", "2020/1/12", "2020年1月13日", "20200114", "2020.1.15"],
        "date",
        [D(2020, 1, d) for d in (11, 12, 13, 14, 15)],
    ),
    ("eight digits with a name of dates", "日期", ["20200111", "20200229"], "date", [D(2020, 1, 11), D(2020, 2, 29)]),
    ("eight digits of codes", "订单编号", ["20200111", "20200229"], "text", ["20200111", "20200229"]),
    (
        "a time of day",
        "时间",
        ["2020-01-11 08:05:00", "2020-01-12 00:00:00"],
        "timestamp",
        [T(2020, 1, 11, 8, 5), T(2020, 1, 12)],
    ),
    (
        "a time never used",
        "时间",
        ["2020-01-11 00:00:00", "2020-01-12 00:00:00"],
        "date",
        [D(2020, 1, 11), D(2020, 1, 12)],
    ),
    (
        "ISO with an offset",
        "时间",
        ["2020-01-11T08:05:00Z", "2020-01-11T08:05:00+08:00"],
        "timestamp",
        [T(2020, 1, 11, 8, 5), T(2020, 1, 11, 0, 5)],
    ),
    (
        "a web server's time",
        "time",
        ["17/May/2015:08:05:32 +0000", "17/May/2015:08:05:33 +0000"],
        "timestamp",
        [T(2015, 5, 17, 8, 5, 32), T(2015, 5, 17, 8, 5, 33)],
    ),
    ("day and month cannot be told", "日期", ["1/2/2020", "3/4/2020"], "text", ["1/2/2020", "3/4/2020"]),
    ("a part above 12 tells", "日期", ["1/2/2020", "13/4/2020"], "date", [D(2020, 2, 1), D(2020, 4, 13)]),
    ("parts above 12 on both sides", "日期", ["13/4/2020", "4/13/2020"], "text", ["13/4/2020", "4/13/2020"]),
    ("years and months", "月份", ["2020年1月", "2020年2月"], "text", ["2020年1月", "2020年2月"]),
    ("months as six digits", "缴费年月", ["202501", "202502"], "text", ["202501", "202502"]),
    ("bare serial numbers are no dates", "日期", ["43841", "43842"], "integer", [43841, 43842]),
    ("yes and no", "是否在职", ["是", "否", "是"], "boolean", [True, False, True]),
    ("Y and N", "flag", ["Y", "N", "Y"], "boolean", [True, False, True]),
    ("0 and 1 stay integers", "flag", ["0", "1", "1"], "integer", [0, 1, 1]),
    ("yes, no and a third", "是否", ["是", "否", "待定"], "text", ["是", "否", "待定"]),
    (
        "missing in many spellings",
        "数量",
        ["1", "-", "NA", "暂无", "", "?", "2"],
        "integer",
        [1, None, None, None, None, None, 2],
    ),
    ("two-letter codes keep NA", "国家", ["CN", "US", "FR", "NA"], "text", ["CN", "US", "FR", "NA"]),
    ("无 among a few short codes is a value", "婚姻", ["已婚", "未婚", "无"], "text", ["已婚", "未婚", "无"]),
    ("nothing but missing", "备注", ["-", "", "NA"], "text", [None, None, None]),
]


@pytest.mark.parametrize(("name", "given", "kind", "wanted"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_conversion(tmp_path: Path, name: str, given: list[str], kind: str, wanted: list[Any]) -> None:
    reading = one(tmp_path, name, given)
    assert column(reading)[0] == kind
    assert values(reading) == wanted


def test_a_few_bad_dates_are_null_and_listed_with_their_row(tmp_path: Path) -> None:
    given = [f"2020-01-{i % 28 + 1:02d}" for i in range(300)]
    given[7], given[9] = "2020-02-30", "2020年"
    reading = one(tmp_path, "日期", given)
    kind, _, found = column(reading)
    assert (kind, reading.columns[1].refused) == ("date", 2)
    assert {"values_refused", "partial_dates"} <= found
    got = values(reading)
    assert (len(got), got[7], got[9], got[8]) == (300, None, None, D(2020, 1, 9))
    assert reading.values_parquet is not None
    listed = pl.read_parquet(reading.values_parquet).rows()
    assert sorted(listed) == [(7, "日期", "not_date", "2020-02-30"), (9, "日期", "not_date", "2020年")]


def test_by_recipe_the_whole_row_goes_to_quarantine(tmp_path: Path) -> None:
    given = [f"2020-01-{i % 28 + 1:02d}" for i in range(300)]
    given[7] = "2020-02-30"
    reading = one(tmp_path, "日期", given, Recipe(delimiter=",", on_bad_value="quarantine"))
    got = values(reading)
    assert (len(got), None in got) == (299, False)
    kept = quarantined(reading)
    assert kept is not None
    (row,) = pl.read_parquet(kept).rows(named=True)
    assert row["reason"] == "not_date:日期"
    assert json.loads(row["raw"]) == {"键": "k7", "日期": "2020-02-30"}


def test_the_quarantine_holds_refused_records_and_rows_left_out(tmp_path: Path) -> None:
    lines = [f"k{i},2020-01-{i % 28 + 1:02d}\n" for i in range(300)]
    lines[5], lines[9] = "k5\n", "k9,2020-02-30\n"
    path = tmp_path / "t.csv"
    path.write_text("键,日期\n" + "".join(lines), encoding="utf-8")
    (reading,) = read(path, work=tmp_path / "work", recipe=Recipe(delimiter=",", on_bad_value="quarantine"))
    kept = quarantined(reading)
    assert kept is not None
    assert pl.read_parquet(kept)["reason"].to_list() == ["too_few_columns", "not_date:日期"]
    rows = pl.read_parquet(typed(reading)).height
    assert rows + pl.read_parquet(kept).height == reading.accounting.rows_in == 300


def test_below_the_share_a_column_stays_text_and_says_so(tmp_path: Path) -> None:
    reading = one(tmp_path, "数量", [str(i) for i in range(97)] + ["多", "少", "若干"])
    kind, _, found = column(reading)
    assert (kind, "mixed_values" in found) == ("text", True)
    assert reading.columns[1].refused == 0


def test_a_decision_of_the_operator_is_kept(tmp_path: Path) -> None:
    decided = ColumnRecipe(name="数量", type="text", role="code")
    reading = one(tmp_path, "数量", ["1", "2"], Recipe(delimiter=",", columns=(decided,)))
    assert column(reading)[:2] == ("text", "code")
    assert values(reading) == ["1", "2"]


def test_counts_of_missing_and_distinct_are_over_all_rows(tmp_path: Path) -> None:
    reading = one(tmp_path, "值", ["甲", "-", "甲 ", "乙", "", "暂无"])
    found = reading.columns[1]
    assert (found.rows, found.missing, found.distinct, found.distinct_exact) == (6, 3, 2, True)


def test_the_type_of_a_value_beyond_the_sample_counts(tmp_path: Path) -> None:
    given = [str(i) for i in range(41_000)]
    given[40_001] = "0123"
    assert column(one(tmp_path, "数量", given))[:2] == ("text", "code")


def test_typed_files_keep_every_row_in_order(tmp_path: Path) -> None:
    rows = 8 * 122_880 + 7
    files = typed(one(tmp_path, "金额", [f"{i}.25" for i in range(rows)]))
    frame = pl.read_parquet(files)
    assert len(files) == 2
    assert frame.schema["金额"] == pl.Decimal(8, 2)
    assert frame["键"].equals(pl.select(pl.format("k{}", pl.int_range(rows))).to_series())
