"""What the XML of an .xlsx sheet tells before any library loads it: its extent, and formulas without their value."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path, PurePosixPath

_SHEET = re.compile(rb"<(?:\w+:)?sheet\s[^>]*>")
_RELATION = re.compile(rb"<Relationship\s[^>]*>")
_CELL = re.compile(rb"<c(?:\s[^>]*[^>/])?>.*?</c>", re.DOTALL)
_PLACE = re.compile(rb'\sr="([A-Z]{1,3})(\d{1,7})"')
_FORMULA, _VALUE = re.compile(rb"<f[\s>/]"), re.compile(rb"<v>[^<]|<is>")
_ERROR = re.compile(rb'\st="e"')
_BLOCK = 1 << 20
_LONGEST_CELL = 1 << 20


@dataclass(slots=True)
class SheetFacts:
    """`rows` and `columns` reach from the first to the last cell that holds something. Two kinds of cells read as empty
    and are not: `empty_formulas` have a formula and no cached value (programs that write workbooks without calculating
    leave them so), `errors` hold `#DIV/0!` and the like."""

    rows: int = 0
    columns: int = 0
    empty_formulas: int = 0
    errors: int = 0


def sheet_facts(path: Path, sheet: str) -> SheetFacts:
    """One pass over the sheet's XML, memory flat. Other formats than .xlsx give zeros."""
    facts = SheetFacts()
    if not zipfile.is_zipfile(path):
        return facts
    top = left = 1 << 30
    bottom = right = 0
    try:
        with zipfile.ZipFile(path) as book:
            part = _part(book, sheet)
            for cell in _cells(book, part) if part is not None else ():
                facts.empty_formulas += _FORMULA.search(cell) is not None and _VALUE.search(cell) is None
                facts.errors += _ERROR.search(cell, 0, 64) is not None
                place = _PLACE.search(cell, 0, 64)
                if place is not None:
                    row, column = int(place[2]), _number(place[1])
                    top, bottom, left, right = min(top, row), max(bottom, row), min(left, column), max(right, column)
    except (KeyError, zipfile.BadZipFile):
        return facts
    if bottom:
        facts.rows, facts.columns = bottom - top + 1, right - left + 1
    return facts


def _number(letters: bytes) -> int:
    """`A` is 1, `XFD` is 16384."""
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number


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
    found = re.search(rf"""[\s:]{name}=(["'])(.*?)\1""", tag.decode("utf-8", "replace"))
    return unescape(found[2]) if found else None


def _cells(book: zipfile.ZipFile, part: str) -> Iterator[bytes]:
    """The cells that hold something, as XML."""
    held = b""
    with book.open(part) as source:
        while block := source.read(_BLOCK):
            held += block
            end = 0
            for cell in _CELL.finditer(held):
                end = cell.end()
                yield cell[0]
            held = held[end:][-_LONGEST_CELL:]
