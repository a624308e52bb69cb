"""What a table may measure: beyond these a file is refused at once, before it costs memory or time."""

from __future__ import annotations

from pipelines.reading.findings import refusal
from pipelines.reading.source import Lines

MAX_COLUMNS = 16_384
"""The widest sheet of Excel. Inference takes milliseconds a column, so ten times as many would take a quarter hour."""

LONGEST_LINE = 64_000_000
"""Bytes of one line: what the CSV parser is given at most (`max_line_size`)."""

MAX_SHEET_CELLS = 50_000_000
"""Rows × columns of a sheet from its first to its last cell: a workbook is held in memory, empty cells too."""


def refuse_wide(columns: int) -> None:
    """Raises `reading.too_many_columns` above `MAX_COLUMNS`."""
    if columns > MAX_COLUMNS:
        raise refusal("too_many_columns", n=columns, limit=MAX_COLUMNS)


def refuse_long_line(lines: Lines, longest: int = LONGEST_LINE) -> None:
    """Raises `reading.line_too_long` above `longest` bytes."""
    if lines.longest > longest:
        raise refusal("line_too_long", size=lines.longest // 1_000_000, limit=longest // 1_000_000)
