"""The first code that runs inside the jail: finish the walls from within, then do the one task.

Started by `jail.py` as `python -I -S -c BOOT`. Everything here is the platform's own code and runs before any input of
a merchant is read. Standard library, DuckDB and Arrow only.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import socket
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.workspaces import landlock, seccomp
from sandbox.workspaces.limits import Limits, apply
from sandbox.workspaces.protocol import Channel

OWN_UID, USER_NAMESPACE, LANDLOCK, LIMITS_ONLY = "bwrap-own-uid", "bwrap-userns", "landlock", "limits-only"
TASKS = {
    **{task: f"sandbox.workspaces.{module}" for task, module in (
        ("worker", "worker"), ("run", "runner"), ("attacks", "attacks"), ("script", "script_inside"),
        ("import", "import_inside"), ("transform", "transform"),
    )},
    "proof": "sandbox.products.proving_inside",
    "reading": "sandbox.exports.reading.inside",
}  # fmt: skip
"""The module of each task; one of another package is mounted by the order's `code`."""

_CLONE_NEWNET, _CLONE_NEWIPC, _CLONE_NEWUTS = 0x40000000, 0x08000000, 0x04000000
_PR_CAPBSET_DROP, _PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 24, 1, 4


@dataclass(frozen=True, slots=True)
class Setting:
    """What the platform tells the jailed process. All paths are as seen from inside.

    `forks`: may it start further processes? Only where their number and memory are bounded together.
    """

    form: str
    task: str
    home: str
    temporary: str
    tables: dict[str, str]
    output: str | None
    limits: Limits
    mode: str
    uid: int | None
    forks: bool
    readable: list[str]
    extra: dict[str, Any]

    @staticmethod
    def of(header: dict[str, Any]) -> Setting:
        limits = Limits(**header["limits"])
        return Setting(**{k: v for k, v in header.items() if k not in ("limits", "size")}, limits=limits)


def main(data_fd: int, control_fd: int) -> None:
    """Read the setting, raise the walls, report ready, run the task. Leaves by os._exit: nothing runs after."""
    os.closerange(max(data_fd, control_fd) + 1, 4096)
    data = Channel(socket.socket(fileno=data_fd))
    control = Channel(socket.socket(fileno=control_fd))
    first = data.receive(timeout=30)
    if first is not None and "prepare" in first[0]:  # a spare: ready for a task, of no workspace yet (spares.py)
        importlib.import_module(TASKS[first[0]["prepare"]])
        data.send({"is": "prepared"})
        first = data.receive()
    if first is None:
        os._exit(3)
    setting = Setting.of(first[0])
    task = importlib.import_module(TASKS[setting.task])
    notes = close_walls(setting)
    _silence()
    data.send({"is": "ready", **notes})
    try:
        task.run(setting, data, control)
    except MemoryError:
        gc.collect()
        os._exit(4)
    os._exit(0)


def close_walls(setting: Setting) -> dict[str, Any]:
    """Privileges, limits, filter, folders: in this order, each needing what the next takes away."""
    _alone()
    os.umask(0o077)
    if setting.form == OWN_UID:
        _drop_to(setting.uid)
    elif setting.form == LANDLOCK:
        _own_network()
        _drop_capabilities()
    elif setting.form == LIMITS_ONLY:
        _drop_capabilities()
    seccomp.no_new_privileges()
    if setting.form in (LANDLOCK, LIMITS_ONLY):
        _die_with_parent()
    os.environ.clear()
    os.environ.update({"HOME": setting.home, "TMPDIR": setting.temporary, "LANG": "C.UTF-8", "PATH": "/usr/bin"})
    os.chdir(setting.home)
    apply(setting.limits, hard_cpu=setting.task != "worker")
    return {"landlock": _folders(setting), "seccomp": _filter(setting)}


def _alone() -> None:
    """Filter and Landlock bind the calling thread and its offspring: a thread that is there already would go free."""
    threads = Path("/proc/self/task")
    if threads.is_dir() and len(list(threads.iterdir())) != 1:
        raise OSError("a thread was started before the walls")


def _folders(setting: Setting) -> int:
    """Landlock; the ABI in force, 0 for none. Inside bwrap it is a second wall over the whole mount view: it keeps
    this process from the memory of bwrap's own process 1, which runs under the same UID and without our filter."""
    if setting.form == LIMITS_ONLY or (setting.form != LANDLOCK and landlock.abi() == 0):
        return 0
    everything = [*setting.readable, *setting.tables.values(), *_own_proc()]
    return landlock.restrict(
        read=everything if setting.form == LANDLOCK else ["/"],
        write=[p for p in (setting.home, setting.temporary, setting.output, "/dev/null") if p],
    )


def _filter(setting: Setting) -> bool:
    machine = seccomp.this_machine()
    try:
        if machine is None:
            raise OSError("no filter for this processor")
        seccomp.install(seccomp.program(machine, programs=False, forks=setting.forks))
    except OSError:
        if setting.form != LIMITS_ONLY:
            raise
        return False
    return True


def _drop_to(uid: int | None) -> None:
    if uid is None or uid == 0:
        raise OSError("no UID to drop to")
    _drop_bounding_set()
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    _clear_capabilities()


def _drop_capabilities() -> None:
    """Root without any capability is an ordinary user that owns root's files; for others nothing changes."""
    if os.geteuid() == 0:
        _drop_bounding_set()
    _clear_capabilities()


def _drop_bounding_set() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(64):
        if libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            break  # past the last capability this kernel knows


def _clear_capabilities() -> None:
    """Permitted, effective and inheritable sets to nothing (capset, version 3)."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("=Ii", 0x20080522, 0)
    if libc.capset(header, struct.pack("=6I", 0, 0, 0, 0, 0, 0)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"capset: {os.strerror(code)}")


def _own_network() -> None:
    """An empty network where we are allowed one; without it the filter alone refuses sockets."""
    ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET | _CLONE_NEWIPC | _CLONE_NEWUTS)


def _die_with_parent() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _own_proc() -> list[str]:
    """What DuckDB reads about the machine. With /sys/fs/cgroup present but denied, DuckDB 2.0.0 aborts."""
    return ["/proc/meminfo", "/proc/cpuinfo", f"/proc/{os.getpid()}", "/sys/fs/cgroup", "/dev/urandom"]


def _silence() -> None:
    """Nothing a task prints leaves the jail; until here standard error carried set-up failures to the platform."""
    sys.stdout.flush()
    sys.stderr.flush()
    nowhere = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
