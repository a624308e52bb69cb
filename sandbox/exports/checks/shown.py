"""Charts and reports by the numbers they show, models by what they store.

No evidence is behind any of them, so that a person looks in any case; what the numbers themselves say blocks before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.verdict import Outcome
from sandbox.exports.checks.base import Measured, Miss, check, limited
from sandbox.exports.checks.cells import extreme_names, least, small_numbers, whole_columns
from sandbox.exports.checks.proofs import unrounded
from sandbox.exports.contents import Contents, Table, is_model
from sandbox.exports.places import within
from sandbox.exports.reading.pictures import DATA
from sandbox.exports.subject import ExportSubject

PICTURES = frozenset({"png", "jpg"})
DOCUMENTS = frozenset({"docx", "pptx", "xlsx", "pdf", "html", "ipynb"})
"""Forms that may hold a picture which is no chart: whether it is one, a person sees."""
STORES_ROWS = frozenset({"SVMClassifier", "SVMRegressor"})
"""Operators that work by keeping rows of the data they were fitted to."""


@check("charts")
def charts(subject: ExportSubject, parameters: Any) -> Measured:
    """A picture comes with the table it was drawn from (R20): inside it, or beside it under the same name. That table,
    and every table of a report, shows no count below `threshold` and none that is not rounded to `base`; extremes, and
    points that say no count, go to a person."""
    drawn = [table for one in subject.contents for _, found in _pictures(one, subject) for table in found]
    misses = [
        Miss(place, "no table", None, severity, about="data")
        for one in subject.contents for place, found in _pictures(one, subject) if not found
        for severity in [Outcome.REVIEW if _in_document(one, place) else None]
    ]  # fmt: skip
    charted = tuple(table.place for table in drawn)  # of a report's tables only what is surely a count is judged
    tables = [t for one in subject.contents for t in one.tables if t in drawn or _in_report(subject, t)]
    for found in (small_numbers(tables, parameters.threshold), unrounded(tables, parameters.base),
                  extreme_names(tables, parameters.threshold)):  # fmt: skip
        misses += [m for m in found.misses if m.severity is None or m.place.startswith(charted)]
    counted = {table.place for table, _, surely, _ in whole_columns(drawn) if surely}
    misses += [Miss(t.place, "no count", None, Outcome.REVIEW, about="points") for t in drawn if t.place not in counted]
    return Measured(len(misses), 0, limited(misses))


def _pictures(contents: Contents, subject: ExportSubject) -> Iterator[tuple[str, list[Table]]]:
    """(place, tables it was drawn from) of every picture in a file."""
    for place, kind in {contents.place: contents.kind, **contents.parts}.items():
        if kind in PICTURES:
            stem = place.rpartition(".")[0]
            yield place, [
                t for one in subject.contents for t in one.tables
                if t.place == within(place, part=DATA) or (t.place.rpartition(".")[0] == stem and not t.hidden)
            ]  # fmt: skip


def _in_document(contents: Contents, place: str) -> bool:
    outer = place.rpartition("!")[0]
    kind = contents.kind if outer in ("", contents.place) else contents.parts.get(outer)
    return kind in DOCUMENTS


def _in_report(subject: ExportSubject, table: Table) -> bool:
    """Whether the table is one that readers of a report see."""
    return subject.form == "report" and not table.hidden and not is_model(table)


@check("models")
def models(subject: ExportSubject, parameters: Any) -> Measured:
    """A model has few fitted values for the entities of its source (R8, R19): at most `max_share` of them and
    `min_residual` fewer; no tree with more leaves than give each of them `min_leaf` entities, and no leaf that says it
    has fewer; no operator that keeps rows. How well a model tells who it was fitted to is not measured."""
    entities = subject.records.entities if subject.records else None
    misses, most = [], 0
    for table in (t for contents in subject.contents for t in contents.tables if is_model(t)):
        parts = [_part(row) for _, row in table.lines()]
        fitted = sum(values for operator, values, leaves, _ in parts if leaves is None)
        most = max(most, fitted)
        misses += [Miss(table.place, operator, None, about="rows") for operator, *_ in parts if operator in STORES_ROWS]
        fewest = least(*(samples for *_, samples in parts))
        if fewest is not None and fewest < parameters.min_leaf:
            misses.append(Miss(table.place, fewest, parameters.min_leaf, about="leaf"))
        if not entities:
            misses.append(Miss(table.place, "entities not known", None, Outcome.REVIEW, about="entities"))
            continue
        if fitted > parameters.max_share * entities or entities - fitted < parameters.min_residual:
            misses.append(Miss(table.place, fitted, round(parameters.max_share * entities)))
        leaves = max((n for _, _, n, _ in parts if n is not None), default=0)
        if leaves * parameters.min_leaf > entities:
            misses.append(Miss(table.place, leaves, entities // parameters.min_leaf, about="leaf"))
    return Measured(most, entities, limited(misses))


def _part(row: tuple[str, ...]) -> tuple[str, int, int | None, int | None]:
    """(operator, stored values, leaves of the largest tree, samples of the smallest leaf)."""
    operator, values, leaves, samples = row
    return operator, int(values), int(leaves) if leaves else None, int(samples) if samples else None
