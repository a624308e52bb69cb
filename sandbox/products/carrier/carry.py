"""The hidden owner column through one SELECT, or a refusal.

The text is changed as little as its meaning allows: stars are spelt out, the owner is appended as the last column of
every query that reads owned rows, and a sub-query that the rules make a constant becomes a table. Everything else stays
as the merchant wrote it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from sqlglot import exp

from sandbox.products.carrier import owners, subqueries
from sandbox.products.carrier.allowlist import allowed
from sandbox.products.carrier.grammar import DIALECT, fold, is_aggregate, join_kind, parsed, place
from sandbox.products.carrier.model import HIDDEN, Carried, Frozen, Owner, Relation
from sandbox.products.carrier.outputs import Output, expand, grouping, outputs
from sandbox.products.carrier.refusals import Refusal, Refused, refusal
from sandbox.products.carrier.scope import Fact, Scope, Source, Unresolved, connected, tied


def carry(text: str, tables: Mapping[str, Relation], *, step: str, several: bool = False) -> Carried:
    """The step's text so that the owner of every row comes along, for one kind of entity.

    `tables` are all relations the text may read, by name. With `several` a row may belong to more than one entity.
    Raises `Refused` with the reasons found.
    """
    tree = parsed(text, step)
    allowed(text, tables, step=step)
    for number, node in enumerate(tree.find_all(exp.Query)):
        node.meta["query"] = number
    walker = Walker(step, several)
    known = {fold(name): Entry(relation) for name, relation in tables.items()}
    try:
        found = walker.query(tree.copy(), known, None)
        if found.problems:
            raise Refused(tuple(dict.fromkeys(found.problems)))
        walker.named(found)
    except RecursionError:
        raise Refused((refusal("too_deep", step),)) from None
    plain = text if not walker.replaced else replaced(tree, walker.replaced).sql(DIALECT)
    sql = found.with_owner(found.form).sql(DIALECT)
    return Carried(sql, plain, found.relation(), tuple(walker.frozen.values()), walker.naming)


def replaced(tree: exp.Expr, names: Mapping[int, str]) -> exp.Expr:
    """The text's tree with its frozen sub-queries as tables."""

    def one(node: exp.Expr) -> exp.Expr:
        name = names.get(node.meta.get("query", -1)) if isinstance(node, exp.Query) else None
        return constant(name) if name else node

    return tree.copy().transform(one)


def constant(name: str) -> exp.Select:
    """A frozen result, read."""
    return exp.select("*").from_(exp.to_table(name))


@dataclass(frozen=True, slots=True)
class Entry:
    """A name that FROM may use. `ctes` are the definitions it needs to be read alone, itself included."""

    relation: Relation
    static: bool = True
    ctes: tuple[exp.CTE, ...] = ()


@dataclass(slots=True)
class Found:
    """What the rules say of one query, before its owner is written into it."""

    node: exp.Query
    form: Owner
    outputs: list[Output]
    owner: exp.Expr | None = None
    problems: list[Refusal] = field(default_factory=list)
    """what keeps its rows from belonging to one entity each"""
    static: bool = True
    tied: bool = True
    """every owned row in it belongs to the entity of the outer row"""
    correlated: bool = False
    aggregate: bool = False
    branches: tuple[Found, ...] = ()

    def relation(self) -> Relation:
        """The result as a table: every column has a name of its own."""
        domains = {o.name: o.domain for o in self.outputs if o.domain} if self.form != "none" else {}
        return Relation(tuple(output.name for output in self.outputs), self.form, domains)

    def selects(self) -> Iterator[exp.Select]:
        """The SELECTs whose rows make up the result."""
        if isinstance(self.node, exp.Select):
            yield self.node
        for branch in self.branches:
            yield from branch.selects()

    def with_owner(self, form: Owner) -> exp.Query:
        """The query with its hidden column, in the form its surroundings need ("none": without)."""
        if form == "none":
            return self.node
        if self.branches:
            left, right = (branch.with_owner(form) for branch in self.branches)
            self.node.set("this", left)
            self.node.set("expression", right)
            return self.node
        if not isinstance(self.node, exp.Select):
            raise TypeError(type(self.node).__name__)
        owner = self.owner or owners.nobody(form)
        if self.owner is not None and form == "several" and self.form == "one":
            owner = owners.as_list(owner)
        return append(self.node, owner)


def append(node: exp.Select, owner: exp.Expr) -> exp.Select:
    """The hidden column as the last one. Of rows that DISTINCT merges, all have the same owner or it is an error."""
    hidden = exp.alias_(owner, HIDDEN, quoted=True)
    if not node.args.get("distinct"):
        return node.select(hidden, copy=False)
    node.set("distinct", None)
    count = len(node.expressions)
    inner = node.select(hidden, copy=False).subquery("__s", copy=False)
    every = exp.Star(except_=[exp.to_identifier(HIDDEN, quoted=True)])
    checked = exp.alias_(owners.grouped(exp.column(HIDDEN, table="__s", quoted=True)), HIDDEN, quoted=True)
    return exp.select(every, checked).from_(inner).group_by(*(str(i + 1) for i in range(count)))


class Walker:
    """One walk over a text: which sub-queries were frozen, and the rules for one query after another."""

    def __init__(self, step: str, several: bool) -> None:
        self.step, self.several = step, several
        self.frozen: dict[str, Frozen] = {}
        self.replaced: dict[int, str] = {}
        self.naming: dict[tuple[str, str], bool] = {}
        self._unnamed = 0

    def refuse(self, code: str, node: exp.Expr, subject: str = "") -> Refused:
        return Refused((self.problem(code, node, subject),))

    def problem(self, code: str, node: exp.Expr, subject: str = "") -> Refusal:
        return refusal(code, self.step, place(node), subject)

    def mark(self) -> tuple[dict[str, Frozen], dict[int, str]]:
        """What is frozen so far."""
        return dict(self.frozen), dict(self.replaced)

    def forget(self, mark: tuple[dict[str, Frozen], dict[int, str]]) -> None:
        """Undo what was frozen since the mark: it lies inside a query that is frozen as a whole."""
        self.frozen, self.replaced = mark

    def freeze(self, query: exp.Query, known: Mapping[str, Entry]) -> exp.Select:
        """Make a query over this kind's rows an implicit reference step; gives what is run in its place."""
        alone = query.copy()
        needed = [c for table in query.find_all(exp.Table) for c in known.get(fold(table.name), _NOTHING).ctes]
        own = alone.args.pop("with_", None)
        ctes = [*{c.alias: c.copy() for c in needed}.values(), *(own.expressions if own else ())]
        if ctes:
            alone.set("with_", exp.With(expressions=ctes))
        text = alone.sql(DIALECT)
        name = f"__f{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        self.frozen[name] = Frozen(name, text)
        self.replaced[query.meta["query"]] = name
        return constant(name)

    def query(self, node: exp.Query, known: Mapping[str, Entry], outer: Scope | None) -> Found:
        """Any query: its CTEs first, then a SELECT, or the branches of UNION ALL."""
        if isinstance(node, exp.Subquery):
            return self.query(node.this, known, outer)
        known = self.ctes(node, known)
        if isinstance(node, exp.Union):
            return self.union(node, known, outer)
        if isinstance(node, exp.Select):
            return self.select(node, known, outer)
        raise self.refuse("node", node, type(node).__name__.upper())

    def ctes(self, node: exp.Query, known: Mapping[str, Entry]) -> Mapping[str, Entry]:
        """The names a WITH adds; each definition sees the ones before it."""
        clause = node.args.get("with_")
        for cte in clause.expressions if clause else ():
            name = fold(cte.alias)
            if name in known:
                raise self.refuse("name.twice", cte.args["alias"], cte.alias)
            original = cte.copy()
            found = self.relation(cte.this, known)
            cte.set("this", found.with_owner(found.form))
            relation = rename(found.relation(), cte.args["alias"])
            if cte.args["alias"].columns and relation.owner != "none":
                cte.args["alias"].append("columns", exp.to_identifier(HIDDEN, quoted=True))
            before = [c for t in original.find_all(exp.Table) for c in known.get(fold(t.name), _NOTHING).ctes]
            chain = tuple({c.alias: c for c in [*before, original]}.values())
            known = {**known, name: Entry(relation, found.static, chain)}
        return known

    def relation(self, query: exp.Query, known: Mapping[str, Entry]) -> Found:
        """A query that stands where a table stands: carried, or frozen where it aggregates over entities."""
        before = self.mark()
        found = self.query(query.copy(), known, None)
        if found.problems and subqueries.is_figure(found):
            self.forget(before)
            self.named(found)
            return replace(found, node=self.freeze(query, known), form="none", owner=None, problems=[], static=True)
        if found.problems:
            raise Refused(tuple(found.problems))
        self.named(found)
        return found

    def named(self, found: Found) -> None:
        """Refuse a table whose columns cannot all be told apart by name."""
        names: set[str] = set()
        for output in found.outputs:
            if not output.name:
                raise self.refuse("name.missing", output.node)
            if fold(output.name) in names:
                raise self.refuse("name.twice", output.node, output.name)
            names.add(fold(output.name))

    def union(self, node: exp.Union, known: Mapping[str, Entry], outer: Scope | None) -> Found:
        """UNION ALL: rows keep their owners; a column determines the entity where it does in both branches."""
        branches = tuple(self.query(branch, known, outer) for branch in (node.this, node.expression))
        left, right = branches
        if len(left.outputs) != len(right.outputs):
            raise self.refuse("unreadable", node)
        pairs = zip(left.outputs, right.outputs, strict=True)
        merged = [replace(a, domain=a.domain if a.domain == b.domain else None) for a, b in pairs]
        forms = {branch.form for branch in branches}
        form: Owner = "several" if "several" in forms else "one" if "one" in forms else "none"
        return Found(
            node,
            form,
            merged,
            problems=left.problems + right.problems,
            static=left.static and right.static,
            tied=left.tied and right.tied,
            correlated=left.correlated or right.correlated,
            branches=branches,
        )

    def select(self, node: exp.Select, known: Mapping[str, Entry], outer: Scope | None) -> Found:
        """One SELECT: FROM and its joins, the columns, the sub-queries, then who owns a row of the result."""
        scope, parts = Scope(outer), owners.Parts()
        try:
            problems = self.sources(node, known, scope, parts)
            scope.aliases = {fold(e.alias): e.this for e in node.expressions if isinstance(e, exp.Alias)}
            scope.where(node.args.get("where"))
            expand(node, scope)
            form = owners.owner_of(parts, self.several and not connected(scope))
            subqueries.judge(self, node, scope, known)
            self.names(node, scope)
            facts = scope.facts()
            for column, names in scope.naming(facts):
                self.naming[column] = names and self.naming.get(column, True)
            found = Found(node, form, outputs(node, scope, facts), problems=problems)
            found.aggregate = is_aggregated(node)
            found.correlated, found.static = scope.correlated, connected(scope)
            found.tied = not parts.sources or (outer is not None and tied(scope, outer.facts()))
            if form != "none":
                found.owner = self.owner(node, scope, facts, owners.row(parts, form), found)
        except Unresolved as unknown:
            place = unknown.node or culprit(node, unknown.subject)
            raise self.refuse(unknown.code, place, unknown.subject) from None
        return found

    def sources(self, node: exp.Select, known: Mapping[str, Entry], scope: Scope, parts: owners.Parts) -> list[Refusal]:
        """FROM and the joins, one after another; gives what keeps the rows from having one owner each."""
        problems: list[Refusal] = []
        start = node.args.get("from_")
        if start is None:
            return problems
        first = self.source(start.this, known)
        scope.add(first)
        parts.add(first, "INNER")
        for join in node.args.get("joins") or ():
            right, kind = self.source(join.this, known), join_kind(join)
            scope.join(right, join)
            code = parts.add(right, kind)
            if kind == "FULL" and not code and right.relation.owner != "none" and not scope.full_is_keyed(right):
                code = "join.full"
            if code:
                problems.append(self.problem(code, join))
        return problems

    def source(self, item: exp.Expr, known: Mapping[str, Entry]) -> Source:
        """One item of FROM: a table by name, VALUES, or a sub-query."""
        if isinstance(item, exp.Values):
            return self.values(item)
        if isinstance(item, exp.Subquery):
            return self.derived(item, known)
        if not isinstance(item, exp.Table):
            raise self.refuse("node", item, type(item).__name__.upper())
        entry = known.get(fold(item.name))
        if entry is None:
            raise self.refuse("table.unknown", item, item.name)
        alias = item.args.get("alias")
        name = alias.this if alias and alias.this else item.this
        if alias and alias.columns:  # its columns have other names here
            self.naming |= {(fold(item.name), fold(column)): False for column in entry.relation.columns}
            return Source(name, rename(entry.relation, alias), entry.static)
        return Source(name, entry.relation, entry.static, table=fold(item.name))

    def derived(self, item: exp.Subquery, known: Mapping[str, Entry]) -> Source:
        """A sub-query in FROM, which is given a name if it has none."""
        if not isinstance(item.this, exp.Query):
            raise self.refuse("node", item, "( )")
        found = self.relation(item.this, known)
        item.set("this", found.with_owner(found.form))
        alias = self._alias(item)
        return Source(alias.this, rename(found.relation(), alias), found.static)

    def values(self, item: exp.Values) -> Source:
        alias = self._alias(item)
        if item.find(exp.Query, exp.Column):
            raise self.refuse("subquery.place", item, "VALUES")
        width = len(item.expressions[0].expressions) if isinstance(item.expressions[0], exp.Tuple) else 1
        return Source(alias.this, rename(Relation(tuple(f"col{i}" for i in range(width))), alias))

    def _alias(self, item: exp.Expr) -> exp.TableAlias:
        alias = item.args.get("alias")
        if not isinstance(alias, exp.TableAlias) or not alias.this:
            self._unnamed += 1
            alias = exp.TableAlias(this=exp.to_identifier(f"__s{self._unnamed}", quoted=True))
            item.set("alias", alias)
        return alias

    def names(self, node: exp.Select, scope: Scope) -> None:
        """Every column that the SELECT itself mentions must mean one thing."""
        for column in own(node, exp.Column):
            if not isinstance(column.this, exp.Star):
                scope.resolve(column)

    def owner(self, node: exp.Select, scope: Scope, facts: set[Fact], row: exp.Expr, found: Found) -> exp.Expr:
        """Who owns a row of the result; adds to `found.problems` what spans entities."""
        determining = {ref for ref, _ in facts}
        result = row
        if found.aggregate:
            if not any(ref in determining for ref in grouping(node, scope)):
                found.problems.append(self.problem("aggregate.not_determined", _aggregate_place(node)))
            result = owners.grouped(row)
            having = node.args.get("having")
            if having:
                having.set("this", owners.guarded(having.this, row))
        partitions = []
        for window in own(node, exp.Window):
            partition = window.args.get("partition_by") or []
            refs = [scope.resolve(p) for p in partition if isinstance(p, exp.Column)]
            if not any(ref in determining for ref in refs if ref):
                found.problems.append(self.problem("window.not_determined", window))
            partitions.append(partition)
        if node.args.get("distinct") and not any(o.domain for o in found.outputs):
            found.problems.append(self.problem("distinct.not_determined", node))
        if found.form == "several" and (found.aggregate or partitions or node.args.get("distinct")):
            found.problems.append(self.problem("several", node))
        return owners.partitioned(result, partitions)


_Kind = TypeVar("_Kind", bound=exp.Expr)
_NOTHING = Entry(Relation(()))


def rename(relation: Relation, alias: exp.TableAlias | None) -> Relation:
    """The relation under the column names of an alias, which may name fewer columns than there are."""
    names = [c.name for c in alias.columns] if alias else []
    if not names:
        return relation
    columns = (*names, *relation.columns[len(names) :])
    new = dict(zip(relation.columns, columns, strict=False))
    return Relation(columns, relation.owner, {new[c]: d for c, d in relation.domains.items()})


def own(node: exp.Expr, kind: type[_Kind]) -> Iterator[_Kind]:
    """Nodes of a kind that belong to this SELECT itself: not to its sub-queries, nor to its CTEs."""
    for part in ("expressions", "joins", "where", "group", "having"):
        value = node.args.get(part)
        for item in value if isinstance(value, list) else [value] if value else ():
            for found in item.walk(prune=lambda n: isinstance(n, exp.Query)):
                if isinstance(found, kind):
                    yield found


def is_aggregated(node: exp.Select) -> bool:
    """Whether the SELECT gives groups and not rows."""
    return bool(node.args.get("group") or node.args.get("having")) or any(map(is_aggregate, own(node, exp.Expr)))


def culprit(node: exp.Select, name: str) -> exp.Expr:
    """Where a name stands in the text."""
    named = (i for i in node.find_all(exp.Identifier) if fold(i.name) == fold(name.rsplit(".", 1)[-1].strip('"')))
    return next(named, node)


def _aggregate_place(node: exp.Select) -> exp.Expr:
    return node.args.get("group") or next((n for n in own(node, exp.Expr) if is_aggregate(n)), node)
