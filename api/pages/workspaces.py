"""开发: workspaces with their editor on simulated data, and runs on real data that show nothing but state and size."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import Form, Request, Response

from api.deps import Acting
from api.pages import common, examples, frame, preview_form, queries, workspace_files
from api.pages.common import Step
from api.pages.desk import Desk
from api.pages.metering import usage_of
from api.pages.views import Crumb, Tab
from api.pages.words import text
from api.pages.words_catalog import ROLES, TYPES
from api.pages.words_reading import USES, WHY
from api.pages.words_workspaces import OUTCOMES
from policies.text import Text, UserError
from sandbox.applications import repository as applications
from sandbox.applications import service as application_service
from sandbox.applications.repository import Application
from sandbox.kernel.identity import Role
from sandbox.kernel.unit import Unit
from sandbox.products import service as products
from sandbox.products.model import RUN
from sandbox.workspaces import reading, service
from sandbox.workspaces.model import WORKSPACE
from sandbox.workspaces.repository import Workspace

router = frame.page_router()
Typed = Annotated[str, Form()]
STEPS: dict[str, Step] = {
    step: lambda unit, one, reason, step=step: service.change(unit, one, step, reason)  # type: ignore[misc]
    for step in ("freeze", "unfreeze", "close")
}
TABS = ("query", "history", *workspace_files.TABS, "data", "runs", "usage", "about")
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
    statement: str = "", saved: str = "", example: str = "",
) -> Response:  # fmt: skip
    """The workspace; `statement` puts one of the history, `saved` a saved query into the editor, `example` names a job
    to start from."""
    workspace = service.read(unit, workspace_id)
    earlier = queries.opening(unit, workspace, statement, saved)
    merchant = unit.actor.role is Role.MERCHANT
    chosen = tab if tab in TABS and (merchant or tab not in MERCHANTS_ONLY) else ("query" if merchant else "about")
    begun = examples.EXAMPLES.get(example, examples.specification)(examples.granted(unit, workspace))
    return page(request, unit, workspace, chosen, sql=earlier, spec=begun)


def page(request: Request, unit: Unit, workspace: Workspace, tab: str, **more: Any) -> Response:
    """The whole page; `more`: sql, spec (as typed), result, error."""
    application = applications.get(unit.session, workspace.application_id)
    request.state.viewer = replace(request.state.viewer, workspace=application.scenario)
    tables = examples.granted(unit, workspace)
    shown: dict[str, Any] = dict.fromkeys(("sql", "spec", "result", "found", "error", "asked", "previewed")) | more
    data = _data(request, unit, workspace, shown.pop("previewed")) if tab == "data" else {}
    shown |= workspace_files.context(request, unit, workspace, tab, shown.pop("typed", {}))
    if shown["sql"] is None:
        shown["sql"] = examples.statement([t for t in tables if tab != "data" or t.table in data["schema"]])
    shown["spec"] = examples.specification(tables) if shown["spec"] is None else shown["spec"]
    runs, shown = products.runs(unit, workspace.id), queries.tab_context(request, unit, workspace, tab) | shown
    near = products.numbers(unit, runs)
    error: UserError | None = shown["error"]
    status = shown.pop("status", error.status if error else 200)
    merchant, blocked = unit.actor.role is Role.MERCHANT, _blocked(unit, workspace, application)
    return frame.render(
        request, "workspaces/detail.html", status=status, workspace=workspace, tab=tab,
        state=WORKSPACE.state(workspace.state), application=application, tables=tables,
        runs=[{"record": r, "state": RUN.state(r.state), "near": near[r.id]} for r in runs], outcomes=OUTCOMES,
        words={"types": TYPES, "roles": ROLES}, usage=usage_of(unit, workspace), merchant=merchant,
        **data,
        offers=common.offers(unit, WORKSPACE, workspace, STEPS), usable=blocked is None, blocked=blocked,
        party=common.organisation(unit, workspace.organisation_id),
        events=common.trail(unit, workspace.id) if tab == "about" else [],
        tabs=[Tab(k, text(f"workspace.tab_{k}"), f"/workspaces/{workspace.id}?tab={k}",
                  {"runs": len(runs)}.get(k))
              for k in TABS if merchant or k not in MERCHANTS_ONLY],
        crumbs=[Crumb(text("workspace.title"), "/workspaces"), Crumb(application.scenario)], **shown,
    )  # fmt: skip


def _blocked(unit: Unit, workspace: Workspace, application: Application) -> Text | None:
    """Why nobody can work in the workspace now, or this person cannot; None where they can."""
    if unit.actor.role is not Role.MERCHANT:
        return text("workspace.only_merchant")
    if workspace.state != "open":
        return text(f"workspace.is_{workspace.state}")
    live = application_service.live(unit, application.state, application.expires_at)
    return None if live else text("workspace.grants_ended")


def _data(
    request: Request, unit: Unit, workspace: Workspace, previewed: dict[str, Any] | None
) -> dict[str, Any]:
    granted = reading.tables(unit, workspace.id)
    return {
        "granted": granted, "schema": {t.name: [c.name for c in t.use.readable] for t in granted if not t.withheld},
        "reads": reading.history(unit, workspace.id),
        "reading_limits": reading.limits(unit), "reading_words": {"uses": USES, "why": WHY},
        "preview": preview_form.context(request, unit, workspace, previewed),
    }  # fmt: skip


@router.post("/workspaces/{workspace_id}/steps")
def step(
    request: Request, workspace_id: str, unit: Annotated[Unit, Acting("workspace:read")], transition: Typed = "",
    reason: Typed = "",
) -> Response:  # fmt: skip
    """Freeze, unfreeze or close."""
    common.take(STEPS, transition)(unit, workspace_id, reason)
    return frame.go(f"/workspaces/{workspace_id}", f"workspace:{transition}")
