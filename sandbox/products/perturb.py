"""P3: change one column's values in the source, keep everything else, and see whose contribution moves.

A column's values are set to the smallest, to the largest, and shuffled among the rows that have one (missing values
stay missing: moving them would make a cell look as if it rested on fewer people); codes are exchanged for other codes
as well. A shuffle alone misses threshold attacks. An entity that enters or leaves a cell has changed there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from sandbox.products import compile as sql
from sandbox.products.compile import quote
from sandbox.products.contributions import carried_schema, companions, contribute, fetch
from sandbox.products.entities import MISSING_KEY
from sandbox.products.program import Program, Task

if TYPE_CHECKING:
    import duckdb

MODES = ("minimum", "maximum", "shuffle")
_FLAT = ("LIST", "STRUCT", "MAP", "UNION", "[]")


def plan(
    con: duckdb.DuckDBPyConnection, program: Program, columns: list[tuple[str, str]]
) -> tuple[list[tuple[str, str, tuple[str, ...]]], list[str]]:
    """(column and its modes, what cannot be perturbed): values of one kind only, nested types. Keys are never
    perturbed, nor is what belongs to nobody: reference data and the merchant's own uploads."""
    found: list[tuple[str, str, tuple[str, ...]]] = []
    impossible: list[str] = []
    for alias, column in columns:
        source = program.sources[alias]
        if not source.keys or source.role(column) == "key":
            continue
        table, name = f"__t.{quote(alias)}", quote(column)
        kind = fetch(con, f"SELECT column_type FROM (DESCRIBE SELECT {name} FROM {table})")
        nested = any(word in kind for word in _FLAT)
        if nested or fetch(con, f"SELECT min({name}) IS NOT DISTINCT FROM max({name}) FROM {table}"):
            impossible.append(f"{alias}.{column}")
            continue
        domain = source.perturb.get(column) == "domain"
        found.append((alias, column, (*MODES, "domain") if domain else MODES))
    return found, impossible


def twin(table: str, column: str, mode: str, seed: int) -> str:
    """The rows of an input with one column perturbed."""
    c = quote(column)
    if mode in ("minimum", "maximum"):
        value = f"(SELECT {mode[:3]}({c}) FROM {table})"
        return f"SELECT * REPLACE (CASE WHEN {c} IS NOT NULL THEN {value} END AS {c}) FROM {table}"
    if mode == "domain":
        codes = f"SELECT {c} AS v, lead({c}) OVER (ORDER BY {c}) AS n FROM (SELECT DISTINCT {c} FROM {table})"
        other = f"SELECT v, coalesce(n, (SELECT min({c}) FROM {table})) AS n FROM ({codes}) WHERE v IS NOT NULL"
        return f"SELECT a.* REPLACE (b.n AS {c}) FROM {table} a LEFT JOIN ({other}) b ON a.{c} = b.v"
    there = f"(SELECT * FROM {table} WHERE {c} IS NOT NULL)"
    order = f"SELECT {c} AS v, hash(row_number() OVER (), {seed}::UBIGINT) AS h FROM {there}"
    mixed = f"(SELECT v AS __v FROM ({order}) ORDER BY h)"
    return (
        f"SELECT * EXCLUDE (__v) REPLACE (__v AS {c}) FROM ({there} a POSITIONAL JOIN {mixed} b) "
        f"UNION ALL BY NAME SELECT * FROM {table} WHERE {c} IS NULL"
    )


def begin(con: duckdb.DuckDBPyConnection, task: Task) -> None:
    """`__b`: the contributions by number of their cell (`__cells`), without rows that nobody owns. An empty `__i`: per
    cell, partial and column, how many entities moved, and the largest one's share."""
    con.execute(f"CREATE OR REPLACE TEMP TABLE __b AS {_by_cell(task, '__c')}")
    con.execute(
        "CREATE OR REPLACE TEMP TABLE __i (__cell BIGINT, __p INTEGER, moved UINTEGER, share DOUBLE)"
    )


def _by_cell(task: Task, table: str) -> str:
    """Rows of contributions with the number of their cell. What falls into no cell of the product is left out: it has
    left the cell that it was in."""
    dims = [*(f"__d{i}" for i in range(len(task.cube.dimensions))), "__g"]
    on = " AND ".join(f"k.{d} IS NOT DISTINCT FROM x.{d}" for d in dims)
    rows = f"SELECT k.cell AS __cell, x.* EXCLUDE ({', '.join(dims)}) FROM {table} x JOIN __cells k ON {on}"
    return f"{rows} WHERE x.__e IS NOT NULL"


def perturbed(
    con: duckdb.DuckDBPyConnection,
    program: Program,
    kind: str,
    task: Task,
    alias: str,
    column: str,
    mode: str,
    seed: int,
    behind: Collection[int],
) -> None:
    """Contributions under one perturbation; whoever moved goes to `__moved`. `behind`: the partials that the column has
    a part in; the values behind other holistic ones are not read again. Raises DuckDB's error where the job cannot run
    on such values."""
    carried_schema(con, program, kind, "__p", {alias: twin(f"__t.{quote(alias)}", column, mode, seed)})
    contribute(con, program, kind, task.cube, "__p", "__t2")
    again = [i for i, p in enumerate(sql.partials(task.cube)) if p.is_holistic and i in behind]
    companions(con, program, kind, task.cube, "__p", "__y", again)
    values = ", ".join(f"{change} AS m{i}" for i, change in enumerate(_changes(task, again)))
    some = " OR ".join(f"m{i} IS NOT NULL" for i, _ in enumerate(sql.partials(task.cube)))
    others = "".join(_others(con, task, i) for i in again)
    chosen = "coalesce(c.__cell, t.__cell) AS __cell, coalesce(c.__e, t.__e) AS __e"
    rows = f"__b c FULL JOIN ({_by_cell(task, '__t2')}) t ON c.__cell = t.__cell AND c.__e = t.__e{others}"
    text = f"SELECT * FROM (SELECT {chosen}, {values} FROM {rows}) WHERE {some}"
    there = fetch(con, "SELECT count(*) FROM duckdb_tables() WHERE table_name = '__moved'")
    con.execute(f"INSERT INTO __moved {text}" if there else f"CREATE TEMP TABLE __moved AS {text}")


def _others(con: duckdb.DuckDBPyConnection, task: Task, i: int) -> str:
    """A join to those whose values behind holistic partial i are others now, though their number may be the same."""
    of_value = "SELECT column_type FROM (DESCRIBE SELECT __v FROM __v{i})".replace("{i}", str(i))
    if fetch(con, of_value) in ("DOUBLE", "FLOAT"):  # a step may have added them up: their last bits are not fixed
        parts = {"a": "sum(__v * __n)", "b": "sum(__v * __v * __n)"}
        near = "abs(v.{x} - y.{x}) <= 1e-9 * greatest(abs(v.{x}), abs(y.{x}))"
        equal = " AND ".join(f"(v.{x} = y.{x} OR {near.format(x=x)})" for x in parts)
    else:
        parts, equal = {"a": "bit_xor(hash(__v, __n))"}, "v.a = y.a"
    sums = ", ".join(f"{value} AS {name}" for name, value in parts.items())
    sides = [
        f"(SELECT __cell, __e, {sums} FROM ({_by_cell(task, f'{table}{i}')}) GROUP BY ALL) {table[2:]}"
        for table in ("__v", "__y")
    ]
    chosen = "coalesce(v.__cell, y.__cell) AS __cell, coalesce(v.__e, y.__e) AS __e"
    both = f"{sides[0]} FULL JOIN {sides[1]} ON v.__cell = y.__cell AND v.__e = y.__e"
    moved = f"SELECT {chosen} FROM {both} WHERE ({equal}) IS NOT TRUE"
    on = f"coalesce(c.__cell, t.__cell) = q{i}.__cell AND coalesce(c.__e, t.__e) = q{i}.__e"
    return f" LEFT JOIN (SELECT *, TRUE AS other FROM ({moved})) q{i} ON {on}"


def _changes(task: Task, again: Collection[int]) -> Iterator[str]:
    """Per partial, the size of a contribution's change, NULL where nothing changed. `again`: see `perturbed`."""
    for i, p in enumerate(sql.partials(task.cube)):
        n, s = ((f"coalesce(c.__{x}{i}, 0)", f"coalesce(t.__{x}{i}, 0)") for x in "ns")
        old, new = (f"CAST({x} AS DOUBLE)" for x in s)
        moved, size = f"{n[0]} <> {n[1]}", f"abs({n[0]} - {n[1]})"
        if p.op in ("min", "max"):
            end = "lo" if p.op == "min" else "hi"
            moved += f" OR c.__{end}{i} IS DISTINCT FROM t.__{end}{i}"
            size = "1"
        elif p.is_amount or p.op == "count_distinct":
            # sums of floats differ in their last bits from run to run: only a real change counts as information
            moved += f" OR abs({old} - {new}) > 1e-9 * greatest(abs({old}), abs({new}))"
            size = f"abs({old} - {new})" if p.is_amount else f"greatest(abs({old} - {new}), 1)"
        if i in again:
            moved += f" OR q{i}.other"
        yield f"CASE WHEN {moved} THEN CAST({size} AS DOUBLE) END"


def settle(con: duckdb.DuckDBPyConnection, task: Task, several: bool) -> None:
    """One column is done: from the entities that moved under any of its modes to numbers per cell."""
    if not fetch(con, "SELECT count(*) FROM duckdb_tables() WHERE table_name = '__moved'"):
        return
    numbers = range(len(sql.partials(task.cube)))
    owner = "unnest(__e) AS __e" if several else "__e"
    rows = f"SELECT __cell, {owner}, COLUMNS('^m[0-9]+$') FROM __moved"
    largest = ", ".join(f"max(m{i}) AS m{i}" for i in numbers)
    each = f"SELECT __cell, __e, {largest} FROM ({rows}) GROUP BY __cell, __e"
    told = ", ".join(
        f"count(m{i}) FILTER (WHERE __e <> {MISSING_KEY}) AS moved{i}, count(m{i}) AS all{i}, "
        f"coalesce(max(m{i}) / nullif(sum(m{i}), 0), 1 / count(m{i})) AS share{i}" for i in numbers
    )  # fmt: skip
    con.execute(f"CREATE OR REPLACE TEMP TABLE __told AS SELECT __cell, {told} FROM ({each}) GROUP BY __cell")
    for i in numbers:
        con.execute(f"INSERT INTO __i SELECT __cell, {i}, moved{i}, share{i} FROM __told WHERE all{i} > 0")
    con.execute("DROP TABLE __moved")
