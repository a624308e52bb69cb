"""SDV 2.0's GaussianCopulaSynthesizer behind the engine interface.

Three decisions, all measured:
* Metadata is explicit. Auto-detection calls Chinese names, telephones and addresses `categorical` and copies them.
* Tick columns go in as normal scores of their rank, so `norm` (the cheap default distribution) fits them exactly; the
  way back is our own quantile function of the trimmed values, so no real bound passes through SDV.
* SDV has no seed argument and resets itself to one fixed seed, so two seeds would give the same table. The seed is set
  on the fitted synthesizer through `_set_random_state`, its only door (private; the lock pins the version, a test
  proves that two seeds differ), and it also shuffles the rows of the fit.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from policies.text import Text, UserError
from synthetic.engines.base import NULL
from synthetic.fields import Field

_TABLE = "table"
_MISSING = "#missing#"
_KNOT_ROWS = 5
_MAX_KNOTS = 512
_FEW = 64


class SdvEngine:
    name = "sdv"
    reads_rows = True

    def version(self) -> str:
        from importlib.metadata import version

        return f"sdv/{version('sdv')} GaussianCopula"

    def fit_sample(self, frame: pl.DataFrame, fields: Sequence[Field], rows: int, seed: int) -> pl.DataFrame:
        rng = np.random.default_rng(seed)
        shuffled = frame.select(f.name for f in fields)[rng.permutation(frame.height)]
        seen, quantiles = _scores(shuffled, rng)
        with _quiet():
            drawn = _fit_and_draw(seen, rows, seed)
        return pl.DataFrame([_values(drawn, f.name, quantiles.get(f.name)) for f in fields])


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
    if len(np.unique(quantiles)) <= _FEW:
        values = quantiles[np.round(place).astype(np.int64)]
    else:
        values = np.interp(place, np.arange(len(quantiles)), quantiles)
    if _MISSING + name in drawn:
        values = np.where(drawn[_MISSING + name] == "y", np.nan, values)
    return pl.Series(name, values, dtype=pl.Float64, nan_to_null=True)


def _fit_and_draw(seen: dict[str, np.ndarray], rows: int, seed: int) -> dict[str, np.ndarray]:
    try:
        import pandas as pd
        from sdv.metadata import Metadata
        from sdv.single_table import GaussianCopulaSynthesizer
    except ModuleNotFoundError as error:
        raise UserError(
            "engine.unavailable",
            Text("SDV 没有安装。", "SDV is not installed."),
            fix=Text("请改用 tree 引擎,或安装 sdv。", "Use the tree engine, or install sdv."),
            engine="sdv",
        ) from error
    labels = [name for name, values in seen.items() if values.dtype == object]
    columns = {name: {"sdtype": "categorical" if name in labels else "numerical"} for name in seen}
    metadata = Metadata.load_from_dict(
        {"METADATA_SPEC_VERSION": "V1", "tables": {_TABLE: {"columns": columns}}, "relationships": []}
    )
    synthesizer: Any = GaussianCopulaSynthesizer(
        metadata,
        default_distribution="norm",
        numerical_distributions=dict.fromkeys(labels, "uniform"),  # SDV lays labels out on [0, 1]
        enforce_min_max_values=False,
        enforce_rounding=False,
    )
    synthesizer.fit({_TABLE: pd.DataFrame(seen)})
    synthesizer._set_random_state(seed % 2**32)
    sample = synthesizer.sample(rows)[_TABLE]
    return {name: sample[name].to_numpy() for name in seen}


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
