"""Use cases of the catalogue: register, deliver, take in a version, confirm grades, publish, browse."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy.orm import Session

from policies.text import Text, UserError
from sandbox.catalog.model import RESOURCE
from sandbox.catalog.repository import (
    Resource,
    ResourceColumn,
    ResourceVersion,
    by_name,
    columns,
    every,
    get,
    version,
    version_by_digest,
    versions,
)
from sandbox.kernel import jobs, permissions
from sandbox.kernel.errors import BadInput, Conflict, InvalidTransition, LimitExceeded, NotPermitted
from sandbox.kernel.ids import new_id
from sandbox.kernel.unit import Unit


@dataclass(frozen=True, slots=True)
class GradedColumn:
    """A column as the pipeline proposes it."""

    name: str
    type: str
    comment: str
    category: str
    level: int
    sensitive: bool
    identifier_role: str
    entity: str | None
    rule: str
    evidence: list[str]
    missing: int
    distinct: int


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What the ingest pipeline hands over for one delivery."""

    file_name: str
    file_sha256: str
    lake_version: int
    lake_digest: str
    rows_in: int
    rows_loaded: int
    rows_quarantined: int
    recipe: dict[str, Any]
    accounting: dict[str, Any]
    findings: list[Any]
    quality: dict[str, Any]
    grading: dict[str, Any]
    level: int
    columns: list[GradedColumn]


def register(
    unit: Unit, *, name: str, description: str, update_cycle: str, registration_code: str,
    entity_keys: Mapping[str, str], declared: Mapping[str, Any] | None = None,
) -> Resource:  # fmt: skip
    """A department registers a resource. Raises `Conflict` when it already has one of that name."""
    permissions.check(unit.actor, "resource:register")
    if by_name(unit.session, unit.actor.organisation_id, name):
        raise Conflict(
            "resource.exists",
            Text(f"本部门已登记名为“{name}”的资源", f"Your department already has a resource named “{name}”"),
            fix=Text("请直接交付新版本", "Deliver a new version instead"),
        )
    resource = Resource(
        id=new_id("res"), organisation_id=unit.actor.organisation_id, state=RESOURCE.initial, state_since=unit.now,
        created_at=unit.now, name=name, description=description, registration_code=registration_code,
        update_cycle=update_cycle, entity_keys=dict(entity_keys), declared=dict(declared or {}),
        current_version=None, level=None, simulated_version=None, simulation=None,
    )  # fmt: skip
    unit.session.add(resource)
    unit.session.flush()
    unit.audit("resource:register", "resource", resource.id, registration=registration_code)
    return resource


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


def check_delivery(unit: Unit, resource_id: str) -> None:
    """Raise unless the actor may deliver to this resource now; asked before a single byte is stored."""
    RESOURCE.check(unit, get(unit.session, resource_id), "deliver")


def deliver(
    unit: Unit, resource_id: str, *, file_name: str, sha256: str, size: int, round_id: str | None = None
) -> Resource:
    """A department delivers a stored file, or its source does in a refresh round; the ingest job starts on commit.

    The same bytes again are refused as already delivered: nothing is loaded twice.
    """
    resource = get(unit.session, resource_id)
    RESOURCE.check(unit, resource, "deliver")
    if size == 0:
        raise BadInput("delivery.empty", Text("文件是空的", "The file is empty"),
                       fix=Text("请检查导出程序后重新交付", "Check it and deliver again"), id=resource.id)  # fmt: skip
    if version_by_digest(unit.session, resource.id, sha256):
        raise Conflict(
            "delivery.repeated",
            Text("这份文件已经交付过，内容完全相同", "This very file has been delivered before"),
            fix=Text("无需重复交付；如有更新请交付新文件", "Nothing to do; deliver a new file when the data changes"),
            id=resource.id,
        )
    RESOURCE.advance(unit, resource, "deliver", sha256=sha256, bytes=size)
    unit.enqueue(
        "ingest", "resource", resource.id, department_id=resource.organisation_id, round_id=round_id, sha256=sha256,
        file_name=file_name,
    )  # fmt: skip
    return resource


def delivered_digests(session: Session, resource_id: str) -> set[str]:
    """SHA-256 of every file this resource was given, taken in or sent back."""
    asked = [j for j in jobs.of_subject(session, "resource", resource_id) if j.kind == "ingest"]
    return {str(j.payload["sha256"]) for j in asked} | {v.file_sha256 for v in versions(session, resource_id)}


def take_in(unit: Unit, resource_id: str, taken: TakenIn) -> ResourceVersion:
    """Record an ingested delivery as a new version with proposed grades."""
    resource = get(unit.session, resource_id)
    RESOURCE.advance(
        unit, resource, "propose_grade", rows_in=taken.rows_in, rows_loaded=taken.rows_loaded,
        rows_quarantined=taken.rows_quarantined, level=taken.level, lake_version=taken.lake_version,
    )  # fmt: skip
    number = (resource.current_version or 0) + 1
    row = ResourceVersion(
        id=new_id("ver"), resource_id=resource.id, number=number, created_at=unit.now, file_name=taken.file_name,
        file_sha256=taken.file_sha256, lake_version=taken.lake_version, lake_digest=taken.lake_digest,
        rows_in=taken.rows_in, rows_loaded=taken.rows_loaded, rows_quarantined=taken.rows_quarantined,
        recipe=taken.recipe, accounting=taken.accounting, findings=taken.findings, quality=taken.quality,
        grading=taken.grading,
    )  # fmt: skip
    unit.session.add(row)
    resource.current_version, resource.level = number, taken.level
    _replace_columns(unit, resource, taken.columns)
    return row


def _replace_columns(unit: Unit, resource: Resource, graded: list[GradedColumn]) -> None:
    for old in columns(unit.session, resource.id):
        unit.session.delete(old)
    unit.session.flush()
    for position, column in enumerate(graded):
        unit.session.add(
            ResourceColumn(
                id=new_id("col"), resource_id=resource.id, position=position, confirmed=False, name=column.name,
                type=column.type, comment=column.comment, category=column.category, level=column.level,
                sensitive=column.sensitive, identifier_role=column.identifier_role, entity=column.entity,
                rule=column.rule, evidence=column.evidence, missing=column.missing, distinct=column.distinct,
            )
        )  # fmt: skip
    unit.session.flush()


def delivery_failed(unit: Unit, resource_id: str, error: UserError) -> None:
    """The ingest job could not take the delivery in: back to the department with the reason."""
    RESOURCE.advance(unit, get(unit.session, resource_id), "ingest_failed", code=error.code)


def retake(unit: Unit, resource_id: str, job_id: str) -> None:
    """A failed or cancelled ingest is tried again: the delivery is in governance once more.

    Raises `Conflict` when another delivery is being taken in.
    """
    resource = get(unit.session, resource_id)
    others = [j for j in jobs.of_subject(unit.session, "resource", resource.id) if j.kind == "ingest"]
    if any(j.id != job_id and j.state in jobs.LIVE for j in others):
        raise Conflict(
            "delivery.superseded",
            Text("该资源已有新的交付在治理中，旧任务不再重试", "A newer delivery is in governance; the old job stays"),
            fix=Text("请等待新交付的结果", "Wait for the newer delivery"), id=resource.id,
        )  # fmt: skip
    if resource.state == "rejected":
        RESOURCE.advance(unit, resource, "retake", job=job_id)


def change_grade(unit: Unit, resource_id: str, column_name: str, level: int, reason: str) -> ResourceColumn:
    """The department raises a column's level before confirming.

    Lowering below the machine's proposal needs a second person (regulation.md §3 row 4); until that step exists it is
    refused.
    """
    resource = get(unit.session, resource_id)
    RESOURCE.check(unit, resource, "confirm_grade")
    column = next((c for c in columns(unit.session, resource.id) if c.name == column_name), None)
    if column is None:
        raise BadInput("column.not_found", Text(f"没有名为“{column_name}”的列", f"There is no column “{column_name}”"))
    if not 1 <= level <= 4 or not reason.strip():
        raise BadInput("grade.incomplete", Text("级别应为 1–4，并须写明理由", "A level is 1 to 4 and needs a reason"))
    if level < column.level:
        raise NotPermitted(
            "grade.lowering",
            Text("降低级别需要第二人复核，本步骤不能单独办理", "Lowering a level needs a second person"),
            fix=Text("请先按建议级别确认", "Confirm the proposed level first"),
            id=resource.id,
        )
    unit.audit("resource:regrade", "resource", resource.id, column=column.name, source=column.level, target=level,
               reason=reason)  # fmt: skip
    column.level = level
    resource.level = max(resource.level or 4, level)
    return column


@RESOURCE.guard("levels_hold")
def _levels_hold(unit: Unit, resource: Resource) -> None:
    """The dataset's level is never below its highest column (GB/T 43697; reference regulation.md §5.3)."""
    highest = max((c.level for c in columns(unit.session, resource.id)), default=4)
    if resource.level is None or resource.level < highest:
        raise InvalidTransition(
            "grade.below_columns",
            Text("数据集级别低于其最高列级别", "The dataset's level is below its highest column"),
            fix=Text("请先调整级别", "Raise the level first"), id=resource.id,
        )  # fmt: skip


@RESOURCE.guard("quality_reached")
def _quality_reached(unit: Unit, resource: Resource) -> None:
    """Publication needs the quality verdict of the current version not to block."""
    number = resource.current_version
    verdict = version(unit.session, resource.id, number).quality.get("verdict") if number else None
    if verdict is None or verdict["outcome"] in ("block", "error"):
        raise InvalidTransition(
            "quality.below_threshold",
            Text("数据质量未达到发布要求", "The data's quality is below what publication needs"),
            fix=Text("请数源部门按整改单修复后重新交付", "The department should repair and deliver again"),
            id=resource.id,
        )


def confirm_grade(unit: Unit, resource_id: str) -> Resource:
    """The department confirms the grades of all columns."""
    resource = get(unit.session, resource_id)
    RESOURCE.advance(unit, resource, "confirm_grade", level=resource.level)
    for column in columns(unit.session, resource.id):
        column.confirmed = True
    return resource


def publish(unit: Unit, resource_id: str) -> Resource:
    """The operator publishes the resource; simulated data is made right after."""
    resource = get(unit.session, resource_id)
    RESOURCE.advance(unit, resource, "publish")
    unit.enqueue("simulate", "resource", resource.id)
    return resource


def withdraw(unit: Unit, resource_id: str, reason: str) -> Resource:
    resource = get(unit.session, resource_id)
    RESOURCE.advance(unit, resource, "withdraw", reason=reason)
    return resource


def publish_simulated(unit: Unit, resource_id: str, lake_version: int, simulation: Mapping[str, Any]) -> Resource:
    """Record simulated data that passed every gate as the resource's published twin."""
    permissions.check(unit.actor, "simulated:generate")
    resource = get(unit.session, resource_id)
    if simulation["verdict"]["outcome"] not in ("pass", "review"):
        raise InvalidTransition("simulated.gate", Text("仿真数据未通过检验，不能发布", "It failed its gates"),
                                id=resource.id)  # fmt: skip
    resource.simulated_version, resource.simulation = lake_version, dict(simulation)
    unit.audit("simulated:publish", "resource", resource.id, lake_version=lake_version,
               engine=simulation["manifest"]["engine"]["used"])  # fmt: skip
    return resource


def read(unit: Unit, resource_id: str) -> Resource:
    """A resource with everything about it, for those who govern it."""
    resource = get(unit.session, resource_id)
    permissions.check(unit.actor, "resource:read", owner=resource.organisation_id)
    return resource


def list_for(unit: Unit) -> list[Resource]:
    """Resources the actor governs: a department's own, or all."""
    permissions.check(unit.actor, "resource:read")
    scope = permissions.PERMISSIONS["resource:read"][unit.actor.role]
    own = unit.actor.organisation_id if scope is permissions.Scope.OWN else None
    return every(unit.session, organisation_id=own)


def catalogue(unit: Unit) -> list[Resource]:
    """Published resources: what everyone signed in may see (names, columns, grades; never a value)."""
    permissions.check(unit.actor, "catalogue:browse")
    return every(unit.session, state="published")


def entry(unit: Unit, resource_id: str) -> Resource:
    """One published catalogue entry; an unpublished one does not exist for browsers."""
    permissions.check(unit.actor, "catalogue:browse")
    resource = get(unit.session, resource_id)
    governs = permissions.permitted(unit.actor, "resource:read", owner=resource.organisation_id)
    if resource.state != "published" and not governs:
        raise permissions.out_of_reach("resource:read")
    return resource
