"""出域: several files in one act, by the merchant who asks for them and the officers who review them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter
from pydantic import Field

from api.deps import Acting
from api.routes.exports import whole
from api.routes.shapes import ContextIn, ExportOut, In, Line, Out, Prose, ReasonIn
from policies.text import Text
from sandbox.exports import drafting, groups, reviewing
from sandbox.exports.repository import ExportRequest
from sandbox.kernel import permissions
from sandbox.kernel.unit import Unit

router = APIRouter(tags=["exports"])


class GroupFileIn(In):
    """One file that is asked for, with what leaves with it."""

    artefact_id: Line = Field(examples=["art-7kq2m9x4c8ab"])
    title: Line = Field(examples=["各区门诊量月报"])
    remark: Prose = Field(default="", examples=["按月汇总"])


class GroupIn(In):
    files: list[GroupFileIn] = Field(
        min_length=1, max_length=drafting.MOST,
        examples=[[{"artefact_id": "art-7kq2m9x4c8ab", "title": "各区门诊量月报", "remark": "按月汇总"}]],
    )  # fmt: skip
    audience: str = Field(examples=["public"])
    context: ContextIn = Field(description="各文件共用的用途、总体与控制措施 · shared by all files")


class OpinionIn(In):
    decision: Literal["approve", "return", "reject"] = Field(examples=["approve"])
    reason: Prose = Field(default="", description="empty: the words of the act")


class OpinionsIn(In):
    opinions: dict[Line, OpinionIn] = Field(
        min_length=1, description="request → opinion",
        examples=[{"exp-7kq2m9x4c8ab": {"decision": "approve", "reason": ""}}],
    )  # fmt: skip
    reason: Prose = Field(default="", examples=["逐件核对"])


class VotesIn(In):
    votes: dict[Line, Literal["approve", "changes", "undecided"]] = Field(
        min_length=1, description="request → vote", examples=[{"exp-7kq2m9x4c8ab": "approve"}]
    )  # fmt: skip


class ReturnIn(ReasonIn):
    ids: list[Line] = Field(default=[], description="the requests to send back; none named: all under review")


class GroupOut(Out):
    """A group as this reader may see it."""

    id: str
    application_id: str
    audience: str
    created_at: datetime
    context: dict[str, str]
    needed: int = Field(description="officers who must agree on each file")
    reasons: list[dict[str, str]] = Field(description="why more than the ordinary number; for officers and auditors")
    files: list[ExportOut]

    @classmethod
    def of(cls, unit: Unit, records: list[ExportRequest]) -> Self:
        first, said = records[0], groups.context_for(unit, records)
        needed = reviewing.needed_for(unit, first)
        inside = permissions.permitted(unit.actor, "export:evidence")
        return cls(
            id=first.group_id, application_id=first.application_id, audience=first.audience,
            created_at=first.created_at, needed=needed.count,
            context={key: word.zh if isinstance(word, Text) else word for key, word in said.items()},
            reasons=[t.as_dict() for t in needed.words] if inside else [], files=[whole(unit, r) for r in records],
        )  # fmt: skip


def _shown(unit: Unit, group_id: str) -> GroupOut:
    return GroupOut.of(unit, groups.read(unit, group_id))


@router.post("/export-groups", status_code=201, summary="一并起草多个文件的出域申请 · Draft several in one act")
def draft(body: GroupIn, unit: Annotated[Unit, Acting("export:draft")]) -> GroupOut:
    """All of one application; they share purpose, population and controls."""
    asked = [drafting.Asked(one.artefact_id, one.title, one.remark) for one in body.files]
    made = drafting.draft_together(unit, asked, audience=body.audience, context=body.context.model_dump())
    return GroupOut.of(unit, made)


@router.get("/export-groups/{group_id}", summary="一组出域申请 · One group")
def read(group_id: str, unit: Annotated[Unit, Acting("export:read")]) -> GroupOut:
    return _shown(unit, group_id)


@router.post("/export-groups/{group_id}/submit", summary="冻结并提交组内草稿 · Freeze and submit the group's drafts")
def submit(group_id: str, unit: Annotated[Unit, Acting("export:submit")]) -> GroupOut:
    groups.submit(unit, group_id)
    return _shown(unit, group_id)


@router.post("/export-groups/{group_id}/withdraw", summary="撤回 · Withdraw what can be taken back")
def withdraw(group_id: str, unit: Annotated[Unit, Acting("export:withdraw")]) -> GroupOut:
    groups.withdraw(unit, group_id)
    return _shown(unit, group_id)


@router.post("/export-groups/{group_id}/votes", summary="对组内文件表决 · Vote on files of the group")
def vote(group_id: str, body: VotesIn, unit: Annotated[Unit, Acting("export:review")]) -> dict[str, Any]:
    groups.vote(unit, group_id, body.votes)
    return {"votes": body.votes}


@router.post("/export-groups/{group_id}/opinions", summary="对组内文件提交意见 · Opinions on files of the group")
def opinions(group_id: str, body: OpinionsIn, unit: Annotated[Unit, Acting("export:review")]) -> GroupOut:
    """On all that are named or on none; each opened by this officer; what the machine left to people is approved with
    words of its own."""
    said = {one: groups.Opinion(given.decision, given.reason) for one, given in body.opinions.items()}
    groups.decide(unit, group_id, said, body.reason)
    return _shown(unit, group_id)


@router.post("/export-groups/{group_id}/early-return", summary="提前退回所选或整组 · Return files early")
def early_return(group_id: str, body: ReturnIn, unit: Annotated[Unit, Acting("export:review")]) -> GroupOut:
    groups.early_return(unit, group_id, body.ids, body.reason)
    return _shown(unit, group_id)
