"""A worker that lies, floods, stalls or dies, in a real jail on the real channels; and Arrow that is not what it says.

The liar is a few lines of Python put in place of the jailed program: what a merchant who had taken over the engine
could send. Whatever it does is a named failure of that one query; the neighbour answers and nothing is left behind.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.workspaces import conversation, jail, script, selftest
from sandbox.workspaces.broker import Broker, Mode, QueryFailed, QueryResult, WorkspaceMount
from sandbox.workspaces.limits import Limits
from sandbox.workspaces.protocol import Collector, ProtocolError, decode, schema_of
from sandbox.workspaces.protocol import encode as encoded

LIMITS = Limits(
    memory_mb=512, cpu_seconds=30, wall_seconds=1, processes=32, file_mb=64, result_rows=1000, result_mb=2, threads=1
)


def encode(batch: pa.RecordBatch) -> bytes:
    return bytes(encoded(batch))


SCHEMA = pa.schema([("n", pa.int64())])
BEGIN, ONE = SCHEMA.serialize().to_pybytes(), encode(pa.record_batch({"n": [1]}))
PRELUDE = f"""
import array, json, os, signal, socket, struct, sys, time
data, control = (socket.socket(fileno=int(n)) for n in sys.argv[1:3])
BEGIN, ONE = {BEGIN!r}, {ONE!r}
def raw(text, payload=b""):
    return struct.pack(">I", len(text)) + text + payload
def frame(header, payload=b""):
    return raw(json.dumps({{**header, "size": len(payload)}} if payload else header).encode(), payload)
def say(header, payload=b""):
    data.sendall(frame(header, payload))
def begin(): say({{"is": "begin"}}, BEGIN)
def batch(): say({{"is": "batch"}}, ONE)
def done(rows=1, **more): say({{"is": "done", "rows": rows, "truncated": False, "query": 1, **more}})
def wait(): time.sleep(60)
data.recv(1 << 20)
say({{"is": "ready"}})
"""
OPEN = 'say({"is": "open"}); data.recv(1 << 20)\n'


def lie(text: str) -> str:
    return PRELUDE + OPEN + text


# what it does once it was asked → the kinds of failure this may become; "ok": the answer is whole
LIES: dict[str, tuple[str, set[str]]] = {
    "more rows counted than sent": ("begin(); batch(); done(2)", {"protocol"}),
    "fewer rows counted than sent": ("begin(); batch(); done(0)", {"protocol"}),
    "negative rows": ("begin(); done(-1)", {"protocol"}),
    "rows that are no number": ("begin(); batch(); done('1')", {"protocol"}),
    "a trailer without its flag": ("begin(); batch(); done(truncated=None)", {"protocol"}),
    "a trailer for another question": ("begin(); batch(); done(query=7)", {"protocol"}),
    "rows without a beginning": ("batch(); done()", {"protocol"}),
    "two beginnings": ("begin(); begin(); batch(); done()", {"protocol"}),
    "a batch of another schema": (
        "say({'is': 'begin'}, BEGIN.replace(b'n', b'm', 1)); batch(); done()", {"protocol", "worker_died"}),
    "two batches in one frame": ("begin(); say({'is': 'batch'}, ONE + ONE); done(2)", {"protocol"}),
    "an empty batch": ("begin(); say({'is': 'batch'}); done()", {"protocol"}),
    "a pickle for a schema": ("say({'is': 'begin'}, b'\\x80\\x04\\x95cos\\nsystem\\n')", {"protocol"}),
    "a frame of no known kind": ("say({'is': 'ready'})", {"protocol"}),
    "a header that is no JSON": ("data.sendall(raw(b'{{'))", {"protocol"}),
    "a header that is a list": ("data.sendall(raw(b'[]'))", {"protocol"}),
    "a header nested without end": ("data.sendall(raw(b'[' * 200000))", {"protocol"}),
    "a header over its cap": ("data.sendall(struct.pack('>I', 1 << 31)); wait()", {"protocol"}),
    "a payload over its cap": ("data.sendall(raw(b'{\"size\": 99999999999}')); wait()", {"protocol"}),
    "a negative payload": ("data.sendall(raw(b'{\"size\": -1}')); wait()", {"protocol"}),
    "an error without content": ("say({'is': 'failed', 'query': 1, 'error': 7})", {"protocol"}),
    "an error of an unknown kind": ("say({'is': 'failed', 'query': 1, 'error': {'kind': '../x'}})", {"failed"}),
    "an error of odd types": (
        "say({'is': 'failed', 'query': 1, 'error': {'kind': [], 'text': {'a': 1}, 'line': '1', 'column': True}})",
        {"failed"}),
    "a refusal with a page of text": (
        "say({'is': 'refused', 'query': 1, 'code': {}, 'subject': '{0.__class__}' * 10000, 'tables': 7})", {"refused"}),
    "table names without end": (
        "say({'is': 'refused', 'query': 1, 'code': 'node', 'subject': 'x', 'tables': ['t' * 99] * 9000})", {"refused"}),
    "silence from the start": ("wait()", {"time_limit"}),
    "silence in the middle of a frame": ("data.sendall(b'\\0\\0'); wait()", {"time_limit"}),
    "silence in the middle of the rows": ("begin(); batch(); wait()", {"time_limit"}),
    "silence before the trailer": ("begin(); batch(); data.sendall(frame({'is': 'done'})[:9]); wait()", {"time_limit"}),
    "a payload that never comes": ("data.sendall(raw(b'{\"is\": \"batch\", \"size\": 1000000}')); wait()",
                                   {"time_limit"}),
    "closing its end": ("data.close(); wait()", {"worker_died"}),
    "closing the control channel": ("control.close(); wait()", {"worker_died", "time_limit"}),
    "leaving in the middle of the rows": ("begin(); batch(); os._exit(0)", {"worker_died"}),
    "killing itself": ("os.kill(os.getpid(), signal.SIGKILL)", {"worker_died"}),
    "leaving with the code of a memory error": ("os._exit(4)", {"memory_limit"}),
    "noise on the control channel": ("control.sendall(b'\\xff' * 100); wait()", {"protocol"}),
    "progress without end": (
        "control.setblocking(False)\nfor _ in range(100000):\n try: control.send(frame({'progress': 5, 'query': 1}))\n"
        " except BlockingIOError: break\nbegin(); batch(); done()", {"ok"}),
    "rows over the cap": (
        "begin()\nfor _ in range(1001): batch()\ndone(1001)", {"protocol"}),
    "empty batches without end": (
        "import base64; EMPTY = base64.b64decode('{empty}')\nbegin()\nwhile True: say({'is': 'batch'}, EMPTY)",
        {"protocol", "time_limit"}),
    "bytes over the cap": (
        "begin()\nfor _ in range(3): say({'is': 'batch'}, bytes(1 << 20))", {"protocol"}),
    "descriptors sent along": (
        "fds = array.array('i', [os.open('/dev/null', 0) for _ in range(100)])\n"
        "data.sendmsg([frame({'is': 'begin'}, BEGIN)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])\nbatch(); done()",
        {"ok"}),
}  # fmt: skip


@pytest.fixture(scope="module")
def tested() -> selftest.SelfTest:
    return selftest.selftest()


@pytest.fixture(scope="module")
def broker(tested: selftest.SelfTest) -> Iterator[Broker]:
    broker = Broker(tested, LIMITS, capacity_mb=8 * LIMITS.memory_mb, running=4)
    yield broker
    broker.close()


@pytest.fixture(scope="module")
def neighbour(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], None]:
    mount = WorkspaceMount("neighbour", Mode.SIMULATED, tmp_path_factory.mktemp("neighbour"), quota_mb=512)
    assert isinstance(broker.query(mount, "CREATE TABLE t AS SELECT 5 AS n"), QueryResult)

    def answers() -> None:
        outcome = broker.query(mount, "FROM t")
        assert isinstance(outcome, QueryResult) and outcome.rows.to_pydict() == {"n": [5]}

    return answers


@pytest.mark.jail
@pytest.mark.parametrize("what", LIES)
def test_a_lying_worker_harms_one_query_and_nobody_else(
    broker: Broker, neighbour: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    text, kinds = LIES[what]
    text = text.replace("{empty}", _empty())
    monkeypatch.setattr(jail, "_BOOT", lie(text + "\nwait()"))
    monkeypatch.setattr(conversation, "GRACE_SECONDS", 0.2)  # a liar does not hear the interrupt
    mount = WorkspaceMount("liar", Mode.SIMULATED, tmp_path / "liar", quota_mb=512)
    before = len(os.listdir("/proc/self/fd"))
    outcome = broker.query(mount, "SELECT 1")
    kind = outcome.kind if isinstance(outcome, QueryFailed) else "ok"
    assert kind in kinds, outcome
    if isinstance(outcome, QueryResult):
        assert outcome.rows.to_pydict() == {"n": [1]}
    else:
        assert len(f"{outcome.text}{outcome.tables}") < 300_000
    broker.stop("liar")
    assert len(os.listdir("/proc/self/fd")) <= before + 1  # nothing came in with the frames
    neighbour()


def _empty() -> str:
    import base64

    return base64.b64encode(encode(pa.record_batch({"n": pa.array([], pa.int64())}))).decode()


@pytest.mark.jail
def test_a_second_answer_is_not_taken_for_the_next_question(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jail, "_BOOT", lie("begin(); batch(); done(); begin(); batch(); done(); wait()"))
    mount = WorkspaceMount("twice", Mode.SIMULATED, tmp_path / "twice", quota_mb=512)
    assert isinstance(broker.query(mount, "SELECT 1"), QueryResult)
    outcome = broker.query(mount, "SELECT 2")
    assert isinstance(outcome, QueryFailed) and outcome.kind == "protocol"


@pytest.mark.jail
def test_on_real_data_a_liar_cannot_make_the_platform_say_its_text(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = "{'kind': 'failed', 'text': 'Zhang San', 'line': 65, 'column': 66, 'class': 'Zhang San'}"
    monkeypatch.setattr(jail, "_BOOT", lie(f"say({{'is': 'failed', 'query': 1, 'error': {error}}}); wait()"))
    outcome = broker.query(WorkspaceMount("real", Mode.REAL, tmp_path / "real", quota_mb=512), "SELECT 1")
    assert isinstance(outcome, QueryFailed)
    assert "Zhang" not in str(outcome) and (outcome.line, outcome.column) == (None, None)
    broker.stop("real")


STAGES = {
    "before it reads anything": "import time; time.sleep(60)",
    "before it is ready": PRELUDE.replace('say({"is": "ready"})', "wait()"),
    "before its database is open": PRELUDE + "wait()",
    "ended before it is ready": "raise SystemExit(3)",
    "a lie instead of ready": PRELUDE.replace('"ready"', '"open"') + "wait()",
    "a lie instead of open": PRELUDE + 'say({"is": "done"}); wait()',
    "ended before its database is open": PRELUDE,
}


@pytest.mark.jail
@pytest.mark.parametrize("when", STAGES)
def test_a_jail_that_stalls_or_lies_at_its_start_is_told_so_and_ended(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setattr(jail, "_BOOT", STAGES[when])
    monkeypatch.setattr(jail, "START_SECONDS", 0.5)
    with pytest.raises(jail.JailFailed):
        broker.query(WorkspaceMount("stage", Mode.SIMULATED, tmp_path / "stage", quota_mb=512), "SELECT 1")
    assert [s for s in broker.status() if s["workspace"] == "stage"] == []


FIND = """
import json, os, socket, stat, struct
fd = next(n for n in map(int, sorted(os.listdir("/proc/self/fd"), key=int)) if n > 2 and os.path.exists(
    f"/proc/self/fd/{n}") and stat.S_ISSOCK(os.fstat(n).st_mode))
data = socket.socket(fileno=os.dup(fd))
def say(header):
    text = json.dumps(header).encode()
    data.sendall(struct.pack(">I", len(text)) + text)
"""
SCRIPTS: dict[str, tuple[str, set[str]]] = {
    "forges its own end": ("say({'is': 'end', 'status': 'done', 'rows': 10**9}); os._exit(0)", {"done"}),
    "forges an end of no known kind": ("say({'is': 'end', 'status': {'x': 1}}); os._exit(0)", {"failed"}),
    "sends a frame of noise": ("data.sendall(b'\\xff' * 9); os._exit(0)", {"protocol"}),
    "sends a giant frame": ("say({'is': 'out', 'size': 1 << 40}); os._exit(0)", {"protocol"}),
    "closes the channel": ("os.close(fd); data.close(); os.closerange(3, 64); import time; time.sleep(9)",
                           {"worker_died", "time_limit"}),
    "floods the channel": ("while True: say({'is': 'out'})", {"time_limit", "protocol"}),
    "prints without end": ("while True: print('x' * 100000)", {"time_limit"}),
    "ends the pump and goes on": ("os.close(1); os.close(2); import time; time.sleep(9)", {"time_limit"}),
}  # fmt: skip


@pytest.mark.jail
@pytest.mark.parametrize("what", SCRIPTS)
def test_a_script_that_speaks_on_the_channel_itself_fools_nobody_else(
    tested: selftest.SelfTest, neighbour: Callable[[], None], tmp_path: Path, what: str
) -> None:
    source, kinds = SCRIPTS[what]
    mount = WorkspaceMount("script", Mode.SIMULATED, tmp_path / "script", quota_mb=512)
    outcome = script.execute(mount, FIND + source, LIMITS, tested)
    assert outcome.kind in kinds, outcome
    assert len(outcome.output) <= script.OUTPUT_CAP
    neighbour()


# --- Arrow that is not what it says -----------------------------------------------------------------------------------

STRINGS = pa.record_batch({"s": pa.array(["a", "bc", None, "def"])})
CODES = pa.record_batch({"d": pa.array(["x", "y", "x", None]).dictionary_encode()})


def _changed(array: pa.Array, old: bytes, new: bytes) -> bytes:
    """The array's frame with some of its bytes replaced: pyarrow itself makes no invalid array."""
    payload = encode(pa.record_batch([array], ["x"]))
    assert old in payload and len(old) == len(new)
    return payload.replace(old, new)


def _unchecked(kind: pa.DataType, length: int, buffers: list[bytes | None]) -> bytes:
    kept = [None if b is None else pa.py_buffer(b) for b in buffers]
    return encode(pa.record_batch([pa.Array.from_buffers(kind, length, kept)], ["x"]))


def _ints(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}i", *values)


POISON: dict[str, Callable[[], bytes]] = {
    "offsets beyond the data": lambda: _changed(pa.array(["a", "bc"]), _ints(0, 1, 3), _ints(0, 1, 10**6)),
    "offsets that fall": lambda: _changed(pa.array(["a", "bc"]), _ints(0, 1, 3), _ints(0, 3, 1)),
    "negative offsets": lambda: _changed(pa.array(["a", "bc"]), _ints(0, 1, 3), _ints(-5, 1, 3)),
    "text that is no UTF-8": lambda: _unchecked(pa.string(), 1, [None, _ints(0, 2), b"\xff\xfe"]),
    "a list beyond its values": lambda: _changed(pa.array([[1, 2], [3]]), _ints(0, 2, 3), _ints(0, 2, 99)),
    "a dictionary index out of range": lambda: encode(pa.record_batch([pa.DictionaryArray.from_arrays(
        pa.array([0, 7], pa.int8()), pa.array(["x"]), safe=False)], ["x"])),
    "a negative dictionary index": lambda: encode(pa.record_batch([pa.DictionaryArray.from_arrays(
        pa.array([-1], pa.int8()), pa.array(["x"]), safe=False)], ["x"])),
    "a number longer than its type": lambda: _unchecked(pa.decimal128(3, 0), 1, [None, struct.pack("<qq", 10**9, 0)]),
    "a date of half a day": lambda: _unchecked(pa.date64(), 1, [None, struct.pack("<q", 1)]),
    "a time of no day": lambda: _unchecked(pa.time32("s"), 1, [None, _ints(90_000)]),
    "compressed by lz4": lambda: _compressed("lz4"),
    "compressed by zstd": lambda: _compressed("zstd"),
    "more rows than allowed without a byte": lambda: _changed(
        pa.nulls(777), struct.pack("<q", 777), struct.pack("<q", 10**12)),
    "fewer bytes than its rows need": lambda: _changed(
        pa.array(range(777)), struct.pack("<q", 777), struct.pack("<q", 900)),
    "negative rows": lambda: _changed(pa.array(range(777)), struct.pack("<q", 777), struct.pack("<q", -777)),
    "cut in the middle": lambda: encode(STRINGS)[:200],
    "cut in its head": lambda: encode(STRINGS)[:11],
    "a length of two gigabytes": lambda: b"\xff\xff\xff\xff\xff\xff\xff\x7f" + encode(STRINGS)[8:],
    "a negative length": lambda: b"\xff\xff\xff\xff\xf0\xff\xff\xff" + encode(STRINGS)[8:],
    "only an end": lambda: b"\xff\xff\xff\xff\0\0\0\0",
    "nothing": lambda: b"",
    "a schema alone": lambda: STRINGS.schema.serialize().to_pybytes(),
    "a second batch behind the first": lambda: _two(),
    "the format of files": lambda: _file(),
}  # fmt: skip


def _compressed(codec: str) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, STRINGS.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
        writer.write_batch(STRINGS)
    return bytes(sink.getvalue())


def _two() -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, STRINGS.schema) as writer:
        writer.write_batch(STRINGS)
        writer.write_batch(STRINGS)
    return bytes(sink.getvalue())


def _file() -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, STRINGS.schema) as writer:
        writer.write_batch(STRINGS)
    return bytes(sink.getvalue())


@pytest.mark.parametrize("what", POISON)
def test_poisoned_arrow_is_refused(what: str) -> None:
    with pytest.raises(ProtocolError):
        decode(POISON[what](), row_cap=1000)


@given(st.sampled_from([STRINGS, CODES]), st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=6))
@settings(max_examples=300, deadline=None)
def test_arrow_with_bytes_changed_anywhere_is_refused_or_valid(
    batch: pa.RecordBatch, changes: list[tuple[int, int]]
) -> None:
    """Never anything between: what is accepted can be read to its last value."""
    payload = bytearray(encode(batch))
    for place, value in changes:
        payload[place % len(payload)] = value
    with contextlib.suppress(ProtocolError):
        found = decode(bytes(payload), row_cap=1000)
        assert found.num_rows <= 1000
        with contextlib.suppress(ValueError, OverflowError):  # a valid value may be none of Python's: year 30000
            found.to_pylist()


@given(st.binary(max_size=400))
@settings(max_examples=100, deadline=None)
def test_noise_is_no_schema(noise: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        schema_of(noise)


def test_a_schema_of_a_hundred_thousand_columns_is_bounded_by_its_frame() -> None:
    """A wide schema is small work; a batch has to equal it."""
    wide = pa.schema([(f"c{n}", pa.int8()) for n in range(100_000)])
    collector = Collector(1000, 1 << 20)
    collector.feed({"is": "begin"}, wide.serialize().to_pybytes())
    with pytest.raises(ProtocolError):
        collector.feed({"is": "batch"}, ONE)
