"""Use applications on both databases: clocks, deemed consent, agreements, grants."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from pipelines import upkeep
from sandbox.applications import repository as records
from sandbox.applications import service
from sandbox.kernel import clocks
from sandbox.kernel.audit import AuditEvent
from sandbox.kernel.errors import BadInput, InvalidTransition, NotFound, NotPermitted, OutOfReach
from tests.factories import World

LAST_MINUTE = datetime(2026, 3, 16, 15, 59, tzinfo=UTC)
"""23:59 in the city on the tenth working day after Monday 2 March 2026"""


def put_clock(world: World, moment: datetime) -> None:
    world.platform.clock.moment = moment  # type: ignore[attr-defined]


def state(world: World, application_id: str) -> str:
    with world.system() as unit:
        return records.get(unit.session, application_id).state


def approval_states(world: World, application_id: str) -> dict[str, str]:
    with world.system() as unit:
        return {a.organisation_id: a.state for a in records.approvals(unit.session, application_id)}


def two_departments(world: World) -> tuple[str, str]:
    return world.published(), world.published(department=world.other_department)


def decide(world: World, application_id: str, who: str, decision: str, reason: str = "理由") -> None:
    actor = world.people[who]
    mine = next(a for a, d in world.approvals(application_id).items() if d == actor)
    with world.by(actor) as unit:
        service.decide(unit, mine, decision, reason)


# -- drafting


@pytest.mark.parametrize("scenario", ["门诊分析；信贷评分", "门诊分析;信贷", "门诊分析\n信贷评分", "  "])
def test_application_names_exactly_one_scenario(world: World, scenario: str) -> None:
    application_id = world.drafted(scenario=scenario)
    with pytest.raises(InvalidTransition, match="one_scenario"), world.by(world.merchant) as unit:
        service.submit(unit, application_id)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"product_form": "rumour"}, "application.form"),
        ({"audience": "friends"}, "application.form"),
        ({"term_months": 61}, "application.term"),
        ({"requested": {}}, "application.nothing_requested"),
        ({"columns": {}}, "application.columns"),
        ({"columns": {"没有的列": "x"}}, "application.columns"),
        ({"columns": {"区": "  "}}, "application.necessity"),
    ],
)
def test_draft_that_does_not_hold_is_refused(world: World, change: dict[str, Any], code: str) -> None:
    world.admitted()
    columns = change.pop("columns", {"区": "维度"})
    wanted: dict[str, Any] = {
        "scenario": "s", "purpose": "p", "product_form": "report", "audience": "public", "term_months": 12,
        "requested": {world.published(): columns}, **change,
    }  # fmt: skip
    with pytest.raises(BadInput) as refused, world.by(world.merchant) as unit:
        service.draft(unit, **wanted)
    assert refused.value.code == code


def test_only_published_resources_can_be_asked_for(world: World) -> None:
    world.admitted()
    with pytest.raises(BadInput, match="not_published"):
        world.drafted(world.delivered())


def test_company_that_is_not_admitted_cannot_draft(world: World) -> None:
    with pytest.raises(NotPermitted, match="not_admitted"), world.by(world.stranger) as unit:
        service.draft(unit, scenario="s", purpose="p", product_form="report", audience="public", term_months=1,
                      requested={})  # fmt: skip


# -- check and approval


def test_application_is_approved_when_every_department_agrees(any_world: World) -> None:
    application_id = any_world.application("approving", *two_departments(any_world))
    decide(any_world, application_id, "department", "approve")
    assert state(any_world, application_id) == "approving"
    decide(any_world, application_id, "other_department", "approve")
    assert state(any_world, application_id) == "approved"


def test_department_decides_only_its_own_approval(any_world: World) -> None:
    application_id = any_world.application("approving", *two_departments(any_world))
    theirs = next(a for a, d in any_world.approvals(application_id).items() if d == any_world.other_department)
    with pytest.raises(OutOfReach), any_world.by(any_world.department) as unit:
        service.decide(unit, theirs, "approve")
    for who in (any_world.operator, any_world.officer, any_world.merchant):
        with pytest.raises(NotPermitted), any_world.by(who) as unit:
            service.decide(unit, theirs, "approve")


def test_department_sees_applications_on_its_data_only(any_world: World) -> None:
    mine = any_world.application("approving", any_world.published())
    any_world.application("approving", any_world.published(department=any_world.other_department))
    with any_world.by(any_world.department) as unit:
        assert [a.id for a in service.list_for(unit)] == [mine]


def test_return_drops_the_round_and_resubmission_opens_a_new_one(any_world: World) -> None:
    application_id = any_world.application("approving", *two_departments(any_world))
    decide(any_world, application_id, "department", "approve")
    decide(any_world, application_id, "other_department", "return", "用途不清")
    assert state(any_world, application_id) == "returned"
    any_world._towards("checking", application_id, any_world.merchant)
    any_world._towards("approving", application_id, any_world.merchant)
    with any_world.system() as unit:
        record = records.get(unit.session, application_id)
        fresh = records.approvals(unit.session, application_id, record.round)
    assert record.round == 2
    assert [a.state for a in fresh] == ["pending", "pending"], "an agreement of an earlier round does not carry over"


# -- deemed consent


def test_consent_is_deemed_at_the_end_of_the_last_working_day_and_not_a_minute_earlier(any_world: World) -> None:
    application_id = any_world.application("approving")
    put_clock(any_world, LAST_MINUTE)
    upkeep.run(any_world.platform)
    assert state(any_world, application_id) == "approving"
    put_clock(any_world, LAST_MINUTE + timedelta(minutes=1))
    upkeep.run(any_world.platform)
    assert state(any_world, application_id) == "approved_by_lapse"


def test_lapse_happens_once_by_the_system_under_a_named_rule(any_world: World) -> None:
    application_id = any_world.application("approving")
    put_clock(any_world, LAST_MINUTE + timedelta(days=1))
    rounds = [upkeep.run(any_world.platform).lapsed for _ in range(3)]
    assert [len(r) for r in rounds] == [1, 0, 0]
    (event,) = any_world.events("approval:lapse")
    assert (event.actor_id, event.role) == ("system", "system")
    assert (event.facts["rule"], event.facts["due_on"]) == ("application_approval@2026-01", "2026-03-16")
    assert state(any_world, application_id) == "approved_by_lapse"


def test_limit_over_the_spring_festival_is_the_regulations_vector(any_world: World) -> None:
    put_clock(any_world, datetime(2026, 2, 6, 2, 0, tzinfo=UTC))
    application_id = any_world.application("approving")
    put_clock(any_world, datetime(2026, 2, 27, 15, 59, tzinfo=UTC))
    assert upkeep.run(any_world.platform).lapsed == []
    put_clock(any_world, datetime(2026, 2, 27, 16, 0, tzinfo=UTC))
    assert len(upkeep.run(any_world.platform).lapsed) == 1
    assert state(any_world, application_id) == "approved_by_lapse"


def test_decision_before_the_job_wins_even_after_the_last_day(any_world: World) -> None:
    application_id = any_world.application("approving")
    put_clock(any_world, LAST_MINUTE + timedelta(hours=9))
    decide(any_world, application_id, "department", "reject")
    assert upkeep.run(any_world.platform).lapsed == []
    assert state(any_world, application_id) == "rejected"


def test_decision_after_the_lapse_comes_too_late(any_world: World) -> None:
    application_id = any_world.application("approving")
    approval_id = next(iter(any_world.approvals(application_id)))
    put_clock(any_world, LAST_MINUTE + timedelta(hours=9))
    upkeep.run(any_world.platform)
    with pytest.raises(InvalidTransition), any_world.by(any_world.department) as unit:
        service.decide(unit, approval_id, "reject", "不同意")


def test_one_refusal_and_one_silence_is_not_consent(any_world: World) -> None:
    application_id = any_world.application("approving", *two_departments(any_world))
    decide(any_world, application_id, "department", "reject")
    put_clock(any_world, LAST_MINUTE + timedelta(days=30))
    assert upkeep.run(any_world.platform).lapsed == []
    assert state(any_world, application_id) == "rejected"
    assert sorted(approval_states(any_world, application_id).values()) == ["dropped", "rejected"]


def test_one_lapse_then_one_refusal_is_not_consent(any_world: World) -> None:
    """Each department has its own clock: one runs out, the other department still refuses in time."""
    application_id = any_world.application("approving", *two_departments(any_world))
    late = next(a for a, d in any_world.approvals(application_id).items() if d == any_world.other_department)
    with any_world.system() as unit:
        clock = clocks.running(unit.session, "approval", late)[0]
        clock.due_on = "2026-03-20"
    put_clock(any_world, LAST_MINUTE + timedelta(minutes=1))
    assert len(upkeep.run(any_world.platform).lapsed) == 1
    assert state(any_world, application_id) == "approving"
    decide(any_world, application_id, "other_department", "reject")
    assert state(any_world, application_id) == "rejected"


def test_one_agreement_and_one_lapse_is_called_a_lapse(any_world: World) -> None:
    application_id = any_world.application("approving", *two_departments(any_world))
    decide(any_world, application_id, "department", "approve")
    put_clock(any_world, LAST_MINUTE + timedelta(minutes=1))
    upkeep.run(any_world.platform)
    assert state(any_world, application_id) == "approved_by_lapse"
    assert sorted(approval_states(any_world, application_id).values()) == ["approved", "approved_by_lapse"]


def test_stopped_clock_never_lapses(any_world: World) -> None:
    application_id = any_world.application("approving")
    decide(any_world, application_id, "department", "return")
    put_clock(any_world, LAST_MINUTE + timedelta(days=60))
    assert upkeep.run(any_world.platform).lapsed == []
    assert state(any_world, application_id) == "returned"


def test_resubmission_after_a_return_starts_from_zero(any_world: World) -> None:
    application_id = any_world.application("approving")
    put_clock(any_world, datetime(2026, 3, 13, 2, 0, tzinfo=UTC))
    decide(any_world, application_id, "department", "return")
    any_world._towards("checking", application_id, any_world.merchant)
    any_world._towards("approving", application_id, any_world.merchant)
    put_clock(any_world, LAST_MINUTE + timedelta(minutes=1))
    assert upkeep.run(any_world.platform).lapsed == []
    put_clock(any_world, datetime(2026, 3, 27, 16, 0, tzinfo=UTC))
    assert len(upkeep.run(any_world.platform).lapsed) == 1


def test_unknown_calendar_year_alarms_and_never_lapses(any_world: World) -> None:
    put_clock(any_world, datetime(2026, 12, 28, 2, 0, tzinfo=UTC))
    application_id = any_world.application("approving")
    approval_id = next(iter(any_world.approvals(application_id)))
    assert any_world.events("clock:alarm")[-1].object_id == approval_id
    put_clock(any_world, datetime(2030, 1, 1, tzinfo=UTC))
    assert upkeep.run(any_world.platform).lapsed == []
    assert state(any_world, application_id) == "approving"


def test_operators_check_never_lapses(any_world: World) -> None:
    application_id = any_world.application("checking")
    put_clock(any_world, LAST_MINUTE + timedelta(days=100))
    assert upkeep.run(any_world.platform).lapsed == []
    assert state(any_world, application_id) == "checking"
    with pytest.raises(NotPermitted), any_world.system() as unit:
        service.check(unit, application_id, "pass")


def test_lapse_cannot_be_asked_for_before_its_time(any_world: World) -> None:
    application_id = any_world.application("approving")
    approval_id = next(iter(any_world.approvals(application_id)))
    with pytest.raises(InvalidTransition, match="not_overdue"), any_world.system() as unit:
        service.APPROVAL.advance(unit, records.approval(unit.session, approval_id), "lapse")
    with pytest.raises(NotPermitted), any_world.by(any_world.operator) as unit:
        service.APPROVAL.advance(unit, records.approval(unit.session, approval_id), "lapse")


# -- agreement and grants


def test_signing_writes_the_contract_and_makes_the_grants(any_world: World) -> None:
    resources = two_departments(any_world)
    application_id = any_world.application("agreement_signed", *resources)
    with any_world.system() as unit:
        record = records.get(unit.session, application_id)
        grants = records.grants(unit.session, application_id)
    assert record.agreement is not None
    assert record.agreement["body"]["denied"] == ["raw_export", "re_identification", "re_sharing"]
    assert {g.resource_id for g in grants} == set(resources)
    assert all(sorted(g.columns) == ["区", "费用"] and g.version == 1 for g in grants)
    assert all(g.expires_at == record.expires_at for g in grants), "no grant outlives its agreement"


def test_only_the_merchant_signs_and_only_when_approved(any_world: World) -> None:
    application_id = any_world.application("approving")
    with pytest.raises(InvalidTransition), any_world.by(any_world.merchant) as unit:
        service.sign(unit, application_id)
    decide(any_world, application_id, "department", "approve")
    with pytest.raises(NotPermitted), any_world.by(any_world.operator) as unit:
        service.sign(unit, application_id)


def test_version_that_is_not_published_is_not_granted(any_world: World) -> None:
    """A new delivery came between approval and signature: what is granted is the version that is published."""
    resource_id = any_world.published()
    application_id = any_world.application("approved", resource_id)
    any_world.deliver(resource_id, any_world.department)
    any_world.take_in(resource_id, columns={"区": 4, "新列": 4})
    with any_world.by(any_world.merchant) as unit:
        service.sign(unit, application_id)
    with any_world.system() as unit:
        assert [g.version for g in records.grants(unit.session, application_id)] == [1]


def test_withdrawn_resource_is_not_granted(any_world: World) -> None:
    from sandbox.catalog import service as catalog

    resource_id = any_world.published()
    application_id = any_world.application("approved", resource_id)
    with any_world.by(any_world.department) as unit:
        catalog.withdraw(unit, resource_id, "登记到期")
    with pytest.raises(InvalidTransition, match="no_version"), any_world.by(any_world.merchant) as unit:
        service.sign(unit, application_id)
    assert state(any_world, application_id) == "approved"


def test_column_that_has_gone_is_not_granted(any_world: World) -> None:
    resource_id = any_world.published()
    application_id = any_world.application("approved", resource_id)
    any_world.deliver(resource_id, any_world.department)
    any_world.take_in(resource_id, columns={"区": 1})
    any_world.publish(resource_id)
    with pytest.raises(InvalidTransition, match="columns_gone"), any_world.by(any_world.merchant) as unit:
        service.sign(unit, application_id)


def test_grant_is_read_by_merchant_and_its_department_only(any_world: World) -> None:
    application_id = any_world.application("active")
    (grant_id,) = any_world.grants(application_id)
    for who in (any_world.merchant, any_world.department, any_world.operator, any_world.auditor):
        with any_world.by(who) as unit:
            assert service.read_grant(unit, grant_id).id == grant_id
    for who in (any_world.stranger, any_world.other_department):
        with pytest.raises(OutOfReach), any_world.by(who) as unit:
            service.read_grant(unit, grant_id)
    with pytest.raises(NotFound), any_world.by(any_world.merchant) as unit:
        service.read_grant(unit, "grt-nothere")


def test_grants_end_at_the_very_moment_of_expiry(any_world: World) -> None:
    application_id = any_world.application("active")
    with any_world.system() as unit:
        expires = records.get(unit.session, application_id).expires_at
    assert expires is not None
    put_clock(any_world, expires - timedelta(seconds=1))
    with any_world.by(any_world.merchant) as unit:
        service.require_live(unit, application_id)
    put_clock(any_world, expires)
    with pytest.raises(NotPermitted, match="not_active"), any_world.by(any_world.merchant) as unit:
        service.require_live(unit, application_id)
    assert upkeep.run(any_world.platform).expired == [application_id]
    assert upkeep.run(any_world.platform).expired == []
    assert state(any_world, application_id) == "expired"


@pytest.mark.parametrize("step", ["suspend", "revoke"])
def test_operator_stops_an_application_at_once_with_a_reason(any_world: World, step: str) -> None:
    application_id = any_world.application("active")
    with pytest.raises(BadInput), any_world.by(any_world.operator) as unit:
        service.stand(unit, application_id, step, "")
    with any_world.by(any_world.operator) as unit:
        service.stand(unit, application_id, step, "超出用途")
    with pytest.raises(NotPermitted), any_world.by(any_world.merchant) as unit:
        service.require_live(unit, application_id)


def test_revoked_application_never_comes_back(any_world: World) -> None:
    application_id = any_world.application("active")
    with any_world.by(any_world.operator) as unit:
        service.stand(unit, application_id, "revoke", "超出用途")
    for step in ("resume", "suspend", "revoke"):
        with pytest.raises(InvalidTransition), any_world.by(any_world.operator) as unit:
            service.stand(unit, application_id, step, "理由")


def test_withdrawn_application_takes_its_approvals_along(any_world: World) -> None:
    application_id = any_world.application("approving", *two_departments(any_world))
    with any_world.by(any_world.merchant) as unit:
        service.withdraw(unit, application_id)
    assert set(approval_states(any_world, application_id).values()) == {"dropped"}
    put_clock(any_world, LAST_MINUTE + timedelta(days=30))
    assert upkeep.run(any_world.platform).lapsed == []


# -- reminders


def test_those_who_must_act_are_reminded_once_at_each_share_and_alarmed_when_overdue(any_world: World) -> None:
    """Reminders at the edition's shares; the operator's own overdue check alarms and never turns into consent."""
    application_id = any_world.application("checking")
    for day in range(12):
        put_clock(any_world, datetime(2026, 3, 3, 1, 0, tzinfo=UTC) + timedelta(days=day))
        for _ in range(2):
            with any_world.system() as unit:
                clocks.remind(unit)
    with any_world.system() as unit:
        events = unit.session.scalars(select(AuditEvent).where(AuditEvent.object_id == application_id))
        said = [e.event for e in events if e.event.startswith("clock:")]
        shares = len(clocks.history(unit.session, "application", application_id)[0].reminders)
    assert said == ["clock:remind"] * shares + ["clock:overdue"]
    assert state(any_world, application_id) == "checking"


# -- changing an application


def test_a_returned_application_can_be_changed_and_submitted_again(world: World) -> None:
    application_id = world.application("checking")
    with world.by(world.operator) as unit:
        service.check(unit, application_id, "return", "列太多")
    with world.by(world.merchant) as unit:
        before = service.read(unit, application_id)
        resource, asked = next(iter(before.requested.items()))
        fewer = dict([next(iter(asked["columns"].items()))])
        kept = {k: getattr(before, k) for k in ("purpose", "product_form", "audience", "term_months")}
        service.revise(unit, application_id, scenario="更小的场景", requested={resource: fewer}, **kept)
        service.submit(unit, application_id)
        changed = service.read(unit, application_id)
    assert (changed.scenario, changed.state, changed.round) == ("更小的场景", "checking", 2)
    assert changed.requested == {resource: {"columns": fewer}}


def test_an_application_under_way_cannot_be_changed(world: World) -> None:
    application_id = world.application("checking")
    with world.by(world.merchant) as unit:
        record = service.read(unit, application_id)
        asked = {r: a["columns"] for r, a in record.requested.items()}
        kept = {k: getattr(record, k) for k in ("scenario", "purpose", "product_form", "audience", "term_months")}
    with pytest.raises(InvalidTransition), world.by(world.merchant) as unit:
        service.revise(unit, application_id, requested=asked, **kept)


def test_nobody_else_can_change_an_application(world: World) -> None:
    application_id = world.drafted()
    with pytest.raises(NotFound), world.by(world.stranger) as unit:
        service.revise(
            unit, application_id, scenario="x", purpose="", product_form="aggregate", audience="public", term_months=1,
            requested={},
        )  # fmt: skip
