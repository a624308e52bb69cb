"""Policy editions in force: shipped ones are installed with the platform, later ones activated by two people."""

from __future__ import annotations

from datetime import date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Text as LongText
from sqlalchemy import bindparam, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from policies import editions as shipped_editions
from policies.problems import PolicyError
from policies.schema.base import Edition
from policies.text import Text
from sandbox.kernel import permissions
from sandbox.kernel.clock import city_date
from sandbox.kernel.database import Base, short
from sandbox.kernel.errors import Conflict, InvalidTransition, NotFound, NotPermitted
from sandbox.kernel.ids import new_id

if TYPE_CHECKING:
    from sandbox.kernel.unit import Unit

PROPOSED, ACTIVE = "proposed", "active"
_LOOKED_UP = "edition in force"
"""key of what a transaction has asked for: it judges by one edition of a kind, however often it asks"""


class PolicyEdition(Base):
    """The full text of an edition, so that an old verdict can be read without the repository."""

    __tablename__ = "policy_edition"

    id: Mapped[str] = short(primary_key=True)
    kind: Mapped[str] = short(40, index=True)
    edition: Mapped[str] = short(40)
    digest: Mapped[str] = short(64, unique=True)
    text: Mapped[str] = mapped_column(LongText)
    state: Mapped[str] = short(20)
    effective_from: Mapped[str] = short(10)
    proposed_by: Mapped[str] = short(80)
    proposed_at: Mapped[datetime]
    activated_by: Mapped[str | None] = short(80, nullable=True)
    activated_at: Mapped[datetime | None]


_KEPT = Base.metadata.tables["policy_edition"].c
_IN_FORCE = (
    select(_KEPT.edition, _KEPT.text, _KEPT.digest)
    .where(_KEPT.kind == bindparam("kind"), _KEPT.state == ACTIVE, _KEPT.effective_from <= bindparam("today"))
    .order_by(_KEPT.effective_from.desc(), _KEPT.activated_at.desc())
    .limit(1)
)  # fmt: skip


def install_shipped(unit: Unit) -> int:
    """Record every edition that came with the platform as active; returns how many were new.

    Their two people are the ones named in the file (`prepared_by`, `approved_by`).
    """
    known = set(unit.session.scalars(select(PolicyEdition.digest)))
    every_shipped = (
        shipped_editions.load(kind, name) for kind in shipped_editions.KINDS for name in shipped_editions.shipped(kind)
    )
    new = [e for e in every_shipped if e.digest not in known]
    for edition in new:
        row = _row(unit, edition, edition.prepared_by)
        row.state, row.activated_by, row.activated_at = ACTIVE, edition.approved_by, unit.now
        unit.session.info.pop(_LOOKED_UP, None)
        unit.audit("policy:install", "policy", row.id, kind=row.kind, edition=row.edition, digest=row.digest)
    return len(new)


def propose(unit: Unit, text: str) -> PolicyEdition:
    """An officer proposes an edition. Raises `PolicyError` with line and field when it does not hold."""
    permissions.check(unit.actor, "policy:propose")
    edition = shipped_editions.load_text(text)
    if unit.session.scalars(select(PolicyEdition).where(PolicyEdition.digest == edition.digest)).first():
        raise Conflict("policy.exists", Text("这份规则已经存在", "This edition exists already"))
    same = select(PolicyEdition).where(PolicyEdition.kind == edition.kind, PolicyEdition.edition == edition.edition)
    if unit.session.scalars(same).first():
        raise Conflict("policy.edition_taken", Text("版本号已被使用", "The edition's number is taken"),
                       fix=Text("请换一个版本号", "Choose another number"))  # fmt: skip
    row = _row(unit, edition, unit.actor.id)
    unit.audit("policy:propose", "policy", row.id, kind=row.kind, edition=row.edition, digest=row.digest)
    return row


def activate(unit: Unit, edition_id: str) -> PolicyEdition:
    """A second officer puts a proposed edition into force from its date on."""
    permissions.check(unit.actor, "policy:activate")
    row = unit.session.get(PolicyEdition, edition_id)
    if row is None:
        raise NotFound.of("policy", edition_id)
    if row.state != PROPOSED:
        raise InvalidTransition(
            "policy.not_proposed", Text("只有待生效的版本可以启用", "Only a proposed edition"), id=row.id
        )
    if row.proposed_by == unit.actor.id:
        raise NotPermitted(
            "policy.same_person",
            Text("启用规则须由提出人以外的第二人办理", "The second person must differ from the proposer"),
            fix=Text("请交给另一位合规人员", "Hand it to another officer"),
            id=row.id,
        )
    row.state, row.activated_by, row.activated_at = ACTIVE, unit.actor.id, unit.now
    unit.session.info.pop(_LOOKED_UP, None)
    unit.audit("policy:activate", "policy", row.id, kind=row.kind, edition=row.edition, digest=row.digest)
    return row


def in_force(unit: Unit, kind: str) -> Edition[Any]:
    """The typed edition of `kind` in force today.

    Raises `NotFound` when there is none and `PolicyError` when its stored text no longer is what two people put into
    force, or does not load: nothing is then decided, and never by an older edition instead.
    """
    today = city_date(unit.now).isoformat()
    looked_up: dict[tuple[str, str], Edition[Any]] = unit.session.info.setdefault(_LOOKED_UP, {})
    if (kind, today) in looked_up:
        return looked_up[kind, today]
    row = unit.session.execute(_IN_FORCE, {"kind": kind, "today": today}).first()
    if row is None:
        raise NotFound(
            "policy.none_in_force",
            Text(f"没有生效的“{kind}”规则", f"No {kind} edition is in force"),
            fix=Text("请合规人员启用一个版本", "An officer must activate one"),
        )
    found = _checked(kind, row.edition, row.text, row.digest)
    looked_up[kind, today] = found
    return found


def named(session: Session, kind: str, edition: str) -> Edition[Any]:
    """An edition by its number, in force or not: what was done under it is read by it. Raises as `in_force`."""
    wanted = select(PolicyEdition).where(PolicyEdition.kind == kind, PolicyEdition.edition == edition)
    row = session.scalars(wanted).first()
    if row is None:
        raise NotFound.of("policy", f"{kind} {edition}")
    return _checked(kind, edition, row.text, row.digest)


@lru_cache(maxsize=64)
def _loaded(text: str, name: str) -> Edition[Any]:
    """Each statement of a merchant asks for its quotas; the same text gives the same edition."""
    return shipped_editions.load_text(text, name)


def _checked(kind: str, edition: str, text: str, digest: str) -> Edition[Any]:
    found = _loaded(text, f"{kind} {edition}")
    if found.digest != digest:
        raise PolicyError(
            "policy.changed",
            Text(f"生效的“{kind}”规则 {edition} 版被改动", f"{kind} edition {edition} in force was changed"),
            fix=Text("请运维人员恢复原文，或由合规人员启用新版", "Restore its text, or activate a new edition"),
            kind=kind, edition=edition,
        )  # fmt: skip
    return found


def every(session: Session) -> list[PolicyEdition]:
    return list(session.scalars(select(PolicyEdition).order_by(PolicyEdition.kind, PolicyEdition.effective_from)))


def _row(unit: Unit, edition: Edition[Any], proposed_by: str) -> PolicyEdition:
    effective: date = edition.effective_from
    row = PolicyEdition(
        id=new_id("pol"), kind=edition.kind, edition=edition.edition, digest=edition.digest, text=edition.full_text,
        state=PROPOSED, effective_from=effective.isoformat(), proposed_by=proposed_by, proposed_at=unit.now,
        activated_by=None, activated_at=None,
    )  # fmt: skip
    unit.session.add(row)
    unit.session.flush()
    return row
