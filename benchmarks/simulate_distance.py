"""Distance to the closest record: ours against SDMetrics' unsampled form, on the same rows in one process.

Both judge copies of the fitted rows (they must be caught) and fresh rows of the same population (they must pass), every
row against every fitted and every held-out one. Processor seconds on one thread are counted: the ratio holds on a busy
machine too. `PDS_BENCH_DISTANCE_ROWS` sets the rows of each of the three sets (2,000).
"""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np
import polars as pl

from benchmarks.figures import Figure
from policies.text import Text

BAR = 50.0
CAUGHT = 0.95
PASSED = 0.55
"""Shares closer to the fitted rows from which copies count as caught, and up to which fresh rows pass."""
_KINDS = {"区": 11, "科室": 8, "险种": 3, "状态": 4}


def figures() -> list[Figure]:
    """Seconds of both and how many times ours is cheaper; the share either finds closer to the fitted rows, and that
    the verdicts agree."""
    from threadpoolctl import threadpool_limits

    rows = int(os.environ.get("PDS_BENCH_DISTANCE_ROWS", "2000"))
    fitted, holdout, fresh = (_rows(rows, seed) for seed in (1, 2, 3))
    copies = fitted.sample(rows, with_replacement=True, seed=4)
    spent, shares = {"ours": 0.0, "sdmetrics": 0.0}, {}
    with threadpool_limits(1):
        for name, made in (("copies", copies), ("fresh", fresh)):
            for who, share_of in (("ours", _ours), ("sdmetrics", _theirs)):
                began = time.process_time()
                shares[who, name] = share_of(fitted, holdout, made)
                spent[who] += time.process_time() - began
    agreed = {who: (shares[who, "copies"] >= CAUGHT, shares[who, "fresh"] <= PASSED) for who in spent}
    same = float(agreed["ours"] == agreed["sdmetrics"] == (True, True))
    size = f"{rows:,} × {len(fitted.columns)}"
    return [
        Figure("distance_speed", round(spent["sdmetrics"] / spent["ours"], 1), BAR, "×",
               Text(f"{size} 每行对每行，SDMetrics 未抽样用时是本平台的几倍；目标 ≥ {BAR:g}",
                    f"{size}, every row against every row: how often ours fits into SDMetrics; bar {BAR:g}")),
        Figure("distance", spent["ours"], round(spent["sdmetrics"], 3), "CPU s",
               Text("本平台与 SDMetrics 未抽样的用时", "ours against SDMetrics without sampling")),
        Figure("distance_copies", shares["ours", "copies"], round(shares["sdmetrics", "copies"], 4), "share",
               Text("抄袭样本更靠近训练行的比例", "share of copies closer to the fitted rows")),
        Figure("distance_fresh", shares["ours", "fresh"], round(shares["sdmetrics", "fresh"], 4), "share",
               Text("新样本更靠近训练行的比例", "share of fresh rows closer to the fitted rows")),
        Figure("distance_verdicts", same, 1.0, "share",
               Text("两者都识破抄袭、都放过新样本为 1", "1 where both catch the copies and pass the fresh rows")),
    ]  # fmt: skip


def run() -> list[Figure]:
    """For `pds bench simulate_distance`."""
    return figures()


def _rows(count: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 90, count).astype(float)
    labels = {name: rng.choice([f"{name}{i}" for i in range(kinds)], count) for name, kinds in _KINDS.items()}
    fee = np.round(rng.lognormal(4 + age / 60, 0.6), 2)
    numbers = {"年龄": age, "费用": fee, "自付": np.round(fee * rng.uniform(0.1, 0.5, count), 2)}
    return pl.DataFrame(labels | numbers | {"日": pl.Series(rng.integers(18_000, 20_000, count)).cast(pl.Date)})


def _ours(fitted: pl.DataFrame, holdout: pl.DataFrame, made: pl.DataFrame) -> float:
    from synthetic.distance import Comparison
    from synthetic.fields import Field

    dtypes = {pl.String: ("text", "category"), pl.Float64: ("decimal", "number"), pl.Date: ("date", "date")}
    fields = [Field(name, *dtypes[type(kind)]) for name, kind in made.schema.items()]  # type: ignore[arg-type]
    share = Comparison(pl.concat([fitted, holdout]), fitted, holdout, fields).closer([made]).share
    return float(share or 0.0)


def _theirs(fitted: pl.DataFrame, holdout: pl.DataFrame, made: pl.DataFrame) -> float:
    from sdmetrics.single_table import DCROverfittingProtection

    kinds = {pl.String: "categorical", pl.Float64: "numerical", pl.Date: "datetime"}
    columns: dict[str, Any] = {name: {"sdtype": kinds[type(kind)]} for name, kind in made.schema.items()}
    columns["日"]["datetime_format"] = "%Y-%m-%d"
    frames = [frame.with_columns(pl.col("日").cast(pl.Datetime("ns"))).to_pandas() for frame in (fitted, made, holdout)]
    found = DCROverfittingProtection.compute_breakdown(
        {"t": frames[0]}, {"t": frames[1]}, frames[2], {"tables": {"t": {"columns": columns}}}, "t"
    )
    return float(found["synthetic_data_percentages"]["closer_to_training"])


if __name__ == "__main__":
    for figure in figures():
        print(figure.as_dict())
