"""The product against everything released before: pairs, linear combinations, suppressed values."""

from __future__ import annotations

from typing import Any

from policies.verdict import Outcome
from sandbox.exports.checks.base import Measured, Miss, check, limited, need, not_assessed
from sandbox.exports.checks.cells import is_suppressed
from sandbox.exports.closure import closure
from sandbox.exports.differencing import near_pairs, severity
from sandbox.exports.history import COUNT, ReleasedCell, cells_of
from sandbox.exports.subject import ExportSubject


def _cells(subject: ExportSubject) -> tuple[tuple[ReleasedCell, ...], tuple[ReleasedCell, ...]]:
    """The cells of this product and those of the history."""
    spec, evidence = subject.need_evidence()
    base = need(subject.rounding_base, "rounding base")
    cells = cells_of(spec, evidence, release="this", base=base, hidden=subject.hidden)
    history = need(subject.history, "history")
    return tuple(c for c in cells if c.seen), tuple(c for c in history if c.seen)


@check("differencing")
def differencing(subject: ExportSubject, parameters: Any) -> Measured:
    """No released cell differs from another by fewer than `threshold` entities (R11); a spent budget goes to a
    person."""
    if subject.by_file:
        return not_assessed("history")
    new, old = _cells(subject)
    pairs = near_pairs(new, old, threshold=parameters.threshold, budget=parameters.pair_budget)
    misses = []
    for pair in pairs.found:
        outcome = severity(pair, parameters.threshold)
        if outcome is not Outcome.PASS:
            kind = "nested" if pair.nested else "overlap"
            note = f"{kind} with {pair.other.release} {pair.other.place}"
            strict = None if outcome is Outcome.BLOCK else outcome
            misses.append(Miss(pair.new.place, pair.distance, parameters.threshold, strict, note))
    if not pairs.complete:
        misses.append(Miss("history", pairs.compared, parameters.pair_budget, Outcome.REVIEW, "budget spent"))
    smallest = min((p.distance for p in pairs.found), default=None)
    return Measured(smallest, parameters.threshold, limited(list(dict.fromkeys(misses))))


@check("linear_closure")
def linear_closure(subject: ExportSubject, parameters: Any) -> Measured:
    """No sum or difference of several released cells isolates fewer than `threshold` entities (single sets and pairs).

    Where every count is rounded the combination is not exact: a person decides. A spent budget goes to a person too.
    """
    if subject.by_file:
        return not_assessed("history")
    new, old = _cells(subject)
    result = closure(new, old, threshold=parameters.threshold, seconds=parameters.budget_seconds)
    rounded = all(c.low is not None and c.low < c.high for c in (*new, *old) if c.variable == COUNT)  # type: ignore[operator]
    misses = [
        Miss("history", e.entities, parameters.threshold, Outcome.REVIEW if rounded and e.variable == COUNT else None)
        for e in result.exposures
    ]
    if not result.complete:
        misses.append(Miss("history", None, parameters.budget_seconds, Outcome.REVIEW, "budget spent"))
    smallest = min((e.entities for e in result.exposures), default=None)
    return Measured(smallest, parameters.threshold, limited(misses))


@check("suppression_audit")
def suppression_audit(subject: ExportSubject, parameters: Any) -> Measured:
    """Suppressed values cannot be derived from totals. Where the platform hides cells, a person decides unless nothing
    released adds up to them; a file alone that hides some goes to a person."""
    width = parameters.min_interval_width
    if not subject.by_file:
        hidden = len(subject.judged()[0].hidden)
        safe = not hidden or _nothing_adds_up(subject)
        return Measured(hidden, width, () if safe else (Miss("request", hidden, width, Outcome.REVIEW),))
    misses = [
        Miss(f"{table.place}#row={number};column={i + 1}", None, parameters.min_interval_width, Outcome.REVIEW)
        for contents in subject.contents
        for table in contents.tables
        for number, row in enumerate(table.rows, start=1)
        for i, cell in enumerate(row)
        if is_suppressed(cell)
    ]
    return Measured(len(misses), parameters.min_interval_width, limited(misses))


def _nothing_adds_up(subject: ExportSubject) -> bool:
    """Whether hidden rows are hidden whole and no total, share, reference or earlier release could give them back."""
    spec, evidence = subject.need_evidence()
    earlier = need(subject.history, "history")
    rows: dict[int, set[str]] = {}
    for row, measure in subject.hidden:
        rows.setdefault(row, set()).add(measure)
    whole = all(measures == set(spec.measures) for measures in rows.values())
    sums = len(set(evidence.groupings)) > 1 or evidence.references or not evidence.dimensions
    shares = any(measure.op == "share_of_margin" for measure in spec.measures.values())
    return whole and not (sums or shares or earlier)
