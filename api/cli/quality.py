"""`pds quality`: the GB/T 36344 indicators of every table of a file, with A, B and X."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.output import AsJson, answer, heading, quiet, table
from api.cli.tables import RecipePath, TablePath, opened, require_file
from policies.text import Text

if TYPE_CHECKING:
    from pipelines.reading import TableReading

_HEADERS = (
    Text("编码", "code"), Text("指标", "indicator"), Text("A", "A"), Text("B", "B"), Text("X", "X"),
    Text("已评", "assessed"),
)  # fmt: skip


def command(
    path: TablePath,
    rules: Annotated[Path | None, typer.Option(help="数源部门的质量规则（YAML）· the department's own rules")] = None,
    recipe: RecipePath = None,
    as_json: AsJson = False,
) -> None:
    """按 GB/T 36344 度量质量（低于发布线时退出码 1）· Measure quality; exit 1 below the publication line"""
    declared = _rules_of(rules)
    with quiet(), opened(path, recipe) as readings:
        if rules is not None:
            from policies.editions import check_resource_rules

            check_resource_rules(rules, {r.name: [c.name for c in r.recipe.columns] for r in readings})
        texts = {reading.name: [str(reading.text_parquet)] for reading in readings}
        tables = [_measured(reading, declared(reading.name), texts) for reading in readings]
    below = any(t["verdict"]["outcome"] != "pass" for t in tables)
    answer({"tables": tables}, as_json, lambda: _show(tables), finding=below)


def _rules_of(file: Path | None) -> Callable[[str], Sequence[Any]]:
    """Declared rules by table name; an unreadable file is refused with line and field."""
    if file is None:
        return lambda _: ()
    from policies.editions import load_resource_rules

    require_file(file)
    return load_resource_rules(file).of


def _measured(reading: TableReading, rules: Sequence[Any], texts: dict[str, list[str]]) -> dict[str, Any]:
    from pipelines import quality
    from policies.editions import load

    others = {name: files for name, files in texts.items() if name != reading.name}
    columns, policy = reading.recipe.columns, load("quality")
    report = quality.measure(
        texts[reading.name], columns, rules, reading.accounting, policy, name=reading.name,
        around=quality.Around(others=others),
    )  # fmt: skip
    return report.as_dict()


def _show(tables: list[dict[str, Any]]) -> None:
    for one in tables:
        heading(one["name"])
        table(
            _HEADERS,
            [(i["code"], Text(**i["name"]), i["a"], i["b"], i["x"], bool(i["assessed"])) for i in one["indicators"]],
        )
