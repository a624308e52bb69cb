"""When a department's tables are refreshed: by the shortest update cycle it declares, or as an operator has set it."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Mapped, Session

from policies.text import Text, UserError
from sandbox.catalog import repository
from sandbox.catalog.repository import Resource
from sandbox.catalog.sources import source_of
from sandbox.kernel import jobs, permissions
from sandbox.kernel.accounts import Organisation
from sandbox.kernel.cron import Cron
from sandbox.kernel.database import Base, short
from sandbox.kernel.errors import Conflict, NotFound
from sandbox.kernel.identity import OrganisationKind
from sandbox.kernel.jobs import LIVE, Job
from sandbox.kernel.unit import Unit

CITY_WIDE = "city"
"""subject of a round over every department"""
ROUND = "city_refresh"

_CYCLES: tuple[tuple[tuple[str, ...], str], ...] = (
    (("实时", "每小时", "小时", "hour"), "{minute} * * * *"),
    (("每日", "每天", "日", "天", "daily", "day"), "{minute} {hour} * * *"),
    (("每周", "周", "week"), "{minute} {hour} * * 1"),
    (("每月", "月", "month"), "{minute} {hour} 1 * *"),
    (("季", "quarter"), "{minute} {hour} 1 1,4,7,10 *"),
    (("半年", "half"), "{minute} {hour} 1 1,7 *"),
    (("每年", "年", "year", "annual"), "{minute} {hour} 1 1 *"),
)
"""words of an update cycle → when to look, shortest first; the usual entries of 更新周期 in open data catalogues"""
_NEVER = ("不定期", "一次", "不更新", "never", "irregular", "once")


class RefreshSchedule(Base):
    """What an operator has set for one department. `cron` None: by the declared update cycles."""

    __tablename__ = "refresh_schedule"

    organisation_id: Mapped[str] = short(primary_key=True)
    cron: Mapped[str | None] = short(80, nullable=True)
    paused: Mapped[bool]
    set_by: Mapped[str] = short()
    set_at: Mapped[datetime]


@dataclass(frozen=True, slots=True)
class Plan:
    """When one department's tables are refreshed. `cron` None: never by itself. `tables` have a source."""

    organisation_id: str
    department: str
    cron: str | None
    by_cycle: bool
    paused: bool
    tables: int
    next_at: datetime | None

    @property
    def active(self) -> bool:
        return self.cron is not None and not self.paused and self.tables > 0


def cron_of_cycles(cycles: Iterable[str], organisation_id: str) -> str | None:
    """The schedule the shortest of these update cycles asks for, at night, spread over the departments.

    None where no cycle names a period.
    """
    ranks = [rank for cycle in cycles if (rank := _rank(cycle)) is not None]
    if not ranks:
        return None
    spread = zlib.crc32(organisation_id.encode()) % 180
    return _CYCLES[min(ranks)][1].format(hour=1 + spread // 60, minute=spread % 60)


def _rank(cycle: str) -> int | None:
    words = cycle.strip().lower()
    if any(w in words for w in _NEVER):
        return None
    return next((i for i, (names, _) in enumerate(_CYCLES) if any(n in words for n in names)), None)


def plans(unit: Unit) -> list[Plan]:
    """Every department's plan, by name; a department sees its own. Schedules follow the machine's clock."""
    permissions.check(unit.actor, "schedule:read")
    return [p for p in every(unit.session, unit.platform.clock.now()) if _visible(unit, p)]


def _visible(unit: Unit, plan: Plan) -> bool:
    return permissions.permitted(unit.actor, "schedule:read", owner=plan.organisation_id)


def every(session: Session, now: datetime) -> list[Plan]:
    """The same for the scheduler, which acts for nobody."""
    departments = session.scalars(
        select(Organisation).where(Organisation.kind == OrganisationKind.DEPARTMENT).order_by(Organisation.name)
    )
    fed: dict[str, list[Resource]] = {}
    for resource in repository.every(session):
        if is_fed(resource):
            fed.setdefault(resource.organisation_id, []).append(resource)
    return [_plan(session, d, fed.get(d.id, []), now) for d in departments]


def is_fed(resource: Resource) -> bool:
    """Whether deliveries of this resource come by themselves."""
    return resource.declared.get("source") is not None and resource.state != "withdrawn"


def _plan(session: Session, department: Organisation, resources: list[Resource], now: datetime) -> Plan:
    row = session.get(RefreshSchedule, department.id)
    by_cycles = cron_of_cycles((r.update_cycle for r in resources), department.id)
    cron = row.cron if row and row.cron else by_cycles
    paused = row is not None and row.paused
    due = Cron.parse(cron).next_after(now) if cron and not paused and resources else None
    by_cycle = row is None or row.cron is None
    return Plan(department.id, department.name, cron, by_cycle, paused, len(resources), due)


def set_cron(unit: Unit, organisation_id: str, cron: str | None) -> Plan:
    """An operator sets when a department's tables are refreshed; None: by the declared cycles again."""
    text = Cron.parse(cron).text if cron is not None else None
    row = _row(unit, organisation_id)
    row.cron = text
    return _changed(unit, row, cron=text or "cycle")


def pause(unit: Unit, organisation_id: str, paused: bool) -> Plan:
    """An operator stops a department's schedule, or lets it go on."""
    row = _row(unit, organisation_id)
    row.paused = paused
    return _changed(unit, row, paused=paused)


def _row(unit: Unit, organisation_id: str) -> RefreshSchedule:
    permissions.check(unit.actor, "schedule:set")
    department(unit.session, organisation_id)
    row = unit.session.get(RefreshSchedule, organisation_id)
    if row is None:
        row = RefreshSchedule(
            organisation_id=organisation_id, cron=None, paused=False, set_by=unit.actor.id, set_at=unit.now
        )
        unit.session.add(row)
    return row


def _changed(unit: Unit, row: RefreshSchedule, **facts: str | bool) -> Plan:
    row.set_by, row.set_at = unit.actor.id, unit.now
    unit.session.flush()
    unit.audit("schedule:set", "organisation", row.organisation_id, **facts)
    return next(p for p in every(unit.session, unit.platform.clock.now()) if p.organisation_id == row.organisation_id)


def department(session: Session, organisation_id: str) -> Organisation:
    """The department. Raises `NotFound` for anything else."""
    found = session.get(Organisation, organisation_id)
    if found is None or found.kind != OrganisationKind.DEPARTMENT:
        raise NotFound.of("department", organisation_id)
    return found


def start(unit: Unit, organisation_id: str | None) -> Job:
    """Ask for a refresh round of one department, or of all. Raises `Conflict` while one is under way."""
    permissions.check(unit.actor, "resource:refresh")
    if organisation_id is not None:
        department(unit.session, organisation_id)
    subject = organisation_id or CITY_WIDE
    running = [j for j in jobs.of_subject(unit.session, "organisation", subject) if j.state in LIVE]
    if running:
        raise Conflict(
            "round.running",
            Text("上一轮更新还没有结束", "The last refresh round has not ended yet"),
            fix=Text("请等它结束，或先取消它", "Wait for it, or cancel it first"),
            id=subject,
        )
    return unit.enqueue(ROUND, "organisation", subject)


def refresh(unit: Unit, resource_id: str) -> Job:
    """Ask for one table to be fetched from its source now."""
    permissions.check(unit.actor, "resource:refresh")
    resource = repository.get(unit.session, resource_id)
    if source_of(resource) is None:
        raise UserError(
            "source.none",
            Text("这个资源没有登记数据来源，由部门上传交付", "This resource has no source; it is delivered by hand"),
            fix=Text("请数源部门登记来源", "Its department can declare one"),
            id=resource.id,
        )
    return unit.enqueue("refresh", "resource", resource.id, department_id=resource.organisation_id)


def last_refresh(session: Session, resource_id: str) -> Job | None:
    """The latest job that fetched or took in this resource."""
    found = [j for j in jobs.of_subject(session, "resource", resource_id) if j.kind in ("refresh", "ingest")]
    return found[0] if found else None

