"""Codes and keys made from the shape of real ones: place by place, never a whole real value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from policies.text import Text, UserError

_ROUNDS = 120
_WIDEN = 3
_LENGTHEN = 12
_DIGITS = "0123456789"
_SAMPLE = 20_000
_WIDEST = 64
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_STEMS = "甲乙丙丁戊己庚辛壬癸"


@dataclass(frozen=True, slots=True)
class Pattern:
    """For each length that enough values have: its weight, and the characters that may stand at each place."""

    lengths: tuple[tuple[float, tuple[str, ...]], ...]

    @classmethod
    def plain(cls, width: int) -> Pattern:
        """`S` and digits, used where nothing may be learned."""
        return cls(((1.0, ("S", *(_DIGITS,) * max(1, width - 1))),))

    @classmethod
    def learn(cls, values: pl.Series, k: int, width: int | None = None) -> Pattern:
        """Lengths that at least `k` distinct values have, and the characters that `k` of them have at each place."""
        distinct = values.drop_nulls().unique(maintain_order=False).sort()
        found = []
        for length, group in _by_length(distinct):
            if len(group) < k or not length:
                continue
            places = np.array(group.to_list(), dtype=f"U{length}").view("U1").reshape(len(group), length)
            found.append((float(len(group)), tuple(_characters(places[:, p], k) for p in range(length))))
        return cls(tuple(found)) if found else cls.plain(width or 10)

    @classmethod
    def classes(cls, values: pl.Series, k: int) -> Pattern:
        """Only the kinds of signs: digits, capital and small letters, other letters (as 甲乙丙…), and separators.

        For text that nobody classified: a character itself may be part of somebody's name. Lengths and separators count
        when `k` distinct values share them; more than 64 characters are cut. Learned from at most 20,000 values.
        """
        distinct = values.drop_nulls().unique(maintain_order=False).sort().str.slice(0, _WIDEST)
        thinned = distinct.gather_every(max(1, len(distinct) // _SAMPLE))
        found = []
        for length, group in _by_length(thinned):
            if len(group) < k or not length:
                continue
            places = np.array(group.to_list(), dtype=f"U{length}").view("U1").reshape(len(group), length)
            signs, place = np.unique(places, return_inverse=True)
            kinds = np.array([_kind(sign) for sign in signs.tolist()], dtype="U1")[place].reshape(places.shape)
            found.append((float(len(group)), tuple(_alphabet(kinds[:, p], k) for p in range(length))))
        return cls(tuple(found)) if found else cls.plain(10)

    def draw(self, rng: np.random.Generator, n: int, turn: int = 0) -> np.ndarray:
        """`n` texts; later turns make room: first every varying digit becomes any digit, then digits are added."""
        weights = np.array([w for w, _ in self.lengths])
        which = rng.choice(len(weights), n, p=weights / weights.sum())
        out = np.empty(n, dtype=object)
        for index, (_, places) in enumerate(self.lengths):
            rows = np.flatnonzero(which == index)
            wide = [_DIGITS if turn >= _WIDEN and len(p) > 1 and p.isdigit() else p for p in places]
            wide += [_DIGITS] * max(0, turn // _LENGTHEN)
            columns = [rng.choice(np.array(list(p), dtype="U1"), len(rows)) for p in wide]
            if len(rows):
                joined = np.ascontiguousarray(np.stack(columns, axis=1)).view(f"U{len(columns)}").ravel()
                out[rows] = joined.astype(object)
        return out


def _kind(sign: str) -> str:
    """The kind of a sign by one that stands for it; a separator stands for itself."""
    if sign.isdecimal():
        return "0"
    if sign.isalpha() or sign.isnumeric():
        return ("A" if sign.isupper() else "a") if sign.isascii() else "甲"
    return sign


_ALPHABETS = {"0": _DIGITS, "A": _LETTERS, "a": _LETTERS.lower(), "甲": _STEMS}


def _alphabet(kinds: np.ndarray, k: int) -> str:
    """What may stand at a place: every sign of the kinds that `k` values have there, else any digit."""
    seen, counts = np.unique(kinds, return_counts=True)
    return "".join(_ALPHABETS.get(kind, kind) for kind in seen[counts >= k].tolist()) or _DIGITS


def _by_length(distinct: pl.Series) -> list[tuple[int, pl.Series]]:
    lengths = distinct.str.len_chars()
    return [(n, distinct.filter(lengths == n)) for n in sorted(lengths.unique().to_list())]


def _characters(column: np.ndarray, k: int) -> str:
    seen, counts = np.unique(column, return_counts=True)
    kept = "".join(seen[counts >= k].tolist())
    return kept or _DIGITS


def fresh(
    draw: Callable[[np.ndarray, int], np.ndarray], n: int, forbidden: pl.Series, *, unique: bool,
    taken: Callable[[pl.Series], pl.Series] | None = None,
) -> np.ndarray:  # fmt: skip
    """`n` values from `draw(rows, turn)`, none of them in `forbidden`, all different when `unique`, also from `taken`.

    `draw` gets the row numbers that still need a value and the number of the attempt, so that it can make more room.

    Raises:
        UserError: `simulation.no_room` when the pool is too small even then.
    """
    draw = _told_when_used_up(draw, n)
    banned = forbidden.unique().implode()
    out = draw(np.arange(n), 0)
    for turn in range(1, _ROUNDS):
        values = pl.Series(out, dtype=pl.String)
        bad = values.is_in(banned)
        if unique:
            bad = bad | ~values.is_first_distinct()
        if unique and taken:
            bad = bad | taken(values)
        again = bad.arg_true().to_numpy()
        if not len(again):
            return out
        out[again] = draw(again, turn)
    raise no_room(n)


def _told_when_used_up(
    draw: Callable[[np.ndarray, int], np.ndarray], n: int
) -> Callable[[np.ndarray, int], np.ndarray]:
    """`draw`, with the words for people where a provider's range is used up."""
    from synthetic.providers import Exhausted

    def drawn(rows: np.ndarray, turn: int) -> np.ndarray:
        try:
            return draw(rows, turn)
        except Exhausted as error:
            raise no_room(n) from error

    return drawn


def no_room(n: int) -> UserError:
    """The error for a pool that holds too few values."""
    return UserError(
        "simulation.no_room",
        Text(
            "无法生成 {n} 个互不相同且不与真实值相同的值。",
            "Could not make {n} different values that are not real ones.",
        ).fill(n=n),
        fix=Text("请减少行数,或把该列改为编码(code)。", "Ask for fewer rows, or plan the column as a code."),
        rows=n,
    )
