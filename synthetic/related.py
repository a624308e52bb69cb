"""Several tables at once: parents first, so that every key of a child exists in its simulated parent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import polars as pl

from policies.text import Text, UserError
from synthetic.fields import Constraint, Field
from synthetic.links import Parent, circular, widened
from synthetic.simulate import Simulated, simulate


@dataclass(frozen=True, slots=True)
class TableInput:
    """One real table. Its fields' `references` name the other tables, or itself; `rows` is the wanted number of rows.

    Without `rows` a table keeps its real ratio to the largest table it references; see `sizes_of`.
    """

    frame: pl.DataFrame
    fields: Sequence[Field]
    rows: int | None = None
    constraints: Sequence[Constraint] = ()


def simulate_related(
    tables: Mapping[str, TableInput], *, seed: int, rows: int | None = None, engine: str = "auto", policy: Any = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Simulated]:  # fmt: skip
    """Simulate the tables so that their joins work.

    Children draw whole parent rows with the real (capped) number of children a parent, so keys and everything copied
    with them agree; other values of a child follow a few telling columns of its parents. The result does not depend on
    the order of `tables`.

    Args:
        rows: see `sizes_of`; each table's own `rows` come first.
        progress: called with a table's name before it is made, how many are done, and how many there are.

    Raises:
        UserError: `simulation.circular`, `simulation.parent_missing`, and those of `simulate`.
    """
    order, sizes = parents_first(tables), sizes_of(tables, rows, policy)
    done: dict[str, Simulated] = {}
    wide: dict[str, Parent] = {}
    for number, name in enumerate(order):
        if progress:
            progress(name, number, len(order))
        table, parents = tables[name], {p: wide[p] for p in parents_of(name, tables[name])}
        done[name] = simulate(
            table.frame, table.fields, rows=sizes[name], seed=crc32(f"{seed}/{name}".encode()), engine=engine,
            policy=policy, name=name, constraints=table.constraints, parents=parents,
            also_real=_known_elsewhere(name, tables),
        )  # fmt: skip
        done[name].manifest["parents"] = sorted(parents)
        wide[name] = widened(Parent(done[name].frame, table.frame.height, table.frame, table.fields), parents)
    return {name: done[name] for name in tables}


def _known_elsewhere(name: str, tables: Mapping[str, TableInput]) -> dict[str, pl.Series]:
    """The real values under which other tables refer to this one; some are of rows that it does not have."""
    found: dict[str, list[pl.Series]] = {}
    for child in tables.values():
        for field in (f for f in child.fields if f.references and f.references[0] == name):
            assert field.references is not None
            values = child.frame.get_column(field.name).drop_nulls().unique().cast(pl.String).alias("value")
            found.setdefault(field.references[1], []).append(values)
    return {column: pl.concat(parts).unique() for column, parts in found.items()}


def parents_of(name: str, table: TableInput) -> list[str]:
    """The other tables that `table` references, in plan order."""
    return [p for p in dict.fromkeys(f.references[0] for f in table.fields if f.references) if p != name]


def sizes_of(tables: Mapping[str, TableInput], rows: int | None, policy: Any = None) -> dict[str, int]:
    """How many rows each table gets.

    `rows` are those of the largest table that references no other, in each group of tables that hang together; the
    others of the group keep their real ratio to it. A table too small to be learned (a code list) keeps its real size
    in a group, and so does everything without `rows`.
    """
    edition = policy or _policy_in_force()
    small = int(edition.by_check("minimum_rows").parameters.rows)
    scale: dict[str, float] = {}
    for group in _groups(tables):
        roots = [n for n in group if not parents_of(n, tables[n])]
        largest = max(tables[n].frame.height for n in roots)
        for name in (n for n in parents_first(tables) if n in group):
            table, above = tables[name], parents_of(name, tables[name])
            first = max(above, key=lambda p: (tables[p].frame.height, p), default=None)
            if table.rows is not None:
                scale[name] = table.rows / max(1, table.frame.height)
            elif len(group) > 1 and table.frame.height < small and not above:
                scale[name] = 1.0
            elif first is not None and tables[first].frame.height >= small:
                scale[name] = scale[first]
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
    for field in (f for f in tables[name].fields if f.references):
        assert field.references is not None
        parent, column = field.references
        if parent not in tables:
            raise UserError(
                "simulation.parent_missing",
                Text("表“{n}”的列“{c}”引用表“{p}”,但没有给出这张表。",
                     "Column {c} of table {n} references table {p}, which was not given.").fill(
                    n=name, p=parent, c=field.name
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
                    n=name, p=parent, c=field.name, o=column
                ),
                fix=Text("请改成父表中已有的列名。", "Use a column name of the parent."),
                columns=[column],
            )  # fmt: skip


def _policy_in_force() -> Any:
    from policies.editions import load

    return load("simulation")
