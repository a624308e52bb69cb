"""汇总预览 in the tab 授权数据: asks a granted table in aggregate."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import Request, Response

from api.deps import Asking, actor_of, platform_of
from api.pages import frame, preview_form, workspaces
from api.pages.forms import Sent
from policies.text import UserError
from sandbox.kernel.identity import Actor
from sandbox.kernel.unit import Platform
from sandbox.workspaces import preview, service

router = frame.page_router()


@router.post("/workspaces/{workspace_id}/preview")
def ask(
    request: Request, workspace_id: str, sent: Sent, asking: Annotated[tuple[Platform, Actor], Asking("rows:preview")]
) -> Response:
    """The answer is the page with the figures; a question that is refused comes back with what was typed."""
    platform, actor = asking
    typed = {name: value for name, value in sent.items() if isinstance(value, str)}
    frame.show_again(request, partial(_answer, request, workspace_id, typed, None))
    found = preview.preview(platform, request.app.state.broker, actor, workspace_id, preview_form.wanted(typed))
    result = {"sheet": preview_form.sheet(found, frame.language_of(request)), "more": found.more}
    return _answer(request, workspace_id, typed, result, None)


def _answer(
    request: Request, workspace_id: str, typed: dict[str, str], result: dict[str, Any] | None, error: UserError | None
) -> Response:
    with platform_of(request).begin(actor_of(request), request.state.request_id) as unit:
        workspace = service.read(unit, workspace_id)
        sent = {"typed": typed, "result": result, "error": error}
        return workspaces.page(request, unit, workspace, "data", previewed=sent, status=error.status if error else 200)
