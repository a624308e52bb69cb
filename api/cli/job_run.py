"""`pds job run`: a job on simulated tables in the jail, or on tables one may see, with its evidence and its verdict."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli import job_spec
from api.cli.check_export import Audience, as_document, isolation_of, show_verdict
from api.cli.output import AsJson, WrongUse, answer, heading, quiet, say, table
from api.cli.tables import require_file
from policies.text import Text
from policies.verdict import Outcome

if TYPE_CHECKING:
    from sandbox.exports.finishing import Post
    from sandbox.exports.gate import Checked
    from sandbox.exports.repairs import Repair
    from sandbox.products.spec import JobSpec

_KIND = (
    Text("表", "table"), Text("主体", "entity"), Text("P1 重算", "P1 recomputed"), Text("P2 删半", "P2 halves"),
    Text("P3 扰动", "P3 tried"), Text("最少主体", "least n"), Text("最少变动主体", "least informative"),
    Text("最大占比 %", "largest share %"),
)  # fmt: skip
_CELL = (
    Text("位置", "place"), Text("主体", "entity"), Text("主体数", "n"), Text("非零", "not zero"),
    Text("有变动", "informative"), Text("最大占比 %", "largest share %"),
)  # fmt: skip
_REFUSAL = (
    Text("步骤", "step"),
    Text("行", "line"),
    Text("列", "column"),
    Text("原因", "why"),
    Text("怎么改", "repair"),
)
_REPAIR = (
    Text("修改", "repair"), Text("做法", "what"), Text("改后结论", "outcome"), Text("保留的单元格", "cells shown"),
    Text("改好的作业", "the changed job"),
)  # fmt: skip
_SHOWN = 10


def run(
    spec: job_spec.SpecFile,
    data: Annotated[
        Path | None, typer.Option(help="各输入的文件夹（Parquet 或 CSV，可附 catalog.yaml）· folder of the inputs")
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option("--table", help="输入=文件（Parquet，仿真数据）· alias=Parquet file")
    ] = None,
    entity: Annotated[
        list[str] | None, typer.Option(help="主体列，或 种类=输入.列 · COLUMN, or kind=alias.column")
    ] = None,
    audience: Annotated[Audience, typer.Option(help="面向谁 · for whom")] = "contract",
    history: Annotated[Path | None, typer.Option(help="以往放行文件的文件夹 · earlier released files")] = None,
    cells: Annotated[Path | None, typer.Option(help="把单元格证据写到此文件 · write the cell table here")] = None,
    record: Annotated[
        Path | None, typer.Option(help="把证明（含种子）存到此新文件夹 · keep the proof here, for pds job repeat")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="把产品文件写到这个文件夹 · write the product here")] = None,
    repairs: Annotated[
        Path | None, typer.Option(help="未通过时试算修改，把改好的作业写到此文件夹 · try repairs, write the jobs here")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """运行作业：--data 附证据和核查结论，--table 在仿真数据上试运行 · Run a job, with evidence, or try it on a twin"""
    if (data is None) == (source is None):
        raise WrongUse("usage.job_data", Text("请给出 --data 或 --table 之一", "give either --data or --table"))
    targets = {"cells": cells, "record": record, "out": out, "repairs": repairs}
    if source is not None:
        _require_plain({"entity": entity, "history": history} | {n: v for n, v in targets.items() if n != "out"})
        return job_spec.run(spec, source, out, as_json)
    assert data is not None
    for folder in filter(None, (data, history)):
        if not folder.is_dir():
            raise WrongUse("usage.no_folder", Text(f"没有文件夹 {folder}", f"there is no folder {folder}"))
    require_file(spec)
    if record is not None and record.exists():
        raise WrongUse("usage.folder_exists", Text(f"{record} 已存在，请换一个文件夹", f"{record} is there already"))
    _proved(spec, data, entity or [], audience, history, targets, as_json)
    return None


def _require_plain(options: Mapping[str, object]) -> None:
    if given := [name for name, value in options.items() if value]:
        text = Text(f"--{given[0]} 只能和 --data 一起用", f"--{given[0]} goes with --data only")
        raise WrongUse("usage.job_table", text)


def _proved(
    spec: Path, data: Path, entities: list[str], audience: Audience, history: Path | None,
    targets: Mapping[str, Path | None], as_json: bool,
) -> None:  # fmt: skip
    from sandbox.exports.standalone import repairs, run_job
    from sandbox.products.spec import parse

    found = parse(spec.read_bytes())
    with tempfile.TemporaryDirectory(prefix="pds-job-") as scratch, quiet():
        post = lambda job: _post(job, Path(scratch))  # noqa: E731
        checked = run_job(found, data, entities, audience, history, post=post(found))
        tried = repairs(checked, data, entities, history, post=post) if targets["repairs"] is not None else ()
    document = _document(checked)
    if (folder := targets["repairs"]) is not None:
        document["repairs"] = [_repair(one, folder) for one in tried]
    if checked.subject.evidence is not None:
        _write(checked, targets, document)
    answer(document, as_json, lambda: _show(document, checked), finding=checked.verdict.outcome is not Outcome.PASS)


def _post(spec: JobSpec, scratch: Path) -> Post:
    """Runs the job's `post` in a jail of any tier: what it reads is one's own."""
    from policies.editions import load
    from sandbox.products import post
    from sandbox.workspaces.limits import limits_of
    from sandbox.workspaces.selftest import MEDIUM, STRONG, WEAK, selftest

    bounds: Any = load("workspace").by_check("run_limits").parameters
    tested, tiers = selftest(), frozenset({STRONG, MEDIUM, WEAK})
    room = post.Room(limits_of(bounds), bounds.folder_mb, tested, scratch / "post.jsonl", tiers)
    return lambda product, references: post.finish(spec, product, references, room)


def _document(checked: Checked) -> dict[str, Any]:
    from sandbox.exports.summary import summary
    from sandbox.products.artefact import read_csv
    from sandbox.products.spec import digest

    subject = checked.subject
    assert subject.spec is not None
    evidence = subject.evidence
    released = read_csv(subject.files[0].content) if evidence is not None and subject.files else []
    state = "black_box" if subject.black_box is not None else "refused" if subject.refusals else "done"
    if evidence is not None and evidence.over_budget:
        state = "over_budget"
    return {
        "state": state, "job": subject.spec.job, "digest": digest(subject.spec),
        "product": {"file": subject.spec.file_name, "columns": released[0] if released else [], "rows": released[1:]},
        "evidence": summary(subject), "verdict": as_document(checked.verdict),
        "digests": dict(evidence.record.digests) if evidence is not None else {},
        "isolation": isolation_of(subject.spec),
    }  # fmt: skip


def _write(checked: Checked, targets: Mapping[str, Path | None], document: dict[str, Any]) -> None:
    from sandbox.products import evidence_files

    evidence, files = checked.subject.evidence, checked.subject.files
    assert evidence is not None
    if (cells := targets["cells"]) is not None:
        _write_cells(checked, cells)
    if (record := targets["record"]) is not None:
        record.mkdir(mode=0o700)
        evidence_files.write(evidence, record)
    if (out := targets["out"]) is not None and files:
        out.mkdir(parents=True, exist_ok=True)
        (out / files[0].name).write_bytes(files[0].content)
        document["file"] = str(out / files[0].name)


def _repair(repair: Repair, folder: Path) -> dict[str, Any]:
    """Write the changed job; the file is named after it."""
    from ruamel.yaml import YAML

    from sandbox.products.spec import as_data

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{repair.spec.job}-{repair.id}.yaml"
    YAML().dump(as_data(repair.spec), path)
    held = [run.rule for run in repair.verdict.rules if run.outcome is not Outcome.PASS]
    return {
        "id": repair.id, "kind": repair.kind, "text": repair.text.as_dict(), "outcome": repair.outcome,
        "rules": held, "cells_shown": repair.shown, "job": str(path),
    }  # fmt: skip


def _write_cells(checked: Checked, path: Path) -> None:
    """The whole cell table: parquet, or CSV where the name says so."""
    import polars as pl

    tables = [
        kind.cells.select(pl.lit(judged.place).alias("table"), pl.lit(kind.kind).alias("kind"), pl.all())
        for judged in checked.subject.judged()
        for kind in judged.evidence.kinds
    ]
    whole = pl.concat(tables) if tables else pl.DataFrame()
    whole.write_csv(path) if path.suffix.lower() == ".csv" else whole.write_parquet(path)


def _show(document: Mapping[str, Any], checked: Checked) -> None:
    evidence = document["evidence"]
    print(f"{document['job']}  {document['digest']}")
    table(_REFUSAL, [[r["step"], r["line"], r["column"], Text(**r["text"]), Text(**r["repair"])]
                     for r in evidence["refusals"]])  # fmt: skip
    kinds = [(one["place"], kind) for one in evidence["tables"] for kind in one["kinds"]]
    if kinds:
        heading(say(Text("证明", "proofs")))
        table(_KIND, [_kind_row(place, kind) for place, kind in kinds])
        heading(say(Text("依据最弱的单元格", "weakest cells")))
        worst = [(kind["kind"], cell) for _, kind in kinds for cell in kind["worst"]]
        worst.sort(key=lambda pair: _fewest(pair[1]))
        table(_CELL, [_cell_row(kind, cell) for kind, cell in worst[:_SHOWN]])
    for one in evidence["tables"]:
        for suspect in one["suspects"]:
            print(f"  ? {suspect['step']}: {suspect['expression']}")
    heading(say(Text("结论", "verdict")))
    show_verdict(checked.verdict)
    if "repairs" in document:
        heading(say(Text("试算过的修改", "repairs that were tried")))
        table(_REPAIR, [[r["id"], Text(**r["text"]), r["outcome"], r["cells_shown"], r["job"]]
                        for r in document["repairs"]])  # fmt: skip
    if "file" in document:
        print(f"  {document['file']}")


def _fewest(cell: Mapping[str, Any]) -> int:
    """The smallest number of entities that a cell rests on in any sense; nobody comes first."""
    return min((cell[name] for name in ("n", "n_non_zero", "n_informative") if cell[name]), default=0)


def _kind_row(place: str, kind: Mapping[str, Any]) -> list[Any]:
    halves, least = kind["p2"], kind["smallest"]
    tried = len(kind["p3"]["perturbed"])
    return [
        place, kind["kind"], kind["p1"]["reproduced"], f"{halves['as_predicted']}/{halves['halves']}", tried,
        least["n"], least["n_informative"], least["largest_share"],
    ]  # fmt: skip


def _cell_row(kind: str, cell: Mapping[str, Any]) -> list[Any]:
    return [cell["place"], kind, cell["n"], cell["n_non_zero"], cell["n_informative"], cell["largest_share"]]
