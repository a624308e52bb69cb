"""Audit, jobs, policies, public reports, and the state of the platform."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import Field

from api.deps import Acting, Open
from api.routes.shapes import EventOut, In, JobOut, JobRecordOut, Out, Prose, ReportIn, ReportOut
from policies.text import Text
from sandbox.catalog import work
from sandbox.kernel import demonstration, editions, jobs, oversight, state
from sandbox.kernel.errors import BadInput
from sandbox.kernel.unit import Unit
from sandbox.reporting import service as reporting
from sandbox.workspaces import tiers

router = APIRouter(tags=["oversight"])


class ChainOut(Out):
    rows: int
    intact: bool
    first_bad: int | None
    reason: str
    checkpoints: int


class PolicyOut(Out):
    id: str
    kind: str
    edition: str
    digest: str
    state: str
    effective_from: str
    proposed_by: str
    activated_by: str | None


class PolicyIn(In):
    text: Annotated[str, Field(max_length=500_000)] = Field(description="the edition's YAML text")


class PlatformOut(Out):
    """What runs here, for everybody."""

    version: str
    demonstration: str | None
    tier: str
    clock: datetime
    parts: dict[str, str] = Field(examples=[{"portal": "up", "scheduler": "starting", "worker": "starting"}])


class ClockIn(In):
    to: datetime = Field(description="a later moment; only where the demonstration city lives")


class DecisionOnTierIn(In):
    tier: str = Field(examples=["medium"])
    reason: Prose = Field(examples=["主机不开放用户命名空间，仅处理一、二级数据"])


@router.get("/audit/events", summary="审计事件 · Audit events")
def events(
    unit: Annotated[Unit, Acting("audit:read")], after: Annotated[int, Query(ge=0, le=2**53)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100, object_id: str | None = None,
) -> list[EventOut]:  # fmt: skip
    return [EventOut.model_validate(e) for e in oversight.events(unit, after=after, limit=limit, object_id=object_id)]


@router.post("/audit/verify", summary="校验审计链 · Verify the chain")
def verify(unit: Annotated[Unit, Acting("audit:verify")]) -> ChainOut:
    return ChainOut.model_validate(oversight.verify_chain(unit))


@router.get("/jobs", summary="任务 · Jobs")
def list_jobs(
    unit: Annotated[Unit, Acting("job:read")], state: str = "", kind: str = "", department: str = "",
    resource: str = "", round: str = "", q: Annotated[str, Query(max_length=200)] = "",
    days: Annotated[int, Query(ge=0, le=3660, description="asked for or ended in so many days; 1 is today")] = 0,
    offset: Annotated[int, Query(ge=0, le=2**53)] = 0, limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> list[JobOut]:  # fmt: skip
    """Newest first. `q`: part of a number, an error's code or words, the name of a table or department."""
    wanted = work.Wanted(state, kind, department, resource, q.strip(), days=days, round_id=round)
    return [JobOut.model_validate(j) for j in work.find(unit, wanted, offset=offset, limit=limit).jobs]


@router.get("/jobs/{job_id}", summary="任务的执行记录 · A job, its attempts and steps")
def show_job(job_id: str, unit: Annotated[Unit, Acting("job:read")]) -> JobRecordOut:
    return JobRecordOut.of(*work.record(unit, job_id))


@router.get("/jobs/{job_id}/events", summary="任务的留痕 · What the audit log says of a job")
def job_events(
    job_id: str, unit: Annotated[Unit, Acting("job:read")], q: Annotated[str, Query(max_length=200)] = ""
) -> list[EventOut]:
    """Oldest first; looking is recorded. `q`: part of an event's code, object or facts."""
    job = jobs.get(unit.session, job_id)
    return [EventOut.model_validate(e) for e in oversight.job_log(unit, job, q.strip())]


@router.post("/jobs/{job_id}/retry", summary="重试任务 · Retry a failed job")
def retry(job_id: str, unit: Annotated[Unit, Acting("job:retry")]) -> JobOut:
    return JobOut.model_validate(jobs.retry(unit, job_id))


@router.get("/policies", summary="规则版本 · Policy editions")
def list_policies(unit: Annotated[Unit, Acting("policy:read")]) -> list[PolicyOut]:
    return [PolicyOut.model_validate(p) for p in editions.every(unit.session)]


@router.post("/policies", status_code=201, summary="提出规则版本 · Propose an edition")
def propose(body: PolicyIn, unit: Annotated[Unit, Acting("policy:propose")]) -> PolicyOut:
    return PolicyOut.model_validate(editions.propose(unit, body.text))


@router.post("/policies/{edition_id}/activate", summary="启用规则版本 · Activate (second person)")
def activate(edition_id: str, unit: Annotated[Unit, Acting("policy:activate")]) -> PolicyOut:
    return PolicyOut.model_validate(editions.activate(unit, edition_id))


@router.get("/reports", summary="信息披露 · Public reports")
def list_reports(unit: Annotated[Unit, Open()]) -> list[ReportOut]:
    return [ReportOut.model_validate(r) for r in reporting.published(unit.session)]


@router.post("/reports", status_code=201, summary="发布披露 · Publish a report")
def publish(body: ReportIn, unit: Annotated[Unit, Acting("report:publish")]) -> ReportOut:
    try:
        start, end = date.fromisoformat(body.period_from), date.fromisoformat(body.period_to)
    except ValueError as wrong:
        raise BadInput("report.period", Text("日期不存在", "There is no such date")) from wrong
    return ReportOut.model_validate(reporting.publish(unit, start, end))


@router.get("/platform", summary="平台状态 · State of the platform")
def platform_state(request: Request, unit: Annotated[Unit, Open()]) -> PlatformOut:
    """Open to everybody: answers before the scheduler is up and says what is still starting."""
    parts: dict[str, Any] = request.app.state.parts()
    return PlatformOut(
        version=request.app.version, demonstration=state.read(unit.session, state.DEMONSTRATION),
        tier=tiers.current(unit), clock=unit.now, parts=parts,
    )  # fmt: skip


@router.post("/platform/clock", summary="拨快演示时钟 · Move the demonstration clock")
def move_clock(body: ClockIn, unit: Annotated[Unit, Acting("clock:move")]) -> dict[str, str]:
    demonstration.move_clock(unit, body.to)
    return {"clock": body.to.isoformat()}


@router.post("/platform/isolation", status_code=204, summary="隔离等级决定 · Decide on a weaker tier")
def decide_tier(body: DecisionOnTierIn, unit: Annotated[Unit, Acting("isolation:decide")]) -> None:
    tiers.decide(unit, body.tier, body.reason)
