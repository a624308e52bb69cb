"""A whole refresh of a table of 10 million cells, against detection alone on the same rows in the same process.

Refresh: read the file and decide its types, land text and typed versions in the lake, detect in every row, grade,
measure quality. Processor seconds of all threads are counted: the ratio holds on a busy machine too.
`PDS_BENCH_ROWS` sets the rows of 20 columns (500,000).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.figures import Figure, peak_mb
from policies.text import Text

BAR = 3.0
_COLUMNS = 20
_RULES: list[dict[str, Any]] = [
    {"kind": "unique_key", "columns": ["编号"]},
    {"kind": "required", "columns": ["编号", "姓名", "证件号码"]},
    {"kind": "check_digit", "column": "证件号码", "scheme": "resident_id"},
    {"kind": "date_order", "columns": ["登记日期", "变更日期"]},
]
T = TypeVar("T")


def run() -> list[Figure]:
    """Processor seconds of the refresh and of its steps, each against detection alone; peak memory."""
    from benchmarks.tables import write_csv

    rows = int(os.environ.get("PDS_BENCH_ROWS", "500000"))
    with tempfile.TemporaryDirectory(prefix="pds-bench-") as folder:
        path = Path(folder) / "table.csv"
        write_csv(path, rows=rows)
        command = [sys.executable, "-m", "benchmarks.grade", str(path), folder]
        told = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    memory = told.pop("memory")
    alone, total = told["detect"], sum(told.values())
    size = f"{rows * _COLUMNS / 1e6:g}M"
    steps = {"read": "读取与定型", "land": "入湖", "grade": "分级", "quality": "质量"}
    return [
        Figure("refresh", total, alone, "CPU s", Text(f"{size} 单元格全程，对照只做识别；目标 ≤ {BAR:g}",
               f"the whole refresh of {size} cells, against detection alone; bar {BAR:g}")),
        *(Figure(n, told[n], alone, "CPU s", Text(f"其中：{zh}", f"of it: {n}")) for n, zh in steps.items()),
        Figure("memory", memory, 2500.0, "MB", Text("内存峰值，对照 2.5 GB", "peak memory against 2.5 GB")),
    ]  # fmt: skip


# ---- inside the measured process ----------------------------------------------------------------------------------
def _refresh(path: Path, work: Path) -> dict[str, float]:
    import polars as pl

    from pipelines import quality
    from pipelines.grading import ColumnInfo, grade
    from pipelines.reading import read, typed
    from policies.editions import load
    from policies.schema.quality import ResourceRules
    from sandbox.detection import scan_table
    from sandbox.lake import Lake

    scan_table(pl.DataFrame({"电话": ["13800138000"]}))  # Presidio's start-up is no part of a refresh
    form = json.dumps({"tables": [{"table": "登记", "rules": _RULES}]})
    rules = ResourceRules.model_validate_json(form).of("登记")
    spent: dict[str, float] = {}

    def step(name: str, function: Callable[[], T]) -> T:
        began = time.process_time()
        found = function()
        spent[name] = time.process_time() - began
        return found

    (reading,) = step("read", lambda: read(path, work=work / "read"))
    lake, text = Lake(work / "lake"), reading.text_parquet

    def land() -> None:
        for table, files in (("raw", [text]), ("typed", typed(reading))):
            lake.adopt(f"bench/{table}", files, mode="overwrite", facts=reading.facts(), once="bench")

    step("land", land)
    scan = step("detect", lambda: scan_table(pl.scan_parquet(text)))
    columns = [ColumnInfo(c.name, c.type, "") for c in reading.columns]
    policy: Any = load("grading")
    step("grade", lambda: grade(scan, columns, policy, table="登记"))
    step("quality", lambda: quality.measure(
        [str(text)], reading.recipe.columns, rules, reading.accounting, load("quality"), name="登记", work=work
    ))  # fmt: skip
    return spent


if __name__ == "__main__":
    print(json.dumps({**_refresh(Path(sys.argv[1]), Path(sys.argv[2])), "memory": peak_mb()}))
