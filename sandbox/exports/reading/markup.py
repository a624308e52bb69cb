"""Readers of web pages and notebooks."""

from __future__ import annotations

import base64
import binascii
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from sandbox.exports.places import member, within
from sandbox.exports.reading.found import Found
from sandbox.exports.reading.kinds import encoding_of

_ACTIVE = frozenset({"script", "iframe", "object", "embed", "applet", "frame", "form", "base", "portal"})
_LINKS = frozenset({"src", "href", "data", "poster", "srcset", "action", "background", "xlink:href"})
_TYPES = {"image/png": "png", "image/jpeg": "jpg", "application/pdf": "pdf", "text/html": "html", "text/csv": "csv"}
_BLOCK = frozenset({"p", "div", "tr", "td", "th", "li", "br", "h1", "h2", "h3", "h4", "h5", "h6", "table", "section"})
_UNSEEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0|opacity\s*:\s*0(?![.\d])", re.IGNORECASE
)
_LOADS = re.compile(r"@import|url\(\s*['\"]?(?!data:)|expression\(", re.IGNORECASE)


def read_html(path: Path, place: str, found: Found) -> None:
    """Texts seen and unseen, tables, comments, embedded data; anything that acts or loads is a problem."""
    page = _Page(place, found)
    page.feed(path.read_text(encoding_of(path) or "utf-8"))
    page.close()
    page.finish()


class _Page(HTMLParser):
    def __init__(self, place: str, found: Found) -> None:
        super().__init__(convert_charrefs=True)
        self.place, self.found = place, found
        self.words: list[str] = []
        self.attributes: list[str] = []
        self.comments: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.open_tables: list[list[list[str]]] = []
        self.in_cell = False
        self.embedded = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the element is, loads and hides."""
        if tag in _ACTIVE or (tag == "meta" and any(n == "http-equiv" for n, _ in attrs)):
            self.found.problem("script", within(self.place, part=f"<{tag}>"))
        if tag == "link":
            self.found.problem("external_link", within(self.place, part="<link>"))
        for name, value in attrs:
            self._attribute(tag, name, value or "")
        if tag in _BLOCK:
            self.words.append("\n")
        if tag == "table":
            self.open_tables.append([])
        elif tag == "tr" and self.open_tables:
            self.open_tables[-1].append([])
        elif tag in ("td", "th") and self.open_tables and self.open_tables[-1]:
            self.open_tables[-1][-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag: str) -> None:
        """Close a cell or a table."""
        if tag in ("td", "th", "tr"):
            self.in_cell = False
        if tag == "table" and self.open_tables:
            self.tables.append(self.open_tables.pop())

    def handle_data(self, data: str) -> None:
        """Text, also of styles."""
        self.words.append(data)
        if _LOADS.search(data) and self.lasttag == "style":
            self.found.problem("external_link", within(self.place, part="<style>"))
        if self.in_cell and self.open_tables and self.open_tables[-1] and self.open_tables[-1][-1]:
            self.open_tables[-1][-1][-1] += data

    def handle_comment(self, data: str) -> None:
        """Comments are read by nobody and travel along."""
        self.comments.append(data)

    def unknown_decl(self, data: str) -> None:
        """As a comment."""
        self.comments.append(data)

    def _attribute(self, tag: str, name: str, value: str) -> None:
        self.attributes.append(value if not value.startswith("data:") else "")
        where = within(self.place, part=f"<{tag}>")
        plain = re.sub(r"[\x00-\x20]", "", value).lower()
        if name.startswith("on") or plain.startswith(("javascript:", "vbscript:")):
            self.found.problem("script", where)
        if name == "hidden" or (name == "style" and _UNSEEN.search(value)) or (name == "type" and value == "hidden"):
            self.found.problem("hidden_text", where)
        if name == "style" and _LOADS.search(value):
            self.found.problem("external_link", where)
        if name in _LINKS and plain.startswith("data:"):
            self.embedded += 1
            _data(value, member(self.place, f"data{self.embedded}"), self.found)
        elif name in _LINKS and tag != "a" and value and not value.startswith("#"):
            self.found.problem("external_link", where)

    def finish(self) -> None:
        """Hand over what was gathered."""
        self.found.text(self.place, "".join(self.words))
        self.found.text(within(self.place, part="attributes"), "\n".join(filter(None, self.attributes)))
        if self.comments:
            self.found.problem("comment", within(self.place, part="comments"))
            self.found.text(within(self.place, part="comments"), "\n".join(self.comments))
        for number, table in enumerate([*self.tables, *self.open_tables], start=1):
            rows = [row for row in table if row]
            if len(rows) > 1:
                width = max(map(len, rows))
                even = [[*(cell.strip() for cell in row), *[""] * (width - len(row))] for row in rows]
                self.found.table(within(self.place, table=number), even[0], even[1:])


def _data(url: str, place: str, found: Found) -> None:
    head, _, body = url.partition(",")
    kind = _TYPES.get(head.removeprefix("data:").split(";")[0].strip().lower(), "txt")
    try:
        raw = base64.b64decode(body, validate=False) if "base64" in head.lower() else unquote_to_bytes(body)
    except (ValueError, binascii.Error):
        found.problem("embedded_object", place)
        return
    _bytes(raw, f"data.{kind}", place, found)


def _bytes(raw: bytes, name: str, place: str, found: Found) -> None:
    found.unpack(len(raw))
    part = found.scratch()
    part.write_bytes(raw)
    found.inner(part, name, place)


def read_notebook(path: Path, place: str, found: Found) -> None:
    """Cells, outputs in every form, attachments and metadata. Outputs may hold rows: a person looks."""
    book = json.loads(path.read_text(encoding_of(path) or "utf-8"))
    found.text(within(place, part="metadata"), json.dumps(book.get("metadata", {}), ensure_ascii=False))
    for number, cell in enumerate(book.get("cells") or (), start=1):
        where = within(place, part=f"cell {number}")
        found.text(where, _joined(cell.get("source", "")))
        rest = {k: v for k, v in cell.items() if k not in ("source", "outputs", "attachments")}
        found.text(where, json.dumps(rest, ensure_ascii=False))
        for n, output in enumerate(cell.get("outputs") or (), start=1):
            found.problem("outputs", where)
            _output(output, member(place, f"cell {number} output {n}"), found)
        for name, bundle in (cell.get("attachments") or {}).items():
            spot = member(place, f"cell {number} {name}")
            found.problem("attachment", spot)
            _bundle(bundle, spot, found)
    others = {k: v for k, v in book.items() if k not in ("cells", "metadata", "nbformat", "nbformat_minor")}
    if others:
        found.problem("custom_data", place)
        found.text(within(place, part="others"), json.dumps(others, ensure_ascii=False))


def _joined(text: Any) -> str:
    return "".join(text) if isinstance(text, list) else str(text)


def _output(output: dict[str, Any], place: str, found: Found) -> None:
    rest = {k: v for k, v in output.items() if k not in ("data", "text")}
    found.text(place, f"{_joined(output.get('text', ''))}\n{json.dumps(rest, ensure_ascii=False)}")
    _bundle(output.get("data") or {}, place, found)


def _bundle(bundle: dict[str, Any], place: str, found: Found) -> None:
    for number, (mime, content) in enumerate(bundle.items(), start=1):
        spot = f"{place} {number}"
        if mime in ("text/plain", "text/markdown", "text/latex"):
            found.text(spot, _joined(content))
        elif mime in ("application/javascript", "image/svg+xml") or "widget" in mime:
            found.problem("script", spot)
            found.text(spot, content if isinstance(content, str) else json.dumps(content, ensure_ascii=False))
        elif mime.endswith("json"):
            found.text(spot, json.dumps(content, ensure_ascii=False))
        elif mime == "text/html":
            _bytes(f"<html>{_joined(content)}".encode("utf-8", "replace"), "output.html", spot, found)
        else:
            _bytes(base64.b64decode(_joined(content)), f"output.{_TYPES.get(mime, 'bin')}", spot, found)
