"""`pds inspect`: what tables a file holds, how it was read, what each column is."""

from __future__ import annotations

from typing import Any

from api.cli.output import AsJson, answer, heading, say, table
from api.cli.tables import RecipePath, TablePath, opened
from policies.text import Text

_HEADERS = (
    Text("列", "column"), Text("类型", "type"), Text("缺失", "missing"), Text("不同取值", "distinct"),
)  # fmt: skip


def command(path: TablePath, recipe: RecipePath = None, as_json: AsJson = False) -> None:
    """查看文件里有哪些表（有行被隔离时退出码 1）· What tables a file holds; exit 1 when rows were rejected"""
    with opened(path, recipe) as readings:
        tables = [reading.as_dict() for reading in readings]
    rejected = any(t["rejected_rows"] for t in tables)
    answer({"tables": tables}, as_json, lambda: _show(tables), finding=rejected)


def _show(tables: list[dict[str, Any]]) -> None:
    for one in tables:
        read = {k: v for k, v in one["source"].items() if v is not None and k != "digest"}
        rows = Text(f"{one['rows']:,} 行，隔离 {one['rejected_rows']:,} 行",
                    f"{one['rows']:,} rows, {one['rejected_rows']:,} rejected")  # fmt: skip
        heading(f"{one['name']}  {say(rows)}")
        print("  " + "  ".join(f"{k}={v!r}" if isinstance(v, str) else f"{k}={v}" for k, v in read.items()))
        table(_HEADERS, [(c["name"], c["type"], c["missing"], c["distinct"]) for c in one["columns"]])
        for found in one["findings"]:
            place = f"{found['column']}: " if "column" in found else ""
            print(f"  · {place}{say(Text(**found['detail']))}  [{found['code']}]")
