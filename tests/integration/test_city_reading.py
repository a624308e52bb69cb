"""The demonstration city is read to its answer key: every table, loaded and quarantined."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.reading import TableReading, read, typed
from synthetic.city import build

TABLES = (
    "residents", "enterprises", "social_insurance", "clinic_visits", "transit_taps", "permits_penalties", "schools",
    "air_readings", "areas",
)  # fmt: skip


@pytest.fixture(scope="module", params=[(7, 1.0), (20260102, 0.3)], ids=["seed7", "seed20260102"])
def city(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Any]]:
    seed, scale = request.param
    out = tmp_path_factory.mktemp("city")
    build(out, seed=seed, scale=scale)
    yield out, {t["key"]: t for t in json.loads((out / "truth.json").read_text("utf-8"))["tables"]}


def readings(city: tuple[Path, Any], key: str, work: Path) -> tuple[list[TableReading], Any]:
    out, truth = city
    found = [r for n, name in enumerate(truth[key]["files"]) for r in read(out / name, work=work / str(n))]
    return found, truth[key]


@pytest.mark.parametrize("key", TABLES)
def test_loaded_and_quarantined_rows_are_the_truth(city: tuple[Path, Any], key: str, tmp_path: Path) -> None:
    found, truth = readings(city, key, tmp_path)
    assert sum(r.accounting.rows_loaded for r in found) == truth["rows"]
    assert sum(r.accounting.rows_quarantined for r in found) == truth["rows_quarantined"]
    for reading in found:
        reading.accounting.balance()
        assert [c.name for c in reading.columns] == [c["name"] for c in truth["columns"]]


@pytest.mark.parametrize("key", TABLES)
def test_lines_set_aside_and_missing_values_are_the_truth(city: tuple[Path, Any], key: str, tmp_path: Path) -> None:
    found, truth = readings(city, key, tmp_path)
    layout = truth["layout"]
    account = found[0].accounting
    assert account.lines == layout["physical_lines"]
    assert account.footer == len(layout.get("footer_lines", []))
    assert account.section == len(layout.get("section_lines", []))
    assert account.repeated_header == len(layout.get("repeated_header_lines", []))
    assert account.blank == len(layout.get("blank_lines", []))
    assert [c.missing for c in found[0].columns] == [c["missing"] for c in truth["columns"]]


@pytest.mark.parametrize("key", ["clinic_visits", "permits_penalties"])
def test_dates_in_four_spellings_become_dates_and_impossible_ones_are_listed(
    city: tuple[Path, Any], key: str, tmp_path: Path
) -> None:
    found, truth = readings(city, key, tmp_path)
    (reading,) = found
    wanted = {c["name"] for c in truth["columns"] if c["dtype"] == "date"}
    assert {c.name for c in reading.columns if c.type == "date"} == wanted
    cells = pl.read_csv(city[0] / "truth_cells.csv", infer_schema=False)
    impossible = cells.filter(
        (pl.col("table") == key) & (pl.col("kind") == "impossible") & pl.col("column").is_in(list(wanted))
    )
    assert reading.values_parquet is not None
    listed = pl.read_parquet(reading.values_parquet).filter(pl.col("column").is_in(list(wanted)))
    told = {(row + 1, column, raw) for row, column, raw in listed.select("row", "column", "raw").rows()}
    assert told == {(int(r), c, w) for r, c, w in impossible.select("record", "column", "written").rows()}
    assert pl.read_parquet(typed(reading)).height == truth["rows"]


def test_refused_records_stand_on_the_lines_the_truth_names(city: tuple[Path, Any], tmp_path: Path) -> None:
    for key in ("residents", "clinic_visits", "transit_taps"):
        found, truth = readings(city, key, tmp_path / key)
        assert found[0].quarantine_parquet is not None
        lines = pl.read_parquet(found[0].quarantine_parquet)["line"].to_list()
        assert lines == sorted(entry["line"] for entry in truth["quarantined"])
