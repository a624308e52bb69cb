"""What a table may measure: beyond these a file is refused at once, before it costs memory or time."""

from __future__ import annotations

import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.reading.findings import refusal
from pipelines.reading.source import Lines

MAX_COLUMNS = 16_384
"""The widest sheet of Excel. Inference takes milliseconds a column, so ten times as many would take a quarter hour."""

LONGEST_LINE = 64_000_000
"""Bytes of one line: what the CSV parser is given at most (`max_line_size`)."""

MAX_SHEET_CELLS = 50_000_000
"""Rows × columns of a sheet from its first to its last cell: a workbook is held in memory, empty cells too."""

MOST_ERRORS = 1_000_000
"""Refusals that a reading keeps, about a kilobyte each."""

MOST_MEMORY = 3_000_000_000
"""Bytes by which the process may grow while a text is parsed; its own limit, of 2 GB, leaves out what it refuses."""

_POLL = 0.05  # seconds; the parser takes a hundred megabytes in it at most


@contextmanager
def bounded_memory(interrupt: Callable[[], None]) -> Iterator[None]:
    """Watch over a parser that holds everything it refuses until it is done, however much that is: a cell of 2 GB with
    a hundred million lines in it. `interrupt` must make it raise.

    Raises:
        UserError: `reading.quarantine_too_many`: it grew beyond `MOST_MEMORY`.
    """
    start, done, grown = _resident(), threading.Event(), threading.Event()

    def watch() -> None:
        while not done.wait(_POLL):
            if _resident() - start > MOST_MEMORY:
                grown.set()
                interrupt()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    except Exception:
        if not grown.is_set():
            raise
    finally:
        done.set()
        watcher.join()
    if grown.is_set() or _resident() - start > MOST_MEMORY:
        raise refusal("quarantine_too_many", limit=MOST_ERRORS)


def _resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def refuse_wide(columns: int) -> None:
    """Raises `reading.too_many_columns` above `MAX_COLUMNS`."""
    if columns > MAX_COLUMNS:
        raise refusal("too_many_columns", n=columns, limit=MAX_COLUMNS)


def refuse_long_line(lines: Lines, longest: int = LONGEST_LINE) -> None:
    """Raises `reading.line_too_long` above `longest` bytes."""
    if lines.longest > longest:
        raise refusal("line_too_long", size=lines.longest // 1_000_000, limit=longest // 1_000_000)
