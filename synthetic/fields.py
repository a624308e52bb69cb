"""The field plan: what each column means, and whether it may be modelled at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, get_args

from policies.text import Text, UserError
from synthetic.invariants import Constraint as Constraint
from synthetic.invariants import Order as Order
from synthetic.invariants import Sum as Sum
from synthetic.invariants import refuse_wrong_types

Dtype = Literal["text", "integer", "decimal", "date", "timestamp", "boolean"]
Role = Literal["direct", "quasi", "sensitive", "none"]
Semantic = Literal[
    "person_name", "resident_id", "passport", "permit", "medical_number", "school_number", "mobile", "landline",
    "email", "bank_card", "uscc", "organisation_code", "organisation", "plate", "vin", "imei", "ip",
    "mac", "coordinates", "address", "free_text", "key", "shape", "district", "street", "category", "code",
    "number", "amount", "date", "timestamp", "constant", "drop",
]  # fmt: skip

GENERATED: frozenset[str] = frozenset(
    {"person_name", "resident_id", "passport", "permit", "medical_number", "school_number", "mobile", "landline",
     "email", "bank_card", "uscc", "organisation_code", "organisation", "plate", "vin", "imei", "ip",
     "mac", "coordinates", "address", "free_text", "key", "shape"}
)  # fmt: skip
"""Never modelled, whatever the plan says: values come from providers, or from the shape of the column alone."""
DIGITS: frozenset[str] = frozenset({"mobile", "bank_card", "imei"})
"""Of these, what a source may also keep as a whole number: all of its signs are digits."""

NUMERIC: frozenset[str] = frozenset({"number", "amount", "date", "timestamp"})
FOLLOWS: frozenset[str] = frozenset({"sex", "birth", "district", "street", "entity"})
TOP_LEVEL = 4
Decider = Literal["machine", "declared", "operator", "default"]
_OWNERS = ("resident_id", "passport", "permit", "uscc", "medical_number", "school_number", "bank_card", "code",
           "mobile", "vin", "plate")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Decision:
    """Why a column means what its field says: the rule, its words, and who decided.

    `by`: a rule of the machine, the department's declaration, an operator's answer, or the default answer that `who`
    took instead of answering. `at` is ISO 8601, "" for the machine and for declarations.
    """

    rule: str
    reason: Text
    by: Decider = "machine"
    who: str = ""
    at: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    """One column of a table: its type, meaning, identifier role and grade (1–4; an unmarked column counts as 4).

    `codes` is the dictionary of allowed values; `null_share` (0–1) is used where no row may be read. `follows` ties
    columns of one row together: an ID number follows {"sex": column, "birth": column}, an address follows
    {"district": column, "street": column}, a name or telephone follows {"entity": ID column} so that one person keeps
    one name (or one code one organisation name). `references` = (table, column) takes the value from the row of a
    simulated parent. `blind` columns are drawn from the catalogue without looking at a row; policy decides which.
    A field of the semantic `drop` is left out of the simulated table. `decision` says who decided the meaning and why.
    """

    name: str
    dtype: Dtype
    semantic: str
    role: Role = "none"
    level: int = TOP_LEVEL
    nullable: bool = True
    null_share: float | None = None
    unique: bool = False
    codes: tuple[str, ...] = ()
    length: int | None = None
    comment: str = ""
    references: tuple[str, str] | None = None
    blind: bool = False
    follows: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    decision: Decision | None = None

    @property
    def generated(self) -> bool:
        """True where the column is filled by a provider, or from the shape of codes, instead of being learned."""
        return self.semantic in GENERATED or (self.shaped and self.role == "direct")

    @property
    def shaped(self) -> bool:
        """True for keys and codes: where they must not be learned, new ones of the same shape are made."""
        return self.semantic in ("key", "code", "shape")

    @property
    def learned(self) -> bool:
        """True where an engine may see the (pooled, trimmed) values."""
        return not self.generated and not self.blind and self.references is None

    @property
    def numeric(self) -> bool:
        """True where values lie on a scale; every other modelled column is a set of labels."""
        return self.semantic in NUMERIC


def check_plan(fields: Sequence[Field], columns: Iterable[str], constraints: Sequence[Constraint] = ()) -> None:
    """Refuse a plan that leaves a column unexplained or would let an identifier be modelled.

    Raises:
        UserError: `plan.unclassified` (with a question for the operator), `plan.columns`, `plan.identifier_modelled`,
            `plan.type`, `plan.unknown_column`, `plan.constraint`, `plan.nothing_left`.
    """
    _refuse_unclassified(fields)
    _refuse_mismatch(fields, list(columns))
    _refuse_nothing(fields)
    _refuse_modelled_identifiers(fields)
    _refuse_types(fields)
    _refuse_unknown_columns(fields, constraints)
    refuse_wrong_types(fields, constraints)


def kept(fields: Sequence[Field]) -> tuple[Field, ...]:
    """The plan without the columns that somebody decided to leave out."""
    return tuple(f for f in fields if f.semantic != "drop")


def standing(constraints: Iterable[Constraint], fields: Sequence[Field]) -> tuple[Constraint, ...]:
    """The constraints without those that name a column which is left out."""
    gone = {f.name for f in fields if f.semantic == "drop"}
    return tuple(c for c in constraints if not gone & set(c.columns))


def decisions(fields: Sequence[Field]) -> list[dict[str, Any]]:
    """What each column was taken for, by which rule, and who decided; JSON-able, in plan order."""
    return [
        {"column": f.name, "semantic": f.semantic, "rule": d.rule, "reason": d.reason.as_dict(), "by": d.by,
         "who": d.who, "at": d.at}
        for f in fields if (d := f.decision) is not None
    ]  # fmt: skip


def blinded(fields: Sequence[Field], max_level: int, roles: Iterable[str]) -> tuple[Field, ...]:
    """The plan with every column above `max_level`, or of one of `roles`, drawn blind."""
    hidden = set(roles)
    return tuple(replace(f, blind=f.blind or f.level > max_level or f.role in hidden) for f in fields)


def entity_of(fields: Sequence[Field]) -> Field | None:
    """The column that says whose record a row is: an ID number, a credit code, or what stands for it (card, phone).

    None when no direct identifier of that kind is planned: then every row counts as somebody of its own.
    """
    for semantic in _OWNERS:
        for candidate in fields:
            if candidate.semantic == semantic and candidate.role == "direct":
                return candidate
    return None


def _refuse_unclassified(fields: Sequence[Field]) -> None:
    unknown = [f.name for f in fields if f.semantic not in get_args(Semantic)]
    if unknown:
        raise UserError(
            "plan.unclassified",
            Text(
                "列 {c} 没有说明是什么内容,不能生成仿真数据:未归类的文本里可能有真实个人信息。",
                "Columns {c} are not classified; unclassified text may hold real personal data, so nothing is made.",
            ).fill(c="、".join(unknown)),
            fix=Text(
                "请回答:这些列是姓名、证件号、电话、地址、单位、编码、类别、数值、日期,还是自由文本?在字段方案里写明语义后重试。",
                "Please answer: do they hold names, ID numbers, phones, addresses, organisations, codes, categories, "
                "numbers, dates or free text? State the semantic of each in the field plan and try again.",
            ),
            columns=unknown,
        )


def _refuse_mismatch(fields: Sequence[Field], columns: list[str]) -> None:
    planned = [f.name for f in fields]
    if sorted(planned) != sorted(columns):
        missing, extra = sorted(set(columns) - set(planned)), sorted(set(planned) - set(columns))
        raise UserError(
            "plan.columns",
            Text(
                "字段方案与表的列不一致:缺少 {m},多出 {x}。",
                "The field plan and the table differ: missing {m}, extra {x} (or a name occurs twice).",
            ).fill(m=missing or "无", x=extra or "无"),
            fix=Text("请让每一列恰好对应一个字段。", "Give every column exactly one field."),
            missing=missing,
            extra=extra,
        )


def _refuse_nothing(fields: Sequence[Field]) -> None:
    if not kept(fields):
        raise UserError(
            "plan.nothing_left",
            Text("没有列,或所有列都被去掉了,没有可生成的内容。", "No column is left: there is nothing to make."),
            fix=Text("请至少保留一列。", "Keep at least one column."),
        )


def _refuse_modelled_identifiers(fields: Sequence[Field]) -> None:
    wrong = [f.name for f in kept(fields) if f.role == "direct" and not f.generated]
    if wrong:
        raise UserError(
            "plan.identifier_modelled",
            Text(
                "列 {c} 是直接标识符,却被归为可建模的内容。",
                "Columns {c} are direct identifiers but planned as modelled.",
            ).fill(c="、".join(wrong)),
            fix=Text(
                "请改为姓名、证件号、电话等标识语义,或用 key 表示主键。",
                "Plan them as a name, ID number, phone or another identifier, or as `key`.",
            ),
            columns=wrong,
        )


def _refuse_types(fields: Sequence[Field]) -> None:
    fits = {
        "number": {"integer", "decimal"},
        "amount": {"integer", "decimal"},
        "date": {"date"},
        "timestamp": {"timestamp"},
        "key": {"text", "integer"},
        "shape": {"text", "integer"},
    }
    text_only = GENERATED - {"key", "shape"}
    wrong = [f.name for f in fields if f.dtype not in fits.get(f.semantic, set(get_args(Dtype)))]
    wrong += [f.name for f in fields if f.semantic in text_only and f.dtype != "text"]
    dated = {f.name for f in fields if f.dtype in ("date", "timestamp")}
    names = {f.name for f in fields}
    wrong += [c for f in fields if (c := f.follows.get("birth")) and c in names - dated]
    if wrong:
        raise UserError(
            "plan.type",
            Text("列 {c} 的类型与语义不符。", "The type of columns {c} does not fit their semantic.").fill(
                c="、".join(wrong)
            ),
            fix=Text(
                "证件号、电话等编码一律是文本;金额是数值;日期要写成日期类型。",
                "Identifiers are text, amounts are numbers, dates are dates.",
            ),
            columns=wrong,
        )


def _refuse_unknown_columns(fields: Sequence[Field], constraints: Sequence[Constraint]) -> None:
    present = kept(fields)
    names = {f.name for f in present}
    parents = {c for f in present if f.references for c in (f.references[0], f.name)}
    left_out = {f.name for f in fields} - names  # a rule about such a column is left out with it
    ruled = {c for rule in constraints for c in rule.columns if c in names or c.partition(".")[0] not in parents}
    ruled -= left_out
    used = {c for f in present for c in f.follows.values()} | ruled
    relations = {r for f in present for r in f.follows} - FOLLOWS
    if used - names or relations:
        unknown = sorted((used - names) | relations)
        raise UserError(
            "plan.unknown_column",
            Text("字段方案提到了不存在的列或关系:{c}。", "The plan names unknown columns or relations: {c}.").fill(
                c="、".join(unknown)
            ),
            fix=Text("请改成表中已有的列名。", "Use column names of the table."),
            columns=unknown,
        )
