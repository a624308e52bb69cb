"""Reader of PDF: the text of every page, and everything a page does not show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sandbox.exports.places import member, within
from sandbox.exports.reading.found import Found, TooMuch
from sandbox.exports.reading.plain import printable

_ACTIONS = frozenset({
    "/JavaScript", "/Launch", "/SubmitForm", "/ImportData", "/GoToR", "/GoToE", "/Rendition", "/Movie", "/Sound",
    "/RichMediaExecute", "/ResetForm",
})  # fmt: skip
_MOST_PAGES, _MOST_OBJECTS = 5000, 200_000
_TAIL = 1 << 20


def read_pdf(path: Path, place: str, found: Found) -> None:
    """Pages, notes, forms, attachments, actions, metadata, all objects that nothing shows, and bytes at the end."""
    import logging

    from pypdf import PdfReader

    logging.getLogger("pypdf").disabled = True  # it quotes what it reads
    reader = PdfReader(path, strict=False)
    if reader.is_encrypted:
        raise TooMuch("encrypted")
    if len(reader.pages) > _MOST_PAGES:
        raise TooMuch("tables")
    _ends(path, place, found)
    for number, page in enumerate(reader.pages, start=1):
        where = within(place, page=number)
        found.text(where, page.extract_text())
        if "/Annots" in page:
            _notes(page["/Annots"], where, found)
        if list(page.images.keys()):
            found.problem("picture", where)
    _catalogue(reader, place, found)
    _objects(reader, place, found)
    for name, contents in reader.attachments.items():
        for n, raw in enumerate(contents):
            spot = member(place, name if n == 0 else f"{name} {n + 1}")
            found.problem("attachment", spot)
            found.unpack(len(raw))
            part = found.scratch()
            part.write_bytes(raw)
            found.inner(part, name, spot)


def _ends(path: Path, place: str, found: Found) -> None:
    """Earlier revisions stay in the file; bytes before its head or after its end belong to no page."""
    data = path.read_bytes()
    marks = data.count(b"%%EOF")
    if marks > (2 if b"/Linearized" in data[:2048] else 1):
        found.problem("revision", place)
    after = data[data.rfind(b"%%EOF") + 5 :] if marks else b""
    if after.strip(b"\0\r\n "):
        found.problem("trailing", place)
        found.text(within(place, part="trailing"), printable(after[:_TAIL]))


def _notes(annotations: Any, where: str, found: Found) -> None:
    for one in annotations.get_object():
        note = one.get_object()
        kind = str(note.get("/Subtype"))
        if kind in ("/FileAttachment", "/RichMedia", "/Movie", "/Screen", "/3D"):
            found.problem("embedded_object", where)
        elif kind == "/Widget":
            found.problem("form", where)
        elif kind not in ("/Link", "/Popup"):
            found.problem("comment", where)


def _catalogue(reader: Any, place: str, found: Found) -> None:
    root = reader.trailer["/Root"].get_object()
    if "/OCProperties" in root:
        found.problem("hidden_layer", place)
    if "/AcroForm" in root:
        found.problem("form", place)
        if "/XFA" in root["/AcroForm"].get_object():
            found.problem("script", place)
    told = reader.metadata or {}
    found.text(within(place, part="metadata"), "\n".join(f"{k} {v}" for k, v in told.items()))


def _objects(reader: Any, place: str, found: Found) -> None:
    """Every object of the file, reached from a page or not: strings are texts, actions are problems."""
    from pypdf.generic import IndirectObject

    words: list[str] = []
    numbers = [(n, g) for g, entries in reader.xref.items() for n in entries]
    numbers += [(n, 0) for n in reader.xref_objStm]
    if len(numbers) > _MOST_OBJECTS:
        raise TooMuch("members")
    for number, generation in numbers:
        if number == 0:
            continue
        words += _strings(IndirectObject(number, generation, reader).get_object(), place, found, 0)
    found.text(within(place, part="objects"), "\n".join(words))


def _strings(value: Any, place: str, found: Found, depth: int) -> Iterator[str]:
    """Strings of an object without following references, which are objects of their own."""
    from pypdf.generic import ByteStringObject, IndirectObject, StreamObject, TextStringObject

    if depth > 50 or isinstance(value, IndirectObject):
        return
    if isinstance(value, TextStringObject):
        yield str(value)
    elif isinstance(value, ByteStringObject):
        yield printable(bytes(value), 6)
    elif isinstance(value, dict):
        if value.get("/S") in _ACTIONS or "/JS" in value or "/AA" in value:
            found.problem("script", place)
        for key, one in value.items():
            yield from _strings(one, place, found, depth + 1)
            if not re.fullmatch(r"/[A-Za-z0-9+.:_-]{1,40}", str(key)):
                yield str(key)
        if isinstance(value, StreamObject) and value.get("/Subtype") not in ("/Image", "/Type1C", "/CIDFontType0C"):
            yield from _stream(value)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _strings(one, place, found, depth + 1)


def _stream(value: Any) -> Iterator[str]:
    """What a stream says in plain: metadata and forgotten text. Pages' own were read as text."""
    data = value.get_data()
    if value.get("/Type") == "/Metadata" or "/Length1" not in value:
        yield printable(data if isinstance(data, bytes) else str(data).encode("utf-8", "replace"), 11)
