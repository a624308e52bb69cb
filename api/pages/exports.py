"""出域: requests with their verdict in the reader's words, two-person review, release, recall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import Form, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict
from sqlalchemy import select

from api.deps import Acting, actor_of, platform_of
from api.pages import common, examples, frame, inputs, queue, sheets
from api.pages.common import Step
from api.pages.desk import Desk
from api.pages.reviewing import FIELDS, recall_rows, review_view
from api.pages.views import Choice, Crumb
from api.pages.words import text
from api.pages.words_applications import AUDIENCES
from api.pages.words_subjects import kind_words
from api.routes.shapes import Line, Prose
from policies.text import Text, UserError
from policies.verdict import Verdict
from sandbox.applications import repository as applications
from sandbox.exports import drafting, repository, reviewing, service
from sandbox.exports.gate import verdict_for
from sandbox.exports.model import EXPORT, UNDER_REVIEW
from sandbox.exports.repository import ExportRequest
from sandbox.exports.review import words_for
from sandbox.kernel import editions, oversight, permissions
from sandbox.kernel.unit import Unit
from sandbox.products import repository as products
from sandbox.products import service as runs
from sandbox.products.repository import Artefact, Run

router = frame.page_router()
Typed = Annotated[str, Form()]
STEPS: dict[str, Step] = {
    "submit": lambda unit, one, _reason: service.submit(unit, one),
    "recall": service.recall,
    "withdraw": lambda unit, one, _reason: service.withdraw(unit, one),
}
PROGRESS = ("draft", "check", "review", "release")
PLACE_OF_STATE = {
    "draft": 0, "returned": 0, "blocked": 1, "frozen": 1, "checking": 1, **dict.fromkeys(UNDER_REVIEW, 2),
    "approved": 3,
}  # fmt: skip
UNDER_WAY = ("frozen", "checking", "approved")


class Draft(BaseModel):
    """A request as the form sends it; the audience follows from the application."""

    model_config = ConfigDict(extra="forbid")

    artefact_id: Line
    title: Line
    remark: Prose = ""
    context: dict[str, str]
    also: list[Line] = []


@router.get("/exports")
def show_exports(request: Request, unit: Annotated[Unit, Acting("export:read")]) -> Response:
    """The own requests, or all; for officers their queue, and all with `?view=all`."""
    officer = permissions.permitted(unit.actor, "export:evidence")
    if officer and request.query_params.get("view") != "all":
        return queue.show(request, unit)
    desk, records = Desk.of(unit), service.list_for(unit)
    found = common.listing(request, records, EXPORT, partial(queue.said, desk))
    return frame.render(
        request, "exports/list.html", listing=found, rows=[desk.export(r) for r in found.items], total=len(records),
        may_draft=permissions.permitted(unit.actor, "export:draft"), asked=recall_rows(unit), officer=officer,
        measures=permissions.permitted(unit.actor, "canary:read"),
    )  # fmt: skip


def _artefacts(unit: Unit) -> list[tuple[Artefact, str]]:
    """The own organisation's products, newest first, each with the scenario it was made for."""
    own = (
        select(Artefact, applications.Application.scenario).join(Run, Run.id == Artefact.run_id)
        .join(applications.Application, applications.Application.id == Run.application_id)
        .where(Artefact.organisation_id == unit.actor.organisation_id)
    )  # fmt: skip
    return list(unit.session.execute(own.order_by(Artefact.created_at.desc())).tuples())


def _choices(unit: Unit) -> list[Choice]:
    return [Choice(a.id, f"{a.name}（{a.id}）", scenario) for a, scenario in _artefacts(unit)]


@router.get("/exports/new")
def show_form(request: Request, unit: Annotated[Unit, Acting("export:draft")], artefact: str = "") -> Response:
    return _form(request, unit, {"artefact_id": artefact})


def _form(request: Request, unit: Unit, typed: Mapping[str, Any], error: UserError | None = None) -> Response:
    return frame.render(
        request, "exports/new.html", status=error.status if error else 200, typed=typed, error=error,
        problems=inputs.problems_of(error), artefacts=_choices(unit), context_fields=FIELDS,
        crumbs=[Crumb(text("export.title"), "/exports"), Crumb(text("export.new"))],
    )  # fmt: skip


def _form_again(request: Request, typed: Mapping[str, Any], error: UserError) -> Response:
    with platform_of(request).begin(actor_of(request), request.state.request_id) as unit:
        return _form(request, unit, typed, error)


@router.post("/exports")
def draft(
    request: Request, unit: Annotated[Unit, Acting("export:draft")], artefact_id: Typed = "", title: Typed = "",
    remark: Typed = "", purpose: Typed = "", population: Typed = "", controls: Typed = "",
    also: Annotated[list[str] | None, Form()] = None,
) -> Response:  # fmt: skip
    """Drafts a request for one product, or a group for several; the very same draft again is refused."""
    typed = {"artefact_id": artefact_id.strip(), "title": title.strip(), "remark": remark.strip(), "also": also or []}
    context = {"purpose": purpose, "population": population, "controls": controls}
    frame.show_again(request, partial(_form_again, request, typed | context))
    body = inputs.checked(Draft, typed | {"context": context})
    files = drafting.several(unit, [body.artefact_id, *body.also], body.title, body.remark)
    drafts = {(r.artefact_id, r.title, r.state) for r in service.list_for(unit)}
    inputs.refuse_twin(any((f.artefact_id, f.title, "draft") in drafts for f in files), text("export.twin"))
    made = drafting.draft_together(unit, files, context=body.context)
    return frame.go(_place_of(made), "export:draft")


def _place_of(made: Sequence[ExportRequest]) -> str:
    return f"/exports/{made[0].id}" if len(made) == 1 else f"/export-groups/{made[0].group_id}"


@router.get("/exports/{request_id}")
def show_export(request: Request, request_id: str, unit: Annotated[Unit, Acting("export:read")]) -> Response:
    """One request. Officers and auditors see values, thresholds and the file; the merchant the rule and what helps."""
    record, desk = service.read(unit, request_id), Desk.of(unit)
    officer = permissions.permitted(unit.actor, "export:evidence")
    verdict = _verdict(record, officer)
    return frame.render(
        request, "exports/detail.html", record=record, words=words_for(unit.actor, record),
        state=EXPORT.state(record.state), row=desk.export(record), party=desk.names[record.organisation_id],
        officer=officer, verdict=verdict, titles=_titles(unit, verdict),
        offers=common.offers(unit, EXPORT, record, STEPS), review=review_view(unit, record), context_fields=FIELDS,
        release=_release(unit, record), reason=_reason(unit, record),
        place=PLACE_OF_STATE.get(record.state, 4), progress=[text(f"export.step_{p}") for p in PROGRESS],
        under_way=record.state in UNDER_WAY, artefacts=_choices(unit) if _may_revise(unit, record) else None,
        events=common.trail(unit, record.id, hide_names=officer and reviewing.blind(unit, record)),
        audience=AUDIENCES[record.audience],
        application=applications.get(unit.session, record.application_id),
        crumbs=[Crumb(text("queue.back" if officer else "export.title"), "/exports"), Crumb(record.id)],
        next=queue.after(unit, record) if officer else None,
        files=sum(service.visible(unit, r) for r in repository.together(unit.session, record.group_id)),
        **(_evidence(unit, record, verdict) if officer else {"file": None, "evidence": None}),
    )  # fmt: skip


def _verdict(record: ExportRequest, officer: bool) -> Verdict | None:
    if record.verdict is None:
        return None
    return verdict_for(Verdict.from_dict(record.verdict), "officer" if officer else "merchant")


def _titles(unit: Unit, verdict: Verdict | None) -> dict[str, Text]:
    """Rule → its title, as the edition in force names it."""
    rules = editions.in_force(unit, "export").rules if verdict else ()
    return {rule.id: rule.title for rule in rules}


def _may_revise(unit: Unit, record: ExportRequest) -> bool:
    own = permissions.permitted(unit.actor, "export:draft", owner=record.organisation_id)
    return own and record.state in EXPORT.transition("revise").sources


def _reason(unit: Unit, record: ExportRequest) -> str:
    """What was written when the request was last returned, refused or recalled."""
    if record.state not in ("returned", "rejected", "recalled"):
        return ""
    wanted = ("export:return", "export:reject", "export:recall")
    found = [e.facts.get("reason", "") for e in oversight.trail(unit, record.id) if e.event in wanted]
    return str(found[-1]) if found else ""


def _release(unit: Unit, record: ExportRequest) -> dict[str, Any] | None:
    made = repository.release_of(unit.session, record.id)
    if made is None:
        return None
    own = unit.actor.organisation_id == record.organisation_id
    may = permissions.permitted(unit.actor, "release:download", owner=record.organisation_id)
    return {"made": made, "may": may and record.state == "released",
            "used_up": own and made.downloads >= made.download_limit}  # fmt: skip


def _evidence(unit: Unit, record: ExportRequest, verdict: Verdict | None) -> dict[str, Any]:
    """The file with its marks, and where it comes from. Looking at it is an event."""
    artefact = products.artefact(unit.session, record.artefact_id)
    path = service.reviewed_path(unit, record)
    masked = reviewing.looking_until(unit, record) is None
    basis = service.basis_of(unit, record)
    computed = basis is not None and basis["record"] is not None  # the platform wrote every number of the file
    whole = masked and not (computed and (record.stakes or {}).get("form") == "aggregate")
    sight = service.sight_of(unit, record)
    hiding = "all" if whole else "marked" if masked else ""
    found = sheets.preview(sight, verdict.findings if verdict else (), hiding) if sight else None
    if record.state != "draft":
        unit.audit("export:preview", "export", record.id, artefact=path.name)
    run = products.get(unit.session, artefact.run_id)
    inputs_of = artefact.lineage.get("inputs", {})
    return {
        "file": {"name": artefact.name, "bytes": path.stat().st_size if path.exists() else 0, "sha256": path.name},
        "preview": found,
        "spec": examples.shown(run.spec), "lineage": list(inputs_of.values()),
        "near": runs.standing(unit, run), "kind_words": kind_words, "evidence": basis["summary"] if basis else None,
        "incident": (record.verdict or {}).get("incident", []), "spot": partial(sheets.spot, found),
    }  # fmt: skip


@router.post("/exports/{request_id}/steps")
def step(
    request: Request, request_id: str, unit: Annotated[Unit, Acting("export:read")], transition: Typed = "",
    reason: Typed = "",
) -> Response:  # fmt: skip
    """Submit, review, recall, withdraw: the state machine decides who may and when."""
    common.take(STEPS, transition)(unit, request_id, reason)
    return frame.go(f"/exports/{request_id}", f"export:{transition}")


@router.post("/exports/{request_id}/revise")
def revise(
    request: Request, request_id: str, unit: Annotated[Unit, Acting("export:draft")], artefact_id: Typed = "",
    title: Typed = "", remark: Typed = "", purpose: Typed = "", population: Typed = "", controls: Typed = "",
) -> Response:  # fmt: skip
    """After a block or a return: another product or other words; a new round begins."""
    typed = {"artefact_id": artefact_id, "title": title.strip(), "remark": remark.strip()}
    context = {"purpose": purpose, "population": population, "controls": controls}
    body = inputs.checked(Draft, typed | {"context": context})
    drafting.revise(unit, request_id, **body.model_dump(exclude={"also"}))
    return frame.go(f"/exports/{request_id}", "export:revise")


@router.post("/exports/{request_id}/package")
def download(request: Request, request_id: str, unit: Annotated[Unit, Acting("release:download")]) -> Response:
    """The signed package. A form and not a link, because each download counts."""
    path = service.download(unit, request_id)
    return FileResponse(path, media_type="application/zip", filename=f"release-{request_id}.zip")
