"""What Prefect is told and shown: names and classes, never an exception's words; one deployment for every job."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pipelines import flows
from pipelines.cards import quality_card
from pipelines.flows import KINDS, TABLE_KINDS, Served, deployment_of, scrubbed, wanted
from pipelines.registry import HANDLERS
from policies.text import UserError
from sandbox.catalog import repository as records
from sandbox.catalog import schedules, sources, twins
from sandbox.kernel import jobs
from sandbox.kernel.settings import Settings
from sandbox.kernel.steps import StepFailed
from tests.e2e.server import free_port
from tests.factories import World


def test_a_failing_step_tells_prefect_its_class_and_nothing_of_its_text() -> None:
    raised: list[Exception] = []

    def step() -> None:
        raise ValueError("could not convert 440101199001011234")

    with pytest.raises(StepFailed) as told:
        scrubbed(step, raised)()
    assert str(told.value) == "ValueError"
    assert told.value.__cause__ is None
    assert told.value.__context__ is None
    assert "440101199001011234" in str(raised[0])


def test_a_step_tried_again_tells_of_its_last_failure() -> None:
    raised: list[Exception] = []
    failures = iter([OSError("a"), KeyError("b")])

    def step() -> None:
        raise next(failures)

    for expected in ("OSError", "KeyError"):
        with pytest.raises(StepFailed, match=expected):
            scrubbed(step, raised)()
    assert [type(e) for e in raised] == [OSError, KeyError]


def test_a_step_that_works_gives_its_result() -> None:
    assert scrubbed(lambda: 7, [])() == 7


def test_every_kind_of_job_has_its_deployment_and_every_deployment_its_handler() -> None:
    assert {*KINDS, *TABLE_KINDS, schedules.ROUND, twins.JOB} == set(HANDLERS)


def test_every_department_has_a_deployment_with_its_limit_and_one_with_its_schedule(world: World) -> None:
    resource_id = world.delivered()
    with world.by(world.department) as unit:
        sources.declare(unit, resource_id, {"kind": "drop"})
    mine, theirs = world.department.organisation_id, world.other_department.organisation_id
    found = {(s.flow, s.name): s for s in wanted(world.platform)}
    assert {n for f, n in found if f == "refresh_dataset"} == {mine, theirs}
    assert found["refresh_dataset", mine].limit == world.platform.settings.department_limit
    assert found["city_refresh", mine].cron is not None
    assert found["city_refresh", theirs].cron is None, "it has no table with a source"
    assert found["city_refresh", "city"].cron is None
    with world.by(world.operator) as unit:
        schedules.pause(unit, mine, True)
    assert Served("city_refresh", mine, (("organisation_id", mine),)) in wanted(world.platform)


def test_jobs_on_a_table_go_to_their_departments_deployment(world: World) -> None:
    world.delivered()
    with world.by(world.operator) as unit:
        whole = schedules.start(unit, None)
    with world.system() as unit:
        ingest = next(j for j in jobs.outbox(unit.session) if j.kind == "ingest")
        last = jobs.get(unit.session, whole.id)
    assert deployment_of(ingest) == f"refresh_dataset/{world.department.organisation_id}"
    assert deployment_of(last) == "city_refresh/city"


def test_a_twin_is_made_by_a_flow_of_its_own_that_people_may_start_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """Without a job it asks for one itself, or for every stale or missing twin when no table is named."""
    resource_id = world.published()
    with world.system() as unit:
        (job,) = (j for j in jobs.outbox(unit.session) if j.kind == twins.JOB)
    assert deployment_of(job) == "simulate_dataset/twins"
    assert ("simulate_dataset", "twins") in {(s.flow, s.name) for s in wanted(world.platform)}
    monkeypatch.setattr(flows, "_platform", lambda: world.platform)
    assert flows.simulate_dataset.fn(resource_id) == "simulated.in_progress"
    with world.system() as unit:
        jobs.get(unit.session, job.id).state = jobs.SUCCEEDED
    assert flows.simulate_dataset.fn() == "asked:0"
    with world.system() as unit:
        records.columns(unit.session, resource_id)[0].level = 4
    assert flows.simulate_dataset.fn() == "asked:1"


def test_old_results_are_forgotten(tmp_path: Path) -> None:
    for name, age in (("old", 100), ("new", 1)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - age, time.time() - age))
    assert flows.forget(tmp_path, time.time() - 50) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["new"]


def test_names_cannot_break_out_of_a_card() -> None:
    there = {"code": "0201", "name": {"zh": "a|b<script>"}, "a": 1, "b": 2, "x": 0.5, "assessed": True}
    lacks = {"code": "0301", "name": {"zh": "c"}, "a": None, "b": None, "x": None, "assessed": False}
    report = {"indicators": [there, lacks], "verdict": {"outcome": "pass"}}
    card = quality_card("# [x](javascript:1)", report)
    assert "| 0201 a\\|b\\<script\\> | 1 | 2 | 0.5000 |" in card
    assert "| 0301 c | — | — | 未评估 |" in card
    assert "](" not in card


def test_a_cluster_that_is_away_is_said_in_clear_words(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dask\.unreachable"):
        flows._room(Settings(home=tmp_path, dask_address=f"tcp://127.0.0.1:{free_port()}"))
