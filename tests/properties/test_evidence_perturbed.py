"""Shorter ways through the perturbations give what the long way gives: every mode run, all entities at once."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from sandbox.products import arrays, distinct, evidence, kept, moves, perturb
from sandbox.products.entities import SessionCodes
from sandbox.products.evidence import Evidence, KindEvidence, derive
from sandbox.products.flow import mentioned, unchanged
from sandbox.products.program import Program
from sandbox.products.source import EntityKey, Source
from sandbox.products.spec import JobSpec, parse

Record = tuple[str | None, str, int | None, float | None]
RECORDS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "d", "e", "f", None]), st.sampled_from(["东", "西"]),
        st.one_of(st.none(), st.integers(-2, 3)), st.one_of(st.none(), st.sampled_from([0.1, 0.25, 3.0])),
    ),
    min_size=2, max_size=30,
)  # fmt: skip
MEASURES: dict[str, dict[str, Any]] = {
    "rows": {"op": "count"}, "with": {"op": "count", "of": "x"}, "kinds": {"op": "count_distinct", "of": "x"},
    "sum": {"op": "sum", "of": "x"}, "mean": {"op": "mean", "of": "x"}, "each": {"op": "ratio", "of": "x", "per": "y"},
    "per row": {"op": "ratio", "of": "y", "per": "count"}, "middle": {"op": "median", "of": "x"},
    "spread": {"op": "stddev", "of": "y"}, "least": {"op": "min", "of": "x"}, "most": {"op": "max", "of": "y"},
    "different": {"op": "count_distinct", "of": "y"},
}  # fmt: skip


WRITE = moves.Moves.write


def noted(used: list[str], one: moves.Moves, column: str) -> None:
    used.append(column)
    WRITE(one, column)


def job(step: str = "SELECT district, fee AS x, rate AS y FROM t", **parts: Any) -> JobSpec:
    product = {"from": "s", "dimensions": ["district"], "margins": [[]], "measures": MEASURES} | parts
    return parse({
        "job": "perturbed", "edition": 2, "inputs": {"t": {"grant": "G-1"}}, "prepare": [{"name": "s", "sql": step}],
        "product": product, "output": {"kind": "aggregate", "format": "csv"},
    })  # fmt: skip


def found(spec: JobSpec, records: Sequence[Record], fee: type[pl.DataType] = pl.Int64) -> Evidence:
    schema: dict[str, Any] = {"who": pl.String, "district": pl.String, "fee": fee, "rate": pl.Float64}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "t.parquet")
        pl.DataFrame(list(records), schema=schema, orient="row").write_parquet(path)
        source = Source((str(path),), "sha256:t", (EntityKey("person", "who"),))
        return derive(spec, {"t": source}, codes=SessionCodes(), halves=1, seed=lambda _: "5a" * 32)


def told(spec: JobSpec, records: Sequence[Record], fee: type[pl.DataType] = pl.Int64) -> KindEvidence:
    return found(spec, records, fee).kinds[0]


def same(left: KindEvidence, right: KindEvidence) -> None:
    assert left.proved and right.proved
    assert (left.perturbed, left.not_perturbed) == (right.perturbed, right.not_perturbed)
    assert_frame_equal(left.cells, right.cells, rel_tol=1e-9)


@settings(max_examples=15, deadline=None)
@given(RECORDS)
def test_smallest_and_largest_values_follow_from_the_number_of_values(records: list[Record]) -> None:
    short = told(job(), records)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evidence, "unchanged", lambda program, cube: {})
        same(short, told(job(), records))


@settings(max_examples=10, deadline=None)
@given(RECORDS)
def test_entities_gone_through_in_parts_give_what_all_at_once_give(records: list[Record]) -> None:
    steered = job("SELECT district, fee AS x, rate AS y FROM t WHERE fee < 3 OR rate > 0.2")
    whole = told(steered, records)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(perturb, "PART", 4)
        patch.setattr(perturb, "AT_ONCE", 3)
        patch.setattr(kept, "PART", 3)
        patch.setattr(distinct, "PART", 3)
        patch.setattr(arrays, "_PIECE", 2)
        parts = told(steered, records)
    same(whole, parts)
    assert (whole.bitmaps, whole.records) == (parts.bitmaps, parts.records)


@settings(max_examples=10, deadline=None)
@given(RECORDS, st.sampled_from(["TRUE", "fee IS NOT NULL", "fee > 0", "fee > 0 AND rate IS NOT NULL"]))
def test_counts_that_are_kept_once_give_what_each_kept_for_itself_gives(records: list[Record], where: str) -> None:
    some = job(f"SELECT district, fee AS x, rate AS y FROM t WHERE {where}")
    once = found(some, records)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept, "_equal", lambda con, cube: {})
        each = found(some, records)
    same(once.kinds[0], each.kinds[0])
    name = "contributions:product:person"
    assert once.record.digests[name] == each.record.digests[name]


ADDED: dict[str, dict[str, Any]] = {
    name: MEASURES[name] for name in ("rows", "with", "sum", "mean", "each", "per row")
} | {"people": {"op": "count_distinct", "of": "who"}, "weighed": {"op": "weighted_mean", "of": "x", "weight": "y"}}
MARGINS: list[list[list[str]]] = [[["district"], []], [["part"]], []]
TEXTS = [
    "SELECT who, district, fee AS x, rate AS y, coalesce(fee, 0) % 2 AS part FROM t",
    "SELECT who, district, fee AS x, rate AS y, rate > 1 AS part FROM t WHERE fee < 3 OR rate > 0.2",
    "SELECT who, CASE WHEN fee > 1 THEN '北' ELSE district END AS district, fee AS x, rate AS y, 1 AS part FROM t",
    "SELECT t.who, t.district, t.fee AS x, u.rate AS y, t.rate > 1 AS part FROM t JOIN t u USING (who)",
]


@settings(max_examples=10, deadline=None)
@given(RECORDS, st.sampled_from(TEXTS), st.sampled_from([4, 1_000_000]), st.sampled_from(MARGINS))
def test_sorted_rows_give_what_tables_of_groups_give(
    records: list[Record], text: str, at_once: int, margins: list[list[str]]
) -> None:
    parts = {"measures": ADDED, "dimensions": ["district", "part"], "margins": margins}
    spec, used = job(text, **parts), list[str]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(perturb, "AT_ONCE", at_once)
        patch.setattr(perturb, "PART", at_once)
        patch.setattr(moves, "FEW", 1_000)
        patch.setattr(moves.Moves, "write", lambda one, column: noted(used, one, column))
        short = told(spec, records, pl.Int32)
        patch.setattr(perturb, "added", lambda *_: None)
        long = told(spec, records, pl.Int32)
    same(short, long)
    tried = {name.split(":")[0] for name in short.perturbed if not name.startswith("*")}
    assert not short.rows_total or set(used) >= tried


STEPS = [
    ("SELECT district, fee AS x, rate AS y FROM t", {0: None, 1: ("t", "fee"), 2: ("t", "rate")}),
    ("SELECT district, f.fee AS x, f.rate AS y FROM t f WHERE f.fee > 0", {0: None, 1: ("t", "fee"), 2: ("t", "rate")}),
    ("SELECT district, fee + 0 AS x, rate AS y FROM t", {0: None, 2: ("t", "rate")}),
    ("SELECT district, CASE WHEN fee > 1 THEN 1 END AS x, rate AS y FROM t", {0: None, 2: ("t", "rate")}),
    ("SELECT district, fee AS x, rate AS y FROM t UNION ALL SELECT district, fee, 2 * rate FROM t", {0: None}),
    ("SELECT who, district, sum(fee) AS x, max(rate) AS y FROM t GROUP BY who, district", {0: None}),
    ("SELECT DISTINCT who, district, fee AS x, rate AS y FROM t", {0: None}),
]


@pytest.mark.parametrize(("step", "known"), STEPS, ids=[step for step, _ in STEPS])
def test_a_measure_takes_a_column_as_it_is_only_where_nothing_is_done_to_it(
    step: str, known: dict[int, Any], tmp_path: Path
) -> None:
    spec = job(step, measures={"n": {"op": "count"}, "a": {"op": "sum", "of": "x"}, "b": {"op": "mean", "of": "y"}})
    path = tmp_path / "t.parquet"
    pl.DataFrame({"who": ["a"], "district": ["东"], "fee": [1], "rate": [0.1], "other": [0]}).write_parquet(path)
    program = Program(spec, {"t": Source((str(path),), "sha256:t", (EntityKey("person", "who"),))}, ["person"])
    assert unchanged(program, spec) == known
    assert "other" not in mentioned(program, "t")
    assert {"district", "fee", "rate"} <= set(mentioned(program, "t"))
