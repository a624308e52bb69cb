"""Whatever the names: what a recipe is adapted to keeps every column, and what it is not adapted to is named."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipelines.reading.fit import fit, settled
from pipelines.reading.recipe import Recipe
from policies.text import UserError

NAME = st.text(alphabet="编号姓名区域金额日期aAbB1１（( _", min_size=1, max_size=5).filter(str.strip)
NAMES = st.lists(NAME, min_size=1, max_size=7, unique_by=str.casefold).map(tuple)


def stored(names: tuple[str, ...]) -> Recipe:
    ours = tuple(f"n{i}" for i in range(len(names)))
    return Recipe(format="csv", header=True, header_row=1, names=ours, header_names=names, source_digest="0")


def found(names: tuple[str, ...], row: int = 1) -> Recipe:
    return Recipe(format="csv", header=True, header_row=row, names=names)


@given(NAMES)
def test_the_same_names_differ_in_nothing(names: tuple[str, ...]) -> None:
    assert fit(stored(names), found(names)) == ()


@given(NAMES, st.randoms(use_true_random=False), st.integers(1, 9))
def test_in_any_order_and_place_every_column_keeps_its_own_name(
    names: tuple[str, ...], random: object, row: int
) -> None:
    order = list(range(len(names)))
    random.shuffle(order)  # type: ignore[attr-defined]
    ours, findings = settled(stored(names), found(tuple(names[i] for i in order), row))
    assert ours == tuple(f"n{i}" for i in order)
    told = {f.code for f in findings}
    assert ("recipe_columns_reordered" in told) == (order != sorted(order))
    assert ("recipe_header_moved" in told) == (row != 1)


@given(NAMES, NAMES)
def test_either_all_columns_are_mapped_one_to_one_or_those_that_are_not_are_named(
    was: tuple[str, ...], now: tuple[str, ...]
) -> None:
    differences = fit(stored(was), found(now))
    named = {d.was for d in differences} | {d.now for d in differences}
    try:
        ours, _ = settled(stored(was), found(now))
    except UserError as stopped:
        assert stopped.code == "reading.recipe_mismatch"
        assert set(was) ^ set(now) <= named
        return
    assert sorted(ours) == sorted(f"n{i}" for i in range(len(was)))
    assert all(d.harmless for d in differences)
