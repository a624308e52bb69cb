"""Classes of rows that are alike on their quasi-identifiers, and what their sensitive values tell.

Everything is grouped by the engine and summed, so memory follows the number of classes and not the rows. A missing
quasi-identifier is a value of its own: rows are never taken to be alike because one of them does not say. A missing
sensitive value is none: it hides nobody's, so it adds neither to the variety nor to the share of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sandbox.products.coded import Coded

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    Numbers = NDArray[Any]

ALL = "all"
"""The class of all rows, where there is no quasi-identifier; columns are called by their number"""

_MASK = r"^(.*[0-9A-Za-z\p{Han}])?[*＊●×xX_#]{2,}.*$|^\p{Han}[*＊●×○]{1,3}$|^\p{Han}某{1,2}$"
_MASKED_SHARE = 0.5
_SPARSE = 8
"""Numbers are counted in an array of all possible ones while it is at most so many times as long as the rows."""
_VARIETY: dict[str, Any] = {"rows": int, "distinct": int, "top": float, "entropy": float, "first": int, "tail": int}


def masked(cells: Coded) -> bool:
    """Whether most values have characters struck out: 138****0000, 张*."""
    struck = cells.values.str.contains(_MASK).to_numpy()
    return bool(cells.counts.sum()) and bool(cells.counts[struck].sum() >= _MASKED_SHARE * cells.counts.sum())


def _keyed(frame: pl.LazyFrame, quasi: Sequence[str]) -> tuple[pl.LazyFrame, list[str]]:
    """Without quasi-identifiers all rows are one class."""
    import polars as pl

    return (frame, list(quasi)) if quasi else (frame.with_columns(pl.lit("").alias(ALL)), [ALL])


def class_sizes(frame: pl.LazyFrame, quasi: Sequence[str]) -> pl.LazyFrame:
    """One row a class: its quasi-identifiers, `size` (its rows) and `row` (the first of them, from 0)."""
    import polars as pl

    frame, keys = _keyed(frame.with_row_index("row"), quasi)
    return frame.group_by(keys).agg(size=pl.len().cast(pl.Int64), row=pl.min("row"))


class Classes:
    """The classes of all rows by their quasi-identifiers, for whoever asks about more than one column."""

    def __init__(self, quasi: Sequence[Coded], rows: int) -> None:
        import numpy as np

        of = np.zeros(rows, np.int64)
        for key in quasi:
            width = len(key.values) + 1
            of = _dense(of * width + key.codes + 1, (int(of.max(initial=0)) + 1) * width)
        self._of, self._count = of, int(of.max(initial=-1)) + 1

    def variety(self, column: Coded, depth: int) -> pl.DataFrame:
        """One row a class: what its values of one sensitive column look like.

        `rows` with a value, `distinct` values, `top` (share of the commonest), `entropy` (nats), and, for recursive
        (c,l)-diversity with l = `depth`, `first` (rows of the commonest) and `tail` (rows of the l-th commonest and
        rarer).
        """
        import numpy as np
        import polars as pl

        there = column.codes >= 0
        if not there.any():
            return pl.DataFrame(schema=_VARIETY)
        of, codes = (self._of, column.codes) if there.all() else (self._of[there], column.codes[there])
        _, _, n, first = self._counted(of, codes, len(column.values))
        sizes, ends = np.add.reduceat(n, first), np.diff(first, append=len(n))
        share = n / np.repeat(sizes, ends)
        above = _commonest(n, first, ends, depth - 1)
        figures = {
            "rows": sizes, "distinct": ends, "top": np.maximum.reduceat(n, first) / sizes,
            "entropy": -np.add.reduceat(share * np.log(share), first), "first": np.maximum.reduceat(n, first),
            "tail": sizes - above,
        }  # fmt: skip
        return pl.DataFrame(figures, schema=_VARIETY)

    def distances(self, column: Coded) -> Numbers:
        """Of every class, in order of its number, the distance (0–1) between its distribution of a sensitive column and
        that of the whole table, a missing value being a value. Numbers are ordered (earth mover's distance over ranks,
        a missing one below all); other values are equally far from one another."""
        import numpy as np
        import polars as pl

        numbers = column.values.cast(pl.Float64, strict=False)
        ordered = numbers.is_finite().fill_null(False).all()
        ranks = np.unique(numbers.to_numpy(), return_inverse=True)[1] if ordered else np.arange(len(numbers))
        missing = len(column.codes) - int(column.counts.sum())
        if missing:  # a missing value is the first; its code is -1
            ranks = np.append(ranks + 1, 0)
        whole = np.bincount(ranks, weights=np.append(column.counts, missing)[: len(ranks)]).astype(np.int64)
        _, rank, n, first = self._counted(self._of, ranks[column.codes], len(whole))
        found = _moved(rank, n, first, whole) if ordered else _apart(rank, n, first, whole)
        return np.clip(found, 0, 1)

    def _counted(self, of: Numbers, codes: Numbers, width: int) -> tuple[Numbers, Numbers, Numbers, Numbers]:
        """Of every pair of class and value, in their order: class, value, rows; and where each class begins."""
        import numpy as np

        pairs, size = of * width + codes, self._count * width
        if size <= _SPARSE * len(pairs):
            counts = np.bincount(pairs, minlength=size)
            found = np.flatnonzero(counts)
            n = counts[found]
        else:
            found, n = np.unique(pairs, return_counts=True)
        group, code = np.divmod(found, width)
        return group, code, n, np.flatnonzero(np.diff(group, prepend=-1))


def _dense(numbers: Numbers, size: int) -> Numbers:
    """The place of every number, of `size` possible ones, among those that are there."""
    import numpy as np

    if size > _SPARSE * len(numbers):
        found: Numbers = np.unique(numbers, return_inverse=True)[1]
        return found
    places = np.cumsum(np.bincount(numbers, minlength=size) > 0) - 1
    return places[numbers]


def _commonest(n: Numbers, first: Numbers, ends: Numbers, count: int) -> Numbers:
    """Of every class the rows of its `count` commonest values."""
    import numpy as np

    left, found = n.copy(), np.zeros(len(first), np.int64)
    for _ in range(count):
        most = np.maximum.reduceat(left, first)
        found += most
        at = np.flatnonzero(left == np.repeat(most, ends))
        classes = np.searchsorted(first, at, side="right") - 1
        left[at[np.diff(classes, prepend=-1) > 0]] = 0  # one value of each class
    return found


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
