"""The cell table: for every cell and partial, who is behind it and with how much."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Mapping, Sequence
from functools import partial as bound
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl
from pyroaring import BitMap

from sandbox.products import compile as sql
from sandbox.products.arrays import beside, pieces, values_of
from sandbox.products.compile import Partial, quote
from sandbox.products.entities import MISSING_KEY, Codes
from sandbox.products.kept import Kept, alike, keys
from sandbox.products.program import Program

if TYPE_CHECKING:
    import duckdb

_Number = TypeVar("_Number", np.uint32, np.uint64)

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
    codes = once(np.sort(np.asarray(owners, dtype=np.uint32)))
    bitmap = BitMap(array("I", codes.tobytes()))  # many times as fast with codes in order
    bitmap.run_optimize()
    return name_of(codes), bitmap.serialize()


def name_of(codes: Codes) -> str:
    """The digest of a set of entity codes given in ascending order, each once."""
    return hashlib.sha256(codes.astype("<u4", copy=False).tobytes()).hexdigest()[:32]


def once(ordered: npt.NDArray[_Number]) -> npt.NDArray[_Number]:
    """Numbers that are given in order, each once."""
    new = ordered[1:] != ordered[:-1]
    return ordered if new.all() else ordered[np.concatenate([[True], new])]


def table_of(
    con: duckdb.DuckDBPyConnection, program: Program, kind: str, kept: Kept, perturbed: bool
) -> tuple[pl.DataFrame, dict[str, bytes]]:
    """The cell table of one cube and the entity sets it names, from the kept contributions and the moves `__i`."""
    parts = sql.partials(kept.cube)
    _owned(con, kept)
    _holders(con, program, kind)
    figures = con.sql(_figures(con, kept)).pl()
    frames: list[pl.DataFrame] = []
    bitmaps: dict[str, bytes] = {}
    seen: dict[int, tuple[list[str], dict[str, bytes]]] = {}
    for i, partial in enumerate(parts):
        frame = figures.select("cell", *(pl.col(f"{name}_{i}").alias(name) for name in _FIGURES))
        presence = _presence(con, kept, i, seen)
        if presence not in seen:
            seen[presence] = _sets(con, presence)
        names, found = seen[presence]
        bitmaps |= found
        moved = con.sql(_moves(i)).pl()
        if not perturbed:
            moved = moved.with_columns(n_informative=None)
        sides = con.sql(_sides(con, kept, partial, i)).pl()
        head = {"measure": partial.measure, "part": partial.part, "op": partial.op}
        frame = frame.hstack(moved).hstack(sides)
        frame = frame.with_columns(*(pl.lit(v).alias(k) for k, v in head.items()), pl.Series("bitmap", names))
        frames.append(frame.select(pl.col(name).cast(kind_) for name, kind_ in CELL_SCHEMA.items()))
    return (pl.concat(frames) if frames else pl.DataFrame(schema=CELL_SCHEMA)), bitmaps


def _owned(con: duckdb.DuckDBPyConnection, kept: Kept) -> None:
    """`__u`: one row per cell and single entity; of a row with several owners each has the whole contribution."""
    rows = "SELECT * FROM __x WHERE __e IS NOT NULL AND __cell IS NOT NULL"
    named = ", ".join(["__cell", "__e", *(f"{text} AS {name}" for name, text in kept.names.items())])
    if not kept.several:
        con.execute(f"CREATE OR REPLACE TEMP VIEW __u AS SELECT {named} FROM ({rows})")
        return
    together = {"lo": "min", "hi": "max"}
    sums = ", ".join(f"{together.get(name[2:4], 'sum')}({name}) AS {name}" for name in kept.names)
    each = f"SELECT * EXCLUDE (__e), unnest(__e) AS __e FROM (SELECT {named} FROM ({rows}))"
    con.execute(f"CREATE OR REPLACE TEMP TABLE __w AS SELECT __cell, __e, {sums} FROM ({each}) GROUP BY __cell, __e")
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


def _joined(inner: str, columns: list[str]) -> str:
    """Per cell, in order, what `inner` found for it."""
    return f"SELECT {', '.join(columns)} FROM __cells o LEFT JOIN ({inner}) a USING (__cell) ORDER BY o.__cell"


_FIGURES = ("n", "n_non_missing", "n_non_zero", "x1", "x2", "x_total")


def _figures(con: duckdb.DuckDBPyConnection, kept: Kept) -> str:
    """`_FIGURES` of every partial i as `{name}_{i}`, per cell in order."""
    real = f"__e <> {MISSING_KEY}"
    n, z, amount = (_first(kept, letter) for letter in "nzs")
    counts = [f"count(CASE WHEN {real} AND {c} > 0 THEN 1 END) AS k{c}" for c in sorted({*n, *z})]
    present = ", ".join(f"sum({kept.names[c]}) AS p{c}" for c in sorted(set(n)))
    amounts = [f"max(abs(s{c}), 2) AS x{c}, sum(abs(s{c})) AS t{c}" for c in sorted(set(amount))]
    doubles = ", ".join(f"CAST({c} AS DOUBLE) AS s{c}" for c in sorted(set(amount)))
    each = f"SELECT *, {doubles} FROM __u"
    if con.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = '__h'").fetchall()[0][0]:
        sums = ", ".join(f"sum(s{c}) AS s{c}" for c in sorted(set(amount)))
        who = "coalesce(h.h, CAST(u.__e AS BIGINT)) AS who"
        owners = f"SELECT u.*, {who} FROM ({each}) u LEFT JOIN __h h ON h.e = u.__e"
        held = f"SELECT __cell, {sums} FROM ({owners}) GROUP BY __cell, who"
        apart = f"SELECT __cell, {', '.join(counts)} FROM __u GROUP BY __cell"
        both = f"(SELECT __cell, {', '.join(amounts)} FROM ({held}) GROUP BY __cell) LEFT JOIN ({apart}) USING (__cell)"
        behind = f"SELECT * FROM {both}"
    else:
        behind = f"SELECT __cell, {', '.join([*counts, *amounts])} FROM ({each}) GROUP BY __cell"
    whole = f"SELECT * FROM (SELECT __cell, {present} FROM __x GROUP BY __cell) LEFT JOIN ({behind}) USING (__cell)"
    return _joined(whole, ["o.__cell AS cell", *(
        f"coalesce(a.k{n[i]}, 0) AS n_{i}, coalesce(a.p{n[i]}, 0) AS n_non_missing_{i}, "
        f"coalesce(a.k{z[i]}, 0) AS n_non_zero_{i}, a.x{s}[1] AS x1_{i}, "
        f"CASE WHEN a.x{s}[1] IS NOT NULL THEN coalesce(a.x{s}[2], 0.0) END AS x2_{i}, "
        f"a.t{s} AS x_total_{i}" for i, s in enumerate(amount)
    )])  # fmt: skip


def _first(kept: Kept, letter: str) -> list[str]:
    """Per partial, its column of this letter in `__u`, or the first one that holds the same sums."""
    of: dict[str, str] = {}
    for name, text in kept.names.items():
        if name[2] in "nzs":
            of.setdefault(text, name)
    return [of[kept.names[f"__{letter}{i}"]] for i, _ in enumerate(sql.partials(kept.cube))]


def _moves(i: int) -> str:
    each = (
        "SELECT __cell, sum(moved) AS moved, coalesce(max(largest) / nullif(sum(whole), 0), 1 / sum(most)) AS share "
        f"FROM __i WHERE __p = {i} GROUP BY __cell, __column"
    )
    inner = f"SELECT __cell, min(moved) FILTER (WHERE moved > 0) AS moved, max(share) AS share FROM ({each}) GROUP BY 1"
    return _joined(inner, ["coalesce(a.moved, 0) AS n_informative", "a.share AS change_share"])


def _one_each(con: duckdb.DuckDBPyConnection, kept: Kept, i: int) -> bool:
    """Whether every owner of a cell has one value there, in one row."""
    rows, most = con.execute(f"SELECT count(*), max(__n) FROM __v{i}").fetchall()[0]
    pairs = f"SELECT count(*) FROM __x WHERE {kept.names[f'__n{i}']} > 0"
    return most == 1 and rows == con.execute(pairs).fetchall()[0][0]


def _sides(con: duckdb.DuckDBPyConnection, kept: Kept, partial: Partial, i: int) -> str:
    """Entities at the extreme, or on either side of the quantile (a value equal to it is on both)."""
    real = f"__e <> {MISSING_KEY}"
    if partial.op in ("min", "max"):
        end = "lo" if partial.op == "min" else "hi"
        best = f"SELECT *, {partial.op}(__{end}{i}) OVER (PARTITION BY __cell) AS best FROM __u"
        inner = f"SELECT __cell, count(*) FILTER (WHERE {real}) AS k FROM ({best}) WHERE __{end}{i} = best GROUP BY 1"
        found = {f"n_{partial.op}": "coalesce(a.k, 0)"}
    elif partial.op in ("median", "quantile"):
        q = 0.5 if partial.op == "median" else kept.cube.measures[partial.measure].q
        one_each = _one_each(con, kept, i)
        values = (
            f"SELECT o.__cell, v.__e, v.__v, v.__n FROM __v{i} v JOIN __cells o ON {alike(keys(kept.cube), 'o', 'v')}"
        )
        every = values if one_each else f"SELECT *, unnest(range(__n)) FROM ({values})"
        cut = f"SELECT __cell, quantile_cont(__v, {q!r}) AS cut FROM ({every}) GROUP BY 1"
        owner = "" if one_each else "DISTINCT "
        below, above = (f"count({owner}CASE WHEN {real} AND __v {side} cut THEN __e END)" for side in ("<=", ">="))
        inner = (
            f"SELECT __cell, {below} AS below, {above} AS above "
            f"FROM ({values}) JOIN ({cut}) USING (__cell) WHERE __e IS NOT NULL GROUP BY 1"
        )
        found = {"n_below": "coalesce(a.below, 0)", "n_above": "coalesce(a.above, 0)"}
    else:
        inner, found = "SELECT __cell FROM __cells", {}
    names = ("n_min", "n_max", "n_below", "n_above")
    return _joined(inner, [f"{found.get(name, 'NULL')} AS {name}" for name in names])


def _presence(con: duckdb.DuckDBPyConnection, kept: Kept, i: int, seen: Mapping[int, object]) -> int:
    """An earlier partial with a value for exactly the same entities of the same cells, else this one."""
    for other in seen:
        differ = f"SELECT count(*) FROM __u WHERE (__n{i} > 0) <> (__n{other} > 0)"
        if kept.names[f"__n{i}"] == kept.names[f"__n{other}"] or not con.execute(differ).fetchall()[0][0]:
            return other
    return i


def _sets(con: duckdb.DuckDBPyConnection, i: int) -> tuple[list[str], dict[str, bytes]]:
    """Per cell in order, the digest of its entity set, and the sets; a batch of cells at a time."""
    rows = f"SELECT __cell, list(__e) FROM __u WHERE __n{i} > 0 AND __e <> {MISSING_KEY} GROUP BY __cell"
    found: dict[str, bytes] = {}
    names: dict[int, str] = {}
    for batch in con.sql(rows).to_arrow_reader(50_000):
        cells, lists = batch.columns
        values, edges = values_of(lists.values), values_of(lists.offsets)
        packs = beside(pieces(np.diff(edges)), bound(_packed, values, edges), workers=2)
        for cell, (name, raw) in zip(cells.to_pylist(), chain.from_iterable(packs), strict=True):
            names[cell] = name
            found[name] = raw
    every = range(con.execute("SELECT count(*) FROM __cells").fetchall()[0][0])
    nobody, raw = packed([])
    if len(names) < len(every):
        found[nobody] = raw
    return [names.get(cell, nobody) for cell in every], found


def _packed(values: Codes, edges: npt.NDArray[np.intp], piece: range) -> list[tuple[str, bytes]]:
    """`packed` of some of the lists of `values` that begin and end at `edges`."""
    return [packed(values[edges[k] : edges[k + 1]]) for k in piece]
