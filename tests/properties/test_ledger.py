"""What holds of the ledger whatever is released: encoding loses nothing, order and names do not matter, intervals are
true."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from policies.verdict import Outcome
from sandbox.exports.closure import DEPTH, closure
from sandbox.exports.differencing import Pair, intervals, near_pairs, severity
from sandbox.exports.encoding import encode
from sandbox.exports.history import ReleasedCell, Value
from sandbox.exports.nullspace import PAIR_TOLERANCE, opposite
from sandbox.exports.ranks import members_of
from sandbox.products.cells import packed
from sandbox.products.releasing import count_interval

PEOPLE = 14
SETS = st.lists(st.sets(st.integers(0, PEOPLE - 1), min_size=1), min_size=1, max_size=8)


def cell(members: Sequence[int], release: str, number: int = 0, *, base: int = 1, table: str = "") -> ReleasedCell:
    name, raw = packed(sorted(members))
    low, high = count_interval(len(members), base)
    value: Value = "rounded" if low < high else "exact"
    return ReleasedCell(
        release, f"{release}#row={number}", "person", "count", "count_distinct", len(members), name, raw, low, high,
        value, table=table, grouping=number % 2,
    )  # fmt: skip


def cells(sets: Sequence[set[int]], release: str, table: str = "") -> list[ReleasedCell]:
    return [cell(sorted(s), release, i, table=table) for i, s in enumerate(sets)]


def rank(rows: Sequence[np.ndarray]) -> int:
    return int(np.linalg.matrix_rank(np.stack(rows)))


@settings(max_examples=300, deadline=None)
@given(SETS, SETS)
@example([{0, 1}, {2, 3}, {0, 1, 2, 3}], [{0, 1, 2, 3, 4}])
def test_the_encoded_rows_span_what_the_sets_span(old: list[set[int]], new: list[set[int]]) -> None:
    encoded = encode(cells(old, "o", "t"), cells(new, "n", "t"))
    plain, short = [], []
    for made, row in zip(encoded.sets, encoded.rows, strict=True):
        plain.append(np.bincount(members_of(made.entities), minlength=PEOPLE).astype(float))
        short.append(np.bincount(row.plus, minlength=PEOPLE) - np.bincount(row.less, minlength=PEOPLE).astype(float))
    assert rank(plain) == rank(short) == rank([*plain, *short])
    before = slice(encoded.old)
    assert rank(plain[before]) == rank([*plain[before], *short[before]])  # old rows are made of old sets only


@settings(max_examples=60, deadline=None)
@given(SETS, SETS, st.randoms(use_true_random=False))
def test_what_entities_are_called_and_the_order_of_releases_change_nothing(
    old: list[set[int]], new: list[set[int]], rng: random.Random
) -> None:
    names = rng.sample(range(1000), PEOPLE)
    others = [{names[i] for i in s} for s in old]
    rng.shuffle(others)
    renamed = [{names[i] for i in s} for s in new]
    one, two = (cells(old, "o"), cells(new, "n")), (cells(others, "o"), cells(renamed, "n"))

    def near(history: list[ReleasedCell], now: list[ReleasedCell]) -> list[tuple[int, bool]]:
        return sorted((p.distance, p.nested) for p in near_pairs(now, history, threshold=4).found)

    assert near(*one) == near(*two)
    back = {name: i for i, name in enumerate(names)}
    assert exposed(*one) == {frozenset(back[c] for c in found) for found in exposed(*two)}


@settings(max_examples=100, deadline=None)
@given(SETS, SETS)
def test_the_same_sets_give_the_same_verdict_in_every_run(old: list[set[int]], new: list[set[int]]) -> None:
    """Unions of three and more atoms, too, of which not all are found."""
    one, other = (closure(cells(new, "n"), cells(old, "o"), threshold=8, seconds=60) for _ in range(2))
    assert one == other


def exposed(history: list[ReleasedCell], now: list[ReleasedCell]) -> set[frozenset[int]]:
    """The sets that the closure decides: of one atom or two; of larger ones it finds those that it comes across."""
    everything = [frozenset(members_of(c.entities)) for c in (*history, *now)]
    found = set()
    for one in closure(now, history, threshold=4, seconds=60).exposures:
        weight: Counter[int] = Counter()
        for term in one.terms:
            weight.update(dict.fromkeys((int(c) for c in members_of(term.cell.entities)), term.times))
        people = frozenset(c for c, n in weight.items() if n)
        if len({tuple(c in s for s in everything) for c in people}) <= DEPTH:
            found.add(people)
    return found


@given(st.integers(1, 400), st.integers(1, 12))
def test_what_a_rounded_number_says_is_true_and_two_say_no_less_than_one(n: int, base: int) -> None:
    low, high = count_interval(n, base)
    assert low <= n <= high
    both = [cell(range(n), "a", base=base), cell(range(n), "b", base=base + 1)]
    together = intervals(both)[both[0].bitmap, "count_distinct"]
    assert together[0] is not None and together[1] is not None
    assert low <= together[0] <= n <= together[1] <= high


@given(st.integers(10, 400), st.integers(1, 9), st.integers(1, 12))
def test_a_near_pair_passes_only_where_a_reader_cannot_tell_that_it_is_one(n: int, apart: int, base: int) -> None:
    small, large = cell(range(n), "a", base=base), cell(range(n + apart), "b", base=base)
    outcome = severity(Pair(large, small, apart, True), 10)
    assert small.low is not None and small.high is not None and large.low is not None and large.high is not None
    least, most = large.low - small.high, large.high - small.low
    assert least <= apart <= most
    if outcome is Outcome.PASS:
        assert least < 1 and most >= 10
    exact = replace(small, low=None, high=None)
    assert severity(Pair(large, exact, apart, True), 10) is Outcome.BLOCK


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 40), st.integers(2, 3), st.integers(0, 2**32 - 1), st.sampled_from([1e-3, 1e-2, 1.0]))
def test_columns_that_cancel_are_those_of_looking_at_every_pair(n: int, vectors: int, seed: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(0, size, (vectors, n))
    half = n // 2
    values[:, :half] = rng.normal(0, PAIR_TOLERANCE / 2, (vectors, half)) - values[:, half : 2 * half]
    found = list(zip(*(side.tolist() for side in opposite(values)), strict=True))
    every = [(u, v) for v in range(n) for u in range(v)]
    assert sorted(found) == sorted(
        (u, v) for u, v in every if (np.abs(values[:, u] + values[:, v]) < PAIR_TOLERANCE).all()
    )
