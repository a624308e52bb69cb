"""The released file: written by the platform from the numbers of `releasing`, in fixed bytes.

Rows by grouping, then dimensions; UTF-8 with BOM, LF. A submitted file is only ever compared with it (`differences`),
so nothing hidden in low digits, row order or layout can leave.
"""

from __future__ import annotations

import csv
import datetime
import hashlib
import io
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any, Literal

from sandbox.products.releasing import Table
from sandbox.products.spec import JobSpec
from sandbox.products.spec_parts import DIGITS

FORMULA_PREFIXES = "=+-@\t\r\n＝＋－＠"
"""First characters that make spreadsheets run a cell; full-width forms are read as such in Chinese locales."""
MISSING = "（缺失）"
"""Written for a missing dimension value, so that it differs from an empty text."""
MARGIN = "合计"
"""Written for a dimension that a margin sums over."""
_AS_IS = "（原值）"
"""Follows a value of the data that is one of these words itself."""
_TAKEN = re.compile(f"({MISSING}|{MARGIN})({_AS_IS})*")
_CONTEXT = Context(prec=400)
_BELIEVED = 15
"""Digits of a float that a decimal number of as many digits survives: more would be noise."""


@dataclass(frozen=True, slots=True)
class Artefact:
    """A written file: its name, bytes, digest, header and number of data rows."""

    name: str
    content: bytes
    sha256: str
    columns: tuple[str, ...]
    rows: int


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A place where a submitted file differs: data row counted from 1 (0: the file as a whole) and column.

    `what`: header or width (`layout`), a cell (`value`), a row that we do not have or have once (`row`), rows of ours
    that are not there (`missing`), rows in another order (`order`).
    """

    row: int
    column: str
    what: Literal["layout", "value", "row", "missing", "order"] = "value"


def write(name: str, table: Table) -> Artefact:
    """A cube's file, of the name `name`."""
    return _written(name, table.columns, lines(table))


def write_post(spec: JobSpec, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Artefact:
    """The file of a `post` statement's rows, in their fixed order.

    Its numbers come from rounded values. A column that has the name of a measure is written with the decimals that the
    measure declares, any other number with at most `DIGITS`, which is the most that a job can declare.
    """
    most = {name: 0 if m.is_count else max(0, m.digits) for name, m in spec.measures.items()}
    digits = [most.get(column, DIGITS) for column in columns]
    texts = [[_plain_text(v, d) for v, d in zip(row, digits, strict=True)] for row in rows]
    return _written(spec.file_name, columns, texts)


def _written(name: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Artefact:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([neutral(c) for c in columns])
    writer.writerows([neutral(text) for text in row] for row in rows)
    content = b"\xef\xbb\xbf" + buffer.getvalue().encode()
    return Artefact(name, content, hashlib.sha256(content).hexdigest(), tuple(columns), len(rows))


def _plain_text(value: Any, digits: int) -> str:
    if isinstance(value, float | Decimal) and not math.isfinite(value):
        return ""
    if isinstance(value, float):
        value = Decimal(f"{value:.{_BELIEVED - 1}e}")
    if isinstance(value, Decimal):
        exact = value.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP, context=_CONTEXT)
        text = format(exact, "f")
        text = text.rstrip("0").rstrip(".") if "." in text else text
        return "0" if text == "-0" else text
    return "" if value is None else _text(value)


def lines(table: Table) -> list[list[str]]:
    """The rows of a table as they are written, before `neutral`."""
    keys, measures = table.keys, list(table.cube.measures)
    mark = table.cube.suppress.as_ if table.cube.suppress else ""
    found = []
    for place, (row, grouping) in enumerate(zip(table.rows, table.groupings, strict=True)):
        numbers = zip(measures, row[keys:], strict=True)
        texts = [mark if (place, n) in table.hidden else _number_text(v, table.cube, n) for n, v in numbers]
        found.append(dimension_texts(table, row[:keys], grouping) + texts)
    return found


def dimension_texts(table: Table, values: Sequence[Any], grouping: int) -> list[str]:
    """The words for one row's cell: a margin and a missing value have their own, which no value of the data shares."""
    left = table.left_out[grouping]
    return [MARGIN if i in left else dimension_text(v) for i, v in enumerate(values)]


def dimension_text(value: Any) -> str:
    """A dimension value as text."""
    if value is None:
        return MISSING
    text = _text(value)
    return text + _AS_IS if _TAKEN.fullmatch(text) else text


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, float) and value == 0:
        return "0.0"
    return value.isoformat() if isinstance(value, datetime.date) else str(value)


def _number_text(value: Any, cube: Any, name: str) -> str:
    """A rounded number with the decimals that its job declares; nothing where there is none."""
    if value is None or isinstance(value, int):
        return "" if value is None else str(value)
    return format(value, f".{max(0, cube.measures[name].digits)}f")


def neutral(text: str) -> str:
    """`text` made harmless in spreadsheets: an apostrophe before what would run as a formula; numbers stay."""
    return "'" + text if is_formula(text) else text


def is_formula(text: str, prefixes: str = FORMULA_PREFIXES) -> bool:
    """Whether a spreadsheet could run this cell; a plain signed number could not."""
    stripped = text.lstrip(" \u00a0\u3000")
    if not stripped or stripped[0] not in prefixes:
        return False
    try:
        return not (stripped[0] in "+-" and math.isfinite(float(stripped)))
    except ValueError:
        return True


def differences(table: Table, submitted: bytes) -> list[Mismatch]:
    """Where a submitted CSV says something else than the platform's file of this table would.

    Encoding mark, line ends and trailing zeros are not compared: the platform writes its own bytes anyway. What a row
    says is: its cell by dimensions (a blank one is a missing value), every number exactly, its place among the rows.
    Raises `UnicodeDecodeError` or `csv.Error` where it is no UTF-8 CSV.
    """
    theirs = read_csv(submitted)
    header = [neutral(name) for name in table.columns]
    if not theirs or theirs[0] != header or any(len(row) != len(header) for row in theirs):
        return [Mismatch(0, "", "layout")]
    keys = table.keys
    written = [[neutral(text) for text in row] for row in lines(table)]
    ours = {tuple(row[:keys]): (place, row) for place, row in enumerate(written)}
    cells = [tuple(text or MISSING for text in row[:keys]) for row in theirs[1:]]
    return [*_by_row(theirs[1:], cells, ours, header), *_by_place([ours[c][0] for c in cells if c in ours], len(ours))]


Ours = Mapping[tuple[str, ...], tuple[int, list[str]]]
"""Our rows by cell, each with its place."""


def _by_row(
    theirs: Sequence[Sequence[str]], cells: Sequence[tuple[str, ...]], ours: Ours, header: Sequence[str]
) -> Iterator[Mismatch]:
    seen = Counter[tuple[str, ...]]()
    for number, (cell, row) in enumerate(zip(cells, theirs, strict=True), start=1):
        seen[cell] += 1
        if cell not in ours or seen[cell] > 1:
            yield Mismatch(number, "", "row")
            continue
        for name, a, b in list(zip(header, row, ours[cell][1], strict=True))[len(cell) :]:
            if not _same_number(a, b):
                yield Mismatch(number, name)


def _by_place(places: Sequence[int], count: int) -> Iterator[Mismatch]:
    turned = next((n for n in range(1, len(places)) if places[n] < places[n - 1]), None)
    if turned is not None:
        yield Mismatch(turned + 1, "", "order")
    if len(set(places)) < count:
        yield Mismatch(0, "", "missing")


def _same_number(a: str, b: str) -> bool:
    try:
        return a == b or Decimal(a) == Decimal(b)
    except ArithmeticError:
        return False


def read_csv(content: bytes) -> list[list[str]]:
    """Header and rows of UTF-8 CSV. Raises `UnicodeDecodeError` or `csv.Error` where it is none."""
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))
