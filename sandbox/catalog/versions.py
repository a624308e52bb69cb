"""Versions: made from what a delivery became, graded beside the published one, confirmed, published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from policies.text import Text
from sandbox.catalog import corrections, deliveries, grades, repository, twins
from sandbox.catalog.grades import GradedColumn
from sandbox.catalog.model import DELIVERY, RESOURCE
from sandbox.catalog.protection import Grade
from sandbox.catalog.repository import Delivery, Resource, ResourceColumn, ResourceVersion
from sandbox.kernel import permissions
from sandbox.kernel.errors import InvalidTransition
from sandbox.kernel.ids import new_id
from sandbox.kernel.unit import Unit


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What the ingest pipeline hands over for one delivery."""

    file_name: str
    file_sha256: str
    lake_version: int
    raw_version: int | None
    quarantine_version: int | None
    lake_digest: str
    rows: int
    """rows of the whole version; the next three count what this delivery brought"""
    rows_in: int
    rows_loaded: int
    rows_quarantined: int
    recipe: dict[str, Any]
    accounting: dict[str, Any]
    findings: list[Any]
    quality: dict[str, Any]
    grading: dict[str, Any]
    columns: list[GradedColumn]


def take_in(unit: Unit, delivery_id: str, taken: TakenIn) -> ResourceVersion:
    """Record what a delivery became as a new version beside the published one.

    Columns whose confirmed grade still holds carry it over. When all do, on the same columns, the version takes
    effect by the system; otherwise the department confirms what changed.
    """
    delivery = repository.delivery(unit.session, delivery_id)
    resource = repository.get(unit.session, delivery.resource_id, locked=True)
    row = _version(unit, delivery, taken)
    before = {c.name: c for c in repository.columns(unit.session, resource.id)}
    columns = [_column(unit, row, place, c, before.get(c.name)) for place, c in enumerate(taken.columns)]
    row.level = grades.level_of(row.grading, columns)
    delivery.version = row.number
    unit.session.flush()
    if delivery.mode != "regrade":
        corrections.judge(unit, resource.id, row.number, row.quality)
    facts: dict[str, Any] = {
        "version": row.number, "rows_in": row.rows_in, "rows_loaded": row.rows_loaded, "level": row.level,
        "rows_quarantined": row.rows_quarantined, "lake_version": row.lake_version,
    }  # fmt: skip
    if _nothing_new(unit, resource, row, taken.columns, columns):
        DELIVERY.advance(unit, delivery, "carry_over", **facts, columns=len(columns))
        _take_effect_if_fit(unit, resource, delivery)
        return row
    DELIVERY.advance(unit, delivery, "propose", **facts, changed=sum(not c.confirmed for c in columns))
    if delivery.mode == "regrade":
        grades.raise_published(unit, resource, taken.columns)
    return row


def _version(unit: Unit, delivery: Delivery, taken: TakenIn) -> ResourceVersion:
    number = repository.last_number(unit.session, delivery.resource_id) + 1
    row = ResourceVersion(
        id=new_id("ver"), resource_id=delivery.resource_id, number=number, delivery_id=delivery.id,
        created_at=unit.now, file_name=taken.file_name, file_sha256=taken.file_sha256,
        lake_version=taken.lake_version, raw_version=taken.raw_version, quarantine_version=taken.quarantine_version,
        lake_digest=taken.lake_digest, rows=taken.rows, rows_in=taken.rows_in, rows_loaded=taken.rows_loaded,
        rows_quarantined=taken.rows_quarantined, level=grades.HIGHEST, recipe=taken.recipe,
        accounting=taken.accounting, findings=taken.findings, quality=taken.quality, grading=taken.grading,
    )  # fmt: skip
    unit.session.add(row)
    unit.session.flush()
    return row


def _column(
    unit: Unit, version: ResourceVersion, position: int, proposed: GradedColumn, before: ResourceColumn | None
) -> ResourceColumn:
    held = grades.held(proposed, before)
    grade = held or Grade.of(proposed)
    column = ResourceColumn(
        id=new_id("col"), resource_id=version.resource_id, version=version.number, position=position,
        confirmed=held is not None, name=proposed.name, type=proposed.type, comment=proposed.comment,
        category=grade.category, level=grade.level, sensitive=grade.sensitive, identifier_role=grade.identifier_role,
        proposed_level=proposed.level, proposed_category=proposed.category, proposed_sensitive=proposed.sensitive,
        proposed_role=proposed.identifier_role, subject=proposed.subject, entity=proposed.entity,
        rule=proposed.rule, evidence=proposed.evidence, missing=proposed.missing, distinct=proposed.distinct,
    )  # fmt: skip
    unit.session.add(column)
    return column


def _nothing_new(
    unit: Unit, resource: Resource, row: ResourceVersion, proposed: Sequence[GradedColumn],
    columns: Sequence[ResourceColumn],
) -> bool:  # fmt: skip
    """Whether people have decided all of it before: same columns and types, every grade held, no new uplift."""
    if resource.state != "published" or resource.current_version is None or not all(c.confirmed for c in columns):
        return False
    before = repository.version(unit.session, resource.id, resource.current_version)
    shape = grades.same_shape(proposed, repository.columns(unit.session, resource.id))
    return shape and grades.same_uplifts(row.grading, before.grading) and row.level <= before.level


def _take_effect_if_fit(unit: Unit, resource: Resource, delivery: Delivery) -> None:
    """The system publishes what nobody has to decide; data below the quality threshold waits for the operator."""
    try:
        DELIVERY.check(unit, delivery, "take_effect")
    except InvalidTransition:
        return
    DELIVERY.advance(unit, delivery, "take_effect", version=delivery.version)
    _make_current(unit, resource, delivery)
    if delivery.mode != "regrade":
        twins.renew(unit, resource.id)


def _make_current(unit: Unit, resource: Resource, delivery: Delivery) -> None:
    """The delivery's version is the published one from here on."""
    if delivery.version is None:
        raise InvalidTransition("delivery.no_version", Text("交付还没有形成版本", "It has not become a version yet"))
    for earlier in repository.deliveries(unit.session, resource.id):
        if earlier.id != delivery.id and earlier.state == "current":
            deliveries.supersede(unit, earlier)
    version = repository.version(unit.session, resource.id, delivery.version)
    resource.current_version, resource.level = version.number, version.level
    delivery.preview = None


# ---- people decide ----


@DELIVERY.guard("quality_reached")
def _quality_reached(unit: Unit, delivery: Delivery) -> None:
    """Publication needs the quality verdict of the version not to block."""
    version = repository.version(unit.session, delivery.resource_id, delivery.version or 0)
    verdict = version.quality.get("verdict")
    if verdict is None or verdict["outcome"] in ("block", "error"):
        raise InvalidTransition(
            "quality.below_threshold",
            Text("数据质量未达到发布要求", "The data's quality is below what publication needs"),
            fix=Text("请数源部门按整改单修复后重新交付", "The department should repair and deliver again"),
            id=delivery.resource_id,
        )


def _waiting(unit: Unit, resource_id: str, action: str) -> tuple[Resource, Delivery]:
    """The resource and the delivery that waits for a decision. Raises `InvalidTransition` when none does."""
    resource = repository.get(unit.session, resource_id, locked=True)
    permissions.check(unit.actor, action, owner=resource.organisation_id)
    delivery = repository.pending(unit.session, resource.id)
    if delivery is None:
        raise InvalidTransition(
            "delivery.none_waiting", Text("没有待办理的交付", "No delivery waits for a decision"),
            fix=Text("请刷新页面查看最新状态", "Reload the page to see the present state"), id=resource.id,
        )  # fmt: skip
    return resource, delivery


def confirm(unit: Unit, resource_id: str) -> Delivery:
    """The department confirms the grades of all columns of the waiting version."""
    resource, delivery = _waiting(unit, resource_id, "resource:confirm")
    DELIVERY.advance(unit, delivery, "confirm", version=delivery.version)
    for column in repository.columns(unit.session, resource.id, delivery.version):
        column.confirmed = True
    return delivery


def publish(unit: Unit, resource_id: str) -> Delivery:
    """The operator publishes the confirmed version; simulated data is made right after."""
    resource, delivery = _waiting(unit, resource_id, "resource:publish")
    DELIVERY.advance(unit, delivery, "publish", version=delivery.version)
    if resource.state != "published":
        RESOURCE.advance(unit, resource, "publish")
    _make_current(unit, resource, delivery)
    twins.renew(unit, resource.id)
    return delivery
