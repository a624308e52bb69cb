"""Reading in one call: what is in a file, its tables as text, its tables as typed values."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.reading.findings import ReadFinding, refusal
from pipelines.reading.landing import ROWS_IN_GROUP, Accounting
from pipelines.reading.recipe import ColumnRecipe, Recipe
from pipelines.reading.source import Survey, refuse_if_changed, survey
from pipelines.reading.textfile import Landed, as_utf8, read_text
from pipelines.reading.types import ColumnProfile, infer

if TYPE_CHECKING:
    import polars as pl

_ROWS_IN_FILE = 8 * ROWS_IN_GROUP
_ROW = "\0row"


@dataclass(slots=True)
class TableReading:
    """One table of a file, landed as text.

    `text_parquet` holds the loaded records, every column as text; `quarantine_parquet` the refused ones (line,
    byte_place, reason, raw); `values_parquet` single values that do not fit their column's type (row, column, reason,
    raw). Row numbers count loaded records from 0. `source_digest` is the SHA-256 of the file that was given.
    """

    name: str
    source: Path
    source_digest: str
    recipe: Recipe
    text_parquet: Path
    quarantine_parquet: Path | None
    values_parquet: Path | None
    accounting: Accounting
    columns: list[ColumnProfile]
    findings: list[ReadFinding] = field(default_factory=list)

    def facts(self) -> dict[str, str]:
        """What a lake version must be able to prove: digest, recipe and row counts."""
        return {
            "source_digest": self.source_digest,
            "source_file": self.source.name,
            "recipe": self.recipe.model_dump_json(exclude_defaults=True),
            **{name: str(n) for name, n in self.accounting.as_dict().items()},
        }

    def as_dict(self) -> dict[str, Any]:
        """The table's entry in `pds inspect`."""
        columns = [{**c.as_dict(), **self._unit(c.name)} for c in self.columns]
        found = [*self.findings, *(f for c in self.columns for f in c.findings)]
        return {
            "name": self.name,
            "source": {
                "file": self.source.name, "member": self.recipe.member, "encoding": self.recipe.encoding,
                "delimiter": self.recipe.delimiter, "sheet": self.recipe.sheet, "header_row": self.recipe.header_row,
                "digest": self.source_digest,
            },
            "rows": self.accounting.rows_loaded,
            "rejected_rows": self.accounting.rows_quarantined,
            "accounting": self.accounting.as_dict(),
            "columns": columns,
            "findings": [f.as_dict() for f in found],
        }  # fmt: skip

    def _unit(self, name: str) -> dict[str, str]:
        column = self.recipe.column(name)
        return {"unit": column.unit} if column is not None and column.unit else {}


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a file holds; every table was read in full to say so."""

    tables: tuple[TableReading, ...]

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of `pds inspect`."""
        return {"tables": [t.as_dict() for t in self.tables]}


def inspect(path: Path | str, recipe: Recipe | None = None) -> Inspection:
    """Read a file in a temporary folder and tell what is in it; nothing is kept.

    Raises:
        UserError: `reading.*`, with what to do.
    """
    with tempfile.TemporaryDirectory(prefix="pds-inspect-") as work:
        return Inspection(tuple(read(path, work=Path(work), recipe=recipe)))


def read(path: Path | str, *, work: Path, recipe: Recipe | None = None) -> list[TableReading]:
    """Read every table of a file as text and decide its types over all rows.

    Args:
        path: .csv .tsv .txt .xlsx .xls .xlsb .ods .json .jsonl .parquet .zip, judged by content, not by name.
        work: folder for the results; one subfolder a table. They hold personal data: the caller guards and removes it.
        recipe: decisions to keep; one that names a member, sheet or json_path reads that part only.

    Raises:
        UserError: `reading.*`: unreadable, ambiguous, changed while it was read, or lines that do not add up.
    """
    path = Path(path)
    if not path.is_file():
        raise refusal("not_a_file", name=path.name)
    work.mkdir(parents=True, exist_ok=True)
    seen = survey(path)
    hints = recipe or Recipe()
    landed = list(_landed(seen, path.stem, hints, work))
    if not landed:
        raise refusal("no_table", name=path.name)
    readings = [_typed_reading(part, seen) for part in landed]
    refuse_if_changed(seen)
    return readings


def typed(reading: TableReading) -> list[Path]:
    """The typed rows as Parquet files beside the text, in row order; memory stays flat.

    A value that does not fit is null (it is listed in `values_parquet`), or its whole row is left out where the column
    or the recipe says `quarantine`.

    Raises:
        UserError: `reading.unbalanced`: rows, or the missing values of a column, do not add up.
    """
    import polars as pl

    from pipelines.reading.values import converted

    columns = zip(reading.recipe.columns, reading.columns, strict=True)
    expressions = [converted(c, clean=told.clean, sure=told.sure) for c, told in columns]
    dropped = _rows_left_out(reading)
    folder = reading.text_parquet.parent
    source = pl.scan_parquet(reading.text_parquet)
    made: list[Path] = []
    for start in range(0, max(reading.accounting.rows_loaded, 1), _ROWS_IN_FILE):
        rows = source.slice(start, _ROWS_IN_FILE)
        if dropped is not None:
            rows = rows.with_row_index(_ROW, start).filter(~pl.col(_ROW).is_in(dropped.implode()))
        made.append(folder / f"typed-{len(made):05d}.parquet")
        rows.select(expressions).sink_parquet(made[-1], compression="snappy", row_group_size=ROWS_IN_GROUP)
    _prove(reading, made, 0 if dropped is None else dropped.len())
    return made


def _prove(reading: TableReading, made: list[Path], left_out: int) -> None:
    """Every row is there, and where none was left out every column misses exactly what was missing or refused."""
    import pyarrow.parquet as pq

    told = [pq.read_metadata(path) for path in made]
    rows, loaded = sum(t.num_rows for t in told), reading.accounting.rows_loaded
    if rows + left_out != loaded:
        raise refusal("unbalanced", lines=loaded, counted=rows + left_out)
    for k, column in enumerate(reading.columns):
        groups = (t.row_group(g).column(k).statistics for t in told for g in range(t.num_row_groups))
        nulls = sum(s.null_count for s in groups)
        if not left_out and nulls != column.missing + column.refused:
            raise refusal("unbalanced", lines=column.missing + column.refused, counted=nulls)


def _rows_left_out(reading: TableReading) -> pl.Series | None:
    """Rows that a column's or the recipe's rule sends to quarantine because one value does not fit."""
    import polars as pl

    if reading.values_parquet is None:
        return None
    recipe = reading.recipe
    strict = [c.name for c in recipe.columns if (c.on_bad_value or recipe.on_bad_value) == "quarantine"]
    rows = pl.read_parquet(reading.values_parquet).filter(pl.col("column").is_in(strict))["row"].unique().sort()
    return rows if rows.len() else None


def _typed_reading(part: Landed, seen: Survey) -> TableReading:
    sink = part.sink
    recipe, columns = infer(sink.text_path, part.recipe, part.declared)
    refused = [recipe.columns[i] for i, c in enumerate(columns) if c.refused]
    values = _refused_values(sink.text_path, refused) if refused else None
    return TableReading(
        part.name, seen.path, seen.digest, recipe, sink.text_path,
        sink.quarantine_path if sink.refused else None, values, sink.accounting, columns, part.findings,
    )  # fmt: skip


def _refused_values(text: Path, columns: list[ColumnRecipe]) -> Path:
    """Every value that does not fit its column's type, with its row."""
    import polars as pl

    from pipelines.reading.values import is_bad

    target = text.with_name("values.parquet")
    frame = pl.scan_parquet(text).with_row_index("row")
    parts = [
        frame.filter(is_bad(c)).select(
            pl.col("row").cast(pl.Int64), pl.lit(c.name).alias("column"), pl.lit(f"not_{c.type}").alias("reason"),
            pl.col(c.name).alias("raw"),
        )
        for c in columns
    ]  # fmt: skip
    pl.concat(parts).collect(engine="streaming").write_parquet(target)
    return target


def _landed(seen: Survey, name: str, hints: Recipe, work: Path) -> Iterator[Landed]:
    """The tables of one file in text form; an archive gives those of its members."""
    from pipelines.reading.formats import format_of

    kind = format_of(seen)
    readers: dict[str, Callable[..., Iterator[Landed]]] = {
        "zip": _from_archive, "excel": _from_workbook, "parquet": _from_parquet, "text": _from_text
    }  # fmt: skip
    yield from readers[kind](seen, name, hints, work)


def _from_text(seen: Survey, name: str, hints: Recipe, work: Path) -> Iterator[Landed]:
    from pipelines.reading.jsonfiles import json_kind, read_document, read_lines

    folder = _folder(work)
    seen, utf8, found = as_utf8(seen, folder, hints.encoding)
    kind = hints.format or json_kind(utf8, seen.path.suffix)
    if kind == "ndjson":
        yield read_lines(seen, utf8, name, hints, folder, found)
    elif kind == "json":
        yield read_document(seen, utf8, name, hints, folder, found)
    else:
        yield read_text(seen, utf8, name, hints, folder, found)
    if utf8 != seen.path:
        utf8.unlink(missing_ok=True)


def _from_parquet(seen: Survey, name: str, hints: Recipe, work: Path) -> Iterator[Landed]:
    from pipelines.reading.parquetfiles import read_parquet

    yield read_parquet(seen, name, hints, _folder(work))


def _from_workbook(seen: Survey, name: str, hints: Recipe, work: Path) -> Iterator[Landed]:
    from pipelines.reading.excel import read_workbook

    yield from read_workbook(seen, name, hints, lambda: _folder(work))


def _from_archive(seen: Survey, name: str, hints: Recipe, work: Path) -> Iterator[Landed]:
    from dataclasses import replace

    from pipelines.reading.archive import members

    found = False
    for member, extracted in members(seen.path, _folder(work), hints.member):
        found = True
        inner = survey(extracted)
        for part in _landed(inner, Path(member).stem, hints, work):
            recipe = part.recipe.model_copy(update={"member": member})
            yield replace(part, recipe=recipe)
        extracted.unlink()
    if not found:
        raise refusal("no_work_left", what=hints.member) if hints.member else refusal("no_table", name=name)


def _folder(work: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix="table-", dir=work))
