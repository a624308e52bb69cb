"""The benchmark of workspaces measures real jails, at any scale, and says what each figure is held against."""

from __future__ import annotations

import pyarrow as pa
import pytest

from api.cli.bench import known
from benchmarks import tpch, workspace

SMALL = {
    "PDS_BENCH_SCALE": "0.01", "PDS_BENCH_ROWS": "20000", "PDS_BENCH_TIMES": "2", "PDS_BENCH_WORKSPACES": "3",
    "PDS_BENCH_BUSY": "3", "PDS_BENCH_SECONDS": "0.5",
}  # fmt: skip
FIGURES = {
    "tpch": ["tpch", "tpch_worst"], "arrow": ["arrow"], "one_row": ["one_row"], "opening": ["open_cold", "open_warm"],
    "idle": ["idle"], "busy": ["busy_fewest", "busy_p95"], "bomb": ["bomb"], "http": ["http_one_row"],
}  # fmt: skip


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SMALL.items():
        monkeypatch.setenv(name, value)


def test_it_is_one_of_the_benchmarks_and_every_section_is_listed() -> None:
    assert "workspace" in known()
    assert list(FIGURES) == list(workspace.SECTIONS)


@pytest.mark.jail
@pytest.mark.parametrize("section", list(FIGURES))
def test_a_section_runs_alone_and_gives_its_figures(monkeypatch: pytest.MonkeyPatch, section: str) -> None:
    monkeypatch.setenv("PDS_BENCH_SECTIONS", section)
    figures = workspace.run()
    assert [f.name for f in figures] == FIGURES[section]
    assert all(f.against > 0 and f.value >= 0 and f.text.zh and f.text.en for f in figures)


def test_an_unknown_section_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PDS_BENCH_SECTIONS", "tpch,nothing")
    with pytest.raises(ValueError, match="nothing"):
        workspace.run()


def test_all_questions_are_there_and_their_answers_are_told_apart() -> None:
    assert list(tpch.QUERIES) == list(range(1, 23))
    one = pa.table({"n": [1, 2], "x": [0.1, 0.2]})
    assert workspace.same(one, pa.table({"n": [1, 2], "x": [0.1, 0.2 + 1e-13]}))
    assert not workspace.same(one, pa.table({"n": [1, 3], "x": [0.1, 0.2]}))
    assert not workspace.same(one, pa.table({"n": [1, 2], "x": [0.1, 0.21]}))
    assert not workspace.same(one, one.slice(0, 1))
