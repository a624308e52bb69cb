"""The product against everything released before: pairs and linear combinations."""

from __future__ import annotations

from typing import Any

from policies.verdict import Outcome
from sandbox.exports.checks.base import Measured, Miss, check, limited, need, not_assessed
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
