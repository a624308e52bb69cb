"""A merchant at its workspace, with the real application, broker and jail: what the tests of developing share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
from fastapi.testclient import TestClient

from api.app import create_app
from sandbox.applications import repository as application_records
from sandbox.applications import service as applications
from sandbox.kernel import editions
from sandbox.kernel.clock import FixedClock
from sandbox.kernel.settings import Settings
from sandbox.kernel.unit import Platform
from sandbox.workspaces import selftest, snapshot
from sandbox.workspaces.broker import Broker
from sandbox.workspaces.limits import Limits
from sandbox.workspaces.snapshot import Content, Room
from tests.conftest import MONDAY
from tests.factories import World

LIMITS = Limits(
    memory_mb=768, cpu_seconds=60, wall_seconds=30, processes=64, file_mb=512, result_rows=300_000, result_mb=32,
    threads=1,
)  # fmt: skip
ENDLESS = "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE (a.range * b.range) % 7 = 3"


@dataclass
class Desk:
    """A merchant at its workspace."""

    world: World
    client: TestClient
    broker: Broker
    workspace: str
    tokens: dict[str, str] = field(default_factory=dict)

    def ask(self, path: str, body: Any = None, *, who: str = "merchant", method: str = "POST", **headers: str) -> Any:
        """A request of that person, a second after the one before; the answer."""
        self.world.advance(seconds=1)
        headers = {"Authorization": f"Bearer {self.token(who)}", **headers}
        return self.client.request(method, f"/api/v1/workspaces/{self.workspace}/{path}", json=body, headers=headers)

    def sql(self, text: str, **more: Any) -> Any:
        """The JSON answer of a query that has to succeed."""
        answer = self.ask("query", {"sql": text, **more})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refused(self, text: str) -> Any:
        """The problem of a query that has to fail."""
        answer = self.ask("query", {"sql": text})
        assert answer.status_code == 422, answer.text
        return answer.json()

    def token(self, who: str) -> str:
        """An API token of that person."""
        if who not in self.tokens:
            self.tokens[who] = self.world.token(who)
        return self.tokens[who]


@contextmanager
def seated(home: Path) -> Iterator[Desk]:
    """A merchant at a workspace with a twin of 1,000 rows, on a platform of its own in `home`."""
    platform = Platform(Settings(home=home), FixedClock(MONDAY))
    platform.database.migrate()
    with platform.system() as unit:
        editions.install_shipped(unit)
    world = World.settle(platform)
    application = world.application("agreement_signed", world.published(name="门诊就诊"))
    _activate(world, application, home)
    broker = Broker(selftest.selftest(), LIMITS, capacity_mb=4 * LIMITS.memory_mb)
    workspace = world.workspace(application)
    with TestClient(create_app(platform, broker, dict)) as client:
        yield Desk(world, client, broker, workspace)
    broker.close()
    platform.database.dispose()


def _activate(world: World, application: str, folder: Path) -> None:
    source = folder / "rows.parquet"
    duckdb.sql(
        "SELECT CASE range % 2 WHEN 0 THEN '东区' ELSE '西区' END AS 区, (range / 4)::DECIMAL(10, 2) AS 费用"
        " FROM range(1000)"
    ).write_parquet(str(source))
    root = world.platform.settings.snapshots_root
    made = snapshot.build(
        [str(source)], Content(["区", "费用"]), out_root=root, room=Room(256, 1), source={"twin": True}
    )
    with world.system() as unit:
        grants = application_records.grants(unit.session, application)
        told = {"digest": made.digest, "columns": [list(c) for c in made.columns], "rows": made.rows}
        applications.activate(unit, application, {g.id: {"real": told, "twin": told} for g in grants})
