"""One aggregate SELECT taken apart: a step before it, a declared cube, and a SELECT over the cube."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

from policies.text import Text
from sandbox.products import spec_tree as trees
from sandbox.products.compile import derived_sql, quote
from sandbox.products.spec_parts import Derive

if TYPE_CHECKING:
    from sqlglot import exp


@dataclass(frozen=True, slots=True)
class Note:
    """Something of a SELECT that the specification does not say: where (line and column from 1), what, and how to."""

    line: int | None
    column: int | None
    text: Text
    repair: Text


class Untranslatable(Exception):
    """There is no specification for the statement."""

    def __init__(self, why: Note) -> None:
        self.note = why
        super().__init__(why.text.en)


def note(tree: exp.Expr | None, text: Text, repair: Text) -> Note:
    """A note at the first place of the tree that is known."""
    from sqlglot import exp

    places = [n.meta for n in tree.find_all(exp.Expression) if "line" in n.meta] if tree is not None else []
    place = min(places, key=lambda m: (m["line"], m["col"])) if places else {}
    return Note(place.get("line"), place.get("col"), text, repair)


def is_aggregate(select: exp.Select) -> bool:
    """Whether a SELECT groups or aggregates itself, not in a sub-query and not in a window."""
    return bool(select.args.get("group")) or any(True for _ in _aggregates(select.expressions))


def _aggregates(found: Iterable[exp.Expr]) -> Iterable[exp.Expr]:
    """The outermost aggregates of expressions; the one a window is made of is none, those inside it are."""
    from sqlglot import exp

    for tree in found:
        if isinstance(tree, exp.Query):
            continue
        if isinstance(tree, (exp.Filter, exp.WithinGroup)) or (isinstance(tree, exp.AggFunc) and not _windowed(tree)):
            yield tree
        else:
            yield from _aggregates(tree.iter_expressions())


def _windowed(tree: exp.Expr) -> bool:
    from sqlglot import exp

    parent = tree.parent
    while isinstance(parent, (exp.Filter, exp.IgnoreNulls, exp.WithinGroup)):
        tree, parent = parent, parent.parent
    return isinstance(parent, exp.Window) and parent.this is tree


_MEASURE_REPAIR = Text(
    "可用：count、count(DISTINCT)、sum、avg、median、quantile_cont、stddev、min、max、sum/sum；方差用 stddev 的平方",
    "use count, count(DISTINCT), sum, avg, median, quantile_cont, stddev, min, max, sum/sum; a variance is a squared "
    "stddev in post",
)


class Core:
    """What one aggregate SELECT becomes. `own`: what the head of a text says of this cube."""

    def __init__(
        self, select: exp.Select, tables: Sequence[str], own: Mapping[str, Any], *, taken: Sequence[str]
    ) -> None:
        _refuse_clauses(select)
        self.notes: list[Note] = []
        self.measures: dict[str, dict[str, Any]] = {}
        self.step: dict[str, Any] | None = None
        self._own, self._taken = own, taken
        self._derive: dict[str, Any] = dict(own.get("derive", {}))
        self._given: dict[str, dict[str, exp.Expr]] = {}
        self._select: exp.Select = trees.replaced(select, self._derived_trees())  # type: ignore[assignment]
        self._dims: dict[str, exp.Expr] = {}
        self._margins: list[list[str]] = []
        self._group()
        self._items = [self._item(one) for one in self._select.expressions]
        self._after = self._tail()
        if not self.measures:
            self.measures["n"] = {"op": "count"}
            self._given["n"] = {}
        self._place(tables)

    def _derived_trees(self) -> dict[str, exp.Expr]:
        from sqlglot import parse_one

        found = {}
        for name, one in self._derive.items():
            argument = next(iter(one.values()))
            column = argument if isinstance(argument, str) else argument["of"]
            alias, dot, rest = column.partition(".")
            sql = f"{quote(alias)}.{quote(rest)}" if dot else quote(column)
            found[name] = parse_one(derived_sql(Derive.model_validate(one), sql), dialect="duckdb")
        return found

    def cube(self) -> dict[str, Any]:
        """The cube as a specification declares it."""
        digits = self._own.get("round", {})
        measures = {n: {**m, **({"round": digits[n]} if n in digits else {})} for n, m in self.measures.items()}
        found = {**self._source, "derive": self._derive, "dimensions": self._names, "margins": self._spelled_margins()}
        more = {"suppress": self._own["suppress"]} if "suppress" in self._own else {}
        return {**{k: v for k, v in found.items() if v or k == "dimensions"}, "measures": measures, **more}

    def _spelled_margins(self) -> list[list[str]]:
        names = dict(zip(self._dims, self._names, strict=True))
        return [[names[d] for d in margin] for margin in self._margins]

    # what is grouped by

    def _group(self) -> None:
        sets = self._sets()
        whole = [d for d in self._dims if any(d in one for one in sets)]
        for one in sets:
            if set(one) != set(whole) and one not in self._margins:
                self._margins.append(one)
        if sets and not any(set(one) == set(whole) for one in sets):
            words = Text(
                "分组集中没有“全部维度”这一组，产品会多出这些行", "no grouping has all dimensions: rows are added"
            )
            self.notes.append(note(self._select.args["group"], words, Text("分成两个作业", "make two jobs of it")))

    def _sets(self) -> list[list[str]]:
        """The grouping sets by dimension names; names are given on the way."""
        from sqlglot import exp

        group = self._select.args.get("group")
        if group is None:
            return [[]]
        if group.args.get("all"):
            keys = [e for e in self._select.expressions if not any(True for _ in _aggregates([e]))]
            return [[self._dimension(e) for e in keys]]
        factors: list[list[list[str]]] = []
        for one in [
            *group.expressions,
            *(x for k in ("rollup", "cube", "grouping_sets") for x in group.args.get(k) or []),
        ]:
            parts = (
                [_listed(p) for p in one.expressions]
                if isinstance(one, (exp.Rollup, exp.Cube, exp.GroupingSets))
                else []
            )
            named = [[self._dimension(e) for e in part] for part in parts]
            if isinstance(one, exp.GroupingSets):
                factors.append(named)
            elif isinstance(one, exp.Rollup):
                factors.append([_joined(named[:n]) for n in range(len(named), -1, -1)])
            elif isinstance(one, exp.Cube):
                factors.append([_joined(c) for n in range(len(named), -1, -1) for c in combinations(named, n)])
            else:
                factors.append([[self._dimension(e) for e in _listed(one)]])
        return [list(dict.fromkeys(_joined(chosen))) for chosen in product(*factors)]

    def _dimension(self, tree: exp.Expr) -> str:
        """The name of a grouping key: an item's alias, its number, or an expression."""
        from sqlglot import exp

        item: exp.Expr | None = None
        if (
            isinstance(tree, exp.Literal)
            and tree.name.isdigit()
            and 0 < int(tree.name) <= len(self._select.expressions)
        ):
            item = self._select.expressions[int(tree.name) - 1]
        elif isinstance(tree, exp.Alias):
            item = tree
        else:
            items = self._select.expressions
            item = next((e for e in items if trees.same(e.unalias(), tree)), None)
            if item is None and isinstance(tree, exp.Column) and not tree.table:
                item = next((e for e in items if e.alias == tree.name), None)
        inner = (item if item is not None else tree).unalias()
        known = next((n for n, t in self._dims.items() if trees.same(t, inner)), None)
        name = known or self._free(str((item if item is not None else tree).alias_or_name) or f"d{len(self._dims) + 1}")
        self._dims.setdefault(name, inner)
        return name

    def _free(self, name: str) -> str:
        while name in self._dims or name in self.measures:
            name += "_"
        return name

    # what is measured, and what is made of it

    def _item(self, tree: exp.Expr) -> exp.Expr:
        """An item of the SELECT, over the cube's columns."""
        from sqlglot import exp

        inner = tree.unalias()
        dimension = next((n for n, t in self._dims.items() if trees.same(t, inner)), None)
        if dimension is not None:
            return _shown(dimension, str(tree.alias_or_name) or dimension)
        name = str(tree.alias) or None
        whole = self._measure(inner, name or "")
        if whole is not None:
            return _shown(whole, name or whole)
        made = self._over(inner)
        for column in _own_columns(made):
            if column.name not in self._dims and column.name not in self.measures:
                words = Text(f"{column.name} 既未分组也未聚合", f"{column.name} is neither grouped by nor aggregated")
                raise Untranslatable(note(tree, words, Text("把它写进 GROUP BY", "put it into the GROUP BY")))
        return exp.alias_(made, name, quoted=True) if name else made

    def _measure(self, tree: exp.Expr, name: str) -> str | None:
        """The name of the measure that an expression is; None where it is not one."""
        found = trees.measure(_unfiltered(tree))
        if found is None:
            return None
        data, given = found
        if "margin" in data:
            data["margin"] = [n for n, t in self._dims.items() if {n, trees.spelled(t)} & {*data["margin"]}]
            if set(data["margin"]) not in map(set, self._margins):
                return None
        if any(True for t in given.values() for _ in _aggregates([t])):
            return None
        for known, (one, trees_) in {n: (m, self._given[n]) for n, m in self.measures.items()}.items():
            alike = one == data and trees_.keys() == given.keys()
            if not name and alike and all(trees.same(trees_[k], given[k]) for k in given):
                return known
        label = next((str(t.name) for t in given.values() if t.name), "")
        name = self._free(name or "_".join(filter(None, (data["op"], label))))
        self.measures[name], self._given[name] = data, given
        return name

    def _over(self, tree: exp.Expr) -> exp.Expr:
        """An expression over aggregates and dimensions, over the cube's columns."""
        from sqlglot import exp

        tree = tree.copy()
        for one in list(_aggregates([tree])):
            name = None if isinstance(one, exp.Grouping) else self._measure(one, "")
            if name is None:
                words = Text(f"{one.sql('duckdb')[:60]} 不是可用的指标", f"{one.sql('duckdb')[:60]} is no measure")
                raise Untranslatable(note(one, words, _MEASURE_REPAIR))
            tree = _swap(tree, one, exp.column(name, quoted=True))
        for name, dimension in self._dims.items():
            for one in [n for n in tree.find_all(type(dimension)) if trees.same(n, dimension)]:
                tree = _swap(tree, one, exp.column(name, quoted=True))
        return tree

    def _tail(self) -> dict[str, exp.Expr]:
        """HAVING, DISTINCT, ORDER BY, LIMIT … over the cube; an order by the dimensions is the product's own."""
        found = {}
        for name in ("having", "qualify", "distinct", "order", "limit", "offset"):
            part = self._select.args.get(name)
            if part is not None:
                found[name] = part if name in ("limit", "offset") else self._over(part)
        if "order" in found and "limit" not in found and self._ordered_by_dimensions(found["order"]):
            del found["order"]
        return found

    def _ordered_by_dimensions(self, order: exp.Expr) -> bool:
        names = [str(one.this.name) for one in order.expressions]
        return names == list(self._dims)[: len(names)] and not any(one.args.get("desc") for one in order.expressions)

    def post(self) -> exp.Select | None:
        """The SELECT over `product`; None where it would change nothing."""
        from sqlglot import exp

        shown = [str(one.name) for one in self._items if isinstance(one, exp.Column)]
        if not self._after and shown == [*self._dims, *self.measures] and len(shown) == len(self._items):
            return None
        select = exp.select(*self._items).from_(exp.to_table("product"))
        if "having" in self._after:
            select = select.where(self._after["having"].this)
        for name in ("qualify", "distinct", "order", "limit", "offset"):
            if name in self._after:
                select.set(name, self._after[name])
        return select

    # what it is made from

    def _place(self, tables: Sequence[str]) -> None:
        """Read the tables directly where a cube can say so; else through a step of our own."""
        source = trees.source(self._select, tables)
        names = self._direct_names() if source is not None else None
        given = {n: {k: trees.spelled(t) for k, t in one.items()} for n, one in self._given.items()}
        if source is not None and names is not None and all(c for one in given.values() for c in one.values()):
            self._source, self._names = source, names
        else:
            self._derive = {}
            self._names, given = list(self._dims), self._through_a_step()
            self._source = {"from": self.step["name"]}  # type: ignore[index]
        written = dict(zip(self._dims, self._names, strict=True))
        for name, one in given.items():
            measure = self.measures[name]
            measure.update(one)
            if "margin" in measure:
                measure["margin"] = [written[d] for d in measure["margin"]]

    def _direct_names(self) -> list[str] | None:
        """The dimensions as a cube writes them; None where one is an expression or is renamed."""
        found, derive = [], dict(self._derive)
        for name, tree in self._dims.items():
            column = trees.spelled(tree)
            if column is None:
                function = trees.derived(tree)
                if function is None:
                    return None
                derive[name] = function
                column = name
            elif column.rpartition(".")[2] != name:
                return None
            found.append(column)
        self._derive = derive
        return found

    def _through_a_step(self) -> dict[str, dict[str, str | None]]:
        from sqlglot import exp

        columns = dict(self._dims)
        given: dict[str, dict[str, str | None]] = {}
        for measure, one in self._given.items():
            given[measure] = {}
            for key, tree in one.items():
                known = next((n for n, t in columns.items() if trees.same(t, tree)), None)
                if known is None:
                    plain = trees.spelled(tree)
                    known = plain.rpartition(".")[2] if plain else measure
                    while known in columns:
                        known += "_"
                columns[known] = tree
                given[measure][key] = known
        step = self._select.copy()
        for part in ("having", "group", "qualify", "distinct", "order", "limit", "offset"):
            step.set(part, None)
        named = [
            tree.copy() if tree.output_name == name else exp.alias_(tree.copy(), name, quoted=True)
            for name, tree in columns.items()
        ]
        step.set("expressions", named or [exp.alias_(exp.true(), "row", quoted=True)])
        name = "rows"
        while name in self._taken:
            name += "_"
        self.step = {"name": name, "sql": step.sql("duckdb", pretty=True, comments=False)}
        return given


_CLAUSES = frozenset({
    "expressions", "from_", "joins", "where", "group", "having", "qualify", "distinct", "order", "limit", "offset",
})  # fmt: skip


def _refuse_clauses(select: exp.Select) -> None:
    """A clause nobody thought of would be lost without a word."""
    from sqlglot import exp

    for name in sorted(k for k, v in select.args.items() if v and k not in _CLAUSES):
        clause = name.rstrip("_").upper()
        words = Text(
            f"聚合语句中的 {clause} 子句不能转换", f"the clause {clause} of the aggregate cannot be translated"
        )
        raise Untranslatable(
            note(select, words, Text("放进 WITH 中的一步，或去掉", "put it into a WITH step, or drop it"))
        )
    for item in select.expressions:
        if isinstance(item.unalias(), exp.Star) or (isinstance(item, exp.Column) and isinstance(item.this, exp.Star)):
            words = Text("聚合语句中不能写星号", "an aggregate cannot select a star")
            raise Untranslatable(note(select, words, Text("逐一写出列名", "name the columns")))


def _own_columns(tree: exp.Expr) -> Iterable[exp.Column]:
    """Columns of an expression, without those of its sub-queries."""
    from sqlglot import exp

    if isinstance(tree, exp.Column):
        yield tree
    elif not isinstance(tree, exp.Query):
        for one in tree.iter_expressions():
            yield from _own_columns(one)


def _listed(tree: exp.Expr) -> list[exp.Expr]:
    """What stands in one pair of parentheses of a grouping."""
    from sqlglot import exp

    if isinstance(tree, exp.Tuple):
        return list(tree.expressions)
    return [tree.this] if isinstance(tree, exp.Paren) else [tree]


def _joined(parts: Iterable[list[str]]) -> list[str]:
    return [name for part in parts for name in part]


def _shown(name: str, label: str) -> exp.Expr:
    from sqlglot import exp

    column = exp.column(name, quoted=True)
    return column if name == label else exp.alias_(column, label, quoted=True)


def _unfiltered(tree: exp.Expr) -> exp.Expr:
    """`agg(x) FILTER (WHERE c)` as `agg(CASE WHEN c THEN x END)`, and `count_if(c)` likewise."""
    from sqlglot import exp

    if isinstance(tree, exp.CountIf):
        return exp.Count(this=exp.case().when(tree.this.copy(), exp.Literal.number(1)))
    if not isinstance(tree, exp.Filter):
        return tree
    inner, condition = tree.this.copy(), tree.expression.this
    argument = inner.this
    if isinstance(argument, exp.Distinct):
        argument = argument.expressions[0]
    one = exp.Literal.number(1) if argument is None or isinstance(argument, exp.Star) else argument.copy()
    case = exp.case().when(condition.copy(), one)
    if isinstance(inner.this, exp.Distinct):
        inner.this.set("expressions", [case])
    else:
        inner.set("this", case)
    return inner


def _swap(whole: exp.Expr, one: exp.Expr, other: exp.Expr) -> exp.Expr:
    if whole is one:
        return other
    one.replace(other)
    return whole
