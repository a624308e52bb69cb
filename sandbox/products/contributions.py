"""The tables of a proof inside its connection: who owns each row of the inputs, and who gave what to which cell.

Schemas: `main` is what the merchant's own texts see; `__t` holds the inputs' visible columns with one column of codes a
kind (`__e0`, …); `__k`, `__del` and `__p` have the names of `main` with the hidden owner `__e`, without the deleted
half, and with perturbed values.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from policies.text import Text
from sandbox.catalog.keys import normal_key
from sandbox.products import compile as sql
from sandbox.products.compile import quote
from sandbox.products.entities import MISSING_KEY, EntityCodes
from sandbox.products.flow import mentioned
from sandbox.products.program import Program, Task
from sandbox.products.source import EntityKey, EvidenceError, Source, scan
from sandbox.products.spec import Reference
from sandbox.products.spec_parts import Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb


def fetch(con: duckdb.DuckDBPyConnection, text: str) -> Any:
    """The one value of a statement."""
    return con.execute(text).fetchall()[0][0]


@contextmanager
def within(con: duckdb.DuckDBPyConnection, schema: str) -> Iterator[None]:
    """Names mean those of `schema`; what is created binds to it."""
    con.execute(f"SET search_path='{schema}'")
    try:
        yield
    finally:
        con.execute("SET search_path='main'")


def twins(con: duckdb.DuckDBPyConnection, program: Program, codes: EntityCodes) -> None:
    """A twin of every input in `__t`: the columns that the job names, its rows by owner (a twin's file has them so), so
    that a part of the entities is a part of the table. Raises `EvidenceError` where too many rows have no key."""
    con.execute("CREATE SCHEMA __t")
    kinds = program.kinds
    for alias, source in program.sources.items():
        columns, joins = [f"s.{quote(c)}" for c in mentioned(program, alias)], ""
        for n, key in enumerate(source.keys):
            k = kinds.index(key.kind)
            owner, join = _coded(con, source, key, codes, f"{alias}_{n}")
            columns.append(f"CAST(coalesce({owner}, {MISSING_KEY}) AS UINTEGER) AS __e{k}")
            if key.holding:
                columns.append(f"CAST(s.{quote(key.holding)} AS VARCHAR) AS __h{k}")
            joins += join
        where = f" WHERE {source.rows}" if source.rows else ""
        form = "TABLE" if source.keys else "VIEW"
        order = f" ORDER BY {first_owner(program, alias)}" if source.keys and not source.coded else ""
        rows = f"(SELECT * FROM {scan(source)}{where}) s"
        con.execute(f"CREATE {form} __t.{quote(alias)} AS SELECT {', '.join(columns) or 1} FROM {rows}{joins}{order}")
        for key in source.keys:
            _missing(con, alias, key, kinds.index(key.kind))


def first_owner(program: Program, alias: str) -> str:
    """The column of codes that the rows of an input's twin are sorted by."""
    return f"__e{program.kinds.index(program.sources[alias].keys[0].kind)}"


def _coded(
    con: duckdb.DuckDBPyConnection, source: Source, key: EntityKey, codes: EntityCodes, name: str
) -> tuple[str, str]:
    """(code of a row's owner, the join that brings it). Keys are made equal once a distinct value, not once a row."""
    import pyarrow as pa

    column = f"s.{quote(key.column)}"
    if source.coded:
        return column, ""
    where = f" WHERE {source.rows}" if source.rows else ""
    raw = f"SELECT DISTINCT {quote(key.column)} AS raw FROM {scan(source)}{where}"
    owner = f"SELECT raw, {normal_key('raw')} AS key FROM ({raw}) WHERE raw IS NOT NULL"
    if key.through:
        look, own = normal_key(quote(key.through.key)), normal_key(quote(key.through.owner))
        con.execute(
            f"CREATE TEMP TABLE __through AS SELECT {look} AS key, min({own}) AS owner, max({own}) AS other "
            f"FROM {scan(key.through)} WHERE {look} IS NOT NULL GROUP BY 1"
        )
        if fetch(con, "SELECT count(*) FROM __through WHERE owner <> other"):
            raise EvidenceError(
                "evidence.two_owners",
                Text("对照表中同一标识对应多个主体", "A key has several owners in the table that tells them"),
                Text("请主管部门更正目录中的主体标识", "The department has to correct the entity key"),
                kind=key.kind,
            )
        owner = f"SELECT raw, t.owner AS key FROM ({owner}) o JOIN __through t USING (key)"
    con.execute(f"CREATE TEMP TABLE __raw AS {owner}")
    keys = con.sql("SELECT DISTINCT key FROM __raw WHERE key IS NOT NULL ORDER BY key").to_arrow_table().column(0)
    __given = pa.table({"key": keys, "code": pa.array(codes.assign(key.kind, keys.to_pylist()), pa.uint32())})
    con.register("__given", __given)
    con.execute(f"CREATE TEMP TABLE {quote(f'__m_{name}')} AS SELECT raw, code FROM __raw JOIN __given USING (key)")
    con.unregister("__given")
    con.execute("DROP TABLE __raw")
    con.execute("DROP TABLE IF EXISTS __through")
    return _looked_up(key, name)


def owners_of(source: Source, kind: str, alias: str) -> tuple[str, str]:
    """(code of the owner of a row `s`, the join that brings it) of an input whose twin was made: as SQL."""
    return next(_looked_up(key, f"{alias}_{n}") for n, key in enumerate(source.keys) if key.kind == kind)


def _looked_up(key: EntityKey, name: str) -> tuple[str, str]:
    m = quote(f"m_{name}")
    return f"{m}.code", f" LEFT JOIN {quote(f'__m_{name}')} {m} ON {m}.raw = s.{quote(key.column)}"


def _missing(con: duckdb.DuckDBPyConnection, alias: str, key: EntityKey, k: int) -> None:
    if key.missing_share_max >= 1:
        return
    share = fetch(con, f"SELECT avg(CAST(__e{k} = {MISSING_KEY} AS INTEGER)) FROM __t.{quote(alias)}")
    if share is not None and share > key.missing_share_max:
        raise EvidenceError(
            "evidence.missing_keys",
            Text(f"输入 {alias} 中缺少主体标识的记录超过上限", f"Too many rows of {alias} have no entity key"),
            Text("请主管部门补全标识，或先剔除这些记录", "The department completes the keys, or the rows are left out"),
            input=alias, kind=key.kind,
        )  # fmt: skip


def build_main(con: duckdb.DuckDBPyConnection, program: Program) -> None:
    """What the merchant's texts see: steps as views, references and frozen sub-queries as tables."""
    for item in program.items:
        if isinstance(item, Step):
            con.execute(f"CREATE VIEW {quote(item.name)} AS {item.sql}")
        elif isinstance(item, Reference):
            con.execute(f"CREATE TABLE {quote(item.name)} AS {sql.cube_sql(item, numbered=False)}")
        else:
            con.execute(f"CREATE TABLE {quote(item.name)} AS {item.text}")


def constants(con: duckdb.DuckDBPyConnection, program: Program, schema: str) -> None:
    """References and frozen results, seen from another schema."""
    for item in program.items:
        if not isinstance(item, Step):
            name = quote(item.name)
            con.execute(f"CREATE VIEW {schema}.{name} AS SELECT * FROM main.{name}")


def carried_schema(
    con: duckdb.DuckDBPyConnection, program: Program, kind: str, schema: str, inputs: Mapping[str, str], part: str = ""
) -> None:
    """The names of `main` with the owner of every row; `inputs`: alias → SELECT that replaces the twin's own; `part`:
    condition on the owner `__e` for the rows of entities, empty for all."""
    con.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    con.execute(f"CREATE SCHEMA {schema}")
    k = program.kinds.index(kind)
    for alias, source in program.sources.items():
        columns = [*map(quote, mentioned(program, alias))]
        rows, where = inputs.get(alias, f"SELECT * FROM __t.{quote(alias)}"), ""
        if any(key.kind == kind for key in source.keys):
            columns, where = [*columns, f"__e{k} AS __e"], f" WHERE {part}" if part else ""
        # an input of which only the number of rows counts has no column to name
        con.execute(f"CREATE VIEW {schema}.{quote(alias)} AS SELECT {', '.join(columns) or 1} FROM ({rows}){where}")
    constants(con, program, schema)
    with within(con, schema):
        for name, carried in program.carried[kind].items():
            # checks that speak at run time must have spoken once for every row, whatever later steps leave out
            whole = schema == "__k" and "error(" in carried.sql.lower()
            con.execute(f"CREATE {'TABLE' if whole else 'VIEW'} {schema}.{quote(name)} AS {carried.sql}")


def output(con: duckdb.DuckDBPyConnection, task: Task, number: int) -> None:
    """The product's own statement, frozen: `__o{number}` with the cells in order."""
    con.execute(f"CREATE TEMP TABLE __o{number} AS SELECT * FROM ({sql.cube_sql(task.cube)})")
