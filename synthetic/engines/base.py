"""The interface of an engine, and how one is chosen by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol

import polars as pl

from policies.text import Text, UserError
from synthetic.fields import Field

NULL = "∅"
"""Stands for a missing label inside an engine; never leaves it."""


@dataclass(frozen=True, slots=True)
class Ticks:
    """Whole ticks from `low` to `high`, both included."""

    low: float
    high: float


Condition = str | Ticks | None
"""What one column is fixed to: a label, a range of ticks, or None for missing."""


class Model(Protocol):
    """What an engine has learned. It holds real values: it lives in memory for one run and is never written."""

    def given(self, conditions: Mapping[str, Condition]) -> Model:
        """The same model with columns fixed: its rows fulfil every condition and follow the distribution given them.

        Raises:
            UserError: `simulation.given` where no such row can be drawn, `engine.conditions` where the engine cannot do
                it exactly.
        """
        ...

    def sample(self, rows: int, seed: int) -> pl.DataFrame:
        """`rows` rows, labels and ticks as in the fitted frame. Each call depends on its own seed alone, so a table can
        be drawn batch by batch."""
        ...


class Engine(Protocol):
    """Learns from a protected view and draws rows; keeps nothing afterwards. `conditional` engines can fix columns."""

    name: str
    reads_rows: bool
    conditional: bool

    def version(self) -> str:
        """Name and version of the software that draws, for the manifest."""
        ...

    def fit(self, frame: pl.DataFrame, fields: Sequence[Field], seed: int) -> Model:
        """Learn the columns of `fields`.

        Args:
            frame: labels (String) and ticks (Float64), see `synthetic.protect.View`; without rows for an engine whose
                `reads_rows` is False.
            fields: the fields to draw, in column order.
            seed: same frame, fields and seed give the same model.
        """
        ...


class Maker(Protocol):
    """Makes rows from fields alone."""

    def fit_sample(self, frame: pl.DataFrame, fields: Sequence[Field], rows: int, seed: int) -> pl.DataFrame:
        """`rows` rows of `fields`; `frame` is empty."""
        ...


@dataclass(frozen=True, slots=True)
class Unfitted:
    """The model of an engine that learns nothing: every batch is made from the fields."""

    maker: Maker
    fields: Sequence[Field]

    def given(self, conditions: Mapping[str, Condition]) -> Model:
        if conditions:
            raise cannot_fix(list(conditions))
        return self

    def sample(self, rows: int, seed: int) -> pl.DataFrame:
        return self.maker.fit_sample(pl.DataFrame(), self.fields, rows, seed)


def engine_named(name: str) -> Engine:
    """The engine called `name`.

    Raises:
        UserError: `engine.unavailable` when its software is not installed, `engine.unknown`.
    """
    if name == "tree":
        from synthetic.engines.tree_engine import TreeEngine

        return TreeEngine()
    if name in ("sdv", "ctgan"):
        _need_software(name)
        from synthetic.engines.sdv_engine import CtganEngine, SdvEngine

        return SdvEngine() if name == "sdv" else CtganEngine()
    if name == "schema":
        from synthetic.engines.schema_engine import SchemaEngine

        return SchemaEngine()
    if name == "hma":
        from synthetic.engines.hma_engine import no_family

        raise no_family()
    raise UserError(
        "engine.unknown",
        Text("没有名为 {e} 的引擎。", "There is no engine called {e}.").fill(e=name),
        fix=Text("可用:auto、sdv、ctgan、tree、schema。", "Available: auto, sdv, ctgan, tree, schema."),
        engine=name,
    )


_SOFTWARE = {"sdv": ("sdv",), "ctgan": ("sdv", "ctgan", "torch")}


def _need_software(name: str) -> None:
    missing = [package for package in _SOFTWARE[name] if find_spec(package) is None]
    if missing:
        raise UserError(
            "engine.unavailable",
            Text("引擎 {e} 需要的软件没有安装:{m}。", "The engine {e} needs software that is not installed: {m}.").fill(
                e=name, m="、".join(missing)
            ),
            fix=Text(
                "请改用 tree 或 auto;要用 CTGAN,请按 docs/ctgan.md 另行安装 torch。",
                "Use tree or auto; for CTGAN install torch as docs/ctgan.md says.",
            ),
            engine=name,
            missing=missing,
        )


def cannot_fix(columns: Sequence[str]) -> UserError:
    """The refusal of an engine that could fix columns only by throwing rows away."""
    return UserError(
        "engine.conditions",
        Text("这个引擎不能准确固定列 {c} 的值。", "This engine cannot fix columns {c} exactly.").fill(
            c="、".join(columns)
        ),
        fix=Text("请改用 tree 引擎。", "Use the tree engine."),
        columns=list(columns),
    )
