"""出域自查: what the gate would say of a file or a job, on simulated data, before anybody is asked."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, File, UploadFile
from pydantic import Field

from api.deps import Acting, Asking
from api.routes.shapes import In, Out
from sandbox.exports import selfcheck
from sandbox.kernel.identity import Actor
from sandbox.kernel.unit import Platform, Unit

router = APIRouter(tags=["exports"])
Checks = Annotated[tuple[Platform, Actor], Asking("selfcheck:run")]


class JobCheckIn(In):
    spec: dict[str, Any] | str = Field(examples=["job: visits-by-district\nedition: 1\n…"])


class RepairIn(In):
    repair: Annotated[str, Field(max_length=64)] = Field(examples=["166e1dc2ebf5"])


class SelfCheckOut(Out):
    """One self-check in the merchant's words. `outcome` is null while a job waits or runs; `verdict` has rules and
    findings without measured values; `repairs` are changed jobs that were run and judged on simulated data."""

    label: str = "仿真数据上的自查，不代替出域核查"
    id: str
    workspace_id: str
    created_at: datetime
    name: str
    sha256: str
    spec: dict[str, Any] | None
    after: str | None = Field(description="the self-check whose repair this is")
    outcome: str | None = Field(examples=["block"])
    verdict: dict[str, Any] | None
    repairs: list[dict[str, Any]]
    error: dict[str, Any] | None
    milliseconds: int | None


@router.post("/workspaces/{workspace_id}/self-checks", status_code=201, summary="自查文件 · Self-check of a file")
def check_file(
    workspace_id: str, asking: Checks, file: Annotated[UploadFile, File(description="what would be taken out")]
) -> SelfCheckOut:
    """The rules of the gate on these very bytes, at once. Nothing is compared with real data and nothing is kept but
    the answer."""
    platform, actor = asking
    return SelfCheckOut.model_validate(
        selfcheck.check_file(platform, actor, workspace_id, file.filename or "file", file.file)
    )


@router.post(
    "/workspaces/{workspace_id}/files/{file_id}/self-check", status_code=201,
    summary="自查空间内的文件 · Self-check of a workspace's file",
)  # fmt: skip
def check_own_file(workspace_id: str, file_id: str, asking: Checks) -> SelfCheckOut:
    platform, actor = asking
    return SelfCheckOut.model_validate(selfcheck.check_own_file(platform, actor, workspace_id, file_id))


@router.post("/workspaces/{workspace_id}/job-checks", status_code=202, summary="自查作业 · Self-check of a job")
def check_job(workspace_id: str, body: JobCheckIn, unit: Annotated[Unit, Acting("selfcheck:run")]) -> SelfCheckOut:
    """Runs, proves and judges the job on simulated data; where it does not pass, repairs are tried."""
    return SelfCheckOut.model_validate(selfcheck.ask(unit, workspace_id, body.spec))


@router.get("/workspaces/{workspace_id}/self-checks", summary="自查记录 · Self-checks")
def list_checks(workspace_id: str, unit: Annotated[Unit, Acting("selfcheck:run")]) -> list[SelfCheckOut]:
    return [SelfCheckOut.model_validate(c) for c in selfcheck.of_workspace(unit, workspace_id)]


@router.get("/self-checks/{check_id}", summary="一次自查 · One self-check")
def read(check_id: str, unit: Annotated[Unit, Acting("selfcheck:run")]) -> SelfCheckOut:
    return SelfCheckOut.model_validate(selfcheck.read(unit, check_id))


@router.post("/self-checks/{check_id}/apply", status_code=202, summary="采用修改 · Apply a repair and check again")
def apply(check_id: str, body: RepairIn, unit: Annotated[Unit, Acting("selfcheck:run")]) -> SelfCheckOut:
    """The changed job, checked anew; run it on real data like any other job."""
    return SelfCheckOut.model_validate(selfcheck.apply(unit, check_id, body.repair))
