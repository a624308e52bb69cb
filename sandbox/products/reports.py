"""What the engine really said about a run: inside the boundary, for operators, each look with a reason and an event.

The texts may quote records, so they are in files of the platform's account alone: never in the database, in a log or
in the scheduler's memory. They are deleted when the policy's days are over.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from policies.text import Text
from sandbox.kernel import editions, permissions
from sandbox.kernel.errors import BadInput, NotFound
from sandbox.kernel.settings import Settings
from sandbox.kernel.unit import Unit
from sandbox.products import repository

LEAST_REASON = 4
"""Characters of a reason that can be called one."""


@dataclass(frozen=True, slots=True)
class Report:
    """One jail's report: `on` simulated or real data, its steps, the engine's words, exact seconds."""

    on: str
    steps: tuple[str, ...]
    report: str
    full: str
    seconds: float


def place(settings: Settings, run_id: str, on: str) -> Path:
    """The file a run's reports are appended to; `on`: twin or real."""
    return _root(settings) / run_id / f"{on}.jsonl"


def _root(settings: Settings) -> Path:
    return settings.home / "operator-only" / "runs"


def look(unit: Unit, run_id: str, reason: str) -> list[Report]:
    """Everything the engine said about a run. One audit event a look, with its reason.

    Raises `NotPermitted` for anybody but operators, `BadInput` without a reason, `NotFound` where nothing is kept.
    """
    permissions.check(unit.actor, "run:diagnose")
    run = repository.get(unit.session, run_id)
    if len(reason.strip()) < LEAST_REASON:
        raise BadInput(
            "run.reason_missing",
            Text("查看真实数据的报错原文须写明理由", "Looking at the full text of a real run needs a reason"),
            fix=Text("请写明为什么需要查看，例如工单编号", "Say why you need it, such as a ticket"),
        )
    found = [_read(line, on) for on in ("twin", "real") for line in _lines(place(unit.settings, run.id, on))]
    if not found:
        raise NotFound("run.no_report", Text("没有保存的报错原文，或已按期限删除", "Nothing is kept, or no longer"))
    # not called "reason": pages show reasons to everybody who sees the run, and this one may name a value
    unit.audit("run:diagnose", "run", run.id, grounds=reason.strip(), reports=len(found))
    return found


def kept(unit: Unit, run_id: str) -> bool:
    """Whether reports of a run are still there."""
    return place(unit.settings, run_id, "real").parent.exists()


def dispose_due(unit: Unit) -> list[str]:
    """Delete the reports of runs that ended before the policy's days; returns the runs' ids."""
    days = editions.in_force(unit, "workspace").by_check("report_retention").parameters.days
    folder = _root(unit.settings)
    there = [p.name for p in sorted(folder.iterdir())] if folder.exists() else []
    due = repository.ended_before(unit.session, there, unit.now - timedelta(days=days))
    for run_id in due:
        shutil.rmtree(folder / run_id)
        unit.audit("run:dispose_reports", "run", run_id, days=days)
    return due


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


def _read(line: str, on: str) -> Report:
    entry: dict[str, Any] = json.loads(line)
    return Report("simulated" if on == "twin" else "real", tuple(entry["steps"]), entry["report"], entry["full"],
                  entry["seconds"])  # fmt: skip
