"""Declared rules: repaired after drawing, all rows at once; counted by the gate, also across parent and child."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np
import polars as pl

from synthetic.fields import Field, entity_of
from synthetic.filling import said_by, sexes_of
from synthetic.invariants import (
    COMPUTED,
    Constraint,
    Needs,
    Order,
    Product,
    Range,
    Ratio,
    Sum,
    Together,
    steps,
)
from synthetic.links import Parent, beside

_CENT = 0.005
_ROUNDS = 6
_COPY_FROM = 2
"""Rounds of repair after which rows that still break a rule take the ruled columns of a row that breaks none."""
_DAY = 86_400.0
_BY_CHANCE = 0.01
"""Share of rows up to which those that equal a real row are drawn anew (assumed)"""


def settled(
    constraints: Iterable[Constraint], rows: pl.DataFrame, fields: Sequence[Field], k: int
) -> tuple[Constraint, ...]:
    """The constraints with the combinations that at least `k` people of `rows` share filled in where none are given."""
    return tuple(_seen(r, rows, fields, k) if isinstance(r, Together) and not r.allowed else r for r in constraints)


def _seen(rule: Together, rows: pl.DataFrame, fields: Sequence[Field], k: int) -> Together:
    owner = entity_of(fields)
    names = list(rule.columns)
    known = rows.select(*(pl.col(n).cast(pl.String) for n in names)).with_columns(
        pl.Series("\0owner", range(rows.height)) if owner is None else rows.get_column(owner.name).alias("\0owner")
    )
    seen = known.drop_nulls(names).group_by(names).agg(
        pl.col("\0owner").n_unique().alias("\0people"), pl.len().cast(pl.Int64).alias("\0rows")
    ).filter(pl.col("\0people") >= k).sort(names)  # fmt: skip
    return replace(rule, allowed=tuple(seen.select(names).iter_rows()), weights=tuple(seen["\0rows"].to_list()))


def repair(
    frame: pl.DataFrame, constraints: Sequence[Constraint], fixed: Collection[str] = frozenset(), *, seed: int = 0
) -> pl.DataFrame:
    """Make every constraint hold whose columns are all present.

    Ends of an order change places where they are the wrong way round; an end in `fixed` (it came from a parent or
    stands in an ID number) stays and the others move to it. Totals are recomputed from their parts. Combinations that
    do not exist give way to existing ones, missing required values are filled from other rows, ranges are clipped.
    What still fails then (rules that pull at one another) takes the columns of a row in which everything holds.
    """
    rules = [r for r in constraints if set(r.columns) <= set(frame.columns)]
    rng = np.random.default_rng(seed)
    for turn in range(_ROUNDS):
        frame = _once(frame, rules, frozenset(fixed), rng, totals_move=bool(turn % 2))
        broken = [broken_rows(frame, rule) for rule in rules]
        if not any(b.any() for b in broken):
            break
        if turn >= _COPY_FROM:
            frame = _borrow(frame, rules, broken, fixed, rng)
    return frame


def repair_beside(
    frame: pl.DataFrame, fields: Sequence[Field], constraints: Sequence[Constraint], parents: Mapping[str, Parent],
    given: Collection[str] = frozenset(),
) -> pl.DataFrame:  # fmt: skip
    """`repair` of a finished table beside the parent columns that its constraints name; those stay, and so do
    the columns that were `given`."""
    reached = beside(frame, fields, constraints, parents)
    fixed = fixed_columns(fields) | set(given) | (set(reached.columns) - set(frame.columns))
    return repair(reached, constraints, fixed).select(frame.columns)


def _once(
    frame: pl.DataFrame, rules: Sequence[Constraint], fixed: frozenset[str], rng: np.random.Generator, *,
    totals_move: bool,
) -> pl.DataFrame:  # fmt: skip
    """One round. A total stays where orders are mended, for its parts say what it is; but where a part is missing it
    may have to give way, so every other round lets totals move."""
    for rule in rules:
        if isinstance(rule, Together) and rule.allowed:
            frame = _combine(frame, rule, fixed, rng)
        elif isinstance(rule, Needs):
            frame = _complete(frame, rule, fixed, rng)
        elif isinstance(rule, Range) and rule.column not in fixed:
            frame = frame.with_columns(pl.col(rule.column).clip(rule.low, rule.high).cast(frame.schema[rule.column]))
    computed = [r for r in rules if isinstance(r, COMPUTED) and r.total not in fixed]
    for rule in computed * (2 if len(computed) > 1 else 1):  # a total may be a part of the next one
        frame = _compute(frame, rule)
    stays = fixed if totals_move else fixed | {r.total for r in computed}
    frame = _in_order(frame, [r for r in rules if isinstance(r, Order)], stays)
    for rule in computed:
        frame = _compute(frame, rule)
    return frame


def _borrow(
    frame: pl.DataFrame, rules: Sequence[Constraint], broken: Sequence[pl.Series], fixed: Collection[str],
    rng: np.random.Generator,
) -> pl.DataFrame:  # fmt: skip
    wrong = np.logical_or.reduce([b.to_numpy() for b in broken])
    bad, good = np.flatnonzero(wrong), np.flatnonzero(~wrong)
    if not len(good):
        return frame
    rows = np.arange(frame.height)
    rows[bad] = rng.choice(good, len(bad))
    moved = dict.fromkeys(c for rule in rules for c in rule.columns if c not in fixed)
    return frame.with_columns(frame.get_column(c).gather(rows) for c in moved)


def _numbers(series: pl.Series) -> np.ndarray:
    """Values on one scale (days and times in seconds), NaN where missing."""
    if series.dtype == pl.Date:
        return series.to_physical().cast(pl.Float64).fill_null(np.nan).to_numpy() * _DAY
    if isinstance(series.dtype, pl.Datetime):
        return series.dt.epoch("us").cast(pl.Float64).fill_null(np.nan).to_numpy() / 1e6
    return series.cast(pl.Float64).fill_null(np.nan).to_numpy()


def _gap(dtype: pl.DataType) -> float:
    """How much larger the next value is: a day, a second, one, a hundredth."""
    if dtype == pl.Date:
        return _DAY
    return 0.01 if dtype.is_float() or dtype.is_decimal() else 1.0


def _moved(series: pl.Series, values: np.ndarray, changed: np.ndarray, *, up: bool) -> pl.Series:
    """The column with new values where `changed`, rounded away from the bound they were moved to."""
    if not changed.any():
        return series
    new, whole = values[changed], np.ceil if up else np.floor
    if series.dtype == pl.Date:
        made = pl.Series(whole(new / _DAY).astype(np.int32)).cast(pl.Date)
    elif isinstance(series.dtype, pl.Datetime):
        made = pl.Series(np.round(new * 1e6).astype(np.int64)).cast(pl.Datetime("us")).cast(series.dtype)
    else:
        made = pl.Series(whole(new) if series.dtype.is_integer() else new).cast(series.dtype)
    return series.scatter(np.flatnonzero(changed), made)


def _in_order(frame: pl.DataFrame, orders: Sequence[Order], fixed: frozenset[str]) -> pl.DataFrame:
    """Exchange what is the wrong way round, then move the rest: down to fixed upper ends, up to lower ones."""
    for rule in orders:
        if rule.low not in fixed and rule.high not in fixed and frame.schema[rule.low] == frame.schema[rule.high]:
            wrong = (pl.col(rule.low) > pl.col(rule.high)).fill_null(False)
            frame = frame.with_columns(
                pl.when(wrong).then(pl.col(rule.high)).otherwise(pl.col(rule.low)).alias(rule.low),
                pl.when(wrong).then(pl.col(rule.low)).otherwise(pl.col(rule.high)).alias(rule.high),
            )
    far = steps(orders)
    names = dict.fromkeys(c for rule in orders for c in rule.columns)
    upwards = sorted(names, key=lambda c: sum((c, other) in far for other in names), reverse=True)
    for up in (False, True):
        for name in upwards if up else reversed(upwards):
            near = [(other, far[(other, name) if up else (name, other)]) for other in names
                    if ((other, name) if up else (name, other)) in far and (up or other in fixed)]  # fmt: skip
            if name not in fixed and near:
                frame = frame.with_columns(_bounded(frame, name, near, up=up))
    return frame


def _bounded(frame: pl.DataFrame, name: str, near: Sequence[tuple[str, int]], *, up: bool) -> pl.Series:
    """Column `name` moved up to (or down to) all of `near`: (column, strict steps between)."""
    series = frame.get_column(name)
    values = _numbers(series)
    bound = values.copy()
    for other, strict in near:
        column = frame.get_column(other)
        gap = strict * max(_gap(series.dtype), _gap(column.dtype))
        limit = _numbers(column) + (gap if up else -gap)
        bound = (np.fmax if up else np.fmin)(bound, limit)
    changed = ~np.isnan(values) & (bound != values)
    return _moved(series, bound, changed, up=up)


def _compute(frame: pl.DataFrame, rule: Sum | Product | Ratio) -> pl.DataFrame:
    if isinstance(rule, Ratio):
        result = _ratio(rule)
        known = pl.all_horizontal(pl.col(rule.columns).is_not_null())
    else:
        result = _total(rule)
        known = pl.all_horizontal(pl.col(rule.columns).is_not_null())
    return frame.with_columns(
        pl.when(known).then(result.cast(frame.schema[rule.total])).otherwise(pl.col(rule.total)).alias(rule.total)
    )


def _total(rule: Sum | Product) -> pl.Expr:
    if isinstance(rule, Sum):
        return pl.sum_horizontal(rule.parts).round(6)
    product = pl.lit(1.0)
    for part in rule.parts:
        product = product * pl.col(part).cast(pl.Float64)
    return product.round(rule.digits)


def _ratio(rule: Ratio) -> pl.Expr:
    bottom = pl.col(rule.bottom).cast(pl.Float64)
    return pl.when(bottom != 0).then((pl.col(rule.top).cast(pl.Float64) / bottom).round(rule.digits))


def _combine(frame: pl.DataFrame, rule: Together, fixed: Collection[str], rng: np.random.Generator) -> pl.DataFrame:
    """Rows whose combination does not exist take one that does, with the same values in as many leading columns as
    possible (fixed ones lead)."""
    names = sorted(rule.columns, key=lambda c: c not in fixed)
    places = [rule.columns.index(n) for n in names]
    allowed = np.array(rule.allowed, dtype=object)[:, places]
    weights = np.array(rule.weights, dtype=float)
    wrong = np.flatnonzero(broken_rows(frame, rule).to_numpy())
    texts = [frame.get_column(n).cast(pl.String).gather(wrong).to_numpy() for n in names]
    chosen = np.full(len(wrong), -1)
    least = len([n for n in names if n in fixed])
    for shared in range(len(names) - 1, least - 1, -1):
        chosen = _alike(texts[:shared], allowed, weights, chosen, rng)
    found = chosen >= 0
    free = [(n, place) for place, n in enumerate(names) if n not in fixed]
    for name, place in free:
        values = pl.Series(allowed[chosen[found], place].tolist(), dtype=pl.String).cast(frame.schema[name])
        frame = frame.with_columns(frame.get_column(name).scatter(wrong[found], values))
    return frame


def _alike(
    texts: Sequence[np.ndarray], allowed: np.ndarray, weights: np.ndarray, chosen: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """For rows without a choice yet: one of the combinations that begin like the row, by weight."""
    chosen = chosen.copy()
    order = sorted(range(len(allowed)), key=lambda i: tuple(allowed[i, : len(texts)]))
    starts = {key: list(group) for key, group in groupby(order, key=lambda i: tuple(allowed[i, : len(texts)]))}
    open_rows = np.flatnonzero(chosen < 0)
    rows = pl.DataFrame({"row": open_rows, **{str(i): t[open_rows] for i, t in enumerate(texts)}})
    keys = [str(i) for i in range(len(texts))]
    groups = rows.group_by(keys, maintain_order=True) if keys else [((), rows)]
    for key, part in groups:
        options = starts.get(tuple(key))
        if options:
            share = weights[options] / weights[options].sum()
            chosen[part["row"].to_numpy()] = rng.choice(options, part.height, p=share)
    return chosen


def _complete(frame: pl.DataFrame, rule: Needs, fixed: Collection[str], rng: np.random.Generator) -> pl.DataFrame:
    wrong = np.flatnonzero(broken_rows(frame, rule).to_numpy())
    if not len(wrong):
        return frame
    column = frame.get_column(rule.then)
    good = column.filter(_allowed(column, rule.then_values))
    if not len(good) and rule.then_values:
        good = pl.Series(list(rule.then_values), dtype=pl.String).cast(column.dtype)
    if rule.then in fixed or not len(good):
        free = frame.get_column(rule.column)
        return frame if rule.column in fixed else frame.with_columns(free.scatter(wrong, None))
    return frame.with_columns(column.scatter(wrong, good.gather(rng.integers(0, len(good), len(wrong)))))


def _allowed(column: pl.Series, values: Collection[str]) -> pl.Series:
    known = column.is_not_null()
    return known & column.cast(pl.String).is_in(list(values)).fill_null(False) if values else known


def broken_rows(frame: pl.DataFrame, rule: Constraint) -> pl.Series:
    """Which rows break the rule, as booleans."""
    if isinstance(rule, Order):
        low, high = (_numbers(frame.get_column(c)) for c in rule.columns)
        return pl.Series(low >= high if rule.strict else low > high)
    if isinstance(rule, Together):
        if not rule.allowed:
            return pl.Series([False]).new_from_index(0, frame.height)
        names = list(rule.columns)
        texts = frame.select(pl.col(n).cast(pl.String) for n in names)
        known = pl.DataFrame(list(rule.allowed), schema=dict.fromkeys(names, pl.String), orient="row")
        there = texts.join(known.unique().with_columns(pl.lit(True).alias("\0there")), on=names, how="left",
                           maintain_order="left")["\0there"]  # fmt: skip
        return there.is_null() & texts.select(pl.all_horizontal(pl.all().is_not_null())).to_series()
    if isinstance(rule, Needs):
        asked = _allowed(frame.get_column(rule.column), rule.values)
        return asked & ~_allowed(frame.get_column(rule.then), rule.then_values)
    return frame.select(_differs(rule).fill_null(False).alias("broken")).to_series()


def _differs(rule: Sum | Product | Ratio | Range) -> pl.Expr:
    if isinstance(rule, Range):
        value = pl.col(rule.column)
        below = pl.lit(False) if rule.low is None else value < rule.low
        return below | (pl.lit(False) if rule.high is None else value > rule.high)
    known = pl.all_horizontal(pl.col(rule.columns).is_not_null())
    if isinstance(rule, Ratio):
        off = (pl.col(rule.total).cast(pl.Float64) - _ratio(rule)).abs() > 0.51 * 10.0**-rule.digits
        return known & (off | (pl.col(rule.bottom) == 0))
    tolerance = _CENT if isinstance(rule, Sum) else max(_CENT, 0.51 * 10.0**-rule.digits)
    return known & ((pl.col(rule.total).cast(pl.Float64) - _total(rule)).abs() > tolerance)


def keep_inside(
    frame: pl.DataFrame, constraints: Sequence[Constraint], inside: Mapping[str, pl.Series], rng: np.random.Generator
) -> pl.DataFrame:
    """Totals can leave the trimmed range of their column although their parts do not: such rows take total and parts of
    another row. `inside` says for each learned tick column which rows lie in its range.
    """
    for rule in constraints:
        if not isinstance(rule, COMPUTED) or rule.total not in inside:
            continue
        good = inside[rule.total].fill_null(True)
        out, source = (~good).arg_true(), good.arg_true()
        if len(out) and len(source):
            rows = np.arange(frame.height)
            rows[out.to_numpy()] = rng.choice(source.to_numpy(), len(out))
            frame = frame.with_columns(frame.get_column(c).gather(rows) for c in rule.columns)
    return frame


def keep_apart(frame: pl.DataFrame, rare: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Rows that happen to be one of the `rare` real ones, on all of its columns, take those of another row.

    Where many are, the columns are so few and coarse that this is their nature: leaving those combinations out would
    tell which ones the real table has, so all stay, and the gate compares with what held-out rows do.
    """
    if not rare.width:
        return frame
    named = frame.select(rare.columns).with_row_index("\0row")
    hit = named.join(rare, on=rare.columns, how="semi", nulls_equal=True)["\0row"].to_numpy()
    others = np.setdiff1d(np.arange(frame.height), hit)
    if not len(hit) or len(hit) > _BY_CHANCE * frame.height:
        return frame
    rows = np.arange(frame.height)
    rows[hit] = rng.choice(others, len(hit))
    return frame[rows]


def beside_blind(fields: Sequence[Field], constraints: Sequence[Constraint]) -> frozenset[str]:
    """Learned columns tied to one that was drawn blind: the blind one gives way."""
    blind = {f.name for f in fields if f.blind}
    return frozenset(c for rule in constraints if blind & set(rule.columns) for c in rule.columns if c not in blind)


def fixed_columns(fields: Sequence[Field]) -> frozenset[str]:
    """Columns that other values of the row depend on."""
    said = {f.follows[r] for f in fields for r in ("sex", "birth") if r in f.follows}
    return frozenset(said | {f.name for f in fields if f.references or f.generated})


def violations(
    frame: pl.DataFrame, fields: Sequence[Field], constraints: Sequence[Constraint],
    parents: Mapping[str, Parent] | None = None,
) -> dict[str, int]:  # fmt: skip
    """Broken rules by name (only those broken): missing where none may be, repeated keys, labels outside the
    dictionary, too long texts, IDs that disagree with sex or birth, and every declared constraint. A constraint whose
    columns cannot be reached counts as broken in every row.
    """
    found: dict[str, int] = {}
    for field in fields:
        found |= _of_column(frame, field)
    reached = beside(frame, fields, constraints, parents or {})
    for rule in constraints:
        there = set(rule.columns) <= set(reached.columns)
        found[str(rule)] = int(broken_rows(reached, rule).sum()) if there else frame.height
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
