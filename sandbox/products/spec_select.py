"""A specification from a SELECT, and what of the SELECT it could not say.

The outermost aggregate becomes the cube. What comes before it (expressions, filters, joins beyond equal columns, common
table expressions, inner GROUP BYs) becomes steps of `prepare`; scalar sub-queries over aggregates become references;
what comes after (HAVING, expressions over aggregates, windows, ORDER BY, LIMIT) becomes `post`. A text that
`spec_text.text_of` wrote gives the same specification again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from policies.text import Text
from sandbox.products.spec import JobSpec, parse
from sandbox.products.spec_core import Core, Note, Untranslatable, is_aggregate, note
from sandbox.products.spec_errors import SpecError
from sandbox.products.spec_text import head_of, normal
from sandbox.products.spec_tree import bare

if TYPE_CHECKING:
    from sqlglot import exp


@dataclass(frozen=True, slots=True)
class Table:
    """A table the SELECT may read: under which grant, and its columns where they are known."""

    grant: str
    columns: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Translation:
    """The specification, None where there can be none, and everything that was not said or that people should know."""

    spec: JobSpec | None
    notes: tuple[Note, ...]


def from_select(text: str, tables: Mapping[str, Table], *, job: str = "job") -> Translation:
    """Make a specification of `text`, one SELECT over `tables` (alias → table); never raises for what the text says."""
    from sqlglot import errors, exp
    from sqlglot import parse as parse_all

    try:
        head = head_of(text)
        statements = [one for one in parse_all(text, dialect="duckdb") if one is not None]
    except errors.ParseError as error:
        place = error.errors[0] if error.errors else {}
        return _refused(Note(place.get("line"), place.get("col"), *_UNREADABLE))
    except (errors.SqlglotError, ValueError, RecursionError):
        return _refused(Note(None, None, *_UNREADABLE))
    if len(statements) != 1 or not isinstance(bare(statements[0]), exp.Select):
        return _refused(note(statements[0] if statements else None, *_ONE_SELECT))
    work = _Work(head, tables)
    try:
        data = work.whole(_select(statements[0]))
        outside = {"job": head.get("job", job), "edition": 2, "inputs": work.inputs()}
        output = head.get("output", {"kind": "aggregate", "format": "csv"})
        spec = normal(parse({**outside, **data, "output": output}))
    except Untranslatable as refusal:
        return Translation(None, (*work.notes, refusal.note))
    except SpecError as error:
        wrong = [Note(None, None, Text(f"{p.path} {p.zh}", f"{p.path} {p.en}"), _EDIT) for p in error.problems]
        return Translation(None, (*work.notes, *wrong))
    return Translation(spec, tuple(work.notes))


_UNREADABLE = (
    Text("语句无法按 DuckDB 的 SELECT 读懂", "the statement cannot be read as a SELECT of DuckDB"),
    Text("请先在仿真数据上运行通过", "let it run on simulated data first"),
)
_ONE_SELECT = (
    Text("只能转换一条 SELECT；UNION 等集合运算不能是最外层", "only one SELECT can be translated, no set operation"),
    Text("把 UNION ALL 放进 WITH 的一步，再在外层聚合", "put the UNION ALL into a WITH step and aggregate over it"),
)
_RECORDS = (
    Text("最外层没有聚合：这是逐条记录的输出", "the outermost SELECT has no aggregate: its output is records"),
    Text("聚合产品须有分组和指标；请写明按什么统计、统计什么", "say by what it is grouped and what is measured"),
)
_EDIT = Text("请改写语句，或直接编辑作业说明", "rewrite the statement, or edit the specification")
_AFTER = Text("聚合之后只能看到产品和参照：写成标量聚合子查询", "write it as a scalar sub-query over an aggregate")
_UNKNOWN = Text("用 --table 为它写明授权", "name its grant with --table")


def _refused(*notes: Note) -> Translation:
    return Translation(None, notes)


def _select(tree: exp.Expr) -> exp.Select:
    from sqlglot import exp

    found = bare(tree)
    assert isinstance(found, exp.Select)
    return found


@dataclass(slots=True)
class _Work:
    """One translation under way."""

    head: Mapping[str, Any]
    tables: Mapping[str, Table]
    notes: list[Note] = field(default_factory=list)
    prepare: list[dict[str, Any]] = field(default_factory=list)
    reference: list[dict[str, Any]] = field(default_factory=list)
    steps: dict[str, tuple[str, ...] | None] = field(default_factory=dict)
    """steps and references made so far → their columns, where known"""
    read: dict[str, None] = field(default_factory=dict)

    def whole(self, select: exp.Select) -> dict[str, Any]:
        """Steps, references, product and post of the statement."""
        ctes = {str(cte.alias): _select(cte.this) for cte in _ctes(select)}
        select.set("with_", None)
        own = "product" in self.head.get("cubes", {}) and "product" in ctes
        data = self._own(ctes) if own else self._any(select, ctes)
        return {"prepare": self.prepare, "reference": self.reference, **data}

    def _own(self, ctes: Mapping[str, exp.Select]) -> dict[str, Any]:
        """A text that `text_of` wrote: the head says which steps are cubes."""
        data: dict[str, Any] = {}
        for name, select in ctes.items():
            if name == "post":
                data["post"] = {"sql": _sql(select)}
            elif name not in self.head["cubes"]:
                self._step(name, select)
            else:
                core = self._core(select, name)
                if core.post() is not None or core.step is not None:
                    raise Untranslatable(note(select, *_CHANGED))
                if name == "product":
                    data["product"] = core.cube()
                else:
                    self._refer(name, core)
        return data

    def _any(self, select: exp.Select, ctes: dict[str, exp.Select]) -> dict[str, Any]:
        outer: exp.Select | None = None
        name = "product"
        if not is_aggregate(select):
            outer, (name, select) = select, self._inner(select, ctes)
        for step, inner in ctes.items():
            if inner is not select:
                self._step(step, inner)
        core = self._core(select, "product")
        self._keep(core)
        post = core.post()
        if outer is not None:
            self._constants(outer, {name})
            post = _above(outer, name, post)
        self._check_post(post, name)
        self.notes += core.notes
        return {"product": core.cube(), **({"post": {"sql": _sql(post)}} if post is not None else {})}

    def _check_post(self, post: exp.Select | None, name: str) -> None:
        """What comes after the cube sees nothing but it and the references."""
        from sqlglot import exp

        seen = {"product", name, *(one["name"] for one in self.reference)}
        for table in post.find_all(exp.Table) if post is not None else ():
            if table.name not in seen:
                words = Text(f"聚合之后还要读 {table.name}", f"{table.name} is read after the aggregate")
                raise Untranslatable(note(table, words, _AFTER))

    def _inner(self, outer: exp.Select, ctes: Mapping[str, exp.Select]) -> tuple[str, exp.Select]:
        """The aggregate that a SELECT without one is written over, and its name there."""
        from sqlglot import exp

        from_ = outer.args.get("from_")
        source = from_.this if from_ is not None else None
        name, found = "", None
        if isinstance(source, exp.Subquery) and isinstance(source.this, exp.Select):
            name, found = str(source.alias), source.this
        elif isinstance(source, exp.Table):
            name, found = str(source.name), ctes.get(source.name)
        if found is not None and is_aggregate(found) and not outer.args.get("joins"):
            return name, found
        raise Untranslatable(note(outer, *_RECORDS))

    def _core(self, select: exp.Select, name: str) -> Core:
        own = self.head.get("cubes", {}).get(name, {})
        self._constants(select)
        self._note_tables(select)
        return Core(select, [*self.steps, *self._inputs_read()], own, taken=[*self.steps, *self.tables])

    def _keep(self, core: Core) -> None:
        if core.step is not None:
            self.prepare.append(core.step)
            self.steps[core.step["name"]] = None

    def _step(self, name: str, select: exp.Select) -> None:
        self._constants(select)
        self._note_tables(select)
        step = {"name": name, "sql": _sql(select)}
        if name in self.head.get("owners", {}):
            step["owners"] = self.head["owners"][name]
        self.prepare.append(step)
        self.steps[name] = _named(select)

    def _refer(self, name: str, core: Core) -> None:
        cube = core.cube()
        self.reference.append({"name": name, **cube})
        self.steps[name] = tuple(cube["measures"])

    def _constants(self, select: exp.Select, product: Collection[str] = ()) -> None:
        """Scalar sub-queries over aggregates become references, innermost first; in our own text they already are."""
        from sqlglot import exp

        if "cubes" in self.head:
            return
        for query in reversed(list(select.find_all(exp.Subquery))):
            inner = query.this
            if not isinstance(inner, exp.Select) or not _scalar(query) or not is_aggregate(inner):
                continue
            if inner.args.get("group") or self._reaches_out(inner):
                continue
            if {t.name for t in inner.find_all(exp.Table)} <= {*product, *(one["name"] for one in self.reference)}:
                continue
            name = _free(f"r{len(self.reference) + 1}", [*self.steps, *self.tables])
            core = self._core(inner.copy(), name)
            self._keep(core)
            self._refer(name, core)
            post = core.post()
            put = post if post is not None else exp.select(exp.column(next(iter(core.measures)), quoted=True))
            query.set("this", put.from_(exp.to_table(name, quoted=True), copy=False))

    def _reaches_out(self, select: exp.Select) -> bool:
        """Whether a sub-query reads a column of the statement around it."""
        from sqlglot import exp

        names = {t.alias_or_name for t in select.find_all(exp.Table)}
        known = [self._columns(t.name) for t in select.find_all(exp.Table)]
        inside = None if None in known else {c.casefold() for one in known for c in one or ()}
        inside = inside and inside | {a.alias.casefold() for a in select.find_all(exp.Alias)}
        for column in select.find_all(exp.Column):
            if column.table and column.table not in names:
                return True
            if not column.table and inside is not None and column.name.casefold() not in inside:
                return True
        return False

    def _columns(self, name: str) -> tuple[str, ...] | None:
        return self.steps[name] if name in self.steps else self.tables[name].columns if name in self.tables else None

    def _note_tables(self, select: exp.Select) -> None:
        from sqlglot import exp

        known = {*self.steps, *(cte.alias for cte in select.find_all(exp.CTE))}
        for table in select.find_all(exp.Table):
            name = str(table.name)
            if name in known or not name:
                continue
            if name not in self.tables and name not in self.head.get("inputs", {}):
                words = Text(f"不知道表 {name} 来自哪个授权", f"no grant is named for the table {name}")
                raise Untranslatable(note(table, words, _UNKNOWN))
            self.read[name] = None

    def _inputs_read(self) -> list[str]:
        return [*self.read, *self.head.get("inputs", {})]

    def inputs(self) -> dict[str, Any]:
        """Inputs as the head names them, else the tables that were read."""
        return dict(self.head.get("inputs", {})) or {name: {"grant": self.tables[name].grant} for name in self.read}


_CHANGED = (
    Text("这一步已不是声明的立方体", "this step is no declared cube any more"),
    Text("去掉文本开头的注释行再转换", "take the comment lines on top away and translate again"),
)


def _ctes(select: exp.Select) -> Sequence[exp.CTE]:
    with_ = select.args.get("with_")
    if with_ is not None and with_.args.get("recursive"):
        words = Text("不能转换递归的 WITH", "a recursive WITH cannot be translated")
        raise Untranslatable(note(with_, words, Text("展开为有限的几步", "write a fixed number of steps")))
    found = with_.expressions if with_ is not None else ()
    for cte in found:
        if cte.args["alias"].args.get("columns"):
            words = Text(f"WITH {cte.alias}(…) 的列名写在括号里", f"WITH {cte.alias}(…) names its columns in brackets")
            raise Untranslatable(note(cte, words, Text("在 SELECT 中用 AS 命名", "name them with AS in the SELECT")))
        if cte.this.key != "select":
            words = Text(f"WITH {cte.alias} 不是一条 SELECT", f"WITH {cte.alias} is not one SELECT")
            raise Untranslatable(note(cte, words, Text("写成 SELECT * FROM (… UNION ALL …)", "wrap it in a SELECT")))
    return list(found)


def _sql(tree: exp.Expr) -> str:
    return str(tree.sql("duckdb", pretty=True, comments=False))


def _scalar(query: exp.Subquery) -> bool:
    """Whether a sub-query stands for one value in an expression."""
    from sqlglot import exp

    parent = query.parent
    while isinstance(parent, exp.Paren):
        parent = parent.parent
    tabled = isinstance(parent, (exp.From, exp.Join, exp.Lateral, exp.Exists, exp.CTE, exp.SetOperation))
    return not tabled and not (isinstance(parent, exp.In) and parent.args.get("query") is query)


def _within(tree: exp.Expr, whole: exp.Expr) -> bool:
    node: exp.Expr | None = tree
    while node is not None and node is not whole:
        node = node.parent
    return node is whole


def _above(outer: exp.Select, name: str, post: exp.Select | None) -> exp.Select:
    """A SELECT over the aggregate, now over the product (or over what `post` made of it)."""
    from sqlglot import exp

    source = outer.args["from_"].this
    if isinstance(source, exp.Subquery):
        source.replace(exp.to_table(name or "product"))
        name = name or "product"
    if post is not None:
        return outer.with_(name, post)
    for table in list(outer.find_all(exp.Table)):
        if table.name == name:
            alias = table.alias or name
            put = exp.to_table("product")
            table.replace(put if alias == "product" else exp.alias_(put, alias, table=True))
    return outer


def _named(select: exp.Select) -> tuple[str, ...] | None:
    """The columns a SELECT gives, where it names them all."""
    names = [str(one.alias_or_name) for one in select.expressions]
    return None if "*" in names or "" in names else tuple(names)


def _free(name: str, taken: Sequence[str]) -> str:
    return name if name not in taken else _free(f"{name}_", taken)
