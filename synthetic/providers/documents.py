"""Travel documents, residence permits, patient and pupil numbers."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from synthetic.providers.person import Days, births, identity_numbers, person_sexes
from synthetic.providers.pools import Words, constant, digits, distinct_integers, prefixed, texts

PermitKind = Literal["hong_kong_macau", "taiwan", "home_return", "compatriot", "residence", "foreigner"]

_RESIDENCE_REGIONS = np.array([819999, 829999, 839999])
_FOREIGN_REGION = 944999
_WORDS: tuple[tuple[str, PermitKind], ...] = (  # the first word found decides
    ("外国人", "foreigner"),
    ("永居", "foreigner"),
    ("永久居留", "foreigner"),
    ("居住证", "residence"),
    ("台胞", "compatriot"),
    ("台湾居民", "compatriot"),
    ("回乡", "home_return"),
    ("港澳居民", "home_return"),
    ("台湾", "taiwan"),
    ("赴台", "taiwan"),
)


def passports(rng: np.random.Generator, n: int) -> Words:
    """Ordinary passports of the form `EZ` + 7 digits. Issue goes EA, EB, … in order; EZ is assumed not reached."""
    return texts(np.hstack([constant("EZ", n), digits(distinct_integers(rng, n, 10**7), 7)]))


def permit_kind(words: str) -> PermitKind:
    """The document that a column's name or comment speaks of; 往来港澳通行证 where it does not say."""
    return next((kind for word, kind in _WORDS if word in words), "hong_kong_macau")


def permits(
    rng: np.random.Generator, n: int, *, kind: PermitKind = "hong_kong_macau", born: Days | None = None,
    sexes: Words | None = None,
) -> Words:  # fmt: skip
    """Numbers of one kind of permit, all different.

    | kind | document | range | why nobody holds it |
    |---|---|---|---|
    | hong_kong_macau | 往来港澳通行证 | `CO` + 7 digits | the second place takes letters in order without I and O |
    | taiwan | 往来台湾通行证 | `L9` + 7 digits | issue in order has not come near it (assumed) |
    | home_return | 港澳居民来往内地通行证 | `H9`/`M9` + 7 digits + renewals | lifelong numbers of 8 million people |
    | compatriot | 台湾居民来往大陆通行证 | `9` + 7 digits | lifelong numbers of 24 million people |
    | residence | 港澳台居民居住证 | regions 819999, 829999, 839999 | the regions are 810000, 820000 and 830000 only |
    | foreigner | 外国人永久居留身份证 | `9` + 44 + nationality 999 | ISO 3166-1 gives 999 to no country |

    Sources: National Immigration Administration, 2018-12 (CO); Ministry of Public Security, 2010-03 (H, M); the rules
    of the residence permit (2018) and of the permanent residence card in its form of 2023. The last two carry birth
    and sex like a resident ID and follow `born` and `sexes` where they are given.

    Raises:
        ValueError: an unknown kind; `Exhausted`: more numbers wanted than the range has.
    """
    if kind not in get_args(PermitKind):
        raise ValueError(f"no permit of the kind {kind}")
    if kind in ("residence", "foreigner"):
        return identity_numbers(
            rng, _regions(rng, n, kind), births(rng, n) if born is None else born,
            person_sexes(rng, n) if sexes is None else sexes,
        )  # fmt: skip
    number = digits(distinct_integers(rng, n, 10**7), 7)
    if kind == "home_return":
        letters = np.frombuffer(b"HM", dtype=np.uint8)[(rng.random(n) < 0.1).astype(np.int64)]
        renewals = np.minimum(rng.geometric(0.6, n) - 1, 9)
        return texts(np.hstack([letters[:, None], constant("9", n), number, digits(renewals, 2)]))
    return texts(np.hstack([constant({"hong_kong_macau": "CO", "taiwan": "L9", "compatriot": "9"}[kind], n), number]))


def _regions(rng: np.random.Generator, n: int, kind: PermitKind) -> NDArray[np.integer]:
    return np.full(n, _FOREIGN_REGION) if kind == "foreigner" else rng.choice(_RESIDENCE_REGIONS, n)


def medical_numbers(rng: np.random.Generator, n: int) -> Words:
    """Patient numbers `M4499` + 8 digits: no public format exists, the city code marks them."""
    return texts(np.hstack([constant("M4499", n), digits(distinct_integers(rng, n, 10**8), 8)]))


def school_numbers(rng: np.random.Generator, resident_ids: Words) -> Words:
    """Pupil numbers (学籍号) in the usual form `G` + resident ID, hence as unassigned as the ID."""
    del rng  # the number follows from the ID; the argument keeps the providers alike
    return prefixed("G", np.asarray(resident_ids, dtype=object))
