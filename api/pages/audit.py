"""The audit log for auditors, and the proof of its chain."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

from fastapi import Query, Request, Response

from api.deps import Acting
from api.pages import frame
from api.pages.views import Crumb
from api.pages.words import text
from api.pages.words_events import event_words
from api.pages.words_oversight import CHAIN_REASONS
from sandbox.kernel import accounts, oversight
from sandbox.kernel.audit import AuditEvent, AuditHead
from sandbox.kernel.identity import ROLE_NAMES, Role
from sandbox.kernel.unit import Unit

router = frame.page_router()
ROWS = 50
_DIGEST = re.compile(r"\b[0-9a-f]{24,}\b")


@router.get("/audit")
def show_events(
    request: Request, unit: Annotated[Unit, Acting("audit:read")],
    before: Annotated[int | None, Query(ge=2)] = None, object_id: str = "",
) -> Response:  # fmt: skip
    """The newest events, or those before number `before`; of one object where one is named."""
    wanted = object_id.strip()
    total = unit.session.get_one(AuditHead, 1).seq
    end = total if before is None else min(total, before - 1)
    if wanted:
        found = oversight.events(unit, limit=ROWS, object_id=wanted)
    else:
        found = oversight.events(unit, after=max(0, end - ROWS), limit=min(ROWS, end))
    return frame.render(
        request, "oversight/audit.html", events=rows(unit, found[::-1]), object_id=wanted,
        total=total, first=found[0].seq if found else 0, last=found[-1].seq if found else 0, step=ROWS,
    )  # fmt: skip


def rows(unit: Unit, found: Sequence[AuditEvent]) -> list[dict[str, object]]:
    """Events as a table shows them, for readers who may know who acted."""
    names = {i: a.name for i in {e.actor_id for e in found} if (a := unit.session.get(accounts.Account, i))}
    return [_row(e, names) for e in found]


def _row(event: AuditEvent, names: dict[str, str]) -> dict[str, object]:
    return {
        "event": event, "words": event_words(event.event) or event.event, "who": names.get(event.actor_id, ""),
        "role": ROLE_NAMES[Role(event.role)], "bad": event.event == "access:refused",
        "facts": _facts(event),
    }  # fmt: skip


def _facts(event: AuditEvent) -> str:
    """What the event says of itself, digests by their first characters."""
    written = "  ".join(f"{key}={value}" for key, value in event.facts.items())
    return _DIGEST.sub(lambda found: f"{found.group()[:12]}…", written)


@router.post("/audit/verify")
def verify(request: Request, unit: Annotated[Unit, Acting("audit:verify")]) -> Response:
    """Recomputes the chain and says whether it holds, and where it breaks first."""
    report = oversight.verify_chain(unit)
    return frame.render(
        request, "oversight/verified.html", report=report, reason=CHAIN_REASONS.get(report.reason, ""),
        crumbs=[Crumb(text("audit.title"), "/audit"), Crumb(text("audit.verify"))],
        back="/audit" if unit.actor.role is Role.AUDITOR else "/jobs",
    )  # fmt: skip
