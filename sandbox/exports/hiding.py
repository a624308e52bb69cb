"""The system that a reader of a product has to solve: its tables, its references, and what was released before.

Within a table rows add up by what they are called: a total is the sum of the rows below it. Between tables, and over
the history, cells add up by the entities behind them, whatever they are called. What a reader might know is given to
him: divisors of quotients, and that parts which have no entity in common are a partition. Two numbers of one set are
one only if they are equal: otherwise they are numbers of different things.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sandbox.exports.history import COUNTS, ReleasedCell
from sandbox.exports.systems import Bounds, Cell, CellKey, Need, Relation, System
from sandbox.products.releasing import Table, count_interval, follows
from sandbox.products.spec import Cube

if TYPE_CHECKING:
    from policies.schema.export import Dominance
    from sandbox.products.evidence import Evidence

QUOTIENTS = ("ratio", "weighted_mean", "share_of_margin")
"""Measures of whose amounts only the absolute contributions are known."""
NOT_ADDED = ("median", "quantile", "min", "max", "stddev")
"""Measures whose values in parts and whole are tied by no sum."""


@dataclass(frozen=True, slots=True)
class Protection:
    """What the policy asks for hidden values. `rows` failed a rule themselves; others are hidden beside them. `width`
    of a count's interval, in people; `of_largest`: percent of the largest contribution (p %, with prior knowledge);
    `dominance`: (n,k) rules."""

    rows: frozenset[int]
    width: int
    of_largest: float
    dominance: Dominance | None


@dataclass(frozen=True)
class Quantity:
    """One column of numbers that add up: of every row the true value, what is shown of it, and by kind of entity
    (set, largest, second largest, total of absolute contributions, entities). `distinct`: entities are counted, so that
    parts add up only where they have none in common."""

    name: str
    values: Sequence[float]
    shown: Sequence[Bounds]
    whole: bool
    distinct: bool
    behind: Sequence[Sequence[tuple[str, str, float, float, float, int]]]
    variables: tuple[str, ...] = ()

    @property
    def signed(self) -> bool:
        """Whether some contribution is negative: then nothing is known to be above zero."""
        pairs = zip(self.values, self.behind, strict=True)
        return any(v < 0 or any(total > v + 1e-6 * max(1.0, abs(total)) for *_, total, _ in lines)
                   for v, lines in pairs if not self.whole)  # fmt: skip


@dataclass
class Builder:
    """Cells by key, and relations between them."""

    cells: dict[CellKey, Cell] = field(default_factory=dict)
    places: dict[CellKey, int] = field(default_factory=dict)
    relations: list[Relation] = field(default_factory=list)

    def add(self, cell: Cell) -> int:
        """The place of the cell, which may be there already."""
        if cell.key not in self.cells:
            self.places[cell.key] = len(self.places)
            self.cells[cell.key] = cell
        return self.places[cell.key]

    def relate(self, whole: int, parts: Sequence[int], low: float = 0.0, high: float = 0.0) -> None:
        """Σ parts − whole lies in [low, high]."""
        if list(parts) != [whole]:
            self.relations.append(Relation(((whole, -1.0), *((p, 1.0) for p in parts)), low, high))

    def system(self) -> System:
        return System(tuple(self.cells.values()), tuple(self.relations))


def system_of(
    cube: Cube, evidence: Evidence, hidden: Collection[int], protection: Protection, *, base: int,
    shown: Table | None = None, earlier: Iterable[ReleasedCell] = (),
) -> System:  # fmt: skip
    """The rows of a product: bundles are its rows. `hidden` rows; `shown`: its numbers as released, else amounts are
    taken as shown exactly; `earlier`: cells that a reader has from elsewhere.

    Raises `OverBudget` where there are too many of those.
    """
    from sandbox.exports.earlier import add_earlier

    made, below = Builder(), list(steps_down(cube, evidence))
    costs = _people(evidence)
    at: dict[str, list[int]] = {}
    found = list(quantities(cube, evidence, base=base, shown=shown))
    for quantity in found:
        signed = quantity.signed
        at[quantity.name] = places = [
            made.add(_cell(quantity, row, row in hidden, protection, costs.get(row, 0), signed))
            for row in range(len(evidence.rows))
        ]
        for whole, parts in below:
            _add_up(made, quantity, places, whole, parts)
    _rows_and_entities(made, cube, at)
    add_earlier(made, [(q, at[q.name]) for q in found], evidence, hidden, earlier)
    return made.system()


def _add_up(made: Builder, quantity: Quantity, places: Sequence[int], whole: int, parts: Sequence[int]) -> None:
    total = math.fsum(quantity.values[p] for p in parts)
    if not quantity.distinct or total == quantity.values[whole]:
        made.relate(places[whole], [places[p] for p in parts])
        return
    made.relate(places[whole], [places[p] for p in parts], 0.0, math.inf)
    for part in parts:
        made.relate(places[whole], [places[part]], -math.inf, 0.0)


def _rows_and_entities(made: Builder, cube: Cube, at: Mapping[str, Sequence[int]]) -> None:
    """There are at least as many rows as entities."""
    rows = next((n for n, m in cube.measures.items() if m.op == "count" and not m.of), None)
    for name, measure in cube.measures.items():
        if rows and measure.op == "count_distinct":
            for many, few in zip(at[rows], at[name], strict=True):
                made.relate(many, [few], -math.inf, 0.0)


def _cell(
    quantity: Quantity, row: int, hidden: bool, protection: Protection, people: int, signed: bool
) -> Cell:  # fmt: skip
    value, lines = quantity.values[row], quantity.behind[row]
    key = (quantity.name, str(row))
    low = -math.inf if signed else float(quantity.whole and value > 0)
    alone = next((f"{kind} {name}" for kind, name, *_, n in lines if n == 1), None)
    return Cell(
        key, value, quantity.shown[row], (low, math.inf), hidden,
        _need(quantity, row, protection, signed), quantity.whole, row,
        None if quantity.whole else alone, float(people) + 1.0,
    )  # fmt: skip


def _need(quantity: Quantity, row: int, protection: Protection, signed: bool) -> Need | None:
    """What the value needs if it is hidden (R12): of a count a width, of an amount a distance to both sides."""
    value, primary = quantity.values[row], row in protection.rows
    if quantity.whole:
        return Need(width=float(protection.width)) if primary else Need(width=1.0)
    far = 0.0
    for kind, _, x1, x2, total, _ in quantity.behind[row]:
        far = max(far, protection.of_largest / 100 * x1 - (0.0 if primary else total - x1 - x2))
        for rule in protection.dominance.of(kind) if protection.dominance else ():
            far = max(far, 100 / rule.k_percent * (x1 + (x2 if rule.n == 2 else 0.0)) - total)
    if not far:
        return None
    return Need(value - (far if signed else min(far, value)), value + far)


def quantities(cube: Cube, evidence: Evidence, *, base: int, shown: Table | None) -> Iterator[Quantity]:
    """What of a cube's measures adds up."""
    lines, unbounded = _lines(evidence), may_be_negative(cube, evidence)
    for number, (name, measure) in enumerate(cube.measures.items(), start=evidence.dimensions):
        if measure.op in NOT_ADDED or follows(cube, name) or name in unbounded:
            continue
        seen = [_ends(row[number], shown, name, i) for i, row in enumerate(evidence.rows)]
        for part, behind in lines.get(name, {}).items():
            yield _quantity(measure.op, f"{name}/{part}" if part != "value" else name, behind, [
                (row[number], ends) for row, ends in zip(evidence.rows, seen, strict=True)
            ], base, evidence.made_of.get(name, {}).get(part, ()))  # fmt: skip


Lines = list[list[dict[str, Any]]]
"""Of every row the lines of the cell table, one for each kind."""


def _quantity(
    op: str, name: str, lines: Lines, values: list[tuple[Any, Bounds]], base: int, made_of: tuple[str, ...]
) -> Quantity:
    told = [[(x["kind"], x["bitmap"], float(x["x1"] or 0), float(x["x2"] or 0), float(x["x_total"] or 0), x["n"])
             for x in row] for row in lines]  # fmt: skip
    if op in COUNTS:
        counts = [int(v or 0) for v, _ in values]
        ends = [_floats(count_interval(c, base)) for c in counts]
        return Quantity(name, [float(c) for c in counts], ends, True, op == "count_distinct", told)
    amounts, shown = [], []
    for row, (value, (low, high)) in zip(lines, values, strict=True):
        factor = _factor(op, row[0], value) if row and value is not None else 0.0
        amount = _float(value) * factor or (float(row[0]["x_total"] or 0) if row and op not in ("sum", "mean") else 0.0)
        amounts.append(amount)
        shown.append((min(low * factor, high * factor, amount), max(low * factor, high * factor, amount)))
    return Quantity(name, amounts, shown, False, False, told, made_of)


def _factor(op: str, line: dict[str, Any], value: Any) -> float:
    """What the shown number is multiplied by to give the sum it stands for: the reader is given the divisor."""
    if op == "sum":
        return 1.0
    if op == "mean":
        return float(line["n_non_missing"] or 0)
    return float(line["x_total"] or 0) / _float(value) if _float(value) else 0.0


def _ends(value: Any, shown: Table | None, name: str, row: int) -> Bounds:
    """What the released number lets a reader conclude: half a step to either side, or the value itself."""
    exact = _float(value)
    if shown is None or name not in shown.steps or value is None:
        return exact, exact
    half = float(shown.steps[name]) / 2
    released = shown.rows[row][shown.keys + list(shown.cube.measures).index(name)]
    middle = exact if released is None else float(released)
    return middle - half, middle + half


def not_assessed(cube: Cube, evidence: Evidence, hidden: Collection[int]) -> list[str]:
    """Measures of which no program can say what a reader works out: they are tied by no sum, and a total is shown
    above a hidden row."""
    tied = any(whole not in hidden and set(parts) & set(hidden) for whole, parts in steps_down(cube, evidence))
    return [name for name, m in cube.measures.items() if tied and m.op in NOT_ADDED]


def may_be_negative(cube: Cube, evidence: Evidence) -> list[str]:
    """Quotients with an amount above or below the line that is not the sum of what everybody gives in size: somebody
    gives less than nothing, and what a reader knows of such an amount is bounded by no program."""
    return [
        name
        for number, (name, measure) in enumerate(cube.measures.items(), start=evidence.dimensions)
        if measure.op in QUOTIENTS and not follows(cube, name) and not _of_sizes(cube, evidence, name, number)
    ]


def _of_sizes(cube: Cube, evidence: Evidence, name: str, number: int) -> bool:
    """Whether every row's quotient is that of the absolute contributions above and below its line."""
    parts = {part: [max((_float(x["x_total"]) for x in row), default=0.0) for row in lines]
             for part, lines in _lines(evidence)[name].items()}  # fmt: skip
    above = parts.get("numerator") or parts["value"]
    below = parts.get("denominator") or _margins(cube, evidence, cube.measures[name].margin or (), above)
    values = [row[number] for row in evidence.rows]
    return all(value is None or math.isclose(_float(value) * under, over, rel_tol=1e-6, abs_tol=1e-9)
               for value, over, under in zip(values, above, below, strict=True))  # fmt: skip


def _margins(cube: Cube, evidence: Evidence, margin: Sequence[str], amounts: Sequence[float]) -> list[float]:
    """Of every row the sum of `amounts` over the rows of its grouping that share its values of `margin`."""
    at = [cube.dimensions.index(name) for name in margin]
    groups = [(g, *(row[i] for i in at)) for g, row in zip(evidence.groupings, evidence.rows, strict=True)]
    sums: dict[tuple[Any, ...], float] = defaultdict(float)
    for group, amount in zip(groups, amounts, strict=True):
        sums[group] += amount
    return [sums[group] for group in groups]


def _float(value: Any) -> float:
    number = float(value) if isinstance(value, int | float | Decimal) else 0.0
    return number if math.isfinite(number) else 0.0


def _floats(ends: tuple[int, int]) -> Bounds:
    return float(ends[0]), float(ends[1])


def _lines(evidence: Evidence) -> dict[str, dict[str, Lines]]:
    """Measure → part → row → for every kind its line of the cell table."""
    found: dict[str, dict[str, Lines]] = defaultdict(dict)
    names = ("cell", "measure", "part", "n", "n_non_missing", "x1", "x2", "x_total", "bitmap")
    for kind in evidence.kinds:
        for line in kind.cells.select(names).iter_rows(named=True):
            parts = found[line["measure"]]
            if line["part"] not in parts:
                parts[line["part"]] = [[] for _ in evidence.rows]
            parts[line["part"]][line["cell"]].append({**line, "kind": kind.kind})
    return found


def _people(evidence: Evidence) -> dict[int, int]:
    """Row → entities behind it, at most: what is hidden beside a small cell should cost little."""
    found: dict[int, int] = {}
    for kind in evidence.kinds:
        for cell, n in kind.cells.select("cell", "n").iter_rows():
            found[cell] = max(found.get(cell, 0), n or 0)
    return found


def steps_down(cube: Cube, evidence: Evidence) -> Iterator[tuple[int, list[int]]]:
    """Of every margin row and every next finer grouping the rows that add up to it; sums over more than one step follow
    from these."""
    sets = [frozenset(g) for g in cube.groupings]
    at = {name: place for place, name in enumerate(cube.dimensions)}
    for number, margin in enumerate(sets):
        finer = [g for g, one in enumerate(sets) if margin < one]
        for grouping in finer:
            if any(sets[other] < sets[grouping] for other in finer):
                continue
            below: dict[tuple[Any, ...], list[int]] = defaultdict(list)
            for row, (values, own) in enumerate(zip(evidence.rows, evidence.groupings, strict=True)):
                if own == grouping:
                    below[tuple(values[at[d]] for d in cube.groupings[number])].append(row)
            for row, (values, own) in enumerate(zip(evidence.rows, evidence.groupings, strict=True)):
                if own == number:
                    yield row, below[tuple(values[at[d]] for d in cube.groupings[number])]
