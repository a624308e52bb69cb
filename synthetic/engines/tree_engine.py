"""Own engine: a Chow-Liu tree over binned columns of any type, missing values included; all steps vectorised.

Each column becomes a bin number (one bin is "missing"); the tree of pairs with the highest mutual information is kept
(Chow and Liu 1968) and rows are drawn from the root downwards. Inside a bin of a tick column values are interpolated
between quantiles that each rest on several rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from synthetic.engines.base import NULL
from synthetic.fields import Field

_BINS = 64
_ROWS_PER_KNOT = 5
_KNOTS = 8
_NO_KNOTS = np.zeros((0, 0))
_PAIR_FLOOR = 5
"""Two labels seen together in fewer rows than this are not drawn together because of those rows."""
_PRIOR_ROWS = 20
"""Rows' worth of the child's overall distribution mixed into each conditional one. Without it 1,000 fitted rows left
synthetic rows closer to them than to the holdout in 52.9 % of cases (mean of 8 seeds), with it in 52.0 %, for one
hundredth of the fidelity."""


@dataclass(frozen=True, slots=True)
class Coded:
    """A column as bin numbers, and what is needed to turn bins back into values."""

    codes: np.ndarray
    size: int
    labels: np.ndarray | None
    knots: np.ndarray
    tail: np.ndarray | None = None
    """Labels beyond the most frequent share the last bin; `tail` lists them row by row, to draw from."""


class TreeEngine:
    name = "tree"
    reads_rows = True

    def version(self) -> str:
        return "tree/2"

    def fit_sample(self, frame: pl.DataFrame, fields: Sequence[Field], rows: int, seed: int) -> pl.DataFrame:
        rng = np.random.default_rng(seed)
        coded = [encode(frame.get_column(f.name)) for f in fields]
        drawn = _draw(coded, chow_liu(coded), rows, rng)
        return pl.DataFrame([decode(f.name, c, codes, rng) for f, c, codes in zip(fields, coded, drawn, strict=True)])


def encode(series: pl.Series) -> Coded:
    """Bin numbers of a column: the most frequent labels, or quantile bins; missing is the last bin of ticks."""
    if series.dtype == pl.String:
        return _encode_labels(series)
    values = series.to_numpy().astype(np.float64)
    known = np.isfinite(values)
    starts = _starts(values[known])
    codes = np.where(known, np.clip(np.searchsorted(starts, values, side="right") - 1, 0, None), len(starts))
    return Coded(codes, len(starts) + 1, None, _knots(values, codes, len(starts)))


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
    ranked = filled.value_counts().sort(["count", series.name], descending=[True, False])
    labels = ranked[series.name].to_numpy()
    order = np.argsort(labels)
    found = order[np.searchsorted(labels[order], filled.to_numpy())]
    if len(labels) <= _BINS:
        return Coded(found, len(labels), labels, _NO_KNOTS)
    codes = np.minimum(found, _BINS - 1)
    return Coded(codes, _BINS, labels[: _BINS - 1], _NO_KNOTS, filled.to_numpy()[codes == _BINS - 1])


def _knots(values: np.ndarray, codes: np.ndarray, bins: int) -> np.ndarray:
    """Quantiles inside each bin, shape (bins, _KNOTS + 1); few rows in a bin give a straight line."""
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(bins + 1))
    knots = np.zeros((bins, _KNOTS + 1))
    for b in range(bins):
        inside = values[order[bounds[b] : bounds[b + 1]]]
        if not len(inside):
            continue
        steps = int(np.clip(len(inside) // _ROWS_PER_KNOT, 1, _KNOTS))
        coarse = np.quantile(inside, np.linspace(0, 1, steps + 1))
        knots[b] = np.interp(np.linspace(0, 1, _KNOTS + 1), np.linspace(0, 1, steps + 1), coarse)
    return knots


def decode(name: str, coded: Coded, codes: np.ndarray, rng: np.random.Generator) -> pl.Series:
    """The column for bin numbers."""
    if coded.labels is not None:
        known = pl.Series(name, [*coded.labels.tolist(), NULL], dtype=pl.String)
        column = known.gather(np.minimum(codes, len(coded.labels)))
        if coded.tail is not None:
            in_tail = np.flatnonzero(codes == _BINS - 1)
            column = column.scatter(in_tail, pl.Series(rng.choice(coded.tail, len(in_tail)).tolist(), dtype=pl.String))
        return column.set(column == NULL, None)
    missing = codes == coded.size - 1
    bins = np.where(missing, 0, codes)
    place = rng.random(len(codes)) * _KNOTS
    left = place.astype(np.int64)
    low, high = coded.knots[bins, left], coded.knots[bins, left + 1]
    return pl.Series(name, low + (high - low) * (place - left)).set(pl.Series(missing), None)


def chow_liu(coded: Sequence[Coded]) -> list[tuple[int, int]]:
    """(parent, child) edges of the spanning tree with the most mutual information, parents first; -1 is the root."""
    count = len(coded)
    weight = np.zeros((count, count))
    for i in range(count):
        for j in range(i):
            weight[i, j] = weight[j, i] = mutual_information(coded[i], coded[j])
    edges, best, via = [(-1, 0)] if count else [], weight[0].copy() if count else weight, np.zeros(count, dtype=int)
    left = set(range(1, count))
    while left:
        nearest = max(sorted(left), key=lambda c: best[c])
        edges.append((int(via[nearest]), nearest))
        left.remove(nearest)
        closer = weight[nearest] > best
        via[closer], best[closer] = nearest, weight[nearest][closer]
    return edges


def mutual_information(a: Coded, b: Coded) -> float:
    """Mutual information in nats, less the amount that pure chance adds to it (Miller-Madow)."""
    joint = _joint(a, b)
    rows = joint.sum()
    if not rows:
        return 0.0
    left, right = joint.sum(1), joint.sum(0)
    i, j = np.nonzero(joint)
    cell = joint[i, j]
    raw = float((cell / rows * np.log(cell * rows / (left[i] * right[j]))).sum())
    chance = (np.count_nonzero(left) - 1) * (np.count_nonzero(right) - 1) / (2 * rows)
    return max(0.0, raw - chance)


def _joint(a: Coded, b: Coded) -> np.ndarray:
    flat = np.bincount(a.codes * b.size + b.codes, minlength=a.size * b.size)
    return flat.reshape(a.size, b.size).astype(np.float64)


def _draw(
    coded: Sequence[Coded], edges: Sequence[tuple[int, int]], rows: int, rng: np.random.Generator
) -> list[np.ndarray]:
    drawn: list[np.ndarray] = [np.zeros(0, dtype=np.int64)] * len(coded)
    for parent, child in edges:
        here = coded[child]
        marginal = np.bincount(here.codes, minlength=here.size).astype(np.float64)
        if parent < 0:
            table, given = marginal[None, :], np.zeros(rows, dtype=np.int64)
        else:
            table, given = _conditional(coded[parent], here, marginal), drawn[parent]
        drawn[child] = _pick(table, given, rng)
    return drawn


def _conditional(parent: Coded, child: Coded, marginal: np.ndarray) -> np.ndarray:
    joint = _joint(parent, child)
    if parent.labels is not None and child.labels is not None:
        joint[joint < _PAIR_FLOOR] = 0
    joint[joint.sum(1) == 0] = marginal
    return joint + _PRIOR_ROWS * marginal / max(1.0, marginal.sum())


def _pick(table: np.ndarray, given: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each of `given` one draw from that row of `table`: a single search in all cumulated rows laid end to end."""
    cumulated = np.cumsum(table, axis=1)
    cumulated /= cumulated[:, -1:]
    flat = (cumulated + np.arange(len(table))[:, None]).ravel()
    found = np.searchsorted(flat, rng.random(len(given)) + given, side="right")
    return np.clip(found - given * table.shape[1], 0, table.shape[1] - 1)
