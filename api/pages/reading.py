"""授权数据: the tab of a workspace that says what may be read of each granted table, and reads it."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import Form, Request, Response

from api.deps import Asking, actor_of, platform_of
from api.pages import frame, workspaces
from api.pages.views import Sheet
from policies.text import UserError
from sandbox.kernel.identity import Actor
from sandbox.kernel.unit import Platform
from sandbox.workspaces import reading, service

router = frame.page_router()
Typed = Annotated[str, Form()]


@router.post("/workspaces/{workspace_id}/data")
def read(
    request: Request, workspace_id: str, asking: Annotated[tuple[Platform, Actor], Asking("rows:read")], sql: Typed = ""
) -> Response:
    """Runs on granted real rows; the answer is the page, or only its result where the page asks for that."""
    platform, actor = asking
    frame.show_again(request, partial(_answer, request, workspace_id, sql, None))
    found = reading.read(platform, request.app.state.broker, actor, workspace_id, sql)
    rows = tuple(zip(*(column.to_pylist() for column in found.table.columns), strict=True))
    return _answer(
        request, workspace_id, sql,
        {"sheet": Sheet(tuple(found.table.column_names), rows), "seconds": found.elapsed, "more": found.truncated},
        None,
    )  # fmt: skip


def _answer(
    request: Request, workspace_id: str, sql: str, found: dict[str, Any] | None, error: UserError | None
) -> Response:
    if request.headers.get("hx-request"):
        return frame.fragment(request, "workspaces/rows.html", found=found, error=error)
    with platform_of(request).begin(actor_of(request), request.state.request_id) as unit:
        workspace = service.read(unit, workspace_id)
        return workspaces.page(request, unit, workspace, "data", sql=sql, found=found, error=error)
