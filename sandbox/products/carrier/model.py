"""What the carrier knows of a table, and what it hands back for a text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

HIDDEN = "__e"
"""The column that holds the owner of a row; no text of a merchant can name it."""

Owner = Literal["none", "one", "several"]


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, a view or the result of a step, seen by one kind of entity.

    `owner` says whether the hidden column exists: "none" (reference data: it does not), "one" (UINTEGER) or "several"
    (a sorted list of distinct UINTEGER). `domains` names the columns whose value determines the entity: where such a
    column is not NULL, the row belongs to the entity that the value determines. Two columns of the same domain share
    one value space. A relation given to `carry` must have been computed once with its hidden column, so that the
    run-time checks inside it have spoken.
    """

    columns: tuple[str, ...]
    owner: Owner = "none"
    domains: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Frozen:
    """An implicit reference step: a sub-query over this kind's data whose result is used as a constant.

    A table called `name` holds the result of `text` wherever the carried texts run. It is judged as if released.
    """

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Carried:
    """One step for one kind of entity.

    `sql` gives the step's columns and the hidden one (where `relation.owner` is not "none"); `text` is the merchant's
    text with the frozen sub-queries replaced by tables, and the very text as it came where there are none. `naming`:
    (relation, column), both folded, of relations without owners that the text reads → whether wherever it does so the
    column is equal to one that determines the owner, as in `visit JOIN clinic USING (cid)` for clinics.
    """

    sql: str
    text: str
    relation: Relation
    frozen: tuple[Frozen, ...] = ()
    naming: Mapping[tuple[str, str], bool] = field(default_factory=dict)
