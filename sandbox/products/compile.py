"""From a job specification to DuckDB statements; no text of the merchant is ever pasted.

Identifiers are quoted by doubling, values become typed literals, functions come from a table. The same generator writes
the product (what the merchant sees run) and the evidence (who contributed what to which cell), so both read the same
rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

from sandbox.products.expressions import sql_of
from sandbox.products.spec import Cube, JobSpec
from sandbox.products.spec_errors import SpecError, SpecProblem
from sandbox.products.spec_parts import Condition, Derive, Measure, Recode


@dataclass(frozen=True, slots=True)
class Step:
    """One statement of a job; the last step's result is the product."""

    name: str
    sql: str


@dataclass(frozen=True, slots=True)
class Partial:
    """What is judged of a measure. Ratios and weighted means have two: numerator and denominator, each for itself."""

    measure: str
    part: str
    op: str
    column: str | None
    weight: str | None = None

    @property
    def is_amount(self) -> bool:
        """Whether contributions are amounts and not mere presence."""
        return self.op not in ("count", "count_distinct")

    @property
    def is_holistic(self) -> bool:
        """Whether the measure needs every value, not a sum an entity: it has a companion."""
        return self.op in HOLISTIC


HOLISTIC = ("count_distinct", "median", "quantile", "stddev")
Owners = Mapping[str, Literal["none", "one", "several"]]
"""Alias → whether the relation has the hidden column `__e`, and its form."""
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


def derived_sql(derived: Derive, column: str) -> str:
    """A derived column as SQL; `column` is the SQL of the column it is made from."""
    function, argument = derived.call
    if derived.recode is not None:
        return _recoded(derived.recode, column)
    options = {} if isinstance(argument, str) else argument.model_dump(exclude={"of"})
    return _FUNCTIONS[function].format(x=column, **options)


def _recoded(recode: Recode, column: str) -> str:
    text = f"CAST({column} AS VARCHAR)"
    cases = [
        f"WHEN {text} IN ({', '.join(map(literal, values))}) THEN {literal(name)}"
        for name, values in recode.groups.items()
    ]
    return f"CASE {' '.join(cases)} ELSE {text} END"


def resolved(cube: Cube, reference: str) -> str:
    """A column reference with the alias that it is read by, where the declaration tells."""
    alias, name = _Writer(cube).resolve(reference)
    return f"{alias}.{name}" if alias else name


def compile(spec: JobSpec) -> list[Step]:
    """The product's statements over tables or views named by alias; rows come ordered by dimensions, missing last."""
    return [Step("product", cube_sql(spec))]


def cube_sql(cube: Cube, *, numbered: bool = True) -> str:
    """A cube over relations named by alias: its output columns, and with margins `__g`, the row's grouping number.

    Rows come ordered by (`__g`, dimensions), missing values last. Not `numbered`: no `__g` and no order, for reading.
    """
    writer = _Writer(cube)
    dims = [writer.column(d) for d in cube.dimensions]
    columns = [f"{sql} AS {quote(cube.output_name(d))}" for sql, d in zip(dims, cube.dimensions, strict=True)]
    columns += [f"{writer.measure(m)} AS {quote(name)}" for name, m in cube.measures.items()]
    count = len(dims)
    if not cube.margins:
        tail = f"\n{group_by(count)}" + (f"\n{order_by(count)}" if numbered else "") if count else ""
        return f"SELECT {', '.join(columns)}\n{writer.source()}{tail}"
    if not numbered:
        return f"SELECT {', '.join(columns)}\n{writer.source()}\n{_grouping_sets(cube, dims)}"
    columns.append(f"{_numbered(cube, writer.grouping())} AS __g")
    return f"SELECT {', '.join(columns)}\n{writer.source()}\n{_grouping_sets(cube, dims)}\n{order_by(count, '__g')}"


def contributions_sql(cube: Cube, owners: Owners) -> str:
    """Who gave what to which cell: one row per (dimensions `__d{i}`, grouping `__g`, entity `__e`).

    `owners`: alias → whether the relation has the hidden column `__e`, as one code or as a sorted list of codes.
    `__e` is NULL where nobody owns the row. `__rows` counts rows; for partial i: `__n{i}` rows with a value, `__z{i}`
    of them not zero, `__s{i}` the contribution, and `__lo{i}`, `__hi{i}` the extremes of its values where min, max or
    count_distinct need them. A row of two different owners of kind “one” stops the statement with `mixed_owner`.
    """
    return _contributions(cube, _Writer(cube).owner(owners))


def rows_sql(cube: Cube, owners: Owners) -> str:
    """The rows a cube groups: dimensions `__d{i}`, owner `__e`, and value `__c{i}` of every partial that has one."""
    return _rows(cube, _Writer(cube).owner(owners))


def joined_sql(cube: Cube) -> str:
    """A statement that reads what a cube reads, by the same joins and conditions, and shows nothing of it."""
    return f"SELECT 1 AS one {_Writer(cube).source()}"


def same_values(cube: Cube) -> list[int]:
    """Per partial, the first partial that sums up the very same value of a row."""
    texts = [_Writer(cube).value(p) if p.column else "" for p in partials(cube)]
    return [texts.index(text) for text in texts]


def _contributions(cube: Cube, owner: str) -> str:
    columns, first = ["count(*) AS __rows"], same_values(cube)  # the same aggregate twice, DuckDB computes once
    for i, partial in enumerate(partials(cube)):
        columns += [f"{sql} AS __{name}{i}" for name, sql in contribution(partial, f"__c{first[i]}").items()]
    return grouped_sql(cube, columns, f"({_rows(cube, owner)})")


def grouped_sql(cube: Cube, columns: list[str], rows: str) -> str:
    """Aggregates `columns` of `rows` (see `rows_sql`) by dimensions, grouping number `__g` and owner `__e`."""
    dims = [f"__d{i}" for i in range(len(cube.dimensions))]
    named = [*dims, f"{_numbered(cube, _mask(dims))} AS __g", "__e", *columns]
    return f"SELECT {', '.join(named)}\nFROM {rows}\n{_grouping_sets(cube, dims, '__e')}"


def companion_sql(cube: Cube, owners: Owners, i: int) -> str:
    """The values behind holistic partial `i`: (dimensions, `__g`, `__e`, value `__v`, rows that have it `__n`)."""
    return _companion(cube, _Writer(cube).owner(owners), i)


def _companion(cube: Cube, owner: str, i: int) -> str:
    dims = [f"__d{k}" for k in range(len(cube.dimensions))]
    columns = [*dims, f"{_numbered(cube, _mask(dims))} AS __g", "__e", "__v", "count(*) AS __n"]
    rows = f"SELECT * RENAME (__c{i} AS __v) FROM ({_rows(cube, owner)})"
    return (
        f"SELECT {', '.join(columns)}\nFROM ({rows})\nWHERE __v IS NOT NULL\n{_grouping_sets(cube, dims, '__e', '__v')}"
    )


def _rows(cube: Cube, owner: str) -> str:
    """Rows of a cube before it groups: dimensions, owner, and the value of every partial that has one."""
    writer = _Writer(cube)
    columns = [f"{writer.column(d)} AS __d{i}" for i, d in enumerate(cube.dimensions)]
    columns += [f"{owner} AS __e"]
    columns += [f"{writer.value(p)} AS __c{i}" for i, p in enumerate(partials(cube)) if p.column]
    return f"SELECT {', '.join(columns)} {writer.source()}"


def contribution(p: Partial, x: str) -> dict[str, str]:
    """What is kept of an entity's values `x` in a cell: column → aggregate; see `contributions_sql`."""
    n = f"count({x})" if p.column else "count(*)"
    if p.op in ("min", "max"):
        return {"n": n, "z": n, "s": n, "lo": f"min({x})", "hi": f"max({x})"}
    if p.is_amount:
        # counting what a CASE gives is several times as fast as counting the rows of a FILTER
        return {"n": n, "z": f"count(CASE WHEN {x} <> 0 THEN 1 END)", "s": f"sum({x})"}
    if p.op == "count_distinct":
        return {"n": n, "z": n, "s": f"count(DISTINCT {x})", "lo": f"min({x})", "hi": f"max({x})"}
    return {"n": n, "z": n, "s": n}


def recompute_sql(
    cube: Cube, where: str = "TRUE", *, of: str = "__c", behind: str = "__v", summed: bool = False
) -> str:
    """The cube again, from its contributions (table `of`) and companions (`behind` and i), of the entities that satisfy
    `where`. `summed`: no two entities of `of` count the same value, so that numbers of distinct values add up."""
    dims = [f"__d{i}" for i in range(len(cube.dimensions))]
    numbered = list(enumerate(partials(cube)))
    sums = [f"sum(__{k}{i}) AS __{k}{i}" for i, _ in numbered for k in "ns"]
    for i, p in numbered:
        if p.op in ("min", "max"):
            sums += [f"min(__lo{i}) AS __lo{i}", f"max(__hi{i}) AS __hi{i}"]
    companions = [i for i, p in numbered if p.is_holistic and not (summed and p.op == "count_distinct")]
    joins = "".join(_companion_join(i, cube, f"{behind}{i}", dims, where) for i in companions)
    names = [f"a.{d} AS {quote(cube.output_name(n))}" for d, n in zip(dims, cube.dimensions, strict=True)]
    values = []
    for name, measure in cube.measures.items():
        own = [i for i, p in numbered if p.measure == name]
        values.append(f"{_recompute(cube, measure, own, summed)} AS {quote(name)}")
    columns = [*names, *values, *(["a.__g AS __g"] if cube.margins else [])]
    order = order_by(len(dims), "__g" if cube.margins else None)
    return f"SELECT {', '.join(columns)} FROM ({_cells(cube, of, dims, sums, where)}) a{joins} {order}"


def _cells(cube: Cube, of: str, dims: list[str], sums: list[str], where: str) -> str:
    """One row a cell; a grouping by nothing has its row even where no entity is left."""
    empty = [number for number, grouping in enumerate(cube.groupings) if not grouping]
    parts = []
    if dims:
        columns = ", ".join([*dims, "__g"])
        others = "".join(f" AND __g <> {number}" for number in empty)
        parts.append(f"SELECT {columns}, {', '.join(sums)} FROM {of} WHERE {where}{others} GROUP BY {columns}")
    for number in empty:
        columns = ", ".join([*(f"NULL AS {d}" for d in dims), f"{number} AS __g", *sums])
        parts.append(f"SELECT {columns} FROM {of} WHERE {where} AND __g = {number}")
    return " UNION ALL ".join(parts)


def _companion_join(i: int, cube: Cube, table: str, dims: list[str], where: str) -> str:
    p, keys = partials(cube)[i], [*dims, "__g"]
    value = _Writer(cube).aggregate(cube.measures[p.measure], "__v")
    rows = f"SELECT * FROM {table} WHERE {where}"
    if p.op != "count_distinct":
        rows = f"SELECT {', '.join(keys)}, __v, unnest(range(__n)) AS __r FROM {table} WHERE {where}"
    on = " AND ".join(f"a.{k} IS NOT DISTINCT FROM b{i}.{k}" for k in keys)
    columns = ", ".join(keys)
    return f" LEFT JOIN (SELECT {columns}, {value} AS __u{i} FROM ({rows}) GROUP BY {columns}) b{i} ON {on}"


def _recompute(cube: Cube, measure: Measure, own: list[int], summed: bool) -> str:
    first = own[0]
    if measure.op == "count":
        return f"CAST(coalesce(a.__n{first}, 0) AS BIGINT)"
    if measure.op == "count_distinct":
        return f"CAST(coalesce({f'a.__s{first}' if summed else f'b{first}.__u{first}'}, 0) AS BIGINT)"
    if measure.op in HOLISTIC:
        return f"b{first}.__u{first}"
    if measure.op in ("min", "max"):
        return f"a.__{'lo' if measure.op == 'min' else 'hi'}{first}"
    top = f"a.__s{first}"
    if measure.op == "sum":
        return top
    if measure.op == "share_of_margin":
        dims = [f"a.__d{cube.dimensions.index(d)}" for d in measure.margin or ()]
        return _share(cube, measure, top, "a.__g", [*dims, "a.__g"])
    return divided(top, f"a.__n{first}" if measure.op == "mean" else f"a.__s{own[1]}")


def divided(top: str, below: str) -> str:
    """A quotient of two SQL values as DOUBLE, NULL where the divisor is zero."""
    return f"CAST({top} AS DOUBLE) / nullif(CAST({below} AS DOUBLE), 0)"


def _share(cube: Cube, measure: Measure, top: str, number: str, partition: list[str]) -> str:
    """The cell's part of its margin; rows whose grouping lacks a dimension of the margin have none."""
    share = divided(top, f"sum({top}) OVER (PARTITION BY {', '.join(partition)})")
    within = [str(n) for n, dims in enumerate(cube.groupings) if set(measure.margin or ()) <= set(dims)]
    if len(within) == len(cube.groupings):
        return share
    return f"CASE WHEN {number} IN ({', '.join(within)}) THEN {share} END"


def partials(cube: Cube) -> list[Partial]:
    """Every partial of every measure, in order."""
    found = []
    for name, m in cube.measures.items():
        if m.op == "ratio":
            below = Partial(name, "denominator", "count", None) if cube.per_rows(m) else None
            found += [Partial(name, "numerator", m.op, m.of), below or Partial(name, "denominator", m.op, m.per)]
        elif m.op == "weighted_mean":
            found += [Partial(name, part, m.op, m.of, m.weight) for part in ("numerator", "denominator")]
        else:
            found.append(Partial(name, "value", m.op if m.of else "count", m.of))
    return found


def columns_of(partial: Partial) -> tuple[str, ...]:
    """The columns that the contributions of a partial are amounts of."""
    weights = partial.op == "weighted_mean" and partial.part == "denominator"
    return tuple(c for c in (None if weights else partial.column, partial.weight) if c is not None)


def _numbered(cube: Cube, mask: str) -> str:
    """A grouping's number from the bits of `grouping()`, where a set bit is a dimension left out."""
    if not cube.margins:
        return "0"
    cases = [f"WHEN {_bits(cube, margin)} THEN {i}" for i, margin in enumerate(cube.margins, start=1)]
    return f"CASE {mask} {' '.join(cases)} ELSE 0 END"


def _bits(cube: Cube, grouping: list[str]) -> int:
    return int("".join("0" if d in grouping else "1" for d in cube.dimensions), 2)


def _mask(dims: list[str]) -> str:
    return f"grouping({', '.join(dims)})"


def _grouping_sets(cube: Cube, dims: list[str], *more: str) -> str:
    """Grouping by every declared set of dimensions; `dims` are their expressions, `more` is in every set."""
    by = dict(zip(cube.dimensions, dims, strict=True))
    sets = [", ".join([*(by[d] for d in grouping), *more]) for grouping in cube.groupings]
    return f"GROUP BY {sets[0]}" if len(sets) == 1 else f"GROUP BY GROUPING SETS ({', '.join(f'({s})' for s in sets)})"


def columns_read(spec: JobSpec, columns: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    """Which columns of which input the job reads, given the columns each input has; free steps may read them all.

    Raises `SpecError` for every reference of a declared cube that is unknown or could mean two inputs, and for a
    derived column that hides a real one.
    """
    available = {alias: set(columns.get(alias, ())) for alias in spec.inputs}
    if spec.prepare:
        return available
    tables = available | {one.name: set(one.output_columns) for one in spec.reference}
    read: dict[str, set[str]] = {name: set() for name in tables}
    problems = [p for cube in (*spec.reference, spec) for p in _reads(cube, tables, read)]
    if problems:
        raise SpecError(problems)
    return {alias: read[alias] for alias in spec.inputs}


def _reads(cube: Cube, tables: Mapping[str, set[str]], read: dict[str, set[str]]) -> Iterator[SpecProblem]:
    """Note the columns a cube reads; what is wrong with its references."""
    available = {alias: tables[alias] for alias in cube.used}
    writer = _Writer(cube)
    for reference in cube.source_columns():
        alias, name = writer.resolve(reference)
        owners = [alias] if alias else [a for a, names in available.items() if name in names]
        if len(owners) == 1 and name in available[owners[0]]:
            read[owners[0]].add(name)
        elif len(owners) > 1:
            zh = f"列 {name} 在 {'、'.join(owners)} 中都有，请写成 别名.列名"
            yield SpecProblem(reference, None, zh, f"{name} is in {', '.join(owners)}: write alias.column")
        else:
            yield SpecProblem(reference, None, "所选输入中没有这一列", "no such column in the inputs")
    for name in cube.derive:
        if any(name in names for names in available.values()):
            yield SpecProblem(f"derive.{name}", None, "与已有列重名", "an input has a column of this name")


def group_by(count: int) -> str:
    return f"GROUP BY {', '.join(str(i + 1) for i in range(count))}"


def order_by(count: int, first: str | None = None) -> str:
    keys = [*([first] if first else []), *(f"{i + 1} ASC NULLS LAST" for i in range(count))]
    return f"ORDER BY {', '.join(keys)}" if keys else ""


class _Writer:
    """Expressions of one cube."""

    def __init__(self, spec: Cube) -> None:
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
            derived = self.spec.derive[reference]
            argument = derived.call[1]
            return derived_sql(derived, self._plain(argument if isinstance(argument, str) else argument.of))
        return self._plain(reference)

    def _plain(self, reference: str) -> str:
        alias, name = self.resolve(reference)
        return f"{quote(alias)}.{quote(name)}" if alias else quote(name)

    def grouping(self) -> str:
        return _mask([self.column(d) for d in self.spec.dimensions])

    def measure(self, m: Measure) -> str:
        of = self.column(m.of) if m.of else "*"
        if m.op == "mean":
            return divided(f"sum({of})", f"count({of})")
        if m.op == "ratio":
            rows = self.spec.per_rows(m)
            return divided(f"sum({of})", "count(*)" if rows else f"sum({self.column(str(m.per))})")
        if m.op == "weighted_mean":
            halves = [Partial("", part, m.op, m.of, m.weight) for part in ("numerator", "denominator")]
            return divided(*(f"sum({self.value(p)})" for p in halves))
        if m.op == "share_of_margin":
            mask = self.grouping()
            partition = [*map(self.column, m.margin or ()), mask]
            total = f"sum({of})" if m.of else "count(*)"
            return _share(self.spec, m, total, _numbered(self.spec, mask), partition)
        return self.aggregate(m, of)

    @staticmethod
    def aggregate(m: Measure, of: str) -> str:
        """A measure that is one aggregate of one value."""
        if m.op == "count_distinct":
            return f"count(DISTINCT {of})"
        if m.op in ("median", "quantile"):  # interpolated between decimals, the result would be cut to their scale
            return f"quantile_cont(CAST({of} AS DOUBLE), {0.5 if m.q is None else m.q!r})"
        return f"{'stddev_samp' if m.op == 'stddev' else m.op}({of})"

    def value(self, p: Partial) -> str:
        """What a partial sums up, per row."""
        of = self.column(str(p.column))
        if p.weight is None:
            return of
        weight = f"CAST({self.column(p.weight)} AS DOUBLE)"
        if p.part == "denominator":
            return f"CASE WHEN {of} IS NOT NULL THEN {weight} END"
        return f"CAST({of} AS DOUBLE) * {weight}"

    def owner(self, owners: Owners) -> str:
        """Whose a joined row is, from the hidden columns of the relations."""
        hidden = {alias: f"{quote(alias)}.__e" for alias in self.spec.used}
        one = [hidden[a] for a in self.spec.used if owners.get(a, "none") == "one"]
        several = [hidden[a] for a in self.spec.used if owners.get(a, "none") == "several"]
        if several:
            lists = [*(f"coalesce({e}, [])" for e in several), *(f"[{e}]" for e in one)]
            joined = lists[0]
            for more in lists[1:]:
                joined = f"list_concat({joined}, {more})"
            return f"nullif(list_sort(list_distinct({joined})), [])"
        return _only(one) if one else "CAST(NULL AS UINTEGER)"

    def source(self) -> str:
        spec = self.spec
        text = f"FROM {quote(spec.from_)}"
        for join in spec.join:
            pairs = []
            for left, right in join.on.items():
                alias, name = spec.split(left)
                pairs.append(f"{quote(alias or spec.from_)}.{quote(name)} = {quote(join.input)}.{quote(right)}")
            text += f" INNER JOIN {quote(join.input)} ON ({' AND '.join(pairs)})"
        if isinstance(spec.where, str):
            return f"{text}\nWHERE {sql_of(spec.where, self.column)}"
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


def _only(owners: list[str]) -> str:
    """The one owner of a row of several relations; two different ones stop the statement."""
    mixed = " OR ".join(f"{one} <> {other}" for one, other in combinations(owners, 2))
    owner = f"coalesce({', '.join(owners)})" if len(owners) > 1 else owners[0]
    return f"CASE WHEN {mixed} THEN error('mixed_owner') ELSE {owner} END" if mixed else owner
