"""The diagrams in the documentation are the ones the tables draw."""

from __future__ import annotations

from pathlib import Path

from api.cli import diagrams
from tests.lifecycles import LIFECYCLES

PAGE = Path(__file__).parents[2] / "docs" / "lifecycles.md"


def test_page_equals_what_the_tables_draw() -> None:
    stale = "run: python -m api.cli.diagrams > docs/lifecycles.md"
    assert PAGE.read_text(encoding="utf-8") == diagrams.render(), stale


def test_page_shows_every_lifecycle() -> None:
    assert set(diagrams.LIFECYCLES) == set(LIFECYCLES)
