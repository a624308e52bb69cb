"""One transaction per use case: what commits, what rolls back, what is recorded all the same."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from policies.text import Text, UserError
from policies.verdict import Outcome
from sandbox.applications import service as applications
from sandbox.catalog import service as catalog
from sandbox.kernel import accounts, demonstration, state
from sandbox.kernel.accounts import Organisation
from sandbox.kernel.errors import BadInput, Conflict, NotPermitted, OutOfReach, PolicyViolation, Unauthenticated
from sandbox.kernel.identity import OrganisationKind
from sandbox.kernel.keys import SigningKey, load_secret, verify_signature
from tests.factories import World, verdict

WORDS = Text("不行", "no")
REFUSED = [NotPermitted("thing.no", WORDS), OutOfReach("thing.no", WORDS), Unauthenticated("thing.no", WORDS),
           PolicyViolation("thing.no", WORDS, verdict=verdict(Outcome.BLOCK))]  # fmt: skip


@pytest.mark.parametrize("refusal", REFUSED, ids=lambda e: type(e).__name__)
def test_refusal_is_rolled_back_and_recorded(any_world: World, refusal: UserError) -> None:
    with pytest.raises(type(refusal)), any_world.by(any_world.merchant) as unit:
        state.write(unit.session, "half", True)
        unit.audit("thing:begin", "thing", "t-1")
        raise refusal
    with any_world.system() as unit:
        assert state.read(unit.session, "half") is None
    assert any_world.events("thing:begin") == []
    recorded = any_world.events("access:refused")[-1]
    assert (recorded.actor_id, recorded.noun, recorded.facts["code"]) == (any_world.merchant.id, "thing", "thing.no")


def test_refusal_is_recorded_on_its_object_with_its_facts(world: World) -> None:
    with pytest.raises(NotPermitted), world.by(world.merchant):
        raise NotPermitted("thing.no", WORDS, id="t-1", rows=3, more=["not a plain fact"])
    recorded = world.events("access:refused")[-1]
    assert recorded.object_id == "t-1"
    assert recorded.facts == {"code": "thing.no", "id": "t-1", "rows": 3}


def test_wrong_input_is_rolled_back_and_is_no_refusal(world: World) -> None:
    before = len(world.events("access:refused"))
    with pytest.raises(BadInput), world.by(world.merchant) as unit:
        state.write(unit.session, "half", True)
        raise BadInput("thing.wrong", WORDS)
    with world.system() as unit:
        assert state.read(unit.session, "half") is None
    assert len(world.events("access:refused")) == before


def test_clash_in_the_database_is_a_conflict_without_its_text(any_world: World) -> None:
    with pytest.raises(Conflict) as clash, any_world.system() as unit:
        unit.session.add(
            Organisation(id=any_world.merchant.organisation_id, kind="merchant", name="秘密名称", created_at=unit.now)
        )
    assert clash.value.code == "record.exists"
    assert "秘密名称" not in str(clash.value) + repr(clash.value.detail) + clash.value.text.zh


def test_value_that_does_not_fit_is_wrong_input_on_postgresql(any_world: World) -> None:
    if any_world.platform.database.engine.dialect.name == "sqlite":
        pytest.skip("SQLite does not measure text")
    for name in ("长" * 201, "nul\x00"):
        with pytest.raises(BadInput) as unfit, any_world.system() as unit:
            accounts.create_organisation(unit, OrganisationKind.DEPARTMENT, name)
        assert name not in str(unfit.value) + unfit.value.text.zh


def test_deadlock_is_a_conflict_not_a_crash(any_world: World) -> None:
    """Two people change two records in opposite order at once: one is sent back with a reason (or both succeed)."""
    with any_world.system() as unit:
        for key in ("a", "b"):
            state.write(unit.session, key, 0)
    both, outcomes = Barrier(2, timeout=20), []

    def change(first: str, second: str) -> None:
        try:
            with any_world.system() as unit:
                state.write(unit.session, first, 1)
                if any_world.platform.database.engine.dialect.name != "sqlite":
                    both.wait()
                state.write(unit.session, second, 1)
            outcomes.append("done")
        except Conflict as conflict:
            outcomes.append(conflict.code)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(change, ("a", "b"), ("b", "a")))
    alone = any_world.platform.database.engine.dialect.name == "sqlite"  # its writers queue from the start
    assert sorted(outcomes) == (["done", "done"] if alone else ["done", "record.changed"])


def test_time_is_the_same_throughout_a_transaction(world: World) -> None:
    with world.system() as unit:
        first = unit.now
        world.advance(hours=1)
        event = unit.audit("thing:happen", "thing", "t-1")
    assert event.at == first


def test_events_of_one_request_share_its_number(world: World) -> None:
    with world.platform.begin(world.merchant, "req-seven") as unit:
        unit.audit("thing:begin", "thing", "t-1")
        unit.acting_as(world.operator).audit("thing:end", "thing", "t-1")
    begun, ended = world.events("thing:begin")[-1], world.events("thing:end")[-1]
    assert begun.request_id == ended.request_id == "req-seven"
    assert (begun.actor_id, ended.actor_id) == (world.merchant.id, world.operator.id)


def test_a_look_waits_for_no_writer_and_sees_what_is_committed(any_world: World) -> None:
    with any_world.system() as unit:
        state.write(unit.session, "seen", "before")
    with any_world.system() as writing:
        state.write(writing.session, "seen", "after")
        with any_world.platform.looking(any_world.merchant) as looking:
            assert state.read(looking.session, "seen") == "before"
    with any_world.platform.looking(any_world.merchant) as looking:
        assert state.read(looking.session, "seen") == "after"


def test_a_look_cannot_write(any_world: World) -> None:
    before = len(any_world.events("thing:happen"))
    with pytest.raises(DBAPIError), any_world.platform.looking(any_world.merchant) as unit:
        unit.audit("thing:happen", "thing", "t-1")
    with any_world.system() as unit:  # and who writes afterwards is not hindered
        unit.audit("thing:happen", "thing", "t-1")
    assert len(any_world.events("thing:happen")) == before + 1


def test_a_refusal_in_a_look_is_recorded(any_world: World) -> None:
    before = len(any_world.events("access:refused"))
    with pytest.raises(NotPermitted), any_world.platform.looking(any_world.merchant, "req-look"):
        raise NotPermitted("thing.no", WORDS)
    recorded = any_world.events("access:refused")
    assert (len(recorded), recorded[-1].request_id) == (before + 1, "req-look")


# -- the demonstration's clock


def later(world: World, **elapsed: float) -> datetime:
    return world.platform.clock.now() + timedelta(**elapsed)


def test_clock_of_a_real_installation_cannot_be_moved(any_world: World) -> None:
    with pytest.raises(NotPermitted, match=r"demonstration\.only"), any_world.by(any_world.operator) as unit:
        demonstration.move_clock(unit, later(any_world, days=1))
    with any_world.system() as unit:
        assert unit.now == any_world.platform.clock.now()


def test_demonstration_clock_moves_ahead_for_everybody(any_world: World) -> None:
    with any_world.system() as unit:
        demonstration.mark(unit, "示范市")
    with any_world.by(any_world.operator) as unit:
        demonstration.move_clock(unit, later(any_world, days=15))
    with any_world.by(any_world.merchant) as unit:
        assert unit.now == later(any_world, days=15)
    any_world.advance(hours=1)
    with any_world.by(any_world.merchant) as unit:
        assert unit.now == later(any_world, days=15)
    moved = any_world.events("clock:move")[-1]
    assert moved.facts["to"].startswith("2026-03-17")


def test_demonstration_clock_never_goes_back_nor_out_of_reach(world: World) -> None:
    with world.system() as unit:
        demonstration.mark(unit, "示范市")
    with world.by(world.operator) as unit:
        demonstration.move_clock(unit, later(world, days=15))
    for moment in (later(world, days=14), datetime(9999, 12, 31, tzinfo=UTC)):
        with pytest.raises(BadInput), world.by(world.operator) as unit:
            demonstration.move_clock(unit, moment)


def test_only_the_operator_moves_the_clock(world: World) -> None:
    with world.system() as unit:
        demonstration.mark(unit, "示范市")
    for who in (world.merchant, world.officer, world.department, world.auditor):
        with pytest.raises(NotPermitted), world.by(who) as unit:
            demonstration.move_clock(unit, later(world, days=1))


# -- what others may not see


def test_unpublished_resource_does_not_exist_for_browsers(world: World) -> None:
    resource_id = world.delivered()
    for who in (world.merchant, world.other_department):
        with pytest.raises(OutOfReach), world.by(who) as unit:
            catalog.entry(unit, resource_id)
    for who in (world.department, world.operator):
        with world.by(who) as unit:
            assert catalog.entry(unit, resource_id).id == resource_id


def test_draft_application_is_its_authors_alone(world: World) -> None:
    application_id = world.drafted()
    for who in (world.operator, world.department, world.officer, world.auditor, world.stranger):
        with pytest.raises(OutOfReach), world.by(who) as unit:
            applications.read(unit, application_id)
    with world.by(world.merchant) as unit:
        assert applications.read(unit, application_id).state == "draft"


# -- keys


def test_signature_holds_for_its_message_and_key_only(world: World, tmp_path: object) -> None:
    key = world.platform.signing_key
    signature = key.sign(b"message")
    assert verify_signature(key.public_pem, signature, b"message")
    assert not verify_signature(key.public_pem, signature, b"massage")
    assert world.platform.signing_key.key_id == key.key_id, "made once, read afterwards"


def test_key_is_readable_by_its_owner_only_and_made_once_by_many(world: World) -> None:
    root = world.platform.settings.keys_root
    with ThreadPoolExecutor(8) as pool:
        keys = {k.key_id for k in pool.map(lambda _: SigningKey.load_or_create(root / "many.pem"), range(8))}
        secrets = set(pool.map(lambda _: load_secret(root / "many.key"), range(8)))
    assert len(keys) == len(secrets) == 1
    assert len(next(iter(secrets))) == 32
    assert all(p.stat().st_mode & 0o077 == 0 for p in root.iterdir())
    assert sorted(p.name for p in root.iterdir()) == ["many.key", "many.pem"]


def test_newer_database_than_the_program_is_refused(world: World) -> None:
    from alembic.util import CommandError

    with world.system() as unit:
        unit.session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(CommandError):
        world.platform.database.migrate()
