"""The platform as it is run: supervised parts, the real Prefect server, kills in the middle, restarts."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from api.demo import city, stages, story
from api.demo.client import Client
from sandbox.kernel.settings import Settings
from sandbox.kernel.unit import Platform
from tests.e2e.server import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One `pds up` for the module, with the demonstration city's accounts and no tables yet."""
    running = Server.start(tmp_path_factory.mktemp("up") / "home", "--no-settle")
    yield running
    running.stop()


def password_of(server: Server) -> str:
    with opened(server) as platform:
        return city.password_of(platform)


@contextmanager
def opened(server: Server) -> Iterator[Platform]:
    """The server's home seen from here, let go of before anybody copies it."""
    platform = Platform(Settings(home=server.home))
    try:
        yield platform
    finally:
        platform.database.dispose()


def test_the_portal_answers_before_the_scheduler_is_up_and_says_what_is_starting(server: Server) -> None:
    server.wait_for("portal", seconds=60)
    parts = server.parts()
    assert parts["portal"] == "up"
    assert parts["scheduler"] in ("starting", "up")


def test_an_interval_schedule_really_gets_run_by_the_real_server(server: Server) -> None:
    """This catches the two version traps: a scheduler that never fires, a server that fails at the first run."""
    server.wait_for("portal", "scheduler", "worker")
    scheduler = _prefect_url(server)
    end = time.monotonic() + 240
    while time.monotonic() < end:
        runs = httpx.post(f"{scheduler}/flow_runs/filter", json={"sort": "START_TIME_DESC"}, timeout=10).json()
        done = [r for r in runs if r["state_type"] == "COMPLETED" and r["auto_scheduled"]]
        if done:
            return
        time.sleep(2)
    raise AssertionError(f"no scheduled run completed: {[(r['name'], r['state_type']) for r in runs]}")


def _prefect_url(server: Server) -> str:
    text = server.log.read_text()
    return next(w for w in text.split() if w.startswith("http://127.0.0.1") and w.endswith("/api"))


def test_the_story_goes_on_when_parts_are_killed_at_every_step(server: Server, tmp_path: Path) -> None:
    """kill -9 of worker, scheduler or portal around every step; nothing is lost, nothing is done twice."""
    server.wait_for("portal", "scheduler", "worker")
    victims = ("api.worker", "prefect server", "api.server")
    told: list[story.Told] = []
    with stages.remote(server.url, password_of(server), tmp_path / "city") as stage:

        def settle_under_fire() -> None:
            victim = victims[len(kills) % len(victims)]
            kills.append(victim)
            time.sleep(1.5)
            server.kill(victim)
            server.wait_for("portal", "scheduler", "worker")
            plain_settle()

        kills: list[str] = []
        plain_settle = stage.settle
        stage.settle = settle_under_fire  # type: ignore[method-assign]
        story.play(stage, told.append)
    assert len(kills) >= 8
    assert set(kills) == set(victims)
    _nothing_was_done_twice(server)


def _nothing_was_done_twice(server: Server) -> None:
    import sqlalchemy as sa

    from sandbox.exports.repository import Release
    from sandbox.kernel.audit import AuditEvent
    from sandbox.kernel.jobs import Job

    with opened(server) as platform, platform.database.transaction() as session:
        succeeded = session.scalar(sa.select(sa.func.count()).where(AuditEvent.event == "job:succeed"))
        jobs = session.scalar(sa.select(sa.func.count()).where(Job.state == "succeeded"))
        assert succeeded == jobs
        assert session.scalar(sa.select(sa.func.count()).select_from(Release)) == 1
        versions = session.execute(sa.text("SELECT resource_id, count(*) FROM resource_version GROUP BY 1")).all()
        assert {count for _, count in versions} == {1}


def test_a_copy_of_the_stopped_home_is_the_whole_platform(server: Server, tmp_path: Path) -> None:
    """Interrupt stops everything; the copied folder starts with all it had, and its audit chain verifies."""
    before = httpx.get(f"{server.url}/api/v1/reports", timeout=10).json()
    assert server.stop() == 0
    shutil.copytree(server.home, tmp_path / "moved")
    again = Server.start(tmp_path / "moved", "--no-settle")
    try:
        again.wait_for("portal", seconds=60)
        assert httpx.get(f"{again.url}/api/v1/reports", timeout=10).json() == before
        with httpx.Client(base_url=again.url, timeout=30) as http:
            client = Client(http)
            client.sign_in("auditor", password_of(again))
            assert client.post("auditor", "/audit/verify")["intact"]
    finally:
        assert again.stop() == 0


def test_a_taken_port_is_said_in_clear_words(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused = Server.start(tmp_path / "home", port=taken.getsockname()[1])
        assert refused.process.wait(60) == 3
    text = refused.log.read_text()
    assert "已被占用" in text
    assert "pds up --port" in text
