"""Tables and use cases of onboarding (one module: small)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Mapped, Session

from policies.text import Text
from sandbox.detection import checksums
from sandbox.kernel import accounts, permissions
from sandbox.kernel.database import Base, short
from sandbox.kernel.errors import BadInput, Conflict, InvalidTransition, NotFound, NotPermitted
from sandbox.kernel.identity import OrganisationKind, Role
from sandbox.kernel.ids import new_id
from sandbox.kernel.lifecycle import StatefulMixin
from sandbox.kernel.unit import Unit
from sandbox.merchants.model import MATERIALS, MERCHANT, ONBOARDING


class Onboarding(StatefulMixin, Base):
    """An organisation's application to enter."""

    __tablename__ = "onboarding"

    contact: Mapped[str] = short(80)
    business: Mapped[str] = short(4000)
    materials: Mapped[dict[str, Any]]
    """material key → file name and digest of what was handed in"""


class Merchant(StatefulMixin, Base):
    """An admitted merchant; its id is its organisation's."""

    __tablename__ = "merchant"

    onboarding_id: Mapped[str] = short()


def register_organisation(
    unit: Unit, *, name: str, uscc: str, login: str, person: str, password: str
) -> accounts.Account:
    """Anyone may open an account for a company; it can do nothing before it is admitted, except apply.

    Raises `BadInput` on a wrong credit code and `Conflict` when it is registered already, which also keeps the
    operator and departments from becoming merchants (运商分离).
    """
    if not checksums.uscc(uscc):
        raise BadInput(
            "organisation.uscc",
            Text("统一社会信用代码校验不通过", "The credit code's check character is wrong"),
            fix=Text("请核对营业执照上的 18 位代码", "Compare it with the 18 characters on the licence"),
        )
    organisation = accounts.create_organisation(unit, OrganisationKind.MERCHANT, name, uscc)
    return accounts.create_account(unit, organisation, Role.MERCHANT, login, person, password)


def apply(unit: Unit, *, contact: str, business: str, materials: dict[str, str]) -> Onboarding:
    """Draft an onboarding application for the actor's own organisation."""
    permissions.check(unit.actor, "onboarding:submit")
    pending = unit.session.scalars(
        select(Onboarding).where(
            Onboarding.organisation_id == unit.actor.organisation_id, Onboarding.state != "rejected"
        )
    ).first()
    if pending:
        raise Conflict("onboarding.exists", Text("本单位已有进驻申请", "Your organisation has already applied"),
                       fix=Text("请在原申请上继续办理", "Continue with that application"), id=pending.id)  # fmt: skip
    record = Onboarding(
        id=new_id("onb"), organisation_id=unit.actor.organisation_id, state=ONBOARDING.initial, state_since=unit.now,
        created_at=unit.now, contact=contact, business=business, materials=materials,
    )  # fmt: skip
    unit.session.add(record)
    unit.session.flush()
    unit.audit("onboarding:draft", "onboarding", record.id)
    return record


@ONBOARDING.guard("materials_complete")
def _materials_complete(_unit: Unit, record: Onboarding) -> None:
    missing = [title for key, title in MATERIALS.items() if not record.materials.get(key)]
    if missing:
        raise InvalidTransition(
            "onboarding.materials",
            Text("缺少材料：" + "、".join(m.zh for m in missing), "Missing: " + ", ".join(m.en for m in missing)),
            fix=Text("请补齐后提交", "Add them and submit"),
            id=record.id,
        )


def add_materials(unit: Unit, onboarding_id: str, materials: dict[str, str]) -> Onboarding:
    record = get(unit.session, onboarding_id)
    permissions.check(unit.actor, "onboarding:submit", owner=record.organisation_id)
    if record.state not in ("draft", "returned"):
        raise InvalidTransition(
            "onboarding.wrong_state", Text("只有草稿或退回状态可以补充材料", "Only a draft or returned one")
        )
    unknown = set(materials) - set(MATERIALS)
    if unknown:
        raise BadInput("onboarding.material_unknown", Text("有不认识的材料项", "There is an unknown material"),
                       unknown=",".join(sorted(unknown)))  # fmt: skip
    record.materials = {**record.materials, **materials}
    return record


def submit(unit: Unit, onboarding_id: str) -> Onboarding:
    record = get(unit.session, onboarding_id)
    ONBOARDING.advance(unit, record, "submit")
    return record


def decide(unit: Unit, onboarding_id: str, decision: str, reason: str) -> Onboarding:
    """The operator's check: `admit`, `return` or `reject`. Admitting makes the merchant."""
    record = get(unit.session, onboarding_id)
    if decision not in ("admit", "return", "reject"):
        raise BadInput("onboarding.decision", Text("核查结论应为准予、退回或不予", "Decide admit, return or reject"))
    ONBOARDING.advance(unit, record, decision, reason=reason)
    if decision == "admit":
        unit.session.add(
            Merchant(id=record.organisation_id, organisation_id=record.organisation_id, state=MERCHANT.initial,
                     state_since=unit.now, created_at=unit.now, onboarding_id=record.id)
        )  # fmt: skip
        unit.session.flush()
    return record


def change_standing(unit: Unit, merchant_id: str, step: str, reason: str) -> Merchant:
    """The operator suspends or resumes a merchant."""
    merchant = unit.session.get(Merchant, merchant_id)
    if merchant is None:
        raise NotFound.of("merchant", merchant_id)
    if step not in ("suspend", "resume"):
        raise BadInput("merchant.step", Text("只能暂停或恢复", "Suspend or resume"))
    MERCHANT.advance(unit, merchant, step, reason=reason)
    return merchant


def require_active(unit: Unit) -> Merchant:
    """The actor's merchant record. Raises `NotPermitted` unless admitted and active."""
    merchant = unit.session.get(Merchant, unit.actor.organisation_id)
    if merchant is None:
        raise NotPermitted(
            "merchant.not_admitted",
            Text("贵单位尚未进驻，不能办理这一步", "Your organisation has not been admitted yet"),
            fix=Text("请先提交进驻申请", "Apply to enter first"),
        )
    if merchant.state != "active":
        raise NotPermitted("merchant.suspended", Text("贵单位已被暂停", "Your organisation is suspended"),
                           fix=Text("请联系运营机构", "Contact the operator"))  # fmt: skip
    return merchant


def get(session: Session, onboarding_id: str) -> Onboarding:
    record = session.get(Onboarding, onboarding_id)
    if record is None:
        raise NotFound.of("onboarding", onboarding_id)
    return record


def read(unit: Unit, onboarding_id: str) -> Onboarding:
    record = get(unit.session, onboarding_id)
    permissions.check(unit.actor, "onboarding:read", owner=record.organisation_id)
    return record


def list_for(unit: Unit) -> list[Onboarding]:
    """Applications the actor may see: the merchant's own, or all."""
    permissions.check(unit.actor, "onboarding:read")
    statement = select(Onboarding).order_by(Onboarding.created_at.desc())
    if permissions.PERMISSIONS["onboarding:read"][unit.actor.role] is permissions.Scope.OWN:
        statement = statement.where(Onboarding.organisation_id == unit.actor.organisation_id)
    return list(unit.session.scalars(statement))


def merchants(unit: Unit) -> list[Merchant]:
    permissions.check(unit.actor, "merchant:read")
    statement = select(Merchant).order_by(Merchant.created_at)
    if permissions.PERMISSIONS["merchant:read"][unit.actor.role] is permissions.Scope.OWN:
        statement = statement.where(Merchant.organisation_id == unit.actor.organisation_id)
    return list(unit.session.scalars(statement))
