"""Cells as sets of records, against an oracle that knows every row: what people do not add up to, records do."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.exports.closure import closure
from sandbox.exports.differencing import near_pairs
from sandbox.exports.dominance import dominated
from sandbox.exports.history import RECORDS, ReleasedCell
from sandbox.exports.ranks import Lowest
from sandbox.products import records
from sandbox.products.entities import SessionCodes
from sandbox.products.evidence import KindEvidence, derive
from sandbox.products.records import BITS, loosened, named, numbers, owners, squeezed
from sandbox.products.source import EntityKey, Source
from sandbox.products.spec import parse
from tests.properties.test_verdict import spans

NUMBERS = st.lists(st.integers(0, 2**64 - 1 - 2**36), max_size=40)
Record = tuple[int, int]
"""(owner, number among the owner's)"""
UNIVERSE: list[Record] = [(who, which) for who in range(5) for which in range(3)]
SETS = st.lists(st.sets(st.sampled_from(range(len(UNIVERSE))), min_size=1), min_size=1, max_size=6)


def number_of(record: Record) -> int:
    return record[0] << BITS | (record[1] * 7919 + 13)


def cells(sets: Sequence[set[int]], release: str) -> list[ReleasedCell]:
    found = []
    for i, members in enumerate(sets):
        name, raw = named(np.array([number_of(UNIVERSE[m]) for m in members], dtype=np.uint64))
        people = {UNIVERSE[m][0] for m in members}
        found.append(ReleasedCell(
            release, f"{release}{i}", "person", f"{RECORDS}count", "count", len(people), name, raw,
            unit="record",
        ))  # fmt: skip
    return found


def people(members: Set[int]) -> set[int]:
    return {UNIVERSE[m][0] for m in members}


@given(NUMBERS)
def test_a_set_is_kept_without_loss(found: list[int]) -> None:
    name, raw = named(np.array(found, dtype=np.uint64))
    assert numbers(raw).tolist() == sorted(set(found))
    assert loosened(squeezed(raw)) == raw and named(numbers(raw)[::-1]) == (name, raw)
    assert owners(numbers(raw)).tolist() == sorted({one >> BITS for one in found})


@settings(deadline=None)
@given(SETS, SETS, st.integers(2, 5))
def test_near_pairs_are_those_whose_records_differ_by_few_people(
    new: list[set[int]], old: list[set[int]], t: int
) -> None:
    mine, others = cells(new, "n"), cells(old, "o")
    found = {frozenset((p.new.bitmap, p.other.bitmap)): p.distance for p in near_pairs(mine, others, threshold=t).found}
    every = list(zip([*mine, *others], [*new, *old], strict=True))
    wanted = {
        frozenset((a.bitmap, b.bitmap)): len(people(x ^ y))
        for (a, x), (b, y) in itertools.product(every[: len(new)], every)
        if 0 < len(people(x ^ y)) < t
    }
    assert found == wanted


AMOUNTS = st.lists(st.integers(0, 40), min_size=len(UNIVERSE), max_size=len(UNIVERSE))


def held(members: Set[int], amounts: Sequence[int]) -> list[float]:
    """What each person has there, largest first."""
    each = {who: float(sum(amounts[m] for m in members if UNIVERSE[m][0] == who)) for who in people(members)}
    return sorted(each.values(), reverse=True)


@settings(deadline=None)
@given(SETS, SETS, AMOUNTS, st.integers(2, 4))
def test_a_rest_of_records_that_one_person_dominates_is_never_missed(
    new: list[set[int]], old: list[set[int]], amounts: list[int], t: int
) -> None:
    def amount(cell: ReleasedCell, members: set[int]) -> ReleasedCell:
        whole = held(members, amounts)
        return replace(cell, variable=f"{RECORDS}amount:费", x_total=sum(whole), tops=tuple(whole[:2]))

    mine = [amount(cell, members) for cell, members in zip(cells(new, "n"), new, strict=True)]
    others = [amount(cell, members) for cell, members in zip(cells(old, "o"), old, strict=True)]
    result = dominated(mine, others, threshold=t, percent=10.0, budget=10**6)
    found = {(one.whole.bitmap, one.part.bitmap): one.entities for one in result.found}
    every = [*zip(mine, new, strict=True), *zip(others, old, strict=True)]
    for (i, (a, x)), (j, (b, y)) in itertools.permutations(enumerate(every), 2):
        rest = held(x - y, amounts)
        leaves = sum(rest) - sum(rest[:2])
        if y < x and min(i, j) < len(new) and len(rest) >= t and sum(rest) > 0 and leaves < 0.1 * rest[0]:
            assert found.get((a.bitmap, b.bitmap)) == len(rest) or x - y in (*new, *old)


@given(SETS)
def test_the_index_counts_an_entity_once_in_either_set(sets: list[set[int]]) -> None:
    """|aΔb| of what it keeps lies between the entities that differ and twice as many."""
    lowest = Lowest.of_records([cell.records for cell in cells(sets, "n")])
    assert lowest.sizes.tolist() == [len(people(one)) for one in sets]
    marks = [set(lowest.marks[i, : lowest.sizes[i]].tolist()) for i in range(len(sets))]
    for (a, x), (b, y) in itertools.combinations(zip(marks, sets, strict=True), 2):
        assert len(people(x ^ y)) <= len(a ^ b) <= 2 * len(people(x ^ y))


@settings(deadline=None, max_examples=60)
@given(SETS, SETS, st.integers(2, 4))
def test_closure_finds_the_records_of_few_people(new: list[set[int]], old: list[set[int]], t: int) -> None:
    """Every atom of records, and every two of them, that belong to fewer than t people and follow only now."""
    atoms: dict[tuple[bool, ...], set[int]] = {}
    for m in set().union(*new, *old):
        atoms.setdefault(tuple(m in s for s in [*old, *new]), set()).add(m)
    every, groups = [*old, *new], [frozenset(a) for a in atoms.values()]
    singles = {g for g in groups if len(people(g)) < t and spans(every, g)}
    others = [g for g in groups if g not in singles]
    pairs = {a | b for a, b in itertools.combinations(others, 2) if len(people(a | b)) < t and spans(every, a | b)}
    wanted = {one for one in singles | pairs if not spans(old, one)}
    result = closure(cells(new, "n"), cells(old, "o"), threshold=t, seconds=60)
    assert result.decided
    members = {cell.place: one for cell, one in zip([*cells(new, "n"), *cells(old, "o")], [*new, *old], strict=True)}
    found = set()
    for exposure in result.exposures:
        total = dict.fromkeys(range(len(UNIVERSE)), 0)
        for term in exposure.terms:
            for m in members[term.cell.place]:
                total[m] += term.times
        assert set(total.values()) <= {0, exposure.divisor}
        target = frozenset(m for m, times in total.items() if times)
        assert exposure.entities == len(people(target))
        found.add(target)
    assert wanted <= found
    assert all(len(people(one)) < t and spans([*old, *new], one) for one in found)


# ---- the sets of a job ----

COLUMNS = "(VALUES {}) t(人, 街, 月, 科, 费)"
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["甲", "乙", "丙", "丁", None]), st.sampled_from(["东", "西"]), st.integers(1, 3),
        st.sampled_from(["内", "外"]), st.none() | st.integers(0, 9),
    ), min_size=1, max_size=25,
)  # fmt: skip
JOB = """
job: 门诊
edition: 2
inputs: {v: {grant: G-1}, k: {grant: G-2}, w: {grant: G-3}}
%s
product:
  from: %s
  %s
  dimensions: [街, 月]
  margins: [[街], []]
  measures: {次: {op: count}, 有费: {op: count, of: 费}, 费用: {op: sum, of: 费}, 最高: {op: max, of: 费}, 人数: {op: count_distinct, of: 人}}
output: {kind: aggregate, format: csv}
"""  # noqa: E501
STEP = "prepare: [{name: s, sql: \"SELECT v.*, 名 FROM v JOIN k USING (科)\"}]"
WHERE = "where: \"科 <> '外'\""
MEASURES = {"次": None, "有费": 4, "费用": 4}


def made(folder: Path, rows: Sequence[tuple[Any, ...]], text: str) -> tuple[KindEvidence, tuple[tuple[Any, ...], ...]]:
    con = duckdb.connect()
    for name, columns, lines in (
        ("w", "人 VARCHAR, 街 VARCHAR, 月 INTEGER, 科 VARCHAR, 费 INTEGER", rows[:1]),
        ("v", "人 VARCHAR, 街 VARCHAR, 月 INTEGER, 科 VARCHAR, 费 INTEGER", rows),
        ("k", "科 VARCHAR, 名 VARCHAR", [("内", "内科"), ("外", "外科")]),
    ):
        con.execute(f"CREATE TABLE {name} ({columns})")
        con.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(lines[0]))})", lines)
        con.execute(f"COPY {name} TO '{folder / name}.parquet'")
    sources = {
        "v": Source((f"{folder}/v.parquet",), "sha256:v", (EntityKey("person", "人"),)),
        "w": Source((f"{folder}/w.parquet",), "sha256:w", (EntityKey("person", "人"),)),
        "k": Source((f"{folder}/k.parquet",), "sha256:k"),
    }
    found = derive(parse(text), sources, codes=SessionCodes())
    return found.kinds[0], found.rows


def expected(
    rows: Sequence[tuple[Any, ...]], product: Sequence[tuple[Any, ...]], left_out: str | None
) -> Mapping[tuple[int, str], set[int]]:
    """(row of the product, measure) → places of the rows of the table that are behind it."""
    found: dict[tuple[int, str], set[int]] = {}
    for cell, (street, month, *_) in enumerate(product):
        for measure, column in MEASURES.items():
            behind = {
                n for n, row in enumerate(rows)
                if street in (None, row[1]) and month in (None, row[2]) and row[3] != left_out and row[0] is not None
                and (column is None or row[column] is not None)
            }  # fmt: skip
            if behind:
                found[cell, measure] = behind
    return found


@pytest.mark.parametrize(("step", "where"), [("", ""), ("", WHERE), (STEP, ""), (STEP, WHERE)])
@settings(deadline=None, max_examples=15)
@given(rows=ROWS)
def test_the_records_of_a_cell_are_the_rows_behind_it(
    step: str, where: str, rows: list[tuple[Any, ...]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    kind, product = made(tmp_path_factory.mktemp("r"), rows, JOB % (step, "s" if step else "v", where))
    mine = {
        (cell, measure): set((numbers(kind.records.sets[name]) & np.uint64(2**32 - 1)).tolist())
        for (cell, measure, _), name in kind.records.cells.items()
    }
    named_rows = [row[0] for row in rows if row[0] is not None]
    several = len(named_rows) > len(set(named_rows))
    wanted = expected(rows, product, "外" if where else None)
    assert mine == (wanted if several else {})
    assert records.fit(kind.records, kind.cells, kind.bitmaps)


@pytest.mark.parametrize(
    "step",
    [
        "SELECT 人, 街, min(月) AS 月, sum(费) AS 费 FROM v GROUP BY 人, 街",
        "SELECT a.人, a.街, b.月, a.费 FROM v a JOIN v b ON a.人 = b.人",
        "SELECT 人, 街, 月, 费 FROM v UNION ALL SELECT 人, 街, 月, 费 FROM w",
    ],
    ids=["an entity's records put together", "two records in one row", "rows of another table"],
)
def test_records_that_cannot_be_followed_are_not_guessed(step: str, tmp_path: Path) -> None:
    rows = [("甲", "东", 1, "内", 3), ("甲", "东", 2, "外", 4), ("乙", "西", 1, "内", 5)]
    prepare = f'prepare: [{{name: s, sql: "{step}"}}]'
    kind, _ = made(tmp_path, rows, JOB % (prepare, "s", ""))
    assert kind.proved and kind.records == records.LOST
