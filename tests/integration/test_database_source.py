"""A table of a real database, copied by a read-only account: types, order, one snapshot, and a connection that dies."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pyarrow.parquet as pq
import pytest
from psycopg import sql

from pipelines.reading import read, typed
from pipelines.reading.database import Extract, extract
from policies.text import UserError
from tests.postgres import PostgresServer

pytestmark = pytest.mark.postgres
SECRET = "hunter2-密码"


@pytest.fixture
def source(postgres: PostgresServer) -> Iterator[tuple[str, psycopg.Connection[Any]]]:
    """The URL of a read-only account (with a password in it) and the owner's connection."""
    owner = postgres.fresh_database()
    name = owner.partition("@/")[2].partition("?")[0]
    with psycopg.connect(owner, autocommit=True) as admin:
        reader = f"reader_{name}"
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(sql.Identifier(reader)))
        admin.execute(sql.SQL("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {}").format(sql.Identifier(reader)))
        yield f"postgresql://{reader}:{SECRET}@/{name}?host={postgres.folder}", admin


def codes(extracted: Extract) -> set[str]:
    return {f.code for f in extracted.findings}


def rows(extracted: Extract) -> list[dict[str, Any]]:
    return list(pq.read_table(extracted.path).to_pylist())


def test_types_comments_keys_and_values_come_over(source: tuple[str, psycopg.Connection[Any]], tmp_path: Path) -> None:
    url, admin = source
    admin.execute("""
        CREATE TABLE 区划 (代码 char(6) PRIMARY KEY, 名称 text);
        CREATE TABLE "居民 表" (
          "编号" bigint PRIMARY KEY, "姓名" varchar(20), "区" char(6) REFERENCES 区划 (代码), "余额" numeric(12, 2),
          "比例" numeric, "值" double precision, "在职" boolean, "生日" date, "登记" timestamp, "更新" timestamptz,
          "附" jsonb, "标签" text[], "照" bytea, "时长" interval);
        COMMENT ON TABLE "居民 表" IS '居民账户';
        COMMENT ON COLUMN "居民 表"."余额" IS '账户余额，元';
        INSERT INTO 区划 VALUES ('000001', '东湖区');
        INSERT INTO "居民 表" VALUES
          (2, '换
行,"引号"', '000001', 12.50, 0.125, 1e-7, true, '2020-02-29', '2020-01-01 08:00', '2020-01-01 08:00+08',
           '{"a": [1]}', '{甲,"乙,丙"}', '\\xdead', '1 day'),
          (1, '', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
    """)
    got = extract(url, "居民 表", tmp_path / "t.parquet")
    assert (got.rows, got.key, got.path) == (2, ("编号",), tmp_path / "t.parquet")
    assert [(k.columns, k.table, k.refers_to) for k in got.foreign_keys] == [(("区",), "区划", ("代码",))]
    empty, full = rows(got)
    assert empty == {c.name: {"编号": 1, "姓名": ""}.get(c.name) for c in got.columns}
    assert list(full.values()) == [
        2, '换\n行,"引号"', "000001", Decimal("12.50"), "0.125", 1e-7, True, dt.date(2020, 2, 29),
        dt.datetime(2020, 1, 1, 8), dt.datetime(2020, 1, 1, 0), '{"a": [1]}', '["甲","乙,丙"]', "dead", "P1D",
    ]  # fmt: skip
    declared = {c.name: (c.type, c.comment) for c in got.columns}
    assert declared["余额"] == ("NUMERIC(12, 2)", "账户余额，元")
    field = pq.read_schema(got.path).field("余额")
    assert field.metadata[b"comment"].decode() == "账户余额，元"
    assert (got.title, pq.read_schema(got.path).metadata[b"title"].decode()) == ("居民账户", "居民账户")
    assert codes(got) == {"utc_timestamps"}
    (table,) = read(got.path, work=tmp_path / "work")
    kinds = {c.name: c.type for c in table.columns}
    assert (kinds["余额"], kinds["生日"], kinds["登记"], kinds["区"]) == ("decimal", "date", "timestamp", "text")
    assert pl.read_parquet_schema(typed(table)[0])["余额"] == pl.Decimal(12, 2)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_equal_content_is_an_equal_file_whatever_the_order_of_arrival(
    source: tuple[str, psycopg.Connection[Any]], tmp_path: Path
) -> None:
    url, admin = source
    admin.execute("CREATE TABLE a (id int PRIMARY KEY, v text); CREATE TABLE b (id int, v text)")
    admin.execute("INSERT INTO a SELECT i, 'v' || i FROM generate_series(1, 20000) i")
    first = extract(url, "a", tmp_path / "1.parquet")
    admin.execute("DELETE FROM a; INSERT INTO a SELECT i, 'v' || i FROM generate_series(20000, 1, -1) i")
    second = extract(url, "a", tmp_path / "2.parquet")
    assert digest(first.path) == digest(second.path)
    admin.execute("UPDATE a SET v = 'x' WHERE id = 7")
    assert digest(extract(url, "a", tmp_path / "3.parquet").path) != digest(first.path)
    assert "source_without_key" in codes(extract(url, "b", tmp_path / "4.parquet"))


HOSTILE = 'x"; DROP TABLE safe; -- {0} %s'


def test_names_are_quoted_and_views_and_schemas_are_read(
    source: tuple[str, psycopg.Connection[Any]], tmp_path: Path
) -> None:
    url, admin = source
    admin.execute("CREATE TABLE safe (id int PRIMARY KEY)")
    admin.execute(
        sql.SQL('CREATE SCHEMA {0}; CREATE TABLE {0}.{1} ({2} int, "大" text)').format(
            sql.Identifier("数 源"), sql.Identifier(HOSTILE), sql.Identifier('a%s"{}')
        )
    )
    admin.execute(
        sql.SQL("INSERT INTO {}.{} VALUES (1, '甲')").format(sql.Identifier("数 源"), sql.Identifier(HOSTILE))
    )
    reader = url.partition("://")[2].partition(":")[0]
    admin.execute(
        sql.SQL("GRANT USAGE ON SCHEMA {0} TO {1}; GRANT SELECT ON ALL TABLES IN SCHEMA {0} TO {1}").format(
            sql.Identifier("数 源"), sql.Identifier(reader)
        )
    )
    assert rows(extract(url, HOSTILE, tmp_path / "h.parquet", schema="数 源")) == [{'a%s"{}': 1, "大": "甲"}]
    admin.execute("CREATE VIEW 视图 AS SELECT id, 'x'::text AS v FROM safe; INSERT INTO safe VALUES (5)")
    assert rows(extract(url, "视图", tmp_path / "v.parquet")) == [{"id": 5, "v": "x"}]


def test_values_no_type_can_hold_are_kept_as_text_and_an_empty_table_is_a_table(
    source: tuple[str, psycopg.Connection[Any]], tmp_path: Path
) -> None:
    url, admin = source
    admin.execute("CREATE TABLE w (id int PRIMARY KEY, n numeric(5, 2), d date, t timestamptz, f float8)")
    assert extract(url, "w", tmp_path / "e.parquet").rows == 0
    admin.execute("""INSERT INTO w VALUES (1, 'NaN', 'infinity', '0044-03-15 BC', 'Infinity'),
                                          (2, 1.5, '2020-01-01', '2020-01-01', 'NaN')""")
    got = extract(url, "w", tmp_path / "w.parquet")
    first, second = rows(got)
    assert (first["n"], first["d"], first["t"], first["f"]) == (
        "NaN",
        "infinity",
        "0044-03-15 00:00:00 BC",
        float("inf"),
    )
    assert (second["n"], second["d"]) == ("1.50", "2020-01-01")
    assert [f.column for f in got.findings if f.code == "source_kept_as_text"] == ["n", "d", "t"]
    admin.execute("CREATE TABLE one (v text); INSERT INTO one VALUES (NULL), (''), ('x'), (NULL)")
    assert [r["v"] for r in rows(extract(url, "one", tmp_path / "o.parquet"))] == [None, "", "x", None]


def test_a_row_larger_than_a_block_is_read_in_the_same_snapshot(
    source: tuple[str, psycopg.Connection[Any]], tmp_path: Path
) -> None:
    url, admin = source
    admin.execute("CREATE TABLE big (id int PRIMARY KEY, v text)")
    admin.execute("INSERT INTO big SELECT i, CASE i WHEN 60000 THEN repeat('长', 6000000) ELSE repeat('x', 90) END"
                  " FROM generate_series(1, 80000) i")  # fmt: skip
    got = extract(url, "big", tmp_path / "b.parquet")
    table = pq.read_table(got.path)
    assert table.num_rows == got.rows == 80_000
    assert table["id"].to_pylist() == list(range(1, 80_001))
    assert len(table["v"][59_999].as_py()) == 6_000_000


@pytest.mark.parametrize("where", ["rows", "progress"])
def test_a_connection_that_dies_or_a_stop_leaves_nothing_behind(
    source: tuple[str, psycopg.Connection[Any]], tmp_path: Path, where: str
) -> None:
    url, admin = source
    admin.execute("CREATE TABLE long (id int PRIMARY KEY, v text)")
    admin.execute("INSERT INTO long SELECT i, repeat('x', 200) FROM generate_series(1, 200000) i")
    reader = url.partition("://")[2].partition(":")[0]

    def stop(_: int) -> None:
        if where == "progress":
            raise KeyboardInterrupt
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (reader,))

    with pytest.raises((UserError, KeyboardInterrupt)) as stopped:
        extract(url, "long", tmp_path / "l.parquet", progress=stop)
    if where == "rows":
        assert isinstance(stopped.value, UserError)
        assert stopped.value.code == "reading.source_lost"
    assert list(tmp_path.iterdir()) == []
    assert extract(url, "long", tmp_path / "l.parquet").rows == 200_000


def test_refusals_have_names_and_never_tell_the_password(
    source: tuple[str, psycopg.Connection[Any]], tmp_path: Path, postgres: PostgresServer
) -> None:
    url, admin = source
    admin.execute("CREATE TABLE hidden (id int); REVOKE ALL ON hidden FROM PUBLIC")
    reader = url.partition("://")[2].partition(":")[0]
    admin.execute(sql.SQL("REVOKE ALL ON hidden FROM {}").format(sql.Identifier(reader)))
    cases = {
        "reading.source_no_table": (url, "none"),
        "reading.source_denied": (url, "hidden"),
        "reading.source_unreachable": (f"postgresql://u:{SECRET}@/nodb?host={postgres.folder}", "t"),
        "reading.source_driver": (f"oracle://u:{SECRET}@h/db", "t"),
        "reading.source_url": (f"postgresql://u:{SECRET}@h:port/db", "t"),
    }
    for code, (address, table) in cases.items():
        with pytest.raises(UserError) as refused:
            extract(address, table, tmp_path / "x.parquet")
        assert refused.value.code == code
        told = f"{refused.value} {refused.value.text} {refused.value.fix} {refused.value.detail}"
        assert SECRET not in told
    assert list(tmp_path.iterdir()) == []


def test_an_account_that_can_write_is_told_and_still_cannot_write_here(
    source: tuple[str, psycopg.Connection[Any]], tmp_path: Path, postgres: PostgresServer
) -> None:
    url, admin = source
    admin.execute("CREATE TABLE t (id int PRIMARY KEY); CREATE SEQUENCE s")
    admin.execute("CREATE VIEW sly AS SELECT nextval('s') AS id")
    assert "source_account_can_write" not in codes(extract(url, "t", tmp_path / "1.parquet"))
    owner = f"postgresql://postgres@/{admin.info.dbname}?host={postgres.folder}"
    assert "source_account_can_write" in codes(extract(owner, "t", tmp_path / "2.parquet"))
    with pytest.raises(UserError) as refused:
        extract(owner, "sly", tmp_path / "3.parquet")
    assert refused.value.code == "reading.source_unreadable"


MEASURED = """
import json, resource, sys
from pathlib import Path
from pipelines.reading.database import extract
got = extract(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
print(json.dumps([got.rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))
"""


def test_memory_does_not_grow_with_the_table(source: tuple[str, psycopg.Connection[Any]], tmp_path: Path) -> None:
    url, admin = source
    for name, count in (("small", 50_000), ("large", 1_000_000)):
        admin.execute(
            sql.SQL(
                "CREATE TABLE {} AS SELECT i AS id, '居民' || i AS 姓名, md5(i::text) AS 码,"
                " (i % 1000)::numeric(9, 2) AS 额, date '2020-01-01' + i % 1000 AS 日 FROM generate_series(1, {}) i"
            ).format(sql.Identifier(name), count)
        )
        admin.execute(sql.SQL("ALTER TABLE {} ADD PRIMARY KEY (id)").format(sql.Identifier(name)))
    used = {}
    for name in ("small", "large"):
        argv = [sys.executable, "-c", MEASURED, url, name, str(tmp_path / name)]
        done = subprocess.run(argv, capture_output=True, text=True, check=True, env={**os.environ, "PGPASSWORD": "x"})
        count, kilobytes = json.loads(done.stdout)
        used[name] = kilobytes / 1024
    assert count == 1_000_000
    assert used["large"] < used["small"] + 120


def test_sqlite_is_opened_for_reading_only(tmp_path: Path) -> None:
    path = tmp_path / "源 库.db"
    with sqlite3.connect(path) as made:
        made.execute('CREATE TABLE "居 民" (编号 INTEGER PRIMARY KEY, 姓名 TEXT, 照 BLOB, 值 REAL)')
        made.executemany('INSERT INTO "居 民" VALUES (?, ?, ?, ?)', [(2, "乙", b"\xff", 1.5), (1, "甲", None, None)])
    got = extract(f"sqlite:///{path}", "居 民", tmp_path / "s.parquet")
    assert (got.rows, got.key) == (2, ("编号",))
    assert rows(got)[1] == {"编号": "2", "姓名": "乙", "照": "ff", "值": "1.5"}
    with pytest.raises(UserError) as refused:
        extract(f"sqlite:///{tmp_path}/none.db", "t", tmp_path / "x.parquet")
    assert refused.value.code == "reading.source_unreachable"
    assert not (tmp_path / "none.db").exists()
