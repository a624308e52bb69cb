"""What a change of grades does to those who use the data: shown before it is confirmed.

What a column may be used for is what the workspaces go by (policy rule mode_by_level). A column that is gone can no
longer be granted; grants that are in effect keep the version they were given. The export gate judges by the strictest
grade of the granted and of the published version, so a change reaches the jobs of an open workspace and what they
already made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import select

from sandbox.applications import repository as applications
from sandbox.applications.repository import Grant
from sandbox.catalog import repository as catalogue
from sandbox.catalog.protection import Grade, Override
from sandbox.catalog.repository import Resource
from sandbox.exports.model import UNDER_REVIEW
from sandbox.exports.repository import ExportRequest
from sandbox.kernel import accounts, editions, permissions
from sandbox.kernel.unit import Unit
from sandbox.products import repository as products
from sandbox.products.repository import Run
from sandbox.products.spec import parse
from sandbox.workspaces import readable
from sandbox.workspaces.repository import Workspace

Use = Literal["rows", "pseudonyms", "jobs", "none"]
LIVE = ("agreement_signed", "active", "suspended")
_ORDER: tuple[Use, ...] = ("none", "jobs", "pseudonyms", "rows")
_ON_THEIR_WAY = ("draft", "frozen", "checking", "blocked", *UNDER_REVIEW, "returned", "approved")
"""states of a request to export whose product has not left yet"""


@dataclass(frozen=True, slots=True)
class ColumnImpact:
    """One granted column whose grade changes: what its holder could do before and after."""

    name: str
    before: Grade
    after: Grade | None
    use_before: Use
    use_after: Use

    @classmethod
    def of(cls, name: str, before: Grade, after: Grade | None, modes: Any) -> ColumnImpact:
        """The change as the policy's `modes` by level make it felt."""
        return cls(name, before, after, _use(before, modes), _use(after, modes))

    @property
    def gains(self) -> bool:
        return self._freedom(self.after, self.use_after) > self._freedom(self.before, self.use_before)

    @property
    def loses(self) -> bool:
        return self._freedom(self.after, self.use_after) < self._freedom(self.before, self.use_before)

    @staticmethod
    def _freedom(grade: Grade | None, use: Use) -> tuple[int, bool]:
        """How much may be done: the use, then whether values may stand in a product (direct identifiers may not)."""
        return (_ORDER.index(use), grade is not None and grade.identifier_role != "direct")


def _use(grade: Grade | None, modes: Any) -> Use:
    """What a workspace may do with a column graded so; None: a column that is not there."""
    return "none" if grade is None else readable.use_of(modes, grade.level, direct=grade.identifier_role == "direct")


@dataclass(frozen=True, slots=True)
class WorkspaceImpact:
    """One open workspace: which of its jobs use the columns, and which of their products have not left yet."""

    id: str
    state: str
    jobs: list[str]
    """names of its jobs that use a changed column"""
    exports: list[str]
    """titles of requests to export what those jobs made, that are on their way"""


@dataclass(frozen=True, slots=True)
class GrantImpact:
    """One grant in effect whose columns change, with its scenario and the workspaces opened for it."""

    grant: str
    application: str
    scenario: str
    merchant: str
    version: int
    columns: list[ColumnImpact]
    workspaces: list[WorkspaceImpact]


def of_version(
    unit: Unit, resource_id: str, number: int, overrides: Mapping[str, Override] | None = None
) -> list[GrantImpact]:
    """What publishing that version would change for the grants in effect.

    `overrides` (column → what somebody is about to say of it) come on top; with the published version's number the
    answer is what such a decision alone does.
    """
    resource = catalogue.get(unit.session, resource_id)
    permissions.check(unit.actor, "resource:read", owner=resource.organisation_id)
    before = {c.name: Grade.of(c) for c in catalogue.columns(unit.session, resource_id)}
    after = {c.name: Grade.of(c) for c in catalogue.columns(unit.session, resource_id, number)}
    after |= {name: said.applied(after[name]) for name, said in (overrides or {}).items()}
    modes = editions.in_force(unit, "workspace").by_check("mode_by_level").parameters
    found = [_of_grant(unit, grant, before, after, modes) for grant in _live_grants(unit, resource)]
    return [one for one in found if one.columns]


def _of_grant(
    unit: Unit, grant: Grant, before: Mapping[str, Grade], after: Mapping[str, Grade], modes: Any
) -> GrantImpact:
    application = applications.get(unit.session, grant.application_id)
    changed = [
        ColumnImpact.of(c, before[c], after.get(c), modes)
        for c in grant.columns
        if c in before and (c not in after or before[c].changes(after[c]).keys() - {"category"})
    ]
    opened = select(Workspace).where(Workspace.application_id == application.id, Workspace.state != "closed")
    names = {c.name for c in changed}
    return GrantImpact(
        grant.id, application.id, application.scenario, accounts.names(unit.session)[grant.organisation_id],
        grant.version, changed, [_of_workspace(unit, one, grant, names) for one in unit.session.scalars(opened)],
    )  # fmt: skip


def _of_workspace(unit: Unit, workspace: Workspace, grant: Grant, changed: set[str]) -> WorkspaceImpact:
    touched = [run for run in products.of_workspace(unit.session, workspace.id) if _uses(run, grant) & changed]
    artefacts = {run.artefact_id for run in touched if run.artefact_id}
    wanted = select(ExportRequest).where(
        ExportRequest.artefact_id.in_(artefacts), ExportRequest.state.in_(_ON_THEIR_WAY)
    )  # fmt: skip
    return WorkspaceImpact(
        workspace.id, workspace.state, sorted({str(run.spec["job"]) for run in touched}),
        sorted(request.title for request in unit.session.scalars(wanted)),
    )  # fmt: skip


def _uses(run: Run, grant: Grant) -> set[str]:
    """The columns of the grant that the run's job names; free SQL and scripts may read every one."""
    spec = parse(run.spec)
    mine = {alias for alias, one in spec.inputs.items() if one.grant == grant.id}
    if mine and spec.prepare:
        return set(grant.columns)
    named = (spec.split(reference) for reference in spec.source_columns())
    return {column for alias, column in named if alias is None or alias in mine} if mine else set()


def _live_grants(unit: Unit, resource: Resource) -> list[Grant]:
    statement = select(Grant).where(Grant.resource_id == resource.id, Grant.ended_at.is_(None)).order_by(Grant.id)
    return [
        g for g in unit.session.scalars(statement)
        if applications.get(unit.session, g.application_id).state in LIVE
    ]  # fmt: skip
