"""`pds grade`: proposed category, level and identifier role of every column."""

from __future__ import annotations

from typing import Any

from api.cli.output import AsJson, answer, heading, quiet, say, table
from api.cli.tables import RecipePath, TablePath, graded, opened, scanned
from policies.text import Text

_HEADERS = (
    Text("列", "column"), Text("分类", "category"), Text("级别", "level"), Text("敏感", "sensitive"),
    Text("标识作用", "role"), Text("依据", "rule"),
)  # fmt: skip


def command(path: TablePath, recipe: RecipePath = None, as_json: AsJson = False) -> None:
    """分类分级建议，由数源部门确认 · Propose category and level of every column; a department confirms"""
    with quiet(), opened(path, recipe) as readings:
        tables = [{"name": r.name, **graded(r, scanned(r)).as_dict()} for r in readings]
    answer({"tables": tables}, as_json, lambda: _show(tables))


def _show(tables: list[dict[str, Any]]) -> None:
    for one in tables:
        heading(f"{one['name']}  {say(Text('{n} 级', 'level {n}').fill(n=one['level']))}  {one['edition']}")
        table(
            _HEADERS,
            [
                (c["name"], c["category"], c["level"], bool(c["sensitive"]), c["identifier_role"], c["rule"])
                for c in one["columns"]
            ],
        )
        for uplift in one["uplifts"]:
            print(f"  · {uplift['evidence']}")
