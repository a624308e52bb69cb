"""Evidence against a naive reference in plain Python, over generated tables."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from sandbox.products import compile as sql
from sandbox.products import proofs
from sandbox.products.entities import SessionCodes
from sandbox.products.evidence import Evidence, derive
from sandbox.products.source import EntityKey, Source
from sandbox.products.spec import JobSpec, parse
from tests.export_subjects import job

SPEC = parse(
    job(
        dimensions=["区"],
        measures={
            "行": {"op": "count"}, "有值": {"op": "count", "of": "费用"}, "种": {"op": "count_distinct", "of": "类"},
            "和": {"op": "sum", "of": "费用"}, "均": {"op": "mean", "of": "费用"},
            "比": {"op": "ratio", "of": "费用", "per": "次"},
        },
    )
)  # fmt: skip
KEY = (EntityKey("person", "人"),)

Record = tuple[str | None, str | None, int | None, str | None, int]
RECORDS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "d", "e", None]),
        st.sampled_from(["东", "西", None]),
        st.one_of(st.none(), st.integers(-3, 5)),
        st.sampled_from(["x", "y", None]),
        st.integers(0, 2),
    ),
    max_size=14,
)
SLOW = settings(max_examples=12, deadline=None)


@contextmanager
def stored(records: Sequence[Record]) -> Iterator[dict[str, Source]]:
    schema = {"人": pl.String, "区": pl.String, "费用": pl.Int64, "类": pl.String, "次": pl.Int64}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.parquet"
        pl.DataFrame(list(records), schema=schema, orient="row").write_parquet(path)
        yield {"t": Source((str(path),), "sha256:t", KEY)}


def evidence_of(records: Sequence[Record], codes: Any = None, spec: JobSpec = SPEC) -> Evidence:
    with stored(records) as sources:
        return derive(spec, sources, codes=codes or SessionCodes(), halves=1)


@dataclass(frozen=True)
class Cell:
    """What the reference knows of one cell and partial."""

    n: int
    present: int
    non_zero: int
    x1: float
    total: float
    owners: frozenset[str]


def reference(records: Sequence[Record]) -> dict[tuple[str | None, str, str], Cell]:
    """Every count by hand: district, measure, part → cell."""
    groups: dict[str | None, list[Record]] = defaultdict(list)
    for record in records:
        groups[record[1]].append(record)
    found = {}
    for district, rows in groups.items():
        values: dict[tuple[str, str], list[tuple[str | None, Any]]] = {
            ("行", "value"): [(r[0], 1) for r in rows],
            ("有值", "value"): [(r[0], 1 if r[2] is not None else None) for r in rows],
            ("种", "value"): [(r[0], r[3]) for r in rows],
            ("和", "value"): [(r[0], r[2]) for r in rows],
            ("均", "value"): [(r[0], r[2]) for r in rows],
            ("比", "numerator"): [(r[0], r[2]) for r in rows],
            ("比", "denominator"): [(r[0], r[4]) for r in rows],
        }
        for (measure, part), pairs in values.items():
            found[district, measure, part] = cell(pairs, distinct=measure == "种")
    return found


def cell(pairs: Sequence[tuple[str | None, Any]], distinct: bool) -> Cell:
    by_owner: dict[str | None, list[Any]] = defaultdict(list)
    for owner, value in pairs:
        by_owner[owner] += [] if value is None else [value]
    sums = {o: float(len(set(v)) if distinct else sum(v)) for o, v in by_owner.items() if v or distinct}
    owners = frozenset(o for o, v in by_owner.items() if v and o is not None)
    non_zero = sum(1 for o in owners if any(v != 0 for v in by_owner[o]))
    sizes = sorted(map(abs, sums.values()), reverse=True)
    return Cell(
        len(owners), sum(map(len, by_owner.values())), non_zero, sizes[0] if sizes else 0.0, float(sum(sizes)), owners
    )


def by_cell(evidence: Evidence) -> dict[tuple[str | None, str, str], dict[str, Any]]:
    rows = evidence.kinds[0].cells.iter_rows(named=True)
    return {(evidence.rows[r["cell"]][0], r["measure"], r["part"]): r for r in rows}


@SLOW
@given(RECORDS)
def test_cell_table_equals_the_reference(records: list[Record]) -> None:
    evidence = evidence_of(records)
    assert evidence.kinds[0].proved
    mine, theirs = by_cell(evidence), reference(records)
    assert mine.keys() == theirs.keys()
    for key, row in mine.items():
        wanted = theirs[key]
        assert (row["n"], row["n_non_missing"], row["n_non_zero"]) == (wanted.n, wanted.present, wanted.non_zero)
        assert (row["x1"] or 0.0, row["x_total"] or 0.0) == (wanted.x1, wanted.total)
        assert len(BitMap.deserialize(evidence.kinds[0].bitmaps[row["bitmap"]])) == wanted.n


@SLOW
@given(RECORDS.filter(lambda r: any(x[0] for x in r)))
def test_removing_an_entity_changes_only_cells_whose_set_has_it(records: list[Record]) -> None:
    codes = SessionCodes()
    whole = evidence_of(records, codes)
    before = by_cell(whole)
    for person in {r[0] for r in records if r[0]}:
        code = int(codes.assign("person", [person.upper()])[0])
        after = by_cell(evidence_of([r for r in records if r[0] != person], codes))
        for key, row in before.items():
            inside = code in BitMap.deserialize(whole.kinds[0].bitmaps[row["bitmap"]])
            if not inside and key in after:
                assert (after[key]["n"], after[key]["bitmap"]) == (row["n"], row["bitmap"])
            if inside:
                assert row["n"] - (after[key]["n"] if key in after else 0) == 1


@SLOW
@given(RECORDS, st.integers(1, 4))
def test_repeating_rows_never_raises_the_number_of_entities(records: list[Record], times: int) -> None:
    once, often = by_cell(evidence_of(records)), by_cell(evidence_of(records * times))
    assert {k: (r["n"], r["n_non_zero"], r["bitmap"]) for k, r in once.items()} == {
        k: (r["n"], r["n_non_zero"], r["bitmap"]) for k, r in often.items()
    }


@SLOW
@given(RECORDS, st.lists(RECORDS.map(lambda r: [(None, *x[1:]) for x in r]), max_size=2))
def test_rows_without_a_key_never_raise_the_number_of_entities(records: list[Record], more: list[list[Any]]) -> None:
    padded = by_cell(evidence_of([*records, *(r for rows in more for r in rows)]))
    for key, row in by_cell(evidence_of(records)).items():
        assert padded[key]["n"] == row["n"]


class Shifted(SessionCodes):
    """Other numbers for the same people."""

    def assign(self, kind: str, keys: Sequence[str]) -> Any:
        return (np.uint32(1_000_003) - super().assign(kind, keys) * np.uint32(7)).astype(np.uint32)


@SLOW
@given(RECORDS)
def test_other_numbers_for_entities_change_only_the_sets(records: list[Record]) -> None:
    a, b = evidence_of(records), evidence_of(records, Shifted())
    assert a.rows == b.rows
    assert a.kinds[0].cells.drop("bitmap").equals(b.kinds[0].cells.drop("bitmap"))


def test_an_empty_source_gives_no_cell_and_a_total_of_nothing() -> None:
    assert evidence_of([]).rows == ()
    total = evidence_of(
        [], spec=parse(job(dimensions=[], measures={"行": {"op": "count"}, "和": {"op": "sum", "of": "费用"}}))
    )
    assert total.rows == ((0, None),) and total.kinds[0].cells["n"].to_list() == [0, 0] and total.kinds[0].proved


def test_informative_entities_are_those_whose_contribution_can_move() -> None:
    records = [(f"p{i}", "东", 7, "x", 1) for i in range(12)] + [(f"q{i}", "西", i, "x", 1) for i in range(12)]
    rows = by_cell(evidence_of(records, spec=parse(job(measures={"和": {"op": "sum", "of": "费用"}}))))
    assert rows["东", "和", "value"]["n_informative"] == rows["西", "和", "value"]["n_informative"] == 12
    same = by_cell(evidence_of(records[:12], spec=parse(job(measures={"和": {"op": "sum", "of": "费用"}}))))
    assert same["东", "和", "value"]["n_informative"] == 0


BROKEN = {
    "an owner is dropped": ('"t".__e', 'nullif("t".__e, 0)'),
    "owners are swapped": ('"t".__e', 'CASE "t".__e WHEN 0 THEN 1 WHEN 1 THEN 0 ELSE "t".__e END'),
    "a filter is forgotten": ("WHERE (", "WHERE TRUE OR ("),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_carrier_is_exposed_by_the_proofs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = sql.rows_sql
    monkeypatch.setattr(sql, "rows_sql", lambda cube, owners: honest(cube, owners).replace(*BROKEN[name]))
    records = [(f"p{i}", "东", 2**i, "x", 1) for i in range(12)]
    spec = parse(job(where=[{"column": "费用", "op": "<", "value": 100}], measures={"和": {"op": "sum", "of": "费用"}}))
    with stored(records) as sources:
        found = derive(spec, sources, codes=SessionCodes(), halves=16)
    assert not found.kinds[0].proved


LEFT_RIGHT = [
    ("1.0::DOUBLE", "(1.0 + 1e-12)::DOUBLE", True), ("1.0::DOUBLE", "(1.0 + 1e-8)::DOUBLE", False),
    ("1e-12::DOUBLE", "2e-12::DOUBLE", False), ("'nan'::DOUBLE", "'nan'::DOUBLE", True),
    ("'inf'::DOUBLE", "1.0::DOUBLE", False), ("'inf'::DOUBLE", "'inf'::DOUBLE", True),
    ("NULL::DOUBLE", "NULL::DOUBLE", True), ("NULL::DOUBLE", "0.0::DOUBLE", False),
    ("5::HUGEINT", "5::HUGEINT", True), ("170141183460469231731687303715884105727::HUGEINT",
     "170141183460469231731687303715884105726::HUGEINT", False),
    ("1.0000000000000000000000000001::DECIMAL(38,28)", "1.0000000000000000000000000002::DECIMAL(38,28)", False),
    ("'东'", "'西'", False), ("NULL::VARCHAR", "''", False),
]  # fmt: skip


@pytest.mark.parametrize(("left", "right", "equal"), LEFT_RIGHT)
def test_floats_are_compared_relatively_and_everything_else_exactly(left: str, right: str, equal: bool) -> None:
    with duckdb.connect() as con:
        con.execute(f"CREATE TABLE l AS SELECT 1 AS n, {left} AS x")
        con.execute(f"CREATE TABLE r AS SELECT 1 AS n, {right} AS x")
        assert proofs.same(con, "l", "r") is equal
        con.execute("INSERT INTO r SELECT * FROM r")
        assert not proofs.same(con, "l", "r")
