"""`pds inspect`: what tables a file or a database holds, how they were read, what each column is."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.output import AsJson, WrongUse, answer, heading, say, table
from api.cli.tables import RecipePath, document_of, recipes_in, require_file
from policies.text import Text, UserError

if TYPE_CHECKING:
    from pipelines.reading import Recipe, TableReading
    from pipelines.reading.database import Extract

_HEADERS = (
    Text("列", "column"), Text("类型", "type"), Text("缺失", "missing"), Text("不同取值", "distinct"),
)  # fmt: skip
_LINES = Text("行号", "line"), Text("归类", "role"), Text("原文", "raw"), Text("读成", "read as")
_ROLES = {
    "preamble": Text("标题", "preamble"), "header": Text("表头", "header"), "blank": Text("空行", "blank"),
    "record": Text("记录", "record"), "quarantined": Text("隔离", "quarantined"), "aside": Text("搁置", "set aside"),
}  # fmt: skip

Address = Annotated[
    str,
    typer.Argument(
        metavar="PATH", help="CSV、XLSX、XLS、HTML、JSON、Parquet、ZIP，或 postgresql://… · a file, or a database"
    ),
]
Raw = Annotated[int, typer.Option("--raw", min=0, metavar="N", help="并列前 N 行原文与读出结果 · raw beside parsed")]
SavePath = Annotated[
    Path | None,
    typer.Option("--save-recipe", metavar="FILE", help="写出读取方案（.json 或 YAML）· write the recipe"),
]
Table = Annotated[str | None, typer.Option("--table", help="数据库中的表或视图 · table or view of the database")]
Schema = Annotated[str | None, typer.Option("--schema", help="模式名 · its schema (or --table schema.table)")]


def command(
    path: Address,
    recipe: RecipePath = None,
    raw: Raw = 0,
    save_recipe: SavePath = None,
    table: Table = None,
    schema: Schema = None,
    as_json: AsJson = False,
) -> None:
    """查看文件或数据库里有哪些表（有行被隔离时退出码 1）· What tables a file holds; exit 1 when rows were rejected"""
    from pipelines.reading.preview import decisions, preview

    _refuse_overwrite(save_recipe)
    with _opened(path, recipes_in(recipe), table, schema) as (readings, extract):
        tables = [{**one.as_dict(), "decisions": decisions(one)} for one in readings]
        if extract is not None:
            _tell_source(tables[0], extract)
        if raw:
            tables = [{**one, "raw": preview(reading, raw)} for one, reading in zip(tables, readings, strict=True)]
        _save(save_recipe, [reading.recipe for reading in readings])
    rejected = any(t["rejected_rows"] for t in tables)
    answer({"tables": tables}, as_json, lambda: _show(tables, save_recipe), finding=rejected)


@contextmanager
def _opened(
    address: str, recipes: Sequence[Recipe], table: str | None, schema: str | None
) -> Iterator[tuple[list[TableReading], Extract | None]]:
    from pipelines.reading import read
    from pipelines.reading.database import extract, is_database

    with tempfile.TemporaryDirectory(prefix="pds-") as folder:
        if not is_database(address):
            require_file(Path(address))
            yield read(address, work=Path(folder), recipe=recipes), None
            return
        if not table:
            text = Text("数据库需要用 --table 指明表", "a database needs --table")
            raise WrongUse("usage.table", text, fix=Text("例如 --table public.居民", "such as --table public.people"))
        if schema is None and table.count(".") == 1:
            schema, _, table = table.partition(".")
        copied = extract(address, table, Path(folder) / f"{_file_name(table)}.parquet", schema=schema)
        readings = read(copied.path, work=Path(folder) / "read", recipe=recipes)
        readings[0].name = table
        yield readings, copied


def _file_name(table: str) -> str:
    return re.sub(r"[^\w-]", "_", table)[:60]


def _tell_source(one: dict[str, Any], extract: Extract) -> None:
    """The source's own words on the table beside what the values say."""
    declared = {c.name: c for c in extract.columns}
    for column in one["columns"]:
        if (source := declared.get(column["name"])) is not None:
            column |= {"declared_type": source.type, "comment": source.comment}
    one["title"] = extract.title
    one["key"] = list(extract.key)
    one["foreign_keys"] = [
        {"columns": list(k.columns), "table": k.table, "refers_to": list(k.refers_to)} for k in extract.foreign_keys
    ]
    one["findings"] = [*(f.as_dict() for f in extract.findings), *one["findings"]]


def _refuse_overwrite(path: Path | None) -> None:
    """Only an earlier recipe may be replaced, never a file that is something else."""
    from pydantic import ValidationError

    from pipelines.reading.recipe import recipes_of

    if path is None or not path.exists():
        return
    try:
        recipes_of(document_of(path))
    except (UserError, ValidationError):
        text = Text(f"{path} 已存在且不是读取方案，没有覆盖", f"{path} exists and is no recipe; it was not replaced")
        raise WrongUse("usage.exists", text, fix=Text("请换一个文件名", "choose another name")) from None


def _save(path: Path | None, recipes: Sequence[Recipe]) -> None:
    if path is None:
        return
    from ruamel.yaml import YAML

    from pipelines.reading.recipe import document_of as recipe_document

    document = recipe_document(recipes)
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8") as out:
        if path.suffix.lower() == ".json":
            json.dump(document, out, ensure_ascii=False, indent=2)
        else:
            yaml = YAML(typ="safe", pure=True)
            yaml.allow_unicode, yaml.default_flow_style, yaml.width = True, None, 120
            yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
            yaml.dump(document, out)
    part.replace(path)


def _show(tables: list[dict[str, Any]], saved: Path | None) -> None:
    for one in tables:
        read = {k: v for k, v in one["source"].items() if v is not None and k != "digest"}
        rows = Text(f"{one['rows']:,} 行，隔离 {one['rejected_rows']:,} 行",
                    f"{one['rows']:,} rows, {one['rejected_rows']:,} rejected")  # fmt: skip
        heading(f"{one['name']}  {_visible(one.get('title'))}  {say(rows)}" if one.get("title") else
                f"{one['name']}  {say(rows)}")  # fmt: skip
        print("  " + "  ".join(f"{k}={v!r}" if isinstance(v, str) else f"{k}={v}" for k, v in read.items()))
        table(_HEADERS, [(c["name"], c["type"], c["missing"], c["distinct"]) for c in one["columns"]])
        for column in (c for c in one["columns"] if c.get("comment")):
            print(f"  · {column['name']}: {_visible(column['comment'])}")
        for found in one["findings"]:
            place = f"{found['column']}: " if "column" in found else ""
            print(f"  · {place}{say(Text(**found['detail']))}  [{found['code']}]")
        if "raw" in one:
            _show_raw(one["raw"])
    if saved is not None:
        print(say(Text(f"\n读取方案已写入 {saved}", f"\nthe recipe was written to {saved}")))


def _show_raw(raw: dict[str, Any]) -> None:
    heading(say(Text("原文与读出结果", "raw beside parsed")))
    shown = [
        (str(line["line"]), _ROLES[line["role"]], _visible(line["raw"]), _joined(line["cells"]))
        for line in raw["lines"]
    ]
    table(_LINES, shown)
    for row in raw["aside"]:
        print(f"  · {say(Text('搁置', 'set aside'))} [{row['kind']}] {_joined(row['cells'])}")
    for row in raw["quarantine"]:
        line = Text(f"隔离 第 {row['line']} 行", f"quarantined, line {row['line']}")
        print(f"  · {say(line)} [{row['reason']}] {_visible(row['raw'])}")


def _visible(text: str | None) -> str:
    """Tabs and line ends as signs; other characters that a terminal would obey are left out."""
    shown = (text or "").replace("\t", "⇥").replace("\n", "⏎")
    return "".join(c if c.isprintable() else "�" for c in shown)


def _joined(cells: Sequence[str | None] | None) -> str:
    return "" if cells is None else " │ ".join(_visible(c) if c is not None else "∅" for c in cells)
