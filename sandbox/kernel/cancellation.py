"""Cancelling a job: its claim is gone at once, its run is ended within seconds, and then its subject is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from policies.text import Text, UserError
from sandbox.kernel import attempts, jobs, permissions
from sandbox.kernel.errors import InvalidTransition
from sandbox.kernel.jobs import CANCELLED, CANCELLING, QUEUED, RUNNING, Executor, Handler, Handlers, Job

if TYPE_CHECKING:
    from sandbox.kernel.unit import Platform, Unit

STOPPABLE = (QUEUED, RUNNING)


def cancel(unit: Unit, job_id: str) -> Job:
    """An operator stops a job: it can commit nothing from here on."""
    permissions.check(unit.actor, "job:cancel")
    job = jobs.get(unit.session, job_id, locked=True)
    if job.state not in STOPPABLE:
        raise InvalidTransition(
            "job.not_running",
            Text("任务已经结束，不能取消", "The job has ended and cannot be cancelled"),
            fix=Text("请刷新页面查看最新状态", "Reload the page to see the present state"),
            id=job.id,
        )
    job.state = CANCELLING
    unit.audit("job:cancel", job.noun, job.subject_id, job=job.id, kind=job.kind, step=job.step)
    return job


def stop_cancelled(platform: Platform, executor: Executor, handlers: Handlers) -> list[str]:
    """End the runs of cancelled jobs and tell their subjects; returns the ids of the jobs that have stopped."""
    with platform.database.transaction() as session:
        cancelling = list(session.scalars(select(Job).where(Job.state == CANCELLING)))
    stopped: list[str] = []
    for job in cancelling:
        if job.run_ref is not None:
            executor.stop(job.run_ref)
        if job.run_ref is None or executor.lost(job.run_ref):
            stopped.append(job.id)
            _close(platform, handlers[job.kind], job)
    return stopped


def _close(platform: Platform, handler: Handler, job: Job) -> None:
    error = UserError(
        "job.cancelled",
        Text("任务已由运营人员取消", "An operator has cancelled the job"),
        fix=Text("需要时请运营人员重试", "An operator can retry it when needed"),
    )
    with platform.system(job.key) as unit:
        row = jobs.get(unit.session, job.id, locked=True)
        if row.state != CANCELLING:
            return
        row.state, row.finished_at, row.error_code = CANCELLED, unit.now, error.code
        row.error = attempts.told(error)
        attempts.end(unit.session, row.id, row.attempt, CANCELLED, unit.now, reached=row.step, error=error)
        unit.audit("job:stop", row.noun, row.subject_id, job=row.id, kind=row.kind)
        jobs.tell_subject(unit, handler, row, error)
    jobs.sweep(platform, job)
