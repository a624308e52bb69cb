"""Several files in one act: shared words, one machine job, votes and opinions per file, and what counts per group."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from policies.verdict import Finding, Outcome, RuleRun, Verdict
from sandbox.exports import drafting, groups, reviewing, service, volume
from sandbox.exports import repository as records
from sandbox.exports.drafting import Asked
from sandbox.exports.groups import Opinion
from sandbox.exports.repository import ExportRequest
from sandbox.exports.review import Stakes
from sandbox.exports.service import Basis
from sandbox.kernel import clocks, jobs
from sandbox.kernel.errors import BadInput, InvalidTransition, NotPermitted, OutOfReach
from sandbox.kernel.identity import Actor, Role
from sandbox.products import repository as products
from sandbox.workspaces import service as workspaces
from tests.factories import CONTEXT, World, verdict
from tests.integration.test_queue import WORD, look_at

LOW = Stakes("aggregate", 2, False, 10.0)
SEVERAL = Stakes("record", 2, False, 10.0)


def drafted(world: World, count: int = 3, workspace_id: str = "") -> tuple[str, list[str]]:
    """A group of drafts in one workspace: its id, and those of its requests."""
    place = workspace_id or world.workspace()
    files = [Asked(world.artefact(place), f"门诊量{n}", "按区") for n in range(count)]
    with world.by(world.merchant) as unit:
        made = drafting.draft_together(unit, files, audience="public", context=CONTEXT)
        return made[0].group_id, [r.id for r in made]


def checked(
    world: World, ids: Sequence[str], said: Verdict | None = None, stakes: Stakes = LOW, beside: Sequence[str] = ()
) -> None:  # fmt: skip
    """The machine is through with those of them that wait for it."""
    with world.system() as unit:
        for one in service.begin_checks(unit, ids):
            basis = Basis("0" * 64, beside=tuple(sorted(set(beside) - {one})))
            service.conclude_check(unit, one, said or verdict(), basis, stakes)


def waiting(world: World, count: int = 3, stakes: Stakes = LOW, *, tied: bool = False) -> tuple[str, list[str]]:
    """A group that waits for officers, each file opened by the first two of them. `tied`: compared with each other."""
    group_id, ids = drafted(world, count)
    with world.by(world.merchant) as unit:
        groups.submit(unit, group_id)
    checked(world, ids, stakes=stakes, beside=ids if tied else ())
    for who in (world.officer, world.second_officer):
        for one in ids:
            look_at(world, who, one)
    return group_id, ids


def decided(world: World, who: Actor, group_id: str, ids: Sequence[str], decision: str = "approve") -> list[str]:
    with world.by(who) as unit:
        return [r.state for r in groups.decide(unit, group_id, {one: Opinion(decision) for one in ids}, "逐件核对")]


def states(world: World, ids: Sequence[str]) -> list[str]:
    return [world.export_state(one) for one in ids]


def record(world: World, request_id: str) -> ExportRequest:
    with world.system() as unit:
        return records.get(unit.session, request_id)


# -- asking


def test_files_of_one_act_share_their_words_and_keep_their_own_titles_bytes_and_states(any_world: World) -> None:
    group_id, ids = drafted(any_world)
    found = [record(any_world, one) for one in ids]
    assert {r.group_id for r in found} == {group_id} and [r.number for r in found] == [1, 2, 3]
    assert [r.title for r in found] == ["门诊量0", "门诊量1", "门诊量2"] and all(r.context == CONTEXT for r in found)
    with any_world.by(any_world.merchant) as unit:
        groups.submit(unit, group_id)
    (job,) = [j for j in _jobs(any_world, ids) if j.kind == "check_export"]
    assert job.payload["requests"] == ids, "one job for all: each is judged beside the others"
    assert len({str(record(any_world, one).frozen) for one in ids}) == 3
    assert states(any_world, ids) == ["frozen"] * 3


def _jobs(world: World, ids: Sequence[str]) -> list[jobs.Job]:
    with world.system() as unit:
        return [job for one in ids for job in jobs.of_subject(unit.session, "export", one)]


def test_a_group_is_of_one_application_without_repeats_and_of_a_bounded_number(world: World) -> None:
    place = world.workspace()
    own, other = world.artefact(place), world.artefact()
    for ids, code in (
        ([], "files"), ([own, own], "files"), ([own] * (drafting.MOST + 1), "files"), ([own, other], "applications"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match=rf"export\.{code}"), world.by(world.merchant) as unit:
            files = [Asked(one, "标题", "") for one in ids]
            drafting.draft_together(unit, files, audience="public", context=CONTEXT)
    with pytest.raises(BadInput, match=r"export\.context"), world.by(world.merchant) as unit:
        drafting.draft_together(unit, [Asked(own, "标题", "")], audience="public", context={"purpose": "用"})
    with pytest.raises(OutOfReach), world.by(world.stranger) as unit:
        drafting.draft_together(unit, [Asked(own, "标题", "")], audience="public", context=CONTEXT)


def test_a_group_is_seen_by_whoever_may_see_one_of_its_files(world: World) -> None:
    group_id, ids = drafted(world)
    for who in (world.officer, world.operator, world.stranger):
        with pytest.raises(OutOfReach), world.by(who) as unit:
            groups.read(unit, group_id)
    with world.by(world.merchant) as unit:
        service.submit(unit, ids[1])
        assert [r.id for r in groups.read(unit, group_id)] == ids
    with world.by(world.officer) as unit:
        assert [r.id for r in groups.read(unit, group_id)] == [ids[1]], "drafts are their author's alone"


def test_withdrawing_takes_back_what_can_be_taken_back(any_world: World) -> None:
    group_id, ids = waiting(any_world)
    decided(any_world, any_world.officer, group_id, ids[:1])
    with any_world.by(any_world.merchant) as unit:
        groups.withdraw(unit, group_id)
    assert states(any_world, ids) == ["approved", "withdrawn", "withdrawn"]
    with pytest.raises(InvalidTransition, match=r"group\.state"), any_world.by(any_world.merchant) as unit:
        groups.withdraw(unit, group_id)


# -- opinions


def test_one_act_may_approve_one_file_return_another_and_leave_a_third(any_world: World) -> None:
    group_id, ids = waiting(any_world)
    with any_world.by(any_world.officer) as unit:
        said = {ids[0]: Opinion("approve"), ids[1]: Opinion("return", "请说明口径")}
        groups.decide(unit, group_id, said, "逐件核对")
    assert states(any_world, ids) == ["approved", "returned", "in_review"]
    with any_world.system() as unit:
        assert [[r.reason for r in records.reviews(unit.session, one)] for one in ids] == [
            ["逐件核对"], ["请说明口径"], []
        ]  # fmt: skip
    assert [j.subject_id for j in _jobs(any_world, ids) if j.kind == "release"] == [ids[0]], "each leaves by itself"


def test_all_or_none_of_an_act_and_only_of_the_groups_files(world: World) -> None:
    group_id, ids = waiting(world)
    _, others = waiting(world, 1)
    for wrong in ([], [*ids, others[0]], [ids[0], "exp-none"]):
        with pytest.raises(BadInput, match=r"group\.files"):
            decided(world, world.officer, group_id, wrong)
    with pytest.raises(NotPermitted):
        decided(world, world.merchant, group_id, ids)
    with pytest.raises(InvalidTransition, match=r"group\.unseen"):
        decided(world, world.third_officer, group_id, ids)
    assert states(world, ids) == ["in_review"] * 3


def test_what_the_machine_left_to_people_is_approved_with_words_of_its_own(world: World) -> None:
    group_id, ids = drafted(world, 2)
    with world.by(world.merchant) as unit:
        groups.submit(unit, group_id)
    said = verdict()
    finding = Finding("EXP-PII-01", Outcome.REVIEW, "a.csv#column=1", 1, 0, WORD, WORD, None)
    flagged = Verdict.conclude("export", said.edition, said.digest, [RuleRun("EXP-PII-01", Outcome.REVIEW, 1, 0)],
                               [finding])  # fmt: skip
    with world.system() as unit:
        for one, what in zip(service.begin_checks(unit, ids), (verdict(), flagged), strict=True):
            service.conclude_check(unit, one, what, stakes=LOW)
    for one in ids:
        look_at(world, world.officer, one)
    with pytest.raises(BadInput, match=r"group\.flagged"):
        decided(world, world.officer, group_id, ids)
    with world.by(world.officer) as unit:
        own = {ids[0]: Opinion("approve"), ids[1]: Opinion("approve", "编号是门诊序号，与人无关")}
        assert [r.state for r in groups.decide(unit, group_id, own, "逐件核对")] == ["second_review"] * 2


def test_votes_of_an_act_stand_per_file_and_keep_an_approval_back(world: World) -> None:
    group_id, ids = waiting(world)
    with world.by(world.officer) as unit:
        groups.vote(unit, group_id, {ids[0]: "approve", ids[1]: "changes"})
        assert [reviewing.own_votes(unit, records.get(unit.session, one)) for one in ids][2] == {}
    with pytest.raises(BadInput, match=r"export\.votes"):
        decided(world, world.officer, group_id, ids[:2])
    assert decided(world, world.officer, group_id, [ids[0]]) == ["approved"]
    with pytest.raises(BadInput, match=r"group\.files"), world.by(world.officer) as unit:
        groups.vote(unit, group_id, {"exp-none": "approve"})


def test_an_early_return_sends_back_chosen_files_or_all(any_world: World) -> None:
    group_id, ids = waiting(any_world, 3, SEVERAL)
    decided(any_world, any_world.officer, group_id, ids)
    with any_world.by(any_world.second_officer) as unit:
        groups.early_return(unit, group_id, ids[:1], "口径不清")
    assert states(any_world, ids) == ["returned", "second_review", "second_review"]
    with any_world.by(any_world.second_officer) as unit:
        groups.early_return(unit, group_id, (), "整组口径不清")
    assert states(any_world, ids) == ["returned"] * 3
    assert [e.facts["reason"] for e in any_world.events("export:return")] == ["口径不清"] + ["整组口径不清"] * 2


# -- what counts per group


def test_what_one_file_asks_for_all_of_them_need(any_world: World) -> None:
    group_id, ids = drafted(any_world)
    with any_world.by(any_world.merchant) as unit:
        groups.submit(unit, group_id)
    with any_world.system() as unit:
        for one, stakes in zip(service.begin_checks(unit, ids), (LOW, SEVERAL, LOW), strict=True):
            service.conclude_check(unit, one, verdict(), stakes=stakes)
    with any_world.by(any_world.officer) as unit:
        needed = [reviewing.needed_for(unit, records.get(unit.session, one)) for one in ids]
        assert [(n.count, n.reasons) for n in needed] == [(2, ("form",))] * 3
        reviewing.review(unit, ids[0], "approve")
    assert states(any_world, ids) == ["second_review", "in_review", "in_review"]


def test_a_file_that_came_back_asks_for_nothing_any_more(world: World) -> None:
    group_id, ids = drafted(world, 2)
    with world.by(world.merchant) as unit:
        groups.submit(unit, group_id)
    with world.system() as unit:
        for one, what in zip(service.begin_checks(unit, ids), (verdict(), verdict(Outcome.BLOCK)), strict=True):
            service.conclude_check(unit, one, what, stakes=SEVERAL if one == ids[1] else LOW)
        assert reviewing.needed_for(unit, records.get(unit.session, ids[0])).count == 1
        assert reviewing.needed_for(unit, records.get(unit.session, ids[0]), Outcome.REVIEW).count == 2


def test_nobody_decides_before_the_machine_is_through_with_the_whole_group(world: World) -> None:
    group_id, ids = drafted(world, 2)
    with world.by(world.merchant) as unit:
        groups.submit(unit, group_id)
    checked(world, ids[:1])
    look_at(world, world.officer, ids[0])
    with pytest.raises(InvalidTransition, match=r"export\.group_unchecked"):
        decided(world, world.officer, group_id, ids[:1])
    with world.by(world.officer) as unit:
        assert reviewing.may_review(unit, records.get(unit.session, ids[0])) is not None
    checked(world, ids[1:])
    assert decided(world, world.officer, group_id, ids[:1]) == ["approved"]


def test_whoever_administered_the_workspace_of_one_file_reviews_none(world: World) -> None:
    place = world.workspace()
    group_id, ids = drafted(world, 2, place)
    with world.by(world.operator) as unit:
        workspaces.change(unit, place, "freeze", "查看")
        workspaces.change(unit, place, "unfreeze", "无事")
    with world.by(world.merchant) as unit:
        groups.submit(unit, group_id)
    checked(world, ids)
    promoted = Actor(world.operator.id, "转岗", Role.COMPLIANCE, world.operator.organisation_id)
    for one in ids:
        with pytest.raises(NotPermitted, match="own_request"), world.by(promoted) as unit:
            reviewing.review(unit, one, "approve", "理由")
        author = Actor(world.merchant.id, "作者", Role.COMPLIANCE, "org-elsewhere")
        with pytest.raises(NotPermitted, match="own_request"), world.by(author) as unit:
            reviewing.review(unit, one, "approve", "理由")


def test_opinions_on_any_file_are_blind_until_all_are_in_on_every_file(any_world: World) -> None:
    world = any_world
    group_id, ids = waiting(world, 2, SEVERAL)
    decided(world, world.officer, group_id, ids)
    decided(world, world.second_officer, group_id, ids[:1], "reject")
    assert states(world, ids) == ["discussion", "second_review"]

    def seen(who: Actor) -> list[str]:
        with world.by(who) as unit:
            return [o.name for o in reviewing.opinions(unit, records.get(unit.session, ids[0])) if not o.own]

    assert seen(world.officer) == seen(world.second_officer) == [], "the second file is not decided yet"
    assert len(seen(world.auditor)) == 2
    decided(world, world.second_officer, group_id, ids[1:])
    assert len(seen(world.officer)) == len(seen(world.second_officer)) == 1


@pytest.mark.parametrize("state", ["frozen", "in_review", "approved"])
def test_the_files_beside_it_and_other_requests_on_their_way_count_against_the_volume(
    world: World, state: str
) -> None:
    """Neither many files in one act nor many acts at a time come below a limit that one file would reach."""
    place = world.workspace()
    group_id, ids = drafted(world, 3, place)
    _, other = drafted(world, 1, place)

    def known() -> tuple[tuple[int, int] | None, int]:
        with world.system() as unit:
            found = volume.volume_of(unit.session, records.get(unit.session, ids[0]), unit.now - timedelta(days=90))
            return (found.beside.rows, found.beside.cells) if found.beside else None, found.waiting_rows

    assert known() == (None, 0), "drafts are not on their way"
    with world.by(world.merchant) as unit:
        groups.submit(unit, group_id)
        service.submit(unit, other[0])
    if state != "frozen":
        checked(world, [*ids, *other])
    if state == "approved":
        for one in [*ids, *other]:
            look_at(world, world.officer, one)
        decided(world, world.officer, group_id, ids)
    with world.system() as unit:
        file = products.artefact(unit.session, records.get(unit.session, ids[0]).artefact_id)
        rows, columns = file.rows, len(file.columns)
    assert known() == ((2 * rows, 2 * rows * columns), rows)
    with world.by(world.merchant) as unit:
        if state != "approved":
            service.withdraw(unit, ids[2])
    left = 2 if state == "approved" else 1
    assert known() == ((left * rows, left * rows * columns), rows)


# -- what comes back


def again(world: World, request_id: str, **changes: object) -> None:
    """The author changes a file that came back and submits it once more."""
    with world.by(world.merchant) as unit:
        drafting.revise(unit, request_id, **changes)  # type: ignore[arg-type]
        service.submit(unit, request_id)


@pytest.mark.parametrize("tied", [True, False])
def test_a_file_submitted_again_resets_itself_and_what_was_compared_with_it(any_world: World, tied: bool) -> None:
    world = any_world
    group_id, ids = waiting(world, 3, SEVERAL, tied=tied)
    decided(world, world.officer, group_id, ids)
    with world.by(world.second_officer) as unit:
        groups.early_return(unit, group_id, ids[:1], "口径不清")
    again(world, ids[0], title="门诊量（按区）")
    expected = ["frozen"] * 3 if tied else ["frozen", "second_review", "second_review"]
    assert states(world, ids) == expected
    asked = [set(j.payload["requests"]) for j in _jobs(world, ids) if j.payload.get("round") == 2]
    assert asked == [set(ids) if tied else {ids[0]}]
    checked(world, ids, stakes=SEVERAL, beside=ids if tied else ())
    with world.system() as unit:
        now = [records.get(unit.session, one) for one in ids]
        given = [len(records.reviews(unit.session, r.id, r.round)) for r in now]
    assert given == ([0, 0, 0] if tied else [0, 1, 1]), "opinions on what did not change stand"
    assert len(world.events("export:recheck")) == (2 if tied else 0)


def test_the_shared_words_stay_while_another_file_is_on_its_way_or_has_left(world: World) -> None:
    group_id, ids = waiting(world, 2)
    with world.by(world.officer) as unit:
        groups.early_return(unit, group_id, ids[:1], "口径不清")
    other = CONTEXT | {"purpose": "另作他用"}
    with pytest.raises(BadInput, match=r"export\.shared_context"):
        again(world, ids[0], context=other)
    with world.by(world.merchant) as unit:
        drafting.revise(unit, ids[0], context=dict(CONTEXT), remark="说明口径")
    with world.by(world.officer) as unit:
        groups.early_return(unit, group_id, (), "一并修改")
    with world.by(world.merchant) as unit:
        drafting.revise(unit, ids[1], context=other)
    assert record(world, ids[0]).context == record(world, ids[1]).context == other


def test_the_words_of_the_group_are_part_of_what_every_file_froze(world: World) -> None:
    """Whoever changes them past the rules voids every approval."""
    group_id, ids = waiting(world, 2)
    with world.system() as unit:
        group = records.group(unit.session, group_id)
        group.context = {**group.context, "purpose": "另作他用"}
    with pytest.raises(InvalidTransition, match="bytes_changed"):
        decided(world, world.officer, group_id, ids)


# -- the queue, and everybody at once


def test_the_queue_has_a_line_for_each_group_at_the_earliest_of_its_days(any_world: World) -> None:
    world = any_world
    first, early = waiting(world, 2)
    world.advance(days=3)
    second, single = waiting(world, 1)
    with world.by(world.officer) as unit:
        groups.early_return(unit, first, early[1:], "口径不清")
    again(world, early[1])
    checked(world, early)
    with world.by(world.officer) as unit:
        lines = groups.queue(unit)
        days = {c.subject_id: str(c.due_on) for c in clocks.running(unit.session, "export")}
        assert [(line.group_id, [r.id for r in line.files]) for line in lines] == [(first, early), (second, single)]
        assert lines[0].due_on == days[early[0]] < days[early[1]]
        assert str(lines[0].due_on) < str(lines[1].due_on)


def test_two_officers_who_decide_on_a_group_at_once_are_one_outcome(any_world: World) -> None:
    world = any_world
    group_id, ids = waiting(world, 3, SEVERAL)
    with ThreadPoolExecutor(2) as pool:
        tried = [pool.submit(decided, world, who, group_id, order)
                 for who, order in ((world.officer, ids), (world.second_officer, ids[::-1]))]  # fmt: skip
        found = sorted(state for one in tried for state in one.result())
    assert found == ["approved"] * 3 + ["second_review"] * 3


def test_everything_that_happens_to_a_file_of_a_group_is_on_its_own_record(world: World) -> None:
    group_id, ids = waiting(world, 2)
    decided(world, world.officer, group_id, ids)
    for event in ("export:draft", "export:submit", "export:to_review", "export:approve"):
        assert [e.object_id for e in world.events(event)] == ids, event
    assert {e.facts["group"] for e in world.events("export:draft")} == {group_id}
