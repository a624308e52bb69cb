"""The audit log: append-only, hash-chained, with signed checkpoints.

Each row's hash covers its own canonical JSON and the hash before it; database triggers refuse UPDATE and DELETE; the
head of the chain is signed from time to time and the signature kept outside the database, so that a rewrite by the
database's owner shows too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Integer, Row, String, Text, insert, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from sandbox.kernel.database import Base, short
from sandbox.kernel.identity import Actor
from sandbox.kernel.keys import SigningKey, verify_signature

GENESIS = "0" * 64
_SEQ = BigInteger().with_variant(Integer(), "sqlite")


class AuditEvent(Base):
    """One thing that happened. `detail` holds names, counts and digests, never a value of a record."""

    __tablename__ = "audit_event"

    seq: Mapped[int] = mapped_column(_SEQ, primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    actor_id: Mapped[str] = short()
    role: Mapped[str] = short(20)
    organisation_id: Mapped[str] = short(index=True)
    event: Mapped[str] = short(index=True)
    noun: Mapped[str] = short(40)
    object_id: Mapped[str] = short(index=True)
    detail: Mapped[str] = mapped_column(Text)
    request_id: Mapped[str] = short(index=True)
    previous: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))

    @property
    def facts(self) -> dict[str, Any]:
        return dict(json.loads(self.detail))


class AuditHead(Base):
    """The end of the chain; its row lock puts writers in order."""

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    seq: Mapped[int] = mapped_column(_SEQ)
    hash: Mapped[str] = mapped_column(String(64))


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: the form that is hashed and signed everywhere."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)


def _digest(row: AuditEvent) -> str:
    body = [
        row.seq, row.at.astimezone(UTC).isoformat(timespec="microseconds"), row.actor_id, row.role,
        row.organisation_id, row.event, row.noun, row.object_id, row.detail, row.request_id, row.previous,
    ]  # fmt: skip
    return hashlib.sha256(canonical(body).encode()).hexdigest()


# Every transaction writes an event, so the three statements go past the session's bookkeeping of objects.
_EVENTS, _HEADS = Base.metadata.tables["audit_event"], Base.metadata.tables["audit_head"]
_END = select(_HEADS.c.seq, _HEADS.c.hash).where(_HEADS.c.id == 1).with_for_update()
_COLUMNS = tuple(_EVENTS.c.keys())
_ADD, _MOVE = insert(_EVENTS), update(_HEADS).where(_HEADS.c.id == 1)


def hold(session: Session) -> Row[tuple[int, str]]:
    """Take the end of the chain until this transaction ends: whoever holds it writes alone. Number and hash of it."""
    return session.execute(_END).one()


def append(
    session: Session, *, at: datetime, actor: Actor, event: str, noun: str, object_id: str, request_id: str,
    detail: dict[str, Any],
) -> AuditEvent:  # fmt: skip
    """Add one event at the end of the chain, inside the caller's transaction, after what waits to be written there."""
    head = hold(session)
    row = AuditEvent(
        seq=head.seq + 1, at=at, actor_id=actor.id, role=actor.role, organisation_id=actor.organisation_id,
        event=event, noun=noun, object_id=object_id, detail=canonical(detail), request_id=request_id,
        previous=head.hash,
    )  # fmt: skip
    row.hash = _digest(row)
    session.flush()
    connection = session.connection()
    connection.execute(_ADD, {name: getattr(row, name) for name in _COLUMNS})
    connection.execute(_MOVE, {"seq": row.seq, "hash": row.hash})
    return row


@dataclass(frozen=True, slots=True)
class ChainReport:
    """Outcome of `verify`: how many rows held, and the first that does not (None when all do).

    Row 0 stands for the checkpoint file itself.
    """

    rows: int
    first_bad: int | None
    reason: str
    checkpoints: int

    @property
    def intact(self) -> bool:
        return self.first_bad is None


def _rows(session: Session) -> Iterator[AuditEvent]:
    statement = select(AuditEvent).order_by(AuditEvent.seq).execution_options(yield_per=1000)
    yield from session.scalars(statement)


def verify(session: Session, checkpoints: Path, public_key: bytes | None) -> ChainReport:
    """Recompute the whole chain and compare it with the head and with every signed checkpoint."""
    try:
        signed = {int(c["seq"]): c for c in _read_checkpoints(checkpoints)}
    except (ValueError, KeyError, TypeError):
        return ChainReport(0, 0, "checkpoint", 0)
    previous, expected = GENESIS, 1
    for row in _rows(session):
        if row.seq != expected:
            return ChainReport(expected - 1, expected, "missing", len(signed))
        if row.previous != previous or row.hash != _digest(row):
            return ChainReport(expected - 1, row.seq, "altered", len(signed))
        point = signed.pop(row.seq, None)
        if point and not _checkpoint_holds(point, row.hash, public_key):
            return ChainReport(expected - 1, row.seq, "checkpoint", len(signed))
        previous, expected = row.hash, expected + 1
        session.expunge(row)
    head = session.get_one(AuditHead, 1)
    if (head.seq, head.hash) != (expected - 1, previous) or signed:
        return ChainReport(expected - 1, expected, "truncated", len(signed))
    return ChainReport(expected - 1, None, "", len(_read_checkpoints(checkpoints)))


def checkpoint(session: Session, path: Path, key: SigningKey, at: datetime) -> dict[str, Any]:
    """Sign the present head and append the signature to the checkpoint file (outside the database)."""
    head = session.get_one(AuditHead, 1)
    body: dict[str, Any] = {"seq": head.seq, "hash": head.hash, "at": at.isoformat(), "key": key.key_id}
    body["signature"] = key.sign(canonical(body).encode()).hex()
    if head.seq and not _ends_at(path, head.seq):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(canonical(body) + "\n")
    return body


def _ends_at(path: Path, seq: int) -> bool:
    """Whether the newest checkpoint in the file is of this row already."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return bool(lines) and f'"seq":{seq},' in lines[-1]


def _read_checkpoints(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def _checkpoint_holds(point: dict[str, Any], row_hash: str, public_key: bytes | None) -> bool:
    body = {k: v for k, v in point.items() if k != "signature"}
    try:
        signature = bytes.fromhex(point["signature"])
    except (ValueError, KeyError, TypeError):
        return False
    return point.get("hash") == row_hash and (
        public_key is None or verify_signature(public_key, signature, canonical(body).encode())
    )
