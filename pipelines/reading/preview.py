"""What was decided about a table, and its first lines as they stand in the file beside what they became."""

from __future__ import annotations

import codecs
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from pipelines.reading.archive import open_member
from pipelines.reading.dialect import NO_DELIMITER, Record, parse
from pipelines.reading.reader import TableReading
from pipelines.reading.recipe import Recipe
from pipelines.reading.values import trimmed

_HEAD = 1 << 20
_MOST = 20_000  # records looked at: more than the head of a file holds
_BOMS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def decisions(reading: TableReading) -> dict[str, Any]:
    """What the reader decided, without any value of a record: JSON-able.

    `widths` counts records of the first megabyte by their number of cells, `missing` the spellings of "no value" by
    column, over all rows.
    """
    recipe = reading.recipe
    told = recipe.model_dump(mode="json", exclude={"columns", "missing", "source_digest"}, exclude_none=True)
    out: dict[str, Any] = {**told, "missing": _missing(reading)}
    if recipe.format == "csv":
        head = _head(reading)
        records = _records(head, recipe)
        out["bom"] = next((name for mark, name in _BOMS.items() if _first_bytes(reading).startswith(mark)), None)
        out["widths"] = dict(Counter(str(len(r.cells)) for r in records if any(c.strip() for c in r.cells)))
    elif recipe.format == "excel":
        out["merged"] = [_range(a, b) for a, b in _sheet(reading).merged_cell_ranges or ()]
    return out


def preview(reading: TableReading, count: int) -> dict[str, Any]:
    """The first `count` lines (sheet rows) with what each became, and the first `count` rows set aside or refused.

    A line is `{line, role, raw, cells}`; its role is preamble, header, blank, record, quarantined or aside (a section,
    a repeated header or a footer: then also in `aside` with its kind). These are values of the delivered file: for the
    eyes of the operator who has it, never for a log.
    """
    aside = reading.text_parquet.with_name("aside.parquet")
    refused = reading.quarantine_parquet
    return {
        "lines": list(islice(_lines(reading), count)),
        "aside": pl.read_parquet(aside).head(count).to_dicts() if aside.exists() else [],
        "quarantine": pl.read_parquet(refused).head(count).to_dicts() if refused is not None else [],
    }


def _missing(reading: TableReading) -> dict[str, dict[str, int]]:
    frame = pl.scan_parquet(reading.text_parquet)
    asked = [
        frame.select(trimmed(c.name).alias("s")).filter(pl.col("s").is_in(list(c.missing))).group_by("s").len()
        for c in reading.recipe.columns
    ]
    counted = pl.collect_all(asked, engine="streaming")
    found = {c.name: dict(sorted(t.rows())) for c, t in zip(reading.recipe.columns, counted, strict=True)}
    return {name: spellings for name, spellings in found.items() if spellings}


def _lines(reading: TableReading) -> Iterator[dict[str, Any]]:
    """Lines of the file with their roles: those of loaded records are recognised by their cells, in file order."""
    recipe = reading.recipe
    loaded = pl.scan_parquet(reading.text_parquet).head(_MOST).collect().iter_rows()
    if recipe.format not in ("csv", "excel", "html"):
        yield from ({"line": i, "role": "record", "raw": None, "cells": list(r)} for i, r in enumerate(loaded, 1))
        return
    text = _head(reading).split("\n") if recipe.format == "csv" else None
    records = _records("\n".join(text), recipe) if text is not None else _sheet_rows(reading)
    refused = _refused_lines(reading)
    waiting, line = next(loaded, None), 1
    for record in records:
        yield from ({"line": n, "role": "blank", "raw": "", "cells": None} for n in range(line, record.line))
        line = record.line + record.lines
        role, cells = _role(record, recipe, refused), None
        if role == "record" and _same(waiting, record.cells, recipe):
            cells, waiting = list(waiting or ()), next(loaded, None)
        elif role == "record":
            role = "aside"
        raw = "\n".join(text[record.line - 1 : line - 1]) if text is not None else "\t".join(record.cells)
        yield {"line": record.line, "role": role, "raw": raw, "cells": cells}


def _refused_lines(reading: TableReading) -> set[int]:
    """Every line of the records in quarantine, where the format has lines."""
    if reading.quarantine_parquet is None:
        return set()
    kept = pl.read_parquet(reading.quarantine_parquet).filter(pl.col("line").is_not_null()).select("line", "raw")
    return {n for line, raw in kept.iter_rows() for n in range(line, line + raw.count("\n") + 1)}


def _role(record: Record, recipe: Recipe, refused: set[int]) -> str:
    if recipe.header_row is not None and record.line <= recipe.header_row < record.line + record.lines:
        return "header"
    if not any(c.strip() for c in record.cells):
        return "blank"
    if record.line <= (recipe.skip or 0):
        return "preamble"
    return "quarantined" if record.line in refused else "record"


def _same(loaded: tuple[str | None, ...] | None, cells: Sequence[str], recipe: Recipe) -> bool:
    """Whether a record of the file is the loaded row; merged cells of a sheet may have been filled in the latter."""
    kept = [c.lstrip(" ") if recipe.trim else c for c in cells[: len(recipe.names or cells)]]
    if loaded is None:
        return False
    if recipe.format == "csv":
        return [c or "" for c in loaded] == kept
    return all(not mine or (theirs or "").endswith(mine) for theirs, mine in zip(loaded, kept, strict=False))


def _records(text: str, recipe: Recipe) -> list[Record]:
    delimiter = recipe.delimiter or NO_DELIMITER
    return list(parse(text, delimiter, recipe.quote or "", recipe.escape or '"'))


def _first_bytes(reading: TableReading) -> bytes:
    """The first megabyte of the file, or of its member that holds the table."""
    if reading.recipe.member is None:
        with reading.source.open("rb") as handle:
            return handle.read(_HEAD)
    with zipfile.ZipFile(reading.source) as archive, open_member(archive, reading.recipe.member) as handle:
        return handle.read(_HEAD)


def _head(reading: TableReading) -> str:
    """Whole lines of the first megabyte, with LF at their ends."""
    data = _first_bytes(reading)
    decoder = codecs.getincrementaldecoder(reading.recipe.encoding or "utf-8")("replace")
    text = decoder.decode(data, final=len(data) < _HEAD).removeprefix("\ufeff")
    text = text.replace("\r\n", "\n") if "\n" in text else text.replace("\r", "\n")
    return text if len(data) < _HEAD or "\n" not in text else text[: text.rindex("\n") + 1]


def _path(reading: TableReading) -> Path:
    """The workbook or page: unpacked beside the results where it is a member of an archive."""
    if reading.recipe.member is None:
        return reading.source
    target = reading.text_parquet.with_name("member")
    if not target.exists():
        with zipfile.ZipFile(reading.source) as archive, open_member(archive, reading.recipe.member) as handle:
            target.write_bytes(handle.read())
    return target


def _sheet(reading: TableReading) -> Any:
    from pipelines.reading.excel import open_book

    return open_book(_path(reading))[1](reading.recipe.sheet or "")


def _sheet_rows(reading: TableReading) -> Iterator[Record]:
    from pipelines.reading.excel import cell_text, sheet_grid
    from pipelines.reading.htmltables import grids

    if reading.recipe.format == "excel":
        rows = [[cell_text(c) for c in row] for row in sheet_grid(_sheet(reading))[0]]
    else:
        text = _path(reading).read_bytes().decode(reading.recipe.encoding or "utf-8", "replace")
        rows = grids([text])[int(reading.recipe.sheet or 1) - 1][0]
    return (Record(i, 1, cells) for i, cells in enumerate(rows, 1))


def _range(top: tuple[int, int], bottom: tuple[int, int]) -> str:
    return f"{_cell(*top)}:{_cell(*bottom)}"


def _cell(row: int, column: int) -> str:
    """`A1` for row 0 and column 0."""
    letters, column = "", column + 1
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(65 + rest) + letters
    return f"{letters}{row + 1}"
