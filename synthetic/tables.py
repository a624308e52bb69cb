"""Tables that reference each other: which come first, which hang together, how many rows each gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from policies.text import Text, UserError
from synthetic.fields import Constraint, Field
from synthetic.given import Given
from synthetic.links import circular


@dataclass(frozen=True, slots=True)
class TableInput:
    """One real table. Its fields' `references` name the other tables, or itself; `rows` is the wanted number of rows.

    Without `rows` a table keeps its real ratio to the largest table it references; see `sizes_of`.
    """

    frame: pl.DataFrame
    fields: Sequence[Field]
    rows: int | None = None
    constraints: Sequence[Constraint] = ()
    given: Given = field(default_factory=dict)


def parents_of(name: str, table: TableInput) -> list[str]:
    """The other tables that `table` references, in plan order."""
    return [p for p in dict.fromkeys(f.references[0] for f in table.fields if f.references) if p != name]


def sizes_of(tables: Mapping[str, TableInput], rows: int | None, edition: Any) -> dict[str, int]:
    """How many rows each table gets.

    `rows` are those of the largest table that references no other, code lists aside, in each group of tables that hang
    together; the others of the group keep their real ratio to it. A code list (a table too small to be learned, to
    which others refer) keeps its real size, and so does everything without `rows`.
    """
    small = int(edition.by_check("minimum_rows").parameters.rows)
    scale: dict[str, float] = {}
    for group in _groups(tables):
        lists = {n for n in group if len(group) > 1 and tables[n].frame.height < small and not parents_of(n, tables[n])}
        bases = [n for n in group - lists if set(parents_of(n, tables[n])) <= lists] or sorted(group)
        largest = max(tables[n].frame.height for n in bases)
        for name in (n for n in parents_first(tables) if n in group):
            table, above = tables[name], [p for p in parents_of(name, tables[name]) if p not in lists]
            if table.rows is not None:
                scale[name] = table.rows / max(1, table.frame.height)
            elif name in lists:
                scale[name] = 1.0
            elif above:
                scale[name] = scale[max(above, key=lambda p: (tables[p].frame.height, p))]
            else:
                scale[name] = 1.0 if rows is None else rows / max(1, largest)
    return {
        name: table.rows if table.rows is not None else _scaled(table.frame.height, scale[name], rows)
        for name, table in tables.items()
    }


def _scaled(height: int, scale: float, rows: int | None) -> int:
    """A table without rows is made of `rows` from its structure."""
    return max(1, round(height * scale)) if height else (rows or 1)


def _groups(tables: Mapping[str, TableInput]) -> list[set[str]]:
    """Tables that hang together by references, directly or through others."""
    groups: list[set[str]] = []
    for name, table in tables.items():
        near = {name, *(p for p in parents_of(name, table) if p in tables)}
        touched = [g for g in groups if g & near]
        groups = [*(g for g in groups if not g & near), near.union(*touched)]
    return groups


def parents_first(tables: Mapping[str, TableInput]) -> list[str]:
    """The tables in an order in which parents come before their children.

    Raises:
        UserError: `simulation.circular`, `simulation.parent_missing`.
    """
    order: list[str] = []
    waiting = sorted(tables)
    while waiting:
        ready = [n for n in waiting if all(p in order or p not in tables for p in parents_of(n, tables[n]))]
        if not ready:
            raise circular(waiting)
        for name in ready:
            _check_parents(name, tables)
        order += ready
        waiting = [n for n in waiting if n not in ready]
    return order


def _check_parents(name: str, tables: Mapping[str, TableInput]) -> None:
    for one in (f for f in tables[name].fields if f.references):
        assert one.references is not None
        parent, column = one.references
        if parent not in tables:
            raise UserError(
                "simulation.parent_missing",
                Text("表“{n}”的列“{c}”引用表“{p}”,但没有给出这张表。",
                     "Column {c} of table {n} references table {p}, which was not given.").fill(
                    n=name, p=parent, c=one.name
                ),
                fix=Text("请把父表一起交来,或去掉引用。", "Give the parent too, or remove the reference."),
                table=name,
                parent=parent,
            )  # fmt: skip
        if column not in tables[parent].frame.columns:
            raise UserError(
                "plan.unknown_column",
                Text("表“{n}”的列“{c}”引用“{p}.{o}”,但表“{p}”没有这一列。",
                     "Column {c} of table {n} references {p}.{o}, which does not exist.").fill(
                    n=name, p=parent, c=one.name, o=column
                ),
                fix=Text("请改成父表中已有的列名。", "Use a column name of the parent."),
                columns=[column],
            )  # fmt: skip
