"""P3: change one column's values in the source, keep everything else, and see whose contribution moves.

A column's values are set to the smallest, to the largest, and shuffled among the rows that have one (missing values
stay missing: moving them would make a cell look as if it rested on fewer people); codes are exchanged for other codes
as well. A shuffle alone misses threshold attacks. An entity that enters or leaves a cell has changed there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, cast

from sandbox.products import compile as sql
from sandbox.products.compile import quote
from sandbox.products.contributions import carried_schema, fetch, within
from sandbox.products.entities import MISSING_KEY
from sandbox.products.kept import Kept, by_cell, by_value, columns_of, count_distinct, numbered_sql, ranges
from sandbox.products.moves import Added, Moves, added
from sandbox.products.program import Program
from sandbox.products.shuffle import shuffle

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    Part = tuple[int, int] | None

AT_ONCE = 4_000_000
"""Contributions that are compared at once: with those of every mode they fit the memory of a proof"""
PART = 500_000
"""Contributions that are made at once, in every mode: fewer are grouped and joined faster"""
MODES = ("minimum", "maximum", "shuffle")
_CONSTANT = {"minimum": "(SELECT lo FROM __ends)", "maximum": "(SELECT hi FROM __ends)"}
_NOT_ALONE = "an owner has several values"
_PART = "__e BETWEEN getvariable('__first') AND getvariable('__last')"
"""The owners whose rows are read, see `Trial._enter`: no text of a job can ask for a variable"""
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


def ring(table: str, column: str) -> str:
    """The rows of an input with every code of one column exchanged for the next one (`domain`)."""
    c = quote(column)
    codes = f"SELECT {c} AS v, lead({c}) OVER (ORDER BY {c}) AS n FROM (SELECT DISTINCT {c} FROM {table})"
    other = f"SELECT v, coalesce(n, (SELECT min({c}) FROM {table})) AS n FROM ({codes}) WHERE v IS NOT NULL"
    return f"SELECT a.* REPLACE (b.n AS {c}) FROM {table} a LEFT JOIN ({other}) b ON a.{c} = b.v"


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

    Only the partials that the column has a part in (`behind`) are looked at. Where it is known what each of them sums
    up (`unchanged`, see `flow.unchanged`), the smallest and largest value need no run: a contribution of n values that
    are all alike follows from n. The entities are gone through part by part, so that the parts fit the caches.
    """

    con: duckdb.DuckDBPyConnection
    program: Program
    kind: str
    kept: Kept
    alias: str
    column: str
    behind: Collection[int]
    unchanged: Mapping[int, tuple[str, str] | None] | None = None

    def run(self, seeds: Mapping[str, int], done: list[str]) -> None:
        """Movements of the modes that the job can be run on go to `__i`, the modes to `done`."""
        self._prepare(seeds)
        alone, able = self.kept.alone & set(self.behind), list(seeds)
        while able:
            failed = self._tried(able, alone)
            if failed is None:
                break
            if failed == _NOT_ALONE:
                alone = frozenset()
            else:
                able.remove(failed)
        done += able

    def _prepare(self, seeds: Mapping[str, int]) -> None:
        """`__ends`, the smallest and largest value; and per mode that moves values between rows, its input's rows."""
        table, c = f"__t.{quote(self.alias)}", quote(self.column)
        self.con.execute(f"CREATE OR REPLACE TEMP TABLE __ends AS SELECT min({c}) AS lo, max({c}) AS hi FROM {table}")
        for mode, seed in seeds.items():
            if mode in _CONSTANT or self._is_made(mode):
                continue
            if mode == "shuffle":
                shuffle(self.con, table, self.column, seed, self._exchanged(mode))
            else:
                self.con.execute(f"CREATE TABLE {self._exchanged(mode)} AS {ring(table, self.column)}")

    def _exchanged(self, mode: str) -> str:
        """The input's rows in a mode that moves values between them: the same for every kind and cube."""
        return f"__t.{quote(self._name(mode))}"

    def _name(self, mode: str) -> str:
        return f"__{mode} {self.alias}.{self.column}"

    def _is_made(self, mode: str) -> bool:
        known = self.con.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = ?", [self._name(mode)])
        return bool(known.fetchall())

    def _tried(self, able: list[str], alone: frozenset[int]) -> str | None:
        """Movements under all modes, from scratch; None, or what has to be left out: a mode that the job cannot be run
        on, or the belief that every owner has one value a cell."""
        self.con.execute("DELETE FROM __i WHERE __column = ?", [f"{self.alias}.{self.column}"])
        run = [mode for mode in able if self.unchanged is None or mode not in _CONSTANT]
        modes = run + [mode for mode in able if mode not in run]
        parts = self._parts()
        self._enter(parts[0])
        failed = self._carried(run, "" if parts == [None] else _PART)
        own, origins = (self.alias, self.column), self.unchanged or {}
        sums = added(self.con, self.program, self.kind, self.kept, self.behind, own, origins)
        if failed is None and sums is not None:
            return self._added(run, [_CONSTANT[mode] for mode in modes[len(run) :]], parts, sums)
        for part in parts if failed is None else ():
            self._enter(part)
            failed = self._contributed(run, alone, part)
            if failed is not None:
                break
            rows = fetch(self.con, "SELECT count(*) FROM __now")
            # of several owners, a part of the entities is no part of the rows
            pieces = 1 if self.kept.several or not run else 1 + rows // AT_ONCE
            for piece in range(pieces):
                only = f"hash(__e) % {pieces} = {piece}" if pieces > 1 else "TRUE"
                self._compare(modes, len(run), alone, only)
        return failed

    def _added(
        self, run: list[str], constants: list[str], parts: Sequence[Part], sums: Mapping[int, Added]
    ) -> str | None:
        """The same where every contribution is a sum over its rows; `constants` are the values that need no run."""
        follows = any(one.follows for one in sums.values())
        values = [float(fetch(self.con, f"SELECT CAST({one} AS DOUBLE)")) for one in constants] if follows else []
        modes, whole = ["", *run], parts == [None]
        with Moves(self.con, self.kept, sums) as moves:
            for k, mode in enumerate(modes):
                if not self._ran(mode, partial(moves.of, self.program, self.kind, f"__p{k}", k, stored=whole)):
                    return mode
            rows = sum(fetch(self.con, f"SELECT count(*) FROM __p{k}.__m") for k, _ in enumerate(modes)) if whole else 0
            pieces = 1 + rows // AT_ONCE
            for part, piece in product(parts, range(pieces)):
                self._enter(part)
                only = f"hash(__e) % {pieces} = {piece}" if pieces > 1 else "TRUE"
                tables: list[pa.Table] = []
                for k, mode in enumerate(modes):
                    if not self._ran(mode, partial(self._fetch, f"SELECT * FROM __p{k}.__m WHERE {only}", tables)):
                        return mode
                moves.compare(tables, values)
            moves.write(f"{self.alias}.{self.column}")
        return None

    def _fetch(self, text: str, tables: list[pa.Table]) -> None:
        tables.append(self.con.sql(text).to_arrow_table())

    def _ran(self, mode: str, work: Callable[[], object]) -> bool:
        """Whether the job can be run in a mode; as things are (no mode) it could before."""
        import duckdb

        try:
            work()
        except duckdb.Error as error:
            if isinstance(error, duckdb.InterruptException) or not mode:
                raise
            return False
        return True

    def _carried(self, run: Sequence[str], part: str) -> str | None:
        """The schemas `__p0`, as things are, and `__p{k}` of the modes to `run`; or the mode that has none."""
        for k, mode in enumerate(["", *run]):
            inputs = {self.alias: self._rows(mode)} if mode else {}
            make = partial(carried_schema, self.con, self.program, self.kind, f"__p{k}", inputs, part)
            if not self._ran(mode, make):
                return mode
        return None

    def _enter(self, part: Part) -> None:
        """What is read of the inputs from now on."""
        for name, value in zip(("__first", "__last"), part or (), strict=False):
            self.con.execute(f"SET VARIABLE {name} = {value}::UINTEGER")

    def _parts(self) -> Sequence[Part]:
        """Ranges of owners that cut its inputs into parts, where a row is known to have one owner's inputs only: what
        joins the rows of two inputs would have to be told of partners in another part."""
        owned = [s for s in self.program.sources.values() if any(key.kind == self.kind for key in s.keys)]
        count = 1 + fetch(self.con, "SELECT count(*) FROM __x") // PART
        joined = len(owned) > 1 or any("error(" in c.sql.lower() for c in self.program.carried[self.kind].values())
        if count == 1 or self.kept.several or joined or any(s.keys[0].kind != self.kind for s in owned):
            return [None]
        return ranges(self.con, "__x", count)

    def _contributed(self, run: list[str], alone: frozenset[int], part: Part) -> str | None:
        """Contributions in every mode as `__t1`, …; as things are, `__now`; see `_tried`."""
        stored, _ = self._columns(alone)
        self._as_things_are(stored, alone, "" if part is None else f"__e BETWEEN {part[0]} AND {part[1]}")
        for k, mode in enumerate(run, start=1):
            if not self._ran(mode, partial(self._contribute, k, stored, alone)):
                return mode
            if any(fetch(self.con, f"SELECT count(*) FROM __t{k} WHERE NOT __one{i}") for i in alone):
                return _NOT_ALONE
        return None

    def _as_things_are(self, stored: Mapping[str, str], alone: frozenset[int], part: str) -> None:
        """`__now`: the kept contributions of a part, with what is compared."""
        where = f" WHERE {part}" if part else ""
        known = {text: self.kept.held[name] for name, text in self.kept.stored.items()}
        own = [f"{known[text]} AS {name}" for name, text in stored.items()]
        own += [name for i in self._distinct(alone) for name in (f"__s{i}", f"__f{i}")]
        table, missing = "__x", [i for i in self._distinct(alone) if i in self.kept.alone]
        if missing:
            table = "__t0"
            self.con.execute(f"CREATE OR REPLACE TEMP TABLE __t0 AS SELECT * FROM __x{where}")
        for i in missing:
            count_distinct(self.con, self.kept, "__t0", i, f"__v{i}")
        self.con.execute(
            f"CREATE OR REPLACE TEMP VIEW __now AS SELECT __cell, __e, {', '.join(own)} FROM {table}{where}"
        )

    def _distinct(self, alone: frozenset[int]) -> list[int]:
        """Partials that count values of which an owner may have several in a cell."""
        return [i for i, p in enumerate(sql.partials(self.kept.cube))
                if p.op == "count_distinct" and i in self.behind and i not in alone]  # fmt: skip

    def _rows(self, mode: str) -> str:
        """The input's rows in a mode."""
        if mode not in _CONSTANT:
            return f"SELECT * FROM {self._exchanged(mode)}"
        c = quote(self.column)
        value = f"CASE WHEN {c} IS NOT NULL THEN {_CONSTANT[mode]} END"
        return f"SELECT * REPLACE ({value} AS {c}) FROM __t.{quote(self.alias)}"

    def _contribute(self, k: int, stored: Mapping[str, str], alone: frozenset[int]) -> None:
        owners, cube, table = cast("sql.Owners", self.program.owners(self.kind)), self.kept.cube, f"__t{k}"
        rows, distinct = f"({numbered_sql(cube, owners)})", self._distinct(alone)
        with within(self.con, f"__p{k}"):
            if distinct:  # they are read again for each partial
                self.con.execute(f"CREATE OR REPLACE TEMP TABLE __r AS SELECT * FROM {rows}")
                rows = "__r"
            by_cell(self.con, cube, table, stored, alone, rows)
            for i in distinct:
                by_value(self.con, cube, i, "__y", rows)
                count_distinct(self.con, self.kept, table, i, "__y")
        for made in ("__r", "__y") if distinct else ():
            self.con.execute(f"DROP TABLE {made}")

    def _columns(self, alone: frozenset[int]) -> tuple[dict[str, str], dict[str, str]]:
        return columns_of(self.kept.cube, alone, self.kept.floats, self.behind)

    def _compare(self, modes: list[str], run: int, alone: frozenset[int], part: str) -> None:
        """Add the movements of a part of the entities to `__i`. Of the `modes`, the first `run` have been run."""
        stored, _ = self._columns(alone)
        sides = []
        compared = [*stored, *(name for i in self._distinct(alone) for name in (f"__s{i}", f"__f{i}"))]
        for k in range(run + 1):
            columns = ", ".join(["__cell", "__e", *(f"{name} AS {name}_{k}" for name in compared)])
            table = f"__t{k}" if k else "__now"
            sides.append(
                f"(SELECT {columns} FROM {table} WHERE __cell IS NOT NULL AND __e IS NOT NULL AND {part}) t{k}"
            )
        joined = " FULL JOIN ".join([sides[0], *(f"{side} USING (__cell, __e)" for side in sides[1:])])
        changes = {i: f"greatest(NULL, {', '.join(self._changes(i, modes, run, alone))})" for i in self.behind}
        # partials that count the same rows move alike
        first = {text: f"m{i}" for i, text in reversed(changes.items())}
        text = f"SELECT __cell, __e, {', '.join(f'{text} AS {m}' for text, m in first.items())} FROM {joined}"
        if self.kept.several:
            largest = ", ".join(f"max({m}) AS {m}" for m in first.values())
            each = f"SELECT * REPLACE (unnest(__e) AS __e) FROM ({text})"
            text = f"SELECT __cell, __e, {largest} FROM ({each}) GROUP BY 1, 2"
        told = ", ".join(
            f"count({m}) FILTER (WHERE __e <> {MISSING_KEY}) AS moved{m}, count({m}) AS most{m}, "
            f"max({m}) AS largest{m}, sum({m}) AS whole{m}" for m in first.values()
        )  # fmt: skip
        self.con.execute(f"CREATE OR REPLACE TEMP TABLE __told AS SELECT __cell, {told} FROM ({text}) GROUP BY __cell")
        for i, changed in changes.items():
            m = first[changed]
            numbers = f"moved{m}, most{m}, largest{m}, whole{m} FROM __told WHERE most{m} > 0"
            self.con.execute(f"INSERT INTO __i SELECT __cell, {i}, ?, {numbers}", [f"{self.alias}.{self.column}"])

    def _changes(self, i: int, modes: list[str], run: int, alone: frozenset[int]) -> Iterator[str]:
        """Per mode, the size of a contribution's change, NULL where nothing changed."""
        p, before = sql.partials(self.kept.cube)[i], self._at(i, 0, alone)
        # sums of floats differ in their last bits from run to run: only a real change counts as information
        unlike = "abs({a} - {b}) > 1e-9 * greatest(abs({a}), abs({b}))"
        for k, mode in enumerate(modes, start=1):
            after = self._at(i, k, alone) if k <= run else self._alike(i, before, _CONSTANT[mode])
            n, s, f = ([f"coalesce({at[x]}, 0)" if x in at else "0" for at in (before, after)] for x in "nsf")
            moved, size = f"{n[0]} <> {n[1]}", f"abs(CAST({n[0]} AS BIGINT) - CAST({n[1]} AS BIGINT))"
            if p.op in ("min", "max") or i in alone:
                end = "hi" if p.op == "max" else "lo"
                moved, size = f"{moved} OR {before[end]} IS DISTINCT FROM {after[end]}", "1"
            elif p.op == "count_distinct" or (p.is_amount and not p.is_holistic):
                s = [f"CAST({x} AS DOUBLE)" for x in s]
                moved += f" OR {unlike.format(a=s[0], b=s[1])}"
                size = f"abs({s[0]} - {s[1]})" if p.is_amount else f"greatest(abs({s[0]} - {s[1]}), 1)"
            if p.is_holistic and i not in alone:
                moved += f" OR {unlike.format(a=f[0], b=f[1]) if i in self.kept.floats else f'{f[0]} <> {f[1]}'}"
            yield f"CASE WHEN {moved} THEN CAST({size} AS DOUBLE) END"

    def _at(self, i: int, k: int, alone: frozenset[int]) -> dict[str, str]:
        """What partial i is compared by (`n`, `s`, …), as SQL over the joined columns of mode k."""
        _, names = self._columns(alone)
        own = {n[2:].removesuffix(str(i)): t for n, t in names.items() if re.fullmatch(rf"__[a-z]+{i}", n)}
        return {x: re.sub(r"__[a-z]+\d*", rf"\g<0>_{k}", text) for x, text in own.items()}

    def _alike(self, i: int, before: Mapping[str, str], value: str) -> dict[str, str]:
        """The same where all values of the column are `value`, from the values as they are."""
        assert self.unchanged is not None
        p, n = sql.partials(self.kept.cube)[i], before["n"]
        if p.op == "count" or self.unchanged[i] != (self.alias, self.column):
            return dict(before)
        end = f"CASE WHEN {n} > 0 THEN {value} END"
        power = f"{value} * {value}" if p.is_holistic and i in self.kept.floats else f"CAST(hash({value}) AS HUGEINT)"
        amount = f"CAST({n} > 0 AS INTEGER)" if p.op == "count_distinct" else f"{n} * CAST({value} AS DOUBLE)"
        return {"n": n, "s": amount, "lo": end, "hi": end, "f": f"{n} * {power}"}
