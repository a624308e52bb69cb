"""How tables that come together hang together: references that are declared, and those that the rows themselves show.

A column refers to another table when its name says so and every one of its values is a value of that table's key, over
all rows. What is nearly so, or so without the name saying it, is a question to the operator, never an assumption.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import polars as pl

from policies.text import Text, UserError
from synthetic.fields import GENERATED, Field

_NEARLY = 0.8
"""share of rows inside the other table's key, and of its keys being unique, from which one asks (assumed)"""
_COPIED = 0.95
"""share of equal values from which an identifier is the parent's own (names are written in several ways; assumed)"""
_FEW = 3
"""distinct values below which values alone say nothing about a reference (assumed)"""
_PLAIN = frozenset({"id", "no", "key", "code", "num", "序号", "编号", "代码", "号"})
"""names that every table may have for its own key"""
_ABOVE = re.compile(
    r"^(上级|上一级|父级?|主管|直属|领导|经理|推荐人|parent|manager|super(visor|ior)?|boss|reports_?to|head)_?(的)?"
)
_IDENTITIES = frozenset({"resident_id", "uscc"})
"""identifiers of a person or an enterprise: on both sides they mean the same one, whatever the rows' dirt"""
_IDENTIFIED = 0.95
"""share of them that must lie inside the other table, and be unique there (assumed)"""
_NO_KEYS = frozenset({"person_name", "organisation", "address", "free_text", "mobile", "landline", "email"})
_PREFIX = re.compile(r"^[a-z]{1,2}_")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Reference:
    """`columns` of `table` name a row of `parent` by its columns `to`; `certain` ones are used, others are asked about.

    `inside` = share of the rows with a value whose value is a key of the parent. `copies`: further (column, parent's
    column) pairs that repeat values of that row.
    """

    table: str
    columns: tuple[str, ...]
    parent: str
    to: tuple[str, ...]
    declared: bool = False
    certain: bool = True
    inside: float = 1.0
    copies: tuple[tuple[str, str], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        one = len(self.columns) == 1
        return {
            "table": self.table, "column": self.columns[0] if one else list(self.columns), "parent": self.parent,
            "to": self.to[0] if one else list(self.to), "used": self.certain,
            "source": "declared" if self.declared else "found", "inside": round(self.inside, 4),
            "copies": [{"column": c, "to": t} for c, t in self.copies],
        }  # fmt: skip


def references(
    frames: Mapping[str, pl.DataFrame], declared: Sequence[Mapping[str, Any]], fields: Mapping[str, Sequence[Field]]
) -> list[Reference]:
    """Declared references, then found ones for columns that no declaration is about.

    Args:
        frames: the tables' typed rows by name.
        declared: entries {table, column, parent, to}; `column` and `to` may be lists for a key of several columns.
        fields: the field plans of the tables.

    Raises:
        UserError: `plan.reference` for an entry that is malformed or names a column that is not there,
            `simulation.parent_missing` where the parent is not among the tables.
    """
    said = [_declared(entry, frames) for entry in declared]
    busy = {(r.table, c) for r in said for c in r.columns}
    meaning = {(name, f.name): f.semantic for name, plan in fields.items() for f in plan}
    found = _found(frames, busy, said, meaning)
    made = {name: [f.name for f in plan if f.generated] for name, plan in fields.items()}
    return [replace(r, copies=_copies(r, frames, made, busy)) if r.certain else r for r in [*said, *found]]


def referring(
    fields: Mapping[str, Sequence[Field]], found: Sequence[Reference]
) -> dict[str, list[Field]]:  # fmt: skip
    """The field plans with the certain references in them; keys that are referred to become unique keys."""
    plans = {name: {f.name: f for f in plan} for name, plan in fields.items()}
    certain = [r for r in found if r.certain]
    for one in certain:
        for column in one.to:
            key = plans[one.parent][column]
            unique = len(one.to) == 1
            meaning = key.semantic if key.semantic in GENERATED or not unique else "key"
            plans[one.parent][column] = replace(key, semantic=meaning, unique=unique, blind=False)
    for one in certain:
        for column, to in (*zip(one.columns, one.to, strict=True), *one.copies):
            parent, child = plans[one.parent][to], plans[one.table][column]
            follows = {"entity": one.columns[0]} if column != one.columns[0] else dict(child.follows)
            meaning = parent.semantic if column in one.columns or not child.semantic else child.semantic
            plans[one.table][column] = replace(
                child, semantic=meaning, references=(one.parent, to), follows=follows, unique=False, blind=False
            )
    return {name: list(plan.values()) for name, plan in plans.items()}


def _declared(entry: Mapping[str, Any], frames: Mapping[str, pl.DataFrame]) -> Reference:
    try:
        columns, to = (_several(entry[key]) for key in ("column", "to"))
        table, parent = str(entry["table"]), str(entry["parent"])
    except (KeyError, TypeError):
        raise _wrong(entry) from None
    if table not in frames or len(columns) != len(to) or not set(columns) <= set(frames[table].columns):
        raise _wrong(entry)
    if parent not in frames:
        raise UserError(
            "simulation.parent_missing",
            Text("表“{n}”的列“{c}”引用表“{p}”,但没有给出这张表:没有父表就没有键可取。",
                 "Column {c} of table {n} references table {p}, which was not given, so there is no key to take.")
            .fill(n=table, p=parent, c="、".join(columns)),
            fix=Text("请把父表的文件一起交来,或在字段说明里去掉这条引用(该列就按自身含义生成)。",
                     "Give the parent's file too, or drop the reference: the column is then made on its own."),
            table=table, parent=parent,
        )  # fmt: skip
    if not set(to) <= set(frames[parent].columns):
        raise _wrong(entry)
    inside = _inside(frames[table].select(columns), frames[parent].select(to))
    return Reference(table, columns, parent, to, declared=True, inside=inside)


def _several(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(str(v) for v in value)


def _found(
    frames: Mapping[str, pl.DataFrame], busy: set[tuple[str, str]], said: Sequence[Reference],
    meaning: Mapping[tuple[str, str], str],
) -> list[Reference]:  # fmt: skip
    """One reference a column at most: the certain one to the largest table, else a question about the likeliest."""
    keys = [
        (name, column, share) for name, frame in frames.items() for column, share in _keys(frame)
        if meaning[name, column] not in _NO_KEYS
    ]  # fmt: skip
    best: dict[tuple[str, str], tuple[tuple[Any, ...], Reference]] = {}
    for (child, frame), (parent, to, unique) in product(frames.items(), keys):
        for column in frame.columns:
            means = meaning[child, column]
            if (child, column) in busy or (child, column) == (parent, to) or means in _NO_KEYS:
                continue
            one = _candidate(child, frame, column, parent, frames[parent], to, unique)
            if one is None:
                continue
            if means in _IDENTITIES and means == meaning[parent, to] and min(unique, one.inside) >= _IDENTIFIED:
                one = replace(one, certain=True)
            rank = (one.certain, _named(child, column, parent, to), one.inside, frames[parent].height)
            if (child, column) not in best or rank > best[child, column][0]:
                best[child, column] = (rank, one)
    chosen: list[Reference] = []
    for _, one in sorted(best.values(), key=lambda b: b[0], reverse=True):
        circle = one.table != one.parent and one.table in _ancestors(one.parent, [*said, *chosen])
        mirrored = any((o.parent, o.to, o.table) == (one.table, one.columns, one.parent) for o in chosen)
        if not mirrored:
            chosen.append(replace(one, certain=one.certain and not circle))
    return sorted(chosen, key=lambda r: (not r.certain, r.table, r.columns))


def _ancestors(table: str, chosen: Sequence[Reference]) -> set[str]:
    near = {r.parent for r in chosen if r.table == table and r.certain and r.parent != table}
    return {table, *near}.union(*(_ancestors(p, chosen) for p in near))


def _keys(frame: pl.DataFrame) -> list[tuple[str, float]]:
    """Columns that (nearly) tell rows apart, and the share of their values that are unique."""
    out = []
    for name, dtype in frame.schema.items():
        if frame.height < 2 or not (dtype == pl.String or dtype.is_integer()):
            continue
        known = frame.get_column(name).drop_nulls()
        share = known.n_unique() / frame.height
        if share >= _NEARLY:
            out.append((name, share))
    return out


def _candidate(
    child: str, frame: pl.DataFrame, column: str, parent: str, other: pl.DataFrame, to: str, unique: float
) -> Reference | None:
    values, named = frame.get_column(column), _named(child, column, parent, to)
    if values.dtype.is_integer() != other.schema[to].is_integer() or not (
        values.dtype == pl.String or values.dtype.is_integer()
    ):
        return None
    known = values.drop_nulls()
    distinct = known.n_unique()
    own_key = distinct == frame.height
    if not len(known) or (child == parent and (not named or own_key)):
        return None
    if not named and (values.dtype.is_integer() or distinct < _FEW or own_key):
        return None  # numbers lie inside one another by chance, and so do a few labels
    if column.lower() in _PLAIN and column == to and own_key:
        return None  # two tables that number their own rows alike
    inside = _inside(frame.select(column), other.select(to))
    if own_key and child != parent and distinct > other.height:
        return None
    certain = bool(named) and inside == 1.0 and unique == 1.0
    return Reference(child, (column,), parent, (to,), certain=certain, inside=inside) if inside >= _NEARLY else None


def _inside(child: pl.DataFrame, parent: pl.DataFrame) -> float:
    """Share of the child's complete keys that are keys of the parent."""
    asked = child.select(pl.all().cast(pl.String)).drop_nulls()
    there = parent.select(pl.all().cast(pl.String)).drop_nulls().unique()
    there.columns = asked.columns
    return asked.join(there, on=asked.columns, how="semi").height / asked.height if asked.height else 1.0


def _words(name: str) -> str:
    return re.sub(r"[\s_\-]+", "_", _CAMEL.sub("_", name)).strip("_").lower()


def _named(child: str, column: str, parent: str, to: str) -> int:
    """How clearly the column's name says what it refers to: 2 the same name, 1 by a pattern, 0 not at all."""
    here, there, table = _words(column), _words(to), _words(parent)
    if child == parent:
        rest = _ABOVE.sub("", here)
        return int(rest != here and rest in (there, "", *_PLAIN))
    if here == there and (here not in _PLAIN or not column.isascii()):
        return 2
    singular = {table, table.removesuffix("s"), table.removesuffix("es"), re.sub("ies$", "y", table)}
    patterns = {f"{one}_{there}" for one in singular} | {f"{one}{there}" for one in singular} | singular
    if here in patterns or (len(there) > 2 and not there.isascii() and here.endswith(there)):
        return 1
    stems = [_PREFIX.sub("", name) for name in (here, there)]
    return int(stems[0] == stems[1] and stems[0] not in _PLAIN and len(stems[0]) > 2)


def _copies(
    one: Reference, frames: Mapping[str, pl.DataFrame], generated: Mapping[str, Iterable[str]],
    busy: set[tuple[str, str]],
) -> tuple[tuple[str, str], ...]:  # fmt: skip
    """Columns of the child, named like one of the parent, that repeat its values: always, or nearly for identifiers."""
    if one.table == one.parent:
        return ()
    child, parent = frames[one.table], frames[one.parent]
    pairs = [
        (c, p) for c in child.columns for p in parent.columns
        if c not in one.columns and p not in one.to and (one.table, c) not in busy and _repeats(c, p)
    ]  # fmt: skip
    if not pairs:
        return ()
    keys = [f"\0{i}" for i in range(len(one.to))]
    there = parent.select(
        *(pl.col(t).cast(pl.String).alias(k) for t, k in zip(one.to, keys, strict=True)),
        *(pl.col(p).cast(pl.String).alias(f"\0{p}") for p in dict.fromkeys(p for _, p in pairs)),
    ).unique(keys, keep="first")
    joined = child.with_columns(
        pl.col(c).cast(pl.String).alias(k) for c, k in zip(one.columns, keys, strict=True)
    ).join(there, on=keys)
    kept: dict[str, str] = {}
    for c, p in pairs:
        both = joined.select(pl.col(c).cast(pl.String).alias("c"), pl.col(f"\0{p}").alias("p")).drop_nulls()
        alike = float((both["c"] == both["p"]).mean() or 0.0) if both.height else 0.0  # type: ignore[arg-type]
        least = _COPIED if c in generated.get(one.table, ()) else 1.0
        if both.height and alike >= least:
            kept.setdefault(c, p)
    return tuple(kept.items())


def _repeats(column: str, other: str) -> bool:
    return column == other or (len(other) > 1 and not other.isascii() and column.endswith(other))


def _wrong(entry: Any) -> UserError:
    return UserError(
        "plan.reference",
        Text("字段说明 references 中的这一条不成立:{e}。", "This entry of `references` does not hold: {e}.").fill(
            e=str(dict(entry) if isinstance(entry, Mapping) else entry)[:120]
        ),
        fix=Text(
            "应写成 {{table: 子表, column: 列, parent: 父表, to: 父表的键}},表名与列名须是给出的文件里有的。",
            "Write {{table: child, column: c, parent: p, to: its key}} with tables and columns of the files given.",
        ).fill(),
    )
