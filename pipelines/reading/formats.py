"""What kind of file the bytes are; names of files are not believed."""

from __future__ import annotations

import zipfile
from typing import Literal

from pipelines.reading.findings import refusal
from pipelines.reading.source import Survey, blocks

FileKind = Literal["text", "excel", "parquet", "zip"]

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_REFUSED = {
    b"%PDF": "PDF", b"Rar!": "RAR", b"7z\xbc\xaf\x27\x1c": "7z", b"\x1f\x8b": "gzip", b"SQLite format 3": "SQLite",
    b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"{\\rtf": "RTF", b"BZh": "bzip2", b"\xfd7zXZ": "xz",
    b"<!DOCTYPE": "HTML", b"<html": "HTML", b"<?xml": "XML", b"ORC": "ORC", b"Obj\x01": "Avro", b"ARROW1": "Arrow",
}  # fmt: skip


def format_of(seen: Survey) -> FileKind:
    """Text, workbook, Parquet or archive.

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
