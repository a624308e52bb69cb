"""Addresses of 示范市 whose district, street, road and number agree."""

from __future__ import annotations

from zlib import crc32

import numpy as np

from synthetic.providers.gazetteer import CITY, DISTRICTS, STREETS, Street
from synthetic.providers.pools import Words, decimal_texts, pick_index, words

_ESTATE_SHARE = {"home": 0.68, "office": 0.3, "site": 0.0}
_TOWERS = ("商务中心", "科技大厦", "广场写字楼", "创业园", "国际大厦")


def places(rng: np.random.Generator, n: int) -> tuple[Words, Words]:
    """`n` pairs of district and street names of 示范市, in proportion to the population."""
    weights = [district.weight / len(district.streets) for district, _ in STREETS]
    index = pick_index(rng, len(STREETS), n, weights)
    return words([d.name for d, _ in STREETS])[index], words([s.name for _, s in STREETS])[index]


def addresses(rng: np.random.Generator, districts: Words, streets: Words, *, kind: str = "home") -> Words:
    """One address a row, down to the door: 示范市东湖区云栖街道学府路66号3栋502房.

    `districts` and `streets` are names. A pair that 示范市 does not have keeps its names and gets roads of the city
    chosen by the names, so equal pairs always have the same roads. `kind` is "home", "office", or "site" (a whole
    plot: road and number only).
    """
    names = np.asarray(districts, dtype=object) + np.asarray(streets, dtype=object)
    heads, place = np.unique(names.astype(str), return_inverse=True)
    sites = _sites(kind)
    table = words([CITY + head + site for head in heads.tolist() for site in sites[_position(head)]])
    per_street = len(sites[0])
    estate = (rng.random(len(names)) < _ESTATE_SHARE[kind]).astype(np.int64)
    road = rng.integers(0, 4, len(names))
    site = place * per_street + np.where(estate == 1, 4 + road % (per_street - 4), road)
    number = np.minimum(rng.gamma(1.6, 55, len(names)).astype(np.int64) + 1, 688)
    door = decimal_texts(number) + "号"
    return table[site] + np.where(estate == 1, "", door) + _doors(rng, estate, kind)


def _sites(kind: str) -> tuple[tuple[str, ...], ...]:
    """For every street four roads, then the named places with their own road and number."""
    return tuple(street.roads + _named(street, kind) for _, street in STREETS)


def _named(street: Street, kind: str) -> tuple[str, ...]:
    if kind == "office":
        return tuple(f"{road}88号{road[:2]}{tower}" for road, tower in zip(street.roads, _TOWERS, strict=False))
    return tuple(where + name for where, name in street.estates)


def _position(head: str) -> int:
    for position, (district, street) in enumerate(STREETS):
        if head == district.name + street.name:
            return position
    return crc32(head.encode()) % len(STREETS)


def _doors(rng: np.random.Generator, estate: np.ndarray, kind: str) -> Words:
    n = len(estate)
    if kind == "site":
        return words([""])[np.zeros(n, dtype=np.int64)]
    floors, rooms = rng.integers(1, 33, n), rng.integers(1, 7, n)
    room = decimal_texts(floors * 100 + rooms)
    if kind == "office":
        shop = np.where(rng.random(n) < 0.5, "首层", "101铺")
        return np.where(estate == 1, room + "室", shop)
    tower = decimal_texts(rng.integers(1, 19, n)) + "栋"
    small = decimal_texts(rng.integers(1, 8, n) * 100 + rooms) + "房"
    return np.where(estate == 1, tower + room + "房", np.where(rng.random(n) < 0.6, small, ""))


def district_names() -> tuple[str, ...]:
    """Names of the six districts."""
    return tuple(district.name for district in DISTRICTS)
