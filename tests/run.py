"""`./pds test`: everything that must hold, in one go; what could not run is named, and is then no full pass.

Exit code 0: all passed. 1: something failed. 3: what ran passed, but a part could not run here (部分通过).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from api.cli.health import chinese_font
from tests.postgres import find_server

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PASSED, FAILED, PARTIAL = 0, 1, 3


@dataclass(frozen=True, slots=True)
class Part:
    """A real component that tests need: its Debian package, and what does not run without it."""

    package: str
    there: bool
    without: str


def parts() -> list[Part]:
    """The components and whether this machine has them."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    return [
        Part("postgresql", find_server() is not None, "PostgreSQL 上的同一套测试 · the same tests on PostgreSQL"),
        Part("chromium", chromium is not None, "浏览器故事 · the browser story"),
        Part("fonts-noto-cjk", chinese_font() is not None, "中文页面截图 · pages with Chinese type"),
        Part("bubblewrap", _bubblewrap(), "强隔离的攻击测试 · the attacks on the strong jail"),
    ]


def _bubblewrap() -> bool:
    from sandbox.workspaces.system import bubblewrap

    return bubblewrap() is not None


def install(missing: list[Part]) -> None:
    """Install by package name where this may be done: as root, with apt."""
    if not missing or os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    names = [p.package for p in missing]
    print(f"安装测试组件 · installing for the tests: {' '.join(names)}", flush=True)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    options = ["-o", "Dpkg::Use-Pty=0", "-qq"]
    command = ["apt-get", "install", "-y", "--no-install-recommends", *options, *names]
    if subprocess.run(command, env=quiet, stdout=subprocess.DEVNULL, check=False).returncode:
        subprocess.run(["apt-get", "update", *options], env=quiet, stdout=subprocess.DEVNULL, check=False)
        subprocess.run(command, env=quiet, stdout=subprocess.DEVNULL, check=False)


SIDE_BY_SIDE = ("tests/attacks", "tests/contracts", "tests/properties", "tests/spec", "tests/unit")
"""Tests that share nothing and wait for nothing: run on all cores, file by file"""
ONE_BY_ONE = ("tests/integration", "tests/e2e")
"""Tests with servers, jails and clocks of the machine: alone, so that none starves another"""


def steps(arguments: list[str]) -> list[tuple[str, list[str]]]:
    """Name and command of every step; arguments go to pytest, and where they choose tests only pytest runs."""
    pytest = [sys.executable, "-m", "pytest", *arguments]
    if chosen(arguments):
        return [("pytest", pytest)]
    return [
        ("ruff", [str(BIN / "ruff"), "check", "."]),
        ("mypy", [str(BIN / "mypy")]),
        ("import-linter", [str(BIN / "lint-imports")]),
        ("pytest side by side", [*pytest, "-n", str(min(os.cpu_count() or 1, 4)), "--dist", "loadfile", *SIDE_BY_SIDE]),
        ("pytest one by one", [*pytest, *ONE_BY_ONE]),
    ]


def chosen(arguments: list[str]) -> bool:
    """Whether the arguments choose some of the tests (a path, `-k`, `-m`) and not only how they are shown."""
    return any(not a.startswith("-") for a in arguments)


def run_step(name: str, command: list[str]) -> tuple[bool, float]:
    """Run one step in the open; whether it passed, and its seconds."""
    print(f"\n── {name} " + "─" * (70 - len(name)), flush=True)
    began = time.monotonic()
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    return code == 0, time.monotonic() - began


def summary(results: list[tuple[str, bool, float]], missing: list[Part], some: bool) -> int:
    """Say plainly what passed, what failed, what did not run, and how to make it run; returns the exit code."""
    print("\n── 结果 · result " + "─" * 60)
    for name, passed, seconds in results:
        print(f"  {'✔' if passed else '✘'} {name}  {seconds:.0f} s")
    for part in missing:
        print(f"  ⚠ 未运行 · did not run: {part.without}（缺 {part.package} · {part.package} is missing）")
    if not all(passed for _, passed, _ in results):
        print("失败 · FAILED")
        return FAILED
    if missing:
        names = " ".join(p.package for p in missing)
        print(f"部分通过 · PARTIAL: 补齐命令 · add with: apt-get install -y --no-install-recommends {names}")
        return PARTIAL
    print("所选测试通过 · the chosen tests passed" if some else "全部通过 · ALL PASSED")
    return PASSED


def main(arguments: list[str]) -> int:
    """Install what may be installed, run every step, sum up."""
    install([p for p in parts() if not p.there])
    missing = [p for p in parts() if not p.there]
    results = [(name, *run_step(name, command)) for name, command in steps(arguments)]
    return summary(results, missing, chosen(arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
