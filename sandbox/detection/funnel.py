"""From all rows of a column to the hits in it, with Presidio as the judge of what is not beyond doubt.

distinct values → canonical form → columns that are mostly whole cells of one shape through checksums (numpy) → union
pre-filter (polars) for the rest → Presidio in packed calls. A row of the table is *decided* for a column when more than
`DECIDED_FROM` whole cells pass its check and they are over 30 % of those with its shape: Presidio then confirms a
random 100 to 500 of them, and one disagreement sends the whole column to Presidio. Rare hits are never sampled away.
Plain Presidio over every value gives the same hits; a property test holds the funnel to it.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sandbox.detection import canon, checksums, engine
from sandbox.detection.recognizers import RANK, ROWS, STANDS_APART, TABLE, UNION, Context, Recognizer, has_context

_LOG: Final = logging.getLogger(__name__)
DECIDED_FROM: Final = 500
DECIDED_SHARE: Final = 0.3
CONFIRMED: Final = 500  # at most; one in twenty of the decided cells, at least a hundred
_LOOK: Final = 300  # values looked at to see which rows may be decided
_BLOCK: Final = 50_000  # values judged at once
TEXTS_KEPT: Final = 1000  # matched texts kept for each row
Places = NDArray[np.int64]
_NONE: Final[Places] = np.empty(0, dtype=np.int64)


@dataclass(slots=True)
class ColumnHits:
    """Hits over the distinct values of one column, by row of the recogniser table.

    `values`/`counts`: distinct canonical values and how many cells hold each. `hits[row]`: places in `values`, rising.
    `texts[row]`: what matched, for the first thousand places at least. `candidates[row]`: how many distinct values look
    like it (for the noise floor); `id_shapes`: 18-character ID shapes, valid or not. `disguised[row]`: places found
    only in a disguised reading. `in_context[row]`: hits that carry enough by themselves (a passed check, a plain
    shape, or a context word).
    """

    values: pl.Series
    counts: pl.Series
    hits: dict[str, Places] = field(default_factory=dict)
    texts: dict[str, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))
    candidates: dict[str, int] = field(default_factory=dict)
    disguised: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    id_shapes: int = 0
    in_context: dict[str, int] = field(default_factory=lambda: defaultdict(int))


def scan_values(values: pl.Series, counts: pl.Series, context: Sequence[str] = ()) -> ColumnHits:
    """All hits in distinct, canonical, non-empty `values` (String), each held by `counts` cells.

    `context`: the column's name and comment.
    """
    words = " ".join(context).lower()
    settled = _settled(values, words)
    found = _judged(values, counts, settled, context, words)
    if found is None:
        _LOG.warning("validators and Presidio disagree on a sample of %d values: Presidio judges them all", len(values))
        found = _judged(values, counts, {}, context, words)
        assert found is not None  # without settled values nothing can be contradicted
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


def _vouched(row: Recognizer, words: str) -> bool:
    return row.need is Context.HELPS or has_context(row, words)


# ---- whole cells beyond doubt -------------------------------------------------------------------------------------
def _settled(values: pl.Series, words: str) -> dict[str, Places]:
    """Whole cells of decided rows, each value with the row of highest precedence that it can be a hit of."""
    answer: dict[str, Places] = {}
    if len(values) <= DECIDED_FROM:
        return answer
    free = np.ones(len(values), dtype=bool)
    for row in _frequent(values, words):
        passed, shaped = _passed(row, values)
        passed &= free
        if passed.sum() > max(DECIDED_FROM, DECIDED_SHARE * shaped):
            free &= ~passed
            places = np.flatnonzero(passed)
            answer[row.name] = places[~_worth_judging(values.gather(places), words, _rivals(row))]
    return answer


def _frequent(values: pl.Series, words: str) -> list[Recognizer]:
    """Rows that a random look finds often enough to be decided, in order of precedence."""
    look = values.gather(np.random.default_rng(len(values)).integers(0, len(values), _LOOK))
    shapes = pl.DataFrame({"v": look}).select(pl.col("v").str.contains(row.whole).alias(row.name) for row in TABLE)
    often = {name for name, share in shapes.mean().row(0, named=True).items() if share >= DECIDED_SHARE / 2}
    return [
        row
        for row in TABLE
        if row.name in often
        and (row.need is not Context.ALWAYS or _vouched(row, words))
        and (row.check is None or _passed(row, look)[0].mean() >= DECIDED_SHARE / 2)
    ]


def _passed(row: Recognizer, values: pl.Series) -> tuple[NDArray[np.bool_], int]:
    """Which values are whole cells of the row's shape that pass its check; and how many have the shape."""
    shaped = values.str.contains(row.whole).to_numpy()
    at = np.flatnonzero(shaped)
    if row.check is None or not len(at):
        return shaped, len(at)
    passed = np.zeros(len(values), dtype=bool)
    passed[at] = checksums.passes(row.check, values.gather(at))
    return passed, len(at)


def _rivals(row: Recognizer) -> list[Recognizer]:
    """Rows that might hit a settled cell of `row` as well: those of higher precedence, and where one of the two stands
    apart neither takes the other's characters."""
    apart = row.name in STANDS_APART
    return [r for r in TABLE if r is not row and (apart or RANK[r.name] < RANK[row.name] or r.name in STANDS_APART)]


# ---- everything else ----------------------------------------------------------------------------------------------
def _judged(
    values: pl.Series, counts: pl.Series, settled: dict[str, Places], context: Sequence[str], words: str
) -> ColumnHits | None:
    """The settled hits and what Presidio says of all other candidates; none when it contradicts a settled one."""
    found = ColumnHits(values, counts)
    open_ = np.ones(len(values), dtype=bool)
    hits: dict[str, list[Places]] = defaultdict(list)
    for name, places in settled.items():
        open_[places] = False
        size = min(CONFIRMED, max(100, len(places) // 20))
        sample = np.sort(np.random.default_rng(len(places)).choice(places, min(size, len(places)), replace=False))
        judged = engine.judge_packed(values.gather(sample).to_list(), context)
        if any(name not in {hit.row for hit in one} for one in judged):
            return None
        hits[name].append(places)
        cells = values.gather(places[:TEXTS_KEPT]).to_list()
        found.texts[name] = dict(zip(places.tolist(), cells, strict=False))
        found.in_context[name] += len(places) if _vouched(ROWS[name], words) else 0
    rest = np.flatnonzero(open_)
    chosen = rest[_worth_judging(values.gather(rest), words, TABLE)] if len(rest) else rest
    for first in range(0, len(chosen), _BLOCK):
        _judge(found, hits, chosen[first : first + _BLOCK], context)
    found.hits = {name: np.sort(np.concatenate(hits[name])) for name in ROWS if name in hits}
    return found


def _judge(found: ColumnHits, hits: dict[str, list[Places]], places: Places, context: Sequence[str]) -> None:
    cells = found.values.gather(places).to_list()
    told: dict[str, list[int]] = defaultdict(list)
    for place, text, judged in zip(places.tolist(), cells, engine.judge_packed(cells, context), strict=True):
        for hit in judged:
            if not told[hit.row] or told[hit.row][-1] != place:
                told[hit.row].append(place)
            if len(told[hit.row]) <= TEXTS_KEPT:
                found.texts[hit.row].setdefault(place, text[hit.start : hit.end])
            found.in_context[hit.row] += hit.score >= 0.5
    for name, at in told.items():
        hits[name].append(np.array(at, dtype=np.int64))


def _worth_judging(values: pl.Series, words: str, rows: Sequence[Recognizer]) -> NDArray[np.bool_]:
    """Values that one of `rows` may hit: they have its shape, and a whole cell of a shape with a check passes it."""
    wanted = np.zeros(len(values), dtype=bool)
    places = values.str.contains(UNION).arg_true() if rows is TABLE else pl.Series(np.arange(len(values)))
    if not len(places):
        return wanted
    kept = values.gather(places)
    shapes = pl.DataFrame({"v": kept}).select(pl.col("v").str.contains(row.exists).alias(row.name) for row in rows)
    found = shapes.sum().row(0, named=True) if rows else {}
    for row in (r for r in rows if found[r.name]):
        exists = shapes[row.name].arg_true()
        cells = kept.gather(exists)
        whole = cells.str.contains(row.whole)
        vouched = _vouched(row, words)
        # Without a word in the column's name, a match inside longer text needs one in the cell itself.
        may = pl.Series([True]).new_from_index(0, len(cells)) if vouched else _speaks(row, cells)
        if vouched or row.need is not Context.ALWAYS:
            may = may | whole
            if row.check is not None:
                # A shape fills its cell in one way only, so a failed check settles this row for the cell.
                at = whole.arg_true()
                failed = at.filter(pl.Series(~checksums.passes(row.check, cells.gather(at)))) if len(at) else at
                may = may.scatter(failed, False) if len(failed) else may
        wanted[places.gather(exists.filter(may)).to_numpy()] = True
    return wanted


def _speaks(row: Recognizer, cells: pl.Series) -> pl.Series:
    return cells.str.to_lowercase().str.contains_any(list(row.context)) | cells.str.contains("\n", literal=True)


# ---- disguises ----------------------------------------------------------------------------------------------------
def _disguises(found: ColumnHits, context: Sequence[str]) -> None:
    """Further readings of values that could hide something (canon.views), all judged by Presidio."""
    strong = {row.name for row in TABLE if row.through_disguise}
    places = _suspicious(found.values)
    for first in range(0, len(places), _BLOCK):
        texts: list[str] = []
        owners: list[tuple[int, bool]] = []
        block = places[first : first + _BLOCK]
        for place, value in zip(block.tolist(), found.values.gather(block).to_list(), strict=True):
            for view in canon.views(value):
                texts.append(view.text)
                owners.append((place, view.strong_only))
        for (place, only), hits in zip(owners, engine.judge_packed(texts, context), strict=True):
            for hit in hits:
                if only and hit.row not in strong:
                    continue
                known = found.hits.get(hit.row, _NONE)
                at = int(np.searchsorted(known, place))
                if at == len(known) or known[at] != place:
                    found.disguised[hit.row].add(place)
                    found.texts[hit.row].setdefault(place, "*" * (hit.end - hit.start))
    for name, added in found.disguised.items():
        found.hits[name] = np.union1d(found.hits.get(name, _NONE), np.array(sorted(added), dtype=np.int64))


def _suspicious(values: pl.Series) -> Places:
    """Places of values for which `canon.views` can yield anything (a superset, by the same expressions)."""
    value = pl.col("v")
    told = pl.DataFrame({"v": values}).select(
        jointed=value.str.contains(canon.JOINABLE),
        numerals=value.str.contains(canon.NUMERAL_CHARACTER) & value.str.contains(canon.NUMERALS),
        encoded=value.str.contains(canon.ENCODED),
    )
    suspicious = (told["numerals"] | told["encoded"]).to_numpy().copy()
    at = np.flatnonzero(told["jointed"].to_numpy())
    if len(at):
        suspicious[at[canon.join_values(values.gather(at)).str.contains(canon.STRONG).to_numpy()]] = True
    return np.flatnonzero(suspicious)


def plain(values: Sequence[str], context: Sequence[str] = ()) -> list[set[str]]:
    """The same judgement without the funnel: Presidio on every value and every view, one call each. Slow; the oracle
    of the property test."""
    strong = {row.name for row in TABLE if row.through_disguise}
    answer = []
    for value in values:
        text = canon.canonical_cell(value)
        rows = {hit.row for hit in engine.judge(text, context)}
        for view in canon.views(text):
            rows |= {h.row for h in engine.judge(view.text, context) if not view.strong_only or h.row in strong}
        answer.append(rows)
    return answer
