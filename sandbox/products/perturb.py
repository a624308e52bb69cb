"""P3: change one column's values in the source, keep everything else, and see whose contribution moves.

A column's values are set to the smallest, to the largest, and shuffled among the rows that have one (missing values
stay missing: moving them would make a cell look as if it rested on fewer people); codes are exchanged for other codes
as well. A shuffle alone misses threshold attacks. An entity that enters or leaves a cell has changed there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from sandbox.products import compile as sql
from sandbox.products.compile import quote
from sandbox.products.contributions import carried_schema, fetch, within
from sandbox.products.entities import MISSING_KEY
from sandbox.products.kept import Kept, alike, keys
from sandbox.products.program import Program

if TYPE_CHECKING:
    import duckdb

AT_ONCE = 2_000_000
"""Contributions that are compared at once: under four states each, they fit the memory of a proof"""
MODES = ("minimum", "maximum", "shuffle")
_FLAT = ("LIST", "STRUCT", "MAP", "UNION", "[]")


def plan(
    con: duckdb.DuckDBPyConnection, program: Program, columns: list[tuple[str, str]]
) -> tuple[list[tuple[str, str, tuple[str, ...]]], list[str]]:
    """(column and its modes, what cannot be perturbed): values of one kind only, nested types. Keys are never
    perturbed, nor is what belongs to nobody: reference data and the merchant's own uploads."""
    found: list[tuple[str, str, tuple[str, ...]]] = []
    impossible: list[str] = []
    for alias, column in columns:
        source = program.sources[alias]
        if not source.keys or source.role(column) == "key":
            continue
        table, name = f"__t.{quote(alias)}", quote(column)
        kind = fetch(con, f"SELECT column_type FROM (DESCRIBE SELECT {name} FROM {table})")
        nested = any(word in kind for word in _FLAT)
        if nested or fetch(con, f"SELECT min({name}) IS NOT DISTINCT FROM max({name}) FROM {table}"):
            impossible.append(f"{alias}.{column}")
            continue
        domain = source.perturb.get(column) == "domain"
        found.append((alias, column, (*MODES, "domain") if domain else MODES))
    return found, impossible


def twin(table: str, column: str, mode: str, seed: int) -> str:
    """The rows of an input with one column perturbed."""
    c = quote(column)
    if mode in ("minimum", "maximum"):
        value = f"(SELECT {mode[:3]}({c}) FROM {table})"
        return f"SELECT * REPLACE (CASE WHEN {c} IS NOT NULL THEN {value} END AS {c}) FROM {table}"
    if mode == "domain":
        codes = f"SELECT {c} AS v, lead({c}) OVER (ORDER BY {c}) AS n FROM (SELECT DISTINCT {c} FROM {table})"
        other = f"SELECT v, coalesce(n, (SELECT min({c}) FROM {table})) AS n FROM ({codes}) WHERE v IS NOT NULL"
        return f"SELECT a.* REPLACE (b.n AS {c}) FROM {table} a LEFT JOIN ({other}) b ON a.{c} = b.v"
    there = f"(SELECT * FROM {table} WHERE {c} IS NOT NULL)"
    order = f"SELECT {c} AS v, hash(row_number() OVER (), {seed}::UBIGINT) AS h FROM {there}"
    mixed = f"(SELECT v AS __v FROM ({order}) ORDER BY h)"
    return (
        f"SELECT * EXCLUDE (__v) REPLACE (__v AS {c}) FROM ({there} a POSITIONAL JOIN {mixed} b) "
        f"UNION ALL BY NAME SELECT * FROM {table} WHERE {c} IS NULL"
    )


def begin(con: duckdb.DuckDBPyConnection) -> None:
    """An empty `__i`: per cell, partial and column, how many entities moved (`moved`, with rows without a key `most`),
    and their largest and summed movement. Entities of one cell may be spread over several rows."""
    con.execute(
        "CREATE OR REPLACE TEMP TABLE __i (__cell UINTEGER, __p INTEGER, __column VARCHAR, moved BIGINT, most BIGINT, "
        "largest DOUBLE, whole DOUBLE)"
    )


@dataclass(frozen=True, slots=True)
class Trial:
    """One column in every mode, against the values as they are, in one pass over the rows of all of them.

    Only the partials that the column has a part in (`behind`) are looked at. An entity has moved under any mode.
    """

    con: duckdb.DuckDBPyConnection
    program: Program
    kind: str
    kept: Kept
    alias: str
    column: str
    behind: Collection[int]

    def run(self, seeds: Mapping[str, int]) -> list[str]:
        """The modes that the job can be run on; their movements go to `__i`."""
        import duckdb

        try:
            self._together(seeds)
        except duckdb.InterruptException:
            raise
        except duckdb.Error:
            if len(seeds) == 1:
                return []
            able = [mode for mode, seed in seeds.items() if self._is_able(mode, seed)]
            return self.run({mode: seeds[mode] for mode in able}) if 0 < len(able) < len(seeds) else []
        return list(seeds)

    def _is_able(self, mode: str, seed: int) -> bool:
        import duckdb

        try:
            self._rows("__p1", self._twin(mode, seed))
            self.con.execute("SELECT count(COLUMNS(*)) FROM __p1.__rows").fetchall()
        except duckdb.InterruptException:
            raise
        except duckdb.Error:
            return False
        return True

    def _together(self, seeds: Mapping[str, int]) -> None:
        self._rows("__p0", {})
        for k, (mode, seed) in enumerate(seeds.items(), start=1):
            self._rows(f"__p{k}", self._twin(mode, seed))
        contributions = fetch(self.con, "SELECT count(*) FROM __x")
        # of several owners a part of the entities is no part of the rows
        parts = 1 if self.kept.several else 1 + contributions // AT_ONCE
        some = [f"hash(__e) % {parts} = {part}" if parts > 1 else "TRUE" for part in range(parts)]
        if not all(self._moved(len(seeds), part, alone=True) for part in some):
            self.con.execute("DELETE FROM __i WHERE __column = ?", [f"{self.alias}.{self.column}"])
            for part in some:
                self._moved(len(seeds), part, alone=False)

    def _twin(self, mode: str, seed: int) -> dict[str, str]:
        return {self.alias: twin(f"__t.{quote(self.alias)}", self.column, mode, seed)}

    def _rows(self, schema: str, inputs: Mapping[str, str]) -> None:
        """`{schema}.__rows`: the rows of the cube where inputs are others."""
        carried_schema(self.con, self.program, self.kind, schema, inputs)
        owners = cast("sql.Owners", self.program.owners(self.kind))
        with within(self.con, schema):
            self.con.execute(f"CREATE VIEW {schema}.__rows AS {sql.rows_sql(self.kept.cube, owners)}")

    def _moved(self, modes: int, part: str, *, alone: bool) -> bool:
        """Add the movements of a part of the entities to `__i`. With `alone`, the partials of `kept.alone` are taken to
        have one value a cell and owner in all modes together: False, where it is not so."""
        cube = self.kept.cube
        single = self.kept.alone & set(self.behind) if alone else frozenset()
        states = [s for i in self.behind for s in self._states(i, modes, i in single)]
        rows = " UNION ALL ".join(f"SELECT {k}::UTINYINT AS __mode, * FROM __p{k}.__rows" for k in range(modes + 1))
        each = sql.grouped_sql(cube, states, f"({rows}) WHERE __e IS NOT NULL AND {part}")
        changes = [f"greatest(NULL, {', '.join(self._changes(i, modes, i in single))}) AS m{i}" for i in self.behind]
        odd = " OR ".join(["FALSE", *(f"lo{i} <> hi{i}" for i in sorted(single))])
        text = (
            f"SELECT k.__cell, x.__e, ({odd}) IS TRUE AS odd, {', '.join(changes)} FROM ({each}) x "
            f"JOIN __cells k ON {alike(keys(cube), 'k', 'x')}"
        )
        if self.kept.several:
            largest = ", ".join(f"max(m{i}) AS m{i}" for i in self.behind)
            owned = f"SELECT * EXCLUDE (__e), unnest(__e) AS __e FROM ({text})"
            text = f"SELECT __cell, __e, bool_or(odd) AS odd, {largest} FROM ({owned}) GROUP BY __cell, __e"
        told = ", ".join(
            f"count(m{i}) FILTER (WHERE __e <> {MISSING_KEY}) AS moved{i}, count(m{i}) AS most{i}, "
            f"max(m{i}) AS largest{i}, sum(m{i}) AS whole{i}" for i in self.behind
        )  # fmt: skip
        self.con.execute(
            f"CREATE OR REPLACE TEMP TABLE __told AS SELECT __cell, bool_or(odd) AS odd, {told} FROM ({text}) "
            "GROUP BY __cell"
        )
        for i in self.behind:
            numbers = f"moved{i}, most{i}, largest{i}, whole{i} FROM __told WHERE most{i} > 0"
            self.con.execute(f"INSERT INTO __i SELECT __cell, {i}, ?, {numbers}", [f"{self.alias}.{self.column}"])
        return not fetch(self.con, "SELECT count(*) FROM __told WHERE odd")

    def _states(self, i: int, modes: int, single: bool) -> Iterator[str]:
        """What is kept of the values of partial i in every mode."""
        p = sql.partials(self.kept.cube)[i]
        x = f"__c{i}" if p.column else "*"
        if single:
            yield from (f"min({x}) AS lo{i}", f"max({x}) AS hi{i}")
        for k in range(modes + 1):
            mode = f"FILTER (WHERE __mode = {k})"
            yield f"count({x}) {mode} AS n{i}_{k}"
            if p.op in ("min", "max"):
                yield f"{p.op}({x}) {mode} AS v{i}_{k}"
            elif p.is_amount:
                yield f"sum({x}) {mode} AS s{i}_{k}"
            elif p.op == "count_distinct" and not single:
                yield f"count(DISTINCT {x}) {mode} AS s{i}_{k}"
            if p.is_holistic and not single:
                if self._is_float(i):
                    yield f"sum({x} * {x}) {mode} AS v{i}_{k}"
                else:
                    yield f"sum(hash({x})) FILTER (WHERE __mode = {k} AND {x} IS NOT NULL) AS v{i}_{k}"

    def _is_float(self, i: int) -> bool:
        return fetch(self.con, f"SELECT column_type FROM (DESCRIBE SELECT __c{i} FROM __p0.__rows)") in (
            "DOUBLE", "FLOAT")  # fmt: skip

    def _changes(self, i: int, modes: int, single: bool) -> Iterator[str]:
        """Per mode, the size of a contribution's change, NULL where nothing changed."""
        p = sql.partials(self.kept.cube)[i]
        # sums of floats differ in their last bits from run to run: only a real change counts as information
        unlike = "abs({a} - {b}) > 1e-9 * greatest(abs({a}), abs({b}))"
        for k in range(1, modes + 1):
            n, v = (f"n{i}_0", f"n{i}_{k}"), (f"v{i}_0", f"v{i}_{k}")
            s = [f"CAST(coalesce(s{i}_{at}, 0) AS DOUBLE)" for at in (0, k)]
            moved, size = f"{n[0]} <> {n[1]}", f"abs({n[0]} - {n[1]})"
            if single:
                size = "1"
            elif p.op in ("min", "max"):
                moved, size = f"{moved} OR {v[0]} IS DISTINCT FROM {v[1]}", "1"
            elif p.is_amount or p.op == "count_distinct":
                moved += f" OR {unlike.format(a=s[0], b=s[1])}"
                size = f"abs({s[0]} - {s[1]})" if p.is_amount else f"greatest(abs({s[0]} - {s[1]}), 1)"
            if p.is_holistic and not single:
                values = [f"coalesce({one}, 0)" for one in v]
                other = unlike.format(a=values[0], b=values[1]) if self._is_float(i) else f"{values[0]} <> {values[1]}"
                moved += f" OR {other}"
            yield f"CASE WHEN {moved} THEN CAST({size} AS DOUBLE) END"
