"""`pds simulate`: simulated data for files and folders of related tables, judged before anything is written."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from api.cli.output import AsJson, WrongUse, answer, quiet, say, table
from api.cli.tables import RecipePath, document_of, graded, recipes_in, require_file, scanned, typed_frame
from policies.text import Text, UserError
from policies.verdict import Outcome

if TYPE_CHECKING:
    import polars as pl

    from pipelines.reading import TableReading
    from pipelines.relations import Reference
    from sandbox.catalog.repository import ResourceColumn
    from synthetic.fields import Field
    from synthetic.given import Given
    from synthetic.simulate import Simulated
    from synthetic.tables import TableInput

_HEADERS = (
    Text("表", "table"), Text("行数", "rows"), Text("引擎", "engine"), Text("保真度", "fidelity"),
    Text("结论", "outcome"), Text("文件", "file"),
)  # fmt: skip
_PRIVACY = (
    "exact_rows", "real_values", "rare_categories", "unique_extremes", "closer_to_training", "copy_control",
    "sensitive_inference",
)  # fmt: skip
_READABLE = frozenset(
    {".csv", ".tsv", ".txt", ".xlsx", ".xls", ".json", ".jsonl", ".ndjson", ".parquet", ".zip"}
)  # fmt: skip
Engine = Literal["auto", "sdv", "tree", "hma", "ctgan", "schema"]

Rows = Annotated[
    int,
    typer.Option(
        min=1,
        help="行数；相关的多张表中，指不引用别表的最大一张的行数：其余按真实比例，太小的码表保持原行数 · "
        "rows; of related tables those of the largest that references no other: the rest keep their real ratio to "
        "it, code lists their size",
    ),
]
PlanPath = Annotated[
    Path | None,
    typer.Option(
        help="字段说明（YAML：columns、references、orders、sums、products、ratios、combinations、conditions、ranges、"
        "quality；tables: {表名: {…, rows}} 只对一张表）· what columns mean and what always holds"
    ),
]
Fixed = Annotated[
    list[str] | None,
    typer.Option(help="固定列：列=值、列=低..高、列=（缺失），可多次 · fix columns: column=value, low..high or empty"),
]


def command(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH…", help="文件或文件夹，可多个；相关的表请一起给出 · files or folders")
    ],
    rows: Rows,
    out: Annotated[Path, typer.Option(help="输出文件夹 · folder for the files")],
    seed: Annotated[int, typer.Option(min=0, help="随机种子 · seed")] = 0,
    engine: Annotated[
        Engine, typer.Option(help="引擎；hma 只用于相关的小表 · engine; hma only for small related tables")
    ] = "auto",
    plan: PlanPath = None,
    given: Fixed = None,
    recipe: RecipePath = None,
    as_json: AsJson = False,
) -> None:
    """生成仿真数据，相关的表一起给出（未过检验的表不写出，退出码 1）· Make simulated data of one or more tables"""
    declared = _declared(plan)
    try:
        with quiet(), _opened(paths, recipe) as readings:
            _known_tables(declared, readings)
            inputs, found = _inputs(readings, declared, given or ())
            made = _made(inputs, rows=rows, seed=seed, engine=engine, told=not as_json)
            tables = _written(inputs, made, out)
    except UserError as refused:
        if refused.code != "plan.unclassified":
            raise
        raise UserError(refused.code, refused.text, fix=_ASK, **refused.detail) from None
    blocked = any(t["file"] is None for t in tables)
    document = {"tables": tables, "references": [r.as_dict() for r in found]}
    answer(document, as_json, lambda: _show(tables, found), finding=blocked)


_ASK = Text(
    "用 --plan 文件写明这些列是什么，如 columns: {列名: {semantic: category}}；可选 person_name、address、"
    "organisation、free_text、key、code 等；或写 unclassified: shape（按字形另造，或 drop 去掉），其余各列按默认处理",
    "say what they are in a --plan file, e.g. columns: {name: {semantic: category}}; also person_name, address, "
    "organisation, free_text, key, code …; or unclassified: shape (made up in its shape; or drop) as the default",
)


# ---- what was given -----------------------------------------------------------------------------------------------
@contextmanager
def _opened(paths: Sequence[Path], recipe: Path | None) -> Iterator[dict[str, TableReading]]:
    """All tables of the files by name; what was read is removed at the end."""
    from pipelines.reading import read

    recipes, found = recipes_in(recipe), {}
    with tempfile.TemporaryDirectory(prefix="pds-") as folder:
        for number, file in enumerate(_files(paths)):
            work = Path(folder) / str(number)
            work.mkdir()
            for reading in read(file, work=work, recipe=recipes):
                name = reading.name if reading.name not in found else f"{file.stem}.{reading.name}"
                if name in found:
                    text = Text(f"有两张表都叫 {name}", f"two tables are called {name}")
                    raise WrongUse("usage.same_name", text, fix=Text("请给其中一个文件改名", "rename one of the files"))
                found[name] = reading
        yield found


def _files(paths: Sequence[Path]) -> list[Path]:
    """The files; of a folder those that hold tables by their names' endings. Raises `WrongUse` where there is none."""
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            require_file(path)
            files.append(path)
            continue
        inside = sorted(f for f in path.iterdir() if f.suffix.lower() in _READABLE and f.is_file() and f.name[0] != ".")
        if not inside:
            raise WrongUse(
                "usage.no_file",
                Text(f"文件夹 {path} 里没有表格文件", f"there is no table in the folder {path}"),
                fix=Text(f"可读：{' '.join(sorted(_READABLE))}", f"readable: {' '.join(sorted(_READABLE))}"),
            )
        files += inside
    return list(dict.fromkeys(files))


def _declared(plan: Path | None) -> Mapping[str, Any]:
    from synthetic.invariants import CONSTRAINTS

    if plan is None:
        return {}
    found, one = document_of(plan), {"columns", "quality", "unclassified", *CONSTRAINTS}
    tables = (found.get("tables") or {}) if isinstance(found, dict) else None
    if (
        not isinstance(found, dict) or not isinstance(tables, dict) or not set(found) <= one | {"references", "tables"}
        or not all(isinstance(t, dict) and set(t) <= one | {"rows"} for t in tables.values())
    ):  # fmt: skip
        raise WrongUse(
            "usage.plan",
            Text(
                f"{plan} 应写成 columns: {{列名: {{semantic: …}}}}，另可写 references、tables {' '.join(sorted(one))}",
                f"{plan} should say columns: {{name: {{semantic: …}}}}, and may say references, tables and any of "
                f"{', '.join(sorted(one))}",
            ),
        )
    return found


def _known_tables(declared: Mapping[str, Any], readings: Mapping[str, TableReading]) -> None:
    unknown = sorted(set(declared.get("tables") or {}) - set(readings))
    if unknown:
        names = "、".join(unknown)
        text = Text(f"字段说明提到的表不在文件里：{names}", f"the plan names tables that were not given: {names}")
        fix = Text(f"给出的表有：{'、'.join(readings)}", f"the tables given are: {', '.join(readings)}")
        raise WrongUse("usage.plan", text, fix=fix)


def _of_table(declared: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What is declared for one table: its own entry, and after it what holds for all."""
    own = (declared.get("tables") or {}).get(name, {})
    shared = {k: v for k, v in declared.items() if k not in ("tables", "references")}
    single = {"columns", "rows", "unclassified"}
    rules = {k: [*(own.get(k) or ()), *(shared.get(k) or ())] for k in {*own, *shared} - single}
    columns = {**(shared.get("columns") or {}), **(own.get("columns") or {})}
    default = own.get("unclassified", shared.get("unclassified"))
    return {"columns": columns, "rows": own.get("rows"), "unclassified": default, **rules}


# ---- making -------------------------------------------------------------------------------------------------------
def _inputs(
    readings: Mapping[str, TableReading], declared: Mapping[str, Any], given: Sequence[str]
) -> tuple[dict[str, TableInput], list[Reference]]:
    from pipelines.fieldplan import plan
    from pipelines.relations import references, referring
    from synthetic.given import read_given
    from synthetic.invariants import rules_of
    from synthetic.tables import TableInput

    frames = {name: typed_frame(reading) for name, reading in readings.items()}
    said = {name: _of_table(declared, name) for name in readings}
    alone = {
        name: plan(_columns(reading), said[name], {}, reading.accounting.rows_loaded)
        for name, reading in readings.items()
    }
    found = references(frames, declared.get("references") or (), alone)
    plans = referring(alone, found)
    rules = {name: rules_of(_ours(said[name], plan), plan) for name, plan in plans.items()}
    fixed = {n: _fixed(given, plans[n], alone=len(readings) == 1) for n in readings}
    lost = sorted(set(read_given(given)) - {column for one in fixed.values() for column in one})
    if lost:
        names = "、".join(lost)
        text = Text(f"没有一张表学习列 {names}，不能固定它", f"no table learns {names}, so it cannot be fixed")
        raise WrongUse("usage.given", text, fix=Text("只能固定类别、数值和日期列", "fix categories, numbers and dates"))
    return {n: TableInput(frames[n], plans[n], said[n]["rows"], rules[n], fixed[n]) for n in readings}, found


def _fixed(given: Sequence[str], fields: Sequence[Field], *, alone: bool) -> Given:
    """Of several tables a condition counts for those that learn the column, see `_inputs`; a table alone takes it."""
    from synthetic.given import read_given

    learned = {f.name for f in fields if f.learned}
    return {name: wanted for name, wanted in read_given(given).items() if alone or name in learned}


def _ours(said: Mapping[str, Any], fields: Sequence[Any]) -> dict[str, Any]:
    """Rules for all tables count for those that have a column they name."""
    names = {f.name for f in fields}
    return {
        kind: [e for e in entries if names & _mentioned(e)] if isinstance(entries, list) else entries
        for kind, entries in said.items()
    }


def _mentioned(entry: Any) -> set[str]:
    if isinstance(entry, Mapping):
        return set().union(*(_mentioned(v) for v in entry.values()))
    return {str(v) for v in entry} if isinstance(entry, list | tuple) else {str(entry)}


def _made(
    inputs: Mapping[str, TableInput], *, rows: int, seed: int, engine: str, told: bool
) -> dict[str, Simulated]:  # fmt: skip
    from pipelines.simulation import planner
    from sandbox.kernel.settings import Settings
    from synthetic.batches import STEPS
    from synthetic.related import simulate_related

    def progress(name: str, step: str, share: float) -> None:
        if told:
            text = Text(f"{share:4.0%} {name}：{STEPS[step].zh}", f"{share:4.0%} {name}: {STEPS[step].en}")
            print(say(text), file=sys.stderr)

    return simulate_related(
        inputs, seed=seed, rows=rows, engine=engine, planner=planner(Settings()), progress=progress
    )


def _written(
    inputs: Mapping[str, TableInput], made: Mapping[str, Simulated], out: Path
) -> list[dict[str, Any]]:  # fmt: skip
    """Write every table that passed and whose parents passed: without them its keys would point nowhere."""
    from policies.editions import load
    from synthetic.publishing import write_published
    from synthetic.tables import parents_first, parents_of

    titles = {rule.id: rule.title for rule in load("simulation").rules}
    passed: dict[str, bool] = {}
    entries = {}
    for name in parents_first(inputs):
        one = made[name]
        missing = [p for p in parents_of(name, inputs[name]) if not passed[p]]
        passed[name] = one.verdict.outcome in (Outcome.PASS, Outcome.REVIEW) and not missing
        files = write_published(one.frame, one.manifest, titles, out) if passed[name] else {}
        entries[name] = {
            **_entry(name, one, inputs[name].frame),
            "parents": parents_of(name, inputs[name]),
            "withheld_for": missing,
            "file": str(files["csv"]) if files else None,
            "files": {kind: str(file) for kind, file in files.items()},
        }
    return [entries[name] for name in made]


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


# ---- telling ------------------------------------------------------------------------------------------------------
def _entry(name: str, made: Simulated, real: pl.DataFrame) -> dict[str, Any]:
    measured = _measured(made)
    copies = made.frame.join(real, on=real.columns, how="semi", nulls_equal=True).height
    return {
        "name": name,
        "rows": made.frame.height,
        "engine": made.manifest["engine"]["used"],
        "fidelity": made.manifest["fidelity"],
        "privacy": {"exact_copies": copies, **{check: measured.get(check) for check in _PRIVACY}},
        "orphans": measured.get("orphans"),
        "constraint_violations": measured.get("constraint_violations"),
        "verdict": made.verdict.as_dict(),
        "candidates": made.manifest["candidates"],
        "plan": made.manifest["decisions"],
        "generator": made.manifest["generator"],
    }


def _measured(made: Simulated) -> dict[str | None, Any]:
    """What the gates measured, under the names of their checks; null where no real row was read."""
    from policies.editions import load

    checks = {rule.id: rule.check for rule in load("simulation").rules}
    return {
        checks.get(run.rule): None if run.measured == "no_row_read" else run.measured for run in made.verdict.rules
    }


def _show(tables: list[dict[str, Any]], found: Sequence[Reference]) -> None:
    table(
        _HEADERS,
        [
            (t["name"], t["rows"], t["engine"], t["fidelity"]["score"], t["verdict"]["outcome"], t["file"])
            for t in tables
        ],
    )
    for one in tables:
        if one["generator"] and one["generator"]["fallback"]:
            print(f"  ⚠ {one['name']} {say(Text(**one['generator']['fallback']['text']))}")
        for finding in one["verdict"]["findings"]:
            print(f"  · {one['name']} {finding['rule']} {finding['place']}: {say(Text(**finding['text']))}")
        for parent in one["withheld_for"]:
            print(say(Text(f"  · {one['name']} 未写出：父表 {parent} 未通过检验",
                           f"  · {one['name']} is not written: its parent {parent} failed its gates")))  # fmt: skip
    for reference in found:
        print(say(_reference(reference)))


def _reference(one: Reference) -> Text:
    """A reference that was used, or the question about one that was not."""
    column, to = "、".join(one.columns), "、".join(one.to)
    link = f"{one.table}.{column} → {one.parent}.{to}"
    if one.certain:
        known = Text("声明", "declared") if one.declared else Text("自动认出", "found")
        return Text(f"  · 引用（{known.zh}）：{link}", f"  · reference ({known.en}): {link}")
    line = f"references: [{{table: {one.table}, column: {column}, parent: {one.parent}, to: {to}}}]"
    return Text(
        f"  · 可能的引用，未采用：{link}（{one.inside:.1%} 的值在父表中）。是则在 --plan 中写 {line}",
        f"  · perhaps a reference, not used: {link} ({one.inside:.1%} of its values are there). If so, plan {line}",
    )
