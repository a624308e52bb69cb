"""Values that are counted once, as sorted numbers, against sets in plain Python."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import reduce
from operator import or_
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.products import distinct
from sandbox.products.distinct import NOBODY, Valued, by_halves, repeated

Row = tuple[int | None, int | None, int | None, int | None]
CODES = st.one_of(st.none(), st.sampled_from([0, 1, 2, 2**32 - 1]))
VALUES = st.one_of(st.none(), st.sampled_from([-(2**63), -3, 0, 1, 2, 2**62, 2**63 - 1]), st.integers(-4, 4))
ROWS = st.lists(st.tuples(st.sampled_from([0, 1, None]), st.sampled_from([2, None]), CODES, VALUES), max_size=30)
FORMS = [
    "__c",
    "CAST(__c AS VARCHAR)",
    "CAST(__c AS HUGEINT)",
    "CAST(greatest(least(__c, 99), -99) AS TINYINT)",
    "[__c]",
]
ROWS_OF = Valued("x", ["k1", "k0"], "__c", f"coalesce(CAST(__e AS UBIGINT), {NOBODY})")


def table(rows: list[Row], form: str) -> duckdb.DuckDBPyConnection:
    """Rows with their own values in another form."""
    con = duckdb.connect()
    con.execute("CREATE TABLE r (k0 UINTEGER, k1 UINTEGER, __e UINTEGER, __c BIGINT)")
    for row in rows:
        con.execute("INSERT INTO r VALUES (?, ?, ?, ?)", row)
    value = f"CASE WHEN __c IS NOT NULL THEN {form} END"
    con.execute(f"CREATE TABLE x AS SELECT * REPLACE ({value} AS __c) FROM r")
    return con


def told(con: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    """(cell, owner, value) of every row and grouping that has them."""
    rows = con.execute("SELECT k0, k1, coalesce(__e::UBIGINT, 4294967296), CAST(__c AS VARCHAR) FROM x").fetchall()
    return [(k, e, v) for *cells, e, v in rows for k in cells if k is not None and v is not None]


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=15, deadline=None)
@given(ROWS)
def test_repetitions_are_rows_without_a_value_of_their_own(form: str, rows: list[Row]) -> None:
    with table(rows, form) as con, pytest.MonkeyPatch.context() as patch:
        patch.setattr(distinct, "PART", 4)
        shared = repeated(con, ROWS_OF, "found")
        pairs = told(con)
        wanted = Counter((k, e) for k, e, _ in pairs) - Counter((k, e) for k, e, _ in set(pairs))
        found = con.execute("SELECT __cell, __o, sum(__many) FROM found GROUP BY ALL").fetchall()
        assert {(k, e): n for k, e, n in found} == wanted
        owners = defaultdict(set)
        for k, e, v in pairs:
            if k == 2:  # the coarsest cells come first
                owners[v].add(e)
        assert shared == any(len(those) > 1 for those in owners.values())


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=15, deadline=None)
@given(ROWS)
def test_a_value_stays_in_the_halves_of_any_of_its_owners(form: str, rows: list[Row]) -> None:
    mask = "CAST(coalesce(__e::UBIGINT * 37 % 256, 255) AS UTINYINT)"
    with table(rows, form) as con, pytest.MonkeyPatch.context() as patch:
        patch.setattr(distinct, "PART", 4)
        by_halves(con, ROWS_OF, mask, "found")
        masks = defaultdict(list)
        for k, e, v in told(con):
            masks[k, v].append(255 if e == NOBODY else e * 37 % 256)
        wanted = Counter((k, reduce(or_, those)) for (k, _), those in masks.items())
        found = con.execute("SELECT __cell, __mask, sum(__many) FROM found GROUP BY ALL").fetchall()
        assert {(k, m): n for k, m, n in found} == wanted
