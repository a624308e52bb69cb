"""Nothing is released without a verdict and the distinct officers it needs, and nothing that is released one after
another isolates a few people together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.verdict import Outcome
from sandbox.exports.closure import closure
from sandbox.exports.differencing import near_pairs
from sandbox.exports.history import ReleasedCell
from sandbox.exports.model import EXPORT, UNDER_REVIEW
from sandbox.exports.review import Stakes, needed, next_step
from tests.export_subjects import edition
from tests.properties.test_verdict import SETS, cells, spans

DECISIONS = st.sampled_from(["approve", "return", "reject"])
OPINIONS = st.dictionaries(st.sampled_from("甲乙丙丁"), DECISIONS, min_size=1, max_size=3)
STAKES = st.none() | st.builds(
    Stakes, st.sampled_from(["aggregate", "record", "report"]), st.none() | st.integers(1, 4), st.booleans(),
    st.none() | st.floats(0, 200),
).map(Stakes.as_dict)  # fmt: skip


def reached(without: str) -> set[str]:
    """States that a request can come to when one step is taken out of the table."""
    found, grown = {"draft"}, True
    while grown:
        more = {t.target for t in EXPORT.transitions if t.name != without and found & set(t.sources)}
        grown, found = not more <= found, found | more
    return found


@pytest.mark.parametrize("step", ["submit", "begin_check", "to_review", "approve", "release"])
def test_no_path_to_released_leaves_out_a_step(step: str) -> None:
    assert "released" in reached("none of them") and "released" not in reached(step)


def test_the_steps_to_a_release_are_guarded_by_verdict_signers_and_bytes() -> None:
    (approve,) = (t for t in EXPORT.transitions if t.target == "approved")
    (release,) = (t for t in EXPORT.transitions if t.target == "released")
    assert {"reviewer_independent", "signers_enough"} <= set(approve.guards)
    assert {"bytes_unchanged", "verdict_in_force", "signers_enough", "never_a_canary"} <= set(release.guards)
    assert {s for t in EXPORT.transitions if t.target in UNDER_REVIEW for s in t.sources} <= {
        "checking", "approved", *UNDER_REVIEW
    }  # fmt: skip


@settings(deadline=None)
@given(st.sampled_from(UNDER_REVIEW), OPINIONS, STAKES, st.sampled_from([None, *Outcome]))
def test_only_enough_different_officers_approve(
    state: str, opinions: Mapping[str, str], stakes: Mapping[str, object] | None, outcome: Outcome | None
) -> None:
    rule = edition().by_check("reviewers").parameters
    count = needed(stakes, outcome, rule).count
    if next_step(state, opinions, count) == "approve":
        assert sum(one == "approve" for one in opinions.values()) >= count
    if outcome is not Outcome.PASS or stakes is None or stakes["form"] == "record" or (stakes["level"] or 4) >= 3:
        assert count >= 2


@settings(deadline=None, max_examples=50)
@given(st.lists(SETS, min_size=2, max_size=4), st.integers(2, 5))
def test_what_was_released_one_after_another_isolates_nobody(requests: Sequence[Sequence[set[int]]], t: int) -> None:
    """Every request that the rules let pass is released; then everybody has all of it."""
    history: list[ReleasedCell] = []
    sets: list[set[int]] = []
    for number, request in enumerate(requests):
        new = cells(request, f"r{number}-")
        near = near_pairs(new, history, threshold=t)
        combined = closure(new, history, threshold=t, seconds=30)
        small = any(len(one) < t for one in request)
        if small or near.found or combined.exposures or combined.opened or not (near.complete and combined.complete):
            continue
        history += new
        sets += request
    assert all(not 0 < len(a ^ b) < t for a in sets for b in sets)
    atoms: dict[tuple[bool, ...], set[int]] = {}
    for person in set().union(*sets):
        atoms.setdefault(tuple(person in s for s in sets), set()).add(person)
    assert not any(len(atom) < t and spans(sets, frozenset(atom)) for atom in atoms.values())
