"""Quality: A, B and X computed by hand, and nothing claimed where an input is missing."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import TypeAdapter

from pipelines.quality import QualityReport, measure
from pipelines.reading import ColumnRecipe, Recipe, read, typed
from pipelines.reading.landing import Accounting
from policies.editions import load
from policies.schema.quality import DeclaredRule
from policies.text import UserError
from policies.verdict import Outcome

RULES: TypeAdapter[Any] = TypeAdapter(list[DeclaredRule])

TEXT = """身份证号,姓名,区,年龄,登记,注销,来源
11010519491231002X,甲,东湖区,20,2020-01-01,2021-01-01,a
11010519491231002X,甲,东湖区,20,2020-01-01,2021-01-01,a
440524188001010014,乙,西山区,-,2020/2/1,,b
110105194912310021,-,南山区,230,2020年3月1日,2019-12-31,c
,丁,东湖区,5,2020-02-30,2020-05-01,
"""


def rules(*items: dict[str, Any]) -> list[Any]:
    return RULES.validate_json(json.dumps(items, default=str))


def report(tmp_path: Path, text: str, *items: dict[str, Any], as_typed: bool = False, **other: Any) -> QualityReport:
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    (reading,) = read(path, work=tmp_path / "work")
    recipes = [
        c.model_copy(update={"type": "date", "formats": ("Y-m-d", "Y/m/d", "Y年m月d日")})
        if c.name in ("登记", "注销")
        else c
        for c in reading.recipe.columns
    ]
    files = [str(reading.text_parquet)]
    if as_typed:
        (reading,) = read(path, work=tmp_path / "again", recipe=Recipe(columns=tuple(recipes)))
        files = [str(tmp_path / "typed.parquet")]
        pl.read_parquet(typed(reading)).write_parquet(files[0])
    return measure(files, recipes, rules(*items), reading.accounting, load("quality", "2026-01"), name="t", **other)


def ab(found: QualityReport, code: str) -> tuple[int | None, int | None, float | None, bool]:
    value = found.indicator(code)
    return value.a, value.b, value.x, value.assessed


def test_without_rules_only_what_needs_no_input_is_assessed(tmp_path: Path) -> None:
    found = report(tmp_path, TEXT)
    assert {i.code for i in found.indicators if i.assessed} == {"0303", "0305"}
    assert ab(found, "0303") == (1, 5, 0.2, True)
    assert ab(found, "0305") == (1, 13, 1 / 13, True)  # 4 ages + 5 + 4 dates; 2020-02-30 is none
    assert ab(found, "0201") == (None, None, None, False)
    assert len(found.indicators) == 20
    assert (found.indicator("0303").direction, found.indicator("0201").direction) == ("low", "high")


CASES: list[tuple[str, dict[str, Any], str, tuple[int, int], tuple[int, ...]]] = [
    ("required", {"kind": "required", "columns": ["身份证号", "姓名"]}, "0201", (8, 10), (3, 4)),
    ("expected rows", {"kind": "expected_rows", "rows": 8}, "0202", (5, 8), ()),
    ("fewer expected than there are", {"kind": "expected_rows", "rows": 4}, "0202", (4, 4), ()),
    ("unique key", {"kind": "unique_key", "columns": ["身份证号"]}, "0304", (3, 5), (1, 4)),
    ("unique pair", {"kind": "unique_key", "columns": ["区", "来源"]}, "0304", (3, 5), (1, 4)),
    ("check digit", {"kind": "check_digit", "column": "身份证号", "scheme": "resident_id"}, "0105", (3, 4), (3,)),
    ("code list", {"kind": "code_list", "column": "区", "values": ["东湖区", "西山区"]}, "0105", (4, 5), (3,)),
    ("range", {"kind": "range", "column": "年龄", "min": 0.0, "max": 150.0}, "0302", (3, 4), (3,)),
    ("half-open range", {"kind": "range", "column": "年龄", "min": 20.0, "max": None}, "0302", (3, 4), (4,)),
    (
        "range of dates",
        {"kind": "range", "column": "登记", "min": date(2020, 1, 15), "max": None},
        "0302",
        (2, 5),
        (0, 1, 4),
    ),
    ("regex from end to end", {"kind": "regex", "column": "来源", "pattern": "a|b"}, "0302", (3, 4), (3,)),
    ("date order", {"kind": "date_order", "columns": ["登记", "注销"]}, "0503", (2, 3), (3,)),
    (
        "period",
        {"kind": "period", "column": "登记", "start": date(2020, 1, 1), "end": date(2020, 2, 1)},
        "0501",
        (3, 5),
        (3, 4),
    ),
    ("type", {"kind": "column_type", "column": "年龄", "type": "integer", "max_length": 2}, "0101", (3, 4), (3,)),
    ("type date", {"kind": "column_type", "column": "登记", "type": "date", "max_length": None}, "0101", (4, 5), (4,)),
]


@pytest.mark.parametrize(("rule", "code", "wanted", "failing"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_a_declared_rule_gives_its_indicator(
    tmp_path: Path, rule: dict[str, Any], code: str, wanted: tuple[int, int], failing: tuple[int, ...]
) -> None:
    found = report(tmp_path, TEXT, rule)
    a, b = wanted
    assert ab(found, code) == (a, b, a / b, True)
    assert found.rules[0].rows == failing


def test_rules_of_one_indicator_add_up_and_columns_keep_their_own(tmp_path: Path) -> None:
    found = report(
        tmp_path, TEXT,
        {"kind": "range", "column": "年龄", "min": 0.0, "max": 150.0},
        {"kind": "regex", "column": "来源", "pattern": "[ab]"},
    )  # fmt: skip
    assert ab(found, "0302") == (6, 8, 0.75, True)
    columns = {c.name: c for c in found.columns}
    assert columns["年龄"].indicators["0302"] == (3, 4)
    assert (columns["年龄"].missing, columns["姓名"].missing) == (1, 1)
    assert found.indicator("0302").meets is False


def test_nothing_to_evaluate_is_not_assessed(tmp_path: Path) -> None:
    text = "编号,空列\n1,-\n2,\n3,暂无\n"
    found = report(tmp_path, text, {"kind": "regex", "column": "空列", "pattern": "x"})
    assert ab(found, "0302") == (0, 0, None, False)
    assert found.indicator("0302").meets is None


def test_a_reference_needs_the_other_table(tmp_path: Path) -> None:
    rule = {"kind": "reference", "columns": ["区"], "to_table": "区划", "to_columns": ["名称"]}
    alone = report(tmp_path, TEXT, rule)
    assert ab(alone, "0402") == (None, None, None, False)
    assert alone.indicator("0102").assessed is False
    other = tmp_path / "o.parquet"
    pl.DataFrame({"名称": ["东湖区", "西山区 ", "北岭区"]}).write_parquet(other)
    found = report(tmp_path, TEXT, rule, {"kind": "unique_key", "columns": ["身份证号"]}, others={"区划": [str(other)]})
    assert ab(found, "0402") == (4, 5, 0.8, True)
    assert found.rules[0].rows == (3,)
    assert ab(found, "0102") == (0, 2, 0.0, True)


def test_timeliness_is_judged_on_a_day(tmp_path: Path) -> None:
    rule = {"kind": "fresh_within", "column": "登记", "days": 30}
    assert ab(report(tmp_path, TEXT, rule, today=date(2020, 3, 31)), "0502") == (1, 1, 1.0, True)
    assert ab(report(tmp_path, TEXT, rule, today=date(2020, 4, 1)), "0502") == (0, 1, 0.0, True)


def test_the_typed_version_gives_the_same_answers_for_rules_on_values(tmp_path: Path) -> None:
    items = [
        {"kind": "range", "column": "年龄", "min": 0.0, "max": 150.0},
        {"kind": "date_order", "columns": ["登记", "注销"]},
        {"kind": "check_digit", "column": "身份证号", "scheme": "resident_id"},
        {"kind": "unique_key", "columns": ["身份证号"]},
    ]
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    raw, values = report(tmp_path / "1", TEXT, *items), report(tmp_path / "2", TEXT, *items, as_typed=True)
    assert [(r.a, r.b) for r in raw.rules] == [(r.a, r.b) for r in values.rules]


def test_duplicates_are_told_apart_however_cells_are_cut(tmp_path: Path) -> None:
    text = "键,值,注\nab,c,\na,bc,\na,b,c\nab,c,\n,,x\n"
    assert ab(report(tmp_path, text), "0303")[:2] == (1, 5)


def test_codes_that_collide_in_a_weak_hash_are_no_duplicates(tmp_path: Path) -> None:
    text = "编码,值\n440100074247205451,1\n440100004247205151,1\n"
    found = report(tmp_path, text, {"kind": "unique_key", "columns": ["编码"]})
    assert ab(found, "0303")[:2] == (0, 2)
    assert ab(found, "0304")[:2] == (2, 2)


def test_spellings_of_the_policy_count_as_missing_too(tmp_path: Path) -> None:
    found = report(tmp_path, "编号,值\n1,甲\n2,未填写\n3,＊\n", {"kind": "required", "columns": ["值"]})
    assert ab(found, "0201")[:2] == (1, 3)


def test_a_rule_on_an_unknown_column_stops_everything(tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        report(tmp_path, TEXT, {"kind": "regex", "column": "没有", "pattern": "x"})
    assert refused.value.code == "quality.unknown_column"


def test_the_document_holds_no_value_of_any_record(tmp_path: Path) -> None:
    found = report(
        tmp_path, TEXT, {"kind": "check_digit", "column": "身份证号", "scheme": "resident_id"},
        {"kind": "unique_key", "columns": ["身份证号"]}, {"kind": "code_list", "column": "区", "values": ["东湖区"]},
    )  # fmt: skip
    text = json.dumps(found.as_dict(), ensure_ascii=False, default=str)
    assert "110105" not in text and "西山区" not in text and "南山区" not in text
    entry = found.as_dict()["indicators"][0]
    assert {"code", "name", "a", "b", "x", "assessed"} <= set(entry)


def test_rows_that_do_not_balance_block(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    pl.DataFrame({"a": ["1", "2"]}).write_parquet(path)
    account = Accounting(lines=4, header=1, rows_loaded=3)
    found = measure([str(path)], [ColumnRecipe(name="a")], [], account, load("quality", "2026-01"))
    assert found.verdict.outcome is Outcome.BLOCK
    kept = measure(
        [str(path)],
        [ColumnRecipe(name="a")],
        [],
        Accounting(lines=3, header=1, rows_loaded=2),
        load("quality", "2026-01"),
    )
    assert kept.verdict.outcome is Outcome.PASS
