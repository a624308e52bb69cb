"""`pds check-export`: the export rules on a file, without a platform behind it."""

from __future__ import annotations

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
    entity: Annotated[
        str | None, typer.Option(help="来源中的主体列 · the column that names the protected entity")
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
    if history is not None and not history.is_dir():
        raise WrongUse("usage.no_folder", Text(f"没有文件夹 {history}", f"there is no folder {history}"))
    with quiet():
        verdict = check_files(path, _sources(source or []), entity, job, audience, history)
    document = {**_document(verdict), "rules_out_of_scope": rules_out_of_scope()}
    answer(document, as_json, lambda: _show(verdict), finding=verdict.outcome is not Outcome.PASS)


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


def _document(verdict: Verdict) -> dict[str, Any]:
    whole = verdict.as_dict()
    rules = whole.pop("rules")
    return {**whole, "rules_evaluated": rules}


def _show(verdict: Verdict) -> None:
    words = {
        Outcome.PASS: Text("通过", "pass"),
        Outcome.REVIEW: Text("须人工复核", "goes to review"),
        Outcome.BLOCK: Text("拦截", "blocked"),
        Outcome.ERROR: Text("有规则无法运行", "a rule could not run"),
    }
    ran = Text(f"{len(verdict.rules)} 条规则", f"{len(verdict.rules)} rules")
    print(f"{say(words[verdict.outcome])}  {verdict.policy} {verdict.edition}  {say(ran)}")
    table(_HEADERS, [(f.rule, f.severity, f.place, f.measured, f.threshold, f.text) for f in verdict.findings])
    for repair in dict.fromkeys(f.repair for f in verdict.findings if f.repair):
        print(f"  → {say(repair)}")
