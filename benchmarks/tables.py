"""Tables for the benchmarks: the same seed gives the same bytes; nobody is behind a row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

ROWS_IN_BLOCK = 200_000
_FAMILY = np.array(list("王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗"))
_GIVEN = np.array(list("伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰红"))
_ROADS = np.array(["中山一路", "天河北路", "东风西路", "环市东路", "解放南路", "广州大道中"])
_AREAS = np.array([440103, 440104, 440105, 440106, 440111, 440112, 440113, 440114, 440115, 440117, 440118])
_STATES = np.array(["正常", "注销", "变更", "暂停"])


def registry(seed: int, block: int) -> pl.DataFrame:
    """200,000 rows of 20 text columns as a department exports them: names, addresses, codes, dates in four spellings,
    thousands, percent, three spellings of missing, and in one row of a thousand a remark of two lines with quotes."""
    base = _drawn(np.random.default_rng([seed, block]), ROWS_IN_BLOCK)
    date = pl.date(2000, 1, 1) + pl.duration(days=pl.col("day"))
    amount, big, seq, no, area = (pl.col(n) for n in ("amount", "big", "seq", "no", "area"))
    groups = (amount // 10**6, _padded(amount // 1000 % 1000, 3), _padded(amount % 1000, 3))
    remark = pl.format("经窗口核验材料齐全，{}，于{}办理完毕并归档备查", "state", date.dt.strftime("%Y%m%d"))
    return base.select(
        pl.format("N{}{}", area, big).alias("编号"),
        pl.concat_str("family", "given", "given2").alias("姓名"),
        pl.format("{}{}{}{}", area, date.dt.strftime("%Y%m%d"), seq, seq % 10).alias("证件号码"),
        area.cast(pl.String).alias("区划代码"),
        pl.format("广东省广州市天河区天河南街道{}社区{}号大院{}栋1203室", "road", no, seq).alias("地址"),
        date.dt.strftime("%Y-%m-%d").alias("登记日期"),
        _missing(date.dt.strftime("%Y/%-m/%-d"), 0, 0.05, "-").alias("变更日期"),
        date.dt.strftime("%Y年%-m月%-d日").alias("核准日期"),
        pl.when(amount >= 10**6).then(pl.format("{},{},{}", *groups)).otherwise(pl.lit("999")).alias("注册资本"),
        pl.format("{}.{}%", pl.col("share") // 10, pl.col("share") % 10).alias("占比"),
        _missing(no.cast(pl.String), 0.05, 0.08, "NA").alias("人数"),
        pl.format("{}.{}", amount // 100, _padded(amount % 100, 2)).alias("金额"),
        pl.col("state").alias("状态"),
        pl.format("13{}", _padded(big % 10**9, 9)).alias("手机"),
        pl.format("91{}{}X", area, _padded(big % 10**9, 9)).alias("信用代码"),
        pl.format("{} {}:{}:00", date.dt.strftime("%Y-%m-%d"), _padded(seq % 24, 2), _padded(seq % 60, 2)).alias(
            "更新时间"
        ),
        pl.format("113.{}", _padded(big % 10**6, 6)).alias("经度"),
        pl.format("23.{}", _padded(big // 10**6 % 10**6, 6)).alias("纬度"),
        pl.when(pl.col("row") % 1000 == 7)
        .then(pl.lit('第一行\n第二行"引号"说明'))
        .otherwise(_missing(remark, 0.1, 0.3, "暂无"))
        .alias("备注"),
        (pl.col("row") + block * ROWS_IN_BLOCK).cast(pl.String).alias("序号"),
    )


def _drawn(rng: np.random.Generator, rows: int) -> pl.DataFrame:
    def pick(pool: np.ndarray) -> Any:
        return pool[rng.integers(0, len(pool), rows)]

    return pl.DataFrame(
        {
            "row": np.arange(rows), "area": pick(_AREAS), "family": pick(_FAMILY), "given": pick(_GIVEN),
            "given2": pick(_GIVEN), "road": pick(_ROADS), "state": pick(_STATES),
            "day": rng.integers(0, 9000, rows).astype(np.int32), "seq": rng.integers(100, 999, rows),
            "big": rng.integers(10**11, 10**12 - 1, rows), "amount": rng.integers(0, 10**8, rows),
            "share": rng.integers(0, 1000, rows), "no": rng.integers(1, 999, rows), "u": rng.random(rows),
        }
    )  # fmt: skip


def _padded(number: pl.Expr, width: int) -> pl.Expr:
    return number.cast(pl.String).str.zfill(width)


def _missing(value: pl.Expr, low: float, high: float, spelling: str) -> pl.Expr:
    return pl.when(pl.col("u").is_between(low, high, closed="left")).then(pl.lit(spelling)).otherwise(value)


def write_csv(path: Path, *, size: float = 0, rows: int = 0, seed: int = 7, encoding: str = "utf-8") -> int:
    """A delimited file of `rows` rows, or of at least `size` bytes in UTF-8; returns its rows."""
    block = written = done = 0
    with path.open("wb") as out:
        while written < size or done < rows:
            frame = registry(seed, block)
            frame = frame.head(rows - done) if rows else frame
            text = frame.write_csv(include_header=block == 0)
            data = text.encode()
            written += len(data)
            done += frame.height
            out.write(data if encoding == "utf-8" else text.encode(encoding))
            block += 1
    return done


DIRT = {
    "broken_quote": '{id},"未转义"引号",丙',
    "too_few_columns": "{id},甲",
    "too_many_columns": "{id},甲,乙,丙,丁",
    "bad_encoding": "{id},甲\udcff,乙",
    "unclosed_quote": '{id},"没有结束,乙',
}
"""What no reader can load, one line each."""


def write_dirty(path: Path, seed: int, lines: int = 20_000) -> tuple[set[str], dict[str, int]]:
    """A file with every kind of dirt among good records, some of them of two lines; returns the identifiers of the
    good records and how many lines of each kind of dirt there are."""
    rng = np.random.default_rng(seed)
    kinds = [*DIRT, "two_lines", "inch", "blank"]
    odd = dict(zip(rng.choice(lines, 20 * len(kinds), replace=False).tolist(), kinds * 20, strict=True))
    odd = {k: v for k, v in odd.items() if v != "unclosed_quote" or k % 4 == 0}
    good: set[str] = set()
    rows = ["编号,名称,数量"]
    for i in range(lines):
        name, kind = f"id{i}", odd.get(i)
        if kind in DIRT:
            rows.append(DIRT[kind].format(id=name))
        elif kind == "blank":
            rows.append("")
        else:
            middle = {"two_lines": '"第一行\n第二行"', "inch": '5"屏'}.get(kind or "", f"名称{i}")
            rows.append(f"{name},{middle},{i}")
            good.add(name)
    path.write_bytes(("\n".join(rows) + "\n").encode("utf-8", "surrogateescape"))
    return good, {kind: sum(k == kind for k in odd.values()) for kind in DIRT}
