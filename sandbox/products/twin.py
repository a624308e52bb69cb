"""The evidence twin of an input: the granted columns and, beside them, who owns each row, as numbers.

It is written by the platform with its own fixed SQL, before anything of a merchant runs: keys are looked up in the
register outside the jail (its secret never enters one), keys of other tables are followed, the row rule is applied. A
job's proof then reads numbers only; the columns that were not granted are not in its jail. The twin is for the gate:
nothing mounts it into a workspace.

A twin depends on the bytes of the source and on what the catalogue says about it, and is kept under a name made of
both, in a folder that goes with the snapshot it belongs to.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from policies.text import Text
from sandbox.catalog.keys import normal_key
from sandbox.products.entities import EntityCodes
from sandbox.products.records import number_sql, record_column
from sandbox.products.source import EntityKey, EvidenceError, Source, Through, column_names, file_columns
from sandbox.workspaces import snapshot
from sandbox.workspaces.engine import identifier as quote
from sandbox.workspaces.engine import in_city_time, literal

if TYPE_CHECKING:
    import duckdb

_FORMAT = "FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd"


@dataclass(frozen=True, slots=True)
class Room:
    """What making a twin may use; beyond `memory_mb` it spills into the twins' own folder."""

    memory_mb: int
    threads: int


def made(source: Source, codes: EntityCodes, folder: Path, room: Room) -> Source:
    """`source` with its rows in one file in `folder` that holds the granted columns and `__e_…` codes for its keys, and
    where an entity has several records, `__u_…` with their numbers: equal rows have one, in whatever version they are.

    An equal twin that is there already is used: whoever calls makes sure that `source.digest` names the bytes of the
    files. Raises `EvidenceError` where a key has two owners in the table it leads through.
    """
    place = folder / f"{_name(source)}.parquet"
    if not place.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(prefix=snapshot.BUILDING, dir=folder.parent) as building:  # swept
            part = Path(building, "twin")
            _write(source, codes, part, room)
            part.chmod(0o444)
            part.replace(place)
    return replace(
        source, files=(str(place),), columns=tuple(column_names(source)), rows="", coded=True,
        keys=tuple(_coded(key, source) for key in source.keys),
    )  # fmt: skip


def code_column(kind: str) -> str:
    """The hidden column of a twin that holds the codes of one kind; no specification can name it."""
    return f"__e_{kind}"


def _coded(key: EntityKey, source: Source) -> EntityKey:
    """The key as a twin has it; the columns that determine an entity still do, as far as the job can see them."""
    seen = set(column_names(source))
    domains = {column: domain for column, domain in key.domains.items() if column in seen}
    holding = f"__h_{key.kind}" if key.holding else None
    return replace(key, column=code_column(key.kind), determined_by=domains, through=None, holding=holding)


def _name(source: Source) -> str:
    facts = {
        "digest": source.digest, "columns": column_names(source), "rows": source.rows, "order": "owner", "records": 1,
        "keys": [{**asdict(key), "missing_share_max": None} for key in source.keys],
    }  # fmt: skip
    text = json.dumps(facts, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _write(source: Source, codes: EntityCodes, out: Path, room: Room) -> None:
    import duckdb

    config: dict[str, Any] = {
        "memory_limit": f"{room.memory_mb}MB", "threads": room.threads, "async_threads": 1,
        "temp_directory": str(out.with_name("spill")),
    }  # fmt: skip
    with duckdb.connect(config=config) as con:
        in_city_time(con)
        try:
            paths = ", ".join(map(literal, source.files))
            where = f" WHERE {source.rows}" if source.rows else ""
            con.execute(f"CREATE VIEW source AS SELECT * FROM read_parquet([{paths}]){where}")
            columns, joins = [f"source.{quote(c)}" for c in column_names(source)], ""
            for letter, value, kind, through in _values(source):
                table = quote(f"__{letter}_{kind}")
                register = kind if letter == "e" else f"{kind}#holding"
                rows = f"read_parquet([{paths}]){where}"
                _number(con, table, f"SELECT file_index AS f, file_row_number AS r, {value} AS k FROM {rows}", register,
                        codes, through)  # fmt: skip
                columns, joins = [*columns, f"{table}.code AS {table}"], f"{joins} POSITIONAL JOIN {table}"
                if letter == "e" and _has_several(con, table):
                    record = number_sql(f"{table}.code", _record_sql(source, codes.salt))
                    columns.append(f"{record} AS {quote(record_column(kind))}")
            order = f" ORDER BY {quote(code_column(source.keys[0].kind))}" if source.keys else ""
            rows = f"SELECT {', '.join(columns)} FROM source{joins}{order}"
            con.execute(f"COPY ({rows}) TO {literal(str(out))} ({_FORMAT})")
        except duckdb.Error as error:
            raise _unusable(type(error).__name__) from None


def _record_sql(source: Source, salt: str) -> str:
    """A number of a whole record, granted or not: nothing else tells records of one owner apart in any version."""
    cells = (f"coalesce(CAST(source.{quote(c)} AS VARCHAR), chr(30))" for c in file_columns(source))
    return f"md5_number_lower(concat_ws(chr(31), {literal(salt)}, {', '.join(cells)}))"


def _has_several(con: duckdb.DuckDBPyConnection, table: str) -> bool:
    """Whether an entity has several records."""
    counted = f"SELECT count(code) > count(DISTINCT code) FROM {table}"
    return bool(con.execute(counted).fetchall()[0][0])


def _values(source: Source) -> Iterator[tuple[str, str, str, Through | None]]:
    """What is numbered: (e for the entity or h for its holding, the key as SQL, kind, the table that leads on)."""
    for key in source.keys:
        yield "e", normal_key(quote(key.column)), key.kind, key.through
        if key.holding:
            yield "h", normal_key(quote(key.holding)), key.kind, None


def _number(
    con: duckdb.DuckDBPyConnection, table: str, keyed: str, register: str, codes: EntityCodes, through: Through | None
) -> None:
    """A table of one code a row, in the order of the source: a join may mix rows, so they are sorted by their place."""
    import pyarrow as pa

    con.execute(f"CREATE OR REPLACE TEMP TABLE keyed AS {keyed}")
    con.execute("CREATE OR REPLACE TEMP TABLE owners AS SELECT k, k AS o FROM keyed WHERE k IS NOT NULL GROUP BY k")
    if through is not None:
        _follow(con, through, register)
    owners = con.sql("SELECT DISTINCT o FROM owners WHERE o IS NOT NULL ORDER BY o").to_arrow_table().column(0)
    given = pa.table({"o": owners, "code": pa.array(codes.assign(register, owners.to_pylist()), pa.uint32())})
    con.register("given", given)
    con.execute(
        f"CREATE TEMP TABLE {table} AS SELECT given.code FROM keyed "
        "LEFT JOIN owners USING (k) LEFT JOIN given USING (o) ORDER BY f, r"
    )
    con.unregister("given")


def _follow(con: duckdb.DuckDBPyConnection, through: Through, kind: str) -> None:
    """Replace each key by the owner that the other table tells; one that it does not know has none."""
    paths = ", ".join(map(literal, through.files))
    look, owner = normal_key(quote(through.key)), normal_key(quote(through.owner))
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE leads AS SELECT {look} AS k, min({owner}) AS o, max({owner}) AS other "
        f"FROM read_parquet([{paths}]) WHERE {look} IS NOT NULL GROUP BY 1"
    )
    if con.execute("SELECT count(*) FROM leads WHERE o <> other").fetchall()[0][0]:
        raise EvidenceError(
            "evidence.two_owners",
            Text("对照表中同一标识对应多个主体", "A key has several owners in the table that tells them"),
            Text("请主管部门更正目录中的主体标识", "The department has to correct the entity key in the catalogue"),
            kind=kind,
        )
    con.execute("CREATE OR REPLACE TEMP TABLE owners AS SELECT k, leads.o FROM owners LEFT JOIN leads USING (k)")


def _unusable(name: str) -> EvidenceError:
    return EvidenceError(
        "evidence.no_twin",
        Text("平台未能在源数据上确定记录的归属", "The platform could not tell whose records the source holds"),
        Text("请主管部门核对目录中的主体标识", "The department should look at the entity keys in the catalogue"),
        error_class=name,
    )
