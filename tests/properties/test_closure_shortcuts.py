"""What makes the closure cheap changes nothing: each shortcut against an oracle or against the way around it."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.exports import closure as searching
from sandbox.exports.atoms import Matrix, atoms
from sandbox.exports.closure import closure
from sandbox.exports.encoding import PROBES, SKETCH, TRIED, _alike, encode
from sandbox.exports.history import ReleasedCell, _shown_once
from sandbox.exports.nullspace import PAIR_TOLERANCE, TOLERANCE, NullSpace
from sandbox.exports.ranks import members_of, prefix
from tests.properties import test_records
from tests.properties.test_ledger import PEOPLE, SETS, cell, cells

COLUMNS = 9
ROWS = st.lists(st.lists(st.sampled_from([-1, 0, 0, 1, 1]), min_size=COLUMNS, max_size=COLUMNS), min_size=1, max_size=7)


def matrix_of(dense: np.ndarray) -> Matrix:
    rows, columns = np.nonzero(dense)
    starts = np.searchsorted(rows, np.arange(len(dense) + 1))
    return Matrix(columns.astype(np.int32), dense[rows, columns].astype(np.int8), starts)


@settings(max_examples=200, deadline=None)
@given(ROWS, st.sampled_from([0, 1, 4]))
def test_null_vectors_vanish_on_what_the_rows_span_and_on_nothing_else(rows: list[list[int]], turns: int) -> None:
    dense = np.array(rows)
    vectors = NullSpace(matrix_of(dense), COLUMNS, turns=turns).vectors(3, math.inf)
    assert vectors is not None and np.abs(dense @ vectors.T).max() < PAIR_TOLERANCE / 10
    rank = np.linalg.matrix_rank(dense)
    for one in range(COLUMNS):
        for other in range(one + 1):
            target = np.zeros(COLUMNS)
            target[[one, other]] = 1
            spanned = np.linalg.matrix_rank(np.vstack([dense, target])) == rank
            vanish = (np.abs(vectors @ target) < (TOLERANCE if one == other else PAIR_TOLERANCE)).all()
            assert vanish == spanned


def test_entries_too_large_for_their_last_bits_are_solved_for_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    dense = np.array([[1, 1, 1, 0], [0, 0, 1, 1]])
    monkeypatch.setattr("sandbox.exports.nullspace.LARGEST", 1e-6)
    vectors = NullSpace(matrix_of(dense), 4).vectors(2, math.inf)
    assert vectors is not None and np.abs(dense @ vectors.T).max() < PAIR_TOLERANCE / 10


@settings(max_examples=200, deadline=None)
@given(SETS, SETS)
def test_atoms_are_the_entities_that_are_in_the_same_rows(old: list[set[int]], new: list[set[int]]) -> None:
    encoded = encode(cells(old, "o", "t"), cells(new, "n", "t"))
    matrix, sizes, member = atoms(encoded)
    column: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for i, row in enumerate(encoded.rows):
        for sign, codes in ((1, row.plus), (-1, row.less)):
            for code in codes.tolist():
                column[code].append((i, sign))
    groups: dict[tuple[tuple[int, int], ...], list[int]] = defaultdict(list)
    for code in sorted(column):
        groups[tuple(column[code])].append(code)
    assert sizes.tolist() == [len(codes) for codes in groups.values()]
    assert {code: int(member[code]) for code in range(len(member)) if member[code] >= 0} == {
        code: number for number, codes in enumerate(groups.values()) for code in codes
    }
    for i in range(len(matrix)):
        assert matrix.row(i) == {n: sign for n, where in enumerate(groups) for at, sign in where if at == i}
    times = Counter(n for n, where in enumerate(groups) for _ in where)
    assert matrix.usage(range(len(matrix))) == times


APART = st.lists(st.integers(0, 4), min_size=PEOPLE, max_size=PEOPLE)


@settings(max_examples=100, deadline=None)
@given(APART, st.integers(2, 4), st.booleans())
def test_sets_that_nobody_is_in_two_of_need_no_search(parts: list[int], threshold: int, whole: bool) -> None:
    """As records, too. Sets of which some are small, or that have a total beside them, are searched."""
    sets = [{i for i, part in enumerate(parts) if part == n} for n in set(parts)]
    sets += [set(range(PEOPLE))] if whole else []
    for mine in (cells(sets, "n"), test_records.cells(sets, "n")):
        found = closure(mine, [], threshold=threshold, seconds=60)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(searching, "_apart", lambda *_: False)
            assert closure(mine, [], threshold=threshold, seconds=60) == found


@settings(max_examples=60, deadline=None)
@given(SETS, SETS)
def test_two_variables_of_the_same_sets_have_one_answer_in_their_own_cells(
    old: list[set[int]], new: list[set[int]]
) -> None:
    mine, before = cells(new, "n", "t"), cells(old, "o", "t")
    other = [[replace(c, variable="amount:费", place=f"{c.place}费") for c in side] for side in (mine, before)]
    together = closure([*mine, *other[0]], [*before, *other[1]], threshold=4, seconds=60)
    one = closure(mine, before, threshold=4, seconds=60)
    two = closure(other[0], other[1], threshold=4, seconds=60)
    assert together.exposures == (*one.exposures, *two.exposures)
    assert (together.opened, together.complete) == (one.opened + two.opened, one.complete and two.complete)


def test_the_same_sets_in_other_tables_are_searched_for_themselves() -> None:
    parts = [cell(range(6), "a", 0, table="t"), cell(range(6, 12), "a", 2, table="t")]
    total = cell(range(12), "a", 1, table="t")
    alone = [replace(c, variable="amount:费", table=c.place) for c in (*parts, total)]
    assert searching._shape([*parts, total], []) != searching._shape(alone, [])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sets(st.integers(0, 6), min_size=1), min_size=1, max_size=5))
def test_a_table_shows_every_record_once_or_in_a_part_and_in_the_total(sets: list[set[int]]) -> None:
    distinct = [set(one) for one in dict.fromkeys(map(frozenset, sets))]
    every = set().union(*distinct)
    parts = [one for one in distinct if one != every] or distinct
    times = Counter(x for one in parts for x in one)
    once = times.keys() == every and set(times.values()) == {1}
    found = _shown_once([np.array(sorted(one), dtype=np.uint64) for one in distinct])
    assert (found is not None) == once
    assert found is None or found.tolist() == sorted(every)


def most_similar(sets: list[ReleasedCell], i: int) -> list[int]:
    """One set after the other: the earlier ones of nearly its size with one of its very lowest members, by what they
    share of the lowest."""
    lowest = [prefix(members_of(one.entities), SKETCH).tolist() for one in sets]
    near = [j for j in range(i) if set(lowest[i][:PROBES]) & set(lowest[j][:PROBES])]
    near = [j for j in near if 2 * abs(sets[j].n - sets[i].n) < sets[i].n]
    shared = {j: len(set(lowest[i]) & set(lowest[j])) for j in near}
    near.sort(key=lambda j: (-shared[j], abs(sets[j].n - sets[i].n), j))
    return [j for j in near if shared[j] > 1][:TRIED]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sets(st.integers(0, 60), min_size=1), min_size=2, max_size=12), st.integers(1, 40), st.data())
def test_similar_sets_are_those_of_looking_at_one_after_the_other(
    sets: list[set[int]], lot: int, data: st.DataObject
) -> None:
    sets += [one ^ {data.draw(st.integers(0, 60))} or one for one in sets]
    made = sorted(cells(sets, "n"), key=lambda c: c.n)
    wanted = sorted(data.draw(st.sets(st.integers(0, len(made) - 1))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sandbox.exports.encoding._PAIRS", lot)
        found = _alike(made, wanted)
    expected = {i: most_similar(made, i) for i in wanted}
    assert found == {i: near for i, near in expected.items() if near}
