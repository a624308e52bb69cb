"""Columns that are never learned: identifiers, names, contacts, free text, keys, and keys of parent tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from policies.text import Text, UserError
from synthetic.columns import conform
from synthetic.fields import Field
from synthetic.patterns import Pattern, fresh
from synthetic.spelling import plain

DISTINCT = frozenset({"resident_id", "uscc", "mobile", "landline", "bank_card", "plate", "email", "key"})
"""Semantics whose value belongs to one person or thing: two of them never share one."""

_MALE = frozenset({"男", "男性", "男生", "M", "m", "male", "Male", "1"})
_FEMALE = frozenset({"女", "女性", "女生", "F", "f", "female", "Female", "2", "0"})
_CROWDED = 10
"""Attempts after which a small vocabulary (names, remarks) is stretched by joining two draws."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What filling must know of a real column. Holds real values: used in memory, never written anywhere.

    `sizes` = how many rows each value has, capped so that at least k values reach the largest; empty = all different.
    """

    forbidden: pl.Series
    sizes: np.ndarray
    null_share: float
    pattern: Pattern

    @classmethod
    def of(cls, series: pl.Series, field: Field, k: int) -> Facts:
        texts = series.cast(pl.String)
        known = texts.drop_nulls()
        counts = np.sort(known.value_counts()["count"].to_numpy())
        cap = counts[-k] if len(counts) >= k else 1
        nulls = 1 - len(known) / len(texts) if len(texts) else 0.0
        pattern = Pattern.learn(known, k, field.length) if field.shaped else Pattern.plain(10)
        forbidden = pl.concat([known, plain(known, field.semantic)]).unique()  # nor a real value spelt otherwise
        return cls(forbidden, np.minimum(counts, cap), nulls, pattern)

    @classmethod
    def none(cls, field: Field) -> Facts:
        """Without any row: all different, the catalogue's share of missing values, a plain pattern."""
        width = field.length or 10
        pattern = (
            Pattern(((1.0, ("123456789", *("0123456789",) * 8)),)) if field.dtype == "integer" else Pattern.plain(width)
        )
        share = (field.null_share or 0.0) if field.nullable else 0.0
        return cls(pl.Series([], dtype=pl.String), np.zeros(0, dtype=np.int64), share, pattern)


@dataclass(frozen=True, slots=True)
class Parent:
    """A simulated parent table, and how many rows the real one has (parents without children are counted by it)."""

    frame: pl.DataFrame
    real_rows: int


def fill(
    modelled: pl.DataFrame,
    fields: Sequence[Field],
    facts: Mapping[str, Facts],
    rng: np.random.Generator,
    *,
    rows: int,
    parents: Mapping[str, Parent],
) -> pl.DataFrame:
    """Add every column that no engine made, in plan order, and make the columns of one person agree.

    Args:
        modelled: plan-typed columns made by an engine, `rows` high (or without columns).
        facts: one entry for each remaining field.
        parents: simulated parents by name, for fields with `references`.

    Raises:
        UserError: `simulation.parent_missing`, `simulation.no_room`.
    """
    work = _Work({s.name: s for s in modelled}, {}, rows, rng)
    _copy_parents(work, fields, facts, parents)
    waiting = [f for f in fields if f.name not in work.columns]
    facts = _banned_alike(waiting, facts)
    for field in sorted(waiting, key=lambda f: "entity" in f.follows):
        _fill_one(work, field, facts[field.name])
    for field in fields:
        _match_referenced_id(work, field)
    for field in waiting:
        _blank(work, field, facts[field.name])
    return pl.DataFrame([work.columns[f.name] for f in fields])


def _banned_alike(fields: Sequence[Field], facts: Mapping[str, Facts]) -> dict[str, Facts]:
    """A real name of one column is as real in another one: columns of one meaning share what they must not hold."""
    banned = {}
    for semantic in {f.semantic for f in fields}:
        same_meaning = [facts[f.name].forbidden.alias("v") for f in fields if f.semantic == semantic]
        banned[semantic] = pl.concat(same_meaning).unique()
    return dict(facts) | {f.name: replace(facts[f.name], forbidden=banned[f.semantic]) for f in fields}


@dataclass(slots=True)
class _Work:
    columns: dict[str, pl.Series]
    owners: dict[str, np.ndarray]
    rows: int
    rng: np.random.Generator


def _copy_parents(
    work: _Work, fields: Sequence[Field], facts: Mapping[str, Facts], parents: Mapping[str, Parent]
) -> None:
    """All fields that reference one parent take their values from the same drawn parent row, so they agree."""
    for table in dict.fromkeys(f.references[0] for f in fields if f.references):
        linked = [f for f in fields if f.references and f.references[0] == table]
        if table not in parents:
            raise _no_parent(table, [f.name for f in linked])
        keys = [f.references[1] for f in linked if f.references]
        usable = parents[table].frame.drop_nulls(keys[0])
        index = draw_parents(work.rng, usable.height, work.rows, facts[linked[0].name], parents[table].real_rows)
        for field, column in zip(linked, keys, strict=True):
            plain = Field(field.name, field.dtype, field.semantic)
            typed = conform(usable.select(pl.col(column).alias(field.name)), [plain]).frame.get_column(field.name)
            work.columns[field.name] = typed.gather(index)
            work.owners[field.name] = np.unique(index, return_inverse=True)[1]
        _blank_together(work, linked, facts[linked[0].name])


def draw_parents(rng: np.random.Generator, parents: int, rows: int, facts: Facts, real_parents: int) -> np.ndarray:
    """Row numbers of parents, one a child row; children per parent follow the real (capped) counts, zeros included."""
    if not parents:
        raise _no_parent("", [])
    empty = max(0, real_parents - len(facts.sizes))
    sizes = np.concatenate([facts.sizes, np.zeros(empty, dtype=np.int64)]) if len(facts.sizes) else np.ones(1, int)
    counts = rng.choice(sizes, parents)
    index = np.repeat(np.arange(parents), counts)
    if len(index) < rows:
        # First what active parents have left up to the cap, then anybody: more rows were asked for than the cap allows.
        spare = np.repeat(np.arange(parents), np.where(counts > 0, sizes.max() - counts, 0))
        index = np.concatenate([index, rng.permutation(spare)[: rows - len(index)]])
        index = np.concatenate([index, rng.integers(0, parents, rows - len(index))])
    return rng.permutation(index)[:rows]


def _owners(rng: np.random.Generator, sizes: np.ndarray, rows: int) -> np.ndarray:
    """Which person (0, 1, …) each row belongs to, with as many rows a person as in reality."""
    if not len(sizes) or sizes.max() <= 1:
        return np.arange(rows)
    drawn = np.zeros(0, dtype=np.int64)
    while drawn.sum() < rows:
        drawn = np.concatenate([drawn, rng.choice(sizes, max(16, int(rows / sizes.mean())))])
    owners = np.repeat(np.arange(len(drawn)), drawn)[:rows]
    rng.shuffle(owners)
    return np.unique(owners, return_inverse=True)[1]


def _fill_one(work: _Work, field: Field, facts: Facts) -> None:
    entity = field.follows.get("entity", "")
    if entity in work.owners:
        owners = work.owners[entity]
    elif entity in work.columns:
        owners = same(work.columns[entity])
    elif field.semantic in DISTINCT or field.shaped:
        sizes = np.zeros(0, dtype=np.int64) if field.semantic == "key" or field.unique else facts.sizes
        owners = _owners(work.rng, sizes, work.rows)
    else:
        owners = np.arange(work.rows)
    people = int(owners.max()) + 1 if len(owners) else 0
    first = np.zeros(people, dtype=np.int64)
    first[owners[::-1]] = np.arange(work.rows)[::-1]
    if field.semantic == "resident_id":
        _one_per_person(work, field, owners, first)
    unique = field.semantic in DISTINCT or field.shaped or field.unique
    values = fresh(_drawer(work, field, facts, first), people, facts.forbidden, unique=unique)
    series = pl.Series(field.name, values, dtype=pl.String).gather(owners)
    work.owners[field.name] = owners
    work.columns[field.name] = series.cast(pl.Int64) if field.dtype == "integer" else series


def same(column: pl.Series) -> np.ndarray:
    """Rows with the same value belong together; a row without one stands alone."""
    known = column.rank("dense").fill_null(0).to_numpy().astype(np.int64)
    alone = known.max(initial=0) + 1 + np.arange(len(column))
    return np.unique(np.where(column.is_null().to_numpy(), alone, known), return_inverse=True)[1]


def _one_per_person(work: _Work, field: Field, owners: np.ndarray, first: np.ndarray) -> None:
    """Rows of one person get that person's sex and birth date (those of the person's first row)."""
    for relation in ("sex", "birth"):
        column = field.follows.get(relation)
        if column:
            work.columns[column] = work.columns[column].gather(first[owners])


Draw = Callable[[np.ndarray, int], np.ndarray]
"""Values for the persons numbered by the first argument; the second says how often it was tried before."""


def _drawer(work: _Work, field: Field, facts: Facts, first: np.ndarray) -> Draw:
    """How values of a field are drawn; `first` is the first row of each person, where followed columns are read."""
    import synthetic.providers as p

    rng = work.rng

    def followed(relation: str, who: np.ndarray) -> np.ndarray | None:
        column = field.follows.get(relation)
        return None if column is None else work.columns[column].gather(first[who]).to_numpy()

    def names(who: np.ndarray, turn: int) -> np.ndarray:
        sexes = _sexes(rng, followed("sex", who), len(who))
        drawn = p.person_names(rng, len(who), sexes)
        return drawn if turn < _CROWDED else drawn + _last_characters(p.person_names(rng, len(who), sexes))

    def numbers(who: np.ndarray, turn: int) -> np.ndarray:
        births, sexes = (followed(relation, who) for relation in ("birth", "sex"))
        return p.resident_ids(rng, _births(rng, births, len(who)), _sexes(rng, sexes, len(who)))

    def addresses(who: np.ndarray, turn: int) -> np.ndarray:
        near = p.places(rng, len(who))
        known = [followed(relation, who) for relation in ("district", "street")]
        return p.addresses(rng, *(_texts(n if k is None else k) for n, k in zip(near, known, strict=True)))

    special: dict[str, Draw] = {"person_name": names, "resident_id": numbers, "address": addresses}
    if field.semantic in special:
        return special[field.semantic]
    if not field.shaped:
        return _simple(rng, field.semantic)
    return lambda who, turn: _codes(rng, field, facts.pattern, len(who), turn)


def _simple(rng: np.random.Generator, semantic: str) -> Draw:
    """Values that depend on nothing else in the row. A small vocabulary that is used up gives joined draws."""
    import synthetic.providers as p

    if semantic == "free_text":
        return lambda who, turn: (
            p.remarks(rng, len(who)) if turn < _CROWDED else p.remarks(rng, len(who)) + ";" + p.remarks(rng, len(who))
        )
    if semantic == "organisation":
        return lambda who, turn: p.company_names(rng, len(who)) + ("" if turn < _CROWDED else _branches(rng, len(who)))
    makers = {
        "mobile": p.mobiles, "landline": p.landlines, "uscc": p.usccs, "bank_card": p.bank_cards,
        "plate": p.plates, "email": p.emails,
    }  # fmt: skip
    make = makers[semantic]
    return lambda who, turn: make(rng, len(who))


def _branches(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.array([f"第{number}分公司" for number in rng.integers(2, 9999, n)], dtype=object)


def _codes(rng: np.random.Generator, field: Field, pattern: Pattern, n: int, turn: int) -> np.ndarray:
    codes = pattern.draw(rng, n, turn)
    if field.dtype == "integer":
        return pl.Series(codes, dtype=pl.String).cast(pl.Int64).cast(pl.String).to_numpy().astype(object)
    return codes


def _last_characters(names: np.ndarray) -> np.ndarray:
    return np.array([name[-1:] for name in names], dtype=object)


def _texts(values: np.ndarray) -> np.ndarray:
    return np.array([v or "" for v in values], dtype=object)


def _sexes(rng: np.random.Generator, labels: np.ndarray | None, n: int) -> np.ndarray:
    import synthetic.providers as p

    drawn = p.person_sexes(rng, n)
    if labels is None:
        return drawn
    texts = [str(v) for v in labels]
    return np.array(
        ["男" if t in _MALE else "女" if t in _FEMALE else d for t, d in zip(texts, drawn, strict=True)], dtype=object
    )


def _births(rng: np.random.Generator, dates: np.ndarray | None, n: int) -> np.ndarray:
    import synthetic.providers as p

    drawn = p.births(rng, n)
    if dates is None:
        return drawn
    days = dates.astype("datetime64[D]")
    return np.where(np.isnat(days), drawn, days)


def _match_referenced_id(work: _Work, field: Field) -> None:
    """Where the ID came from a parent, the row's own sex and birth columns are read back from its digits."""
    if field.semantic != "resident_id" or not field.references:
        return
    number = work.columns[field.name]
    birth, sex = field.follows.get("birth"), field.follows.get("sex")
    if birth:
        old = work.columns[birth]
        day = number.str.slice(6, 8).str.to_date("%Y%m%d").cast(old.dtype)
        work.columns[birth] = day.zip_with(number.is_not_null() & old.is_not_null(), old).alias(birth)
    if sex:
        old = work.columns[sex]
        male, female = _sex_labels(old)
        odd = number.str.slice(16, 1).cast(pl.Int64) % 2 == 1
        chosen = (
            pl.DataFrame({"odd": odd})
            .select(pl.when(pl.col("odd")).then(pl.lit(male)).otherwise(pl.lit(female)).cast(old.dtype))
            .to_series()
        )
        work.columns[sex] = chosen.zip_with(number.is_not_null() & old.is_not_null(), old).alias(sex)


def _sex_labels(column: pl.Series) -> tuple[str, str]:
    """The two labels the column itself uses (男/女, M/F, 1/2)."""
    seen = set(column.drop_nulls().cast(pl.String).unique().to_list())
    return min(seen & _MALE, default="男"), min(seen & _FEMALE, default="女")


def sexes_of(column: pl.Series) -> pl.Series:
    """True for men, False for women, null where the label says neither; for the agreement check."""
    texts = column.cast(pl.String)
    known = texts.is_in(list(_MALE | _FEMALE))
    return texts.is_in(list(_MALE)).set(~known | known.is_null(), None)


def _blank(work: _Work, field: Field, facts: Facts) -> None:
    if not field.nullable or not facts.null_share or field.semantic == "key":
        return
    missing = pl.Series(work.rng.random(work.rows) < facts.null_share)
    work.columns[field.name] = work.columns[field.name].set(missing, None)


def _blank_together(work: _Work, linked: Sequence[Field], facts: Facts) -> None:
    missing = pl.Series(work.rng.random(work.rows) < facts.null_share)
    for field in linked:
        if field.nullable and facts.null_share:
            work.columns[field.name] = work.columns[field.name].set(missing, None)


def _no_parent(table: str, columns: list[str]) -> UserError:
    return UserError(
        "simulation.parent_missing",
        Text(
            "列 {c} 引用表“{t}”,但没有给出它的仿真数据。",
            "Columns {c} reference table {t}, whose simulated rows were not given.",
        ).fill(c="、".join(columns), t=table),
        fix=Text("请与父表一起生成,或去掉引用。", "Simulate it together with its parent, or remove the reference."),
        table=table,
        columns=columns,
    )
