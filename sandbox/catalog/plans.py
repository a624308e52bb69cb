"""仿真方案: what the machine takes each column for, the questions it has, and what an operator answers.

The pipeline proposes a plan for every version and says which meanings a column may be given; an identifier's are only
those that are never learned from real values. Answers are kept by column name and type, so that they hold for later
versions of the same columns, and are asked for anew where a column changes its type.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import UniqueConstraint, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from policies.text import Text
from sandbox.catalog import repository
from sandbox.catalog.repository import Resource
from sandbox.kernel import permissions
from sandbox.kernel.database import Base, short
from sandbox.kernel.errors import BadInput, Conflict, NotFound
from sandbox.kernel.ids import new_id
from sandbox.kernel.unit import Unit

DEFAULT = "shape"
"""the answer that is taken where nobody answers: new values of the column's shape, no sign of a real one"""
_LONGEST = 40


class FieldPlan(Base):
    """What the machine proposes for the columns of one version; `entries` hold no value of any row."""

    __tablename__ = "field_plan"

    id: Mapped[str] = short(primary_key=True)
    resource_id: Mapped[str] = short(index=True)
    version: Mapped[int]
    made_at: Mapped[datetime]
    entries: Mapped[list[Any]]

    __table_args__ = (UniqueConstraint("resource_id", "version"),)


class FieldAnswer(Base):
    """What somebody said a column means, newest counts; an empty `semantic` takes the one before back."""

    __tablename__ = "field_answer"

    id: Mapped[str] = short(primary_key=True)
    resource_id: Mapped[str] = short(index=True)
    number: Mapped[int]
    """the how-manieth answer about its resource"""
    version: Mapped[int]
    column_name: Mapped[str] = short(200)
    column_type: Mapped[str] = short(40)
    semantic: Mapped[str] = short(_LONGEST)
    by_default: Mapped[bool] = mapped_column(default=False)
    """whether the default was taken instead of an answer"""
    answered_by: Mapped[str] = short()
    answered_at: Mapped[datetime]

    __table_args__ = (UniqueConstraint("resource_id", "number"),)


@dataclass(frozen=True, slots=True)
class PlannedColumn:
    """One column of the plan as it stands: the machine's entry, and the answer that counts over it, if any."""

    entry: Mapping[str, Any]
    answer: FieldAnswer | None
    expired: bool = False
    """somebody answered, but what the answer says is no longer possible for this column"""

    @property
    def name(self) -> str:
        return str(self.entry["name"])

    @property
    def semantic(self) -> str:
        """What the column is simulated as; "" while that is an open question."""
        return self.answer.semantic if self.answer else str(self.entry["semantic"])

    @property
    def by(self) -> str:
        """machine, declared, operator or default."""
        if self.answer is None:
            return str(self.entry["by"])
        return "default" if self.answer.by_default else "operator"

    @property
    def open(self) -> bool:
        return not self.semantic


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of one version."""

    version: int
    columns: list[PlannedColumn]

    @property
    def questions(self) -> list[str]:
        return [c.name for c in self.columns if c.open]

    def column(self, name: str) -> PlannedColumn:
        """Raises `NotFound`."""
        for column in self.columns:
            if column.name == name:
                return column
        raise NotFound.of("column", name)


def propose(unit: Unit, resource_id: str, version: int, entries: Sequence[Mapping[str, Any]]) -> None:
    """Keep what the pipeline makes of a version's columns; questions that are new go to the audit log."""
    permissions.check(unit.actor, "simulated:generate")
    row = _proposal(unit.session, resource_id, version)
    before = {e["name"] for e in row.entries if e["open"]} if row else set()
    if row is None:
        row = FieldPlan(id=new_id("pln"), resource_id=resource_id, version=version, made_at=unit.now, entries=[])
        unit.session.add(row)
    row.entries, row.made_at = [dict(e) for e in entries], unit.now
    unit.session.flush()
    asked = [c.name for c in _overlaid(unit.session, row) if c.open]
    if set(asked) - before:
        unit.audit("plan:ask", "resource", resource_id, version=version, columns=asked)


def answers(session: Session, resource_id: str) -> dict[tuple[str, str], FieldAnswer]:
    """The newest answer by column name and type; those taken back are left out."""
    statement = select(FieldAnswer).where(FieldAnswer.resource_id == resource_id).order_by(FieldAnswer.number)
    newest = {(a.column_name, a.column_type): a for a in session.scalars(statement)}
    return {key: a for key, a in newest.items() if a.semantic}


def read(unit: Unit, resource_id: str) -> Plan | None:
    """The plan of the version people work on: the one that waits, else the published one. None before the first.

    For those who govern the resource.
    """
    resource = repository.get(unit.session, resource_id)
    permissions.check(unit.actor, "resource:read", owner=resource.organisation_id)
    return _plan(unit.session, resource)


def waiting_for(unit: Unit) -> list[Resource]:
    """Resources whose plan has open questions, for those who answer them."""
    permissions.check(unit.actor, "plan:answer")
    found = [(r, _plan(unit.session, r)) for r in repository.every(unit.session) if r.state != "withdrawn"]
    return [resource for resource, plan in found if plan is not None and plan.questions]


def answer(unit: Unit, resource_id: str, given: Mapping[str, str]) -> Plan:
    """An operator says what columns mean (column → semantic); "" goes back to what the machine makes of it.

    Raises:
        NotFound: no plan yet, or no such column.
        BadInput: a meaning that the column cannot have; for an identifier every one that would be learned.
    """
    permissions.check(unit.actor, "plan:answer")
    resource, plan = _present(unit, resource_id)
    for name, semantic in given.items():
        _check_choice(resource, plan.column(name), semantic)
    for name, semantic in given.items():
        _record(unit, resource, plan, plan.column(name), semantic, by_default=False)
    return _present(unit, resource_id)[1]


def take_default(unit: Unit, resource_id: str) -> Plan:
    """Every open question gets the default answer, on the operator's account. Raises `Conflict` when none is open."""
    permissions.check(unit.actor, "plan:answer")
    resource, plan = _present(unit, resource_id)
    if not plan.questions:
        raise Conflict(
            "plan.no_question", Text("没有待回答的列", "No column waits for an answer"),
            fix=Text("可以直接重新生成", "Make it again right away"), id=resource.id,
        )  # fmt: skip
    for name in plan.questions:
        _record(unit, resource, plan, plan.column(name), DEFAULT, by_default=True)
    return _present(unit, resource_id)[1]


def questions(session: Session, resource: Resource) -> list[str]:
    """The columns about which something is still open; empty before the first plan."""
    plan = _plan(session, resource)
    return plan.questions if plan else []


# ---- inside ----


def _proposal(session: Session, resource_id: str, version: int) -> FieldPlan | None:
    statement = select(FieldPlan).where(FieldPlan.resource_id == resource_id, FieldPlan.version == version)
    return session.scalars(statement).first()


def _plan(session: Session, resource: Resource) -> Plan | None:
    waiting = repository.pending(session, resource.id)
    number = (waiting.version if waiting else None) or resource.current_version
    row = _proposal(session, resource.id, number) if number else None
    return Plan(row.version, _overlaid(session, row)) if row else None


def _overlaid(session: Session, row: FieldPlan) -> list[PlannedColumn]:
    """The entries under the answers that still hold: of the same name and type, and among the choices."""
    given = answers(session, row.resource_id)
    columns = []
    for entry in row.entries:
        found = given.get((entry["name"], entry["type"]))
        holds = found is not None and found.semantic in entry["choices"]
        columns.append(PlannedColumn(entry, found if holds else None, found is not None and not holds))
    return columns


def _present(unit: Unit, resource_id: str) -> tuple[Resource, Plan]:
    resource = repository.get(unit.session, resource_id)
    plan = _plan(unit.session, resource)
    if plan is None:
        raise NotFound.of("plan", resource_id)
    return resource, plan


def _check_choice(resource: Resource, column: PlannedColumn, semantic: str) -> None:
    if semantic and semantic not in column.entry["choices"]:
        raise BadInput(
            "plan.choice",
            Text(f"列“{column.name}”不能按这种内容仿真", f"Column “{column.name}” cannot be simulated as that"),
            fix=Text(
                "请从该列可选的内容中选择；指向个人或单位的标识不能按真实取值学习",
                "Choose one the column offers; what identifies somebody is never learned from real values",
            ),
            id=resource.id, column=column.name,
        )  # fmt: skip


def _record(
    unit: Unit, resource: Resource, plan: Plan, column: PlannedColumn, semantic: str, *, by_default: bool
) -> None:
    last = unit.session.scalar(
        select(FieldAnswer.number).where(FieldAnswer.resource_id == resource.id).order_by(FieldAnswer.number.desc())
    )
    given = FieldAnswer(
        id=new_id("ans"), resource_id=resource.id, number=(last or 0) + 1, version=plan.version,
        column_name=column.name, column_type=column.entry["type"], semantic=semantic, by_default=by_default,
        answered_by=unit.actor.id, answered_at=unit.now,
    )  # fmt: skip
    unit.session.add(given)
    unit.session.flush()
    event = "plan:default" if by_default else "plan:answer" if semantic else "plan:reset"
    unit.audit(
        event, "resource", resource.id, version=plan.version, column=column.name, before=column.semantic, after=semantic
    )
