"""Jobs: the row here is the truth, whatever executes it (Prefect, or this process) is only its executor.

A job is written in the transaction that asks for it (outbox). A dispatcher hands it to the executor with a key made of
job and attempt, so that the same start twice is one run. The run claims the job, works outside any transaction, and
commits its effect together with the job's end; a run that lost its claim cannot commit. A reconciler puts silent jobs
back into the outbox. A cancelled job loses its claim at once; it is `cancelled` when its run has really stopped.
"""

from __future__ import annotations

import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from sqlalchemy import and_, or_, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Mapped, Session, aliased, mapped_column

from policies.text import Text, UserError
from sandbox.kernel import attempts, audit, permissions
from sandbox.kernel.database import Base, short
from sandbox.kernel.errors import Conflict, InvalidTransition, NotFound
from sandbox.kernel.ids import new_id
from sandbox.kernel.steps import Here, Kept, Step, Steps

if TYPE_CHECKING:
    from sandbox.kernel.unit import Platform, Unit

MAX_ATTEMPTS = 3
COMMIT_TRIES = 3
QUEUED, RUNNING, SUCCEEDED, FAILED = "queued", "running", "succeeded", "failed"
CANCELLING, CANCELLED = "cancelling", "cancelled"
LIVE = (QUEUED, RUNNING, CANCELLING)
AGAIN = (FAILED, CANCELLED)

T = TypeVar("T")


class Job(Base):
    """One piece of long work on one subject."""

    __tablename__ = "job"

    id: Mapped[str] = short(primary_key=True)
    kind: Mapped[str] = short(40, index=True)
    noun: Mapped[str] = short(40)
    subject_id: Mapped[str] = short(index=True)
    payload: Mapped[dict[str, Any]]
    state: Mapped[str] = short(20, index=True)
    attempt: Mapped[int] = mapped_column(default=1)
    department_id: Mapped[str | None] = short(nullable=True, index=True)
    """the department whose limit of simultaneous jobs this one counts against"""
    round_id: Mapped[str | None] = short(nullable=True, index=True)
    """the job of the refresh round that asked for this one"""
    waits: Mapped[bool] = mapped_column(default=False)
    """starts only when every other job of its round has ended"""
    created_by: Mapped[str] = short()
    created_at: Mapped[datetime] = mapped_column(index=True)
    dispatched_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    run_ref: Mapped[str | None] = short(80, nullable=True)
    progress: Mapped[int] = mapped_column(default=0)
    step: Mapped[str] = short(80, default="")
    error_code: Mapped[str | None] = short(80, nullable=True)
    error: Mapped[dict[str, Any] | None]
    result: Mapped[dict[str, Any] | None]

    @property
    def key(self) -> str:
        """What makes a start idempotent: this job, this attempt."""
        return f"{self.id}:{self.attempt}"


Effect = Callable[["Unit"], Mapping[str, Any]]
"""Applies a finished job's result in one transaction, together with the job's own end."""


class Handler(Protocol):
    """What a kind of job does: `run` works and returns its effect; `failed` says so on the subject."""

    def run(self, work: Work) -> Effect: ...

    def failed(self, unit: Unit, job: Job, error: UserError) -> None: ...


@runtime_checkable
class Resuming(Protocol):
    """A kind of job whose subject was told of the failure and must be brought back before another attempt."""

    def resume(self, unit: Unit, job: Job) -> None:
        """Bring the subject back to where the work can end. Raises when it has moved on."""


Handlers = Mapping[str, Handler]


class NotReady(Exception):
    """The executor cannot take this job yet; the outbox keeps it."""


class Executor(Protocol):
    """Starts jobs somewhere. The same key twice must be one run."""

    def start(self, job: Job) -> str:
        """Start the job; returns a reference to the run. Raises `NotReady`."""

    def stop(self, run_ref: str) -> None:
        """Ask the run to stop, within seconds; repeating does no harm."""

    def lost(self, run_ref: str) -> bool:
        """Whether the run has ended (or vanished) for the executor."""


@dataclass
class Work:
    """A running job, as its handler sees it."""

    platform: Platform
    job: Job
    steps: Steps = field(default_factory=Here)

    def step(
        self, name: str, percent: int, function: Callable[[], T], *, kept: Kept[T] | None = None,
        patient: bool = False, about: str = "",
    ) -> T:  # fmt: skip
        """Run one named step; progress is visible to people before it begins.

        `kept`: what its result depends on, for an executor that remembers results. `patient`: worth trying again when
        a hindrance may pass by itself. `about`: id of the record it is about, where the job has several. Raises
        `ClaimLost` when the job was cancelled or taken over.
        """
        self.reached(name, percent)
        return self.steps.run(Step(name, function, kept=kept, percent=percent, patient=patient, about=about))

    def fan(self, percent: int, steps: Sequence[Step[T]]) -> list[T]:
        """Run steps of one name that do not depend on each other, wherever the executor has room."""
        if steps:
            self.reached(steps[0].name, percent)
        return self.steps.fan(steps)

    def reached(self, name: str, percent: int) -> None:
        """Say how far the work is. Raises `ClaimLost` when this attempt may not go on."""
        with self.platform.database.transaction() as session:
            row = session.get(Job, self.job.id)
            if row is None or row.state != RUNNING or row.attempt != self.job.attempt:
                raise ClaimLost(self.job.key)
            row.step, row.progress = name, percent

    @property
    def folder(self) -> Path:
        """A scratch folder of this attempt; removed when the job ends."""
        path = self.platform.settings.home / "work" / self.job.id / str(self.job.attempt)
        path.mkdir(parents=True, exist_ok=True)
        return path


def enqueue(
    unit: Unit, kind: str, noun: str, subject_id: str, payload: dict[str, Any], *, department_id: str | None = None,
    round_id: str | None = None, waits: bool = False,
) -> Job:  # fmt: skip
    """Put a job into the outbox, in the caller's transaction."""
    job = Job(
        id=new_id("job"), kind=kind, noun=noun, subject_id=subject_id, payload=payload, state=QUEUED, attempt=1,
        department_id=department_id, round_id=round_id, waits=waits, created_by=unit.actor.id, created_at=unit.now,
        progress=0, step="",
    )  # fmt: skip
    unit.session.add(job)
    unit.session.flush()
    unit.audit("job:enqueue", noun, subject_id, job=job.id, kind=kind)
    return job


def get(session: Session, job_id: str, *, locked: bool = False) -> Job:
    """The job; `locked` keeps its row until the transaction ends, so that two runs cannot both take or end it."""
    job = session.get(Job, job_id, with_for_update=True if locked else None)
    if job is None:
        raise NotFound.of("job", job_id)
    return job


def outbox(session: Session) -> list[Job]:
    """Jobs asked for and not yet handed to an executor, oldest first; those that wait for their round only after it."""
    other = aliased(Job)
    others = select(other.id).where(other.round_id == Job.round_id, other.id != Job.id, other.state.in_(LIVE))
    waiting = select(Job).where(Job.state == QUEUED, Job.dispatched_at.is_(None))
    waiting = waiting.where(or_(Job.waits.is_(False), ~others.exists()))
    return list(session.scalars(waiting.order_by(Job.created_at, Job.id)))


def of_round(session: Session, round_id: str) -> list[Job]:
    """The jobs a refresh round asked for, oldest first."""
    rows = select(Job).where(Job.round_id == round_id).order_by(Job.created_at, Job.id)
    return list(session.scalars(rows))


def of_subject(session: Session, noun: str, subject_id: str) -> list[Job]:
    rows = select(Job).where(Job.noun == noun, Job.subject_id == subject_id).order_by(Job.created_at.desc())
    return list(session.scalars(rows))


def dispatch(platform: Platform, executor: Executor) -> int:
    """Hand every waiting job to the executor; returns how many. A crash between start and mark repeats the same key."""
    with platform.database.transaction() as session:
        waiting = _within_limits(session, outbox(session), platform.settings.department_limit)
    started = 0
    for job in waiting:
        try:
            reference = executor.start(job)
        except NotReady:
            continue
        started += 1
        with platform.system() as unit:
            row = get(unit.session, job.id)
            if row.attempt == job.attempt:
                row.dispatched_at, row.run_ref = unit.now, reference
    return started


def _within_limits(session: Session, waiting: list[Job], limit: int) -> list[Job]:
    """Those for which their department has room: the others wait here, where waiting costs nothing."""
    handed = select(Job.department_id).where(Job.state.in_(LIVE), Job.dispatched_at.is_not(None))
    running = Counter(session.scalars(handed))
    found = []
    for job in waiting:
        if job.department_id is None or running[job.department_id] < limit:
            running[job.department_id] += 1
            found.append(job)
    return found


def reconcile(platform: Platform, executor: Executor, handlers: Handlers) -> list[str]:
    """Put lost jobs back into the outbox, or fail them after the last attempt; returns their ids."""
    silent = timedelta(seconds=platform.settings.lost_after_seconds)
    lost: list[str] = []
    with platform.system() as unit:
        now = platform.clock.now()
        # A run may have been claimed and killed before its start was marked: running jobs count, marked or not.
        started = or_(Job.state == RUNNING, and_(Job.state == QUEUED, Job.dispatched_at.is_not(None)))
        for job in unit.session.scalars(select(Job).where(started).with_for_update(skip_locked=True)).all():
            quiet = job.heartbeat_at is None or now - job.heartbeat_at > silent
            if quiet and (job.run_ref is None or executor.lost(job.run_ref)):
                lost.append(job.id)
                _give_back(unit, job, handlers)
    return lost


def _give_back(unit: Unit, job: Job, handlers: Handlers) -> None:
    unit.audit("job:lost", job.noun, job.subject_id, job=job.id, attempt=job.attempt)
    if job.attempt < MAX_ATTEMPTS:
        attempts.end(unit.session, job.id, job.attempt, "lost", unit.now, reached=job.step, error=attempts.LOST)
        sweep(unit.platform, job)  # a killed process could not
        _put_back(job)
        return
    error = UserError(
        "job.lost",
        Text(f"任务连续 {MAX_ATTEMPTS} 次中断", f"The job broke off {MAX_ATTEMPTS} times in a row"),
        fix=Text("请运营人员检查后重试", "An operator should look into it and retry"),
    )
    _close_failed(unit, job, error)
    tell_subject(unit, handlers[job.kind], job, error)


def _put_back(job: Job) -> None:
    job.state, job.dispatched_at, job.run_ref, job.heartbeat_at = QUEUED, None, None, None
    job.started_at, job.step, job.progress = None, "", 0
    job.attempt += 1


def retry(unit: Unit, job_id: str) -> Job:
    """An operator starts a failed or cancelled job again; steps that succeeded need not be done anew."""
    permissions.check(unit.actor, "job:retry")
    job = get(unit.session, job_id, locked=True)
    if job.state not in AGAIN:
        raise InvalidTransition(
            "job.not_failed",
            Text("只有失败或已取消的任务可以重试", "Only a failed or cancelled job can be retried"),
            fix=Text("请刷新页面查看最新状态", "Reload the page to see the present state"),
            id=job.id,
        )
    job.error_code = job.error = job.finished_at = None
    _put_back(job)
    unit.audit("job:retry", job.noun, job.subject_id, job=job.id)
    return job


def execute(
    platform: Platform, handlers: Handlers, job_id: str, steps: Steps | None = None,
    on_lost: Callable[[], None] | None = None,
) -> str:  # fmt: skip
    """Run one job to its end in this process; returns its final state. A job already claimed or ended is left alone.

    `on_lost` is called from another thread when the job was cancelled or taken over while it still works here.
    """
    handler = handlers[_kind_of(platform, job_id)]
    job = _claim(platform, handler, job_id)
    if job is None:
        return _state_of(platform, job_id)
    work = Work(platform, job, attempts.Recorded(platform, job.id, job.attempt, steps or Here()))
    try:
        with _heartbeat(platform, job, on_lost):
            effect = handler.run(work)
            work.steps.run(Step("record", lambda: _finish(platform, job, effect), percent=100))
    except ClaimLost:
        return _state_of(platform, job_id)
    except UserError as error:
        _fail(platform, handler, job, error)
        return FAILED
    except Exception as error:
        _fail(platform, handler, job, unexpected(platform, job, error))
        return FAILED
    finally:
        sweep(platform, job)
    return SUCCEEDED


def _state_of(platform: Platform, job_id: str) -> str:
    with platform.database.transaction() as session:
        return get(session, job_id).state


def _kind_of(platform: Platform, job_id: str) -> str:
    with platform.database.transaction() as session:
        return get(session, job_id).kind


def _claim(platform: Platform, handler: Handler, job_id: str) -> Job | None:
    """Take the job over for this process; None when somebody has it. A subject that has moved on ends it here."""
    with platform.system() as unit:
        job = get(unit.session, job_id, locked=True)
        if job.state != QUEUED:
            return None
        job.state, job.started_at, job.heartbeat_at = RUNNING, unit.now, platform.clock.now()
        attempts.begin(unit.session, job.id, job.attempt, unit.now)
        if isinstance(handler, Resuming):
            try:
                with unit.session.begin_nested():
                    handler.resume(unit, job)
            except UserError as moved_on:
                _close_failed(unit, job, moved_on)
                return None
        return job


class ClaimLost(Exception):
    """Another attempt has taken this job over; this one must not leave anything behind."""


def _finish(platform: Platform, job: Job, effect: Effect) -> None:
    """Apply the effect; work that is done is not thrown away because a person changed the same record meanwhile."""
    for left in reversed(range(COMMIT_TRIES)):
        try:
            _apply(platform, job, effect)
        except Conflict as conflict:
            if conflict.code != "record.changed" or not left:
                raise
        else:
            return


def _apply(platform: Platform, job: Job, effect: Effect) -> None:
    with platform.system(job.key) as unit:
        row = get(unit.session, job.id, locked=True)
        # One effect at a time: what an effect reads (earlier releases, say) is still true when it commits.
        audit.hold(unit.session)
        if row.state != RUNNING or row.attempt != job.attempt:
            raise ClaimLost(job.key)
        row.result = dict(effect(unit))
        row.state, row.progress, row.finished_at = SUCCEEDED, 100, unit.now
        attempts.end(unit.session, job.id, job.attempt, SUCCEEDED, unit.now)
        unit.audit("job:succeed", job.noun, job.subject_id, job=job.id, kind=job.kind)


def _fail(platform: Platform, handler: Handler, job: Job, error: UserError) -> None:
    with platform.system(job.key) as unit:
        row = get(unit.session, job.id, locked=True)
        if row.state != RUNNING or row.attempt != job.attempt:
            return
        _close_failed(unit, row, error)
        tell_subject(unit, handler, row, error)


def tell_subject(unit: Unit, handler: Handler, job: Job, error: UserError) -> None:
    """Let the subject know. One that has moved on meanwhile (withdrawn, say) stays as it is; the job still ends."""
    try:
        with unit.session.begin_nested():
            handler.failed(unit, job, error)
    except UserError as moved_on:
        unit.audit("job:unheard", job.noun, job.subject_id, job=job.id, code=moved_on.code)


def _close_failed(unit: Unit, job: Job, error: UserError) -> None:
    job.state, job.finished_at, job.error_code = FAILED, unit.now, error.code
    job.error = attempts.told(error)
    attempts.end(unit.session, job.id, job.attempt, FAILED, unit.now, reached=job.step, error=error)
    unit.audit("job:fail", job.noun, job.subject_id, job=job.id, kind=job.kind, code=error.code)


def unexpected(platform: Platform, job: Job, error: Exception) -> UserError:
    """An error nobody foresaw: its text may hold values of records, so it goes to an operator-only file."""
    folder = platform.settings.home / "operator-only" / "errors"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    report = folder / f"{job.id}-{job.attempt}.txt"
    report.touch(mode=0o600)
    with report.open("a", encoding="utf-8") as file:
        file.writelines(traceback.format_exception(error))
    return UserError(
        "job.unexpected",
        Text(
            "任务因内部错误停止，详情已保存给运营人员",
            "The job stopped on an internal error; operators have the details",
        ),
        fix=Text("请联系运营人员，并提供任务编号", "Ask the operator and give the job's number"),
        kind=type(error).__name__,
    )


@contextmanager
def _heartbeat(platform: Platform, job: Job, on_lost: Callable[[], None] | None) -> Iterator[None]:
    """Say from time to time that the job lives, until the block ends."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(platform.settings.heartbeat_seconds):
            try:
                state = _beat(platform, job)
            except OperationalError:
                continue  # the database is busy or away for a moment: the next beat tries again
            if state == RUNNING:
                continue
            if on_lost is not None and state not in (SUCCEEDED, FAILED):
                on_lost()
            return

    thread = threading.Thread(target=beat, name=f"heartbeat-{job.id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=5)


def _beat(platform: Platform, job: Job) -> str:
    """Mark the job alive; the state it is in for this attempt, "" when another attempt or nobody holds it."""
    with platform.database.transaction() as session:
        row = session.get(Job, job.id)
        if row is None or row.attempt != job.attempt:
            return ""
        if row.state == RUNNING:
            row.heartbeat_at = platform.clock.now()
        return row.state


def sweep(platform: Platform, job: Job) -> None:
    """Remove the scratch folder of this attempt."""
    import shutil

    shutil.rmtree(platform.settings.home / "work" / job.id / str(job.attempt), ignore_errors=True)


class LocalExecutor:
    """Runs jobs in this process, one after the other: for tests and one-shot commands."""

    def __init__(self, platform: Platform, handlers: Handlers) -> None:
        self.platform = platform
        self.handlers = handlers

    def start(self, job: Job) -> str:
        execute(self.platform, self.handlers, job.id)
        return f"local:{job.key}"

    def stop(self, run_ref: str) -> None:
        """Runs one after the other in this process: the next step notices that its claim is gone."""

    def lost(self, run_ref: str) -> bool:
        """A local run ends with its process: a silent one is lost."""
        return True

    def drain(self) -> int:
        """Run everything in the outbox, and what that asks for, until nothing waits; returns how many jobs ran."""
        total = 0
        while count := dispatch(self.platform, self):
            total += count
        return total
