"""Parquet files: their own types are kept, their values land as text like everybody's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.reading.findings import refusal
from pipelines.reading.fit import column_names
from pipelines.reading.landing import Shape, Sink
from pipelines.reading.layout import unique_names
from pipelines.reading.limits import refuse_wide
from pipelines.reading.recipe import ColumnRecipe, Recipe
from pipelines.reading.source import Survey
from pipelines.reading.textfile import Landed, counted_findings

_BATCH = 65_536
_LONGEST_COMMENT = 500


def read_parquet(seen: Survey, name: str, hints: Recipe, digest: str, folder: Path) -> Landed:
    """Read one Parquet file of a source department (files made by merchants are opened in a jail only)."""
    try:
        with pq.ParquetFile(seen.path) as source:
            refuse_wide(len(source.schema_arrow.names))
            theirs, _ = unique_names(source.schema_arrow.names, len(source.schema_arrow.names))
            found = Recipe(format="parquet", names=tuple(theirs))
            names, adapted = column_names(hints, found, digest)
            sink = Sink(folder, Shape(names, repeated_headers=False, footers=False))
            rows = 0
            for batch in source.iter_batches(_BATCH):
                rows += batch.num_rows
                sink.add(_as_text(batch, names))
            decimals = _decimals(names, source.schema_arrow)
            declared = {n: k for n, f in zip(names, source.schema_arrow, strict=True) if (k := _kind(f.type))}
    except pa.ArrowException:
        raise refusal("broken_file", name=seen.path.name) from None
    sink.finish()
    sink.accounting.lines = rows
    sink.accounting.balance()
    columns = (*hints.columns, *(c for c in decimals if hints.column(c.name) is None))
    told = {"format": "parquet", "names": names, "header_names": tuple(theirs), "columns": columns}
    recipe = hints.model_copy(update=told)
    return Landed(name, recipe, sink, [*adapted, *counted_findings(sink)], declared)


def comments_in(path: Path, recipe: Recipe) -> tuple[str | None, dict[str, str]]:
    """(what the file says its table is, column → what it says the column is), by the names the columns have here.

    Somebody else's words: on one line each, without control characters, at most as long as a registered one may be.
    """
    shape = pq.read_schema(path)
    ours = dict(zip(recipe.header_names or (), recipe.names or (), strict=False))
    told = {ours.get(f.name, f.name): _plain((f.metadata or {}).get(b"comment", b"")) for f in shape}
    title = _plain((shape.metadata or {}).get(b"title", b"")) or None
    return title, {name: said for name, said in told.items() if said}


def _plain(said: bytes) -> str:
    text = " ".join(said.decode("utf-8", "replace").split())
    return "".join(c for c in text if c.isprintable())[:_LONGEST_COMMENT]


def _as_text(batch: pa.RecordBatch, names: tuple[str, ...]) -> pl.DataFrame:
    frame = pl.DataFrame(pl.from_arrow(batch.rename_columns(list(names))))
    nested = [n for n, t in frame.schema.items() if t.is_nested()]
    binary = [n for n, t in frame.schema.items() if t == pl.Binary]
    frame = frame.with_columns(
        *(pl.struct(n).struct.json_encode().alias(n) for n in nested),
        *(pl.col(n).bin.encode("hex") for n in binary),
    )
    return frame.cast(pl.String)


def _kind(kind: pa.DataType) -> str | None:
    """Type the file states; None leaves it to the values."""
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return None
    if pa.types.is_date(kind):
        return "date"
    if pa.types.is_timestamp(kind) and kind.tz is None:
        return "timestamp"
    return "boolean" if pa.types.is_boolean(kind) else None


def _decimals(names: Sequence[str], schema: pa.Schema) -> list[ColumnRecipe]:
    """Columns whose precision and scale the file states."""
    fields = [(n, f.type) for n, f in zip(names, schema, strict=True) if pa.types.is_decimal(f.type)]
    return [
        ColumnRecipe(name=n, type="decimal", precision=t.precision, scale=t.scale)
        for n, t in fields
        if t.precision <= 38 and t.scale >= 0
    ]
