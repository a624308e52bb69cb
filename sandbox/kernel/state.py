"""Facts about this installation that are neither settings nor business records."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, bindparam, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from sandbox.kernel.database import Base, short

CLOCK_OFFSET = "clock_offset_seconds"
"""seconds the demonstration city's clock runs ahead of the machine's"""
DEMONSTRATION = "demonstration"
"""the name of the demonstration city, when this installation holds one (and then no real person)"""
ISOLATION = "isolation"
"""result of the last start-up self-test: tier, attacks, time"""
ISOLATION_DECISION = "isolation_decision"
"""an operator's recorded decision to work on a weaker tier"""


class PlatformState(Base):
    """Key and JSON value."""

    __tablename__ = "platform_state"

    key: Mapped[str] = short(primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)


_STATES = Base.metadata.tables["platform_state"]
_VALUE = select(_STATES.c.value).where(_STATES.c.key == bindparam("key"))


def read(session: Session, key: str, default: Any = None) -> Any:
    row = session.execute(_VALUE, {"key": key}).first()
    return default if row is None else row.value


def write(session: Session, key: str, value: Any) -> None:
    row = session.get(PlatformState, key)
    if row is None:
        session.add(PlatformState(key=key, value=value))
    else:
        row.value = value
    session.flush()
