"""Generator plans: who made one, what it says of each column, and what of it was refused and why.

A plan from outside is a text like any other from outside. It is read as data, each rule of it against the types of
`generator`, and every text in it against `shapes`; a rule that does not hold falls back to the catalogue's rule, alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from policies.text import Text, UserError
from synthetic import generator
from synthetic.fields import Field
from synthetic.generator import Rule
from synthetic.shapes import first_refused

MOST_COLUMNS = 300
MOST_ENTRIES = 500
"""texts in one rule of a plan"""
RULES = "rules"

REFUSED: Mapping[str, Text] = {
    "form": Text("不是可识别的规则写法", "not a rule of a known form"),
    "identifier": Text("文字像证件号、电话或其他标识", "a text looks like an identifier"),
    "too_many": Text(f"一条规则超过 {MOST_ENTRIES} 项", f"more than {MOST_ENTRIES} texts in one rule"),
    "unknown_column": Text("引用了没有的列", "refers to a column that is not there"),
    "type": Text("与列的类型不符", "does not fit the column's type"),
    "too_long": Text("超过列的长度", "longer than the column"),
    "not_in_dictionary": Text("取值不在字典内", "a value outside the dictionary"),
    "circle": Text("列之间互相依赖", "columns depend on each other in a circle"),
}


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan: its `source` ("model NAME" or "rules"), its rules by column, and the columns whose rule was refused.

    `fallback` says why no plan was got although one was asked for; then the source is "rules".
    """

    source: str = RULES
    rules: Mapping[str, Rule] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    fallback: UserError | None = None

    @classmethod
    def by_rules(cls, fallback: UserError | None = None) -> Planned:
        """No plan: every column by the catalogue's rules."""
        return cls(fallback=fallback)

    def as_dict(self) -> dict[str, Any]:
        """For the manifest, JSON-able: enough to draw the same rows again without asking anybody."""
        rules = generator.as_dict(dict(self.rules))
        text = json.dumps(rules, ensure_ascii=False, sort_keys=True)
        reason = self.fallback
        return {
            "source": self.source,
            "rules": rules,
            "digest": hashlib.sha256(text.encode()).hexdigest(),
            "refused": {name: {"code": code, "text": REFUSED[code].as_dict()} for name, code in self.refused.items()},
            "fallback": None if reason is None else {"code": reason.code, "text": reason.text.as_dict()},
        }


class Planner(Protocol):
    """Makes a generator plan from the catalogue alone."""

    def plan(self, table: str, fields: Sequence[Field]) -> Planned:
        """A plan for the columns that no identifier, parent or real row makes. Never raises for what others did wrong:
        where no plan can be had, the answer is `Planned.by_rules` with the reason."""
        ...


def plannable(fields: Sequence[Field]) -> list[Field]:
    """The columns a plan may speak of: identifiers and keys of parents are made elsewhere in any case."""
    return [f for f in fields if (not f.generated or f.semantic == "free_text") and f.references is None]


def read_plan(text: str, fields: Sequence[Field]) -> tuple[dict[str, Rule], dict[str, str]]:
    """The rules of an untrusted plan that hold, and the reason code of each column whose rule does not.

    The text is one JSON object `{"columns": {name: rule}}`.

    Raises:
        ValueError: no such object, or more than `MOST_COLUMNS` columns; the message repeats nothing of the text.
    """
    document = _document(text)
    known = {f.name: f for f in plannable(fields)}
    rules: dict[str, Rule] = {}
    refused: dict[str, str] = {}
    for name, told in document.items():
        if name not in known:
            continue  # what is not asked for is not even named: the name is the model's, not ours
        rule, reason = _rule(told)
        reason = reason or (generator.misfit(rule, known[name], known) if rule else "form")
        if rule is None or reason:
            refused[name] = reason or "form"
        else:
            rules[name] = rule
    for name in _leaning(rules, known):
        refused[name] = "circle"
        del rules[name]
    return rules, refused


def _document(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("the plan is no JSON") from error
    if not isinstance(found, dict) or set(found) != {"columns"} or not isinstance(found["columns"], dict):
        raise ValueError('the plan is no object with "columns" alone')
    if len(found["columns"]) > MOST_COLUMNS:
        raise ValueError(f"the plan has more than {MOST_COLUMNS} columns")
    columns: dict[str, Any] = found["columns"]
    return columns


def _rule(told: Any) -> tuple[Rule | None, str | None]:
    try:
        rule = generator.RULE.validate_python(told, strict=False)
    except (ValueError, RecursionError):  # pydantic's error is a ValueError and would repeat the text
        return None, "form"
    texts = list(rule.texts())
    if len(texts) > MOST_ENTRIES:
        return None, "too_many"
    return (None, "identifier") if first_refused(texts) is not None else (rule, None)


def _leaning(rules: Mapping[str, Rule], known: Mapping[str, Field]) -> list[str]:
    """Columns of a circle, and those that lean on one; a column without a rule of the plan leans on nothing."""
    settled = {name for name in known if name not in rules}
    waiting = set(rules)
    while ready := {name for name in waiting if rules[name].column is None or rules[name].column in settled}:
        settled |= ready
        waiting -= ready
    return sorted(waiting)
