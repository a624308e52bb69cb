"""SDV 2.0's GaussianCopulaSynthesizer and CTGANSynthesizer behind the engine interface.

Three decisions, all measured:
* Metadata is explicit. Auto-detection calls Chinese names, telephones and addresses `categorical` and copies them.
* Tick columns go in as normal scores of their rank, so `norm` (the cheap default distribution) fits them exactly; the
  way back is our own quantile function of the trimmed values, so no real bound passes through SDV.
* SDV has no seed argument and resets itself to one fixed seed, so two seeds would give the same table. The seed is set
  on the fitted synthesizer through `_set_random_state`, its only door (private; the lock pins the version, a test
  proves that two seeds differ), and it also shuffles the rows of the fit.

CTGAN needs torch, which is no dependency of the platform: docs/ctgan.md.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from synthetic.engines.base import NULL, Condition, cannot_fix
from synthetic.fields import Field

_TABLE = "table"
_MISSING = "#missing#"
_KNOT_ROWS = 5
_MAX_KNOTS = 512
_FEW = 64
_CTGAN_ROWS, _CTGAN_EPOCHS = 10_000, 100
"""What the network trains on: its cost is rows times epochs, some minutes on a processor for thirty columns."""


class SdvEngine:
    name = "sdv"
    reads_rows = True
    conditional = False

    def version(self) -> str:
        from importlib.metadata import version

        return f"sdv/{version('sdv')} GaussianCopula"

    def fit(self, frame: pl.DataFrame, fields: Sequence[Field], seed: int) -> SdvModel:
        """See `Engine.fit`."""
        rng = np.random.default_rng(seed)
        shuffled = frame.select(f.name for f in fields)[rng.permutation(frame.height)[: self._most_rows()]]
        seen, quantiles = _scores(shuffled, rng)
        labels = [name for name, values in seen.items() if values.dtype == object]
        with _quiet(), self._seeded(seed):
            import pandas as pd

            synthesizer = self._synthesizer(_metadata(seen, labels), labels)
            synthesizer.fit({_TABLE: pd.DataFrame(seen)})
        return SdvModel(synthesizer, [f.name for f in fields], quantiles)

    def _most_rows(self) -> int | None:
        return None

    def _seeded(self, seed: int) -> contextlib.AbstractContextManager[None]:
        del seed  # nothing in the copula's fit is random
        return contextlib.nullcontext()

    def _synthesizer(self, metadata: Any, labels: Sequence[str]) -> Any:
        from sdv.single_table import GaussianCopulaSynthesizer

        return GaussianCopulaSynthesizer(
            metadata,
            default_distribution="norm",
            numerical_distributions=dict.fromkeys(labels, "uniform"),  # SDV lays labels out on [0, 1]
            enforce_min_max_values=False,
            enforce_rounding=False,
        )


class CtganEngine(SdvEngine):
    """A neural network (conditional GAN): slow to train, the same protected view, the same way in and out."""

    name = "ctgan"

    def version(self) -> str:
        from importlib.metadata import version

        return f"sdv/{version('sdv')} CTGAN torch/{version('torch')}"

    def _most_rows(self) -> int | None:
        return _CTGAN_ROWS

    def _seeded(self, seed: int) -> contextlib.AbstractContextManager[None]:
        return _torch_seeded(seed)

    def _synthesizer(self, metadata: Any, labels: Sequence[str]) -> Any:
        from sdv.single_table import CTGANSynthesizer

        return CTGANSynthesizer(
            metadata,
            epochs=_CTGAN_EPOCHS,
            enforce_min_max_values=False,
            enforce_rounding=False,
            enable_gpu=False,  # a GPU sums in another order every time: the same seed would give other rows
        )


@dataclass(frozen=True, slots=True)
class SdvModel:
    """A fitted synthesizer and the quantile functions that lead back from its scores."""

    synthesizer: Any
    names: Sequence[str]
    quantiles: Mapping[str, np.ndarray]

    def given(self, conditions: Mapping[str, Condition]) -> SdvModel:
        """SDV fixes columns by throwing rows away, for numbers practically never with success: refused."""
        if conditions:
            raise cannot_fix(list(conditions))
        return self

    def sample(self, rows: int, seed: int) -> pl.DataFrame:
        """See `Model.sample`."""
        with _quiet():
            self.synthesizer._set_random_state(seed % 2**32)
            sample = self.synthesizer.sample(rows)[_TABLE]
        drawn = {name: sample[name].to_numpy() for name in sample.columns}
        return pl.DataFrame([_values(drawn, name, self.quantiles.get(name)) for name in self.names])


def _scores(frame: pl.DataFrame, rng: np.random.Generator) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """SDV's input by column (labels, normal scores, missing marks) and the quantile function of each tick column."""
    from scipy.special import ndtri  # type: ignore[import-untyped]

    seen: dict[str, np.ndarray] = {}
    quantiles: dict[str, np.ndarray] = {}
    for series in frame:
        if series.dtype == pl.String:
            seen[series.name] = series.fill_null(NULL).to_numpy()
            continue
        values = series.to_numpy().astype(np.float64)
        known = np.isfinite(values)
        # Ties are ordered at random: equal values then spread over their whole share of the scale.
        order = np.lexsort((rng.random(len(values)), np.where(known, values, np.inf)))
        rank = np.empty(len(values))
        rank[order] = np.arange(len(values))
        uniform = np.where(known, (rank + 0.5) / max(known.sum(), 1), rng.random(len(values)))
        seen[series.name] = ndtri(uniform)
        if not known.all():
            seen[_MISSING + series.name] = np.where(known, "n", "y").astype(object)
        knots = int(np.clip(known.sum() // _KNOT_ROWS, 2, _MAX_KNOTS))
        # Few different values are repeated as they are; between many it is safe to interpolate.
        few = len(np.unique(values[known])) <= _FEW
        points = np.linspace(0, 1, _MAX_KNOTS if few else knots)
        quantiles[series.name] = _quantiles(values[known], points, few)
    return seen, quantiles


def _quantiles(values: np.ndarray, points: np.ndarray, few: bool) -> np.ndarray:
    if not len(values):
        return np.zeros(2)
    return np.quantile(values, points, method="inverted_cdf") if few else np.quantile(values, points)


def _values(drawn: dict[str, np.ndarray], name: str, quantiles: np.ndarray | None) -> pl.Series:
    from scipy.special import ndtr

    column = drawn[name]
    if quantiles is None:
        labels = pl.Series(name, column.tolist(), dtype=pl.String)
        return labels.set(labels == NULL, None)
    uniform = ndtr(column.astype(np.float64))
    place = uniform * (len(quantiles) - 1)
    if len(quantiles) == _MAX_KNOTS and len(np.unique(quantiles)) <= _FEW:  # else a small table would lie on a grid
        values = quantiles[np.round(place).astype(np.int64)]
    else:
        values = np.interp(place, np.arange(len(quantiles)), quantiles)
    if _MISSING + name in drawn:
        values = np.where(drawn[_MISSING + name] == "y", np.nan, values)
    return pl.Series(name, values, dtype=pl.Float64, nan_to_null=True)


def _metadata(seen: Mapping[str, np.ndarray], labels: Sequence[str]) -> Any:
    from sdv.metadata import Metadata

    columns = {name: {"sdtype": "categorical" if name in labels else "numerical"} for name in seen}
    return Metadata.load_from_dict(
        {"METADATA_SPEC_VERSION": "V1", "tables": {_TABLE: {"columns": columns}}, "relationships": []}
    )


@contextlib.contextmanager
def _torch_seeded(seed: int) -> Iterator[None]:
    """The training draws from the generators of the whole process: set for its time, put back afterwards."""
    import torch  # type: ignore[import-not-found, unused-ignore]

    before = np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            np.random.set_state(before)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """SDV's warnings, log lines and progress bars kept out of our output."""
    loud = [logging.getLogger(n) for n in ("sdv", "rdt", "copulas", "SingleTableSynthesizer")]
    before = [logger.level for logger in loud]
    with warnings.catch_warnings(), io.StringIO() as nowhere, contextlib.redirect_stderr(nowhere):
        warnings.simplefilter("ignore")
        for logger in loud:
            logger.setLevel(logging.ERROR)
        try:
            with contextlib.redirect_stdout(nowhere):
                yield
        finally:
            for logger, level in zip(loud, before, strict=True):
                logger.setLevel(level)
