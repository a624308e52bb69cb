"""`pds detect`: identifiers, names and addresses in the tables of a file, or in running text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from api.cli.output import AsJson, answer, heading, quiet, say, table
from api.cli.tables import RecipePath, TablePath, opened, scanned
from policies.text import Text, UserError

_NOT_A_TABLE = frozenset(
    f"reading.{code}" for code in ("one_column", "ambiguous_delimiter", "layout_uncertain", "too_many_refused")
)
_COLUMNS = (
    Text("列", "column"), Text("内容", "entity"), Text("判断", "decision"), Text("单元格", "cells"),
    Text("占比", "share"), Text("例（已遮盖）", "examples (masked)"),
)  # fmt: skip
_HITS = (
    Text("位置", "place"),
    Text("内容", "entity"),
    Text("起", "start"),
    Text("止", "end"),
    Text("遮盖后", "masked"),
)


def command(path: TablePath, recipe: RecipePath = None, as_json: AsJson = False) -> None:
    """识别个人与企业标识（有发现时退出码 1）· Find identifiers, names, addresses; exit 1 when any is found"""
    with quiet():
        tables, texts = _scan(path, recipe)
    document = {"tables": tables, "texts": texts}
    sure = any(e["decision"] != "noise" for t in tables for c in t["columns"] for e in c["entities"])
    answer(document, as_json, lambda: _show(tables, texts), finding=sure or bool(texts))


def _scan(path: Path, recipe: Path | None) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Tables where there are any; what is no table is searched as running text, so that nothing goes unseen."""
    try:
        with opened(path, recipe) as readings:
            return [{"name": r.name, **scanned(r).as_dict()} for r in readings], []
    except UserError as refused:
        if refused.code not in _NOT_A_TABLE or recipe is not None:
            raise
    from sandbox.detection import scan_text

    return [], [hit.as_dict() for hit in scan_text(_text_of(path), path.name)]


def _text_of(path: Path) -> str:
    import tempfile

    from pipelines.reading.source import survey
    from pipelines.reading.textfile import as_utf8

    with tempfile.TemporaryDirectory(prefix="pds-") as folder:
        _, utf8, _ = as_utf8(survey(path), Path(folder), None)
        return utf8.read_text("utf-8").removeprefix("\ufeff")


def _show(tables: list[dict[str, Any]], texts: list[dict[str, Any]]) -> None:
    for one in tables:
        heading(f"{one['name']}  {say(Text('{n:,} 行', '{n:,} rows').fill(n=one['rows']))}")
        rows = [
            (c["name"], e["entity"], e["decision"], e["hits"], f"{e['share']:.1%}", "、".join(e["examples"]))
            for c in one["columns"]
            for e in c["entities"]
        ]
        table(_COLUMNS, rows)
        if not rows:
            print("  " + say(Text("没有识别出标识", "no identifier was found")))
    table(_HITS, [(h["place"], h["entity"], h["start"], h["end"], h["masked"]) for h in texts])
    if not tables and not texts:
        print(say(Text("文本中没有识别出标识", "no identifier was found in the text")))
