"""Python scripts on simulated data: the developing half of "SQL and Python". Never on real data, never in tier weak."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from policies.text import Text, UserError
from sandbox.workspaces import jail, selftest, wording
from sandbox.workspaces.broker import DEATHS, Mode, WorkspaceMount
from sandbox.workspaces.limits import Limits
from sandbox.workspaces.protocol import ChannelClosed, ProtocolError

OUTPUT_CAP = 1 << 20


@dataclass(frozen=True, slots=True)
class ScriptOutcome:
    """`kind` is "done" or a failure kind; `output` what it printed (at most 1 MiB, then `truncated`)."""

    kind: str
    text: Text
    output: str
    truncated: bool
    elapsed: float


def execute(
    mount: WorkspaceMount,
    source: str,
    limits: Limits,
    tested: selftest.SelfTest,
    *,
    cancel: threading.Event | None = None,
) -> ScriptOutcome:
    """Run `source` in a fresh jail over the workspace's simulated folder and tables, and wait for its end.

    The script finds `tables` (name → Parquet path) in its globals; its working folder is the workspace's own.
    Raises UserError for real data and for tier weak.
    """
    if mount.mode != Mode.SIMULATED or tested.tier == selftest.WEAK:
        raise UserError(
            "workspace.script",
            Text("脚本只能在仿真数据上、且隔离等级不低于中等时运行。",
                 "Scripts run on simulated data only, and not with weak isolation."),
        )  # fmt: skip
    began = time.monotonic()
    order = jail.Order("script", mount.own, limits, mount.mode.value, dict(mount.tables), extra={"source": source})
    jailed = jail.start(order, tested.form)
    try:
        kind, printed, truncated = _listen(jailed, limits.wall_seconds, cancel or threading.Event())
    finally:
        jailed.kill()
    text = Text("脚本运行完成。", "The script finished.") if kind == "done" else wording.failure(kind)
    return ScriptOutcome(kind, text, printed.decode("utf-8", "replace"), truncated, time.monotonic() - began)


def _listen(jailed: jail.Jailed, seconds: float, cancel: threading.Event) -> tuple[str, bytes, bool]:
    printed, truncated = bytearray(), False
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            frame = jailed.data.receive(timeout=0.2)
        except ChannelClosed:
            return DEATHS.get(jailed.death(), "worker_died"), bytes(printed), truncated
        except ProtocolError:
            return "protocol", bytes(printed), truncated
        if cancel.is_set():
            return "cancelled", bytes(printed), truncated
        if frame is None:
            continue
        if frame[0].get("is") == "end":
            status = str(frame[0].get("status"))
            return status if status in ("done", *wording.FAILURES) else "failed", bytes(printed), truncated
        room = OUTPUT_CAP - len(printed)
        truncated = truncated or len(frame[1]) > room
        printed += frame[1][:room]
    return "time_limit", bytes(printed), truncated
