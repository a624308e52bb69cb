"""Sign-in, sign-out, registration of a merchant, the own account and its API tokens."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import Form, Request, Response
from fastapi.responses import RedirectResponse

from api.deps import SESSION_COOKIE, Acting, Open, platform_of, secret_of
from api.pages import frame, inputs
from api.pages.views import Crumb
from api.pages.words import text
from api.routes.shapes import RegistrationIn, TokenIn
from policies.text import UserError
from sandbox.kernel import accounts
from sandbox.kernel.unit import Unit
from sandbox.merchants import service as merchants

router = frame.page_router()
Typed = Annotated[str, Form()]


@router.get("/login")
def show_login(request: Request, unit: Annotated[Unit, Open()], next: str = "/") -> Response:
    """The sign-in form; who is signed in goes on."""
    goal = frame.local_address(next)
    return RedirectResponse(goal, 303) if request.state.viewer else _login(request, goal)


def _login(request: Request, goal: str, account: str = "", error: UserError | None = None) -> Response:
    status = error.status if error else 200
    return frame.render(request, "login.html", status=status, error=error, account=account, next=goal)


@router.post("/login")
def sign_in(
    request: Request, unit: Annotated[Unit, Open()], account: Typed = "", password: Typed = "", next: Typed = "/",
) -> Response:  # fmt: skip
    """Opens a session and goes on to `next`, which is a place of this site or the home page."""
    goal = frame.local_address(next)
    frame.show_again(request, lambda error: _login(request, goal, account, error))
    _, secret = accounts.sign_in(unit, account.strip(), password)
    settings = platform_of(request).settings
    response = RedirectResponse(goal, 303)
    response.set_cookie(
        SESSION_COOKIE, secret, max_age=settings.session_hours * 3600, httponly=True, samesite="strict",
        secure=settings.secure_cookies,
    )  # fmt: skip
    return response


@router.post("/logout")
def sign_out(request: Request, unit: Annotated[Unit, Acting("account:read")]) -> Response:
    secret = secret_of(request)
    if secret:
        accounts.sign_out(unit, secret)
    response = RedirectResponse("/", 303)
    response.delete_cookie(SESSION_COOKIE)
    return response


@router.get("/register")
def show_register(request: Request, unit: Annotated[Unit, Open()]) -> Response:
    """Anyone may register a company."""
    return _register(request, {})


def _register(request: Request, typed: dict[str, str], error: UserError | None = None) -> Response:
    return frame.render(
        request, "session/register.html", status=error.status if error else 200, typed=typed, error=error,
        problems=inputs.problems_of(error),
    )  # fmt: skip


@router.post("/register")
def register(
    request: Request, unit: Annotated[Unit, Open()], organisation: Typed = "", uscc: Typed = "", login: Typed = "",
    person: Typed = "", password: Typed = "",
) -> Response:  # fmt: skip
    """Registers the company and leads to the sign-in form."""
    typed = {"organisation": organisation.strip(), "uscc": uscc.strip().upper(), "login": login.strip(),
             "person": person.strip()}  # fmt: skip
    frame.show_again(request, partial(_register, request, typed))
    body = inputs.checked(RegistrationIn, typed | {"password": password})
    merchants.register_organisation(
        unit, name=body.organisation, uscc=body.uscc, login=body.login, person=body.person, password=body.password
    )
    return frame.go("/login", "account:create")


@router.get("/account")
def show_account(request: Request, unit: Annotated[Unit, Acting("account:read")]) -> Response:
    """Who I am here, and tokens for programs."""
    return _account(request)


def _account(request: Request, error: UserError | None = None, **more: Any) -> Response:
    shown: dict[str, Any] = {"typed": {"label": "", "days": "30"}, "secret": None} | more
    return frame.render(
        request, "session/account.html", status=error.status if error else 200,
        crumbs=[Crumb(text("account.title"))], error=error, problems=inputs.problems_of(error), **shown,
    )  # fmt: skip


@router.post("/account/tokens")
def issue_token(
    request: Request, unit: Annotated[Unit, Acting("token:manage")], label: Typed = "", days: Typed = ""
) -> Response:
    """Makes a token and shows its secret this once."""
    typed = {"label": label.strip(), "days": days.strip()}
    frame.show_again(request, lambda error: _account(request, error, typed=typed))
    body = inputs.checked(TokenIn, typed)
    return _account(request, secret=accounts.issue_token(unit, body.label, body.days))
