"""The hostile script of `tests/attacks/hostile.py` in every form of jail this machine offers, attempt by attempt."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox.workspaces import jail, selftest, system
from sandbox.workspaces.inside import LANDLOCK, LIMITS_ONLY, OWN_UID, USER_NAMESPACE
from sandbox.workspaces.limits import Limits
from sandbox.workspaces.protocol import ChannelClosed
from sandbox.workspaces.spares import Spares
from tests.attacks import hostile

LIMITS = Limits(
    memory_mb=768, cpu_seconds=60, wall_seconds=60, processes=40, file_mb=64, result_rows=1000, result_mb=16, threads=1
)
SOURCE = Path(hostile.__file__).read_text(encoding="utf-8")
WARM = "spare"  # the form with an own UID, made from a process that was there before the workspace was known
FORMS = (OWN_UID, WARM, USER_NAMESPACE, LANDLOCK, LIMITS_ONLY)
LAST = "call_by_the_32_bit_gate"


@dataclass(frozen=True)
class Found:
    """What the script reported in one form, and how it ended."""

    outcomes: dict[str, dict[str, Any]]
    death: str
    filtered: bool
    signalled: bool


_found: dict[str, Found] = {}


def attacked(form: str) -> Found:
    """One jail a form, shared by all attempts."""
    if (OWN_UID if form == WARM else form) not in jail.forms():
        pytest.skip(f"{form} is not offered here")
    if form not in _found:
        _found[form] = _attack(form)
    return _found[form]


def _attack(what: str) -> Found:
    form = OWN_UID if what == WARM else what
    name, signalled = f"datagrams-{os.getpid()}", threading.Event()
    before = signal.signal(signal.SIGURG, lambda *_: signalled.set())
    with (
        selftest._bait() as (folder, grant, extra), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as by_path,
    ):  # fmt: skip
        datagrams.bind("\0" + name)
        by_path.bind(str(folder.parent / "door"))
        (folder.parent / "door").chmod(0o666)
        mounted = form in (OWN_UID, USER_NAMESPACE)
        bait = {
            **extra, "form": form, "datagrams": name,
            "datagram_path": str(folder.parent / "door"), "platform_group": os.getpgid(0),
            "package": str(system.PACKAGE),
            "grant": f"{jail.GRANTED}/0.parquet" if mounted else str(grant), "root": os.geteuid() == 0,
        }  # fmt: skip
        source = f"{SOURCE}\nBAIT.update({bait!r})\nmain({form!r})\n"
        order = jail.Order(
            "script", folder, LIMITS, "simulated", {"t": grant}, extra={"source": source, "output_bytes": 1 << 20}
        )
        jailed = _warm(order) if what == WARM else jail.start(order, form)
        try:
            printed, death = _listen(jailed), jailed.death()
        finally:
            jailed.kill()
            signal.signal(signal.SIGURG, before)
    lines = [json.loads(line) for line in printed.decode().splitlines() if line.startswith('{"name"')]
    return Found({line["name"]: line for line in lines}, death, bool(jailed.notes["seccomp"]), signalled.is_set())


def _warm(order: jail.Order) -> jail.Jailed:
    spares = Spares(OWN_UID, LIMITS, 1, task="script")
    spares.fill()
    waiting = spares.pids()
    jailed = spares.start(order, OWN_UID)
    assert [jailed.process.pid] == waiting, spares.unavailable
    spares.close()
    return jailed


def _listen(jailed: jail.Jailed) -> bytes:
    printed, until = b"", time.monotonic() + 60
    while time.monotonic() < until:
        try:
            frame = jailed.data.receive(timeout=1)
        except ChannelClosed:
            break
        if frame is not None and frame[0].get("is") == "out":
            printed += frame[1]
        elif frame is not None and frame[0].get("is") == "end":
            break
    return printed


def expected(form: str, name: str) -> str:
    """The table's word for this form. Without the filter of the kernel, weak promises nothing."""
    weak = hostile.ATTEMPTS[name][1]
    return weak if form == LIMITS_ONLY else hostile.STOPPED


@pytest.mark.jail
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", hostile.ATTEMPTS)
def test_attempt(form: str, name: str) -> None:
    found, wanted = attacked(form), expected(form, name)
    if wanted == hostile.NOT_TRIED:
        assert name not in found.outcomes
        return
    outcome = found.outcomes[name]
    if name == LAST and outcome["stopped"] is None:
        assert found.death == "crashed"  # the kernel ended it on the spot (SIGSYS)
        return
    if form == LIMITS_ONLY and not found.filtered:
        return
    assert outcome["stopped"] is (wanted == hostile.STOPPED), outcome


@pytest.mark.jail
@pytest.mark.parametrize("form", FORMS)
def test_a_signal_to_everybody_reaches_nobody_outside(form: str) -> None:
    assert not attacked(form).signalled


def test_the_table_is_long_enough_and_ends_with_the_one_that_may_end_the_process() -> None:
    assert len(hostile.ATTEMPTS) >= 110
    assert list(hostile.ATTEMPTS)[-1] == LAST
