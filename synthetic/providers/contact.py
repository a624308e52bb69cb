"""Ways to reach somebody: mobiles, landlines, e-mail addresses."""

from __future__ import annotations

import numpy as np

from synthetic.providers.pools import Words, constant, decimal_texts, digits, distinct_integers, listed, pick, texts

_MAIL_WORDS = listed(
    "info contact office service sales admin hello kefu hr caiwu "
    "zhang wang li chen liu yang huang wu zhou lin he luo liang"
)


def mobiles(rng: np.random.Generator, n: int) -> Words:
    """Mobile numbers `154` + 8 digits, all different. 154 was never allotted to an operator (MIIT segments)."""
    return texts(np.hstack([constant("154", n), digits(distinct_integers(rng, n, 10**8), 8)]))


def landlines(rng: np.random.Generator, n: int) -> Words:
    """Landlines `0767-` + 8 digits, all different. 0767 is assumed to be a gap in Guangdong's area codes."""
    numbers = 20_000_000 + distinct_integers(rng, n, 70_000_000)  # a subscriber number starts with 2…8
    return texts(np.hstack([constant("0767-", n), digits(numbers, 8)]))


def emails(rng: np.random.Generator, n: int) -> Words:
    """Addresses at example.com, a domain kept for examples (RFC 2606). All different."""
    serial = decimal_texts(distinct_integers(rng, n, max(10_000, 20 * n)))
    return pick(rng, _MAIL_WORDS, n) + serial + "@example.com"
