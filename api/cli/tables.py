"""Opening the file a command is about: its tables as the platform reads them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.output import WrongUse, say
from policies.text import Text

if TYPE_CHECKING:
    import polars as pl

    from pipelines.grading import TableGrade
    from pipelines.reading import Recipe, TableReading
    from sandbox.detection.scan import TableScan

TablePath = Annotated[
    Path, typer.Argument(metavar="PATH", help="CSV、TSV、TXT、XLSX、XLS、JSON、Parquet、ZIP · any of these")
]
RecipePath = Annotated[
    Path | None, typer.Option("--recipe", help="读取方案（YAML 或 JSON）· a recipe: encoding, delimiter, header …")
]


@contextmanager
def opened(path: Path, recipe: Path | None = None) -> Iterator[list[TableReading]]:
    """All tables of a file; what was read is removed at the end. Raises `WrongUse` where there is no such file."""
    from pipelines.reading import read

    require_file(path)
    with tempfile.TemporaryDirectory(prefix="pds-") as folder:
        yield read(path, work=Path(folder), recipe=recipes_in(recipe))


def require_file(path: Path) -> None:
    """Raises `WrongUse` unless `path` is a file."""
    if not path.is_file():
        raise WrongUse(
            "usage.no_file",
            Text(f"没有文件 {path}", f"there is no file {path}"),
            fix=Text("请检查路径；文件夹请逐个文件处理", "check the path; take a folder file by file"),
        )


def document_of(path: Path) -> object:
    """The content of a YAML or JSON file. Raises `WrongUse` where it is neither."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    require_file(path)
    try:
        return YAML(typ="safe").load(path.read_text("utf-8"))
    except (YAMLError, UnicodeDecodeError):
        text = Text(f"{path} 不是 UTF-8 的 YAML 或 JSON", f"{path} is not YAML or JSON in UTF-8")
        raise WrongUse("usage.not_yaml", text) from None


def recipes_in(path: Path | None) -> tuple[Recipe, ...]:
    """The recipes of a YAML or JSON file. Raises `WrongUse` with every field that does not hold."""
    if path is None:
        return ()
    from pydantic import ValidationError

    from pipelines.reading.recipe import problems_of, recipes_of

    try:
        return recipes_of(document_of(path))
    except ValidationError as error:
        wrong = [f"{place}: {say(text)}" if place else say(text) for place, text in problems_of(error)]
        text = Text(f"读取方案 {path} 有 {len(wrong)} 处错误", f"the recipe {path} has {len(wrong)} errors")
        fix = Text("请逐条改正；可用 pds inspect 文件 --save-recipe 生成一份完整的读取方案",
                   "correct each; pds inspect FILE --save-recipe writes a complete recipe to start from")  # fmt: skip
        raise WrongUse("usage.recipe", text, fix=fix, problems=wrong) from None


def scanned(reading: TableReading) -> TableScan:
    """What detection finds in every row of a table."""
    import polars as pl

    from sandbox.detection import scan_table

    return scan_table(pl.scan_parquet(reading.text_parquet))


def graded(reading: TableReading, scan: TableScan) -> TableGrade:
    """The grading proposal for a table, under the edition in force today."""
    from pipelines.grading import ColumnInfo, grade
    from policies.editions import load

    columns = [ColumnInfo(c.name, c.type) for c in reading.columns]
    return grade(scan, columns, load("grading"), table=reading.name)  # type: ignore[arg-type]


def typed_frame(reading: TableReading) -> pl.DataFrame:
    """A table's typed rows in memory."""
    import polars as pl

    from pipelines.reading import typed

    return pl.read_parquet(typed(reading))
