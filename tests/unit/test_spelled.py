"""Values that JSON cannot hold have one stated spelling, and come back as they were."""

from __future__ import annotations

import json
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.workspaces import spelled

SPELLINGS: list[tuple[str, str, Any]] = [
    ("9007199254740991::BIGINT", "integer", 9007199254740991),
    ("9007199254740992::BIGINT", "integer", "9007199254740992"),
    ("18446744073709551615::UBIGINT", "integer", "18446744073709551615"),
    ("170141183460469231731687303715884105727::HUGEINT", "integer", "170141183460469231731687303715884105727"),
    ("5::HUGEINT", "integer", 5), ("12.50::DECIMAL(10, 2)", "decimal", "12.50"),
    ("-0.00::DECIMAL(4, 2)", "decimal", "0.00"),
    ("1.5::DOUBLE", "double", 1.5), ("'nan'::DOUBLE", "double", "NaN"), ("'inf'::DOUBLE", "double", "Infinity"),
    ("'-inf'::FLOAT", "double", "-Infinity"), ("DATE '2026-03-02'", "date", "2026-03-02"),
    ("DATE '15000-01-01'", "date", "15000-01-01"), ("'infinity'::DATE", "date", "infinity"),
    ("TIMESTAMP '2026-03-02 09:30:00.5'", "timestamp", "2026-03-02T09:30:00.5"),
    ("TIMESTAMP_NS '2026-03-02 09:30:00.123456789'", "timestamp", "2026-03-02T09:30:00.123456789"),
    ("TIMESTAMPTZ '2026-03-02 09:30:00+08'", "timestamp", "2026-03-02T01:30:00Z"),
    ("'-infinity'::TIMESTAMP", "timestamp", "-infinity"), ("TIME '09:30:00'", "time", "09:30:00"),
    ("INTERVAL '1 month 2 days 3.5 seconds'", "interval", "P1M2DT3.5S"), ("INTERVAL 0 seconds", "interval", "PT0S"),
    ("'\\xAB'::BLOB", "binary", "qw=="), ("true", "boolean", True), ("'字\"'", "text", '字"'), ("NULL", "null", None),
    ("'a'::ENUM('a', 'b')", "text", "a"), ("[1, NULL]", "list", [1, None]), ("[]::INT[]", "list", []),
    ("[1.5::DECIMAL(3, 1)]::DECIMAL(3, 1)[1]", "list", ["1.5"]),
    ("{'a': DATE '2026-03-02'}", "struct", {"a": "2026-03-02"}),
    ("MAP {1: 'x'}", "map", [[1, "x"]]), ("[{'k': [NULL, 'v']}]", "list", [{"k": [None, "v"]}]),
    ("NULL::STRUCT(a INT)", "struct", None), ("union_value(n := 7)", "other", 7),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "kind", "value"), SPELLINGS)
def test_a_value_is_spelled_as_stated(sql: str, kind: str, value: Any) -> None:
    batch = duckdb.connect().sql(f"SELECT {sql} AS v").to_arrow_reader(10).read_next_batch()
    assert (spelled.kind(batch.schema.types[0]), spelled.rows(batch)) == (kind, [[value]])
    json.dumps(value, allow_nan=False)


def test_parts_of_a_column_are_spelled_like_the_whole() -> None:
    """Arrow's nested arrays keep their values whole when they are cut."""
    sql = "SELECT [i, NULL] l, {'a': [i]} s, MAP {i: 'x'} m, CASE WHEN i % 3 > 0 THEN [i] END o FROM range(9) t(i)"
    batch = duckdb.connect().sql(sql).to_arrow_reader(100).read_next_batch()
    whole = spelled.rows(batch)
    assert [row for n in range(9) for row in spelled.rows(batch.slice(n, 1))] == whole
    assert whole[4] == [[4, None], {"a": [4]}, [[4, "x"]], [4]]


@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), max_size=20))
def test_whole_numbers_come_back_exactly(values: list[int | None]) -> None:
    found = json.loads(json.dumps(spelled.array(pa.array(values, pa.int64()))))
    assert [None if v is None else int(v) for v in found] == values
    assert all(isinstance(v, str) or v is None or abs(v) < 2**53 for v in found)
