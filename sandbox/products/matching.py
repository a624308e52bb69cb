"""What of a file can be found again in the source: identifiers in any encoding or in pieces, and whole rows.

Runs where the source is; answers are counts, never values. Memory stays flat: the file's values lie on the disk, the
source is streamed past them, joins are exact and spill.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sandbox.catalog.keys import normal_key
from sandbox.products.coded import CodedTable
from sandbox.products.compile import quote
from sandbox.products.holding import Held, held, kinds_of
from sandbox.products.matching_rows import RowMatcher, SharedRows
from sandbox.products.source import Source, file_columns, opened

if TYPE_CHECKING:
    import duckdb
    import polars as pl

SHORTEST = 6
"""Shorter values are not compared raw: small whole numbers are keys of many registers and values of every table."""
_LONGEST = 512
_LONGEST_KEY, _LONG_KEY = 64, 10
"""A joined text of so many characters is no key by chance; a shorter one counts where half of the rows give one."""
_SAMPLE = 20_000

# encoding → what it makes of a key, what its values look like, how they are compared
_IN_SQL = {
    "md5": ("md5({k})", "[0-9a-fA-F]{32}", "lower(w)"),
    "sha1": ("sha1({k})", "[0-9a-fA-F]{40}", "lower(w)"),
    "sha256": ("sha256({k})", "[0-9a-fA-F]{64}", "lower(w)"),
    "base64": ("rtrim(base64(encode({k})), '=')", "[A-Za-z0-9+/_-]{8,}={0,2}", "translate(rtrim(w, '='), '-_', '+/')"),
    "hex": ("lower(hex(encode({k})))", "(0[xX])?([0-9a-fA-F]{2}){6,}", "regexp_replace(lower(w), '^0x', '')"),
}
# the same → what a value was made of, where anybody can tell
_DECODED = {
    "base64": "TRY(decode(from_base64(rpad(d, CAST((strlen(d) + 3) // 4 * 4 AS INTEGER), '='))))",
    "hex": "TRY(decode(unhex(d)))",
}
_IN_PYTHON: dict[str, Callable[[bytes], str]] = {"sm3": lambda raw: hashlib.new("sm3", raw).hexdigest()}


@dataclass(frozen=True, slots=True)
class FileTable:
    """A table of the file: its header, its cells, and the places (from 0) of the columns that are looked up; the
    others the platform computed itself."""

    header: tuple[str, ...]
    cells: CodedTable
    rows: int
    looked: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """Adjacent columns (places from 0) of a table that make identifiers when they are written together: in how many
    of the rows that were looked at."""

    table: int
    columns: tuple[int, ...]
    rows: int
    looked: int


@dataclass(frozen=True, slots=True)
class SourceMatch:
    """`identifiers`: encoding → distinct file values that lead back to an identifier. Encodings missing here were not
    compared. `held`: of every table of records, which of its columns hold which source columns."""

    identifiers: Mapping[str, int]
    rows: tuple[SharedRows, ...]
    split: tuple[Split, ...] = ()
    held: tuple[tuple[Held, ...], ...] = ()


def match(
    sources: Mapping[str, Source], tables: Sequence[FileTable], words: Iterable[str] = (), records: bool = False
) -> SourceMatch:
    """Look up the cells of `tables` and `words` among the sources' identifiers, and the rows of the biggest table among
    their rows; of `records`, of which no evidence says what they are, the rows of every table by their values alone."""
    with opened(sources, whole=True) as con:
        _values(con, tables, words)
        kinds = {alias: kinds_of(con, alias) for alias in sources}
        known = [(alias, c, kinds[alias].get(c, "")) for alias, s in sources.items() for c in s.identifier_columns]
        keys, keyed = _keys(known), bool(known)
        if keyed:
            _wanted(con, known, tables)
        found = {"raw": _count(con, "k IN (SELECT k FROM __k)") if keyed else 0}
        for encoding, (template, shape, theirs) in _IN_SQL.items():
            shaped = _shaped(con, shape, theirs) if keyed else 0
            if not shaped:
                found[encoding] = 0
            elif encoding in _DECODED and shaped <= _SAMPLE:  # of many, most are nothing encoded and take long
                found[encoding] = _decoded(con, known, template, _DECODED[encoding])
            else:
                found[encoding] = _encoded(con, keys, template)
        for encoding, function in _IN_PYTHON.items():
            found[encoding] = _digested(con, keys, function) if keyed else 0
        split = tuple(s for n, table in enumerate(tables) if keyed for s in _splits(con, n, table))
        every = tuple(tuple(_held(con, sources, table)) for table in tables) if records else ()
        rows = tuple(_rows(con, sources, tables, every))
    return SourceMatch(found, rows, split, every)


def _held(con: duckdb.DuckDBPyConnection, sources: Mapping[str, Source], table: FileTable) -> list[Held]:
    columns = {alias: file_columns(source) for alias, source in sources.items()}
    return held(con, table.cells, table.looked, columns)


def _nameless(con: duckdb.DuckDBPyConnection, sources: Mapping[str, Source], table: FileTable) -> list[Held]:
    """What columns hold that no source column of an input is called like, of the input's columns that none is."""
    found: list[Held] = []
    for alias, source in sources.items():
        names = file_columns(source)
        rest = [p for p in table.looked if table.header[p] not in names or table.header.index(table.header[p]) < p]
        free = [name for name in names if name not in table.header]
        found += held(con, table.cells, rest, {alias: free} if rest and free else {})
    return found


def _rows(
    con: duckdb.DuckDBPyConnection, sources: Mapping[str, Source], tables: Sequence[FileTable],
    every: Sequence[Sequence[Held]],
) -> Iterator[SharedRows]:  # fmt: skip
    biggest = max(range(len(tables)), key=lambda n: tables[n].rows, default=None)
    if biggest is not None:
        known = every[biggest] if every else _nameless(con, sources, tables[biggest])
        for alias in sources:
            yield from RowMatcher(con, alias, tables[biggest].cells, tables[biggest].header, known).recognised()
    for n, known in enumerate(every):
        for alias in sources:
            for one in RowMatcher(con, alias, tables[n].cells, tables[n].header, known).copied():
                yield replace(one, table=n)


def _values(con: duckdb.DuckDBPyConnection, tables: Sequence[FileTable], words: Iterable[str]) -> None:
    """`__w`: every distinct text `w` of the file that could be an identifier, with its normal key `k`; a disguised text
    has a row for each way to read it."""
    con.execute("CREATE TEMP TABLE __v AS SELECT unnest(?::VARCHAR[]) AS w", [sorted(_headers(tables, words))])
    for table in tables:
        for place in table.looked:
            con.register("__values", table.cells.column(place).values.to_frame("v").to_arrow())
            texts = "SELECT trim(v) AS w FROM __values"
            con.execute(
                f"INSERT INTO __v SELECT w FROM ({texts}) WHERE length(w) BETWEEN {SHORTEST} AND {_LONGEST}"
            )
            con.unregister("__values")
    con.execute(f"CREATE TEMP TABLE __w AS SELECT DISTINCT w, {normal_key('w')} AS k FROM __v WHERE w IS NOT NULL")
    con.execute("DROP TABLE __v")
    for read in _readings(con):
        con.register("__read", read)
        con.execute(f"INSERT INTO __w SELECT w, {normal_key('r')} FROM __read WHERE r <> w")
        con.unregister("__read")


def _headers(tables: Sequence[FileTable], words: Iterable[str]) -> set[str]:
    every = {*words, *(name for table in tables for name in table.header)}
    return {text.strip() for text in every if SHORTEST <= len(text.strip()) <= _LONGEST}


def _readings(con: duckdb.DuckDBPyConnection) -> Iterator[pl.DataFrame]:
    """Canonical forms of the texts that have another one: full-width, invisible and separating characters."""
    import polars as pl

    from sandbox.detection import canon

    odd = r"[^\x00-\x7F\x{4E00}-\x{9FFF}]|[\s._/,:|-]"
    query = f"SELECT w FROM __w WHERE length(w) <= {_LONGEST_KEY} AND regexp_matches(w, '{odd}')"
    values = pl.DataFrame(con.sql(query).to_arrow_table())["w"]
    if len(values):
        plain = canon.canonical_values(values)
        yield pl.DataFrame({"w": values, "r": plain})
        yield pl.DataFrame({"w": values, "r": plain.str.replace_all(r"[\s._/\\,:|·-]", "")})


Keys = Sequence[tuple[str, str, str]]
"""(input, column, type or nothing where it is spelled otherwise) of every column of identifiers."""


def _keys(columns: Keys) -> str:
    """SQL for the normal identifiers `k` of all sources, as often as they are there; empty where there are none."""
    return " UNION ALL ".join(f"SELECT {normal_key(quote(c))} AS k FROM {quote(alias)}" for alias, c, _ in columns)


def _among(con: duckdb.DuckDBPyConnection, columns: Keys, few: str) -> str:
    """SQL for those of the normal identifiers `k`, at least, that are in the small table `few` in whatever case. The
    source is streamed past it, whole numbers as such; a key of ASCII without blanks has as many bytes as its text."""
    told = con.execute(f"SELECT DISTINCT strlen(k) FROM {few} WHERE k IS NOT NULL").fetchall()
    lengths = ", ".join(str(n) for (n,) in told) or "-1"
    parts = []
    for alias, column, kind in columns:
        c, relation = quote(column), quote(alias)
        kept = f"SELECT s.{c} FROM {relation} AS s"
        if re.fullmatch(r"U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER", kind):
            kept += f" SEMI JOIN (SELECT TRY_CAST(k AS {kind}) AS n FROM {few}) AS few ON s.{c} = few.n"
        elif kind == "VARCHAR":
            kept += f" WHERE strlen({c}) IN ({lengths}) OR strlen({c}) <> length({c}) OR contains({c}, ' ')"
        parts.append(f"SELECT {normal_key(c)} AS k FROM ({kept})")
    return " UNION ALL ".join(parts)


def _wanted(con: duckdb.DuckDBPyConnection, columns: Keys, tables: Sequence[FileTable]) -> None:
    """`__k`: the distinct identifiers of the sources that are some text of the file, or some of its cells together."""
    con.execute("CREATE TEMP TABLE __p AS SELECT k FROM __w WHERE k IS NOT NULL")
    for n, table in enumerate(tables):
        together = ", ".join(map(_together, _adjacent(table)))
        if together:
            _sampled(con, n, table)
            con.execute(f"INSERT INTO __p SELECT DISTINCT unnest([{together}]) FROM __s{n}")
    keys = _among(con, columns, "__p")
    con.execute(f"CREATE TEMP TABLE __k AS SELECT DISTINCT k FROM ({keys}) WHERE k IN (SELECT k FROM __p)")
    con.execute("DROP TABLE __p")


def _count(con: duckdb.DuckDBPyConnection, condition: str) -> int:
    return int(con.execute(f"SELECT count(DISTINCT w) FROM __w WHERE {condition}").fetchall()[0][0])


def _shaped(con: duckdb.DuckDBPyConnection, shape: str, theirs: str) -> int:
    """`__e`: the values `w` of the shape as they are compared, `d`; how many there are."""
    query = f"SELECT w, {theirs} AS d FROM __w WHERE regexp_full_match(w, '{shape}')"
    con.execute(f"CREATE OR REPLACE TEMP TABLE __e AS {query}")
    return int(con.execute("SELECT count(*) FROM __e").fetchall()[0][0])


def _encoded(con: duckdb.DuckDBPyConnection, keys: str, template: str) -> int:
    """Values that are an encoded key, in capitals or small letters."""
    forms = ", ".join(template.format(k=k) for k in ("k", "lower(k)"))
    known = f"SELECT d FROM (SELECT unnest([{forms}]) AS d FROM ({keys}) WHERE k IS NOT NULL)"
    query = f"SELECT count(DISTINCT w) FROM __e WHERE d IN (SELECT d FROM ({known}) WHERE d IN (SELECT d FROM __e))"
    return int(con.execute(query).fetchall()[0][0])


def _decoded(con: duckdb.DuckDBPyConnection, columns: Keys, template: str, decoded: str) -> int:
    """The same by what the values were made of: what makes just them again."""
    made = f"SELECT w, k FROM (SELECT w, d, {decoded} AS k FROM __e) WHERE {template.format(k='k')} = d"
    con.execute(f"CREATE OR REPLACE TEMP TABLE __m AS {made}")
    known = f"SELECT unnest([k, lower(k)]) AS f FROM ({_among(con, columns, '__m')}) WHERE k IS NOT NULL"
    query = f"SELECT count(DISTINCT w) FROM __m WHERE k IN (SELECT f FROM ({known}) WHERE f IN (SELECT k FROM __m))"
    return int(con.execute(query).fetchall()[0][0])


def _digested(con: duckdb.DuckDBPyConnection, keys: str, function: Callable[[bytes], str]) -> int:
    """Digests DuckDB lacks; looked for only where a value has the length of one."""
    shaped = con.execute("SELECT DISTINCT lower(w) FROM __w WHERE regexp_full_match(w, '[0-9a-fA-F]{64}')").fetchall()
    wanted = {w for (w,) in shaped}
    if not wanted:
        return 0
    hits: set[str] = set()
    cursor = con.execute(f"SELECT DISTINCT k FROM ({keys}) WHERE k IS NOT NULL")
    while rows := cursor.fetchmany(100_000):
        for (key,) in rows:
            hits.update(d for one in {key, key.lower()} if (d := function(one.encode())) in wanted)
    return len(hits)


def _sampled(con: duckdb.DuckDBPyConnection, number: int, table: FileTable) -> None:
    """`__s…`: some rows, each cell as it is part of a key: the key of cells together is their keys together."""
    import numpy as np

    cells = []
    for column in (quote(str(place + 1)) for place in table.looked):
        cells.append(f"CASE WHEN {column} IS NOT NULL THEN coalesce({normal_key(column)}, '') END AS {column}")
    some = np.sort(np.random.default_rng(1).choice(table.rows, min(_SAMPLE, table.rows), replace=False))
    con.register("__some", table.cells.rows(table.looked, some).to_arrow())
    con.execute(f"CREATE OR REPLACE TEMP TABLE __s{number} AS SELECT {', '.join(cells)} FROM __some")
    con.unregister("__some")


def _adjacent(table: FileTable) -> Iterator[tuple[int, ...]]:
    """Two and three columns side by side (places from 0) that are looked up."""
    looked = set(table.looked)
    for width in (2, 3):
        for first in range(len(table.header) - width + 1):
            columns = tuple(range(first, first + width))
            if looked.issuperset(columns):
                yield columns


def _together(columns: Sequence[int]) -> str:
    return f"nullif({' || '.join(quote(str(c + 1)) for c in columns)}, '')"


def _splits(con: duckdb.DuckDBPyConnection, number: int, table: FileTable) -> Iterator[Split]:
    """Two and three adjacent columns whose cells, written together, are identifiers; told by a sample of rows."""
    adjacent = list(_adjacent(table))
    rows = int(con.execute(f"SELECT count(*) FROM __s{number}").fetchall()[0][0]) if adjacent else 0
    for columns in adjacent:
        query = (
            f"SELECT count(*), count(*) FILTER (length(k) >= {_LONG_KEY}) FROM (SELECT {_together(columns)} AS k"
            f" FROM __s{number}) WHERE k IN (SELECT k FROM __k)"
        )
        hits, long = con.execute(query).fetchall()[0]
        if long or hits * 2 > rows:
            yield Split(number, columns, int(hits), rows)
