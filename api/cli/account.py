"""`pds account create`: the first account of an empty installation, and further ones by an operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from api.cli.installation import actor_of, installed, secret
from api.cli.output import AsJson, WrongUse, answer, say
from policies.text import Text

if TYPE_CHECKING:
    from sandbox.kernel.accounts import Organisation
    from sandbox.kernel.identity import Actor
    from sandbox.kernel.unit import Platform, Unit

Kind = Literal["operator", "department", "merchant", "authority"]
Role = Literal["operator", "compliance", "department", "merchant", "auditor"]


def create(
    login: Annotated[str, typer.Argument(help="登录名 · login")],
    role: Annotated[Role, typer.Option(help="角色 · role")],
    organisation: Annotated[str, typer.Option(help="单位名称，没有则新建 · organisation, made when new")],
    name: Annotated[str, typer.Option(help="姓名 · name of the person")],
    kind: Annotated[Kind | None, typer.Option(help="新单位的类型 · kind of a new organisation")] = None,
    acting: Annotated[
        str | None, typer.Option("--as", help="运营人员登录名；首个账号不需要 · an operator; not for the first account")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """创建账号，口令取自 PDS_NEW_PASSWORD 或提示输入 · Create an account; password: PDS_NEW_PASSWORD or asked"""
    from sandbox.kernel import accounts, identity, permissions

    with installed() as platform:
        actor = _actor(platform, acting)
        password = secret("PDS_NEW_PASSWORD", Text(f"{login} 的新口令", f"new password of {login}"))
        with platform.begin(actor) as unit:
            if actor is not identity.SYSTEM:
                permissions.check(actor, "account:create")
            owner = _organisation(unit, organisation, kind)
            account = accounts.create_account(unit, owner, identity.Role(role), login, name, password)
    document = {"id": account.id, "login": login, "role": role, "organisation": owner.id}
    answer(document, as_json, lambda: print(f"✔ {login}  {role}  {say(Text(owner.name, owner.name))}  {account.id}"))


def _actor(platform: Platform, acting: str | None) -> Actor:
    """An operator; whoever sets up an empty installation acts as the platform itself."""
    from sqlalchemy import select

    from sandbox.kernel.accounts import Account
    from sandbox.kernel.identity import SYSTEM

    if acting is not None:
        return actor_of(platform, acting)
    with platform.database.transaction() as session:
        if session.scalars(select(Account.id).limit(1)).first() is None:
            return SYSTEM
    raise WrongUse(
        "usage.login",
        Text("已有账号：请写明由哪位运营人员办理", "there are accounts already: say which operator does this"),
        fix=Text("加上 --as 登录名", "add --as LOGIN"),
    )


def _organisation(unit: Unit, name: str, kind: str | None) -> Organisation:
    from sqlalchemy import select

    from sandbox.kernel.accounts import Organisation, create_organisation
    from sandbox.kernel.identity import OrganisationKind

    found = unit.session.scalars(select(Organisation).where(Organisation.name == name)).first()
    if found is not None:
        return found
    if kind is None:
        raise WrongUse(
            "usage.kind",
            Text(f"没有名为“{name}”的单位", f"there is no organisation {name}"),
            fix=Text("新建请加 --kind（operator、department、merchant、authority）", "to make it, add --kind"),
        )
    return create_organisation(unit, OrganisationKind(kind), name)
