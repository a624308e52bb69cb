"""One SQL expression over the columns of a row: read as a tree, never pasted as text."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from sandbox.products.spec_parts import refuse

if TYPE_CHECKING:
    from sqlglot import exp


@lru_cache(maxsize=256)
def tree_of(text: str) -> exp.Expr:
    """The tree of a condition over columns; callers copy it before they change it.

    Raises the specification's error where the text is not one expression, holds a sub-query, an aggregate, a window, a
    placeholder or a star, or uses what the allow-list does not know.
    """
    from sqlglot import errors, exp, parse_one

    try:
        tree = parse_one(text, dialect="duckdb", into=exp.Condition)
    except (errors.SqlglotError, RecursionError):
        raise refuse("expression", "不是一个可读的 SQL 条件表达式", "not one readable SQL expression") from None
    for kind, (zh, en) in _kinds().items():
        if tree.find(kind) is not None:
            raise refuse("expression_part", f"条件中不能有{zh}", f"a condition cannot hold {en}")
    _allow(tree)
    return tree


def _allow(tree: exp.Expr) -> None:
    """Only functions and operators of the second allow-list, as DuckDB itself reads them."""
    from sandbox.products.carrier import Refused, allowed

    try:
        allowed(f"SELECT 1 FROM t WHERE {tree.sql('duckdb')}", ["t"])
    except Refused as refused:
        first = refused.refusals[0]
        zh, en = (f"{first.text.zh}；{first.repair.zh}", f"{first.text.en}; {first.repair.en}")
        raise refuse("expression_allowed", zh, en) from None


def _kinds() -> dict[type[exp.Expr], tuple[str, str]]:
    from sqlglot import exp

    return {
        exp.Query: ("子查询", "a sub-query"), exp.AggFunc: ("聚合函数", "an aggregate"),
        exp.Window: ("窗口函数", "a window"), exp.Placeholder: ("占位参数", "a parameter"),
        exp.Parameter: ("占位参数", "a parameter"), exp.Star: ("星号", "a star"), exp.Alias: ("别名", "an alias"),
    }  # fmt: skip


def columns_of(text: str) -> list[str]:
    """The columns an expression reads, as a specification writes them, in order of first use."""
    from sqlglot import exp

    return list(dict.fromkeys(_written(c) for c in tree_of(text).find_all(exp.Column, bfs=False)))


def _written(column: exp.Column) -> str:
    return f"{column.table}.{column.name}" if column.table else column.name


def placed(tree: exp.Expr, place: Callable[[str], exp.Expr]) -> exp.Expr:
    """A copy of the tree with each column, as written, put in its place."""
    from sqlglot import exp

    def put(node: exp.Expr) -> exp.Expr:
        return place(_written(node)) if isinstance(node, exp.Column) else node

    return tree.copy().transform(put)


def sql_of(text: str, place: Callable[[str], str]) -> str:
    """The expression as DuckDB SQL, each column replaced by the SQL that `place` gives for it."""
    from sqlglot import parse_one

    return placed(tree_of(text), lambda column: parse_one(place(column), dialect="duckdb")).sql("duckdb")
