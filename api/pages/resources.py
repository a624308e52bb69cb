"""Resources for those who govern them: register, deliver, look at accounting, quality and grades, confirm, publish."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import File, Form, Request, Response, UploadFile

from api.deps import Acting, Asking
from api.pages import common, frame, inputs, schedules
from api.pages.common import Step
from api.pages.desk import Desk
from api.pages.quality import indicators
from api.pages.views import Choice, Crumb, Tab
from api.pages.words import text
from api.pages.words_catalog import ENTITIES, ROLES, TYPES
from api.pages.words_resources import ACCOUNTING, RECIPE
from api.pages.words_states import fixed_state
from api.routes.catalog import take_delivery
from api.routes.shapes import GradeIn, ResourceIn
from policies.text import Text, UserError
from sandbox.catalog import repository, service
from sandbox.catalog.model import RESOURCE
from sandbox.catalog.repository import Resource, ResourceVersion
from sandbox.kernel import permissions
from sandbox.kernel.errors import Conflict
from sandbox.kernel.identity import Actor, Role
from sandbox.kernel.jobs import AGAIN, Job
from sandbox.kernel.unit import Platform, Unit

router = frame.page_router()
Typed = Annotated[str, Form()]
STEPS: dict[str, Step] = {
    "confirm_grade": lambda unit, one, _reason: service.confirm_grade(unit, one),
    "publish": lambda unit, one, _reason: service.publish(unit, one),
    "withdraw": service.withdraw,
}
LEVELS = range(1, 5)
TABS = ("overview", "columns", "quality", "versions", "trail")


@router.get("/resources")
def show_resources(request: Request, unit: Annotated[Unit, Acting("resource:read")]) -> Response:
    """The department's own, or all."""
    desk = Desk.of(unit)
    records = service.list_for(unit)[::-1]
    found = common.listing(request, records, RESOURCE, lambda r: f"{r.name} {r.registration_code} {r.id}")
    return frame.render(
        request, "resources/list.html", listing=found, rows=[desk.resource(r) for r in found.items],
        total=len(records), may_register=permissions.permitted(unit.actor, "resource:register"),
    )  # fmt: skip


@router.get("/resources/new")
def show_form(request: Request, unit: Annotated[Unit, Acting("resource:register")]) -> Response:
    return _form(request, {})


def _form(request: Request, typed: dict[str, str], error: UserError | None = None) -> Response:
    return frame.render(
        request, "resources/new.html", status=error.status if error else 200, typed=typed, error=error,
        problems=inputs.problems_of(error),
        crumbs=[Crumb(text("resource.title"), "/resources"), Crumb(text("resource.new"))],
    )  # fmt: skip


@router.post("/resources")
def register(
    request: Request, unit: Annotated[Unit, Acting("resource:register")], name: Typed = "", description: Typed = "",
    registration_code: Typed = "", update_cycle: Typed = "", person_key: Typed = "", enterprise_key: Typed = "",
    comments: Typed = "",
) -> Response:  # fmt: skip
    """Registers a resource; a second press of the button is refused by its name."""
    typed = {"name": name.strip(), "description": description.strip(), "registration_code": registration_code.strip(),
             "update_cycle": update_cycle.strip()}  # fmt: skip
    keys = {"person": person_key.strip(), "enterprise": enterprise_key.strip()}
    again = typed | {"person_key": keys["person"], "enterprise_key": keys["enterprise"], "comments": comments}
    frame.show_again(request, partial(_form, request, again))
    declared = {"columns": {n: {"comment": c} for n, c in _comments(comments).items()}}
    body = inputs.checked(
        ResourceIn, typed | {"entity_keys": {k: v for k, v in keys.items() if v}, "declared": declared}
    )
    made = service.register(unit, **body.model_dump())
    return frame.go(f"/resources/{made.id}", "resource:register")


def _comments(typed: str) -> dict[str, str]:
    """Lines "列名：含义". Raises `FormProblem` for a line without a colon."""
    found: dict[str, str] = {}
    for number, line in enumerate(typed.splitlines(), start=1):
        name, colon, meaning = line.replace(":", "：", 1).partition("：")
        if line.strip() and not colon:
            raise inputs.FormProblem({"comments": text("resource.comment_line", line=number)})
        if line.strip():
            found[name.strip()] = meaning.strip()
    return found


@router.get("/resources/{resource_id}")
def show_resource(
    request: Request, resource_id: str, unit: Annotated[Unit, Acting("resource:read")], tab: str = "overview"
) -> Response:
    """One resource; the tab is in the address."""
    return _page(request, unit, service.read(unit, resource_id), tab if tab in TABS else "overview")


def _page(request: Request, unit: Unit, resource: Resource, tab: str) -> Response:
    columns = repository.columns(unit.session, resource.id)
    versions = repository.versions(unit.session, resource.id)[::-1]
    latest = versions[0] if versions else None
    return frame.render(
        request, "resources/detail.html", resource=resource, state=RESOURCE.state(resource.state), tab=tab,
        tabs=[Tab(k, text(f"resource.tab_{k}"), f"?tab={k}", _count(k, columns, versions)) for k in TABS],
        columns=columns, versions=versions, latest=latest, indicators=indicators(latest.quality) if latest else [],
        verdict=_verdict(latest), recipe=_recipe(latest), accounting=_accounting(latest),
        department=common.organisation(unit, resource.organisation_id), refusal=_refusal(unit, resource),
        events=common.trail(unit, resource.id) if tab == "trail" else [],
        feed=schedules.feed(unit, resource),
        offers=common.offers(unit, RESOURCE, resource, STEPS), deliver=_may_deliver(unit, resource),
        regrade=_may_regrade(unit, resource), levels=[Choice(str(n), fixed_state("grade", n).label) for n in LEVELS],
        column_choices=[Choice(c.name, c.name) for c in columns], limit_mb=unit.settings.body_limit_mb,
        crumbs=[Crumb(text("resource.title"), "/resources"), Crumb(resource.name)],
        words={"types": TYPES, "roles": ROLES, "entities": ENTITIES, "accounting": ACCOUNTING},
    )  # fmt: skip


def _count(tab: str, columns: list[Any], versions: list[Any]) -> int | None:
    return {"columns": len(columns), "versions": len(versions)}.get(tab)


def _may_deliver(unit: Unit, resource: Resource) -> bool:
    """Whether the upload form is shown: to the owning department, in states that take a delivery."""
    own = unit.actor.organisation_id == resource.organisation_id and unit.actor.role is Role.DEPARTMENT
    return own and resource.state in RESOURCE.transition("deliver").sources


def _may_regrade(unit: Unit, resource: Resource) -> bool:
    return resource.state == "proposed" and permissions.permitted(
        unit.actor, "resource:confirm", owner=resource.organisation_id
    )


def _verdict(version: ResourceVersion | None) -> str | None:
    found = version.quality.get("verdict") if version else None
    return str(found["outcome"]) if found else None


def _recipe(version: ResourceVersion | None) -> list[tuple[Text, str]]:
    """How the file was read, in words: only what was decided."""
    recipe = version.recipe if version else {}
    return [(label, str(recipe[key])) for key, label in RECIPE.items() if recipe.get(key) is not None]


def _accounting(version: ResourceVersion | None) -> list[tuple[Text, int]]:
    """Headings with their lines; loaded and quarantined rows always, the others where there are any."""
    counts = version.accounting if version else {}
    return [
        (label, int(counts[key])) for key, label in ACCOUNTING.items()
        if key in counts and (counts[key] or key.startswith("rows_"))
    ]  # fmt: skip


def _refusal(unit: Unit, resource: Resource) -> dict[str, Any] | None:
    """Why the last delivery was sent back, in the words of its job."""
    if resource.state != "rejected":
        return None
    failed = unit.session.query(Job).filter_by(subject_id=resource.id, kind="ingest").filter(Job.state.in_(AGAIN))
    job = failed.order_by(Job.created_at.desc()).first()
    if job is None or job.error is None:
        return None
    fix = job.error.get("fix")
    return {"text": Text(**job.error["text"]), "fix": Text(**fix) if fix else None}


@router.post("/resources/{resource_id}/deliveries")
def deliver(
    request: Request, resource_id: str, asking: Annotated[tuple[Platform, Actor], Asking("resource:deliver")],
    file: Annotated[UploadFile, File()],
) -> Response:  # fmt: skip
    """Takes the file; a job reads it. The same bytes again are refused."""
    platform, actor = asking
    take_delivery(platform, actor, resource_id, file)
    return frame.go(f"/resources/{resource_id}", "resource:deliver")


@router.post("/resources/{resource_id}/grades")
def change_grade(
    request: Request, resource_id: str, unit: Annotated[Unit, Acting("resource:confirm")], column: Typed = "",
    level: Typed = "", reason: Typed = "",
) -> Response:  # fmt: skip
    """Raises one column's level, with a reason."""
    body = inputs.checked(GradeIn, {"column": column, "level": level, "reason": reason})
    present = {c.name: c.level for c in repository.columns(unit.session, service.read(unit, resource_id).id)}
    if present.get(body.column) == body.level:
        raise Conflict("grade.same", text("resource.same_level"), fix=text("resource.same_level_fix"))
    service.change_grade(unit, resource_id, body.column, body.level, body.reason)
    return frame.go(f"/resources/{resource_id}?tab=columns", "resource:regrade")


@router.post("/resources/{resource_id}/steps")
def step(
    request: Request, resource_id: str, unit: Annotated[Unit, Acting("resource:read")], transition: Typed = "",
    reason: Typed = "",
) -> Response:  # fmt: skip
    """Confirm, publish or withdraw: the state machine decides who may and when."""
    common.take(STEPS, transition)(unit, resource_id, reason)
    return frame.go(f"/resources/{resource_id}", f"resource:{transition}")
