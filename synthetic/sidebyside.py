"""Real beside simulated, as shares of groups that each hold enough people: what a page about the data may show.

Groups of fewer than k people are never shown. Small labels go into one group and small ranges into their neighbour,
so that what is left out cannot be found as the rest of a total; in a two-way table a second cell of the same row and
column is left out with it, and sensitive columns have none: an empty cell would say what nobody of a group has. The
cuts of numbers and dates are read off the simulated rows and tell nothing about real ones.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from synthetic.fields import Field
from synthetic.protect import OTHER

_LABELS = 8
_BINS = 16
_FAR = 3.0
"""Interquartile ranges beyond the quartiles from which a value is far out (Tukey 1977)."""
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_SIDE = 6
"""Groups on a side of a two-way table at most."""
_NONE = -1

Ends = tuple[Any, Any]


@dataclass(frozen=True, slots=True)
class Groups:
    """One column in groups of at least k real people each.

    `labels` name the groups of a label column (None: all the others together); `ends` are the [from, to) of ranges,
    open at both sides. `real` and `made` are shares of the rows that have a value. `wide` counts the equal steps a
    range covers. `missing` are the shares of rows without a value; the real one is None where it rests on too few
    people.
    """

    column: str
    kind: Literal["label", "number", "date"]
    labels: tuple[str | None, ...]
    ends: tuple[Ends, ...]
    wide: tuple[int, ...]
    real: tuple[float, ...]
    made: tuple[float, ...]
    missing: tuple[float | None, float]
    codes: tuple[np.ndarray, np.ndarray]
    """The group of every real and of every simulated row, -1 where it has no value."""

    def as_dict(self) -> dict[str, Any]:
        """The form the manifest keeps."""
        groups = []
        for at, (real, made) in enumerate(zip(self.real, self.made, strict=True)):
            name: dict[str, Any] = (
                {"label": self.labels[at]} if self.kind == "label"
                else {"from": self.ends[at][0], "to": self.ends[at][1], "wide": self.wide[at]}
            )  # fmt: skip
            groups.append(name | {"real": round(real, 4), "simulated": round(made, 4)})
        missing = [None if share is None else round(share, 4) for share in self.missing]
        return {"column": self.column, "kind": self.kind, "groups": groups, "missing": missing}


def grouped(field: Field, real: pl.Series, made: pl.Series, people: pl.Series, k: int) -> Groups | None:
    """Put a column into groups; None where not even two groups of k people can be made.

    Args:
        real, made: plan-typed columns of every real and every simulated row.
        people: whose each real row is.
    """
    known = people.filter(real.is_not_null())
    if not len(known) or made.null_count() == len(made) or known.n_unique() < 2 * k:
        return None
    if not field.numeric:
        return _labelled(field, real.cast(pl.String), made.cast(pl.String), people, k)
    return _ranged(field, real, made, people, k)


def _labelled(field: Field, real: pl.Series, made: pl.Series, people: pl.Series, k: int) -> Groups | None:
    table = pl.DataFrame({"label": real, "who": people}).drop_nulls("label")
    counts = table.group_by("label").agg(pl.len().alias("rows"), pl.col("who").n_unique().alias("people"))
    fit = counts.filter((pl.col("people") >= k) & (pl.col("label") != OTHER)).sort(
        ["rows", "label"], descending=[True, False]
    )
    shown = fit["label"].to_list()[:_LABELS]
    while shown and 0 < table.filter(~pl.col("label").is_in(shown))["who"].n_unique() < k:
        shown.pop()
    if not shown:
        return None
    codes = [
        side.replace_strict(shown, np.arange(len(shown)), default=len(shown), return_dtype=pl.Int64)
        .set(side.is_null(), _NONE).to_numpy() for side in (real, made)
    ]  # fmt: skip
    rest = any((side == len(shown)).any() for side in codes)
    labels: tuple[str | None, ...] = (*shown, None) if rest else tuple(shown)
    return _counted(field, "label", labels, (), (1,) * len(labels), (codes[0], codes[1]), people, k)


def _ranged(field: Field, real: pl.Series, made: pl.Series, people: pl.Series, k: int) -> Groups | None:
    values = [side.to_physical().cast(pl.Float64) for side in (real, made)]
    edges = _edges(field, values[1].drop_nulls().to_numpy())
    codes = [np.searchsorted(edges, side.fill_null(0.0).to_numpy(), side="right") for side in values]
    gone = [side.is_null().to_numpy() for side in values]
    groups = _merged(np.where(gone[0], _NONE, codes[0]), len(edges) + 1, people, k)
    if groups.max(initial=0) == 0:
        return None
    last = int(groups.max()) + 1
    firsts = [int(np.flatnonzero(groups == g)[0]) for g in range(last)]
    wide = tuple(int((groups == g).sum()) for g in range(last))
    shown = [_shown(field, edge) for edge in edges]
    ends = tuple((shown[f - 1] if f else None, shown[f + w - 1] if f + w <= len(edges) else None)
                 for f, w in zip(firsts, wide, strict=True))  # fmt: skip
    placed = [np.where(none, _NONE, groups[code]) for none, code in zip(gone, codes, strict=True)]
    kind: Literal["number", "date"] = "date" if field.dtype in ("date", "timestamp") else "number"
    return _counted(field, kind, (), ends, wide, (placed[0], placed[1]), people, k)


def _counted(
    field: Field, kind: Literal["label", "number", "date"], labels: tuple[str | None, ...], ends: tuple[Ends, ...],
    wide: tuple[int, ...], codes: tuple[np.ndarray, np.ndarray], people: pl.Series, k: int,
) -> Groups:  # fmt: skip
    shares = [np.bincount(side[side != _NONE], minlength=len(wide)) / max(1, (side != _NONE).sum()) for side in codes]
    without = people.filter(pl.Series(codes[0] == _NONE)).n_unique()
    real_missing = None if 0 < without < k else float((codes[0] == _NONE).mean())
    return Groups(
        field.name, kind, labels, ends, wide, tuple(shares[0].tolist()), tuple(shares[1].tolist()),
        (real_missing, float((codes[1] == _NONE).mean())), codes,
    )  # fmt: skip


def _edges(field: Field, made: np.ndarray) -> np.ndarray:
    """Cuts over the middle of the simulated values, at numbers or days that people would choose. A long tail is one
    range, or it would squeeze all the others into one."""
    low, first, third, high = (float(q) for q in np.quantile(made, [0.01, 0.25, 0.75, 0.99]))
    if third > first:
        low, high = max(low, first - _FAR * (third - first)), min(high, third + _FAR * (third - first))
    if field.dtype in ("date", "timestamp"):
        return _days(field, low, high)
    raw = max((high - low) / _BINS, 1.0 if field.dtype == "integer" else 1e-6)
    unit = 10.0 ** np.floor(np.log10(raw))
    step = next(s for s in _STEPS if s * unit >= raw) * unit
    step = max(1.0, float(np.ceil(step))) if field.dtype == "integer" else step
    start = np.floor(low / step) * step
    return np.asarray(start + step * np.arange(1, max(2, int(np.ceil((high - start) / step)))))


def _days(field: Field, low: float, high: float) -> np.ndarray:
    """First days of years, months, weeks …: the finest that gives no more than the wanted number of ranges."""
    unit = pl.Date() if field.dtype == "date" else pl.Datetime("us")
    ends = pl.Series([int(low), int(high)], dtype=pl.Int64).cast(unit)
    hours = (high - low) * (24.0 if field.dtype == "date" else 1 / 3.6e9)
    for every, least in _SPANS.items():
        if hours > least * (_BINS + 1):
            continue
        first = ends.dt.truncate(every)[0]
        cuts = pl.select(pl.datetime_range(first, ends[1], every, time_unit="us").cast(unit)).to_series()[1:]
        if len(cuts) <= _BINS:
            return (cuts if len(cuts) else ends[1:]).to_physical().cast(pl.Float64).to_numpy()
    return ends[1:].to_physical().cast(pl.Float64).to_numpy()


_SPANS = {
    "1h": 1, "6h": 6, "1d": 24, "1w": 168, "1mo": 744, "3mo": 2_208, "6mo": 4_416, "1y": 8_784, "2y": 17_544,
    "5y": 43_848, "10y": 87_672, "20y": 175_344, "50y": 438_336, "100y": 876_600, "500y": 4_383_000,
}  # fmt: skip
"""Spans and the hours they have at most."""


def _merged(codes: np.ndarray, size: int, people: pl.Series, k: int) -> np.ndarray:
    """The group of each range: neighbours joined, from the left, until each rests on k people; an empty one is small
    too, for it must not be told from one that is hidden."""
    who = people.rank("dense").fill_null(0).to_numpy()
    groups, current, seen = np.zeros(size, dtype=np.int64), 0, np.zeros(0)
    for place in range(size):
        groups[place] = current
        seen = np.union1d(seen, who[codes == place])
        if len(seen) >= k:
            current, seen = current + 1, np.zeros(0)
    if current and len(seen) < k:
        groups[groups == current] = current - 1
    return groups


def _shown(field: Field, edge: float) -> Any:
    if field.dtype == "date":
        return str(dt.date(1970, 1, 1) + dt.timedelta(days=int(edge)))
    if field.dtype == "timestamp":
        return str(dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=int(edge)))[:16]
    return int(edge) if float(edge).is_integer() else float(f"{edge:.6g}")


# ---- two columns ----


def two_way(left: Groups, right: Groups, people: tuple[pl.Series, pl.Series], k: int) -> dict[str, Any]:
    """Shares of the people in the cells of two grouped columns; a real cell that must stay hidden is None.

    Args:
        people: whose each real and each simulated row is.
    """
    sides = [_coarse(g) for g in (left, right)]
    size = len(sides[0][0]), len(sides[1][0])
    heads = []
    for side in (0, 1):
        placed = [codes[groups.codes[side]] for groups, (_, codes) in zip((left, right), sides, strict=True)]
        known = (left.codes[side] != _NONE) & (right.codes[side] != _NONE)
        cells = pl.DataFrame({"cell": placed[0] * size[1] + placed[1], "who": people[side]}).filter(pl.Series(known))
        found = np.zeros(size[0] * size[1], dtype=np.int64)
        counted = cells.group_by("cell").agg(pl.col("who").n_unique().alias("people"))
        found[counted["cell"].to_numpy()] = counted["people"].to_numpy()
        heads.append(found.reshape(size))
    hidden = suppressed(heads[0], k)
    real, made = (table / max(1, table.sum()) for table in heads)
    return {
        "columns": [left.column, right.column], "down": sides[0][0], "across": sides[1][0],
        "real": [[None if gone else round(float(v), 4) for v, gone in zip(line, lost, strict=True)]
                 for line, lost in zip(real, hidden, strict=True)],
        "simulated": [[round(float(v), 4) for v in line] for line in made],
    }  # fmt: skip


def suppressed(people: np.ndarray, k: int) -> np.ndarray:
    """Which cells stay hidden: those of 1 to k - 1 people, and enough others that no row or column has a single hidden
    cell or hidden cells of fewer than k people together, and that no small cell follows from the rest and all totals.
    """
    hidden = (people > 0) & (people < k)
    while True:
        for lines, counts in ((hidden, people), (hidden.T, people.T)):
            for line, count in zip(lines, counts, strict=True):  # rows of a view: writing hides in the table itself
                while line.any() and not line.all() and (line.sum() < 2 or count[line].sum() < k):
                    _hide_one(line, count)
        lines_hold = all(
            not line.any() or line.all() or (line.sum() >= 2 and count[line].sum() >= k)
            for line, count in [*zip(hidden, people, strict=True), *zip(hidden.T, people.T, strict=True)]
        )
        if not lines_hold:
            continue
        known = [cell for cell in np.argwhere(hidden & (people < k)) if _follows(people, hidden, tuple(cell))]
        if not known or hidden.all():
            return hidden
        whole = hidden.reshape(-1)  # a view: writing hides in the table itself
        row = hidden[known[0][0]]
        _hide_one(*((whole, people.reshape(-1)) if row.all() else (row, people[known[0][0]])))


def _hide_one(line: np.ndarray, count: np.ndarray) -> None:
    """Hide the smallest shown cell that anybody is in."""
    shown = np.flatnonzero(~line)
    filled = shown[count[shown] > 0]
    line[min(filled if len(filled) else shown, key=lambda at: count[at])] = True


def _follows(people: np.ndarray, hidden: np.ndarray, cell: tuple[int, ...]) -> bool:
    """True where a hidden cell can be neither larger nor smaller, given what is shown and all totals.

    It can where a round of hidden cells leads back to it in which one gives, the next takes, and so on; a cell that
    gives needs somebody to give.
    """
    gives = hidden & (people > 0)
    return not _round(gives, hidden, cell) and not _round(hidden, gives, cell)


def _round(first: np.ndarray, second: np.ndarray, cell: tuple[int, ...]) -> bool:
    first, second = first.copy(), second.copy()
    first[cell] = second[cell] = False
    row, column = cell
    columns = np.zeros(first.shape[1], dtype=bool)
    columns[column] = True
    while True:
        rows = np.asarray(first[:, columns].any(axis=1))
        more = columns | second[rows].any(axis=0)
        if rows[row] or (more == columns).all():
            return bool(rows[row])
        columns = more


def _coarse(groups: Groups) -> tuple[list[str], np.ndarray]:
    """Names of at most six groups, neighbours joined to hold about equally many simulated rows, and old → new."""
    count = len(groups.wide)
    if count <= _SIDE:
        places = np.arange(count)
    elif groups.kind == "label":
        places = np.minimum(np.arange(count), _SIDE - 1)
    else:
        before = np.cumsum(groups.made) - np.asarray(groups.made) / 2
        places = np.unique(np.minimum((before * _SIDE).astype(np.int64), _SIDE - 1), return_inverse=True)[1]
    names = []
    for place in range(int(places.max()) + 1):
        inside = np.flatnonzero(places == place)
        if groups.kind == "label":
            names.append("其余" if len(inside) > 1 else groups.labels[inside[0]] or "其余")
        else:
            names.append(span(groups.ends[inside[0]][0], groups.ends[inside[-1]][1]))
    return names, places


def span(low: Any, high: Any) -> str:
    """A range in words: open ends are said by a sign."""
    return f"<{high}" if low is None else f"≥{low}" if high is None else f"{low}–{high}"


def by_person(frame: pl.DataFrame, owner: Field | None) -> pl.Series:
    """Whose each row is; every row somebody of its own where nobody knows, all rows without an owner one person's."""
    return pl.Series("who", np.arange(frame.height)) if owner is None else frame.get_column(owner.name).alias("who")


def side_by_side(
    fields: Sequence[Field], real: pl.DataFrame, made: pl.DataFrame, owner: Field | None, k: int
) -> dict[str, Groups]:
    """Every column that can be shown, by name."""
    people = by_person(real, owner)
    found = (grouped(f, real.get_column(f.name), made.get_column(f.name), people, k) for f in fields)
    return {g.column: g for g in found if g is not None}
