"""Evidence piece by piece: what the carrier and the cube's generator say, beside what the merchant's own text gives.

The gate derives evidence as a whole (`sandbox.products.evidence.derive`). Here its parts run on their own, so that they
can be timed against the plain statement and tried with one entity after another taken out of the source.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import duckdb
import polars as pl

from sandbox.products import compile as sql
from sandbox.products.carrier import HIDDEN, Relation, carry
from sandbox.products.compile import quote
from sandbox.products.proofs import same
from sandbox.products.source import EntityKey, Source
from sandbox.products.spec import Cube, JobSpec, Reference
from sandbox.workspaces.engine import literal

Row = tuple[Any, ...]


class Lab:
    """One job with the owners of one kind; `code` says in SQL what the code of a key is (keys are whole numbers).

    Tables lie in three schemas: `main` is what the job reads, `__k` has the owner beside it, `__del` is `main` without
    the entity in the variable `gone`. Raises `Refused` where the carrier does.
    """

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        spec: JobSpec,
        sources: Mapping[str, Source],
        code: str = "{key}::UINTEGER",
    ) -> None:
        self.con, self.spec, self._code = con, spec, code
        self.relations: dict[str, Relation] = {}
        con.execute("CREATE SCHEMA __k; CREATE SCHEMA __del; SET VARIABLE gone = NULL")
        for alias in spec.inputs:
            self._table(alias, sources[alias])
        self.constants = bool(spec.reference)
        for step in spec.sequence:
            self._reference(step) if isinstance(step, Reference) else self._step(step.name, str(step.sql))

    def _table(self, alias: str, source: Source) -> None:
        key = source.keys[0] if source.keys else None
        files, name = _read(source.files), quote(alias)
        if key is None:
            self.con.execute(f"CREATE VIEW main.{name} AS SELECT * FROM {files}")
            for schema in ("__k", "__del"):
                self.con.execute(f"CREATE VIEW {schema}.{name} AS SELECT * FROM main.{name}")
        else:
            self.con.execute(f"CREATE TABLE __k.{name} AS {_owned(files, key, self._code)}")
            visible = f"SELECT * EXCLUDE ({HIDDEN}) FROM __k.{name}"
            self.con.execute(f"CREATE VIEW main.{name} AS {visible}")
            left = f"{visible} WHERE {HIDDEN} IS DISTINCT FROM getvariable('gone')"
            self.con.execute(f"CREATE VIEW __del.{name} AS {left}")
        columns = [row[0] for row in self.con.execute(f"DESCRIBE main.{name}").fetchall()]
        self.relations[alias] = Relation(tuple(columns), "one" if key else "none", key.domains if key else {})

    def _step(self, name: str, text: str) -> None:
        carried = carry(text, self.relations, step=name)
        for frozen in carried.frozen:
            self.constants = True
            self._same_everywhere(frozen.name, frozen.text)
        for schema, body in (("main", carried.text), ("__del", carried.text), ("__k", carried.sql)):
            self._in(schema, f"CREATE VIEW {quote(name)} AS {body}")
        self.relations[name] = carried.relation

    def _reference(self, cube: Reference) -> None:
        self._same_everywhere(cube.name, sql.cube_sql(cube))
        self.relations[cube.name] = Relation(tuple(cube.output_columns))

    def _same_everywhere(self, name: str, text: str) -> None:
        """A table of constants: what it was made from may change, it does not."""
        self._in("main", f"CREATE TABLE {quote(name)} AS {text}")
        for schema in ("__k", "__del"):
            self.con.execute(f"CREATE VIEW {schema}.{quote(name)} AS SELECT * FROM main.{quote(name)}")

    def _in(self, schema: str, text: str) -> list[Row]:
        self.con.execute(f"SET schema = '{schema}'")
        try:
            return self.con.execute(text).fetchall()
        finally:
            self.con.execute("SET schema = 'main'")

    def plain(self) -> list[Row]:
        """The product as the merchant's text gives it."""
        return self._in("main", sql.cube_sql(self.spec))

    def without(self, entity: int) -> list[Row]:
        """The same text where the records of one entity are not in the source."""
        self.con.execute(f"SET VARIABLE gone = {entity}::UINTEGER")
        return self._in("__del", sql.cube_sql(self.spec))

    def contribute(self) -> None:
        """Make the contributions `__c` and the companions of the cube."""
        cube: Cube = self.spec
        owners = {alias: self.relations[alias].owner for alias in cube.used}
        self._in("__k", f"CREATE OR REPLACE TABLE main.__c AS {sql.contributions_sql(cube, owners)}")
        for i, partial in enumerate(sql.partials(cube)):
            if partial.is_holistic:
                self._in("__k", f"CREATE OR REPLACE TABLE main.__v{i} AS {sql.companion_sql(cube, owners, i)}")

    def recompute(self, without: int | None = None) -> list[Row]:
        """The product again, from the contributions, of everybody or of all but one."""
        where = "TRUE" if without is None else f"{HIDDEN} IS DISTINCT FROM {without}::UINTEGER"
        return self._in("main", sql.recompute_sql(self.spec, where))

    def freeze(self) -> None:
        """The product as `__o`, as the gate has it before there is any evidence."""
        self._in("main", f"CREATE OR REPLACE TABLE main.__o AS {sql.cube_sql(self.spec)}")

    def reproduced(self) -> bool:
        """P1 as in the gate: computed again and held against `__o` inside the database, which no row leaves."""
        self._in("main", f"CREATE OR REPLACE TABLE main.__guess AS {sql.recompute_sql(self.spec)}")
        return same(self.con, "main.__o", "main.__guess")

    def cells(self) -> pl.DataFrame:
        """Per cell and partial how many are behind it, and with how much: the time of a cell table."""
        dims = [*(f"__d{i}" for i in range(len(self.spec.dimensions))), "__g"]
        counts = [f"count({HIDDEN}) FILTER (WHERE __n{i} > 0), max(abs(__s{i}), 2), sum(abs(__s{i}))"
                  for i, _ in enumerate(sql.partials(self.spec))]  # fmt: skip
        return self.con.sql(f"SELECT {', '.join([*dims, *counts])} FROM main.__c GROUP BY {', '.join(dims)}").pl()

    def behind(self) -> dict[int, set[Row]]:
        """Entity → the cells that it entered."""
        dims = [f"__d{i}" for i in range(len(self.spec.dimensions))]
        found: dict[int, set[Row]] = {}
        for entity, *cell in self._in("main", f"SELECT DISTINCT {', '.join([HIDDEN, *dims])} FROM __c"):
            found.setdefault(entity, set()).add(tuple(cell))
        return found

    def entities(self) -> list[int]:
        """Everybody in the source, whether in the product or not."""
        tables = [quote(alias) for alias in self.spec.inputs if self.relations[alias].owner == "one"]
        union = " UNION ".join(f"SELECT {HIDDEN} FROM __k.{t}" for t in tables)
        text = f"SELECT DISTINCT {HIDDEN} FROM ({union}) WHERE {HIDDEN} IS NOT NULL ORDER BY 1"
        return [entity for (entity,) in self._in("main", text)]


def same_rows(left: list[Row], right: list[Row], keys: int) -> bool:
    """Whether two results in the same order are equal: floats to one part in 10^9, everything else exactly."""
    return len(left) == len(right) and all(
        a[:keys] == b[:keys] and all(map(_same, a[keys:], b[keys:])) for a, b in zip(left, right, strict=True)
    )


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-9) or (math.isnan(a) and math.isnan(b))
    return bool(a == b)


def removals(lab: Lab, entities: list[int]) -> Iterator[tuple[int, bool, bool]]:
    """(entity, whether its removal changes the product, whether it is wrong): the prediction is off, or a cell changed
    that the entity is not in."""
    before = lab.plain()
    width, behind = len(lab.spec.dimensions), lab.behind()
    for entity in entities:
        truth = lab.without(entity)
        changed = _changed(before, truth, width)
        fits = same_rows(truth, lab.recompute(without=entity), width) and changed <= behind.get(entity, set())
        yield entity, bool(changed), not fits


def _changed(before: list[Row], after: list[Row], width: int) -> set[Row]:
    left = {row[:width]: row for row in after}
    kept = {key for row in before if (key := row[:width]) in left and same_rows([row], [left[key]], width)}
    return {row[:width] for row in before} - kept


def _read(files: tuple[str, ...]) -> str:
    return f"read_parquet([{', '.join(map(literal, files))}])"


def _owned(files: str, key: EntityKey, code: str) -> str:
    column = quote(key.column)
    if key.through is None:
        return f"SELECT *, {code.format(key=column)} AS {HIDDEN} FROM {files}"
    through = key.through
    owner = f"SELECT {quote(through.key)} AS k, {quote(through.owner)} AS o FROM {_read(through.files)}"
    return f"SELECT t.*, {code.format(key='u.o')} AS {HIDDEN} FROM {files} t LEFT JOIN ({owner}) u ON t.{column} = u.k"
