"""Steps: the named pieces a job is made of, and the port through which an executor runs them.

A step may say what its result depends on. The same key is the same result, so an executor that remembers results
(Prefect) gives a retried job what already succeeded. What is remembered is plain data: counts and masked evidence,
never a value of a record.
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy.exc import OperationalError

from policies.text import UserError

T = TypeVar("T")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM})


@dataclass(frozen=True, slots=True)
class Kept(Generic[T]):
    """A result that may be remembered. `key` names all it depends on; `kind` is its type, made of plain data."""

    key: str
    kind: type[T]

    def dump(self, value: T) -> Any:
        """The result as JSON values."""
        from pydantic import TypeAdapter

        return TypeAdapter(self.kind).dump_python(value, mode="json")

    def load(self, stored: Any) -> T:
        """The result again, equal to the one that was dumped."""
        from pydantic import TypeAdapter

        return TypeAdapter(self.kind).validate_python(stored)


@dataclass(frozen=True, slots=True)
class Step(Generic[T]):
    """One call of `function` under a name people know. `patient`: a hindrance that may pass by itself is waited out."""

    name: str
    function: Callable[..., T]
    arguments: tuple[Any, ...] = ()
    kept: Kept[T] | None = None
    percent: int = 0
    patient: bool = False
    label: str = field(default="")
    """what tells it from the other steps of its name, e.g. the column"""
    about: str = ""
    """id of the record it is about, where a job has several"""

    def __call__(self) -> T:
        return self.function(*self.arguments)


class Steps(Protocol):
    """Runs steps somewhere. An exception of a step reaches the caller as it was raised, or, from another machine, as
    `StepFailed` with its class only."""

    @property
    def remembers(self) -> bool:
        """Whether results of steps that say what they depend on are kept for another attempt."""

    @property
    def reused(self) -> int:
        """How many results it has given from memory so far."""

    def run(self, step: Step[T]) -> T:
        """Run one step and give its result."""

    def fan(self, steps: Sequence[Step[T]]) -> list[T]:
        """Run steps that do not depend on each other, in any order and place; results in the order of `steps`."""


class Here:
    """Every step as a plain call in this process; nothing is remembered."""

    remembers = False
    reused = 0

    def run(self, step: Step[T]) -> T:
        return step()

    def fan(self, steps: Sequence[Step[T]]) -> list[T]:
        return [step() for step in steps]


class StepFailed(Exception):
    """A step ended in an exception of this class. An executor logs and stores what it is told: never the exception's
    text, which may quote a record."""


def key_of(name: str, *facts: Any) -> str:
    """SHA-256 (hex) of JSON facts under a name: equal facts, equal key."""
    text = json.dumps([name, *facts], ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def may_pass(error: BaseException) -> bool:
    """Whether a hindrance may pass by itself: a lock, a network, a busy table; not a full disk or a wrong file."""
    if isinstance(error, UserError):
        return error.code in ("lake.busy", "record.changed", "source.unreachable")
    if isinstance(error, OSError):
        return error.errno not in _FULL and not isinstance(error, FileNotFoundError)
    return isinstance(error, OperationalError)
