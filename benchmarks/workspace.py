"""Workspaces: what the jail, the broker and the way over HTTP cost, beside a bare DuckDB on the same data.

Both sides of a pair are measured in turns in one process, with the same number of threads and the same memory limit,
and the middle value counts. `PDS_BENCH_SECTIONS` names the sections to run (all: tpch, arrow, one_row, opening, idle,
busy, bomb, http); `PDS_BENCH_SCALE` is the scale factor of TPC-H (1), `PDS_BENCH_ROWS` the rows of the transfer
(1,000,000), `PDS_BENCH_TIMES` how often the pairs are repeated (each section has its own number). The crowd's size is
`PDS_BENCH_WORKSPACES` (100 idle), `PDS_BENCH_BUSY` (32 busy) and `PDS_BENCH_SECONDS` (10 under load).
What a grant costs is `pds bench grant`.
Needs root or user namespaces for the strong jail, as real data does; what the host gives is part of the first figure.
"""

from __future__ import annotations

import contextlib
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from benchmarks import tpch as questions
from benchmarks.figures import Figure
from policies.text import Text
from sandbox.workspaces.broker import Broker, Mode, QueryResult, WorkspaceMount
from sandbox.workspaces.limits import Limits
from sandbox.workspaces.selftest import selftest

SECTIONS = {
    "tpch": "workspace", "arrow": "workspace", "one_row": "workspace", "opening": "workspace",
    "idle": "workspace_crowd", "busy": "workspace_crowd", "bomb": "workspace_crowd",
    "http": "workspace_http",
}  # fmt: skip
"""Section → the module of `benchmarks/` with a function of that name"""

LIMITS = Limits(
    memory_mb=2048, cpu_seconds=240, wall_seconds=120, processes=40, file_mb=256, result_rows=1_000_000, result_mb=256,
    threads=2,
)  # fmt: skip
"""A developing workspace's, with room for a million rows in one answer"""
_TPCH_BAR, _ARROW_BAR, _ONE_ROW_MS = 1.10, 1.3, 2.0
_COLD_SECONDS, _WARM_SECONDS = 1.0, 0.15


def run() -> list[Figure]:
    """The figures of every section that `PDS_BENCH_SECTIONS` names. Raises ValueError for a section there is not."""
    wanted = [s for s in os.environ.get("PDS_BENCH_SECTIONS", ",".join(SECTIONS)).split(",") if s]
    unknown = [s for s in wanted if s not in SECTIONS]
    if unknown:
        raise ValueError(f"no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    figures: list[Figure] = []
    for name in wanted:
        figures += getattr(import_module(f"benchmarks.{SECTIONS[name]}"), name)()
    return figures


def tpch() -> list[Figure]:
    """The 22 questions: sum of the middle times jailed over the same bare, and the worst single question."""
    scale, times = float(os.environ.get("PDS_BENCH_SCALE", "1")), repeats(3)
    with tempfile.TemporaryDirectory(prefix="pds-bench-") as place:
        tables = questions.generate(Path(place, "data"), scale)
        with workspace(Path(place), tables) as ask, bare(tables) as plain:
            for number, sql in questions.QUERIES.items():
                if not same(plain(sql), ask(sql)):
                    raise RuntimeError(f"question {number} has another answer inside the jail")
            pairs = {
                number: paired(lambda s=sql: plain(s), lambda s=sql: ask(s), times)
                for number, sql in questions.QUERIES.items()
            }
    raw, jailed = (sum(pair[side] for pair in pairs.values()) for side in (0, 1))
    worst = max(pairs, key=lambda number: pairs[number][1] / pairs[number][0])
    tier = selftest().text
    return [
        Figure("tpch", jailed, raw, "s", Text(
            f"TPC-H 规模 {scale:g} 的 22 问，隔离内对裸 DuckDB，结果相同（隔离：{tier.zh}；目标比值 ≤ {_TPCH_BAR}）",
            f"TPC-H at scale {scale:g}, 22 questions jailed over bare DuckDB, equal results (isolation here: {tier.en};"
            f" bar: ratio ≤ {_TPCH_BAR})")),
        Figure("tpch_worst", pairs[worst][1], pairs[worst][0], "s", Text(
            f"其中比值最大的一问（第 {worst} 问；无目标）",
            f"the question with the largest ratio (number {worst}; no bar of its own)")),
    ]  # fmt: skip


def arrow() -> list[Figure]:
    """A million rows of five columns to the caller of the broker, over the same into an Arrow table in-process."""
    rows = int(os.environ.get("PDS_BENCH_ROWS", "1000000"))
    with tempfile.TemporaryDirectory(prefix="pds-bench-") as place:
        tables = {"t": five_columns(Path(place), rows)}
        with workspace(Path(place), tables) as ask, bare(tables) as plain:
            if not plain("FROM t").equals(ask("FROM t")):
                raise RuntimeError("the jailed answer is another")
            raw, jailed = paired(lambda: plain("FROM t"), lambda: ask("FROM t"), repeats(9))
    text = Text(
        f"{rows} 行 5 列以 Arrow 交给调用方，对进程内（目标比值 ≤ {_ARROW_BAR}）",
        f"{rows} rows × 5 as Arrow to the caller, over in-process (bar: ratio ≤ {_ARROW_BAR})",
    )
    return [Figure("arrow", jailed, raw, "s", text)]


def one_row() -> list[Figure]:
    """What the broker adds to the middle time of a query with one row."""
    with tempfile.TemporaryDirectory(prefix="pds-bench-") as place:
        tables = {"t": five_columns(Path(place), 10_000)}
        with workspace(Path(place), tables) as ask, bare(tables) as plain:
            sql = "SELECT name FROM t WHERE id = 77"
            if not same(plain(sql), ask(sql)):
                raise RuntimeError("the jailed answer is another")
            raw, jailed = paired(lambda: plain(sql), lambda: ask(sql), repeats(300))
    text = Text(
        f"单行查询中位用时经代理比进程内多出（进程内 {raw * 1000:.2f} 毫秒；目标 ≤ {_ONE_ROW_MS} 毫秒）",
        f"one-row query, p50 above in-process through the broker (in-process {raw * 1000:.2f} ms; bar ≤ {_ONE_ROW_MS})",
    )
    return [Figure("one_row", max(0.0, jailed - raw) * 1000, _ONE_ROW_MS, "ms", text)]


def opening() -> list[Figure]:
    """From the first question to its answer in a workspace that has no process: cold, and from a warm spare."""
    times = repeats(7)
    with tempfile.TemporaryDirectory(prefix="pds-bench-") as place:
        tables = {"t": five_columns(Path(place), 1000)}
        found, why = {}, ""
        for kind, spares in (("cold", 0), ("warm", 1)):
            with contextlib.closing(Broker(selftest(), LIMITS, capacity_mb=capacity(2), spares=spares)) as broker:
                taken = [_opened(broker, Path(place, f"{kind}{number}"), tables) for number in range(times)]
                found[kind], why = statistics.median(taken), broker.cold_because
    said = f"（没有热备：{why}）" if why else ""
    return [
        Figure("open_cold", found["cold"], _COLD_SECONDS, "s", Text(
            "冷开工作空间到首个答案，对目标", "opening a workspace cold, to the first answer, against the bar")),
        Figure("open_warm", found["warm"], _WARM_SECONDS, "s", Text(
            f"由热备进程开工作空间到首个答案，对目标{said}",
            f"opening from a warm spare, to the first answer, against the bar{said and f' (no spare: {why})'}")),
    ]  # fmt: skip


def _opened(broker: Broker, folder: Path, tables: dict[str, Path]) -> float:
    """Seconds until a workspace that never ran answers."""
    broker.warm()
    mount = WorkspaceMount(folder.name, Mode.SIMULATED, folder, tables, quota_mb=8192)
    taken = seconds(lambda: answered(broker.query(mount, "SELECT count(*) FROM t")))
    broker.stop(mount.workspace_id)
    return taken


def repeats(usual: int) -> int:
    """How often a pair is measured."""
    return int(os.environ.get("PDS_BENCH_TIMES", usual))


def capacity(workers: int) -> int:
    """Megabytes with room for that many running workers of LIMITS beside what idle ones and spares hold."""
    return workers * LIMITS.memory_mb + 8192


def five_columns(folder: Path, rows: int) -> Path:
    """A Parquet file with whole numbers, a fraction and a short text."""
    path = folder / "t.parquet"
    duckdb.sql(
        "SELECT range AS id, range % 97 AS kind, range / 7 AS share, 'name' || range % 1000 AS name,"
        f" range * 3 AS triple FROM range({rows})"
    ).write_parquet(str(path))
    return path


@contextlib.contextmanager
def workspace(place: Path, tables: dict[str, Path]) -> Iterator[Callable[[str], pa.Table]]:
    """A way to ask one open workspace over `tables`."""
    broker = Broker(selftest(), LIMITS, capacity_mb=capacity(1))
    mount = WorkspaceMount("bench", Mode.SIMULATED, place / "workspace", tables, quota_mb=8192)
    try:
        answered(broker.query(mount, "SELECT 1"))
        yield lambda sql: answered(broker.query(mount, sql)).rows
    finally:
        broker.close()


@contextlib.contextmanager
def bare(tables: dict[str, Path]) -> Iterator[Callable[[str], pa.Table]]:
    """A way to ask DuckDB in this process over the same files, with the same threads and memory."""
    config: dict[str, Any] = {"threads": LIMITS.threads, "memory_limit": f"{LIMITS.duckdb_mb}MB", "async_threads": 1}
    with duckdb.connect(config=config) as con:
        for name, path in tables.items():
            con.execute(f"CREATE VIEW {name} AS FROM read_parquet('{path}')")
        yield lambda sql: con.sql(sql).to_arrow_table()


def answered(outcome: Any) -> QueryResult:
    """The result. Raises RuntimeError for a failure: a benchmark has none."""
    if not isinstance(outcome, QueryResult):
        raise RuntimeError(f"{outcome.kind}: {outcome.engine_text or outcome.text.en}")
    return outcome


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def paired(one: Callable[[], object], other: Callable[[], object], times: int) -> tuple[float, float]:
    """Middle seconds of both, measured in turns: both have run before."""
    pairs = [(seconds(one), seconds(other)) for _ in range(times)]
    return statistics.median(p[0] for p in pairs), statistics.median(p[1] for p in pairs)


def same(one: pa.Table, other: pa.Table) -> bool:
    """Equal rows in equal order; fractions to nine digits, since threads add them up in any order."""
    if one.column_names != other.column_names or one.num_rows != other.num_rows:
        return False
    return all(_alike(a, b) for row, pair in zip(one.to_pylist(), other.to_pylist(), strict=True)
               for a, b in zip(row.values(), pair.values(), strict=True))  # fmt: skip


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9)
    return bool(one == other)
