"""Reading in one call: what is in a file, its tables as text, its tables as typed values."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.reading.doubts import control_characters, doubts
from pipelines.reading.findings import ReadFinding, finding, no_space, refusal
from pipelines.reading.fit import Difference, refuse, values_that_do_not_fit
from pipelines.reading.landing import ROWS_IN_GROUP, Accounting
from pipelines.reading.limits import LONGEST_LINE, refuse_long_line
from pipelines.reading.placement import encoding_for, text_placed
from pipelines.reading.recipe import ColumnRecipe, Recipe
from pipelines.reading.source import Survey, refuse_if_changed, survey
from pipelines.reading.textfile import Landed, as_utf8, read_text, sample_of
from pipelines.reading.types import ColumnProfile, infer
from policies.text import UserError

if TYPE_CHECKING:
    import polars as pl

_ROWS_IN_FILE = 8 * ROWS_IN_GROUP
_ROW = "\0row"
_README = re.compile(r"(?i)(说明|须知|readme|notes?|licen[cs]e)[^/]*\.(txt|md)$|\.md$")


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


def inspect(path: Path | str, recipe: Recipe | Sequence[Recipe] | None = None) -> Inspection:
    """Read a file in a temporary folder and tell what is in it; nothing is kept.

    Raises:
        UserError: `reading.*`, with what to do.
    """
    with tempfile.TemporaryDirectory(prefix="pds-inspect-") as work:
        return Inspection(tuple(read(path, work=Path(work), recipe=recipe)))


def read(path: Path | str, *, work: Path, recipe: Recipe | Sequence[Recipe] | None = None) -> list[TableReading]:
    """Read every table of a file as text and decide its types over all rows.

    Args:
        path: .csv .tsv .txt .xlsx .xls .xlsb .ods .html .json .jsonl .parquet .zip, judged by content, not by name: an
            .xls may be a workbook, SpreadsheetML or a page with tables.
        work: folder for the results; one subfolder a table. They hold personal data: the caller guards and removes it.
        recipe: decisions to keep; several for a file with several tables. One that names a member, sheet or json_path
            reads that part only. One that an earlier reading of another file returned must fit: harmless differences
            are adapted to and told in findings (`recipe_…`).

    Raises:
        UserError: `reading.*`: unreadable, ambiguous, changed while it was read, no longer as the recipe says, lines
            that do not add up, or no space left; what was written into `work` by then is removed.
    """
    path = Path(path)
    if not path.is_file():
        raise refusal("not_a_file", name=path.name)
    recipes = (recipe,) if isinstance(recipe, Recipe) else tuple(recipe or ())
    with _clean_on_failure(work) as tables:
        seen = survey(path)
        landed = list(_landed(seen, path.stem, recipes, _Task(seen.digest, tables)))
        if not landed:
            raise refusal("no_table", name=path.name)
        readings = [_typed_reading(part, seen) for part in landed]
        refuse_if_changed(seen)
    return readings


@dataclass(frozen=True, slots=True)
class _Task:
    """What all tables of one file share: the digest of the file as it was given, and where results go."""

    digest: str
    tables: Callable[[], Path]


@contextmanager
def _clean_on_failure(work: Path) -> Iterator[Callable[[], Path]]:
    """Gives out a new folder for each table; after a failure none of them stays. A full disk gets its name."""
    made: list[Path] = []

    def table() -> Path:
        made.append(Path(tempfile.mkdtemp(prefix="table-", dir=work)))
        return made[-1]

    work.mkdir(parents=True, exist_ok=True)
    try:
        yield table
    except BaseException as error:
        for folder in made:
            shutil.rmtree(folder, ignore_errors=True)
        if no_space(error):
            raise refusal("no_space") from None
        raise


def typed(reading: TableReading) -> list[Path]:
    """The typed rows as Parquet files beside the text, in row order; memory stays flat.
    A value that does not fit is null (it is listed in `values_parquet`), or its whole row is left out where the column
    or the recipe says `quarantine`.

    Raises:
        UserError: `reading.unbalanced`: rows, or the missing values of a column, do not add up.
    """
    import polars as pl

    expressions = _conversions(reading)
    values = _strict_values(reading)
    dropped = None if values is None else values["row"].unique().sort()
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


def _conversions(reading: TableReading) -> list[pl.Expr]:
    """How each column becomes typed: cell by cell, or by looking up what its values are, where it is stored by code."""
    import polars as pl

    from pipelines.reading.tallies import tallies
    from pipelines.reading.values import converted

    columns = list(zip(reading.recipe.columns, reading.columns, strict=True))
    cells = {c.name: converted(c, clean=told.clean, sure=told.sure) for c, told in columns}
    stored = tallies(reading.text_parquet, [c.name for c, told in columns if c.type != "text" or not told.clean])
    for name, tally in stored.items():
        there = tally.select(pl.col(name), cells[name].alias("becomes")).drop_nulls(name)
        values = there[name], there["becomes"]
        cells[name] = pl.col(name).replace_strict(*values, default=None, return_dtype=values[1].dtype)
    return list(cells.values())


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


def quarantined(reading: TableReading) -> Path | None:
    """Every record that is not among the typed rows, with its reason and its own text; None when all of them are.

    Refused records come as the file has them; rows that `typed` leaves out as JSON, with the values that do not fit
    named as the reason.
    """
    import polars as pl

    values = _strict_values(reading)
    if values is None:
        return reading.quarantine_parquet
    reasons = pl.concat_str("reason", "column", separator=":").sort().str.join("\n")
    told = values.group_by("row").agg(reasons.alias("reason"))
    rows = pl.scan_parquet(reading.text_parquet).with_row_index(_ROW)
    left = rows.filter(pl.col(_ROW).is_in(told["row"].implode())).collect(engine="streaming")
    text = pl.struct(pl.exclude(_ROW)).struct.json_encode()
    raw = left.select(pl.col(_ROW).cast(pl.Int64).alias("row"), text.alias("raw"))
    nowhere = pl.lit(None, dtype=pl.Int64)
    found = raw.join(told, on="row", maintain_order="left").select(
        nowhere.alias("line"), nowhere.alias("byte_place"), "reason", "raw"
    )
    if reading.quarantine_parquet is not None:
        found = pl.concat([pl.read_parquet(reading.quarantine_parquet), found], how="vertical_relaxed")
    target = reading.text_parquet.with_name("quarantined.parquet")
    found.write_parquet(target)
    return target


def _strict_values(reading: TableReading) -> pl.DataFrame | None:
    """Values that do not fit, in columns whose or whose recipe's rule then sends the whole row to quarantine."""
    import polars as pl

    if reading.values_parquet is None:
        return None
    recipe = reading.recipe
    strict = [c.name for c in recipe.columns if (c.on_bad_value or recipe.on_bad_value) == "quarantine"]
    values = pl.read_parquet(reading.values_parquet).filter(pl.col("column").is_in(strict))
    return values if values.height else None


def _typed_reading(part: Landed, seen: Survey) -> TableReading:
    sink = part.sink
    recipe, columns = part.recipe, part.columns
    if columns is None:
        recipe, columns = infer(sink.text_path, part.recipe, part.declared)
    if part.recipe.binds(seen.digest):
        refuse(values_that_do_not_fit(part.recipe, columns))
    recipe = recipe.model_copy(update={"source_digest": seen.digest})
    refused = [recipe.columns[i] for i, c in enumerate(columns) if c.refused]
    values = _refused_values(sink.text_path, refused) if refused else None
    findings = [*part.findings, *doubts(sink.text_path, recipe, columns)]
    return TableReading(
        part.name, seen.path, seen.digest, recipe, sink.text_path,
        sink.quarantine_path if sink.refused else None, values, sink.accounting, columns, findings,
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


def _landed(seen: Survey, name: str, recipes: Sequence[Recipe], task: _Task) -> Iterator[Landed]:
    """The tables of one file in text form; an archive gives those of its members."""
    from pipelines.reading.formats import belies_name

    for part in _parts(seen, name, recipes, task):
        if belies_name(seen.path, part.recipe.format):
            note = finding("other_format", suffix=seen.path.suffix, kind=part.recipe.format)
            part = replace(part, findings=[note, *part.findings])
        yield part


def _parts(seen: Survey, name: str, recipes: Sequence[Recipe], task: _Task) -> Iterator[Landed]:
    from pipelines.reading.formats import format_of

    kind = format_of(seen)
    if kind == "zip":
        yield from _from_archive(seen, name, recipes, task)
        return
    told = {"csv": "text", "json": "text", "ndjson": "text"}
    for recipe in recipes:
        if recipe.format is not None and told.get(recipe.format, recipe.format) != kind:
            refuse([Difference("format", recipe.format, kind)])
    if kind == "excel":
        from pipelines.reading.excel import read_workbook

        yield from read_workbook(seen, name, recipes, task.digest, task.tables)
        return
    readers: dict[str, Callable[..., Iterator[Landed]]] = {
        "parquet": _from_parquet, "text": _from_text, "html": _from_html
    }  # fmt: skip
    yield from readers[kind](seen, name, recipes[0] if recipes else Recipe(), task)


def _from_text(seen: Survey, name: str, hints: Recipe, task: _Task) -> Iterator[Landed]:
    from pipelines.reading.jsonfiles import LARGEST_DOCUMENT, json_kind, opens_json, read_document, read_lines

    document = opens_json(seen.path)
    longest = LARGEST_DOCUMENT if document else LONGEST_LINE
    if seen.lines.newlines or not seen.returns:
        refuse_long_line(seen.lines, longest)
    folder = task.tables()
    seen, utf8, found = as_utf8(seen, folder, encoding_for(seen, hints, task.digest))
    refuse_long_line(seen.text_lines, longest)
    kind = _text_kind(json_kind(utf8, seen.path.suffix) if document else None, hints, task)
    if kind == "ndjson":
        yield read_lines(seen, utf8, name, hints, task.digest, folder, found)
    elif kind == "json":
        yield read_document(seen, utf8, name, hints, task.digest, folder, found)
    else:
        yield _delimited(seen, utf8, name, hints, task, folder, found)
    if utf8 != seen.path:
        utf8.unlink(missing_ok=True)


def _text_kind(shown: str | None, hints: Recipe, task: _Task) -> str | None:
    """Delimited or JSON: the recipe's word; one decided on another file is held against what this one looks like."""
    if hints.format is not None and hints.binds(task.digest) and (hints.format == "csv") != (shown is None):
        refuse([Difference("format", hints.format, shown or "csv")])
    return hints.format or shown


def _delimited(
    seen: Survey, utf8: Path, name: str, hints: Recipe, task: _Task, folder: Path, found: list[ReadFinding]
) -> Landed:
    told, theirs = hints, None
    if hints.placed or hints.binds(task.digest):
        told, notes = text_placed(sample_of(utf8, seen.path.name), seen, hints, task.digest)
        found, theirs = [*found, *notes], told.header_names
    part = read_text(seen, utf8, name, told, folder, found)
    controls = 0 if seen.encoding.startswith("utf-16") else control_characters(seen, part.recipe.delimiter or "")
    names = part.recipe.names or ()
    theirs = names if theirs is None else (*theirs, *names[len(theirs) :])
    if hints.binds(task.digest) and len(names) > len(told.names or ()):
        refuse([Difference("column_added", None, n, n) for n in names[len(told.names or ()) :]])
    update = {"header_names": theirs, "section_rows": hints.section_rows}
    notes = [finding("control_characters", n=controls)] if controls else []
    return replace(part, recipe=part.recipe.model_copy(update=update), findings=[*part.findings, *notes])


def _from_parquet(seen: Survey, name: str, hints: Recipe, task: _Task) -> Iterator[Landed]:
    from pipelines.reading.parquetfiles import read_parquet

    yield read_parquet(seen, name, hints, task.digest, task.tables())


def _from_html(seen: Survey, name: str, hints: Recipe, task: _Task) -> Iterator[Landed]:
    from pipelines.reading.htmltables import read_html, refuse_large

    refuse_large(seen)
    folder = task.tables()
    seen, utf8, found = as_utf8(seen, folder, encoding_for(seen, hints, task.digest))
    yield from read_html(seen, utf8, name, hints, task.digest, task.tables, found)
    if utf8 != seen.path:
        utf8.unlink(missing_ok=True)


def _from_archive(seen: Survey, name: str, recipes: Sequence[Recipe], task: _Task) -> Iterator[Landed]:
    from pipelines.reading.archive import member_names, members
    from pipelines.reading.formats import format_of

    names = member_names(seen.path)
    wanted, notes = _members(names, recipes, task.digest)
    if not wanted:
        raise refusal("no_table", name=seen.path.name)
    others: list[UserError] = []
    for member, extracted in members(seen.path, task.tables(), wanted):
        inner = survey(extracted)
        try:
            if format_of(inner) == "zip":
                raise refusal("unsupported", kind="zip in zip")
            parts = list(_landed(inner, Path(member).stem, wanted[member], task))
        except UserError as error:
            if not _beside_data(member, error) or len(wanted) == 1:
                raise
            others.append(error)
            notes = [*notes, finding("parts_not_read", parts=member)]
            continue
        finally:
            extracted.unlink()
        for part in parts:
            told = part.recipe.model_copy(update={"member": member})
            yield replace(part, recipe=told, findings=[*notes, *part.findings])
            notes = []
    if len(others) == len(wanted):
        raise others[0]


def _beside_data(member: str, error: UserError) -> bool:
    """Whether a member is a document that was packed with the tables: not of a kind that holds one, or a readme."""
    readme = _README.search(member) is not None and error.code in ("reading.one_column", "reading.empty")
    return error.code == "reading.unsupported" or readme


def _members(
    names: Sequence[str], recipes: Sequence[Recipe], digest: str
) -> tuple[dict[str, list[Recipe]], list[ReadFinding]]:
    """The members to read with their recipes. A stored recipe's member may be called otherwise if there is only one."""
    if not any(r.member for r in recipes):
        return {n: list(recipes) for n in names}, []
    wanted: dict[str, list[Recipe]] = {}
    notes: list[ReadFinding] = []
    alone = len(names) == len({r.member for r in recipes}) == 1
    for recipe in recipes:
        member = recipe.member or ""
        if member not in names:
            if not recipe.binds(digest):
                raise refusal("no_work_left", what=member)
            now = "、".join(names)
            refuse([change := Difference("member_renamed" if alone else "member", member, now)])
            notes, member = [change.finding()], now
        wanted.setdefault(member, []).append(recipe)
    unread = [n for n in names if n not in wanted]
    return wanted, [*notes, *([finding("parts_not_read", parts="、".join(unread))] if unread else [])]
