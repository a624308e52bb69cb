"""Reading simulated rows for browsers. Only the simulated table is ever opened here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from policies.text import Text
from sandbox.catalog.repository import Resource
from sandbox.kernel import permissions
from sandbox.kernel.errors import InvalidTransition
from sandbox.kernel.unit import Unit

MAX_ROWS = 200


@dataclass(frozen=True, slots=True)
class SimulatedRows:
    """Some simulated rows, in the order of the published file."""

    columns: list[str]
    rows: list[list[Any]]


def simulated_files(unit: Unit, resource: Resource) -> list[str]:
    """The Parquet files of the published simulated version. Raises `InvalidTransition` while there is none."""
    from sandbox.lake import Lake

    if resource.simulated_version is None:
        raise InvalidTransition(
            "simulated.not_ready",
            Text("仿真数据尚未生成", "The simulated data is not ready yet"),
            fix=Text("请稍后再看", "Come back later"),
            id=resource.id,
        )
    return Lake(unit.settings.lake_root).files(resource.simulated_table, resource.simulated_version)


def simulated_rows(unit: Unit, resource: Resource, limit: int, offset: int) -> SimulatedRows:
    """At most `MAX_ROWS` simulated rows from `offset` on."""
    import polars as pl

    permissions.check(unit.actor, "simulated:browse")
    files = simulated_files(unit, resource)
    frame = pl.scan_parquet(files).slice(max(offset, 0), min(max(limit, 1), MAX_ROWS)).collect()
    unit.audit("simulated:browse", "resource", resource.id, rows=frame.height)
    return SimulatedRows(frame.columns, [list(row) for row in frame.rows()])
