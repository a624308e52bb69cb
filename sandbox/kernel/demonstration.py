"""The demonstration city's clock: it may be moved forward, because no real person's data lives there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from policies.text import Text
from sandbox.kernel import permissions, state
from sandbox.kernel.errors import BadInput, NotPermitted

if TYPE_CHECKING:
    from sandbox.kernel.unit import Unit


FURTHEST = timedelta(days=5 * 366)
"""how far one move may go: the longest agreement; further on, dates would run out of the calendar for good"""


def mark(unit: Unit, city: str, starts: datetime | None = None) -> None:
    """Declare that this installation holds only the demonstration city `city`; its clock starts at `starts`.

    A fixed start makes the same story run in any year, also when next year's working calendar is not published yet.
    """
    state.write(unit.session, state.DEMONSTRATION, city)
    if starts is not None:
        state.write(unit.session, state.CLOCK_OFFSET, (starts - unit.platform.clock.now()).total_seconds())
        unit.now = starts
    unit.audit("platform:demonstration", "platform", "city", city=city)


def require(unit: Unit) -> str:
    """The city's name. Raises `NotPermitted` where this is no demonstration."""
    city = state.read(unit.session, state.DEMONSTRATION)
    if not city:
        raise NotPermitted(
            "demonstration.only",
            Text("这一步只在演示市可用", "This is possible only in the demonstration city"),
            fix=Text("正式环境的时钟不能拨动", "A real installation's clock cannot be moved"),
        )
    return str(city)


def move_clock(unit: Unit, to: datetime) -> None:
    """Let the platform's clock run ahead to `to`. Never backwards: the order of the audit log stays true."""
    permissions.check(unit.actor, "clock:move")
    require(unit)
    moment = to if to.tzinfo else to.replace(tzinfo=UTC)
    if moment < unit.now:
        raise BadInput("clock.backwards", Text("时钟不能往回拨", "The clock cannot go back"))
    if moment > unit.now + FURTHEST:
        raise BadInput("clock.too_far", Text("时钟一次最多拨快五年", "The clock moves at most five years at a time"))
    offset = (moment - unit.platform.clock.now()).total_seconds()
    state.write(unit.session, state.CLOCK_OFFSET, offset)
    unit.audit("clock:move", "platform", "clock", to=moment.isoformat())
    unit.enqueue("upkeep", "platform", "clock")
