"""Readers of office files: what is seen, and everything a container holds beside it."""

from __future__ import annotations

import html
import posixpath
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sandbox.exports.places import member, within
from sandbox.exports.reading.archives import members
from sandbox.exports.reading.found import Found, TooMuch
from sandbox.exports.reading.plain import printable

_XML = (".xml", ".rels", ".vml", ".txt")
_PARAGRAPH = re.compile(
    r"</(?:\w+:)?(?:p|si|tr|tc|row|comment|text|title|subject|creator|keywords|description|lastModifiedBy|v|pt|lpstr)>"
    r"|<(?:\w+:)?(?:br|tab|cr)\b[^>]*>"
)
_TAG = re.compile(r"<[^>]*>")
_VALUE = re.compile(r'="([^"]*)"')
_FONT = re.compile(r'\b(?:typeface|script|panose)="[^"0-9]*[0-9]{0,4}"')
_SIZE = re.compile(r"[-+]?[0-9.]{1,10}|[0-9A-Fa-f]{6}|[A-Za-z]{1,24}")
_LAYOUT = re.compile(
    r"(?:(?:position|margin-(?:left|top)|left|top|width|height|z-index|visibility|text-align|direction|"
    r"mso-(?:direction-alt|fit-shape-to-text|width-relative|height-relative|wrap-style)):"
    r"(?:[-+]?[0-9.]{1,7}(?:pt|px|in|%)?|absolute|relative|hidden|visible|left|right|center|auto|t|f|none|page|margin)"
    r"(?:;|$))+"
)
"""Where a drawing lies: words of the format, which detection would take for names."""
_SHEET_DATA = re.compile(r"<sheetData\b.*</sheetData>", re.DOTALL)
_APART = "\n\n\n\n"
"""Between values that have nothing to do with one another: digits on its two sides are never read as one number."""
_HIDDEN_TEXT = re.compile(r"<w:(?:vanish|webHidden)(?:\s*/>|\s+w:val=\"(?:1|true|on)\")|<w:(?:del|moveFrom)\b")
_EXTERNAL = re.compile(r"<Relationship\b[^>]*TargetMode=\"External\"[^>]*>", re.IGNORECASE)
_SHEET = re.compile(r"<(?:\w+:)?sheet\b([^>]*)/?>")
_ATTRIBUTE = re.compile(r'([\w:]+)="([^"]*)"')
_NAME = re.compile(r"<(?:\w+:)?definedName\b([^>]*)>([^<]*)<")
_CELL_REFERENCE = re.compile(r"<(?:\w+:)?c\b[^>]*\br=\"([A-Z]{1,3})([0-9]{1,7})\"[^>]*>\s*<(?:\w+:)?f\b")

_BY_PLACE: tuple[tuple[str, str], ...] = (
    (r"(^|/)(threadedC|c)omments?[^/]*\.xml$|/comments/|commentsExtended", "comment"),
    (r"pivotCache/pivotCacheRecords", "pivot_cache"),
    (r"notesSlides/", "notes"), (r"^customXml/item\d*\.xml$", "custom_data"),
    (r"externalLinks/|queryTables/|(^|/)connections\.xml$", "external_link"),
    (r"(^|/)activeX/|(^|/)ctrlProps/", "script"),
)  # fmt: skip
"""Parts of which a person, or the rule, wants to know; matched on the member's name."""


def read_document(path: Path, place: str, found: Found) -> None:
    """A text document or slides: all its texts, hidden ones too, and what is embedded."""
    with zipfile.ZipFile(path) as box:
        for info, part in members(box, path, place, found):
            _part(info.filename, part, place, found)


def read_workbook(path: Path, place: str, found: Found) -> None:
    """Every sheet as a table, seen or not, then everything else in the container."""
    with zipfile.ZipFile(path) as box:
        unpacked = {info.filename: part for info, part in members(box, path, place, found)}
    if any(p.endswith("/EncryptedPackage") for p in unpacked):
        raise TooMuch("encrypted")
    sheets = _sheets(unpacked)
    if len(sheets) > found.bounds.tables:
        raise TooMuch("tables")
    _tables(path, sheets, place, found)
    for name, part in unpacked.items():
        if name.startswith("xl/worksheets/") and name.endswith(".xml"):
            _worksheet(part, next((s for s in sheets if s[2] == name), None), place, found)
        _part(name, part, place, found)


def _sheets(unpacked: dict[str, Path]) -> list[tuple[str, bool, str]]:
    """(name, hidden, member) of every sheet, in the workbook's order."""
    book = _raw(unpacked["xl/workbook.xml"])
    links = _raw(unpacked["xl/_rels/workbook.xml.rels"]) if "xl/_rels/workbook.xml.rels" in unpacked else ""
    targets = {}
    for one in re.findall(r"<Relationship\b[^>]*>", links):
        told = dict(_ATTRIBUTE.findall(one))
        targets[told.get("Id", "")] = posixpath.normpath(posixpath.join("xl", told.get("Target", "").lstrip("/")))
    found = []
    for attributes in _SHEET.findall(book):
        told = dict(_ATTRIBUTE.findall(attributes))
        target = targets.get(told.get("r:id", ""), "")
        target = target.removeprefix("xl/") if target.startswith("xl/xl/") else target
        found.append((html.unescape(told.get("name", "")), told.get("state", "visible") != "visible", target))
    return found


def _tables(path: Path, sheets: list[tuple[str, bool, str]], place: str, found: Found) -> None:
    from python_calamine import CalamineWorkbook

    book = CalamineWorkbook.from_path(str(path))
    hidden = {name for name, unseen, _ in sheets if unseen}
    for name in book.sheet_names:
        where = within(place, sheet=name)
        if name in hidden:
            found.problem("hidden_sheet", where)
        rows = iter(book.get_sheet_by_name(name).to_python(skip_empty_area=False))
        first = next(rows, None)
        if first is None:
            continue
        lines: Iterator[list[str]] = ([_cell(v) for v in row] for row in rows)
        found.table(where, [_cell(v) for v in first], lines, hidden=name in hidden)


def _cell(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)


def _worksheet(part: Path, sheet: tuple[str, bool, str] | None, place: str, found: Found) -> None:
    where = within(place, sheet=sheet[0]) if sheet else place
    raw = _raw(part)
    for column, row in _CELL_REFERENCE.findall(raw)[:50]:
        found.problem("formula", within(where, row=int(row), column=_number(column)))
    if re.search(r"<(?:\w+:)?f[ >]", raw) and not _CELL_REFERENCE.search(raw):
        found.problem("formula", where)
    if re.search(r"<(?:\w+:)?row\b[^>]*\bhidden=\"(?:1|true)\"", raw):
        found.problem("hidden_rows", where)
    if re.search(r"<(?:\w+:)?col\b[^>]*\bhidden=\"(?:1|true)\"", raw):
        found.problem("hidden_columns", where)


def _number(letters: str) -> int:
    number = 0
    for letter in letters:
        number = 26 * number + ord(letter) - 64
    return number


def _part(name: str, part: Path, place: str, found: Found) -> None:
    """One member: its text, and what kind of thing it is."""
    where = within(place, part=name)
    for pattern, code in _BY_PLACE:
        if re.search(pattern, name):
            found.problem(code, where)
    if name.lower().endswith(_XML) or name == "[Content_Types].xml":
        _xml(name, part, where, place, found)
        part.unlink()
    elif "/media/" in name or "embeddings/" in name or name.endswith(".xlsx"):
        found.problem("embedded_file", where)
        found.inner(part, name, member(place, name))
    elif name.endswith(".bin") and "printerSettings" in name:
        found.text(where, printable(part.read_bytes()))
        part.unlink()
    else:
        found.problem("embedded_object", where)
        found.inner(part, name, member(place, name))


def _xml(name: str, part: Path, where: str, place: str, found: Found) -> None:
    raw = _raw(part)
    if "<!ENTITY" in raw or "<!DOCTYPE" in raw:
        found.problem("script", where)
    for link in _EXTERNAL.findall(raw):
        if "/hyperlink" not in link:
            found.problem("external_link", where)
    if name == "word/document.xml" and _HIDDEN_TEXT.search(raw):
        found.problem("hidden_text", where)
    if name.startswith("ppt/slides/") and re.search(r"<p:sld\b[^>]*\bshow=\"(?:0|false)\"", raw):
        found.problem("hidden_slide", where)
    if name == "xl/workbook.xml":
        _defined_names(raw, place, found)
    if "DDEAUTO" in raw or re.search(r"<w:instrText[^>]*>[^<]*\bDDE", raw):
        found.problem("script", where)
    raw = _SHEET_DATA.sub("", raw) if "/worksheets/" in name else raw
    found.text(where, _APART.join([words(raw), *map(html.unescape, _values(raw))]))


def _values(raw: str) -> list[str]:
    """Values of attributes that can say something: no sizes, colours, fonts and words of the format."""
    told = dict.fromkeys(_VALUE.findall(_FONT.sub("", raw)))
    plain = (v for v in told if not v.startswith(("http://schemas.", "urn:schemas")))
    return [v for v in plain if not _SIZE.fullmatch(v) and not _LAYOUT.fullmatch(v)]


def words(raw: str) -> str:
    """The text of a document part: runs of a paragraph joined, paragraphs on lines of their own."""
    return html.unescape(_TAG.sub("", _PARAGRAPH.sub("\n", raw)))


def _defined_names(raw: str, place: str, found: Found) -> None:
    for attributes, formula in _NAME.findall(raw):
        told = dict(_ATTRIBUTE.findall(attributes))
        if told.get("hidden") in ("1", "true") or formula.lstrip().startswith(('"', "{", "&quot;")):
            found.problem("defined_name", within(place, part=f"name {html.unescape(told.get('name', ''))}"))
        if re.search(r"\[\d+\]|https?://|\|", formula):
            found.problem("external_link", within(place, part="names"))


def _raw(part: Path) -> str:
    data = part.read_bytes()
    return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", "replace")
