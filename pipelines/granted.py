"""The inputs of a job as its proof reads them: granted rows and columns, and what the catalogue knows of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipelines import granting
from policies.text import UserError
from sandbox.applications.repository import Grant
from sandbox.catalog import repository as catalogue
from sandbox.catalog import subjects
from sandbox.catalog.entityfacts import EntityFact, perturbations_of, roles_of
from sandbox.catalog.repository import ResourceColumn, ResourceVersion
from sandbox.kernel.unit import Unit
from sandbox.lake import Lake
from sandbox.products.source import EntityKey, EvidenceError, Source, Through
from sandbox.workspaces import snapshot

NO_SNAPSHOT, CHANGED = "no snapshot", "source changed"
"""In place of a digest, where a source is not what was granted: no grant has such a name."""


def source_of(unit: Unit, lake: Lake, granted: Grant) -> Source:
    """The granted columns of the granted version, its entity keys beside them, readable by the gate only.

    A fact that the rows do not bear out, or that nobody has verified on them, is left out; the columns it names are
    identifiers all the same, so that no released value may lead back to them.
    """
    resource = catalogue.get(unit.session, granted.resource_id)
    version = catalogue.version(unit.session, granted.resource_id, granted.version)
    columns = catalogue.columns(unit.session, resource.id, granted.version)
    strictest = graded(unit, granted)
    direct = {c.name for c in strictest if c.identifier_role == "direct"} & {c.name for c in columns}
    facts, check = resource.facts, subjects.verified(unit.session, resource, version)
    held = {kind: one for kind, one in (check.kinds if check else {}).items() if not one["failures"]}
    return Source(
        files=tuple(lake.files(resource.typed_table, version.lake_version)),
        digest=_digest(unit, lake, granted, version), columns=tuple(granted.columns),
        rows=granting.rows_of(unit, granted),
        keys=tuple(_key(unit, lake, kind, facts.entities[kind], one) for kind, one in held.items()),
        identifiers=tuple(sorted(direct | (set(facts.keys.values()) & {c.name for c in columns}))),
        roles=roles_of(facts, columns), perturb=perturbations_of(facts, columns),
        level=max((c.level for c in strictest if c.name in granted.columns), default=4),
    )  # fmt: skip


def _key(unit: Unit, lake: Lake, kind: str, fact: EntityFact, check: dict[str, Any]) -> EntityKey:
    """One verified fact; owners are looked up in the very version that it was verified against."""
    through = None
    if fact.through is not None:
        other, known = check["through"], catalogue.get(unit.session, check["through"]["resource"])
        files = tuple(lake.files(known.typed_table, other["lake_version"]))
        through = Through(files, fact.through.key, fact.through.owner)
    return EntityKey(kind, fact.column, fact.domains, through, fact.holding, fact.missing_share_max)


def _digest(unit: Unit, lake: Lake, granted: Grant, version: ResourceVersion) -> str:
    """The snapshot's digest if its bytes and the lake's are still what was ingested; a name no grant has otherwise."""
    if granted.snapshot is None:
        return NO_SNAPSHOT
    try:
        made = snapshot.load(unit.settings.snapshots_root, granted.snapshot["real"]["digest"])
    except UserError:  # disposed of, or its manifest is another one
        return CHANGED
    table = f"{granted.resource_id}/typed"
    same = snapshot.verify(made) and lake.digest(table, version.lake_version) == version.lake_digest
    whole = bool(granted.rows) or made.rows == lake.rows(table, version.lake_version)
    return made.digest if same and whole else CHANGED


def kinds_of(unit: Unit, granted: Iterable[Grant]) -> frozenset[str] | None:
    """Kinds of entities in these tables; None when one holds direct identifiers and nobody says whose they are."""
    kinds: set[str] = set()
    for one in granted:
        declared = catalogue.get(unit.session, one.resource_id).facts.entities
        if not declared and any(c.identifier_role == "direct" for c in graded(unit, one)):
            return None
        kinds |= set(declared)
    return frozenset(kinds)


def require_provable(unit: Unit, granted: Iterable[Grant]) -> None:
    """Raise `EvidenceError` where an input was withdrawn, or its rows do not bear out what is declared of them."""
    for one in granted:
        resource = catalogue.get(unit.session, one.resource_id)
        version = catalogue.version(unit.session, one.resource_id, one.version)
        if (why := subjects.unusable(unit.session, resource, version)) is not None:
            raise EvidenceError("evidence.input", *why, resource=resource.id, version=version.number)


def graded(unit: Unit, granted: Grant) -> list[ResourceColumn]:
    """The columns of the granted version and of the published one, with the grades that each gives them.

    A grant keeps its rows while its resource goes on: what counts is the strictest that either version says, so that
    a column later found to name people is one here too.
    """
    own = catalogue.columns(unit.session, granted.resource_id, granted.version)
    return [*own, *catalogue.columns(unit.session, granted.resource_id)]
