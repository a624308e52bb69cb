"""汇总预览: a declared question about a granted table, answered in aggregate before a job is written.

It is asked of the grant's real binding, in a process of its own that ends with the answer, by a statement the platform
writes (`preview_rules`). What it protects is each answer. Two answers can be subtracted from one another: that is
bounded by the day's number of questions and shows in the record, and nothing here is a release.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from policies.text import Text, UserError
from sandbox.applications import rowrule
from sandbox.applications.repository import Grant
from sandbox.catalog import repository as catalogue
from sandbox.kernel import editions
from sandbox.kernel.errors import BadInput, InvalidTransition, LimitExceeded
from sandbox.kernel.identity import Actor
from sandbox.kernel.ids import new_id
from sandbox.kernel.unit import Platform, Unit
from sandbox.workspaces import ending, metering, preview_rules, readable, service, snapshot, tiers
from sandbox.workspaces.preview_record import NOT_RUN, STARTED, Preview, asked_since, previews
from sandbox.workspaces.preview_rules import COUNTS, VALUES, Asked, Measure, Shown
from sandbox.workspaces.readable import ColumnUse
from sandbox.workspaces.reading import ReadRefused
from sandbox.workspaces.repository import Workspace

if TYPE_CHECKING:
    from sandbox.workspaces.broker import Broker, QueryFailed, QueryResult

MARK = Text("汇总预览·不得出域", "aggregate preview · must not leave")
MAX_GROUPS, MAX_MEASURES = 3, 4
DAY = timedelta(days=1)
_NUMBERS = ("integer", "decimal")


@dataclass(frozen=True, slots=True)
class PreviewTable:
    """A granted table as it may be asked about now. `keys`: the columns of its registered entity keys."""

    name: str
    grant: Grant
    columns: tuple[ColumnUse, ...]
    """those that may be named"""
    keys: tuple[str, ...]
    withheld: Text | None
    left: int
    """questions left within the day"""

    @property
    def numbers(self) -> tuple[ColumnUse, ...]:
        return tuple(c for c in self.columns if c.type in _NUMBERS)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A question as it comes: names and values are whatever somebody sent."""

    table: str
    groups: Sequence[str]
    measures: Sequence[tuple[str, str]]
    conditions: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Recorded:
    """A question on record and what it changed of the one before it on the same table and groups, if there is one."""

    record: Preview
    asked: Asked
    differs: list[Text] | None


def tables(unit: Unit, workspace_id: str) -> list[PreviewTable]:
    """The granted tables with what may be asked of each, and why not the rest."""
    named = service.granted_tables(unit, service.read(unit, workspace_id))
    return [_table(unit, name, granted) for name, granted in named.items()]


def limits(unit: Unit) -> Any:
    """The policy's rule (policies.schema.workspace.AggregatePreview)."""
    return editions.in_force(unit, "workspace").by_check("aggregate_preview").parameters


def _table(unit: Unit, name: str, granted: Grant) -> PreviewTable:
    policy, resource = limits(unit), catalogue.get(unit.session, granted.resource_id)
    keys = tuple(dict.fromkeys(resource.facts.keys.values()))
    columns = tuple(
        c for c in readable.of_grant(unit, granted).columns
        if c.level in policy.levels and not c.direct and c.name not in keys
    )  # fmt: skip
    left = max(0, policy.per_day - asked_since(unit.session, granted.id, unit.now - DAY))
    withheld = _withheld(unit, granted, columns, keys, policy)
    return PreviewTable(name, granted, columns, keys, withheld, left)


def _withheld(
    unit: Unit, granted: Grant, columns: Sequence[ColumnUse], keys: Sequence[str], policy: Any
) -> Text | None:
    if readable.lifted_to(unit, granted) - set(policy.levels):
        return Text("按整表分级不能预览，只能通过作业使用", "By the grade of the whole table: jobs only")
    if set(keys) - set(granted.columns):
        return Text(
            "主体标识列未获授权，无法按主体计数", "The column of its entities is not granted, so they cannot be counted"
        )
    names = {c.name for c in columns}
    if told := sorted({c["column"] for c in granted.rows} - names):
        return Text(
            f"行条件依据“{told[0]}”，而该列不可预览：汇总会透露它的取值",
            f"The rows are chosen by “{told[0]}”, which may not be previewed: figures would tell its value",
        )
    return None if columns else Text("没有可预览的列，只能通过作业使用", "No column may be previewed: jobs only")


def history(unit: Unit, workspace_id: str) -> list[Recorded]:
    """The questions, newest first, each compared with the one before it on the same table and groups."""
    service.read(unit, workspace_id)
    found = previews(unit.session, workspace_id)
    earlier: dict[tuple[Any, ...], Asked] = {}
    told = []
    for record in reversed(found):
        asked = Asked.of(record.table_name, record.asked)
        known = earlier.get(like := (asked.table, frozenset(asked.groups)))
        told.append(Recorded(record, asked, preview_rules.differences(asked, known) if known else None))
        earlier[like] = asked
    return told[::-1]


def preview(platform: Platform, broker: Broker, actor: Actor, workspace_id: str, wanted: Wanted) -> Shown:
    """Answer `wanted` under the policy; it counts against the grant's day and is on record before it runs.

    Raises what `require_usable` raises, `Unavailable` on a tier too weak, `BadInput` for a question that names what it
    may not, `LimitExceeded` once the day's questions are used up, `ReadRefused` when the statement fails. A grant that
    ends meanwhile ends the statement, and an answer that was under way is thrown away.
    """
    with platform.begin(actor) as unit:
        workspace = service.require_usable(unit, workspace_id, "rows:preview")
        tiers.require_for_real_data(unit)
        accepted = tiers.accepted(unit)
        metering.require_quota(unit, workspace_id, "read")
        table, asked = _checked(unit, workspace, wanted)
        number = _reserve(unit, workspace, table, asked)
        place = snapshot.load(unit.settings.snapshots_root, (table.grant.snapshot or {})["real"]["digest"]).path
        least, quota_mb = limits(unit).min_group, service.folder_mb(unit)
    broker.accepted = accepted  # the operator's decision as it stands now
    try:
        root = platform.settings.workspaces_root
        answer = _answered(broker, workspace_id, root, place, table, asked, least, quota_mb)
    except UserError:
        with platform.begin(actor) as unit:  # it never began: it tells nothing and counts for nothing
            unit.session.get_one(Preview, number).outcome = NOT_RUN
        raise
    with platform.begin(actor) as unit:
        found, outcome = _decided(unit, workspace_id, table, asked, answer)
        _settle(unit, number, answer, outcome, found)
    if found is not None:
        return found
    raise _why(answer, outcome)


def _checked(unit: Unit, workspace: Workspace, wanted: Wanted) -> tuple[PreviewTable, Asked]:
    granted = service.granted_tables(unit, workspace).get(wanted.table)
    if granted is None:
        raise _bad(f"没有授权表“{wanted.table[:80]}”", f"No granted table “{wanted.table[:80]}”")
    table = _table(unit, wanted.table, granted)
    if table.withheld is not None:
        raise InvalidTransition("preview.withheld", table.withheld, fix=Text("请通过作业使用", "Use a job"))
    groups, measures = tuple(wanted.groups), tuple(Measure(kind, column) for kind, column in wanted.measures)
    if not 1 <= len(groups) <= MAX_GROUPS or len(set(groups)) != len(groups):
        raise _bad(f"请选 1 至 {MAX_GROUPS} 个不同的分组列", f"Choose 1 to {MAX_GROUPS} different group columns")
    if not 1 <= len(measures) <= MAX_MEASURES or len(set(measures)) != len(measures):
        raise _bad(f"请选 1 至 {MAX_MEASURES} 个不同的指标", f"Choose 1 to {MAX_MEASURES} different measures")
    for name in (*groups, *(str(c["column"]) for c in wanted.conditions)):
        _require_named(table, name)
    for measure in measures:
        _require_measure(table, measure)
    types = {c.name: c.type for c in table.columns}
    conditions = rowrule.checked(wanted.conditions, types, types)
    return table, Asked(wanted.table, groups, measures, tuple(map(rowrule.Condition.of, conditions)))


def _require_named(table: PreviewTable, name: str) -> None:
    if any(c.name == name for c in table.columns):
        return
    if name in table.keys:
        raise _bad(f"“{name}”是主体标识，不能用于预览", f"“{name}” identifies entities and cannot be previewed")
    if name in table.grant.columns:
        raise _bad(
            f"“{name}”是直接标识或级别过高，不能用于预览", f"“{name}” is a direct identifier or of too high a level"
        )
    raise _bad(f"没有授权列“{name[:80]}”", f"No granted column “{name[:80]}”")


def _require_measure(table: PreviewTable, measure: Measure) -> None:
    if measure.kind not in (*COUNTS, *VALUES) or (measure.kind in VALUES) != bool(measure.column):
        raise _bad("指标只能是行数、主体数，或某列的均值、合计", "Rows, entities, or the mean or sum of a column")
    if measure.kind == "entities" and not table.keys:
        raise _bad("该表未登记主体标识，请改用行数", "No entity key is registered for the table: use rows")
    if measure.column:
        _require_named(table, measure.column)
        if not any(c.name == measure.column for c in table.numbers):
            raise _bad(f"“{measure.column}”不是数值列", f"“{measure.column}” is no column of numbers")


def _bad(zh: str, en: str) -> BadInput:
    return BadInput(
        "preview.asked", Text(zh, en), fix=Text("请从表单所列的列中选择", "Choose among the columns of the form")
    )


def _reserve(unit: Unit, workspace: Workspace, table: PreviewTable, asked: Asked) -> str:
    """Put the question on record while the workspace's row is held: two at once cannot both be the last."""
    unit.session.get_one(Workspace, workspace.id, with_for_update=True)
    edition = editions.in_force(unit, "workspace")
    most = limits(unit).per_day
    if asked_since(unit.session, table.grant.id, unit.now - DAY) >= most:
        raise LimitExceeded(
            "preview.used_up",
            Text(f"该表 24 小时内最多预览 {most} 次", f"At most {most} previews of this table in 24 hours"),
            fix=Text("请稍后再试，或改用作业", "Try later, or use a job"),
        )
    made = Preview(
        id=new_id("prv"), workspace_id=workspace.id, grant_id=table.grant.id, account_id=unit.actor.id, at=unit.now,
        table_name=asked.table, asked=asked.as_dict(), edition=edition.edition, outcome=STARTED, shown=0,
        milliseconds=0,
    )  # fmt: skip
    unit.session.add(made)
    return made.id


def _answered(
    broker: Broker, workspace_id: str, root: Path, place: Path, table: PreviewTable, asked: Asked, least: int,
    quota_mb: int,
) -> QueryResult | QueryFailed:
    from sandbox.workspaces.broker import Mode, WorkspaceMount

    types = {c.name: c.type for c in table.columns}
    sql, values = preview_rules.statement(asked, types, table.keys, least)
    home = root / workspace_id
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(prefix=ending.PREVIEW, dir=home) as folder:
        tables = {preview_rules.MOUNTED: place}
        mount = WorkspaceMount(workspace_id, Mode.REAL, Path(folder), tables, quota_mb=quota_mb, once=True)
        return broker.query(mount, sql, parameters=values)


def _decided(
    unit: Unit, workspace_id: str, table: PreviewTable, asked: Asked, answer: QueryResult | QueryFailed
) -> tuple[Shown | None, str]:
    from sandbox.workspaces.broker import QueryFailed

    if not ending.usable(unit, workspace_id):
        return None, "ended"
    if isinstance(answer, QueryFailed):
        return None, answer.kind
    kinds = max(1, len(table.keys))
    return preview_rules.shown(asked, answer.rows.to_pylist(), kinds, limits(unit), cut=answer.truncated), "ok"


def _settle(unit: Unit, number: str, answer: QueryResult | QueryFailed, outcome: str, found: Shown | None) -> None:
    record = unit.session.get_one(Preview, number)
    record.outcome, record.shown = outcome, len(found.rows) if found else 0
    record.milliseconds = round(answer.elapsed * 1000)
    conditions = [[c["column"], c["op"]] for c in record.asked["conditions"]]  # values may be about somebody
    unit.audit(
        "rows:preview", "workspace", record.workspace_id, preview=number, outcome=outcome, shown=record.shown,
        table=record.table_name, grant=record.grant_id, groups=record.asked["groups"],
        measures=record.asked["measures"], conditions=conditions,
    )  # fmt: skip
    metering.record(unit, record.workspace_id, "read", answer.usage, subject=number, rows=record.shown)


def _why(answer: QueryResult | QueryFailed, outcome: str) -> Exception:
    from sandbox.workspaces.broker import QueryFailed

    if isinstance(answer, QueryFailed) and outcome != "ended":
        return ReadRefused(answer)
    return InvalidTransition(
        "preview.ended", Text("授权已结束，结果已丢弃", "The grant has ended; the result was discarded"),
        fix=Text("请查看申请状态", "Look at the application's state"),
    )  # fmt: skip
