"""What pages share: clocks, whose turn, timelines, offers, lists, and the way from a button to a service."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast
from urllib.parse import urlencode

from fastapi import Request

from api.pages import views, words
from api.pages.words_events import event_tone, event_words
from policies.text import Text
from sandbox.kernel import accounts, clocks, oversight, permissions
from sandbox.kernel.audit import AuditEvent
from sandbox.kernel.errors import BadInput
from sandbox.kernel.identity import ROLE_NAMES, SYSTEM, Actor, Role
from sandbox.kernel.lifecycle import Lifecycle, Offer, Record
from sandbox.kernel.unit import Unit

PER_PAGE = 20
SEES_NAMES = frozenset({Role.OPERATOR, Role.COMPLIANCE, Role.AUDITOR})
"""roles that see who acted; others see names of their own organisation and the role of everybody else"""

OPINIONS = frozenset({"export:approve", "export:first_opinion", "export:disagree", "export:call_third", "export:look"})
"""events whose grounds are for officers only"""

T = TypeVar("T")
Step = Callable[[Unit, str, str], object]
"""A service call behind a button: unit, object, written reason."""


@dataclass(frozen=True)
class Clocks:
    """Every running clock, read once for a whole list."""

    running: Mapping[tuple[str, str], views.Clock]

    @classmethod
    def of(cls, unit: Unit) -> Clocks:
        found: dict[tuple[str, str], views.Clock] = {}
        for clock in reversed(clocks.running(unit.session)):
            lapse = clock.on_lapse == "consent"
            found[clock.noun, clock.subject_id] = views.Clock.of(clock, unit.now, lapse=lapse)
        return cls(found)

    def at(self, noun: str, record: Record) -> views.Clock:
        """The record's clock; a returned record's has been stopped."""
        stopped = views.Clock(stopped=True) if record.state == "returned" else views.Clock()
        return self.running.get((noun, record.id), stopped)


def turn_of(unit: Unit, life: Lifecycle, record: Record, names: Mapping[str, str], *, mine: bool) -> views.Turn:
    """Whose move it is: `mine` when this person may make it, else the organisation or the role that does."""
    role = life.state(record.state).turn
    if role is None:
        return views.Turn()
    if role in (Role.MERCHANT, Role.DEPARTMENT) and record.organisation_id in names and not mine:
        owner = life.noun != "application" or role is Role.MERCHANT
        return views.Turn(names[record.organisation_id] if owner else ROLE_NAMES[role])
    return views.Turn(ROLE_NAMES[role], mine=mine)


def is_turn(unit: Unit, life: Lifecycle, record: Record) -> bool:
    """Whether the state waits for the actor's role, and the object is within the actor's reach."""
    role = life.state(record.state).turn
    owns = role not in (Role.MERCHANT, Role.DEPARTMENT) or record.organisation_id == unit.actor.organisation_id
    return role is unit.actor.role and owns


def offers(unit: Unit, life: Lifecycle, record: Record, steps: Collection[str]) -> list[Offer]:
    """The lifecycle's offers that this page has a button for."""
    return [offer for offer in life.offers(unit, record) if offer.name in steps]


def take(steps: Mapping[str, Step], transition: str) -> Step:
    """The service call of a button. Raises `BadInput` for one that no page has."""
    if transition not in steps:
        raise BadInput("step.unknown", words.text("step.unknown"), fix=words.text("step.unknown_fix"))
    return steps[transition]


# ---- timelines ----


def trail(unit: Unit, *object_ids: str, hide_names: bool = False) -> list[views.Event]:
    """What happened to these objects, newest first.

    `hide_names`: a review is still to be written without knowing who wrote the other one, and why. Officers' grounds
    for approving are for officers only; the merchant reads why something was returned or refused.
    """
    found = [event for object_id in object_ids for event in oversight.trail(unit, object_id)]
    people = _people(unit, {e.actor_id for e in found})
    ordered = sorted(found, key=lambda e: e.seq, reverse=True)
    blind = () if permissions.permitted(unit.actor, "canary:read") else ("canary:",)  # a test that shows tests nobody
    return [_event(unit, e, people, hide_names) for e in ordered if not e.event.startswith(("job:", *blind))]


def _people(unit: Unit, ids: Collection[str]) -> dict[str, str]:
    found = (unit.session.get(accounts.Account, i) for i in ids)
    return {a.id: a.name for a in found if a is not None} | {SYSTEM.id: SYSTEM.name}


def _event(unit: Unit, event: AuditEvent, people: Mapping[str, str], hide_names: bool) -> views.Event:
    role = Role(event.role)
    tone = cast(Literal["neutral", "good", "bad"], event_tone(event.event))
    grounds = event.event in OPINIONS and (hide_names or unit.actor.role not in SEES_NAMES)
    return views.Event(
        event.at, actor_words(unit.actor, event, people, hide_names), event_words(event.event) or event.event,
        role, "" if grounds else detail_words(event.facts), tone, event.hash,
    )  # fmt: skip


def actor_words(reader: Actor, event: AuditEvent, people: Mapping[str, str], hide_names: bool = False) -> views.Label:
    """Who acted, as `reader` may know it."""
    role = Role(event.role)
    own = event.organisation_id == reader.organisation_id
    named = event.actor_id == reader.id or (not hide_names and (own or reader.role in SEES_NAMES))
    return people.get(event.actor_id, event.actor_id) if named and role is not Role.SYSTEM else ROLE_NAMES[role]


def detail_words(facts: Mapping[str, Any]) -> views.Label:
    """The part of an event's facts that people read beside it: the reason given, and a change of level."""
    reason = str(facts.get("reason", ""))
    if "column" in facts and "target" in facts:
        change = f"{facts['column']} {facts['source']} → {facts['target']}"
        return f"{change}：{reason}" if reason else change
    return reason


# ---- lists ----


@dataclass(frozen=True)
class Listing:
    """A filtered page of a list, and what its filter form shows."""

    items: Sequence[Any]
    page: views.PageOf
    state: str
    search: str
    states: list[views.Choice]

    @property
    def filtered(self) -> bool:
        return bool(self.state or self.search)


def listing(
    request: Request, found: Sequence[T], life: Lifecycle | None, text_of: Callable[[T], str],
    per_page: int = PER_PAGE,
) -> Listing:  # fmt: skip
    """The part of `found` that the address asks for (`?state=&q=&page=`); the address is the whole state."""
    query = request.query_params
    state, search = query.get("state", ""), query.get("q", "").strip()
    kept = [x for x in found if not state or getattr(x, "state", "") == state]
    kept = [x for x in kept if search.casefold() in text_of(x).casefold()] if search else kept
    present = {getattr(x, "state", "") for x in found}
    states = [views.Choice(s.name, s.label) for s in life.states if s.name in present] if life else []
    number = int(query.get("page", "1")) if query.get("page", "1").isdigit() else 1
    number = max(1, min(number, -(-len(kept) // per_page)))
    first = (number - 1) * per_page
    shown = kept[first : first + per_page]
    page = views.PageOf(
        first + 1 if shown else 0, first + len(shown), len(kept),
        _page_address(request, number - 1) if number > 1 else None,
        _page_address(request, number + 1) if first + len(shown) < len(kept) else None,
    )  # fmt: skip
    return Listing(shown, page, state, search, states)


def _page_address(request: Request, number: int) -> str:
    kept = {k: v for k, v in request.query_params.items() if k != "lang"}
    return "?" + urlencode(kept | {"page": str(number)})


def labels(table: Mapping[str, Text], value: str | None) -> views.Label:
    """The word of a code; a code without one as written."""
    return table.get(value or "", value or "—")


def organisation(unit: Unit, organisation_id: str) -> str:
    return accounts.organisation(unit.session, organisation_id).name
