"""Formulas of a workbook that were saved without their value: such cells look empty and are not."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path, PurePosixPath

_SHEET = re.compile(rb"<(?:\w+:)?sheet\s[^>]*>")
_RELATION = re.compile(rb"<Relationship\s[^>]*>")
_CELL = re.compile(rb"<c\s(?:[^>]*[^>/])?>.*?</c>", re.DOTALL)
_FORMULA, _VALUE = re.compile(rb"<f[\s>/]"), re.compile(rb"<v>[^<]|<is>")
_BLOCK = 1 << 20
_LONGEST_CELL = 1 << 20


def formulas_without_value(path: Path, sheet: str) -> int:
    """Cells of an .xlsx sheet with a formula and no cached value, by one pass over the sheet's XML, memory flat.

    Programs that write workbooks without calculating leave them so; every reader then sees an empty cell (reference
    ingest, Excel). Other formats give 0: they are not written that way.
    """
    if not zipfile.is_zipfile(path):
        return 0
    try:
        with zipfile.ZipFile(path) as book:
            part = _part(book, sheet)
            return _count(book, part) if part is not None else 0
    except (KeyError, zipfile.BadZipFile):
        return 0


def _part(book: zipfile.ZipFile, sheet: str) -> str | None:
    """The archive's member that holds the sheet of that name."""
    if "xl/workbook.xml" not in book.namelist():
        return None
    wanted = {_attribute(tag, "name"): _attribute(tag, "id") for tag in _SHEET.findall(book.read("xl/workbook.xml"))}
    relation = wanted.get(sheet)
    for tag in _RELATION.findall(book.read("xl/_rels/workbook.xml.rels")):
        if _attribute(tag, "Id") == relation:
            target = _attribute(tag, "Target") or ""
            return target.lstrip("/") if target.startswith("/") else str(PurePosixPath("xl") / target)
    return None


def _attribute(tag: bytes, name: str) -> str | None:
    from html import unescape

    found = re.search(rf"""[\s:]{name}=(["'])(.*?)\1""", tag.decode("utf-8", "replace"))
    return unescape(found[2]) if found else None


def _count(book: zipfile.ZipFile, part: str) -> int:
    count, held = 0, b""
    with book.open(part) as source:
        while block := source.read(_BLOCK):
            held += block
            end = 0
            for cell in _CELL.finditer(held):
                end = cell.end()
                text = cell[0]
                count += _FORMULA.search(text) is not None and _VALUE.search(text) is None
            held = held[end:][-_LONGEST_CELL:]
    return count
