"""What a file holds, told by its bytes: type, tables, hidden texts, and what could not be read.

Only formats the gate may let out are opened. Anything that cannot be read is a problem of the file, never silence.
"""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING

from sandbox.exports.subject import ExportFile

if TYPE_CHECKING:
    import polars as pl

Rows = list[list[str]]

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"PAR1", "parquet"), (b"%PDF", "pdf"), (b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "jpg"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "xls"), (b"\x1f\x8b", "gz"), (b"7z\xbc\xaf", "7z"), (b"Rar!", "rar"),
    (b"BZh", "bz2"), (b"\xfd7zXZ", "xz"), (b"\x7fELF", "so"), (b"MZ", "exe"), (b"\x80\x02", "pkl"),
    (b"\x80\x03", "pkl"),    (b"\x80\x04", "pkl"), (b"\x80\x05", "pkl"), (b"\x28\xb5\x2f\xfd", "zst"),
)  # fmt: skip
_TEXT_TYPES = frozenset({"csv", "tsv", "txt", "md", "json", "jsonl"})
_UNPACKED_LIMIT = 256 * 2**20
"""Bytes of one archive member that are unpacked at most."""
ARCHIVES = frozenset({"zip", "gz", "7z", "rar", "bz2", "xz", "zst"})


@dataclass(frozen=True, slots=True)
class Table:
    """One table as text: its place (file, sheet), header and rows."""

    place: str
    header: tuple[str, ...]
    rows: Rows

    def frame(self) -> pl.LazyFrame:
        """The rows as text columns "1", "2", … in file order; an empty cell is missing."""
        import polars as pl

        width = range(len(self.header))
        return pl.LazyFrame(
            {str(i + 1): [(row[i] or None) if i < len(row) else None for row in self.rows] for i in width},
            schema={str(i + 1): pl.String for i in width},
        )


@dataclass(slots=True)
class Contents:
    """A file as read. `suffix` is what the name says, `kind` what the bytes say ("unknown" where neither fits)."""

    name: str
    size: int
    suffix: str
    kind: str
    tables: list[Table] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return sum(len(table.rows) for table in self.tables)


def read(file: ExportFile) -> Contents:
    """Read a file as far as its type allows; `problems` says what could not be read, without quoting it."""
    suffix = PurePath(file.name).suffix.lstrip(".").lower()
    kind = kind_of(file.content, suffix)
    contents = Contents(file.name, len(file.content), suffix, kind)
    reader = _READERS.get(kind)
    if reader is not None:
        try:
            reader(file, contents)
        except Exception as error:
            contents.problems.append(f"unreadable:{type(error).__name__}")
    return contents


def kind_of(content: bytes, suffix: str) -> str:
    """The type the bytes say: a magic number, an office container, or text of the type its name claims."""
    for magic, kind in _MAGIC:
        if content.startswith(magic):
            return kind
    if content.startswith(b"PK"):
        return _container(content)
    text = _text(content)
    if text is None:
        return "unknown"
    if re.match(r"\s*(<\?xml|<!doctype|<html|<svg|<script)", text, re.IGNORECASE):
        return "svg" if "<svg" in text[:4096].lower() else "html"
    if text.startswith("#!"):
        return "sh"
    return suffix if suffix in _TEXT_TYPES else "txt"


def _container(content: bytes) -> str:
    try:
        names = zipfile.ZipFile(io.BytesIO(content)).namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return "unknown"
    if any("vbaproject" in n.lower() or (n.lower().endswith(".bin") and "macro" in n.lower()) for n in names):
        return "xlsm"
    for marker, kind in (("xl/workbook.xml", "xlsx"), ("word/document.xml", "docx"), ("ppt/presentation.xml", "pptx")):
        if marker in names:
            return kind
    return "zip"


def _text(content: bytes) -> str | None:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return None if any(ord(c) < 32 and c not in "\t\r\n" for c in text) else text


def _read_csv(file: ExportFile, out: Contents) -> None:
    text = file.content.decode("utf-8-sig")
    delimiter = "\t" if out.kind == "tsv" else ","
    lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    if not lines:
        out.problems.append("empty")
        return
    if any(len(line) != len(lines[0]) for line in lines):
        out.problems.append("ragged")
    out.tables.append(Table(file.name, tuple(lines[0]), lines[1:]))


def _read_json(file: ExportFile, out: Contents) -> None:
    text = file.content.decode("utf-8-sig")
    records = (
        [json.loads(line) for line in text.splitlines() if line.strip()] if out.kind == "jsonl" else json.loads(text)
    )
    if isinstance(records, list) and records and all(isinstance(r, dict) for r in records):
        header = tuple(dict.fromkeys(key for record in records for key in record))
        out.tables.append(Table(file.name, header, [[_cell(record.get(h)) for h in header] for record in records]))
    else:
        out.texts[file.name] = json.dumps(records, ensure_ascii=False)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _read_text(file: ExportFile, out: Contents) -> None:
    out.texts[file.name] = file.content.decode("utf-8-sig")


def _read_parquet(file: ExportFile, out: Contents) -> None:
    import pyarrow.parquet as pq

    source = pq.ParquetFile(io.BytesIO(file.content))
    table = source.read()
    columns = [["" if v is None else str(v) for v in column.to_pylist()] for column in table.columns]
    out.tables.append(Table(file.name, tuple(table.column_names), [list(row) for row in zip(*columns, strict=True)]))
    for key, value in (source.schema_arrow.metadata or {}).items():
        out.texts[f"{file.name}#metadata"] = out.texts.get(f"{file.name}#metadata", "") + f"{key!r} {value!r}\n"


def _read_xlsx(file: ExportFile, out: Contents) -> None:
    from python_calamine import CalamineWorkbook

    book = CalamineWorkbook.from_filelike(io.BytesIO(file.content))
    for name in book.sheet_names:
        lines = [[_sheet_cell(v) for v in row] for row in book.get_sheet_by_name(name).to_python(skip_empty_area=False)]
        if lines:
            out.tables.append(Table(f"{file.name}#sheet={name}", tuple(lines[0]), lines[1:]))
    _read_container(file, out)


def _sheet_cell(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)


def _read_container(file: ExportFile, out: Contents) -> None:
    """Everything written in an office container: sheet names, comments, properties, formulas, hidden parts."""
    with zipfile.ZipFile(io.BytesIO(file.content)) as box:
        for member in box.infolist():
            if not member.filename.lower().endswith((".xml", ".rels", ".vml", ".txt")):
                continue
            if member.file_size > _UNPACKED_LIMIT:
                out.problems.append("member_too_large")
                continue
            raw = box.read(member).decode("utf-8", "replace")
            if member.filename.startswith("xl/worksheets/") and re.search(r"<f[ >]", raw):
                out.problems.append("formula")
            attributes = " ".join(re.findall(r'="([^"]*)"', raw)) if "/worksheets/" not in member.filename else ""
            words = re.sub(r"<[^>]+>", " ", raw) if "/worksheets/" not in member.filename else ""
            out.texts[f"{file.name}#{member.filename}"] = f"{words} {attributes}"


_READERS: dict[str, Callable[[ExportFile, Contents], None]] = {
    "csv": _read_csv, "tsv": _read_csv, "json": _read_json, "jsonl": _read_json, "txt": _read_text, "md": _read_text,
    "parquet": _read_parquet, "xlsx": _read_xlsx, "docx": _read_container,
}  # fmt: skip
