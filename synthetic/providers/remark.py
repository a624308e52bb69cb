"""Remarks (备注) and other short texts by template, of the kind that the columns speak of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synthetic.providers.gazetteer import STREETS
from synthetic.providers.pools import Words, decimal_texts, pick, pick_index, words
from synthetic.providers.vocabulary import REMARK_TEMPLATES, REMARK_WORDS, REMARKS_BY_KIND


def remark_kind(column: str, table: str = "") -> str:
    """The kind of text that a column's name and comment, else the other words of its table, speak of; "office" else."""
    return _kind(column) or _kind(table) or "office"


def _kind(text: str) -> str | None:
    return next((kind for kind, told in REMARK_WORDS.items() if any(word in text for word in told)), None)


def remarks(
    rng: np.random.Generator, n: int, templates: Sequence[str] = REMARK_TEMPLATES, *, kind: str = "office"
) -> Words:
    """`n` remarks. Places {month} {day} {count} {hour} {street} {item} {amount} are filled from small invented ranges.

    No remark holds an identifier of anybody. `kind` (see `remark_kind`) chooses other templates than those given.
    """
    if kind != "office":
        templates = REMARKS_BY_KIND[kind].templates
    values = {
        "month": decimal_texts(rng.integers(1, 13, n)),
        "day": decimal_texts(rng.integers(1, 29, n)),
        "count": decimal_texts(rng.integers(1, 6, n)),
        "street": pick(rng, [street.name for _, street in STREETS], n),
    }
    if kind != "office":
        values["hour"] = decimal_texts(rng.integers(6, 23, n))
        values["item"] = pick(rng, REMARKS_BY_KIND[kind].items, n)
        values["amount"] = decimal_texts(rng.integers(1, 40, n) * 50)
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
