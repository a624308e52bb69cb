"""Looking at and taking away simulated data. Only the simulated table and its files are ever opened here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policies.text import Text
from sandbox.catalog import twins
from sandbox.catalog.repository import Resource
from sandbox.catalog.twins import Twin
from sandbox.kernel import permissions
from sandbox.kernel.errors import NotFound
from sandbox.kernel.unit import Unit

MAX_ROWS = 200
MARK = "仿真数据"
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f\\/:*?"<>|]+')
_GOVERNED = "report-operator"


@dataclass(frozen=True, slots=True)
class SimulatedRows:
    """Some simulated rows, in the order of the published file."""

    twin: Twin
    columns: list[str]
    rows: list[list[Any]]


@dataclass(frozen=True, slots=True)
class TwinFile:
    """One file of a twin: where it lies, what it is called, and what makes sure that it is the one."""

    path: Path
    name: str
    format: str
    label: Text
    media: str
    bytes: int
    sha256: str


def simulated_rows(
    unit: Unit, resource: Resource, limit: int, offset: int, number: int | None = None
) -> SimulatedRows:  # fmt: skip
    """At most `MAX_ROWS` simulated rows from `offset` on, of the published twin or of an earlier one."""
    import polars as pl

    from sandbox.lake import Lake

    permissions.check(unit.actor, "simulated:browse")
    twin = twins.chosen(unit.session, resource, number)
    files = Lake(unit.settings.lake_root).files(resource.simulated_table, twin.lake_version)
    frame = pl.scan_parquet(files).slice(max(offset, 0), min(max(limit, 1), MAX_ROWS)).collect()
    unit.audit("simulated:browse", "resource", resource.id, twin=twin.number, rows=frame.height)
    return SimulatedRows(twin, frame.columns, [list(row) for row in frame.rows()])


def downloads(unit: Unit, resource: Resource, twin: Twin) -> list[TwinFile]:
    """The twin's files that this person may take."""
    governs = permissions.permitted(unit.actor, "simulated:evidence")
    return [_file(unit, resource, twin, key) for key in twin.files if governs or key != _GOVERNED]


def download(unit: Unit, resource: Resource, key: str, number: int | None = None) -> TwinFile:
    """One file of the published twin, or of an earlier one; who took which bytes is on record.

    Raises:
        NotFound: the twin has no file of that format (`key`), or it is gone from the disk.
        NotPermitted: the operator's report, for somebody who does not govern.
    """
    permissions.check(unit.actor, "simulated:evidence" if key == _GOVERNED else "simulated:download")
    twin = twins.chosen(unit.session, resource, number)
    if key not in twin.files or not (found := _file(unit, resource, twin, key)).path.exists():
        raise NotFound(
            "simulated.no_file", Text("这一版仿真数据没有该格式的文件", "This twin has no file of that format"),
            fix=Text("请运营人员重新生成仿真数据", "Ask the operator to make the simulated data again"),
        )  # fmt: skip
    unit.audit("simulated:download", "resource", resource.id, twin=twin.number, format=key, sha256=found.sha256)
    return found


def _file(unit: Unit, resource: Resource, twin: Twin, key: str) -> TwinFile:
    facts = twin.files[key]
    return TwinFile(
        unit.settings.twin_files / facts["sha256"], file_stem(resource, twin) + facts["ending"], key,
        Text(**facts["label"]), facts["media"], int(facts["bytes"]), str(facts["sha256"]),
    )  # fmt: skip


def file_stem(resource: Resource, twin: Twin) -> str:
    """Name of a file without its ending: table, mark, and which twin; nothing that a file system refuses."""
    table = _FORBIDDEN.sub("_", resource.name).strip(". ")[:80] or resource.id
    return f"{table}_{MARK}_第{twin.number}版"
