"""Small helpers the tables share for making columns of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from synthetic.city.schema import CHUNK
from synthetic.providers.pools import Words, decimal_texts, digits, texts, words


def chunked(rows: int, size: int = CHUNK) -> Iterator[tuple[int, slice]]:
    """Chunk numbers with the rows they cover."""
    for number, start in enumerate(range(0, rows, size)):
        yield number, slice(start, min(start + size, rows))


def named(names: Sequence[str], index: NDArray[np.integer]) -> Words:
    """The name at each index."""
    return words(list(names))[index]


def iso_days(days: NDArray[np.datetime64]) -> Words:
    """Dates as 2025-03-01."""
    distinct, place = np.unique(days.astype("datetime64[D]"), return_inverse=True)
    return words(np.datetime_as_string(distinct).tolist())[place]


def money(values: NDArray[np.floating], places: int = 2) -> Words:
    """Amounts with a fixed number of decimals, in yuan."""
    return words([f"{value:.{places}f}" for value in values.tolist()])


def whole(values: NDArray[np.integer]) -> Words:
    """Whole numbers as text."""
    return decimal_texts(values)


def serial(prefix: Words | str, numbers: NDArray[np.integer], width: int) -> Words:
    """A prefix and a zero-padded number."""
    return prefix + texts(digits(numbers, width))


def without(values: Words, gone: NDArray[np.bool_]) -> Words:
    """`values` with None where `gone`."""
    out = values.copy()
    out[gone] = None
    return out


def shuffled_serial(index: NDArray[np.integer], modulus: int, step: int = 7_368_787) -> NDArray[np.int64]:
    """Different numbers below `modulus` for different indices, not in order (`step` must be coprime to it)."""
    return (np.asarray(index, dtype=np.int64) * step + 912_673) % modulus


def stamps(times: NDArray[np.datetime64]) -> Words:
    """Times as 2025-11-03 07:45:12."""
    return words([text.replace("T", " ") for text in np.datetime_as_string(times.astype("datetime64[s]")).tolist()])
