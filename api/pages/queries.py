"""开发: the editor's page — run, cancel, plan, look at a table, save, download, history; all on simulated data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any
from urllib.parse import urlencode

import pyarrow as pa
from fastapi import Form, Request, Response
from fastapi.responses import JSONResponse

from api.deps import Acting, Asking, actor_of, platform_of
from api.pages import frame
from api.pages.forms import Sent
from api.pages.views import PageOf
from api.pages.words import text
from api.pages.words_queries import FAMILIES
from api.routes.queries import broker_of, handed_out
from policies.text import Text, UserError
from sandbox.kernel.errors import REFUSALS
from sandbox.kernel.identity import Actor
from sandbox.kernel.unit import Platform, Unit
from sandbox.workspaces import develop, downloads, notebook, plan, service, spelled
from sandbox.workspaces.conversation import QueryResult
from sandbox.workspaces.repository import Workspace

router = frame.page_router()
Typed = Annotated[str, Form()]
Asked = Annotated[tuple[Platform, Actor], Asking("workspace:query")]
MOST_CELLS, MOST_ROWS, LEAST_ROWS, MOST_COLUMNS = 20_000, 200, 20, 1000
"""of a result on the page; the whole result is for download"""
LONG, WHOLE, WHOLE_IN_ALL = 60, 10_000, 1_000_000
"""characters: a longer cell is folded; so much of it unfolds; so much unfolds on one page"""
PER_PAGE = 30
_INTEGER, _DECIMAL = re.compile(r"-?(0|[1-9]\d{0,14})"), re.compile(r"-?(0|[1-9]\d{0,14})\.\d{1,15}")


@dataclass(frozen=True, slots=True)
class Cell:
    """A value on the page: `text` None is NULL; a long one is cut and `whole` unfolds, with its `length`."""

    text: str | None
    whole: str = ""
    length: int = 0


@dataclass(frozen=True, slots=True)
class Grid:
    """The part of a result that the page shows."""

    columns: Sequence[tuple[str, str, Text]]
    """name, family, its word"""
    rows: Sequence[Sequence[Cell]]
    total: int
    width: int
    truncated: bool


def grid_of(table: pa.Table, total: int, *, truncated: bool) -> Grid:
    """As much of the rows as a page can hold: fewer rows where there are many columns."""
    width = table.num_columns
    shown = table.select(list(range(min(width, MOST_COLUMNS))))
    most = max(LEAST_ROWS, min(MOST_ROWS, MOST_CELLS // max(1, shown.num_columns)))
    kinds = [spelled.kind(t) for t in shown.schema.types]
    columns = [(n, k, FAMILIES.get(k, Text(k, k))) for n, k in zip(shown.schema.names, kinds, strict=True)]
    room = [WHOLE_IN_ALL]
    rows = [[_cell(value, room) for value in row] for row in spelled.rows(shown.slice(0, most))]
    return Grid(columns, rows, total, width, truncated)


def _cell(value: Any, room: list[int]) -> Cell:
    if value is None:
        return Cell(None)
    shown = downloads.cell(value)
    if len(shown) <= LONG:
        return Cell(shown)
    whole = shown[: min(WHOLE, room[0])]
    room[0] -= len(whole)
    return Cell(shown[:LONG], whole, len(shown))


@dataclass(frozen=True, slots=True)
class Typing:
    """A statement as the person sent it. `sql`: the whole editor; `part`: what is to run, which begins at `line` and
    `column` of it; `given`: the parameters as typed (name → text, kind)."""

    sql: str
    part: str
    line: int = 1
    column: int = 1
    given: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, sent: Mapping[str, Any]) -> Typing:
        """From the form's fields."""
        sql, part = (str(sent.get(k, "")).replace("\r\n", "\n") for k in ("sql", "selected"))
        line, column = (_number(sent.get(k)) for k in ("line", "column"))
        names = [k[2:] for k in sent if k.startswith("p.")]
        given = {n: (str(sent[f"p.{n}"]), str(sent.get(f"t.{n}", "auto"))) for n in names[:100]}
        return cls(sql, part or sql, line if part else 1, column if part else 1, given)

    @property
    def fields(self) -> list[tuple[str, str, str]]:
        """(name, typed text, kind) of every parameter of the text."""
        return [(n, *self.given.get(n, ("", "auto"))) for n in develop.parameters_of(self.part)]

    @property
    def values(self) -> dict[str, Any]:
        """The parameters that were filled in."""
        return {n: _value(typed, kind) for n, (typed, kind) in self.given.items() if typed or kind in ("text", "null")}

    def moved(self, error: UserError) -> UserError:
        """The error with its place counted in the whole editor."""
        line, column = error.detail.get("line"), error.detail.get("column")
        if line:
            error.detail["column"] = column + self.column - 1 if column and line == 1 else column
            error.detail["line"] = line + self.line - 1
        return error


def _number(sent: Any) -> int:
    text = str(sent or "")
    return int(text) if text.isdecimal() and len(text) < 8 else 1


def _value(typed: str, kind: str) -> Any:
    """Text stays text where the person says so, and where it looks like a code; else numbers are numbers."""
    if kind == "null":
        return None
    plain = typed.strip()
    if kind in ("auto", "number") and _INTEGER.fullmatch(plain):
        return int(plain)
    return float(plain) if kind in ("auto", "number") and _DECIMAL.fullmatch(plain) else typed


# ---- the tabs' context ----


def tab_context(request: Request, unit: Unit, workspace: Workspace, tab: str) -> dict[str, Any]:
    """What the tabs "query" and "history" show."""
    if tab == "history":
        return _history(request, unit, workspace)
    if tab != "query":
        return {}
    granted = develop.granted(unit, workspace)
    uploaded = develop.uploaded(unit, workspace)
    return {
        "granted": granted, "uploaded": uploaded, "schema": _schema([*granted, *uploaded]),
        "saved": notebook.saved(unit, workspace.id), "asking": None, "steps": None, "peek": None, **_choices(),
    }  # fmt: skip


def _schema(objects: Sequence[develop.Object]) -> dict[str, list[str]]:
    """Table → its columns, for completion."""
    return {o.name: [c.name for c in o.columns] for o in objects}


def _choices() -> dict[str, Any]:
    """What the result's forms offer."""
    return {
        "formats": [(f, text(f"query.format_{f}")) for f in downloads.FORMATS], "details": plan.DETAILS,
        "kinds": [(k, text(f"query.kind_{k}")) for k in ("auto", "text", "number", "null")],
    }  # fmt: skip


def _history(request: Request, unit: Unit, workspace: Workspace) -> dict[str, Any]:
    asked = request.query_params
    number = max(1, _number(asked.get("page")))
    search, outcome, mine = asked.get("q", "").strip()[:200], asked.get("outcome", ""), asked.get("mine") == "1"
    found = notebook.history(unit, workspace.id, search=search, outcome=outcome, mine=mine,
                             offset=(number - 1) * PER_PAGE, limit=PER_PAGE)  # fmt: skip
    last = (number - 1) * PER_PAGE + len(found.entries)

    def address(page: int) -> str:
        return "?" + urlencode({k: v for k, v in asked.items() if k not in ("lang", "page")} | {"page": str(page)})

    page = PageOf(
        min((number - 1) * PER_PAGE + 1, last), last, found.total, address(number - 1) if number > 1 else None,
        address(number + 1) if last < found.total else None,
    )  # fmt: skip
    return {"entries": found.entries, "wanted": {"search": search, "outcome": outcome, "mine": mine}, "page": page,
            "any": bool(found.total or search or outcome or mine)}  # fmt: skip


# ---- what the editor does ----


@router.post("/workspaces/{workspace_id}/query")
def query(request: Request, workspace_id: str, asking: Asked, sent: Sent) -> Response:
    """Runs, explains (do=plan) or measures (do=measure) what was typed or selected."""
    platform, actor = asking
    asked = Typing.of(sent)
    frame.show_again(request, lambda error: _answer(request, workspace_id, asked, error=asked.moved(error)))
    broker, parameters = broker_of(request), develop.bound(asked.part, asked.values)
    if sent.get("do") in ("plan", "measure"):
        root = plan.explain(platform, broker, actor, workspace_id, asked.part, parameters=parameters,
                            measure=sent.get("do") == "measure")  # fmt: skip
        return _answer(request, workspace_id, asked, steps=list(root.walk()))
    found = develop.query(platform, broker, actor, workspace_id, asked.part, parameters=parameters)
    return _answer(request, workspace_id, asked, found=found)


def _answer(
    request: Request, workspace_id: str, asked: Typing, *, found: QueryResult | None = None,
    steps: list[tuple[int, plan.Step]] | None = None, peek: dict[str, Any] | None = None,
    error: UserError | None = None,
) -> Response:  # fmt: skip
    """The page, or only its result where the page asks for that."""
    result = _result(found) if found is not None else None
    context: dict[str, Any] = {"asking": asked, "result": result, "steps": steps, "peek": peek, "error": error,
                               **_choices()}  # fmt: skip
    if request.headers.get("hx-request"):
        part = frame.fragment(request, "workspaces/result.html", workspace_id=workspace_id, **context)
        part.headers["hx-trigger"] = "objects-changed" if result is None or result["changed"] else "query-done"
        return part
    from api.pages import workspaces

    with platform_of(request).begin(actor_of(request), request.state.request_id) as unit:
        workspace = service.read(unit, workspace_id)
        return workspaces.page(request, unit, workspace, "query", sql=asked.sql or None, **context)


def _result(found: QueryResult) -> dict[str, Any]:
    course = found.course
    return {
        "grid": grid_of(found.rows, found.row_count, truncated=found.truncated) if found.columns else None,
        "seconds": found.elapsed, "statements": [develop.said(d) for d in course.done],
        "open_transaction": course.open_transaction,
        "changed": any(d.kind.split(" ")[0] in ("CREATE", "DROP", "ALTER", "ROLLBACK") for d in course.done),
    }  # fmt: skip


@router.get("/workspaces/{workspace_id}/query")
def state(workspace_id: str, unit: Annotated[Unit, Acting("workspace:query")]) -> Response:
    """How far the running query is, for the editor's progress bar."""
    found = develop.under_way(unit, workspace_id)
    told = {"seconds": round(found.seconds, 1), "place": found.place, "percent": found.percent} if found else None
    return JSONResponse(told)


@router.post("/workspaces/{workspace_id}/query/cancel")
def cancel(request: Request, workspace_id: str, asking: Asked) -> Response:
    """Asks the running query to stop."""
    platform, actor = asking
    develop.cancel(platform, broker_of(request), actor, workspace_id)
    return frame.go(f"/workspaces/{workspace_id}?tab=query")


@router.post("/workspaces/{workspace_id}/query/download")
def download(request: Request, workspace_id: str, asking: Asked, sent: Sent) -> Response:
    """The whole result as a file, marked 仿真数据."""
    platform, actor = asking
    asked = Typing.of(sent)
    frame.show_again(request, lambda error: _answer(request, workspace_id, asked, error=error))
    made = downloads.download(
        platform, broker_of(request), actor, workspace_id, asked.part, str(sent.get("format", "csv")),
        parameters=develop.bound(asked.part, asked.values),
    )  # fmt: skip
    return handed_out(made)


@router.get("/workspaces/{workspace_id}/peek")
def peek(request: Request, workspace_id: str, asking: Asked, table: str = "") -> Response:
    """The first rows of a table and a summary of its columns."""
    platform, actor = asking
    asked = Typing("", "")
    frame.show_again(request, lambda error: _answer(request, workspace_id, asked, error=error))
    found = develop.peek(platform, broker_of(request), actor, workspace_id, table)
    first = found.first.rows
    shown = {"table": table, "grid": grid_of(first, first.num_rows, truncated=False),
             "summary": found.summary.rows.to_pylist()}  # fmt: skip
    return _answer(request, workspace_id, asked, peek=shown)


@router.get("/workspaces/{workspace_id}/objects")
def objects(request: Request, workspace_id: str, asking: Asked) -> Response:
    """The workspace's own tables, views and macros, for the tree. A busy workspace answers the next time."""
    platform, actor = asking
    try:
        every = develop.objects(platform, broker_of(request), actor, workspace_id)
    except REFUSALS:  # not there, not theirs, not open: said as everywhere
        raise
    except UserError:
        return frame.fragment(request, "workspaces/objects.html", workspace_id=workspace_id, own=None, schema={})
    own = [o for o in every if o.kind not in ("granted", "uploaded")]
    schema = _schema([o for o in own if o.kind != "macro"])
    return frame.fragment(request, "workspaces/objects.html", workspace_id=workspace_id, own=own, schema=schema)


# ---- saved queries ----


@router.post("/workspaces/{workspace_id}/queries")
def save(
    request: Request, workspace_id: str, unit: Annotated[Unit, Acting("workspace:query")], name: Typed = "",
    note: Typed = "", sql: Typed = "",
) -> Response:  # fmt: skip
    """Keeps the editor's text under a name."""
    frame.show_again(request, partial(_unsaved, request, workspace_id, sql))
    made = notebook.save(unit, workspace_id, name=name, note=note, text=sql.replace("\r\n", "\n"))
    return frame.go(f"/workspaces/{workspace_id}?tab=query&saved={made.id}")


def _unsaved(request: Request, workspace_id: str, sql: str, error: UserError) -> Response:
    return _answer(request, workspace_id, Typing(sql, sql), error=error)


@router.post("/workspaces/{workspace_id}/queries/{query_id}")
def change(
    request: Request, workspace_id: str, query_id: str, unit: Annotated[Unit, Acting("workspace:query")],
    name: Typed = "", note: Typed = "", sql: Typed = "", do: Typed = "change",
) -> Response:  # fmt: skip
    """Another name, note or text for a saved query; or forgets it (do=delete)."""
    frame.show_again(request, partial(_unsaved, request, workspace_id, sql))
    if do == "delete":
        notebook.delete(unit, workspace_id, query_id)
        return frame.go(f"/workspaces/{workspace_id}?tab=query")
    kept = sql.replace("\r\n", "\n") or notebook.read(unit, workspace_id, query_id).text
    notebook.change(unit, workspace_id, query_id, name=name, note=note, text=kept)
    return frame.go(f"/workspaces/{workspace_id}?tab=query&saved={query_id}")


def opening(unit: Unit, workspace: Workspace, statement: str, saved: str) -> str | None:
    """The text that the address asks to put into the editor: of the history, or a saved query."""
    if saved:
        return notebook.read(unit, workspace.id, saved).text
    found = notebook.statement(unit, workspace.id, statement) if statement else None
    return found.text if found else None


