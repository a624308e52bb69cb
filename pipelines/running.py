"""A run: the job on the simulated twin first, then the same job on real data in fresh jails, nothing coming back."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.watching import Claim
from policies.text import Text, UserError
from sandbox.applications import repository as applications
from sandbox.applications.repository import Grant
from sandbox.catalog import repository as catalogue
from sandbox.kernel import editions
from sandbox.kernel.ids import new_id
from sandbox.kernel.jobs import ClaimLost, Effect, Job, Work
from sandbox.kernel.unit import Unit
from sandbox.products import artefact, plan, reports, repository, service
from sandbox.products.artefact import Artefact as Written
from sandbox.products.releasing import declared
from sandbox.products.repository import Artefact, Run
from sandbox.products.spec import JobSpec, parse
from sandbox.workspaces import handover, metering, snapshot, staged, tiers, uploads
from sandbox.workspaces import run as jailed
from sandbox.workspaces.broker import Mode
from sandbox.workspaces.limits import Limits, limits_of
from sandbox.workspaces.run import RunOutcome, State
from sandbox.workspaces.selftest import selftest
from sandbox.workspaces.staged import StagedOrder
from sandbox.workspaces.usage import Usage

_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Bound:
    """Everything a run needs, read from the database before it starts."""

    run: Run
    spec: JobSpec
    twin: dict[str, Path]
    real: dict[str, Path]
    limits: Limits
    folder_mb: int
    buckets: jailed.Buckets
    base: int
    lineage: dict[str, Any]


class Running:
    """Executes a requested run."""

    def run(self, work: Work) -> Effect:
        bound, claim = _bind(work), Claim(work)
        try:
            return self._run(work, bound, claim)
        except ClaimLost:
            with work.platform.system() as unit:  # what it has used until it was stopped is charged all the same
                number = f"{bound.run.id}:{work.job.attempt}"
                metering.record(unit, bound.run.workspace_id, "run", claim.used, subject=number)
            raise

    def _run(self, work: Work, bound: Bound, claim: Claim) -> Effect:
        twin, real = _order(work, bound, "twin"), _order(work, bound, "real")
        dry = work.step("dry_run", 10, lambda: staged.execute(twin, Mode.SIMULATED, selftest(), cancel=claim))
        claim.spend(dry)
        if dry.state is not State.DONE:
            return _failure(bound, _told(dry, bound, "simulated"), {}, claim.used)
        text = plan.digest_of(twin.stages)
        require_same_text(text, plan.digest_of(real.stages))
        columns = [list(c) for c in dry.schemas[twin.stages[-1].outputs[0]]]
        facts: dict[str, Any] = {"columns": columns, "rows": dict(dry.rows), "text": text}
        began = time.monotonic()
        real = replace(real, expected=dict(dry.schemas))
        done = work.step("real_run", 40, lambda: _execute_real(work, real, bound, claim))
        claim.spend(done)
        made = None
        if done.state is State.DONE:
            rows = work.step("artefact", 80, lambda: _rows(bound, staged.product_file(real), facts, claim))
            made = _write(work, bound, rows, facts)
        done = work.step("settle", 90, lambda: _settled(work, bound, done, began))
        if made is None:
            return _failure(bound, _told(done, bound, "real"), facts, claim.used)
        keep, outcome = made, done.as_dict()

        def effect(unit: Unit) -> Mapping[str, Any]:
            service.succeed(unit, bound.run.id, facts, outcome, keep(unit))
            metering.record(unit, bound.run.workspace_id, "run", claim.used, subject=bound.run.id)
            return {"state": "succeeded"}

        return effect

    def resume(self, unit: Unit, job: Job) -> None:
        """A run ends once: what was cancelled or has failed is not executed again."""
        service.require_waiting(unit, job.subject_id)

    def failed(self, unit: Unit, job: Job, error: UserError) -> None:
        service.fail(unit, job.subject_id, {"state": "failed", "error": error.code, "text": error.text.as_dict()})


def require_same_text(twin: str, real: str) -> None:
    """The two runs differ in what is bound, never in what is run. Raises UserError."""
    if twin != real:
        raise UserError(
            "run.text_differs",
            Text("两次运行的作业内容不一致，已停止", "The job differs between the two runs; it was stopped"),
            fix=Text("请联系运营人员", "Contact the operator"),
        )


def _bind(work: Work) -> Bound:
    with work.platform.system() as unit:
        run = repository.get(unit.session, work.job.subject_id)
        spec = parse(run.spec)
        grants = {g.id: g for g in applications.grants(unit.session, run.application_id)}
        policy, export = editions.in_force(unit, "workspace"), editions.in_force(unit, "export")
        bounds = policy.by_check("run_limits").parameters
        used = {alias: grants[i.grant] for alias, i in spec.inputs.items() if i.grant}
        brought = service.uploads_of(unit, run.workspace_id, spec)
        service.require_pins(unit, run.application_id, spec, brought)
        own = {alias: uploads.table_of(unit, one) for alias, one in brought.items()}
        return Bound(
            run=run, spec=spec, limits=limits_of(bounds), folder_mb=bounds.folder_mb,
            twin=own | _snapshots(unit, used, "twin"), real=own | _snapshots(unit, used, "real"),
            buckets=jailed.Buckets(
                policy.by_check("duration_buckets").parameters.bounds, policy.by_check("row_buckets").parameters.bounds
            ),
            base=export.by_check("rounding").parameters.base,
            lineage={
                "spec": run.spec_digest, "job": run.id, "application": run.application_id,
                "tier": service.require_tier(unit, spec),
                "inputs": {alias: _origin(unit, g) for alias, g in used.items() if g.snapshot},
                "uploads": {alias: {"upload": one.id, "table": one.table_sha256} for alias, one in brought.items()},
                "policies": {"workspace": policy.digest, "export": export.digest},
            },
        )  # fmt: skip


def _snapshots(unit: Unit, used: Mapping[str, Grant], side: str) -> dict[str, Path]:
    """Alias → file of the grant's twin or real snapshot."""
    root = unit.settings.snapshots_root
    return {a: snapshot.load(root, g.snapshot[side]["digest"]).path for a, g in used.items() if g.snapshot}


def _origin(unit: Unit, granted: Grant) -> dict[str, Any]:
    """Where one input comes from."""
    assert granted.snapshot is not None
    return {
        "grant": granted.id, "resource": granted.resource_id, "version": granted.version,
        "snapshot": granted.snapshot["real"]["digest"],
        "resource_name": catalogue.get(unit.session, granted.resource_id).name,
    }  # fmt: skip


def _order(work: Work, bound: Bound, name: str) -> StagedOrder:
    """The job bound to the twin or to real data. Planned anew each time: that both are equal is checked, not meant."""
    folder = work.folder / name
    shared = jailed.RunOrder(
        steps=(), outputs=(), tables=bound.real if name == "real" else bound.twin, output_folder=folder,
        limits=bound.limits, folder_mb=bound.folder_mb, buckets=bound.buckets,
        error_store=reports.place(work.platform.settings, bound.run.id, name),
    )  # fmt: skip
    return StagedOrder(plan.stages(bound.spec, bound.base), folder, shared)


def _execute_real(work: Work, order: StagedOrder, bound: Bound, claim: Claim) -> RunOutcome:
    """What this process has found of the host is as old as the process: the tier on record decides first, looked up
    again after the dry run, and `execute` refuses where this process itself has found less."""
    with work.platform.system() as unit:
        service.require_tier(unit, bound.spec)
        accepted = tiers.accepted(unit)
    return staged.execute(order, Mode.REAL, selftest(), accepted=accepted, cancel=claim)


def _settled(work: Work, bound: Bound, outcome: RunOutcome, began: float) -> RunOutcome:
    """Hold the outcome until the upper edge of its duration bucket: the moment at which a state flips can be seen too,
    and says no more than the bucket. Beyond the last edge, multiples of it."""
    elapsed = time.monotonic() - began
    edges = bound.buckets.seconds
    last = edges[-1]
    until = next((e for e in edges if elapsed < e), math.ceil(elapsed / last + 1e-9) * last)
    left = until - elapsed
    while left > 0:
        work.reached("settle", 90)
        piece = min(left, _LOOK_SECONDS)
        work.platform.clock.wait(piece)
        left -= piece
    return replace(outcome, duration=jailed.bucket(elapsed, edges))


def _told(outcome: RunOutcome, bound: Bound, on: str) -> dict[str, Any]:
    """A run that ended early, for the record; what the engine said exists on simulated data only."""
    names = plan.step_names(bound.spec)
    name = names[outcome.step - 1] if 0 < outcome.step <= len(names) else None
    return {
        **outcome.as_dict(), "error": outcome.error_class, "on": on, "step_name": name,
        "engine_text": outcome.engine_text, "line": outcome.line, "column": outcome.column,
    }  # fmt: skip


def _rows(bound: Bound, produced: Path, facts: Mapping[str, Any], claim: Claim) -> list[tuple[Any, ...]]:
    """The product's values, out of a jail that reads what the run's jail has written."""
    import polars as pl

    table, used = handover.rows_of(produced, bound.limits, bound.folder_mb, selftest().form)
    claim.used += used
    require_columns([str(c[0]) for c in facts["columns"]], table.column_names)
    return list(pl.DataFrame(pl.from_arrow(table)).rows())


def require_columns(twin: list[str], real: list[str]) -> None:
    """The file has the columns that the run on the twin had, whatever the run's jail said. Raises UserError."""
    if twin != real:
        raise UserError(
            "run.columns_differ",
            Text("产品文件的列与仿真运行不一致，已停止", "The product's columns differ from the twin's: stopped"),
            fix=Text("请联系运营人员", "Contact the operator"),
        )


def _write(work: Work, bound: Bound, rows: list[tuple[Any, ...]], facts: Mapping[str, Any]) -> Any:
    """The platform writes the product's bytes itself, from the run's values, rounded and in fixed order."""
    made = artefact_of(bound.spec, [str(c[0]) for c in facts["columns"]], rows, bound.base)
    root = work.platform.settings.artefacts_root
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = root / f".{new_id('part')}"
    part.write_bytes(made.content)
    part.chmod(0o400)
    part.replace(root / made.sha256)
    lineage = {
        **bound.lineage, "text": facts["text"], "limits": bound.limits.as_dict(),
        "beyond_proof": bound.spec.beyond_proof,
        "steps": [{"name": name, "text": text} for stage in plan.stages(bound.spec, bound.base)
                  for name, text in stage.steps],
    }  # fmt: skip

    def record(unit: Unit) -> Artefact:
        return Artefact(
            id=new_id("art"), organisation_id=bound.run.organisation_id, run_id=bound.run.id, name=made.name,
            sha256=made.sha256, bytes=len(made.content), rows=made.rows, columns=list(made.columns),
            lineage=lineage, created_at=unit.now,
        )  # fmt: skip

    return record


def artefact_of(spec: JobSpec, columns: Sequence[str], rows: Sequence[tuple[Any, ...]], base: int) -> Written:
    """The file of a run: the job's own rounding, nothing suppressed. It stays inside; what may leave is written by the
    gate, which knows who is behind the numbers. `rows` come sorted by their columns, margins among the others."""
    if spec.post is not None:
        return artefact.write_post(spec, columns, rows)
    if not spec.margins:
        return artefact.write(spec.file_name, declared(spec, rows, base=base))
    at = columns.index("__g")
    ordered = sorted(rows, key=lambda row: int(row[at]))
    plain = [row[:at] + row[at + 1 :] for row in ordered]
    table = declared(spec, plain, base=base, groupings=[int(row[at]) for row in ordered])
    return artefact.write(spec.file_name, table)


def _failure(bound: Bound, outcome: dict[str, Any], dry: dict[str, Any], used: Usage) -> Effect:
    def effect(unit: Unit) -> Mapping[str, Any]:
        service.fail(unit, bound.run.id, outcome, dry)
        metering.record(unit, bound.run.workspace_id, "run", used, subject=bound.run.id)
        return {"state": "failed"}

    return effect
