"""使用申请: use applications, approvals, agreements, grants."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter

from api.deps import Acting
from api.routes.shapes import ApplicationIn, ApplicationOut, ApprovalOut, DecisionIn, GrantOut
from sandbox.applications import repository, service
from sandbox.applications.repository import Application, Approval
from sandbox.kernel import clocks
from sandbox.kernel.unit import Unit

router = APIRouter(tags=["applications"])


def approval_out(unit: Unit, record: Approval) -> ApprovalOut:
    latest = next(iter(reversed(clocks.history(unit.session, "approval", record.id))), None)
    return ApprovalOut.from_record(unit, record, latest.due_on if latest else None)


def whole(unit: Unit, record: Application) -> ApplicationOut:
    approvals = [approval_out(unit, a) for a in repository.approvals(unit.session, record.id, record.round)]
    return ApplicationOut.from_record(unit, record, approvals, repository.grants(unit.session, record.id))


@router.get("/applications", summary="使用申请列表 · Use applications")
def list_applications(unit: Annotated[Unit, Acting("application:read")]) -> list[ApplicationOut]:
    return [ApplicationOut.from_record(unit, r) for r in service.list_for(unit)]


@router.post("/applications", status_code=201, summary="起草使用申请 · Draft an application")
def draft(body: ApplicationIn, unit: Annotated[Unit, Acting("application:draft")]) -> ApplicationOut:
    """One application names exactly one scenario; every column needs a reason."""
    return whole(unit, service.draft(unit, **body.model_dump()))


@router.get("/applications/{application_id}", summary="使用申请 · One application")
def read(application_id: str, unit: Annotated[Unit, Acting("application:read")]) -> ApplicationOut:
    return whole(unit, service.read(unit, application_id))


@router.post("/applications/{application_id}/revise", summary="修改草稿或退回的申请 · Change a draft or returned one")
def revise(
    application_id: str, body: ApplicationIn, unit: Annotated[Unit, Acting("application:draft")]
) -> ApplicationOut:
    return whole(unit, service.revise(unit, application_id, **body.model_dump()))


@router.post("/applications/{application_id}/submit", summary="提交 · Submit")
def submit(application_id: str, unit: Annotated[Unit, Acting("application:submit")]) -> ApplicationOut:
    return whole(unit, service.submit(unit, application_id))


@router.post(
    "/applications/{application_id}/check", summary="运营机构核查 · The operator's check: pass, return or reject"
)
def check(application_id: str, body: DecisionIn, unit: Annotated[Unit, Acting("application:check")]) -> ApplicationOut:
    return whole(unit, service.check(unit, application_id, body.decision, body.reason))


@router.post(
    "/approvals/{approval_id}/decision", summary="部门审核 · A department's approval: approve, return or reject"
)
def decide(approval_id: str, body: DecisionIn, unit: Annotated[Unit, Acting("application:approve")]) -> ApprovalOut:
    return approval_out(unit, service.decide(unit, approval_id, body.decision, body.reason))


@router.post("/applications/{application_id}/sign", summary="签署协议 · Sign the agreement")
def sign(application_id: str, unit: Annotated[Unit, Acting("agreement:sign")]) -> ApplicationOut:
    return whole(unit, service.sign(unit, application_id))


@router.post("/applications/{application_id}/withdraw", summary="撤回 · Withdraw")
def withdraw(application_id: str, unit: Annotated[Unit, Acting("application:withdraw")]) -> ApplicationOut:
    return whole(unit, service.withdraw(unit, application_id))


@router.post("/applications/{application_id}/close", summary="结束使用 · Close")
def close(application_id: str, body: DecisionIn, unit: Annotated[Unit, Acting("application:close")]) -> ApplicationOut:
    return whole(unit, service.stand(unit, application_id, "close", body.reason))


@router.post("/applications/{application_id}/standing", summary="暂停、恢复或撤销 · Suspend, resume or revoke")
def standing(
    application_id: str, body: DecisionIn, unit: Annotated[Unit, Acting("application:suspend")]
) -> ApplicationOut:
    return whole(unit, service.stand(unit, application_id, body.decision, body.reason))


@router.get("/grants/{grant_id}", summary="授权 · One grant")
def read_grant(grant_id: str, unit: Annotated[Unit, Acting("grant:read")]) -> GrantOut:
    return GrantOut.model_validate(service.read_grant(unit, grant_id))
