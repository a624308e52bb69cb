"""`pds job schema | lint | explain | from-select | run`: a job before anybody submits it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from api.cli.main import run

SPEC = """
job: 分步作业
edition: 2
inputs: {t: {grant: G-1}}
prepare:
  - name: v
    sql: |
      SELECT 区, 费用
      FROM t WHERE 费用 > 3
product:
  from: v
  dimensions: [区]
  measures: {人次: {op: count}, 均: {op: mean, of: 费用, round: 1}}
output: {kind: aggregate, format: csv}
"""
Call = Callable[..., tuple[int, Any]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    def _call(*arguments: object) -> tuple[int, Any]:
        code = run(["job", *map(str, arguments)])
        return code, json.loads(capsys.readouterr().out)

    return _call


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    file = tmp_path / "job.yaml"
    file.write_text(SPEC, encoding="utf-8")
    return file


@pytest.fixture
def table(tmp_path: Path) -> Path:
    file = tmp_path / "t.parquet"
    duckdb.sql("SELECT '区' || (range % 3) AS 区, range::DOUBLE AS 费用 FROM range(90)").write_parquet(str(file))
    return file


def test_the_schema_is_one_json_document(call: Call) -> None:
    code, document = call("schema")
    assert code == 0 and len(document["oneOf"]) == 2


def test_lint_says_every_problem_with_its_line(call: Call, spec: Path) -> None:
    assert call("lint", spec, "--json")[0] == 0
    spec.write_text(SPEC.replace("op: count", "op: mode").replace("[区]", "区"), encoding="utf-8")
    code, document = call("lint", spec, "--json")
    assert code == 1
    assert {(p["line"], p["path"]) for p in document["problems"]} == {
        (12, "product.dimensions"), (13, "product.measures.人次.op")
    }  # fmt: skip


def test_explain_tells_each_step_and_what_is_beyond_proof(call: Call, spec: Path) -> None:
    code, document = call("explain", spec, "--json")
    assert (code, document["beyond_proof"]) == (0, [])
    assert [(s["step"], s["reads"], s["jail"]) for s in document["steps"]] == [("v", ["t"], 1), ("product", ["t"], 1)]
    assert 0 < document["most_bits"] < 9


def test_lint_notes_what_no_machine_will_prove_and_still_finds_the_job_valid(call: Call, spec: Path) -> None:
    spec.write_text(SPEC.replace("费用 > 3", "费用 > random()"), encoding="utf-8")
    code, document = call("lint", spec, "--json")
    assert (code, document["problems"]) == (0, [])
    assert [(n["place"].split(":")[:2], n["code"]) for n in document["notes"]] == [(["v", "2"], "function")]


def test_explain_with_the_catalogue_tells_what_can_be_derived(call: Call, spec: Path, table: Path) -> None:
    facts = "tables:\n  t:\n    entities: {区域: {column: 区}}\n    columns: {区: {role: key}}\n"
    (table.parent / "catalog.yaml").write_text(facts, encoding="utf-8")
    code, document = call("explain", spec, "--data", table.parent, "--json")
    assert [(f["kind"], f["step"], f["fate"]) for f in document["forecast"]] == [
        ("区域", "v", "carried"), ("区域", "product", "carried")
    ]  # fmt: skip
    assert (code, document["review"], document["suspects"]) == (0, [], [])
    spec.write_text(
        SPEC.replace("SELECT 区, 费用", "SELECT 区, lag(费用) OVER (ORDER BY 费用) AS 费用"), encoding="utf-8"
    )
    refused, waiting = call("explain", spec, "--data", table.parent, "--json")[1]["forecast"]
    assert (refused["fate"], waiting["fate"]) == ("refused", "waiting")
    assert refused["refusals"][0]["place"] == "v:1:11" and refused["refusals"][0]["repair"]


def test_from_select_writes_the_job_and_lists_what_it_could_not_say(
    call: Call, tmp_path: Path, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "q.sql"
    file.write_text("SELECT 区, avg(费用) AS 均 FROM t WHERE 费用 > 3 GROUP BY 区", encoding="utf-8")
    code, document = call("from-select", file, "--table", "t=G-9", "--job", "均价", "--json")
    assert (code, document["notes"]) == (0, [])
    assert run(["job", "from-select", str(file), "--table", f"t={table}"]) == 0
    written = tmp_path / "made.yaml"
    written.write_text(capsys.readouterr().out, encoding="utf-8")
    assert call("lint", written, "--json")[0] == 0
    file.write_text("SELECT 区, list(费用) FROM t GROUP BY 区", encoding="utf-8")
    code, document = call("from-select", file, "--table", "t=G-9", "--json")
    assert (code, document["job"]) == (1, None)
    assert document["notes"][0]["line"] == 1 and document["notes"][0]["repair"]
    assert run(["job", "from-select", str(file), "--table", "t"]) == 2


@pytest.mark.jail
def test_run_tries_it_on_simulated_files_and_marks_what_it_writes(
    call: Call, spec: Path, table: Path, tmp_path: Path
) -> None:
    code, document = call("run", spec, "--table", f"t={table}", "--out", tmp_path / "out", "--json")
    assert (code, document["state"]) == (0, "done")
    file = Path(document["file"])
    assert file.name == "仿真数据-分步作业.csv"
    assert file.read_text("utf-8-sig") == "区,人次,均\n区0,30,46.5\n区1,30,46.0\n区2,30,47.0\n"
    spec.write_text(SPEC.replace("费用 > 3", "nope > 3"), encoding="utf-8")
    code, document = call("run", spec, "--table", f"t={table}", "--json")
    assert (code, document["step_name"], document["line"], document["column"]) == (1, "v", 2, 14)
    assert "nope" in document["engine_text"]


def test_run_wants_a_file_for_each_input(spec: Path, table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["job", "run", str(spec), "--table", f"other={table}"]) == 2
    assert "--table" in capsys.readouterr().err
