"""规则: the editions, their rules in words, and activation by a second person."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import Form, Request, Response

from api.deps import Acting, actor_of, platform_of
from api.pages import frame
from api.pages.views import Crumb
from api.pages.words import text
from api.pages.words_states import policy_name
from policies import editions as shipped
from policies.problems import PolicyError
from policies.text import UserError
from sandbox.kernel import accounts, editions, permissions
from sandbox.kernel.editions import PolicyEdition
from sandbox.kernel.errors import NotFound
from sandbox.kernel.identity import Role
from sandbox.kernel.unit import Unit

router = frame.page_router()
SEES_PARAMETERS = frozenset({Role.COMPLIANCE, Role.AUDITOR, Role.OPERATOR})
"""roles that read thresholds; everybody else reads the rules and why they are there"""


@router.get("/policies")
def show_policies(request: Request, unit: Annotated[Unit, Acting("policy:read")]) -> Response:
    return _page(request, unit)


def _page(request: Request, unit: Unit, typed: str = "", error: UserError | None = None) -> Response:
    found = editions.every(unit.session)
    return frame.render(
        request, "oversight/policies.html", status=error.status if error else 200, typed=typed, error=error,
        rows=[_row(unit, e, _in_force(unit, found)) for e in found],
        may_propose=permissions.permitted(unit.actor, "policy:propose"),
    )  # fmt: skip


def _in_force(unit: Unit, found: list[PolicyEdition]) -> frozenset[str]:
    """Digests of the editions in force today; a calendar is in force for its own year, so each one counts."""
    kinds = {e.kind for e in found if e.state == editions.ACTIVE}
    digests = set()
    for kind in kinds:
        try:
            digests.add(editions.in_force(unit, kind).digest)
        except NotFound:
            continue
    return frozenset(digests)


def _row(unit: Unit, edition: PolicyEdition, in_force: frozenset[str]) -> dict[str, Any]:
    second = permissions.permitted(unit.actor, "policy:activate")
    mine = edition.proposed_by == unit.actor.id
    return {
        "edition": edition, "name": policy_name(edition.kind), "in_force": edition.digest in in_force,
        "proposed_by": _name(unit, edition.proposed_by), "activated_by": _name(unit, edition.activated_by),
        "may_activate": second and edition.state == editions.PROPOSED,
        "why_not": text("policy.same_person") if mine else "",
    }  # fmt: skip


def _name(unit: Unit, person: str | None) -> str:
    """An account's name; shipped editions name their people in words already."""
    account = unit.session.get(accounts.Account, person) if person else None
    return account.name if account else person or "—"


@router.post("/policies")
def propose(
    request: Request, unit: Annotated[Unit, Acting("policy:propose")], body: Annotated[str, Form(alias="text")] = ""
) -> Response:
    """An officer proposes an edition; what does not hold is named by line and field."""
    frame.show_again(request, partial(_page_again, request, body))
    return frame.go(f"/policies/{editions.propose(unit, body.replace(chr(13), '')).id}", "policy:propose")


def _page_again(request: Request, typed: str, error: UserError) -> Response:
    with platform_of(request).begin(actor_of(request), request.state.request_id) as unit:
        return _page(request, unit, typed, error)


@router.get("/policies/{edition_id}")
def show_policy(request: Request, edition_id: str, unit: Annotated[Unit, Acting("policy:read")]) -> Response:
    """One edition: its rules in words; with parameters and full text for those who work with them."""
    row = unit.session.get(PolicyEdition, edition_id)
    if row is None:
        raise NotFound.of("policy", edition_id)
    try:
        rules = list(getattr(shipped.load_text(row.text), "rules", ()))
    except PolicyError:
        rules = []
    name = policy_name(row.kind)
    return frame.render(
        request, "oversight/policy.html", row=_row(unit, row, _in_force(unit, [row])), rules=[_rule(r) for r in rules],
        parameters=unit.actor.role in SEES_PARAMETERS,
        crumbs=[Crumb(text("policy.title"), "/policies"), Crumb(name), Crumb(row.edition)],
    )  # fmt: skip


def _rule(rule: Any) -> dict[str, Any]:
    parameters = getattr(rule, "parameters", None)
    dumped = parameters.model_dump(mode="json") if parameters is not None else {}
    return {
        "id": rule.id, "title": rule.title, "why": rule.why, "on_fail": getattr(rule, "on_fail", None),
        "parameters": [(key, _short(value)) for key, value in dumped.items()],
    }  # fmt: skip


def _short(value: Any) -> str:
    written = "、".join(map(str, value)) if isinstance(value, list) else str(value)
    return written if len(written) <= 160 else f"{written[:160]}…"


@router.post("/policies/{edition_id}/activate")
def activate(request: Request, edition_id: str, unit: Annotated[Unit, Acting("policy:activate")]) -> Response:
    """A second officer puts it into force from its date on."""
    editions.activate(unit, edition_id)
    return frame.go(f"/policies/{edition_id}", "policy:activate")
