"""What every route shares: who asks, for which action, inside which transaction.

A route names its action through `Acting`; a route that is open to everybody says so with `Open`. A test walks every
route and fails on one that says neither.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any

from fastapi import Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from sandbox.kernel import accounts, permissions
from sandbox.kernel.errors import REFUSALS, Unauthenticated
from sandbox.kernel.identity import VISITOR, Actor
from sandbox.kernel.unit import Platform, Unit

SESSION_COOKIE = "pds_session"
Asked = Callable[[], tuple[Platform, Actor]]
"""tells platform and actor; raises what `Asking` raises"""


def platform_of(request: Request) -> Platform:
    found: Platform = request.app.state.platform
    return found


def secret_of(request: Request) -> str | None:
    """The secret this request brings: a bearer token for programs, the session cookie for the portal's pages.

    The JSON API takes no cookie, so a foreign page cannot make a browser act on it.
    """
    header = request.headers.get("authorization", "")
    if header.lower().startswith("bearer "):
        return header[7:].strip()
    return None if request.url.path.startswith("/api/") else request.cookies.get(SESSION_COOKIE)


def actor_of(request: Request) -> Actor:
    """Who asks; a visitor when nobody is signed in. Raises `Unauthenticated` for a secret that no longer holds."""
    secret = secret_of(request)
    if secret is None:
        return VISITOR
    platform = platform_of(request)
    try:
        with platform.database.reading() as connection:
            return accounts.authenticate(connection, secret, platform.clock.now())
    except Unauthenticated as refused:
        platform.record_refusal(VISITOR, request.state.request_id, refused)
        if request.url.path.startswith("/api/"):
            raise
        return VISITOR


class _Acting:
    """Dependency: the unit of this request, for an actor who may perform `action`."""

    def __init__(self, action: str | None) -> None:
        self.action = action

    def __call__(self, request: Request) -> Iterator[Unit]:
        actor = actor_of(request)
        with platform_of(request).begin(actor, request.state.request_id) as unit:
            if self.action is not None:
                permissions.check(actor, self.action)
            yield unit


class _Asking:
    """Dependency: platform and actor, for routes that work outside a transaction (queries, uploads)."""

    def __init__(self, action: str) -> None:
        self.action = action

    def __call__(self, request: Request) -> tuple[Platform, Actor]:
        platform, actor = platform_of(request), actor_of(request)
        try:
            permissions.check(actor, self.action)
        except REFUSALS as refused:
            platform.record_refusal(actor, request.state.request_id, refused)
            raise
        return platform, actor


class _AskingLater(_Asking):
    """Dependency: the same question, to be asked by the route's own thread before it does anything else."""

    async def __call__(self, request: Request) -> Asked:  # type: ignore[override]
        request.state.asked = partial(super().__call__, request)
        return request.state.asked


class AskedFirst(APIRoute):
    """The class of routes with `AskingLater`: what is wrong with an input is told only to those who may ask."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError:
                if hasattr(request.state, "asked"):
                    await run_in_threadpool(request.state.asked)
                raise

        return handler


def Acting(action: str) -> Any:
    """`Annotated[Unit, Acting("noun:verb")]`: commits when the route returns, before the answer is sent."""
    _known(action)
    return Depends(_Acting(action), scope="function")


def Open() -> Any:
    """`Annotated[Unit, Open()]`: a route that everybody may use, signed in or not."""
    return Depends(_Acting(None), scope="function")


def Asking(action: str) -> Any:
    """`Annotated[tuple[Platform, Actor], Asking("noun:verb")]`: the permission is checked, no transaction is held."""
    _known(action)
    return Depends(_Asking(action))


def AskingLater(action: str) -> Any:
    """`Annotated[Asked, AskingLater("noun:verb")]`: as `Asking`, for a route of class `AskedFirst` whose work has a
    thread of its own, so that the request waits for one thread and not for two."""
    _known(action)
    return Depends(_AskingLater(action))


def _known(action: str) -> None:
    if action not in permissions.PERMISSIONS:
        raise KeyError(f"no such action: {action}")
