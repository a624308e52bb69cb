"""Which columns of its inputs the texts of a job can mean, and which of them reach a measure as they are."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from sandbox.products.compile import cube_sql, partials, resolved
from sandbox.products.spec import Cube, Reference
from sandbox.products.spec_parts import Step

if TYPE_CHECKING:
    from sqlglot import exp

    from sandbox.products.program import Program


def mentioned(program: Program, alias: str) -> list[str]:
    """The columns of an input that some text names, in the order of the file; all of them where a text has a star."""
    names = set[str]()
    texts = [str(item.sql) for item in program.items if isinstance(item, Step)]
    for text in [*texts, *(cube_sql(task.cube) for task in program.tasks)]:
        own = _names(text)
        if own is None:
            return list(program.columns[alias])
        names |= own
    return [c for c in program.columns[alias] if c.casefold() in names]


@lru_cache(maxsize=256)
def _names(text: str) -> frozenset[str] | None:
    """Every identifier of a text; None where it means columns without naming them."""
    from sqlglot import exp, parse_one

    tree = parse_one(text, read="duckdb")
    if any(not isinstance(star.parent, exp.Count) for star in tree.find_all(exp.Star)):
        return None
    if tree.find(exp.Columns) or any(join.method == "NATURAL" for join in tree.find_all(exp.Join)):
        return None
    return frozenset(one.name.casefold() for one in tree.find_all(exp.Identifier))


def unchanged(program: Program, cube: Cube) -> dict[int, tuple[str, str] | None]:
    """Partial → the source column whose values it sums up just as they are in the source; None: it counts rows.

    A partial of anything else is missing: what is calculated, aggregated or brought together on the way, or weighted.
    """
    found: dict[int, tuple[str, str] | None] = {}
    for i, partial in enumerate(partials(cube)):
        if partial.column is None:
            found[i] = None
            continue
        alias, dot, name = resolved(cube, partial.column).rpartition(".")
        origin = _origin(program, alias if dot else cube.from_, name) if dot or not cube.join else None
        if partial.weight is None and partial.column not in cube.derive and origin is not None:
            found[i] = origin
    return found


def _origin(program: Program, relation: str, column: str) -> tuple[str, str] | None:
    """The source column that a column of a relation is, under whatever names the steps gave it."""
    if relation in program.sources:
        return relation, column
    item = next((i for i in program.items if i.name == relation), None)
    if item is None or not isinstance(item, Step) or isinstance(item, Reference):
        return None
    passed = _passed(str(item.sql), column, {n: r.columns for n, r in next(iter(program.relations.values())).items()})
    return _origin(program, *passed) if passed else None


def _passed(text: str, column: str, columns: Mapping[str, tuple[str, ...]]) -> tuple[str, str] | None:
    """(relation, column) that a column of a statement is, where it stands there by its name alone."""
    from sqlglot import exp, parse_one

    tree = parse_one(text, read="duckdb")
    if not isinstance(tree, exp.Select) or any(tree.args.get(part) for part in ("with_", "group", "distinct")):
        return None
    tables = _tables(tree)
    value = next((v for v in tree.selects if v.alias_or_name.casefold() == column.casefold()), None)
    value = value.this if isinstance(value, exp.Alias) else value
    if not isinstance(value, exp.Column) or tables is None:
        return None
    named = [tables.get(value.table, "")] if value.table else list(tables.values())
    homes = [
        (name, own) for name in named for own in columns.get(name, ()) if own.casefold() == value.name.casefold()
    ]  # fmt: skip
    return homes[0] if len(homes) == 1 else None


def _tables(tree: exp.Select) -> dict[str, str] | None:
    """Alias → relation of what a statement reads; None where it reads anything but relations by name."""
    from sqlglot import exp

    start = tree.args.get("from_")
    sources = [start, *tree.args.get("joins", ())] if start else []
    if not sources or any(not isinstance(one.this, exp.Table) for one in sources):
        return None
    return {one.this.alias_or_name: one.this.name for one in sources}
