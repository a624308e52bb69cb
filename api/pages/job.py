"""One job: what it did step by step, each attempt with its error in words, and what the platform recorded of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

from fastapi import Query, Request, Response

from api.deps import Acting
from api.pages import audit, frame
from api.pages.jobs import error_words, row_of, seconds, words_have
from api.pages.views import Crumb, Label
from api.pages.words import text
from api.pages.words_events import EVENTS
from api.pages.words_oversight import JOB_STEPS, step_words
from policies.text import Text
from sandbox.catalog import work
from sandbox.catalog.repository import Resource
from sandbox.kernel import accounts, jobs, oversight
from sandbox.kernel.attempts import DONE, REUSED, JobStep
from sandbox.kernel.jobs import Job
from sandbox.kernel.unit import Unit

router = frame.page_router()
LOG_ROWS = 200


@router.get("/jobs/{job_id}")
def show_job(
    request: Request, job_id: str, unit: Annotated[Unit, Acting("job:read")],
    q: Annotated[str, Query(max_length=200)] = "",
) -> Response:  # fmt: skip
    """The job with its steps, attempts and log; while it is under way the part above the log asks for itself."""
    job, attempts = work.record(unit, job_id)
    names = accounts.names(unit.session)
    row = row_of(unit, job, work.usual_seconds(unit, {job.kind}), names)
    shown = [_attempt(unit, a) for a in attempts]
    context: dict[str, Any] = {
        "title": _title(row), "row": row, "job": job, "rest": _rest(row), "busy": job.state in jobs.LIVE,
        "attempts": shown,
        "current": shown[0] if shown and shown[0]["record"].attempt == job.attempt else None,
        "retry": _retry(job, attempts), "report": _report(unit, job),
        "facts": _facts(unit, job, names),
    }  # fmt: skip
    if request.headers.get("hx-request"):
        return frame.fragment(request, "oversight/job_live.html", **context)
    said = q.strip()
    known = [event for event, words in EVENTS.items() if said and words_have(words, said)]
    found = oversight.job_log(unit, job, said, known, LOG_ROWS)
    return frame.render(
        request, "oversight/job.html", **context, q=said, log_rows=LOG_ROWS, log=audit.rows(unit, found[::-1]),
        crumbs=[Crumb(text("job.title"), "/jobs"), Crumb(_title(row))],
    )  # fmt: skip


def _title(row: Mapping[str, Any]) -> Text:
    """The kind of job and what it is about."""
    kind, subject = _both(row["kind"]), _both(row["subject"])
    return Text(f"{kind.zh}：{subject.zh}", f"{kind.en}: {subject.en}")


def _both(label: Label) -> Text:
    return label if isinstance(label, Text) else Text(label, label)


def _rest(row: Mapping[str, Any]) -> float | None:
    """Seconds a running job would still take if it took as long as others; None when nobody can tell."""
    usual, took = row["usual"], row["seconds"]
    return usual - took if usual is not None and took is not None and took < usual else None


def _attempt(unit: Unit, attempt: work.Attempt) -> dict[str, Any]:
    record = attempt.record
    what, fix = error_words(record.error)
    took = seconds(record.started_at, record.finished_at, unit.now)
    return {
        "record": record, "text": what, "fix": fix, "seconds": took,
        "reached": step_words(record.reached),
        "steps": [_step(unit, step, took or 0.0) for step in attempt.steps],
    }  # fmt: skip


def _step(unit: Unit, step: JobStep, whole: float) -> dict[str, Any]:
    took = seconds(step.started_at, step.finished_at, unit.now) or 0.0
    about = unit.session.get(Resource, step.about) if step.about else None
    return {
        "record": step, "name": step_words(step.name), "seconds": took,
        "share": min(took / whole, 1.0) if whole else 0.0, "note": _note(step), "about": about,
    }  # fmt: skip


def _note(step: JobStep) -> Label:
    """How many parts it had, and which of them were not done anew."""
    if step.state == REUSED:
        return text("job.reused_parts", parts=step.parts) if step.parts > 1 else text("job.reused_all")
    if step.reused:
        return text("job.reused_some", parts=step.parts, reused=step.reused)
    return text("job.parts", parts=step.parts) if step.parts > 1 else ""


def _retry(job: Job, attempts: Sequence[work.Attempt]) -> list[Label]:
    """What a retry of a job that ended badly can reuse, and what it does again; nothing for any other job."""
    if job.state not in jobs.AGAIN or not attempts:
        return []
    steps = attempts[0].steps
    reuses = dict.fromkeys(s.name for s in steps if s.kept and s.state in (DONE, REUSED))
    redoes = dict.fromkeys(s.name for s in steps if s.name not in reuses)
    if not reuses:
        return [text("job.retry_whole")]
    return [_listed("job.retry_reuses", reuses), *([_listed("job.retry_redoes", redoes)] if redoes else [])]


def _listed(key: str, names: Iterable[str]) -> Text:
    words = [_both(JOB_STEPS.get(name, name)) for name in names]
    zh, en = "、".join(w.zh for w in words), ", ".join(w.en for w in words)
    return Text(text(key).zh.format(steps=zh), text(key).en.format(steps=en))


def _report(unit: Unit, job: Job) -> str:
    """Where the words of an internal error are, below the platform's folder; "" where there are none."""
    path = unit.settings.home / "operator-only" / "errors" / f"{job.id}-{job.attempt}.txt"
    return str(path.relative_to(unit.settings.home)) if job.state == jobs.FAILED and path.exists() else ""


def _facts(unit: Unit, job: Job, names: Mapping[str, str]) -> dict[str, Any]:
    person = unit.session.get(accounts.Account, job.created_by)
    return {
        "asked_by": person.name if person else text("job.platform"),
        "waited": seconds(job.created_at, job.started_at, unit.now) if job.attempt == 1 else None,
        "department": names.get(job.department_id or "", ""),
    }  # fmt: skip
