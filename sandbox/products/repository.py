"""Tables and queries of runs and artefacts."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Mapped, Session

from sandbox.kernel.database import Base, short
from sandbox.kernel.errors import NotFound
from sandbox.kernel.lifecycle import StatefulMixin


class Run(StatefulMixin, Base):
    """One job spec executed on real data, unseen. The merchant gets state and buckets, nothing else."""

    __tablename__ = "run"

    workspace_id: Mapped[str] = short(index=True)
    application_id: Mapped[str] = short(index=True)
    spec: Mapped[dict[str, Any]]
    spec_digest: Mapped[str] = short(80)
    dry_run: Mapped[dict[str, Any]]
    """what the same spec gave on the simulated twin: columns, rows"""
    outcome: Mapped[dict[str, Any] | None]
    """state, step, error class, duration and row buckets"""
    artefact_id: Mapped[str | None] = short(nullable=True)
    tier: Mapped[str] = short(10)
    family: Mapped[str] = short(index=True)
    """the first run of the near-equal jobs this one belongs to"""
    shape: Mapped[dict[str, Any]]
    """the job without its constants, for comparing"""
    counted: Mapped[bool]
    """against the quotas: a run that never got past simulated data told nothing"""


class RunGrant(Base):
    """A grant that a run uses."""

    __tablename__ = "run_grant"

    run_id: Mapped[str] = short(primary_key=True)
    grant_id: Mapped[str] = short(primary_key=True, index=True)


class Artefact(Base):
    """A product's bytes, inside, by digest; and where they came from."""

    __tablename__ = "artefact"

    id: Mapped[str] = short(primary_key=True)
    organisation_id: Mapped[str] = short(index=True)
    run_id: Mapped[str] = short(index=True)
    name: Mapped[str] = short(200)
    sha256: Mapped[str] = short(64)
    bytes: Mapped[int]
    rows: Mapped[int]
    columns: Mapped[list[Any]]
    lineage: Mapped[dict[str, Any]]
    """spec digest, snapshots, grants, resource versions, levels, entity kinds"""
    created_at: Mapped[datetime]


def get(session: Session, run_id: str) -> Run:
    """The run. Raises `NotFound`."""
    found = session.get(Run, run_id)
    if found is None:
        raise NotFound.of("run", run_id)
    return found


def artefact(session: Session, artefact_id: str) -> Artefact:
    found = session.get(Artefact, artefact_id)
    if found is None:
        raise NotFound.of("artefact", artefact_id)
    return found


def of_workspace(session: Session, workspace_id: str) -> list[Run]:
    return list(session.scalars(select(Run).where(Run.workspace_id == workspace_id).order_by(Run.created_at.desc())))


def grant_count_since(session: Session, grant_id: str, moment: datetime) -> int:
    """Runs that used a grant since `moment`, failed and cancelled ones too (the quota's measure)."""
    statement = select(func.count()).select_from(Run).join(RunGrant, RunGrant.run_id == Run.id)
    statement = statement.where(RunGrant.grant_id == grant_id, Run.created_at >= moment, Run.counted)
    return session.scalar(statement) or 0


def of_organisation_since(session: Session, organisation_id: str, moment: datetime, limit: int) -> list[Run]:
    """The newest runs of an organisation, over all its applications."""
    statement = select(Run).where(Run.organisation_id == organisation_id, Run.created_at >= moment)
    return list(session.scalars(statement.order_by(Run.created_at.desc(), Run.id.desc()).limit(limit)))


def of_family(session: Session, family: str, until: datetime) -> list[Run]:
    """The runs of a family asked for up to `until`, newest first."""
    statement = select(Run).where(Run.family == family, Run.created_at <= until)
    return list(session.scalars(statement.order_by(Run.created_at.desc(), Run.id.desc())))


def ended_before(session: Session, run_ids: Collection[str], moment: datetime) -> list[str]:
    """Which of these runs ended before `moment`."""
    statement = select(Run.id).where(Run.id.in_(run_ids), Run.state != "requested", Run.state_since < moment)
    return list(session.scalars(statement.order_by(Run.id)))
