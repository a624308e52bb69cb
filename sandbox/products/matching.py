"""What of a file can be found again in the source: identifiers in any encoding, and whole rows.

Runs on the source with the file's values as parameters; answers are counts, never values.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.catalog.keys import normal_key
from sandbox.products.compile import quote
from sandbox.products.source import Source, file_columns, opened

if TYPE_CHECKING:
    import duckdb

SHORTEST = 6
"""Shorter values are not compared raw: small whole numbers are keys of many registers and values of every table."""

_IN_SQL = {
    "raw": "{k}",
    "md5": "md5({k})",
    "sha1": "sha1({k})",
    "sha256": "sha256({k})",
    "base64": "base64(encode({k}))",
    "hex": "lower(hex(encode({k})))",
}
_IN_PYTHON: dict[str, Callable[[bytes], str]] = {"sm3": lambda raw: hashlib.new("sm3", raw).hexdigest()}


@dataclass(frozen=True, slots=True)
class SharedRows:
    """Rows of the file that equal, on the columns shared by name, a source row unique on them."""

    input: str
    shared_columns: int
    rows: int


@dataclass(frozen=True, slots=True)
class SourceMatch:
    """`identifiers`: encoding → distinct file values that lead back to an identifier. Encodings missing here were not
    compared."""

    identifiers: Mapping[str, int]
    rows: tuple[SharedRows, ...]


def match(
    sources: Mapping[str, Source],
    values: Iterable[str],
    header: Sequence[str] = (),
    table: Sequence[Sequence[str]] = (),
) -> SourceMatch:
    """Look up `values` (distinct text cells) among the sources' identifiers and the rows of `table` among their
    rows."""
    found: dict[str, int] = {}
    wanted = sorted({v.strip() for v in values if len(v.strip()) >= SHORTEST})
    with opened(sources, whole=True) as con:
        con.execute("CREATE TEMP TABLE __w AS SELECT unnest(?::VARCHAR[]) AS w", [wanted])
        columns = [(alias, c) for alias, s in sources.items() for c in s.identifier_columns]
        for encoding, template in _IN_SQL.items():
            found[encoding] = _in_sql(con, columns, encoding, template)
        for encoding, function in _IN_PYTHON.items():
            found[encoding] = _in_python(con, columns, set(wanted), function)
        rows = tuple(_shared_rows(con, alias, source, header, table) for alias, source in sources.items())
    return SourceMatch(found, rows)


def _in_sql(con: duckdb.DuckDBPyConnection, columns: Sequence[tuple[str, str]], encoding: str, template: str) -> int:
    if not columns:
        return 0
    keys = " UNION ".join(f"SELECT {normal_key(quote(c))} AS k FROM {quote(a)}" for a, c in columns)
    theirs = {"raw": normal_key("w"), "base64": "w"}.get(encoding, "lower(w)")
    known = f"SELECT {template.format(k='k')} FROM ({keys}) WHERE k IS NOT NULL"
    query = f"SELECT count(DISTINCT w) FROM __w WHERE {theirs} IN ({known})"
    return int(con.execute(query).fetchall()[0][0])


def _in_python(
    con: duckdb.DuckDBPyConnection,
    columns: Sequence[tuple[str, str]],
    wanted: set[str],
    function: Callable[[bytes], str],
) -> int:
    """Digests DuckDB lacks; looked for only where a value has the length of one."""
    lowered = {w.lower() for w in wanted if len(w) == 64}
    if not lowered:
        return 0
    hits = set()
    for alias, column in columns:
        query = f"SELECT DISTINCT {normal_key(quote(column))} FROM {quote(alias)}"
        hits |= {d for (k,) in con.execute(query).fetchall() if k and (d := function(k.encode())) in lowered}
    return len(hits)


def _shared_rows(
    con: duckdb.DuckDBPyConnection, alias: str, source: Source, header: Sequence[str], table: Sequence[Sequence[str]]
) -> SharedRows:
    names = file_columns(source)
    shared = [name for name in dict.fromkeys(header) if name in names]
    if not shared or not table:
        return SharedRows(alias, len(shared), 0)
    places = [list(header).index(name) for name in shared]
    con.execute("CREATE OR REPLACE TEMP TABLE __f AS SELECT unnest(?::VARCHAR[][]) AS r",
                [[[_plain(row[p]) for p in places] for row in table if len(row) == len(header)]])  # fmt: skip
    keys = ", ".join(str(i + 1) for i in range(len(shared)))
    columns = ", ".join(f"{_sql_plain(quote(c))} AS c{i}" for i, c in enumerate(shared))
    unique = f"SELECT {columns} FROM {quote(alias)} GROUP BY {keys} HAVING count(*) = 1"
    on = " AND ".join(f"u.c{i} = f.r[{i + 1}]" for i in range(len(shared)))
    query = f"SELECT count(*) FROM __f f WHERE EXISTS (SELECT 1 FROM ({unique}) u WHERE {on})"
    return SharedRows(alias, len(shared), int(con.execute(query).fetchall()[0][0]))


def _plain(value: str) -> str:
    """Case, outer blanks and trailing zeros do not make another value."""
    text = value.strip().upper()
    return text.rstrip("0").rstrip(".") if "." in text and text.replace(".", "", 1).lstrip("+-").isdigit() else text


def _sql_plain(column: str) -> str:
    text = f"upper(trim(coalesce(CAST({column} AS VARCHAR), '')))"
    decimal = f"regexp_full_match({text}, '[+-]?[0-9]+[.][0-9]*')"
    return f"CASE WHEN {decimal} THEN rtrim(rtrim({text}, '0'), '.') ELSE {text} END"
