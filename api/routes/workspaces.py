"""开发空间: workspaces, and runs on real data."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter

from api.deps import Acting
from api.routes.shapes import DecisionIn, RunIn, RunOut, WorkspaceIn, WorkspaceOut
from sandbox.kernel import editions
from sandbox.kernel.unit import Unit
from sandbox.products import service as products
from sandbox.workspaces import service
from sandbox.workspaces.repository import Workspace

router = APIRouter(tags=["workspaces"])


def whole(unit: Unit, workspace: Workspace) -> WorkspaceOut:
    return WorkspaceOut.from_record(unit, workspace, sorted(service.twin_tables(unit, workspace)))


@router.get("/workspaces", summary="开发空间列表 · Workspaces")
def list_workspaces(unit: Annotated[Unit, Acting("workspace:read")]) -> list[WorkspaceOut]:
    return [WorkspaceOut.from_record(unit, w) for w in service.list_for(unit)]


@router.post("/workspaces", status_code=201, summary="开通开发空间 · Open a workspace")
def open_workspace(body: WorkspaceIn, unit: Annotated[Unit, Acting("workspace:open")]) -> WorkspaceOut:
    return whole(unit, service.open_workspace(unit, body.application_id))


@router.get("/workspaces/{workspace_id}", summary="开发空间 · One workspace")
def read(workspace_id: str, unit: Annotated[Unit, Acting("workspace:read")]) -> WorkspaceOut:
    return whole(unit, service.read(unit, workspace_id))


@router.post("/workspaces/{workspace_id}/standing", summary="冻结、解冻 · Freeze or unfreeze")
def standing(workspace_id: str, body: DecisionIn, unit: Annotated[Unit, Acting("workspace:freeze")]) -> WorkspaceOut:
    return WorkspaceOut.from_record(unit, service.change(unit, workspace_id, body.decision, body.reason))


@router.post("/workspaces/{workspace_id}/close", summary="关闭 · Close")
def close(workspace_id: str, unit: Annotated[Unit, Acting("workspace:close")]) -> WorkspaceOut:
    return WorkspaceOut.from_record(unit, service.change(unit, workspace_id, "close"))


@router.post("/workspaces/{workspace_id}/runs", status_code=202, summary="在真实数据上运行 · Run on real data, unseen")
def start_run(workspace_id: str, body: RunIn, unit: Annotated[Unit, Acting("run:start")]) -> RunOut:
    """The same spec first runs on the simulated twin, then on real data; nothing but state and buckets comes back."""
    quota = editions.in_force(unit, "workspace").by_check("runs_per_day").parameters.per_grant_per_day
    return RunOut.from_record(unit, products.start_run(unit, workspace_id, body.spec, quota))


@router.get("/workspaces/{workspace_id}/runs", summary="运行列表 · Runs")
def list_runs(workspace_id: str, unit: Annotated[Unit, Acting("run:read")]) -> list[RunOut]:
    return [RunOut.from_record(unit, r) for r in products.runs(unit, workspace_id)]


@router.get("/runs/{run_id}", summary="运行 · One run")
def read_run(run_id: str, unit: Annotated[Unit, Acting("run:read")]) -> RunOut:
    return RunOut.from_record(unit, products.read_run(unit, run_id))
