"""P3: change the amounts of a job in the source, keep everything else, and see whose contribution moves.

Three twins of the source: every amount at its minimum, at its maximum, and shuffled among the rows that have one
(missing values stay missing: moving them would make a cell look as if it rested on fewer people). A shuffle alone
misses threshold attacks. An entity that enters or leaves a cell has changed there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sandbox.products import compile as sql
from sandbox.products.compile import Entity, quote
from sandbox.products.source import Source, column_names
from sandbox.products.spec import JobSpec

if TYPE_CHECKING:
    import duckdb

MODES = ("minimum", "maximum", "shuffle")


def perturb(
    con: duckdb.DuckDBPyConnection, spec: JobSpec, entity: Entity, sources: Mapping[str, Source], seed: int
) -> tuple[str, ...]:
    """Fill `__i` (cell dimensions, entity, partial) with whoever moved; the modes that ran, none if impossible.

    Impossible where an amount is itself a key or a derived column: then nothing is claimed and a person decides.
    """
    parts = sql.partials(spec)
    dims = [f"__d{i}" for i in range(len(spec.dimensions))]
    con.execute(f"CREATE TEMP TABLE __i AS SELECT {', '.join([*dims, '__e'])}, 0 AS __p FROM __c LIMIT 0")
    amounts = [(i, str(p.column)) for i, p in enumerate(parts) if p.is_amount]
    targets = _targets(spec, sources, [column for _, column in amounts])
    if targets is None:
        return ()
    if not amounts:
        return MODES  # nothing to perturb: the product holds counts only
    for mode in MODES:
        _twin(con, sources, targets, mode, seed)
        con.execute(f"SET search_path='__{mode}'")
        try:
            con.execute(f"CREATE TEMP TABLE __t AS {sql.evidence_sql(spec, entity)}")
        finally:
            con.execute("SET search_path='main'")
        for i, _ in amounts:
            _note_moved(con, dims, i)
        con.execute("DROP TABLE __t")
        con.execute(f"DROP SCHEMA __{mode} CASCADE")
    return MODES


def informative(con: duckdb.DuckDBPyConnection, i: int) -> dict[int, int]:
    """Per cell, how many entities moved in partial `i`; cells of `__x`, which also numbers them."""
    dims = [row[0] for row in con.execute("SELECT column_name FROM (DESCRIBE __i)").fetchall()][:-2]
    keys = ", ".join(["__cell", *dims])
    on = " AND ".join(f"cells.{d} IS NOT DISTINCT FROM __i.{d}" for d in dims) or "TRUE"
    found = con.execute(
        f"SELECT cells.__cell, count(DISTINCT __i.__e) FROM (SELECT DISTINCT {keys} FROM __x) cells "
        f"JOIN __i ON {on} WHERE __i.__p = {i} GROUP BY 1"
    )
    return dict(found.fetchall())


def _targets(spec: JobSpec, sources: Mapping[str, Source], amounts: list[str]) -> dict[str, list[str]] | None:
    """Columns to perturb per input; None where one of them is a key or derived."""
    found: dict[str, list[str]] = {alias: [] for alias in sources}
    names = {alias: column_names(source) for alias, source in sources.items()}
    for reference in amounts:
        if reference in spec.derive:
            return None
        alias, name = spec.split(reference)
        owner = alias or next(a for a, columns in names.items() if name in columns)
        if any(key.column == name for key in sources[owner].keys):
            return None
        if name not in found[owner]:
            found[owner].append(name)
    return found


def _twin(
    con: duckdb.DuckDBPyConnection,
    sources: Mapping[str, Source],
    targets: Mapping[str, list[str]],
    mode: str,
    seed: int,
) -> None:
    con.execute(f"CREATE SCHEMA __{mode}")
    for alias in sources:
        table = f"main.{quote(alias)}"
        columns = targets[alias]
        text = _shuffled(table, columns, seed) if mode == "shuffle" else _extreme(table, columns, mode)
        con.execute(f"CREATE VIEW __{mode}.{quote(alias)} AS {text}")


def _extreme(table: str, columns: list[str], mode: str) -> str:
    if not columns:
        return f"SELECT * FROM {table}"
    function = "min" if mode == "minimum" else "max"
    new = [
        f"CASE WHEN {quote(c)} IS NULL THEN NULL ELSE (SELECT {function}({quote(c)}) FROM {table}) END AS {quote(c)}"
        for c in columns
    ]
    return f"SELECT * REPLACE ({', '.join(new)}) FROM {table}"


def _shuffled(table: str, columns: list[str], seed: int) -> str:
    text = f"SELECT * FROM {table}"
    for n, c in enumerate(map(quote, columns)):
        rows = f"SELECT *, row_number() OVER (PARTITION BY {c} IS NULL) AS __r FROM ({text})"
        order = f"row_number() OVER (ORDER BY hash(__r, {seed}, {n})) AS __r"
        values = f"SELECT {c} AS __v, {order} FROM ({rows}) WHERE {c} IS NOT NULL"
        text = (
            f"SELECT a.* EXCLUDE (__r) REPLACE (b.__v AS {c}) FROM ({rows}) a "
            f"LEFT JOIN ({values}) b ON a.{c} IS NOT NULL AND a.__r = b.__r"
        )
    return text


def _note_moved(con: duckdb.DuckDBPyConnection, dims: list[str], i: int) -> None:
    keys = ", ".join(f"coalesce(c.{k}, t.{k}) AS {k}" for k in [*dims, "__e"])
    on = " AND ".join(f"c.{k} IS NOT DISTINCT FROM t.{k}" for k in [*dims, "__e"])
    # sums of floats differ in their last bits from run to run: only a real change counts as information
    old, new = f"CAST(c.__s{i} AS DOUBLE)", f"CAST(t.__s{i} AS DOUBLE)"
    con.execute(
        f"INSERT INTO __i SELECT {keys}, {i} AS __p FROM __c c FULL JOIN __t t ON {on} "
        f"WHERE c.__n{i} IS DISTINCT FROM t.__n{i} OR ({old} IS NULL) <> ({new} IS NULL) "
        f"OR abs({old} - {new}) > 1e-9 * greatest(abs({old}), abs({new}))"
    )
