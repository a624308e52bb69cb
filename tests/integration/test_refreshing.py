"""Refreshing without a scheduler: what a source gives, what a round makes of it, and what an operator may set."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from pipelines.registry import HANDLERS
from pipelines.sources import newest_complete
from sandbox.catalog import comments, repository, schedules, sources
from sandbox.catalog import service as catalog
from sandbox.kernel import cancellation, jobs
from sandbox.kernel.errors import BadInput, Conflict, InvalidTransition, NotFound, NotPermitted, OutOfReach
from sandbox.kernel.identity import Actor
from sandbox.kernel.jobs import Job, LocalExecutor
from sandbox.kernel.settings import Connection, Settings
from sandbox.kernel.unit import Platform
from tests.factories import World
from tests.postgres import PostgresServer

GOOD = "区,人次\n" + "".join(f"示范区{n % 7},{n}\n" for n in range(60))
OTHER = GOOD + "示范区9,61\n"
BAD = "只有一列\n甲\n乙\n"


def fed(world: World, name: str, *, cycle: str = "每日", owner: Actor | None = None) -> str:
    """A resource with a drop folder."""
    who = owner or world.department
    with world.by(who) as unit:
        made = catalog.register(
            unit, name=name, description="", update_cycle=cycle, registration_code=name
        )
        sources.declare(unit, made.id, {"kind": "drop"})
    return made.id


def drop(world: World, resource_id: str, content: str, name: str = "a.csv", *, age: float = 60) -> Path:
    with world.system() as unit:
        folder = sources.drop_folder(unit.settings, repository.get(unit.session, resource_id))
    path = folder / name
    path.write_text(content, encoding="utf-8")
    moment = time.time() - age
    os.utime(path, (moment, moment))
    return path


def drain(world: World) -> None:
    LocalExecutor(world.platform, HANDLERS).drain()


def start(world: World, organisation_id: str | None = None) -> Job:
    with world.by(world.operator) as unit:
        return schedules.start(unit, organisation_id)


def summary(world: World, round_id: str) -> Job:
    with world.system() as unit:
        return next(j for j in jobs.of_round(unit.session, round_id) if j.kind == "refresh_summary")


def outcomes(world: World, round_id: str) -> dict[str, str]:
    return {t["name"]: t["outcome"] for t in (summary(world, round_id).result or {})["tables"]}


def state_of(world: World, resource_id: str) -> str:
    """Where the newest delivery stands."""
    with world.system() as unit:
        return repository.deliveries(unit.session, resource_id)[0].state


# ---- rounds ----


def test_a_round_takes_in_what_is_new_and_one_failed_table_stops_nobody(world: World) -> None:
    good, bad, _quiet = fed(world, "好表"), fed(world, "坏表"), fed(world, "空")
    drop(world, good, GOOD)
    drop(world, bad, BAD)
    job = start(world, world.department.organisation_id)
    drain(world)
    assert outcomes(world, job.id) == {"好表": "delivered", "坏表": "failed", "空": "nothing"}
    failed = next(t for t in (summary(world, job.id).result or {})["tables"] if t["name"] == "坏表")
    assert failed["code"] == "reading.one_column"
    assert (state_of(world, good), state_of(world, bad)) == ("proposed", "needs_recipe")


def test_the_same_content_is_delivered_once_even_when_it_was_sent_back(world: World) -> None:
    good, bad = fed(world, "好表"), fed(world, "坏表")
    drop(world, good, GOOD)
    drop(world, bad, BAD)
    for expected in ({"好表": "delivered", "坏表": "failed"}, {"好表": "unchanged", "坏表": "unchanged"}):
        job = start(world, world.department.organisation_id)
        drain(world)
        assert outcomes(world, job.id) == expected
    drop(world, bad, OTHER, "b.csv", age=30)
    job = start(world, world.department.organisation_id)
    drain(world)
    assert outcomes(world, job.id) == {"好表": "unchanged", "坏表": "delivered"}


def test_a_round_of_the_city_is_one_round_a_department_and_one_summary(world: World) -> None:
    mine, theirs = fed(world, "甲"), fed(world, "乙", owner=world.other_department)
    drop(world, mine, GOOD)
    drop(world, theirs, GOOD)
    job = start(world)
    drain(world)
    assert outcomes(world, job.id) == {"甲": "delivered", "乙": "delivered"}
    with world.system() as unit:
        members = jobs.of_round(unit.session, job.id)
    assert sorted(j.kind for j in members) == ["city_refresh", "city_refresh", "ingest", "ingest", "refresh_summary"]


def test_a_source_that_no_longer_holds_is_its_own_failure(world: World) -> None:
    broken, good = fed(world, "坏登记"), fed(world, "好表")
    with world.system() as unit:
        resource = repository.get(unit.session, broken)
        resource.declared = {"source": {"kind": "database", "connection": "gone", "table": "t"}}
    drop(world, good, GOOD)
    job = start(world, world.department.organisation_id)
    drain(world)
    assert outcomes(world, job.id) == {"坏登记": "failed", "好表": "delivered"}


def test_the_summary_waits_for_the_rounds_last_job(world: World) -> None:
    good = fed(world, "好表")
    drop(world, good, GOOD)
    job = start(world, world.department.organisation_id)
    executor = LocalExecutor(world.platform, HANDLERS)
    jobs.dispatch(world.platform, executor)
    with world.system() as unit:
        assert [j.kind for j in jobs.outbox(unit.session)] == ["ingest"]
    jobs.dispatch(world.platform, executor)
    last = summary(world, job.id).id
    with world.system() as unit:
        assert [j.id for j in jobs.outbox(unit.session)] == [last]


def test_a_second_round_is_refused_while_one_is_under_way(world: World) -> None:
    start(world, world.department.organisation_id)
    with pytest.raises(Conflict, match=r"round\.running"):
        start(world, world.department.organisation_id)
    assert start(world, world.other_department.organisation_id).state == "queued"


def test_a_department_hands_out_no_more_tables_than_its_limit(world: World) -> None:
    ids = [fed(world, f"表{n}") for n in range(4)]
    for n, resource_id in enumerate(ids):
        drop(world, resource_id, GOOD + f"区,{n}\n")
    theirs = fed(world, "他表", owner=world.other_department)
    drop(world, theirs, GOOD)
    start(world)
    executor = LocalExecutor(world.platform, HANDLERS)
    for _ in range(2):
        jobs.dispatch(world.platform, executor)  # the city's round, then the departments'
    with world.system() as unit:
        waiting = jobs.outbox(unit.session)
        handed = jobs._within_limits(unit.session, waiting, 2)
    departments = [j.department_id for j in handed]
    assert len(waiting) == 5
    assert departments.count(world.department.organisation_id) == 2
    assert departments.count(world.other_department.organisation_id) == 1


# ---- one table ----


def test_an_operator_refreshes_one_table_and_only_one_with_a_source(world: World) -> None:
    good, by_hand = fed(world, "好表"), world.delivered()
    drop(world, good, GOOD)
    with world.by(world.operator) as unit:
        job_id = schedules.refresh(unit, good).id
    with pytest.raises(Exception, match=r"source\.none"), world.by(world.operator) as unit:
        schedules.refresh(unit, by_hand)
    with pytest.raises(NotPermitted), world.by(world.department) as unit:
        schedules.refresh(unit, good)
    drain(world)
    with world.system() as unit:
        assert (jobs.get(unit.session, job_id).result or {})["outcome"] == "delivered"
    assert state_of(world, good) == "proposed"


def test_a_failed_ingest_can_be_tried_again_unless_another_delivery_is_in_work(world: World) -> None:
    resource_id = fed(world, "坏表")
    drop(world, resource_id, BAD)
    start(world, world.department.organisation_id)
    drain(world)
    with world.system() as unit:
        (job,) = [j for j in jobs.of_subject(unit.session, "resource", resource_id) if j.kind == "ingest"]
    for expected in ("reading.one_column", "delivery.wrong_state"):
        with world.by(world.operator) as unit:
            jobs.retry(unit, job.id)
        if expected == "delivery.wrong_state":
            world.deliver(resource_id, world.department)
        jobs.execute(world.platform, HANDLERS, job.id)
        with world.system() as unit:
            assert jobs.get(unit.session, job.id).error_code == expected
    assert state_of(world, resource_id) == "received", "the newer delivery is not touched"


def test_a_cancelled_ingest_tells_its_resource_and_commits_nothing(world: World) -> None:
    resource_id = world.delivered()
    with world.system() as unit:
        job_id = jobs.of_subject(unit.session, "resource", resource_id)[0].id
    with pytest.raises(NotPermitted), world.by(world.department) as unit:
        cancellation.cancel(unit, job_id)
    with world.by(world.operator) as unit:
        assert cancellation.cancel(unit, job_id).state == "cancelling"
    assert jobs.execute(world.platform, HANDLERS, job_id) == "cancelling", "it cannot be claimed any more"
    executor = LocalExecutor(world.platform, HANDLERS)
    assert cancellation.stop_cancelled(world.platform, executor, HANDLERS) == [job_id]
    assert cancellation.stop_cancelled(world.platform, executor, HANDLERS) == []
    assert state_of(world, resource_id) == "refused"
    with pytest.raises(InvalidTransition), world.by(world.operator) as unit:
        cancellation.cancel(unit, job_id)
    with world.by(world.operator) as unit:
        jobs.retry(unit, job_id)
    drain(world)
    assert state_of(world, resource_id) == "proposed"


# ---- sources ----


def test_only_a_complete_file_is_taken_and_the_newest_of_several(tmp_path: Path) -> None:
    now = time.time()
    for name, age in {"old.csv": 90, "new.csv": 30, "still.csv": 0, ".hidden.csv": 60, "x.csv.part": 60}.items():
        (tmp_path / name).write_text("a,b\n1,2\n")
        os.utime(tmp_path / name, (now - age, now - age))
    (tmp_path / "empty.csv").touch()
    os.utime(tmp_path / "empty.csv", (now - 20, now - 20))
    (tmp_path / "link.csv").symlink_to("/etc/hostname")
    (tmp_path / "folder").mkdir()
    assert newest_complete(tmp_path) == tmp_path / "new.csv"
    assert newest_complete(tmp_path / "not there") is None


@pytest.mark.parametrize(
    "declared",
    [{}, {"kind": "ftp"}, {"kind": "drop", "path": "/etc"}, {"kind": "database", "connection": "x", "table": ""},
     {"kind": "database", "connection": "postgresql://u:p@h/d", "table": "t"}],
    ids=["nothing", "unknown kind", "a path", "no table", "an address instead of a name"],
)  # fmt: skip
def test_a_source_that_cannot_be_meant_is_refused(world: World, declared: dict[str, Any]) -> None:
    resource_id = fed(world, "表")
    with pytest.raises(BadInput, match=r"source\.unclear"), world.by(world.department) as unit:
        sources.declare(unit, resource_id, declared)


def test_a_department_can_name_only_its_own_connections(world: World) -> None:
    mine, theirs = fed(world, "甲"), fed(world, "乙", owner=world.other_department)
    with world.system() as unit:
        name = "示范市卫生局"
        assert repository.get(unit.session, mine).organisation_id == world.department.organisation_id
    given = {"health": Connection(department=name, url="postgresql://reader:secret@127.0.0.1/x")}  # type: ignore[arg-type]
    platform = Platform(Settings(home=world.platform.settings.home, sources=given), world.platform.clock)
    declared = {"kind": "database", "connection": "health", "table": "visits", "schema": "public"}
    with platform.begin(world.department) as unit:
        kept = sources.declare(unit, mine, declared).declared["source"]
        assert kept == declared
        assert "secret" not in str(kept)
    with pytest.raises(BadInput, match=r"source\.connection"), platform.begin(world.other_department) as unit:
        sources.declare(unit, theirs, declared)
    with pytest.raises(OutOfReach), platform.begin(world.other_department) as unit:
        sources.declare(unit, mine, {"kind": "drop"})
    platform.database.dispose()


# ---- schedules ----


@pytest.mark.parametrize(
    ("cycles", "days"),
    [(["每日"], "* * *"), (["每月", "每周"], "* * 1"), (["每年"], "1 1 *"), (["每半年"], "1 1,7 *"),
     (["每季度"], "1 1,4,7,10 *"), (["monthly"], "1 * *"), (["不定期", "每月"], "1 * *")],
    ids=lambda v: "、".join(v) if isinstance(v, list) else "",
)  # fmt: skip
def test_the_shortest_declared_cycle_makes_the_schedule(cycles: list[str], days: str) -> None:
    cron = schedules.cron_of_cycles(cycles, "org-1")
    assert cron is not None
    minute, hour, rest = cron.split(maxsplit=2)
    assert (1 <= int(hour) <= 3, 0 <= int(minute) <= 59, rest) == (True, True, days)


@pytest.mark.parametrize("cycle", ["不定期", "一次性", "", "其他"])
def test_a_cycle_without_a_period_makes_no_schedule(cycle: str) -> None:
    assert schedules.cron_of_cycles([cycle], "org-1") is None


def test_an_operators_schedule_stands_over_the_cycle_until_it_is_taken_back(world: World) -> None:
    fed(world, "表")
    department = world.department.organisation_id
    with world.by(world.operator) as unit:
        by_cycle = next(p for p in schedules.plans(unit) if p.organisation_id == department)
        assert (by_cycle.by_cycle, by_cycle.active, by_cycle.tables) == (True, True, 1)
        assert schedules.set_cron(unit, department, " 0  9 * * 1-5 ").cron == "0 9 * * 1-5"
        paused = schedules.pause(unit, department, True)
        assert (paused.active, paused.next_at, paused.by_cycle) == (False, None, False)
        assert schedules.set_cron(unit, department, None).paused is True
        back = schedules.pause(unit, department, False)
        assert (back.cron, back.by_cycle) == (by_cycle.cron, True)
    assert len(world.events("schedule:set")) == 4


def test_who_may_see_and_set_schedules(world: World) -> None:
    department = world.department.organisation_id
    with world.by(world.department) as unit:
        assert [p.organisation_id for p in schedules.plans(unit)] == [department]
    for who in (world.department, world.auditor, world.officer, world.merchant):
        with pytest.raises(NotPermitted), world.by(who) as unit:
            schedules.set_cron(unit, department, "* * * * *")
    with pytest.raises(NotFound), world.by(world.operator) as unit:
        schedules.set_cron(unit, world.merchant.organisation_id, "* * * * *")
    with pytest.raises(BadInput, match=r"schedule\.cron"), world.by(world.operator) as unit:
        schedules.set_cron(unit, department, "every day")


def test_next_time_is_told_in_the_citys_time(world: World) -> None:
    fed(world, "表")
    with world.by(world.operator) as unit:
        plan = schedules.set_cron(unit, world.department.organisation_id, "30 9 * * *")
    assert plan.next_at == datetime(2026, 3, 2, 1, 30, tzinfo=UTC)


@pytest.mark.postgres
def test_a_table_of_a_database_is_delivered_once_and_again_when_it_changes(
    world: World, postgres: PostgresServer
) -> None:
    resource_id, url = fed(world, "门诊"), postgres.fresh_database()
    given = {"health": Connection(department="示范市卫生局", url=url)}  # type: ignore[arg-type]
    platform = Platform(Settings(home=world.platform.settings.home, sources=given), world.platform.clock)
    with platform.begin(world.department) as unit:
        sources.declare(unit, resource_id, {"kind": "database", "connection": "health", "table": "visits"})
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:", 1))
    with engine.begin() as there:
        there.execute(sa.text("CREATE TABLE visits (编号 int PRIMARY KEY, 区 text, 费用 numeric(8,2))"))
        there.execute(sa.text("INSERT INTO visits SELECT i, '示范区' || i % 7, i * 1.5 FROM generate_series(1, 50) i"))
    rounds = []
    for change in ("SELECT 1", "SELECT 1", "INSERT INTO visits VALUES (51, '示范区1', 3)", "DROP TABLE visits"):
        with engine.begin() as there:
            there.execute(sa.text(change))
        rounds.append(_round(platform, world))
    assert [r["outcome"] for r in rounds] == ["delivered", "unchanged", "delivered", "failed"]
    assert "secret" not in str(rounds[-1])
    with platform.system() as unit:
        versions = repository.versions(unit.session, resource_id)
        kinds = {c.name: c.type for c in repository.columns(unit.session, resource_id, versions[-1].number)}
    assert [v.rows for v in versions] == [50, 51]
    assert kinds == {"编号": "integer", "区": "text", "费用": "decimal"}
    engine.dispose()
    platform.database.dispose()


@pytest.mark.postgres
def test_comments_of_a_database_are_offered_and_count_once_they_are_registered(
    world: World, postgres: PostgresServer
) -> None:
    resource_id, url = fed(world, "住院"), postgres.fresh_database()
    given = {"health": Connection(department="示范市卫生局", url=url)}  # type: ignore[arg-type]
    platform = Platform(Settings(home=world.platform.settings.home, sources=given), world.platform.clock)
    with platform.begin(world.department) as unit:
        sources.declare(unit, resource_id, {"kind": "database", "connection": "health", "table": "stays"})
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:", 1))
    with engine.begin() as there:
        there.execute(sa.text("""
            CREATE TABLE stays (a int PRIMARY KEY, b text, c text);
            INSERT INTO stays SELECT i, '诊断' || i % 7, 'x' FROM generate_series(1, 50) i;
            COMMENT ON TABLE stays IS '住院记录';
            COMMENT ON COLUMN stays.b IS E'出院\n诊断\x07';
            COMMENT ON COLUMN stays.c IS '备用列';
        """))
    _round(platform, world)
    with platform.begin(world.department) as unit:
        resource = repository.get(unit.session, resource_id)
        offer = comments.offered(unit.session, resource)
        assert (offer.title, offer.columns) == ("住院记录", {"b": "出院 诊断", "c": "备用列"})
        (column,) = [c for c in repository.columns(unit.session, resource_id, 1) if c.name == "b"]
        assert (column.comment, resource.description, resource.declared.get("columns")) == ("", "", None)
        assert not any("出院" in str(line) for line in column.evidence), "nothing counts before it is registered"
    for who, columns, error in (
        (world.department, ["a"], Conflict), (world.department, [], Conflict),
        (world.other_department, ["b"], OutOfReach), (world.operator, ["b"], NotPermitted),
    ):  # fmt: skip
        with pytest.raises(error), platform.begin(who) as unit:
            comments.register(unit, resource_id, columns)
    with platform.begin(world.department) as unit:
        comments.register(unit, resource_id, ["b"], title=True)
    with platform.begin(world.department) as unit:
        resource = repository.get(unit.session, resource_id)
        assert (resource.description, resource.declared["columns"]) == ("住院记录", {"b": {"comment": "出院 诊断"}})
        assert resource.declared["source"]["table"] == "stays"
        left = comments.offered(unit.session, resource)
        assert (left.title, left.columns) == (None, {"c": "备用列"})
    with engine.begin() as there:
        there.execute(sa.text("INSERT INTO stays VALUES (51, '诊断1', 'x')"))
    _round(platform, world)
    with platform.system() as unit:
        found = {c.name: c for c in repository.columns(unit.session, resource_id, 2)}
    assert (found["b"].comment, found["b"].level, found["b"].sensitive) == ("出院 诊断", 4, True)
    assert found["c"].comment == ""
    engine.dispose()
    platform.database.dispose()


def _round(platform: Platform, world: World) -> dict[str, Any]:
    """One round of the department to its end; the outcome of its only table."""
    with platform.begin(world.operator) as unit:
        round_id = schedules.start(unit, world.department.organisation_id).id
    LocalExecutor(platform, HANDLERS).drain()
    with platform.system() as unit:
        told = next(j for j in jobs.of_round(unit.session, round_id) if j.kind == "refresh_summary").result or {}
    (table,) = told["tables"]
    return dict(table)
