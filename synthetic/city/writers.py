"""Writing blocks as the departments do: delimited text, JSON lines, workbooks. Each writer notes where everything went.

The notes (`Facts`) count physical lines from 1 (sheet rows for a workbook).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from synthetic.city.dirt import JSON, LONG, QUOTE, SHORT, Block, Broken
from synthetic.city.schema import Layout, Table

CREATED = datetime(2026, 1, 5, 9, 0, 0)
"""The date in a workbook's properties: fixed, or the same seed would not give the same bytes."""

SHEET_ROWS = 500_000
"""Data rows in one workbook; a sheet ends at 1,048,576 rows."""


@dataclass(slots=True)
class Facts:
    """Where things stand in the files of one table."""

    files: list[str] = field(default_factory=list)
    preamble: list[int] = field(default_factory=list)
    header: int | None = None
    repeated_headers: list[int] = field(default_factory=list)
    sections: list[int] = field(default_factory=list)
    footer: list[int] = field(default_factory=list)
    blank: list[int] = field(default_factory=list)
    quarantined: list[dict[str, Any]] = field(default_factory=list)
    lines: int = 0


class Writer(Protocol):
    """`write` takes blocks in order; `close` writes what stands below the data."""

    facts: Facts

    def write(self, frame: pl.DataFrame, block: Block) -> None: ...

    def close(self, rows: int) -> None: ...


def open_writer(table: Table, folder: Path) -> Writer:
    """The writer of the table's layout; its files are in `folder`."""
    kinds: dict[str, Callable[[Table, Path], Writer]] = {
        "delimited": DelimitedWriter,
        "ndjson": LinesWriter,
        "sheet": SheetWriter,
    }
    return kinds[table.layout.kind](table, folder)


class LinesWriter:
    """One JSON object a line."""

    def __init__(self, table: Table, folder: Path) -> None:
        self.table, self.facts = table, Facts(files=[table.file_name()])
        self._file = (folder / table.file_name()).open("wb")
        self._numbers = [c.name for c in table.columns if c.dtype in ("integer", "decimal")]

    def write(self, frame: pl.DataFrame, block: Block) -> None:
        typed = frame.with_columns(pl.col(self._numbers).cast(pl.Float64))
        start = 0
        for broken in (*block.broken, None):
            end = len(frame) if broken is None else broken.before
            self._put(_ndjson(typed[start:end]))
            if broken is not None:
                self._refuse(broken)
            start = end

    def _refuse(self, broken: Broken) -> None:
        text = json.dumps(dict(zip(self.table.names(), broken.values, strict=True)), ensure_ascii=False)
        self.facts.quarantined.append({"line": self.facts.lines + 1, "reason": JSON})
        self._put(text[: -(8 + broken.repeat % 9)].encode() + b"\n")

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self.facts.lines += data.count(b"\n")

    def close(self, rows: int) -> None:
        self._file.close()


def _ndjson(frame: pl.DataFrame) -> bytes:
    buffer = BytesIO()
    frame.write_ndjson(buffer)
    return buffer.getvalue()


class DelimitedWriter:
    """Text with a delimiter, in any encoding, with lines above and below the data."""

    def __init__(self, table: Table, folder: Path) -> None:
        self.table, self.layout, self.facts = table, table.layout, Facts(files=[table.file_name()])
        self._file = (folder / table.file_name()).open("wb")
        self._encoding = "utf-8" if self.layout.bom else self.layout.encoding
        self._rows = 0
        if self.layout.bom:
            self._file.write(b"\xef\xbb\xbf")
        for text in self.layout.lead:
            self.facts.preamble.append(self._line(self._padded(text)))
        self.facts.header = self._line(self.layout.delimiter.join(table.names()))

    def write(self, frame: pl.DataFrame, block: Block) -> None:
        events: list[tuple[int, Broken | None]] = [(broken.before, broken) for broken in block.broken]
        events += [(row, None) for row in self._headers(len(frame))]
        start = 0
        for end, broken in sorted(events, key=lambda event: event[0]):
            self._body(frame[start:end])
            if broken is None:
                self.facts.repeated_headers.append(self._line(self.layout.delimiter.join(self.table.names())))
            else:
                self.facts.quarantined.append({"line": self._line(self._broken(broken)), "reason": broken.reason})
            start = end
        self._body(frame[start:])
        self._rows += len(frame)

    def _headers(self, rows: int) -> Iterator[int]:
        """Places in this block (not its end) where the header comes once more."""
        every = self.layout.repeat_header_after
        if every:
            yield from (row for row in range(1, rows) if (self._rows + row) % every == 0)

    def _body(self, frame: pl.DataFrame) -> None:
        if frame.is_empty():
            return
        buffer = BytesIO()
        frame.write_csv(
            buffer,
            include_header=False,
            separator=self.layout.delimiter,
            line_terminator=self.layout.newline,
            quote_style="necessary",
        )
        data = buffer.getvalue()
        self._file.write(data if self._encoding == "utf-8" else data.decode("utf-8").encode(self._encoding))
        self.facts.lines += data.count(b"\n")

    def _broken(self, broken: Broken) -> str:
        cut = str.maketrans("", "", f'"\n{self.layout.delimiter}')
        values = [(value or "").translate(cut) for value in broken.values]
        if broken.reason == SHORT:
            values = values[: -2 - broken.repeat % 2]
        elif broken.reason == LONG:
            values.append("补录")
        elif broken.reason == QUOTE:
            values[-1 - broken.repeat % 2] = '"待核"实"内容"'
        return self.layout.delimiter.join(values)

    def _padded(self, text: str) -> str:
        """A line of one cell as a spreadsheet saves it: the other cells are there, empty."""
        return text + self.layout.delimiter * (len(self.table.columns) - 1)

    def _line(self, text: str) -> int:
        """Writes one physical line and gives its number."""
        self._file.write((text + self.layout.newline).encode(self._encoding))
        self.facts.lines += 1
        return self.facts.lines

    def close(self, rows: int) -> None:
        for text in self.layout.tail:
            self.facts.footer.append(self._line(self._padded(text.format(rows=rows))))
        for _ in range(self.layout.blank_tail):
            self.facts.blank.append(self._line(""))
        self._file.close()


class SheetWriter:
    """Workbooks with merged titles; a table too long for one continues in the next."""

    def __init__(self, table: Table, folder: Path) -> None:
        self.table, self.layout, self.facts, self._folder = table, table.layout, Facts(), folder
        self._kinds = [column.dtype for column in table.columns]
        self._book: Any = None
        self._open()

    def _open(self) -> None:
        import xlsxwriter

        name = self.table.file_name(len(self.facts.files))
        self.facts.files.append(name)
        self._book = xlsxwriter.Workbook(str(self._folder / name), {"constant_memory": True})
        self._book.set_properties({"title": self.table.title, "author": self.table.department, "created": CREATED})
        self._sheet = self._book.add_worksheet(self.table.title)
        self._bold = self._book.add_format({"bold": True, "align": "center"})
        self._plain = self._book.add_format({})
        self._date = self._book.add_format({"num_format": "yyyy-mm-dd"})
        self._row, self._held, self._section = 0, 0, None
        first = len(self.facts.files) == 1
        for turn, text in enumerate(self.layout.lead):
            line = self._wide(text, merged=turn > 0)
            self.facts.preamble += [line] if first else []
        for place, title in enumerate(self.table.names()):
            self._sheet.write_string(self._row, place, title, self._bold)
        self._row += 1
        self.facts.header = self._row

    def _wide(self, text: str, *, merged: bool = True) -> int:
        """One text over the whole width; its row number from 1."""
        if merged:
            self._sheet.merge_range(self._row, 0, self._row, len(self._kinds) - 1, text, self._bold)
        else:
            self._sheet.write_string(self._row, 0, text)
        self._row += 1
        return self._row

    def write(self, frame: pl.DataFrame, block: Block) -> None:
        wanted = self.layout.section_column
        section = None if wanted is None else self.table.names().index(wanted)
        for values in frame.iter_rows():
            if self._held == SHEET_ROWS:
                self._finish_book(self._held)
                self._open()
            if section is not None and values[section] != self._section:
                self._section = values[section]
                self.facts.sections.append(self._wide(str(self._section)))
            for place, (kind, text) in enumerate(zip(self._kinds, values, strict=True)):
                if text is not None:
                    self._cell(place, kind, text)
            self._row += 1
            self._held += 1

    def _cell(self, place: int, kind: str, text: str) -> None:
        day = iso_date(text) if kind == "date" else None
        number = plain_number(text) if kind in ("integer", "decimal") else None
        if day is not None:
            self._sheet.write_datetime(self._row, place, datetime(day.year, day.month, day.day), self._date)
        elif number is not None:
            self._sheet.write_number(self._row, place, number)
        else:
            self._sheet.write_string(self._row, place, text)

    def _finish_book(self, rows: int) -> None:
        self.facts.footer = [self._wide(text.format(rows=rows)) for text in self.layout.tail]
        self.facts.lines = self._row
        self._book.close()

    def close(self, rows: int) -> None:
        self._finish_book(self._held)


def iso_date(text: str) -> date | None:
    """The date of a text of the form 2025-03-01, or None; such cells become real dates in a workbook."""
    if len(text) != 10 or text[4] != "-":
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def plain_number(text: str) -> float | None:
    """The number a plain text writes, or None; `1,234` is not plain and stays text in a workbook."""
    try:
        return float(text) if text.isascii() else None
    except ValueError:
        return None


def layout_facts(layout: Layout, facts: Facts) -> dict[str, Any]:
    """What a reader has to find out about the file."""
    return {
        "encoding": layout.encoding,
        "delimiter": layout.delimiter if layout.kind == "delimited" else None,
        "newline": {"\n": "LF", "\r\n": "CRLF"}[layout.newline] if layout.kind != "sheet" else None,
        "physical_lines": facts.lines,
        "preamble_lines": facts.preamble,
        "header_line": facts.header,
        "repeated_header_lines": facts.repeated_headers,
        "section_lines": facts.sections,
        "footer_lines": facts.footer,
        "blank_lines": facts.blank,
    }
