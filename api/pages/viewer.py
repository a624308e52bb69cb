"""Who looks at a page: asked once for every page route, softly, so that the header is right even on an error page."""

from __future__ import annotations

from datetime import datetime

from fastapi import Request
from sqlalchemy.orm import Session

from api.deps import actor_of, platform_of
from api.pages.views import Viewer
from sandbox.kernel import accounts, state
from sandbox.kernel.identity import VISITOR, Actor, Role


def seat(request: Request) -> None:
    """Put the signed-in person on `request.state.viewer` (None for a visitor), and the city's clock if it runs ahead.

    Without a platform behind the application (the style guide alone) there is nobody to ask for.
    """
    request.state.viewer, request.state.city_time = None, None
    if getattr(request.app.state, "platform", None) is None:
        return
    actor = actor_of(request)
    with platform_of(request).begin(VISITOR, request.state.request_id) as unit:
        ahead = bool(state.read(unit.session, state.CLOCK_OFFSET, 0))
        request.state.city_time = unit.now if ahead else None
        request.state.viewer = None if actor.role is Role.VISITOR else _viewer(unit.session, actor)


def _viewer(session: Session, actor: Actor) -> Viewer:
    return Viewer(actor.name, actor.role, accounts.organisation(session, actor.organisation_id).name)


def city_time(request: Request) -> datetime | None:
    """The demonstration's clock when it runs ahead of the machine's, for the banner."""
    found: datetime | None = getattr(request.state, "city_time", None)
    return found
