"""Longitude and latitude kept in two columns: each alone is only a number with decimals."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

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
    hits: tuple[int, ...]


def axis_of(column: str, place: int, comment: str, values: pl.Series) -> Axis | None:
    """The axis most of the distinct values (text form of numbers) fit, or none."""
    fine = values.str.contains(_FOUR_DECIMALS)
    if not fine.any():
        return None
    numbers = values.str.strip_chars().cast(pl.Float64, strict=False)
    best: Axis | None = None
    for axis, (low, high) in _RANGES.items():
        hits = (fine & numbers.is_between(low, high)).fill_null(False)
        share = float(hits.sum()) / len(values)
        named = bool(_WORDS[axis].search(column) or _WORDS[axis].search(comment))
        if share >= 0.5 and (best is None or share > best.share):
            best = Axis(column, place, axis, named, share, tuple(hits.arg_true().to_list()))
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
