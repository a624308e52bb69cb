"""开发: workspaces with their editor on simulated data, and runs on real data that show nothing but state and size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from fastapi import Form, Request, Response

from api.deps import Acting, Asking, actor_of, platform_of
from api.pages import common, examples, frame, inputs, workspace_files
from api.pages.common import Step
from api.pages.desk import Desk
from api.pages.metering import usage_of
from api.pages.views import Crumb, Sheet, Tab
from api.pages.words import text
from api.pages.words_catalog import TYPES
from api.pages.words_workspaces import OUTCOMES
from policies.text import Text, UserError
from sandbox.applications import repository as applications
from sandbox.kernel import editions, permissions
from sandbox.kernel.identity import Actor, Role
from sandbox.kernel.unit import Platform, Unit
from sandbox.products import repository as product_records
from sandbox.products import service as products
from sandbox.products import spec as specs
from sandbox.products.model import RUN
from sandbox.products.repository import Run
from sandbox.workspaces import develop, notebook, service
from sandbox.workspaces.model import WORKSPACE
from sandbox.workspaces.repository import Workspace

router = frame.page_router()
Typed = Annotated[str, Form()]
SHOWN_ROWS = 200
STEPS: dict[str, Step] = {
    step: lambda unit, one, reason, step=step: service.change(unit, one, step, reason)  # type: ignore[misc]
    for step in ("freeze", "unfreeze", "close")
}
TABS = ("query", *workspace_files.TABS, "runs", "history", "usage", "about")
MERCHANTS_ONLY = ("query", *workspace_files.TABS)


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
    statement: str = "",
) -> Response:  # fmt: skip
    """The workspace; `statement` puts one of the history back into the editor."""
    workspace = service.read(unit, workspace_id)
    earlier = found.text if (found := notebook.statement(unit, workspace.id, statement)) else None
    merchant = unit.actor.role is Role.MERCHANT
    chosen = tab if tab in TABS and (merchant or tab not in MERCHANTS_ONLY) else ("query" if merchant else "about")
    return page(request, unit, workspace, chosen, sql=earlier)


def page(request: Request, unit: Unit, workspace: Workspace, tab: str, **more: Any) -> Response:
    """The whole page; `more`: sql, spec (as typed), result, error."""
    application = applications.get(unit.session, workspace.application_id)
    request.state.viewer = replace(request.state.viewer, workspace=application.scenario)
    tables = examples.granted(unit, workspace)
    shown: dict[str, Any] = {"sql": None, "spec": None, "result": None, "error": None, "asked": None} | more
    shown |= workspace_files.context(
        request, unit, workspace, tab, [t.table for t in tables], shown.pop("typed", {})
    )
    shown["sql"] = examples.statement(tables) if shown["sql"] is None else shown["sql"]
    shown["spec"] = examples.specification(tables) if shown["spec"] is None else shown["spec"]
    runs, history = products.runs(unit, workspace.id), notebook.history(unit, workspace.id)
    error: UserError | None = shown["error"]
    merchant = unit.actor.role is Role.MERCHANT
    return frame.render(
        request, "workspaces/detail.html", status=error.status if error else 200, workspace=workspace, tab=tab,
        state=WORKSPACE.state(workspace.state), application=application, tables=tables,
        history=[e.statement for e in history.entries],
        schema={t.table: [name for name, _, _ in t.columns] for t in tables},
        runs=[{"record": r, "state": RUN.state(r.state)} for r in runs], outcomes=OUTCOMES,
        words={"types": TYPES}, usage=usage_of(unit, workspace),
        offers=common.offers(unit, WORKSPACE, workspace, STEPS), usable=merchant and workspace.state == "open",
        party=common.organisation(unit, workspace.organisation_id),
        events=common.trail(unit, workspace.id) if tab == "about" else [],
        tabs=[Tab(k, text(f"workspace.tab_{k}"), f"/workspaces/{workspace.id}?tab={k}",
                  {"runs": len(runs), "history": history.total}.get(k))
              for k in TABS if merchant or k not in MERCHANTS_ONLY],
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
    found = develop.query(platform, request.app.state.broker, actor, workspace_id, sql)
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


@router.post("/workspaces/{workspace_id}/runs")
def start_run(
    request: Request, workspace_id: str, unit: Annotated[Unit, Acting("run:start")], spec: Typed = ""
) -> Response:
    """Asks for a run on real data; the very same job still waiting is refused."""
    frame.show_again(request, partial(_runs_again, request, workspace_id, spec))
    digest = specs.digest(specs.parse(spec))
    waiting = [r for r in products.runs(unit, workspace_id) if r.state == RUN.initial and r.spec_digest == digest]
    inputs.refuse_twin(bool(waiting), text("run.twin"))
    quota = editions.in_force(unit, "workspace").by_check("runs_per_day").parameters.per_grant_per_day
    return frame.go(f"/runs/{products.start_run(unit, workspace_id, spec, quota).id}", "run:request")


def _runs_again(request: Request, workspace_id: str, spec: str, error: UserError) -> Response:
    with platform_of(request).begin(actor_of(request), request.state.request_id) as unit:
        return page(request, unit, service.read(unit, workspace_id), "runs", spec=spec, error=error)


@router.post("/workspaces/{workspace_id}/steps")
def step(
    request: Request, workspace_id: str, unit: Annotated[Unit, Acting("workspace:read")], transition: Typed = "",
    reason: Typed = "",
) -> Response:  # fmt: skip
    """Freeze, unfreeze or close."""
    common.take(STEPS, transition)(unit, workspace_id, reason)
    return frame.go(f"/workspaces/{workspace_id}", f"workspace:{transition}")


@router.get("/runs/{run_id}")
def show_run(request: Request, run_id: str, unit: Annotated[Unit, Acting("run:read")]) -> Response:
    """One run: state, step, error class and coarse sizes; never a row or a message from real data."""
    run = products.read_run(unit, run_id)
    artefact = product_records.artefact(unit.session, run.artefact_id) if run.artefact_id else None
    context: dict[str, Any] = {
        "run": run, "state": RUN.state(run.state), "artefact": artefact, "outcome": _outcome(run), "dry": _dry(run),
        "may_export": artefact is not None
        and permissions.permitted(unit.actor, "export:draft", owner=run.organisation_id),
        "may_enter": permissions.permitted(unit.actor, "workspace:read", owner=run.organisation_id),
        "spec": examples.shown(run.spec),
    }  # fmt: skip
    if request.headers.get("hx-request"):
        return frame.fragment(request, "workspaces/run_state.html", **context)
    job = str(run.spec.get("job", run.id))
    crumbs = [Crumb(text("workspace.title"), "/workspaces"),
              Crumb(text("run.title"), f"/workspaces/{run.workspace_id}?tab=runs"), Crumb(job)]  # fmt: skip
    return frame.render(request, "workspaces/run.html", events=common.trail(unit, run.id), crumbs=crumbs, **context)


def _dry(run: Run) -> list[str]:
    """Names of the columns that the dry run gave."""
    return [str(c[0]) for c in run.dry_run.get("columns", [])]


def _outcome(run: Run) -> dict[str, Any]:
    """What may be said of the real run: words, class and buckets. The engine's text only where it is about the twin."""
    found = run.outcome or {}
    words = found.get("text")
    fix = found.get("fix")
    error = found.get("error")
    on = found.get("on", "real" if run.state == "succeeded" else None)
    rows = found.get("rows")
    return {
        "duration": found.get("duration"), "error": common.labels(OUTCOMES, error) if error else None, "on": on,
        "rows": "、".join(map(str, rows.values())) if isinstance(rows, Mapping) else found.get("rows_bucket"),
        "text": Text(**words) if words else None, "fix": Text(**fix) if fix else None,
        "engine_text": found.get("engine_text") if on == "simulated" else None,
    }  # fmt: skip
