"""Control groups: the outer wall round a jail's whole process tree, wherever this machine lets us make one.

RLIMIT_DATA bounds one process and only its private memory, RLIMIT_NPROC does not bind UID 0; a group bounds memory of
every kind and all processes together, and counts them from outside. Groups lie directly below the platform's own group
(version 1: one for each controller; version 2: a delegated subtree), so the host's limits on the platform keep holding.
Where none can be made the jail does without: the start-up self-test says so and scripts may not fork.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
import weakref
from collections.abc import Mapping
from functools import cache
from itertools import count
from pathlib import Path

from sandbox.workspaces.limits import MEGABYTE, Limits

MEMORY, PROCESSES, PROCESSOR = "memory", "pids", "cpuacct"
_PREFIX, _PLATFORM = "pds-jail-", "pds-platform"
# bwrap itself and its process 1
_LAUNCHERS = 2
_REMOVAL_SECONDS = 2.0
_STAT_BYTES = 1 << 16  # more than the longest file
_numbers = count()


class Group:
    """The groups of one jail. `folders` controller → folder; version 2 has the same folder for all."""

    def __init__(self, folders: Mapping[str, Path], *, unified: bool) -> None:
        self._folders, self._unified = dict(folders), unified
        self._open: dict[Path, int] = {}
        weakref.finalize(self, _close, self._open)

    @property
    def controllers(self) -> tuple[str, ...]:
        """What is in force, of MEMORY, PROCESSES, PROCESSOR."""
        return tuple(sorted(self._folders))

    @property
    def entrances(self) -> list[str]:
        """Files into which a process writes 0 to enter; all its children are born inside."""
        return sorted({str(folder / "cgroup.procs") for folder in self._folders.values()})

    def limit(self, limits: Limits) -> None:
        """Bound the tree: private memory plus the sized /tmp, no swap beyond it, and the number of tasks."""
        room = (limits.memory_mb + limits.file_mb) * MEGABYTE
        memory = self._folders.get(MEMORY)
        if memory is not None and self._unified:
            _write(memory / "memory.max", room)
            with contextlib.suppress(FileNotFoundError):  # no swap on this machine
                _write(memory / "memory.swap.max", 0)
            _write(memory / "memory.oom.group", 1)
        elif memory is not None:
            _write(memory / "memory.limit_in_bytes", room)
            with contextlib.suppress(FileNotFoundError):
                _write(memory / "memory.memsw.limit_in_bytes", room)
        if PROCESSES in self._folders:
            _write(self._folders[PROCESSES] / "pids.max", limits.processes + _LAUNCHERS)

    def processes(self) -> list[int]:
        """Numbers of all processes inside, as the platform sees them."""
        return sorted({number for folder in self._folders.values() for number in _inside(folder)})

    def oom_kills(self) -> int:
        """How many processes of the tree the kernel killed for memory."""
        return self._number(MEMORY, "memory.events" if self._unified else "memory.oom_control", "oom_kill")

    def cpu_seconds(self) -> float:
        """Processor time of the whole tree so far, ended processes included."""
        if self._unified:
            return self._number(PROCESSOR, "cpu.stat", "usage_usec") / 1e6
        return self._number(PROCESSOR, "cpuacct.usage") / 1e9

    def memory_bytes(self) -> int:
        """What the tree holds now: private and shared memory with /tmp; cached files are not counted."""
        names = ("anon", "shmem") if self._unified else ("total_rss", "total_shmem")
        return self._number(MEMORY, "memory.stat", *names)

    def _number(self, controller: str, file: str, *lines: str) -> int:
        """A group's file that is one number, or the sum of its `lines`; 0 for what is missing (after the end, too)."""
        try:
            text = self._read(self._folders[controller] / file)
        except (KeyError, OSError):
            return 0
        if not lines:
            return int(text)
        starts = (f"\n{text}".partition(f"\n{name} ")[2] for name in lines)
        return sum(int(start.partition("\n")[0] or 0) for start in starts)

    def _read(self, file: Path) -> str:
        """By a descriptor that stays with this group's file, which is read at each query and many times while one runs.

        It is closed only with this object: a number given to another file meanwhile would be read for this one.
        """
        if file not in self._open:
            self._open[file] = os.open(file, os.O_RDONLY)
        return os.pread(self._open[file], _STAT_BYTES, 0).decode()

    def remove(self) -> None:
        """End what is still inside and take the group away; what the kernel keeps longer the next start removes."""
        until = time.monotonic() + _REMOVAL_SECONDS
        for folder in set(self._folders.values()):
            while not _removed(folder) and time.monotonic() < until:
                time.sleep(0.002)


def _close(descriptors: dict[Path, int]) -> None:
    for descriptor in descriptors.values():
        os.close(descriptor)


def make(limits: Limits) -> Group | None:
    """A new, limited, empty group; None where this machine allows none."""
    parents, unified = _parents()
    name = f"{_mark(os.getpid())}-{next(_numbers)}"
    made: dict[str, Path] = {}
    for controller, parent in parents.items():
        with contextlib.suppress(OSError):
            (parent / name).mkdir(exist_ok=True)
            made[controller] = parent / name
    if not made:
        return None
    group = Group(made, unified=unified)
    try:
        group.limit(limits)
    except OSError:
        group.remove()
        return None
    return group


@cache
def _parents() -> tuple[dict[str, Path], bool]:
    """Where this process may make groups: (controller → folder, version 2?). Removes leftovers of ended platforms."""
    own = dict(_own_paths(Path("/proc/self/cgroup").read_text()))
    mounts = _mounts(Path("/proc/self/mountinfo").read_text())
    found: dict[str, Path] = {}
    for controller in (MEMORY, PROCESSES, PROCESSOR):
        folder = _folder(mounts.get(controller), own.get(controller))
        if folder is not None:
            found[controller] = folder
    unified = MEMORY not in found and PROCESSES not in found
    if unified:
        folder = _folder(mounts.get(""), own.get(""))
        found = {} if folder is None else _delegated(folder)
    for folder in set(found.values()):
        _sweep(folder)
    return found, unified


def _own_paths(text: str) -> list[tuple[str, str]]:
    """/proc/self/cgroup: (controller, path); the controller of version 2 is ""."""
    lines = [line.split(":", 2) for line in text.splitlines()]
    return [(name, path) for _number, names, path in lines for name in names.split(",")]


def _mounts(text: str) -> dict[str, tuple[str, str]]:
    """/proc/self/mountinfo: controller → (root shown there, mount point)."""
    found: dict[str, tuple[str, str]] = {}
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        root, point = before.split(" ")[3:5]
        kind, _source, options = after.split(" ", 2)
        names = options.split(",") if kind == "cgroup" else [""] if kind == "cgroup2" else []
        for name in names:
            found.setdefault(name, (root, point))
    return found


def _folder(mount: tuple[str, str] | None, own: str | None) -> Path | None:
    """The own group's folder if it can be seen and groups can be made in it."""
    if mount is None or own is None:
        return None
    root, point = mount
    inside = os.path.relpath(own, root)
    if inside.startswith(".."):
        return None
    folder = Path(os.path.normpath(Path(point, inside)))
    return folder if folder.is_dir() and os.access(folder, os.W_OK) else None


def _delegated(folder: Path) -> dict[str, Path]:
    """Version 2: what can be limited below `folder`, the own group or, once moved, the one above it.

    A group that has processes of its own gives no controller to those below it. Where the subtree is ours (delegated
    by the service manager, or the root of our own namespace) the processes move to a group beside the jails.
    """
    folder = folder.parent if folder.name == _PLATFORM else folder
    missing = {MEMORY, PROCESSES} - _words(folder / "cgroup.subtree_control")
    missing &= _words(folder / "cgroup.controllers")
    if missing and not _enable(folder, missing) and _is_ours(folder):
        _move_aside(folder)
        _enable(folder, missing)
    enabled = {MEMORY, PROCESSES} & _words(folder / "cgroup.subtree_control")
    return dict.fromkeys([*sorted(enabled), PROCESSOR], folder)  # processor time is counted without a controller


def _enable(folder: Path, controllers: set[str]) -> bool:
    try:
        _write(folder / "cgroup.subtree_control", " ".join(f"+{name}" for name in sorted(controllers)))
    except OSError:
        return False
    return True


def _is_ours(folder: Path) -> bool:
    for attribute in ("user.delegate", "trusted.delegate"):  # set by systemd with Delegate=yes
        with contextlib.suppress(OSError):
            if os.getxattr(folder, attribute) == b"1":
                return True
    # the root a container sees is no true root: only a true one lacks this file
    return Path("/proc/self/cgroup").read_text().endswith("::/\n") and (folder / "cgroup.type").exists()


def _move_aside(folder: Path) -> None:
    with contextlib.suppress(OSError):
        aside = folder / _PLATFORM
        aside.mkdir(exist_ok=True)
        for number in _inside(folder):
            with contextlib.suppress(ProcessLookupError):
                _write(aside / "cgroup.procs", number)


def _sweep(folder: Path) -> None:
    """Groups of platforms that ended without tidying up. A name tells whose it is; the living keep theirs."""
    for left in folder.glob(f"{_PREFIX}*"):
        owner, _, _number = left.name.rpartition("-")
        pid = int(owner.split("-")[3])
        if owner.startswith(_mark(os.getpid()).rsplit("-", 2)[0]) and owner != _mark(pid):
            Group({"": left}, unified=False).remove()


def _mark(pid: int) -> str:
    """Names a process for good: the process table it is in, its number, and when it started."""
    table = Path("/proc/self/ns/pid").stat().st_ino
    try:
        started = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except OSError:
        started = "ended"
    return f"{_PREFIX}{table}-{pid}-{started}"


def _removed(folder: Path) -> bool:
    for number in _inside(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _inside(folder: Path) -> list[int]:
    """Processes in a group; those of another process table show as 0 and are left out."""
    try:
        return [number for number in map(int, (folder / "cgroup.procs").read_text().split()) if number > 1]
    except OSError:
        return []


def _words(file: Path) -> set[str]:
    try:
        return set(file.read_text().split())
    except OSError:
        return set()


def _write(file: Path, value: object) -> None:
    file.write_text(str(value))
