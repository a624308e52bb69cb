"""Quotas of a workspace: the same for each by policy, and higher for a while where the operator granted it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from policies.schema.base import Edition
from policies.schema.workspace import Quotas
from policies.text import Text
from sandbox.kernel import editions, permissions
from sandbox.kernel.clock import city_date
from sandbox.kernel.errors import BadInput, Conflict
from sandbox.kernel.ids import new_id
from sandbox.kernel.unit import Unit
from sandbox.workspaces import metering_record as record
from sandbox.workspaces import service
from sandbox.workspaces.metering_record import QuotaRequest, Sums
from sandbox.workspaces.model import QUOTA

HIGHEST = 100
"""how many times the common quota somebody may ask for"""
LONGEST_DAYS = 366


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing that is limited. `parameter` names it in the rules, whose unit is `size` of the ledger's."""

    name: str
    parameter: str
    size: int
    label: Text
    unit: Text
    daily: bool = True


MEASURES: dict[str, Measure] = {
    m.name: m
    for m in (
        Measure("cpu", "cpu_minutes_per_day", 60_000_000, Text("处理器时间", "processor time"),
                Text("分钟", "minutes")),
        Measure("memory", "memory_gb_hours_per_day", 1024 * 3_600_000, Text("内存时间", "memory-time"),
                Text("GB·小时", "GB hours")),
        Measure("storage", "storage_mb", 1024, Text("存储", "storage"), Text("MB", "MB"), daily=False),
        Measure("queries", "queries_per_day", 1, Text("查询次数", "queries"), Text("次", "times")),
        Measure("reads", "reads_per_day", 1, Text("读数次数", "reads of granted rows"), Text("次", "times")),
        Measure("scripts", "scripts_per_day", 1, Text("脚本次数", "scripts"), Text("次", "times")),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Standing:
    """How one measure stands, in the ledger's units (storage in KB)."""

    measure: Measure
    used: int
    limit: int
    warn_percent: int
    raised_until: str | None = None

    @property
    def near(self) -> bool:
        return not self.full and self.used * 100 >= self.limit * self.warn_percent

    @property
    def full(self) -> bool:
        return self.used >= self.limit

    @property
    def percent(self) -> int:
        return self.used * 100 // self.limit


def common(rules: Edition[Any]) -> dict[str, Standing]:
    """What every workspace may use under these rules, nothing of it used yet."""
    shared: Quotas = rules.by_check("quotas").parameters
    return {
        name: Standing(measure, 0, getattr(shared, measure.parameter) * measure.size, shared.warn_percent)
        for name, measure in MEASURES.items()
    }


def raised(unit: Unit, workspace_id: str, standings: Mapping[str, Standing]) -> dict[str, Standing]:
    """The same with what was granted to this workspace and holds today; a grant never lowers a quota."""
    today = city_date(unit.now).isoformat()
    held = [r for r in record.requests(unit.session, workspace_id, ("granted",)) if (r.until or "") >= today]
    found = dict(standings)
    for request in sorted(held, key=lambda r: r.granted or 0):
        one = found.get(request.measure)
        limit = (request.granted or 0) * MEASURES[request.measure].size
        if one is not None and limit > one.limit:
            found[request.measure] = replace(one, limit=limit, raised_until=request.until)
    return found


def used(today: Sums) -> dict[str, int]:
    """What a day's sums say for each daily measure, in the ledger's units."""
    return {
        "cpu": today.cpu_us, "memory": today.memory_mb_ms, "queries": today.queries, "reads": today.reads,
        "scripts": today.scripts,
    }  # fmt: skip


def standings(unit: Unit, workspace_id: str, *, stored: bool = True) -> dict[str, Standing]:
    """How every measure stands now; `stored` False leaves out storage, which has to be measured.

    What was granted is looked up only where the common quota is nearly used: a grant can only be higher.
    """
    today = record.of_day(unit.session, workspace_id, city_date(unit.now).isoformat())
    sums = used(today) | ({"storage": own_kb(unit, workspace_id)} if stored else {})
    shared = common(editions.in_force(unit, "workspace"))
    found = {name: replace(shared[name], used=amount) for name, amount in sums.items()}
    return raised(unit, workspace_id, found) if stored or any(s.near or s.full for s in found.values()) else found


def own_kb(unit: Unit, workspace_id: str) -> int:
    """What the workspace's own folder takes on disk now."""
    return folder_kb(unit.settings.workspaces_root / workspace_id)


def folder_kb(folder: Path) -> int:
    """Allocated kilobytes below `folder`, rounded up; links are not followed, what vanishes meanwhile is left out."""
    blocks = 0
    for root, _folders, files in os.walk(folder):
        for name in files:
            try:
                blocks += Path(root, name).lstat().st_blocks
            except OSError:
                continue
    return -(-blocks // 2)


# ---- asking for more ----


def ask(unit: Unit, workspace_id: str, measure: str, wanted: int, reason: str) -> QuotaRequest:
    """A merchant asks for a higher quota, `wanted` in the measure's unit, with a reason.

    Raises what `require_usable` raises: where nothing can be worked on any more, more of it is of no use.
    """
    workspace = service.require_usable(unit, workspace_id, "quota:request")
    known = _measure(measure)
    common = getattr(editions.in_force(unit, "workspace").by_check("quotas").parameters, known.parameter)
    if not common < wanted <= common * HIGHEST:
        raise BadInput(
            "quota.amount",
            Text(f"申请的额度须大于 {common}，且不超过 {common * HIGHEST}",
                 f"Ask for more than {common} and at most {common * HIGHEST}"),
            fix=Text(f"单位是{known.unit.zh}", f"The unit is {known.unit.en}"),
        )  # fmt: skip
    if not reason.strip():
        raise BadInput("quota.reason", Text("请写明理由", "Give a reason"),
                       fix=Text("说明用来做什么、需要多久", "Say what it is for and for how long"))  # fmt: skip
    waiting = record.requests(unit.session, workspace_id, ("submitted",))
    if any(r.measure == measure for r in waiting):
        raise Conflict("quota.waiting", Text("这一项已有待办理的申请", "A request for this waits already"),
                       fix=Text("请等待办理，或先撤回", "Wait for it, or withdraw it first"))  # fmt: skip
    made = QuotaRequest(
        id=new_id("quo"), organisation_id=workspace.organisation_id, state=QUOTA.initial, state_since=unit.now,
        created_at=unit.now, workspace_id=workspace_id, author_id=unit.actor.id, measure=measure, wanted=wanted,
        reason=reason.strip(), granted=None, until=None, answer="",
    )  # fmt: skip
    unit.session.add(made)
    unit.session.flush()
    unit.audit("quota:submit", "quota", made.id, workspace=workspace_id, measure=measure, wanted=wanted)
    return made


def grant(unit: Unit, request_id: str, amount: int, until: date) -> QuotaRequest:
    """The operator grants `amount` (the new quota, in the measure's unit) up to and including `until`."""
    found = record.request(unit.session, request_id)
    QUOTA.check(unit, found, "grant")
    common = getattr(editions.in_force(unit, "workspace").by_check("quotas").parameters,
                     _measure(found.measure).parameter)  # fmt: skip
    today = city_date(unit.now)
    if not common < amount <= common * HIGHEST:
        raise BadInput("quota.amount", Text(f"额度须大于 {common}，且不超过 {common * HIGHEST}",
                                            f"More than {common} and at most {common * HIGHEST}"))  # fmt: skip
    if not today <= until <= today + timedelta(days=LONGEST_DAYS):
        raise BadInput(
            "quota.until", Text("截止日期须在今天之后的一年以内", "The last day is within a year from today")
        )
    found.granted, found.until = amount, until.isoformat()
    QUOTA.advance(unit, found, "grant", amount=amount, until=found.until)
    return found


def decide(unit: Unit, request_id: str, step: str, reason: str) -> QuotaRequest:
    """Refuse or take back (operator, with a reason), or withdraw (merchant)."""
    found = record.request(unit.session, request_id)
    if step not in ("reject", "revoke", "withdraw"):
        raise BadInput("quota.step", Text("没有这个操作", "There is no such step"))
    QUOTA.advance(unit, found, step, reason=reason)
    found.answer = reason.strip()
    return found


def read(unit: Unit, request_id: str) -> QuotaRequest:
    found = record.request(unit.session, request_id)
    permissions.check(unit.actor, "quota:read", owner=found.organisation_id)
    return found


def list_for(unit: Unit, workspace_id: str | None = None) -> list[QuotaRequest]:
    """Requests within the actor's reach, newest first."""
    permissions.check(unit.actor, "quota:read")
    found = record.requests(unit.session, workspace_id)
    return [r for r in found if permissions.permitted(unit.actor, "quota:read", owner=r.organisation_id)]


def _measure(name: str) -> Measure:
    if name not in MEASURES:
        raise BadInput("quota.measure", Text("没有这一项配额", "There is no such quota"))
    return MEASURES[name]
