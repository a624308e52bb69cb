"""Use cases of products: run a job spec on real data unseen, keep its artefact inside."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from policies.text import Text
from sandbox.applications import repository as applications
from sandbox.kernel import permissions
from sandbox.kernel.errors import BadInput, LimitExceeded
from sandbox.kernel.ids import new_id
from sandbox.kernel.unit import Unit
from sandbox.products import spec as specs
from sandbox.products.model import RUN
from sandbox.products.repository import Artefact, Run, artefact, count_since, get, of_workspace
from sandbox.workspaces import service as workspaces
from sandbox.workspaces import tiers


def start_run(unit: Unit, workspace_id: str, spec_text: str | dict[str, Any], runs_per_day: int) -> Run:
    """Ask for a run of `spec_text` on real data. The job first runs the same spec on the simulated twin.

    Raises `BadInput` for a spec that does not hold or names a grant of another application, `LimitExceeded` over the
    daily quota, `Unavailable` when the isolation tier is too weak.
    """
    workspace = workspaces.require_usable(unit, workspace_id, "run:start")
    tier = tiers.require_for_real_data(unit)
    spec = specs.parse(spec_text)
    granted = {g.id for g in applications.grants(unit.session, workspace.application_id)}
    foreign = sorted(i.grant for i in spec.inputs.values() if i.grant not in granted)
    if foreign:
        raise BadInput("run.grant", Text(f"作业引用了不属于本申请的授权：{'、'.join(foreign)}",
                       f"The job names grants of another application: {', '.join(foreign)}"),
                       fix=Text("请使用本空间列出的授权编号", "Use the grants listed in this workspace"))  # fmt: skip
    if count_since(unit.session, workspace.application_id, unit.now - timedelta(days=1)) >= runs_per_day:
        raise LimitExceeded("run.quota", Text(f"24 小时内最多运行 {runs_per_day} 次", f"{runs_per_day} runs in 24 h"),
                            fix=Text("请稍后再运行", "Run it later"))  # fmt: skip
    run = Run(
        id=new_id("run"), organisation_id=workspace.organisation_id, state=RUN.initial, state_since=unit.now,
        created_at=unit.now, workspace_id=workspace.id, application_id=workspace.application_id,
        spec=spec.model_dump(mode="json", by_alias=True, exclude_none=True), spec_digest=specs.digest(spec),
        dry_run={}, outcome=None, artefact_id=None, tier=tier,
    )  # fmt: skip
    unit.session.add(run)
    unit.session.flush()
    unit.audit("run:request", "run", run.id, spec=run.spec_digest, tier=tier)
    unit.enqueue("run", "run", run.id)
    return run


def succeed(unit: Unit, run_id: str, dry_run: Mapping[str, Any], outcome: Mapping[str, Any], made: Artefact) -> Run:
    """Record a finished run and its artefact; both stay inside."""
    run = get(unit.session, run_id)
    RUN.advance(unit, run, "succeed", spec=run.spec_digest, rows_bucket=outcome.get("rows_bucket", ""))
    unit.session.add(made)
    run.dry_run, run.outcome, run.artefact_id = dict(dry_run), dict(outcome), made.id
    return run


def fail(unit: Unit, run_id: str, outcome: Mapping[str, Any], dry_run: Mapping[str, Any] | None = None) -> Run:
    """Record a run that did not finish: step and error class only."""
    run = get(unit.session, run_id)
    RUN.advance(unit, run, "fail", error=outcome.get("error", "failed"))
    run.outcome, run.dry_run = dict(outcome), dict(dry_run or {})
    return run


def read_run(unit: Unit, run_id: str) -> Run:
    run = get(unit.session, run_id)
    permissions.check(unit.actor, "run:read", owner=run.organisation_id)
    return run


def runs(unit: Unit, workspace_id: str) -> list[Run]:
    workspaces.read(unit, workspace_id)
    return of_workspace(unit.session, workspace_id)


def read_artefact(unit: Unit, artefact_id: str) -> Artefact:
    found = artefact(unit.session, artefact_id)
    permissions.check(unit.actor, "run:read", owner=found.organisation_id)
    return found
