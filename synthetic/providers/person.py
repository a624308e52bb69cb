"""People: names, births, and resident IDs that agree with them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthetic.providers import vocabulary
from synthetic.providers.checksums import resident_id_check
from synthetic.providers.pools import Exhausted, Integers, Words, digits, pick, texts

Days = NDArray[np.datetime64]
MALE, FEMALE = "男", "女"
REGION_PREFIX = 4499


@dataclass(frozen=True, slots=True)
class People:
    """Columns of the same people: name, sex, birth and resident ID agree row by row."""

    names: Words
    sexes: Words
    births: Days
    resident_ids: Words


def people(rng: np.random.Generator, n: int) -> People:
    """`n` people with different resident IDs."""
    sexes, born = person_sexes(rng, n), births(rng, n)
    return People(person_names(rng, n, sexes, born), sexes, born, resident_ids(rng, born, sexes))


def person_sexes(rng: np.random.Generator, n: int) -> Words:
    """男 or 女, 51.2 % 男 (assumed, near the national census)."""
    return pick(rng, (MALE, FEMALE), n, (0.512, 0.488))


def births(rng: np.random.Generator, n: int, *, first: str = "1935-01-01", last: str = "2024-12-31") -> Days:
    """Birth dates, any day from `first` to `last` equally likely."""
    low, high = np.datetime64(first, "D"), np.datetime64(last, "D")
    return low + rng.integers(0, int((high - low).astype(int)) + 1, n).astype("timedelta64[D]")


def person_names(rng: np.random.Generator, n: int, sex: str | Words | None = None, born: Days | None = None) -> Words:
    """Full names. Given names follow the sex (男/女, one for all or one a row) and the generation of the birth year.

    A name by itself belongs to many people, so it has no range that nobody holds; only its combination with generated
    identifiers marks it as simulated.
    """
    sexes = person_sexes(rng, n) if sex is None else np.broadcast_to(np.asarray(sex, dtype=object), n)
    years = (births(rng, n) if born is None else born).astype("datetime64[Y]").astype(int) + 1970
    era = np.searchsorted(vocabulary.ERA_STARTS, years, side="right")
    given, men = np.empty(n, dtype=object), np.asarray(sexes == MALE)
    for male in (True, False):
        for generation in range(len(vocabulary.ERA_STARTS) + 1):
            rows = np.flatnonzero((era == generation) & (men == male))
            given[rows] = pick(rng, vocabulary.given_names(male, generation), len(rows))
    return pick(rng, *_surname_arguments(n)) + given


def _surname_arguments(n: int) -> tuple[tuple[str, ...], int, tuple[float, ...]]:
    names, weights = vocabulary.surnames()
    return names, n, weights


def resident_ids(
    rng: np.random.Generator, births: Days, sexes: Words, regions: NDArray[np.integer] | None = None
) -> Words:
    """Resident IDs (GB 11643-1999) that agree with birth and sex and differ from each other.

    `regions` are six-digit codes and must start with 4499; by default any of 449901…449999. No prefecture has the code
    4499, so nobody holds such a number. Raises ValueError for another region, and `Exhausted` when more than 500
    people of one sex are born on one day in one region (the sequence has three digits).
    """
    where = rng.integers(449901, 450000, len(births)) if regions is None else np.asarray(regions, dtype=np.int64)
    if (where // 100 != REGION_PREFIX).any():
        raise ValueError("resident IDs are generated only for the unassigned regions 4499xx")
    return identity_numbers(rng, where, births, sexes)


def identity_numbers(rng: np.random.Generator, regions: NDArray[np.integer], births: Days, sexes: Words) -> Words:
    """Numbers in the form of GB 11643-1999 for any six digits in front: the caller says why nobody holds those."""
    where, days = np.asarray(regions, dtype=np.int64), births.astype("datetime64[D]")
    sequence = _sequence(rng, where, days, np.asarray(sexes == MALE))
    body = np.hstack([digits(where, 6), digits(_yyyymmdd(days), 8), digits(sequence, 3)])
    return texts(np.hstack([body, resident_id_check(body)[:, None]]))


def old_resident_ids(rng: np.random.Generator, births: Days, sexes: Words) -> Words:
    """Resident IDs of 15 digits (before 1999: year in two digits, no check character) of the region 4499xx.

    Whoever was born later never had one and gets the form of 18 characters.
    """
    where = rng.integers(449901, 450000, len(births))
    days = births.astype("datetime64[D]")
    year = days.astype("datetime64[Y]").astype(np.int64) + 1970
    sequence = _sequence(rng, where, days, np.asarray(sexes == MALE))
    old = texts(np.hstack([digits(where, 6), digits(_yyyymmdd(days) % 1_000_000, 6), digits(sequence, 3)]))
    outside = np.flatnonzero((year < 1900) | (year > 1999))
    old[outside] = resident_ids(rng, days[outside], np.asarray(sexes, dtype=object)[outside])
    return old


def _yyyymmdd(days: Days) -> Integers:
    months = days.astype("datetime64[M]")
    year, month = np.divmod(months.astype(np.int64) + 1970 * 12, 12)
    return year * 10000 + (month + 1) * 100 + (days - months).astype(np.int64) + 1


def _sequence(rng: np.random.Generator, regions: Integers, days: Days, male: NDArray[np.bool_]) -> Integers:
    """Three digits, odd for men, no two alike for one region, day and sex."""
    key = (regions * 200_000 + days.astype(np.int64) + 80_000) * 2 + male
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(key) else np.empty(0, dtype=np.int64)
    sizes = np.diff(np.r_[starts, len(key)])
    rank = np.arange(len(key)) - np.repeat(starts, sizes)
    if len(key) and rank.max() >= 500:
        raise Exhausted("more than 500 people of one sex born on one day in one region")
    offset = np.repeat(rng.integers(0, 500, len(starts)), sizes)
    step = np.repeat(rng.choice([7, 11, 13, 17, 19, 23, 27, 29], len(starts)), sizes)  # coprime to 500: no repeats
    sequence = np.empty(len(key), dtype=np.int64)
    sequence[order] = (offset + rank * step) % 500 * 2 + male[order]
    return sequence
