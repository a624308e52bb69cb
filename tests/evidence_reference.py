"""What a job means, in plain Python over small tables: the product, and who is behind every cell.

Nothing here knows SQL or the platform's code. A program is a chain of steps; every step has a text for the platform
and, beside it, its meaning on rows that carry their owner along. The cube is computed by going through the rows.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import median, stdev
from typing import Any, Protocol

MISSING = "missing key"
"""Owner of a row of an entity table whose key is missing; None owns what belongs to nobody."""

Values = dict[str, Any]
Rows = list[tuple[Values, Hashable]]
Tables = Mapping[str, Rows]


class Mixed(Exception):
    """A row would belong to two entities at once."""


def together(owners: Sequence[Hashable]) -> Hashable:
    """The one owner of rows that become one row."""
    found = {owner for owner in owners if owner is not None}
    if len(found) > 1:
        raise Mixed
    return found.pop() if found else None


class Step(Protocol):
    """One step: its text, and what it means."""

    def sql(self) -> str: ...
    def rows(self, tables: Tables) -> Rows: ...


@dataclass(frozen=True)
class Keep:
    """Rows whose `column` is greater than `bound`; a missing value is not."""

    table: str
    column: str
    bound: int

    def sql(self) -> str:
        return f"SELECT pid, district, x, y FROM {self.table} WHERE {self.column} > {self.bound}"

    def rows(self, tables: Tables) -> Rows:
        return [(v, o) for v, o in tables[self.table] if v[self.column] is not None and v[self.column] > self.bound]


@dataclass(frozen=True)
class Made:
    """`x` becomes twice `x` plus `y`, missing where one of them is; `y` is capped at 2."""

    table: str

    def sql(self) -> str:
        return f"SELECT pid, district, 2 * x + y AS x, CASE WHEN y > 2 THEN 2 ELSE y END AS y FROM {self.table}"

    def rows(self, tables: Tables) -> Rows:
        return [({**v, "x": self._x(v), "y": v["y"] if v["y"] is None else min(v["y"], 2)}, o)
                for v, o in tables[self.table]]  # fmt: skip

    @staticmethod
    def _x(v: Values) -> int | None:
        return None if v["x"] is None or v["y"] is None else 2 * v["x"] + v["y"]


@dataclass(frozen=True)
class Stacked:
    """The rows of two tables, one after another."""

    first: str
    second: str

    def sql(self) -> str:
        columns = "SELECT pid, district, x, y FROM"
        return f"{columns} {self.first} UNION ALL {columns} {self.second}"

    def rows(self, tables: Tables) -> Rows:
        return [*tables[self.first], *tables[self.second]]


@dataclass(frozen=True)
class Joined:
    """Rows of `left` with the `x` of rows of `right` that have the same `pid`; with `outer` those without one stay."""

    left: str
    right: str
    outer: bool

    def sql(self) -> str:
        how = "LEFT JOIN" if self.outer else "JOIN"
        columns = "a.pid AS pid, a.district AS district, b.x AS x, a.y AS y"
        return f"SELECT {columns} FROM {self.left} a {how} {self.right} b ON a.pid = b.pid"

    def rows(self, tables: Tables) -> Rows:
        found: Rows = []
        for v, o in tables[self.left]:
            partners = [(w, p) for w, p in tables[self.right] if v["pid"] is not None and w["pid"] == v["pid"]]
            if self.outer and not partners:
                partners = [({"x": None}, None)]
            found += [({**v, "x": w["x"]}, together([o, p])) for w, p in partners]
        return found


@dataclass(frozen=True)
class PerPerson:
    """One row a person and district: the sum of `x`, the number of rows as `y`."""

    table: str

    def sql(self) -> str:
        return (
            f"SELECT pid, district, CAST(sum(x) AS BIGINT) AS x, count(*) AS y FROM {self.table} GROUP BY pid, district"
        )

    def rows(self, tables: Tables) -> Rows:
        groups: dict[Any, Rows] = defaultdict(list)
        for v, o in tables[self.table]:
            groups[v["pid"], v["district"]].append((v, o))
        return [({"pid": pid, "district": district, "x": _sum([v["x"] for v, _ in rows]), "y": len(rows)},
                 together([o for _, o in rows])) for (pid, district), rows in groups.items()]  # fmt: skip


def _sum(values: Sequence[Any]) -> Any:
    present = [v for v in values if v is not None]
    return sum(present) if present else None


@dataclass(frozen=True)
class Cell:
    """One cell and partial. `value` is that of the measure; sizes are exact numbers."""

    n: int
    present: int
    non_zero: int
    x1: Fraction
    x2: Fraction
    total: Fraction
    owners: frozenset[Hashable]


@dataclass(frozen=True)
class Outcome:
    """The product: (grouping, dimension values) → measure → value; and (…, measure, part) → cell."""

    values: Mapping[tuple[int, tuple[Any, ...]], Mapping[str, Any]]
    cells: Mapping[tuple[int, tuple[Any, ...], str, str], Cell]


MEASURES: dict[str, dict[str, Any]] = {
    "rows": {"op": "count"}, "with": {"op": "count", "of": "x"}, "kinds": {"op": "count_distinct", "of": "x"},
    "sum": {"op": "sum", "of": "x"}, "mean": {"op": "mean", "of": "x"}, "ratio": {"op": "ratio", "of": "x", "per": "y"},
    "each": {"op": "ratio", "of": "x", "per": "count"}, "weighted": {"op": "weighted_mean", "of": "x", "weight": "y"},
    "middle": {"op": "median", "of": "x"}, "spread": {"op": "stddev", "of": "x"}, "least": {"op": "min", "of": "x"},
    "most": {"op": "max", "of": "x"},
}  # fmt: skip
ADDED = ("count", "sum", "mean", "ratio", "weighted_mean")
"""Kinds of measure whose value adds up contributions"""


def outcome(
    rows: Rows, dimensions: Sequence[str], margins: Sequence[Sequence[str]], measures: Sequence[str],
    holding: Callable[[Hashable], Hashable] = lambda owner: owner,
) -> Outcome:  # fmt: skip
    """The cube of `rows`, and every cell's evidence."""
    values, cells = {}, {}
    for number, kept in enumerate([dimensions, *margins]):
        groups: dict[tuple[Any, ...], Rows] = {} if kept else {(None,) * len(dimensions): []}
        for v, o in rows:
            key = tuple(v[d] if d in kept else None for d in dimensions)
            groups.setdefault(key, []).append((v, o))
        for key, own in groups.items():
            values[number, key] = {name: _value(MEASURES[name], own) for name in measures}
            for name in measures:
                for part, pairs in _parts(MEASURES[name], own):
                    cells[number, key, name, part] = _cell(MEASURES[name]["op"], pairs, holding)
    return Outcome(values, cells)


def _parts(measure: Mapping[str, Any], rows: Rows) -> list[tuple[str, list[tuple[Any, Hashable]]]]:
    """(name of the partial, (value or None, owner) of every row)."""
    of = [(v[measure["of"]] if "of" in measure else 1, o) for v, o in rows]
    if measure["op"] == "ratio":
        below = [(1 if measure["per"] == "count" else v[measure["per"]], o) for v, o in rows]
        return [("numerator", of), ("denominator", below)]
    if measure["op"] == "weighted_mean":
        both = [(v["x"] is not None and v["y"] is not None, v, o) for v, o in rows]
        return [("numerator", [(v["x"] * v["y"] if ok else None, o) for ok, v, o in both]),
                ("denominator", [(v["y"] if ok else None, o) for ok, v, o in both])]  # fmt: skip
    return [("value", [(None if x is None else 1, o) for x, o in of] if measure["op"] == "count" else of)]


def _cell(op: str, pairs: list[tuple[Any, Hashable]], holding: Callable[[Hashable], Hashable]) -> Cell:
    present = [(x, o) for x, o in pairs if x is not None and o is not None]
    owners = {o for _, o in present if o is not MISSING}
    # an entity's values that are not zero are kept apart: two that cancel are still two
    counted = op in ("count", "count_distinct", "min", "max")
    non_zero = owners if counted else {o for x, o in present if x != 0 and o is not MISSING}
    sizes: dict[Hashable, Fraction] = defaultdict(Fraction)
    for x, o in present:
        sizes[MISSING if o is MISSING else holding(o)] += Fraction(x)
    top = sorted(map(abs, sizes.values()), reverse=True)
    first, second = (*top, Fraction(0), Fraction(0))[:2]
    rows = sum(x is not None for x, _ in pairs)
    return Cell(len(owners), rows, len(non_zero), first, second, sum(top, Fraction(0)), frozenset(owners))


def _value(measure: Mapping[str, Any], rows: Rows) -> Any:
    op, parts = measure["op"], _parts(measure, rows)
    present = [[x for x, _ in pairs if x is not None] for _, pairs in parts]
    own = present[0]
    if op in ("count", "count_distinct"):
        return len(own) if op == "count" else len(set(own))
    if op in ("ratio", "weighted_mean"):
        top, below = _sum(own), _sum(present[1])
        return None if top is None or not below else float(Fraction(top) / Fraction(below))
    if not own or (op == "stddev" and len(own) < 2):
        return None
    simple: dict[str, Callable[[list[Any]], Any]] = {
        "sum": sum, "mean": lambda v: float(Fraction(sum(v), len(v))), "median": lambda v: float(median(v)),
        "stddev": lambda v: float(stdev(v)), "min": min, "max": max,
    }  # fmt: skip
    return simple[op](own)


def same(left: Any, right: Any) -> bool:
    """Whether two numbers are equal, floats to one part in 10^9."""
    if left is None or right is None:
        return left is right
    return math.isclose(float(left), float(right), rel_tol=1e-9, abs_tol=0.0)
