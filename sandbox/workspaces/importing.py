"""The import check of a merchant's own file: two fresh jails, one reads, one looks for personal data in what was read.

Neither is believed further than it can be seen: the table must lie there as one ordinary file within the limit, names
and numbers are cut to size, and whatever else comes is a refusal. The platform itself never opens file or table.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policies.text import Text
from sandbox.workspaces import disk, jail
from sandbox.workspaces.broker import DEATHS
from sandbox.workspaces.import_inside import OUTPUT
from sandbox.workspaces.limits import MEGABYTE, Limits
from sandbox.workspaces.protocol import ChannelClosed, ProtocolError

_LONG = 100
_DISK_FULL: dict[str, Any] = {"refused": "disk_full", "detail": {}}

# code from inside → what happened, what to do; {…} is filled from the detail
REFUSALS: dict[str, tuple[Text, Text]] = {
    "empty": (Text("文件中没有数据行", "The file holds no rows"), Text("请检查导出程序", "Check the export")),
    "kind": (Text("不是支持的表格文件", "This is no table we can read"),
             Text("请上传 CSV、TSV、Excel、JSON 或 Parquet", "Upload CSV, TSV, Excel, JSON or Parquet")),
    "archive": (Text("不接受压缩包", "Archives are not taken"),
                Text("请解压后逐个上传", "Unpack it and upload each file")),
    "bomb": (Text("文件解压后过大（{megabytes} MB）", "The file unfolds too far ({megabytes} MB)"),
             Text("请拆分为多个文件", "Split it into several files")),
    "macros": (Text("工作簿含有宏", "The workbook holds macros"),
               Text("请另存为不含宏的 xlsx", "Save it as xlsx without macros")),
    "too_large": (Text("表过大：{rows} 行 {columns} 列", "The table is too large: {rows} rows, {columns} columns"),
                  Text("请减少行列后上传", "Upload fewer rows or columns")),
    "encoding": (Text("无法确定文字编码", "The text's encoding is unknown"),
                 Text("请另存为 UTF-8 或 GB18030", "Save it as UTF-8 or GB18030")),
    "delimiter": (Text("无法确定分隔符，各行列数不一致", "No delimiter gives all lines the same number of cells"),
                  Text("请用逗号分隔并给含逗号的值加引号", "Separate by commas and quote values with commas")),
    "header": (Text("第一行不是表头（有空白或数字）", "The first row is no header (blank or numeric cells)"),
               Text("请去掉标题行，第一行写列名", "Remove title rows; put the column names first")),
    "ragged": (Text("第 {lines} 行的列数不是 {width}", "Lines {lines} do not have {width} cells"),
               Text("请修正这些行后重新上传", "Correct these lines and upload again")),
    "json": (Text("JSON 不是由同样对象组成的表", "The JSON is no list of alike objects"),
             Text("请整理为对象数组，或每行一个对象", "Make it an array of objects, or one object a line")),
    "no_sheet": (Text("没有这个工作表；现有：{sheets}", "There is no such sheet; there are: {sheets}"),
                 Text("请填写其中一个工作表的名称", "Name one of them")),
    "several_sheets": (Text("工作簿有多个工作表：{sheets}", "The workbook has several sheets: {sheets}"),
                       Text("请填写要导入的工作表名称", "Name the one to import")),
    "binary": (Text("有二进制列", "There are columns of bytes"), Text("请去掉这些列", "Remove them")),
    "unreadable": (Text("文件损坏，无法读取", "The file is damaged and cannot be read"),
                   Text("请重新导出后上传", "Export it again and upload")),
    "crashed": (Text("文件使读取程序异常中止", "The file made the reader break down"),
                Text("请重新导出为 CSV 后上传", "Export it as CSV and upload")),
    "memory_limit": (Text("读取文件需要的内存超出上限", "Reading the file takes more memory than allowed"),
                     Text("请拆分为多个文件", "Split it into several files")),
    "disk_full": (Text("读取文件占用的磁盘超出上限", "Reading the file takes more of the disk than allowed"),
                  Text("请拆分为多个文件", "Split it into several files")),
    "time_limit": (Text("检查超过时限", "The check took too long"),
                   Text("请拆分为多个文件", "Split it into several files")),
    "protocol": (Text("检查程序的报告不可信，已丢弃", "The check's report is not trustworthy; it was discarded"),
                 Text("请重新导出为 CSV 后上传", "Export it as CSV and upload")),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settings:
    """What may be brought (policy): the jail's limits, megabytes it may leave on disk, rows, columns, megabytes a file
    unfolds to; and the sheet."""

    limits: Limits
    folder_mb: int
    rows: int
    columns: int
    unpacked_mb: int
    sheet: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """`refused` a code of REFUSALS with its detail, or the table: `path`, `sha256`, `report` and `found` (column,
    entity, cells, share, decision, masked examples)."""

    refused: str = ""
    detail: Mapping[str, str | int] | None = None
    path: Path | None = None
    sha256: str = ""
    report: Mapping[str, Any] | None = None
    found: tuple[Mapping[str, Any], ...] = ()


def read(original: Path, folder: Path, settings: Settings, form: str, reached: Callable[[], None]) -> Checked:
    """Read `original` in a jail; the table is left in the fresh folder `folder`. `reached` is called while it works
    and may raise to end it."""
    folder.mkdir(parents=True, mode=0o700)
    extra = {
        "phase": "read", "rows": settings.rows, "columns": settings.columns, "unpacked_mb": settings.unpacked_mb,
        "sheet": settings.sheet,
    }  # fmt: skip
    told = _in_jail(original, settings, form, extra, folder, reached)
    if "refused" in told:
        return Checked(told["refused"], told["detail"])
    table, report = folder / OUTPUT, _report(told["report"], settings)
    size = _take_back(table, folder)
    if report is None or size is None or size > settings.unpacked_mb * MEGABYTE:
        return Checked("protocol", {})
    with table.open("rb") as data:
        digest = hashlib.file_digest(data, "sha256").hexdigest()
    return Checked(path=table, sha256=digest, report=report)


def detect(table: Path, settings: Settings, form: str, reached: Callable[[], None]) -> Checked:
    """Look for personal data in a table that `read` made, in another jail."""
    told = _in_jail(table, settings, form, {"phase": "detect"}, None, reached)
    if "refused" in told:
        return Checked(told["refused"], told["detail"])
    found = told["report"].get("found")
    if not isinstance(found, list):
        return Checked("protocol", {})
    return Checked(found=tuple(_finding(f) for f in found[:500] if isinstance(f, dict)))


def _in_jail(
    file: Path, settings: Settings, form: str, extra: dict[str, Any], output: Path | None, reached: Callable[[], None]
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="import-") as home:
        order = jail.Order(
            "import", Path(home), settings.limits, "simulated", {"file": file}, output=output, extra=extra,
            code=("sandbox/detection",) if extra["phase"] == "detect" else (),
        )  # fmt: skip
        jailed = jail.start(order, form)
        try:
            bound = disk.Bound([Path(home), *([output] if output else [])], settings.folder_mb, jailed)
            return _answer(jailed, settings.limits.wall_seconds, bound, reached)
        except ProtocolError:
            return {"refused": "protocol", "detail": {}}
        except ChannelClosed:
            kind = DEATHS.get(jailed.death(), "crashed")
            return {"refused": kind if kind in REFUSALS else "crashed", "detail": {}}
        finally:
            jailed.kill()


def _answer(
    jailed: jail.Jailed, seconds: float, bound: disk.Bound, reached: Callable[[], None]
) -> dict[str, Any]:  # fmt: skip
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        frame = jailed.data.receive(timeout=0.2)
        reached()
        if frame is None:
            if bound.passed():
                return _DISK_FULL
            continue
        header = frame[0]
        if bound.exceeded():
            return _DISK_FULL
        if header.get("is") == "done" and isinstance(header.get("report"), dict):
            return {"report": header["report"]}
        if header.get("is") == "refused" and header.get("code") in REFUSALS:
            detail = header.get("detail")
            kept = detail.items() if isinstance(detail, dict) else ()
            return {"refused": header["code"], "detail": {str(k)[:20]: _plain(v) for k, v in list(kept)[:5]}}
        raise ProtocolError("no report")
    return {"refused": "time_limit", "detail": {}}


def _plain(value: Any) -> str | int:
    return value if isinstance(value, int) and not isinstance(value, bool) else str(value)[:300]


def _report(told: Mapping[str, Any], settings: Settings) -> dict[str, Any] | None:
    """The reader's report in plain values within the limits; None for anything else."""
    columns, rows = told.get("columns"), _count(told.get("rows"))
    if not isinstance(columns, list) or not 0 < len(columns) <= settings.columns or not 0 < rows <= settings.rows:
        return None
    if not all(isinstance(c, dict) and isinstance(c.get("name"), str) for c in columns):
        return None
    kept = [
        {"name": c["name"][: _LONG + 5], "type": str(c.get("type"))[:40], "missing": _count(c.get("missing")),
         "distinct": _count(c.get("distinct"))}
        for c in columns
    ]  # fmt: skip
    report: dict[str, Any] = {"rows": rows, "columns": kept, "formulas": _count(told.get("formulas"))}
    for fact in ("kind", "encoding", "delimiter", "sheet"):
        if isinstance(told.get(fact), str):
            report[fact] = told[fact][:_LONG]
    return report


def _finding(told: Mapping[str, Any]) -> dict[str, Any]:
    share, examples = told.get("share"), told.get("examples")
    return {
        "column": str(told.get("column"))[: _LONG + 5], "entity": str(told.get("entity"))[:40],
        "cells": _count(told.get("cells")),
        "share": round(float(share), 4) if isinstance(share, int | float) and 0 <= share <= 1 else 1.0,
        "decision": "is" if told.get("decision") == "is" else "contains",
        "examples": [str(e)[:40] for e in examples[:3]] if isinstance(examples, list) else [],
    }  # fmt: skip


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53 else 0


def _take_back(table: Path, folder: Path) -> int | None:
    """Make the table the platform's own and nothing else; its size, None where it is no ordinary file."""
    os.chown(folder, os.geteuid(), os.getegid())
    folder.chmod(0o700)
    for entry in list(folder.iterdir()):
        if entry != table:
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    try:
        facts = table.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1:
        return None
    os.chown(table, os.geteuid(), os.getegid(), follow_symlinks=False)
    table.chmod(0o444)
    return facts.st_size
