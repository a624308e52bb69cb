"""脚本、文件、上传: a workspace's tabs of scripts, files and uploads, and the operator's page of uploads to decide."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from fastapi import File, Form, Request, Response, UploadFile
from fastapi.responses import StreamingResponse

from api.deps import Acting, Asking, actor_of, platform_of
from api.pages import common, frame
from api.pages.common import Step
from api.pages.views import Choice, Crumb
from api.pages.words import text
from api.pages.words_files import ENTITIES, KINDS, OUTCOMES, REASONS
from api.routes.workspace_files import answer
from policies.text import Text, UserError
from sandbox.kernel.errors import BadInput
from sandbox.kernel.identity import Actor
from sandbox.kernel.unit import Platform, Unit
from sandbox.workspaces import develop, folder, own_record, script_wording, scripts, service, uploads
from sandbox.workspaces.model import UPLOAD
from sandbox.workspaces.own_record import ScriptRun, Upload
from sandbox.workspaces.repository import Workspace
from sandbox.workspaces.script_inside import NAME

router = frame.page_router()
Typed = Annotated[str, Form()]
TABS = ("scripts", "files", "uploads")
STEPS: dict[str, Step] = {
    step: lambda unit, one, reason, step=step: uploads.decide(unit, one, step, reason)  # type: ignore[misc]
    for step in ("accept", "refuse")
}
DECLARED = ("source", "basis", "licence", "contact", "period")
_SHOWN_OUTPUT, _SHOWN_FILES, _SHOWN_RUNS = 64 << 10, 200, 30


def context(request: Request, unit: Unit, workspace: Workspace, tab: str, typed: dict[str, str]) -> dict[str, Any]:
    """What the template of `tab` needs; nothing for other tabs. `typed`: what a form that shows itself again held."""
    if tab == "scripts":
        return _scripts(request, unit, workspace, typed)
    if tab == "files":
        held = folder.list_files(unit, workspace.id)
        limit, _most = folder.storage_limit(unit)
        shown = held.files[:_SHOWN_FILES]
        return {"held": held, "shown_files": shown, "storage": limit, "kinds": KINDS,
                "more_files": not held.complete or len(shown) < len(held.files)}  # fmt: skip
    if tab == "uploads":
        return {
            **_uploads(unit, workspace.id), "typed": typed, "declared": _declared(typed),
            "limit_mb": uploads.file_limit_mb(unit),
            "personal": (Choice("no", text("upload.personal_no")), Choice("yes", text("upload.personal_yes"))),
        }  # fmt: skip
    return {}


# ---- scripts ----


def _scripts(request: Request, unit: Unit, workspace: Workspace, typed: dict[str, str]) -> dict[str, Any]:
    runs, kept = scripts.history(unit, workspace.id), scripts.saved(unit, workspace.id)
    asked = request.query_params
    run = next((r for r in runs if r.id == asked.get("run")), None)
    chosen = next((s for s in kept if s.id == asked.get("script")), None)
    mounted = [*develop.granted(unit, workspace), *develop.uploaded(unit, workspace)]
    tables = {o.name: [c.name for c in o.columns] for o in mounted}
    source = chosen.source if chosen else run.source if run else _example(list(tables))
    name = chosen.name if chosen else run.name if run else ""
    return {
        "source": typed.get("source", source), "script_name": typed.get("name", name), "saved": kept,
        "script_runs": [(r, _badge(r)) for r in runs[:_SHOWN_RUNS]], "script_schema": tables,
        **(_run(unit, run) if run else {"script_run": None}),
    }  # fmt: skip


def _example(tables: list[str]) -> str:
    table = tables[0] if tables else "表名"
    return f'import polars as pl\n\ntable = pl.read_parquet(tables["{table}"])\nprint(table.describe())\n'


def _badge(run: ScriptRun) -> tuple[Text, str, str]:
    """Word, tone and icon of how a run stands."""
    if run.outcome is None:
        waits = text("script.queued", ahead=run.queued - 1) if run.queued else text("script.running")
        return waits, "active", "clock"
    good = run.outcome == "done"
    return OUTCOMES.get(run.outcome, OUTCOMES["failed"]), "good" if good else "bad", "check" if good else "cross"


def _run(unit: Unit, run: ScriptRun) -> dict[str, Any]:
    printed, _end = scripts.output(unit, run)
    error = (run.error or {}).get("class", "")
    words, fix = script_wording.of(run.outcome, error) if run.outcome else (script_wording.RUNNING, None)
    pictures = [f for f in run.files if f["kind"] == "picture" and f["path"].lower().endswith(".png")]
    own = [f["line"] for f in (run.error or {}).get("frames", ()) if f["file"] == NAME]
    return {
        "script_run": run, "badge": _badge(run), "printed": printed[-_SHOWN_OUTPUT:], "happened": words, "fix": fix,
        "tail": len(printed) > _SHOWN_OUTPUT, "pictures": pictures[:6], "kinds": KINDS,
        "error_line": own[-1] if own else None,
        "seconds": (run.milliseconds or 0) / 1000 if run.outcome else (unit.now - run.started_at).total_seconds(),
    }  # fmt: skip


@router.get("/script-runs/{run_id}")
def show_run(request: Request, run_id: str, unit: Annotated[Unit, Acting("script:read")]) -> Response:
    """One run; a page that follows it asks for the part that changes."""
    run = scripts.read(unit, run_id)
    if request.headers.get("hx-request"):
        return frame.fragment(request, "workspaces/script_run.html", **_run(unit, run))
    return frame.go(f"/workspaces/{run.workspace_id}?tab=scripts&run={run.id}")


@router.post("/workspaces/{workspace_id}/scripts")
def use_script(
    request: Request, workspace_id: str, asking: Annotated[tuple[Platform, Actor], Asking("script:run")],
    source: Typed = "", name: Typed = "", do: Typed = "run",
) -> Response:  # fmt: skip
    """Runs the script in the editor, or saves it."""
    platform, actor = asking
    frame.show_again(request, partial(_again, request, workspace_id, "scripts", {"source": source, "name": name}))
    if do == "save":
        with platform.begin(actor, request.state.request_id) as unit:
            kept = scripts.save(unit, workspace_id, name, source)
        return frame.go(f"/workspaces/{workspace_id}?tab=scripts&script={kept.id}", "script:save")
    run = scripts.start(platform, request.app.state.broker, actor, workspace_id, source, name=name)
    return frame.go(f"/workspaces/{workspace_id}?tab=scripts&run={run.id}")


@router.post("/script-runs/{run_id}/cancel")
def cancel_run(request: Request, run_id: str, unit: Annotated[Unit, Acting("script:run")]) -> Response:
    """Stops within a second."""
    run = scripts.cancel(unit, request.app.state.broker, run_id)
    return frame.go(f"/workspaces/{run.workspace_id}?tab=scripts&run={run.id}", "script:cancel")


@router.post("/scripts/{script_id}/delete")
def delete_script(script_id: str, unit: Annotated[Unit, Acting("script:run")]) -> Response:
    """Its runs stay on record."""
    gone = scripts.delete(unit, script_id)
    return frame.go(f"/workspaces/{gone.workspace_id}?tab=scripts", "script:delete")


def _again(request: Request, workspace_id: str, tab: str, typed: dict[str, str], error: UserError) -> Response:
    from api.pages import workspaces

    with platform_of(request).begin(actor_of(request), request.state.request_id) as unit:
        return workspaces.page(request, unit, service.read(unit, workspace_id), tab, typed=typed, error=error)


# ---- files ----


@router.get("/workspaces/{workspace_id}/files/{file_id}")
def download(workspace_id: str, file_id: str, unit: Annotated[Unit, Acting("file:read")]) -> StreamingResponse:
    """Saved by the browser, never shown by it."""
    return answer(folder.open_file(unit, workspace_id, file_id))


@router.get("/workspaces/{workspace_id}/pictures/{file_id}")
def picture(workspace_id: str, file_id: str, unit: Annotated[Unit, Acting("file:read")]) -> StreamingResponse:
    """A PNG of a script, the one kind of file that is shown in the page."""
    opened = folder.open_picture(unit, workspace_id, file_id)
    return StreamingResponse(
        opened.blocks(), media_type="image/png",
        headers={"content-security-policy": "sandbox; default-src 'none'", "x-content-type-options": "nosniff"},
    )  # fmt: skip


@router.post("/workspaces/{workspace_id}/files/{file_id}/delete")
def delete_file(workspace_id: str, file_id: str, unit: Annotated[Unit, Acting("file:delete")]) -> Response:
    """One file; a link itself, never what it points at."""
    folder.delete_file(unit, workspace_id, file_id)
    return frame.go(f"/workspaces/{workspace_id}?tab=files", "file:delete")


# ---- uploads ----


def _upload(found: Upload) -> dict[str, Any]:
    refusal = found.refusal or {}
    return {
        "record": found, "state": UPLOAD.state(found.state), "reasons": [REASONS[r] for r in found.reasons],
        "refusal": Text(**refusal["text"]) if refusal else None,
        "fix": Text(**refusal["fix"]) if refusal.get("fix") else None,
        "found": [f | {"word": ENTITIES.get(f["entity"], f["entity"])} for f in found.found],
        "removable": found.state in UPLOAD.transition("remove").sources,
    }  # fmt: skip


def _declared(said: Mapping[str, Any]) -> list[tuple[str, Text, Text, str]]:
    """Field, word, help and what was said, for every entry of the declaration."""
    return [(key, text(f"upload.{key}"), text(f"upload.{key}_help"), said.get(key, "")) for key in DECLARED]


def _uploads(unit: Unit, workspace_id: str) -> dict[str, Any]:
    found = uploads.of_workspace(unit, workspace_id)
    return {"uploads": [_upload(u) for u in found], "checking": any(u.state in ("uploaded", "checking") for u in found)}


@router.get("/workspaces/{workspace_id}/uploads")
def show_uploads(request: Request, workspace_id: str, unit: Annotated[Unit, Acting("upload:bring")]) -> Response:
    """The list that follows a check; as a page it is the workspace's tab."""
    workspace = service.read(unit, workspace_id)
    if not request.headers.get("hx-request"):
        return frame.go(f"/workspaces/{workspace.id}?tab=uploads")
    return frame.fragment(
        request, "workspaces/uploads_list.html", workspace=workspace, usable=workspace.state == "open",
        **_uploads(unit, workspace.id),
    )  # fmt: skip


@router.post("/workspaces/{workspace_id}/uploads")
def bring(
    request: Request, workspace_id: str, asking: Annotated[tuple[Platform, Actor], Asking("upload:bring")],
    file: Annotated[UploadFile, File()], name: Typed = "", sheet: Typed = "", source: Typed = "", basis: Typed = "",
    licence: Typed = "", contact: Typed = "", period: Typed = "", personal: Typed = "", statement: Typed = "",
) -> Response:  # fmt: skip
    """Takes the file into quarantine; a job checks it."""
    platform, actor = asking
    typed = {"name": name, "sheet": sheet, "source": source, "basis": basis, "licence": licence, "contact": contact,
             "period": period, "personal": personal}  # fmt: skip
    frame.show_again(request, partial(_again, request, workspace_id, "uploads", typed))
    if personal not in ("yes", "no"):
        raise BadInput("upload.personal", text("upload.personal"))
    provenance = uploads.Provenance(source, basis, licence, personal == "yes", contact, period)
    uploads.bring(platform, actor, workspace_id, file.file, file_name=file.filename or "file", name=name.strip(),
                  provenance=provenance, statement=statement == "yes", sheet=sheet)  # fmt: skip
    return frame.go(f"/workspaces/{workspace_id}?tab=uploads", "upload:bring")


@router.post("/uploads/{upload_id}/remove")
def remove(
    request: Request, upload_id: str, asking: Annotated[tuple[Platform, Actor], Asking("upload:remove")]
) -> Response:
    """The table leaves the workspace, its bytes are deleted."""
    platform, actor = asking
    uploads.remove(platform, request.app.state.broker, actor, upload_id)
    with platform.begin(actor) as unit:
        workspace_id = own_record.upload(unit.session, upload_id).workspace_id
    return frame.go(f"/workspaces/{workspace_id}?tab=uploads", "upload:remove")


@router.get("/uploads")
def show_queue(request: Request, unit: Annotated[Unit, Acting("upload:read")]) -> Response:
    """Uploads of every workspace, those that wait for a decision first."""
    records = uploads.queue(unit)
    found = common.listing(request, records, UPLOAD, lambda u: f"{u.name} {u.id} {u.file_name}")
    names = {u.organisation_id: common.organisation(unit, u.organisation_id) for u in found.items}
    return frame.render(
        request, "workspaces/uploads.html", listing=found, total=len(records),
        rows=[_upload(u) | {"party": names[u.organisation_id]} for u in found.items],
    )  # fmt: skip


@router.get("/uploads/{upload_id}")
def show_upload(request: Request, upload_id: str, unit: Annotated[Unit, Acting("upload:read")]) -> Response:
    """One upload: the declaration beside what was found, counts and masked evidence only."""
    found = uploads.get(unit, upload_id)
    return frame.render(
        request, "workspaces/upload.html", upload=_upload(found), declared=_declared(found.provenance),
        party=common.organisation(unit, found.organisation_id), events=common.trail(unit, found.id),
        offers=common.offers(unit, UPLOAD, found, STEPS),
        crumbs=[Crumb(text("upload.title"), "/uploads"), Crumb(found.name)],
    )  # fmt: skip


@router.post("/uploads/{upload_id}/steps")
def step(
    upload_id: str, unit: Annotated[Unit, Acting("upload:decide")], transition: Typed = "", reason: Typed = ""
) -> Response:
    """The operator's decision."""
    common.take(STEPS, transition)(unit, upload_id, reason)
    return frame.go(f"/uploads/{upload_id}", f"upload:{transition}")
