"""From all rows of a column to the hits in it, with Presidio as the judge of what is not beyond doubt.

distinct values → canonical form → union pre-filter (polars) → per row of the table: whole cells through checksums
(numpy), everything else to Presidio in packed calls. A row of the table is *decided* for a column when more than
`DECIDED_FROM` whole cells pass its check and they are over 30 % of its candidates: Presidio then confirms a random
2,000 of them, and one disagreement sends the whole column to Presidio. Rare hits are never sampled away. Plain
Presidio over every value gives the same hits; a property test holds the funnel to it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import polars as pl

from sandbox.detection import canon, checksums, engine
from sandbox.detection.recognizers import (
    RANK,
    ROWS,
    TABLE,
    UNION,
    Context,
    Recognizer,
    has_context,
)

DECIDED_FROM: Final = 2000
DECIDED_SHARE: Final = 0.3
CONFIRMED: Final = 2000


@dataclass(slots=True)
class ColumnHits:
    """Hits over the distinct values of one column, by row of the recogniser table.

    `values`/`counts`: distinct canonical values and how many cells hold each. `hits[row]`: places in `values` →
    the text that matched. `candidates[row]`: how many distinct values look like it (for the noise floor);
    `id_shapes`: 18-character ID shapes, valid or not. `disguised[row]`: places found only in a disguised reading.
    `in_context[row]`: hits that carry enough by themselves (a passed check, a plain shape, or a context word).
    """

    values: pl.Series
    counts: pl.Series
    hits: dict[str, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))
    candidates: dict[str, int] = field(default_factory=dict)
    disguised: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    id_shapes: int = 0
    in_context: dict[str, int] = field(default_factory=lambda: defaultdict(int))


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Places of one row's candidates: whole cells that pass its check, and those that only Presidio can judge."""

    passed: list[int]
    open: list[int]
    decided: bool


def scan_values(values: pl.Series, counts: pl.Series, context: Sequence[str] = ()) -> ColumnHits:
    """All hits in distinct, canonical, non-empty `values` (String), each held by `counts` cells.

    `context`: the column's name and comment.
    """
    found = ColumnHits(values, counts)
    words = " ".join(context).lower()
    places = values.str.contains(UNION).arg_true()
    if len(places):
        kept = values.gather(places)
        sets = {row.name: _candidates(row, kept, words) for row in TABLE}
        if _judge(found, kept, places.to_list(), sets, context):
            undecided = {name: replace(c, decided=False) for name, c in sets.items()}
            _judge(found, kept, places.to_list(), undecided, context)
    _disguises(found, context)
    for row in (r for r in TABLE if r.name in found.hits):
        found.candidates[row.name] = _look_alikes(row, values)
    if TABLE[0].name in found.hits:
        found.id_shapes = int(values.str.contains(TABLE[0].look_alike).sum())
    return found


def _look_alikes(row: Recognizer, values: pl.Series) -> int:
    """Distinct values that look like this row, hit or not (plausible dates only, for resident IDs)."""
    if row.floor == 0:
        return 0
    return int(values.str.contains(row.exists if row.name == TABLE[0].name else row.look_alike).sum())


def _candidates(row: Recognizer, kept: pl.Series, words: str) -> _Candidates:
    """Sorts the pre-filtered values of one row into passed whole cells and open ones; failed whole cells drop out."""
    exists = kept.str.contains(row.exists)
    vouched = row.need is Context.HELPS or has_context(row, words)
    if not vouched:
        # Without a word in the column's name, a match inside longer text needs one in the cell itself.
        spoken = kept.str.to_lowercase().str.contains_any(list(row.context)) | kept.str.contains("\n", literal=True)
    whole = exists & kept.str.contains(row.whole)
    embedded = exists & ~whole
    if not vouched and row.need is Context.ALWAYS:
        return _Candidates([], (exists & spoken).arg_true().to_list(), decided=False)
    open_places = (embedded if vouched else embedded & spoken).arg_true().to_list()
    at = whole.arg_true().to_list()
    passed = at
    if row.check and at:
        # A shape fills its cell in one way only, so a failed check settles this row for the cell.
        ok = checksums.valid(row.check, kept.gather(at).to_list())
        passed = [i for i, good in zip(at, ok, strict=True) if good]
    decided = len(passed) > DECIDED_FROM and len(passed) > DECIDED_SHARE * (len(at) + len(open_places))
    return _Candidates(passed, open_places, decided)


def _judge(
    found: ColumnHits, kept: pl.Series, places: list[int], sets: dict[str, _Candidates], context: Sequence[str]
) -> bool:
    """Fills `found.hits`; True when Presidio disagreed with a decided row, so that all must be judged."""
    settled, sample = _settle(sets)
    wanted = {i for name, c in sets.items() for i in c.open} | sample
    for name, c in sets.items():
        if not c.decided:
            # A whole cell settled for a row of higher precedence can be no hit of this one.
            wanted |= {i for i in c.passed if i not in settled or RANK[settled[i]] > RANK[name]}
    order = sorted(wanted)
    judged = engine.judge_packed(kept.gather(order).to_list(), context) if order else []
    found.hits = defaultdict(dict)
    found.in_context = defaultdict(int)
    for i, hits in zip(order, judged, strict=True):
        if i in sample and i in settled and settled[i] not in {h.row for h in hits}:
            return True
        text = kept[i]
        for hit in hits:
            found.hits[hit.row].setdefault(places[i], text[hit.start : hit.end])
            found.in_context[hit.row] += hit.score >= 0.5
    cells = kept.to_list() if settled else []
    for i in settled.keys() - wanted:
        found.hits[settled[i]][places[i]] = cells[i]
        found.in_context[settled[i]] += _vouched(settled[i], context)
    return False


def _vouched(row: str, context: Sequence[str]) -> bool:
    return ROWS[row].need is Context.HELPS or has_context(ROWS[row], " ".join(context).lower())


def _settle(sets: dict[str, _Candidates]) -> tuple[dict[int, str], set[int]]:
    """Whole cells of decided rows → the row of highest precedence; and the random sample that Presidio confirms."""
    settled: dict[int, str] = {}
    sample: set[int] = set()
    for name, candidates in sets.items():  # in order of precedence
        if candidates.decided:
            own = [i for i in candidates.passed if i not in settled]
            settled.update(dict.fromkeys(own, name))
            sample |= set(np.random.default_rng(len(own)).permutation(own)[:CONFIRMED].tolist())
    return settled, sample


# ---- disguises ----------------------------------------------------------------------------------------------------
def _disguises(found: ColumnHits, context: Sequence[str]) -> None:
    """Further readings of values that could hide something (canon.views), all judged by Presidio."""
    texts: list[str] = []
    owners: list[tuple[int, bool]] = []
    for place in _suspicious(found.values):
        for view in canon.views(found.values[place]):
            texts.append(view.text)
            owners.append((place, view.strong_only))
    strong = {row.name for row in TABLE if row.through_disguise}
    for (place, only), hits in zip(owners, engine.judge_packed(texts, context), strict=True):
        for hit in hits:
            if (only and hit.row not in strong) or place in found.hits.get(hit.row, {}):
                continue
            found.hits[hit.row][place] = "*" * (hit.end - hit.start)
            found.disguised[hit.row].add(place)


def _suspicious(values: pl.Series) -> list[int]:
    """Places of values for which `canon.views` can yield anything (a superset, by the same expressions)."""
    jointed = values.str.contains(canon.JOINABLE)
    joined = pl.Series("joined", [False] * len(values), dtype=pl.Boolean)
    if jointed.any():
        at = jointed.arg_true()
        strong = canon.join_values(values.gather(at)).str.contains(canon.STRONG)
        joined = joined.scatter(at.filter(strong), True) if strong.any() else joined
    numerals = values.str.contains(canon.NUMERALS) & values.str.contains(canon.NUMERAL_CHARACTER)
    encoded = values.str.contains(canon.ENCODED)
    return (joined | numerals | encoded).arg_true().to_list()


def plain(values: Sequence[str], context: Sequence[str] = ()) -> list[set[str]]:
    """The same judgement without the funnel: Presidio on every value and every view, one call each. Slow; the oracle
    of the property test and of the benchmark."""
    strong = {row.name for row in TABLE if row.through_disguise}
    answer = []
    for value in values:
        text = canon.canonical_cell(value)
        rows = {hit.row for hit in engine.judge(text, context)}
        for view in canon.views(text):
            rows |= {h.row for h in engine.judge(view.text, context) if not view.strong_only or h.row in strong}
        answer.append(rows)
    return answer
