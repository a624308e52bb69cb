"""出域自查: a file or a job by the gate's rules on simulated data, and repairs to take over with one click."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import File, Form, Request, Response, UploadFile

from api.deps import Acting, Asking, actor_of, platform_of
from api.pages import examples, frame, runs
from api.pages.views import Crumb
from api.pages.words import text
from policies.text import Text, UserError
from policies.verdict import Verdict
from sandbox.exports import selfcheck
from sandbox.exports.selfcheck import SelfCheck
from sandbox.kernel import editions
from sandbox.kernel.identity import Actor
from sandbox.kernel.unit import Platform, Unit

router = frame.page_router()
Typed = Annotated[str, Form()]
Checks = Annotated[tuple[Platform, Actor], Asking("selfcheck:run")]


@router.get("/workspaces/{workspace_id}/self-checks")
def show_checks(
    request: Request, workspace_id: str, unit: Annotated[Unit, Acting("selfcheck:run")]
) -> Response:  # fmt: skip
    """The form for a file, and what was checked so far."""
    return _list(request, unit, workspace_id)


def _list(request: Request, unit: Unit, workspace_id: str, error: UserError | None = None) -> Response:
    return frame.render(
        request, "workspaces/self_checks.html", status=error.status if error else 200, error=error,
        checks=selfcheck.of_workspace(unit, workspace_id), place=f"/workspaces/{workspace_id}",
        crumbs=[Crumb(text("workspace.title"), "/workspaces"),
                Crumb(text("run.title"), f"/workspaces/{workspace_id}?tab=runs"), Crumb(text("check.title"))],
    )  # fmt: skip


def _list_again(request: Request, workspace_id: str, error: UserError) -> Response:
    with platform_of(request).begin(actor_of(request), request.state.request_id) as unit:
        return _list(request, unit, workspace_id, error)


@router.post("/workspaces/{workspace_id}/self-checks")
def check_file(
    request: Request, workspace_id: str, asking: Checks, file: Annotated[UploadFile, File()]
) -> Response:  # fmt: skip
    """Judges the file at once."""
    frame.show_again(request, partial(_list_again, request, workspace_id))
    platform, actor = asking
    made = selfcheck.check_file(platform, actor, workspace_id, file.filename or "file", file.file)
    return frame.go(f"/self-checks/{made.id}", "selfcheck:run")


@router.post("/workspaces/{workspace_id}/files/{file_id}/self-check")
def check_own_file(request: Request, workspace_id: str, file_id: str, asking: Checks) -> Response:
    frame.show_again(request, partial(_list_again, request, workspace_id))
    platform, actor = asking
    return frame.go(f"/self-checks/{selfcheck.check_own_file(platform, actor, workspace_id, file_id).id}",
                    "selfcheck:run")  # fmt: skip


@router.post("/workspaces/{workspace_id}/job-checks")
def check_job(
    request: Request, workspace_id: str, unit: Annotated[Unit, Acting("selfcheck:run")], spec: Typed = ""
) -> Response:  # fmt: skip
    """Asks for the check of a job; the page of the check follows it."""
    frame.show_again(request, partial(runs.again, request, workspace_id, spec))
    return frame.go(f"/self-checks/{selfcheck.ask(unit, workspace_id, spec).id}", "selfcheck:run")


@router.get("/self-checks/{check_id}")
def show_check(request: Request, check_id: str, unit: Annotated[Unit, Acting("selfcheck:run")]) -> Response:
    """What the gate would say, rule by rule, and the repairs; while a job is under way the page asks for itself."""
    found = selfcheck.read(unit, check_id)
    place = f"/workspaces/{found.workspace_id}"
    return frame.render(
        request, "workspaces/self_check.html", check=found, place=place, **_shown(unit, found),
        crumbs=[Crumb(text("workspace.title"), "/workspaces"), Crumb(text("check.title"), f"{place}/self-checks"),
                Crumb(found.name)],
    )  # fmt: skip


def _shown(unit: Unit, found: SelfCheck) -> dict[str, Any]:
    error = found.error or {}
    return {
        "verdict": Verdict.from_dict(found.verdict) if found.verdict else None,
        "titles": {rule.id: rule.title for rule in editions.in_force(unit, "export").rules},
        "repairs": [{**one, "text": Text(**one["text"])} for one in found.repairs],
        "spec": examples.shown(found.spec) if found.spec else None,
        "failed": Text(**error["text"]) if error else None,
        "fix": Text(**error["fix"]) if error.get("fix") else None,
    }  # fmt: skip


@router.post("/self-checks/{check_id}/apply")
def apply(check_id: str, unit: Annotated[Unit, Acting("selfcheck:run")], repair: Typed = "") -> Response:
    """Takes a repair over: the changed job is checked anew."""
    return frame.go(f"/self-checks/{selfcheck.apply(unit, check_id, repair).id}", "selfcheck:run")
