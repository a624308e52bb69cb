"""The written file: rounding, text, neutral cells, and comparison with a submitted one."""

from __future__ import annotations

import csv
import io
import math
import random
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.kernel.errors import BadInput
from sandbox.products import artefact
from sandbox.products.artefact import dimension_text, lines, neutral
from sandbox.products.cells import CELL_SCHEMA
from sandbox.products.evidence import Evidence, KindEvidence
from sandbox.products.releasing import Table, count_interval, declared, released, rounded, rounded_count
from sandbox.products.spec import JobSpec, parse
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
        (1, 0.1 + 0.2, "0.3"), (2, 9007199254740991.0, "9007199254741000.00"), (2, 10**24, "1" + "0" * 24 + ".00"),
    ],
)  # fmt: skip
def test_amounts_go_to_their_declared_decimals(digits: int, value: Any, text: str) -> None:
    spec = parse(job(measures={"金额": {"op": "sum", "of": "费用", "round": digits}}))
    assert lines(declared(spec, [("东区", value)], base=5)) == [["东区", text]]


@settings(deadline=None)
@given(st.integers(-(10**9), 10**9), st.integers(-3, 4))
def test_the_last_bits_of_a_sum_do_not_reach_the_file(halves: int, digits: int) -> None:
    tie = halves / 2 / 10**digits  # every second one is exactly half a step
    near = [math.nextafter(tie, -math.inf), tie, math.nextafter(tie, math.inf)]
    assert len({str(rounded(value, Decimal(1).scaleb(-digits))) for value in near}) == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "（缺失）"), ("", ""), (True, "true"), (date(2026, 3, 1), "2026-03-01"),
     (datetime(2026, 3, 1, 2), "2026-03-01 02:00:00"), (7, "7"), (Decimal("1.50"), "1.50"), (-0.0, "0.0"),
     ("（缺失）", "（缺失）（原值）"), ("合计", "合计（原值）"), ("合计（原值）", "合计（原值）（原值）")],
)  # fmt: skip
def test_dimensions_as_text(value: Any, text: str) -> None:
    assert dimension_text(value) == text


@settings(deadline=None)
@given(st.text())
def test_no_text_stays_a_formula(text: str) -> None:
    assert not artefact.is_formula(neutral(text))


def test_the_file_is_the_same_bytes_every_time() -> None:
    made = artefact.write(SPEC.file_name, declared(SPEC, ROWS, base=5))
    assert made.content == "\ufeff区,人次,金额\n东区,25,1235\n西区,40,99\n".encode()
    assert made == artefact.write(SPEC.file_name, declared(SPEC, list(ROWS), base=5))
    assert made.name == "by-district.csv" and made.rows == 2


def places(submitted: str) -> list[tuple[int, str]]:
    return [(m.row, m.column) for m in artefact.differences(declared(SPEC, ROWS, base=5), submitted.encode())]


def test_a_submitted_file_may_differ_in_form_only() -> None:
    assert places('区,人次,金额\r\n"东区",25,1235.0\r\n西区,40,99\r\n') == []


@pytest.mark.parametrize(
    ("submitted", "place"),
    [
        ("区,人次,金额\n东区,23,1235\n西区,40,99\n", (1, "人次")),
        ("区,人次,金额\n东区,25,1234.5\n西区,40,99\n", (1, "金额")),
        ("区,人次,金额\n东区,25,1235\n", (0, "")),
        ("区,人次,金额\n西区,40,99\n东区,25,1235\n", (2, "")),
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


# --- what is released ------------------------------------------------------------------------------------------------

MARGINS = {
    "job": "按区按月", "edition": 2, "inputs": {"t": {"grant": "G-1"}},
    "product": {
        "from": "t", "dimensions": ["区", "月"], "margins": [["区"], []],
        "measures": {"人次": {"op": "count"}, "占比": {"op": "share_of_margin", "margin": [], "round": 3}},
        "suppress": {"below": "policy", "as": "*"},
    },
    "output": {"kind": "aggregate", "format": "csv"},
}  # fmt: skip
CELLS = [("东", 1, 43, 0.43), ("东", None, 4, 0.04), ("合计", 1, 53, 0.53), ("东", None, 47, 0.47), 
         ("合计", None, 53, 0.53), (None, None, 100, 1.0)]  # fmt: skip
GROUPINGS = (0, 0, 0, 1, 1, 2)


class Policy:
    """A rounding rule."""

    base, effect_percent = 5, 10.0


def shown(failing: Any = ()) -> Table:
    evidence = Evidence("", {}, ("区", "月", "人次", "占比"), 2, tuple(CELLS), (), groupings=GROUPINGS)
    return released(parse(MARGINS), evidence, Policy(), failing)


def test_margins_missing_values_and_words_of_the_data_are_told_apart() -> None:
    assert [row[:2] for row in lines(shown())] == [
        ["东", "1"], ["东", "（缺失）"], ["合计（原值）", "1"], ["东", "合计"],
        ["合计（原值）", "合计"], ["合计", "合计"],
    ]  # fmt: skip


def test_shares_are_taken_of_the_rounded_numbers() -> None:
    assert [row[2:] for row in lines(shown())][:2] == [["45", "0.450"], ["5", "0.050"]]


def test_all_measures_of_a_failing_cell_are_suppressed_and_shares_of_a_suppressed_whole_too() -> None:
    texts = [row[2:] for row in lines(shown({(1, "人次")}))]
    assert texts[1] == ["*", "*"] and texts[0] == ["45", "0.450"]
    assert [row[3] for row in lines(shown({(5, "占比")}))] == ["*"] * 6


def amounts(values: list[list[float]], **measure: Any) -> tuple[JobSpec, Evidence]:
    """One cell a list, one person a value."""
    measure = {"op": "sum", "of": "费用", "round": 2} | measure
    spec = parse(job(measures={"金额": measure}))
    lines_of, rows = [], []
    for cell, xs in enumerate(values):
        top, n = sorted(map(abs, xs), reverse=True), len(xs)
        head = (cell, "金额", "value", measure["op"], n, n, n, n, None)
        lines_of.append((*head, top[0], top[1], math.fsum(top), None, None, None, None, ""))
        rows.append((f"区{cell}", math.fsum(xs) / (n if measure["op"] == "mean" else 1)))
    frame = pl.DataFrame(lines_of, schema=CELL_SCHEMA, orient="row")
    kind = KindEvidence("person", True, False, frame, {}, True, 3, 3)
    return spec, Evidence("", {}, ("区", "金额"), 1, tuple(rows), (kind,), groupings=(0,) * len(rows))


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e7), min_size=10, max_size=40), st.sampled_from(["sum", "mean"]), st.data())
def test_one_entity_changes_a_released_amount_by_few_steps(xs: list[float], op: str, data: st.DataObject) -> None:
    spec, evidence = amounts([xs], op=op)
    table = released(spec, evidence, Policy())
    step, whole = table.steps["金额"], table.rows[0][1]
    gone = data.draw(st.integers(0, len(xs) - 1))
    others = [0.0 if i == gone else x for i, x in enumerate(xs)]
    without = rounded(math.fsum(others) / (len(xs) if op == "mean" else 1), step)
    assert abs(whole - without) / step <= 1 + 100 / Policy.effect_percent


@settings(deadline=None)
@given(st.integers(10_000, 999_999))
def test_packed_digits_of_one_person_cannot_be_got_back(income: int) -> None:
    """Everybody's income cut to thousands but the target's: the sum would carry its last three digits."""
    others = [float(k * 1000) for k in range(20, 60)]
    made = []
    for low in range(0, 1000, 7):
        spec, evidence = amounts([[float(income // 1000 * 1000 + low), *others]], round=0)
        made.append(released(spec, evidence, Policy()))
    assert all(table.steps["金额"] >= 1000 for table in made)
    assert len({table.rows[0][1] for table in made}) <= 2


@pytest.mark.parametrize(
    ("largest", "step"), [(0.0, "0.01"), (0.04, "0.01"), (10, "1"), (10.1, "2"), (499, "50"), (501, "100")]
)
def test_the_step_is_a_round_number_at_least_the_policys_part_of_the_largest(largest: float, step: str) -> None:
    spec, evidence = amounts([[largest, *[0.0] * 12]])
    assert released(spec, evidence, Policy()).steps["金额"] == Decimal(step)


def test_what_is_no_number_is_not_released() -> None:
    with pytest.raises(BadInput, match=r"release\.no_number"):
        declared(SPEC, [("东区", 5, date(2026, 1, 1))], base=5)


# --- tampering -------------------------------------------------------------------------------------------------------

PRODUCTS = {
    "sums": (SPEC, [(f"区{n:02d}", 40 + 7 * n, 12345.6 * (n + 1)) for n in range(20)]),
    "means": (
        parse(job(measures={"人次": {"op": "count"}, "均": {"op": "mean", "of": "费用", "round": 2}})),
        [(f"区{n:02d}", 40 + 7 * n, 97.31 + n) for n in range(20)],
    ),
    "margins": (parse(MARGINS), [*CELLS]),
    "missing": (SPEC, [*[(f"区{n:02d}", 95 + n, 7e6 + n / 3) for n in range(20)], (None, 35, 1e9)]),
}


def number_at(row: list[str], rng: random.Random, least: float = 0) -> int:
    places = [i for i, v in enumerate(row) if i and v.replace(".", "").isdigit() and float(v) > least]
    return rng.choice(places)


def tampered(kind: str, rows: list[list[str]], rng: random.Random) -> list[list[str]]:
    rows = [list(row) for row in rows]
    at = rng.randrange(1, len(rows))
    row = rows[at]
    if kind == "count ± 1":
        place = rows[0].index("人次")
        row[place] = str(int(row[place]) + rng.choice((-1, 1)))
    elif kind == "factor 1 + 1e-6":
        place = number_at(row, rng)
        row[place] = repr(float(row[place]) * (1 + 1e-6))
    elif kind == "dropped":
        del rows[at]
    elif kind == "duplicated":
        rows.insert(at, list(row))
    elif kind == "swapped":
        other = rng.choice([n for n in range(1, len(rows)) if n != at])
        rows[at], rows[other] = rows[other], rows[at]
    elif kind == "blanked":
        row[number_at(row, rng)] = ""
    else:
        numbers = [(r, i) for r in rows[1:] for i, v in enumerate(r) if i and v.replace(".", "").isdigit()]
        coarse = [(r, i, f"{float(r[i]):.0e}") for r, i in numbers]
        changed, place, value = rng.choice([(r, i, new) for r, i, new in coarse if float(new) != float(r[i])])
        changed[place] = value
    return rows


TAMPERING = ("count ± 1", "factor 1 + 1e-6", "dropped", "duplicated", "swapped", "blanked", "undeclared rounding")


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("kind", TAMPERING)
def test_a_tampered_file_is_found_two_hundred_times_of_two_hundred(kind: str, product: str) -> None:
    spec, rows = PRODUCTS[product]
    table = declared(spec, rows, base=5, groupings=GROUPINGS if product == "margins" else ())
    plain = artefact.read_csv(artefact.write(spec.file_name, table).content)
    assert artefact.differences(table, csv_of(plain)) == []
    rng = random.Random(f"{kind} {product}")
    assert all(artefact.differences(table, csv_of(tampered(kind, plain, rng))) for _ in range(200))


def csv_of(rows: list[list[str]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue().encode()
