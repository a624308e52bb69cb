"""What measuring quality costs beside a bare scan of the same file: ratio of times, and the most memory it held.

`PDS_BENCH_CELLS` sets the cells of the table (10,000,000). The table has 20 text columns; it is judged by 5 patterns, a
range, a date order, two unique keys and a reference to 0.9 million codes, with completeness, type fit and repeated rows
for all of it. The bare scan sums the byte lengths of all columns, in the same engine and the same run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import starmap
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.figures import Figure
from policies.text import Text

COLUMNS = (
    "身份证号", "手机号", "姓名", "性别", "出生日期", "登记日期", "年龄", "民族", "所属区", "所属街道", "住址",
    "缴费基数", "缴费金额", "得分", "单位代码", "区划代码", "流水号", "办理时间", "状态", "备注",
)  # fmt: skip
_CODES, _CHUNK = 900_000, 100_000
_TIMES_SCAN, _MEMORY_GB = 4.0, 1.5
_DAYS = [str(d) for d in np.arange(np.datetime64("1950-01-01"), np.datetime64("2025-12-31"))]
_RULES: list[dict[str, Any]] = [
    {"kind": "regex", "column": "身份证号", "pattern": r"\d{17}[\dX]"},
    {"kind": "regex", "column": "手机号", "pattern": r"1[3-9]\d{9}"},
    {"kind": "regex", "column": "单位代码", "pattern": r"91\d{16}"},
    {"kind": "regex", "column": "区划代码", "pattern": r"[1-6]\d{5}"},
    {"kind": "regex", "column": "流水号", "pattern": r"T25\d{9}"},
    {"kind": "range", "column": "年龄", "min": 0.0, "max": 99.0},
    {"kind": "date_order", "columns": ["出生日期", "登记日期"]},
    {"kind": "unique_key", "columns": ["身份证号"]},
    {"kind": "unique_key", "columns": ["流水号"]},
    {"kind": "reference", "columns": ["单位代码"], "to_table": "单位", "to_columns": ["代码"]},
    {"kind": "required", "columns": list(COLUMNS)},
]


def run() -> list[Figure]:
    """Seconds of the whole measurement against a bare scan; peak memory of the measuring process against its bar."""
    cells = int(os.environ.get("PDS_BENCH_CELLS", "10000000"))
    with tempfile.TemporaryDirectory(prefix="pds-bench-") as folder:
        write_table(Path(folder), cells // len(COLUMNS))
        told = [_in_a_process(folder) for _ in range(2)][-1]  # the first run warms the page cache
    size = f"{cells // 1_000_000}M"
    return [
        Figure("measure", told["measure"], told["scan"], "s",
               Text(f"{size} 单元格全部质量指标，对同一文件的空扫描（目标 ≤ {_TIMES_SCAN:g} 倍）",
                    f"all indicators of {size} cells, against a bare scan (bar ≤ {_TIMES_SCAN:g}×)")),
        Figure("memory", told["peak"], _MEMORY_GB, "GB",
               Text("度量进程的最高内存，对上限", "peak memory of the measuring process, against its bar")),
    ]  # fmt: skip


def write_table(folder: Path, rows: int) -> None:
    """`table.parquet` and `units.parquet`, written chunk by chunk."""
    rng = np.random.default_rng(20260101)
    codes = pa.table({"代码": pa.array([f"91{x:016d}" for x in range(_CODES)], pa.large_string())})
    pq.write_table(codes, folder / "units.parquet")
    schema = pa.schema([(name, pa.large_string()) for name in COLUMNS])
    with pq.ParquetWriter(folder / "table.parquet", schema, compression="snappy") as writer:
        for start in range(0, rows, _CHUNK):
            cells = _chunk(rng, start, min(_CHUNK, rows - start))
            writer.write_table(pa.table([pa.array(c, pa.large_string()) for c in cells], schema=schema))


def _chunk(rng: np.random.Generator, start: int, n: int) -> list[list[str]]:
    def numbers(low: int, high: int, form: str = "{}", divisor: int = 1) -> list[str]:
        return [form.format(x / divisor if divisor > 1 else x) for x in rng.integers(low, high, n).tolist()]

    def pairs(form: str, *limits: int) -> list[str]:
        return list(starmap(form.format, zip(*(rng.integers(0, k, n).tolist() for k in limits), strict=True)))

    def gaps(cells: list[str], share: float) -> list[str]:
        spellings, lost = ("", "-", "NA", "暂无"), rng.random(n) < share
        return [spellings[i % 4] if gone else cell for i, (gone, cell) in enumerate(zip(lost, cells, strict=True))]

    names = "王李张刘陈杨黄赵吴周"
    born = rng.integers(0, len(_DAYS) - 4000, n)
    registered = born + rng.integers(0, 4000, n)
    return [
        [f"4401{x:014d}" for x in range(start * 7, (start + n) * 7, 7)], numbers(0, 10**9, "13{:09d}"),
        [names[a] + names[b] + names[c] for a, b, c in rng.integers(0, 10, (n, 3)).tolist()],
        ["男女"[x] for x in rng.integers(0, 2, n).tolist()], gaps([_DAYS[i] for i in born.tolist()], 0.02),
        [_DAYS[i] for i in registered.tolist()], gaps(numbers(0, 101), 0.03),
        [("汉族", "壮族", "瑶族", "苗族")[x] for x in rng.integers(0, 4, n).tolist()], numbers(1, 10, "{}区"),
        numbers(1, 60, "{}街道"), pairs("示范市{}区{}路{}号", 99, 999, 999),
        gaps(numbers(0, 10**7, "{:.2f}", 100), 0.02), numbers(0, 10**6, "{:.2f}", 100), numbers(0, 500, "{:.1f}", 10),
        numbers(0, _CODES + 9000, "91{:016d}"), numbers(110000, 700000),
        [f"T25{x:09d}" for x in range(start, start + n)],
        pairs("2025-11-{:02d} {:02d}:{:02d}:00", 30, 24, 60),
        [("正常", "注销")[x > 7] for x in rng.integers(0, 10, n).tolist()], gaps(numbers(0, 10**6, "备注{}"), 0.86),
    ]  # fmt: skip


def _in_a_process(folder: str) -> dict[str, float]:
    """The figures of one process of its own, so that its peak memory is that of measuring."""
    command = [sys.executable, "-m", "benchmarks.quality", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measured(folder: Path) -> dict[str, float]:
    """Seconds of the scan and of the measurement, and the most memory held, in GB."""
    import resource

    import polars as pl
    from pydantic import TypeAdapter

    from pipelines import quality
    from pipelines.reading.landing import Accounting
    from pipelines.reading.recipe import ColumnRecipe
    from policies.editions import load
    from policies.schema.quality import DeclaredRule

    kinds: dict[str, dict[str, Any]] = {
        "出生日期": {"type": "date", "formats": ("Y-m-d",)}, "登记日期": {"type": "date", "formats": ("Y-m-d",)},
        "年龄": {"type": "integer"}, "得分": {"type": "decimal", "scale": 1},
        "缴费基数": {"type": "decimal", "scale": 2}, "缴费金额": {"type": "decimal", "scale": 2},
        "办理时间": {"type": "timestamp", "formats": ("Y-m-d H:M:S",)},
    }  # fmt: skip
    file = str(folder / "table.parquet")
    rows = int(pq.ParquetFile(file).metadata.num_rows)
    columns = [ColumnRecipe(name=c, **kinds.get(c, {})) for c in COLUMNS]
    rules: list[Any] = TypeAdapter(list[DeclaredRule]).validate_json(json.dumps(_RULES))
    around = quality.Around(others={"单位": [str(folder / "units.parquet")]})
    account, policy = Accounting(lines=rows, rows_loaded=rows), load("quality")

    def scan() -> None:
        pl.scan_parquet(file).select(pl.all().str.len_bytes().sum()).collect(engine="streaming")

    scans = [_seconds(scan)]
    took = _seconds(lambda: quality.measure([file], columns, rules, account, policy, around=around))
    scans.append(_seconds(scan))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"scan": min(scans), "measure": took, "peak": peak}


if __name__ == "__main__":
    print(json.dumps(measured(Path(sys.argv[1]))))
