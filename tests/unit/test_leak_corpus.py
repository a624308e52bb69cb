"""The leak corpus: enough of it, of every rule; one case of every rule and of every form is judged here, all of them by
`pds bench leaks`."""

from __future__ import annotations

import pytest

from benchmarks import leaks
from policies.editions import load
from sandbox.exports.gate import LATER_STAGES
from tests.export_subjects import edition


def test_there_are_enough_cases_of_every_rule() -> None:
    planted = leaks.cases()
    assert len(planted) >= leaks.CASES_BAR
    known = {rule.id for rule in load("export", "2026-01").rules if rule.check not in LATER_STAGES}
    assert {one.rule for one in planted.values()} == known
    assert {p for one in planted.values() for p in one.people} <= known


def one_of_each() -> list[str]:
    """The first case of every rule, and of every form."""
    planted = list(reversed(leaks.cases().values()))
    rules, forms = {one.rule: one.name for one in planted}, {one.form: one.name for one in planted}
    return sorted({*rules.values(), *forms.values()})


@pytest.fixture(scope="module")
def told() -> dict[str, leaks.Told]:
    return {one.case.name: one for one in leaks.judged(7, tuple(one_of_each()))}


@pytest.mark.parametrize("name", one_of_each())
def test_the_leak_is_caught_and_its_twin_is_let_go(told: dict[str, leaks.Told], name: str) -> None:
    one = told[name]
    assert one.caught, f"{one.case.rule} says {one.leak}"
    assert one.twin == "pass", one.by


def test_the_edition_of_the_corpus_is_the_one_in_force() -> None:
    assert load("export").digest == edition().digest
