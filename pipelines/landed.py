"""What stays of a reading once its rows are in the lake: enough to go on from there without the file."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.reading import Recipe, TableReading
from pipelines.reading.findings import ReadFinding
from pipelines.reading.landing import Accounting
from pipelines.reading.types import ColumnProfile


@dataclass(frozen=True, slots=True)
class Landed:
    """Lake versions of one reading with its recipe, counts and findings; no value of a record, so it may be kept."""

    raw: int
    typed: int
    quarantine: int | None
    recipe: Recipe
    accounting: Accounting
    columns: list[ColumnProfile]
    findings: list[ReadFinding]

    @classmethod
    def of(cls, reading: TableReading, raw: int, typed: int, quarantine: int | None) -> Landed:
        return cls(raw, typed, quarantine, reading.recipe, reading.accounting, reading.columns, reading.findings)
