"""Metering: what each workspace used, in an append-only ledger that quotas and statements are computed from.

An entry is written in the transaction that records the outcome (statement, script, run), so both are there or neither.
A platform that dies while something runs loses that one use and does not charge it: at most what runs at the same time,
each bounded by its own limits. A retried job is charged for the attempt that ended.

Runs on real data: exact processor time would carry values out, so a run is charged by the step its use falls into, the
same steps its duration is told in. The exact figures stay in the ledger for the operator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import select

from policies.schema.base import Edition
from policies.text import Text
from sandbox.applications import repository as applications
from sandbox.kernel import editions, oversight, permissions
from sandbox.kernel.clock import CITY, city_date
from sandbox.kernel.errors import TooManyAttempts
from sandbox.kernel.ids import new_id
from sandbox.kernel.unit import Unit
from sandbox.workspaces import metering_record, quotas
from sandbox.workspaces.metering_record import StorageMark, Sums, Totals, UseEntry
from sandbox.workspaces.quotas import Standing
from sandbox.workspaces.repository import Workspace, get
from sandbox.workspaces.usage import Usage

Kind = Literal["query", "read", "script", "run", "download", "upload", "check"]
STOPPED_BY: dict[Kind, tuple[str, ...]] = {
    "query": ("queries", "cpu", "memory"),  # not storage: dropping a table is a query too
    "read": ("reads", "cpu", "memory"),
    "script": ("scripts", "cpu", "memory", "storage"),
    "run": ("cpu", "memory"),
    "upload": ("storage",),
    "download": (),
    "check": ("cpu", "memory"),
}


_REPEATED = ("script", "run", "upload", "download", "check")
"""kinds whose outcome may be recorded twice, because a job is tried again; a query's number is made with its record"""


class QuotaExhausted(TooManyAttempts):
    """Nothing is wrong with what was asked; the workspace has used what it may."""


def require_quota(unit: Unit, workspace_id: str, kind: Kind) -> None:
    """Raise `QuotaExhausted` when a quota that `kind` needs is used up.

    Tested before the use, so the last use of a day may go beyond by what one use may take.
    """
    needed = STOPPED_BY[kind]
    found = quotas.standings(unit, workspace_id, stored="storage" in needed)
    for name in needed:
        if found[name].full:
            raise _exhausted(found[name], workspace_id)


def _exhausted(standing: Standing, workspace_id: str) -> QuotaExhausted:
    measure = standing.measure
    limit = standing.limit // measure.size
    when = Text("今日的", "today's ") if measure.daily else Text("", "the ")
    renews = (
        Text("配额在北京时间次日零点恢复", "It renews at midnight, Beijing time")
        if measure.daily
        else Text("删除不用的文件后即可继续", "Delete files you do not need and go on")
    )
    return QuotaExhausted(
        "workspace.quota",
        Text(f"本空间{when.zh}{measure.label.zh}已用满（{limit:,} {measure.unit.zh}），没有执行",
             f"This workspace has used up {when.en}{measure.label.en} ({limit:,} {measure.unit.en}); nothing was done"),
        fix=Text(f"{renews.zh}；也可以在空间的“用量”页申请追加",
                 f"{renews.en}, or ask for more on the workspace's usage page"),
        id=workspace_id, measure=measure.name, limit=limit,
    )  # fmt: skip


def record(
    unit: Unit, workspace_id: str, kind: Kind, usage: Usage | None = None, *, subject: str = "", rows: int = 0,
    size: int = 0,
) -> UseEntry:  # fmt: skip
    """Put one use into the ledger; the same `subject` (script, run) again changes nothing.

    `rows` came back to a person, `size` bytes were downloaded. An audit event is written when this use brings a daily
    measure to the warning line.
    """
    number = f"{kind}:{subject or new_id('use')}"
    rules, day = editions.in_force(unit, "workspace"), city_date(unit.now).isoformat()
    # one at a time for each workspace, so that no crossing of a line is missed
    organisation, sums = metering_record.hold_day(unit.session, workspace_id, day)
    known = unit.session.get(UseEntry, number) if kind in _REPEATED else None
    if known is not None:
        return known
    used = usage or Usage()
    measured = (round(used.cpu_seconds * 1_000_000), round(used.memory_mb_seconds * 1000))
    charged = _step(rules, *measured) if kind == "run" else measured
    entry = _entry(unit, workspace_id, organisation, rules, number, kind, day)
    entry.cpu_us, entry.memory_mb_ms, entry.rows, entry.bytes = *charged, rows, size
    entry.measured_cpu_us, entry.measured_memory_mb_ms = measured
    before = quotas.used(sums)
    _add_up(sums, entry)
    metering_record.add(unit.session, entry, sums)
    _warn_of_crossing(unit, workspace_id, before, quotas.used(sums), quotas.common(rules))
    return entry


def _entry(
    unit: Unit, workspace_id: str, organisation: str, rules: Edition[Any], number: str, kind: str, day: str
) -> UseEntry:  # fmt: skip
    return UseEntry(
        id=number, workspace_id=workspace_id, organisation_id=organisation, kind=kind, at=unit.now, day=day,
        edition=rules.edition, cpu_us=0, memory_mb_ms=0, storage_kb_s=0, rows=0, bytes=0, measured_cpu_us=0,
        measured_memory_mb_ms=0,
    )  # fmt: skip


def _step(rules: Edition[Any], cpu_us: int, memory_mb_ms: int) -> tuple[int, int]:
    """The charge of a run: the first step that holds its processor time, and its memory at the run's limit."""
    limits = rules.by_check("run_limits").parameters
    steps = (*rules.by_check("duration_buckets").parameters.bounds, limits.cpu_seconds)
    fitting = [
        s for s in steps if cpu_us <= s * 1_000_000 and memory_mb_ms <= s * 1000 * limits.memory_mb
    ]  # fmt: skip
    seconds = min(fitting, default=max(steps))
    return seconds * 1_000_000, seconds * 1000 * limits.duckdb_memory_mb


def _add_up(sums: Sums, entry: UseEntry) -> None:
    """Keep the day's running sums. They only rise, so each line of a quota is crossed once a day."""
    sums.cpu_us, sums.memory_mb_ms = sums.cpu_us + entry.cpu_us, sums.memory_mb_ms + entry.memory_mb_ms
    sums.queries += entry.kind == "query"
    sums.reads += entry.kind == "read"
    sums.scripts += entry.kind == "script"


def _warn_of_crossing(
    unit: Unit, workspace_id: str, before: Mapping[str, int], after: Mapping[str, int], shared: Mapping[str, Standing]
) -> None:  # fmt: skip
    now = {name: replace(shared[name], used=amount) for name, amount in after.items()}
    if not any(s.near or s.full for s in now.values()):
        return
    for name, new in quotas.raised(unit, workspace_id, now).items():
        old = replace(new, used=before[name])
        if (new.near or new.full) and not (old.near or old.full):
            unit.audit("quota:warn", "workspace", workspace_id, measure=name, percent=new.percent)


# ---- storage ----


def measure_storage(unit: Unit) -> int:
    """Measure every workspace; the time since the last measure is charged with what was there then.

    Error: what changed between two measures, at most the time between them. Own files and the granted snapshots count.
    A closed workspace is charged up to its closing. Returns how many intervals were written.
    """
    written = 0
    marks = {m.workspace_id: m for m in unit.session.scalars(select(StorageMark).with_for_update())}
    for workspace in unit.session.scalars(select(Workspace).order_by(Workspace.id)):
        mark, closed = marks.get(workspace.id), workspace.state == "closed"
        now = (workspace.state_since if closed else unit.now).replace(microsecond=0)
        if mark is not None:
            written += _charge_storage(unit, workspace, mark, now)
        if not closed:
            _warn_of_storage(unit, workspace)
        if closed and mark is not None:
            unit.session.delete(mark)
        elif not closed and mark is None:
            unit.session.add(StorageMark(workspace_id=workspace.id, at=now, kb=held_kb(unit, workspace)))
        elif mark is not None:
            mark.at, mark.kb = max(now, mark.at), held_kb(unit, workspace)
    unit.session.flush()
    return written


def _charge_storage(unit: Unit, workspace: Workspace, mark: StorageMark, until: datetime) -> int:
    """One entry for each day of the city that the interval touches."""
    rules = editions.in_force(unit, "workspace")
    start, written = mark.at, 0
    while start < until:
        tomorrow = city_date(start) + timedelta(days=1)
        midnight = datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=CITY).astimezone(UTC)
        end = min(until, midnight)
        number = f"storage:{workspace.id}:{start.isoformat(timespec='seconds')}"
        today = city_date(start).isoformat()
        entry = _entry(unit, workspace.id, workspace.organisation_id, rules, number, "storage", today)
        entry.storage_kb_s = mark.kb * round((end - start).total_seconds())
        unit.session.add(entry)
        start, written = end, written + 1
    return written


def _warn_of_storage(unit: Unit, workspace: Workspace) -> None:
    """Storage is a level that may pass its line many times: the first time of a day is an event."""
    standing = quotas.standings(unit, workspace.id)["storage"]
    if not (standing.near or standing.full):
        return
    today = city_date(unit.now)
    known = [e for e in oversight.trail(unit, workspace.id) if e.event == "quota:warn" and city_date(e.at) == today]
    if not any(e.facts["measure"] == "storage" for e in known):
        unit.audit("quota:warn", "workspace", workspace.id, measure="storage", percent=standing.percent)


def held_kb(unit: Unit, workspace: Workspace) -> int:
    """Own files and the snapshots of live grants, on disk now."""
    total = quotas.own_kb(unit, workspace.id)
    for grant in applications.grants(unit.session, workspace.application_id):
        if grant.snapshot and grant.ended_at is None:
            for one in ("twin", "real"):
                total += quotas.folder_kb(unit.settings.snapshots_root / grant.snapshot[one]["digest"])
    return total


# ---- reading ----


def readable(unit: Unit, workspace_id: str) -> Workspace:
    """The workspace, if the actor may see its use."""
    workspace = get(unit.session, workspace_id)
    permissions.check(unit.actor, "usage:read", owner=workspace.organisation_id)
    return workspace


def today(unit: Unit, workspace_id: str) -> dict[str, Standing]:
    """Every quota of the workspace and what is used of it."""
    return quotas.standings(unit, readable(unit, workspace_id).id)


def days(unit: Unit, workspace_id: str, first: str, last: str) -> dict[str, Totals]:
    """Day → sums, oldest first; days without use are left out."""
    readable(unit, workspace_id)
    return metering_record.totals(unit.session, "day", workspace_id=workspace_id, first=first, last=last)
