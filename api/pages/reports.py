"""披露: public reports, open to everybody; the operator publishes them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Annotated

from fastapi import Form, Request, Response

from api.deps import Acting, Open, actor_of, platform_of
from api.pages import frame, inputs
from api.pages.words import text
from policies.text import Text, UserError
from sandbox.exports import notices
from sandbox.kernel import permissions
from sandbox.kernel.clock import city_date
from sandbox.kernel.errors import BadInput
from sandbox.kernel.unit import Unit
from sandbox.reporting import service
from sandbox.reporting.service import FIGURES, PublicReport

router = frame.page_router()
Typed = Annotated[str, Form()]


@dataclass(frozen=True, slots=True)
class Shown:
    """A report as the page shows it."""

    start: str
    end: str
    figures: list[tuple[Text, str, str]]
    record: PublicReport


def report_figures(report: PublicReport) -> Shown:
    """The report's figures in the order and words of the reporting table."""
    figures = [(label, f"{report.figures.get(key, 0):,}", "") for key, (_, label) in FIGURES.items()]
    return Shown(report.period_from, report.period_to, figures, report)


@router.get("/reports")
def show_reports(request: Request, unit: Annotated[Unit, Open()]) -> Response:
    return _page(request, unit)


def _page(
    request: Request, unit: Unit, typed: dict[str, str] | None = None, error: UserError | None = None
) -> Response:
    today = city_date(unit.now)
    return frame.render(
        request, "oversight/reports.html", status=error.status if error else 200, error=error,
        reports=[report_figures(r) for r in service.published(unit.session)],
        typed=typed or {"start": today.replace(day=1).isoformat(), "end": today.isoformat()},
        may_publish=permissions.permitted(unit.actor, "report:publish"), recalled=notices.recalled(unit),
    )  # fmt: skip


@router.post("/reports")
def publish(
    request: Request, unit: Annotated[Unit, Acting("report:publish")], start: Typed = "", end: Typed = ""
) -> Response:
    """Publishes the figures of a period; the same figures of the same period once."""
    frame.show_again(request, partial(_page_again, request, {"start": start, "end": end}))
    try:
        first, last = date.fromisoformat(start), date.fromisoformat(end)
    except ValueError as wrong:
        raise BadInput("report.period", text("report.date"), fix=text("report.date_fix")) from wrong
    counted = service.count(unit.session, first, last)
    earlier = service.published(unit.session)
    inputs.refuse_twin(any(_same(r, first, last, counted) for r in earlier), text("report.twin"))
    service.publish(unit, first, last)
    return frame.go("/reports", "report:publish")


def _same(report: PublicReport, first: date, last: date, counted: dict[str, int]) -> bool:
    period = (report.period_from, report.period_to) == (first.isoformat(), last.isoformat())
    return period and report.figures == counted


def _page_again(request: Request, typed: dict[str, str], error: UserError) -> Response:
    with platform_of(request).begin(actor_of(request), request.state.request_id) as unit:
        return _page(request, unit, typed, error)
