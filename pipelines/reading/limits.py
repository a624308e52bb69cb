"""What a table may measure: beyond these a file is refused at once, before it costs memory or time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from pipelines.reading.findings import refusal
from pipelines.reading.source import Survey

MAX_COLUMNS = 16_384
"""The widest sheet of Excel. Inference takes milliseconds a column, so ten times as many would take a quarter hour."""

LONGEST_LINE = 64_000_000
"""Bytes of one line: what the CSV parser is given at most (`max_line_size`)."""

MAX_SHEET_CELLS = 50_000_000
"""Rows × columns of a sheet from its first to its last cell: a workbook is held in memory, empty cells too."""

_STEP = 16 << 20  # a line of LONGEST_LINE covers three whole steps, wherever it begins
_PROBE = 64 << 10


def refuse_wide(columns: int) -> None:
    """Raises `reading.too_many_columns` above `MAX_COLUMNS`."""
    if columns > MAX_COLUMNS:
        raise refusal("too_many_columns", n=columns, limit=MAX_COLUMNS)


def refuse_long_line(seen: Survey, longest: int = LONGEST_LINE) -> None:
    """Look for a line longer than `longest` by probing: ordinary files cost 64 KB for every 16 MB.

    Raises:
        UserError: `reading.line_too_long`.
    """
    if seen.size <= longest:
        return
    mark = b"\n" if seen.newlines else b"\r"
    with seen.path.open("rb") as handle:
        for start in _steps_without(handle, mark, seen.size):
            handle.seek(max(0, start - _STEP))
            before = handle.read(min(start, _STEP))
            size = len(before) - before.rfind(mark) - 1
            while (block := handle.read(_STEP)) and mark not in block:
                size += len(block)
            size += max(0, block.find(mark))
            if size > longest:
                raise refusal("line_too_long", size=size // 1_000_000, limit=longest // 1_000_000)


def _steps_without(handle: BinaryIO, mark: bytes, size: int) -> Iterator[int]:
    """Where steps begin that hold no line end; of neighbouring ones only the first."""
    last = False
    for start in range(0, size - _STEP + 1, _STEP):
        handle.seek(start)
        left = _STEP
        while left > 0 and (block := handle.read(min(_PROBE, left))) and mark not in block:
            left -= len(block)
        if left <= 0 and not last:
            yield start
        last = left <= 0
