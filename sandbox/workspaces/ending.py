"""When a grant ends: nothing new starts, what runs is stopped, and what is left of the bytes is removed.

The worker processes live in the API server, while an end may come from anywhere (the clock, the job worker, another
server, the command line). So the server asks the database, not the other way round: before every statement it sends
and every script it starts (`permit`), and every second for all that runs or waits (`stop_ended`). The disposal,
wherever it runs, looks at the kernel's own list of mounts and ends what still holds a snapshot or an upload before it
says that the bytes are gone.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, select

from policies.text import Text
from sandbox.applications import service as application_service
from sandbox.applications.repository import Application
from sandbox.kernel.errors import InvalidTransition, NotFound, Unavailable
from sandbox.kernel.identity import SYSTEM
from sandbox.kernel.unit import Platform, Unit
from sandbox.workspaces.repository import Workspace, of_application

if TYPE_CHECKING:
    from sandbox.workspaces.broker import Broker

PREVIEW = "preview-"
"""how the folders begin that a preview's process has while it lives"""
GRACE_SECONDS = 3.0
"""how long a disposal waits for the server to end its workers before it ends them itself"""


_STANDING = (
    select(Workspace.state.label("workspace"), Application.state, Application.expires_at)
    .join(Application, Application.id == Workspace.application_id)
    .where(Workspace.id == bindparam("id"))
)


def usable(unit: Unit, workspace_id: str) -> bool:
    """Whether statements may run in this workspace at this moment, whoever asks. Raises `NotFound`."""
    found = unit.session.execute(_STANDING, {"id": workspace_id}).first()
    if found is None:
        raise NotFound.of("workspace", workspace_id)
    return found.workspace == "open" and application_service.live(unit, found.state, found.expires_at)


def permit(platform: Platform) -> Callable[[str], None]:
    """The broker's last question before a statement goes to a worker. Raises `InvalidTransition` once it has ended."""

    def ask(workspace_id: str) -> None:
        with platform.looking(SYSTEM) as unit:
            if usable(unit, workspace_id):
                return
        raise InvalidTransition(
            "workspace.ended", Text("授权已结束或空间已冻结，语句未执行", "The grant has ended: nothing was run"),
            fix=Text("请查看申请状态", "Look at the application's state"),
        )  # fmt: skip

    return ask


def stop_ended(platform: Platform, broker: Broker) -> int:
    """End what runs in workspaces that may no longer be used, and how many those were; called again and again by the
    server."""
    alive = broker.present()
    if not alive:
        return 0
    with platform.looking(SYSTEM) as unit:
        ended = [name for name in alive if not usable(unit, name)]
    for name in ended:
        broker.stop(name)
    return len(ended)


def real_folders(unit: Unit, application_id: str) -> list[Path]:
    """Where the application's workspace keeps what was made of real rows; the simulated side is its merchant's own."""
    workspace = of_application(unit.session, application_id)
    if workspace is None:
        return []
    place = unit.settings.workspaces_root / workspace.id
    return [place / "real", *place.glob(f"{PREVIEW}*")]  # the second kind only after a crash


def remove_folders(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """Delete each folder: what it held, and that it is gone."""
    told = []
    for folder in folders:
        files = [f for f in folder.rglob("*") if f.is_file() and not f.is_symlink()] if folder.exists() else []
        size = sum(f.stat().st_size for f in files)
        if folder.exists():
            shutil.rmtree(folder)
        told.append({"workspace": folder.parent.name, "files": len(files), "bytes": size, "gone": not folder.exists()})
    return told


def end_holders(digests: Collection[str], grace: float = GRACE_SECONDS) -> int:
    """Wait until no jail mounts these snapshots (or uploads, by id), then end those that still do; how many those were.

    Raises `Unavailable` when one cannot be ended: deleted bytes would live on in it.
    """
    until = time.monotonic() + grace
    while found := _holders(digests):
        if time.monotonic() > until:
            break
        time.sleep(0.1)
    for process in found:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    until = time.monotonic() + grace
    while _holders(digests):
        if time.monotonic() > until:
            raise Unavailable(
                "grant.still_held", Text("仍有进程占用授权数据，暂不能销毁", "A process still holds the granted data"),
                fix=Text("请运营人员结束相关进程后重试任务", "End that process, then retry the job"),
            )  # fmt: skip
        time.sleep(0.1)
    return len(found)


def _holders(digests: Collection[str]) -> list[int]:
    """Jailed processes that have one of the snapshots or uploads mounted, by the mounts of their own view."""
    names = [digest.encode() for digest in digests]
    ours = Path("/proc/self/ns/mnt").stat().st_ino
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):  # it ended, or is not ours to look at
            if (entry / "ns/mnt").stat().st_ino != ours and any(n in (entry / "mountinfo").read_bytes() for n in names):
                found.append(int(entry.name))
    return found
