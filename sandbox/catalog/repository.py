"""Tables and queries of the catalogue."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import String, UniqueConstraint, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from sandbox.kernel.database import Base, short
from sandbox.kernel.errors import NotFound
from sandbox.kernel.lifecycle import StatefulMixin


class Resource(StatefulMixin, Base):
    """A table a department is responsible for (公共数据资源). `organisation_id` is that department."""

    __tablename__ = "resource"

    name: Mapped[str] = short(200)
    description: Mapped[str] = short(2000)
    registration_code: Mapped[str] = short(80)
    update_cycle: Mapped[str] = short(40)
    entity_keys: Mapped[dict[str, Any]]
    """entity kind → column that names the entity, e.g. {"person": "身份证号"}"""
    declared: Mapped[dict[str, Any]]
    """what the department declares: column comments, quality rules, references to other resources"""
    current_version: Mapped[int | None]
    level: Mapped[int | None]
    simulated_version: Mapped[int | None]
    simulation: Mapped[dict[str, Any] | None]
    """manifest and verdict of the published simulated data"""

    __table_args__ = (UniqueConstraint("organisation_id", "name"),)

    @property
    def typed_table(self) -> str:
        return f"{self.id}/typed"

    @property
    def simulated_table(self) -> str:
        return f"{self.id}/simulated"


class ResourceVersion(Base):
    """One ingested delivery: where it came from, how it was read, how good it is."""

    __tablename__ = "resource_version"

    id: Mapped[str] = short(primary_key=True)
    resource_id: Mapped[str] = short(index=True)
    number: Mapped[int]
    created_at: Mapped[datetime]
    file_name: Mapped[str] = short(300)
    file_sha256: Mapped[str] = short(64)
    lake_version: Mapped[int]
    lake_digest: Mapped[str] = short(64)
    rows_in: Mapped[int]
    rows_loaded: Mapped[int]
    rows_quarantined: Mapped[int]
    recipe: Mapped[dict[str, Any]]
    accounting: Mapped[dict[str, Any]]
    findings: Mapped[list[Any]]
    quality: Mapped[dict[str, Any]]
    grading: Mapped[dict[str, Any]]
    """edition, digest, dataset level and the machine's proposal per column"""

    __table_args__ = (UniqueConstraint("resource_id", "number"),)


class ResourceColumn(Base):
    """One column of the current version, with its grade."""

    __tablename__ = "resource_column"

    id: Mapped[str] = short(primary_key=True)
    resource_id: Mapped[str] = short(index=True)
    position: Mapped[int]
    name: Mapped[str] = mapped_column(String(200))
    type: Mapped[str] = short(40)
    comment: Mapped[str] = short(500)
    category: Mapped[str] = short(80)
    level: Mapped[int]
    sensitive: Mapped[bool]
    identifier_role: Mapped[str] = short(20)
    entity: Mapped[str | None] = short(40, nullable=True)
    rule: Mapped[str] = short(40)
    evidence: Mapped[list[Any]]
    confirmed: Mapped[bool]
    missing: Mapped[int]
    distinct: Mapped[int]

    __table_args__ = (UniqueConstraint("resource_id", "name"),)


def get(session: Session, resource_id: str) -> Resource:
    """The resource. Raises `NotFound`."""
    resource = session.get(Resource, resource_id)
    if resource is None:
        raise NotFound.of("resource", resource_id)
    return resource


def every(session: Session, *, organisation_id: str | None = None, state: str | None = None) -> list[Resource]:
    statement = select(Resource).order_by(Resource.created_at, Resource.id)
    if organisation_id is not None:
        statement = statement.where(Resource.organisation_id == organisation_id)
    if state is not None:
        statement = statement.where(Resource.state == state)
    return list(session.scalars(statement))


def by_name(session: Session, organisation_id: str, name: str) -> Resource | None:
    statement = select(Resource).where(Resource.organisation_id == organisation_id, Resource.name == name)
    return session.scalars(statement).first()


def columns(session: Session, resource_id: str) -> list[ResourceColumn]:
    statement = select(ResourceColumn).where(ResourceColumn.resource_id == resource_id)
    return list(session.scalars(statement.order_by(ResourceColumn.position)))


def versions(session: Session, resource_id: str) -> list[ResourceVersion]:
    statement = select(ResourceVersion).where(ResourceVersion.resource_id == resource_id)
    return list(session.scalars(statement.order_by(ResourceVersion.number)))


def version(session: Session, resource_id: str, number: int) -> ResourceVersion:
    statement = select(ResourceVersion).where(
        ResourceVersion.resource_id == resource_id, ResourceVersion.number == number
    )
    found = session.scalars(statement).first()
    if found is None:
        raise NotFound.of("version", f"{resource_id}#{number}")
    return found


def version_by_digest(session: Session, resource_id: str, file_sha256: str) -> ResourceVersion | None:
    statement = select(ResourceVersion).where(
        ResourceVersion.resource_id == resource_id, ResourceVersion.file_sha256 == file_sha256
    )
    return session.scalars(statement).first()
