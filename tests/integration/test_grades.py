"""Grades between people: carried over, raised alone, lowered by two, never below the floor, looked at again; on both
databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import pytest

from policies.text import Text, UserError
from sandbox.applications import repository as application_records
from sandbox.catalog import deliveries, grades, regrading, service, versions
from sandbox.catalog import repository as catalogue
from sandbox.catalog.protection import Grade, Override
from sandbox.catalog.repository import Lowering
from sandbox.exports import reviewing
from sandbox.exports.repository import ExportRequest
from sandbox.kernel.errors import BadInput, Conflict, InvalidTransition, NotPermitted, OutOfReach
from sandbox.kernel.identity import Actor
from sandbox.products import repository as product_records
from sandbox.reporting import impact
from sandbox.workspaces import readable
from sandbox.workspaces import repository as workspace_records
from tests.factories import World

COLUMNS = {"身份证号": 3, "区": 1, "费用": 2}


def levels(world: World, resource_id: str, number: int | None = None) -> dict[str, tuple[int, bool]]:
    """Level and whether confirmed, of the published version or of another."""
    with world.system() as unit:
        return {c.name: (c.level, c.confirmed) for c in catalogue.columns(unit.session, resource_id, number)}


def grade(world: World, resource_id: str, column: str, number: int | None = None) -> dict[str, Any]:
    """Level, category, sensitivity and role of one column, of the published version or of another."""
    with world.system() as unit:
        found = next(c for c in catalogue.columns(unit.session, resource_id, number) if c.name == column)
        return asdict(Grade.of(found))


def state_of(world: World, resource_id: str) -> tuple[str, int | None, int | None]:
    """State of the newest delivery, published version, published level."""
    with world.system() as unit:
        resource = catalogue.get(unit.session, resource_id)
        newest = catalogue.deliveries(unit.session, resource_id)[0]
        return newest.state, resource.current_version, resource.level


def redelivered(world: World, resource_id: str, **how: Any) -> int:
    world.deliver(resource_id, world.department)
    return world.take_in(resource_id, **how)


def change(
    world: World, who: Actor, resource_id: str, column: str, level: int | None, reason: str = "核实", **more: Any
) -> grades.Changed:  # fmt: skip
    with world.by(who) as unit:
        return grades.change(unit, resource_id, column, Override(level, **more), reason)


def asked(world: World, resource_id: str) -> Lowering:
    with world.system() as unit:
        found = catalogue.lowerings(unit.session, resource_id=resource_id)
        return next((lowering for lowering in found if lowering.state == "requested"), found[0])


def decide(world: World, who: Actor, lowering: Lowering, step: str, reason: str = "同意") -> Lowering:
    with world.by(who) as unit:
        return grades.decide(unit, lowering.id, step, reason)


# -- what is carried over


def test_same_columns_and_grades_take_effect_by_the_system(any_world: World) -> None:
    resource_id = any_world.published()
    assert redelivered(any_world, resource_id) == 2
    assert state_of(any_world, resource_id) == ("current", 2, 3)
    assert levels(any_world, resource_id) == {n: (k, True) for n, k in COLUMNS.items()}
    (carried,) = any_world.events("delivery:take_effect")
    assert (carried.role, carried.facts["version"]) == ("system", 2)


@pytest.mark.parametrize(
    ("why", "how", "waiting"),
    [
        ("a higher proposal", {"columns": COLUMNS | {"区": 2}}, {"区"}),
        ("a new column", {"columns": COLUMNS | {"电话": 3}}, {"电话"}),
        ("a column that has gone", {"columns": {"身份证号": 3, "区": 1}}, set()),
        ("a rule that lifts the table", {"uplifts": {"GRD-SCALE-01": None}}, set()),
        ("other evidence", {"columns": COLUMNS, "category": "B2"}, {*COLUMNS}),
    ],
)
def test_only_what_changed_waits_for_the_department(
    any_world: World, why: str, how: dict[str, Any], waiting: set[str]
) -> None:
    resource_id = any_world.published()
    number = redelivered(any_world, resource_id, **how)
    assert state_of(any_world, resource_id) == ("proposed", 1, 3), why
    assert {n for n, (_, confirmed) in levels(any_world, resource_id, number).items() if not confirmed} == waiting
    assert levels(any_world, resource_id) == {n: (k, True) for n, k in COLUMNS.items()}, "what is published stays"
    any_world.publish(resource_id)
    assert state_of(any_world, resource_id)[:2] == ("current", 2)


def test_bad_quality_does_not_take_effect_by_itself(any_world: World) -> None:
    resource_id = any_world.published()
    redelivered(any_world, resource_id, quality="block")
    assert state_of(any_world, resource_id) == ("confirmed", 1, 3)
    with pytest.raises(InvalidTransition, match="below_threshold"), any_world.by(any_world.operator) as unit:
        versions.publish(unit, resource_id)
    redelivered(any_world, resource_id)
    assert state_of(any_world, resource_id) == ("current", 3, 3)


def test_a_level_that_the_department_raised_or_lowered_is_carried_over(any_world: World) -> None:
    resource_id = any_world.published()
    change(any_world, any_world.department, resource_id, "区", 4)
    change(any_world, any_world.department, resource_id, "费用", 3)
    change(any_world, any_world.department, resource_id, "费用", 2)
    decide(any_world, any_world.colleague, asked(any_world, resource_id), "approve")
    redelivered(any_world, resource_id)
    assert state_of(any_world, resource_id) == ("current", 2, 4)
    assert levels(any_world, resource_id) == {"身份证号": (3, True), "区": (4, True), "费用": (2, True)}


def test_a_confirmed_level_stays_when_the_machine_proposes_less_on_the_same_evidence(any_world: World) -> None:
    resource_id = any_world.published()
    redelivered(any_world, resource_id, columns=COLUMNS | {"身份证号": 2})
    assert (state_of(any_world, resource_id), levels(any_world, resource_id)["身份证号"]) == (
        ("current", 2, 3),
        (3, True),
    )


# -- changes by people


def test_raising_takes_effect_at_once_and_is_on_record(any_world: World) -> None:
    resource_id = any_world.published()
    assert change(any_world, any_world.department, resource_id, "区", 4, "小区级别可识别").changed == ["区"]
    assert (levels(any_world, resource_id)["区"], state_of(any_world, resource_id)[2]) == ((4, True), 4)
    (event,) = any_world.events("resource:raise")
    assert event.facts == {
        "column": "区", "before": {"level": 1}, "after": {"level": 4}, "reason": "小区级别可识别", "version": 1
    }  # fmt: skip


def test_lowering_waits_for_a_second_person_who_is_not_the_first(any_world: World) -> None:
    resource_id = any_world.delivered()
    number = any_world.take_in(resource_id, columns=COLUMNS | {"费用": 4})
    asked_for = change(any_world, any_world.department, resource_id, "费用", 2, "已公开的收费标准")
    assert (asked_for.changed, asked_for.requested) == ([], ["费用"])
    assert levels(any_world, resource_id, number)["费用"] == (4, False), "nothing is lower before two people agree"
    lowering = asked(any_world, resource_id)
    with pytest.raises(NotPermitted, match="same_person"):
        decide(any_world, any_world.department, lowering, "approve")
    for stranger, error in ((any_world.other_department, OutOfReach), (any_world.operator, NotPermitted)):
        with pytest.raises(error):
            decide(any_world, stranger, lowering, "approve")
    with pytest.raises(InvalidTransition, match="lowering_open"), any_world.by(any_world.department) as unit:
        versions.confirm(unit, resource_id)
    with pytest.raises(BadInput, match="reason"):
        decide(any_world, any_world.colleague, lowering, "approve", " ")
    assert decide(any_world, any_world.colleague, lowering, "approve").state == "approved"
    assert levels(any_world, resource_id, number)["费用"] == (2, False)
    any_world.publish(resource_id)
    assert state_of(any_world, resource_id) == ("current", 1, 3)
    (lowered,) = any_world.events("resource:lower")
    assert (lowered.actor_id, lowered.facts["before"], lowered.facts["after"]) == (
        any_world.colleague.id, {"level": 4}, {"level": 2}
    )  # fmt: skip


def test_a_compliance_officer_may_be_the_second_person_and_a_refusal_keeps_the_level(any_world: World) -> None:
    resource_id = any_world.delivered()
    number = any_world.take_in(resource_id, columns=COLUMNS | {"费用": 4})
    change(any_world, any_world.department, resource_id, "费用", 2)
    refused = decide(any_world, any_world.officer, asked(any_world, resource_id), "refuse", "与诊断相连")
    assert (refused.state, refused.decision, refused.reviewer_id) == ("refused", "与诊断相连", any_world.officer.id)
    assert levels(any_world, resource_id, number)["费用"] == (4, False)
    change(any_world, any_world.department, resource_id, "费用", 3)
    assert decide(any_world, any_world.department, asked(any_world, resource_id), "withdraw", "").state == "withdrawn"


@pytest.mark.parametrize(("column", "level", "floor"), [("身份证号", 2, 4), ("费用", 1, 2), ("区", 1, 2)])
def test_the_floor_of_the_policy_is_never_undercut(any_world: World, column: str, level: int, floor: int) -> None:
    """GB/T 43697 H.4: sensitive data is at least 4; in a table about people every column is at least 2."""
    resource_id = any_world.delivered()
    any_world.take_in(resource_id, columns={"身份证号": 4, "区": 3, "费用": 3})
    with pytest.raises(BadInput, match="below_floor") as refused:
        change(any_world, any_world.department, resource_id, column, level)
    assert refused.value.detail["floor"] == floor


@pytest.mark.parametrize(
    ("override", "at_once", "asked"),
    [
        ({"category": "组织许可处罚信息"}, {"category": "组织许可处罚信息"}, {}),
        ({"sensitive": True}, {"sensitive": True, "level": 4}, {}),
        ({"identifier_role": "direct"}, {"identifier_role": "direct"}, {}),
        ({"identifier_role": "none"}, {}, {"identifier_role": "none"}),
        ({"identifier_role": "sensitive"}, {}, {"identifier_role": "sensitive"}),
        ({"level": 4, "identifier_role": "none"}, {"level": 4}, {"identifier_role": "none"}),
        ({"level": 2, "identifier_role": "direct"}, {"identifier_role": "direct"}, {"level": 2}),
        ({"category": "组织许可处罚信息", "level": 2}, {"category": "组织许可处罚信息"}, {"level": 2}),
    ],
)
def test_what_protects_more_takes_effect_at_once_and_what_protects_less_waits(
    world: World, override: dict[str, Any], at_once: dict[str, Any], asked: dict[str, Any]
) -> None:
    """A quasi-identifier of level 3 that is not sensitive; one called sensitive is lifted to its floor, 4."""
    resource_id = world.delivered()
    number = world.take_in(resource_id, columns={"区": 3}, roles={"区": "quasi"})
    before = {"level": 3, "category": "B1", "sensitive": False, "identifier_role": "quasi"}
    done = change(world, world.department, resource_id, "区", **({"level": None} | override))
    assert (bool(done.changed), bool(done.requested)) == (bool(at_once), bool(asked))
    assert grade(world, resource_id, "区", number) == before | at_once
    with world.system() as unit:
        requests = [(r.before, r.after) for r in catalogue.lowerings(unit.session, resource_id=resource_id)]
    assert requests == ([({fact: before[fact] for fact in asked}, asked)] if asked else [])
    told = world.events("resource:raise") + world.events("resource:classify")
    assert [e.facts["after"] for e in told] == ([at_once] if at_once else [])


def test_two_people_make_a_sensitive_direct_identifier_an_ordinary_column(any_world: World) -> None:
    resource_id = any_world.published()
    said = {"sensitive": False, "identifier_role": "none"}
    change(any_world, any_world.department, resource_id, "身份证号", 2, "实为流水号", **said)
    before = {"level": 3, "category": "B1", "sensitive": True, "identifier_role": "direct"}
    assert grade(any_world, resource_id, "身份证号") == before, "nothing is weaker before two people agree"
    with pytest.raises(NotPermitted, match="same_person"):
        decide(any_world, any_world.department, asked(any_world, resource_id), "approve")
    decide(any_world, any_world.colleague, asked(any_world, resource_id), "approve")
    now = before | {"level": 2} | said
    assert grade(any_world, resource_id, "身份证号") == now
    (lowered,) = any_world.events("resource:lower")
    assert lowered.facts["before"] == {"level": 3, "sensitive": True, "identifier_role": "direct"}
    redelivered(any_world, resource_id)
    assert state_of(any_world, resource_id)[:2] == ("current", 2), "the machine proposes what it proposed before"
    assert grade(any_world, resource_id, "身份证号") == now, "what two people decided is carried over"


def test_a_category_that_the_department_corrected_is_carried_over(world: World) -> None:
    resource_id = world.published()
    change(world, world.department, resource_id, "费用", None, category="组织许可处罚信息")
    redelivered(world, resource_id)
    assert (state_of(world, resource_id)[0], grade(world, resource_id, "费用")["category"]) == (
        "current", "组织许可处罚信息"
    )  # fmt: skip


def test_a_floor_holds_for_the_column_as_it_is_to_be(world: World) -> None:
    resource_id = world.delivered()
    world.take_in(resource_id, columns={"身份证号": 4})
    for level, more in ((3, {}), (1, {"sensitive": False})):
        with pytest.raises(BadInput, match="below_floor"):
            change(world, world.department, resource_id, "身份证号", level, **more)
    with pytest.raises(BadInput, match="below_floor"):
        change(world, world.department, resource_id, "身份证号", 1, sensitive=True)
    done = change(world, world.department, resource_id, "身份证号", 2, sensitive=False)
    assert done.requested == ["身份证号"]


def test_regrading_makes_a_published_column_a_direct_identifier_at_once(any_world: World) -> None:
    resource_id = any_world.published()
    regraded(any_world, resource_id, columns=COLUMNS, roles={"区": "direct"})
    assert (grade(any_world, resource_id, "区")["identifier_role"], levels(any_world, resource_id)["区"]) == (
        "direct", (1, False)
    )  # fmt: skip


def test_many_columns_are_changed_by_a_pattern(any_world: World) -> None:
    resource_id = any_world.delivered()
    number = any_world.take_in(resource_id, columns={"收费1": 2, "收费2": 4, "收费项(元)": 3, "区": 1})
    done = change(any_world, any_world.department, resource_id, "收费*", 3)
    assert (done.changed, done.requested) == (["收费1"], ["收费2"])
    assert {n: k for n, (k, _) in levels(any_world, resource_id, number).items()} == {
        "收费1": 3, "收费2": 4, "收费项(元)": 3, "区": 1
    }  # fmt: skip


@pytest.mark.parametrize(
    ("column", "level", "reason", "error"),
    [("区", 2, " ", BadInput), ("区", 5, "x", BadInput), ("无此列", 2, "x", BadInput), ("无*", 2, "x", BadInput),
     ("区", 1, "x", Conflict), (".*", 2, "x", BadInput), ("区", None, "x", Conflict)],
)  # fmt: skip
def test_changes_that_make_no_sense_are_refused(
    world: World, column: str, level: int | None, reason: str, error: type[UserError]
) -> None:
    resource_id = world.published()
    with pytest.raises(error):
        change(world, world.department, resource_id, column, level, reason)


@pytest.mark.parametrize("unknown", [{"category": "无此类别"}, {"identifier_role": "indirect"}])
def test_categories_and_roles_that_do_not_exist_are_refused(world: World, unknown: dict[str, str]) -> None:
    resource_id = world.published()
    with pytest.raises(BadInput, match=r"grade\.(category|role)"):
        change(world, world.department, resource_id, "区", None, **unknown)


def test_others_change_nothing(world: World) -> None:
    resource_id = world.published()
    for who, error in (
        (world.other_department, OutOfReach),
        (world.operator, NotPermitted),
        (world.officer, NotPermitted),
    ):
        with pytest.raises(error):
            change(world, who, resource_id, "区", 4)


def test_a_confirmed_version_is_not_changed_before_it_is_published(world: World) -> None:
    resource_id = world.delivered()
    world.take_in(resource_id)
    with world.by(world.department) as unit:
        versions.confirm(unit, resource_id)
    with pytest.raises(InvalidTransition, match=r"grade\.confirmed"):
        change(world, world.department, resource_id, "区", 4)


def test_requests_on_a_version_that_was_replaced_lapse_with_it(any_world: World) -> None:
    resource_id = any_world.delivered()
    any_world.take_in(resource_id, columns=COLUMNS | {"费用": 4})
    change(any_world, any_world.department, resource_id, "费用", 2)
    lowering = asked(any_world, resource_id)
    any_world.deliver(resource_id, any_world.department)
    assert asked(any_world, resource_id).state == "dropped"
    with pytest.raises(InvalidTransition):
        decide(any_world, any_world.colleague, lowering, "approve")


def test_history_of_a_column_goes_over_its_versions(any_world: World) -> None:
    resource_id = any_world.published()
    change(any_world, any_world.department, resource_id, "区", 3)
    redelivered(any_world, resource_id)
    redelivered(any_world, resource_id, columns={"区": 4})
    with any_world.system() as unit:
        found = catalogue.column_history(unit.session, resource_id, "区")
    assert [(c.version, c.proposed_level, c.level, c.confirmed) for c in found] == [
        (1, 1, 3, True), (2, 1, 3, True), (3, 4, 4, False)
    ]  # fmt: skip


# -- looked at again


def regraded(world: World, resource_id: str, reason: str = "主管部门要求", **how: Any) -> int:
    with world.by(world.operator) as unit:
        regrading.regrade(unit, resource_id, reason)
    return world.take_in(resource_id, **how)


def test_a_higher_proposal_for_published_rows_takes_effect_before_anybody_confirms_it(any_world: World) -> None:
    resource_id = any_world.published()
    number = regraded(any_world, resource_id, columns=COLUMNS | {"区": 3})
    assert state_of(any_world, resource_id) == ("proposed", 1, 3)
    assert levels(any_world, resource_id)["区"] == (3, False), "fail closed: the higher level counts at once"
    (raised,) = any_world.events("resource:raise")
    assert (raised.role, raised.facts["before"], raised.facts["after"]) == ("system", {"level": 1}, {"level": 3})
    any_world.publish(resource_id)
    assert (state_of(any_world, resource_id)[:2], number) == (("current", 2), 2)
    assert levels(any_world, resource_id)["区"] == (3, True)


def test_a_lower_proposal_waits_and_nothing_is_lower_before(any_world: World) -> None:
    resource_id = any_world.published()
    regraded(any_world, resource_id, columns=COLUMNS | {"身份证号": 2}, category="B2")
    assert state_of(any_world, resource_id) == ("proposed", 1, 3)
    assert levels(any_world, resource_id)["身份证号"] == (3, True)
    assert any_world.events("resource:raise") == []


def test_a_look_again_that_finds_the_same_ends_by_itself_and_makes_no_new_twin(any_world: World) -> None:
    resource_id = any_world.published()
    before = len([e for e in any_world.events("job:enqueue") if e.facts["kind"] == "simulate"])
    regraded(any_world, resource_id)
    assert state_of(any_world, resource_id) == ("current", 2, 3)
    assert len([e for e in any_world.events("job:enqueue") if e.facts["kind"] == "simulate"]) == before


def test_a_regrading_is_confirmed_not_withdrawn(any_world: World) -> None:
    resource_id = any_world.published()
    regraded(any_world, resource_id, columns=COLUMNS | {"区": 3})
    with any_world.system() as unit:
        waiting = catalogue.pending(unit.session, resource_id)
    assert waiting is not None
    with pytest.raises(InvalidTransition, match=r"delivery\.regrade"), any_world.by(any_world.department) as unit:
        deliveries.withdraw(unit, waiting.id)


def test_a_new_edition_has_every_published_version_looked_at_once(any_world: World) -> None:
    resource_id = any_world.delivered()
    any_world.take_in(resource_id, digest="f" * 64)
    any_world.publish(resource_id)
    with any_world.system() as unit:
        assert regrading.regrade_outdated(unit) == [resource_id]
    with any_world.system() as unit:
        assert regrading.regrade_outdated(unit) == []
    any_world.take_in(resource_id, columns=COLUMNS | {"区": 2}, digest="f" * 64)
    any_world.publish(resource_id)
    with any_world.system() as unit:
        assert regrading.regrade_outdated(unit) == [], "once an edition, even if the job graded under another"


def test_a_look_again_needs_a_reason_a_published_version_and_no_delivery_on_its_way(any_world: World) -> None:
    resource_id = any_world.published()
    unpublished = any_world.delivered()
    for one, reason, error in ((resource_id, " ", BadInput), (unpublished, "事件", InvalidTransition)):
        with pytest.raises(error), any_world.by(any_world.operator) as unit:
            regrading.regrade(unit, one, reason)
    any_world.deliver(resource_id, any_world.department)
    with pytest.raises(Conflict, match="in_progress"), any_world.by(any_world.department) as unit:
        regrading.regrade(unit, resource_id, "安全事件")


# -- one delivery at a time


def test_two_deliveries_at_once_are_never_interleaved(any_world: World) -> None:
    """Two people of the department deliver in the same moment: one is taken, the other told to wait."""
    resource_id = any_world.published()

    def deliver(number: int) -> str:
        who = (any_world.department, any_world.colleague)[number % 2]
        try:
            with any_world.by(who) as unit:
                deliveries.deliver(unit, resource_id, file_name="x.csv", sha256=f"{number:064d}", size=1)
        except UserError as refused:
            return refused.code
        return "taken"

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(deliver, range(1, 5)))
    assert sorted(outcomes) == ["delivery.in_progress"] * 3 + ["taken"]
    with any_world.system() as unit:
        assert [d.number for d in catalogue.deliveries(unit.session, resource_id)] == [2, 1]


def test_a_delivery_that_was_sent_back_is_not_read_again_beside_a_later_one(any_world: World) -> None:
    resource_id = any_world.published()
    first = any_world.deliver(resource_id, any_world.department)
    with any_world.system() as unit:
        deliveries.begin_reading(unit, first)
        deliveries.failed(unit, first, UserError("reading.empty", Text("空", "empty")))
    any_world.deliver(resource_id, any_world.department)
    with pytest.raises(Conflict, match="not_alone"), any_world.system() as unit:
        deliveries.begin_reading(unit, first)


def test_a_withdrawn_resource_takes_no_delivery(any_world: World) -> None:
    resource_id = any_world.published()
    redelivered(any_world, resource_id, columns=COLUMNS | {"区": 2})
    with any_world.by(any_world.department) as unit:
        service.withdraw(unit, resource_id, "登记到期")
    assert state_of(any_world, resource_id)[0] == "superseded", "nothing is left to decide"
    with pytest.raises(InvalidTransition, match="withdrawn"):
        any_world.deliver(resource_id, any_world.department)


def test_what_was_seen_of_a_file_is_forgotten_with_its_delivery(any_world: World) -> None:
    resource_id = any_world.delivered()
    with any_world.system() as unit:
        first = catalogue.pending(unit.session, resource_id)
        assert first is not None
        deliveries.keep_preview(
            unit, first.id, {"decisions": {}, "lines": [{"line": 1, "role": "record", "raw": "张三", "cells": []}]}
        )
    any_world.take_in(resource_id)
    any_world.publish(resource_id)
    with any_world.system() as unit:
        assert catalogue.delivery(unit.session, first.id).preview is None


# -- whom a change touches


def test_impact_is_told_before_a_version_is_published(any_world: World) -> None:
    resource_id = any_world.published()
    application_id = any_world.application("active", resource_id)
    any_world.workspace(application_id)
    other = any_world.application("approving", resource_id, merchant=any_world.stranger)
    number = redelivered(any_world, resource_id, columns={"身份证号": 3, "区": 4, "新": 4})
    with any_world.by(any_world.department) as unit:
        (found,) = impact.of_version(unit, resource_id, number)
    assert (found.application, len(found.workspaces), found.version) == (application_id, 1, 1)
    assert found.application != other, "only grants in effect are touched"
    told = {c.name: (c.use_before, c.use_after, c.loses, c.gains) for c in found.columns}
    assert told == {"区": ("rows", "jobs", True, False), "费用": ("rows", "none", True, False)}


@pytest.mark.parametrize("role", ["none", "direct"])
@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_impact_tells_the_use_that_the_workspace_then_gives(any_world: World, level: int, role: str) -> None:
    """The edition in force lets level 2 be read with pseudonyms and level 3 by jobs only: both go by it."""
    resource_id = any_world.published()
    application_id = any_world.application("active", resource_id)
    any_world.workspace_rules("2026-02", level_2="pseudonyms", level_3="jobs")
    change = Override(level, identifier_role=role)
    with any_world.by(any_world.department) as unit:
        told = [c.use_after for one in impact.of_version(unit, resource_id, 1, {"费用": change}) for c in one.columns]
    with any_world.system() as unit:
        (column,) = [c for c in catalogue.columns(unit.session, resource_id, 1) if c.name == "费用"]
        before, column.level, column.identifier_role = Grade.of(column), level, role
        (grant,) = application_records.grants(unit.session, application_id)
        (given,) = [c.use for c in readable.of_grant(unit, grant).columns if c.name == "费用"]
        changed = before.changes(Grade.of(column)).keys() != set()
    pseudonyms = "pseudonyms" if role == "direct" else "rows"
    assert given == {1: "rows", 2: pseudonyms, 3: "jobs", 4: "jobs"}[level]
    assert told == ([given] if changed else [])


def test_impact_of_a_single_change_and_for_whom_it_is(any_world: World) -> None:
    resource_id = any_world.published()
    any_world.application("active", resource_id)
    with any_world.by(any_world.department) as unit:
        assert impact.of_version(unit, resource_id, 1) == []
        (found,) = impact.of_version(unit, resource_id, 1, {"费用": Override(4)})
        assert [(c.name, c.before.changes(c.after or c.before)) for c in found.columns] == [("费用", {"level": (2, 4)})]
    with pytest.raises(OutOfReach), any_world.by(any_world.other_department) as unit:
        impact.of_version(unit, resource_id, 1)


def test_jobs_and_exports_of_an_open_workspace_are_named_before_a_grade_is_changed(any_world: World) -> None:
    """The job counts rows by 区 and never names 费用; its product waits to leave."""
    request_id = any_world.export("in_review")
    with any_world.system() as unit:
        request = unit.session.get(ExportRequest, request_id)
        assert request is not None
        (grant,) = application_records.grants(unit.session, request.application_id)
        (place,) = [w for w in workspace_records.every(unit.session) if w.application_id == request.application_id]
        (run,) = product_records.of_workspace(unit.session, place.id)
        job = run.spec["job"]
    said = {"区": Override(identifier_role="direct"), "费用": Override(4)}
    used = ([job], ["门诊量"])
    for columns, (jobs, leaving) in (({"区"}, used), ({"费用"}, ([], [])), ({"区", "费用"}, used)):
        with any_world.by(any_world.department) as unit:
            (found,) = impact.of_version(unit, grant.resource_id, 1, {c: said[c] for c in columns})
        assert {c.name for c in found.columns} == columns and all(c.loses and not c.gains for c in found.columns)
        (space,) = found.workspaces
        assert (space.id, space.state, space.jobs, space.exports) == (place.id, "open", jobs, leaving)
    with any_world.by(any_world.second_officer) as unit:
        reviewing.review(unit, request_id, "approve", "数值稳妥")
    with any_world.by(any_world.officer) as unit:
        reviewing.review(unit, request_id, "approve", "数值稳妥")
    any_world.release(request_id)
    with any_world.by(any_world.department) as unit:
        (found,) = impact.of_version(unit, grant.resource_id, 1, said)
    assert (found.workspaces[0].jobs, found.workspaces[0].exports) == ([job], []), "what has left is out of reach"


def test_no_longer_being_a_direct_identifier_is_a_gain_for_the_workspace(world: World) -> None:
    before = Grade(3, "B1", False, "direct")
    freed = impact.ColumnImpact("区", before, Grade(3, "B1", False, "none"), "pseudonyms", "rows")
    assert (freed.gains, freed.loses) == (True, False)
    dearer = impact.ColumnImpact("区", before, Grade(4, "B1", False, "none"), "pseudonyms", "jobs")
    assert (dearer.gains, dearer.loses) == (False, True), "the use decides first"
