"""开发空间内的脚本、文件与社会数据: scripts, files and a merchant's own data in a workspace."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, File, Form, Query, Request, UploadFile
from fastapi.responses import StreamingResponse
from pydantic import Field

from api.deps import Acting, Asking
from api.routes.shapes import DecisionIn, In, Out, Standing
from sandbox.kernel.identity import Actor
from sandbox.kernel.unit import Platform, Unit
from sandbox.workspaces import files, folder, script_wording, scripts, uploads
from sandbox.workspaces.model import UPLOAD
from sandbox.workspaces.own_record import ScriptRun, Upload

router = APIRouter(tags=["workspaces"])
Words = Annotated[str, Form(min_length=1, max_length=500)]


class ScriptIn(In):
    source: Annotated[str, Field(min_length=1, max_length=600_000)] = Field(examples=["print(list(tables))"])
    name: Annotated[str, Field(max_length=80)] = Field(default="", examples=["每日汇总"])


class ScriptOut(Out):
    """A saved script."""

    id: str
    name: str
    source: str
    saved_at: datetime


class FileOut(Out):
    """One file of the workspace's folder. `id` names it in addresses, whatever its name holds."""

    id: str
    path: str
    kind: str = Field(examples=["table"])
    size: int = Field(description="bytes")
    at: datetime
    readable: bool = Field(description="false for links, pipes and the database: they are not handed out")


class FilesOut(Out):
    label: str = "仿真数据，非真实记录"
    files: list[FileOut]
    on_disk: int = Field(description="bytes that count against the quota")
    limit: int
    complete: bool


class ScriptRunOut(Out):
    """A run of a script on simulated data. `outcome` is null while it waits or runs."""

    label: str = "仿真数据，非真实记录"
    id: str
    workspace_id: str
    name: str
    outcome: str | None = Field(examples=["done"])
    text: str
    fix: str | None
    queued: int = Field(description="place in the machine's queue, 0 once it runs")
    started_at: datetime
    milliseconds: int | None
    truncated: bool
    error: dict[str, Any] | None = Field(description="class, message and the script's own lines")
    files: list[dict[str, Any]]
    output: str = ""
    next_offset: int = 0

    @classmethod
    def of(cls, run: ScriptRun, output: tuple[str, int] = ("", 0)) -> Self:
        kind = (run.error or {}).get("class", "")
        text, fix = script_wording.of(run.outcome, kind) if run.outcome else (script_wording.RUNNING, None)
        facts = {name: getattr(run, name) for name in cls.model_fields if hasattr(run, name)}
        return cls(**facts, text=text.zh, fix=fix.zh if fix else None, output=output[0], next_offset=output[1])


class UploadOut(Standing):
    """A merchant's own table: its declaration, what the check read and found (masked), where it stands."""

    workspace_id: str
    name: str
    version: int
    file_name: str
    sha256: str
    size: int
    provenance: dict[str, Any]
    report: dict[str, Any] | None
    found: list[dict[str, Any]]
    reasons: list[str]
    refusal: dict[str, Any] | None

    @classmethod
    def from_record(cls, unit: Unit, record: Upload) -> Self:
        return cls.of(unit, record, UPLOAD)


# ---- scripts ----


@router.post("/workspaces/{workspace_id}/scripts/run", status_code=202, summary="运行脚本 · Run a script")
def run_script(
    workspace_id: str, body: ScriptIn, request: Request,
    asking: Annotated[tuple[Platform, Actor], Asking("script:run")],
) -> ScriptRunOut:  # fmt: skip
    """Starts in the background, in the workspace's jail, on simulated data; follow it at `/script-runs/{id}`."""
    platform, actor = asking
    broker = request.app.state.broker
    return ScriptRunOut.of(scripts.start(platform, broker, actor, workspace_id, body.source, name=body.name))


@router.get("/workspaces/{workspace_id}/script-runs", summary="脚本运行记录 · Runs of scripts")
def list_runs(workspace_id: str, unit: Annotated[Unit, Acting("script:read")]) -> list[ScriptRunOut]:
    return [ScriptRunOut.of(r) for r in scripts.history(unit, workspace_id)]


@router.get("/script-runs/{run_id}", summary="一次脚本运行 · One run of a script")
def read_run(
    run_id: str, unit: Annotated[Unit, Acting("script:read")],
    offset: Annotated[int, Query(ge=0, le=2**40, description="bytes of output already read")] = 0,
) -> ScriptRunOut:  # fmt: skip
    """State and what was printed from `offset` on; ask again from `next_offset` while `outcome` is null."""
    run = scripts.read(unit, run_id)
    return ScriptRunOut.of(run, scripts.output(unit, run, offset))


@router.post("/script-runs/{run_id}/cancel", summary="取消脚本 · Cancel a script")
def cancel_run(run_id: str, request: Request, unit: Annotated[Unit, Acting("script:run")]) -> ScriptRunOut:
    return ScriptRunOut.of(scripts.cancel(unit, request.app.state.broker, run_id))


@router.get("/workspaces/{workspace_id}/scripts", summary="保存的脚本 · Saved scripts")
def list_scripts(workspace_id: str, unit: Annotated[Unit, Acting("script:read")]) -> list[ScriptOut]:
    return [ScriptOut.model_validate(s) for s in scripts.saved(unit, workspace_id)]


@router.post("/workspaces/{workspace_id}/scripts", status_code=201, summary="保存脚本 · Save a script")
def save_script(workspace_id: str, body: ScriptIn, unit: Annotated[Unit, Acting("script:run")]) -> ScriptOut:
    """The same name again replaces the text."""
    return ScriptOut.model_validate(scripts.save(unit, workspace_id, body.name, body.source))


@router.delete("/scripts/{script_id}", status_code=204, summary="删除脚本 · Delete a saved script")
def delete_script(script_id: str, unit: Annotated[Unit, Acting("script:run")]) -> None:
    scripts.delete(unit, script_id)


# ---- files ----


@router.get("/workspaces/{workspace_id}/files", summary="文件列表 · Files")
def list_files(workspace_id: str, unit: Annotated[Unit, Acting("file:read")]) -> FilesOut:
    held = folder.list_files(unit, workspace_id)
    limit, most = folder.storage_limit(unit)
    shown = [FileOut.model_validate(f) for f in held.files[:most]]
    complete = held.complete and len(shown) == len(held.files)
    return FilesOut(files=shown, on_disk=held.on_disk, limit=limit, complete=complete)


@router.get(
    "/workspaces/{workspace_id}/files/{file_id}", summary="下载文件（仿真数据） · Download a file",
    response_class=StreamingResponse, responses={200: {"content": {"application/octet-stream": {}}}},
)  # fmt: skip
def download_file(workspace_id: str, file_id: str, unit: Annotated[Unit, Acting("file:read")]) -> StreamingResponse:
    """The bytes as the merchant's program wrote them, marked as simulated by name."""
    return answer(folder.open_file(unit, workspace_id, file_id))


def answer(opened: files.Opened) -> StreamingResponse:
    """A file for saving, never for showing."""
    return StreamingResponse(
        opened.blocks(), media_type="application/octet-stream",
        headers={"content-disposition": files.disposition(opened.path), "content-security-policy": "sandbox",
                 "x-content-type-options": "nosniff", "x-simulated-data": "true"},
    )  # fmt: skip


@router.delete("/workspaces/{workspace_id}/files/{file_id}", status_code=204, summary="删除文件 · Delete a file")
def delete_file(workspace_id: str, file_id: str, unit: Annotated[Unit, Acting("file:delete")]) -> None:
    folder.delete_file(unit, workspace_id, file_id)


# ---- a merchant's own data ----


@router.get("/workspaces/{workspace_id}/uploads", summary="引入的社会数据 · Data brought into a workspace")
def list_uploads(workspace_id: str, unit: Annotated[Unit, Acting("upload:read")]) -> list[UploadOut]:
    return [UploadOut.from_record(unit, u) for u in uploads.of_workspace(unit, workspace_id)]


@router.post("/workspaces/{workspace_id}/uploads", status_code=202, summary="上传社会数据 · Bring in own data")
def bring(
    workspace_id: str, asking: Annotated[tuple[Platform, Actor], Asking("upload:bring")],
    file: Annotated[UploadFile, File(description="the table: csv, tsv, txt, xlsx, xls, json, jsonl or parquet")],
    name: Annotated[str, Form(max_length=64, description="the table's name in the workspace")],
    source: Words, basis: Words, licence: Words, contact: Words, period: Words,
    personal: Annotated[bool, Form(description="whether it holds personal information")],
    statement: Annotated[bool, Form(description="the origin is lawful and this declaration is true")],
    sheet: Annotated[str, Form(max_length=100, description="of a workbook with several")] = "",
) -> UploadOut:  # fmt: skip
    """The file goes into quarantine; a check in the jail decides whether it comes in, is refused, or needs a person."""
    platform, actor = asking
    provenance = uploads.Provenance(source, basis, licence, personal, contact, period)
    made = uploads.bring(platform, actor, workspace_id, file.file, file_name=file.filename or "file", name=name,
                         provenance=provenance, statement=statement, sheet=sheet)  # fmt: skip
    with platform.begin(actor) as unit:
        return UploadOut.from_record(unit, uploads.get(unit, made.id))


@router.get("/uploads", summary="社会数据引入 · Uploads")
def queue(
    unit: Annotated[Unit, Acting("upload:read")],
    state: Annotated[Literal["needs_decision"] | None, Query(description="only those that wait for a decision")] = None,
) -> list[UploadOut]:
    return [UploadOut.from_record(unit, u) for u in uploads.queue(unit) if state is None or u.state == state]


@router.get("/uploads/{upload_id}", summary="一次引入 · One upload")
def read_upload(upload_id: str, unit: Annotated[Unit, Acting("upload:read")]) -> UploadOut:
    return UploadOut.from_record(unit, uploads.get(unit, upload_id))


@router.post("/uploads/{upload_id}/decision", summary="决定是否引入 · Decide on an upload")
def decide(upload_id: str, body: DecisionIn, unit: Annotated[Unit, Acting("upload:decide")]) -> UploadOut:
    """`accept` or `refuse`, with a reason, on counts and masked evidence."""
    return UploadOut.from_record(unit, uploads.decide(unit, upload_id, body.decision, body.reason))


@router.delete("/uploads/{upload_id}", status_code=204, summary="删除引入的数据 · Remove own data")
def remove(
    upload_id: str, request: Request, asking: Annotated[tuple[Platform, Actor], Asking("upload:remove")]
) -> None:
    """The table leaves the workspace and its bytes are deleted."""
    platform, actor = asking
    uploads.remove(platform, request.app.state.broker, actor, upload_id)
