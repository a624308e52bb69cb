"""What the platform does by itself: jobs with their progress, and the operator's retry."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Request, Response

from api.deps import Acting
from api.pages import frame
from api.pages.views import Choice
from api.pages.words_oversight import JOB_KINDS, JOB_STEPS
from api.pages.words_states import FIXED_STATES
from policies.text import Text
from sandbox.catalog.repository import Resource
from sandbox.kernel import jobs, oversight, permissions
from sandbox.kernel.jobs import Job
from sandbox.kernel.unit import Unit

router = frame.page_router()
PLACES = {"resource": "/resources", "application": "/applications", "run": "/runs", "export": "/exports"}


@router.get("/jobs")
def show_jobs(request: Request, unit: Annotated[Unit, Acting("job:read")], state: str = "") -> Response:
    """The latest jobs; the table asks for itself while one is under way."""
    wanted = state if state in FIXED_STATES["job"] else None
    found = oversight.recent_jobs(unit, wanted)
    context: dict[str, Any] = {
        "rows": [_row(unit, job) for job in found], "state": wanted or "",
        "busy": any(job.state in (jobs.QUEUED, jobs.RUNNING) for job in found),
        "may_retry": permissions.permitted(unit.actor, "job:retry"),
        "may_verify": permissions.permitted(unit.actor, "audit:verify"),
        "states": [Choice(s.name, s.label) for s in FIXED_STATES["job"].values() if s.name != "cancelled"],
    }  # fmt: skip
    if request.headers.get("hx-request"):
        return frame.fragment(request, "oversight/jobs_table.html", **context)
    return frame.render(request, "oversight/jobs.html", **context)


def _row(unit: Unit, job: Job) -> dict[str, Any]:
    error = job.error or {}
    fix = error.get("fix")
    resource = unit.session.get(Resource, job.subject_id) if job.noun == "resource" else None
    ended = job.finished_at or (unit.now if job.started_at else None)
    return {
        "job": job, "kind": JOB_KINDS.get(job.kind, job.kind), "step": JOB_STEPS.get(job.step, job.step),
        "text": Text(**error["text"]) if error else None, "fix": Text(**fix) if fix else None,
        "subject": resource.name if resource else job.subject_id,
        "href": f"{PLACES[job.noun]}/{job.subject_id}" if job.noun in PLACES else "",
        "seconds": (ended - job.started_at).total_seconds() if ended and job.started_at else None,
    }  # fmt: skip


@router.post("/jobs/{job_id}/retry")
def retry(request: Request, job_id: str, unit: Annotated[Unit, Acting("job:retry")]) -> Response:
    """Starts a failed job again; one that has not failed is refused."""
    jobs.retry(unit, job_id)
    return frame.go("/jobs", "job:retry")
