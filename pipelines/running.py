"""A run: the spec on the simulated twin first, then the same spec on real data in a fresh jail, nothing coming back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policies.text import UserError
from sandbox.applications import repository as applications
from sandbox.catalog import repository as catalogue
from sandbox.kernel import editions
from sandbox.kernel.ids import new_id
from sandbox.kernel.jobs import Effect, Job, Work
from sandbox.kernel.unit import Unit
from sandbox.products import artefact, repository, service
from sandbox.products import compile as sql
from sandbox.products.repository import Artefact, Run
from sandbox.products.spec import JobSpec, parse
from sandbox.workspaces import run as jailed
from sandbox.workspaces import snapshot, tiers
from sandbox.workspaces.broker import Mode
from sandbox.workspaces.limits import Limits
from sandbox.workspaces.selftest import selftest

OUTPUT = "product"


@dataclass(frozen=True, slots=True)
class Bound:
    """Everything a run needs, read from the database before it starts."""

    run: Run
    spec: JobSpec
    twin: dict[str, Path]
    real: dict[str, Path]
    limits: Limits
    buckets: jailed.Buckets
    base: int
    accepted: frozenset[str]
    lineage: dict[str, Any]


class Running:
    """Executes a requested run."""

    def run(self, work: Work) -> Effect:
        bound = _bind(work)
        order = _order(work, bound, bound.twin, "twin")
        dry = work.step("dry_run", 10, lambda: jailed.execute(order, Mode.SIMULATED, selftest()))
        if dry.state is not jailed.State.DONE:
            return _failure(bound, {**dry.as_dict(), "error": dry.error_class, "on": "simulated",
                                    "engine_text": dry.engine_text}, {})  # fmt: skip
        facts = {"columns": [list(c) for c in dry.schemas[OUTPUT]], "rows": dict(dry.rows)}
        order = _order(work, bound, bound.real, "real", dict(dry.schemas))
        real = work.step("real_run", 40, lambda: _execute_real(order, bound))
        if real.state is not jailed.State.DONE:
            return _failure(bound, {**real.as_dict(), "error": real.error_class, "on": "real"}, facts)
        made = work.step("artefact", 80, lambda: _write(work, bound, order.output_folder / "0.parquet"))

        def effect(unit: Unit) -> Mapping[str, Any]:
            service.succeed(unit, bound.run.id, facts, real.as_dict(), made(unit))
            return {"state": "succeeded"}

        return effect

    def failed(self, unit: Unit, job: Job, error: UserError) -> None:
        service.fail(unit, job.subject_id, {"state": "failed", "error": error.code, "text": error.text.as_dict()})


def _bind(work: Work) -> Bound:
    with work.platform.system() as unit:
        run = repository.get(unit.session, work.job.subject_id)
        spec = parse(run.spec)
        grants = {g.id: g for g in applications.grants(unit.session, run.application_id)}
        policy, export = editions.in_force(unit, "workspace"), editions.in_force(unit, "export")
        root, used = unit.settings.snapshots_root, {a: grants[i.grant] for a, i in spec.inputs.items()}
        lineage = {
            "spec": run.spec_digest, "job": run.id, "application": run.application_id,
            "inputs": {
                alias: {
                    "grant": g.id, "resource": g.resource_id, "version": g.version,
                    "snapshot": g.snapshot["real"]["digest"],
                    "resource_name": catalogue.get(unit.session, g.resource_id).name,
                }
                for alias, g in used.items() if g.snapshot
            },
        }  # fmt: skip
        return Bound(
            run=run, spec=spec, limits=limits_of(policy.by_check("run_limits").parameters),
            twin={a: snapshot.load(root, g.snapshot["twin"]["digest"]).path for a, g in used.items() if g.snapshot},
            real={a: snapshot.load(root, g.snapshot["real"]["digest"]).path for a, g in used.items() if g.snapshot},
            buckets=jailed.Buckets(
                policy.by_check("duration_buckets").parameters.bounds, policy.by_check("row_buckets").parameters.bounds
            ),
            base=export.by_check("rounding").parameters.base, lineage=lineage,
            accepted=tiers.accepted(unit),
        )  # fmt: skip


def limits_of(parameters: Any) -> Limits:
    """The jail's limits from a workspace policy's parameters."""
    return Limits(
        memory_mb=parameters.memory_mb, cpu_seconds=parameters.cpu_seconds, wall_seconds=parameters.wall_seconds,
        processes=parameters.processes, file_mb=parameters.file_mb, result_rows=parameters.result_rows,
        result_mb=parameters.result_mb, threads=parameters.threads,
    )  # fmt: skip


def _order(
    work: Work, bound: Bound, tables: dict[str, Path], name: str, expected: Mapping[str, Any] | None = None
) -> jailed.RunOrder:
    steps = tuple((OUTPUT if s.name == OUTPUT else s.name, s.sql) for s in sql.compile(bound.spec))
    store = work.platform.settings.home / "operator-only" / "runs"
    store.mkdir(parents=True, exist_ok=True, mode=0o700)
    return jailed.RunOrder(
        steps=steps, outputs=(OUTPUT,), tables=tables, output_folder=work.folder / name, limits=bound.limits,
        buckets=bound.buckets, error_store=store / f"{bound.run.id}-{name}.txt", expected=expected,
    )  # fmt: skip


def _execute_real(order: jailed.RunOrder, bound: Bound) -> jailed.RunOutcome:
    return jailed.execute(order, Mode.REAL, selftest(), accepted=bound.accepted)


def _write(work: Work, bound: Bound, produced: Path) -> Any:
    """The platform writes the product's bytes itself, from the run's values, rounded and in fixed order."""
    import polars as pl

    made = artefact.write(bound.spec, pl.read_parquet(produced).rows(), base=bound.base)
    root = work.platform.settings.artefacts_root
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = root / f".{new_id('part')}"
    part.write_bytes(made.content)
    part.replace(root / made.sha256)

    def record(unit: Unit) -> Artefact:
        return Artefact(
            id=new_id("art"), organisation_id=bound.run.organisation_id, run_id=bound.run.id, name=made.name,
            sha256=made.sha256, bytes=len(made.content), rows=made.rows, columns=list(made.columns),
            lineage=bound.lineage, created_at=unit.now,
        )  # fmt: skip

    return record


def _failure(bound: Bound, outcome: dict[str, Any], dry: dict[str, Any]) -> Effect:
    def effect(unit: Unit) -> Mapping[str, Any]:
        service.fail(unit, bound.run.id, outcome, dry)
        return {"state": "failed"}

    return effect
