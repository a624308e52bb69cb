"""Failing rows as evidence: where they stand in the delivered file, and their values, masked."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from pipelines.quality.report import QualityReport, Sample
from pipelines.quality.summary import SAMPLES
from pipelines.reading.landing import Accounting

HIDDEN = "***"
_SHORT = 2  # characters of a value that masking would leave as good as readable


@dataclass(frozen=True, slots=True)
class Places:
    """Where the rows of a table stand in its file. `first` is the line (sheet row, list element) of the first record,
    None when lines cannot be told from row numbers; `quarantined` are the lines of records set apart, rising; `before`
    rows stand in files of earlier deliveries."""

    first: int | None
    quarantined: tuple[int, ...] = ()
    before: int = 0

    @classmethod
    def of(cls, accounting: Accounting, quarantined: Iterable[int | None] = (), *, before: int = 0) -> Places:
        """Lines are known where every record is one line and nothing else stands between records."""
        apart = tuple(quarantined)
        between = accounting.section + accounting.repeated_header + accounting.continuation + accounting.blank
        if between or len(apart) != accounting.rows_quarantined or None in apart:
            return cls(None)
        lines = tuple(sorted(n for n in apart if n is not None))
        return cls(accounting.preamble + accounting.header + 1, lines, before)

    def line(self, row: int) -> int | None:
        """The line of a row, both counted as people do from 1 for lines and from 0 for rows."""
        if self.first is None or row < self.before:
            return None
        line = self.first + row - self.before
        for apart in self.quarantined:
            if apart > line:
                break
            line += 1
        return line


@dataclass(frozen=True, slots=True)
class SetApart:
    """Records in quarantine for one reason; `lines` are their places in the file, None where unknown."""

    reason: str
    lines: tuple[int | None, ...]

    def as_dict(self) -> dict[str, Any]:
        """Reason, how many, and the first places."""
        known = [line for line in self.lines if line is not None]
        return {"reason": self.reason, "count": len(self.lines), "lines": known[:SAMPLES]}


def set_apart(quarantine: Path | None) -> list[SetApart]:
    """The records in quarantine by reason, the commonest first; their text is not looked at."""
    if quarantine is None:
        return []
    lines: dict[str, list[int | None]] = {}
    for row in pq.read_table(quarantine, columns=["reason", "line"]).to_pylist():
        lines.setdefault(row["reason"], []).append(row["line"])
    found = [SetApart(reason, tuple(at)) for reason, at in lines.items()]
    return sorted(found, key=lambda one: (-len(one.lines), one.reason))


def with_samples(report: QualityReport, files: Sequence[str], hidden: Collection[str], places: Places) -> QualityReport:
    """The report with the failing rows of every rule shown: masked, and whole columns of `hidden` not at all."""
    wanted = {row: set[str]() for rule in report.rules for row in rule.rows}
    for rule in report.rules:
        for row in rule.rows:
            wanted[row] |= set(rule.columns)
    values = _read(files, wanted)
    rules = []
    for rule in report.rules:
        samples = [
            Sample(row, places.line(row), {c: _shown(values[row][c], c in hidden) for c in rule.columns})
            for row in rule.rows
        ]
        rules.append(replace(rule, samples=tuple(samples)))
    return replace(report, rules=tuple(rules))


def _shown(value: str | None, hide: bool) -> str:
    from sandbox.detection.mask import mask

    text = (value or "").strip()
    if not text:
        return ""
    return HIDDEN if hide or len(text) <= _SHORT else mask(text)


def _read(files: Sequence[str], wanted: Mapping[int, Collection[str]]) -> dict[int, dict[str, str | None]]:
    """The wanted cells as text. Only the row groups that hold them are read, and only the wanted columns."""
    found: dict[int, dict[str, str | None]] = {}
    start = 0
    for file in files:
        metadata, first = pq.read_metadata(file), start
        for group in range(metadata.num_row_groups):
            end = start + metadata.row_group(group).num_rows
            here = sorted(row for row in wanted if start <= row < end)
            if here:
                columns = sorted({c for row in here for c in wanted[row]})
                span = pl.scan_parquet(file).select(columns).slice(here[0] - first, here[-1] - here[0] + 1).collect()
                rows = span[[row - here[0] for row in here]].to_dicts()
                for row, cells in zip(here, rows, strict=True):
                    found[row] = {c: None if v is None else str(v) for c, v in cells.items()}
            start = end
    return found
