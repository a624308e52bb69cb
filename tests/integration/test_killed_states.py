"""The process killed at every state of an export: each act happened whole or not at all, and goes on to one end.

A child does the act and kills itself just before or just after the commit that brings the request to the state.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.orm import Session

from pipelines.registry import HANDLERS
from policies.verdict import Outcome
from sandbox.exports import repository as records
from sandbox.exports import reviewing, service
from sandbox.exports.repository import ExportRequest
from sandbox.kernel import jobs, oversight
from sandbox.kernel.clock import FixedClock
from sandbox.kernel.jobs import LocalExecutor
from sandbox.kernel.settings import Settings
from sandbox.kernel.unit import Platform
from tests.conftest import MONDAY
from tests.factories import World, verdict
from tests.integration.test_proof_killed import Dying
from tests.real_products import opened, product, submitted
from tests.real_products import verdict as state_of

Act = Callable[[World, str], object]


def review(who: str, decision: str) -> Act:
    def act(world: World, request_id: str) -> None:
        with world.by(world.people[who]) as unit:
            reviewing.review(unit, request_id, decision, "理由")

    return act


def by(who: str, call: Callable[..., object], *rest: object) -> Act:
    def act(world: World, request_id: str) -> None:
        with world.by(world.people[who]) as unit:
            call(unit, request_id, *rest)

    return act


def system(call: Callable[..., object], *rest: object) -> Act:
    def act(world: World, request_id: str) -> None:
        with world.system() as unit:
            call(unit, request_id, *rest)

    return act


def expire(world: World, request_id: str) -> None:
    world.advance(days=31)
    with world.system() as unit:
        service.expire_due(unit)


def disputed(world: World) -> str:
    request_id = world.export("second_review")
    review("second_officer", "reject")(world, request_id)
    return request_id


def third(world: World) -> str:
    request_id = disputed(world)
    by("officer", reviewing.call_third, "谈不拢")(world, request_id)
    return request_id


def at(state: str) -> Callable[[World], str]:
    return lambda world: world.export(state)


ACTS: dict[str, tuple[Callable[[World], str], Act]] = {
    "frozen": (at("draft"), by("merchant", service.submit)),
    "checking": (at("frozen"), system(service.begin_check)),
    "blocked": (at("checking"), system(service.conclude_check, verdict(Outcome.BLOCK))),
    "in_review": (at("checking"), system(service.conclude_check, verdict())),
    "second_review": (at("in_review"), review("officer", "approve")),
    "discussion": (at("second_review"), review("second_officer", "reject")),
    "third_review": (disputed, by("officer", reviewing.call_third, "谈不拢")),
    "approved": (at("second_review"), review("second_officer", "approve")),
    "rejected": (third, review("third_officer", "reject")),
    "returned": (at("second_review"), by("second_officer", reviewing.early_return, "补充")),
    "withdrawn": (at("in_review"), by("merchant", service.withdraw)),
    "released": (at("approved"), lambda world, request_id: world.release(request_id)),
    "recalled": (at("released"), by("officer", service.recall, "有误")),
    "expired": (at("released"), expire),
}
"""state → a request one act before it, and the act"""


def kill_at_commit(state: str, moment: str) -> None:
    """Kill this process when a transaction that holds a request in `state` is about to end, or has ended."""
    reached = []

    @event.listens_for(Session, "before_commit")
    def before(session: Session) -> None:
        if session.scalar(select(func.count()).where(ExportRequest.state == state)):
            reached.append(state)
            if moment == "before":
                os.kill(os.getpid(), signal.SIGKILL)

    @event.listens_for(Session, "after_commit")
    def after(_: Session) -> None:
        if reached:
            os.kill(os.getpid(), signal.SIGKILL)


def _die_in_act(
    home: Path, people: dict[str, Any], now: Any, act: Act, request_id: str, state: str, moment: str
) -> None:
    kill_at_commit(state, moment)
    act(World(Platform(Settings(home=home), FixedClock(now)), people), request_id)


def _die_in_release(home: Path, now: Any, job_id: str, step: str, when: str) -> None:
    platform = Platform(Settings(home=home), FixedClock(now))
    if step != "released":
        jobs.execute(platform, HANDLERS, job_id, Dying(step, when))
    kill_at_commit(step, when)
    jobs.execute(platform, HANDLERS, job_id)


def killed(how: str, target: Callable[..., None], *given: object) -> None:
    """Do it in a child that does not live to the end."""
    process = multiprocessing.get_context(how).Process(target=target, args=given)  # type: ignore[attr-defined]
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL


def facts(world: World, request_id: str) -> dict[str, Any]:
    """All that an act on a request may change."""
    with world.system() as unit:
        record = records.get(unit.session, request_id)
        made = records.release_of(unit.session, request_id)
        return {
            "state": record.state, "round": record.round, "release": made and made.id,
            "reviews": [(r.round, r.reviewer_id, r.decision) for r in records.reviews(unit.session, request_id)],
            "events": [e.event for e in oversight.trail(unit, request_id)],
            "jobs": sorted((j.kind, j.state) for j in jobs.of_subject(unit.session, "export", request_id)),
        }  # fmt: skip


def sound(world: World) -> None:
    with world.by(world.auditor) as unit:
        assert oversight.verify_chain(unit).intact


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("state", ACTS)
def test_an_act_whose_process_is_killed_has_happened_whole_or_not_at_all(
    world: World, state: str, moment: str
) -> None:
    before, act = ACTS[state]
    request_id = before(world)
    was = facts(world, request_id)
    now_is = world.platform.clock.now()
    world.platform.database.dispose()
    home = world.platform.settings.home
    killed("fork", _die_in_act, home, dict(world.people), now_is, act, request_id, state, moment)
    now = facts(world, request_id)
    if moment == "before":
        assert now == was
        act(world, request_id)
        now = facts(world, request_id)
    last = now["events"][-1]
    assert now["state"] == state and now["events"].count(last) == was["events"].count(last) + 1
    assert (now["release"] is not None) == (state in ("released", "recalled", "expired"))
    waits = {kind for kind, _ in now["jobs"]} - {kind for kind, _ in was["jobs"]}
    assert waits == {"frozen": {"check_export"}, "approved": {"release"}}.get(state, set())
    sound(world)


# -- the release's own job, over real rows: killed in any step and at its commit


@pytest.fixture(scope="module")
def approved(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, str]]:
    """A real product that was checked and approved; its release waits in the outbox."""
    home = tmp_path_factory.mktemp("approved")
    shutil.copy(sqlite_template, home / "metadata.sqlite")
    world = World.settle(Platform(Settings(home=home), FixedClock(MONDAY)))
    workspace_id, grant = opened(world)
    request_id = submitted(world, product(world, workspace_id, world.spec(grant)))
    LocalExecutor(world.platform, HANDLERS).drain()
    review("officer", "approve")(world, request_id)
    if state_of(world, request_id)[0] == "second_review":
        review("second_officer", "approve")(world, request_id)
    assert state_of(world, request_id)[0] == "approved"
    world.platform.database.dispose()
    yield world, request_id
    world.platform.database.dispose()


@pytest.mark.jail
@pytest.mark.parametrize(("step", "when"), [
    ("package", "after"), ("released", "before"), ("released", "after"),
])
def test_a_killed_release_leaves_nothing_outside_the_rules_and_ends_once(
    approved: tuple[World, str], tmp_path: Path, step: str, when: str
) -> None:
    first, request_id = approved
    home = tmp_path / "home"
    shutil.copytree(first.platform.settings.home, home)
    world = World(Platform(Settings(home=home), FixedClock(MONDAY)), dict(first.people))
    with world.system() as unit:
        job_id = next(j.id for j in jobs.of_subject(unit.session, "export", request_id) if j.kind == "release")
    killed("spawn", _die_in_release, home, world.platform.clock.now(), job_id, step, when)
    assert state_of(world, request_id)[0] == ("released" if (step, when) == ("released", "after") else "approved")
    world.advance(seconds=60)
    executor = LocalExecutor(world.platform, HANDLERS)
    jobs.reconcile(world.platform, executor, HANDLERS)
    executor.drain()
    now = facts(world, request_id)
    assert now["state"] == "released" and now["events"].count("export:release") == 1
    with world.by(world.merchant) as unit:
        assert service.download(unit, request_id).is_file()
    assert not [p for p in world.platform.settings.releases_root.iterdir() if p.name.startswith(".")]
    sound(world)
    world.platform.database.dispose()
