"""The officers' queue: what waits, by deadline and risk, a line for each group of files, with filters in the address,
and one opinion for several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated

from fastapi import Form, Request, Response

from api.deps import Acting
from api.pages import common, frame, views
from api.pages.desk import Desk, of_several, urgency
from api.pages.reviewing import recall_rows
from api.pages.words import text
from api.pages.words_reviewing import DECISIONS, FORMS, OUTCOMES
from policies.text import Text
from policies.verdict import worst_of
from sandbox.exports import batches, groups, repository, review, reviewing
from sandbox.exports.groups import Line
from sandbox.exports.model import EXPORT, UNDER_REVIEW
from sandbox.exports.repository import ExportRequest
from sandbox.kernel import permissions
from sandbox.kernel.unit import Unit

router = frame.page_router()
PER_PAGE = 50
FILTERS = ("form", "outcome", "rule", "mine", "due", "sort")


@dataclass(frozen=True, slots=True)
class Row:
    """One group that waits, as this officer sees it. `id`: of its file where it has only one, else empty: files of a
    group are decided on the group's page."""

    item: views.QueueItem
    id: str
    files: int
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
    desk, waiting = Desk.of(unit), groups.queue(unit)
    asked = {name: request.query_params.get(name, "") for name in FILTERS}
    refused = {r.id: reviewing.may_review(unit, r) for line in waiting for r in line.files}
    kept = [line for line in waiting if any(_fits(desk, r, asked, mine=refused[r.id] is None) for r in line.files)]
    if asked["sort"] == "risk":
        kept.sort(key=lambda line: -line.risk)  # stable: what is as risky stays by deadline
    found = common.listing(request, kept, EXPORT, partial(_said, desk), PER_PAGE)
    rows = _rows(unit, desk, found.items, refused)
    present = Counter(rule for line in waiting for rule in _rules(line))
    return frame.render(
        request, "exports/queue.html", listing=found, rows=rows, total=len(waiting), asked=asked, forms=FORMS,
        outcomes=OUTCOMES, rules=sorted(present.items()), recalls=recall_rows(unit), most=batches.MOST,
        decides=permissions.permitted(unit.actor, "export:review"), tally=_tally(desk, waiting, refused),
        filtered=found.filtered or any(asked.values()), decisions=DECISIONS,
    )  # fmt: skip


def rules_of(record: ExportRequest) -> tuple[str, ...]:
    """The rules that found something in its last check."""
    return tuple(sorted({f["rule"] for f in (record.verdict or {}).get("findings", ())}))


def _rules(line: Line) -> tuple[str, ...]:
    return tuple(sorted({rule for record in line.files for rule in rules_of(record)}))


def title_of(desk: Desk, record: ExportRequest) -> views.Label:
    """Its title, as far as this reader may read it."""
    return review.words_for(desk.unit.actor, record)["title"]


def said(desk: Desk, record: ExportRequest) -> str:
    """What a search looks through, as far as this reader may read it."""
    return f"{title_of(desk, record)} {record.id} {desk.names.get(record.organisation_id)}"


def _said(desk: Desk, line: Line) -> str:
    return " ".join(said(desk, record) for record in line.files)


def _fits(desk: Desk, record: ExportRequest, asked: dict[str, str], *, mine: bool) -> bool:
    clock = desk.clocks.at("export", record)
    return all((
        not asked["form"] or (record.stakes or {}).get("form") == asked["form"],
        not asked["outcome"] or (record.verdict or {}).get("outcome") == asked["outcome"],
        not asked["rule"] or asked["rule"] in rules_of(record),
        not asked["mine"] or mine,
        not asked["due"] or _soon(clock, overdue=asked["due"] == "overdue"),
    ))  # fmt: skip


def _soon(clock: views.Clock, *, overdue: bool = False) -> bool:
    """Overdue, or due within two working days; a clock without a date is urgent: nobody knows."""
    return clock.overdue if overdue else clock.days_left is None or clock.days_left <= 2


def _tally(
    desk: Desk, waiting: Sequence[Line], refused: Mapping[str, Text | None]
) -> list[tuple[str, str, int]]:
    """(word, address, count of lines) of what an officer asks first in the morning."""

    def count(fits: Callable[[ExportRequest], bool]) -> int:
        return sum(any(map(fits, line.files)) for line in waiting)

    def clock(record: ExportRequest) -> views.Clock:
        return desk.clocks.at("export", record)

    return [
        ("queue.all", "?", len(waiting)),
        ("queue.mine", "?mine=1", count(lambda r: refused[r.id] is None)),
        ("queue.overdue", "?due=overdue", count(lambda r: _soon(clock(r), overdue=True))),
        ("queue.soon", "?due=soon", count(lambda r: _soon(clock(r)))),
        ("queue.clean", "?outcome=pass", count(lambda r: (r.verdict or {}).get("outcome") == "pass")),
    ]


def _rows(unit: Unit, desk: Desk, lines: Sequence[Line], refused: Mapping[str, Text | None]) -> list[Row]:
    seen = batches.opened(unit, [record for line in lines for record in line.files])
    return [_row(unit, desk, line, refused, seen) for line in lines]


def _row(
    unit: Unit, desk: Desk, line: Line, refused: Mapping[str, Text | None], seen: set[str]
) -> Row:  # fmt: skip
    first, stakes = line.first, [record.stakes or {} for record in line.files]
    verdicts = [record.verdict or {} for record in line.files]
    progress = [reviewing.progress(unit, record) for record in line.files]
    why_not = None if any(refused[r.id] is None for r in line.files) else refused[first.id]
    whole, forms = len(repository.together(unit.session, line.group_id)), {str(one.get("form")) for one in stakes}
    item = replace(
        desk.export(first, mine=why_not is None), href=_address(first, whole),
        title=of_several(title_of(desk, first), len(line.files)),
        clock=min((desk.clocks.at("export", r) for r in line.files), key=urgency),
    )  # fmt: skip
    return Row(
        item=item, id=first.id if whole == 1 else "", files=len(line.files),
        form=text("group.forms") if len(forms) > 1 else FORMS.get(forms.pop(), FORMS["unknown"]),
        level=max((one.get("level") or 0 for one in stakes), default=0) or None,
        findings=sum(len(one.get("findings", ())) for one in verdicts),
        outcome=worst_of(one.get("outcome", "error") for one in verdicts), rules=_rules(line), risk=line.risk,
        given=min(given for given, _ in progress), needed=max(needed for _, needed in progress),
        opened=seen >= {r.id for r in line.files}, why_not=why_not,
    )  # fmt: skip


def _address(record: ExportRequest, files: int) -> str:
    return f"/exports/{record.id}" if files == 1 else f"/export-groups/{record.group_id}"


def after(unit: Unit, record: ExportRequest) -> str | None:
    """The address of what waits next for this officer: the next file of its group, else what `after_group` says."""
    beside = [r for r in repository.together(unit.session, record.group_id) if r.state in UNDER_REVIEW]
    later = [r for r in beside if r.number > record.number]
    found = next((r for r in later if reviewing.may_review(unit, r) is None), None)
    return f"/exports/{found.id}" if found else after_group(unit, record.group_id)


def after_group(unit: Unit, group_id: str) -> str | None:
    """The address of the line that waits next for this officer, in the queue's order; None for nobody's turn."""
    order = groups.queue(unit)
    here = next((n for n, line in enumerate(order) if line.group_id == group_id), -1)
    for line in [*order[here + 1 :], *order[: max(here, 0)]]:
        found = next((r for r in line.files if reviewing.may_review(unit, r) is None), None)
        if found is not None:
            return _address(found, len(repository.together(unit.session, line.group_id)))
    return None


@router.post("/export-queue/opinions")
def opinions(
    unit: Annotated[Unit, Acting("export:review")], chosen: Annotated[list[str] | None, Form()] = None,
    decision: Annotated[str, Form()] = "", reason: Annotated[str, Form()] = "",
) -> Response:  # fmt: skip
    """One opinion on all that were chosen, or on none."""
    batches.decide(unit, chosen or [], decision, reason)
    return frame.go("/exports", "export:opinion")
