"""What is wrong with a policy file, and the error that carries it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from policies.text import Text, UserError


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: the file, the line (1-based, 0 when the whole file is meant), the field, and what is wrong."""

    file: str
    line: int
    field: str
    text: Text

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place} {self.field}: {self.text.zh} / {self.text.en}"


class PolicyError(UserError):
    """A policy that cannot be used. `problems` lists every mistake found, not only the first."""

    def __init__(
        self, code: str, text: Text, *, fix: Text | None = None, problems: Iterable[Problem] = (), **detail: object
    ) -> None:  # fmt: skip
        self.problems = tuple(problems)
        lines = [str(problem) for problem in self.problems]
        super().__init__(code, text, fix=fix, problems=lines, **detail)
        if lines:
            self.args = (f"{self.args[0]}\n" + "\n".join(lines),)


class CalendarMissing(PolicyError):
    """No calendar of that year has been published: working days of it are unknown and are never guessed."""
