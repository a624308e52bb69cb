"""Browser safety: response headers, cross-site refusal, form tokens. Needs nothing but the request and one secret."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from urllib.parse import urlsplit

from fastapi import Request
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.pages import words
from sandbox.kernel.errors import NotPermitted

SESSION_COOKIE = "pds_session"
VISIT_COOKIE = "pds_visit"
LANGUAGE_COOKIE = "pds_lang"
DONE_COOKIE = "pds_done"
CSRF_FIELD = "csrf_token"
CSRF_HEADER = "x-csrf-token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

CONTENT_POLICY = (
    "default-src 'self'; style-src 'self'; script-src 'self'; img-src 'self' data:; object-src 'none'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
HEADERS = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}
_ADDED = [(name.encode(), value.encode()) for name, value in (HEADERS | {"cache-control": "no-store"}).items()]


class SecurityMiddleware:
    """Adds the headers to every answer, and refuses a changing request that another site sent with our cookie.

    Answers are not stored by browsers unless they say otherwise: what they show belongs to one signed-in person.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                said = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(pair for pair in _ADDED if pair[0] not in said)]
            await send(message)

        if _is_cross_site(scope):
            await _refuse_cross_site(send_with_headers)
            return
        await self.app(scope, receive, send_with_headers)


def _is_cross_site(scope: Scope) -> bool:
    """A changing request carrying a session cookie whose browser says that another origin started it.

    Browsers send Sec-Fetch-Site or Origin with such requests; a command-line client sends neither and no cookie of ours
    by accident.
    """
    if scope["method"] in SAFE_METHODS:
        return False
    headers = Headers(scope=scope)
    if SESSION_COOKIE not in cookie_parser(headers.get("cookie", "")):
        return False
    if (site := headers.get("sec-fetch-site")) is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host", "")


async def _refuse_cross_site(send: Send) -> None:
    sentence = words.text("form.cross_site")
    body = f"{sentence.zh}\n{sentence.en}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def binding(request: Request) -> str:
    """What a form token is bound to: the session's cookie, before sign-in the visit's, which the frame sets."""
    visit = getattr(request.state, "new_visit", None) or request.cookies.get(VISIT_COOKIE, "")
    return request.cookies.get(SESSION_COOKIE) or visit


def issue_token(secret: bytes, bound_to: str) -> str:
    """A fresh form token for one session or visit; salted, so that no two pages carry the same bytes."""
    salt = secrets.token_hex(8)
    return f"{salt}.{_signature(secret, salt, bound_to)}"


def token_holds(secret: bytes, bound_to: str, token: str) -> bool:
    """Whether `token` was issued for this session or visit; an empty binding never holds."""
    salt, _, signature = token.partition(".")
    expected = _signature(secret, salt, bound_to)
    return bool(bound_to) and hmac.compare_digest(signature.encode(), expected.encode())


def _signature(secret: bytes, salt: str, bound_to: str) -> str:
    return hmac.new(secret, f"{salt}:{bound_to}".encode(), hashlib.sha256).hexdigest()


async def verify_csrf(request: Request) -> None:
    """Dependency of every page route: a changing request must bring the form's token (field or header).

    Raises `NotPermitted` (403) otherwise; nothing has been done then.
    """
    if request.method in SAFE_METHODS:
        return
    token = request.headers.get(CSRF_HEADER, "")
    if not token:
        given = (await request.form()).get(CSRF_FIELD, "")
        token = given if isinstance(given, str) else ""
    if not token_holds(request.app.state.portal.secret, binding(request), token):
        raise NotPermitted("form.token", words.text("form.expired"), fix=words.text("form.expired_fix"))
