"""Detection against presidio-analyzer's own batch engine: same recognisers, same data, same process.

The plain side is `BatchAnalyzerEngine` with our recognisers and no language model, given canonical text: its fastest
form. Rates are cells per second of processor time, all threads counted: on a shared machine the clock tells more about
the neighbours. `PDS_BENCH_ROWS` sets the rows of the large table (500,000, times 20 columns is 10M cells) and
`PDS_BENCH_TALL` the different texts of the tall one (20M). The large and the tall table are scanned in processes of
their own, so that their peak memory is theirs; start-up is measured apart and is in no rate.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks import mixed
from benchmarks.figures import Figure
from policies.text import Text

AIM_SMALL, AIM_LARGE, AIM_MEMORY, AIM_START = 20.0, 80.0, 2_500.0, 10.0
SMALL, BOTH_WAYS = 2_000, 10_000  # rows of twenty columns
Cell = tuple[str, int, str]  # column, row, entity


def run() -> list[Figure]:
    """Rates and their ratio at 40k cells and 10M cells, agreement on 200k cells, start-up, and peak memory."""
    start = _start_up()
    small = mixed.table(SMALL, seed=2)
    plain_rate, small_rate = _alternating(small)
    both = mixed.table(BOTH_WAYS, seed=3)
    missed, extra, agreed, disguised = _agreement(both)
    large, tall = _large(), _tall()
    return [
        Figure("cells_40k", small_rate, plain_rate, "cells/cpu s",
               _said("4 万单元格的速率，对 BatchAnalyzerEngine（目标 ≥ 20 倍）", "rate at 40k cells, aim ≥ 20×")),
        Figure("cells_10m", large["rate"], plain_rate, "cells/cpu s",
               _said("大表速率（含姓名模型），对 4 万单元格上的普通速率（目标 ≥ 80 倍）",
                     "rate of the large table, names included, aim ≥ 80×")),
        Figure("missed_200k", missed, agreed, "hits", _said("普通做法有而本平台无（目标 0）", "missed hits, aim 0")),
        Figure("extra_200k", extra, agreed, "hits", _said("本平台有而普通做法无（目标 0）", "extra hits, aim 0")),
        Figure("disguised_200k", disguised, 2, "hits",
               _said("另从变形写法中找到，普通做法看不见", "found in disguise besides; the plain side cannot")),
        Figure("start_up", start, AIM_START, "s", _said("引入 Presidio、建引擎、首次调用", "import and first call")),
        Figure("memory_10m", large["memory"], AIM_MEMORY, "MB", _said("大表扫描的峰值内存", "peak of the large scan")),
        Figure("memory_tall", tall["memory"], AIM_MEMORY, "MB",
               _said("一列各不相同长文本的峰值内存", "peak with one column of different long texts")),
        Figure("seconds_tall", tall["seconds"], large["seconds"], "cpu s",
               _said("该列用时，对大表用时", "seconds of that column, against the large table")),
    ]  # fmt: skip


def _said(zh: str, en: str) -> Text:
    return Text(zh, en)


# ---- the two sides ------------------------------------------------------------------------------------------------
def plain_hits(table: pl.DataFrame) -> tuple[float, set[Cell]]:
    """Processor seconds and hits of the plain side over every cell; precedence is applied afterwards."""
    from presidio_analyzer import BatchAnalyzerEngine

    from sandbox.detection import canon, engine
    from sandbox.detection.recognizers import ACCEPT_IN_CELL

    batch = BatchAnalyzerEngine(analyzer_engine=engine.analyzer())
    cells = {name: canon.canonical_values(table[name]).to_list() for name in table.columns}
    began = time.process_time()
    results = list(batch.analyze_dict(cells, engine.LANGUAGE, score_threshold=ACCEPT_IN_CELL))
    seconds = time.process_time() - began
    found: set[Cell] = set()
    for column in results:
        for row, hits in enumerate(column.recognizer_results):
            kept = engine.resolve(
                engine.Hit(r.recognition_metadata["recognizer_name"], r.start, r.end, r.score) for r in hits
            )
            found |= {(column.key, row, hit.entity) for hit in kept}
    return seconds, found


def our_hits(table: pl.DataFrame) -> tuple[float, set[Cell], set[Cell]]:
    """Processor seconds, plain hits and disguised hits of the funnel over every cell (patterns only)."""
    from sandbox.detection import canon, columns, funnel
    from sandbox.detection.recognizers import ROWS

    lazy, schema = table.lazy(), table.schema
    began = time.process_time()
    scanned = []
    for name, dtype in schema.items():
        (column,) = columns.parts(lazy, name, dtype, 0)
        at = column.looked_at
        scanned.append((name, funnel.scan_values(column.texts.gather(at), column.counts.gather(at), [name])))
    seconds = time.process_time() - began
    plain, disguised = set[Cell](), set[Cell]()
    for name, found in scanned:
        rows_of: dict[str, list[int]] = {}
        for row, text in enumerate(canon.canonical_values(table[name]).to_list()):
            rows_of.setdefault(text, []).append(row)
        for row_name, places in found.hits.items():
            hidden = found.disguised.get(row_name, set())
            for place in places.tolist():
                into = disguised if place in hidden else plain
                into |= {(name, row, ROWS[row_name].entity) for row in rows_of[found.values[place]]}
    return seconds, plain, disguised


def _alternating(table: pl.DataFrame) -> tuple[float, float]:
    """Cells per processor second of the plain side and of ours, the better of two turns around the other's."""
    cells = table.height * table.width
    our_hits(table)  # both sides have been called once before either is timed
    first, _, _ = our_hits(table)
    plain, _ = plain_hits(table)
    second, _, _ = our_hits(table)
    return cells / plain, cells / min(first, second)


def _agreement(table: pl.DataFrame) -> tuple[int, int, int, int]:
    """Hits missed, extra and agreed against the plain side, and disguised ones besides."""
    _, theirs = plain_hits(table)
    _, ours, disguised = our_hits(table)
    return len(theirs - ours), len(ours - theirs), len(ours & theirs), len(disguised)


# ---- processes of their own ---------------------------------------------------------------------------------------
_START = """
import time
began = time.perf_counter()
from sandbox.detection import engine
engine.judge("13800138000")
print(time.perf_counter() - began)
"""
_SCAN = """
import json, re, sys, time
import polars as pl
from sandbox.detection import engine, names, scan_table
engine.judge("13800138000"); names.tagger()
began = time.process_time()
scan = scan_table(pl.scan_parquet(sys.argv[1]))
seconds = time.process_time() - began
status = open("/proc/self/status").read()  # its own peak: ru_maxrss would be that of the process it was forked from
peak = int(re.search(r"VmHWM:\\s+([0-9]+) kB", status)[1]) / 1024
print(json.dumps({"seconds": seconds, "memory": peak, "rate": scan.rows * len(scan.columns) / seconds}))
"""


def _start_up() -> float:
    return float(_python(_START))


def _large() -> dict[str, float]:
    return _scan(lambda path: mixed.table(int(os.environ.get("PDS_BENCH_ROWS", "500000"))).write_parquet(path))


def _tall() -> dict[str, float]:
    texts = int(os.environ.get("PDS_BENCH_TALL", "20000000"))
    return _scan(lambda path: mixed.tall(texts).sink_parquet(path, row_group_size=250_000))


def _scan(write: Callable[[Path], Any]) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="pds-bench-") as folder:
        path = Path(folder) / "table.parquet"
        write(path)
        gc.collect()
        answer: dict[str, float] = json.loads(_python(_SCAN, str(path)))
        return answer


def _python(code: str, *arguments: str) -> str:
    root = Path(__file__).resolve().parents[1]
    ran = subprocess.run([sys.executable, "-c", code, *arguments], cwd=root, stdout=subprocess.PIPE, check=True)
    return ran.stdout.decode()
