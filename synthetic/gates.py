"""The gates a simulated table must pass before anybody sees it: computed on all rows, worst outcome wins.

Simulated rows are looked at part by part and what is counted adds up, so that judging many rows takes little memory
beside them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from policies.text import Text
from policies.verdict import Finding, Outcome, RuleRun, Verdict
from synthetic.constraints import violations
from synthetic.distance import Closer, Comparison
from synthetic.fidelity import Fidelity
from synthetic.fields import Constraint, Field, entity_of
from synthetic.inference import Attack, attack, sensitive_columns
from synthetic.links import Parent, orphans
from synthetic.protect import OTHER, supports
from synthetic.realvalues import RealValues

NO_ROW_READ = "no_row_read"
"""Measured value of a comparison with real rows when the engine saw none: there is nothing that could have leaked."""

_PART = 100_000
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

    def parts(self) -> Iterator[pl.DataFrame]:
        """All simulated rows, a part at a time."""
        return self.simulated.iter_slices(_PART)

    def total(self, count: Callable[[pl.DataFrame], Mapping[str, int]]) -> Counter[str]:
        """What `count` finds in each part, added up."""
        found: Counter[str] = Counter()
        for part in self.parts():
            found.update(count(part))
        return found

    def closer(self, real: RealRows, which: str, k: int) -> Closer:
        """Closest-record comparison of the simulated rows, or of the control: copies of fitted rows that fewer than k
        fitted people share (a row that many share is as close to the holdout, and nobody's)."""
        if not self._closer:
            compared = Comparison(real.every, real.fitted, real.holdout, self.learned)
            rare = rare_rows(real.fitted, [f.name for f in self.learned], k)
            copies = rare.sample(min(_COPIES, rare.height), seed=0)
            self._closer["simulated"] = compared.closer(self.parts())
            self._closer["copies"] = compared.closer([copies])
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
    """Rows equal to a rare fitted row on all modelled columns, beyond the holdout's own rate and its sampling error.

    A combination that k fitted people share is nobody's row: simulated rows, which are more typical than real ones,
    meet those more often than the holdout does.
    """
    names = [f.name for f in evidence.learned]
    if not names:
        return Measure(0.0, parameters.max_excess_share, True)
    if not real.holdout.height or not real.fitted.height:
        return Measure(None, parameters.max_excess_share, None, "no holdout")
    k = edition.by_check("rare_categories").parameters.k
    rare = rare_rows(real.fitted, names, k).unique()
    sizes = evidence.simulated.height, real.holdout.height
    copies = evidence.total(lambda part: {"rows": _known_in(part, rare)})["rows"] / max(1, sizes[0])
    chance = _known_in(real.holdout, rare) / sizes[1]
    error = np.sqrt(chance * (1 - chance) * (1 / max(1, sizes[0]) + 1 / sizes[1]))
    excess = max(0.0, copies - chance - _SIGMA * float(error))
    return Measure(round(excess, 6), parameters.max_excess_share, excess <= parameters.max_excess_share)


def rare_rows(rows: pl.DataFrame, names: Sequence[str], k: int) -> pl.DataFrame:
    """The rows whose combination of values fewer than k people have."""
    return rows.select(names).filter(pl.len().over(names) < k) if names else rows.clear()


def _known_in(frame: pl.DataFrame, known: pl.DataFrame) -> int:
    return frame.select(known.columns).join(known, on=known.columns, how="semi", nulls_equal=True).height


def _real_values(evidence: Evidence, real: RealRows, parameters: Any, edition: Any) -> Measure:
    """Cells that hold a real value of an identifier or text column, alone, spelt otherwise or inside a longer text."""
    known = RealValues(real.every, evidence.fields, evidence.patterned)
    return _counted(evidence.total(known.count), parameters.max_values)


def _rare_categories(evidence: Evidence, real: RealRows, parameters: Any, edition: Any) -> Measure:
    """Cells with a label that fewer than k people have; the label that merged ones get says nothing about anybody."""
    rare = {
        f.name: _labels_below(real.every, f.name, entity_of(evidence.fields), parameters.k)
        for f in evidence.learned if not f.numeric
    }  # fmt: skip
    found = evidence.total(
        lambda part: {n: int(_label(part.get_column(n)).is_in(labels.implode()).sum()) for n, labels in rare.items()}
    )
    return _counted(found, 0)


def _labels_below(frame: pl.DataFrame, name: str, owner: Field | None, k: int) -> pl.Series:
    people = frame.get_column(owner.name) if owner else None
    support = supports(_label(frame.get_column(name)), people)
    return support.filter((pl.col("support") < k) & (pl.col("label") != OTHER))["label"]


def _label(column: pl.Series) -> pl.Series:
    """Blanks around a label do not make it another one."""
    return column.cast(pl.String).str.strip_chars()


def _unique_extremes(evidence: Evidence, real: RealRows, parameters: Any, edition: Any) -> Measure:
    """Cells equal to a real minimum or maximum that fewer than k people share."""
    k = edition.by_check("rare_categories").parameters.k
    owner = entity_of(evidence.fields)
    people = real.every.get_column(owner.name) if owner else pl.Series(np.arange(real.every.height))
    ends = {f.name: _lonely_ends(real.every.get_column(f.name), people, k) for f in evidence.learned if f.numeric}
    found = evidence.total(
        lambda part: {n: int(part.get_column(n).to_physical().is_in(e.implode()).sum()) for n, e in ends.items()}
    )
    return _counted(found, parameters.max_values)


def _lonely_ends(column: pl.Series, people: pl.Series, k: int) -> pl.Series:
    # Compared as they are: on a scale of floats, neighbours beyond 2^53 would be one value.
    known = column.to_physical()
    ends = [end for end in (known.min(), known.max()) if end is not None]
    return pl.Series([e for e in ends if people.filter(known == e).n_unique() < k], dtype=known.dtype)


def _closer_to_training(evidence: Evidence, real: RealRows, parameters: Any, edition: Any) -> Measure:
    closer = evidence.closer(real, "simulated", edition.by_check("rare_categories").parameters.k)
    if closer.share is None:
        return Measure(None, parameters.max_share, None, "nothing to compare")
    chance = 0.5 / float(np.sqrt(closer.independent))
    allowed = round(max(parameters.max_share, 0.5 + parameters.small_sample_z * chance), 4)
    return Measure(round(closer.share, 4), allowed, closer.share <= allowed)


def _copy_control(evidence: Evidence, real: RealRows, parameters: Any, edition: Any) -> Measure:
    """Copies must be recognised; if they are not, the distance gate proves nothing and that is an error."""
    share = evidence.closer(real, "copies", edition.by_check("rare_categories").parameters.k).share
    recognised = share is not None and share >= parameters.min_share
    return Measure(None if share is None else round(share, 4), parameters.min_share, True if recognised else None)


def _sensitive_inference(evidence: Evidence, real: RealRows, parameters: Any, edition: Any) -> Measure:
    """Whether the rows tell more about the sensitive values of fitted people than of others; the worst column counts.

    An attack that copies of the fitted rows would pass unnoticed proves nothing, and that is an error.
    """
    learned = evidence.learned
    tried = [attack(f, learned, real, evidence, parameters) for f in sensitive_columns(learned)]
    found = [a for a in tried if a is not None]
    if not found:
        return Measure(0.0, parameters.max_advantage, True, "nothing sensitive to infer")
    most = parameters.max_advantage
    unsound = [a.column for a in found if not a.sound(most)]
    if unsound:
        return Measure(None, most, None, "、".join(unsound))
    worst = max(found, key=lambda a: a.simulated.low)
    caught = [a.column for a in found if a.simulated.low > most]
    return Measure(_interval(worst), most, not caught, "、".join(caught))


def _interval(one: Attack) -> dict[str, float]:
    made = one.simulated
    return {
        "advantage": round(made.value, 4), "low": round(made.low, 4), "high": round(made.high, 4),
        "copies": round(one.control.value, 4),
    }  # fmt: skip


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
    "sensitive_inference": _sensitive_inference,
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
    "exact_rows": Text("请换一个种子或引擎。", "Try another seed or engine."),
    "unique_extremes": Text(
        "请把该列改为按规则生成,或换一个引擎。", "Have the column made by rule, or try another engine."
    ),
    "sensitive_inference": Text(
        "请把该敏感列改为按规则生成,或换一个引擎。", "Have the sensitive column made by rule, or try another engine."
    ),
}
