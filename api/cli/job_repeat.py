"""`pds job repeat`: a kept proof once more, with its own seeds on the given data, and what does not come out again."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.output import AsJson, WrongUse, answer, quiet, say, table
from policies.text import Text

if TYPE_CHECKING:
    from sandbox.products.evidence import Evidence

_HEADERS = (Text("位置", "place"), Text("内容", "what"), Text("处数", "places"))


def repeat(
    record: Annotated[Path, typer.Argument(metavar="RECORD", help="保存证明的文件夹 · folder of a kept proof")],
    data: Annotated[
        Path, typer.Option(help="各输入的文件夹（Parquet 或 CSV，可附 catalog.yaml）· folder of the inputs")
    ],
    entity: Annotated[
        list[str] | None, typer.Option(help="主体列，或 种类=输入.列 · COLUMN, or kind=alias.column")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """用记录中的随机种子在数据上重做证明，并说明是否一致 · Repeat a proof with its seeds; say whether all is equal"""
    for folder in (record, data):
        if not folder.is_dir():
            raise WrongUse("usage.no_folder", Text(f"没有文件夹 {folder}", f"there is no folder {folder}"))
    with quiet():
        kept, again = _both(record, data, entity or [])
    document = _document(kept, again)
    answer(document, as_json, lambda: _show(document), finding=not document["equal"])


def _both(record: Path, data: Path, entities: list[str]) -> tuple[Evidence, Evidence]:
    from policies.editions import load
    from sandbox.products import facts, proving, repeating
    from sandbox.products.entities import SessionCodes
    from sandbox.products.spec import parse
    from sandbox.workspaces.selftest import selftest

    parameters: Any = load("workspace").by_check("proof_limits").parameters
    room = proving.room_of(parameters)
    kept = repeating.read(record, room.caps)
    spec = parse(dict(kept.record.spec))
    with tempfile.TemporaryDirectory(prefix="pds-repeat-") as scratch:
        sources = facts.sources_in(data, spec, Path(scratch), entities)
        asked = proving.Asked(kept.record.halves, seed=lambda _output: kept.record.seed)
        place = proving.Place(selftest().form, room, Path(scratch))
        return kept, proving.prove(spec, sources, asked, codes=SessionCodes(), place=place)


def _document(kept: Evidence, again: Evidence) -> dict[str, Any]:
    from dataclasses import asdict

    from sandbox.products.repeating import differences

    found = [asdict(one) for one in differences(kept, again)]
    versions = {
        name: {"then": kept.record.versions.get(name), "now": again.record.versions.get(name)}
        for name in sorted({*kept.record.versions, *again.record.versions})
        if kept.record.versions.get(name) != again.record.versions.get(name)
    }
    proved = all(kind.proved for part in (again, *again.references) for kind in part.kinds)
    return {
        "job": again.job, "equal": not found, "proved": proved, "differences": found, "versions_changed": versions,
        "rows": len(again.rows), "kinds": [kind.kind for kind in again.kinds],
    }  # fmt: skip


def _show(document: dict[str, Any]) -> None:
    print(document["job"])
    if document["equal"]:
        print(say(Text("  ✔ 与记录完全一致", "  ✔ everything came out again")))
    else:
        print(say(Text("  ✘ 与记录不一致：", "  ✘ this did not come out again:")))
        table(_HEADERS, [[d["place"], d["what"], d["count"]] for d in document["differences"]])
    for name, one in document["versions_changed"].items():
        print(f"  {name}: {one['then']} → {one['now']}")
