"""From hits in a column to a word about it: it *is* an entity, *contains* it, or the hits are *noise*.

A check digit alone proves little: 9.1 % of government case numbers (area + date + serial) pass every test of a
resident ID. What tells them apart is how many look-alikes pass. So a row of the recogniser table speaks only when its
hits are more than chance would give (`hits > n·p + 4·√(n·p·(1−p))`); then from half of the distinct values on the
column *is* the entity (if the hits fill their cells: remarks that mention one only contain it), from a tenth on it
*contains* it, and below that only a needle counts: an entity that does not
come about by accident. Thresholds: reference figures measured on 11 kinds of columns with 0, 30 and 70 % noise.
"""

from __future__ import annotations

import math
from typing import Final, Literal

from sandbox.detection.found import Found
from sandbox.detection.recognizers import RANDOM_ID_SHARE, ROWS, TABLE, Context, Recognizer
from sandbox.detection.tally import PatternTally

Decision = Literal["is", "contains", "noise"]
IS_SHARE: Final = 0.5
CONTAINS_SHARE: Final = 0.10
_SIGMAS: Final = 4.0
_BY_CHANCE: Final = 1e-3


def by_share(share: float) -> Decision:
    """The decision where the share alone counts (names, addresses, organisations)."""
    return "is" if share >= IS_SHARE else "contains" if share >= CONTAINS_SHARE else "noise"


def decide(tally: PatternTally, entity: str, distinct: int) -> tuple[Decision, Found]:
    """The decision for one entity over `distinct` values, and the values it rests on."""
    rows = [row for row in ENTITY_ROWS[entity] if row.name in tally.rows]
    sound = [row for row in rows if _above_floor(row, tally)]
    found = tally.found(entity, [row.name for row in sound])
    if not found.values:
        return "noise", tally.found(entity, [row.name for row in rows])
    share = found.values / distinct
    vouched = any(row.need is Context.HELPS or tally.rows[row.name].in_context for row in sound)
    if share >= IS_SHARE and _fills_cells(tally, sound):
        return "is", found
    if share >= CONTAINS_SHARE and (vouched or share >= IS_SHARE):
        return "contains", found
    rare = any(row.needle or (row.need is not Context.HELPS and tally.rows[row.name].in_context) for row in sound)
    return ("contains" if rare else "noise"), found


def _fills_cells(tally: PatternTally, rows: list[Recognizer]) -> bool:
    """Whether the hits are the cells and not words in longer texts, on those looked at."""
    looked = [tally.rows[row.name] for row in rows]
    return sum(t.filled for t in looked) >= sum(t.looked for t in looked) / 2


def _above_floor(row: Recognizer, tally: PatternTally) -> bool:
    """Whether there are more hits than look-alikes give by accident."""
    counted = tally.rows[row.name]
    hits, candidates, p = counted.hits, max(counted.hits, counted.candidates), row.floor
    if hits > candidates * p + _SIGMAS * math.sqrt(candidates * p * (1 - p)):
        return True
    # Too few to test, but every plausible ID is valid, and the other 18-digit numbers are too few to explain it.
    return row.name == TABLE[0].name and hits == candidates and _chance(hits, tally.id_shapes) < _BY_CHANCE


def _chance(hits: int, shapes: int) -> float:
    """Probability of at least `hits` valid resident IDs among `shapes` random 18-digit numbers (Poisson)."""
    others = max(0, shapes - hits)
    rate = others * RANDOM_ID_SHARE
    return 1.0 - sum(math.exp(-rate) * rate**k / math.factorial(k) for k in range(min(hits, 20)))


ENTITY_ROWS: Final[dict[str, list[Recognizer]]] = {
    entity: [row for row in ROWS.values() if row.entity == entity] for entity in dict.fromkeys(r.entity for r in TABLE)
}
