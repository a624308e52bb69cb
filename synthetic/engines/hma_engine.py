"""SDV 2.0's HMASynthesizer: one model of several small related tables, behind the engine interface.

HMA learns how the children of a row hang on it, at a price that grows with parents times columns: some 80 rows a second
with two tables of a thousand parents. So it is bounded (`MOST_ROWS`), and refused beyond.

Only learned columns go in, as the protected view shows them, with row numbers for keys: no identifier is ever modelled.
Metadata is explicit, tick columns are normal scores of their ranks, as in `sdv_engine`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from policies.text import Text, UserError
from synthetic.engines.base import NULL, Condition, Model, cannot_fix
from synthetic.engines.sdv_engine import _MISSING, _quiet, _scores
from synthetic.fields import Field

MOST_ROWS = 1_000
"""fitted rows of the largest table without a parent"""
MOST_CELLS = 100_000
"""fitted rows times learned columns over all tables"""
AUTO_ROWS, AUTO_CELLS = 300, 10_000
"""the same where nobody asked for HMA by name: what is tried unasked must not take minutes"""
_KEY = "#key"
_FEW, _KNOT_ROWS = 32, 5


@dataclass(frozen=True, slots=True)
class Piece:
    """One table for the model: its protected learned columns, the number of each row, and for each parent table the
    number of the parent row that a row belongs to."""

    view: pl.DataFrame
    keys: np.ndarray
    parents: Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Drawn:
    """The rows of one table as SDV gives them (labels, normal scores, marks of missing ones), and for each parent table
    the place (0, 1, …) of each row's parent in its drawn rows."""

    columns: Mapping[str, np.ndarray]
    places: Mapping[str, np.ndarray]

    @property
    def rows(self) -> int:
        return len(self.columns[_KEY])


def draw_family(pieces: Mapping[str, Piece], scale: float, seed: int) -> dict[str, Drawn]:
    """Fit one model of the tables and draw `scale` times as many rows of the parents; children come as they come."""
    import pandas as pd
    from sdv.multi_table import HMASynthesizer

    rng = np.random.default_rng(seed)
    data = {}
    for name, piece in pieces.items():
        seen, _ = _scores(piece.view, rng)
        links = {f"#of {parent}": numbers for parent, numbers in piece.parents.items()}
        data[name] = pd.DataFrame({_KEY: piece.keys, **links, **seen})
    with _quiet(), _seeded(seed):
        synthesizer: Any = HMASynthesizer(_metadata(data, pieces), verbose=False)
        for name in pieces:
            labels = [c for c in data[name] if data[name][c].dtype == object]
            synthesizer.set_table_parameters(
                name,
                {"default_distribution": "norm", "numerical_distributions": dict.fromkeys(labels, "uniform"),
                 "enforce_min_max_values": False, "enforce_rounding": False},
            )  # fmt: skip
        synthesizer.fit(data)
        for one in synthesizer._table_synthesizers.values():
            one._set_random_state(seed % 2**32)
        sample = synthesizer.sample_scale(scale=scale)
    return {name: _drawn(name, sample, pieces) for name in pieces}


def _metadata(data: Mapping[str, Any], pieces: Mapping[str, Piece]) -> Any:
    from sdv.metadata import Metadata

    tables = {
        name: {
            "primary_key": _KEY,
            "columns": {
                c: {"sdtype": "id" if c == _KEY or c.startswith("#of ") else _sdtype(frame[c])} for c in frame
            },
        }
        for name, frame in data.items()
    }
    relationships = [
        {"parent_table_name": parent, "parent_primary_key": _KEY, "child_table_name": name,
         "child_foreign_key": f"#of {parent}"}
        for name, piece in pieces.items() for parent in piece.parents
    ]  # fmt: skip
    return Metadata.load_from_dict({"METADATA_SPEC_VERSION": "V1", "tables": tables, "relationships": relationships})


def _sdtype(column: Any) -> str:
    return "categorical" if column.dtype == object else "numerical"


def _drawn(name: str, sample: Mapping[str, Any], pieces: Mapping[str, Piece]) -> Drawn:
    columns = {c: sample[name][c].to_numpy() for c in sample[name]}
    places = {}
    for parent in pieces[name].parents:
        numbers = sample[parent][_KEY].to_numpy()
        order = np.argsort(numbers, kind="stable")
        places[parent] = order[np.searchsorted(numbers[order], columns[f"#of {parent}"])]
    return Drawn(columns, places)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """HMA draws numbers of children from numpy's global generator; it is put back as it was."""
    legacy = np.random.mtrand._rand
    before = legacy.get_state()
    legacy.seed(seed % 2**32)
    try:
        yield
    finally:
        legacy.set_state(before)


@dataclass(slots=True)
class HmaEngine:
    """Hands out the rows that `draw_family` drew for one table.

    `places`: column → for each row the place of its parent, see `synthetic.ties.Tie.place`.
    """

    drawn: Drawn
    places: Mapping[str, np.ndarray]
    name: str = "hma"
    reads_rows: bool = True
    conditional: bool = False

    def version(self) -> str:
        from importlib.metadata import version

        return f"sdv/{version('sdv')} HMA"

    def fit(self, frame: pl.DataFrame, fields: Sequence[Field], seed: int) -> Model:
        """See `Engine.fit`: the family was fitted before; the table's view leads from scores back to its values."""
        del seed
        return _HmaModel(self, frame.select(f.name for f in fields))


@dataclass(frozen=True, slots=True)
class _HmaModel:
    engine: HmaEngine
    view: pl.DataFrame

    def given(self, conditions: Mapping[str, Condition]) -> Model:
        """HMA fixes no column exactly."""
        if conditions:
            raise cannot_fix(list(conditions))
        return self

    def sample(self, rows: int, seed: int) -> pl.DataFrame:
        """The drawn rows; there is one draw only. A column that the family's view left out comes from its own view."""
        drawn, rng = dict(self.engine.drawn.columns), np.random.default_rng(seed)
        columns = [
            _values(drawn, seen) if seen.name in drawn
            else seen.gather(rng.integers(0, len(seen), self.engine.drawn.rows))
            for seen in self.view
        ]  # fmt: skip
        places = [pl.Series(name, values) for name, values in self.engine.places.items()]
        return pl.DataFrame([*columns, *places]).head(rows)


def _values(drawn: Mapping[str, np.ndarray], seen: pl.Series) -> pl.Series:
    """The drawn column: labels as they are, normal scores through the quantiles of the view.

    Few different values are repeated, between many it is interpolated, each knot resting on several rows.
    """
    from scipy.special import ndtr  # type: ignore[import-untyped]

    column = drawn[seen.name]
    if seen.dtype == pl.String:
        labels = pl.Series(seen.name, column.tolist(), dtype=pl.String)
        return labels.set(labels == NULL, None)
    known = seen.drop_nulls().to_numpy()
    uniform = ndtr(column.astype(np.float64))
    if not len(known):
        values = np.full(len(column), np.nan)
    elif len(np.unique(known)) <= _FEW:
        values = np.quantile(known, uniform, method="inverted_cdf")
    else:
        points = np.linspace(0, 1, max(2, len(known) // _KNOT_ROWS))
        values = np.interp(uniform, points, np.quantile(known, points))
    missing = drawn.get(_MISSING + seen.name)
    if missing is not None:
        values = np.where(missing == "y", np.nan, values)
    return pl.Series(seen.name, values, nan_to_null=True)


def too_large(rows: int, cells: int) -> UserError:
    """The refusal of tables that HMA would take hours for."""
    return UserError(
        "engine.too_large",
        Text(
            "这些表对 HMA 太大:最大的父表要拟合 {r} 行(上限 {m}),共 {c} 个单元格(上限 {n})。",
            "These tables are too large for HMA: {r} fitted rows of the largest parent (at most {m}), {c} cells in all "
            "(at most {n}).",
        ).fill(r=rows, m=MOST_ROWS, c=cells, n=MOST_CELLS),
        fix=Text(
            "请改用 tree 或 auto:键、子行数和随父表的取值同样保留,且快得多。",
            "Use tree or auto: keys, numbers of children and values that follow the parent are kept too, much faster.",
        ),
        rows=rows,
        cells=cells,
    )


def no_family() -> UserError:
    """The refusal where nothing hangs together."""
    return UserError(
        "engine.no_family",
        Text(
            "HMA 只用于相互引用、且每张都足以学习的几张表;这里没有。",
            "HMA is for tables that reference each other and are large enough to learn from; there are none here.",
        ),
        fix=Text(
            "请一起给出父表和子表,或改用 tree、sdv 或 auto。",
            "Give parent and child together, or use tree, sdv or auto.",
        ),
    )
