"""What releases that do not touch a hidden row say about it, through those that do: R12 over the history."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policies.verdict import Outcome
from sandbox.exports import earlier
from sandbox.exports.checks.suppression import reader_of
from sandbox.exports.gate import run_rule
from sandbox.exports.history import ReleasedCell, Value
from sandbox.exports.protecting import protect
from sandbox.exports.subject import ExportSubject
from sandbox.exports.suppression import audit
from sandbox.products.cells import packed
from sandbox.products.releasing import count_interval
from tests.export_subjects import edition, subject_with

PASS, REVIEW, BLOCK = Outcome.PASS, Outcome.REVIEW, Outcome.BLOCK
SHOWN, HIDDEN, BEYOND = range(40), range(40, 44), range(44, 84)
"""The rows of the product: the second is hidden."""
S, U = range(100, 120), range(200, 230)


def told(release: str, *members: range, value: Value = "exact", base: int = 1) -> ReleasedCell:
    """A count of these people, released or hidden."""
    people = sorted(one for some in members for one in some)
    name, raw = packed(people)
    low, high = count_interval(len(people), base)
    return ReleasedCell(
        release, f"{release}#row=1", "person", "count", "count", len(people), name, raw, low, high, value,
        float(len(people)), table=f"{release}:n",
    )  # fmt: skip


def product(*history: ReleasedCell) -> ExportSubject:
    rows = [("东区", SHOWN), ("西区", HIDDEN), ("南区", BEYOND)]
    subject = subject_with([(name, [1.0] * len(people)) for name, people in rows])
    hidden = frozenset({(1, "人次"), (1, "金额")})
    return replace(subject, hidden=hidden, history=history)


W, W_ROUNDED = told("R-W", HIDDEN, S), told("R-W", HIDDEN, S, base=5)
T = told("R-T", S, U)
# what was released before, and whether the hidden row is safe beside it
TABLE: list[tuple[str, tuple[ReleasedCell, ...], Outcome]] = [
    ("a sum with people of whom nothing is told", (W,), PASS),
    ("a sum, and the rest of it", (W, told("R-S", S)), BLOCK),
    ("a sum, and a rest that another release hid", (W, told("R-S", S, value="suppressed")), PASS),
    ("a sum, and what its rest is with others", (W, T), PASS),
    ("a sum, what its rest is with others, and the others", (W, T, told("R-U", U)), BLOCK),
    ("the same, the rest hidden by its own release",
     (W, told("R-T", S, value="suppressed"), T, told("R-T", U)), BLOCK),
    ("the same, the others hidden too", (W, T, told("R-T", U, value="suppressed")), PASS),
    ("a sum and its rest, both rounded", (W_ROUNDED, told("R-S", S, base=5)), BLOCK),
    ("a sum and part of the rest", (W, told("R-S", range(100, 105))), PASS),
    ("a sum and all but two of the rest", (W, told("R-S", range(100, 118))), BLOCK),
    ("a sum of the product's own rows and others, and the others", (told("R-W", SHOWN, HIDDEN, S), told("R-S", S)),
     BLOCK),
    ("everybody, and everybody but the hidden row", (told("R-A", SHOWN, HIDDEN, BEYOND, S),
     told("R-B", SHOWN, BEYOND, S)), BLOCK),
    ("everybody, and a table that left the hidden row out", (told("R-A", SHOWN, HIDDEN, S, U),
     told("R-B", SHOWN), told("R-B", S), told("R-B", U)), BLOCK),
]  # fmt: skip


@pytest.mark.parametrize(("history", "wanted"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_a_hidden_row_is_what_two_earlier_releases_leave_of_each_other(
    history: tuple[ReleasedCell, ...], wanted: Outcome
) -> None:
    result = run_rule(edition().rule("EXP-SUPP-01"), product(*history))
    assert result.run.outcome is wanted
    assert run_rule(edition().rule("EXP-SUPP-01"), product(*reversed(history))).run.outcome is wanted


def test_the_interval_says_what_a_reader_knows_and_where_nothing_helps_nothing_is_proposed() -> None:
    subject = product(W, T, told("R-U", U))
    system = reader_of(subject, {1}, subject.history or (), 10)
    (count,) = [one for one in audit(system).intervals if one.cell[0] == "人次"]
    assert (count.low, count.high, count.state) == (4, 4, "narrow")
    assert protect(system) == ()


def test_the_cheapest_row_that_helps_is_proposed_and_makes_it_safe() -> None:
    subject = product(told("R-W", SHOWN, HIDDEN, S), T, told("R-U", U))
    system = reader_of(subject, {1}, subject.history or (), 10)
    assert not audit(system).safe
    extra = protect(system)
    assert {name[1] for name in extra} == {"0"}
    again = reader_of(subject, {0, 1}, subject.history or (), 10)
    assert audit(again).safe


def test_more_than_can_be_compared_is_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = product(W, told("R-S", S))
    monkeypatch.setattr(earlier, "_COMPARED", 3)
    assert run_rule(edition().rule("EXP-SUPP-01"), subject).run.outcome is REVIEW
