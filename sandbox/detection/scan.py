"""Personal data in tables and texts: the public face of detection.

Every row of a table is looked at, never a sample, for anything that has a shape; names and organisations are judged on
at most 400 distinct values. What is shown of a value is masked.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import reduce
from typing import Any, Final

import polars as pl

from sandbox.detection import canon, columns, coordinates, engine
from sandbox.detection.decide import ENTITY_ROWS, IS_SHARE, Decision, by_share, decide
from sandbox.detection.found import Found
from sandbox.detection.mask import mask
from sandbox.detection.recognizers import ACCEPT_IN_TEXT, TABLE
from sandbox.detection.tally import SOLE_TRADER, ColumnTally, count

_TEXT_CHUNK: Final = 100_000
_OVERLAP: Final = 200
_LONG_TEXT: Final = 1_000_000
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


# ---- tables -------------------------------------------------------------------------------------------------------
def scan_table(frame: pl.LazyFrame | pl.DataFrame, comments: Mapping[str, str] | None = None) -> TableScan:
    """Entities in every column over all rows.

    `comments`: column name → description, used as context beside the name. Dates and booleans are not looked into;
    integers from 10⁶ and whole floats from 10¹⁰ are read as text, because identifiers hide there.
    """
    lazy, comments = frame.lazy(), comments or {}
    schema = lazy.collect_schema()
    sizes = columns.sizes(lazy, schema) if schema else {}
    tallies = {
        name: _tally(columns.parts(lazy, name, dtype, sizes[name]), name, comments.get(name, ""))
        for name, dtype in schema.items()
    }
    return summarise(tallies, comments)


def tally_column(frame: pl.LazyFrame, name: str, comment: str = "") -> ColumnTally:
    """What is counted in one column over all rows: the part of `scan_table` that can run anywhere."""
    only = frame.select(name)
    schema = only.collect_schema()
    return _tally(columns.parts(only, name, schema[name], columns.sizes(only, schema)[name]), name, comment)


def scan_column(files: Sequence[str], name: str, comment: str = "") -> ColumnTally:
    """As `tally_column`, of a table in Parquet files; a process elsewhere needs nothing but their paths."""
    return tally_column(pl.scan_parquet(list(files)), name, comment)


def _tally(parts: Iterable[columns.Column], name: str, comment: str) -> ColumnTally:
    context = [word for word in (name, comment) if word]
    # A part is a random share of the distinct values: the first will do for the sample of names.
    return reduce(operator.add, (count(part, context, names_too=not n) for n, part in enumerate(parts)))


def summarise(tallies: Mapping[str, ColumnTally], comments: Mapping[str, str] | None = None) -> TableScan:
    """The scan of a table from the tallies of its columns, in their order."""
    comments = comments or {}
    axes: dict[str, coordinates.Axis] = {}
    for place, (name, tally) in enumerate(tallies.items()):
        if axis := coordinates.axis_of(name, place, comments.get(name, ""), tally.axes, tally.distinct):
            axes[name] = axis
    positions = coordinates.positions(axes)
    scans = [
        ColumnScan(name, tally.rows, tally.missing, tally.distinct, _entities(tally, positions.get(name)))
        for name, tally in tallies.items()
    ]
    return TableScan(scans[0].rows if scans else 0, scans)


def _entities(tally: ColumnTally, axis: coordinates.Axis | None) -> list[EntityShare]:
    shares = [_pattern_share(tally, entity) for entity in ENTITY_ROWS] if tally.distinct else []
    found = {share.entity: share for share in (*shares, *_name_shares(tally)) if share}
    if (codes := found.get("CN_USCC")) and (traders := tally.patterns.found(SOLE_TRADER, ["CN_USCC"])).values:
        share = traders.values / tally.distinct
        decision: Decision = "contains" if codes.decision == "is" and share < IS_SHARE else codes.decision
        found[SOLE_TRADER] = _share(SOLE_TRADER, traders, share, decision)
    if axis:
        found["COORDINATES"] = _share("COORDINATES", tally.axes[axis.axis], axis.share, by_share(axis.share))
    return sorted(found.values(), key=lambda s: (-s.share, s.entity == SOLE_TRADER, s.entity))


def _share(entity: str, found: Found, share: float, decision: Decision) -> EntityShare:
    examples = list(found.examples)
    return EntityShare(entity, found.cells, round(share, 6), decision, examples, disguised=found.disguised)


def _pattern_share(tally: ColumnTally, entity: str) -> EntityShare | None:
    decision, found = decide(tally.patterns, entity, tally.distinct)
    return _share(entity, found, found.values / tally.distinct, decision) if found.values else None


def _name_shares(tally: ColumnTally) -> Iterator[EntityShare]:
    if tally.addresses.values:
        share = tally.addresses.values / tally.distinct
        yield _share("ADDRESS", tally.addresses, share, by_share(share))
    sample = tally.names
    for entity, found in sample.found.items():
        if not found.values:
            continue
        share = found.values / sample.looked
        decision = by_share(share)
        if entity == "PERSON" and decision == "is" and sample.long_persons > found.values / 2:
            decision = "contains"  # remarks that mention people
        estimated = sample.looked < tally.distinct
        cells = round(found.cells * (tally.rows - tally.missing) / sample.cells) if estimated else found.cells
        yield replace(_share(entity, replace(found, cells=cells), share, decision), estimated=estimated)


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
