"""What officers do on an export's page, and the notices of releases and recalls for departments and merchants."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Form, Request, Response

from api.deps import Acting
from api.pages import frame
from api.pages.words import text
from api.pages.words_reviewing import DECISIONS, KINDS, VOTES
from sandbox.exports import listing, notices, repository, reviewing
from sandbox.exports.drafting import CONTEXT
from sandbox.exports.model import EXPORT, RECALL, UNDER_REVIEW
from sandbox.exports.repository import ExportRequest, RecallRequest
from sandbox.kernel import accounts, permissions
from sandbox.kernel.unit import Unit

router = frame.page_router()
Typed = Annotated[str, Form()]
FIELDS = [(key, text(f"context.{key}"), text(f"context.{key}_help")) for key in CONTEXT]
"""What an author tells the reviewers: key, word, hint."""


def review_view(unit: Unit, record: ExportRequest) -> dict[str, Any]:
    """What the review card of a request shows this reader, and what they may do there."""
    officer = permissions.permitted(unit.actor, "export:review")
    asked = record.state in UNDER_REVIEW
    given, needed = reviewing.progress(unit, record)
    refused = reviewing.may_review(unit, record) if officer and asked else None
    return {
        "open": asked, "given": given, "needed": needed, "reasons": reviewing.needed_for(unit, record).words,
        "asked": officer and asked, "may": officer and asked and refused is None,
        "why_not": refused, "vote": reviewing.own_votes(unit, record).get(record.artefact_id, "undecided"),
        "opinions": reviewing.opinions(unit, record), "comments": reviewing.comments(unit, record),
        "may_comment": record.state not in ("draft", "withdrawn", "measured")
        and permissions.permitted(unit.actor, "export:comment", owner=record.organisation_id),
        "until": reviewing.looking_until(unit, record), "decisions": DECISIONS, "votes": VOTES,
    }  # fmt: skip


@router.post("/exports/{request_id}/opinion")
def opinion(
    request_id: str, unit: Annotated[Unit, Acting("export:review")], decision: Typed = "", reason: Typed = "",
    vote: Typed = "",
) -> Response:  # fmt: skip
    """The vote on the file and the opinion; a draft keeps the vote alone, and an opinion decides for what is open."""
    record = repository.locked(unit.session, request_id)
    if vote and (decision == "draft" or vote != "undecided"):
        reviewing.vote(unit, request_id, record.artefact_id, vote)
    if decision != "draft":
        reviewing.review(unit, request_id, decision, reason)
    return frame.go(f"/exports/{request_id}", "export:opinion")


@router.post("/exports/{request_id}/early-return")
def early_return(
    request_id: str, unit: Annotated[Unit, Acting("export:review")], reason: Typed = ""
) -> Response:
    reviewing.early_return(unit, request_id, reason)
    return frame.go(f"/exports/{request_id}", "export:return")


@router.post("/exports/{request_id}/third")
def third(request_id: str, unit: Annotated[Unit, Acting("export:review")], reason: Typed = "") -> Response:
    reviewing.call_third(unit, request_id, reason)
    return frame.go(f"/exports/{request_id}", "export:call_third")


@router.post("/exports/{request_id}/comments")
def comment(
    request_id: str, unit: Annotated[Unit, Acting("export:comment")], words: Typed = "", audience: Typed = "author"
) -> Response:
    reviewing.comment(unit, request_id, words, audience)
    return frame.go(f"/exports/{request_id}#comments", "export:comment")


@router.post("/exports/{request_id}/look")
def look(request_id: str, unit: Annotated[Unit, Acting("export:evidence")], reason: Typed = "") -> Response:
    """Unmasked content for a while; the reason is on record."""
    reviewing.look(unit, request_id, reason)
    return frame.go(f"/exports/{request_id}#sheet", "export:look")


@router.post("/exports/{request_id}/listing")
def listed(request_id: str, unit: Annotated[Unit, Acting("release:download")]) -> Response:
    """Registration and listing package for a data exchange."""
    named = {"content-disposition": f'attachment; filename="listing-{request_id}.zip"'}
    return Response(listing.package(unit, request_id), media_type="application/zip", headers=named)


def recall_rows(unit: Unit) -> list[dict[str, Any]]:
    """Departments' requests for a recall, for those who may read them; those to be decided first."""
    if not permissions.permitted(unit.actor, "recall:read"):
        return []
    names = accounts.names(unit.session)
    rows = [_recall_row(unit, one, names) for one in notices.recall_requests(unit)]
    return sorted(rows, key=lambda row: row["record"].state != "asked")


def _recall_row(unit: Unit, one: RecallRequest, names: dict[str, str]) -> dict[str, Any]:
    record = repository.get(unit.session, one.request_id)
    may = one.state == "asked" and permissions.permitted(unit.actor, "recall:decide")
    return {"record": one, "title": record.title, "by": names.get(one.organisation_id, ""), "may": may,
            "state": RECALL.state(one.state)}  # fmt: skip


@router.get("/release-notices")
def show_notices(request: Request, unit: Annotated[Unit, Acting("release:notice")]) -> Response:
    """Releases and recalls that concern the own organisation; opening the page marks them as read."""
    may_ask = permissions.permitted(unit.actor, "recall:ask")
    rows = [
        {"notice": notice, "title": record.title, "kind": KINDS[notice.kind], "state": EXPORT.state(record.state),
         "fresh": notice.seen_at is None, "href": "" if may_ask else f"/exports/{record.id}",
         "ask": may_ask and notice.kind == "released" and record.state in EXPORT.transition("recall").sources}
        for notice, record, _ in notices.inbox(unit)
    ]  # fmt: skip
    notices.seen(unit)
    return frame.render(request, "exports/notices.html", rows=rows, asked=recall_rows(unit))


@router.post("/exports/{request_id}/recall-requests")
def ask_recall(request_id: str, unit: Annotated[Unit, Acting("recall:ask")], reason: Typed = "") -> Response:
    notices.ask_recall(unit, request_id, reason)
    return frame.go("/release-notices", "recall:ask")


@router.get("/canaries")
def show_planted(request: Request, unit: Annotated[Unit, Acting("canary:read")]) -> Response:
    """Planted cases, and what each officer made of them; never for officers."""
    return frame.render(request, "exports/canaries.html", found=reviewing.catches(unit))


@router.post("/recall-requests/{recall_id}/decision")
def decide_recall(
    recall_id: str, unit: Annotated[Unit, Acting("recall:decide")], transition: Typed = "", reason: Typed = ""
) -> Response:
    notices.decide_recall(unit, recall_id, transition, reason)
    return frame.go("/exports", f"recall:{transition}")
