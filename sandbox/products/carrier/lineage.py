"""Which source columns reach a product, and which expressions a person must see.

It reads texts that the carrier has accepted. Where a name could mean two things, it counts for both: a column too many
is looked at, never one too few.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self

from sqlglot import exp, parse_one

from sandbox.products.carrier.grammar import DIALECT, fold, is_aggregate, parsed
from sandbox.products.carrier.scope import conjuncts

Column = tuple[str, str]
"""(input, column)"""

_NONE: frozenset[Column] = frozenset()
_TELLING = ("key", "quasi")
_TESTS = (
    exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Is, exp.In, exp.Between,
    exp.Like, exp.ILike, exp.And, exp.Or, exp.Not, exp.Exists,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Program:
    """The texts of one cube: inputs and their visible columns, steps in order (name → text), and the cube's text.

    `cube` is one SELECT … GROUP BY as `compile.cube_sql` writes it: an output column with an aggregate in it is a
    measure, every other one a dimension.
    """

    tables: Mapping[str, tuple[str, ...]]
    steps: Mapping[str, str]
    cube: str
    name: str = "product"


@dataclass(frozen=True, slots=True)
class Lineage:
    """Source columns (input, column) by the way they reach the product.

    `values`: a measure is computed from them. `conditions`: they decide which rows enter, or which value a row gives.
    `dimensions`: they decide the cell.
    """

    values: frozenset[Column]
    conditions: frozenset[Column]
    dimensions: frozenset[Column]


@dataclass(frozen=True, slots=True)
class Suspect:
    """An expression that may treat entities apart by who they are. `columns` are the telling ones: input.column."""

    step: str
    expression: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Flow:
    """What one expression is made of. `plain`: it is this very source column. `seen`: the suspects on its way."""

    values: frozenset[Column] = _NONE
    conditions: frozenset[Column] = _NONE
    plain: Column | None = None
    seen: frozenset[Suspect] = frozenset()

    @property
    def every(self) -> frozenset[Column]:
        return self.values | self.conditions

    def __or__(self, other: Flow) -> Flow:
        return Flow(self.values | other.values, self.conditions | other.conditions, None, self.seen | other.seen)

    def as_condition(self) -> Flow:
        return Flow(_NONE, self.every, None, self.seen)


@dataclass(slots=True)
class View:
    """A table, step or sub-query: its columns in order, and what decided which rows it has."""

    columns: dict[str, Flow] = field(default_factory=dict)
    rows: Flow = field(default_factory=Flow)


@dataclass(slots=True)
class _Names:
    """What the names of one SELECT mean."""

    known: Mapping[str, View]
    aliases: dict[str, exp.Expr]
    outer: Self | None
    views: dict[str, View] = field(default_factory=dict)

    def find(self, column: exp.Column) -> list[Flow]:
        name, table = fold(column.name), fold(column.table)
        return [v.columns[name] for alias, v in self.views.items() if table in ("", alias) and name in v.columns]


def lineage(program: Program, roles: Mapping[str, Mapping[str, str]]) -> tuple[Lineage, tuple[Suspect, ...]]:
    """Lineage of the cube and the suspect expressions on its way; `roles`: input → column → role.

    A column without a role counts as "sensitive". Raises `Refused` for a text the grammar does not know.
    """
    reader = _Reader(roles)
    known: dict[str, View] = {}
    for alias, columns in program.tables.items():
        cells = {(alias, c) for c in columns}
        known[fold(alias)] = View({fold(c): Flow(frozenset({(a, c)}), plain=(a, c)) for a, c in cells})
    for name, text in program.steps.items():
        reader.step = name
        known[fold(name)] = reader.query(parsed(text, name), known, None)
    reader.step = program.name
    # our own generator's text: its margins, order and hidden columns are no part of a merchant's grammar
    return reader.cube(parse_one(program.cube, read=DIALECT), known)


class _Reader:
    """One walk over the texts of a program."""

    def __init__(self, roles: Mapping[str, Mapping[str, str]]) -> None:
        self.roles = {(a, fold(c)): role for a, columns in roles.items() for c, role in columns.items()}
        self.step = ""

    def cube(self, node: exp.Expr, known: Mapping[str, View]) -> tuple[Lineage, tuple[Suspect, ...]]:
        """The cube's own SELECT: its measures and its dimensions."""
        names, rows = self.names(node, known, None)
        measures, dimensions = rows, Flow()
        for item in node.expressions:
            inner = item.unalias()
            if item.alias.startswith("__"):
                continue
            if any(map(is_aggregate, inner.walk())):
                measures |= self.value(inner, names)
            else:
                dimensions |= self.flow(inner, names)
        found = sorted(measures.seen, key=lambda s: (s.step, s.expression))
        return Lineage(measures.values, measures.conditions, dimensions.every), tuple(found)

    def ctes(self, node: exp.Query, known: Mapping[str, View]) -> Mapping[str, View]:
        clause = node.args.get("with_")
        for cte in clause.expressions if clause else ():
            known = {**known, fold(cte.alias): _renamed(self.query(cte.this, known, None), cte.args["alias"])}
        return known

    def query(self, node: exp.Query, known: Mapping[str, View], outer: _Names | None) -> View:
        """The columns and the rows of any query."""
        if isinstance(node, exp.Subquery):
            return self.query(node.this, known, outer)
        known = self.ctes(node, known)
        if isinstance(node, exp.Union):
            left, right = (self.query(branch, known, outer) for branch in (node.this, node.expression))
            pairs = zip(left.columns.items(), right.columns.values(), strict=True)
            return View({name: a | b for (name, a), b in pairs}, left.rows | right.rows)
        names, rows = self.names(node, known, outer)
        view = View(rows=rows)
        for number, item in enumerate(node.expressions):
            if isinstance(item, exp.Star) or isinstance(item.this, exp.Star):
                view.columns |= self.star(item, names)
            else:
                view.columns[fold(item.alias_or_name) or f"\0{number}"] = self.value(item.unalias(), names)
        return view

    def star(self, item: exp.Expr, names: _Names) -> dict[str, Flow]:
        star = item if isinstance(item, exp.Star) else item.this
        table = fold(item.table) if isinstance(item, exp.Column) else ""
        columns: dict[str, Flow] = {}
        for alias, view in names.views.items():
            for name, flow in view.columns.items() if table in ("", alias) else ():
                columns[name] = columns[name] | flow if name in columns else flow
        for left_out in star.args.get("except_") or ():
            columns.pop(fold(left_out.name), None)
        return columns | {fold(e.alias): self.value(e.this, names) for e in star.args.get("replace") or ()}

    def names(self, node: exp.Expr, known: Mapping[str, View], outer: _Names | None) -> tuple[_Names, Flow]:
        """What FROM brings, and everything that decides which rows there are."""
        start = node.args.get("from_")
        joins = node.args.get("joins") or []
        items = [start.this, *(join.this for join in joins)] if start else []
        aliases = {fold(e.alias): e.this for e in node.expressions if isinstance(e, exp.Alias)}
        names, rows = _Names(known, aliases, outer), Flow()
        for number, item in enumerate(items):
            alias = item.args.get("alias")
            view = known[fold(item.name)] if isinstance(item, exp.Table) else self.derived(item, known)
            names.views[fold(item.alias_or_name) or f"\0{number}"] = _renamed(view, alias)
            rows |= view.rows.as_condition()
        for condition in (*(join.args.get("on") for join in joins), node.args.get("where"), node.args.get("having")):
            for part in conjuncts(condition):
                rows |= self.condition(part, names)
        for join in joins:
            for name in join.args.get("using") or ():
                rows |= self.flow(exp.Column(this=name.copy()), names).as_condition()
        return names, rows

    def derived(self, item: exp.Expr, known: Mapping[str, View]) -> View:
        if isinstance(item, exp.Subquery):
            return self.query(item.this, known, None)
        width = len(item.expressions[0].expressions)  # VALUES
        return View({f"col{i}": Flow() for i in range(width)})

    def flow(self, node: exp.Expr, names: _Names) -> Flow:
        """The source columns of an expression, those that only decide apart from those that it is computed from."""
        if isinstance(node, exp.Column):
            return self.column(node, names)
        if isinstance(node, exp.Query):
            view = self.query(node, names.known, names)
            shown = Flow() if isinstance(node.parent, exp.Exists) else _union(view.columns.values())
            return shown | view.rows.as_condition()
        deciding = {id(part) for part in _deciding(node)}
        parts = [(self.flow(child, names), id(child) in deciding) for child in node.iter_expressions()]
        found = _union(part.as_condition() if decides else part for part, decides in parts)
        return found.as_condition() if isinstance(node, _TESTS) else found

    def column(self, node: exp.Column, names: _Names) -> Flow:
        found = names.find(node)
        if len(found) == 1:
            return found[0]
        meant = names.aliases.get(fold(node.name)) if not node.table else None
        if not found and meant is not None and meant is not node:
            inner = _Names(names.known, {}, names.outer, names.views)
            return self.value(meant, inner)
        if not found and names.outer is not None:
            return self.column(node, names.outer)
        return _union(found)

    def value(self, node: exp.Expr, names: _Names) -> Flow:
        """The flow of an output column, with the suspects in its expression."""
        flow, seen = self.flow(node, names), frozenset(self.suspects(node, names))
        return Flow(flow.values, flow.conditions, flow.plain, flow.seen | seen) if seen else flow

    def suspects(self, node: exp.Expr, names: _Names) -> Iterator[Suspect]:
        """The outermost computations of an expression that mention a key or a quasi-identifier."""
        if isinstance(node, exp.Column | exp.Query | exp.Literal):
            return
        transparent = isinstance(node, exp.Paren | exp.Cast | exp.Distinct | exp.Filter | exp.Where | exp.Window)
        if transparent or any(map(is_aggregate, node.walk())):
            inner = [node.this] if isinstance(node, exp.Window) else node.iter_expressions()
            for child in inner:
                yield from self.suspects(child, names)
            return
        telling = self.telling(node, names)
        if telling:
            yield self.suspect(node, telling)

    def suspect(self, node: exp.Expr, telling: frozenset[Column]) -> Suspect:
        return Suspect(self.step, node.sql(DIALECT), tuple(sorted(f"{a}.{c}" for a, c in telling)))

    def telling(self, node: exp.Expr, names: _Names, roles: tuple[str, ...] = _TELLING) -> frozenset[Column]:
        """The columns of these roles that an expression mentions itself, sub-queries left out."""
        mentioned = [n for n in node.walk(prune=lambda n: isinstance(n, exp.Query)) if isinstance(n, exp.Column)]
        plain = {self.column(column, names).plain for column in mentioned}
        return frozenset(c for c in plain if c is not None and self.roles.get((c[0], fold(c[1]))) in roles)

    def condition(self, part: exp.Expr, names: _Names) -> Flow:
        """One of the AND-ed conditions. It is suspect where it turns on who somebody is in any but a plain way."""
        flow = self.flow(part, names).as_condition()
        if _is_membership(part) or _is_null_test(part):
            return flow
        twisted = any(isinstance(n, exp.Or | exp.Not | exp.Case | exp.If) for n in part.walk())
        joining = isinstance(part, exp.EQ) and isinstance(part.left, exp.Column) and isinstance(part.right, exp.Column)
        telling = self.telling(part, names, _TELLING if twisted else ("key",))
        if not telling or joining:
            return flow
        return Flow(_NONE, flow.conditions, None, flow.seen | {self.suspect(part, telling)})


def _deciding(node: exp.Expr) -> list[exp.Expr]:
    """The parts of an expression that choose and do not enter the value."""
    if isinstance(node, exp.Case | exp.If):
        return [node.this] if node.this is not None else []
    if isinstance(node, exp.Filter):
        return [node.expression]
    if isinstance(node, exp.Window):
        return [part for part in node.iter_expressions() if part is not node.this]
    return []


def _is_membership(part: exp.Expr) -> bool:
    """EXISTS or IN over a sub-query, negated or not: its own conditions are judged inside."""
    test = part.this if isinstance(part, exp.Not) else part
    return isinstance(test, exp.Exists) or (isinstance(test, exp.In) and test.args.get("query") is not None)


def _is_null_test(part: exp.Expr) -> bool:
    test = part.this if isinstance(part, exp.Not) else part
    return isinstance(test, exp.Is) and isinstance(test.this, exp.Column)


def _union(flows: Iterable[Flow]) -> Flow:
    found = Flow()
    for flow in flows:
        found |= flow
    return found


def _renamed(view: View, alias: exp.Expr | None) -> View:
    """A view under the column names that an alias gives."""
    names = [fold(c.name) for c in alias.columns] if isinstance(alias, exp.TableAlias) else []
    if not names:
        return view
    kept = [*names, *list(view.columns)[len(names) :]]
    return View(dict(zip(kept, view.columns.values(), strict=False)), view.rows)
