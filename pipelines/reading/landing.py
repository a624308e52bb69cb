"""Where records land as text: loaded rows, rows set aside (sections, footers, …), quarantine, and the count of all."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.reading.findings import refusal
from pipelines.reading.layout import FOOTER, TOTAL, is_section

ROWS_IN_GROUP = 122_880
_RUN = re.compile("\n+")
_TAIL = 32  # rows at the end among which footers are looked for
_ROW, _FILLED = "\0row", "\0filled"
QUARANTINE = pa.schema(
    [("line", pa.int64()), ("byte_place", pa.int64()), ("reason", pa.string()), ("raw", pa.large_string())]
)
ASIDE = pa.schema([("kind", pa.string()), ("cells", pa.list_(pa.string()))])


@dataclass(slots=True)
class Accounting:
    """Physical lines of the part of the file that is this table, each counted under exactly one heading.

    `continuation` counts the further lines of records that span several. For sheets and JSON a line is a sheet row or a
    list element.
    """

    lines: int = 0
    preamble: int = 0
    header: int = 0
    blank: int = 0
    section: int = 0
    footer: int = 0
    repeated_header: int = 0
    rows_loaded: int = 0
    rows_quarantined: int = 0
    continuation: int = 0

    @property
    def rows_in(self) -> int:
        """Records of the source: loaded or quarantined, nothing else."""
        return self.rows_loaded + self.rows_quarantined

    @property
    def counted(self) -> int:
        """Lines under all headings together."""
        aside = self.preamble + self.header + self.blank + self.section + self.footer + self.repeated_header
        return aside + self.rows_in + self.continuation

    @property
    def balances(self) -> bool:
        return self.counted == self.lines and self.blank >= 0

    def balance(self) -> None:
        """Prove that no line was lost.

        Raises:
            UserError: `reading.unbalanced`.
        """
        if not self.balances:
            raise refusal("unbalanced", lines=self.lines, counted=self.counted)

    def as_dict(self) -> dict[str, int]:
        names = ("lines", "preamble", "header", "blank", "section", "footer", "repeated_header", "continuation")
        counts = {n: int(getattr(self, n)) for n in names}
        return {
            "rows_in": self.rows_in, "rows_loaded": self.rows_loaded, "rows_quarantined": self.rows_quarantined,
            **counts,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shape:
    """What the sink has to know to tell records from other rows. `ghost`: the last incoming column must stay empty.

    Of text files only: `returns`: carriage returns inside cells were replaced.
    """

    names: tuple[str, ...]
    header_cells: tuple[str, ...] = ()
    first_kind: str = "text"
    sections: bool = False
    repeated_headers: bool = True
    footers: bool = True
    ghost: bool = False
    trim: bool = False
    returns: bool = False
    delimiter: str | None = None

    @property
    def width(self) -> int:
        return len(self.names) + self.ghost


@dataclass(slots=True)
class Sink:
    """Takes the rows of one table in file order and leaves its records in `text.parquet`; memory stays flat.

    Rows come as frames (`add`), or a parser writes them itself to `parsed_path` with the columns of the shape. Only
    `finish` tells records from other rows: where the counts of empty cells say that there can be no others, which is
    what most large files look like, the parsed file is the text file, untouched.
    """

    folder: Path
    shape: Shape
    accounting: Accounting = field(default_factory=Accounting)
    newlines: int = 0
    empty_lines: int = 0
    swallowed: int = 0
    _writer: pq.ParquetWriter | None = None
    _held: list[pl.DataFrame] = field(default_factory=list)
    _rows: int = 0
    _merged: set[int] = field(default_factory=set)
    _aside: list[dict[str, object]] = field(default_factory=list)
    _refused: list[dict[str, object]] = field(default_factory=list)

    @property
    def text_path(self) -> Path:
        return self.folder / "text.parquet"

    @property
    def parsed_path(self) -> Path:
        return self.folder / "parsed.parquet"

    @property
    def quarantine_path(self) -> Path:
        return self.folder / "quarantine.parquet"

    @property
    def refused(self) -> int:
        return len(self._refused)

    def add(self, frame: pl.DataFrame, merged: Sequence[int] = ()) -> None:
        """Rows whose columns are the cells; `merged` are the rows (counted in `frame`) that one cell spans."""
        self._merged.update(self._rows + row for row in merged)
        self._rows += frame.height
        frame.columns = list(self.shape.names)
        if self.shape.trim:
            frame = frame.with_columns(pl.all().str.strip_chars_start(" "))
        self._held.append(frame)
        if sum(f.height for f in self._held) >= ROWS_IN_GROUP:
            self._write()

    def refuse(self, line: int | None, byte_place: int | None, reason: str, raw: str) -> None:
        """One record that cannot be loaded, with its own text."""
        self._refused.append({"line": line, "byte_place": byte_place, "reason": reason, "raw": raw})
        self.accounting.rows_quarantined += 1

    def set_aside(self, kind: str, cells: Sequence[str | None]) -> None:
        """A row that is no record: kept, listed, counted under its own heading."""
        self._aside.append({"kind": kind, "cells": list(cells)})
        setattr(self.accounting, kind, getattr(self.accounting, kind) + 1)
        inside = [cell for cell in cells if cell and "\n" in cell]
        self.newlines += sum(cell.count("\n") for cell in inside)
        self.empty_lines += sum(cell.count("\n") - len(_RUN.findall(cell)) for cell in inside)

    def finish(self) -> None:
        """Close the files, and take out what is no record."""
        if not self.parsed_path.exists() or self._held:
            self._write()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._sift()
        self.list_refused()

    def count_breaks(self, breaks: Mapping[str, int]) -> None:
        """Take in how many line breaks the cells of each column hold: how many of the lines between them are empty, and
        whether a cell looks like whole rows. Rows set aside have been counted."""
        frame = pl.scan_parquet(self.text_path)
        for name in (n for n, count in breaks.items() if count):
            cells = frame.select(name).filter(pl.col(name).str.contains("\n", literal=True)).collect(engine="streaming")
            lines = cells[name].str.count_matches("\n", literal=True)
            self.newlines += breaks[name]
            self.empty_lines += breaks[name] - int(cells[name].str.count_matches("\n+").sum())
            if self.shape.width > 2:
                apart = cells[name].str.count_matches(self.shape.delimiter or "", literal=True)
                self.swallowed += int((apart >= lines * (self.shape.width - 1)).sum())

    def list_refused(self) -> None:
        """Write down what was refused or set aside so far; files of an earlier try give way."""
        lists = ((self._refused, QUARANTINE, self.quarantine_path), (self._aside, ASIDE, self.folder / "aside.parquet"))
        for rows, schema, path in lists:
            path.unlink(missing_ok=True)
            if rows:
                pq.write_table(pa.Table.from_pylist(rows, schema), path)

    def _write(self) -> None:
        schema = pa.schema([pa.field(n, pa.large_string()) for n in self.shape.names])
        if self._writer is None:
            self._writer = pq.ParquetWriter(self.parsed_path, schema, compression="snappy")
        if self._held:
            table = pl.concat(self._held).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema)
            self._writer.write_table(table)
        self._held = []

    def _sift(self) -> None:
        """Move the parsed rows to the text file, without those that are blank, repeat the header, open a section or
        stand below the table."""
        rows = pq.read_metadata(self.parsed_path).num_rows
        out = self._others() if rows else []
        out += self._footers(rows, set(out))
        if out:
            kept = pl.scan_parquet(self.parsed_path).with_row_index(_ROW).filter(~pl.col(_ROW).is_in(out)).drop(_ROW)
            kept.sink_parquet(self.text_path, compression="snappy", row_group_size=ROWS_IN_GROUP)
            self.parsed_path.unlink()
        else:
            self.parsed_path.rename(self.text_path)
        self.accounting.rows_loaded += rows - len(out)

    def _others(self) -> list[int]:
        """Places of rows that are blank, repeat the header or open a section; each is counted and set aside."""
        out: list[int] = []
        frame = pl.scan_parquet(self.parsed_path).with_row_index(_ROW)
        if self.shape.repeated_headers and self.shape.header_cells:
            cells = zip(self.shape.names, self.shape.header_cells[: len(self.shape.names)], strict=True)
            same = [pl.col(c).fill_null("").str.strip_chars() == h.strip() for c, h in cells]
            # one column tells of nearly every file that nothing repeats; reading all of them takes twenty times as long
            if frame.select(same[0].any()).collect(engine="streaming").item():
                rows = frame.filter(pl.all_horizontal(same)).collect(engine="streaming")
                out += self._aside_rows("repeated_header", rows)
        if self.shape.width == 1 or not self._may_be_empty():
            return out
        filled = pl.sum_horizontal((pl.col(c).fill_null("") != "").cast(pl.UInt32) for c in self.shape.names)
        few = frame.with_columns(filled.alias(_FILLED)).filter(pl.col(_FILLED) < 2, ~pl.col(_ROW).is_in(out))
        sparse = few.collect(engine="streaming")  # a header of one name, repeated, is no section's title as well
        blank = sparse.filter(pl.col(_FILLED) == 0)[_ROW].to_list()
        self.accounting.blank += len(blank)
        return [*out, *blank, *(self._sections(sparse) if self.shape.sections else [])]

    def _may_be_empty(self) -> bool:
        """Whether all columns but the first have empty cells, by the file's own statistics: no row is blank or a
        section's title otherwise."""
        meta = pq.read_metadata(self.parsed_path)
        groups = [meta.row_group(i) for i in range(meta.num_row_groups)]
        return all(any(_has_empty(g.column(k).statistics) for g in groups) for k in range(1, meta.num_columns))

    def _sections(self, sparse: pl.DataFrame) -> list[int]:
        first = pl.col(self.shape.names[0])
        alone = sparse.filter((pl.col(_FILLED) == 1) & (first.fill_null("") != "")).drop(_FILLED)
        titles = [
            row[0] for row in alone.select(_ROW, first).iter_rows()
            if not FOOTER.match(row[1]) and (row[0] in self._merged or is_section(row[1], self.shape.first_kind))
        ]  # fmt: skip
        return self._aside_rows("section", alone.filter(pl.col(_ROW).is_in(titles)))

    def _aside_rows(self, kind: str, rows: pl.DataFrame) -> list[int]:
        for row in rows.iter_rows():
            self.set_aside(kind, row[1:])
        return rows[_ROW].to_list()

    def _footers(self, rows: int, out: set[int]) -> list[int]:
        """From the last row upwards: notes of a cell or two, and totals that leave cells empty."""
        if not self.shape.footers or self.shape.width == 1 or not rows:
            return []
        start = max(0, rows - _TAIL - sum(place >= rows - _TAIL for place in out))
        last = pl.scan_parquet(self.parsed_path).slice(start).collect(engine="streaming").rows()
        tail = [(start + i, cells) for i, cells in enumerate(last) if start + i not in out]
        found: list[tuple[int, Sequence[str | None]]] = []
        while tail and is_footer(tail[-1][1], self.shape.first_kind):
            found.append(tail.pop())
        for _, cells in reversed(found):
            self.set_aside("footer", cells)
        return [place for place, _ in found]


def _has_empty(told: pq.Statistics | None) -> bool:
    return told is None or not told.has_null_count or told.null_count > 0 or not told.has_min_max or told.min == ""


def is_footer(cells: Sequence[str | None], first_kind: str) -> bool:
    """A note or a total under the table: it opens like one and is not filled like a record."""
    filled = [c for c in cells if c and c.strip()]
    if not filled or not FOOTER.match(filled[0]):
        return False
    if TOTAL.fullmatch(filled[0]):
        return len(filled) < len(cells) or first_kind in ("number", "date")
    return len(filled) <= 2
