"""What was counted in one part of a column; parts add up, so a column can be counted in pieces and elsewhere.

All counts are over distinct values unless they say cells: a value and its cells are always in one part
(`columns.parts`). Nothing of a value is kept but masked examples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import numpy as np
import polars as pl

from sandbox.detection import coordinates, funnel, names
from sandbox.detection.columns import Column
from sandbox.detection.found import EXAMPLES, Found
from sandbox.detection.mask import mask
from sandbox.detection.recognizers import RANK, ROWS

_LONGEST_NAME: Final = 10
_HAN: Final = r"[\u3400-\u4dbf\u4e00-\u9fff]"
_FILLED: Final = 0.6
SOLE_TRADER: Final = "CN_SOLE_TRADER"
_USCC: Final = "CN_USCC"
_TRADER: Final = "(?i)(?:^|[^0-9A-Z])92[0-9A-Z]{16}(?:[^0-9A-Z]|$)"
_APART: Final = "|"


@dataclass(frozen=True, slots=True)
class RowTally:
    """One row of the recogniser table. `hits`: values; `candidates`: values that look like it; `in_context`: hits that
    carry enough by themselves; `filled` of the `looked` at: matches that fill their cell."""

    hits: int = 0
    candidates: int = 0
    in_context: int = 0
    looked: int = 0
    filled: int = 0

    def __add__(self, other: RowTally) -> RowTally:
        return RowTally(
            self.hits + other.hits, self.candidates + other.candidates, self.in_context + other.in_context,
            self.looked + other.looked, self.filled + other.filled,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class PatternTally:
    """All patterns in a column. `groups`: an entity and the rows of it that hit (`_group`) → the values with just these
    rows.

    `id_shapes`: values of 18 characters shaped like a resident ID, valid or not.
    """

    rows: Mapping[str, RowTally] = field(default_factory=dict)
    groups: Mapping[str, Found] = field(default_factory=dict)
    id_shapes: int = 0

    def __add__(self, other: PatternTally) -> PatternTally:
        rows = {k: self.rows.get(k, RowTally()) + other.rows.get(k, RowTally()) for k in {**self.rows, **other.rows}}
        return PatternTally(rows, _added(self.groups, other.groups), self.id_shapes + other.id_shapes)

    def found(self, entity: str, rows: Iterable[str]) -> Found:
        """The values in which any of `rows` of the entity hit."""
        wanted = set(rows)
        total = Found()
        for key, found in self.groups.items():
            owner, *hit = key.split(_APART)
            if owner == entity and wanted.intersection(hit):
                total += found
        return total


@dataclass(frozen=True, slots=True)
class NameTally:
    """What the name model saw in a sample: `looked` values in `cells` cells, its findings by entity, and how many of
    the values with a person are too long for a name."""

    looked: int = 0
    cells: int = 0
    found: Mapping[str, Found] = field(default_factory=dict)
    long_persons: int = 0

    def __add__(self, other: NameTally) -> NameTally:
        return NameTally(
            self.looked + other.looked, self.cells + other.cells, _added(self.found, other.found),
            self.long_persons + other.long_persons,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ColumnTally:
    """Everything counted in a column or a part of one. `axes`: values that lie on an axis of a position, by axis."""

    rows: int
    missing: int
    distinct: int
    patterns: PatternTally
    addresses: Found
    names: NameTally
    axes: Mapping[str, Found]

    def __add__(self, other: ColumnTally) -> ColumnTally:
        return ColumnTally(
            self.rows + other.rows, self.missing + other.missing, self.distinct + other.distinct,
            self.patterns + other.patterns, self.addresses + other.addresses, self.names + other.names,
            _added(self.axes, other.axes),
        )  # fmt: skip


def _added(left: Mapping[str, Found], right: Mapping[str, Found]) -> dict[str, Found]:
    return {key: left.get(key, Found()) + right.get(key, Found()) for key in {**left, **right}}


def count(column: Column, context: Sequence[str], names_too: bool = True) -> ColumnTally:
    """All that detection counts in a column or a part of one; `context` is its name and comment.

    `names_too`: whether the name model reads a sample of it.
    """
    at = column.looked_at
    values, counts = (column.texts, column.counts) if len(at) == column.distinct else _chosen(column, at)
    patterns = _patterns(funnel.scan_values(values, counts, context))
    addresses, sample = Found(), NameTally()
    if column.is_text and column.texts.str.contains(_HAN).any():
        places = names.addresses(column.texts).fill_null(False).arg_true()
        addresses = _found(column, places)
        sample = _names(column) if names_too else sample
    axes = {axis: _found(column, at) for axis, at in coordinates.on_axes(column.texts).items()}
    return ColumnTally(column.rows, column.missing, column.distinct, patterns, addresses, sample, axes)


def _chosen(column: Column, at: pl.Series) -> tuple[pl.Series, pl.Series]:
    return column.texts.gather(at), column.counts.gather(at)


def _found(column: Column, places: pl.Series) -> Found:
    examples = tuple(mask(text) for text in column.texts.gather(places.head(EXAMPLES)))
    return Found(len(places), int(column.counts.gather(places).sum()), examples=examples)


def _names(column: Column) -> NameTally:
    looked, found = names.persons_and_organisations(column.texts)
    kinds = {entity: pl.Series(places, dtype=pl.UInt32) for entity, places in found.items()}
    long = int((column.texts.gather(kinds["PERSON"]).str.len_chars() > _LONGEST_NAME).sum())
    cells = int(column.counts.gather(pl.Series(looked, dtype=pl.UInt32)).sum())
    return NameTally(len(looked), cells, {e: _found(column, places) for e, places in kinds.items()}, long)


def _patterns(hits: funnel.ColumnHits) -> PatternTally:
    rows = {name: _row(hits, name) for name in hits.hits}
    groups: dict[str, Found] = {}
    entities: dict[str, list[str]] = {}
    for name in sorted(hits.hits, key=RANK.__getitem__):
        entities.setdefault(ROWS[name].entity, []).append(name)
    for entity, own in entities.items():
        groups.update(_groups(hits, entity, own))
    if _USCC in hits.hits:
        groups.update(_sole_traders(hits))
    return PatternTally(rows, groups, hits.id_shapes)


def _row(hits: funnel.ColumnHits, name: str) -> RowTally:
    texts = list(hits.texts[name].items())[: funnel.TEXTS_KEPT]
    lengths = hits.values.gather([place for place, _ in texts]).str.len_chars().to_list()
    filled = sum(len(text) >= _FILLED * length for (_, text), length in zip(texts, lengths, strict=True))
    known = hits.hits[name]
    return RowTally(len(known), hits.candidates.get(name, 0), hits.in_context[name], len(texts), filled)


def _group(entity: str, rows: Iterable[str]) -> str:
    """One text for an entity and some of its rows: tallies travel as JSON."""
    return _APART.join((entity, *sorted(rows)))


def _groups(hits: funnel.ColumnHits, entity: str, owned: list[str]) -> dict[str, Found]:
    """The values hit by any of the entity's rows, told apart by which of them hit."""
    disguised = np.array(sorted(set().union(*(hits.disguised.get(n, set()) for n in owned))), dtype=np.int64)
    answer = {}
    for rows, own in _by_rows(hits, owned):
        cells = int(hits.counts.gather(own).sum())
        hidden = int(np.isin(own, disguised).sum()) if len(disguised) else 0
        answer[_group(entity, rows)] = Found(len(own), cells, hidden, _examples(hits, own, rows))
    return answer


def _by_rows(hits: funnel.ColumnHits, owned: list[str]) -> Iterator[tuple[list[str], funnel.Places]]:
    """The rows that hit together, and the values in which just these did."""
    if len(owned) == 1:
        yield owned, hits.hits[owned[0]]
        return
    places = np.unique(np.concatenate([hits.hits[name] for name in owned]))
    marks = np.zeros(len(places), dtype=np.int64)
    for bit, name in enumerate(owned):
        marks[np.isin(places, hits.hits[name], assume_unique=True)] |= 1 << bit
    for mark in np.unique(marks).tolist():
        yield [name for bit, name in enumerate(owned) if mark >> bit & 1], places[marks == mark]


def _sole_traders(hits: funnel.ColumnHits) -> dict[str, Found]:
    """Credit codes of sole traders (authority 9, type 2 of GB 32100): each is one person's."""
    places = pl.Series(hits.hits[_USCC])
    traders = hits.values.gather(places).str.contains(_TRADER)
    own = places.filter(traders).to_numpy()
    if not len(own):
        return {}
    examples = _examples(hits, own, [_USCC])
    return {_group(SOLE_TRADER, [_USCC]): Found(len(own), int(hits.counts.gather(own).sum()), 0, examples)}


def _examples(hits: funnel.ColumnHits, places: funnel.Places, rows: list[str]) -> tuple[str, ...]:
    known = (
        next((hits.texts[row][i] for row in rows if i in hits.texts[row]), None)
        for i in places[: funnel.TEXTS_KEPT].tolist()
    )
    return tuple(mask(text) for text in islice((text for text in known if text), EXAMPLES))
