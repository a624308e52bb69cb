"""Every way in which a worker may fail or lie is noticed and has a name.

The liar is a real process at the other end of real sockets, standing in for a worker that was taken over: the honest
one cannot be made to lie.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sandbox.workspaces import disk, jail
from sandbox.workspaces.conversation import Conversation, Mode, QueryFailed, QueryResult, Question, Worker
from sandbox.workspaces.limits import Limits
from sandbox.workspaces.protocol import HEADER_CAP, PAYLOAD_CAP, Channel, encode
from sandbox.workspaces.usage import Meter, ProcessTree

LIMITS = Limits(
    memory_mb=256, cpu_seconds=5, wall_seconds=1, processes=8, file_mb=16, result_rows=100, result_mb=1, threads=1
)
SCHEMA = pa.schema([("n", pa.int64())])
BEGIN = ({"is": "begin"}, SCHEMA.serialize().to_pybytes())
ONE = ({"is": "batch"}, encode(pa.record_batch({"n": [1]})))


def done(rows: Any = 0, **more: Any) -> tuple[dict[str, Any], bytes]:
    return {"is": "done", "rows": rows, "truncated": False, "query": 1, "tables": [], **more}, b""


class Forked(subprocess.Popen[bytes]):
    """A forked child behind Popen's interface: `lie(data, control)` runs in it."""

    def __init__(self, lie: Callable[[Channel, Channel], None], sockets: list[tuple[socket.socket, socket.socket]]):
        self.returncode = None  # type: ignore[assignment]
        self._waitpid_lock = threading.Lock()
        self.args, self.stdin, self.stdout, self.stderr = "liar", None, None, None
        self._child_created, self._sigint_wait_secs = True, 0.0
        self.pid = os.fork()
        if self.pid == 0:
            with contextlib.suppress(BaseException):
                for ours, _theirs in sockets:
                    ours.close()
                data, control = (Channel(theirs) for _ours, theirs in sockets)
                data.receive(timeout=10)
                lie(data, control)
            os._exit(0)


def ask(lie: Callable[[Channel, Channel], None], place: Path, **limits: int) -> tuple[Any, bool, float]:
    """The outcome of one question to the liar, whether it may live on, and how long it took."""
    sockets = [socket.socketpair(), socket.socketpair()]
    process = Forked(lie, sockets)
    for _ours, theirs in sockets:
        theirs.close()
    data, control = (Channel(ours) for ours, _theirs in sockets)
    log = tempfile.TemporaryFile()  # noqa: SIM115 — closed by kill
    jailed = jail.Jailed("liar", process, data, control, {}, time.monotonic(), log)
    own = Limits(**{**LIMITS.as_dict(), **limits})
    worker = Worker(Mode.SIMULATED, {}, own, jailed, Meter(ProcessTree(process.pid)), 0.0)
    began = time.monotonic()
    try:
        outcome, alive = Conversation(worker, Question("SELECT 1"), disk.Bound([place], 100, jailed)).run()
        return outcome, alive, time.monotonic() - began
    finally:
        jailed.kill()


def sends(*frames: Any) -> Callable[[Channel, Channel], None]:
    """A liar that sends these frames (or raw bytes) and then waits to be believed."""

    def lie(data: Channel, control: Channel) -> None:
        for frame in frames:
            data.socket.sendall(frame) if isinstance(frame, bytes) else data.send(*frame)
        time.sleep(30)

    return lie


def ends(how: Callable[[], object], *frames: Any) -> Callable[[Channel, Channel], None]:
    """A liar that sends these frames and then ends."""

    def lie(data: Channel, control: Channel) -> None:
        for frame in frames:
            data.socket.sendall(frame) if isinstance(frame, bytes) else data.send(*frame)
        how()

    return lie


def batch(table: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    return {"is": "batch"}, encode(pa.record_batch(table))


def stream(batches: list[pa.RecordBatch], **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for one in batches:
            writer.write_batch(one)
    return sink.getvalue().to_pybytes()


def not_utf8() -> bytes:
    whole = bytes(encode(pa.record_batch({"t": ["abcdefgh"]})))
    return whole.replace(b"abcdefgh", b"abc\xff\xfe\xfdgh")


def framed(header: bytes, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(header)) + header + payload


MANY = pa.record_batch({"n": list(range(101))})
TEXTS = pa.schema([("t", pa.string())])

LIES = {
    "count too high": sends(BEGIN, ONE, done(2)),
    "count too low": sends(BEGIN, ONE, done(0)),
    "count is true": sends(BEGIN, ONE, done(True)),
    "count is a fraction": sends(BEGIN, ONE, done(1.0)),
    "count is text": sends(BEGIN, ONE, done("1")),
    "no count": sends(BEGIN, ({"is": "done", "truncated": False, "query": 1}, b"")),
    "truncated is no truth value": sends(BEGIN, ONE, done(1, truncated="no")),
    "another question": sends(BEGIN, ONE, done(1, query=2)),
    "no question": sends(BEGIN, ONE, done(1, query=None)),
    "an error to another question": sends(({"is": "failed", "query": 7, "error": {"kind": "failed"}}, b"")),
    "an error without content": sends(({"is": "failed", "query": 1, "error": 7}, b"")),
    "a refusal of another question": sends(({"is": "refused", "query": 3, "code": "node", "subject": "x"}, b"")),
    "rows without a beginning": sends(ONE, done(1)),
    "two beginnings": sends(BEGIN, BEGIN, done(0)),
    "a trailer with rows and no beginning": sends(done(3)),
    "an unknown frame": sends(({"is": "more"}, b"")),
    "a frame without a kind": sends(({}, b"")),
    "no JSON": sends(framed(b"{'is'}")),
    "JSON that is no object": sends(framed(b"[1]")),
    "JSON nested without end": sends(framed(b"[" * 200_000 + b"]" * 200_000)),
    "a header over the cap": sends(struct.pack(">I", HEADER_CAP + 1)),
    "a payload over the cap": sends(framed(json.dumps({"is": "batch", "size": PAYLOAD_CAP + 1}).encode())),
    "a payload below nothing": sends(framed(b'{"is":"batch","size":-1}')),
    "a payload of a true size": sends(framed(b'{"is":"batch","size":true}')),
    "more rows than allowed in one": sends(BEGIN, ({"is": "batch"}, encode(MANY)), done(101)),
    "more rows than allowed in all": sends(BEGIN, *[batch({"n": list(range(60))})] * 2, done(120)),
    "more bytes than allowed": sends(
        ({"is": "begin"}, TEXTS.serialize().to_pybytes()), batch({"t": ["x" * 700_000]}), batch({"t": ["x" * 700_000]})
    ),
    "no Arrow": sends(BEGIN, ({"is": "batch"}, b"\x80\x04\x95pickle"), done(1)),
    "no schema": sends(({"is": "begin"}, b"\x80\x04\x95pickle"), done(0)),
    "compressed Arrow": sends(
        BEGIN, ({"is": "batch"}, stream([pa.record_batch({"n": [1] * 50})], compression="zstd")), done(50)
    ),
    "two batches in one frame": sends(BEGIN, ({"is": "batch"}, stream([pa.record_batch({"n": [1]})] * 2)), done(2)),
    "Arrow cut short": sends(BEGIN, ({"is": "batch"}, bytes(ONE[1])[:-40]), done(1)),
    "text that is no text": sends(
        ({"is": "begin"}, TEXTS.serialize().to_pybytes()), ({"is": "batch"}, not_utf8()), done(1)
    ),
    "another schema": sends(BEGIN, batch({"m": [1]}), done(1)),
    "another type": sends(BEGIN, batch({"n": ["1"]}), done(1)),
    "an empty batch frame": sends(BEGIN, ({"is": "batch"}, b""), done(0)),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_discarded_with_everything_that_came_before_it(lie: str, tmp_path: Path) -> None:
    outcome, alive, took = ask(LIES[lie], tmp_path, wall_seconds=20)
    assert isinstance(outcome, QueryFailed)
    assert (outcome.kind, alive) == ("protocol", False)
    assert outcome.engine_text is None
    assert took < 10, "a lie is noticed when it is told, not when the time is up"


def dies_of(number: int) -> Callable[[], None]:
    def die() -> None:
        signal.signal(number, signal.SIG_DFL)  # Python ignores SIGXFSZ, pytest reports SIGSEGV
        os.kill(os.getpid(), number)

    return die


DEATHS = {
    "before a word": (ends(lambda: os._exit(0)), "worker_died"),
    "after the beginning": (ends(lambda: os._exit(0), BEGIN), "worker_died"),
    "after rows": (ends(lambda: os._exit(0), BEGIN, ONE), "worker_died"),
    "in the middle of a header": (ends(lambda: os._exit(0), b"\x00\x00\x00\x10{"), "worker_died"),
    "in the middle of a payload": (ends(lambda: os._exit(0), BEGIN, framed(b'{"is":"batch","size":999}', b"x")),
                                   "worker_died"),
    "out of memory": (ends(lambda: os._exit(4), BEGIN, ONE), "memory_limit"),
    "killed": (ends(lambda: os.kill(os.getpid(), signal.SIGKILL), BEGIN), "worker_died"),
    "crashed": (ends(dies_of(signal.SIGSEGV)), "worker_died"),
    "out of processor time": (ends(dies_of(signal.SIGXCPU)), "time_limit"),
    "a file too big": (ends(dies_of(signal.SIGXFSZ)), "file_size"),
}  # fmt: skip


@pytest.mark.parametrize("phase", DEATHS)
def test_a_death_in_any_phase_has_its_name(phase: str, tmp_path: Path) -> None:
    lie, kind = DEATHS[phase]
    outcome, alive, _took = ask(lie, tmp_path, wall_seconds=20)
    assert isinstance(outcome, QueryFailed)
    assert (outcome.kind, alive) == (kind, False)


def _drips(data: Channel, control: Channel) -> None:
    while True:  # always a sign of life, never a frame
        data.socket.sendall(b"\x00")
        time.sleep(0.05)


def _boasts(data: Channel, control: Channel) -> None:
    while True:
        with contextlib.suppress(BlockingIOError):
            control.socket.send(framed(b'{"progress":50,"query":1}'), socket.MSG_DONTWAIT)
        time.sleep(0.001)


STALLS = {"silence": sends(), "silence after rows": sends(BEGIN, ONE), "progress alone": _boasts}


@pytest.mark.parametrize("stall", STALLS)
def test_who_never_comes_to_an_end_is_stopped_by_the_clock(stall: str, tmp_path: Path) -> None:
    outcome, alive, _took = ask(STALLS[stall], tmp_path)
    assert isinstance(outcome, QueryFailed)
    assert (outcome.kind, alive) == ("time_limit", False)


def test_bytes_that_never_become_a_frame_end_as_no_frame(tmp_path: Path) -> None:
    outcome, alive, _took = ask(_drips, tmp_path)
    assert isinstance(outcome, QueryFailed)
    assert outcome.kind in ("protocol", "time_limit")
    assert not alive


def test_what_a_worker_says_about_itself_is_cut_to_size(tmp_path: Path) -> None:
    said = {"kind": "no such kind", "text": "x" * 500_000, "line": "7", "column": True}
    outcome, alive, _took = ask(sends(({"is": "failed", "query": 1, "error": said}, b"")), tmp_path, wall_seconds=20)
    assert isinstance(outcome, QueryFailed)
    assert (outcome.kind, outcome.line, outcome.column, alive) == ("failed", None, None, True)
    assert len(outcome.engine_text or "") == 4000
    names = ["t" * 250] * 2000
    result, _alive, _took = ask(sends(BEGIN, ONE, done(1, tables=names)), tmp_path, wall_seconds=20)
    assert isinstance(result, QueryResult)
    assert (len(result.tables), {len(name) for name in result.tables}) == (1000, {200})


def test_descriptors_sent_along_are_dropped(tmp_path: Path) -> None:
    def lie(data: Channel, control: Channel) -> None:
        handle = os.open("/dev/null", os.O_RDONLY)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [handle] * 50))]
        for header, payload in (BEGIN, ONE, done(1)):
            data.socket.sendmsg([framed(json.dumps({**header, "size": len(payload)}).encode(), bytes(payload))], rights)
        time.sleep(30)

    before = len(os.listdir("/proc/self/fd"))
    result, alive, _took = ask(lie, tmp_path, wall_seconds=20)
    assert isinstance(result, QueryResult)
    assert (result.rows.to_pydict(), alive) == ({"n": [1]}, True)
    assert len(os.listdir("/proc/self/fd")) == before
