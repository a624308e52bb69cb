"""What the XML of a workbook tells before any library loads it: its extent, and cells that only look empty."""

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
_ODS_TAG = re.compile(rb"<(/?)table:(table|table-row|table-cell|covered-table-cell)(\s[^>]*)?>|<text:p[\s>]")
_ROWS, _COLUMNS = rb'table:number-rows-repeated="(\d{1,9})"', rb'table:number-columns-repeated="(\d{1,9})"'
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


def largest_ods_table(path: Path) -> int:
    """Rows × columns of the largest table of an .ods: a tag that repeats a cell a billion times is a few bytes."""
    with zipfile.ZipFile(path) as book:
        if "content.xml" not in book.namelist():
            return 0
        table = _OdsTable()
        with book.open("content.xml") as source:
            held = b""
            while block := source.read(_BLOCK):
                held += block
                end = 0
                for tag in _ODS_TAG.finditer(held):
                    end = tag.end()
                    table.take(tag)
                held = held[end:][-_LONGEST_CELL:]
    return table.largest


class _OdsTable:
    """Counts like a reader that keeps every row and cell up to the last one with something in it."""

    def __init__(self) -> None:
        self.largest = self.rows = self.width = 0
        self.row = self.column = self.repeat = 0

    def take(self, tag: re.Match[bytes]) -> None:
        closing, name, attributes = tag[1] == b"/", tag[2], tag[3] or b""
        if name is None:
            # Text: the cell it stands in, and all before it, are kept.
            self.rows, self.width = self.row + self.repeat, max(self.width, self.column)
            self.largest = max(self.largest, self.rows * self.width)
        elif name == b"table" and not closing:
            self.rows = self.width = self.row = self.column = self.repeat = 0
        elif name == b"table-row" and not closing:
            self.row += self.repeat
            self.column, self.repeat = 0, _repeated(_ROWS, attributes)
        elif name in (b"table-cell", b"covered-table-cell") and not closing:
            self.column += _repeated(_COLUMNS, attributes)


def _repeated(attribute: bytes, attributes: bytes) -> int:
    found = re.search(attribute, attributes)
    return int(found[1]) if found else 1


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
