"""Hostile jobs against the whole gate: each is stopped by the check the corpus names, and its clean twin passes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.exports.history import cells_of
from sandbox.products.spec import parse
from tests.attacks.evidence_corpus import ATTACKS, INCOME, MARGIN, ORACLE, PACKED, TWO_COLUMNS, WITHOUT_ONE, Attack
from tests.attacks.evidence_judge import Judge
from tests.attacks.evidence_world import TARGET, tables

TWINS = {json.dumps(a.clean, sort_keys=True, ensure_ascii=False): a for a in ATTACKS}


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    return Judge(tmp_path_factory.mktemp("town"))


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: a.name)
def test_an_attack_is_stopped_by_the_check_named_for_it(attack: Attack, judge: Judge) -> None:
    found = judge.of(attack.hostile)
    assert found.outcome in ("block", "error")
    assert attack.stop in found.fired, (sorted(found.fired), sorted(found.codes))


@pytest.mark.parametrize("attack", TWINS.values(), ids=lambda a: a.name)
def test_the_clean_twin_of_an_attack_passes(attack: Attack, judge: Judge) -> None:
    found = judge.of(attack.clean)
    assert found.outcome == "pass", (sorted(found.fired), sorted(found.codes))


def test_there_are_enough_attacks_and_no_two_are_the_same() -> None:
    assert len({a.name for a in ATTACKS}) == len(ATTACKS) == len({json.dumps(a.hostile) for a in ATTACKS}) > 62
    assert {"R1", "R3", "R9", "P3", "non-zero", "change share", "refused", "spec"} <= {a.stop for a in ATTACKS}


def with_income(folder: Path, amount: int) -> Judge:
    """The town where the target earns `amount`."""
    folder.mkdir()
    resident = [r | ({"income": amount} if r["pid"] == TARGET else {}) for r in tables()["resident"]]
    return Judge(folder, resident=resident)


@pytest.mark.parametrize("name", PACKED)
def test_low_digits_of_one_person_do_not_reach_the_released_file(name: str, tmp_path: Path) -> None:
    """Nothing in the evidence is odd here: what destroys the message is the precision of the file."""
    files = set()
    for digits in (0, 250, 500, 750, 999):
        found = with_income(tmp_path / str(digits), 62_000 + digits).of(PACKED[name])
        subject = found.subject
        files.add(subject.files[0].content if subject and found.outcome in ("pass", "review") else b"blocked")
    assert len(files) == 1


def test_what_is_hidden_does_not_depend_on_one_person(tmp_path: Path) -> None:
    files = set()
    for amount in (40_000, 80_000):
        subject = with_income(tmp_path / str(amount), amount).of(ORACLE).subject
        assert subject is not None and subject.hidden
        files.add(subject.files[0].content)
    assert len(files) == 1


def test_a_hidden_cell_is_not_the_margin_less_the_others(judge: Judge) -> None:
    shown = MARGIN | {"product": {k: v for k, v in MARGIN["product"].items() if k != "suppress"}}
    assert judge.of(shown).outcome == "block"
    found = judge.of(MARGIN)
    assert found.subject is not None and found.subject.evidence is not None
    rows = found.subject.evidence.rows
    hidden = {row for row, _ in found.subject.hidden}
    assert next(i for i, row in enumerate(rows) if row[0] == "孤") in hidden
    apart = [i for i in hidden if rows[i][0] is not None]
    assert len(apart) > 1 and "ledger" not in found.fired, "what the total leaves is the sum of two rows, not one"


@pytest.mark.parametrize("name", TWO_COLUMNS)
def test_another_name_for_an_amount_does_not_hide_it_from_the_ledger(name: str, judge: Judge) -> None:
    first, second = TWO_COLUMNS[name]
    out = judge.of(first).subject
    assert out is not None and out.evidence is not None
    history = cells_of(parse(dict(first)), out.evidence, release="earlier", base=5)
    found = judge.of(second, history)
    assert found.outcome == "block" and "ledger" in found.fired


@pytest.mark.parametrize("name", WITHOUT_ONE)
def test_a_table_without_one_person_falls_to_the_ledger_once_the_other_is_out(name: str, judge: Judge) -> None:
    first, second = WITHOUT_ONE[name]
    out, alone = judge.of(first), judge.of(second)
    assert out.outcome == "pass" and "ledger" not in alone.fired and out.subject and out.subject.evidence
    history = cells_of(parse(dict(first)), out.subject.evidence, release="earlier", base=5)
    after = judge.of(second, history)
    assert after.outcome == "block" and "ledger" in after.fired
    assert "ledger" not in judge.of(INCOME | {"job": "again"}, history).fired


def test_selection_by_order_and_limit_is_refused_in_steps_and_harmless_in_post(judge: Judge) -> None:
    order = "CASE WHEN pid = 42 THEN income ELSE 60000 END"
    ordered = f"SELECT district, income AS x FROM resident ORDER BY {order} LIMIT 30"
    step: dict[str, Any] = INCOME | {"prepare": [{"name": "s1", "sql": ordered}]}
    assert judge.of(step).codes == {"order"}
    for bits in _orders():
        assert judge.of(INCOME | {"post": {"sql": bits}}).outcome == "block"


def _orders() -> Iterator[str]:
    """Orders of `post` that would look at a person."""
    yield "SELECT * FROM product ORDER BY (SELECT income FROM resident WHERE pid = 42) LIMIT 2"
    yield "SELECT p.* FROM product p, s1 WHERE s1.x > 60000 ORDER BY s1.x LIMIT 2"
