"""Shapes of values, settled for whole columns of bytes instead of cell by cell.

Codes, numbers and dates of one width are a matrix of bytes. Where the least and the greatest byte of each position lie
inside what a shape allows there, all cells have the shape: two passes that cost a thirtieth of a regex. What is not
settled this way is left to the regex, so a template may only ever accept what its regex accepts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipelines.reading.recipe import ColumnRecipe

Marks = NDArray[np.bool_]
_FOLD = 64  # rows looked at side by side: numpy reduces long lines many times faster than short ones
_WIDEST = 40
_COMMON = 0.0005  # of the cells; a width that fewer have is left to the regex
_DIGITS = "0123456789"
_VIEW, _TEXT, _INLINE = 16, 4, 12  # bytes of a view, where text begins in it, how much text it holds


@dataclass(frozen=True)
class Block:
    """Cells of one width. `rows`: which they are (None: all); `lines`: a line of bytes a cell, text from `start` on."""

    rows: Marks | None
    lines: NDArray[np.uint8]
    start: int
    width: int

    def at(self, position: int) -> NDArray[np.uint8]:
        """The bytes at a position, cell by cell."""
        return self.lines[:, self.start + position]

    @cached_property
    def _box(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The least and the greatest byte of each position."""
        length = self.lines.shape[1]
        whole = len(self.lines) // _FOLD * _FOLD
        folded = self.lines[:whole].reshape(-1, _FOLD * length)
        low, high = self.lines[whole:].min(0, initial=255), self.lines[whole:].max(0, initial=0)
        if whole:
            low = np.minimum(low, folded.min(0).reshape(_FOLD, length).min(0))
            high = np.maximum(high, folded.max(0).reshape(_FOLD, length).max(0))
        return low[self.start :], high[self.start :]

    def within(self, position: int, allowed: Marks) -> bool:
        """Whether no byte at the position can be another one than those allowed."""
        low, high = self._box
        return bool(allowed[low[position] : int(high[position]) + 1].all())


@dataclass(frozen=True)
class Texts:
    """The cells of a column as bytes, in the layout of Arrow's string views: a length, then text of up to twelve bytes,
    or its first four and where the rest is."""

    cells: pl.Series

    @cached_property
    def _views(self) -> NDArray[np.uint8]:
        array = self.cells.rechunk().to_arrow(compat_level=pl.CompatLevel.newest())
        views = np.frombuffer(array.buffers()[1], dtype=np.uint8) if len(array) else np.zeros(0, dtype=np.uint8)
        return views.reshape(-1, _VIEW)[array.offset : array.offset + len(array)]

    @cached_property
    def lengths(self) -> NDArray[np.uint32]:
        """Bytes of every cell, 0 where there is none."""
        lengths = self._views.view(np.uint32)[:, 0].copy()
        if self.cells.null_count():
            lengths[self.cells.is_null().to_numpy()] = 0
        return lengths

    @cached_property
    def _alike(self) -> bool:
        return bool(len(self.lengths) and self.lengths.min() == self.lengths.max())

    @property
    def beginnings(self) -> NDArray[np.uint16]:
        """The first two bytes of every cell, the first one lower; of a shorter one they end with zeros."""
        return self._views.view(np.uint16)[:, _TEXT // 2].copy()

    @property
    def first(self) -> NDArray[np.uint8]:
        """The first byte of every cell; of an empty one it may be anything."""
        return self._views[:, _TEXT].copy()

    @property
    def last(self) -> NDArray[np.uint8]:
        """The last byte of every cell; of an empty one it may be anything."""
        if not len(self.lengths) or self.lengths.max() <= _INLINE:
            ends = np.arange(_TEXT - 1, _VIEW * len(self.lengths), _VIEW, dtype=np.int64) + self.lengths
            return self._views.reshape(-1).take(ends, mode="clip")
        array = self.cells.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
        _, offsets, data = array.buffers()
        ends = np.frombuffer(offsets, dtype=np.int64)[array.offset + 1 : array.offset + len(array) + 1]
        return np.frombuffer(data, dtype=np.uint8).take(ends - 1, mode="clip")

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """Those of the cells whose width is common."""
        if self._alike:
            width = int(self.lengths[0])
            return (self._block(width, None),) if 0 < width <= _WIDEST else ()
        widths = np.minimum(self.lengths, _WIDEST + 1).astype(np.uint8)
        most = int(widths.max(initial=0))
        found = ((width, widths == width) for width in range(1, min(most, _WIDEST) + 1))
        least = _COMMON * len(widths)
        return tuple(self._block(width, rows) for width, rows in found if np.count_nonzero(rows) > least)

    @property
    def uniform(self) -> Block | None:
        """The block of all cells, where they are all there and of one width."""
        return self.blocks[0] if self._alike and self.blocks else None

    def _block(self, width: int, rows: Marks | None) -> Block:
        if width <= _INLINE:
            return Block(rows, self._views if rows is None else self._some(rows), _TEXT, width)
        cells = self.cells if rows is None else self.cells.filter(pl.Series(rows))
        array = cells.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
        content = np.frombuffer(array.buffers()[2], dtype=np.uint8)[array.offset * width :][: len(array) * width]
        return Block(rows, content.reshape(-1, width), 0, width)

    def _some(self, rows: Marks) -> NDArray[np.uint8]:
        """The views of some cells, picked as numbers of as many bytes: several times as fast as picking lines."""
        picked = self._views.reshape(-1).view(np.complex128).take(np.flatnonzero(rows))
        return picked.view(np.uint8).reshape(-1, _VIEW)

    def accepted(self, templates: Templates | None) -> Marks:
        """The cells that have a shape for certain."""
        sure = np.zeros(len(self.cells), dtype=bool)
        for block in self.blocks if templates else ():
            template = templates(block.width) if templates else None
            if template is not None:
                found = template.accepts(block)
                if block.rows is None:
                    sure = found
                elif found.all():
                    sure |= block.rows
                else:
                    sure[block.rows] = found
        return sure

    def settle(self, sure: Marks, gone: Marks, ask: Callable[[pl.Series], pl.Series]) -> Marks:
        """Which cells have a shape: the sure ones, and of the others those that `ask` says. None that is `gone` has."""
        rest = np.flatnonzero(~(sure | gone))
        found = sure & ~gone
        if len(rest):
            found[rest] = ask(self.cells[rest]).fill_null(False).to_numpy()
        return found

    def moments(self, templates: Templates | None) -> NDArray[np.int64]:
        """Microseconds since 1970 of the cells that the templates accept; anything for the others."""
        found = np.zeros(len(self.cells), dtype=np.int64)
        for block in self.blocks if templates else ():
            template = templates(block.width) if templates else None
            if template is not None:
                found[_all(block.rows)] = template.moments(block)
        return found


def _all(rows: Marks | None) -> Marks | slice:
    return slice(None) if rows is None else rows


@dataclass(frozen=True, slots=True)
class Template:
    """What each position may hold; `day`: where month and day stand, `hour`: where the hour stands, in two digits."""

    allowed: NDArray[np.bool_]
    day: tuple[int, int] | None = None
    hour: int | None = None

    @classmethod
    def of(cls, *positions: str, day: tuple[int, int] | None = None, hour: int | None = None) -> Template:
        """`positions`: the characters that each position may hold, all ASCII."""
        allowed = np.zeros((len(positions), 256), dtype=bool)
        for place, characters in enumerate(positions):
            allowed[place, list(characters.encode("ascii"))] = True
        return cls(allowed, day, hour)

    def accepts(self, block: Block) -> Marks:
        """The cells of a block of this width that have the shape for certain."""
        sure = np.ones(len(block.lines), dtype=bool)
        for place, allowed in enumerate(self.allowed):
            if not block.within(place, allowed):
                sure &= allowed.take(block.at(place))
        if self.day is not None:
            month, day = (_two(block, at) for at in self.day)
            date = month.astype(np.uint16) * 100 + day
            sure &= _CALENDAR.take(date, mode="clip")
            leap = np.flatnonzero(date == _LEAP_DAY)
            sure[leap] &= _leap(block, leap)
        if self.hour is not None:
            sure &= _two(block, self.hour) < 24
        return sure

    def moments(self, block: Block) -> NDArray[np.int64]:
        """Microseconds since 1970 of dates that begin with the year, where they are accepted."""
        if self.day is None:
            return np.zeros(len(block.lines), dtype=np.int64)
        month, day = (_two(block, at) for at in self.day)
        months = _two(block, 0).astype(np.int32) * 1200 + _two(block, 2) * np.int32(12) + month
        found = (_MONTHS.take(months - 1, mode="clip") + day - 1).astype(np.int64) * 86400
        if self.hour is not None:
            seconds = [_two(block, at) for at in range(self.hour, block.width - 1, 3)]
            for number, unit in zip(seconds, (3600, 60, 1), strict=False):
                found += number * np.int64(unit)
        return found * 1_000_000


Templates = Callable[[int], Template | None]
"""The template of a width in bytes; None where only the regex can tell"""


def _two(block: Block, at: int) -> NDArray[np.uint8]:
    """Two digits as a number; of other bytes it is any number, which no position of the template allows."""
    return (block.at(at) - 48) * np.uint8(10) + (block.at(at + 1) - 48)


def _leap(block: Block, rows: NDArray[np.intp]) -> Marks:
    """Whether the cells begin with a leap year."""
    digits = (block.lines[rows, block.start : block.start + 4] - 48).astype(np.int32)
    year = digits @ np.array([1000, 100, 10, 1], dtype=np.int32)
    return (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))


def _calendar() -> Marks:
    """By 100 · month + day: the days that there are, that of leap years among them."""
    table = np.zeros(1400, dtype=bool)
    for month, days in enumerate((31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), 1):
        table[100 * month + 1 : 100 * month + days + 1] = True
    return table


_CALENDAR, _LEAP_DAY = _calendar(), 229
_MONTHS = np.arange("0000-01", "10000-01", dtype="datetime64[M]").astype("datetime64[D]").astype(np.int32)
"""By 12 · year + month - 1: the day it begins with, counted from 1970"""


# ---- templates of patterns and of types ----------------------------------------------------------------------------
_PIECE = re.compile(
    r"(\[(?:\\d|[^\\\[\]^&~-]-[^\\\[\]^&~-]|[^\\\[\]^&~-])+\]|\\[d.\-/]|[0-9A-Za-z_,:;@/%#=\-])(?:\{(\d{1,2})\})?"
)


def of_pattern(pattern: str) -> Templates | None:
    """Templates of a regex that is a row of characters and sets of characters, each a fixed number of times."""
    positions: list[str] = []
    at = 0
    while at < len(pattern):
        piece = _PIECE.match(pattern, at)
        if piece is None or not piece[1].isascii():
            return None
        positions += [_characters(piece[1])] * int(piece[2] or 1)
        at = piece.end()
    if not 0 < len(positions) <= _WIDEST:
        return None
    template = Template.of(*positions)
    return lambda width: template if width == len(positions) else None


def _characters(piece: str) -> str:
    if piece[0] != "[":
        return _DIGITS if piece == r"\d" else piece[-1]
    spelled = piece[1:-1].replace(r"\d", "0-9")
    found = ""
    for one in re.findall(r".-.|.", spelled):
        found += one if len(one) == 1 else "".join(map(chr, range(ord(one[0]), ord(one[2]) + 1)))
    return found


def of_type(recipe: ColumnRecipe) -> Templates | None:
    """Templates of the plainest spelling of a column's type: no sign, no unit, every digit of the scale."""
    if recipe.type in ("date", "timestamp"):
        found = {t.allowed.shape[0]: t for f in reversed(recipe.formats) if (t := _DATES.get(f))}
        return found.get if found else None
    if recipe.unit is not None or not (recipe.type == "integer" or (recipe.type == "decimal" and recipe.scale)):
        return None
    scale = recipe.scale or 0 if recipe.type == "decimal" else 0
    most = min(14, (recipe.precision or 38) - scale) if scale else 14
    tail = [".", *[_DIGITS] * scale] if scale else []

    def template(width: int) -> Template | None:
        whole = width - len(tail)
        first = _DIGITS if whole == 1 else _DIGITS[1:]
        return Template.of(first, *[_DIGITS] * (whole - 1), *tail) if 1 <= whole <= most else None

    return template


def _dates() -> dict[str, Template]:
    found = {}
    clock = [" ", "012", _DIGITS, ":", "012345", _DIGITS]
    for mark in "-/.":
        days = [*[_DIGITS] * 4, mark, "01", _DIGITS, mark, "0123", _DIGITS]
        name = f"Y{mark}m{mark}d"
        found[name] = Template.of(*days, day=(5, 8))
        found[f"{name} H:M"] = Template.of(*days, *clock, day=(5, 8), hour=11)
        found[f"{name} H:M:S"] = Template.of(*days, *clock, ":", "012345", _DIGITS, day=(5, 8), hour=11)
    return found


_DATES = _dates()
