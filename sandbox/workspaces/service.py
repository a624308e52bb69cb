"""The life of a workspace: open, use while its grants live, freeze, close."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import bindparam, select

from policies.text import Text
from sandbox.applications import repository as applications
from sandbox.applications import service as application_service
from sandbox.applications.repository import Application, Grant
from sandbox.catalog import repository as catalogue
from sandbox.kernel import editions, permissions
from sandbox.kernel.errors import BadInput, Conflict, InvalidTransition, NotFound
from sandbox.kernel.ids import new_id
from sandbox.kernel.unit import Unit
from sandbox.merchants.service import Merchant
from sandbox.workspaces import snapshot, tiers
from sandbox.workspaces.model import WORKSPACE
from sandbox.workspaces.repository import Workspace, every, get, of_application

_WITH_ITS_OWNER = (
    select(Workspace, Application, Merchant)
    .join(Application, Application.id == Workspace.application_id)
    .outerjoin(Merchant, Merchant.id == Workspace.organisation_id)
    .where(Workspace.id == bindparam("id"))
)


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
    # asked before every statement: one query for what the checks below look up one by one
    known = unit.session.execute(_WITH_ITS_OWNER, {"id": workspace_id}).first()
    if known is None:
        raise NotFound.of("workspace", workspace_id)
    workspace: Workspace = known.Workspace
    permissions.check(unit.actor, action, owner=workspace.organisation_id)
    if workspace.state != "open":
        raise InvalidTransition("workspace.not_open", Text("开发空间已冻结或关闭", "The workspace is frozen or closed"),
                                fix=Text("请联系运营机构", "Contact the operator"), id=workspace.id)  # fmt: skip
    application_service.require_live(unit, workspace.application_id)
    return workspace


def granted_tables(unit: Unit, workspace: Workspace) -> dict[str, Grant]:
    """Table name → its grant, for grants whose bytes are there; the same names on every binding."""
    tables: dict[str, Grant] = {}
    live = [g for g in applications.grants(unit.session, workspace.application_id) if g.snapshot and not g.ended_at]
    names = catalogue.names(unit.session, {g.resource_id for g in live})
    for granted in live:
        name = names[granted.resource_id]
        if name in tables:  # two departments may use one name
            name = f"{name}_{len(tables) + 1}"
        tables[name] = granted
    return tables


def twin_tables(unit: Unit, workspace: Workspace) -> dict[str, Path]:
    """Table name → file of its simulated twin, exactly the granted columns."""
    root = unit.settings.snapshots_root
    found = {name: (g.snapshot or {})["twin"]["digest"] for name, g in granted_tables(unit, workspace).items()}
    return {name: snapshot.load(root, digest).path for name, digest in found.items()}


def folder_mb(unit: Unit) -> int:
    """How many megabytes the folder of one mode may hold while statements run in it."""
    return int(editions.in_force(unit, "workspace").by_check("develop_limits").parameters.folder_mb)


def change(unit: Unit, workspace_id: str, step: str, reason: str = "") -> Workspace:
    """Freeze, unfreeze (operator) or close (merchant, operator) a workspace."""
    workspace = get(unit.session, workspace_id)
    if step not in ("freeze", "unfreeze", "close"):
        raise BadInput("workspace.step", Text("只能冻结、解冻或关闭", "Freeze, unfreeze or close"))
    WORKSPACE.advance(unit, workspace, step, reason=reason)
    if step == "close":
        from sandbox.workspaces import uploads  # it builds on this module

        uploads.end_with(unit, workspace)
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
