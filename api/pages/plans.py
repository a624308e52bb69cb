"""仿真方案 on the resource's page: what each column is simulated as, why, and the operator's answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Form, Request, Response

from api.deps import Acting
from api.pages import common, frame
from api.pages.forms import Sent
from api.pages.views import Choice, Label
from api.pages.words import text
from api.pages.words_catalog import ENTITIES, ROLES, TYPES
from api.pages.words_plans import DECIDERS, SEMANTICS, WAYS
from policies.text import Text
from sandbox.catalog import plans, repository, twins
from sandbox.catalog.plans import Plan, PlannedColumn
from sandbox.catalog.repository import Resource, ResourceColumn
from sandbox.kernel import accounts, jobs, permissions
from sandbox.kernel.errors import Conflict, NotFound
from sandbox.kernel.unit import Unit

router = frame.page_router()
Typed = Annotated[str, Form()]


@dataclass(frozen=True, slots=True)
class Row:
    """One column as the page shows it; `field` names its entry in the form."""

    field: str
    planned: PlannedColumn
    column: ResourceColumn | None
    type: Label
    role: Label
    meaning: Label
    way: Text | None
    reason: Text
    before: Text | None
    """what it was taken for before somebody answered"""
    decider: Label
    who: str
    chosen: str
    groups: list[tuple[Text, list[Choice]]]


def plan_tab(unit: Unit, resource: Resource, plan: Plan | None) -> dict[str, Any] | None:
    """What the tab needs; None while no version has a plan."""
    if plan is None:
        return None
    columns = {c.name: c for c in repository.columns(unit.session, resource.id, plan.version)}
    rows = [_row(unit, number, c, columns.get(c.name)) for number, c in enumerate(plan.columns)]
    made = [j for j in jobs.of_subject(unit.session, "resource", resource.id) if j.kind == "simulate"]
    return {
        "version": plan.version, "rows": rows, "open": [r for r in rows if r.planned.open],
        "settled": [r for r in rows if not r.planned.open], "last": made[0] if made else None,
        "assumed": [r.planned.name for r in rows if r.planned.by == "default"], "default": SEMANTICS[plans.DEFAULT],
        "may_answer": permissions.permitted(unit.actor, "plan:answer"), "published": resource.state == "published",
        "running": bool(made) and made[0].state in jobs.LIVE,
    }  # fmt: skip


def _row(unit: Unit, number: int, planned: PlannedColumn, column: ResourceColumn | None) -> Row:
    entry, given = planned.entry, planned.answer
    person = unit.session.get(accounts.Account, given.answered_by) if given else None
    before = SEMANTICS.get(entry["semantic"], text("plan.not_known"))
    return Row(
        field=f"column-{number}", planned=planned, column=column, type=common.labels(TYPES, entry["type"]),
        role=ROLES[column.identifier_role] if column and column.identifier_role != "none" else "",
        meaning=SEMANTICS.get(planned.semantic, text("plan.unanswered")), way=_way(planned),
        reason=_reason(entry, column), before=before if given else None, decider=DECIDERS[planned.by],
        who=person.name if person else "", chosen=given.semantic if given else "", groups=_groups(entry),
    )  # fmt: skip


def _reason(entry: Mapping[str, Any], column: ResourceColumn | None) -> Text:
    """The reason with the detected kind in words instead of its code."""
    reason, code = Text(**entry["reason"]), (column.entity if column else None) or ""
    found = ENTITIES.get(code)
    return Text(reason.zh.replace(code, found.zh), reason.en.replace(code, found.en)) if found else reason


def _way(planned: PlannedColumn) -> Text | None:
    """How the values come about, in two words."""
    entry = planned.entry
    if planned.open:
        return None
    if entry["references"] and planned.answer is None:
        return WAYS["parent"]
    if planned.semantic == "drop":
        return WAYS["drop"]
    if planned.semantic in ("key", "shape") or (planned.semantic == "code" and not entry["learned"]):
        return WAYS["pattern"]
    if planned.semantic not in entry["learned"]:
        return WAYS["blind" if entry["blind"] else "invented"]
    return WAYS["learned"]


def _groups(entry: Mapping[str, Any]) -> list[tuple[Text, list[Choice]]]:
    """The choices of a column: invented, learned from real values, left out."""
    learned = set(entry["learned"])
    invented = [c for c in entry["choices"] if c not in learned and c != "drop"]
    found = [
        (text("plan.group_invented"), invented),
        (text("plan.group_learned"), [c for c in entry["choices"] if c in learned]),
        (text("plan.group_drop"), ["drop"]),
    ]
    return [(label, [Choice(c, SEMANTICS[c]) for c in names]) for label, names in found if names]


@router.post("/resources/{resource_id}/plan")
def answer(
    request: Request, resource_id: str, sent: Sent, unit: Annotated[Unit, Acting("plan:answer")], version: Typed = "",
    step: Typed = "save",
) -> Response:  # fmt: skip
    """Takes the answers that were changed on the page; with the step `rest` the default for every other question."""
    plan = plans.read(unit, resource_id)
    if plan is None:
        raise NotFound.of("plan", resource_id)
    if version != str(plan.version):
        raise Conflict("plan.changed", text("plan.changed"), fix=text("plan.changed_fix"))
    given = {
        column.name: str(sent[field])
        for number, column in enumerate(plan.columns)
        if (field := f"column-{number}") in sent
        and str(sent[field]) != (column.answer.semantic if column.answer else "")
    }
    if given:
        plan = plans.answer(unit, resource_id, given)
    if step == "rest" and plan.questions:
        plans.take_default(unit, resource_id)
    return frame.go(f"/resources/{resource_id}?tab=plan", "plan:default" if step == "rest" else "plan:answer")


@router.post("/resources/{resource_id}/plan/regenerate")
def regenerate(request: Request, resource_id: str, unit: Annotated[Unit, Acting("simulated:generate")]) -> Response:
    """Makes the simulated data again, by the plan as it stands."""
    twins.ask(unit, resource_id)
    return frame.go(f"/resources/{resource_id}?tab=plan", "simulated:ask")
