"""The written file: rounding, text, neutral cells, and comparison with a submitted one."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.products import artefact
from sandbox.products.artefact import count_interval, dimension_text, measure_text, neutral, rounded_count
from sandbox.products.spec import parse
from sandbox.products.spec_parts import Measure
from tests.export_subjects import job

SPEC = parse(job())
ROWS = [("东区", 23, 1234.5), ("西区", 40, 99.0)]


@pytest.mark.parametrize(
    ("value", "base", "released"),
    [(0, 5, 0), (2, 5, 0), (3, 5, 5), (7, 5, 5), (8, 5, 10), (5, 10, 10), (4, 10, 0), (7, 1, 7)],
)
def test_counts_go_to_the_nearest_multiple(value: int, base: int, released: int) -> None:
    assert rounded_count(value, base) == released


@settings(deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 100))
def test_the_interval_is_exactly_what_rounds_to_the_released_count(value: int, base: int) -> None:
    low, high = count_interval(value, base)
    released = rounded_count(value, base)
    assert low <= value <= high
    assert rounded_count(low, base) == rounded_count(high, base) == released
    assert rounded_count(high + 1, base) != released and (low == 0 or rounded_count(low - 1, base) != released)


@pytest.mark.parametrize(
    ("digits", "value", "text"),
    [
        (2, 2.675, "2.68"), (1, 2.25, "2.3"), (0, 2.5, "3"), (-2, 1250, "1300"), (2, Decimal("1.005"), "1.01"),
        (1, -0.04, "0.0"), (0, 1e20, "100000000000000000000"), (2, None, ""),
        (2, float("nan"), ""), (2, float("inf"), ""),
        (1, 0.1 + 0.2, "0.3"), (2, 9007199254740991.0, "9007199254740991.00"), (2, 10**24, "1" + "0" * 24 + ".00"),
    ],
)  # fmt: skip
def test_amounts_go_to_their_declared_decimals(digits: int, value: Any, text: str) -> None:
    assert measure_text(Measure(op="sum", of="费用", round=digits), value, 5) == text


@settings(deadline=None)
@given(st.integers(-(10**9), 10**9), st.integers(-3, 4))
def test_the_last_bits_of_a_sum_do_not_reach_the_file(halves: int, digits: int) -> None:
    import math

    tie = halves / 2 / 10**digits  # every second one is exactly half a step
    measure = Measure(op="sum", of="费用", round=digits)
    near = [math.nextafter(tie, -math.inf), tie, math.nextafter(tie, math.inf)]
    assert len({measure_text(measure, value, 5) for value in near}) == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "（缺失）"), ("", ""), (True, "true"), (date(2026, 3, 1), "2026-03-01"),
     (datetime(2026, 3, 1, 2), "2026-03-01 02:00:00"), (7, "7"), (Decimal("1.50"), "1.50")],
)  # fmt: skip
def test_dimensions_as_text(value: Any, text: str) -> None:
    assert dimension_text(value) == text


@settings(deadline=None)
@given(st.text())
def test_no_text_stays_a_formula(text: str) -> None:
    assert not artefact.is_formula(neutral(text))


def test_the_file_is_the_same_bytes_every_time() -> None:
    made = artefact.write(SPEC, ROWS, base=5)
    assert made.content == "\ufeff区,人次,金额\n东区,25,1235\n西区,40,99\n".encode()
    assert made == artefact.write(SPEC, list(ROWS), base=5) and made.name == "by-district.csv" and made.rows == 2


def places(submitted: str) -> list[tuple[int, str]]:
    return [(m.row, m.column) for m in artefact.differences(SPEC, ROWS, submitted.encode(), base=5)]


def test_a_submitted_file_may_differ_in_form_only() -> None:
    assert places('区,人次,金额\r\n"西区",40,99.0\r\n东区,25,1235\r\n') == []


@pytest.mark.parametrize(
    ("submitted", "place"),
    [
        ("区,人次,金额\n东区,23,1235\n西区,40,99\n", (1, "人次")),
        ("区,人次,金额\n东区,25,1234.5\n西区,40,99\n", (1, "金额")),
        ("区,人次,金额\n东区,25,1235\n", (0, "")),
        ("区,人次,金额\n东区,25,1235\n西区,40,99\n西区,40,99\n", (3, "")),
        ("区,人次,金额\n东区,25,1235\n南区,40,99\n", (2, "")),
        ("区,人次,金额\n东区,25,1235\n西区,40,\n", (2, "金额")),
        ("区,金额,人次\n东区,1235,25\n西区,99,40\n", (0, "")),
        ("区,人次,金额,备注\n东区,25,1235,x\n西区,40,99,y\n", (0, "")),
        ("", (0, "")),
    ],
)
def test_every_change_of_content_is_found(submitted: str, place: tuple[int, str]) -> None:
    assert place in places(submitted)
