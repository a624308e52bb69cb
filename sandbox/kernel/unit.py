"""One transaction per request, flow step or command, with its audit events inside; nothing else commits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DataError, IntegrityError, OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from policies.text import Text, UserError
from sandbox.kernel import audit, state
from sandbox.kernel.clock import Clock, SystemClock
from sandbox.kernel.database import Database
from sandbox.kernel.errors import REFUSALS, BadInput, Conflict
from sandbox.kernel.identity import SYSTEM, Actor
from sandbox.kernel.ids import new_id
from sandbox.kernel.keys import SigningKey
from sandbox.kernel.settings import Settings

if TYPE_CHECKING:
    from sandbox.kernel.jobs import Job


_LOST_RACE = ("40001", "40P01")
"""PostgreSQL's serialisation failure and deadlock: two transactions wanted the same rows, this one was sent back"""


@dataclass(slots=True)
class Unit:
    """What a use case gets: the session, who acts, what time it is, and the ways to leave a trace."""

    platform: Platform
    session: Session
    actor: Actor
    now: datetime
    request_id: str

    @property
    def settings(self) -> Settings:
        return self.platform.settings

    def audit(self, event: str, noun: str, object_id: str, **detail: Any) -> audit.AuditEvent:
        """Write an audit event into this transaction."""
        return audit.append(
            self.session, at=self.now, actor=self.actor, event=event, noun=noun, object_id=object_id,
            request_id=self.request_id, detail=detail,
        )  # fmt: skip

    def enqueue(
        self, kind: str, noun: str, subject_id: str, *, department_id: str | None = None, round_id: str | None = None,
        waits: bool = False, **payload: Any,
    ) -> Job:  # fmt: skip
        """Ask for a job; it starts only if this transaction commits (transactional outbox).

        `department_id`: whose limit of simultaneous jobs it counts against; `round_id`: the refresh round that asks;
        `waits`: start it only after every other job of the round.
        """
        from sandbox.kernel import jobs

        return jobs.enqueue(
            self, kind, noun, subject_id, payload, department_id=department_id, round_id=round_id, waits=waits
        )

    def acting_as(self, actor: Actor) -> Unit:
        """The same transaction on behalf of another actor (the system's consequences of a person's step)."""
        return Unit(self.platform, self.session, actor, self.now, self.request_id)


class Platform:
    """One installation: settings, database, clock, keys. The composition root makes exactly one."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        settings.home.mkdir(parents=True, exist_ok=True)
        self.database = Database(settings.metadata_url)

    @property
    def signing_key(self) -> SigningKey:
        return SigningKey.load_or_create(self.settings.keys_root / "platform.pem")

    @contextmanager
    def begin(self, actor: Actor, request_id: str | None = None) -> Iterator[Unit]:
        """A unit that commits when the block ends well. A refusal rolls back and is itself written to the audit log."""
        request = request_id or new_id("req")
        try:
            with self.database.transaction() as session:
                yield self._unit(session, actor, request)
        except REFUSALS as refused:
            self.record_refusal(actor, request, refused)
            raise
        except StaleDataError as stale:
            raise _changed() from stale
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) in _LOST_RACE:
                raise _changed() from error
            raise
        except DataError as unfit:
            # The database's own text would repeat the value, so it goes no further.
            raise BadInput(
                "record.unfit",
                Text("有一项内容过长或含有不能保存的字符", "One value is too long or holds a forbidden character"),
                fix=Text("请缩短内容并去掉控制字符", "Shorten it and remove control characters"),
            ) from unfit
        except IntegrityError as clash:
            raise Conflict(
                "record.exists",
                Text("同样的记录已经存在，或引用的记录不存在", "The same record exists, or one it refers to does not"),
                fix=Text("请检查后重试", "Check and try again"),
            ) from clash

    @contextmanager
    def looking(self, actor: Actor, request_id: str | None = None) -> Iterator[Unit]:
        """A unit that only reads and waits for nobody who writes; writing in it fails. A refusal is recorded."""
        request = request_id or new_id("req")
        try:
            with self.database.looking() as session:
                yield self._unit(session, actor, request)
        except REFUSALS as refused:
            self.record_refusal(actor, request, refused)
            raise

    def system(self, request_id: str | None = None) -> Any:
        """A unit in which the platform itself acts."""
        return self.begin(SYSTEM, request_id)

    def _unit(self, session: Session, actor: Actor, request: str) -> Unit:
        offset = timedelta(seconds=state.read(session, state.CLOCK_OFFSET, 0))
        return Unit(self, session, actor, self.clock.now() + offset, request)

    def record_refusal(self, actor: Actor, request: str, refused: UserError) -> None:
        """Write a refusal to the audit log, in a transaction of its own."""
        with self.database.transaction() as session:
            unit = self._unit(session, actor, request)
            noun, subject = refused.code.split(".")[0], str(refused.detail.get("id", ""))
            facts = {k: v for k, v in refused.detail.items() if isinstance(v, str | int | float | bool)}
            unit.audit("access:refused", noun, subject, code=refused.code, **facts)


def _changed() -> Conflict:
    return Conflict(
        "record.changed",
        Text("这条记录刚刚被别人修改过", "Somebody else has just changed this record"),
        fix=Text("请刷新后重试", "Reload and try again"),
    )
