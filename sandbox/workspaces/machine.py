"""The operator's view of workspaces on this machine: who runs, who is idle, what is left; never what they work on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox.kernel import permissions
from sandbox.kernel.clock import city_date
from sandbox.kernel.unit import Unit
from sandbox.workspaces import metering_record, quotas
from sandbox.workspaces.metering_record import Totals
from sandbox.workspaces.quotas import Standing
from sandbox.workspaces.repository import Workspace, every

if TYPE_CHECKING:
    from sandbox.workspaces.broker import Broker


@dataclass(frozen=True, slots=True)
class Seat:
    """One workspace: its live workers as the broker tells them, its use of today, the daily quota nearest its end."""

    workspace: Workspace
    workers: list[dict[str, Any]]
    today: Totals
    nearest: Standing

    @property
    def running(self) -> bool:
        return any(worker["running"] for worker in self.workers)


@dataclass(frozen=True, slots=True)
class Machine:
    """`load` as `Broker.load`; empty where no broker is up. Running workspaces come first, then those with use."""

    load: Mapping[str, int | str]
    seats: list[Seat]


def overview(unit: Unit, broker: Broker | None) -> Machine:
    """All workspaces that are not closed."""
    permissions.check(unit.actor, "machine:read")
    live: dict[str, list[dict[str, Any]]] = {}
    for worker in broker.status() if broker is not None else ():
        live.setdefault(worker["workspace"], []).append(worker)
    today = city_date(unit.now).isoformat()
    used = metering_record.totals(unit.session, "workspace_id", first=today, last=today)
    seats = [
        _seat(unit, workspace, live.get(workspace.id, []), used.get(workspace.id) or Totals({}))
        for workspace in every(unit.session)
        if workspace.state != "closed"
    ]
    seats.sort(key=lambda seat: (not seat.running, not seat.workers, -seat.nearest.percent))
    return Machine(broker.load() if broker is not None else {}, seats)


def _seat(unit: Unit, workspace: Workspace, workers: list[dict[str, Any]], today: Totals) -> Seat:
    standings = quotas.raised(unit, workspace.id, quotas.standings(unit, workspace.id, stored=False))
    return Seat(workspace, workers, today, max(standings.values(), key=lambda standing: standing.percent))
