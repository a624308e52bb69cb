"""Tables and queries of export requests, reviews, releases and the ledger of released cells."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import LargeBinary, UniqueConstraint, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from sandbox.kernel.database import Base, short
from sandbox.kernel.errors import NotFound
from sandbox.kernel.lifecycle import StatefulMixin


class ExportRequest(StatefulMixin, Base):
    """A merchant's request to take one artefact out."""

    __tablename__ = "export_request"

    application_id: Mapped[str] = short(index=True)
    artefact_id: Mapped[str] = short(index=True)
    title: Mapped[str] = short(300)
    remark: Mapped[str] = short(4000)
    audience: Mapped[str] = short(20)
    author_id: Mapped[str] = short()
    frozen: Mapped[dict[str, Any] | None]
    """digests of everything that would leave, taken at submission"""
    verdict: Mapped[dict[str, Any] | None]
    round: Mapped[int] = mapped_column(default=1)


class Review(Base):
    """One officer's decision on one round of a request."""

    __tablename__ = "review"

    id: Mapped[str] = short(primary_key=True)
    request_id: Mapped[str] = short(index=True)
    round: Mapped[int]
    reviewer_id: Mapped[str] = short()
    decision: Mapped[str] = short(20)
    reason: Mapped[str] = short(4000)
    at: Mapped[datetime]

    __table_args__ = (UniqueConstraint("request_id", "round", "reviewer_id"),)


class Release(Base):
    """A signed package that may leave."""

    __tablename__ = "release"

    id: Mapped[str] = short(primary_key=True)
    request_id: Mapped[str] = short(unique=True)
    application_id: Mapped[str] = short(index=True)
    organisation_id: Mapped[str] = short(index=True)
    audience: Mapped[str] = short(20)
    sha256: Mapped[str] = short(64)
    bytes: Mapped[int]
    manifest: Mapped[dict[str, Any]]
    released_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    downloads: Mapped[int] = mapped_column(default=0)
    download_limit: Mapped[int]


class LedgerCell(Base):
    """A number that has left, with the set of entities it rests on. A recall never removes a row."""

    __tablename__ = "ledger_cell"

    id: Mapped[str] = short(primary_key=True)
    release_id: Mapped[str] = short(index=True)
    organisation_id: Mapped[str] = short(index=True)
    audience: Mapped[str] = short(20)
    place: Mapped[str] = short(600)
    kind: Mapped[str] = short(80, index=True)
    variable: Mapped[str] = short(600)
    op: Mapped[str] = short(20)
    n: Mapped[int]
    bitmap: Mapped[str] = short(80)
    members: Mapped[bytes] = mapped_column(LargeBinary)
    low: Mapped[float | None]
    high: Mapped[float | None]


def get(session: Session, request_id: str) -> ExportRequest:
    """The request. Raises `NotFound`."""
    found = session.get(ExportRequest, request_id)
    if found is None:
        raise NotFound.of("export", request_id)
    return found


def every(session: Session) -> list[ExportRequest]:
    return list(session.scalars(select(ExportRequest).order_by(ExportRequest.created_at.desc())))


def reviews(session: Session, request_id: str, round_number: int | None = None) -> list[Review]:
    statement = select(Review).where(Review.request_id == request_id).order_by(Review.at)
    if round_number is not None:
        statement = statement.where(Review.round == round_number)
    return list(session.scalars(statement))


def release_of(session: Session, request_id: str) -> Release | None:
    return session.scalars(select(Release).where(Release.request_id == request_id)).first()


def releases(session: Session, organisation_id: str | None = None) -> list[Release]:
    statement = select(Release).order_by(Release.released_at.desc())
    if organisation_id is not None:
        statement = statement.where(Release.organisation_id == organisation_id)
    return list(session.scalars(statement))


def releases_of_application(session: Session, application_id: str) -> list[Release]:
    return list(session.scalars(select(Release).where(Release.application_id == application_id)))


def ledger(session: Session, organisation_id: str, kinds: Collection[str]) -> list[LedgerCell]:
    """Cells over these kinds of entities that this merchant has received or that are public, in a stable order."""
    seen = (LedgerCell.organisation_id == organisation_id) | (LedgerCell.audience == "public")
    statement = select(LedgerCell).where(LedgerCell.kind.in_(sorted(kinds)), seen).order_by(LedgerCell.id)
    return list(session.scalars(statement))
