"""进驻: onboarding applications, and the register of merchants with their standing."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import Form, Request, Response
from starlette.datastructures import FormData

from api.deps import Acting
from api.pages import common, frame, inputs
from api.pages.common import Step
from api.pages.desk import Desk
from api.pages.forms import Sent
from api.pages.views import Crumb
from api.pages.words import text
from api.routes.shapes import OnboardingIn
from policies.text import UserError
from sandbox.kernel import oversight, permissions
from sandbox.kernel.unit import Unit
from sandbox.merchants import service
from sandbox.merchants.model import MATERIALS, MERCHANT, ONBOARDING
from sandbox.merchants.service import Onboarding

router = frame.page_router()
Typed = Annotated[str, Form()]
STEPS: dict[str, Step] = {
    "submit": lambda unit, one, _reason: service.submit(unit, one),
    "admit": lambda unit, one, reason: service.decide(unit, one, "admit", reason),
    "return": lambda unit, one, reason: service.decide(unit, one, "return", reason),
    "reject": lambda unit, one, reason: service.decide(unit, one, "reject", reason),
}
STANDING: dict[str, Step] = {
    step: lambda unit, one, reason, step=step: service.change_standing(unit, one, step, reason)  # type: ignore[misc]
    for step in ("suspend", "resume")
}


@router.get("/onboarding")
def show_onboardings(request: Request, unit: Annotated[Unit, Acting("onboarding:read")]) -> Response:
    """The own application, or all of them."""
    desk, records = Desk.of(unit), service.list_for(unit)
    found = common.listing(request, records, ONBOARDING, lambda r: f"{desk.names.get(r.organisation_id)} {r.id}")
    may = permissions.permitted(unit.actor, "onboarding:submit") and all(r.state == "rejected" for r in records)
    return frame.render(
        request, "onboarding/list.html", listing=found, rows=[desk.onboarding(r) for r in found.items],
        total=len(records), may_apply=may,
    )  # fmt: skip


@router.get("/onboarding/new")
def show_form(request: Request, unit: Annotated[Unit, Acting("onboarding:submit")]) -> Response:
    return _form(request, {"contact": unit.actor.name})


def _form(request: Request, typed: dict[str, str], error: UserError | None = None) -> Response:
    return frame.render(
        request, "onboarding/new.html", status=error.status if error else 200, typed=typed, error=error,
        problems=inputs.problems_of(error), materials=MATERIALS,
        crumbs=[Crumb(text("onboarding.title"), "/onboarding"), Crumb(text("onboarding.new"))],
    )  # fmt: skip


def _materials(sent: FormData) -> dict[str, str]:
    given = {key: str(sent.get(f"material.{key}", "")).strip() for key in MATERIALS}
    return {key: name for key, name in given.items() if name}


@router.post("/onboarding")
def draft(request: Request, unit: Annotated[Unit, Acting("onboarding:submit")], sent: Sent) -> Response:
    """Drafts the application; the organisation's second one is refused."""
    typed = {key: str(sent.get(key, "")).strip() for key in ("contact", "business")}
    again = typed | {f"material.{k}": v for k, v in _materials(sent).items()}
    frame.show_again(request, partial(_form, request, again))
    body = inputs.checked(OnboardingIn, typed | {"materials": _materials(sent)})
    made = service.apply(unit, contact=body.contact, business=body.business, materials=dict(body.materials))
    return frame.go(f"/onboarding/{made.id}", "onboarding:draft")


@router.get("/onboarding/{onboarding_id}")
def show_onboarding(request: Request, onboarding_id: str, unit: Annotated[Unit, Acting("onboarding:read")]) -> Response:
    """One application with its materials, its clock and what may be done with it."""
    record, desk = service.read(unit, onboarding_id), Desk.of(unit)
    name = desk.names[record.organisation_id]
    row = desk.onboarding(record)
    return frame.render(
        request, "onboarding/detail.html", record=record, state=ONBOARDING.state(record.state), name=name, row=row,
        materials=[(key, label, record.materials.get(key, "")) for key, label in MATERIALS.items()],
        offers=common.offers(unit, ONBOARDING, record, STEPS), may_edit=_may_edit(unit, record),
        may_apply=permissions.permitted(unit.actor, "application:draft"), reason=_reason(unit, record),
        events=common.trail(unit, record.id),
        crumbs=[Crumb(text("onboarding.title"), "/onboarding"), Crumb(name)],
    )  # fmt: skip


def _may_edit(unit: Unit, record: Onboarding) -> bool:
    own = permissions.permitted(unit.actor, "onboarding:submit", owner=record.organisation_id)
    return own and record.state in ("draft", "returned")


def _reason(unit: Unit, record: Onboarding) -> str:
    """What the operator wrote when it last returned or rejected."""
    decided = [e for e in oversight.trail(unit, record.id) if e.event in ("onboarding:return", "onboarding:reject")]
    return str(decided[-1].facts.get("reason", "")) if decided else ""


@router.post("/onboarding/{onboarding_id}/materials")
def add_materials(
    request: Request, onboarding_id: str, unit: Annotated[Unit, Acting("onboarding:submit")], sent: Sent
) -> Response:
    service.add_materials(unit, onboarding_id, _materials(sent))
    return frame.go(f"/onboarding/{onboarding_id}", "onboarding:materials")


@router.post("/onboarding/{onboarding_id}/steps")
def step(
    request: Request, onboarding_id: str, unit: Annotated[Unit, Acting("onboarding:read")], transition: Typed = "",
    reason: Typed = "",
) -> Response:  # fmt: skip
    """Submit, or the operator's decision."""
    common.take(STEPS, transition)(unit, onboarding_id, reason)
    return frame.go(f"/onboarding/{onboarding_id}", f"onboarding:{transition}")


@router.get("/merchants")
def show_merchants(request: Request, unit: Annotated[Unit, Acting("merchant:read")]) -> Response:
    """Admitted merchants and their standing."""
    names = Desk.of(unit).names
    rows: list[dict[str, Any]] = [
        {"record": m, "name": names[m.organisation_id], "state": MERCHANT.state(m.state),
         "offers": common.offers(unit, MERCHANT, m, STANDING)}
        for m in service.merchants(unit)
    ]  # fmt: skip
    return frame.render(request, "onboarding/merchants.html", rows=rows)


@router.post("/merchants/{merchant_id}/steps")
def change_standing(
    request: Request, merchant_id: str, unit: Annotated[Unit, Acting("merchant:suspend")], transition: Typed = "",
    reason: Typed = "",
) -> Response:  # fmt: skip
    """Suspends or resumes a merchant, with a reason."""
    common.take(STANDING, transition)(unit, merchant_id, reason)
    return frame.go("/merchants", f"merchant:{transition}")
