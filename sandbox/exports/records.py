"""What the columns of record-level output are, and who can be behind a class of equal rows.

The role of a column comes from the grading of the source column it is: the one of its name, else one that holds all of
its values (a renamed column), else one that its name contains (a band of it). What is found in no way, or in the last
two only, is a guess: it counts as a quasi-identifier or as the stricter of what fits, and a person looks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sandbox.catalog.keys import normal_key
from sandbox.exports.classes import class_sizes, masked
from sandbox.products.compile import quote
from sandbox.products.holding import Held
from sandbox.products.matching_rows import DISTINCT, HELD
from sandbox.products.source import Source, file_columns, opened

if TYPE_CHECKING:
    import duckdb
    import polars as pl

    from sandbox.exports.contents import Table

RecordRole = Literal["direct", "quasi", "sensitive", "open"]
Known = Literal["lineage", "values", "name", "unknown"]

_STRICT: tuple[RecordRole, ...] = ("direct", "quasi", "sensitive", "open")
_ROLES: dict[str, RecordRole] = {"key": "direct", "quasi": "quasi", "sensitive": "sensitive", "open": "open"}
_CLASSES = 250_000
"""Classes looked up in the source at most; with more, the smallest are far below any threshold anyway."""

_QUASI_NAME = re.compile(
    r"年龄|出生|生日|性别|民族|国籍|籍贯|户籍|婚|学历|学位|文化|职业|职务|单位|邮编|区|县|市|街|镇|乡|村|社区|日期|时间|年|月|weight|权重"
    r"|age|birth|sex|gender|zip|district|date|month|year",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ColumnRole:
    """One column of a table of records (`number` from 1): its role, and how that is known."""

    number: int
    name: str
    role: RecordRole
    known: Known


@dataclass(frozen=True, slots=True)
class TableRoles:
    """The columns of one table, and the entities that the source has behind its classes.

    `people`: one row a class of the quasi-identifiers that the source has, with the distinct entities that share them
    (`entities`); None where nothing was looked up. Columns are called by their number in the file.
    """

    place: str
    columns: tuple[ColumnRole, ...]
    people: pl.DataFrame | None = None

    def of(self, *roles: RecordRole) -> list[str]:
        """The numbers of the columns with one of these roles, as names of the frame's columns."""
        return [str(c.number) for c in self.columns if c.role in roles]

    @property
    def guessed(self) -> tuple[ColumnRole, ...]:
        """Columns whose role nobody has graded."""
        return tuple(c for c in self.columns if c.known in ("name", "unknown"))


@dataclass(frozen=True, slots=True)
class RecordFacts:
    """The roles of every table of the request. `entities`: distinct entities in the source; None: it has none.
    `sources`: input → digest of what was looked at."""

    tables: tuple[TableRoles, ...]
    entities: int | None
    sources: Mapping[str, str]


def facts_of(
    tables: Sequence[Table], sources: Mapping[str, Source], held: Mapping[str, Sequence[Held]]
) -> RecordFacts:
    """Roles of the columns of `tables` through the grading of `sources`, and the entities behind their classes.
    `held`: place of a table → which of its columns hold which source columns."""
    with opened(sources, whole=True) as con:
        found = tuple(_table(con, table, sources, held.get(table.place, ())) for table in tables)
        keyed = [(a, key.column) for a, s in sources.items() for key in s.keys if key.through is None]
        counts = [f"(SELECT count(DISTINCT {normal_key(quote(c))}) FROM {quote(a)})" for a, c in keyed]
        entities = int(con.execute(f"SELECT greatest({', '.join(counts)})").fetchall()[0][0]) if counts else None
    return RecordFacts(found, entities, {alias: source.digest for alias, source in sources.items()})


def roles_alone(table: Table) -> TableRoles:
    """What the names and values of a table without a source say; all of it is guessed."""
    roles = [_guess(i, name, masked(table.cells.column(i - 1))) for i, name in enumerate(table.header, start=1)]
    return TableRoles(table.place, tuple(roles))


def _guess(number: int, name: str, is_masked: bool) -> ColumnRole:
    known: Known = "name" if _QUASI_NAME.search(name) else "unknown"
    return ColumnRole(number, name, "quasi", "lineage" if is_masked else known)


def _table(
    con: duckdb.DuckDBPyConnection, table: Table, sources: Mapping[str, Source], held: Sequence[Held]
) -> TableRoles:
    graded = {(a, c): _role(s, c) for a, s in sources.items() for c in file_columns(s)}
    sure = [one for one in held if one.share >= HELD and one.of >= DISTINCT]
    by_value = {number: [graded[h.input, h.column] for h in sure if h.number == number]
                for number in range(1, len(table.header) + 1)}  # fmt: skip
    roles = [_known(i, name, graded, by_value[i], masked(table.cells.column(i - 1)))
             for i, name in enumerate(table.header, start=1)]  # fmt: skip
    return TableRoles(table.place, tuple(roles), _people(con, table, roles, sources))


def _role(source: Source, column: str) -> RecordRole:
    return "direct" if column in source.identifier_columns else _ROLES[source.role(column)]


def _known(
    number: int, name: str, graded: Mapping[tuple[str, str], RecordRole], values: Sequence[RecordRole], is_masked: bool
) -> ColumnRole:
    same = [role for (_, column), role in graded.items() if column == name]
    if is_masked:  # what is left of an identifier still tells people apart
        return ColumnRole(number, name, "quasi", "lineage")
    if same:
        return ColumnRole(number, name, _strictest(same), "lineage")
    if values:
        return ColumnRole(number, name, _strictest(values), "values")
    part = [r for (_, c), r in graded.items() if c in name or (len(name) > 1 and name in c)]
    if part:  # a band of an identifier is no identifier
        return ColumnRole(number, name, "quasi" if "direct" in part else _strictest(part), "name")
    return _guess(number, name, False)


def _strictest(roles: Iterable[RecordRole]) -> RecordRole:
    return min(roles, key=_STRICT.index)


def _people(
    con: duckdb.DuckDBPyConnection, table: Table, roles: Sequence[ColumnRole], sources: Mapping[str, Source]
) -> pl.DataFrame | None:
    """Distinct source entities behind each class of the quasi-identifiers that one input has under the same names."""
    import polars as pl

    for alias, source in sources.items():
        keys = [key.column for key in source.keys if key.through is None]
        names = set(file_columns(source))
        shared = [c for c in roles if c.role == "quasi" and c.known == "lineage" and c.name in names]
        if not keys or not shared:
            continue
        numbers = [str(c.number) for c in shared]
        sizes = class_sizes(table.frame(), numbers).collect(engine="streaming")
        if sizes.height > _CLASSES:
            continue
        con.register("__q", sizes.select(pl.col(n).alias(f"q{n}") for n in numbers).to_arrow())
        on = " AND ".join(f"q.q{c.number} IS NOT DISTINCT FROM CAST(s.{quote(c.name)} AS VARCHAR)" for c in shared)
        listed = ", ".join(f"q.q{n}" for n in numbers)
        query = (
            f"SELECT {listed}, count(DISTINCT {normal_key('s.' + quote(keys[0]))}) AS entities "
            f"FROM __q q JOIN {quote(alias)} s ON {on} GROUP BY ALL"
        )
        found = con.sql(query).pl().rename({f"q{n}": n for n in numbers})
        return found.with_columns(pl.col("entities").cast(pl.Int64))
    return None
