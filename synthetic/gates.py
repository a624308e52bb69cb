"""The gates a simulated table must pass before anybody sees it: computed on all rows, worst outcome wins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from policies.text import Text
from policies.verdict import Finding, Outcome, RuleRun, Verdict
from synthetic.constraints import violations
from synthetic.distance import Closer, Space, closer_share
from synthetic.fidelity import Fidelity
from synthetic.fields import Constraint, Field, entity_of
from synthetic.filling import DISTINCT
from synthetic.links import Parent, orphans
from synthetic.protect import supports

NO_ROW_READ = "no_row_read"
"""Measured value of a comparison with real rows when the engine saw none: there is nothing that could have leaked."""

_EMBEDDED = r"[0-9A-Za-z]{8,}"
_COPIES = 5_000
_SIGMA = 3.0


@dataclass(frozen=True, slots=True)
class RealRows:
    """Every real row, and one row a person of the disjoint people who were fitted and held out; plan-typed."""

    every: pl.DataFrame
    fitted: pl.DataFrame
    holdout: pl.DataFrame


@dataclass(slots=True)
class Evidence:
    """What the gates look at. `real` is None only for an engine that reads no row.

    `people` counts the real rows, or the people they are about where known; `patterned` are code columns made from
    their shape.
    """

    engine: str
    simulated: pl.DataFrame
    fields: Sequence[Field]
    constraints: Sequence[Constraint]
    parents: Mapping[str, Parent]
    people: int
    fidelity: Fidelity
    mark: str
    real: RealRows | None = None
    patterned: tuple[str, ...] = ()
    reads_rows: bool = True
    _closer: dict[str, Closer] = field(default_factory=dict)

    @property
    def learned(self) -> list[Field]:
        return [f for f in self.fields if f.learned and f.name not in self.patterned]

    def closer(self, real: RealRows, which: str) -> Closer:
        """Closest-record comparison of the simulated rows, or of the control: copies of fitted rows."""
        if not self._closer:
            space = Space(real.every, self.learned)
            fitted, holdout = space.points(real.fitted), space.points(real.holdout)
            copies = np.random.default_rng(0).integers(0, len(fitted), min(_COPIES, len(fitted)))
            self._closer["simulated"] = closer_share(space.points(self.simulated), fitted, holdout)
            self._closer["copies"] = closer_share(fitted[copies], fitted, holdout)
        return self._closer[which]


@dataclass(frozen=True, slots=True)
class Measure:
    """What a predicate measured. `passed` None = it could not be computed, which is an error."""

    value: Any
    threshold: Any
    passed: bool | None
    place: str = ""


def judge(evidence: Evidence, edition: Any) -> Verdict:
    """Run every rule of the simulation policy. A rule that raises, cannot be computed or is unknown is an error."""
    runs, findings = [], []
    for rule in edition.rules:
        measure = _measure(evidence, rule, edition)
        outcome = {None: Outcome.ERROR, True: Outcome.PASS}.get(measure.passed, rule.on_fail)
        runs.append(RuleRun(rule.id, outcome, measure.value, measure.threshold))
        if outcome is not Outcome.PASS:
            text = rule.title if outcome is not Outcome.ERROR else _NOT_COMPUTED.fill(t=rule.title.zh, e=rule.title.en)
            findings.append(
                Finding(
                    rule.id, outcome, measure.place, measure.value, measure.threshold, text, _REPAIRS.get(rule.check)
                )
            )
    return Verdict.conclude(edition.policy, edition.edition, edition.digest, runs, findings)


def _measure(evidence: Evidence, rule: Any, edition: Any) -> Measure:
    compare, check = COMPARISONS.get(rule.check), CHECKS.get(rule.check)
    if compare and evidence.real is None:
        return Measure(NO_ROW_READ, None, None if evidence.reads_rows else True)
    try:
        if compare and evidence.real is not None:
            return compare(evidence, evidence.real, rule.parameters, edition)
        if check:
            return check(evidence, rule.parameters)
        return Measure(None, None, None, "no such predicate")
    except Exception as error:  # whatever went wrong, a gate that did not run must block
        return Measure(None, None, None, type(error).__name__)


def _exact_rows(evidence: Evidence, real: RealRows, parameters: Any, edition: Any) -> Measure:
    """Rows equal to a fitted row on all modelled columns, beyond the holdout's own rate and its sampling error."""
    fitted, holdout, simulated = real.fitted, real.holdout, evidence.simulated
    names = [f.name for f in evidence.learned]
    if not names:
        return Measure(0.0, parameters.max_excess_share, True)
    known = fitted.select(names).unique()
    copies, chance = (_share_in(frame.select(names), known) for frame in (simulated, holdout))
    error = np.sqrt(chance * (1 - chance) * (1 / max(1, simulated.height) + 1 / max(1, holdout.height)))
    excess = max(0.0, copies - chance - _SIGMA * float(error))
    if not holdout.height:
        return Measure(None, parameters.max_excess_share, None, "no holdout")
    return Measure(round(excess, 6), parameters.max_excess_share, excess <= parameters.max_excess_share)


def _share_in(frame: pl.DataFrame, known: pl.DataFrame) -> float:
    return frame.join(known, on=frame.columns, how="semi", nulls_equal=True).height / max(1, frame.height)


def _real_values(evidence: Evidence, real: RealRows, parameters: Any, edition: Any) -> Measure:
    """Cells that hold a real value of an identifier or text column, alone or inside a longer text."""
    guarded = [f for f in evidence.fields if f.generated or f.references or f.name in evidence.patterned]
    found: dict[str, int] = {}
    for one in guarded:
        alike = [f.name for f in guarded if f.semantic == one.semantic and f.generated] + [one.name]
        known = pl.concat([real.every.get_column(n).cast(pl.String).alias("v") for n in dict.fromkeys(alike)])
        cells = evidence.simulated.get_column(one.name).cast(pl.String)
        if one.references and not one.generated:
            continue  # a label that came along with the parent row; judged in the parent table
        found[one.name] = int(cells.drop_nulls().is_in(known.drop_nulls().unique().implode()).sum())
    found |= _embedded(evidence, real, guarded)
    return _counted(found, parameters.max_values)


def _embedded(evidence: Evidence, real: RealRows, guarded: Sequence[Field]) -> dict[str, int]:
    numbers = [real.every.get_column(f.name).cast(pl.String).alias("v") for f in guarded if f.semantic in DISTINCT]
    texts = [f.name for f in guarded if f.dtype == "text" and f.semantic not in DISTINCT]
    if not numbers:
        return {}
    known = pl.concat(numbers).drop_nulls().unique().implode()
    return {
        f"{name} (inside text)": int(
            evidence.simulated.get_column(name).drop_nulls().str.extract_all(_EMBEDDED).explode().drop_nulls()
            .is_in(known).sum()
        )
        for name in texts
    }  # fmt: skip


def _rare_categories(evidence: Evidence, real: RealRows, parameters: Any, edition: Any) -> Measure:
    owner = entity_of(evidence.fields)
    people = real.every.get_column(owner.name) if owner else None
    found = {}
    for one in (f for f in evidence.learned if not f.numeric):
        labels = supports(real.every.get_column(one.name).cast(pl.String), people)
        rare = labels.filter(pl.col("support") < parameters.k)["label"]
        made = evidence.simulated.get_column(one.name).cast(pl.String).drop_nulls().unique()
        found[one.name] = int(made.is_in(rare.implode()).sum())
    return _counted(found, 0)


def _unique_extremes(evidence: Evidence, real: RealRows, parameters: Any, edition: Any) -> Measure:
    """Cells equal to a real minimum or maximum that fewer than k real rows share."""
    k = edition.by_check("rare_categories").parameters.k
    found = {}
    for one in (f for f in evidence.learned if f.numeric):
        # Compared as they are: on a scale of floats, neighbours beyond 2^53 would be one value.
        known = real.every.get_column(one.name).to_physical().drop_nulls()
        made = evidence.simulated.get_column(one.name).to_physical().drop_nulls()
        ends = {end for end in (known.min(), known.max()) if end is not None and (known == end).sum() < k}
        found[one.name] = int(sum((made == end).sum() for end in ends))
    return _counted(found, parameters.max_values)


def _closer_to_training(evidence: Evidence, real: RealRows, parameters: Any, edition: Any) -> Measure:
    closer = evidence.closer(real, "simulated")
    compared = min(closer.rows, real.holdout.height)
    if closer.share is None or not compared:
        return Measure(None, parameters.max_share, None, "nothing to compare")
    allowed = round(max(parameters.max_share, 0.5 + parameters.small_sample_z * 0.5 / float(np.sqrt(compared))), 4)
    return Measure(round(closer.share, 4), allowed, closer.share <= allowed)


def _copy_control(evidence: Evidence, real: RealRows, parameters: Any, edition: Any) -> Measure:
    """Copies must be recognised; if they are not, the distance gate proves nothing and that is an error."""
    share = evidence.closer(real, "copies").share
    recognised = share is not None and share >= parameters.min_share
    return Measure(None if share is None else round(share, 4), parameters.min_share, True if recognised else None)


def _orphans(evidence: Evidence, parameters: Any) -> Measure:
    return _counted(orphans(evidence.simulated, evidence.fields, evidence.parents), parameters.max_values)


def _constraint_violations(evidence: Evidence, parameters: Any) -> Measure:
    found = violations(evidence.simulated, evidence.fields, evidence.constraints, evidence.parents)
    return _counted(found, parameters.max_values)


def _unclassified_columns(evidence: Evidence, parameters: Any) -> Measure:
    planned = {f.name for f in evidence.fields}
    return _counted({c: 1 for c in evidence.simulated.columns if c not in planned}, 0)


def _fidelity_ratio(evidence: Evidence, parameters: Any) -> Measure:
    ratio = evidence.fidelity.ratio
    rounded = None if ratio is None else round(ratio, 4)
    if evidence.engine in parameters.report_only_for:
        return Measure(rounded, parameters.min_ratio, True)
    return Measure(rounded, parameters.min_ratio, None if ratio is None else ratio >= parameters.min_ratio)


def _minimum_rows(evidence: Evidence, parameters: Any) -> Measure:
    enough = evidence.people >= parameters.rows or evidence.engine == parameters.engine
    return Measure(evidence.people, parameters.rows, enough)


def _fit_limits(evidence: Evidence, parameters: Any) -> Measure:
    rows = 0 if evidence.real is None else evidence.real.fitted.height
    return Measure(rows, parameters.fit_rows, rows <= parameters.fit_rows)


def _modelled_columns(evidence: Evidence, parameters: Any) -> Measure:
    wrong = {
        f.name: 1 for f in evidence.learned if f.level > parameters.max_level or f.role in parameters.generated_roles
    }
    return _counted(wrong, 0)


def _engines(evidence: Evidence, parameters: Any) -> Measure:
    return Measure(evidence.engine, list(parameters.allowed), evidence.engine in parameters.allowed)


def _simulated_label(evidence: Evidence, parameters: Any) -> Measure:
    return Measure(evidence.mark, parameters.zh, evidence.mark == parameters.zh)


def _counted(found: Mapping[str, int], allowed: int) -> Measure:
    total = sum(found.values())
    places = "、".join(name for name, count in found.items() if count)
    return Measure(total, allowed, total <= allowed, places)


COMPARISONS: Mapping[str, Callable[[Evidence, RealRows, Any, Any], Measure]] = {
    "exact_rows": _exact_rows,
    "real_values": _real_values,
    "rare_categories": _rare_categories,
    "unique_extremes": _unique_extremes,
    "closer_to_training": _closer_to_training,
    "copy_control": _copy_control,
}
"""Predicates that need real rows; without them they pass only for an engine that reads none."""

CHECKS: Mapping[str, Callable[[Evidence, Any], Measure]] = {
    "orphans": _orphans,
    "constraint_violations": _constraint_violations,
    "unclassified_columns": _unclassified_columns,
    "fidelity_ratio": _fidelity_ratio,
    "minimum_rows": _minimum_rows,
    "fit_limits": _fit_limits,
    "modelled_columns": _modelled_columns,
    "engines": _engines,
    "simulated_label": _simulated_label,
}
_NOT_COMPUTED = Text("无法计算,按不通过处理:{t}", "Could not be computed, so it does not pass: {e}")
_REPAIRS = {
    "rare_categories": Text(
        "请合并少见的类别,或把该列改为编码。", "Merge rare categories, or plan the column as a code."
    ),
    "real_values": Text(
        "请检查字段方案:该列是否真的是标识符或自由文本。", "Check the plan: is it an identifier or free text?"
    ),
    "minimum_rows": Text("行数太少,请改用 schema 引擎。", "Too few rows: use the schema engine."),
    "fidelity_ratio": Text("请换一个引擎,或用 auto 比较。", "Try another engine, or let auto compare."),
    "closer_to_training": Text("请换一个引擎;不要放宽规则。", "Try another engine; do not relax the rule."),
}
