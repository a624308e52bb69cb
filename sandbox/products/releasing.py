"""From recomputed values to the numbers a reader sees: suppressed, rounded, in fixed order.

Counts go to a multiple of the policy's base, each by itself: a total is as near to the truth as its parts and need not
be their sum, so that it is an interval of its own for whoever adds up.

Every other measure goes to a step of its own: the declared decimals, or the number of the row 1, 2, 5, 10 … that is at
least `effect_percent` of the largest effect one entity has on it in any cell that is shown. So that effect spans at
most 1 + 100 / `effect_percent` steps, and digits below it, where a crafted measure could carry somebody's value, are
gone. Shares are taken of numbers that were rounded before.

The effect of an entity on a sum is its contribution. On a quotient it is what its amounts add to it, above and below
the line. On a quantile, a minimum or a maximum it is the value itself, which is somebody's.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from policies.text import Text
from sandbox.kernel.errors import BadInput
from sandbox.products.spec import Cube, JobSpec, Reference
from sandbox.products.spec_parts import Measure

if TYPE_CHECKING:
    from sandbox.products.evidence import Evidence

Number = int | Decimal | None
Place = tuple[int, str]
"""A cell: row from 0, measure."""
_CONTEXT = Context(prec=400)
"""Wide enough for any double with its decimals."""
_GUARD = 3
"""Floats are rounded to this many more decimals first: the last bits depend on the order of additions, and a value that
is half a step in decimal must not fall to either side by them."""
_FLOAT_DIGITS = 13
"""Digits of a float that are believed: of a long sum the others depend on how many threads made it."""


class Rounding(Protocol):
    """What the policy says about rounding: `base` of counts, `effect_percent` for everything else."""

    @property
    def base(self) -> int: ...
    @property
    def effect_percent(self) -> float: ...


@dataclass(frozen=True, slots=True)
class _Shown:
    """What of a table's rows decides how they are rounded."""

    base: int
    steps: Mapping[str, Decimal]
    hidden: frozenset[Place]


@dataclass(frozen=True)
class Table:
    """A cube's numbers as they are written: product or reference.

    `rows` hold dimension values, then counts as integers, other measures as decimals, None where there is no number or
    where it is suppressed (`hidden`). `groupings`: each row's number among `cube.groupings`.
    """

    name: str
    cube: Cube
    rows: tuple[tuple[Any, ...], ...]
    groupings: tuple[int, ...]
    steps: Mapping[str, Decimal]
    hidden: frozenset[Place] = frozenset()

    @property
    def columns(self) -> list[str]:
        return self.cube.output_columns

    @property
    def keys(self) -> int:
        """How many leading columns say which cell it is."""
        return len(self.cube.dimensions)

    @cached_property
    def summed_over(self) -> frozenset[int]:
        """Places of the dimensions that some margin leaves out."""
        return frozenset(i for g in set(self.groupings) for i in self.left_out[g])

    @cached_property
    def left_out(self) -> list[list[int]]:
        """Of each of the cube's groupings the places of the dimensions that it sums over."""
        return [[i for i, d in enumerate(self.cube.dimensions) if d not in g] for g in self.cube.groupings]


def declared(
    cube: Cube, rows: Sequence[Sequence[Any]], *, base: int, groupings: Sequence[int] = (), name: str = "product"
) -> Table:
    """What the job itself says: counts to `base`, every other measure to its declared decimals, nothing suppressed."""
    return _table(name, cube, rows, groupings, _Shown(base, _declared_steps(cube), frozenset()))


def released(cube: Cube, evidence: Evidence, rounding: Rounding, failing: Collection[Place] = ()) -> Table:
    """What a reader may see. `failing`: cells that fail the policy, which are suppressed where the job says so."""
    hidden = suppressed(cube, failing)
    steps = effect_steps(cube, evidence, rounding.effect_percent, hidden)
    shown = _Shown(rounding.base, steps, hidden)
    return _table(evidence.name, cube, evidence.rows, evidence.groupings, shown)


def references(spec: JobSpec, evidence: Evidence) -> Iterator[tuple[Reference, Evidence]]:
    """The job's references that the evidence covers, each once, in the order they are made."""
    known = {one.name: one for one in _below(evidence)}
    for step in spec.sequence:
        if isinstance(step, Reference) and step.name in known:
            yield step, known[step.name]


def _below(evidence: Evidence) -> Iterator[Evidence]:
    for one in evidence.references:
        yield one
        yield from _below(one)


def suppressed(cube: Cube, failing: Collection[Place]) -> frozenset[Place]:
    """Cells that are not shown: every measure of a row in which one fails, where the job leaves it to the platform."""
    if cube.suppress is None:
        return frozenset()
    return frozenset((row, name) for row in {r for r, _ in failing} for name in cube.measures)


def effect_steps(
    cube: Cube, evidence: Evidence, percent: float, hidden: Collection[Place] = frozenset()
) -> dict[str, Decimal]:
    """Measure → step, for everything but counts; see the module."""
    steps = _declared_steps(cube)
    if not steps:
        return {}
    largest = dict.fromkeys(steps, 0.0)
    at = {name: place for place, name in enumerate(cube.measures, start=len(cube.dimensions))}
    for (row, name), parts in _parts(evidence).items():
        if name in steps and (row, name) not in hidden:
            effect = max(_effect(cube.measures[name], evidence.rows[row][at[name]], p) for p in parts)
            largest[name] = max(largest[name], effect)
    return {name: max(steps[name], _nice(largest[name] * percent / 100)) for name in steps}


def _declared_steps(cube: Cube) -> dict[str, Decimal]:
    return {name: Decimal(1).scaleb(-m.digits) for name, m in cube.measures.items() if not m.is_count}


Parts = dict[str, dict[str, Any]]
"""Of one cell, measure and kind: part → its line of the cell table."""


def _parts(evidence: Evidence) -> dict[Place, list[Parts]]:
    """Cell → for every kind of entity its parts."""
    found: dict[Place, list[Parts]] = {}
    names = ("cell", "measure", "part", "n_non_missing", "x1", "x_total")
    for kind in evidence.kinds:
        own: dict[Place, Parts] = {}
        for line in kind.cells.select(names).iter_rows(named=True):
            own.setdefault((line["cell"], line["measure"]), {})[line["part"]] = line
        for place, parts in own.items():
            found.setdefault(place, []).append(parts)
    return found


def _effect(measure: Measure, value: Any, parts: Parts) -> float:
    """The largest effect one entity has on this cell's measure; 0 where it has no finite value."""
    number = _finite(value)
    top = parts.get("numerator") or parts["value"]
    x1, total, rows = (float(top[k] or 0) for k in ("x1", "x_total", "n_non_missing"))
    if number is None or not math.isfinite(x1 + total):
        return 0.0
    size = abs(number)
    if measure.op == "sum":
        return x1
    if measure.op in ("median", "quantile", "min", "max"):
        return size
    if measure.op == "mean":
        return x1 / rows if rows else 0.0
    if measure.op == "stddev":
        return _on_deviation(x1, total, rows, size)
    if measure.op == "share_of_margin":
        return size * x1 / total if total else 0.0
    below = parts["denominator"]
    divisor = min(float(below["x_total"] or 0), total / size if size else math.inf)
    return (x1 + size * float(below["x1"] or 0)) / divisor if divisor else size


def _on_deviation(x1: float, total: float, rows: float, deviation: float) -> float:
    """What leaving out the largest contributor changes of a standard deviation, at most."""
    if rows < 2:
        return deviation
    variance = (x1 + total / rows) ** 2 / (rows - 1)
    return min(math.sqrt(variance), variance / deviation) if deviation else 0.0


def _nice(least: float) -> Decimal:
    """The smallest of … 0.1, 0.2, 0.5, 1, 2, 5, 10 … that is not below `least`; 0 for 0."""
    if not least > 0:
        return Decimal(0)
    wanted = Decimal(f"{least:.{_FLOAT_DIGITS - 1}e}")
    unit = Decimal(1).scaleb(wanted.adjusted())
    return next(unit * m for m in (1, 2, 5, 10) if unit * m >= wanted)


def _table(name: str, cube: Cube, rows: Sequence[Sequence[Any]], groupings: Sequence[int], shown: _Shown) -> Table:
    keys, numbers = len(cube.dimensions), tuple(groupings) or (0,) * len(rows)
    measures = list(cube.measures.items())
    made = [
        (*row[:keys], *(_written(n, m, v, place, shown) for (n, m), v in zip(measures, row[keys:], strict=True)))
        for place, row in enumerate(rows)
    ]
    table = Table(name, cube, tuple(made), numbers, shown.steps, shown.hidden)
    return _with_shares(table) if any(m.op == "share_of_margin" for m in cube.measures.values()) else table


def _written(name: str, measure: Measure, value: Any, row: int, shown: _Shown) -> Number:
    if (row, name) in shown.hidden:
        return None
    if measure.is_count:
        return None if value is None else rounded_count(int(value), shown.base)
    return rounded(value, shown.steps[name])


def rounded(value: Any, step: Decimal) -> Decimal | None:
    """The nearest multiple of `step`, halves away from zero, never minus zero; None where there is no finite number.

    Raises `BadInput` for what is no number at all: dates and texts of people cannot be rounded.
    """
    number = _exact(value, step)
    if number is None:
        return None
    steps = _CONTEXT.divide(number, step).quantize(Decimal(1), rounding=ROUND_HALF_UP, context=_CONTEXT)
    found = _CONTEXT.multiply(steps, step)
    return abs(found) if found == 0 else found


def _exact(value: Any, step: Decimal) -> Decimal | None:
    """The value as a decimal, a float without the bits that depend on the order of its additions."""
    if _finite(value) is None:
        return None
    if not isinstance(value, float):
        return Decimal(value)
    believed = Decimal(f"{value:.{_FLOAT_DIGITS - 1}e}")
    guard = Decimal(1).scaleb(step.adjusted() - _GUARD)
    return believed.quantize(guard, rounding=ROUND_HALF_UP, context=_CONTEXT)


def _finite(value: Any) -> float | None:
    if value is None or (isinstance(value, float | Decimal) and not math.isfinite(value)):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise BadInput(
            "release.no_number", Text("有度量不是数值，不能取整", "A measure is not a number and cannot be rounded"),
            fix=Text("请在准备步骤中转换为数值，或改用计数", "Cast it to a number in a prepared step, or count it"),
        )  # fmt: skip
    return float(value)


def _with_shares(table: Table) -> Table:
    """Shares whose part and whole are released as well are the quotient of those two rounded numbers."""
    keys, names = table.keys, list(table.cube.measures)
    wholes = {(g, row[:keys]): row for g, row in zip(table.groupings, table.rows, strict=True)}
    rows, hidden = [list(row) for row in table.rows], set(table.hidden)
    for place, (name, measure) in enumerate(table.cube.measures.items(), start=keys):
        source = next((k for k, n in enumerate(names, start=keys) if _is_part(measure, table.cube.measures[n])), None)
        if measure.op != "share_of_margin" or source is None:
            continue
        margin = next(g for g, dims in enumerate(table.cube.groupings) if set(dims) == set(measure.margin or ()))
        left = table.left_out[margin]
        for number, row in enumerate(rows):
            whole = wholes.get((margin, tuple(None if i in left else v for i, v in enumerate(row[:keys]))))
            if row[place] is not None:
                row[place] = _share(row[source], whole[source] if whole else None, table.steps[name])
                hidden |= {(number, name)} if whole and whole[source] is None else set()
    return Table(table.name, table.cube, tuple(map(tuple, rows)), table.groupings, table.steps, frozenset(hidden))


def follows(cube: Cube, name: str) -> bool:
    """Whether a measure is the quotient of two other released numbers, rounded before: it tells nothing more."""
    return any(_is_part(cube.measures[name], other) for other in cube.measures.values())


def _is_part(share: Measure, other: Measure) -> bool:
    """Whether `other` is what a share is taken of."""
    return share.op == "share_of_margin" and other.op == ("sum" if share.of else "count") and other.of == share.of


def _share(part: Number, whole: Number, step: Decimal) -> Decimal | None:
    if part is None or not whole:
        return None
    return rounded(_CONTEXT.divide(Decimal(part), Decimal(whole)), step)


def rounded_count(value: int, base: int) -> int:
    """The nearest multiple of `base`, halves up."""
    return (2 * value + base) // (2 * base) * base


def count_interval(value: int, base: int) -> tuple[int, int]:
    """Smallest and largest count that are released as `value` is: what a reader learns."""
    shown = rounded_count(value, base)
    low = shown - base // 2
    return max(low, 0), low + base - 1
