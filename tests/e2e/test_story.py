"""The whole story in one process: every step, its refusals and audit events, on both databases and on a weak tier."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from api.demo import stages, story
from sandbox.kernel.audit import AuditEvent
from sandbox.kernel.jobs import Job
from sandbox.workspaces import jail, selftest


def play(home: Path, database_url: str | None = None) -> list[story.Told]:
    told: list[story.Told] = []
    with stages.embedded(home, database_url) as stage:
        story.play(stage, told.append)
        assert_nothing_of_a_person_is_kept_for_people(stage)
    return told


def test_the_story_goes_from_a_raw_file_to_a_signed_release(tmp_path: Path) -> None:
    told = play(tmp_path / "home")
    assert {t.chapter for t in told} == {name for name, _ in story.ACTS}
    assert len(told) > 35
    assert sum(t.event == "access:refused" for t in told) >= 15


@pytest.mark.postgres
def test_the_same_story_on_postgresql(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue("postgres")
    assert len(play(tmp_path / "home", server.fresh_database())) > 35


def test_on_a_weak_host_the_demonstration_city_goes_on_after_a_recorded_decision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jail, "forms", lambda: ["limits-only"])
    monkeypatch.setattr(selftest, "_kept", None)
    told = play(tmp_path / "home")
    assert any("tier=weak" in t.seen for t in told)
    assert len(told) > 35


def assert_nothing_of_a_person_is_kept_for_people(stage: stages.Embedded) -> None:
    """No resident's number of the city's files stands in the audit log or in a job's result or error."""
    residents = next(t for t in stage.files if t.name == "居民登记")
    numbers = {line.split(",")[0] for line in residents.path.read_text("gb18030").splitlines()[1:]}
    with stage.platform.database.transaction() as session:
        kept = "".join(session.scalars(sa.select(AuditEvent.detail)))
        kept += "".join(f"{j.error}{j.result}" for j in session.scalars(sa.select(Job)))
    assert not [n for n in numbers if len(n) == 18 and n in kept]
