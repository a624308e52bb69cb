"""Released cells as the history keeps them: who was in each, under which variable, with which released interval.

A recalled or expired release stays: it has been seen. Cells are compared within one kind of entity and one variable;
counts of a kind are one variable whatever they count, because a reader can subtract any two of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pyroaring import BitMap

from sandbox.products.artefact import count_interval
from sandbox.products.compile import Partial, partials
from sandbox.products.evidence import Evidence
from sandbox.products.spec import JobSpec

COUNT = "count"


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


def cells_of(spec: JobSpec, evidence: Evidence, *, release: str, base: int) -> tuple[ReleasedCell, ...]:
    """What a release of this product adds to the history; empty sets add nothing.

    Raises `ValueError` where a cell does not say how many entities it has.
    """
    found = []
    by_name = {(p.measure, p.part): p for p in partials(spec)}
    column_of = {name: i for i, name in enumerate(evidence.columns)}
    for kind in evidence.kinds:
        if kind.cells["n"].null_count():
            raise ValueError("a cell without a number of entities")
        for row in kind.cells.filter(kind.cells["n"] > 0).iter_rows(named=True):
            partial = by_name[row["measure"], row["part"]]
            low = high = None
            if not partial.is_amount:
                low, high = count_interval(int(evidence.rows[row["cell"]][column_of[row["measure"]]]), base)
            place = cell_place(spec.file_name, row["cell"], row["measure"])
            head = (release, place, kind.kind, variable(spec, partial), partial.op, row["n"], row["bitmap"])
            found.append(ReleasedCell(*head, kind.bitmaps[row["bitmap"]], low, high))
    return tuple(found)


def cell_place(file: str, cell: int, column: str) -> str:
    """Where a cell is, without saying any value: file, data row counted from 1, column."""
    return f"{file}#row={cell + 1};column={column}"


def variable(spec: JobSpec, partial: Partial) -> str:
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
