"""Facts about entities declared, verified over the rows of a version, and looked up by those who rely on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, UniqueConstraint, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from policies.text import Text
from sandbox.catalog import repository
from sandbox.catalog.entityfacts import (
    ColumnFact,
    Facts,
    Perturbation,
    Role,
    derived_role,
    perturbations_of,
    roles_of,
    weakened,
)
from sandbox.catalog.model import LOWERING
from sandbox.catalog.repository import Lowering, Resource, ResourceColumn, ResourceVersion
from sandbox.kernel import jobs, permissions
from sandbox.kernel.database import Base, short
from sandbox.kernel.errors import BadInput, Conflict
from sandbox.kernel.ids import new_id
from sandbox.kernel.unit import Unit

JOB = "check_subjects"
FAILURES: dict[str, tuple[Text, Text]] = {
    "column": (
        Text("没有“{column}”这一列", "there is no column “{column}”"),
        Text("请改正声明中的列名，或重新交付带有该列的数据", "Correct the name, or deliver the data with it"),
    ),
    "determined_by": (
        Text("“{column}”有 {count} 个取值对应多个主体（如 {example}）",
             "{count} values of “{column}” belong to several entities (such as {example})"),
        Text("请更正数据，或从声明中去掉该列", "Correct the data, or take the column out of what is declared"),
    ),
    "domain": (
        Text("“{column}”有 {count} 个取值在资源“{resource}”中属于另一主体（如 {example}）",
             "{count} values of “{column}” belong to another entity in “{resource}” (such as {example})"),
        Text("请核对两表的编码是否同一套；不同则改用另一个值域名称",
             "Compare the codes of the two tables; where they differ, name another domain"),
    ),
    "through": (
        Text("资源“{resource}”的“{column}”有 {count} 个重复的取值（如 {example}）",
             "{count} values of “{column}” occur more than once in “{resource}” (such as {example})"),
        Text("查找主体的键在那张表里必须唯一：请更正数据或换一列", "The key looked up must be unique there"),
    ),
    "resource": (
        Text("没有唯一一张已接入的资源“{resource}”", "no single resource “{resource}” was taken in"),
        Text("请先交付该资源，或改正名称", "Deliver that resource first, or correct its name"),
    ),
    "missing": (
        Text("缺少主体标识的行占 {share}%，超过声明的 {most}%", "{share}% of the rows lack a key, more than {most}%"),
        Text("请补全主体标识后重新交付，或说明理由后放宽上限", "Deliver the keys, or raise the limit and say why"),
    ),
}  # fmt: skip
"""code → what a failed verification says and what to do about it"""


class SubjectCheck(Base):
    """What the verification of the facts of one table over one version of its rows found."""

    __tablename__ = "subject_check"

    id: Mapped[str] = short(primary_key=True)
    resource_id: Mapped[str] = short(index=True)
    lake_version: Mapped[int]
    facts: Mapped[str] = short(64)
    """digest of the facts that were verified: others are not verified by it"""
    at: Mapped[datetime]
    rows: Mapped[int] = mapped_column(BigInteger)
    kinds: Mapped[dict[str, Any]]
    """kind → `KindCheck.as_dict`"""
    proposals: Mapped[list[Any]]
    """facts that the rows would bear out and nobody has declared: kind, column, domain, why"""

    __table_args__ = (UniqueConstraint("resource_id", "lake_version", "facts"),)

    @property
    def holds(self) -> bool:
        return not any(one["failures"] for one in self.kinds.values())


@dataclass(frozen=True, slots=True)
class KindCheck:
    """One kind over all rows: rows without an entity, distinct entities, and what was found wrong or is worth telling.

    `through`: id and lake version of the resource that owners were looked up in. Failures and notes hold names, counts
    and masked values.
    """

    rows: int
    missing: int
    entities: int
    failures: list[dict[str, Any]]
    notes: list[dict[str, Any]]
    through: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "missing": self.missing, "entities": self.entities, "failures": self.failures,
                "notes": self.notes, "through": self.through}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Checked:
    """What a verification hands over."""

    facts: str
    rows: int
    kinds: dict[str, dict[str, Any]]
    proposals: list[dict[str, Any]]

    @property
    def failures(self) -> list[dict[str, Any]]:
        return [{"kind": kind, **f} for kind, one in self.kinds.items() for f in one["failures"]]


def words_of(failure: dict[str, Any]) -> tuple[Text, Text]:
    """(what failed, what to do about it)."""
    said, fix = FAILURES[failure["code"]]
    named = {k: v for k, v in failure.items() if k not in ("code", "kind")}
    return said.fill(**named), fix


def record(unit: Unit, resource_id: str, lake_version: int, checked: Checked) -> SubjectCheck:
    """Keep what a verification found; a later one of the same facts over the same rows replaces it."""
    known = _check(unit.session, resource_id, lake_version, checked.facts)
    row = known or SubjectCheck(
        id=new_id("sub"), resource_id=resource_id, lake_version=lake_version, facts=checked.facts
    )
    row.at, row.rows, row.kinds, row.proposals = unit.now, checked.rows, checked.kinds, checked.proposals
    if known is None:
        unit.session.add(row)
    unit.session.flush()
    codes = sorted({f["code"] for f in checked.failures})
    unit.audit("resource:verify", "resource", resource_id, lake_version=lake_version, holds=row.holds, failures=codes)
    return row


def _check(session: Session, resource_id: str, lake_version: int, facts: str) -> SubjectCheck | None:
    statement = select(SubjectCheck).where(
        SubjectCheck.resource_id == resource_id, SubjectCheck.lake_version == lake_version, SubjectCheck.facts == facts
    )
    return session.scalars(statement).first()


def verified(session: Session, resource: Resource, version: ResourceVersion) -> SubjectCheck | None:
    """The verification of the facts as they are declared now over the rows of this version, if any."""
    return _check(session, resource.id, version.lake_version, resource.facts.digest)


def unusable(session: Session, resource: Resource, version: ResourceVersion) -> tuple[Text, Text] | None:
    """Why nothing can be proved about the entities of this version, and what to do; None when everything holds."""
    taken_back = repository.delivery(session, version.delivery_id).state == "withdrawn"
    if resource.state == "withdrawn" or taken_back:
        return (
            Text(f"资源“{resource.name}”的第 {version.number} 版已下架或撤回",
                 f"Version {version.number} of “{resource.name}” was withdrawn"),
            Text("请改用仍在目录中的数据，重新申请授权", "Apply for data that is still in the catalogue"),
        )  # fmt: skip
    check = verified(session, resource, version)
    if check is None:
        return (
            Text(f"资源“{resource.name}”的主体声明尚未在该版本上校验",
                 f"The facts of “{resource.name}” are unverified"),
            Text("请等待校验完成；久未完成时请数源部门重新校验", "Wait for the check, or have it repeated"),
        )  # fmt: skip
    failed = [f for one in check.kinds.values() for f in one["failures"]]
    if not failed:
        return None
    return (
        Text(f"资源“{resource.name}”的主体声明与该版本数据不符",
             f"The rows of “{resource.name}” do not bear out its facts"),
        Text("请数源部门在“主体与角色”页更正声明或重新交付", "Its department corrects the facts or delivers again"),
    )  # fmt: skip


# ---- people decide ----


def declare(unit: Unit, resource_id: str, facts: Facts, reason: str) -> Lowering | None:
    """The department says whose records a table holds and what its columns are; a job verifies it over the rows.

    What protects less than before waits for a second person, as a whole: the request is returned, and nothing changes
    yet. None: it is declared. Raises `BadInput` without a reason or for a column that the version does not have,
    `Conflict` when nothing changes or such a request waits.
    """
    resource = repository.get(unit.session, resource_id, locked=True)
    permissions.check(unit.actor, "resource:declare", owner=resource.organisation_id)
    if not reason.strip():
        raise BadInput("subject.reason", Text("请写明声明或调整的理由", "Say why this is declared or changed"))
    before = resource.facts
    if facts == before:
        raise Conflict("subject.same", Text("主体与角色已经如此声明", "This is what is declared already"),
                       fix=Text("请修改后再提交", "Change something first"), id=resource.id)  # fmt: skip
    number = newest(unit.session, resource)
    columns = repository.columns(unit.session, resource.id, number) if number else []
    if number is not None:  # else what the first delivery brings decides
        _require_columns(resource, facts, columns)
        if weakened(before, facts, columns):
            return _ask_second(unit, resource, number, facts, reason)
    _set(unit, resource, facts, reason)
    return None


def _set(unit: Unit, resource: Resource, facts: Facts, reason: str) -> None:
    before = resource.facts
    resource.subjects = facts.stored()
    unit.audit("resource:subjects", "resource", resource.id, before=before.stored(), after=facts.stored(),
               reason=reason.strip())  # fmt: skip
    if facts.digest != before.digest:
        verify_again(unit, resource)


def _ask_second(unit: Unit, resource: Resource, number: int, facts: Facts, reason: str) -> Lowering:
    if waiting(unit.session, resource.id) is not None:
        raise Conflict(
            "lowering.exists",
            Text("主体与角色已有一份放宽保护的申请待核定", "A request to protect this table less is waiting already"),
            fix=Text("请先撤回原申请，或等待核定", "Withdraw it first, or wait for the decision"), id=resource.id,
        )  # fmt: skip
    row = Lowering(
        id=new_id("low"), organisation_id=resource.organisation_id, state=LOWERING.initial, state_since=unit.now,
        created_at=unit.now, resource_id=resource.id, version=number, column_name="",
        before=resource.facts.stored(), after=facts.stored(), reason=reason.strip(), author_id=unit.actor.id,
        reviewer_id=None, decision="",
    )  # fmt: skip
    unit.session.add(row)
    unit.session.flush()
    unit.audit("lowering:request", "resource", resource.id, lowering=row.id, before=row.before, after=row.after,
               reason=row.reason)  # fmt: skip
    return row


def waiting(session: Session, resource_id: str) -> Lowering | None:
    """The request to protect a table's entities less that a second person has to decide on, if any."""
    asked = repository.lowerings(session, resource_id=resource_id, state="requested")
    return next((one for one in asked if not one.column_name), None)


def lower(unit: Unit, resource: Resource, request: Lowering) -> None:
    """Declare what a second person has agreed to. Raises `Conflict` when other facts were declared in between."""
    if resource.facts != Facts.of(request.before):
        raise Conflict(
            "lowering.outdated",
            Text("申请之后主体与角色已另有调整，不能按原申请核定", "Something else was declared since"),
            fix=Text("请撤回后按现状重新申请", "Withdraw it and ask again from what is declared now"), id=resource.id,
        )  # fmt: skip
    _set(unit, resource, Facts.of(request.after), request.reason)


def _require_columns(resource: Resource, facts: Facts, columns: Sequence[ResourceColumn]) -> None:
    known = {c.name for c in columns}
    named = {*facts.columns, *(c for fact in facts.entities.values() for c in fact.columns)}
    if missing := sorted(named - known):
        raise BadInput(
            "subject.column",
            Text(f"没有这些列：{'、'.join(missing)}", f"There are no such columns: {', '.join(missing)}"),
            fix=Text("请核对列名", "Check the names"), id=resource.id, columns=missing,
        )  # fmt: skip


def newest(session: Session, resource: Resource) -> int | None:
    """Number of the version people work on: the one that waits, else the published one; None before the first."""
    waiting = repository.pending(session, resource.id)
    return (waiting.version if waiting else None) or resource.current_version


def verify_again(unit: Unit, resource: Resource) -> None:
    """Have the facts verified over the rows on record; a delivery that is being read brings its own verification."""
    if newest(unit.session, resource) is not None:
        unit.enqueue(JOB, "resource", resource.id)


def to_check(session: Session, resource: Resource) -> Sequence[ResourceVersion]:
    """Versions whose rows the facts are verified over: the published one and the one that waits."""
    numbers = {n for n in (resource.current_version, newest(session, resource)) if n}
    return [repository.version(session, resource.id, n) for n in sorted(numbers)]


# ---- what people see ----


@dataclass(frozen=True, slots=True)
class ColumnRole:
    """One column as the proofs treat it: by its grade, or as the department corrected it (`said`)."""

    name: str
    role: Role
    perturb: Perturbation
    by_grade: Role
    said: ColumnFact | None


@dataclass(frozen=True, slots=True)
class Standing:
    """The facts of a table, and how far the rows of the version people work on bear them out."""

    resource: Resource
    version: int | None
    check: SubjectCheck | None
    """None: not verified (yet), so nothing of it is used"""
    columns: list[ColumnRole]

    @property
    def facts(self) -> Facts:
        return self.resource.facts


def read(unit: Unit, resource_id: str) -> Standing:
    """What is declared of a resource and what the verification of its newest version found."""
    resource = repository.get(unit.session, resource_id)
    permissions.check(unit.actor, "resource:read", owner=resource.organisation_id)
    number, facts = newest(unit.session, resource), resource.facts
    if number is None:
        return Standing(resource, None, None, [])
    columns = repository.columns(unit.session, resource.id, number)
    check = verified(unit.session, resource, repository.version(unit.session, resource.id, number))
    roles, modes = roles_of(facts, columns), perturbations_of(facts, columns)
    told = [
        ColumnRole(c.name, roles[c.name], modes[c.name], derived_role(c), facts.columns.get(c.name)) for c in columns
    ]  # fmt: skip
    return Standing(resource, number, check, told)


# ---- what the platform does by itself ----


def verify_dependants(unit: Unit, resource: Resource) -> list[str]:
    """Have the facts verified again of the tables whose owners are looked up in this one, now that it has new rows."""
    asked = []
    for other in repository.every(unit.session):
        through = {f.through.resource for f in other.facts.entities.values() if f.through}
        if other.id != resource.id and resource.name in through:
            verify_again(unit, other)
            asked.append(other.id)
    return asked


def verify_unverified(unit: Unit) -> list[str]:
    """Have the facts verified of every published version that they were not verified over: declared before there was
    a verification, or whose job was lost. Returns the resources; one with a job on its way, or failed, is left alone.
    """
    asked = []
    for resource in repository.every(unit.session, state="published"):
        version = repository.version(unit.session, resource.id, resource.current_version or 0)
        if verified(unit.session, resource, version) is not None:
            continue
        known = [job for job in jobs.of_subject(unit.session, "resource", resource.id) if job.kind == JOB]
        if not known or known[0].state == jobs.SUCCEEDED:
            verify_again(unit, resource)
            asked.append(resource.id)
    return asked
