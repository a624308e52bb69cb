"""真实数据运行: jobs on real data, unseen."""

from __future__ import annotations

from typing import Annotated, Any, Self

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.deps import Acting
from api.routes.shapes import In, Prose, RunIn, RunOut
from policies.text import Text
from sandbox.kernel.unit import Unit
from sandbox.products import plan, reports, service, spec, spec_schema
from sandbox.products.model import RUN
from sandbox.products.reports import Report
from sandbox.products.repository import Run

router = APIRouter(tags=["runs"])


class NearOut(BaseModel):
    """A run among near-equal ones of the same organisation."""

    number: int = Field(description="the how many-th within 24 hours")
    total: int = Field(description="within the policy's window")
    before: str | None = Field(description="the run before it")
    changes: list[dict[str, str]] = Field(description="how it differs from that run, constants included")


class OneRunOut(RunOut):
    """One run with its steps, what no machine can prove of it, and where it stands among near-equal ones."""

    spec: dict[str, Any]
    steps: list[str]
    beyond_proof: list[str] = Field(description="parts that keep its product from passing an export by machine")
    near: NearOut

    @classmethod
    def whole(cls, unit: Unit, record: Run) -> Self:
        parsed, near = spec.parse(record.spec), service.standing(unit, record)
        changes: list[Text] = list(near.changes)
        return cls.of(
            unit, record, RUN, steps=plan.step_names(parsed), beyond_proof=parsed.beyond_proof,
            near=NearOut(number=near.number, total=near.total, before=near.before.id if near.before else None,
                         changes=[c.as_dict() for c in changes]),
        )  # fmt: skip


class LookIn(In):
    reason: Prose = Field(examples=["工单 2026-118：作业反复失败"])


class ReportOut(BaseModel):
    """What the engine said in one jail; for operators."""

    on: str
    steps: list[str]
    report: str
    full: str
    seconds: float

    @classmethod
    def of(cls, report: Report) -> Self:
        return cls(on=report.on, steps=list(report.steps), report=report.report, full=report.full,
                   seconds=report.seconds)  # fmt: skip


@router.get("/job-schema", summary="作业说明的 JSON Schema · JSON schema of a job")
def job_schema(unit: Annotated[Unit, Acting("catalogue:browse")]) -> dict[str, Any]:
    """For editors: completion and errors while a job is written."""
    return spec_schema.json_schema()


@router.post("/workspaces/{workspace_id}/runs", status_code=202, summary="在真实数据上运行 · Run on real data, unseen")
def start_run(workspace_id: str, body: RunIn, unit: Annotated[Unit, Acting("run:start")]) -> RunOut:
    """The same spec first runs on the simulated twin, then on real data; nothing but state and buckets comes back."""
    return RunOut.from_record(unit, service.start_run(unit, workspace_id, body.spec))


@router.get("/workspaces/{workspace_id}/runs", summary="运行列表 · Runs")
def list_runs(workspace_id: str, unit: Annotated[Unit, Acting("run:read")]) -> list[RunOut]:
    return [RunOut.from_record(unit, r) for r in service.runs(unit, workspace_id)]


@router.get("/runs/{run_id}", summary="运行 · One run")
def read_run(run_id: str, unit: Annotated[Unit, Acting("run:read")]) -> OneRunOut:
    return OneRunOut.whole(unit, service.read_run(unit, run_id))


@router.post("/runs/{run_id}/cancel", summary="取消运行 · Cancel a run")
def cancel_run(run_id: str, unit: Annotated[Unit, Acting("run:cancel")]) -> RunOut:
    """Ends it at whatever stage; it leaves nothing behind and is counted like any other."""
    return RunOut.from_record(unit, service.cancel_run(unit, run_id))


@router.post("/runs/{run_id}/reports", summary="查看报错原文 · The engine's own words, for operators")
def look(run_id: str, body: LookIn, unit: Annotated[Unit, Acting("run:diagnose")]) -> list[ReportOut]:
    """May quote real data. Each look needs a reason and is an audit event."""
    return [ReportOut.of(report) for report in reports.look(unit, run_id, body.reason)]
