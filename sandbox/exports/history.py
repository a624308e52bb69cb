"""Released cells as the history keeps them: who was in each, under which variable, with which released interval.

A recalled or expired release stays: it has been seen. Cells are compared within one kind of entity and one variable;
counts of a kind are one variable whatever they count, because a reader can subtract any two of them. An amount is named
by what it is made of, never by what a step calls it: a cell stands once under every source column it is computed from,
so that any two amounts over a common column are compared. Where one entity has several records, a cell that records
add up to stands a second time, with the set of its records: people do not add up over months or clinics, records do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pyroaring import BitMap

from sandbox.products.evidence import Evidence, KindEvidence
from sandbox.products.records import Numbers, numbers, owners
from sandbox.products.releasing import count_interval, follows
from sandbox.products.spec import JobSpec

COUNT, RECORDS = "count", "records:"
"""The variable of counts, and what stands before a variable whose cells are sets of records."""
COUNTS = ("count", "count_distinct")

Value = Literal["exact", "rounded", "derived", "suppressed"]
Unit = Literal["entity", "record"]
Status = Literal["released", "pending", "together", "recalled"]


@dataclass(frozen=True)
class ReleasedCell:
    """One number of a release, or one that a release hides.

    `variable` names what is added up (lineage, contribution, weight): only cells of one kind and variable are compared.
    `low`…`high` is what the released value lets a reader conclude (None: taken as exact). `value`: how the number was
    released; `derived` follows from other released numbers and adds nothing, `suppressed` has not been seen, but is an
    unknown of every sum it is part of. `x_total` and `tops` are the sum and the largest absolute contributions, largest
    first (None and empty: not known). `table` and `grouping` say beside which cells it stands: a grouping is a set of
    dimensions, 0 the finest. `unit`: what the members are; `n` counts entities in either case. `labels`: the values of
    the cell's dimensions as text (None: one it is the total over). `status`: a recalled cell still counts; a pending
    one belongs to a request that has not left yet, and one `together` to a request of the same group: who asks for both
    can subtract them, so it counts like a released one.
    """

    release: str
    place: str
    kind: str
    variable: str
    op: str
    n: int
    bitmap: str
    members: bytes
    low: float | None = None
    high: float | None = None
    value: Value = "exact"
    x_total: float | None = None
    tops: tuple[float, ...] = ()
    table: str = ""
    grouping: int = 0
    unit: Unit = "entity"
    status: Status = "released"
    labels: tuple[str | None, ...] = ()

    @cached_property
    def entities(self) -> BitMap:
        return BitMap(owners(self.records)) if self.unit == "record" else BitMap.deserialize(self.members)

    @cached_property
    def records(self) -> Numbers:
        """The numbers of the records behind a cell of them, ascending."""
        return numbers(self.members)

    @property
    def size(self) -> int:
        """The number of members."""
        return len(self.records) if self.unit == "record" else self.n

    @property
    def counted(self) -> bool:
        """Whether the number counts, so that rounding says what a reader can conclude."""
        return self.variable.removeprefix(RECORDS) == COUNT

    def apart(self, other: ReleasedCell) -> tuple[int, bool]:
        """(entities that the two sets differ by, whether one contains the other) of two cells of one unit."""
        if self.unit == "entity":
            distance = self.entities.symmetric_difference_cardinality(other.entities)
            return distance, distance == abs(self.n - other.n)
        both = np.concatenate([self.records, other.records])
        both.sort()
        twice = np.flatnonzero(both[1:] == both[:-1])
        alone = np.delete(both, np.concatenate([twice, twice + 1]))
        return len(owners(alone)), len(alone) == abs(self.size - other.size)

    @property
    def amount(self) -> float:
        """The sum of the absolute contributions; of a number that rests on nothing known, nothing."""
        return self.x_total or 0.0

    @property
    def seen(self) -> bool:
        """Whether a reader has a number for this cell that does not follow from others."""
        return self.value in ("exact", "rounded")


def cells_of(
    spec: JobSpec, evidence: Evidence, *, release: str, base: int, hidden: Container[tuple[int, str]] = ()
) -> tuple[ReleasedCell, ...]:
    """What a release of this product adds to the history: its cells, the `hidden` ones as suppressed, and those of the
    reference steps it rests on and may show; empty sets add nothing. Every count, totals too, is an interval of its own
    (`rounded`); a share of two rounded numbers follows from them (`derived`).

    Raises `ValueError` where a cell does not say how many entities it has.
    """
    column_of = {name: i for i, name in enumerate(evidence.columns)}
    file, derived = spec.file_name, {name for name in spec.measures if follows(spec, name)}
    found: list[ReleasedCell] = []
    for kind, row in _rows(evidence):
        low = high = None
        value: Value = "exact"
        if row["measure"] in derived:
            value = "derived"
        elif (row["cell"], row["measure"]) in hidden:
            value = "suppressed"
        elif spec.measures[row["measure"]].is_count:
            low, high = count_interval(int(evidence.rows[row["cell"]][column_of[row["measure"]]]), base)
            value = "rounded" if low < high else "exact"
        place = cell_place(file, row["cell"], row["measure"])
        found += _cells(evidence, kind, row, _Told(release, place, value, low, high))
    return (*found, *cells_of_steps(evidence, release=release))


def without_plain(new: Sequence[ReleasedCell], others: Iterable[ReleasedCell]) -> tuple[ReleasedCell, ...]:
    """The new cells without sets of records that nothing stands beside: where every grouping shows every record once,
    each difference is one of cells of the table itself, and those are judged as they are."""
    known = {(cell.kind, cell.variable) for cell in others}
    groups: dict[tuple[str, str], list[ReleasedCell]] = defaultdict(list)
    for cell in new:
        if cell.unit == "record" and (cell.kind, cell.variable) not in known:
            groups[cell.kind, cell.variable].append(cell)
    plain = {key for key, cells in groups.items() if _is_plain(cells)}
    return tuple(cell for cell in new if (cell.kind, cell.variable) not in plain)


def _is_plain(cells: Sequence[ReleasedCell]) -> bool:
    if not all(cell.seen for cell in cells):
        return False
    sets = {(cell.grouping, cell.bitmap): cell.records for cell in cells}  # a mean counts what a count does
    finest = [records for (grouping, _), records in sets.items() if grouping == 0]
    if not finest:
        return False
    every = _shown_once(finest)
    if every is None:
        return False
    shown: dict[int, int] = defaultdict(int)
    for (grouping, _), records in sets.items():
        if grouping and not np.array_equal(records, every):
            shown[grouping] += len(records)
    return set(shown.values()) <= {len(every)}


def _shown_once(sets: Sequence[Numbers]) -> Numbers | None:
    """What these distinct sets have in all, ascending, if each of it is in one of them; a total of it is no part."""
    order = np.sort(np.concatenate(sets))
    every = order[np.append(True, order[1:] != order[:-1])]
    times = 1 + (len(sets) > 1 and max(map(len, sets)) == len(every))
    once = len(order) == times * len(every) and bool((order.reshape(-1, times) == every[:, None]).all())
    return every if once else None


@dataclass(frozen=True, slots=True)
class _Told:
    release: str
    place: str
    value: Value
    low: float | None = None
    high: float | None = None


def cells_of_steps(evidence: Evidence, *, release: str) -> Iterator[ReleasedCell]:
    """The cells of reference steps, taken as exact: the product was computed from them before rounding. Raises as
    `cells_of`."""
    for one in evidence.references:
        for kind, row in _rows(one):
            place = cell_place(f"reference:{one.name}", row["cell"], row["measure"])
            yield from _cells(one, kind, row, _Told(release, place, "exact"))
        yield from cells_of_steps(one, release=release)


def _cells(evidence: Evidence, kind: KindEvidence, row: Mapping[str, Any], told: _Told) -> Iterator[ReleasedCell]:
    """One row of a cell table under each of its variables."""
    tops = tuple(float(row[name]) for name in ("x1", "x2") if row[name] is not None)
    table = f"{evidence.name}:{row['measure']}:{row['part']}"
    grouping = evidence.groupings[row["cell"]] if evidence.groupings else 0
    labels = labels_of(evidence, row["cell"])
    behind = kind.records.cells.get((row["cell"], row["measure"], row["part"]))

    def made(variable: str, name: str, members: bytes, unit: Unit) -> ReleasedCell:
        return ReleasedCell(
            told.release, told.place, kind.kind, variable, row["op"], row["n"], name, members, told.low, told.high,
            told.value, row["x_total"], tops, table, grouping, unit, labels=labels,
        )  # fmt: skip

    for variable in variables(evidence, row):
        yield made(variable, row["bitmap"], kind.bitmaps[row["bitmap"]], "entity")
        if behind is not None:
            yield made(RECORDS + variable, behind, kind.records.sets[behind], "record")


def _rows(evidence: Evidence) -> Iterator[tuple[KindEvidence, dict[str, Any]]]:
    for kind in evidence.kinds:
        if kind.cells["n"].null_count():
            raise ValueError("a cell without a number of entities")
        for row in kind.cells.filter(kind.cells["n"] > 0).iter_rows(named=True):
            yield kind, row


def labels_of(evidence: Evidence, cell: int) -> tuple[str | None, ...]:
    """The values of a cell's dimensions as text; None for one that it is the total over, or that is missing."""
    return tuple(None if v is None else str(v) for v in evidence.rows[cell][: evidence.dimensions])


def cell_place(file: str, cell: int, column: str) -> str:
    """Where a cell (from 0) is, without saying any value: file, row in the file whose header is row 1, column."""
    return f"{file}#row={cell + 2};column={column}"


def variables(evidence: Evidence, row: Mapping[str, Any]) -> tuple[str, ...]:
    """The variables of one row of a cell table: numbers that may be subtracted from one another share one of them.

    Raises `ValueError` where the evidence does not say what an amount is made of.
    """
    if row["op"] in COUNTS:
        return (COUNT,)
    columns = evidence.made_of.get(row["measure"], {}).get(row["part"])
    if columns is None:
        raise ValueError("an amount that is made of nothing known")
    return tuple(f"amount:{column}" for column in columns) or (COUNT,)


def save(path: Path, cells: Iterable[ReleasedCell]) -> None:
    """Write cells to a parquet file that only its owner may read: entity sets are level-4 data."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = list(ReleasedCell.__dataclass_fields__)
    columns: list[Sequence[Any]] = list(zip(*map(astuple, cells), strict=True)) or [() for _ in names]
    table = pa.table([pa.array(c, type=t) for c, t in zip(columns, _types(pa), strict=True)], names=names)
    path.touch(mode=0o600)
    pq.write_table(table, path)


def load(path: Path) -> tuple[ReleasedCell, ...]:
    """Cells written by `save`."""
    import pyarrow.parquet as pq

    rows = pq.read_table(path).to_pylist()
    return tuple(
        ReleasedCell(**row | {"tops": tuple(row["tops"]), "labels": tuple(row.get("labels") or ())}) for row in rows
    )


def _types(pa: Any) -> list[Any]:
    text, number = pa.string(), pa.float64()
    told = [text, number, pa.list_(number), text, pa.int64(), text, text, pa.list_(text)]
    return [text, text, text, text, text, pa.int64(), text, pa.binary(), number, number, *told]
