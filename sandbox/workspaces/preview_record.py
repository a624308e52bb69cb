"""Which aggregate previews were asked: the question, what became of it, how many groups were shown. Never a value."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Mapped, Session

from sandbox.kernel.database import Base, short

STARTED, NOT_RUN = "started", "not_run"


class Preview(Base):
    """One question about a granted table, put on record before it runs."""

    __tablename__ = "preview"

    id: Mapped[str] = short(primary_key=True)
    workspace_id: Mapped[str] = short(index=True)
    grant_id: Mapped[str] = short(index=True)
    account_id: Mapped[str] = short()
    at: Mapped[datetime]
    table_name: Mapped[str] = short(300)
    asked: Mapped[dict[str, Any]]
    edition: Mapped[str] = short(40)
    outcome: Mapped[str] = short(40)
    shown: Mapped[int]
    """groups that were shown; those dropped are not counted"""
    milliseconds: Mapped[int]


def asked_since(session: Session, grant_id: str, since: datetime) -> int:
    """How many of the grant count; one that could not begin (no place, a tier too weak) does not."""
    counted = select(func.count()).select_from(Preview).where(Preview.grant_id == grant_id, Preview.at > since)
    return session.scalar(counted.where(Preview.outcome != NOT_RUN)) or 0


def previews(session: Session, workspace_id: str, limit: int = 50) -> list[Preview]:
    """Newest first."""
    found = select(Preview).where(Preview.workspace_id == workspace_id).order_by(Preview.at.desc(), Preview.id.desc())
    return list(session.scalars(found.limit(limit)))
