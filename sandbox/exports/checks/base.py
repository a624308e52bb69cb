"""What a check answers, and the register that ties a policy's `check:` name to its function."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from policies.verdict import Outcome
from sandbox.exports.subject import CannotRun, ExportSubject, Lane
from sandbox.exports.wording import NOT_ASSESSED, Wording

T = TypeVar("T")

MOST = 200
"""Misses reported one by one, a bound on what is stored, never on what is judged; the rest is in the measured value."""


@dataclass(frozen=True, slots=True)
class Miss:
    """One thing a rule holds against the request. `severity` None: what the policy says (`on_fail`). `about`: which of
    the rule's wordings fits; `wording`: words of its own, such as a refusal's."""

    place: str
    measured: Any
    threshold: Any = None
    severity: Outcome | None = None
    evidence: str | None = None
    about: str = ""
    wording: Wording | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """A check's answer: the rule's own measured value and threshold, and every miss."""

    measured: Any
    threshold: Any = None
    misses: tuple[Miss, ...] = ()


Check = Callable[[ExportSubject, Any], Measured]


@dataclass(frozen=True, slots=True)
class Registered:
    run: Check
    lanes: frozenset[Lane]


CHECKS: dict[str, Registered] = {}


def check(name: str, *, lanes: Iterable[Lane] = ("platform", "file")) -> Callable[[Check], Check]:
    """Register the predicate a policy calls `name`; `lanes` says where it has something to look at."""

    def register(function: Check) -> Check:
        if name in CHECKS:
            raise ValueError(f"check {name} is registered twice")
        CHECKS[name] = Registered(function, frozenset(lanes))
        return function

    return register


def limited(misses: Iterable[Miss]) -> tuple[Miss, ...]:
    """The worst first: of these the gate keeps `MOST`."""
    order = list(Outcome)
    return tuple(sorted(misses, key=lambda m: -order.index(m.severity) if m.severity else -order.index(Outcome.BLOCK)))


def not_assessed(place: str) -> Measured:
    """A check that needs the source, asked about a file alone: a person has to look."""
    return Measured(None, None, (Miss(place, None, None, Outcome.REVIEW, wording=NOT_ASSESSED),))


def need(value: T | None, fact: str) -> T:
    """`value`, or `CannotRun` naming the missing fact."""
    if value is None:
        raise CannotRun(fact)
    return value
