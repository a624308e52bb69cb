"""主体与角色: whose records a table holds, and what each of its columns is, as the department declares it.

A fact counts once it was verified over every row of a version (`sandbox.catalog.subjects`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from policies.text import Text
from sandbox.kernel.errors import BadInput

Role = Literal["key", "quasi", "sensitive", "open"]
ROLES: tuple[Role, ...] = ("key", "quasi", "sensitive", "open")
"""what a column is to the proofs, the most protected first: open values are left as they are when others are changed"""
Perturbation = Literal["shuffle", "domain"]
PERTURBATIONS: tuple[Perturbation, ...] = ("shuffle", "domain")
Kind = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Name = Annotated[str, Field(min_length=1, max_length=200)]
MOST_CODES = 1000
"""distinct values up to which a text column counts as codes or classes"""


class _Fact(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ThroughFact(_Fact):
    """The entity is known by another resource: its column `key` is looked up, its column `owner` is the entity's."""

    resource: Name
    key: Name
    owner: Name


class EntityFact(_Fact):
    """How the rows of a table belong to entities of one kind.

    `determined_by`: further column → name of its domain (columns of one domain share their values over all tables).
    `holding`: the column that names the group of enterprises the entity belongs to.
    """

    column: Name
    determined_by: dict[Name, Name] = Field(default_factory=dict, max_length=20)
    through: ThroughFact | None = None
    holding: Name | None = None
    missing_share_max: Annotated[float, Field(ge=0, le=1)] = 1.0

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column of the table that it names."""
        return tuple(dict.fromkeys([self.column, *self.determined_by, *([self.holding] if self.holding else [])]))

    @property
    def domains(self) -> dict[str, str]:
        """Further determining column → its domain; with `through`, that leaves out nothing but the key itself."""
        return {c: d for c, d in self.determined_by.items() if c != self.column or self.through}


class ColumnFact(_Fact):
    """What the department says of one column where it differs from what follows from the grade, and why."""

    role: Role | None = None
    perturb: Perturbation | None = None
    reason: Annotated[str, Field(min_length=1, max_length=4000)]


class Facts(_Fact):
    """Everything a department declares of one table."""

    entities: dict[Kind, EntityFact] = Field(default_factory=dict, max_length=8)
    columns: dict[Name, ColumnFact] = Field(default_factory=dict, max_length=2000)

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        return cls.model_validate(stored)

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self:
        """Facts as somebody typed them. Raises `BadInput` naming every field that does not hold."""
        try:
            return cls.model_validate(given)
        except ValidationError as wrong:
            fields = sorted({".".join(map(str, e["loc"])) or "facts" for e in wrong.errors()})
            raise BadInput(
                "subject.invalid",
                Text(f"主体声明有误：{'、'.join(fields)}", f"The facts do not hold: {', '.join(fields)}"),
                fix=Text("请改正这些项：种类用小写英文，缺失比例为 0 到 1", "Correct these entries"), fields=fields,
            ) from wrong  # fmt: skip

    def stored(self) -> dict[str, Any]:
        return self.model_dump(mode="json")

    @property
    def digest(self) -> str:
        """Names the facts that a check was made of: only those about entities can be checked."""
        text = json.dumps(self.stored()["entities"], ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def keys(self) -> dict[str, str]:
        """Kind → the table's own column with the entity's key; kinds known through another table are left out."""
        return {kind: fact.column for kind, fact in self.entities.items() if fact.through is None}

    @property
    def key_columns(self) -> frozenset[str]:
        """Every column whose value leads to an entity."""
        return frozenset(c for fact in self.entities.values() for c in (fact.column, *fact.determined_by))


class Described(Protocol):
    """What the catalogue knows of a column."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def level(self) -> int: ...
    @property
    def sensitive(self) -> bool: ...
    @property
    def identifier_role(self) -> str: ...
    @property
    def distinct(self) -> int: ...


def derived_role(column: Described) -> Role:
    """What follows from the grade: an identifier is a key; what identifies nobody is open at the public level only."""
    if column.identifier_role == "direct":
        return "key"
    if column.identifier_role == "quasi":
        return "quasi"
    return "open" if column.identifier_role == "none" and column.level == 1 and not column.sensitive else "sensitive"


def derived_perturbation(column: Described) -> Perturbation:
    """Codes and classes are exchanged for others of their column; everything else is shuffled and set to its ends."""
    coded = column.type == "boolean" or (column.type == "text" and column.distinct <= MOST_CODES)
    return "domain" if coded else "shuffle"


def roles_of(facts: Facts, columns: Sequence[Described]) -> dict[str, Role]:
    """Column → role: as the department corrected it, else by its grade; the keys of entities are keys."""
    said = {name: fact.role for name, fact in facts.columns.items() if fact.role}
    return {c.name: "key" if c.name in facts.key_columns else said.get(c.name) or derived_role(c) for c in columns}


def perturbations_of(facts: Facts, columns: Sequence[Described]) -> dict[str, Perturbation]:
    """Column → how the proofs change its values."""
    said = {name: fact.perturb for name, fact in facts.columns.items() if fact.perturb}
    return {c.name: said.get(c.name) or derived_perturbation(c) for c in columns}


# ---- what protects less ----


WEAKENINGS: dict[str, Text] = {
    "kind": Text("不再当作“{kind}”的数据", "its rows would no longer be those of “{kind}”"),
    "key": Text("“{kind}”改由“{after}”识别（原为“{before}”）", "“{kind}” would be known by “{after}”, not “{before}”"),
    "holding": Text("“{kind}”不再按“{before}”归并企业集团", "“{kind}” would no longer be grouped by “{before}”"),
    "missing": Text("允许缺少“{kind}”标识的行由 {before}% 放宽到 {after}%",
                    "rows without a key of “{kind}” would be allowed up to {after}%, not {before}%"),
    "role": Text("列“{column}”的角色放宽", "column “{column}” would have a less protected role"),
}  # fmt: skip
"""what a declaration would take away → in words"""


@dataclass(frozen=True, slots=True)
class Weakening:
    """One protection that a declaration takes away: a code of `WEAKENINGS` and what its words name."""

    code: str
    named: Mapping[str, str]


def weakened(before: Facts, after: Facts, columns: Sequence[Described]) -> list[Weakening]:
    """What `after` protects less than `before`; empty when it may take effect on one person's word.

    A kind, its key, the grouping of enterprises and the bound on rows without an owner decide who is counted as whom;
    a role decides what the proofs leave as it is. A further determining column that is taken out only makes fewer jobs
    provable, so it is no weakening.
    """
    kinds = [w for kind, fact in before.entities.items() for w in _of_kind(kind, fact, after.entities.get(kind))]
    old, new = (roles_of(Facts(columns=f.columns), columns) for f in (before, after))
    return kinds + [
        Weakening("role", {"column": name, "before": old[name], "after": new[name]})
        for name in old if ROLES.index(new[name]) > ROLES.index(old[name])
    ]  # fmt: skip


def _of_kind(kind: str, fact: EntityFact, new: EntityFact | None) -> Iterator[Weakening]:
    if new is None:
        yield Weakening("kind", {"kind": kind})
        return
    if (new.column, new.through) != (fact.column, fact.through):
        yield Weakening("key", {"kind": kind, "before": _known_by(fact), "after": _known_by(new)})
    if fact.holding and new.holding != fact.holding:
        yield Weakening("holding", {"kind": kind, "before": fact.holding})
    if new.missing_share_max > fact.missing_share_max:
        shares = {"before": fact.missing_share_max, "after": new.missing_share_max}
        yield Weakening("missing", {"kind": kind, **{k: f"{100 * v:.4g}" for k, v in shares.items()}})


def _known_by(fact: EntityFact) -> str:
    if fact.through is None:
        return fact.column
    return f"{fact.column} → {fact.through.resource}.{fact.through.owner}"
