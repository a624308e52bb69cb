"""Vectorised building blocks of the providers: picking words, distinct numbers, fixed-width texts.

Fixed-width identifiers are built as byte matrices of shape `(n, width)` (one ASCII code a cell), because a check digit
is then one weighted sum over columns. `texts` turns a matrix into the object array of `str` that providers return.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Words = NDArray[np.object_]
Integers = NDArray[np.int64]
Weights = Sequence[float] | NDArray[Any]


class Exhausted(ValueError):
    """A range holds fewer different values than were wanted. A pool never repeats a key in silence."""


def words(values: Sequence[str]) -> Words:
    """`values` as an object array; gathering from it copies pointers, not characters."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def listed(text: str) -> tuple[str, ...]:
    """The words of a text separated by blanks: a long word list that stays readable in the source."""
    return tuple(text.split())


def pick(rng: np.random.Generator, vocabulary: Sequence[str], n: int, weights: Weights | None = None) -> Words:
    """`n` words drawn with replacement, equally likely or in proportion to `weights`."""
    return words(vocabulary)[pick_index(rng, len(vocabulary), n, weights)]


def pick_index(rng: np.random.Generator, size: int, n: int, weights: Weights | None = None) -> Integers:
    """`n` positions in `0..size-1`, equally likely or in proportion to `weights` (any positive scale)."""
    if weights is None:
        return rng.integers(0, size, n)
    edges = np.cumsum(np.asarray(weights, dtype=float))
    return np.minimum(np.searchsorted(edges, rng.random(n) * edges[-1], side="right"), size - 1).astype(np.int64)


def distinct_integers(rng: np.random.Generator, n: int, limit: int) -> Integers:
    """`n` different integers of `0..limit-1`, in random order.

    Raises `Exhausted` when fewer than `n` exist.
    """
    if n > limit:
        raise Exhausted(f"{n} distinct values wanted from a range of {limit}")
    if limit <= 4 * n:
        return rng.permutation(limit)[:n].astype(np.int64)
    values = rng.integers(0, limit, n)
    while len(again := _repeats(values)):
        values[again] = rng.integers(0, limit, len(again))
    return values


def _repeats(values: Integers) -> Integers:
    """Positions, in ascending order, of values that stand further in front too."""
    ordered = np.sort(values)
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not len(twice):
        return np.empty(0, dtype=np.int64)
    place = np.minimum(np.searchsorted(twice, values), len(twice) - 1)
    rows = np.flatnonzero(twice[place] == values)
    order = rows[np.argsort(values[rows], kind="stable")]
    return np.sort(order[1:][values[order[1:]] == values[order[:-1]]])


def digits(values: NDArray[np.integer], width: int) -> Bytes:
    """Decimal digits of non-negative `values`, zero-padded to `width`, as a byte matrix."""
    return in_alphabet(values, width, np.arange(48, 58, dtype=np.uint8))


def in_alphabet(values: NDArray[np.integer], width: int, alphabet: Bytes) -> Bytes:
    """`values` written in base `len(alphabet)` with its characters, as a byte matrix of `width` columns."""
    rest = np.asarray(values, dtype=np.int64).copy()
    out = np.empty((len(rest), width), dtype=np.uint8)
    for column in range(width - 1, -1, -1):
        rest, remainder = np.divmod(rest, len(alphabet))
        out[:, column] = alphabet[remainder]
    return out


def constant(text: str, n: int) -> Bytes:
    """`text` (ASCII) repeated in `n` rows."""
    return np.tile(np.frombuffer(text.encode("ascii"), dtype=np.uint8), (n, 1))


def matrix(values: Sequence[str]) -> Bytes:
    """The byte matrix of ASCII texts that all have the same length; ValueError when they do not."""
    if len({len(value) for value in values}) > 1:
        raise ValueError("texts of one length wanted")
    width = len(values[0]) if len(values) else 0
    return np.frombuffer("".join(values).encode("ascii"), dtype=np.uint8).reshape(len(values), width)


def prefixed(prefix: str, values: Words) -> Words:
    """`prefix` before every text."""
    return words([prefix])[np.zeros(len(values), dtype=np.int64)] + values


def texts(columns: Bytes) -> Words:
    """One `str` a row of the byte matrix."""
    rows, width = columns.shape
    if not rows:
        return np.empty(0, dtype=object)
    fixed = np.ascontiguousarray(columns).view(f"S{width}").ravel()
    return fixed.astype(f"U{width}").astype(object)


def decimal_texts(values: NDArray[np.integer]) -> Words:
    """Integers as texts without padding; each different number is written once."""
    if len(values) and int(values.max()) - (low := int(values.min())) < len(values):  # every number between them fits
        return words([str(value) for value in range(low, int(values.max()) + 1)])[values - low]
    distinct, places = np.unique(values, return_inverse=True)
    return words([str(value) for value in distinct.tolist()])[places]
