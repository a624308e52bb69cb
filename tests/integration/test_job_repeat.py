"""A third party repeats a verdict: the same data and seeds give the same evidence, anything else is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from api.cli.main import run
from sandbox.products import evidence_files, repeating
from sandbox.products.entities import SessionCodes
from sandbox.products.evidence import derive
from sandbox.products.evidence_files import Caps
from sandbox.products.spec import parse
from tests.export_subjects import CLINIC, clinic_sources

CAPS = Caps(rows=1000, cells=1000, file_mb=16)
KEY = "身份证号"
Call = Callable[..., tuple[int, Any]]


@pytest.fixture
def pds(capsys: pytest.CaptureFixture[str]) -> Call:
    def call(*arguments: object) -> tuple[int, Any]:
        capsys.readouterr()
        code = run(["job", *map(str, arguments), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return call


@pytest.fixture
def kept(tmp_path: Path, pds: Call) -> tuple[Path, Path]:
    """(a kept proof, the data it was made on)"""
    data, spec, record = tmp_path / "data", tmp_path / "job.yaml", tmp_path / "proof"
    data.mkdir()
    clinic_sources(data)
    spec.write_text(CLINIC, encoding="utf-8")
    code, told = pds("run", spec, "--data", data, "--entity", KEY, "--record", record)
    assert code in (0, 1) and told["state"] == "done"
    return record, data


def test_the_same_data_gives_everything_again(kept: tuple[Path, Path], pds: Call) -> None:
    code, told = pds("repeat", kept[0], "--data", kept[1], "--entity", KEY)
    assert code == 0 and told["equal"] and told["proved"] and told["differences"] == []


def test_other_data_is_named_by_place_and_never_by_value(kept: tuple[Path, Path], pds: Call) -> None:
    visits = pl.read_parquet(kept[1] / "visit.parquet")
    changed = pl.when(pl.int_range(pl.len()) == 0).then(98_765.0).otherwise(pl.col("费用")).alias("费用")
    visits.with_columns(changed).write_parquet(kept[1] / "visit.parquet")
    code, told = pds("repeat", kept[0], "--data", kept[1], "--entity", KEY)
    assert code == 1 and not told["equal"]
    named = {(d["place"], d["what"]): d["count"] for d in told["differences"]}
    assert named[("product", "rows")] == 1 and named[("product/entity/x1", "cells")] == 1
    assert "98765" not in json.dumps(told)


def test_fewer_people_are_seen_in_every_count(kept: tuple[Path, Path], pds: Call) -> None:
    visits = pl.read_parquet(kept[1] / "visit.parquet")
    visits.tail(-1).write_parquet(kept[1] / "visit.parquet")
    code, told = pds("repeat", kept[0], "--data", kept[1], "--entity", KEY)
    places = {d["place"] for d in told["differences"]}
    assert code == 1 and {"product", "product/entity", "product/entity/n", "product/entity/x_total"} <= places


@pytest.mark.parametrize("name", [evidence_files.RECORD, "rows-0.arrow", "sets-0-0.bin"])
def test_a_damaged_record_is_refused(kept: tuple[Path, Path], pds: Call, name: str) -> None:
    (kept[0] / name).chmod(0o600)
    (kept[0] / name).write_bytes((kept[0] / name).read_bytes()[:-3])
    code, told = pds("repeat", kept[0], "--data", kept[1], "--entity", KEY)
    assert code == 2 and "repeat.record" in json.dumps(told)


def test_a_proof_is_kept_once_under_the_digest_of_its_bytes(tmp_path: Path) -> None:
    evidence = derive(parse(CLINIC), clinic_sources(tmp_path), codes=SessionCodes(), halves=1)
    digest = repeating.keep(evidence, tmp_path / "proofs")
    assert repeating.keep(evidence, tmp_path / "proofs") == digest == repeating.digest_of(tmp_path / "proofs" / digest)
    assert [p.name for p in (tmp_path / "proofs").iterdir()] == [digest]
    assert repeating.differences(evidence, repeating.read(tmp_path / "proofs" / digest, CAPS)) == []
