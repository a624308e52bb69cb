"""Whether the file is what the platform computed, and whether the evidence behind it is proved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import polars as pl
from pyroaring import BitMap

from policies.schema.base import Strict
from policies.verdict import Outcome
from sandbox.exports.checks.base import Measured, Miss, check, limited, need, not_assessed
from sandbox.exports.checks.cells import cell_tables, every_table, least, whole_columns
from sandbox.exports.contents import Table
from sandbox.exports.places import within
from sandbox.exports.subject import CannotRun, ExportSubject, Judged, looked_up
from sandbox.exports.wording import Wording
from sandbox.products import artefact, releasing
from sandbox.products.blackbox import Tried
from sandbox.products.carrier import Refusal
from sandbox.products.evidence import TOLERANCE, Evidence, KindEvidence
from sandbox.products.matching_rows import SharedRows
from sandbox.products.spec import digest


@check("rounding")
def rounding(subject: ExportSubject, parameters: Any) -> Measured:
    """The file is the platform's own rendering: counts in multiples of `base`, each total rounded by itself and so
    an interval of its own, amounts to declared decimals, shares from rounded numbers (R10).

    A file checked without a platform is compared by content, the platform's and what `post` gives by their bytes.
    """
    base = parameters.base
    if subject.by_file:
        return unrounded(every_table(subject), base)
    spec, evidence = subject.need_evidence()
    if digest(spec) != evidence.job:
        raise CannotRun("evidence of this job")
    if need(subject.rounding_base, "rounding base") != base:
        return Measured(subject.rounding_base, base, (Miss(spec.file_name, subject.rounding_base, base),))
    if len(subject.files) != 1:
        return Measured(None, base, (Miss("request#files", len(subject.files), 1),))
    file = subject.files[0]
    shown = releasing.released(spec, evidence, parameters, subject.hidden)
    if subject.lane == "platform" or spec.post:
        ours = need(subject.finished, "what post gives") if spec.post else artefact.write(spec.file_name, shown)
        same = file.content == ours.content and (file.name == ours.name or subject.lane == "file")
        return Measured(base, base, () if same else (Miss(file.name, "not the platform's rendering", base),))
    try:
        found = artefact.differences(shown, file.content)
        if found:  # a file of the merchant's own may know the job's decimals and not yet the platform's steps
            plain = releasing.declared(spec, evidence.rows, base=base, groupings=evidence.groupings)
            found = min(found, artefact.differences(plain, file.content), key=len)
    except ValueError as error:
        raise CannotRun("csv file") from error
    misses = [
        Miss(f"{file.name}#row={m.row + 1};column={m.column}", "differs from the recomputed value", base) for m in found
    ]
    return Measured(len(misses), 0, limited(misses))


def unrounded(tables: Iterable[Table], base: int) -> Measured:
    """Columns with whole numbers that are no multiples of `base`: counts, or what may be some."""
    misses = []
    for table, i, surely, values in whole_columns(tables):
        odd = sum(1 for v in values if v is not None and v % base)
        if odd:
            misses.append(Miss(within(table.place, column=i + 1), odd, base, None if surely else Outcome.REVIEW))
    return Measured(len(misses), base, limited(misses))


@check("evidence_proofs")
def evidence_proofs(subject: ExportSubject, parameters: Any) -> Measured:
    """P1 reproduces, P2 predicts enough deleted halves, P3 ran every perturbation, for product and references. What was
    not proved for a good reason (owners several, nothing to perturb, budget, a kind never reached) goes to a person; a
    job that no evidence can be derived for is refused with its reasons."""
    if subject.by_file:
        return not_assessed("evidence")
    if subject.refusals or subject.black_box is not None:
        return _underivable(subject)
    halves = parameters.halves_for(need(subject.level, "level of the inputs"))
    if parameters.float_tolerance < TOLERANCE:
        raise CannotRun("a finer comparison of floats")
    judged = subject.judged()
    misses = [m for one in judged for m in _unproved(one, halves, parameters.perturbations)]
    kinds = [kind for one in judged for kind in one.evidence.kinds]
    return Measured(min((k.halves_as_predicted for k in kinds), default=None), halves, limited(misses))


def _underivable(subject: ExportSubject) -> Measured:
    """Why no evidence can be derived. Where trials were made instead a person decides, unless they show that the job
    gives something else every time, or only what it gives on this very data."""
    tried = subject.black_box
    severity = Outcome.BLOCK if tried is None else Outcome.REVIEW
    misses = [_refused(one, severity) for one in subject.refusals]
    for one in tried or ():
        place = f"black box#{one.kind}"
        if not one.steady:
            misses.append(Miss(place, "two runs differ", None, Outcome.BLOCK, about="unsteady"))
        if one.failed:
            told = f"{one.failed} runs failed, {one.tried} of {one.buckets} buckets tried"
            misses.append(Miss(place, told, one.buckets, Outcome.BLOCK, about="trials_failed"))
        if one.over_budget:
            told = f"{one.tried} of {one.buckets} buckets tried"
            misses.append(Miss(place, told, one.buckets, Outcome.REVIEW, about="trials_budget"))
    return Measured(len(misses), 0, limited(misses))


def _refused(refusal: Refusal, severity: Outcome) -> Miss:
    place = f"step:{refusal.step}#line={refusal.line};column={refusal.column}"
    words = Wording(refusal.text, refusal.repair)
    return Miss(place, refusal.code, None, severity, wording=words)


def _unproved(judged: Judged, halves: int, perturbations: Iterable[str]) -> Iterator[Miss]:
    for part in judged.evidence.over_budget:
        yield Miss(f"{judged.place}#{part}", "over budget", None, Outcome.REVIEW, about="budget")
    for kind in judged.evidence.kinds:
        place = f"{judged.place}#{kind.kind}"
        stopped = REVIEW_IF_STOPPED[bool(judged.evidence.over_budget)]
        if kind.reproduced is None:
            yield Miss(place, "P1 not tried", "reproduced", stopped, about="budget")
        elif not kind.reproduced:
            yield Miss(place, "P1", "reproduced", Outcome.BLOCK, about="mismatch")
        if kind.halves_as_predicted < kind.halves:
            held = f"P2 {kind.halves_as_predicted}/{kind.halves}"
            yield Miss(place, held, halves, Outcome.BLOCK, about="mismatch")
        elif kind.halves < halves:
            yield Miss(place, f"P2 {kind.halves}", halves, stopped)
        if kind.several:
            yield Miss(place, "owners: several", None, Outcome.REVIEW, about="several")
        if not kind.touched:
            yield Miss(place, "no record reached", None, Outcome.REVIEW, about="untouched")
        yield from _perturbed(place, kind, perturbations)


REVIEW_IF_STOPPED = {True: Outcome.REVIEW, False: Outcome.BLOCK}
"""Proofs that were not tried: because the budget was spent, or for no reason that anybody gave."""


def _perturbed(place: str, kind: KindEvidence, perturbations: Iterable[str]) -> Iterator[Miss]:
    """What P3 could not try; of a kind that no record reaches there is nothing to try."""
    if not kind.touched:
        return
    tried = {entry.rpartition(":")[2] for entry in kind.perturbed}
    missing = [mode for mode in perturbations if mode not in tried]
    if missing or kind.not_perturbed:
        what = ", ".join([*missing, *kind.not_perturbed])
        yield Miss(place, f"P3 without {what}", None, Outcome.REVIEW, about="perturbation")


def mismatches(evidence: Evidence) -> list[str]:
    """Product and references whose evidence a proof contradicted, by kind: an incident, because either our rewriting
    or the job is wrong."""
    own = [f"{evidence.name}#{k.kind}" for k in evidence.kinds if _contradicted(k)]
    return own + [place for one in evidence.references for place in mismatches(one)]


def _contradicted(kind: KindEvidence) -> bool:
    return kind.reproduced is False or kind.halves_as_predicted < kind.halves


@check("perturbation")
def perturbation(subject: ExportSubject, parameters: Any) -> Measured:
    """With one column's values changed, none or at least `threshold` entities of a cell move, and no single one makes
    up most of what moves (P3). What could not be perturbed at all goes to a person."""
    if subject.by_file:
        return not_assessed("evidence")
    t, most = parameters.threshold, parameters.max_change_share
    misses: list[Miss] = []
    fewest, moved = None, pl.col("n_informative")
    for table in cell_tables(subject):
        if table.cells["n_informative"].null_count() and not table.kind.not_perturbed:
            raise CannotRun("n_informative")
        some = moved > 0
        if table.cells.filter(some)["change_share"].null_count():
            raise CannotRun("change_share")
        misses += table.misses(some & (moved < t), moved, t)
        misses += table.misses(some & (pl.col("change_share") > most), pl.col("change_share").round(3), most)
        misses += table.misses(moved.is_null(), pl.lit("not perturbed"), t, Outcome.REVIEW)
        fewest = least(fewest, table.cells.filter(some).select(moved.min()).item())
    return Measured(fewest, t, limited(misses))


@check("suspect_expressions")
def suspect_expressions(subject: ExportSubject, parameters: Strict) -> Measured:
    """Conditions and calculations inside measures that mention a key or a quasi-identifier: a person reads them, as the
    honest complement of trying perturbations."""
    if subject.by_file:
        return not_assessed("evidence")
    found = [(one, suspect) for one in subject.judged() for suspect in one.evidence.suspects]
    misses = [
        Miss(f"{one.place}#step={suspect.step}", ", ".join(suspect.columns), 0, evidence=suspect.expression)
        for one, suspect in found
    ]
    return Measured(len(found), 0, limited(misses))


@check("no_evidence")
def no_evidence(subject: ExportSubject, parameters: Any) -> Measured:
    """A table that was not matched to the source, one made by a script, or one whose inputs name no entity at all, is
    never passed by machine."""
    if subject.by_file:
        return Measured(False, True, (Miss(subject.files[0].name if subject.files else "request", False, True),))
    if subject.black_box is not None:
        return _black_box(subject.black_box, parameters)
    _, evidence = subject.need_evidence()
    return Measured(bool(evidence.kinds), True, () if evidence.kinds else (Miss("evidence", "no entity kind", True),))


def _black_box(tried: tuple[Tried, ...], parameters: Any) -> Measured:
    misses = [Miss(f"black box#{t.kind}", f"{t.fewest} of {t.tried} buckets", parameters.buckets, Outcome.REVIEW,
                   f"largest change by one bucket: {t.largest}", "script") for t in tried]  # fmt: skip
    nobody = Miss("black box", "no entity kind", parameters.buckets, Outcome.REVIEW, about="script")
    return Measured(min((t.fewest for t in tried if t.fewest is not None), default=None), parameters.buckets,
                    tuple(misses) or (nobody,))  # fmt: skip


@check("raw_rows")
def raw_rows(subject: ExportSubject, parameters: Any) -> Measured:
    """No row equals a source row that is unique on the columns they share, by name or by the values they hold, renamed,
    reordered or encoded (R16a, E10)."""
    if subject.match is None and subject.lane == "file":
        return not_assessed("source")
    rows = [r for r in need(subject.match, "match with the source").rows if r.shared_columns >= parameters.min_columns]
    tables = looked_up(subject)
    misses = [_copied(tables, r, parameters.max_rows) for r in rows if r.rows > parameters.max_rows]
    return Measured(max((r.rows for r in rows), default=0), parameters.max_rows, tuple(misses))


def _copied(tables: Sequence[Table], one: SharedRows, most: int) -> Miss:
    if one.how != "held":
        return Miss(f"input={one.input}", one.rows, most)
    told = f"input={one.input}, {one.shared_columns} columns by value"
    return Miss(tables[one.table].place, one.rows, most, evidence=told)


@check("row_per_entity")
def row_per_entity(subject: ExportSubject, parameters: Any) -> Measured:
    """A summary with about as many rows as entities is person-level data in disguise (E11)."""
    if subject.form == "record":
        return _records_per_entity(subject, parameters.max_ratio)
    if subject.by_file:
        return not_assessed("source")
    worst, misses = 0.0, []
    for judged in subject.judged():
        rows = max(Counter(judged.evidence.groupings).values(), default=0)
        for kind in judged.evidence.kinds:
            unfinished = judged.evidence.over_budget and not kind.cells.height
            ratio = 0.0 if unfinished else _per_entity(rows, kind)
            worst = max(worst, ratio)
            if ratio >= parameters.max_ratio:
                misses.append(Miss(judged.place, round(ratio, 3), parameters.max_ratio))
    return Measured(round(worst, 3), parameters.max_ratio, tuple(misses))


def _records_per_entity(subject: ExportSubject, most: float) -> Measured:
    """Records of at least this share of the source's entities are the register itself, not a selection of it."""
    facts = subject.records
    if facts is None or not facts.entities:
        return not_assessed("source")
    rows = max((table.rows for contents in subject.contents for table in contents.tables), default=0)
    ratio = round(rows / facts.entities, 3)
    return Measured(ratio, most, (Miss("request#rows", ratio, most),) if ratio >= most else ())


def _per_entity(rows: int, kind: KindEvidence) -> float:
    if not kind.touched:
        return 0.0
    everyone = BitMap.union(*map(BitMap.deserialize, kind.bitmaps.values())) if kind.bitmaps else BitMap()
    return rows / len(everyone) if everyone else float(bool(rows))
