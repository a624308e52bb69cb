"""A cube is what its contributions say it is: for all rows, and for the rows of any set of entities."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import combinations
from typing import Any

import duckdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.products import compile as sql
from sandbox.products.spec import Cube
from tests.same_rows import same_rows

DIMENSIONS = ("区", "级", "日", "月")
AMOUNTS = ("整", "定点", "浮点")
TYPES = {
    "区": "VARCHAR", "级": "INTEGER", "日": "DATE", "整": "BIGINT", "定点": "DECIMAL(18,4)", "浮点": "DOUBLE",
    "__e": "UINTEGER",
}  # fmt: skip
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "区": st.sampled_from([None, "东", "西", ""]), "级": st.sampled_from([None, -1, 0, 2]),
    "日": st.sampled_from([None, "2026-01-31", "2026-02-28", "1969-12-31"]),
    "整": st.sampled_from([None, 0, 1, -7, 2**40]), "定点": st.sampled_from([None, "0", "0.0001", "-99999999.9999"]),
    "浮点": st.sampled_from([None, 0.0, 0.5, -2.25, 1e6]), "__e": st.sampled_from([None, 0, 1, 2, 3, 2**32 - 1]),
}  # fmt: skip
rows = st.lists(st.tuples(*VALUES.values()), max_size=12)
amount = st.sampled_from(AMOUNTS)
any_column = st.sampled_from(["区", "级", "日", *AMOUNTS])


@st.composite
def measures(draw: st.DrawFn, margins: list[list[str]]) -> dict[str, Any]:
    kinds: list[st.SearchStrategy[dict[str, Any]]] = [
        st.just({"op": "count"}),
        st.builds(lambda o, c: {"op": o, "of": c}, st.sampled_from(["count", "count_distinct"]), any_column),
        st.builds(lambda o, c: {"op": o, "of": c}, st.sampled_from(["sum", "mean", "median", "stddev"]), amount),
        st.builds(lambda o, c: {"op": o, "of": c}, st.sampled_from(["min", "max"]), st.sampled_from([*AMOUNTS, "日"])),
        st.builds(lambda c, p: {"op": "ratio", "of": c, "per": p}, amount, st.sampled_from([*AMOUNTS, "count"])),
        st.builds(lambda c, w: {"op": "weighted_mean", "of": c, "weight": w}, amount, amount),
        st.builds(lambda c, q: {"op": "quantile", "of": c, "q": q}, amount, st.sampled_from([0.1, 0.5, 0.9])),
    ]  # fmt: skip
    if margins:
        share = st.builds(
            lambda c, m: {"op": "share_of_margin", "margin": m, **({"of": c} if c else {})},
            st.one_of(st.none(), amount), st.sampled_from(margins),
        )  # fmt: skip
        kinds.append(share)
    found = draw(st.lists(st.one_of(kinds), min_size=1, max_size=4))
    return {f"m{i}": m for i, m in enumerate(found)}


@st.composite
def cubes(draw: st.DrawFn) -> Cube:
    dims = draw(st.lists(st.sampled_from(DIMENSIONS), max_size=3, unique=True))
    sets = [list(s) for size in range(len(dims)) for s in combinations(dims, size)]
    margins = draw(st.lists(st.sampled_from(sets), max_size=3, unique_by=tuple)) if sets else []
    where = draw(
        st.sampled_from([[], [{"column": "整", "op": ">", "value": -5}], "整 > 0 OR 浮点 <= 0.5 OR 月 IS NULL"])
    )
    return Cube.model_validate(
        {"from": "t", "where": where, "derive": {"月": {"month": "日"}}, "dimensions": dims, "margins": margins,
         "measures": draw(measures(margins))}
    )  # fmt: skip


@contextmanager
def opened(found: list[tuple[Any, ...]], kept: str = "TRUE") -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:", config={"threads": 1}) as con:
        con.execute(f"CREATE TABLE raw ({', '.join(f'{sql.quote(n)} {t}' for n, t in TYPES.items())})")
        if found:
            con.executemany(f"INSERT INTO raw VALUES ({', '.join('?' * len(TYPES))})", found)
        con.execute(f"CREATE VIEW t AS SELECT * FROM raw WHERE {kept}")
        yield con


def contribute(con: duckdb.DuckDBPyConnection, cube: Cube, owner: str) -> None:
    con.execute(f"CREATE TABLE __c AS {sql.contributions_sql(cube, {'t': owner})}")  # type: ignore[dict-item]
    for i, partial in enumerate(sql.partials(cube)):
        if partial.is_holistic:
            con.execute(f"CREATE TABLE __v{i} AS {sql.companion_sql(cube, {'t': owner}, i)}")  # type: ignore[dict-item]


SLOW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(cubes(), rows, st.sets(st.sampled_from([0, 1, 2, 3, 2**32 - 1])))
@SLOW
def test_recomputed_from_the_contributions_of_any_entities_it_is_the_cube_over_their_rows(
    cube: Cube, found: list[tuple[Any, ...]], gone: set[int]
) -> None:
    kept = f"(__e IS NULL OR __e NOT IN ({', '.join(map(str, gone))}))" if gone else "TRUE"
    keys = len(cube.dimensions)
    with opened(found) as con:
        contribute(con, cube, "one")
        predicted = con.execute(sql.recompute_sql(cube, kept)).fetchall()
    with opened(found, kept) as con:
        cursor = con.execute(sql.cube_sql(cube))
        names = [column[0] for column in cursor.description]
        assert names == [*cube.output_columns, *(["__g"] if cube.margins else [])]
        assert same_rows(cursor.fetchall(), predicted, keys)


@given(cubes(), rows)
@SLOW
def test_rows_of_several_owners_are_counted_once(cube: Cube, found: list[tuple[Any, ...]]) -> None:
    with opened(found) as con:
        con.execute("CREATE OR REPLACE VIEW t AS SELECT * REPLACE (CASE WHEN __e IS NOT NULL "
                    "THEN list_sort(list_distinct([__e, 7::UINTEGER])) END AS __e) FROM raw")  # fmt: skip
        contribute(con, cube, "several")
        whole = con.execute(sql.cube_sql(cube)).fetchall()
        assert same_rows(whole, con.execute(sql.recompute_sql(cube)).fetchall(), len(cube.dimensions))
        lists = {row[0] for row in con.execute("SELECT typeof(__e) FROM __c").fetchall()}
        assert lists <= {"UINTEGER[]"}


def test_a_margin_and_a_missing_value_are_kept_apart() -> None:
    measures = {"n": {"op": "count"}, "s": {"op": "sum", "of": "整"}}
    cube = Cube.model_validate({"from": "t", "dimensions": ["区"], "margins": [[]], "measures": measures})
    found: list[tuple[Any, ...]] = [("东", 1, None, 5, None, None, 1), (None, 1, None, 7, None, None, 2)]
    with opened(found) as con:
        expected = [("东", 1, 5, 0), (None, 1, 7, 0), (None, 2, 12, 1)]
        assert con.execute(sql.cube_sql(cube)).fetchall() == expected
        contribute(con, cube, "one")
        assert con.execute(sql.recompute_sql(cube)).fetchall() == expected
        only = con.execute(sql.recompute_sql(cube, "__e = 9")).fetchall()
        assert only == [(None, 0, None, 1)]


def quantile(values: list[float], q: float) -> float:
    at = q * (len(values) - 1)
    low = values[int(at)]
    return low + (values[min(int(at) + 1, len(values) - 1)] - low) * (at - int(at))


def naive(measure: dict[str, Any], found: list[dict[str, Any]], margin: list[dict[str, Any]]) -> Any:
    """One measure of one cell in plain Python; `margin`: the rows that a share is taken of."""

    def column(name: str | None, among: list[dict[str, Any]]) -> list[Any]:
        return [row[name] for row in among if row[name] is not None]

    def total(name: str | None, among: list[dict[str, Any]]) -> Any:
        return len(among) if name is None else sum(column(name, among)) if column(name, among) else None

    def per(top: Any, below: Any) -> float | None:
        return None if top is None or not below else float(top) / float(below)

    op, of = measure["op"], measure.get("of")
    values = sorted(column(of, found)) if of else []
    if op in ("count", "count_distinct"):
        return len(found) if of is None else len(values if op == "count" else set(values))
    if op in ("sum", "mean", "ratio"):
        below = {"sum": None, "mean": len(values)}.get(
            op, total(None if measure.get("per") == "count" else measure.get("per"), found)
        )
        return total(of, found) if op == "sum" else per(total(of, found), below)
    if op == "weighted_mean":
        both = [r for r in found if r[of] is not None and r[measure["weight"]] is not None]
        return per(
            sum(float(r[of]) * float(r[measure["weight"]]) for r in both), sum(r[measure["weight"]] for r in both)
        )
    if op == "share_of_margin":
        return per(total(of, found), total(of, margin))
    if not values or (op == "stddev" and len(values) < 2):
        return None
    if op in ("min", "max"):
        return values[0 if op == "min" else -1]
    if op == "stddev":
        return statistics.stdev(map(Fraction, values))
    return quantile([float(v) for v in values], measure.get("q", 0.5))


@given(cubes(), rows)
@SLOW
def test_every_measure_is_what_plain_python_makes_of_it(cube: Cube, found: list[tuple[Any, ...]]) -> None:
    with opened(found) as con:
        listed = [dict(zip(TYPES, row, strict=True)) for row in con.execute("SELECT * FROM t").fetchall()]
        got = con.execute(sql.cube_sql(cube)).fetchall()
    kept = [{**r, "月": r["日"] and r["日"].strftime("%Y-%m")} for r in listed if passes(cube, r)]
    for row in got:
        number = row[-1] if cube.margins else 0
        by = dict(zip(cube.dimensions, row, strict=False))

        def inside(dims: list[str], by: dict[str, Any] = by) -> list[dict[str, Any]]:
            return [r for r in kept if all(r[d] == by[d] for d in dims)]

        for value, measure in zip(row[len(by) :], cube.measures.values(), strict=False):
            data = measure.model_dump(exclude_none=True)
            wanted = naive(data, inside(cube.groupings[number]), inside(data.get("margin", [])))
            if "margin" in data and not set(data["margin"]) <= set(cube.groupings[number]):
                wanted = None
            near = (
                wanted is not None and value is not None and measure.op not in ("min", "max", "count", "count_distinct")
            )
            assert math.isclose(value, wanted, rel_tol=1e-9, abs_tol=1e-9) if near else value == wanted, (measure, row)
    sets = list(enumerate(cube.groupings))
    cells = {(n, *(r[d] if d in g else None for d in cube.dimensions)) for n, g in sets for r in kept}
    cells |= {(n, *[None] * len(cube.dimensions)) for n, g in sets if not g}
    assert {((row[-1] if cube.margins else 0), *row[: len(cube.dimensions)]) for row in got} == cells


def passes(cube: Cube, row: dict[str, Any]) -> bool:
    """The three filters that cubes are drawn with, in three-valued logic."""
    whole, real = row["整"], row["浮点"]
    if isinstance(cube.where, str):
        return (whole is not None and whole > 0) or (real is not None and real <= 0.5) or row["日"] is None
    return not cube.where or (whole is not None and whole > -5)
