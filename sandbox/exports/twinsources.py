"""The simulated twins of a workspace as sources: what the gate's rules read instead of the real rows in a self-check.

Names, roles and facts about entities are the real tables'; the rows are simulated ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.applications.repository import Grant
from sandbox.catalog import repository as catalogue
from sandbox.catalog import subjects
from sandbox.catalog.entityfacts import EntityFact, perturbations_of, roles_of
from sandbox.kernel.unit import Unit
from sandbox.lake import Lake
from sandbox.products.source import EntityKey, Source, Through
from sandbox.workspaces import service
from sandbox.workspaces.repository import Workspace


def tables_of(unit: Unit, workspace: Workspace) -> dict[str, Grant]:
    """Table name → live grant."""
    return service.granted_tables(unit, workspace)


def sources_of(unit: Unit, granted: Mapping[str, Grant]) -> dict[str, Source]:
    """Name → the published twin of the granted table; one that has none yet is left out."""
    lake = Lake(unit.settings.lake_root)
    made = {name: _source(unit, lake, one) for name, one in granted.items()}
    return {name: source for name, source in made.items() if source is not None}


def _source(unit: Unit, lake: Lake, granted: Grant) -> Source | None:
    resource = catalogue.get(unit.session, granted.resource_id)
    if resource.simulated_version is None or granted.snapshot is None:
        return None
    held = set(lake.schema(resource.simulated_table, resource.simulated_version).names)
    columns = [c for c in catalogue.columns(unit.session, resource.id, granted.version) if c.name in held]
    facts = resource.facts
    version = catalogue.version(unit.session, resource.id, granted.version)
    check = subjects.verified(unit.session, resource, version)
    kinds = check.kinds if check else {}
    direct = {c.name for c in columns if c.identifier_role == "direct"}
    return Source(
        files=tuple(lake.files(resource.simulated_table, resource.simulated_version)),
        digest=f"sha256:{granted.snapshot['twin']['digest']}",
        columns=tuple(c for c in granted.columns if c in held),
        keys=tuple(_key(unit, lake, kind, one, kinds.get(kind, {})) for kind, one in facts.entities.items()
                   if one.column in held),
        identifiers=tuple(sorted(direct | (set(facts.keys.values()) & held))),
        roles=roles_of(facts, columns), perturb=perturbations_of(facts, columns),
        level=max((c.level for c in columns if c.name in granted.columns), default=4),
    )  # fmt: skip


def _key(unit: Unit, lake: Lake, kind: str, fact: EntityFact, check: Mapping[str, Any]) -> EntityKey:
    """A declared fact. Where another table tells the owner and has no twin, the key stands for itself: that can only
    make entities of one owner look like several, and the verdict on real data is the one that counts."""
    through = None
    if fact.through is not None and check.get("through"):
        other = catalogue.get(unit.session, check["through"]["resource"])
        if other.simulated_version is not None:
            files = tuple(lake.files(other.simulated_table, other.simulated_version))
            through = Through(files, fact.through.key, fact.through.owner)
    return EntityKey(kind, fact.column, fact.domains, through, fact.holding, fact.missing_share_max)
