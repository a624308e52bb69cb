"""Jobs: the outbox, the claim, what is lost and found again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from policies.text import Text, UserError
from sandbox.kernel import jobs, state
from sandbox.kernel.errors import InvalidTransition, NotPermitted
from sandbox.kernel.jobs import Effect, Job, LocalExecutor, Work
from sandbox.kernel.unit import Platform, Unit
from tests.factories import World

SECRET = "440106199001011234"
"""what a record's value in an exception's text would look like (a made-up number)"""


def nothing(_work: Work) -> None:
    pass


@dataclass
class Counting:
    """A kind of job that counts its effect in the database, and does what the test says while it works."""

    during: Callable[[Work], None] = nothing
    on_failed: Callable[[Unit], None] = lambda unit: None
    runs: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def run(self, work: Work) -> Effect:
        self.runs.append(work.job.key)
        (work.folder / "scratch").write_text("x")
        work.step("count", 50, lambda: self.during(work))

        def effect(unit: Unit) -> Mapping[str, Any]:
            state.write(unit.session, "count", state.read(unit.session, "count", 0) + 1)
            return {"counted": True}

        return effect

    def failed(self, unit: Unit, job: Job, error: UserError) -> None:
        self.on_failed(unit)
        self.told.append(error.code)


@dataclass
class Forgetful:
    """An executor whose runs start later, or never: `started` keeps the keys, as Prefect does."""

    started: dict[str, str] = field(default_factory=dict)
    ended: bool = True

    def start(self, job: Job) -> str:
        return self.started.setdefault(job.key, f"run-{len(self.started) + 1}")

    def lost(self, run_ref: str) -> bool:
        return self.ended


def ask(platform: Platform, kind: str = "count") -> str:
    with platform.system() as unit:
        return unit.enqueue(kind, "thing", "thing-1").id


def job(platform: Platform, job_id: str) -> Job:
    with platform.system() as unit:
        return jobs.get(unit.session, job_id)


def count(platform: Platform) -> int:
    with platform.system() as unit:
        return int(state.read(unit.session, "count", 0))


def kill_while_running(platform: Platform, handler: Counting, job_id: str) -> None:
    """What a killed process leaves behind: a claimed row and nothing else."""
    claimed = jobs._claim(platform, handler, job_id)
    assert claimed is not None
    handler.runs.append(claimed.key)


def test_rolled_back_transaction_leaves_no_job(any_platform: Platform) -> None:
    with pytest.raises(RuntimeError), any_platform.system() as unit:
        unit.enqueue("count", "thing", "thing-1")
        raise RuntimeError
    with any_platform.system() as unit:
        assert jobs.outbox(unit.session) == []


def test_job_runs_once_and_applies_its_effect(any_platform: Platform) -> None:
    handler = Counting()
    executor = LocalExecutor(any_platform, {"count": handler})
    job_id = ask(any_platform)
    assert executor.drain() == 1
    assert executor.drain() == 0
    done = job(any_platform, job_id)
    assert (done.state, done.progress, done.result, done.step) == ("succeeded", 100, {"counted": True}, "count")
    assert (count(any_platform), handler.runs) == (1, [f"{job_id}:1"])


def test_scratch_folder_is_gone_afterwards(platform: Platform) -> None:
    job_id = ask(platform)
    LocalExecutor(platform, {"count": Counting()}).drain()
    assert not (platform.settings.home / "work" / job_id / "1").exists()


def test_dispatch_interrupted_before_its_mark_repeats_the_same_key(platform: Platform) -> None:
    class Interrupted(Forgetful):
        def start(self, job: Job) -> str:
            super().start(job)
            raise KeyboardInterrupt

    executor, job_id = Interrupted(), ask(platform)
    with pytest.raises(KeyboardInterrupt):
        jobs.dispatch(platform, executor)
    after = Forgetful(executor.started)
    assert jobs.dispatch(platform, after) == 1
    assert after.started == {f"{job_id}:1": "run-1"}
    assert jobs.dispatch(platform, after) == 0


def test_second_execution_of_a_claimed_or_ended_job_does_nothing(any_platform: Platform) -> None:
    handler = Counting()
    job_id = ask(any_platform)
    states = [jobs.execute(any_platform, {"count": handler}, job_id) for _ in range(3)]
    assert states == ["succeeded"] * 3
    assert (count(any_platform), len(handler.runs)) == (1, 1)


def test_two_executions_at_the_same_moment_run_once(any_platform: Platform) -> None:
    handler, gate = Counting(), threading.Barrier(6)
    for _ in range(3):
        job_id, before = ask(any_platform), count(any_platform)

        def start(_: int, wanted: str = job_id) -> None:
            gate.wait()
            jobs.execute(any_platform, {"count": handler}, wanted)

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(start, range(6)))
        assert count(any_platform) == before + 1
    assert len(handler.runs) == 3


def test_failure_with_a_reason_reaches_the_subject(any_platform: Platform) -> None:
    def refuse(_work: Work) -> None:
        raise UserError("thing.wrong", Text("不对", "wrong"), fix=Text("改一改", "change it"))

    handler = Counting(refuse)
    job_id = ask(any_platform)
    assert jobs.execute(any_platform, {"count": handler}, job_id) == "failed"
    failed = job(any_platform, job_id)
    assert (failed.state, failed.error_code) == ("failed", "thing.wrong")
    assert failed.error == {"text": {"zh": "不对", "en": "wrong"}, "fix": {"zh": "改一改", "en": "change it"}}
    assert handler.told == ["thing.wrong"]
    assert count(any_platform) == 0


def test_unexpected_exception_leaves_its_text_only_where_operators_look(platform: Platform) -> None:
    def crash(_work: Work) -> None:
        raise ValueError(f"cannot parse {SECRET}")

    handler, job_id = Counting(crash), ask(platform)
    assert jobs.execute(platform, {"count": handler}, job_id) == "failed"
    failed = job(platform, job_id)
    assert failed.error_code == "job.unexpected"
    assert SECRET not in repr({c.name: getattr(failed, c.name) for c in Job.__table__.columns})
    report = platform.settings.home / "operator-only" / "errors" / f"{job_id}-1.txt"
    assert SECRET in report.read_text(encoding="utf-8")
    assert report.stat().st_mode & 0o077 == 0
    assert report.parent.stat().st_mode & 0o077 == 0
    assert not [p for p in _readable(platform.settings.home) if SECRET.encode() in p.read_bytes()]


def _readable(home: Path) -> list[Path]:
    return [p for p in home.rglob("*") if p.is_file() and "operator-only" not in p.parts]


def test_failed_effect_rolls_back_whole(any_platform: Platform) -> None:
    class HalfWay(Counting):
        def run(self, work: Work) -> Effect:
            counted = super().run(work)

            def effect(unit: Unit) -> Mapping[str, Any]:
                counted(unit)
                raise UserError("thing.late", Text("晚了", "late"))

            return effect

    job_id = ask(any_platform)
    assert jobs.execute(any_platform, {"count": HalfWay()}, job_id) == "failed"
    assert count(any_platform) == 0


def test_subject_that_has_moved_on_does_not_keep_the_job_open(any_platform: Platform) -> None:
    """Its merchant has withdrawn meanwhile, say: telling the subject fails, the job must still end."""

    def refuse(_work: Work) -> None:
        raise UserError("thing.wrong", Text("不对", "wrong"))

    def moved_on(unit: Unit) -> None:
        state.write(unit.session, "half", True)
        raise InvalidTransition("thing.wrong_state", Text("状态不对", "wrong state"))

    job_id = ask(any_platform)
    assert jobs.execute(any_platform, {"count": Counting(refuse, moved_on)}, job_id) == "failed"
    assert job(any_platform, job_id).state == "failed"
    with any_platform.system() as unit:
        assert state.read(unit.session, "half") is None


def test_killed_run_is_found_and_its_effect_applied_once(any_platform: Platform) -> None:
    handler, executor, job_id = Counting(), Forgetful(), ask(any_platform)
    jobs.dispatch(any_platform, executor)
    kill_while_running(any_platform, handler, job_id)
    assert jobs.reconcile(any_platform, executor, {"count": handler}) == [], "not silent for long enough yet"
    any_platform.clock.moment += pause(any_platform)  # type: ignore[attr-defined]
    assert jobs.reconcile(any_platform, executor, {"count": handler}) == [job_id]
    assert LocalExecutor(any_platform, {"count": handler}).drain() == 1
    done = job(any_platform, job_id)
    assert (done.state, done.attempt, count(any_platform)) == ("succeeded", 2, 1)
    assert handler.runs == [f"{job_id}:1", f"{job_id}:2"]


def pause(platform: Platform) -> Any:
    from datetime import timedelta

    return timedelta(seconds=platform.settings.lost_after_seconds + 1)


def test_run_killed_before_its_start_was_marked_is_found_too(any_platform: Platform) -> None:
    handler, executor, job_id = Counting(), Forgetful(), ask(any_platform)
    kill_while_running(any_platform, handler, job_id)
    any_platform.clock.moment += pause(any_platform)  # type: ignore[attr-defined]
    assert jobs.reconcile(any_platform, executor, {"count": handler}) == [job_id]
    assert job(any_platform, job_id).attempt == 2


def test_silent_run_that_its_executor_still_knows_is_left_alone(platform: Platform) -> None:
    handler, executor, job_id = Counting(), Forgetful(ended=False), ask(platform)
    jobs.dispatch(platform, executor)
    kill_while_running(platform, handler, job_id)
    platform.clock.moment += pause(platform)  # type: ignore[attr-defined]
    assert jobs.reconcile(platform, executor, {"count": handler}) == []


def test_run_that_lost_its_claim_cannot_commit(any_platform: Platform) -> None:
    """The slow first attempt comes back after a second one has taken over: its effect must not be applied."""
    executor = Forgetful()
    second = Counting()

    def taken_over(work: Work) -> None:
        any_platform.clock.moment += pause(any_platform)  # type: ignore[attr-defined]
        assert jobs.reconcile(any_platform, executor, {"count": second}) == [work.job.id]
        assert jobs.execute(any_platform, {"count": second}, work.job.id) == "succeeded"

    first, job_id = Counting(taken_over), ask(any_platform)
    jobs.dispatch(any_platform, executor)
    assert jobs.execute(any_platform, {"count": first}, job_id) == "succeeded"
    assert (count(any_platform), first.told, second.told) == (1, [], [])
    assert job(any_platform, job_id).attempt == 2


def test_failure_of_a_run_that_lost_its_claim_changes_nothing(platform: Platform) -> None:
    executor = Forgetful()

    def taken_over_then_crash(work: Work) -> None:
        platform.clock.moment += pause(platform)  # type: ignore[attr-defined]
        jobs.reconcile(platform, executor, {})
        raise RuntimeError("late")

    first, job_id = Counting(taken_over_then_crash), ask(platform)
    jobs.dispatch(platform, executor)
    jobs.execute(platform, {"count": first}, job_id)
    assert (job(platform, job_id).state, first.told) == ("queued", [])


def test_third_loss_fails_the_job_and_only_an_operator_starts_it_again(any_world: World) -> None:
    platform, handler, executor = any_world.platform, Counting(), Forgetful()
    job_id = ask(platform)
    for _ in range(3):
        jobs.dispatch(platform, executor)
        kill_while_running(platform, handler, job_id)
        platform.clock.moment += pause(platform)  # type: ignore[attr-defined]
        assert jobs.reconcile(platform, executor, {"count": handler}) == [job_id]
    assert (job(platform, job_id).state, job(platform, job_id).error_code) == ("failed", "job.lost")
    assert handler.told == ["job.lost"]
    for who in (any_world.merchant, any_world.department, any_world.officer, any_world.auditor):
        with pytest.raises(NotPermitted), any_world.by(who) as unit:
            jobs.retry(unit, job_id)
    with any_world.by(any_world.operator) as unit:
        jobs.retry(unit, job_id)
    LocalExecutor(platform, {"count": handler}).drain()
    done = job(platform, job_id)
    assert (done.state, done.error_code, count(platform)) == ("succeeded", None, 1)


def test_one_bad_subject_does_not_stop_the_reconciler(platform: Platform) -> None:
    def moved_on(_unit: Unit) -> None:
        raise InvalidTransition("thing.wrong_state", Text("状态不对", "wrong state"))

    bad, good, executor = Counting(on_failed=moved_on), Counting(), Forgetful()
    job_ids = [ask(platform, "bad"), ask(platform)]
    for _ in range(3):
        jobs.dispatch(platform, executor)
        for job_id in job_ids:
            kill_while_running(platform, good, job_id)
        platform.clock.moment += pause(platform)  # type: ignore[attr-defined]
        assert sorted(jobs.reconcile(platform, executor, {"bad": bad, "count": good})) == sorted(job_ids)
    assert [job(platform, j).state for j in job_ids] == ["failed", "failed"]


@pytest.mark.parametrize("final", ["queued", "succeeded"])
def test_only_a_failed_job_is_retried(world: World, final: str) -> None:
    job_id = ask(world.platform)
    if final == "succeeded":
        LocalExecutor(world.platform, {"count": Counting()}).drain()
    with pytest.raises(InvalidTransition), world.by(world.operator) as unit:
        jobs.retry(unit, job_id)


def test_heartbeat_keeps_a_working_job_from_being_lost(platform: Platform, tmp_path: Path) -> None:
    from sandbox.kernel.settings import Settings

    lively = Platform(Settings(home=platform.settings.home, heartbeat_seconds=0.02), platform.clock)
    executor = Forgetful()

    def work_long(work: Work) -> None:
        lively.clock.moment += pause(lively)  # type: ignore[attr-defined]
        beat = threading.Event()
        for _ in range(200):
            beat.wait(0.02)
            if job(lively, work.job.id).heartbeat_at == lively.clock.now():
                break
        assert jobs.reconcile(lively, executor, {}) == []

    handler, job_id = Counting(work_long), ask(lively)
    jobs.dispatch(lively, executor)
    assert jobs.execute(lively, {"count": handler}, job_id) == "succeeded"
    lively.database.dispose()


def test_job_asked_for_by_a_job_runs_in_the_same_drain(platform: Platform) -> None:
    class Chained(Counting):
        def run(self, work: Work) -> Effect:
            counted = super().run(work)

            def effect(unit: Unit) -> Mapping[str, Any]:
                unit.enqueue("count", "thing", "thing-2")
                return counted(unit)

            return effect

    ask(platform, "chain")
    assert LocalExecutor(platform, {"chain": Chained(), "count": Counting()}).drain() == 2
    assert count(platform) == 2


def test_every_step_of_a_job_is_on_the_audit_chain(world: World) -> None:
    ask(world.platform)
    LocalExecutor(world.platform, {"count": Counting()}).drain()
    assert world.events("job:enqueue")[-1].object_id == "thing-1"
    assert world.events("job:succeed")[-1].facts["kind"] == "count"
