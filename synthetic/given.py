"""Columns fixed by whoever asks ("rows of this district, aged 60 to 69"): exactly, never by throwing rows away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from policies.text import Text, UserError
from synthetic.columns import Scale, conform
from synthetic.engines.base import Condition, Ticks
from synthetic.fields import Constraint, Field, Sum

_WHOLE = 1e-6


@dataclass(frozen=True, slots=True)
class Between:
    """From `low` to `high`, both included; None leaves an end open."""

    low: Any = None
    high: Any = None


Given = Mapping[str, Any]
"""column → the value it is fixed to (None: missing) or `Between`. Texts are read as the column's type."""


def read_given(texts: Sequence[str]) -> dict[str, Any]:
    """Conditions as written on a command line: `column=value`, `column=low..high` with either end open, `column=` for
    missing.

    Raises:
        UserError: `simulation.given` for anything else, and for a column that is named twice.
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals or name in found:
            raise _refused(
                [name],
                Text("条件应写成 列=值,每列一次:{c}", "A condition is written column=value, once a column: {c}"),
                Text("例如 性别=女、年龄=60..69、收入=3000..", "for example sex=F, age=60..69, income=3000.."),
            )
        low, dots, high = value.partition("..")
        found[name] = Between(low or None, high or None) if dots else value or None
    return found


def check_given(given: Given, fields: Sequence[Field], constraints: Sequence[Constraint]) -> None:
    """Refuse conditions on columns that are not learned, or that are recomputed from others.

    Raises:
        UserError: `simulation.given`.
    """
    learned = {f.name for f in fields if f.learned}
    totals = {rule.total for rule in constraints if isinstance(rule, Sum)}
    wrong = [name for name in given if name not in learned or name in totals]
    if wrong:
        raise _refused(
            wrong,
            Text(
                "列 {c} 不能固定:它不存在、不从真实数据学习(标识符、文本、引用),或由其他列合计而来。",
                "Columns {c} cannot be fixed: unknown, not learned (identifiers, texts, references), or a total.",
            ),
            Text("请只固定类别、数值和日期列。", "Fix only categories, numbers and dates."),
        )


def conditions(given: Given, fields: Sequence[Field], scales: Mapping[str, Scale]) -> dict[str, Condition]:
    """`given` on the scales of the engines.

    Raises:
        UserError: `simulation.given` for a value that is not of the column's type or not one of its steps (12.345 in a
            column of cents), and for columns without a scale: codes that are made from their shape.
    """
    by_name = {f.name: f for f in fields}
    return {name: _condition(wanted, by_name[name], scales.get(name)) for name, wanted in given.items()}


def fulfilled(frame: pl.DataFrame, wanted: Mapping[str, Condition], scales: Mapping[str, Scale]) -> pl.DataFrame:
    """One boolean column for each condition: which rows of a plan-typed frame fulfil it."""
    found = []
    for name, condition in wanted.items():
        seen = scales[name].encode(frame.get_column(name))
        if isinstance(condition, Ticks):
            good = seen.round(0).is_between(condition.low, condition.high).fill_null(False)
        else:
            good = seen.eq_missing(pl.Series([condition], dtype=seen.dtype))
        found.append(good.alias(name))
    return pl.DataFrame(found)


def must_hold(frame: pl.DataFrame, wanted: Mapping[str, Condition], scales: Mapping[str, Scale]) -> None:
    """Every row fulfils every condition, also after constraints were repaired and rows tied to their person.

    Raises:
        UserError: `simulation.given` otherwise; no row is returned that was not asked for.
    """
    held = fulfilled(frame, wanted, scales)
    broken = [name for name in held.columns if not held.get_column(name).all()]
    if broken:
        raise _refused(
            broken,
            Text(
                "列 {c} 的值随约束或上级表而定,不能同时固定。",
                "Columns {c} depend on a constraint or on a parent table and cannot be fixed as well.",
            ),
            Text("请去掉这个条件,或放宽它。", "Drop or relax this condition."),
        )


def _condition(wanted: Any, field: Field, scale: Scale | None) -> Condition:
    if scale is None:
        raise _not_a_value(field)
    if wanted is None:
        return None
    if not isinstance(wanted, Between):
        cell = _encoded(wanted, field, scale)
        if isinstance(cell, str):
            return cell
        if abs(cell - round(cell)) > _WHOLE:
            raise _not_a_value(field)
        return Ticks(float(round(cell)), float(round(cell)))
    if not field.numeric:
        raise _not_a_value(field)
    low = -np.inf if wanted.low is None else np.ceil(_encoded(wanted.low, field, scale) - _WHOLE)
    high = np.inf if wanted.high is None else np.floor(_encoded(wanted.high, field, scale) + _WHOLE)
    if low > high:
        raise _not_a_value(field)
    return Ticks(float(low), float(high))


def _encoded(value: Any, field: Field, scale: Scale) -> Any:
    try:
        typed = conform(pl.DataFrame({field.name: [value]}), [field]).frame.get_column(field.name)
    except (UserError, pl.exceptions.PolarsError, TypeError) as error:
        raise _not_a_value(field) from error
    cell = scale.encode(typed).item()
    if cell is None:
        raise _not_a_value(field)
    return cell


def _not_a_value(field: Field) -> UserError:
    return _refused(
        [field.name],
        Text("列 {c} 不能固定为这个值或范围。", "Column {c} cannot be fixed to this value or range."),
        Text(
            "请写该列类型的一个值;范围只用于数值和日期,下限不大于上限。",
            "Give one value of the column's type; ranges are for numbers and dates, low before high.",
        ),
    )


def _refused(columns: Sequence[str], text: Text, fix: Text) -> UserError:
    return UserError("simulation.given", text.fill(c="、".join(columns)), fix=fix, columns=list(columns))
