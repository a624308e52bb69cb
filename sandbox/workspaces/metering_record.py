"""Tables of metering: the ledger of use, the last measure of storage, requests for a higher quota."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, Index, Text, and_, bindparam, func, insert, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from sandbox.kernel.database import Base, short
from sandbox.kernel.errors import NotFound
from sandbox.kernel.lifecycle import StatefulMixin
from sandbox.workspaces.repository import Workspace


class UseEntry(Base):
    """One measurement, never changed (triggers refuse it). Whole numbers only, so that every sum is exact.

    Units: microseconds of processor time, MB (2²⁰ bytes) × milliseconds of memory, KB (2¹⁰ bytes) × seconds of storage.
    The number is the kind and what was used (`query:stm_…`): the same use is never counted twice.
    """

    __tablename__ = "use_entry"
    __table_args__ = (Index("ix_use_entry_workspace_id", "workspace_id", "day"),)

    id: Mapped[str] = short(120, primary_key=True)
    workspace_id: Mapped[str] = short()
    organisation_id: Mapped[str] = short()
    kind: Mapped[str] = short(10)
    at: Mapped[datetime]
    day: Mapped[str] = short(10, index=True)
    """day of the city in which it ended"""
    edition: Mapped[str] = short(40)
    """edition of the workspace rules, and with it the price list"""
    cpu_us: Mapped[int] = mapped_column(BigInteger)
    memory_mb_ms: Mapped[int] = mapped_column(BigInteger)
    storage_kb_s: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int] = mapped_column(BigInteger)
    bytes: Mapped[int] = mapped_column(BigInteger)
    measured_cpu_us: Mapped[int] = mapped_column(BigInteger)
    """what the meter said: for runs on real data coarser in `cpu_us`, which the merchant sees"""
    measured_memory_mb_ms: Mapped[int] = mapped_column(BigInteger)


class UseDay(Base):
    """Running sums of a workspace's day, kept with each entry, so that a quota costs one look however long the day.

    The ledger is the truth: the sums equal a recount of it, and statements are never computed from here.
    """

    __tablename__ = "use_day"

    workspace_id: Mapped[str] = short(primary_key=True)
    day: Mapped[str] = short(10, primary_key=True)
    cpu_us: Mapped[int] = mapped_column(BigInteger)
    memory_mb_ms: Mapped[int] = mapped_column(BigInteger)
    queries: Mapped[int]
    reads: Mapped[int]
    scripts: Mapped[int]


class StorageMark(Base):
    """What a workspace held when it was last measured; the time since is not in the ledger yet."""

    __tablename__ = "storage_mark"

    workspace_id: Mapped[str] = short(primary_key=True)
    at: Mapped[datetime]
    kb: Mapped[int] = mapped_column(BigInteger)


class QuotaRequest(StatefulMixin, Base):
    """A merchant asks for a higher quota of one measure; the operator grants an amount until a day."""

    __tablename__ = "quota_request"

    workspace_id: Mapped[str] = short(index=True)
    author_id: Mapped[str] = short()
    measure: Mapped[str] = short(10)
    wanted: Mapped[int]
    """in the measure's unit of the rules, e.g. minutes"""
    reason: Mapped[str] = mapped_column(Text)
    granted: Mapped[int | None]
    until: Mapped[str | None] = short(10, nullable=True)
    """last day on which it holds"""
    answer: Mapped[str] = mapped_column(Text)


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over ledger entries, in the ledger's units; `counts` by kind."""

    counts: dict[str, int]
    cpu_us: int = 0
    memory_mb_ms: int = 0
    storage_kb_s: int = 0
    rows: int = 0
    bytes: int = 0
    measured_cpu_us: int = 0


_SUMMED = ("cpu_us", "memory_mb_ms", "storage_kb_s", "rows", "bytes", "measured_cpu_us")


def totals(
    session: Session, by: str, *, workspace_id: str | None = None, first: str = "", last: str = "9"
) -> dict[str, Totals]:
    """Sums of the days `first` to `last`, both included, for each value of the column `by`."""
    group = getattr(UseEntry, by)
    sums = [func.sum(getattr(UseEntry, name)) for name in _SUMMED]
    wanted = select(group, UseEntry.kind, func.count(), *sums).where(UseEntry.day >= first, UseEntry.day <= last)
    if workspace_id is not None:
        wanted = wanted.where(UseEntry.workspace_id == workspace_id)
    found: dict[str, tuple[dict[str, int], list[int]]] = {}
    for value, kind, count, *summed in session.execute(wanted.group_by(group, UseEntry.kind).order_by(group)):
        counts, sofar = found.setdefault(value, ({}, [0] * len(_SUMMED)))
        counts[kind] = count
        sofar[:] = [a + int(b) for a, b in zip(sofar, summed, strict=True)]
    return {value: Totals(counts, *sums) for value, (counts, sums) in found.items()}


@dataclass(slots=True)
class Sums:
    """The running sums of one workspace's day. `kept`: there is a row of them already."""

    kept: bool
    cpu_us: int = 0
    memory_mb_ms: int = 0
    queries: int = 0
    reads: int = 0
    scripts: int = 0


# Every statement of a merchant passes here twice, so these go past the session's bookkeeping of objects.
_ENTRIES, _DAYS = Base.metadata.tables["use_entry"], Base.metadata.tables["use_day"]
_SPACES = Workspace.metadata.tables["workspace"]
_SUMS = tuple(_DAYS.c[name] for name in ("cpu_us", "memory_mb_ms", "queries", "reads", "scripts"))
_THIS_DAY = and_(_DAYS.c.workspace_id == bindparam("place"), _DAYS.c.day == bindparam("today"))
_READ_DAY = select(*_SUMS).where(_THIS_DAY)
_HOLD_DAY = (
    select(_SPACES.c.organisation_id, _DAYS.c.day, *_SUMS)
    .outerjoin_from(_SPACES, _DAYS, and_(_DAYS.c.workspace_id == _SPACES.c.id, _DAYS.c.day == bindparam("today")))
    .where(_SPACES.c.id == bindparam("place"))
    .with_for_update(of=_SPACES)
)
_ADD_ENTRY, _ADD_DAY, _SET_DAY = insert(_ENTRIES), insert(_DAYS), update(_DAYS).where(_THIS_DAY)


def of_day(session: Session, workspace_id: str, day: str) -> Sums:
    """The running sums; a day without use has zeros."""
    found = session.execute(_READ_DAY, {"place": workspace_id, "today": day}).first()
    return Sums(False) if found is None else Sums(True, *found)


def hold_day(session: Session, workspace_id: str, day: str) -> tuple[str, Sums]:
    """The workspace's organisation and its running sums, held by this transaction until it ends."""
    organisation, known, *sums = session.execute(_HOLD_DAY, {"place": workspace_id, "today": day}).one()
    return organisation, Sums(False) if known is None else Sums(True, *sums)


def add(session: Session, entry: UseEntry, sums: Sums) -> None:
    """Write a new entry and what the day's sums are with it. The day is held."""
    session.execute(_ADD_ENTRY, {c.key: getattr(entry, c.key) for c in _ENTRIES.c})
    values = {c.key: getattr(sums, c.key) for c in _SUMS}
    if sums.kept:
        session.execute(_SET_DAY, values | {"place": entry.workspace_id, "today": entry.day})
    else:
        session.execute(_ADD_DAY, values | {"workspace_id": entry.workspace_id, "day": entry.day})


def months(session: Session, workspace_id: str) -> list[str]:
    """Months with use, newest first, as 2026-03."""
    days = session.scalars(select(UseEntry.day).where(UseEntry.workspace_id == workspace_id).distinct())
    return sorted({day[:7] for day in days}, reverse=True)


def request(session: Session, request_id: str) -> QuotaRequest:
    """The request. Raises `NotFound`."""
    found = session.get(QuotaRequest, request_id)
    if found is None:
        raise NotFound.of("quota", request_id)
    return found


def requests(session: Session, workspace_id: str | None = None, states: Collection[str] = ()) -> list[QuotaRequest]:
    """Newest first."""
    wanted = select(QuotaRequest).order_by(QuotaRequest.created_at.desc(), QuotaRequest.id)
    if workspace_id is not None:
        wanted = wanted.where(QuotaRequest.workspace_id == workspace_id)
    if states:
        wanted = wanted.where(QuotaRequest.state.in_(states))
    return list(session.scalars(wanted))
