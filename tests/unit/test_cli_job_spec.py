"""`pds job schema | lint | explain | run`: a job before anybody submits it."""

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
    spec.write_text(SPEC.replace("op: count", "op: max").replace("[区]", "区"), encoding="utf-8")
    code, document = call("lint", spec, "--json")
    assert code == 1
    assert {(p["line"], p["path"]) for p in document["problems"]} == {
        (12, "product.dimensions"), (13, "product.measures.人次.op")
    }  # fmt: skip


def test_explain_tells_each_step_and_what_is_beyond_proof(call: Call, spec: Path) -> None:
    code, document = call("explain", spec, "--json")
    assert (code, document["beyond_proof"]) == (0, ["prepare.v"])
    assert [(s["step"], s["reads"], s["jail"]) for s in document["steps"]] == [("v", ["t"], 1), ("product", ["t"], 1)]
    assert 0 < document["most_bits"] < 9


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
