"""Released cells as the history keeps them: who was in each, under which variable, with which released interval.

A recalled or expired release stays: it has been seen. Cells are compared within one kind of entity and one variable;
counts of a kind are one variable whatever they count, because a reader can subtract any two of them. An amount is named
by what it is made of, never by what a step calls it: a cell stands once under every source column it is computed from,
so that any two amounts over a common column are compared.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pyroaring import BitMap

from sandbox.products.evidence import Evidence, KindEvidence
from sandbox.products.releasing import count_interval
from sandbox.products.spec import JobSpec

COUNT = "count"
COUNTS = ("count", "count_distinct")


@dataclass(frozen=True)
class ReleasedCell:
    """One released number. `low`…`high` is what its rounded value lets a reader conclude (None: taken as exact)."""

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

    @cached_property
    def entities(self) -> BitMap:
        return BitMap.deserialize(self.members)


def cells_of(
    spec: JobSpec, evidence: Evidence, *, release: str, base: int, hidden: Container[tuple[int, str]] = ()
) -> tuple[ReleasedCell, ...]:
    """What a release of this product adds to the history: its cells without the `hidden` ones, and those of the
    reference steps it rests on and may show; empty sets add nothing.

    Raises `ValueError` where a cell does not say how many entities it has.
    """
    column_of = {name: i for i, name in enumerate(evidence.columns)}
    found = []
    for kind, row in _rows(evidence):
        if (row["cell"], row["measure"]) in hidden:
            continue
        low = high = None
        if row["op"] in COUNTS and row["part"] == "value":
            low, high = count_interval(int(evidence.rows[row["cell"]][column_of[row["measure"]]]), base)
        place = cell_place(spec.file_name, row["cell"], row["measure"])
        for name in variables(evidence, row):
            head = (release, place, kind.kind, name, row["op"], row["n"], row["bitmap"])
            found.append(ReleasedCell(*head, kind.bitmaps[row["bitmap"]], low, high))
    return (*found, *_of_steps(evidence, release))


def _of_steps(evidence: Evidence, release: str) -> Iterator[ReleasedCell]:
    """The cells of reference steps, taken as exact: the product was computed from them before rounding."""
    for one in evidence.references:
        for kind, row in _rows(one):
            place = cell_place(f"reference:{one.name}", row["cell"], row["measure"])
            for name in variables(one, row):
                head = (release, place, kind.kind, name, row["op"], row["n"], row["bitmap"])
                yield ReleasedCell(*head, kind.bitmaps[row["bitmap"]])
        yield from _of_steps(one, release)


def _rows(evidence: Evidence) -> Iterator[tuple[KindEvidence, dict[str, Any]]]:
    for kind in evidence.kinds:
        if kind.cells["n"].null_count():
            raise ValueError("a cell without a number of entities")
        for row in kind.cells.filter(kind.cells["n"] > 0).iter_rows(named=True):
            yield kind, row


def cell_place(file: str, cell: int, column: str) -> str:
    """Where a cell is, without saying any value: file, data row counted from 1, column."""
    return f"{file}#row={cell + 1};column={column}"


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

    return tuple(ReleasedCell(**row) for row in pq.read_table(path).to_pylist())


def _types(pa: Any) -> list[Any]:
    text = pa.string()
    return [text, text, text, text, text, pa.int64(), text, pa.binary(), pa.float64(), pa.float64()]
