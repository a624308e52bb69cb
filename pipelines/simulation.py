"""The simulated twin of a published resource: field plan, engine, gates, publication."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from pipelines.fieldplan import plan
from policies.text import Text, UserError
from sandbox.catalog import repository, service
from sandbox.catalog.repository import Resource
from sandbox.kernel import editions
from sandbox.kernel.errors import BadInput
from sandbox.kernel.jobs import Effect, Job, Work
from sandbox.kernel.unit import Unit
from sandbox.lake import Lake
from synthetic.fields import Constraint, Field
from synthetic.filling import Parent
from synthetic.invariants import rules_of
from synthetic.manifest import public
from synthetic.simulate import Simulated, simulate

MOST_ROWS = 20_000
"""rows of a published twin at most: enough to develop on, quick to check on every row"""


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be simulated, read in one transaction."""

    resource: Resource
    fields: list[Field]
    files: list[str]
    parents: dict[str, tuple[list[str], int]]
    """parent's name → files of its published twin, and its real rows"""
    rules: list[Constraint]
    policy: Any
    engine: str


class Simulation:
    """Makes, checks and publishes one twin."""

    def run(self, work: Work) -> Effect:
        lake = Lake(work.platform.settings.lake_root)
        task = _task(work, lake)
        made = work.step("simulate", 10, lambda: _simulate(task))
        if made.verdict.outcome not in ("pass", "review"):
            raise _refused(made)
        version = work.step("publish", 85, lambda: _publish(lake, task, made, work.job.id))

        def effect(unit: Unit) -> Mapping[str, Any]:
            service.publish_simulated(
                unit, task.resource.id, version,
                {"manifest": made.manifest, "verdict": made.verdict.as_dict(), "public": public(made.manifest)},
            )  # fmt: skip
            for resource in _to_be_redone(unit, task):
                unit.enqueue("simulate", "resource", resource.id)
            return {"rows": made.frame.height, "engine": made.manifest["engine"]["used"]}

        return effect

    def failed(self, unit: Unit, job: Job, error: UserError) -> None:
        unit.audit("simulated:fail", "resource", job.subject_id, code=error.code)


def _task(work: Work, lake: Lake) -> Task:
    with work.platform.system() as unit:
        resource = repository.get(unit.session, work.job.subject_id)
        version = repository.version(unit.session, resource.id, resource.current_version or 0)
        parents, references = _parents(unit, lake, resource)
        columns = repository.columns(unit.session, resource.id)
        fields = plan(columns, resource.declared, references, version.rows)
        return Task(
            resource=resource, fields=fields,
            files=lake.files(resource.typed_table, version.lake_version), parents=parents,
            rules=rules_of(resource.declared, fields),
            policy=editions.in_force(unit, "simulation"), engine=str(resource.declared.get("engine", "auto")),
        )  # fmt: skip


def _parents(
    unit: Unit, lake: Lake, resource: Resource
) -> tuple[dict[str, tuple[list[str], int]], dict[str, tuple[str, str]]]:
    """Twins of the resources this one refers to, and column → (parent, column) for those that exist already."""
    parents: dict[str, tuple[list[str], int]] = {}
    references: dict[str, tuple[str, str]] = {}
    for link in resource.declared.get("references", []):
        parent = next((r for r in repository.every(unit.session) if r.name == link["resource"]), None)
        if parent is None or parent.simulated_version is None or parent.current_version is None:
            continue
        rows = repository.version(unit.session, parent.id, parent.current_version).rows
        parents[parent.name] = (lake.files(parent.simulated_table, parent.simulated_version), rows)
        references[link["column"]] = (parent.name, link["to"])
    return parents, references


def _to_be_redone(unit: Unit, task: Task) -> list[Resource]:
    """Twins that were made without a parent that has one now: children of this table, and this table itself when a
    parent's twin came while it was being made. Without the parent's keys a join of the twins finds nothing."""
    every = {r.name: r for r in repository.every(unit.session, state="published")}
    children = [r for r in every.values() if task.resource.name in _parent_names(r) and r.simulation]
    late = [p for p in _parent_names(task.resource) - set(task.parents) if p in every and every[p].simulation]
    without = [c for c in children if task.resource.name not in (c.simulation or {})["manifest"]["parents"]]
    return [*without, *([every[task.resource.name]] if late else [])]


def _parent_names(resource: Resource) -> set[str]:
    return {link["resource"] for link in resource.declared.get("references", [])} - {resource.name}


def _simulate(task: Task) -> Simulated:
    import polars as pl

    frame = pl.read_parquet(task.files)
    parents = {name: Parent(pl.read_parquet(files), rows) for name, (files, rows) in task.parents.items()}
    made = simulate(
        frame, task.fields, rows=max(1, min(frame.height, MOST_ROWS)), seed=crc32(task.resource.id.encode()),
        engine=task.engine, policy=task.policy, name=task.resource.name, parents=parents, constraints=task.rules,
    )  # fmt: skip
    made.manifest["parents"] = sorted(parents)
    return made


def _refused(made: Simulated) -> UserError:
    rules = sorted({r.rule for r in made.verdict.rules if r.outcome in ("block", "error")})
    return BadInput(
        "simulation.blocked",
        Text(f"仿真数据未通过检验：{'、'.join(rules)}", f"The simulated data failed: {', '.join(rules)}"),
        fix=Text("请调整字段说明或引擎后重试", "Change the field plan or the engine and retry"),
        rules=rules,
    )


def _publish(lake: Lake, task: Task, made: Simulated, once: str) -> int:
    """Write the twin into the lake, marked as simulated."""
    import pyarrow as pa

    table = made.frame.to_arrow()
    reader = pa.RecordBatchReader.from_batches(table.schema, table.to_batches())
    facts = {"mark": "仿真数据", "engine": str(made.manifest["engine"]["used"]), "job": once}
    return lake.write(task.resource.simulated_table, reader, mode="overwrite", facts=facts, once=once)
