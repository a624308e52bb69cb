"""Which records entered a cell: sets for what entity sets cannot tell.

One person comes in several months and to several clinics, so the people of a quarter are no sum of the people of its
months. Its records are: what a table without one clinic lacks of a table with it are that clinic's records, and whose
they are says whom the difference gives away. A record is a number of 64 bits with its owner's code in front, so that a
set of records tells its owners.

The record is carried through a job as owners are, as if every record were an entity of its own; where the rules refuse
that (a step that puts an entity's records together), the records of a cell are not followed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import polars as pl

from sandbox.products import compile as sql
from sandbox.products.arrays import beside, pieces, values_of
from sandbox.products.cells import name_of, once
from sandbox.products.compile import HOLISTIC, Partial, quote
from sandbox.products.contributions import constants, fetch, owners_of, within
from sandbox.products.entities import MISSING_KEY
from sandbox.products.flow import mentioned
from sandbox.products.kept import numbered_sql
from sandbox.products.program import Program
from sandbox.products.source import Source, file_columns, scan
from sandbox.products.spec import Reference
from sandbox.products.spec_parts import Step

if TYPE_CHECKING:
    import duckdb

    from sandbox.products.carrier import Relation
    from sandbox.products.program import Task

BITS = 36
"""Of a record's number, those that tell it from others of its owner: two in a thousand records of one owner are alike
once in 10⁵ owners."""
MOST = 32_000_000
"""Records of all cells of a product; the sets of more are not kept."""
_WORKERS = 2
"""Pieces of sets that are put in order at the same time"""
NOT_ADDED = (*HOLISTIC, "min", "max")
"""Operations whose value is no sum over records"""

Numbers = npt.NDArray[np.uint64]


_KEY = ("cell", "measure", "part")
Cell = tuple[int, str, str]
"""(row of the product, measure, part)"""


@dataclass(frozen=True, slots=True)
class Records:
    """The record sets of a product for one kind of entity: `cells` that records add up to → digest of the set, and
    `sets` by digest, ascending numbers as little-endian bytes. There are none where an entity has one record, and where
    its records were not `followed`."""

    cells: Mapping[Cell, str] = field(default_factory=dict)
    sets: Mapping[str, bytes] = field(default_factory=dict)
    followed: bool = True


LOST = Records(followed=False)
"""Entities have several records, and nobody knows which of them are behind a cell."""


def number_sql(owner: str, record: str) -> str:
    """The number of a record: `owner` is its code, `record` a number of the record of which the last bits are taken.
    NULL where nobody owns it, or a code leaves no room."""
    whole = f"(CAST({owner} AS UBIGINT) << {BITS}) | (CAST({record} AS UBIGINT) & {2**BITS - 1})"
    return f"CASE WHEN {owner} < {2 ** (64 - BITS)} THEN {whole} END"


def record_column(kind: str) -> str:
    """The column of a twin that holds the number of each record; it is there where an entity has several."""
    return f"__u_{kind}"


def owners(of: Numbers) -> npt.NDArray[np.uint32]:
    """The distinct owners of records in ascending order."""
    return once((of >> np.uint64(BITS)).astype(np.uint32))


def numbers(raw: bytes) -> Numbers:
    """The records of a set as it is kept, ascending."""
    return np.frombuffer(raw, dtype="<u8")


def squeezed(raw: bytes) -> bytes:
    """A set as the ledger keeps it: its steps, byte beside byte, compressed (about five bytes a record)."""
    import pyarrow as pa

    steps = np.diff(numbers(raw), prepend=np.uint64(0)).astype("<u8").view(np.uint8).reshape(-1, 8)
    return len(raw).to_bytes(8, "little") + pa.compress(steps.T.tobytes(), "zstd", asbytes=True)


def loosened(kept: bytes) -> bytes:
    """What `squeezed` made small."""
    import pyarrow as pa

    steps = pa.decompress(kept[8:], int.from_bytes(kept[:8], "little"), "zstd", asbytes=True)
    flat = np.ascontiguousarray(np.frombuffer(steps, np.uint8).reshape(8, -1).T).view("<u8").ravel()
    return np.cumsum(flat, dtype=np.uint64).astype("<u8", copy=False).tobytes()


def ascending(of: Numbers) -> Numbers:
    """The distinct ones in order. They mostly come in runs that are in order, which a stable sort only merges;
    `np.unique` would look them up."""
    return once(np.sort(of, kind="stable"))


def named(of: Numbers) -> tuple[str, bytes]:
    """(digest, bytes) of a set of records, given in any order."""
    return _named(ascending(of))


def _named(ordered: Numbers) -> tuple[str, bytes]:
    raw = ordered.astype("<u8", copy=False).tobytes()
    return hashlib.sha256(raw).hexdigest()[:32], raw


def fit(records: Records, cells: pl.DataFrame, bitmaps: Mapping[str, bytes]) -> bool:
    """Whether the owners of every set are the entities of its cell, and no cell that records add up to is left out."""
    if not records.cells:
        return not records.sets
    added = cells.filter(~pl.col("op").is_in(NOT_ADDED) & (pl.col("n") > 0))
    entities = {(cell, measure, part): name for cell, measure, part, name in added.select(*_KEY, "bitmap").iter_rows()}
    members = _owners_named(records.sets)
    return {cell: members.get(name) for cell, name in records.cells.items()} == entities


def _owners_named(sets: Mapping[str, bytes]) -> dict[str, str]:
    """Set of records → the name of the set of their owners."""
    raw = [*sets.values()]
    cut = pieces(len(one) // 8 for one in raw)
    named_of = beside(cut, lambda piece: [name_of(owners(numbers(raw[k]))) for k in piece], workers=_WORKERS)
    return dict(zip(sets, chain.from_iterable(named_of), strict=True))


def of_cells(con: duckdb.DuckDBPyConnection, program: Program, kind: str, task: Task, nobodys: int) -> Records:
    """The record sets of one cube, whose `__cells` are numbered; `LOST` where its records cannot be followed, or are
    too many. `nobodys`: rows of its cells that no entity owns, and no others may be without a record."""
    import duckdb

    alias = _table_of_records(con, program, kind)
    if alias is None:
        return Records()
    relations = _carried(program, alias)
    if relations is None:
        return LOST
    forms = {name: relation.owner for name, (relation, _) in relations.items()}
    if "one" not in {forms[name] for name in task.cube.used}:
        return Records()
    try:
        _schema(con, program, kind, alias, relations)
        return _sets(con, task, forms, nobodys)
    except (duckdb.InterruptException, duckdb.OutOfMemoryException):
        raise
    except duckdb.Error:  # two records in a row, or what only this reading stumbles over
        return LOST


Carried = dict[str, tuple["Relation", str]]
"""Relation → what it is when records are owners, and the SQL that carries them (inputs and references: none)."""


def _table_of_records(con: duckdb.DuckDBPyConnection, program: Program, kind: str) -> str | None:
    """The input in which entities of this kind have several records; of several the one with the most."""
    k, found = program.kinds.index(kind), []
    for alias, source in program.sources.items():
        if any(key.kind == kind for key in source.keys) and (not source.coded or _numbered(source, kind)):
            real = f"FROM __t.{quote(alias)} WHERE __e{k} <> {MISSING_KEY}"
            rows = fetch(con, f"SELECT count(*) {real}")
            if source.coded or rows > fetch(con, f"SELECT count(DISTINCT __e{k}) {real}"):
                found.append((rows, alias))
    return max(found)[1] if found else None


def _numbered(source: Source, kind: str) -> bool:
    return record_column(kind) in file_columns(source)


def _carried(program: Program, alias: str) -> Carried | None:
    """Every relation with the records of `alias` as owners; None where a step cannot be read so."""
    from sandbox.products.carrier import Refused, Relation, carry

    kind = next(iter(program.relations.values()))
    found: Carried = {
        name: (Relation(kind[name].columns, "one" if name == alias else "none"), "") for name in program.sources
    }
    for item in program.items:
        if isinstance(item, Reference):
            found[item.name] = Relation(tuple(item.output_columns)), ""
        elif isinstance(item, Step):
            known = {name: relation for name, (relation, _) in found.items()}
            try:
                carried = carry(str(item.sql), known, step=item.name)
            except Refused:
                return None
            if any(one.name not in program.frozen() for one in carried.frozen):
                return None
            found[item.name] = carried.relation, carried.sql
    return found


def _schema(con: duckdb.DuckDBPyConnection, program: Program, kind: str, alias: str, relations: Carried) -> None:
    """`__w`: the names of `main` with the number of a record as owner."""
    con.execute("DROP SCHEMA IF EXISTS __w CASCADE")
    con.execute("CREATE SCHEMA __w")
    for name, source in program.sources.items():
        columns = ", ".join(map(quote, mentioned(program, name))) or "1"
        rows = f"SELECT {columns} FROM __t.{quote(name)}"
        if name == alias:
            rows = _records_sql(source, kind, [*map(quote, mentioned(program, name))], alias)
        con.execute(f"CREATE VIEW __w.{quote(name)} AS {rows}")
    constants(con, program, "__w")
    with within(con, "__w"):
        for name, (_, text) in relations.items():
            if text:
                con.execute(f"CREATE VIEW __w.{quote(name)} AS {text}")


def _records_sql(source: Source, kind: str, columns: list[str], alias: str) -> str:
    """The rows of an input with their numbers: a twin has them; in a file a record is known by its place."""
    if source.coded:
        return f"SELECT {', '.join([*columns, f'{quote(record_column(kind))} AS __e'])} FROM {scan(source)}"
    owner, join = owners_of(source, kind, alias)
    where = f" WHERE {source.rows}" if source.rows else ""
    rows = f"(SELECT *, file_index AS __file, file_row_number AS __row FROM {scan(source)}{where}) s"
    record = "(CAST(s.__file AS UBIGINT) << 32) | CAST(s.__row AS UBIGINT)"
    listed = [*(f"s.{column}" for column in columns), f"{number_sql(owner, record)} AS __e"]
    return f"SELECT {', '.join(listed)} FROM {rows}{join}"


def _sets(con: duckdb.DuckDBPyConnection, task: Task, forms: Mapping[str, Any], nobodys: int) -> Records:
    cube, first = task.cube, sql.same_values(task.cube)
    with within(con, "__w"):
        con.execute(f"CREATE OR REPLACE TEMP TABLE __r AS {numbered_sql(cube, cast('sql.Owners', forms))}")
    try:
        rows, without = con.execute("SELECT count(*), count(*) FILTER (WHERE __e IS NULL) FROM __r").fetchall()[0]
        if rows * len(cube.groupings) > MOST or without != nobodys:  # a row may come from another table
            return LOST
        made: dict[str, list[tuple[int, str]]] = {}
        sets: dict[str, bytes] = {}
        cells: dict[Cell, str] = {}
        for i, partial in enumerate(sql.partials(cube)):
            if _is_added(partial):
                there = _there(con, partial, first[i])
                if there not in made:
                    made[there] = _named_sets(con, len(cube.groupings), there, sets)
                cells |= {(cell, partial.measure, partial.part): name for cell, name in made[there]}
        return Records(cells, sets)
    finally:
        con.execute("DROP TABLE __r")


def _is_added(partial: Partial) -> bool:
    return partial.op not in NOT_ADDED


def _there(con: duckdb.DuckDBPyConnection, partial: Partial, first: int) -> str:
    """The condition that a row has a value for a partial."""
    some = f"__c{first} IS NULL"
    if partial.column is None or not fetch(con, f"SELECT count(*) FROM __r WHERE {some}"):
        return "TRUE"
    return f"__c{first} IS NOT NULL"


def _named_sets(
    con: duckdb.DuckDBPyConnection, groupings: int, there: str, sets: dict[str, bytes]
) -> list[tuple[int, str]]:
    """(cell, digest) of every cell that has records; the sets are added to `sets`.

    Records are put in order once, those that are in the same cells together; what is added up from these is merged.
    """
    at = ", ".join(f"k{g}" for g in range(groupings))
    where = f"__e IS NOT NULL AND coalesce({at}) IS NOT NULL AND {there}"
    rows = f"SELECT {at}, list(__e) FROM __r WHERE {where} GROUP BY ALL"
    parts: dict[int, list[Numbers]] = {}
    for batch in con.sql(rows).to_arrow_reader(50_000):
        *cells, lists = batch.columns
        places = [*zip(*(c.to_pylist() for c in cells), strict=True)]
        for own, of in zip(places, _in_order(values_of(lists.values), values_of(lists.offsets)), strict=True):
            for cell in own:
                if cell is not None:
                    parts.setdefault(cell, []).append(of)
    order = sorted(parts, reverse=True)  # margins, which come last, are the longest
    lengths = [sum(map(len, parts[cell])) for cell in order]

    def named_of(piece: range) -> list[tuple[int, tuple[str, bytes]]]:
        return [(order[k], _merged(parts.pop(order[k]))) for k in piece]

    found = []
    for cell, (name, raw) in chain.from_iterable(beside(pieces(lengths), named_of, workers=_WORKERS)):
        sets[name] = raw
        found.append((cell, name))
    return found


def _in_order(members: npt.NDArray[Any], edges: npt.NDArray[Any]) -> Iterator[Numbers]:
    """The lists of `members` that begin and end at `edges`, each ascending."""

    def ordered(piece: range) -> list[Numbers]:
        return [ascending(members[edges[k] : edges[k + 1]].astype(np.uint64, copy=False)) for k in piece]

    return chain.from_iterable(beside(pieces(np.diff(edges)), ordered, workers=_WORKERS))


def _merged(parts: list[Numbers]) -> tuple[str, bytes]:
    """(digest, bytes) of what several ascending sets hold together."""
    return named(np.concatenate(parts)) if len(parts) > 1 else _named(parts[0])
