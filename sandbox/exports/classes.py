"""Classes of rows that are alike on their quasi-identifiers, and what their sensitive values tell.

Everything is grouped by the engine and summed, so memory follows the number of classes and not the rows. A missing
quasi-identifier is a value of its own: rows are never taken to be alike because one of them does not say. A missing
sensitive value is none: it hides nobody's, so it adds neither to the variety nor to the share of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

ALL = "all"
"""The class of all rows, where there is no quasi-identifier; columns are called by their number"""

_MASK = r"^(.*[0-9A-Za-z\p{Han}])?[*＊●×xX_#]{2,}.*$|^\p{Han}[*＊●×○]{1,3}$|^\p{Han}某{1,2}$"
_MASKED_SHARE = 0.5


def masked(frame: pl.LazyFrame, width: int) -> set[str]:
    """Columns (by number) of which most values have characters struck out: 138****0000, 张*."""
    import polars as pl

    shares = frame.select(pl.col(str(i + 1)).drop_nulls().str.contains(_MASK).mean() for i in range(width)).collect()
    return {name for name in shares.columns if (shares[name][0] or 0) >= _MASKED_SHARE}


def _keyed(frame: pl.LazyFrame, quasi: Sequence[str]) -> tuple[pl.LazyFrame, list[str]]:
    """Without quasi-identifiers all rows are one class."""
    import polars as pl

    return (frame, list(quasi)) if quasi else (frame.with_columns(pl.lit("").alias(ALL)), [ALL])


def class_sizes(frame: pl.LazyFrame, quasi: Sequence[str]) -> pl.LazyFrame:
    """One row a class: its quasi-identifiers and `size`, its rows."""
    import polars as pl

    frame, keys = _keyed(frame, quasi)
    return frame.group_by(keys).agg(size=pl.len().cast(pl.Int64))


def variety(frame: pl.LazyFrame, quasi: Sequence[str], column: str, depth: int) -> pl.DataFrame:
    """One row a class: what its values of one sensitive column look like.

    `rows` with a value, `distinct` values, `top` (share of the commonest), `entropy` (nats), and, for recursive
    (c,l)-diversity with l = `depth`, `first` (rows of the commonest) and `tail` (rows of the l-th commonest and rarer).
    """
    import polars as pl

    frame, keys = _keyed(frame, quasi)
    counts = frame.filter(pl.col(column).is_not_null()).group_by([*keys, column]).agg(n=pl.len().cast(pl.Int64))
    n, share = pl.col("n"), pl.col("n") / pl.col("n").sum()
    figures = {
        "rows": n.sum(), "distinct": n.len().cast(pl.Int64), "top": n.max() / n.sum(),
        "entropy": -(share * share.log()).sum(), "first": n.max(),
        "tail": n.sort(descending=True).slice(depth - 1).sum(),
    }  # fmt: skip
    return counts.group_by(keys).agg(**figures).collect(engine="streaming")


def distances(frame: pl.LazyFrame, quasi: Sequence[str], column: str) -> pl.DataFrame:
    """One row a class: `distance` (0–1) between its distribution of a sensitive column and that of the whole table, a
    missing value being a value. Numbers are ordered (earth mover's distance over ranks, a missing one below all);
    other values are equally far from one another."""
    import polars as pl

    frame, keys = _keyed(frame, quasi)
    number = pl.col(column).cast(pl.Float64, strict=False)
    if frame.select((pl.col(column).is_null() | number.is_finite().fill_null(False)).all()).collect().item():
        return _ordered(frame.with_columns(number.alias(column)), keys, column)
    whole = frame.group_by(column).agg(whole=pl.len())
    counts = frame.group_by([*keys, column]).agg(n=pl.len()).join(whole, on=column, nulls_equal=True)
    total = frame.select(pl.len()).collect(engine="streaming").item()
    inside = pl.min_horizontal(pl.col("n") / pl.col("n").sum(), pl.col("whole") / total).sum()
    return counts.group_by(keys).agg(distance=(1 - inside).clip(0, 1)).collect(engine="streaming")


def _ordered(frame: pl.LazyFrame, keys: list[str], column: str) -> pl.DataFrame:
    """(1/(m−1)) Σ |F_class − F_all| over the m distinct values in order.

    Between two ranks of a class its own distribution is flat and the whole one rises: the part below the crossing and
    the part above it are differences of running sums, so the cost is in the rows and not in classes × values.
    """
    import numpy as np
    import polars as pl

    whole = frame.group_by(column).agg(whole=pl.len()).sort(column, nulls_last=False).collect(engine="streaming")
    classes = frame.select(keys).unique(maintain_order=False).collect(engine="streaming").with_row_index("class")
    m = whole.height
    if m < 2:
        return classes.select(keys).with_columns(distance=pl.lit(0.0))
    ranked = whole.with_row_index("rank").lazy().select(column, "rank")
    flat = (
        frame.group_by([*keys, column]).agg(n=pl.len()).join(ranked, on=column, nulls_equal=True)
        .join(classes.lazy(), on=keys, nulls_equal=True).select("class", "rank", "n")
        .sort("class", "rank").collect(engine="streaming")
    )  # fmt: skip
    of, rank, n = (flat[name].to_numpy().astype(np.int64) for name in ("class", "rank", "n"))
    first = np.flatnonzero(np.diff(of, prepend=-1))
    f = np.cumsum(whole["whole"].to_numpy()) / whole["whole"].sum()
    summed = np.concatenate(([0.0], np.cumsum(f)))
    running = np.cumsum(n)
    sizes = np.add.reduceat(n, first)
    own = (running - np.repeat(running[first] - n[first], np.diff(first, append=len(n)))) / np.repeat(
        sizes, np.diff(first, append=len(n))
    )
    end = np.append(rank[1:], m)
    end[first[1:] - 1] = m
    cross = np.clip(np.searchsorted(f, own), rank, end)
    moved = own * (cross - rank) - (summed[cross] - summed[rank]) + summed[end] - summed[cross] - own * (end - cross)
    total = np.add.reduceat(moved, first) + summed[rank[first]]
    found = pl.DataFrame({"class": of[first].astype(np.uint32), "distance": np.clip(total / (m - 1), 0, 1)})
    return classes.join(found, on="class").drop("class")
