"""One column of the tree engine: its bins, how values fall into them, and how they come out again."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from policies.text import Text, UserError
from synthetic.engines.base import NULL, Condition, Ticks

_BINS = 64
_ROWS_PER_KNOT = 5
_KNOTS = 8
_HALF = 0.5
"""A value within half a tick of a whole one is rounded to it."""


@dataclass(frozen=True, slots=True)
class Column:
    """What is needed to turn bin numbers back into values.

    Labels (null = missing) stand for the first bins; those beyond the most frequent share the last bin, and `tail`
    lists them row by row, to draw from. Tick columns have `knots` instead, quantiles inside each bin, shape
    (bins, _KNOTS + 1), NaN for a bin that holds no row; their last bin is "missing". Of a fixed column `window` says
    for each bin between which places on its knots values may lie, `only` what they are.
    """

    name: str
    size: int
    labels: pl.Series | None = None
    tail: pl.Series | None = None
    knots: np.ndarray | None = None
    window: np.ndarray | None = None
    only: Condition = None

    def pinned(self, condition: Condition) -> tuple[Column, np.ndarray]:
        """The column fixed to `condition`, and how much of each bin fulfils it, in [0, 1].

        Raises:
            UserError: `simulation.given` for a value that was not learned.
        """
        if isinstance(condition, Ticks):
            column, weight = self._between(condition)
        else:
            column, weight = self._equal(condition)
        if not weight.any():
            raise _not_learned(self.name)
        return column, weight

    def _equal(self, label: str | None) -> tuple[Column, np.ndarray]:
        weight = np.zeros(self.size)
        if self.labels is None:
            weight[-1] = label is None
            return self, weight
        weight[: len(self.labels)] = self.labels.eq_missing(label).to_numpy()
        if self.tail is not None and not weight.any():
            weight[-1] = float(self.tail.eq_missing(label).sum()) / len(self.tail)
        return replace(self, labels=pl.Series(self.name, [label], dtype=pl.String), tail=None), weight

    def _between(self, wanted: Ticks) -> tuple[Column, np.ndarray]:
        weight = np.zeros(self.size)
        if self.knots is None:
            return self, weight
        bins = np.flatnonzero(~np.isnan(self.knots[:, 0]))
        window = np.stack(
            [_places(self.knots, wanted.low - _HALF, low=True), _places(self.knots, wanted.high + _HALF, low=False)]
        )
        weight[:-1] = np.maximum(0.0, window[1] - window[0]) / _KNOTS
        first, last = self.knots[bins, 0], self.knots[bins, -1]
        if not weight.any() and (first <= wanted.high).any() and (wanted.low <= last).any():
            # A gap between two bins: the values of the nearest one are moved into it.
            weight[bins[np.maximum(first - wanted.high, wanted.low - last).argmin()]] = 1.0
            window[0], window[1] = 0.0, float(_KNOTS)
        return replace(self, window=window, only=wanted), weight

    def decode(self, codes: np.ndarray, rng: np.random.Generator) -> pl.Series:
        """The column for bin numbers."""
        return self._decode_ticks(codes, rng) if self.labels is None else self._decode_labels(codes, rng)

    def _decode_labels(self, codes: np.ndarray, rng: np.random.Generator) -> pl.Series:
        assert self.labels is not None
        column = self.labels.gather(np.minimum(codes, len(self.labels) - 1))
        if self.tail is not None:
            rare = np.flatnonzero(codes == self.size - 1)
            column = column.scatter(rare, self.tail.gather(rng.integers(0, len(self.tail), len(rare))))
        return column.alias(self.name)

    def _decode_ticks(self, codes: np.ndarray, rng: np.random.Generator) -> pl.Series:
        assert self.knots is not None
        missing = codes == self.size - 1
        place = rng.random(len(codes))
        if self.window is None:
            place *= _KNOTS
        else:
            low, high = self.window[:, np.minimum(codes, self.size - 2)]
            place = low + (high - low) * place
        cell = np.minimum(place.astype(np.int32), _KNOTS - 1)
        place -= cell
        at = np.where(missing, 0, codes) * np.int32(_KNOTS + 1) + cell
        flat = self.knots.ravel()
        start = flat.take(at)
        values = start + (flat.take(at + 1) - start) * place
        if isinstance(self.only, Ticks):
            values = np.clip(np.round(values), self.only.low, self.only.high)
        values[missing] = np.nan
        return pl.Series(self.name, values, nan_to_null=True)


@dataclass(frozen=True, slots=True)
class Coded:
    """A column and the bin number of every fitted row."""

    column: Column
    codes: np.ndarray


def encode(series: pl.Series) -> Coded:
    """Bins of a column: the most frequent labels, or quantile bins of ticks."""
    if series.dtype == pl.String:
        return _encode_labels(series)
    values = series.to_numpy().astype(np.float64)
    known = np.isfinite(values)
    starts = _starts(values[known])
    codes = np.where(known, np.clip(np.searchsorted(starts, values, side="right") - 1, 0, None), len(starts))
    return Coded(Column(series.name, len(starts) + 1, knots=_knots(values, codes, len(starts))), codes)


def _starts(values: np.ndarray) -> np.ndarray:
    """Where bins begin: at quantiles, and around every value that many rows share, which gets a bin of its own."""
    if not len(values):
        return np.zeros(1)
    bins = int(np.clip(np.sqrt(len(values) / _ROWS_PER_KNOT), 4, _BINS))
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= bins:
        return distinct
    shared = distinct[counts >= len(values) / (2 * bins)]
    edges = np.quantile(values, np.linspace(0, 1, bins + 1)[:-1])
    return np.unique(np.concatenate([edges, shared, np.nextafter(shared, np.inf)]))


def _encode_labels(series: pl.Series) -> Coded:
    filled = series.fill_null(NULL)
    ranked = filled.value_counts().sort(["count", series.name], descending=[True, False])[series.name]
    size = min(len(ranked), _BINS)
    place = pl.Series(np.minimum(np.arange(len(ranked)), size - 1))
    codes = filled.replace_strict(ranked, place, return_dtype=pl.Int64).to_numpy()
    known = ranked.set(ranked == NULL, None)
    if len(ranked) <= _BINS:
        return Coded(Column(series.name, size, labels=known), codes)
    tail = series.filter(pl.Series(codes == size - 1))
    return Coded(Column(series.name, size, labels=known[: size - 1], tail=tail), codes)


def _knots(values: np.ndarray, codes: np.ndarray, bins: int) -> np.ndarray:
    """Quantiles inside each bin, shape (bins, _KNOTS + 1); few rows in a bin give a straight line."""
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(bins + 1))
    knots = np.full((bins, _KNOTS + 1), np.nan)
    for b in range(bins):
        inside = values[order[bounds[b] : bounds[b + 1]]]
        if not len(inside):
            continue
        steps = int(np.clip(len(inside) // _ROWS_PER_KNOT, 1, _KNOTS))
        coarse = np.quantile(inside, np.linspace(0, 1, steps + 1))
        knots[b] = np.interp(np.linspace(0, 1, _KNOTS + 1), np.linspace(0, 1, steps + 1), coarse)
    return knots


def _places(knots: np.ndarray, value: float, *, low: bool) -> np.ndarray:
    """For each bin the first place from which values reach `value` (`low`), or the last up to which they do not exceed
    it; the wrong end of the bin where no place does."""
    count = (knots < value).sum(1) if low else (knots <= value).sum(1)
    left = np.clip(count - 1, 0, _KNOTS - 1)
    bins = np.arange(len(knots))
    start, end = knots[bins, left], knots[bins, left + 1]
    inside = (count > 0) & (count <= _KNOTS)
    step = (value - start) / np.where(inside, end - start, 1.0)
    return np.where(inside, left + step, np.where(count == 0, 0.0, float(_KNOTS)))


def _not_learned(column: str) -> UserError:
    return UserError(
        "simulation.given",
        Text(
            "列 {c} 不能固定为这个值:它不在学到的取值里(可能人数太少、已并入其他,或超出收敛后的范围)。",
            "Column {c} cannot be fixed to this value: it was not learned (too few people may have it, or it lies "
            "outside the trimmed range).",
        ).fill(c=column),
        fix=Text("请换一个常见的值或范围。", "Choose a common value or range."),
        columns=[column],
    )
