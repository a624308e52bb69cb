"""What the worker says about the statements of one query: what each did, which one failed, what was left behind.

It comes from inside the jail, so it is read with care; words are added by `wording.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MOST = 1000


@dataclass(frozen=True, slots=True)
class Done:
    """One statement that ran. `kind` as DuckDB calls it ("CREATE TABLE", "INSERT", "SELECT"), `subject` what it made or
    changed, `rows` returned or changed (None where there are none to count), `line` where it starts in the text."""

    kind: str
    subject: str
    rows: int | None
    milliseconds: int
    line: int


@dataclass(frozen=True, slots=True)
class Course:
    """How a query went. `failed` is the number of the statement that failed (from 1; 0: none), `rolled_back` whether
    an open transaction was undone with it, `open_transaction` whether one still waits for COMMIT."""

    done: tuple[Done, ...] = ()
    failed: int = 0
    rolled_back: bool = False
    open_transaction: bool = False


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong, as a code of `wording.EXPLAINED`, with the names that belong to it."""

    code: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


NO_COURSE, NO_DIAGNOSIS = Course(), Diagnosis()


def course_of(header: Mapping[str, Any]) -> Course:
    """The course in a trailer of the worker; whatever is not as it should be is left out."""
    said = header.get("statements")
    found = tuple(d for d in map(_done, said[:MOST]) if d is not None) if isinstance(said, list) else ()
    return Course(found, _whole(header.get("failed")) or 0, header.get("rolled_back") is True,
                  header.get("open_transaction") is True)  # fmt: skip


def diagnosis_of(said: Any) -> Diagnosis:
    """The diagnosis in an error of the worker."""
    if not isinstance(said, dict) or not isinstance(said.get("facts"), dict):
        return Diagnosis()
    facts = {str(k)[:40]: str(v)[:400] for k, v in list(said["facts"].items())[:20]}
    return Diagnosis(str(said.get("code", ""))[:40], facts)


def _done(said: Any) -> Done | None:
    if not isinstance(said, list) or len(said) != 5:
        return None
    kind, subject, rows, milliseconds, line = said
    return Done(str(kind)[:40], str(subject)[:200], _whole(rows), _whole(milliseconds) or 0, _whole(line) or 1)


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
