"""SQL on the simulated twin, as a merchant develops: run, cancel, follow, look at a table, see what there is.

The engine works outside any transaction; the permission is tested before, and what became of it is recorded after.
Only the twin is ever mounted here. Real rows that a grant lets people read are `reading.py`.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from policies.text import Text
from sandbox.catalog import repository as catalogue
from sandbox.kernel.errors import BadInput
from sandbox.kernel.identity import Actor
from sandbox.kernel.ids import new_id
from sandbox.kernel.unit import Platform, Unit
from sandbox.workspaces import metering, own_record, service, uploads, wording, wording_errors
from sandbox.workspaces.lexing import tokens
from sandbox.workspaces.repository import STATEMENT_CHARS, Statement, Workspace, keep

if TYPE_CHECKING:
    from sandbox.workspaces.broker import Broker, WorkspaceMount
    from sandbox.workspaces.conversation import Parameters, QueryFailed, QueryResult, Sink

PEEK_ROWS = 20


@dataclass(slots=True)
class UnderWay:
    """The query that a workspace runs just now. `place` is its place in the queue (0: it runs), `percent` how far it
    is (−1: nobody knows)."""

    account_id: str
    began: float = field(default_factory=time.monotonic)
    place: int = 0
    percent: int = -1

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def hears(self, listener: Callable[[int], None] | None) -> Callable[[int], None]:
        """What the broker tells its progress to."""

        def progress(percent: int) -> None:
            self.percent, self.place = percent, 0
            if listener is not None:
                listener(percent)

        return progress

    def waits(self, listener: Callable[[int], None] | None) -> Callable[[int], None]:
        """What the broker tells the place in the queue to."""

        def waiting(place: int) -> None:
            self.place = place
            if listener is not None:
                listener(place)

        return waiting


_under_way: dict[str, UnderWay] = {}
"""workspace → its running query; of this process, which holds the only broker"""
_own_questions: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
"""workspace → held while the platform itself asks (the tree, a peek): a person's query waits for that moment instead
of being told that the workspace is busy"""


def query(
    platform: Platform,
    broker: Broker,
    actor: Actor,
    workspace_id: str,
    sql: str,
    *,
    parameters: Parameters | None = None,
    sink: Sink | None = None,
    progress: Callable[[int], None] | None = None,
    waiting: Callable[[int], None] | None = None,
    cancel: threading.Event | None = None,
) -> QueryResult:
    """Run SQL on the simulated twin and keep the statement in the history.

    `parameters`, `sink`, `progress`, `waiting` and `cancel` as in `Broker.query`. Raises `QueryRefused`, in the
    merchant's words with the place and the engine's text, when a statement does not succeed, and UserError for what
    stands in the way before anything runs.
    """
    from sandbox.workspaces.conversation import QueryFailed

    with platform.looking(actor) as unit:
        mount = mount_of(unit, workspace_id, counted=True)
    with _own_questions[workspace_id]:
        pass
    with _followed(workspace_id, actor) as followed:
        answer = broker.query(
            mount, sql, parameters=parameters, progress=followed.hears(progress), waiting=followed.waits(waiting),
            cancel=cancel, sink=sink,
        )  # fmt: skip
    outcome, rows = (answer.kind, 0) if isinstance(answer, QueryFailed) else ("ok", _rows(answer))
    with platform.begin(actor) as unit:
        number = new_id("stm")
        metering.record(unit, workspace_id, "query", answer.usage, subject=number, rows=rows)
        _record(unit, number, workspace_id, sql, outcome, rows, answer)
    if isinstance(answer, QueryFailed):
        raise QueryRefused(answer)
    return answer


def cancel(platform: Platform, broker: Broker, actor: Actor, workspace_id: str) -> bool:
    """Ask the workspace's running query to stop; False when none runs."""
    from sandbox.workspaces.broker import Mode

    with platform.begin(actor) as unit:
        service.require_usable(unit, workspace_id, "workspace:query")
    return broker.cancel(workspace_id, Mode.SIMULATED)


def under_way(unit: Unit, workspace_id: str) -> UnderWay | None:
    """The query that runs now, if any."""
    service.require_usable(unit, workspace_id, "workspace:query")
    return _under_way.get(workspace_id)


@contextmanager
def _followed(workspace_id: str, actor: Actor) -> Iterator[UnderWay]:
    """The query, for the workspace's people to see while it runs. A second one is about to be refused: not shown."""
    mine = UnderWay(actor.id)
    shown = _under_way.setdefault(workspace_id, mine)
    try:
        yield mine
    finally:
        if shown is mine:
            _under_way.pop(workspace_id, None)


def mount_of(unit: Unit, workspace_id: str, *, counted: bool = False) -> WorkspaceMount:
    """The workspace's own folder and twin tables as the broker mounts them. Raises when it cannot be used now, or when
    what is about to run is `counted` and the day's quota is used up."""
    from sandbox.workspaces.broker import Mode, WorkspaceMount

    workspace = service.require_usable(unit, workspace_id, "workspace:query")
    if counted:
        metering.require_quota(unit, workspace_id, "query")
    folder = unit.settings.workspaces_root / workspace.id
    tables, quota_mb = uploads.with_granted(unit, workspace), service.folder_mb(unit)
    return WorkspaceMount(workspace.id, Mode.SIMULATED, folder, tables, quota_mb=quota_mb)


class QueryRefused(BadInput):
    """A statement that did not succeed, in the merchant's words; the engine's text is about simulated data."""

    def __init__(self, failed: QueryFailed) -> None:
        course, diagnosis = failed.course, failed.diagnosis
        explained = wording_errors.explain(diagnosis.code, diagnosis.facts)
        text, fix = explained or (failed.text, failed.fix)
        left = wording.left_behind(len(course.done), course.failed, rolled_back=course.rolled_back)
        super().__init__(
            f"query.{failed.kind}", text, fix=fix, line=failed.line, column=failed.column,
            engine_text=failed.engine_text, reason=diagnosis.code, facts=dict(diagnosis.facts),
            statement=course.failed, left=left.as_dict() if left else None, statements=[said(d) for d in course.done],
            milliseconds=round(failed.elapsed * 1000),
        )  # fmt: skip
        self.failed = failed


def said(done: Any) -> dict[str, Any]:
    """One statement that ran, for people and programs."""
    return {
        "kind": done.kind, "subject": done.subject, "rows": done.rows, "milliseconds": done.milliseconds,
        "line": done.line, "text": wording.done(done.kind, done.subject, done.rows).as_dict(),
    }  # fmt: skip


def _rows(answer: QueryResult) -> int:
    """Rows returned, or changed where nothing is returned."""
    last = answer.course.done[-1].rows if answer.course.done else None
    return answer.row_count or last or 0


def _record(
    unit: Unit, number: str, workspace_id: str, sql: str, outcome: str, rows: int, answer: QueryResult | QueryFailed
) -> None:
    made = Statement(
        id=number, workspace_id=workspace_id, account_id=unit.actor.id, at=unit.now, text=sql[:STATEMENT_CHARS],
        outcome=outcome, rows=rows, milliseconds=round(answer.elapsed * 1000),
    )  # fmt: skip
    keep(unit.session, made)
    unit.audit("workspace:query", "workspace", workspace_id, outcome=outcome, rows=rows, simulated=True,
               tables=list(answer.tables))  # fmt: skip


# ---- what there is ----


@dataclass(frozen=True, slots=True)
class ObjectColumn:
    """A column of a table or view. `type` as the engine calls it; what the catalogue says of it, for granted tables."""

    name: str
    type: str
    comment: str = ""
    word: str = ""
    """the catalogue's type (text, integer, …)"""
    level: int | None = None
    role: str = ""


@dataclass(frozen=True, slots=True)
class Object:
    """Something that a statement can name. `kind`: granted (a simulated twin), uploaded (the merchant's own data),
    table, view or macro."""

    kind: str
    name: str
    columns: tuple[ObjectColumn, ...] = ()
    rows: int | None = None
    comment: str = ""
    definition: str = ""


def granted(unit: Unit, workspace: Workspace) -> list[Object]:
    """The granted twin tables, with what the catalogue says of each column."""
    found = []
    for name, grant in service.granted_tables(unit, workspace).items():
        resource = catalogue.get(unit.session, grant.resource_id)
        known = {c.name: c for c in catalogue.columns(unit.session, resource.id)}
        twin = (grant.snapshot or {})["twin"]
        types = {str(n): str(t) for n, t in twin.get("columns", ())}
        columns = tuple(
            ObjectColumn(n, types.get(n, ""), known[n].comment, known[n].type, known[n].level, known[n].identifier_role)
            if n in known else ObjectColumn(n, types.get(n, ""))
            for n in grant.columns
        )  # fmt: skip
        found.append(Object("granted", name, columns, twin.get("rows"), resource.description))
    return found


_READ = {"String": "text", "Int": "integer", "UInt": "integer", "Float": "decimal", "Decimal": "decimal",
         "Date": "date", "Datetime": "timestamp", "Boolean": "boolean"}  # fmt: skip
"""What the check of an upload calls a type → the catalogue's word for it"""


def uploaded(unit: Unit, workspace: Workspace) -> list[Object]:
    """The tables that the merchant brought in, as their check read them."""
    mounted = uploads.tables(unit, workspace)
    return [
        Object("uploaded", u.name, tuple(
            ObjectColumn(c["name"], c["type"], word=_READ.get(c["type"].rstrip("0123456789").partition("(")[0], ""))
            for c in (u.report or {})["columns"]
        ), (u.report or {})["rows"], u.provenance["source"])
        for u in own_record.uploads(unit.session, workspace.id) if u.state == "accepted" and u.name in mounted
    ]  # fmt: skip


_OWN_TABLES = """
SELECT c.table_name AS name, t.kind, t.rows, c.column_name, c.data_type, t.definition
FROM duckdb_columns() c
JOIN (SELECT table_oid AS oid, 'table' AS kind, estimated_size AS rows, NULL AS definition, temporary, database_name
      FROM duckdb_tables() WHERE NOT internal
      UNION ALL SELECT view_oid, 'view', NULL, sql, temporary, database_name FROM duckdb_views() WHERE NOT internal) t
  ON c.table_oid = t.oid AND c.database_name = t.database_name
WHERE NOT c.internal
ORDER BY t.kind, name, c.column_index
"""
_OWN_MACROS = """
SELECT function_name AS name, parameters, macro_definition AS definition
FROM duckdb_functions() WHERE NOT internal AND function_type IN ('macro', 'table_macro') ORDER BY name
"""


def objects(platform: Platform, broker: Broker, actor: Actor, workspace_id: str) -> list[Object]:
    """Everything that a statement can name: granted twin tables first, then the workspace's own tables, views and
    macros. Raises WorkspaceBusy while a query runs."""
    with platform.begin(actor) as unit:
        mount = mount_of(unit, workspace_id)
        workspace = service.read(unit, workspace_id)
        found = [*granted(unit, workspace), *uploaded(unit, workspace)]
    taken = {one.name.casefold() for one in found}
    own: dict[str, Object] = {}
    for row in ask(broker, mount, _OWN_TABLES).rows.to_pylist():
        column = ObjectColumn(row["column_name"], row["data_type"])
        before = own.get(row["name"])
        columns = (*before.columns, column) if before else (column,)
        own[row["name"]] = Object(row["kind"], row["name"], columns, row["rows"], "", row["definition"] or "")
    macros = [
        Object("macro", row["name"], tuple(ObjectColumn(p, "") for p in row["parameters"]), None, "", row["definition"])
        for row in ask(broker, mount, _OWN_MACROS).rows.to_pylist()
    ]  # fmt: skip
    return [*found, *(o for o in own.values() if o.name.casefold() not in taken), *macros]


@dataclass(frozen=True, slots=True)
class Peek:
    """The first rows of a table and a summary of each column (DuckDB's SUMMARIZE)."""

    table: str
    first: QueryResult
    summary: QueryResult


def peek(platform: Platform, broker: Broker, actor: Actor, workspace_id: str, table: str) -> Peek:
    """Look at a table or view of the workspace; on record, but not a statement of the history."""
    from sandbox.workspaces.engine import identifier

    with platform.begin(actor) as unit:
        mount = mount_of(unit, workspace_id)
        unit.audit("workspace:query", "workspace", workspace_id, outcome="ok", simulated=True, tables=[table[:200]])
    first = ask(broker, mount, f"SELECT * FROM {identifier(table)} LIMIT {PEEK_ROWS}")
    return Peek(table, first, ask(broker, mount, f"SUMMARIZE {identifier(table)}"))


def ask(
    broker: Broker, mount: WorkspaceMount, sql: str, *, parameters: Parameters | None = None, before: int = 0
) -> QueryResult:
    """The platform's own question to a workspace, outside the history. Raises `QueryRefused`, with places counted
    after the first `before` characters, which the platform put there."""
    from sandbox.workspaces.conversation import QueryFailed

    with _own_questions[mount.workspace_id]:
        answer = broker.query(mount, sql, parameters=parameters)
    if isinstance(answer, QueryFailed):
        if answer.line == 1 and answer.column is not None:
            answer = replace(answer, column=max(1, answer.column - before))
        raise QueryRefused(answer)
    return answer


def parameters_of(sql: str) -> list[str]:
    """The parameters that a text asks for, in order: names without `$`, or "1", "2" … for `?` and `$1`."""
    found: dict[str, None] = {}
    places = 0
    for token in tokens(sql):
        if token.kind == "parameter":
            bare = token.text.lstrip("$?")
            places += not bare
            found[bare or str(places)] = None
    return list(found)


def bound(sql: str, given: dict[str, Any]) -> Parameters | None:
    """Values by name as the engine takes them: a list where the text counts its parameters, else a mapping."""
    wanted = parameters_of(sql)
    if not wanted:
        return None
    missing = [name for name in wanted if name not in given]
    if missing:
        raise BadInput(
            "query.parameter",
            Text(f"参数 {'、'.join(missing)} 没有给值", f"No value for {', '.join(missing)}"),
            fix=Text("请填写后再运行", "Fill it in and run again"),
        )
    if all(name.isdecimal() and len(name) < 4 for name in wanted):
        return [given.get(str(n)) for n in range(1, max(map(int, wanted)) + 1)]
    return {name: given[name] for name in wanted}
