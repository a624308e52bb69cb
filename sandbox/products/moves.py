"""Whose contributions moved in a trial of P3, where contributions add up: the rows of all modes as sorted numbers.

A table of groups for every mode, and the join of these tables, are what a trial of ten million rows spends its time on.
Rows come nearly by owner, from which a stable sort profits: (owner, cell, mode) as one number a row, one sort for all
modes, and whatever belongs together lies together.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from sandbox.products import compile as sql
from sandbox.products.arrays import array_of, column_of
from sandbox.products.contributions import fetch, within
from sandbox.products.distinct import CELL_BITS, NOWHERE
from sandbox.products.entities import MISSING_KEY
from sandbox.products.kept import Kept, places
from sandbox.products.program import Program

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    Origins = Mapping[int, tuple[str, str] | None]

_MODE_BITS = 3
_CELL_AT, _OWNER_AT = np.uint64(_MODE_BITS), np.uint64(_MODE_BITS + CELL_BITS)
_AMOUNTS = {"TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER", "FLOAT", "DOUBLE"}
"""Types of which a DOUBLE holds every value, and sums of millions of them, as exactly as the type itself"""
_BESIDE = 2
"""Parts that are compared at the same time, each with a copy of its rows"""
FEW = 2
"""Rows of a contribution, on the average, up to which sorting them is faster than grouping them"""
Numbers = npt.NDArray[Any]
Columns = Mapping[str, Numbers]


@dataclass(frozen=True, slots=True)
class Added:
    """What a partial is compared by: its rows that have the value of partial `counted` (None: all rows), and with
    `amount` the sum of these values. A change has the size of what changed, or with `once` that of one. `follows`: the
    values are those of the column that is tried."""

    counted: int | None
    amount: bool
    once: bool
    follows: bool


def added(
    con: duckdb.DuckDBPyConnection,
    program: Program,
    kind: str,
    kept: Kept,
    behind: Collection[int],
    column: tuple[str, str],
    origins: Origins,
) -> dict[int, Added] | None:
    """Partial → what it is compared by when `column` is tried; None where one of them is no sum over its rows, and
    where tables of groups are as fast: where owners have many rows a cell."""
    if kept.several:
        return None
    if not fetch(con, f"SELECT coalesce(count(*) * {FEW} > sum(__rows), FALSE) FROM __x"):
        return None
    first, found = sql.same_values(kept.cube), dict[int, Added]()
    with within(con, "__k"):
        described = con.execute(f"DESCRIBE {_rows(program, kind, kept)}").fetchall()
    types = {name: type_ for name, type_, *_ in described}
    for i, p in enumerate(sql.partials(kept.cube)):
        if i not in behind:
            continue
        # of one value an owner has everywhere, only whether it is there can change
        constant = p.op == "count_distinct" and kept.fixed.get(i, column) != column
        if p.op in ("min", "max") or (p.is_holistic and not constant):
            return None
        if p.is_amount and types[f"__c{i}"] not in _AMOUNTS:
            return None
        follows = p.is_amount and origins.get(i) == column
        found[i] = Added(first[i] if p.column else None, p.is_amount, constant, follows)
    return found


def _rows(program: Program, kind: str, kept: Kept) -> str:
    return sql.rows_sql(kept.cube, cast("sql.Owners", program.owners(kind)))


class Moves:
    """Movements of one column, part by part of the entities."""

    def __init__(self, con: duckdb.DuckDBPyConnection, kept: Kept, compared: Mapping[int, Added]) -> None:
        self.con, self.kept, self.compared = con, kept, compared
        cells = int(fetch(con, "SELECT count(*) FROM __cells"))
        self.totals = {a: np.zeros((4, cells)) for a in compared.values()}
        """what is compared → per cell: entities that moved, with rows without a key, largest and summed movement"""
        self._beside, self._under_way = ThreadPoolExecutor(_BESIDE), list[Future[dict[Added, Numbers]]]()

    def __enter__(self) -> Moves:
        return self

    def __exit__(self, *_: object) -> None:
        self._beside.shutdown(cancel_futures=True)

    def of(self, program: Program, kind: str, schema: str, mode: int, *, stored: bool) -> None:
        """The view `__m` in `schema`: of the job's rows the owner, for every grouping the cell, and of every value
        whether it is there and what it is. Rows that nobody owns move nobody. `stored`: made at once, and not part by
        part when it is asked for."""
        found, joins = places(self.kept.cube)
        cells = [f"CAST(coalesce({cell}, {NOWHERE}) AS UINTEGER) AS k{g}" for g, cell in enumerate(found)]
        values = [f"CAST(__c{i} IS NOT NULL AS UTINYINT) AS n{i}" for i in self._counted()]
        values += [f"coalesce(CAST(__c{i} AS DOUBLE), 0) AS s{i}" for i in self._summed()]
        columns = ", ".join(["__e", *cells, *values])
        rows = f"SELECT {columns} FROM ({_rows(program, kind, self.kept)}) x{joins} WHERE __e IS NOT NULL"
        with within(self.con, schema):
            if stored:
                self.con.execute(f"CREATE OR REPLACE TEMP TABLE __t{mode} AS {rows}")
                rows = f"SELECT * FROM __t{mode}"
            self.con.execute(f"CREATE VIEW {schema}.__m AS {rows}")

    def _counted(self) -> list[int]:
        return sorted({a.counted for a in self.totals if a.counted is not None})

    def _summed(self) -> list[int]:
        return sorted({a.counted for a in self.totals if a.counted is not None and a.amount})

    def compare(self, tables: Sequence[pa.Table], values: Sequence[float]) -> None:
        """Add the movements between the first of the `tables`, one a mode, and each other one, and those that follow
        where all values of the column are one of `values`. That is done beside what the database does next."""
        if len(self._under_way) == _BESIDE:
            self._add(self._under_way.pop(0))
        self._under_way.append(self._beside.submit(self._found, tables, values))

    def _found(self, tables: Sequence[pa.Table], values: Sequence[float]) -> dict[Added, Numbers]:
        """Of some entities' rows, what `totals` adds up. A mode in which all rows are as they were moves nobody."""
        found = {a: np.zeros_like(total) for a, total in self.totals.items()}
        rows = [{name: column_of(table, name) for name in table.column_names} for table in tables]
        changed = [any(not _alike(rows[0], one, name) for name in one if name[0] != "k") for one in rows]
        owned = [_alike(rows[0], one, "__e") for one in rows]
        owners = [(one["__e"].astype(np.uint64) << _OWNER_AT) | np.uint64(k) for k, one in enumerate(rows)]
        for g in range(len(self.kept.cube.groupings)):
            stays = [same and _alike(rows[0], one, f"k{g}") for same, one in zip(owned, rows, strict=True)]
            modes = [k for k, same in enumerate(stays) if not k or changed[k] or not same]
            apart = [rows[k] for k in modes]
            if not sum(len(one["__e"]) for one in apart) or (len(modes) == 1 and not values):
                continue
            # where all rows stay where they are, one order is that of every mode
            sorted_by = modes[:1] if all(stays[k] for k in modes) else modes
            keys = [owners[k] | (rows[k][f"k{g}"].astype(np.uint64) << _CELL_AT) for k in sorted_by]
            pairs = _Pairs(np.concatenate(keys), sorted_by, bool(values))
            every, keyless = pairs.count(len(modes)), pairs.owner == MISSING_KEY
            for a, total in found.items():
                there = [] if a.counted is None else [one[f"n{a.counted}"] for one in apart]
                n = every if all(one.all() for one in there) else pairs.sum(there)
                s = pairs.sum([one[f"s{a.counted}"] for one in apart]) if a.amount else n
                parts = [_moved(a, *both, values) for both in zip(n, s, strict=True)]
                moved, size = (np.concatenate(one) for one in zip(*parts, strict=True))
                moved &= pairs.cell != NOWHERE
                cell, size = pairs.cell[moved], size[moved]
                total[0] += np.bincount(cell[~keyless[moved]], minlength=total.shape[1])
                total[1] += np.bincount(cell, minlength=total.shape[1])
                np.maximum.at(total[2], cell, size)
                total[3] += np.bincount(cell, weights=size, minlength=total.shape[1])
        return found

    def _add(self, one: Future[dict[Added, Numbers]]) -> None:
        for a, found in one.result().items():
            self.totals[a][[0, 1, 3]] += found[[0, 1, 3]]
            np.maximum(self.totals[a][2], found[2], out=self.totals[a][2])

    def write(self, column: str) -> None:
        """Put what was added up into `__i`."""
        import pyarrow as pa

        for one in self._under_way:
            self._add(one)
        for i, a in self.compared.items():
            moved, most, largest, whole = self.totals[a]
            cells = np.flatnonzero(most)
            told = {"cell": cells, "moved": moved[cells], "most": most[cells], "largest": largest[cells],
                    "whole": whole[cells]}  # fmt: skip
            self.con.register("__found", pa.table({name: array_of(values) for name, values in told.items()}))
            self.con.execute(f"INSERT INTO __i SELECT cell, {i}, ?, moved, most, largest, whole FROM __found", [column])
            self.con.unregister("__found")


def _alike(one: Columns, other: Columns, name: str) -> bool:
    """Whether rows have the same values in a column as others, row by row."""
    return np.array_equal(one[name], other[name])


def _moved(a: Added, n: Numbers, s: Numbers, values: Sequence[float]) -> tuple[npt.NDArray[np.bool_], Numbers]:
    """(whether a contribution changed in any mode, the largest change). Sums of floats differ in their last bits from
    run to run: only a real change counts."""
    if not a.amount:
        size = np.abs(n[1:] - n[0]).max(axis=0, initial=0.0)
        return size > 0, np.ones(len(size)) if a.once else size
    moved, size, before = np.zeros(len(n[0]), bool), np.zeros(len(n[0])), np.abs(s[0])
    after = [(n[k] != n[0], s[k]) for k in range(1, len(n))]
    after += [(moved, n[0] * value) for value in values if a.follows]
    for changed, amount in after:
        by = np.abs(amount - s[0])
        changed = changed | (by > 1e-9 * np.maximum(np.abs(amount), before))
        np.copyto(by, 0.0, where=~changed)
        moved, size = moved | changed, np.maximum(size, by)
    return moved, size


class _Pairs:
    """Contributions of some modes by (owner, cell): `cell` and `owner` of each. Most that move are there in one mode
    only, came from nothing or went to nothing: these are the first, for which the other modes are not looked at; with
    `constants`, which all are compared with, there are none. `keys` are those of one mode where the others have the
    same."""

    def __init__(self, keys: Numbers, modes: Sequence[int], constants: bool) -> None:
        self._order, self._modes = np.argsort(keys, kind="stable"), len(modes)
        keys = keys[self._order]
        self._starts = np.flatnonzero(_new(keys))
        self._rows = np.diff(self._starts, append=len(keys))
        groups = keys[self._starts]
        pairs = groups >> np.uint64(_MODE_BITS)
        new = _new(pairs)
        self._lone, self._rest = np.empty(0, np.intp), cast("Numbers | slice", slice(None))
        if not constants and len(modes) > 1:
            lone = new & np.append(new[1:], True)
            self._lone, self._rest = np.flatnonzero(lone), np.flatnonzero(~lone)
        first = new[self._rest]
        self._many = int(np.count_nonzero(first))
        place = np.zeros(2**_MODE_BITS, np.intp)
        place[list(modes)] = np.arange(len(modes)) * self._many
        mode = (groups[self._rest] & np.uint64(2**_MODE_BITS - 1)).astype(np.intp)
        self._place = place[mode] + np.cumsum(first) - 1
        pairs = np.concatenate([pairs[self._lone], pairs[self._rest][first]])
        self.cell = (pairs & np.uint64(NOWHERE)).astype(np.intp)
        self.owner = pairs >> np.uint64(CELL_BITS)

    def count(self, modes: int) -> list[Numbers]:
        """Rows of every mode and contribution, in two parts as in `_spread`."""
        lone, rest = self._spread(self._rows)
        return [lone, np.repeat(rest, modes, axis=0) if len(rest) < modes else rest]

    def sum(self, values: Sequence[Numbers]) -> list[Numbers]:
        """Values of the rows of every mode and contribution, added up, in two parts as in `_spread`."""
        of = values if self._modes == 1 else [np.concatenate(values)]
        parts = [self._spread(np.add.reduceat(one[self._order], self._starts, dtype=np.float64)) for one in of]
        return [np.concatenate(one) for one in zip(*parts, strict=True)]

    def _spread(self, values: Numbers) -> list[Numbers]:
        """Of contributions that are there in one mode only, nothing and what is there; of the others, every mode."""
        lone, rest = np.zeros((2, len(self._lone))), np.zeros(self._modes * self._many)
        lone[1] = values[self._lone]
        rest[self._place] = values[self._rest]
        return [lone, rest.reshape(self._modes, self._many)]


def _new(keys: Numbers) -> Numbers:
    """Where sorted numbers are others than the one before."""
    return np.concatenate([[True], keys[1:] != keys[:-1]])
