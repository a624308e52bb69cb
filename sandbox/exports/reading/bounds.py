"""How much a file may hold for its reading; on both sides of the wall, standard library only."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """Policy values. `seconds` a file, `memory_mb` the reader, `unpacked_mb` everything a file unfolds to; `tables`
    sheets and the like, `columns` of one table; `text_mb` all texts of a file; `max_*` of archives."""

    seconds: int
    memory_mb: int
    unpacked_mb: int
    tables: int
    columns: int
    text_mb: int
    max_depth: int
    max_ratio: int
    max_members: int

    def as_dict(self) -> dict[str, int]:
        """Plain values for the order."""
        return asdict(self)
