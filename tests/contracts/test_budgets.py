"""Nothing grows until nobody reads it: files and functions have a budget."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

HOME = Path(__file__).parents[2]
PACKAGES = ("policies", "sandbox", "pipelines", "synthetic", "api", "benchmarks")
FILE, TEST_FILE, FUNCTION = 500, 800, 40


def _sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((HOME / folder).rglob("*.py")):
            if not any(part.startswith(".") for part in path.relative_to(HOME).parts):  # built islands, caches
                yield path


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_source_files_stay_within_their_budget() -> None:
    over = {str(p.relative_to(HOME)): n for p in _sources(*PACKAGES) if (n := _lines(p)) > FILE}
    assert over == {}


def test_test_files_stay_within_their_budget() -> None:
    over = {str(p.relative_to(HOME)): n for p in _sources("tests") if (n := _lines(p)) > TEST_FILE}
    assert over == {}


def test_functions_stay_within_their_budget() -> None:
    """Migrations are generated and left as they are."""
    over = {}
    for path in _sources(*PACKAGES):
        if "migrations/versions" in path.as_posix():
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
                length = node.end_lineno - node.lineno + 1
                if length > FUNCTION:
                    over[f"{path.relative_to(HOME)}:{node.lineno} {node.name}"] = length
    assert over == {}
