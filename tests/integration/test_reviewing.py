"""People: how many review and why, blind opinions, conflict, a third, early return, looks, planted cases, recalls."""

from __future__ import annotations

import json
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from policies.verdict import Finding, Outcome, RuleRun, Verdict
from sandbox.exports import canaries, drafting, listing, notices, reviewing, service
from sandbox.exports import repository as records
from sandbox.exports.release import verify
from sandbox.exports.review import Stakes
from sandbox.kernel import editions
from sandbox.kernel.errors import BadInput, Conflict, InvalidTransition, NotPermitted, OutOfReach
from sandbox.kernel.identity import Actor
from sandbox.products import repository as products
from sandbox.workspaces import quotas
from sandbox.workspaces import service as workspaces
from tests.factories import World, verdict

LOW = Stakes("aggregate", 2, False, 10.0)
LEAK = "区,人次\n示范区,1\n".encode()


def waiting(world: World, stakes: Stakes | None = LOW, outcome: Outcome = Outcome.PASS) -> str:
    """A request that waits for officers, with those stakes."""
    request_id = world.export("checking")
    with world.system() as unit:
        service.conclude_check(unit, request_id, verdict(outcome), stakes=stakes)
    return request_id


def opinion(world: World, who: Actor, request_id: str, decision: str, reason: str = "理由") -> str:
    with world.by(who) as unit:
        return reviewing.review(unit, request_id, decision, reason).state


def conflicting(world: World) -> str:
    request_id = waiting(world, None)
    opinion(world, world.officer, request_id, "approve", "甲的理由")
    assert opinion(world, world.second_officer, request_id, "reject", "乙的理由") == "discussion"
    return request_id


def seen(world: World, who: Actor, request_id: str) -> list[str]:
    with world.by(who) as unit:
        return sorted(o.reason for o in reviewing.opinions(unit, records.get(unit.session, request_id)))


def remarks(world: World, who: Actor, request_id: str) -> list[str]:
    with world.by(who) as unit:
        return sorted(c.text for c, _ in reviewing.comments(unit, records.get(unit.session, request_id)))


# -- how many


@pytest.mark.parametrize(
    ("stakes", "outcome", "count", "reasons"),
    [
        (LOW, Outcome.PASS, 1, ()),
        (Stakes("aggregate", 3, False, 10.0), Outcome.PASS, 2, ("level",)),
        (Stakes("record", 1, False, 10.0), Outcome.PASS, 2, ("form",)),
        (Stakes("aggregate", 1, True, 10.0), Outcome.PASS, 2, ("model",)),
        (LOW, Outcome.REVIEW, 2, ("flag",)),
        (Stakes("aggregate", 1, False, 50.0), Outcome.PASS, 1, ()),
        (Stakes("aggregate", 1, False, 50.1), Outcome.PASS, 2, ("volume",)),
        (Stakes("aggregate", None, False, 10.0), Outcome.PASS, 2, ("unknown",)),
        (None, Outcome.PASS, 2, ("unknown",)),
    ],
)
def test_two_officers_where_the_policy_says_so(
    world: World, stakes: Stakes | None, outcome: Outcome, count: int, reasons: tuple[str, ...]
) -> None:
    request_id = waiting(world, stakes, outcome)
    with world.by(world.officer) as unit:
        needed = reviewing.needed_for(unit, records.get(unit.session, request_id))
    assert (needed.count, needed.reasons) == (count, reasons)
    assert opinion(world, world.officer, request_id, "approve") == ("approved" if count == 1 else "second_review")


# -- who


def test_whoever_administered_the_workspace_does_not_review(world: World) -> None:
    """An account that was an operator's and froze this workspace, and later became an officer's."""
    request_id = waiting(world)
    with world.system() as unit:
        record = records.get(unit.session, request_id)
        workspace = products.get(unit.session, products.artefact(unit.session, record.artefact_id).run_id).workspace_id
    with world.by(world.merchant) as unit:
        asked = quotas.ask(unit, workspace, "cpu", 300, "需要更多").id
    with world.by(world.operator) as unit:
        workspaces.change(unit, workspace, "freeze", "查看")
        quotas.decide(unit, asked, "reject", "不需要")
        workspaces.change(unit, workspace, "unfreeze", "无事")
    promoted = Actor(world.operator.id, "转岗", world.officer.role, world.operator.organisation_id)
    with pytest.raises(NotPermitted, match="own_request"), world.by(promoted) as unit:
        reviewing.review(unit, request_id, "approve", "理由")
    assert opinion(world, world.officer, request_id, "approve") == "approved"


# -- blind, conflict, third


def test_opinions_and_remarks_are_blind_until_both_are_in(any_world: World) -> None:
    world, request_id = any_world, waiting(any_world, None)
    for who, words in ((world.officer, "甲：第 3 行可疑"), (world.second_officer, "乙：没有问题")):
        with world.by(who) as unit:
            reviewing.comment(unit, request_id, words, "officers")
            reviewing.vote(unit, request_id, records.get(unit.session, request_id).artefact_id, "approve")
    opinion(world, world.officer, request_id, "approve", "甲的理由")
    assert seen(world, world.officer, request_id) == ["甲的理由"]
    for who in (world.second_officer, world.third_officer, world.operator, world.merchant):
        assert seen(world, who, request_id) == []
        assert "甲：第 3 行可疑" not in remarks(world, who, request_id)
    assert seen(world, world.auditor, request_id) == ["甲的理由"]
    opinion(world, world.second_officer, request_id, "approve", "乙的理由")
    for who in (world.officer, world.second_officer, world.third_officer):
        assert seen(world, who, request_id) == ["乙的理由", "甲的理由"]
        assert remarks(world, who, request_id) == ["乙：没有问题", "甲：第 3 行可疑"]
    assert seen(world, world.merchant, request_id) == [] == remarks(world, world.merchant, request_id)


def test_what_is_written_to_the_author_reaches_the_author_when_the_round_is_over(world: World) -> None:
    request_id = waiting(world, None)
    with world.by(world.officer) as unit:
        reviewing.comment(unit, request_id, "请说明 8 月", "author")
        reviewing.comment(unit, request_id, "内部：可疑", "officers")
    assert remarks(world, world.merchant, request_id) == []
    with world.by(world.officer) as unit:
        reviewing.early_return(unit, request_id, "请补充")
    with world.by(world.merchant) as unit:
        assert [(c.text, name) for c, name in reviewing.comments(unit, records.get(unit.session, request_id))] == [
            ("请说明 8 月", None)
        ]
        reviewing.comment(unit, request_id, "8 月停诊", "officers")
    assert "8 月停诊" in remarks(world, world.officer, request_id)
    assert "内部：可疑" not in remarks(world, world.merchant, request_id)


def test_conflict_is_discussed_and_may_be_settled_by_the_two(world: World) -> None:
    request_id = conflicting(world)
    with pytest.raises(NotPermitted, match="same_reviewer"), world.by(world.third_officer) as unit:
        reviewing.review(unit, request_id, "approve")
    assert opinion(world, world.second_officer, request_id, "return", "再想想") == "discussion"
    assert opinion(world, world.second_officer, request_id, "approve", "被说服") == "approved"


@pytest.mark.parametrize(
    ("third", "ends"), [("approve", "approved"), ("reject", "rejected"), ("return", "returned")]
)
def test_a_third_officer_decides(world: World, third: str, ends: str) -> None:
    request_id = conflicting(world)
    with pytest.raises(NotPermitted), world.by(world.third_officer) as unit:
        reviewing.call_third(unit, request_id, "我来")
    with world.by(world.officer) as unit:
        assert reviewing.call_third(unit, request_id, "谈不拢").state == "third_review"
    for who in (world.officer, world.second_officer):
        with pytest.raises(NotPermitted, match="same_reviewer"), world.by(who) as unit:
            reviewing.review(unit, request_id, "approve")
    assert opinion(world, world.third_officer, request_id, third) == ends


def test_nothing_is_approved_while_a_file_is_to_be_changed(world: World) -> None:
    request_id = waiting(world)
    with world.by(world.officer) as unit:
        artefact = records.get(unit.session, request_id).artefact_id
        reviewing.vote(unit, request_id, artefact, "changes")
    with pytest.raises(BadInput, match=r"export\.votes"), world.by(world.officer) as unit:
        reviewing.review(unit, request_id, "approve")
    with pytest.raises(BadInput, match=r"export\.vote"), world.by(world.officer) as unit:
        reviewing.vote(unit, request_id, "art-elsewhere", "approve")


def test_early_return_and_resubmission_reset_votes_and_opinions(any_world: World) -> None:
    world, request_id = any_world, waiting(any_world, None)
    with world.by(world.officer) as unit:
        reviewing.vote(unit, request_id, records.get(unit.session, request_id).artefact_id, "approve")
    opinion(world, world.officer, request_id, "approve")
    with world.by(world.second_officer) as unit:
        reviewing.early_return(unit, request_id, "标题不清")
    with world.by(world.merchant) as unit:
        drafting.revise(unit, request_id, title="门诊量（按区）")
        service.submit(unit, request_id)
    with world.system() as unit:
        service.begin_check(unit, request_id)
        service.conclude_check(unit, request_id, verdict())
    with world.by(world.officer) as unit:
        record = records.get(unit.session, request_id)
        assert reviewing.own_votes(unit, record) == {} and reviewing.progress(unit, record) == (0, 2)
    assert opinion(world, world.second_officer, request_id, "approve") == "second_review"


def test_two_officers_at_once_are_two_opinions_and_one_outcome(any_world: World) -> None:
    world = any_world
    request_id = waiting(world, None)
    people = [world.officer, world.second_officer]
    with ThreadPoolExecutor(2) as pool:
        states = list(pool.map(lambda who: opinion(world, who, request_id, "approve"), people))
    assert sorted(states) == ["approved", "second_review"] and world.export_state(request_id) == "approved"
    with world.system() as unit:
        assert len(records.reviews(unit.session, request_id, 1)) == 2


# -- looks


def test_a_look_at_unmasked_content_needs_a_reason_ends_by_itself_and_is_on_record(world: World) -> None:
    request_id = waiting(world)
    with pytest.raises(BadInput), world.by(world.officer) as unit:
        reviewing.look(unit, request_id, "  ")
    with pytest.raises(NotPermitted), world.by(world.merchant) as unit:
        reviewing.look(unit, request_id, "想看")
    with world.by(world.officer) as unit:
        reviewing.look(unit, request_id, "核对第 3 行")
    record = records.get
    with world.by(world.officer) as unit:
        assert reviewing.looking_until(unit, record(unit.session, request_id))
    with world.by(world.second_officer) as unit:
        assert reviewing.looking_until(unit, record(unit.session, request_id)) is None
    world.advance(minutes=31)
    with world.by(world.officer) as unit:
        assert reviewing.looking_until(unit, record(unit.session, request_id)) is None
    assert [e.facts["reason"] for e in world.events("export:look")] == ["核对第 3 行"]


# -- a policy activated in mid-review


def found(world: World, *rules: str) -> Verdict:
    with world.system() as unit:
        edition = editions.in_force(unit, "export")
    findings = [Finding(r, Outcome.REVIEW, "a.csv", 1, 0, verdict_text, verdict_text, None) for r in rules]
    runs = [RuleRun(r, Outcome.REVIEW, 1, 0) for r in rules] or [RuleRun("EXP-CELL-01", Outcome.PASS, 12, 10)]
    return Verdict.conclude("export", edition.edition, edition.digest, runs, findings)


verdict_text = REASON = drafting.CONTEXT["purpose"]


def test_nothing_leaves_on_a_verdict_of_an_edition_that_is_no_longer_in_force(any_world: World) -> None:
    world, request_id = any_world, any_world.export("approved")
    world.rules("export", "2026-02", two_from_level=1)
    with pytest.raises(InvalidTransition, match="edition_changed"):
        world.release(request_id)
    world.release(request_id, last=found(world))
    assert world.export_state(request_id) == "released"


def test_what_no_reviewer_had_before_them_sends_an_approved_request_back(world: World) -> None:
    request_id = world.export("approved")
    last = found(world, "EXP-ZERO-01")
    with pytest.raises(InvalidTransition, match="reopens"):
        world.release(request_id, last=last)
    with world.system() as unit:
        assert service.reopens(unit, request_id, last) == ["EXP-ZERO-01"]
        service.reopen(unit, request_id, last, ["EXP-ZERO-01"])
    assert opinion(world, world.officer, request_id, "approve") == "second_review"
    assert opinion(world, world.second_officer, request_id, "approve") == "approved"
    world.release(request_id, last=last)


def test_an_edition_that_asks_for_more_officers_reopens_what_one_approved(world: World) -> None:
    request_id = waiting(world)
    assert opinion(world, world.officer, request_id, "approve") == "approved"
    world.rules("export", "2026-02", two_from_level=1)
    last = found(world)
    with world.system() as unit:
        assert service.reopens(unit, request_id, last) == ["signers"]
    with pytest.raises(InvalidTransition):
        world.release(request_id, last=last)


# -- planted cases


def planted(world: World) -> str:
    like = world.export("in_review")
    with world.by(world.operator) as unit:
        leak = canaries.Leak("CEL-07", "EXP-CELL-01", "visits.csv", LEAK)
        return canaries.plant(unit, leak, like=like, verdict=verdict(), stakes=LOW).id


def test_a_planted_case_stands_in_the_queue_and_ends_without_a_release(any_world: World) -> None:
    world, request_id = any_world, planted(any_world)
    with world.by(world.officer) as unit:
        assert request_id in {r.id for r in reviewing.queue(unit)}
    assert opinion(world, world.officer, request_id, "approve") == "measured"
    assert not world.events("release:notice")
    with world.system() as unit:
        assert not unit.session.execute(text("SELECT kind FROM job WHERE kind = 'release'")).all()


def test_officers_see_what_a_planted_case_holds_as_of_any_other(world: World) -> None:
    request_id = planted(world)
    with world.by(world.officer) as unit:
        shown = service.sight_of(unit, service.read(unit, request_id))
    assert shown is not None and [t["place"] for t in shown["tables"]] == ["visits.csv"] and shown["tables"][0]["rows"]


def test_a_planted_case_is_never_released_by_the_table_nor_by_the_database(any_world: World) -> None:
    world, request_id = any_world, planted(any_world)
    with pytest.raises(InvalidTransition):
        world.release(request_id)
    with world.system() as unit:
        unit.session.execute(text("UPDATE export_request SET state = 'approved' WHERE id = :i"), {"i": request_id})
    with pytest.raises(InvalidTransition):
        world.release(request_id)
    for state in ("released", "expired", "recalled"):
        with pytest.raises(IntegrityError), world.platform.database.transaction() as session:
            session.execute(text("UPDATE export_request SET state = :s WHERE id = :i"), {"s": state, "i": request_id})


def test_the_merchant_whose_name_it_carries_never_sees_a_planted_case(world: World) -> None:
    request_id = planted(world)
    with pytest.raises(OutOfReach), world.by(world.merchant) as unit:
        service.read(unit, request_id)
    with world.by(world.merchant) as unit:
        assert request_id not in {r.id for r in service.list_for(unit)}
    with pytest.raises(NotPermitted), world.by(world.officer) as unit:
        reviewing.catches(unit)


def test_catches_are_counted_for_each_officer(world: World) -> None:
    missed, caught = planted(world), planted(world)
    opinion(world, world.officer, missed, "approve")
    opinion(world, world.second_officer, caught, "reject", "小单元")
    with world.by(world.auditor) as unit:
        report = reviewing.catches(unit)
    assert (report["planted"], report["over"], report["caught"]) == (2, 2, 1)
    assert sorted((o["cases"], o["caught"]) for o in report["officers"]) == [(1, 0), (1, 1)]


# -- departments


def test_departments_are_told_of_releases_that_touch_their_data_and_of_no_others(world: World) -> None:
    request_id = world.export("released")
    with world.by(world.department) as unit:
        (notice, record, _), = notices.inbox(unit)
        assert (record.id, notice.kind) == (request_id, "released") and len(notice.resources) == 1
        assert notices.unread(unit) == 1
        notices.seen(unit)
    with world.by(world.colleague) as unit:
        assert notices.unread(unit) == 0
    with world.by(world.other_department) as unit:
        assert notices.inbox(unit) == []
    with pytest.raises(OutOfReach), world.by(world.other_department) as unit:
        notices.ask_recall(unit, request_id, "不是我的")


@pytest.mark.parametrize("who", ["operator", "officer"])
def test_a_recall_a_department_asks_for_is_decided_with_a_reason_told_and_published(any_world: World, who: str) -> None:
    world, request_id = any_world, any_world.export("released")
    with pytest.raises(BadInput), world.by(world.department) as unit:
        notices.ask_recall(unit, request_id, " ")
    with world.by(world.department) as unit:
        asked = notices.ask_recall(unit, request_id, "源数据有误").id
    with pytest.raises(Conflict), world.by(world.department) as unit:
        notices.ask_recall(unit, request_id, "再说一次")
    with pytest.raises(NotPermitted), world.by(world.department) as unit:
        notices.decide_recall(unit, asked, "grant", "我自己同意")
    with pytest.raises(BadInput), world.by(world.people[who]) as unit:
        notices.decide_recall(unit, asked, "grant", " ")
    with world.by(world.people[who]) as unit:
        notices.decide_recall(unit, asked, "grant", "属实")
    assert world.export_state(request_id) == "recalled"
    with pytest.raises(InvalidTransition), world.by(world.merchant) as unit:
        service.download(unit, request_id)
    with world.by(world.merchant) as unit:
        assert [n.kind for n, _, _ in notices.inbox(unit)] == ["recalled"]
        assert [r["title"] for r in notices.recalled(unit)] == ["门诊量"]
    assert world.events("recall:grant") and world.events("export:recall")[-1].facts["reason"] == "属实"


def test_a_refused_recall_leaves_the_release(world: World) -> None:
    request_id = world.export("released")
    with world.by(world.department) as unit:
        asked = notices.ask_recall(unit, request_id, "想看看").id
    with world.by(world.officer) as unit:
        assert notices.decide_recall(unit, asked, "refuse", "依据不足").answer == "依据不足"
    assert world.export_state(request_id) == "released"
    with world.by(world.department) as unit:
        assert [r.state for r in notices.recall_requests(unit)] == ["refused"]


def test_the_queue_has_the_nearest_deadline_first_then_the_riskiest(world: World) -> None:
    plain, risky = waiting(world), waiting(world, Stakes("record", 4, False, 90.0), Outcome.REVIEW)
    world.advance(days=1)
    later = waiting(world, Stakes("record", 4, False, 90.0))
    with world.by(world.officer) as unit:
        assert [r.id for r in reviewing.queue(unit)] == [risky, plain, later]


def test_the_listing_package_is_signed_names_its_sources_and_ends_with_a_recall(world: World, tmp_path: Path) -> None:
    request_id = world.export("released")
    with world.by(world.merchant) as unit:
        made = listing.package(unit, request_id)
        key = unit.platform.signing_key.public_pem
    path = tmp_path / "listing.zip"
    path.write_bytes(made)
    assert verify(path, key) == []
    with zipfile.ZipFile(path) as box:
        facts, sheet = json.loads(box.read(listing.REGISTRATION)), box.read(listing.SHEET).decode()
    assert facts["来源"][0]["数源部门"] == "示范市卫生局" and facts["提供方"]["名称"] == "示范数科"
    assert facts["合规"]["复核人数"] == 2 and facts["待补充"] == list(listing.OPEN) and sheet.startswith("# 门诊量")
    with pytest.raises(OutOfReach), world.by(world.stranger) as unit:
        listing.package(unit, request_id)
    with world.by(world.officer) as unit:
        service.recall(unit, request_id, "发现问题")
    with pytest.raises(InvalidTransition, match="not_released"), world.by(world.merchant) as unit:
        listing.package(unit, request_id)
