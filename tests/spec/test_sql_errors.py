"""What a merchant reads when a statement goes wrong: written, meant, said and advised, one line a case.

Run on the real engine in the form in which it works inside the jail: locked, with errors as JSON, through the guard.
`place` is the line and column in the person's own text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import duckdb
import pytest

from sandbox.workspaces import guard, wording_errors
from sandbox.workspaces.engine import open_locked
from sandbox.workspaces.execution import Executor
from sandbox.workspaces.inside import Setting
from sandbox.workspaces.limits import Limits
from sandbox.workspaces.protocol import Channel

LIMITS = Limits(
    memory_mb=768, cpu_seconds=60, wall_seconds=20, processes=64, file_mb=64, result_rows=1000, result_mb=8, threads=1
)


class Nobody:
    """The other end of the channel: it hears and keeps nothing."""

    def send(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
    """A workspace with two granted tables and a few of its own."""
    home = tmp_path_factory.mktemp("workspace")
    tables = {"就诊": str(home / "a.parquet"), "居民": str(home / "b.parquet")}
    visits = "SELECT 1 AS 编号, 2.5 AS 金额, DATE '2024-01-01' AS 日期, 'a' AS 区 FROM range(3)"
    duckdb.sql(visits).write_parquet(tables["就诊"])
    duckdb.sql("SELECT 'x' AS 身份证号, 'y' AS \"户籍 地\", 1 AS 编号").write_parquet(tables["居民"])
    con = open_locked(":memory:", home=str(home), temporary=str(home), limits=LIMITS, tables=tables)
    con.execute("CREATE TABLE 我的表 (i INT PRIMARY KEY, s VARCHAR NOT NULL)")
    mode = guard.SIMULATED
    setting = Setting("bwrap-own-uid", "worker", str(home), str(home), tables, None, LIMITS, mode, None, False, [], {})
    yield Executor(setting, con)
    con.close()


def fault(executor: Executor, sql: str) -> dict[str, Any]:
    """The error of `sql`, which has to have one."""
    trailer = executor.run(cast(Channel, Nobody()), sql, None)
    assert trailer["is"] in ("failed", "refused"), trailer
    return cast(dict[str, Any], trailer["error"])


# what was written | place | what is said, in part | what is advised, in part
CASES: list[tuple[str, tuple[int, int] | None, str, str]] = [
    # the Chinese keyboard
    ("SELECT 编号，区 FROM 就诊", (1, 10), "符号 ，", "改成半角的 ,"),
    ("SELECT count（*） FROM 就诊", (1, 13), "符号 （", "改成半角的 ("),
    ("SELECT *\nFROM 就诊\nWHERE 区 = “东区”", (3, 11), "符号 “", "改成半角的 '"),
    ("SELECT * FROM 就诊；", (1, 17), "符号 ；", "改成半角的 ;"),
    ("SELECT * FROM 就诊 WHERE 编号 ＞ 1", (1, 27), "符号 ＞", "改成半角的 >"),
    ("SELECT '正常的（全角）', 没有 FROM 就诊", (1, 19), "没有名为“没有”的列", "可用的列"),
    # names
    ("SELECT 金 FROM 就诊", (1, 8), "没有名为“金”的列", "最接近的列是：金额"),
    ('SELECT "金额 " FROM 就诊', (1, 8), "写法与已有的列略有不同", "照原样写：金额"),
    ("SELECT 户籍地 FROM 居民", (1, 8), "写法与已有的列略有不同", '照原样写："户籍 地"'),
    ("SELECT 身份证号 FROM 就诊", (1, 8), "它在表 居民 中", "JOIN"),
    ("SELECT 年龄 FROM 就诊", (1, 8), "没有名为“年龄”的列", "可用的列：编号"),
    ("SELECT a.金 FROM 就诊 a", (1, 8), "“a”没有列“金”", "最接近的列是：金额"),
    ('SELECT * FROM 就诊 WHERE 区 = "东城"', (1, 28), "双引号里的“东城”被当作列名", "单引号：'东城'"),
    ("SELECT * FROM 就珍", (1, 15), "没有名为“就珍”的表", "最接近的表是：就诊"),
    ("SELECT * FROM 门诊费用明细", (1, 15), "没有名为“门诊费用明细”的表", "可用的表：就诊、居民、我的表"),
    ("SELECT 就诊.区 FROM 就诊 AS b", (1, 8), "没有以“就诊”为名的表", "别名"),
    ("SELECT 编号 FROM 就诊 JOIN 居民 ON true", (1, 8), "不知道指哪一个", "写明表名"),
    ("SELECT * FROM 就诊, 就诊", None, "出现了两次", "别名"),
    ("SELECT nvl(区, '') FROM 就诊", (1, 8), "其他数据库的写法", "这里用 coalesce"),
    ("SELECT to_char(日期, 'YYYY') FROM 就诊", (1, 8), "其他数据库的写法", "这里用 strftime"),
    ("SELECT substrin(区, 1) FROM 就诊", (1, 8), "没有函数 substrin", "substring"),
    ("CREATE TABLE 我的表 (i INT)", None, "“我的表”已经存在", "CREATE OR REPLACE"),
    ("DROP TABLE 我的", (1, 12), "没有名为“我的”的表", "我的表"),
    # grouping and joining
    ("SELECT 区, sum(金额) FROM 就诊", (1, 8), "列“区”既没有分组，也没有汇总", "GROUP BY ALL"),
    ("SELECT 区 FROM 就诊 WHERE sum(金额) > 1", (1, 24), "WHERE 里不能用汇总函数", "HAVING"),
    ("SELECT sum(sum(金额)) FROM 就诊", (1, 12), "不能嵌套", "子查询"),
    ("SELECT row_number() FROM 就诊", (1, 8), "缺少 OVER", "OVER (PARTITION BY"),
    ("SELECT * FROM 就诊 a LEFT JOIN 居民 b", (1, 33), "JOIN 缺少连接条件", "ON a.列 = b.列"),
    ("SELECT (SELECT 编号 FROM 就诊)", None, "子查询返回了多行", "LIMIT 1"),
    ("SELECT 编号 FROM 就诊 WHERE 编号 IN (SELECT 编号, 区 FROM 就诊)", (1, 31), "返回了 2 列", "只选一列"),
    ("SELECT 编号 FROM 就诊 UNION SELECT 编号, 区 FROM 就诊", None, "列数不同", "UNION BY NAME"),
    ("SELECT 编号 FROM 就诊 ORDER BY 5", (1, 28), "超出范围", "1 到 1"),
    # types and values
    ("SELECT 区 + 1 FROM 就诊", (1, 10), "不适用于这些类型", "TRY_CAST"),
    ("SELECT sum(区) FROM 就诊", (1, 8), "只能用于数值", "sum(TRY_CAST"),
    ("SELECT substr(编号) FROM 就诊", (1, 8), "不接受这些参数", "个数和类型"),
    ("SELECT * FROM 就诊 WHERE 日期 > 2024", (1, 24), "不能直接比较 DATE", "DATE '2024-01-01'"),
    ("SELECT * FROM 就诊 WHERE 日期 = '2024年1月3日'", (1, 29), "“2024年1月3日”不是可识别的日期", "写成 '2024-01-03'"),
    ("SELECT DATE '20240105'", (1, 8), "“20240105”", "'2024-01-05'"),
    ("SELECT DATE '2024-13-01'", (1, 8), "不是存在的日期", "年、月、日"),
    ("SELECT strptime('3月', '%Y-%m')", None, "与格式“%Y-%m”不符", "try_strptime"),
    ("SELECT CAST(区 AS INT) FROM 就诊", (1, 8), "文本“a”无法转换", "TRY_CAST"),
    ("SELECT 1;\nSELECT 2;\nSELECT 区::INT FROM 就诊", (3, 9), "无法转换", "TRY_CAST"),
    ("SELECT CAST(300 AS TINYINT)", (1, 8), "超出目标类型的范围", "BIGINT"),
    ("SELECT 9223372036854775807 + 1", None, "超出类型的范围", "HUGEINT"),
    ("SELECT 编号 % 0 FROM 就诊", None, "除数为零", "nullif"),
    ("SELECT regexp_matches(区, '(') FROM 就诊", None, "正则表达式", "contains"),
    ("INSERT INTO 我的表 VALUES (1)", None, "有 2 列，但给了 1 个值", "写明列"),
    ("INSERT INTO 我的表 VALUES (7, 'a'), (7, 'b')", None, "唯一约束", "INSERT OR IGNORE"),
    ("INSERT INTO 我的表 VALUES (8, NULL)", None, "不允许为空", "coalesce"),
    ("INSERT INTO 就诊 VALUES (1, 1, NULL, '')", None, "只能读取，不能修改", "CREATE TABLE 我的表 AS"),
    # syntax
    ("SELECT * FORM 就诊", (1, 10), "“FORM”像是 FROM 的误写", "改成 FROM"),
    ("SELCT * FROM 就诊", (1, 1), "“SELCT”像是 SELECT 的误写", "改成 SELECT"),
    ("SELECT * FROM 就诊 WHERE 区 = '东区", (1, 28), "引号 ' 没有结束", "补上另一半"),
    ('SELECT "区 FROM 就诊', (1, 8), '引号 " 没有结束', "补上另一半"),
    ("SELECT 1 /* 说明", (1, 10), "注释没有结束", "*/"),
    ("SELECT (1 + 2", (1, 13), "左括号比右括号多", "补上缺少的 )"),
    ("SELECT 1 + 2)", (1, 13), "右括号比左括号多", "删去多余的 )"),
    ("SELECT * FROM 就诊 WHERE", (1, 18), "在“WHERE”之后没有写完", "补上"),
    ("SELECT * FROM 就诊 LIMIT 5 WHERE 编号 = 1", (1, 26), "WHERE 不能写在 LIMIT 之后", "FROM → WHERE"),
    ("SELECT TOP 5 * FROM 就诊", (1, 8), "没有 TOP", "LIMIT 5"),
    ("SELECT * FROM 就诊 LIMIT 10, 5", (1, 26), "LIMIT 不用逗号", "OFFSET 10"),
    ("SELECT $开始", None, "参数 开始 没有给值", "参数"),
    ("SELECT $a, ?", None, "不能混用", "其中一种"),
    ("COMMIT", None, "没有进行中的事务", "BEGIN"),
    # what a workspace does not do, with what fits here
    ("SELECT * FROM read_csv('a.csv')", (1, 15), "表函数 read_csv 不可用", "“文件”页上传"),
    ("SELECT * FROM 'a.parquet'", (1, 15), "是文件，不是表", "“文件”页上传"),
    ("ATTACH 'other.duckdb'", (1, 1), "不运行 ATTACH", "“文件”页上传"),
    ("COPY 就诊 TO 'out.csv'", (1, 1), "不运行 COPY", "“下载”"),
    ("EXPORT DATABASE 'x'", (1, 1), "不运行 EXPORT", "“下载”"),
    ("INSTALL httpfs", (1, 1), "不运行 INSTALL", "没有网络"),
    ("SET threads = 8", (1, 1), "不运行 SET", "平台统一管理"),
    ("PRAGMA table_info('就诊')", (1, 1), "不运行 PRAGMA", "DESCRIBE"),
    ("USE memory", (1, 1), "不运行 USE", "直接写表名"),
    ("PREPARE p AS SELECT 1", (1, 1), "不运行 PREPARE", "$名称"),
    ("SELECT getvariable('x')", (1, 8), "getvariable 会读取会话", "参数"),
    ("WITH x AS (DELETE FROM 我的表 RETURNING *) SELECT * FROM x", (1, 12), "查询里不能嵌入 DELETE", "拆成两条"),
    ("CREATE TABLE t AS SELECT * FROM read_csv('a.csv')", (1, 33), "read_csv 不可用", "“文件”页上传"),
]


@pytest.mark.parametrize(("sql", "place", "said", "advised"), CASES)
def test_an_error_says_what_is_wrong_where_and_what_to_do(
    executor: Executor, sql: str, place: tuple[int, int] | None, said: str, advised: str
) -> None:
    error = fault(executor, sql)
    explained = wording_errors.explain(error["code"], error["facts"])
    assert explained is not None, error
    what, fix = explained
    assert said in what.zh
    assert advised in fix.zh
    assert what.en and fix.en and "{" not in what.zh + what.en + fix.zh + fix.en
    assert (error["line"], error["column"]) == (place or (None, None))


def test_every_explanation_is_reached_by_a_case(executor: Executor) -> None:
    reached = {fault(executor, sql)["code"] for sql, *_ in CASES}
    assert set(wording_errors.EXPLAINED) - reached <= RARE


RARE = {"no_column_in_table", "no_function", "missing", "window_in_where", "extra_comma", "syntax",
        "nested_transaction", "check_constraint", "refused_unreadable"}  # fmt: skip
"""words for what the cases above do not show"""


@pytest.mark.parametrize(
    ("sql", "code"),
    [("SELECT a.zzz FROM 就诊 a", "no_column_in_table"), ("SELECT qqq_zzz(1)", "no_function"),
     ("DROP SEQUENCE s", "missing"), ("SELECT 1 WHERE row_number() OVER () = 1", "window_in_where"),
     ("SELECT 1 FROM 就诊 GROUP BY ALL,\nHAVING true", "extra_comma"), ("SELECT 1 1 1", "syntax"),
     ("BEGIN; BEGIN", "nested_transaction"), ("CONNECT 'x'", "refused_unreadable"),
     ("CREATE OR REPLACE TABLE c (i INT CHECK (i > 0)); INSERT INTO c VALUES (0)", "check_constraint")],
)  # fmt: skip
def test_rare_faults_have_words_too(executor: Executor, sql: str, code: str) -> None:
    error = fault(executor, sql)
    assert error["code"] == code, error
    assert wording_errors.explain(code, error["facts"]) is not None


def test_an_unknown_code_has_no_words_and_facts_cannot_fill_in_others() -> None:
    assert wording_errors.explain("nonsense", {}) is None
    found = wording_errors.explain("unknown_table", {"name": "{near}", "near": "x"})
    assert found is not None and "(near)" in found[0].zh


def test_on_real_data_no_diagnosis_leaves_the_jail(executor: Executor) -> None:
    real = Executor(Setting(**{**_fields(executor.setting), "mode": guard.REAL}), executor.con)
    for sql in ("SELECT 没有 FROM 就诊", "SELECT CAST(区 AS INT) FROM 就诊", "SELECT * FROM 没有的表"):
        trailer = real.run(cast(Channel, Nobody()), sql, None)
        assert set(trailer.get("error", {})) <= {"kind"}
        assert not {"statements", "failed", "rolled_back"} & set(trailer)


def _fields(setting: Setting) -> dict[str, Any]:
    return {name: getattr(setting, name) for name in Setting.__slots__}
