"""One delivery, and one version: how the file is read and corrected, what came of it, what was refused."""

from __future__ import annotations

import json
from functools import partial
from typing import Annotated, Any

from fastapi import Form, Request, Response

from api.deps import Acting
from api.pages import common, frame, inputs
from api.pages.common import Step
from api.pages.recipes import FIELDS, form_of, recipe_from
from api.pages.resources import accounting, words_of
from api.pages.views import Crumb
from api.pages.words import text
from api.pages.words_catalog import ROLES, TYPES
from api.pages.words_deliveries import DECISIONS, FACTS, HEADER_CHOICES, LINE_ROLES, MODES, RECIPE_HELP
from policies.text import UserError
from sandbox.catalog import deliveries, looking, repository, service, versions
from sandbox.catalog.model import DELIVERY
from sandbox.catalog.repository import Delivery
from sandbox.kernel import accounts, permissions
from sandbox.kernel.unit import Unit

router = frame.page_router()
Typed = Annotated[str, Form()]
STEPS: dict[str, Step] = {
    "confirm": lambda unit, one, _why: versions.confirm(unit, deliveries.read(unit, one).resource_id),
    "publish": lambda unit, one, _why: versions.publish(unit, deliveries.read(unit, one).resource_id),
    "withdraw": lambda unit, one, _why: deliveries.withdraw(unit, one),
}
ROWS = 50


@router.get("/deliveries/{delivery_id}")
def show_delivery(
    request: Request, delivery_id: str, unit: Annotated[Unit, Acting("resource:read")], show: str = ""
) -> Response:
    """One delivery; `?show=1` shows values of the file's head, which the audit log says."""
    return _page(request, unit, deliveries.read(unit, delivery_id), show == "1")


def _page(
    request: Request, unit: Unit, delivery: Delivery, show: bool, typed: dict[str, str] | None = None,
    error: UserError | None = None,
) -> Response:  # fmt: skip
    resource = repository.get(unit.session, delivery.resource_id)
    who = unit.session.get(accounts.Account, delivery.delivered_by)
    may_look = permissions.permitted(unit.actor, "delivery:look", owner=delivery.organisation_id)
    return frame.render(
        request, "resources/delivery.html", status=error.status if error else 200, delivery=delivery,
        resource=resource, state=DELIVERY.state(delivery.state), who=who.name if who else delivery.delivered_by,
        sent_back=words_of(delivery.error) if delivery.error else None, difference=_difference(delivery),
        preview=looking.preview(unit, delivery.id, show=show) if may_look else None, shown=show,
        correct=_may_correct(unit, delivery), fields=FIELDS, typed=typed or form_of(_base_recipe(unit, delivery)),
        error=error, problems=inputs.problems_of(error), decisions=DECISIONS, help=RECIPE_HELP,
        header_choices=HEADER_CHOICES, mode=MODES[delivery.mode], roles=LINE_ROLES,
        events=common.trail(unit, delivery.id), crumbs=_crumbs(resource.name, resource.id, delivery.number),
    )  # fmt: skip


def _crumbs(name: str, resource_id: str, number: int) -> list[Crumb]:
    here = Crumb(text("delivery.number", number=number))
    return [Crumb(text("resource.title"), "/resources"), Crumb(name, f"/resources/{resource_id}"), here]


def _may_correct(unit: Unit, delivery: Delivery) -> bool:
    """Whether the recipe's form is shown: to operators, while the file can still be read another way."""
    may = permissions.permitted(unit.actor, "delivery:correct")
    return may and delivery.mode != "regrade" and delivery.state in DELIVERY.transition("correct").sources


def _difference(delivery: Delivery) -> list[tuple[str, str]]:
    """What the error says apart from its sentence: names, counts, differences."""
    detail = (delivery.error or {}).get("detail", {})
    return [(k, v if isinstance(v, str) else json.dumps(v, ensure_ascii=False)) for k, v in detail.items()]


def _base_recipe(unit: Unit, delivery: Delivery) -> dict[str, Any]:
    """What the form starts from: the operator's word, what was read, what the preview found, the last version's."""
    if delivery.recipe:
        return delivery.recipe
    number = delivery.version or repository.last_number(unit.session, delivery.resource_id)
    if number:
        return repository.version(unit.session, delivery.resource_id, number).recipe
    found = (delivery.preview or {}).get("decisions", {})
    return {k: v for k, v in found.items() if k in {name for name, _ in FIELDS}}


@router.post("/deliveries/{delivery_id}/recipe")
def correct(
    request: Request, delivery_id: str, unit: Annotated[Unit, Acting("delivery:correct")], encoding: Typed = "",
    delimiter: Typed = "", quote: Typed = "", header: Typed = "", header_row: Typed = "", skip: Typed = "",
    missing: Typed = "", types: Typed = "", rest: Typed = "",
) -> Response:  # fmt: skip
    """Reads the stored file again by another recipe."""
    typed = {"encoding": encoding, "delimiter": delimiter, "quote": quote, "header": header, "header_row": header_row,
             "skip": skip, "missing": missing, "types": types, "rest": rest}  # fmt: skip
    frame.show_again(request, partial(_again, request, delivery_id, typed))
    deliveries.correct(unit, delivery_id, recipe_from(typed))
    return frame.go(f"/deliveries/{delivery_id}", "delivery:correct")


def _again(request: Request, delivery_id: str, typed: dict[str, str], error: UserError) -> Response:
    from api.deps import actor_of, platform_of

    with platform_of(request).begin(actor_of(request)) as unit:
        return _page(request, unit, deliveries.read(unit, delivery_id), False, typed, error)


@router.post("/deliveries/{delivery_id}/steps")
def step(
    request: Request, delivery_id: str, unit: Annotated[Unit, Acting("resource:read")], transition: Typed = "",
    reason: Typed = "",
) -> Response:  # fmt: skip
    """Confirm, publish or withdraw: the state machine decides who may and when."""
    resource_id = deliveries.read(unit, delivery_id).resource_id
    common.take(STEPS, transition)(unit, delivery_id, reason)
    return frame.go(f"/resources/{resource_id}", f"delivery:{transition}")


@router.get("/resources/{resource_id}/versions/{number}")
def show_version(
    request: Request, resource_id: str, number: int, unit: Annotated[Unit, Acting("resource:read")], show: str = "",
    against: str = "", offset: int = 0,
) -> Response:  # fmt: skip
    """One version: lineage, what changed against another, and its quarantine (`?show=1` in full, on record)."""
    resource = service.read(unit, resource_id)
    version = repository.version(unit.session, resource.id, number)
    numbers = [v.number for v in repository.versions(unit.session, resource.id)]
    other = int(against) if against.isdigit() and int(against) in numbers else number - 1
    may_look = permissions.permitted(unit.actor, "delivery:look", owner=resource.organisation_id)
    rows = (
        looking.quarantine(unit, resource.id, number, limit=ROWS, offset=offset, show=show == "1") if may_look else []
    )
    recipe = json.dumps(version.recipe, ensure_ascii=False, indent=2)
    crumbs = [
        Crumb(text("resource.title"), "/resources"),
        Crumb(resource.name, f"/resources/{resource.id}?tab=versions"),
    ]
    return frame.render(
        request, "resources/version.html", resource=resource, version=version, may_look=may_look, rows=rows,
        delivery=repository.delivery(unit.session, version.delivery_id), shown=show == "1", offset=offset,
        per_page=ROWS, comparison=looking.compare(unit, resource.id, other, number) if other in numbers else None,
        others=[n for n in numbers if n != number], against=other, recipe=recipe, accounting=accounting(version),
        modes=MODES, words={"facts": FACTS, "types": TYPES, "roles": ROLES},
        crumbs=[*crumbs, Crumb(text("resource.version_number", number=number))],
    )  # fmt: skip
