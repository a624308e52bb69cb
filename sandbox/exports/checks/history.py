"""The product against everything released before: pairs and linear combinations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from policies.verdict import Outcome
from sandbox.exports.checks.base import Measured, Miss, check, limited, need, not_assessed
from sandbox.exports.closure import Exposure, Term, certainty, closure
from sandbox.exports.differencing import Pairs, near_pairs, severity
from sandbox.exports.dominance import dominated
from sandbox.exports.history import ReleasedCell
from sandbox.exports.rollups import Rest, rests
from sandbox.exports.subject import ExportSubject

Cells = tuple[ReleasedCell, ...]


def _cells(subject: ExportSubject) -> tuple[Cells, Cells]:
    """The cells of this product and those of the history, hidden ones too."""
    return subject.compared, need(subject.history, "history")


def _seen(cells: Cells) -> Cells:
    return tuple(cell for cell in cells if cell.seen)


def _of_entities(cells: Cells) -> Cells:
    """Without those that are sets of records, which need no labels to be subtracted."""
    return tuple(cell for cell in cells if cell.unit == "entity")


@check("differencing")
def differencing(subject: ExportSubject, parameters: Any) -> Measured:
    """No released cell differs from another by fewer than `threshold` entities or the records of so few, nor an amount
    by what one or two entities hold (R11); nor does a cell less its parts in another table, where that hides some of
    them.

    What other merchants have seen goes to a person, as do cells that wait, a spent budget, a kind of entity whose
    history is empty though products of the same tables have left, and one whose records could not be followed or are
    too many.
    """
    if subject.by_file:
        return not_assessed("history")
    mine, history = _cells(subject)
    new, old = _seen(mine), _seen(history)
    limits = {"threshold": parameters.threshold, "budget": parameters.pair_budget}
    pairs = near_pairs(new, old, **limits, near=subject.near)
    # where nobody else has seen anything there is nothing but the new cells again
    apart = near_pairs(new, subject.elsewhere, **limits, near=subject.near) if subject.elsewhere else pairs
    misses = [*_near(pairs, parameters.threshold, None)]
    known = {(miss.place, miss.measured) for miss in misses}
    misses += [m for m in _near(apart, parameters.threshold, Outcome.REVIEW) if (m.place, m.measured) not in known]
    misses += _dominated(new, old, parameters)
    misses += _rolled_up(_of_entities(mine), _of_entities(history), parameters)
    misses += [Miss("history", kind, None, Outcome.REVIEW, about="lost") for kind in subject.lost_kinds]
    misses += [Miss("history", kind, None, Outcome.REVIEW, about="records") for kind in _not_followed(subject, old)]
    misses += [Miss("history", kind, None, Outcome.REVIEW, about="unread") for kind in subject.unread_kinds]
    if not (pairs.complete and apart.complete):
        misses.append(Miss("history", pairs.compared, parameters.pair_budget, Outcome.REVIEW, "budget spent"))
    smallest = min((p.distance for p in pairs.found), default=None)
    return Measured(smallest, parameters.threshold, limited(list(dict.fromkeys(misses))))


def _not_followed(subject: ExportSubject, old: Cells) -> list[str]:
    """Kinds that earlier releases are about, too, whose entities have several records that nobody could follow."""
    kinds = {cell.kind for cell in old}
    lost = {k.kind for one in subject.judged() for k in one.evidence.kinds if k.touched and not k.records.followed}
    return sorted(kinds & lost)


def _near(pairs: Pairs, threshold: int, most: Outcome | None) -> Iterator[Miss]:
    """Pairs too near, each with both places and the distance; `most`: no worse than that."""
    for pair in pairs.found:
        outcome = severity(pair, threshold)
        if outcome is not Outcome.PASS:
            kind = "nested" if pair.nested else "overlap"
            about = "elsewhere" if most else pair.other.status if pair.other.status in ("pending", "together") else ""
            strict = most or (None if outcome is Outcome.BLOCK else outcome)
            note = f"{kind} with {_named(pair.other)}"
            yield Miss(pair.new.place, pair.distance, threshold, strict, note, about)


def _dominated(new: Sequence[ReleasedCell], old: Sequence[ReleasedCell], parameters: Any) -> Iterator[Miss]:
    found = dominated(
        new, old, threshold=parameters.threshold, percent=parameters.p_percent, budget=parameters.pair_budget
    )
    for one in found.found:
        strict = None if one.certain and "pending" not in (one.whole.status, one.part.status) else Outcome.REVIEW
        mine, other = (one.part, one.whole) if one.whole.release != "this" else (one.whole, one.part)
        note = f"{one.entities} entities between it and {_named(other)}"
        yield Miss(mine.place, round(one.share, 3), parameters.p_percent, strict, note, "dominance")
    if not found.complete:
        yield Miss("history", found.compared, parameters.pair_budget, Outcome.REVIEW, "budget spent")


def _rolled_up(new: Cells, old: Cells, parameters: Any) -> Iterator[Miss]:
    found = rests(new, old, threshold=parameters.threshold, percent=parameters.p_percent, budget=parameters.pair_budget)
    for rest in found.found:
        place = next(c.place for c in (rest.whole, *rest.hidden) if c.release == "this")
        note = f"{_named(rest.whole)} less {len(rest.told)} parts leaves {len(rest.hidden)} hidden"
        outcome = certainty(_exposure(rest), parameters.threshold)
        if rest.entities < parameters.threshold and outcome is not Outcome.PASS:
            strict = None if outcome is Outcome.BLOCK else outcome
            yield Miss(place, rest.entities, parameters.threshold, strict, note)
        elif rest.share is not None:
            waits = any(c.status == "pending" for c in (rest.whole, *rest.told))
            yield Miss(place, round(rest.share, 3), parameters.p_percent, Outcome.REVIEW if waits else None, note,
                       "dominance")  # fmt: skip
    if not found.complete:
        yield Miss("history", found.compared, parameters.pair_budget, Outcome.REVIEW, "budget spent")


def _exposure(rest: Rest) -> Exposure:
    terms = (Term(rest.whole, 1), *(Term(part, -1) for part in rest.told))
    return Exposure(rest.whole.kind, rest.whole.variable, rest.entities, terms, 1)


def _named(cell: ReleasedCell) -> str:
    return f"{cell.release} {cell.place}"


@check("linear_closure")
def linear_closure(subject: ExportSubject, parameters: Any) -> Measured:
    """No sum or difference of several released cells isolates fewer than `threshold` entities.

    Decided for single sets and pairs of them, and the rule's measured value says so. Proved exposures carry the cells
    and how often each is taken; where all are rounded, what a reader can be sure of decides. What stayed open, or was
    not reached in time, goes to a person.
    """
    if subject.by_file:
        return not_assessed("history")
    new, old = map(_seen, _cells(subject))
    limits = {"threshold": parameters.threshold, "seconds": parameters.budget_seconds}
    result = closure(new, old, **limits, watch=subject.watch)
    misses = []
    for one in result.exposures:
        outcome = certainty(one, parameters.threshold)
        if outcome is not Outcome.PASS:
            place = next((t.cell.place for t in one.terms if t.cell.release == "this"), "history")
            strict = None if outcome is Outcome.BLOCK else outcome
            misses.append(Miss(place, one.entities, parameters.threshold, strict, _certificate(one)))
    if result.opened:
        misses.append(Miss("history", result.opened, None, Outcome.REVIEW, about="open"))
    if not result.complete:
        misses.append(Miss("history", None, parameters.budget_seconds, Outcome.REVIEW, "budget spent"))
    smallest = min((e.entities for e in result.exposures), default=None)
    cleared = f"cleared to k={result.depth}" if result.decided else "open"
    return Measured(cleared if smallest is None else smallest, parameters.threshold, limited(misses))


SHOWN = 12
"""Terms of a certificate that are written out."""


def _certificate(exposure: Exposure) -> str:
    """The released cells whose combination isolates somebody, with their coefficients: `+1 R-1 a.csv#row=2 …`."""
    terms = [f"{term.times:+d} {_named(term.cell)}" for term in exposure.terms[:SHOWN]]
    more = f" … {len(exposure.terms) - SHOWN} more" if len(exposure.terms) > SHOWN else ""
    return f"{' '.join(terms)}{more} = {exposure.divisor} × {exposure.entities}"
