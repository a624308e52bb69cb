"""What a source itself says of its table and columns, offered to the department, which registers what it agrees with.

A delivery that carries comments (a database's, or those of a Parquet file) leaves them with its version, under the
finding `OFFERED`. Nothing of them counts for detection, grading or the catalogue before somebody has registered it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy.orm import Session

from policies.text import Text
from sandbox.catalog import repository
from sandbox.catalog.repository import Resource
from sandbox.kernel import permissions
from sandbox.kernel.errors import Conflict
from sandbox.kernel.unit import Unit

OFFERED = "source_comments"


@dataclass(frozen=True, slots=True)
class Offer:
    """`title`: what the table is called, None where nothing is or where it is registered; column → its comment."""

    title: str | None
    columns: dict[str, str]

    def __bool__(self) -> bool:
        return self.title is not None or bool(self.columns)


def offered(session: Session, resource: Resource) -> Offer:
    """What the newest version's source says and the department has not registered in these words."""
    versions = repository.versions(session, resource.id)
    told = next((f for f in (versions[-1].findings if versions else []) if f["code"] == OFFERED), None)
    if told is None:
        return Offer(None, {})
    known = _registered(resource)
    title = told["title"] if told["title"] != resource.description else None
    return Offer(title, {name: said for name, said in told["comments"].items() if known.get(name) != said})


def _registered(resource: Resource) -> dict[str, str]:
    return {n: str(c.get("comment", "")) for n, c in resource.declared.get("columns", {}).items()}


def register(unit: Unit, resource_id: str, columns: Collection[str], *, title: bool = False) -> Resource:
    """The department registers the offered comments of these columns, and the table's as its description.

    They are shown at once; detection and grading take them into account from the next delivery or regrading on. Raises
    `Conflict` when one of them is not offered (any more).
    """
    resource = repository.get(unit.session, resource_id, locked=True)
    permissions.check(unit.actor, "resource:declare", owner=resource.organisation_id)
    offer = offered(unit.session, resource)
    if set(columns) - set(offer.columns) or (title and offer.title is None) or not (columns or title):
        raise Conflict(
            "comments.not_offered", Text("所选说明已登记，或来源没有给出", "These are registered or were not offered"),
            fix=Text("请刷新页面后重新选择", "Reload the page and choose again"), id=resource.id,
        )  # fmt: skip
    chosen = {name: offer.columns[name] for name in columns}
    declared = dict(resource.declared.get("columns", {}))
    declared |= {name: {**declared.get(name, {}), "comment": said} for name, said in chosen.items()}
    resource.declared = {**resource.declared, "columns": declared}
    if title and offer.title is not None:
        resource.description = offer.title
    for version in repository.versions(unit.session, resource.id):
        for column in repository.columns(unit.session, resource.id, version.number):
            if version.number >= (resource.current_version or 0) and column.name in chosen:
                column.comment = chosen[column.name]
    unit.audit("resource:describe", "resource", resource.id, columns=sorted(chosen), title=title)
    return resource
