"""Sign-in, sessions and tokens."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, text

from sandbox.detection import checksums
from sandbox.kernel import accounts
from sandbox.kernel.accounts import Account, Credential
from sandbox.kernel.errors import BadInput, Conflict, NotPermitted, TooManyAttempts, Unauthenticated
from sandbox.kernel.identity import ROLES_OF, VISITOR, Actor, OrganisationKind, Role
from sandbox.kernel.unit import Platform
from sandbox.merchants import service as merchants
from tests.factories import PASSWORD, World, quick_passwords, uscc


def sign_in(world: World, login: str, password: str = PASSWORD) -> str:
    with world.platform.begin(VISITOR) as unit:
        return accounts.sign_in(unit, login, password)[1]


def who(world: World, secret: str) -> Actor:
    with world.platform.begin(VISITOR) as unit:
        return accounts.authenticate(unit.session, secret, unit.now)


def test_password_is_kept_as_argon2id_at_full_cost(platform: Platform) -> None:
    with platform.system() as unit:
        organisation = accounts.create_organisation(unit, OrganisationKind.MERCHANT, "甲", uscc(9))
        account = accounts.create_account(unit, organisation, Role.MERCHANT, "jia", "甲", PASSWORD)
    assert account.password_hash.startswith("$argon2id$")
    parameters = account.password_hash.split("$")[3]
    memory = int(parameters.split(",")[0].removeprefix("m="))
    assert memory >= 19 * 1024, "at least the 19 MiB that OWASP asks for"


def test_right_password_opens_a_session(world: World) -> None:
    assert who(world, sign_in(world, "merchant")) == world.merchant
    assert world.events("session:open")[-1].actor_id == world.merchant.id


def test_wrong_password_and_unknown_login_look_alike(world: World) -> None:
    said = []
    for login in ("merchant", "nobody-has-this"):
        with pytest.raises(Unauthenticated) as refused:
            sign_in(world, login, "wrong-password")
        said.append((refused.value.status, refused.value.code, refused.value.text, refused.value.fix))
    assert said[0] == said[1]


@pytest.mark.parametrize("login", ["merchant", "nobody-has-this"])
def test_five_failures_lock_the_login_known_or_not(world: World, login: str) -> None:
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            sign_in(world, login, "wrong-password")
    with pytest.raises(TooManyAttempts) as locked:
        sign_in(world, login)
    assert locked.value.status == 429


def test_lock_ends_after_fifteen_minutes(world: World) -> None:
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            sign_in(world, "merchant", "wrong-password")
    world.advance(minutes=15, seconds=1)
    assert who(world, sign_in(world, "merchant")) == world.merchant


def test_four_failures_do_not_lock_and_one_login_does_not_lock_another(world: World) -> None:
    for _ in range(4):
        with pytest.raises(Unauthenticated):
            sign_in(world, "merchant", "wrong-password")
    sign_in(world, "merchant")
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            sign_in(world, "stranger", "wrong-password")
    sign_in(world, "operator")


def test_expired_session_in_an_open_tab_does_not_lock_the_account(world: World) -> None:
    secret = sign_in(world, "merchant")
    world.advance(hours=world.platform.settings.session_hours, seconds=1)
    for _ in range(8):
        with pytest.raises(Unauthenticated, match=r"session\.expired"):
            who(world, secret)
    assert who(world, sign_in(world, "merchant")) == world.merchant


def test_failed_sign_in_says_nothing_of_the_password_in_the_log(world: World) -> None:
    with pytest.raises(Unauthenticated):
        sign_in(world, "typed-my-password-here", "hunter2-hunter2")
    row = world.events("access:refused")[-1]
    assert "hunter2" not in row.detail + row.object_id
    assert "typed-my" not in row.detail + row.object_id


def test_disabled_account_cannot_sign_in_nor_use_an_open_session(world: World) -> None:
    secret = sign_in(world, "merchant")
    with world.system() as unit:
        unit.session.get_one(Account, world.merchant.id).disabled = True
    with pytest.raises(Unauthenticated):
        who(world, secret)
    with pytest.raises(Unauthenticated):
        sign_in(world, "merchant")


def test_session_ends_exactly_at_its_hour(world: World) -> None:
    secret = sign_in(world, "merchant")
    world.advance(hours=world.platform.settings.session_hours, seconds=-1)
    assert who(world, secret) == world.merchant
    world.advance(seconds=1)
    with pytest.raises(Unauthenticated):
        who(world, secret)


def test_signed_out_session_no_longer_holds_and_twice_is_once(world: World) -> None:
    secret = sign_in(world, "merchant")
    for _ in range(2):
        with world.by(world.merchant) as unit:
            accounts.sign_out(unit, secret)
    with pytest.raises(Unauthenticated):
        who(world, secret)
    assert len(world.events("session:close")) == 1


def test_unknown_secret_is_nobody(world: World) -> None:
    with pytest.raises(Unauthenticated):
        who(world, "pds_made-up")


def test_secrets_are_stored_as_digests_only(world: World) -> None:
    secrets = [sign_in(world, "merchant"), world.token("merchant")]
    with world.system() as unit:
        kept = unit.session.scalars(select(Credential)).all()
        everything = [str(row) for t in ("credential", "account", "audit_event")
                      for row in unit.session.execute(text(f"SELECT * FROM {t}"))]  # fmt: skip
    assert {len(c.digest) for c in kept} == {64}
    assert not [row for row in everything if any(s in row for s in (*secrets, PASSWORD))]


@pytest.mark.parametrize("days", [0, -1, 366])
def test_token_lives_between_a_day_and_a_year(world: World, days: int) -> None:
    with pytest.raises(BadInput), world.by(world.merchant) as unit:
        accounts.issue_token(unit, "label", days)


def test_token_expires(world: World) -> None:
    with world.by(world.merchant) as unit:
        secret = accounts.issue_token(unit, "label", 1)
    assert who(world, secret) == world.merchant
    world.advance(days=1)
    with pytest.raises(Unauthenticated):
        who(world, secret)


@pytest.mark.parametrize("kind", OrganisationKind)
def test_role_of_another_kind_of_organisation_is_refused(platform: Platform, kind: OrganisationKind) -> None:
    with quick_passwords(), platform.system() as unit:
        organisation = accounts.create_organisation(unit, kind, "甲")
        for role in Role:
            if role in ROLES_OF[kind]:
                assert accounts.create_account(unit, organisation, role, role, "甲", PASSWORD).role == role
            else:
                with pytest.raises(NotPermitted):
                    accounts.create_account(unit, organisation, role, role, "甲", PASSWORD)


def test_short_password_and_taken_login_are_refused(world: World) -> None:
    with world.system() as unit:
        organisation = accounts.organisation(unit.session, world.merchant.organisation_id)
        with pytest.raises(BadInput):
            accounts.create_account(unit, organisation, Role.MERCHANT, "new", "新", "short")
        with pytest.raises(Conflict):
            accounts.create_account(unit, organisation, Role.MERCHANT, "merchant", "新", PASSWORD)


def test_company_registers_itself_and_is_a_merchant_role_only(world: World) -> None:
    with quick_passwords(), world.platform.begin(VISITOR) as unit:
        account = merchants.register_organisation(
            unit, name="新公司", uscc=uscc(77), login="newco", person="经办", password=PASSWORD
        )
    assert account.role == Role.MERCHANT


def test_operators_or_anothers_name_and_code_cannot_be_registered_again(world: World) -> None:
    """运商分离: the operator cannot come back as a company of the same name or code."""
    for name, code in (("运营机构", uscc(78)), ("别的名字", uscc(1))):
        with pytest.raises(Conflict), world.platform.begin(VISITOR) as unit:
            merchants.register_organisation(unit, name=name, uscc=code, login="again", person="x", password=PASSWORD)


@pytest.mark.parametrize("code", ["91440101MA5XXXXXX0", "1" * 18, "91110000600037341", "91110000600037341I"])
def test_credit_code_with_a_wrong_check_character_is_refused(world: World, code: str) -> None:
    with pytest.raises(BadInput), world.platform.begin(VISITOR) as unit:
        merchants.register_organisation(unit, name="新公司", uscc=code, login="newco", person="x", password=PASSWORD)


def test_published_credit_code_vector_holds() -> None:
    assert checksums.uscc("91110000600037341L")


def test_sign_in_lasts_only_as_long_as_the_setting(world: World) -> None:
    sign_in(world, "merchant")
    with world.system() as unit:
        found = unit.session.scalars(select(Credential).where(Credential.kind == "session")).one()
    assert found.expires_at - found.created_at == timedelta(hours=world.platform.settings.session_hours)
