"""汇总预览, the pure part: the statement the platform writes for a declared question, and what of its answer is shown.

The statement brings the evidence along with every group: how many distinct entities it rests on and the largest share
that one of them has. What is shown is decided here, outside the jail, and the evidence is left behind. A group on too
few entities is dropped without a trace, a value that one entity dominates is withheld, and whatever the evidence does
not prove (absent, not finite, of another type) counts as not proven.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from policies.text import Text
from sandbox.applications.rowrule import Condition
from sandbox.catalog.keys import normal_key
from sandbox.workspaces.engine import identifier

COUNTS: tuple[str, ...] = ("rows", "entities")
VALUES: tuple[str, ...] = ("mean", "sum")
WORDS: dict[str, Text] = {
    "rows": Text("行数", "rows"),
    "entities": Text("主体数", "entities"),
    "mean": Text("均值", "mean"),
    "sum": Text("合计", "sum"),
}
MOUNTED = "granted"
"""what the one table is called inside the jail, whatever its name is"""
_SQL_TYPES = {
    "text": "VARCHAR", "integer": "BIGINT", "decimal": "DECIMAL(38, 18)", "date": "DATE", "timestamp": "TIMESTAMP",
    "boolean": "BOOLEAN",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Measure:
    """What is wanted of each group: `kind` rows or entities (no column), mean or sum of `column`."""

    kind: str
    column: str = ""

    @property
    def text(self) -> Text:
        word = WORDS[self.kind]
        return Text(f"{self.column}·{word.zh}", f"{word.en} of {self.column}") if self.column else word


@dataclass(frozen=True, slots=True)
class Asked:
    """One question, checked: its names are granted columns, its conditions canonical."""

    table: str
    groups: tuple[str, ...]
    measures: tuple[Measure, ...]
    conditions: tuple[Condition, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns whose values are measured, each once."""
        return tuple(dict.fromkeys(m.column for m in self.measures if m.column))

    def as_dict(self) -> dict[str, Any]:
        return {
            "groups": list(self.groups), "measures": [[m.kind, m.column] for m in self.measures],
            "conditions": [c.as_dict() for c in self.conditions],
        }  # fmt: skip

    @classmethod
    def of(cls, table: str, stored: Mapping[str, Any]) -> Asked:
        measures = tuple(Measure(kind, column) for kind, column in stored["measures"])
        return cls(table, tuple(stored["groups"]), measures, tuple(map(Condition.of, stored["conditions"])))


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown: a row a group, None for a value withheld. `more`: there were more groups than may be shown."""

    groups: tuple[str, ...]
    measures: tuple[Measure, ...]
    rows: tuple[tuple[Any, ...], ...]
    more: bool

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.groups, *(m.text.zh for m in self.measures))


def statement(
    asked: Asked, types: Mapping[str, str], keys: Sequence[str], least: int
) -> tuple[str, dict[str, str | int]]:
    """The SQL of `asked` and the values bound to it.

    `types`: column → its type in the catalogue. `keys`: the columns that hold the table's registered entity keys; with
    none, a row is its own entity. The answer has a row for each group and key (`kind`, its place in `keys`) that rests
    on `least` entities or more: g0… the group, n rows, e entities, d the largest share of rows; for each measured
    column c0… values, s0… their sum, e0… entities with a value, d0… the largest share of the absolute values.
    """
    where, values = _where(asked.conditions, types)
    read = [f"{identifier(name)} AS g{i}" for i, name in enumerate(asked.groups)]
    read += [f"{normal_key(identifier(name))} AS k{i}" for i, name in enumerate(keys)]
    read += [f"CAST({identifier(name)} AS DOUBLE) AS m{i}" for i, name in enumerate(asked.columns)]
    chosen = f"SELECT {', '.join(read)} FROM {MOUNTED}{where}"
    parts = [_evidence(asked, kind, bool(keys)) for kind in range(max(1, len(keys)))]
    order = ", ".join(f"g{i}" for i in range(len(asked.groups)))
    sql = f"WITH chosen AS ({chosen}) {' UNION ALL '.join(parts)} ORDER BY {order}, kind"
    return sql, values | {"least": least}


def _evidence(asked: Asked, kind: int, keyed: bool) -> str:
    groups = [f"g{i}" for i in range(len(asked.groups))]
    measured = range(len(asked.columns))
    if keyed:
        each = [*groups, f"k{kind} AS k", "count(*) AS n"]
        each += [f"count(m{i}) AS c{i}, sum(m{i}) AS s{i}, sum(abs(m{i})) AS a{i}" for i in measured]
        per = f"SELECT {', '.join(each)} FROM chosen GROUP BY {', '.join([*groups, f'k{kind}'])}"
    else:
        each = [*groups, "1 AS k", "1 AS n"]
        each += [f"CAST(m{i} IS NOT NULL AS INTEGER) AS c{i}, m{i} AS s{i}, abs(m{i}) AS a{i}" for i in measured]
        per = f"SELECT {', '.join(each)} FROM chosen"
    told = [f"{kind} AS kind", *groups, "CAST(sum(n) AS BIGINT) AS n", "count(k) AS e", f"{_share('n')} AS d"]
    told += [
        f"CAST(sum(c{i}) AS BIGINT) AS c{i}, sum(s{i}) AS s{i}, count(k) FILTER (WHERE c{i} > 0) AS e{i},"
        f" {_share(f'a{i}')} AS d{i}"
        for i in measured
    ]
    return f"SELECT {', '.join(told)} FROM ({per}) GROUP BY {', '.join(groups)} HAVING count(k) >= $least"


def _share(part: str) -> str:
    """Rows without a key are nobody's: they count for no entity, and here as one, the worst they could be."""
    return f"CAST(max({part}) AS DOUBLE) / nullif(CAST(sum({part}) AS DOUBLE), 0)"


def _where(conditions: Sequence[Condition], types: Mapping[str, str]) -> tuple[str, dict[str, str | int]]:
    values: dict[str, str | int] = {}
    said = []
    for number, condition in enumerate(conditions):
        places = []
        for place, value in enumerate(condition.values):
            values[f"v{number}_{place}"] = value
            places.append(f"CAST($v{number}_{place} AS {_SQL_TYPES[types[condition.column]]})")
        column = identifier(condition.column)
        if condition.op == "in":
            said.append(f"{column} IN ({', '.join(places)})")
        elif condition.op == "between":
            said.append(f"{column} BETWEEN {places[0]} AND {places[1]}")
        else:
            said.append(f"{column} {condition.op} {places[0]}")
    return (f" WHERE {' AND '.join(said)}" if said else ""), values


def shown(asked: Asked, evidence: Iterable[Mapping[str, Any]], kinds: int, policy: Any, *, cut: bool = False) -> Shown:
    """What of the answer may be shown under `policy` (policies.schema.workspace.AggregatePreview).

    `kinds`: how many kinds of entity every group must be proven for. `cut`: the answer had more rows than came.
    """
    found: dict[tuple[Any, ...], dict[Any, Mapping[str, Any]]] = {}
    for row in evidence:
        found.setdefault(tuple(row[f"g{i}"] for i in range(len(asked.groups))), {})[row["kind"]] = row
    kept = []
    for group, proofs in found.items():
        proven = [proofs[kind] for kind in range(kinds) if _enough(proofs.get(kind, {}).get("e"), policy.min_group)]
        if len(proven) == kinds:
            kept.append((*group, *(_cell(m, asked.columns, proven, policy) for m in asked.measures)))
    return Shown(asked.groups, asked.measures, tuple(kept[: policy.groups]), cut or len(kept) > policy.groups)


def _enough(count: Any, least: int) -> bool:
    return isinstance(count, int) and not isinstance(count, bool) and count >= least


def _cell(measure: Measure, columns: Sequence[str], proofs: Sequence[Mapping[str, Any]], policy: Any) -> Any:
    first = proofs[0]
    if measure.kind == "entities":
        return rounded(first["e"], policy.base)
    place: int | str = columns.index(measure.column) if measure.column else ""
    spread = all(_spread(p.get(f"d{place}"), policy.dominance_percent) for p in proofs)
    if measure.kind == "rows":
        return rounded(first["n"], policy.base) if spread and _enough(first.get("n"), policy.min_group) else None
    count, total = first.get(f"c{place}"), first.get(f"s{place}")
    known = all(_enough(p.get(f"e{place}"), policy.min_group) for p in proofs) and _enough(count, policy.min_group)
    if not (spread and known and isinstance(total, float)):
        return None
    return significant(total / count if measure.kind == "mean" else total, policy.digits)  # type: ignore[operator]


def _spread(share: Any, percent: int) -> bool:
    """Whether the largest share of one entity is known and within the limit."""
    return isinstance(share, float) and math.isfinite(share) and 0 < share * 100 <= percent


def rounded(count: int, base: int) -> int:
    """`count` to the nearest multiple of `base`, halves up."""
    return (count + base // 2) // base * base


def significant(value: float, digits: int) -> float | None:
    """`value` to so many significant digits; None when it is not finite."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None


def differences(asked: Asked, earlier: Asked) -> list[Text]:
    """What `asked` changes of an `earlier` question on the same table and groups."""
    now, then = _said(asked), _said(earlier)
    added = [Text(f"+ {t.zh}", f"+ {t.en}") for t in now if t not in then]
    return added + [Text(f"− {t.zh}", f"− {t.en}") for t in then if t not in now]


def _said(asked: Asked) -> list[Text]:
    return [*(c.text for c in asked.conditions), *(m.text for m in asked.measures)]
