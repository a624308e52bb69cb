"""A one-row query by HTTP: the whole application on a real socket, with permission, history and audit.

The server has a process of its own, as it has where it runs: a client that shared its process would share its lock.

The people and the application of the workspace are those of the tests' world. The way with nothing behind it, /healthz
or the like, is not taken off: what is counted is what a merchant waits beyond DuckDB itself.
"""

from __future__ import annotations

import json
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http.client import HTTPConnection
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import uvicorn

from benchmarks.figures import Figure
from benchmarks.workspace import LIMITS, bare, capacity, paired, repeats
from policies.text import Text
from sandbox.applications import repository as application_records
from sandbox.applications import service as applications
from sandbox.kernel import editions
from sandbox.kernel.clock import FixedClock
from sandbox.kernel.settings import Settings
from sandbox.kernel.unit import Platform
from sandbox.workspaces import ending
from sandbox.workspaces.broker import Broker
from sandbox.workspaces.selftest import selftest

_BAR_MS = 8.0
_SQL = "SELECT 42 AS answer"
_MORNING = datetime(2026, 3, 2, 1, tzinfo=UTC)  # a Monday that the working calendar knows


def http() -> list[Figure]:
    """What the way over HTTP adds to the middle time of a query with one row."""
    with tempfile.TemporaryDirectory(prefix="pds-bench-") as place, _desk(Path(place)) as ask, bare({}) as plain:
        if ask() != [[42]]:
            raise RuntimeError("the answer over HTTP is another")
        raw, served = paired(lambda: plain(_SQL), ask, repeats(200))
    text = Text(
        f"单行查询中位用时经 HTTP 比进程内多出（进程内 {raw * 1000:.2f} 毫秒；目标 ≤ {_BAR_MS:g} 毫秒）",
        f"one-row query, p50 above in-process through HTTP (in-process {raw * 1000:.2f} ms; bar ≤ {_BAR_MS:g})",
    )
    return [Figure("http_one_row", max(0.0, served - raw) * 1000, _BAR_MS, "ms", text)]


@contextmanager
def _desk(home: Path) -> Iterator[_Desk]:
    processes = get_context("spawn")
    here, there = processes.Pipe()
    server = processes.Process(target=_serve, args=(home, there))
    server.start()
    there.close()  # so that a server that dies is heard of, not waited for
    try:
        yield _Desk(*here.recv())
    finally:
        here.close()
        server.join()


def _serve(home: Path, client: Connection) -> None:
    """The server's process: it serves until its client is gone."""
    with served(home) as found:
        client.send(found)
        with suppress(EOFError):
            client.recv()


@contextmanager
def served(home: Path) -> Iterator[tuple[int, str, str]]:
    """A served platform: its port, its one open workspace, and the bearer token of that workspace's merchant."""
    from api.app import create_app
    from tests.factories import World

    platform = Platform(Settings(home=home), FixedClock(_MORNING))
    platform.database.migrate()
    with platform.system() as unit:
        editions.install_shipped(unit)
    world = World.settle(platform)
    application = world.application("agreement_signed")
    with world.system() as unit:  # no table is needed, so the grants take effect without snapshots
        granted = application_records.grants(unit.session, application)
        applications.activate(unit, application, {grant.id: {} for grant in granted})
    broker = Broker(selftest(), LIMITS, capacity_mb=capacity(1))
    broker.permit = ending.permit(platform)  # as the server asks before each statement
    server = _Server(uvicorn.Config(create_app(platform, broker, dict), log_level="error", access_log=False))
    try:
        with server.running() as port:
            yield port, world.workspace(application), world.token("merchant")
    finally:
        broker.close()
        platform.database.dispose()


class _Desk:
    """A merchant with one connection that stays open."""

    def __init__(self, port: int, workspace: str, token: str) -> None:
        self.connection = http_client(port)
        self.path = f"/api/v1/workspaces/{workspace}/query"
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def __call__(self) -> list[list[int]]:
        self.connection.request("POST", self.path, json.dumps({"sql": _SQL}), self.headers)
        answer = self.connection.getresponse()
        body = json.loads(answer.read())
        if answer.status != 200:
            raise RuntimeError(f"HTTP {answer.status}: {body.get('code')}")
        rows: list[list[int]] = body["rows"]
        return rows


def http_client(port: int) -> HTTPConnection:
    """A connection whose small requests leave at once."""
    connection = HTTPConnection("127.0.0.1", port)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


class _Server(uvicorn.Server):
    """uvicorn in a thread of this process, on a free port."""

    def install_signal_handlers(self) -> None:
        """None: the signals belong to the benchmark."""

    @contextmanager
    def running(self) -> Iterator[int]:
        # asyncio sends small answers at once only on sockets that name their protocol, as those uvicorn opens itself do
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
            listening.bind(("127.0.0.1", 0))
            thread = threading.Thread(target=self.run, kwargs={"sockets": [listening]})
            thread.start()
            while not self.started and thread.is_alive():
                time.sleep(0.01)
            try:
                yield int(listening.getsockname()[1])
            finally:
                self.should_exit = True
                thread.join()
