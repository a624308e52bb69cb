"""`pds job schema | lint | explain | from-select | run`: a job before it is submitted.

Nothing here needs a server or real data.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.output import AsJson, WrongUse, answer, heading, say, table
from api.cli.tables import require_file
from policies.text import Text, UserError

if TYPE_CHECKING:
    from sandbox.products.carrier import Refusal
    from sandbox.products.spec import JobSpec
    from sandbox.products.spec_select import Table
    from sandbox.workspaces.run import RunOutcome

SpecFile = Annotated[Path, typer.Argument(metavar="SPEC", help="作业说明（YAML 或 JSON）· the job, YAML or JSON")]
_PROBLEM = (Text("行", "line"), Text("位置", "place"), Text("问题", "problem"))
_NOTE = (Text("位置", "place"), Text("说明", "note"), Text("怎么改", "what to do"))
_FORECAST = (Text("主体", "entity"), Text("步骤", "step"), Text("结果", "what becomes of it"), Text("说明", "note"))
_STEP = (Text("步骤", "step"), Text("读取", "reads"), Text("隔离环境", "jail"))


def schema() -> None:
    """作业说明的 JSON Schema，供编辑器补全和检查 · JSON schema of a job, for editors"""
    from sandbox.products.spec_schema import json_schema

    answer(json_schema(), True, lambda: None)


def lint(spec: SpecFile, as_json: AsJson = False) -> None:
    """检查作业说明，逐项给出行号（有问题即退出码 1）· Check a job; every problem with its line"""
    from sandbox.products.spec import digest, parse
    from sandbox.products.spec_errors import SpecError

    require_file(spec)
    try:
        found = parse(spec.read_bytes())
    except SpecError as wrong:
        problems = [{"line": p.line, "path": p.path, "text": Text(p.zh, p.en)} for p in wrong.problems]
        rows = [[p["line"] or "", p["path"], p["text"]] for p in problems]
        answer({"problems": problems}, as_json, lambda: table(_PROBLEM, rows), finding=True)
        return
    from sandbox.products.forecast import unprovable

    notes = _refusals(unprovable(found))
    document = {"problems": [], "notes": notes, "edition": found.edition, "digest": digest(found)}

    def shown() -> None:
        print(f"✔ {found.job}  {digest(found)}")
        table(_NOTE, [[n["place"], n["text"], n["repair"]] for n in notes])

    answer(document, as_json, shown)


def _refusals(found: Iterable[Refusal]) -> list[dict[str, Any]]:
    return [
        {"place": f"{r.step}:{r.line}:{r.column}", "code": r.code, "text": r.text, "repair": r.repair} for r in found
    ]


def from_select(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="一条 SELECT 的文件 · a file with one SELECT")],
    source: Annotated[
        list[str] | None, typer.Option("--table", help="表=授权编号，或 表=Parquet 文件 · table=grant or Parquet file")
    ] = None,
    name: Annotated[str, typer.Option("--job", help="作业名 · name of the job")] = "job",
    as_json: AsJson = False,
) -> None:
    """把一条 SELECT 写成作业说明，并列出不能转换之处（不能成为作业即退出码 1）· Make a job from a SELECT"""
    from api.pages.examples import written
    from sandbox.products.spec import as_data
    from sandbox.products.spec_select import from_select as translated

    require_file(file)
    found = translated(file.read_text("utf-8-sig"), dict(map(_table, source or [])), job=name)
    notes = [{"line": n.line, "column": n.column, "text": n.text, "repair": n.repair} for n in found.notes]
    data = as_data(found.spec) if found.spec is not None else None

    def shown() -> None:
        if data is not None:
            print(written(data), end="")
        rows = [[f"{n['line'] or '-'}:{n['column'] or '-'}", n["text"], n["repair"]] for n in notes]
        table(_NOTE, rows)

    answer({"job": data, "notes": notes}, as_json, shown, finding=data is None)


def _table(text: str) -> tuple[str, Table]:
    """`table=grant`, or `table=file.parquet`, whose columns tell which names a sub-query takes from outside."""
    from sandbox.products.spec_select import Table

    alias, mark, place = text.partition("=")
    if not (alias and mark and place):
        raise WrongUse(
            "usage.tables", Text(f"看不懂 {text}", f"{text} is not understood"),
            fix=Text("写成 --table 表=授权编号，或 表=文件.parquet", "write --table name=grant or name=file.parquet"),
        )  # fmt: skip
    if not place.endswith(".parquet"):
        return alias, Table(place)
    import pyarrow.parquet as pq

    require_file(Path(place))
    return alias, Table(alias, tuple(pq.read_schema(place).names))


def explain(
    spec: SpecFile,
    data: Annotated[
        Path | None, typer.Option(help="各输入的文件夹（含 catalog.yaml）：逐类主体说明能否推导 · folder of the inputs")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """说明作业会怎样运行：每一步看到什么，哪些能由机器证明，哪些须人工决定 · What a job will do, step by step"""
    from policies.editions import load
    from sandbox.products import plan
    from sandbox.products.spec import digest, parse

    require_file(spec)
    found = parse(spec.read_bytes())
    planned = plan.stages(found, load("export").by_check("rounding").parameters.base)
    names = plan.step_names(found)
    steps = [
        {"step": names[number - 1], "name": name, "reads": list(stage.reads), "jail": place, "script": stage.script,
         "text": text}
        for place, stage in enumerate(planned, start=1)
        for number, (name, text) in zip(stage.numbers, stage.steps, strict=True)
    ]  # fmt: skip
    document = {
        "job": found.job, "digest": digest(found), "text": plan.digest_of(planned), "steps": steps,
        "beyond_proof": found.beyond_proof, "most_bits": _bits(len(names)), **_proofs(found, data),
    }  # fmt: skip
    answer(document, as_json, lambda: _explained(document))


def _proofs(spec: JobSpec, folder: Path | None) -> dict[str, Any]:
    """What the machine can prove of each step, for every kind of entity the catalogue names, and what people decide."""
    from sandbox.products import forecast
    from sandbox.products.carrier import Refused
    from sandbox.products.facts import sources_in

    found: dict[str, Any] = {"review": [{"place": r.path, "text": r.text} for r in forecast.reviews(spec)]}
    if folder is None:
        return found
    with tempfile.TemporaryDirectory(prefix="pds-job-") as scratch:
        sources = sources_in(folder, spec, Path(scratch))
        found["forecast"] = [
            {"kind": one.kind, "step": one.step, "fate": one.fate, "words": forecast.FATES[one.fate],
             "owner": one.owner, "frozen": list(one.frozen), "refusals": _refusals(one.refusals)}
            for one in forecast.forecast(spec, sources)
        ]  # fmt: skip
        try:
            shown = forecast.suspects(spec, sources)
        except Refused:
            shown = ()  # the step that cannot be read is in the forecast, with its repair
    found["suspects"] = [{"step": s.step, "expression": s.expression, "columns": list(s.columns)} for s in shown]
    return found


def _bits(steps: int) -> float:
    """An upper bound of what one real run of this many steps tells, in bits."""
    import math

    from policies.editions import load
    from sandbox.workspaces.run import Buckets, alphabet

    edition: Any = load("workspace")
    bounds = [edition.by_check(name).parameters.bounds for name in ("duration_buckets", "row_buckets")]
    return round(math.log2(alphabet(steps, Buckets(*bounds))), 1)


def _explained(document: Mapping[str, Any]) -> None:
    print(f"{document['job']}  {document['digest']}")
    table(_STEP, [[s["name"], "、".join(s["reads"]), s["jail"]] for s in document["steps"]])
    for step in document["steps"]:
        heading(f"{step['name']}  ({'Python' if step['script'] else 'SQL'})")
        print(step["text"])
    if document["beyond_proof"]:
        parts = "、".join(document["beyond_proof"])
        print(say(Text(f"机器不能证明：{parts}；出域须由人决定", f"No machine proves {parts}: people decide")))
    _foreseen(document.get("forecast", ()))
    people = [[r["place"], r["text"], ""] for r in document["review"]]
    telling = Text("按主体区分的表达式，会出示给合规人员", "tells entities apart: the officer is shown it")
    people += [[s["step"], s["expression"], telling] for s in document.get("suspects", ())]
    if people:
        heading(say(Text("须人工决定", "For people to decide")))
        table(_NOTE, people)
    bits = document["most_bits"]
    print(say(Text(f"一次真实运行至多透露 {bits} 比特", f"One real run tells {bits} bits at most")))


def _foreseen(found: Sequence[Mapping[str, Any]]) -> None:
    if not found:
        return
    heading(say(Text("逐类主体能否推导", "What can be derived for each kind of entity")))
    rows = []
    for one in found:
        n = len(one["frozen"])
        frozen = say(Text(f"冻结 {n} 个子查询，按发布核查", f"{n} sub-queries frozen and judged")) if n else ""
        rows.append([one["kind"], one["step"], one["words"], frozen])
    table(_FORECAST, rows)
    table(_NOTE, [[r["place"], r["text"], r["repair"]] for one in found for r in one["refusals"]])


def run(
    spec: SpecFile,
    source: Annotated[list[str], typer.Option("--table", help="输入=文件（Parquet，仿真数据）· alias=Parquet file")],
    out: Annotated[Path | None, typer.Option(help="把产品文件写到这个文件夹 · write the product here")] = None,
    as_json: AsJson = False,
) -> None:
    """在仿真数据上试运行，报错写明步骤和行列（未完成即退出码 1）· Try a job on simulated files, in the jail"""
    from sandbox.products.spec import parse
    from sandbox.workspaces.run import State

    require_file(spec)
    found = parse(spec.read_bytes())
    tables = _tables(found, source)
    with tempfile.TemporaryDirectory(prefix="pds-job-") as scratch:
        outcome, product, base = _tried(found, tables, Path(scratch))
        done = outcome.state is State.DONE
        document = _document(found, outcome)
        if done and out is not None:
            import polars as pl

            from pipelines.running import artefact_of
            from policies.editions import load
            from sandbox.workspaces import handover
            from sandbox.workspaces.limits import limits_of
            from sandbox.workspaces.selftest import selftest

            bounds: Any = load("workspace").by_check("run_limits").parameters
            table, _used = handover.rows_of(product, limits_of(bounds), bounds.folder_mb, selftest().form)
            rows = pl.DataFrame(pl.from_arrow(table)).rows()
            names = [n for n, _ in outcome.schemas[next(iter(outcome.rows))]]
            made = artefact_of(found, names, rows, base)
            out.mkdir(parents=True, exist_ok=True)
            place = out / f"仿真数据-{made.name}"
            place.write_bytes(made.content)
            document["file"] = str(place)
    answer(document, as_json, lambda: _tried_words(document, outcome), finding=not done)


def _tables(spec: JobSpec, given: list[str]) -> dict[str, Path]:
    named = {alias: Path(file) for alias, mark, file in (text.partition("=") for text in given) if mark}
    if set(named) != set(spec.inputs) or len(named) != len(given):
        wanted = "、".join(spec.inputs)
        raise WrongUse(
            "usage.tables", Text(f"请为每个输入给出一个文件：{wanted}", f"name one file for each input: {wanted}"),
            fix=Text("写成 --table 别名=文件.parquet", "write --table alias=file.parquet"),
        )  # fmt: skip
    for file in named.values():
        require_file(file)
    return named


def _tried(spec: JobSpec, tables: Mapping[str, Path], scratch: Path) -> tuple[RunOutcome, Path, int]:
    """Outcome on the given files, the product's file, and the base that rounds counts."""
    from policies.editions import load
    from sandbox.products import plan
    from sandbox.workspaces import staged
    from sandbox.workspaces.broker import Mode
    from sandbox.workspaces.limits import limits_of
    from sandbox.workspaces.run import Buckets, RunOrder
    from sandbox.workspaces.selftest import WEAK, selftest

    edition: Any = load("workspace")
    base = load("export").by_check("rounding").parameters.base
    tested = selftest()
    if tested.tier == WEAK and any(step.script for step in spec.prepare):
        raise UserError("run.script_tier", Text("当前隔离等级不运行脚本", "No script runs on this isolation tier"))
    limits = edition.by_check("run_limits").parameters
    bounds = [edition.by_check(name).parameters.bounds for name in ("duration_buckets", "row_buckets")]
    shared = RunOrder(
        steps=(), outputs=(), tables=tables, output_folder=scratch / "out", buckets=Buckets(*bounds),
        limits=limits_of(limits), folder_mb=limits.folder_mb, error_store=scratch / "reports.jsonl",
    )  # fmt: skip
    order = staged.StagedOrder(plan.stages(spec, base), scratch / "out", shared)
    outcome = staged.execute(order, Mode.SIMULATED, tested)
    return outcome, staged.product_file(order), base


def _document(spec: JobSpec, outcome: RunOutcome) -> dict[str, Any]:
    from sandbox.products import plan

    names = plan.step_names(spec)
    return {
        **outcome.as_dict(), "step_name": names[max(outcome.step, 1) - 1], "line": outcome.line,
        "column": outcome.column, "engine_text": outcome.engine_text,
        "schemas": {name: [list(c) for c in schema] for name, schema in outcome.schemas.items()},
    }  # fmt: skip


def _tried_words(document: Mapping[str, Any], outcome: RunOutcome) -> None:
    line, column = document["line"], document["column"]
    place = say(Text(f"第 {line} 行第 {column or 1} 列", f"line {line}, column {column or 1}")) if line else ""
    print(f"{'✔' if outcome.state.value == 'done' else '✘'} {say(outcome.text)} {document['step_name']} {place}")
    if outcome.fix:
        print(f"  {say(Text('怎么办：', 'what to do: '))}{say(outcome.fix)}")
    if document["engine_text"]:
        print(f"  {document['engine_text']}")
    if "file" in document:
        print(f"  {document['file']}")
