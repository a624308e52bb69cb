"""Use cases of products: run a job on real data unseen, keep its artefact inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from policies.text import Text
from sandbox.applications import repository as applications
from sandbox.applications.repository import Grant
from sandbox.catalog import repository as catalogue
from sandbox.catalog import subjects
from sandbox.kernel import audit, cancellation, editions, jobs, permissions
from sandbox.kernel.errors import BadInput, InvalidTransition, LimitExceeded, Unavailable
from sandbox.kernel.identity import SYSTEM
from sandbox.kernel.ids import new_id
from sandbox.kernel.unit import Unit
from sandbox.products import families
from sandbox.products import spec as specs
from sandbox.products.model import RUN
from sandbox.products.repository import (
    Artefact,
    Run,
    RunGrant,
    artefact,
    get,
    grant_count_since,
    of_family,
    of_organisation_since,
    of_workspace,
)
from sandbox.products.spec import JobSpec
from sandbox.workspaces import metering, own_record, tiers
from sandbox.workspaces import service as workspaces
from sandbox.workspaces.own_record import Upload

_DAY = timedelta(days=1)
COMPARED = 300
"""Newest runs of an organisation that a new one is compared with."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A run among its family: the `number`-th counted within 24 hours, `total` within the policy's window, and how it
    differs from the one before."""

    number: int
    total: int
    before: Run | None
    changes: tuple[Text, ...]


def start_run(unit: Unit, workspace_id: str, spec_text: str | dict[str, Any]) -> Run:
    """Ask for a run of `spec_text` on real data. The job first runs the same spec on the simulated twin.

    Raises `BadInput` for a spec that does not hold or names a grant of another application, `LimitExceeded` over a
    daily quota (of a grant, or of near-equal jobs), `Unavailable` when the isolation tier is too weak.
    """
    workspace = workspaces.require_usable(unit, workspace_id, "run:start")
    spec = specs.parse(spec_text)
    tier = require_tier(unit, spec)
    _require_inputs(unit, workspace.application_id, spec)
    require_pins(unit, workspace.application_id, spec, uploads_of(unit, workspace.id, spec))
    metering.require_quota(unit, workspace.id, "run")
    audit.hold(unit.session)  # two requests at once are counted one after the other
    granted = {g.id: g.resource_id for g in applications.grants(unit.session, workspace.application_id)}
    shape = families.shape_of(spec, granted).as_dict()
    run = Run(
        id=new_id("run"), organisation_id=workspace.organisation_id, state=RUN.initial, state_since=unit.now,
        created_at=unit.now, workspace_id=workspace.id, application_id=workspace.application_id,
        spec=specs.as_data(spec), spec_digest=specs.digest(spec), dry_run={}, outcome=None, artefact_id=None,
        tier=tier, family="", shape=shape, counted=True,
    )  # fmt: skip
    run.family = _family_of(unit, run)
    _require_quota(unit, run, spec)
    unit.session.add(run)
    unit.session.flush()
    unit.session.add_all(RunGrant(run_id=run.id, grant_id=grant) for grant in spec.grants)
    unit.audit("run:request", "run", run.id, spec=run.spec_digest, tier=tier, family=run.family)
    unit.enqueue("run", "run", run.id)
    return run


def require_tier(unit: Unit, spec: JobSpec) -> str:
    """The tier of the last self-test, if the job may run on real data on it now. Raises `Unavailable`."""
    tier = tiers.require_for_real_data(unit)
    if tier == tiers.WEAK and any(step.script for step in spec.prepare):
        raise Unavailable("run.script_tier", Text("当前隔离等级不运行脚本", "No script runs on this isolation tier"),
                          fix=Text("请改用 SQL 步骤", "Use SQL steps"))  # fmt: skip
    return tier


def _require_inputs(unit: Unit, application_id: str, spec: JobSpec) -> None:
    granted = {g.id for g in applications.grants(unit.session, application_id) if g.ended_at is None}
    foreign = sorted(set(spec.grants) - granted)
    if foreign:
        raise BadInput("run.grant", Text(f"作业引用了不属于本申请或已失效的授权：{'、'.join(foreign)}",
                       f"The job names grants that are not this application's, or have ended: {', '.join(foreign)}"),
                       fix=Text("请使用本空间列出的授权编号", "Use the grants listed in this workspace"))  # fmt: skip
    for one in applications.grants(unit.session, application_id):
        if one.id in spec.grants:
            _require_provable(unit, one)


def _require_provable(unit: Unit, granted: Grant) -> None:
    """A job on data that was withdrawn, or whose declared entities were not borne out, could never be released."""
    resource = catalogue.get(unit.session, granted.resource_id)
    version = catalogue.version(unit.session, granted.resource_id, granted.version)
    if (why := subjects.unusable(unit.session, resource, version)) is not None:
        raise BadInput("run.input", why[0], fix=why[1], grant=granted.id)


def require_pins(unit: Unit, application_id: str, spec: JobSpec, brought: Mapping[str, Upload]) -> None:
    """Every input that pins its data is bound to just that. Raises `BadInput`: the job was written for other data."""
    bound = {alias: f"sha256:{one.table_sha256}" for alias, one in brought.items()}
    snapshots = {g.id: g.snapshot["real"]["digest"] for g in applications.grants(unit.session, application_id)
                 if g.snapshot}  # fmt: skip
    bound |= {a: f"sha256:{snapshots.get(one.grant, '')}" for a, one in spec.inputs.items() if one.grant}
    other = sorted(alias for alias, one in spec.inputs.items() if not one.pins(bound.get(alias, "")))
    if other:
        raise BadInput("run.pin", Text(f"作业锁定的数据版本与当前绑定的不同：{'、'.join(other)}",
                       f"The job pins other data than its inputs are bound to: {', '.join(other)}"),
                       fix=Text("请核对 snapshot，或删去后按当前数据提交",
                                "Check `snapshot`, or drop it to run on the data that is bound now"))  # fmt: skip


def uploads_of(unit: Unit, workspace_id: str, spec: JobSpec) -> dict[str, Upload]:
    """Alias → the accepted upload of this workspace that the job names. Raises `BadInput` for any other."""
    accepted = {u.id: u for u in own_record.uploads(unit.session, workspace_id) if u.state == "accepted"}
    named = {alias: one.upload for alias, one in spec.inputs.items() if one.upload}
    missing = sorted(upload for upload in named.values() if upload not in accepted)
    if missing:
        raise BadInput("run.upload", Text(f"作业引用的上传数据不在本空间或未通过导入检查：{'、'.join(missing)}",
                       f"The job names uploads that are not accepted in this workspace: {', '.join(missing)}"),
                       fix=Text("请使用已通过检查的上传编号", "Use accepted uploads"))  # fmt: skip
    return {alias: accepted[upload] for alias, upload in named.items()}


def _family_of(unit: Unit, run: Run) -> str:
    """The family of the nearest earlier run within the policy's distance; a run near to none begins its own."""
    rule = editions.in_force(unit, "workspace").by_check("job_families").parameters
    since = unit.now - timedelta(days=rule.window_days)
    earlier = of_organisation_since(unit.session, run.organisation_id, since, COMPARED)
    near = [(families.distance(one.shape, run.shape), place, one.family) for place, one in enumerate(earlier)]
    nearest = min(near, default=None)
    return nearest[2] if nearest is not None and nearest[0] <= rule.near_parts else run.id


def _require_quota(unit: Unit, run: Run, spec: JobSpec) -> None:
    edition, since = editions.in_force(unit, "workspace"), unit.now - _DAY
    most = edition.by_check("runs_per_day").parameters.per_grant_per_day
    used = {grant: grant_count_since(unit.session, grant, since) for grant in spec.grants}
    full = sorted(grant for grant, count in used.items() if count >= most)
    if full:
        raise LimitExceeded(
            "run.quota",
            Text(f"授权 {full[0]} 24 小时内最多运行 {most} 次（含失败的）",
                 f"Grant {full[0]} allows {most} runs in 24 h, failed ones included"),
            fix=Text("请稍后再运行；调试请用仿真数据试运行，不计次数", "Run it later; the twin is not counted"),
        )  # fmt: skip
    most = edition.by_check("job_families").parameters.per_family_per_day
    alike = [one for one in of_family(unit.session, run.family, unit.now) if one.counted and one.created_at >= since]
    if len(alike) >= most:
        said = families.changes(specs.parse(alike[0].spec), spec)
        zh, en = "；".join(t.zh for t in said) or "没有差别", "; ".join(t.en for t in said) or "nothing"
        raise LimitExceeded(
            "run.family_quota",
            Text(f"这与 24 小时内的 {len(alike)} 次作业相近，相近作业每天最多 {most} 次。与上一次的差别：{zh}",
                 f"{len(alike)} near-equal jobs ran in 24 h, {most} are allowed. Differs from the last by: {en}"),
            fix=Text("请把要比较的取值放进同一个作业的维度，一次算出", "Make what you compare a dimension of one job"),
        )  # fmt: skip


def numbers(unit: Unit, listed: Sequence[Run]) -> dict[str, int]:
    """Run id → the how many-th of its family within 24 hours it was, for a list."""
    families_of = {f: of_family(unit.session, f, unit.now) for f in {run.family for run in listed}}
    return {
        run.id: 1 + sum(
            1 for one in families_of[run.family]
            if one.counted and one.id != run.id and run.created_at - _DAY <= one.created_at <= run.created_at
        )
        for run in listed
    }  # fmt: skip


def standing(unit: Unit, run: Run) -> Standing:
    """Where a run stands among near-equal ones, for the operator, the officer and the merchant itself."""
    days = editions.in_force(unit, "workspace").by_check("job_families").parameters.window_days
    known = [r for r in of_family(unit.session, run.family, run.created_at) if r.id != run.id]
    known = [r for r in known if r.created_at >= run.created_at - timedelta(days=days)]
    today = sum(1 for r in known if r.counted and r.created_at >= run.created_at - _DAY)
    before = known[0] if known else None
    said = families.changes(specs.parse(before.spec), specs.parse(run.spec)) if before else []
    return Standing(today + 1, len(known) + 1, before, tuple(said))


def succeed(unit: Unit, run_id: str, dry_run: Mapping[str, Any], outcome: Mapping[str, Any], made: Artefact) -> Run:
    """Record a finished run and its artefact; both stay inside."""
    run = get(unit.session, run_id)
    RUN.advance(unit, run, "succeed", spec=run.spec_digest, rows_bucket=outcome.get("rows_bucket", ""))
    unit.session.add(made)
    run.dry_run, run.outcome, run.artefact_id = dict(dry_run), dict(outcome), made.id
    return run


def fail(unit: Unit, run_id: str, outcome: Mapping[str, Any], dry_run: Mapping[str, Any] | None = None) -> Run:
    """Record a run that did not finish: step and error class only. One that ended on simulated data is not counted."""
    run = get(unit.session, run_id)
    RUN.advance(unit, run, "fail", error=outcome.get("error", "failed"))
    run.outcome, run.dry_run = dict(outcome), dict(dry_run or {})
    run.counted = outcome.get("on") != "simulated"
    return run


def cancel_run(unit: Unit, run_id: str) -> Run:
    """End a run early, at whatever stage; its job can commit nothing from here on and leaves nothing behind."""
    run = get(unit.session, run_id)
    RUN.advance(unit, run, "cancel")
    run.outcome = {"state": "cancelled", "error": "cancelled"}
    for job in jobs.of_subject(unit.session, "run", run.id):
        if job.state in cancellation.STOPPABLE:
            cancellation.cancel(unit.acting_as(SYSTEM), job.id)
    return run


def require_waiting(unit: Unit, run_id: str) -> Run:
    """The run, unless it has ended: a run ends once. Raises `InvalidTransition`."""
    run = get(unit.session, run_id)
    if run.state != RUN.initial:
        raise InvalidTransition("run.ended", Text("该运行已经结束", "The run has ended"),
                                fix=Text("请重新提交作业", "Submit the job again"), id=run.id)  # fmt: skip
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
