"""Rows of a file that are rows of the source: reordered, renamed, cut, rounded, encoded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sandbox.products.coded import CodedTable
from sandbox.products.compile import quote
from sandbox.products.holding import DECODED, PLAIN, Held, kinds_of, plain
from sandbox.products.row_keys import Part, RowKeys

if TYPE_CHECKING:
    import duckdb

How = Literal["name", "values", "held"]
ALIKE = 0.9
"""Share of a column's values from which it is taken to be a source column of another name."""
HELD = 0.95
"""Share from which a column is compared whatever it is called."""
DISTINCT = 6
"""Distinct values below which a common value proves nothing: months and levels are values of every table."""
_PROJECTION = 4
"""Columns of the smallest projection tried: the ones with the most distinct values, of equals those that are whole."""


@dataclass(frozen=True, slots=True)
class SharedRows:
    """Rows of a table of the file that equal a source row on the columns shared.

    `rows`: equal to a row that is unique on them; `contained`: equal to any row, of `of` rows; `how`: what the columns
    were recognised by: name (numbers as rounded as they are), name or else values, or values alone (once decoded).
    """

    input: str
    shared_columns: int
    rows: int
    contained: int = 0
    of: int = 0
    how: How = "name"
    table: int = 0


@dataclass(frozen=True, slots=True)
class _Pair:
    """A column of the file (place from 1), what it has, and the part of a row key that it is with its source column."""

    place: int
    distinct: int
    part: Part


class RowMatcher:
    """What rows of one table are in the source `alias`; `held`: which of its columns hold which of the source's."""

    def __init__(
        self, con: duckdb.DuckDBPyConnection, alias: str, cells: CodedTable, header: Sequence[str], held: Sequence[Held]
    ) -> None:
        self._con, self._alias, self._cells, self._header = con, alias, cells, header
        self._kinds = kinds_of(con, alias)
        self._held = [one for one in held if one.input == alias]

    def recognised(self) -> Iterator[SharedRows]:
        """On all columns recognised by name or else by values, on the most telling few, and on those of equal names."""
        by_name = {n: i for i, n in reversed(list(enumerate(self._header, start=1))) if n in self._kinds}
        pairs = [self._pair(i, n) for n, i in by_name.items()]
        renamed = [self._pair(one.number, one.column) for one in self._renamed(by_name)]
        how: How = "values" if renamed else "name"
        yield from self._compared([*pairs, *renamed], how, few=True)
        if renamed and len(pairs) > 1:
            yield from self._compared(pairs, "name")

    def copied(self) -> Iterator[SharedRows]:
        """On the columns that hold the values of one source column each: what was changed in others is left aside."""
        pairs = [self._pair_held(one) for one in self._paired()]
        if len(pairs) > 1:
            yield from self._compared(pairs, "held")

    def _renamed(self, by_name: Mapping[str, int]) -> Iterator[Held]:
        """Columns of other names whose values are those of a source column that no other column of the file is."""
        places, taken = set(by_name.values()), set(by_name)
        alike = [one for one in self._held if one.how == PLAIN and one.share >= ALIKE and one.of > 1]
        for one in sorted(alike, key=lambda h: (-h.share, -h.of)):
            if one.number not in places and one.column not in taken:
                places.add(one.number)
                taken.add(one.column)
                yield one

    def _pair(self, place: int, column: str) -> _Pair:
        distinct, numbers, decimals, zeros = self._told(place)
        kind = self._kinds[column]
        if not numbers or not re.search(r"INT|DOUBLE|FLOAT|DECIMAL", kind):
            return _Pair(place, distinct, Part(place, column, plain("v", "VARCHAR"), plain("{c}", kind)))
        step = decimals or -zeros
        ours = f"round(try_cast(trim(v) AS DOUBLE), {step}) + 0"
        return _Pair(place, distinct, Part(place, column, ours, f"round(CAST({{c}} AS DOUBLE), {step}) + 0"))

    def _told(self, place: int) -> tuple[int, int, int, int]:
        """(distinct values, those that are numbers, most decimals, least power of ten of whole ones) of a column."""
        number = "regexp_full_match(c, '[+-]?[0-9]+([.][0-9]+)?')"
        self._con.register("__values", self._cells.column(place - 1).values.to_frame("v").to_arrow())
        row = self._con.execute(
            f"SELECT count(DISTINCT c), count(*) FILTER ({number}),"
            f" coalesce(max(length(regexp_extract(c, '[.]([0-9]*)$', 1))) FILTER ({number}), 0),"
            f" coalesce(min(length(c) - length(rtrim(c, '0'))) FILTER ({number} AND c <> '0'), 0)"
            " FROM (SELECT trim(v) AS c FROM __values)"
        ).fetchall()[0]
        self._con.unregister("__values")
        return int(row[0]), int(row[1]), int(row[2]), int(row[3])

    def _pair_held(self, one: Held) -> _Pair:
        """Numbers that a double holds are compared as such; whole ones of 64 bits may be longer."""
        kind, cell = self._kinds[one.column], DECODED[one.how].format(c="v")
        if kind in ("DOUBLE", "FLOAT", "INTEGER", "SMALLINT", "TINYINT"):
            ours, theirs = f"try_cast(trim({cell}) AS DOUBLE) + 0", "CAST({c} AS DOUBLE) + 0"
        else:
            ours, theirs = plain(cell, "VARCHAR"), plain("{c}", kind)
        distinct = len(self._cells.column(one.number - 1).values)
        return _Pair(one.number, distinct, Part(one.number, one.column, ours, theirs))

    def _paired(self) -> list[Held]:
        """One source column for each column of the file and the other way round: the one of its name, else the one
        with the fewest values."""
        taken: dict[int, Held] = {}
        used: set[str] = set()
        alike = [one for one in self._held if one.share >= HELD and one.of >= DISTINCT]
        named = sorted((h for h in alike if h.column == self._header[h.number - 1]), key=lambda h: h.number)
        for one in named:
            if one.number not in taken and one.column not in used:
                taken[one.number] = one
                used.add(one.column)
        rest = [one for one in alike if one.number not in taken and one.column not in used]
        sizes = self._sizes([one.column for one in rest])
        for one in sorted(rest, key=lambda h: (sizes[h.column], h.number)):
            if one.number not in taken and one.column not in used:
                taken[one.number] = one
                used.add(one.column)
        return list(taken.values())

    def _sizes(self, columns: Sequence[str]) -> dict[str, int]:
        """About how many values source columns have."""
        names = list(dict.fromkeys(columns))
        if not names:
            return {}
        counts = ", ".join(f"approx_count_distinct({quote(name)})" for name in names)
        sizes = self._con.execute(f"SELECT {counts} FROM {quote(self._alias)}").fetchall()[0]
        return dict(zip(names, sizes, strict=True))

    def _compared(self, pairs: Sequence[_Pair], how: How, few: bool = False) -> Iterator[SharedRows]:
        """On all `pairs`, and on the most telling few where asked."""
        if not pairs:
            yield SharedRows(self._alias, 0, 0, how=how)
            return
        whole = {(one.number, one.column) for one in self._held if one.how == PLAIN}
        ordered = sorted(pairs, key=lambda p: (-p.distinct, (p.place, p.part.column) not in whole))
        parts = [pair.part for pair in ordered]
        keys = RowKeys(self._con, self._alias, self._cells, parts, _PROJECTION)
        unique, contained, of = keys.found()
        yield SharedRows(self._alias, len(pairs), unique, contained, of, how)
        if few and len(pairs) > _PROJECTION:
            unique, contained, of = keys.found(few=True)
            yield SharedRows(self._alias, _PROJECTION, unique, contained, of, how)
