"""Looking at versions and deliveries: what changed between two versions, what was refused, what the file looks like.

Raw text of a delivered file is personal data: it is shown by its shape only, and in full to those who govern the
resource when they ask for it. Every look is an audit event; the full one says so.
"""

from __future__ import annotations

import codecs
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.catalog import repository
from sandbox.catalog.repository import Delivery, ResourceColumn, ResourceVersion
from sandbox.kernel import permissions
from sandbox.kernel.unit import Unit
from sandbox.lake import Lake

MOST_ROWS = 200
_HEAD, _LINES, _WIDTH = 1 << 16, 20, 2000
"""bytes, lines and characters of a line that are shown of a file that could not be read"""
_COMPARED = ("type", "level", "sensitive", "identifier_role", "category")


@dataclass(frozen=True, slots=True)
class ColumnChange:
    """One column that both versions have, with what differs: fact → (before, after)."""

    name: str
    facts: dict[str, tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """How version `after` differs from version `before` of the same resource."""

    before: ResourceVersion
    after: ResourceVersion
    added: list[ResourceColumn]
    removed: list[ResourceColumn]
    changed: list[ColumnChange]


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """One row in quarantine: where it stood in the file, why it was refused, its text (masked unless asked for)."""

    line: int
    byte_place: int
    reason: str
    raw: str


def compare(unit: Unit, resource_id: str, before: int, after: int) -> Comparison:
    """Columns added, removed, of another type or grade, and the rows. Raises `NotFound` for an unknown version."""
    resource = repository.get(unit.session, resource_id)
    permissions.check(unit.actor, "resource:read", owner=resource.organisation_id)
    old, new = (repository.version(unit.session, resource_id, n) for n in (before, after))
    had = {c.name: c for c in repository.columns(unit.session, resource_id, before)}
    has = {c.name: c for c in repository.columns(unit.session, resource_id, after)}
    changed = [ColumnChange(n, found) for n in has if n in had and (found := _differences(had[n], has[n]))]
    return Comparison(
        old, new, [c for n, c in has.items() if n not in had], [c for n, c in had.items() if n not in has], changed
    )


def _differences(old: ResourceColumn, new: ResourceColumn) -> dict[str, tuple[Any, Any]]:
    return {f: (getattr(old, f), getattr(new, f)) for f in _COMPARED if getattr(old, f) != getattr(new, f)}


def quarantine(unit: Unit, resource_id: str, number: int, *, limit: int, offset: int, show: bool) -> list[RefusedRow]:
    """Rows that were refused when the version was read, at most `MOST_ROWS` from `offset` on.

    Only the shape of their text, unless `show`: then the text itself, which the audit log says.
    """
    resource = repository.get(unit.session, resource_id)
    permissions.check(unit.actor, "delivery:look", owner=resource.organisation_id)
    version = repository.version(unit.session, resource_id, number)
    rows: list[dict[str, Any]] = []
    if version.quarantine_version is not None:
        lake = Lake(unit.settings.lake_root)
        wanted = min(max(limit, 1), MOST_ROWS)
        rows = lake.rows_of(resource.quarantine_table, version.quarantine_version, wanted, offset)
    unit.audit("quarantine:read", "resource", resource_id, version=number, rows=len(rows), shown=show)
    return [
        RefusedRow(r["line"], r["byte_place"], r["reason"], r["raw"] if show else shape(r["raw"] or "")) for r in rows
    ]


def preview(unit: Unit, delivery_id: str, *, show: bool) -> dict[str, Any] | None:
    """The head of a delivered file, raw beside parsed; by its shape only, unless `show`.

    What could not be read at all shows its first lines as text. None when there is nothing to look at: the delivery is
    settled, or its file is no text.
    """
    delivery = repository.delivery(unit.session, delivery_id)
    permissions.check(unit.actor, "delivery:look", owner=delivery.organisation_id)
    found = delivery.preview or _head(unit, delivery)
    if found is None:
        return None
    lines = found["lines"]
    unit.audit("delivery:look", "delivery", delivery.id, resource=delivery.resource_id, lines=len(lines), shown=show)
    return {"decisions": found["decisions"], "lines": lines if show else [_masked(line) for line in lines]}


def _head(unit: Unit, delivery: Delivery) -> dict[str, Any] | None:
    """The first lines of a text file whose reading stopped with a question, by the encoding that fits them."""
    path = unit.settings.inbox / delivery.file_sha256
    if delivery.state != "needs_recipe" or not path.exists():
        return None
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if b"\0" in head:
        return None
    encoding = "utf-8" if _is_utf8(head) else "gb18030"
    lines = head.decode(encoding, errors="replace").splitlines()[:_LINES]
    shown = [{"line": n, "role": "", "raw": line[:_WIDTH], "cells": []} for n, line in enumerate(lines, 1)]
    return {"decisions": {}, "lines": shown}


def _is_utf8(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def _masked(line: Mapping[str, Any]) -> dict[str, Any]:
    """A line of the preview without values; titles and headers are the file's words about itself and stay."""
    if line["role"] in ("preamble", "header"):
        return dict(line)
    return {
        **line, "raw": shape(line["raw"] or ""), "cells": [shape(str(cell or "")) for cell in line["cells"] or ()]
    }  # fmt: skip


def shape(raw: str) -> str:
    """Text with every digit as 0, every Latin letter as a, every other letter as 某; signs and spaces stay.

    Enough to see delimiters, quotes and widths, too little to know anybody.
    """
    return "".join(map(_shape_of, unicodedata.normalize("NFC", raw)))


def _shape_of(sign: str) -> str:
    kind = unicodedata.category(sign)
    if kind[0] == "N":
        return "0"
    if kind[0] in "LM":
        return "a" if sign.isascii() else "某"
    return sign
