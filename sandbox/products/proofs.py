"""P1 and P2: what the evidence predicts against what the product's own statement gives, compared in the database."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sandbox.products import compile as sql
from sandbox.products.compile import quote
from sandbox.products.contributions import constants, fetch, within
from sandbox.products.flow import mentioned
from sandbox.products.kept import Kept, in_half, predicted_sql
from sandbox.products.program import Program, Task

if TYPE_CHECKING:
    import duckdb

TOLERANCE = 1e-9
"""Relative difference of two floating numbers that counts as equal: the order of additions is not fixed."""


def seed_of(secret: str, *place: str) -> int:
    """The seed of one half or shuffle, 62 bits: it follows from the secret and the place alone."""
    raw = hmac.digest(bytes.fromhex(secret), "\x00".join(place).encode(), hashlib.sha256)
    return int.from_bytes(raw[:8], "big") >> 2


def same(con: duckdb.DuckDBPyConnection, left: str, right: str) -> bool:
    """Whether two tables hold the same rows in the same order: floats to a relative 1e-9, all else exactly."""
    one, other = (
        con.execute(f"SELECT column_name, column_type FROM (DESCRIBE {table})").fetchall() for table in (left, right)
    )
    if len(one) != len(other) or len({fetch(con, f"SELECT count(*) FROM {t}") for t in (left, right)}) != 1:
        return False
    equal = []
    for i, ((_, a), (_, b)) in enumerate(zip(one, other, strict=True)):
        x, y = f"l.c{i}", f"r.c{i}"
        test = f"{x} IS NOT DISTINCT FROM {y}"
        if {a, b} & {"DOUBLE", "FLOAT"}:
            near = f"abs({x} - {y}) <= {TOLERANCE} * greatest(abs({x}), abs({y}))"
            test = f"({test} OR coalesce(isfinite({x}) AND isfinite({y}) AND {near}, FALSE))"
        equal.append(test)
    names = ", ".join(f"c{i}" for i in range(len(one)))
    rows = f"(SELECT * FROM {left}) l({names}) POSITIONAL JOIN (SELECT * FROM {right}) r({names})"
    return not fetch(con, f"SELECT count(*) FROM {rows} WHERE NOT ({' AND '.join(equal)})")


def reproduced(con: duckdb.DuckDBPyConnection, kept: Kept, number: int) -> bool:
    """P1: the contributions give the product, and nobody contributes to what is not in it."""
    con.execute(f"CREATE OR REPLACE TEMP TABLE __guess AS SELECT * FROM ({predicted_sql(kept)})")
    return not kept.stray and same(con, f"__o{number}", "__guess")


def half_holds(
    con: duckdb.DuckDBPyConnection,
    program: Program,
    kind: str,
    task: Task,
    number: int,
    kept: Kept | None,
    seed: int,
    bit: int,
) -> bool:
    """P2 once: the merchant's own texts on the reduced source against the prediction from the evidence; without any
    (`kept`) nothing may change."""
    _deleted(con, program, kind, in_half(seed, bit, "__e{k}"))
    with within(con, "__del"):
        con.execute(f"CREATE OR REPLACE TEMP TABLE __truth AS SELECT * FROM ({sql.cube_sql(task.cube)})")
    if kept is None:
        return same(con, f"__o{number}", "__truth")
    con.execute(f"CREATE OR REPLACE TEMP TABLE __guess AS SELECT * FROM ({predicted_sql(kept, bit)})")
    return same(con, "__truth", "__guess")


def _deleted(con: duckdb.DuckDBPyConnection, program: Program, kind: str, kept: str) -> None:
    con.execute("DROP SCHEMA IF EXISTS __del CASCADE")
    con.execute("CREATE SCHEMA __del")
    k = program.kinds.index(kind)
    for alias, source in program.sources.items():
        columns = ", ".join(map(quote, mentioned(program, alias))) or "1"
        owned = any(key.kind == kind for key in source.keys)
        where = f" WHERE {kept.format(k=k)}" if owned else ""
        con.execute(f"CREATE VIEW __del.{quote(alias)} AS SELECT {columns} FROM __t.{quote(alias)}{where}")
    constants(con, program, "__del")
    with within(con, "__del"):
        for name, carried in program.carried[kind].items():
            con.execute(f"CREATE VIEW __del.{quote(name)} AS {carried.text}")


def texts(program: Program) -> Mapping[str, Mapping[str, str]]:
    """Carried SQL by kind and step, for the record."""
    return {kind: {n: c.sql for n, c in steps.items()} for kind, steps in program.carried.items() if kind}
