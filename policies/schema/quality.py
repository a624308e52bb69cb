"""Data quality: the indicators of GB/T 36344-2018, spellings of missing, and the rules a resource may declare."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from policies.schema.base import Bilingual, Edition, Judging, Name, Positive, Share, Strict, require_checks

Names = Annotated[tuple[Name, ...], Field(min_length=1)]
Code = Annotated[str, Field(pattern=r"^0[1-6]0[1-6]$")]

INDICATORS: dict[str, str] = {
    "data_standard": "0101",
    "data_model": "0102",
    "metadata": "0103",
    "business_rules": "0104",
    "reference_data": "0105",
    "security_rules": "0106",
    "element_completeness": "0201",
    "record_completeness": "0202",
    "content_accuracy": "0301",
    "format_compliance": "0302",
    "duplicate_rate": "0303",
    "uniqueness": "0304",
    "dirty_rate": "0305",
    "same_data_consistency": "0401",
    "related_data_consistency": "0402",
    "period_correctness": "0501",
    "timeliness": "0502",
    "sequence": "0503",
    "accessibility": "0601",
    "availability": "0602",
}
"""Predicate name → code of the standard."""

IndicatorCheck = Literal[
    "data_standard", "data_model", "metadata", "business_rules", "reference_data", "security_rules",
    "element_completeness", "record_completeness", "content_accuracy", "format_compliance", "duplicate_rate",
    "uniqueness", "dirty_rate", "same_data_consistency", "related_data_consistency", "period_correctness",
    "timeliness", "sequence", "accessibility", "availability",
]  # fmt: skip

LOW_IS_BETTER = frozenset({"0303", "0305"})

RuleKind = Literal[
    "range", "regex", "code_list", "unique_key", "reference", "date_order", "check_digit",
    "required", "expected_rows", "column_type", "fresh_within", "period",
    "dictionary", "condition", "masked", "truth", "encoded", "same_data", "total", "update_cycle",
]  # fmt: skip


class Indicator(Strict):
    """X = A / B. `publish_at` is the value from which (high) or up to which (low) a resource may be published.

    `publish_at: null` means reported only. `needs` says in words which input it takes; without that input, or with
    B = 0, the indicator is *not assessed*, never 100 %.
    """

    code: Code
    direction: Literal["high", "low"]
    a: Bilingual
    b: Bilingual
    needs: Bilingual
    publish_at: Share | None


class MissingSpellings(Strict):
    """Texts that mean "no value", compared after trimming, without regard to case and to full or half width."""

    spellings: Names


class RowsBalance(Strict):
    """Rows in = rows loaded + rows quarantined; the difference allowed is none."""

    max_difference: Literal[0]


class QuarantineShare(Strict):
    """Share of quarantined rows above which a person looks before the version is published."""

    max_share: Share


class KindOfRule(Strict):
    """A kind of rule a resource may declare, and the indicator it counts for."""

    kind: RuleKind
    indicator: Code


class DeclaredRules(Strict):
    """The kinds of rules a department may declare for its resource."""

    kinds: Annotated[tuple[KindOfRule, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _once(self) -> Self:
        kinds = [k.kind for k in self.kinds]
        if len(set(kinds)) != len(kinds):
            raise ValueError("同一种规则写了两次 / a kind is written twice")
        return self


Rule = Annotated[
    Judging[IndicatorCheck, Indicator]
    | Judging[Literal["missing_spellings"], MissingSpellings]
    | Judging[Literal["rows_balance"], RowsBalance]
    | Judging[Literal["quarantine_share"], QuarantineShare]
    | Judging[Literal["declared_rules"], DeclaredRules],
    Field(discriminator="check"),
]


class QualityEdition(Edition[Rule]):
    """All twenty indicators and what reading needs."""

    policy: Literal["quality"]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        others = {"missing_spellings", "rows_balance", "quarantine_share", "declared_rules"}
        require_checks(self, frozenset({*INDICATORS, *others}))
        for rule in self.rules:
            code = INDICATORS.get(rule.check)
            if code is None or not isinstance(rule.parameters, Indicator):
                continue
            if rule.parameters.code != code:
                raise ValueError(f"{rule.check} 的编码应为 {code} / has code {code} in GB/T 36344")
            if (rule.parameters.direction == "low") != (code in LOW_IS_BETTER):
                raise ValueError(f"{code} 的方向与 GB/T 36344 不符 / direction differs from GB/T 36344")
        return self


EDITION: type[Edition[Any]] = QualityEdition

Number = Annotated[float, Field()]


class Range(Strict):
    """Values of `column` lie between `min` and `max`, both included; null leaves a side open."""

    kind: Literal["range"]
    column: Name
    min: Number | date | None
    max: Number | date | None

    @model_validator(mode="after")
    def _sides(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("上下限至少写一个 / one side at least")
        if self.min is not None and self.max is not None:
            if isinstance(self.min, date) != isinstance(self.max, date):
                raise ValueError("上下限类型须相同 / both sides of one type")
            if self.max < self.min:  # type: ignore[operator]  # same type by the test above
                raise ValueError("上限小于下限 / max below min")
        return self


class Regex(Strict):
    """Values of `column` match `pattern` from end to end."""

    kind: Literal["regex"]
    column: Name
    pattern: Name

    @model_validator(mode="after")
    def _compiles(self) -> Self:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"正则式无法解析 / not a regular expression: {error.msg}") from None
        return self


class CodeList(Strict):
    kind: Literal["code_list"]
    column: Name
    values: Names


class UniqueKey(Strict):
    kind: Literal["unique_key"]
    columns: Names


class Reference(Strict):
    """Every value of `columns` is found in `to_columns` of `to_table`."""

    kind: Literal["reference"]
    columns: Names
    to_table: Name
    to_columns: Names

    @model_validator(mode="after")
    def _paired(self) -> Self:
        if len(self.columns) != len(self.to_columns):
            raise ValueError("两边列数须相同 / both sides need the same number of columns")
        return self


class DateOrder(Strict):
    """The dates of a row do not fall: birth ≤ register ≤ cancel."""

    kind: Literal["date_order"]
    columns: Annotated[tuple[Name, ...], Field(min_length=2)]


class CheckDigit(Strict):
    kind: Literal["check_digit"]
    column: Name
    scheme: Literal["resident_id", "uscc", "org_code", "luhn", "vin"]


class Required(Strict):
    """Columns expected to be filled in every row: B of indicator 0201."""

    kind: Literal["required"]
    columns: Names


class ExpectedRows(Strict):
    """How many records the department says there are: B of indicator 0202."""

    kind: Literal["expected_rows"]
    rows: Positive


class ColumnType(Strict):
    kind: Literal["column_type"]
    column: Name
    type: Literal["text", "integer", "decimal", "date", "timestamp", "boolean"]
    max_length: Positive | None


class FreshWithin(Strict):
    """The newest date of `column` is at most `days` old at the time of measuring."""

    kind: Literal["fresh_within"]
    column: Name
    days: Positive


class Period(Strict):
    """Dates of `column` lie in the period the resource is about, both ends included."""

    kind: Literal["period"]
    column: Name
    start: date
    end: date


class Dictionary(Strict):
    """The columns that the data dictionary describes (0103): A = those there are, B = all in either."""

    kind: Literal["dictionary"]
    columns: Names


class Condition(Strict):
    """A business rule (0104): where `column` is one of `values`, `then_column` is one of `then_values`.

    `then_values: null` asks only that it is filled.
    """

    kind: Literal["condition"]
    column: Name
    values: Names
    then_column: Name
    then_values: Names | None


class Masked(Strict):
    """A security rule (0106): in every value of `column` at least `hidden` characters are masked."""

    kind: Literal["masked"]
    column: Name
    hidden: Positive


class _Elsewhere(Strict):
    """`column` against `to_column` of `to_table`, row by row through a key (`columns` ↔ `to_columns`).

    B = rows whose key is there with a value on both sides, A = those whose value is the same there.
    """

    columns: Names
    column: Name
    to_table: Name
    to_columns: Names
    to_column: Name

    @model_validator(mode="after")
    def _paired(self) -> Self:
        if len(self.columns) != len(self.to_columns):
            raise ValueError("两边列数须相同 / both sides need the same number of columns")
        return self


class SameData(_Elsewhere):
    """The same data kept in two tables (0401)."""

    kind: Literal["same_data"]


class Truth(_Elsewhere):
    """The other table is the authority on the value (0301)."""

    kind: Literal["truth"]


class Encoded(Strict):
    """The birth date or sex that a valid resident ID of the same row encodes is the expected value (0301)."""

    kind: Literal["encoded"]
    column: Name
    id_column: Name
    part: Literal["birth", "sex"]


class Total(Strict):
    """Consistency inside a row (0402): `column` is the sum of `parts`, within `tolerance`."""

    kind: Literal["total"]
    column: Name
    parts: Annotated[tuple[Name, ...], Field(min_length=2)]
    tolerance: Annotated[float, Field(ge=0)]


class UpdateCycle(Strict):
    """Deliveries follow each other within `days` (0502): B = updates due, A = those in time."""

    kind: Literal["update_cycle"]
    days: Positive


DeclaredRule = Annotated[
    Range | Regex | CodeList | UniqueKey | Reference | DateOrder | CheckDigit | Required | ExpectedRows | ColumnType
    | FreshWithin | Period | Dictionary | Condition | Masked | SameData | Truth | Encoded | Total | UpdateCycle,
    Field(discriminator="kind"),
]  # fmt: skip


def columns_of(rule: Any) -> tuple[str, ...]:
    """The columns of the table itself that a declared rule is about, each once; a dictionary presupposes none."""
    if rule.kind == "dictionary":
        return ()
    named = [getattr(rule, n) for n in ("column", "id_column", "then_column") if hasattr(rule, n)]
    return tuple(dict.fromkeys([*getattr(rule, "columns", ()), *named, *getattr(rule, "parts", ())]))


class TableRules(Strict):
    """The rules declared for one table."""

    table: Name
    rules: Annotated[tuple[DeclaredRule, ...], Field(min_length=1)]


class ResourceRules(Strict):
    """A department's quality rules for its resource (`pds quality --rules FILE`)."""

    tables: Annotated[tuple[TableRules, ...], Field(min_length=1)]

    def of(self, table: str) -> tuple[Any, ...]:
        """The rules of `table`; none when the file does not name it."""
        return tuple(rule for entry in self.tables if entry.table == table for rule in entry.rules)
