"""Granting columns of a big table: the snapshot beside a plain DuckDB copy of the same columns."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import duckdb

from benchmarks import tpch
from benchmarks.figures import Figure
from benchmarks.workspace import LIMITS, paired, repeats
from policies.text import Text
from sandbox.workspaces import snapshot

COLUMNS = ("l_orderkey", "l_partkey", "l_quantity", "l_extendedprice", "l_shipdate")
_BAR = 1.3


def grant() -> list[Figure]:
    """A grant of 5 of the 16 columns of lineitem, over `COPY` of these columns with the same threads and memory."""
    scale = float(os.environ.get("PDS_BENCH_SCALE", "1"))
    with tempfile.TemporaryDirectory(prefix="pds-bench-") as place:
        lineitem = str(tpch.generate(Path(place, "data"), scale)["lineitem"])
        copied, granted = paired(
            lambda: _copy(lineitem, Path(place)), lambda: _grant(lineitem, Path(place)), repeats(3)
        )
    text = Text(
        f"授权 lineitem（规模 {scale:g}）16 列中的 5 列，对 DuckDB 直接复制这些列（目标比值 ≤ {_BAR}）",
        f"granting 5 of 16 columns of lineitem (scale {scale:g}), over a plain DuckDB copy (bar: ratio ≤ {_BAR})",
    )
    return [Figure("grant", granted, copied, "s", text)]


def _copy(source: str, place: Path) -> None:
    config = {"threads": LIMITS.threads, "memory_limit": f"{LIMITS.duckdb_mb}MB", "async_threads": 1}
    with duckdb.connect(config=config) as con:
        chosen, into = ", ".join(COLUMNS), place / "copy.parquet"
        con.execute(
            f"COPY (SELECT {chosen} FROM read_parquet('{source}')) TO '{into}' (FORMAT parquet, COMPRESSION zstd)"
        )


def _grant(source: str, place: Path) -> None:
    root = place / "snapshots"
    shutil.rmtree(root, ignore_errors=True)
    room = snapshot.Room(LIMITS.duckdb_mb, LIMITS.threads)
    snapshot.build([source], snapshot.Content(COLUMNS), out_root=root, room=room, source={"benchmark": "lineitem"})
