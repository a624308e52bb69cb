"""Tables and queries of what a merchant makes and brings: scripts, their runs, uploads."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Text, UniqueConstraint, bindparam, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from sandbox.kernel.database import Base, short
from sandbox.kernel.errors import NotFound
from sandbox.kernel.lifecycle import StatefulMixin


class Script(Base):
    """A saved script; names are unique within a workspace."""

    __tablename__ = "script"
    __table_args__ = (UniqueConstraint("workspace_id", "name"),)

    id: Mapped[str] = short(primary_key=True)
    workspace_id: Mapped[str] = short(index=True)
    organisation_id: Mapped[str] = short()
    name: Mapped[str] = short(80)
    source: Mapped[str] = mapped_column(Text)
    saved_by: Mapped[str] = short()
    saved_at: Mapped[datetime]


class ScriptRun(Base):
    """One run of a script on simulated data: its text, how it ended, what it left; what it printed is a file."""

    __tablename__ = "script_run"

    id: Mapped[str] = short(primary_key=True)
    workspace_id: Mapped[str] = short(index=True)
    organisation_id: Mapped[str] = short()
    account_id: Mapped[str] = short()
    script_id: Mapped[str | None] = short(nullable=True)
    name: Mapped[str] = short(80)
    source: Mapped[str] = mapped_column(Text)
    started_at: Mapped[datetime] = mapped_column(index=True)
    until: Mapped[datetime]
    """when the platform would have ended it; past that with no outcome it was lost with its process"""
    cancel_asked: Mapped[bool] = mapped_column(default=False)
    queued: Mapped[int] = mapped_column(default=0)
    """place in the machine's queue, 1 is next; 0 once it runs"""
    outcome: Mapped[str | None] = short(40, nullable=True)
    """None while it runs, "done", or a kind of failure"""
    milliseconds: Mapped[int | None]
    truncated: Mapped[bool] = mapped_column(default=False)
    error: Mapped[dict[str, Any] | None]
    files: Mapped[list[Any]]
    """files written or changed: id, path, kind, bytes"""


class Upload(StatefulMixin, Base):
    """A merchant's own table and where it comes from. `name` is its table's name in the workspace."""

    __tablename__ = "upload"

    workspace_id: Mapped[str] = short(index=True)
    name: Mapped[str] = short(64)
    version: Mapped[int]
    file_name: Mapped[str] = short(200)
    sheet: Mapped[str] = short(100)
    sha256: Mapped[str] = short()
    size: Mapped[int]
    provenance: Mapped[dict[str, Any]]
    uploaded_by: Mapped[str] = short()
    job_id: Mapped[str | None] = short(nullable=True)
    table_sha256: Mapped[str | None] = short(nullable=True)
    report: Mapped[dict[str, Any] | None]
    """rows, columns (name, type, missing, distinct), formula-like cells, how it was read"""
    found: Mapped[list[Any]]
    """personal data the check found: column, entity, cells, share, decision, masked examples"""
    reasons: Mapped[list[Any]]
    """why the operator has to decide: "contradiction", "identifiers" """
    refusal: Mapped[dict[str, Any] | None]
    """why it was not taken: code, text, fix"""


def script(session: Session, script_id: str) -> Script:
    """Raises `NotFound`."""
    found = session.get(Script, script_id)
    if found is None:
        raise NotFound.of("script", script_id)
    return found


def scripts(session: Session, workspace_id: str) -> list[Script]:
    """Saved scripts, last saved first."""
    wanted = select(Script).where(Script.workspace_id == workspace_id).order_by(Script.saved_at.desc())
    return list(session.scalars(wanted))


def script_run(session: Session, run_id: str) -> ScriptRun:
    """Raises `NotFound`."""
    found = session.get(ScriptRun, run_id)
    if found is None:
        raise NotFound.of("script_run", run_id)
    return found


def script_runs(session: Session, workspace_id: str) -> list[ScriptRun]:
    """Runs of a workspace, newest first."""
    wanted = select(ScriptRun).where(ScriptRun.workspace_id == workspace_id)
    return list(session.scalars(wanted.order_by(ScriptRun.started_at.desc(), ScriptRun.id.desc())))


def running(session: Session, now: datetime, workspace_id: str) -> ScriptRun | None:
    """The run of a workspace that waits or runs, if there is one."""
    going = select(ScriptRun).where(ScriptRun.outcome.is_(None), ScriptRun.until > now)
    return session.scalars(going.where(ScriptRun.workspace_id == workspace_id)).first()


def upload(session: Session, upload_id: str) -> Upload:
    """Raises `NotFound`."""
    found = session.get(Upload, upload_id)
    if found is None:
        raise NotFound.of("upload", upload_id)
    return found


def uploads(session: Session, workspace_id: str) -> list[Upload]:
    """Uploads of a workspace, newest first."""
    wanted = select(Upload).where(Upload.workspace_id == workspace_id)
    return list(session.scalars(wanted.order_by(Upload.created_at.desc(), Upload.id.desc())))


_BROUGHT = Base.metadata.tables["upload"].c
_ACCEPTED = (
    select(_BROUGHT.id, _BROUGHT.name)
    .where(_BROUGHT.workspace_id == bindparam("workspace"), _BROUGHT.state == "accepted")
    .order_by(_BROUGHT.created_at.desc(), _BROUGHT.id.desc())
)


def accepted_uploads(session: Session, workspace_id: str) -> list[tuple[str, str]]:
    """Number and table name of what a workspace may work with, newest first: asked before every statement."""
    return [(row.id, row.name) for row in session.execute(_ACCEPTED, {"workspace": workspace_id})]


def every_upload(session: Session) -> list[Upload]:
    """Uploads of all workspaces, newest first."""
    return list(session.scalars(select(Upload).order_by(Upload.created_at.desc(), Upload.id.desc())))
