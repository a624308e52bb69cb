"""Workspaces, runs, exports and public reports on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from pipelines import upkeep
from policies.verdict import Outcome
from sandbox.exports import drafting, reviewing, service
from sandbox.exports import repository as records
from sandbox.kernel.audit import AuditEvent
from sandbox.kernel.clock import city_date
from sandbox.kernel.errors import (
    BadInput,
    Conflict,
    InvalidTransition,
    LimitExceeded,
    NotPermitted,
    OutOfReach,
    Unavailable,
)
from sandbox.kernel.identity import Actor, Role
from sandbox.merchants import service as merchants
from sandbox.products import repository as product_records
from sandbox.products import service as products
from sandbox.reporting import service as reporting
from sandbox.workspaces import service as workspaces
from sandbox.workspaces import tiers
from tests.factories import CONTEXT, World, verdict

# -- workspaces and runs


def test_application_has_one_workspace(any_world: World) -> None:
    application_id = any_world.application("active")
    any_world.workspace(application_id)
    with pytest.raises(Conflict):
        any_world.workspace(application_id)


def test_workspace_needs_live_grants(any_world: World) -> None:
    application_id = any_world.application("agreement_signed")
    with pytest.raises(NotPermitted, match="not_active"):
        any_world.workspace(application_id)


def test_workspace_is_used_by_its_own_merchant_only(any_world: World) -> None:
    workspace_id = any_world.workspace()
    with any_world.by(any_world.merchant) as unit:
        assert workspaces.require_usable(unit, workspace_id, "workspace:query").id == workspace_id
    with pytest.raises(OutOfReach), any_world.by(any_world.stranger) as unit:
        workspaces.require_usable(unit, workspace_id, "workspace:query")
    for who in (any_world.operator, any_world.officer, any_world.department, any_world.auditor):
        with pytest.raises(NotPermitted), any_world.by(who) as unit:
            workspaces.require_usable(unit, workspace_id, "workspace:query")


def test_frozen_workspace_and_expired_grants_stop_the_next_statement(any_world: World) -> None:
    workspace_id = any_world.workspace()
    with any_world.by(any_world.operator) as unit:
        workspaces.change(unit, workspace_id, "freeze", "疑似违规")
    with pytest.raises(InvalidTransition), any_world.by(any_world.merchant) as unit:
        workspaces.require_usable(unit, workspace_id, "workspace:query")
    with any_world.by(any_world.operator) as unit:
        workspaces.change(unit, workspace_id, "unfreeze", "查清")
    any_world.advance(days=400)
    with pytest.raises(NotPermitted), any_world.by(any_world.merchant) as unit:
        workspaces.require_usable(unit, workspace_id, "workspace:query")


def test_unknown_step_of_a_workspace_is_wrong_input(any_world: World) -> None:
    workspace_id = any_world.workspace()
    with pytest.raises(BadInput), any_world.by(any_world.operator) as unit:
        workspaces.change(unit, workspace_id, "explode", "x")


def test_run_of_another_scenarios_grant_is_refused(any_world: World) -> None:
    """A grant for scenario A does not exist in the workspace of scenario B of the same merchant."""
    foreign = any_world.grants(any_world.application("active"))[0]
    workspace_id = any_world.workspace(any_world.application("active"))
    with pytest.raises(BadInput, match=r"run\.grant"), any_world.by(any_world.merchant) as unit:
        products.start_run(unit, workspace_id, any_world.spec(foreign))


def test_run_on_a_weak_tier_is_refused_until_an_operator_decides(any_world: World) -> None:
    workspace_id = any_world.workspace()
    with any_world.system() as unit:
        tiers.record(unit, {"tier": tiers.MEDIUM, "attacks": []})
    with pytest.raises(Unavailable):
        any_world.requested_run(workspace_id)
    with any_world.by(any_world.operator) as unit:
        tiers.decide(unit, tiers.MEDIUM, "内网主机，已加固")
    any_world.requested_run(workspace_id)


def test_run_ends_once(any_world: World) -> None:
    run_id = any_world.requested_run()
    with any_world.system() as unit:
        products.fail(unit, run_id, {"state": "failed", "error": "memory"})
    with pytest.raises(InvalidTransition), any_world.system() as unit:
        products.fail(unit, run_id, {"state": "failed"})
    with pytest.raises(NotPermitted), any_world.by(any_world.merchant) as unit:
        products.fail(unit, run_id, {"state": "failed"})


def test_artefact_is_its_merchants(any_world: World) -> None:
    artefact_id = any_world.artefact()
    with pytest.raises(OutOfReach), any_world.by(any_world.stranger) as unit:
        products.read_artefact(unit, artefact_id)
    with pytest.raises(OutOfReach), any_world.by(any_world.stranger) as unit:
        drafting.draft(unit, artefact_id=artefact_id, title="t", remark="", audience="public", context=CONTEXT)


# -- exports


def artefact_file(world: World, request_id: str) -> Path:
    with world.system() as unit:
        record = records.get(unit.session, request_id)
        return service.artefact_path(unit, product_records.artefact(unit.session, record.artefact_id).sha256)


def test_author_cannot_review_own_export(any_world: World) -> None:
    request_id = any_world.export("in_review")
    as_officer = Actor(any_world.merchant.id, "作者", Role.COMPLIANCE, "org-elsewhere")
    for decision in ("approve", "return", "reject"):
        with pytest.raises(NotPermitted, match="own_request"), any_world.by(as_officer) as unit:
            reviewing.review(unit, request_id, decision, "理由")
        with pytest.raises(NotPermitted), any_world.by(any_world.merchant) as unit:
            reviewing.review(unit, request_id, decision, "理由")


def test_officer_of_the_authors_organisation_cannot_review(any_world: World) -> None:
    request_id = any_world.export("in_review")
    colleague = Actor("acc-colleague", "同事", Role.COMPLIANCE, any_world.merchant.organisation_id)
    with pytest.raises(NotPermitted, match="own_request"), any_world.by(colleague) as unit:
        reviewing.review(unit, request_id, "approve", "理由")


def test_same_officer_cannot_review_twice(any_world: World) -> None:
    request_id = any_world.export("second_review")
    for decision in ("approve", "return", "reject"):
        with pytest.raises(NotPermitted, match="same_reviewer"), any_world.by(any_world.officer) as unit:
            reviewing.review(unit, request_id, decision, "理由")
    with any_world.by(any_world.second_officer) as unit:
        assert reviewing.review(unit, request_id, "approve").state == "approved"


def test_after_a_return_the_same_officers_may_review_the_new_round(any_world: World) -> None:
    request_id = any_world.export("second_review")
    with any_world.by(any_world.second_officer) as unit:
        reviewing.early_return(unit, request_id, "标题不清")
    with any_world.by(any_world.merchant) as unit:
        drafting.revise(unit, request_id, title="门诊量（按区）")
        service.submit(unit, request_id)
    with any_world.system() as unit:
        service.begin_check(unit, request_id)
        service.conclude_check(unit, request_id, verdict())
    with any_world.by(any_world.officer) as unit:
        assert reviewing.review(unit, request_id, "approve").state == "second_review"


@pytest.mark.parametrize("outcome", [Outcome.BLOCK, Outcome.ERROR])
def test_nobody_overrides_a_block(any_world: World, outcome: Outcome) -> None:
    request_id = any_world.export("blocked", outcome=outcome)
    with pytest.raises(InvalidTransition), any_world.by(any_world.officer) as unit:
        reviewing.review(unit, request_id, "approve", "理由")
    with pytest.raises(InvalidTransition):
        any_world.release(request_id)


@pytest.mark.parametrize("state", ["in_review", "second_review", "approved"])
def test_one_changed_byte_voids_what_was_approved(any_world: World, state: str) -> None:
    request_id = any_world.export(state)
    path = artefact_file(any_world, request_id)
    path.write_bytes(path.read_bytes().replace(b"1", b"2", 1) + b" ")
    step = {
        "in_review": lambda u: reviewing.review(u, request_id, "approve"),
        "second_review": lambda u: reviewing.review(u, request_id, "approve"),
    }
    with pytest.raises(InvalidTransition, match="bytes_changed"):
        if state == "approved":
            any_world.release(request_id)
        else:
            with any_world.by(any_world.second_officer) as unit:
                step[state](unit)


def test_vanished_bytes_are_changed_bytes(any_world: World) -> None:
    request_id = any_world.export("approved")
    artefact_file(any_world, request_id).unlink()
    with pytest.raises(InvalidTransition, match="bytes_changed"):
        any_world.release(request_id)


def test_damaged_artefact_cannot_be_submitted(any_world: World) -> None:
    request_id = any_world.export("draft")
    artefact_file(any_world, request_id).write_bytes(b"something else")
    with pytest.raises(InvalidTransition, match="artefact_damaged"), any_world.by(any_world.merchant) as unit:
        service.submit(unit, request_id)


def test_audience_is_the_approved_one(any_world: World) -> None:
    artefact_id = any_world.artefact()
    with pytest.raises(BadInput, match="audience"), any_world.by(any_world.merchant) as unit:
        drafting.draft(unit, artefact_id=artefact_id, title="t", remark="", audience="contract", context=CONTEXT)


def test_revision_cannot_slip_in_another_applications_product(any_world: World) -> None:
    request_id = any_world.export("blocked", outcome=Outcome.BLOCK)
    other = any_world.artefact()
    with pytest.raises(BadInput), any_world.by(any_world.merchant) as unit:
        drafting.revise(unit, request_id, artefact_id=other)


def test_export_review_never_lapses(any_world: World) -> None:
    first, second = any_world.export("in_review"), any_world.export("second_review")
    any_world.advance(days=200)
    upkeep.run(any_world.platform)
    assert (any_world.export_state(first), any_world.export_state(second)) == ("in_review", "second_review")


def test_draft_export_is_its_authors_alone(any_world: World) -> None:
    request_id = any_world.export("draft")
    for who in (any_world.officer, any_world.operator, any_world.auditor, any_world.stranger):
        with pytest.raises(OutOfReach), any_world.by(who) as unit:
            service.read(unit, request_id)


# -- releases


def test_recall_stops_further_downloads_and_is_on_record(any_world: World) -> None:
    request_id = any_world.export("released")
    with any_world.by(any_world.merchant) as unit:
        assert service.download(unit, request_id).read_bytes().startswith(b"package")
    with any_world.by(any_world.officer) as unit:
        service.recall(unit, request_id, "发现小单元")
    with pytest.raises(InvalidTransition, match="not_available"), any_world.by(any_world.merchant) as unit:
        service.download(unit, request_id)
    assert any_world.events("export:recall")[-1].facts["reason"] == "发现小单元"


def test_downloads_are_counted_and_limited(any_world: World) -> None:
    request_id = any_world.export("released")
    for _ in range(3):
        with any_world.by(any_world.merchant) as unit:
            service.download(unit, request_id)
    with pytest.raises(LimitExceeded), any_world.by(any_world.merchant) as unit:
        service.download(unit, request_id)
    with any_world.by(any_world.officer) as unit:
        service.download(unit, request_id)
    assert [e.facts["count"] for e in any_world.events("release:download")] == [1, 2, 3, 3]


def test_a_suspended_merchant_downloads_nothing(world: World) -> None:
    request_id = world.export("released")
    with world.by(world.operator) as unit:
        merchants.change_standing(unit, world.merchant.organisation_id, "suspend", "违规")
    with pytest.raises(NotPermitted, match=r"merchant\.suspended"), world.by(world.merchant) as unit:
        service.download(unit, request_id)


def test_simultaneous_downloads_cannot_pass_the_limit(any_world: World) -> None:
    request_id = any_world.export("released")

    def fetch(_: int) -> bool:
        try:
            with any_world.by(any_world.merchant) as unit:
                service.download(unit, request_id)
        except LimitExceeded:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(fetch, range(12))) == 3


def test_nobody_else_downloads(any_world: World) -> None:
    request_id = any_world.export("released")
    with pytest.raises(OutOfReach), any_world.by(any_world.stranger) as unit:
        service.download(unit, request_id)
    for who in (any_world.operator, any_world.department, any_world.auditor):
        with pytest.raises(NotPermitted), any_world.by(who) as unit:
            service.download(unit, request_id)


def test_release_expires_by_its_date(any_world: World) -> None:
    request_id = any_world.export("released")
    any_world.advance(days=30)
    with pytest.raises(InvalidTransition, match="expired"), any_world.by(any_world.merchant) as unit:
        service.download(unit, request_id)
    assert upkeep.run(any_world.platform).releases_expired == [request_id]
    assert upkeep.run(any_world.platform).releases_expired == []
    assert any_world.export_state(request_id) == "expired"


# -- reports


def test_reported_figures_equal_a_recount_of_the_log(any_world: World) -> None:
    any_world.export("released")
    any_world.export("blocked", outcome=Outcome.BLOCK)
    any_world.advance(days=1)
    any_world.published()
    start, end = date(2026, 3, 1), date(2026, 3, 2)
    with any_world.by(any_world.operator) as unit:
        report = reporting.publish(unit, start, end)
    with any_world.system() as unit:
        log = unit.session.scalars(select(AuditEvent).where(AuditEvent.seq <= report.audit_seq)).all()
    recount = {
        key: sum(e.event == event and start <= city_date(e.at) <= end for e in log)
        for key, (event, _) in reporting.FIGURES.items()
    }
    assert report.figures == recount
    assert (recount["exports_released"], recount["exports_blocked"], recount["resources_published"]) == (1, 1, 2)


def test_report_counts_city_days(any_world: World) -> None:
    any_world.advance(hours=14, minutes=59)  # 23:59 on Monday in the city
    any_world.published()
    any_world.advance(minutes=1)
    any_world.published()
    with any_world.system() as unit:
        monday = reporting.count(unit.session, date(2026, 3, 2), date(2026, 3, 2))
        tuesday = reporting.count(unit.session, date(2026, 3, 3), date(2026, 3, 3))
    assert (monday["resources_published"], tuesday["resources_published"]) == (1, 1)


def test_every_reported_event_is_one_that_the_platform_writes() -> None:
    from tests.lifecycles import LIFECYCLES

    written = {f"{lifecycle.noun}:{t.name}" for lifecycle in LIFECYCLES for t in lifecycle.transitions}
    written |= {"simulated:publish", "access:refused"}
    assert {event for event, _ in reporting.FIGURES.values()} <= written


def test_only_the_operator_publishes_and_everybody_reads(any_world: World) -> None:
    for who in (any_world.merchant, any_world.department, any_world.officer, any_world.auditor):
        with pytest.raises(NotPermitted), any_world.by(who) as unit:
            reporting.publish(unit, date(2026, 1, 1), date(2026, 3, 1))
    with pytest.raises(BadInput), any_world.by(any_world.operator) as unit:
        reporting.publish(unit, date(2026, 3, 2), date(2026, 3, 1))
    with any_world.by(any_world.operator) as unit:
        report = reporting.publish(unit, date(2026, 1, 1), date(2026, 3, 31))
    with any_world.system() as unit:
        assert [r.sha256 for r in reporting.published(unit.session)] == [report.sha256]
    assert report.published_at - timedelta(0) == any_world.platform.clock.now()
