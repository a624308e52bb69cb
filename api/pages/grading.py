"""Grades on the resource's page: why, since when, corrections by people and what they do, lowerings between two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Form, Request, Response

from api.deps import Acting
from api.pages import common, frame, inputs
from api.pages.common import Step
from api.pages.views import Choice, Label
from api.pages.words import text
from api.pages.words_catalog import ENTITIES, ROLES, TYPES
from api.pages.words_deliveries import FACTS, SENSITIVE, USES
from api.pages.words_states import fixed_state
from api.routes.catalog_shapes import GradeIn
from policies.text import Text
from sandbox.catalog import grades, protection, regrading, repository
from sandbox.catalog.model import LOWERING
from sandbox.catalog.protection import Grade, Override
from sandbox.catalog.repository import Lowering, Resource, ResourceColumn, ResourceVersion
from sandbox.kernel import accounts, editions, permissions
from sandbox.kernel.errors import BadInput, InvalidTransition
from sandbox.kernel.lifecycle import Offer, State
from sandbox.kernel.unit import Unit
from sandbox.reporting import impact
from sandbox.workspaces.model import WORKSPACE

router = frame.page_router()
Typed = Annotated[str, Form()]
LEVELS = range(1, 5)
TYPED = ("column", "level", "category", "sensitive", "identifier_role")
"""fields of the form: which columns, and what they are said to be"""
LOWERING_STEPS: dict[str, Step] = {
    "approve": lambda unit, one, why: grades.decide(unit, one, "approve", why),
    "refuse": lambda unit, one, why: grades.decide(unit, one, "refuse", why),
    "withdraw": lambda unit, one, why: grades.decide(unit, one, "withdraw", why),
}


@dataclass(frozen=True)
class Said:
    """One fact of one column's grade as it is and as it is to be; `waits`: until a second person has agreed."""

    column: str
    fact: Label
    before: Label
    after: Label
    waits: bool

    @property
    def change(self) -> Text:
        before, after = (one if isinstance(one, Text) else Text(one, one) for one in (self.before, self.after))
        return Text(f"{before.zh} → {after.zh}", f"{before.en} → {after.en}")


@dataclass(frozen=True)
class Trial:
    """A correction somebody thinks about: what was typed, what it would change, or why it cannot be."""

    typed: dict[str, str]
    said: list[Said]
    overrides: dict[str, Override]
    problem: BadInput | None


@dataclass(frozen=True)
class Asked:
    """A lowering as the page shows it, with what this person may do about it."""

    request: Lowering
    said: list[Said]
    state: State
    author: str
    offers: list[Offer]

    @property
    def pairs(self) -> list[tuple[Label, Label]]:
        """Fact and its change, for a list of facts."""
        return [(one.fact, one.change) for one in self.said]


def columns_tab(
    request: Request, unit: Unit, resource: Resource, version: ResourceVersion, columns: list[ResourceColumn]
) -> dict[str, Any]:
    """What the tab of columns needs: published levels beside proposed ones, lowerings, a trial change, a history."""
    query = request.query_params
    trial = _trial(unit, resource, columns, {name: query.get(name, "") for name in TYPED})
    overrides = trial.overrides if trial else {}
    is_published = resource.current_version == version.number
    published = {} if is_published else {c.name: c for c in repository.columns(unit.session, resource.id)}
    wanted = query.get("history", "")
    unconfirmed = [c.name for c in columns if not c.confirmed]
    return {
        "version_waits": not is_published and bool(columns), "unconfirmed": unconfirmed,
        "carried": len(columns) - len(unconfirmed), "version": version,
        "columns": columns, "published": published, "is_published": is_published,
        "may_change": _may_change(unit, resource), "trial": trial, "uses": USES,
        "workspace_state": WORKSPACE.state,
        "impact": impact.of_version(unit, resource.id, version.number, overrides) if resource.current_version else [],
        "choices": _choices(unit), "typed": trial.typed if trial else dict.fromkeys(TYPED, ""),
        "machine": {c.name: _proposed(c) for c in columns},
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


def _choices(unit: Unit) -> dict[str, list[Choice]]:
    """What a column may be called, for the form."""
    keep, known = Choice("", text("grade.keep")), grades.categories(editions.in_force(unit, "grading"))
    return {
        "level": [keep, *(Choice(str(n), fixed_state("grade", n).label) for n in LEVELS)],
        "category": [keep, *(Choice(name, name) for name in known)],
        "sensitive": [keep, *(Choice(value, SENSITIVE[value == "yes"]) for value in ("yes", "no"))],
        "identifier_role": [keep, *(Choice(role, ROLES[role]) for role in protection.ROLES)],
    }


def _trial(unit: Unit, resource: Resource, columns: list[ResourceColumn], typed: dict[str, str]) -> Trial | None:
    """What a correction would change, to be looked at before it is made; None when none was asked for."""
    if not typed["column"] or not _may_change(unit, resource):
        return None
    body = _typed({**typed, "reason": "-"})
    try:
        chosen = grades.named(columns, body.column)
        wanted = {c.name: grades.wanted_changes(unit, resource, c, body.override()) for c in chosen}
    except BadInput as wrong:
        return Trial(typed, [], {}, wrong)
    overrides = {
        name: Override(**{fact: after for fact, (_, after) in changes.items()}) for name, changes in wanted.items()
    }
    return Trial(typed, [said for name, changes in wanted.items() for said in _said(name, changes)], overrides, None)


def _typed(values: dict[str, str]) -> GradeIn:
    """The form as the API takes it: what was left open is left out."""
    return inputs.checked(GradeIn, {name: value for name, value in values.items() if value or name == "reason"})


def _said(column: str, changes: Mapping[str, protection.Change]) -> list[Said]:
    return [
        Said(column, FACTS[fact], _word(fact, change[0]), _word(fact, change[1]), protection.weakens(fact, change))
        for fact, change in changes.items()
    ]


def _word(fact: str, value: Any) -> Label:
    if fact == "level":
        return fixed_state("grade", value).label
    if fact == "identifier_role":
        return ROLES.get(value, value)
    return SENSITIVE[value] if fact == "sensitive" else str(value)


def _proposed(column: ResourceColumn) -> list[Said]:
    """In what the machine's proposal differs from the grade as it is."""
    proposed = Grade(
        column.proposed_level, column.proposed_category, column.proposed_sensitive, column.proposed_role
    )  # fmt: skip
    return _said(column.name, Grade.of(column).changes(proposed))


def _asked(unit: Unit, resource: Resource, version: ResourceVersion) -> list[Asked]:
    found = [
        r for r in repository.lowerings(unit.session, resource_id=resource.id, number=version.number) if r.column_name
    ]
    people = {r.author_id: unit.session.get(accounts.Account, r.author_id) for r in found}
    names = {one: account.name if account else one for one, account in people.items()}
    return [
        Asked(
            r, _said(r.column_name, {fact: (r.before[fact], r.after[fact]) for fact in r.after}),
            LOWERING.state(r.state), names[r.author_id], common.offers(unit, LOWERING, r, LOWERING_STEPS),
        )
        for r in found
    ]  # fmt: skip


@router.post("/resources/{resource_id}/grades")
def change_grade(
    request: Request, resource_id: str, unit: Annotated[Unit, Acting("resource:confirm")], column: Typed = "",
    level: Typed = "", category: Typed = "", sensitive: Typed = "", identifier_role: Typed = "", reason: Typed = "",
) -> Response:  # fmt: skip
    """Corrects grades at once, or asks for less protection, with a reason."""
    body = _typed({"column": column, "level": level, "category": category, "sensitive": sensitive,
                   "identifier_role": identifier_role, "reason": reason})  # fmt: skip
    done = grades.change(unit, resource_id, body.column, body.override(), body.reason)
    stricter = body.override() != Override(category=body.category)
    told = "lowering:request" if done.requested else "resource:raise" if stricter else "resource:classify"
    return frame.go(f"/resources/{resource_id}?tab=columns", told)


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
    tab = "columns" if lowering.column_name else "subjects"
    return frame.go(f"/resources/{lowering.resource_id}?tab={tab}", f"lowering:{transition}")
