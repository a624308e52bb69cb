"""Deliveries: received, read by a job, corrected, withdrawn. The published version stays as it is meanwhile."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from policies.problems import PolicyError
from policies.text import Text, UserError
from sandbox.catalog import corrections, grades, repository
from sandbox.catalog.model import BUSY, DELIVERY, MODES
from sandbox.catalog.repository import Delivery, Resource
from sandbox.kernel import permissions
from sandbox.kernel.errors import BadInput, Conflict, InvalidTransition, LimitExceeded, NotFound
from sandbox.kernel.identity import SYSTEM
from sandbox.kernel.ids import new_id
from sandbox.kernel.unit import Unit

ANSWERABLE = frozenset(
    {
        "reading.ambiguous_encoding", "reading.unknown_encoding", "reading.encoding_mismatch", "reading.one_column",
        "reading.ambiguous_delimiter", "reading.layout_uncertain", "reading.too_many_refused", "reading.unreadable",
        "reading.unbalanced", "reading.recipe_mismatch", "reading.recipe_invalid", "reading.no_work_left",
        "reading.short_header", "delivery.several_tables",
    }
)  # fmt: skip
"""errors that another recipe may answer: an operator decides; all others go back to the department"""


# ---- arrival ----


def store_delivery(inbox: Path, stream: BinaryIO, limit_bytes: int) -> tuple[str, int]:
    """Copy a delivered file into the inbox under its SHA-256; returns (digest, bytes). Raises `LimitExceeded`.

    The copy is complete before it gets its name, so a broken upload leaves nothing that could be taken for a file.
    """
    inbox.mkdir(parents=True, exist_ok=True)
    digest, size, part = hashlib.sha256(), 0, inbox / f".{new_id('part')}"
    try:
        with part.open("wb") as target:
            while block := stream.read(1 << 20):
                size += len(block)
                if size > limit_bytes:
                    raise LimitExceeded(
                        "delivery.too_large",
                        Text(f"文件超过 {limit_bytes >> 20} MB 上限", f"The limit is {limit_bytes >> 20} MB a file"),
                        fix=Text("请分批交付，或请运营机构调整上限", "Deliver in parts, or ask the operator"),
                    )  # fmt: skip
                digest.update(block)
                target.write(block)
        part.replace(inbox / digest.hexdigest())
    finally:
        part.unlink(missing_ok=True)
    return digest.hexdigest(), size


def check_delivery(unit: Unit, resource_id: str, mode: str = "replace") -> Resource:
    """The resource, locked, if the actor may deliver to it now; asked before a single byte is stored.

    One delivery of a table at a time: while the pipeline holds one, the next is refused in clear words. Raises
    `BadInput` for an unknown mode or an append to nothing, `InvalidTransition` for a withdrawn resource.
    """
    resource = repository.get(unit.session, resource_id, locked=True)
    permissions.check(unit.actor, "resource:deliver", owner=resource.organisation_id)
    if resource.state == "withdrawn":
        raise InvalidTransition(
            "delivery.withdrawn", Text("资源已下架，不能再交付", "The resource has been withdrawn"),
            fix=Text("请重新登记资源", "Register a new resource"), id=resource.id,
        )  # fmt: skip
    if mode not in MODES or (mode == "append" and resource.current_version is None):
        raise BadInput(
            "delivery.mode", Text("还没有已发布的版本可以追加", "There is no published version to add rows to"),
            fix=Text("请以整表方式交付第一版", "Deliver the first version as a whole table"), id=resource.id,
        )  # fmt: skip
    _refuse_while_busy(unit, resource)
    return resource


def _refuse_while_busy(unit: Unit, resource: Resource) -> None:
    held = repository.pending(unit.session, resource.id)
    if held is not None and held.state in BUSY:
        raise Conflict(
            "delivery.in_progress",
            Text(f"第 {held.number} 次交付正在读取，完成前不能再次交付", f"Delivery {held.number} is being read"),
            fix=Text("请待其读取完成后再交付", "Deliver again once it has been read"), id=resource.id,
        )  # fmt: skip


def deliver(
    unit: Unit, resource_id: str, *, file_name: str, sha256: str, size: int, mode: str = "replace",
    round_id: str | None = None,
) -> Delivery:  # fmt: skip
    """A department delivers a stored file, or its source does in a refresh round; the ingest job starts on commit.

    `mode` is "replace" (the file is the whole table) or "append" (its rows are added to the published version). The
    same bytes in the same mode again are refused, unless they were sent back. What waited for confirmation is replaced.
    """
    resource = check_delivery(unit, resource_id, mode)
    if mode == "regrade":
        raise BadInput("delivery.mode", Text("交付方式应为整表或追加", "A delivery replaces or appends"))
    if size == 0:
        raise BadInput("delivery.empty", Text("文件是空的", "The file is empty"),
                       fix=Text("请检查导出程序后重新交付", "Check it and deliver again"), id=resource.id)  # fmt: skip
    if repository.repeated(unit.session, resource.id, mode, sha256):
        raise Conflict(
            "delivery.repeated",
            Text("这份文件已经交付过，内容完全相同", "This very file has been delivered before"),
            fix=Text("无需重复交付；如有更新请交付新文件", "Nothing to do; deliver a new file when the data changes"),
            id=resource.id,
        )
    supersede(unit, repository.pending(unit.session, resource.id))
    made = record(unit, resource, mode, file_name, sha256, size)
    unit.audit("delivery:receive", "delivery", made.id, resource=resource.id, mode=mode, sha256=sha256, bytes=size)
    corrections.answer(unit, resource.id)
    start(unit, made, "ingest", round_id)
    return made


def record(
    unit: Unit, resource: Resource, mode: str, file_name: str, sha256: str, size: int, reason: str = ""
) -> Delivery:
    """A new delivery, numbered within its resource."""
    earlier = repository.deliveries(unit.session, resource.id)
    made = Delivery(
        id=new_id("dlv"), organisation_id=resource.organisation_id, state=DELIVERY.initial, state_since=unit.now,
        created_at=unit.now, resource_id=resource.id, number=earlier[0].number + 1 if earlier else 1, mode=mode,
        file_name=file_name, file_sha256=sha256, bytes=size, delivered_by=unit.actor.id, reason=reason, attempt=1,
        job_id=None, version=None, recipe=None, error=None, preview=None,
    )  # fmt: skip
    unit.session.add(made)
    unit.session.flush()
    return made


def start(unit: Unit, delivery: Delivery, kind: str, round_id: str | None = None) -> None:
    """Ask for the job that works on the delivery; its subject is the resource."""
    job = unit.enqueue(
        kind, "resource", delivery.resource_id, delivery=delivery.id, sha256=delivery.file_sha256,
        file_name=delivery.file_name, department_id=delivery.organisation_id, round_id=round_id,
    )  # fmt: skip
    delivery.job_id = job.id


def supersede(unit: Unit, delivery: Delivery | None) -> None:
    """What a delivery takes the place of ends, by the system, in the same transaction."""
    if delivery is None:
        return
    DELIVERY.advance(unit.acting_as(SYSTEM), delivery, "supersede")
    close(unit, delivery)


def close(unit: Unit, delivery: Delivery) -> None:
    """Nothing of a delivery's rows is kept in the database once nobody has to look at them."""
    delivery.preview = None
    if delivery.version is not None:
        grades.drop_lowerings(unit.acting_as(SYSTEM), delivery.resource_id, delivery.version)


def withdraw(unit: Unit, delivery_id: str) -> Delivery:
    """The department takes back a delivery that has not been published."""
    delivery = repository.delivery(unit.session, delivery_id)
    DELIVERY.advance(unit, delivery, "withdraw")
    close(unit, delivery)
    return delivery


@DELIVERY.guard("brought_data")
def _brought_data(_unit: Unit, delivery: Delivery) -> None:
    """A new look at the grades is answered by confirming them, never by withdrawing it."""
    if delivery.mode == "regrade":
        raise InvalidTransition(
            "delivery.regrade", Text("重新分级不能撤回，请确认分级", "A regrading is confirmed, not withdrawn"),
            fix=Text("有异议时可先申请降级", "Ask for a lowering first if you disagree"), id=delivery.id,
        )  # fmt: skip


@DELIVERY.guard("alone")
def _alone(unit: Unit, delivery: Delivery) -> None:
    """A delivery that was sent back is not read again beside a later one."""
    resource = repository.get(unit.session, delivery.resource_id)
    other = repository.pending(unit.session, resource.id)
    if resource.state == "withdrawn" or (other is not None and other.id != delivery.id):
        raise Conflict(
            "delivery.not_alone",
            Text("之后已有新的交付，这一份不再读取", "A later delivery has taken its place"),
            fix=Text("请查看最新一次交付", "Look at the newest delivery"), id=delivery.id,
        )  # fmt: skip


# ---- reading ----


def begin_reading(unit: Unit, delivery_id: str) -> Delivery:
    """The job takes the delivery up. Raises `Conflict` when a later one has taken its place."""
    delivery = repository.delivery(unit.session, delivery_id)
    repository.get(unit.session, delivery.resource_id, locked=True)
    DELIVERY.advance(unit, delivery, "read", attempt=delivery.attempt)
    delivery.error = None
    return delivery


def keep_preview(unit: Unit, delivery_id: str, preview: Mapping[str, Any]) -> None:
    """Keep the head of the file for the people who decide how it is read, until the delivery is settled.

    `preview`: {"decisions": {…}, "lines": [{"line": n, "role": "preamble|header|blank|record|quarantined|aside",
    "raw": text, "cells": […]}]}.
    """
    permissions.check(unit.actor, "resource:ingest")
    kept = {"decisions": preview["decisions"], "lines": preview["lines"]}
    repository.delivery(unit.session, delivery_id).preview = kept


def failed(unit: Unit, delivery_id: str, error: UserError) -> None:
    """The job could not take the delivery in: a question to the operator, or back to the department with the reason.

    The resource and its published version stay as they are. A policy that does not load says nothing of the data: a
    correction slip stays answered until somebody has the delivery read again.
    """
    delivery = repository.delivery(unit.session, delivery_id)
    DELIVERY.advance(unit, delivery, "ask" if error.code in ANSWERABLE else "refuse", code=error.code)
    delivery.error = {
        "code": error.code, "text": error.text.as_dict(), "fix": error.fix.as_dict() if error.fix else None,
        "detail": _printable(error.detail),
    }  # fmt: skip
    if delivery.state == "refused" and not isinstance(error, PolicyError):
        corrections.judge(unit, delivery.resource_id, None, {})


def _printable(detail: Any) -> Any:
    """An error's detail as JSON. It holds names, counts and places, never a value of a record (`UserError`)."""
    if isinstance(detail, Mapping):
        return {str(k): _printable(v) for k, v in detail.items()}
    if isinstance(detail, Text):
        return detail.as_dict()
    if isinstance(detail, list | tuple | set | frozenset):
        return [_printable(v) for v in detail]
    return detail if isinstance(detail, str | int | float | bool | None) else str(detail)


def correct(unit: Unit, delivery_id: str, recipe: Mapping[str, Any]) -> Delivery:
    """An operator says how the file is to be read; the stored bytes are read again.

    Whether `recipe` is a whole recipe is checked by the job, which knows its form: one that does not hold comes back
    as a question (`reading.recipe_invalid`).
    """
    delivery = repository.delivery(unit.session, delivery_id)
    if delivery.mode == "regrade" or not (unit.settings.inbox / delivery.file_sha256).exists():
        raise NotFound(
            "delivery.no_file", Text("这次交付没有可以重新读取的文件", "There is no file of this delivery to read"),
            fix=Text("请数源部门重新交付", "The department should deliver it again"), id=delivery.id,
        )  # fmt: skip
    before = delivery.version
    repository.get(unit.session, delivery.resource_id, locked=True)
    DELIVERY.advance(unit, delivery, "correct", decisions=sorted(recipe), attempt=delivery.attempt + 1)
    if before is not None:
        grades.drop_lowerings(unit.acting_as(SYSTEM), delivery.resource_id, before)
    delivery.recipe, delivery.error, delivery.version = dict(recipe), None, None
    delivery.attempt += 1
    start(unit, delivery, "ingest")
    return delivery


# ---- looking ----


def read(unit: Unit, delivery_id: str) -> Delivery:
    """One delivery, for those who govern its resource."""
    delivery = repository.delivery(unit.session, delivery_id)
    permissions.check(unit.actor, "resource:read", owner=delivery.organisation_id)
    return delivery


def waiting_for(unit: Unit) -> list[Delivery]:
    """Deliveries on their way (and refused ones that nothing followed) that this person may see."""
    found = repository.waiting_deliveries(unit.session)
    return [d for d in found if permissions.permitted(unit.actor, "resource:read", owner=d.organisation_id)]
