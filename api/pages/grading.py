"""Grades on the resource's page: why, since when, what a change does, and lowerings between two people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Form, Request, Response

from api.deps import Acting
from api.pages import common, frame, inputs
from api.pages.common import Step
from api.pages.views import Choice
from api.pages.words_catalog import ENTITIES, ROLES, TYPES
from api.pages.words_deliveries import USES
from api.pages.words_states import fixed_state
from api.routes.catalog_shapes import GradeIn
from sandbox.catalog import grades, regrading, repository
from sandbox.catalog.model import LOWERING
from sandbox.catalog.repository import Lowering, Resource, ResourceColumn, ResourceVersion
from sandbox.kernel import accounts, permissions
from sandbox.kernel.errors import BadInput, InvalidTransition
from sandbox.kernel.lifecycle import Offer, State
from sandbox.kernel.unit import Unit
from sandbox.reporting import impact

router = frame.page_router()
Typed = Annotated[str, Form()]
LEVELS = range(1, 5)
LOWERING_STEPS: dict[str, Step] = {
    "approve": lambda unit, one, why: grades.decide(unit, one, "approve", why),
    "refuse": lambda unit, one, why: grades.decide(unit, one, "refuse", why),
    "withdraw": lambda unit, one, why: grades.decide(unit, one, "withdraw", why),
}


@dataclass(frozen=True)
class Asked:
    """A lowering as the page shows it, with what this person may do about it."""

    request: Lowering
    state: State
    author: str
    offers: list[Offer]


def columns_tab(
    request: Request, unit: Unit, resource: Resource, version: ResourceVersion, columns: list[ResourceColumn]
) -> dict[str, Any]:
    """What the tab of columns needs: published levels beside proposed ones, lowerings, a trial change, a history."""
    query = request.query_params
    trial = _trial(unit, resource, version, columns, query.get("column", ""), query.get("level", ""))
    changes = dict.fromkeys(trial["names"], trial["level"]) if trial else {}
    is_published = resource.current_version == version.number
    published = {} if is_published else {c.name: c for c in repository.columns(unit.session, resource.id)}
    wanted = query.get("history", "")
    unconfirmed = [c.name for c in columns if not c.confirmed]
    return {
        "version_waits": not is_published and bool(columns), "unconfirmed": unconfirmed,
        "carried": len(columns) - len(unconfirmed), "version": version,
        "columns": columns, "published": published, "is_published": is_published,
        "may_change": _may_change(unit, resource), "trial": trial, "uses": USES, "use_of": impact.use_of,
        "impact": impact.of_version(unit, resource.id, version.number, changes) if resource.current_version else [],
        "levels": [Choice(str(n), fixed_state("grade", n).label) for n in LEVELS],
        "asked": _asked(unit, resource, version), "history_of": wanted,
        "history": repository.column_history(unit.session, resource.id, wanted) if wanted else [],
        "uplifts": version.grading.get("uplifts", []), "edition": version.grading.get("edition", ""),
        "words": {"types": TYPES, "roles": ROLES, "entities": ENTITIES},
    }  # fmt: skip


def _may_change(unit: Unit, resource: Resource) -> bool:
    """Whether the change form is shown: to the department, while there is a version whose grades can be changed."""
    if not permissions.permitted(unit.actor, "resource:confirm", owner=resource.organisation_id):
        return False
    try:
        grades.graded_version(unit, resource)
    except InvalidTransition:
        return False
    return True


def _trial(
    unit: Unit, resource: Resource, version: ResourceVersion, columns: list[ResourceColumn], pattern: str, level: str
) -> dict[str, Any] | None:
    """A change somebody thinks about: the columns it names and what it would do; None when none was asked for."""
    if not pattern or not _may_change(unit, resource):
        return None
    body = inputs.checked(GradeIn, {"column": pattern, "level": level, "reason": "-"})
    try:
        chosen = grades.named(columns, body.column)
    except BadInput as unknown:
        raise inputs.FormProblem({"column": unknown.text}) from unknown
    lower = [c.name for c in chosen if c.level > body.level]
    higher = [c.name for c in chosen if c.level < body.level]
    return {"pattern": body.column, "level": body.level, "names": [*higher, *lower], "higher": higher, "lower": lower}


def _asked(unit: Unit, resource: Resource, version: ResourceVersion) -> list[Asked]:
    found = repository.lowerings(unit.session, resource_id=resource.id, number=version.number)
    people = {r.author_id: unit.session.get(accounts.Account, r.author_id) for r in found}
    names = {one: account.name if account else one for one, account in people.items()}
    return [
        Asked(r, LOWERING.state(r.state), names[r.author_id], common.offers(unit, LOWERING, r, LOWERING_STEPS))
        for r in found
    ]


@router.post("/resources/{resource_id}/grades")
def change_grade(
    request: Request, resource_id: str, unit: Annotated[Unit, Acting("resource:confirm")], column: Typed = "",
    level: Typed = "", reason: Typed = "",
) -> Response:  # fmt: skip
    """Raises columns at once, or asks for their lowering, with a reason."""
    body = inputs.checked(GradeIn, {"column": column, "level": level, "reason": reason})
    done = grades.change(unit, resource_id, body.column, body.level, body.reason)
    return frame.go(f"/resources/{resource_id}?tab=columns", "lowering:request" if done.requested else "resource:raise")


@router.post("/resources/{resource_id}/regrade")
def regrade(
    request: Request, resource_id: str, unit: Annotated[Unit, Acting("resource:regrade")], reason: Typed = ""
) -> Response:
    """Has the grades of the published version looked at again."""
    regrading.regrade(unit, resource_id, reason)
    return frame.go(f"/resources/{resource_id}?tab=columns", "delivery:regrade")


@router.post("/lowerings/{lowering_id}/steps")
def decide(
    request: Request, lowering_id: str, unit: Annotated[Unit, Acting("resource:read")], transition: Typed = "",
    reason: Typed = "",
) -> Response:  # fmt: skip
    """The second person decides, or the department withdraws."""
    lowering = grades.read_lowering(unit, lowering_id)
    common.take(LOWERING_STEPS, transition)(unit, lowering_id, reason)
    return frame.go(f"/resources/{lowering.resource_id}?tab=columns", f"lowering:{transition}")
