"""A version's quality report as rows of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.pages.views import Label
from policies.text import Text


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

    @property
    def assessed(self) -> bool:
        return self.x is not None


def indicators(report: Mapping[str, Any]) -> list[Indicator]:
    """The report's indicators in the standard's order; a report without any gives none."""
    rows = [_row(r) for r in report.get("indicators", [])]
    return sorted(rows, key=lambda row: row.code)


def _row(row: Mapping[str, Any]) -> Indicator:
    x = row.get("x") if row.get("assessed") else None
    return Indicator(
        str(row["code"]), _label(row.get("name", "")), row.get("a"), row.get("b"), x, row.get("threshold"),
        row.get("meets"), _label(row.get("needs", "")) if x is None else "",
    )  # fmt: skip


def _label(value: Any) -> Label:
    return Text(value["zh"], value["en"]) if isinstance(value, Mapping) else str(value or "")
