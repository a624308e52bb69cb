"""Tables and queries of export requests, reviews and releases."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import UniqueConstraint, select
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
