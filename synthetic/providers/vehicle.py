"""Vehicles: number plates and VINs."""

from __future__ import annotations

import numpy as np

from synthetic.providers.checksums import vin_check
from synthetic.providers.pools import (
    Bytes,
    Words,
    constant,
    digits,
    distinct_integers,
    in_alphabet,
    pick_index,
    prefixed,
    texts,
)

_LETTERS = np.frombuffer(b"ABCDEFGHJKLMNPQRSTUVWXYZ", dtype=np.uint8)  # GA 36: no I, no O
_PLATE = np.frombuffer(b"0123456789ABCDEFGHJKLMNPQRSTUVWXYZ", dtype=np.uint8)
_ENERGY = np.frombuffer(b"DFABCEGHJK", dtype=np.uint8)  # GA 36-2018: pure electric D A B C E, others F G H J K
_VIN = np.frombuffer(b"0123456789ABCDEFGHJKLMNPRSTUVWXYZ", dtype=np.uint8)
_MODEL_YEARS = np.frombuffer(b"FGHJKLMNPRST", dtype=np.uint8)  # 2015…2026, GB 16735
_PAIRS = tuple((a, b) for a in range(5) for b in range(a + 1, 5))


def plates(rng: np.random.Generator, n: int, *, new_energy: float = 0.3) -> Words:
    """Plates (GA 36-2018) `粤O` + 5 characters, or 6 for the share `new_energy` of new-energy vehicles. All different.

    粤O was the letter of police vehicles and was withdrawn; that none is in use is assumed.
    """
    energy = rng.random(n) < new_energy
    out = np.empty(n, dtype=object)
    green, blue = np.flatnonzero(energy), np.flatnonzero(~energy)
    out[green] = texts(_green(rng, len(green)))
    out[blue] = texts(_blue(rng, len(blue)))
    return prefixed("粤O", out)


def _green(rng: np.random.Generator, n: int) -> Bytes:
    """A letter of the drive (D and F, others only for many plates), one free character, four digits."""
    drives = 2 if n <= 100_000 else len(_ENERGY)
    head, tail = np.divmod(distinct_integers(rng, n, drives * len(_PLATE) * 10**4), 10**4)
    drive, free = np.divmod(head, len(_PLATE))
    return np.hstack([_ENERGY[drive][:, None], _PLATE[free][:, None], digits(tail, 4)])


def _blue(rng: np.random.Generator, n: int) -> Bytes:
    """Five characters, two of them letters, at any two places."""
    serial = distinct_integers(rng, n, len(_PAIRS) * 24 * 24 * 1000)
    pair, rest = np.divmod(serial, 24 * 24 * 1000)
    letters, number = np.divmod(rest, 1000)
    three, out = digits(number, 3), np.empty((n, 5), dtype=np.uint8)
    for turn, places in enumerate(_PAIRS):
        rows = np.flatnonzero(pair == turn)
        free = np.array([place for place in range(5) if place not in places])
        out[rows[:, None], free] = three[rows]
        out[rows, places[0]] = _LETTERS[letters[rows] // 24]
        out[rows, places[1]] = _LETTERS[letters[rows] % 24]
    return out


def vins(rng: np.random.Generator, n: int) -> Words:
    """VINs (GB 16735, check character at place 9) with the maker's code `L00` (assumed nobody's). All different."""
    serial = distinct_integers(rng, n, 33**2 * 10**6)
    kind, number = np.divmod(serial, 10**6)
    year = _MODEL_YEARS[pick_index(rng, len(_MODEL_YEARS), n)][:, None]
    vin = np.hstack([constant("L00AB", n), in_alphabet(kind, 2, _VIN), constant("A0", n), year, constant("A", n)])
    vin = np.hstack([vin, digits(number, 6)])
    vin[:, 8] = vin_check(vin)
    return texts(vin)
