"""Columns cut into a few classes by the real rows, so that any two sets of rows can be counted alike."""

from __future__ import annotations

import numpy as np
import polars as pl

from synthetic.columns import Scale
from synthetic.fields import Field


class Binned:
    """One column cut at quantiles or the most frequent labels of real rows; the last class is "missing".

    `size` counts the classes; for labels the last but one holds every other label. Quantiles that coincide are one cut,
    so a number of few values gets a class for each.
    """

    def __init__(self, real: pl.Series, field: Field, *, bins: int, labels: int) -> None:
        self.name, self.scale = field.name, Scale.of(field)
        seen = self.scale.encode(real).drop_nulls()
        if self.scale.kind == "label":
            counts = seen.value_counts().sort(["count", seen.name], descending=[True, False])
            self.labels = counts[seen.name].head(labels)
            self.size = len(self.labels) + 2
        else:
            cuts = np.linspace(0, 1, bins + 1)[1:-1]
            self.edges = np.unique(np.quantile(seen.to_numpy(), cuts)) if len(seen) else np.zeros(1)
            self.size = len(self.edges) + 2

    def codes(self, frame: pl.DataFrame) -> np.ndarray:
        """The class of every row, 0 to `size` - 1."""
        seen = self.scale.encode(frame.get_column(self.name))
        missing = seen.is_null().to_numpy()
        if self.scale.kind == "label":
            other = len(self.labels)
            found = seen.replace_strict(self.labels, np.arange(other), default=other, return_dtype=pl.Int64)
            inside = found.fill_null(other).to_numpy()
        else:
            inside = np.searchsorted(self.edges, seen.fill_null(0.0).to_numpy(), side="right")
        return np.where(missing, self.size - 1, inside)
