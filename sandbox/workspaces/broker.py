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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import pyarrow as pa

from policies.text import Text, UserError
from sandbox.workspaces import jail, selftest, wording
from sandbox.workspaces.limits import MEGABYTE, Limits
from sandbox.workspaces.protocol import ChannelClosed, Collector, ProtocolError

GRACE_SECONDS = 2.0
# how a process died (jail.reason_of_death) → kind of failure
DEATHS = {"memory": "memory_limit", "time": "time_limit", "file_size": "file_size"}
STRONG_ONLY = frozenset({selftest.STRONG})
_TICK = 0.1
Progress = Callable[[int], None]


class Mode(StrEnum):
    """What data a worker has: the twin, or granted real data whose rows the grant lets people read."""

    SIMULATED = "simulated"
    REAL = "real"


@dataclass(frozen=True, slots=True)
class WorkspaceMount:
    """One workspace as the broker sees it. `folder` is the workspace's own on the host; `tables` name → snapshot.

    A snapshot is named by its file or its folder. Each mode has its own sub-folder: what was made
    from real data is never mounted beside simulated data.
    """

    workspace_id: str
    mode: Mode
    folder: Path
    tables: Mapping[str, Path] = field(default_factory=dict)
    quota_mb: int = 2048

    @property
    def own(self) -> Path:
        return self.folder / self.mode.value


@dataclass(frozen=True, slots=True)
class QueryResult:
    """A complete answer. `truncated`: there were more rows than may be returned; `row_count` counts those returned."""

    columns: tuple[tuple[str, str], ...]
    rows: pa.Table
    row_count: int
    truncated: bool
    elapsed: float
    tables: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class QueryFailed:
    """A named failure. `engine_text`, `line`, `column` exist on simulated data only."""

    kind: str
    text: Text
    fix: Text | None = None
    line: int | None = None
    column: int | None = None
    engine_text: str | None = None
    elapsed: float = 0.0
    tables: tuple[str, ...] = ()


class WorkspaceBusy(UserError):
    """Nothing is wrong; it is somebody else's turn."""

    status = 409


@dataclass(slots=True)
class _Worker:
    mount: WorkspaceMount
    limits: Limits
    jailed: jail.Jailed
    busy: threading.Lock
    last_used: float
    query: int = 0
    cancelled: bool = False
    stopped: bool = False


class Broker:
    """Thread-safe. `capacity_mb` bounds the sum of the workers' memory limits; `running` how many query at once."""

    def __init__(
        self,
        tested: selftest.SelfTest,
        limits: Limits,
        *,
        capacity_mb: int,
        running: int | None = None,
        idle_seconds: float = 900.0,
        accepted: frozenset[str] = STRONG_ONLY,
    ) -> None:
        self.tested, self.limits = tested, limits
        self.capacity_mb, self.idle_seconds = capacity_mb, idle_seconds
        self.accepted = accepted
        self._slots = threading.BoundedSemaphore(running or 2 * (os.cpu_count() or 1))
        self._workers: dict[tuple[str, Mode], _Worker] = {}
        self._opening: set[tuple[str, Mode]] = set()
        self._lock = threading.RLock()

    def query(
        self,
        mount: WorkspaceMount,
        sql: str,
        *,
        progress: Progress | None = None,
        cancel: threading.Event | None = None,
    ) -> QueryResult | QueryFailed:
        """Run `sql` (one or several statements; the last one's rows come back) and wait for the outcome.

        Raises UserError for what stands in the way before it runs: the tier, a full machine, a running query.
        """
        self._allow(mount.mode)
        if _size_mb(mount.own) > mount.quota_mb:
            return _failed("disk_full")
        cancel = cancel or threading.Event()
        if not self._slots.acquire(timeout=self.limits.wall_seconds):
            raise _busy("machine")
        try:
            worker = self._worker(mount)
            try:
                outcome, alive = _Conversation(worker, sql, progress, cancel).run()
            finally:
                worker.last_used = time.monotonic()
                worker.busy.release()
            if not alive or worker.stopped:
                self._remove(worker)
            return outcome
        finally:
            self._slots.release()

    def cancel(self, workspace_id: str, mode: Mode) -> bool:
        """Ask the running query of this workspace to stop; False when none runs."""
        with self._lock:
            worker = self._workers.get((workspace_id, mode))
        if worker is None or not worker.busy.locked():
            return False
        worker.cancelled = True
        return True

    def stop(self, workspace_id: str, mode: Mode | None = None) -> int:
        """End the workspace's workers at once (revocation, closing, reset); returns how many there were."""
        with self._lock:
            found = [w for (name, m), w in self._workers.items() if name == workspace_id and mode in (None, m)]
        for worker in found:
            self._remove(worker)
        return len(found)

    def reset(self, mount: WorkspaceMount) -> None:
        """Throw away what the workspace made in this mode; granted tables are not touched."""
        self.stop(mount.workspace_id, mount.mode)
        if mount.own.exists():
            shutil.rmtree(mount.own)

    def stop_idle(self) -> int:
        """End workers without a query for `idle_seconds`; called now and then by the application."""
        limit = time.monotonic() - self.idle_seconds
        with self._lock:
            idle = [w for w in self._workers.values() if w.last_used < limit and not w.busy.locked()]
        for worker in idle:
            self._remove(worker)
        return len(idle)

    def close(self) -> None:
        """End every worker."""
        with self._lock:
            everyone = list(self._workers.values())
        for worker in everyone:
            self._remove(worker)

    def status(self) -> list[dict[str, Any]]:
        """Live workers: workspace, mode, form, whether a query runs, seconds since the last one."""
        now = time.monotonic()
        with self._lock:
            return [
                {"workspace": name, "mode": mode.value, "form": worker.jailed.form, "running": worker.busy.locked(),
                 "idle_seconds": round(now - worker.last_used, 1), "memory_mb": worker.limits.memory_mb}
                for (name, mode), worker in self._workers.items()
            ]  # fmt: skip

    def _allow(self, mode: Mode) -> None:
        if mode == Mode.SIMULATED:
            return
        require_tier(self.tested, self.accepted)

    def _worker(self, mount: WorkspaceMount) -> _Worker:
        """The workspace's worker, started if need be, its `busy` lock held by us. Starting holds up nobody else."""
        key = (mount.workspace_id, mount.mode)
        with self._lock:
            worker = self._workers.get(key)
            if key in self._opening or (worker is not None and not worker.busy.acquire(blocking=False)):
                raise _busy("workspace")
            if worker is not None:
                if worker.mount == mount and worker.jailed.process.poll() is None:
                    return worker
                worker.busy.release()
                self._remove(worker)  # grants changed or it died idle: a new mount view needs a new process
            self._make_room()
            self._opening.add(key)
        try:
            worker = self._start(mount)
            worker.busy.acquire()
            with self._lock:
                self._workers[key] = worker
            return worker
        finally:
            with self._lock:
                self._opening.discard(key)

    def _make_room(self) -> None:
        """Admission control: end idle workers, longest unused first, until one more fits."""
        while (len(self._workers) + len(self._opening) + 1) * self.limits.memory_mb > self.capacity_mb:
            idle = sorted((w for w in self._workers.values() if not w.busy.locked()), key=lambda w: w.last_used)
            if not idle:
                raise _busy("machine")
            self._remove(idle[0])

    def _start(self, mount: WorkspaceMount) -> _Worker:
        order = jail.Order("worker", mount.own, self.limits, mount.mode.value, dict(mount.tables))
        jailed = jail.start(order, self.tested.form)
        opened = None
        with contextlib.suppress(ChannelClosed, ProtocolError):
            opened = jailed.data.receive(timeout=jail.START_SECONDS)
        if opened is None or opened[0].get("is") != "open":
            reason = jailed.death()
            jailed.kill()
            raise jail.failed(jailed.form, f"the worker did not open its database: {reason}")
        return _Worker(mount, self.limits, jailed, threading.Lock(), time.monotonic())

    def _remove(self, worker: _Worker) -> None:
        with self._lock:
            key = (worker.mount.workspace_id, worker.mount.mode)
            if self._workers.get(key) is worker:
                del self._workers[key]
        worker.stopped = True
        if worker.busy.acquire(blocking=False):
            worker.jailed.kill()
        else:
            worker.jailed.process.kill()  # whoever is talking to it sees the end and tidies up


class _Conversation:
    """One query with one worker."""

    def __init__(self, worker: _Worker, sql: str, progress: Progress | None, cancel: threading.Event) -> None:
        self.worker, self.sql, self.progress, self.cancel = worker, sql, progress, cancel
        self.began = time.monotonic()
        self.asked: float | None = None
        self.why = "time_limit"
        worker.query += 1
        self.number = worker.query

    def run(self) -> tuple[QueryResult | QueryFailed, bool]:
        """The outcome, and whether the worker may live on."""
        limits = self.worker.limits
        collector = Collector(limits.result_rows, limits.result_mb * MEGABYTE)
        data = self.worker.jailed.data
        try:
            data.send({"query": self.number}, self.sql.encode("utf-8", "replace"), timeout=10)
            while True:
                frame = data.receive(timeout=_TICK)
                if frame is not None:
                    outcome = self._take(collector, *frame)
                    if outcome is not None:
                        return outcome, True
                if not self._in_time():
                    return self._failed(self.why), False
        except ProtocolError:
            return self._failed("protocol"), False
        except ChannelClosed:
            return self._failed(self._kind_of_death()), False

    def _take(self, collector: Collector, header: dict[str, Any], payload: bytes) -> QueryResult | QueryFailed | None:
        kind = header.get("is")
        if kind in ("failed", "refused", "done") and header.get("query") != self.number:
            raise ProtocolError("an answer to another question")
        tables = _names(header.get("tables"))
        if kind == "failed":
            return self._error(header.get("error"))
        if kind == "refused":
            text = wording.refusal(str(header.get("code")), str(header.get("subject")))
            return QueryFailed("refused", text, elapsed=self._elapsed(), tables=tables)
        if not collector.feed(header, payload):
            return None
        table = collector.table()
        columns = tuple((f.name, str(f.type)) for f in table.schema)
        return QueryResult(columns, table, collector.rows, header["truncated"], self._elapsed(), tables)

    def _error(self, error: Any) -> QueryFailed:
        if not isinstance(error, dict):
            raise ProtocolError("an error without content")
        kind = str(error.get("kind"))
        if kind == "time_limit" and self.asked is not None:
            kind = self.why
        if self.worker.mount.mode != Mode.SIMULATED:
            return self._failed(kind)
        text = str(error.get("text", ""))[:4000] or None
        return self._failed(kind, _number(error.get("line")), _number(error.get("column")), text)

    def _in_time(self) -> bool:
        """Tend the ladder and the progress; False when the worker has to be killed."""
        now = time.monotonic()
        self._listen()
        cancelled = self.cancel.is_set() or self.worker.cancelled
        if self.asked is None and (cancelled or now - self.began > self.worker.limits.wall_seconds):
            self.why = "cancelled" if cancelled else "time_limit"
            self.asked = now
            self.worker.jailed.control.send({"interrupt": self.number}, timeout=1)
        return self.asked is None or now - self.asked <= GRACE_SECONDS

    def _listen(self) -> None:
        heard = self.worker.jailed.control.receive(timeout=0)
        if heard is None or self.progress is None or heard[0].get("query") != self.number:
            return
        percent = _number(heard[0].get("progress"))
        if percent is not None and 0 <= percent <= 100:
            self.progress(percent)

    def _kind_of_death(self) -> str:
        if self.worker.stopped:
            return "cancelled"
        if self.asked is not None:
            return self.why
        reason = self.worker.jailed.death()
        return DEATHS.get(reason, "worker_died")

    def _failed(
        self, kind: str, line: int | None = None, column: int | None = None, engine_text: str | None = None
    ) -> QueryFailed:
        return _failed(kind, line, column, engine_text, self._elapsed())

    def _elapsed(self) -> float:
        return time.monotonic() - self.began


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


def _failed(
    kind: str, line: int | None = None, column: int | None = None, engine: str | None = None, elapsed: float = 0.0
) -> QueryFailed:
    kind = kind if kind in wording.FAILURES else "failed"
    return QueryFailed(kind, wording.failure(kind), wording.REPAIRS.get(kind), line, column, engine, elapsed)


def _busy(what: str) -> UserError:
    if what == "workspace":
        text = Text("本工作空间正在执行另一条查询。", "Another query of this workspace is running.")
        fix = Text("请等待其完成，或先取消它。", "Wait for it, or cancel it first.")
    else:
        text = Text("本机的查询资源已占满。", "All query capacity of this machine is in use.")
        fix = Text("请稍后再试。", "Try again in a moment.")
    return WorkspaceBusy(f"workspace.busy_{what}", text, fix=fix)


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _names(value: Any) -> tuple[str, ...]:
    return tuple(str(name)[:200] for name in value[:1000]) if isinstance(value, list) else ()


def _size_mb(folder: Path) -> float:
    """What the folder holds; no limit of the kernel covers the sum, so it is measured before each query."""
    total = 0
    for root, _folders, files in os.walk(folder):
        for name in files:
            try:
                total += Path(root, name).lstat().st_blocks * 512
            except OSError:
                continue
    return total / MEGABYTE
