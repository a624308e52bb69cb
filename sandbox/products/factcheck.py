"""What a claim about entities rests on, over all rows: the same statements at ingestion and for a folder of files.

Values are compared as they are written, keys in their normal form, never by a hash: eighteen-digit codes differ in the
last digit. Each function counts in one scan and gives the smallest value that contradicts the claim.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sandbox.catalog.keys import normal_key
from sandbox.products.source import EntityKey, scan
from sandbox.workspaces.engine import identifier

if TYPE_CHECKING:
    import duckdb

Found = tuple[int, str]
"""How many values contradict a claim, and the smallest of them."""


def entities(table: str, key: EntityKey) -> str:
    """Value of the key column → its entity `__e`, each value once: its normal form, or as the other table has it."""
    if key.through is None:
        values = f"SELECT DISTINCT {identifier(key.column)}::VARCHAR AS k FROM {table}"
        return f"SELECT k, {normal_key('k')} AS __e FROM ({values})"
    look, owner = identifier(key.through.key), identifier(key.through.owner)
    return f"SELECT {look}::VARCHAR AS k, {normal_key(owner)} AS __e FROM {scan(key.through)}"


def with_entity(table: str, key: EntityKey, known: str) -> str:
    """The rows of `table` with the entity each belongs to, as `__e`; `known` is what `entities` gave."""
    return f"SELECT t.*, o.__e FROM {table} t LEFT JOIN {known} o ON t.{identifier(key.column)}::VARCHAR = o.k"


def repeated(con: duckdb.DuckDBPyConnection, key: EntityKey) -> Found | None:
    """Keys of the other table that owners are looked up in which name several rows there."""
    assert key.through is not None
    look = identifier(key.through.key)
    rows = f"SELECT {look}::VARCHAR AS k FROM {scan(key.through)} WHERE {look} IS NOT NULL"
    return _counted(con, f"SELECT count(*), min(k) FROM (FROM ({rows}) SELECT k GROUP BY ALL HAVING count(*) > 1)")


def several(con: duckdb.DuckDBPyConnection, view: str, column: str) -> Found | None:
    """Values of the column that belong to more than one entity: count(DISTINCT (k, e)) = count(DISTINCT k)."""
    values = f"SELECT k FROM ({_pairs(view, column)}) GROUP BY k HAVING count(*) > 1"
    return _counted(con, f"SELECT count(*), min(k) FROM ({values})")


def elsewhere(con: duckdb.DuckDBPyConnection, view: str, column: str, rows: str, there: str) -> Found | None:
    """Values of a shared domain that belong to one entity in `view` and to another one in `rows`."""
    text = (f"SELECT count(DISTINCT a.k), min(a.k) FROM ({_pairs(view, column)}) a "
            f"JOIN ({_pairs(rows, there)}) b ON a.k = b.k WHERE a.__e <> b.__e")  # fmt: skip
    return _counted(con, text)


def shared(here: EntityKey, there: EntityKey) -> Iterator[tuple[str, str]]:
    """Columns of two tables that share a domain: (here, there)."""
    theirs = {domain: column for column, domain in determining(there).items()}
    yield from ((column, theirs[domain]) for column, domain in determining(here).items() if domain in theirs)


def determining(key: EntityKey) -> dict[str, str]:
    """Further column whose value determines the entity → its domain; the key itself needs no check."""
    return {c: d for c, d in key.determined_by.items() if c != key.column or key.through}


def _pairs(view: str, column: str) -> str:
    name = identifier(column)
    return f"SELECT DISTINCT {name}::VARCHAR AS k, __e FROM {view} WHERE {name} IS NOT NULL AND __e IS NOT NULL"


def _counted(con: duckdb.DuckDBPyConnection, text: str) -> Found | None:
    count, example = con.execute(text).fetchall()[0]
    return (int(count), str(example)) if count else None
