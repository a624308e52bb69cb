"""Hostile SQL through the broker into the jailed worker, on simulated and on real data.

The tables of attempts against the engine alone are those of `test_locked_duckdb.py`: here the same texts go the
merchant's way, past guard, lock and mounts, and once more to an engine in the jail whose lock is left out, because
what is not mounted cannot be read by any engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import pytest

from sandbox.workspaces import jail, selftest
from sandbox.workspaces.broker import Broker, Mode, QueryFailed, QueryResult, WorkspaceMount
from sandbox.workspaces.limits import Limits
from sandbox.workspaces.protocol import ChannelClosed
from tests.integration.test_locked_duckdb import EXTENSIONS, READS, ROUNDABOUT, SECRET, SETTINGS, WRITES

LIMITS = Limits(
    memory_mb=768, cpu_seconds=30, wall_seconds=4, processes=64, file_mb=64, result_rows=1000, result_mb=16, threads=1
)
VALUE = "张三丰"  # what a hidden cell holds: it must not be in anything said on real data
pytestmark = pytest.mark.jail


@dataclass(frozen=True)
class Two:
    """Two workspaces of two merchants on one broker; the second holds what the first must not get."""

    broker: Broker
    mine: WorkspaceMount
    theirs: WorkspaceMount
    root: Path

    def fill(self, sql: str) -> str:
        places = {"{out}": self.root / "other", "{root}": self.root, "{ws}": "/workspace", "{theirs}": self.theirs.own}
        for name, place in places.items():
            sql = sql.replace(name, str(place))
        return sql

    def ask(self, sql: str, mode: Mode = Mode.SIMULATED) -> QueryResult | QueryFailed:
        return self.broker.query(replace(self.mine, mode=mode), self.fill(sql))


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    root = tmp_path_factory.mktemp("two")
    (root / "other").mkdir()
    (root / "ws_other").mkdir()
    for target in (root / "other", root / "ws_other"):
        with duckdb.connect(str(target / "s.duckdb")) as con:
            con.execute("CREATE TABLE s AS SELECT ? AS t", [SECRET])
            for kind in ("parquet", "csv", "json"):
                con.execute(f"COPY s TO '{target}/s.{kind}'")
    for path in root.rglob("*"):
        path.chmod(0o777 if path.is_dir() else 0o666)  # only the walls protect it
    table, second = root / "visits.parquet", root / "second.parquet"
    with duckdb.connect() as con:
        con.execute(f"COPY (SELECT range AS id, '{VALUE}' || range AS 姓名 FROM range(200)) TO '{table}'")
        con.execute(f"COPY (SELECT '{SECRET}' AS t) TO '{second}'")
    broker = Broker(selftest.selftest(), LIMITS, capacity_mb=4 * LIMITS.memory_mb, running=4)
    mine = WorkspaceMount("mine", Mode.SIMULATED, root / "mine", {"就诊": table}, quota_mb=512)
    theirs = WorkspaceMount("theirs", Mode.SIMULATED, root / "theirs", {"别家": second}, quota_mb=512)
    assert isinstance(broker.query(theirs, "CREATE TABLE s AS FROM 别家"), QueryResult)
    yield Two(broker, mine, theirs, root)
    broker.close()


def said(outcome: QueryResult | QueryFailed) -> str:
    """Everything a merchant could see of an answer."""
    if isinstance(outcome, QueryResult):
        return f"{outcome.columns} {outcome.rows.to_pylist()} {outcome.tables}"
    return f"{outcome.kind} {outcome.text} {outcome.engine_text} {outcome.line} {outcome.column} {outcome.tables}"


NEIGHBOURS = [
    "ATTACH '{theirs}/workspace.duckdb' AS o",
    "ATTACH '{theirs}/workspace.duckdb' AS o (READ_ONLY); FROM o.s",
    "FROM read_duckdb('{theirs}/workspace.duckdb', table_name = 's')",
    "FROM read_blob('{theirs}/workspace.duckdb')",
    "FROM read_text('/workspace/../../theirs/simulated/workspace.duckdb')",
    "FROM read_parquet('/granted/1.parquet')",
    "FROM read_parquet('/granted/../granted/1.parquet')",
    "FROM glob('/granted/../../*/*')",
    "FROM 别家",
    "FROM theirs.s",
    "COPY 就诊 TO '{theirs}/mine.csv'",
    "USE o; FROM s",
]
SERVER = [
    "FROM read_text('/proc/1/environ')",
    "FROM read_text('/proc/self/mountinfo')",
    "FROM read_blob('/proc/self/mem')",
    "FROM read_csv('/dev/random')",
    "FROM glob('/proc/1/root/*')",
    "FROM read_text('/workspace/workspace.duckdb.wal/../../platform/sandbox/workspaces/guard.py')",
    "SELECT getenv('HOME')",
    "FROM sqlite_scan('{out}/s.sqlite', 't')",
    "FROM postgres_scan('host=127.0.0.1', 'public', 't')",
    "CONNECT 'http://127.0.0.1:1'",
    "CREATE SECRET s (TYPE s3, KEY_ID 'x', SECRET 'y')",
    "CALL start_ui()",
    "CALL pragma_user_agent()",
    "CHECKPOINT elsewhere",
    "FROM pandas_scan(0::POINTER)",
    "FROM arrow_scan(0::POINTER, 0::POINTER, 0::POINTER)",
    "CREATE FUNCTION f(x) AS (SELECT * FROM read_text(x)); SELECT f('/etc/passwd')",
]


@pytest.mark.parametrize("sql", READS + ROUNDABOUT + WRITES + SETTINGS + EXTENSIONS + NEIGHBOURS + SERVER)
def test_hostile_sql_on_simulated_data_gets_nothing_from_outside(two: Two, sql: str) -> None:
    """A harmless answer is allowed where nothing outside is touched; the secret is in nothing that is said."""
    before = [(p, p.stat().st_mtime_ns) for p in sorted((two.root / "other").rglob("*"))]
    outcome = two.ask(sql)
    # a view of a file is made, and then it is empty: what the lock hides does not exist
    assert isinstance(outcome, QueryFailed) or outcome.row_count == 0, said(outcome)
    assert not isinstance(outcome, QueryFailed) or outcome.kind not in ("worker_died", "protocol"), said(outcome)
    assert SECRET not in said(outcome)
    assert [(p, p.stat().st_mtime_ns) for p in sorted((two.root / "other").rglob("*"))] == before


def test_an_engine_without_its_lock_reads_nothing_from_outside_the_jail(two: Two) -> None:
    """The mounts alone: all texts at once, in a script with a default DuckDB."""
    texts = [two.fill(sql) for sql in READS + ROUNDABOUT + NEIGHBOURS]
    source = f"""
import duckdb, json
con = duckdb.connect(config={{"threads": 1}})
for sql in {texts!r}:
    try:
        rows = str(con.execute(sql).fetchall())
    except Exception as error:
        rows = type(error).__name__
    print(json.dumps({SECRET!r} in rows))
"""
    order = jail.Order("script", two.mine.own, LIMITS, "simulated", dict(two.mine.tables),
                       extra={"source": source, "output_bytes": 1 << 20})  # fmt: skip
    jailed, printed = jail.start(order, selftest.selftest().form), b""
    try:
        while (frame := jailed.data.receive(timeout=30)) is not None and frame[0].get("is") != "end":
            printed += frame[1]
    except ChannelClosed:
        pass
    finally:
        jailed.kill()
    answers = [line for line in printed.decode().splitlines() if line in ("true", "false")]  # between progress bars
    assert answers == ["false"] * len(texts), printed[-500:]


CHANNELS = [
    "SELECT CAST(姓名 AS INT) FROM 就诊",
    "SELECT 姓名::DATE FROM 就诊",
    "SELECT strptime(姓名, '%Y') FROM 就诊",
    "SELECT date_trunc(姓名, now()) FROM 就诊",
    "SELECT error(姓名) FROM 就诊",
    "SELECT regexp_matches('x', '(' || 姓名) FROM 就诊",
    "SELECT json_extract('[1]', '$[' || 姓名) FROM 就诊",
    "SELECT chr(ascii(姓名) * 1000000) FROM 就诊",
    "SELECT 姓名::ENUM('x') FROM 就诊",
    "SELECT 9223372036854775807 + ascii(姓名) FROM 就诊",
    "SELECT decode(encode(姓名)[1:1]) FROM 就诊",
    "CREATE TYPE e AS ENUM (SELECT 姓名 FROM 就诊)",
    "CREATE TABLE t AS FROM 就诊",
    "CREATE TABLE t (n VARCHAR PRIMARY KEY); INSERT INTO t SELECT 姓名 FROM 就诊 UNION ALL SELECT 姓名 FROM 就诊",
    "SET VARIABLE x = (SELECT max(姓名) FROM 就诊)",
    "DESCRIBE 就诊",
    "DESCRIBE SELECT 姓名 FROM 就诊",
    "SUMMARIZE 就诊",
    "EXPLAIN SELECT * FROM 就诊 WHERE 姓名 > 'x'",
    "EXPLAIN ANALYZE SELECT * FROM 就诊",
    "SHOW TABLES",
    "SELECT stats(姓名) FROM 就诊",
    "PRAGMA storage_info('就诊')",
    "PRAGMA table_info('就诊')",
    "CALL duckdb_tables()",
    "FROM duckdb_settings()",
    "FROM duckdb_secrets()",
    "FROM duckdb_views()",
    "FROM duckdb_logs()",
    "FROM duckdb_temporary_files()",
    "FROM duckdb_databases()",
    "FROM information_schema.tables",
    "FROM parquet_metadata('/granted/0.parquet')",
    "FROM parquet_kv_metadata('/granted/0.parquet')",
    "FROM read_parquet('/granted/0.parquet')",
    "FROM '/granted/0.parquet'",
    "COPY 就诊 TO '/workspace/x.csv'",
    "PREPARE p AS SELECT * FROM 就诊; EXECUTE p",
    "WITH x AS (DELETE FROM 就诊 RETURNING *) SELECT * FROM x",
    "WITH x AS (INSERT INTO 就诊 SELECT * FROM 就诊 RETURNING *) SELECT * FROM x",
    "WITH x AS (UPDATE 就诊 SET 姓名 = 'y' RETURNING *) SELECT * FROM x",
    "PIVOT 就诊 ON 姓名 USING count(*)",
    "FROM json_execute_serialized_sql(json_serialize_sql('SELECT 姓名 FROM 就诊'))",
    "FROM query('SELECT 姓名 FROM 就诊')",
    "FROM query_table('就诊')",
]


@pytest.mark.parametrize("sql", CHANNELS)
def test_no_value_of_real_data_leaves_by_an_error_a_type_a_plan_or_a_catalogue(two: Two, sql: str) -> None:
    """Rows of a plain SELECT may be read where the grant says so; every other way tells a class at most."""
    outcome = two.ask(sql, Mode.REAL)
    assert isinstance(outcome, QueryFailed), said(outcome)
    assert VALUE not in said(outcome)
    assert (outcome.engine_text, outcome.line, outcome.column) == (None, None, None)


ENDLESS = [
    "SELECT len(range(1000000000))",
    "SELECT len(repeat('x', 4000000000))",
    "SELECT len(list_transform(range(200000000), lambda x: x + 1))",
    "SELECT count(*) FROM range(100000000) a, range(100000000) b WHERE (a.range * b.range) % 7 = 3",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r",
    "SELECT sum(regexp_matches(repeat('a', 50000) || range, '(a*)*(a*)*(a*)*b')::INT) FROM range(1000000)",
    "SELECT list_sort(list_transform(range(90000000), lambda x: hash(x)))[1]",
    "SELECT string_agg(md5(range::VARCHAR), '') FROM range(60000000)",
]


@pytest.mark.parametrize("sql", ENDLESS)
def test_what_never_ends_is_ended_and_the_neighbour_answers(two: Two, sql: str) -> None:
    outcome = two.ask(sql)
    assert isinstance(outcome, QueryFailed), said(outcome)
    assert outcome.kind in ("memory_limit", "time_limit")
    theirs = two.broker.query(two.theirs, "SELECT count(*) AS n FROM s")
    assert isinstance(theirs, QueryResult) and theirs.rows.to_pydict() == {"n": [1]}
    mine = two.ask("SELECT 1 AS n")
    assert isinstance(mine, QueryResult) and mine.rows.to_pydict() == {"n": [1]}


NAMES = {
    "quotes": 'a"b""c\'d',
    "slashes": "../../etc/passwd",
    "a line break": "a\nb",
    "a comment": "a -- b /* c */ ;",
    "nul": "a\0b",
    "right to left": "\u202eabc",
    "ten thousand characters": "名" * 10_000,
    "a statement": '"; ATTACH \'x\' AS y; --',
    "a file": "/granted/0.parquet",
    "markup": "<script>alert(1)</script>",
    "braces": "{0}{subject}%s%n",
    "nothing but blanks": "   ",
    "lone surrogate": "\ud800",
}


@pytest.mark.parametrize("name", NAMES)
def test_names_are_only_names(two: Two, name: str) -> None:
    """As a table, a column and a value: the answer is the name itself or a named failure, and the worker lives on."""
    quoted = '"' + NAMES[name].replace('"', '""') + '"'
    two.ask(f"DROP TABLE IF EXISTS {quoted}")
    outcome = two.ask(f"CREATE TABLE {quoted} ({quoted} INTEGER); INSERT INTO {quoted} VALUES (7); FROM {quoted}")
    if isinstance(outcome, QueryResult):
        assert outcome.rows.column(0).to_pylist() == [7]
        # Arrow's C interface ends a name at NUL
        assert outcome.columns[0][0] == NAMES[name].encode("utf-8", "replace").decode().partition("\0")[0]
    else:
        assert outcome.kind in ("syntax", "binding", "refused", "failed"), said(outcome)
    after = two.ask("SELECT 1 AS n")
    assert isinstance(after, QueryResult) and after.rows.to_pydict() == {"n": [1]}


POISON = {
    "cut": lambda good: good[: len(good) // 2],
    "no footer": lambda good: good[:-8],
    "footer length": lambda good: good[:-8] + b"\xff\xff\xff\x7f" + good[-4:],
    "wrong magic": lambda good: good[:-4] + b"PAR0",
    "zeros": lambda good: b"PAR1" + bytes(5000) + b"PAR1",
    "noise in the pages": lambda good: good[:20] + bytes((b ^ 0x5A) for b in good[20:400]) + good[400:],
    "noise in the footer": lambda good: good[:-300] + bytes((b ^ 0xA5) for b in good[-300:-8]) + good[-8:],
    "empty": lambda good: b"",
    "a text": lambda good: b"not a parquet file",
}


@pytest.mark.parametrize("how", POISON)
def test_a_poisoned_parquet_file_is_an_error_and_nothing_more(two: Two, how: str) -> None:
    two.ask("SELECT 1")
    good = two.mine.tables["就诊"].read_bytes()
    file = two.mine.own / "poisoned.parquet"
    file.write_bytes(POISON[how](good))
    file.chmod(0o644)
    outcome = two.ask("SELECT * FROM read_parquet('/workspace/poisoned.parquet')")
    assert isinstance(outcome, QueryFailed | QueryResult)
    theirs = two.broker.query(two.theirs, "SELECT count(*) AS n FROM s")
    assert isinstance(theirs, QueryResult) and theirs.rows.to_pydict() == {"n": [1]}
    file.unlink()
