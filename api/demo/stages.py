"""The two stages of the story: this process (embedded), or a running server by URL."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from api.demo import city
from api.demo.client import Client
from sandbox.kernel.settings import Settings
from sandbox.kernel.unit import Platform

JOB_SECONDS = 600.0


class Embedded:
    """A whole platform in this process: SQLite, the in-process executor, the real jail and engines."""

    def __init__(self, platform: Platform, client: Client, password: str, files: list[city.CityTable]) -> None:
        from pipelines.registry import HANDLERS
        from sandbox.kernel.jobs import LocalExecutor

        self.platform, self.client, self.password, self.files = platform, client, password, files
        self.executor = LocalExecutor(platform, HANDLERS)

    def settle(self) -> None:
        self.executor.drain()


class Remote:
    """A running server. Its own worker runs the jobs; this side only waits for them."""

    def __init__(self, client: Client, password: str, files: list[city.CityTable]) -> None:
        self.client, self.password, self.files = client, password, files

    def settle(self) -> None:
        """Wait until every job has ended. Raises `TimeoutError` after ten minutes."""
        if "operator" not in self.client.tokens:
            self.client.sign_in("operator", self.password)
        end = time.monotonic() + JOB_SECONDS
        while time.monotonic() < end:
            waiting = [s for s in ("queued", "running") if self.client.get("operator", "/jobs", state=s)]
            if not waiting:
                return
            time.sleep(1.0)
        raise TimeoutError("jobs did not end; look at pds doctor and the worker's log")


@contextmanager
def embedded(home: Path, database_url: str | None = None) -> Iterator[Embedded]:
    """A fresh demonstration city under `home`."""
    import logging

    from fastapi.testclient import TestClient

    from api import server
    from api.setup import prepare

    logging.getLogger("httpx").setLevel(logging.WARNING)
    platform = Platform(Settings(home=home, database_url=database_url))
    prepare(platform)
    password = city.password_of(platform)
    with platform.system() as unit:
        city.found(unit, password)
    files = city.build_files(home / "city")
    app = server.build(platform)
    with TestClient(app, base_url="http://sandbox.local", raise_server_exceptions=False) as http:
        yield Embedded(platform, Client(http), password, files)
    platform.database.dispose()


@contextmanager
def remote(url: str, password: str, folder: Path) -> Iterator[Remote]:
    """A running server at `url`; the city's files are written to `folder`, byte for byte the same everywhere."""
    with httpx.Client(base_url=url, timeout=120.0) as http:
        yield Remote(Client(http), password, city.build_files(folder))
