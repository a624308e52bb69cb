"""A fixed pseudo-random order of entities, and the lowest of a set in it: near sets are found by them.

If 0 < |aΔb| < t and one of the two has at least t members, then a and b have one in common, and the lowest-ranked of
those has at most |a∖b| members of a and |b∖a| members of b below it. So it stands among the t lowest of each, and where
it stands says how much larger the one set can be than the other: |a∖b| = (|aΔb| + |a| - |b|) / 2.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from sandbox.products.records import BITS, Numbers, owners

PREFIX = 32
"""Members kept of each set: thresholds up to this are answered by them."""
_STEP, _LAYERS = 4, 12
"""Each layer has one in `_STEP` of the codes of the one above it, the lowest-ranked."""
_LOT = 2**20
"""Codes ranked at once."""
_SLOT_BITS = 20
_SLOTS = 2**_SLOT_BITS

Ranks = npt.NDArray[np.int64]
Indices = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint32]


def members_of(entities: BitMap) -> npt.NDArray[np.uint32]:
    """The codes of a set, ascending."""
    return np.asarray(entities.to_array(), dtype=np.uint32)


def ranks(codes: npt.NDArray[np.uint32 | np.uint64]) -> Ranks:
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


@dataclass(frozen=True)
class Lowest:
    """Of some sets the number of members (`sizes`) and, lowest first, the lower halves of their lowest ranks (`marks`,
    a row a set; what is right of a set's size says nothing). Two members with one mark are the same one, or one in four
    billions another: only candidates come of that."""

    sizes: Indices
    marks: npt.NDArray[np.uint32]

    @classmethod
    def of(cls, sets: Sequence[BitMap], length: int = PREFIX) -> Lowest:
        """The `length` lowest of these sets. Of large ones only members in a layer of low ranks are looked at."""
        enough = 2 * length + 16  # expected to be looked at: nearly never fewer than `length` are
        sizes = np.array([len(one) for one in sets], dtype=np.int64)
        top = max((one.max() for one in sets if one), default=0)
        layers = _layers(top.bit_length()) if sizes.sum() > top else ()
        found, counts = _lowest(sizes, _thinned(sets, sizes, enough, layers), length, enough)
        for i in np.flatnonzero(counts < np.minimum(sizes, length)).tolist():
            order = prefix(members_of(sets[i]), length)
            found[i, : len(order)] = order
        return cls(sizes, found.astype(np.uint32))

    @classmethod
    def of_records(cls, sets: Sequence[Numbers], length: int = PREFIX) -> Lowest:
        """The same of sets of records: a member is an entity with its very records of the set, so that two sets that
        differ in the records of some entities differ in one or two members for each."""
        found = [np.sort(_with_records(one).view(np.int64))[:length] for one in sets]
        marks = np.zeros((len(sets), length), dtype=np.uint32)
        for i, order in enumerate(found):
            marks[i, : len(order)] = order.astype(np.uint32)
        return cls(np.array([len(owners(one)) for one in sets], dtype=np.int64), marks)

    @classmethod
    def unpacked(cls, sizes: bytes, marks: bytes) -> Lowest:
        """What `packed` gave."""
        kept = np.frombuffer(sizes, dtype="<u4").astype(np.int64)
        return cls(kept, np.frombuffer(marks, dtype="<u4").reshape(len(kept), -1))

    def packed(self) -> tuple[bytes, bytes]:
        """(sizes, marks) as a database keeps them, the same on every machine."""
        return self.sizes.astype("<u4").tobytes(), self.marks.astype("<u4").tobytes()

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, at: slice) -> Lowest:
        return Lowest(self.sizes[at], self.marks[at])


def _with_records(of: Numbers) -> Numbers:
    """For each entity a pseudo-random number that says who it is and which records of it are in a set."""
    if not len(of):
        return of
    begins = np.flatnonzero(np.diff(of >> np.uint64(BITS), prepend=np.uint64(2**64 - 1)))
    with np.errstate(over="ignore"):
        return ranks(np.add.reduceat(ranks(of).view(np.uint64), begins)).view(np.uint64)


@lru_cache(maxsize=4)
def _layers(bits: int) -> tuple[BitMap, ...]:
    """Of the codes below 2**bits the lowest-ranked quarter, sixteenth and so on."""
    found = [BitMap() for _ in range(_LAYERS)]
    for start in range(0, 2**bits, _LOT):
        codes = np.arange(start, min(start + _LOT, 2**bits), dtype=np.uint32)
        order = ranks(codes)
        for depth, layer in enumerate(found, start=1):
            low = order < -(2**63) + 2**64 // _STEP**depth
            codes, order = codes[low], order[low]
            layer.update(BitMap(codes))
    return tuple(found)


def _thinned(sets: Sequence[BitMap], sizes: Indices, enough: int, layers: Sequence[BitMap]) -> list[array[int]]:
    """Members of each set, 32 bits each: all, or those in the smallest layer that should have enough of them."""
    deep = (sizes // _STEP**depth >= enough for depth in range(1, len(layers) + 1))
    depths = sum(deep, np.zeros(len(sets), dtype=np.int64)).tolist()
    return [(one & layers[at - 1] if at else one).to_array() for one, at in zip(sets, depths, strict=True)]


def _lowest(sizes: Indices, members: Sequence[array[int]], length: int, enough: int) -> tuple[Ranks, Indices]:
    """(the `length` lowest ranks of each set, ascending, how many of them are right) from some `members` of each, which
    are all that are below some rank; of those about `enough` are sorted."""
    order = ranks(np.frombuffer(b"".join(members), dtype=np.uint32))
    given = np.array([len(one) for one in members], dtype=np.int64)
    share = np.minimum(enough / np.maximum(sizes, 1), 0.9) * 2.0**64 - 2.0**63
    most = np.where(sizes <= enough, np.iinfo(np.int64).max, share.astype(np.int64))
    kept = order <= np.repeat(most, given)
    order, counts = order[kept], _counted(kept, given)
    found = np.full((len(sizes), max(length, counts.max(initial=0))), np.iinfo(np.int64).max)
    found[np.arange(found.shape[1]) < counts[:, None]] = order
    found.sort(axis=1)
    return found[:, :length], counts


def _counted(kept: npt.NDArray[np.bool_], given: Indices) -> Indices:
    """How many are kept of each lot."""
    until = np.concatenate([[0], np.cumsum(kept)])[np.concatenate([[0], np.cumsum(given)])]
    return np.diff(until)


class Near:
    """Looks for sets that may differ from some sets by fewer than `threshold` members."""

    def __init__(self, mine: Lowest, threshold: int, apart: int | None = None) -> None:
        """`apart`: near sets without any member in common are smaller than this, if not than `threshold`."""
        self._mine, self._sizes, self._threshold = mine, mine.sizes, threshold
        # more positions than are kept would have to be compared: sizes alone say what may be near
        self._alone = (apart or threshold) if threshold <= PREFIX else np.iinfo(np.int64).max
        owners, places, marks = _shown(mine, threshold)
        keys = marks.astype(np.uint64) << np.uint64(32) | mine.sizes[owners].astype(np.uint64)
        order = np.argsort(keys)
        self._keys, self._owners, self._places = keys[order], owners[order], places[order]
        self._asked = np.zeros(_SLOTS, dtype=bool)
        least, most = mine.sizes[owners] - threshold + 1, mine.sizes[owners] + threshold - 1 - 2 * places
        for size in (least, least + threshold, most):  # every multiple of the threshold between them
            self._asked[self._slot(marks, np.clip(size, 0, most))] = True

    def among(self, others: Lowest) -> tuple[Indices, Indices]:
        """(one of mine, one of the others), each pair once: all that differ by so few, and some others."""
        found = [self._by_size(others)] + ([self._by_marks(others)] if self._threshold <= PREFIX else [])
        first, second = (np.concatenate(side) for side in zip(*found, strict=True))
        pairs = np.unique(first * len(others) + second)
        return pairs // max(len(others), 1), pairs % max(len(others), 1)

    def each_other(self) -> Iterable[tuple[int, int]]:
        """Pairs of mine, each once: all that differ by so few, and some others."""
        first, second = self.among(self._mine)
        once = first < second
        return zip(first[once].tolist(), second[once].tolist(), strict=True)

    def _by_marks(self, others: Lowest) -> tuple[Indices, Indices]:
        """Those whose lowest common member may be one that both show: it stands no farther up in either than the
        difference in size leaves room for."""
        asked = self._asked[self._slot(others.marks[:, : self._threshold], others.sizes[:, None])]
        second, there, marks = _shown(others, self._threshold, asked)
        room = self._threshold - 1
        key = marks.astype(np.uint64) << np.uint64(32)
        order = np.argsort(key)  # one after the other they are found many times faster
        key, second, there, size = key[order], second[order], there[order], others.sizes[second[order]]
        low = np.searchsorted(self._keys, key | np.maximum(size - room, 0).astype(np.uint64))
        high = np.searchsorted(self._keys, key | (size + room - 2 * there).astype(np.uint64), "right")
        at, within = spread(low, high)
        first, second = self._owners[within], second[at]
        kept = 2 * self._places[within] <= room + self._sizes[first] - others.sizes[second]
        return first[kept], second[kept]

    def _slot(self, marks: Codes, sizes: Indices) -> Codes:
        """Where a mark of a set of about this size is noted: few that nobody asks for fall together with others."""
        about = (sizes // self._threshold).astype(np.uint32) * np.uint32(0x9E3779B1)
        return ((marks ^ about) * np.uint32(0x85EBCA6B)) >> np.uint32(32 - _SLOT_BITS)

    def _by_size(self, others: Lowest) -> tuple[Indices, Indices]:
        """Those of nearly one size that are too small to have a member in common, or all of nearly one size."""
        few, small = (np.flatnonzero(sizes < self._alone) for sizes in (self._sizes, others.sizes))
        small = small[np.argsort(others.sizes[small])]
        wide, sizes = self._threshold, others.sizes[small]
        at, within = spread(
            np.searchsorted(sizes, self._sizes[few] - wide, "right"), np.searchsorted(sizes, self._sizes[few] + wide)
        )
        return few[at], small[within]


def _shown(sets: Lowest, length: int, wanted: npt.NDArray[np.bool_] | None = None) -> tuple[Indices, Indices, Codes]:
    """(set, place, mark) of the `length` lowest members of each set, or of those that are `wanted`."""
    marks = sets.marks[:, :length]
    there = np.arange(marks.shape[1]) < sets.sizes[:, None]
    found = np.flatnonzero(there if wanted is None else there & wanted)
    owners, places = np.divmod(found, max(marks.shape[1], 1))
    return owners, places, marks[owners, places]


def spread(low: Indices, high: Indices) -> tuple[Indices, Indices]:
    """(number of a range, place in it) for every place of each range low…high."""
    counts = np.maximum(high - low, 0)
    at = np.repeat(np.arange(len(counts)), counts)
    return at, np.arange(len(at)) - np.repeat(np.cumsum(counts) - counts - low, counts)
