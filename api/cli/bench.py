"""`pds bench NAME`: benchmarks are the modules and packages of `benchmarks/` that have a function `run`."""

from __future__ import annotations

from importlib import import_module, util
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.output import AsJson, CouldNotRun, WrongUse, answer, quiet, table
from policies.text import Text

_HEADERS = (
    Text("指标", "figure"), Text("本平台", "ours"), Text("对照", "against"), Text("单位", "unit"),
    Text("比值", "ratio"), Text("说明", "what"),
)  # fmt: skip


def command(
    name: Annotated[str | None, typer.Argument(help="基准名；不写则列出 · name; none lists them")] = None,
    write: Annotated[
        Path | None, typer.Option(metavar="DIR", help="不运行，写出它的语料（leaks）· write its corpus instead")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """运行一项基准，给出成对的数字与比值 · Run a benchmark: paired figures with their ratio"""
    names = known()
    if name is None:
        answer({"benchmarks": names}, as_json, lambda: print("\n".join(names)))
        return
    if name not in names:
        text = Text(f"没有基准 {name}；现有：{'、'.join(names)}", f"no benchmark {name}; there are: {', '.join(names)}")
        raise WrongUse("usage.benchmark", text)
    if write is not None:
        _write(name, write, as_json)
        return
    with quiet():
        figures: list[dict[str, Any]] = [f.as_dict() for f in import_module(f"benchmarks.{name}").run()]
    rows = [(f["name"], f["value"], f["against"], f["unit"], f["ratio"], Text(**f["text"])) for f in figures]
    answer({"benchmark": name, "figures": figures}, as_json, lambda: table(_HEADERS, rows))


def _write(name: str, folder: Path, as_json: bool) -> None:
    writer = getattr(import_module(f"benchmarks.{name}"), "write", None)
    if writer is None:
        raise WrongUse("usage.corpus", Text(f"基准 {name} 没有语料文件", f"{name} has no corpus of files"))
    with quiet():
        written: list[dict[str, str]] = writer(folder)
    answer({"benchmark": name, "files": written}, as_json,
           lambda: print("\n".join(f"{f['file']}  {f['rule']}  {f['case']}" for f in written)))  # fmt: skip


def known() -> list[str]:
    """Names of the benchmarks beside the program. Raises `CouldNotRun` in an installation without them."""
    found = util.find_spec("benchmarks")
    places = [Path(p) for p in found.submodule_search_locations or ()] if found else []
    files = {f.stem: f for p in places for f in p.glob("*.py")}
    files |= {f.parent.name: f for p in places for f in p.glob("*/__init__.py")}
    names = {name for name, f in files.items() if "\ndef run(" in f.read_text("utf-8")}
    if not names:
        text = Text("此安装不含基准测试", "this installation holds no benchmarks")
        raise CouldNotRun(
            "bench.none", text, fix=Text("请在源码目录中运行 ./pds bench", "run ./pds bench in the source folder")
        )
    return sorted(names)
