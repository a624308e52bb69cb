"""What a job did is on record: attempts, steps, what was reused; and operators find the jobs they look for."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from policies.text import Text, UserError
from sandbox.catalog import work
from sandbox.catalog.work import Attempt, Wanted
from sandbox.kernel import attempts, cancellation, jobs, oversight
from sandbox.kernel.attempts import JobAttempt, JobStep
from sandbox.kernel.errors import NotFound, NotPermitted
from sandbox.kernel.jobs import Effect, Job, Work
from sandbox.kernel.steps import Here, Kept, Step, Steps
from sandbox.kernel.unit import Unit
from tests.factories import World

T = TypeVar("T")
SECRET = "440106199001011234"
"""what a record's value in an exception's text would look like (a made-up number)"""
FULL = UserError("lake.full", Text("磁盘已满", "The disk is full"), fix=Text("请清理磁盘", "Free some space"))
COLUMNS = 3


@dataclass
class Remembering(Here):
    """An executor that keeps results by key, as Prefect does."""

    results: dict[str, Any] = field(default_factory=dict)
    remembers: bool = True
    reused: int = 0

    def run(self, step: Step[T]) -> T:
        if step.kept is None:
            return step()
        if step.kept.key in self.results:
            self.reused += 1
            return step.kept.load(self.results[step.kept.key])
        value = step()
        self.results[step.kept.key] = step.kept.dump(value)
        return value

    def fan(self, steps: Sequence[Step[T]]) -> list[T]:
        return [self.run(step) for step in steps]


def nothing() -> None:
    pass


@dataclass
class Table:
    """A kind of job with a kept step, a fan of kept ones, and a last step that is not kept and does what is said."""

    last: Callable[[], None] = nothing
    missing: frozenset[int] = frozenset()
    """columns that are computed under another key, as after a change"""

    def run(self, work: Work) -> Effect:
        work.step("land", 5, lambda: 1, kept=Kept("land", int))
        keys = [f"detect-{n}{'!' if n in self.missing else ''}" for n in range(COLUMNS)]
        work.fan(50, [Step("detect", lambda: 2, kept=Kept(key, int)) for key in keys])
        work.step("quality", 70, self.last, about="res-1")

        def effect(unit: Unit) -> Mapping[str, Any]:
            unit.audit("resource:register", "resource", "made-by-it")
            return {"rows": 7}

        return effect

    def failed(self, unit: Unit, job: Job, error: UserError) -> None:
        pass


def ask(world: World, subject: str = "thing-1", kind: str = "ingest") -> str:
    with world.system() as unit:
        return unit.enqueue(kind, "thing", subject).id


def execute(world: World, job_id: str, table: Table, steps: Steps | None = None) -> str:
    return jobs.execute(world.platform, {"ingest": table}, job_id, steps)


def tell(error: Exception) -> Callable[[], None]:
    def last() -> None:
        raise error

    return last


def record(world: World, job_id: str) -> list[Attempt]:
    with world.by(world.operator) as unit:
        return work.record(unit, job_id)[1]


def lines(attempt: Attempt) -> list[tuple[str, str, int, int]]:
    return [(s.name, s.state, s.parts, s.reused) for s in attempt.steps]


def test_every_step_is_kept_with_its_times_and_what_it_was_about(any_world: World) -> None:
    job_id = ask(any_world)
    assert execute(any_world, job_id, Table(lambda: any_world.advance(seconds=90))) == "succeeded"
    (attempt,) = record(any_world, job_id)
    assert lines(attempt) == [
        ("land", "done", 1, 0), ("detect", "done", COLUMNS, 0), ("quality", "done", 1, 0), ("record", "done", 1, 0)
    ]  # fmt: skip
    assert [s.about for s in attempt.steps] == ["", "", "res-1", ""]
    took = [s.finished_at - s.started_at for s in attempt.steps if s.finished_at]
    assert took == [timedelta(0), timedelta(0), timedelta(seconds=90), timedelta(0)]
    assert (attempt.record.state, attempt.record.error) == ("succeeded", None)
    assert attempt.record.finished_at == attempt.record.started_at + timedelta(seconds=90)


def test_a_running_step_shows_before_it_ends(world: World) -> None:
    job_id, seen = ask(world), []
    execute(world, job_id, Table(lambda: seen.append(lines(record(world, job_id)[0])[-1])))
    assert seen == [("quality", "running", 1, 0)]


def test_a_retry_shows_what_was_reused_and_the_earlier_failure_in_words(any_world: World) -> None:
    job_id, memory = ask(any_world), Remembering()
    assert execute(any_world, job_id, Table(tell(FULL)), memory) == "failed"
    with any_world.by(any_world.operator) as unit:
        waiting = jobs.retry(unit, job_id)
        assert (waiting.started_at, waiting.step, waiting.progress) == (None, "", 0)
    assert execute(any_world, job_id, Table(missing=frozenset({1})), memory) == "succeeded"
    second, first = record(any_world, job_id)
    assert lines(first) == [("land", "done", 1, 0), ("detect", "done", COLUMNS, 0), ("quality", "failed", 1, 0)]
    assert [s.kept for s in first.steps] == [True, True, False]
    assert first.steps[-1].error_code == first.record.error_code == "lake.full"
    assert first.record.error == {"text": FULL.text.as_dict(), "fix": {"zh": "请清理磁盘", "en": "Free some space"}}
    assert (first.record.state, first.record.reached) == ("failed", "quality")
    assert lines(second) == [
        ("land", "reused", 1, 1), ("detect", "done", COLUMNS, 2), ("quality", "done", 1, 0), ("record", "done", 1, 0)
    ]  # fmt: skip


def test_an_executor_without_memory_promises_nothing(world: World) -> None:
    job_id = ask(world)
    execute(world, job_id, Table(tell(FULL)))
    assert [s.kept for s in record(world, job_id)[0].steps] == [False, False, False]


def test_an_exceptions_words_are_not_kept(world: World) -> None:
    job_id = ask(world)
    execute(world, job_id, Table(tell(ValueError(f"cannot parse {SECRET}"))))
    (attempt,) = record(world, job_id)
    assert attempt.steps[-1].error_code == attempt.record.error_code == "job.unexpected"
    rows: list[JobAttempt | JobStep] = [attempt.record, *attempt.steps]
    assert SECRET not in repr([{c.name: getattr(row, c.name) for c in row.__table__.columns} for row in rows])


def test_a_killed_run_leaves_its_step_open_until_it_is_found_and_the_next_attempt_follows(any_world: World) -> None:
    job_id = ask(any_world)
    with pytest.raises(KeyboardInterrupt):
        jobs.execute(any_world.platform, {"ingest": Table(tell(KeyboardInterrupt()))}, job_id)  # type: ignore[arg-type]
    assert lines(record(any_world, job_id)[0])[-1] == ("quality", "running", 1, 0)
    any_world.advance(seconds=any_world.platform.settings.lost_after_seconds + 1)
    assert jobs.reconcile(any_world.platform, Gone(), {"ingest": Table()}) == [job_id]
    (lost,) = record(any_world, job_id)
    assert (lost.record.state, lost.record.error_code, lost.record.reached) == ("lost", "job.broken_off", "quality")
    assert lines(lost)[-1] == ("quality", "stopped", 1, 0)
    execute(any_world, job_id, Table())
    assert [(a.record.attempt, a.record.state) for a in record(any_world, job_id)] == [(2, "succeeded"), (1, "lost")]


class Gone:
    """An executor whose runs have all ended."""

    def start(self, job: Job) -> str:
        return job.key

    def stop(self, run_ref: str) -> None:
        pass

    def lost(self, run_ref: str) -> bool:
        return True


def test_a_cancelled_job_says_where_it_stopped_and_its_late_run_changes_nothing(any_world: World) -> None:
    job_id = ask(any_world)

    def cancelled() -> None:
        with any_world.by(any_world.operator) as unit:
            cancellation.cancel(unit, job_id)
        cancellation.stop_cancelled(any_world.platform, Gone(), {"ingest": Table()})

    assert execute(any_world, job_id, Table(cancelled)) == "cancelled"
    (attempt,) = record(any_world, job_id)
    assert (attempt.record.state, attempt.record.reached, attempt.record.error_code) == (
        "cancelled", "quality", "job.cancelled"
    )  # fmt: skip
    assert lines(attempt)[2] == ("quality", "stopped", 1, 0), "what came back later was too late"


def test_a_job_cancelled_before_it_began_has_no_attempt(world: World) -> None:
    job_id = ask(world)
    with world.by(world.operator) as unit:
        cancellation.cancel(unit, job_id)
    cancellation.stop_cancelled(world.platform, Gone(), {"ingest": Table()})
    assert record(world, job_id) == []


# ---- looking ----


def test_only_operators_and_auditors_look_and_a_look_at_the_log_is_on_record(any_world: World) -> None:
    job_id = ask(any_world)
    execute(any_world, job_id, Table(tell(FULL)))
    with any_world.by(any_world.operator) as unit:
        jobs.retry(unit, job_id)
    execute(any_world, job_id, Table())
    ask(any_world), ask(any_world, "thing-2")
    with any_world.by(any_world.auditor) as unit:
        job = work.record(unit, job_id)[0]
        found = [e.event for e in oversight.job_log(unit, job)]
        assert found == ["job:enqueue", "job:fail", "job:retry", "resource:register", "job:succeed"]
        assert [e.event for e in oversight.job_log(unit, job, "LAKE.FULL")] == ["job:fail"]
        assert [e.event for e in oversight.job_log(unit, job, "重试", ["job:retry"])] == ["job:retry"]
        assert oversight.job_log(unit, job, "%") == []
    looks = any_world.events("job:look")
    assert [(e.role, e.object_id, e.facts["rows"]) for e in looks] == [("auditor", job_id, n) for n in (5, 1, 1, 0)]
    for who in (any_world.merchant, any_world.department, any_world.officer):
        looks_of = (lambda u: work.record(u, job_id), lambda u: work.find(u, Wanted()),
                    lambda u: oversight.job_log(u, job))  # fmt: skip
        for look in looks_of:
            with pytest.raises(NotPermitted), any_world.by(who) as unit:
                look(unit)
    with pytest.raises(NotFound), any_world.by(any_world.operator) as unit:
        work.record(unit, "job-nothere00000")


@dataclass
class Week:
    """Jobs of two departments on two days: numbers by a short name."""

    world: World
    ids: dict[str, str] = field(default_factory=dict)
    tables: dict[str, str] = field(default_factory=dict)

    def found(self, wanted: Wanted) -> set[str]:
        with self.world.by(self.world.operator) as unit:
            names = {i: name for name, i in self.ids.items()}
            return {names[job.id] for job in work.find(unit, wanted).jobs}


@pytest.fixture
def week(any_world: World) -> Week:
    made = Week(any_world)
    for name, department, fails in (
        ("old", any_world.department, True), ("bad", any_world.department, True), ("good", any_world.department, False),
        ("other", any_world.other_department, True),
    ):  # fmt: skip
        table = made.tables[name] = any_world.delivered(name=f"表_{name}", department=department)
        with any_world.system() as unit:
            (job,) = [j for j in jobs.of_subject(unit.session, "resource", table) if j.kind == "ingest"]
        made.ids[name] = job.id
        execute(any_world, job.id, Table(tell(FULL) if fails else nothing))
        if name == "old":
            any_world.advance(days=3)
    return made


def test_an_operator_finds_todays_failed_jobs_of_a_department(week: Week) -> None:
    mine, theirs = week.world.department.organisation_id, week.world.other_department.organisation_id
    everything = {"old", "bad", "good", "other"}
    assert week.found(Wanted()) == everything
    assert week.found(Wanted(state="failed")) == {"old", "bad", "other"}
    assert week.found(Wanted(state="failed", days=1)) == {"bad", "other"}
    assert week.found(Wanted(state="failed", days=1, department=mine)) == {"bad"}
    assert week.found(Wanted(days=4)) == everything
    assert week.found(Wanted(department=theirs)) == {"other"}
    assert week.found(Wanted(resource=week.tables["good"])) == {"good"}
    assert week.found(Wanted(kind="simulate")) == set()
    assert week.found(Wanted(round_id=week.ids["bad"])) == {"bad"}


def test_words_search_numbers_names_and_errors_and_wildcards_mean_themselves(week: Week) -> None:
    for text, expected in {
        "表_bad": {"bad"}, "磁盘已": {"old", "bad", "other"}, "free some": {"old", "bad", "other"},
        "LAKE.FULL": {"old", "bad", "other"}, "交通局": {"other"}, week.ids["good"]: {"good"},
        week.tables["old"]: {"old"}, "表%bad": set(), "' OR 1=1 --": set(),
    }.items():  # fmt: skip
        assert week.found(Wanted(text=text)) == expected, text
    assert week.found(Wanted(text="读取", kinds=("ingest",))) == {"old", "bad", "good", "other"}


def test_counts_by_state_follow_the_other_conditions_and_pages_follow_one_another(week: Week) -> None:
    with week.world.by(week.world.operator) as unit:
        found = work.find(unit, Wanted(state="failed", days=1))
        assert (found.total, found.by_state) == (2, {"failed": 2, "succeeded": 1})
        pages = [work.find(unit, Wanted(), offset=n, limit=1).jobs for n in range(5)]
    assert [len(p) for p in pages] == [1, 1, 1, 1, 0]
    newest_first = [job.created_at for page in pages for job in page]
    assert all(a >= b for a, b in itertools.pairwise(newest_first))


def test_usual_duration_is_the_median_of_jobs_that_went_well(world: World) -> None:
    for took in (10, 30, 20):
        execute(world, ask(world), Table(lambda took=took: world.advance(seconds=took)))  # type: ignore[misc]
    execute(world, ask(world), Table(tell(FULL)))
    with world.by(world.operator) as unit:
        assert work.usual_seconds(unit, ["ingest", "run"]) == {"ingest": 20.0}


def test_every_state_of_attempts_and_steps_has_words() -> None:
    from api.pages.words_states import FIXED_STATES

    assert {s.name for s in FIXED_STATES["step"].values()} == set(attempts.STEP_STATES)
    assert {s.name for s in FIXED_STATES["attempt"].values()} == set(attempts.STATES)
