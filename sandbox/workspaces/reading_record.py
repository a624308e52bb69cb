"""What was read of granted rows: the statement, which grants it touched, how many rows. Never a result."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Text, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from sandbox.kernel.database import Base, short


class RowRead(Base):
    """One statement on granted real rows."""

    __tablename__ = "row_read"

    id: Mapped[str] = short(primary_key=True)
    workspace_id: Mapped[str] = short(index=True)
    account_id: Mapped[str] = short()
    at: Mapped[datetime]
    text: Mapped[str] = mapped_column(Text)
    outcome: Mapped[str] = short(40)
    tables: Mapped[list[Any]]
    rows: Mapped[int]
    milliseconds: Mapped[int]


class RowReadGrant(Base):
    """The rows that one statement counts against one grant's daily number."""

    __tablename__ = "row_read_grant"

    read_id: Mapped[str] = short(primary_key=True)
    grant_id: Mapped[str] = short(primary_key=True, index=True)
    at: Mapped[datetime]
    rows: Mapped[int]


def statements_since(session: Session, workspace_id: str, since: datetime) -> int:
    counted = select(func.count()).select_from(RowRead)
    return session.scalar(counted.where(RowRead.workspace_id == workspace_id, RowRead.at > since)) or 0


def rows_since(session: Session, grant_ids: Collection[str], since: datetime) -> dict[str, int]:
    """Grant id → rows read since then, 0 for none."""
    summed = select(RowReadGrant.grant_id, func.sum(RowReadGrant.rows)).group_by(RowReadGrant.grant_id)
    found = session.execute(summed.where(RowReadGrant.grant_id.in_(grant_ids), RowReadGrant.at > since))
    return dict.fromkeys(grant_ids, 0) | {str(grant): int(rows) for grant, rows in found}


def reads(session: Session, workspace_id: str, limit: int = 50) -> list[RowRead]:
    """Newest first."""
    found = select(RowRead).where(RowRead.workspace_id == workspace_id).order_by(RowRead.at.desc(), RowRead.id)
    return list(session.scalars(found.limit(limit)))
