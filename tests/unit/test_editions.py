"""Policy editions in force: two people, by date, readable for ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies import editions as shipped
from policies.editions import KINDS
from policies.problems import PolicyError
from sandbox.kernel import clocks, editions
from sandbox.kernel.errors import Conflict, InvalidTransition, NotFound, NotPermitted
from tests.factories import World

DEADLINES = (Path(shipped.HOME) / "deadlines" / "2026-01.yaml").read_text(encoding="utf-8")


def edition(number: str = "2026-02", effective: str = "2026-03-10", approval_days: int = 7) -> str:
    """The shipped deadlines with another number, date and limit for the departments' approval."""
    head, rest = DEADLINES.split("application_approval", 1)
    changed = head + "application_approval" + rest.replace("working_days: 10", f"working_days: {approval_days}", 1)
    changed = changed.replace('edition: "2026-01"', f'edition: "{number}"')
    return changed.replace("effective_from: 2026-01-01", f"effective_from: {effective}")


def proposed(world: World, text: str) -> str:
    with world.by(world.officer) as unit:
        return editions.propose(unit, text).id


def activated(world: World, text: str) -> str:
    edition_id = proposed(world, text)
    with world.by(world.second_officer) as unit:
        editions.activate(unit, edition_id)
    return edition_id


def in_force(world: World, kind: str = "deadlines") -> str:
    with world.system() as unit:
        return editions.in_force(unit, kind).edition


def test_shipped_editions_are_installed_once(any_world: World) -> None:
    with any_world.system() as unit:
        assert editions.install_shipped(unit) == 0
        rows = editions.every(unit.session)
    assert {r.kind for r in rows} == set(KINDS)
    assert all(r.state == "active" and r.activated_by != r.proposed_by for r in rows)


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "calendar"])
def test_every_kind_has_an_edition_in_force(world: World, kind: str) -> None:
    with world.system() as unit:
        assert editions.in_force(unit, kind).kind == kind


def test_proposed_edition_is_not_in_force(world: World) -> None:
    proposed(world, edition(effective="2026-03-01"))
    assert in_force(world) == "2026-01"


def test_proposer_cannot_activate(any_world: World) -> None:
    edition_id = proposed(any_world, edition())
    with pytest.raises(NotPermitted, match="same_person"), any_world.by(any_world.officer) as unit:
        editions.activate(unit, edition_id)
    assert any_world.events("access:refused")[-1].facts["code"] == "policy.same_person"
    with any_world.by(any_world.second_officer) as unit:
        assert editions.activate(unit, edition_id).state == "active"


def test_only_compliance_officers_propose_and_activate(world: World) -> None:
    edition_id = proposed(world, edition())
    for who in (world.operator, world.department, world.merchant, world.auditor):
        with pytest.raises(NotPermitted), world.by(who) as unit:
            editions.propose(unit, edition("2026-03"))
        with pytest.raises(NotPermitted), world.by(who) as unit:
            editions.activate(unit, edition_id)


def test_edition_comes_into_force_on_its_city_day(world: World) -> None:
    activated(world, edition(effective="2026-03-10"))
    world.advance(days=7, hours=14, minutes=59)  # 2026-03-09 23:59 in the city
    assert in_force(world) == "2026-01"
    world.advance(minutes=1)
    assert in_force(world) == "2026-02"


def test_clock_keeps_the_edition_it_started_with(world: World) -> None:
    with world.system() as unit:
        before = clocks.start(unit, "application_approval", "approval", "apv-1", "org")
    activated(world, edition(effective="2026-03-02", approval_days=7))
    with world.system() as unit:
        after = clocks.start(unit, "application_approval", "approval", "apv-2", "org")
    assert (before.edition, before.due_on) == ("2026-01", "2026-03-16")
    assert (after.edition, after.due_on) == ("2026-02", "2026-03-11")


def test_same_text_and_same_number_are_refused(world: World) -> None:
    proposed(world, edition())
    with pytest.raises(Conflict, match=r"policy\.exists"), world.by(world.officer) as unit:
        editions.propose(unit, edition())
    with pytest.raises(Conflict, match="edition_taken"), world.by(world.officer) as unit:
        editions.propose(unit, edition(approval_days=8))
    with pytest.raises(Conflict, match=r"policy\.exists"), world.by(world.officer) as unit:
        editions.propose(unit, DEADLINES)


def test_an_edition_holds_at_once_also_for_who_asked_before(world: World) -> None:
    edition_id = proposed(world, edition(effective="2026-03-02"))
    with world.by(world.second_officer) as unit:
        assert editions.in_force(unit, "deadlines").edition == "2026-01"
        editions.activate(unit, edition_id)
        assert editions.in_force(unit, "deadlines").edition == "2026-02"


def test_edition_is_activated_once(world: World) -> None:
    edition_id = activated(world, edition())
    with pytest.raises(InvalidTransition), world.by(world.second_officer) as unit:
        editions.activate(unit, edition_id)
    with pytest.raises(NotFound), world.by(world.second_officer) as unit:
        editions.activate(unit, "pol-nothere")


def test_edition_that_does_not_hold_is_refused_with_its_line(world: World) -> None:
    with pytest.raises(PolicyError) as refused, world.by(world.officer) as unit:
        editions.propose(unit, edition().replace("on_lapse: alarm", "on_lapse: consent", 1))
    assert any("on_lapse" in p.field and p.line > 0 for p in refused.value.problems), refused.value.problems


def test_old_edition_stays_readable_as_it_was(world: World) -> None:
    edition_id = activated(world, edition())
    with world.system() as unit:
        row = next(r for r in editions.every(unit.session) if r.id == edition_id)
    assert shipped.load_text(row.text).digest == row.digest
    assert row.text == edition()


def test_both_people_are_on_the_audit_chain(world: World) -> None:
    activated(world, edition())
    assert world.events("policy:propose")[-1].actor_id == world.officer.id
    assert world.events("policy:activate")[-1].actor_id == world.second_officer.id
