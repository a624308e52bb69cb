"""用量与配额: the usage tab, statements, requests for more; for the operator the machine and its isolation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import partial
from typing import Annotated, Any

from fastapi import Form, Request, Response
from sqlalchemy import select

from api.deps import Acting, Asking, actor_of, platform_of
from api.pages import common, frame
from api.pages.common import Step
from api.pages.desk import Desk
from api.pages.views import Choice, Crumb, Tab
from api.pages.words import text
from api.pages.words_events import event_words
from api.pages.words_metering import FORMS, KINDS, MODES
from api.routes.metering import as_file, attack_again
from policies.text import Text, UserError
from sandbox.applications import repository as applications
from sandbox.kernel import accounts, editions, oversight, permissions
from sandbox.kernel.clock import city_date
from sandbox.kernel.errors import BadInput
from sandbox.kernel.identity import Actor
from sandbox.kernel.unit import Platform, Unit
from sandbox.workspaces import billing, machine, metering, metering_record, quotas, service, tiers
from sandbox.workspaces.metering_record import QuotaRequest
from sandbox.workspaces.model import QUOTA, WORKSPACE
from sandbox.workspaces.quotas import MEASURES, Standing
from sandbox.workspaces.repository import Workspace

router = frame.page_router()
Typed = Annotated[str, Form()]
SHOWN_DAYS, HISTORY = 31, 50
STEPS: dict[str, Step] = {
    step: lambda unit, one, reason, step=step: quotas.decide(unit, one, step, reason)  # type: ignore[misc]
    for step in ("reject", "revoke", "withdraw")
}
FIGURES = {p.column: p for p in billing.PRICED}


def usage_of(unit: Unit, workspace: Workspace) -> dict[str, Any]:
    """What the usage tab shows, and the banner above every tab."""
    today = city_date(unit.now).isoformat()
    days = metering.days(unit, workspace.id, "", today)
    standings = metering.today(unit, workspace.id)
    return {
        "standings": [bar(s) for s in standings.values()],
        "pressing": [s for s in standings.values() if s.full or s.near],
        "days": list(reversed(days.items()))[:SHOWN_DAYS], "kinds": KINDS, "hours": hours,
        "months": metering_record.months(unit.session, workspace.id),
        "prices": [(p.label, f"{yuan(fen)} / ", p.unit) for p, fen in billing.price_list(unit).items()],
        "requests": [wish(r) for r in quotas.list_for(unit, workspace.id)],
        "measures": [Choice(m.name, Text(f"{m.label.zh}（{m.unit.zh}）", f"{m.label.en} ({m.unit.en})"))
                     for m in MEASURES.values()],
    }  # fmt: skip


def bar(standing: Standing) -> dict[str, Any]:
    """A quota as a bar: numbers for its length, words for how it is written."""
    measure = standing.measure
    used, limit = standing.used / measure.size, standing.limit // measure.size
    shown = f"{used:,.0f}" if measure.size == 1 else f"{used:,.1f}"
    return {
        "label": measure.label, "used": standing.used, "limit": standing.limit, "shown": shown,
        "shown_limit": Text(f"{limit:,} {measure.unit.zh}", f"{limit:,} {measure.unit.en}"),
        "until": standing.raised_until,
    }  # fmt: skip


def hours(column: str, quantity: int) -> str:
    """A ledger quantity in priced units, three digits after the point, for tables."""
    return f"{quantity / FIGURES[column].size:,.3f}"


def wish(request: QuotaRequest) -> dict[str, Any]:
    return {"record": request, "state": QUOTA.state(request.state), "measure": MEASURES[request.measure]}


# ---- statements ----


@router.get("/workspaces/{workspace_id}/usage/{month}")
def show_statement(
    request: Request, workspace_id: str, month: str, unit: Annotated[Unit, Acting("usage:read")]
) -> Response:
    """The statement of one month."""
    found = billing.statement(unit, workspace_id, month)
    application = applications.get(unit.session, found.workspace.application_id)
    crumbs = [Crumb(text("workspace.title"), "/workspaces"),
              Crumb(application.scenario, f"/workspaces/{workspace_id}?tab=usage"), Crumb(month)]  # fmt: skip
    return frame.render(
        request, "workspaces/statement.html", statement=found, application=application, crumbs=crumbs, kinds=KINDS,
        party=common.organisation(unit, found.workspace.organisation_id), hours=hours, yuan=yuan,
        days=list(found.days.items()),
    )  # fmt: skip


@router.get("/workspaces/{workspace_id}/usage/{month}/csv")
def download_statement(workspace_id: str, month: str, unit: Annotated[Unit, Acting("usage:read")]) -> Response:
    return as_file(billing.statement(unit, workspace_id, month))


@router.get("/usage")
def show_statements(request: Request, unit: Annotated[Unit, Acting("usage:read")], month: str = "") -> Response:
    """Every statement of a month within the person's reach; this month where none is named."""
    chosen = month or city_date(unit.now).isoformat()[:7]
    names = accounts.names(unit.session)
    found = [
        {"statement": s, "party": names.get(s.workspace.organisation_id, ""),
         "scenario": applications.get(unit.session, s.workspace.application_id).scenario}
        for s in billing.statements(unit, chosen)
    ]  # fmt: skip
    return frame.render(
        request, "oversight/usage.html", found=found, month=chosen, yuan=yuan, hours=hours, totals=_sums(found),
        tabs=_tabs(unit),
    )  # fmt: skip


def _sums(found: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    lines = [line for row in found for line in row["statement"].lines]
    return {column: sum(n.quantity for n in lines if n.priced.column == column) for column in FIGURES}


def yuan(fen: int) -> str:
    """Whole fen as yuan with two digits."""
    return f"{fen // 100:,}.{fen % 100:02d}"


# ---- asking for more ----


@router.post("/workspaces/{workspace_id}/quota-requests")
def ask(
    request: Request, workspace_id: str, unit: Annotated[Unit, Acting("quota:request")], measure: Typed = "",
    wanted: Typed = "", reason: Typed = "",
) -> Response:  # fmt: skip
    """The merchant asks for a higher quota."""
    frame.show_again(request, partial(_ask_again, request, workspace_id, (measure, wanted, reason)))
    quotas.ask(unit, workspace_id, measure, _whole(wanted), reason)
    return frame.go(f"/workspaces/{workspace_id}?tab=usage", "quota:submit")


def _ask_again(request: Request, workspace_id: str, typed: tuple[str, str, str], error: UserError) -> Response:
    from api.pages import workspaces

    with platform_of(request).begin(actor_of(request), request.state.request_id) as unit:
        return workspaces.page(request, unit, service.read(unit, workspace_id), "usage", asked=typed, error=error)


def _whole(typed: str) -> int:
    if not typed.strip().isascii() or not typed.strip().isdigit() or len(typed.strip()) > 9:
        raise BadInput("quota.amount", text("input.number"), fix=text("quota.wanted_help"))
    return int(typed)


@router.get("/quota-requests")
def show_requests(request: Request, unit: Annotated[Unit, Acting("quota:read")]) -> Response:
    """What merchants ask for: waiting ones first."""
    desk = Desk.of(unit)
    records = sorted(quotas.list_for(unit), key=lambda r: r.state != QUOTA.initial)
    found = common.listing(request, records, QUOTA, lambda r: f"{r.id} {desk.names.get(r.organisation_id)}")
    rows = [wish(r) | {"party": desk.names.get(r.organisation_id, "")} for r in found.items]
    return frame.render(
        request, "oversight/quotas.html", listing=found, rows=rows, total=len(records), tabs=_tabs(unit)
    )


@router.get("/quota-requests/{request_id}")
def show_request(request: Request, request_id: str, unit: Annotated[Unit, Acting("quota:read")]) -> Response:
    return _request_page(request, unit, request_id)


def _request_page(
    request: Request, unit: Unit, request_id: str, typed: tuple[str, str] | None = None, error: UserError | None = None
) -> Response:
    found = quotas.read(unit, request_id)
    workspace = metering.readable(unit, found.workspace_id)
    measure = MEASURES[found.measure]
    common_quota = getattr(editions.in_force(unit, "workspace").by_check("quotas").parameters, measure.parameter)
    return frame.render(
        request, "oversight/quota.html", status=error.status if error else 200, error=error, wish=wish(found),
        common_quota=common_quota, standing=bar(metering.today(unit, workspace.id)[found.measure]),
        scenario=applications.get(unit.session, workspace.application_id).scenario,
        party=common.organisation(unit, found.organisation_id), events=common.trail(unit, found.id),
        offers=common.offers(unit, QUOTA, found, STEPS), typed=typed or (str(found.wanted), ""),
        may_grant=found.state == QUOTA.initial and permissions.permitted(unit.actor, "quota:decide"),
        crumbs=[Crumb(text("quota.title"), "/quota-requests"), Crumb(found.id)],
    )  # fmt: skip


@router.post("/quota-requests/{request_id}/grant")
def grant(
    request: Request, request_id: str, unit: Annotated[Unit, Acting("quota:decide")], amount: Typed = "",
    until: Typed = "",
) -> Response:  # fmt: skip
    """The operator sets amount and last day; in force at once."""
    frame.show_again(request, partial(_grant_again, request, request_id, (amount, until)))
    try:
        last = date.fromisoformat(until)
    except ValueError as wrong:
        raise BadInput("quota.until", text("input.wrong"), fix=text("quota.until_help")) from wrong
    quotas.grant(unit, request_id, _whole(amount), last)
    return frame.go(f"/quota-requests/{request_id}", "quota:grant")


def _grant_again(request: Request, request_id: str, typed: tuple[str, str], error: UserError) -> Response:
    with platform_of(request).begin(actor_of(request), request.state.request_id) as unit:
        return _request_page(request, unit, request_id, typed, error)


@router.post("/quota-requests/{request_id}/steps")
def step(
    request_id: str, unit: Annotated[Unit, Acting("quota:read")], transition: Typed = "", reason: Typed = ""
) -> Response:
    """Refuse, take back, withdraw."""
    common.take(STEPS, transition)(unit, request_id, reason)
    return frame.go(f"/quota-requests/{request_id}", f"quota:{transition}")


# ---- the machine and its isolation ----


def _tabs(unit: Unit) -> list[Tab]:
    places = (("machine", "machine:read", "/machine"), ("quota", "quota:read", "/quota-requests"),
              ("usage", "usage:read", "/usage"), ("isolation", "isolation:read", "/isolation"))  # fmt: skip
    mine = [(k, href) for k, action, href in places if permissions.permitted(unit.actor, action)]
    found = [Tab(k, text(f"{k}.title"), href) for k, href in mine]
    return found if len(found) > 2 else []


@router.get("/machine")
def show_machine(request: Request, unit: Annotated[Unit, Acting("machine:read")]) -> Response:
    """Live status of every workspace, without anything of what it works on."""
    found = machine.overview(unit, getattr(request.app.state, "broker", None))
    names = accounts.names(unit.session)
    rows = [
        {"seat": s, "party": names.get(s.workspace.organisation_id, ""), "state": WORKSPACE.state(s.workspace.state),
         "scenario": applications.get(unit.session, s.workspace.application_id).scenario}
        for s in found.seats
    ]  # fmt: skip
    return frame.render(
        request, "oversight/machine.html", load=found.load, rows=rows, forms=FORMS, modes=MODES, tabs=_tabs(unit),
        may_freeze=permissions.permitted(unit.actor, "workspace:freeze"),
    )  # fmt: skip


@router.get("/isolation")
def show_isolation(request: Request, unit: Annotated[Unit, Acting("isolation:read")]) -> Response:
    return _isolation_page(request, unit)


def _isolation_page(
    request: Request, unit: Unit, typed: tuple[str, str] = ("strong", ""), error: UserError | None = None
) -> Response:
    found = tiers.standing(unit)
    tested, decision = found["tested"] or {}, found["decision"] or {}
    person = unit.session.get(accounts.Account, decision.get("by", ""))
    return frame.render(
        request, "oversight/isolation.html", status=error.status if error else 200, error=error, tested=tested,
        decision=decision, decided_by=person.name if person else "", decided_at=_moment(decision),
        tested_at=_moment(tested), real_data=found["real_data"], forms=FORMS, typed=typed, tabs=_tabs(unit),
        stopped=sum(a["stopped"] for a in tested.get("attacks", [])), history=_history(unit),
        may_test=permissions.permitted(unit.actor, "isolation:test"),
        may_decide=permissions.permitted(unit.actor, "isolation:decide"),
        choices=[Choice("strong", text("isolation.only_strong")), Choice("medium", text("isolation.also_medium")),
                 Choice("weak", text("isolation.also_weak"))],
    )  # fmt: skip


def _moment(kept: Mapping[str, Any]) -> datetime | None:
    return datetime.fromisoformat(kept["at"]) if "at" in kept else None


def _history(unit: Unit) -> list[dict[str, Any]]:
    """Self-tests and decisions from the audit log, newest first."""
    names = {a.id: a.name for a in unit.session.scalars(select(accounts.Account))}
    found = reversed(oversight.trail(unit, "isolation"))
    return [
        {"at": e.at, "what": event_words(e.event) or e.event, "tier": e.facts["tier"], "open": e.facts.get("open"),
         "who": common.actor_words(unit.actor, e, names), "reason": e.facts.get("reason", "")}
        for e in found
        if e.event in ("isolation:selftest", "isolation:decide")
    ][:HISTORY]  # fmt: skip


@router.post("/isolation/selftest")
def test_again(
    request: Request, asking: Annotated[tuple[Platform, Actor], Asking("isolation:test")]
) -> Response:  # fmt: skip
    """Runs the attacks again and goes by what they find."""
    attack_again(request, *asking)
    return frame.go("/isolation", "isolation:selftest")


@router.post("/isolation/decision")
def decide(
    request: Request, unit: Annotated[Unit, Acting("isolation:decide")], tier: Typed = "", reason: Typed = ""
) -> Response:
    """The operator's written decision."""
    frame.show_again(request, partial(_decide_again, request, (tier, reason)))
    tiers.decide(unit, tier, reason)
    return frame.go("/isolation", "isolation:decide")


def _decide_again(request: Request, typed: tuple[str, str], error: UserError) -> Response:
    with platform_of(request).begin(actor_of(request), request.state.request_id) as unit:
        return _isolation_page(request, unit, typed, error)
