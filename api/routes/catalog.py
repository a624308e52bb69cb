"""目录: resources for those who govern them, the catalogue for those who browse."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, File, Form, UploadFile

from api.deps import Acting, Asking
from api.routes.catalog_shapes import DeliveryOut, ResourceDetailOut
from api.routes.shapes import (
    CatalogueColumnOut,
    CatalogueOut,
    ReasonIn,
    ResourceIn,
    ResourceOut,
)
from sandbox.catalog import deliveries, regrading, repository, service, twins, versions
from sandbox.catalog.repository import Delivery, Resource
from sandbox.kernel import accounts
from sandbox.kernel.identity import Actor
from sandbox.kernel.unit import Platform, Unit

router = APIRouter(tags=["catalogue"])


def detail(unit: Unit, resource: Resource) -> ResourceDetailOut:
    session, waiting = unit.session, repository.pending(unit.session, resource.id)
    proposed = waiting.version if waiting else None
    return ResourceDetailOut.whole(
        unit, resource, repository.columns(session, resource.id),
        repository.columns(session, resource.id, proposed) if proposed else [],
        repository.deliveries(session, resource.id), repository.versions(session, resource.id),
        repository.lowerings(session, resource_id=resource.id),
    )  # fmt: skip


@router.get("/resources", summary="本部门资源 · Resources")
def list_resources(unit: Annotated[Unit, Acting("resource:read")]) -> list[ResourceOut]:
    return [ResourceOut.from_record(unit, r) for r in service.list_for(unit)]


@router.post("/resources", status_code=201, summary="登记资源 · Register a resource")
def register(body: ResourceIn, unit: Annotated[Unit, Acting("resource:register")]) -> ResourceOut:
    return ResourceOut.from_record(unit, service.register(unit, **body.model_dump()))


@router.get("/resources/{resource_id}", summary="资源详情 · One resource")
def read(resource_id: str, unit: Annotated[Unit, Acting("resource:read")]) -> ResourceDetailOut:
    return detail(unit, service.read(unit, resource_id))


def take_delivery(platform: Platform, actor: Actor, resource_id: str, file: UploadFile, mode: str) -> Delivery:
    """Store an uploaded file, then deliver it in one transaction; of a refused one only the refusal stays."""
    with platform.begin(actor) as unit:
        deliveries.check_delivery(unit, resource_id, mode)
    limit = platform.settings.body_limit_mb << 20
    sha256, size = deliveries.store_delivery(platform.settings.inbox, file.file, limit)
    name = file.filename or "delivery"
    with platform.begin(actor) as unit:
        return deliveries.deliver(unit, resource_id, file_name=name, sha256=sha256, size=size, mode=mode)


@router.post("/resources/{resource_id}/deliveries", status_code=202, summary="交付文件 · Deliver a file")
def deliver(
    resource_id: str, asking: Annotated[tuple[Platform, Actor], Asking("resource:deliver")],
    file: Annotated[UploadFile, File(description="the table: csv, tsv, txt, xlsx, xls, json, jsonl, parquet or zip")],
    mode: Annotated[str, Form(pattern="^(replace|append)$", description="replace: the whole table; append: more rows")]
    = "replace",
) -> DeliveryOut:  # fmt: skip
    """The file is stored under its SHA-256 and taken in by a job; the same bytes in the same mode again are refused."""
    platform, actor = asking
    made = take_delivery(platform, actor, resource_id, file, mode)
    with platform.begin(actor) as unit:
        return DeliveryOut.from_record(unit, repository.delivery(unit.session, made.id))


@router.post("/resources/{resource_id}/confirm", summary="确认分级 · Confirm the grades")
def confirm(resource_id: str, unit: Annotated[Unit, Acting("resource:confirm")]) -> DeliveryOut:
    return DeliveryOut.from_record(unit, versions.confirm(unit, resource_id))


@router.post("/resources/{resource_id}/publish", summary="发布目录 · Publish")
def publish(resource_id: str, unit: Annotated[Unit, Acting("resource:publish")]) -> DeliveryOut:
    return DeliveryOut.from_record(unit, versions.publish(unit, resource_id))


@router.post("/resources/{resource_id}/withdraw", summary="下架 · Withdraw")
def withdraw(resource_id: str, body: ReasonIn, unit: Annotated[Unit, Acting("resource:withdraw")]) -> ResourceOut:
    return ResourceOut.from_record(unit, service.withdraw(unit, resource_id, body.reason))


@router.post("/resources/{resource_id}/regrade", status_code=202, summary="重新分级 · Look at the grades again")
def regrade(resource_id: str, body: ReasonIn, unit: Annotated[Unit, Acting("resource:regrade")]) -> DeliveryOut:
    """After a security incident, by an authority's order, or for another reason that is written down."""
    return DeliveryOut.from_record(unit, regrading.regrade(unit, resource_id, body.reason))


def entry(unit: Unit, resource: Resource) -> CatalogueOut:
    """A catalogue entry: names, types, grades, what the simulated data is good for; never a value or a count."""
    twin = twins.current(unit.session, resource)
    return CatalogueOut(
        id=resource.id, name=resource.name, description=resource.description, update_cycle=resource.update_cycle,
        department=accounts.organisation(unit.session, resource.organisation_id).name, level=resource.level or 4,
        columns=[CatalogueColumnOut.model_validate(c) for c in repository.columns(unit.session, resource.id)],
        simulated=twin is not None, simulation=twin.public if twin else None,
        stale=twin is not None and bool(twins.stale(unit.session, resource, twin)),
    )  # fmt: skip


@router.get("/catalogue", summary="授权运营目录 · The catalogue")
def catalogue(unit: Annotated[Unit, Acting("catalogue:browse")]) -> list[CatalogueOut]:
    return [entry(unit, r) for r in service.catalogue(unit)]


@router.get("/catalogue/{resource_id}", summary="目录条目 · One entry")
def read_entry(resource_id: str, unit: Annotated[Unit, Acting("catalogue:browse")]) -> CatalogueOut:
    return entry(unit, service.entry(unit, resource_id))
