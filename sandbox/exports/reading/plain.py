"""Readers of tables and texts without a container: CSV, JSON, plain text, Parquet."""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from sandbox.exports.places import within
from sandbox.exports.reading.found import MODEL, Found
from sandbox.exports.reading.kinds import encoding_of
from sandbox.exports.reading.models import parameters_of

_LONGEST_CELL = 16 << 20
_BLOCK = 4 << 20
_HEX_BYTES = 4096


def read_csv(path: Path, place: str, found: Found, delimiter: str = ",") -> None:
    """The first line is the header; a row of another width is a problem."""
    csv.field_size_limit(_LONGEST_CELL)
    encoding = encoding_of(path) or "utf-8"
    with path.open(encoding=encoding, newline="") as file:
        header = next(csv.reader(file, delimiter=delimiter, strict=True), None)
    if header is None:
        found.problem("empty", place)
        return
    with path.open("rb") as raw:
        simple = _simple(raw, header, delimiter) if encoding == "utf-8-sig" else ()
        found.table(place, header, _rest(raw, encoding, delimiter), ready=simple)


def _simple(raw: BinaryIO, header: Sequence[str], delimiter: str) -> Iterator[list[Any]]:
    """Columns of blocks of lines that are cells and delimiters and nothing else: there Arrow, which is fast, and the
    standard library, which is strict, cannot differ. `raw` is left before the first line that is not so."""
    first, joined = raw.readline().decode("utf-8-sig"), delimiter.join(header)
    if not header or first not in (f"{joined}\n", f"{joined}\r\n"):
        raw.seek(0)
        return
    while True:
        at = raw.tell()
        block = raw.read(_BLOCK)
        block = block[: block.rfind(b"\n") + 1]
        columns = _cells(block, len(header), delimiter) if _is_simple(block) else None
        raw.seek(at + len(block) if columns else at)
        if columns is None:
            return
        yield columns


def _is_simple(block: bytes) -> bool:
    """Without quotes, empty lines, carriage returns in cells, and a mark that Arrow would take away."""
    if not block or block.startswith((b"\n", b"\r", codecs.BOM_UTF8)):
        return False
    odd = any(mark in block for mark in (b'"', b"\n\n", b"\n\r\n"))
    return not odd and block.count(b"\r") == block.count(b"\r\n")


def _cells(block: bytes, width: int, delimiter: str) -> list[Any] | None:
    """The columns of a block of lines; None where one is longer or shorter."""
    import pyarrow as pa
    from pyarrow import csv as arrow

    names = [str(n + 1) for n in range(width)]
    try:
        table = arrow.read_csv(
            pa.BufferReader(block),
            arrow.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=names),
            arrow.ParseOptions(delimiter=delimiter, quote_char=False, escape_char=False, ignore_empty_lines=False),
            arrow.ConvertOptions(column_types=dict.fromkeys(names, pa.large_string()), null_values=[""],
                                 strings_can_be_null=True),
        )  # fmt: skip
    except pa.ArrowInvalid:
        return None
    return [column.combine_chunks() for column in table.columns]


def _rest(raw: BinaryIO, encoding: str, delimiter: str) -> Iterator[list[str]]:
    """The rows from where `raw` is, without the header."""
    begun = raw.tell() > 0
    file = io.TextIOWrapper(raw, "utf-8" if begun else encoding, newline="")
    lines = csv.reader(file, delimiter=delimiter, strict=True)
    if not begun:
        next(lines)
    yield from lines


def read_tsv(path: Path, place: str, found: Found) -> None:
    """As CSV, separated by tabs."""
    read_csv(path, place, found, "\t")


def read_text(path: Path, place: str, found: Found) -> None:
    """All of it is text."""
    found.text(place, path.read_text(encoding_of(path) or "utf-8"))


class _Twice(ValueError):
    """An object names a key twice: one reader sees the first value, another the last."""


def read_json(path: Path, place: str, found: Found) -> None:
    """A list of objects is a table; anything else is its text, with its keys and numbers, and may be a model."""
    value = _parsed(path.read_text(encoding_of(path) or "utf-8"), place, found)
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        _records(value, place, found)
        return
    found.text(place, json.dumps(value, ensure_ascii=False, indent=0))
    made_of = parameters_of(value)
    if made_of is not None:
        found.table(within(place, part="model"), MODEL, made_of)


def read_jsonl(path: Path, place: str, found: Found) -> None:
    """One value a line; lines of objects are a table."""
    with path.open(encoding=encoding_of(path) or "utf-8") as file:
        values = [_parsed(line, place, found) for line in file if line.strip()]
    if values and all(isinstance(one, dict) for one in values):
        _records(values, place, found)
    else:
        found.text(place, "\n".join(json.dumps(one, ensure_ascii=False) for one in values))


def _parsed(text: str, place: str, found: Found) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) < len(pairs):
            found.problem("duplicate_key", place)
            found.text(place, json.dumps([value for _, value in pairs], ensure_ascii=False))
        return dict(pairs)

    return json.loads(text, object_pairs_hook=once)


def _records(records: Sequence[dict[str, Any]], place: str, found: Found) -> None:
    header = tuple(dict.fromkeys(key for record in records for key in record))
    found.table(place, header, ([cell(r.get(h)) for h in header] for r in records), first_row=1)


def cell(value: Any) -> str | None:
    """A value of JSON as one cell."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def read_parquet(path: Path, place: str, found: Found) -> None:
    """Rows, and all that lies beside them: metadata, statistics, dictionaries, bytes that belong to no column."""
    import pyarrow.parquet as pq

    source = pq.ParquetFile(path, memory_map=True)
    found.unpack(sum(source.metadata.row_group(n).total_byte_size for n in range(source.num_row_groups)))
    found.table(place, source.schema_arrow.names, _parquet_rows(source, place, found), first_row=1)
    _metadata(source, place, found)
    _statistics(source, place, found)
    _dictionaries(path, source, place, found)
    _between(path, source, place, found)


def _parquet_rows(source: Any, place: str, found: Found) -> Iterator[tuple[str | None, ...]]:
    for batch in source.iter_batches(batch_size=20_000):
        yield from zip(*(_strings(column, place, found) for column in batch.columns), strict=True)


def _strings(column: Any, place: str, found: Found) -> list[str | None]:
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        found.problem("binary", place)
        return [None if v is None else _of_bytes(v) for v in column.to_pylist()]
    if pa.types.is_nested(kind):
        return [None if v is None else json.dumps(v, ensure_ascii=False, default=str) for v in column.to_pylist()]
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return list(column.to_pylist())
    try:
        return list(column.cast(pa.large_string()).to_pylist())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return [None if v is None else str(v) for v in column.to_pylist()]


def _of_bytes(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value[:_HEX_BYTES].hex()


def _metadata(source: Any, place: str, found: Found) -> None:
    words = [f"{k!r} {v!r}" for k, v in (source.metadata.metadata or {}).items() if k != b"ARROW:schema"]
    for name in source.schema_arrow.names:
        for field in (source.schema_arrow.field(i) for i in source.schema_arrow.get_all_field_indices(name)):
            words += [f"{_word(k)} {_word(v)}" for k, v in (field.metadata or {}).items() if k != b"PARQUET:field_id"]
    told = [f"{_word(k)} {_word(v)}" for k, v in (source.metadata.metadata or {}).items() if k != b"ARROW:schema"]
    found.text(within(place, part="metadata"), "\n".join([*words, *told, source.metadata.created_by or ""]))


def _word(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _statistics(source: Any, place: str, found: Found) -> None:
    """Minimum and maximum of a column chunk may be values that no row holds."""
    told: dict[str, set[str]] = {}
    for group in range(source.metadata.num_row_groups):
        for n in range(source.metadata.num_columns):
            chunk = source.metadata.row_group(group).column(n)
            facts = chunk.statistics if chunk.is_stats_set else None
            if facts is not None and facts.has_min_max and isinstance(facts.min, str | bytes):
                told.setdefault(chunk.path_in_schema, set()).update(
                    v if isinstance(v, str) else _of_bytes(v) for v in (facts.min, facts.max)
                )
    for n, values in enumerate(told.values(), start=1):
        found.text(within(place, part=f"statistics {n}"), "\n".join(sorted(values)))


def _dictionaries(path: Path, source: Any, place: str, found: Found) -> None:
    """Values of a column's dictionary that no row uses."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    names = source.schema_arrow.names
    texts = [n for n in dict.fromkeys(names) if names.count(n) == 1 and _is_text(source.schema_arrow.field(n).type)]
    again = pq.ParquetFile(path, memory_map=True, read_dictionary=texts)
    for group in range(again.num_row_groups):
        for name in texts:
            for chunk in again.read_row_group(group, columns=[name]).column(0).chunks:
                if not pa.types.is_dictionary(chunk.type):
                    continue
                used = pc.unique(chunk.indices.drop_null())
                if len(used) < len(chunk.dictionary):
                    rest = set(range(len(chunk.dictionary))) - set(used.to_pylist())
                    values = chunk.dictionary.take(pa.array(sorted(rest))).to_pylist()
                    spot = within(place, part="dictionary", column=names.index(name) + 1)
                    found.problem("dictionary", spot)
                    found.text(spot, "\n".join(v for v in values if v))


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(plain) or pa.types.is_large_string(plain))


def _between(path: Path, source: Any, place: str, found: Found) -> None:
    """Bytes that neither a column nor the footer accounts for are looked through for texts."""
    facts = source.metadata
    spans = [(0, 4)]
    for group in range(facts.num_row_groups):
        for n in range(facts.num_columns):
            chunk = facts.row_group(group).column(n)
            starts = (chunk.data_page_offset, chunk.dictionary_page_offset)
            start = min(offset for offset in starts if offset)
            spans.append((start, start + chunk.total_compressed_size))
    size = path.stat().st_size
    spans.append((size - 8 - facts.serialized_size, size))
    gaps(path, spans, place, found)


def gaps(path: Path, spans: Iterable[tuple[int, int]], place: str, found: Found) -> None:
    """Bytes outside `spans`: a problem where they say something, and their text."""
    reached = 0
    with path.open("rb") as file:
        for start, end in sorted(spans):
            if start > reached:
                file.seek(reached)
                words = printable(file.read(min(start - reached, 1 << 24)))
                if words:
                    found.problem("gap", within(place, offset=reached))
                    found.text(within(place, part="gap"), words)
            reached = max(reached, end)


def printable(raw: bytes, shortest: int = 8) -> str:
    """The runs of at least `shortest` letters and digits in bytes, as `strings` would show them."""
    text = raw.decode("utf-8", "replace")
    runs = "".join(c if c.isprintable() and c != "�" else "\n" for c in text).split("\n")
    return "\n".join(run for run in runs if len(run) >= shortest)
