"""Resources for those who govern them: register, deliver, look at what came of it, correct grades, confirm, publish."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import File, Form, Request, Response, UploadFile

from api.deps import Acting, Asking
from api.pages import common, frame, inputs, schedules
from api.pages.common import Step
from api.pages.desk import Desk
from api.pages.grading import columns_tab
from api.pages.plans import plan_tab
from api.pages.quality import quality_tab
from api.pages.subjects import subjects_tab
from api.pages.views import Choice, Crumb, Tab
from api.pages.words import text
from api.pages.words_deliveries import MODE_HELP, MODES
from api.pages.words_resources import ACCOUNTING, RECIPE
from api.routes.catalog import take_delivery
from api.routes.shapes import ResourceIn
from policies.text import Text, UserError
from sandbox.catalog import comments, plans, repository, service, twins
from sandbox.catalog.model import BUSY, DELIVERY, RESOURCE
from sandbox.catalog.repository import Delivery, Resource, ResourceVersion
from sandbox.kernel import permissions
from sandbox.kernel.errors import BadInput
from sandbox.kernel.identity import Actor, Role
from sandbox.kernel.unit import Platform, Unit

router = frame.page_router()
Typed = Annotated[str, Form()]
STEPS: dict[str, Step] = {"withdraw": service.withdraw}
DELIVERY_STEPS = ("confirm", "publish", "withdraw")
"""steps of a delivery that have their button on the resource's page"""
TABS = ("overview", "columns", "subjects", "quality", "plan", "versions", "trail")


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
    meanings: Annotated[str, Form(alias="comments")] = "",
) -> Response:  # fmt: skip
    """Registers a resource; a second press of the button is refused by its name."""
    typed = {"name": name.strip(), "description": description.strip(), "registration_code": registration_code.strip(),
             "update_cycle": update_cycle.strip()}  # fmt: skip
    keys = {"person": person_key.strip(), "enterprise": enterprise_key.strip()}
    again = typed | {"person_key": keys["person"], "enterprise_key": keys["enterprise"], "comments": meanings}
    frame.show_again(request, partial(_form, request, again))
    declared = {"columns": {n: {"comment": c} for n, c in _comments(meanings).items()}}
    body = inputs.checked(
        ResourceIn, typed | {"entities": {k: {"column": v} for k, v in keys.items() if v}, "declared": declared}
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
    delivered = repository.deliveries(unit.session, resource.id)
    waiting = repository.pending(unit.session, resource.id)
    shown = _shown_version(unit, resource, waiting)
    columns = repository.columns(unit.session, resource.id, shown.number) if shown else []
    versions = repository.versions(unit.session, resource.id)[::-1]
    plan = plans.read(unit, resource.id)
    asked = plan.questions if plan and permissions.permitted(unit.actor, "plan:answer") else []
    return frame.render(
        request, "resources/detail.html", resource=resource, state=RESOURCE.state(resource.state), tab=tab,
        tabs=[Tab(k, text(f"resource.tab_{k}"), f"?tab={k}", _count(k, columns, delivered, asked)) for k in TABS],
        asked=asked, plan=plan_tab(unit, resource, plan) if tab == "plan" else None,
        latest=shown, quality=quality_tab(unit, resource, versions, shown), verdict=_verdict(shown),
        recipe=_recipe(shown), accounting=accounting(shown), columns=columns,
        grading=columns_tab(request, unit, resource, shown, columns) if tab == "columns" and shown else None,
        subjects=subjects_tab(request, unit, resource) if tab == "subjects" else None,
        deliveries=[(d, DELIVERY.state(d.state)) for d in delivered], waiting=waiting,
        waiting_state=DELIVERY.state(waiting.state) if waiting else None, sent_back=_sent_back(delivered),
        busy=waiting is not None and waiting.state in BUSY, mine=_mine(unit, waiting),
        department=common.organisation(unit, resource.organisation_id),
        events=common.trail(unit, resource.id, *(d.id for d in delivered)) if tab == "trail" else [],
        feed=schedules.feed(unit, resource), twin=twins.standing(unit.session, resource), offer=_offer(unit, resource),
        offers=common.offers(unit, DELIVERY, waiting, DELIVERY_STEPS) if waiting else [],
        resource_offers=common.offers(unit, RESOURCE, resource, STEPS), deliver=_may_deliver(unit, resource, waiting),
        modes=_modes(resource), mode_words=MODES, limit_mb=unit.settings.body_limit_mb,
        regrade=_may_regrade(unit, resource, waiting),
        crumbs=[Crumb(text("resource.title"), "/resources"), Crumb(resource.name)], accounting_words=ACCOUNTING,
    )  # fmt: skip


def _offer(unit: Unit, resource: Resource) -> dict[str, Any] | None:
    """Comments that the source offers, to those who may register them."""
    found = comments.offered(unit.session, resource)
    if not found or not permissions.permitted(unit.actor, "resource:declare", owner=resource.organisation_id):
        return None
    items = [Choice(name, f"{name}：{said}") for name, said in found.columns.items()]
    return {"title": found.title, "items": items, "names": list(found.columns)}


@router.post("/resources/{resource_id}/comments")
def register_comments(
    request: Request, resource_id: str, unit: Annotated[Unit, Acting("resource:declare")],
    columns: Annotated[list[str] | None, Form()] = None, title: Typed = "",
) -> Response:  # fmt: skip
    """Registers the chosen comments of the source."""
    comments.register(unit, resource_id, columns or [], title=title == "yes")
    return frame.go(f"/resources/{resource_id}", "resource:describe")


def _shown_version(unit: Unit, resource: Resource, waiting: Delivery | None) -> ResourceVersion | None:
    """The version people work on: the one that waits for a decision, else the published one."""
    number = waiting.version if waiting and waiting.version else resource.current_version
    return repository.version(unit.session, resource.id, number) if number else None


def _count(tab: str, columns: list[Any], delivered: list[Any], asked: list[str]) -> int | None:
    return {"columns": len(columns), "versions": len(delivered), "plan": len(asked) or None}.get(tab)


def _sent_back(delivered: list[Delivery]) -> dict[str, Any] | None:
    """Why the newest delivery was sent back or cannot be read yet, in words, with the delivery."""
    newest = delivered[0] if delivered else None
    if newest is None or newest.error is None or newest.state not in ("refused", "needs_recipe"):
        return None
    return {"delivery": newest, **words_of(newest.error)}


def words_of(error: dict[str, Any]) -> dict[str, Any]:
    """A kept error as people read it."""
    fix = error.get("fix")
    return {"text": Text(**error["text"]), "fix": Text(**fix) if fix else None}


def _mine(unit: Unit, waiting: Delivery | None) -> bool:
    return waiting is not None and common.is_turn(unit, DELIVERY, waiting)


def _may_deliver(unit: Unit, resource: Resource, waiting: Delivery | None) -> bool:
    """Whether the upload form is shown: to the owning department, while nothing is being read."""
    own = unit.actor.organisation_id == resource.organisation_id and unit.actor.role is Role.DEPARTMENT
    busy = waiting is not None and waiting.state in BUSY
    return own and resource.state != "withdrawn" and not busy


def _may_regrade(unit: Unit, resource: Resource, waiting: Delivery | None) -> bool:
    may = permissions.permitted(unit.actor, "resource:regrade", owner=resource.organisation_id)
    return may and resource.state == "published" and waiting is None


def _modes(resource: Resource) -> list[Choice]:
    modes = ("replace", "append") if resource.current_version else ("replace",)
    return [Choice(m, MODES[m], MODE_HELP[m]) for m in modes]


def _verdict(version: ResourceVersion | None) -> str | None:
    found = version.quality.get("verdict") if version else None
    return str(found["outcome"]) if found else None


def _recipe(version: ResourceVersion | None) -> list[tuple[Text, str]]:
    """How the file was read, in words: only what was decided."""
    recipe = version.recipe if version else {}
    return [(label, str(recipe[key])) for key, label in RECIPE.items() if recipe.get(key) is not None]


def accounting(version: ResourceVersion | None) -> list[tuple[Text, int]]:
    """Headings with their lines; loaded and quarantined rows always, the others where there are any."""
    counts = version.accounting if version else {}
    return [
        (label, int(counts[key])) for key, label in ACCOUNTING.items()
        if key in counts and (counts[key] or key.startswith("rows_"))
    ]  # fmt: skip


@router.post("/resources/{resource_id}/deliveries")
def deliver(
    request: Request, resource_id: str, asking: Annotated[tuple[Platform, Actor], Asking("resource:deliver")],
    file: Annotated[UploadFile, File()], mode: Typed = "replace",
) -> Response:  # fmt: skip
    """Takes the file; a job reads it. The same bytes in the same mode again are refused."""
    platform, actor = asking
    if mode not in ("replace", "append"):
        raise BadInput("delivery.mode", text("delivery.mode_unknown"), fix=text("step.unknown_fix"))
    take_delivery(platform, actor, resource_id, file, mode)
    return frame.go(f"/resources/{resource_id}", "delivery:receive")


@router.post("/resources/{resource_id}/steps")
def step(
    request: Request, resource_id: str, unit: Annotated[Unit, Acting("resource:read")], transition: Typed = "",
    reason: Typed = "",
) -> Response:  # fmt: skip
    """Withdraw from the catalogue: the state machine decides who may and when."""
    common.take(STEPS, transition)(unit, resource_id, reason)
    return frame.go(f"/resources/{resource_id}", f"resource:{transition}")
