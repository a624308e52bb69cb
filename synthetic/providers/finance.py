"""Bank cards."""

from __future__ import annotations

import numpy as np

from synthetic.providers.checksums import luhn_check
from synthetic.providers.pools import Words, constant, digits, distinct_integers, texts

CARD_PREFIX = "629999"


def bank_cards(rng: np.random.Generator, n: int) -> Words:
    """Cards of 19 digits with a right Luhn digit, all different. No bank is assumed to issue the prefix 629999."""
    body = np.hstack([constant(CARD_PREFIX, n), digits(distinct_integers(rng, n, 10**12), 12)])
    return texts(np.hstack([body, luhn_check(body)[:, None]]))
