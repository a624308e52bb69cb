"""Cells that make up another by their labels, against an oracle that knows every row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.exports.history import ReleasedCell
from sandbox.exports.rollups import Rest, rests
from sandbox.products.cells import packed

T, PERCENT = 3, 10.0
Row = tuple[int, str, int, int]
"""whose, department, month of 2026, amount"""
LABELS = {
    "department": lambda row: row[1],
    "month": lambda row: f"2026-{row[2]:02}",
    "quarter": lambda row: f"2026-Q{(row[2] + 2) // 3}",
    "year": lambda row: "2026",
}
DIMENSIONS = [(), *((d,) for d in LABELS), *(("department", p) for p in ("month", "quarter", "year")),
              ("month", "department")]  # fmt: skip
rows = st.lists(
    st.tuples(st.integers(1, 9), st.sampled_from(["内科", "外科", "儿科"]), st.integers(1, 6), st.integers(1, 50)),
    min_size=1, max_size=40,
)  # fmt: skip
tables = st.sampled_from(DIMENSIONS)


def grouped(found: Sequence[Row], by: Sequence[str]) -> dict[tuple[str, ...], list[int]]:
    """Labels → numbers of the rows."""
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for i, row in enumerate(found):
        groups[tuple(LABELS[d](row) for d in by)].append(i)
    return groups


def table(found: Sequence[Row], by: Sequence[str], release: str, hidden: Collection[int] = ()) -> list[ReleasedCell]:
    """The amounts of a table; `hidden`: numbers of the cells that it hides."""
    cells = []
    for number, (labels, inside) in enumerate(grouped(found, by).items()):
        amounts: dict[int, float] = defaultdict(float)
        for i in inside:
            amounts[found[i][0]] += found[i][3]
        name, raw = packed(sorted(amounts))
        tops = tuple(sorted(amounts.values(), reverse=True)[:2])
        cells.append(ReleasedCell(
            release, f"{release}:{number}", "person", "amount:费用", "sum", len(amounts), name, raw,
            value="suppressed" if number in hidden else "exact", x_total=sum(amounts.values()), tops=tops,
            table="product:费用:value", labels=labels,
        ))  # fmt: skip
    return cells


def told(found: Sequence[Rest]) -> set[tuple[str, frozenset[str]]]:
    return {(one.whole.place, frozenset(h.place for h in one.hidden)) for one in found if one.entities < T}


def by_rows(
    found: Sequence[Row], whole_by: Sequence[str], part_by: Sequence[str], hidden: Mapping[str, Collection[int]]
) -> set[tuple[str, frozenset[str]]]:
    """(whole, hidden parts) whose people are too few, wherever parts are a partition of the rows of a whole, as labels
    tell: the departments of the one are those of the other, and its periods are as long or shorter."""
    expected = set()
    for n, (labels, inside) in enumerate(grouped(found, whole_by).items()):
        parts = [(m, rows_) for m, rows_ in enumerate(grouped(found, part_by).values()) if set(rows_) <= set(inside)]
        if n in hidden["whole"] or sorted(i for _, r in parts for i in r) != sorted(inside):
            continue
        out = [(m, r) for m, r in parts if m in hidden["part"]]
        people = {found[i][0] for _, r in out for i in r}
        if out and len(people) < T and _follows(labels, whole_by, part_by):
            expected.add((f"whole:{n}", frozenset(f"part:{m}" for m, _ in out)))
    return expected


def _follows(labels: Sequence[str], whole_by: Sequence[str], part_by: Sequence[str]) -> bool:
    order = ["year", "quarter", "month"]
    return all(
        d in part_by if d == "department" else any(p in order and order.index(p) >= order.index(d) for p in part_by)
        for d in whole_by
    )


@given(rows, tables, tables, st.sets(st.integers(0, 12)), st.sets(st.integers(0, 30)), st.booleans())
def test_what_is_left_is_what_the_rows_say(
    found: list[Row], whole_by: tuple[str, ...], part_by: tuple[str, ...], out: set[int], parts_out: set[int], new: bool
) -> None:
    wholes = table(found, whole_by, "whole", out)
    parts = table(found, part_by, "part", parts_out)
    one, other = (wholes, parts) if new else (parts, wholes)
    both = rests(one, other, threshold=T, percent=PERCENT, budget=10**6)
    assert both.complete
    expected = by_rows(found, whole_by, part_by, {"whole": out, "part": parts_out})
    expected |= {
        (w.replace("whole", "part"), frozenset(p.replace("part", "whole") for p in ps))
        for w, ps in by_rows(found, part_by, whole_by, {"whole": parts_out, "part": out})
    }
    assert told(both.found) == expected


@given(rows, st.integers(1, 50))
def test_other_rows_tie_nothing(found: list[Row], more: int) -> None:
    """A table of another version of the data is no sum of this one's: nothing follows that is true."""
    wholes = table([(p, d, m, a + more) for p, d, m, a in found], ("department",), "whole")
    parts = table(found, ("department", "month"), "part", {0})
    assert rests(wholes, parts, threshold=10**6, percent=PERCENT, budget=10**6).found == ()


@given(rows, st.sets(st.integers(0, 30), min_size=1))
def test_a_share_is_never_told_that_is_none(found: list[Row], out: set[int]) -> None:
    """Where the p% rule is said to fail, it fails for the amounts of the people behind the hidden cells."""
    wholes, parts = table(found, ("department",), "whole"), table(found, ("department", "month"), "part", out)
    for rest in rests(wholes, parts, threshold=0, percent=PERCENT, budget=10**6).found:
        amounts: dict[int, int] = defaultdict(int)
        hidden = {h.place for h in rest.hidden}
        for number, inside in enumerate(grouped(found, ("department", "month")).values()):
            for i in inside if f"part:{number}" in hidden else ():
                amounts[found[i][0]] += found[i][3]
        first, second = sorted([*amounts.values(), 0, 0], reverse=True)[:2]
        assert sum(amounts.values()) - first - second < Fraction(PERCENT) / 100 * first


def test_a_rounded_count_is_left_to_its_interval_and_no_share_of_it_is_told() -> None:
    """As between pairs of cells: dominance is about amounts."""
    found = [(1, "内科", 1, 9), (2, "内科", 2, 9), (3, "内科", 3, 9)]
    tables_ = (table(found, ("department",), "whole"), table(found, ("department", "month"), "part", {0}))
    amounts = rests(*tables_, threshold=0, percent=PERCENT, budget=10**6).found
    counts = rests(*([replace(c, variable="count") for c in t] for t in tables_), threshold=0, percent=PERCENT,
                   budget=10**6).found  # fmt: skip
    assert [one.share for one in amounts] == [1.0] and counts == ()


SPELLINGS = [
    ("2026", "2026-03"), ("2026年", "2026-03"), ("2026-Q1", "2026-03"), ("2026年第1季度", "2026年3月"),
    ("2026Q1", "202603"), ("2026-03", "2026-03-09"), ("2026年3月", "20260309"), ("2026-Q1", "2026-03-09"),
    ("2026", "2026-Q1"),
    ("2026年3月", "2026年3月9日"), ("2026-03", "202603"), ("内科", "内科"),
]  # fmt: skip
STRANGERS = [("2026-Q2", "2026-03"), ("2027", "2026-03"), ("2026-13", "2026-01"), ("内科", "外科"), ("2026-03", "2026")]


@pytest.mark.parametrize(("coarse", "fine"), SPELLINGS)
def test_a_period_is_within_another_however_both_are_spelled(coarse: str, fine: str) -> None:
    (whole,) = table([(1, "x", 1, 9)], (), "whole")
    (part,) = table([(1, "x", 1, 9)], (), "part", {0})
    found = rests([replace(whole, labels=(coarse,))], [replace(part, labels=(fine,))], threshold=T, percent=PERCENT,
                  budget=9).found  # fmt: skip
    assert [one.entities for one in found] == [1]


@pytest.mark.parametrize(("coarse", "fine"), STRANGERS)
def test_labels_that_say_something_else_tie_nothing(coarse: str, fine: str) -> None:
    (whole,) = table([(1, "x", 1, 9)], (), "whole")
    (part,) = table([(1, "x", 1, 9)], (), "part", {0})
    found = rests([replace(whole, labels=(coarse,))], [replace(part, labels=(fine,))], threshold=T, percent=PERCENT,
                  budget=9).found  # fmt: skip
    assert found == ()


def test_too_many_parts_are_told() -> None:
    found = [(1, "x", month, 9) for month in range(1, 7)]
    spent = rests(table(found, (), "whole"), table(found, ("month",), "part", {0}), threshold=T, percent=1, budget=5)
    assert (spent.found, spent.complete) == ((), False)
