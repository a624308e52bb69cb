"""Starts one jailed process, in the strongest form the host allows, and says how it died.

Forms, strongest first:
- `bwrap-own-uid` (platform runs as root): bubblewrap without a user namespace; the launcher inside drops to a UID of
  this workspace alone. RLIMIT_NPROC is not enforced for UID 0, also not in a namespace that maps root, so this is the
  form of the three tested cures that needs neither cgroups nor a change of host.
- `bwrap-userns` (platform runs as an ordinary user): bubblewrap with a user namespace, further ones disabled.
- `landlock`: where user namespaces are closed. Landlock + seccomp + limits, own network where allowed. Tier medium.
- `limits-only`: neither. Limits and the locked DuckDB. Tier weak: simulated data only, no scripts.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO, Any

from policies.text import Text, UserError
from sandbox.workspaces import cgroup, landlock, seccomp, system
from sandbox.workspaces.inside import LANDLOCK, LIMITS_ONLY, OWN_UID, USER_NAMESPACE
from sandbox.workspaces.limits import MEGABYTE, Limits
from sandbox.workspaces.protocol import Channel, ChannelClosed, ProtocolError

DATA = "data.parquet"  # the one file of a snapshot's folder that is mounted
HOME, TEMPORARY, OUTPUT, GRANTED = "/workspace", "/tmp", "/output", "/granted"  # noqa: S108 — inside: a private tmpfs
START_SECONDS = 30.0
DATA_BUFFER = 2 << 20  # what may be under way: with the usual 200 KB both sides change places too often
_SO_SNDBUFFORCE = 32  # asm-generic/socket.h
# The environment keeps OpenBLAS and Arrow's allocator from starting threads while they are imported: such a thread
# would be older than the walls, which hold for the thread that raises them and for what it starts (close_walls).
# libc's allocator for Arrow holds some 4 MB less in an idle process than Arrow's own.
_EARLY = {
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
_BOOT = (
    f"import os, sys; os.environ.update({_EARLY!r});"
    "sys.path[:0]=sys.argv[3].split(':'); sys.dont_write_bytecode=True;"
    "from sandbox.workspaces.inside import main; main(int(sys.argv[1]), int(sys.argv[2]))"
)
_ENTER = 'n=$1; shift; while [ $n -gt 0 ]; do echo 0 >"$1" || exit 71; shift; n=$((n-1)); done; exec "$@"'
# Above the ranges of ordinary users, systemd's dynamic users and container maps; the small range is for hosts that
# map only some 65,000 UIDs.
_UIDS, _FEW_UIDS = (0x7000_0000, 0x0FFF_FFF0), (30_000, 20_000)


@dataclass(frozen=True, slots=True)
class Order:
    """What to start. `folder` is the process's own and becomes HOME.

    `tables` name → snapshot (its Parquet file, or the folder holding it), mounted read-only; `output` a second
    writable folder; `extra` goes to the task as it is; `code`: files and folders of the platform's own code that the
    task needs beside this package, such as "sandbox/detection".
    """

    task: str
    folder: Path
    limits: Limits
    mode: str
    tables: Mapping[str, Path] = field(default_factory=dict)
    output: Path | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    code: tuple[str, ...] = ()


class JailFailed(UserError):
    """The jail did not come up. `detail["log"]` is for the operator."""

    status = 503


@dataclass(slots=True)
class Jailed:
    """A running jailed process and the two channels to it.

    `log` has what it said before its walls were up; `group` counts and bounds its whole process tree.
    """

    form: str
    process: subprocess.Popen[bytes]
    data: Channel
    control: Channel
    notes: dict[str, Any]
    started: float
    log: IO[bytes]
    temporary: tempfile.TemporaryDirectory[str] | None = None
    group: cgroup.Group | None = None

    def kill(self) -> None:
        """End it at once. With bwrap this ends the whole process namespace: nothing is left over."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.data.drain(timeout=2)  # until the last process inside has let go of its end: then its files are free
        self.data.close()
        self.control.close()
        self.log.close()
        if self.group is not None:
            self.group.remove()
        if self.temporary is not None:
            self.temporary.cleanup()

    def death(self) -> str:
        """Why it ended, waiting a moment for the status; "running" when it did not end. To be asked before `kill`."""
        try:
            reason = reason_of_death(self.process.wait(timeout=2))
        except subprocess.TimeoutExpired:
            return "running"
        return "memory" if reason == "killed" and self.group is not None and self.group.oom_kills() else reason


def reason_of_death(status: int) -> str:
    """One of "ended", "memory", "time", "file_size", "killed", "crashed", from a wait status or shell-style code.

    SIGKILL is "killed": the platform's own ladder, an operator, or the kernel's memory killer, which the group tells.
    """
    number = -status if status < 0 else status - 128 if status > 128 else 0
    if number == 0:
        return {0: "ended", 4: "memory"}.get(status, "crashed")
    named = {signal.SIGKILL: "killed", signal.SIGTERM: "killed", signal.SIGXCPU: "time", signal.SIGXFSZ: "file_size"}
    return named.get(number, "crashed")  # type: ignore[call-overload]


def forms() -> list[str]:
    """The forms worth trying here, strongest first. Whether one holds is shown by attacks, not by this list."""
    found = []
    if system.bubblewrap() and seccomp.this_machine():
        found += [OWN_UID] if os.geteuid() == 0 else []
        found.append(USER_NAMESPACE)
    if seccomp.this_machine():
        found.append(LANDLOCK)
    return [*found, LIMITS_ONLY]


def start(order: Order, form: str) -> Jailed:
    """Start `order` in `form` and wait until its walls are up. Raises JailFailed."""
    own(order, form)
    return finish(begin(order, form), order)


def own(order: Order, form: str) -> None:
    """Make the order's folders, and give them to the workspace's UID where it has one."""
    order.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if form == OWN_UID:
        uid = _uid_of(order.folder)
        for folder in (order.folder, order.output):
            if folder is not None:
                _own(folder, uid)


def begin(order: Order, form: str, *, bare: bool = False) -> Jailed:
    """Start the process with its namespaces and mounts; inside, it waits for its setting (`finish`).

    `bare`: with nothing of the order's folders, only the places where they are mounted later (spares.py).
    """
    return _STARTER.submit(_begin, order, form, bare).result()


# bwrap dies with the *thread* that started it (PR_SET_PDEATHSIG), so all jails start from one thread that stays.
_STARTER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="jail-starter")


def _begin(order: Order, form: str, bare: bool) -> Jailed:
    ours, theirs = zip(socket.socketpair(), socket.socketpair(), strict=True)
    descriptors = [end.fileno() for end in theirs]
    for end in (ours[0], theirs[0]):
        with contextlib.suppress(PermissionError):  # without privilege the machine's own maximum stays
            end.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, DATA_BUFFER)
    temporary = None
    group = cgroup.make(order.limits)
    log = tempfile.TemporaryFile()  # noqa: SIM115 — closed by finish
    try:
        if form in (OWN_UID, USER_NAMESPACE):
            process = _spawn_bwrap(order, form, bare, descriptors, group, log)
        else:
            temporary = tempfile.TemporaryDirectory(prefix="jail-")
            process = _spawn_plain(descriptors, group, log)
    except BaseException:
        if group is not None:
            group.remove()
        raise
    finally:
        for end in theirs:
            end.close()
    return Jailed(form, process, Channel(ours[0]), Channel(ours[1]), {}, time.monotonic(), log, temporary, group)


def may_fork(form: str, group: cgroup.Group | None) -> bool:
    """May a jailed process start further ones? Each may hold `memory_mb`, so only where all together are bounded."""
    return form in (OWN_UID, USER_NAMESPACE) and group is not None and cgroup.MEMORY in group.controllers


def finish(jailed: Jailed, order: Order) -> Jailed:
    """Tell the process what it is for and wait until its walls are up; nobody else waits. Raises JailFailed."""
    uid = _uid_of(order.folder) if jailed.form == OWN_UID else None
    setting = _setting(order, jailed.form, uid, mounted=jailed.temporary is None)
    if jailed.temporary is not None:
        setting["temporary"] = jailed.temporary.name
    setting["forks"] = may_fork(jailed.form, jailed.group)
    try:
        jailed.data.send(setting, timeout=START_SECONDS)
        first = jailed.data.receive(timeout=START_SECONDS)
        if first is None or first[0].get("is") != "ready":
            raise ChannelClosed("no answer")
        jailed.notes = {k: first[0].get(k) for k in ("seccomp", "landlock")}
    except (ChannelClosed, ProtocolError) as error:
        jailed.log.seek(0)
        said = jailed.log.read(4096).decode(errors="replace").strip()
        jailed.kill()
        raise failed(jailed.form, said[-2000:]) from error
    jailed.log.close()
    return jailed


def failed(form: str, log: str) -> JailFailed:
    """The error for a jail that did not come up or does not hold."""
    return JailFailed(
        "workspace.jail_failed",
        Text("隔离环境未能启动。", "The isolated process did not start."),
        fix=Text("请运营机构查看 pds jail selftest 的结果。", "Ask the operator to look at `pds jail selftest`."),
        form=form,
        log=log,
    )


def _setting(order: Order, form: str, uid: int | None, *, mounted: bool) -> dict[str, Any]:
    """What the launcher inside is told; see inside.Setting."""
    inside = table_places(order) if mounted else {name: snapshot_file(path) for name, path in order.tables.items()}
    output = None if order.output is None else OUTPUT if mounted else str(order.output.resolve())
    return {
        "form": form,
        "task": order.task,
        "home": HOME if mounted else str(order.folder.resolve()),
        "temporary": TEMPORARY,
        "tables": inside,
        "output": output,
        "limits": order.limits.as_dict(),
        "mode": order.mode,
        "uid": uid,
        "readable": [*system.read_only(), str(system.PACKAGE), *(str(system.ROOT / part) for part in order.code)],
        "extra": dict(order.extra),
    }


def table_places(order: Order) -> dict[str, str]:
    """Numbered places: a table's name may hold any character, its file name inside may not."""
    return {name: f"{GRANTED}/{place}.parquet" for place, name in enumerate(sorted(order.tables))}


def snapshot_file(path: Path) -> str:
    return str((path / DATA if path.is_dir() else path).resolve())


def _spawn_bwrap(
    order: Order, form: str, bare: bool, descriptors: list[int], group: cgroup.Group | None, log: IO[bytes]
) -> subprocess.Popen[bytes]:
    machine = seccomp.this_machine()
    assert machine is not None  # forms() offers bwrap only with a filter
    filters = os.memfd_create("filter")
    try:
        os.write(filters, seccomp.program(machine, programs=True))
        os.lseek(filters, 0, os.SEEK_SET)
        paths = [system.INSIDE_ROOT, *system.libraries()]
        command = [*bwrap_arguments(order, form, filters, bare=bare), *_python(descriptors, paths)]
        return _popen(command, [*descriptors, filters], group, log)
    finally:
        os.close(filters)


def _spawn_plain(descriptors: list[int], group: cgroup.Group | None, log: IO[bytes]) -> subprocess.Popen[bytes]:
    command = _python(descriptors, [str(system.ROOT), *system.libraries()])
    return _popen(command, descriptors, group, log)


def _popen(
    command: list[str], descriptors: list[int], group: cgroup.Group | None, log: IO[bytes]
) -> subprocess.Popen[bytes]:
    # The shell enters the group and becomes bwrap: were it put in from here, bwrap might have children outside already.
    entrances = group.entrances if group is not None else []
    return subprocess.Popen(
        ["/bin/sh", "-c", _ENTER, "enter", str(len(entrances)), *entrances, *command], env={}, cwd="/",
        pass_fds=descriptors, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True,
    )  # fmt: skip


def _python(descriptors: list[int], paths: list[str]) -> list[str]:
    data, control = descriptors
    return [system.interpreter(), "-I", "-S", "-c", _BOOT, str(data), str(control), ":".join(paths)]


def bwrap_arguments(order: Order, form: str, filter_fd: int, *, bare: bool = False) -> list[str]:
    """The whole mount view and its namespaces. No /sys: DuckDB aborts when a cgroup file exists but is denied."""
    bwrap = system.bubblewrap()
    assert bwrap is not None
    arguments = [
        bwrap, "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
        "--hostname", "workspace", "--clearenv", "--die-with-parent", "--new-session", "--seccomp", str(filter_fd),
        "--cap-drop", "ALL",
    ]  # fmt: skip
    if form == OWN_UID:
        for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):
            arguments += ["--cap-add", capability]  # for the one step in which the launcher gives up its UID
    else:
        arguments += ["--unshare-user", "--disable-userns"]
    room = str(order.limits.file_mb * MEGABYTE)
    # first of all mounts: an interpreter that lives below /tmp is mounted into it, not hidden under it
    arguments += ["--perms", "1777", "--size", room, "--tmpfs", TEMPORARY]
    code = {str(system.PACKAGE): system.INSIDE_PACKAGE}
    code |= {str(system.ROOT / part): f"{system.INSIDE_ROOT}/{part}" for part in order.code}
    seen = [*system.read_only(), *code.values(), f"{GRANTED}/x", HOME]
    for folder in system.parents(seen):
        arguments += ["--perms", "0755", "--dir", folder]
    for target, name in system.links():
        arguments += ["--symlink", target, name]
    for path in system.read_only():
        arguments += ["--ro-bind", path, path]
    for path, place in code.items():
        arguments += ["--ro-bind", path, place]
    # no /dev/zero: mapped shared it is memory that RLIMIT_DATA does not count
    arguments += ["--perms", "0755", "--tmpfs", "/dev"]
    for device in system.DEVICES:
        arguments += ["--dev-bind", device, device]
    # without Landlock the memory of bwrap's own process could be opened through /proc: then there is no /proc
    arguments += ["--proc" if landlock.abi() else "--tmpfs", "/proc"]
    arguments += ["--perms", "0755", "--dir", HOME] if bare else _folders(order)
    # memory-backed file systems are not counted by RLIMIT_DATA: only the sized /tmp stays writable
    return [*arguments, "--remount-ro", "/", "--remount-ro", "/dev", "--"]


def _folders(order: Order) -> list[str]:
    """The order's own mounts."""
    arguments = ["--bind", str(order.folder.resolve()), HOME]
    for name, place in table_places(order).items():
        arguments += ["--ro-bind", snapshot_file(order.tables[name]), place]
    if order.output is not None:
        arguments += ["--bind", str(order.output.resolve()), OUTPUT]
    return arguments


@cache
def _uid_range() -> tuple[int, int]:
    try:
        maps = [tuple(int(n) for n in line.split()) for line in Path("/proc/self/uid_map").read_text().splitlines()]
    except OSError:
        return _UIDS
    last = _UIDS[0] + _UIDS[1]
    return _UIDS if any(inside <= _UIDS[0] and last <= inside + count for inside, _out, count in maps) else _FEW_UIDS


def _uid_of(folder: Path) -> int:
    """The workspace's own UID, from its folder's path: the same at every start."""
    first, count = _uid_range()
    return first + int.from_bytes(hashlib.sha256(str(folder.resolve()).encode()).digest()[:8], "big") % count


def _own(folder: Path, uid: int) -> None:
    """Give the folder and what is in it to `uid`, never following a link."""
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(root, name), uid, uid, follow_symlinks=False)
    os.chown(folder, uid, uid, follow_symlinks=False)
    folder.chmod(0o700)


def python_version() -> str:
    """Shown with the tier: which interpreter the jails run."""
    return f"{system.interpreter()} {sys.version_info.major}.{sys.version_info.minor}"
