"""The demonstration city's clock: the operator moves it on to see deadlines run out."""

from __future__ import annotations

from datetime import datetime, time
from functools import partial
from typing import Annotated

from fastapi import Form, Request, Response

from api.deps import Acting, actor_of, platform_of
from api.pages import frame
from api.pages.views import Crumb
from api.pages.words import text
from policies.problems import CalendarMissing
from policies.text import Text, UserError
from sandbox.kernel import demonstration
from sandbox.kernel.clock import CITY, city_date, working_days_after
from sandbox.kernel.errors import BadInput
from sandbox.kernel.unit import Unit

router = frame.page_router()
JUMPS = (1, 5, 11)
"""working days; the last one is past the departments' approval"""


@router.get("/demonstration")
def show_clock(request: Request, unit: Annotated[Unit, Acting("clock:move")]) -> Response:
    demonstration.require(unit)
    return _page(request, unit)


def _page(request: Request, unit: Unit, error: UserError | None = None) -> Response:
    return frame.render(
        request, "oversight/demonstration.html", status=error.status if error else 200, error=error, now=unit.now,
        jumps=[jump for count in JUMPS if (jump := _jump(unit, count))],
        typed=unit.now.astimezone(CITY).strftime("%Y-%m-%dT%H:%M"), crumbs=[Crumb(text("demo.title"))],
    )  # fmt: skip


def _jump(unit: Unit, count: int) -> tuple[Text, str] | None:
    """A button's words and the moment it leads to; None where the calendar ends before."""
    try:
        day = working_days_after(city_date(unit.now), count)
    except CalendarMissing:
        return None
    moment = datetime.combine(day, time(9), CITY)
    return text("demo.jump", day=day.isoformat(), count=count), moment.isoformat()


@router.post("/demonstration")
def move(request: Request, unit: Annotated[Unit, Acting("clock:move")], to: Annotated[str, Form()] = "") -> Response:
    """Moves the clock to a moment of city time; never backwards, never outside a demonstration."""
    frame.show_again(request, partial(_page_again, request))
    try:
        moment = datetime.fromisoformat(to)
    except ValueError as wrong:
        raise BadInput("clock.time", text("demo.bad_time"), fix=text("demo.bad_time_fix")) from wrong
    demonstration.move_clock(unit, moment if moment.tzinfo else moment.replace(tzinfo=CITY))
    return frame.go("/demonstration", "clock:move")


def _page_again(request: Request, error: UserError) -> Response:
    with platform_of(request).begin(actor_of(request), request.state.request_id) as unit:
        return _page(request, unit, error)
