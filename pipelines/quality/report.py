"""The quality of a table by GB/T 36344-2018: X = A / B with both kept, "not assessed" where an input is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.reading.landing import Accounting
from policies.schema.quality import INDICATORS
from policies.text import Text
from policies.verdict import Finding, Outcome, RuleRun, Verdict


@dataclass(frozen=True, slots=True)
class Sample:
    """One failing row: its number from 0, its line or sheet row in the file where known, masked values by column."""

    row: int
    line: int | None
    values: Mapping[str, str]

    def as_dict(self) -> dict[str, Any]:
        return {"row": self.row, "line": self.line, "values": dict(self.values)}


@dataclass(frozen=True, slots=True)
class RuleResult:
    """One declared rule: `a` of `b` evaluated elements meet it. `rows` are numbers of failing rows (from 0), no values.

    `a` and `b` are None when the rule could not run (the table it refers to was not given). `text` says what the rule
    wants, `fix` what the department can do.
    """

    kind: str
    columns: tuple[str, ...]
    indicator: str
    a: int | None
    b: int | None
    failing: int
    rows: tuple[int, ...]
    text: Text
    fix: Text
    samples: tuple[Sample, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind, "columns": list(self.columns), "indicator": self.indicator, "a": self.a, "b": self.b,
            "failing": self.failing, "rows": list(self.rows), "text": self.text.as_dict(), "fix": self.fix.as_dict(),
            "samples": [s.as_dict() for s in self.samples],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class IndicatorValue:
    """One indicator of the standard. `meets` compares X with the policy's threshold; None where nothing can be said."""

    code: str
    name: Text
    a: int | None
    b: int | None
    direction: str
    threshold: float | None
    needs: Text

    @property
    def assessed(self) -> bool:
        return bool(self.b)

    @property
    def x(self) -> float | None:
        return None if self.a is None or not self.b else self.a / self.b

    @property
    def meets(self) -> bool | None:
        if self.x is None or self.threshold is None:
            return None
        return self.x >= self.threshold if self.direction == "high" else self.x <= self.threshold

    def as_dict(self) -> dict[str, Any]:
        return {
            "code": self.code, "name": self.name.as_dict(), "a": self.a, "b": self.b, "x": self.x,
            "assessed": self.assessed, "direction": self.direction, "threshold": self.threshold, "meets": self.meets,
            "needs": self.needs.as_dict(),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class ColumnQuality:
    """One column: assigned values, values that do not fit its type, and A and B of each indicator that touched it."""

    name: str
    rows: int
    missing: int
    invalid: int
    indicators: Mapping[str, tuple[int, int]]

    def as_dict(self) -> dict[str, Any]:
        found = [
            {"code": c, "a": a, "b": b, "x": a / b if b else None} for c, (a, b) in sorted(self.indicators.items())
        ]
        return {
            "name": self.name, "rows": self.rows, "missing": self.missing, "invalid": self.invalid, "indicators": found
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class QualityReport:
    """The quality of one table under one policy edition."""

    name: str
    rows: int
    indicators: tuple[IndicatorValue, ...]
    columns: tuple[ColumnQuality, ...]
    rules: tuple[RuleResult, ...]
    verdict: Verdict

    def indicator(self, code: str) -> IndicatorValue:
        """The indicator with that code; KeyError when the standard has none."""
        for found in self.indicators:
            if found.code == code:
                return found
        raise KeyError(code)

    def as_dict(self) -> dict[str, Any]:
        """The table's entry in `pds quality`."""
        return {
            "name": self.name,
            "rows": self.rows,
            "indicators": [i.as_dict() for i in self.indicators],
            "columns": [c.as_dict() for c in self.columns],
            "rules": [r.as_dict() for r in self.rules],
            "verdict": self.verdict.as_dict(),
        }


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures that a report is made of: `missing` and `invalid` by column, `repeated` rows, one result a rule."""

    rows: int
    missing: Mapping[str, int]
    invalid: Mapping[str, int]
    repeated: int
    rules: tuple[RuleResult, ...]


def report(name: str, measured: Measured, accounting: Accounting, policy: Any, *, before: int = 0) -> QualityReport:
    """Indicators, columns and verdict under an edition of the policy; `before` rows are of earlier deliveries."""
    indicators = tuple(_indicators(policy, _totals(measured)))
    columns = tuple(_column(measured, c) for c in measured.missing)
    verdict = _verdict(policy, indicators, accounting, measured.rows - before)
    return QualityReport(name, measured.rows, indicators, columns, measured.rules, verdict)


def _present(measured: Measured, column: str) -> int:
    return measured.rows - measured.missing[column]


def _totals(measured: Measured) -> dict[str, tuple[int, int]]:
    """A and B of each indicator: rules of one indicator add up; 0102 counts the keys and references that hold."""
    totals: dict[str, tuple[int, int]] = {}
    for result in measured.rules:
        if result.a is not None and result.b is not None:
            a, b = totals.get(result.indicator, (0, 0))
            totals[result.indicator] = (a + result.a, b + result.b)
    model = [r for r in measured.rules if r.kind in ("unique_key", "reference") and r.b]
    if model:
        totals["0102"] = (sum(r.failing == 0 for r in model), len(model))
    totals["0303"] = (measured.repeated, measured.rows)
    totals["0305"] = (sum(measured.invalid.values()), sum(_present(measured, c) for c in measured.invalid))
    return totals


def _indicators(policy: Any, totals: Mapping[str, tuple[int, int]]) -> Iterator[IndicatorValue]:
    for check in INDICATORS:
        rule = policy.by_check(check)
        told = rule.parameters
        a, b = totals.get(told.code, (None, None))
        title = Text(rule.title.zh.removeprefix(told.code).strip(), rule.title.en.removeprefix(told.code).strip())
        yield IndicatorValue(told.code, title, a, b, told.direction, told.publish_at, told.needs)


def _column(measured: Measured, name: str) -> ColumnQuality:
    """Rules of several columns count for the table only; here those of this column alone, and what needs no rule."""
    counted: dict[str, tuple[int, int]] = {}
    for result in measured.rules:
        if result.columns == (name,) and result.a is not None and result.b is not None:
            a, b = counted.get(result.indicator, (0, 0))
            counted[result.indicator] = (a + result.a, b + result.b)
        elif result.kind == "required" and name in result.columns:
            counted[result.indicator] = (_present(measured, name), measured.rows)
    if name in measured.invalid:
        counted["0305"] = (measured.invalid[name], _present(measured, name))
    return ColumnQuality(name, measured.rows, measured.missing[name], measured.invalid.get(name, 0), counted)


def _verdict(policy: Any, indicators: Sequence[IndicatorValue], accounting: Accounting, rows: int) -> Verdict:
    runs: list[RuleRun] = []
    findings: list[Finding] = []

    def judge(rule: Any, good: bool, measured: Any, threshold: Any, text: Text, bad: Outcome | None = None) -> None:
        outcome = Outcome.PASS if good else bad or rule.on_fail
        runs.append(RuleRun(rule.id, outcome, measured, threshold))
        if not good:
            findings.append(Finding(rule.id, outcome, "table", measured, threshold, text))

    balance = policy.by_check("rows_balance")
    lost = abs(accounting.lines - accounting.counted) + abs(rows - accounting.rows_loaded)
    text = Text(f"行数相差 {lost} 行", f"{lost} rows are unaccounted for")
    judge(balance, lost <= balance.parameters.max_difference, lost, balance.parameters.max_difference, text)
    quarantine = policy.by_check("quarantine_share")
    share = accounting.rows_quarantined / accounting.rows_in if accounting.rows_in else 0.0
    text = Text(f"隔离行占 {share:.2%}", f"{share:.2%} of the rows are in quarantine")
    judge(quarantine, share <= quarantine.parameters.max_share, share, quarantine.parameters.max_share, text)
    for found in indicators:
        if found.meets is not None:
            rule = next(r for r in policy.rules if getattr(r.parameters, "code", None) == found.code)
            text = Text(f"{found.name.zh}为 {found.a}/{found.b}", f"{found.name.en} is {found.a}/{found.b}")
            judge(rule, found.meets, found.x, found.threshold, text)
    return Verdict.conclude(policy.policy, policy.edition, policy.digest, runs, findings)
