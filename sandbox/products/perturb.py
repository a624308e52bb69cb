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
from sandbox.products.kept import Kept, by_cell, columns_of
from sandbox.products.program import Program

if TYPE_CHECKING:
    import duckdb

AT_ONCE = 4_000_000
"""Contributions that are compared at once: with those of every mode they fit the memory of a proof"""
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
    """One column in every mode, each held against the values as they are; an entity has moved under any of them.

    Only the partials that the column has a part in (`behind`) are looked at.
    """

    con: duckdb.DuckDBPyConnection
    program: Program
    kind: str
    kept: Kept
    alias: str
    column: str
    behind: Collection[int]

    def run(self, seeds: Mapping[str, int], done: list[str]) -> None:
        """Movements of the modes that the job can be run on go to `__i`, the modes to `done`."""
        alone = self.kept.alone & set(self.behind)
        able = self._contributed(seeds, alone)
        if alone and any(fetch(self.con, f"SELECT count(*) FROM __t{k} WHERE NOT __one{i}")
                         for k, _ in enumerate(able, start=1) for i in alone):  # fmt: skip
            alone = frozenset()
            able = self._contributed({mode: seeds[mode] for mode in able}, alone)
        if able:
            rows = fetch(self.con, "SELECT count(*) FROM __x")
            # of several owners, a part of the entities is no part of the rows
            parts = 1 if self.kept.several else 1 + rows // AT_ONCE
            for part in range(parts):
                self._compare(len(able), alone, f"hash(__e) % {parts} = {part}" if parts > 1 else "TRUE")
        done += able

    def _contributed(self, seeds: Mapping[str, int], alone: frozenset[int]) -> list[str]:
        """Contributions of every mode that the job can be run on as `__t1`, …; as things are, `__now`."""
        import duckdb

        stored, _ = self._columns(alone)
        known = {text: name for name, text in self.kept.stored.items()}
        if set(stored.values()) <= set(known):
            own = ", ".join(f"{known[text]} AS {name}" for name, text in stored.items())
            self.con.execute(f"CREATE OR REPLACE TEMP VIEW __now AS SELECT __cell, __e, {own} FROM __x")
        else:
            self._contribute("__k", "__t0", stored, alone)
            self.con.execute("CREATE OR REPLACE TEMP VIEW __now AS SELECT * FROM __t0")
        able: list[str] = []
        for mode, seed in seeds.items():
            inputs = {self.alias: twin(f"__t.{quote(self.alias)}", self.column, mode, seed)}
            try:
                carried_schema(self.con, self.program, self.kind, "__p", inputs)
                self._contribute("__p", f"__t{len(able) + 1}", stored, alone)
            except duckdb.InterruptException:
                raise
            except duckdb.Error:
                continue
            able.append(mode)
        return able

    def _contribute(self, schema: str, table: str, stored: Mapping[str, str], alone: frozenset[int]) -> None:
        owners, first = cast("sql.Owners", self.program.owners(self.kind)), sql.same_values(self.kept.cube)
        columns = [f"{text} AS {name}" for name, text in stored.items()]
        columns += [f"max(__c{first[i]}) AS __hi{i}" for i in alone]
        with within(self.con, schema):
            rows = f"({sql.rows_sql(self.kept.cube, owners)})"
            by_cell(self.con, self.kept.cube, table, stored, alone, lambda one: sql.grouped_sql(one, columns, rows))

    def _columns(self, alone: frozenset[int]) -> tuple[dict[str, str], dict[str, str]]:
        """What is compared; of values that do not add up to a contribution, a sum that tells whether they differ."""
        stored, names = columns_of(self.kept.cube, alone, self.behind)
        first = sql.same_values(self.kept.cube)
        for i in self._compared_by_value(alone):
            x = f"__c{first[i]}"
            stored[f"__f{i}"] = (
                f"sum({x} * {x})" if self._is_float(i) else f"sum(hash({x})) FILTER (WHERE {x} IS NOT NULL)"
            )
            names[f"__f{i}"] = f"__f{i}"
        return stored, names

    def _compared_by_value(self, alone: frozenset[int]) -> list[int]:
        holistic = [i for i, p in enumerate(sql.partials(self.kept.cube)) if p.is_holistic]
        return [i for i in holistic if i in self.behind and i not in alone]

    def _is_float(self, i: int) -> bool:
        """Whether a value behind partial i may be a sum of floats, whose last bits are not fixed."""
        return fetch(self.con, f"SELECT column_type FROM (DESCRIBE SELECT __v FROM __v{i})") in ("DOUBLE", "FLOAT")

    def _compare(self, modes: int, alone: frozenset[int], part: str) -> None:
        """Add the movements of a part of the entities to `__i`."""
        _, names = self._columns(alone)
        sides = []
        for k in range(modes + 1):
            columns = ", ".join(["__cell", "__e", *(f"{text} AS {name}_{k}" for name, text in names.items())])
            table = f"__t{k}" if k else "__now"
            sides.append(
                f"(SELECT {columns} FROM {table} WHERE __cell IS NOT NULL AND __e IS NOT NULL AND {part}) t{k}"
            )
        joined = " FULL JOIN ".join([sides[0], *(f"{side} USING (__cell, __e)" for side in sides[1:])])
        changes = [f"greatest(NULL, {', '.join(self._changes(i, modes, alone))}) AS m{i}" for i in self.behind]
        text = f"SELECT __cell, __e, {', '.join(changes)} FROM {joined}"
        if self.kept.several:
            largest = ", ".join(f"max(m{i}) AS m{i}" for i in self.behind)
            each = f"SELECT * REPLACE (unnest(__e) AS __e) FROM ({text})"
            text = f"SELECT __cell, __e, {largest} FROM ({each}) GROUP BY 1, 2"
        told = ", ".join(
            f"count(m{i}) FILTER (WHERE __e <> {MISSING_KEY}) AS moved{i}, count(m{i}) AS most{i}, "
            f"max(m{i}) AS largest{i}, sum(m{i}) AS whole{i}" for i in self.behind
        )  # fmt: skip
        self.con.execute(f"CREATE OR REPLACE TEMP TABLE __told AS SELECT __cell, {told} FROM ({text}) GROUP BY __cell")
        for i in self.behind:
            numbers = f"moved{i}, most{i}, largest{i}, whole{i} FROM __told WHERE most{i} > 0"
            self.con.execute(f"INSERT INTO __i SELECT __cell, {i}, ?, {numbers}", [f"{self.alias}.{self.column}"])

    def _changes(self, i: int, modes: int, alone: frozenset[int]) -> Iterator[str]:
        """Per mode, the size of a contribution's change, NULL where nothing changed."""
        p = sql.partials(self.kept.cube)[i]
        # sums of floats differ in their last bits from run to run: only a real change counts as information
        unlike = "abs({a} - {b}) > 1e-9 * greatest(abs({a}), abs({b}))"
        for k in range(1, modes + 1):
            n = [f"CAST(coalesce(__n{i}_{at}, 0) AS BIGINT)" for at in (0, k)]
            s = [f"CAST(coalesce(__s{i}_{at}, 0) AS DOUBLE)" for at in (0, k)]
            moved, size = f"{n[0]} <> {n[1]}", f"abs({n[0]} - {n[1]})"
            if p.op in ("min", "max"):
                end = "lo" if p.op == "min" else "hi"
                moved, size = f"{moved} OR __{end}{i}_0 IS DISTINCT FROM __{end}{i}_{k}", "1"
            elif p.is_amount or p.op == "count_distinct":
                moved += f" OR {unlike.format(a=s[0], b=s[1])}"
                size = f"abs({s[0]} - {s[1]})" if p.is_amount else f"greatest(abs({s[0]} - {s[1]}), 1)"
            if i in alone:
                moved += f" OR __lo{i}_0 IS DISTINCT FROM __lo{i}_{k}"
            elif p.is_holistic:
                f = [f"coalesce(__f{i}_{at}, 0)" for at in (0, k)]
                moved += f" OR {unlike.format(a=f[0], b=f[1]) if self._is_float(i) else f'{f[0]} <> {f[1]}'}"
            yield f"CASE WHEN {moved} THEN CAST({size} AS DOUBLE) END"
