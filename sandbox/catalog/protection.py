"""What a grade protects a column with, and which of two grades protects it more: one rule for screen, guard and job."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Protocol, Self

Role = Literal["direct", "quasi", "sensitive", "none"]
ROLES: tuple[Role, ...] = ("direct", "quasi", "sensitive", "none")
Change = tuple[Any, Any]
"""(before, after) of one fact of a grade"""


class Graded(Protocol):
    """Whatever carries a grade: a column of a version, or a proposal for one."""

    @property
    def level(self) -> int: ...
    @property
    def category(self) -> str: ...
    @property
    def sensitive(self) -> bool: ...
    @property
    def identifier_role(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Grade:
    """One column's grade: level 1–4, category, whether it is sensitive, its role as an identifier."""

    level: int
    category: str
    sensitive: bool
    identifier_role: str

    @classmethod
    def of(cls, one: Graded) -> Self:
        return cls(one.level, one.category, one.sensitive, one.identifier_role)

    def changes(self, after: Grade) -> dict[str, Change]:
        """Fact → (before, after), for the facts in which the two differ."""
        old, new = asdict(self), asdict(after)
        return {fact: (old[fact], new[fact]) for fact in old if old[fact] != new[fact]}


@dataclass(frozen=True, slots=True)
class Override:
    """What people say a column is; None leaves the fact as it is."""

    level: int | None = None
    category: str | None = None
    sensitive: bool | None = None
    identifier_role: str | None = None

    def applied(self, grade: Grade) -> Grade:
        return replace(grade, **{fact: said for fact, said in asdict(self).items() if said is not None})


def weakens(fact: str, change: Change) -> bool:
    """Whether this change takes a protection away.

    A direct identifier is kept out of products and replaced by pseudonyms, a quasi-identifier is counted for
    k-anonymity, a sensitive attribute for l-diversity: only becoming direct, or becoming anything after having been
    nothing, takes none of them away. A category alone protects nothing.
    """
    before, after = change
    if fact == "identifier_role":
        return bool(before != "none" and after != "direct")
    return bool(after < before) if fact in ("level", "sensitive") else False


def split(changes: dict[str, Change]) -> tuple[dict[str, Change], dict[str, Change]]:
    """(changes that take no protection away, changes that do)."""
    weaker = {fact: change for fact, change in changes.items() if weakens(fact, change)}
    return {fact: change for fact, change in changes.items() if fact not in weaker}, weaker
