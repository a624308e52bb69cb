"""Tables and queries of export requests and their groups, reviews and releases."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint, select
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from sandbox.exports.model import UNDER_REVIEW
from sandbox.kernel.database import Base, short
from sandbox.kernel.errors import NotFound
from sandbox.kernel.lifecycle import StatefulMixin
from sandbox.products.repository import Artefact

ON_THEIR_WAY = ("frozen", "checking", *UNDER_REVIEW, "approved")
"""States of a file that was submitted and has neither left nor come back."""
NEVER_RELEASED = "canary IS NULL OR state NOT IN ('released', 'recalled', 'expired')"


class ExportGroup(Base):
    """What is asked for in one act: one file or several, under one purpose, population and controls."""

    __tablename__ = "export_group"

    id: Mapped[str] = short(primary_key=True)
    organisation_id: Mapped[str] = short(index=True)
    application_id: Mapped[str] = short(index=True)
    author_id: Mapped[str] = short()
    context: Mapped[dict[str, Any]]
    """what the author had to say for the reviewers: purpose, population, controls"""
    created_at: Mapped[datetime]


class ExportRequest(StatefulMixin, Base):
    """A merchant's request to take one artefact out: one file of its group."""

    __tablename__ = "export_request"

    application_id: Mapped[str] = short(index=True)
    artefact_id: Mapped[str] = short(index=True)
    title: Mapped[str] = short(300)
    remark: Mapped[str] = short(4000)
    audience: Mapped[str] = short(20)
    author_id: Mapped[str] = short()
    group_id: Mapped[str] = mapped_column(ForeignKey("export_group.id"), index=True)
    number: Mapped[int]
    """its place in the group, from 1"""
    frozen: Mapped[dict[str, Any] | None]
    """digests of everything that would leave, taken at submission"""
    verdict: Mapped[dict[str, Any] | None]
    stakes: Mapped[dict[str, Any] | None]
    """what decides how many officers review: see `sandbox.exports.review.Stakes`"""
    round: Mapped[int] = mapped_column(default=1)
    canary: Mapped[str | None] = short(80, nullable=True)
    """the planted leak this is, to measure reviewers; the database itself refuses its release"""
    canary_rule: Mapped[str | None] = short(40, nullable=True)
    """the rule a reviewer of a planted leak should think of"""

    group: Mapped[ExportGroup] = relationship(lazy="joined", innerjoin=True)

    __table_args__ = (CheckConstraint(NEVER_RELEASED, name="canary_never_released"),)

    @property
    def context(self) -> dict[str, Any]:
        """Purpose, population and controls, which all files of the group share."""
        return self.group.context


class Review(Base):
    """One officer's opinion on one round of a request; in a discussion it may change."""

    __tablename__ = "review"

    id: Mapped[str] = short(primary_key=True)
    request_id: Mapped[str] = short(index=True)
    round: Mapped[int]
    reviewer_id: Mapped[str] = short()
    decision: Mapped[str] = short(20)
    reason: Mapped[str] = short(4000)
    at: Mapped[datetime]
    verdict: Mapped[str] = short(64)
    """digest of the verdict the officer had before them"""

    __table_args__ = (UniqueConstraint("request_id", "round", "reviewer_id"),)


class Vote(Base):
    """What one reviewer thinks of one file in one round; a new round begins without votes."""

    __tablename__ = "export_vote"

    request_id: Mapped[str] = short(primary_key=True)
    round: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    reviewer_id: Mapped[str] = short(primary_key=True)
    artefact_id: Mapped[str] = short(primary_key=True)
    vote: Mapped[str] = short(20)
    at: Mapped[datetime]


class Comment(Base):
    """A remark on a request: among officers, or to its author, or the author's answer."""

    __tablename__ = "export_comment"

    id: Mapped[str] = short(primary_key=True)
    request_id: Mapped[str] = short(index=True)
    round: Mapped[int]
    writer_id: Mapped[str] = short()
    organisation_id: Mapped[str] = short()
    audience: Mapped[str] = short(20)
    text: Mapped[str] = short(4000)
    at: Mapped[datetime]


class Look(Base):
    """A look at unmasked content: who, why, until when."""

    __tablename__ = "export_look"

    id: Mapped[str] = short(primary_key=True)
    request_id: Mapped[str] = short(index=True)
    officer_id: Mapped[str] = short()
    reason: Mapped[str] = short(4000)
    at: Mapped[datetime]
    until: Mapped[datetime]


class Notice(Base):
    """Word of a release or a recall to one organisation it concerns; `seen_at` once somebody there has read it."""

    __tablename__ = "release_notice"

    release_id: Mapped[str] = short(primary_key=True)
    organisation_id: Mapped[str] = short(primary_key=True, index=True)
    kind: Mapped[str] = short(20, primary_key=True)
    request_id: Mapped[str] = short(index=True)
    resources: Mapped[list[Any]]
    """names of the organisation's resources that it rests on; empty for the recipient"""
    at: Mapped[datetime]
    seen_at: Mapped[datetime | None]


class RecallRequest(StatefulMixin, Base):
    """A department's wish that a release be recalled; `organisation_id` is the department."""

    __tablename__ = "recall_request"

    request_id: Mapped[str] = short(index=True)
    reason: Mapped[str] = short(4000)
    answer: Mapped[str] = short(4000)


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


def in_states(session: Session, states: Collection[str]) -> list[ExportRequest]:
    """Requests in one of `states`, newest first."""
    wanted = select(ExportRequest).where(ExportRequest.state.in_(states))
    return list(session.scalars(wanted.order_by(ExportRequest.created_at.desc())))


def reviews(session: Session, request_id: str, round_number: int | None = None) -> list[Review]:
    statement = select(Review).where(Review.request_id == request_id).order_by(Review.at)
    if round_number is not None:
        statement = statement.where(Review.round == round_number)
    return list(session.scalars(statement))


def group(session: Session, group_id: str) -> ExportGroup:
    """The group. Raises `NotFound`."""
    found = session.get(ExportGroup, group_id)
    if found is None:
        raise NotFound.of("export_group", group_id)
    return found


def together(session: Session, group_id: str) -> list[ExportRequest]:
    """The files of a group, in their order."""
    wanted = select(ExportRequest).where(ExportRequest.group_id == group_id)
    return list(session.scalars(wanted.order_by(ExportRequest.number)))


def waiting_files(session: Session, request: ExportRequest) -> list[tuple[str, Artefact]]:
    """(group, file) of every other request of the application on its way out."""
    wanted = select(ExportRequest.group_id, Artefact).join(Artefact, Artefact.id == ExportRequest.artefact_id).where(
        ExportRequest.application_id == request.application_id, ExportRequest.id != request.id,
        ExportRequest.state.in_(ON_THEIR_WAY), ExportRequest.canary.is_(None),
    )  # fmt: skip
    return list(session.execute(wanted).tuples())


def locked(session: Session, request_id: str) -> ExportRequest:
    """The request as it is now, held with its group until this transaction ends: officers who decide at once do so in
    turn, on whichever of its files."""
    (found,) = locked_all(session, [request_id])
    return found


def locked_all(session: Session, ids: Collection[str]) -> list[ExportRequest]:
    """The same for several, in the order of their ids; whoever locks does so in one order, so that nobody waits for
    somebody who waits for them."""
    found = [get(session, one) for one in sorted(set(ids))]
    for one in sorted({record.group_id for record in found}):
        session.refresh(group(session, one), with_for_update=True)
    for record in found:
        session.refresh(record, with_for_update=True)
    return found


def votes(session: Session, request_id: str, round_number: int) -> list[Vote]:
    wanted = select(Vote).where(Vote.request_id == request_id, Vote.round == round_number)
    return list(session.scalars(wanted.order_by(Vote.reviewer_id, Vote.artefact_id)))


def comments(session: Session, request_id: str) -> list[Comment]:
    wanted = select(Comment).where(Comment.request_id == request_id)
    return list(session.scalars(wanted.order_by(Comment.at, Comment.id)))


def looks(session: Session, request_id: str) -> list[Look]:
    return list(session.scalars(select(Look).where(Look.request_id == request_id).order_by(Look.at)))


def notices(session: Session, organisation_id: str) -> list[Notice]:
    wanted = select(Notice).where(Notice.organisation_id == organisation_id)
    return list(session.scalars(wanted.order_by(Notice.at.desc())))


def recall_requests(session: Session, request_id: str | None = None) -> list[RecallRequest]:
    wanted = select(RecallRequest).order_by(RecallRequest.created_at.desc())
    if request_id is not None:
        wanted = wanted.where(RecallRequest.request_id == request_id)
    return list(session.scalars(wanted))


def recall_request(session: Session, recall_id: str) -> RecallRequest:
    found = session.get(RecallRequest, recall_id)
    if found is None:
        raise NotFound.of("recall", recall_id)
    return found


def release_of(session: Session, request_id: str) -> Release | None:
    return session.scalars(select(Release).where(Release.request_id == request_id)).first()


def releases(session: Session, organisation_id: str | None = None) -> list[Release]:
    statement = select(Release).order_by(Release.released_at.desc())
    if organisation_id is not None:
        statement = statement.where(Release.organisation_id == organisation_id)
    return list(session.scalars(statement))


def releases_of_application(session: Session, application_id: str) -> list[Release]:
    return list(session.scalars(select(Release).where(Release.application_id == application_id)))
