"""Statutory clocks (办理时限): one row per clock, counted in working days, due at the end of the last day."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Mapped, Session, mapped_column

from policies.problems import CalendarMissing
from sandbox.kernel.clock import city_date, working_days_after, working_days_between
from sandbox.kernel.database import Base, short
from sandbox.kernel.editions import in_force
from sandbox.kernel.ids import new_id

if TYPE_CHECKING:
    from policies.schema.deadlines import AlarmClock
    from sandbox.kernel.unit import Unit


class RunningClock(Base):
    """A time limit that runs (or ran) for one organisation on one object."""

    __tablename__ = "clock"

    id: Mapped[str] = short(primary_key=True)
    key: Mapped[str] = short(40)
    noun: Mapped[str] = short(40)
    subject_id: Mapped[str] = short(index=True)
    organisation_id: Mapped[str] = short()
    edition: Mapped[str] = short(40)
    on_lapse: Mapped[str] = short(10)
    """what silence means, as the edition said when the clock started: consent or alarm"""
    started_at: Mapped[datetime]
    due_on: Mapped[str | None] = short(10, nullable=True)
    stopped_at: Mapped[datetime | None]
    outcome: Mapped[str] = short(20)
    reminders: Mapped[list[Any]]
    """shares of the limit (0–1) at which those who must act are reminded"""
    reminded: Mapped[float] = mapped_column(default=0.0)
    """the highest share already reminded of; above 1: said to be overdue"""

    @property
    def due(self) -> date | None:
        """Last day of the limit; None when a calendar year is missing, and then nothing ever lapses."""
        return date.fromisoformat(self.due_on) if self.due_on else None

    def overdue(self, now: datetime) -> bool:
        """Whether the last day has ended (city time)."""
        return self.due is not None and city_date(now) > self.due

    def days_left(self, now: datetime) -> int | None:
        """Working days left after today; 0 on the last day; None when unknown."""
        return None if self.due is None else working_days_between(city_date(now), self.due)


def start(unit: Unit, key: str, noun: str, subject_id: str, organisation_id: str) -> RunningClock:
    """Start clock `key` of the deadline edition in force; the day of receipt does not count."""
    edition = in_force(unit, "deadlines")
    limit: AlarmClock = edition.by_check(key).parameters
    try:
        due: str | None = working_days_after(city_date(unit.now), limit.working_days).isoformat()
    except CalendarMissing as missing:
        due = None
        unit.audit("clock:alarm", noun, subject_id, clock=key, reason=missing.code)
    clock = RunningClock(
        id=new_id("clk"), key=key, noun=noun, subject_id=subject_id, organisation_id=organisation_id,
        edition=edition.edition, on_lapse=limit.on_lapse, started_at=unit.now, due_on=due,
        stopped_at=None, outcome="running",
        reminders=list(limit.reminders), reminded=0.0,
    )  # fmt: skip
    unit.session.add(clock)
    return clock


def stop(unit: Unit, noun: str, subject_id: str, outcome: str) -> None:
    """Stop every clock that still runs on the object (decided, returned, lapsed, …)."""
    for clock in running(unit.session, noun, subject_id):
        clock.stopped_at, clock.outcome = unit.now, outcome


OVERDUE = 2.0


def remind(unit: Unit) -> list[str]:
    """Write a reminder (or an alarm when overdue) for every running clock that has reached one; returns their ids.

    Each share is said once. A clock that lapses into consent is left to the lapse; one whose calendar is missing was
    alarmed about when it started.
    """
    said: list[str] = []
    for clock in running(unit.session):
        reached = _reached(clock, unit.now)
        if reached <= clock.reminded or (reached == OVERDUE and clock.on_lapse == "consent"):
            continue
        clock.reminded = reached
        event = "clock:overdue" if reached == OVERDUE else "clock:remind"
        unit.audit(event, clock.noun, clock.subject_id, clock=clock.key, due_on=clock.due_on, share=reached)
        said.append(clock.id)
    return said


def _reached(clock: RunningClock, now: datetime) -> float:
    """The highest reminder share that has been reached, `OVERDUE` past the last day, 0 before the first."""
    if clock.due is None:
        return 0.0
    if clock.overdue(now):
        return OVERDUE
    began, today = city_date(clock.started_at), city_date(now)
    used = working_days_between(began, today) / max(1, working_days_between(began, clock.due))
    return max((float(share) for share in clock.reminders if used >= share), default=0.0)


def running(session: Session, noun: str | None = None, subject_id: str | None = None) -> list[RunningClock]:
    """Clocks that have not been stopped, soonest due first."""
    statement = select(RunningClock).where(RunningClock.stopped_at.is_(None)).order_by(RunningClock.due_on)
    if noun is not None:
        statement = statement.where(RunningClock.noun == noun)
    if subject_id is not None:
        statement = statement.where(RunningClock.subject_id == subject_id)
    return list(session.scalars(statement))


def history(session: Session, noun: str, subject_id: str) -> list[RunningClock]:
    """All clocks the object ever had, oldest first."""
    statement = select(RunningClock).where(RunningClock.noun == noun, RunningClock.subject_id == subject_id)
    return list(session.scalars(statement.order_by(RunningClock.started_at)))
