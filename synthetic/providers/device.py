"""Devices and places on the net and on the ground: IMEI, IP and MAC addresses, coordinates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synthetic.providers.checksums import luhn_check
from synthetic.providers.gazetteer import DISTRICTS
from synthetic.providers.pools import (
    Bytes,
    Words,
    constant,
    decimal_texts,
    digits,
    distinct_integers,
    in_alphabet,
    pick_index,
    texts,
)

_HEX = np.frombuffer(b"0123456789ABCDEF", dtype=np.uint8)
_REACH = 0.018
"""spread of a district in degrees, about two kilometres: the districts of the city lie further apart"""


def imeis(rng: np.random.Generator, n: int) -> Words:
    """IMEIs of 15 digits with a right Luhn digit, all different.

    They start with 00, which GSMA TS.06 keeps for test equipment: no device on sale has one (the reading of the
    document is assumed).
    """
    body = np.hstack([constant("00", n), digits(distinct_integers(rng, n, 10**12), 12)])
    return texts(np.hstack([body, luhn_check(body)[:, None]]))


def ips(rng: np.random.Generator, n: int, *, version: int = 4) -> Words:
    """Network addresses that are routed to nobody: 198.18.0.0/15 (RFC 2544), or 2001:db8::/32 (RFC 3849) for version 6.

    Addresses repeat, as they do in a log: the range of version 4 has 131,072.
    """
    if version == 6:
        groups = [constant("2001:0db8", n)]
        for _ in range(6):
            groups += [constant(":", n), _hexadecimal(rng.integers(0, 1 << 16, n), 4)]
        return texts(np.hstack(groups))
    number = rng.integers(0, 1 << 17, n)
    second, third, fourth = 18 + (number >> 16), (number >> 8) & 255, number & 255
    return "198." + decimal_texts(second) + "." + decimal_texts(third) + "." + decimal_texts(fourth)


def macs(rng: np.random.Generator, n: int) -> Words:
    """MAC addresses `06:44:99:` + 6 hexadecimal digits, all different.

    The bit for local administration is set, so no maker can hold them; IEEE 802c keeps this quarter of the local
    addresses unused. A telephone that hides behind a random address may draw one, for a while (one in 2**46).
    """
    number = _hexadecimal(distinct_integers(rng, n, 1 << 24), 6)
    colon = constant(":", n)
    return texts(np.hstack([constant("06:44:99:", n), number[:, :2], colon, number[:, 2:4], colon, number[:, 4:]]))


def coordinates(
    rng: np.random.Generator, n: int, districts: Words | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitudes and latitudes (degrees, six decimals) around the centres of 示范市's districts, nobody's home.

    The city is invented, the ground under it is not: a point says where, never who. A name of `districts` that the city
    does not have stands for any of its districts.
    """
    weights = [district.weight for district in DISTRICTS]
    place = pick_index(rng, len(DISTRICTS), n, weights)
    if districts is not None:
        known = {district.name: index for index, district in enumerate(DISTRICTS)}
        asked = np.fromiter((known.get(name, -1) for name in districts.tolist()), dtype=np.int64, count=n)
        place = np.where(asked < 0, place, asked)
    centres = np.array([(district.longitude, district.latitude) for district in DISTRICTS])[place]
    points = np.round(centres + rng.normal(0, _REACH, (n, 2)).clip(-3 * _REACH, 3 * _REACH), 6)
    return points[:, 0], points[:, 1]


def _hexadecimal(values: NDArray[np.integer], width: int) -> Bytes:
    return in_alphabet(values, width, _HEX)
