"""Attempts to get past a locked DuckDB, as a table. Locked in this process: the engine alone, without the jail."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from sandbox.kernel.clock import CITY, SystemClock, city_date
from sandbox.workspaces.engine import TIME_ZONE, open_locked
from sandbox.workspaces.limits import Limits

LIMITS = Limits(
    memory_mb=768, cpu_seconds=30, wall_seconds=10, processes=64, file_mb=64, result_rows=1000, result_mb=16, threads=1
)
SECRET = "秘密-of-another-workspace"


@dataclass(frozen=True)
class Place:
    con: duckdb.DuckDBPyConnection
    root: Path

    def fill(self, sql: str) -> str:
        return sql.replace("{out}", str(self.root / "other")).replace("{root}", str(self.root)).replace(
            "{ws}", str(self.root / "ws")
        )  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("locked")
    for folder in ("ws", "ws/tmp", "ws_other", "other", "granted"):
        (root / folder).mkdir()
    for target in (root / "other", root / "ws_other"):
        with duckdb.connect(str(target / "s.duckdb")) as con:
            con.execute("CREATE TABLE s AS SELECT ? AS t", [SECRET])
            con.execute(f"COPY s TO '{target}/s.parquet'")
            con.execute(f"COPY s TO '{target}/s.csv'")
            con.execute(f"COPY s TO '{target}/s.json'")
    with duckdb.connect() as con:
        con.execute(f"COPY (SELECT 1 AS n, 'x' AS t) TO '{root}/granted/data.parquet'")
    (root / "ws" / "link.csv").symlink_to(root / "other" / "s.csv")
    (root / "ws" / "linked").symlink_to(root / "other")
    con = open_locked(
        str(root / "ws" / "workspace.duckdb"), home=str(root / "ws"), temporary=str(root / "ws" / "tmp"),
        limits=LIMITS, tables={"就诊": str(root / "granted" / "data.parquet")},
    )  # fmt: skip
    yield Place(con, root)
    con.close()


def opened(file: str) -> duckdb.DuckDBPyConnection:
    home = str(Path(file).parent)
    return open_locked(file, home=home, temporary=home, limits=LIMITS, tables={})


READS = [
    "FROM read_csv('{out}/s.csv')",
    "FROM read_csv_auto('{out}/s.csv')",
    "FROM read_text('{out}/s.csv')",
    "FROM read_blob('{out}/s.csv')",
    "FROM read_json('{out}/s.json')",
    "FROM read_json_objects('{out}/s.json')",
    "FROM read_ndjson('{out}/s.json')",
    "FROM read_parquet('{out}/s.parquet')",
    "FROM parquet_scan('{out}/s.parquet')",
    "FROM read_duckdb('{out}/s.duckdb')",
    "FROM '{out}/s.parquet'",
    "FROM '{out}/s.csv'",
    "FROM glob('{out}/*')",
    "FROM sniff_csv('{out}/s.csv')",
    "FROM parquet_metadata('{out}/s.parquet')",
    "FROM parquet_schema('{out}/s.parquet')",
    "FROM parquet_kv_metadata('{out}/s.parquet')",
    "ATTACH '{out}/s.duckdb' AS o",
    "ATTACH '{out}/s.duckdb' AS o (READ_ONLY)",
    "CREATE OR REPLACE TABLE c (t VARCHAR); COPY c FROM '{out}/s.csv'",
    "FROM read_text('{ws}/../other/s.csv')",
    "FROM read_text('{root}/ws_other/s.csv')",
    "FROM read_text('{ws}/link.csv')",
    "FROM read_text('{ws}/linked/s.csv')",
    "FROM read_blob('/proc/self/environ')",
    "FROM read_text('/etc/passwd')",
    "FROM read_text('file://{out}/s.csv')",
    "FROM read_text('~/.ssh/id_rsa')",
    "FROM read_text('{ws}/tmp/../../other/s.csv')",
    "FROM glob('{root}/granted/*')",
    "IMPORT DATABASE '{out}'",
]
ROUNDABOUT = [
    "FROM query('FROM read_text(''{out}/s.csv'')')",
    "FROM query_table('{out}/s.parquet')",
    "PREPARE p AS FROM read_text($1); EXECUTE p('{out}/s.csv')",
    "SET VARIABLE f = '{out}/s.csv'; FROM read_text(getvariable('f'))",
    "CREATE OR REPLACE MACRO m(f) AS TABLE FROM read_text(f); FROM m('{out}/s.csv')",
    "CREATE OR REPLACE VIEW v AS FROM read_text('{out}/s.csv'); FROM v",
    "FROM \"read_text\"('{out}/s.csv')",
    "SELECT 1; FROM read_text('{out}/s.csv')",
    "FROM json_execute_serialized_sql(json_serialize_sql('FROM read_text(''{out}/s.csv'')'))",
    "FROM read_text(['{ws}/link.csv', '{out}/s.csv'])",
]
WRITES = [
    "COPY (SELECT 1) TO '{out}/w.csv'",
    "COPY (SELECT 1) TO '{out}/w.parquet'",
    "COPY (SELECT 1) TO '{out}/w.json'",
    "COPY (SELECT 1 a, 2 b) TO '{out}/parts' (FORMAT parquet, PARTITION_BY (a))",
    "COPY (SELECT 1 a, 2 b) TO '{ws}/tmp/parts' (FORMAT csv, PARTITION_BY (a), FILENAME_PATTERN '../../../other/w')",
    "COPY (SELECT 1) TO '{ws}/../other/w.csv'",
    "COPY (SELECT 1) TO '{ws}/linked/w.csv'",
    "COPY (SELECT 1) TO '/dev/stdout'",
    "COPY (SELECT 1) TO '{root}/granted/data.parquet'",
    "EXPORT DATABASE '{out}/w'",
    "ATTACH '{out}/new.duckdb' AS n",
    "COPY FROM DATABASE workspace TO elsewhere",
    "CALL enable_logging(storage = 'file', storage_path = '{out}')",
    "SET profiling_output = '{out}/w'",
    "PRAGMA enable_profiling = 'json'; SET profiling_output = '{out}/w'",
    "SET log_query_path = '{out}/w'",
    "CREATE PERSISTENT SECRET s (TYPE http, BEARER_TOKEN 'x')",
]
SETTINGS = [
    "SET enable_external_access = true",
    "RESET enable_external_access",
    "SET allowed_directories = ['/']",
    "RESET allowed_directories",
    "SET allowed_paths = ['/etc/passwd']",
    "SET memory_limit = '100GB'",
    "SET threads = 64",
    "SET lock_configuration = false",
    "RESET lock_configuration",
    "SET temp_directory = '{out}'",
    "SET home_directory = '{out}'",
    "SET max_execution_time = 0",
    "SET file_search_path = '{out}'",
    "SET autoinstall_known_extensions = true",
    "SET allow_unsigned_extensions = true",
    "PRAGMA memory_limit = '100GB'",
]
EXTENSIONS = [
    "INSTALL httpfs",
    "INSTALL '{out}/x.duckdb_extension'",
    "LOAD '{out}/x.duckdb_extension'",
    "LOAD httpfs",
    "ATTACH '{out}/s.sqlite' AS q (TYPE sqlite)",
    "FROM read_csv('https://example.com/x.csv')",
]


def got_through(con: duckdb.DuckDBPyConnection, sql: str) -> bool:
    """Rows of a question, or a command that nothing refused."""
    try:
        rows = con.execute(sql).fetchall()
    except (duckdb.Error, ValueError):
        return False
    return bool(rows) or sql.startswith(("ATTACH", "IMPORT"))


@pytest.mark.parametrize("sql", READS + ROUNDABOUT)
def test_nothing_outside_is_read(place: Place, sql: str) -> None:
    assert not got_through(place.con, place.fill(sql))


def test_the_same_attempts_do_get_through_an_open_engine(place: Place) -> None:
    """The control: without the lock these attempts read, so the table above tests the lock and not a slip of ours."""
    stopped = []
    for sql in READS + ROUNDABOUT:
        with duckdb.connect(config={"threads": 1}) as con:
            if not got_through(con, place.fill(sql)):
                stopped.append(sql)
    assert len(stopped) <= 4, stopped


@pytest.mark.parametrize("sql", WRITES)
def test_nothing_outside_is_written(place: Place, sql: str) -> None:
    watched = [place.root / "other", place.root / "granted"]
    before = [(p, p.stat().st_mtime_ns, p.stat().st_size) for w in watched for p in sorted(w.rglob("*"))]
    with pytest.raises((duckdb.Error, ValueError)):
        place.con.execute(place.fill(sql)).fetchall()
    assert [(p, p.stat().st_mtime_ns, p.stat().st_size) for w in watched for p in sorted(w.rglob("*"))] == before


@pytest.mark.parametrize("sql", SETTINGS + EXTENSIONS)
def test_no_setting_changes_and_nothing_is_loaded(place: Place, sql: str) -> None:
    question = "SELECT list(name || coalesce(value, '') ORDER BY name) FROM duckdb_settings()"
    before = place.con.execute(question).fetchall()
    with pytest.raises((duckdb.Error, ValueError)):
        place.con.execute(place.fill(sql)).fetchall()
    assert place.con.execute(question).fetchall() == before


def test_python_variables_are_not_tables(place: Place) -> None:
    frame = [1]
    assert frame
    with pytest.raises(duckdb.Error):
        place.con.execute("SELECT * FROM frame").fetchall()


def test_the_granted_table_and_the_own_folder_still_work(place: Place) -> None:
    assert place.con.execute("SELECT * FROM 就诊").fetchall() == [(1, "x")]
    place.con.execute(place.fill("COPY (SELECT 7 AS n) TO '{ws}/mine.parquet'"))
    assert place.con.execute(place.fill("FROM '{ws}/mine.parquet'")).fetchall() == [(7,)]


def test_a_table_name_with_quotes_is_only_a_name(tmp_path: Path, place: Place) -> None:
    name = "a\"; ATTACH 'x' AS y; --"
    con = open_locked(
        ":memory:", home=str(tmp_path), temporary=str(tmp_path), limits=LIMITS,
        tables={name: str(place.root / "granted" / "data.parquet")},
    )  # fmt: skip
    assert con.execute('SELECT count(*) FROM "' + name.replace('"', '""') + '"').fetchall() == [(1,)]
    con.close()


@pytest.mark.parametrize("written", [0, 4096, 8192])
def test_a_database_whose_making_was_cut_off_is_made_again(tmp_path: Path, written: int) -> None:
    """The worker may be killed at any byte of it; here the limit on a file's size stops it there."""
    making = (
        "import resource, sys\nfrom tests.integration.test_locked_duckdb import opened\n"
        "size = int(sys.argv[2])\nresource.setrlimit(resource.RLIMIT_FSIZE, (size, size))\nopened(sys.argv[1])"
    )
    file = str(tmp_path / "workspace.duckdb")
    cut = subprocess.run([sys.executable, "-c", making, file, str(written)], capture_output=True, check=False)
    assert cut.returncode != 0, "it was not cut off"
    assert b"IOException" in cut.stderr
    con = opened(file)
    con.execute("CREATE TABLE t AS SELECT 1 AS n")
    con.close()
    assert opened(file).execute("FROM t").fetchall() == [(1,)]
    assert [f.name for f in tmp_path.iterdir()] == ["workspace.duckdb"]


MOMENTS = [
    ("TIMESTAMPTZ '2025-12-31 20:00:00+00'::DATE::VARCHAR", "2026-01-01"),
    ("TIMESTAMPTZ '2025-12-31 20:00:00+00'::VARCHAR", "2026-01-01 04:00:00+08"),
    ("(TIMESTAMP '2026-01-01 00:00:00'::TIMESTAMPTZ = TIMESTAMPTZ '2025-12-31 16:00:00+00')::VARCHAR", "true"),
    ("date_trunc('month', TIMESTAMPTZ '2025-12-31 20:00:00+00')::VARCHAR", "2026-01-01 00:00:00+08"),
    ("strftime(TIMESTAMPTZ '2025-12-31 20:00:00+00', '%H')", "04"),
    ("(current_date = now()::DATE)::VARCHAR", "true"),
]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_days_are_the_citys_in_the_jail_and_in_the_platform_alike(place: Place, zone: str) -> None:
    """Whatever zone the process was started in; the platform recomputes what a jail has computed."""
    assert CITY.key == TIME_ZONE
    query = f"SELECT {', '.join(text for text, _ in MOMENTS)}"
    asked = (
        "import sys, duckdb\nfrom sandbox.products.source import opened as sources_opened\n"
        "from tests.integration.test_locked_duckdb import opened\n"
        "con = opened(':memory:')\nprint(con.sql(sys.argv[1]).fetchall()[0])\n"
        "with sources_opened({}) as con: print(con.sql(sys.argv[1]).fetchall()[0])"
    )
    told = subprocess.run(
        [sys.executable, "-c", asked, query], capture_output=True, check=True, text=True,
        env={**os.environ, "TZ": zone, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    wanted = str(tuple(value for _, value in MOMENTS))
    assert told.stdout.splitlines() == [wanted, wanted]


def test_the_zone_cannot_be_changed(place: Place) -> None:
    with pytest.raises(duckdb.Error, match="locked"):
        place.con.execute("SET TimeZone = 'UTC'")


def test_today_is_the_citys_day(place: Place) -> None:
    before = city_date(SystemClock().now())
    (today,) = place.con.execute("SELECT current_date").fetchall()[0]
    assert today in (before, city_date(SystemClock().now()))
