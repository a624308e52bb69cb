"""What kind of file the bytes are; names of files are not believed."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Literal

from pipelines.reading.findings import refusal
from pipelines.reading.source import Survey, blocks
from pipelines.reading.spreadsheetml import is_spreadsheetml

FileKind = Literal["text", "excel", "html", "parquet", "zip"]

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_REFUSED = {
    b"%PDF": "PDF", b"Rar!": "RAR", b"7z\xbc\xaf\x27\x1c": "7z", b"\x1f\x8b": "gzip", b"SQLite format 3": "SQLite",
    b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"{\\rtf": "RTF", b"BZh": "bzip2", b"\xfd7zXZ": "xz",
    b"<?xml": "XML", b"MIME-Version:": "MHTML", b"ORC": "ORC", b"Obj\x01": "Avro", b"ARROW1": "Arrow",
}  # fmt: skip


_HTML = re.compile(rb"<(!doctype\s+html|html|head|body|meta|table)[\s>]", re.IGNORECASE)


def format_of(seen: Survey) -> FileKind:
    """Text, workbook, page with tables (often called .xls), Parquet or archive.

    Raises:
        UserError: empty, encrypted, or a format that is not read.
    """
    head = next(blocks(seen.path), b"")
    if not head:
        raise refusal("empty", name=seen.path.name)
    if head.startswith(b"PK"):
        return _zipped(seen)
    if head.startswith(_OLE):
        if "EncryptedPackage".encode("utf-16-le") in head:
            raise refusal("encrypted", name=seen.path.name)
        return "excel"
    if head.startswith(b"PAR1"):
        return "parquet"
    if _HTML.match(head.removeprefix(b"\xef\xbb\xbf").lstrip()[:64]):
        return "html"
    if is_spreadsheetml(head):
        return "excel"
    kind = next((kind for magic, kind in _REFUSED.items() if head.lstrip().startswith(magic)), None)
    if kind is not None:
        raise refusal("unsupported", kind=kind)
    return "text"


def _zipped(seen: Survey) -> FileKind:
    try:
        with zipfile.ZipFile(seen.path) as archive:
            names = set(archive.namelist())
    except zipfile.BadZipFile:
        raise refusal("broken_file", name=seen.path.name) from None
    if names & {"xl/workbook.xml", "xl/workbook.bin"} or {"content.xml", "mimetype"} <= names:
        return "excel"
    for mark, kind in (("word/document.xml", "DOCX"), ("ppt/presentation.xml", "PPTX")):
        if mark in names:
            raise refusal("unsupported", kind=kind)
    return "zip"


_SUFFIXES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsb", ".xlsm", ".ods"), ("excel",)),
    **dict.fromkeys((".csv", ".tsv", ".tbl"), ("csv",)),
    **dict.fromkeys((".jsonl", ".ndjson"), ("ndjson",)),
    **dict.fromkeys((".html", ".htm"), ("html",)),
    ".json": ("json", "ndjson"), ".parquet": ("parquet",),
}  # fmt: skip


def belies_name(path: Path, format_read: str | None) -> bool:
    """Whether the file's name promises another format than the one that was read."""
    return format_read not in _SUFFIXES.get(path.suffix.lower(), (format_read,))
