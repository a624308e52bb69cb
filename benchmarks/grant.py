"""What a grant costs: the snapshot of 5 of 16 columns of TPC-H lineitem SF1 beside a plain copy of them; pseudonyms.

Needs the generator `tpchgen-cli` beside the interpreter or on the path (`pip install tpchgen-cli`).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import duckdb

from api.cli.output import CouldNotRun
from benchmarks.figures import Figure, peak_mb
from policies.text import Text
from sandbox.workspaces import pseudonyms, snapshot
from sandbox.workspaces.engine import literal

COLUMNS = ("l_extendedprice", "l_orderkey", "l_partkey", "l_quantity", "l_shipdate")
ROOM = snapshot.Room(memory_mb=1024, threads=2)
ROUNDS = 5
PEOPLE = 1_000_000


def run() -> list[Figure]:
    """Pairs in one run: each round copies plainly (same compression; DuckDB's default), then builds the snapshot."""
    with tempfile.TemporaryDirectory(prefix="bench-grant-") as folder:
        lineitem = _lineitem(Path(folder))
        rounds: list[tuple[float, ...]] = []
        for number in range(ROUNDS):
            plain, default = (_copy(lineitem, Path(folder), options) for options in ("COMPRESSION zstd", ""))
            source = {"round": number}
            made = _timed(
                lambda s=source: snapshot.build(  # type: ignore[misc]
                    [str(lineitem)], snapshot.Content(COLUMNS), out_root=Path(folder) / "out", room=ROOM, source=s
                )
            )
            rounds.append((made, plain, default))
        figures = [
            _seconds(
                "grant", "授权 5 列 · grant of 5 columns, against a plain copy with the same compression", rounds, 1
            ),
            _seconds("grant_default", "同上，对照默认压缩 · against a plain copy with DuckDB's default", rounds, 2),
        ]
        return [*figures, _pseudonyms(Path(folder)), Figure(
            "peak", peak_mb(), ROOM.memory_mb + 512, "MB", Text("内存峰值，对照上限", "peak memory against the bound"),
        )]  # fmt: skip


def _seconds(name: str, said: str, rounds: list[tuple[float, ...]], against: int) -> Figure:
    zh, en = said.split(" · ")
    ours, theirs = median(r[0] for r in rounds), median(r[against] for r in rounds)
    return Figure(name, ours, round(theirs, 3), "s", Text(zh, en))


def _pseudonyms(folder: Path) -> Figure:
    """A million telephone numbers through HMAC, against writing them as they are."""
    con = duckdb.connect(config={"threads": ROOM.threads})
    con.execute(f"CREATE TABLE t AS SELECT (13000000000 + range)::VARCHAR AS v FROM range({PEOPLE})")
    made = pseudonyms.expression("v", "CN_MOBILE")
    key = pseudonyms.Key(b"k" * 32).parameters()
    ours = _timed(lambda: con.execute(f"COPY (SELECT {made} FROM t) TO {literal(str(folder / 'p'))}", key))
    theirs = _timed(lambda: con.execute(f"COPY t TO {literal(str(folder / 'q'))}"))
    text = Text("100 万个化名，对照原样写出", "a million pseudonyms, against writing the values as they are")
    return Figure("pseudonyms", ours, round(theirs, 3), "s", text)


def _copy(lineitem: Path, folder: Path, options: str) -> float:
    columns = ", ".join(COLUMNS)
    target = literal(str(folder / "plain.parquet"))
    with duckdb.connect(config={"threads": ROOM.threads, "memory_limit": f"{ROOM.memory_mb}MB"}) as con:
        kind = f"FORMAT parquet{', ' if options else ''}{options}"
        return _timed(
            lambda: con.execute(f"COPY (SELECT {columns} FROM {literal(str(lineitem))}) TO {target} ({kind})")
        )


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _lineitem(folder: Path) -> Path:
    beside = Path(sys.executable).parent / "tpchgen-cli"
    generator = str(beside) if beside.exists() else shutil.which("tpchgen-cli")
    if generator is None:
        raise CouldNotRun(
            "bench.generator", Text("缺少数据生成器 tpchgen-cli", "the generator tpchgen-cli is missing"),
            fix=Text("请运行 pip install tpchgen-cli", "run pip install tpchgen-cli"),
        )  # fmt: skip
    order = [generator, "parquet", "-s", "1", "--tables", "lineitem", "--output-dir", str(folder)]
    subprocess.run(order, check=True, capture_output=True)
    return folder / "lineitem.parquet"
