"""From a job specification to DuckDB statements; no text of the merchant is ever pasted.

Identifiers are quoted by doubling, values become typed literals, functions come from a table. The same generator writes
the product (what the merchant sees run) and the evidence (who contributed what to which cell), so both read the same
rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from sandbox.catalog.keys import normal_key
from sandbox.products.source import EntityKey
from sandbox.products.spec import JobSpec
from sandbox.products.spec_errors import SpecError, SpecProblem
from sandbox.products.spec_parts import Condition, Measure


@dataclass(frozen=True, slots=True)
class Step:
    """One statement of a job; the last step's result is the product."""

    name: str
    sql: str


@dataclass(frozen=True, slots=True)
class Entity:
    """One kind of protected unit and the key column of every input that carries it: alias → column."""

    kind: str
    keys: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Partial:
    """What is judged of a measure. A ratio has two: its numerator and its denominator are judged separately."""

    measure: str
    part: str
    op: str
    column: str | None

    @property
    def is_amount(self) -> bool:
        """Whether contributions are amounts and not mere presence."""
        return self.op in ("sum", "mean", "ratio")


_FUNCTIONS = {
    "month": "strftime(CAST({x} AS TIMESTAMP), '%Y-%m')",
    "year": "CAST(date_part('year', CAST({x} AS TIMESTAMP)) AS BIGINT)",
    "quarter": "date_part('year', CAST({x} AS TIMESTAMP)) || '-Q' || date_part('quarter', CAST({x} AS TIMESTAMP))",
    "month_of_year": "CAST(date_part('month', CAST({x} AS TIMESTAMP)) AS BIGINT)",
    "weekday": "CAST(date_part('isodow', CAST({x} AS TIMESTAMP)) AS BIGINT)",
    "hour": "CAST(date_part('hour', CAST({x} AS TIMESTAMP)) AS BIGINT)",
    "date": "CAST({x} AS DATE)",
    "upper": "upper(CAST({x} AS VARCHAR))",
    "lower": "lower(CAST({x} AS VARCHAR))",
    "trim": "trim(CAST({x} AS VARCHAR))",
    "band": "CAST(floor(CAST({x} AS DOUBLE) / {width}) * {width} AS BIGINT)",
    "prefix": "left(CAST({x} AS VARCHAR), {length})",
}
_COMPARISONS = {"=", "<>", "<", "<=", ">", ">="}


def quote(name: str) -> str:
    """`name` as an SQL identifier; NUL never gets here (refused by the specification)."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: Any) -> str:
    """A strictly typed SQL literal."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return f"({value})"
    if isinstance(value, float):
        return f"CAST('{value!r}' AS DOUBLE)"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    raise TypeError(type(value).__name__)


def compile(spec: JobSpec) -> list[Step]:
    """The product's statements over tables or views named by alias; rows come ordered by dimensions, missing last."""
    writer = _Writer(spec)
    columns = [f"{writer.dimension(d)} AS {quote(spec.output_name(d))}" for d in spec.dimensions]
    columns += [f"{writer.measure(m)} AS {quote(name)}" for name, m in spec.measures.items()]
    count = len(spec.dimensions)
    tail = f"\n{group_by(count)}\n{order_by(count)}" if count else ""
    return [Step("product", f"SELECT {', '.join(columns)}\n{writer.source()}{tail}")]


def evidence_sql(spec: JobSpec, entity: Entity) -> str:
    """Contributions: one row per cell and entity.

    Columns: `__d0…` dimensions, `__e` the entity's normalised key (NULL: key missing, owner unknown), `__rows`, and
    for partial i `__n{i}` rows with a value, `__z{i}` of them not zero, `__s{i}` the contribution. A row that joins
    two different entities of the kind stops the statement with `mixed_owner`.
    """
    writer = _Writer(spec)
    columns = [f"{writer.dimension(d)} AS __d{i}" for i, d in enumerate(spec.dimensions)]
    columns += [f"{writer.owner(entity)} AS __e", "count(*) AS __rows"]
    for i, partial in enumerate(partials(spec)):
        columns += [f"{sql} AS __{name}{i}" for name, sql in writer.contribution(partial).items()]
    return f"SELECT {', '.join(columns)}\n{writer.source()}\n{group_by(len(spec.dimensions) + 1)}"


def distinct_sql(spec: JobSpec, entity: Entity, partial: Partial) -> str:
    """Companion of a distinct count: the distinct (cell, entity, value `__v`)."""
    writer = _Writer(spec)
    columns = [f"{writer.dimension(d)} AS __d{i}" for i, d in enumerate(spec.dimensions)]
    columns += [f"{writer.owner(entity)} AS __e", f"{writer.column(str(partial.column))} AS __v"]
    return f"SELECT DISTINCT {', '.join(columns)}\n{writer.source()}"


def recompute_sql(spec: JobSpec, where: str = "TRUE") -> str:
    """The product again, from the contributions `__c` (and `__v{i}` for distinct counts) that satisfy `where`."""
    dims = [f"__d{i}" for i in range(len(spec.dimensions))]
    numbered = list(enumerate(partials(spec)))
    values, joins = [], ""
    for measure in spec.measures:
        own = [i for i, p in numbered if p.measure == measure]
        values.append(f"{_recompute(spec.measures[measure], own)} AS {quote(measure)}")
        if spec.measures[measure].op == "count_distinct":
            joins += _distinct_join(own[0], dims, where)
    sums = [f"sum(__{k}{i}) AS __{k}{i}" for i, _ in numbered for k in "ns"]
    group = group_by(len(dims)) if dims else ""
    inner = f"SELECT {', '.join([*dims, *sums])} FROM __c WHERE {where} {group}"
    names = [f"a.{d} AS {quote(spec.output_name(n))}" for d, n in zip(dims, spec.dimensions, strict=True)]
    return f"SELECT {', '.join([*names, *values])} FROM ({inner}) a {joins} {order_by(len(dims))}"


def _distinct_join(i: int, dims: list[str], where: str) -> str:
    columns = ", ".join([*dims, f"count(DISTINCT __v) AS __u{i}"])
    group = group_by(len(dims)) if dims else ""
    on = " AND ".join(f"a.{d} IS NOT DISTINCT FROM b{i}.{d}" for d in dims) or "TRUE"
    return f" LEFT JOIN (SELECT {columns} FROM __v{i} WHERE {where} {group}) b{i} ON {on}"


def _recompute(measure: Measure, own: list[int]) -> str:
    if measure.op == "count":
        return f"CAST(coalesce(a.__n{own[0]}, 0) AS BIGINT)"
    if measure.op == "count_distinct":
        return f"CAST(coalesce(b{own[0]}.__u{own[0]}, 0) AS BIGINT)"
    if measure.op == "sum":
        return f"a.__s{own[0]}"
    below = f"a.__n{own[0]}" if measure.op == "mean" else f"a.__s{own[1]}"
    return f"CAST(a.__s{own[0]} AS DOUBLE) / nullif(CAST({below} AS DOUBLE), 0)"


def partials(spec: JobSpec) -> list[Partial]:
    """Every partial of every measure, in order."""
    found = []
    for name, m in spec.measures.items():
        if m.op == "ratio":
            found += [Partial(name, "numerator", m.op, m.of), Partial(name, "denominator", m.op, m.per)]
        else:
            found.append(Partial(name, "value", m.op, m.of))
    return found


def entities_of(keys: Mapping[str, Iterable[EntityKey]]) -> list[Entity]:
    """The kinds that any input carries, by name, each with its key column per alias.

    Raises `ValueError` where one input has two columns for one kind: ownership of its rows would be ambiguous.
    """
    found: dict[str, dict[str, str]] = {}
    for alias, facts in keys.items():
        for fact in facts:
            if alias in found.setdefault(fact.kind, {}):
                raise ValueError(f"input {alias} has two key columns for {fact.kind}")
            found[fact.kind][alias] = fact.column
    return [Entity(kind, found[kind]) for kind in sorted(found)]


def columns_read(spec: JobSpec, columns: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    """Which columns of which input the job reads, given the columns each input has.

    Raises `SpecError` for every reference that is unknown or could mean two inputs, and for a derived column that
    hides a real one.
    """
    available = {alias: set(columns.get(alias, ())) for alias in spec.inputs}
    writer = _Writer(spec)
    read: dict[str, set[str]] = {alias: set() for alias in spec.inputs}
    problems = []
    for reference in spec.source_columns():
        alias, name = writer.resolve(reference)
        owners = [alias] if alias else [a for a, names in available.items() if name in names]
        if len(owners) == 1 and name in available[owners[0]]:
            read[owners[0]].add(name)
        elif len(owners) > 1:
            zh = f"列 {name} 在 {'、'.join(owners)} 中都有，请写成 别名.列名"
            problems.append(SpecProblem(reference, None, zh, f"{name} is in {', '.join(owners)}: write alias.column"))
        else:
            problems.append(SpecProblem(reference, None, "所选输入中没有这一列", "no such column in the inputs"))
    for name in spec.derive:
        if any(name in names for names in available.values()):
            problems.append(SpecProblem(f"derive.{name}", None, "与已有列重名", "an input has a column of this name"))
    if problems:
        raise SpecError(problems)
    return read


def group_by(count: int) -> str:
    return f"GROUP BY {', '.join(str(i + 1) for i in range(count))}"


def order_by(count: int) -> str:
    return f"ORDER BY {', '.join(f'{i + 1} ASC NULLS LAST' for i in range(count))}" if count else ""


class _Writer:
    """Expressions of one specification."""

    def __init__(self, spec: JobSpec) -> None:
        self.spec = spec
        # a column joined on under the same name is equal on both sides: an unqualified mention means the left one
        self._shared: dict[str, str] = {}
        for join in spec.join:
            for left, right in join.on.items():
                alias, name = spec.split(left)
                if name == right:
                    self._shared.setdefault(name, alias or spec.from_)

    def resolve(self, reference: str) -> tuple[str | None, str]:
        """(alias, column) of a reference; the alias is None where only the schema can tell."""
        alias, name = self.spec.split(reference)
        return alias or self._shared.get(name), name

    def column(self, reference: str) -> str:
        if reference in self.spec.derive:
            function, argument = self.spec.derive[reference].call
            of = argument if isinstance(argument, str) else argument.of
            options = {} if isinstance(argument, str) else argument.model_dump(exclude={"of"})
            return _FUNCTIONS[function].format(x=self._plain(of), **options)
        return self._plain(reference)

    def _plain(self, reference: str) -> str:
        alias, name = self.resolve(reference)
        return f"{quote(alias)}.{quote(name)}" if alias else quote(name)

    dimension = column

    def measure(self, m: Measure) -> str:
        of = self.column(m.of) if m.of else "*"
        if m.op == "count":
            return f"count({of})"
        if m.op == "count_distinct":
            return f"count(DISTINCT {of})"
        if m.op == "sum":
            return f"sum({of})"
        below = f"count({of})" if m.op == "mean" else f"sum({self.column(str(m.per))})"
        return f"CAST(sum({of}) AS DOUBLE) / nullif(CAST({below} AS DOUBLE), 0)"

    def contribution(self, p: Partial) -> dict[str, str]:
        of = self.column(p.column) if p.column else "*"
        n = f"count({of})"
        if p.is_amount:
            return {"n": n, "z": f"count(*) FILTER (WHERE {of} <> 0)", "s": f"sum({of})"}
        return {"n": n, "z": n, "s": f"count(DISTINCT {of})" if p.op == "count_distinct" else n}

    def owner(self, entity: Entity) -> str:
        keys = [normal_key(f"{quote(a)}.{quote(c)}") for a, c in entity.keys.items()]
        mixed = " OR ".join(f"{one} <> {other}" for one, other in combinations(keys, 2))
        owner = f"coalesce({', '.join(keys)})" if len(keys) > 1 else keys[0]
        return f"CASE WHEN {mixed} THEN error('mixed_owner') ELSE {owner} END" if mixed else owner

    def source(self) -> str:
        spec = self.spec
        text = f"FROM {quote(spec.from_)}"
        for join in spec.join:
            pairs = []
            for left, right in join.on.items():
                alias, name = spec.split(left)
                pairs.append(f"{quote(alias or spec.from_)}.{quote(name)} = {quote(join.input)}.{quote(right)}")
            text += f" INNER JOIN {quote(join.input)} ON ({' AND '.join(pairs)})"
        conditions = [self._condition(c) for c in spec.where]
        return text + (f"\nWHERE {' AND '.join(conditions)}" if conditions else "")

    def _condition(self, c: Condition) -> str:
        of = self.column(c.column)
        if c.op == "is_null":
            return f"({of} IS NULL)"
        if c.op == "not_null":
            return f"({of} IS NOT NULL)"
        if c.op == "in":
            return f"({of} IN ({', '.join(literal(v) for v in c.value)}))"  # type: ignore[union-attr]
        if c.op == "between":
            low, high = map(literal, c.value)  # type: ignore[arg-type]
            return f"({of} BETWEEN {low} AND {high})"
        assert c.op in _COMPARISONS
        return f"({of} {c.op} {literal(c.value)})"
