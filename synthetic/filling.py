"""Columns that are never learned: identifiers, names, contacts, free text, keys, and keys of parent tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from policies.text import Text, UserError
from synthetic.fields import Field
from synthetic.links import Parent as Parent
from synthetic.links import circular, copied
from synthetic.patterns import Pattern, fresh
from synthetic.spelling import plain
from synthetic.ties import Tie, Ties, hierarchy, place_rows

DISTINCT = frozenset({"resident_id", "uscc", "mobile", "landline", "bank_card", "plate", "email", "key",
                      "passport", "permit", "vin", "organisation_code", "medical_number", "school_number", "imei",
                      "mac"})  # fmt: skip
"""Semantics whose value belongs to one person or thing: two of them never share one."""

_MALE = frozenset({"男", "男性", "男生", "M", "m", "male", "Male", "1"})
_FEMALE = frozenset({"女", "女性", "女生", "F", "f", "female", "Female", "2", "0"})
_CROWDED = 10
"""Attempts after which a small vocabulary (names, remarks) is stretched by joining two draws."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What filling must know of a real column. Holds real values: used in memory, never written anywhere.

    `sizes` = how many rows each value has, capped so that at least k values reach the largest; empty = all different.
    `taken` says which values earlier batches of the same table gave out.
    """

    forbidden: pl.Series
    sizes: np.ndarray
    null_share: float
    pattern: Pattern
    taken: Callable[[pl.Series], pl.Series] | None = None

    @classmethod
    def of(cls, series: pl.Series, field: Field, k: int) -> Facts:
        texts = series.cast(pl.String)
        known = texts.drop_nulls()
        counts = np.sort(known.value_counts()["count"].to_numpy())
        cap = counts[-k] if len(counts) >= k else 1
        nulls = 1 - len(known) / len(texts) if len(texts) else 0.0
        pattern = Pattern.learn(known, k, field.length) if field.shaped else Pattern.plain(10)
        if field.semantic == "shape":
            pattern = Pattern.classes(known, k)
        forbidden = pl.concat([known, plain(known, field.semantic)]).unique()  # nor a real value spelt otherwise
        return cls(forbidden, np.minimum(counts, cap), nulls, pattern)

    def never(self, values: pl.Series | None) -> Facts:
        """The same with further values that must not be made."""
        if values is None:
            return self
        return replace(self, forbidden=pl.concat([self.forbidden, values.cast(pl.String).rename(self.forbidden.name)]))

    @classmethod
    def none(cls, field: Field) -> Facts:
        """Without any row: all different, the catalogue's share of missing values, a plain pattern."""
        width = field.length or 10
        pattern = (
            Pattern(((1.0, ("123456789", *("0123456789",) * 8)),)) if field.dtype == "integer" else Pattern.plain(width)
        )
        share = (field.null_share or 0.0) if field.nullable else 0.0
        return cls(pl.Series([], dtype=pl.String), np.zeros(0, dtype=np.int64), share, pattern)


def fill(
    modelled: pl.DataFrame, fields: Sequence[Field], facts: Mapping[str, Facts], rng: np.random.Generator, *,
    rows: int, parents: Mapping[str, Parent], ties: Ties | None = None, own: str = "",
) -> pl.DataFrame:  # fmt: skip
    """Add every column that no engine made, in plan order, and make the columns of one person agree.

    Args:
        modelled: plan-typed columns made by an engine, `rows` high (or without columns).
        facts: one entry for each remaining field.
        parents: simulated parents by name, for fields with `references`.
        ties: how rows find their parents; without them each parent has a child before anyone has a second one.
        own: the name of the table, by which a table references itself.

    Raises:
        UserError: `simulation.parent_missing`, `simulation.no_room`.
    """
    words = " ".join(f"{f.name} {f.comment}" for f in fields)
    work = _Work({s.name: s for s in modelled}, {}, rows, rng, words)
    ties = ties or Ties.blind(fields)
    by_name = {f.name: f for f in fields}
    for tie in (t for t in ties.ties if t.link.table != own):
        _copy_parent(work, tie, by_name, parents)
    within = {child for tie in ties.ties if tie.link.table == own for child, _ in tie.link.pairs}
    waiting = [f for f in fields if f.name not in work.columns and f.name not in within]
    facts = _banned_alike(waiting, facts)
    for field in sorted(waiting, key=lambda f: "entity" in f.follows):
        _fill_one(work, field, facts[field.name])
    for field in fields:
        _match_referenced_id(work, field)
    for field in waiting:
        _blank(work, field, facts[field.name])
    for tie in (t for t in ties.ties if t.link.table == own):
        _refer_within(work, tie, by_name)
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
    words: str
    """names and comments of all columns, which say what the table is about"""


def _copy_parent(work: _Work, tie: Tie, by_name: Mapping[str, Field], parents: Mapping[str, Parent]) -> None:
    """All columns of a link take their values from the same parent row, so they agree."""
    link, linked = tie.link, [by_name[child] for child, _ in tie.link.pairs]
    if link.table not in parents or parents[link.table].frame.is_empty():
        raise _no_parent(link.table, [f.name for f in linked])
    parent = replace(parents[link.table], frame=parents[link.table].frame.drop_nulls(link.pairs[0][1]))
    index = place_rows(tie, work.columns, work.rows, parent, work.rng)
    for field, (_, column) in zip(linked, link.pairs, strict=True):
        work.columns[field.name] = copied(parent, column, field).gather(index)
        work.owners[field.name] = np.unique(index, return_inverse=True)[1]
    _blank_together(work, linked, tie.null_share)


def _refer_within(work: _Work, tie: Tie, by_name: Mapping[str, Field]) -> None:
    """The columns of a link of the table to itself, once the keys are there."""
    nullable = by_name[tie.link.column].nullable
    above = hierarchy(tie, work.rows, nullable, work.rng)
    for child, column in tie.link.pairs:
        if by_name[column].references:
            raise circular([f"{tie.link.table}.{column}"])
        values = work.columns[column].gather(np.maximum(above, 0)).alias(child)
        work.columns[child] = values.set(pl.Series(above < 0), None)


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
    values = fresh(_drawer(work, field, facts, first), people, facts.forbidden, unique=unique, taken=facts.taken)
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
        sexes, born = _person(rng, followed("sex", who), followed("birth", who), followed("entity", who), len(who))
        drawn = p.person_names(rng, len(who), sexes, born)
        return drawn if turn < _CROWDED else drawn + _last_characters(p.person_names(rng, len(who), sexes))

    def numbers(who: np.ndarray, turn: int) -> np.ndarray:
        return _id_numbers(rng, field, facts, followed("birth", who), followed("sex", who), len(who))

    def pupils(who: np.ndarray, turn: int) -> np.ndarray:
        """A pupil number holds the pupil's own ID where the row has one."""
        own = None if turn else followed("entity", who)
        return p.school_numbers(rng, _rather(own, numbers(who, turn)))

    def addresses(who: np.ndarray, turn: int) -> np.ndarray:
        known = (followed(relation, who) for relation in ("district", "street"))
        return p.addresses(rng, *p.whereabouts(rng, len(who), *known))

    special: dict[str, Draw] = {
        "person_name": names, "resident_id": numbers, "permit": numbers, "school_number": pupils, "address": addresses,
    }  # fmt: skip
    if field.semantic in special:
        return special[field.semantic]
    if not field.shaped:
        return _simple(rng, field, work.words)
    return lambda who, turn: _codes(rng, field, facts.pattern, len(who), turn)


def _person(
    rng: np.random.Generator, sexes: np.ndarray | None, births: np.ndarray | None, ids: np.ndarray | None, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sex and birth date that a name has to suit: what the row says, else what its ID number says, else drawn ones."""
    sex, born = _sexes(rng, sexes, n), _births(rng, births, n)
    if ids is None:
        return sex, born
    day, male = said_by(pl.Series(ids, dtype=pl.String))
    days = day.str.to_date("%Y%m%d", strict=False)
    known = (days.is_not_null() & male.is_not_null()).to_numpy()
    if births is None:
        born = np.where(known, days.to_numpy().astype("datetime64[D]"), born)
    if sexes is None:
        sex = np.where(known, np.where(male.fill_null(False).to_numpy(), "男", "女"), sex)
    return sex.astype(object), born


def _id_numbers(
    rng: np.random.Generator, field: Field, facts: Facts, births: np.ndarray | None, sexes: np.ndarray | None, n: int
) -> np.ndarray:
    """Resident IDs in the form the column has, or permits; with the birth dates and sexes of their rows."""
    import synthetic.providers as p

    old = _old_form(field, facts)
    if old and births is None:
        births = p.births(rng, n, last="1999-12-31")
    born, sex = _births(rng, births, n), _sexes(rng, sexes, n)
    if field.semantic == "permit":
        return p.permits(rng, n, kind=p.permit_kind(field.name + field.comment), born=born, sexes=sex)
    return p.old_resident_ids(rng, born, sex) if old else p.resident_ids(rng, born, sex)


def _rather(own: np.ndarray | None, made: np.ndarray) -> np.ndarray:
    """The row's own full ID numbers, and those that were made where it has none."""
    if own is None:
        return made
    numbers = pl.Series(own, dtype=pl.String)
    return numbers.zip_with(_full_id(numbers), pl.Series(made, dtype=pl.String)).to_numpy()


def _old_form(field: Field, facts: Facts) -> bool:
    """Whether ID numbers have the 15 digits of before 1999: the catalogue says so, or most real ones do."""
    old = int((facts.forbidden.str.len_chars() == 15).sum())
    return field.length == 15 or 2 * old > len(facts.forbidden)


def _full_id(numbers: pl.Series) -> pl.Series:
    return (numbers.str.len_chars() == 18).fill_null(False)


def _simple(rng: np.random.Generator, field: Field, table: str) -> Draw:
    """Values that depend on nothing else in the row. A small vocabulary that is used up gives joined draws."""
    import synthetic.providers as p

    semantic = field.semantic
    if semantic == "free_text":
        kind = p.remark_kind(f"{field.name} {field.comment}", table)
        return lambda who, turn: (
            p.remarks(rng, len(who), kind=kind)
            if turn < _CROWDED
            else p.remarks(rng, len(who), kind=kind) + ";" + p.remarks(rng, len(who), kind=kind)
        )
    if semantic == "ip":
        version = 6 if "v6" in f"{field.name} {field.comment}".lower() else 4
        return lambda who, turn: p.ips(rng, len(who), version=version)
    if semantic == "coordinates":
        return lambda who, turn: np.array(
            [f"{east:.6f},{north:.6f}" for east, north in zip(*p.coordinates(rng, len(who)), strict=True)], dtype=object
        )
    if semantic == "organisation":
        return lambda who, turn: p.company_names(rng, len(who)) + ("" if turn < _CROWDED else _branches(rng, len(who)))
    make = p.INDEPENDENT[semantic]
    return lambda who, turn: make(rng, len(who))


def _branches(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.array([f"第{number}分公司" for number in rng.integers(2, 9999, n)], dtype=object)


def _codes(rng: np.random.Generator, field: Field, pattern: Pattern, n: int, turn: int) -> np.ndarray:
    codes = pattern.draw(rng, n, turn)
    if field.dtype == "integer":
        numbers = pl.Series(codes, dtype=pl.String)
        fitting = numbers.cast(pl.Int64, strict=False).fill_null(numbers.str.tail(18).cast(pl.Int64))
        return fitting.cast(pl.String).to_numpy().astype(object)
    return codes


def _last_characters(names: np.ndarray) -> np.ndarray:
    return np.array([name[-1:] for name in names], dtype=object)


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
        day = said_by(number)[0].str.to_date("%Y%m%d").cast(old.dtype)
        work.columns[birth] = day.zip_with(number.is_not_null() & old.is_not_null(), old).alias(birth)
    if sex:
        old = work.columns[sex]
        male, female = _sex_labels(old)
        odd = said_by(number)[1]
        chosen = (
            pl.DataFrame({"odd": odd})
            .select(pl.when(pl.col("odd")).then(pl.lit(male)).otherwise(pl.lit(female)).cast(old.dtype))
            .to_series()
        )
        work.columns[sex] = chosen.zip_with(number.is_not_null() & old.is_not_null(), old).alias(sex)


def said_by(number: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Birth date (yyyymmdd) and whether male, read from ID numbers of 18 characters or of 15 (born 19..)."""
    full = _full_id(number)
    birth = number.str.slice(6, 8).zip_with(full, "19" + number.str.slice(6, 6))
    last = number.str.slice(16, 1).zip_with(full, number.str.slice(14, 1))
    return birth, last.cast(pl.Int64, strict=False) % 2 == 1


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


def _blank_together(work: _Work, linked: Sequence[Field], share: float) -> None:
    missing = pl.Series(work.rng.random(work.rows) < share)
    for field in linked:
        if field.nullable and share:
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
