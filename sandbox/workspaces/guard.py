"""The statement check: explains refusals early and records which tables a statement touches.

It is not the wall (mounts, the locked engine and the jail are). It reads DuckDB's own parse tree against an allow-list
of node types, tables and functions; what it does not know is refused, and so is everything that makes the parser
stumble. Statement types alone mislead in DuckDB 2.0: `WITH x AS (DELETE … RETURNING *) SELECT …` calls itself SELECT.
Runs inside the jail: standard library and DuckDB only; wording is added outside (`wording.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import duckdb

from sandbox.workspaces.lexing import Token, plain, tokens

SIMULATED, REAL = "simulated", "real"

_RELATIONS = frozenset({
    "SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE", "EMPTY", "BASE_TABLE", "SUBQUERY", "JOIN",
    "EXPRESSION_LIST", "TABLE_FUNCTION", "PIVOT", "ORDER_MODIFIER", "LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER",
    "DISTINCT_MODIFIER", "ORDER_DEFAULT", "ASCENDING", "DESCENDING",
})  # fmt: skip
_EXPRESSIONS = frozenset({
    "COLUMN_REF", "CONSTANT", "FUNCTION", "COMPARISON", "CONJUNCTION", "OPERATOR", "CASE", "CAST", "BETWEEN",
    "SUBQUERY", "STAR", "WINDOW", "LAMBDA", "LAMBDA_REF", "COLLATE", "TYPE", "POSITIONAL_REFERENCE", "PARAMETER",
})  # fmt: skip
_TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest", "json_each", "json_tree"})
_OWN_CATALOGUE = frozenset({"duckdb_tables", "duckdb_views", "duckdb_columns", "duckdb_functions", "duckdb_types"})
# Known to the engine, refused here: they read the session instead of the data, write, or raise on purpose.
REFUSED_FUNCTIONS = frozenset({
    "getvariable", "current_setting", "current_query", "getenv", "write_log", "add_parquet_key", "nextval", "currval",
    "error", "stats", "vector_type", "in_search_path", "txid_current", "parse_duckdb_log_message",
    "json_deserialize_sql", "json_execute_serialized_sql", "create_sort_key", "which_secret",
})  # fmt: skip
_STATEMENTS = frozenset({
    "CREATE", "INSERT", "UPDATE", "DELETE", "DROP", "ALTER", "TRANSACTION", "EXPLAIN", "MULTI", "ANALYZE", "VACUUM",
    "MERGE_INTO",
})  # fmt: skip
# What DuckDB gives no tree for is recognised by its first words; everything else of that statement type is refused.
_HEADS = {
    "CREATE": re.compile(
        r"\s*create\s+(or\s+replace\s+)?(temp\s+|temporary\s+)?(recursive\s+)?"
        r"(table|view|macro|function|sequence|schema|type|index|unique\s+index)\b", re.IGNORECASE,
    ),
    "DROP": re.compile(r"\s*drop\s+(table|view|macro|function|sequence|schema|type|index)\b", re.IGNORECASE),
    "ALTER": re.compile(
        r"\s*(alter\s+(table|view|sequence|schema|type|index)|comment\s+on\s+(table|view|column))\b", re.IGNORECASE
    ),
    "EXPLAIN": re.compile(r"\s*explain\b(\s+analyze\b)?(\s*\([^()]*\))?", re.IGNORECASE),
}  # fmt: skip
_BODY = frozenset({"SELECT", "WITH", "FROM", "VALUES", "TABLE"})
_BEFORE_TABLE = frozenset({"FROM", "JOIN", "INTO", "UPDATE", "TABLE", "PIVOT", "UNPIVOT", "USING"})
_NAMED_AFTER = frozenset({"TABLE", "INTO", "VIEW", "MACRO", "FUNCTION", "EXISTS"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a statement is not run. `code` is a key of wording.REFUSALS, `subject` a name from the statement."""

    code: str
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """What the guard saw in one statement."""

    kind: str
    tables: tuple[str, ...] = ()
    refusal: Refusal | None = None


@dataclass(slots=True)
class _Scope:
    tables: frozenset[str]
    functions: frozenset[str]
    table_functions: frozenset[str]
    may_show: bool
    named: set[str] = field(default_factory=set)
    touched: set[str] = field(default_factory=set)


def check(con: duckdb.DuckDBPyConnection, statement: Any, *, granted: frozenset[str], mode: str) -> Checked:
    """Judge one statement of `con.extract_statements`. In mode "real" only a plain SELECT over `granted` passes."""
    kind = "UNKNOWN"
    try:
        kind = str(statement.type.name)  # raises for types the Python binding does not know, such as CONNECT
        if kind == "SELECT":
            return _check_select(con, statement.query, granted, mode)
        if mode == REAL:
            return Checked(kind, refusal=Refusal("only_select", kind))
        return _check_other(con, kind, statement.query, granted)
    except Exception:  # any failure of the parser side is a refusal, never a pass
        return Checked(kind, refusal=Refusal("unreadable"))


def check_select(con: duckdb.DuckDBPyConnection, sql: str, *, granted: frozenset[str]) -> Checked:
    """Judge the text of one step of a real run: exactly one SELECT over `granted`."""
    try:
        statements = con.extract_statements(sql)
    except Exception:
        return Checked("UNKNOWN", refusal=Refusal("unreadable"))
    if len(statements) != 1:
        return Checked("MULTI", refusal=Refusal("one_statement"))
    return check(con, statements[0], granted=granted, mode=REAL)


def _check_other(con: duckdb.DuckDBPyConnection, kind: str, query: str, granted: frozenset[str]) -> Checked:
    """Statements DuckDB gives no tree for: by their head, their words, and the tree of the query inside, if any."""
    text = plain(query)
    if kind not in _STATEMENTS:
        return Checked(kind, refusal=Refusal("statement", _verb(text) or kind))
    if kind == "TRANSACTION":
        return Checked(kind)  # looks nothing up: it must pass where a transaction is broken
    head = _HEADS.get(kind)
    opened = head.match(text) if head else None
    if head and not opened:
        return Checked(kind, refusal=Refusal("statement", " ".join(text.split()[:2]).upper()))
    if kind == "EXPLAIN":
        inner = con.extract_statements(query[opened.end() :] if opened else query)
        checked = check(con, inner[0], granted=granted, mode=SIMULATED) if len(inner) == 1 else None
        return Checked(kind, checked.tables if checked else (), checked.refusal if checked else Refusal("unreadable"))
    words = [t for t in tokens(query) if t.kind != "comment"]
    known = granted | own_tables(con)
    # by the words of the statement: may record a table too many, never one too few
    said = {t.name.casefold() for t in words if t.kind in ("word", "quoted")}
    touched = {t for t in known if t.casefold() in said}
    refusal = _judge_words(con, words)
    if refusal is None and (start := _body(kind, words)) is not None:
        inside = _check_select(con, query[start:].rstrip().rstrip(";"), granted, SIMULATED)
        # a part that is no query of its own (a macro's expression, WITH NO DATA) has been judged by its words
        refusal = None if inside.refusal and inside.refusal.code == "unreadable" else inside.refusal
    return Checked(kind, tuple(sorted(touched)), refusal)


def _verb(text: str) -> str:
    found = re.match(r"\s*(\w+)", text)
    return found.group(1).upper() if found else ""


def _body(kind: str, words: list[Token]) -> int | None:
    """Where the query inside CREATE … AS or INSERT INTO … begins, its parentheses included.

    After AS all is the query, but for the TABLE of a macro; an INSERT's may follow a list of columns.
    """
    depth = 0
    for place, token in enumerate(words[:-1]):
        if depth == 0 and kind == "CREATE" and token.text.upper() == "AS":
            macro = any(word.text.upper() in ("MACRO", "FUNCTION") for word in words[:5])
            skipped = macro and words[place + 1].text.upper() == "TABLE" and place + 2 < len(words)
            return words[place + (2 if skipped else 1)].start
        if depth == 0 and kind == "INSERT" and place > 1 and _opens_query(words[place:]):
            return token.start
        depth += {"(": 1, ")": -1}.get(token.text, 0)
    return None


def _opens_query(words: list[Token]) -> bool:
    first = next((token for token in words if token.text != "("), None)
    return first is not None and first.kind == "word" and first.text.upper() in _BODY


def _judge_words(con: duckdb.DuckDBPyConnection, words: list[Token]) -> Refusal | None:
    """Functions of the engine that are not on the lists, and texts in the place of a table."""
    refused = _engine_functions(con) - known_functions(con) - _TABLE_FUNCTIONS - _OWN_CATALOGUE
    for place, token in enumerate(words):
        after = words[place + 1].text if place + 1 < len(words) else ""
        before = words[place - 1].text.upper() if place else ""
        name = token.name.casefold()
        if token.kind in ("word", "quoted") and after == "(" and name in refused and before not in _NAMED_AFTER:
            return Refusal("function" if name in REFUSED_FUNCTIONS else "table_function", name)
        if token.kind == "string" and before in _BEFORE_TABLE:
            return Refusal("table", token.text[1:-1])
    return None


def _check_select(con: duckdb.DuckDBPyConnection, query: str, granted: frozenset[str], mode: str) -> Checked:
    tree = json.loads(_tree_of(con, query))
    if tree.get("error") is not False:
        return Checked("SELECT", refusal=Refusal("unreadable"))
    scope = _Scope(
        tables=frozenset(n.casefold() for n in granted),
        functions=known_functions(con),
        table_functions=_TABLE_FUNCTIONS if mode == REAL else _TABLE_FUNCTIONS | _OWN_CATALOGUE,
        may_show=mode != REAL,
    )
    for node in _nodes(tree):
        scope.named.update(str(e["key"]).casefold() for e in (node.get("cte_map") or {}).get("map", ()))
        if node.get("type") == "RECURSIVE_CTE_NODE":
            scope.named.add(str(node.get("cte_name", "")).casefold())
    # what the person made is asked for only where it matters: each list takes longer than a small query
    lists = {} if mode == REAL else {"table": own_tables, "function": _own_macros}
    refusal = _first(tree, scope)
    while refusal is not None and refusal.code in lists:
        names = {name.casefold() for name in lists.pop(refusal.code)(con)}
        if refusal.code == "table":
            scope.tables |= names
        else:
            scope.functions |= names
        refusal = _first(tree, scope)
    return Checked("SELECT", tuple(sorted(scope.touched)), refusal)


def _first(tree: Any, scope: _Scope) -> Refusal | None:
    return next((r for r in (_judge(node, scope) for node in _nodes(tree)) if r is not None), None)


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of the tree, without recursion: depth is the merchant's choice."""
    waiting = [tree]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield item
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


def _judge(node: dict[str, Any], scope: _Scope) -> Refusal | None:
    kind = node.get("type")
    if "class" in node:
        group = str(node["class"])
        if group not in _EXPRESSIONS:
            return Refusal("node", group)
        if group in ("FUNCTION", "WINDOW") and not node.get("_table"):
            return _judge_function(node, scope.functions, "function")
        return None
    if not isinstance(kind, str):
        return None
    if kind == "SHOW_REF":
        return None if scope.may_show else Refusal("node", "SHOW")
    if kind not in _RELATIONS:
        return Refusal("node", kind.removesuffix("_NODE").removesuffix("_QUERY"))
    if kind == "BASE_TABLE":
        return _judge_table(node, scope)
    if kind == "TABLE_FUNCTION":
        node["function"]["_table"] = True  # judged here, by the list for tables
        return _judge_function(node["function"], scope.table_functions, "table_function")
    return None


def _judge_table(node: dict[str, Any], scope: _Scope) -> Refusal | None:
    path = [str(part) for part in node["qualified_name"]["path"]]
    name = path[-1].casefold()
    if node.get("at_clause"):
        return Refusal("node", "AT")
    if name in scope.tables and (len(path) == 1 or scope.may_show):
        scope.touched.add(path[-1])
        return None
    return None if len(path) == 1 and name in scope.named else Refusal("table", ".".join(path))


def _judge_function(node: dict[str, Any], known: frozenset[str], code: str) -> Refusal | None:
    name = str(node["function_name"]).casefold()
    path = [str(part).casefold() for part in (node.get("qualified_name") or {}).get("path", [name])]
    if path[:-1] not in ([], ["main"], ["system", "main"], ["pg_catalog"]) or name not in known:
        return Refusal(code, name)
    return None


_serializing: list[Any] = []
_trees: dict[str, str] = {}
_TREES, _TREE_CHARS = 64, 1 << 16  # at most 4 MB of the jail's memory


def _tree_of(con: duckdb.DuckDBPyConnection, query: str) -> str:
    """DuckDB's tree of `query` as JSON. It turns on the text alone, not on what there is or was set; asking takes as
    long as a small query, so those of the last texts are kept: what is asked again and again is judged at once."""
    found = _trees.pop(query, None)
    if found is None:
        if not _serializing:
            _serializing.extend(con.extract_statements("SELECT json_serialize_sql(?)"))
        found = str(con.execute(_serializing[0], [query]).fetchall()[0][0])
    if len(query) + len(found) <= _TREE_CHARS:
        _trees[query] = found
        if len(_trees) > _TREES:
            del _trees[next(iter(_trees))]
    return found


_known: list[frozenset[str]] = []
_engine: list[frozenset[str]] = []


def _engine_functions(con: duckdb.DuckDBPyConnection) -> frozenset[str]:
    """Every function the engine brings, of whatever kind."""
    if not _engine:
        rows = con.execute("SELECT DISTINCT function_name FROM duckdb_functions() WHERE internal").fetchall()
        _engine.append(frozenset(str(row[0]).casefold() for row in rows))
    return _engine[0]


def known_functions(con: duckdb.DuckDBPyConnection) -> frozenset[str]:
    """The engine's own functions; they never change while the process lives, and asking takes 15 ms."""
    if not _known:
        rows = con.execute(
            "SELECT DISTINCT function_name FROM duckdb_functions()"
            " WHERE function_type IN ('scalar', 'aggregate', 'macro', 'window') AND internal"
        ).fetchall()
        _known.append((frozenset(str(row[0]).casefold() for row in rows) | {"unnest"}) - REFUSED_FUNCTIONS)
    return _known[0]


def _own_macros(con: duckdb.DuckDBPyConnection) -> frozenset[str]:
    rows = con.execute(
        "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type = 'macro' AND NOT internal"
    ).fetchall()
    return frozenset(str(row[0]).casefold() for row in rows) - REFUSED_FUNCTIONS


def own_tables(con: duckdb.DuckDBPyConnection) -> frozenset[str]:
    """Tables and views of the own database."""
    rows = con.execute(
        "SELECT table_name FROM duckdb_tables() WHERE NOT internal"
        " UNION ALL SELECT view_name FROM duckdb_views() WHERE NOT internal"
    ).fetchall()
    return frozenset(str(row[0]) for row in rows)
