"""Who may run now: one fair queue for the whole machine, and no memory promised twice.

A query is let in when one of `places` is free, its workspace runs nothing else, and its limit fits beside what every
other worker holds: its limit while it runs, its measured size while it is idle. The queue is first come, first served;
a workspace whose other mode is running lets others pass, so that nobody holds more than one place.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from policies.text import Text, UserError
from sandbox.workspaces.limits import MEGABYTE

Waiting = Callable[[int], None]
Key = tuple[str, str]  # (workspace, mode)
QUEUE_PER_PLACE = 16
_TICK = 0.1
SPARE = ""  # the workspace of what belongs to none
_GROUPS = Path("/sys/fs/cgroup")


class WorkspaceBusy(UserError):
    """Nothing is wrong; it is somebody else's turn."""

    status = 409


@dataclass(slots=True, eq=False)
class Ticket:
    """One who waits or runs. `ended`: not only this query but its worker has to end (revocation, closing)."""

    key: Key
    need_mb: int
    cancel: threading.Event
    ended: bool = False


class Admission:
    """Thread-safe. Knows keys and numbers only.

    `end(key)` has to send an idle worker away at once, without waiting and without calling back: it runs under the
    lock, so that nobody can take that worker in between.
    """

    def __init__(self, places: int, capacity_mb: int, end: Callable[[Key], None]) -> None:
        self.places, self.capacity_mb = places, capacity_mb
        self._end = end
        self._changed = threading.Condition()
        self._waiting: list[Ticket] = []
        self._running: dict[Key, Ticket] = {}
        self._held: dict[Key, int] = {}  # longest unused first

    def enter(
        self, key: Key, need_mb: int, *, cancel: threading.Event, waiting: Waiting | None, seconds: float
    ) -> Ticket | None:
        """Wait for a place and take it; every `enter` that returns a ticket is ended by `leave`.

        None when `cancel` came first. `waiting` is told the position, 1 for the next one, whenever it changes.
        Raises WorkspaceBusy: one query per workspace and mode, a full queue, more than `seconds` in it.
        """
        ticket = Ticket(key, need_mb, cancel)
        until = time.monotonic() + seconds
        with self._changed:
            self._refuse(key, need_mb)
            self._waiting.append(ticket)
        told = 0
        try:
            while True:
                with self._changed:
                    if told:
                        self._changed.wait(_TICK)
                    if cancel.is_set():
                        return None
                    if self._take(ticket):
                        return ticket
                    position = self._waiting.index(ticket) + 1
                if time.monotonic() > until:
                    raise busy("machine")
                if position != told and waiting is not None:
                    waiting(position)
                told = position
        finally:
            with self._changed:
                self._waiting.remove(ticket)
                self._changed.notify_all()

    def leave(self, key: Key, holds_mb: int | None) -> None:
        """Give the place back; `holds_mb` is what its worker keeps while idle, None when it is gone."""
        with self._changed:
            self._running.pop(key, None)
            self._held.pop(key, None)
            if holds_mb is not None:
                self._held[key] = holds_mb
            self._changed.notify_all()

    def hold(self, key: Key, mb: int) -> None:
        """Count memory that belongs to no query, such as a spare's; it is never ended to make room."""
        with self._changed:
            self._held[key] = mb

    def forget(self, key: Key) -> None:
        """An idle worker or a spare is gone; what has been let in since is not touched."""
        with self._changed:
            if key not in self._running:
                self._held.pop(key, None)
            self._changed.notify_all()

    def cancel(self, workspace_id: str, mode: str | None = None, *, end: bool = False) -> bool:
        """Cancel what runs or waits for this workspace (in one mode); False when nothing does."""
        with self._changed:
            found = [
                ticket for ticket in (*self._waiting, *self._running.values())
                if ticket.key[0] == workspace_id and mode in (None, ticket.key[1])
            ]  # fmt: skip
            for ticket in found:
                ticket.cancel.set()
                ticket.ended = ticket.ended or end
            self._changed.notify_all()
        return bool(found)

    def runs(self, key: Key) -> bool:
        """Does this workspace have a place in this mode now?"""
        with self._changed:
            return key in self._running

    def workspaces(self) -> set[str]:
        """Those that have a place, or wait for one and are not being ended."""
        with self._changed:
            return {t.key[0] for t in (*self._waiting, *self._running.values()) if not t.ended}

    def status(self) -> dict[str, int]:
        """Places, how many are taken, how many wait, megabytes promised of how many."""
        with self._changed:
            return {
                "places": self.places, "running": len(self._running), "waiting": len(self._waiting),
                "held_mb": sum(self._held.values()), "capacity_mb": self.capacity_mb,
            }  # fmt: skip

    def _refuse(self, key: Key, need_mb: int) -> None:
        if key in self._running or any(ticket.key == key for ticket in self._waiting):
            raise busy("workspace")
        if need_mb > self.capacity_mb or len(self._waiting) >= QUEUE_PER_PLACE * self.places:
            raise busy("machine")

    def _take(self, ticket: Ticket) -> bool:
        """Let this ticket run if it is its turn, ending idle workers for its room, longest unused first."""
        taken = {workspace for workspace, _mode in self._running}
        able = [t for t in self._waiting if t.key[0] not in taken]
        if len(self._running) >= self.places or not able or able[0] is not ticket:
            return False
        missing = ticket.need_mb + sum(mb for key, mb in self._held.items() if key != ticket.key) - self.capacity_mb
        ending = []
        for key in self._idle(ticket.key):
            if missing <= 0:
                break
            missing -= self._held[key]
            ending.append(key)
        if missing > 0:
            return False
        for key in ending:
            del self._held[key]
            self._end(key)
        self._running[ticket.key] = ticket
        self._held[ticket.key] = ticket.need_mb
        return True

    def _idle(self, asking: Key) -> list[Key]:
        return [key for key in self._held if key not in self._running and key != asking and key[0] != SPARE]


def machine_mb() -> int:
    """Memory this process may count on: the machine's, or that of a control group above it where less. Megabytes."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _number, controllers, path = line.split(":", 2)
        if controllers == "":
            root, file = _GROUPS, "memory.max"
        elif "memory" in controllers.split(","):
            root, file = _GROUPS / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(root) and (limit := _limit(folder / file)):
                found.append(limit)
    return min(found) // MEGABYTE


def _limit(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def footprint_mb(pid: int) -> int:
    """Memory that only `pid` and its descendants use (resident without what is shared), whole megabytes, upwards."""
    page = os.sysconf("SC_PAGE_SIZE")
    total = 0
    for process in family(pid):
        try:
            _size, resident, shared = Path(f"/proc/{process}/statm").read_text().split()[:3]
        except OSError:
            continue  # it ended meanwhile
        total += (int(resident) - int(shared)) * page
    return total // MEGABYTE + 1


def family(pid: int) -> list[int]:
    """`pid` and all its descendants, as far as they live."""
    found = [pid]
    for process in found:
        try:
            found += [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
        except OSError:
            continue
    return found


def busy(what: str) -> WorkspaceBusy:
    """The refusal when a workspace ("workspace") or the whole machine ("machine") has no place."""
    if what == "workspace":
        text = Text("本工作空间正在执行另一条查询。", "Another query of this workspace is running.")
        fix = Text("请等待其完成，或先取消它。", "Wait for it, or cancel it first.")
    else:
        text = Text("本机的查询资源已占满。", "All query capacity of this machine is in use.")
        fix = Text("请稍后再试。", "Try again in a moment.")
    return WorkspaceBusy(f"workspace.busy_{what}", text, fix=fix)
