"""What a workspace may do with each granted column, by level (policy rule mode_by_level), and why.

Levels count as the stricter of the granted and of the published version say: a column that is later found to name
people is one here too. A column that neither version grades counts as level 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from policies.text import Text
from sandbox.applications.repository import Grant
from sandbox.catalog import grades
from sandbox.catalog import repository as catalogue
from sandbox.catalog.repository import ResourceColumn
from sandbox.kernel import editions
from sandbox.kernel.unit import Unit
from sandbox.workspaces import pseudonyms

Use = Literal["rows", "pseudonyms", "jobs"]


@dataclass(frozen=True, slots=True)
class ColumnUse:
    """One granted column: `use` rows (as it is), pseudonyms (its value replaced), jobs (not readable)."""

    name: str
    type: str
    level: int
    use: Use
    domain: str | None
    """for pseudonyms: what kind of identifier it is"""
    direct: bool
    """whether it is a direct identifier"""


@dataclass(frozen=True, slots=True)
class TableUse:
    """One grant as it may be read. `withheld`: why no row may be read at all, None where rows may be."""

    grant: str
    resource: str
    columns: tuple[ColumnUse, ...]
    withheld: Text | None

    @property
    def readable(self) -> tuple[ColumnUse, ...]:
        return () if self.withheld else tuple(c for c in self.columns if c.use != "jobs")

    def plan(self) -> dict[str, str]:
        """Readable column → how (`rows`, or the domain of its pseudonyms): what the bytes were built by."""
        return {c.name: c.domain or c.use for c in self.readable}


def of_grant(unit: Unit, granted: Grant) -> TableUse:
    """The uses of a grant's columns now."""
    modes = editions.in_force(unit, "workspace").by_check("mode_by_level").parameters
    resource = catalogue.get(unit.session, granted.resource_id)
    graded: dict[str, list[ResourceColumn]] = {name: [] for name in granted.columns}
    for number in {granted.version, resource.current_version or granted.version}:
        for column in catalogue.columns(unit.session, resource.id, number):
            graded.get(column.name, []).append(column)
    columns = tuple(_use(name, found, modes) for name, found in graded.items())
    return TableUse(granted.id, resource.name, columns, _withheld(unit, granted, columns, modes))


def use_of(modes: Any, level: int, *, direct: bool) -> Use:
    """What may be done with a column of that level under these modes (a policy's `mode_by_level`): only what names a
    person by itself has a pseudonym, the other columns of such a level are read as they are."""
    mode: Use = modes.of(level)
    return "rows" if mode == "pseudonyms" and not direct else mode


def _use(name: str, graded: list[ResourceColumn], modes: Any) -> ColumnUse:
    level = max((c.level for c in graded), default=grades.HIGHEST)
    kind = graded[0].type if graded else ""
    direct = any(c.identifier_role == "direct" for c in graded)
    use = use_of(modes, level, direct=direct)
    if use != "pseudonyms":
        return ColumnUse(name, kind, level, use, None, direct)
    entity = next((c.entity for c in graded if c.entity), None)
    return ColumnUse(name, kind, level, "pseudonyms", pseudonyms.domain(entity), direct)


def _withheld(unit: Unit, granted: Grant, columns: tuple[ColumnUse, ...], modes: Any) -> Text | None:
    """Why no row of the table may be read; its own grade is what a rule lifts the whole table to."""
    if any(modes.of(level) == "jobs" for level in lifted_to(unit, granted)):
        return Text("整表分级为 4 级，只能通过作业使用", "The table as a whole is level 4: jobs only")
    hidden = {c.name for c in columns if c.use != "rows"}
    if told := sorted({c["column"] for c in granted.rows} & hidden):
        return Text(
            f"行条件依据“{told[0]}”，而该列不可读：读取行会透露它的取值",
            f"The rows are chosen by “{told[0]}”, which may not be read: the rows would tell its value",
        )
    if all(c.use == "jobs" for c in columns):
        return Text("授权的列均为 4 级，只能通过作业使用", "Every granted column is level 4: jobs only")
    return None


def lifted_to(unit: Unit, granted: Grant) -> set[int]:
    """The levels that rules lift the whole table to, by the granted and by the published version."""
    resource = catalogue.get(unit.session, granted.resource_id)
    numbers = {granted.version, resource.current_version or granted.version}
    gradings = [catalogue.version(unit.session, granted.resource_id, number).grading for number in numbers]
    return {grades.level_of(grading, ()) for grading in gradings if _lifted(grading)}


def _lifted(grading: dict[str, Any]) -> bool:
    return any(u["level"] is not None for u in grading.get("uplifts", []))
