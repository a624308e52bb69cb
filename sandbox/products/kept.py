"""Contributions as a proof keeps them: one narrow row per cell and owner, by the cell's number.

A job of ten million records has about as many contributions for every grouping, so what two partials have in common is
stored once, margins are added up from the finest cells, and the cell is a number. For the deletion of halves they are
added up once more, by which of eight halves an owner is in, where cells are large: eight predictions from one pass.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

from sandbox.products import compile as sql
from sandbox.products.compile import quote
from sandbox.products.contributions import fetch, within
from sandbox.products.distinct import NOBODY, PART, Valued, by_halves, repeated
from sandbox.products.entities import MISSING_KEY
from sandbox.products.flow import unchanged
from sandbox.products.program import Program, Task
from sandbox.products.spec import Cube

if TYPE_CHECKING:
    import duckdb

_FLOATING = ("DOUBLE", "FLOAT")
AT_ONCE = 8
"""Halves that one pass predicts: a bit each"""
_SAMPLE = 100_000
"""Rows that tell how owners are spread"""
_TOGETHER = {"count": "CAST(sum({x}) AS UINTEGER)", "sum": "sum({x})", "min": "min({x})", "max": "max({x})"}
"""How an aggregate of several parts comes from the parts"""


@dataclass(frozen=True, slots=True)
class Kept:
    """The table `__x`: (`__cell`, owner `__e`, `__rows`, and what the aggregates `stored` of a column come to).

    `held`: column of `stored` → the one of `__x` that is the same in these data, where no value is missing or zero.
    `names`: every column of `contributions_sql` that is read later → its SQL over the stored ones, and for holistic
    partials `__f{i}`, a sum that tells whether the values differ. `alone`: the count_distinct partials whose owners
    have one value each in every cell; the values of the others are in the rows `__b` (`distinct`). `shared`:
    those where one value of a cell has several owners, so that the owners' numbers do not add up. `fixed`: of those in
    `alone`, the ones that count a source column of which every owner has one value everywhere → that column. `floats`:
    partials of floating values, whose sums differ in their last bits from run to run. `stray`: owners' rows outside the
    product's cells.
    """

    cube: Cube
    several: bool
    stored: Mapping[str, str]
    held: Mapping[str, str]
    names: Mapping[str, str]
    alone: frozenset[int]
    floats: frozenset[int]
    fixed: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    shared: frozenset[int] = frozenset()
    stray: int = 0

    @property
    def distinct(self) -> list[int]:
        """Partials that count values of which an owner may have several in a cell."""
        return [i for i, p in enumerate(sql.partials(self.cube)) if p.op == "count_distinct" and i not in self.alone]

    def columns(self, con: duckdb.DuckDBPyConnection) -> str:
        """The columns of `__x`, each of `stored` under its own name, whatever is equal in these data."""
        made = [str(row[0]) for row in con.execute("DESCRIBE __x").fetchall()]
        others = [name for name in made[2:] if name not in self.held.values()]
        return ", ".join(["__cell", "__e", *(f"{h} AS {name}" for name, h in self.held.items()), *others])


def number_cells(con: duckdb.DuckDBPyConnection, cube: Cube, number: int) -> None:
    """`__cells`: the cells numbered in the order of the product, by dimensions and grouping: a margin's NULL is not a
    missing value."""
    names = [f"c{i}" for i, _ in enumerate(cube.output_columns)] + (["__g"] if cube.margins else [])
    dims = "".join(f"c{i} AS __d{i}, " for i, _ in enumerate(cube.dimensions))
    grouping = "__g" if cube.margins else "0 AS __g"
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE __cells AS SELECT {dims}{grouping}, "
        "CAST(row_number() OVER () - 1 AS UINTEGER) AS __cell "
        f"FROM (SELECT * FROM __o{number}) o({', '.join(names)})"
    )


def keys(cube: Cube) -> list[str]:
    """What tells the cells of a product apart."""
    return [*(f"__d{i}" for i, _ in enumerate(cube.dimensions)), "__g"]


def alike(columns: Iterable[str], left: str, right: str) -> str:
    """A condition that two rows are equal in some columns, missing values being equal."""
    return " AND ".join(f"{left}.{c} IS NOT DISTINCT FROM {right}.{c}" for c in columns)


def keep(con: duckdb.DuckDBPyConnection, program: Program, kind: str, task: Task, number: int) -> Kept:
    """Make `__cells`, `__x`, and for every holistic partial i its companion `__v{i}` by dimensions."""
    cube = task.cube
    number_cells(con, cube, number)
    every = frozenset(i for i, p in enumerate(sql.partials(cube)) if p.op == "count_distinct")
    floats = _floats(con, program, kind, cube)
    with within(con, "__k"):
        rows = numbered_sql(cube, cast("sql.Owners", program.owners(kind)))
        con.execute(f"CREATE OR REPLACE TEMP TABLE __r AS {rows}")
    equal, able = _equal(con, cube), _not_refuted(con, cube, every)
    kept = _stored(con, program, kind, cube, able, floats, equal)
    alone = frozenset(i for i in able if not fetch(con, f"SELECT count(*) FROM __x WHERE NOT __one{i}"))
    if alone != able:
        kept = _stored(con, program, kind, cube, alone, floats, equal)
    _companions(con, program, kind, kept)
    con.execute("DROP TABLE IF EXISTS __b")
    con.execute("ALTER TABLE __r RENAME TO __b" if kept.distinct else "DROP TABLE __r")
    shared = frozenset(i for i in sorted(every) if _numbers_of_values(con, kept, i))
    fixed, stray = _fixed(con, program, kind, kept), fetch(con, "SELECT count(*) FROM __x WHERE __cell IS NULL")
    return replace(kept, fixed=fixed, shared=shared, stray=int(stray))


def _not_refuted(con: duckdb.DuckDBPyConnection, cube: Cube, every: frozenset[int]) -> frozenset[int]:
    """The count_distinct partials of which some rows do not show already that an owner has two values in a cell."""
    first, places_of = sql.same_values(cube), ", ".join(f"k{g}" for g, _ in enumerate(cube.groupings))
    asked = [f"bool_or(lo{i} IS DISTINCT FROM hi{i})" for i in sorted(every)]
    if not asked:
        return every
    ends = ", ".join(f"min(__c{first[i]}) AS lo{i}, max(__c{first[i]}) AS hi{i}" for i in sorted(every))
    some = f"SELECT {ends} FROM (SELECT * FROM __r LIMIT {_SAMPLE}) GROUP BY {places_of}, __e"
    refuted = con.execute(f"SELECT {', '.join(asked)} FROM ({some})").fetchall()[0]
    return frozenset(i for i, one in zip(sorted(every), refuted, strict=True) if not one)


def _equal(con: duckdb.DuckDBPyConnection, cube: Cube) -> dict[str, str]:
    """Counts of what rows have, as another count that it equals in the rows `__r`: of what is in all of them."""
    first, found = sql.same_values(cube), dict[str, str]()
    asked = [sql.contribution(p, f"__c{i}") for i, p in enumerate(sql.partials(cube)) if p.column and first[i] == i]
    texts = ["count(*)", *(of[letter] for of in asked for letter in "nz")]
    every, *counts = con.execute(f"SELECT {', '.join(texts)} FROM __r").fetchall()[0]  # all in one pass
    for of, some, other in zip(asked, counts[::2], counts[1::2], strict=True):
        if other == some:
            found[of["z"]] = of["n"]
        if some == every:
            found |= {of["n"]: "count(*)"} | ({of["z"]: "count(*)"} if other == some else {})
    return found


def _fixed(con: duckdb.DuckDBPyConnection, program: Program, kind: str, kept: Kept) -> dict[int, tuple[str, str]]:
    """`Kept.fixed`: asked of every row of the source, whatever the job leaves out."""
    found, k = dict[int, tuple[str, str]](), program.kinds.index(kind)
    for i, origin in unchanged(program, kept.cube).items():
        if i not in kept.alone or origin is None or kept.several:
            continue
        alias, name = origin[0], quote(origin[1])
        if any(key.kind == kind for key in program.sources[alias].keys):
            ends = f"min({name}) AS lo, max({name}) AS hi"
            owners = f"SELECT {ends} FROM __t.{quote(alias)} GROUP BY __e{k} HAVING lo IS DISTINCT FROM hi"
            if not fetch(con, f"SELECT count(*) FROM ({owners})"):
                found[i] = origin
    return found


def _floats(con: duckdb.DuckDBPyConnection, program: Program, kind: str, cube: Cube) -> frozenset[int]:
    owners = cast("sql.Owners", program.owners(kind))
    with within(con, "__k"):
        described = con.execute(f"DESCRIBE {sql.rows_sql(cube, owners)}").fetchall()
    return frozenset(int(n.removeprefix("__c")) for n, t, *_ in described if n.startswith("__c") and t in _FLOATING)


def _stored(
    con: duckdb.DuckDBPyConnection,
    program: Program,
    kind: str,
    cube: Cube,
    alone: frozenset[int],
    floats: frozenset[int],
    equal: Mapping[str, str],
) -> Kept:
    """`__x`, with count_distinct partials `alone` as if every owner had one value a cell: `__one{i}` tells; of the
    others, whatever tells the values apart."""
    owners = program.owners(kind)
    stored, _ = columns_of(cube, alone, floats)
    own, names = columns_of(cube, alone, floats, equal=equal)
    by_text = {text: name for name, text in own.items()}
    held = {name: by_text[equal.get(text, text)] for name, text in stored.items()}
    several = "several" in (owners[alias] for alias in cube.used)
    first, others = sql.same_values(cube), [i for i, p in enumerate(sql.partials(cube)) if p.op == "count_distinct"]
    own |= {f"__f{i}": _apart(f"__c{first[i]}", i in floats) for i in others if i not in alone}
    by_cell(con, cube, "__x", own, alone, "__r", ["TRUE"] if several else parts_of(con, "__r"))
    return Kept(cube, several, stored, held, names, alone, floats)


def count_distinct(con: duckdb.DuckDBPyConnection, kept: Kept, table: str, i: int, companion: str) -> None:
    """Add to contributions what partial i of `Kept.distinct` gave, from its companion: how many values, and which."""
    which = _told_apart("__v", "__n", i in kept.floats)
    own = f"SELECT __cell, __e, count(*) AS s, {which} AS f FROM {companion} GROUP BY 1, 2"
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT x.*, CAST(coalesce(d.s, 0) AS UINTEGER) AS __s{i}, "
        f"d.f AS __f{i} FROM {table} x LEFT JOIN ({own}) d ON {alike(('__cell', '__e'), 'x', 'd')}"
    )


def _numbers_of_values(con: duckdb.DuckDBPyConnection, kept: Kept, i: int) -> bool:
    """Add to `__x` how many values of partial i an owner has in a cell, where it is one of `Kept.distinct`. Returns
    whether one value has two owners anywhere: the coarsest grouping has every value."""
    coarsest = min(range(len(kept.cube.groupings)), key=lambda g: len(kept.cube.groupings[g]))
    if kept.several:
        con.execute("CREATE OR REPLACE TEMP TABLE __own AS SELECT __e, row_number() OVER () AS __o "
                    "FROM (SELECT DISTINCT __e FROM __x)")  # fmt: skip
    shared = repeated(
        con, _valued(kept, i, coarsest, f"__cell IN (SELECT __cell FROM __cells WHERE __g = {coarsest})"), "__d"
    )
    if i not in kept.alone:
        owner = "w.__e" if kept.several else f"CASE WHEN d.__o <> {NOBODY} THEN CAST(d.__o AS UINTEGER) END"
        join = " JOIN __own w USING (__o)" if kept.several else ""
        many = f"SELECT d.__cell, {owner} AS __e, sum(d.__many) AS many FROM __d d{join} GROUP BY 1, 2"
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE __x AS SELECT x.* EXCLUDE (__f{i}), "
            f"CAST(x.{kept.names[f'__n{i}']} - coalesce(d.many, 0) AS UINTEGER) AS __s{i}, x.__f{i} "
            f"FROM __x x LEFT JOIN ({many}) d ON {alike(('__cell', '__e'), 'x', 'd')}"
        )
    con.execute("DROP TABLE __d")
    return shared


def _valued(kept: Kept, i: int, coarsest: int, cells: str = "TRUE") -> Valued:
    """The rows behind a count_distinct partial. Where owners have one value a cell, these are the contributions, of
    those `cells` that are asked for."""
    places_of = sorted((f"k{g}" for g, _ in enumerate(kept.cube.groupings)), key=lambda k: k != f"k{coarsest}")
    table, value = "__b", f"__c{sql.same_values(kept.cube)[i]}"
    if i in kept.alone:
        table = f"SELECT __cell, __e, {kept.names[f'__lo{i}']} AS __v FROM __x WHERE {cells}"
        table, places_of, value = f"({table})", ["__cell"], "__v"
    if kept.several:
        table = f"(SELECT r.*, w.__o FROM {table} r JOIN __own w ON {alike(('__e',), 'r', 'w')})"
    return Valued(table, places_of, value, "__o" if kept.several else f"coalesce(CAST(__e AS UBIGINT), {NOBODY})")


def _apart(value: str, floating: bool) -> str:
    """An aggregate over rows that tells whether their values are others."""
    return f"{_told_apart(value, '1', floating)} FILTER (WHERE {value} IS NOT NULL)"


def _told_apart(value: str, times: str, floating: bool) -> str:
    """A sum over values that is another one where the values are others; sums of hashes are whole numbers."""
    return f"sum({times} * {value} * {value})" if floating else f"sum({times} * CAST(hash({value}) AS HUGEINT))"


def columns_of(
    cube: Cube,
    alone: frozenset[int],
    floats: frozenset[int],
    only: Collection[int] | None = None,
    equal: Mapping[str, str] | None = None,
) -> tuple[dict[str, str], dict[str, str]]:
    """(stored column → aggregate, column of the contributions → SQL over the stored ones), of the partials in `only`;
    of those nothing is told of values that are zero.

    What two partials have in common is stored once, and so are aggregates that are `equal` to another.
    """
    first, names = sql.same_values(cube), dict[str, str]()
    stored, by_text = {"__rows": "count(*)"}, {"count(*)": "__rows"}
    for i, p in enumerate(sql.partials(cube)):
        if only is not None and i not in only:
            continue
        x = f"__c{first[i]}"
        texts = sql.contribution(p, x)
        if p.op == "count_distinct":
            own = ("n", "z", "lo") if i in alone else ("n", "z")
            texts = {letter: texts[letter] for letter in own}
            names[f"__s{i}"] = f"__s{i}"
        elif p.is_holistic:
            texts["f"] = _apart(x, i in floats)
        for letter, text in texts.items():
            name = f"__{letter}{i}"
            if only is not None and letter == "z":
                continue
            text = (equal or {}).get(text, text)
            if text not in by_text:
                by_text[text], stored[name] = name, text
            names[name] = by_text[text]
        if i in alone:
            names[f"__s{i}"] = f"CAST({names[f'__n{i}']} > 0 AS UINTEGER)"
        elif p.op == "count_distinct":
            names[f"__f{i}"] = f"__f{i}"
    return stored, names


def by_cell(
    con: duckdb.DuckDBPyConnection,
    cube: Cube,
    table: str,
    stored: Mapping[str, str],
    alone: Collection[int],
    rows: str,
    parts: Iterable[str] = ("TRUE",),
) -> None:
    """Contributions as `table`: by number of the cell (NULL: in none), nothing but the aggregates `stored`.

    `rows` are those of `numbered_sql`; `parts`, conditions on owners, are gone through one after another, as the groups
    of one fit the caches. Margins are added up from the finest contributions.
    """
    first, places_of = sql.same_values(cube), ", ".join(f"k{g}" for g, _ in enumerate(cube.groupings))
    made = [f"{text} AS {name}" for name, text in stored.items()]
    made += [f"max(__c{first[i]}) AS __hi{i}" for i in alone]
    finest = f"SELECT {places_of}, __e, {', '.join(made)} FROM {rows} WHERE {{part}} GROUP BY {places_of}, __e"
    least = {i: next(name for name, text in stored.items() if text == f"min(__c{first[i]})") for i in sorted(alone)}
    columns = [f"CAST({n} AS UINTEGER) AS {n}" if t.startswith("count") else n for n, t in stored.items()]
    columns += [f"{low} IS NOT DISTINCT FROM __hi{i} AS __one{i}" for i, low in least.items()]
    own = [f"SELECT k0 AS __cell, __e, {', '.join(columns)} FROM __f"]
    added = [f"{_TOGETHER[t.split('(')[0]].format(x=n)} AS {n}" for n, t in stored.items()]
    added += [f"min({low}) IS NOT DISTINCT FROM max(__hi{i}) AS __one{i}" for i, low in least.items()]
    own += [
        f"SELECT k{g}, __e, {', '.join(added)} FROM __f WHERE k{g} IS NOT NULL GROUP BY 1, 2"
        for g, _ in enumerate(cube.margins, start=1)
    ]
    start = f"CREATE OR REPLACE TEMP TABLE {table} AS"
    for part in parts:
        con.execute(f"CREATE OR REPLACE TEMP TABLE __f AS {finest.format(part=part)}")
        con.execute(f"{start} {' UNION ALL '.join(own)}")
        start = f"INSERT INTO {table}"
    con.execute("DROP TABLE __f")


def by_value(con: duckdb.DuckDBPyConnection, cube: Cube, i: int, table: str, rows: str) -> None:
    """The values of a count_distinct partial as `table`: (`__cell`, owner `__e`, value `__v`, rows that have it `__n`).

    `rows` is a table of those of `numbered_sql`. The values are gone through in parts, as in `by_cell` the owners.
    """
    value, places_of = f"__c{sql.same_values(cube)[i]}", ", ".join(f"k{g}" for g, _ in enumerate(cube.groupings))
    finest = (
        f"SELECT {places_of}, __e, {value} AS __v, CAST(count(*) AS UINTEGER) AS __n FROM {rows} "
        f"WHERE {value} IS NOT NULL AND {{part}} GROUP BY {places_of}, __e, __v"
    )
    own = ["SELECT k0 AS __cell, __e, __v, __n FROM __f"]
    own += [
        f"SELECT k{g}, __e, __v, CAST(sum(__n) AS UINTEGER) FROM __f WHERE k{g} IS NOT NULL GROUP BY 1, 2, 3"
        for g, _ in enumerate(cube.margins, start=1)
    ]
    start, count = f"CREATE OR REPLACE TEMP TABLE {table} AS", 1 + fetch(con, f"SELECT count(*) FROM {rows}") // PART
    for part in range(count):
        only = f"hash({value}) % {count} = {part}" if count > 1 else "TRUE"
        con.execute(f"CREATE OR REPLACE TEMP TABLE __f AS {finest.format(part=only)}")
        con.execute(f"{start} {' UNION ALL '.join(own)}")
        start = f"INSERT INTO {table}"
    con.execute("DROP TABLE __f")


def numbered_sql(cube: Cube, owners: sql.Owners) -> str:
    """The rows of a cube (see `sql.rows_sql`) with their cells as numbers `k{g}`, one for every grouping."""
    first = sql.same_values(cube)
    cells, joins = places(cube)
    values = [f"__c{i}" for i in sorted({first[i] for i, p in enumerate(sql.partials(cube)) if p.column})]
    named = ", ".join([*(f"{cell} AS k{g}" for g, cell in enumerate(cells)), "__e", *values])
    return f"SELECT {named} FROM ({sql.rows_sql(cube, owners)}) x{joins}"


def places(cube: Cube) -> tuple[list[str], str]:
    """Per grouping, the cell of a row `x` of `sql.rows_sql` (NULL: none), and the joins that find it."""
    cells, joins = [], ""
    for g, grouping in enumerate(cube.groupings):
        dims = [f"__d{cube.dimensions.index(d)}" for d in grouping]
        own = f"(SELECT * FROM __cells WHERE __g = {g})"
        joins += f" LEFT JOIN {own} p{g} ON {alike(dims, f'p{g}', 'x')}" if dims else ""
        cells.append(f"p{g}.__cell" if dims else f"(SELECT __cell FROM {own})")
    return cells, joins


def parts_of(con: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    """Conditions on the owner that cut the rows of a table into parts; those of nobody are in the first."""
    count = 1 + fetch(con, f"SELECT count(*) FROM {table}") // PART
    parts = [f"__e BETWEEN {first} AND {last}" for first, last in ranges(con, table, count)] if count > 1 else []
    return [f"(__e IS NULL OR {parts[0]})", *parts[1:]] if len(parts) > 1 else ["TRUE"]


def ranges(con: duckdb.DuckDBPyConnection, table: str, count: int) -> list[tuple[int, int]]:
    """About `count` ranges (first, last) of owners, in order, each with about as many rows of a table: as many as a
    sample says."""
    every = 1 + fetch(con, f"SELECT count(*) FROM {table}") // _SAMPLE
    shares = [i / count for i in range(1, count)]
    sample = f"SELECT approx_quantile(__e, {shares}) FROM {table} WHERE rowid % {every} = 0"
    cuts = sorted(set(fetch(con, sample) or ()) - {MISSING_KEY})
    return list(zip([0, *(cut + 1 for cut in cuts)], [*cuts, MISSING_KEY], strict=True))


def _companions(con: duckdb.DuckDBPyConnection, program: Program, kind: str, kept: Kept) -> None:
    """`__v{i}` of every holistic partial i: by cell what is counted once and alone in its cell, else by dimensions."""
    cube, made = kept.cube, dict[int, int]()
    owners, first = cast("sql.Owners", program.owners(kind)), sql.same_values(cube)
    for i, p in enumerate(sql.partials(cube)):
        con.execute(f"DROP VIEW IF EXISTS __v{i}")
        con.execute(f"DROP TABLE IF EXISTS __y{i}")
        if i in kept.alone:
            text = f"SELECT __cell, __e, {kept.names[f'__lo{i}']} AS __v, {kept.names[f'__n{i}']} AS __n FROM __x"
            con.execute(f"CREATE TEMP VIEW __v{i} AS SELECT * FROM ({text}) WHERE __n > 0")
        elif p.is_holistic and p.op != "count_distinct":
            if first[i] not in made:
                with within(con, "__k"):
                    con.execute(f"CREATE TEMP TABLE __y{i} AS {sql.companion_sql(cube, owners, i)}")
            con.execute(f"CREATE TEMP VIEW __v{i} AS SELECT * FROM __y{made.setdefault(first[i], i)}")


def in_half(seed: int, bit: int, owner: str = "__e") -> str:
    """Condition that keeps a random half of the entities, and every row that nobody owns."""
    return f"({owner} IS NULL OR (hash({owner}::UBIGINT + {seed}::UBIGINT) >> {bit}) & 1 = 1)"


def _halves(seed: int, several: bool) -> str:
    """The halves that an owner's rows stay in, as bits; those of several owners stay where all of them do."""
    every = 2**AT_ONCE - 1
    mask = f"CAST(hash({{e}}::UBIGINT + {seed}::UBIGINT) & {every} AS UTINYINT)".format
    one = f"list_aggregate(list_transform(__e, lambda x: {mask(e='x')}), 'bit_and')" if several else mask(e="__e")
    return f"CASE WHEN __e IS NULL THEN {every} ELSE {one} END"  # the hash of NULL is a number like any other


def prepare_halves(con: duckdb.DuckDBPyConnection, kept: Kept, seed: int) -> None:
    """`__n`: the contributions with the halves that an owner is in (`__mask`), added up where many owners of a cell are
    in the same; and the companions `__q{i}` with the halves of every row. Of values that have several owners, the
    halves are those of any owner."""
    mask, cube = _halves(seed, kept.several), kept.cube
    for i in kept.shared:
        by_halves(con, _valued(kept, i, 0), mask, "__z")
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE __w{i} AS SELECT k.* EXCLUDE (__cell), t.__mask, t.__many AS __s{i} "
            "FROM __z t JOIN __cells k USING (__cell)"
        )
        con.execute("DROP TABLE __z")
    rows = f"SELECT *, {mask} AS __mask FROM __x"
    cells, many = (fetch(con, f"SELECT count(*) FROM {table}") for table in ("__cells", "__x"))
    if many > 4 * 2**AT_ONCE * cells:  # else there are hardly fewer sums than contributions
        sums = ", ".join(f"{how}({text}) AS {name}" for name, (how, text) in _predicted(kept).items())
        con.execute(f"CREATE OR REPLACE TEMP TABLE __s AS SELECT __cell, __mask, {sums} FROM ({rows}) GROUP BY ALL")
        con.execute("CREATE OR REPLACE TEMP VIEW __n AS SELECT * FROM __s")
    else:
        columns = ", ".join(f"{text} AS {name}" for name, (_, text) in _predicted(kept).items())
        con.execute(f"CREATE OR REPLACE TEMP VIEW __n AS SELECT __cell, __mask, {columns} FROM ({rows})")
    for i, p in enumerate(sql.partials(cube)):
        if p.is_holistic and p.op != "count_distinct":
            con.execute(f"CREATE OR REPLACE TEMP VIEW __q{i} AS SELECT *, {mask} AS __mask FROM __v{i}")


def _predicted(kept: Kept) -> dict[str, tuple[str, str]]:
    """What a prediction needs of the contributions: column → (how they are added up, SQL)."""
    found: dict[str, tuple[str, str]] = {}
    for i, p in enumerate(sql.partials(kept.cube)):
        ways = {"n": "sum"} | ({} if i in kept.shared else {"s": "sum"})
        ways |= {"lo": "min", "hi": "max"} if p.op in ("min", "max") else {}
        found |= {f"__{letter}{i}": (how, kept.names[f"__{letter}{i}"]) for letter, how in ways.items()}
    return found


def predicted_sql(kept: Kept, bit: int | None = None) -> str:
    """The product as the contributions give it, whole (P1) or of one prepared half (P2)."""
    where = "TRUE" if bit is None else f"(__mask >> {bit}) & 1 = 1"
    sums = ", ".join(f"{how}({name}) AS {name}" for name, (how, _) in _predicted(kept).items())
    cells = f"SELECT __cell, {sums} FROM __n WHERE {where} GROUP BY __cell"
    rows = f"SELECT k.* EXCLUDE (__cell), n.* EXCLUDE (__cell) FROM ({cells}) n JOIN __cells k USING (__cell)"
    parts = [rows, *(f"SELECT * EXCLUDE (__mask) FROM __w{i} WHERE {where}" for i in sorted(kept.shared))]
    of = f"(SELECT *, {2**AT_ONCE - 1} AS __mask FROM ({' UNION ALL BY NAME '.join(parts)}))"
    return sql.recompute_sql(kept.cube, where, of=of, behind="__q", summed=True)
