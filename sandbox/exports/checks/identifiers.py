"""Identifiers: anywhere in the request, and any value that leads back to one of the source."""

from __future__ import annotations

from typing import Any

from policies.verdict import Outcome
from sandbox.exports.checks.base import Measured, Miss, check, limited, need, not_assessed
from sandbox.exports.places import within
from sandbox.exports.subject import CannotRun, ExportSubject, looked_up


@check("identifiers_anywhere")
def identifiers_anywhere(subject: ExportSubject, parameters: Any) -> Measured:
    """No direct identifier in cells, headers, names, metadata or typed texts; hits that look like chance go to a
    person."""
    return _hits(subject, parameters, chance=Outcome.REVIEW)


@check("possible_identifiers")
def possible_identifiers(subject: ExportSubject, parameters: Any) -> Measured:
    """Names, addresses and numbers without a check digit: a person decides; hits that look like chance do not count."""
    return _hits(subject, parameters, chance=None)


def _hits(subject: ExportSubject, parameters: Any, chance: Outcome | None) -> Measured:
    wanted = set(parameters.entities)
    hits = [h for h in subject.hits.found if h.entity in wanted and (h.certain or chance)]
    misses = [
        Miss(h.place, h.count, parameters.max_hits, None if h.certain else chance, f"{h.entity} {h.masked}")
        for h in hits
    ]
    return Measured(sum(h.count for h in hits if h.certain), parameters.max_hits, limited(misses))


@check("join_back")
def join_back(subject: ExportSubject, parameters: Any) -> Measured:
    """No released value equals a source identifier, raw or under any listed encoding or unsalted digest."""
    if subject.match is None and subject.lane == "file":
        return not_assessed(subject.files[0].name if subject.files else "request")
    found = need(subject.match, "match with the source").identifiers
    missing = [e for e in parameters.encodings if e not in found]
    if missing:
        raise CannotRun(f"encoding {missing[0]}")
    misses = [Miss(f"values#encoding={e}", found[e], parameters.max_values) for e in parameters.encodings if found[e]]
    return Measured(sum(found[e] for e in parameters.encodings), parameters.max_values, tuple(misses))


@check("split_identifiers")
def split_identifiers(subject: ExportSubject, parameters: Any) -> Measured:
    """No adjacent columns that are an identifier of the source when their cells are written together."""
    if subject.match is None and subject.lane == "file":
        return not_assessed(subject.files[0].name if subject.files else "request")
    found = [s for s in need(subject.match, "match with the source").split if s.rows > parameters.max_rows]
    tables = looked_up(subject)
    misses = [
        Miss(within(tables[one.table].place, column=one.columns[0] + 1), one.rows, parameters.max_rows,
             evidence=f"columns {one.columns[0] + 1}–{one.columns[-1] + 1}, {one.looked} rows looked at")
        for one in found
    ]  # fmt: skip
    return Measured(max((one.rows for one in found), default=0), parameters.max_rows, limited(misses))
