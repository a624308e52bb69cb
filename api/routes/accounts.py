"""Sign-in, tokens, registration."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request

from api.deps import Acting, Open, secret_of
from api.routes.shapes import MeOut, RegistrationIn, SignInIn, TokenIn, TokenOut
from sandbox.kernel import accounts
from sandbox.kernel.unit import Unit
from sandbox.merchants import service as merchants

router = APIRouter(tags=["accounts"])


@router.post("/session", summary="登录 · Sign in")
def sign_in(body: SignInIn, unit: Annotated[Unit, Open()]) -> TokenOut:
    """Opens a session; its token goes into `Authorization: Bearer …`."""
    _, secret = accounts.sign_in(unit, body.login, body.password)
    return TokenOut(token=secret)


@router.delete("/session", status_code=204, summary="退出 · Sign out")
def sign_out(request: Request, unit: Annotated[Unit, Acting("account:read")]) -> None:
    secret = secret_of(request)
    if secret:
        accounts.sign_out(unit, secret)


@router.get("/me", summary="我的账号 · My account")
def me(unit: Annotated[Unit, Acting("account:read")]) -> MeOut:
    return MeOut.model_validate(unit.actor)


@router.post("/tokens", status_code=201, summary="新建 API 令牌 · New API token")
def issue_token(body: TokenIn, unit: Annotated[Unit, Acting("token:manage")]) -> TokenOut:
    return TokenOut(token=accounts.issue_token(unit, body.label, body.days))


@router.post("/registrations", status_code=201, summary="注册数据商账号 · Register a company")
def register(body: RegistrationIn, unit: Annotated[Unit, Open()]) -> MeOut:
    """Anyone may register a company; until it is admitted it can do nothing but apply to enter."""
    account = merchants.register_organisation(
        unit, name=body.organisation, uscc=body.uscc, login=body.login, person=body.person, password=body.password
    )
    return MeOut.model_validate(account.actor())
