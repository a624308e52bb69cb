"""The shuffle of P3 moves the values of one column between the rows that have one, and nothing else."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from math import factorial
from typing import Any
from uuid import UUID

import duckdb
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.products import shuffle as shuffling
from sandbox.products.shuffle import mixed, shuffle

SEEDS = st.integers(0, 2**62 - 1)
TYPES: list[tuple[str, list[Any]]] = [
    ("BOOLEAN", [True, False, True, True]), ("TINYINT", [-128, 0, 127, 5]), ("USMALLINT", [0, 65_535, 3, 4]),
    ("INTEGER", [-(2**31), 1, 2, 3]), ("UBIGINT", [2**64 - 1, 0, 1, 2]), ("HUGEINT", [2**126, -(2**126), 0, 1]),
    ("FLOAT", [0.5, -0.0, float("inf"), 3.0]), ("DOUBLE", [0.1, float("-inf"), -0.0, 1e308]),
    ("DECIMAL(4,2)", [Decimal("-99.99"), Decimal("0.01"), Decimal(1), Decimal(2)]),
    ("DECIMAL(38,3)", [Decimal("12345678901234567890123456789012345.678"), Decimal("-0.001"), Decimal(1), Decimal(2)]),
    ("DATE", [date(1, 1, 1), date(2024, 2, 29), date(9999, 12, 31), date(1970, 1, 1)]),
    ("TIME", [time(0), time(23, 59, 59, 999_999), time(1), time(2)]),
    ("TIMESTAMP", [datetime(1969, 12, 31, 23, 59, 9, 1), datetime(2024, 1, 1), datetime(9, 1, 1), datetime(1, 1, 1)]),
    ("TIMESTAMP_S", [datetime(1969, 12, 31), datetime(2024, 1, 1), datetime(2025, 1, 1), datetime(2026, 1, 1)]),
    ("TIMESTAMP WITH TIME ZONE", [datetime(2024, 1, n, tzinfo=UTC) for n in range(1, 5)]),
    ("VARCHAR", ["", "甲", "a" * 40, "\x00"]), ("BLOB", [b"", b"\x00\xff", b"a" * 40, b"b"]),
    ("UUID", [UUID(int=n) for n in (0, 1, 2**127, 2**128 - 1)]), ("ENUM('a', 'b', 'c')", ["a", "b", "c", "a"]),
    ("INTEGER[]", [[], [1], [1, None], [2, 3]]), ("STRUCT(a INTEGER)", [{"a": n} for n in range(4)]),
]  # fmt: skip


def permutation(n: int, seed: int) -> npt.NDArray[np.uint32]:
    return mixed(np.arange(n, dtype=np.uint32), seed)


def shuffled(type_: str, values: Sequence[Any], seed: int) -> list[Any]:
    """The column afterwards, in the order of the rows; all else is looked at here."""
    with duckdb.connect(config={"threads": 2}) as con:
        con.execute("SET TimeZone='UTC'")
        con.execute(f'CREATE TABLE t (i INTEGER, "的 x" {type_}, "__other" VARCHAR)')
        for i, v in enumerate(values):
            con.execute("INSERT INTO t VALUES (?, ?, ?)", [i, v, f"o{i}"])
        shuffle(con, "t", "的 x", seed, '"a name"')
        assert con.execute('DESCRIBE "a name"').fetchall() == con.execute("DESCRIBE t").fetchall()
        rows = con.execute('SELECT i, "__other", CAST("的 x" AS VARCHAR) FROM "a name" ORDER BY i').fetchall()
        before = con.execute('SELECT CAST("的 x" AS VARCHAR) FROM t ORDER BY i').fetchall()
    after = [v for *_, v in rows]
    assert [row[:2] for row in rows] == [(i, f"o{i}") for i, _ in enumerate(values)]
    assert [v is None for v in after] == [v is None for v in values]
    assert Counter(after) == Counter(v for (v,) in before)
    return after


@pytest.mark.parametrize(("type_", "some"), TYPES, ids=[name for name, _ in TYPES])
def test_every_type_keeps_its_values_and_missing_ones_stay_missing(type_: str, some: list[Any]) -> None:
    values = [*some, None, *some * 4, None, None]
    orders = [shuffled(type_, values, seed) for seed in (1, 2, 3, 1)]
    assert orders[0] == orders[3]
    assert len({tuple(order) for order in orders}) > 1
    shuffled(type_, some, 7)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(-5, 5))), SEEDS)
def test_a_text_goes_where_the_same_number_goes(values: list[int | None], seed: int) -> None:
    """The two ways there are to move values move them alike."""
    texts = [None if v is None else str(v) for v in values]
    assert shuffled("VARCHAR", texts, seed) == shuffled("INTEGER", values, seed)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 3_000), SEEDS)
def test_an_order_has_every_number_once_and_is_another_one_for_another_seed(n: int, seed: int) -> None:
    order = permutation(n, seed)
    assert sorted(order.tolist()) == list(range(n))
    assert (order == permutation(n, seed)).all()
    assert n < 30 or (order != permutation(n, seed + 1)).any()


def undone(place: int, bits: int, seed: int) -> int:
    """Which number comes to a place, by plain whole numbers and backwards."""
    raw = hashlib.shake_256(seed.to_bytes(8, "little")).digest(8 * 12)
    drawn = [int.from_bytes(raw[i : i + 4], "little") for i in range(0, len(raw), 4)]
    for add, times in reversed(list(zip(drawn[::2], drawn[1::2], strict=True))):
        place ^= place >> (bits + 1) // 2
        place = (place * pow(times | 1, -1, 2**bits) - add) % 2**bits
    return place


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 200_000), SEEDS)
def test_an_order_is_that_of_plain_whole_numbers(n: int, seed: int) -> None:
    """So that no library has a say in what a recorded seed means."""
    bits, order = (n - 1).bit_length(), permutation(n, seed)
    some = [*range(0, n, 1 + n // 50), n - 1]
    came_from = [undone(int(order[i]), bits, seed) for i in some]
    assert came_from == sorted(came_from)
    assert undone(int(order[0]), bits, seed) == min(undone(v, bits, seed) for v in order.tolist()[:200])


def test_a_recorded_seed_means_the_same_order_for_ever() -> None:
    assert shuffling.EDITION == "2"  # another order is another edition
    assert permutation(10, 2026).tolist() == [4, 9, 3, 8, 7, 6, 1, 2, 0, 5]


@pytest.mark.parametrize("n", [3, 4, 5])
def test_all_orders_of_few_rows_come_equally_often(n: int) -> None:
    times, many = Counter(tuple(permutation(n, 7_919 * i).tolist()) for i in range(20_000)), factorial(n)
    expected = 20_000 / many
    assert len(times) == many
    spread = sum((found - expected) ** 2 / expected for found in times.values())
    assert spread < many - 1 + 5 * (2 * (many - 1)) ** 0.5  # chi-squared, five deviations


@pytest.mark.parametrize("n", [30, 1_000, 100_000])
def test_an_order_tells_nothing_of_the_one_before(n: int) -> None:
    own, many = np.arange(n), 200
    orders = [permutation(n, 104_729 * i).astype(np.int64) for i in range(many)]
    alike = [float(np.corrcoef(order, own)[0, 1]) for order in orders]
    rising = [float((np.diff(order) > 0).mean()) for order in orders]
    stayed = [int((order == own).sum()) for order in orders]
    assert abs(np.mean(alike)) < 5 / (many * (n - 1)) ** 0.5
    assert abs(np.mean(rising) - 0.5) < 5 * ((n + 1) / 12 / many) ** 0.5 / (n - 1)
    assert abs(np.mean(stayed) - 1) < 5 / many**0.5
    assert len({order.tobytes() for order in orders}) == many
