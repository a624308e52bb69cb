"""The people of 示范市 as arrays: who is how old, lives where, learned what, works and earns how much.

Everything other tables need about a person is drawn once here, so the tables agree. Shares and curves are assumed:
chosen to look like a city of the Pearl River Delta, not taken from one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthetic import providers
from synthetic.city.schema import AS_OF
from synthetic.city.streams import Streams
from synthetic.providers.gazetteer import DISTRICTS, STREETS
from synthetic.providers.person import FEMALE, MALE
from synthetic.providers.pools import Words, pick_index

EDUCATION = ("未上过学", "小学", "初中", "高中或中专", "大专", "本科", "研究生")
_EDUCATION_STEPS = (-2.3, -1.05, 0.35, 1.05, 1.65, 2.75)
_AGES = (0, 6, 15, 18, 25, 32, 42, 52, 62, 72, 82, 95, 101)
_AGE_WEIGHTS = (0.85, 1.15, 1.0, 0.95, 1.35, 1.75, 1.55, 1.35, 0.95, 0.62, 0.28, 0.03, 0.0)
MONEY_BY_EDUCATION = np.array([4600, 5000, 5900, 7000, 8700, 12000, 17500.0])  # yuan a month at mid-career


@dataclass(frozen=True, slots=True)
class Population:
    """One entry a person in every array. `reserved` people occur in no other table: their records may be broken."""

    ids: Words
    names: Words
    mobiles: Words
    births: NDArray[np.datetime64]
    ages: NDArray[np.int64]
    male: NDArray[np.bool_]
    streets: NDArray[np.int64]
    districts: NDArray[np.int64]
    local: NDArray[np.bool_]
    education: NDArray[np.int64]
    employed: NDArray[np.bool_]
    income: NDArray[np.float64]
    reserved: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ids)

    def sexes(self, rows: slice | NDArray[np.int64]) -> Words:
        return np.where(self.male[rows], MALE, FEMALE).astype(object)


def settle(streams: Streams, n: int) -> Population:
    """`n` people living in the city on the day it is described at."""

    def rng(column: str) -> np.random.Generator:
        return streams.rng("population", column)

    ages, births = _ages(rng("birth"), n)
    male = rng("sex").random(n) < np.where(ages < 15, 0.53, np.where(ages < 60, 0.525, 0.46))
    streets = _streets(rng("street"), ages)
    districts = np.array([DISTRICTS.index(d) for d, _ in STREETS])[streets]
    local = rng("local").random(n) < np.where(ages >= 60, 0.83, np.where(ages < 18, 0.62, 0.45))
    education = _education(rng("education"), ages, births, districts)
    employed = _employed(rng("employed"), ages, male, education)
    sexes = np.where(male, MALE, FEMALE).astype(object)
    return Population(
        ids=providers.resident_ids(rng("id"), births, sexes, _regions(rng("region"), districts, births)),
        names=providers.person_names(rng("name"), n, sexes, births),
        mobiles=providers.mobiles(rng("mobile"), n),
        births=births,
        ages=ages,
        male=male,
        streets=streets,
        districts=districts,
        local=local,
        education=education,
        employed=employed,
        income=_income(rng("income"), ages, male, education, districts),
        reserved=np.arange(n) % 50 == 49,
    )


def _ages(rng: np.random.Generator, n: int) -> tuple[NDArray[np.int64], NDArray[np.datetime64]]:
    weights = np.interp(np.arange(101), _AGES, _AGE_WEIGHTS)
    days = (pick_index(rng, 101, n, weights) + rng.random(n)) * 365.2425
    births = AS_OF - days.astype(np.int64).astype("timedelta64[D]")
    return age_on(births, AS_OF), births


def age_on(births: NDArray[np.datetime64], day: np.datetime64 | NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Completed years on `day`."""
    months = np.asarray(day, "datetime64[M]").astype(np.int64) - births.astype("datetime64[M]").astype(np.int64)
    days = np.asarray(day, "datetime64[D]") - np.asarray(day, "datetime64[M]")
    born = births.astype("datetime64[D]") - births.astype("datetime64[M]")
    return (months - (days < born)) // 12


def _streets(rng: np.random.Generator, ages: NDArray[np.int64]) -> NDArray[np.int64]:
    """Old people live rather in the old town and the outer towns, the young in the new districts."""
    out = np.empty(len(ages), dtype=np.int64)
    for old in (False, True):
        tilt = {"中和区": 1.6, "江口区": 1.5, "东湖区": 0.7} if old else {}
        weights = [
            d.weight * tilt.get(d.name, 1.0) * (0.6 if s.name.endswith("镇") else 1.0 + 0.5 * (place % 3))
            for place, (d, s) in enumerate(STREETS)
        ]
        rows = np.flatnonzero((ages >= 60) == old)
        out[rows] = pick_index(rng, len(STREETS), len(rows), weights)
    return out


def _regions(
    rng: np.random.Generator, districts: NDArray[np.int64], births: NDArray[np.datetime64]
) -> NDArray[np.int64]:
    """The region in the ID: where it was first registered. Before 1988 all were registered under the city proper."""
    codes = np.array([int(district.code) for district in DISTRICTS])
    region = np.where(rng.random(len(districts)) < 0.8, districts, rng.integers(0, len(DISTRICTS), len(districts)))
    return np.where(births < np.datetime64("1988-01-01"), 449901, codes[region])


def _education(
    rng: np.random.Generator,
    ages: NDArray[np.int64],
    births: NDArray[np.datetime64],
    districts: NDArray[np.int64],
) -> NDArray[np.int64]:
    year = births.astype("datetime64[Y]").astype(np.int64) + 1970
    income = np.array([district.income for district in DISTRICTS])[districts]
    score = (year - 1972) / 20 * 0.8 + (income - 1) * 2.2 + rng.standard_normal(len(ages))
    score = np.where(year >= 1985, np.maximum(score, -0.6), score)
    reached = np.searchsorted(_EDUCATION_STEPS, score, side="right")
    highest = np.select([ages < 6, ages < 12, ages < 15, ages < 18, ages < 21, ages < 24], [0, 1, 2, 3, 4, 5], 6)
    lowest = np.select([ages < 6, ages < 12, ages < 15], [0, 1, 2], 0)
    return np.clip(reached, lowest, highest)


def _employed(
    rng: np.random.Generator, ages: NDArray[np.int64], male: NDArray[np.bool_], education: NDArray[np.int64]
) -> NDArray[np.bool_]:
    retired = np.where(male, 60, 55)
    chance = np.select([ages < 16, ages < 19, ages < 23, ages < retired], [0, 0.25, 0.5, 0.8], 0.06)
    chance = chance + np.where((ages >= 23) & (ages < retired), 0.025 * (education - 3) + 0.05 * male, 0)
    return rng.random(len(ages)) < chance


def _income(
    rng: np.random.Generator,
    ages: NDArray[np.int64],
    male: NDArray[np.bool_],
    education: NDArray[np.int64],
    districts: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Monthly income in yuan if the person works: education, a career curve, the district, and luck."""
    career = 1 - ((ages - 43) / 38.0) ** 2 * 0.55
    place = np.array([district.income for district in DISTRICTS])[districts]
    luck = np.exp(rng.normal(0, 0.3, len(ages)))
    return MONEY_BY_EDUCATION[education] * np.clip(career, 0.45, 1.0) * place**0.8 * np.where(male, 1.07, 0.98) * luck
