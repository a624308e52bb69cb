"""Onboarding, merchants and the catalogue, on both databases."""

from __future__ import annotations

import io

import pytest

from sandbox.applications import service as applications
from sandbox.catalog import deliveries, twins, versions
from sandbox.catalog import repository as catalogue
from sandbox.catalog import service as catalog
from sandbox.kernel.clocks import history
from sandbox.kernel.errors import (
    BadInput,
    Conflict,
    InvalidTransition,
    LimitExceeded,
    NotFound,
    NotPermitted,
    OutOfReach,
)
from sandbox.merchants import service as merchants
from sandbox.merchants.model import MATERIALS
from tests.factories import World

# -- onboarding


def test_onboarding_needs_every_material(any_world: World) -> None:
    with any_world.by(any_world.merchant) as unit:
        record = merchants.apply(unit, contact="经办人", business="指数", materials={"licence": "a.pdf"})
    with pytest.raises(InvalidTransition) as refused, any_world.by(any_world.merchant) as unit:
        merchants.submit(unit, record.id)
    assert "数据安全能力证明" in refused.value.text.zh
    with any_world.by(any_world.merchant) as unit:
        merchants.add_materials(unit, record.id, dict.fromkeys(MATERIALS, "b.pdf"))
        assert merchants.submit(unit, record.id).state == "checking"


def test_onboarding_runs_its_clock_and_a_return_starts_it_anew(any_world: World) -> None:
    onboarding_id = any_world.applied()
    any_world.advance(days=1)
    with any_world.by(any_world.operator) as unit:
        merchants.decide(unit, onboarding_id, "return", "请补承诺书")
    any_world.advance(days=30)
    with any_world.by(any_world.merchant) as unit:
        merchants.submit(unit, onboarding_id)
    with any_world.system() as unit:
        first, second = history(unit.session, "onboarding", onboarding_id)
    assert (first.due_on, first.outcome) == ("2026-03-09", "return")
    assert (second.due_on, second.outcome, second.stopped_at) == ("2026-04-10", "running", None)


def test_admission_makes_an_active_merchant(any_world: World) -> None:
    with pytest.raises(NotPermitted, match="not_admitted"), any_world.by(any_world.merchant) as unit:
        merchants.require_active(unit)
    any_world.admitted()
    with any_world.by(any_world.merchant) as unit:
        assert merchants.require_active(unit).state == "active"
    with pytest.raises(Conflict), any_world.by(any_world.merchant) as unit:
        merchants.apply(unit, contact="x", business="x", materials={})


def test_rejected_company_may_apply_again(any_world: World) -> None:
    onboarding_id = any_world.applied()
    with any_world.by(any_world.operator) as unit:
        merchants.decide(unit, onboarding_id, "reject", "材料不实")
    assert any_world.applied() != onboarding_id


def test_nobody_else_touches_a_companys_onboarding(any_world: World) -> None:
    onboarding_id = any_world.applied()
    for act in (
        lambda unit: merchants.read(unit, onboarding_id),
        lambda unit: merchants.submit(unit, onboarding_id),
        lambda unit: merchants.add_materials(unit, onboarding_id, {}),
    ):
        with pytest.raises(OutOfReach), any_world.by(any_world.stranger) as unit:
            act(unit)
    with any_world.by(any_world.stranger) as unit:
        assert merchants.list_for(unit) == []
    with pytest.raises(NotPermitted), any_world.by(any_world.merchant) as unit:
        merchants.decide(unit, onboarding_id, "admit", "")


def test_unknown_decision_and_unknown_material_are_wrong_input(any_world: World) -> None:
    onboarding_id = any_world.applied()
    with pytest.raises(BadInput), any_world.by(any_world.operator) as unit:
        merchants.decide(unit, onboarding_id, "approve", "")
    with any_world.by(any_world.operator) as unit:
        merchants.decide(unit, onboarding_id, "return", "补")
    with pytest.raises(BadInput), any_world.by(any_world.merchant) as unit:
        merchants.add_materials(unit, onboarding_id, {"passport": "x"})


def test_suspended_merchant_can_use_nothing_until_resumed(any_world: World) -> None:
    application_id = any_world.application("active")
    merchant = any_world.merchant.organisation_id
    with any_world.by(any_world.operator) as unit:
        merchants.change_standing(unit, merchant, "suspend", "涉嫌违规")
    with pytest.raises(NotPermitted, match="suspended"), any_world.by(any_world.merchant) as unit:
        applications.require_live(unit, application_id)
    with pytest.raises(NotPermitted, match="suspended"):
        any_world.drafted()
    with any_world.by(any_world.operator) as unit:
        merchants.change_standing(unit, merchant, "resume", "查清")
    with any_world.by(any_world.merchant) as unit:
        assert applications.require_live(unit, application_id).state == "active"


def test_standing_takes_known_steps_of_known_merchants(any_world: World) -> None:
    any_world.admitted()
    with pytest.raises(BadInput), any_world.by(any_world.operator) as unit:
        merchants.change_standing(unit, any_world.merchant.organisation_id, "delete", "x")
    with pytest.raises(NotFound), any_world.by(any_world.operator) as unit:
        merchants.change_standing(unit, "org-nothere", "suspend", "x")


# -- catalogue


def test_resource_walks_to_the_catalogue(any_world: World) -> None:
    resource_id = any_world.published(name="门诊就诊")
    with any_world.by(any_world.stranger) as unit:
        assert [r.name for r in catalog.catalogue(unit)] == ["门诊就诊"]
    with any_world.system() as unit:
        columns = catalogue.columns(unit.session, resource_id)
    assert [(c.name, c.level, c.confirmed) for c in columns] == [
        ("身份证号", 3, True), ("区", 1, True), ("费用", 2, True)
    ]  # fmt: skip


def test_department_sees_its_own_resources_only(any_world: World) -> None:
    mine, other = any_world.delivered(), any_world.delivered(department=any_world.other_department)
    with any_world.by(any_world.department) as unit:
        assert [r.id for r in catalog.list_for(unit)] == [mine]
        with pytest.raises(OutOfReach):
            catalog.read(unit, other)
    with pytest.raises(OutOfReach), any_world.by(any_world.department) as unit:
        deliveries.deliver(unit, other, file_name="x.csv", sha256="0" * 64, size=1)


def test_same_bytes_are_not_taken_in_twice(any_world: World) -> None:
    resource_id = any_world.published()
    with any_world.system() as unit:
        known = catalogue.versions(unit.session, resource_id)[0].file_sha256
    with pytest.raises(Conflict, match=r"delivery\.repeated"), any_world.by(any_world.department) as unit:
        deliveries.deliver(unit, resource_id, file_name="x.csv", sha256=known, size=10)


def test_empty_and_oversized_files_leave_nothing(any_world: World) -> None:
    resource_id, inbox = any_world.published(), any_world.platform.settings.inbox
    with pytest.raises(BadInput), any_world.by(any_world.department) as unit:
        deliveries.deliver(unit, resource_id, file_name="x.csv", sha256="0" * 64, size=0)
    before = sorted(inbox.iterdir())
    with pytest.raises(LimitExceeded):
        deliveries.store_delivery(inbox, io.BytesIO(b"x" * 2000), 1000)
    assert sorted(inbox.iterdir()) == before


def test_bad_quality_is_not_published(any_world: World) -> None:
    for quality in ("block", "error"):
        resource_id = any_world.delivered()
        any_world.take_in(resource_id, quality=quality)
        with any_world.by(any_world.department) as unit:
            versions.confirm(unit, resource_id)
        with pytest.raises(InvalidTransition, match="below_threshold"), any_world.by(any_world.operator) as unit:
            versions.publish(unit, resource_id)


def test_simulated_data_that_failed_its_gates_is_not_published(any_world: World) -> None:
    resource_id = any_world.published()
    with pytest.raises(InvalidTransition), any_world.system() as unit:
        twins.record(unit, resource_id, None, any_world.made(unit, resource_id, outcome="block"))


def test_withdrawn_resource_leaves_the_catalogue(any_world: World) -> None:
    resource_id = any_world.published()
    with any_world.by(any_world.department) as unit:
        catalog.withdraw(unit, resource_id, "登记到期")
    with any_world.by(any_world.merchant) as unit:
        assert catalog.catalogue(unit) == []
    with pytest.raises(OutOfReach), any_world.by(any_world.merchant) as unit:
        catalog.entry(unit, resource_id)
