"""A locked DuckDB: the order of the steps is the protection. Runs inside the jail."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from sandbox.workspaces.limits import Limits

TIME_ZONE = "Asia/Shanghai"  # kernel.clock.CITY, which does not exist inside the jail
_Config = dict[str, str | bool | int | float | list[str]]


def open_locked(
    database: str, *, home: str, temporary: str, limits: Limits, tables: Mapping[str, str], writable: Sequence[str] = ()
) -> duckdb.DuckDBPyConnection:
    """Open `database` with `tables` (name → Parquet file) as views, then lock it for good.

    After this no file outside `home`, `writable` and the tables' own files can be reached, nothing can be installed
    or loaded, and no setting can be changed: not even by the caller, so limits are fixed here. Lock last:
    `lock_configuration` is the only switch that could be turned back before.
    """
    config = _config(home, temporary, limits)
    if database != ":memory:" and not Path(database).exists():
        _make(Path(database), config)
    con = duckdb.connect(database, config=config)
    in_city_time(con)
    for name, path in tables.items():
        con.execute(f"CREATE OR REPLACE TEMP VIEW {identifier(name)} AS SELECT * FROM read_parquet({literal(path)})")
    con.execute("SET enable_progress_bar = true")
    con.execute("SET enable_progress_bar_print = false")
    folders = ", ".join(literal(folder.rstrip("/") + "/") for folder in (home, temporary, *writable))
    con.execute(f"SET allowed_directories = [{folders}]")
    con.execute(f"SET allowed_paths = [{', '.join(literal(path) for path in tables.values())}]")
    con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")
    return con


def _make(database: Path, config: _Config) -> None:
    """Make an empty database beside its place and move it there whole: one that was half made when its process was
    killed could not be opened by any later one."""
    new = database.with_name(f".{database.name}.new")
    new.unlink(missing_ok=True)
    duckdb.connect(str(new), config=config).close()
    new.replace(database)


def _config(home: str, temporary: str, limits: Limits) -> _Config:
    return {
        "memory_limit": f"{limits.duckdb_mb}MB",
        "threads": limits.threads,
        "async_threads": 1,  # the default starts eight more threads whatever `threads` says
        "max_execution_time": limits.wall_seconds * 1000,
        "temp_directory": temporary,
        "max_temp_directory_size": f"{limits.file_mb}MB",
        "home_directory": home,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "allow_unsigned_extensions": False,
        "allow_persistent_secrets": False,
        "python_enable_replacements": False,
        "errors_as_json": True,  # the only form that gives the place of an error as an offset into the whole text
    }


def in_city_time(con: duckdb.DuckDBPyConnection) -> None:
    """Days, and the text of moments, are the city's, on every connection alike: with the process's own zone the same
    statement would give other values inside a jail than outside."""
    con.execute(f"SET TimeZone = {literal(TIME_ZONE)}")


def batches(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """The batches of a running query. Raises DuckDB's own errors: Arrow's reader makes all of them OSError."""
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        except (OSError, pa.ArrowException) as error:
            named = re.search(r'"exception_type":"([^"]+)"', str(error))
            words = named.group(1).split() if named else []
            kind = getattr(duckdb, "".join(word.capitalize() for word in words) + "Exception", duckdb.Error)
            raise kind(str(error)) from error
        yield batch


def identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
