"""A job specification that works in a workspace as it stands, as a place to start from."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
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
        keys = tuple(k for k in resource.facts.keys.values() if k in grant.columns)
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


def stepwise(tables: Sequence[Granted]) -> str:
    """The YAML of a job in the full form: a SQL step, a reference, the cube a total, suppression and `post`."""
    if not tables:
        return ""
    table = tables[0]
    label, amount = table.first(("text",)), table.first(_AMOUNT)
    kept = list(dict.fromkeys([*(c for c in (label, amount) if c), *table.keys[:1]])) or [table.columns[0][0]]
    where = f"\nWHERE {_quoted(label)} IS NOT NULL" if label else ""
    measures: dict[str, Any] = {"记录数": {"op": "count"}}
    if table.keys:
        measures["主体数"] = {"op": "count_distinct", "of": table.keys[0]}
    product: dict[str, Any] = {"from": "准备", "dimensions": [label] if label else []}
    if label:
        product["margins"] = [[]]
    whole: dict[str, Any] = {"job": "分步作业", "edition": 2, "inputs": {"main": {"grant": table.grant}}}
    whole["prepare"] = [{"name": "准备", "sql": f"SELECT {', '.join(map(_quoted, kept))}\nFROM main{where}\n"}]
    post = "SELECT *, rank() OVER (ORDER BY 记录数 DESC) AS 名次\nFROM product\n"
    if amount:
        average = {"op": "mean", "of": amount, "round": 1}
        measures["平均"] = {"op": "ratio", "of": amount, "per": "count", "round": 1}
        whole["reference"] = [{"name": "总体", "from": "准备", "dimensions": [], "measures": {"平均": average}}]
        post = "SELECT *, round(平均 / (SELECT 平均 FROM 总体), 2) AS 与总体之比\nFROM product\n"
    product |= {"measures": measures, "suppress": {"below": "policy", "as": "*"}}
    output = {"kind": "aggregate", "format": "csv", "order": "dimensions"}
    return written({**whole, "product": product, "post": {"sql": post}, "output": output})


EXAMPLES: dict[str, Callable[[Sequence[Granted]], str]] = {"declared": specification, "stepwise": stepwise}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def statement(tables: Sequence[Granted]) -> str:
    """A first statement for the editor."""
    return f"SELECT *\nFROM {_quoted(tables[0].table)}\nLIMIT 20;" if tables else ""


def shown(spec: Mapping[str, Any]) -> str:
    """A stored specification as text, for reading; what it leaves empty is left out."""
    return written({key: value for key, value in spec.items() if value not in ([], {})})


def written(spec: Mapping[str, Any]) -> str:
    """YAML that the strict reader of specifications takes back as it was, with quotes only where needed."""
    return "".join(f"{line}\n" for key, value in spec.items() for line in _part(key, value))


def _part(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, str) and _fits_block(value):
        yield f"{_flow(key)}: {'|' if value.endswith(chr(10)) else '|-'}"
        yield from (f"  {line}" if line else "" for line in value.removesuffix("\n").split("\n"))
    elif isinstance(value, Mapping) and any(map(_tall, value.values())):
        yield f"{_flow(key)}:"
        yield from (f"  {line}" for k, v in value.items() for line in _part(k, v))
    elif isinstance(value, list) and any(isinstance(v, Mapping) for v in value):
        yield f"{_flow(key)}:"
        for item in value:
            yield from (f"  {line}" for line in _item(item))
    else:
        yield f"{_flow(key)}: {_flow(value)}"


def _item(item: Any) -> Iterator[str]:
    if not isinstance(item, Mapping) or not any(isinstance(v, str) and _fits_block(v) for v in item.values()):
        yield f"- {_flow(item)}"
        return
    lines = [line for k, v in item.items() for line in _part(k, v)]
    yield f"- {lines[0]}"
    yield from (f"  {line}" if line else "" for line in lines[1:])


def _tall(value: Any) -> bool:
    """Whether a value is written over several lines."""
    if isinstance(value, list):
        return any(isinstance(v, Mapping) for v in value)
    return isinstance(value, Mapping) or (isinstance(value, str) and _fits_block(value))


def _fits_block(text: str) -> bool:
    """Whether a text of several lines comes back as it was from a YAML block: printable, no odd blanks at its edges."""
    lines = text.removesuffix("\n").split("\n")
    plain = all(line.isprintable() and (line == "" or line.strip()) for line in lines)
    return len(lines) > 1 and plain and bool(lines[0]) and bool(lines[-1]) and not lines[0].startswith(" ")


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
