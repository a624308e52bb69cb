"""How much simulated rows resemble real ones: shapes and pairs in [0, 1], read against the real holdout's own score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from policies.text import Text
from synthetic.binning import Binned
from synthetic.fields import Field

_BINS = 10
_LABELS = 30


@dataclass(frozen=True, slots=True)
class Pair:
    """How well the relation of two columns is kept: similarity in [0, 1], and that of the holdout beside it.

    `real` and `made` say how strong the relation is on each side: mutual information over the smaller entropy, 0–1.
    """

    columns: tuple[str, str]
    score: float
    holdout: float
    real: float
    made: float


@dataclass(frozen=True, slots=True)
class Fidelity:
    """`score` = mean of shapes and pairs; `ratio` = score over the holdout's; None where nothing can be compared."""

    score: float | None
    shapes: float | None
    pairs: float | None
    holdout: float | None
    ratio: float | None
    columns: dict[str, float]
    pairwise: tuple[Pair, ...] = field(default=())

    @classmethod
    def unknown(cls) -> Fidelity:
        """For rows made without reading any real row."""
        return cls(None, None, None, None, None, {})

    def worst(self, count: int) -> list[Pair]:
        """The pairs that fall furthest behind the holdout's own score."""
        return sorted(self.pairwise, key=lambda p: (p.score - p.holdout, p.columns))[:count]


def measure(simulated: pl.DataFrame, fitted: pl.DataFrame, holdout: pl.DataFrame, fields: Sequence[Field]) -> Fidelity:
    """Compare simulated and held-out rows, equally many of each, with the fitted rows.

    Equally many, because chance alone moves a small set of rows further from the fitted ones than a large one. A
    column's shape is 1 - Kolmogorov-Smirnov distance (ticks) or 1 - total variation distance (labels), missing values
    included; a pair is 1 - total variation distance of the two-way table of deciles and frequent labels.
    """
    rows = min(simulated.height, holdout.height)
    if not fields or not rows:
        return Fidelity.unknown()
    simulated, holdout = simulated.head(rows), holdout.head(rows)
    binned = [Binned(fitted.get_column(f.name), f, bins=_BINS, labels=_LABELS) for f in fields]
    columns = {b.name: _shape(b, fitted, simulated) for b in binned}
    shapes = float(np.mean(list(columns.values())))
    pairwise = _pairwise(binned, fitted, simulated, holdout)
    pairs = float(np.mean([p.score for p in pairwise])) if pairwise else None
    best = float(np.mean([p.holdout for p in pairwise])) if pairwise else None
    ceiling = _mean(float(np.mean([_shape(b, fitted, holdout) for b in binned])), best)
    score = _mean(shapes, pairs)
    return Fidelity(score, shapes, pairs, ceiling, score / ceiling if ceiling else None, columns, pairwise)


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


def _shape(one: Binned, left: pl.DataFrame, right: pl.DataFrame) -> float:
    here, there = (one.scale.encode(frame.get_column(one.name)) for frame in (left, right))
    nulls = abs(here.null_count() / max(1, len(here)) - there.null_count() / max(1, len(there)))
    if one.scale.kind == "label":
        return 1 - max(nulls, _label_distance(here, there))
    return 1 - max(nulls, _rank_distance(here.drop_nulls().to_numpy(), there.drop_nulls().to_numpy()))


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


def _pairwise(
    binned: Sequence[Binned], fitted: pl.DataFrame, made: pl.DataFrame, holdout: pl.DataFrame
) -> tuple[Pair, ...]:
    codes = [[b.codes(frame) for b in binned] for frame in (fitted, made, holdout)]
    found = []
    for i in range(len(binned)):
        for j in range(i):
            size = binned[j].size, binned[i].size
            real, drawn, held = (_two_way(side[j], side[i], size) for side in codes)
            distances = (float(np.abs(real - other).sum()) / 2 for other in (drawn, held))
            score, best = (1 - distance for distance in distances)
            found.append(Pair((binned[j].name, binned[i].name), score, best, strength(real), strength(drawn)))
    return tuple(found)


def _two_way(left: np.ndarray, right: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    counts = np.bincount(left * size[1] + right, minlength=size[0] * size[1]).reshape(size)
    return counts / max(1, len(left))


def strength(shares: np.ndarray) -> float:
    """Mutual information of a two-way table of shares over the smaller of the two entropies: 0 none, 1 one decides."""
    sides = shares.sum(1), shares.sum(0)
    least = min(float(-(s[s > 0] * np.log(s[s > 0])).sum()) for s in sides)
    rows, columns = np.nonzero(shares)
    cell = shares[rows, columns]
    shared = float((cell * np.log(cell / (sides[0][rows] * sides[1][columns]))).sum())
    return min(1.0, max(0.0, shared / least)) if least > 1e-9 else 0.0


def _mean(shapes: float, pairs: float | None) -> float:
    return shapes if pairs is None else (shapes + pairs) / 2
