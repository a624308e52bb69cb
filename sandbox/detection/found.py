"""A finding in some values of a column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

EXAMPLES: Final = 3


@dataclass(frozen=True, slots=True)
class Found:
    """Values with the same finding: how many, in how many cells, how many of them disguised; masked examples."""

    values: int = 0
    cells: int = 0
    disguised: int = 0
    examples: tuple[str, ...] = ()

    def __add__(self, other: Found) -> Found:
        return Found(
            self.values + other.values, self.cells + other.cells, self.disguised + other.disguised,
            (self.examples + other.examples)[:EXAMPLES],
        )  # fmt: skip
