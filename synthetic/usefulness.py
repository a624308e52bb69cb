"""Train on simulated, test on real: would a model developed on the simulated rows work on real ones?

One small random forest learns the target from every other modelled column, once on simulated rows and once on fitted
real rows; both are tested on held-out real rows. The second is the ceiling: nothing made from the fitted rows can be
expected to do better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from policies.text import Text, UserError
from synthetic.binning import Binned
from synthetic.columns import Scale
from synthetic.fidelity import Fidelity
from synthetic.fields import Field

_TRAIN, _TEST = 5_000, 5_000
_FEWEST_TESTED = 100
_CLASSES = 8
_BINS, _LABELS = 32, 60
_DUPLICATE = 0.95
"""Strength of a relation from which one column is another way to write the other: nothing is learned by guessing it."""
_TREES, _LEAF = 30, 10


@dataclass(frozen=True, slots=True)
class Usefulness:
    """Scores in [0, 1] of the same model: trained on simulated, trained on real, and a guess that knows no column.

    Labels: balanced accuracy. Numbers and dates: R² of the rank among the real values, below zero counted as zero.
    `margin` is twice the standard error of a score on so many tested rows.
    """

    target: str
    kind: Literal["label", "number"]
    simulated: float
    real: float
    guess: float
    margin: float
    tested: int

    @property
    def share(self) -> float | None:
        """How much of what real rows teach beyond guessing the simulated rows teach; None where that is too little."""
        room = self.real - self.guess
        return None if room <= self.margin else max(0.0, (self.simulated - self.guess) / room)

    def words(self) -> Text:
        """The result for somebody who wants to develop a model."""
        if self.share is None:
            return Text(
                "真实数据自身也学不出明显规律,无法判断。",
                "Even real rows teach little about this column: nothing can be said.",
            )
        if self.share >= _WELL:
            return Text(
                "用仿真数据训练的模型,在真实数据上与用真实数据训练的相近:可用于开发和联调模型,效果以真实运行为准。",
                "A model trained on simulated rows does about as well on real ones: fit to develop a model, not to "
                "report its results.",
            )
        if self.share >= _PARTLY:
            return Text(
                "只学到部分规律:可用于跑通流程,不可用于比较模型优劣。",
                "Part of the relations is learned: fit to make a pipeline run, not to compare models.",
            )
        return Text(
            "学不到可用的规律:不可用于建模,只可检查代码能否运行。",
            "Nothing useful is learned: not fit for models, only to see that the code runs.",
        )


_WELL, _PARTLY = 0.85, 0.5


def check_target(target: str | None, fields: Sequence[Field]) -> None:
    """Refuse a declared target that is not learned from real rows.

    Raises:
        UserError: `plan.target`.
    """
    if target is not None and target not in {f.name for f in fields if f.learned}:
        raise UserError(
            "plan.target",
            Text("列 {c} 不能作为建模目标:它不是按真实分布学习的列。",
                 "Column {c} cannot be the target of a model: it is not learned from real rows.").fill(c=target),
            fix=Text("请换一列,或不指定。", "Name another column, or none."),
            column=target,
        )  # fmt: skip


def measure(
    simulated: pl.DataFrame, fitted: pl.DataFrame, holdout: pl.DataFrame, fields: Sequence[Field], target: str
) -> Usefulness | None:
    """Judge by one target column. None where fewer than 100 rows can be tested, the target never varies, or it is not
    among the fields."""
    rows = min(fitted.height, simulated.height, _TRAIN)
    tested = holdout.head(_TEST)
    goal = next((f for f in fields if f.name == target), None)
    inputs = [Binned(fitted.get_column(f.name), f, bins=_BINS, labels=_LABELS) for f in fields if f is not goal]
    if goal is None or tested.height < _FEWEST_TESTED or not rows or not inputs:
        return None
    scores = [_taught(frame.head(rows), tested, inputs, _Goal(fitted, goal)) for frame in (simulated, fitted)]
    if scores[0] is None or scores[1] is None:
        return None
    kind, guess = ("number", 0.0) if goal.numeric else ("label", 1 / scores[1][1])
    margin = 2 * float(np.sqrt(0.25 / tested.height))
    return Usefulness(target, kind, scores[0][0], scores[1][0], guess, margin, tested.height)  # type: ignore[arg-type]


def choose_target(fields: Sequence[Field], fidelity: Fidelity) -> str | None:
    """The column that has most to do with another one, sensitive ones first; None where there are fewer than two.

    Columns that only repeat another one are passed over.
    """
    most: dict[str, float] = {}
    copies = set()
    for pair in fidelity.pairwise:
        for name in pair.columns:
            most[name] = max(most.get(name, 0.0), pair.real)
            if pair.real >= _DUPLICATE:
                copies.add(name)
    usable = [f for f in fields if f.name in most and f.name not in copies]
    usable = [f for f in usable if f.role == "sensitive"] or usable
    return max(usable, key=lambda f: (most[f.name], f.name)).name if usable else None


class _Goal:
    """The target as something to learn: a class number, or the rank among real values."""

    def __init__(self, real: pl.DataFrame, field: Field) -> None:
        self._field, self.numeric = field, field.numeric
        self._classes = Binned(real.get_column(field.name), field, bins=2, labels=_CLASSES)
        if self.numeric:
            self._known = np.sort(Scale.of(field).encode(real.get_column(field.name)).drop_nulls().to_numpy())

    def known(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Rows whose target is there."""
        return frame.drop_nulls(self._field.name)

    def of(self, frame: pl.DataFrame) -> np.ndarray:
        if not self.numeric:
            return self._classes.codes(frame)
        values = Scale.of(self._field).encode(frame.get_column(self._field.name)).to_numpy()
        sides = (np.searchsorted(self._known, values, side=side) for side in ("left", "right"))
        return np.asarray(sum(sides) / (2 * max(1, len(self._known))))


def _taught(train: pl.DataFrame, test: pl.DataFrame, inputs: Sequence[Binned], goal: _Goal) -> tuple[float, int] | None:
    """Score on the test rows, and how many classes they have; None where there is nothing to tell apart."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    from sklearn.metrics import recall_score

    train, test = goal.known(train), goal.known(test)
    sides: list[Any] = [(np.stack([b.codes(f) for b in inputs], axis=1), goal.of(f)) for f in (train, test)]
    (seen, wanted), (asked, truth) = sides
    if not len(truth) or len(np.unique(truth)) < 2 or not len(wanted):
        return None
    forest = RandomForestRegressor if goal.numeric else RandomForestClassifier
    model = forest(_TREES, min_samples_leaf=_LEAF, random_state=0, n_jobs=1).fit(seen, wanted)
    told = model.predict(asked)
    if goal.numeric:
        return max(0.0, 1 - float(((truth - told) ** 2).sum() / ((truth - truth.mean()) ** 2).sum())), 0
    classes = np.unique(truth)
    return float(recall_score(truth, told, labels=classes, average="macro", zero_division=0)), len(classes)
