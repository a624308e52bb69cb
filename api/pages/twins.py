"""仿真数据 for those who govern a table: state, verdict, competing engines, history, and the operator's hand on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Form, Request, Response
from fastapi.responses import FileResponse

from api.deps import Acting
from api.pages import common, frame, inputs
from api.pages.common import labels
from api.pages.views import Crumb, Label
from api.pages.words import text
from api.pages.words_catalog import ENGINES
from api.pages.words_events import event_words
from api.pages.words_oversight import JOB_STEPS
from api.routes.simulated import fed_back, gates
from policies.text import Text
from sandbox.catalog import service, twins
from sandbox.catalog.repository import Resource
from sandbox.catalog.twins import DEFAULT_ROWS, MOST_ROWS, MOST_SEED, Twin
from sandbox.exports import feedback
from sandbox.kernel import accounts, cancellation, jobs, permissions
from sandbox.kernel.jobs import Job
from sandbox.kernel.unit import Unit

router = frame.page_router()
Typed = Annotated[str, Form()]
WORRYING = 5
"""releases from which the page says that their number is a risk (assumed)"""
MOST_EVENTS = 10
_EVENTS = {event_words(f"simulated:{step}") for step in ("publish", "fail", "download", "share")}


@dataclass(frozen=True, slots=True)
class StandingWords:
    """How a twin stands, as everybody may know it."""

    stale: tuple[Text, ...]
    releases: int
    making: bool
    earlier: bool
    version: int
    published_version: int | None


def standing_of(unit: Unit, resource: Resource, twin: Twin | None) -> StandingWords:
    """The standing of the twin shown; an earlier one is not called stale, it is called earlier."""
    found = twins.standing(unit.session, resource)
    earlier = twin is not None and found.current is not None and twin.id != found.current.id
    return StandingWords(
        () if earlier else tuple(text(f"twin.stale_{reason}") for reason in found.stale), found.releases,
        found.job is not None and found.job.state in jobs.LIVE, earlier, twin.version if twin else 0,
        resource.current_version,
    )  # fmt: skip


def about(twin: Twin) -> dict[str, Any]:
    """The published facts of the simulation, in words."""
    public = twin.public
    fidelity, engine = public.get("fidelity", {}), public.get("engine", {})
    words = fidelity.get("words")
    return {
        "engine": labels(ENGINES, engine.get("used")), "engine_version": engine.get("version", ""),
        "ratio": fidelity.get("ratio"), "shapes": fidelity.get("shapes"), "pairs": fidelity.get("pairs"),
        "words": Text(**words) if words else None, "outcome": twin.outcome,
        "not_kept": [Text(**t) for t in public.get("not_preserved", [])],
    }  # fmt: skip


@router.get("/resources/{resource_id}/twins")
def show_twins(request: Request, resource_id: str, unit: Annotated[Unit, Acting("resource:read")]) -> Response:
    """The twin of one table; the part about a job asks for itself while one is under way."""
    resource = service.read(unit, resource_id)
    standing = twins.standing(unit.session, resource)
    context: dict[str, Any] = {"resource": resource, "job": _job(unit, standing.job)}
    if request.headers.get("hx-request"):
        part = frame.fragment(request, "resources/twin_job.html", **context)
        if not (context["job"] and context["job"]["live"]):
            part.headers["hx-refresh"] = "true"  # it has ended: the whole page tells what came of it
        return part
    return frame.render(
        request, "resources/twins.html", **context, **_whole_page(unit, resource, standing), simulated=True,
        crumbs=[Crumb(text("resource.title"), "/resources"), Crumb(resource.name, f"/resources/{resource.id}"),
                Crumb(text("twin.title"))],
    )  # fmt: skip


def _whole_page(unit: Unit, resource: Resource, standing: twins.Standing) -> dict[str, Any]:
    twin, governs = standing.current, permissions.permitted(unit.actor, "simulated:evidence")
    every = [t for t in twins.every(unit.session, resource.id) if governs or t.published]
    latest = every[0] if every else None
    candidates = latest.manifest.get("candidates", []) if latest and governs else []
    may = {
        f"may_{key}": permissions.permitted(unit.actor, f"simulated:{action}")
        for key, action in (("make", "generate"), ("share", "share"))
    }
    return may | {
        "twin": twin, "governs": governs, "standing": standing_of(unit, resource, twin),
        "history": [_line(unit, t) for t in every], "refused": latest if latest and not latest.published else None,
        "made_by": _maker(unit, twin) if twin else "", "about": about(twin) if twin else None,
        "gates": gates(unit, latest, governs) if latest else [],
        "candidates": [c | {"name": labels(ENGINES, c["engine"])} for c in candidates], "worrying": WORRYING,
        "asked": latest.asked if latest else {}, "default_rows": DEFAULT_ROWS, "most_rows": MOST_ROWS,
        "most_seed": MOST_SEED,
        "events": [e for e in common.trail(unit, resource.id) if e.text in _EVENTS][:MOST_EVENTS],
    }  # fmt: skip


def _line(unit: Unit, twin: Twin) -> dict[str, Any]:
    """One line of the history."""
    return {"twin": twin, "engine": labels(ENGINES, twin.engine), "by": _maker(unit, twin)}


def _maker(unit: Unit, twin: Twin) -> Label:
    """Who asked for it."""
    person = unit.session.get(accounts.Account, twin.made_by)
    return person.name if person else text("twin.by_system")


def _job(unit: Unit, job: Job | None) -> dict[str, Any] | None:
    """The job that makes a twin, or that did not go well, as the page shows it."""
    if job is None:
        return None
    error = job.error or {}
    fix = error.get("fix")
    live = job.state in jobs.LIVE
    since = (unit.now - job.started_at).total_seconds() if live and job.started_at else None
    return {
        "job": job, "live": live, "step": JOB_STEPS.get(job.step, text("twin.waiting")), "elapsed": since,
        "text": Text(**error["text"]) if error else None, "fix": Text(**fix) if fix else None,
        "may_cancel": job.state in cancellation.STOPPABLE and permissions.permitted(unit.actor, "job:cancel"),
        "may_retry": job.state in jobs.AGAIN and permissions.permitted(unit.actor, "job:retry"),
    }  # fmt: skip


@router.post("/resources/{resource_id}/twins")
def make(
    request: Request, resource_id: str, unit: Annotated[Unit, Acting("simulated:generate")], rows: Typed = "",
    seed: Typed = "",
) -> Response:  # fmt: skip
    """Asks for a twin; an empty field is as it was for the last one."""
    asked = {"rows": _whole("rows", rows, 1, MOST_ROWS), "seed": _whole("seed", seed, 0, MOST_SEED)}
    twins.ask(unit, resource_id, **asked)
    return frame.go(f"/resources/{resource_id}/twins", "simulated:ask")


def _whole(name: str, typed: str, least: int, most: int) -> int | None:
    """A whole number between the limits, or nothing. Raises `FormProblem`."""
    plain = typed.strip().replace(",", "").replace("，", "")
    if not plain:
        return None
    if not plain.isdecimal() or not least <= int(plain) <= most:
        raise inputs.FormProblem({name: text("twin.number_between", least=f"{least:,}", most=f"{most:,}")})
    return int(plain)


@router.post("/resources/{resource_id}/twins/cancel")
def cancel(resource_id: str, unit: Annotated[Unit, Acting("job:cancel")], job: Typed = "") -> Response:
    """Stops the job that makes the twin."""
    cancellation.cancel(unit, job)
    return frame.go(f"/resources/{resource_id}/twins", "job:cancel")


@router.post("/resources/{resource_id}/twins/retry")
def retry(resource_id: str, unit: Annotated[Unit, Acting("job:retry")], job: Typed = "") -> Response:
    """Starts the job that did not go well again."""
    jobs.retry(unit, job)
    return frame.go(f"/resources/{resource_id}/twins", "job:retry")


@router.post("/resources/{resource_id}/twins/feedback")
def feed_back(resource_id: str, unit: Annotated[Unit, Acting("simulated:share")]) -> FileResponse:
    """The package for the sharing catalogue; on record."""
    return fed_back(feedback.package(unit, resource_id))
