"""The proofs can fail: each carrier broken on purpose is exposed by the deletion of halves."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest
from sqlglot import exp, parse_one

from benchmarks.evidence_lab import Lab, removals, same_rows
from sandbox.products import perturb
from sandbox.products.carrier import owners, subqueries
from sandbox.products.entities import SessionCodes
from sandbox.products.evidence import Evidence, derive
from sandbox.products.spec import parse
from tests.attacks.evidence_corpus import ATTACKS
from tests.attacks.evidence_judge import Judge
from tests.attacks.evidence_world import job, sources

HALVES = 24
"""An error about one entity survives this many with a chance below one in ten million"""

JOINED = job("SELECT r.district, v.fee AS x FROM visit v JOIN resident r USING (pid)", inputs="visit resident")
STACKED = job("SELECT district, income AS x FROM resident WHERE age < 50 UNION ALL "
              "SELECT district, income FROM resident WHERE age >= 50")  # fmt: skip
ASKED = job("SELECT district, income AS x FROM resident r WHERE EXISTS "
            "(SELECT 1 FROM resident q WHERE q.pid = r.pid + 1 AND q.income > 60000)")  # fmt: skip
COMPARED = job("SELECT r.district, r.income AS x FROM resident r WHERE r.income > "
               "(SELECT avg(q.income) FROM resident q WHERE q.street = r.street)")  # fmt: skip
PER_PERSON = job("SELECT pid, sum(fee) AS x FROM visit GROUP BY pid",
                 "SELECT r.district, s1.x FROM s1 JOIN resident r USING (pid)", inputs="visit resident")  # fmt: skip

carrying = importlib.import_module("sandbox.products.carrier.carry")
"""The module, which the package's function of the same name hides"""
_ROW, _WITH, _NOBODY = owners.row, carrying.Found.with_owner, owners.nobody


def _of_row(change: str) -> Callable[..., exp.Expression]:
    """A row's owner as `change` says, which has {e} for the right one."""
    return lambda parts, form: parse_one(change.format(e=_ROW(parts, form).sql("duckdb")), read="duckdb")


def _second_branch_is_nobodys(found: Any, form: Any) -> exp.Query:
    if found.branches:
        found.branches[1].owner = _NOBODY("one")
    return _WITH(found, form)


def _broken(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    changes: dict[str, tuple[Any, str, Any]] = {
        "an owner is dropped": (owners, "row", _of_row("nullif({e}, 7)")),
        "every owner of one join side is dropped": (owners, "row", _of_row("CASE WHEN {e} % 2 = 0 THEN {e} END")),
        "two owners are swapped": (
            owners, "row", _of_row("CASE {e} WHEN 7 THEN 8 WHEN 8 THEN 7 ELSE {e} END::UINTEGER"),
        ),
        "everybody is the neighbour": (owners, "row", _of_row("({e} + 1)::UINTEGER")),
        "every sub-query is harmless": (subqueries, "is_harmless", lambda found: True),
        "a branch of UNION is forgotten": (carrying.Found, "with_owner", _second_branch_is_nobodys),
    }  # fmt: skip
    monkeypatch.setattr(*changes[name])


@contextmanager
def town() -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        yield sources(Path(folder))


def evidence_of(spec: Any) -> Evidence:
    with town() as tables:
        parsed = parse(dict(spec))
        own = {alias: tables[alias] for alias in parsed.inputs}
        return derive(parsed, own, codes=SessionCodes(), halves=HALVES)


BROKEN = [
    ("an owner is dropped", JOINED), ("an owner is dropped", PER_PERSON),
    ("every owner of one join side is dropped", JOINED), ("two owners are swapped", JOINED),
    ("two owners are swapped", STACKED), ("everybody is the neighbour", JOINED),
    ("every sub-query is harmless", ASKED), ("every sub-query is harmless", COMPARED),
    ("a branch of UNION is forgotten", STACKED),
]  # fmt: skip


@pytest.mark.parametrize(("name", "spec"), BROKEN, ids=lambda v: v if isinstance(v, str) else None)
def test_a_broken_carrier_still_reproduces_but_fails_the_deletion_of_halves(
    name: str, spec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _broken(monkeypatch, name)
    kind = next(k for k in evidence_of(spec).kinds if k.kind == "person")
    assert kind.reproduced and kind.halves == HALVES
    assert kind.halves_as_predicted < HALVES and not kind.proved


@pytest.mark.parametrize(("name", "spec"), BROKEN, ids=lambda v: v if isinstance(v, str) else None)
def test_a_broken_carrier_is_exposed_by_the_removal_of_single_entities(
    name: str, spec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _broken(monkeypatch, name)
    parsed = parse(dict(spec))
    with town() as tables, duckdb.connect(config={"threads": 2}) as con:
        lab = Lab(con, parsed, {alias: tables[alias] for alias in parsed.inputs})
        lab.contribute()
        assert same_rows(lab.plain(), lab.recompute(), 1)
        assert any(wrong for _, _, wrong in removals(lab, lab.entities()[:20]))


@pytest.mark.parametrize("spec", [JOINED, STACKED, PER_PERSON], ids=["joined", "stacked", "per person"])
def test_the_carrier_as_it_is_passes_every_half(spec: Any) -> None:
    kind = next(k for k in evidence_of(spec).kinds if k.kind == "person")
    assert kind.proved and kind.halves_as_predicted == HALVES


def test_a_shuffle_alone_is_not_enough_to_pass(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A threshold attack that the shuffle may miss is stopped because minimum and maximum were not tried."""
    attack = next(a for a in ATTACKS if a.name == "a count that one person leaves when poor")
    monkeypatch.setattr(perturb, "MODES", ("shuffle",))
    judge = Judge(tmp_path)
    assert judge.of(attack.hostile).outcome != "pass"
    assert judge.of(attack.clean).outcome != "pass"
