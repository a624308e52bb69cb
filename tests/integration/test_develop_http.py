"""Developing on the simulated twin as a merchant does it, over HTTP, with the real application, broker and jail."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sandbox.workspaces.broker import Mode
from tests.desk import ENDLESS, LIMITS, Desk, seated

ARROW, LINES = "application/vnd.apache.arrow.stream", "application/x-ndjson"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One workspace, shared by the tests of this module."""
    with seated(tmp_path_factory.mktemp("desk")) as found:
        yield found


# -- results


def test_a_query_gives_rows_with_the_family_of_each_column(desk: Desk) -> None:
    found = desk.sql("SELECT 区, count(*) AS 人次, sum(费用) AS 费用 FROM 门诊就诊 GROUP BY ALL ORDER BY 区")
    assert (found["columns"], found["types"]) == (["区", "人次", "费用"], ["text", "integer", "decimal"])
    assert found["rows"] == [["东区", 500, "62375.00"], ["西区", 500, "62500.00"]]
    assert "仿真数据" in found["label"]


def test_every_statement_says_what_it_did(desk: Desk) -> None:
    found = desk.sql(
        "CREATE OR REPLACE TABLE 汇总 AS SELECT 区, count(*) AS n FROM 门诊就诊 GROUP BY 1;\n"
        "UPDATE 汇总 SET n = n + 1 WHERE 区 = '东区';\nDELETE FROM 汇总 WHERE 区 = '西区';\n"
        "CREATE OR REPLACE MACRO 加一(x) AS x + 1;\nSELECT 加一(n) AS n FROM 汇总"
    )
    assert [(s["kind"], s["subject"], s["rows"], s["line"]) for s in found["statements"]] == [
        ("CREATE TABLE", "汇总", 2, 1), ("UPDATE", "汇总", 1, 2), ("DELETE", "汇总", 1, 3),
        ("CREATE MACRO", "加一", None, 4), ("SELECT", "", 1, 5),
    ]  # fmt: skip
    assert found["statements"][0]["text"]["zh"] == "已创建表 汇总，2 行"
    assert found["rows"] == [[502]]


def test_the_rows_of_the_last_query_are_shown_even_when_something_follows(desk: Desk) -> None:
    found = desk.sql("SELECT 7 AS n; CREATE OR REPLACE TEMP TABLE danach AS SELECT 1")
    assert (found["rows"], len(found["statements"])) == ([[7]], 2)


def test_a_failing_third_statement_leaves_the_first_two(desk: Desk) -> None:
    found = desk.refused("CREATE OR REPLACE TABLE 甲 (i INT);\nINSERT INTO 甲 VALUES (1);\nSELECT 没有 FROM 甲")
    assert (found["detail"]["statement"], found["detail"]["line"], found["detail"]["column"]) == (3, 3, 8)
    assert "前 2 条语句已经执行" in found["detail"]["left"]["zh"]
    assert desk.sql("SELECT i FROM 甲")["rows"] == [[1]]


@pytest.mark.parametrize("third", ["SELECT 没有 FROM 甲", "SELECT CAST('x' AS INT)", "SELECT * FROM read_csv('x')"])
def test_a_failing_transaction_leaves_nothing_and_is_over(desk: Desk, third: str) -> None:
    desk.sql("CREATE OR REPLACE TABLE 甲 (i INT)")
    found = desk.refused(f"BEGIN; INSERT INTO 甲 VALUES (1); {third}; COMMIT")
    assert "整体撤销" in found["detail"]["left"]["zh"]
    assert desk.sql("SELECT count(*) FROM 甲")["rows"] == [[0]]
    assert "没有进行中的事务" in desk.refused("COMMIT")["title"]


def test_an_open_transaction_is_said_and_can_be_committed_later(desk: Desk) -> None:
    assert desk.sql("CREATE OR REPLACE TABLE 乙 (i INT); BEGIN; INSERT INTO 乙 VALUES (1)")["open_transaction"] is True
    assert desk.sql("COMMIT")["open_transaction"] is False
    assert desk.sql("SELECT i FROM 乙")["rows"] == [[1]]


@pytest.mark.parametrize(
    ("sql", "parameters", "rows"),
    [("SELECT count(*) FROM 门诊就诊 WHERE 区 = $区", {"区": "东区"}, [[500]]),
     ("SELECT ? || ?", ["a", "'; DROP TABLE x --"], [["a'; DROP TABLE x --"]]),
     ("SELECT $2 || $1", ["a", "b"], [["ba"]]), ("SELECT $n IS NULL", {"n": None}, [[True]]),
     ("CREATE OR REPLACE TABLE 丙 AS SELECT $a::INT AS n; SELECT n + $a::INT FROM 丙", {"a": 2}, [[4]])],
)  # fmt: skip
def test_parameters_are_values_and_never_sql(desk: Desk, sql: str, parameters: Any, rows: Any) -> None:
    assert desk.sql(sql, parameters=parameters)["rows"] == rows


def test_a_missing_parameter_is_named(desk: Desk) -> None:
    found = desk.refused("SELECT $开始")
    assert (found["detail"]["reason"], "开始" in found["title"]) == ("parameter_missing", True)


@pytest.mark.parametrize("body", [{}, {"sql": ""}, {"sql": "SELECT 1", "parameters": "x"}])
@pytest.mark.parametrize("path", ["query", "query/download"])
def test_what_is_wrong_with_a_query_is_told_to_those_who_may_ask(desk: Desk, path: str, body: Any) -> None:
    assert desk.ask(path, body).status_code == 422
    assert desk.ask(path, body, Authorization="Bearer pds_nobody").status_code == 401
    assert desk.ask(path, body, who="operator").status_code == 403


# -- streams


MIXED = "SELECT range AS n, range / 2.0 AS h, repeat('字', 500) AS s FROM range(3000)"
BREAKS = "SELECT CAST(CASE WHEN range = 150000 THEN 'x' ELSE '1' END AS INT) AS v FROM range(200000)"


def test_arrow_and_lines_and_json_carry_the_same_rows(desk: Desk) -> None:
    body = {"sql": MIXED}
    plain = desk.ask("query", body).json()
    lines = [json.loads(line) for line in desk.ask("query", body, Accept=LINES).text.splitlines()]
    table = pa.ipc.open_stream(desk.ask("query", body, Accept=ARROW).content).read_all()
    assert lines[0]["columns"] == plain["columns"] == table.schema.names
    assert lines[1:-1] == plain["rows"]
    assert lines[-1]["done"]["row_count"] == plain["row_count"] == table.num_rows == 3000
    assert table.column("n").to_pylist() == [row[0] for row in plain["rows"]]
    assert table.schema.metadata[b"mark"].decode() == "仿真数据，非真实记录"


def test_the_end_of_an_arrow_stream_says_how_it_went(desk: Desk) -> None:
    stream = pa.ipc.open_stream(desk.ask("query", {"sql": "SELECT 1 AS n"}, Accept=ARROW).content)
    *_, (last, said) = stream.iter_batches_with_custom_metadata()
    assert last.num_rows == 0
    assert json.loads(said[b"pds.done"])["row_count"] == 1


def test_an_error_in_mid_stream_is_visible_to_every_reader(desk: Desk) -> None:
    lines = [json.loads(line) for line in desk.ask("query", {"sql": BREAKS}, Accept=LINES).text.splitlines()]
    assert len(lines) > 60_000
    assert (lines[-1]["error"]["code"], "done" in lines[-1]) == ("query.bad_value", False)
    answer = desk.ask("query", {"sql": BREAKS}, Accept=ARROW)
    with pytest.raises(pa.ArrowInvalid):
        pa.ipc.open_stream(answer.content).read_all()
    told = []
    with pytest.raises(pa.ArrowInvalid):
        for _batch, said in pa.ipc.open_stream(answer.content).iter_batches_with_custom_metadata():
            told.append(said)
    assert json.loads(told[-1][b"pds.error"])["code"] == "query.bad_value"


def test_more_rows_than_a_result_may_have_are_cut_and_said(desk: Desk) -> None:
    *_, last = desk.ask("query", {"sql": "SELECT range FROM range(400000)"}, Accept=LINES).text.splitlines()
    done = json.loads(last)["done"]
    assert (done["truncated"], done["row_count"]) == (True, LIMITS.result_rows)


def test_what_fails_before_the_first_row_is_an_ordinary_problem(desk: Desk) -> None:
    for accept in (ARROW, LINES):
        answer = desk.ask("query", {"sql": "SELECT 没有 FROM 门诊就诊"}, Accept=accept)
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


def test_a_statement_without_rows_streams_its_messages(desk: Desk) -> None:
    body = {"sql": "CREATE OR REPLACE TABLE 丁 (i INT)"}
    lines = [json.loads(line) for line in desk.ask("query", body, Accept=LINES).text.splitlines()]
    assert (lines[0]["columns"], lines[-1]["done"]["statements"][0]["subject"]) == ([], "丁")
    assert pa.ipc.open_stream(desk.ask("query", body, Accept=ARROW).content).read_all().num_columns == 0


# -- cancel, progress, hanging up


def _until(what: Any, seconds: float = 20.0) -> None:
    """Wait for a condition of another thread."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def test_a_running_query_is_seen_and_cancelled_by_its_people_only(desk: Desk) -> None:
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(desk.ask("query", {"sql": ENDLESS})))
    thread.start()
    _until(lambda: desk.ask("query", method="GET").json()["running"])
    assert desk.ask("query", method="GET", who="stranger").status_code == 404
    assert desk.ask("query/cancel", who="stranger").status_code == 404
    assert desk.ask("query/cancel", who="operator").status_code == 403
    _until(lambda: desk.ask("query/cancel").json()["cancelled"])
    thread.join(20)
    assert (got[0].status_code, got[0].json()["code"]) == (422, "query.cancelled")
    assert desk.ask("query", method="GET").json()["running"] is False
    assert desk.ask("query/cancel").json() == {"cancelled": False}


@pytest.mark.parametrize("accept", ["application/json", LINES, ARROW])
def test_a_client_that_hangs_up_cancels_its_query(desk: Desk, accept: str) -> None:
    asyncio.run(_hang_up(desk, accept))
    _until(lambda: not desk.ask("query", method="GET").json()["running"])
    entry = desk.ask("history?limit=1", method="GET").json()["entries"][0]
    assert (entry["outcome"], entry["text"]) == ("cancelled", ENDLESS)


async def _hang_up(desk: Desk, accept: str) -> None:
    """Ask the application itself, and go away once the query runs."""
    body = json.dumps({"sql": ENDLESS}).encode()
    told = asyncio.Event()
    sent = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> Any:
        for message in sent:
            return message
        await told.wait()
        return {"type": "http.disconnect"}

    async def send(_message: Any) -> None:
        return

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": f"/api/v1/workspaces/{desk.workspace}/query", "raw_path": b"", "query_string": b"", "root_path": "",
        "headers": [(b"authorization", f"Bearer {desk.token('merchant')}".encode()), (b"accept", accept.encode()),
                    (b"content-type", b"application/json"), (b"host", b"localhost")],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "app": desk.client.app,
    }  # fmt: skip
    asking = asyncio.ensure_future(desk.client.app(scope, receive, send))  # type: ignore[arg-type]
    while not any(w["running"] for w in desk.broker.status()):
        await asyncio.sleep(0.02)
    told.set()
    await asking


# -- what there is


def test_the_tree_has_granted_and_own_objects(desk: Desk) -> None:
    desk.sql("CREATE OR REPLACE TABLE 自建 (甲 INT, 乙 VARCHAR)")
    desk.sql("CREATE OR REPLACE VIEW 视图 AS SELECT 区 FROM 门诊就诊")
    desk.sql("CREATE OR REPLACE MACRO 加倍(x) AS x * 2")
    found = {o["name"]: o for o in desk.ask("objects", method="GET").json()}
    granted = found["门诊就诊"]
    assert (granted["kind"], granted["rows"]) == ("granted", 1000)
    assert [(c["name"], c["level"]) for c in granted["columns"]] == [("区", 1), ("费用", 2)]
    assert (found["自建"]["kind"], [c["type"] for c in found["自建"]["columns"]]) == ("table", ["INTEGER", "VARCHAR"])
    assert (found["视图"]["kind"], found["加倍"]["kind"]) == ("view", "macro")
    assert "/granted" not in json.dumps(list(found.values()))


def test_a_peek_has_the_first_rows_and_a_summary_of_each_column(desk: Desk) -> None:
    found = desk.ask("objects/门诊就诊/peek", method="GET").json()
    assert (len(found["rows"]), [s["column_name"] for s in found["summary"]]) == (20, ["区", "费用"])
    assert desk.ask("objects/没有/peek", method="GET").status_code == 422
    assert desk.ask("objects/门诊就诊/peek", method="GET", who="stranger").status_code == 404


def test_a_plan_is_a_tree_with_its_costly_steps(desk: Desk) -> None:
    sql = "SELECT a.区, count(*) FROM 门诊就诊 a, 门诊就诊 b WHERE a.费用 > b.费用 GROUP BY 1"
    measured = desk.ask("query/plan?measure=true", {"sql": sql}).json()
    found = json.dumps(measured["root"], ensure_ascii=False)
    assert measured["measured"] and "占总用时" in found and "/granted" not in found
    cross = desk.ask("query/plan", {"sql": "SELECT count(*) FROM 门诊就诊 a CROSS JOIN 门诊就诊 b"}).json()
    assert "笛卡尔积" in json.dumps(cross["root"], ensure_ascii=False)


def test_a_plan_runs_nothing(desk: Desk) -> None:
    desk.sql("CREATE OR REPLACE TABLE 戊 AS SELECT 1 AS i")
    assert desk.ask("query/plan", {"sql": "DELETE FROM 戊"}).status_code == 200
    assert desk.ask("query/plan", {"sql": "SELECT 1; DROP TABLE 戊"}).status_code == 422
    assert desk.ask("query/plan?measure=true", {"sql": "DELETE FROM 戊"}).status_code == 422
    assert desk.sql("SELECT i FROM 戊")["rows"] == [[1]]
    place = desk.ask("query/plan", {"sql": "SELECT 没有 FROM 戊"}).json()["detail"]
    assert (place["line"], place["column"]) == (1, 8)


# -- history and saved queries


def test_the_history_can_be_searched_and_paged(desk: Desk) -> None:
    for n in range(3):
        desk.sql(f"SELECT {n} AS 百分之100_唯一")
    desk.refused("SELECT 唯一")
    found = desk.ask("history?q=百分之100_唯一&limit=2", method="GET").json()
    assert (found["total"], [e["text"][7] for e in found["entries"]]) == (3, ["2", "1"])
    rest = desk.ask("history?q=百分之100_唯一&limit=2&offset=2", method="GET").json()
    assert [e["text"][7] for e in rest["entries"]] == ["0"]
    assert desk.ask("history?q=百分之1%唯一", method="GET").json()["total"] == 0
    failed = desk.ask("history?q=唯一&outcome=failed", method="GET").json()["entries"]
    assert [e["outcome"] for e in failed] == ["binding"]
    assert desk.ask("history?mine=true&q=百分之100_唯一", method="GET").json()["total"] == 3
    assert desk.ask("history", method="GET", who="stranger").status_code == 404


def test_saved_queries_are_the_workspaces_own(desk: Desk) -> None:
    made = desk.ask("queries", {"name": " 月度  汇总 ", "note": "给李工", "sql": "SELECT 1"}).json()
    assert made["name"] == "月度 汇总"
    assert desk.ask("queries", {"name": "月度 汇总", "sql": "SELECT 2"}).status_code == 409
    place = f"queries/{made['id']}"
    changed = desk.ask(place, {"name": "年度汇总", "sql": "SELECT 3"}, method="PUT").json()
    assert (changed["id"], changed["sql"], changed["note"]) == (made["id"], "SELECT 3", "")
    for who, status in (("stranger", 404), ("operator", 403)):
        assert desk.ask("queries", method="GET", who=who).status_code == status
        assert desk.ask(place, method="DELETE", who=who).status_code == status
    assert desk.ask(place, method="DELETE").status_code == 204
    assert desk.ask(place, method="DELETE").status_code == 404
    assert desk.ask("queries", method="GET").json() == []


@pytest.mark.parametrize("body", [{"name": " ", "sql": "SELECT 1"}, {"name": "a\nb\x00", "sql": "SELECT 1"},
                                  {"name": "x", "sql": " "}, {"name": "x" * 81, "sql": "SELECT 1"}])  # fmt: skip
def test_an_unfit_saved_query_is_refused(desk: Desk, body: Any) -> None:
    assert desk.ask("queries", body).status_code == 422


# -- downloads

CELLS = (
    "SELECT '=1+1' AS 公式, '0012' AS 编号, 123456789012345678 AS 长号, 2.5::DECIMAL(5, 2) AS 额, NULL AS 空,"
    " '区，\"x\"' AS 文"
)


def test_csv_has_the_mark_in_its_name_and_no_formula(desk: Desk) -> None:
    answer = desk.ask("query/download?format=csv", {"sql": CELLS})
    assert "%E4%BB%BF%E7%9C%9F%E6%95%B0%E6%8D%AE" in answer.headers["content-disposition"]
    assert (answer.headers["x-simulated"], answer.content[:3]) == ("true", b"\xef\xbb\xbf")
    assert answer.content.decode("utf-8-sig").splitlines()[1].startswith("'=1+1,0012,123456789012345678,2.50,,")


def test_gb18030_is_for_programs_that_know_no_utf8(desk: Desk) -> None:
    answer = desk.ask("query/download?format=gb18030", {"sql": CELLS})
    assert answer.content.decode("gb18030").startswith("公式,编号")


def test_xlsx_keeps_codes_as_text_and_says_what_it_is(desk: Desk) -> None:
    answer = desk.ask("query/download?format=xlsx", {"sql": CELLS})
    book = openpyxl.load_workbook(io.BytesIO(answer.content))
    row = [cell.value for cell in next(book.worksheets[0].iter_rows(min_row=2))]
    assert row == ["=1+1", "0012", "123456789012345678", "2.50", None, '区，"x"']
    assert book.worksheets[0]["A2"].data_type == "s"
    assert ("仿真数据" in book.worksheets[0].title, book.properties.subject) == (True, "仿真数据，非真实记录")


def test_parquet_keeps_types_and_the_mark(desk: Desk) -> None:
    answer = desk.ask("query/download?format=parquet", {"sql": "SELECT 1 n, 1 n, DATE '2026-03-02' d, [1] l"})
    table = pq.read_table(io.BytesIO(answer.content))
    assert (table.schema.names, str(table.schema.field("d").type)) == (["n", "n_2", "d", "l"], "date32[day]")
    assert pq.read_metadata(io.BytesIO(answer.content)).metadata[b"mark"].decode() == "仿真数据"


def test_downloads_are_on_record_and_nothing_is_left_behind(desk: Desk) -> None:
    answer = desk.ask("query/download?format=csv", {"sql": "SELECT 42 AS n"})
    event = desk.world.events("workspace:download")[-1]
    assert (event.facts["sha256"], event.facts["rows"]) == (answer.headers["x-checksum-sha256"], 1)
    for sql, format_ in (("SELECT 没有", "csv"), ("SELECT 1", "exe"), ("BEGIN; COMMIT", "csv")):
        assert desk.ask(f"query/download?format={format_}", {"sql": sql}).status_code == 422
    assert desk.ask("query/download", {"sql": "SELECT 1"}, who="stranger").status_code == 404


def test_a_cut_download_says_so_in_its_name(desk: Desk) -> None:
    answer = desk.ask("query/download?format=parquet", {"sql": "SELECT range FROM range(400000)"})
    assert (answer.headers["x-truncated"], "300000" in answer.headers["content-disposition"]) == ("true", True)


def test_only_the_twin_is_ever_mounted(desk: Desk) -> None:
    assert {w["mode"] for w in desk.broker.status()} == {Mode.SIMULATED.value}
