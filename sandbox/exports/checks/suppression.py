"""What is hidden stays hidden: suppressed values cannot be derived from what is shown."""

from __future__ import annotations

from typing import Any

from policies.verdict import Outcome
from sandbox.exports.checks.base import Measured, Miss, check, limited, need
from sandbox.exports.checks.cells import is_suppressed
from sandbox.exports.places import within
from sandbox.exports.subject import ExportSubject


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
        Miss(within(table.place, row=number, column=i + 1), None, parameters.min_interval_width, Outcome.REVIEW)
        for contents in subject.contents
        for table in contents.tables
        for number, row in table.lines()
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
