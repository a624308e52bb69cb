"""From graded columns to the field plan of the simulation: what each column means, why, and who says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from pipelines.planrules import ASK, TIES, Case, Graded, is_identifier, lead_for, meaning_of
from policies.text import Text, UserError
from sandbox.catalog import plans, repository
from sandbox.kernel.unit import Unit
from synthetic.fields import DIGITS, GENERATED, Decider, Decision, Field, Semantic, kept

DEFAULTS = ("shape", "drop")
"""What may be taken instead of an answer: values of the column's shape, or no such column; the first is the default."""
_LEARNED: Mapping[str, tuple[str, ...]] = {
    "text": ("category", "code", "district", "street", "constant", "date", "timestamp"),
    "integer": ("number", "amount", "category", "code", "date", "constant"),
    "decimal": ("number", "amount", "category"),
    "date": ("date",),
    "timestamp": ("timestamp",),
    "boolean": ("category",),
}
_WHOLE = ("key", "shape")
_COUNTED = frozenset({"category", "code", "district", "street"})
"""meanings whose values a dictionary lists"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What somebody says a column means, instead of the machine; `at` is ISO 8601."""

    semantic: str
    by: Decider
    who: str
    at: str


def plan(
    columns: Sequence[Graded], declared: Mapping[str, Any], references: Mapping[str, tuple[str, str]], rows: int,
    answers: Mapping[str, Answer] | None = None,
) -> list[Field]:  # fmt: skip
    """One field a column, each with its decision: an operator's answer, the department's declaration, or a rule.

    A text column that nothing explains gets the meaning "", which the plan check refuses with a question for the
    operator, unless `declared["unclassified"]` gives the default answer for all of them ("shape" or "drop"). An answer
    or declaration that would let an identifier be learned does not count.

    Args:
        declared: {"columns": {name: {semantic, codes, follows, unique}}, "quality": rules, "unclassified": default}.
        references: column → (parent table, its column).
        rows: rows of the table.
    """
    codes = _dictionaries(declared)
    fields = [_field(Case(c, rows, codes.get(c.name, ())), declared, references, (answers or {})) for c in columns]
    said = declared.get("columns", {})
    return [_tied(f, fields, said.get(f.name, {})) for f in fields]


def choices(column: Graded) -> tuple[str, ...]:
    """The meanings a person may give a column: those its type can carry; only invented ones for an identifier."""
    invented = {"text": GENERATED - set(_WHOLE), "integer": DIGITS}.get(column.type, frozenset())
    made = (*(s for s in get_args(Semantic) if s in invented), *_WHOLE) if column.type in ("text", "integer") else ()
    # A time or an amount that names somebody keeps its meaning: it is drawn blind, never learned.
    drawn = learnable(column) or (("code",) if made else _LEARNED.get(column.type, ()))
    return (*made, *drawn, "drop")


def learnable(column: Graded) -> tuple[str, ...]:
    """Of the choices, those whose values would be learned from real ones: none for an identifier."""
    return () if is_identifier(column) else _LEARNED.get(column.type, ())


def open_questions(fields: Sequence[Field]) -> list[str]:
    """Columns that an operator still has to say something about."""
    return [f.name for f in fields if f.semantic not in get_args(Semantic)]


def entries(columns: Sequence[Graded], fields: Sequence[Field]) -> list[dict[str, Any]]:
    """The plan as the catalogue keeps it and people read it, JSON-able; one entry a column, no value of any row."""
    return [_entry(c, f) for c, f in zip(columns, fields, strict=True)]


def _entry(column: Graded, field: Field) -> dict[str, Any]:
    decision = field.decision or Decision(ASK.id, ASK.reason)
    return {
        "name": column.name, "type": column.type, "semantic": field.semantic, "rule": decision.rule,
        "reason": decision.reason.as_dict(), "by": decision.by, "follows": dict(field.follows),
        "codes": len(field.codes), "blind": field.blind, "references": field.references and list(field.references),
        "choices": list(choices(column)), "learned": list(learnable(column)), "open": bool(open_questions([field])),
    }  # fmt: skip


# ---- one column ----


def _field(
    case: Case, declared: Mapping[str, Any], references: Mapping[str, tuple[str, str]], answers: Mapping[str, Answer]
) -> Field:
    column = case.column
    described = declared.get("columns", {}).get(column.name, {})
    semantic, decision = _decided(case, described, declared.get("unclassified"), answers.get(column.name))
    coded = semantic == "code" and is_identifier(column)
    # A time or number that names somebody has no key's shape to imitate: it is drawn without looking at a row.
    blind = column.identifier_role == "direct" and semantic not in GENERATED and not coded and semantic != "drop"
    role = "direct" if coded else "sensitive" if blind else column.identifier_role
    empty = case.rows > 0 and case.filled == 0
    return Field(
        name=column.name, dtype=_dtype(column, semantic), semantic=semantic,  # type: ignore[arg-type]
        role=role, blind=blind, level=column.level,  # type: ignore[arg-type]
        unique=bool(described.get("unique", False)), comment=column.comment, null_share=1.0 if empty else None,
        codes=case.codes if semantic in _COUNTED and not coded else (),
        length=15 if column.entity == "CN_RESIDENT_ID_15" and semantic == "resident_id" else None,
        references=references.get(column.name), decision=decision,
    )  # fmt: skip


def _dtype(column: Graded, semantic: str) -> str:
    """The type the simulation works in: dates written as text or numbers are dates, digits are signs."""
    if semantic in ("date", "timestamp"):
        return semantic
    return "text" if column.type == "integer" and semantic in DIGITS else column.type


def _decided(
    case: Case, described: Mapping[str, Any], default: str | None, answer: Answer | None
) -> tuple[str, Decision]:
    """The semantic and the decision behind it; what people say counts first, as far as they may say it."""
    column = case.column
    allowed = choices(column)
    if answer is not None and answer.semantic in allowed:
        words = _DEFAULT if answer.by == "default" else _ANSWER
        return answer.semantic, Decision(*words, answer.by, answer.who, answer.at)
    if described.get("semantic") in allowed:
        return described["semantic"], Decision(*_DECLARED, "declared")
    semantic, rule = meaning_of(case)
    if not semantic and default in DEFAULTS:
        return str(default), Decision(*_DEFAULT, "default")
    if semantic and semantic not in allowed:  # an identifier that no provider makes in this type
        semantic = "code"
    return semantic, Decision(rule.id, rule.reason.fill(entity=column.entity or ""))


_ANSWER = ("PLAN-ANSWER", Text("运营人员指定", "an operator says so"))
_DEFAULT = (
    "PLAN-DEFAULT",
    Text("未作答，按默认处理（假定）", "nobody answered: assumed by the default answer"),
)
_DECLARED = ("PLAN-DECLARED", Text("数源部门登记时说明", "the department declares it"))


def _dictionaries(declared: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """column → its allowed values, from the declared code lists and the quality rules (kind `code_list`)."""
    found = {
        str(rule["column"]): tuple(map(str, rule.get("values", ())))
        for rule in declared.get("quality", ())
        if isinstance(rule, Mapping) and rule.get("kind") == "code_list" and "column" in rule
    }
    own = {name: tuple(map(str, c["codes"])) for name, c in declared.get("columns", {}).items() if c.get("codes")}
    return found | own


# ---- columns that belong together ----


def _tied(field: Field, fields: Sequence[Field], described: Mapping[str, Any]) -> Field:
    """The field with what it follows: as declared, else as the ties of the rule table say."""
    if field.semantic == "drop":
        return field
    present = kept(fields)
    if "follows" in described:
        names = {f.name for f in present}
        return replace(field, follows={r: c for r, c in dict(described["follows"]).items() if c in names})
    follows: dict[str, str] = {}
    decision = field.decision
    for tie in (t for t in TIES if field.semantic in t.semantics and t.relation not in follows):
        lead = lead_for(field, tie, present)
        if lead is not None and decision is not None:
            follows[tie.relation] = lead
            words = tie.reason.fill(lead=lead)
            said = decision.reason
            decision = replace(decision, reason=Text(f"{said.zh}；{words.zh}", f"{said.en}; {words.en}"))
    return replace(field, follows=follows, decision=decision)


# ---- beside the catalogue ----


def propose(unit: Unit, resource_id: str, number: int) -> None:
    """Keep the machine's plan of a version in the catalogue, where people read it and answer its questions."""
    resource = repository.get(unit.session, resource_id)
    version = repository.version(unit.session, resource_id, number)
    columns = repository.columns(unit.session, resource_id, number)
    links = {link["column"]: (link["resource"], link["to"]) for link in resource.declared.get("references", [])}
    fields = plan(columns, resource.declared, links, version.rows)
    plans.propose(unit, resource_id, number, entries(columns, fields))


def answers_for(unit: Unit, resource_id: str, columns: Sequence[Graded]) -> dict[str, Answer]:
    """What people answered about columns of these names and types."""
    given = plans.answers(unit.session, resource_id)
    found = {c.name: given[c.name, c.type] for c in columns if (c.name, c.type) in given}
    return {
        name: Answer(a.semantic, "default" if a.by_default else "operator", a.answered_by, a.answered_at.isoformat())
        for name, a in found.items()
    }


def refuse_open(fields: Sequence[Field]) -> None:
    """Raise the question to the operator while any column is unexplained."""
    unknown = open_questions(fields)
    if unknown:
        raise UserError(
            "plan.unclassified",
            Text(
                f"列 {'、'.join(unknown)} 没有说明是什么内容，不能生成仿真数据",
                f"Columns {', '.join(unknown)} are not classified, so nothing is made",
            ),
            fix=Text(
                "请在资源的“仿真方案”页逐列回答，或对其余各列采用默认处理，然后重新生成",
                "Answer on the resource's page “Simulation plan”, or take the default for the rest, then make it again",
            ),
            columns=unknown,
        )
