"""`pds job run SPEC --data DIR`: a job, its file, its evidence and its verdict, as another program reads them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.cli.main import run
from sandbox.exports import isolated
from sandbox.workspaces import jail
from tests.export_subjects import clinic_sources

KEY = "身份证号"
Call = Callable[..., tuple[int, Any]]


def job(sql: str, **more: Any) -> dict[str, Any]:
    return {
        "job": "按区费用", "edition": 2, "inputs": {"visit": {"grant": "G-1"}, "resident": {"grant": "G-2"}},
        "prepare": [{"name": "v", "sql": sql}],
        "product": {"from": "v", "dimensions": ["区"], "measures": {
            "人次": {"op": "count"}, "均": {"op": "mean", "of": "x", "round": 1}}},
        "output": {"kind": "aggregate", "format": "csv"},
    } | more  # fmt: skip


JOIN = f"FROM visit v JOIN resident r USING ({KEY})"
HONEST = job(f"SELECT r.区, v.费用 AS x {JOIN}")
HOSTILE = job(f"SELECT r.区, v.费用 AS x\n{JOIN}\nORDER BY v.费用 LIMIT 5")
SCRIPT = job("SELECT 1 AS x") | {"prepare": [
    {"name": "v", "script": "result = 1", "reads": ["visit"], "columns": {"区": "text", "x": "number"}}]}  # fmt: skip
POST = HONEST | {"post": {"sql": "SELECT 区, 均 FROM product ORDER BY 均 DESC"}}


@pytest.fixture
def pds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    data = tmp_path / "data"
    data.mkdir()
    clinic_sources(data)

    def call(spec: Mapping[str, Any], *more: object) -> tuple[int, Any]:
        file = tmp_path / "job.yaml"
        file.write_text(yaml.safe_dump(dict(spec), allow_unicode=True, sort_keys=False), encoding="utf-8")
        capsys.readouterr()
        code = run(["job", "run", *map(str, (file, "--data", data, "--entity", KEY, *more, "--json"))])
        return code, json.loads(capsys.readouterr().out)

    return call


def test_an_honest_job_passes_with_its_file_and_its_evidence(pds: Call, tmp_path: Path) -> None:
    code, told = pds(HONEST, "--out", tmp_path / "out", "--cells", tmp_path / "cells.csv")
    assert code == 0 and told["verdict"]["outcome"] == "pass" and told["state"] == "done"
    assert set(told) == {"state", "job", "digest", "product", "evidence", "verdict", "digests", "file", "isolation"}
    assert told["product"]["columns"] == ["区", "人次", "均"] and [r[1] for r in told["product"]["rows"]] == ["200"] * 2
    (table,) = told["evidence"]["tables"]
    (kind,) = table["kinds"]
    assert kind["p1"]["reproduced"] and kind["p2"]["as_predicted"] == kind["p2"]["halves"] > 0
    assert kind["smallest"]["n"] == 200 and kind["p3"]["perturbed"]
    assert Path(told["file"]).read_text("utf-8-sig").startswith("区,人次,均\n")
    assert (tmp_path / "cells.csv").read_text().count("\n") == 5  # a header, two cells of two measures


def test_a_hostile_job_is_refused_with_place_and_repair_and_leaves_nothing(pds: Call, tmp_path: Path) -> None:
    code, told = pds(HOSTILE, "--out", tmp_path / "out", "--cells", tmp_path / "cells.csv")
    assert code == 1 and told["state"] == "refused" and told["verdict"]["outcome"] == "block"
    refusal = told["evidence"]["refusals"][0]
    assert (refusal["step"], refusal["line"], refusal["code"]) == ("v", 3, "order")
    assert refusal["text"]["zh"] and refusal["repair"]["zh"] and refusal["repair"]["en"]
    assert told["product"]["rows"] == [] and not list(tmp_path.glob("out/*")) and not (tmp_path / "cells.csv").exists()


def test_a_script_is_refused_and_never_run(pds: Call) -> None:
    code, told = pds(SCRIPT)
    assert code == 1 and told["state"] == "refused" and told["verdict"]["outcome"] == "block"
    assert "SQL" in told["evidence"]["refusals"][0]["repair"]["zh"]


def test_a_jobs_statements_run_in_a_jail_and_the_answer_says_in_which(
    pds: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolated, "derive", lambda *_, **__: pytest.fail("a given job ran in this process"))
    code, told = pds(HONEST)
    assert code == 0 and told["isolation"] in jail.forms()


def test_a_machine_without_any_jail_says_so_loudly(
    pds: Call, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_jail() -> None:
        raise jail.failed("limits-only", "nothing starts here")

    monkeypatch.setattr(isolated, "selftest", no_jail)
    code, told = pds(HONEST)
    assert (code, told["isolation"], told["verdict"]["outcome"]) == (0, "none", "pass")
    assert "no jail can be had" in caplog.text


@pytest.mark.jail
def test_a_job_with_post_gets_the_file_that_post_makes(pds: Call, tmp_path: Path) -> None:
    code, told = pds(POST, "--out", tmp_path / "out")
    assert code == 0 and told["verdict"]["outcome"] == "pass", told["verdict"]
    assert told["product"]["columns"] == ["区", "均"]
    assert Path(told["file"]).read_text("utf-8-sig").startswith("区,均\n")


@pytest.mark.parametrize(("more", "code"), [
    (("--table", "visit=x.parquet"), 2), (("--history", "/nowhere"), 2), (("--entity", "nothing"), 2),
], ids=["two sources", "no history", "no such column"])  # fmt: skip
def test_wrong_use_is_told_apart_from_a_finding(more: tuple[str, ...], code: int, pds: Call) -> None:
    assert pds(HONEST, *more)[0] == code
