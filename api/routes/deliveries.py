"""交付与版本: deliveries as people see and correct them, versions with their lineage, grades and who is touched."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.deps import Acting
from api.routes.catalog_shapes import (
    ChangedOut,
    ComparisonOut,
    DeliveryOut,
    GradeIn,
    GradeStepOut,
    GrantImpactOut,
    LoweringOut,
    PreviewOut,
    QuarantineOut,
    RecipeIn,
    RefusedRowOut,
    VersionOut,
)
from api.routes.shapes import DecisionIn
from sandbox.catalog import deliveries, grades, looking, repository, service
from sandbox.catalog.protection import Override, Role
from sandbox.kernel.unit import Unit
from sandbox.reporting import impact

router = APIRouter(tags=["deliveries"])
Number = Annotated[int, Query(ge=1, le=2**31 - 1)]
Offset = Annotated[int, Query(ge=0, le=2**53)]


@router.get("/deliveries", summary="办理中的交付 · Deliveries on their way")
def list_deliveries(unit: Annotated[Unit, Acting("resource:read")]) -> list[DeliveryOut]:
    return [DeliveryOut.from_record(unit, d) for d in deliveries.waiting_for(unit)]


@router.get("/deliveries/{delivery_id}", summary="一次交付 · One delivery")
def read(delivery_id: str, unit: Annotated[Unit, Acting("resource:read")]) -> DeliveryOut:
    return DeliveryOut.from_record(unit, deliveries.read(unit, delivery_id))


@router.get("/deliveries/{delivery_id}/preview", summary="文件开头 · The head of the file")
def preview(delivery_id: str, unit: Annotated[Unit, Acting("delivery:look")], show: bool = False) -> PreviewOut | None:
    """Raw lines beside parsed rows; values by their shape only, unless `show`, which the audit log says."""
    found = looking.preview(unit, delivery_id, show=show)
    return PreviewOut(shown=show, **found) if found else None


@router.post("/deliveries/{delivery_id}/recipe", status_code=202, summary="改正读取方式 · Correct the recipe")
def correct(delivery_id: str, body: RecipeIn, unit: Annotated[Unit, Acting("delivery:correct")]) -> DeliveryOut:
    """The stored bytes are read again by this recipe; the next delivery uses it too."""
    return DeliveryOut.from_record(unit, deliveries.correct(unit, delivery_id, body.recipe))


@router.post("/deliveries/{delivery_id}/withdraw", summary="撤回交付 · Withdraw a delivery")
def withdraw(delivery_id: str, unit: Annotated[Unit, Acting("resource:deliver")]) -> DeliveryOut:
    return DeliveryOut.from_record(unit, deliveries.withdraw(unit, delivery_id))


@router.get("/resources/{resource_id}/versions", summary="版本 · Versions")
def list_versions(resource_id: str, unit: Annotated[Unit, Acting("resource:read")]) -> list[VersionOut]:
    resource = service.read(unit, resource_id)
    return [VersionOut.model_validate(v) for v in repository.versions(unit.session, resource.id)]


@router.get("/resources/{resource_id}/comparison", summary="版本对比 · Compare two versions")
def compare(
    resource_id: str, before: Number, after: Number, unit: Annotated[Unit, Acting("resource:read")]
) -> ComparisonOut:
    return ComparisonOut.of(looking.compare(unit, resource_id, before, after))


@router.get("/resources/{resource_id}/quarantine", summary="隔离行 · Rows in quarantine")
def quarantine(
    resource_id: str, version: Number, unit: Annotated[Unit, Acting("delivery:look")], show: bool = False,
    limit: Annotated[int, Query(ge=1, le=looking.MOST_ROWS)] = 50, offset: Offset = 0,
) -> QuarantineOut:  # fmt: skip
    """Rows that were refused, with place and reason; text by its shape only, unless `show`: the audit log says so."""
    rows = looking.quarantine(unit, resource_id, version, limit=limit, offset=offset, show=show)
    return QuarantineOut(version=version, shown=show, rows=[RefusedRowOut.model_validate(r) for r in rows])


@router.get("/resources/{resource_id}/history", summary="列的分级历史 · A column's grades over versions")
def history(resource_id: str, column: str, unit: Annotated[Unit, Acting("resource:read")]) -> list[GradeStepOut]:
    resource = service.read(unit, resource_id)
    return [GradeStepOut.model_validate(c) for c in repository.column_history(unit.session, resource.id, column)]


@router.post("/resources/{resource_id}/grades", summary="调整分级 · Correct grades")
def change_grade(resource_id: str, body: GradeIn, unit: Annotated[Unit, Acting("resource:confirm")]) -> ChangedOut:
    """Level, category, sensitivity and role as an identifier; `column` may hold * for any characters.

    What protects more takes effect at once; what protects less waits for a second person.
    """
    return ChangedOut.model_validate(grades.change(unit, resource_id, body.column, body.override(), body.reason))


@router.get("/resources/{resource_id}/impact", summary="对在用授权的影响 · What a change does to grants in effect")
def show_impact(
    resource_id: str, unit: Annotated[Unit, Acting("resource:read")],
    column: Annotated[str, Query(max_length=300)] = "", level: Annotated[int | None, Query(ge=1, le=4)] = None,
    sensitive: bool | None = None, identifier_role: Role | None = None,
) -> list[GrantImpactOut]:  # fmt: skip
    """Of publishing the version that is being graded; with `column`, of calling that column so as well."""
    version = grades.graded_version(unit, service.read(unit, resource_id))
    columns = repository.columns(unit.session, resource_id, version.number)
    said = Override(level, None, sensitive, identifier_role)
    overrides = {c.name: said for c in grades.named(columns, column)} if column else {}
    return [GrantImpactOut.of(one) for one in impact.of_version(unit, resource_id, version.number, overrides)]


@router.get("/lowerings", summary="待核定的降级 · Lowerings that wait for a second person")
def list_lowerings(unit: Annotated[Unit, Acting("lowering:decide")]) -> list[LoweringOut]:
    return [LoweringOut.from_record(unit, r) for r in grades.waiting_for_second(unit)]


@router.get("/lowerings/{lowering_id}", summary="一份降级申请 · One lowering")
def read_lowering(lowering_id: str, unit: Annotated[Unit, Acting("resource:read")]) -> LoweringOut:
    return LoweringOut.from_record(unit, grades.read_lowering(unit, lowering_id))


@router.post("/lowerings/{lowering_id}/decision", summary="核定降级 · Decide on a lowering")
def decide(lowering_id: str, body: DecisionIn, unit: Annotated[Unit, Acting("resource:read")]) -> LoweringOut:
    """approve or refuse (somebody other than who asked), or withdraw (the department)."""
    return LoweringOut.from_record(unit, grades.decide(unit, lowering_id, body.decision, body.reason))
