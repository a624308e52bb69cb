"""Quality of parts, merged, is quality of the whole: for every kind of rule, wherever the table is cut."""

from __future__ import annotations

import json
import tempfile
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from pipelines.quality import Around, QualityReport, batches, conclude, merge, summarise
from pipelines.quality.summary import Summary
from pipelines.reading.landing import Accounting
from pipelines.reading.recipe import ColumnRecipe
from policies.editions import load
from policies.schema.quality import DeclaredRule, RuleKind

COLUMNS = ("id", "name", "sex", "born", "seen", "amount", "part1", "part2")
RECIPES = [
    ColumnRecipe(name="id"), ColumnRecipe(name="name"), ColumnRecipe(name="sex"),
    ColumnRecipe(name="born", type="date", formats=("Y-m-d", "Y/m/d")),
    ColumnRecipe(name="seen", type="timestamp", formats=("Y-m-d H:M:S",)),
    ColumnRecipe(name="amount", type="decimal", scale=2), ColumnRecipe(name="part1", type="integer"),
    ColumnRecipe(name="part2"),
]  # fmt: skip
CELLS = {
    "id": ["11010519491231002X", "440524188001010014", "110105194912310021", "-", "", None, " 11010519491231002X"],
    "name": ["甲", "乙 ", "　丙", "暂无", "甲**", None],
    "sex": ["男", "女", "未知", "NA"],
    "born": ["1949-12-31", "1880/01/01", "2020-02-30", "", "－", "1950-1-1"],
    "seen": ["2025-01-01 08:00:00", "2025-11-31 08:00:00", "1940-01-01 00:00:00", None],
    "amount": ["3.00", "4", "-1", "x", "1,000.50", "--"],
    "part1": ["1", "2", "3.5", "１", ""],
    "part2": ["2", "2.0", "n/a", "abc"],
}
RULES: list[dict[str, Any]] = [
    {"kind": "range", "column": "amount", "min": 0.0, "max": 100.0},
    {"kind": "range", "column": "born", "min": "1900-01-01", "max": None},
    {"kind": "regex", "column": "name", "pattern": "[甲乙]"},
    {"kind": "code_list", "column": "sex", "values": ["男", "女"]},
    {"kind": "unique_key", "columns": ["id"]},
    {"kind": "unique_key", "columns": ["name", "sex"]},
    {"kind": "reference", "columns": ["id"], "to_table": "other", "to_columns": ["id"]},
    {"kind": "date_order", "columns": ["born", "seen"]},
    {"kind": "check_digit", "column": "id", "scheme": "resident_id"},
    {"kind": "required", "columns": ["id", "born", "amount"]},
    {"kind": "expected_rows", "rows": 7},
    {"kind": "column_type", "column": "part2", "type": "decimal", "max_length": 2},
    {"kind": "fresh_within", "column": "seen", "days": 30},
    {"kind": "period", "column": "seen", "start": "2025-01-01", "end": "2025-12-31"},
    {"kind": "dictionary", "columns": ["id", "name", "elsewhere"]},
    {"kind": "condition", "column": "sex", "values": ["女"], "then_column": "name", "then_values": ["甲"]},
    {"kind": "masked", "column": "name", "hidden": 2},
    {
        "kind": "truth", "columns": ["id"], "column": "born", "to_table": "other", "to_columns": ["id"],
        "to_column": "born",
    },
    {"kind": "encoded", "column": "born", "id_column": "id", "part": "birth"},
    {"kind": "encoded", "column": "sex", "id_column": "id", "part": "sex"},
    {
        "kind": "same_data", "columns": ["id"], "column": "name", "to_table": "other", "to_columns": ["id"],
        "to_column": "name",
    },
    {"kind": "total", "column": "amount", "parts": ["part1", "part2"], "tolerance": 0.0},
    {"kind": "update_cycle", "days": 31},
]  # fmt: skip
DECLARED: list[Any] = TypeAdapter(list[DeclaredRule]).validate_json(json.dumps(RULES))
POLICY = load("quality", "2026-01")
Row = tuple[str | None, ...]
ROWS = st.lists(st.tuples(*(st.sampled_from(CELLS[c]) for c in COLUMNS)), max_size=40)


def write(path: Path, rows: list[Row], *, coded: bool = True, group: int = 1000) -> str:
    cells = [pa.array([r[i] for r in rows], pa.large_string()) for i in range(len(COLUMNS))]
    pq.write_table(pa.table(dict(zip(COLUMNS, cells, strict=True))), path, use_dictionary=coded, row_group_size=group)
    return str(path)


def declared(keyed: bool) -> list[Any]:
    """The rules; without those of unique keys, repeated rows are found by whole rows."""
    return [r for r in DECLARED if keyed or r.kind != "unique_key"]


def report(summary: Summary, folder: Path, rows: list[Row], keyed: bool) -> QualityReport:
    others = {"other": [write(folder / "other.parquet", rows[::2])]}
    around = Around(others, (date(2025, 10, 1), date(2025, 10, 20)), date(2025, 12, 1))
    account = Accounting(lines=len(rows), rows_loaded=len(rows))
    return conclude(summary, RECIPES, declared(keyed), account, POLICY, folder, name="t", around=around)


def test_the_rules_are_of_every_kind() -> None:
    assert {r["kind"] for r in RULES} == set(get_args(RuleKind))


@settings(max_examples=60, deadline=None)
@given(
    rows=ROWS, cuts=st.lists(st.integers(0, 40), max_size=3), coded=st.booleans(), group=st.integers(1, 50),
    keyed=st.booleans(),
)  # fmt: skip
def test_parts_merged_are_the_whole(rows: list[Row], cuts: list[int], coded: bool, group: int, keyed: bool) -> None:
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        places = [0, *sorted(min(c, len(rows)) for c in cuts), len(rows)]
        parts = []
        for number, (start, end) in enumerate(pairwise(places)):
            file = write(folder / f"part{number}.parquet", rows[start:end], coded=coded, group=group)
            parts.append(summarise([file], RECIPES, declared(keyed), POLICY, folder, part=f"p{number}"))
        merged = parts[0]
        for part in parts[1:]:
            merged = merge(merged, part)
        file = write(folder / "all.parquet", rows)
        whole = summarise([file], RECIPES, declared(keyed), POLICY, folder, part="all")
        told = report(merged, folder, rows, keyed)
        assert told.as_dict() == report(whole, folder, rows, keyed).as_dict()
        assert told.indicator("0303").a == len(rows) - len(set(rows))


@settings(max_examples=20, deadline=None)
@given(parts=st.lists(ROWS.filter(lambda rows: len(rows) < 8), min_size=3, max_size=3))
def test_merging_is_associative(parts: list[list[Row]]) -> None:
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        a, b, c = (
            summarise([write(folder / f"{i}.parquet", p)], RECIPES, DECLARED, POLICY, folder, part=str(i))
            for i, p in enumerate(parts)
        )
        assert merge(merge(a, b), c) == merge(a, merge(b, c))


SERIALS = st.lists(st.sampled_from(["01", "02", " 03", "04 ", "05", "10", "11", "2", "9", "", "NA", None]), max_size=12)


@settings(max_examples=60, deadline=None)
@given(serials=SERIALS, ordered=st.booleans(), rows=st.integers(1, 4), cut=st.integers(0, 12))
def test_keys_are_told_apart_whether_they_rise_or_not(
    serials: list[str | None], ordered: bool, rows: int, cut: int
) -> None:
    """A = different keys that are there, B = rows; in whatever order they come and wherever batches and parts end."""
    if ordered:
        serials = sorted(dict.fromkeys(s for s in serials if s not in (None, "", "NA")), key=lambda s: str(s).strip())
    keys = {s.strip() for s in serials if s not in (None, "", "NA")}
    rule, recipe = [r for r in DECLARED if r.kind == "unique_key" and r.columns == ("id",)], [RECIPES[0]]
    account = Accounting(lines=len(serials), rows_loaded=len(serials))
    with tempfile.TemporaryDirectory() as home, patch.object(batches, "_ROWS", rows):
        folder, parts = Path(home), []
        for name, some in (("whole", serials), ("first", serials[:cut]), ("rest", serials[cut:])):
            file = folder / f"{name}.parquet"
            pq.write_table(pa.table({"id": pa.array(some, pa.large_string())}), file, row_group_size=rows)
            parts.append(summarise([str(file)], recipe, rule, POLICY, folder, part=name))
        assert not ordered or parts[0].rising == {"0"}, "keys that rise need not be counted"
        for found in (parts[0], merge(parts[1], parts[2])):
            told = conclude(found, recipe, rule, account, POLICY, folder, name="t", around=Around()).rules[0]
            assert (told.a or 0, told.b or 0, told.failing) == (len(keys), len(serials), len(serials) - len(keys))
