"""更新: where tables come from by themselves, when, and the operator's hand on jobs that run."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from api.deps import Acting
from api.routes.shapes import In, JobOut, Out, ResourceOut
from sandbox.catalog import schedules, sources
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


@router.post("/jobs/{job_id}/cancel", summary="取消任务 · Cancel a job")
def cancel(job_id: str, unit: Annotated[Unit, Acting("job:cancel")]) -> JobOut:
    """It can commit nothing from here on; its run is ended within seconds."""
    return JobOut.model_validate(cancellation.cancel(unit, job_id))
