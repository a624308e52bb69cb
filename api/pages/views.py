"""What the frame and its components show. Pages build these from the services' objects; templates only read them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal, Self

from policies.text import Text
from sandbox.kernel.clocks import RunningClock
from sandbox.kernel.identity import ROLE_NAMES, Role
from sandbox.kernel.lifecycle import State

Label = Text | str


@dataclass(frozen=True, slots=True)
class Viewer:
    """The signed-in person as the header shows them. The session dependency puts it on `request.state.viewer`."""

    name: str
    role: Role
    organisation: str
    workspace: str | None = None

    @property
    def role_name(self) -> Text:
        return ROLE_NAMES[self.role]


@dataclass(frozen=True, slots=True)
class Crumb:
    """One step of the breadcrumb; the last one has no address."""

    label: Label
    href: str | None = None


@dataclass(frozen=True, slots=True)
class NavItem:
    """One entry of the main navigation; `key` is its word, `roles` who sees it (empty: everybody), `also` further
    addresses that belong to it."""

    key: str
    href: str
    roles: frozenset[Role] = frozenset()
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Turn:
    """Whose move it is. `who` is empty when nothing is left to do."""

    who: Label = ""
    mine: bool = False


@dataclass(frozen=True, slots=True)
class Clock:
    """A deadline: `days_left` working days after today. `stopped`: a return halted it.
    `lapse`: passing it means consent (departments' approval only)."""

    due: date | None = None
    days_left: int | None = None
    overdue: bool = False
    stopped: bool = False
    lapse: bool = False

    @classmethod
    def of(cls, clock: RunningClock, now: datetime, *, lapse: bool = False) -> Self:
        """From the kernel's clock; one without a due day (calendar year missing) shows as having no deadline."""
        return cls(clock.due, clock.days_left(now), clock.overdue(now), clock.stopped_at is not None, lapse)

    @property
    def tone(self) -> Literal["neutral", "warn", "bad"]:
        """How urgent it looks; a stopped or absent clock presses nobody."""
        if self.stopped or self.days_left is None:
            return "neutral"
        if self.overdue:
            return "bad"
        return "warn" if self.days_left <= 1 else "neutral"


@dataclass(frozen=True, slots=True)
class QueueItem:
    """One row of a queue."""

    number: str
    title: Label
    href: str
    party: Label
    state: State
    turn: Turn = Turn()
    clock: Clock = Clock()
    note: Label = ""


@dataclass(frozen=True, slots=True)
class Event:
    """One audit event as the timeline shows it. `digest` is the chain's hash of the event."""

    at: datetime
    actor: Label
    text: Label
    role: Role | None = None
    detail: Label = ""
    tone: Literal["neutral", "good", "bad"] = "neutral"
    digest: str = ""

    @property
    def role_name(self) -> Text | None:
        return ROLE_NAMES[self.role] if self.role else None


@dataclass(frozen=True, slots=True)
class PageOf:
    """Where a list stands: shown from `first` to `last` of `total`, with the neighbours' addresses."""

    first: int
    last: int
    total: int
    previous: str | None = None
    next: str | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """One option of a select, a radio group or a list of check boxes."""

    value: str
    label: Label
    help: Label = ""


@dataclass(frozen=True, slots=True)
class Tab:
    """One tab: a link, so that the address is the state."""

    key: str
    label: Label
    href: str
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """A table's column: `kind` number aligns right, narrow takes no more than its content."""

    label: Label
    kind: Literal["text", "number", "narrow"] = "text"


@dataclass(frozen=True, slots=True)
class Mark:
    """A cell that triggered rules, for the marked sheet: zero-based row and column."""

    row: int
    column: int
    rules: tuple[str, ...]
    severity: Literal["block", "review"] = "block"
    note: Label = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A file's content as the officer sees it; None is shown as NULL, not as nothing."""

    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    marks: tuple[Mark, ...] = field(default=())
    first_row: int = 1
    anchor: str = ""
    """what the ids of its cells begin with, where a page shows several"""

    def is_number(self, column: int) -> bool:
        """Whether every value of the column is a number, so that it aligns right."""
        values = [row[column] for row in self.rows if row[column] is not None]
        return bool(values) and all(isinstance(value, int | float) for value in values)

    def mark_at(self, row: int, column: int) -> Mark | None:
        return next((mark for mark in self.marks if (mark.row, mark.column) == (row, column)), None)


def col(label: Label, kind: Literal["text", "number", "narrow"] = "text") -> Column:
    """Short form for templates: `col(t("verdict.rule"), "narrow")`."""
    return Column(label, kind)
