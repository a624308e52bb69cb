"""Rules inside one table: repaired after drawing, counted by the gate."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import polars as pl

from synthetic.fields import Constraint, Field, Order, Sum
from synthetic.filling import said_by, sexes_of

_CENT = 0.005


def repair(
    frame: pl.DataFrame, constraints: Sequence[Constraint], fixed: Collection[str] = frozenset()
) -> pl.DataFrame:
    """Make every constraint hold whose columns are all present.

    The two ends of an order change places where they are the wrong way round; an end in `fixed` (it came from a parent
    or stands in an ID number) stays and the other one moves to it. Totals are recomputed from their parts.
    """
    for rule in constraints:
        if set(rule.columns) <= set(frame.columns):
            frame = _order(frame, rule, fixed) if isinstance(rule, Order) else _total(frame, rule)
    return frame


def keep_inside(
    frame: pl.DataFrame, constraints: Sequence[Constraint], inside: Mapping[str, pl.Series], rng: np.random.Generator
) -> pl.DataFrame:
    """Totals can leave the trimmed range of their column although their parts do not: such rows take total and parts of
    another row. `inside` says for each learned tick column which rows lie in its range.
    """
    for rule in constraints:
        if not isinstance(rule, Sum) or rule.total not in inside:
            continue
        good = inside[rule.total].fill_null(True)
        out, source = (~good).arg_true(), good.arg_true()
        if len(out) and len(source):
            rows = np.arange(frame.height)
            rows[out.to_numpy()] = rng.choice(source.to_numpy(), len(out))
            frame = frame.with_columns(frame.get_column(c).gather(rows) for c in rule.columns)
    return frame


def beside_blind(fields: Sequence[Field], constraints: Sequence[Constraint]) -> frozenset[str]:
    """Learned columns tied to one that was drawn blind: the blind one gives way."""
    blind = {f.name for f in fields if f.blind}
    return frozenset(c for rule in constraints if blind & set(rule.columns) for c in rule.columns if c not in blind)


def fixed_columns(fields: Sequence[Field]) -> frozenset[str]:
    """Columns that other values of the row depend on."""
    said = {f.follows[r] for f in fields for r in ("sex", "birth") if r in f.follows}
    return frozenset(said | {f.name for f in fields if f.references or f.generated})


def _order(frame: pl.DataFrame, rule: Order, fixed: Collection[str]) -> pl.DataFrame:
    low, high = pl.col(rule.low), pl.col(rule.high)
    wrong = (low > high).fill_null(False)
    new_low = low if rule.low in fixed else pl.when(wrong).then(high).otherwise(low)
    new_high = high if rule.high in fixed else pl.when(wrong).then(low).otherwise(high)
    return frame.with_columns(
        new_low.cast(frame.schema[rule.low]).alias(rule.low), new_high.cast(frame.schema[rule.high]).alias(rule.high)
    )


def _total(frame: pl.DataFrame, rule: Sum) -> pl.DataFrame:
    known = pl.all_horizontal(pl.col(rule.columns).is_not_null())
    total = pl.sum_horizontal(rule.parts).round(6).cast(frame.schema[rule.total])
    return frame.with_columns(pl.when(known).then(total).otherwise(pl.col(rule.total)).alias(rule.total))


def violations(frame: pl.DataFrame, fields: Sequence[Field], constraints: Sequence[Constraint]) -> dict[str, int]:
    """Broken rules by name (only those broken): missing where none may be, repeated keys, labels outside the
    dictionary, too long texts, IDs that disagree with sex or birth, orders, sums.
    """
    found: dict[str, int] = {}
    for field in fields:
        found |= _of_column(frame, field)
    for rule in constraints:
        found[_name(rule)] = _count(frame, rule)
    return {name: count for name, count in found.items() if count}


def _of_column(frame: pl.DataFrame, field: Field) -> dict[str, int]:
    column = frame.get_column(field.name)
    known = column.drop_nulls()
    found = {}
    if not field.nullable:
        found[f"{field.name}: not null"] = column.null_count()
    if field.unique or (field.semantic == "key" and not field.references):
        found[f"{field.name}: unique"] = len(known) - known.n_unique()
    if field.codes:
        found[f"{field.name}: dictionary"] = int((~known.cast(pl.String).is_in(list(field.codes))).sum())
    if field.length is not None and field.dtype == "text":
        found[f"{field.name}: length"] = int((known.str.len_chars() > field.length).sum())
    if field.semantic == "resident_id":
        found[f"{field.name}: agrees"] = _disagreements(frame, field)
    return found


def _disagreements(frame: pl.DataFrame, field: Field) -> int:
    """Rows whose ID number says another birth date or sex than the row (GB 11643)."""
    number = frame.get_column(field.name)
    wrong = pl.Series([False]).new_from_index(0, frame.height)
    birth, sex = field.follows.get("birth"), field.follows.get("sex")
    if birth:
        day = frame.get_column(birth).cast(pl.Date).dt.strftime("%Y%m%d")
        wrong = wrong | (said_by(number)[0] != day).fill_null(False)
    if sex:
        male = sexes_of(frame.get_column(sex))
        wrong = wrong | (male != said_by(number)[1]).fill_null(False)
    return int(wrong.sum())


def _count(frame: pl.DataFrame, rule: Constraint) -> int:
    if isinstance(rule, Order):
        broken = pl.col(rule.low) > pl.col(rule.high)
    else:
        known = pl.all_horizontal(pl.col(rule.columns).is_not_null())
        broken = known & ((pl.col(rule.total) - pl.sum_horizontal(rule.parts)).abs() > _CENT)
    return int(frame.select(broken.fill_null(False).sum()).item())


def _name(rule: Constraint) -> str:
    return f"{rule.low} ≤ {rule.high}" if isinstance(rule, Order) else f"{rule.total} = {' + '.join(rule.parts)}"
