"""Columns a machine cannot vouch for: opaque tokens, free text, exact coordinates."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from policies.verdict import Outcome
from sandbox.exports.checks.base import Measured, Miss, check
from sandbox.exports.contents import Table, is_model
from sandbox.exports.places import within
from sandbox.exports.subject import ExportSubject
from sandbox.products.coded import Coded

if TYPE_CHECKING:
    import polars as pl

    from sandbox.products.coded import Numbers

_COORDINATE = re.compile(r"经度|纬度|坐标|lon|lat|lng|coord", re.IGNORECASE)
_DECIMAL = r"^[+-]?[0-9]{1,3}\.([0-9]+)$"
_LOOKED_AT = 10_000
"""Tokens of a column whose entropy is taken; which columns have tokens is counted over all rows."""


def text_columns(subject: ExportSubject) -> Iterator[tuple[Table, int, pl.Series, Numbers]]:
    """(table, column number from 0, distinct non-blank texts, cells of each) of every column the platform did not
    compute itself."""
    for contents in subject.contents:
        for table in contents.tables:
            for i, name in enumerate(() if is_model(table) else table.header):
                if name not in subject.measure_columns:
                    cells = table.cells.column(i)
                    filled = cells.values.str.strip_chars() != ""
                    yield table, i, cells.values.filter(filled), cells.counts[filled.to_numpy()]


def place(table: Table, column: int) -> str:
    """The place of a column counted from 0."""
    return within(table.place, column=column + 1)


@check("opaque_columns")
def opaque_columns(subject: ExportSubject, parameters: Any) -> Measured:
    """No column of long, distinct, high-entropy tokens: encrypted, compressed or encoded content cannot be
    inspected."""
    misses, worst = [], 0.0
    run = f"[A-Za-z0-9+/=-]{{{parameters.min_length},}}"
    for table, i, texts, counts in text_columns(subject):
        maybe, cells = int(counts[texts.str.contains(run).to_numpy()].sum()), int(counts.sum())
        if not maybe or maybe * 2 < cells:
            continue
        looked = _some(table.cells.column(i), run, maybe)
        tokens = [t for t in map(_token, looked) if len(t) >= parameters.min_length]
        if len(tokens) * maybe * 2 < cells * len(looked):
            continue
        bits = sum(map(entropy, tokens)) / len(tokens)
        worst = max(worst, bits)
        if bits >= parameters.min_entropy_bits and len(texts) >= parameters.min_distinct_share * cells:
            misses.append(Miss(place(table, i), round(bits, 2), parameters.min_entropy_bits))
    return Measured(round(worst, 2), parameters.min_entropy_bits, tuple(misses))


def _some(cells: Coded, run: str, count: int) -> list[str]:
    """Evenly chosen ones of the `count` cells that have such a run."""
    import numpy as np

    has = np.append(cells.values.str.contains(run).to_numpy(), False)  # the last is a missing cell
    rows = np.flatnonzero(has[cells.codes])[:: max(1, count // _LOOKED_AT)]
    found: list[str] = cells.values.gather(cells.codes[rows].astype(np.int64)).to_list()
    return found


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
    for table, i, texts, counts in text_columns(subject):
        if not len(texts):
            continue
        cells = int(counts.sum())
        mean = float((texts.str.len_chars().to_numpy() * counts).sum() / cells)
        longest = max(longest, mean)
        if mean >= parameters.mean_length and len(texts) >= parameters.min_distinct_share * cells:
            misses.append(Miss(place(table, i), round(mean, 1), parameters.mean_length))
    written = [c for c in subject.contents if c.texts and not c.tables]
    misses += [Miss(c.place, c.size, None) for c in written]
    return Measured(round(longest, 1), parameters.mean_length, tuple(misses))


@check("coordinates")
def coordinates(subject: ExportSubject, parameters: Any) -> Measured:
    """No coordinate finer than the policy's decimals (4 ≈ 11 m), by header or by detection."""
    misses, finest = [], 0
    for table, i, texts, _ in text_columns(subject):
        if not _COORDINATE.search(table.header[i]):
            continue
        decimals = texts.str.extract(_DECIMAL).str.len_chars().max()
        decimals = decimals if isinstance(decimals, int) else 0
        finest = max(finest, decimals)
        if decimals > parameters.max_decimals:
            misses.append(Miss(place(table, i), decimals, parameters.max_decimals))
    found = [h for h in subject.hits.found if h.entity == "COORDINATES" and h.certain]
    misses += [Miss(h.place, None, parameters.max_decimals, Outcome.REVIEW, h.masked) for h in found]
    return Measured(finest, parameters.max_decimals, tuple(misses))
