"""The released file: written by the platform from the values it recomputed, in fixed bytes.

Rows sorted by dimensions, counts rounded to the policy's base, measures to their declared decimals, UTF-8 with BOM, LF.
A submitted file is only ever compared with it (`differences`), so nothing hidden in low digits, row order or layout
can leave.
"""

from __future__ import annotations

import csv
import datetime
import hashlib
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

from sandbox.products.spec import JobSpec
from sandbox.products.spec_parts import DIGITS, Measure

FORMULA_PREFIXES = "=+-@\t\r\n＝＋－＠"
"""First characters that make spreadsheets run a cell; full-width forms are read as such in Chinese locales."""
MISSING = "（缺失）"
"""Written for a missing dimension value, so that it differs from an empty text."""

_CONTEXT = Context(prec=400)
"""Wide enough for any double with its decimals."""
_GUARD = 3
"""Floats are rounded to this many more decimals first: the last bits depend on the order of additions, and a value that
is half a step in decimal must not fall to either side by them."""


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
    """A place where a submitted file differs: data row counted from 1 (0: header or layout) and column."""

    row: int
    column: str


def write(spec: JobSpec, rows: Sequence[Sequence[Any]], *, base: int) -> Artefact:
    """The product's file from recomputed rows (in the order of the product statement); `base` rounds the counts."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([neutral(name) for name in spec.output_columns])
    for row in rows:
        writer.writerow(released_row(spec, row, base))
    content = b"\xef\xbb\xbf" + buffer.getvalue().encode()
    digest = hashlib.sha256(content).hexdigest()
    return Artefact(spec.file_name, content, digest, tuple(spec.output_columns), len(rows))


def write_table(name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Artefact:
    """The file of a `post` statement's rows, in their fixed order. Its numbers come from values rounded before, so that
    they are written as they are, to at most `DIGITS` decimals."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([neutral(c) for c in columns])
    writer.writerows([neutral(_plain_text(value)) for value in row] for row in rows)
    content = b"\xef\xbb\xbf" + buffer.getvalue().encode()
    return Artefact(name, content, hashlib.sha256(content).hexdigest(), tuple(columns), len(rows))


def _plain_text(value: Any) -> str:
    if isinstance(value, float | Decimal) and math.isfinite(value):
        exact = Decimal(value).quantize(Decimal(1).scaleb(-DIGITS), rounding=ROUND_HALF_UP, context=_CONTEXT)
        text = format(exact, "f").rstrip("0").rstrip(".")
        return "0" if text == "-0" else text
    return "" if value is None or isinstance(value, float) else dimension_text(value)


def released_row(spec: JobSpec, row: Sequence[Any], base: int) -> list[str]:
    """One row as text, as it is released."""
    split = len(spec.dimensions)
    measures = zip(spec.measures.values(), row[split:], strict=True)
    return [*(neutral(dimension_text(v)) for v in row[:split]), *(measure_text(m, v, base) for m, v in measures)]


def dimension_text(value: Any) -> str:
    """A dimension value as text."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.datetime):
        return value.isoformat(sep=" ")
    return value.isoformat() if isinstance(value, datetime.date) else str(value)


def measure_text(measure: Measure, value: Any, base: int) -> str:
    """A measure as released: counts to multiples of `base`, others to declared decimals; nothing where there is
    none."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if measure.is_count:
        return str(rounded_count(int(value), base))
    exact = value if isinstance(value, Decimal) else Decimal(value)
    if isinstance(value, float):
        exact = exact.quantize(Decimal(1).scaleb(-measure.digits - _GUARD), rounding=ROUND_HALF_UP, context=_CONTEXT)
    step = Decimal(1).scaleb(-measure.digits)
    released = exact.quantize(step, rounding=ROUND_HALF_UP, context=_CONTEXT)
    return format(abs(released) if released == 0 else released, "f")


def rounded_count(value: int, base: int) -> int:
    """The nearest multiple of `base`, halves up."""
    return (2 * value + base) // (2 * base) * base


def count_interval(value: int, base: int) -> tuple[int, int]:
    """Smallest and largest count that are released as `value` is: what a reader learns."""
    released = rounded_count(value, base)
    low = released - base // 2
    return max(low, 0), low + base - 1


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


def differences(spec: JobSpec, rows: Sequence[Sequence[Any]], submitted: bytes, *, base: int) -> list[Mismatch]:
    """Where a submitted CSV says something else than the platform's file would.

    Encoding mark, line ends, row order and trailing zeros are not compared: the platform writes its own bytes anyway.
    """
    theirs = read_csv(submitted)
    header = [neutral(name) for name in spec.output_columns]
    if not theirs or theirs[0] != header or any(len(row) != len(header) for row in theirs):
        return [Mismatch(0, "")]
    keys = len(spec.dimensions)
    ours = {tuple(row[:keys]): row for row in (released_row(spec, row, base) for row in rows)}
    found, seen = [], set()
    for number, row in enumerate(theirs[1:], start=1):
        key = tuple(v or MISSING for v in row[:keys])
        if key in seen or key not in ours:
            found.append(Mismatch(number, ""))
            continue
        seen.add(key)
        pairs = zip(header[keys:], row[keys:], ours[key][keys:], strict=True)
        found += [Mismatch(number, name) for name, a, b in pairs if not _same_number(a, b)]
    return found + [Mismatch(0, "")] * (len(seen) < len(ours))


def _same_number(a: str, b: str) -> bool:
    try:
        return a == b or Decimal(a) == Decimal(b)
    except ArithmeticError:
        return False


def read_csv(content: bytes) -> list[list[str]]:
    """Header and rows of UTF-8 CSV. Raises `UnicodeDecodeError` or `csv.Error` where it is none."""
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))
