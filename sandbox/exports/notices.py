"""Who is told of a release or a recall, and how a department asks for a recall."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from policies.text import Text
from sandbox.applications import repository as applications
from sandbox.catalog import repository as catalogue
from sandbox.exports import ledger, repository
from sandbox.exports.model import EXPORT, RECALL
from sandbox.exports.repository import ExportRequest, Notice, RecallRequest, Release
from sandbox.kernel import permissions
from sandbox.kernel.errors import BadInput, Conflict
from sandbox.kernel.identity import SYSTEM, Actor, Role
from sandbox.kernel.ids import new_id
from sandbox.kernel.unit import Unit
from sandbox.products import repository as products
from sandbox.products.spec import parse


def touched(unit: Unit, record: ExportRequest) -> dict[str, list[str]]:
    """Department → names of its resources that the product of this request rests on."""
    run = products.get(unit.session, products.artefact(unit.session, record.artefact_id).run_id)
    used = {i.grant for i in parse(run.spec).inputs.values() if i.grant}
    found: dict[str, list[str]] = defaultdict(list)
    for grant in applications.grants(unit.session, record.application_id):
        if grant.id in used:
            found[grant.department_id].append(catalogue.get(unit.session, grant.resource_id).name)
    return {department: sorted(set(names)) for department, names in found.items()}


def _tell(unit: Unit, made: Release, organisation: str, kind: str, resources: list[str]) -> None:
    unit.session.add(
        Notice(release_id=made.id, organisation_id=organisation, kind=kind, request_id=made.request_id,
               resources=resources, at=unit.now, seen_at=None)
    )  # fmt: skip
    unit.audit("release:notice", "release", made.id, organisation=organisation, kind=kind)


def tell_departments(unit: Unit, record: ExportRequest, made: Release) -> None:
    """Every department whose data the release touches learns of it in the transaction that releases it."""
    for department, names in sorted(touched(unit, record).items()):
        _tell(unit, made, department, "released", names)
    unit.session.flush()


def carry_out_recall(unit: Unit, record: ExportRequest, reason: str, **detail: str) -> None:
    """Recall a release: downloads stop, the ledger notes it and keeps its cells, recipient and departments learn."""
    EXPORT.advance(unit, record, "recall", reason=reason, **detail)
    made = repository.release_of(unit.session, record.id)
    if made is None:
        return
    ledger.recalled(unit.session, made.id, unit.now)
    _tell(unit, made, record.organisation_id, "recalled", [])
    for department, names in sorted(touched(unit, record).items()):
        _tell(unit, made, department, "recalled", names)
    unit.session.flush()


def inbox(unit: Unit) -> list[tuple[Notice, ExportRequest, Release]]:
    """The notices of the own organisation, newest first, each with its request and release."""
    permissions.check(unit.actor, "release:notice")
    found = []
    for notice in repository.notices(unit.session, unit.actor.organisation_id):
        record = repository.get(unit.session, notice.request_id)
        made = repository.release_of(unit.session, record.id)
        assert made is not None, "a notice is written with its release"
        found.append((notice, record, made))
    return found


def unread(unit: Unit) -> int:
    """Notices nobody of the own organisation has seen."""
    if not permissions.permitted(unit.actor, "release:notice"):
        return 0
    return sum(n.seen_at is None for n in repository.notices(unit.session, unit.actor.organisation_id))


def seen(unit: Unit) -> None:
    """Mark the own organisation's notices as read; who read them first is on record."""
    for notice in repository.notices(unit.session, unit.actor.organisation_id):
        if notice.seen_at is None:
            notice.seen_at = unit.now
            unit.audit("release:seen", "release", notice.release_id, kind=notice.kind)


def _told(unit: Unit, record: ExportRequest) -> bool:
    mine = repository.notices(unit.session, unit.actor.organisation_id)
    return any(n.request_id == record.id and n.kind == "released" for n in mine)


def ask_recall(unit: Unit, request_id: str, reason: str) -> RecallRequest:
    """A department asks that a release which touches its data be recalled."""
    permissions.check(unit.actor, "recall:ask")
    record = repository.get(unit.session, request_id)
    if not _told(unit, record):
        raise permissions.out_of_reach("recall:ask")
    if not reason.strip():
        raise BadInput("lifecycle.reason_missing", Text("请求召回必须填写理由", "Asking for a recall needs a reason"),
                       fix=Text("请写明理由后重新提交", "Write the reason and submit again"))  # fmt: skip
    if record.state not in EXPORT.transition("recall").sources:
        raise Conflict("recall.over", Text("该产品已不在放行状态", "The product is not released any more"))
    if any(r.state == "asked" and r.organisation_id == unit.actor.organisation_id
           for r in repository.recall_requests(unit.session, record.id)):  # fmt: skip
        raise Conflict("recall.asked", Text("已经提出过召回请求，正在等待决定", "A request is waiting already"))
    made = RecallRequest(
        id=new_id("rcl"), organisation_id=unit.actor.organisation_id, state=RECALL.initial, state_since=unit.now,
        created_at=unit.now, request_id=record.id, reason=reason.strip(), answer="",
    )  # fmt: skip
    unit.session.add(made)
    unit.session.flush()
    unit.audit("recall:ask", "export", record.id, recall=made.id, reason=reason.strip())
    return made


def decide_recall(unit: Unit, recall_id: str, decision: str, reason: str) -> RecallRequest:
    """Operator or compliance `grant` or `refuse` a department's request; a grant recalls the release at once."""
    asked = repository.recall_request(unit.session, recall_id)
    if decision not in ("grant", "refuse"):
        raise BadInput("recall.decision", Text("决定应为同意召回或不予召回", "Decide grant or refuse"))
    RECALL.advance(unit, asked, decision, reason=reason, request=asked.request_id)
    asked.answer = reason.strip()
    record = repository.get(unit.session, asked.request_id)
    if decision == "grant" and record.state in EXPORT.transition("recall").sources:
        carry_out_recall(unit.acting_as(_for(unit.actor)), record, reason, request=asked.id)
    return asked


def _for(actor: Actor) -> Actor:
    """Officers recall themselves; what an operator grants is carried out by the platform."""
    return actor if actor.role is Role.COMPLIANCE else SYSTEM


def recall_requests(unit: Unit) -> list[RecallRequest]:
    """All of them for those who decide and for auditors, the own ones for a department."""
    permissions.check(unit.actor, "recall:read")
    return [r for r in repository.recall_requests(unit.session)
            if permissions.permitted(unit.actor, "recall:read", owner=r.organisation_id)]  # fmt: skip


def recalled(unit: Unit) -> list[dict[str, Any]]:
    """Recalled releases, for everybody: what it was called, when it left and when it was recalled. No reasons."""
    found = []
    for record in repository.every(unit.session):
        made = repository.release_of(unit.session, record.id) if record.state == "recalled" else None
        if made is not None:
            found.append({"release": made.id, "title": record.title, "released_at": made.released_at,
                          "recalled_at": record.state_since, "package": made.sha256})  # fmt: skip
    return found
