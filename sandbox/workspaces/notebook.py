"""What a merchant keeps of its SQL: the history of statements that were run, and queries saved under a name.

Texts only, never a result. The history writes itself; a saved query belongs to the workspace and its people share it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Text as LongText
from sqlalchemy import UniqueConstraint, func, select
from sqlalchemy.orm import Mapped, mapped_column

from policies.text import Text
from sandbox.kernel import accounts, editions, permissions
from sandbox.kernel.database import Base, short
from sandbox.kernel.errors import BadInput, Conflict, LimitExceeded, NotFound
from sandbox.kernel.ids import new_id
from sandbox.kernel.unit import Unit
from sandbox.workspaces import repository, service
from sandbox.workspaces.repository import Statement

NAME_CHARS, NOTE_CHARS, TEXT_CHARS = 80, 500, 100_000


class SavedQuery(Base):
    """A statement kept under a name, shared by the people of its workspace."""

    __tablename__ = "saved_query"

    id: Mapped[str] = short(primary_key=True)
    workspace_id: Mapped[str] = short(index=True)
    author_id: Mapped[str] = short()
    name: Mapped[str] = short(NAME_CHARS)
    note: Mapped[str] = short(NOTE_CHARS)
    text: Mapped[str] = mapped_column(LongText)
    created_at: Mapped[datetime]
    changed_at: Mapped[datetime]

    __table_args__ = (UniqueConstraint("workspace_id", "name"),)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the history, with the name of who ran it."""

    statement: Statement
    by: str


@dataclass(frozen=True, slots=True)
class History:
    """A page of the history, newest first; `total` counts all that match."""

    entries: Sequence[Entry]
    total: int


def history(
    unit: Unit, workspace_id: str, *, search: str = "", outcome: str = "", mine: bool = False, offset: int = 0,
    limit: int = 50,
) -> History:  # fmt: skip
    """Statements whose text holds `search`, of one outcome ("ok", "failed" for any other, or a kind), of everybody in
    the workspace or only the asker's own."""
    service.read(unit, workspace_id)
    wanted = select(Statement).where(Statement.workspace_id == workspace_id)
    if search:
        wanted = wanted.where(Statement.text.icontains(search, autoescape=True))
    if outcome:
        wanted = wanted.where(Statement.outcome != "ok" if outcome == "failed" else Statement.outcome == outcome)
    if mine:
        wanted = wanted.where(Statement.account_id == unit.actor.id)
    total = unit.session.scalar(select(func.count()).select_from(wanted.subquery())) or 0
    page = wanted.order_by(Statement.at.desc(), Statement.id.desc()).offset(offset).limit(limit)
    found = list(unit.session.scalars(page))
    names = {key: unit.session.get(accounts.Account, key) for key in {s.account_id for s in found}}
    return History([Entry(s, n.name if (n := names[s.account_id]) else "") for s in found], total)


def statement(unit: Unit, workspace_id: str, statement_id: str) -> Statement | None:
    """One statement of this workspace's history."""
    service.read(unit, workspace_id)
    found = unit.session.get(Statement, statement_id)
    return found if found is not None and found.workspace_id == workspace_id else None


def saved(unit: Unit, workspace_id: str) -> list[SavedQuery]:
    """The workspace's saved queries by name; the merchant's own affair."""
    _own(unit, workspace_id)
    found = select(SavedQuery).where(SavedQuery.workspace_id == workspace_id).order_by(SavedQuery.name)
    return list(unit.session.scalars(found))


def read(unit: Unit, workspace_id: str, query_id: str) -> SavedQuery:
    """One saved query. Raises `NotFound`."""
    _own(unit, workspace_id)
    found = unit.session.get(SavedQuery, query_id)
    if found is None or found.workspace_id != workspace_id:
        raise NotFound.of("query", query_id)
    return found


def save(unit: Unit, workspace_id: str, *, name: str, note: str, text: str) -> SavedQuery:
    """Keep `text` under a name that no other of the workspace has. Raises BadInput, Conflict, LimitExceeded."""
    service.require_usable(unit, workspace_id, "workspace:query")
    most = editions.in_force(unit, "workspace").by_check("saved_queries").parameters.per_workspace
    others = saved(unit, workspace_id)
    if len(others) >= most:
        raise LimitExceeded(
            "query.too_many", Text(f"最多保存 {most} 个查询", f"At most {most} queries are kept"),
            fix=Text("请先删除不再使用的", "Delete those you no longer use"),
        )  # fmt: skip
    made = SavedQuery(
        id=new_id("qry"), workspace_id=workspace_id, author_id=unit.actor.id, created_at=unit.now, changed_at=unit.now,
        **_checked(others, name, note, text),
    )  # fmt: skip
    unit.session.add(made)
    unit.session.flush()
    return made


def change(unit: Unit, workspace_id: str, query_id: str, *, name: str, note: str, text: str) -> SavedQuery:
    """Give a saved query another name, note or text. Raises as `save` does, and `NotFound`."""
    service.require_usable(unit, workspace_id, "workspace:query")
    found = read(unit, workspace_id, query_id)
    others = [q for q in saved(unit, workspace_id) if q.id != query_id]
    for key, value in _checked(others, name, note, text).items():
        setattr(found, key, value)
    found.changed_at = unit.now
    return found


def delete(unit: Unit, workspace_id: str, query_id: str) -> None:
    """Forget a saved query. Raises `NotFound`."""
    service.require_usable(unit, workspace_id, "workspace:query")
    unit.session.delete(read(unit, workspace_id, query_id))


def _own(unit: Unit, workspace_id: str) -> None:
    workspace = repository.get(unit.session, workspace_id)
    permissions.check(unit.actor, "workspace:query", owner=workspace.organisation_id)


def _checked(others: Sequence[SavedQuery], name: str, note: str, text: str) -> dict[str, str]:
    name, note = " ".join(name.split()), note.strip()
    if not name or len(name) > NAME_CHARS or not name.isprintable():
        raise _unfit("name", f"名称须为 1 到 {NAME_CHARS} 个字", f"The name has 1 to {NAME_CHARS} characters")
    if len(note) > NOTE_CHARS:
        raise _unfit("note", f"备注最多 {NOTE_CHARS} 个字", f"The note has at most {NOTE_CHARS} characters")
    if not text.strip() or len(text) > TEXT_CHARS or "\x00" in text:
        raise _unfit("sql", f"语句须为 1 到 {TEXT_CHARS} 个字", f"The statement has 1 to {TEXT_CHARS} characters")
    if any(other.name == name for other in others):
        raise Conflict(
            "query.name_taken", Text(f"已有名为“{name}”的查询", f"There is a query named “{name}” already"),
            fix=Text("请换个名称，或修改原来的那个", "Choose another name, or change that one"),
        )  # fmt: skip
    return {"name": name, "note": note, "text": text}


def _unfit(field: str, zh: str, en: str) -> BadInput:
    return BadInput("query.unfit", Text(zh, en), field=field)
