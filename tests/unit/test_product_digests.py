"""Digests of tables inside a proof: they name the rows, not how these came to lie in batches and parts."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from sandbox.products import digests
from sandbox.products.digests import digest

ROWS = """SELECT CASE WHEN i % 7 <> 0 THEN (i // 3)::UINTEGER END AS __e, (i % 3)::UINTEGER AS __cell,
    CASE WHEN i % 5 > 0 THEN 'x' || i % 11 END AS t, (i - 50) * 10000000000000000000000000::HUGEINT AS h,
    i / 8.5 - 3 AS d, i % 2 = 0 AS b, (i / 4)::DECIMAL(20, 2) AS m,
    DATE '2025-01-01' + i::INTEGER AS day FROM range(100) r(i)"""
ORDER = "__e NULLS FIRST, __cell NULLS FIRST, h"


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as made:
        made.execute(f"CREATE TABLE rows AS {ROWS}")
        yield made


def test_neither_batches_nor_parts_nor_the_order_of_rows_matter(
    con: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = digest(con, "rows", order=ORDER)
    con.execute("CREATE TABLE mixed AS SELECT * FROM rows ORDER BY hash(h)")
    monkeypatch.setattr(digests, "_BATCH", 7)
    parts = ["(__e IS NULL OR __e <= 4)", "__e > 4 AND __e <= 20", "__e > 20 AND __e <= 20", "__e > 20"]
    assert digest(con, "mixed", parts, ORDER) == digest(con, "mixed", order=ORDER) == once
    assert digest(con, "mixed") != once and once.startswith("sha256:")


@pytest.mark.parametrize(
    "change",
    [
        "__e = __e + 1", "__e = NULL", "__e = 0", "t = NULL", "t = ''", "t = t || t", "h = h + 1", "h = -h",
        "d = d * (1 + 1e-5)", "d = -d", "d = NULL", "b = NOT b", "m = m + 0.01", "day = day + 1",
    ],
)  # fmt: skip
def test_every_value_counts(con: duckdb.DuckDBPyConnection, change: str) -> None:
    before = digest(con, "rows", order=ORDER)
    con.execute(f"UPDATE rows SET {change} WHERE __e = 12 AND __cell = 1")
    assert digest(con, "rows", order=ORDER) != before


def test_a_row_more_a_value_in_the_next_row_and_another_name_count(con: duckdb.DuckDBPyConnection) -> None:
    before = digest(con, "rows", order=ORDER)
    for table in (
        "(SELECT * FROM rows UNION ALL SELECT * FROM rows WHERE __e = 12)",
        "(SELECT * RENAME (d AS other) FROM rows)",
        "(SELECT * REPLACE (lag(t) OVER (ORDER BY h) AS t) FROM rows)",
    ):
        con.execute(f"CREATE OR REPLACE TABLE other AS SELECT * FROM {table}")
        assert digest(con, "other", order=ORDER) != before


def test_the_last_digits_of_floating_sums_do_not_count(con: duckdb.DuckDBPyConnection) -> None:
    before = digest(con, "rows", order=ORDER)
    con.execute("UPDATE rows SET d = d * (1 + 1e-15)")
    assert digest(con, "rows", order=ORDER) == before
    con.execute("UPDATE rows SET d = 'nan' WHERE __e = 12")
    nan = digest(con, "rows", order=ORDER)
    con.execute("UPDATE rows SET d = -d WHERE __e = 12")
    assert digest(con, "rows", order=ORDER) == nan != before
    zeros = set()
    for zero in ("0.0", "-0.0"):
        con.execute(f"UPDATE rows SET d = {zero} WHERE __e = 12")
        zeros.add(digest(con, "rows", order=ORDER))
    assert len(zeros) == 1
