"""The kinds of rules beyond values and keys, what is shown of failing rows, and keys that a weak hash would confuse."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter

from pipelines.quality import Around, QualityReport, keys, measure
from pipelines.quality.batches import Cells
from pipelines.quality.samples import Places, SetApart
from pipelines.reading import read
from pipelines.reading.landing import Accounting
from pipelines.reading.recipe import ColumnRecipe
from policies.editions import load, load_resource_rules
from policies.schema.quality import DeclaredRule, RuleKind

RULES: TypeAdapter[Any] = TypeAdapter(list[DeclaredRule])
TEXT = """身份证号,姓名,性别,出生日期,手机,状态,注销日期,合计,甲项,乙项
11010519491231002X,甲某某,女,1949-12-31,138****0001,注销,2025-01-01,3.00,1,2
11010519491231002X,甲某某,男,1949/12/30,13800000002,注销,,0.3,0.1,0.2
440524188001010014,乙某,男,1880-01-01,138***00003,存续,,5,2,2
110105194912310021,丙,女,1949-12-31,-,存续,2024-01-01,,1,1
,丁,男,2000-01-01,＊＊＊＊,注销,不详,1,1,
"""


def report(tmp_path: Path, *items: dict[str, Any], text: str = TEXT, direct: Any = (), **around: Any) -> QualityReport:
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    (reading,) = read(path, work=tmp_path / "work")
    return measure(
        [str(reading.text_parquet)], reading.recipe.columns, RULES.validate_json(json.dumps(items)),
        reading.accounting, load("quality", "2026-01"), name="t", around=Around(**around), direct=direct,
    )  # fmt: skip


CASES: list[tuple[str, dict[str, Any], str, tuple[int, int], tuple[int, ...]]] = [
    ("masked at least four characters", {"kind": "masked", "column": "手机", "hidden": 4}, "0106", (2, 4), (1, 2)),
    (
        "a condition that asks for a value",
        {"kind": "condition", "column": "状态", "values": ["注销"], "then_column": "注销日期", "then_values": None},
        "0104", (1, 3), (1, 4),
    ),
    (
        "a condition that asks for one of some values",
        {"kind": "condition", "column": "性别", "values": ["女"], "then_column": "状态", "then_values": ["注销"]},
        "0104", (1, 2), (3,),
    ),
    (
        "sex as the ID encodes it, where the ID is valid",
        {"kind": "encoded", "column": "性别", "id_column": "身份证号", "part": "sex"}, "0301", (2, 3), (1,),
    ),
    (
        "birth date as the ID encodes it, however it is written",
        {"kind": "encoded", "column": "出生日期", "id_column": "身份证号", "part": "birth"}, "0301", (2, 3), (1,),
    ),
    (
        "a total, exact in spite of binary fractions",
        {"kind": "total", "column": "合计", "parts": ["甲项", "乙项"], "tolerance": 0.0}, "0402", (2, 3), (2,),
    ),
    (
        "a total within a tolerance",
        {"kind": "total", "column": "合计", "parts": ["甲项", "乙项"], "tolerance": 1.0}, "0402", (3, 3), (),
    ),
    (
        "a dictionary: columns in both, of columns in either",
        {"kind": "dictionary", "columns": ["身份证号", "姓名", "曾用名"]}, "0103", (2, 11), (),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "code", "wanted", "failing"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_a_rule_gives_its_indicator_and_names_the_rows(
    tmp_path: Path, rule: dict[str, Any], code: str, wanted: tuple[int, int], failing: tuple[int, ...]
) -> None:
    found = report(tmp_path, rule)
    value = found.indicator(code)
    assert (value.a, value.b) == wanted
    assert found.rules[0].rows == failing
    assert found.rules[0].text.zh and found.rules[0].fix.en


@pytest.mark.parametrize(("kind", "code"), [("truth", "0301"), ("same_data", "0401")])
def test_a_value_kept_elsewhere_is_compared_by_key_and_by_what_it_means(tmp_path: Path, kind: str, code: str) -> None:
    """B: rows whose key is there with a value on both sides. Dates are compared by the day, not by their spelling."""
    other = tmp_path / "other.parquet"
    there = {"号码": ["11010519491231002X ", "440524188001010014", "9"], "生日": ["1949年12月31日", "-", "2000-01-01"]}
    pl.DataFrame(there).write_parquet(other)
    rule = {
        "kind": kind, "columns": ["身份证号"], "column": "出生日期", "to_table": "人口", "to_columns": ["号码"],
        "to_column": "生日",
    }  # fmt: skip
    alone = report(tmp_path, rule)
    assert not alone.indicator(code).assessed
    found = report(tmp_path, rule, others={"人口": [str(other)]})
    assert (found.indicator(code).a, found.indicator(code).b) == (1, 2)
    assert found.rules[0].rows == (1,)


DELIVERIES: list[tuple[str, list[date], date, tuple[int, int] | None]] = [
    ("the first delivery is no update", [], date(2025, 3, 1), None),
    ("in time", [date(2025, 2, 1)], date(2025, 3, 1), (1, 1)),
    ("one of two late", [date(2025, 1, 1), date(2025, 1, 31)], date(2025, 5, 1), (1, 2)),
]


@pytest.mark.parametrize(("earlier", "today", "wanted"), [c[1:] for c in DELIVERIES], ids=[c[0] for c in DELIVERIES])
def test_updates_are_counted_against_the_promised_cycle(
    tmp_path: Path, earlier: list[date], today: date, wanted: tuple[int, int] | None
) -> None:
    found = report(tmp_path, {"kind": "update_cycle", "days": 31}, deliveries=earlier, today=today).indicator("0502")
    assert (found.assessed, (found.a, found.b)) == (wanted is not None, wanted or (0, 0))


def test_required_columns_have_their_own_figures(tmp_path: Path) -> None:
    found = report(tmp_path, {"kind": "required", "columns": ["手机", "注销日期"]})
    assert {c.name: c.indicators.get("0201") for c in found.columns if "0201" in c.indicators} == {
        "手机": (4, 5), "注销日期": (2, 5),
    }  # fmt: skip


def test_samples_are_masked_and_columns_that_name_people_hidden_whole(tmp_path: Path) -> None:
    items = [
        {"kind": "regex", "column": "身份证号", "pattern": "x"},
        {"kind": "regex", "column": "出生日期", "pattern": "x"},
        {"kind": "code_list", "column": "性别", "values": ["x"]}, {"kind": "required", "columns": ["手机", "注销日期"]},
    ]  # fmt: skip
    found = report(tmp_path, *items, direct=["身份证号", "手机"])
    shown = [[dict(s.values) for s in rule.samples] for rule in found.rules]
    assert shown[0] == [{"身份证号": "***"}] * 4
    assert shown[1][:2] == [{"出生日期": "19*******1"}, {"出生日期": "19*******0"}]
    assert shown[2] == [{"性别": "***"}] * 5
    assert shown[3][0] == {"手机": "***", "注销日期": ""}
    assert [s.line for s in found.rules[1].samples] == [2, 3, 4, 5, 6]
    nobody_knows = report(tmp_path, *items, direct=None)
    assert {v for r in nobody_knows.rules for s in r.samples for v in s.values.values()} <= {"***", ""}


PLACES: list[tuple[str, Accounting, list[int | None], list[int | None]]] = [
    ("after header and title", Accounting(preamble=2, header=1, rows_loaded=3), [], [4, 5, 6]),
    ("past refused lines", Accounting(header=1, rows_loaded=3, rows_quarantined=2), [2, 4], [3, 5, 6]),
    ("not where a record spans lines", Accounting(header=1, rows_loaded=3, continuation=1), [], [None] * 3),
    ("not past an unknown place", Accounting(header=1, rows_loaded=3, rows_quarantined=1), [None], [None] * 3),
    ("not where an empty line may stand", Accounting(header=1, rows_loaded=3, blank=1), [], [None] * 3),
]  # fmt: skip


@pytest.mark.parametrize(("account", "apart", "lines"), [c[1:] for c in PLACES], ids=[c[0] for c in PLACES])
def test_a_line_is_named_only_where_it_is_certain(
    account: Accounting, apart: list[int | None], lines: list[int | None]
) -> None:
    places = Places.of(account, apart)
    assert [places.line(row) for row in range(3)] == lines


def test_quarantine_is_told_by_reason_with_its_first_lines() -> None:
    apart = SetApart("broken_quote", (*range(5, 30), None))
    assert apart.as_dict() == {"reason": "broken_quote", "count": 26, "lines": list(range(5, 15))}


def test_codes_of_one_structure_keep_their_own_fingerprints(tmp_path: Path) -> None:
    """The structure on which DuckDB's hash lost 19 of 5 million (reference ingest.md §4.2)."""
    rng = np.random.default_rng(1)
    regions = rng.integers(440100, 440184, 1_000_000)
    serials = rng.integers(0, 10**11, 1_000_000)
    frame = pl.DataFrame({"code": [f"{r}0{s:011d}" for r, s in zip(regions.tolist(), serials.tolist(), strict=True)]})
    spill = keys.Spill(tmp_path, "0")
    spill.add("codes", keys.fingerprints(frame, [pl.col("code")]))
    files = spill.close()["codes"]
    assert keys.repeats(files, 0).different == frame["code"].n_unique()


def test_keys_in_several_buckets_are_counted_as_in_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = [str(n % 700) for n in range(1000)] + [None] * 5
    spill = keys.Spill(tmp_path, "0")
    spill.add("codes", keys.fingerprints(pl.DataFrame({"c": codes}), [pl.col("c")]))
    spill.add("known", keys.fingerprints(pl.DataFrame({"c": codes[:500]}), [pl.col("c")]))
    files = spill.close()
    one = keys.repeats(files["codes"], 10), keys.membership(files["codes"], files["known"]).tolist()
    monkeypatch.setattr(keys, "_ROOM", 100)
    assert (keys.repeats(files["codes"], 10), keys.membership(files["codes"], files["known"]).tolist()) == one
    assert one[0] == keys.Repeats(700, 5, tuple(range(700, 710)))
    assert one[1].count(keys.FOUND) == 800
    assert one[1][1000:] == [keys.INCOMPLETE] * 5


def test_the_rules_of_the_documentation_hold_and_show_every_kind(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "quality.md").read_text("utf-8")
    file = tmp_path / "rules.yaml"
    file.write_text(page.split("```yaml\n")[1].split("```")[0], "utf-8")
    assert {r.kind for r in load_resource_rules(file).of("门诊就诊")} == set(get_args(RuleKind))


@pytest.mark.parametrize("distinct", [5, 1500, 20_000])
def test_dates_are_judged_alike_whether_cells_come_by_code_or_one_by_one(tmp_path: Path, distinct: int) -> None:
    """20,000 rows; every tenth value is no day, some are missing; written with and without a dictionary."""
    days = [str(date(1990, 1, 1) + timedelta(days=n)) for n in range(distinct)]
    cells = [None if n % 97 == 0 else f"{n}-13-45" if n % 10 == 0 else day for n, day in enumerate(days)]
    rows = [cells[n % distinct] for n in range(20_000)]
    table = pa.table({"t": pa.array(rows, pa.large_string())})
    column = [ColumnRecipe(name="t", type="date", formats=("Y-m-d",))]
    rules = RULES.validate_json('[{"kind": "range", "column": "t", "min": "2025-02-01", "max": null}]')
    told = []
    for coded in (True, False):
        pq.write_table(table, tmp_path / "t.parquet", use_dictionary=coded)
        account = Accounting(lines=20_000, rows_loaded=20_000)
        found = measure([str(tmp_path / "t.parquet")], column, rules, account, load("quality", "2026-01"))
        told.append(found.as_dict())
    assert told[0] == told[1]
    present = Cells(pl.Series(rows, dtype=pl.String))
    coded_cells = present.coded()
    assert (coded_cells.codes is not None) == (distinct < 5000)
    assert coded_cells.spread(coded_cells.values).to_list() == rows


def test_a_table_without_rows_assesses_nothing(tmp_path: Path) -> None:
    file = tmp_path / "empty.parquet"
    pl.DataFrame(schema={"a": pl.String}).write_parquet(file)
    rules = RULES.validate_json('[{"kind": "unique_key", "columns": ["a"]}, {"kind": "required", "columns": ["a"]}]')
    found = measure([str(file)], [ColumnRecipe(name="a")], rules, Accounting(), load("quality", "2026-01"))
    assert [i.code for i in found.indicators if i.assessed] == []
