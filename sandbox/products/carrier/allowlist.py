"""A second opinion on a text, from DuckDB's own tree: unknown nodes, functions and tables are denied.

It shares nothing with the carrier but the lists of function names: a text that one parser misreads has to pass the
other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from sandbox.products.carrier.functions import AGGREGATES, OPERATORS, SCALARS, WINDOWS
from sandbox.products.carrier.grammar import fold
from sandbox.products.carrier.refusals import Refusal, Refused, refusal

if TYPE_CHECKING:
    import duckdb

Node = dict[str, Any]

_CLASSES = frozenset({
    "COLUMN_REF", "CONSTANT", "FUNCTION", "COMPARISON", "CONJUNCTION", "OPERATOR", "CASE", "CAST", "BETWEEN",
    "SUBQUERY", "STAR", "WINDOW", "TYPE", "POSITIONAL_REFERENCE",
})  # fmt: skip
_OPERATIONS = frozenset({
    "OPERATOR_NOT", "OPERATOR_IS_NULL", "OPERATOR_IS_NOT_NULL", "OPERATOR_COALESCE", "OPERATOR_NULLIF", "COMPARE_IN",
    "COMPARE_NOT_IN", "OPERATOR_TRY",
})  # fmt: skip
_NODES = frozenset({
    "SELECT_NODE", "SET_OPERATION_NODE", "CTE_NODE", "EMPTY", "BASE_TABLE", "SUBQUERY", "JOIN", "EXPRESSION_LIST",
    "DISTINCT_MODIFIER", "ORDER_DEFAULT", "ASCENDING", "DESCENDING", "ORDER_MODIFIER",
})  # fmt: skip
_SUBQUERIES = {("SCALAR", "INVALID"), ("EXISTS", "INVALID"), ("NOT_EXISTS", "INVALID"), ("ANY", "COMPARE_EQUAL")}
_VALUE_FUNCTIONS = frozenset({
    "current_date", "current_time", "current_timestamp", "localtime", "localtimestamp", "current_user", "user",
    "session_user", "current_role", "current_catalog", "current_schema",
})  # fmt: skip
_FUNCTIONS = SCALARS | AGGREGATES | OPERATORS


def allowed(text: str, tables: Collection[str], *, step: str = "") -> None:
    """Pass quietly if the text is one SELECT of known nodes and functions over `tables`; raises `Refused` else."""
    tree = _tree(text, step)
    names = {fold(name) for name in tables} | {
        fold(str(entry["key"])) for node in _objects(tree) for entry in (node.get("cte_map") or {}).get("map", ())
    }
    found: list[Refusal] = []
    for node in _objects(tree):
        code, subject = judge(node, names)
        if code:
            found.append(refusal(code, step, _place(text, node.get("query_location")), subject))
    if found:
        raise Refused(tuple(dict.fromkeys(sorted(found, key=lambda r: (r.line, r.column)))))


@cache
def _parser() -> duckdb.DuckDBPyConnection:
    """An empty database that reads texts and nothing else; opening one takes longer than all the rest."""
    import duckdb

    return duckdb.connect(":memory:", config={"enable_external_access": False, "threads": 1})


def _tree(text: str, step: str) -> Node:
    import duckdb

    try:
        with _parser().cursor() as con:
            answer = con.execute("SELECT json_serialize_sql(?)", [text]).fetchall()[0][0]
        tree = json.loads(answer)
    except (duckdb.Error, ValueError, RecursionError):
        raise Refused((refusal("unreadable", step),)) from None
    if tree.get("error") is not False or len(tree.get("statements", ())) != 1:
        raise Refused((refusal("unreadable", step),))
    return dict(tree)


def _objects(tree: Any) -> Iterator[Node]:
    """Every object of the tree, without recursion: depth is the merchant's choice."""
    waiting = [tree]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield item
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


def judge(node: Node, tables: Collection[str]) -> tuple[str, str]:
    """The refusal code of one node of DuckDB's tree and what it is about; an empty code where the node is fine."""
    kind, group = node.get("type"), node.get("class")
    if group is not None:
        return _expression(str(group), node)
    if not isinstance(kind, str):
        return "", ""
    if kind in ("LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER"):
        return "order", "LIMIT"
    if kind == "RECURSIVE_CTE_NODE":
        return "recursive", ""
    if kind == "TABLE_FUNCTION":
        return "table_function", str((node.get("function") or {}).get("function_name", ""))
    if kind not in _NODES:
        return "node", kind.removesuffix("_NODE")
    rule = _RULES.get(kind)
    return rule(node, tables) if rule else ("", "")


def _expression(group: str, node: Node) -> tuple[str, str]:
    if group not in _CLASSES:
        return "node", group
    if group == "OPERATOR" and node["type"] not in _OPERATIONS:
        return "node", str(node["type"])
    if group in ("FUNCTION", "WINDOW"):
        return _function(group, node)
    if group == "COLUMN_REF":
        return _column([fold(str(name)) for name in node.get("column_names") or ()])
    if group == "STAR" and (not node.get("_listed") or any(map(node.get, ("columns", "expr", "rename_list")))):
        return "node", "*"
    if group == "SUBQUERY" and (node.get("subquery_type"), node.get("comparison_type")) not in _SUBQUERIES:
        return "node", str(node.get("subquery_type"))
    return "", ""


def _function(group: str, node: Node) -> tuple[str, str]:
    name = fold(str(node["function_name"]))
    path = [fold(str(part)) for part in (node.get("qualified_name") or {}).get("path", [name])]
    known = AGGREGATES | WINDOWS if group == "WINDOW" else _FUNCTIONS
    return ("", "") if path == [name] and name in known else ("function", name)


def _column(names: list[str]) -> tuple[str, str]:
    if len(names) > 2:
        return "table.qualified", ".".join(names)
    if len(names) == 1 and names[0] in _VALUE_FUNCTIONS:
        return "function", names[0]
    hidden = next((name for name in names if name.startswith("__")), "")
    return ("name.hidden", hidden) if hidden else ("", "")


def _table(node: Node, tables: Collection[str]) -> tuple[str, str]:
    path = [str(part) for part in node["qualified_name"]["path"]]
    if node.get("at_clause") or node.get("sample"):
        return "node", "AT" if node.get("at_clause") else "TABLESAMPLE"
    if len(path) != 1:
        return "table.qualified", ".".join(path)
    return ("", "") if fold(path[0]) in tables else ("table.unknown", path[0])


def _join(node: Node, _: Collection[str]) -> tuple[str, str]:
    kind, form = str(node.get("join_type")), str(node.get("ref_type"))
    known = kind in ("INNER", "LEFT", "RIGHT", "FULL") and form in ("REGULAR", "CROSS")
    return ("", "") if known else ("join.kind", f"{form} {kind}")


def _select(node: Node, _: Collection[str]) -> tuple[str, str]:
    for item in node.get("select_list") or ():
        item["_listed"] = True  # a star is a list of columns here, and nowhere else
    if node.get("qualify"):
        return "order", "QUALIFY"
    if len(node.get("group_sets") or ()) > 1:
        return "node", "GROUPING SETS"
    return ("node", "TABLESAMPLE") if node.get("sample") else ("", "")


def _set_operation(node: Node, _: Collection[str]) -> tuple[str, str]:
    return ("", "") if node.get("setop_type") == "UNION" and node.get("setop_all") else ("set_operation", "")


def _ordering(node: Node, _: Collection[str]) -> tuple[str, str]:
    return ("order", "ORDER BY") if node.get("orders") else ("", "")


def _distinct(node: Node, _: Collection[str]) -> tuple[str, str]:
    return ("node", "DISTINCT ON") if node.get("distinct_on_targets") else ("", "")


_RULES: dict[str, Callable[[Node, Collection[str]], tuple[str, str]]] = {
    "BASE_TABLE": _table,
    "JOIN": _join,
    "SELECT_NODE": _select,
    "SET_OPERATION_NODE": _set_operation,
    "ORDER_MODIFIER": _ordering,
    "DISTINCT_MODIFIER": _distinct,
}


def _place(text: str, location: Any) -> tuple[int, int]:
    """Line and column of a byte offset of DuckDB's."""
    data = text.encode()
    if not isinstance(location, int) or not 0 <= location < len(data):
        return 0, 0
    before = data[:location].decode(errors="ignore")
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
