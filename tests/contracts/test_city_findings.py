"""The page of findings is what the platform finds today, agrees with the city's answer key, and shows no value."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from api.cli import city_findings
from api.cli.city_findings import Examined
from synthetic.city import TABLES

PAGE = Path(__file__).parents[2] / "docs" / "city-findings.md"
KEYS = {table.key: {column.name: column for column in table.columns} for table in TABLES}


@pytest.fixture(scope="module")
def files() -> list[Examined]:
    return city_findings.examine()


def test_page_equals_what_the_platform_finds(files: list[Examined]) -> None:
    assert PAGE.read_text(encoding="utf-8") == city_findings.render(files), f"run: {city_findings.COMMAND}"


def test_page_shows_every_file_and_no_identifier(files: list[Examined]) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert all(f"## {one.table.path.name}\n" in page for one in files) and len(files) == len(TABLES) + 1
    assert re.findall(r"4499[0-9]{6,}|154[0-9]{8}|629999[0-9]+|粤O[0-9A-Z]{5}|@example", page) == []


def test_levels_lie_where_the_answer_key_puts_them(files: list[Examined]) -> None:
    wrong = [
        (one.table.name, c.name, c.level)
        for one in files
        if one.table.key in KEYS
        for c in one.graded.columns
        if not KEYS[one.table.key][c.name].level[0] <= c.level <= KEYS[one.table.key][c.name].level[1]
    ]
    assert wrong == []


def test_no_column_of_the_city_is_left_unmarked(files: list[Examined]) -> None:
    assert [c.name for one in files for c in one.graded.columns if c.subject == "unknown"] == []


def test_identifiers_of_the_answer_key_are_found_and_no_others(files: list[Examined]) -> None:
    for one in files:
        for column in one.scan.columns:
            known = KEYS.get(one.table.key, {}).get(column.name)
            wanted = known.entity if known else None
            found = {e.entity for e in column.decided("is")} & {"CN_RESIDENT_ID", "CN_USCC", "CN_BANK_CARD", "PERSON"}
            assert found == ({wanted} & {"CN_RESIDENT_ID", "CN_USCC", "CN_BANK_CARD", "PERSON"}), column.name
