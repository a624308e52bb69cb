"""What the platform does by itself: the list of jobs an operator searches; retry and cancel."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Form, Query, Request, Response
from pydantic import BaseModel, Field

from api.deps import Acting
from api.pages import frame
from api.pages.views import Choice, Label, PageOf, Tab
from api.pages.words import text
from api.pages.words_oversight import JOB_KINDS, RESULT_COUNTS, TABLE_OUTCOMES, step_words
from api.pages.words_states import FIXED_STATES
from policies.text import Text
from sandbox.catalog import work
from sandbox.catalog.repository import Resource
from sandbox.kernel import accounts, cancellation, jobs, permissions
from sandbox.kernel.jobs import Job
from sandbox.kernel.unit import Unit

router = frame.page_router()
Typed = Annotated[str, Form()]
PLACES = {"application": "/applications", "run": "/runs", "export": "/exports"}
PER_PAGE = 50
DAYS = {"1": "job.today", "7": "job.week", "30": "job.month"}
"""periods that the list offers, with their words"""


class Asked(BaseModel):
    """What the list's address asks for; the address is the whole state."""

    state: Annotated[str, Field(max_length=20)] = ""
    kind: Annotated[str, Field(max_length=40)] = ""
    department: Annotated[str, Field(max_length=64)] = ""
    resource: Annotated[str, Field(max_length=64)] = ""
    q: Annotated[str, Field(max_length=200)] = ""
    days: Annotated[str, Field(max_length=4)] = ""
    round: Annotated[str, Field(max_length=64)] = ""
    page: Annotated[int, Field(ge=1, le=1_000_000)] = 1

    @property
    def wanted(self) -> work.Wanted:
        said = self.q.strip()
        kinds = [kind for kind, words in JOB_KINDS.items() if said and words_have(words, said)]
        return work.Wanted(
            self.state if self.state in FIXED_STATES["job"] else "", self.kind, self.department, self.resource, said,
            kinds, int(self.days) if self.days in DAYS else 0, self.round,
        )  # fmt: skip

    @property
    def narrowed(self) -> bool:
        """Whether any condition is set; an empty list then has another reason than that nothing was ever done."""
        return any(vars(self)[name] for name in ("state", "kind", "department", "resource", "q", "days", "round"))

    def address(self, **other: Any) -> str:
        """The list's address with some of its conditions changed; what is empty is left out."""
        conditions = {**vars(self), **other}
        return "/jobs?" + urlencode({k: v for k, v in conditions.items() if v and (k, v) != ("page", 1)})


@router.get("/jobs")
def show_jobs(
    request: Request, unit: Annotated[Unit, Acting("job:read")], asked: Annotated[Asked, Query()]
) -> Response:
    """Jobs by state, kind, department, time and words; the table asks for itself while one is under way."""
    found = work.find(unit, asked.wanted, offset=(asked.page - 1) * PER_PAGE, limit=PER_PAGE)
    usual = work.usual_seconds(unit, {job.kind for job in found.jobs})
    names = accounts.names(unit.session)
    context: dict[str, Any] = {
        "rows": [row_of(unit, job, usual, names) for job in found.jobs], "asked": asked,
        "address": asked.address(), "tabs": _tabs(asked, found), "page": _page(asked, found),
        "busy": any(job.state in jobs.LIVE for job in found.jobs),
        "kinds": [Choice(kind, words) for kind, words in JOB_KINDS.items()],
        "departments": [Choice(one.id, one.name) for one in work.departments(unit)],
        "days": [Choice(days, text(word)) for days, word in DAYS.items()],
        "may_verify": permissions.permitted(unit.actor, "audit:verify"),
    }  # fmt: skip
    if request.headers.get("hx-request"):
        return frame.fragment(request, "oversight/jobs_table.html", **context)
    return frame.render(request, "oversight/jobs.html", **context)


def _tabs(asked: Asked, found: work.Found) -> list[Tab]:
    """One tab a state with its count under the other conditions; "" is all of them."""
    every = Tab("", text("list.all"), asked.address(state="", page=1), sum(found.by_state.values()))
    states = FIXED_STATES["job"].values()
    shown = [s for s in states if found.by_state.get(s.name) or s.name in (jobs.FAILED, jobs.RUNNING, asked.state)]
    counted = [Tab(s.name, s.label, asked.address(state=s.name, page=1), found.by_state.get(s.name, 0)) for s in shown]
    return [every, *counted]


def _page(asked: Asked, found: work.Found) -> PageOf:
    first = (asked.page - 1) * PER_PAGE
    last = first + len(found.jobs)
    return PageOf(
        first + 1 if found.jobs else 0, last, found.total,
        asked.address(page=asked.page - 1) if asked.page > 1 else None,
        asked.address(page=asked.page + 1) if last < found.total else None,
    )  # fmt: skip


def row_of(unit: Unit, job: Job, usual: Mapping[str, float], names: Mapping[str, str]) -> dict[str, Any]:
    """A job as list and page show it."""
    name, href = _subject(unit, job, names)
    what, fix = error_words(job.error)
    return {
        "job": job, "kind": JOB_KINDS.get(job.kind, job.kind), "step": step_words(job.step),
        "text": what, "fix": fix, "subject": name, "href": href, "outcome": _outcome(job),
        "department": names.get(job.department_id or "", ""), "offers": _offers(unit, job),
        "seconds": seconds(job.started_at, job.finished_at, unit.now), "usual": usual.get(job.kind),
    }  # fmt: skip


def words_have(words: Text, said: str) -> bool:
    """Whether either language's words contain what was said, whatever its case."""
    return any(said.casefold() in side.casefold() for side in (words.zh, words.en))


def error_words(error: Mapping[str, Any] | None) -> tuple[Text | None, Text | None]:
    """What happened and what to do, of an error as a row keeps it."""
    if not error:
        return None, None
    fix = error.get("fix")
    return Text(**error["text"]), Text(**fix) if fix else None


def seconds(started: datetime | None, finished: datetime | None, now: datetime) -> float | None:
    """How long something took, or has taken so far; None for what has not begun."""
    return ((finished or now) - started).total_seconds() if started else None


def _subject(unit: Unit, job: Job, names: Mapping[str, str]) -> tuple[Label, str]:
    """Name and address of what the job is about."""
    if job.noun == "resource" and (resource := unit.session.get(Resource, job.subject_id)):
        return resource.name, f"/resources/{resource.id}"
    if job.noun == "organisation":
        return names.get(job.subject_id, text("job.whole_city")), f"/jobs?round={job.round_id or job.id}"
    return job.subject_id, f"{PLACES[job.noun]}/{job.subject_id}" if job.noun in PLACES else ""


def _outcome(job: Job) -> list[tuple[Text, int]]:
    """What the job brought, in words with counts."""
    result = job.result or {}
    if isinstance(result.get("outcome"), str) and job.kind == "refresh":
        return [(TABLE_OUTCOMES[result["outcome"]], 1)]
    if "tables" in result:
        return [(words, result[key]) for key, words in TABLE_OUTCOMES.items() if result.get(key)]
    return [(words, result[key]) for key, words in RESULT_COUNTS.items() if isinstance(result.get(key), int)]


def _offers(unit: Unit, job: Job) -> list[dict[str, Any]]:
    """The hand an operator has on this job, as a button; for others the same with the reason why not."""
    step = "retry" if job.state in jobs.AGAIN else "cancel" if job.state in cancellation.STOPPABLE else ""
    if not step:
        return []
    allowed = permissions.permitted(unit.actor, f"job:{step}")
    label = text("job.retry") if step == "retry" else text("job.cancel")
    return [{"name": step, "label": label, "why_not": None if allowed else text("job.operator_only")}]


@router.post("/jobs/{job_id}/retry")
def retry(job_id: str, unit: Annotated[Unit, Acting("job:retry")], back: Typed = "") -> Response:
    """Starts a failed or cancelled job again; any other is refused. Whoever pressed it in the list stays there."""
    jobs.retry(unit, job_id)
    return frame.go(_after(job_id, back), "job:retry")


@router.post("/jobs/{job_id}/cancel")
def cancel(job_id: str, unit: Annotated[Unit, Acting("job:cancel")], back: Typed = "") -> Response:
    """Stops a job that waits or runs."""
    cancellation.cancel(unit, job_id)
    return frame.go(_after(job_id, back), "job:cancel")


def _after(job_id: str, back: str) -> str:
    return back if back == "/jobs" or back.startswith("/jobs?") else f"/jobs/{job_id}"
