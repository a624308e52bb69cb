"""Python scripts on simulated data: the developing half of "SQL and Python". Never on real data, never in tier weak."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from policies.text import Text, UserError
from sandbox.workspaces import disk, jail, script_wording, selftest
from sandbox.workspaces.broker import DEATHS, Mode, WorkspaceMount
from sandbox.workspaces.limits import Limits
from sandbox.workspaces.protocol import ChannelClosed, ProtocolError
from sandbox.workspaces.usage import Meter, Usage, meter

OUTPUT_CAP = 1 << 20


@dataclass(frozen=True, slots=True)
class ScriptError:
    """What stopped a script: `kind` the exception's class, `message` Python's own words, `frames` the person's lines
    (file, line, code, in), outermost first. All of it is the script's own word about simulated data."""

    kind: str
    message: str
    frames: tuple[Mapping[str, Any], ...] = ()
    column: int | None = None

    def as_dict(self) -> dict[str, Any]:
        return {"class": self.kind, "message": self.message, "frames": [dict(f) for f in self.frames],
                "column": self.column}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ScriptOutcome:
    """`kind` is "done" or a failure kind; `output` what it printed (at most the cap, then `truncated`)."""

    kind: str
    text: Text
    output: str
    truncated: bool
    elapsed: float
    fix: Text | None = None
    error: ScriptError | None = None
    usage: Usage = field(default_factory=Usage)


@dataclass(slots=True)
class Watch:
    """What the platform does while a script runs: `printed` gets bytes as they come, `cancelled` is asked now and then.

    `most_files`: how many files the folder may hold beside the mount's megabytes (disk.py).
    """

    printed: Callable[[bytes], object] = lambda _bytes: None
    cancelled: Callable[[], bool] = lambda: False
    most_files: int | None = None


@dataclass(slots=True)
class _Heard:
    printed: bytearray = field(default_factory=bytearray)
    truncated: bool = False
    error: ScriptError | None = None


def require_script(mode: Mode, tested: selftest.SelfTest) -> None:
    """Raise UserError for real data and for tier weak."""
    if mode != Mode.SIMULATED or tested.tier == selftest.WEAK:
        raise UserError(
            "workspace.script",
            Text("脚本只能在仿真数据上、且隔离等级不低于中等时运行。",
                 "Scripts run on simulated data only, and not with weak isolation."),
            fix=Text("请运营机构按 pds jail selftest 的结果加固主机；SQL 查询不受影响。",
                     "The operator can harden the host by `pds jail selftest`; SQL works as before."),
        )  # fmt: skip


def execute(
    mount: WorkspaceMount,
    source: str,
    limits: Limits,
    tested: selftest.SelfTest,
    *,
    cancel: threading.Event | None = None,
    watch: Watch | None = None,
    output_cap: int = OUTPUT_CAP,
) -> ScriptOutcome:
    """Run `source` in a fresh jail over the workspace's simulated folder and tables, and wait for its end.

    The script finds `tables` (name → Parquet path) in its globals; its working folder is the workspace's own. `cancel`
    is the short form of a `watch` that does nothing else. Raises UserError for real data and for tier weak.
    """
    require_script(mount.mode, tested)
    watch = watch or Watch(cancelled=cancel.is_set if cancel else lambda: False)
    began = time.monotonic()
    order = jail.Order(
        "script", mount.own, limits, mount.mode.value, dict(mount.tables),
        extra={"source": source, "output_bytes": output_cap},
    )  # fmt: skip
    jailed = jail.start(order, tested.form)
    heard, measured = _Heard(), meter(jailed)
    bound = disk.Bound([mount.own], mount.quota_mb, jailed, files=watch.most_files)
    try:
        kind = _listen(jailed, limits.wall_seconds, watch, heard, output_cap, measured, bound)
        used = measured.read()
    finally:
        jailed.kill()
    text, fix = script_wording.of(kind, heard.error.kind if heard.error else "")
    printed = heard.printed.decode("utf-8", "replace")
    return ScriptOutcome(kind, text, printed, heard.truncated, time.monotonic() - began, fix, heard.error, used)


def _listen(
    jailed: jail.Jailed, seconds: float, watch: Watch, heard: _Heard, cap: int, measured: Meter, bound: disk.Bound
) -> str:
    """Take frames until the end, the limit or a lie; returns the kind of outcome."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        measured.tick()
        if bound.passed():
            return "disk_full"
        if watch.cancelled():
            return "cancelled"
        try:
            frame = jailed.data.receive(timeout=0.1)
        except ChannelClosed:
            return DEATHS.get(jailed.death(), "worker_died")
        except ProtocolError:
            return "protocol"
        if frame is None:
            continue
        kind = frame[0].get("is")
        if kind == "end":
            return _ended(frame[0], heard)
        if kind == "cut":
            heard.truncated = True
        elif kind != "out" or not _take(frame[1], watch, heard, cap):
            return "protocol"  # the pump never sends more than the cap: this came from the script itself
    return "time_limit"


def _take(payload: bytes, watch: Watch, heard: _Heard, cap: int) -> bool:
    """Keep what was printed; False for an empty frame or one over the cap."""
    if not payload or len(heard.printed) + len(payload) > cap:
        return False
    heard.printed += payload
    watch.printed(payload)
    return True


def _ended(header: Mapping[str, Any], heard: _Heard) -> str:
    status = header.get("status")
    if status == "done":
        return "done"
    heard.error = _error(header.get("error"))
    return "memory_limit" if status == "memory_limit" else "failed"


def _error(told: Any) -> ScriptError | None:
    """The error as the script's process tells it, cut to size and to plain values."""
    if not isinstance(told, dict):
        return None
    frames = told.get("frames")
    kept = [_frame(f) for f in frames[:8] if isinstance(f, dict)] if isinstance(frames, list) else []
    column = told.get("column")
    return ScriptError(
        str(told.get("class", ""))[:100], str(told.get("message", ""))[:2000], tuple(kept),
        column if isinstance(column, int) and not isinstance(column, bool) and 0 < column < 100_000 else None,
    )  # fmt: skip


def _frame(frame: Mapping[str, Any]) -> dict[str, Any]:
    line = frame.get("line")
    return {
        "file": str(frame.get("file", ""))[:200], "code": str(frame.get("code", ""))[:300],
        "line": line if isinstance(line, int) and not isinstance(line, bool) and 0 < line < 10_000_000 else None,
        "in": str(frame.get("in", ""))[:100],
    }  # fmt: skip
