"""The officers' queue: what waits, by deadline and risk, with filters in the address, and one opinion for several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import Form, Request, Response

from api.deps import Acting
from api.pages import common, frame, views
from api.pages.desk import Desk
from api.pages.reviewing import recall_rows
from api.pages.words_reviewing import DECISIONS, FORMS, OUTCOMES
from policies.text import Text
from sandbox.exports import batches, review, reviewing
from sandbox.exports.model import EXPORT
from sandbox.exports.repository import ExportRequest
from sandbox.kernel import permissions
from sandbox.kernel.unit import Unit

router = frame.page_router()
PER_PAGE = 50
FILTERS = ("form", "outcome", "rule", "mine", "due")


@dataclass(frozen=True, slots=True)
class Row:
    """One request that waits, as this officer sees it."""

    item: views.QueueItem
    id: str
    form: Text
    level: int | None
    findings: int
    outcome: str
    rules: tuple[str, ...]
    risk: int
    given: int
    needed: int
    opened: bool
    why_not: Text | None


def show(request: Request, unit: Unit) -> Response:
    """What waits for officers; the address holds every filter."""
    desk, waiting = Desk.of(unit), reviewing.queue(unit)
    asked = {name: request.query_params.get(name, "") for name in FILTERS}
    refused = {r.id: reviewing.may_review(unit, r) for r in waiting}
    kept = [r for r in waiting if _fits(desk, r, asked, mine=refused[r.id] is None)]
    found = common.listing(request, kept, EXPORT, partial(said, desk), PER_PAGE)
    rows = _rows(unit, desk, found.items, refused)
    present = Counter(rule for r in waiting for rule in _rules(r))
    return frame.render(
        request, "exports/queue.html", listing=found, rows=rows, total=len(waiting), asked=asked, forms=FORMS,
        outcomes=OUTCOMES, rules=sorted(present.items()), recalls=recall_rows(unit), most=batches.MOST,
        decides=permissions.permitted(unit.actor, "export:review"), tally=_tally(desk, waiting, refused),
        filtered=found.filtered or any(asked.values()), decisions=DECISIONS,
    )  # fmt: skip


def _rules(record: ExportRequest) -> tuple[str, ...]:
    return tuple(sorted({f["rule"] for f in (record.verdict or {}).get("findings", ())}))


def said(desk: Desk, record: ExportRequest) -> str:
    """What a search looks through, as far as this reader may read it."""
    title = review.words_for(desk.unit.actor, record)["title"]
    return f"{title} {record.id} {desk.names.get(record.organisation_id)}"


def _fits(desk: Desk, record: ExportRequest, asked: dict[str, str], *, mine: bool) -> bool:
    clock = desk.clocks.at("export", record)
    return all((
        not asked["form"] or (record.stakes or {}).get("form") == asked["form"],
        not asked["outcome"] or (record.verdict or {}).get("outcome") == asked["outcome"],
        not asked["rule"] or asked["rule"] in _rules(record),
        not asked["mine"] or mine,
        not asked["due"] or _soon(clock, overdue=asked["due"] == "overdue"),
    ))  # fmt: skip


def _soon(clock: views.Clock, *, overdue: bool = False) -> bool:
    """Overdue, or due within two working days; a clock without a date is urgent: nobody knows."""
    return clock.overdue if overdue else clock.days_left is None or clock.days_left <= 2


def _tally(
    desk: Desk, waiting: list[ExportRequest], refused: Mapping[str, Text | None]
) -> list[tuple[str, str, int]]:
    """(word, address, count) of what an officer asks first in the morning."""
    clocks = [desk.clocks.at("export", r) for r in waiting]
    return [
        ("queue.all", "?", len(waiting)),
        ("queue.mine", "?mine=1", sum(why is None for why in refused.values())),
        ("queue.overdue", "?due=overdue", sum(_soon(c, overdue=True) for c in clocks)),
        ("queue.soon", "?due=soon", sum(_soon(c) for c in clocks)),
        ("queue.clean", "?outcome=pass", sum((r.verdict or {}).get("outcome") == "pass" for r in waiting)),
    ]


def _rows(
    unit: Unit, desk: Desk, records: Sequence[ExportRequest], refused: Mapping[str, Text | None]
) -> list[Row]:
    seen = batches.opened(unit, records)
    rows = []
    for record in records:
        stakes, verdict = record.stakes or {}, record.verdict or {}
        given, needed = reviewing.progress(unit, record)
        rows.append(Row(
            item=desk.export(record, mine=refused[record.id] is None), id=record.id,
            form=FORMS.get(str(stakes.get("form")), FORMS["unknown"]),
            level=stakes.get("level"), findings=len(verdict.get("findings", ())),
            outcome=verdict.get("outcome", "error"),
            rules=_rules(record), risk=review.risk(record), given=given, needed=needed, opened=record.id in seen,
            why_not=refused[record.id],
        ))  # fmt: skip
    return rows


def after(unit: Unit, request_id: str) -> str | None:
    """The address of the request that waits next for this officer, in the queue's order; None for nobody's turn."""
    order = reviewing.queue(unit)
    here = next((n for n, r in enumerate(order) if r.id == request_id), -1)
    others = [*order[here + 1 :], *order[: max(here, 0)]]
    found = next((r for r in others if reviewing.may_review(unit, r) is None), None)
    return f"/exports/{found.id}" if found else None


@router.post("/export-queue/opinions")
def opinions(
    unit: Annotated[Unit, Acting("export:review")], chosen: Annotated[list[str] | None, Form()] = None,
    decision: Annotated[str, Form()] = "", reason: Annotated[str, Form()] = "",
) -> Response:  # fmt: skip
    """One opinion on all that were chosen, or on none."""
    batches.decide(unit, chosen or [], decision, reason)
    return frame.go("/exports", "export:opinion")
