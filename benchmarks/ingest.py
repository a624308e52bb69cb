"""Reading a delimited file the whole way, against DuckDB's own CSV to Parquet copy of the same file in the same run.

The whole path: survey and digest of the bytes, text version with quarantine and line conservation, types over all rows,
typed version, both adopted by the lake. Each side runs in a process of its own, in turn, so that its peak memory is its
own. `PDS_BENCH_GB` sets the sizes (1,4) and `PDS_BENCH_TIMES` how often the smaller one is measured (3).
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, peak_mb
from policies.text import Text

TEXT_BAR, TYPES_BAR, WHOLE_BAR, GB_BAR, MEMORY_BAR_MB, GROWTH_BAR = 1.6, 0.8, 3.0, 1.0, 2500.0, 1.4
SEEDS = 5


def run() -> list[Figure]:
    """Seconds and megabytes of ours beside those of the plain copy; rows lost to dirt on every seed."""
    sizes = sorted(float(s) for s in os.environ.get("PDS_BENCH_GB", "1,4").split(","))
    times = int(os.environ.get("PDS_BENCH_TIMES", "3"))
    with tempfile.TemporaryDirectory(prefix="pds-bench-") as folder:
        home = Path(folder)
        measured = [_pair(home, size, times if size == sizes[0] else 1) for size in sizes]
        foreign = _foreign(home, sizes[0])
        lost = sum(_lost(home, seed) for seed in range(SEEDS))
    figures = [f for size, pair in zip(sizes, measured, strict=True) for f in _figures(f"{size:g}gb", *pair)]
    ours, plain = measured[0]
    first, last = measured[0][0]["rss_mb"], measured[-1][0]["rss_mb"]
    extra = foreign["text"] - ours["text"]
    return [
        *figures,
        Figure("growth", last, first, "MB", Text("最大文件的内存峰值，对照最小文件；目标 ≤ 1.4", "peak memory at the "
               "largest size against the smallest; bar 1.4")),
        Figure("gb18030", extra, plain["copy"], "s", Text("GB18030 多用的时间，对照 DuckDB 复制；目标 ≤ 1",
               "what GB18030 costs more, against DuckDB's copy; bar 1")),
        Figure("rows_lost", float(lost), 1.0, "rows", Text(f"{SEEDS} 个种子的脏文件中丢失的好记录；须为 0",
               f"good records lost on dirty files of {SEEDS} seeds; must be 0")),
    ]  # fmt: skip


def _figures(size: str, ours: dict[str, float], plain: dict[str, float]) -> list[Figure]:
    copy = plain["copy"]
    against = Text("对照：DuckDB CSV→Parquet 复制", "against DuckDB's CSV to Parquet copy")

    def against_copy(name: str, value: float, bar: float, zh: str, en: str) -> Figure:
        return Figure(f"{name}_{size}", value, copy, "s",
                      Text(f"{zh}；{against.zh}；目标 ≤ {bar}", f"{en}; {against.en}; bar {bar}"))  # fmt: skip

    return [
        against_copy("text", ours["text"], TEXT_BAR, "原文版本（含指纹、隔离、行数守恒）", "text version"),
        against_copy("types", ours["types"], TYPES_BAR, "全部行上的类型判定", "types over all rows"),
        against_copy("whole", ours["whole"], WHOLE_BAR, "全程，直至入湖", "the whole path into the lake"),
        Figure(f"memory_{size}", ours["rss_mb"], MEMORY_BAR_MB, "MB", Text("内存峰值，对照 2.5 GB 上限",
               "peak memory against the bar of 2.5 GB")),
    ]  # fmt: skip


def _pair(home: Path, size: float, times: int) -> tuple[dict[str, float], dict[str, float]]:
    """Medians of ours and of the plain copy, measured in turn."""
    from benchmarks.tables import write_csv

    path = home / "table.csv"
    write_csv(path, size=size * 1e9)
    rounds = [(_measured("ours", path), _measured("copy", path)) for _ in range(times)]
    path.unlink()
    return _median([r[0] for r in rounds]), _median([r[1] for r in rounds])


def _foreign(home: Path, size: float) -> dict[str, float]:
    from benchmarks.tables import write_csv

    path = home / "table.csv"
    write_csv(path, size=size * 1e9, encoding="gb18030")
    found = _measured("ours", path)
    path.unlink()
    return found


def _median(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}


def _measured(what: str, path: Path) -> dict[str, float]:
    """One measurement in a process of its own."""
    with tempfile.TemporaryDirectory(dir=path.parent) as work:
        command = [sys.executable, "-m", "benchmarks.ingest", what, str(path), work]
        told = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    found: dict[str, float] = json.loads(told)
    return found


def _lost(home: Path, seed: int) -> int:
    """Good records of a dirty file that are not loaded exactly once."""
    import polars as pl

    from benchmarks.tables import write_dirty
    from pipelines.reading import Recipe, read

    path = home / f"dirty-{seed}.csv"
    good, _ = write_dirty(path, seed)
    (reading,) = read(path, work=home / f"work-{seed}", recipe=Recipe(delimiter=",", quote='"'))
    loaded = pl.read_parquet(reading.text_parquet)["编号"].to_list()
    return len(good.symmetric_difference(loaded)) + len(loaded) - len(set(loaded))


# ---- inside a measured process ------------------------------------------------------------------------------------
def _ours(path: Path, work: Path) -> dict[str, float]:
    import deltalake  # noqa: F401 - imports are no part of the path
    import duckdb  # noqa: F401
    import polars  # noqa: F401

    from pipelines.reading import read, textfile, typed
    from sandbox.lake import Lake

    spent: dict[str, float] = {}
    infer = textfile.infer

    def timed(*given: Any) -> Any:
        began = time.perf_counter()
        found = infer(*given)
        spent["types"] = time.perf_counter() - began
        return found

    textfile.infer = timed
    began = time.perf_counter()
    (reading,) = read(path, work=work / "read")
    read_in = time.perf_counter() - began
    files, lake, facts = typed(reading), Lake(work / "lake"), reading.facts()
    lake.adopt("bench/raw", [reading.text_parquet], mode="overwrite", facts=facts, once="bench")
    lake.adopt("bench/typed", files, mode="overwrite", facts=facts, once="bench")
    lake.digest("bench/typed")
    whole = time.perf_counter() - began
    return {"text": read_in - spent["types"], "types": spent["types"], "whole": whole}


def _copy(path: Path, work: Path) -> dict[str, float]:
    import duckdb

    con = duckdb.connect(config={"memory_limit": "2GB"})
    began = time.perf_counter()
    con.execute("COPY (FROM read_csv(?)) TO '" + str(work / "copy.parquet") + "' (FORMAT parquet)", [str(path)])
    return {"copy": time.perf_counter() - began}


if __name__ == "__main__":
    what, path, work = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    seconds = _ours(path, work) if what == "ours" else _copy(path, work)
    print(json.dumps({**seconds, "rss_mb": peak_mb()}))
