"""Use cases of use applications: draft, check, approve, deemed consent, agreement, grants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from policies.text import Text
from sandbox.applications import rowrule
from sandbox.applications.model import APPLICATION, APPROVAL
from sandbox.applications.repository import (
    Application,
    Approval,
    Grant,
    approval,
    approvals,
    every,
    get,
    grant,
    grants,
)
from sandbox.catalog import repository as catalogue
from sandbox.kernel import clocks, jobs, permissions
from sandbox.kernel.audit import canonical
from sandbox.kernel.errors import BadInput, InvalidTransition, NotPermitted
from sandbox.kernel.identity import SYSTEM, Role
from sandbox.kernel.ids import new_id
from sandbox.kernel.unit import Unit
from sandbox.merchants import service as merchants

FORMS = ("aggregate", "report", "model", "api", "dataset")
AUDIENCES = ("public", "contract", "enclave")
Rows = Mapping[str, Sequence[Mapping[str, Any]]]
ENDED = ("revoked", "expired", "closed")
"""states after which nothing of a grant may be left"""
MAX_TERM_MONTHS = 60
"""An authorised-operation agreement lasts at most five years (发改数据规〔2025〕27号 Art 14(2))."""


def draft(
    unit: Unit, *, scenario: str, purpose: str, product_form: str, audience: str, term_months: int,
    requested: Mapping[str, Mapping[str, str]], rows: Rows | None = None,
) -> Application:  # fmt: skip
    """Draft an application. `requested` maps resource id → column → why that column is needed (最小必要); `rows`
    resource id → the conditions on its rows (all rows where there are none)."""
    permissions.check(unit.actor, "application:draft")
    merchants.require_active(unit)
    _check_form(product_form, audience, term_months)
    departments = _check_requested(unit, requested)
    asked = _asked(unit, requested, rows or {})
    record = Application(
        id=new_id("app"), organisation_id=unit.actor.organisation_id, state=APPLICATION.initial,
        state_since=unit.now, created_at=unit.now, scenario=scenario.strip(), purpose=purpose.strip(),
        product_form=product_form, audience=audience, term_months=term_months,
        requested=asked, department_ids=departments, signed_at=None, agreement=None, expires_at=None, round=1,
    )  # fmt: skip
    unit.session.add(record)
    unit.session.flush()
    unit.audit("application:draft", "application", record.id, resources=len(record.requested))
    return record


def _asked(unit: Unit, requested: Mapping[str, Mapping[str, str]], rows: Rows) -> dict[str, Any]:
    """What is asked of each resource, as it is kept. Raises `BadInput` for conditions that do not fit."""
    if foreign := set(rows) - set(requested):
        raise BadInput("application.rows", Text("行条件所属的数据不在申请中", "Conditions on data not asked for"),
                       fix=Text("请删除该条件", "Remove the condition"), resources=sorted(foreign))  # fmt: skip
    kept: dict[str, Any] = {}
    for resource_id, columns in requested.items():
        types = {c.name: c.type for c in catalogue.columns(unit.session, resource_id)}
        conditions = rowrule.checked(rows.get(resource_id, ()), types, columns)
        kept[resource_id] = {"columns": dict(columns)} | ({"rows": conditions} if conditions else {})
    return kept


def _check_form(product_form: str, audience: str, term_months: int) -> None:
    if product_form not in FORMS or audience not in AUDIENCES:
        raise BadInput("application.form", Text("产品形态或使用范围不在可选项中", "Unknown product form or audience"))
    if not 1 <= term_months <= MAX_TERM_MONTHS:
        raise BadInput(
            "application.term",
            Text(f"使用期限应为 1–{MAX_TERM_MONTHS} 个月", f"The term is 1 to {MAX_TERM_MONTHS} months"),
            fix=Text("请修改期限", "Change the term"),
        )


def _check_requested(unit: Unit, requested: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The departments asked. Raises `BadInput` for an unpublished resource, an unknown column or one without reason."""
    if not requested:
        raise BadInput("application.nothing_requested", Text("没有选择任何资源", "No resource is requested"))
    departments: list[str] = []
    for resource_id, columns in requested.items():
        resource = catalogue.get(unit.session, resource_id)
        if resource.state != "published":
            raise BadInput(
                "application.not_published", Text("只能申请已发布的资源", "Only published resources"), id=resource_id
            )
        known = {c.name for c in catalogue.columns(unit.session, resource_id)}
        unknown = sorted(set(columns) - known)
        if unknown or not columns:
            raise BadInput("application.columns", Text(f"资源“{resource.name}”没有列：{'、'.join(unknown)}",
                           f"“{resource.name}” has no column {', '.join(unknown)}"), id=resource_id)  # fmt: skip
        silent = [name for name, why in columns.items() if not why.strip()]
        if silent:
            raise BadInput(
                "application.necessity",
                Text(f"请说明为什么需要：{'、'.join(silent)}", f"Say why these are needed: {', '.join(silent)}"),
                fix=Text("逐列填写用途（最小必要）", "Give a reason for each column"),
            )
        departments.append(resource.organisation_id)
    return sorted(set(departments))


@APPLICATION.guard("merchant_active")
def _merchant_active(unit: Unit, _record: Application) -> None:
    merchants.require_active(unit)


@APPLICATION.guard("one_scenario")
def _one_scenario(_unit: Unit, record: Application) -> None:
    """一场景一申请 (Guangzhou interim measures Art 4): an application names exactly one scenario."""
    separators = "；;\n"
    if not record.scenario or any(mark in record.scenario.strip(separators) for mark in separators):
        raise InvalidTransition(
            "application.one_scenario",
            Text("一份申请只能写一个应用场景", "One application names exactly one scenario"),
            fix=Text("请把其他场景另行申请", "Apply separately for the others"),
            id=record.id,
        )


@APPLICATION.guard("all_approved")
def _all_approved(unit: Unit, record: Application) -> None:
    states = {a.state for a in approvals(unit.session, record.id, record.round)}
    if not states or states - {"approved", "approved_by_lapse"}:
        raise InvalidTransition("application.not_all_approved", Text("还有部门没有同意", "Not every department agrees"))


@APPROVAL.guard("clock_run_out")
def _clock_run_out(unit: Unit, record: Approval) -> None:
    clock = next(iter(clocks.running(unit.session, "approval", record.id)), None)
    if clock is None or not clock.overdue(unit.now):
        raise InvalidTransition(
            "approval.not_overdue", Text("审核期限未满", "The time limit has not run out"), id=record.id
        )


def revise(
    unit: Unit, application_id: str, *, scenario: str, purpose: str, product_form: str, audience: str,
    term_months: int, requested: Mapping[str, Mapping[str, str]], rows: Rows | None = None,
) -> Application:  # fmt: skip
    """Change a draft or returned application; what is asked for is checked as for a new one."""
    record = get(unit.session, application_id)
    permissions.check(unit.actor, "application:draft", owner=record.organisation_id)
    if record.state not in ("draft", "returned"):
        raise InvalidTransition(
            "application.wrong_state",
            Text("只有草稿或退回的申请可以修改", "Only a draft or returned application can be changed"),
            fix=Text("请先撤回，或等待退回", "Withdraw it, or wait until it is returned"),
            id=record.id,
        )
    _check_form(product_form, audience, term_months)
    record.department_ids = _check_requested(unit, requested)
    record.scenario, record.purpose, record.product_form = scenario.strip(), purpose.strip(), product_form
    record.audience, record.term_months = audience, term_months
    record.requested = _asked(unit, requested, rows or {})
    unit.audit("application:revise", "application", record.id, resources=len(record.requested))
    return record


def submit(unit: Unit, application_id: str) -> Application:
    """Submit (or resubmit after a return): the operator's clock starts anew."""
    record = get(unit.session, application_id)
    resubmitted = record.state == "returned"
    APPLICATION.advance(unit, record, "submit")
    if resubmitted:
        record.round += 1
    return record


def check(unit: Unit, application_id: str, decision: str, reason: str = "") -> Application:
    """The operator's check (核查): `pass`, `return` or `reject`. Passing opens one approval and clock a department."""
    record = get(unit.session, application_id)
    names = {"pass": "pass_check", "return": "return", "reject": "reject_check"}
    if decision not in names:
        raise BadInput("application.decision", Text("核查结论应为通过、退回或不通过", "Decide pass, return or reject"))
    APPLICATION.advance(unit, record, names[decision], reason=reason)
    if decision == "pass":
        for department in record.department_ids:
            _open_approval(unit, record, department)
    return record


def _open_approval(unit: Unit, record: Application, department: str) -> None:
    opened = Approval(
        id=new_id("apv"), organisation_id=department, state=APPROVAL.initial, state_since=unit.now,
        created_at=unit.now, application_id=record.id, round=record.round, reason="",
    )  # fmt: skip
    unit.session.add(opened)
    unit.session.flush()
    clocks.start(unit, "application_approval", "approval", opened.id, department)
    unit.audit("approval:open", "approval", opened.id, application=record.id, department=department)


def decide(unit: Unit, approval_id: str, decision: str, reason: str = "") -> Approval:
    """A department decides its approval (审核): `approve`, `return` or `reject`."""
    record = approval(unit.session, approval_id)
    if decision not in ("approve", "return", "reject"):
        raise BadInput("approval.decision", Text("审核意见应为同意、退回或不同意", "Decide approve, return or reject"))
    APPROVAL.advance(unit, record, decision, reason=reason)
    record.reason = reason
    _conclude(unit, record.application_id)
    return record


def lapse_overdue(unit: Unit) -> list[str]:
    """Deemed consent: every department's approval whose last day has ended is approved by lapse; returns the ids.

    Idempotent; a decision made before this runs wins; a clock without a due day (calendar year missing) never lapses;
    no other clock of the platform ever turns into consent. Source: Guangzhou Q&A (effect read, number of days assumed).
    """
    lapsed: list[str] = []
    for clock in clocks.running(unit.session, "approval"):
        if clock.on_lapse == "consent" and clock.overdue(unit.now):
            record = approval(unit.session, clock.subject_id)
            APPROVAL.advance(unit, record, "lapse", rule=f"{clock.key}@{clock.edition}", due_on=clock.due_on)
            lapsed.append(record.id)
            _conclude(unit, record.application_id)
    return lapsed


def _conclude(unit: Unit, application_id: str) -> None:
    """Close the application's approval phase once the decisions allow it."""
    record = get(unit.session, application_id)
    states = [a.state for a in approvals(unit.session, record.id, record.round)]
    system = unit.acting_as(SYSTEM)
    if "rejected" in states:
        _drop_pending(system, record)
        APPLICATION.advance(system, record, "reject")
    elif "returned" in states:
        _drop_pending(system, record)
        APPLICATION.advance(system, record, "return_by_department")
    elif all(s in ("approved", "approved_by_lapse") for s in states):
        APPLICATION.advance(system, record, "approve_by_lapse" if "approved_by_lapse" in states else "approve")


def _drop_pending(unit: Unit, record: Application) -> None:
    for other in approvals(unit.session, record.id, record.round):
        if other.state == "pending":
            APPROVAL.advance(unit, other, "drop")


def withdraw(unit: Unit, application_id: str) -> Application:
    record = get(unit.session, application_id)
    APPLICATION.advance(unit, record, "withdraw")
    _drop_pending(unit.acting_as(SYSTEM), record)
    return record


def sign(unit: Unit, application_id: str) -> Application:
    """The merchant signs the standard agreement; the grants and their snapshots are then made by a job."""
    record = get(unit.session, application_id)
    APPLICATION.advance(unit, record, "sign")
    record.signed_at = unit.now
    record.expires_at = unit.now + timedelta(days=record.term_months * 30)
    record.agreement = _agreement(unit, record)
    for resource_id, wanted in record.requested.items():
        _make_grant(unit, record, resource_id, sorted(wanted["columns"]), wanted.get("rows", []))
    unit.enqueue("grant", "application", record.id)
    return record


def _agreement(unit: Unit, record: Application) -> dict[str, Any]:
    """The machine-readable contract: parties, resources, purpose, allowed and denied actions, term."""
    import hashlib

    body = {
        "template": "standard-2026-01", "merchant": record.organisation_id, "departments": record.department_ids,
        "scenario": record.scenario, "form": record.product_form, "audience": record.audience,
        "resources": record.requested, "allowed": ["query_simulated", "read_rows", "run", "request_export"],
        "denied": ["raw_export", "re_identification", "re_sharing"], "term_months": record.term_months,
        "signed_by": unit.actor.id,
    }  # fmt: skip
    return {"body": body, "sha256": hashlib.sha256(canonical(body).encode()).hexdigest()}


def _make_grant(unit: Unit, record: Application, resource_id: str, columns: list[str], rows: list[Any]) -> None:
    resource = catalogue.get(unit.session, resource_id)
    known = {c.name: c.type for c in catalogue.columns(unit.session, resource_id)}
    if resource.state != "published" or resource.current_version is None or record.expires_at is None:
        # A version that its department has not confirmed must not be granted.
        raise InvalidTransition(
            "grant.no_version",
            Text(f"资源“{resource.name}”当前没有已发布的版本", f"“{resource.name}” has no published version now"),
            fix=Text("请待资源重新发布后再签署", "Sign once it is published again"), id=resource_id,
        )  # fmt: skip
    if set(columns) - known.keys():
        raise InvalidTransition(
            "grant.columns_gone",
            Text(f"资源“{resource.name}”的新版本缺少已批准的列", f"“{resource.name}” no longer has all columns"),
            fix=Text("请撤回后按新版本重新申请", "Withdraw, and apply again for the new version"), id=resource_id,
        )  # fmt: skip
    unit.session.add(
        Grant(
            id=new_id("grt"), application_id=record.id, organisation_id=record.organisation_id,
            department_id=resource.organisation_id, resource_id=resource_id, version=resource.current_version,
            columns=columns, rows=rowrule.checked(rows, known, columns), expires_at=record.expires_at, snapshot=None,
            ended_at=None, disposal=None,
        )
    )  # fmt: skip
    unit.session.flush()


def activate(unit: Unit, application_id: str, snapshots: Mapping[str, Mapping[str, Any]]) -> Application:
    """Grants take effect with their snapshots (grant id → manifest)."""
    record = get(unit.session, application_id)
    for one in grants(unit.session, record.id):
        one.snapshot = dict(snapshots[one.id])
    APPLICATION.advance(unit, record, "activate", grants=len(snapshots))
    return record


def require_live(unit: Unit, application_id: str) -> Application:
    """The application, if its grants may be used now. Else raises `NotPermitted`; expiry stops the next statement."""
    record = get(unit.session, application_id)
    permissions.check(unit.actor, "application:read", owner=record.organisation_id, parties=record.parties)
    if unit.actor.role is Role.MERCHANT:
        merchants.require_active(unit)
    if not live(unit, record.state, record.expires_at):
        raise NotPermitted(
            "application.not_active",
            Text("该申请的授权当前无效", "The grants of this application are not in effect"),
            fix=Text("请查看申请状态，或重新申请", "Look at the application's state, or apply again"),
            id=record.id, state=record.state,
        )  # fmt: skip
    return record


def live(unit: Unit, state: str, expires_at: datetime | None) -> bool:
    """Whether an application's grants are in effect at this moment; the clock counts, whatever the state still says."""
    return state == "active" and expires_at is not None and expires_at > unit.now


def stand(unit: Unit, application_id: str, step: str, reason: str) -> Application:
    """Suspend, resume, revoke (operator) or close (merchant) an application."""
    record = get(unit.session, application_id)
    if step not in ("suspend", "resume", "revoke", "close"):
        raise BadInput("application.step", Text("没有这个操作", "There is no such step"))
    APPLICATION.advance(unit, record, step, reason=reason)
    if step in ("revoke", "close"):
        unit.enqueue("dispose", "application", record.id)
    return record


def expire_due(unit: Unit) -> list[str]:
    """End applications whose term has run out; returns their ids. The bytes go in a job of their own."""
    ended: list[str] = []
    for record in every(unit.session):
        if record.state in ("active", "suspended") and record.expires_at is not None and record.expires_at <= unit.now:
            APPLICATION.advance(unit, record, "expire")
            unit.enqueue("dispose", "application", record.id)
            ended.append(record.id)
    return ended


def require_ended(unit: Unit, application_id: str) -> Application:
    """The application, if its grants have ended for good: only then may bytes be removed. Raises otherwise."""
    record = get(unit.session, application_id)
    if record.state not in ENDED:
        raise InvalidTransition("application.not_ended", Text("授权尚未结束，不能销毁", "The grants have not ended"),
                                fix=Text("请先撤销或等待到期", "Revoke it first, or wait"), id=record.id)  # fmt: skip
    return record


def undisposed(unit: Unit) -> list[str]:
    """Ended applications whose bytes no job is removing (its attempts failed): each gets a new job; their ids."""
    found = []
    for record in every(unit.session):
        if record.state in ENDED and any(g.ended_at is None for g in grants(unit.session, record.id)):
            asked = jobs.of_subject(unit.session, "application", record.id)
            if not any(j.kind == "dispose" and j.state in jobs.LIVE for j in asked):
                unit.enqueue("dispose", "application", record.id)
                found.append(record.id)
    return found


def end_grants(
    unit: Unit, application_id: str, disposals: Mapping[str, Mapping[str, Any]], gone: Mapping[str, Any]
) -> None:
    """Record that the granted bytes are gone (grant id → disposal record), and what went with them."""
    record = require_ended(unit, application_id)
    for one in grants(unit.session, application_id):
        if one.ended_at is None:
            one.ended_at, one.disposal = unit.now, dict(disposals.get(one.id, {}))
    record.disposal = {**gone, "at": unit.now.isoformat()}
    digests = sorted({b["digest"] for d in disposals.values() for b in d.values() if b["gone"]})
    unit.audit("grant:dispose", "application", application_id, grants=len(disposals), digests=digests, **gone)


def read(unit: Unit, application_id: str) -> Application:
    """One application; a draft is its author organisation's alone."""
    record = get(unit.session, application_id)
    permissions.check(unit.actor, "application:read", owner=record.organisation_id, parties=record.parties)
    if record.state == "draft" and record.organisation_id != unit.actor.organisation_id:
        raise permissions.out_of_reach("application:read")
    return record


def read_grant(unit: Unit, grant_id: str) -> Grant:
    found = grant(unit.session, grant_id)
    permissions.check(unit.actor, "grant:read", owner=found.organisation_id, parties=(found.department_id,))
    return found


def list_for(unit: Unit) -> list[Application]:
    """Applications the actor may see: own, touching the own department, or all."""
    permissions.check(unit.actor, "application:read")
    return [
        a for a in every(unit.session)
        if permissions.permitted(unit.actor, "application:read", owner=a.organisation_id, parties=a.parties)
        and not (a.state == "draft" and a.organisation_id != unit.actor.organisation_id)
    ]  # fmt: skip
