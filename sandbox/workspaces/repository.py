"""Tables and queries of workspaces and their statement history."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Text, insert, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from sandbox.kernel.database import Base, short
from sandbox.kernel.errors import NotFound
from sandbox.kernel.lifecycle import StatefulMixin


class Workspace(StatefulMixin, Base):
    """A merchant's isolated place to develop, for one application."""

    __tablename__ = "workspace"

    application_id: Mapped[str] = short(unique=True)
    tier: Mapped[str] = short(10)
    """isolation tier when it was opened"""


STATEMENT_CHARS = 20_000
"""of a statement's text, as the history keeps it"""


class Statement(Base):
    """One statement a merchant ran on simulated data: the text, never a result."""

    __tablename__ = "statement"

    id: Mapped[str] = short(primary_key=True)
    workspace_id: Mapped[str] = short(index=True)
    account_id: Mapped[str] = short()
    at: Mapped[datetime]
    text: Mapped[str] = mapped_column(Text)
    outcome: Mapped[str] = short(40)
    rows: Mapped[int]
    milliseconds: Mapped[int]


_KEEP = insert(Base.metadata.tables["statement"])


def keep(session: Session, statement: Statement) -> None:
    """Put a statement into the history."""
    session.execute(_KEEP, {c.key: getattr(statement, c.key) for c in _KEEP.table.c})


def get(session: Session, workspace_id: str) -> Workspace:
    """The workspace. Raises `NotFound`."""
    found = session.get(Workspace, workspace_id)
    if found is None:
        raise NotFound.of("workspace", workspace_id)
    return found


def of_application(session: Session, application_id: str) -> Workspace | None:
    return session.scalars(select(Workspace).where(Workspace.application_id == application_id)).first()


def every(session: Session) -> list[Workspace]:
    return list(session.scalars(select(Workspace).order_by(Workspace.created_at.desc())))
