"""What a change of grades does to those who use the data: shown before it is confirmed.

Levels decide what a workspace may read (reference regulation.md §5.5): 1 and 2 rows; 3 rows with direct identifiers
replaced by pseudonyms; 4 no rows, jobs only. A column that is gone can no longer be granted; grants that are in effect
keep the version they were given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import select

from sandbox.applications import repository as applications
from sandbox.applications.repository import Grant
from sandbox.catalog import repository as catalogue
from sandbox.catalog.repository import Resource
from sandbox.kernel import accounts, permissions
from sandbox.kernel.unit import Unit
from sandbox.workspaces.repository import Workspace

Use = Literal["rows", "pseudonyms", "jobs", "none"]
LIVE = ("agreement_signed", "active", "suspended")
_ORDER: tuple[Use, ...] = ("none", "jobs", "pseudonyms", "rows")


def use_of(level: int | None) -> Use:
    """What a workspace may do with a column of that level; None: a column that is not there."""
    if level is None:
        return "none"
    return "rows" if level <= 2 else "pseudonyms" if level == 3 else "jobs"


@dataclass(frozen=True, slots=True)
class ColumnImpact:
    """One granted column whose level changes: what its holder could do before and after."""

    name: str
    before: int
    after: int | None

    @property
    def gains(self) -> bool:
        return _ORDER.index(use_of(self.after)) > _ORDER.index(use_of(self.before))

    @property
    def loses(self) -> bool:
        return _ORDER.index(use_of(self.after)) < _ORDER.index(use_of(self.before))


@dataclass(frozen=True, slots=True)
class GrantImpact:
    """One grant in effect whose columns change, with its scenario and the workspaces opened for it."""

    grant: str
    application: str
    scenario: str
    merchant: str
    version: int
    workspaces: int
    columns: list[ColumnImpact]


def of_version(
    unit: Unit, resource_id: str, number: int, changes: Mapping[str, int] | None = None
) -> list[GrantImpact]:
    """What publishing that version would change for the grants in effect.

    `changes` (column → level) is what somebody is about to decide on top of it; with the published version's number
    the answer is what such a decision alone does.
    """
    resource = catalogue.get(unit.session, resource_id)
    permissions.check(unit.actor, "resource:read", owner=resource.organisation_id)
    before = {c.name: c.level for c in catalogue.columns(unit.session, resource_id)}
    after = {c.name: c.level for c in catalogue.columns(unit.session, resource_id, number)} | dict(changes or {})
    found = [_of_grant(unit, grant, before, after) for grant in _live_grants(unit, resource)]
    return [one for one in found if one.columns]


def _of_grant(unit: Unit, grant: Grant, before: Mapping[str, int], after: Mapping[str, int]) -> GrantImpact:
    application = applications.get(unit.session, grant.application_id)
    opened = select(Workspace).where(Workspace.application_id == application.id, Workspace.state != "closed")
    changed = [c for c in grant.columns if c in before and before[c] != after.get(c)]
    return GrantImpact(
        grant.id, application.id, application.scenario, accounts.names(unit.session)[grant.organisation_id],
        grant.version, len(unit.session.scalars(opened).all()),
        [ColumnImpact(c, before[c], after.get(c)) for c in changed],
    )  # fmt: skip


def _live_grants(unit: Unit, resource: Resource) -> list[Grant]:
    statement = select(Grant).where(Grant.resource_id == resource.id, Grant.ended_at.is_(None)).order_by(Grant.id)
    return [
        g for g in unit.session.scalars(statement)
        if applications.get(unit.session, g.application_id).state in LIVE
    ]  # fmt: skip
