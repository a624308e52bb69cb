"""One column of one batch: trimmed text, what is missing, what does not fit the type, values as numbers and moments.

This is where the time of a measurement goes, so each cell is touched as little as possible: first and last bytes are
looked up in the Arrow buffers, and only cells that may have blanks at an end or may spell a missing value are handled
as strings; columns that repeat their values are converted once a value, not once a cell.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipelines.quality.batches import Cells
from pipelines.quality.keys import Lanes
from pipelines.reading.recipe import ColumnRecipe
from pipelines.reading.values import (
    DATES,
    DECIMAL,
    EITHER_ORDER,
    INTEGER,
    conversion,
    date_text,
    fits,
    number_text,
    parsed_dates,
)

FORMATS = tuple(f for f in DATES if f not in EITHER_ORDER)
"""Spellings of dates that are looked for where the recipe decided none"""


def _table(codes: Collection[int]) -> NDArray[np.bool_]:
    table = np.zeros(256, dtype=bool)
    table[list(codes)] = True
    return table


_BLANKS = {b for c in map(chr, range(0x3001)) if c.isspace() for b in (c.encode()[0],)}
_FIRST = _table(_BLANKS)
_LAST = _table({c.encode()[-1] for c in map(chr, range(0x3001)) if c.isspace()})


@dataclass(frozen=True, slots=True)
class Facets:
    """What was found in one column of a batch.

    `gaps`: the first rows without a value. `tests`: A, B and the first failing rows of each rule about this column
    alone. `series`: its text and its values, for rules about several columns. `lanes`: two hashes of every cell as it
    was delivered, where they are asked for.
    """

    missing: int
    gaps: tuple[int, ...]
    invalid: int
    tests: tuple[tuple[int, int, tuple[int, ...]], ...]
    series: tuple[pl.Series, ...]
    lanes: Lanes | None


@dataclass(frozen=True, slots=True)
class Column:
    """How to look at a column. `wants` and `spread` are what rules about it, and rules about several columns, ask for:
    "text", "number" or "moment". `tests` are the rules about it alone."""

    place: int
    recipe: ColumnRecipe
    stated: pl.DataType
    spellings: pl.Series
    first: NDArray[np.bool_]
    longest: int
    wants: frozenset[str]
    spread: frozenset[str]
    tests: tuple[pl.Expr, ...]

    @classmethod
    def of(
        cls, place: int, recipe: ColumnRecipe, stated: pl.DataType, more: Sequence[str], wants: Collection[str],
        spread: Collection[str], tests: Sequence[pl.Expr],
    ) -> Column:  # fmt: skip
        """`more` are the spellings of missing on top of those of the recipe."""
        spelled = sorted({*recipe.missing, *more} - {""})
        first = _table({s.encode()[0] for s in spelled})
        longest = max((len(s.encode()) for s in spelled), default=0)
        said, asked = pl.Series(spelled, dtype=pl.String), (frozenset(wants), frozenset(spread))
        return cls(place, recipe, stated, said, first, longest, *asked, tuple(tests))

    def look(self, cells: Cells, samples: int, *, whole: bool) -> Facets:
        """All that is wanted of the cells of one batch.

        `samples`: how many failing rows to name for each test. `whole`: whether whole rows will be compared.
        """
        name = self.recipe.name
        if self.stated == pl.String and self.recipe.type in ("date", "timestamp"):  # the dearest to convert
            cells = cells.coded()
        raw = cells.values
        if self.stated == pl.String:
            text, gone = self._clean(raw)
            values, bad = self._values(text)
        else:
            text, gone, values, bad = raw.cast(pl.String), raw.is_null().to_numpy(), raw, None
        faces = {"text": text.alias(name)}
        if "number" in self.wants:
            faces["number"] = self._number(text, values, bad).alias(f"{name}\0number")
        if "moment" in self.wants:
            faces["moment"] = self._moment(text, values).alias(f"{name}\0moment")
        tests = tuple(self._test(cells, pl.DataFrame(list(faces.values())), t, gone, samples) for t in self.tests)
        invalid = cells.count(bad.to_numpy()) if bad is not None else 0
        series = tuple(cells.spread(faces[want]) for want in sorted(self.spread))
        lanes = self.lanes(cells) if whole else None
        return Facets(cells.count(gone), cells.first(gone, samples), invalid, tests, series, lanes)

    def lanes(self, cells: Cells) -> Lanes:
        """Two hashes of every cell as it was delivered."""
        first, second = (cells.values.hash(2 * self.place + lane).to_numpy() for lane in (0, 1))
        return (first, second) if cells.codes is None else (first.take(cells.codes), second.take(cells.codes))

    def _values(self, text: pl.Series) -> tuple[pl.Series, pl.Series | None]:
        """The values by the recipe, and which of the texts do not fit it; None where nothing can misfit."""
        if self.recipe.type == "text":
            return text, None
        recipe, frame = self.recipe, text.to_frame(self.recipe.name)
        cell = pl.col(recipe.name)
        if not self.wants:  # nobody asks for the values: whether they fit is quicker to tell
            return text, text.is_not_null() & ~frame.select(fits(cell, recipe)).to_series()
        if recipe.type in ("date", "timestamp"):  # in two steps: one expression would spell the text out for each use
            frame = frame.select(date_text(cell, recipe.formats, fold=recipe.fold_width).alias(recipe.name))
            value = frame.lazy().select(parsed_dates(cell, recipe.formats)).collect().to_series()
        else:
            value = frame.select(conversion(cell, recipe)).to_series()
        return value, text.is_not_null() & value.is_null()

    def _test(
        self, cells: Cells, faces: pl.DataFrame, ok: pl.Expr, gone: NDArray[np.bool_], samples: int
    ) -> tuple[int, int, tuple[int, ...]]:
        """A, B and the first failing rows of a test of every value."""
        failing = ~faces.select(ok.fill_null(False)).to_series().to_numpy() & ~gone
        there, bad = len(cells) - cells.count(gone), cells.count(failing)
        return there - bad, there, cells.first(failing, samples)

    def _clean(self, cells: pl.Series) -> tuple[pl.Series, NDArray[np.bool_]]:
        """The cells without blanks at their ends, null where they spell a missing value, and which are missing."""
        first, last, lengths = _ends(cells)
        edged = np.flatnonzero(_FIRST.take(first) | _LAST.take(last))
        if len(edged):
            part = cells.gather(edged)
            stripped = part.str.strip_chars()
            if (part != stripped).any():
                cells = cells.scatter(edged, stripped)
                first, last, lengths = _ends(cells)
        gone = lengths == 0
        if cells.null_count():
            gone |= cells.is_null().to_numpy()
        maybe = np.flatnonzero(self.first.take(first))
        maybe = maybe[lengths[maybe] <= self.longest] if len(maybe) else maybe
        if len(maybe):
            gone[maybe] |= cells.gather(maybe).is_in(self.spellings.implode()).fill_null(True).to_numpy()
        if (self.wants or self.recipe.type != "text") and gone.any():
            cells = cells.zip_with(pl.Series(~gone), pl.Series([None], dtype=pl.String))
        return cells, gone

    def _number(self, texts: pl.Series, values: pl.Series, bad: pl.Series | None) -> pl.Series:
        """By the recipe where it is one of numbers, and by any spelling of a number where that does not fit."""
        if self.stated.is_numeric():
            return values.cast(pl.Float64)
        if bad is None or self.recipe.type not in ("integer", "decimal"):
            return number(texts, self.recipe)
        found = values.cast(pl.Float64)
        return found.scatter(bad.arg_true(), number(texts.filter(bad), self.recipe)) if bad.any() else found

    def _moment(self, texts: pl.Series, values: pl.Series) -> pl.Series:
        if self.stated.is_temporal():
            return values.cast(pl.Datetime("us"))
        if self.stated == pl.String and self.recipe.type in ("date", "timestamp") and self.recipe.formats:
            return values.cast(pl.Datetime("us"))
        return moment(texts)


def number(texts: pl.Series, recipe: ColumnRecipe | None = None) -> pl.Series:
    """Texts as floating numbers, with separators of thousands and full-width digits; null where they are none."""
    how = (recipe or ColumnRecipe(name="number")).model_copy(update={"thousands": True, "fold_width": True})
    text = number_text(pl.col("number"), how)
    fits = text.str.contains(f"(?:{INTEGER})|(?:{DECIMAL})")
    cast = pl.when(fits).then(text.str.strip_chars_end(".")).otherwise(None).cast(pl.Float64, strict=False)
    return texts.to_frame("number").select(cast).to_series()


def moment(texts: pl.Series) -> pl.Series:
    """Texts as local date-times in any unambiguous spelling; null where they are none."""
    parsed = parsed_dates(date_text(pl.col("moment"), FORMATS, fold=True), FORMATS)
    return texts.to_frame("moment").select(parsed).to_series()


def _ends(cells: pl.Series) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int64]]:
    """First byte, last byte and length in bytes of every cell."""
    arrow = cells.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, data = arrow.buffers()
    at = np.frombuffer(offsets, dtype=np.int64)[arrow.offset : arrow.offset + len(arrow) + 1]
    if data is None or not len(at) or at[-1] == at[0]:
        nothing = np.zeros(len(arrow), dtype=np.uint8)
        return nothing, nothing, np.zeros(len(arrow), dtype=np.int64)
    content = np.frombuffer(data, dtype=np.uint8)
    ends = at[1:]
    # of an empty cell this is a byte of its neighbour: harmless, for whatever may be blank or missing is looked at
    return content.take(at[:-1], mode="clip"), content.take(ends - 1, mode="clip"), ends - at[:-1]
