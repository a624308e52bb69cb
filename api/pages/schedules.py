"""更新计划: when each department's tables are fetched, and the operator's hand on it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Form, Request, Response

from api.deps import Acting
from api.pages import frame, inputs
from api.pages.views import Crumb
from api.pages.words import text
from api.routes.refreshing import CronIn, SourceIn
from policies.text import Text
from sandbox.catalog import schedules, sources
from sandbox.catalog.repository import Resource
from sandbox.catalog.schedules import Plan
from sandbox.catalog.sources import DatabaseTable
from sandbox.kernel import jobs, permissions
from sandbox.kernel.unit import Unit

router = frame.page_router()
Typed = Annotated[str, Form()]


@router.get("/schedules")
def show_schedules(request: Request, unit: Annotated[Unit, Acting("schedule:read")]) -> Response:
    """Every department's plan; a department sees its own."""
    return frame.render(
        request, "oversight/schedules.html", rows=[_row(unit, plan) for plan in schedules.plans(unit)],
        may_set=permissions.permitted(unit.actor, "schedule:set"),
        crumbs=[Crumb(text("job.title"), "/jobs"), Crumb(text("schedule.title"))],
    )  # fmt: skip


def _row(unit: Unit, plan: Plan) -> dict[str, Any]:
    rounds = jobs.of_subject(unit.session, "organisation", plan.organisation_id)
    last = next((j for j in rounds if j.kind == schedules.ROUND), None)
    return {"plan": plan, "when": _when(plan), "last": last, "nothing": plan.tables == 0}


def _when(plan: Plan) -> Text:
    """The plan in words; an expression that is not one of the usual is shown as it is."""
    if plan.cron is None or not plan.tables:
        return text("schedule.never")
    minute, hour, day, month, weekday = plan.cron.split()
    if minute.isdigit() and hour.isdigit() and month == "*":
        at = f"{int(hour):02d}:{int(minute):02d}"
        if (day, weekday) == ("*", "*"):
            return text("schedule.daily", at=at)
        if day.isdigit() and weekday == "*":
            return text("schedule.monthly", at=at, day=day)
    return text("schedule.cron", cron=plan.cron)


@router.post("/schedules/{organisation_id}/cron")
def set_cron(
    request: Request, organisation_id: str, unit: Annotated[Unit, Acting("schedule:set")], cron: Typed = ""
) -> Response:
    """Sets when a department is refreshed; an empty entry goes back to its declared cycles."""
    body = inputs.checked(CronIn, {"cron": cron.strip() or None})
    schedules.set_cron(unit, organisation_id, body.cron)
    return frame.go("/schedules", "schedule:set")


@router.post("/schedules/{organisation_id}/pause")
def pause(
    request: Request, organisation_id: str, unit: Annotated[Unit, Acting("schedule:set")], paused: Typed = "yes"
) -> Response:
    schedules.pause(unit, organisation_id, paused == "yes")
    return frame.go("/schedules", "schedule:set")


@router.post("/schedules/{organisation_id}/run")
def run(request: Request, organisation_id: str, unit: Annotated[Unit, Acting("resource:refresh")]) -> Response:
    """Starts a round now, of one department or of the whole city."""
    job = schedules.start(unit, None if organisation_id == schedules.CITY_WIDE else organisation_id)
    return frame.go(f"/jobs?round={job.id}", "resource:refresh")


@router.post("/resources/{resource_id}/refresh")
def refresh(request: Request, resource_id: str, unit: Annotated[Unit, Acting("resource:refresh")]) -> Response:
    schedules.refresh(unit, resource_id)
    return frame.go(f"/resources/{resource_id}", "resource:refresh")


@router.post("/resources/{resource_id}/source")
def declare(
    request: Request, resource_id: str, unit: Annotated[Unit, Acting("resource:declare")], kind: Typed = "",
    connection: Typed = "", table: Typed = "", namespace: Typed = "",
) -> Response:  # fmt: skip
    """Declares where deliveries come from; no kind: by hand again."""
    typed = {"connection": connection.strip(), "table": table.strip(), "schema": namespace.strip()}
    given = {k: v for k, v in typed.items() if v} if kind == "database" else {}
    body = inputs.checked(SourceIn, {"source": {"kind": kind, **given} if kind else None})
    sources.declare(unit, resource_id, body.source)
    return frame.go(f"/resources/{resource_id}", "resource:declare")


def feed(unit: Unit, resource: Resource) -> dict[str, Any]:
    """How a resource is fed, for its page: source, plan, last refresh, and what the viewer may do about it."""
    source = sources.source_of(resource)
    mine = [p for p in schedules.every(unit.session, unit.platform.clock.now())
            if p.organisation_id == resource.organisation_id]  # fmt: skip
    plan = mine[0] if mine else None
    return {
        "source": _source(unit, resource), "kind": source.kind if source else "",
        "plan": plan, "when": _when(plan) if plan else None,
        "last": schedules.last_refresh(unit.session, resource.id),
        "may_refresh": source is not None and permissions.permitted(unit.actor, "resource:refresh"),
        "may_declare": permissions.permitted(unit.actor, "resource:declare", owner=resource.organisation_id),
    }  # fmt: skip


def _source(unit: Unit, resource: Resource) -> Text:
    source = sources.source_of(resource)
    if source is None:
        return text("source.by_hand")
    if isinstance(source, DatabaseTable):
        return text("source.database", connection=source.connection, table=source.table)
    folder = sources.drop_folder(unit.settings, resource).relative_to(unit.settings.home)
    return text("source.drop", folder=folder)
