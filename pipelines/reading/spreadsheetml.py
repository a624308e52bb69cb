"""Workbooks in SpreadsheetML 2003: one XML file, usually called .xls, that many government systems export.

Read by expat as a stream. A document type is refused as a whole, so no entity can be declared, nor expand.
Source of the format: Microsoft, "XML Spreadsheet Reference" (Office 2003).
"""

from __future__ import annotations

import codecs
import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn
from xml.parsers import expat

from pipelines.reading.findings import refusal
from pipelines.reading.limits import MAX_SHEET_CELLS, refuse_wide
from pipelines.reading.sheetxml import SheetFacts

_SPACE = "urn:schemas-microsoft-com:office:spreadsheet"
_NAMED_WITHIN = 8192  # bytes in which the root element stands
_MOST_ROWS = 1_048_576  # of any sheet of Excel
_BLOCK = 1 << 20
_ENCODING = re.compile(rb"""^<\?xml[^>]*?\sencoding=["']([A-Za-z0-9._-]+)["']""")
_WHOLE = re.compile(r"-?[0-9]+")
_EPOCH = dt.date(1899, 12, 31)
"""the day that a time of day without a date is written with"""


def is_spreadsheetml(head: bytes) -> bool:
    """Whether a file that begins so is a workbook in SpreadsheetML 2003."""
    start = head[:_NAMED_WITHIN].removeprefix(codecs.BOM_UTF8).lstrip()
    return start.startswith(b"<?xml") and _SPACE.encode() in start


@dataclass(slots=True)
class Sheet:
    """The cells of a worksheet, to be had in the form in which calamine gives them; whole numbers stay as they are
    written. Only cells that hold something are kept: a sheet of few cells may reach far."""

    name: str
    visible: bool = True
    height: int = 0
    width: int = 0
    merged_cell_ranges: list[tuple[tuple[int, int], tuple[int, int]]] = field(default_factory=list)
    facts: SheetFacts = field(default_factory=SheetFacts)
    _cells: dict[int, dict[int, Any]] = field(default_factory=dict)

    def to_python(self, *, skip_empty_area: bool) -> list[list[Any]]:
        """All cells from the first one of the sheet on, every row as wide as the widest."""
        places, empty = range(self.width), dict[int, Any]()
        rows = (self._cells.get(row, empty) for row in range(self.height))
        return [[cells.get(place, "") for place in places] if cells else [""] * self.width for cells in rows]

    def put(self, row: int, column: int, value: Any) -> None:
        """Raises `reading.too_many_columns`, `reading.too_many_cells`."""
        refuse_wide(column + 1)
        self.height, self.width = max(self.height, row + 1), max(self.width, column + 1)
        if self.height > _MOST_ROWS or self.height * self.width > MAX_SHEET_CELLS:
            cells = self.height * self.width
            raise refusal("too_many_cells", sheet=self.name, n=f"{cells:,}", limit=f"{MAX_SHEET_CELLS:,}")
        self._cells.setdefault(row, {})[column] = value

    def keep_merges_inside(self) -> None:
        """End merged cells with the last row: rows below hold nothing."""
        last = self.height - 1
        self.merged_cell_ranges = [(a, (min(row, last), column)) for a, (row, column) in self.merged_cell_ranges]


def sheets(path: Path) -> dict[str, Sheet]:
    """The worksheets by name.

    Raises:
        UserError: `reading.broken_file`, `reading.unsupported` (a document type), `reading.too_many_…`.
    """
    taken = _Workbook()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = taken.start, taken.end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = taken.text, _refuse_doctype
    try:
        for block in _texts(path):
            parser.Parse(block, False)
        parser.Parse("", True)
    except (expat.ExpatError, UnicodeError, LookupError):
        raise refusal("broken_file", name=path.name) from None
    return {sheet.name: sheet for sheet in taken.sheets}


def _refuse_doctype(*_: Any) -> NoReturn:
    raise refusal("unsupported", kind="XML (DOCTYPE)")


def _texts(path: Path) -> Iterator[str]:
    """The file decoded as its XML declaration says: expat itself knows no Chinese encoding."""
    with path.open("rb") as file:
        block = file.read(_BLOCK).removeprefix(codecs.BOM_UTF8).lstrip()
        found = _ENCODING.match(block)
        named = found[1].decode().lower() if found else "utf-8"
        decoder = codecs.getincrementaldecoder("gb18030" if named in ("gb2312", "gbk") else named)()
        while block:
            yield decoder.decode(block)
            block = file.read(_BLOCK)
        yield decoder.decode(b"", final=True)


class _Workbook:
    """Takes the elements in the order of the file; numbers of rows and cells count on unless an index is given."""

    def __init__(self) -> None:
        self.sheets: list[Sheet] = []
        self._row = self._next_row = self._column = self._next_column = 0
        self._kind: str | None = None
        self._said: list[str] | None = None
        self._formula = self._aside = False

    def start(self, tag: str, given: dict[str, str]) -> None:
        name = tag.rpartition(" ")[2]
        if name == "Visible" and self.sheets:
            self._said = []
        elif not tag.startswith(f"{_SPACE} "):
            return
        elif name == "Worksheet":
            self.sheets.append(Sheet(self._free(_given(given, "Name") or str(len(self.sheets) + 1))))
            self._next_row = 0
        elif name == "Row":
            self._row = _number(given, "Index", self._next_row + 1) - 1
            self._next_row, self._next_column = self._row + 1 + _number(given, "Span", 0), 0
        elif name == "Cell":
            self._cell(given)
        elif name == "Comment":
            self._aside = True
        elif name == "Data" and not self._aside:
            self._kind, self._said = _given(given, "Type") or "String", []

    def _free(self, name: str) -> str:
        """A name that no sheet before has: of two with one name neither may be lost."""
        taken = {sheet.name for sheet in self.sheets}
        return name if name not in taken else self._free(f"{name} ({len(taken) + 1})")

    def _cell(self, given: dict[str, str]) -> None:
        self._column = _number(given, "Index", self._next_column + 1) - 1
        across, down = _number(given, "MergeAcross", 0), _number(given, "MergeDown", 0)
        self._next_column = self._column + 1 + across
        self._formula = bool(_given(given, "Formula"))
        if across or down:
            ends = self._row + down, self._column + across
            self.sheets[-1].merged_cell_ranges.append(((self._row, self._column), ends))

    def text(self, said: str) -> None:
        if self._said is not None:
            self._said.append(said)

    def end(self, tag: str) -> None:
        name = tag.rpartition(" ")[2]
        if name == "Visible" and self._said is not None and self._kind is None:
            self.sheets[-1].visible = not "".join(self._said).strip().startswith("Sheet")
            self._said = None
        elif not tag.startswith(f"{_SPACE} "):
            return
        elif name == "Worksheet":
            self.sheets[-1].keep_merges_inside()
        elif name == "Comment":
            self._aside = False
        elif name == "Data" and self._kind is not None:
            self._take(self._kind, "".join(self._said or ()))
            self._kind = self._said = None
            self._formula = False
        elif name == "Cell" and self._formula:
            self.sheets[-1].facts.empty_formulas += 1

    def _take(self, kind: str, said: str) -> None:
        if kind == "Error":
            self.sheets[-1].facts.errors += 1
        elif said:
            self.sheets[-1].put(self._row, self._column, _value(kind, said))


def _given(attributes: dict[str, str], name: str) -> str:
    """An attribute of the format; some programs leave its prefix out."""
    return attributes.get(f"{_SPACE} {name}") or attributes.get(name) or ""


def _number(attributes: dict[str, str], name: str, default: int) -> int:
    """A count, or a place from 1 on; without it or where it is none, `default`."""
    said = _given(attributes, name)
    return max(int(said), min(default, 1)) if said.isdecimal() and len(said) < 10 else default


def _value(kind: str, said: str) -> Any:
    """A cell by its type; what is not written as its type should be stays as it is written."""
    try:
        if kind == "Number":
            return said if _WHOLE.fullmatch(said) else float(said)
        if kind == "DateTime":
            moment = dt.datetime.fromisoformat(said)
            return moment.time() if moment.date() <= _EPOCH else moment
    except ValueError:
        return said
    return said == "1" if kind == "Boolean" and said in ("0", "1") else said
