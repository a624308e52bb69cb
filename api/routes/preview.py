"""汇总预览: a declared question about a granted table, answered in aggregate; which questions were asked."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field

from api.deps import Acting, Asking
from api.routes.shapes import In, Line, Out
from sandbox.kernel.identity import Actor
from sandbox.kernel.unit import Platform, Unit
from sandbox.workspaces import preview
from sandbox.workspaces.preview import MAX_GROUPS, MAX_MEASURES, Recorded, Wanted

router = APIRouter(tags=["workspaces"])
Value = Annotated[str, Field(max_length=200)]


class MeasureIn(In):
    kind: Literal["rows", "entities", "mean", "sum"] = Field(examples=["rows"])
    column: Annotated[str, Field(max_length=300)] = Field(default="", description="of mean and sum")


class PreviewConditionIn(In):
    column: Line = Field(examples=["就诊日"])
    op: Literal["in", "between", ">=", "<="] = Field(examples=["between"])
    values: list[Value] = Field(min_length=1, max_length=200, examples=[["2026-01-01", "2026-03-31"]])


class PreviewIn(In):
    """A question: no SQL, only names of granted columns and values."""

    table: Line = Field(examples=["门诊就诊"])
    groups: list[Line] = Field(min_length=1, max_length=MAX_GROUPS, examples=[["区"]])
    measures: list[MeasureIn] = Field(min_length=1, max_length=MAX_MEASURES, examples=[[{"kind": "rows"}]])
    conditions: list[PreviewConditionIn] = Field(default_factory=list, max_length=3)


class PreviewOut(Out):
    """Groups that are large enough, figures rounded; null in a measure: withheld. To be looked at inside."""

    label: str = preview.MARK.zh
    columns: list[str]
    rows: list[list[Any]]
    more: bool


class PreviewRecordOut(Out):
    """A question on record, without any value; `differs`: what it changed of the one before on the same groups."""

    id: str
    at: datetime
    table: str
    asked: dict[str, Any]
    outcome: str
    shown: int
    differs: list[str] | None

    @classmethod
    def of(cls, one: Recorded) -> PreviewRecordOut:
        record = one.record
        return cls(
            id=record.id, at=record.at, table=record.table_name, asked=record.asked, outcome=record.outcome,
            shown=record.shown, differs=None if one.differs is None else [t.zh for t in one.differs],
        )  # fmt: skip


@router.post("/workspaces/{workspace_id}/preview", summary="汇总预览 · Ask a granted table in aggregate")
def ask(
    workspace_id: str, body: PreviewIn, request: Request,
    asking: Annotated[tuple[Platform, Actor], Asking("rows:preview")],
) -> PreviewOut:  # fmt: skip
    """One question; it counts against the grant's day and is recorded."""
    platform, actor = asking
    wanted = Wanted(
        body.table, body.groups, [(m.kind, m.column) for m in body.measures], [c.model_dump() for c in body.conditions]
    )
    found = preview.preview(platform, request.app.state.broker, actor, workspace_id, wanted)
    return PreviewOut(columns=list(found.columns), rows=[list(row) for row in found.rows], more=found.more)


@router.get("/workspaces/{workspace_id}/previews", summary="预览记录 · Which previews were asked")
def list_previews(workspace_id: str, unit: Annotated[Unit, Acting("workspace:read")]) -> list[PreviewRecordOut]:
    return [PreviewRecordOut.of(one) for one in preview.history(unit, workspace_id)]
