"""整改单: the operator issues it, the department reads, prints and answers it with a delivery."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from fastapi import Form, Request, Response

from api.deps import Acting
from api.pages import common, frame
from api.pages.common import Step
from api.pages.desk import Desk
from api.pages.views import Crumb
from api.pages.words import text
from api.pages.words_quality import why_apart
from sandbox.catalog import corrections
from sandbox.catalog.corrections import CORRECTION, Correction
from sandbox.kernel import clocks
from sandbox.kernel.errors import NotFound
from sandbox.kernel.unit import Unit

router = frame.page_router()
Typed = Annotated[str, Form()]
STEPS: dict[str, Step] = {"withdraw": corrections.withdraw}
_MEDIA = {"json": "application/json", "csv": "text/csv; charset=utf-8", "html": "text/html; charset=utf-8"}
_HEADS = ("kind", "want", "ab", "row", "line", "cell", "fix")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@router.get("/corrections")
def show_corrections(request: Request, unit: Annotated[Unit, Acting("correction:read")]) -> Response:
    """The department's own slips, or all."""
    desk, records = Desk.of(unit), corrections.list_for(unit)
    found = common.listing(request, records, CORRECTION, lambda s: f"{s.content['resource']} {s.id}")
    return frame.render(
        request, "corrections/list.html", listing=found, rows=[desk.correction(s) for s in found.items],
        total=len(records),
    )  # fmt: skip


@router.post("/resources/{resource_id}/corrections")
def issue(resource_id: str, unit: Annotated[Unit, Acting("correction:issue")]) -> Response:
    """Issues a slip for the current version."""
    slip = corrections.issue(unit, resource_id)
    return frame.go(f"/corrections/{slip.id}", "correction:issue")


@router.get("/corrections/{slip_id}")
def show_correction(
    request: Request, slip_id: str, unit: Annotated[Unit, Acting("correction:read")]
) -> Response:
    slip = corrections.read(unit, slip_id)
    return frame.render(
        request, "corrections/detail.html", slip=slip, content=slip.content, state=CORRECTION.state(slip.state),
        department=common.organisation(unit, slip.organisation_id), clock=common.Clocks.of(unit).at("correction", slip),
        offers=common.offers(unit, CORRECTION, slip, STEPS), events=common.trail(unit, slip.id),
        crumbs=[Crumb(text("correction.title"), "/corrections"), Crumb(slip.content["resource"])],
    )  # fmt: skip


@router.get("/corrections/{slip_id}/file.{form}")
def download(
    request: Request, slip_id: str, form: str, unit: Annotated[Unit, Acting("correction:read")]
) -> Response:
    """The slip as a page to print that needs nothing else, as JSON, or as a table of what is to be corrected."""
    slip = corrections.read(unit, slip_id)
    if form not in _MEDIA:
        raise NotFound.of("correction", slip_id)
    document = _document(unit, slip)
    if form == "json":
        body = json.dumps(document, ensure_ascii=False, indent=1)
    elif form == "csv":
        body = _table(document)
    else:
        page = frame.fragment(request, "corrections/print.html", slip=document)
        body = bytes(page.body).decode()
    headers = {"content-disposition": f'attachment; filename="correction-{slip.id}.{form}"'}
    return Response(body, media_type=_MEDIA[form], headers=headers)


@router.post("/corrections/{slip_id}/steps")
def step(
    slip_id: str, unit: Annotated[Unit, Acting("correction:read")], transition: Typed = "", reason: Typed = ""
) -> Response:
    """Withdraw: the state machine decides who may and when."""
    common.take(STEPS, transition)(unit, slip_id, reason)
    return frame.go(f"/corrections/{slip_id}", f"correction:{transition}")


def _document(unit: Unit, slip: Correction) -> dict[str, Any]:
    """The slip with what is not part of its content: number, department, state, deadline."""
    running = clocks.history(unit.session, "correction", slip.id)
    return {
        "id": slip.id, "state": slip.state, "department": common.organisation(unit, slip.organisation_id),
        "issued_at": slip.created_at.isoformat(), "due_on": running[-1].due_on if running else None,
        "deadline_edition": running[-1].edition if running else None, **slip.content,
    }  # fmt: skip


def _table(document: Mapping[str, Any]) -> str:
    """One line a failing rule and row, then one a reason of quarantine. UTF-8 with BOM, formulas defused for Excel."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([text(f"correction.csv_{name}").zh for name in _HEADS])
    for row in _lines(document):
        writer.writerow([f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in row])
    return "\ufeff" + out.getvalue()


def _lines(document: Mapping[str, Any]) -> Iterator[list[str]]:
    for rule in document["rules"]:
        said = [rule["indicator"], rule["text"]["zh"], f"{rule['a']}/{rule['b']}"]
        if not rule["samples"]:
            yield [*said, "", "", "", rule["fix"]["zh"]]
        for sample in rule["samples"]:
            cells = "；".join(f"{column}：{value or '空'}" for column, value in sample["values"].items())
            line = "" if sample["line"] is None else str(sample["line"])
            yield [*said, str(sample["row"] + 1), line, cells, rule["fix"]["zh"]]
    for apart in document["quarantine"]:
        reason = why_apart(apart["reason"]).zh
        places = "、".join(map(str, apart["lines"]))
        yield ["", f"{text('correction.quarantine').zh}：{reason}", str(apart["count"]), "", places, "", ""]
