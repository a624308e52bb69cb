"""What a merchant asks for: one file or several in one act, with what the reviewers must be told, until it is
submitted, and again after it came back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from policies.text import Text
from sandbox.applications import repository as applications
from sandbox.exports.model import EXPORT
from sandbox.exports.repository import ExportGroup, ExportRequest, get, together
from sandbox.exports.review import DROPPED
from sandbox.kernel import permissions
from sandbox.kernel.errors import BadInput
from sandbox.kernel.ids import new_id
from sandbox.kernel.unit import Unit
from sandbox.products import repository as products

CONTEXT: dict[str, Text] = {
    "purpose": Text("用途", "purpose"),
    "population": Text("统计人群与范围", "population"),
    "controls": Text("已采取的保护措施", "controls applied"),
}
"""What reviewers must be told about a product: most requests are sent back for want of it."""

MOST = 10
"""Files that one act may ask for: the machine checks all of them at the same time, and a person reads all of them."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One file that is asked for, with the title and the remark that leave with it."""

    artefact_id: str
    title: str
    remark: str


def _context(given: Mapping[str, str]) -> dict[str, str]:
    kept = {key: str(given.get(key, "")).strip() for key in CONTEXT}
    missing = [CONTEXT[key] for key, value in kept.items() if not value]
    if missing:
        raise BadInput(
            "export.context",
            Text(f"请填写{'、'.join(m.zh for m in missing)}", f"Write the {', '.join(m.en for m in missing)}"),
            fix=Text("复核人员据此判断产品，缺少时不能受理", "Reviewers judge by it; without it nothing is accepted"),
        )
    return kept


def draft(
    unit: Unit, *, artefact_id: str, title: str, remark: str, audience: str, context: Mapping[str, str]
) -> ExportRequest:
    """Draft a request to take one artefact out; see `draft_together`."""
    (record,) = draft_together(unit, [Asked(artefact_id, title, remark)], audience=audience, context=context)
    return record


def several(unit: Unit, artefact_ids: Sequence[str], title: str, remark: str) -> list[Asked]:
    """Products under one title and remark; more than one are told apart by the names of their files."""
    ids = list(dict.fromkeys(artefact_ids))
    if len(ids) == 1:
        return [Asked(ids[0], title, remark)]
    names = {one: products.artefact(unit.session, one).name for one in ids}
    return [Asked(one, f"{title}（{name}）"[:_TITLE], remark) for one, name in names.items()]


_TITLE = 300
"""Characters a title may have."""


def draft_together(
    unit: Unit, files: Sequence[Asked], *, context: Mapping[str, str], audience: str | None = None
) -> list[ExportRequest]:  # fmt: skip
    """Draft requests for files of one application in one act; they form a group. `audience`: None is the approved one.

    `context`: purpose, population and controls (`CONTEXT`) of all of them, for the reviewers only. Raises `BadInput`
    without them, for no file or more than `MOST`, one that repeats, and files of several applications.
    """
    permissions.check(unit.actor, "export:draft")
    application = _application_of(unit, files)
    if audience not in (None, application.audience):
        raise BadInput(
            "export.audience",
            Text("使用范围与已批准的申请不一致", "The audience differs from the approved application"),
            fix=Text("请按批准的使用范围填写", "Use the approved audience"),
        )
    group = new_group(unit, application_id=application.id, organisation_id=unit.actor.organisation_id,
                      author_id=unit.actor.id, context=_context(context))  # fmt: skip
    return [_drafted(unit, group, application.audience, number, one) for number, one in enumerate(files, 1)]


def _application_of(unit: Unit, files: Sequence[Asked]) -> applications.Application:
    """The one application that all the files were made under; each is the actor's own."""
    if not 0 < len({one.artefact_id for one in files}) == len(files) <= MOST:
        raise BadInput("export.files", Text(f"请选择 1 至 {MOST} 个不同的产品", f"Choose 1 to {MOST} products"))
    found = set()
    for one in files:
        artefact = products.artefact(unit.session, one.artefact_id)
        permissions.check(unit.actor, "export:draft", owner=artefact.organisation_id)
        found.add(products.get(unit.session, artefact.run_id).application_id)
    if len(found) > 1:
        raise BadInput(
            "export.applications", Text("一次只能申请同一使用申请下的产品", "Products of several applications"),
            fix=Text("请按使用申请分开提交", "Ask for those of each application by themselves"),
        )  # fmt: skip
    return applications.get(unit.session, found.pop())


def new_group(
    unit: Unit, *, application_id: str, organisation_id: str, author_id: str, context: Mapping[str, str]
) -> ExportGroup:  # fmt: skip
    """What is asked for in one act, still without files."""
    made = ExportGroup(
        id=new_id("grp"), organisation_id=organisation_id, application_id=application_id, author_id=author_id,
        context=dict(context), created_at=unit.now,
    )  # fmt: skip
    unit.session.add(made)
    unit.session.flush()
    return made


def _drafted(unit: Unit, group: ExportGroup, audience: str, number: int, one: Asked) -> ExportRequest:
    artefact = products.artefact(unit.session, one.artefact_id)
    record = ExportRequest(
        id=new_id("exp"), organisation_id=artefact.organisation_id, state=EXPORT.initial, state_since=unit.now,
        created_at=unit.now, application_id=group.application_id, artefact_id=artefact.id, title=one.title,
        remark=one.remark, audience=audience, author_id=unit.actor.id, group=group, number=number, frozen=None,
        verdict=None, stakes=None, round=1, canary=None, canary_rule=None,
    )  # fmt: skip
    unit.session.add(record)
    unit.session.flush()
    unit.audit("export:draft", "export", record.id, artefact=artefact.sha256, group=group.id)
    return record


def revise(unit: Unit, request_id: str, *, artefact_id: str | None = None, title: str | None = None,
           remark: str | None = None, context: Mapping[str, str] | None = None) -> ExportRequest:  # fmt: skip
    """Take a blocked or returned request back to draft with another artefact or other words; a new round begins.

    `context` is the whole group's: it stays as long as another of its files is on its way or has left.
    """
    record = get(unit.session, request_id)
    EXPORT.advance(unit, record, "revise")
    if artefact_id is not None:
        artefact = products.artefact(unit.session, artefact_id)
        permissions.check(unit.actor, "export:draft", owner=artefact.organisation_id)
        run = products.get(unit.session, artefact.run_id)
        if run.application_id != record.application_id:
            raise BadInput("export.artefact", Text("产品不属于同一申请", "The artefact belongs to another application"))
        record.artefact_id = artefact.id
    record.title = record.title if title is None else title
    record.remark = record.remark if remark is None else remark
    if context is not None and (said := _context(context)) != record.context:
        _require_free(unit, record)
        record.group.context = said
    record.round, record.frozen, record.verdict, record.stakes = record.round + 1, None, None, None
    return record


def _require_free(unit: Unit, record: ExportRequest) -> None:
    """Nobody has been told, or is being told, what the group's other files are for."""
    beside = [r for r in together(unit.session, record.group_id) if r.id != record.id and r.state not in DROPPED]
    if beside:
        raise BadInput(
            "export.shared_context",
            Text("同组还有文件在核查、复核或已放行，共用的用途、人群和措施不能修改",
                 "Another file of the group is under way or released: purpose, population and controls stay"),
            fix=Text("请保持不变，或为此文件另行申请", "Leave them, or ask for this file by itself"), id=record.id,
        )  # fmt: skip
