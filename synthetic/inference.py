"""Inference of a sensitive column: do simulated rows tell more about the people they were made from than about others?

The attacker knows a person's quasi-identifiers, looks up the simulated rows closest to them and takes the sensitive
value found there. What he gets right about held-out people he owes to the relations in the data, which the simulation
is meant to keep; only what he gets right beyond that about fitted people is a leak. The advantage is the difference of
the two success rates, with the interval of Agresti and Caffo (2000) for a difference of proportions.

Every value counts alike, however few people have it: where nine in ten are "normal", guessing that is no success, and
it is the others who have something to lose.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import polars as pl

from synthetic.binning import Binned
from synthetic.distance import Nearest, Space
from synthetic.fields import Field

_CLASSES = 20
_GUESS_LEVEL = 3
_FEW_PEOPLE = 20
"""people with a value, on either side, below which values are taken together: a rate of fewer says nothing"""


class _Real(Protocol):
    """One row a person: every one, those fitted, those held out."""

    @property
    def every(self) -> pl.DataFrame: ...
    @property
    def fitted(self) -> pl.DataFrame: ...
    @property
    def holdout(self) -> pl.DataFrame: ...


class _Simulated(Protocol):
    def parts(self) -> Iterable[pl.DataFrame]: ...


@dataclass(frozen=True, slots=True)
class Advantage:
    """Success on fitted less success on held-out people, in [-1, 1], with both ends of its confidence interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, right: np.ndarray, truth: np.ndarray, fitted: int, z: float) -> Advantage:
        """From success probabilities in [0, 1] and true values (class numbers), one a person, the `fitted` ones first.

        The mean over the values; one success and one failure are added on each side of each. Raises ValueError when no
        value occurs on both sides.
        """
        groups = _groups(truth, fitted)
        here, there = groups[:fitted], groups[fitted:]
        common = np.intersect1d(here, there)  # values of one side only leave nothing to compare
        if not len(common):
            raise ValueError("no value occurs on both sides")
        sides = [(right[:fitted][here == g], right[fitted:][there == g]) for g in common]
        value = float(np.mean([ours.mean() - theirs.mean() for ours, theirs in sides]))
        rates = [[(float(s.sum()) + 1) / (len(s) + 2) for s in pair] for pair in sides]
        errors = [p * (1 - p) / (len(s) + 2) for ps, pair in zip(rates, sides, strict=True)
                  for p, s in zip(ps, pair, strict=True)]  # fmt: skip
        middle, error = float(np.mean([ours - theirs for ours, theirs in rates])), sum(errors) ** 0.5 / len(sides)
        return cls(value, middle - z * error, middle + z * error)


def _groups(truth: np.ndarray, fitted: int) -> np.ndarray:
    """The value of each person; those that few people have on either side make one group."""
    size = int(truth.max()) + 1
    least = np.minimum(*(np.bincount(side, minlength=size) for side in (truth[:fitted], truth[fitted:])))
    return np.where(least[truth] >= _FEW_PEOPLE, truth, -1)


@dataclass(frozen=True, slots=True)
class Attack:
    """One sensitive column: what the simulated rows give away, and what copies of the fitted rows would (`control`)."""

    column: str
    known: tuple[str, ...]
    simulated: Advantage
    control: Advantage

    def sound(self, most: float) -> bool:
        """True when the attack would notice copies, or when even copies give away no more than `most`."""
        return self.control.low > most or self.control.high <= most


def sensitive_columns(learned: Sequence[Field]) -> list[Field]:
    """What an attacker is after: columns marked sensitive; where none is, ungraded and level 3–4 ones that do not
    identify."""
    marked = [f for f in learned if f.role == "sensitive"]
    return marked or [f for f in learned if f.level >= _GUESS_LEVEL and f.role == "none"]


def attack(
    target: Field, learned: Sequence[Field], real: _Real, simulated: _Simulated, parameters: Any
) -> Attack | None:
    """Attack one column with the quasi-identifiers; where copies would go unnoticed so, with every other column.

    Args:
        learned: the modelled fields, `target` among them.
        parameters: `max_advantage`, `confidence_z`, `control_z`, `targets` (people attacked on each side) of the
            policy.

    Returns:
        None when no other column is modelled, so that there is nothing to infer from.

    Raises:
        ValueError: nobody was fitted or held out.
    """
    if not real.fitted.height or not real.holdout.height:
        raise ValueError("an attack needs fitted and held-out people")
    others = [f for f in learned if f.name != target.name]
    quasi = [f for f in others if f.role == "quasi"]
    found = None
    for known in (quasi, others):
        if known and (found is None or not found.sound(parameters.max_advantage)):
            found = _Attacker(target, known, real, parameters).run(simulated.parts())
    return found


class _Attacker:
    def __init__(self, target: Field, known: Sequence[Field], real: _Real, parameters: Any) -> None:
        self._parameters, self._target, self._known, self._real = parameters, target, known, real
        self._space = Space(real.every, known)
        self._classes = Binned(real.every.get_column(target.name), target, bins=_CLASSES, labels=_CLASSES)
        rng = np.random.default_rng(0)
        sides = [_some(side, parameters.targets, rng) for side in (real.fitted, real.holdout)]
        self._fitted = sides[0].height
        people = pl.concat(sides)
        self._points, self._truth = self._space.points(people), self._classes.codes(people)

    def run(self, batches: Iterable[pl.DataFrame]) -> Attack:
        names = tuple(f.name for f in self._known)
        copies = self._advantage([self._real.fitted], self._parameters.control_z)
        return Attack(self._target.name, names, self._advantage(batches, self._parameters.confidence_z), copies)

    def _advantage(self, batches: Iterable[pl.DataFrame], z: float) -> Advantage:
        nearest = Nearest(self._points, self._classes.size)
        for batch in batches:
            nearest.add(self._space.points(batch), self._classes.codes(batch))
        right = nearest.votes[np.arange(len(self._truth)), self._truth] / np.maximum(1, nearest.votes.sum(1))
        return Advantage.of(right, self._truth, self._fitted, z)


def _some(frame: pl.DataFrame, most: int, rng: np.random.Generator) -> pl.DataFrame:
    """At most so many people: enough for the interval; the simulated rows they are compared with are always all."""
    if frame.height <= most:
        return frame
    return frame[np.sort(rng.choice(frame.height, most, replace=False))]
