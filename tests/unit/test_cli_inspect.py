"""`pds inspect`: see, correct and reuse what the reader decided; a file or a database."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
import xlsxwriter

from api.cli.main import run
from tests.postgres import PostgresServer

Call = Callable[..., tuple[int, Any]]
DIRTY = (
    "示范市统计表\n编号,姓名,区,日期,值\n000001,甲,东湖区,2020-01-02,1\n000002,乙,-,2020-01-03,2\n\n坏行,x\n"
    '000003,"丙,\n丁",西山区,2020-01-04,暂无\n编号,姓名,区,日期,值\n000004,戊,西山区,2020-01-05,3\n合计,,,,6\n'
)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Run one command with `--json`: its exit code and its document."""

    def _call(*arguments: object) -> tuple[int, Any]:
        code = run([*map(str, arguments), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return _call


@pytest.fixture
def dirty(tmp_path: Path) -> Path:
    path = tmp_path / "表.csv"
    path.write_bytes(b"\xef\xbb\xbf" + DIRTY.encode())
    return path


def test_decisions_hold_no_value_and_raw_lines_stand_beside_what_they_became(call: Call, dirty: Path) -> None:
    _, document = call("inspect", dirty)
    (one,) = document["tables"]
    assert "raw" not in one
    decided = one["decisions"]
    assert (decided["bom"], decided["delimiter"], decided["header_row"]) == ("utf-8", ",", 2)
    assert decided["widths"] == {"1": 1, "5": 7, "2": 1}
    assert decided["missing"] == {"区": {"-": 1}, "值": {"暂无": 1}}
    assert "东湖区" not in json.dumps(document, ensure_ascii=False)
    _, document = call("inspect", dirty, "--raw", 20)
    raw = document["tables"][0]["raw"]
    assert [(n["line"], n["role"]) for n in raw["lines"]] == [
        (1, "preamble"), (2, "header"), (3, "record"), (4, "record"), (5, "blank"), (6, "quarantined"), (7, "record"),
        (9, "aside"), (10, "record"), (11, "aside"),
    ]  # fmt: skip
    spanning = raw["lines"][6]
    assert spanning["raw"] == '000003,"丙,\n丁",西山区,2020-01-04,暂无'
    assert spanning["cells"] == ["000003", "丙,\n丁", "西山区", "2020-01-04", "暂无"]
    assert [a["kind"] for a in raw["aside"]] == ["repeated_header", "footer"]
    assert [q["reason"] for q in raw["quarantine"]] == ["too_few_columns"]


def test_rows_of_a_sheet_stand_beside_what_they_became(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "b.xlsx"
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet("学校")
        sheet.merge_range(0, 0, 0, 2, "名单")
        sheet.write_row(1, 0, ["编号", "名称", "人数"])
        sheet.merge_range(2, 0, 2, 2, "东湖区（2所）")
        sheet.write_row(3, 0, ["A1", "甲", 5])
        sheet.write_row(5, 0, ["A2", "乙", 6])
    _, document = call("inspect", path, "--raw", 9)
    (one,) = document["tables"]
    assert one["decisions"]["merged"] == ["A1:C1", "A3:C3"]
    assert [(n["line"], n["role"]) for n in one["raw"]["lines"]] == [
        (1, "preamble"), (2, "header"), (3, "aside"), (4, "record"), (5, "blank"), (6, "record"),
    ]  # fmt: skip
    assert one["raw"]["lines"][3]["cells"] == ["A1", "甲", "5"]


@pytest.mark.parametrize("name", ["recipe.yaml", "recipe.json"])
def test_the_saved_recipe_is_complete_and_obeyed_when_edited(
    call: Call, dirty: Path, tmp_path: Path, name: str
) -> None:
    saved = tmp_path / name
    _, first = call("inspect", dirty, "--save-recipe", saved)
    _, again = call("inspect", dirty, "--recipe", saved)
    assert [c["type"] for c in again["tables"][0]["columns"]] == [c["type"] for c in first["tables"][0]["columns"]]
    assert again["tables"][0]["accounting"] == first["tables"][0]["accounting"]
    edited = saved.read_text("utf-8")
    assert "footer_rows" in edited
    if name.endswith("yaml"):
        edited = edited.replace("names: [编号, 姓名,", "names: [编码, 姓名,", 1).replace("name: 编号", "name: 编码")
        edited = edited.replace("footer_rows: true", "footer_rows: false").replace("type: integer", "type: text")
    else:
        document = json.loads(edited)
        document["names"][0] = document["columns"][0]["name"] = "编码"
        document["footer_rows"], document["columns"][4]["type"] = False, "text"
        edited = json.dumps(document)
    saved.write_text(edited, "utf-8")
    _, third = call("inspect", dirty, "--recipe", saved)
    (one,) = third["tables"]
    assert [(c["name"], c["type"]) for c in one["columns"]][::4] == [("编码", "text"), ("值", "text")]
    assert one["rows"] == first["tables"][0]["rows"] + 1


def test_the_recipe_of_another_delivery_stops_and_names_the_difference(call: Call, dirty: Path, tmp_path: Path) -> None:
    saved = tmp_path / "r.json"
    call("inspect", dirty, "--save-recipe", saved)
    dirty.write_text(DIRTY.replace("姓名", "申请人"), "utf-8")
    code, document = call("inspect", dirty, "--recipe", saved)
    assert (code, document["error"]["code"]) == (1, "reading.recipe_mismatch")
    assert document["error"]["detail"]["differences"] == [
        {"kind": "column_renamed", "column": "姓名", "was": "姓名", "now": "申请人"}
    ]


WRONG = """
delimiter: ',,'
encoding: gb9999
header: false
header_row: 2
heading: true
names: [a, A, 2019]
columns: [{name: a, type: number}]
"""


def test_every_wrong_field_of_a_recipe_is_named(call: Call, dirty: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(WRONG, "utf-8")
    code, document = call("inspect", dirty, "--recipe", recipe)
    assert (code, document["error"]["code"]) == (2, "usage.recipe")
    problems = dict(p.split(": ", 1) for p in document["error"]["detail"]["problems"])
    assert set(problems) == {"delimiter", "encoding", "heading", "names.2", "columns.0.type"}
    recipe.write_text("{names: [a, A]}", "utf-8")
    _, document = call("inspect", dirty, "--recipe", recipe)
    assert document["error"]["detail"]["problems"][0].startswith("names: ")
    recipe.write_text("{header: false, header_row: 1}", "utf-8")
    _, document = call("inspect", dirty, "--recipe", recipe)
    assert "header_row" in document["error"]["detail"]["problems"][0]


def test_a_file_that_is_no_recipe_is_never_replaced(call: Call, dirty: Path) -> None:
    before = dirty.read_bytes()
    code, document = call("inspect", dirty, "--save-recipe", dirty)
    assert (code, document["error"]["code"]) == (2, "usage.exists")
    assert dirty.read_bytes() == before


@pytest.mark.postgres
def test_a_table_of_a_database_is_inspected_like_a_file(
    call: Call, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    owner = postgres.fresh_database()
    with psycopg.connect(owner, autocommit=True) as admin:
        admin.execute("CREATE SCHEMA 数源; CREATE TABLE 数源.居民 (编号 int PRIMARY KEY, 余额 numeric(9, 2))")
        admin.execute("COMMENT ON COLUMN 数源.居民.余额 IS '元'; INSERT INTO 数源.居民 VALUES (1, 2.5), (2, NULL)")
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    code, document = call("inspect", owner, "--table", "数源.居民")
    (one,) = document["tables"]
    assert (code, one["name"], one["rows"], one["key"]) == (0, "居民", 2, ["编号"])
    money = one["columns"][1]
    assert (money["type"], money["declared_type"], money["comment"]) == ("decimal", "NUMERIC(9, 2)", "元")
    assert "source_account_can_write" in {f["code"] for f in one["findings"]}
    assert call("inspect", owner)[0] == 2
    assert (
        run(["inspect", owner.replace("postgres@", "postgres:hunter2@").replace("test", "none"), "--table", "t"]) == 1
    )
    shown = capsys.readouterr()
    assert "reading.source_unreachable" in shown.err
    assert "hunter2" not in shown.err + shown.out
