"""Classes of rows that are alike on their quasi-identifiers, and what their sensitive values tell.

Everything is grouped by the engine and summed, so memory follows the number of classes and not the rows. A missing
quasi-identifier is a value of its own: rows are never taken to be alike because one of them does not say. A missing
sensitive value is none: it hides nobody's, so it adds neither to the variety nor to the share of another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    Numbers = NDArray[Any]

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
    """One row a class: its quasi-identifiers, `size` (its rows) and `row` (the first of them, from 0)."""
    import polars as pl

    frame, keys = _keyed(frame.with_row_index("row"), quasi)
    return frame.group_by(keys).agg(size=pl.len().cast(pl.Int64), row=pl.min("row"))


def classes_of(frame: pl.LazyFrame, quasi: Sequence[str]) -> pl.Series:
    """The class of every row as a number, for whoever asks about more than one column; called `ALL`."""
    import polars as pl

    return pl.Series(ALL, _classes(frame, quasi)[0])


def variety(frame: pl.LazyFrame, quasi: Sequence[str], column: str, depth: int) -> pl.DataFrame:
    """One row a class: what its values of one sensitive column look like.

    `rows` with a value, `distinct` values, `top` (share of the commonest), `entropy` (nats), and, for recursive
    (c,l)-diversity with l = `depth`, `first` (rows of the commonest) and `tail` (rows of the l-th commonest and rarer).
    """
    import numpy as np

    of, keys = _classes(frame, quasi)
    codes, values = _coded(frame, column)
    there = codes >= 0
    if not there.any():
        return _described(keys.clear(), {})
    group, _, n, first = _counted(of[there], codes[there], len(values))
    sizes, most = np.add.reduceat(n, first), int(n.max())
    ends = np.diff(first, append=len(n))
    share = n / np.repeat(sizes, ends)
    falling = most - np.sort(group * (most + 1) + (most - n)) % (most + 1)  # the commonest of each class first
    place = np.arange(len(n)) - np.repeat(first, ends)
    commonest = np.maximum.reduceat(n, first)
    figures = {
        "rows": sizes, "distinct": ends, "top": commonest / sizes,
        "entropy": -np.add.reduceat(share * np.log(share), first), "first": commonest,
        "tail": np.add.reduceat(np.where(place >= depth - 1, falling, 0), first),
    }  # fmt: skip
    return _described(keys[group[first]], figures)


def _described(classes: pl.DataFrame, figures: Mapping[str, Numbers]) -> pl.DataFrame:
    import polars as pl

    whole, share = pl.Int64(), pl.Float64()
    kinds = {"rows": whole, "distinct": whole, "top": share, "entropy": share, "first": whole, "tail": whole}
    return classes.with_columns(pl.Series(name, figures.get(name, []), kind) for name, kind in kinds.items())


def distances(frame: pl.LazyFrame, quasi: Sequence[str], column: str) -> pl.DataFrame:
    """One row a class: `distance` (0–1) between its distribution of a sensitive column and that of the whole table, a
    missing value being a value. Numbers are ordered (earth mover's distance over ranks, a missing one below all);
    other values are equally far from one another."""
    import numpy as np
    import polars as pl

    of, keys = _classes(frame, quasi)
    codes, values = _coded(frame, column)
    codes = codes + 1  # a missing value is the first
    numbers = values.cast(pl.Float64, strict=False)
    ordered = numbers.is_finite().fill_null(False).all()
    if ordered:
        codes = np.concatenate(([0], np.unique(numbers.to_numpy(), return_inverse=True)[1] + 1))[codes]
    whole = np.bincount(codes)
    ranks = np.cumsum(whole > 0) - 1  # without the ones that no row has
    group, rank, n, first = _counted(of, ranks[codes], len(whole))
    whole = whole[whole > 0]
    found = _moved(rank, n, first, whole) if ordered else _apart(rank, n, first, whole)
    return keys[group[first]].with_columns(distance=pl.Series(np.clip(found, 0, 1)))


def _coded(frame: pl.LazyFrame, column: str) -> tuple[Numbers, pl.Series]:
    """The place of every row's value among the distinct ones, -1 where it is missing; and these."""
    import numpy as np
    import polars as pl

    cells = frame.select(column).collect(engine="streaming").to_series().to_arrow().dictionary_encode()
    places = cells.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return places, pl.Series(cells.dictionary)


def _classes(frame: pl.LazyFrame, quasi: Sequence[str]) -> tuple[Numbers, pl.DataFrame]:
    """The class of every row, from 0; and the quasi-identifiers of each class."""
    import numpy as np

    frame, keys = _keyed(frame, quasi)
    of, first = np.zeros(0, np.int64), np.zeros(0, np.int64)
    for number, key in enumerate(keys):
        codes, values = _coded(frame, key)
        wide = codes + 1 if number == 0 else of * (len(values) + 1) + codes + 1
        _, first, of = np.unique(wide, return_index=True, return_inverse=True)
    return of, frame.select(keys).collect(engine="streaming")[first]


def _counted(of: Numbers, codes: Numbers, width: int) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """Of every pair of class and value, in their order: class, value, rows; and where each class begins."""
    import numpy as np

    pairs, n = np.unique(of * width + codes, return_counts=True)
    group, code = np.divmod(pairs, width)
    return group, code, n, np.flatnonzero(np.diff(group, prepend=-1))


def _apart(rank: Numbers, n: Numbers, first: Numbers, whole: Numbers) -> Numbers:
    """½ Σ |p_class − p_all|, which is what the two do not share."""
    import numpy as np

    sizes = np.repeat(np.add.reduceat(n, first), np.diff(first, append=len(n)))
    found: Numbers = 1 - np.add.reduceat(np.minimum(n / sizes, whole[rank] / whole.sum()), first)
    return found


def _moved(rank: Numbers, n: Numbers, first: Numbers, whole: Numbers) -> Numbers:
    """(1/(m−1)) Σ |F_class − F_all| over the m distinct values in order.

    Between two ranks of a class its own distribution is flat and the whole one rises: the part below the crossing and
    the part above it are differences of running sums, so the cost is in the rows and not in classes × values.
    """
    import numpy as np

    m, ends = len(whole), np.diff(first, append=len(n))
    if m < 2:
        return np.zeros(len(first))
    f = np.cumsum(whole) / whole.sum()
    summed = np.concatenate(([0.0], np.cumsum(f)))
    running = np.cumsum(n)
    own = (running - np.repeat(running[first] - n[first], ends)) / np.repeat(np.add.reduceat(n, first), ends)
    end = np.append(rank[1:], m)
    end[first[1:] - 1] = m
    cross = np.clip(np.searchsorted(f, own), rank, end)
    moved = own * (cross - rank) - (summed[cross] - summed[rank]) + summed[end] - summed[cross] - own * (end - cross)
    found: Numbers = (np.add.reduceat(moved, first) + summed[rank[first]]) / (m - 1)
    return found
