"""The audit chain on both databases: nothing is changed unseen."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from sandbox.kernel import audit, oversight
from sandbox.kernel.audit import AuditEvent, ChainReport
from sandbox.kernel.identity import SYSTEM
from sandbox.kernel.unit import Platform

EVENTS = 12


@pytest.fixture
def log(any_platform: Platform) -> Platform:
    """A platform with some events on its chain."""
    with any_platform.system() as unit:
        for number in range(EVENTS):
            unit.audit("test:happen", "test", f"obj-{number}", number=number, words="数据")
    return any_platform


def verify(platform: Platform) -> ChainReport:
    path = oversight.checkpoints_path(platform.settings)
    with platform.database.transaction() as session:
        return audit.verify(session, path, platform.signing_key.public_pem)


def rows(platform: Platform) -> int:
    with platform.database.transaction() as session:
        return session.get_one(audit.AuditHead, 1).seq


def attack(platform: Platform, *statements: str, **values: Any) -> None:
    """What the owner of the database can do: take the triggers away, change rows, put nothing back."""
    if platform.database.engine.dialect.name == "sqlite":
        drops = ["DROP TRIGGER IF EXISTS audit_event_no_update", "DROP TRIGGER IF EXISTS audit_event_no_delete"]
    else:
        drops = ["DROP TRIGGER IF EXISTS audit_event_sealed ON audit_event"]
    with platform.database.transaction() as session:
        for statement in (*drops, *statements):
            session.execute(text(statement), values if ":" in statement else {})


def rehash(platform: Platform, start: int, change: Callable[[AuditEvent], None]) -> None:
    """Rewrite history well: change row `start` and recompute every hash after it, and the head."""
    attack(platform)
    with platform.database.transaction() as session:
        previous = ""
        for row in session.query(AuditEvent).filter(AuditEvent.seq >= start).order_by(AuditEvent.seq):
            if row.seq == start:
                change(row)
            else:
                row.previous = previous
            row.hash = previous = audit._digest(row)
        session.get_one(audit.AuditHead, 1).hash = previous


def test_untouched_chain_is_intact(log: Platform) -> None:
    report = verify(log)
    assert report.intact
    assert report.rows == rows(log)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_event SET detail = '{}' WHERE seq = 3",
        "UPDATE audit_event SET hash = hash",
        "DELETE FROM audit_event WHERE seq = 3",
        "DELETE FROM audit_event",
    ],
)
def test_database_refuses_to_change_the_log(log: Platform, statement: str) -> None:
    with pytest.raises(DBAPIError, match="append-only"), log.database.transaction() as session:
        session.execute(text(statement))
    assert verify(log).intact


def test_database_refuses_to_truncate_the_log(log: Platform) -> None:
    if log.database.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no TRUNCATE; DELETE without WHERE is tested above")
    with pytest.raises(DBAPIError, match="append-only"), log.database.transaction() as session:
        session.execute(text("TRUNCATE audit_event"))
    assert verify(log).intact


@pytest.mark.parametrize(
    "column", ["at", "actor_id", "role", "organisation_id", "event", "noun", "object_id", "detail", "request_id"]
)
def test_edit_of_any_column_names_the_row(log: Platform, column: str) -> None:
    victim = rows(log) - 5
    value = "2020-01-01T00:00:00.000000+00:00" if column == "at" else "x"
    attack(log, f"UPDATE audit_event SET {column} = :value WHERE seq = {victim}", value=value)
    report = verify(log)
    assert (report.intact, report.first_bad, report.reason) == (False, victim, "altered")


@pytest.mark.parametrize("victim", ["first", "middle", "last"])
def test_edit_anywhere_is_found(log: Platform, victim: str) -> None:
    seq = {"first": 1, "middle": rows(log) // 2, "last": rows(log)}[victim]
    attack(log, f"UPDATE audit_event SET actor_id = 'nobody' WHERE seq = {seq}")
    assert verify(log).first_bad == seq


def test_deletion_in_the_middle_names_the_missing_row(log: Platform) -> None:
    victim = rows(log) - 4
    attack(log, f"DELETE FROM audit_event WHERE seq = {victim}")
    report = verify(log)
    assert (report.first_bad, report.reason) == (victim, "missing")


def test_deletion_at_the_end_is_found(log: Platform) -> None:
    last = rows(log)
    attack(log, f"DELETE FROM audit_event WHERE seq >= {last - 1}")
    report = verify(log)
    assert (report.first_bad, report.reason) == (last - 1, "truncated")


def test_deletion_at_the_end_with_a_forged_head_is_found_by_a_checkpoint(log: Platform) -> None:
    oversight.seal(log)
    last = rows(log)
    attack(
        log, f"DELETE FROM audit_event WHERE seq = {last}",
        f"UPDATE audit_head SET seq = {last - 1}, hash = (SELECT hash FROM audit_event WHERE seq = {last - 1})",
    )  # fmt: skip
    report = verify(log)
    assert (report.first_bad, report.reason) == (last, "truncated")


def test_rehashed_rewrite_shows_only_against_a_checkpoint(log: Platform) -> None:
    victim = rows(log) - 6

    def forge(row: AuditEvent) -> None:
        row.actor_id = "somebody-else"

    rehash(log, victim, forge)
    assert verify(log).intact, "without a checkpoint a perfect rewrite cannot be told from the truth"


def test_signed_checkpoint_finds_a_rehashed_rewrite(log: Platform) -> None:
    oversight.seal(log)
    sealed = rows(log)

    def forge(row: AuditEvent) -> None:
        row.actor_id = "somebody-else"

    rehash(log, sealed - 6, forge)
    report = verify(log)
    assert (report.first_bad, report.reason) == (sealed, "checkpoint")


def test_checkpoint_signed_with_another_key_does_not_hold(log: Platform, tmp_path: Any) -> None:
    from sandbox.kernel.keys import SigningKey

    other = SigningKey.load_or_create(tmp_path / "other.pem")
    path = oversight.checkpoints_path(log.settings)
    with log.system() as unit:
        audit.checkpoint(unit.session, path, other, unit.now)
    assert verify(log).reason == "checkpoint"


@pytest.mark.parametrize("line", ["not json", "{}", '{"seq": 1, "hash": "0"}', '{"seq": 1, "signature": "zz"}'])
def test_damaged_checkpoint_file_is_a_finding_not_a_crash(log: Platform, line: str) -> None:
    path = oversight.checkpoints_path(log.settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(line + "\n", encoding="utf-8")
    report = verify(log)
    assert not report.intact
    assert report.reason == "checkpoint"


def test_chain_goes_on_after_a_checkpoint(log: Platform) -> None:
    oversight.seal(log)
    with log.system() as unit:
        unit.audit("test:happen", "test", "later")
    oversight.seal(log)
    report = verify(log)
    assert (report.intact, report.checkpoints) == (True, 2)


def test_four_threads_leave_one_intact_chain(log: Platform) -> None:
    before = rows(log)

    def write(thread: int) -> None:
        for number in range(25):
            with log.system() as unit:
                unit.audit("test:happen", "test", f"t{thread}-{number}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert rows(log) == before + 100
    assert verify(log).intact


def test_rolled_back_transaction_leaves_no_event(log: Platform) -> None:
    before = rows(log)
    with pytest.raises(RuntimeError), log.system() as unit:
        unit.audit("test:happen", "test", "gone")
        raise RuntimeError
    assert rows(log) == before
    assert verify(log).intact


def test_event_at_a_time_of_another_zone_still_verifies(log: Platform) -> None:
    moment = datetime(2026, 3, 2, 9, 0, tzinfo=timezone(timedelta(hours=8)))
    with log.database.transaction() as session:
        audit.append(
            session, at=moment, actor=SYSTEM, event="test:happen", noun="test", object_id="zone", request_id="r",
            detail={},
        )  # fmt: skip
    assert verify(log).intact


def test_detail_reads_back_as_written(log: Platform) -> None:
    with log.system() as unit:
        found = unit.session.query(AuditEvent).filter(AuditEvent.object_id == "obj-3").one()
    assert found.facts == {"number": 3, "words": "数据"}
    assert json.loads(found.detail) == found.facts
