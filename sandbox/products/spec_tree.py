"""Parts of a SELECT's tree as parts of a specification, where they are the same thing; None where they are not."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from sandbox.products.compile import derived_sql
from sandbox.products.spec_parts import MAX_CONDITIONS, Derive, Operator

if TYPE_CHECKING:
    from sqlglot import exp


def same(one: exp.Expr, other: exp.Expr) -> bool:
    """Whether two trees say the same, however their names are quoted."""
    return one.sql("duckdb", identify=True, comments=False) == other.sql("duckdb", identify=True, comments=False)


def bare(tree: exp.Expr) -> exp.Expr:
    """The tree without parentheses around it."""
    from sqlglot import exp

    while isinstance(tree, exp.Paren):
        tree = tree.this
    return tree


def spelled(tree: exp.Expr) -> str | None:
    """A column as a specification writes it."""
    from sqlglot import exp

    tree = bare(tree)
    if not isinstance(tree, exp.Column) or tree.args.get("db") or isinstance(tree.this, exp.Star):
        return None
    return f"{tree.table}.{tree.name}" if tree.table else tree.name


def conjuncts(tree: exp.Expr) -> list[exp.Expr]:
    from sqlglot import exp

    tree = bare(tree)
    return [*conjuncts(tree.left), *conjuncts(tree.right)] if isinstance(tree, exp.And) else [tree]


def conditions(tree: exp.Expr) -> list[dict[str, Any]] | None:
    """A WHERE as a list of conditions, if it is nothing but simple ones that hold together."""
    found = [_condition(one) for one in conjuncts(tree)]
    return None if None in found or len(found) > MAX_CONDITIONS else found  # type: ignore[return-value]


def _condition(tree: exp.Expr) -> dict[str, Any] | None:
    from sqlglot import exp

    tree = bare(tree)
    operators: dict[type[exp.Expr], Operator] = {
        exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
    }  # fmt: skip
    negated = isinstance(tree, exp.Not)
    if negated:
        tree = bare(tree.this)
    if isinstance(tree, exp.Is) and isinstance(tree.expression, exp.Null):
        return _with(tree.this, "not_null" if negated else "is_null", [], many=None)
    if negated:
        return None
    if isinstance(tree, exp.In) and tree.expressions:
        return _with(tree.this, "in", tree.expressions, many=True)
    if isinstance(tree, exp.Between):
        return _with(tree.this, "between", [tree.args["low"], tree.args["high"]], many=True)
    operator = operators.get(type(tree))
    return _with(tree.this, operator, [tree.expression], many=False) if operator else None


def _with(column: exp.Expr, op: str, values: list[exp.Expr], *, many: bool | None) -> dict[str, Any] | None:
    name, found = spelled(column), [_constant(v) for v in values]
    if name is None or None in found:
        return None
    return {"column": name, "op": op, **({} if many is None else {"value": found if many else found[0]})}


def _constant(tree: exp.Expr) -> bool | int | float | str | None:
    """A value that means the same written in a specification; a decimal does not: it would become a float."""
    from sqlglot import exp

    tree = bare(tree)
    if isinstance(tree, exp.Neg):
        value = _constant(tree.this)
        return -value if isinstance(value, int) and not isinstance(value, bool) else None
    if isinstance(tree, exp.Boolean):
        return bool(tree.this)
    if isinstance(tree, exp.Cast) and tree.is_type("double") and isinstance(tree.this, exp.Literal):
        return float(tree.this.name)
    if isinstance(tree, exp.Literal):
        if tree.is_string:
            return str(tree.name)
        return int(tree.name) if tree.name.isdigit() and int(tree.name) < 2**63 else None
    return None


def derived(tree: exp.Expr) -> dict[str, Any] | None:
    """An expression as one of the functions a derived column may have."""
    from sqlglot import exp, parse_one

    columns = list(tree.find_all(exp.Column))
    name = spelled(columns[0]) if len(columns) == 1 else None
    if name is None or isinstance(bare(tree), exp.Column):
        return None
    sizes = [int(n.name) for n in tree.find_all(exp.Literal) if n.name.isdigit()]
    plain = ("month", "year", "quarter", "month_of_year", "weekday", "hour", "date", "upper", "lower", "trim")
    tried: list[dict[str, Any]] = [{function: name} for function in plain]
    tried += [{"band": {"of": name, "width": n}} for n in sizes if n] + [
        {"prefix": {"of": name, "length": n}} for n in sizes if 0 < n <= 32
    ]
    column = columns[0].sql("duckdb")
    for one in tried:
        if same(parse_one(derived_sql(Derive.model_validate(one), column), dialect="duckdb"), bare(tree)):
            return one
    return _familiar(bare(tree), name)


def _familiar(tree: exp.Expr, name: str) -> dict[str, Any] | None:
    """Other spellings that people use for the same."""
    from sqlglot import exp

    familiar: dict[type[exp.Expr], str] = {
        exp.Year: "year", exp.Month: "month_of_year", exp.Upper: "upper", exp.Lower: "lower",
    }  # fmt: skip
    if isinstance(tree, exp.TimeToStr) and tree.args["format"].name == "%Y-%m":
        return {"month": name} if spelled(tree.this) == name else None
    found = familiar.get(type(tree))
    return {found: name} if found and spelled(tree.this) == name else None


def measure(tree: exp.Expr) -> tuple[dict[str, Any], dict[str, exp.Expr]] | None:
    """An expression as one measure: its declaration, and the trees that belong under `of`, `per` and `weight`."""
    from sqlglot import exp

    tree = bare(tree)
    if isinstance(tree, exp.Case) and len(tree.args["ifs"]) == 1 and _numbering(tree.args["ifs"][0].this):
        tree = bare(tree.args["ifs"][0].args["true"])  # a share, where the row's grouping has its margin
    if isinstance(tree, exp.Div):
        return _quotient(tree)
    simple: dict[type[exp.Expr], str] = {
        exp.Sum: "sum", exp.Avg: "mean", exp.Median: "median", exp.Stddev: "stddev", exp.StddevSamp: "stddev",
        exp.Min: "min", exp.Max: "max",
    }  # fmt: skip
    if type(tree) in simple and not tree.expressions and not isinstance(tree.this, exp.Distinct):
        return {"op": simple[type(tree)]}, {"of": tree.this}
    if isinstance(tree, exp.Count):
        if isinstance(tree.this, exp.Star) or tree.this is None:
            return {"op": "count"}, {}
        if isinstance(tree.this, exp.Distinct):
            inner = tree.this.expressions
            return ({"op": "count_distinct"}, {"of": inner[0]}) if len(inner) == 1 else None
        return {"op": "count"}, {"of": tree.this}
    if isinstance(tree, exp.WithinGroup) and isinstance(tree.this, exp.PercentileCont):
        order = tree.expression.expressions
        if len(order) != 1 or order[0].args.get("desc"):
            return None
        return _quantile(tree.this.this, order[0].this)
    return _quantile(tree.expression, tree.this) if isinstance(tree, exp.PercentileCont) else None


def _quantile(share: exp.Expr, of: exp.Expr) -> tuple[dict[str, Any], dict[str, exp.Expr]] | None:
    from sqlglot import exp

    share = bare(share)
    if not isinstance(share, exp.Literal) or share.is_string or not 0 < float(share.name) < 1:
        return None
    q = float(share.name)
    return {"op": "median"} if q == 0.5 else {"op": "quantile", "q": q}, {"of": _plain(of)}


def _plain(tree: exp.Expr) -> exp.Expr:
    """What a quotient divides, without the casts and `nullif(…, 0)` that make it safe."""
    from sqlglot import exp

    tree = bare(tree)
    if isinstance(tree, exp.Nullif):
        return _plain(tree.this)
    return _plain(tree.this) if isinstance(tree, exp.Cast) and tree.is_type("double") else tree


def _quotient(tree: exp.Div) -> tuple[dict[str, Any], dict[str, exp.Expr]] | None:
    from sqlglot import exp

    top, below = _plain(tree.this), _plain(tree.expression)
    share = _share(top, below)
    if share is not None:
        return share
    if not isinstance(top, exp.Sum):
        return None
    if isinstance(below, exp.Count):
        if isinstance(below.this, exp.Star):
            return {"op": "ratio", "per": "count"}, {"of": top.this}
        return ({"op": "mean"}, {"of": top.this}) if same(below.this, top.this) else None
    if not isinstance(below, exp.Sum):
        return None
    weighted = _weighted(top.this, below.this)
    return weighted or ({"op": "ratio"}, {"of": top.this, "per": below.this})


def _weighted(product: exp.Expr, weights: exp.Expr) -> tuple[dict[str, Any], dict[str, exp.Expr]] | None:
    """sum(CAST(x AS DOUBLE) * CAST(w AS DOUBLE)) over sum(CASE WHEN x IS NOT NULL THEN CAST(w AS DOUBLE) END)."""
    from sqlglot import exp

    product, weights = bare(product), bare(weights)
    if not (isinstance(product, exp.Mul) and isinstance(weights, exp.Case)):
        return None
    of, weight = _plain(product.left), _plain(product.right)
    tested = [_condition(branch.this) for branch in weights.args["ifs"]]
    given = [_plain(branch.args["true"]) for branch in weights.args["ifs"]]
    if tested != [{"column": spelled(of), "op": "not_null"}] or not same(given[0], weight):
        return None
    return {"op": "weighted_mean"}, {"of": of, "weight": weight}


def _share(top: exp.Expr, below: exp.Expr) -> tuple[dict[str, Any], dict[str, exp.Expr]] | None:
    """An aggregate over its own total in a window: sum(x) / sum(sum(x)) OVER (PARTITION BY …)."""
    from sqlglot import exp

    if not isinstance(below, exp.Window) or below.args.get("order") or not isinstance(below.this, exp.Sum):
        return None
    counted = isinstance(top, exp.Count) and isinstance(top.this, exp.Star)
    if not (isinstance(top, exp.Sum) or counted) or not same(below.this.this, top):
        return None
    by = [key for key in below.args.get("partition_by") or [] if not _numbering(key)]
    names = [spelled(key) for key in by]
    if None in names:
        return None
    return {"op": "share_of_margin", "margin": names}, {} if counted else {"of": top.this}


def _numbering(tree: exp.Expr) -> bool:
    from sqlglot import exp

    return tree.find(exp.Grouping) is not None


def source(select: exp.Select, tables: Collection[str]) -> dict[str, Any] | None:
    """FROM, JOIN and WHERE as a cube declares them; None where they are more than tables joined on equal columns."""

    from_ = select.args.get("from_")
    if from_ is None or not _plain_table(from_.this, tables):
        return None
    found: dict[str, Any] = {"from": from_.this.name, "join": []}
    for join in select.args.get("joins") or []:
        on = _equalities(join, found["from"]) if _plain_table(join.this, tables) else None
        if on is None:
            return None
        found["join"].append({"input": join.this.name, "on": on})
    used = [found["from"], *(j["input"] for j in found["join"])]
    where = select.args.get("where")
    if len(set(used)) != len(used) or (where is not None and not _filter(where.this)):
        return None
    if where is not None:
        listed = conditions(where.this)
        found["where"] = listed or where.this.sql("duckdb", identify=True, comments=False)
    return {name: value for name, value in found.items() if value != []}


def _plain_table(tree: exp.Expr, tables: Collection[str]) -> bool:
    from sqlglot import exp

    if not isinstance(tree, exp.Table) or tree.name not in tables or tree.args.get("db"):
        return False
    extra = {k for k, v in tree.args.items() if v and k not in ("this", "alias")}
    return not extra and tree.alias in ("", tree.name)


def _filter(tree: exp.Expr) -> bool:
    from sqlglot import exp

    return tree.find(exp.Query, exp.AggFunc, exp.Window, exp.Star) is None


def _equalities(join: exp.Join, first: str) -> dict[str, str] | None:
    from sqlglot import exp

    if join.side or join.kind not in ("", "INNER") or join.args.get("method"):
        return None
    name = join.this.name
    if join.args.get("using"):
        return {str(column.name): str(column.name) for column in join.args["using"]}
    on = join.args.get("on")
    found: dict[str, str] = {}
    for one in conjuncts(on) if on is not None else ():
        if not isinstance(one, exp.EQ):
            return None
        left, right = one.this, one.expression
        if isinstance(left, exp.Column) and left.table == name:
            left, right = right, left
        key, value = spelled(left), spelled(right)
        if key is None or value is None or right.table != name or left.table in ("", name):
            return None
        found[left.name if left.table == first else key] = str(right.name)
    return found or None


def replaced(tree: exp.Expr, names: Mapping[str, exp.Expr]) -> exp.Expr:
    """The tree with every expression of `names` standing as the column of that name."""
    from sqlglot import exp

    def put(node: exp.Expr) -> exp.Expr:
        name = next((n for n, one in names.items() if same(node, one)), None)
        return exp.column(name, quoted=True) if name is not None else node

    return tree.transform(put) if names else tree
