"""Use cases of workspaces: open, develop on simulated data, freeze, close."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from policies.text import Text
from sandbox.applications import repository as applications
from sandbox.applications import service as application_service
from sandbox.catalog import repository as catalogue
from sandbox.kernel import permissions
from sandbox.kernel.errors import BadInput, Conflict, InvalidTransition
from sandbox.kernel.identity import Actor
from sandbox.kernel.ids import new_id
from sandbox.kernel.unit import Platform, Unit
from sandbox.workspaces import metering, snapshot, tiers
from sandbox.workspaces.model import WORKSPACE
from sandbox.workspaces.repository import Statement, Workspace, every, get, of_application, statements

if TYPE_CHECKING:
    from sandbox.workspaces.broker import Broker, QueryFailed, QueryResult


def open_workspace(unit: Unit, application_id: str) -> Workspace:
    """Open the one workspace of an application whose grants are live."""
    application = application_service.require_live(unit, application_id)
    permissions.check(unit.actor, "workspace:open", owner=application.organisation_id)
    if of_application(unit.session, application_id):
        raise Conflict("workspace.exists", Text("该申请已有开发空间", "This application already has a workspace"))
    workspace = Workspace(
        id=new_id("wsp"), organisation_id=application.organisation_id, state=WORKSPACE.initial,
        state_since=unit.now, created_at=unit.now, application_id=application_id, tier=tiers.current(unit),
    )  # fmt: skip
    unit.session.add(workspace)
    unit.session.flush()
    unit.audit("workspace:open", "workspace", workspace.id, application=application_id, tier=workspace.tier)
    return workspace


def require_usable(unit: Unit, workspace_id: str, action: str) -> Workspace:
    """The workspace, if the actor may use it now: own, open, grants live. Raises otherwise."""
    workspace = get(unit.session, workspace_id)
    permissions.check(unit.actor, action, owner=workspace.organisation_id)
    if workspace.state != "open":
        raise InvalidTransition("workspace.not_open", Text("开发空间已冻结或关闭", "The workspace is frozen or closed"),
                                fix=Text("请联系运营机构", "Contact the operator"), id=workspace.id)  # fmt: skip
    application_service.require_live(unit, workspace.application_id)
    return workspace


def twin_tables(unit: Unit, workspace: Workspace) -> dict[str, Path]:
    """Table name → file of its simulated twin, exactly the granted columns."""
    tables: dict[str, Path] = {}
    for granted in applications.grants(unit.session, workspace.application_id):
        if granted.snapshot and granted.ended_at is None:
            name = catalogue.get(unit.session, granted.resource_id).name
            if name in tables:  # two departments may use one name
                name = f"{name}_{len(tables) + 1}"
            tables[name] = snapshot.load(unit.settings.snapshots_root, granted.snapshot["twin"]["digest"]).path
    return tables


def query(platform: Platform, broker: Broker, actor: Actor, workspace_id: str, sql: str) -> QueryResult:
    """Run SQL on the simulated twin and keep the statement in the history.

    The permission is tested first, the engine works outside any transaction, and the outcome is recorded whatever it
    is. Raises `QueryRefused` with the engine's place and text (simulated data only) when the statement fails.
    """
    from sandbox.workspaces.broker import Mode, QueryFailed, WorkspaceMount

    with platform.begin(actor) as unit:
        workspace = require_usable(unit, workspace_id, "workspace:query")
        metering.require_quota(unit, workspace_id, "query")
        tables = twin_tables(unit, workspace)
    mount = WorkspaceMount(workspace.id, Mode.SIMULATED, platform.settings.workspaces_root / workspace.id, tables)
    answer = broker.query(mount, sql)
    outcome, rows = (answer.kind, 0) if isinstance(answer, QueryFailed) else ("ok", answer.row_count)
    with platform.begin(actor) as unit:
        _record(unit, workspace_id, sql, outcome, rows, answer.elapsed)
    if isinstance(answer, QueryFailed):
        raise QueryRefused(answer)
    return answer


class QueryRefused(BadInput):
    """A statement that did not give a result, in the merchant's words; the engine's text is about simulated data."""

    def __init__(self, failed: QueryFailed) -> None:
        super().__init__(
            f"query.{failed.kind}", failed.text, fix=failed.fix, line=failed.line, column=failed.column,
            engine_text=failed.engine_text,
        )  # fmt: skip


def _record(unit: Unit, workspace_id: str, sql: str, outcome: str, rows: int, seconds: float) -> None:
    unit.session.add(
        Statement(id=new_id("stm"), workspace_id=workspace_id, account_id=unit.actor.id, at=unit.now, text=sql[:20_000],
                  outcome=outcome, rows=rows, milliseconds=round(seconds * 1000))
    )  # fmt: skip
    unit.audit("workspace:query", "workspace", workspace_id, outcome=outcome, rows=rows, simulated=True)


def change(unit: Unit, workspace_id: str, step: str, reason: str = "") -> Workspace:
    """Freeze, unfreeze (operator) or close (merchant, operator) a workspace."""
    workspace = get(unit.session, workspace_id)
    if step not in ("freeze", "unfreeze", "close"):
        raise BadInput("workspace.step", Text("只能冻结、解冻或关闭", "Freeze, unfreeze or close"))
    WORKSPACE.advance(unit, workspace, step, reason=reason)
    return workspace


def read(unit: Unit, workspace_id: str) -> Workspace:
    workspace = get(unit.session, workspace_id)
    permissions.check(unit.actor, "workspace:read", owner=workspace.organisation_id)
    return workspace


def list_for(unit: Unit) -> list[Workspace]:
    permissions.check(unit.actor, "workspace:read")
    return [
        w for w in every(unit.session)
        if permissions.permitted(unit.actor, "workspace:read", owner=w.organisation_id)
    ]  # fmt: skip


def history(unit: Unit, workspace_id: str) -> list[Statement]:
    read(unit, workspace_id)
    return statements(unit.session, workspace_id)
