"""The interface of an engine, and how one is chosen by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import polars as pl

from policies.text import Text, UserError
from synthetic.fields import Field

NULL = "∅"
"""Stands for a missing label inside an engine; never leaves it."""


class Engine(Protocol):
    """Learns from a protected view and draws rows; keeps nothing afterwards."""

    name: str
    reads_rows: bool

    def version(self) -> str:
        """Name and version of the software that draws, for the manifest."""
        ...

    def fit_sample(self, frame: pl.DataFrame, fields: Sequence[Field], rows: int, seed: int) -> pl.DataFrame:
        """Draw `rows` rows with the columns of `fields`.

        Args:
            frame: labels (String) and ticks (Float64), see `synthetic.protect.View`; without rows for an engine whose
                `reads_rows` is False.
            fields: the fields to draw, in column order.
            rows: how many rows to return.
            seed: same frame, fields, rows and seed give the same result.

        Raises:
            UserError: `engine.unavailable` when its software is not installed.
        """
        ...


def engine_named(name: str) -> Engine:
    """The engine called `name`.

    Raises:
        UserError: `engine.unavailable` for CTGAN (its deep-learning extra is not installed), else `engine.unknown`.
    """
    if name == "tree":
        from synthetic.engines.tree_engine import TreeEngine

        return TreeEngine()
    if name == "sdv":
        from synthetic.engines.sdv_engine import SdvEngine

        return SdvEngine()
    if name == "schema":
        from synthetic.engines.schema_engine import SchemaEngine

        return SchemaEngine()
    if name == "ctgan":
        raise UserError(
            "engine.unavailable",
            Text(
                "CTGAN 需要深度学习组件,本平台没有安装。",
                "CTGAN needs the deep-learning extra (torch), which is not installed.",
            ),
            fix=Text("请改用 sdv、tree 或 auto。", "Use sdv, tree or auto."),
            engine=name,
        )
    raise UserError(
        "engine.unknown",
        Text("没有名为 {e} 的引擎。", "There is no engine called {e}.").fill(e=name),
        fix=Text("可用:auto、sdv、tree、schema。", "Available: auto, sdv, tree, schema."),
        engine=name,
    )
