"""One worker per (workspace, mode): starts it, asks it, stops it, and keeps the machine from being promised twice.

Whatever a worker does — run out of memory, hang, die, lie — becomes a named outcome of that one query; other
workspaces keep answering. The ladder against a query that does not end: DuckDB's own time limit, an interrupt over the
second socket pair, and after a grace SIGKILL of the jail. A killed workspace reopens with the next query.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from policies.text import Text, UserError
from sandbox.workspaces import disk, jail, selftest
from sandbox.workspaces.admission import SPARE, Admission, Key, Ticket, Waiting, WorkspaceBusy, footprint_mb
from sandbox.workspaces.conversation import (
    DEATHS,
    Conversation,
    Mode,
    Parameters,
    Progress,
    QueryFailed,
    QueryResult,
    Question,
    Sink,
    Worker,
    failure,
)
from sandbox.workspaces.limits import Limits
from sandbox.workspaces.protocol import HEADER_CAP, ChannelClosed, ProtocolError
from sandbox.workspaces.spares import Spares
from sandbox.workspaces.usage import meter

__all__ = [
    "DEATHS", "Broker", "Mode", "Parameters", "Progress", "QueryFailed", "QueryResult", "Sink", "Waiting",
    "WorkspaceBusy", "WorkspaceMount", "require_tier",
]  # fmt: skip
STRONG_ONLY = frozenset({selftest.STRONG})
_REFILL_SECONDS = 1.0  # the next spare does not take the processor from the first query of who just took one
_MEASURING_SHARE = 20.0  # a folder is walked for at most a twentieth of the time


@dataclass(frozen=True, slots=True)
class WorkspaceMount:
    """One workspace as the broker sees it. `folder` is the workspace's own on the host; `tables` name → snapshot.

    A snapshot is named by its file or its folder. Each mode has its own sub-folder, which may hold `quota_mb`: what was
    made from real data is never mounted beside simulated data. With `once` the statement gets a process of its own in
    a new folder, which ends with its answer: nothing asked before or later shares it.
    """

    workspace_id: str
    mode: Mode
    folder: Path
    tables: Mapping[str, Path] = field(default_factory=dict)
    quota_mb: int = field(kw_only=True)
    once: bool = False

    @property
    def own(self) -> Path:
        return self.folder / self.mode.value


class Broker:
    """Thread-safe.

    `capacity_mb` bounds what is promised: the limits of the workers that run plus the measured size of those that are
    idle. `running` is how many may run at once (twice the cores when not given); `spares` how many warm processes are
    kept for workspaces that open (`warm` starts the first).
    """

    def __init__(
        self,
        tested: selftest.SelfTest,
        limits: Limits,
        *,
        capacity_mb: int,
        running: int | None = None,
        idle_seconds: float = 900.0,
        accepted: frozenset[str] = STRONG_ONLY,
        spares: int = 0,
    ) -> None:
        self.tested, self.limits = tested, limits
        self.idle_seconds = idle_seconds
        self.accepted = accepted
        self.permit: Callable[[str], None] | None = None
        """asked with the workspace's id when a worker is ready and its statement about to be sent, and before a script
        starts; raises to refuse"""
        self._admission = Admission(running or 2 * (os.cpu_count() or 1), capacity_mb, self._send_away)
        self._spares = Spares(tested.form, limits, spares)
        self._workers: dict[Key, Worker] = {}
        self._ending: list[Worker] = []
        self._sizes: dict[Path, _Size] = {}
        self._lock = threading.Lock()  # taken after the admission's own, never before

    def query(
        self,
        mount: WorkspaceMount,
        sql: str,
        *,
        parameters: Parameters | None = None,
        progress: Progress | None = None,
        cancel: threading.Event | None = None,
        waiting: Waiting | None = None,
        sink: Sink | None = None,
    ) -> QueryResult | QueryFailed:
        """Run `sql` (one or several statements; the last one's rows come back) and wait for the outcome.

        `parameters` are bound to the last statement: a list for `?` and `$1`, a mapping for `$name`. `cancel` is an
        event of this query alone. `waiting` is told the place in the queue (1 is next) whenever it changes. `sink`
        gets the schema and then each batch as it was validated; it must not block for good, and what it raises ends
        the query and is raised here. Until the result is returned, what the sink got is not known to be complete.
        Raises UserError for what stands in the way before it runs: the tier, a full machine, a running query.
        """
        self._allow(mount.mode)
        require_scalars(parameters)
        cancel = cancel or threading.Event()
        with self.place(mount.workspace_id, mount.mode.value, cancel=cancel, waiting=waiting) as ticket:
            if ticket is None:
                return failure("cancelled")
            if not mount.once and self._full(mount):
                return failure("disk_full")
            return self._ask(mount, ticket, Question(sql, parameters, progress, cancel, sink))

    @contextlib.contextmanager
    def place(
        self,
        workspace_id: str,
        kind: str,
        *,
        memory_mb: int | None = None,
        cancel: threading.Event | None = None,
        waiting: Waiting | None = None,
    ) -> Iterator[Ticket | None]:
        """One of the machine's places for a query or for another process of this workspace, such as a script.

        Waits in the same queue, with `memory_mb` (a query's limit when not given) counted while it is held; yields
        None when `cancel` or `Broker.cancel` came first. Raises WorkspaceBusy.
        """
        key = (workspace_id, kind)
        ticket = self._admission.enter(
            key, memory_mb or self.limits.memory_mb, cancel=cancel or threading.Event(), waiting=waiting,
            seconds=self.limits.wall_seconds,
        )  # fmt: skip
        if ticket is None:
            yield None
            return
        try:
            yield ticket
        finally:
            with self._lock:
                worker = self._workers.get(key)
            self._admission.leave(key, worker.meter.held_mb if worker else None)

    def cancel(self, workspace_id: str, mode: Mode | str) -> bool:
        """Ask what runs or waits for this workspace in `mode` (or other kind of place) to stop; False when nothing."""
        return self._admission.cancel(workspace_id, str(mode))

    def stop(self, workspace_id: str, mode: Mode | None = None) -> int:
        """End the workspace's workers and its script at once (revocation, closing, reset); how many workers."""
        self._admission.cancel(workspace_id, None if mode is None else mode.value, end=True)
        with self._lock:
            found = [
                key for key in self._workers if key[0] == workspace_id and mode in (None, key[1])
            ]  # fmt: skip
        return sum([self._remove(key) for key in found])

    def reset(self, mount: WorkspaceMount) -> None:
        """Throw away what the workspace made in this mode; granted tables are not touched."""
        self.stop(mount.workspace_id, mount.mode)
        if mount.own.exists():
            shutil.rmtree(mount.own)
        self._sizes.pop(mount.own, None)

    def stop_idle(self) -> int:
        """End workers without a query for `idle_seconds`; called now and then by the application."""
        limit = time.monotonic() - self.idle_seconds
        with self._lock:
            idle = [key for key, worker in self._workers.items() if worker.last_used < limit]
        return sum([self._remove(key) for key in idle if not self._admission.runs(key)])

    def close(self) -> None:
        """End every worker."""
        with self._lock:
            everyone = list(self._workers)
        for key in everyone:
            self._remove(key)
        self._bury()
        self._spares.close()

    def warm(self) -> None:
        """Start the spares that are missing and wait for them."""
        self._spares.fill()
        self._count_spares()

    def status(self) -> list[dict[str, Any]]:
        """Live workers: workspace, mode, form, whether a query runs, seconds since the last one, memory."""
        now = time.monotonic()
        with self._lock:
            workers = list(self._workers.items())
        return [
            {"workspace": key[0], "mode": key[1], "form": worker.jailed.form, "running": self._admission.runs(key),
             "idle_seconds": round(now - worker.last_used, 1), "memory_mb": worker.limits.memory_mb,
             "held_mb": worker.meter.held_mb}
            for key, worker in workers
        ]  # fmt: skip

    def present(self) -> set[str]:
        """The workspaces that have a live worker, or hold a place or wait for one."""
        with self._lock:
            alive = {workspace for workspace, _mode in self._workers}
        return alive | self._admission.workspaces()

    def load(self) -> dict[str, int]:
        """Places and memory of the whole machine (see `Admission.status`), and how many spares are ready."""
        return {**self._admission.status(), "spares": len(self._spares.pids())}

    @property
    def cold_because(self) -> str:
        """Why every workspace opens cold; empty while spares work."""
        return self._spares.unavailable

    def _allow(self, mode: Mode) -> None:
        if mode == Mode.SIMULATED:
            return
        require_tier(self.tested, self.accepted)

    def _full(self, mount: WorkspaceMount) -> bool:
        """Is the folder over its quota? Measured again once the last measuring is far in the past for its cost."""
        known = self._sizes.get(mount.own)
        began = time.monotonic()
        if known is None or began - known.at > _MEASURING_SHARE * known.took:
            used = disk.share([mount.own], mount.quota_mb)
            known = self._sizes[mount.own] = _Size(began, time.monotonic() - began, used)
        return known.share > 1.0

    def _ask(self, mount: WorkspaceMount, ticket: Ticket, question: Question) -> QueryResult | QueryFailed:
        worker = self._worker(mount, ticket)
        conversation = Conversation(worker, question, disk.Bound([mount.own], mount.quota_mb, worker.jailed))
        alive = False
        try:
            if self.permit is not None:
                self.permit(mount.workspace_id)
            outcome, alive = conversation.run()
        finally:
            worker.last_used = time.monotonic()
            worker.busy.release()
            if mount.once or not alive or worker.stopped or ticket.ended:
                self._remove(ticket.key, worker)
        if conversation.broken is not None:
            raise conversation.broken
        return outcome

    def _worker(self, mount: WorkspaceMount, ticket: Ticket) -> Worker:
        """The workspace's worker, started if need be, its `busy` lock held by us. Starting holds up nobody else."""
        with self._lock:
            worker = self._workers.get(ticket.key)
        if worker is not None:
            worker.busy.acquire()  # free, or with someone who ends it this moment
            same = worker.tables == mount.tables and not mount.once
            if same and not worker.stopped and worker.jailed.process.poll() is None:
                return worker
            worker.busy.release()
            self._remove(ticket.key, worker)  # grants changed or it died idle: a new mount view needs a new process
        self._bury()
        worker = self._start(mount)
        worker.busy.acquire()
        with self._lock:
            self._workers[ticket.key] = worker
        return worker

    def _start(self, mount: WorkspaceMount) -> Worker:
        order = jail.Order("worker", mount.own, self.limits, mount.mode.value, dict(mount.tables))
        jailed = self._spares.start(order, self.tested.form)
        if self._spares.wanted:
            later = threading.Timer(_REFILL_SECONDS, self.warm)
            later.daemon = True
            later.start()
        opened = None
        with contextlib.suppress(ChannelClosed, ProtocolError):
            opened = jailed.data.receive(timeout=jail.START_SECONDS)
        if opened is None or opened[0].get("is") != "open":
            reason = jailed.death()
            jailed.kill()
            raise jail.failed(jailed.form, f"the worker did not open its database: {reason}")
        return Worker(mount.mode, mount.tables, self.limits, jailed, meter(jailed), time.monotonic())

    def _count_spares(self) -> None:
        self._admission.hold((SPARE, ""), sum(footprint_mb(pid) for pid in self._spares.pids()))

    def _remove(self, key: Key, worker: Worker | None = None) -> bool:
        """End the worker of `key` (only this one, if given) and wait for it, unless someone is talking to it."""
        with self._lock:
            found = self._workers.get(key)
            if found is None or worker not in (None, found):
                return False
            del self._workers[key]
            found.stopped = True
            self._ending.append(found)
        found.jailed.process.kill()  # whoever is talking to it sees the end
        self._admission.forget(key)
        self._bury()
        return True

    def _send_away(self, key: Key) -> None:
        """End an idle worker without waiting: the admission needs its memory."""
        with self._lock:
            worker = self._workers.pop(key, None)
            if worker is None:
                return
            worker.stopped = True
            self._ending.append(worker)
        worker.jailed.process.kill()

    def _bury(self) -> None:
        """Wait for the ended workers and close what is left of them; one still talked to is left for later."""
        with self._lock:
            ending = list(self._ending)
        for worker in ending:
            if worker.busy.acquire(blocking=False):
                try:
                    worker.jailed.kill()
                finally:
                    worker.busy.release()
                with self._lock, contextlib.suppress(ValueError):
                    self._ending.remove(worker)


@dataclass(frozen=True, slots=True)
class _Size:
    """When a folder was measured, how many seconds that took, and the share of its quota."""

    at: float
    took: float
    share: float


def require_tier(tested: selftest.SelfTest, accepted: frozenset[str]) -> None:
    """Real data needs a tier in `accepted`: strong, and whatever the operator decided in writing. Raises UserError."""
    if tested.tier in accepted:
        return
    raise UserError(
        "workspace.tier",
        Text(
            f"本机隔离等级为“{tested.text.zh}”，不能使用真实数据。",
            f"This machine's isolation is: {tested.text.en}. Real data cannot be used.",
        ),
        fix=Text(
            "请运营机构按 pds jail selftest 的结果加固主机。",
            "The operator can harden the host by the findings of `pds jail selftest`.",
        ),
        tier=tested.tier,
    )


def require_scalars(parameters: Parameters | None) -> None:
    """Parameters are one list or one mapping of JSON scalars, small enough for a frame's header. Raises UserError."""
    values = list(parameters.values() if isinstance(parameters, Mapping) else parameters or ())
    if not all(value is None or isinstance(value, str | int | float) for value in values):
        raise UserError(
            "query.parameters",
            Text("参数只能是文本、数字、真假值或空值。", "A parameter is text, a number, true, false or null."),
        )
    if sum(len(value) if isinstance(value, str) else 32 for value in values) > HEADER_CAP // 8:
        raise UserError(
            "query.parameters",
            Text("参数过大。", "The parameters are too big."),
            fix=Text("请先把数据放入表中再引用。", "Put the data into a table first and refer to it."),
        )
