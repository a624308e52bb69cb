"""Ties between merchants: one beneficial owner, or a consortium. What one has seen the others are taken to know.

A merchant declares its own ties; the operator declares them for any. A tie is a name both sides give alike (the
registered name or credit code of the owner, the number of the consortium's agreement), never a person's name.
"""

from __future__ import annotations

import unicodedata
from datetime import datetime
from typing import Literal, get_args

from sqlalchemy import select
from sqlalchemy.orm import Mapped, Session, aliased

from policies.text import Text
from sandbox.kernel import permissions
from sandbox.kernel.database import Base, short
from sandbox.kernel.errors import BadInput, NotFound
from sandbox.kernel.unit import Unit
from sandbox.merchants.service import Merchant

TieKind = Literal["beneficial_owner", "consortium"]
KINDS: dict[TieKind, Text] = {
    "beneficial_owner": Text("同一受益所有人", "one beneficial owner"),
    "consortium": Text("同一联合体", "one consortium"),
}


class MerchantTie(Base):
    """A merchant's declared tie. It is never taken back: what was shared while it held has been seen."""

    __tablename__ = "merchant_tie"

    merchant_id: Mapped[str] = short(primary_key=True)
    kind: Mapped[str] = short(20, primary_key=True)
    name: Mapped[str] = short(200, primary_key=True, index=True)
    declared_by: Mapped[str] = short()
    declared_at: Mapped[datetime]


def declare(unit: Unit, merchant_id: str, kind: str, name: str) -> MerchantTie:
    """Declare that a merchant has a tie; saying it again changes nothing.

    Raises `NotFound`, `NotPermitted`, and `BadInput` for another kind or an empty name.
    """
    merchant = unit.session.get(Merchant, merchant_id)
    if merchant is None:
        raise NotFound.of("merchant", merchant_id)
    permissions.check(unit.actor, "merchant:tie", owner=merchant.organisation_id)
    same = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
    if kind not in get_args(TieKind) or not same:
        raise BadInput(
            "merchant.tie", Text("关联关系的类别或名称不正确", "The kind or the name of the tie is not right"),
            fix=Text("请填写受益所有人或联合体的登记名称", "Give the registered name of the owner or the consortium"),
        )  # fmt: skip
    found = unit.session.get(MerchantTie, (merchant_id, kind, same))
    if found is None:
        found = MerchantTie(
            merchant_id=merchant_id, kind=kind, name=same, declared_by=unit.actor.id, declared_at=unit.now
        )
        unit.session.add(found)
        unit.session.flush()
        unit.audit("merchant:tie", "merchant", merchant_id, kind=kind)
    return found


def ties_of(unit: Unit, merchant_id: str) -> list[MerchantTie]:
    """The declared ties of one merchant."""
    permissions.check(unit.actor, "merchant:read", owner=merchant_id)
    statement = select(MerchantTie).where(MerchantTie.merchant_id == merchant_id)
    return list(unit.session.scalars(statement.order_by(MerchantTie.kind, MerchantTie.name)))


def readers_with(session: Session, merchant_id: str) -> frozenset[str]:
    """The merchant and all that share a tie with it, directly or over others."""
    mine, theirs = aliased(MerchantTie), aliased(MerchantTie)
    found, new = {merchant_id}, {merchant_id}
    while new:
        shared = (mine.kind == theirs.kind) & (mine.name == theirs.name)
        statement = select(theirs.merchant_id).join(mine, shared).where(mine.merchant_id.in_(sorted(new)))
        new = set(session.scalars(statement)) - found
        found |= new
    return frozenset(found)
