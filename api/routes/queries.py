"""开发: SQL on the simulated twin — results as JSON, JSON lines or Arrow, plans, history, saved queries, downloads."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

import pyarrow as pa
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import Field
from starlette.background import BackgroundTask

from api import errors
from api.deps import Acting, Asked, AskedFirst, Asking, AskingLater
from api.routes.shapes import In, Out
from api.streams import End, Streamed, Work
from policies.text import UserError
from sandbox.kernel.errors import Unavailable
from sandbox.kernel.identity import Actor
from sandbox.kernel.unit import Platform, Unit
from sandbox.workspaces import develop, downloads, notebook, plan, spelled, wording
from sandbox.workspaces.arrowstream import ArrowStream
from sandbox.workspaces.broker import Broker
from sandbox.workspaces.conversation import QueryResult

router = APIRouter(tags=["queries"], route_class=AskedFirst)
May = Annotated[tuple[Platform, Actor], Asking("workspace:query")]
MayRun = Annotated[Asked, AskingLater("workspace:query")]
ARROW, LINES = "application/vnd.apache.arrow.stream", "application/x-ndjson"
Scalar = str | int | float | bool | None
Sql = Annotated[str, Field(min_length=1, max_length=notebook.TEXT_CHARS)]


class QueryIn(In):
    """`parameters`: a list for `?` and `$1`, an object for `$name`; JSON scalars."""

    sql: Sql = Field(examples=["SELECT count(*) FROM 门诊就诊 WHERE 就诊日期 >= $since"])
    parameters: list[Scalar] | dict[str, Scalar] | None = Field(default=None, examples=[{"since": "2026-01-01"}])


class StatementOut(Out):
    """What one statement did. `rows`: returned or changed; null where there are none to count."""

    kind: str
    subject: str
    rows: int | None
    milliseconds: int
    line: int
    text: dict[str, str]


class QueryOut(Out):
    """Rows of the simulated twin: of the last statement that gives rows.

    Values that JSON cannot hold are spelled without loss: whole numbers beyond ±(2⁵³ − 1) and decimals as text; NaN and
    the infinities as "NaN", "Infinity", "-Infinity"; dates and moments in ISO 8601 (with time zone: UTC, "Z"; endless:
    "infinity"); intervals as durations "P1M2DT3S"; bytes as Base64; maps as arrays of [key, value].
    """

    label: str = downloads.LABEL
    columns: list[str]
    types: list[str] = Field(description="family of each column: integer, decimal, double, text, date, time, …")
    rows: list[list[Any]]
    row_count: int
    truncated: bool
    milliseconds: int
    statements: list[StatementOut]
    open_transaction: bool = Field(description="a transaction still waits for COMMIT or ROLLBACK")


class RunningOut(Out):
    """The query that runs now. `place`: in the queue (0: it runs); `percent`: −1 while nobody knows."""

    running: bool
    seconds: float = 0.0
    place: int = 0
    percent: int = -1


class CancelledOut(Out):
    cancelled: bool


class ColumnOut(Out):
    name: str
    type: str
    comment: str
    level: int | None
    role: str


class ObjectOut(Out):
    """`kind`: granted (a simulated twin), table, view or macro (its columns are its parameters)."""

    kind: str
    name: str
    columns: list[ColumnOut]
    rows: int | None
    comment: str
    definition: str


class PeekOut(Out):
    """The first rows of a table, and a summary of each column."""

    label: str = downloads.LABEL
    table: str
    columns: list[str]
    types: list[str]
    rows: list[list[Any]]
    summary: list[dict[str, Any]]


class PlanOut(Out):
    """The query's plan as a tree. `measured`: it ran, so times and rows are real ones; else estimates."""

    measured: bool
    root: dict[str, Any]


class EntryOut(Out):
    id: str
    at: datetime
    by: str
    text: str
    outcome: str
    rows: int
    milliseconds: int


class HistoryOut(Out):
    total: int
    entries: list[EntryOut]


class SavedIn(In):
    name: Annotated[str, Field(min_length=1, max_length=notebook.NAME_CHARS)] = Field(examples=["各区月度门诊量"])
    note: Annotated[str, Field(max_length=notebook.NOTE_CHARS)] = ""
    sql: Sql = Field(examples=["SELECT 区, count(*) AS 人次 FROM 门诊就诊 GROUP BY ALL"])


class SavedOut(Out):
    id: str
    name: str
    note: str
    sql: str
    created_at: datetime
    changed_at: datetime

    @classmethod
    def of(cls, record: notebook.SavedQuery) -> SavedOut:
        return cls(id=record.id, name=record.name, note=record.note, sql=record.text, created_at=record.created_at,
                   changed_at=record.changed_at)  # fmt: skip


def broker_of(request: Request) -> Broker:
    """The broker; without one (a command's own server) queries are not available."""
    found: Broker | None = request.app.state.broker
    if found is None:
        raise Unavailable("workspace.no_broker", wording.FAILURES["worker_died"])
    return found


# ---- running ----


@router.post(
    "/workspaces/{workspace_id}/query", response_model=QueryOut, summary="在仿真数据上查询 · SQL on simulated data",
    responses={200: {"content": {ARROW: {}, LINES: {}}}},
)  # fmt: skip
async def query(workspace_id: str, body: QueryIn, request: Request, asking: MayRun) -> Any:
    """Runs in the workspace's own jail, on the simulated twin only. A client that hangs up cancels the query.

    With `Accept: application/x-ndjson` the answer is streamed as lines: an object with `columns` and `types`, one array
    a row, and at last `{"done": …}` or `{"error": …}` (a problem); a text without such a last line is not whole.
    With `Accept: application/vnd.apache.arrow.stream` it is an Arrow IPC stream: after the rows comes a batch without
    rows whose metadata is `pds.done` or `pds.error` (JSON). A failed stream is cut inside a message instead of ending
    with Arrow's end marker, so that any reader raises. What fails before the first row is an ordinary problem.
    """
    accept = request.headers.get("accept", "")
    if ARROW in accept or LINES in accept:
        return await _streamed(workspace_id, body, request, asking, _Arrow if ARROW in accept else _Lines)
    work = Work(lambda _put, cancel: _result(_asked(request, asking, workspace_id, body, cancel)))
    return Response(await work.whole(request), media_type="application/json")


def _asked(
    request: Request, asking: Asked, workspace_id: str, body: QueryIn, cancel: threading.Event,
    sink: Callable[[Any], None] | None = None,
) -> QueryResult:  # fmt: skip
    platform, actor = asking()
    return develop.query(
        platform, broker_of(request), actor, workspace_id, body.sql, parameters=body.parameters, cancel=cancel,
        sink=sink,
    )  # fmt: skip


def _result(found: QueryResult) -> bytes:
    """The whole answer, written in the thread: the server's loop only passes it on."""
    schema = found.rows.schema
    return QueryOut(columns=schema.names, types=[spelled.kind(t) for t in schema.types], rows=spelled.rows(found.rows),
                    **_end(found)).model_dump_json().encode()  # fmt: skip


def _end(found: QueryResult) -> dict[str, Any]:
    return {
        "row_count": found.row_count, "truncated": found.truncated, "milliseconds": round(found.elapsed * 1000),
        "statements": [develop.said(d) for d in found.course.done], "open_transaction": found.course.open_transaction,
    }  # fmt: skip


class _Lines:
    """A result as JSON lines."""

    media = LINES

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema

    def head(self) -> bytes:
        names, types = self._schema.names, [spelled.kind(t) for t in self._schema.types]
        return _line({"label": downloads.LABEL, "columns": names, "types": types})

    def rows(self, batch: pa.RecordBatch) -> bytes:
        return b"".join(map(_line, spelled.rows(batch)))

    def done(self, said: dict[str, Any]) -> bytes:
        return _line({"done": said})

    def broken(self, said: dict[str, Any]) -> bytes:
        return _line({"error": said})


class _Arrow(ArrowStream):
    media = ARROW


def _line(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode() + b"\n"


async def _streamed(
    workspace_id: str, body: QueryIn, request: Request, asking: Asked,
    form: type[_Lines] | type[_Arrow],
) -> Response:  # fmt: skip
    made: list[_Lines | _Arrow] = []

    def work(put: Callable[[Any], None], cancel: threading.Event) -> bytes:
        """Encodes in the thread, so that the server's loop only passes bytes on."""

        def sink(part: pa.Schema | pa.RecordBatch) -> None:
            if isinstance(part, pa.Schema):
                made.append(form(part))
                put(made[0].head())
            else:
                put(made[0].rows(part))

        found = _asked(request, asking, workspace_id, body, cancel, sink)
        if not made:
            made.append(form(pa.schema([])))
            put(made[0].head())
        return made[0].done(_end(found))

    running = Work(work)
    first = await running.first(request)
    if isinstance(first, End) and first.error is not None:
        raise first.error

    async def parts() -> AsyncIterator[bytes]:
        part = first
        while not isinstance(part, End):
            yield part
            part = await running.next()
        yield part.value if part.error is None else made[0].broken(_problem(request, part.error))

    return Streamed(running, parts(), form.media, {"X-Simulated": "true"})


def _problem(request: Request, error: Exception) -> dict[str, Any]:
    answer = errors.problem(request, error) if isinstance(error, UserError) else errors.unexpected(request, error)
    said: dict[str, Any] = json.loads(bytes(answer.body))
    return said


@router.get("/workspaces/{workspace_id}/query", summary="进行中的查询 · The running query")
def running(workspace_id: str, unit: Annotated[Unit, Acting("workspace:query")]) -> RunningOut:
    """How far the workspace's running query is."""
    found = develop.under_way(unit, workspace_id)
    if found is None:
        return RunningOut(running=False)
    return RunningOut(running=True, seconds=round(found.seconds, 1), place=found.place, percent=found.percent)


@router.post("/workspaces/{workspace_id}/query/cancel", summary="取消查询 · Cancel the running query")
def cancel(workspace_id: str, request: Request, asking: May) -> CancelledOut:
    platform, actor = asking
    return CancelledOut(cancelled=develop.cancel(platform, broker_of(request), actor, workspace_id))


@router.post("/workspaces/{workspace_id}/query/plan", summary="执行计划 · Query plan")
def query_plan(
    workspace_id: str, body: QueryIn, request: Request, asking: May,
    measure: Annotated[bool, Query(description="run it and measure each step")] = False,
) -> PlanOut:  # fmt: skip
    """The plan of one statement; nothing is run unless `measure` asks for it."""
    platform, actor = asking
    found = plan.explain(platform, broker_of(request), actor, workspace_id, body.sql, parameters=body.parameters,
                         measure=measure)  # fmt: skip
    return PlanOut(measured=measure, root=found.as_dict())


@router.post(
    "/workspaces/{workspace_id}/query/download", response_class=FileResponse, summary="下载仿真数据结果 · Download",
)  # fmt: skip
async def download(
    workspace_id: str, body: QueryIn, request: Request, asking: MayRun,
    format: Annotated[str, Query(description="csv, gb18030, xlsx or parquet")] = "csv",
) -> FileResponse:  # fmt: skip
    """The result of a query on simulated data as a file, marked 仿真数据; on record with its digest."""

    def work(_put: Callable[[Any], None], cancel: threading.Event) -> downloads.Download:
        platform, actor = asking()
        return downloads.download(
            platform, broker_of(request), actor, workspace_id, body.sql, format, parameters=body.parameters,
            cancel=cancel,
        )  # fmt: skip

    return handed_out(await Work(work).whole(request))


def handed_out(made: downloads.Download) -> FileResponse:
    """A download as an answer; the file is deleted once it was sent."""
    plain = f"simulated.{made.name.rpartition('.')[2]}"
    headers = {
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(made.name, safe='')}",
        "X-Simulated": "true", "X-Checksum-Sha256": made.sha256, "X-Truncated": str(made.truncated).lower(),
    }  # fmt: skip
    gone = BackgroundTask(shutil.rmtree, made.path.parent, ignore_errors=True)
    return FileResponse(made.path, media_type=made.media, headers=headers, background=gone)


# ---- what there is ----


@router.get("/workspaces/{workspace_id}/objects", summary="表、视图、宏 · Tables, views and macros")
def objects(workspace_id: str, request: Request, asking: May) -> list[ObjectOut]:
    """Granted simulated tables first, then the workspace's own."""
    platform, actor = asking
    return [ObjectOut.model_validate(o) for o in develop.objects(platform, broker_of(request), actor, workspace_id)]


@router.get("/workspaces/{workspace_id}/objects/{name}/peek", summary="样例与概览 · First rows and summary")
def peek(workspace_id: str, name: str, request: Request, asking: May) -> PeekOut:
    platform, actor = asking
    found = develop.peek(platform, broker_of(request), actor, workspace_id, name)
    first, summary = found.first.rows, found.summary.rows
    return PeekOut(
        table=name, columns=first.schema.names, types=[spelled.kind(t) for t in first.schema.types],
        rows=spelled.rows(first),
        summary=[dict(zip(summary.schema.names, row, strict=True)) for row in spelled.rows(summary)],
    )  # fmt: skip


# ---- history and saved queries ----


@router.get("/workspaces/{workspace_id}/history", summary="查询历史 · History")
def history(
    workspace_id: str, unit: Annotated[Unit, Acting("workspace:read")], q: str = "", outcome: str = "",
    mine: bool = False, offset: Annotated[int, Query(ge=0)] = 0, limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> HistoryOut:  # fmt: skip
    """Newest first. `q`: part of the text; `outcome`: ok, failed (anything else), or a kind of failure."""
    found = notebook.history(unit, workspace_id, search=q, outcome=outcome, mine=mine, offset=offset, limit=limit)
    entries = [
        EntryOut(id=s.id, at=s.at, by=e.by, text=s.text, outcome=s.outcome, rows=s.rows, milliseconds=s.milliseconds)
        for e in found.entries for s in (e.statement,)
    ]  # fmt: skip
    return HistoryOut(total=found.total, entries=entries)


@router.get("/workspaces/{workspace_id}/queries", summary="保存的查询 · Saved queries")
def list_saved(workspace_id: str, unit: Annotated[Unit, Acting("workspace:query")]) -> list[SavedOut]:
    return [SavedOut.of(q) for q in notebook.saved(unit, workspace_id)]


@router.post("/workspaces/{workspace_id}/queries", status_code=201, summary="保存查询 · Save a query")
def save(workspace_id: str, body: SavedIn, unit: Annotated[Unit, Acting("workspace:query")]) -> SavedOut:
    return SavedOut.of(notebook.save(unit, workspace_id, name=body.name, note=body.note, text=body.sql))


@router.put("/workspaces/{workspace_id}/queries/{query_id}", summary="修改保存的查询 · Change a saved query")
def change(
    workspace_id: str, query_id: str, body: SavedIn, unit: Annotated[Unit, Acting("workspace:query")]
) -> SavedOut:
    return SavedOut.of(notebook.change(unit, workspace_id, query_id, name=body.name, note=body.note, text=body.sql))


@router.delete("/workspaces/{workspace_id}/queries/{query_id}", status_code=204, summary="删除 · Delete a saved query")
def delete(workspace_id: str, query_id: str, unit: Annotated[Unit, Acting("workspace:query")]) -> None:
    notebook.delete(unit, workspace_id, query_id)
