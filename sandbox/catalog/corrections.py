"""整改单: what a department is asked to correct in its data, from the slip's issue to the delivery that is good.

A slip is made from the quality report of one version and does not change any more: counts, thresholds, places and
masked values, never a value of a record. It is answered by the next delivery and verified by that delivery's own
report: every rule of the policy that had failed must have run and passed (a rule that was not measured keeps it open).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Mapped, Session

from policies.text import Text
from sandbox.catalog import repository
from sandbox.catalog.repository import Resource, ResourceVersion, version
from sandbox.kernel import permissions
from sandbox.kernel.database import Base, short
from sandbox.kernel.errors import Conflict, InvalidTransition, NotFound
from sandbox.kernel.identity import Role
from sandbox.kernel.ids import new_id
from sandbox.kernel.lifecycle import Lifecycle, State, StatefulMixin, Transition
from sandbox.kernel.unit import Unit

CORRECTION = Lifecycle(
    noun="correction",
    title=Text("整改单", "Correction slip"),
    initial="draft",
    states=(
        State("draft", Text("待签发", "to be issued"), Role.OPERATOR),
        State("issued", Text("待整改", "to be corrected"), Role.DEPARTMENT, "warn"),
        State("answered", Text("已重新交付，待复核", "delivered again, being checked"), Role.SYSTEM, "active"),
        State("verified", Text("已整改", "corrected"), None, "good"),
        State("withdrawn", Text("已撤回", "withdrawn"), None, "neutral"),
    ),
    transitions=(
        Transition("issue", ("draft",), "issued", "correction:issue", Text("签发整改单", "issue the slip"),
                   guards=("something_failed",), clock="quality_correction"),
        Transition("answer", ("issued",), "answered", "correction:answer", Text("重新交付", "deliver again")),
        Transition("verify", ("answered",), "verified", "correction:verify",
                   Text("复核通过", "find it corrected")),
        Transition("reopen", ("answered",), "issued", "correction:verify",
                   Text("复核未通过，继续整改", "find it not corrected"), clock="quality_correction"),
        Transition("withdraw", ("issued", "answered"), "withdrawn", "correction:withdraw",
                   Text("撤回整改单", "withdraw the slip"), reason=True),
    ),
)  # fmt: skip
OPEN = ("issued", "answered")


class Correction(StatefulMixin, Base):
    """One slip. `organisation_id` is the department that is to correct its data."""

    __tablename__ = "correction"

    resource_id: Mapped[str] = short(index=True)
    version_number: Mapped[int]
    content: Mapped[dict[str, Any]]
    """the slip as issued: `content_of`"""
    verified_version: Mapped[int | None]


def content_of(resource: Resource, found: ResourceVersion) -> dict[str, Any]:
    """What the slip says: indicators and rules that fail with A, B and threshold, samples, quarantine by reason."""
    quality = found.quality
    verdict = quality.get("verdict", {})
    return {
        "resource": resource.name,
        "registration_code": resource.registration_code,
        "version": found.number,
        "file_name": found.file_name,
        "file_sha256": found.file_sha256,
        "rows_in": found.rows_in,
        "rows_quarantined": found.rows_quarantined,
        "policy": {key: verdict.get(key) for key in ("policy", "edition", "digest")},
        "failed": [run["rule"] for run in verdict.get("rules", []) if run["outcome"] != "pass"],
        "findings": verdict.get("findings", []),
        "indicators": [i for i in quality.get("indicators", []) if i.get("meets") is False],
        "rules": [r for r in quality.get("rules", []) if r.get("failing")],
        "quarantine": quality.get("quarantine", []),
    }


@CORRECTION.guard("something_failed")
def _something_failed(_unit: Unit, slip: Correction) -> None:
    if not slip.content["failed"]:
        raise InvalidTransition(
            "correction.nothing",
            Text("这个版本的质量已达到要求，无需整改", "This version meets every requirement: nothing is to correct"),
            id=slip.resource_id,
        )


def check_issue(unit: Unit, resource_id: str) -> Correction:
    """The slip of the version that waits (else the published one) as it would be issued; raises why it cannot be.

    One slip a resource is open at a time.
    """
    permissions.check(unit.actor, "correction:issue")
    resource = unit.session.get(Resource, resource_id)
    waiting_delivery = repository.pending(unit.session, resource_id)
    number = waiting_delivery.version if waiting_delivery is not None else None
    if resource is None or (number or resource.current_version) is None:
        raise NotFound.of("version", resource_id)
    if (waiting := open_slip(unit.session, resource_id)) is not None:
        raise Conflict(
            "correction.open",
            Text("这个资源已有一张未办结的整改单", "The resource has a slip that is still open"),
            fix=Text("请等待数源部门重新交付，或先撤回原单", "Wait for the delivery, or withdraw it first"),
            id=waiting.id,
        )
    found = version(unit.session, resource.id, number or resource.current_version or 0)
    slip = Correction(
        id=new_id("cor"), organisation_id=resource.organisation_id, state=CORRECTION.initial, state_since=unit.now,
        created_at=unit.now, resource_id=resource.id, version_number=found.number,
        content=content_of(resource, found), verified_version=None,
    )  # fmt: skip
    CORRECTION.check(unit, slip, "issue")
    return slip


def issue(unit: Unit, resource_id: str) -> Correction:
    """The operator asks the department to correct the current version."""
    slip = check_issue(unit, resource_id)
    unit.session.add(slip)
    unit.session.flush()
    CORRECTION.advance(
        unit, slip, "issue", resource=resource_id, version=slip.version_number, failed=slip.content["failed"]
    )
    return slip


def withdraw(unit: Unit, slip_id: str, reason: str) -> Correction:
    """The operator takes a slip back, with the reason."""
    slip = get(unit.session, slip_id)
    CORRECTION.advance(unit, slip, "withdraw", reason=reason)
    return slip


def answer(unit: Unit, resource_id: str) -> None:
    """The department has delivered again: an issued slip of the resource is answered."""
    slip = open_slip(unit.session, resource_id)
    if slip is not None and slip.state == "issued":
        CORRECTION.advance(unit, slip, "answer")


def judge(unit: Unit, resource_id: str, number: int | None, quality: Mapping[str, Any]) -> None:
    """The answer has been read: verified when every rule that had failed ran and passed, else open again.

    `number` is the new version; None when the delivery could not be taken in.
    """
    slip = open_slip(unit.session, resource_id)
    if slip is None or slip.state != "answered":
        return
    passed = {run["rule"] for run in quality.get("verdict", {}).get("rules", []) if run["outcome"] == "pass"}
    left = [rule for rule in slip.content["failed"] if rule not in passed]
    if number is None or left:
        CORRECTION.advance(unit, slip, "reopen", version=number, failed=left)
        return
    slip.verified_version = number
    CORRECTION.advance(unit, slip, "verify", version=number)


def get(session: Session, slip_id: str) -> Correction:
    """The slip. Raises `NotFound`."""
    slip = session.get(Correction, slip_id)
    if slip is None:
        raise NotFound.of("correction", slip_id)
    return slip


def read(unit: Unit, slip_id: str) -> Correction:
    """A slip, for the department it is for and for those who oversee."""
    slip = get(unit.session, slip_id)
    permissions.check(unit.actor, "correction:read", owner=slip.organisation_id)
    return slip


def open_slip(session: Session, resource_id: str) -> Correction | None:
    """The slip of the resource that is not settled yet."""
    statement = select(Correction).where(Correction.resource_id == resource_id, Correction.state.in_(OPEN))
    return session.scalars(statement).first()


def of_resource(session: Session, resource_id: str) -> list[Correction]:
    """All slips of a resource, newest first."""
    statement = select(Correction).where(Correction.resource_id == resource_id)
    return list(session.scalars(statement.order_by(Correction.created_at.desc(), Correction.id)))


def list_for(unit: Unit) -> list[Correction]:
    """Slips the actor may see: a department's own, or all; newest first."""
    permissions.check(unit.actor, "correction:read")
    statement = select(Correction).order_by(Correction.created_at.desc(), Correction.id)
    if permissions.PERMISSIONS["correction:read"][unit.actor.role] is permissions.Scope.OWN:
        statement = statement.where(Correction.organisation_id == unit.actor.organisation_id)
    return list(unit.session.scalars(statement))
