"""A job specification that works in a workspace as it stands, as a place to start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from sandbox.applications import repository as applications
from sandbox.catalog import repository as catalogue
from sandbox.kernel.unit import Unit
from sandbox.workspaces.repository import Workspace

_ORDER = ("none", "quasi", "sensitive")
_WHEN = ("date", "timestamp")
_AMOUNT = ("integer", "decimal")


@dataclass(frozen=True, slots=True)
class Granted:
    """What the example needs to know of one granted table."""

    grant: str
    table: str
    keys: tuple[str, ...]
    columns: tuple[tuple[str, str, str], ...]
    """name, type, identifier role"""

    def first(self, types: Sequence[str]) -> str | None:
        """The least telling column of those types: nobody's identifier, nobody's birth."""
        fit = [(_ORDER.index(r), n) for n, kind, r in self.columns if kind in types and r in _ORDER and n not in self.keys]
        return next((n for _, n in sorted(fit, key=lambda f: f[0]) if "出生" not in n), None)


def granted(unit: Unit, workspace: Workspace) -> list[Granted]:
    """The workspace's grants with their columns' types."""
    found = []
    for grant in applications.grants(unit.session, workspace.application_id):
        resource = catalogue.get(unit.session, grant.resource_id)
        known = {c.name: c for c in catalogue.columns(unit.session, resource.id)}
        columns = tuple((n, known[n].type, known[n].identifier_role) for n in grant.columns if n in known)
        keys = tuple(str(k) for k in resource.entity_keys.values() if k in grant.columns)
        found.append(Granted(grant.id, resource.name, keys, columns))
    return found


def specification(tables: Sequence[Granted]) -> str:
    """The YAML of a small aggregate over the first granted table; "" without grants."""
    if not tables:
        return ""
    table = tables[0]
    label, when, amount = table.first(("text",)), table.first(_WHEN), table.first(_AMOUNT)
    measures: dict[str, Any] = {"记录数": {"op": "count"}}
    if table.keys:
        measures["主体数"] = {"op": "count_distinct", "of": table.keys[0]}
    if amount:
        measures[f"平均{amount}"] = {"op": "mean", "of": amount, "round": 1}
    body: dict[str, Any] = {"job": "示例作业", "edition": 1, "inputs": {"main": {"grant": table.grant}}, "from": "main"}
    if when:
        body["derive"] = {"月份": {"month": when}}
    body["dimensions"] = [d for d in (label, "月份" if when else None) if d]
    body |= {"measures": measures, "output": {"kind": "aggregate", "format": "csv"}}
    return yaml.safe_dump(body, allow_unicode=True, sort_keys=False, default_flow_style=None, width=100)


def statement(tables: Sequence[Granted]) -> str:
    """A first statement for the editor."""
    return f'SELECT *\nFROM "{tables[0].table.replace(chr(34), chr(34) * 2)}"\nLIMIT 20;' if tables else ""


def shown(spec: dict[str, Any]) -> str:
    """A stored specification as YAML, for reading."""
    kept = {key: value for key, value in spec.items() if value not in ([], {})}
    return yaml.safe_dump(kept, allow_unicode=True, sort_keys=False, default_flow_style=None, width=100)
