"""Workers under load, bombs and lies: every end has a name and nobody else notices."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from policies.text import UserError
from sandbox.workspaces import script, selftest
from sandbox.workspaces.broker import Broker, Mode, QueryFailed, QueryResult, WorkspaceBusy, WorkspaceMount
from sandbox.workspaces.limits import Limits
from sandbox.workspaces.protocol import Channel, encode

LIMITS = Limits(
    memory_mb=768, cpu_seconds=60, wall_seconds=30, processes=64, file_mb=512, result_rows=1_000_000, result_mb=256,
    threads=1,
)  # fmt: skip
ENDLESS = "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE (a.range * b.range) % 7 = 3"


@pytest.fixture(scope="module")
def tested() -> selftest.SelfTest:
    return selftest.selftest()


@pytest.fixture
def broker(tested: selftest.SelfTest) -> Iterator[Broker]:
    broker = Broker(tested, LIMITS, capacity_mb=4 * LIMITS.memory_mb, running=8)
    yield broker
    broker.close()


@pytest.fixture
def mount(tmp_path: Path) -> WorkspaceMount:
    table = tmp_path / "visits.parquet"
    duckdb.sql("SELECT range AS id, '张' || range AS 姓名 FROM range(1000)").write_parquet(str(table))
    return WorkspaceMount("w1", Mode.SIMULATED, tmp_path / "w1", {"就诊": table}, quota_mb=512)


def ok(outcome: QueryResult | QueryFailed) -> QueryResult:
    assert isinstance(outcome, QueryResult), outcome
    return outcome


def _until(holds: Callable[[], bool]) -> None:
    """Wait for what another thread does; the test's own timeout ends it if it never comes."""
    while not holds():
        time.sleep(0.01)


def failed(outcome: QueryResult | QueryFailed) -> QueryFailed:
    assert isinstance(outcome, QueryFailed), outcome
    return outcome


def test_several_statements_give_the_last_ones_rows_and_all_tables(broker: Broker, mount: WorkspaceMount) -> None:
    result = ok(
        broker.query(mount, "CREATE TABLE a AS FROM 就诊; INSERT INTO a FROM 就诊; SELECT count(*) AS n FROM a")
    )
    assert result.rows.to_pydict() == {"n": [2000]}
    assert result.columns == (("n", "int64"),)
    assert set(result.tables) == {"a", "就诊"}


def test_types_that_travel(broker: Broker, mount: WorkspaceMount) -> None:
    sql = "SELECT 'a'::ENUM('a', 'b') e, [1, 2] l, {'x': 1} s, now() t, 1.5::DECIMAL(10, 2) d, NULL n, '值' z, true b"
    row = ok(broker.query(mount, sql)).rows.to_pylist()[0]
    assert (row["e"], row["l"], row["s"], row["z"]) == ("a", [1, 2], {"x": 1}, "值")


def test_parameters_are_bound_to_the_last_statement(broker: Broker, mount: WorkspaceMount) -> None:
    listed = broker.query(
        mount, "CREATE TABLE p AS SELECT 1 AS n; SELECT n + $1::INT AS a, $2 AS b FROM p", parameters=[4, "张'--"]
    )
    assert ok(listed).rows.to_pydict() == {"a": [5], "b": ["张'--"]}
    named = broker.query(mount, "SELECT $x AS x, $y AS y, $z AS z", parameters={"x": None, "y": 1.5, "z": True})
    assert ok(named).rows.to_pydict() == {"x": [None], "y": [1.5], "z": [True]}
    written = broker.query(mount, "INSERT INTO p VALUES (?)", parameters=[9])
    assert ok(written).course.done[-1].rows == 1
    assert failed(broker.query(mount, "SELECT $a", parameters={"b": 1})).kind == "failed"


@pytest.mark.parametrize("parameters", [[[1]], {"a": {"b": 1}}, [b"x"], ["x" * (1 << 20)], [{1, 2}]])
def test_parameters_that_are_no_scalars_or_too_big_are_refused(
    broker: Broker, mount: WorkspaceMount, parameters: Any
) -> None:
    with pytest.raises(UserError) as caught:
        broker.query(mount, "SELECT 1", parameters=parameters)
    assert caught.value.code == "query.parameters"


def test_a_sink_gets_the_rows_as_they_come_and_the_result_only_counts_them(
    broker: Broker, mount: WorkspaceMount
) -> None:
    parts: list[Any] = []
    result = ok(broker.query(mount, "SELECT range AS n FROM range(300000)", sink=parts.append))
    assert isinstance(parts[0], pa.Schema)
    assert len(parts) > 3
    assert pa.Table.from_batches(parts[1:], parts[0])["n"].to_pylist() == list(range(300_000))
    assert (result.row_count, result.rows.num_rows, result.rows.schema) == (300_000, 0, parts[0])


def test_a_sink_that_breaks_ends_its_query_and_not_the_worker(broker: Broker, mount: WorkspaceMount) -> None:
    def breaks(part: Any) -> None:
        if isinstance(part, pa.RecordBatch):
            raise ConnectionResetError("the reader left")

    ok(broker.query(mount, "SELECT 1"))
    (worker,) = broker._workers.values()
    with pytest.raises(ConnectionResetError):
        broker.query(mount, "SELECT a.range AS n FROM range(1000000) a, range(1000000) b", sink=breaks)
    assert ok(broker.query(mount, "SELECT 3 AS n")).rows.to_pydict() == {"n": [3]}
    assert list(broker._workers.values()) == [worker]


def test_an_error_in_the_middle_of_a_stream_is_named_and_the_worker_lives(
    broker: Broker, mount: WorkspaceMount
) -> None:
    ok(broker.query(mount, "SELECT 1"))
    (worker,) = broker._workers.values()
    sql = "SELECT CASE WHEN range = 900000 THEN CAST('x' || range AS INT) ELSE 1 END FROM range(1000000)"
    assert failed(broker.query(mount, sql)).kind == "bad_value"
    assert list(broker._workers.values()) == [worker]


def test_use_is_measured_and_grows_with_the_work(broker: Broker, mount: WorkspaceMount) -> None:
    small = ok(broker.query(mount, "SELECT 1")).usage
    ok(broker.query(mount, "SELECT 1"))
    big = ok(
        broker.query(mount, "SELECT count(*) FROM range(30000) a, range(10000) b WHERE (a.range * b.range) % 7 = 3")
    ).usage
    assert big.cpu_seconds > 0
    assert big.memory_mb_seconds > 0
    assert small.cpu_seconds >= 0


@pytest.mark.parametrize(
    ("sql", "kind", "place"),
    [
        ("SELEC 1", "syntax", (1, 1)),
        ("SELECT 1;\nSELECT 姓名, 王\n FROM 就诊", "binding", (2, 12)),
        ("SELECT *\nFROM 没有", "refused", (2, 6)),
        ("SELECT CAST(姓名 AS INT) FROM 就诊", "bad_value", (1, 8)),
        ("COPY 就诊 TO '/workspace/x.csv'", "refused", (1, 1)),
    ],
)
def test_errors_on_simulated_data_say_everything(
    broker: Broker, mount: WorkspaceMount, sql: str, kind: str, place: tuple[int | None, int | None]
) -> None:
    outcome = failed(broker.query(mount, sql))
    assert (outcome.kind, (outcome.line, outcome.column)) == (kind, place)
    assert outcome.text.zh and outcome.text.en
    assert (outcome.engine_text is None) == (kind == "refused")


@pytest.mark.jail
@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("SELECT CAST(姓名 AS INT) FROM 就诊", "bad_value"),
        ("SELECT strptime(姓名, '%Y') FROM 就诊", "failed"),
        ("SELECT 姓名::ENUM('x') FROM 就诊", "bad_value"),
        ("SELECT date_trunc(姓名, now()) FROM 就诊", "bad_value"),
        ("SELECT nope FROM 就诊", "failed"),
        ("SELECT error(姓名) FROM 就诊", "refused"),
    ],
)
def test_errors_on_real_data_say_only_their_class(broker: Broker, mount: WorkspaceMount, sql: str, kind: str) -> None:
    outcome = failed(broker.query(replace(mount, mode=Mode.REAL), sql))
    assert outcome.kind == kind
    assert (outcome.engine_text, outcome.line, outcome.column) == (None, None, None)
    assert "张" not in repr(outcome)


@pytest.mark.parametrize(
    "bomb",
    ["SELECT len(range(1000000000))", "SELECT len(repeat('x', 4000000000))",
     "SELECT len(list_transform(range(200000000), lambda x: x + 1))",
     "SELECT len(list(range)) FROM range(200000000)"],
)  # fmt: skip
def test_a_memory_bomb_is_named_and_the_worker_lives(broker: Broker, mount: WorkspaceMount, bomb: str) -> None:
    ok(broker.query(mount, "SELECT 1"))
    (worker,) = broker._workers.values()
    assert failed(broker.query(mount, bomb)).kind == "memory_limit"
    assert ok(broker.query(mount, "SELECT 42 AS n")).rows.to_pydict() == {"n": [42]}
    assert list(broker._workers.values()) == [worker]


def test_a_result_stops_at_the_row_cap_and_says_so(broker: Broker, mount: WorkspaceMount) -> None:
    result = ok(broker.query(mount, "SELECT range AS n FROM range(1500000)"))
    assert (result.row_count, result.rows.num_rows, result.truncated) == (1_000_000, 1_000_000, True)
    exact = ok(broker.query(mount, "SELECT range AS n FROM range(1000000)"))
    assert (exact.row_count, exact.truncated) == (1_000_000, False)


def test_a_result_stops_at_the_byte_cap(tested: selftest.SelfTest, mount: WorkspaceMount) -> None:
    broker = Broker(tested, replace(LIMITS, result_mb=4), capacity_mb=4000)
    try:
        result = ok(broker.query(mount, "SELECT repeat('x', 1000) AS t FROM range(100000)"))
        assert result.truncated
        assert 0 < result.rows.nbytes < 5 << 20
    finally:
        broker.close()


def test_a_cancelled_query_stops_while_a_neighbour_keeps_answering(broker: Broker, mount: WorkspaceMount) -> None:
    neighbour = replace(mount, workspace_id="w2", folder=mount.folder.parent / "w2")
    ok(broker.query(neighbour, "SELECT 1"))
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(broker.query, mount, ENDLESS, cancel=stop)
        time.sleep(1)
        for _ in range(5):
            ok(broker.query(neighbour, "SELECT sum(id) FROM 就诊"))
        assert not running.done()
        stop.set()
        outcome = failed(running.result())
    assert outcome.kind == "cancelled", "not time_limit: the stop was heard long before the wall"
    assert ok(broker.query(mount, "SELECT 1")).row_count == 1


def test_one_workspace_asks_one_question_at_a_time(broker: Broker, mount: WorkspaceMount) -> None:
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(broker.query, mount, ENDLESS)
        time.sleep(1.5)
        with pytest.raises(WorkspaceBusy):
            broker.query(mount, "SELECT 1")
        assert broker.cancel("w1", Mode.SIMULATED)
        assert failed(running.result(timeout=10)).kind == "cancelled"
    assert not broker.cancel("w1", Mode.SIMULATED)


def test_the_time_limit_ends_what_does_not_listen(tested: selftest.SelfTest, mount: WorkspaceMount) -> None:
    broker = Broker(tested, replace(LIMITS, wall_seconds=1), capacity_mb=4000)
    try:
        assert failed(broker.query(mount, ENDLESS)).kind == "time_limit"
        ok(broker.query(mount, "SELECT 1"))
    finally:
        broker.close()


def test_a_stopped_worker_is_killed_after_the_grace(broker: Broker, mount: WorkspaceMount) -> None:
    """SIGSTOP stands for code inside the engine that never looks at the interrupt."""
    ok(broker.query(mount, "CREATE TABLE kept AS SELECT 1 AS n"))
    (worker,) = broker._workers.values()
    stop = threading.Event()
    for pid in _tree(worker.jailed.process.pid):
        os.kill(pid, signal.SIGSTOP)
    threading.Timer(0.3, stop.set).start()
    outcome = failed(broker.query(mount, "SELECT 1", cancel=stop))
    assert outcome.kind == "cancelled"
    assert ok(broker.query(mount, "SELECT * FROM kept")).row_count == 1


def test_progress_is_reported(broker: Broker, mount: WorkspaceMount) -> None:
    heard: list[int] = []
    stop = threading.Event()
    threading.Timer(3, stop.set).start()
    sql = "SELECT count(*) FROM range(3000000) a, range(3000) b WHERE (a.range * b.range) % 7 = 3"
    broker.query(mount, sql, progress=heard.append, cancel=stop)
    assert heard
    assert all(0 <= p <= 100 for p in heard)


def test_a_killed_workspace_reopens_with_its_tables(broker: Broker, mount: WorkspaceMount) -> None:
    ok(broker.query(mount, "CREATE TABLE kept AS SELECT 7 AS n"))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(broker.query, mount, ENDLESS)
        time.sleep(1)
        (worker,) = broker._workers.values()
        worker.jailed.process.kill()
        assert failed(running.result(timeout=10)).kind == "worker_died"
    assert ok(broker.query(mount, "SELECT n FROM kept")).rows.to_pydict() == {"n": [7]}


def test_stopping_a_workspace_ends_its_running_query(broker: Broker, mount: WorkspaceMount) -> None:
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(broker.query, mount, ENDLESS)
        time.sleep(1.5)
        assert broker.stop("w1") == 1
        assert failed(running.result(timeout=10)).kind == "cancelled"
    assert broker.status() == []


def test_changed_grants_mean_a_new_process(broker: Broker, mount: WorkspaceMount) -> None:
    ok(broker.query(mount, "FROM 就诊"))
    assert failed(broker.query(replace(mount, tables={}), "FROM 就诊")).kind == "refused"


@pytest.mark.jail
def test_what_was_made_from_real_data_is_not_beside_simulated_data(broker: Broker, mount: WorkspaceMount) -> None:
    ok(broker.query(mount, "CREATE TABLE simulated_only AS SELECT 1"))
    real = replace(mount, mode=Mode.REAL)
    assert failed(broker.query(real, "FROM simulated_only")).kind == "refused"
    assert real.own != mount.own
    assert failed(broker.query(real, "CREATE TABLE t AS FROM 就诊")).kind == "refused"


def test_the_machine_is_not_promised_twice(tested: selftest.SelfTest, mount: WorkspaceMount) -> None:
    broker = Broker(tested, LIMITS, capacity_mb=LIMITS.memory_mb, running=4)
    other = replace(mount, workspace_id="w2", folder=mount.folder.parent / "w2")
    places: list[int] = []
    try:
        ok(broker.query(mount, "SELECT 1"))
        ok(broker.query(other, "SELECT 1"))
        assert [w["workspace"] for w in broker.status()] == ["w2"], "the idle one made room"
        with ThreadPoolExecutor(2) as pool:
            running = pool.submit(broker.query, other, ENDLESS)
            _until(lambda: broker.load()["running"] == 1)
            waits = pool.submit(broker.query, mount, "SELECT 7 AS n", waiting=places.append)
            _until(lambda: places == [1])
            assert not waits.done()
            assert broker.cancel("w2", Mode.SIMULATED)
            assert failed(running.result(timeout=10)).kind == "cancelled"
            assert ok(waits.result(timeout=30)).rows.to_pydict() == {"n": [7]}
    finally:
        broker.close()


def test_who_waits_can_be_cancelled(tested: selftest.SelfTest, mount: WorkspaceMount) -> None:
    broker = Broker(tested, LIMITS, capacity_mb=4000, running=1)
    other = replace(mount, workspace_id="w2", folder=mount.folder.parent / "w2")
    places: list[int] = []
    try:
        with ThreadPoolExecutor(2) as pool:
            running = pool.submit(broker.query, other, ENDLESS)
            _until(lambda: broker.load()["running"] == 1)
            waits = pool.submit(broker.query, mount, "SELECT 1", waiting=places.append)
            _until(lambda: places == [1])
            assert broker.cancel("w1", Mode.SIMULATED)
            assert failed(waits.result(timeout=5)).kind == "cancelled"
            assert not running.done(), "only the one who waited was cancelled"
            assert [w["workspace"] for w in broker.status() if w["workspace"] == "w1"] == [], "it never started"
            broker.stop("w2")
            assert failed(running.result(timeout=10)).kind == "cancelled"
    finally:
        broker.close()


def test_idle_workers_end(tested: selftest.SelfTest, mount: WorkspaceMount) -> None:
    broker = Broker(tested, LIMITS, capacity_mb=4000, idle_seconds=0.0)
    try:
        ok(broker.query(mount, "SELECT 1"))
        time.sleep(0.01)
        assert broker.stop_idle() == 1
        assert broker.status() == []
    finally:
        broker.close()


def test_a_full_workspace_is_told_so_and_can_be_reset(broker: Broker, mount: WorkspaceMount) -> None:
    small = replace(mount, quota_mb=1)
    ok(broker.query(mount, "CREATE TABLE big AS SELECT range, md5(range::VARCHAR) AS h FROM range(200000)"))
    broker.stop("w1")
    assert failed(broker.query(small, "SELECT 1")).kind == "disk_full"
    broker.reset(small)
    ok(broker.query(small, "SELECT 1"))


@pytest.mark.parametrize("tier", [selftest.MEDIUM, selftest.WEAK])
def test_real_data_needs_the_strong_tier_or_a_decision(
    tested: selftest.SelfTest, mount: WorkspaceMount, tier: str
) -> None:
    lesser = replace(tested, tier=tier)
    real = replace(mount, mode=Mode.REAL)
    refusing = Broker(lesser, LIMITS, capacity_mb=4000)
    with pytest.raises(UserError) as caught:
        refusing.query(real, "SELECT 1")
    assert caught.value.code == "workspace.tier"
    accepting = Broker(lesser, LIMITS, capacity_mb=4000, accepted=frozenset({selftest.STRONG, tier}))
    ok(accepting.query(real, "SELECT 1"))
    accepting.close()


LIES: dict[str, list[Any]] = {
    "cut off": [b"\x00\x00\x00\x10{"],
    "no trailer": [({"is": "begin"}, pa.schema([("n", pa.int64())]).serialize().to_pybytes()),
                   ({"is": "batch"}, encode(pa.record_batch({"n": [1]})))],
    "wrong count": [({"is": "begin"}, pa.schema([("n", pa.int64())]).serialize().to_pybytes()),
                    ({"is": "done", "rows": 5, "truncated": False, "query": 1}, b"")],
    "another query": [({"is": "done", "rows": 0, "truncated": False, "query": 99}, b"")],
    "huge header": [b"\xff\xff\xff\xff"],
    "not arrow": [({"is": "begin"}, b"\x80\x04\x95pickle")],
    "error without content": [({"is": "failed", "query": 1, "error": 7}, b"")],
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_worker_is_discarded_with_its_result(broker: Broker, mount: WorkspaceMount, lie: str) -> None:
    ok(broker.query(mount, "SELECT 1"))
    (worker,) = broker._workers.values()
    ours, theirs = socket.socketpair()
    honest = worker.jailed.data  # stays open: a worker that sees its end goes by itself, and a fresh one would answer
    worker.jailed.data, liar = Channel(ours), Channel(theirs)
    worker.asked = 0
    for frame in LIES[lie]:
        if isinstance(frame, bytes):
            theirs.sendall(frame)
        else:
            liar.send(*frame)
    theirs.shutdown(socket.SHUT_WR)
    outcome = failed(broker.query(mount, "SELECT 1"))
    assert outcome.kind in ("protocol", "worker_died")
    theirs.close()
    honest.close()
    assert ok(broker.query(mount, "SELECT 5 AS n")).rows.to_pydict() == {"n": [5]}, "a fresh worker answers"


def test_eight_workspaces_start_together_and_all_answer(tested: selftest.SelfTest, mount: WorkspaceMount) -> None:
    broker = Broker(tested, LIMITS, capacity_mb=8 * LIMITS.memory_mb, running=8)
    mounts = [replace(mount, workspace_id=f"w{n}", folder=mount.folder.parent / f"many{n}") for n in range(8)]
    try:
        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(lambda m: broker.query(m, "SELECT sum(id) AS s FROM 就诊"), mounts))
        assert [ok(r).rows.to_pydict() for r in results] == [{"s": [499500]}] * 8
    finally:
        broker.close()


@pytest.mark.jail
@pytest.mark.parametrize(
    ("source", "kind", "printed"),
    [
        ("import polars as pl; print(pl.read_parquet(tables['就诊']).height)", "done", "1000"),
        ("print('before'); 1 / 0", "failed", "ZeroDivisionError"),
        ("x = bytearray(3 << 30)", "memory_limit", ""),
        ("import os; print('x', flush=True); os.abort()", "worker_died", ""),
        ("import socket; socket.socket()", "failed", "PermissionError"),
        ("import subprocess; subprocess.run(['/usr/bin/id'])", "failed", "PermissionError"),
        ("open('/etc/passwd')", "failed", "FileNotFoundError"),
        ("while True: pass", "time_limit", ""),
    ],
)
def test_a_script_on_simulated_data(
    tested: selftest.SelfTest, mount: WorkspaceMount, source: str, kind: str, printed: str
) -> None:
    outcome = script.execute(mount, source, replace(LIMITS, wall_seconds=8), tested)
    assert outcome.kind == kind
    assert printed in outcome.output + (outcome.error.kind if outcome.error else "")


def test_what_a_script_prints_is_capped(tested: selftest.SelfTest, mount: WorkspaceMount) -> None:
    outcome = script.execute(mount, "print('x' * 3_000_000)", LIMITS, tested)
    assert outcome.truncated, "also where the pieces fill the cap exactly"
    assert len(outcome.output) == script.OUTPUT_CAP


def test_scripts_never_see_real_data_nor_weak_walls(tested: selftest.SelfTest, mount: WorkspaceMount) -> None:
    for refused_mount, result in ((replace(mount, mode=Mode.REAL), tested), (mount, replace(tested, tier="weak"))):
        with pytest.raises(UserError):
            script.execute(refused_mount, "print(1)", LIMITS, result)


def _tree(pid: int) -> list[int]:
    children = [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [pid, *(d for child in children for d in _tree(child))]
