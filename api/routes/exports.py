"""出域: export requests, reviews, releases."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse

from api.deps import Acting, Open
from api.routes.shapes import (
    BatchIn,
    CommentIn,
    DecisionIn,
    ExportIn,
    ExportOut,
    NoticeOut,
    ReasonIn,
    RecallOut,
    ReviewOut,
    ReviseIn,
    VoteIn,
)
from policies.text import Text
from policies.verdict import Verdict
from sandbox.exports import batches, drafting, groups, listing, notices, reviewing, service
from sandbox.exports import review as review_rules
from sandbox.exports.gate import Reader, verdict_for
from sandbox.exports.repository import ExportRequest
from sandbox.exports.review import words_for
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
    words = words_for(unit.actor, record)
    said = {key: word.zh if isinstance(word, Text) else word for key, word in words.items()}
    out.title, out.remark, out.context = said.pop("title"), said.pop("remark"), said
    return out


@router.get("/exports", summary="出域申请列表 · Export requests")
def list_exports(unit: Annotated[Unit, Acting("export:read")]) -> list[ExportOut]:
    return [whole(unit, r) for r in service.list_for(unit)]


@router.post("/exports", status_code=201, summary="起草出域申请 · Draft a request")
def draft(body: ExportIn, unit: Annotated[Unit, Acting("export:draft")]) -> ExportOut:
    return whole(unit, drafting.draft(unit, **body.model_dump()))


@router.get("/exports/{request_id}", summary="出域申请 · One request")
def read(request_id: str, unit: Annotated[Unit, Acting("export:read")]) -> ExportOut:
    return whole(unit, service.read(unit, request_id))


@router.post("/exports/{request_id}/submit", summary="冻结并提交 · Freeze and submit")
def submit(request_id: str, unit: Annotated[Unit, Acting("export:submit")]) -> ExportOut:
    return whole(unit, service.submit(unit, request_id))


@router.post("/exports/{request_id}/revise", summary="修改 · Revise after a block or return")
def revise(request_id: str, body: ReviseIn, unit: Annotated[Unit, Acting("export:draft")]) -> ExportOut:
    return whole(unit, drafting.revise(unit, request_id, **body.model_dump()))


@router.post("/exports/{request_id}/review", summary="提交复核意见 · Submit an opinion")
def review(request_id: str, body: DecisionIn, unit: Annotated[Unit, Acting("export:review")]) -> ExportOut:
    """As many different officers as the policy asks for; blind to each other; nobody overrides a block."""
    return whole(unit, reviewing.review(unit, request_id, body.decision, body.reason))


@router.get("/exports/{request_id}/review", summary="复核进展 · Where the review stands")
def review_of(request_id: str, unit: Annotated[Unit, Acting("export:read")]) -> ReviewOut:
    """Opinions and remarks as this reader may see them: blind until all are in, officers' names for officers only."""
    record = service.read(unit, request_id)
    given, count = reviewing.progress(unit, record)
    inside = permissions.permitted(unit.actor, "export:evidence")
    return ReviewOut(
        given=given, needed=count, votes=reviewing.own_votes(unit, record),
        reasons=[t.as_dict() for t in reviewing.needed_for(unit, record).words] if inside else [],
        opinions=[{"round": o.round, "name": o.name, "decision": o.decision, "reason": o.reason, "at": o.at,
                   "votes": dict(o.votes)} for o in reviewing.opinions(unit, record)],
        comments=[{"id": c.id, "round": c.round, "name": name, "audience": c.audience, "text": c.text, "at": c.at}
                  for c, name in reviewing.comments(unit, record)],
    )  # fmt: skip


@router.post("/exports/{request_id}/votes", summary="对文件表决 · Vote on one file")
def vote(request_id: str, body: VoteIn, unit: Annotated[Unit, Acting("export:review")]) -> VoteIn:
    reviewing.vote(unit, request_id, body.artefact_id, body.vote)
    return body


@router.post("/exports/{request_id}/comments", status_code=201, summary="留言 · Remark to officers or to the author")
def comment(request_id: str, body: CommentIn, unit: Annotated[Unit, Acting("export:comment")]) -> CommentIn:
    reviewing.comment(unit, request_id, body.text, body.audience)
    return body


@router.post("/exports/{request_id}/early-return", summary="提前退回 · Return before all opinions are in")
def early_return(request_id: str, body: ReasonIn, unit: Annotated[Unit, Acting("export:review")]) -> ExportOut:
    """Opinions and votes of this round count no more."""
    return whole(unit, reviewing.early_return(unit, request_id, body.reason))


@router.post("/exports/{request_id}/third", summary="请第三人裁定 · Call a third officer")
def third(request_id: str, body: ReasonIn, unit: Annotated[Unit, Acting("export:review")]) -> ExportOut:
    return whole(unit, reviewing.call_third(unit, request_id, body.reason))


@router.post("/exports/{request_id}/look", summary="查看未遮盖内容 · Look at unmasked content, with a reason")
def look(request_id: str, body: ReasonIn, unit: Annotated[Unit, Acting("export:evidence")]) -> dict[str, Any]:
    """On record, and over after the minutes that the policy allows."""
    return {"until": reviewing.look(unit, request_id, body.reason).until}


@router.get("/export-queue", summary="复核队列 · What waits for officers, by deadline and risk")
def queue(unit: Annotated[Unit, Acting("export:evidence")]) -> list[dict[str, Any]]:
    """A line for each group, with its files that wait; the line's day is the earliest of theirs."""
    lines = groups.queue(unit)
    seen = batches.opened(unit, [record for line in lines for record in line.files])
    return [
        {"group": line.group_id, "due_on": line.due_on, "risk": line.risk, "count": len(line.files),
         "files": [_waiting(unit, record, seen) for record in line.files]}
        for line in lines
    ]  # fmt: skip


def _waiting(unit: Unit, record: ExportRequest, seen: Collection[str]) -> dict[str, Any]:
    given, count = reviewing.progress(unit, record)
    refused = reviewing.may_review(unit, record)
    return {
        "id": record.id, "title": whole(unit, record).title, "state": record.state, "risk": review_rules.risk(record),
        "kind": batches.kind(record), "opened": record.id in seen, "given": given, "needed": count,
        "mine": refused is None, "why_not": refused.as_dict() if refused else None,
    }  # fmt: skip


@router.post("/export-queue/opinions", summary="对同类申请一并提交意见 · One opinion on several of a kind")
def opinions(body: BatchIn, unit: Annotated[Unit, Acting("export:review")]) -> list[ExportOut]:
    """On all or on none: equal form, level, audience and findings, each file opened, and none left to people."""
    return [whole(unit, r) for r in batches.decide(unit, body.ids, body.decision, body.reason)]


@router.post("/exports/{request_id}/recall", summary="召回 · Recall")
def recall(request_id: str, body: ReasonIn, unit: Annotated[Unit, Acting("export:recall")]) -> ExportOut:
    return whole(unit, service.recall(unit, request_id, body.reason))


@router.post("/exports/{request_id}/recall-requests", status_code=201, summary="请求召回 · Ask for a recall")
def ask_recall(request_id: str, body: ReasonIn, unit: Annotated[Unit, Acting("recall:ask")]) -> RecallOut:
    return RecallOut.from_record(unit, notices.ask_recall(unit, request_id, body.reason))


@router.get("/recall-requests", summary="召回请求 · Requests for recall")
def recall_requests(unit: Annotated[Unit, Acting("recall:read")]) -> list[RecallOut]:
    return [RecallOut.from_record(unit, r) for r in notices.recall_requests(unit)]


@router.post("/recall-requests/{recall_id}/decision", summary="决定召回请求 · Grant or refuse a recall")
def decide_recall(recall_id: str, body: DecisionIn, unit: Annotated[Unit, Acting("recall:decide")]) -> RecallOut:
    return RecallOut.from_record(unit, notices.decide_recall(unit, recall_id, body.decision, body.reason))


@router.get("/release-notices", summary="放行与召回通知 · Notices to departments and recipients")
def release_notices(unit: Annotated[Unit, Acting("release:notice")]) -> list[NoticeOut]:
    found = [
        NoticeOut(request_id=record.id, release=made.id, kind=notice.kind, title=record.title, state=record.state,
                  resources=notice.resources, at=notice.at)
        for notice, record, made in notices.inbox(unit)
    ]  # fmt: skip
    notices.seen(unit)
    return found


@router.get("/recalls", summary="已召回的放行 · Recalled releases, for everybody")
def recalls(unit: Annotated[Unit, Open()]) -> list[dict[str, Any]]:
    return notices.recalled(unit)


@router.get("/canaries", summary="检验件与识别率 · Planted cases and how reviewers did")
def planted(unit: Annotated[Unit, Acting("canary:read")]) -> dict[str, Any]:
    return reviewing.catches(unit)


@router.post("/exports/{request_id}/withdraw", summary="撤回 · Withdraw")
def withdraw(request_id: str, unit: Annotated[Unit, Acting("export:withdraw")]) -> ExportOut:
    return whole(unit, service.withdraw(unit, request_id))


@router.get("/exports/{request_id}/package", response_class=FileResponse, summary="下载放行包 · Download the package")
def package(request_id: str, unit: Annotated[Unit, Acting("release:download")]) -> FileResponse:
    """The signed package; each download is counted and audited."""
    path = service.download(unit, request_id)
    return FileResponse(path, media_type="application/zip", filename=f"release-{request_id}.zip")


@router.get("/exports/{request_id}/listing", response_class=Response, summary="登记与上架材料 · For a data exchange")
def listed(request_id: str, unit: Annotated[Unit, Acting("release:download")]) -> Response:
    named = {"content-disposition": f'attachment; filename="listing-{request_id}.zip"'}
    return Response(listing.package(unit, request_id), media_type="application/zip", headers=named)


@router.get("/platform/key", response_class=Response, summary="平台公钥 · The key that signs releases")
def public_key(unit: Annotated[Unit, Open()]) -> Response:
    """Trust this one and not the key inside a package."""
    return Response(unit.platform.signing_key.public_pem, media_type="application/x-pem-file")
