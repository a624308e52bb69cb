"""出域: export requests, reviews, releases."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import FileResponse

from api.deps import Acting
from api.routes.shapes import DecisionIn, ExportIn, ExportOut, ReasonIn, ReviseIn
from policies.verdict import Verdict
from sandbox.exports import service
from sandbox.exports.gate import Reader, verdict_for
from sandbox.exports.repository import ExportRequest
from sandbox.kernel import permissions
from sandbox.kernel.unit import Unit

router = APIRouter(tags=["exports"])


def verdict_of(unit: Unit, record: ExportRequest) -> dict[str, Any] | None:
    """The verdict in the words meant for this actor: officers see values and thresholds, merchants never."""
    if record.verdict is None:
        return None
    audience: Reader = "officer" if permissions.permitted(unit.actor, "export:evidence") else "merchant"
    return verdict_for(Verdict.from_dict(record.verdict), audience).as_dict()


def whole(unit: Unit, record: ExportRequest) -> ExportOut:
    out = ExportOut.from_record(unit, record, verdict_of(unit, record))
    if not permissions.permitted(unit.actor, "export:evidence"):
        out.frozen = None  # a digest and a size are enough to guess a small table that has not been released
    return out


@router.get("/exports", summary="出域申请列表 · Export requests")
def list_exports(unit: Annotated[Unit, Acting("export:read")]) -> list[ExportOut]:
    return [whole(unit, r) for r in service.list_for(unit)]


@router.post("/exports", status_code=201, summary="起草出域申请 · Draft a request")
def draft(body: ExportIn, unit: Annotated[Unit, Acting("export:draft")]) -> ExportOut:
    return whole(unit, service.draft(unit, **body.model_dump()))


@router.get("/exports/{request_id}", summary="出域申请 · One request")
def read(request_id: str, unit: Annotated[Unit, Acting("export:read")]) -> ExportOut:
    return whole(unit, service.read(unit, request_id))


@router.post("/exports/{request_id}/submit", summary="冻结并提交 · Freeze and submit")
def submit(request_id: str, unit: Annotated[Unit, Acting("export:submit")]) -> ExportOut:
    return whole(unit, service.submit(unit, request_id))


@router.post("/exports/{request_id}/revise", summary="修改 · Revise after a block or return")
def revise(request_id: str, body: ReviseIn, unit: Annotated[Unit, Acting("export:draft")]) -> ExportOut:
    return whole(unit, service.revise(unit, request_id, **body.model_dump()))


@router.post("/exports/{request_id}/review", summary="复核 · Review: approve, return or reject")
def review(request_id: str, body: DecisionIn, unit: Annotated[Unit, Acting("export:review")]) -> ExportOut:
    """Two different officers approve; nobody overrides a block."""
    return whole(unit, service.review(unit, request_id, body.decision, body.reason))


@router.post("/exports/{request_id}/recall", summary="召回 · Recall")
def recall(request_id: str, body: ReasonIn, unit: Annotated[Unit, Acting("export:recall")]) -> ExportOut:
    return whole(unit, service.recall(unit, request_id, body.reason))


@router.post("/exports/{request_id}/withdraw", summary="撤回 · Withdraw")
def withdraw(request_id: str, unit: Annotated[Unit, Acting("export:withdraw")]) -> ExportOut:
    return whole(unit, service.withdraw(unit, request_id))


@router.get("/exports/{request_id}/package", response_class=FileResponse, summary="下载放行包 · Download the package")
def package(request_id: str, unit: Annotated[Unit, Acting("release:download")]) -> FileResponse:
    """The signed package; each download is counted and audited."""
    path = service.download(unit, request_id)
    return FileResponse(path, media_type="application/zip", filename=f"release-{request_id}.zip")
