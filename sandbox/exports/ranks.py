"""A fixed pseudo-random order of entities, and the lowest of a set in it: near sets are found by them.

If 0 < |aΔb| < t and one of the two has at least t members, then a and b share one of the t lowest-ranked members of
each: of the t lowest of a ∪ b at most t - 1 lie in aΔb, so one lies in both, and it is among the t lowest of each.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

PREFIX = 32
"""Members kept of each set: thresholds up to this need no new index."""

Ranks = npt.NDArray[np.int64]


def members_of(entities: BitMap) -> npt.NDArray[np.uint32]:
    """The codes of a set, ascending."""
    return np.asarray(entities.to_array(), dtype=np.uint32)


def ranks(codes: npt.NDArray[np.uint32]) -> Ranks:
    """Fixed pseudo-random rank of each code (splitmix64 finaliser, written out so that no upgrade moves it), as signed
    numbers that a database can keep."""
    with np.errstate(over="ignore"):
        x = codes.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return (x ^ (x >> np.uint64(31))).view(np.int64)


def prefix(codes: npt.NDArray[np.uint32], length: int = PREFIX) -> Ranks:
    """The lowest `length` ranks of a set, ascending."""
    found = ranks(codes)
    if len(found) > length:
        found = np.partition(found, length - 1)[:length]
    return np.sort(found)
