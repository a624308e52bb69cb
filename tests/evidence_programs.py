"""Generated jobs and small tables for the properties of evidence; `tests.evidence_reference` says what they mean."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import strategies as st

from sandbox.products.source import EntityKey, Source
from tests.evidence_reference import (
    MEASURES,
    MISSING,
    Joined,
    Keep,
    Made,
    Outcome,
    PerPerson,
    Rows,
    Stacked,
    Step,
    outcome,
)

Record = tuple[int | None, str | None, int | None, int | None]
"""pid, district, x, y"""
INPUTS = ("t", "u", "w")
"""Two tables of persons and the merchant's own upload"""
PIDS = (-1, 0, 1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Program:
    """Tables, a chain of steps called s1, s2, …, and a cube over the last one."""

    tables: Mapping[str, tuple[Record, ...]]
    steps: tuple[Step, ...]
    dimensions: tuple[str, ...]
    margins: tuple[tuple[str, ...], ...]
    measures: tuple[str, ...]

    @property
    def spec(self) -> dict[str, Any]:
        product: dict[str, Any] = {
            "from": self.last, "dimensions": list(self.dimensions),
            "measures": {name: MEASURES[name] for name in self.measures},
        }  # fmt: skip
        whole: dict[str, Any] = {
            "job": "generated", "edition": 2,
            "inputs": {"t": {"grant": "G-1"}, "u": {"grant": "G-2"}, "w": {"upload": "U-1"}},
            "product": product | ({"margins": [list(m) for m in self.margins]} if self.margins else {}),
            "output": {"kind": "aggregate", "format": "csv"},
        }  # fmt: skip
        return whole | ({"prepare": [{"name": f"s{i}", "sql": s.sql()} for i, s in enumerate(self.steps, 1)]})

    @property
    def last(self) -> str:
        return f"s{len(self.steps)}"

    def rows(self) -> Rows:
        """The rows the cube is made from, with their owners. Raises `Mixed`."""
        tables = {name: [_owned(name, record) for record in records] for name, records in self.tables.items()}
        for number, step in enumerate(self.steps, 1):
            tables[f"s{number}"] = step.rows(tables)
        return tables[self.last]

    def outcome(self) -> Outcome:
        """What the job gives. Raises `Mixed`."""
        return outcome(self.rows(), self.dimensions, self.margins, self.measures)

    def without(self, pid: int) -> Program:
        return self.changed(lambda name, r: [] if name != "w" and r[0] == pid else [r])

    def changed(self, change: Any) -> Program:
        """The same job on other tables: `change(table, record)` gives the records that take its place."""
        tables = {n: tuple(new for r in records for new in change(n, r)) for n, records in self.tables.items()}
        return replace(self, tables=tables)


def _owned(name: str, record: Record) -> tuple[dict[str, Any], Any]:
    owner = None if name == "w" else MISSING if record[0] is None else record[0]
    return dict(zip(("pid", "district", "x", "y"), record, strict=True)), owner


@contextmanager
def stored(program: Program) -> Iterator[dict[str, Source]]:
    """The program's tables as sources."""
    schema = {"pid": pl.Int64, "district": pl.String, "x": pl.Int64, "y": pl.Int64}
    with tempfile.TemporaryDirectory() as folder:
        found = {}
        for name, records in program.tables.items():
            path = Path(folder) / f"{name}.parquet"
            pl.DataFrame(list(records), schema=schema, orient="row").write_parquet(path)
            keys = () if name == "w" else (EntityKey("person", "pid"),)
            found[name] = Source((str(path),), f"sha256:{name}", keys)
        yield found


def records(pids: Sequence[int | None], low: int = -3, most: int = 8) -> st.SearchStrategy[tuple[Record, ...]]:
    numbers = st.one_of(st.none(), st.integers(low, 5))
    one = st.tuples(st.sampled_from(pids), st.sampled_from(["东", "西", None]), numbers, numbers)
    return st.lists(one, max_size=most).map(tuple)


@st.composite
def programs(draw: st.DrawFn, low: int = -3) -> Program:
    """A program of one to three steps. `low`: the smallest amount."""
    keyed = records([*PIDS, None], low)
    tables = {"t": draw(keyed), "u": draw(keyed), "w": draw(records(PIDS, low, most=4))}
    steps: list[Step] = []
    for number in range(draw(st.integers(1, 3))):
        known = [*INPUTS, *(f"s{i}" for i in range(1, number + 1))]
        # the chain goes on: a step reads the one before it
        table = f"s{number}" if number else draw(st.sampled_from(("t", "u")))
        other = draw(st.sampled_from(known))
        keep = Keep(table, draw(st.sampled_from(("x", "y"))), draw(st.integers(-2, 2)))
        joined = Joined(table, other, draw(st.booleans()))
        steps.append(draw(st.sampled_from([keep, Made(table), Stacked(table, other), joined, PerPerson(table)])))
    dimensions = draw(st.sampled_from([(), ("district",), ("district", "y")]))
    margins = draw(st.sampled_from([(), ((),), (("district",), ())])) if len(dimensions) == 2 else ()
    measures = draw(st.lists(st.sampled_from(sorted(MEASURES)), min_size=1, max_size=4, unique=True))
    return Program(tables, tuple(steps), dimensions, margins, tuple(measures))
