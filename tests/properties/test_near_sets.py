"""The index of near sets loses none, whatever the sets, their sizes and the threshold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from sandbox.exports.ranks import PREFIX, Lowest, Near, members_of, prefix, ranks

WIDE = 30_000


def changed(rng: np.random.Generator, base: set[int], most: int) -> set[int]:
    return base ^ set(rng.integers(0, WIDE, rng.integers(0, most + 1)).tolist())


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(3, PREFIX + 8))
@example(0, PREFIX)
@example(1, PREFIX + 1)
def test_sets_that_differ_by_few_are_among_what_the_index_gives(seed: int, threshold: int) -> None:
    rng = np.random.default_rng(seed)
    bases = [set(rng.integers(0, WIDE, n).tolist()) for n in (1, threshold - 1, threshold, 40, 300)]
    mine, others = ([changed(rng, b, threshold) for b in bases for _ in range(4)] for _ in range(2))
    lowest = [Lowest.of([BitMap(s) for s in side], min(threshold, PREFIX)) for side in (mine, others)]
    first, second = Near(lowest[0], threshold).among(lowest[1])
    found = list(zip(first.tolist(), second.tolist(), strict=True))
    pairs = [(i, j, len(a ^ b)) for i, a in enumerate(mine) for j, b in enumerate(others)]
    assert {(i, j) for i, j, apart in pairs if apart < threshold and (mine[i] or others[j])} <= set(found)
    assert len(found) == len(set(found))
    assert all(abs(len(mine[i]) - len(others[j])) < threshold for i, j in found)


@pytest.mark.parametrize("length", [10, PREFIX])
def test_large_sets_give_the_ranks_that_looking_at_every_member_gives(length: int) -> None:
    rng = np.random.default_rng(3)
    sizes = (1, 9, length, 2 * length + 16, 100, 1_000, 10_000, 90_000)
    sets = [BitMap(rng.choice(100_000, n, replace=False)) for n in sizes]
    spread = [BitMap(rng.choice(2**32 - 1, 500).astype(np.uint32)), BitMap()]  # codes that are not dense: no layers
    codes = np.arange(100_000, dtype=np.uint32)
    worst = BitMap(codes[np.argsort(ranks(codes))[-5_000:]])  # none of its members is in a layer
    for some in (sets, spread, [*sets, worst]):
        found = Lowest.of(some, length)
        assert found.sizes.tolist() == [len(one) for one in some]
        again = Lowest.unpacked(*found.packed())
        for one, marks, kept in zip(some, found.marks, again.marks, strict=True):
            wanted = prefix(members_of(one), length).astype(np.uint32)
            assert marks[: len(wanted)].tolist() == kept[: len(wanted)].tolist() == wanted.tolist()
