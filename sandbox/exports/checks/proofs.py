"""Whether the file is what the platform computed, and whether the evidence behind it is proved."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pyroaring import BitMap

from policies.schema.base import Strict
from policies.verdict import Outcome
from sandbox.exports.checks.base import Measured, Miss, check, limited, need, not_assessed
from sandbox.exports.checks.cells import whole_columns
from sandbox.exports.subject import CannotRun, ExportSubject
from sandbox.products import artefact
from sandbox.products.evidence import TOLERANCE, KindEvidence
from sandbox.products.spec import digest


@check("rounding")
def rounding(subject: ExportSubject, parameters: Any) -> Measured:
    """The file is the platform's own rendering: counts in multiples of `base`, amounts to declared decimals (R10).

    A file checked without a platform is compared by content, the platform's by its bytes.
    """
    base = parameters.base
    if subject.by_file:
        return _unrounded(subject, base)
    spec, evidence = subject.need_evidence()
    if digest(spec) != evidence.job:
        raise CannotRun("evidence of this job")
    if need(subject.rounding_base, "rounding base") != base:
        return Measured(subject.rounding_base, base, (Miss(spec.file_name, subject.rounding_base, base),))
    if len(subject.files) != 1:
        return Measured(None, base, (Miss("request#files", len(subject.files), 1),))
    file = subject.files[0]
    if subject.lane == "platform":
        ours = artefact.write(spec, evidence.rows, base=base)
        same = file.name == ours.name and file.content == ours.content
        return Measured(base, base, () if same else (Miss(file.name, "not the platform's rendering", base),))
    try:
        found = artefact.differences(spec, evidence.rows, file.content, base=base)
    except ValueError as error:
        raise CannotRun("csv file") from error
    misses = [
        Miss(f"{file.name}#row={m.row};column={m.column}", "differs from the recomputed value", base) for m in found
    ]
    return Measured(len(misses), 0, limited(misses))


def _unrounded(subject: ExportSubject, base: int) -> Measured:
    misses = []
    for table, i, surely, values in whole_columns(subject):
        odd = sum(1 for v in values if v is not None and v % base)
        if odd:
            misses.append(Miss(f"{table.place}#column={i + 1}", odd, base, None if surely else Outcome.REVIEW))
    return Measured(len(misses), base, limited(misses))


@check("evidence_proofs")
def evidence_proofs(subject: ExportSubject, parameters: Any) -> Measured:
    """P1 reproduces, P2 predicts enough deleted halves, P3 ran every perturbation; what cannot be perturbed is looked
    at."""
    if subject.by_file:
        return not_assessed("evidence")
    _, evidence = subject.need_evidence()
    if parameters.float_tolerance < TOLERANCE:
        raise CannotRun("a finer comparison of floats")
    misses = [miss for kind in evidence.kinds for miss in _unproved(kind, parameters)]
    held = min((k.halves_as_predicted for k in evidence.kinds), default=None)
    return Measured(held, parameters.halves, tuple(misses))


def _unproved(kind: KindEvidence, parameters: Any) -> Iterator[Miss]:
    if not kind.reproduced:
        yield Miss(f"evidence#{kind.kind}", "P1", "reproduced")
    if kind.halves < parameters.halves or kind.halves_as_predicted < kind.halves:
        yield Miss(f"evidence#{kind.kind}", f"P2 {kind.halves_as_predicted}/{kind.halves}", parameters.halves)
    missing = [mode for mode in parameters.perturbations if mode not in kind.perturbed]
    if missing:
        yield Miss(f"evidence#{kind.kind}", f"P3 without {', '.join(missing)}", None, Outcome.REVIEW)


@check("no_evidence")
def no_evidence(subject: ExportSubject, parameters: Strict) -> Measured:
    """A table that was not matched to the source, or whose inputs name no entity at all, is never passed by machine."""
    if subject.by_file:
        return Measured(False, True, (Miss(subject.files[0].name if subject.files else "request", False, True),))
    _, evidence = subject.need_evidence()
    return Measured(bool(evidence.kinds), True, () if evidence.kinds else (Miss("evidence", "no entity kind", True),))


@check("raw_rows")
def raw_rows(subject: ExportSubject, parameters: Any) -> Measured:
    """No row equals a source row that is unique on the columns they share (R16a)."""
    if subject.match is None and subject.lane == "file":
        return not_assessed("source")
    rows = [r for r in need(subject.match, "match with the source").rows if r.shared_columns >= parameters.min_columns]
    misses = [Miss(f"input={r.input}", r.rows, parameters.max_rows) for r in rows if r.rows > parameters.max_rows]
    return Measured(max((r.rows for r in rows), default=0), parameters.max_rows, tuple(misses))


@check("row_per_entity")
def row_per_entity(subject: ExportSubject, parameters: Any) -> Measured:
    """A summary with about as many rows as entities is person-level data in disguise (E11)."""
    if subject.by_file:
        return not_assessed("source")
    spec, evidence = subject.need_evidence()
    worst = 0.0
    for kind in evidence.kinds:
        everyone = BitMap.union(*map(BitMap.deserialize, kind.bitmaps.values())) if kind.bitmaps else BitMap()
        worst = max(worst, len(evidence.rows) / len(everyone) if everyone else float(bool(evidence.rows)))
    misses = (Miss(spec.file_name, round(worst, 3), parameters.max_ratio),) if worst >= parameters.max_ratio else ()
    return Measured(round(worst, 3), parameters.max_ratio, misses)
