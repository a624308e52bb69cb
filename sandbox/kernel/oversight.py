"""What auditors and operators look at: events, the chain's proof, jobs."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import and_, or_, select

from sandbox.kernel import audit, permissions
from sandbox.kernel.audit import AuditEvent, ChainReport
from sandbox.kernel.jobs import Job

if TYPE_CHECKING:
    from sandbox.kernel.settings import Settings
    from sandbox.kernel.unit import Platform, Unit


def checkpoints_path(settings: Settings) -> Path:
    """Where signed checkpoints are kept, outside the database; copy this file away from time to time."""
    return settings.home / "audit" / "checkpoints.jsonl"


def events(unit: Unit, *, after: int = 0, limit: int = 100, object_id: str | None = None) -> list[AuditEvent]:
    """Events after sequence number `after`, oldest first. Looking is an event too."""
    permissions.check(unit.actor, "audit:read")
    statement = select(AuditEvent).where(AuditEvent.seq > after).order_by(AuditEvent.seq).limit(limit)
    if object_id is not None:
        statement = statement.where(AuditEvent.object_id == object_id)
    found = list(unit.session.scalars(statement))
    unit.audit("audit:read", "audit", (object_id or "log")[:64], rows=len(found))
    return found


def trail(unit: Unit, object_id: str) -> list[AuditEvent]:
    """What happened to one object, for a page whose viewer may read that object already."""
    statement = select(AuditEvent).where(AuditEvent.object_id == object_id).order_by(AuditEvent.seq)
    return list(unit.session.scalars(statement))


def verify_chain(unit: Unit) -> ChainReport:
    """Recompute the chain and compare it with every signed checkpoint."""
    permissions.check(unit.actor, "audit:verify")
    key = unit.platform.signing_key
    return audit.verify(unit.session, checkpoints_path(unit.settings), key.public_pem)


def seal(platform: Platform) -> None:
    """Sign the present end of the chain, if it has grown since the last signature."""
    with platform.system() as unit:
        audit.checkpoint(unit.session, checkpoints_path(platform.settings), platform.signing_key, unit.now)


def job_log(unit: Unit, job: Job, text: str = "", known: Collection[str] = (), limit: int = 500) -> list[AuditEvent]:
    """What the log says of a job, oldest first: its own events and what its attempts wrote. Looking is an event too.

    `text` narrows to events whose code, object or facts have it, or whose code is one of `known`.
    """
    permissions.check(unit.actor, "job:read")
    own = and_(AuditEvent.object_id == job.subject_id, AuditEvent.detail.contains(f'"job":"{job.id}"'))
    keys = [f"{job.id}:{number}" for number in range(1, job.attempt + 1)]
    statement = select(AuditEvent).where(or_(own, AuditEvent.request_id.in_(keys)))
    if text:
        columns = (AuditEvent.event, AuditEvent.object_id, AuditEvent.detail)
        said = (column.icontains(text, autoescape=True) for column in columns)
        statement = statement.where(or_(*said, AuditEvent.event.in_(known)))
    found = list(unit.session.scalars(statement.order_by(AuditEvent.seq.desc()).limit(limit)))[::-1]
    unit.audit("job:look", "job", job.id, rows=len(found))
    return found
