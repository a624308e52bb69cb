"""Simulated rows in the formats people download: streamed from Parquet, the same bytes for the same rows.

Cells are text that a program made up from a hostile table's labels: in a spreadsheet none of them may become a formula.
In CSV such a cell gets an apostrophe in front; in XLSX it is stored as text and marked so. Numbers stay numbers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from policies.text import Text
from synthetic.ddl import DIALECTS, create_table
from synthetic.wording import TYPES

if TYPE_CHECKING:
    import polars as pl

_BATCH = 16_384
_FORMULA = r"^[=+\-@＝＋－＠\t\r\n]"
_NUMBER = r"^[+-]?\d+(\.\d+)?([eE][+-]?\d+)?$"
_XLSX_ROWS, _XLSX_TEXT, _XLSX_DIGITS = 1_048_575, 32_767, 10**15
_FIRST_YEAR = 1900
MOMENT = "%Y-%m-%d %H:%M:%S%.f"
"""how a spreadsheet program reads a time"""
_WIDTHS = 8, 48


@dataclass(frozen=True, slots=True)
class Subject:
    """What is written: Parquet files of the rows, the field dictionary, the public manifest, lines for the cover."""

    files: Sequence[str]
    fields: Sequence[Mapping[str, Any]]
    public: Mapping[str, Any]
    cover: Sequence[tuple[Text, str]]

    @property
    def name(self) -> str:
        return str(self.public["table"])

    @property
    def mark(self) -> str:
        return str(self.public["mark"])

    def batches(self) -> Iterator[pl.DataFrame]:
        """The rows in order, some thousand at a time; a twin has at least one."""
        import polars as pl
        import pyarrow.parquet as pq

        for path in self.files:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(_BATCH):
                    yield pl.DataFrame(pl.from_arrow(batch))

    @property
    def rows(self) -> int:
        import pyarrow.parquet as pq

        return sum(pq.read_metadata(path).num_rows for path in self.files)


@dataclass(frozen=True, slots=True)
class Format:
    """One format: what tells its file's name from the others (with the ending), media type, word, and its writer."""

    ending: str
    media: str
    label: Text
    write: Callable[[Subject, Path], None]
    most_rows: int | None = None


def write_all(subject: Subject, folder: Path) -> dict[str, Path]:
    """Every format as a file in `folder`; one that cannot hold so many rows is left out."""
    rows = subject.rows
    made: dict[str, Path] = {}
    for key, one in FORMATS.items():
        if one.most_rows is None or rows <= one.most_rows:
            made[key] = folder / f"{key}{one.ending}"
            one.write(subject, made[key])
    return made


def neutral(text: str) -> str:
    """A cell that no spreadsheet program takes for a formula."""
    return f"'{text}" if re.match(_FORMULA, text) and not re.match(_NUMBER, text) else text


def neutral_frame(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with every text cell and every column's name neutral."""
    import polars as pl

    def cell(column: pl.Expr) -> pl.Expr:
        risky = column.str.contains(_FORMULA) & ~column.str.contains(_NUMBER)
        return pl.when(risky).then(pl.lit("'") + column).otherwise(column).name.keep()

    names = {c: neutral(c) for c in frame.columns if neutral(c) != c}
    return frame.with_columns(cell(pl.col(pl.String))).rename(names)


# ---- CSV and Parquet ----


def write_csv(subject: Subject, path: Path) -> None:
    """UTF-8 with a byte order mark, by which spreadsheet programs know Chinese."""
    with path.open("wb") as file:
        file.write(b"\xef\xbb\xbf")
        for place, frame in enumerate(subject.batches()):
            neutral_frame(frame).write_csv(file, include_header=place == 0, datetime_format=MOMENT)


def write_gb18030(subject: Subject, path: Path) -> None:
    """The same in GB18030, for programs that know no UTF-8."""
    with path.open("wb") as file:
        for place, frame in enumerate(subject.batches()):
            text = neutral_frame(frame).write_csv(include_header=place == 0, datetime_format=MOMENT)
            file.write(text.encode("gb18030"))


def write_parquet(subject: Subject, path: Path) -> None:
    """Parquet, values as they are; mark and public manifest in the file's metadata."""
    import pyarrow.parquet as pq

    facts = {"mark": subject.mark, "simulated": "true", "manifest": canonical(subject.public).decode()}
    writer: pq.ParquetWriter | None = None
    try:
        for frame in subject.batches():
            table = frame.to_arrow()
            writer = writer or pq.ParquetWriter(path, table.schema.with_metadata(facts), compression="zstd")
            writer.write_table(table.replace_schema_metadata(facts))
    finally:
        if writer is not None:
            writer.close()


def write_manifest(subject: Subject, path: Path) -> None:
    """The public manifest in one byte form, which is what the platform signs."""
    path.write_bytes(canonical(subject.public))


def canonical(data: Any) -> bytes:
    """JSON in one byte form: sorted keys, no blanks, UTF-8."""
    return json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


# ---- XLSX ----


def write_xlsx(subject: Subject, path: Path) -> None:
    """A workbook: what this is, the rows, the field dictionary. Identifiers and long numbers are text."""
    import xlsxwriter

    text = {"strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(str(path), {"constant_memory": True, "tmpdir": str(path.parent)} | text) as book:
        book.set_properties({
            "title": f"{subject.name} {subject.mark}", "keywords": f"{subject.mark} simulated",
            "comments": _NOTICE.zh, "created": datetime(2000, 1, 1),  # one byte form, whenever it is written
        })  # fmt: skip
        sheets = _Workbook(book)
        sheets.cover(subject)
        sheets.rows(subject)
        sheets.dictionary(subject)


_NOTICE = Text(
    "本文件为仿真数据，由程序生成，不对应任何真实的人或单位，不得作为真实记录使用或据以得出结论",
    "Simulated data made by a program: it stands for no real person or organisation; draw no conclusions from it",
)


class _Workbook:
    """Writes cells by kind; text is never a formula."""

    def __init__(self, book: Any) -> None:
        self.book = book
        self.head = book.add_format({"bold": True, "bottom": 1, "bg_color": "#F2F4F7", "text_wrap": True})
        self.title = book.add_format({"bold": True, "font_size": 16})
        self.warning = book.add_format({"bold": True, "font_color": "#9A6700", "text_wrap": True, "valign": "top"})
        self.wrapped = book.add_format({"text_wrap": True, "valign": "top"})
        self.quoted = book.add_format({"quote_prefix": True})
        self.day = book.add_format({"num_format": "yyyy-mm-dd"})
        self.moment = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})

    def cover(self, subject: Subject) -> None:
        sheet = self.book.add_worksheet(subject.mark)
        sheet.set_column(0, 0, 18)
        sheet.set_column(1, 1, 90)
        self.text(sheet, 0, 0, f"{subject.name}（{subject.mark}）", self.title)
        self.text(sheet, 1, 0, "重要提示", self.head)
        self.text(sheet, 1, 1, f"{_NOTICE.zh}\n{_NOTICE.en}", self.warning)
        lines = [(label.zh, value) for label, value in subject.cover]
        kept_not = [item["zh"] for item in subject.public["not_preserved"]]
        lines += [("" if place else "没有保留的特征", line) for place, line in enumerate(kept_not)]
        for row, (label, value) in enumerate(lines, 2):
            self.text(sheet, row, 0, label, self.head)
            self.text(sheet, row, 1, value, self.wrapped)

    def rows(self, subject: Subject) -> None:
        sheet = self.book.add_worksheet("数据")
        row = 1
        for frame in subject.batches():
            if row == 1:
                self._header(sheet, frame)
            writers = [self._writer(frame.schema[name]) for name in frame.columns]
            for values in frame.iter_rows():
                for place, (write, value) in enumerate(zip(writers, values, strict=True)):
                    if value is not None:
                        write(sheet, row, place, value)
                row += 1
        sheet.autofilter(0, 0, row - 1, len(subject.fields) - 1)

    def _header(self, sheet: Any, frame: pl.DataFrame) -> None:
        sheet.freeze_panes(1, 0)
        for place, name in enumerate(frame.columns):
            sheet.set_column(place, place, _width(name, frame.get_column(name).head(500)))
        for place, name in enumerate(frame.columns):
            self.text(sheet, 0, place, name, self.head)

    def dictionary(self, subject: Subject) -> None:
        sheet = self.book.add_worksheet("字段")
        heads = ("字段", "类型", "含义", "说明", "取值", "仿真方式")
        for place, (head, width) in enumerate(zip(heads, (24, 8, 18, 40, 40, 36), strict=True)):
            sheet.set_column(place, place, width)
            self.text(sheet, 0, place, head, self.head)
        for row, one in enumerate(subject.fields, 1):
            cells = (
                one["name"], TYPES[one["type"]].zh, one["meaning"]["zh"],
                one["comment"], "、".join(one["codes"]), one["made"]["zh"],
            )  # fmt: skip
            for place, cell in enumerate(cells):
                self.text(sheet, row, place, cell, self.wrapped)

    def text(self, sheet: Any, row: int, place: int, value: str, style: Any = None) -> None:
        """A text cell; one that looks like a formula is marked as text, so that editing it does not wake it."""
        value = str(value)[:_XLSX_TEXT]
        sheet.write_string(row, place, value, self.quoted if style is None and neutral(value) != value else style)

    def _writer(self, kind: pl.DataType) -> Callable[[Any, int, int, Any], None]:
        import polars as pl

        if kind == pl.Boolean:
            return lambda sheet, row, place, value: sheet.write_boolean(row, place, value)
        if kind.is_numeric():
            return self._number
        if isinstance(kind, pl.Date | pl.Datetime):
            return self._time
        return self.text

    def _number(self, sheet: Any, row: int, place: int, value: Any) -> None:
        """A spreadsheet keeps 15 digits and knows no infinity: what is longer or not finite goes in as text."""
        most = float("inf") if isinstance(value, float) else _XLSX_DIGITS
        if abs(value) < most:
            sheet.write_number(row, place, value)
        else:
            self.text(sheet, row, place, str(value))

    def _time(self, sheet: Any, row: int, place: int, value: date) -> None:
        if value.year < _FIRST_YEAR:
            self.text(sheet, row, place, value.isoformat())
        elif isinstance(value, datetime):
            sheet.write_datetime(row, place, value.replace(tzinfo=None), self.moment)
        else:
            sheet.write_datetime(row, place, value, self.day)


def _width(name: str, values: pl.Series) -> int:
    """Characters a column needs; a Chinese one takes two."""
    least, most = _WIDTHS
    longest = max([_cells(name) + 4, *(_cells(str(v)) + 1 for v in values if v is not None)])
    return max(least, min(most, longest))


def _cells(text: str) -> int:
    return sum(1 if sign.isascii() else 2 for sign in text)


# ---- DDL ----


def _ddl(dialect: str) -> Callable[[Subject, Path], None]:
    def write(subject: Subject, path: Path) -> None:
        frames = subject.batches()
        first = next(frames)
        longest = dict.fromkeys(first.columns, 0)
        for frame in (first, *frames):
            for name, length in _longest(frame).items():
                longest[name] = max(longest[name], length)
        described = {f["name"]: str(f["comment"]) for f in subject.fields}
        text = create_table(subject.name, first.schema, longest, described, subject.mark, DIALECTS[dialect])
        path.write_text(text, encoding="utf-8")

    return write


def _longest(frame: pl.DataFrame) -> dict[str, int]:
    import polars as pl

    lengths = frame.select(pl.col(pl.String).str.len_chars().max())
    return {name: lengths.get_column(name).item() or 0 for name in lengths.columns}


FORMATS: Mapping[str, Format] = {
    "csv": Format(".csv", "text/csv; charset=utf-8", Text("CSV（UTF-8，带 BOM）", "CSV (UTF-8 with BOM)"), write_csv),
    "csv-gb18030": Format(
        "_GB18030.csv", "text/csv; charset=gb18030", Text("CSV（GB18030）", "CSV (GB18030)"), write_gb18030
    ),
    "xlsx": Format(
        ".xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        Text("Excel 工作簿（证号为文本）", "Excel workbook (identifiers as text)"), write_xlsx, _XLSX_ROWS,
    ),
    "parquet": Format(".parquet", "application/vnd.apache.parquet", Text("Parquet", "Parquet"), write_parquet),
    "ddl-postgresql": Format(
        "_PostgreSQL.sql", "application/sql; charset=utf-8",
        Text("建表语句（PostgreSQL、人大金仓、达梦）", "CREATE TABLE (PostgreSQL, Kingbase, Dameng)"),
        _ddl("postgresql"),
    ),
    "ddl-mysql": Format(
        "_MySQL.sql", "application/sql; charset=utf-8",
        Text("建表语句（MySQL、OceanBase、GBase）", "CREATE TABLE (MySQL, OceanBase, GBase)"),
        _ddl("mysql"),
    ),
    "manifest": Format(
        "_清单.json", "application/json", Text("清单（平台签名）", "Manifest (signed)"), write_manifest
    ),
}  # fmt: skip
"""Key of a format → the format, in the order people see them."""
