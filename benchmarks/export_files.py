"""A record-level file of a million rows and twenty columns against its source of five million, beside the search for
personal data alone.

`PDS_BENCH_ROWS`: rows of the file (1,000,000); the source has five times as many. The file is made as a merchant would:
without identifiers, some columns in bands, some rounded, rows in another order. A quarter of it is checked too, for
what memory does as the file grows; each in a process of its own. The search is timed as `pds` would do it on the same
file: reading in the jail and looking at every cell.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

from benchmarks.figures import Figure, peak_mb
from policies.text import Text
from sandbox.exports import gate
from sandbox.exports.subject import ExportFile, ExportSubject, bounds_of, matched
from sandbox.products import facts

if TYPE_CHECKING:
    from policies.schema.export import ExportEdition

ROWS = 1_000_000
SOURCE = 5
"""Rows of the source to one of the file."""
BAR = 3.0
WARM = 2_000
ROOM_MB = 512.0
"""How much more memory four times the rows may take: the file's own bytes are held, nothing else may grow with it."""

_SOURCE = """
SELECT printf('44%04d19%02d%02d%02d%04d', i % 9999, 30 + h % 70, 1 + h % 12, 1 + h % 28, (h // 7) % 9999) AS 身份证号,
    printf('138%08d', (i * 7919) % 100000000) AS 手机号, printf('C%09d', i) AS 案卷号,
    printf('第%d区', h % 11) AS 区, printf('第%d街', (h // 11) % 170) AS 街道, (h // 13) % 90 AS 年龄,
    if((h // 17) % 2 = 0, '男', '女') AS 性别, printf('行业%02d', (h // 19) % 90) AS 行业,
    round(3000 + (h // 23) % 900000 / 7.0, 2) AS 收入, round((h // 29) % 500000 / 3.0, 2) AS 税额,
    (h // 31) % 50 AS 人数, (h // 37) % 12 + 1 AS 月份, DATE '2020-01-01' + ((h // 41) % 1500)::INT AS 日期,
    printf('药品%03d', (h // 43) % 400) AS 药品, (h // 47) % 1000 AS 次数, round((h // 53) % 90000 / 11.0, 3) AS 面积,
    printf('类%d', (h // 59) % 7) AS 类别, (h // 61) % 2 = 1 AS 在册, round((h // 67) % 70000 / 13.0, 2) AS 电量,
    round((h // 71) % 30000 / 17.0, 2) AS 水量, (h // 73) % 100000 AS 里程, printf('状态%d', (h // 79) % 5) AS 状态
FROM (SELECT i, (hash(i, ?) // 2)::BIGINT AS h FROM range(?) t(i))
"""
_FILE = """
COPY (
    SELECT 区, 街道, age AS 年龄段, 性别, 行业, round(收入, -2) AS 收入, round(税额, -1) AS 税额, 人数, 月份,
        strftime(日期, '%Y-%m') AS 年月, 药品, 次数, round(面积, 1) AS 面积, 类别, 在册, round(电量) AS 电量,
        round(水量) AS 水量, round(里程, -2) AS 里程, 状态, 人数 * 次数 AS 人次
    FROM (SELECT *, printf('%d-%d', 年龄 // 5 * 5, 年龄 // 5 * 5 + 4) AS age FROM source USING SAMPLE {rows} ROWS
        (reservoir, {seed}))
    ORDER BY hash(区, 街道, 收入)
) TO '{path}' (FORMAT csv)
"""


@dataclass(frozen=True, slots=True)
class Run:
    """Seconds of the whole check and of the search for personal data alone (both with reading the file), and of the
    steps; memory in MB."""

    whole: float
    funnel: float
    read: float
    source: float
    rules: float
    peak: float
    grown: float


def run() -> list[Figure]:
    """The bar of the record-level file, and its memory."""
    rows = int(os.environ.get("PDS_BENCH_ROWS", str(ROWS)))
    small, large = _apart(rows // 4), _apart(rows)
    return [
        Figure("check", large.whole, BAR * large.funnel, "s",
               Text("整个核查，对照只做个人信息扫描的 3 倍（目标 ≤ 1）",
                    "the whole check, against three times the search for personal data alone (bar ≤ 1)")),
        Figure("without_reading", large.whole - large.read, large.funnel - large.read, "s",
               Text("两边都不计读取", "both without reading the file")),
        Figure("reading", large.read, large.whole, "s", Text("隔离读取", "reading in the jail")),
        Figure("source", large.source, large.whole, "s", Text("与来源比对", "looking it up in the source")),
        Figure("rules", large.rules, large.whole, "s", Text("除扫描外的全部规则", "all rules but the search")),
        Figure("memory", large.grown, small.grown + ROOM_MB, "MB",
               Text("核查所增内存，对照四分之一大小时加余量", "memory the check takes, against a quarter's and room")),
        Figure("peak", large.peak, 4096, "MB", Text("内存峰值，对照上限", "peak memory against the bound")),
    ]  # fmt: skip


def _apart(rows: int) -> Run:
    """In a process for the making and another for the check: what made the data is not in the memory of the check."""
    with TemporaryDirectory() as folder:
        for number, size in enumerate((WARM, rows)):
            place = Path(folder) / str(number)
            place.mkdir()
            _in_another(make, place, size)
        return cast("Run", _in_another(_warm, Path(folder) / "0", Path(folder) / "1"))


def _in_another(work: Callable[..., Any], *given: object) -> Any:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
        return alone.submit(work, *given).result()


def _warm(first: Path, second: Path) -> Run:
    """A platform that runs has its jail tried and its recognisers built."""
    checked(first)
    return checked(second)


def make(folder: Path, rows: int, seed: int = 7) -> None:
    """A source and a file of it, by seed."""
    import duckdb

    with duckdb.connect() as con:
        con.execute("SET threads = 2; SET memory_limit = '2GB'; SET preserve_insertion_order = false")
        con.execute(f"SET temp_directory = '{folder}'")
        con.execute("CREATE TABLE source AS " + _SOURCE, [seed, SOURCE * rows])
        con.execute(f"COPY source TO '{folder}/source.parquet'")
        con.execute(_FILE.format(rows=rows, seed=seed, path=folder / "file.csv"))


def checked(folder: Path) -> Run:
    """Check the file as the gate does and take the times."""
    from policies.editions import load

    edition = cast("ExportEdition", load("export"))
    before = peak_mb()
    content = (folder / "file.csv").read_bytes()
    subject = ExportSubject(
        files=(ExportFile("file.csv", content),), audience="contract", form="record", lane="file",
        rounding_base=edition.by_check("rounding").parameters.base, bounds=bounds_of(edition), level=3,
    )  # fmt: skip
    sources = facts.described({"source": folder / "source.parquet"}, folder, ["身份证号"])
    read, _ = _timed(lambda: subject.contents)
    looked, subject = _timed(lambda: matched(subject, sources))
    funnel, _ = _timed(lambda: subject.hits)  # after the look-up, as at the gate, so that the rules find it done
    rules, verdict = _timed(lambda: gate.evaluate(subject, edition))
    errors = [run.rule for run in verdict.rules if run.outcome == "error"]
    if errors:
        raise AssertionError(f"rules that could not run: {errors}")
    return Run(read + looked + rules + funnel, read + funnel, read, looked, rules, peak_mb(), peak_mb() - before)


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found
