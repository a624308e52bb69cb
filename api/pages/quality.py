"""The quality tab of a resource: score card, indicators, failing rules with masked rows, trend over the versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.pages.views import Label
from api.pages.words import text
from policies.text import Text, UserError
from sandbox.catalog import corrections
from sandbox.catalog.corrections import CORRECTION, Correction
from sandbox.catalog.repository import Resource, ResourceVersion
from sandbox.kernel import permissions
from sandbox.kernel.lifecycle import State
from sandbox.kernel.unit import Unit

MOST_VERSIONS = 12
"""versions that the trend shows, newest last"""
_WIDTH, _HEIGHT = 120, 28
_LEAST_SPAN = 0.02  # changes below two points do not look like a fall

DIMENSIONS: dict[str, Text] = {
    "01": Text("规范性", "Conformity"),
    "02": Text("完整性", "Completeness"),
    "03": Text("准确性", "Accuracy"),
    "04": Text("一致性", "Consistency"),
    "05": Text("时效性", "Timeliness"),
    "06": Text("可访问性", "Accessibility"),
}
"""The six groups of GB/T 36344-2018"""


@dataclass(frozen=True, slots=True)
class Indicator:
    """One indicator of GB/T 36344: X = A / B; `x` is None when it was not assessed."""

    code: str
    name: Label
    a: float | None
    b: float | None
    x: float | None
    threshold: float | None
    meets: bool | None
    needs: Label
    """the input it lacks, where it was not assessed"""
    low: bool
    """whether lower is better"""

    @property
    def assessed(self) -> bool:
        return self.x is not None


@dataclass(frozen=True, slots=True)
class Dimension:
    """One light of the score card. Indicators of different direction are never averaged: they are counted."""

    name: Text
    met: int
    missed: int
    reported: int
    unassessed: int

    @property
    def word(self) -> Text:
        """The light in words, for colour is never the only sign."""
        return text(f"quality.light_{self.light}")

    @property
    def light(self) -> str:
        """bad: a requirement is missed; good: all that were measured are met; neutral: reported only, or nothing."""
        return "bad" if self.missed else "good" if self.met else "neutral"


@dataclass(frozen=True, slots=True)
class Trend:
    """X of one indicator in each version (None: not assessed), and the line through them."""

    code: str
    name: Label
    low: bool
    values: Sequence[float | None]
    lines: Sequence[str]
    """points of the sparkline's unbroken stretches, in a box of 120 × 28"""


@dataclass(frozen=True, slots=True)
class QualityTab:
    """What the tab shows. `why_not` is the reason a slip cannot be issued; `may_issue` whether the button is shown."""

    indicators: Sequence[Indicator]
    dimensions: Sequence[Dimension]
    failing: Sequence[Mapping[str, Any]]
    numbers: Sequence[int]
    trends: Sequence[Trend]
    slips: Sequence[tuple[Correction, State]]
    may_issue: bool
    why_not: Text | None


def quality_tab(
    unit: Unit, resource: Resource, versions: Sequence[ResourceVersion], current: ResourceVersion | None
) -> QualityTab:
    """The tab of a resource: figures of the version people look at, and the trend over `versions` (newest first)."""
    latest = current.quality if current else {}
    found = indicators(latest)
    shown = versions[:MOST_VERSIONS][::-1]
    may_issue = bool(versions) and permissions.permitted(unit.actor, "correction:issue")
    slips = corrections.of_resource(unit.session, resource.id)
    if not permissions.permitted(unit.actor, "correction:read", owner=resource.organisation_id):
        slips = []
    return QualityTab(
        found, [_dimension(code, name, found) for code, name in DIMENSIONS.items()] if found else [],
        [r for r in latest.get("rules", []) if r.get("failing")], [v.number for v in shown],
        _trends([indicators(v.quality) for v in shown]), [(s, CORRECTION.state(s.state)) for s in slips],
        may_issue, _why_not(unit, resource) if may_issue else None,
    )  # fmt: skip


def _why_not(unit: Unit, resource: Resource) -> Text | None:
    try:
        corrections.check_issue(unit, resource.id)
    except UserError as refused:
        return refused.text
    return None


def indicators(report: Mapping[str, Any]) -> list[Indicator]:
    """The report's indicators in the standard's order; a report without any gives none."""
    rows = [_row(r) for r in report.get("indicators", [])]
    return sorted(rows, key=lambda row: row.code)


def _row(row: Mapping[str, Any]) -> Indicator:
    x = row.get("x") if row.get("assessed") else None
    return Indicator(
        str(row["code"]), _label(row.get("name", "")), row.get("a"), row.get("b"), x, row.get("threshold"),
        row.get("meets"), _label(row.get("needs", "")) if x is None else "", row.get("direction") == "low",
    )  # fmt: skip


def _dimension(code: str, name: Text, found: Sequence[Indicator]) -> Dimension:
    own = [i for i in found if i.code.startswith(code)]
    return Dimension(
        name, sum(i.meets is True for i in own), sum(i.meets is False for i in own),
        sum(i.assessed and i.meets is None for i in own), sum(not i.assessed for i in own),
    )  # fmt: skip


def _trends(versions: Sequence[Sequence[Indicator]]) -> list[Trend]:
    """Every indicator that some version has assessed."""
    table = [{i.code: i for i in found} for found in versions]
    codes = sorted({code for found in table for code, i in found.items() if i.assessed})
    trends = []
    for code in codes:
        ones = [found.get(code) for found in table]
        last = next(i for i in reversed(ones) if i is not None)
        values = [None if i is None else i.x for i in ones]
        trends.append(Trend(code, last.name, last.low, values, _lines(values)))
    return trends


def _lines(values: Sequence[float | None]) -> list[str]:
    """Points of each stretch of assessed versions; the box spans what occurs, two points at least."""
    there = [v for v in values if v is not None]
    low, high = min(there, default=0.0), max(there, default=0.0)
    span = max(high - low, _LEAST_SPAN)
    low -= (span - (high - low)) / 2
    step = (_WIDTH - 8) / max(1, len(values) - 1)
    stretches: list[list[str]] = [[]]
    for place, value in enumerate(values):
        if value is None:
            stretches.append([])
            continue
        share = (value - low) / span
        stretches[-1].append(f"{4 + place * step:.1f},{_HEIGHT - 4 - share * (_HEIGHT - 8):.1f}")
    return [" ".join(points) for points in stretches if points]


def _label(value: Any) -> Label:
    return Text(value["zh"], value["en"]) if isinstance(value, Mapping) else str(value or "")
