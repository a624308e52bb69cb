"""Merchants side by side on one running platform: real database, real jails, real rows, real HTTP.

Every table of every application holds rows that name whose they are, so that anything found at the wrong place tells
where it came from.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import uvicorn
from fastapi import FastAPI

import sandbox.migrations.tables  # noqa: F401 - every table must be known before the first query
from api.app import create_app
from sandbox.applications import repository as application_records
from sandbox.applications import service as applications
from sandbox.catalog import repository as catalogue
from sandbox.kernel.clock import FixedClock
from sandbox.kernel.identity import Actor
from sandbox.kernel.settings import Settings
from sandbox.kernel.unit import Platform, Unit
from sandbox.workspaces import ending, selftest, snapshot
from sandbox.workspaces.broker import Broker
from sandbox.workspaces.limits import Limits
from sandbox.workspaces.snapshot import Content, Room
from tests.conftest import MONDAY
from tests.factories import World

LIMITS = Limits(
    memory_mb=768, cpu_seconds=60, wall_seconds=30, processes=64, file_mb=256, result_rows=20_000, result_mb=32,
    threads=1,
)  # fmt: skip
ROWS = 40


@dataclass(frozen=True)
class House:
    """One application with its workspace: who owns it, its one table, and the mark that only its rows carry."""

    owner: str
    application: str
    workspace: str
    resource: str
    grant: str
    table: str
    mark: str


@dataclass
class Street:
    """The running platform and its houses."""

    world: World
    app: FastAPI
    broker: Broker
    url: str
    tokens: dict[str, str] = field(default_factory=dict)

    def client(self, login: str | None = None) -> httpx.Client:
        """HTTP as that person; a visitor when no login is named."""
        headers = {"authorization": f"Bearer {self.token(login)}"} if login else {}
        return httpx.Client(base_url=f"{self.url}/api/v1", headers=headers, timeout=60)

    def token(self, login: str) -> str:
        if login not in self.tokens:
            self.tokens[login] = self.world.token(login)
        return self.tokens[login]

    def build(self, owner: str, mark: str, *, table: str | None = None) -> House:
        """An application of `owner` that is in effect, with a workspace; its twin and real rows carry `mark`."""
        who = self.world.people[owner]
        resource = self.world.published(name=table)
        application = self.world.application("agreement_signed", resource, merchant=who)
        with self.world.system() as unit:
            manifests = {g.id: _snapshots(unit, mark, g) for g in application_records.grants(unit.session, application)}
            applications.activate(unit, application, manifests)
            name = catalogue.get(unit.session, resource).name
        (grant,) = self.world.grants(application)
        workspace = self.world.workspace(application, merchant=who)
        return House(owner, application, workspace, resource, grant, name, mark)

    def actor(self, login: str) -> Actor:
        return self.world.people[login]


def _snapshots(unit: Unit, mark: str, grant: application_records.Grant) -> dict[str, Any]:
    """The grant's two bindings as the platform keeps them, of rows that say which binding and whose they are."""
    made: dict[str, Any] = {}
    for binding in ("real", "twin"):
        folder = unit.settings.home / "sources"
        folder.mkdir(exist_ok=True)
        source = folder / f"{grant.id}-{binding}.parquet"
        area, cost = [f"{mark}-{binding}-{n % 4}" for n in range(ROWS)], [float(n) for n in range(ROWS)]
        columns = list(grant.columns)
        pl.DataFrame({"区": area, "费用": cost}).select(columns).write_parquet(source)
        about = {"grant": grant.id, "binding": binding}
        built = snapshot.build(
            [str(source)], Content(columns), out_root=unit.settings.snapshots_root, room=Room(256, 1), source=about
        )
        made[binding] = {"digest": built.digest, "columns": [list(c) for c in built.columns], "rows": built.rows,
                         "sha256": built.sha256, "bytes": built.bytes}  # fmt: skip
    return made | {"rows": made["real"] | {"plan": dict.fromkeys(columns, "rows")}}


@contextlib.contextmanager
def served(home: Path, template: Path, *, limits: Limits = LIMITS) -> Iterator[Street]:
    """The platform under uvicorn on a free port, its clock standing still, its jails as this machine gives them."""
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(template, home / "metadata.sqlite")
    world = World.settle(Platform(Settings(home=home, body_limit_mb=4), FixedClock(MONDAY)))
    broker = Broker(selftest.selftest(), limits, capacity_mb=12 * limits.memory_mb, running=8)
    broker.permit = ending.permit(world.platform)
    app = create_app(world.platform, broker, lambda: {"portal": "up"})
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([listening],), name="portal")
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "the portal did not start"
                time.sleep(0.01)
            yield Street(world, app, broker, f"http://127.0.0.1:{listening.getsockname()[1]}")
        finally:
            server.should_exit = True
            thread.join(20)
            broker.close()
            world.platform.database.dispose()
