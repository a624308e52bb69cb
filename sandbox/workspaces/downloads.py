"""A result of simulated data as a file that cannot be taken for a real one.

The mark stands in the file's name, in XLSX in a sheet and the document's properties, in Parquet in the metadata; CSV
has no place for one inside. Written batch by batch as the rows arrive. A cell that a spreadsheet program would run as a
formula is written as text: with an apostrophe before it in CSV, as a string in XLSX.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from policies.text import Text
from sandbox.kernel.clock import CITY
from sandbox.kernel.errors import BadInput, LimitExceeded
from sandbox.kernel.identity import Actor
from sandbox.kernel.unit import Platform
from sandbox.workspaces import develop, metering, service, spelled
from sandbox.workspaces.repository import STATEMENT_CHARS

if TYPE_CHECKING:
    from sandbox.workspaces.broker import Broker
    from sandbox.workspaces.conversation import Parameters

MARK = "仿真数据"
LABEL = "仿真数据，非真实记录"
FORMATS = ("csv", "gb18030", "xlsx", "parquet")
ENDINGS = {"csv": "csv", "gb18030": "csv", "xlsx": "xlsx", "parquet": "parquet"}
MEDIA = {
    "csv": "text/csv; charset=utf-8", "gb18030": "text/csv; charset=gb18030",
    "parquet": "application/vnd.apache.parquet",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}  # fmt: skip
_FORMULA = re.compile(r"[ \u00a0\u3000]*[=+\-@＝＋－＠\t\r\n]")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")
_XLSX_ROWS, _XLSX_COLUMNS, _XLSX_TEXT, _XLSX_DIGITS = 1_048_575, 16_384, 32_767, 15


@dataclass(frozen=True, slots=True)
class Download:
    """A written file; whoever hands it out deletes it."""

    path: Path
    name: str
    media: str
    rows: int
    truncated: bool
    sha256: str


def download(
    platform: Platform, broker: Broker, actor: Actor, workspace_id: str, sql: str, format_: str, *,
    parameters: Parameters | None = None, cancel: threading.Event | None = None,
) -> Download:  # fmt: skip
    """Run `sql` on the simulated twin and write its result as a file; on record with its digest.

    Raises as `develop.query` does, BadInput for a statement without rows, LimitExceeded for more than the format holds.
    """
    with platform.begin(actor) as unit:
        workspace = service.require_usable(unit, workspace_id, "workspace:query")
        cover = [(Text("开发空间", "Workspace"), workspace.id), (Text("下载人", "Downloaded by"), actor.name),
                 (Text("时间", "Time"), unit.now.isoformat(timespec="seconds")),
                 (Text("语句", "Statement"), sql[:STATEMENT_CHARS])]  # fmt: skip
        stamp = unit.now.astimezone(CITY).strftime("%Y%m%d-%H%M%S")
    writing = _Writing(format_, cover)
    try:
        answer = develop.query(platform, broker, actor, workspace_id, sql, parameters=parameters, sink=writing.take,
                               cancel=cancel)  # fmt: skip
        path = writing.close(truncated=answer.truncated)
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        cut = f"_仅前{answer.row_count}行" if answer.truncated else ""
        name = f"查询结果_{MARK}_{stamp}{cut}.{ENDINGS[format_]}"
        with platform.begin(actor) as unit:
            unit.audit("workspace:download", "workspace", workspace_id, format=format_, rows=answer.row_count,
                       sha256=sha256, simulated=True)  # fmt: skip
            metering.record(unit, workspace_id, "download", size=path.stat().st_size)
    except BaseException:
        writing.forget()
        raise
    return Download(path, name, MEDIA[format_], answer.row_count, answer.truncated, sha256)


class _Writing:
    """The sink of a download: opens the file with the schema, then adds the rows."""

    def __init__(self, format_: str, cover: Sequence[tuple[Text, str]]) -> None:
        if format_ not in FORMATS:
            raise BadInput("download.format", Text("没有这种下载格式", "There is no such format"),
                           fix=Text(f"可选：{'、'.join(FORMATS)}", f"Choose {', '.join(FORMATS)}"))  # fmt: skip
        self._format, self._cover = format_, cover
        self._folder = Path(tempfile.mkdtemp(prefix="download-"))
        self._path = self._folder / f"result.{ENDINGS[format_]}"
        self._writer: Writer | None = None

    def take(self, part: pa.Schema | pa.RecordBatch) -> None:
        if isinstance(part, pa.Schema):
            self._writer = open_file(self._format, self._path, part, self._cover)
        elif self._writer is not None:
            self._writer.write(part)

    def close(self, *, truncated: bool) -> Path:
        if self._writer is None:
            raise BadInput("download.no_rows", Text("语句没有返回行，没有可下载的结果", "The statement gave no rows"),
                           fix=Text("请以 SELECT 结尾", "End with a SELECT"))  # fmt: skip
        self._writer.close(truncated=truncated)
        return self._path

    def forget(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


class Writer(Protocol):
    """A file in the making."""

    def write(self, batch: pa.RecordBatch) -> None:
        """The next rows."""

    def close(self, *, truncated: bool) -> None:
        """The end; `truncated`: there were more rows than a result may have."""


def open_file(format_: str, path: Path, schema: pa.Schema, cover: Sequence[tuple[Text, str]]) -> Writer:
    """A writer of `format_` (one of FORMATS) to `path`; `cover`: lines that say where the rows come from.

    Raises LimitExceeded for more columns than the format holds.
    """
    return _WRITERS[format_](path, schema, cover)


def neutral(text: str) -> str:
    """A cell that no spreadsheet program takes for a formula; plain numbers stay."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def cell(value: Any) -> str:
    """A value of `spelled` as the text of a cell: missing as nothing, nested as JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)


class _Csv:
    encoding = "utf-8-sig"
    """with a byte order mark, by which spreadsheet programs know Chinese"""

    def __init__(self, path: Path, schema: pa.Schema, cover: Sequence[tuple[Text, str]]) -> None:
        self._file = path.open("w", encoding=self.encoding, errors="replace", newline="")
        self._writer = csv.writer(self._file, lineterminator="\r\n")
        self._writer.writerow(map(neutral, schema.names))

    def write(self, batch: pa.RecordBatch) -> None:
        self._writer.writerows([neutral(cell(value)) for value in row] for row in spelled.rows(batch))

    def close(self, *, truncated: bool) -> None:
        self._file.close()


class _Gb18030(_Csv):
    encoding = "gb18030"


class _Parquet:
    def __init__(self, path: Path, schema: pa.Schema, cover: Sequence[tuple[Text, str]]) -> None:
        import pyarrow.parquet as pq

        told = {"mark": MARK, "simulated": "true", **{label.en: value for label, value in cover}}
        self._schema = _plain(schema).with_metadata(told)
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")

    def write(self, batch: pa.RecordBatch) -> None:
        table = pa.table([_storable(c) for c in batch.columns], schema=self._schema)
        self._writer.write_table(table)

    def close(self, *, truncated: bool) -> None:
        self._writer.add_key_value_metadata({"truncated": str(truncated).lower()})
        self._writer.close()


def _plain(schema: pa.Schema) -> pa.Schema:
    """The schema with unique names and without types that Parquet cannot hold (unions, intervals become text)."""
    seen: dict[str, int] = {}
    fields = []
    for field in schema:
        seen[field.name] = seen.get(field.name, 0) + 1
        name = field.name if seen[field.name] == 1 else f"{field.name}_{seen[field.name]}"
        kept = field.type if _holds(field.type) else pa.string()
        fields.append(pa.field(name, kept))
    return pa.schema(fields)


def _holds(type_: pa.DataType) -> bool:
    nested = [type_.field(n).type for n in range(type_.num_fields)] if type_.num_fields else []
    unfit = pa.types.is_union(type_) or pa.types.is_interval(type_) or isinstance(type_, pa.BaseExtensionType)
    return not unfit and all(_holds(t) for t in nested)


def _storable(column: pa.Array) -> pa.Array:
    if _holds(column.type):
        return column
    return pa.array([None if v is None else cell(v) for v in spelled.array(column)], pa.string())


class _Xlsx:
    def __init__(self, path: Path, schema: pa.Schema, cover: Sequence[tuple[Text, str]]) -> None:
        import xlsxwriter

        if len(schema.names) > _XLSX_COLUMNS:
            raise LimitExceeded("download.columns", Text("Excel 放不下这么多列", "Excel does not hold so many columns"),
                                fix=Text("请减少列，或选择 Parquet", "Take fewer columns, or Parquet"))  # fmt: skip
        options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False,
                   "strings_to_numbers": False}  # fmt: skip
        self._book = xlsxwriter.Workbook(str(path), options)
        about = {"title": f"查询结果（{MARK}）", "subject": LABEL, "keywords": MARK, "comments": LABEL}
        self._book.set_properties(about)
        self._book.set_custom_property("simulated", True)
        self._cover = [(Text("说明", "Note"), LABEL), *((label, value) for label, value in cover)]
        self._sheet = self._book.add_worksheet(f"结果_{MARK}")
        self._sheet.freeze_panes(1, 0)
        head = self._book.add_format({"bold": True, "num_format": "@"})
        for place, name in enumerate(schema.names):
            self._sheet.write_string(0, place, name[:_XLSX_TEXT], head)
        self._text = self._book.add_format({"num_format": "@"})
        self._row = 0

    def write(self, batch: pa.RecordBatch) -> None:
        for row in spelled.rows(batch):
            if self._row >= _XLSX_ROWS:
                return
            self._row += 1
            for place, value in enumerate(row):
                self._put(place, value)

    def _put(self, place: int, value: Any) -> None:
        """Numbers that a spreadsheet holds exactly as numbers; everything else, long codes above all, as text."""
        if isinstance(value, bool):
            self._sheet.write_boolean(self._row, place, value)
        elif isinstance(value, float) or (isinstance(value, int) and len(str(abs(value))) <= _XLSX_DIGITS):
            self._sheet.write_number(self._row, place, value)
        elif value is not None:
            self._sheet.write_string(self._row, place, cell(value)[:_XLSX_TEXT], self._text)

    def close(self, *, truncated: bool) -> None:
        about = self._book.add_worksheet("说明")
        lines = [*self._cover, (Text("是否截断", "Truncated"), "是，只含前面的行" if truncated else "否")]
        for row, (label, value) in enumerate(lines):
            about.write_string(row, 0, f"{label.zh} · {label.en}", self._text)
            about.write_string(row, 1, value[:_XLSX_TEXT], self._text)
        self._book.close()


_WRITERS: dict[str, Callable[[Path, pa.Schema, Sequence[tuple[Text, str]]], Writer]] = {
    "csv": _Csv, "gb18030": _Gb18030, "xlsx": _Xlsx, "parquet": _Parquet,
}  # fmt: skip
