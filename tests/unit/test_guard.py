"""What the statement check lets through, and what it refuses with which reason."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from sandbox.workspaces import guard, wording

GRANTED = frozenset({"就诊", "居民"})
SIMULATED, REAL = guard.SIMULATED, guard.REAL


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as con:
        con.execute("CREATE TABLE 就诊 (i INT, s VARCHAR, d DATE); CREATE TABLE 居民 (i INT); CREATE TABLE own (i INT)")
        con.execute("CREATE MACRO mine(a) AS a + 1")
        yield con


def judge(con: duckdb.DuckDBPyConnection, sql: str, mode: str) -> guard.Checked:
    (statement,) = con.extract_statements(sql)
    return guard.check(con, statement, granted=GRANTED, mode=mode)


QUERIES = [
    "SELECT i, count(*) FROM 就诊 GROUP BY ALL HAVING count(*) > 1 ORDER BY ALL LIMIT 3",
    "SELECT sum(i) OVER (PARTITION BY s ORDER BY d) FROM 就诊 QUALIFY row_number() OVER () = 1",
    "WITH t AS (SELECT * FROM 就诊) SELECT * FROM t JOIN 居民 USING (i)",
    "WITH RECURSIVE r AS (SELECT 1 a UNION ALL SELECT a + 1 FROM r WHERE a < 3) SELECT * FROM r",
    "SELECT list_transform([1], lambda z: z + 1), s || 'a', coalesce(i, 1), CASE WHEN i = 1 THEN 2 END FROM 就诊",
    "SELECT median(i), string_agg(s, ',' ORDER BY s) FILTER (i > 1), grouping(i) FROM 就诊 GROUP BY CUBE(i)",
    "SELECT * EXCLUDE (i) REPLACE (s || 'x' AS s) FROM 就诊 WHERE EXISTS (SELECT 1 FROM 居民) AND i BETWEEN 1 AND 2",
    "SELECT DISTINCT ON (i) i, date_trunc('month', d), extract(year FROM d) FROM 就诊",
    "SELECT * FROM 就诊 PIVOT (sum(i) FOR s IN ('a'))",
    "SELECT unnest([1, 2]), * FROM range(3)",
    "FROM 就诊 SEMI JOIN 居民 USING (i)",
    "VALUES (1)",
]  # fmt: skip


@pytest.mark.parametrize("mode", [SIMULATED, REAL])
@pytest.mark.parametrize("sql", QUERIES)
def test_ordinary_queries_pass(con: duckdb.DuckDBPyConnection, sql: str, mode: str) -> None:
    assert judge(con, sql, mode).refusal is None


REFUSED_EVERYWHERE = [
    ("WITH x AS (DELETE FROM 就诊 RETURNING *) SELECT * FROM x", "node", "DELETE"),
    ("WITH x AS (INSERT INTO own VALUES (1) RETURNING *) SELECT * FROM x", "node", "INSERT"),
    ("SELECT * FROM read_csv('/etc/passwd')", "table_function", "read_csv"),
    ('SELECT * FROM "read_text"(\'x\')', "table_function", "read_text"),
    ("SELECT * FROM query('SELECT 1')", "table_function", "query"),
    ("SELECT * FROM query_table('就诊')", "table_function", "query_table"),
    ("SELECT * FROM json_execute_serialized_sql('x')", "table_function", "json_execute_serialized_sql"),
    ("SELECT * FROM duckdb_settings()", "table_function", "duckdb_settings"),
    ("SELECT * FROM duckdb_secrets()", "table_function", "duckdb_secrets"),
    ("SELECT * FROM parquet_metadata('x')", "table_function", "parquet_metadata"),
    ("SELECT * FROM 'file.parquet'", "table", "file.parquet"),
    ("SELECT * FROM '/granted/0.parquet'", "table", "/granted/0.parquet"),
    ("SELECT * FROM other.ent", "table", "other.ent"),
    ("SELECT * FROM nowhere", "table", "nowhere"),
    ("SELECT getvariable('x')", "function", "getvariable"),
    ("SELECT current_setting('threads')", "function", "current_setting"),
    ("SELECT error(s) FROM 就诊", "function", "error"),
    ("SELECT no_such_function(1)", "function", "no_such_function"),
]  # fmt: skip


@pytest.mark.parametrize("mode", [SIMULATED, REAL])
@pytest.mark.parametrize(("sql", "code", "subject"), REFUSED_EVERYWHERE)
def test_what_reaches_past_the_granted_tables_is_refused_by_name(
    con: duckdb.DuckDBPyConnection, sql: str, code: str, subject: str, mode: str
) -> None:
    refusal = judge(con, sql, mode).refusal
    assert refusal is not None
    assert (refusal.code, refusal.subject.casefold()) == (code, subject.casefold())
    assert wording.refusal(code, subject).zh


@pytest.mark.parametrize(
    "sql",
    ["CREATE TABLE z AS SELECT 1", "/* c */ CREATE OR REPLACE TEMP VIEW v AS SELECT 1", "INSERT INTO own VALUES (1)",
     "DROP TABLE own", "UPDATE own SET i = 1", "PIVOT 就诊 ON s USING sum(i)", "EXPLAIN SELECT 1", "BEGIN",
     "DESCRIBE 就诊", "SUMMARIZE 就诊", "SHOW TABLES", "SELECT * FROM own", "SELECT mine(1)", "SELECT * FROM main.own",
     "SELECT * FROM duckdb_tables()", "CREATE VIEW v AS (SELECT * FROM own)", "CREATE VIEW v AS TABLE own",
     "INSERT INTO own (i) VALUES (1)", "INSERT INTO own (i) (SELECT 1)", "CREATE MACRO m(a) AS (a + 1)",
     "CREATE MACRO m(a) AS TABLE SELECT i FROM own WHERE i > a", "CREATE MACRO m(a) AS (SELECT max(i) + a FROM own)",
     "CREATE TABLE z (i INT, j INT GENERATED ALWAYS AS (i + 1))"],
)  # fmt: skip
def test_developing_on_simulated_data_is_free_within_the_own_database(con: duckdb.DuckDBPyConnection, sql: str) -> None:
    assert judge(con, sql, SIMULATED).refusal is None
    assert judge(con, sql, REAL).refusal is not None


@pytest.mark.parametrize(
    "sql",
    ["ATTACH 'a' AS b", "COPY 就诊 TO 'f'", "SET threads = 3", "RESET threads", "CALL checkpoint()", "INSTALL httpfs",
     "LOAD 'x'", "PRAGMA version", "EXPORT DATABASE 'x'", "CREATE SECRET s (TYPE s3)", "CREATE SECRET (TYPE http)",
     "USE memory", "PREPARE p AS SELECT 1", "EXECUTE p", "CONNECT 'x'", "CHECKPOINT", "SET VARIABLE a = 1"],
)  # fmt: skip
@pytest.mark.parametrize("mode", [SIMULATED, REAL])
def test_statements_that_reach_out_or_change_the_engine_are_refused(
    con: duckdb.DuckDBPyConnection, sql: str, mode: str
) -> None:
    assert judge(con, sql, mode).refusal is not None


def test_the_same_text_is_judged_by_what_there_is_now(con: duckdb.DuckDBPyConnection) -> None:
    sql = "SELECT soon(1) FROM later"
    assert judge(con, sql, SIMULATED).refusal is not None
    con.execute("CREATE TABLE later AS SELECT 1 AS i")
    con.execute("CREATE MACRO soon(a) AS a")
    assert (judge(con, sql, SIMULATED).refusal, judge(con, sql, SIMULATED).tables) == (None, ("later",))
    assert judge(con, sql, REAL).refusal is not None
    con.execute("DROP TABLE later")
    assert judge(con, sql, SIMULATED).refusal is not None


def test_trees_are_kept_for_few_and_short_texts_only(con: duckdb.DuckDBPyConnection) -> None:
    for number in range(3 * guard._TREES):
        assert judge(con, f"SELECT {number}", REAL).refusal is None
    assert judge(con, f"SELECT '{'x' * guard._TREE_CHARS}'", REAL).refusal is None
    assert len(guard._trees) <= guard._TREES
    assert max(len(text) + len(tree) for text, tree in guard._trees.items()) <= guard._TREE_CHARS


def test_the_tables_a_statement_touches_are_recorded(con: duckdb.DuckDBPyConnection) -> None:
    assert judge(con, "WITH t AS (SELECT * FROM 就诊) SELECT * FROM t JOIN 居民 USING (i)", REAL).tables == (
        "就诊",
        "居民",
    )
    assert judge(con, 'INSERT INTO own FROM "居民"', SIMULATED).tables == ("own", "居民")
    assert judge(con, "CREATE TABLE z AS SELECT * FROM 居民", SIMULATED).tables == ("居民",)


def test_a_granted_table_hidden_behind_a_cte_of_its_name_is_still_recorded(con: duckdb.DuckDBPyConnection) -> None:
    sql = "SELECT * FROM 就诊, (WITH 就诊 AS (SELECT 1) SELECT * FROM 就诊)"
    assert judge(con, sql, REAL).tables == ("就诊",)


@pytest.mark.parametrize(
    "sql", ["SELECT 1; SELECT 2", "SELECT 1) ; DROP TABLE own; CREATE TABLE y AS (SELECT 1", "SELEC 1", ""]
)
def test_a_step_of_a_run_is_exactly_one_readable_select(con: duckdb.DuckDBPyConnection, sql: str) -> None:
    assert guard.check_select(con, sql, granted=GRANTED).refusal is not None


def test_every_refusal_code_has_words() -> None:
    codes = {"statement", "only_select", "one_statement", "node", "table", "function", "table_function", "unreadable"}
    assert codes == set(wording.REFUSALS)


def test_a_subject_with_braces_does_not_break_the_wording() -> None:
    assert "(x)" in wording.refusal("table", "{x}").en


def test_depth_of_nesting_is_no_way_out(con: duckdb.DuckDBPyConnection) -> None:
    deep = "SELECT " + "(" * 150 + "SELECT error('x')" + ")" * 150
    (statement,) = con.extract_statements(deep)
    assert guard.check(con, statement, granted=GRANTED, mode=REAL).refusal is not None


# -- statements without a tree: what they hide is judged too

DEVELOPED = [
    ("CREATE TABLE z AS FROM 就诊", ("就诊",)), ("CREATE TABLE z (a INT, b DECIMAL(10, 2) DEFAULT (1 + 1))", ()),
    ("CREATE OR REPLACE VIEW v AS WITH t AS (SELECT * FROM 就诊) SELECT * FROM t", ("就诊",)),
    ("CREATE MACRO f(a, b) AS coalesce(a, b)", ()),
    ("CREATE MACRO g(n) AS TABLE SELECT * FROM 居民 LIMIT n", ("居民",)),
    ("CREATE TYPE farbe AS ENUM ('a', 'b')", ()), ("CREATE INDEX ix ON own (i)", ("own",)),
    ("INSERT INTO own (i) SELECT count(*) FROM 就诊", ("own", "就诊")),
    ("INSERT INTO own VALUES ($1), ($2)", ("own",)),
    ("INSERT INTO own BY NAME SELECT 1 AS i RETURNING i", ("own",)),
    ("UPDATE own SET i = (SELECT max(i) FROM 居民)", ("own", "居民")),
    ("DELETE FROM own USING 居民 WHERE own.i = 居民.i", ("own", "居民")), ("TRUNCATE own", ("own",)),
    ("MERGE INTO own USING 居民 ON own.i = 居民.i WHEN MATCHED THEN DELETE", ("own", "居民")),
    ("ALTER TABLE own ADD COLUMN k INT", ("own",)), ("COMMENT ON TABLE own IS '说明'", ("own",)),
    ("DROP TABLE own", ("own",)), ("PIVOT 就诊 ON s USING sum(i)", ("就诊",)), ("UNPIVOT own ON i", ("own",)),
    ("EXPLAIN SELECT * FROM 就诊", ("就诊",)), ("EXPLAIN (ANALYZE, FORMAT json) SELECT * FROM 居民", ("居民",)),
    ("DESCRIBE 就诊", ("就诊",)), ("SUMMARIZE 就诊", ("就诊",)), ("SHOW TABLES", ()), ("BEGIN", ()), ("ROLLBACK", ()),
    ("ANALYZE", ()), ("VACUUM", ()), ("SELECT * FROM 就诊 WHERE i = $从", ("就诊",)),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "tables"), DEVELOPED)
def test_what_a_merchant_develops_with_passes_and_is_recorded(
    con: duckdb.DuckDBPyConnection, sql: str, tables: tuple[str, ...]
) -> None:
    checked = judge(con, sql, SIMULATED)
    assert (checked.refusal, checked.tables) == (None, tables)


HIDDEN = [
    ("CREATE TABLE z AS SELECT * FROM read_csv('/etc/passwd')", "table_function"),
    ("CREATE TABLE z AS FROM '/granted/0.parquet'", "table"),
    ("CREATE VIEW v AS SELECT * FROM glob('*')", "table_function"),
    ("CREATE VIEW v AS FROM read_text('outside')", "table_function"),
    ("CREATE VIEW v AS (FROM nowhere)", "table"),
    ("CREATE OR REPLACE TEMP VIEW v(a) AS ((SELECT * FROM nowhere))", "table"),
    ("CREATE VIEW v AS (SELECT 1) UNION (SELECT * FROM nowhere)", "table"),
    ("CREATE VIEW v AS TABLE nowhere", "table"),
    ("CREATE TABLE t AS (SELECT * FROM nowhere)", "table"),
    ("CREATE MACRO m() AS TABLE FROM nowhere", "table"),
    ("CREATE MACRO m(a) AS (SELECT max(n) + a FROM nowhere)", "table"),
    ("INSERT INTO own (SELECT * FROM nowhere)", "table"),
    ("INSERT INTO own (n) ((SELECT * FROM nowhere))", "table"),
    ("CREATE VIEW v AS SELECT getvariable('x')", "function"),
    ("CREATE VIEW v AS SELECT * FROM duckdb_settings()", "table_function"),
    ("CREATE MACRO f() AS (SELECT current_setting('threads'))", "function"),
    ("CREATE MACRO f() AS TABLE SELECT * FROM read_text('x')", "table_function"),
    ("CREATE TABLE z AS WITH d AS (DELETE FROM own RETURNING *) SELECT * FROM d", "node"),
    ("INSERT INTO own SELECT * FROM read_parquet('x')", "table_function"),
    ("INSERT INTO own SELECT i FROM elsewhere.secret", "table"),
    ("UPDATE own SET i = (SELECT count(*) FROM glob('/*'))", "table_function"),
    ("DELETE FROM own WHERE i IN (SELECT 1 FROM read_blob('x'))", "table_function"),
    ("MERGE INTO own USING read_csv('x') x ON true WHEN MATCHED THEN DELETE", "table_function"),
    ("PIVOT read_csv('x') ON a USING sum(b)", "table_function"),
    ("PIVOT 'x.parquet' ON a USING sum(b)", "table"),
    ("EXPLAIN SELECT * FROM read_csv('x')", "table_function"),
    ("EXPLAIN ANALYZE COPY 就诊 TO 'x'", "statement"),
    ("EXPLAIN ANALYZE SET threads = 3", "statement"),
    ('CREATE TABLE z AS SELECT * FROM "read_csv"(\'x\')', "table_function"),
    ("CREATE TABLE z AS SELECT * FROM /* c */ read_csv /* d */ ('x')", "table_function"),
    ("CREATE PERSISTENT SECRET s (TYPE s3)", "statement"), ("DROP SECRET s", "statement"),
    ("CALL pragma_version()", "statement"), ("IMPORT DATABASE 'x'", "statement"), ("DETACH memory", "statement"),
    ("COPY (SELECT 1) TO '/dev/stdout'", "statement"), ("SET VARIABLE a = 1", "statement"),
    ("RESET threads", "statement"), ("FORCE INSTALL x", "statement"), ("DEALLOCATE p", "statement"),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "code"), HIDDEN)
def test_what_hides_inside_another_statement_is_refused(con: duckdb.DuckDBPyConnection, sql: str, code: str) -> None:
    refusal = judge(con, sql, SIMULATED).refusal
    assert refusal is not None
    assert refusal.code == code


@pytest.mark.parametrize(("sql", "_tables"), [case for case in DEVELOPED if not case[0].startswith("SELECT")])
def test_nothing_but_a_select_passes_on_real_data(
    con: duckdb.DuckDBPyConnection, sql: str, _tables: tuple[str, ...]
) -> None:
    assert judge(con, sql, REAL).refusal is not None


def test_a_text_that_only_looks_like_a_function_is_no_reason_to_refuse(con: duckdb.DuckDBPyConnection) -> None:
    for sql in ("INSERT INTO own SELECT 1 WHERE 's' = 'read_csv(1)'", "CREATE TABLE \"glob\" (i INT)",
                "CREATE VIEW v AS SELECT 1 AS \"read_csv (\" -- read_csv(1)"):  # fmt: skip
        assert judge(con, sql, SIMULATED).refusal is None
