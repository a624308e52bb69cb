"""Every state machine is one table of rows. Code, permission, button with reason, clock and diagram come from it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy.orm import Mapped, declared_attr, mapped_column

from policies.text import Text, UserError
from sandbox.kernel import clocks, permissions
from sandbox.kernel.database import short
from sandbox.kernel.errors import BadInput, InvalidTransition
from sandbox.kernel.identity import ROLE_NAMES, Role

if TYPE_CHECKING:
    from sandbox.kernel.unit import Unit


@dataclass(frozen=True, slots=True)
class State:
    """One state, in words, with whose turn it is (None: nobody's, the object rests)."""

    name: str
    label: Text
    turn: Role | None = None
    tone: str = "neutral"
    """how the badge looks: neutral, active, good, warn, bad"""


@dataclass(frozen=True, slots=True)
class Transition:
    """One row of the table."""

    name: str
    sources: tuple[str, ...]
    target: str
    action: str
    label: Text
    guards: tuple[str, ...] = ()
    clock: str | None = None
    """clock that starts when the target is reached; every clock of the object stops on any transition"""
    reason: bool = False
    """whether a written reason is obligatory"""


class Record(Protocol):
    """What a record with a lifecycle has."""

    id: str
    state: str
    state_since: datetime
    organisation_id: str

    @property
    def parties(self) -> Collection[str]: ...


Guard = Callable[["Unit", Any], None]


@dataclass(frozen=True, slots=True)
class Offer:
    """A transition as a button: allowed, or not with the reason."""

    name: str
    label: Text
    allowed: bool
    why_not: Text | None
    needs_reason: bool


@dataclass(frozen=True)
class Lifecycle:
    """A noun's state machine. `event` names in the audit log are `noun:transition`."""

    noun: str
    title: Text
    initial: str
    states: tuple[State, ...]
    transitions: tuple[Transition, ...]
    guards: dict[str, Guard] = field(default_factory=dict, compare=False)

    def state(self, name: str) -> State:
        return next(s for s in self.states if s.name == name)

    def transition(self, name: str) -> Transition:
        return next(t for t in self.transitions if t.name == name)

    def guard(self, name: str) -> Callable[[Guard], Guard]:
        """Register the function behind a guard name used in the table."""

        def register(function: Guard) -> Guard:
            self.guards[name] = function
            return function

        return register

    def check(self, unit: Unit, record: Record, name: str) -> Transition:
        """Raise unless the actor may perform transition `name` on `record` now: permission, then state, then guards."""
        row = self.transition(name)
        permissions.check(unit.actor, row.action, owner=record.organisation_id, parties=record.parties)
        if record.state not in row.sources:
            raise self._wrong_state(record, row)
        for guard in row.guards:
            self.guards[guard](unit, record)
        return row

    def advance(self, unit: Unit, record: Record, name: str, *, reason: str = "", **detail: Any) -> None:
        """Perform transition `name`: check, move, stop and start clocks, write the audit event. All in one transaction.

        Raises `NotPermitted`/`NotFound` (permission), `InvalidTransition` (state), whatever a guard raises, and
        `BadInput` when the row demands a reason and none is given.
        """
        row = self.check(unit, record, name)
        if row.reason and not reason.strip():
            raise BadInput(
                "lifecycle.reason_missing",
                Text(f"“{row.label.zh}”必须填写理由", f"“{row.label.en}” needs a reason"),
                fix=Text("请写明理由后重新提交", "Write the reason and submit again"),
                transition=name,
            )
        source, record.state, record.state_since = record.state, row.target, unit.now
        unit.session.flush()
        clocks.stop(unit, self.noun, record.id, name)
        if row.clock:
            clocks.start(unit, row.clock, self.noun, record.id, record.organisation_id)
        unit.audit(
            f"{self.noun}:{name}", self.noun, record.id, source=source, target=row.target, **_said(reason), **detail
        )

    def offers(self, unit: Unit, record: Record) -> list[Offer]:
        """The transitions out of the present state that the actor's role could ever perform, as buttons."""
        rows = [t for t in self.transitions if record.state in t.sources]
        mine = [t for t in rows if unit.actor.role in permissions.PERMISSIONS[t.action]]
        return [self._offer(unit, record, row) for row in mine]

    def _offer(self, unit: Unit, record: Record, row: Transition) -> Offer:
        try:
            self.check(unit, record, row.name)
        except UserError as refused:
            return Offer(row.name, row.label, False, refused.text, row.reason)
        return Offer(row.name, row.label, True, None, row.reason)

    def _wrong_state(self, record: Record, row: Transition) -> InvalidTransition:
        now = self.state(record.state).label
        wanted = [self.state(s).label for s in row.sources]
        return InvalidTransition(
            f"{self.noun}.wrong_state",
            Text(
                f"当前状态是“{now.zh}”，只有在“{'”“'.join(w.zh for w in wanted)}”时才能“{row.label.zh}”",
                f"The state is “{now.en}”; “{row.label.en}” is possible only in “{'”, “'.join(w.en for w in wanted)}”",
            ),
            fix=Text("请刷新页面查看最新状态", "Reload the page to see the present state"),
            transition=row.name, state=record.state,
        )  # fmt: skip

    def mermaid(self) -> str:
        """The state diagram, for the documentation."""
        lines = ["stateDiagram-v2", f"    [*] --> {self.initial}"]
        lines += [f'    state "{s.label.zh} {s.name}" as {s.name}' for s in self.states]
        for row in self.transitions:
            who = "/".join(ROLE_NAMES[r].zh for r in permissions.PERMISSIONS[row.action])
            clock = f" ⏱{row.clock}" if row.clock else ""
            lines += [f"    {source} --> {row.target}: {row.label.zh}（{who}）{clock}" for source in row.sources]
        leaving = {s for t in self.transitions for s in t.sources}
        lines += [f"    {s.name} --> [*]" for s in self.states if s.name not in leaving]
        return "\n".join(lines)


def _said(reason: str) -> Mapping[str, str]:
    return {"reason": reason.strip()} if reason.strip() else {}


class StatefulMixin:
    """Columns of a record with a lifecycle; `row_version` makes the second of two simultaneous changes fail."""

    id: Mapped[str] = short(primary_key=True)
    organisation_id: Mapped[str] = short(index=True)
    state: Mapped[str] = short(30, index=True)
    state_since: Mapped[datetime]
    created_at: Mapped[datetime]
    row_version: Mapped[int] = mapped_column(default=0)

    @declared_attr.directive
    def __mapper_args__(cls) -> dict[str, Any]:
        return {"version_id_col": cls.__table__.c.row_version}  # type: ignore[attr-defined]

    @property
    def parties(self) -> Collection[str]:
        return ()
