"""The owner of a row as an SQL expression, with the checks that speak at run time.

Two different owners in one row or group stop the statement with `error('mixed_owner')`: an error, never a guess.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sqlglot import exp, parse_one

from sandbox.products.carrier.grammar import DIALECT
from sandbox.products.carrier.model import HIDDEN, Owner
from sandbox.products.carrier.scope import Source


@dataclass(slots=True)
class Parts:
    """What a row's owner is made of: the hidden columns of its sources, and which must be covered by which.

    `covers` has (kept, joined): where the joined side has an owner, the kept side must have the same one, or deleting
    that owner would leave an empty row behind.
    """

    sources: list[Source] = field(default_factory=list)
    covers: list[tuple[tuple[Source, ...], tuple[Source, ...]]] = field(default_factory=list)

    def add(self, source: Source, kind: str) -> str:
        """Take in the right side of a join; gives the code of a refusal, or nothing."""
        before, new = tuple(self.sources), source.relation.owner != "none"
        if new:
            self.sources.append(source)
        kept, joined = (before, (source,) if new else ()) if kind == "LEFT" else ((source,) if new else (), before)
        if kind in ("LEFT", "RIGHT") and joined:
            if not kept:
                return "join.outer"
            self.covers.append((kept, joined))
        if kind == "FULL" and bool(before) != new:
            return "join.outer"
        return ""


def owner_of(parts: Parts, several: bool) -> Owner:
    """Whether a row has no owner, one, or a list of them."""
    if not parts.sources:
        return "none"
    listed = any(s.relation.owner == "several" for s in parts.sources)
    return "several" if listed or (several and len(parts.sources) > 1) else "one"


def row(parts: Parts, form: Owner) -> exp.Expr:
    """The owner of a row of FROM, in the form given ("one" or "several")."""
    columns = [_column(s) for s in parts.sources]
    if form == "several":
        return joined_lists([_listed(s) for s in parts.sources], _uncovered(parts, _not_in_list))
    return joined(columns, _uncovered(parts, _nobody))


def joined(columns: Sequence[str], uncovered: Sequence[str]) -> exp.Expr:
    """One owner out of several hidden columns."""
    if len(columns) == 1:
        return _sql(columns[0])
    every = ", ".join(columns)
    wrong = " OR ".join([f"greatest({every}) <> least({every})", *uncovered])
    return _sql(f"CASE WHEN {wrong} THEN error('mixed_owner') ELSE coalesce({every}) END")


def joined_lists(lists: Sequence[str], uncovered: Sequence[str]) -> exp.Expr:
    """All owners of a row, sorted and distinct; NULL where there is none."""
    union = f"nullif(list_sort(list_distinct(flatten([{', '.join(lists)}]))), CAST([] AS UINTEGER[]))"
    if not uncovered:
        return _sql(union)
    return _sql(f"CASE WHEN {' OR '.join(uncovered)} THEN error('mixed_owner') ELSE {union} END")


def grouped(owner: exp.Expr) -> exp.Expr:
    """The owner of a group: all its rows have the same one, or none has any."""
    return _sql(f"CASE WHEN {mixed(owner)} THEN error('mixed_owner') ELSE min({owner.sql(DIALECT)}) END")


def guarded(condition: exp.Expr, owner: exp.Expr) -> exp.Expr:
    """A HAVING that looks at the owners of a group first, so that no group of two owners is dropped unseen."""
    return _sql(f"CASE WHEN {mixed(owner)} THEN error('mixed_owner') ELSE {condition.sql(DIALECT)} END")


def mixed(owner: exp.Expr) -> str:
    """The condition that a group holds rows of two owners, or of one and of nobody."""
    e = owner.sql(DIALECT)
    return f"count({e}) NOT IN (0, count(*)) OR min({e}) <> max({e})"


def partitioned(owner: exp.Expr, partitions: Sequence[Sequence[exp.Expr]]) -> exp.Expr:
    """The owner of a row whose windows look over these partitions: each must lie within one owner."""
    e = owner.sql(DIALECT)
    wrong = []
    for partition in dict.fromkeys(", ".join(p.sql(DIALECT) for p in partition) for partition in partitions):
        over = f"OVER (PARTITION BY {partition})"
        wrong.append(f"min({e}) {over} <> max({e}) {over} OR count({e}) {over} NOT IN (0, count(*) {over})")
    if not wrong:
        return owner
    return _sql(f"CASE WHEN {' OR '.join(wrong)} THEN error('mixed_owner') ELSE {e} END")


def never_null(column: exp.Expr) -> exp.Expr:
    """A key that may not be missing, because NOT IN would then hang on the rows of other entities."""
    c = column.sql(DIALECT)
    return _sql(f"CASE WHEN {c} IS NULL THEN error('missing_key') ELSE {c} END")


def nobody(form: Owner) -> exp.Expr:
    """The hidden column of rows without an owner, in the type of its neighbours."""
    return _sql(f"CAST(NULL AS {'UINTEGER[]' if form == 'several' else 'UINTEGER'})")


def as_list(owner: exp.Expr) -> exp.Expr:
    """One owner as a list of one; NULL stays NULL."""
    e = owner.sql(DIALECT)
    return _sql(f"CASE WHEN {e} IS NOT NULL THEN [{e}] END")


def _column(source: Source) -> str:
    return exp.column(HIDDEN, table=source.alias.copy(), quoted=True).sql(DIALECT)


def _listed(source: Source) -> str:
    return _column(source) if source.relation.owner == "several" else f"[{_column(source)}]"


def _uncovered(parts: Parts, wrong: Callable[[Sequence[Source], Sequence[Source]], str]) -> list[str]:
    return [wrong(kept, joined) for kept, joined in parts.covers]


def _nobody(kept: Sequence[Source], joined: Sequence[Source]) -> str:
    return f"(coalesce({_columns(kept)}) IS NULL AND coalesce({_columns(joined)}) IS NOT NULL)"


def _not_in_list(kept: Sequence[Source], joined: Sequence[Source]) -> str:
    every, some = (f"list_distinct(flatten([{', '.join(map(_listed, side))}]))" for side in (kept, joined))
    return f"NOT list_has_all({every}, {some})"


def _columns(sources: Sequence[Source]) -> str:
    return ", ".join(map(_column, sources))


def _sql(text: str) -> exp.Expr:
    return parse_one(text, read=DIALECT)
