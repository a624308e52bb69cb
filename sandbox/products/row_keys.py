"""Rows of a file and of the source compared exactly on some columns, at the price of a few words a row.

A value of the file is told by a code; a source row has a key only where each of its values is one of the file's. The
source is read once: the first columns, which should be the most telling, leave few rows for the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox.products.arrays import array_of
from sandbox.products.coded import CodedTable
from sandbox.products.compile import quote

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from numpy.typing import NDArray

    Numbers = NDArray[Any]

_WORD = 62
"""Bits of a key in one number of SQL."""
_ROWS = 1 << 17
"""Rows of the file that are in memory at a time."""


@dataclass(frozen=True, slots=True)
class Part:
    """A column of the file (`place` from 1) and the source column that it is compared with: as SQL, what is compared
    of a text `v` and of a source value `{c}`."""

    place: int
    column: str
    ours: str
    theirs: str


@dataclass(frozen=True, slots=True)
class _Code:
    """The part `number`: `codes` of every value of the file and, last, of a missing one; where its code lies in which
    word of the key."""

    number: int
    codes: Numbers
    word: int
    shift: int


class RowKeys:
    """Keys of the rows of a file over `parts`, and which of them rows of the source `alias` have; `few` of the parts
    are a key by themselves."""

    def __init__(
        self, con: duckdb.DuckDBPyConnection, alias: str, cells: CodedTable, parts: Sequence[Part], few: int
    ) -> None:
        self._con, self._alias, self._cells, self._parts = con, alias, cells, parts
        self._codes: list[_Code] = []
        self._few = list(self._placed(parts[:few], 0))
        self._rest = list(self._placed(parts[few:], 1 + max(code.word for code in self._few)))
        self._file()
        self._source()

    def found(self, few: bool = False) -> tuple[int, int, int]:
        """Rows of the file that equal a source row that is unique on the key, that equal any, and all of them."""
        words = self._words(self._few if few else [*self._few, *self._rest])
        listed, there = ", ".join(words), " AND ".join(f"{word} IS NOT NULL" for word in words)
        query = (
            f"WITH f AS (SELECT {listed}, sum(n) AS n FROM __f GROUP BY ALL),"
            f" s AS (SELECT {listed}, count(*) AS n FROM __s WHERE {there} GROUP BY ALL)"
            " SELECT coalesce(sum(f.n) FILTER (s.n = 1), 0), coalesce(sum(f.n), 0), (SELECT coalesce(sum(n), 0) FROM f)"
            f" FROM f JOIN s USING ({listed})"
        )
        unique, contained, of = self._con.execute(query).fetchall()[0]
        return int(unique), int(contained), int(of)

    def _placed(self, parts: Sequence[Part], word: int) -> Iterator[_Code]:
        used = 0
        for part in parts:
            number = len(self._codes)
            codes = self._coded(number, part)
            bits = max(1, int(codes.max()).bit_length())
            if used + bits > _WORD:
                word, used = word + 1, 0
            self._codes.append(_Code(number, codes, word, used))
            yield self._codes[-1]
            used += bits

    def _coded(self, number: int, part: Part) -> Numbers:
        """`__x…`: what is compared of the file's values, `x`, with its code `k`."""
        import polars as pl

        values = self._cells.column(part.place - 1).values.extend_constant(None, 1)
        self._con.register("__values", values.to_frame("v").with_row_index("p").to_arrow())
        self._con.execute(f"CREATE OR REPLACE TEMP TABLE __r AS SELECT p, {part.ours} AS x FROM __values")
        self._con.unregister("__values")
        self._con.execute(
            f"CREATE OR REPLACE TEMP TABLE __x{number} AS SELECT x, (row_number() OVER () - 1)::UBIGINT AS k"
            " FROM (SELECT DISTINCT x FROM __r)"
        )
        query = f"SELECT k FROM __r JOIN __x{number} AS y ON __r.x IS NOT DISTINCT FROM y.x ORDER BY p"
        return pl.DataFrame(self._con.sql(query).to_arrow_table())["k"].to_numpy()

    def _file(self) -> None:
        """`__f`: every key of the file and its rows."""
        import pyarrow as pa

        words = self._words(self._codes)
        schema = pa.schema([(word, pa.uint64()) for word in words])
        self._con.register("__rows", pa.RecordBatchReader.from_batches(schema, self._batches(schema)))
        listed = ", ".join(words)
        grouped = f"SELECT {listed}, count(*) AS n FROM __rows GROUP BY ALL"
        self._con.execute(f"CREATE OR REPLACE TEMP TABLE __f AS {grouped}")
        self._con.unregister("__rows")

    def _batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        import numpy as np
        import pyarrow as pa

        columns = [self._cells.column(part.place - 1).codes for part in self._parts]
        for first in range(0, len(columns[0]), _ROWS):
            words = np.zeros((len(schema), min(_ROWS, len(columns[0]) - first)), dtype=np.uint64)
            for code, places in zip(self._codes, columns, strict=True):
                words[code.word] |= code.codes[places[first : first + _ROWS]] << np.uint64(code.shift)
            yield pa.record_batch([array_of(word) for word in words], schema=schema)

    def _source(self) -> None:
        """`__s`: the keys of source rows whose first few parts are in the file; nothing where another part is not."""
        cells = ", ".join(f"{quote(part.column)} AS c{n}" for n, part in enumerate(self._parts))
        first, later = self._words(self._few), self._words(self._rest)
        source = f"SELECT {cells} FROM {quote(self._alias)}"
        few = f"SELECT s.*, {self._keys(self._few)} FROM ({source}) AS s {self._joined(self._few, 'JOIN')}"
        kept = f"SELECT * FROM ({few}) SEMI JOIN __f USING ({', '.join(first)})"
        whole = f", {self._keys(self._rest)}" if later else ""
        self._con.execute(
            f"CREATE OR REPLACE TEMP TABLE __s AS SELECT {', '.join(f's.{word}' for word in first)}{whole}"
            f" FROM ({kept}) AS s {self._joined(self._rest, 'LEFT JOIN')}"
        )

    def _joined(self, codes: Sequence[_Code], how: str) -> str:
        """The codes of the source's values, by equality of what is compared; nothing equals nothing."""
        theirs = [(code.number, self._parts[code.number].theirs.format(c=f"s.c{code.number}")) for code in codes]
        return " ".join(f"{how} __x{n} ON __x{n}.x IS NOT DISTINCT FROM ({value})" for n, value in theirs)

    def _keys(self, codes: Sequence[_Code]) -> str:
        words: dict[int, list[str]] = {}
        for code in codes:
            words.setdefault(code.word, []).append(f"(__x{code.number}.k << {code.shift})")
        return ", ".join(f"{' | '.join(parts)} AS w{word}" for word, parts in words.items())

    @staticmethod
    def _words(codes: Sequence[_Code]) -> list[str]:
        return [f"w{word}" for word in dict.fromkeys(code.word for code in codes)]
