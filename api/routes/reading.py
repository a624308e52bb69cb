"""授权数据: what may be read of the granted tables, and reading it. JSON only, capped by policy; no download."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field

from api.deps import Acting, Asking
from api.routes.shapes import In, Out
from sandbox.kernel.identity import Actor
from sandbox.kernel.unit import Platform, Unit
from sandbox.workspaces import reading
from sandbox.workspaces.reading import ReadableTable

router = APIRouter(tags=["workspaces"])


class SelectIn(In):
    sql: str = Field(min_length=1, max_length=20_000, examples=["SELECT 区, count(*) FROM 门诊就诊 GROUP BY 区"])


class ReadableColumnOut(Out):
    name: str
    type: str
    level: int
    use: str = Field(description="rows: as it is; pseudonyms: its value replaced; jobs: not readable")


class ReadableTableOut(Out):
    """A granted table: which columns may be read and how, why not the table, rows left within the day."""

    name: str
    grant: str
    columns: list[ReadableColumnOut]
    rows: list[str] = Field(description="the conditions its rows meet, in words")
    withheld: str | None
    rows_left: int

    @classmethod
    def of(cls, table: ReadableTable) -> ReadableTableOut:
        return cls(
            name=table.name, grant=table.grant.id, rows=[c.text.zh for c in table.conditions],
            columns=[ReadableColumnOut.model_validate(c) for c in table.use.columns],
            withheld=table.withheld.zh if table.withheld else None, rows_left=table.rows_left,
        )  # fmt: skip


class RowsOut(Out):
    """Granted real rows: to be looked at inside the platform."""

    label: str = reading.MARK.zh
    columns: list[str]
    rows: list[list[Any]]
    row_count: int
    truncated: bool
    milliseconds: int
    tables: list[str]


@router.get("/workspaces/{workspace_id}/data", summary="授权数据 · What may be read of the granted tables")
def list_tables(workspace_id: str, unit: Annotated[Unit, Acting("workspace:read")]) -> list[ReadableTableOut]:
    return [ReadableTableOut.of(t) for t in reading.tables(unit, workspace_id)]


@router.post("/workspaces/{workspace_id}/data", summary="读取授权数据行 · Read granted real rows")
def read(
    workspace_id: str, body: SelectIn, request: Request,
    asking: Annotated[tuple[Platform, Actor], Asking("rows:read")],
) -> RowsOut:  # fmt: skip
    """One SELECT on the readable rows, counted against the day's limits and recorded."""
    platform, actor = asking
    found = reading.read(platform, request.app.state.broker, actor, workspace_id, body.sql)
    columns = [column.to_pylist() for column in found.table.columns]
    return RowsOut(
        columns=found.table.column_names, rows=[list(row) for row in zip(*columns, strict=True)],
        row_count=found.table.num_rows, truncated=found.truncated, milliseconds=round(found.elapsed * 1000),
        tables=list(found.touched),
    )  # fmt: skip
