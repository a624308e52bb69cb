"""How much simulated rows resemble real ones: shapes and pairs in [0, 1], read against the real holdout's own score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from policies.text import Text
from synthetic.columns import Scale
from synthetic.fields import Field

_BINS = 10
_LABELS = 30


@dataclass(frozen=True, slots=True)
class Fidelity:
    """`score` = mean of shapes and pairs; `ratio` = score over the holdout's; None where nothing can be compared."""

    score: float | None
    shapes: float | None
    pairs: float | None
    holdout: float | None
    ratio: float | None
    columns: dict[str, float]

    @classmethod
    def unknown(cls) -> Fidelity:
        """For rows made without reading any real row."""
        return cls(None, None, None, None, None, {})


def measure(simulated: pl.DataFrame, fitted: pl.DataFrame, holdout: pl.DataFrame, fields: Sequence[Field]) -> Fidelity:
    """Compare simulated and held-out rows, equally many of each, with the fitted rows.

    A column's shape is 1 - Kolmogorov-Smirnov distance (ticks) or 1 - total variation distance (labels), missing values
    included; a pair is 1 - total variation distance of the two-way table of deciles and frequent labels.
    """
    rows = min(simulated.height, holdout.height)
    if not fields or not rows:
        return Fidelity.unknown()
    binned = [_Binned(fitted.get_column(f.name), f) for f in fields]
    real = [b.codes(fitted) for b in binned]
    made = [b.codes(simulated.head(rows)) for b in binned]
    held = [b.codes(holdout.head(rows)) for b in binned]
    columns = {b.name: b.shape(fitted, simulated) for b in binned}
    shapes = float(np.mean(list(columns.values())))
    pairs = _pairs(binned, real, made)
    ceiling = _mean(float(np.mean([b.shape(fitted, holdout) for b in binned])), _pairs(binned, real, held))
    score = _mean(shapes, pairs)
    return Fidelity(score, shapes, pairs, ceiling, score / ceiling if ceiling else None, columns)


def in_words(fidelity: Fidelity) -> Text:
    """What the score means for somebody who wants to use the rows."""
    if fidelity.ratio is None:
        return Text(
            "只有结构,没有统计特征:可用于 SQL 调试,不可用于结论。",
            "Structure only, no statistics: fit for debugging SQL, not for conclusions.",
        )
    if fidelity.ratio >= 0.95:
        return Text(
            "分布与两两关系接近真实:可用于 SQL 调试、看板原型和模型流程联调,不可用于结论。",
            "Distributions and pairs are close to real: fit for debugging SQL, dashboards and model plumbing, not for "
            "conclusions.",
        )
    if fidelity.ratio >= 0.85:
        return Text(
            "单列分布接近,列间关系部分保留:可用于 SQL 调试,不可用于结论。",
            "Single columns are close, relations partly kept: fit for debugging SQL, not for conclusions.",
        )
    return Text(
        "与真实差别较大:只可用于检查字段和语法,不可用于结论。",
        "Far from real: fit for checking fields and syntax only, not for conclusions.",
    )


class _Binned:
    """One column cut at the deciles or frequent labels of the fitted rows; the last bin is "missing"."""

    def __init__(self, fitted: pl.Series, field: Field) -> None:
        self.name, self.scale = field.name, Scale.of(field)
        seen = self.scale.encode(fitted).drop_nulls()
        if self.scale.kind == "label":
            counts = seen.value_counts().sort(["count", self.name], descending=[True, False])
            self.labels = counts[self.name].head(_LABELS)
            self.size = len(self.labels) + 2
        else:
            values = seen.to_numpy()
            self.edges = (
                np.unique(np.quantile(values, np.linspace(0, 1, _BINS + 1)[1:-1])) if len(values) else np.zeros(1)
            )
            self.size = len(self.edges) + 2

    def codes(self, frame: pl.DataFrame) -> np.ndarray:
        seen = self.scale.encode(frame.get_column(self.name))
        missing = seen.is_null().to_numpy()
        if self.scale.kind == "label":
            other = len(self.labels)
            found = seen.replace_strict(self.labels, np.arange(other), default=other, return_dtype=pl.Int64)
            inside = found.fill_null(other).to_numpy()
        else:
            inside = np.searchsorted(self.edges, seen.fill_null(0.0).to_numpy(), side="right")
        return np.where(missing, self.size - 1, inside)

    def shape(self, fitted: pl.DataFrame, other: pl.DataFrame) -> float:
        left, right = (self.scale.encode(f.get_column(self.name)) for f in (fitted, other))
        nulls = abs(left.null_count() / max(1, len(left)) - right.null_count() / max(1, len(right)))
        if self.scale.kind == "label":
            return 1 - max(nulls, _label_distance(left, right))
        return 1 - max(nulls, _rank_distance(left.drop_nulls().to_numpy(), right.drop_nulls().to_numpy()))


def _label_distance(left: pl.Series, right: pl.Series) -> float:
    """Total variation distance. Summed in integers: the order of a join must not change the last digit."""
    counts = [side.alias("label").value_counts(name="rows") for side in (left, right)]
    both = counts[0].join(counts[1], on="label", how="full", coalesce=True, nulls_equal=True).fill_null(0)
    rows = max(1, len(left)), max(1, len(right))
    here, there = (both[name].cast(pl.Int64).to_numpy() for name in ("rows", "rows_right"))
    return int(np.abs(here * rows[1] - there * rows[0]).sum()) / (2 * rows[0] * rows[1])


def _rank_distance(left: np.ndarray, right: np.ndarray) -> float:
    if not len(left) or not len(right):
        return float(bool(len(left)) != bool(len(right)))
    left, right = np.sort(left), np.sort(right)
    grid = np.concatenate([left, right])
    below = np.searchsorted(left, grid, side="right") / len(left) - np.searchsorted(right, grid, side="right") / len(
        right
    )
    return float(np.abs(below).max())


def _pairs(binned: Sequence[_Binned], real: Sequence[np.ndarray], made: Sequence[np.ndarray]) -> float | None:
    scores = []
    for i in range(len(binned)):
        for j in range(i):
            size = binned[i].size * binned[j].size
            shares = [
                np.bincount(codes[i] * binned[j].size + codes[j], minlength=size) / max(1, len(codes[i]))
                for codes in (real, made)
            ]
            scores.append(1 - float(np.abs(shares[0] - shares[1]).sum()) / 2)
    return float(np.mean(scores)) if scores else None


def _mean(shapes: float, pairs: float | None) -> float:
    return shapes if pairs is None else (shapes + pairs) / 2
