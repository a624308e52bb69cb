"""How a column's simulated values are spread, as bars: heights and words for the template, nothing computed there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.pages.views import Label
from api.pages.words import text
from api.pages.words_catalog import TYPES

WIDTH, HEIGHT, GAP = 400, 96, 1
"""units of the drawing of a histogram; it is stretched to its place"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar with what it stands for; x, y, width and height in units of the drawing."""

    label: Label
    rows: int
    share: float
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    height: float = 0.0


@dataclass(frozen=True, slots=True)
class Shape:
    """One column: `kind` bins, labels or values, and what is said beside the bars."""

    name: str
    type: Label
    kind: str
    bars: tuple[Bar, ...]
    facts: tuple[tuple[Label, Label], ...]
    first: str = ""
    last: str = ""
    examples: tuple[str, ...] = ()


def shape_of(column: Mapping[str, Any]) -> Shape:
    """The drawing of one entry of a twin's distributions."""
    kind, rows = str(column["kind"]), max(1, int(column["rows"]))
    facts = [
        (text("shape.missing"), f"{column['missing'] / rows * 100:.1f}%"),
        (text("shape.distinct"), f"{column['distinct']:,}"),
    ]
    name, dtype = str(column["name"]), TYPES.get(column["type"], str(column["type"]))
    if kind == "values":
        return Shape(name, dtype, kind, (), tuple(facts), examples=tuple(map(str, column["examples"])))
    if kind == "labels":
        return Shape(name, dtype, kind, _labels(column, rows), tuple(facts))
    facts += [(text("shape.smallest"), _short(column["smallest"])), (text("shape.largest"), _short(column["largest"]))]
    if column["mean"] is not None:
        facts.append((text("shape.mean"), _short(column["mean"])))
    bars = _bins(column["bins"], rows)
    return Shape(name, dtype, kind, bars, tuple(facts), _short(column["bins"][0][0]), _short(column["bins"][-1][1]))


def _bins(bins: list[list[Any]], rows: int) -> tuple[Bar, ...]:
    most, width = max(1, *(count for _, _, count in bins)), WIDTH / len(bins)
    return tuple(
        Bar(
            f"{_short(low)} – {_short(high)}", count, count / rows, round(place * width + GAP / 2, 2),
            round(HEIGHT - _tall(count, most), 2), round(width - GAP, 2), round(_tall(count, most), 2),
        )
        for place, (low, high, count) in enumerate(bins)
    )  # fmt: skip


def _tall(count: int, most: int) -> float:
    """A bar that is not empty can be seen."""
    return max(1.5, count / most * HEIGHT) if count else 0.0


def _labels(column: Mapping[str, Any], rows: int) -> tuple[Bar, ...]:
    named: list[tuple[Label, int]] = [(str(label), int(count)) for label, count in column["labels"]]
    most = max((count for _, count in named), default=1)
    bars = [Bar(label, count, count / rows, width=max(0.5, count / most * 100)) for label, count in named]
    if column["others"]:  # many labels together are no label: no bar beside theirs
        bars.append(Bar(text("shape.others"), int(column["others"]), column["others"] / rows))
    return tuple(bars)


def _short(value: Any) -> str:
    """A number with thousands marked and no more digits than people read; a time without its zero seconds."""
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.2f}".rstrip("0").rstrip(".")
    return str(value).removesuffix(":00").removesuffix(" 00:00")
