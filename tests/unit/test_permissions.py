"""Permissions: deny by default, scopes only subtract, the operator is never a merchant."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sandbox.kernel import permissions
from sandbox.kernel.errors import NotPermitted, OutOfReach, Unauthenticated
from sandbox.kernel.identity import ROLE_NAMES, ROLES_OF, SYSTEM, VISITOR, Actor, OrganisationKind, Role
from sandbox.kernel.permissions import PERMISSIONS, Scope
from tests.factories import World
from tests.lifecycles import LIFECYCLES

HOME = Path(__file__).parents[2]
MERCHANTS_OWN = (
    "onboarding:submit", "application:draft", "application:submit", "application:withdraw", "agreement:sign",
    "workspace:open", "workspace:query", "run:start", "export:draft", "export:submit", "export:withdraw",
)  # fmt: skip
MACHINES_OWN = (
    "application:conclude", "application:lapse", "run:execute", "export:check", "export:release", "resource:grade",
)  # fmt: skip


def actor(role: Role, organisation: str = "org-mine") -> Actor:
    return Actor(f"acc-{role}", role, role, organisation)


@pytest.mark.parametrize("action", PERMISSIONS)
@pytest.mark.parametrize("role", [r for r in Role if r is not Role.VISITOR])
def test_role_that_is_not_listed_is_refused(action: str, role: Role) -> None:
    if role in PERMISSIONS[action]:
        permissions.check(actor(role), action)
        return
    with pytest.raises(NotPermitted) as refused:
        permissions.check(actor(role), action)
    assert refused.value.text.zh and refused.value.text.en and refused.value.fix


@pytest.mark.parametrize("action", PERMISSIONS)
def test_visitor_is_asked_to_sign_in(action: str) -> None:
    with pytest.raises(Unauthenticated):
        permissions.check(VISITOR, action)


def test_action_outside_the_table_does_not_exist() -> None:
    with pytest.raises(KeyError):
        permissions.check(SYSTEM, "everything:do")


@pytest.mark.parametrize(
    ("action", "role"), [(a, r) for a, roles in PERMISSIONS.items() for r, s in roles.items() if s is Scope.OWN]
)
def test_own_reaches_the_own_organisation_only(action: str, role: Role) -> None:
    assert permissions.permitted(actor(role), action, owner="org-mine")
    with pytest.raises(OutOfReach) as hidden:
        permissions.check(actor(role), action, owner="org-other", parties=["org-mine"])
    assert hidden.value.status == 404


@pytest.mark.parametrize(
    ("action", "role"), [(a, r) for a, roles in PERMISSIONS.items() for r, s in roles.items() if s is Scope.PARTY]
)
def test_party_reaches_what_the_organisation_takes_part_in(action: str, role: Role) -> None:
    assert permissions.permitted(actor(role), action, owner="org-other", parties=["org-mine"])
    assert not permissions.permitted(actor(role), action, owner="org-other", parties=["org-third"])


def test_outsider_is_not_told_that_the_object_exists(world: World) -> None:
    from sandbox.applications import service
    from sandbox.kernel.errors import NotFound

    application_id = world.drafted()
    answers = []
    for wanted in (application_id, "app-doesnotexist"):
        with pytest.raises(NotFound) as hidden, world.by(world.stranger) as unit:
            service.read(unit, wanted)
        answers.append((hidden.value.status, hidden.value.code))
    assert answers[0] == answers[1]


def test_outsiders_attempt_is_in_the_audit_log(world: World) -> None:
    from sandbox.applications import service

    application_id = world.drafted()
    with pytest.raises(OutOfReach), world.by(world.stranger) as unit:
        service.read(unit, application_id)
    last = world.events("access:refused")[-1]
    assert (last.actor_id, last.facts["action"]) == (world.stranger.id, "application:read")


def _sources() -> str:
    files = [p for d in ("sandbox", "api", "pipelines") for p in (HOME / d).rglob("*.py") if p.name != "permissions.py"]
    text = "\n".join(p.read_text(encoding="utf-8") for p in files)
    return re.sub(r"FIGURES: dict.*?^}|`[^`]*`", "", text, flags=re.S | re.M)


def test_every_action_is_used_somewhere() -> None:
    source = _sources()
    assert [a for a in PERMISSIONS if f'"{a}"' not in source] == []


def test_every_action_that_the_code_asks_for_exists() -> None:
    asked = re.findall(
        r'(?:permissions\.check|permitted|Acting|Asking)\(\s*(?:[\w.]+,\s*)?"([a-z_]+:[a-z_]+)"', _sources()
    )
    assert len(asked) > 50
    assert sorted(set(asked) - set(PERMISSIONS)) == []


@pytest.mark.parametrize("action", PERMISSIONS)
def test_action_names_follow_noun_verb(action: str) -> None:
    assert re.fullmatch(r"[a-z]+:[a-z]+", action)


def test_every_role_has_a_name_and_one_kind_of_organisation() -> None:
    assert set(ROLE_NAMES) == set(Role)
    assert set(ROLES_OF) == set(OrganisationKind)
    homes = [role for roles in ROLES_OF.values() for role in roles]
    assert sorted(homes) == sorted(Role), "each role belongs to exactly one kind"


@pytest.mark.parametrize("action", MERCHANTS_OWN)
def test_only_a_merchant_can_own_what_merchants_own(action: str) -> None:
    """运商分离: no role of the operator's organisation can make or use a merchant's object."""
    assert PERMISSIONS[action] == {Role.MERCHANT: Scope.OWN}


@pytest.mark.parametrize("action", MACHINES_OWN)
def test_only_the_platform_itself_does_what_machines_do(action: str) -> None:
    assert set(PERMISSIONS[action]) == {Role.SYSTEM}


def test_reviewing_an_export_is_for_compliance_officers_alone() -> None:
    assert set(PERMISSIONS["export:review"]) == {Role.COMPLIANCE}
    assert Role.SYSTEM not in PERMISSIONS["application:check"]
    assert Role.SYSTEM not in PERMISSIONS["application:approve"]


def test_visitor_appears_nowhere_and_the_auditor_changes_nothing() -> None:
    assert all(Role.VISITOR not in roles for roles in PERMISSIONS.values())
    auditors = {a for a, roles in PERMISSIONS.items() if Role.AUDITOR in roles}
    changing = {t.action for lifecycle in LIFECYCLES for t in lifecycle.transitions}
    assert not auditors & changing
    assert {a.split(":")[1] for a in auditors} <= {"read", "browse", "download", "verify", "evidence", "manage"}


def test_operator_cannot_apply_draft_or_open_anything(world: World) -> None:
    from sandbox.applications import service as applications
    from sandbox.merchants import service as merchants
    from sandbox.workspaces import service as workspaces

    application_id = world.application("active")
    for who in (world.operator, world.officer):
        with pytest.raises(NotPermitted), world.by(who) as unit:
            merchants.apply(unit, contact="x", business="x", materials={})
        with pytest.raises(NotPermitted), world.by(who) as unit:
            applications.draft(unit, scenario="x", purpose="x", product_form="report", audience="public", term_months=1,
                               requested={})  # fmt: skip
        with pytest.raises(NotPermitted), world.by(who) as unit:
            workspaces.open_workspace(unit, application_id)
