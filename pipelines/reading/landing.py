"""Where records land as text: loaded rows, rows set aside (sections, footers, …), quarantine, and the count of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.reading.findings import refusal
from pipelines.reading.layout import FOOTER, TOTAL, is_section
from pipelines.reading.transcode import LONE_RETURN

_TAIL = 32  # rows at the end among which footers are looked for
_ROW = "__row"
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
    """What the sink has to know to tell records from other rows. `ghost`: the last incoming column must stay empty."""

    names: tuple[str, ...]
    header_cells: tuple[str, ...] = ()
    first_kind: str = "text"
    sections: bool = False
    repeated_headers: bool = True
    footers: bool = True
    ghost: bool = False
    trim: bool = False
    put_back_returns: bool = False
    delimiter: str | None = None

    @property
    def width(self) -> int:
        return len(self.names) + self.ghost


@dataclass(slots=True)
class Sink:
    """Takes rows in file order and writes `text.parquet`; memory does not grow with the file."""

    folder: Path
    shape: Shape
    accounting: Accounting = field(default_factory=Accounting)
    parsed: int = 0
    newlines: int = 0
    empty_lines: int = 0
    swallowed: int = 0
    ghost_values: int = 0
    _writer: pq.ParquetWriter | None = None
    _held: pl.DataFrame | None = None
    _aside: list[dict[str, object]] = field(default_factory=list)
    _refused: list[dict[str, object]] = field(default_factory=list)

    @property
    def text_path(self) -> Path:
        return self.folder / "text.parquet"

    def add(self, frame: pl.DataFrame, merged: Sequence[int] = ()) -> None:
        """Rows whose columns are the cells; `merged` are the rows (counted in `frame`) that one cell spans."""
        frame = frame.rename({old: f"c{i}" for i, old in enumerate(frame.columns)})
        self.parsed += frame.height
        self._count_lines(frame)
        if self.shape.put_back_returns:
            frame = frame.with_columns(pl.all().str.replace_all(LONE_RETURN, "\r", literal=True))
        if self.shape.trim:
            frame = frame.with_columns(pl.all().str.strip_chars_start(" "))
        frame = self._without_others(frame, merged)
        held = frame if self._held is None else pl.concat([self._held, frame])
        keep = min(_TAIL, held.height)
        self._write(held[: held.height - keep])
        self._held = held[held.height - keep :]

    def refuse(self, line: int | None, byte_place: int | None, reason: str, raw: str) -> None:
        """One record that cannot be loaded, with its own text."""
        self._refused.append({"line": line, "byte_place": byte_place, "reason": reason, "raw": raw})
        self.accounting.rows_quarantined += 1

    def set_aside(self, kind: str, cells: Sequence[str | None]) -> None:
        """A row that is no record: kept, listed, counted under its own heading."""
        self._aside.append({"kind": kind, "cells": list(cells)})
        setattr(self.accounting, kind, getattr(self.accounting, kind) + 1)

    def finish(self) -> None:
        """Judge the last rows for footers, and close the files."""
        if self._held is not None:
            self._write(self._without_footers(self._held))
        self._write(None)
        assert self._writer is not None
        self._writer.close()
        if self._refused:
            pq.write_table(pa.Table.from_pylist(self._refused, QUARANTINE), self.quarantine_path)
        if self._aside:
            pq.write_table(pa.Table.from_pylist(self._aside, ASIDE), self.folder / "aside.parquet")

    @property
    def quarantine_path(self) -> Path:
        return self.folder / "quarantine.parquet"

    @property
    def refused(self) -> int:
        return len(self._refused)

    def _count_lines(self, frame: pl.DataFrame) -> None:
        """Line breaks inside cells, empty lines inside cells, and cells that look like whole rows."""
        breaks = frame.lazy().select(pl.all().str.count_matches("\n", literal=True).sum()).collect().row(0)
        for name, count in zip(frame.columns, breaks, strict=True):
            if not count:
                continue
            cells = frame.filter(pl.col(name).str.contains("\n", literal=True))[name]
            self.newlines += count
            self.empty_lines += count - int(cells.str.count_matches("\n+").sum())
            if self.shape.delimiter and self.shape.width > 2:
                apart = cells.str.count_matches(self.shape.delimiter, literal=True)
                lines = cells.str.count_matches("\n", literal=True)
                self.swallowed += int((apart >= lines * (self.shape.width - 1)).sum())

    def _without_others(self, frame: pl.DataFrame, merged: Sequence[int]) -> pl.DataFrame:
        """Rows that are blank, repeat the header or open a section are counted and taken out."""
        filled = pl.sum_horizontal((pl.col(c).fill_null("") != "").cast(pl.UInt32) for c in frame.columns)
        marked = frame.with_columns(filled.alias("__n")).with_row_index(_ROW)
        out: list[int] = []
        if self.shape.width > 1:
            blank = marked.filter(pl.col("__n") == 0)[_ROW].to_list()
            self.accounting.blank += len(blank)
            out += blank
        if self.shape.repeated_headers and self.shape.header_cells:
            cells = zip(frame.columns, self.shape.header_cells, strict=True)
            same = pl.all_horizontal(pl.col(c).fill_null("").str.strip_chars() == h.strip() for c, h in cells)
            out += self._aside_rows("repeated_header", marked.filter(same))
        if self.shape.sections:
            alone = marked.filter((pl.col("__n") == 1) & (pl.col("c0").fill_null("") != ""))
            spanned = set(merged)
            found = [
                r[_ROW] for r in alone.rows(named=True)
                if not FOOTER.match(r["c0"]) and (r[_ROW] in spanned or is_section(r["c0"], self.shape.first_kind))
            ]  # fmt: skip
            out += self._aside_rows("section", alone.filter(pl.col(_ROW).is_in(found)))
        return frame if not out else marked.filter(~pl.col(_ROW).is_in(out)).drop(_ROW, "__n")

    def _aside_rows(self, kind: str, rows: pl.DataFrame) -> list[int]:
        for row in rows.drop("__n").iter_rows():
            self.set_aside(kind, row[1:])
        return rows[_ROW].to_list()

    def _without_footers(self, tail: pl.DataFrame) -> pl.DataFrame:
        """From the last row upwards: notes of a cell or two, and totals that leave cells empty."""
        rows = tail.rows()
        keep = len(rows)
        while self.shape.footers and keep and self.shape.width > 1 and is_footer(rows[keep - 1], self.shape.first_kind):
            keep -= 1
        for row in rows[keep:]:
            self.set_aside("footer", row)
        return tail[:keep]

    def _write(self, frame: pl.DataFrame | None) -> None:
        schema = pa.schema([pa.field(n, pa.large_string()) for n in self.shape.names])
        if self._writer is None:
            self._writer = pq.ParquetWriter(self.text_path, schema, compression="snappy")
        if frame is None or not frame.height:
            return
        if self.shape.ghost:
            last = frame.columns[-1]
            self.ghost_values += frame.height - frame[last].null_count() - int((frame[last] == "").sum())
            frame = frame.drop(last)
        frame.columns = list(self.shape.names)
        self._writer.write_table(frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema))
        self.accounting.rows_loaded += frame.height


def is_footer(cells: Sequence[str | None], first_kind: str) -> bool:
    """A note or a total under the table: it opens like one and is not filled like a record."""
    filled = [c for c in cells if c and c.strip()]
    if not filled or not FOOTER.match(filled[0]):
        return False
    if TOTAL.fullmatch(filled[0]):
        return len(filled) < len(cells) or first_kind in ("number", "date")
    return len(filled) <= 2
