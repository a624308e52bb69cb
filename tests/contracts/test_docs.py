"""What the documentation names is there: files, tests, commands, links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from api.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("README*.md")), *sorted((ROOT / "docs").rglob("*.md")), ROOT / "deploy/README.md"]
PLACE = re.compile(r"`((?:sandbox|policies|pipelines|synthetic|api|tests|benchmarks|docs|deploy)/[\w./-]+)`")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
COMMAND = re.compile(r"\./pds ([a-z][a-z-]+)")
SCRIPT_ONLY = {"test", "setup"}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_file_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = {ROOT / place for place in PLACE.findall(text)} | {page.parent / link for link in LINK.findall(text)}
    made_by_build = ROOT / "api/assets/dist"
    missing = sorted(str(p) for p in named if not p.exists() and made_by_build not in p.parents and "*" not in str(p))
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_command_a_page_names_exists(page: Path) -> None:
    shell = "\n".join(re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
    assert set(COMMAND.findall(shell)) <= set(COMMANDS) | SCRIPT_ONLY
