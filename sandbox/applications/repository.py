"""Tables and queries of use applications, approvals and grants."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from sandbox.kernel.database import Base, short
from sandbox.kernel.errors import NotFound
from sandbox.kernel.lifecycle import StatefulMixin


class Application(StatefulMixin, Base):
    """A merchant's application to use some columns of some resources for one scenario."""

    __tablename__ = "application"

    scenario: Mapped[str] = short(300)
    purpose: Mapped[str] = short(4000)
    product_form: Mapped[str] = short(40)
    audience: Mapped[str] = short(20)
    term_months: Mapped[int]
    requested: Mapped[dict[str, Any]]
    """resource id → {"columns": {column: why it is needed}, "rows": [condition on the rows (rowrule)]}"""
    department_ids: Mapped[list[Any]]
    signed_at: Mapped[datetime | None]
    agreement: Mapped[dict[str, Any] | None]
    expires_at: Mapped[datetime | None]
    round: Mapped[int] = mapped_column(default=1)
    disposal: Mapped[dict[str, Any] | None] = mapped_column(default=None)
    """what went with its grants once it ended: the pseudonyms' key, what the workspace made of real rows"""

    @property
    def parties(self) -> Collection[str]:
        return tuple(self.department_ids)


class Approval(StatefulMixin, Base):
    """One department's decision on one application; `organisation_id` is the department."""

    __tablename__ = "approval"

    application_id: Mapped[str] = short(index=True)
    round: Mapped[int]
    reason: Mapped[str] = short(4000)

    @property
    def parties(self) -> Collection[str]:
        return (self.organisation_id,)


class Grant(Base):
    """The right to use columns of one resource version under one application. `organisation_id` is the merchant."""

    __tablename__ = "grant"

    id: Mapped[str] = short(primary_key=True)
    application_id: Mapped[str] = short(index=True)
    organisation_id: Mapped[str] = short(index=True)
    department_id: Mapped[str] = short(index=True)
    resource_id: Mapped[str] = short(index=True)
    version: Mapped[int]
    columns: Mapped[list[Any]]
    rows: Mapped[list[Any]] = mapped_column(default=list)
    """conditions on the rows (rowrule); none means every row"""
    expires_at: Mapped[datetime]
    snapshot: Mapped[dict[str, Any] | None]
    """binding (real: for jobs; rows: what may be read; twin) → its snapshot's digest, columns, rows, sha256, bytes"""
    ended_at: Mapped[datetime | None]
    disposal: Mapped[dict[str, Any] | None]


def get(session: Session, application_id: str) -> Application:
    """The application. Raises `NotFound`."""
    found = session.get(Application, application_id)
    if found is None:
        raise NotFound.of("application", application_id)
    return found


def every(session: Session) -> list[Application]:
    return list(session.scalars(select(Application).order_by(Application.created_at.desc())))


def approvals(session: Session, application_id: str, round_number: int | None = None) -> list[Approval]:
    statement = select(Approval).where(Approval.application_id == application_id).order_by(Approval.created_at)
    if round_number is not None:
        statement = statement.where(Approval.round == round_number)
    return list(session.scalars(statement))


def approval(session: Session, approval_id: str) -> Approval:
    found = session.get(Approval, approval_id)
    if found is None:
        raise NotFound.of("approval", approval_id)
    return found


_GRANTS = select(Grant).where(Grant.application_id == bindparam("application")).order_by(Grant.id)


def grants(session: Session, application_id: str) -> list[Grant]:
    return list(session.scalars(_GRANTS, {"application": application_id}))


def grant(session: Session, grant_id: str) -> Grant:
    found = session.get(Grant, grant_id)
    if found is None:
        raise NotFound.of("grant", grant_id)
    return found


def snapshot_digests(session: Session, *, except_application: str) -> set[str]:
    """Digests of snapshots that grants of other applications still use."""
    rows = session.scalars(select(Grant).where(Grant.ended_at.is_(None), Grant.application_id != except_application))
    return {binding["digest"] for g in rows if g.snapshot for binding in g.snapshot.values()}
