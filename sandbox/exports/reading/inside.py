"""The inside of reading: one file after another, each told when it begins, so that the platform knows which one ended
the process."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow  # noqa: F401 - nearly every file becomes a table, and a spare imports it before anybody waits

from sandbox.exports.reading import readers
from sandbox.exports.reading.bounds import Bounds
from sandbox.exports.reading.found import Found
from sandbox.workspaces.inside import Setting
from sandbox.workspaces.protocol import Channel
from sandbox.workspaces.script_inside import use_cores

OUTPUT = "read"
"""The folder below HOME where tables are left."""


class _NoPandas:
    """Arrow imports pandas, at half a second, only to ask whether a list of cells is a thing of it: there is none."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


def run(setting: Setting, data: Channel, control: Channel) -> None:
    """Read `extra["files"]` (place in the order → name and place of the file) and report each."""
    use_cores(setting.limits.threads)
    sys.meta_path.insert(0, _NoPandas())
    folder = Path(setting.home, OUTPUT)
    folder.mkdir(mode=0o700, exist_ok=True)
    tempfile.tempdir = setting.home
    bounds = Bounds(**setting.extra["bounds"])
    for key, (name, place) in setting.extra["files"].items():
        data.send({"is": "began", "file": key})
        report = one(Path(setting.tables[key]), name, place, Found(folder, key, bounds, readers.read))
        data.send({"is": "read", "file": key}, json.dumps(report, ensure_ascii=False).encode("utf-8", "replace"))
    data.send({"is": "done"})


def one(path: Path, name: str, place: str, found: Found) -> dict[str, Any]:
    """What is in one file."""
    kind = readers.read(path, name, place, found)
    for part in found.folder.glob(f"{found.prefix}-part*"):
        part.unlink()
    return {"kind": kind, **found.report()}
