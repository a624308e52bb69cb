"""Reading granted real rows: SELECT only, what the levels allow, under daily limits, every statement recorded.

What comes back are rows of levels 1–2 as they are and of level 3 with pseudonyms (see `readable`); a person may look
at them, they must not leave (授权数据·不得出域). The limits slow copying down and make it show; they cannot stop
somebody from writing down what is on the screen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from policies.text import Text
from sandbox.applications.repository import Grant
from sandbox.applications.rowrule import Condition
from sandbox.kernel import editions
from sandbox.kernel.errors import BadInput, InvalidTransition, LimitExceeded
from sandbox.kernel.identity import Actor
from sandbox.kernel.ids import new_id
from sandbox.kernel.unit import Platform, Unit
from sandbox.workspaces import ending, metering, readable, service, snapshot, tiers
from sandbox.workspaces.readable import TableUse
from sandbox.workspaces.reading_record import RowRead, RowReadGrant, reads, rows_since, statements_since
from sandbox.workspaces.repository import Workspace

if TYPE_CHECKING:
    import pyarrow as pa

    from sandbox.workspaces.broker import Broker, QueryFailed, QueryResult

MARK = Text("授权数据·不得出域", "granted data · must not leave")
DAY = timedelta(days=1)
_STRICTER = Text("分级已提高，已停止读取；仍可通过作业使用", "The grade was raised: jobs only")
_NOT_BUILT = Text("可读部分尚未生成", "The readable part has not been built")


@dataclass(frozen=True, slots=True)
class ReadableTable:
    """One granted table as it may be read now."""

    name: str
    grant: Grant
    use: TableUse
    withheld: Text | None
    rows_left: int
    """rows that may still be read within the day"""

    @property
    def conditions(self) -> list[Condition]:
        """What its rows have in common: the grant's row rule."""
        return [Condition.of(c) for c in self.grant.rows]


@dataclass(frozen=True, slots=True)
class Rows:
    """What one statement gave. `truncated`: there was more than may be shown."""

    table: pa.Table
    truncated: bool
    elapsed: float
    touched: tuple[str, ...]


class ReadRefused(BadInput):
    """A statement on real rows that gave no result: the kind of failure, never the engine's text."""

    def __init__(self, failed: QueryFailed) -> None:
        super().__init__(f"query.{failed.kind}", failed.text, fix=failed.fix)


def tables(unit: Unit, workspace_id: str) -> list[ReadableTable]:
    """The granted tables with what may be read of each, and why not the rest."""
    workspace = service.read(unit, workspace_id)
    return _tables(unit, workspace)


def _tables(unit: Unit, workspace: Workspace) -> list[ReadableTable]:
    named = service.granted_tables(unit, workspace)
    used = rows_since(unit.session, [g.id for g in named.values()], unit.now - DAY)
    most = limits(unit).rows_per_day
    found = []
    for name, granted in named.items():
        use = readable.of_grant(unit, granted)
        withheld = use.withheld or _held_back(granted, use)
        found.append(ReadableTable(name, granted, use, withheld, max(0, most - used[granted.id])))
    return found


def _held_back(granted: Grant, use: TableUse) -> Text | None:
    """Bytes are built once: where a grade was raised since, they hold more than may be read now."""
    bytes_hold = ((granted.snapshot or {}).get("rows") or {}).get("plan")
    if bytes_hold is None:
        return _NOT_BUILT
    now = use.plan()
    fine = all(name in now and (how != "rows" or now[name] == "rows") for name, how in bytes_hold.items())
    return None if fine else _STRICTER


def limits(unit: Unit) -> Any:
    """The policy's limits on reading rows (policies.schema.workspace.Reading)."""
    return editions.in_force(unit, "workspace").by_check("row_reading").parameters


def history(unit: Unit, workspace_id: str) -> list[RowRead]:
    """The statements that were run on real rows, newest first."""
    service.read(unit, workspace_id)
    return reads(unit.session, workspace_id)


def read(platform: Platform, broker: Broker, actor: Actor, workspace_id: str, sql: str) -> Rows:
    """Run one SELECT on the readable rows and record it, whatever becomes of it.

    Raises what `require_usable` raises, `Unavailable` on a tier too weak, `LimitExceeded` over a daily limit,
    `ReadRefused` for a statement that fails or is refused. A grant that ends while the statement runs ends it, and an
    answer that was under way is thrown away.
    """
    from sandbox.workspaces.broker import Mode, QueryFailed, WorkspaceMount

    with platform.begin(actor) as unit:
        workspace = service.require_usable(unit, workspace_id, "rows:read")
        tiers.require_for_real_data(unit)
        accepted = tiers.accepted(unit)
        metering.require_quota(unit, workspace_id, "read")
        _require_statements_left(unit, workspace_id)
        open_tables = {t.name: t for t in _tables(unit, workspace) if t.withheld is None}
        mounted, quota_mb = _mounted(unit, open_tables), service.folder_mb(unit)
    broker.accepted = accepted  # the operator's decision as it stands now
    folder = platform.settings.workspaces_root / workspace_id
    mount = WorkspaceMount(workspace_id, Mode.REAL, folder, mounted, quota_mb=quota_mb)
    answer = broker.query(mount, sql)
    with platform.begin(actor) as unit:
        ended = not ending.usable(unit, workspace_id)
        charged = _charged(answer.tables, isinstance(answer, QueryFailed), open_tables)
        kept, outcome = (None, "ended") if ended else _kept(unit, answer, charged)
        number = _record(unit, workspace_id, sql, outcome, kept, charged, answer.elapsed)
        rows = kept.table.num_rows if kept else 0
        metering.record(unit, workspace_id, "read", answer.usage, subject=number, rows=rows)
    if kept is not None:
        return kept
    raise _why(answer, outcome)


def _require_statements_left(unit: Unit, workspace_id: str) -> None:
    most = limits(unit).statements_per_day
    if statements_since(unit.session, workspace_id, unit.now - DAY) >= most:
        raise LimitExceeded(
            "rows.statements", Text(f"24 小时内最多读取 {most} 次", f"At most {most} statements on rows in 24 hours"),
            fix=Text("请稍后再试，或改用作业", "Try later, or use a job"),
        )  # fmt: skip


def _mounted(unit: Unit, open_tables: Mapping[str, ReadableTable]) -> dict[str, Path]:
    if not open_tables:
        raise InvalidTransition(
            "rows.nothing", Text("没有可读取的授权表", "No granted table may be read"),
            fix=Text("请查看各表说明，或通过作业使用", "See why at each table, or use jobs"),
        )  # fmt: skip
    root = unit.settings.snapshots_root
    return {
        name: snapshot.load(root, (t.grant.snapshot or {})["rows"]["digest"]).path for name, t in open_tables.items()
    }


def _charged(touched: tuple[str, ...], failed: bool, open_tables: Mapping[str, ReadableTable]) -> dict[str, str]:
    """Table → grant that the answer counts against. An answer that names no table counts against every one: the
    worker that says so is not trusted."""
    named = {name.casefold() for name in touched}
    found = {name: t.grant.id for name, t in open_tables.items() if name.casefold() in named}
    return found if found or failed else {name: t.grant.id for name, t in open_tables.items()}


def _kept(unit: Unit, answer: QueryResult | QueryFailed, charged: Mapping[str, str]) -> tuple[Rows | None, str]:
    """What of the answer may be shown, and the outcome. The workspace's row is held, so that two answers at once
    cannot both use up what is left."""
    from sandbox.workspaces.broker import QueryFailed

    if isinstance(answer, QueryFailed):
        return None, answer.kind
    policy = limits(unit)
    used = rows_since(unit.session, list(charged.values()), unit.now - DAY)
    left = policy.rows_per_day - max(used.values(), default=0)
    if left <= 0 and answer.row_count:
        return None, "rows_used_up"
    table = answer.rows.slice(0, min(policy.rows_per_answer, left))
    while table.nbytes > policy.kilobytes_per_answer * 1024 and table.num_rows > 1:
        table = table.slice(0, table.num_rows // 2)
    if table.nbytes > policy.kilobytes_per_answer * 1024:
        return None, "too_big"
    truncated = answer.truncated or table.num_rows < answer.row_count
    return Rows(table, truncated, answer.elapsed, tuple(sorted(charged))), "ok"


def _record(
    unit: Unit, workspace_id: str, sql: str, outcome: str, kept: Rows | None, charged: Mapping[str, str], seconds: float
) -> str:
    rows, touched = (kept.table.num_rows if kept else 0), sorted(charged)
    made = RowRead(
        id=new_id("rrd"), workspace_id=workspace_id, account_id=unit.actor.id, at=unit.now, text=sql[:20_000],
        outcome=outcome, tables=touched, rows=rows, milliseconds=round(seconds * 1000),
    )  # fmt: skip
    unit.session.add(made)
    for grant_id in charged.values() if rows else ():
        unit.session.add(RowReadGrant(read_id=made.id, grant_id=grant_id, at=unit.now, rows=rows))
    unit.audit(
        "rows:read", "workspace", workspace_id, read=made.id, outcome=outcome, rows=rows, tables=touched,
        grants=sorted(charged.values()),
    )  # fmt: skip
    return made.id


def _why(answer: QueryResult | QueryFailed, outcome: str) -> Exception:
    from sandbox.workspaces.broker import QueryFailed

    if outcome == "ended":
        return InvalidTransition(
            "rows.ended", Text("授权已结束，结果已丢弃", "The grant has ended; the result was discarded"),
            fix=Text("请查看申请状态", "Look at the application's state"),
        )  # fmt: skip
    if outcome == "rows_used_up":
        return LimitExceeded(
            "rows.used_up", Text("该表今日可读行数已用完", "Today's rows of this table are used up"),
            fix=Text("请 24 小时后再读，或改用作业", "Read again after 24 hours, or use a job"),
        )  # fmt: skip
    if isinstance(answer, QueryFailed):
        return ReadRefused(answer)
    return LimitExceeded(
        "rows.too_big", Text("单行结果过大，不予显示", "One row of the result is too big to be shown"),
        fix=Text("请减少列，勿把多行拼成一行", "Select fewer columns and do not pack rows into one"),
    )  # fmt: skip
