"""Columns a machine cannot vouch for: opaque tokens, free text, exact coordinates."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from policies.verdict import Outcome
from sandbox.exports.checks.base import Measured, Miss, check
from sandbox.exports.contents import Table
from sandbox.exports.subject import ExportSubject

_COORDINATE = re.compile(r"经度|纬度|坐标|lon|lat|lng|coord", re.IGNORECASE)
_DECIMAL = re.compile(r"[+-]?[0-9]{1,3}\.([0-9]+)")


def text_columns(subject: ExportSubject) -> Iterator[tuple[Table, int, list[str]]]:
    """(table, column number from 0, non-blank cells) of every column the platform did not compute itself."""
    for contents in subject.contents:
        for table in contents.tables:
            for i, name in enumerate(table.header):
                if name not in subject.measure_columns:
                    yield table, i, [row[i] for row in table.rows if i < len(row) and row[i].strip()]


def place(table: Table, column: int) -> str:
    return f"{table.place}#column={column + 1}"


@check("opaque_columns")
def opaque_columns(subject: ExportSubject, parameters: Any) -> Measured:
    """No column of long, distinct, high-entropy tokens: encrypted, compressed or encoded content cannot be
    inspected."""
    misses, worst = [], 0.0
    for table, i, cells in text_columns(subject):
        tokens = [t for t in map(_token, cells) if len(t) >= parameters.min_length]
        if not tokens or len(tokens) * 2 < len(cells):
            continue
        bits = sum(map(entropy, tokens)) / len(tokens)
        worst = max(worst, bits)
        if len(set(cells)) >= parameters.min_distinct_share * len(cells) and bits >= parameters.min_entropy_bits:
            misses.append(Miss(place(table, i), round(bits, 2), parameters.min_entropy_bits))
    return Measured(round(worst, 2), parameters.min_entropy_bits, tuple(misses))


def _token(cell: str) -> str:
    """The longest run of characters that encodings are made of; words are separated by blanks and punctuation."""
    text = cell.replace("-", "") if re.fullmatch(r"[0-9A-Fa-f-]+", cell) else cell
    return max(re.findall(r"[A-Za-z0-9+/=]+", text), key=len, default="")


def entropy(text: str) -> float:
    """Shannon entropy of the characters of `text`, bits per character."""
    counts = Counter(text).values()
    return -sum(c / len(text) * math.log2(c / len(text)) for c in counts)


@check("free_text")
def free_text(subject: ExportSubject, parameters: Any) -> Measured:
    """Columns of long, mostly distinct text, and whole text files, are read by a person."""
    misses, longest = [], 0.0
    for table, i, cells in text_columns(subject):
        if not cells:
            continue
        mean = sum(map(len, cells)) / len(cells)
        longest = max(longest, mean)
        if mean >= parameters.mean_length and len(set(cells)) >= parameters.min_distinct_share * len(cells):
            misses.append(Miss(place(table, i), round(mean, 1), parameters.mean_length))
    written = [c for c in subject.contents if c.texts and not c.tables]
    misses += [Miss(c.name, c.size, None) for c in written]
    return Measured(round(longest, 1), parameters.mean_length, tuple(misses))


@check("coordinates")
def coordinates(subject: ExportSubject, parameters: Any) -> Measured:
    """No coordinate finer than the policy's decimals (4 ≈ 11 m), by header or by detection."""
    misses, finest = [], 0
    for table, i, cells in text_columns(subject):
        if not _COORDINATE.search(table.header[i]):
            continue
        decimals = max((len(m[1]) for m in map(_DECIMAL.fullmatch, cells) if m), default=0)
        finest = max(finest, decimals)
        if decimals > parameters.max_decimals:
            misses.append(Miss(place(table, i), decimals, parameters.max_decimals))
    found = [h for h in subject.hits.found if h.entity == "COORDINATES" and h.certain]
    misses += [Miss(h.place, None, parameters.max_decimals, Outcome.REVIEW, h.masked) for h in found]
    return Measured(finest, parameters.max_decimals, tuple(misses))
