"""Use cases of a workspace's files: list, download, show a picture, delete. Simulated data, for its own merchant."""

from __future__ import annotations

from pathlib import Path

from policies.text import Text
from sandbox.kernel import editions, permissions
from sandbox.kernel.errors import NotFound
from sandbox.kernel.unit import Unit
from sandbox.workspaces import files, metering, repository, service
from sandbox.workspaces.broker import Mode
from sandbox.workspaces.limits import MEGABYTE


def folder_of(unit: Unit, workspace_id: str, action: str) -> Path:
    """The workspace's simulated folder, for its own merchant. Closed workspaces still show what they hold."""
    workspace = repository.get(unit.session, workspace_id)
    permissions.check(unit.actor, action, owner=workspace.organisation_id)
    return unit.settings.workspaces_root / workspace.id / Mode.SIMULATED.value


def list_files(unit: Unit, workspace_id: str) -> files.Contents:
    """What the folder holds now."""
    return files.contents(folder_of(unit, workspace_id, "file:read"))


def open_file(unit: Unit, workspace_id: str, file_id: str) -> files.Opened:
    """Open a file for download; on record. The caller reads and closes it. Raises `NotFound`."""
    opened = files.open_file(folder_of(unit, workspace_id, "file:read"), file_id)
    metering.record(unit, workspace_id, "download", size=opened.size)
    unit.audit("file:download", "workspace", workspace_id, bytes=opened.size, simulated=True)
    return opened


def open_picture(unit: Unit, workspace_id: str, file_id: str, limit: int = 8 * MEGABYTE) -> files.Opened:
    """Open a PNG to be shown. Raises `NotFound` for anything else and for one over `limit` bytes."""
    opened = files.open_file(folder_of(unit, workspace_id, "file:read"), file_id)
    if not opened.is_png or opened.size > limit:
        opened.stream.close()
        raise NotFound("file.no_picture", Text("不是可显示的 PNG 图片", "This is no PNG that can be shown"))
    return opened


def delete_file(unit: Unit, workspace_id: str, file_id: str) -> files.WorkspaceFile:
    """Delete one file. Raises `NotFound`, `Conflict` (the database)."""
    service.require_usable(unit, workspace_id, "file:delete")
    gone = files.delete(folder_of(unit, workspace_id, "file:delete"), file_id)
    unit.audit("file:delete", "workspace", workspace_id, bytes=gone.on_disk)
    return gone


def storage_limit(unit: Unit) -> tuple[int, int]:
    """(bytes, number of files) that the folder may hold."""
    policy = editions.in_force(unit, "workspace")
    bounds, rules = policy.by_check("script_limits").parameters, policy.by_check("scripts").parameters
    return bounds.folder_mb * MEGABYTE, rules.files
