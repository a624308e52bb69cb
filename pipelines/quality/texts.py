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
from pipelines.quality.shapes import Block, Templates, Texts, of_type
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


def _beginnings(spelled: Collection[str]) -> NDArray[np.bool_]:
    """By the first two bytes of a cell, the first one lower: whether it may begin with a blank or spell any of these,
    which may have blanks after it."""
    table = np.zeros((256, 256), dtype=bool)
    table[:, _FIRST] = True
    for first, *rest in (word.encode() for word in spelled):
        table[rest[0] if rest else _FIRST | _table({0}), first] = True
    return table.reshape(-1)


_BLANKS = {b for c in map(chr, range(0x3001)) if c.isspace() for b in (c.encode()[0],)}
_FIRST = _table(_BLANKS)
_LAST = _table({c.encode()[-1] for c in map(chr, range(0x3001)) if c.isspace()})
_FEW = 4096
_NOTHING = pl.Series([None], dtype=pl.String)


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
class Test:
    """Which values meet a rule about one column; `shape`: templates of values that do, where a regex tells."""

    ok: pl.Expr
    shape: Templates | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """How to look at a column. `wants` and `spread` are what rules about it, and rules about several columns, ask for:
    "text", "number" or "moment". `tests` are the rules about it alone."""

    place: int
    recipe: ColumnRecipe
    stated: pl.DataType
    spellings: frozenset[str]
    first: NDArray[np.bool_]
    begins: NDArray[np.bool_]
    longest: int
    wants: frozenset[str]
    spread: frozenset[str]
    tests: tuple[Test, ...]
    shape: Templates | None

    @classmethod
    def of(
        cls, place: int, recipe: ColumnRecipe, stated: pl.DataType, more: Sequence[str], wants: Collection[str],
        spread: Collection[str], tests: Sequence[Test],
    ) -> Column:  # fmt: skip
        """`more` are the spellings of missing on top of those of the recipe."""
        spelled = sorted({*recipe.missing, *more} - {""})
        first = _table({s.encode()[0] for s in spelled})
        begins = _beginnings(spelled)
        longest = max((len(s.encode()) for s in spelled), default=0)
        asked = frozenset(wants), frozenset(spread)
        return cls(
            place, recipe, stated, frozenset(spelled), first, begins, longest, *asked, tuple(tests), of_type(recipe)
        )

    def look(self, cells: Cells, samples: int, *, whole: bool) -> Facets:
        """All that is wanted of the cells of one batch.

        `samples`: how many failing rows to name for each test. `whole`: whether whole rows will be compared.
        """
        name = self.recipe.name
        dear = self.stated == pl.String and self.recipe.type in ("date", "timestamp")  # the dearest to convert
        if dear and self.shape is None:
            cells = cells.coded()
        raw = cells.values
        if self.stated == pl.String:
            texts, gone = self._clean(Texts(raw))
            text = texts.cells.zip_with(pl.Series(~gone), _NOTHING) if self.wants and gone.any() else texts.cells
            values, bad = self._values(texts, text, gone)
        else:
            texts, gone, values, bad = Texts(raw.cast(pl.String)), raw.is_null().to_numpy(), raw, None
            text = texts.cells
        faces = {"text": text.alias(name)}
        if "number" in self.wants:
            faces["number"] = self._number(text, values, bad).alias(f"{name}\0number")
        if "moment" in self.wants:
            faces["moment"] = self._moment(text, values).alias(f"{name}\0moment")
        faced = pl.DataFrame(list(faces.values()))
        tests = tuple(self._test(cells, texts, faced, test, gone, samples) for test in self.tests)
        invalid = cells.count(bad) if bad is not None else 0
        series = tuple(cells.spread(faces[want]) for want in sorted(self.spread))
        lanes = self.lanes(cells) if whole else None
        return Facets(cells.count(gone), cells.first(gone, samples), invalid, tests, series, lanes)

    def lanes(self, cells: Cells) -> Lanes:
        """Two hashes of every cell as it was delivered."""
        first, second = (cells.values.hash(2 * self.place + lane).to_numpy() for lane in (0, 1))
        return (first, second) if cells.codes is None else (first.take(cells.codes), second.take(cells.codes))

    def _values(
        self, texts: Texts, text: pl.Series, gone: NDArray[np.bool_]
    ) -> tuple[pl.Series, NDArray[np.bool_] | None]:
        """The values by the recipe, and which of the cells do not fit it; None where nothing can misfit.

        Where nobody asks for the values they are left as text: whether they fit is quicker to tell. `text` is null
        where a cell is `gone`.
        """
        recipe = self.recipe
        if recipe.type == "text":
            return text, None
        cell, sure = pl.col(recipe.name), texts.accepted(self.shape)
        good = texts.settle(sure, gone, lambda some: some.to_frame(recipe.name).select(fits(cell, recipe)).to_series())
        bad = ~(good | gone)
        if self.wants <= {"text"}:
            return text, bad
        if recipe.type in ("date", "timestamp"):
            return self._moments(texts, sure, good), bad
        frame = (text.zip_with(pl.Series(good), _NOTHING) if bad.any() else text).to_frame(recipe.name)
        return frame.select(conversion(cell, recipe, sure=True)).to_series(), bad

    def _moments(self, texts: Texts, sure: NDArray[np.bool_], good: NDArray[np.bool_]) -> pl.Series:
        """The date-times of the texts that fit: the sure ones from their digits, the others by their formats."""
        formats, cell = self.recipe.formats, pl.col(self.recipe.name)
        found = pl.Series(texts.moments(self.shape)).cast(pl.Datetime("us"))
        others = np.flatnonzero(good & ~sure)
        if len(others):  # in two steps: one expression would spell the text out for each use
            frame = texts.cells[others].to_frame(self.recipe.name)
            frame = frame.select(date_text(cell, formats, fold=self.recipe.fold_width).alias(self.recipe.name))
            parsed = frame.lazy().select(parsed_dates(cell, formats, sure=True)).collect().to_series()
            found = found.scatter(others, parsed)
        return found if good.all() else found.zip_with(pl.Series(good), pl.Series([None], dtype=found.dtype))

    def _test(
        self, cells: Cells, texts: Texts, faces: pl.DataFrame, test: Test, gone: NDArray[np.bool_], samples: int
    ) -> tuple[int, int, tuple[int, ...]]:
        """A, B and the first failing rows of a test of every value."""
        if test.shape is None:
            good = faces.select(test.ok.fill_null(False)).to_series().to_numpy()
        else:
            name = self.recipe.name
            sure = texts.accepted(test.shape)
            good = texts.settle(sure, gone, lambda some: some.to_frame(name).select(test.ok).to_series())
        failing = ~good & ~gone
        there, bad = len(cells) - cells.count(gone), cells.count(failing)
        return there - bad, there, cells.first(failing, samples)

    def _clean(self, texts: Texts) -> tuple[Texts, NDArray[np.bool_]]:
        """The cells without blanks at their ends, and which are missing: they spell it or hold nothing."""
        gone = np.zeros(len(texts.cells), dtype=bool)
        rows = self._doubtful(texts)
        if not len(rows):
            return texts, gone
        some = texts if len(rows) == len(gone) else Texts(texts.cells[rows])
        lost = self._lost(some)
        edged = np.flatnonzero((_FIRST.take(some.first) | _LAST.take(some.last)) & ~lost)
        if len(edged):
            part = some.cells[edged]
            stripped = part.str.strip_chars()
            if (part != stripped).any():
                texts = Texts(texts.cells.clone().scatter(rows[edged], stripped))  # it writes into what it is given
                lost[edged] = self._lost(Texts(stripped))
        gone[rows] = lost
        return texts, gone

    def _doubtful(self, texts: Texts) -> NDArray[np.intp]:
        """The cells that may spell a missing value or hold nothing, or where texts are wanted have blanks at an end."""
        wanted = self.wants or self.recipe.type != "text"
        if wanted and (block := texts.uniform) and self._is_clean(block):
            return np.flatnonzero(False)
        doubtful = self.begins.take(texts.beginnings) | (texts.lengths == 0)
        if not wanted:
            return np.flatnonzero(doubtful)
        ends = np.ones(len(doubtful), dtype=bool)
        shaped = self.shape or any(test.shape for test in self.tests)
        for block in texts.blocks if shaped else ():
            if block.within(block.width - 1, ~_LAST):
                ends &= False if block.rows is None else ~block.rows
        return np.flatnonzero(doubtful | ends)

    def _lost(self, texts: Texts) -> NDArray[np.bool_]:
        """Which texts without blanks at their ends are missing."""
        lost = texts.lengths == 0
        maybe = np.flatnonzero(self.begins.take(texts.beginnings) & (texts.lengths <= self.longest))
        if len(maybe):
            lost[maybe] |= self._spelled(texts.cells[maybe])
        return lost

    def _spelled(self, cells: pl.Series) -> NDArray[np.bool_]:
        """Which of the cells spell a missing value or are none. There are hundreds of spellings: some thousand cells
        are looked up in less time than polars takes to make a set of them."""
        if len(cells) < _FEW:
            return np.fromiter((c is None or c in self.spellings for c in cells.to_list()), np.bool_, len(cells))
        said = pl.Series(list(self.spellings), dtype=pl.String)
        return cells.is_in(said.implode()).fill_null(True).to_numpy()

    def _is_clean(self, block: Block) -> bool:
        """Whether no cell of the block can have blanks at an end or spell a missing value."""
        spells = block.width <= self.longest and not block.within(0, ~self.first)
        return not spells and block.within(0, ~_FIRST) and block.within(block.width - 1, ~_LAST)

    def _number(self, texts: pl.Series, values: pl.Series, bad: NDArray[np.bool_] | None) -> pl.Series:
        """By the recipe where it is one of numbers, and by any spelling of a number where that does not fit."""
        if self.stated.is_numeric():
            return values.cast(pl.Float64)
        if bad is None or self.recipe.type not in ("integer", "decimal"):
            return number(texts, self.recipe)
        found = values.cast(pl.Float64)
        odd = np.flatnonzero(bad)
        return found.scatter(odd, number(texts[odd], self.recipe)) if len(odd) else found

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
