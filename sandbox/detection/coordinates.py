"""Longitude and latitude kept in two columns: each alone is only a number with decimals."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from sandbox.detection.found import Found

_FOUR_DECIMALS: Final = r"^-?[0-9]{1,3}\.[0-9]{4,}$"
# Range of China's territory in degrees (CGCS2000 / GCJ-02 do not differ at this width).
_RANGES: Final = {"longitude": (73.0, 135.1), "latitude": (3.8, 53.6)}
_WORDS: Final = {
    "longitude": re.compile(r"经度|longitude|(?:^|[_\W])(?:lon|lng)(?:$|[_\W0-9])|^[xX]坐标$", re.IGNORECASE),
    "latitude": re.compile(r"纬度|latitude|(?:^|[_\W])lat(?:$|[_\W0-9])|^[yY]坐标$", re.IGNORECASE),
}


@dataclass(frozen=True, slots=True)
class Axis:
    """What share of a column's distinct values lie on one axis with four decimals or more (about 11 m)."""

    column: str
    place: int
    axis: str
    named: bool
    share: float


def on_axes(values: pl.Series) -> dict[str, pl.Series]:
    """Places of the values (text form of numbers) that lie on each axis with four decimals or more."""
    fine = values.str.contains(_FOUR_DECIMALS).arg_true()
    if not len(fine):
        return {}
    numbers = values.gather(fine).str.strip_chars().cast(pl.Float64, strict=False)
    return {axis: fine.filter(numbers.is_between(low, high).fill_null(False)) for axis, (low, high) in _RANGES.items()}


def axis_of(column: str, place: int, comment: str, found: Mapping[str, Found], distinct: int) -> Axis | None:
    """The axis most of the `distinct` values lie on, or none; `found` holds the values on each axis."""
    best: Axis | None = None
    for axis, hits in found.items():
        share = hits.values / distinct
        named = bool(_WORDS[axis].search(column) or _WORDS[axis].search(comment))
        if share >= 0.5 and (best is None or share > best.share):
            best = Axis(column, place, axis, named, share)
    return best


def positions(axes: Mapping[str, Axis]) -> dict[str, Axis]:
    """The columns that hold positions: named as an axis, or a longitude right beside a latitude (share ≥ 0.9)."""
    found = {name: axis for name, axis in axes.items() if axis.named}
    for name, axis in axes.items():
        for other in axes.values():
            beside = abs(axis.place - other.place) == 1 and axis.axis != other.axis
            if beside and min(axis.share, other.share) >= 0.9:
                found[name] = axis
    return found
