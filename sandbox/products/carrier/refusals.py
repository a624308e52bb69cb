"""Why a text cannot be carried, where, and what to write instead."""

from __future__ import annotations

from dataclasses import dataclass

from policies.text import Text


@dataclass(frozen=True, slots=True)
class Refusal:
    """One thing in a step's text. `line` and `column` count from 1; 0 where the place is the whole text."""

    code: str
    step: str
    line: int
    column: int
    text: Text
    repair: Text


class Refused(Exception):
    """The text is not carried; `refusals` names every reason found, in the order of the text."""

    def __init__(self, refusals: tuple[Refusal, ...]) -> None:
        self.refusals = refusals
        super().__init__("; ".join(f"{r.step}:{r.line}:{r.column} {r.code}" for r in refusals))
