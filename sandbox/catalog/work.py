"""Jobs as operators look for them: by state, kind, table, department, day and words; and one job with all it did."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from statistics import median
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, String, and_, cast, func, or_, select

from sandbox.catalog.repository import Resource
from sandbox.kernel import attempts, jobs, permissions
from sandbox.kernel.accounts import Organisation
from sandbox.kernel.attempts import JobAttempt, JobStep
from sandbox.kernel.clock import CITY, city_date
from sandbox.kernel.identity import OrganisationKind
from sandbox.kernel.jobs import Job

if TYPE_CHECKING:
    from sandbox.kernel.unit import Unit

COMPARED = 10
"""earlier jobs of the same kind whose median duration is shown beside the present one"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an operator looks for; what is empty does not narrow."""

    state: str = ""
    kind: str = ""
    department: str = ""
    resource: str = ""
    text: str = ""
    """part of a number, an error code, an error's words, or the name of a table or department"""
    kinds: Collection[str] = ()
    """kinds of jobs whose name has `text`"""
    days: int = 0
    """asked for or ended within so many of the city's days; 1 is today"""
    round_id: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """One page of jobs, newest first; how many there are in all, and for each state under the other conditions."""

    jobs: Sequence[Job]
    total: int
    by_state: dict[str, int]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt with its steps in the order they began."""

    record: JobAttempt
    steps: Sequence[JobStep]


def find(unit: Unit, wanted: Wanted, *, offset: int = 0, limit: int = 100) -> Found:
    """The jobs that meet every condition."""
    permissions.check(unit.actor, "job:read")
    met = _conditions(wanted, unit.now)
    counted = select(Job.state, func.count()).where(*met).group_by(Job.state)
    by_state = {state: int(count) for state, count in unit.session.execute(counted)}
    if wanted.state:
        met.append(Job.state == wanted.state)
    rows = select(Job).where(*met).order_by(Job.created_at.desc(), Job.id).offset(offset).limit(limit)
    total = by_state.get(wanted.state, 0) if wanted.state else sum(by_state.values())
    return Found(list(unit.session.scalars(rows)), total, by_state)


def _conditions(wanted: Wanted, now: datetime) -> list[ColumnElement[bool]]:
    met: list[ColumnElement[bool]] = []
    if wanted.kind:
        met.append(Job.kind == wanted.kind)
    if wanted.resource:
        met.append(Job.subject_id == wanted.resource)
    if wanted.department:
        met.append(_of_department(wanted.department))
    if wanted.round_id:
        met.append(or_(Job.round_id == wanted.round_id, Job.id == wanted.round_id))
    if wanted.days:
        first = city_date(now) - timedelta(days=wanted.days - 1)
        start = datetime.combine(first, time.min, CITY)
        met.append(or_(Job.created_at >= start, Job.finished_at >= start))
    if wanted.text:
        met.append(_says(wanted.text, wanted.kinds))
    return met


def _of_department(department: str) -> ColumnElement[bool]:
    owned = select(Resource.id).where(Resource.organisation_id == department)
    return or_(Job.department_id == department, Job.subject_id == department, Job.subject_id.in_(owned))


def _says(text: str, kinds: Collection[str]) -> ColumnElement[bool]:
    tables = select(Resource.id).where(Resource.name.icontains(text, autoescape=True))
    departments = select(Organisation.id).where(Organisation.name.icontains(text, autoescape=True))
    # An error is kept as JSON, which both databases hold as written: other than ASCII as \uXXXX.
    written = json.dumps(text)[1:-1]
    return or_(
        *(column.icontains(text, autoescape=True) for column in (Job.id, Job.subject_id, Job.error_code)),
        and_(Job.error_code.is_not(None), cast(Job.error, String).icontains(written, autoescape=True)),
        Job.subject_id.in_(tables), Job.subject_id.in_(departments), Job.department_id.in_(departments),
        Job.kind.in_(kinds),
    )  # fmt: skip


def record(unit: Unit, job_id: str) -> tuple[Job, list[Attempt]]:
    """A job and its attempts, newest first. Raises `NotFound`."""
    permissions.check(unit.actor, "job:read")
    job = jobs.get(unit.session, job_id)
    rows = attempts.attempts(unit.session, job_id)
    return job, [Attempt(row, attempts.of_attempt(unit.session, job_id, row.attempt)) for row in rows]


def departments(unit: Unit) -> list[Organisation]:
    """Every department, by name."""
    rows = select(Organisation).where(Organisation.kind == OrganisationKind.DEPARTMENT)
    return list(unit.session.scalars(rows.order_by(Organisation.name)))


def usual_seconds(unit: Unit, kinds: Collection[str]) -> dict[str, float]:
    """For each kind the median seconds of its latest jobs that went well; without any, nothing."""
    found: dict[str, float] = {}
    for kind in kinds:
        latest = select(Job.started_at, Job.finished_at).where(Job.kind == kind, Job.state == jobs.SUCCEEDED)
        ended: Any = unit.session.execute(latest.order_by(Job.created_at.desc()).limit(COMPARED)).all()
        took = [(end - start).total_seconds() for start, end in ended if start and end]
        if took:
            found[kind] = median(took)
    return found
