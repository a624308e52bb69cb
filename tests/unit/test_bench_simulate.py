"""The benchmark of simulated data measures what it says: planned rows, made by the engine, on tables that are here."""

from __future__ import annotations

import polars as pl
import pytest

from api.cli.bench import known
from benchmarks import simulate as bench


def test_it_is_one_of_the_benchmarks() -> None:
    assert "simulate" in known()


def test_the_engine_gives_thirty_columns_of_the_plan_with_their_gaps_and_ties() -> None:
    frame, fields = bench.wide(4_000, 1)
    made = bench.by_tree(frame, fields, 3_000)
    assert (made.height, made.width) == (3_000, 30)
    assert made.schema == frame.select(f.name for f in fields).schema
    assert made["额1"].null_count() / 3_000 == pytest.approx(0.1, abs=0.03)
    tied, apart = (float(made.select(pl.corr("数0", other)).item()) for other in ("数3", "数1"))
    assert tied > 0.5
    assert abs(apart) < 0.1


def test_the_citys_table_has_every_kind_of_column() -> None:
    frame, fields = bench._LOADERS["city"]()
    assert frame.height == 2 * bench._ROWS
    assert {f.semantic for f in fields} == {"category", "number", "code", "date", "amount"}
    assert [f.name for f in fields] == frame.columns
