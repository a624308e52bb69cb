"""Personal data anywhere in a request: cells, headers, file and sheet names, metadata, typed texts. Looked for once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.exports.places import within

if TYPE_CHECKING:
    from sandbox.exports.contents import Table
    from sandbox.exports.subject import ExportSubject


@dataclass(frozen=True, slots=True)
class Hit:
    """An entity at a place. `certain` is false where detection takes the hits for chance. `masked` shows no value."""

    place: str
    entity: str
    count: int
    certain: bool
    masked: str


@dataclass(frozen=True, slots=True)
class Hits:
    """All hits, and the names of files and sheets that hold one: such a name is never shown."""

    found: tuple[Hit, ...]
    unshowable: frozenset[str]


def scan(subject: ExportSubject) -> Hits:
    """Every hit in the request. Columns the platform computed itself hold numbers only and are left out."""
    from sandbox.detection.scan import scan_text

    found: list[Hit] = []
    texts = {f"request#{place}": text for place, text in subject.texts.items()}
    names: dict[str, str] = {}
    for number, contents in enumerate(subject.contents, start=1):
        names[f"file {number}#name"] = contents.name
        names |= {f"file {number}#part={n}": place for n, place in enumerate(contents.parts, start=1)}
        texts |= contents.texts
        for n, table in enumerate(contents.tables, start=1):
            texts |= {within(table.place, header=i + 1): name for i, name in enumerate(table.header) if name}
            if table.place != contents.place:
                names[f"file {number}#sheet={n}"] = table.place
            found += _cells(table, subject.measure_columns)
    for place, text in [*names.items(), *texts.items()]:
        found += [Hit(place, hit.entity, 1, True, hit.masked) for hit in scan_text(text, place)]
    named = {hit.place for hit in found}
    return Hits(tuple(found), frozenset(name for place, name in names.items() if place in named))


def _cells(table: Table, computed: frozenset[str]) -> list[Hit]:
    from sandbox.detection.scan import scan_table

    wanted = {str(i + 1): name for i, name in enumerate(table.header) if name not in computed}
    found: list[Hit] = []
    if not wanted or not table.rows:
        return found
    for column in scan_table(table.frame().select(list(wanted)), wanted).columns:
        place = within(table.place, column=column.name)
        for e in column.entities:
            certain = e.decision != "noise" or e.disguised > 0
            found.append(Hit(place, e.entity, e.hits, certain, next(iter(e.examples), "***")))
    return found
