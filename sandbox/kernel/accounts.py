"""Organisations, accounts, sign-in, sessions and API tokens."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, bindparam, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from policies.text import Text
from sandbox.kernel import permissions
from sandbox.kernel.audit import AuditEvent
from sandbox.kernel.database import Base, short
from sandbox.kernel.errors import BadInput, Conflict, NotFound, NotPermitted, TooManyAttempts, Unauthenticated
from sandbox.kernel.identity import ROLES_OF, Actor, OrganisationKind, Role
from sandbox.kernel.ids import new_id

if TYPE_CHECKING:
    from sandbox.kernel.unit import Unit

MIN_PASSWORD = 10
ATTEMPTS = 5
ATTEMPT_WINDOW = timedelta(minutes=15)
WRONG_PASSWORD = "account.wrong_password"  # noqa: S105 - the code of a refusal


class Organisation(Base):
    """An institution that takes part: the operator, a department, a merchant, an authority."""

    __tablename__ = "organisation"

    id: Mapped[str] = short(primary_key=True)
    kind: Mapped[str] = short(20)
    name: Mapped[str] = short(200, unique=True)
    uscc: Mapped[str | None] = short(18, nullable=True, unique=True)
    created_at: Mapped[datetime]


class Account(Base):
    """A person's account: one role, in one organisation."""

    __tablename__ = "account"

    id: Mapped[str] = short(primary_key=True)
    login: Mapped[str] = short(80, unique=True)
    name: Mapped[str] = short(80)
    role: Mapped[str] = short(20)
    organisation_id: Mapped[str] = short(index=True)
    password_hash: Mapped[str] = short(200)
    disabled: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]

    def actor(self) -> Actor:
        return Actor(self.id, self.name, Role(self.role), self.organisation_id)


class Credential(Base):
    """A browser session or an API token: an opaque random value, kept as its SHA-256."""

    __tablename__ = "credential"

    id: Mapped[str] = short(primary_key=True)
    account_id: Mapped[str] = short(index=True)
    kind: Mapped[str] = short(10)
    label: Mapped[str] = short(80)
    digest: Mapped[str] = short(64, unique=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


@cache
def _hasher() -> Any:
    from argon2 import PasswordHasher

    return PasswordHasher()


@cache
def _decoy() -> str:
    """A hash to compare against when the login does not exist, so that both cases take as long."""
    return str(_hasher().hash(secrets.token_hex(16)))


def create_organisation(
    unit: Unit, kind: OrganisationKind, name: str, uscc: str | None = None, *, organisation_id: str | None = None
) -> Organisation:
    """Add an organisation. Raises `Conflict` when the name or the credit code is taken."""
    taken = select(Organisation).where((Organisation.name == name) | (Organisation.uscc == uscc if uscc else False))
    if unit.session.scalars(taken).first():
        raise Conflict(
            "organisation.exists",
            Text("该单位名称或统一社会信用代码已登记", "This name or credit code is already registered"),
            fix=Text("请用已有账号登录，或联系运营机构", "Sign in with the existing account, or ask the operator"),
        )
    organisation = Organisation(
        id=organisation_id or new_id("org"), kind=kind, name=name, uscc=uscc, created_at=unit.now
    )
    unit.session.add(organisation)
    unit.session.flush()
    unit.audit("organisation:create", "organisation", organisation.id, kind=kind)
    return organisation


def create_account(unit: Unit, organisation: Organisation, role: Role, login: str, name: str, password: str) -> Account:
    """Add an account. A role that the organisation's kind may not hold is refused (运商分离)."""
    if role not in ROLES_OF[OrganisationKind(organisation.kind)]:
        raise NotPermitted(
            "account.role_not_of_kind",
            Text("这类单位不能设立该角色的账号（运商分离）", "This kind of organisation may not hold this role"),
            fix=Text("请在对应类型的单位下设立账号", "Create the account in an organisation of the right kind"),
            role=role, kind=organisation.kind,
        )  # fmt: skip
    if len(password) < MIN_PASSWORD:
        raise BadInput(
            "account.password_short",
            Text(f"密码至少需要 {MIN_PASSWORD} 个字符", f"The password needs at least {MIN_PASSWORD} characters"),
            fix=Text("请换一个更长的密码", "Choose a longer one"),
        )
    if unit.session.scalars(select(Account).where(Account.login == login)).first():
        raise Conflict("account.login_taken", Text("登录名已被使用", "This login is taken"),
                       fix=Text("请换一个登录名", "Choose another"))  # fmt: skip
    account = Account(
        id=new_id("acc"), login=login, name=name, role=role, organisation_id=organisation.id,
        password_hash=_hasher().hash(password), disabled=False, created_at=unit.now,
    )  # fmt: skip
    unit.session.add(account)
    unit.session.flush()
    unit.audit("account:create", "account", account.id, role=role, organisation=organisation.id)
    return account


def sign_in(unit: Unit, login: str, password: str) -> tuple[Account, str]:
    """Check a password and open a browser session; returns the account and the session's secret.

    Raises `Unauthenticated` (one wording for a wrong login and a wrong password) and `TooManyAttempts`.
    """
    from argon2.exceptions import VerifyMismatchError

    account = account_by_login(unit.session, login)
    subject = account.id if account else _stranger(login)
    _refuse_guessing(unit, subject)
    try:
        _hasher().verify(account.password_hash if account else _decoy(), password)
        known = account is not None and not account.disabled
    except VerifyMismatchError:
        known = False
    if not known or account is None:
        raise Unauthenticated(
            WRONG_PASSWORD,
            Text("登录名或密码不正确", "The login or the password is wrong"),
            fix=Text(
                f"请重新输入；{ATTEMPTS} 次不成功后需等待 15 分钟", f"Try again; {ATTEMPTS} failures: wait 15 minutes"
            ),
            id=subject,
        )  # fmt: skip
    secret = _issue(unit, account, "session", "portal", timedelta(hours=unit.settings.session_hours))
    unit.acting_as(account.actor()).audit("session:open", "account", account.id)
    return account, secret


def _stranger(login: str) -> str:
    """Stands in the log for a login that nobody has, so that guessing at it is counted like any other."""
    return f"unknown-{_digest(login)[:16]}"


def _refuse_guessing(unit: Unit, subject: str) -> None:
    """Known and unknown logins are locked alike, else the lock would tell which logins exist."""
    wrong = select(func.count()).where(
        AuditEvent.event == "access:refused", AuditEvent.object_id == subject,
        AuditEvent.at > unit.now - ATTEMPT_WINDOW,
        AuditEvent.detail.contains(f'"code":"{WRONG_PASSWORD}"', autoescape=True),
    )  # fmt: skip
    if (unit.session.scalar(wrong) or 0) >= ATTEMPTS:
        raise TooManyAttempts(
            "account.locked",
            Text("登录失败次数过多，账号暂时锁定", "Too many failed sign-ins; the account is locked for now"),
            fix=Text("请 15 分钟后再试", "Try again in 15 minutes"),
        )


def issue_token(unit: Unit, label: str, days: int) -> str:
    """Make an API token for the actor; the secret is shown once."""
    permissions.check(unit.actor, "token:manage")
    if not 1 <= days <= 365:
        raise BadInput("token.lifetime", Text("令牌有效期应为 1–365 天", "A token lives 1 to 365 days"))
    account = unit.session.get_one(Account, unit.actor.id)
    secret = _issue(unit, account, "api", label, timedelta(days=days))
    unit.audit("token:issue", "account", account.id, label=label, days=days)
    return secret


def _issue(unit: Unit, account: Account, kind: str, label: str, lifetime: timedelta) -> str:
    machine_now = unit.platform.clock.now()  # a moved demonstration clock must not end anybody's session
    secret = f"pds_{secrets.token_urlsafe(32)}"
    unit.session.add(
        Credential(
            id=new_id("crd"), account_id=account.id, kind=kind, label=label, digest=_digest(secret),
            created_at=machine_now, expires_at=machine_now + lifetime, revoked_at=None,
        )
    )  # fmt: skip
    unit.session.flush()
    return secret


_BEHIND = (
    select(
        Account.id, Account.name, Account.role, Account.organisation_id, Account.disabled, Credential.expires_at,
        Credential.revoked_at,
    )
    .join(Account, Account.id == Credential.account_id)
    .where(Credential.digest == bindparam("digest"))
)  # fmt: skip


def authenticate(database: Session | Connection, secret: str, now: datetime) -> Actor:
    """The actor behind a session cookie or API token; `now` is the machine's time, not a moved demonstration clock's.

    Raises `Unauthenticated` when unknown, expired or revoked.
    """
    found = database.execute(_BEHIND, {"digest": _digest(secret)}).first()
    if found is None or found.disabled or found.revoked_at is not None:
        raise Unauthenticated(
            "session.unknown",
            Text("登录状态无效", "This sign-in is not valid"),
            fix=Text("请重新登录", "Sign in again"),
        )
    if found.expires_at <= now:
        raise Unauthenticated(
            "session.expired", Text("登录已过期", "This sign-in has expired"), fix=Text("请重新登录", "Sign in again"),
            id=found.id,
        )  # fmt: skip
    return Actor(found.id, found.name, Role(found.role), found.organisation_id)


def sign_out(unit: Unit, secret: str) -> None:
    """End the session or token; a second time changes nothing."""
    credential = unit.session.scalars(select(Credential).where(Credential.digest == _digest(secret))).first()
    if credential and credential.revoked_at is None:
        credential.revoked_at = unit.now
        unit.audit("session:close", "account", credential.account_id)


def organisation(session: Session, organisation_id: str) -> Organisation:
    found = session.get(Organisation, organisation_id)
    if found is None:
        raise NotFound.of("organisation", organisation_id)
    return found


def names(session: Session) -> dict[str, str]:
    """Organisation id → name, for lists."""
    return {o.id: o.name for o in session.scalars(select(Organisation))}


def account_by_login(session: Session, login: str) -> Account | None:
    return session.scalars(select(Account).where(Account.login == login)).first()


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
