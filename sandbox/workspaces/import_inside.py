"""Reads one file that a merchant brings, inside the jail, and ends in one plain Parquet table; or looks for personal
data in that table. Two tasks of two jails: whoever breaks the reader with a crafted file has not broken the detector.

Everything is read as text first and types are inferred over all rows; codes stay text. What is not clear is refused
with its reason, never guessed: a merchant can repair its own file.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sandbox.workspaces.inside import Setting
from sandbox.workspaces.protocol import Channel
from sandbox.workspaces.script_inside import use_cores

OUTPUT = "table.parquet"
_DELIMITERS = (",", "\t", ";", "|")
_SNIFFED_LINES = 200
_INTEGER = r"^-?(0|[1-9][0-9]{0,17})$"
_NUMBER = r"^-?(0|[1-9][0-9]{0,14})(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}( 00:00:00)?$"
_MOMENT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}$"
_FORMULA = r"^[=+@]|^-[^0-9.]"


class Refused(Exception):
    """The file is not taken: `code` says why, `detail` (short text or numbers) where."""

    def __init__(self, code: str, **detail: Any) -> None:
        super().__init__(code)
        self.code, self.detail = code, detail


def run(setting: Setting, data: Channel, control: Channel) -> None:
    """`extra["phase"]`: "read" writes the table to the output and reports it, "detect" reports what is in it."""
    use_cores(setting.limits.threads)
    try:
        report = _detect(setting.tables["file"]) if setting.extra["phase"] == "detect" else _read(setting)
        data.send({"is": "done", "report": report})
    except Refused as refused:
        data.send({"is": "refused", "code": refused.code, "detail": refused.detail})
    except MemoryError:
        raise
    except BaseException as error:  # a panic of polars is no Exception
        data.send({"is": "refused", "code": "unreadable", "detail": {"class": type(error).__name__}})


# ---- reading ----


def _read(setting: Setting) -> dict[str, Any]:
    import polars as pl

    extra = setting.extra
    content = Path(setting.tables["file"]).read_bytes()
    kind, frame, facts = _frame(content, extra)
    if frame.width == 0 or frame.height == 0:
        raise Refused("empty")
    if frame.height > extra["rows"] or frame.width > extra["columns"]:
        raise Refused("too_large", rows=frame.height, columns=frame.width)
    frame = frame.rename(dict(zip(frame.columns, _names(frame.columns), strict=True)))
    formulas = _formulas(frame)
    frame = frame.select(_typed(frame[name]) for name in frame.columns)
    place = Path(str(setting.output), OUTPUT)
    frame.write_parquet(place, compression="zstd")
    columns = [
        {"name": c.name, "type": str(c.dtype), "missing": c.null_count(), "distinct": c.n_unique()}
        for c in frame.get_columns()
    ]
    checked = pl.scan_parquet(place).select(pl.len()).collect().item()
    return {"kind": kind, "rows": checked, "columns": columns, "formulas": formulas, **facts}


def _frame(content: bytes, extra: dict[str, Any]) -> tuple[str, Any, dict[str, Any]]:
    """(kind by content, the rows, what was decided); the name of the file is never asked."""
    import polars as pl

    if content.startswith(b"PK\x03\x04"):
        _refuse_bomb(content, extra)
        return "xlsx", *_workbook(content, extra["sheet"])
    if content.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        return "xls", *_workbook(content, extra["sheet"])
    if content.startswith(b"PAR1"):
        _refuse_claims(content, extra)
        return "parquet", _flat(pl.read_parquet(io.BytesIO(content))), {}
    for magic in (b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!", b"BZh", b"\xfd7zXZ", b"%PDF", b"\x89PNG", b"MZ", b"\x7fELF"):
        if content.startswith(magic):
            raise Refused("kind")
    text, encoding = _decoded(content)
    if text.lstrip()[:1] in ("{", "["):
        return "json", _flat(_json(text)), {"encoding": encoding}
    frame, delimiter = _delimited(text)
    return "csv", frame, {"encoding": encoding, "delimiter": delimiter}


def _refuse_bomb(content: bytes, extra: dict[str, Any]) -> None:
    """A workbook whose parts unfold too far, with macros, or another kind of archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise Refused("unreadable") from error
    names = {p.filename for p in parts}
    if "xl/workbook.xml" not in names and "xl/workbook.bin" not in names:
        raise Refused("archive")
    if any(n.lower().endswith("vbaproject.bin") for n in names):
        raise Refused("macros")
    unfolded = sum(p.file_size for p in parts)
    if unfolded > extra["unpacked_mb"] << 20 or len(parts) > 2000:
        raise Refused("bomb", megabytes=unfolded >> 20)


def _refuse_claims(content: bytes, extra: dict[str, Any]) -> None:
    """By the file's own account, before a page is unfolded; what lies here meets the jail's memory limit."""
    import pyarrow.parquet as pq

    facts = pq.ParquetFile(io.BytesIO(content)).metadata
    unfolded = sum(facts.row_group(n).total_byte_size for n in range(facts.num_row_groups))
    if facts.num_rows > extra["rows"] or facts.num_columns > extra["columns"]:
        raise Refused("too_large", rows=facts.num_rows, columns=facts.num_columns)
    if unfolded > extra["unpacked_mb"] << 20:
        raise Refused("bomb", megabytes=unfolded >> 20)


def _decoded(content: bytes) -> tuple[str, str]:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        order = ("utf-16",)
    else:
        if b"\0" in content:
            raise Refused("kind")
        order = ("utf-8-sig", "gb18030")  # type: ignore[assignment]
    for encoding in order:
        try:
            return content.decode(encoding), encoding.removesuffix("-sig")
        except UnicodeDecodeError:
            continue
    raise Refused("encoding")


def _delimited(text: str) -> tuple[Any, str]:
    import polars as pl

    text = text.lstrip("\r\n")
    lines = text.splitlines()[:_SNIFFED_LINES]
    if not lines:
        raise Refused("empty")
    delimiter = _delimiter(lines)
    header = next(csv.reader([lines[0]], delimiter=delimiter))
    _refuse_no_header(header)
    try:
        frame = pl.read_csv(
            text.encode(), separator=delimiter, has_header=False, skip_rows=1, infer_schema=False,
            new_columns=[str(n) for n in range(len(header))], truncate_ragged_lines=False,
        )  # fmt: skip
    except pl.exceptions.NoDataError as error:
        raise Refused("empty") from error
    except pl.exceptions.ComputeError as error:
        raise _ragged(text, delimiter, len(header)) from error
    if frame.width != len(header):
        raise _ragged(text, delimiter, len(header))
    return frame.rename(dict(zip(frame.columns, _unique(header), strict=True))), delimiter


def _delimiter(lines: list[str]) -> str:
    """The one by which nearly all lines have the same number of cells, more than one."""
    best, found = (0.0, 1), None
    for candidate in _DELIMITERS:
        widths = [len(row) for row in csv.reader(lines, delimiter=candidate) if row]
        width = widths[0] if widths else 1
        share = widths.count(width) / max(1, len(widths))
        if width > 1 and share >= 0.9 and (share, width) > best:
            best, found = (share, width), candidate
    if found is None and any(d in line for line in lines for d in _DELIMITERS):
        raise Refused("delimiter")
    return found or ","


def _refuse_no_header(header: list[str]) -> None:
    cells = [cell.strip() for cell in header]
    if any(not cell or cell.replace(".", "", 1).replace("-", "", 1).isdigit() for cell in cells):
        raise Refused("header")


def _ragged(text: str, delimiter: str, width: int) -> Refused:
    odd: list[int] = []
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        for row in reader:
            if row and len(row) != width:
                odd.append(reader.line_num)
            if len(odd) == 5:
                break
    except csv.Error:
        odd.append(reader.line_num)
    return Refused("ragged", lines="、".join(map(str, odd)), width=width)


def _json(text: str) -> Any:
    import polars as pl

    single = text.lstrip().startswith("[")
    try:
        found = (pl.read_json if single else pl.read_ndjson)(io.BytesIO(text.encode()), infer_schema_length=None)
    except pl.exceptions.PolarsError as error:
        raise Refused("json") from error
    if found.width == 0 or (found.width == 1 and found.columns[0] in ("", "column_0", "column")):
        raise Refused("json")
    return found


def _workbook(content: bytes, sheet: str) -> tuple[Any, dict[str, Any]]:
    import fastexcel
    import polars as pl

    book = fastexcel.read_excel(content)
    names = list(book.sheet_names)
    if sheet and sheet not in names:
        raise Refused("no_sheet", sheets="、".join(names)[:300])
    filled: dict[str, Any] = {}
    for name in [sheet] if sheet else names:
        found = book.load_sheet(name, header_row=None, dtypes="string").to_polars()
        found = found.filter(~pl.all_horizontal(pl.all().is_null())) if found.width else found
        if found.height:
            filled[name] = found
    if len(filled) > 1:
        raise Refused("several_sheets", sheets="、".join(filled)[:300])
    if not filled:
        raise Refused("empty")
    ((name, found),) = filled.items()
    header = [str(cell or "") for cell in found.row(0)]
    _refuse_no_header(header)
    return found.slice(1).rename(dict(zip(found.columns, _unique(header), strict=True))), {"sheet": name[:100]}


def _flat(frame: Any) -> Any:
    """Nested values as JSON text; bytes are refused."""
    import polars as pl

    if any(dtype == pl.Binary or dtype == pl.Object for dtype in frame.dtypes):
        raise Refused("binary")
    nested = [name for name, dtype in frame.schema.items() if dtype.is_nested()]
    odd = [n for n, d in frame.schema.items() if d in (pl.Categorical, pl.Enum, pl.Null)]
    return frame.with_columns(
        *(pl.Series(n, [None if v is None else _as_json(v) for v in frame[n]], dtype=pl.String) for n in nested),
        *(pl.col(n).cast(pl.String) for n in odd),
    )


def _as_json(value: Any) -> str:
    import polars as pl

    plain = value.to_list() if isinstance(value, pl.Series) else value
    return json.dumps(plain, ensure_ascii=False, default=str)


def _names(names: list[str]) -> list[str]:
    """Names without control characters, none empty, none twice, at most 100 characters."""
    return _unique(["".join(c for c in n if c.isprintable()).strip()[:100] or "列" for n in names])


def _unique(names: list[str]) -> list[str]:
    taken: set[str] = set()

    def fresh(name: str) -> Iterator[str]:
        yield name
        number = 2
        while True:
            yield f"{name}_{number}"
            number += 1

    found = []
    for name in names:
        chosen = next(n for n in fresh(name) if n.casefold() not in taken)
        taken.add(chosen.casefold())
        found.append(chosen)
    return found


def _formulas(frame: Any) -> int:
    """Cells that a spreadsheet would take for a formula; they stay text here."""
    import polars as pl

    texts = [pl.col(n).str.contains(_FORMULA).sum() for n, d in frame.schema.items() if d == pl.String]
    return int(sum(v or 0 for v in frame.select(texts).row(0))) if texts else 0


def _typed(column: Any) -> Any:
    """A text column as number, date or moment where every value is one; a leading zero or a long code stays text."""
    import polars as pl

    if column.dtype != pl.String:
        return column
    column = column.replace("", None)
    if column.null_count() == len(column):
        return column
    for pattern, dtype in ((_INTEGER, pl.Int64), (_NUMBER, pl.Float64)):
        if column.str.contains(pattern).all():
            return column.cast(dtype)
    try:
        if column.str.contains(_DATE).all():
            return column.str.head(10).str.to_date("%Y-%m-%d")
        if column.str.contains(_MOMENT).all():
            return column.str.replace("T", " ", literal=True).str.to_datetime("%Y-%m-%d %H:%M:%S")
    except pl.exceptions.PolarsError:  # 2026-02-30 has the shape and is no day
        return column
    return column


# ---- detecting ----


def _detect(place: str) -> dict[str, Any]:
    import polars as pl

    from sandbox.detection.scan import scan_table

    scan = scan_table(pl.scan_parquet(place))
    found = [
        {"column": column.name, "entity": e.entity, "cells": e.hits, "share": e.share, "decision": e.decision,
         "examples": e.examples[:3]}
        for column in scan.columns for e in column.decided("is", "contains")
    ]  # fmt: skip
    return {"rows": scan.rows, "found": found[:500]}
