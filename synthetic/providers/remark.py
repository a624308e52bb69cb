"""Remarks (备注) by template."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synthetic.providers.gazetteer import STREETS
from synthetic.providers.pools import Words, decimal_texts, pick, pick_index, words
from synthetic.providers.vocabulary import REMARK_TEMPLATES


def remarks(rng: np.random.Generator, n: int, templates: Sequence[str] = REMARK_TEMPLATES) -> Words:
    """`n` office remarks. Places {month} {day} {count} {street} are filled; a remark holds no identifier of anybody."""
    values = {
        "month": decimal_texts(rng.integers(1, 13, n)),
        "day": decimal_texts(rng.integers(1, 29, n)),
        "count": decimal_texts(rng.integers(1, 6, n)),
        "street": pick(rng, [street.name for _, street in STREETS], n),
    }
    return fill(templates, pick_index(rng, len(templates), n), values)


def fill(templates: Sequence[str], chosen: np.ndarray, values: dict[str, Words]) -> Words:
    """Row by row the template `chosen` points at, its `{name}` places taken from the same row of `values`."""
    out = np.empty(len(chosen), dtype=object)
    for number, template in enumerate(templates):
        rows = np.flatnonzero(chosen == number)
        text = words([""])[np.zeros(len(rows), dtype=np.int64)]
        for part in template.split("{"):
            name, closed, rest = part.partition("}")
            text = text + (values[name][rows] + rest if closed else part)
        out[rows] = text
    return out
