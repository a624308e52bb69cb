"""A job specification that works in a workspace as it stands, as a place to start from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.applications import repository as applications
from sandbox.catalog import repository as catalogue
from sandbox.kernel.unit import Unit
from sandbox.workspaces.repository import Workspace

_ORDER = ("none", "quasi", "sensitive")
_WHEN = ("date", "timestamp")
_PLAIN = re.compile(r"[^\W\d_][\w-]*")
_GUESSED = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"})
"""words that YAML readers have taken for something else than text"""
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
        free = [c for c in self.columns if c[2] in _ORDER and c[0] not in self.keys]
        fit = [(_ORDER.index(role), name) for name, kind, role in free if kind in types]
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
    # Rows without a value in a dimension make a cell of their own, and that one is nearly always too small to leave.
    body["where"] = [{"column": column, "op": "not_null"} for column in (label, when) if column]
    if when:
        body["derive"] = {"月份": {"month": when}}
    body["dimensions"] = [d for d in (label, "月份" if when else None) if d]
    body |= {"measures": measures, "output": {"kind": "aggregate", "format": "csv"}}
    return written(body)


def statement(tables: Sequence[Granted]) -> str:
    """A first statement for the editor."""
    return f'SELECT *\nFROM "{tables[0].table.replace(chr(34), chr(34) * 2)}"\nLIMIT 20;' if tables else ""


def shown(spec: Mapping[str, Any]) -> str:
    """A stored specification as text, for reading; what it leaves empty is left out."""
    return written({key: value for key, value in spec.items() if value not in ([], {})})


def written(spec: Mapping[str, Any]) -> str:
    """YAML that the strict reader of specifications takes back as it was, with quotes only where needed."""
    return "".join(f"{line}\n" for key, value in spec.items() for line in _part(key, value))


def _part(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping) and any(isinstance(v, Mapping) for v in value.values()):
        yield f"{_flow(key)}:"
        yield from (f"  {_flow(k)}: {_flow(v)}" for k, v in value.items())
    elif isinstance(value, list) and any(isinstance(v, Mapping) for v in value):
        yield f"{_flow(key)}:"
        yield from (f"  - {_flow(v)}" for v in value)
    else:
        yield f"{_flow(key)}: {_flow(value)}"


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_flow(k)}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and value.lower() not in _GUESSED
        return value if plain else f'"{"".join(map(_escaped, value))}"'
    return json.dumps(value, ensure_ascii=False)


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if character.isprintable() else f"\\U{ord(character):08x}"
