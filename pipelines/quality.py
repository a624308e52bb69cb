"""Data quality by GB/T 36344-2018: X = A / B with both kept, and "not assessed" where an input is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from pipelines.quality_rules import Table, TableFiles, evaluate, repeated_rows, wrong_types
from pipelines.reading.recipe import ColumnRecipe
from policies.schema.quality import INDICATORS
from policies.text import Text, UserError
from policies.verdict import Finding, Outcome, RuleRun, Verdict

if TYPE_CHECKING:
    from pipelines.reading.landing import Accounting

_SAMPLES = 10


@dataclass(frozen=True, slots=True)
class RuleResult:
    """One declared rule: `a` of `b` evaluated elements meet it. `rows` are numbers of failing rows (from 0), no values.

    `a` and `b` are None when the rule could not run (the table it refers to was not given).
    """

    kind: str
    columns: tuple[str, ...]
    indicator: str
    a: int | None
    b: int | None
    failing: int
    rows: tuple[int, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind, "columns": list(self.columns), "indicator": self.indicator, "a": self.a, "b": self.b,
            "failing": self.failing, "rows": list(self.rows),
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


def measure(
    files: Sequence[str], columns: Sequence[ColumnRecipe], rules: Sequence[Any], accounting: Accounting, policy: Any,
    *, name: str = "", today: date | None = None, others: Mapping[str, Sequence[str]] | None = None, before: int = 0,
) -> QualityReport:  # fmt: skip
    """Measure one table.

    Args:
        files: Parquet files of the table: the text version (values are judged as they were delivered) or the typed one.
        columns: the recipe of each column: its type and its spellings of missing.
        rules: declared rules of the table (`policies.schema.quality.DeclaredRule`).
        accounting: row counts of the reading.
        policy: an edition of the quality policy.
        today: the day timeliness is judged on.
        others: files of other tables by name, for references.
        before: rows of the table that earlier deliveries brought; `accounting` speaks of the others.

    Raises:
        UserError: `quality.unknown_column`: a rule names a column the table does not have.
    """
    declared = {k.kind: k.indicator for k in policy.by_check("declared_rules").parameters.kinds}
    spellings = tuple(policy.by_check("missing_spellings").parameters.spellings)
    table = Table.open(files, columns, spellings)
    _refuse_unknown(rules, table, declared)
    around = TableFiles({k: list(v) for k, v in (others or {}).items()}, today or date.today(), _SAMPLES)
    outcomes = evaluate(table, rules, around)
    results = tuple(
        RuleResult(r.kind, _columns(r), declared[r.kind], o.a, o.b, o.failing, o.rows)
        for r, o in zip(rules, outcomes, strict=True)
    )
    invalid = wrong_types(table)
    totals = _totals(results)
    totals["0303"] = (repeated_rows(files), table.rows)
    totals["0305"] = (sum(bad for bad, _ in invalid.values()), sum(there for _, there in invalid.values()))
    indicators = tuple(_indicators(policy, totals))
    found = tuple(_column(table, c.name, results, invalid) for c in columns)
    verdict = _verdict(policy, indicators, accounting, table.rows - before)
    return QualityReport(name, table.rows, indicators, found, results, verdict)


def _refuse_unknown(rules: Sequence[Any], table: Table, declared: Mapping[str, str]) -> None:
    for rule in rules:
        unknown = [c for c in _columns(rule) if c not in table.recipes]
        if unknown or rule.kind not in declared:
            raise UserError(
                "quality.unknown_column" if unknown else "quality.unknown_rule",
                Text(
                    f"质量规则 {rule.kind} 引用了表中没有的列：{'、'.join(unknown)}" if unknown
                    else f"现行质量规则版本不允许声明 {rule.kind}",
                    f"The quality rule {rule.kind} names columns the table lacks: {', '.join(unknown)}" if unknown
                    else f"The policy in force does not let departments declare {rule.kind}",
                ),
                fix=Text("请改正规则文件中的列名或规则种类", "Correct the column or the kind in the rules file"),
                columns=unknown,
            )  # fmt: skip


def _columns(rule: Any) -> tuple[str, ...]:
    if hasattr(rule, "columns"):
        return tuple(rule.columns)
    return (rule.column,) if hasattr(rule, "column") else ()


def _totals(results: Sequence[RuleResult]) -> dict[str, tuple[int, int]]:
    """A and B of each indicator: rules of one indicator add up; 0102 counts the keys and references that hold."""
    totals: dict[str, tuple[int, int]] = {}
    for result in results:
        if result.a is not None and result.b is not None:
            a, b = totals.get(result.indicator, (0, 0))
            totals[result.indicator] = (a + result.a, b + result.b)
    model = [r for r in results if r.kind in ("unique_key", "reference") and r.a is not None]
    if model:
        totals["0102"] = (sum(r.failing == 0 for r in model), len(model))
    return totals


def _indicators(policy: Any, totals: Mapping[str, tuple[int, int]]) -> Iterable[IndicatorValue]:
    for check in INDICATORS:
        rule = policy.by_check(check)
        told = rule.parameters
        a, b = totals.get(told.code, (None, None))
        title = Text(rule.title.zh.removeprefix(told.code).strip(), rule.title.en.removeprefix(told.code).strip())
        yield IndicatorValue(told.code, title, a, b, told.direction, told.publish_at, told.needs)


def _column(
    table: Table, name: str, results: Sequence[RuleResult], invalid: Mapping[str, tuple[int, int]]
) -> ColumnQuality:
    """Rules of several columns count for the table only; here those of this column alone."""
    counted: dict[str, tuple[int, int]] = {}
    for result in results:
        if result.columns == (name,) and result.a is not None and result.b is not None:
            a, b = counted.get(result.indicator, (0, 0))
            counted[result.indicator] = (a + result.a, b + result.b)
    bad, there = invalid.get(name, (0, 0))
    if there:
        counted["0305"] = (bad, there)
    return ColumnQuality(name, table.rows, table.missing[name], bad, counted)


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
