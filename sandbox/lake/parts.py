"""The Parquet files of one commit: written before the commit, so that a commit can be retried without its data."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

_TARGET_BYTES = 128 * 1024 * 1024
_ROWS_PER_GROUP = 131_072


@dataclass(frozen=True, slots=True)
class Part:
    """One written file: name inside the table's folder, size in bytes, rows."""

    name: str
    size: int
    rows: int


def lake_schema(schema: pa.Schema) -> pa.Schema:
    """The schema as the lake stores it: every column nullable, only types every Delta reader knows."""
    return pa.schema([pa.field(f.name, _lake_type(f.type), nullable=True) for f in schema])


def _lake_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or pa.types.is_null(kind):
        return pa.string()
    if pa.types.is_dictionary(kind):
        return _lake_type(kind.value_type)
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", tz="UTC" if kind.tz else None)
    if pa.types.is_unsigned_integer(kind):
        return pa.int64()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    return kind


def write_parts(folder: Path, batches: pa.RecordBatchReader) -> list[Part]:
    """Stream `batches` into files of about 128 MB; memory does not grow with the table.

    The files are named so that their order by name is the order of the rows. On any failure the files are removed;
    after a kill they stay as orphans that no version refers to.
    """
    schema = lake_schema(batches.schema)
    written: list[Path] = []
    folder.mkdir(parents=True, exist_ok=True)
    stream = _regrouped(batches, schema)
    name = _names()
    try:
        group = next(stream, None)
        while group is not None:
            path = folder / next(name)
            written.append(path)
            group = _fill(path, schema, group, stream)
    except BaseException:
        discard(folder, [Part(p.name, 0, 0) for p in written])
        raise
    return [_part(p) for p in written]


def link_parts(folder: Path, files: Sequence[Path]) -> list[Part]:
    """Give complete files a second name in `folder`, durably; a copy where they lie on another file system."""
    folder.mkdir(parents=True, exist_ok=True)
    linked: list[Path] = []
    try:
        for source, name in zip(files, _names(), strict=False):
            target = folder / name
            linked.append(target)
            try:
                os.link(source, target)
            except OSError:
                shutil.copyfile(source, target)
            with target.open("rb") as handle:
                os.fsync(handle.fileno())
    except BaseException:
        discard(folder, [Part(p.name, 0, 0) for p in linked])
        raise
    return [_part(p) for p in linked if pq.read_metadata(p).num_rows]


def _names() -> Iterator[str]:
    """Names for the files of one commit; their order by name is the order of the rows."""
    stem = f"part-{time.time_ns():020d}-{uuid4().hex[:12]}"
    return (f"{stem}-{number:05d}.parquet" for number in count())


def _part(path: Path) -> Part:
    return Part(path.name, path.stat().st_size, pq.read_metadata(path).num_rows)


def _regrouped(batches: pa.RecordBatchReader, schema: pa.Schema) -> Iterator[pa.Table]:
    """Row groups of an even size, whatever the size of the incoming batches."""
    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        if batch.num_rows == 0:
            continue
        held.append(batch)
        rows += batch.num_rows
        if rows >= _ROWS_PER_GROUP:
            yield pa.Table.from_batches(held).cast(schema)
            held, rows = [], 0
    if held:
        yield pa.Table.from_batches(held).cast(schema)


def _fill(path: Path, schema: pa.Schema, group: pa.Table, stream: Iterator[pa.Table]) -> pa.Table | None:
    """Write groups until the file is big enough, make it durable, and return the group that opens the next file."""
    with path.open("wb") as sink:
        with pq.ParquetWriter(sink, schema, compression="snappy") as writer:
            pending: pa.Table | None = group
            while pending is not None and sink.tell() < _TARGET_BYTES:
                writer.write_table(pending)
                pending = next(stream, None)
        sink.flush()
        os.fsync(sink.fileno())
    return pending


def discard(folder: Path, parts: list[Part]) -> None:
    """Remove files that no commit refers to."""
    for part in parts:
        (folder / part.name).unlink(missing_ok=True)


def files_digest(paths: list[str]) -> str:
    """SHA-256 over the sorted (name, size, rows, SHA-256) of the files: the same version always gives the same text."""
    total = hashlib.sha256()
    for path in sorted(Path(p) for p in paths):
        with path.open("rb") as handle:
            content = hashlib.file_digest(handle, "sha256").hexdigest()
        rows = pq.read_metadata(path).num_rows
        total.update(f"{path.name}\0{path.stat().st_size}\0{rows}\0{content}\n".encode())
    return total.hexdigest()
