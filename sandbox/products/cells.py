"""The cell table: for every cell and partial, who is behind it and with how much."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from pyroaring import BitMap

from sandbox.products import compile as sql
from sandbox.products.compile import Partial, quote
from sandbox.products.entities import MISSING_KEY, Codes
from sandbox.products.program import Program, Task
from sandbox.products.spec import Cube

if TYPE_CHECKING:
    import duckdb

CELL_SCHEMA = {
    "cell": pl.UInt32, "measure": pl.String, "part": pl.String, "op": pl.String, "n": pl.UInt32,
    "n_non_missing": pl.UInt64, "n_non_zero": pl.UInt32, "n_informative": pl.UInt32, "change_share": pl.Float64,
    "x1": pl.Float64, "x2": pl.Float64, "x_total": pl.Float64, "n_min": pl.UInt32, "n_max": pl.UInt32,
    "n_below": pl.UInt32, "n_above": pl.UInt32, "bitmap": pl.String,
}  # fmt: skip
"""Cell table: one row per cell and partial.

`cell` is the row number in the product (margins included); `n` distinct entities with a value, `n_non_missing` rows
with a value, `n_non_zero` entities whose contribution is not zero. `n_informative` is the smallest number, other than
zero, of entities moved by perturbing one column (0: no column moves anybody; missing: nothing could be perturbed), and
`change_share` the largest share that one entity has in the amounts moved by one column. `x1` ≥ `x2` are the largest
absolute contributions after merging holdings and `x_total` their sum (all rows without a key count as one contributor
and as no entity). `n_min` and `n_max` are the entities that hold the smallest or largest value (minimum, maximum),
`n_below` and `n_above` those with a value on either side of a quantile; missing for other measures. `bitmap` is the
digest of the entity set."""


def packed(owners: Sequence[int] | Codes) -> tuple[str, bytes]:
    """(digest, bytes) of a set of entity codes. The digest is over the sorted codes, so it names the set itself."""
    bitmap = BitMap(array("I", np.asarray(owners, dtype=np.uint32).tobytes()))
    bitmap.run_optimize()
    codes = np.asarray(bitmap.to_array(), dtype="<u4")
    return hashlib.sha256(codes.tobytes()).hexdigest()[:32], bitmap.serialize()


def table_of(
    con: duckdb.DuckDBPyConnection, program: Program, kind: str, task: Task, perturbed: bool
) -> tuple[pl.DataFrame, dict[str, bytes]]:
    """The cell table of one cube and the entity sets it names, from the numbered cells, the contributions `__c` and the
    moves `__i`."""
    cube, several = task.cube, "several" in (program.relations[kind][a].owner for a in task.cube.used)
    parts = sql.partials(cube)
    _owned(con, cube, several)
    _holders(con, program, kind)
    frames: list[pl.DataFrame] = []
    bitmaps: dict[str, bytes] = {}
    seen: dict[int, tuple[list[str], dict[str, bytes]]] = {}
    for i, partial in enumerate(parts):
        frame = con.sql(_figures(con, cube, partial, i)).pl()
        presence = _presence(con, i, seen)
        if presence not in seen:
            seen[presence] = _sets(con, cube, presence)
        names, found = seen[presence]
        bitmaps |= found
        moved = con.sql(_moves(i)).pl()
        if not perturbed:
            moved = moved.with_columns(n_informative=None)
        sides = con.sql(_sides(cube, partial, i)).pl()
        head = {"measure": partial.measure, "part": partial.part, "op": partial.op}
        frame = frame.hstack(moved.drop("cell")).hstack(sides.drop("cell"))
        frame = frame.with_columns(*(pl.lit(v).alias(k) for k, v in head.items()), pl.Series("bitmap", names))
        frames.append(frame.select(pl.col(name).cast(kind_) for name, kind_ in CELL_SCHEMA.items()))
    return (pl.concat(frames) if frames else pl.DataFrame(schema=CELL_SCHEMA)), bitmaps


def _keys(cube: Cube) -> list[str]:
    return [*(f"__d{i}" for i in range(len(cube.dimensions))), "__g"]


def number_cells(con: duckdb.DuckDBPyConnection, cube: Cube, number: int) -> None:
    """`__cells`: the cells numbered in the order of the product, by dimensions and grouping: a margin's NULL is not a
    missing value."""
    width = len(cube.output_columns)
    names = [f"c{i}" for i in range(width)] + (["__g"] if cube.margins else [])
    dims = "".join(f"c{i} AS __d{i}, " for i in range(len(cube.dimensions)))
    grouping = "__g" if cube.margins else "0 AS __g"
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE __cells AS SELECT {dims}{grouping}, row_number() OVER () - 1 AS cell "
        f"FROM (SELECT * FROM __o{number}) o({', '.join(names)})"
    )


def _owned(con: duckdb.DuckDBPyConnection, cube: Cube, several: bool) -> None:
    """`__u`: one row per cell and single entity; of a row with several owners each has the whole contribution."""
    if not several:
        con.execute("CREATE OR REPLACE TEMP VIEW __u AS SELECT * FROM __c WHERE __e IS NOT NULL")
        return
    sums = [f"sum(__{k}{i}) AS __{k}{i}" for i, _ in enumerate(sql.partials(cube)) for k in "nzs"]
    sums += [
        f"{f}(__{k}{i}) AS __{k}{i}"
        for i, p in enumerate(sql.partials(cube)) if p.op in ("min", "max") for k, f in (("lo", "min"), ("hi", "max"))
    ]  # fmt: skip
    keys = ", ".join(_keys(cube))
    rows = "SELECT * EXCLUDE (__e), unnest(__e) AS __e FROM __c"
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE __w AS SELECT {keys}, __e, sum(__rows) AS __rows, {', '.join(sums)} "
        f"FROM ({rows}) GROUP BY {keys}, __e"
    )
    con.execute("CREATE OR REPLACE TEMP VIEW __u AS SELECT * FROM __w")


def _holders(con: duckdb.DuckDBPyConnection, program: Program, kind: str) -> None:
    """`__h`: entity → the holding it is merged into, a number below zero."""
    k = program.kinds.index(kind)
    facts = [
        f"SELECT __e{k} AS e, __h{k} AS h FROM __t.{quote(alias)} WHERE __h{k} IS NOT NULL AND __e{k} <> {MISSING_KEY}"
        for alias, source in program.sources.items() for key in source.keys if key.kind == kind and key.holding
    ]  # fmt: skip
    con.execute("DROP TABLE IF EXISTS __h")
    if facts:
        con.execute(
            f"CREATE TEMP TABLE __h AS SELECT e, -dense_rank() OVER (ORDER BY h) AS h "
            f"FROM (SELECT e, min(h) AS h FROM ({' UNION ALL '.join(facts)}) GROUP BY e)"
        )


def _joined(cube: Cube, inner: str, columns: list[str]) -> str:
    """Per cell, in order, what `inner` found for its dimensions and grouping."""
    on = " AND ".join(f"o.{k} IS NOT DISTINCT FROM a.{k}" for k in _keys(cube))
    return f"SELECT o.cell, {', '.join(columns)} FROM __cells o LEFT JOIN ({inner}) a ON {on} ORDER BY o.cell"


def _figures(con: duckdb.DuckDBPyConnection, cube: Cube, partial: Partial, i: int) -> str:
    keys, real = ", ".join(_keys(cube)), f"__e <> {MISSING_KEY}"
    counts = (
        f"SELECT {keys}, count(*) FILTER (WHERE {real} AND __n{i} > 0) AS n, "
        f"count(*) FILTER (WHERE {real} AND __z{i} > 0) AS nz FROM __u GROUP BY {keys}"
    )
    present = f"SELECT {keys}, sum(__n{i}) AS present FROM __c GROUP BY {keys}"
    s = f"CAST(__s{i} AS DOUBLE)"
    held = f"SELECT {keys}, __e AS who, {s} AS s FROM __u"
    if con.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = '__h'").fetchall()[0][0]:
        owners = "SELECT u.*, coalesce(h.h, CAST(u.__e AS BIGINT)) AS who FROM __u u LEFT JOIN __h h ON h.e = u.__e"
        held = f"SELECT {keys}, who, sum({s}) AS s FROM ({owners}) GROUP BY {keys}, who"
    amounts = f"SELECT {keys}, max(abs(s), 2) AS x, sum(abs(s)) AS total FROM ({held}) GROUP BY {keys}"
    using = " AND ".join(f"c.{k} IS NOT DISTINCT FROM {{t}}.{k}" for k in _keys(cube))
    whole = (
        f"SELECT c.*, p.* EXCLUDE ({keys}), a.* EXCLUDE ({keys}) FROM ({present}) p "
        f"LEFT JOIN ({counts}) c ON {using.format(t='p')} LEFT JOIN ({amounts}) a ON {using.format(t='a')}"
    )
    whole = whole.replace("SELECT c.*,", f"SELECT {', '.join(f'p.{k}' for k in _keys(cube))}, c.n, c.nz,")
    return _joined(cube, whole, [
        "coalesce(a.n, 0) AS n", "coalesce(a.present, 0) AS n_non_missing", "coalesce(a.nz, 0) AS n_non_zero",
        "a.x[1] AS x1", "CASE WHEN a.x[1] IS NOT NULL THEN coalesce(a.x[2], 0.0) END AS x2", "a.total AS x_total",
    ])  # fmt: skip


def _moves(i: int) -> str:
    inner = (
        "SELECT __cell, min(moved) FILTER (WHERE moved > 0) AS moved, max(share) AS share "
        f"FROM __i WHERE __p = {i} GROUP BY __cell"
    )
    return (
        "SELECT o.cell, coalesce(a.moved, 0) AS n_informative, a.share AS change_share "
        f"FROM __cells o LEFT JOIN ({inner}) a ON o.cell = a.__cell ORDER BY o.cell"
    )


def _sides(cube: Cube, partial: Partial, i: int) -> str:
    """Entities at the extreme, or on either side of the quantile (a value equal to it is on both)."""
    keys, real = ", ".join(_keys(cube)), f"__e <> {MISSING_KEY}"
    if partial.op in ("min", "max"):
        end = "lo" if partial.op == "min" else "hi"
        best = f"SELECT *, {partial.op}(__{end}{i}) OVER (PARTITION BY {keys}) AS best FROM __u"
        inner = (
            f"SELECT {keys}, count(*) FILTER (WHERE {real}) AS k FROM ({best}) WHERE __{end}{i} = best GROUP BY {keys}"
        )
        found = {f"n_{partial.op}": "coalesce(a.k, 0)"}
    elif partial.op in ("median", "quantile"):
        q = 0.5 if partial.op == "median" else cube.measures[partial.measure].q
        every = f"SELECT {keys}, unnest(range(__n)), __v FROM __v{i}"
        cut = f"SELECT {keys}, quantile_cont(__v, {q!r}) AS cut FROM ({every}) GROUP BY {keys}"
        on = " AND ".join(f"v.{k} IS NOT DISTINCT FROM c.{k}" for k in _keys(cube))
        listed = ", ".join(f"v.{k}" for k in _keys(cube))
        values = f"SELECT {listed}, __e, __v, cut FROM __v{i} v JOIN ({cut}) c ON {on} WHERE __e IS NOT NULL"
        values = f"SELECT * FROM ({values})"
        inner = (
            f"SELECT {keys}, count(DISTINCT __e) FILTER (WHERE {real} AND __v <= cut) AS below, "
            f"count(DISTINCT __e) FILTER (WHERE {real} AND __v >= cut) AS above FROM ({values}) GROUP BY {keys}"
        )
        found = {"n_below": "coalesce(a.below, 0)", "n_above": "coalesce(a.above, 0)"}
    else:
        inner, found = f"SELECT {keys} FROM __cells", {}
    names = ("n_min", "n_max", "n_below", "n_above")
    return _joined(cube, inner, [f"{found.get(name, 'NULL')} AS {name}" for name in names])


def _presence(con: duckdb.DuckDBPyConnection, i: int, seen: Mapping[int, object]) -> int:
    """An earlier partial with a value for exactly the same entities of the same cells, else this one."""
    for other in seen:
        differ = f"SELECT count(*) FROM __u WHERE (__n{i} > 0) <> (__n{other} > 0)"
        if not con.execute(differ).fetchall()[0][0]:
            return other
    return i


def _sets(con: duckdb.DuckDBPyConnection, cube: Cube, i: int) -> tuple[list[str], dict[str, bytes]]:
    """Per cell in order, the digest of its entity set, and the sets; a batch of cells at a time."""
    keys = ", ".join(_keys(cube))
    inner = f"SELECT {keys}, list(__e) AS es FROM __u WHERE __n{i} > 0 AND __e <> {MISSING_KEY} GROUP BY {keys}"
    names: list[str] = []
    found: dict[str, bytes] = {}
    for batch in con.sql(_joined(cube, inner, ["a.es"])).to_arrow_reader(50_000):
        lists = batch.column(1)
        values = lists.values.to_numpy().astype("<u4", copy=False)
        edges = lists.offsets.to_numpy()
        for start, end in pairwise(edges):
            name, raw = packed(values[start:end])
            names.append(name)
            found[name] = raw
    return names, found
