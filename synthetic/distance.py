"""Distance to the closest record, exact and over all rows: are simulated rows nearer to the rows that were fitted?

Own distance: a number or date is placed at its rank among the real values (0 to 1, so that no far value can drown the
others), labels differ by one or not at all (the most frequent 31 labels of a column count separately), missing differs
from everything else. Tiles of a matrix product; every point meets every row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from synthetic.columns import Scale
from synthetic.fields import Field

_LABELS = 31
_POINTS = 1024
_TILE = 4096
_FEW_PLACES = 32


@dataclass(frozen=True, slots=True)
class Closer:
    """`share` of rows closer to the fitted rows than to the holdout: 0.5 when independent of both, 1 for copies.

    Where several real rows are equally close, each counts its part; sets of unequal size are weighed by their size.
    Under independence every closest row is equally likely to come from either set, so neither ties nor sizes bias the
    share. None when there is nothing to compare.

    `independent` is how many independent comparisons the share is worth, the square of the rows over the sum of
    (rows that share one closest real row)²: chance alone moves the share by 0.5/√independent. A few real rows that are
    closest to many simulated ones make it far smaller than the number of rows.
    """

    rows: int
    share: float | None
    independent: float = 0.0


class Space:
    """Rows as points: fitted on the real rows, then used for every set of rows."""

    def __init__(self, real: pl.DataFrame, fields: Sequence[Field]) -> None:
        self._columns = [_Axis(real.get_column(f.name), f) for f in fields]
        # A place that is zero in every real row adds the same to all distances of a point.
        self._used = self._places(real).any(axis=0)

    def points(self, frame: pl.DataFrame) -> np.ndarray:
        """One row a record; float32 where many places make the distances large against its error, else float64."""
        places = self._places(frame)[:, self._used]
        return places.astype(np.float64 if places.shape[1] <= _FEW_PLACES else np.float32)

    def _places(self, frame: pl.DataFrame) -> np.ndarray:
        parts = [axis.coordinates(frame.get_column(axis.name)) for axis in self._columns]
        return np.hstack(parts) if parts else np.zeros((frame.height, 0))


class _Axis:
    def __init__(self, real: pl.Series, field: Field) -> None:
        self.name, self.scale = field.name, Scale.of(field)
        seen = self.scale.encode(real).drop_nulls()
        if self.scale.kind == "label":
            counts = seen.value_counts().sort(["count", self.name], descending=[True, False])
            self.labels = counts[self.name].head(_LABELS)
        else:
            self.values, times = np.unique(seen.to_numpy(), return_counts=True)
            self.ranks = (np.cumsum(times) - times / 2) / max(1, len(seen))

    def coordinates(self, series: pl.Series) -> np.ndarray:
        seen = self.scale.encode(series)
        missing = seen.is_null().to_numpy()
        if self.scale.kind == "ticks":
            place = np.zeros(len(seen))
            if len(self.values):
                place = np.where(missing, 0.0, np.interp(seen.fill_null(0.0).to_numpy(), self.values, self.ranks))
            return np.stack([place, missing.astype(np.float64)], axis=1)
        code = seen.replace_strict(
            self.labels, np.arange(len(self.labels)), default=len(self.labels), return_dtype=pl.Int64
        )
        # 1/√2 on each of two unequal places makes two different labels lie exactly 1 apart.
        count = len(self.labels)
        out = np.zeros((len(series), count + 2), dtype=np.float32)
        out[np.arange(len(series)), np.where(missing, count + 1, code.fill_null(count).to_numpy())] = np.sqrt(0.5)
        return out


class Nearest:
    """The rows closest to each of some points, over any number of batches of rows: `votes` counts them by class, and
    `first` is the place of the first of them among all rows added."""

    def __init__(self, points: np.ndarray, classes: int) -> None:
        self._points = np.hstack([points, np.ones((len(points), 1), points.dtype)])
        self._least = np.full(len(points), np.inf, points.dtype)
        self._tie = 1e-10 if points.dtype == np.float64 else 1e-5
        self.votes = np.zeros((len(points), classes), dtype=np.int64)
        self.first = np.zeros(len(points), dtype=np.int64)
        self._added = 0

    def add(self, rows: np.ndarray, classes: np.ndarray) -> None:
        """Meet `rows` of the same `Space`, each of a class 0, 1, …"""
        # The squared distance less the point's own size, which is the same for every row, as one product.
        facing = np.hstack([-2 * rows, (rows**2).sum(1, keepdims=True)]).T
        for right in range(0, len(rows), _TILE):
            tile, kinds = np.ascontiguousarray(facing[:, right : right + _TILE]), classes[right : right + _TILE]
            for left in range(0, len(self._points), _POINTS):
                self._meet(slice(left, left + _POINTS), tile, kinds, self._added + right)
        self._added += len(rows)

    def _meet(self, part: slice, tile: np.ndarray, kinds: np.ndarray, place: int) -> None:
        gaps = self._points[part] @ tile
        where, least, votes = gaps.argmin(1), self._least[part], self.votes[part]
        low = gaps[np.arange(len(gaps)), where]
        closer = low < least - self._tie
        votes[closer] = 0
        self.first[part][closer] = place + where[closer]
        np.minimum(least, low, out=least)
        near = np.flatnonzero(low <= least + self._tie)
        who, which = np.divmod(np.flatnonzero(gaps[near] <= (least[near] + self._tie)[:, None]), gaps.shape[1])
        cells = np.bincount(near[who] * votes.shape[1] + kinds[which], minlength=votes.size)
        votes += cells.reshape(votes.shape)


class Comparison:
    """The fitted and the held-out rows, to be compared with any number of batches."""

    def __init__(
        self, real: pl.DataFrame, fitted: pl.DataFrame, holdout: pl.DataFrame, fields: Sequence[Field]
    ) -> None:
        self._space = Space(real, fields)
        self._sizes = fitted.height, holdout.height
        self._rows = np.vstack([self._space.points(fitted), self._space.points(holdout)])
        self._kinds = np.repeat([0, 1], self._sizes)

    def closer(self, batches: Iterable[pl.DataFrame]) -> Closer:
        """Where the real row (or rows) closest to each row come from; memory does not grow with the batches."""
        rows, near = 0, 0.0
        shared, alike = np.zeros(len(self._rows)), np.ones(len(self._rows))
        if not all(self._sizes) or not self._rows.shape[1]:
            return Closer(sum(batch.height for batch in batches), None)
        for batch in batches:
            found = Nearest(self._space.points(batch), 2)
            found.add(self._rows, self._kinds)
            tied = found.votes.sum(1)
            rows += batch.height
            near += float((found.votes[:, 0] / tied).sum())
            shared += np.bincount(found.first, minlength=len(shared))
            alike[found.first] = tied
        if not rows:
            return Closer(0, None)
        weighed = near / rows / self._sizes[0], (1 - near / rows) / self._sizes[1]
        # Rows that are alike share what falls on them, so their group wavers less.
        return Closer(rows, weighed[0] / sum(weighed), rows**2 / float((shared**2 / alike).sum()))
