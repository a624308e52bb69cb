"""What is hidden stays hidden: suppressed values cannot be derived from what is shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.verdict import Outcome
from sandbox.exports.checks.base import Measured, Miss, check, limited, need
from sandbox.exports.checks.cells import is_suppressed
from sandbox.exports.hiding import Protection, may_be_negative, not_assessed, system_of
from sandbox.exports.history import ReleasedCell, cells_of_steps
from sandbox.exports.places import within
from sandbox.exports.subject import CannotRun, ExportSubject
from sandbox.exports.suppression import Audit, audit
from sandbox.exports.systems import Limits, System
from sandbox.products.budget import OverBudget


@check("suppression_audit")
def suppression_audit(subject: ExportSubject, parameters: Any) -> Measured:
    """What a reader can work out about each hidden cell, from totals, references and everything released before, is no
    narrower than its rule asks (R12). What could not be decided within the budget, and measures that are tied by no
    sum or may be negative above or below a line, go to a person; so does a file alone that hides something."""
    width = parameters.min_interval_width
    if subject.by_file:
        return _marks(subject, width)
    spec, evidence = subject.need_evidence()
    earlier = need(subject.history, "history")
    if not subject.hidden:
        return Measured(0, width)
    rows = {row for row, _ in subject.hidden}
    misses = [
        Miss(f"{spec.file_name}#column={name}", "no sum", width, Outcome.REVIEW)
        for name in not_assessed(spec, evidence, rows)
    ]
    misses += [
        Miss(f"{spec.file_name}#column={name}", "no bound", width, Outcome.REVIEW, about="negative")
        for name in may_be_negative(spec, evidence)
    ]
    if len(subject.hidden) < len(rows) * len(spec.measures):
        misses.append(Miss("request", "rows hidden in part", width, Outcome.REVIEW))
    try:
        system = reader_of(subject, rows, earlier, width)
        result = audit(system, Limits(parameters.program_budget, parameters.budget_seconds, subject.watch))
        misses += _found(subject, system, result, width)
    except OverBudget:
        misses.append(Miss("history", "over budget", width, Outcome.REVIEW))
    return Measured(len(subject.hidden), width, limited(misses))


def reader_of(subject: ExportSubject, rows: set[int], earlier: tuple[ReleasedCell, ...], width: int) -> System:
    """What a reader of this product has to solve if `rows` are hidden. Raises `OverBudget`, and `CannotRun` for
    evidence of other tables."""
    spec, evidence = subject.need_evidence()
    base = need(subject.rounding_base, "rounding base")
    if max(evidence.groupings, default=0) >= len(spec.groupings):
        raise CannotRun("groupings of this job")
    protection = subject.protection or Protection(frozenset(rows), width, 100.0, None)
    steps = cells_of_steps(evidence, release="this")
    return system_of(
        spec, evidence, rows, protection, base=base, shown=subject.shown, earlier=(*steps, *earlier)
    )  # fmt: skip


def _found(subject: ExportSubject, system: System, result: Audit, width: int) -> Iterator[Miss]:
    rows = {cell.key: cell.bundle for cell in system.cells}
    for one in result.intervals:
        if not one.safe:
            place = subject.judged()[0].cell(rows[one.cell] or 0, one.cell[0].partition("/")[0])
            severity = Outcome.REVIEW if one.state == "open" else None
            note = one.state if one.knows is None else f"{one.state}, to its only contributor beside it"
            yield Miss(place, round(one.high - one.low, 2), width, severity, note)


def _marks(subject: ExportSubject, width: int) -> Measured:
    misses = [
        Miss(within(table.place, row=number, column=i + 1), None, width, Outcome.REVIEW)
        for contents in subject.contents
        for table in contents.tables
        for number, row in table.lines()
        for i, cell in enumerate(row)
        if is_suppressed(cell)
    ]
    return Measured(len(misses), width, limited(misses))
