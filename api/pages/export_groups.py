"""Several files of one export request as one page: the merchant hands them in together, officers decide on each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Form, Request, Response
from starlette.datastructures import FormData

from api.deps import Acting
from api.pages import frame, queue, views
from api.pages.desk import Desk, of_several
from api.pages.forms import Sent
from api.pages.reviewing import FIELDS
from api.pages.words import text
from api.pages.words_applications import AUDIENCES
from api.pages.words_reviewing import DECISIONS, VOTES
from policies.text import Text
from policies.verdict import Outcome
from sandbox.applications import repository as applications
from sandbox.exports import batches, groups, reviewing
from sandbox.exports.groups import Opinion
from sandbox.exports.model import EXPORT, UNDER_REVIEW
from sandbox.exports.repository import ExportRequest
from sandbox.kernel import permissions
from sandbox.kernel.unit import Unit
from sandbox.products import repository as products

router = frame.page_router()
Typed = Annotated[str, Form()]
UNDECIDED = "undecided"
UNDER_WAY = ("frozen", "checking", "approved")


@dataclass(frozen=True, slots=True)
class Row:
    """One file of the group, as this reader sees it. `why_not`: why this officer may not decide on it now; None where
    they may, or where nobody is asked. `vote`: what this officer has kept."""

    item: views.QueueItem
    id: str
    number: int
    name: str
    outcome: str | None
    rules: tuple[str, ...]
    asked: bool
    why_not: Text | None
    given: int
    needed: int
    opened: bool
    flagged: bool
    vote: str


@router.get("/export-groups/{group_id}")
def show(request: Request, group_id: str, unit: Annotated[Unit, Acting("export:read")]) -> Response:
    """The group's files in their order, what they share, and what this reader may do with several at once."""
    desk, records = Desk.of(unit), groups.read(unit, group_id)
    first, inside = records[0], permissions.permitted(unit.actor, "export:evidence")
    decides = permissions.permitted(unit.actor, "export:review")
    rows = _rows(unit, desk, records, decides=decides)
    needed = reviewing.needed_for(unit, first)
    own = permissions.permitted(unit.actor, "export:submit", owner=first.organisation_id)
    return frame.render(
        request, "exports/group.html", rows=rows, group_id=group_id, title=title(desk, records),
        words=groups.context_for(unit, records), context_fields=FIELDS, inside=inside, decisions=DECISIONS, votes=VOTES,
        decides=decides and any(row.asked and row.why_not is None for row in rows), needed=needed,
        early=decides and any(r.state in UNDER_REVIEW for r in records), party=desk.names[first.organisation_id],
        drafts=own and sum(r.state == "draft" for r in records),
        takes_back=own and any(r.state in EXPORT.transition("withdraw").sources for r in records),
        application=applications.get(unit.session, first.application_id), audience=AUDIENCES[first.audience],
        under_way=any(r.state in UNDER_WAY for r in records), waiting=any(r.state in UNDER_REVIEW for r in records),
        crumbs=[views.Crumb(text("queue.back" if inside else "export.title"), "/exports"), views.Crumb(group_id)],
        next=queue.after_group(unit, group_id) if inside else None,
    )  # fmt: skip


def title(desk: Desk, records: Sequence[ExportRequest]) -> views.Label:
    """What a group is called: its first file, and how many there are."""
    return of_several(queue.title_of(desk, records[0]), len(records))


def _rows(unit: Unit, desk: Desk, records: Sequence[ExportRequest], *, decides: bool) -> list[Row]:
    seen = batches.opened(unit, records) if decides else set()
    rows = []
    for record in records:
        verdict, asked = record.verdict or {}, record.state in UNDER_REVIEW
        given, needed = reviewing.progress(unit, record)
        refused = reviewing.may_review(unit, record) if decides and asked else None
        rows.append(Row(
            item=desk.export(record, mine=decides and asked and refused is None), id=record.id, number=record.number,
            name=products.artefact(unit.session, record.artefact_id).name, outcome=verdict.get("outcome"),
            rules=queue.rules_of(record), asked=asked, why_not=refused, given=given, needed=needed,
            opened=record.id in seen, flagged=verdict.get("outcome") == Outcome.REVIEW,
            vote=reviewing.own_votes(unit, record).get(record.artefact_id, UNDECIDED) if decides and asked else "",
        ))  # fmt: skip
    return rows


@router.post("/export-groups/{group_id}/submit")
def submit(group_id: str, unit: Annotated[Unit, Acting("export:submit")]) -> Response:
    groups.submit(unit, group_id)
    return _back(group_id, "export:submit")


@router.post("/export-groups/{group_id}/withdraw")
def withdraw(group_id: str, unit: Annotated[Unit, Acting("export:withdraw")]) -> Response:
    groups.withdraw(unit, group_id)
    return _back(group_id, "export:withdraw")


@router.post("/export-groups/{group_id}/opinions")
def opinions(group_id: str, unit: Annotated[Unit, Acting("export:review")], form: Sent) -> Response:
    """One opinion on the files that were ticked; `reason.ID` are a file's own words, `vote.ID` is the vote on it."""
    decision, reason = str(form.get("decision", "")), str(form.get("reason", ""))
    said = {str(one): Opinion(decision, str(form.get(f"reason.{one}", ""))) for one in form.getlist("chosen")}
    _keep(unit, group_id, {one: vote for one, vote in _votes(form).items() if one in said and vote != UNDECIDED})
    groups.decide(unit, group_id, said, reason)
    return _back(group_id, "export:opinion")


@router.post("/export-groups/{group_id}/votes")
def votes(group_id: str, unit: Annotated[Unit, Acting("export:review")], form: Sent) -> Response:
    """What this officer thinks of each file, kept without an opinion on it."""
    _keep(unit, group_id, _votes(form))
    return _back(group_id, "export:vote")


def _keep(unit: Unit, group_id: str, votes: Mapping[str, str]) -> None:
    """Those that are not what this officer has kept already."""
    kept = {r.id: reviewing.own_votes(unit, r).get(r.artefact_id, UNDECIDED) for r in groups.read(unit, group_id)}
    if changed := {one: vote for one, vote in votes.items() if kept.get(one) != vote}:
        groups.vote(unit, group_id, changed)


def _votes(form: FormData) -> dict[str, str]:
    """Request → vote, of the fields `vote.ID`."""
    return {name.removeprefix("vote."): str(vote) for name, vote in form.items() if name.startswith("vote.")}


@router.post("/export-groups/{group_id}/early-return")
def early_return(
    group_id: str, unit: Annotated[Unit, Acting("export:review")], chosen: Annotated[list[str] | None, Form()] = None,
    reason: Typed = "",
) -> Response:  # fmt: skip
    """The files that were ticked, or the whole group."""
    groups.early_return(unit, group_id, chosen or [], reason)
    return _back(group_id, "export:return")


def _back(group_id: str, event: str) -> Response:
    return frame.go(f"/export-groups/{group_id}", event)
