"""真实数据运行: ask for one, follow it, stop it; for operators what the engine said, each look with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from fastapi import Form, Request, Response

from api.deps import Acting, actor_of, platform_of
from api.pages import common, examples, frame, inputs, workspaces
from api.pages.views import Crumb
from api.pages.words import text
from api.pages.words_workspaces import OUTCOMES
from policies.text import Text, UserError
from sandbox.kernel import permissions
from sandbox.kernel.unit import Unit
from sandbox.products import plan, reports
from sandbox.products import repository as records
from sandbox.products import service as products
from sandbox.products import spec as specs
from sandbox.products.model import RUN
from sandbox.products.repository import Run
from sandbox.products.spec import JobSpec
from sandbox.workspaces import service

router = frame.page_router()
Typed = Annotated[str, Form()]


@router.post("/workspaces/{workspace_id}/runs")
def start_run(
    request: Request, workspace_id: str, unit: Annotated[Unit, Acting("run:start")], spec: Typed = ""
) -> Response:
    """Asks for a run on real data; the very same job still waiting is refused."""
    frame.show_again(request, partial(again, request, workspace_id, spec))
    digest = specs.digest(specs.parse(spec))
    waiting = [r for r in products.runs(unit, workspace_id) if r.state == RUN.initial and r.spec_digest == digest]
    inputs.refuse_twin(bool(waiting), text("run.twin"))
    return frame.go(f"/runs/{products.start_run(unit, workspace_id, spec).id}", "run:request")


def again(request: Request, workspace_id: str, spec: str, error: UserError) -> Response:
    """The tab of runs with what was typed and why it was refused."""
    with platform_of(request).begin(actor_of(request), request.state.request_id) as unit:
        return workspaces.page(request, unit, service.read(unit, workspace_id), "runs", spec=spec, error=error)


@router.get("/runs/{run_id}")
def show_run(request: Request, run_id: str, unit: Annotated[Unit, Acting("run:read")]) -> Response:
    """One run: state, step, error class and coarse sizes; never a row or a message from real data."""
    run = products.read_run(unit, run_id)
    if request.headers.get("hx-request"):
        return frame.fragment(request, "workspaces/run_state.html", **_state(unit, run))
    return _page(request, unit, run)


def _page(request: Request, unit: Unit, run: Run, error: UserError | None = None, **more: Any) -> Response:
    job = str(run.spec.get("job", run.id))
    crumbs = [Crumb(text("workspace.title"), "/workspaces"),
              Crumb(text("run.title"), f"/workspaces/{run.workspace_id}?tab=runs"), Crumb(job)]  # fmt: skip
    operator = permissions.permitted(unit.actor, "run:diagnose")
    return frame.render(
        request, "workspaces/run.html", status=error.status if error else 200, error=error,
        events=common.trail(unit, run.id), crumbs=crumbs, spec=examples.shown(run.spec),
        near=products.standing(unit, run), diagnose=operator and reports.kept(unit, run.id),
        **{"found": None, "typed": ""} | more, **_state(unit, run),
    )  # fmt: skip


def _state(unit: Unit, run: Run) -> dict[str, Any]:
    artefact = records.artefact(unit.session, run.artefact_id) if run.artefact_id else None
    spec = specs.parse(run.spec)
    return {
        "run": run, "state": RUN.state(run.state), "artefact": artefact, "outcome": _outcome(run),
        "dry": [str(c[0]) for c in run.dry_run.get("columns", [])], "steps": _steps(run, spec),
        "beyond": spec.beyond_proof,
        "may_export": artefact is not None
        and permissions.permitted(unit.actor, "export:draft", owner=run.organisation_id),
        "may_enter": permissions.permitted(unit.actor, "workspace:read", owner=run.organisation_id),
        "may_cancel": run.state == RUN.initial
        and permissions.permitted(unit.actor, "run:cancel", owner=run.organisation_id),
    }  # fmt: skip


def _steps(run: Run, spec: JobSpec) -> list[tuple[str, Text, bool]]:
    """(name, what it is, whether the run stopped there) of each step."""
    scripts = {step.name for step in spec.prepare if step.script}
    stopped = (run.outcome or {}).get("step") if run.state == "failed" else None
    kinds = {"product": text("run.step_cube"), "post": text("run.step_post")}
    return [
        (name, kinds.get(name, text("run.step_script") if name in scripts else text("run.step_sql")), n == stopped)
        for n, name in enumerate(plan.step_names(spec), start=1)
    ]


@router.post("/runs/{run_id}/cancel")
def cancel(request: Request, run_id: str, unit: Annotated[Unit, Acting("run:cancel")]) -> Response:
    """Ends the run; nothing of it is kept."""
    products.cancel_run(unit, run_id)
    return frame.go(f"/runs/{run_id}", "run:cancel")


@router.post("/runs/{run_id}/reports")
def look(
    request: Request, run_id: str, unit: Annotated[Unit, Acting("run:diagnose")], reason: Typed = ""
) -> Response:
    """What the engine said, for operators. A form and not a link: each look has a reason and is recorded."""
    frame.show_again(request, partial(_look_again, request, run_id, reason))
    found = reports.look(unit, run_id, reason)
    return _page(request, unit, products.read_run(unit, run_id), found=found, typed=reason)


def _look_again(request: Request, run_id: str, reason: str, error: UserError) -> Response:
    with platform_of(request).begin(actor_of(request), request.state.request_id) as unit:
        return _page(request, unit, products.read_run(unit, run_id), error, typed=reason)


def _outcome(run: Run) -> dict[str, Any]:
    """What may be said of the real run: words, class and buckets. The engine's text only where it is about the twin."""
    found = run.outcome or {}
    words = found.get("text")
    fix = found.get("fix")
    error = found.get("error")
    on = found.get("on", "real" if run.state == "succeeded" else None)
    rows, simulated = found.get("rows"), found.get("on") == "simulated"
    return {
        "duration": found.get("duration"), "error": common.labels(OUTCOMES, error) if error else None, "on": on,
        "rows": "、".join(map(str, rows.values())) if isinstance(rows, Mapping) else found.get("rows_bucket"),
        "text": Text(**words) if words else None, "fix": Text(**fix) if fix else None, "step": found.get("step_name"),
        "engine_text": found.get("engine_text") if simulated else None,
        "line": found.get("line") if simulated else None, "column": found.get("column") if simulated else None,
    }  # fmt: skip
