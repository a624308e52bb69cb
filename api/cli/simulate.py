"""`pds simulate`: simulated data for the tables of one file, judged before it is written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from api.cli.output import AsJson, WrongUse, answer, quiet, say, table
from api.cli.tables import RecipePath, TablePath, document_of, graded, opened, scanned, typed_frame
from policies.text import Text, UserError
from policies.verdict import Outcome

if TYPE_CHECKING:
    from pipelines.reading import TableReading
    from sandbox.catalog.repository import ResourceColumn
    from synthetic.simulate import Simulated

_HEADERS = (
    Text("表", "table"), Text("行数", "rows"), Text("引擎", "engine"), Text("保真度", "fidelity"),
    Text("结论", "outcome"), Text("文件", "file"),
)  # fmt: skip
_PRIVACY = (
    "exact_rows", "real_values", "rare_categories", "unique_extremes", "closer_to_training", "copy_control",
    "sensitive_inference",
)  # fmt: skip
Engine = Literal["auto", "sdv", "tree", "schema"]


def command(
    path: TablePath,
    rows: Annotated[int, typer.Option(min=1, help="行数 · rows to make")],
    out: Annotated[Path, typer.Option(help="输出文件夹 · folder for the files")],
    seed: Annotated[int, typer.Option(min=0, help="随机种子 · seed")] = 0,
    engine: Annotated[Engine, typer.Option(help="引擎 · engine")] = "auto",
    plan: Annotated[
        Path | None,
        typer.Option(help="字段说明（YAML：columns、sums）· what columns mean, where the machine cannot tell"),
    ] = None,
    recipe: RecipePath = None,
    as_json: AsJson = False,
) -> None:
    """生成仿真数据（未过检验的表不写出，退出码 1）· Make simulated data; a table that fails its gates is not written"""
    declared = _declared(plan)
    try:
        with quiet(), opened(path, recipe) as readings:
            tables = [_one(reading, declared, rows=rows, seed=seed, engine=engine, out=out) for reading in readings]
    except UserError as refused:
        if refused.code != "plan.unclassified":
            raise
        raise UserError(refused.code, refused.text, fix=_ASK, **refused.detail) from None
    blocked = any(t["file"] is None for t in tables)
    answer({"tables": tables}, as_json, lambda: _show(tables), finding=blocked)


_ASK = Text(
    "用 --plan 文件写明这些列是什么，如 columns: {列名: {semantic: category}}；可选 person_name、address、"
    "organisation、free_text、key、code 等",
    "say what they are in a --plan file, e.g. columns: {name: {semantic: category}}; also person_name, address, "
    "organisation, free_text, key, code …",
)


def _declared(plan: Path | None) -> Mapping[str, Any]:
    if plan is None:
        return {}
    found = document_of(plan)
    if not isinstance(found, dict) or not set(found) <= {"columns", "sums"}:
        raise WrongUse(
            "usage.plan",
            Text(
                f"{plan} 应写成 columns: {{列名: {{semantic: …}}}}",
                f"{plan} should say columns: {{name: {{semantic: …}}}}",
            ),
        )
    return found


def _one(
    reading: TableReading, declared: Mapping[str, Any], *, rows: int, seed: int, engine: str, out: Path
) -> dict[str, Any]:
    from pipelines.fieldplan import plan
    from synthetic.fields import Sum
    from synthetic.publishing import write_published
    from synthetic.simulate import simulate

    columns = _columns(reading)
    fields = plan(columns, declared, {}, reading.accounting.rows_loaded)
    sums = [Sum(s["total"], tuple(s["parts"])) for s in declared.get("sums", ())]
    real = typed_frame(reading)
    made = simulate(real, fields, rows=rows, seed=seed, engine=engine, name=reading.name, constraints=sums)
    passed = made.verdict.outcome in (Outcome.PASS, Outcome.REVIEW)
    files = write_published(made.frame, made.manifest, out) if passed else {}
    copies = made.frame.join(real, on=real.columns, how="semi", nulls_equal=True).height
    return {
        **_entry(reading.name, made),
        "privacy": {"exact_copies": copies, **_privacy(made)},
        "file": str(files["csv"]) if files else None,
        "files": {kind: str(file) for kind, file in files.items()},
    }


def _columns(reading: TableReading) -> list[ResourceColumn]:
    """The graded columns as the catalogue would hold them."""
    from sandbox.catalog.repository import ResourceColumn

    scan = scanned(reading)
    grades = graded(reading, scan)
    columns = []
    for place, one in enumerate(reading.columns):
        proposal, seen = grades.column(one.name), scan.column(one.name)
        sure = seen.decided("is")
        columns.append(
            ResourceColumn(
                position=place, name=one.name, type=one.type, comment="", level=proposal.level,
                identifier_role=proposal.identifier_role, entity=sure[0].entity if sure else None,
                missing=seen.missing, distinct=seen.distinct,
            )
        )  # fmt: skip
    return columns


def _entry(name: str, made: Simulated) -> dict[str, Any]:
    return {
        "name": name,
        "rows": made.frame.height,
        "engine": made.manifest["engine"]["used"],
        "fidelity": made.manifest["fidelity"],
        "verdict": made.verdict.as_dict(),
        "candidates": made.manifest["candidates"],
    }


def _privacy(made: Simulated) -> dict[str, Any]:
    """What the gates about privacy measured, under the names of their checks; null where no real row was read."""
    from policies.editions import load

    checks = {rule.id: rule.check for rule in load("simulation").rules}
    measured = {checks.get(run.rule): run.measured for run in made.verdict.rules}
    return {name: None if measured.get(name) == "no_row_read" else measured.get(name) for name in _PRIVACY}


def _show(tables: list[dict[str, Any]]) -> None:
    table(
        _HEADERS,
        [
            (t["name"], t["rows"], t["engine"], t["fidelity"]["score"], t["verdict"]["outcome"], t["file"])
            for t in tables
        ],
    )
    for one in tables:
        for found in one["verdict"]["findings"]:
            print(f"  · {one['name']} {found['rule']} {found['place']}: {say(Text(**found['text']))}")
