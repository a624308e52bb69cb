"""A run of prepared steps, on the twin (everything is said) or on real data (almost nothing is said).

On real data people get: the state, the number of the step, an error class, a duration bucket, row buckets, and whether
the outputs have the columns the twin's had. No rows, no text, no position: messages, types and even result schemas
carry values. What is left is about one bit a run plus time. The full text goes to a file for the operator only.
Every run has a fresh jail; the outputs go to a folder that is mounted nowhere else.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from policies.text import Text, UserError
from sandbox.workspaces import disk, jail, wording
from sandbox.workspaces.broker import DEATHS, STRONG_ONLY, Mode, require_tier
from sandbox.workspaces.diagnosis import PUBLIC
from sandbox.workspaces.limits import Limits
from sandbox.workspaces.protocol import ChannelClosed, ProtocolError
from sandbox.workspaces.selftest import SelfTest
from sandbox.workspaces.usage import Meter, Usage, meter

Schema = tuple[tuple[str, str], ...]
_CLASSES = frozenset(PUBLIC.values()) | {"failed", "worker_died", "protocol", "file_size", "disk_full", "cancelled"}
_OURS = "by the platform"
_REPORT_CAP = 64_000
"""Characters kept of a report and of a full text: a script may say as much as a frame holds."""


class Cancel(Protocol):
    """Whoever may end a run early: a `threading.Event`, or a look at the database."""

    def is_set(self) -> bool: ...


class Never:
    """Nobody ends the run early."""

    def is_set(self) -> bool:
        return False


class State(StrEnum):
    """How a run ended."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    SCHEMA_DIFFERS = "schema_differs"


@dataclass(frozen=True, slots=True)
class Buckets:
    """Edges (policy values, ascending) behind which exact numbers disappear."""

    seconds: tuple[int, ...]
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RunOrder:
    """`steps` (name, one SELECT) in order; `outputs` names of steps to keep; `tables` name → snapshot (file or folder).

    `folder_mb` bounds what one jail leaves on the disk, its outputs included. `expected` is the twin's schema per
    output and is required on real data. `error_store` is the operator's file.
    `script`: the one step is Python (`transform`), which shares its process with the reporter, so that of its report
    only "done" and "failed" are believed.
    """

    steps: tuple[tuple[str, str], ...]
    outputs: tuple[str, ...]
    tables: Mapping[str, Path]
    output_folder: Path
    limits: Limits
    buckets: Buckets
    error_store: Path
    folder_mb: int
    expected: Mapping[str, Schema] | None = None
    script: bool = False


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What may be said about a run. `schemas`, `engine_text`, `line`, `column` are filled on the twin only; `usage` is
    for the ledger, which charges runs in coarse steps.

    On a real run everything here is one of a few values known beforehand (`alphabet`), whatever the data hold.
    """

    state: State
    step: int
    error_class: str | None
    duration: str
    rows: Mapping[str, str]
    files: Mapping[str, str]
    text: Text
    fix: Text | None = None
    schemas: Mapping[str, Schema] = field(default_factory=dict)
    engine_text: str | None = None
    line: int | None = None
    column: int | None = None
    usage: Usage = field(default_factory=Usage)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; the files (output → sha256) are for the platform's records, not for the merchant's page."""
        return {
            "state": self.state.value, "step": self.step, "error_class": self.error_class, "duration": self.duration,
            "rows": dict(self.rows), "text": self.text.as_dict(), "fix": self.fix.as_dict() if self.fix else None,
        }  # fmt: skip


def execute(
    order: RunOrder,
    mode: Mode,
    tested: SelfTest,
    *,
    accepted: frozenset[str] = STRONG_ONLY,
    cancel: Cancel | None = None,
) -> RunOutcome:
    """Run `order` in a fresh jail and wait. Outputs: `output_folder`/<n>.parquet in the order of `outputs`.

    `cancel` set by anybody ends the jail at once (revocation, the person's own wish): class "cancelled".
    Raises UserError before anything runs: the tier, an order without the twin's schema, a folder already used.
    """
    if mode == Mode.REAL:
        require_tier(tested, accepted)
    _check(order, mode)
    order.output_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    began = time.monotonic()
    try:
        header, full, usage = _in_jail(order, mode, tested.form, cancel or Never())
    finally:
        _take_back(order.output_folder)
    seconds = time.monotonic() - began
    _for_the_operator(order, header, full, seconds)
    outcome = replace(_outcome(order, mode, header, seconds), usage=usage)
    if outcome.state != State.DONE:
        _empty(order.output_folder)
    return outcome


def _check(order: RunOrder, mode: Mode) -> None:
    names = [name for name, _sql in order.steps]
    problem = None
    if not names or len({n.casefold() for n in (*names, *order.tables)}) != len(names) + len(order.tables):
        problem = Text("步骤为空，或名称重复。", "No steps, or a name is used twice.")
    elif not order.outputs or not set(order.outputs) <= set(names):
        problem = Text("输出必须是某个步骤的名称。", "Outputs have to be names of steps.")
    elif mode == Mode.REAL and (order.expected is None or set(order.expected) != set(order.outputs)):
        problem = Text("请先在仿真数据上运行一次。", "Run it on the simulated twin first.")
    elif order.output_folder.exists() and any(order.output_folder.iterdir()):
        problem = Text("输出目录已被使用。", "The output folder was used before.")
    if problem is not None:
        raise UserError("workspace.run", problem)


def _in_jail(order: RunOrder, mode: Mode, form: str, cancel: Cancel) -> tuple[dict[str, Any], bytes, Usage]:
    """The one report of the jailed runner and what it used; no report becomes a report of that."""
    extra: dict[str, Any] = {"outputs": list(order.outputs)}
    extra |= {"script": order.steps[0][1]} if order.script else {"steps": [list(step) for step in order.steps]}
    # beside the output, not in the machine's own folder: a killed worker's leavings are swept with its job
    with tempfile.TemporaryDirectory(prefix="run-", dir=order.output_folder.parent) as home:
        inside = jail.Order(
            "transform" if order.script else "run", Path(home), order.limits, mode.value, dict(order.tables),
            output=order.output_folder, extra=extra,
        )  # fmt: skip
        jailed = jail.start(inside, form)
        measured = meter(jailed)
        try:
            bound = disk.Bound([Path(home), order.output_folder], order.folder_mb, jailed)
            report = _report(jailed, order.limits.wall_seconds, cancel, bound, measured)
            return *report, measured.read()
        finally:
            jailed.kill()


def _report(
    jailed: jail.Jailed, seconds: float, cancel: Cancel, bound: disk.Bound, measured: Meter
) -> tuple[dict[str, Any], bytes]:  # fmt: skip
    try:
        return _awaited(jailed, seconds, cancel, bound, measured)
    except ProtocolError as error:
        return _ended("protocol", str(error))
    except ChannelClosed:
        reason = jailed.death()
        return _ended(DEATHS.get(reason, "worker_died"), reason)


def _awaited(
    jailed: jail.Jailed, seconds: float, cancel: Cancel, bound: disk.Bound, measured: Meter
) -> tuple[dict[str, Any], bytes]:  # fmt: skip
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        measured.tick()
        frame = jailed.data.receive(timeout=0.2)
        if frame is not None:
            frame[0].pop(_OURS, None)
            return _ended("disk_full", "folder over its bound") if bound.exceeded() else frame
        if cancel.is_set():
            return _ended("cancelled", "asked to stop")
        if bound.passed():
            return _ended("disk_full", "folder over its bound")
    return _ended("time_limit", "wall clock")


def _ended(kind: str, reason: str) -> tuple[dict[str, Any], bytes]:
    """A report of the platform's own, about a jail that gave none."""
    return {"is": "failed", "step": 0, "error": {"kind": kind}, "class": reason, _OURS: True}, b""


def _outcome(order: RunOrder, mode: Mode, header: dict[str, Any], seconds: float) -> RunOutcome:
    duration = bucket(seconds, order.buckets.seconds)
    step = header.get("step")
    step = step if isinstance(step, int) and 0 <= step <= len(order.steps) else 0
    if header.get("is") == "refused" and mode == Mode.SIMULATED and not order.script:
        refusal = header.get("refusal") or {}
        # on real data no word of the jail's own is passed on: the twin's run has said which name it was
        subject = str(refusal.get("subject")) if mode == Mode.SIMULATED else ""
        text = wording.refusal(str(refusal.get("code")), subject)
        return RunOutcome(State.REFUSED, step, "refused", duration, {}, {}, text)
    written = _written(order, header) if header.get("is") == "done" else None
    if written is None:
        return _failure(order, mode, header, step, duration)
    schemas = {name: schema for name, (schema, _rows) in written.items()}
    if order.expected is not None and dict(order.expected) != schemas:
        text = Text(
            "输出的列与仿真数据上的不一致，结果已删除。",
            "The outputs' columns differ from those on simulated data; the outputs were deleted.",
        )
        fix = Text("请显式转换每一列的类型。", "Cast every column to a type explicitly.")
        return RunOutcome(State.SCHEMA_DIFFERS, step, "schema_differs", duration, {}, {}, text, fix)
    rows = {name: bucket(count, order.buckets.rows) for name, (_schema, count) in written.items()}
    files = {name: _sha256(order.output_folder / f"{n}.parquet") for n, name in enumerate(order.outputs)}
    shown = schemas if mode == Mode.SIMULATED else {}
    text = Text("运行完成。", "The run finished.")
    return RunOutcome(State.DONE, step, None, duration, rows, files, text, schemas=shown)


def _failure(order: RunOrder, mode: Mode, header: dict[str, Any], step: int, duration: str) -> RunOutcome:
    """A statement that was fine on the twin and is refused on real data is a failure like others: the guard's subject
    is a text from inside the jail."""
    error = header.get("error")
    error = error if isinstance(error, dict) else {}
    kind = str(error.get("kind", "failed" if header.get("is") == "refused" else "protocol"))
    if mode == Mode.REAL:
        kind = kind if kind in _CLASSES and (not order.script or header.get(_OURS)) else "failed"
        return RunOutcome(State.FAILED, step, kind, duration, {}, {}, wording.failure(kind), wording.REPAIRS.get(kind))
    line, column = (v if isinstance(v, int) else None for v in (error.get("line"), error.get("column")))
    return RunOutcome(
        State.FAILED, step, kind, duration, {}, {}, wording.failure(kind), wording.REPAIRS.get(kind),
        engine_text=str(error.get("text", ""))[:4000] or None, line=line, column=column,
    )  # fmt: skip


def _written(order: RunOrder, header: dict[str, Any]) -> dict[str, tuple[Schema, int]] | None:
    """What the runner says it wrote, believed only where the files are there; None for anything else."""
    try:
        found = {
            str(o["name"]): (tuple((str(n), str(t)) for n, t in o["schema"]), int(o["rows"])) for o in header["outputs"]
        }
    except (KeyError, TypeError, ValueError):
        return None
    files = [order.output_folder / f"{place}.parquet" for place in range(len(order.outputs))]
    there = all(f.is_file() and not f.is_symlink() for f in files)
    return found if list(found) == list(order.outputs) and there else None


def alphabet(steps: int, buckets: Buckets) -> int:
    """How many different outcomes a real run of `steps` steps can show: an upper bound of what it tells.

    Done in a row bucket, or stopped at a step with a class; each in a duration bucket.
    """
    classes = len(_CLASSES | {"schema_differs"})
    return ((len(buckets.rows) + 1) + (steps + 1) * classes) * (len(buckets.seconds) + 1)


def bucket(value: float, edges: Sequence[int]) -> str:
    """The bucket of `value`: "<10", "10-60", ">=60" for edges (10, 60)."""
    place = bisect_right(edges, value)
    if place == 0:
        return f"<{edges[0]}"
    if place == len(edges):
        return f">={edges[-1]}"
    return f"{edges[place - 1]}-{edges[place]}"


def _for_the_operator(order: RunOrder, header: dict[str, Any], full: bytes, seconds: float) -> None:
    """Append the exact report to the operator's file (mode 0600); the caller records every access to it."""
    said = json.dumps(header, ensure_ascii=False)
    entry = {
        "steps": [name for name, _text in order.steps], "report": said[:_REPORT_CAP], "seconds": round(seconds, 3),
        "full": full.decode("utf-8", "replace")[-_REPORT_CAP:],
    }  # fmt: skip
    order.error_store.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(order.error_store, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "a", encoding="utf-8") as out:
        out.write(json.dumps(entry, ensure_ascii=False) + "\n")


def _take_back(folder: Path) -> None:
    """The folder was the jail's; from here on it is the platform's alone, and nothing in it is a link or a program."""
    os.chown(folder, os.geteuid(), os.getegid())
    folder.chmod(0o700)
    for entry in list(folder.iterdir()):
        if entry.is_symlink() or not entry.is_file():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
            continue
        os.chown(entry, os.geteuid(), os.getegid(), follow_symlinks=False)
        entry.chmod(0o400)


def _empty(folder: Path) -> None:
    for entry in list(folder.iterdir()):
        entry.unlink()


def _sha256(path: Path) -> str:
    with path.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()
