"""The portal's frame: template environment, language, `render`, error pages, and how it joins the application."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from api.pages import navigation, security, static, viewer, words
from api.pages.filters import FILTERS
from api.pages.icons import icon
from api.pages.views import Viewer, col
from api.pages.words_events import event_words
from api.pages.words_states import fixed_state, icon_of, policy_name
from policies.text import UserError
from sandbox.kernel.errors import Unauthenticated

TEMPLATES = Path(__file__).parent.parent / "templates"
LANGUAGE_SECONDS = 365 * 24 * 3600
# A thin rule between facts on one line: CJK fonts draw the middle dot as wide as a character.
SEPARATOR = Markup('<span class="sep" aria-hidden="true"></span>')


@dataclass
class Portal:
    """What the frame knows of this installation; lives on `app.state.portal`.

    `secret` makes the form tokens (`kernel.keys.load_secret`); `tier` is the isolation self-test's answer (strong,
    medium, weak), None while unknown; `demonstration` shows the 演示市 banner and registers /styleguide.
    """

    secret: bytes
    demonstration: bool = False
    tier: str | None = None
    secure_cookies: bool = False
    files: static.StaticFiles = field(default_factory=static.collect)


def install(app: FastAPI, portal: Portal) -> None:
    """Put the frame into the application: state, safety headers, static files; in a demonstration the style guide."""
    app.state.portal = portal
    app.add_middleware(security.SecurityMiddleware)
    app.include_router(static.router)
    if portal.demonstration:
        from api.pages import styleguide

        app.include_router(styleguide.router)


def page_router(**options: Any) -> APIRouter:
    """A router for pages: not in the API's schema, and every changing request must bring the form token."""
    return APIRouter(include_in_schema=False, dependencies=[Depends(security.verify_csrf)], **options)


@lru_cache
def environment() -> Environment:
    """Templates with autoescape on; an unknown name stops the page instead of leaving a hole."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(FILTERS)
    made.globals.update(icon=icon, icon_of=icon_of, fixed_state=fixed_state, policy_name=policy_name)
    made.globals.update(col=col, sep=SEPARATOR, is_current=navigation.is_current)
    return made


def language_of(request: Request) -> str:
    """`?lang=`, else the cookie, else the browser's first choice among ours, else Chinese."""
    for asked in (request.query_params.get("lang"), request.cookies.get(security.LANGUAGE_COOKIE)):
        if asked in words.LANGUAGES:
            return asked
    for part in request.headers.get("accept-language", "").lower().split(","):
        if part.strip()[:2] in words.LANGUAGES:
            return part.strip()[:2]
    return words.LANGUAGES[0]


def render(request: Request, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    """A page of `template` with the frame around it.

    The template gets `t` (words), `lang`, `ui` (components), `viewer`, `csrf`, `portal`, `request` and `context`; pages
    may pass `crumbs` (list of Crumb), `simulated=True` (permanent 仿真数据 badge). What a form has just done is said
    once, above the page. Raises on any unknown name or word.
    """
    language = language_of(request)
    if not security.binding(request):
        request.state.new_visit = secrets.token_urlsafe(18)
    shared = _shared(request, language)
    done = event_words(request.cookies.get(security.DONE_COOKIE, ""))
    alone = {"crumbs": [], "simulated": False, "back": "/", "done": done}
    body = environment().get_template(template).render(shared | alone | context)
    response = HTMLResponse(body, status_code=status, headers={"content-language": words.HTML_LANGUAGE[language]})
    _set_cookies(request, response, language)
    return response


def error_page(request: Request, error: UserError, status: int | None = None) -> Response:
    """The page of an error people can act on: what happened, what to do, its stable code.

    A page that needs sign-in sends the visitor there. A form that can say more beside its own fields shows itself
    again (`show_again`).
    """
    if isinstance(error, Unauthenticated) and error.code.startswith("session."):
        return RedirectResponse(f"/login?next={quote(_place_of(request), safe='/')}", 303)
    again: Callable[[UserError], Response] | None = getattr(request.state, "show_again", None)
    if again is not None:
        request.state.show_again = None
        return again(error)
    if not hasattr(request.state, "viewer"):
        viewer.seat(request)
    back = "/" if request.method in security.SAFE_METHODS else local_address(request.headers.get("referer", ""))
    return render(request, "error.html", status=status or error.status, error=error, back=back)


def show_again(request: Request, show: Callable[[UserError], Response]) -> None:
    """Should this request fail, `show` answers: outside the failed transaction, which has been rolled back."""
    request.state.show_again = show


def local_address(address: str) -> str:
    """Path and query of `address`, and only if they lead nowhere but this site; else "/"."""
    parts = urlsplit(address.replace("\\", "/"))
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    safe = path.startswith("/") and not path.startswith("//") and path.isprintable()
    return path if safe else "/"


def _place_of(request: Request) -> str:
    """Where to go on after signing in: this page, or for a sent form the page it was on."""
    if request.method in security.SAFE_METHODS:
        return local_address(f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path)
    return local_address(request.headers.get("referer", ""))


def go(path: str, event: str = "") -> RedirectResponse:
    """After a form: on to `path`, which says once that `event` ("application:submit") is done."""
    response = RedirectResponse(path, 303)
    if event:
        response.set_cookie(security.DONE_COOKIE, event, max_age=30, httponly=True, samesite="strict")
    return response


def wants_page(request: Request) -> bool:
    """Whether the asker is a browser that shows pages, not a program that reads JSON."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/")


def _shared(request: Request, language: str) -> dict[str, Any]:
    portal: Portal = request.app.state.portal
    person: Viewer | None = getattr(request.state, "viewer", None)
    shared: dict[str, Any] = {
        "request": request,
        "portal": portal,
        "viewer": person,
        "city_time": viewer.city_time(request),
        "lang": language,
        "html_lang": words.HTML_LANGUAGE[language],
        "t": words.speaker(language),
        "csrf": security.issue_token(portal.secret, security.binding(request)),
        "csrf_field": security.CSRF_FIELD,
        "asset": portal.files.address,
        "islands": portal.files.has_islands,
        "nav": navigation.navigation_of(person),
        "language_href": _language_addresses(request),
    }
    module = environment().get_template("components.html").make_module(shared)
    return shared | {"ui": module}


def _language_addresses(request: Request) -> Mapping[str, str]:
    """The same page in each language."""
    return {lang: str(request.url.include_query_params(lang=lang).query) for lang in words.LANGUAGES}


def _set_cookies(request: Request, response: HTMLResponse, language: str) -> None:
    secure = request.app.state.portal.secure_cookies
    if request.query_params.get("lang") in words.LANGUAGES:
        response.set_cookie(
            security.LANGUAGE_COOKIE, language, max_age=LANGUAGE_SECONDS, httponly=True, samesite="lax", secure=secure
        )
    if request.cookies.get(security.DONE_COOKIE):
        response.delete_cookie(security.DONE_COOKIE)
    if visit := getattr(request.state, "new_visit", None):
        response.set_cookie(security.VISIT_COOKIE, visit, httponly=True, samesite="strict", secure=secure)


def fragment(request: Request, template: str, **context: Any) -> HTMLResponse:
    """Part of a page for htmx: the same context as `render`, no cookies, no frame."""
    shared = _shared(request, language_of(request))
    return HTMLResponse(environment().get_template(template).render(shared | context))
