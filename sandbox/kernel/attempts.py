"""What a job did: its attempts and, for each, the steps it went through. Names, counts, times and codes only.

A step's row is opened before the step begins and closed when it ends, in transactions of their own, so that people see
a running step and a killed process leaves the truth behind. Ending an attempt closes what it left open.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import JSON, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from policies.text import Text, UserError
from sandbox.kernel.database import Base, short
from sandbox.kernel.steps import Step, Steps

if TYPE_CHECKING:
    from sandbox.kernel.unit import Platform

T = TypeVar("T")
RUNNING, DONE, REUSED, FAILED, STOPPED = "running", "done", "reused", "failed", "stopped"
STEP_STATES = (RUNNING, DONE, REUSED, FAILED, STOPPED)
"""`reused`: its result was remembered from an earlier try; `stopped`: its attempt was cancelled, lost or taken over"""
STATES = ("running", "succeeded", "failed", "cancelled", "lost")
"""of an attempt"""
LOST = UserError(
    "job.broken_off",
    Text("执行任务的进程中断", "The process that ran the job broke off"),
    fix=Text("平台会自动重新执行，无需处理", "The platform starts it again by itself"),
)


class JobAttempt(Base):
    """One start of a job."""

    __tablename__ = "job_attempt"

    job_id: Mapped[str] = short(primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    state: Mapped[str] = short(20)
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    reached: Mapped[str] = short(80)
    """the last thing people were told it was doing; "" while it runs"""
    error_code: Mapped[str | None] = short(80, nullable=True)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON)


class JobStep(Base):
    """One step of an attempt, or one fan of steps of the same name."""

    __tablename__ = "job_step"

    job_id: Mapped[str] = short(primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = short(80)
    about: Mapped[str] = short()
    """id of the record it is about where a job has several, else empty"""
    state: Mapped[str] = short(20)
    parts: Mapped[int]
    """how many steps ran side by side, e.g. one a column"""
    reused: Mapped[int]
    """how many of them were remembered from an earlier try"""
    kept: Mapped[bool]
    """whether the executor remembers its result, so that another attempt need not do it again"""
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    error_code: Mapped[str | None] = short(80, nullable=True)


def told(error: UserError) -> dict[str, Any]:
    """An error as a row keeps it: what happened, and what to do."""
    return {"text": error.text.as_dict(), "fix": error.fix.as_dict() if error.fix else None}


def begin(session: Session, job_id: str, attempt: int, now: datetime) -> None:
    """An attempt has been claimed."""
    row = JobAttempt(job_id=job_id, attempt=attempt, state=RUNNING, started_at=now, reached="")
    session.add(row)
    session.flush()


def end(
    session: Session, job_id: str, attempt: int, state: str, now: datetime, *, reached: str = "",
    error: UserError | None = None,
) -> None:  # fmt: skip
    """An attempt is over; one that never began (cancelled while it waited) leaves no row."""
    row = session.get(JobAttempt, (job_id, attempt))
    if row is None:
        return
    row.state, row.finished_at, row.reached = state, now, reached
    if error is not None:
        row.error_code, row.error = error.code, told(error)
    for step in of_attempt(session, job_id, attempt):
        if step.state == RUNNING:
            step.state, step.finished_at = DONE if state == "succeeded" else STOPPED, now


def attempts(session: Session, job_id: str) -> list[JobAttempt]:
    """Every attempt of a job, newest first."""
    rows = select(JobAttempt).where(JobAttempt.job_id == job_id).order_by(JobAttempt.attempt.desc())
    return list(session.scalars(rows))


def of_attempt(session: Session, job_id: str, attempt: int) -> list[JobStep]:
    """The steps of one attempt in the order they began."""
    rows = select(JobStep).where(JobStep.job_id == job_id, JobStep.attempt == attempt).order_by(JobStep.number)
    return list(session.scalars(rows))


class Recorded:
    """Steps as `steps` runs them, each with its row."""

    def __init__(self, platform: Platform, job_id: str, attempt: int, steps: Steps) -> None:
        self.platform, self.job_id, self.attempt, self.steps = platform, job_id, attempt, steps

    @property
    def remembers(self) -> bool:
        return self.steps.remembers

    @property
    def reused(self) -> int:
        return self.steps.reused

    def run(self, step: Step[T]) -> T:
        return self._recorded([step], lambda: self.steps.run(step))

    def fan(self, steps: Sequence[Step[T]]) -> list[T]:
        return self._recorded(steps, lambda: self.steps.fan(steps)) if steps else []

    def _recorded(self, steps: Sequence[Step[Any]], work: Callable[[], T]) -> T:
        number, before = self._open(steps), self.steps.reused
        try:
            result = work()
        except Exception as error:
            self._close(number, FAILED, 0, error.code if isinstance(error, UserError) else "job.unexpected")
            raise
        reused = self.steps.reused - before
        self._close(number, REUSED if reused == len(steps) else DONE, reused)
        return result

    def _open(self, steps: Sequence[Step[Any]]) -> int:
        first = steps[0]
        with self.platform.system() as unit:
            highest = select(func.max(JobStep.number)).where(
                JobStep.job_id == self.job_id, JobStep.attempt == self.attempt
            )
            number = (unit.session.scalar(highest) or 0) + 1
            row = JobStep(
                job_id=self.job_id, attempt=self.attempt, number=number, name=first.name, about=first.about,
                state=RUNNING, parts=len(steps), reused=0, kept=first.kept is not None and self.steps.remembers,
                started_at=unit.now,
            )  # fmt: skip
            unit.session.add(row)
        return number

    def _close(self, number: int, state: str, reused: int, code: str | None = None) -> None:
        """A step whose attempt was ended meanwhile stays as that left it."""
        with self.platform.system() as unit:
            row = unit.session.get_one(JobStep, (self.job_id, self.attempt, number))
            if row.state == RUNNING:
                row.state, row.reused, row.error_code, row.finished_at = state, reused, code, unit.now
