"""R12 on whole products: which hidden cells the audit lets pass, blocks, or leaves to people."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from policies.verdict import Outcome
from sandbox.exports.finishing import finished
from sandbox.exports.gate import run_rule
from sandbox.exports.subject import ExportSubject
from sandbox.exports.wording import wording_of
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
