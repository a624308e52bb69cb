"""Several requests of one kind under one opinion: what makes them alike, and what an officer must have seen before."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import select

from policies.text import Text
from policies.verdict import Outcome
from sandbox.exports import repository, reviewing
from sandbox.exports.repository import ExportRequest
from sandbox.kernel import permissions
from sandbox.kernel.audit import AuditEvent
from sandbox.kernel.errors import BadInput, InvalidTransition
from sandbox.kernel.unit import Unit

MOST = 20
"""Requests that one opinion may cover: about what somebody looks at in a sitting."""

LOOKED = "export:preview"


def kind(record: ExportRequest) -> tuple[Any, ...]:
    """What requests must share to be decided together: form, level, audience, and all that the machine found."""
    stakes, verdict = record.stakes or {}, record.verdict or {}
    found = tuple(sorted({f["rule"] for f in verdict.get("findings", ())}))
    return (stakes.get("form"), stakes.get("level"), record.audience, verdict.get("outcome"), verdict.get("edition"),
            found)  # fmt: skip


def opened(unit: Unit, records: Collection[ExportRequest]) -> set[str]:
    """Requests whose present file this officer has opened; a file of an earlier round does not count."""
    files = {r.id: (r.frozen or {}).get("file") or (r.frozen or {}).get("artefact") for r in records}
    wanted = select(AuditEvent).where(
        AuditEvent.event == LOOKED, AuditEvent.actor_id == unit.actor.id, AuditEvent.object_id.in_(files)
    )
    return {e.object_id for e in unit.session.scalars(wanted) if e.facts.get("artefact") == files[e.object_id]}


def decide(unit: Unit, ids: Sequence[str], decision: str, reason: str) -> list[ExportRequest]:
    """Give one opinion on several requests, on all or on none.

    Raises `BadInput` where they are not of one kind, more than `MOST`, or to be approved though the machine left
    something to people: such a thing is judged by itself. Raises `InvalidTransition` where one was not opened.
    """
    permissions.check(unit.actor, "export:review")
    records = repository.locked_all(unit.session, ids)
    if not records or len(records) > MOST:
        raise BadInput("batch.count", Text(f"请选择 1 至 {MOST} 件", f"Choose 1 to {MOST}"))
    if len({kind(r) for r in records}) > 1:
        raise BadInput(
            "batch.kinds", Text("只能对同一类申请一并提交意见：形态、级别、使用范围和机器核查结果都要相同",
                                "One opinion covers one kind: equal form, level, audience and machine findings"),
            fix=Text("请按类别筛选后再选择", "Filter by kind, then choose"),
        )  # fmt: skip
    if decision == "approve" and (records[0].verdict or {}).get("outcome") != Outcome.PASS:
        raise BadInput(
            "batch.flagged", Text("机器转人工的申请须逐件判断，不能批量同意",
                                  "What the machine left to people is judged one by one"),
            fix=Text("请打开每一件分别提交意见", "Open each and decide there"),
        )  # fmt: skip
    seen = opened(unit, records)
    if unseen := [r.id for r in records if r.id not in seen]:
        raise InvalidTransition(
            "batch.unseen", Text(f"还有 {len(unseen)} 件的文件没有打开看过", f"{len(unseen)} files were not opened"),
            fix=Text("请先打开查看，再一并提交意见", "Open them first"), ids=unseen,
        )  # fmt: skip
    return [reviewing.review(unit, r.id, decision, reason) for r in records]
