"""Every form and every place in it where something can be hidden: a planted identifier is found there, a clean twin is
not, and what nobody would see is a finding of its own."""

from __future__ import annotations

import pytest

from benchmarks.leaks.files import CLEAN, HOSTILE, PLACES, Make
from policies.verdict import Outcome
from sandbox.exports.contents import Contents, read_all
from sandbox.exports.gate import run_rule
from sandbox.exports.places import parse
from sandbox.exports.subject import ExportFile, ExportSubject, bounds_of
from tests.export_subjects import edition

FAKE_ID = "11010519491231002X"  # the worked example of GB 11643; nobody holds it
PASS, BLOCK = Outcome.PASS, Outcome.BLOCK


def subject(name: str, content: bytes) -> ExportSubject:
    return ExportSubject(files=(ExportFile(name, content),), audience="contract", lane="file")


def outcome(one: ExportSubject, rule: str) -> Outcome:
    return run_rule(edition().rule(rule), one).run.outcome


@pytest.fixture(scope="module")
def opened() -> tuple[Contents, ...]:
    """All files of the tables below read in one jail: what is in use is not read again."""
    files = [ExportFile(name, make(word)) for _, name, make in PLACES for word in (FAKE_ID, CLEAN)]
    files += [ExportFile(name, content) for _, name, content, _, _ in HOSTILE]
    return read_all(files, bounds_of(edition()))


@pytest.mark.usefixtures("opened")
@pytest.mark.parametrize(("where", "name", "make"), PLACES, ids=[p[0] for p in PLACES])
def test_an_identifier_is_found_wherever_it_is_and_its_twin_is_read_to_the_end(
    where: str, name: str, make: Make
) -> None:
    planted, twin = subject(name, make(FAKE_ID)), subject(name, make(CLEAN))
    assert outcome(planted, "EXP-PII-01") is BLOCK
    assert outcome(twin, "EXP-PII-01") is PASS
    assert not [p.code for p in twin.contents[0].problems if p.code.startswith(("unreadable", "no_reader", "crashed"))]
    assert twin.contents[0].kind == twin.contents[0].suffix
    assert all(parse(h.place).file in (name, "file 1") for h in planted.hits.found)


@pytest.mark.usefixtures("opened")
@pytest.mark.parametrize(("what", "name", "content", "rule", "expected"), HOSTILE, ids=[h[0] for h in HOSTILE])
def test_hostile_files_and_their_plain_twins(
    what: str, name: str, content: bytes, rule: str, expected: Outcome
) -> None:
    assert outcome(subject(name, content), rule) is expected
