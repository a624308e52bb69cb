"""Several tables at once: parents first, so that every key of a child exists in its simulated parent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

import polars as pl

from policies.text import Text, UserError
from synthetic.families import better_of, draw_families
from synthetic.fields import check_plan, kept
from synthetic.links import Family, Parent, widened
from synthetic.planning import Planner
from synthetic.simulate import Simulated, policy_in_force, simulate
from synthetic.tables import TableInput, parents_first, parents_of, sizes_of


def simulate_related(
    tables: Mapping[str, TableInput], *, seed: int, rows: int | None = None, engine: str = "auto", policy: Any = None,
    planner: Planner | None = None, progress: Callable[[str, str, float], None] | None = None,
) -> dict[str, Simulated]:  # fmt: skip
    """Simulate the tables so that their joins work.

    Children draw whole parent rows with the real (capped) number of children a parent, so keys and everything copied
    with them agree; other values of a child follow a few telling columns of its parents and grandparents. The result
    does not depend on the order of `tables`.

    Args:
        rows: see `sizes_of`; each table's own `rows` come first.
        engine: "hma" fits one model of all tables that hang together and are large enough to learn from (the others
            are made from their structure); "auto" tries that too where they are small, and shows both.
        planner: see `simulate`.
        progress: told a table, its step (see `batches.STEPS`) and the share of all tables done; raising cancels.

    Raises:
        UserError: `simulation.circular`, `simulation.parent_missing`, `engine.too_large`, `engine.no_family`, and those
            of `simulate`; a plan that does not hold is refused before anything is made, with the `table` it is of.
    """
    edition = policy or policy_in_force()
    _check_plans(tables)
    order, sizes = parents_first(tables), sizes_of(tables, rows, edition)
    present = {name: _present(table) for name, table in tables.items()}
    run = _Run(tables, present, order, sizes, seed, edition, planner, progress)
    if engine == "hma":
        return run.all(engine, draw_families(present, order, sizes, seed, edition, asked=True))
    made = run.all(engine, {})
    allowed = "hma" in edition.by_check("engines").parameters.allowed
    tried = engine == "auto" and allowed and not any(t.given for t in tables.values())  # HMA can fix no column
    families = draw_families(present, order, sizes, seed, edition, asked=False) if tried else {}
    return better_of(made, run.all("hma", families)) if families else made


@dataclass(frozen=True, slots=True)
class _Run:
    """All tables once through, parents first. `present` are they without the columns that are left out."""

    tables: Mapping[str, TableInput]
    present: Mapping[str, TableInput]
    order: Sequence[str]
    sizes: Mapping[str, int]
    seed: int
    edition: Any
    planner: Planner | None
    progress: Callable[[str, str, float], None] | None

    def all(self, engine: str, families: Mapping[str, Family]) -> dict[str, Simulated]:
        """`families`: tables that an engine of several tables has drawn already; the others use "auto" beside it."""
        done: dict[str, Simulated] = {}
        wide: dict[str, Parent] = {}
        for name in self.order:
            table = self.present[name]
            parents = {p: wide[p] for p in parents_of(name, table)}
            used = engine if not families or name in families else "auto"
            done[name] = self._one(name, used, families.get(name, Family()), parents, len(done))
            wide[name] = widened(Parent(done[name].frame, table.frame.height, table.frame, table.fields), parents)
        return {name: done[name] for name in self.tables}

    def _one(self, name: str, engine: str, family: Family, parents: Mapping[str, Parent], number: int) -> Simulated:
        def told(step: str, share: float) -> None:
            if self.progress:
                self.progress(name, step, (number + share) / len(self.order))

        table = self.tables[name]
        rows = self.sizes[name] if family.rows is None else family.rows
        made = simulate(
            table.frame, table.fields, rows=rows, seed=crc32(f"{self.seed}/{name}".encode()), engine=engine,
            policy=self.edition, name=name, constraints=table.constraints, parents=parents,
            family=replace(family, known=_known_elsewhere(name, self.tables)), given=table.given,
            planner=self.planner, progress=told,
        )  # fmt: skip
        made.manifest["parents"] = sorted(parents)
        return made


def _present(table: TableInput) -> TableInput:
    fields = kept(table.fields)
    return replace(table, fields=fields, frame=table.frame.select(f.name for f in fields))


def _check_plans(tables: Mapping[str, TableInput]) -> None:
    for name, table in tables.items():
        try:
            check_plan(table.fields, table.frame.columns, table.constraints)
        except UserError as refused:
            said = Text(f"表“{name}”:{refused.text.zh}", f"Table {name}: {refused.text.en}")
            raise UserError(refused.code, said, fix=refused.fix, **{"table": name, **refused.detail}) from None


def _known_elsewhere(name: str, tables: Mapping[str, TableInput]) -> dict[str, pl.Series]:
    """The real values under which other tables refer to this one; some are of rows that it does not have."""
    found: dict[str, list[pl.Series]] = {}
    for child in tables.values():
        for field in (f for f in child.fields if f.references and f.references[0] == name):
            assert field.references is not None
            values = child.frame.get_column(field.name).drop_nulls().unique().cast(pl.String).alias("value")
            found.setdefault(field.references[1], []).append(values)
    return {column: pl.concat(parts).unique() for column, parts in found.items()}
