"""The answer key: what is really in each file, counted while it is written."""

from __future__ import annotations

import csv
from collections import Counter
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import polars as pl

from synthetic.city.dirt import MISSING, Block
from synthetic.city.schema import Column, Table
from synthetic.city.writers import Facts, layout_facts

DATE_SPELLINGS = {
    "2025-03-01": r"^\d{4}-\d{2}-\d{2}$",
    "2025/3/1": r"^\d{4}/\d{1,2}/\d{1,2}$",
    "2025年3月1日": "^.*年.*月.*日$",
    "20250301": r"^\d{8}$",
}
CONTAINED = {"CN_MOBILE": r"154\d{8}", "CN_RESIDENT_ID": r"4499\d{13}[0-9X]"}
_CELL_HEADER = ("table", "record", "column", "kind", "written", "truth")


class CellBook:
    """The list of wrong cells with their true values, as a CSV next to the answer key."""

    def __init__(self, path: Path) -> None:
        self._file: TextIOWrapper = path.open("w", encoding="utf-8", newline="")
        self._csv = csv.writer(self._file, lineterminator="\n")
        self._csv.writerow(_CELL_HEADER)

    def add(self, table: str, offset: int, block: Block) -> None:
        """`record` counts the loadable rows of the table from 1."""
        for cell in block.cells:
            self._csv.writerow((table, offset + cell.row + 1, cell.column, cell.kind, cell.written, cell.truth or ""))

    def close(self) -> None:
        self._file.close()


class TableTruth:
    """Counts of one table, added up block by block."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.rows = 0
        self.duplicates = 0
        self._counts: dict[str, Counter[str]] = {column.name: Counter() for column in table.columns}

    def add(self, frame: pl.DataFrame, block: Block) -> None:
        """Count one block; `frame` is the block as written."""
        self.rows += len(frame)
        self.duplicates += block.duplicates
        for cell in block.cells:
            self._counts[cell.column][cell.kind] += 1
        measured = frame.select(expr for column in self.table.columns for expr in _measures(column)).row(0, named=True)
        for name, count in measured.items():
            column, _, what = name.rpartition("\t")
            self._counts[column][what] += count

    def as_dict(self, facts: Facts) -> dict[str, Any]:
        """The table's part of the answer key."""
        reasons = Counter(entry["reason"] for entry in facts.quarantined)
        return {
            "key": self.table.key,
            "title": self.table.title,
            "department": self.table.department,
            "grain": self.table.grain,
            "simulated": True,
            "file": facts.files[0],
            "files": facts.files,
            "format": self.table.layout.suffix,
            "layout": layout_facts(self.table.layout, facts),
            "rows": self.rows,
            "rows_quarantined": len(facts.quarantined),
            "quarantine_reasons": dict(sorted(reasons.items())),
            "quarantined": facts.quarantined,
            "duplicate_rows": self.duplicates,
            "entities": self.table.entities,
            "level": [max(column.level[0] for column in self.table.columns), 4],
            "columns": [self._column(column) for column in self.table.columns],
        }

    def _column(self, column: Column) -> dict[str, Any]:
        counts = self._counts[column.name]
        out: dict[str, Any] = {
            "name": column.name,
            "comment": column.comment,
            "dtype": column.dtype,
            "semantic": column.semantic,
            "entity": column.entity,
            "identifier_role": column.role,
            "category": column.category,
            "level": list(column.level),
            "missing": counts["missing"],
            "missing_spellings": {s: counts[f"missing {s}"] for s in ("", *MISSING) if counts[f"missing {s}"]},
            "impossible": counts["impossible"],
            "bad_check_digit": counts["bad_check_digit"],
            "full_width": counts["full_width"],
            "trailing_blank": counts["trailing_blank"],
            "thousands": counts["thousands"],
        }
        if column.dtype == "date":
            out["date_spellings"] = {name: counts[name] for name in DATE_SPELLINGS if counts[name]}
        if column.semantic == "free_text":
            out["contains"] = {name: counts[name] for name in CONTAINED}
        return out


def _measures(column: Column) -> list[pl.Expr]:
    """Counts taken from the written column itself."""
    cell = pl.col(column.name)
    gone = cell.is_null() | cell.is_in(MISSING)
    out = [gone.sum().alias(f"{column.name}\tmissing"), cell.is_null().sum().alias(f"{column.name}\tmissing ")]
    out += [(cell == spelling).sum().alias(f"{column.name}\tmissing {spelling}") for spelling in MISSING]
    patterns: dict[str, str] = {}
    if column.dtype == "date":
        patterns = DATE_SPELLINGS
    elif column.semantic == "free_text":
        patterns = CONTAINED
    elif column.dtype in ("integer", "decimal"):
        patterns = {"thousands": ","}
    return out + [cell.str.contains(p).sum().alias(f"{column.name}\t{name}") for name, p in patterns.items()]
