"""Fixtures shared by all tests: real databases, a clock and a platform."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from api.assets import build
from sandbox.kernel.clock import FixedClock
from sandbox.kernel.settings import Settings
from sandbox.kernel.unit import Platform
from sandbox.workspaces import landlock
from tests.factories import World
from tests.postgres import PostgresServer, find_server

os.environ.setdefault("TZ", "UTC")
MONDAY = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
"""a working Monday, 09:00 in the city"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs a component that this machine lacks is skipped with its reason, except where all must be there."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    missing = {
        "postgres": None if find_server() else "no PostgreSQL server (apt-get install postgresql)",
        "chromium": None if chromium else "no Chromium (apt-get install chromium)",
        "landlock": None if landlock.abi() >= landlock.NEEDED else "the kernel's Landlock is older than ABI 4",
        "islands": None if build.read_manifest() else "the portal's islands are not built (./pds assets)",
    }  # fmt: skip
    for item in items:
        for marker, reason in missing.items():
            if reason and item.get_closest_marker(marker):
                if os.environ.get("CI"):
                    raise pytest.UsageError(f"CI must have every real component: {reason}")
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One throw-away PostgreSQL server for the session."""
    server = PostgresServer.start(Path(tempfile.mkdtemp(prefix="pds-pg-")))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite database to copy: a fresh one for each test in a millisecond."""
    platform = _prepared(Settings(home=tmp_path_factory.mktemp("template")))
    with platform.database.engine.connect() as connection:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    platform.database.dispose()
    return platform.settings.home / "metadata.sqlite"


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same on PostgreSQL: the name of a migrated, empty database to copy."""
    url = postgres.fresh_database()
    _prepared(Settings(home=tmp_path_factory.mktemp("template"), database_url=url)).database.dispose()
    return url.partition("@/")[2].partition("?")[0]


def _prepared(settings: Settings) -> Platform:
    from sandbox.kernel import editions

    platform = Platform(settings, FixedClock(MONDAY))
    platform.database.migrate()
    with platform.system() as unit:
        editions.install_shipped(unit)
    return platform


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(MONDAY)


@pytest.fixture
def platform(tmp_path: Path, sqlite_template: Path, clock: FixedClock) -> Iterator[Platform]:
    """A platform on a fresh SQLite database."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(sqlite_template, home / "metadata.sqlite")
    made = Platform(Settings(home=home), clock)
    yield made
    made.database.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def any_platform(request: pytest.FixtureRequest, tmp_path: Path, clock: FixedClock) -> Iterator[Platform]:
    """The same platform on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        yield request.getfixturevalue("platform")
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    url = server.fresh_database(request.getfixturevalue("postgres_template"))
    made = Platform(Settings(home=tmp_path / "home", database_url=url), clock)
    yield made
    made.database.dispose()


@pytest.fixture
def world(platform: Platform) -> World:
    """A platform with its people."""
    return World.settle(platform)


@pytest.fixture
def any_world(any_platform: Platform) -> World:
    """The same on SQLite and on PostgreSQL."""
    return World.settle(any_platform)


def run(*argv: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a command and return what it printed."""
    return subprocess.run(argv, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload,no-any-return]
