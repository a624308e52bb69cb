"""Evidence of an aggregate product, derived from source microdata and proved by running, not by reading.

For every cell: how many registered entities' records entered, with what contributions, and the set of those entities.
**P1**: the evidence reproduces the output. **P2**: with a random half of the entities deleted from the source, the
product's own statement gives exactly what the evidence predicts (an error about one entity survives m halves with
probability of about 2^-m; the seeds are secret and drawn after the job is frozen). **P3**: with the amounts of a job
set to their minimum, maximum and shuffled, count per cell the entities whose contribution moved; that is a fact of
the cell table (`n_informative`), for the threshold rule to judge.

Entity sets say who entered a cell, not with which records: two products over different records of the same people are
told apart by the filter, not by the set.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import polars as pl

from policies.text import Text
from sandbox.products import compile as sql
from sandbox.products import perturb
from sandbox.products.cells import CELL_SCHEMA, packed
from sandbox.products.compile import Entity, Partial
from sandbox.products.entities import Codes, EntityCodes
from sandbox.products.evidence_values import digest_of
from sandbox.products.source import EvidenceError, Source, half, kept, opened
from sandbox.products.spec import JobSpec, as_data, digest

if TYPE_CHECKING:
    import duckdb

    from sandbox.products.carrier import Suspect


TOLERANCE = 1e-9
"""Relative difference of two floating sums that counts as equal: the order of additions is not fixed."""
HALVES = 3
MAX_CELLS = 1_000_000

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class KindEvidence:
    """Evidence about one kind of entity.

    `touched`: whether the plan says that entities of this kind enter the product; where it says no, there is no cell
    table, and the halves show that deleting them changes nothing. `several`: a row may have more than one owner.
    `perturbed` and `not_perturbed` are source columns and modes, as `input.column:mode`.
    """

    kind: str
    touched: bool
    several: bool
    cells: pl.DataFrame
    bitmaps: Mapping[str, bytes]
    reproduced: bool
    halves: int
    halves_as_predicted: int
    perturbed: tuple[str, ...] = ()
    not_perturbed: tuple[str, ...] = ()
    ownerless_rows: int = 0
    rows_total: int = 0

    @property
    def proved(self) -> bool:
        return self.reproduced and self.halves > 0 and self.halves_as_predicted == self.halves


@dataclass(frozen=True, slots=True)
class ProofRecord:
    """Everything a third party needs to repeat the verdict on the same sources; plain data, ready for JSON.

    `spec` is the canonical job; `texts` what was run to get the values, by step; `carried` what was run to get the
    contributions, by kind and step; `frozen` the sub-queries used as constants, by name. `seed` (hex) is the secret
    drawn after the values were frozen: every half and shuffle follows from it. `digests`: sources, output,
    contributions and cell tables.
    """

    spec: Mapping[str, Any] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    carried: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    frozen: Mapping[str, str] = field(default_factory=dict)
    seed: str = ""
    halves: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the platform computed itself for one cube on named snapshots: values and, per kind, who is behind them.

    `name` is `product`, or the name of a reference step; `references` are judged like the product itself. `groupings`
    has one number per row: 0 where every dimension is present, and bit i (from the right) set where the i-th dimension
    from the right is summed over. `over_budget` names what was not finished: such evidence is for people, never a pass.
    """

    job: str
    sources: Mapping[str, str]
    columns: tuple[str, ...]
    dimensions: int
    rows: tuple[Row, ...]
    kinds: tuple[KindEvidence, ...]
    name: str = "product"
    groupings: tuple[int, ...] = ()
    references: tuple[Evidence, ...] = ()
    suspects: tuple[Suspect, ...] = ()
    record: ProofRecord = field(default_factory=ProofRecord)
    over_budget: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Budget:
    """How long the whole proof may take: in seconds, or as a multiple of the plain run; None: no limit of this sort."""

    seconds: float | None = None
    times: float | None = None


class Watch(Protocol):
    """Who looks on: told how far the proof is, asked whether to go on. Asked from a second thread, too."""

    def progress(self, step: str, share: float) -> None: ...
    def cancelled(self) -> bool: ...


class Draws(Protocol):
    """Where secret numbers come from: `secrets`, or the record of an earlier proof.

    `frozen` is told the digest of the values of a cube (`evidence_values.digest_of`) before the first number is asked
    for: whoever wrote the job cannot know the numbers.
    """

    def frozen(self, digest: str, /) -> None: ...
    def randbits(self, bits: int, /) -> int: ...


class Fresh:
    """New secret numbers from the kernel."""

    def frozen(self, digest: str, /) -> None:
        """Nobody has to be told."""

    def randbits(self, bits: int, /) -> int:
        return secrets.randbits(bits)


def derive(
    spec: JobSpec, sources: Mapping[str, Source], *, codes: EntityCodes, halves: int = HALVES,
    draws: Draws | None = None, watch: Watch | None = None,
) -> Evidence:  # fmt: skip
    """Run the job on the source and derive and prove its evidence for every kind of entity the inputs carry.

    `halves`: random halves of P2, by a seed that is drawn when the values are frozen. Raises `EvidenceError` where the
    evidence cannot be derived; a failed proof is no error but a fact of the result (`proved` false) that the gate
    blocks on.
    """
    if spec.beyond_proof:
        raise EvidenceError(
            "evidence.beyond_proof",
            Text("作业含有机器不能证明的部分", "The job has parts that the machine cannot prove"),
            Text("请改用只有 product 的声明式作业", "Use a declared job with nothing but `product`"),
            parts=spec.beyond_proof,
        )
    entities = sql.entities_of({alias: source.hidden_keys for alias, source in sources.items()})
    statement = sql.compile(spec)[-1].sql
    with opened(sources) as con:
        rows = con.execute(statement).fetchall()
        if len(rows) > MAX_CELLS:
            raise EvidenceError(
                "evidence.too_many_cells",
                Text(f"结果超过 {MAX_CELLS} 个单元格", f"The product has more than {MAX_CELLS} cells"),
                Text("请减少维度或合并取值", "Use fewer dimensions or merge values"),
            )
        draws = draws or Fresh()
        draws.frozen(output := digest_of(rows))
        seed = draws.randbits(128)
        kinds = []
        for n, entity in enumerate(entities):
            if watch is not None:
                watch.progress(f"{entity.kind}: P1, P2, P3", n / len(entities))
            kinds.append(_of_kind(con, spec, entity, rows, sources, codes, halves, seed))
    names = tuple(spec.output_columns)
    used = {alias: source.digest for alias, source in sources.items()}
    same = (0,) * len(rows)
    record = ProofRecord(
        spec=as_data(spec), texts={"product": statement}, seed=f"{seed:x}", halves=halves, versions=_versions(),
        digests={**{f"source.{alias}": name for alias, name in used.items()}, "output": output},
    )  # fmt: skip
    head = (digest(spec), used, names, len(spec.dimensions), tuple(rows), tuple(kinds))
    return Evidence(*head, groupings=same, record=record)


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("duckdb", "sqlglot", "pyroaring")}


def _seed(seed: int, *label: object) -> int:
    """A number of 63 bits that follows from the secret seed."""
    text = ":".join([f"{seed:x}", *map(str, label)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def _of_kind(
    con: duckdb.DuckDBPyConnection,
    spec: JobSpec,
    entity: Entity,
    rows: Sequence[Row],
    sources: Mapping[str, Source],
    codes: EntityCodes,
    halves: int,
    seed: int,
) -> KindEvidence:
    parts = sql.partials(spec)
    _contributions(con, spec, entity, parts)
    reproduced = same_rows(rows, con.execute(sql.recompute_sql(spec)).fetchall(), len(spec.dimensions))
    modes = perturb.perturb(con, spec, entity, sources, _seed(seed, entity.kind, "shuffle"))
    held = sum(_half_holds(con, spec, entity, sources, _seed(seed, entity.kind, "half", n)) for n in range(halves))
    numbers = _number(con, spec, entity, codes)
    sets = [_sets(con, i, numbers, len(rows)) for i in range(len(parts))]
    bitmaps = {name: raw for found in sets for name, raw in found.values()}
    tables = [_cells(con, i, p, found, bool(modes)) for i, (p, found) in enumerate(zip(parts, sets, strict=True))]
    total = con.execute("SELECT coalesce(sum(__rows), 0) FROM __c").fetchall()[0][0]
    ownerless = con.execute("SELECT coalesce(sum(__rows), 0) FROM __c WHERE __e IS NULL").fetchall()[0][0]
    _drop(con, parts)
    head = (entity.kind, True, False, pl.concat(tables), bitmaps, reproduced, halves, held, modes)
    return KindEvidence(*head, ownerless_rows=int(ownerless), rows_total=int(total))


def _contributions(con: duckdb.DuckDBPyConnection, spec: JobSpec, entity: Entity, parts: Sequence[Partial]) -> None:
    con.execute(f"CREATE TEMP TABLE __c AS {sql.evidence_sql(spec, entity)}")
    for i, partial in enumerate(parts):
        if partial.op == "count_distinct":
            con.execute(f"CREATE TEMP TABLE __v{i} AS {sql.distinct_sql(spec, entity, partial)}")


def _drop(con: duckdb.DuckDBPyConnection, parts: Sequence[Partial]) -> None:
    for name in ["__c", "__x", "__k", "__i", *(f"__v{i}" for i, p in enumerate(parts) if p.op == "count_distinct")]:
        con.execute(f"DROP TABLE {name}")


def _half_holds(
    con: duckdb.DuckDBPyConnection, spec: JobSpec, entity: Entity, sources: Mapping[str, Source], seed: int
) -> bool:
    """P2 once: the product's own statement on the reduced source against the prediction from the evidence."""
    keys = [(alias, key) for alias in entity.keys for key in sources[alias].keys if key.kind == entity.kind]
    only = {alias: half(key.column, seed) for alias, key in keys}
    with opened(sources, only) as reduced:
        truth = reduced.execute(sql.compile(spec)[-1].sql).fetchall()
    predicted = con.execute(sql.recompute_sql(spec, f"(__e IS NULL OR {kept('__e', seed)})")).fetchall()
    return same_rows(truth, predicted, len(spec.dimensions))


def _number(con: duckdb.DuckDBPyConnection, spec: JobSpec, entity: Entity, codes: EntityCodes) -> Codes:
    """Number the cells and, for this session, the entities; the answer maps session numbers to lasting codes."""
    dims = [f"__d{i}" for i in range(len(spec.dimensions))]
    order = ", ".join(f"{d} ASC NULLS LAST" for d in dims)
    cells = f"SELECT {', '.join([*dims, f'row_number() OVER (ORDER BY {order}) - 1 AS __cell'])} FROM" if dims else ""
    distinct = f"(SELECT DISTINCT {', '.join(dims)} FROM __c)"
    con.execute("CREATE TEMP TABLE __k AS SELECT __e AS __key, row_number() OVER (ORDER BY __e) - 1 AS __no "
                "FROM (SELECT DISTINCT __e FROM __c WHERE __e IS NOT NULL)")  # fmt: skip
    on = " AND ".join(f"__c.{d} IS NOT DISTINCT FROM cells.{d}" for d in dims)
    cell = "cells.__cell" if dims else "0 AS __cell"
    joined = f"JOIN ({cells} {distinct}) cells ON {on}" if dims else ""
    numbered = f"__c {joined} LEFT JOIN __k ON __c.__e = __k.__key"
    con.execute(f"CREATE TEMP TABLE __x AS SELECT {cell}, __k.__no, __c.* FROM {numbered}")
    keys = [row[0] for row in con.execute("SELECT __key FROM __k ORDER BY __no").fetchall()]
    return codes.assign(entity.kind, keys)


def _sets(con: duckdb.DuckDBPyConnection, i: int, numbers: Codes, cells: int) -> dict[int, tuple[str, bytes]]:
    """Per cell, digest and bytes of the set of entities that have a value in partial `i`."""
    query = f"SELECT __cell, __no FROM __x WHERE __no IS NOT NULL AND __n{i} > 0"
    pairs = con.sql(query).to_arrow_table()
    cell = pairs.column(0).to_numpy().astype(np.int64)
    owner = numbers[pairs.column(1).to_numpy().astype(np.int64)] if len(cell) else np.empty(0, np.uint32)
    order = np.argsort(cell, kind="stable")
    edges = np.searchsorted(cell[order], np.arange(cells + 1))
    owner = owner[order]
    return {c: packed(owner[edges[c] : edges[c + 1]]) for c in range(cells)}


def _cells(
    con: duckdb.DuckDBPyConnection, i: int, partial: Partial, sets: Mapping[int, tuple[str, bytes]], perturbed: bool
) -> pl.DataFrame:
    x = f"abs(CAST(__s{i} AS DOUBLE))"
    some = f"__e IS NOT NULL AND __n{i} > 0"
    found = con.execute(
        f"SELECT __cell, count(*) FILTER (WHERE {some}), sum(__n{i}), "
        f"count(*) FILTER (WHERE __e IS NOT NULL AND __z{i} > 0), max({x}, 2), sum({x}) FROM __x GROUP BY __cell"
    ).fetchall()
    by_cell = {row[0]: row[1:] for row in found}
    moved = perturb.informative(con, i) if partial.is_amount and perturbed else None
    rows = []
    for cell, (name, _) in sets.items():
        n, present, non_zero, top, total = by_cell.get(cell, (0, 0, 0, [], None))
        x1, x2 = ([*(top or []), None, None])[:2]
        informative = None if moved is None else moved.get(cell, 0)
        head = (cell, partial.measure, partial.part, partial.op, n, present or 0, non_zero, informative)
        amounts = (x1, 0.0 if x1 is not None and x2 is None else x2, total)
        rows.append((*head, None, *amounts, None, None, None, None, name))
    return pl.DataFrame(rows, schema=CELL_SCHEMA, orient="row")


def same_rows(left: Sequence[Row], right: Sequence[Row], keys: int) -> bool:
    """Whether two results in the same order are equal: keys, counts and decimals exactly, floats to 1e-9 relative."""
    return len(left) == len(right) and all(
        a[:keys] == b[:keys] and all(map(same_value, a[keys:], b[keys:])) for a, b in zip(left, right, strict=True)
    )


def same_value(a: Any, b: Any) -> bool:
    """Equal values; two missing ones are equal, and so are two NaN."""
    if isinstance(a, float) or isinstance(b, float):
        if a is None or b is None:
            return a is b
        return math.isclose(a, b, rel_tol=TOLERANCE) or (math.isnan(a) and math.isnan(b))
    if isinstance(a, Decimal) or isinstance(b, Decimal):
        return a is not None and b is not None and Decimal(a) == Decimal(b)
    return bool(a == b)
