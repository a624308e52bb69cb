"""Text tables: the body is read by DuckDB with the dialect spelled out, and every line is accounted for."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pipelines.reading.dialect import cells_of, left_open
from pipelines.reading.findings import refusal
from pipelines.reading.landing import ROWS_IN_GROUP, Shape, Sink, is_footer
from pipelines.reading.layout import is_section
from pipelines.reading.limits import MOST_ERRORS, bounded_memory
from pipelines.reading.source import blocks, line_ends
from pipelines.reading.transcode import LONE_RETURN

_REASONS = {
    "LINE SIZE OVER MAXIMUM": "line_too_long",
    "UNQUOTED VALUE": "broken_quote",
    "INVALID STATE": "broken_quote",
    "INVALID ENCODING": "bad_encoding",
    "TOO MANY COLUMNS": "too_many_columns",
    "MISSING COLUMNS": "too_few_columns",
}  # the first that applies names the record: a quote that swallows rows brings the others with it
_LONG_LINE = 64_000_000
_KEPT_TEXT = 10_000  # DuckDB keeps this many bytes of a refused record
_FOOTER_LINES = 32
_MOST_REFUSED = 256_000_000  # bytes of refused records that are held in memory
_AHEAD = 200  # lines in which an open quote must be closed: a record of more is refused
_DICTIONARY = 10_000  # distinct values of a column and row group up to which it is stored as a dictionary
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Body:
    """The UTF-8 file with the records, and its dialect. `head` is the byte at which the records begin, after
    `head_lines` lines."""

    path: Path
    head: int
    head_lines: int
    delimiter: str
    quote: str
    escape: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A record the parser refused; `place` is its byte in the UTF-8 file, `lines` and `empty` its physical lines."""

    place: int
    reason: str
    raw: bytes
    lines: int
    empty: int


def load(body: Body, sink: Sink, work: Path, *, careful: bool) -> list[Refused]:
    """Read every record into `sink` and return those refused.

    Args:
        careful: first take out the lines whose quote never closes. Such a line swallows the rows after it, so a caller
            who sees broken quotes over several lines, or lines that do not add up, reads again with this on.
    """
    lost = unclosed(body, sink.shape.width) if careful and body.quote else []
    spans = [(0, body.head), *((p, p + n) for p, n in lost)]
    parsed, skip = body.path, 0
    if lost or _head_has_quotes(body):
        parsed = work / "body.utf8"
        _without(body.path, parsed, spans)
    else:
        spans, skip = [], body.head_lines
    found = _parse(parsed, skip, body, sink, _LONG_LINE if careful else None)
    out = [_located(r, spans) for r in found]
    out += [_unclosed_record(body.path, place, size) for place, size in lost]
    if parsed != body.path:
        parsed.unlink()
    return sorted(out, key=lambda r: r.place)


def suspicious(found: Sequence[Refused]) -> bool:
    """Whether the parser stumbled in a way that may have cost good rows, so that a careful read is due."""
    return any(r.reason == "line_too_long" or (r.reason == "broken_quote" and r.lines > 1) for r in found)


def ghost_values(body: Body, width: int) -> int:
    """How many records have something in the last column."""
    import duckdb

    with _connection(body.path) as con:
        try:
            query = _source(body.path, body.head_lines, body, width, None)
            return int(con.execute(f"SELECT count(nullif(c{width - 1}, '')) {query}").fetchall()[0][0])
        except duckdb.Error:
            raise refusal("unreadable") from None


def _parse(path: Path, skip: int, body: Body, sink: Sink, longest: int | None) -> list[Refused]:
    import duckdb

    sink.parsed_path.unlink(missing_ok=True)
    if path.stat().st_size == 0:
        return []
    with _connection(path) as con:
        try:
            source = _source(path, skip, body, sink.shape.width, longest)
            # Dictionaries of many values cost more than they save, and so do filters of values that nobody looks for;
            # snappy is what every reader of the lake knows.
            with bounded_memory(con.interrupt):
                con.execute(
                    f"COPY (SELECT {_cells(sink.shape)} {source}) TO {_literal(str(sink.parsed_path))} (FORMAT parquet,"
                    f" COMPRESSION snappy, ROW_GROUP_SIZE {ROWS_IN_GROUP}, DICTIONARY_SIZE_LIMIT {_DICTIONARY},"
                    " WRITE_BLOOM_FILTER false)"
                )
            size, errors = con.execute(
                "SELECT coalesce(sum(strlen(csv_line)), 0), count(*) FROM reject_errors"
            ).fetchall()[0]
            if errors >= MOST_ERRORS:
                raise refusal("quarantine_too_many", limit=MOST_ERRORS)
            if size > _MOST_REFUSED:
                raise refusal("quarantine_too_large", size=size // 1_000_000, limit=_MOST_REFUSED // 1_000_000)
            rejects = con.execute(
                "SELECT line_byte_position - 1, list_sort(list(DISTINCT error_type::VARCHAR)), any_value(csv_line)"
                " FROM reject_errors GROUP BY 1 ORDER BY 1"
            ).fetchall()
        except duckdb.Error:
            raise refusal("unreadable") from None
    return [_refused(path, place, types, text, body.quote) for place, types, text in rejects]


def _cells(shape: Shape) -> str:
    """The columns of a record as they land, without the ghost column."""
    cells = []
    for i, name in enumerate(shape.names):
        cell = f"replace(c{i}, {_literal(LONE_RETURN)}, chr(13))" if shape.returns else f"c{i}"
        cell = f"ltrim({cell}, ' ')" if shape.trim else cell
        cells.append(f"{cell} AS {_identifier(name)}")
    return ", ".join(cells)


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _connection(path: Path) -> Any:
    import duckdb

    return duckdb.connect(config={"memory_limit": "2GB", "temp_directory": str(path.parent / "spill")})


def _source(path: Path, skip: int, body: Body, width: int, longest: int | None) -> str:
    columns = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(width))
    escape = body.escape if body.quote else ""
    limit = f", max_line_size={longest}" if longest else ""
    return (
        f"FROM read_csv({_literal(str(path))}, auto_detect=false, header=false, skip={skip}, new_line='\\n',"
        f" delim={_literal(body.delimiter)}, quote={_literal(body.quote)}, escape={_literal(escape)},"
        f" columns={{{columns}}}, strict_mode=true, store_rejects=true, rejects_limit={MOST_ERRORS}{limit})"
    )


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _refused(path: Path, place: int, types: list[str], text: str, quote: str) -> Refused:
    reason = next((name for error, name in _REASONS.items() if error in types), "unreadable")
    kept = text.encode()
    raw = kept
    if reason in ("bad_encoding", "line_too_long") or len(kept) >= _KEPT_TEXT - 8:
        raw = _record_at(path, place, quote, kept.count(b"\n") + 1)
    pieces = raw.removesuffix(b"\n").split(b"\n")
    return Refused(place, reason, raw, len(pieces), sum(not p for p in pieces))


def _record_at(path: Path, place: int, quote: str, lines: int) -> bytes:
    """The bytes of a record from its place: at least `lines` lines, and on until its quotes are even. Raises
    `reading.quarantine_too_large` for one that quarantine does not take."""
    mark = quote.encode() or b"\0"
    held: list[bytes] = []
    is_open, size = False, 0
    with path.open("rb") as handle:
        handle.seek(place)
        while (len(held) < lines or is_open) and (line := handle.readline()):
            held.append(line)
            size += len(line)
            if size > _MOST_REFUSED:
                raise refusal("quarantine_too_large", size=size // 1_000_000, limit=_MOST_REFUSED // 1_000_000)
            is_open ^= bool(line.count(mark) % 2)
    return b"".join(held).removesuffix(b"\n")


def _head_has_quotes(body: Body) -> bool:
    with body.path.open("rb") as handle:
        return bool(body.quote) and body.quote.encode() in handle.read(body.head)


def unclosed(body: Body, width: int) -> list[tuple[int, int]]:
    """Lines (byte place, size) that open a quote no later line closes into a record of the right width.

    A record of several lines is right when its joined text has `width` cells; a line that only fits together with a
    stranger's quote is taken alone, so that one bad quote costs one line. Nobody looks farther ahead than `_AHEAD`.
    """
    lost: list[tuple[int, int]] = []
    mark, place = body.quote.encode(), body.head
    ahead: deque[bytes] = deque()
    with body.path.open("rb") as handle:
        handle.seek(body.head)
        while line := ahead.popleft() if ahead else handle.readline():
            text = line.removesuffix(b"\n")
            if mark in line and not _stands_alone(text, body, width):
                odd = line.count(mark) % 2
                rest = _to_the_close(ahead, handle, mark) if odd else 0
                record = [text, *(one.removesuffix(b"\n") for one in islice(ahead, rest))]
                if rest and _is_record(record, body, width):
                    place += sum(len(ahead.popleft()) for _ in range(rest))
                elif odd or left_open(text.decode("utf-8", "replace"), *_marks(body)):
                    lost.append((place, len(text) + 1))
            place += len(line)
    return lost


def _to_the_close(ahead: deque[bytes], handle: BinaryIO, mark: bytes) -> int:
    """How many of the next lines, read into `ahead`, it takes to close a quote; 0 where none of them does."""
    size = 0
    for n in range(_AHEAD):
        if n == len(ahead):
            ahead.append(handle.readline())
        size += len(ahead[n])
        if not ahead[n] or size > _MOST_REFUSED:
            break
        if ahead[n].count(mark) % 2:
            return n + 1
    return 0


def _marks(body: Body) -> tuple[str, str, str]:
    return body.delimiter, body.quote, body.escape


def _is_record(lines: list[bytes], body: Body, width: int) -> bool:
    """Whether the lines are one record of `width` cells, and none of the inner ones is a record of its own."""
    texts = [line.decode("utf-8", "replace") for line in lines]
    cells = cells_of("\n".join(texts), *_marks(body), strict=True)
    return len(cells) == width and not any(len(cells_of(t, *_marks(body))) == width for t in texts[1:-1])


def _stands_alone(line: bytes, body: Body, width: int) -> bool:
    """Whether the line is a record whose quotes open nothing, because none stands at the start of a cell (`5"屏`)."""
    cells = line.decode("utf-8", "replace").split(body.delimiter)
    return len(cells) == width and not any(cell.startswith(body.quote) for cell in cells)


def _unclosed_record(path: Path, place: int, size: int) -> Refused:
    with path.open("rb") as handle:
        handle.seek(place)
        raw = handle.read(size).removesuffix(b"\n")
    return Refused(place, "broken_quote", raw, 1, 0)


def _without(source: Path, target: Path, spans: Sequence[Span]) -> None:
    """A copy without the given byte ranges."""
    at = 0
    with target.open("wb") as out:
        for start, end in [*sorted(spans), (source.stat().st_size, source.stat().st_size)]:
            if start > at:
                for block in blocks(source, at, start):
                    out.write(block)
            at = max(at, end)


def _located(found: Refused, spans: Sequence[Span]) -> Refused:
    """The same record with its place in the file before the ranges were taken out."""
    place = found.place
    for start, end in sorted(spans):
        if place >= start:
            place += end - start
    return Refused(place, found.reason, found.raw, found.lines, found.empty)


def sort_out(
    found: Sequence[Refused], sink: Sink, body: Body, places: dict[int, tuple[int, int | None]], last: int
) -> int:
    """Put each refused record where it belongs: blank line, section, footer or quarantine; returns its blank lines.

    Args:
        places: byte in the UTF-8 file → (physical line, byte in the source).
        last: number of the file's last line.
    """
    blank = 0
    shape = sink.shape
    for record in found:
        text = record.raw.decode("utf-8", "replace")
        line, byte_place = places[record.place]
        cells = [] if record.reason == "bad_encoding" else cells_of(text, *_marks(body))
        alone = len([c for c in cells if c.strip()]) == 1 and record.lines == 1
        if not text.strip() and "\n" not in text:
            sink.accounting.blank += 1
        elif alone and shape.footers and last - line < _FOOTER_LINES and is_footer(cells, shape.first_kind):
            sink.set_aside("footer", cells)
        elif alone and shape.sections and cells[0].strip() and is_section(cells[0], shape.first_kind):
            sink.set_aside("section", cells)
        else:
            raw = record.raw.hex() if record.reason == "bad_encoding" else text
            sink.refuse(line, byte_place, record.reason, raw)
        blank += record.empty
    return blank


def places_of(
    found: Sequence[Refused], utf8: Path, source: Path, encoding: str, source_start: int
) -> dict[int, tuple[int, int | None]]:
    """For each refused record: its physical line (from 1) and the byte at which that line begins in the source."""
    if not found:
        return {}
    wanted = sorted({r.place for r in found})
    lines = _line_numbers(utf8, wanted)
    if utf8 == source:
        return {place: (line, place) for place, line in zip(wanted, lines, strict=True)}
    starts = _line_starts(source, lines, encoding, source_start)
    return {place: (line, starts[line]) for place, line in zip(wanted, lines, strict=True)}


def _line_numbers(path: Path, wanted: Sequence[int]) -> list[int]:
    numbers, at, line = [], 0, 1
    queue = list(wanted)
    for block in blocks(path):
        inside = queue[: bisect_right(queue, at + len(block) - 1)]
        ends = line_ends(block) + at
        numbers += (line + np.searchsorted(ends, inside)).tolist()
        queue = queue[len(inside) :]
        line += len(ends)
        at += len(block)
    return numbers


def _line_starts(path: Path, lines: Sequence[int], encoding: str, start: int) -> dict[int, int | None]:
    """Byte at which each line begins; None for encodings whose line ends are not one unit."""
    units = {"utf-8": "u1", "gb18030": "u1", "utf-16-le": "<u2", "utf-16-be": ">u2"}.get(encoding)
    if units is None:
        return dict.fromkeys(lines)
    kind = np.dtype(units)
    found: dict[int, int | None] = {1: start}
    line, at = 1, start
    for block in blocks(path, start):
        values = np.frombuffer(block, dtype=kind)
        ends = np.flatnonzero(values == 10)
        for wanted in lines:
            if line < wanted <= line + len(ends):
                found[wanted] = at + (int(ends[wanted - line - 1]) + 1) * kind.itemsize
        line += len(ends)
        at += len(block)
    return {n: found.get(n) for n in lines}
