"""使用申请: apply for columns of published resources, check, approve, sign, and what is granted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import Form, Request, Response
from starlette.datastructures import FormData

from api.deps import Acting, actor_of, platform_of
from api.pages import common, frame, inputs
from api.pages.common import Clocks, Step
from api.pages.desk import Desk
from api.pages.forms import Sent
from api.pages.views import Choice, Clock, Crumb
from api.pages.words import text
from api.pages.words_applications import ALLOWED, AUDIENCE_HELP, AUDIENCES, DENIED, FORMS
from api.routes.shapes import ApplicationIn
from policies.text import Text, UserError
from sandbox.applications import repository, service
from sandbox.applications.model import APPLICATION, APPROVAL
from sandbox.applications.repository import Application, Approval
from sandbox.applications.rowrule import MAX_CONDITIONS, OPERATORS, Condition
from sandbox.catalog import repository as catalogue_records
from sandbox.catalog import service as catalogue
from sandbox.catalog.repository import Resource, ResourceColumn
from sandbox.kernel import accounts, oversight, permissions
from sandbox.kernel.lifecycle import Offer, State
from sandbox.kernel.unit import Unit
from sandbox.workspaces import repository as workspace_records

router = frame.page_router()
Typed = Annotated[str, Form()]


def _stand(step: str) -> Step:
    return lambda unit, one, reason: service.stand(unit, one, step, reason)


STEPS: dict[str, Step] = {
    "submit": lambda unit, one, _reason: service.submit(unit, one),
    "pass_check": lambda unit, one, reason: service.check(unit, one, "pass", reason),
    "return": lambda unit, one, reason: service.check(unit, one, "return", reason),
    "reject_check": lambda unit, one, reason: service.check(unit, one, "reject", reason),
    "sign": lambda unit, one, _reason: service.sign(unit, one),
    "withdraw": lambda unit, one, _reason: service.withdraw(unit, one),
    **{step: _stand(step) for step in ("suspend", "resume", "revoke", "close")},
}
APPROVAL_STEPS: dict[str, Step] = {
    decision: lambda unit, one, reason, decision=decision: service.decide(unit, one, decision, reason)  # type: ignore[misc]
    for decision in ("approve", "return", "reject")
}
PROGRESS = ("draft", "check", "approve", "sign", "active")
PLACE_OF_STATE = {
    "draft": 0, "returned": 0, "checking": 1, "check_rejected": 1, "approving": 2, "rejected": 2, "approved": 3,
    "approved_by_lapse": 3, "agreement_signed": 4,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Department:
    """One department's part in the present round."""

    record: Approval
    name: str
    state: State
    clock: Clock
    offers: list[Offer]


@dataclass(frozen=True, slots=True)
class Asked:
    """One resource asked for, with the reason for each column."""

    resource: Resource
    department: str
    columns: list[tuple[ResourceColumn | None, str, str]]
    """the column as it is now (None once gone), its name, why it is needed"""
    rows: list[Text]
    """the conditions on its rows in words; none: every row"""


@router.get("/applications")
def show_applications(request: Request, unit: Annotated[Unit, Acting("application:read")]) -> Response:
    """The own ones, those that ask for the own department's data, or all."""
    desk, records = Desk.of(unit), service.list_for(unit)
    found = common.listing(
        request, records, APPLICATION, lambda r: f"{r.scenario} {r.id} {desk.names.get(r.organisation_id)}"
    )
    return frame.render(
        request, "applications/list.html", listing=found, rows=[desk.application(r) for r in found.items],
        total=len(records), may_draft=permissions.permitted(unit.actor, "application:draft"),
    )  # fmt: skip


@router.get("/applications/new")
def show_form(request: Request, unit: Annotated[Unit, Acting("application:draft")], resource: str = "") -> Response:
    """The form; `resource` (from a catalogue entry) is unfolded."""
    return _form(request, unit, {}, opened=resource)


def _form(
    request: Request, unit: Unit, typed: Mapping[str, str], error: UserError | None = None, opened: str = "",
    action: str = "/applications",
) -> Response:  # fmt: skip
    names = accounts.names(unit.session)
    choices = [
        (r, names[r.organisation_id], catalogue_records.columns(unit.session, r.id)) for r in catalogue.catalogue(unit)
    ]
    return frame.render(
        request, "applications/new.html", status=error.status if error else 200, typed=typed, error=error,
        problems=inputs.problems_of(error), resources=choices, opened=opened, action=action,
        forms=[Choice(k, v) for k, v in FORMS.items()],
        audiences=[Choice(k, v, AUDIENCE_HELP[k]) for k, v in AUDIENCES.items()],
        operators=OPERATORS, lines=range(MAX_CONDITIONS),
        crumbs=[Crumb(text("application.title"), "/applications"), Crumb(text("application.new"))],
    )  # fmt: skip


def _form_again(request: Request, typed: Mapping[str, str], action: str, error: UserError) -> Response:
    """The form as it was filled in, read anew after the failed transaction."""
    with platform_of(request).begin(actor_of(request), request.state.request_id) as unit:
        return _form(request, unit, typed, error, typed.get("resource", ""), action)


def _filled(request: Request, unit: Unit, sent: FormData, action: str) -> dict[str, Any]:
    """The form's fields as the service takes them. A wrong field shows the form again, as it was filled in."""
    typed = {key: str(value).strip() for key, value in sent.items()}
    frame.show_again(request, partial(_form_again, request, typed, action))
    fields = {k: typed.get(k, "") for k in ("scenario", "purpose", "product_form", "audience", "term_months")}
    body = inputs.checked(ApplicationIn, fields | {"requested": {}})
    requested = _requested(unit, sent)
    if not requested:
        raise inputs.FormProblem({"columns": text("application.missing")})
    return body.model_dump(exclude={"requested", "rows"}) | {"requested": requested, "rows": _rows(unit, sent)}


@router.post("/applications")
def draft(request: Request, unit: Annotated[Unit, Acting("application:draft")], sent: Sent) -> Response:
    """Drafts an application; the very same draft again is refused."""
    filled = _filled(request, unit, sent, "/applications")
    drafts = [a for a in service.list_for(unit) if a.state == "draft" and a.scenario == filled["scenario"].strip()]
    inputs.refuse_twin(bool(drafts), text("application.twin"))
    made = service.draft(unit, **filled)
    # One that could never be submitted is refused here, while the form is at hand.
    APPLICATION.check(unit, made, "submit")
    return frame.go(f"/applications/{made.id}", "application:draft")


@router.get("/applications/{application_id}/edit")
def show_edit(request: Request, application_id: str, unit: Annotated[Unit, Acting("application:draft")]) -> Response:
    """The form with what a draft or returned application asks for now."""
    record = service.read(unit, application_id)
    typed = {k: str(getattr(record, k)) for k in ("scenario", "purpose", "product_form", "audience", "term_months")}
    for resource_id, asked in record.requested.items():
        for column in catalogue_records.columns(unit.session, resource_id):
            if column.name in asked["columns"]:
                key = f"{resource_id}.{column.position}"
                typed |= {f"use.{key}": "1", f"why.{key}": asked["columns"][column.name]}
            for line, condition in enumerate(asked.get("rows", [])):
                if condition["column"] == column.name:
                    key = f"{resource_id}.{line}"
                    typed |= {f"row.{key}": str(column.position), f"op.{key}": condition["op"],
                              f"values.{key}": "，".join(condition["values"])}  # fmt: skip
    return _form(request, unit, typed, action=f"/applications/{record.id}/edit")


@router.post("/applications/{application_id}/edit")
def revise(
    request: Request, application_id: str, unit: Annotated[Unit, Acting("application:draft")], sent: Sent
) -> Response:
    """Changes a draft or returned application."""
    made = service.revise(unit, application_id, **_filled(request, unit, sent, f"/applications/{application_id}/edit"))
    APPLICATION.check(unit, made, "submit")
    return frame.go(f"/applications/{made.id}", "application:revise")


def _requested(unit: Unit, sent: FormData) -> dict[str, dict[str, str]]:
    """Ticked columns with their reasons: boxes are named by resource and position, so no name has to be escaped."""
    requested: dict[str, dict[str, str]] = {}
    for resource in catalogue.catalogue(unit):
        chosen = {
            c.name: str(sent.get(f"why.{resource.id}.{c.position}", ""))
            for c in catalogue_records.columns(unit.session, resource.id)
            if sent.get(f"use.{resource.id}.{c.position}")
        }
        if chosen:
            requested[resource.id] = chosen
    return requested


def _rows(unit: Unit, sent: FormData) -> dict[str, list[dict[str, Any]]]:
    """Conditions that name a column, by resource: the line's column, operator, and values between commas."""
    found: dict[str, list[dict[str, Any]]] = {}
    for resource in catalogue.catalogue(unit):
        names = {str(c.position): c.name for c in catalogue_records.columns(unit.session, resource.id)}
        for line in range(MAX_CONDITIONS):
            key = f"{resource.id}.{line}"
            if column := names.get(str(sent.get(f"row.{key}", ""))):
                values = [v for v in re.split(r"[,，]", str(sent.get(f"values.{key}", ""))) if v.strip()]
                condition = {"column": column, "op": str(sent.get(f"op.{key}", "")), "values": values}
                found.setdefault(resource.id, []).append(condition)
    return found


@router.get("/applications/{application_id}")
def show_application(
    request: Request, application_id: str, unit: Annotated[Unit, Acting("application:read")]
) -> Response:
    """One application: what is asked and why, every department's clock, agreement, grants."""
    record, desk = service.read(unit, application_id), Desk.of(unit)
    departments = _departments(unit, record, desk)
    workspace = workspace_records.of_application(unit.session, record.id)
    return frame.render(
        request, "applications/detail.html", record=record, state=APPLICATION.state(record.state),
        row=desk.application(record), party=desk.names[record.organisation_id], departments=departments,
        own=[d for d in departments if d.offers], asked=_asked(unit, record, desk.names),
        offers=common.offers(unit, APPLICATION, record, STEPS), agreement=_agreement(record),
        grants=_grants(unit, record), reasons=_reasons(unit, record), place=PLACE_OF_STATE.get(record.state, 5),
        progress=[text(f"application.step_{p}") for p in PROGRESS], disposed=_disposed(unit, record),
        workspace=workspace,
        may_edit=record.state in ("draft", "returned")
        and permissions.permitted(unit.actor, "application:draft", owner=record.organisation_id),
        may_open=record.state == "active" and workspace is None
        and permissions.permitted(unit.actor, "workspace:open", owner=record.organisation_id),
        may_enter=workspace is not None
        and permissions.permitted(unit.actor, "workspace:read", owner=record.organisation_id),
        events=common.trail(unit, record.id, *(d.record.id for d in departments)),
        words={"forms": FORMS, "audiences": AUDIENCES},
        crumbs=[Crumb(text("application.title"), "/applications"), Crumb(record.scenario)],
    )  # fmt: skip


def _departments(unit: Unit, record: Application, desk: Desk) -> list[Department]:
    clocks = Clocks.of(unit)
    return [
        Department(
            a, desk.names[a.organisation_id], APPROVAL.state(a.state), clocks.at("approval", a),
            common.offers(unit, APPROVAL, a, APPROVAL_STEPS)
            if a.organisation_id == unit.actor.organisation_id else [],
        )
        for a in repository.approvals(unit.session, record.id, record.round)
    ]  # fmt: skip


def _asked(unit: Unit, record: Application, names: Mapping[str, str]) -> list[Asked]:
    found = []
    for resource_id, wanted in record.requested.items():
        resource = catalogue_records.get(unit.session, resource_id)
        now = {c.name: c for c in catalogue_records.columns(unit.session, resource_id)}
        columns = [(now.get(name), name, why) for name, why in wanted["columns"].items()]
        rows = [Condition.of(c).text for c in wanted.get("rows", [])]
        found.append(Asked(resource, names[resource.organisation_id], columns, rows))
    return found


def _agreement(record: Application) -> dict[str, Any]:
    """What the agreement says: as signed, or as it will be."""
    body = (record.agreement or {}).get("body", {})
    return {
        "allowed": [ALLOWED.get(a, a) for a in body.get("allowed", ALLOWED)],
        "denied": [DENIED.get(d, d) for d in body.get("denied", DENIED)],
        "template": body.get("template"), "sha256": (record.agreement or {}).get("sha256"),
    }  # fmt: skip


def _grants(unit: Unit, record: Application) -> list[dict[str, Any]]:
    return [
        {"id": g.id, "resource": catalogue_records.get(unit.session, g.resource_id).name, "version": g.version,
         "columns": g.columns, "rows": [Condition.of(c).text for c in g.rows], "word": _grant_word(g)}
        for g in repository.grants(unit.session, record.id)
    ]  # fmt: skip


def _disposed(unit: Unit, record: Application) -> list[tuple[str, Text, Mapping[str, Any]]]:
    """What is on record as gone once the application ended: whose it was, what it was, the facts."""
    if record.disposal is None:
        return []
    found = [
        (catalogue_records.get(unit.session, g.resource_id).name, text(f"application.disposal_{binding}"), facts)
        for g in repository.grants(unit.session, record.id) for binding, facts in sorted((g.disposal or {}).items())
    ]  # fmt: skip
    found += [(f["workspace"], text("application.disposal_folder"), f) for f in record.disposal["folders"]]
    return [*found, (record.id, text("application.disposal_key"), record.disposal["pseudonym_key"])]


def _grant_word(granted: repository.Grant) -> Text:
    if granted.ended_at is not None:
        return text("application.grant_ended")
    return text("application.grant_ready" if granted.snapshot else "application.grant_building")


def _reasons(unit: Unit, record: Application) -> list[str]:
    """What was written when the application was last returned or refused, by the operator or a department."""
    if record.state not in ("returned", "rejected", "check_rejected"):
        return []
    decided = [
        str(e.facts["reason"]) for e in oversight.trail(unit, record.id)
        if e.event in ("application:return", "application:reject_check") and "reason" in e.facts
    ]  # fmt: skip
    departments = [a.reason for a in repository.approvals(unit.session, record.id, record.round) if a.reason]
    return departments or decided[-1:]


@router.post("/applications/{application_id}/steps")
def step(
    request: Request, application_id: str, unit: Annotated[Unit, Acting("application:read")], transition: Typed = "",
    reason: Typed = "",
) -> Response:  # fmt: skip
    """Submit, check, sign, withdraw, suspend …: the state machine decides who may and when."""
    common.take(STEPS, transition)(unit, application_id, reason)
    return frame.go(f"/applications/{application_id}", f"application:{transition}")


@router.post("/approvals/{approval_id}/steps")
def decide(
    request: Request, approval_id: str, unit: Annotated[Unit, Acting("application:approve")], transition: Typed = "",
    reason: Typed = "",
) -> Response:  # fmt: skip
    """A department's decision on its part."""
    common.take(APPROVAL_STEPS, transition)(unit, approval_id, reason)
    application_id = repository.approval(unit.session, approval_id).application_id
    return frame.go(f"/applications/{application_id}", f"approval:{transition}")
