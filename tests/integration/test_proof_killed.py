"""A check of an export that is killed at any step leaves nothing half-judged: the next attempt judges anew."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa
import pytest

from pipelines.registry import HANDLERS
from sandbox.applications import repository as applications
from sandbox.catalog import repository as catalogue
from sandbox.exports import repository as export_records
from sandbox.exports import service as exports
from sandbox.kernel import jobs
from sandbox.kernel.clock import FixedClock
from sandbox.kernel.jobs import Job, LocalExecutor
from sandbox.kernel.settings import Settings
from sandbox.kernel.steps import Step
from sandbox.kernel.unit import Platform
from sandbox.lake import Lake
from sandbox.products import artefact, repository
from sandbox.products.releasing import declared
from sandbox.products.spec import parse
from sandbox.workspaces import snapshot
from tests.factories import CONTEXT, World

T = TypeVar("T")
ROWS = "SELECT '人' || range AS 身份证号, '区' || (range % 3) AS 区, (50 + range % 40)::DOUBLE AS 费用 FROM range(600)"


@pytest.fixture
def waiting(world: World, tmp_path: Path) -> str:
    """An export of a real product over real rows, submitted: its check waits in the outbox."""
    workspace_id = world.workspace()
    real = duckdb.sql(ROWS).to_arrow_table()
    with world.system() as unit:
        from sandbox.workspaces.repository import get

        held = applications.grants(unit.session, get(unit.session, workspace_id).application_id)[0]
        resource = catalogue.get(unit.session, held.resource_id)
        lake = Lake(unit.settings.lake_root)
        version = catalogue.version(unit.session, held.resource_id, held.version)
        version.lake_version = _write(lake, resource.typed_table, real)
        version.lake_digest = lake.digest(resource.typed_table, version.lake_version)
        world.verified(unit, resource.id, version.lake_version)
        made = snapshot.build(
            lake.files(resource.typed_table, version.lake_version), snapshot.Content(list(held.columns)),
            out_root=unit.settings.snapshots_root, room=snapshot.Room(256, 1), source={"grant": held.id},
        )  # fmt: skip
        held.snapshot = {side: {"digest": made.digest, "columns": [], "rows": 600} for side in ("real", "twin")}
        grant_id = held.id
    artefact_id = _product(world, workspace_id, world.spec(grant_id))
    with world.by(world.merchant) as unit:
        request = exports.draft(
            unit, artefact_id=artefact_id, title="门诊量", remark="按区", audience="public", context=CONTEXT
        )
        exports.submit(unit, request.id)
    return request.id


def _write(lake: Lake, table: str, rows: pa.Table) -> int:
    return lake.write(table, rows.to_reader(), mode="overwrite", facts={}, once=f"test-{table}")


def _product(world: World, workspace_id: str, spec: dict[str, Any]) -> str:
    """The artefact that a run of `spec` leaves."""
    from sandbox.products import service

    with world.by(world.merchant) as unit:
        run_id = service.start_run(unit, workspace_id, spec).id
    with world.system() as unit:
        for waiting in jobs.of_subject(unit.session, "run", run_id):
            waiting.state = "cancelled"
    rows = duckdb.sql(f"SELECT 区, count(*) AS 人次 FROM ({ROWS}) GROUP BY 区 ORDER BY 区").fetchall()
    job = parse(spec)
    made = artefact.write(job.file_name, declared(job, rows, base=5))
    root = world.platform.settings.artefacts_root
    root.mkdir(parents=True, exist_ok=True)
    (root / made.sha256).write_bytes(made.content)
    with world.system() as unit:
        kept = repository.Artefact(
            id="art-killed", organisation_id=world.merchant.organisation_id, run_id=run_id, name=made.name,
            sha256=made.sha256, bytes=len(made.content), rows=made.rows, columns=list(made.columns),
            lineage={"spec": "sha256:x", "inputs": {}}, created_at=unit.now,
        )  # fmt: skip
        service.succeed(unit, run_id, {"rows": 3}, {"state": "done", "rows_bucket": "1-10"}, kept)
    return kept.id


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


def _attempt(home: Path, moment: Any, job_id: str, name: str, when: str) -> None:
    platform = Platform(Settings(home=home), FixedClock(moment))
    jobs.execute(platform, HANDLERS, job_id, Dying(name, when))


def _check_job(world: World, request_id: str) -> Job:
    with world.system() as unit:
        return next(j for j in jobs.of_subject(unit.session, "export", request_id) if j.kind == "check_export")


def _verdict(world: World, request_id: str) -> tuple[str, dict[str, Any]]:
    with world.system() as unit:
        record = export_records.get(unit.session, request_id)
        return record.state, dict(record.verdict or {})


def _require_judged(world: World, request_id: str) -> None:
    """The whole check has run, and the evidence was proved."""
    state, verdict = _verdict(world, request_id)
    assert state in ("in_review", "blocked"), verdict
    proofs = [rule for rule in verdict["rules"] if rule["rule"] == "EXP-PROOF-01"]
    assert [rule["outcome"] for rule in proofs] == ["pass"], verdict


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
    state, verdict = _verdict(world, waiting)
    assert (state, verdict) == ("checking", {}), "a killed attempt has judged"
    world.advance(seconds=60)
    executor = LocalExecutor(world.platform, HANDLERS)
    assert jobs.reconcile(world.platform, executor, HANDLERS) == [job.id]
    assert not (settings.home / "work" / job.id / "1").exists()
    executor.drain()
    _require_judged(world, waiting)
    assert not any(p.name.startswith(".building-") for p in settings.snapshots_root.rglob("*"))
