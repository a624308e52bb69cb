"""How many digits the numbers of a column have before and after the point."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from pipelines.reading.values import NUMBERS, UNIT_TAIL, folded


@dataclass(frozen=True, slots=True)
class Digits:
    """The digits of the sample's numbers: the largest whole part, the longest fraction, and the shape of a number that
    has more of either. Whether any has, is one quick question; how many exactly, is asked only then."""

    whole: float
    fraction: int
    beyond: str

    @classmethod
    def of(cls, values: pl.Series, unit: str | None) -> Digits:
        text = folded(pl.col("v"))
        whole, behind = digits(text, unit)
        before = text.str.strip_chars_start("-").str.extract(r"^([0-9,]+)").str.len_bytes()
        asked = [whole.max().alias("whole"), behind.max().alias("fraction"), before.max().alias("before")]
        told = pl.DataFrame({"v": values}).select(asked).row(0, named=True)
        fraction, longest = int(told["fraction"] or 0), int(told["before"] or 1)
        return cls(told["whole"] or 0.0, fraction, rf"^-?[0-9,]{{{longest + 1},}}|\.[0-9]{{{fraction + 1},}}")


def digits(text: pl.Expr, unit: str | None) -> tuple[pl.Expr, pl.Expr]:
    """Of every number: its absolute value, and how many digits follow its point; null for other texts."""
    plain = text if unit is None else text.str.strip_suffix(unit).str.strip_chars_end()
    plain = plain.str.replace_all(",", "", literal=True)
    number = plain.cast(pl.Float64, strict=False)
    finite = number.is_finite().fill_null(False)
    behind = plain.str.len_bytes().cast(pl.Int32) - plain.str.find(".", literal=True).cast(pl.Int32) - 1
    return pl.when(finite).then(number.abs()).otherwise(None), pl.when(finite).then(behind).otherwise(None)


def only_unit(values: pl.Series) -> str | None:
    """The one unit that the numbers of the sample carry; None without any or with several."""
    numbers = values.filter(values.str.contains(NUMBERS["unit"]) | values.str.contains(NUMBERS["percent"]))
    units = numbers.str.extract(UNIT_TAIL).unique().to_list()
    return units[0] if len(units) == 1 else None
