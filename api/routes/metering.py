"""用量与配额: use of workspaces, monthly statements, requests for more, the machine, its isolation."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import Field

from api.deps import Acting, Asking
from api.routes.shapes import DecisionIn, In, Line, Out, Prose
from sandbox.kernel.clock import city_date
from sandbox.kernel.identity import Actor
from sandbox.kernel.unit import Platform, Unit
from sandbox.workspaces import billing, machine, metering, quotas, tiers
from sandbox.workspaces.metering_record import Totals
from sandbox.workspaces.quotas import Standing

router = APIRouter(tags=["metering"])


class QuotaOut(Out):
    """One measure today: whole numbers in `unit`s of the ledger times `size` are `limit`."""

    measure: str = Field(examples=["cpu"])
    used: int = Field(description="microseconds, MB·milliseconds, KB, or a count")
    limit: int
    percent: int
    state: str = Field(examples=["ok", "near", "full"])
    raised_until: str | None

    @classmethod
    def of(cls, one: Standing) -> QuotaOut:
        state = "full" if one.full else "near" if one.near else "ok"
        return cls(measure=one.measure.name, used=one.used, limit=one.limit, percent=one.percent, state=state,
                   raised_until=one.raised_until)  # fmt: skip


class TotalsOut(Out):
    counts: dict[str, int] = Field(examples=[{"query": 12, "script": 1}])
    cpu_us: int = Field(description="microseconds of processor time")
    memory_mb_ms: int = Field(description="MB × milliseconds")
    storage_kb_s: int = Field(description="KB × seconds")
    rows: int
    bytes: int


class UsageOut(Out):
    quotas: list[QuotaOut]
    today: TotalsOut
    days: dict[str, TotalsOut]


class LineOut(Out):
    measure: str
    edition: str
    quantity: int = Field(description="in the ledger's unit, exact")
    units: str = Field(description="in priced units", examples=["1.250000"])
    price_fen: int
    amount_fen: int


class StatementOut(Out):
    workspace_id: str
    organisation_id: str
    month: str
    lines: list[LineOut]
    total_fen: int
    counts: dict[str, int]
    days: dict[str, TotalsOut]

    @classmethod
    def of(cls, found: billing.Statement) -> StatementOut:
        lines = [
            LineOut(measure=one.priced.column, edition=one.edition, quantity=one.quantity, units=one.units,
                    price_fen=one.price_fen, amount_fen=one.amount_fen)
            for one in found.lines
        ]  # fmt: skip
        return cls(
            workspace_id=found.workspace.id, organisation_id=found.workspace.organisation_id, month=found.month,
            lines=lines, total_fen=found.total_fen, counts=found.counts, days=_days(found.days),
        )  # fmt: skip


class WishIn(In):
    measure: Line = Field(examples=["cpu"])
    wanted: int = Field(ge=1, le=10**9, description="the new quota in the measure's unit", examples=[480])
    reason: Prose = Field(examples=["季度报告需要反复建模"])


class GrantIn(In):
    amount: int = Field(ge=1, le=10**9, examples=[480])
    until: date = Field(description="last day on which it holds")


class WishOut(Out):
    id: str
    workspace_id: str
    state: str
    measure: str
    wanted: int
    reason: str
    granted: int | None
    until: str | None
    answer: str
    created_at: datetime


class SeatOut(Out):
    workspace_id: str
    organisation_id: str
    state: str
    tier: str
    workers: list[dict[str, Any]]
    today: TotalsOut
    nearest: QuotaOut


class MachineOut(Out):
    load: dict[str, int | str]
    workspaces: list[SeatOut]


class IsolationOut(Out):
    """The last self-test with every attack, the operator's decision, and whether real data may be used."""

    tested: dict[str, Any] | None
    decision: dict[str, Any] | None
    accepted: list[str]
    real_data: bool


def _days(found: dict[str, Totals]) -> dict[str, TotalsOut]:
    return {day: TotalsOut.model_validate(one) for day, one in found.items()}


@router.get("/workspaces/{workspace_id}/usage", summary="用量和配额 · Use of this month and quotas")
def usage(workspace_id: str, unit: Annotated[Unit, Acting("usage:read")]) -> UsageOut:
    standings = metering.today(unit, workspace_id)
    today = city_date(unit.now).isoformat()
    days = metering.days(unit, workspace_id, f"{today[:7]}-01", today)
    return UsageOut(quotas=[QuotaOut.of(s) for s in standings.values()], days=_days(days),
                    today=TotalsOut.model_validate(days.get(today) or Totals({})))  # fmt: skip


@router.get("/workspaces/{workspace_id}/usage/{month}", summary="用量账单 · Statement of use of a month")
def statement(workspace_id: str, month: str, unit: Annotated[Unit, Acting("usage:read")]) -> StatementOut:
    return StatementOut.of(billing.statement(unit, workspace_id, month))


@router.get("/workspaces/{workspace_id}/usage/{month}/csv", summary="下载用量账单 · The statement as CSV")
def statement_file(workspace_id: str, month: str, unit: Annotated[Unit, Acting("usage:read")]) -> Response:
    return as_file(billing.statement(unit, workspace_id, month))


def as_file(found: billing.Statement) -> Response:
    """The statement as a CSV to keep."""
    name = f'attachment; filename="usage-{found.month}-{found.workspace.id}.csv"'
    return Response(billing.as_csv(found), media_type="text/csv", headers={"content-disposition": name})


@router.get("/usage/{month}", summary="全部用量账单 · Statements of every workspace within reach")
def statements(month: str, unit: Annotated[Unit, Acting("usage:read")]) -> list[StatementOut]:
    return [StatementOut.of(s) for s in billing.statements(unit, month)]


@router.post("/workspaces/{workspace_id}/quota-requests", status_code=201, summary="申请追加配额 · Ask for more")
def ask(workspace_id: str, body: WishIn, unit: Annotated[Unit, Acting("quota:request")]) -> WishOut:
    return WishOut.model_validate(quotas.ask(unit, workspace_id, body.measure, body.wanted, body.reason))


@router.get("/quota-requests", summary="配额申请 · Requests for more")
def requests(unit: Annotated[Unit, Acting("quota:read")], workspace_id: str | None = None) -> list[WishOut]:
    return [WishOut.model_validate(r) for r in quotas.list_for(unit, workspace_id)]


@router.get("/quota-requests/{request_id}", summary="一份配额申请 · One request")
def request(request_id: str, unit: Annotated[Unit, Acting("quota:read")]) -> WishOut:
    return WishOut.model_validate(quotas.read(unit, request_id))


@router.post("/quota-requests/{request_id}/grant", summary="同意追加 · Grant")
def grant(request_id: str, body: GrantIn, unit: Annotated[Unit, Acting("quota:decide")]) -> WishOut:
    return WishOut.model_validate(quotas.grant(unit, request_id, body.amount, body.until))


@router.post("/quota-requests/{request_id}/decision", summary="不同意、收回、撤回 · Refuse, take back, withdraw")
def decide(request_id: str, body: DecisionIn, unit: Annotated[Unit, Acting("quota:read")]) -> WishOut:
    """`decision`: reject or revoke (operator, with a reason), withdraw (merchant)."""
    return WishOut.model_validate(quotas.decide(unit, request_id, body.decision, body.reason))


@router.get("/machine", summary="空间运行情况 · Workspaces on this machine")
def show_machine(request: Request, unit: Annotated[Unit, Acting("machine:read")]) -> MachineOut:
    """Who runs and what is left; never what they work on."""
    found = machine.overview(unit, request.app.state.broker)
    seats = [
        SeatOut(workspace_id=s.workspace.id, organisation_id=s.workspace.organisation_id, state=s.workspace.state,
                tier=s.workspace.tier, workers=s.workers, today=TotalsOut.model_validate(s.today),
                nearest=QuotaOut.of(s.nearest))
        for s in found.seats
    ]  # fmt: skip
    return MachineOut(load=dict(found.load), workspaces=seats)


@router.get("/platform/isolation", summary="隔离情况 · Isolation: self-test and decision")
def isolation(unit: Annotated[Unit, Acting("isolation:read")]) -> IsolationOut:
    return IsolationOut(**tiers.standing(unit))


@router.post("/platform/isolation/selftest", summary="重新自检 · Run the attacks again")
def test_again(request: Request, asking: Annotated[tuple[Platform, Actor], Asking("isolation:test")]) -> IsolationOut:
    """Takes a few seconds; what it finds holds from then on."""
    attack_again(request, *asking)
    with asking[0].begin(asking[1], request.state.request_id) as unit:
        return IsolationOut(**tiers.standing(unit))


def attack_again(request: Request, platform: Platform, actor: Actor) -> None:
    """Run the self-test, keep its result, and let broker and portal go by it."""
    from sandbox.workspaces.selftest import selftest

    found = selftest(again=True)
    with platform.begin(actor, request.state.request_id) as unit:
        tiers.record(unit, found.as_dict())
    request.app.state.broker.tested = found
    request.app.state.portal.tier = found.tier
