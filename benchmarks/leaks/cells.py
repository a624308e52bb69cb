"""Leaks in cells of aggregates: too few people, one who dominates, whole groups, extremes."""

from __future__ import annotations

import polars as pl

from benchmarks.leaks.registry import Pair, case
from benchmarks.leaks.town import Town, aggregate, job

VISITS = {"人次": {"op": "count"}, "人数": {"op": "count_distinct", "of": "身份证号"}}


def visits(town: Town) -> pl.DataFrame:
    """Visits of named persons, as columns a product may count."""
    return town.visits.filter(pl.col("身份证号").is_not_null()).select("身份证号", "机构名称", "科室", "性别", "费用")


@case("three people in a cell", "EXP-CELL-01", "job")
def three_people(town: Town) -> Pair:
    frame = visits(town)
    few = frame["身份证号"].unique(maintain_order=True).head(3)
    thin = frame.filter(pl.col("身份证号").is_in(few.implode())).with_columns(科室=pl.lit("试点门诊"))
    product = job(VISITS, ["科室"])
    dense = frame.filter(pl.col("身份证号").n_unique().over("科室") >= 25)
    leak = {"t": town.source(pl.concat([dense, thin]), "身份证号")}
    return Pair(aggregate(town, leak, product), aggregate(town, {"t": town.source(dense, "身份证号")}, product))
