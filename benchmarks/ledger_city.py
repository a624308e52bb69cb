"""A city of persons with years of releases about them, for the differencing ledger: cubes with all margins, monthly
snapshots, recodes, "all but the rare". Cells below the threshold are dropped, nothing else is protected, as a merchant
would first make it. By seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from sandbox.exports.history import COUNT, ReleasedCell
from sandbox.products.cells import packed

AMOUNT = "amount:value"
MONTHS = 12
THRESHOLD = 10

Columns = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Releases:
    """What is in the ledger and what is asked for now, and how many persons the city has."""

    old: tuple[ReleasedCell, ...]
    new: tuple[ReleasedCell, ...]
    persons: int


def city(persons: int, seed: int) -> Columns:
    """One value a person: places, trades, ages in three codings, size, owner, months of entry and exit, an amount."""
    rng = np.random.default_rng(seed)
    weights = rng.gamma(2.0, size=170)
    street = np.sort(rng.choice(170, persons, p=weights / weights.sum()))
    industry = rng.choice(90, persons, p=rng.dirichlet(np.full(90, 3.0)))
    age = rng.integers(0, 90, persons)
    return {
        "street": street, "district": np.sort(rng.integers(0, 11, 170))[street],
        "zone": rng.integers(0, 40, 170)[street], "industry": industry, "section": industry * 20 // 90,
        "sex": rng.integers(0, 2, persons), "age5": age // 5, "age10": age // 10,
        "bands": np.searchsorted([18, 25, 35, 45, 60], age, side="right"), "size": rng.integers(0, 5, persons),
        "owner": np.where(rng.random(persons) < 0.003, 4, rng.integers(0, 4, persons)),
        "entry": rng.integers(-60, MONTHS, persons), "exit": rng.integers(0, 80, persons),
        "value": rng.lognormal(3, 1.5, persons),
    }  # fmt: skip


def releases(persons: int = 100_000, seed: int = 7) -> Releases:
    """22 releases in the ledger and one request."""
    people = city(persons, seed)
    everybody = np.arange(persons)
    old: list[ReleasedCell] = []
    plain: list[tuple[str, ...]] = [
        ("street", "sex"), ("street", "section"), ("district", "industry"), ("industry", "size"), ("street", "bands"),
        ("district", "age5", "sex"), ("district", "age10", "section"), ("section", "size", "sex"), ("zone", "sex"),
    ]  # fmt: skip
    for number, dimensions in enumerate(plain):
        old += cube(f"R{number}", people, everybody, dimensions)
    for month in range(MONTHS):
        there = everybody[(people["entry"] <= month) & (people["exit"] > month)]
        old += cube(f"M{month}", people, there, ("district", "section", "sex"))
    common = everybody[people["owner"] != 4]
    old += cube("X", people, common, ("street", "section"))
    new = [*cube("N", people, everybody, ("street", "age10")), *cube("O", people, common, ("street", "sex"))]
    return Releases(tuple(old), tuple(new), persons)


def cube(release: str, people: Columns, who: npt.NDArray[np.int64], dimensions: Sequence[str]) -> list[ReleasedCell]:
    """Counts and amounts of a cube with every margin; cells of fewer than the threshold are dropped."""
    margins = [d for size in range(len(dimensions), -1, -1) for d in combinations(dimensions, size)]
    found: list[ReleasedCell] = []
    for grouping, kept in enumerate(margins):
        for number, members in enumerate(_groups(people, who, kept)):
            if len(members) >= THRESHOLD:
                place = f"{release}#grouping={grouping};row={number}"
                found += cells(release, place, members, people["value"][members], f"{release}:cube", grouping)
    return found


def cells(
    release: str, place: str, members: npt.NDArray[np.int64], values: npt.NDArray[np.float64], table: str = "",
    grouping: int = 0,
) -> Iterator[ReleasedCell]:  # fmt: skip
    """The count and the amount of one set."""
    name, raw = packed(members.tolist())
    top = np.sort(values)[::-1][:2].tolist()
    n = len(members)
    yield ReleasedCell(
        release, place, "person", COUNT, "count_distinct", n, name, raw, None, None, "exact", float(n), (1.0, 1.0),
        f"{table}:count", grouping,
    )  # fmt: skip
    yield ReleasedCell(
        release, place, "person", AMOUNT, "sum", n, name, raw, None, None, "exact", float(values.sum()), tuple(top),
        f"{table}:sum", grouping,
    )  # fmt: skip


def _groups(
    people: Columns, who: npt.NDArray[np.int64], dimensions: Sequence[str]
) -> Iterator[npt.NDArray[np.int64]]:
    key = np.zeros(len(who), dtype=np.int64)
    for name in dimensions:
        key = key * 1000 + people[name][who]
    order = np.argsort(key, kind="stable")
    edges = np.flatnonzero(np.diff(key[order], prepend=-1, append=-1))
    for start, end in pairwise(edges):
        yield who[order[start:end]]
