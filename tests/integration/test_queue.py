"""The officers' queue: several of a kind under one opinion, what must have been opened, words that may tell."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from policies.text import Text
from policies.verdict import Finding, Outcome, RuleRun, Verdict
from sandbox.exports import batches, canaries, review, service
from sandbox.exports import repository as records
from sandbox.exports.repository import ExportRequest
from sandbox.exports.review import Stakes
from sandbox.kernel.errors import BadInput, InvalidTransition, NotPermitted
from sandbox.kernel.identity import Actor
from tests.factories import World, verdict

LOW = Stakes("aggregate", 2, False, 10.0)
WORD = Text("含标识", "an identifier")


def waiting(world: World, said: Verdict | None = None, stakes: Stakes = LOW, *, opened: bool = True) -> str:
    """A request that waits, its file opened by the first officer."""
    request_id = world.export("checking")
    with world.system() as unit:
        service.conclude_check(unit, request_id, said or verdict(), stakes=stakes)
    if opened:
        look_at(world, world.officer, request_id)
    return request_id


def look_at(world: World, who: Actor, request_id: str) -> None:
    with world.by(who) as unit:
        record = records.get(unit.session, request_id)
        file = service.reviewed_path(unit, record).name
        unit.audit("export:preview", "export", record.id, artefact=file)


def flagged(place: str = "a.csv#column=1", outcome: Outcome = Outcome.REVIEW) -> Verdict:
    said = verdict()
    finding = Finding("EXP-PII-01", outcome, place, 1, 0, WORD, WORD, None)
    return Verdict.conclude("export", said.edition, said.digest, [RuleRun("EXP-PII-01", outcome, 1, 0)], [finding])


def decided(world: World, ids: list[str], decision: str = "approve", who: Actor | None = None) -> list[str]:
    with world.by(who or world.officer) as unit:
        return [r.state for r in batches.decide(unit, ids, decision, "逐件核对")]


def test_one_opinion_on_several_of_a_kind_is_an_opinion_on_each(any_world: World) -> None:
    ids = [waiting(any_world) for _ in range(3)]
    assert decided(any_world, [*ids, ids[0]]) == ["approved"] * 3
    with any_world.system() as unit:
        assert [len(records.reviews(unit.session, one)) for one in ids] == [1, 1, 1]


@pytest.mark.parametrize(("other", "code"), [
    (lambda w: waiting(w, stakes=Stakes("record", 2, False, 10.0)), "kinds"),
    (lambda w: waiting(w, stakes=Stakes("aggregate", 3, False, 10.0)), "kinds"),
    (lambda w: waiting(w, flagged()), "kinds"),
    (lambda w: waiting(w, opened=False), "unseen"),
], ids=["another form", "another level", "other findings", "a file not opened"])  # fmt: skip
def test_all_or_none(world: World, other: object, code: str) -> None:
    ids = [waiting(world), other(world)]  # type: ignore[operator]
    with pytest.raises((BadInput, InvalidTransition), match=rf"batch\.{code}"):
        decided(world, ids)
    assert {world.export_state(one) for one in ids} == {"in_review"}


def test_what_the_machine_left_to_people_is_sent_back_together_but_not_approved_together(world: World) -> None:
    ids = [waiting(world, flagged()) for _ in range(2)]
    with pytest.raises(BadInput, match=r"batch\.flagged"):
        decided(world, ids)
    assert decided(world, ids, "return") == ["second_review"] * 2, "an opinion like any other: the second one counts"


def test_a_batch_is_for_officers_has_a_bound_and_an_old_file_was_not_opened(world: World) -> None:
    one = waiting(world)
    with pytest.raises(NotPermitted):
        decided(world, [one], who=world.merchant)
    for count in ([], [f"exp-{n}" for n in range(batches.MOST + 1)]):
        with pytest.raises(Exception, match=r"batch\.count|NotFound|not_found"):
            decided(world, count)
    with world.system() as unit:
        record = records.get(unit.session, one)
        record.frozen = {**(record.frozen or {}), "file": "0" * 64}
    with pytest.raises(InvalidTransition, match=r"batch\.unseen"):
        decided(world, [one])


def test_two_batches_at_once_are_one_outcome(any_world: World) -> None:
    world = any_world
    ids = [waiting(world, stakes=Stakes("aggregate", 3, False, 10.0)) for _ in range(3)]
    for one in ids:
        look_at(world, world.second_officer, one)
    with ThreadPoolExecutor(2) as pool:
        tried = [pool.submit(decided, world, order, "approve", who)
                 for order, who in ((ids, world.officer), (ids[::-1], world.second_officer))]  # fmt: skip
        states = sorted(state for one in tried for state in one.result())
    assert states == ["approved"] * 3 + ["second_review"] * 3


def words(world: World, who: Actor, request_id: str) -> dict[str, str | Text]:
    with world.by(who) as unit:
        return review.words_for(unit.actor, records.get(unit.session, request_id))


@pytest.mark.parametrize(("key", "place"), [
    ("title", "request#title"), ("remark", "request#remark"), ("purpose", "request#purpose"),
])  # fmt: skip
def test_words_in_which_the_machine_found_somebody_are_shown_to_their_author_only(
    world: World, key: str, place: str
) -> None:
    request_id = waiting(world, flagged(place, Outcome.BLOCK), opened=False)
    for who in (world.officer, world.auditor, world.operator):
        shown = words(world, who, request_id)
        assert [k for k, word in shown.items() if word is review.COVERED] == [key]
    assert review.COVERED not in words(world, world.merchant, request_id).values()


def test_words_that_no_machine_has_looked_through_are_not_shown(world: World) -> None:
    unread = world.export("checking")
    assert set(words(world, world.officer, unread).values()) == {review.COVERED}
    with world.system() as unit:
        service.conclude_check(unit, unread, verdict(Outcome.ERROR))
    assert set(words(world, world.officer, unread).values()) == {review.COVERED}


def test_a_planted_case_names_a_rule_of_the_edition_and_its_own_file(world: World) -> None:
    like = waiting(world)
    for rule, fits in (("EXP-NONE-99", False), ("EXP-FILE-01", True)):
        leak = canaries.Leak("FRM-01", rule, "表.xlsx", b"PK")
        with world.by(world.operator) as unit:
            if not fits:
                with pytest.raises(BadInput, match=r"canary\.rule"):
                    canaries.plant(unit, leak, like=like, verdict=verdict(), stakes=LOW)
                continue
            made: ExportRequest = canaries.plant(unit, leak, like=like, verdict=verdict(), stakes=LOW)
            assert (made.canary, made.canary_rule) == ("FRM-01", rule)
