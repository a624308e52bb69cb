"""What a jailed process has used, measured from outside the jail; nothing inside is asked.

Processor time: the control groups a jail was born into count to the nanosecond. Without them the tree of processes
below the jail's first one is read from /proc: each process's own clock (nanoseconds, ended threads included) plus the
times of the children it has waited for, which the kernel shows in ticks of 10 ms. A process that ended between two
readings is found in the times of the one that waited for it; an orphan is waited for by the namespace's first process.
A child that nobody waits for would be lost: that needs SIGCHLD to be ignored, which the filter refuses. Error of the
tree: below 20 ms for each process that had children (three at rest), always to the platform's cost, and never adding
up, because readings are totals.

Memory-time: private memory (anonymous and shared-anonymous pages; granted files are shared by everybody and are not
counted) at each tick, joined by straight lines. Error: at most the tick times the change of memory within it. In the
tree a page that forked processes still share counts for each, and files in the jail's own /tmp are not seen.
"""

from __future__ import annotations

import contextlib
import os
import time
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sandbox.workspaces import cgroup
from sandbox.workspaces.limits import MEGABYTE

if TYPE_CHECKING:
    from sandbox.workspaces.jail import Jailed

TICK_SECONDS = 0.1
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Usage:
    """Processor time in seconds over all threads and processes, and memory-time in MB (2²⁰ bytes) × seconds."""

    cpu_seconds: float = 0.0
    memory_mb_seconds: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.cpu_seconds + other.cpu_seconds, self.memory_mb_seconds + other.memory_mb_seconds)


class Account(Protocol):
    """Where totals of one jail are read; for one that has ended 0 or what was last known."""

    def cpu_seconds(self) -> float:
        """Processor time of all its processes since the start."""

    def memory_bytes(self) -> int:
        """Private memory now."""


class Meter:
    """Measures stretches of use of one jail. The first begins with the meter, later ones with `start`.

    One thread at a time. Keep calling `tick` while it runs: that is what memory-time is sampled by, and it does nothing
    before TICK_SECONDS have passed.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._charged = 0.0  # processor time of earlier stretches: a jail is new when its meter begins
        self._cpu = 0.0
        self._area = 0.0
        self._sampled = time.monotonic()
        self._memory = account.memory_bytes()

    @property
    def held_mb(self) -> int:
        """Private memory at the last sample, whole megabytes, upwards."""
        return -(-self._memory // MEGABYTE)

    def start(self) -> None:
        """Begin a stretch. Processor time used since the last one belongs to this one: nothing runs for nothing."""
        self._charged = self._cpu
        self._area = 0.0
        self._sampled = time.monotonic()
        self._memory = self._account.memory_bytes()

    def tick(self) -> None:
        """Take a sample if one is due."""
        if time.monotonic() - self._sampled >= TICK_SECONDS:
            self._sample()

    def read(self) -> Usage:
        """What this stretch has used until now. Never falls within a stretch."""
        self._sample()
        return Usage(self._cpu - self._charged, self._area)

    def _sample(self) -> None:
        # a total that is smaller than before is one that missed a process between two places
        self._cpu = max(self._cpu, self._account.cpu_seconds())
        memory, now = self._account.memory_bytes(), time.monotonic()
        self._area += (self._memory + memory) / 2 / MEGABYTE * (now - self._sampled)
        self._memory, self._sampled = memory, now


def meter(jailed: Jailed) -> Meter:
    """A meter of this jail, to be made as soon as the jail is up and before it is told what to do."""
    group = jailed.group
    if group is not None and {cgroup.MEMORY, cgroup.PROCESSOR} <= set(group.controllers):
        return Meter(group)
    return Meter(ProcessTree(jailed.process.pid))


class ProcessTree:
    """The processes below `root` (bwrap's outer one, or the jailed process itself), read from /proc."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._known: list[_Process] = []
        self._walked = 0.0
        self._walk()

    def cpu_seconds(self) -> float:
        if time.monotonic() - self._walked >= TICK_SECONDS or not self._all_there():
            self._walk()
        return sum(process.cpu_ns for process in self._known) / _NANO

    def memory_bytes(self) -> int:
        return sum(process.memory_bytes() for process in self._known)

    def _all_there(self) -> bool:
        return all([process.read() for process in self._known])  # noqa: C419 — each has to be read

    def _walk(self) -> None:
        """Find every process, parents before children: one that moves while we look is missed, never counted twice.

        Repeated when one vanished meanwhile, since its time has just moved to a process that was read before.
        """
        for _attempt in range(3):
            found, complete = self._descend({process.pid: process for process in self._known})
            if complete:
                break
        if found:  # an ended and forgotten jail keeps its last figures
            for process in set(self._known) - set(found):
                process.close()
            self._known = found
        self._walked = time.monotonic()

    def _descend(self, known: dict[int, _Process]) -> tuple[list[_Process], bool]:
        found: list[_Process] = []
        waiting, seen, complete = [self._root], {self._root}, True
        while waiting:
            pid = waiting.pop(0)
            process = known.get(pid)
            if process is None or not process.read():
                process = _Process.open(pid)
            if process is None:
                complete = False
                continue
            found.append(process)
            children = [child for child in process.children() if child not in seen]
            seen.update(children)
            waiting += children
        return found, complete


class _Process:
    """One process by descriptors that stay with it, so that a reused number is never taken for it."""

    def __init__(self, pid: int, stat: int, statm: int) -> None:
        self.pid, self._stat, self._statm = pid, stat, statm
        # the kernel's number of another process's clock (clock_getcpuclockid: all threads, by the scheduler)
        self._clock = (~pid << 3) | 2
        self.cpu_ns = 0
        self._finalizer = weakref.finalize(self, _close, stat, statm)

    @staticmethod
    def open(pid: int) -> _Process | None:
        """None when it has ended and was waited for."""
        try:
            stat = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
        except OSError:
            return None
        try:
            process = _Process(pid, stat, os.open(f"/proc/{pid}/statm", os.O_RDONLY))
        except OSError:
            os.close(stat)
            return None
        return process if process.read() else None

    def read(self) -> bool:
        """Take its time and that of the children it waited for; False when it is gone (its parent has it then)."""
        try:
            own = time.clock_gettime_ns(self._clock)
            # read after the clock: while this descriptor answers, the number was still this process's
            fields = os.pread(self._stat, 4096, 0).rpartition(b")")[2].split()
        except OSError:
            return False
        # proc(5): cutime and cstime are fields 16 and 17, the text after the name begins with field 3
        waited = (int(fields[13]) + int(fields[14])) * _NANO // _TICKS_A_SECOND
        self.cpu_ns = max(self.cpu_ns, own + waited)
        return True

    def memory_bytes(self) -> int:
        """Resident pages that no file backs; 0 when it is gone."""
        try:
            fields = os.pread(self._statm, 4096, 0).split()
        except OSError:
            return 0
        return max(0, int(fields[1]) - int(fields[2])) * _PAGE

    def children(self) -> list[int]:
        """Their numbers; the kernel lists them by the thread that started them."""
        found: list[int] = []
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{self.pid}/task").iterdir():
                with contextlib.suppress(OSError):
                    found += [int(number) for number in (thread / "children").read_bytes().split()]
        return found

    def close(self) -> None:
        self._finalizer()


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
