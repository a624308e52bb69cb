"""Which columns of a child come from which row of a parent, and what may be read beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from policies.text import Text, UserError
from synthetic.columns import conform
from synthetic.engines.base import Engine
from synthetic.fields import Dtype, Field
from synthetic.invariants import Constraint


@dataclass(frozen=True, slots=True)
class Parent:
    """A simulated parent table, and how many rows the real one has (parents without children are counted by it).

    With the `real` rows and the `fields` of the parent, values of a child follow those of its parent; without them
    only keys and copied columns do.
    """

    frame: pl.DataFrame
    real_rows: int
    real: pl.DataFrame | None = None
    fields: Sequence[Field] = ()


@dataclass(frozen=True, slots=True)
class Family:
    """What related tables know about a table.

    `known`: by column, real values under which other tables refer to its rows; none of them may be made anew. `held`
    says which real rows are held out, where whole families were split. `engine` draws with the rest of the family.
    """

    known: Mapping[str, pl.Series] = field(default_factory=dict)
    held: np.ndarray | None = None
    engine: Engine | None = None
    rows: int | None = None
    """rows that `engine` has drawn; they are all"""


@dataclass(frozen=True, slots=True)
class Link:
    """Columns of a child that are taken from one row of `table`: pairs of (child's column, parent's column)."""

    table: str
    pairs: tuple[tuple[str, str], ...]

    @property
    def column(self) -> str:
        """The child's first linked column; names the link where a table has two of them to one parent."""
        return self.pairs[0][0]

    def key(self, parent: Parent) -> tuple[tuple[str, str], ...]:
        """The pairs that tell the parent's row: those with a unique column there, else all of them together."""
        unique = {f.name for f in parent.fields if f.unique or f.semantic == "key"}
        return tuple(p for p in self.pairs if p[1] in unique) or self.pairs


def links(fields: Sequence[Field]) -> list[Link]:
    """The links of a table in plan order.

    Fields that reference different columns of one table belong to one row of it. A second reference to the same column
    starts a second link (origin and destination are two airports); what else belongs to it says so with
    `follows.entity`.
    """
    found: list[Link] = []
    for one in (f for f in fields if f.references):
        assert one.references is not None
        table, column = one.references
        place = _place(found, one, table, column)
        pairs = (*(found[place].pairs if place < len(found) else ()), (one.name, column))
        found[place : place + 1] = [Link(table, pairs)]
    return found


def circular(names: Sequence[str]) -> UserError:
    """The error for tables, or columns of one table, that reference each other in a circle."""
    return UserError(
        "simulation.circular",
        Text("这些表互相引用,排不出先后:{t}。", "These tables reference each other in a circle: {t}.").fill(
            t="、".join(names)
        ),
        fix=Text(
            "请在字段说明里去掉其中一个引用;表引用自己(如上级编号引用编号)是可以的。",
            "Remove one of the references in the plan; a table may reference itself (a manager's number its number).",
        ),
        tables=list(names),
    )


def _place(found: Sequence[Link], one: Field, table: str, column: str) -> int:
    for number, link in enumerate(found):
        if link.table == table and one.follows.get("entity") in {child for child, _ in link.pairs}:
            return number
    for number, link in enumerate(found):
        if link.table == table and column not in {name for _, name in link.pairs}:
            return number
    return len(found)


def copied(parent: Parent, column: str, child: Field) -> pl.Series:
    """A column of the simulated parent under the name and in the type of the child's field."""
    plain = Field(child.name, child.dtype, child.semantic)
    return conform(parent.frame.select(pl.col(column).alias(child.name)), [plain]).frame.get_column(child.name)


def beside(
    frame: pl.DataFrame, fields: Sequence[Field], constraints: Iterable[Constraint], parents: Mapping[str, Parent]
) -> pl.DataFrame:
    """The child's rows with every parent column that a constraint names as `table.column` or `link.column`."""
    by_name = {f.name: f for f in fields}
    paths = {c for rule in constraints for c in rule.columns} - set(frame.columns)
    for path in sorted(paths):
        head, _, column = path.partition(".")
        link = next((x for x in links(fields) if head in (x.table, x.column)), None)
        if link is None or column not in parents[link.table].frame.columns:
            continue  # stays absent, so the rule that names it counts as broken
        parent = parents[link.table]
        wanted = next((f for f in parent.fields if f.name == column), None) or _as_it_is(parent, column)
        value = reach(frame, by_name, link, parent, [wanted]).to_series()
        frame = frame.with_columns(value.alias(path))
    return frame


def _as_it_is(parent: Parent, column: str) -> Field:
    """A column of a parent whose plan is not known, by its own type."""
    dtype = parent.frame.schema[column]
    kind: Dtype = "text"
    if dtype == pl.Date:
        kind = "date"
    elif isinstance(dtype, pl.Datetime):
        kind = "timestamp"
    elif dtype.is_numeric():
        kind = "integer" if dtype.is_integer() else "decimal"
    return Field(column, kind, "constant")


def reach(
    frame: pl.DataFrame, by_name: Mapping[str, Field], link: Link, parent: Parent, wanted: Sequence[Field]
) -> pl.DataFrame:
    """The `wanted` columns of the parent row that each row of `frame` links to, in the types of their fields; missing
    where there is none. Of parent rows with one key the first counts."""
    pairs = link.key(parent)
    names = [child for child, _ in pairs]
    keys = pl.DataFrame([copied(parent, column, by_name[child]).cast(pl.String) for child, column in pairs])
    values = [copied(parent, f.name, f).alias(f"\0{f.name}") for f in wanted]
    there = keys.hstack(values).drop_nulls(names).unique(names, keep="first", maintain_order=True)
    asked = frame.select(pl.col(n).cast(pl.String) for n in names)
    joined = asked.join(there, on=names, how="left", maintain_order="left")
    return joined.select(pl.col(f"\0{f.name}").alias(f.name) for f in wanted)


def widened(parent: Parent, above: Mapping[str, Parent]) -> Parent:
    """The parent with the learned columns of its own parents beside its own, so that values of a child can follow its
    grandparents too."""
    if parent.real is None:
        return parent
    by_name = {f.name: f for f in parent.fields}
    for link in links(parent.fields):
        higher = above.get(link.table)
        if higher is None or higher.real is None:
            continue
        wanted = [f for f in higher.fields if f.learned]
        names = {f.name: f"{link.column}→{f.name}" for f in wanted}
        made = reach(parent.frame, by_name, link, higher, wanted).rename(names)
        real = reach(parent.real, by_name, link, replace(higher, frame=higher.real), wanted).rename(names)
        fields = [replace(f, name=names[f.name], unique=False) for f in wanted]
        parent = replace(
            parent, frame=parent.frame.hstack(made), real=parent.real.hstack(real), fields=(*parent.fields, *fields)
        )
    return parent


def orphans(frame: pl.DataFrame, fields: Sequence[Field], parents: Mapping[str, Parent]) -> dict[str, int]:
    """Rows by link whose linked values are not found together in one row of the parent. Missing links are none."""
    by_name = {f.name: f for f in fields}
    found = {}
    for link in links(fields):
        names = [child for child, _ in link.pairs]
        there = pl.DataFrame(
            [copied(parents[link.table], name, by_name[child]).cast(pl.String) for child, name in link.pairs]
        ).unique()
        asked = frame.select(pl.col(n).cast(pl.String) for n in names)
        asked = asked.filter(pl.any_horizontal(pl.col(names).is_not_null()))
        complete = asked.drop_nulls()
        found[link.column] = complete.join(there, on=names, how="anti").height
        for name in names if complete.height < asked.height else ():
            part = asked.select(name).drop_nulls()
            found[link.column] += part.join(there.select(name).unique(), on=name, how="anti").height
    return found
