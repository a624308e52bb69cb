"""What a judged text may consist of: an allow-list over sqlglot's tree, before any rule of ownership is asked."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Any, ClassVar

from sqlglot import ErrorLevel, exp, parse
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import SqlglotError
from sqlglot.parsers.duckdb import DuckDBParser

from sandbox.products.carrier.functions import AGGREGATES, SCALARS, WINDOWS
from sandbox.products.carrier.refusals import Refusal, Refused, refusal


class Carrier(DuckDB):
    """DuckDB's grammar in which a function keeps the name it was written with: none is read as another."""

    class Parser(DuckDBParser):
        FUNCTIONS: ClassVar[dict[str, Any]] = {}
        FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {
            name: DuckDBParser.FUNCTION_PARSERS[name]
            for name in ("CAST", "TRY_CAST", "EXTRACT", "POSITION", "SUBSTRING", "TRIM")
        }


DIALECT = Carrier

_NODES = (
    exp.Select, exp.Union, exp.Subquery, exp.With, exp.CTE, exp.From, exp.Join, exp.Table, exp.TableAlias, exp.Where,
    exp.Group, exp.Having, exp.Values, exp.Column, exp.Identifier, exp.Literal, exp.Boolean, exp.Null, exp.Star,
    exp.Alias, exp.Paren, exp.And, exp.Or, exp.Not, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Is,
    exp.NullSafeEQ, exp.NullSafeNEQ, exp.Between, exp.In, exp.Exists, exp.Like, exp.ILike, exp.Escape, exp.Add,
    exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.Pow, exp.Neg, exp.DPipe, exp.Case, exp.If, exp.Cast,
    exp.TryCast, exp.DataType, exp.DataTypeParam, exp.Interval, exp.Var, exp.Filter, exp.Window, exp.WindowSpec,
    exp.Order, exp.Ordered, exp.Distinct, exp.Tuple, exp.Extract, exp.Substring, exp.Trim, exp.StrPosition,
)  # fmt: skip

_TABLES = (exp.UDTF, exp.Lateral, exp.Unnest, exp.Pivot)
_SORTING = (exp.Limit, exp.Offset, exp.Fetch, exp.Qualify)

# the only parts a node may have; whatever else the parser found in it is refused
_PARTS = {
    exp.Select: {"with_", "expressions", "from_", "joins", "where", "group", "having", "distinct"},
    exp.Union: {"with_", "this", "expression", "distinct"},
    exp.Subquery: {"this", "alias"},
    exp.Table: {"this", "alias"},
    exp.Join: {"this", "side", "kind", "on", "using", "method"},
    exp.Group: {"expressions", "all"},
    exp.CTE: {"this", "alias", "materialized"},
    exp.With: {"expressions", "recursive"},
    exp.Star: {"except_", "replace"},
    exp.TableAlias: {"this", "columns"},
    exp.In: {"this", "expressions", "query"},
    exp.Column: {"this", "table"},
    exp.Distinct: {"expressions"},
    exp.Values: {"expressions", "alias"},
    exp.Window: {"this", "partition_by", "order", "spec", "over"},
}


def fold(name: str) -> str:
    """A name as DuckDB compares it: only ASCII letters lose their case, full-width ones do not."""
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in name)


def is_hidden(name: str) -> bool:
    """Whether a name is one of ours, or would be once its full-width and other compatible letters are made plain."""
    return unicodedata.normalize("NFKC", name).casefold().startswith("__")


def parsed(text: str, step: str) -> exp.Query:
    """The tree of `text`; raises `Refused` with every construct that is not on the list."""
    try:
        trees = [t for t in parse(text, read=DIALECT, error_level=ErrorLevel.RAISE) if t is not None]
        if len(trees) != 1 or not isinstance(trees[0], exp.Select | exp.Union | exp.Subquery | exp.SetOperation):
            raise Refused((refusal("unreadable", step),))
        for table in list(trees[0].find_all(exp.Table)):
            _flatten(table)
        found = sorted(problems(trees[0], step), key=lambda r: (r.line, r.column))
    except SqlglotError:
        raise Refused((refusal("unreadable", step),)) from None
    except RecursionError:
        raise Refused((refusal("too_deep", step),)) from None
    if found:
        raise Refused(tuple(dict.fromkeys(found)))
    return trees[0]


def _flatten(table: exp.Table) -> None:
    """The joins of a `FROM a JOIN b` without SELECT hang on the table; here they hang on the query, as always."""
    start, joins = table.parent, table.args.get("joins")
    query = start.parent if isinstance(start, exp.From) else None
    if joins and isinstance(query, exp.Select) and not query.args.get("joins"):
        table.set("joins", None)
        query.set("joins", joins)


def problems(tree: exp.Expr, step: str) -> Iterator[Refusal]:
    """Everything in the tree that no rule of the carrier knows."""
    for node in tree.walk():
        code, subject = judge(node)
        if code:
            yield refusal(code, step, place(node), subject)


def judge(node: exp.Expr) -> tuple[str, str]:
    """The refusal code of one node and what it is about; an empty code where the node is fine."""
    if isinstance(node, _SORTING) or (isinstance(node, exp.Order) and not isinstance(node.parent, exp.Window)):
        return "order", word(node)
    if isinstance(node, exp.SetOperation) and (not isinstance(node, exp.Union) or node.args.get("distinct")):
        return "set_operation", ""
    if isinstance(node, exp.With) and node.args.get("recursive"):
        return "recursive", ""
    if isinstance(node, _TABLES) and not isinstance(node, exp.Values):
        return "table_function", word(node)
    if isinstance(node, exp.Table):
        return _table(node)
    if isinstance(node, exp.Join) and _is_after_comma(node):
        return "join.comma", ""
    if isinstance(node, exp.Join) and join_kind(node) == "":
        return "join.kind", " ".join(str(node.args.get(part) or "") for part in ("method", "side", "kind")).strip()
    if isinstance(node, exp.Identifier) and is_hidden(node.name):
        return "name.hidden", node.name
    if isinstance(node, exp.Star) and not _is_listed(node):
        return "node", "*"
    if isinstance(node, exp.Anonymous):
        return _function(node)
    if not isinstance(node, _NODES):
        return "node", word(node)
    return _parts(node)


def _is_listed(star: exp.Star) -> bool:
    """A star is a list of columns in SELECT, or count(*)."""
    item = star.parent if isinstance(star.parent, exp.Column) else star
    holder = item.parent
    counted = isinstance(holder, exp.Anonymous) and fold(holder.name) == "count" and len(holder.expressions) == 1
    return isinstance(holder, exp.Select) or (counted and item is star)


def _is_after_comma(join: exp.Join) -> bool:
    """Whether an outer join binds to the last item of a comma list alone and not, as written, to all before it."""
    joins = join.parent.args.get("joins") or [] if join.parent else []
    before = joins[: next((i for i, other in enumerate(joins) if other is join), 0)]
    comma = any(not any(map(other.args.get, ("side", "kind", "method", "on", "using"))) for other in before)
    return comma and bool(join.args.get("side"))


def _parts(node: exp.Expr) -> tuple[str, str]:
    known = _PARTS.get(type(node))
    if known is None:
        return "", ""
    extra = [name for name, value in node.args.items() if value not in (None, [], False, "") and name not in known]
    if any(isinstance(value, (*_SORTING, exp.Order)) for value in map(node.args.get, extra)):
        return "", ""  # named at its own node
    if isinstance(node, exp.Distinct) and isinstance(node.parent, exp.Select) and node.args.get("on"):
        return "node", "DISTINCT ON"
    return ("node", extra[0].strip("_").upper()) if extra else ("", "")


def _table(node: exp.Table) -> tuple[str, str]:
    if not isinstance(node.this, exp.Identifier):
        return "table_function", word(node.this)
    if node.args.get("db") or node.args.get("catalog"):
        return "table.qualified", node.sql(DIALECT)
    return _parts(node)


def _function(node: exp.Anonymous) -> tuple[str, str]:
    name = fold(node.name)
    if name not in SCALARS | AGGREGATES | WINDOWS:
        return "function", name
    return ("", "") if name not in WINDOWS or _over(node) else ("window_function", name)


def is_aggregate(node: exp.Expr) -> bool:
    """Whether a call collapses rows: an aggregate that is not the function of a window."""
    return isinstance(node, exp.Anonymous) and fold(node.name) in AGGREGATES and not _over(node)


def _over(node: exp.Expr) -> bool:
    """Whether this is the function of a window."""
    inner, outer = node, node.parent
    if isinstance(outer, exp.Filter):
        inner, outer = outer, outer.parent
    return isinstance(outer, exp.Window) and outer.this is inner


def join_kind(join: exp.Join) -> str:
    """INNER, CROSS, LEFT, RIGHT or FULL; empty for every join that is not carried."""
    side, kind = str(join.args.get("side") or ""), str(join.args.get("kind") or "")
    if join.args.get("method") or kind not in ("", "INNER", "CROSS", "OUTER"):
        return ""
    if side:
        return side if kind in ("", "OUTER") and side in ("LEFT", "RIGHT", "FULL") else ""
    conditioned = join.args.get("on") is not None or bool(join.args.get("using"))
    return "INNER" if conditioned else "CROSS"


def place(node: exp.Expr) -> tuple[int, int]:
    """Line and column (from 1) of the first word of a node; 0, 0 where the parser kept none."""
    found = [n.meta for n in node.walk() if n._meta and "line" in n.meta]
    if not found:
        return 0, 0
    first = min(found, key=lambda meta: meta["start"])
    return int(first["line"]), int(first["col"]) - int(first["end"]) + int(first["start"])


def word(node: exp.Expr) -> str:
    """A short name for what a node is, as people write it."""
    if isinstance(node, exp.Anonymous):
        return fold(node.name)
    head = node.sql(DIALECT).split("(", 1)[0].split()
    return " ".join(head[:2]) or type(node).__name__.upper()
