"""TPC-H at a small scale: which cases are derived, and a sample of entities taken out of the source one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from benchmarks import evidence_tpch as questions
from benchmarks import tpch
from benchmarks.evidence import DERIVED_BAR, cases
from benchmarks.evidence_lab import Lab, removals, same_rows
from sandbox.products.carrier import Refused
from sandbox.products.source import Source
from sandbox.products.spec import parse

REFUSED = {
    ("customer", 15), ("customer", 17), ("customer", 20), ("supplier", 2), ("supplier", 4), ("supplier", 17),
    ("supplier", 21),
}  # fmt: skip
SAMPLE = 4


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return tpch.generate(tmp_path_factory.mktemp("tpch"), 0.002)


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 2}) as connection:
        yield connection


def test_enough_cases_are_derived() -> None:
    assert len(list(cases())) == 39 and 39 - len(REFUSED) >= DERIVED_BAR


@pytest.mark.parametrize(("kind", "number"), list(cases()))
def test_evidence_reproduces_the_product_and_predicts_every_removal(
    kind: questions.Kind, number: int, files: dict[str, Path], con: duckdb.DuckDBPyConnection
) -> None:
    spec = parse(questions.PRODUCTS[number])
    try:
        lab = Lab(con, spec, questions.sources(number, kind, files))
    except Refused:
        assert (kind, number) in REFUSED
        return
    assert (kind, number) not in REFUSED
    lab.contribute()
    assert same_rows(lab.plain(), lab.recompute(), len(spec.dimensions))
    entities = lab.entities()
    tried = list(removals(lab, entities[:: max(1, len(entities) // SAMPLE)]))
    assert tried and not any(wrong for _, _, wrong in tried)


@pytest.mark.parametrize("number", list(questions.PRODUCTS))
def test_a_product_says_the_same_as_its_question(
    number: int, files: dict[str, Path], con: duckdb.DuckDBPyConnection
) -> None:
    """Order, limit and selection by totals belong to `post`: here every row of the question is in a row of the cube."""
    spec = parse(questions.PRODUCTS[number])
    nobodys = {a: Source((str(files[a]),), "sha256:x") for a in spec.inputs}
    cube = [_words(row) for row in Lab(con, spec, nobodys).plain()]
    with duckdb.connect() as plain:
        for table, path in files.items():
            plain.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet('{path}')")
        wanted = [_words(row) for row in plain.execute(tpch.QUERIES[number]).fetchall()]
    assert all(any(row <= other for other in cube) for row in wanted)


def _words(row: tuple[object, ...]) -> frozenset[str]:
    numbers = (int, float, Decimal)
    return frozenset(f"{float(v):.3f}" if isinstance(v, numbers) else str(v) for v in row)
