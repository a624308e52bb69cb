"""Released cells as the history keeps them: who was in each, under which variable, with which released interval.

A recalled or expired release stays: it has been seen. Cells are compared within one kind of entity and one variable;
counts of a kind are one variable whatever they count, because a reader can subtract any two of them.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pyroaring import BitMap

from sandbox.products.compile import Partial, partials
from sandbox.products.evidence import Evidence, KindEvidence
from sandbox.products.releasing import count_interval
from sandbox.products.spec import Cube, JobSpec

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
    by_name = {(p.measure, p.part): p for p in partials(spec)}
    column_of = {name: i for i, name in enumerate(evidence.columns)}
    found = []
    for kind, row in _rows(evidence):
        if (row["cell"], row["measure"]) in hidden:
            continue
        partial = by_name[row["measure"], row["part"]]
        low = high = None
        if partial.op in COUNTS and row["part"] == "value":
            low, high = count_interval(int(evidence.rows[row["cell"]][column_of[row["measure"]]]), base)
        place = cell_place(spec.file_name, row["cell"], row["measure"])
        head = (release, place, kind.kind, variable(spec, partial), partial.op, row["n"], row["bitmap"])
        found.append(ReleasedCell(*head, kind.bitmaps[row["bitmap"]], low, high))
    return (*found, *_of_steps(spec, evidence, release))


def _of_steps(spec: JobSpec, evidence: Evidence, release: str) -> Iterator[ReleasedCell]:
    """The cells of reference steps, taken as exact: the product was computed from them before rounding."""
    cubes = {step.name: step for step in spec.reference}
    for one in evidence.references:
        cube = cubes.get(one.name)
        by_name = {(p.measure, p.part): p for p in partials(cube)} if cube else {}
        for kind, row in _rows(one):
            partial = by_name.get((row["measure"], row["part"]))
            name = variable(cube, partial) if cube and partial else _unnamed(row)
            place = cell_place(f"reference:{one.name}", row["cell"], row["measure"])
            head = (release, place, kind.kind, name, row["op"], row["n"], row["bitmap"])
            yield ReleasedCell(*head, kind.bitmaps[row["bitmap"]])
        yield from _of_steps(spec, one, release)


def _unnamed(row: Mapping[str, Any]) -> str:
    """The variable of a sub-query that the job itself does not name."""
    return COUNT if row["op"] in COUNTS else f"amount:{row['measure']}"


def _rows(evidence: Evidence) -> Iterator[tuple[KindEvidence, dict[str, Any]]]:
    for kind in evidence.kinds:
        if kind.cells["n"].null_count():
            raise ValueError("a cell without a number of entities")
        for row in kind.cells.filter(kind.cells["n"] > 0).iter_rows(named=True):
            yield kind, row


def cell_place(file: str, cell: int, column: str) -> str:
    """Where a cell is, without saying any value: file, data row counted from 1, column."""
    return f"{file}#row={cell + 1};column={column}"


def variable(spec: Cube, partial: Partial) -> str:
    """Numbers that may be subtracted from one another share this name."""
    if not partial.is_amount:
        return COUNT
    column = str(partial.column)
    if column in spec.derive:
        column = json.dumps(spec.derive[column].model_dump(mode="json", exclude_none=True), sort_keys=True)
        return f"amount:{column}"
    return f"amount:{spec.split(column)[1]}"


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
