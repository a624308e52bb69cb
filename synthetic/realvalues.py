"""Real identifiers, names and texts in simulated cells: alone, written otherwise, or inside a longer text."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import polars as pl

from synthetic.fields import Field
from synthetic.filling import DISTINCT
from synthetic.spelling import plain, wide

_WORD = r"[0-9A-Z]{8,}|\p{Han}[A-Z][0-9A-Z]{5,6}|[0-9A-Z._+-]+@[0-9A-Z.-]+"
_PARTED = r"(?:[0-9X][ \-.()]{0,2}){8,}"
"""A number whose digits stand in groups."""
_GROUP = re.compile(r"[0-9X]+")
_SHORTEST = 8
_LONGEST = 20
_NAME_IN_TEXT = 3
_PLACES = frozenset({"address", "organisation"})
_SHORT_TEXT = 8
"""Characters from which an address or organisation inside a text is no coincidence."""


class RealValues:
    """What no simulated cell may hold: the values of every column that is made up instead of learned."""

    def __init__(self, real: pl.DataFrame, fields: Sequence[Field], patterned: Collection[str]) -> None:
        self._text = [f for f in fields if f.dtype == "text"]
        made = [f for f in fields if f.generated or f.name in patterned]
        self._made = {f.name for f in made}
        known = {f.name: plain(real.get_column(f.name), f.semantic).drop_nulls().unique() for f in made}
        alike = {f.name: [o.name for o in made if o.semantic == f.semantic and o.generated] + [f.name] for f in made}
        self._semantics = {f.name: f.semantic for f in made}
        self._known = {name: _union(known[n] for n in dict.fromkeys(names)) for name, names in alike.items()}
        numbers = _union(known[f.name].str.to_uppercase() for f in made if f.semantic in DISTINCT)
        self._numbers = numbers.filter(numbers.str.len_chars() >= _SHORTEST)
        names = _union(known[f.name] for f in made if f.semantic == "person_name")
        self._names = names.filter(names.str.len_chars() >= 2)
        self._long_names = names.filter(names.str.len_chars() >= _NAME_IN_TEXT)
        places = _union(known[f.name].str.to_uppercase() for f in made if f.semantic in _PLACES)
        self._places = places.filter(places.str.len_chars() >= _SHORT_TEXT)

    def count(self, batch: pl.DataFrame) -> dict[str, int]:
        """Cells of the batch that hold a real value, by column; counts of batches add up."""
        found = {
            name: int(plain(batch.get_column(name), self._semantics[name]).is_in(known.implode()).sum())
            for name, known in self._known.items()
        }
        for field in self._text:
            cells = wide(batch.get_column(field.name)).drop_nulls()
            held = self._numbers_in(cells, alone=field.name not in self._made)
            if field.semantic == "free_text":
                held = held | self._names_in(cells) | self._places_in(cells)
            if held.any():
                found[f"{field.name} (inside text)"] = int(held.sum())
        return found

    def _numbers_in(self, cells: pl.Series, *, alone: bool) -> pl.Series:
        """Cells with a real number among their words; a cell that is one already counts where `alone`."""
        if not len(self._numbers):
            return cells.is_null()
        words = pl.DataFrame({"cell": cells.unique()}).with_columns(word=pl.col("cell").str.extract_all(_WORD))
        words = words.explode("word").drop_nulls()
        if not alone:
            words = words.filter(pl.col("word") != pl.col("cell"))
        hit = words.filter(pl.col("word").is_in(self._numbers.implode()))["cell"]
        return cells.is_in(pl.concat([hit, self._parted_in(cells.unique())]).unique().implode())

    def _parted_in(self, cells: pl.Series) -> pl.Series:
        runs = pl.DataFrame({"cell": cells}).with_columns(run=pl.col("cell").str.extract_all(_PARTED))
        runs = runs.explode("run").drop_nulls().filter(pl.col("run").str.contains(r"[ \-.()]"))
        joined = [(cell, word) for cell, run in runs.iter_rows() for word in _joined(run)]
        words = pl.DataFrame(joined, schema={"cell": pl.String, "word": pl.String}, orient="row")
        return words.filter(pl.col("word").is_in(self._numbers.implode()))["cell"].unique()

    def _names_in(self, cells: pl.Series) -> pl.Series:
        """Cells that hold a name as a whole run of characters, or a name of three or more anywhere."""
        runs = cells.str.extract_all(r"\p{Han}{2,}")
        alone = runs.list.eval(pl.element().is_in(self._names.implode())).list.any()
        return alone | cells.str.contains_any(self._long_names.implode())

    def _places_in(self, cells: pl.Series) -> pl.Series:
        """Cells that hold a whole real address or organisation. Only free text is looked at: one invented address may
        well begin with another, real one."""
        return cells.str.replace_all(r"\s", "").str.contains_any(self._places.implode())


def _union(parts: object) -> pl.Series:
    series = list(parts)  # type: ignore[call-overload]
    return pl.concat(series).alias("v").unique() if series else pl.Series("v", [], dtype=pl.String)


def _joined(run: str) -> list[str]:
    """Neighbouring groups of digits joined, as far as a number can be long."""
    groups = _GROUP.findall(run)
    words = []
    for left in range(len(groups)):
        word = groups[left]
        for group in groups[left + 1 :]:
            word += group
            if len(word) > _LONGEST:
                break
            words.append(word)
    return words
