"""Who may do what: role × action × object. Deny by default; scopes only subtract.

Every route, page, command and transition names one action of this table. `check` raises with a reason; the boolean,
the disabled button and its explanation all derive from it.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

from policies.text import Text
from sandbox.kernel.errors import NotPermitted, OutOfReach, Unauthenticated
from sandbox.kernel.identity import ROLE_NAMES, Actor, Role


class Scope(StrEnum):
    """Which objects of an action a role reaches."""

    ANY = "any"
    OWN = "own"
    """objects of the actor's organisation"""
    PARTY = "party"
    """objects the actor's organisation takes part in, e.g. a department whose resource is asked for"""


_OP, _CO, _DE, _ME, _AU, _SY = (
    Role.OPERATOR, Role.COMPLIANCE, Role.DEPARTMENT, Role.MERCHANT, Role.AUDITOR, Role.SYSTEM,
)  # fmt: skip
_ANY, _OWN, _PARTY = Scope.ANY, Scope.OWN, Scope.PARTY
_EVERYONE = {_OP: _ANY, _CO: _ANY, _DE: _ANY, _ME: _ANY, _AU: _ANY}

PERMISSIONS: dict[str, dict[Role, Scope]] = {
    # oneself
    "account:read": dict.fromkeys((_OP, _CO, _DE, _ME, _AU), _OWN),
    "token:manage": dict.fromkeys((_OP, _CO, _DE, _ME, _AU), _OWN),
    "account:create": {_OP: _ANY},
    # catalogue
    "resource:register": {_DE: _OWN},
    "resource:deliver": {_DE: _OWN, _SY: _ANY},
    "resource:ingest": {_SY: _ANY},
    "resource:grade": {_SY: _ANY},
    "resource:confirm": {_DE: _OWN},
    "resource:regrade": {_OP: _ANY, _DE: _OWN, _SY: _ANY},
    "lowering:decide": {_DE: _OWN, _CO: _ANY},
    "delivery:correct": {_OP: _ANY},
    "delivery:look": {_OP: _ANY, _DE: _OWN},
    "resource:publish": {_OP: _ANY},
    "resource:withdraw": {_OP: _ANY, _DE: _OWN},
    "resource:read": {_OP: _ANY, _CO: _ANY, _DE: _OWN, _AU: _ANY},
    "correction:issue": {_OP: _ANY},
    "correction:answer": {_DE: _OWN},
    "correction:verify": {_SY: _ANY},
    "correction:withdraw": {_OP: _ANY},
    "correction:read": {_OP: _ANY, _CO: _ANY, _DE: _OWN, _AU: _ANY},
    "catalogue:browse": _EVERYONE,
    "simulated:generate": {_OP: _ANY, _SY: _ANY},
    "plan:answer": {_OP: _ANY},
    "simulated:browse": _EVERYONE,
    "simulated:download": _EVERYONE,
    "simulated:evidence": {_OP: _ANY, _CO: _ANY, _AU: _ANY},
    "simulated:share": {_OP: _ANY},
    # merchants
    "onboarding:submit": {_ME: _OWN},
    "onboarding:check": {_OP: _ANY},
    "onboarding:read": {_OP: _ANY, _CO: _ANY, _ME: _OWN, _AU: _ANY},
    "merchant:suspend": {_OP: _ANY},
    "merchant:tie": {_OP: _ANY, _ME: _OWN},
    "merchant:read": {_OP: _ANY, _CO: _ANY, _ME: _OWN, _AU: _ANY},
    # use applications
    "application:draft": {_ME: _OWN},
    "application:submit": {_ME: _OWN},
    "application:withdraw": {_ME: _OWN},
    "application:check": {_OP: _ANY},
    "application:approve": {_DE: _PARTY},
    "application:conclude": {_SY: _ANY},
    "application:lapse": {_SY: _ANY},
    "application:suspend": {_OP: _ANY},
    "application:revoke": {_OP: _ANY},
    "application:close": {_ME: _OWN, _SY: _ANY},
    "application:read": {_OP: _ANY, _CO: _ANY, _DE: _PARTY, _ME: _OWN, _AU: _ANY},
    "agreement:sign": {_ME: _OWN},
    "grant:activate": {_SY: _ANY},
    "grant:read": {_OP: _ANY, _CO: _ANY, _DE: _PARTY, _ME: _OWN, _AU: _ANY},
    # workspaces and products
    "workspace:open": {_ME: _OWN},
    "workspace:query": {_ME: _OWN},
    "rows:read": {_ME: _OWN},
    "rows:preview": {_ME: _OWN},
    "workspace:read": {_OP: _ANY, _ME: _OWN, _AU: _ANY},
    "workspace:close": {_ME: _OWN, _OP: _ANY},
    "workspace:freeze": {_OP: _ANY},
    "script:run": {_ME: _OWN},
    "script:read": {_ME: _OWN},
    "file:read": {_ME: _OWN},
    "file:delete": {_ME: _OWN},
    "upload:bring": {_ME: _OWN},
    "upload:check": {_SY: _ANY},
    "upload:decide": {_OP: _ANY},
    "upload:read": {_OP: _ANY, _CO: _ANY, _ME: _OWN, _AU: _ANY},
    "upload:remove": {_ME: _OWN},
    "usage:read": {_OP: _ANY, _ME: _OWN, _AU: _ANY},
    "quota:request": {_ME: _OWN},
    "quota:decide": {_OP: _ANY},
    "quota:read": {_OP: _ANY, _ME: _OWN, _AU: _ANY},
    "run:start": {_ME: _OWN},
    "run:cancel": {_ME: _OWN, _OP: _ANY},
    "run:execute": {_SY: _ANY},
    "run:diagnose": {_OP: _ANY},
    "run:read": {_OP: _ANY, _CO: _ANY, _ME: _OWN, _AU: _ANY},
    # exports
    "selfcheck:run": {_ME: _OWN},
    "selfcheck:conclude": {_SY: _ANY},
    "export:draft": {_ME: _OWN},
    "export:submit": {_ME: _OWN},
    "export:withdraw": {_ME: _OWN},
    "export:check": {_SY: _ANY},
    "export:review": {_CO: _ANY},
    "export:evidence": {_CO: _ANY, _AU: _ANY, _SY: _ANY},
    "export:release": {_SY: _ANY},
    "export:comment": {_CO: _ANY, _ME: _OWN},
    "export:recall": {_CO: _ANY, _SY: _ANY},
    "export:read": {_OP: _ANY, _CO: _ANY, _ME: _OWN, _AU: _ANY},
    "release:download": {_ME: _OWN, _CO: _ANY},
    "release:trace": {_CO: _ANY},
    "release:notice": {_DE: _OWN, _ME: _OWN},
    "recall:ask": {_DE: _PARTY},
    "recall:decide": {_OP: _ANY, _CO: _ANY},
    "recall:read": {_OP: _ANY, _CO: _ANY, _DE: _OWN, _AU: _ANY},
    "canary:plant": {_OP: _ANY},
    "canary:read": {_OP: _ANY, _AU: _ANY},
    # oversight
    "audit:read": {_AU: _ANY},
    "audit:verify": {_AU: _ANY, _OP: _ANY},
    "job:read": {_OP: _ANY, _AU: _ANY},
    "job:retry": {_OP: _ANY},
    "job:cancel": {_OP: _ANY, _SY: _ANY},
    "schedule:read": {_OP: _ANY, _DE: _OWN, _AU: _ANY},
    "schedule:set": {_OP: _ANY},
    "resource:declare": {_DE: _OWN},
    "resource:refresh": {_OP: _ANY, _SY: _ANY},
    "policy:read": _EVERYONE,
    "policy:propose": {_CO: _ANY},
    "policy:activate": {_CO: _ANY},
    "report:publish": {_OP: _ANY},
    "isolation:decide": {_OP: _ANY},
    "isolation:test": {_OP: _ANY},
    "isolation:read": {_OP: _ANY, _CO: _ANY, _AU: _ANY},
    "machine:read": {_OP: _ANY, _AU: _ANY},
    "clock:move": {_OP: _ANY},
}
"""Action → the roles that may, each with its scope. An action that is not here does not exist."""


def check(actor: Actor, action: str, *, owner: str | None = None, parties: Collection[str] = ()) -> None:
    """Raise unless `actor` may perform `action` on an object of organisation `owner` with `parties`.

    Without an object only the role is tested. Someone whose role may, but not on this object, gets 404: an outsider
    does not learn that the object exists.
    """
    scope = PERMISSIONS[action].get(actor.role)
    if scope is None:
        if actor.role is Role.VISITOR:
            raise Unauthenticated(
                "session.required",
                Text("请先登录", "Please sign in first"),
                fix=Text("登录后再试", "Sign in and try again"),
                action=action,
            )
        raise _not_permitted(actor, action)
    reachable = {owner} if scope is Scope.OWN else {owner, *parties}
    if owner is not None and scope is not Scope.ANY and actor.organisation_id not in reachable:
        raise out_of_reach(action)


def permitted(actor: Actor, action: str, *, owner: str | None = None, parties: Collection[str] = ()) -> bool:
    """Whether `check` would pass."""
    try:
        check(actor, action, owner=owner, parties=parties)
    except (NotPermitted, OutOfReach, Unauthenticated):
        return False
    return True


def out_of_reach(action: str) -> OutOfReach:
    """The 404 of somebody whose role may perform `action`, but not on this object."""
    return OutOfReach(
        f"{action.split(':')[0]}.not_found",
        Text("没有找到这条记录", "There is no such record"),
        fix=Text("请从列表页进入", "Open it from the list page"),
        action=action,
    )


def _not_permitted(actor: Actor, action: str) -> NotPermitted:
    roles = [ROLE_NAMES[r] for r in PERMISSIONS[action] if r is not Role.SYSTEM]
    zh, en = "、".join(r.zh for r in roles) or "系统", ", ".join(r.en for r in roles) or "the system"
    mine = ROLE_NAMES[actor.role]
    return NotPermitted(
        "permission.denied",
        Text(f"这一步只能由{zh}办理，您的角色是{mine.zh}", f"Only {en} may do this; your role is {mine.en}"),
        fix=Text("请交给有权限的人员办理", "Hand this to somebody who may"),
        action=action,
    )
