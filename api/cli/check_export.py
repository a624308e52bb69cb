"""`pds check-export`: the export rules on a file, without a platform behind it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from api.cli.output import AsJson, WrongUse, answer, quiet, say, table
from api.cli.tables import require_file
from policies.text import Text
from policies.verdict import Outcome

if TYPE_CHECKING:
    from policies.verdict import Verdict

_HEADERS = (
    Text("规则", "rule"),
    Text("程度", "severity"),
    Text("位置", "place"),
    Text("实测", "measured"),
    Text("阈值", "threshold"),
    Text("说明", "what"),
)
Audience = Literal["public", "contract", "enclave"]


def command(
    path: Annotated[list[Path], typer.Argument(metavar="PATH...", help="要出域的文件 · the files to take out")],
    source: Annotated[
        list[str] | None,
        typer.Option(help="来源文件；多个输入写 别名=文件 · source file, or alias=file for each input"),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="来源文件夹（可附 catalog.yaml），须与 --job 同用 · folder of the job's inputs")
    ] = None,
    entity: Annotated[
        list[str] | None, typer.Option(help="主体列，或 种类=输入.列 · COLUMN, or kind=alias.column")
    ] = None,
    job: Annotated[Path | None, typer.Option(help="作业说明 · the job spec")] = None,
    audience: Annotated[Audience, typer.Option(help="面向谁 · for whom")] = "contract",
    history: Annotated[
        Path | None, typer.Option(help="以往放行文件的文件夹 · folder of earlier released files")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """出域文件自查（不是通过即退出码 1）· Check files against the export rules; exit 1 unless they pass"""
    from sandbox.exports.standalone import check_files, rules_out_of_scope

    for file in (*path, *([job] if job else [])):
        require_file(file)
    for folder in filter(None, (data, history)):
        if not folder.is_dir():
            raise WrongUse("usage.no_folder", Text(f"没有文件夹 {folder}", f"there is no folder {folder}"))
    if data is not None and source:
        raise WrongUse("usage.sources", Text("--source 与 --data 只能给一个", "give --source or --data, not both"))
    with quiet():
        verdict = check_files(path, _sources(source or []), entity or (), job, audience, history, data=data)
    document = {**as_document(verdict), "rules_out_of_scope": rules_out_of_scope(), "isolation": isolation_of(job)}
    answer(document, as_json, lambda: show_verdict(verdict), finding=verdict.outcome is not Outcome.PASS)


def _sources(given: list[str]) -> Path | dict[str, Path] | None:
    named = {alias: Path(file) for alias, mark, file in (text.partition("=") for text in given) if mark}
    if not given or (len(given) == 1 and not named):
        found: Path | dict[str, Path] | None = Path(given[0]) if given else None
    elif len(named) == len(given):
        found = named
    else:
        raise WrongUse("usage.sources", Text("多个来源请都写成 别名=文件", "several sources are written alias=file"))
    for file in [found] if isinstance(found, Path) else (found or {}).values():
        require_file(file)
    return found


def isolation_of(job: object) -> str | None:
    """In which form of jail a job's statements ran; None without a job. People are told where there was none."""
    from sandbox.exports.isolated import NO_JAIL, form

    if job is None:
        return None
    found = form()
    if found == NO_JAIL:
        warning = Text("本机无法建立隔离环境，作业在本进程内运行", "no jail can be had: the job ran in this process")
        print(f"⚠ {say(warning)}", file=sys.stderr)
    return found


def as_document(verdict: Verdict) -> dict[str, Any]:
    """The verdict as the command answers it."""
    whole = verdict.as_dict()
    rules = whole.pop("rules")
    return {**whole, "rules_evaluated": rules}


def show_verdict(verdict: Verdict) -> None:
    """Print outcome, findings and repairs."""
    from sandbox.exports.spoken import place_text, value_text

    words = {
        Outcome.PASS: Text("通过", "pass"),
        Outcome.REVIEW: Text("须人工复核", "goes to review"),
        Outcome.BLOCK: Text("拦截", "blocked"),
        Outcome.ERROR: Text("有规则无法运行", "a rule could not run"),
    }
    ran = Text(f"{len(verdict.rules)} 条规则", f"{len(verdict.rules)} rules")
    print(f"{say(words[verdict.outcome])}  {verdict.policy} {verdict.edition}  {say(ran)}")
    rows = [
        (f.rule, f.severity, place_text(f.place),
         *(value_text(v) if isinstance(v, str) else v for v in (f.measured, f.threshold)), f.text)
        for f in verdict.findings
    ]  # fmt: skip
    table(_HEADERS, rows)
    for repair in dict.fromkeys(f.repair for f in verdict.findings if f.repair):
        print(f"  → {say(repair)}")
