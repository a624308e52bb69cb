"""Jailed processes that are warm and belong to nobody, so that a workspace opens at once.

A spare has its namespaces, the read-only system and an empty /tmp; it has imported DuckDB and Arrow and waits for its
setting, having read nothing of anybody. Taking it gives it what a cold start gets from bwrap: the workspace's folder
and tables as bind mounts at the same places with the same flags, put into its mount namespace from outside. Then the
very code of a cold start runs inside (inside.close_walls): own UID, no capability, limits, Landlock, filter. The
self-test's attacks run on such a process as on a cold one.

Only the form with an own UID has spares: mounting into another namespace needs the platform to be root. Elsewhere, and
whenever anything goes wrong here, the start is a cold one.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import threading
from collections.abc import Callable
from pathlib import Path

from sandbox.workspaces import jail
from sandbox.workspaces.inside import OWN_UID
from sandbox.workspaces.limits import Limits
from sandbox.workspaces.protocol import ChannelClosed, ProtocolError

# the same numbers on every architecture (asm-generic since Linux 5.0); flags of linux/mount.h, fcntl.h, sched.h
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_OPEN_TREE_CLONE, _MOVE_MOUNT_F_EMPTY_PATH, _AT_EMPTY_PATH, _AT_FDCWD = 1, 4, 0x1000, -100
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV = 1, 2, 4
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REMOUNT, _MS_BIND, _MS_PRIVATE = 1, 2, 4, 8, 32, 4096, 1 << 18
_CLONE_FS, _CLONE_NEWNS = 0x200, 0x20000
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class Spares:
    """Keeps up to `wanted` warm processes for `task`, whose own code is `code`, with `limits`. Thread-safe.

    `unavailable` says why every start is a cold one; empty while spares work.
    """

    def __init__(
        self, form: str, limits: Limits, wanted: int, *, task: str = "worker", code: tuple[str, ...] = ()
    ) -> None:  # fmt: skip
        self.form, self.limits, self.wanted, self.task, self.code = form, limits, wanted, task, code
        self.unavailable = "" if form == OWN_UID else f"a jail of form {form} starts cold"
        self._warm: list[jail.Jailed] = []
        self._lock, self._filling = threading.Lock(), threading.Lock()

    def start(self, order: jail.Order, form: str) -> jail.Jailed:
        """As `jail.start`, from a spare where a fitting one is ready. Raises JailFailed."""
        fits = (order.limits, order.task, order.code, form, order.output) == (
            self.limits, self.task, self.code, self.form, None
        )  # fmt: skip
        spare = self._take() if fits else None
        if spare is None:
            return jail.start(order, form)
        try:
            jail.own(order, form)
            _in_thread(lambda: _mount(spare, order))
            return jail.finish(spare, order)
        except (OSError, jail.JailFailed) as error:
            self.unavailable = f"{type(error).__name__}: {error}"[:500]
            spare.kill()
            return jail.start(order, form)

    def fill(self) -> None:
        """Start what is missing, one after the other, and wait for it; two threads do not do it twice."""
        with self._filling:
            while not self.unavailable and len(self._warm) < self.wanted:
                spare = self._prepare()
                if spare is None:
                    break
                with self._lock:
                    self._warm.append(spare)
        if self.wanted == 0:
            self.close()

    def pids(self) -> list[int]:
        """The first processes of the spares that are ready."""
        with self._lock:
            return [spare.process.pid for spare in self._warm]

    def close(self) -> None:
        """End them all; none is started any more."""
        self.wanted = 0
        with self._lock:
            warm, self._warm = self._warm, []
        for spare in warm:
            spare.kill()

    def _take(self) -> jail.Jailed | None:
        with self._lock:
            while self._warm:
                spare = self._warm.pop()
                if spare.process.poll() is None:
                    return spare
                spare.kill()
        return None

    def _prepare(self) -> jail.Jailed | None:
        jailed = None
        try:
            order = jail.Order(self.task, Path(), self.limits, "none", code=self.code)
            jailed = jail.begin(order, self.form, bare=True)
            jailed.data.send({"prepare": self.task}, timeout=jail.START_SECONDS)
            if jailed.data.receive(timeout=jail.START_SECONDS) != ({"is": "prepared"}, b""):
                raise ChannelClosed("it did not get ready")
        except (OSError, ChannelClosed, ProtocolError) as error:
            self.unavailable = f"{type(error).__name__}: {error}"[:500]
            if jailed is not None:
                jailed.kill()
            return None
        return jailed


def _in_thread(work: Callable[[], None]) -> None:
    """Run `work` in a thread of its own, which takes its changed namespace with it. Raises what `work` raised."""
    raised: list[OSError] = []

    def run() -> None:
        try:
            work()
        except OSError as error:
            raised.append(error)

    thread = threading.Thread(target=run, name="spare-mounts")
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


def _mount(jailed: jail.Jailed, order: jail.Order) -> None:
    """Give the spare the order's folder and tables. Changes the calling thread's mount namespace for good."""
    places = jail.table_places(order)
    with contextlib.ExitStack() as opened:
        space = _opened(opened, os.open(f"/proc/{_inner(jailed)}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC))
        home = _opened(opened, _detached(order.folder, read_only=False))
        tables = {
            place: _opened(opened, _detached(Path(jail.snapshot_file(order.tables[name])), read_only=True))
            for name, place in places.items()
        }
        _check(_libc.unshare(_CLONE_FS), "unshare")
        _check(_libc.setns(space, _CLONE_NEWNS), "setns")
        _attach(home, jail.HOME)
        if not tables:
            return
        flags = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
        _mount_call(b"tmpfs", jail.GRANTED, b"tmpfs", flags, b"mode=0755,size=64k,nr_inodes=%d" % (len(tables) + 8))
        for place, tree in tables.items():
            os.close(os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o444))
            _attach(tree, place)
        _mount_call(None, jail.GRANTED, None, flags | _MS_REMOUNT | _MS_BIND | _MS_RDONLY, None)


def _opened(stack: contextlib.ExitStack, descriptor: int) -> int:
    stack.callback(os.close, descriptor)
    return descriptor


def _inner(jailed: jail.Jailed) -> int:
    """bwrap's process inside the namespaces: the one child of the one that was started."""
    pid = jailed.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    if len(children) != 1:
        raise OSError(f"the spare has {len(children)} processes where one was expected")
    return int(children[0])


def _detached(path: Path, *, read_only: bool) -> int:
    """A private bind mount of `path` (nothing mounted below it comes along), not attached anywhere yet."""
    tree = _system_call(_OPEN_TREE, _AT_FDCWD, os.fsencode(path.resolve()), _OPEN_TREE_CLONE | os.O_CLOEXEC)
    flags = _ATTR_NOSUID | _ATTR_NODEV | (_ATTR_RDONLY if read_only else 0)
    attributes = struct.pack("=QQQQ", flags, 0, _MS_PRIVATE, 0)  # struct mount_attr
    try:
        _system_call(_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, attributes, len(attributes))
    except OSError:
        os.close(tree)
        raise
    return tree


def _attach(tree: int, place: str) -> None:
    _system_call(_MOVE_MOUNT, tree, b"", _AT_FDCWD, place.encode(), _MOVE_MOUNT_F_EMPTY_PATH)


def _mount_call(source: bytes | None, place: str, kind: bytes | None, flags: int, options: bytes | None) -> None:
    _check(_libc.mount(source, place.encode(), kind, ctypes.c_ulong(flags), options), "mount")


def _system_call(number: int, *arguments: int | bytes) -> int:
    given = [ctypes.c_long(a) if isinstance(a, int) else ctypes.c_char_p(a) for a in arguments]
    return _check(int(_libc.syscall(ctypes.c_long(number), *given)), f"system call {number}")


def _check(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result
