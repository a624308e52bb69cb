"""Organisations: unified social credit codes with a valid inner organisation code, company names."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synthetic.providers import vocabulary
from synthetic.providers.checksums import USCC_ALPHABET, organisation_code_check, uscc_check
from synthetic.providers.gazetteer import CITY
from synthetic.providers.pools import Bytes, Words, constant, digits, distinct_integers, in_alphabet, pick, texts, words

_ALPHABET = np.frombuffer(USCC_ALPHABET.encode(), dtype=np.uint8)
COMPANY, SOLE_TRADER = "91", "92"
_OWN_USE = 99_999
_FORMS = ("有限公司", "有限责任公司", "股份有限公司")


def _organisation_bodies(rng: np.random.Generator, n: int) -> Bytes:
    """`MA` + 6 characters, as codes given since 2015 look."""
    return np.hstack([constant("MA", n), in_alphabet(distinct_integers(rng, n, 31**6), 6, _ALPHABET)])


def organisation_codes(rng: np.random.Generator, n: int) -> Words:
    """Organisation codes (GB 11714-1997), 9 characters without hyphen, all different.

    Up to 50,000 come from PDY00001 … PDY99999, which the standard leaves to everybody's own use and gives to nobody.
    More start with `MZ`: a Z cannot stand in a unified social credit code, into which every code in use was carried
    over, so no organisation has one (assumed).
    """
    if n <= _OWN_USE // 2:
        body = np.hstack([constant("PDY", n), digits(distinct_integers(rng, n, _OWN_USE) + 1, 5)])
    else:
        body = np.hstack([constant("MZ", n), in_alphabet(distinct_integers(rng, n, 31**6), 6, _ALPHABET)])
    return texts(np.hstack([body, organisation_code_check(body)[:, None]]))


def usccs(
    rng: np.random.Generator,
    n: int,
    *,
    kinds: Words | str = COMPANY,
    regions: NDArray[np.integer] | None = None,
) -> Words:
    """Unified social credit codes (GB 32100-2015), all different.

    `kinds` are the first two characters (91 company, 92 sole trader, 12 public institution, 52 private non-enterprise).
    `regions` must start with 4499, a prefecture code that is not assigned; by default any of 449901…449999.
    """
    where = rng.integers(449901, 450000, n) if regions is None else np.asarray(regions, dtype=np.int64)
    if (where // 100 != 4499).any():
        raise ValueError("credit codes are generated only for the unassigned regions 4499xx")
    kind = np.broadcast_to(np.asarray(kinds, dtype=object), n).astype(np.int64)
    body = _organisation_bodies(rng, n)
    front = np.hstack([digits(kind, 2), digits(where, 6), body, organisation_code_check(body)[:, None]])
    return texts(np.hstack([front, uscc_check(front)[:, None]]))


def company_names(
    rng: np.random.Generator, n: int, *, industries: Words | None = None, forms: Words | None = None
) -> Words:
    """Company names that start with 示范市, a city that does not exist: 示范市恒信达电子有限公司.

    `industries` are names of the national industry sections (GB/T 4754), known ones give fitting words; `forms` are the
    endings (有限公司 …).
    """
    first, second = vocabulary.TRADE_NAMES_FIRST, vocabulary.TRADE_NAMES_SECOND
    third = np.where(rng.random(n) < 0.35, pick(rng, second, n), "")
    line = _industry_words(rng, n, industries)
    ending = pick(rng, _FORMS, n, (0.78, 0.18, 0.04)) if forms is None else forms
    return CITY + pick(rng, first, n) + pick(rng, second, n) + third + line + ending


def _industry_words(rng: np.random.Generator, n: int, industries: Words | None) -> Words:
    table = vocabulary.INDUSTRY_WORDS
    if industries is None:
        return pick(rng, [word for group in table.values() for word in group], n)
    sections = words(list(table))[rng.integers(0, len(table), n)]
    known = np.isin(np.asarray(industries, dtype=object).astype(str), list(table))
    sections = np.where(known, industries, sections)
    out = np.empty(n, dtype=object)
    for section, group in table.items():
        rows = np.flatnonzero(sections == section)
        out[rows] = pick(rng, group, len(rows))
    return out
