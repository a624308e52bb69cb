"""更新: where tables come from by themselves, when, and the operator's hand on jobs that run."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from api.deps import Acting
from api.routes.shapes import In, JobOut, Line, Out, ResourceOut
from sandbox.catalog import comments, schedules, service, sources
from sandbox.kernel import cancellation
from sandbox.kernel.unit import Unit

router = APIRouter(tags=["refreshing"])


class PlanOut(Out):
    """When one department's tables are fetched by themselves."""

    organisation_id: str
    department: str
    cron: str | None = Field(examples=["30 1 * * *"], description="five fields, Beijing time; null: never by itself")
    by_cycle: bool = Field(description="by the shortest declared update cycle, not set by an operator")
    paused: bool
    tables: int = Field(description="resources of the department that have a source")
    next_at: datetime | None


class CronIn(In):
    cron: Annotated[str, Field(max_length=80)] | None = Field(
        examples=["30 1 * * *"], description="null: by the declared update cycles again"
    )


class PauseIn(In):
    paused: bool = Field(examples=[True])


class OfferOut(Out):
    """What the source itself says, as far as it is not registered in these words."""

    title: str | None = Field(examples=["门诊就诊记录表"], description="the table's comment")
    columns: dict[str, str] = Field(examples=[{"jzrq": "就诊日期"}])


class CommentsIn(In):
    columns: list[Line] = Field(max_length=2000, examples=[["jzrq"]], description="register these columns' comments")
    title: bool = Field(default=False, description="register the table's comment as the resource's description")


class SourceIn(In):
    source: dict[str, Any] | None = Field(
        examples=[{"kind": "drop"}], description="a drop folder, a table of a configured connection, or null"
    )


@router.get("/schedules", summary="更新计划 · Refresh schedules")
def list_schedules(unit: Annotated[Unit, Acting("schedule:read")]) -> list[PlanOut]:
    return [PlanOut.model_validate(p) for p in schedules.plans(unit)]


@router.post("/schedules/{organisation_id}/cron", summary="设定更新时间 · Set when a department is refreshed")
def set_cron(organisation_id: str, body: CronIn, unit: Annotated[Unit, Acting("schedule:set")]) -> PlanOut:
    return PlanOut.model_validate(schedules.set_cron(unit, organisation_id, body.cron))


@router.post("/schedules/{organisation_id}/pause", summary="暂停或恢复 · Pause or resume")
def pause(organisation_id: str, body: PauseIn, unit: Annotated[Unit, Acting("schedule:set")]) -> PlanOut:
    return PlanOut.model_validate(schedules.pause(unit, organisation_id, body.paused))


@router.post("/schedules/{organisation_id}/run", status_code=202, summary="立即更新一个部门 · Refresh a department now")
def run(organisation_id: str, unit: Annotated[Unit, Acting("resource:refresh")]) -> JobOut:
    """`city` refreshes every department."""
    one = None if organisation_id == schedules.CITY_WIDE else organisation_id
    return JobOut.model_validate(schedules.start(unit, one))


@router.post("/resources/{resource_id}/refresh", status_code=202, summary="立即更新一张表 · Refresh one table now")
def refresh(resource_id: str, unit: Annotated[Unit, Acting("resource:refresh")]) -> JobOut:
    return JobOut.model_validate(schedules.refresh(unit, resource_id))


@router.post("/resources/{resource_id}/source", summary="登记数据来源 · Declare a source")
def declare(resource_id: str, body: SourceIn, unit: Annotated[Unit, Acting("resource:declare")]) -> ResourceOut:
    return ResourceOut.from_record(unit, sources.declare(unit, resource_id, body.source))


@router.get("/resources/{resource_id}/comments", summary="来源自带的说明 · Comments the source offers")
def show_comments(resource_id: str, unit: Annotated[Unit, Acting("resource:read")]) -> OfferOut:
    """What the source of the newest version says and the department has not registered in these words."""
    return OfferOut.model_validate(comments.offered(unit.session, service.read(unit, resource_id)))


@router.post("/resources/{resource_id}/comments", summary="登记来源自带的说明 · Register comments the source offers")
def register_comments(
    resource_id: str, body: CommentsIn, unit: Annotated[Unit, Acting("resource:declare")]
) -> ResourceOut:
    return ResourceOut.from_record(unit, comments.register(unit, resource_id, body.columns, title=body.title))


@router.post("/jobs/{job_id}/cancel", summary="取消任务 · Cancel a job")
def cancel(job_id: str, unit: Annotated[Unit, Acting("job:cancel")]) -> JobOut:
    """It can commit nothing from here on; its run is ended within seconds."""
    return JobOut.model_validate(cancellation.cancel(unit, job_id))
