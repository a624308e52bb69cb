"""Distance to the closest record, exact and over all rows: are simulated rows nearer to the rows that were fitted?

Own distance: ticks are scaled to the spread of the real column, labels differ by one or not at all (the most frequent
31 labels of a column count separately), missing differs from everything else. One blockwise matrix product a pair of
blocks; every simulated row meets every fitted and every held-out row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from synthetic.columns import Scale
from synthetic.fields import Field

_LABELS = 31
_BLOCK_CELLS = 8_000_000
_FEW_PLACES = 32


@dataclass(frozen=True, slots=True)
class Closer:
    """`share` of rows closer to the fitted rows than to the holdout: 0.5 when independent of both, 1 for copies.

    Where several real rows are equally close, each counts its part; sets of unequal size are weighed by their size.
    Under independence every closest row is equally likely to come from either set, so neither ties nor sizes bias the
    share. None when there is nothing to compare.
    """

    rows: int
    share: float | None


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
        seen = self.scale.encode(real)
        if self.scale.kind == "label":
            counts = seen.drop_nulls().value_counts().sort(["count", self.name], descending=[True, False])
            self.labels = counts[self.name].head(_LABELS)
        else:
            low, high = (seen.quantile(q) or 0.0 for q in (0.05, 0.95))
            self.low, self.spread = low, (high - low) or 1.0

    def coordinates(self, series: pl.Series) -> np.ndarray:
        seen = self.scale.encode(series)
        missing = seen.is_null().to_numpy()
        if self.scale.kind == "ticks":
            place = (seen.fill_null(self.low).to_numpy() - self.low) / self.spread
            return np.stack([place, missing.astype(np.float64)], axis=1)
        code = seen.replace_strict(
            self.labels, np.arange(len(self.labels)), default=len(self.labels), return_dtype=pl.Int64
        )
        # 1/√2 on each of two unequal places makes two different labels lie exactly 1 apart.
        count = len(self.labels)
        out = np.zeros((len(series), count + 2), dtype=np.float32)
        out[np.arange(len(series)), np.where(missing, count + 1, code.fill_null(count).to_numpy())] = np.sqrt(0.5)
        return out


def closer_share(points: np.ndarray, fitted: np.ndarray, holdout: np.ndarray) -> Closer:
    """Where the real row (or rows) closest to each point come from; all arrays from one `Space`."""
    if not len(fitted) or not len(holdout) or not len(points) or not points.shape[1]:
        return Closer(len(points), None)
    tie = 1e-10 if points.dtype == np.float64 else 1e-5
    sizes = (fitted**2).sum(1), (holdout**2).sum(1)
    block = max(1, _BLOCK_CELLS // (len(fitted) + len(holdout)))
    near = 0.0
    for start in range(0, len(points), block):
        part = points[start : start + block]
        # The squared distance less the point's own size, which is the same for every real row.
        gaps = [size - 2 * (part @ rows.T) for size, rows in zip(sizes, (fitted, holdout), strict=True)]
        least = [gap.min(1) for gap in gaps]
        near += int((least[0] < least[1] - tie).sum())
        tied = np.flatnonzero(np.abs(least[0] - least[1]) <= tie)
        limit = (np.minimum(*least)[tied] + tie)[:, None]
        close = [(gap[tied] <= limit).sum(1) for gap in gaps]
        near += float((close[0] / (close[0] + close[1])).sum())
    share = near / len(points)
    weighed = share / len(fitted), (1 - share) / len(holdout)
    return Closer(len(points), weighed[0] / sum(weighed))
