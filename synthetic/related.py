"""Several tables at once: parents first, so that every key of a child exists in its simulated parent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import polars as pl

from policies.text import Text, UserError
from synthetic.fields import Constraint, Field
from synthetic.filling import Parent
from synthetic.simulate import Simulated, simulate


@dataclass(frozen=True, slots=True)
class TableInput:
    """One real table. Its fields' `references` name the other tables; `rows` is the wanted number of simulated rows.

    Without `rows` a table that references others keeps its real ratio to the first of them; any other its real size.
    """

    frame: pl.DataFrame
    fields: Sequence[Field]
    rows: int | None = None
    constraints: Sequence[Constraint] = ()


def simulate_related(
    tables: Mapping[str, TableInput], *, seed: int, engine: str = "auto", policy: Any = None
) -> dict[str, Simulated]:
    """Simulate the tables so that their joins work.

    Children draw whole parent rows with the real (capped) number of children a parent, so keys and everything copied
    with them agree. The result does not depend on the order of `tables`.

    Raises:
        UserError: `simulation.circular`, `simulation.parent_missing`, and those of `simulate`.
    """
    done: dict[str, Simulated] = {}
    for name in _parents_first(tables):
        table = tables[name]
        parents = {p: Parent(done[p].frame, tables[p].frame.height) for p in _parents(table)}
        done[name] = simulate(
            table.frame,
            table.fields,
            rows=_rows(table, parents),
            seed=crc32(f"{seed}/{name}".encode()),
            engine=engine,
            policy=policy,
            name=name,
            constraints=table.constraints,
            parents=parents,
        )
    return done


def _parents(table: TableInput) -> list[str]:
    return list(dict.fromkeys(f.references[0] for f in table.fields if f.references))


def _rows(table: TableInput, parents: Mapping[str, Parent]) -> int:
    if table.rows is not None:
        return table.rows
    first = next(iter(parents.values()), None)
    if first is None or not first.real_rows:
        return max(1, table.frame.height)
    return max(1, round(table.frame.height * first.frame.height / first.real_rows))


def _parents_first(tables: Mapping[str, TableInput]) -> list[str]:
    order: list[str] = []
    waiting = sorted(tables)
    while waiting:
        ready = [n for n in waiting if all(p in order or p not in tables for p in _parents(tables[n]))]
        if not ready:
            raise UserError(
                "simulation.circular",
                Text("这些表互相引用,排不出先后:{t}。", "These tables reference each other in a circle: {t}.").fill(
                    t="、".join(waiting)
                ),
                fix=Text("请去掉其中一个引用。", "Remove one of the references."),
                tables=waiting,
            )
        for name in ready:
            _check_parents(name, tables)
        order += ready
        waiting = [n for n in waiting if n not in ready]
    return order


def _check_parents(name: str, tables: Mapping[str, TableInput]) -> None:
    for parent in _parents(tables[name]):
        if parent not in tables:
            raise UserError(
                "simulation.parent_missing",
                Text("表“{n}”引用的表“{p}”没有给出。", "Table {n} references table {p}, which was not given.").fill(
                    n=name, p=parent
                ),
                fix=Text("请把父表一起交来,或去掉引用。", "Give the parent too, or remove the reference."),
                table=name,
                parent=parent,
            )
