"""What a jailed process used, measured from outside, against what it is known to have burned."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox.workspaces import cgroup, jail, selftest
from sandbox.workspaces.limits import Limits
from sandbox.workspaces.usage import Meter, ProcessTree, Usage, meter

LIMITS = Limits(
    memory_mb=768, cpu_seconds=60, wall_seconds=60, processes=64, file_mb=64, result_rows=1000, result_mb=16, threads=1
)
# Each burns this many seconds of processor time by the clock of the thread that burns.
BURNED = 0.9
_BURN = """
import os, signal, threading, time

def burn(seconds):
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass

read_end, write_end = os.pipe()  # open for writing as long as anybody lives

def gone():
    os.close(write_end)
    os.read(read_end, 1)

def child(work):
    number = os.fork()
    if number == 0:
        work()
        os._exit(0)
    return number
"""
WAYS = {
    "one thread": "burn(0.9)",
    "threads": "ts = [threading.Thread(target=burn, args=(0.3,)) for _ in range(3)];"
    " [t.start() for t in ts]; [t.join() for t in ts]",
    "children at once": "[os.waitpid(n, 0) for n in [child(lambda: burn(0.3)) for _ in range(3)]]",
    "many short children": "[os.waitpid(child(lambda: burn(0.02)), 0) for _ in range(45)]",
    "children's children": "os.waitpid(child(lambda: os.waitpid(child(lambda: burn(0.9)), 0)), 0)",
    "an orphan": "os.waitpid(child(lambda: child(lambda: burn(0.9))), 0); gone()",
    "children nobody waits for": "[child(lambda: burn(0.1)) for _ in range(9)]; gone()",
    "children of a thread": "t = threading.Thread(target=lambda: os.waitpid(child(lambda: burn(0.9)), 0));"
    " t.start(); t.join()",
}

GROUPED = ("threads", "many short children", "children nobody waits for")


@pytest.fixture(scope="module")
def form() -> str:
    return selftest.selftest().form


@contextmanager
def _script(tmp_path: Path, form: str, source: str) -> Iterator[jail.Jailed]:
    extra = {"source": source, "output_bytes": 1 << 20}
    order = jail.Order("script", tmp_path / "own", LIMITS, "simulated", {}, extra=extra)
    jailed = jail.start(order, form)
    try:
        yield jailed
    finally:
        jailed.kill()


def _watch(jailed: jail.Jailed, account: str) -> Meter:
    """By the control group, or by the tree as on a machine that allows no groups."""
    if account == "tree":
        return Meter(ProcessTree(jailed.process.pid))
    if jailed.group is None or cgroup.PROCESSOR not in jailed.group.controllers:
        pytest.skip("no control groups may be made here")
    return meter(jailed)


def _measured(jailed: jail.Jailed, account: str = "tree") -> tuple[Usage, str, bytes]:
    """Usage at the end of the script, its status and what it printed."""
    watch, printed = _watch(jailed, account), b""
    while True:
        frame = jailed.data.receive(timeout=0.1)
        watch.tick()
        if frame is None:
            continue
        if frame[0].get("is") == "end":
            return watch.read(), str(frame[0].get("status")), printed
        printed += frame[1]


@pytest.mark.jail
@pytest.mark.parametrize(("way", "account"), [*((w, "tree") for w in WAYS), *((w, "group") for w in GROUPED)])
def test_time_burned_inside_is_measured_outside(way: str, account: str, tmp_path: Path, form: str) -> None:
    with _script(tmp_path, form, _BURN + WAYS[way]) as jailed:
        usage, status, printed = _measured(jailed, account)
    assert status == "done", printed
    # the start of the jail and of Python is measured too: below half a second on any machine we know
    assert BURNED - 0.06 <= usage.cpu_seconds <= BURNED + 0.6, usage


@pytest.mark.jail
@pytest.mark.parametrize("call", ["signal.signal(signal.SIGCHLD, signal.SIG_IGN)", "signal.signal(17, print)"])
def test_a_script_cannot_take_its_children_out_of_the_account(call: str, tmp_path: Path, form: str) -> None:
    source = f"import signal\ntry:\n    {call}\nexcept PermissionError:\n    print('refused')"
    with _script(tmp_path, form, source) as jailed:
        _usage, status, printed = _measured(jailed)
    assert (status, printed) == ("done", b"refused\n")


@pytest.mark.jail
@pytest.mark.parametrize("account", ["tree", "group"])
def test_memory_time_is_memory_held_times_how_long(account: str, tmp_path: Path, form: str) -> None:
    """150 MB for most of a second, on top of the tens that Python itself holds."""
    held = "import time; b = bytearray(150 << 20); b[::4096] = b'x' * len(b[::4096]); s = time.monotonic();"
    held += " time.sleep(0.8); print(time.monotonic() - s); del b"
    with _script(tmp_path, form, held) as jailed:
        usage, status, printed = _measured(jailed, account)
    assert status == "done"
    seconds = float(printed)
    assert 150 * seconds * 0.85 <= usage.memory_mb_seconds <= (150 + 80) * (seconds + 1.5)


@pytest.mark.jail
def test_a_stretch_has_what_ran_before_it_but_not_the_memory_of_the_pause(tmp_path: Path, form: str) -> None:
    order = jail.Order("worker", tmp_path / "own", LIMITS, "simulated", {})
    jailed = jail.start(order, form)
    try:
        assert jailed.data.receive(timeout=10)
        watch = meter(jailed)
        before = watch.read()
        jailed.data.send({"query": 1}, b"SELECT sum(hash(range)) FROM range(30000000)")
        while (jailed.data.receive(timeout=10) or ({},))[0].get("is") != "done":
            pass
        time.sleep(0.3)
        watch.start()  # nobody read the meter while that query ran
        charged = watch.read()
        again = watch.read()
    finally:
        jailed.kill()
    assert charged.cpu_seconds > 0.05
    assert charged.memory_mb_seconds < 5, "the pause is not charged"
    assert charged.cpu_seconds <= again.cpu_seconds < charged.cpu_seconds + 0.05
    assert watch.read().cpu_seconds >= again.cpu_seconds, "an ended jail keeps its last figures"
    assert before.cpu_seconds > 0, "its start is part of the first stretch"


def test_usage_adds_up() -> None:
    assert Usage(1.5, 2.0) + Usage(0.25, 4.0) == Usage(1.75, 6.0)
