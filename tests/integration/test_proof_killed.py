"""A check of an export that is killed at any step leaves nothing half-judged: the next attempt judges anew."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest

from pipelines.registry import HANDLERS
from sandbox.exports import service as exports
from sandbox.kernel import jobs
from sandbox.kernel.clock import FixedClock
from sandbox.kernel.jobs import Job, LocalExecutor
from sandbox.kernel.settings import Settings
from sandbox.kernel.steps import Step
from sandbox.kernel.unit import Platform
from tests.factories import World
from tests.real_products import opened, product, submitted
from tests.real_products import verdict as verdict_of

T = TypeVar("T")


@pytest.fixture
def waiting(world: World) -> str:
    """An export of a real product over real rows, submitted: its check waits in the outbox."""
    workspace_id, grant_id = opened(world)
    return submitted(world, product(world, workspace_id, world.spec(grant_id)))


class Dying:
    """Runs steps here, and kills its own process before, in or after the step of one name."""

    remembers, reused = False, 0

    def __init__(self, name: str, when: str) -> None:
        self.name, self.when = name, when

    def run(self, step: Step[T]) -> T:
        if step.name == self.name and self.when == "in":
            threading.Thread(target=_die_beside_a_jail, daemon=True).start()
        if step.name == self.name and self.when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = step()
        if step.name == self.name:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    def fan(self, steps: Sequence[Step[T]]) -> list[T]:
        return [self.run(step) for step in steps]


def _die_beside_a_jail() -> None:
    while not jails(os.getpid()):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)


def jails(parent: int) -> list[int]:
    """Processes of bubblewrap that this process started."""
    found = []
    for thread in Path(f"/proc/{parent}/task").iterdir():
        found += [int(pid) for pid in (thread / "children").read_text().split()]
    return [pid for pid in found if Path(f"/proc/{pid}/comm").read_text().strip() == "bwrap"]


def _running_below(home: Path) -> list[str]:
    """Command lines of jails that have something of this platform mounted."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            line = (place / "cmdline").read_bytes()
            if b"bwrap" in line and str(home).encode() in line:
                found.append(place.name)
    return found


def _ends(wanted: Callable[[], bool]) -> bool:
    until = time.monotonic() + 20
    while not wanted() and time.monotonic() < until:
        time.sleep(0.05)
    return wanted()


def _attempt(home: Path, moment: Any, job_id: str, name: str, when: str) -> None:
    platform = Platform(Settings(home=home), FixedClock(moment))
    jobs.execute(platform, HANDLERS, job_id, Dying(name, when))


def _check_job(world: World, request_id: str) -> Job:
    with world.system() as unit:
        return next(j for j in jobs.of_subject(unit.session, "export", request_id) if j.kind == "check_export")


def _require_judged(world: World, request_id: str) -> None:
    """The whole check has run once, the evidence was proved, and what the verdict rests on is there whole."""
    state, verdict = verdict_of(world, request_id)
    assert (state, verdict["outcome"]) == ("in_review", "pass"), verdict
    proofs = [rule for rule in verdict["rules"] if rule["rule"] == "EXP-PROOF-01"]
    assert [rule["outcome"] for rule in proofs] == ["pass"], verdict
    with world.by(world.officer) as unit:
        record = exports.read(unit, request_id)
        basis, shown = exports.basis_of(unit, record), exports.reviewed_path(unit, record).read_bytes()
        frozen = exports.frozen_file(record)
    assert basis is not None and basis["record"]["seed"] and hashlib.sha256(shown).hexdigest() == frozen
    kept = [world.platform.settings.evidence_root, world.platform.settings.artefacts_root]
    assert not [p for folder in kept for p in folder.rglob(".*")], "a file that was being written is left"
    assert len(world.events("export:to_review")) == 1


@pytest.mark.jail
def test_an_undisturbed_check_judges_on_evidence(world: World, waiting: str) -> None:
    LocalExecutor(world.platform, HANDLERS).drain()
    _require_judged(world, waiting)
    assert len(list((world.platform.settings.evidence_root / "proofs").iterdir())) == 1


@pytest.mark.jail
@pytest.mark.parametrize(
    ("name", "when"),
    [("evidence", "in"), ("evidence", "after"), ("rules", "after"), ("record", "before"), ("record", "after")],
)
def test_a_killed_check_leaves_nothing_half_judged(world: World, waiting: str, name: str, when: str) -> None:
    job, settings = _check_job(world, waiting), world.platform.settings
    moment = world.platform.clock.now()
    process = multiprocessing.get_context("spawn").Process(
        target=_attempt, args=(settings.home, moment, job.id, name, when)
    )
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert _ends(lambda: not _running_below(settings.home)), "a jail outlives the worker that started it"
    state, verdict = verdict_of(world, waiting)
    assert (state, verdict) == ("checking", {}), "a killed attempt has judged"
    world.advance(seconds=60)
    executor = LocalExecutor(world.platform, HANDLERS)
    assert jobs.reconcile(world.platform, executor, HANDLERS) == [job.id]
    assert not (settings.home / "work" / job.id / "1").exists()
    executor.drain()
    assert not list((settings.home / "work" / job.id).glob("*/*")), "a finished job leaves scratch files"
    _require_judged(world, waiting)
    assert not any(p.name.startswith(".building-") for p in settings.snapshots_root.rglob("*"))
