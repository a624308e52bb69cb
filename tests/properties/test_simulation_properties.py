"""What holds for any table: labels below k and real extremes never come out, keys stay unique, draws stay in range."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from synthetic.constraints import repair, violations
from synthetic.engines.base import Ticks
from synthetic.engines.tree_engine import Aliases, TreeEngine, pick
from synthetic.fields import Field, Order
from synthetic.links import Parent
from synthetic.patterns import Pattern, fresh
from synthetic.protect import OTHER, protect, trim
from synthetic.ties import Ties, place_rows

K = 5
labels = st.lists(st.sampled_from(["a", "b", "c", "d", "e", None]), min_size=20, max_size=200)
numbers = st.lists(st.one_of(st.none(), st.integers(-(10**6), 10**6)), min_size=20, max_size=200)


@settings(max_examples=60, deadline=None)
@given(labels, st.integers(0, 2**32 - 1))
def test_no_label_of_fewer_than_k_rows_is_ever_drawn(values: list[str | None], seed: int) -> None:
    frame = pl.DataFrame({"x": pl.Series(values, dtype=pl.String)})
    fields = [Field("x", "text", "category")]
    view = protect(frame, fields, k=K, rng=np.random.default_rng(seed))
    drawn = TreeEngine().fit(view.frame, fields, 0).sample(100, seed)["x"].drop_nulls()
    allowed = {v for v in values if v is not None and values.count(v) >= K} | {OTHER}
    assert set(drawn) <= allowed


@settings(max_examples=80, deadline=None)
@given(numbers)
def test_trimmed_ends_lie_strictly_inside_an_extreme_of_fewer_than_k_rows(values: list[int | None]) -> None:
    series = pl.Series("x", values, dtype=pl.Float64)
    trimmed, (low, high) = trim(series, K)
    known = [v for v in values if v is not None]
    if not known or len(set(known)) == 1:
        return
    assert low <= high
    assert trimmed.drop_nulls().is_between(low, high).all()
    if known.count(min(known)) < K <= len(known):
        assert trimmed.min() > min(known)
    if known.count(max(known)) < K <= len(known):
        assert trimmed.max() < max(known)


@settings(max_examples=40, deadline=None)
@given(numbers, labels, st.integers(0, 2**32 - 1))
def test_tree_stays_in_range_repeats_by_seed_and_invents_no_label(
    ticks: list[int | None], words: list[str | None], seed: int
) -> None:
    rows = min(len(ticks), len(words))
    frame = pl.DataFrame(
        {"n": pl.Series(ticks[:rows], dtype=pl.Float64), "c": pl.Series(words[:rows], dtype=pl.String)}
    )
    fields = [Field("n", "decimal", "number"), Field("c", "text", "category")]
    one, two = (TreeEngine().fit(frame, fields, 0).sample(150, seed) for _ in range(2))
    assert one.equals(two)
    assert set(one["c"]) <= set(frame["c"])
    if frame["n"].drop_nulls().len():
        assert one["n"].drop_nulls().is_between(frame["n"].min(), frame["n"].max()).all()


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 6), st.integers(1, 9))
def test_alias_tables_hold_the_shares_they_were_made_from(data: st.DataObject, height: int, width: int) -> None:
    weights = st.lists(st.sampled_from([0.0, 1e-9, 0.1, 1.0, 3.0, 1e6]), min_size=width, max_size=width)
    table = np.array([data.draw(weights.filter(any)) for _ in range(height)])
    table /= table.sum(1, keepdims=True)
    aliases = Aliases.of(table)
    keep, other = aliases.keep.reshape(height, width), aliases.other.reshape(height, width)
    back = keep / width
    np.add.at(back, (np.arange(height)[:, None], other), (1 - keep) / width)
    assert np.allclose(back, table, atol=1e-9)
    drawn = pick(aliases, np.repeat(np.arange(height, dtype=np.int32), 50), np.random.default_rng(0))
    assert (table[np.repeat(np.arange(height), 50), drawn] > 0).all()


@settings(max_examples=60, deadline=None)
@given(numbers, labels, st.data())
def test_fixed_columns_hold_in_every_row(ticks: list[int | None], words: list[str | None], data: st.DataObject) -> None:
    rows = min(len(ticks), len(words))
    frame = pl.DataFrame(
        {"n": pl.Series(ticks[:rows], dtype=pl.Float64), "c": pl.Series(words[:rows], dtype=pl.String)}
    )
    tree = TreeEngine().fit(frame, [Field("n", "decimal", "number"), Field("c", "text", "category")], 0)
    label = data.draw(st.sampled_from(sorted({w or "" for w in words[:rows]}))) or None
    known = frame["n"].drop_nulls()
    if len(known):
        ends = sorted(data.draw(st.lists(st.integers(int(known.min()), int(known.max())), min_size=2, max_size=2)))
        drawn = tree.given({"n": Ticks(*map(float, ends)), "c": label}).sample(80, 1)
        assert drawn["n"].is_between(*ends).all()
        assert drawn["n"].null_count() == 0
    else:
        drawn = tree.given({"n": None, "c": label}).sample(80, 1)
        assert drawn["n"].null_count() == 80
    assert drawn["c"].eq_missing(pl.Series([label], dtype=pl.String)).all()


def test_columns_without_a_relation_are_drawn_as_if_alone() -> None:
    """What two columns seem to share by chance is not learned: it would be the fitted people's own."""
    rng = np.random.default_rng(3)
    frame = pl.DataFrame({"a": rng.choice(list("abcdefgh"), 2_000), "b": rng.choice(list("uvwxyz"), 2_000)})
    tied = frame.with_columns(pl.when(pl.col("a") < "d").then(pl.lit("u")).otherwise("b").alias("b"))
    fields = [Field("a", "text", "category"), Field("b", "text", "category")]
    spread = [
        float(np.abs(table - table.mean(0)).sum(1).mean() / 2)
        for table in (TreeEngine().fit(f, fields, 0).tables[1] for f in (frame, tied))
    ]
    assert spread[0] < 0.01
    assert spread[1] > 0.3


@settings(max_examples=40, deadline=None)
@given(st.lists(st.from_regex(r"[A-C][0-9]{2}", fullmatch=True), min_size=1, max_size=60), st.integers(1, 300))
def test_codes_are_new_and_different_even_when_the_shape_is_crowded(real: list[str], count: int) -> None:
    known = pl.Series(real)
    pattern, rng = Pattern.learn(known, K), np.random.default_rng(0)
    made = fresh(lambda who, turn: pattern.draw(rng, len(who), turn), count, known, unique=True)
    assert len(set(made)) == count
    assert not set(made) & set(real)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=50), st.integers(1, 40), st.integers(1, 200), st.integers(0, 20)
)
def test_drawn_parents_exist_and_nobody_has_an_uncapped_count(
    counts: list[int], parents: int, rows: int, childless: int
) -> None:
    child = pl.DataFrame({"k": [str(i) for i, n in enumerate(counts) for _ in range(n)]})
    fields = [Field("k", "text", "key", references=("p", "k"))]
    parent = Parent(pl.DataFrame({"k": [f"S{i}" for i in range(parents)]}), len(counts) + childless)
    (tie,) = Ties.learn(child, fields, {"p": parent}, k=K, max_level=4, hidden=()).ties
    cap = sorted(counts)[-K] if len(counts) >= K else 1
    index = place_rows(tie, {}, rows, parent, np.random.default_rng(0))
    assert len(index) == rows
    assert index.min() >= 0
    assert index.max() < parents
    assert tie.sizes.max() <= cap
    if rows <= cap * parents:
        assert np.bincount(index).max() <= cap


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.one_of(st.none(), st.integers()), st.one_of(st.none(), st.integers())), min_size=1))
def test_repaired_orders_hold_and_fixed_ends_stay(pairs: list[tuple[int | None, int | None]]) -> None:
    bounded = [(a and a % 10**9, b and b % 10**9) for a, b in pairs]
    frame = pl.DataFrame(bounded, schema={"a": pl.Int64, "b": pl.Int64}, orient="row")
    fields, rule = [Field("a", "integer", "number"), Field("b", "integer", "number")], Order("a", "b")
    for fixed in (frozenset[str](), frozenset({"a"}), frozenset({"b"})):
        made = repair(frame, [rule], fixed)
        assert violations(made, fields, [rule]) == {}
        assert all(made[name].equals(frame[name]) for name in fixed)
