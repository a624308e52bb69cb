"""Delimiter and quoting of a text table, judged by how many records agree in their number of cells."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipelines.reading.findings import refusal
from pipelines.reading.kinds import kind
from pipelines.reading.limits import refuse_wide
from pipelines.reading.recipe import Recipe

DELIMITERS = (",", "\t", "|", ";", "\x01", "^")
NO_DELIMITER = "\x1f"
_LINES_IN_A_RECORD = 200
_MUST_AGREE = 0.5
_AS_GOOD = 0.02


@dataclass(frozen=True, slots=True)
class Record:
    """One parsed record of the sample; `line` counts physical lines from 1."""

    line: int
    lines: int
    cells: list[str]


@dataclass(frozen=True, slots=True)
class Dialect:
    """`agreement` is the share of records with the usual width."""

    delimiter: str
    quote: str
    escape: str
    width: int
    agreement: float
    records: list[Record]


def dialect(text: str, hints: Recipe) -> Dialect:
    """The dialect of a sample; what the recipe names is kept.

    Raises:
        UserError: one column, several equally good delimiters, or too little agreement.
    """
    if hints.delimiter == "":
        return _one_column(text, hints)
    delimiters = [hints.delimiter] if hints.delimiter else [d for d in DELIMITERS if d in text]
    quotes = [hints.quote] if hints.quote is not None else (['"', ""] if '"' in text else ['"'])
    escape = hints.escape or ("\\" if '\\"' in text and '""' not in text else '"')
    found = [c for d in delimiters for q in quotes if (c := _candidate(text, d, q, escape)) is not None]
    if not found:
        raise refusal("one_column")
    best = _best(found)
    refuse_wide(best.width)
    if best.agreement < _MUST_AGREE:
        if hints.delimiter is None and best.agreement < 0.3:
            raise refusal("one_column")
        raise refusal("layout_uncertain", percent=round(100 * best.agreement))
    return best


def _one_column(text: str, hints: Recipe) -> Dialect:
    quote = hints.quote or ""
    records = list(parse(text, NO_DELIMITER, quote, '"'))
    return Dialect(NO_DELIMITER, quote, '"', 1, 1.0, records)


def _candidate(text: str, delimiter: str, quote: str, escape: str) -> Dialect | None:
    records = list(parse(text, delimiter, quote, escape))
    filled = [r for r in records if any(c.strip() for c in r.cells)]
    widths = Counter(len(r.cells) for r in filled)
    usual = [(n, w) for w, n in widths.items() if w > 1]
    if not usual:
        return None
    count, width = max(usual)
    return Dialect(delimiter, quote, escape, width, count / len(filled), records)


def _best(found: list[Dialect]) -> Dialect:
    top = max(c.agreement for c in found)
    close = [c for c in found if c.agreement >= top - _AS_GOOD]
    quoted = [c for c in close if not _unquoted_twin(c, close)]
    if len(quoted) == 1:
        return quoted[0]
    typed = {c.delimiter: _typed_share(c) for c in quoted}
    quoted = [c for c in quoted if typed[c.delimiter] >= max(typed.values()) - 0.05]
    whole = [c for c in quoted if len(_first(c)) == c.width] or quoted
    if len({c.delimiter for c in whole}) > 1:
        raise refusal("ambiguous_delimiter", choices=" ".join(repr(c.delimiter) for c in whole))
    return whole[0]


def _unquoted_twin(candidate: Dialect, close: list[Dialect]) -> bool:
    """Without quoting, although the same delimiter does as well with it."""
    return not candidate.quote and any(c.quote and c.delimiter == candidate.delimiter for c in close)


def _typed_share(candidate: Dialect) -> float:
    cells = [c for r in candidate.records[:2000] if len(r.cells) == candidate.width for c in r.cells]
    return sum(kind(c) in ("number", "date") for c in cells) / max(1, len(cells))


def _first(candidate: Dialect) -> list[str]:
    return next(r.cells for r in candidate.records if any(c.strip() for c in r.cells))


def parse(text: str, delimiter: str, quote: str, escape: str) -> Iterator[Record]:
    """Records of a text whose line ends are LF; a quote that never closes costs one line, not the rest."""
    line = 1
    for raw, count in grouped(text.split("\n"), quote):
        if raw or delimiter == NO_DELIMITER:
            yield Record(line, count, cells_of(raw, delimiter, quote, escape))
        line += count


def grouped(lines: Sequence[str], quote: str) -> Iterator[tuple[str, int]]:
    """Physical lines joined into records: a line with an odd number of quotes goes on to the next odd one."""
    i = 0
    if lines and lines[-1] == "":
        lines = lines[:-1]
    while i < len(lines):
        count = 1
        if quote and lines[i].count(quote) % 2:
            ahead = lines[i + 1 : i + _LINES_IN_A_RECORD]
            closing = next((k for k, other in enumerate(ahead) if other.count(quote) % 2), None)
            count = 1 if closing is None else closing + 2
        yield "\n".join(lines[i : i + count]), count
        i += count


def cells_of(raw: str, delimiter: str, quote: str, escape: str, *, strict: bool = False) -> list[str]:
    """The cells of one record, for judging, never for loading; `strict` gives none where quotes are out of place."""
    try:
        rows = list(_records([raw], delimiter, quote, escape, strict=strict))
    except csv.Error:
        return [] if strict else raw.split(delimiter)
    return rows[0] if rows else [""]


def left_open(line: str, delimiter: str, quote: str, escape: str) -> bool:
    """Whether a quote that opens in the line is open at its end (`1",","x` has an even number of them)."""
    try:
        return len(list(_records([f"{line}\n", "next"], delimiter, quote, escape, skipinitialspace=True))) == 1
    except csv.Error:
        return False


def _records(
    lines: Sequence[str], delimiter: str, quote: str, escape: str, *, strict: bool = False,
    skipinitialspace: bool = False,
) -> Iterator[list[str]]:  # fmt: skip
    doubled = escape == quote
    csv.field_size_limit(1 << 30)
    return csv.reader(
        lines, delimiter=delimiter, quotechar=quote or None,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        doublequote=doubled, escapechar=None if doubled or not quote else escape,
        strict=strict, skipinitialspace=skipinitialspace,
    )  # fmt: skip
