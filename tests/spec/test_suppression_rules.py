"""R12 on whole products: which hidden cells the audit lets pass, blocks, or leaves to people."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from policies.verdict import Outcome
from sandbox.exports.atoms import Matrix
from sandbox.exports.echelon import PRIME, Echelon
from sandbox.exports.finishing import finished
from sandbox.exports.gate import evaluate, run_rule
from sandbox.exports.nullspace import NullSpace
from sandbox.exports.subject import ExportSubject
from sandbox.exports.wording import wording_of
from sandbox.products.budget import Cancelled
from sandbox.products.entities import SessionCodes
from sandbox.products.evidence import derive
from sandbox.products.source import EntityKey, Source
from sandbox.products.spec import parse
from tests.export_subjects import edition

PASS, REVIEW = Outcome.PASS, Outcome.REVIEW
PEOPLE = {("东", 1): 40, ("东", 2): 30, ("西", 1): 30, ("西", 2): 2, ("南", 1): 25, ("南", 2): 35}
AUDIT = edition().by_check("suppression_audit")


def product(measures: dict[str, Any], folder: Path, *, gives: tuple[float, ...]) -> ExportSubject:
    """A table by district and month in which a cell of two is hidden; `gives`: what people pay, in turn."""
    spec = parse({
        "job": "隐去", "edition": 2, "inputs": {"t": {"grant": "G-1"}},
        "product": {
            "from": "t", "dimensions": ["区", "月"], "margins": [["区"]], "measures": measures,
            "suppress": {"below": "policy", "as": "*"},
        },
        "output": {"kind": "aggregate", "format": "csv"},
    })  # fmt: skip
    rows = [(*key, gives[i % len(gives)], 1.0 + i % 2) for key, n in PEOPLE.items() for i in range(n)]
    path = folder / "t.parquet"
    pl.DataFrame(rows, schema=["区", "月", "费用", "天"], orient="row").with_row_index("人").write_parquet(path)
    source = Source((str(path),), "sha256:t", (EntityKey("person", "人"),))
    evidence = derive(spec, {"t": source}, codes=SessionCodes(), halves=4)
    return ExportSubject(
        files=(), audience="contract", spec=spec, evidence=evidence, entity_kinds=frozenset({"person"}),
        rounding_base=5, level=3, history=(),
    )  # fmt: skip


COUNTED: dict[str, Any] = {"人次": {"op": "count"}}
RATIO = COUNTED | {"每天": {"op": "ratio", "of": "费用", "per": "天", "round": 1}}
PER_ROW = COUNTED | {"次均": {"op": "ratio", "of": "费用", "per": "count", "round": 1}}
WEIGHTED = COUNTED | {"加权": {"op": "weighted_mean", "of": "费用", "weight": "天", "round": 1}}
SHARE = COUNTED | {"占比": {"op": "share_of_margin", "of": "费用", "margin": ["区"], "round": 3}}
SUM = COUNTED | {"金额": {"op": "sum", "of": "费用", "round": 0}}
POSITIVE, REFUNDS = (100.0, 101.0, 102.0), (100.0, -90.0, 102.0, 101.0)


@pytest.mark.parametrize(("measures", "gives", "expected"), [
    (RATIO, POSITIVE, PASS), (RATIO, REFUNDS, REVIEW),
    (PER_ROW, POSITIVE, PASS), (PER_ROW, REFUNDS, REVIEW),
    (WEIGHTED, POSITIVE, PASS), (WEIGHTED, REFUNDS, REVIEW),
    (SHARE, POSITIVE, PASS), (SHARE, REFUNDS, REVIEW),
    (SUM, REFUNDS, PASS),
])  # fmt: skip
def test_a_ratio_of_amounts_that_may_be_negative_is_for_people(
    measures: dict[str, Any], gives: tuple[float, ...], expected: Outcome, tmp_path: Path
) -> None:
    made = finished(product(measures, tmp_path, gives=gives), edition())
    result = run_rule(AUDIT, replace(made, history=()))
    assert made.hidden and result.run.outcome is expected
    told = {finding.text for finding in result.findings}
    assert told == ({wording_of("suppression_audit", "negative").text} if expected is REVIEW else set())


class Ends:
    """Who looks on, and ends it at the `last`-th look."""

    def __init__(self, last: int) -> None:
        self.last, self.looks = last, 0
        self.said: list[tuple[str, float]] = []

    def progress(self, step: str, share: float) -> None:
        self.said.append((step, share))

    def cancelled(self) -> bool:
        self.looks += 1
        return self.looks >= self.last


@pytest.fixture(scope="module")
def hiding(tmp_path_factory: pytest.TempPathFactory) -> ExportSubject:
    return product(SUM, tmp_path_factory.mktemp("hiding"), gives=POSITIVE)


@pytest.mark.parametrize("last", [1, 3])
def test_whoever_looks_on_ends_the_search_for_what_to_hide(hiding: ExportSubject, last: int) -> None:
    ends = Ends(last)
    with pytest.raises(Cancelled):
        finished(replace(hiding, watch=ends), edition())
    assert ends.looks == last and len(ends.said) == last - 1


@pytest.mark.parametrize("check", ["suppression_audit", "linear_closure"])
def test_a_rule_that_is_cancelled_is_no_failed_rule_and_leaves_no_verdict(hiding: ExportSubject, check: str) -> None:
    made = finished(hiding, edition())
    rule, ends = edition().by_check(check), Ends(2)
    assert run_rule(rule, made).run.outcome is PASS
    with pytest.raises(Cancelled):
        run_rule(rule, replace(made, watch=ends))
    with pytest.raises(Cancelled):
        evaluate(replace(made, watch=Ends(1)), edition())
    assert ends.looks == 2 and all(0 <= share <= 1 for _, share in ends.said)


def test_null_vectors_of_many_long_rows_are_ended_between_two_products() -> None:
    columns = [np.arange(i % 7, 400, 1 + i % 5) for i in range(60)]
    flat = np.concatenate(columns).astype(np.int32)
    matrix = Matrix(flat, np.ones_like(flat, np.int8), np.cumsum([0, *map(len, columns)]))
    ends = Ends(5)
    with pytest.raises(Cancelled):
        NullSpace(matrix, 400, ends).vectors(3, math.inf)
    assert ends.looks == 5


def test_a_long_row_of_an_echelon_form_is_ended_between_two_steps_and_what_is_there_stays_true() -> None:
    ends = Ends(40)

    def ask() -> None:
        if ends.cancelled():
            raise TimeoutError

    form, usage = Echelon(ask), dict.fromkeys(range(30), 1)
    rows = [dict.fromkeys((i, i + 1), 1) for i in range(29)]
    with pytest.raises(TimeoutError):
        for source, row in enumerate(rows):
            form.add(row, source, usage)
    assert form.rows and ends.looks == 40
    for pivot, row in form.rows.items():
        made: dict[int, int] = {}
        for source, times in form.made_of[pivot].items():
            for column, value in rows[source].items():
                made[column] = (made.get(column, 0) + times * value) % PRIME
        assert {c: v for c, v in made.items() if v} == row
