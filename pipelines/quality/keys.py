"""Keys, repeated rows and references over any number of parts, in memory that does not grow with the table.

A key is kept as a fingerprint of 128 bits: two sums of differently seeded 64-bit hashes, one hash a column. What two
different keys share by chance is about n² / 2¹²⁹: none in any table. polars' hash is used because it showed no
collision on structured codes where DuckDB's `hash` did (reference ingest.md §4.2). Fingerprints are comparable within
one version of polars only, so they are spilled for the length of a measurement and never kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl
from numpy.typing import NDArray

INCOMPLETE, ABSENT, FOUND = 0, 1, 2
_ROOM = 8_000_000  # fingerprints held at once
_BYTES = 8
Lanes = tuple[NDArray[np.uint64], NDArray[np.uint64]]


def added(columns: Sequence[Lanes]) -> Lanes:
    """The fingerprints of records from the hashes of their cells, seeded differently for each column and lane."""
    first, second = columns[0]
    for one, other in columns[1:]:
        first, second = first + one, second + other
    return first, second


def fingerprints(frame: pl.DataFrame, parts: Sequence[pl.Expr]) -> Lanes:
    """The fingerprints of keys; a key with an empty part is incomplete: its first lane is 0."""
    cells = frame.select(part.alias(str(place)) for place, part in enumerate(parts)).get_columns()
    lanes = [(one.hash(2 * i).to_numpy(), one.hash(2 * i + 1).to_numpy()) for i, one in enumerate(cells)]
    first, second = added(lanes)
    first = np.maximum(first, 1)
    for one in cells:
        if one.null_count():
            first[one.is_null().to_numpy()] = 0
    return first, second


@dataclass(slots=True)
class Spill:
    """Fingerprints on disk, two files a set of keys (one a lane), records in order."""

    folder: Path
    part: str
    _open: dict[str, tuple[BinaryIO, BinaryIO]] = field(default_factory=dict)

    def add(self, name: str, lanes: Lanes) -> None:
        if name not in self._open:
            stem = self.folder / f"{self.part}-{name}"
            self._open[name] = stem.with_suffix(".a").open("wb"), stem.with_suffix(".b").open("wb")
        for file, lane in zip(self._open[name], lanes, strict=True):
            file.write(lane.data)

    def close(self) -> dict[str, tuple[str, ...]]:
        """The first file of each set."""
        for pair in self._open.values():
            for file in pair:
                file.close()
        return {name: (pair[0].name,) for name, pair in self._open.items()}


def _lanes(file: str) -> Lanes:
    records = Path(file).stat().st_size // _BYTES
    if not records:
        return np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.uint64)
    first, second = (np.memmap(Path(file).with_suffix(s), dtype=np.uint64, mode="r") for s in (".a", ".b"))
    return first, second


@dataclass(frozen=True, slots=True)
class _Part:
    """The complete keys of one bucket: their first lane, their rows (None: all, in order), and the files of the set."""

    first: NDArray[np.uint64]
    rows: NDArray[np.int64] | None
    files: Sequence[str]

    def frame(self, which: NDArray[np.bool_]) -> pl.DataFrame:
        """Both lanes and the row numbers of the marked keys."""
        rows = np.arange(len(self.first)) if self.rows is None else self.rows
        return pl.DataFrame({"a": self.first[which], "b": self._second(rows[which]), "row": rows[which]})

    def lanes(self) -> Lanes:
        """Both lanes of all keys."""
        if self.rows is None:
            return self.first, _whole([_lanes(file)[1] for file in self.files])
        return self.first, self._second(self.rows)

    def _second(self, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
        second = np.empty(len(rows), dtype=np.uint64)
        start = 0
        for file in self.files:
            lane = _lanes(file)[1]
            low, high = np.searchsorted(rows, (start, start + len(lane)))
            second[low:high] = lane[rows[low:high] - start]
            start += len(lane)
        return second


def _whole(lanes: Sequence[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    return lanes[0] if len(lanes) == 1 else np.concatenate([np.zeros(0, dtype=np.uint64), *lanes])


def _part(files: Sequence[str], bucket: int, buckets: int) -> _Part:
    lanes = [lane for file in files if len(lane := _lanes(file)[0])] or [np.zeros(0, dtype=np.uint64)]
    if buckets == 1 and all(lane.all() for lane in lanes):
        return _Part(_whole(lanes), None, files)
    places, kept, start = [], [], 0
    for lane in lanes:
        mine = lane != 0
        if buckets > 1:
            mine &= lane % np.uint64(buckets) == bucket
        places.append(np.flatnonzero(mine) + start)
        kept.append(lane[mine])
        start += len(lane)
    return _Part(np.concatenate(kept), np.concatenate(places), files)


def count(files: Sequence[str]) -> int:
    """Records that the files hold a fingerprint of."""
    return sum(Path(file).stat().st_size // _BYTES for file in files)


def _buckets(*sets: Sequence[str]) -> range:
    return range(max(1, -(-sum(count(files) for files in sets) // _ROOM)))


@dataclass(frozen=True, slots=True)
class Repeats:
    """Different complete keys, records with an incomplete key, and the first rows that repeat an earlier key."""

    different: int
    incomplete: int
    rows: tuple[int, ...]


def repeats(files: Sequence[str], samples: int) -> Repeats:
    """Count different keys. `samples` is how many rows to name."""
    different = complete = 0
    rows: list[int] = []
    buckets = _buckets(files)
    for bucket in buckets:
        part = _part(files, bucket, len(buckets))
        again = _candidates(part)
        keys = again.group_by("a", "b").agg(pl.col("row").min())
        complete += len(part.first)
        different += len(part.first) - again.height + keys.height
        if again.height > keys.height and samples:
            later = again.join(keys, on="row", how="anti")["row"]
            rows += later.sort().head(samples).to_list()
    return Repeats(different, count(files) - complete, tuple(sorted(rows)[:samples]))


def _candidates(part: _Part) -> pl.DataFrame:
    """The keys whose first lane is not theirs alone: looking at one lane is far cheaper than grouping by both."""
    if pl.Series(part.first).n_unique() == len(part.first):
        return part.frame(np.zeros(len(part.first), dtype=bool))
    lane = np.sort(part.first)
    twice = np.unique(lane[1:][lane[1:] == lane[:-1]])
    mask = pl.Series(part.first).is_in(pl.Series(twice).implode())
    return part.frame(mask.to_numpy())


def not_unique(files: Sequence[str]) -> NDArray[np.bool_]:
    """The records whose key is incomplete or not theirs alone."""
    doubtful = np.ones(count(files), dtype=bool)
    buckets = _buckets(files)
    for bucket in buckets:
        part = _part(files, bucket, len(buckets))
        doubtful[slice(None) if part.rows is None else part.rows] = False
        doubtful[_candidates(part)["row"].to_numpy()] = True
    return doubtful


def rows_without_key(files: Sequence[str], samples: int) -> list[int]:
    """The first rows whose key is incomplete."""
    rows: list[int] = []
    start = 0
    for file in files:
        lane = _lanes(file)[0]
        rows += (np.flatnonzero(lane == 0)[: samples - len(rows)] + start).tolist()
        start += len(lane)
    return rows


def membership(ours: Sequence[str], theirs: Sequence[str]) -> NDArray[np.uint8]:
    """For each of our records: `INCOMPLETE`, `ABSENT` from theirs, or `FOUND` there."""
    state = np.full(count(ours), INCOMPLETE, dtype=np.uint8)
    buckets = _buckets(ours, theirs)
    for bucket in buckets:
        mine, known = (_part(files, bucket, len(buckets)) for files in (ours, theirs))
        rows = slice(None) if mine.rows is None else mine.rows
        asked = pl.DataFrame(dict(zip("ab", mine.lanes(), strict=True))).lazy()
        there = dict(zip("ab", map(pl.Series, known.lanes()), strict=True))
        found = asked.select(pl.all_horizontal(pl.col(c).is_in(there[c].implode()) for c in "ab")).collect().to_series()
        state[rows] = np.where(found.to_numpy(), np.uint8(FOUND), np.uint8(ABSENT))
    return state
