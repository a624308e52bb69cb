"""The lock files name what is installed, and no host it came from."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HOME = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements-test.lock")
CAPPED = ("fastapi", "sqlalchemy", "duckdb", "prefect", "sdv")


def _declared() -> dict[str, list[Requirement]]:
    project = tomllib.loads((HOME / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    return {group: [Requirement(line) for line in lines] for group, lines in groups.items()}


def _locked(name: str) -> dict[str, str]:
    """Package → locked version, of the lines that are meant for this machine."""
    found = {}
    for line in (HOME / name).read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            requirement = Requirement(line)
            if requirement.marker is None or Marker(str(requirement.marker)).evaluate():
                found[canonicalize_name(requirement.name)] = str(requirement.specifier).removeprefix("==")
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_names_no_host_and_no_option(lock: str) -> None:
    text = (HOME / lock).read_text(encoding="utf-8")
    assert not re.findall(r".*(?:://|@ |--|\bindex\b.*=).*", text)
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    assert all(re.match(r"^[A-Za-z0-9._\[\],-]+==[^\s]+( ;.*)?$", line) for line in lines)


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_leaves_torch_and_its_drivers_out(lock: str) -> None:
    heavy = [n for n in _locked(lock) if n in ("torch", "torchvision", "triton", "ctgan") or n.startswith("nvidia-")]
    assert heavy in ([], ["ctgan"]), "SDV names ctgan, which itself asks for torch only when it is used"


@pytest.mark.parametrize("lock", LOCKS)
def test_every_dependency_is_locked_within_its_bounds(lock: str) -> None:
    locked, declared = _locked(lock), _declared()
    wanted = [*declared[""], *(declared["test"] if "test" in lock else [])]
    missing = [r.name for r in wanted if canonicalize_name(r.name) not in locked]
    outside = [
        f"{r} is locked at {locked[canonicalize_name(r.name)]}" for r in wanted
        if r.name not in missing and not r.specifier.contains(locked[canonicalize_name(r.name)], prereleases=True)
    ]  # fmt: skip
    assert (missing, outside) == ([], [])


def test_test_lock_contains_the_product_lock() -> None:
    product, tests = _locked(LOCKS[0]), _locked(LOCKS[1])
    assert {n: v for n, v in product.items() if tests.get(n) != v} == {}


@pytest.mark.parametrize("name", CAPPED)
def test_caps_hold_for_what_is_installed(name: str) -> None:
    """FastAPI and SQLAlchemy above their caps break Prefect's server at run time (docs/adr/0001)."""
    (requirement,) = [r for r in _declared()[""] if r.name == name]
    assert "<" in str(requirement.specifier)
    assert requirement.specifier.contains(version(name), prereleases=True)
