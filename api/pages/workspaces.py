"""开发: workspaces with their editor on simulated data, and runs on real data that show nothing but state and size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from fastapi import Form, Request, Response

from api.deps import Acting, Asking, actor_of, platform_of
from api.pages import common, examples, frame
from api.pages.common import Step
from api.pages.desk import Desk
from api.pages.views import Crumb, Sheet, Tab
from api.pages.words import text
from api.pages.words_catalog import TYPES
from api.pages.words_workspaces import OUTCOMES
from policies.text import UserError
from sandbox.applications import repository as applications
from sandbox.kernel.identity import Actor, Role
from sandbox.kernel.unit import Platform, Unit
from sandbox.products import service as products
from sandbox.products.model import RUN
from sandbox.workspaces import repository, service
from sandbox.workspaces.model import WORKSPACE
from sandbox.workspaces.repository import Workspace

router = frame.page_router()
Typed = Annotated[str, Form()]
SHOWN_ROWS = 200
STEPS: dict[str, Step] = {
    step: lambda unit, one, reason, step=step: service.change(unit, one, step, reason)  # type: ignore[misc]
    for step in ("freeze", "unfreeze", "close")
}
TABS = ("query", "runs", "history", "about")


@router.get("/workspaces")
def show_workspaces(request: Request, unit: Annotated[Unit, Acting("workspace:read")]) -> Response:
    desk, records = Desk.of(unit), service.list_for(unit)
    found = common.listing(request, records, WORKSPACE, lambda w: f"{w.id} {desk.names.get(w.organisation_id)}")
    return frame.render(
        request, "workspaces/list.html", listing=found, rows=[desk.workspace(w) for w in found.items],
        total=len(records),
    )  # fmt: skip


@router.post("/workspaces")
def open_workspace(
    request: Request, unit: Annotated[Unit, Acting("workspace:open")], application_id: Typed = ""
) -> Response:
    """Opens the one workspace of an application; a second one is refused."""
    return frame.go(f"/workspaces/{service.open_workspace(unit, application_id).id}", "workspace:open")


@router.get("/workspaces/{workspace_id}")
def show_workspace(
    request: Request, workspace_id: str, unit: Annotated[Unit, Acting("workspace:read")], tab: str = "query",
    statement: str = "", example: str = "",
) -> Response:  # fmt: skip
    """The workspace; `statement` puts one of the history back into the editor, `example` names a job to start from."""
    workspace = service.read(unit, workspace_id)
    earlier = next((s.text for s in repository.statements(unit.session, workspace.id, 500) if s.id == statement), None)
    merchant = unit.actor.role is Role.MERCHANT
    chosen = tab if tab in TABS and (merchant or tab != "query") else ("query" if merchant else "about")
    begun = examples.EXAMPLES.get(example, examples.specification)(examples.granted(unit, workspace))
    return page(request, unit, workspace, chosen, sql=earlier, spec=begun)


def page(request: Request, unit: Unit, workspace: Workspace, tab: str, **more: Any) -> Response:
    """The whole page; `more`: sql, spec (as typed), result, error."""
    application = applications.get(unit.session, workspace.application_id)
    request.state.viewer = replace(request.state.viewer, workspace=application.scenario)
    tables = examples.granted(unit, workspace)
    shown: dict[str, Any] = {"sql": None, "spec": None, "result": None, "error": None} | more
    shown["sql"] = examples.statement(tables) if shown["sql"] is None else shown["sql"]
    shown["spec"] = examples.specification(tables) if shown["spec"] is None else shown["spec"]
    runs, history = products.runs(unit, workspace.id), service.history(unit, workspace.id)
    near = products.numbers(unit, runs)
    error: UserError | None = shown["error"]
    merchant = unit.actor.role is Role.MERCHANT
    return frame.render(
        request, "workspaces/detail.html", status=error.status if error else 200, workspace=workspace, tab=tab,
        state=WORKSPACE.state(workspace.state), application=application, tables=tables, history=history,
        schema={t.table: [name for name, _, _ in t.columns] for t in tables},
        runs=[{"record": r, "state": RUN.state(r.state), "near": near[r.id]} for r in runs], outcomes=OUTCOMES,
        words={"types": TYPES},
        offers=common.offers(unit, WORKSPACE, workspace, STEPS), usable=merchant and workspace.state == "open",
        party=common.organisation(unit, workspace.organisation_id),
        events=common.trail(unit, workspace.id) if tab == "about" else [],
        tabs=[Tab(k, text(f"workspace.tab_{k}"), f"/workspaces/{workspace.id}?tab={k}",
                  {"runs": len(runs), "history": len(history)}.get(k)) for k in TABS if merchant or k != "query"],
        crumbs=[Crumb(text("workspace.title"), "/workspaces"), Crumb(application.scenario)], **shown,
    )  # fmt: skip


@router.post("/workspaces/{workspace_id}/query")
def query(
    request: Request, workspace_id: str, asking: Annotated[tuple[Platform, Actor], Asking("workspace:query")],
    sql: Typed = "",
) -> Response:  # fmt: skip
    """Runs on the simulated twin; the answer is the page, or only its result where the page asks for that."""
    platform, actor = asking
    frame.show_again(request, partial(_result, request, workspace_id, sql, None))
    found = service.query(platform, request.app.state.broker, actor, workspace_id, sql)
    names = tuple(name for name, _ in found.columns)
    rows = tuple(tuple(row.values()) for row in found.rows.slice(0, SHOWN_ROWS).to_pylist())
    return _result(
        request, workspace_id, sql,
        {"sheet": Sheet(names, rows), "rows": found.row_count, "seconds": found.elapsed,
         "more": found.truncated or found.row_count > len(rows)},
        None,
    )  # fmt: skip


def _result(
    request: Request, workspace_id: str, sql: str, result: Mapping[str, Any] | None, error: UserError | None
) -> Response:
    if request.headers.get("hx-request"):
        return frame.fragment(request, "workspaces/result.html", result=result, error=error)
    with platform_of(request).begin(actor_of(request), request.state.request_id) as unit:
        return page(request, unit, service.read(unit, workspace_id), "query", sql=sql, result=result, error=error)


@router.post("/workspaces/{workspace_id}/steps")
def step(
    request: Request, workspace_id: str, unit: Annotated[Unit, Acting("workspace:read")], transition: Typed = "",
    reason: Typed = "",
) -> Response:  # fmt: skip
    """Freeze, unfreeze or close."""
    common.take(STEPS, transition)(unit, workspace_id, reason)
    return frame.go(f"/workspaces/{workspace_id}", f"workspace:{transition}")
