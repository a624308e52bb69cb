"""What an engine may see of real rows: no identifier, no rare label, no extreme value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from synthetic.columns import Scale
from synthetic.fields import Field, entity_of

OTHER = "其他"
_TAIL_ROWS = 20


@dataclass(frozen=True, slots=True)
class View:
    """The protected fit sample: labels (String) and ticks (Float64) only.

    `bounds` are the trimmed ends of each tick column; `patterned` are code columns whose values are nearly all rare:
    they are made from the shape of the codes instead of being learned. `pooled` counts the labels that were merged.
    """

    frame: pl.DataFrame
    scales: Mapping[str, Scale]
    bounds: Mapping[str, tuple[float, float]]
    patterned: tuple[str, ...]
    pooled: Mapping[str, int]


def protect(rows: pl.DataFrame, fields: Sequence[Field], *, k: int, rng: np.random.Generator) -> View:
    """Build the view of `rows` (plan-typed): labels carried by fewer than `k` people become 其他, tails are trimmed.

    Source: statistical disclosure practice of pooling categories and of top and bottom coding; `k` is policy.
    """
    owner = entity_of(fields)
    columns: list[pl.Series] = []
    scales: dict[str, Scale] = {}
    bounds: dict[str, tuple[float, float]] = {}
    pooled: dict[str, int] = {}
    patterned: list[str] = []
    for field in (f for f in fields if f.learned):
        series = rows.get_column(field.name)
        scale = Scale.of(field, series)
        seen = scale.encode(series)
        if not field.nullable:
            seen = _complete(seen, rng)
        if scale.kind == "ticks":
            seen, bounds[field.name] = trim(seen, k)
        else:
            support = supports(seen, rows.get_column(owner.name) if owner else None)
            rare = support.filter(_unfit(field, k))
            if field.semantic == "code" and rare["rows"].sum() * 2 > support["rows"].sum():
                patterned.append(field.name)
                continue
            seen = _pool(seen, support, rare, field, rng)
            pooled[field.name] = rare.height
        scales[field.name] = scale
        columns.append(seen)
    return View(pl.DataFrame(columns), scales, bounds, tuple(patterned), pooled)


def one_per_person(rows: pl.DataFrame, fields: Sequence[Field]) -> pl.DataFrame:
    """The first row of each person (rows without one all stay): what twelve monthly rows repeat is still one person's.

    Fitting on all of them would make a single salary look like a value shared by many.
    """
    owner = entity_of(fields)
    if owner is None:
        return rows
    column = rows.get_column(owner.name)
    return rows.filter(column.is_first_distinct() | column.is_null())


def supports(labels: pl.Series, owner: pl.Series | None) -> pl.DataFrame:
    """label, rows, support: how many rows carry a label, and how many people (or enterprises) do, where known.

    Ten rows of one patient are the support of one.
    """
    frame = pl.DataFrame({"label": labels})
    count = pl.len().alias("support")
    if owner is not None:
        frame = frame.with_columns(owner.alias("owner"))
        # Rows without an owner cannot be told apart from one another's person, so together they count as one.
        count = pl.col("owner").n_unique().alias("support")
    return frame.drop_nulls("label").group_by("label").agg(pl.len().alias("rows"), count).sort("label")


def trim(ticks: pl.Series, k: int) -> tuple[pl.Series, tuple[float, float]]:
    """Clip both tails to the mean of the most extreme rows, rounded inward so that no extreme value itself remains."""
    values = np.sort(ticks.drop_nulls().to_numpy())
    if not len(values):
        return ticks, (0.0, 0.0)
    tail = max(1, min(len(values), max(k, min(_TAIL_ROWS, len(values) // 10))))
    low, high = float(np.ceil(values[:tail].mean())), float(np.floor(values[-tail:].mean()))
    if low > high:
        low = high = float(np.round(np.median(values)))
    return ticks.clip(low, high), (low, high)


def _unfit(field: Field, k: int) -> pl.Expr:
    """Labels that must not be drawn: too few people behind them, or against the column's own dictionary or length."""
    unfit = pl.col("support") < k
    if field.codes:
        unfit = unfit | ~pl.col("label").is_in(list(field.codes))
    if field.length is not None:
        unfit = unfit | (pl.col("label").str.len_chars() > field.length)
    return unfit


def _pool(
    labels: pl.Series, support: pl.DataFrame, rare: pl.DataFrame, field: Field, rng: np.random.Generator
) -> pl.Series:
    if not rare.height:
        return labels
    is_rare = labels.is_in(rare["label"].implode()).fill_null(False)
    if _takes_other(field):
        return labels.set(is_rare, OTHER)
    # A closed dictionary or a numeric code has no room for 其他: the rare ones are spread over the frequent ones.
    frequent = support.join(rare, on="label", how="anti").sort("label")
    if not frequent.height:
        return labels.set(is_rare, None)
    weights = frequent["rows"].to_numpy() / frequent["rows"].sum()
    drawn = rng.choice(frequent["label"].to_numpy(), int(is_rare.sum()), p=weights)
    return labels.scatter(is_rare.arg_true(), pl.Series(drawn, dtype=pl.String))


def _complete(seen: pl.Series, rng: np.random.Generator) -> pl.Series:
    """Missing values of a column that must have none, replaced by values of other rows."""
    known, gaps = seen.drop_nulls(), seen.is_null().arg_true()
    if not len(gaps) or not len(known):
        return seen
    return seen.scatter(gaps, known.gather(rng.integers(0, len(known), len(gaps))))


def _takes_other(field: Field) -> bool:
    room = field.length is None or field.length >= len(OTHER)
    return field.dtype == "text" and room and (not field.codes or OTHER in field.codes)
