"""`pds ws` as a merchant uses it: in a terminal (pty), in a pipe, and as single commands, on the running platform."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import json
import os
import pty
import select
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest

from api.cli import main
from pipelines.registry import HANDLERS
from sandbox.kernel.jobs import LocalExecutor
from tests.factories import PASSWORD
from tests.neighbours import House, Street, served

ENDLESS = "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE (a.range * b.range) % 7 = 3;"


class Done(NamedTuple):
    """How a command ended and what it said."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Desk:
    """A merchant's machine: a configuration folder of its own, signed in to the platform."""

    street: Street
    house: House
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PDS_")}
        return kept | {"PDS_CONFIG": str(self.home / "config"), "TERM": "xterm", "LANG": "C.UTF-8", "COLUMNS": "200",
                       "INPUTRC": "/dev/null"}  # fmt: skip

    def argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "api.cli.main", "ws", *arguments]

    def run(self, *arguments: str, given: str = "", **environment: str) -> Done:
        """The command in this process, its three streams being text."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            for name in [n for n in os.environ if n.startswith("PDS_")]:
                patch.delenv(name)
            for name, value in (self.environment | environment).items():
                patch.setenv(name, value)
            patch.setattr(sys, "stdin", io.StringIO(given))
            code = main.run(["ws", *arguments])
        return Done(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Desk]:
    with served(tmp_path_factory.mktemp("shell") / "home", sqlite_template) as street:
        house = street.build("merchant", "甲方")
        made = Desk(street, house, tmp_path_factory.mktemp("merchant"))
        signed = made.run("login", "--url", street.url, "--as", "merchant", "--json", PDS_PASSWORD=PASSWORD)
        assert signed.returncode == 0, signed.stderr
        yield made


@dataclass
class Terminal:
    """A person at a terminal."""

    desk: Desk
    arguments: tuple[str, ...]
    shown: str = ""
    pid: int = 0
    screen: int = -1
    decoder: codecs.IncrementalDecoder = field(default_factory=codecs.getincrementaldecoder("utf-8"))

    def __enter__(self) -> Terminal:
        self.pid, self.screen = pty.fork()
        if self.pid == 0:
            with contextlib.suppress(BaseException):
                os.execve(sys.executable, self.desk.argv(*self.arguments), self.desk.environment)
            os._exit(127)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        os.close(self.screen)

    def type(self, keys: str) -> None:
        os.write(self.screen, keys.encode())

    def until(self, text: str, seconds: float = 20.0) -> str:
        """What was shown up to and with this text; it is taken off."""
        end = time.monotonic() + seconds
        while text not in self.shown:
            left = end - time.monotonic()
            assert left > 0, f"{text!r} was not shown: {self.shown!r}"
            if select.select([self.screen], [], [], left)[0]:
                try:
                    got = os.read(self.screen, 65536)
                except OSError:
                    got = b""
                assert got, f"it ended without {text!r}: {self.shown!r}"
                self.shown += self.decoder.decode(got)
        before, _, self.shown = self.shown.partition(text)
        return before + text

    def prompt(self) -> str:
        """What was shown before the next prompt."""
        return self.until(f"仿真:{self.desk.house.workspace[:12]}> ")

    def ask(self, line: str) -> str:
        """Type a line; what was shown until the next prompt."""
        self.type(line + "\r")
        return self.prompt()

    def ended(self, seconds: float = 20.0) -> int:
        """The exit code, once it has ended by itself."""
        with contextlib.suppress(OSError):
            while select.select([self.screen], [], [], seconds)[0]:
                self.shown += os.read(self.screen, 65536).decode("utf-8", "replace")
            raise AssertionError(f"it did not end: {self.shown!r}")
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@contextlib.contextmanager
def sitting(desk: Desk, *more: str) -> Iterator[Terminal]:
    with Terminal(desk, ("shell", desk.house.workspace, *more)) as terminal:
        terminal.prompt()
        yield terminal


# -- a terminal


def test_a_sitting_as_people_know_it(desk: Desk) -> None:
    """Tables, schema, a statement over several lines, modes, parameters, timing, history, leaving."""
    with sitting(desk) as terminal:
        assert desk.house.table in terminal.ask(".tables")
        assert "费用" in terminal.ask(f".schema {desk.house.table}")
        terminal.type(f"SELECT 区, count(*) AS 行数\rFROM {desk.house.table}\rGROUP BY ALL ORDER BY 1;\r")
        shown = terminal.until("4 行")
        assert "甲方-twin-0" in shown
        assert "┌" in shown
        terminal.prompt()
        terminal.ask(".mode line")
        terminal.ask(".param set 最低 38")
        assert "甲方-twin-3" in terminal.ask(f"SELECT * FROM {desk.house.table} WHERE 费用 > $最低;")
        terminal.ask(".timer on")
        assert "用时" in terminal.ask("SELECT NULL AS 空;")
        assert ".maxrows" in terminal.ask(".help")
        assert "SELECT NULL AS 空" in terminal.ask(".history")
        terminal.type(".quit\r")
        assert terminal.ended() == 0
    history = desk.home / "config" / "history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert f"SELECT 区, count(*) AS 行数 FROM {desk.house.table} GROUP BY ALL ORDER BY 1;" in history.read_text()
    assert PASSWORD not in history.read_text()


def test_ctrl_c_cancels_the_query_and_not_the_shell(desk: Desk) -> None:
    with sitting(desk) as terminal:
        terminal.type(ENDLESS + "\r")
        terminal.until("Ctrl-C 取消")
        terminal.type("\x03")
        assert "query.cancelled" in terminal.until("query.cancelled]")
        terminal.prompt()
        assert "42" in terminal.ask("SELECT 42 AS n;")
        terminal.type("SELECT not finished\x03")
        terminal.prompt()
        assert "43" in terminal.ask("SELECT 43 AS n;")
        terminal.type("\x04")
        assert terminal.ended() == 0


def test_tab_completes_tables_and_columns(desk: Desk) -> None:
    with sitting(desk) as terminal:
        terminal.ask("CREATE TABLE visits AS SELECT 1 AS area_code;")
        terminal.type("SELECT area_\t FROM vis\t;\r")
        assert "area_code" in terminal.until("1 行")
        terminal.prompt()
        terminal.type(".sch\t visits\r")
        assert "area_code" in terminal.until("area_code")


def test_an_error_shows_the_place_and_data_cannot_drive_the_terminal(desk: Desk) -> None:
    with sitting(desk) as terminal:
        shown = terminal.ask(f"SELECT 费用, 没有 FROM {desk.house.table};")
        assert "第 1 行第 12 列" in shown
        caret = next(line for line in shown.replace("\r", "").split("\n") if line.strip() == "^")
        assert len(caret) == 4 + len("SELECT ") + 4 + 2 + 1  # 费用 takes four columns
        shown = terminal.ask("SELECT chr(27) || ']0;owned' || chr(7) || chr(27) || '[2J' AS x, chr(8238) || 'a' AS y;")
        assert "␛]0;owned␇␛[2J" in shown
        assert "\x1b]0;" not in shown
        assert "\x1b[2J" not in shown
        assert "\u202e" not in shown


def test_columns_of_chinese_stand_under_each_other(desk: Desk) -> None:
    with sitting(desk) as terminal:
        shown = terminal.ask("SELECT * FROM (VALUES ('示范区', 1), ('a', 22)) t(区, n);")
    from api.client.terminal import width

    box = [line[line.find("┌") :] for line in shown.replace("\r", "").split("\n") if "┌" in line]
    box += [line for line in shown.replace("\r", "").split("\n") if line.startswith(("│", "├", "└"))]
    assert len(box) == 6
    assert len({width(line) for line in box}) == 1


# -- a pipe


def test_in_a_pipe_statements_run_one_by_one_and_only_results_come_out(desk: Desk) -> None:
    script = f"""-- 说明；不是语句
.mode jsonl
SELECT count(*) AS n FROM {desk.house.table};
SELECT 'a;b' AS x,
       NULL AS 空;
.mode csv
SELECT 区, 费用 FROM {desk.house.table} ORDER BY 费用 LIMIT 2"""
    done = desk.run("shell", desk.house.workspace, given=script)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [json.loads(line) for line in lines[:2]] == [{"n": 40}, {"x": "a;b", "空": None}]
    assert list(csv.reader(lines[2:])) == [["区", "费用"], ["甲方-twin-0", "0.0"], ["甲方-twin-1", "1.0"]]


def test_in_a_pipe_the_first_error_ends_it_with_file_and_line(desk: Desk, tmp_path: Path) -> None:
    text = "SELECT 1 AS n;\n\nSELECT\n  没有 FROM (SELECT 1 AS a);\nSELECT 2 AS n;\n"
    (tmp_path / "a.sql").write_text(text, encoding="utf-8")
    done = desk.run("shell", desk.house.workspace, given=f".read {tmp_path}/a.sql\nSELECT 3 AS n;\n")
    assert done.returncode == 1
    assert done.stdout == "n\n1\n"
    assert "第 4 行" in done.stderr
    assert "a.sql" in done.stderr


def test_a_big_result_streams_with_flat_memory(desk: Desk) -> None:
    statement = "SELECT range AS n, repeat('长', 200) AS x FROM range(20000);"
    with subprocess.Popen(
        desk.argv("shell", desk.house.workspace), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=desk.environment,
    ) as process:  # fmt: skip
        assert process.stdin and process.stdout
        process.stdin.write(statement)
        process.stdin.close()
        rows = sum(1 for _ in process.stdout) - 1
        assert process.wait(60) == 0
    assert rows == 20000


def test_a_reader_that_leaves_is_no_crash(desk: Desk) -> None:
    command = " ".join(desk.argv("query", desk.house.workspace, "'SELECT range FROM range(20000)'", "--mode", "csv"))
    done = subprocess.run(
        ["/bin/sh", "-c", f"{command} | head -2"], capture_output=True, text=True, check=False, env=desk.environment,
        timeout=60,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["range", "0"]
    assert "Traceback" not in done.stderr
    assert "internal" not in done.stderr


# -- single commands


def test_login_keeps_a_token_and_never_the_password(desk: Desk) -> None:
    file = desk.home / "config" / "login.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    kept = json.loads(file.read_text())
    assert kept["token"].startswith("pds_")
    assert PASSWORD not in file.read_text()
    refused = desk.run("login", "--url", desk.street.url, "--as", "merchant", PDS_PASSWORD="wrong-wrong-wrong")
    assert refused.returncode == 1
    assert json.loads(file.read_text()) == kept


def test_without_sign_in_it_is_said_how(desk: Desk, tmp_path: Path) -> None:
    done = desk.run("list", PDS_CONFIG=str(tmp_path))
    assert done.returncode == 1
    assert "pds ws login" in done.stderr


def test_commands_answer_with_one_document(desk: Desk) -> None:
    listed = json.loads(desk.run("list", "--json").stdout)
    assert [w["id"] for w in listed["workspaces"]] == [desk.house.workspace]
    found = json.loads(desk.run("query", desk.house.workspace, f"SELECT count(*) AS n FROM {desk.house.table}",
                                "--json").stdout)  # fmt: skip
    assert (found["rows"], found["row_count"], found["label"]) == ([[40]], 1, "仿真数据，非真实记录")
    done = desk.run("query", desk.house.workspace, "SELECT $n + 1 AS m", "--param", "n=41", "--mode", "csv")
    assert done.stdout == "m\n42\n"
    history = json.loads(desk.run("history", desk.house.workspace, "--json").stdout)
    assert any("SELECT $n + 1" in s["text"] for s in history["entries"])


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("query", "wsp-222222222222", "SELECT 1"), 1), (("query", "{ws}", "SELEC 1"), 1),
        (("query", "{ws}", "SELECT x"), 1), (("query", "{ws}", ""), 2),
        (("query", "{ws}", "SELECT 1", "--mode", "xml"), 2), (("query", "{ws}"), 2), (("query", "..", "SELECT 1"), 2),
        (("open", "app-222222222222"), 1),
    ],
)  # fmt: skip
def test_exit_codes_and_errors_as_documents(desk: Desk, arguments: tuple[str, ...], code: int) -> None:
    filled = [a.replace("{ws}", desk.house.workspace) for a in arguments]
    done = desk.run(*filled, "--json")
    assert done.returncode == code
    assert set(json.loads(done.stdout)["error"]) == {"code", "text", "fix", "detail"}


def test_a_platform_that_is_away_is_exit_code_three(desk: Desk) -> None:
    done = desk.run("list", PDS_URL="http://127.0.0.1:9", PDS_TOKEN="pds_x")
    assert done.returncode == 3
    assert "PDS_URL" in done.stderr


@pytest.mark.parametrize("suffix", ["csv", "xlsx", "parquet"])
def test_files_say_that_they_are_simulated(desk: Desk, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"各区.{suffix}"
    for _ in range(2):
        done = desk.run("query", desk.house.workspace, f"FROM {desk.house.table}", "--out", str(out))
        assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"各区.仿真数据-2.{suffix}", f"各区.仿真数据.{suffix}"]


def test_no_file_in_a_format_without_the_mark(desk: Desk, tmp_path: Path) -> None:
    done = desk.run("query", desk.house.workspace, "SELECT 1", "--out", str(tmp_path / "x.txt"))
    assert done.returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_saved_queries_and_plans_in_the_shell(desk: Desk) -> None:
    with desk.street.client("merchant") as client:
        body = {"name": "各区", "sql": f"SELECT 区, count(*) AS n FROM {desk.house.table} GROUP BY ALL ORDER BY 1"}
        assert client.post(f"/workspaces/{desk.house.workspace}/queries", json=body).status_code == 201
    done = desk.run("shell", desk.house.workspace, given=f".saved\n.saved 各区\n.plan FROM {desk.house.table}\n")
    assert done.returncode == 0, done.stderr
    assert "甲方-twin-3,10" in done.stdout
    rows = list(csv.reader(io.StringIO(done.stdout)))
    assert len(rows) > 8


def test_logout_ends_the_token_and_removes_it(desk: Desk, tmp_path: Path) -> None:
    other = Desk(desk.street, desk.house, tmp_path)
    assert other.run("login", "--url", desk.street.url, "--as", "merchant", PDS_PASSWORD=PASSWORD).returncode == 0
    token = json.loads((tmp_path / "config" / "login.json").read_text())["token"]
    assert json.loads(other.run("logout", "--json").stdout) == {"ended": True}
    assert not (tmp_path / "config" / "login.json").exists()
    assert other.run("list", PDS_URL=desk.street.url, PDS_TOKEN=token).returncode == 1


def test_scripts_files_uploads_use_and_runs(desk: Desk, tmp_path: Path) -> None:
    place = desk.house.workspace
    (tmp_path / "a.py").write_text("print('你好')\nopen('out.txt', 'w').write('甲方-文件')\n", encoding="utf-8")
    done = desk.run("script", place, str(tmp_path / "a.py"))
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "你好"), done.stderr
    (tmp_path / "b.py").write_text("print(1)\n1 / 0\n", encoding="utf-8")
    failed = desk.run("script", place, str(tmp_path / "b.py"), "--json")
    assert (failed.returncode, json.loads(failed.stdout)["output"].strip()) == (1, "1")
    listed = json.loads(desk.run("files", place, "--json").stdout)["files"]
    (file,) = [f for f in listed if f["path"].endswith("out.txt")]
    assert desk.run("download", place, file["id"], "--out", str(tmp_path / "out.txt")).returncode == 0
    assert (tmp_path / "out.仿真数据.txt").read_text("utf-8") == "甲方-文件"
    (tmp_path / "own.csv").write_text("区,值\n示范区,1\n", encoding="utf-8")
    words = [x for key in ("source", "basis", "licence", "contact", "period") for x in (f"--{key}", "自有")]
    upload = ("upload", place, str(tmp_path / "own.csv"), "--name", "自带", *words)
    assert desk.run(*upload).returncode == 2  # nothing was declared
    assert desk.run(*upload, "--declare").returncode == 0
    assert json.loads(desk.run("usage", place, "--json").stdout)["today"]["counts"]["script"] == 2
    assert json.loads(desk.run("runs", place, "--json").stdout) == {"runs": []}
    kept = desk.run("saved", place, "--name", "常用", "--sql", "SELECT 1", "--json")
    assert "常用" in desk.run("saved", place).stdout
    query = json.loads(kept.stdout)["id"]
    assert desk.run("saved", place, "--delete", query, "--name", "常用").returncode == 2
    assert json.loads(desk.run("saved", place, "--delete", query, "--json").stdout) == {"deleted": query}
    assert "常用" not in desk.run("saved", place).stdout
    assert desk.run("saved", place, "--delete", query).returncode == 1


@contextlib.contextmanager
def worker(desk: Desk) -> Iterator[None]:
    """The platform's worker, for as long as the block lasts."""
    done, executor = threading.Event(), LocalExecutor(desk.street.world.platform, HANDLERS)

    def work() -> None:
        while not done.wait(0.05):
            executor.drain()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.jail
def test_a_run_on_real_data_is_started_followed_and_shown(desk: Desk, tmp_path: Path) -> None:
    place = desk.house.workspace
    job = tmp_path / "job.yaml"
    job.write_text(json.dumps({
        "job": "各区", "edition": 1, "inputs": {"t": {"grant": desk.house.grant}}, "from": "t", "dimensions": ["区"],
        "measures": {"行": {"op": "count"}}, "output": {"kind": "aggregate", "format": "csv"},
    }, ensure_ascii=False), encoding="utf-8")  # fmt: skip
    with worker(desk):
        done = desk.run("runs", place, "--job", str(job), "--json")
    run = json.loads(done.stdout)
    assert (done.returncode, run["state"]) == (0, "succeeded"), done.stderr + done.stdout
    shown = desk.run("runs", place, "--run", run["id"])
    assert shown.returncode == 0 and run["artefact_id"] in shown.stdout and "<100" in shown.stdout
    assert run["id"] in desk.run("runs", place).stdout
    assert desk.house.mark not in shown.stdout
    assert desk.run("runs", place, "--cancel", run["id"]).returncode == 1, "it has ended"
    assert desk.run("runs", place, "--cancel", run["id"], "--job", str(job)).returncode == 2


def test_a_waiting_run_is_left_and_cancelled_and_a_wrong_job_is_told(desk: Desk, tmp_path: Path) -> None:
    place = desk.house.workspace
    job = tmp_path / "job.yaml"
    job.write_text("job: 无\n", encoding="utf-8")
    assert desk.run("runs", place, "--job", str(job)).returncode == 2
    assert desk.run("runs", place, "--job", str(tmp_path / "none.yaml")).returncode == 2
    spec = {
        "job": "总数", "edition": 1, "inputs": {"t": {"grant": desk.house.grant}}, "from": "t", "dimensions": ["区"],
        "measures": {"全部": {"op": "count"}}, "output": {"kind": "aggregate", "format": "csv"},
    }  # fmt: skip
    with desk.street.client("merchant") as client:
        run = client.post(f"/workspaces/{place}/runs", json={"spec": spec}).json()["id"]
    with Terminal(desk, ("runs", place, "--run", run)) as following:
        following.until("Ctrl-C")
        following.type("\x03")
        following.until(f"--cancel {run}")
    cancelled = desk.run("runs", place, "--cancel", run)
    assert (cancelled.returncode, "已取消" in cancelled.stdout) == (0, True), cancelled.stderr
    assert desk.run("runs", place, "--run", run).returncode == 1
