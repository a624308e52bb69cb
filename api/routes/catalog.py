"""目录: resources for those who govern them, the catalogue and simulated rows for those who browse."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, File, Query, UploadFile

from api.deps import Acting, Asking
from api.routes.shapes import (
    CatalogueColumnOut,
    CatalogueOut,
    GradeIn,
    ReasonIn,
    ResourceDetailOut,
    ResourceIn,
    ResourceOut,
    SimulatedRowsOut,
)
from sandbox.catalog import browsing, repository, service
from sandbox.catalog.repository import Resource
from sandbox.kernel import accounts
from sandbox.kernel.identity import Actor
from sandbox.kernel.unit import Platform, Unit

router = APIRouter(tags=["catalogue"])


def detail(unit: Unit, resource: Resource) -> ResourceDetailOut:
    columns = repository.columns(unit.session, resource.id)
    return ResourceDetailOut.whole(unit, resource, columns, repository.versions(unit.session, resource.id))


@router.get("/resources", summary="本部门资源 · Resources")
def list_resources(unit: Annotated[Unit, Acting("resource:read")]) -> list[ResourceOut]:
    return [ResourceOut.from_record(unit, r) for r in service.list_for(unit)]


@router.post("/resources", status_code=201, summary="登记资源 · Register a resource")
def register(body: ResourceIn, unit: Annotated[Unit, Acting("resource:register")]) -> ResourceOut:
    return ResourceOut.from_record(unit, service.register(unit, **body.model_dump()))


@router.get("/resources/{resource_id}", summary="资源详情 · One resource")
def read(resource_id: str, unit: Annotated[Unit, Acting("resource:read")]) -> ResourceDetailOut:
    return detail(unit, service.read(unit, resource_id))


def take_delivery(platform: Platform, actor: Actor, resource_id: str, file: UploadFile) -> Resource:
    """Store an uploaded file, then deliver it in one transaction; of a refused one only the refusal stays."""
    with platform.begin(actor) as unit:
        service.check_delivery(unit, resource_id)
    limit = platform.settings.body_limit_mb << 20
    sha256, size = service.store_delivery(platform.settings.inbox, file.file, limit)
    with platform.begin(actor) as unit:
        return service.deliver(unit, resource_id, file_name=file.filename or "delivery", sha256=sha256, size=size)


@router.post("/resources/{resource_id}/deliveries", status_code=202, summary="交付文件 · Deliver a file")
def deliver(
    resource_id: str, asking: Annotated[tuple[Platform, Actor], Asking("resource:deliver")],
    file: Annotated[UploadFile, File(description="the table: csv, tsv, txt, xlsx, xls, json, jsonl, parquet or zip")],
) -> ResourceOut:  # fmt: skip
    """The file is stored under its SHA-256 and taken in by a job; the same bytes again are refused."""
    platform, actor = asking
    resource = take_delivery(platform, actor, resource_id, file)
    with platform.begin(actor) as unit:
        return ResourceOut.from_record(unit, resource)


@router.post("/resources/{resource_id}/grades", summary="提高列级别 · Raise a column's level")
def change_grade(
    resource_id: str, body: GradeIn, unit: Annotated[Unit, Acting("resource:confirm")]
) -> ResourceDetailOut:
    service.change_grade(unit, resource_id, body.column, body.level, body.reason)
    return detail(unit, service.read(unit, resource_id))


@router.post("/resources/{resource_id}/confirm", summary="确认分级 · Confirm the grades")
def confirm(resource_id: str, unit: Annotated[Unit, Acting("resource:confirm")]) -> ResourceOut:
    return ResourceOut.from_record(unit, service.confirm_grade(unit, resource_id))


@router.post("/resources/{resource_id}/publish", summary="发布目录 · Publish")
def publish(resource_id: str, unit: Annotated[Unit, Acting("resource:publish")]) -> ResourceOut:
    return ResourceOut.from_record(unit, service.publish(unit, resource_id))


@router.post("/resources/{resource_id}/withdraw", summary="下架 · Withdraw")
def withdraw(resource_id: str, body: ReasonIn, unit: Annotated[Unit, Acting("resource:withdraw")]) -> ResourceOut:
    return ResourceOut.from_record(unit, service.withdraw(unit, resource_id, body.reason))


def entry(unit: Unit, resource: Resource) -> CatalogueOut:
    """A catalogue entry: names, types, grades, what the simulated data is good for; never a value or a count."""
    simulation = resource.simulation
    return CatalogueOut(
        id=resource.id, name=resource.name, description=resource.description, update_cycle=resource.update_cycle,
        department=accounts.organisation(unit.session, resource.organisation_id).name, level=resource.level or 4,
        columns=[CatalogueColumnOut.model_validate(c) for c in repository.columns(unit.session, resource.id)],
        simulated=resource.simulated_version is not None,
        simulation=simulation["public"] if simulation else None,
    )  # fmt: skip


@router.get("/catalogue", summary="授权运营目录 · The catalogue")
def catalogue(unit: Annotated[Unit, Acting("catalogue:browse")]) -> list[CatalogueOut]:
    return [entry(unit, r) for r in service.catalogue(unit)]


@router.get("/catalogue/{resource_id}", summary="目录条目 · One entry")
def read_entry(resource_id: str, unit: Annotated[Unit, Acting("catalogue:browse")]) -> CatalogueOut:
    return entry(unit, service.entry(unit, resource_id))


@router.get("/catalogue/{resource_id}/simulated", summary="仿真样例行 · Simulated rows")
def simulated(
    resource_id: str, unit: Annotated[Unit, Acting("simulated:browse")],
    limit: Annotated[int, Query(ge=1, le=browsing.MAX_ROWS)] = 100, offset: Annotated[int, Query(ge=0, le=2**53)] = 0,
) -> SimulatedRowsOut:  # fmt: skip
    """Rows of the published simulated twin. They were never true of anybody."""
    resource = service.entry(unit, resource_id)
    found = browsing.simulated_rows(unit, resource, limit, offset)
    return SimulatedRowsOut(resource_id=resource.id, columns=found.columns, rows=found.rows)
