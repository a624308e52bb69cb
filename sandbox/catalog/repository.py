"""Tables and queries of the catalogue."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, String, UniqueConstraint, and_, exists, func, or_, select
from sqlalchemy.orm import Mapped, Session, aliased, mapped_column

from sandbox.catalog.entityfacts import Facts
from sandbox.catalog.model import OPEN, SETTLED
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
    subjects: Mapped[dict[str, Any]]
    """whose records its rows are and what its columns are: `entityfacts.Facts`"""
    declared: Mapped[dict[str, Any]]
    """what the department declares: column comments, quality rules, references to other resources"""
    current_version: Mapped[int | None]
    """number of the published version; a delivery on its way changes nothing here"""
    level: Mapped[int | None]
    simulated_version: Mapped[int | None]
    """lake version of the published simulated twin"""

    __table_args__ = (UniqueConstraint("organisation_id", "name"),)

    @property
    def facts(self) -> Facts:
        """What the department declares of entities and columns."""
        return Facts.of(self.subjects)

    @property
    def raw_table(self) -> str:
        return f"{self.id}/raw"

    @property
    def quarantine_table(self) -> str:
        return f"{self.id}/quarantine"

    @property
    def typed_table(self) -> str:
        return f"{self.id}/typed"

    @property
    def simulated_table(self) -> str:
        return f"{self.id}/simulated"


class Delivery(StatefulMixin, Base):
    """One delivery of a department (or one look again at the grades), from its arrival to its end."""

    __tablename__ = "delivery"

    resource_id: Mapped[str] = short(index=True)
    number: Mapped[int]
    """the how-manieth delivery of its resource"""
    mode: Mapped[str] = short(10)
    file_name: Mapped[str] = short(300)
    file_sha256: Mapped[str] = short(64)
    bytes: Mapped[int] = mapped_column(BigInteger)
    delivered_by: Mapped[str] = short()
    reason: Mapped[str] = short(4000)
    """why the grades are looked at again; empty for data"""
    attempt: Mapped[int] = mapped_column(default=1)
    job_id: Mapped[str | None] = short(nullable=True)
    version: Mapped[int | None]
    """number of the version it became, once it was read"""
    recipe: Mapped[dict[str, Any] | None]
    """how an operator says it is to be read; None: as the delivery before"""
    error: Mapped[dict[str, Any] | None]
    """why it was sent back or what has to be decided: code, text, fix, detail (never a value of a record)"""
    preview: Mapped[dict[str, Any] | None]
    """the head of the file, raw beside parsed; values of records, kept only while the delivery is open"""

    __table_args__ = (UniqueConstraint("resource_id", "number"),)


class ResourceVersion(Base):
    """What one delivery became: where it came from, how it was read, how good it is, how it is graded."""

    __tablename__ = "resource_version"

    id: Mapped[str] = short(primary_key=True)
    resource_id: Mapped[str] = short(index=True)
    number: Mapped[int]
    delivery_id: Mapped[str] = short()
    created_at: Mapped[datetime]
    file_name: Mapped[str] = short(300)
    file_sha256: Mapped[str] = short(64)
    lake_version: Mapped[int]
    """version of the typed table; `raw_version` and `quarantine_version` are those of the tables beside it"""
    raw_version: Mapped[int | None]
    quarantine_version: Mapped[int | None]
    lake_digest: Mapped[str] = short(64)
    rows: Mapped[int] = mapped_column(BigInteger)
    """rows of the whole table; the next three count what this delivery brought"""
    rows_in: Mapped[int]
    rows_loaded: Mapped[int]
    rows_quarantined: Mapped[int]
    level: Mapped[int]
    recipe: Mapped[dict[str, Any]]
    accounting: Mapped[dict[str, Any]]
    findings: Mapped[list[Any]]
    quality: Mapped[dict[str, Any]]
    grading: Mapped[dict[str, Any]]
    """edition, digest and the rules that lift the whole table (rule, level)"""

    __table_args__ = (UniqueConstraint("resource_id", "number"),)


class ResourceColumn(Base):
    """One column of one version, with its grade."""

    __tablename__ = "resource_column"

    id: Mapped[str] = short(primary_key=True)
    resource_id: Mapped[str] = short(index=True)
    version: Mapped[int]
    position: Mapped[int]
    name: Mapped[str] = mapped_column(String(200))
    type: Mapped[str] = short(40)
    comment: Mapped[str] = short(500)
    category: Mapped[str] = short(80)
    level: Mapped[int]
    proposed_level: Mapped[int]
    """what the machine proposed, whatever people made of it; so are the next three"""
    proposed_category: Mapped[str] = short(80)
    proposed_sensitive: Mapped[bool]
    proposed_role: Mapped[str] = short(20)
    sensitive: Mapped[bool]
    subject: Mapped[str] = short(20)
    """whom it is about: person, organisation, public or unknown"""
    identifier_role: Mapped[str] = short(20)
    entity: Mapped[str | None] = short(40, nullable=True)
    rule: Mapped[str] = short(40)
    evidence: Mapped[list[Any]]
    confirmed: Mapped[bool]
    missing: Mapped[int] = mapped_column(BigInteger)
    distinct: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (UniqueConstraint("resource_id", "version", "name"),)


class Lowering(StatefulMixin, Base):
    """A request to protect one column less, which a second person decides. `organisation_id` is the department.

    Without a `column_name` it is about whose records the rows are and what the columns are to the proofs (`subjects`).
    """

    __tablename__ = "lowering"

    resource_id: Mapped[str] = short(index=True)
    version: Mapped[int]
    column_name: Mapped[str] = short(200)
    before: Mapped[dict[str, Any]]
    """fact of the grade → what it was when somebody asked; `after`: what it is to be. Without a column: `Facts`"""
    after: Mapped[dict[str, Any]]
    reason: Mapped[str] = short(4000)
    author_id: Mapped[str] = short()
    reviewer_id: Mapped[str | None] = short(nullable=True)
    decision: Mapped[str] = short(4000)
    """why the second person decided so"""


def get(session: Session, resource_id: str, *, locked: bool = False) -> Resource:
    """The resource; `locked` keeps its row until the transaction ends. Raises `NotFound`."""
    resource = session.get(Resource, resource_id, with_for_update=True if locked else None, populate_existing=locked)
    if resource is None:
        raise NotFound.of("resource", resource_id)
    return resource


def names(session: Session, resource_ids: Collection[str]) -> dict[str, str]:
    """Resource id → name of these resources."""
    if not resource_ids:
        return {}
    found = session.execute(select(Resource.id, Resource.name).where(Resource.id.in_(resource_ids)))
    return {row.id: row.name for row in found}


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


def columns(session: Session, resource_id: str, number: int | None = None) -> list[ResourceColumn]:
    """The columns of a version, in order; without a number those of the published one (none before the first)."""
    wanted = get(session, resource_id).current_version if number is None else number
    statement = select(ResourceColumn).where(
        ResourceColumn.resource_id == resource_id, ResourceColumn.version == wanted
    )
    return list(session.scalars(statement.order_by(ResourceColumn.position)))


def column_history(session: Session, resource_id: str, name: str) -> list[ResourceColumn]:
    """One column in every version that has it, oldest first."""
    statement = select(ResourceColumn).where(ResourceColumn.resource_id == resource_id, ResourceColumn.name == name)
    return list(session.scalars(statement.order_by(ResourceColumn.version)))


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


def last_number(session: Session, resource_id: str) -> int:
    """The highest version number in use, 0 before the first."""
    statement = select(func.max(ResourceVersion.number)).where(ResourceVersion.resource_id == resource_id)
    return session.scalar(statement) or 0


def known_recipe(session: Session, resource: Resource, mode: str) -> dict[str, Any] | None:
    """How the resource was read last, for its next delivery: an append is read as what it is added to, a whole table
    as the newest version that was not taken back. None before the first."""
    statement = select(ResourceVersion).where(ResourceVersion.resource_id == resource.id)
    if mode == "append":
        statement = statement.where(ResourceVersion.number == resource.current_version)
    else:
        kept = select(Delivery.id).where(Delivery.resource_id == resource.id, Delivery.state != "withdrawn")
        statement = statement.where(ResourceVersion.delivery_id.in_(kept))
    found = session.scalars(statement.order_by(ResourceVersion.number.desc())).first()
    return found.recipe if found else None


def delivery(session: Session, delivery_id: str) -> Delivery:
    """The delivery. Raises `NotFound`."""
    found = session.get(Delivery, delivery_id)
    if found is None:
        raise NotFound.of("delivery", delivery_id)
    return found


def deliveries(session: Session, resource_id: str) -> list[Delivery]:
    """Everything delivered to a resource, newest first."""
    statement = select(Delivery).where(Delivery.resource_id == resource_id)
    return list(session.scalars(statement.order_by(Delivery.number.desc())))


def waiting_deliveries(session: Session) -> list[Delivery]:
    """Deliveries on their way, and those sent back while nothing came after them; oldest first."""
    later = aliased(Delivery)
    followed = exists().where(later.resource_id == Delivery.resource_id, later.number > Delivery.number)
    statement = select(Delivery).where(
        or_(Delivery.state.in_(OPEN), and_(Delivery.state == "refused", ~followed))
    )  # fmt: skip
    return list(session.scalars(statement.order_by(Delivery.created_at, Delivery.id)))


def pending(session: Session, resource_id: str) -> Delivery | None:
    """The delivery that is on its way to this resource; there is at most one."""
    statement = select(Delivery).where(Delivery.resource_id == resource_id, Delivery.state.in_(OPEN))
    return session.scalars(statement).first()


def repeated(session: Session, resource_id: str, mode: str, file_sha256: str) -> Delivery | None:
    """An earlier delivery of the same bytes in the same mode that was not sent back."""
    statement = select(Delivery).where(
        Delivery.resource_id == resource_id, Delivery.mode == mode, Delivery.file_sha256 == file_sha256,
        Delivery.state.not_in(SETTLED),
    )  # fmt: skip
    return session.scalars(statement).first()


def lowering(session: Session, lowering_id: str) -> Lowering:
    """The request. Raises `NotFound`."""
    found = session.get(Lowering, lowering_id)
    if found is None:
        raise NotFound.of("lowering", lowering_id)
    return found


def lowerings(
    session: Session, *, resource_id: str | None = None, number: int | None = None, state: str | None = None
) -> list[Lowering]:
    """Requests to lower a level, newest first."""
    statement = select(Lowering).order_by(Lowering.created_at.desc(), Lowering.id)
    if resource_id is not None:
        statement = statement.where(Lowering.resource_id == resource_id)
    if number is not None:
        statement = statement.where(Lowering.version == number)
    if state is not None:
        statement = statement.where(Lowering.state == state)
    return list(session.scalars(statement))
