"""The pages about the export rules are what the edition, the code and the oracles say."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from api.cli import export_rules
from policies.editions import load
from sandbox.exports.checks import CHECKS
from tests.unit import test_oracles

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_of_rules_equals_what_the_edition_says() -> None:
    page = (DOCS / "export-rules.md").read_text(encoding="utf-8")
    assert page == export_rules.render(), f"run: {export_rules.COMMAND}"


def test_every_rule_says_what_it_does_not_claim_and_what_it_measures() -> None:
    assert set(export_rules.NOT_CLAIMED) == {rule.check for rule in load("export", export_rules.EDITION).rules}
    assert all(inspect.getdoc(one.run) for one in CHECKS.values())


def test_every_difference_from_others_is_held_by_a_test_against_them() -> None:
    page = (DOCS / "export-differences.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    there = {name for name in vars(test_oracles) if name.startswith("test_")}
    assert named and named <= there
    assert {name for name in there if name.startswith("test_differs_")} <= named
