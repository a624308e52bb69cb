"""The lists of functions, held against what the engine says of its own functions."""

from __future__ import annotations

import duckdb
import pytest
from sqlglot import exp, parse_one

from sandbox.products.carrier.functions import AGGREGATES, SCALARS, WINDOWS
from sandbox.products.carrier.grammar import DIALECT, is_aggregate
from sandbox.workspaces.guard import REFUSED_FUNCTIONS

# said with words of the grammar, or by the parser under another name
_SYNTAX = {"coalesce", "nullif", "ifnull", "if", "substring", "trim", "position", "count_star"}


def functions(kind: str) -> dict[str, set[str]]:
    """Name → stabilities of the engine's functions of a kind."""
    found: dict[str, set[str]] = {}
    query = "SELECT function_name, stability FROM duckdb_functions() WHERE function_type = ? AND internal"
    for name, stability in duckdb.execute(query, [kind]).fetchall():
        found.setdefault(name, set()).add(stability)
    return found


def test_no_listed_function_answers_differently_when_asked_again() -> None:
    known = functions("scalar") | functions("macro")
    changing = {name for name in SCALARS & set(known) if known[name] - {"CONSISTENT", None}}
    assert changing == set()


def test_every_listed_function_is_one_of_the_engine() -> None:
    assert SCALARS - set(functions("scalar")) - set(functions("macro")) - _SYNTAX == set()
    assert AGGREGATES - set(functions("aggregate")) - _SYNTAX == set()


def test_no_list_holds_what_workspaces_refuse() -> None:
    assert set() == (SCALARS | AGGREGATES | WINDOWS) & REFUSED_FUNCTIONS


@pytest.mark.parametrize("name", sorted(AGGREGATES - {"count_star"}))
def test_every_listed_aggregate_is_seen_as_one_unless_it_stands_over_a_window(name: str) -> None:
    plain = parse_one(f"SELECT {name.upper()}(x) + 1 FROM t", read=DIALECT)
    windowed = parse_one(f"SELECT {name}(x) FILTER (WHERE x > 1) OVER (PARTITION BY y) FROM t", read=DIALECT)
    assert any(map(is_aggregate, plain.walk())) and not any(map(is_aggregate, windowed.walk()))


@pytest.mark.parametrize("name", sorted(SCALARS - {"if"}))
def test_a_function_keeps_the_name_it_was_written_with(name: str) -> None:
    call = parse_one(f"SELECT {name}(x, 1) FROM t", read=DIALECT).expressions[0]
    spelt = isinstance(call, exp.Substring | exp.Trim | exp.StrPosition)
    assert spelt or call.sql(DIALECT).lower() == f"{name}(x, 1)"
