"""Use cases of scripts: save, run in the background, watch, cancel. Simulated data only.

A run lives in a thread of this process and in its record; what it prints goes to a file beside the workspace's folder,
never inside it, so anybody may follow it by offset. A run whose process was lost ends with its time limit.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from policies.text import Text
from sandbox.kernel import editions, permissions
from sandbox.kernel.errors import BadInput, Conflict, InvalidTransition, LimitExceeded
from sandbox.kernel.identity import Actor
from sandbox.kernel.ids import new_id
from sandbox.kernel.unit import Platform, Unit
from sandbox.workspaces import disk, files, metering, own_record, script, service, uploads
from sandbox.workspaces.broker import Mode, WorkspaceBusy, WorkspaceMount
from sandbox.workspaces.limits import Limits
from sandbox.workspaces.own_record import Script, ScriptRun
from sandbox.workspaces.repository import Workspace
from sandbox.workspaces.usage import Usage

if TYPE_CHECKING:
    from sandbox.workspaces.broker import Broker

KIND = "script"
_GRACE = timedelta(seconds=30)
_TAIL = 3  # bytes that a character may lack at the end of what was read
_FILES_NAMED = 100


@dataclass(frozen=True, slots=True)
class _Task:
    """Everything a run needs once its transaction is over."""

    platform: Platform
    broker: Broker
    actor: Actor
    run_id: str
    workspace_id: str
    source: str
    mount: WorkspaceMount
    limits: Limits
    log: Path
    output_bytes: int
    most_files: int
    kept: int


# ---- running ----


def start(
    platform: Platform, broker: Broker, actor: Actor, workspace_id: str, source: str, *, name: str = "",
    script_id: str | None = None,
) -> ScriptRun:  # fmt: skip
    """Begin a run in the background and return its record; `tables` in it are the granted twins and accepted uploads.

    Raises what stands in the way: the workspace, the tier, a script that is running, a full machine, a full folder.
    """
    script.require_script(Mode.SIMULATED, broker.tested)
    with platform.begin(actor) as unit:
        workspace = service.require_usable(unit, workspace_id, "script:run")
        metering.require_quota(unit, workspace_id, "script")
        task = _prepared(unit, broker, workspace, _checked(unit, source))
        made = ScriptRun(
            id=task.run_id, workspace_id=workspace.id, organisation_id=workspace.organisation_id, account_id=actor.id,
            script_id=script_id, name=name.strip()[:80], source=task.source, started_at=unit.now,
            until=unit.now + timedelta(seconds=task.limits.wall_seconds + broker.limits.wall_seconds) + _GRACE,
            cancel_asked=False, queued=0, truncated=False, files=[],
        )  # fmt: skip
        unit.session.add(made)
        unit.audit("script:start", "workspace", workspace.id, run=made.id, bytes=len(task.source), simulated=True)
    threading.Thread(target=_work, args=(task,), name=f"script-{task.run_id}", daemon=True).start()
    return made


def _prepared(unit: Unit, broker: Broker, workspace: Workspace, source: str) -> _Task:
    policy = editions.in_force(unit, "workspace")
    rules, bounds = policy.by_check("scripts").parameters, policy.by_check("script_limits").parameters
    if own_record.running(unit.session, unit.now, workspace.id):
        raise Conflict("script.running", Text("本工作空间正在运行另一个脚本", "Another script of this workspace runs"),
                       fix=Text("请等待其完成，或先取消它", "Wait for it, or cancel it first"))  # fmt: skip
    home = unit.settings.workspaces_root / workspace.id
    tables = uploads.with_granted(unit, workspace)
    mount = WorkspaceMount(workspace.id, Mode.SIMULATED, home, tables, quota_mb=bounds.folder_mb)
    task = _Task(
        unit.platform, broker, unit.actor, new_id("scr"), workspace.id, source, mount,
        Limits(**{key: getattr(bounds, key) for key in Limits.__dataclass_fields__}),
        home / "scripts", rules.output_kb << 10, rules.files, rules.kept,
    )  # fmt: skip
    if disk.share([mount.own], mount.quota_mb, files=rules.files) > 1.0:
        raise LimitExceeded("script.disk_full", Text("工作空间的文件已达存储配额", "The storage quota is used up"),
                            fix=Text("请先在“文件”页删除不需要的文件", "Delete files first"))  # fmt: skip
    return task


def _checked(unit: Unit, source: str) -> str:
    limit = editions.in_force(unit, "workspace").by_check("scripts").parameters.source_kb
    source = source.replace("\r\n", "\n")
    if not source.strip():
        raise BadInput("script.empty", Text("脚本是空的", "The script is empty"))
    if len(source.encode("utf-8", "replace")) > limit << 10:
        raise LimitExceeded("script.too_long", Text(f"脚本超过 {limit} KB", f"The script is over {limit} KB"),
                            fix=Text("请把数据放进文件，而不是写进脚本", "Keep data in files"))  # fmt: skip
    return source.encode("utf-8", "replace").decode()


def _work(task: _Task) -> None:
    """The whole run, in its thread; however it ends, the record says so."""
    before = {f.id: f.stamp for f in files.contents(task.mount.own).files}
    facts: dict[str, Any] = {"outcome": "worker_died"}
    used = Usage()
    try:
        task.log.mkdir(parents=True, exist_ok=True, mode=0o700)
        facts, used = _run(task) or ({"outcome": "cancelled"}, used)
    except WorkspaceBusy:
        facts = {"outcome": "busy"}
    except InvalidTransition:  # the grant ended while it waited: nothing was run
        facts = {"outcome": "cancelled"}
    finally:
        after = files.contents(task.mount.own).files
        written = [f for f in after if f.readable and before.get(f.id) != f.stamp][:_FILES_NAMED]
        facts["files"] = [{"id": f.id, "path": f.path, "kind": f.kind, "size": f.size} for f in written]
        _record(task, facts, used)


def _run(task: _Task) -> tuple[dict[str, Any], Usage] | None:
    """Wait for a place on the machine and run; None when it was cancelled before."""
    place = task.broker.place(
        task.workspace_id, KIND, memory_mb=task.limits.memory_mb, waiting=lambda position: _queued(task, position)
    )
    with place as ticket, _log(task.log, task.run_id).open("xb", buffering=0) as printed:
        if ticket is None:
            return None
        _queued(task, 0)
        watch = script.Watch(printed.write, lambda: ticket.cancel.is_set() or _cancel_asked(task), task.most_files)
        if task.broker.permit is not None:
            task.broker.permit(task.workspace_id)
        ended = script.execute(
            task.mount, task.source, task.limits, task.broker.tested, watch=watch, output_cap=task.output_bytes
        )
    return {
        "outcome": ended.kind, "milliseconds": round(ended.elapsed * 1000), "truncated": ended.truncated,
        "error": ended.error.as_dict() if ended.error else None,
    }, ended.usage  # fmt: skip


def _queued(task: _Task, position: int) -> None:
    with task.platform.database.transaction() as session:
        own_record.script_run(session, task.run_id).queued = position


def _record(task: _Task, facts: dict[str, Any], used: Usage) -> None:
    with task.platform.begin(task.actor) as unit:
        run = own_record.script_run(unit.session, task.run_id)
        for key, value in facts.items():
            setattr(run, key, value)
        metering.record(unit, task.workspace_id, "script", used, subject=run.id)
        unit.audit("script:end", "workspace", task.workspace_id, run=run.id, outcome=run.outcome,
                   files=len(run.files), simulated=True)  # fmt: skip
        for old in own_record.script_runs(unit.session, task.workspace_id)[task.kept :]:
            _log(task.log, old.id).unlink(missing_ok=True)
            unit.session.delete(old)


def _cancel_asked(task: _Task) -> bool:
    """Whether somebody asked it to stop, from whichever process."""
    with task.platform.database.transaction() as session:
        run = session.get(ScriptRun, task.run_id)
        return run is None or run.cancel_asked


def cancel(unit: Unit, broker: Broker, run_id: str) -> ScriptRun:
    """Ask a run to stop, also one that waits; it does within a second. One that has ended stays as it is."""
    run = _mine(unit, run_id, "script:run")
    if run.outcome is None and not run.cancel_asked:
        run.cancel_asked = True
        broker.cancel(run.workspace_id, KIND)
        unit.audit("script:cancel", "workspace", run.workspace_id, run=run.id)
    return run


# ---- looking ----


def read(unit: Unit, run_id: str) -> ScriptRun:
    """One run, for its own merchant; one that lost its process is told as such."""
    run = _mine(unit, run_id, "script:read")
    if run.outcome is None and run.until < unit.now:
        run.outcome = "worker_died"
    return run


def _mine(unit: Unit, run_id: str, action: str) -> ScriptRun:
    run = own_record.script_run(unit.session, run_id)
    permissions.check(unit.actor, action, owner=run.organisation_id)
    return run


def history(unit: Unit, workspace_id: str) -> list[ScriptRun]:
    """Runs of a workspace, newest first."""
    workspace = service.read(unit, workspace_id)
    permissions.check(unit.actor, "script:read", owner=workspace.organisation_id)
    return [read(unit, run.id) for run in own_record.script_runs(unit.session, workspace_id)]


def output(unit: Unit, run: ScriptRun, offset: int = 0) -> tuple[str, int]:
    """What the run has printed from byte `offset` on, and the offset to go on from; whole characters only."""
    try:
        with _log(unit.settings.workspaces_root / run.workspace_id / "scripts", run.id).open("rb") as log:
            log.seek(max(0, offset))
            found = log.read()
    except OSError:
        return "", offset
    if run.outcome is None:
        for cut in range(min(_TAIL, len(found)) + 1):
            try:
                text = found[: len(found) - cut].decode()
            except UnicodeDecodeError:
                continue
            return text, offset + len(found) - cut
    return found.decode("utf-8", "replace"), offset + len(found)


def _log(folder: Path, run_id: str) -> Path:
    return folder / f"{os.path.basename(run_id)}.log"  # noqa: PTH119 — an id, whatever a record says


# ---- saved scripts ----


def save(unit: Unit, workspace_id: str, name: str, source: str) -> Script:
    """Save under a name; the same name again replaces the text."""
    workspace = service.require_usable(unit, workspace_id, "script:run")
    source, name = _checked(unit, source), name.strip()
    if not 0 < len(name) <= 80 or not name.isprintable():
        raise BadInput("script.name", Text("脚本名称须为 1—80 个可见字符", "A name has 1 to 80 visible characters"))
    found = own_record.scripts(unit.session, workspace.id)
    made = next((s for s in found if s.name == name), None)
    if made is None:
        if len(found) >= editions.in_force(unit, "workspace").by_check("scripts").parameters.saved:
            raise LimitExceeded("script.too_many", Text("保存的脚本已达上限", "No more scripts can be saved"),
                                fix=Text("请先删除不用的脚本", "Delete some first"))  # fmt: skip
        made = Script(id=new_id("scp"), workspace_id=workspace.id, organisation_id=workspace.organisation_id,
                      name=name, source=source, saved_by=unit.actor.id, saved_at=unit.now)  # fmt: skip
        unit.session.add(made)
    made.source, made.saved_by, made.saved_at = source, unit.actor.id, unit.now
    unit.session.flush()
    unit.audit("script:save", "workspace", workspace.id, script=made.id)
    return made


def saved(unit: Unit, workspace_id: str) -> list[Script]:
    """Saved scripts of a workspace, last saved first."""
    workspace = service.read(unit, workspace_id)
    permissions.check(unit.actor, "script:read", owner=workspace.organisation_id)
    return own_record.scripts(unit.session, workspace_id)


def delete(unit: Unit, script_id: str) -> Script:
    """Delete a saved script; its runs stay on record."""
    found = own_record.script(unit.session, script_id)
    permissions.check(unit.actor, "script:run", owner=found.organisation_id)
    unit.session.delete(found)
    unit.audit("script:delete", "workspace", found.workspace_id, script=found.id)
    return found
