"""Addresses whose district, street, road and number agree; all of them in 示范市, whatever the districts are called."""

from __future__ import annotations

from typing import Literal
from zlib import crc32

import numpy as np

from synthetic.providers.gazetteer import CITY, DISTRICTS, GUANGZHOU, STREETS, STREETS_OF, Street
from synthetic.providers.pools import Words, pick, pick_index, words

_ESTATE_SHARE = {"home": 0.68, "office": 0.3, "site": 0.0}
_NO_PLACE = frozenset({"其他", "不详", "未知"})
_HOME = {street: district for district, streets in STREETS_OF.items() for street in streets}
_NUMBERS = words(["", *(f"{number}号" for number in range(1, 689))])
_FLATS = tuple(str(floor * 100 + room) for floor in range(1, 33) for room in range(1, 7))
_HOUSES = tuple(f"{floor * 100 + room}房" for floor in range(1, 8) for room in range(1, 7))
_HOMES = words(["", *_HOUSES, *(f"{tower}栋{flat}房" for tower in range(1, 19) for flat in _FLATS)])
_OFFICES = words([*(flat + "室" for flat in _FLATS), "首层", "101铺"])
_TOWERS = ("商务中心", "科技大厦", "广场写字楼", "创业园", "国际大厦")


def places(rng: np.random.Generator, n: int, *, division: Literal["示范市", "广州"] = "示范市") -> tuple[Words, Words]:
    """`n` pairs of district and street names of one division, in proportion to the population."""
    if division == CITY:
        weights = [district.weight / len(district.streets) for district, _ in STREETS]
        index = pick_index(rng, len(STREETS), n, weights)
        return words([d.name for d, _ in STREETS])[index], words([s.name for _, s in STREETS])[index]
    index = pick_index(rng, len(GUANGZHOU), n, [people for people, _ in GUANGZHOU.values()])
    districts = words(list(GUANGZHOU))[index]
    return districts, streets_in(rng, districts)


def streets_in(rng: np.random.Generator, districts: Words) -> Words:
    """A street of each district. Districts of no known division get the same few streets of 示范市 every time."""
    out = np.empty(len(districts), dtype=object)
    names, place = np.unique(np.asarray(districts, dtype=object).astype(str), return_inverse=True)
    for index, name in enumerate(names.tolist()):
        rows = np.flatnonzero(place == index)
        out[rows] = pick(rng, STREETS_OF.get(name) or STREETS_OF[DISTRICTS[crc32(name.encode()) % 6].name], len(rows))
    return out


def whereabouts(
    rng: np.random.Generator, n: int, districts: Words | None, streets: Words | None
) -> tuple[Words, Words]:
    """District and street for `n` addresses that follow what a row already says.

    A label is kept; where one of the two is missing (none, empty, or 其他, which stands for merged labels) the other
    one decides, and where both are, a place of 示范市 is drawn.
    """
    near, street = places(rng, n)
    has_district, has_street = _named_rows(districts, n), _named_rows(streets, n)
    if districts is not None:
        near[has_district] = districts[has_district]
        alone = has_district & ~has_street
        street[alone] = streets_in(rng, near[alone])
    if streets is not None:
        street[has_street] = streets[has_street]
        homeless = has_street & ~has_district
        near[homeless] = [_HOME.get(name, "") for name in street[homeless].tolist()]
    return near, street


def _named_rows(labels: Words | None, n: int) -> np.ndarray:
    if labels is None:
        return np.zeros(n, dtype=bool)
    return np.fromiter((bool(label) and label not in _NO_PLACE for label in labels.tolist()), dtype=bool, count=n)


def addresses(rng: np.random.Generator, districts: Words, streets: Words, *, kind: str = "home") -> Words:
    """One address a row, down to the door: 示范市东湖区云栖街道学府路66号3栋502房.

    `districts` and `streets` are names. A pair that 示范市 does not have keeps its names and gets roads of the city
    chosen by the names, so equal pairs always have the same roads. `kind` is "home", "office", or "site" (a whole
    plot: road and number only).
    """
    n = len(districts)
    heads: dict[tuple[str, str], int] = {}
    pairs = zip(np.asarray(districts, dtype=object).tolist(), np.asarray(streets, dtype=object).tolist(), strict=True)
    place = np.fromiter((heads.setdefault(pair, len(heads)) for pair in pairs), dtype=np.int64, count=n)
    sites = _sites(kind)
    table = words([CITY + d + s + site for d, s in heads for site in sites[_position(d + s)]])
    per_street = len(sites[0])
    estate = (rng.random(n) < _ESTATE_SHARE[kind]).astype(np.int64)
    road = rng.integers(0, 4, n)
    site = place * per_street + np.where(estate == 1, 4 + road % (per_street - 4), road)
    number = np.minimum(rng.gamma(1.6, 55, n).astype(np.int64) + 1, 688)
    doors, door = _doors(rng, estate, kind)
    return table[site] + _NUMBERS[np.where(estate == 1, 0, number)] + doors[door]


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


def _doors(rng: np.random.Generator, estate: np.ndarray, kind: str) -> tuple[Words, np.ndarray]:
    """Every way a door is written, and which of them each row has. Row by row the parts would have to be joined."""
    n = len(estate)
    if kind == "site":
        return words([""]), np.zeros(n, dtype=np.int64)
    floors, rooms = rng.integers(1, 33, n), rng.integers(1, 7, n)
    flat = (floors - 1) * 6 + rooms - 1
    if kind == "office":
        return _OFFICES, np.where(estate == 1, flat, len(_FLATS) + (rng.random(n) >= 0.5))
    tower = rng.integers(1, 19, n)
    house = (rng.integers(1, 8, n) - 1) * 6 + rooms - 1
    small = np.where(rng.random(n) < 0.6, 1 + house, 0)
    return _HOMES, np.where(estate == 1, 1 + len(_HOUSES) + (tower - 1) * len(_FLATS) + flat, small)
