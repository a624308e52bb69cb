"""Tables and queries of runs and artefacts."""

from __future__ import annotations

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


def count_since(session: Session, application_id: str, moment: datetime) -> int:
    """Runs asked for under one application since `moment` (the quota's measure)."""
    statement = select(func.count()).where(Run.application_id == application_id, Run.created_at >= moment)
    return session.scalar(statement) or 0
