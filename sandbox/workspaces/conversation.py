"""One question to one worker: the ladder against what does not end, and the checks against what lies.

The worker is not trusted. Frames, rows and bytes are capped, Arrow is validated, and only a good trailer with the
number of this very question makes a result; everything else is a named failure after which the worker is gone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import pyarrow as pa

from policies.text import Text
from sandbox.workspaces import disk, jail, wording
from sandbox.workspaces.limits import MEGABYTE, Limits
from sandbox.workspaces.protocol import ChannelClosed, Collector, ProtocolError
from sandbox.workspaces.statements import NO_COURSE, NO_DIAGNOSIS, Course, Diagnosis, course_of, diagnosis_of
from sandbox.workspaces.usage import Meter, Usage

GRACE_SECONDS = 2.0
# how a process died (jail.reason_of_death) → kind of failure
DEATHS = {"memory": "memory_limit", "time": "time_limit", "file_size": "file_size"}
_TICK = 0.1
Progress = Callable[[int], None]
Sink = Callable[[pa.Schema | pa.RecordBatch], None]
Scalar = str | int | float | bool | None
Parameters = Sequence[Scalar] | Mapping[str, Scalar]


class Mode(StrEnum):
    """What data a worker has: the twin, or granted real data whose rows the grant lets people read."""

    SIMULATED = "simulated"
    REAL = "real"


@dataclass(frozen=True, slots=True)
class QueryResult:
    """A complete answer. `truncated`: there were more rows than may be returned; `row_count` counts those returned.

    With a sink `rows` is empty, of the result's schema: the rows went there.
    """

    columns: tuple[tuple[str, str], ...]
    rows: pa.Table
    row_count: int
    truncated: bool
    elapsed: float
    tables: tuple[str, ...]
    usage: Usage
    course: Course = NO_COURSE


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
    usage: Usage = field(default_factory=Usage)
    course: Course = NO_COURSE
    diagnosis: Diagnosis = NO_DIAGNOSIS


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and who listens meanwhile."""

    sql: str
    parameters: Parameters | None = None
    progress: Progress | None = None
    cancel: threading.Event = field(default_factory=threading.Event)
    sink: Sink | None = None


@dataclass(slots=True, eq=False)
class Worker:
    """A live worker process as the broker holds it. `asked` numbers questions; who talks to it holds `busy`."""

    mode: Mode
    tables: Mapping[str, Path]
    limits: Limits
    jailed: jail.Jailed
    meter: Meter
    last_used: float
    busy: threading.Lock = field(default_factory=threading.Lock)
    asked: int = 0
    stopped: bool = False


class Conversation:
    """One query with one worker."""

    def __init__(self, worker: Worker, question: Question, bound: disk.Bound) -> None:
        self.worker, self.question, self.bound = worker, question, bound
        self.began = time.monotonic()
        worker.meter.start()
        self.interrupted: float | None = None
        self.why = "time_limit"
        self.broken: BaseException | None = None
        worker.asked += 1
        self.number = worker.asked

    def run(self) -> tuple[QueryResult | QueryFailed, bool]:
        """The outcome, and whether the worker may live on. What the sink raised is in `broken`."""
        if self.question.cancel.is_set():
            return self._failed("cancelled"), True
        limits, data = self.worker.limits, self.worker.jailed.data
        collector = Collector(limits.result_rows, limits.result_mb * MEGABYTE, self._into_sink())
        header: dict[str, Any] = {"query": self.number}
        if self.question.parameters is not None:
            header["parameters"] = self.question.parameters
        try:
            data.send(header, self.question.sql.encode("utf-8", "replace"), timeout=10)
            due = self.began + _TICK
            while True:
                frame = data.receive(timeout=_TICK)
                if frame is not None:
                    outcome = self._take(collector, *frame)
                    if outcome is not None:
                        return outcome, True
                if frame is None or time.monotonic() >= due:
                    if not self._in_time():
                        return self._failed(self.why), False
                    due = time.monotonic() + _TICK
        except ProtocolError:
            return self._failed("protocol"), False
        except ChannelClosed:
            return self._failed(self._kind_of_death()), False

    def _into_sink(self) -> Sink | None:
        """The sink, guarded: when it breaks, the query is interrupted and the rest of the answer is dropped."""
        sink = self.question.sink
        if sink is None:
            return None

        def guarded(part: pa.Schema | pa.RecordBatch) -> None:
            if self.broken is None:
                try:
                    sink(part)
                except BaseException as error:
                    self.broken = error

        return guarded

    def _take(self, collector: Collector, header: dict[str, Any], payload: bytes) -> QueryResult | QueryFailed | None:
        kind = header.get("is")
        if kind in ("failed", "refused", "done") and header.get("query") != self.number:
            raise ProtocolError("an answer to another question")
        tables = _names(header.get("tables"))
        if kind == "failed":
            return replace(self._error(header.get("error")), course=course_of(header), tables=tables)
        if kind == "refused":
            return self._refusal(header, tables)
        if not collector.feed(header, payload):
            return None
        table = collector.table()
        columns = tuple((f.name, str(f.type)) for f in table.schema)
        elapsed, usage = self._elapsed(), self.worker.meter.read()
        course = course_of(header)
        return QueryResult(columns, table, collector.rows, header["truncated"], elapsed, tables, usage, course)

    def _refusal(self, header: dict[str, Any], tables: tuple[str, ...]) -> QueryFailed:
        text, error = wording.refusal(str(header.get("code")), str(header.get("subject"))), header.get("error")
        failed = QueryFailed("refused", text, elapsed=self._elapsed(), tables=tables, usage=self.worker.meter.read())
        if self.worker.mode != Mode.SIMULATED or not isinstance(error, dict):
            return failed
        return replace(
            failed, line=_number(error.get("line")), column=_number(error.get("column")), course=course_of(header),
            diagnosis=diagnosis_of(error),
        )  # fmt: skip

    def _error(self, error: Any) -> QueryFailed:
        if not isinstance(error, dict):
            raise ProtocolError("an error without content")
        kind = str(error.get("kind"))
        if kind == "time_limit" and self.interrupted is not None:
            kind = self.why
        if self.worker.mode != Mode.SIMULATED:
            return self._failed(kind)
        text = str(error.get("text", ""))[:4000] or None
        failed = self._failed(kind, _number(error.get("line")), _number(error.get("column")), text)
        return replace(failed, diagnosis=diagnosis_of(error))

    def _in_time(self) -> bool:
        """Tend the ladder and the progress; False when the worker has to be killed."""
        now = time.monotonic()
        self.worker.meter.tick()
        self._listen()
        if self.bound.passed():
            self.why = "disk_full"
            return False  # no grace: an interrupted statement may go on writing
        cancelled = self.question.cancel.is_set() or self.broken is not None
        if self.interrupted is None and (cancelled or now - self.began > self.worker.limits.wall_seconds):
            self.why = "cancelled" if cancelled else "time_limit"
            self.interrupted = now
            self.worker.jailed.control.send({"interrupt": self.number}, timeout=1)
        return self.interrupted is None or now - self.interrupted <= GRACE_SECONDS

    def _listen(self) -> None:
        heard = self.worker.jailed.control.receive(timeout=0)
        if heard is None or self.question.progress is None or heard[0].get("query") != self.number:
            return
        percent = _number(heard[0].get("progress"))
        if percent is not None and 0 <= percent <= 100:
            self.question.progress(percent)

    def _kind_of_death(self) -> str:
        if self.worker.stopped:
            return "cancelled"
        if self.interrupted is not None:
            return self.why
        reason = self.worker.jailed.death()
        return DEATHS.get(reason, "worker_died")

    def _failed(
        self, kind: str, line: int | None = None, column: int | None = None, engine_text: str | None = None
    ) -> QueryFailed:
        return failure(kind, line, column, engine_text, self._elapsed(), self.worker.meter.read())

    def _elapsed(self) -> float:
        return time.monotonic() - self.began


def failure(
    kind: str,
    line: int | None = None,
    column: int | None = None,
    engine: str | None = None,
    elapsed: float = 0.0,
    usage: Usage = Usage(),  # noqa: B008 — frozen
) -> QueryFailed:
    """A failure in the merchant's words; a kind nobody knows is worded as "failed"."""
    kind = kind if kind in wording.FAILURES else "failed"
    text, fix = wording.failure(kind), wording.REPAIRS.get(kind)
    return QueryFailed(kind, text, fix, line, column, engine, elapsed, (), usage)


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _names(value: Any) -> tuple[str, ...]:
    return tuple(str(name)[:200] for name in value[:1000]) if isinstance(value, list) else ()
