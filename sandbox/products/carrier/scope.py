"""Names and equalities of one SELECT: which column is meant, and which columns determine the entity.

A *fact* (column, domain) says: where this column is not NULL, the value it has in that domain names an owner of the
row. Facts start at the tables and spread along equalities that every row of the result has passed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count

from sqlglot import exp

from sandbox.products.carrier.grammar import DIALECT, fold, join_kind
from sandbox.products.carrier.model import Relation

Ref = tuple[int, str, str]
"""One column of one source: scope, alias, column (both folded)."""

Fact = tuple[Ref, str]

_ids = count()


class Unresolved(Exception):
    """A name that means nothing, or more than one thing. `code` is one of refusals.WORDING."""

    def __init__(self, code: str, subject: str, node: exp.Expr | None = None) -> None:
        super().__init__(code)
        self.code, self.subject, self.node = code, subject, node


@dataclass(slots=True)
class Source:
    """One item of FROM. `static`: the domains alone show that a row has one owner, no run-time check is needed.
    `table`: the relation it is, where it is one by name."""

    alias: exp.Identifier
    relation: Relation
    static: bool = True
    table: str = ""

    @property
    def name(self) -> str:
        return fold(self.alias.name)

    def columns(self) -> dict[str, str]:
        """Folded name → name."""
        return {fold(c): c for c in self.relation.columns}

    def domains(self) -> dict[str, str]:
        return {fold(c): d for c, d in self.relation.domains.items()}


@dataclass(slots=True)
class Scope:
    """The names visible in one SELECT, and the equalities that hold in it."""

    outer: Scope | None = None
    sources: list[Source] = field(default_factory=list)
    aliases: Mapping[str, exp.Expr] = field(default_factory=dict)
    merged: dict[str, Ref] = field(default_factory=dict)
    """USING columns: name → the side whose value the joined column has"""
    edges: set[tuple[Ref, Ref]] = field(default_factory=set)
    """(from, to): where `to` is not NULL it equals `from`"""
    full: list[tuple[str, Ref | None, Ref, Ref]] = field(default_factory=list)
    """equalities of FULL joins: alias of the right side, the merged column of USING, left, right"""
    correlated: bool = False
    id: int = field(default_factory=lambda: next(_ids))

    def ref(self, source: Source, column: str) -> Ref:
        return (self.id, source.name, column)

    def add(self, source: Source) -> None:
        """One more item of FROM; raises `Unresolved` where its alias is taken."""
        if any(source.name == other.name for other in self.sources):
            raise Unresolved("name.twice", source.alias.name, source.alias)
        self.sources.append(source)

    def resolve(self, column: exp.Column) -> Ref | None:
        """The source column that is meant; None where the name is an alias of a computed column.

        Raises `Unresolved` for an unknown or ambiguous name. A column of an outer query marks every scope on the way as
        correlated.
        """
        name, table = fold(column.name), fold(column.table)
        found = self._here(name, table)
        if len(found) > 1:
            raise Unresolved("name.ambiguous", name, column)
        if found:
            return found[0]
        if not table and name in self.aliases:
            meant = self.aliases[name]
            plain = isinstance(meant, exp.Column) and fold(meant.name) != name
            return self.resolve(meant) if plain and isinstance(meant, exp.Column) else None
        if self.outer is None:
            raise Unresolved("name.unknown", column.sql(DIALECT), column)
        if not table and name in self.outer.aliases and self.outer._here(name, table):
            raise Unresolved("name.ambiguous", name, column)  # HAVING and WHERE would take different ones
        self.correlated = True
        return self.outer.resolve(column)

    def _here(self, name: str, table: str) -> list[Ref]:
        if not table and name in self.merged:
            return [self.merged[name]]
        return [self.ref(s, name) for s in self.sources if name in s.columns() and (not table or s.name == table)]

    def join(self, source: Source, join: exp.Join) -> None:
        """Add the right side of a join together with the equalities it brings."""
        before = [*self.sources]
        self.add(source)
        kind = join_kind(join)
        for name in (fold(column.name) for column in join.args.get("using") or ()):
            left = self._left(name, before)
            if name not in source.columns():
                raise Unresolved("name.unknown", name)
            right = self.ref(source, name)
            self._equal(left, right, kind, source.name)
            self.merged[name] = {"RIGHT": right, "FULL": (self.id, "", name)}.get(kind, left)
            if kind == "FULL":
                self.full.append((source.name, self.merged[name], left, right))
        for left, right in equalities(join.args.get("on"), self):
            self._equal(left, right, kind, source.name)
            if kind == "FULL":
                self.full.append((source.name, None, left, right))

    def _left(self, name: str, before: Iterable[Source]) -> Ref:
        if name in self.merged:
            return self.merged[name]
        found = [self.ref(s, name) for s in before if name in s.columns()]
        if len(found) != 1:
            raise Unresolved("name.ambiguous" if found else "name.unknown", name)
        return found[0]

    def _equal(self, a: Ref, b: Ref, kind: str, right: str) -> None:
        """The equality of a join's condition: an outer join keeps rows on one side that have not passed it."""
        for start, end in ((a, b), (b, a)):
            side = ("RIGHT" if end[1] == right else "LEFT") if end[0] == self.id else "OUTER"
            # LEFT keeps left rows whatever the condition says: only what is on the right has passed it
            if kind == "INNER" or (kind, side) in (("LEFT", "RIGHT"), ("RIGHT", "LEFT")):
                self.edges.add((start, end))

    def where(self, condition: exp.Expr | None) -> None:
        """The equalities among the AND-ed conditions of WHERE: every row of the result has passed them."""
        for left, right in equalities(condition, self):
            self.edges |= {(left, right), (right, left)}

    def facts(self) -> set[Fact]:
        """What determines the entity here, spread along the equalities; outer facts included."""
        own = {(self.ref(s, c), d) for s in self.sources for c, d in s.domains().items()}
        known = spread(own | (self.outer.facts() if self.outer else set()), self.edges)
        # the joined column of a FULL JOIN … USING is one side or the other: both must determine
        both = {(ref, d) for _, ref, a, b in self.full if ref for r, d in known if r == a and (b, d) in known}
        return spread(known | both, self.edges)

    def full_is_keyed(self, source: Source) -> bool:
        """Whether a FULL JOIN to this source joins determining columns of one domain."""
        own = {(self.ref(s, c), d) for s in self.sources for c, d in s.domains().items()}
        known = spread(own, self.edges)
        return any((b, d) in known for name, _, a, b in self.full if name == source.name for r, d in known if r == a)

    def owned(self) -> list[Source]:
        return [s for s in self.sources if s.relation.owner != "none"]

    def naming(self, facts: set[Fact]) -> Iterator[tuple[tuple[str, str], bool]]:
        """Columns of relations without owners, as (relation, column), and whether they name the owner of a row."""
        determining = {ref for ref, _ in facts}
        for source in self.sources:
            if source.table and source.relation.owner == "none":
                for column in source.columns():
                    yield (source.table, column), self.ref(source, column) in determining


def spread(facts: set[Fact], edges: Iterable[tuple[Ref, Ref]]) -> set[Fact]:
    """The facts that follow along the equalities."""
    known, waiting = set(facts), list(facts)
    edges = list(edges)
    while waiting:
        ref, domain = waiting.pop()
        new = {(end, domain) for start, end in edges if start == ref} - known
        known |= new
        waiting += new
    return known


def tied(scope: Scope, seeds: set[Fact]) -> bool:
    """Whether every owned source belongs, row by row, to the entity that the seeds name.

    A source is reached where one of its own determining columns equals a known value of the same domain; all its
    determining columns are then known too.
    """
    waiting, known = scope.owned(), set(seeds)
    if not all(s.static and s.relation.owner == "one" for s in waiting):
        return False
    while waiting:
        known = spread(known, scope.edges)
        own = {s.name: {(scope.ref(s, c), d) for c, d in s.domains().items()} for s in waiting}
        reached = [s for s in waiting if own[s.name] & known]
        if not reached:
            return False
        known |= set().union(*(own[s.name] for s in reached))
        waiting = [s for s in waiting if s not in reached]
    return True


def connected(scope: Scope) -> bool:
    """Whether the domains alone show that all owned sources of a row have the same owner."""
    owned = scope.owned()
    if len(owned) == 1:
        return owned[0].static and owned[0].relation.owner == "one"
    return not owned or any(tied(scope, {(scope.ref(s, c), d) for c, d in s.domains().items()}) for s in owned)


def conjuncts(condition: exp.Expr | None) -> Iterator[exp.Expr]:
    """The conditions that are AND-ed at the top; nothing under OR, NOT or CASE."""
    if isinstance(condition, exp.Where | exp.Having | exp.Paren):
        yield from conjuncts(condition.this)
    elif isinstance(condition, exp.And):
        yield from conjuncts(condition.left)
        yield from conjuncts(condition.right)
    elif condition is not None:
        yield condition


def equalities(condition: exp.Expr | None, scope: Scope) -> Iterator[tuple[Ref, Ref]]:
    """Pairs of plain columns that the AND-ed conditions make equal."""
    for part in conjuncts(condition):
        if isinstance(part, exp.EQ):
            left, right = part.left.unnest(), part.right.unnest()
            if isinstance(left, exp.Column) and isinstance(right, exp.Column):
                a, b = scope.resolve(left), scope.resolve(right)
                if a and b:
                    yield a, b
