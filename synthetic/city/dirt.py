"""Dirt with a known truth: every wrong cell, doubled row and broken row that goes into a file is written down.

A `Soiler` works on one chunk. Rows it has touched are not touched again, so each kind of dirt stands alone and
can be counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from synthetic.city.schema import Frame
from synthetic.providers.pools import pick_index, words

MISSING = ("-", "--", "NA", "NULL", "暂无", "/")
"""Spellings of missing that the files use besides the empty cell."""

FULL_WIDTH = str.maketrans("0123456789X", "０１２３４５６７８９Ｘ")
SHORT, LONG, QUOTE, JSON = "short_row", "long_row", "unescaped_quote", "broken_json"


@dataclass(frozen=True, slots=True)
class Cell:
    """A wrong cell: `row` counts the rows of the chunk as written, `truth` is None where the true value is missing."""

    row: int
    column: str
    kind: str
    written: str
    truth: str | None


@dataclass(frozen=True, slots=True)
class Broken:
    """A record that must be refused. It stands before loadable row `before` of the chunk."""

    before: int
    values: tuple[str | None, ...]
    reason: str
    repeat: int


@dataclass(frozen=True, slots=True)
class Block:
    """One chunk ready to be written: loadable rows (doubles included), wrong cells, broken records."""

    frame: Frame
    cells: tuple[Cell, ...]
    broken: tuple[Broken, ...]
    duplicates: int


@dataclass(slots=True)
class Soiler:
    """Puts dirt into one chunk; `finish` gives the block."""

    frame: Frame
    rng: np.random.Generator
    touched: NDArray[np.bool_] = field(init=False)
    reserved: NDArray[np.object_] | None = field(init=False)
    cells: list[Cell] = field(default_factory=list)
    doubles: NDArray[np.int64] = field(init=False)
    broken: list[tuple[int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.touched = np.zeros(len(self), dtype=bool)
        self.doubles = np.empty(0, dtype=np.int64)
        self.reserved = self.frame.pop("_reserved", None)  # object array of booleans

    def __len__(self) -> int:
        return len(next(iter(self.frame.values())))

    def choose(self, share: float, column: str | None = None, *, reserved: bool = False, least: int = 2) -> NDArray:
        """Untouched rows (with a value in `column`), the `share` of the chunk but `least` that many; now touched.

        `reserved=True` takes only rows no other table refers to, so that broken keys break no relation.
        """
        free = ~self.touched
        if reserved and self.reserved is not None:
            free &= self.reserved.astype(bool)
        if column is not None:
            free &= self.frame[column] != None  # noqa: E711  elementwise on an object array
        candidates = np.flatnonzero(free)
        count = min(len(candidates), max(least, round(share * len(self))))
        rows = np.sort(self.rng.choice(candidates, count, replace=False))
        self.touched[rows] = True
        return rows

    def put(self, column: str, kind: str, rows: NDArray, written: Sequence[str]) -> None:
        """Write `written` into the rows and remember what was true there."""
        for row, text in zip(rows.tolist(), written, strict=True):
            self.cells.append(Cell(row, column, kind, text, self.frame[column][row]))
            self.frame[column][row] = text

    def impossible(self, column: str, values: Sequence[str], share: float) -> None:
        """Values that cannot be, such as an age of 230 or 2025-02-30."""
        rows = self.choose(share, column)
        self.put(column, "impossible", rows, [values[turn % len(values)] for turn in range(len(rows))])

    def full_width(self, column: str, share: float, *, reserved: bool = False) -> None:
        """Digits typed with a Chinese input method: １２３."""
        rows = self.choose(share, column, reserved=reserved)
        self.put(column, "full_width", rows, [self.frame[column][row].translate(FULL_WIDTH) for row in rows])

    def bad_check(self, column: str, share: float, *, reserved: bool = False) -> None:
        """A mistyped last character, so that the check character no longer agrees."""
        rows = self.choose(share, column, reserved=reserved)
        old = [self.frame[column][row] for row in rows]
        self.put(column, "bad_check_digit", rows, [text[:-1] + str((int(text[-1], 36) + 1) % 10) for text in old])

    def trailing_blanks(self, column: str, share: float) -> None:
        """Blanks after the value, as fixed-width exports leave them."""
        rows = self.choose(share, column)
        self.put(column, "trailing_blank", rows, [self.frame[column][row] + "  " for row in rows])

    def negative(self, column: str, share: float) -> None:
        """A minus before an amount that cannot be negative; zero becomes -1."""
        rows = self.choose(share, column)
        old = [self.frame[column][row] for row in rows]
        self.put(column, "impossible", rows, ["-" + text if float(text) else "-1" for text in old])

    def thousands(self, column: str, share: float) -> None:
        """1234.50 → 1,234.50 in a share of the cells: the same value, differently spelled."""
        values = self.frame[column]
        for row in np.flatnonzero((self.rng.random(len(values)) < share) & ~self.touched):
            if values[row] is not None and len(values[row].partition(".")[0]) > 3:
                whole, dot, rest = values[row].partition(".")
                values[row] = f"{int(whole):,}{dot}{rest}"

    def spell_dates(self, column: str, weights: Sequence[float]) -> None:
        """2025-03-01, 2025/3/1, 2025年3月1日, 20250301 in proportion to `weights`; touched rows stay."""
        values = self.frame[column]
        rows = np.flatnonzero((values != None) & ~self.touched)  # noqa: E711
        distinct, place = np.unique(values[rows].astype(str), return_inverse=True)
        table = words([spelling for text in distinct.tolist() for spelling in _spellings(text)])
        values[rows] = table[place * 4 + pick_index(self.rng, 4, len(rows), weights)]

    def spell_missing(self, columns: Sequence[str] | None = None, empty: float = 0.55) -> None:
        """Of the missing cells the share `empty` stays empty, the others get one of the spellings."""
        for column in columns or list(self.frame):
            gaps = np.flatnonzero(self.frame[column] == None)  # noqa: E711
            chosen = gaps[self.rng.random(len(gaps)) >= empty]
            self.frame[column][chosen] = words(MISSING)[self.rng.integers(0, len(MISSING), len(chosen))]

    def duplicate(self, share: float) -> None:
        """Rows that come a second time, a few lines further down."""
        self.doubles = self.choose(share)

    def break_rows(
        self, share: float, reasons: Sequence[str] = (SHORT, LONG, QUOTE), *, reserved: bool = False
    ) -> None:
        """Records that a strict reader has to refuse; the `reasons` take turns."""
        rows = self.choose(share, reserved=reserved, least=len(reasons))
        self.broken = [(int(row), reasons[turn % len(reasons)]) for turn, row in enumerate(rows)]

    def finish(self) -> Block:
        """Rows in their final order: broken ones taken out, doubles put in."""
        n = len(self)
        lost = np.zeros(n, dtype=bool)
        lost[[row for row, _ in self.broken]] = True
        kept = np.flatnonzero(~lost)
        source = np.r_[kept, self.doubles]
        place = np.r_[kept, self.doubles + self.rng.integers(1, 40, len(self.doubles)) + 0.5]
        order = np.argsort(place, kind="stable")
        written = source[order]
        position = np.full(n, -1, dtype=np.int64)
        position[source[: len(kept)]] = np.argsort(order)[: len(kept)]
        ordered = place[order]
        broken = tuple(
            Broken(int(np.searchsorted(ordered, row)), tuple(c[row] for c in self._written().values()), why, turn)
            for turn, (row, why) in enumerate(self.broken)
        )
        cells = [Cell(int(position[c.row]), c.column, c.kind, c.written, c.truth) for c in self.cells]
        frame = {name: values[written] for name, values in self._written().items()}
        return Block(frame, tuple(sorted(cells, key=lambda c: (c.row, c.column))), broken, len(self.doubles))

    def _written(self) -> Frame:
        return {name: values for name, values in self.frame.items() if not name.startswith("_")}


def _spellings(iso: str) -> tuple[str, str, str, str]:
    year, month, day = iso.split("-")
    plain_month, plain_day = int(month), int(day)
    return (
        iso,
        f"{year}/{plain_month}/{plain_day}",
        f"{year}年{plain_month}月{plain_day}日",
        f"{year}{month}{day}",
    )
