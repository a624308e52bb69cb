"""What the merchant's side does with text: where statements end, what a terminal may get, how results look."""

from __future__ import annotations

import csv
import io
import json
import signal
import stat
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.cli import output
from api.cli.ws_complete import candidates
from api.cli.ws_render import MODES, Look, json_text, write
from api.cli.ws_show import Showing, tell_failure
from api.client import login
from api.client.connection import Connection, Refused, checked_url, error_of, path_to
from api.client.results import Column, Ending, Event, Head, Running
from api.client.statements import everything, parameters_in, split
from api.client.terminal import cut, neutral, pad, width
from policies.text import Text
from sandbox.kernel.errors import BadInput, Unauthenticated, Unavailable

# -- statements

PIECES = st.sampled_from(
    ["SELECT 1", "SELECT 'a;b'", "SELECT 'it''s;'", 'SELECT 1 AS "x;y"', "SELECT $$a;'b$$", "SELECT $t$;$$;$t$",
     "SELECT /* ; */ 2", "SELECT 3 -- ; rest\n", "/* a /* ; */ ; */ SELECT 4", "SELECT e'a\\';b'", "SELECT 'a\\'",
     "FROM range(3) t(名称)", "SELECT '姓名；;' AS 名", "-- only words ;\n", "", " \n\t", "SELECT 1 AS e, 'x;\\'"]
)  # fmt: skip


@pytest.fixture(scope="module")
def engine() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1})


@settings(max_examples=60, deadline=None)
@given(pieces=st.lists(PIECES, max_size=6))
def test_statements_end_where_duckdb_says_they_end(engine: duckdb.DuckDBPyConnection, pieces: list[str]) -> None:
    text = ";".join(pieces)
    theirs, ours = engine.extract_statements(text), everything(text)
    assert len(ours) == len(theirs), text
    assert [engine.execute(s).fetchall() for s in theirs] == [engine.execute(s.text).fetchall() for s in ours]


@pytest.mark.parametrize("text", ["SELECT 'a;", 'SELECT "a;', "SELECT $$;", "SELECT /* ;", "SELECT 1 -- ;", "SELECT 1"])
def test_an_unfinished_statement_waits_for_more(text: str) -> None:
    assert split(text) == ([], text)


def test_a_statement_knows_its_line_in_the_file() -> None:
    found = everything("-- head\n\nSELECT 1;\n\n  SELECT\n  2;")
    assert [(s.line, s.text) for s in found] == [(1, "-- head\n\nSELECT 1"), (5, "SELECT\n  2")]


def test_parameters_are_found_outside_of_quotes_and_comments_only() -> None:
    assert parameters_in("SELECT $a, '$b', \"$c\", $$ $d $$, -- $e\n $区 /* $f */") == {"a", "区"}


# -- terminals


@given(st.text())
def test_nothing_that_moves_a_cursor_reaches_a_terminal(text: str) -> None:
    safe = neutral(text)
    assert all(c.isprintable() or unicodedata.category(c) == "Zs" for c in safe)
    assert not set(safe) & {chr(n) for n in [*range(32), *range(0x7F, 0xA0), *range(0x202A, 0x202F), 0x2028, 0x2029]}


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [("\x1b]0;title\x07", "␛]0;title␇"), ("\x9b31m", "\\u009b31m"), ("a\nb\rc\td", "a↵b␍c␉d"),
     ("\u202egnp.exe", "\\u202egnp.exe"), ("\u2066x", "\\u2066x"), ("张三", "张三"), ("\x00", "␀")],
)  # fmt: skip
def test_control_characters_are_shown_not_obeyed(hostile: str, shown: str) -> None:
    assert neutral(hostile) == shown


@pytest.mark.parametrize(("text", "columns"), [("ab", 2), ("张三", 4), ("Ａ", 2), ("é", 1), ("e\u0301", 1), ("", 0)])
def test_chinese_takes_two_columns(text: str, columns: int) -> None:
    assert width(text) == columns
    assert width(pad(text, 9)) == 9


@given(st.text(alphabet="a张é\u0301", max_size=30), st.integers(1, 20))
def test_cut_text_fits(text: str, columns: int) -> None:
    assert width(cut(text, columns)) <= columns


# -- how results look

COLUMNS = [Column("区", "string"), Column("人次", "integer"), Column("备注", "string")]
ROWS = [["示范区", 12, None], ["a|b", -3, ""], ["x,\"y\"\n\x1b[2J", None, "仿真"]]


def written(mode: str, rows: list[list[Any]] = ROWS, **look: Any) -> str:
    out = io.StringIO()
    write(COLUMNS, rows, Look(mode, **look), out)
    return out.getvalue()


@pytest.mark.parametrize("mode", ["table", "box"])
def test_columns_stand_under_each_other_and_null_is_not_an_empty_text(mode: str) -> None:
    lines = written(mode).splitlines()
    if mode == "box":
        assert {width(line) for line in lines} == {width(lines[0])}
    assert sum("NULL" in line for line in lines) == 2
    numbers = [line for line in lines if "12" in line or "-3" in line]
    assert width(numbers[0].split("12")[0]) == width(numbers[1].split("-3")[0])  # numbers end in one column


@pytest.mark.parametrize("mode", [m for m in MODES if m not in ("csv", "json", "jsonl")])
def test_what_people_look_at_holds_no_control_character(mode: str) -> None:
    assert "\x1b" not in written(mode)


def test_csv_in_a_pipe_is_the_data_itself_and_on_a_terminal_harmless() -> None:
    assert list(csv.reader(io.StringIO(written("csv")))) == [
        ["区", "人次", "备注"], ["示范区", "12", ""], ["a|b", "-3", ""], ['x,"y"\n\x1b[2J', "", "仿真"]
    ]  # fmt: skip
    assert written("csv").splitlines()[1:3] == ["示范区,12,", 'a|b,-3,""']  # NULL and the empty text differ
    assert "\x1b" not in written("csv", terminal=True)


def test_json_modes_parse_and_keep_columns_of_one_name() -> None:
    assert json.loads(written("json")) == [dict(zip(("区", "人次", "备注"), row, strict=True)) for row in ROWS]
    assert [json.loads(line) for line in written("jsonl").splitlines()] == json.loads(written("json"))
    out = io.StringIO()
    write([Column("n", "integer")] * 3, [[1, 2, 3]], Look("jsonl"), out)
    assert json.loads(out.getvalue()) == {"n": 1, "n_2": 2, "n_3": 3}
    assert json.loads(written("json", rows=[])) == []


@given(st.text(alphabet=st.characters(exclude_categories=[])))
def test_json_text_is_lossless_and_without_control_characters(text: str) -> None:
    told = json_text({"值": text})
    assert json.loads(told)["值"] == text
    assert not set(told) & {chr(n) for n in [*range(32), *range(0x7F, 0xA0)]}


def test_markdown_escapes_what_would_break_the_table() -> None:
    assert "a\\|b" in written("markdown")


def test_headers_and_nullvalue_follow_the_person() -> None:
    assert "人次" not in written("table", headers=False)
    assert "∅" in written("table", nullvalue="∅")


def test_only_the_first_rows_are_held_back() -> None:
    """Memory stays flat: the table is on its way after the sample, whatever follows."""
    out, seen = io.StringIO(), []

    def rows() -> Any:
        for n in range(1000):
            seen.append(len(out.getvalue()))
            yield ["x", n, "y"]

    write(COLUMNS, rows(), Look("table"), out)
    assert seen[150] == 0
    assert seen[300] > 0
    assert len(out.getvalue().splitlines()) == 1002


def test_an_error_stands_under_the_persons_own_text(capsys: pytest.CaptureFixture[str]) -> None:
    error = Refused("query.binding", Text("列不存在", "no such column"), line=2, column=6, engine_text="E: \x1b[2J")
    tell_failure(error, "SELECT\n张三 AS 列; x")
    lines = capsys.readouterr().err.splitlines()
    assert "第 2 行第 6 列" in lines[0]
    assert lines[1] == "    张三 AS 列; x"
    assert lines[2].index("^") - 4 == width("张三 AS")  # column 6 is the space before 列
    assert "\x1b" not in "".join(lines)


# -- completion


def test_completion_offers_tables_columns_and_words() -> None:
    tables = {"门诊 就诊": ["区", "费用"], "visits": ["area", "Cost X"]}
    assert candidates("vi", "SELECT * FROM vi", tables, []) == ["visits", "view"]
    assert candidates("门", "门", tables, []) == []
    assert candidates('"门', "", tables, []) == ['"门诊 就诊"']
    assert candidates("visits.C", "", tables, []) == ['visits."Cost X"']
    assert candidates("sel", "sel", tables, []) == ["select"]
    assert candidates("SEL", "SEL", tables, []) == ["SELECT"]
    assert candidates(".t", ".t", {}, [".tables", ".timer", ".help"]) == [".tables", ".timer"]


# -- address and sign-in


@pytest.mark.parametrize(
    ("given_url", "taken"),
    [("https://a.gov.cn/", "https://a.gov.cn"), ("a.gov.cn", "https://a.gov.cn"),
     ("http://127.0.0.1:1", "http://127.0.0.1:1"), ("http://localhost:1/x/", "http://localhost:1/x"),
     ("http://[::1]:2", "http://[::1]:2")],
)  # fmt: skip
def test_addresses_that_keep_secrets_secret(given_url: str, taken: str) -> None:
    assert checked_url(given_url, plain_http=False) == taken


@pytest.mark.parametrize(
    "url", ["http://a.gov.cn", "http://127.0.0.1.evil.cn", "ftp://a", "https://", "https://u:p@a.cn", "file:///etc",
            "https://a?x"],
)  # fmt: skip
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(BadInput):
        checked_url(url, plain_http=False)


def test_names_cannot_climb_out_of_a_path() -> None:
    assert path_to("workspaces", "a/../b?x#y", "query") == "/workspaces/a%2F..%2Fb%3Fx%23y/query"
    for climbing in ("..", ".", ""):
        with pytest.raises(BadInput):
            path_to("workspaces", climbing)


def test_the_kept_token_is_its_owners_and_goes_to_its_own_address_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PDS_CONFIG", str(tmp_path / "c"))
    for name in ("PDS_URL", "PDS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(Unauthenticated):
        login.connect("zh")
    file = login.keep(login.Login("https://a.gov.cn", "merchant", "pds_secret"))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert login.connect("zh").url == "https://a.gov.cn"
    monkeypatch.setenv("PDS_URL", "https://other.gov.cn")
    with pytest.raises(Unauthenticated):
        login.connect("zh")
    monkeypatch.setenv("PDS_TOKEN", "pds_other")
    assert login.connect("zh").url == "https://other.gov.cn"
    login.forget()
    assert login.kept() is None


def test_a_link_in_the_place_of_a_private_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("x")
    (tmp_path / "history").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        login.private(tmp_path / "history")


# -- answers of the platform


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [(404, "workspace.not_found", 1), (403, "permission.denied", 1), (422, "query.binding", 1), (409, "x.busy", 1),
     (422, "request.invalid", 2), (400, "request.malformed", 2), (503, "x.away", 3), (500, "internal.error", 3)],
)  # fmt: skip
def test_a_problem_becomes_the_exit_code_of_its_kind(status: int, code: str, exit_code: int) -> None:
    error = error_of({"code": code, "title": "标题\x1b[2J", "fix": None, "detail": {"line": 1, "text": "x"}}, status)
    assert output.exit_code_of(error) == exit_code
    assert "\x1b" not in error.text.zh


def streamed(body: bytes) -> Connection:
    """A connection to a platform that answers any statement with these bytes."""
    connection = Connection("http://127.0.0.1:1", "t")
    answer = httpx.MockTransport(lambda _request: httpx.Response(200, content=body))
    connection._http = httpx.Client(base_url="http://127.0.0.1:1", transport=answer)
    return connection


HEAD = '{"label":"仿真数据","columns":["n"],"types":["integer"]}\n'.encode()
END = b'{"done":{"row_count":1,"truncated":false,"milliseconds":3,"statements":[],"open_transaction":false}}\n'


def test_a_whole_stream_is_a_result() -> None:
    events = list(Running(streamed(HEAD + b"[1]\n" + END), "w").start("SELECT 1").events(5))
    assert events[1] == [1]
    assert events[0] == Head((Column("n", "integer"),))
    assert events[-1] == Ending(1, truncated=False, milliseconds=3, done=(), open_transaction=False)


@pytest.mark.parametrize(
    "body", [b"", HEAD, HEAD + b"[1]\n", HEAD + b"[1", HEAD + b"[1]\n" + END + b"[2]\n", b"<html>", b"3\n"]
)
def test_a_stream_without_its_ending_is_an_error(body: bytes) -> None:
    with pytest.raises(Unavailable):
        list(Running(streamed(body), "w").start("SELECT 1").events(5))


def test_a_failure_in_the_middle_of_a_stream_is_the_statements_error() -> None:
    problem = {"code": "query.memory_limit", "title": "超出内存", "status": 422, "fix": None, "detail": {}}
    body = HEAD + b"[1]\n" + json.dumps({"error": problem}).encode() + b"\n"
    with pytest.raises(Refused, match="memory_limit"):
        list(Running(streamed(body), "w").start("SELECT 1").events(5))


class Deaf(Running):
    """A statement that neither ends nor listens."""

    def events(self, every: float) -> Iterator[Event]:
        signal.raise_signal(signal.SIGINT)
        while True:
            yield None

    def cancel(self) -> None:
        self.lines.put("asked to stop")
        signal.raise_signal(signal.SIGINT)


def test_the_first_ctrl_c_asks_for_an_end_and_the_second_leaves() -> None:
    running, before = Deaf(streamed(b""), "w"), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        Showing(running, Look(), io.StringIO()).show()
    assert running.lines.qsize() == 1
    assert running.left.is_set()
    assert signal.getsignal(signal.SIGINT) == before
