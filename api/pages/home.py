"""The home page: whose turn it is and what waits; for a visitor, what this platform is."""

from __future__ import annotations

from typing import Annotated

from fastapi import Request, Response
from sqlalchemy import func, select

from api.deps import Open
from api.pages import frame
from api.pages.desk import Desk, by_urgency
from api.pages.reports import report_figures
from sandbox.exports import service as exports
from sandbox.exports.repository import ExportRequest
from sandbox.kernel import editions, permissions
from sandbox.kernel.identity import Role
from sandbox.kernel.jobs import FAILED, Job
from sandbox.kernel.unit import Unit
from sandbox.merchants.service import Merchant
from sandbox.reporting import service as reporting

router = frame.page_router()


@router.get("/")
def show_home(request: Request, unit: Annotated[Unit, Open()]) -> Response:
    """The desk of the person who is signed in, or the front page."""
    if unit.actor.role is Role.VISITOR:
        latest = [report_figures(r) for r in reporting.published(unit.session)[:1]]
        return frame.render(request, "home/visitor.html", reports=latest)
    items = by_urgency(list(Desk.of(unit, mixed=True).everything()))
    waiting = [item for item in items if item.turn.mine]
    return frame.render(
        request, "home/desk.html", waiting=waiting, flight=[item for item in items if not item.turn.mine],
        overdue=sum(item.clock.overdue for item in waiting), failed_jobs=_failed_jobs(unit),
        proposed=_proposed(unit), incidents=_incidents(unit), outside=_outside(unit),
    )  # fmt: skip


def _failed_jobs(unit: Unit) -> int:
    if not permissions.permitted(unit.actor, "job:retry"):
        return 0
    return unit.session.scalar(select(func.count()).select_from(Job).where(Job.state == FAILED)) or 0


def _incidents(unit: Unit) -> list[ExportRequest]:
    """Requests in which a proof contradicted the evidence, for those who can look into it."""
    return exports.incidents(unit) if permissions.permitted(unit.actor, "job:retry") else []


def _proposed(unit: Unit) -> int:
    """Editions that wait for this officer as the second person."""
    if not permissions.permitted(unit.actor, "policy:activate"):
        return 0
    return sum(e.state == editions.PROPOSED and e.proposed_by != unit.actor.id for e in editions.every(unit.session))


def _outside(unit: Unit) -> bool:
    """A merchant's account whose organisation has not been admitted yet."""
    merchant = unit.actor.role is Role.MERCHANT
    return merchant and unit.session.get(Merchant, unit.actor.organisation_id) is None
