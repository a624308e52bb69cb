"""Personal data in tables and texts: the public face of detection.

Every row of a table is looked at, never a sample, for anything that has a shape; names and organisations are judged on
at most 400 distinct values. What is shown of a value is masked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import polars as pl

from sandbox.detection import canon, columns, coordinates, engine, funnel, names
from sandbox.detection.decide import ENTITY_ROWS, Decision, by_share, decide
from sandbox.detection.recognizers import ACCEPT_IN_TEXT, TABLE

_EXAMPLES: Final = 3
_LONGEST_NAME: Final = 10
_TEXT_CHUNK: Final = 100_000
_OVERLAP: Final = 200
_LONG_TEXT: Final = 1_000_000
_HAN: Final = r"[\u3400-\u4dbf\u4e00-\u9fff]"
_STRONG: Final = frozenset(row.entity for row in TABLE if row.through_disguise)


@dataclass(frozen=True, slots=True)
class EntityShare:
    """One entity in one column. `hits` counts cells, `share` is over distinct non-missing values (0–1).

    `estimated`: hits projected from the sample of names. `disguised`: distinct values in which the entity came to
    light only after decoding or after separators were removed.
    """

    entity: str
    hits: int
    share: float
    decision: Decision
    examples: list[str]
    estimated: bool = False
    disguised: int = 0


@dataclass(frozen=True, slots=True)
class ColumnScan:
    """What a column holds: cells, missing cells, distinct non-missing values, entities (highest share first)."""

    name: str
    rows: int
    missing: int
    distinct: int
    entities: list[EntityShare]

    def decided(self, *decisions: Decision) -> list[EntityShare]:
        """The entities with one of these decisions."""
        return [e for e in self.entities if e.decision in decisions]


@dataclass(frozen=True, slots=True)
class TableScan:
    """All columns of a table, in their order."""

    rows: int
    columns: list[ColumnScan]

    def column(self, name: str) -> ColumnScan:
        """The column of that name; KeyError when there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def as_dict(self) -> dict[str, Any]:
        """The form `pds detect` prints for one table (without its name)."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class TextHit:
    """One hit in a text: half-open span in the text as it was given. `view` tells how it was found: plain,
    folded (full-width or invisible characters), joined, numerals, url, hex or base64."""

    place: str
    entity: str
    start: int
    end: int
    masked: str
    view: str = "plain"

    def as_dict(self) -> dict[str, Any]:
        """The form `pds detect` prints for one hit."""
        return asdict(self)


def mask(value: str) -> str:
    """A value as evidence: Chinese text keeps its first character (姓*), other text at most the first three and last
    two characters and never more than a third of them. Anything up to four characters is hidden whole."""
    text = value.strip()
    if re.search(_HAN, text):
        return text[0] + "*" * min(3, max(1, len(text) - 1)) if re.match(_HAN, text) else "***"
    head, tail = (min(3, len(text) // 5), min(2, len(text) // 8)) if len(text) > 4 else (0, 0)
    return text[:head] + "*" * min(24, max(3, len(text) - head - tail)) + text[len(text) - tail :]


# ---- tables -------------------------------------------------------------------------------------------------------
def scan_table(frame: pl.LazyFrame | pl.DataFrame, comments: Mapping[str, str] | None = None) -> TableScan:
    """Entities in every column over all rows.

    `comments`: column name → description, used as context beside the name. Dates and booleans are not looked into;
    integers from 10⁶ and whole floats from 10¹⁰ are read as text, because identifiers hide there.
    """
    lazy, told = frame.lazy(), comments or {}
    return join_columns([_look(lazy, name, told.get(name, "")) for name in lazy.collect_schema().names()])


@dataclass(frozen=True, slots=True)
class ColumnLook:
    """What one column shows by itself: counts and masked examples. `axis` and `position` await its neighbours."""

    scan: ColumnScan
    axis: coordinates.Axis | None = None
    position: EntityShare | None = None


def scan_column(files: Sequence[str], name: str, comment: str = "") -> ColumnLook:
    """One column of a table in Parquet files, over all rows, wherever this runs; `join_columns` makes the table."""
    return _look(pl.scan_parquet(list(files)), name, comment)


def join_columns(looks: Sequence[ColumnLook]) -> TableScan:
    """The table of these columns, given in its order: coordinates are known by the columns beside each other."""
    axes = {k.scan.name: replace(k.axis, place=place) for place, k in enumerate(looks) if k.axis is not None}
    found = coordinates.positions(axes)
    scans = [_with(k.scan, k.position) if k.position and k.scan.name in found else k.scan for k in looks]
    return TableScan(scans[0].rows if scans else 0, scans)


def _look(lazy: pl.LazyFrame, name: str, comment: str) -> ColumnLook:
    column = columns.read(lazy, name, lazy.collect_schema()[name])
    scan = ColumnScan(name, column.rows, column.missing, column.distinct, _entities(column, comment))
    axis = coordinates.axis_of(name, 0, comment, column.texts)
    return ColumnLook(scan, replace(axis, hits=()), _position(column, axis)) if axis else ColumnLook(scan)


def _entities(column: columns.Column, comment: str) -> list[EntityShare]:
    if not column.distinct:
        return []
    at = column.looked_at
    context = [word for word in (column.name, comment) if word]
    found = funnel.scan_values(column.texts.gather(at), column.counts.gather(at), context)
    shares = [_pattern_share(found, entity, column.distinct) for entity in ENTITY_ROWS]
    if column.is_text:
        shares += _name_shares(column)
    return sorted((s for s in shares if s), key=lambda s: (-s.share, s.entity))


def _pattern_share(found: funnel.ColumnHits, entity: str, distinct: int) -> EntityShare | None:
    rows = ENTITY_ROWS[entity]
    decision, places = decide(found, rows, distinct)
    if not places:
        return None
    order = sorted(places)
    texts = [next(found.hits[r.name][i] for r in rows if i in found.hits.get(r.name, {})) for i in order[:_EXAMPLES]]
    disguised = set().union(*(found.disguised.get(row.name, set()) for row in rows)) & places
    cells = int(found.counts.gather(order).sum())
    share = round(len(places) / distinct, 6)
    return EntityShare(entity, cells, share, decision, [mask(t) for t in texts], disguised=len(disguised))


def _name_shares(column: columns.Column) -> list[EntityShare | None]:
    texts = column.texts
    han = texts.str.contains(_HAN)
    if not han.any():
        return []
    address = names.addresses(texts).fill_null(False).arg_true()
    shares = [_share(column, "ADDRESS", address.to_list(), list(range(column.distinct)))]
    looked, found = names.persons_and_organisations(texts.to_list())
    return shares + [_share(column, entity, places, looked) for entity, places in found.items()]


def _share(column: columns.Column, entity: str, places: list[int], looked: list[int]) -> EntityShare | None:
    """Share over the looked-at values; cells projected to the column where not all were looked at."""
    if not places:
        return None
    share = len(places) / len(looked)
    cells, seen = (int(column.counts.gather(at).sum()) for at in (places, looked))
    all_seen = len(looked) == column.distinct
    hits = cells if all_seen else round(cells * (column.rows - column.missing) / seen)
    examples = [mask(column.texts[i]) for i in places[:_EXAMPLES]]
    decision = by_share(share)
    lengths = sorted(len(column.texts[i]) for i in places)
    if entity == "PERSON" and decision == "is" and lengths[len(lengths) // 2] > _LONGEST_NAME:
        decision = "contains"  # remarks that mention people
    return EntityShare(entity, hits, round(share, 6), decision, examples, estimated=not all_seen)


def _position(column: columns.Column, axis: coordinates.Axis) -> EntityShare:
    hits = list(axis.hits)
    examples = [mask(column.texts[i]) for i in hits[:_EXAMPLES]]
    cells = int(column.counts.gather(hits).sum())
    return EntityShare("COORDINATES", cells, round(axis.share, 6), by_share(axis.share), examples)


def _with(scan: ColumnScan, share: EntityShare) -> ColumnScan:
    rest = [e for e in scan.entities if e.entity != share.entity]
    return replace(scan, entities=sorted([share, *rest], key=lambda s: (-s.share, s.entity)))


# ---- texts --------------------------------------------------------------------------------------------------------
def scan_text(text: str, place: str) -> list[TextHit]:
    """Entities in running text, in order of place; spans count characters of `text` as given.

    Patterns are looked for everywhere, and in the disguised readings of the text. Names, organisations and addresses
    are looked for in every sentence up to a million characters; in longer texts in the sentences that have a long
    number or announce a person, and in every tenth of the others.
    """
    reading = canon.canonical(text)
    names_in = "all" if len(text) <= _LONG_TEXT else "some"
    found: dict[tuple[str, int, int], str] = {}
    for offset, chunk in _chunks(reading.text):
        for hit in engine.judge(chunk, accept=ACCEPT_IN_TEXT, names=names_in):
            start, end = reading.span(offset + hit.start, offset + hit.end)
            same = text[start:end] == chunk[hit.start : hit.end]
            found.setdefault((hit.entity, start, end), "plain" if same else "folded")
        for view in canon.views(chunk):
            for hit in engine.judge(view.text, accept=ACCEPT_IN_TEXT):
                if view.strong_only and hit.entity not in _STRONG:
                    continue
                start, end = view.span(hit.start, hit.end)
                span = reading.span(offset + start, offset + end)
                if not _covered(found, hit.entity, span):
                    found[hit.entity, *span] = view.name
    hits = [TextHit(place, e, a, b, mask(text[a:b]), view) for (e, a, b), view in found.items()]
    return sorted(hits, key=lambda h: (h.start, h.end, h.entity))


def _covered(found: Mapping[tuple[str, int, int], str], entity: str, span: Sequence[int]) -> bool:
    return any(e == entity and a < span[1] and span[0] < b for e, a, b in found)


def _chunks(text: str) -> Iterator[tuple[int, str]]:
    """(offset, piece) of about 100,000 characters, cut at a line break where there is one, else with an overlap."""
    start = 0
    while start < len(text):
        end = min(len(text), start + _TEXT_CHUNK)
        cut = text.rfind("\n", start + _TEXT_CHUNK // 2, end) + 1 if end < len(text) else end
        yield start, text[start : cut or end]
        start = cut or end - _OVERLAP
