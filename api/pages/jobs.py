"""What the platform does by itself: jobs with step, progress and duration; the operator cancels and tries again."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Annotated, Any

from fastapi import Request, Response

from api.deps import Acting
from api.pages import frame
from api.pages.views import Choice
from api.pages.words import text
from api.pages.words_oversight import JOB_KINDS, JOB_STEPS, TABLE_OUTCOMES
from api.pages.words_states import FIXED_STATES
from policies.text import Text
from sandbox.catalog.repository import Resource
from sandbox.kernel import accounts, cancellation, jobs, oversight, permissions
from sandbox.kernel.jobs import Job
from sandbox.kernel.unit import Unit

router = frame.page_router()
PLACES = {"resource": "/resources", "application": "/applications", "run": "/runs", "export": "/exports"}
COMPARED = 10
"""earlier jobs of the same kind whose median duration is shown beside the present one"""


@router.get("/jobs")
def show_jobs(
    request: Request, unit: Annotated[Unit, Acting("job:read")], state: str = "", round: str = ""
) -> Response:
    """The latest jobs, or those of one refresh round; the table asks for itself while one is under way."""
    wanted = state if state in FIXED_STATES["job"] else None
    found = oversight.recent_jobs(unit, wanted, round_id=round or None)
    context: dict[str, Any] = {
        "rows": [_row(unit, job, found) for job in found], "state": wanted or "", "round": round,
        "busy": any(job.state in jobs.LIVE for job in found),
        "may_verify": permissions.permitted(unit.actor, "audit:verify"),
        "states": [Choice(s.name, s.label) for s in FIXED_STATES["job"].values()],
    }  # fmt: skip
    if request.headers.get("hx-request"):
        return frame.fragment(request, "oversight/jobs_table.html", **context)
    return frame.render(request, "oversight/jobs.html", **context)


def _row(unit: Unit, job: Job, others: Sequence[Job]) -> dict[str, Any]:
    error = job.error or {}
    fix = error.get("fix")
    name, href = _subject(unit, job)
    ended = job.finished_at or (unit.now if job.started_at else None)
    return {
        "job": job, "kind": JOB_KINDS.get(job.kind, job.kind), "step": JOB_STEPS.get(job.step, job.step),
        "text": Text(**error["text"]) if error else None, "fix": Text(**fix) if fix else None,
        "subject": name, "href": href, "outcome": _outcome(job), "steps": _steps(unit, job),
        "seconds": (ended - job.started_at).total_seconds() if ended and job.started_at else None,
        "usual": _usual(job, others),
    }  # fmt: skip


def _subject(unit: Unit, job: Job) -> tuple[Text | str, str]:
    """Name and address of what the job is about."""
    if job.noun == "resource" and (resource := unit.session.get(Resource, job.subject_id)):
        return resource.name, f"/resources/{resource.id}"
    if job.noun == "organisation":
        names = accounts.names(unit.session)
        return names.get(job.subject_id, text("job.whole_city")), f"/jobs?round={job.round_id or job.id}"
    return job.subject_id, f"{PLACES[job.noun]}/{job.subject_id}" if job.noun in PLACES else ""


def _outcome(job: Job) -> list[tuple[Text, int]]:
    """What a refresh brought, in words with counts."""
    result = job.result or {}
    if isinstance(result.get("outcome"), str) and job.kind == "refresh":
        return [(TABLE_OUTCOMES[result["outcome"]], 1)]
    return [(words, result[key]) for key, words in TABLE_OUTCOMES.items() if result.get(key) and "tables" in result]


def _usual(job: Job, others: Sequence[Job]) -> float | None:
    """Median seconds of the latest jobs of the kind that went well."""
    took = [
        (o.finished_at - o.started_at).total_seconds() for o in others
        if o.kind == job.kind and o.id != job.id and o.state == jobs.SUCCEEDED and o.finished_at and o.started_at
    ]  # fmt: skip
    return median(took[:COMPARED]) if took else None


def _steps(unit: Unit, job: Job) -> list[dict[str, Any]]:
    """The hand an operator has on this job, as a button; for others the same with the reason why not."""
    step = "retry" if job.state in jobs.AGAIN else "cancel" if job.state in cancellation.STOPPABLE else ""
    if not step:
        return []
    allowed = permissions.permitted(unit.actor, f"job:{step}")
    label = text("job.retry") if step == "retry" else text("job.cancel")
    return [{"name": step, "label": label, "why_not": None if allowed else text("job.operator_only")}]


@router.post("/jobs/{job_id}/retry")
def retry(request: Request, job_id: str, unit: Annotated[Unit, Acting("job:retry")]) -> Response:
    """Starts a failed or cancelled job again; any other is refused."""
    jobs.retry(unit, job_id)
    return frame.go("/jobs", "job:retry")


@router.post("/jobs/{job_id}/cancel")
def cancel(request: Request, job_id: str, unit: Annotated[Unit, Acting("job:cancel")]) -> Response:
    """Stops a job that waits or runs."""
    cancellation.cancel(unit, job_id)
    return frame.go("/jobs", "job:cancel")
