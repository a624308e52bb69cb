"""Cells of aggregates, judged on the source's evidence; on the numbers of the file alone where there is none."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

import polars as pl

from policies.verdict import Outcome
from sandbox.exports.checks.base import Measured, Miss, check, limited, need, not_assessed
from sandbox.exports.contents import Table
from sandbox.exports.history import cell_place
from sandbox.exports.subject import CannotRun, ExportSubject
from sandbox.products.evidence import Evidence
from sandbox.products.spec import JobSpec

_COUNT_NAME = re.compile(r"人次|人数|数量|户数|家数|次数|件数|笔数|计数|个数|例数|count|^n$|^num", re.IGNORECASE)
_NOT_A_COUNT = re.compile(r"年|月|日|时|码|编号|序号|code|year|month|date|hour|id$", re.IGNORECASE)
_EXTREME_NAME = re.compile(
    r"最大|最小|最高|最低|中位|分位|max|min|median|quantile|percentile|^p[0-9]{1,2}$", re.IGNORECASE
)


def cells_of(subject: ExportSubject) -> tuple[JobSpec, list[dict[str, Any]]]:
    """Every row of the cell tables of all kinds of entity; an unknown number of anybody stops the rule."""
    spec, evidence = subject.need_evidence()
    rows = [row for kind in evidence.kinds for row in kind.cells.iter_rows(named=True)]
    for row in rows:
        for name in ("n", "n_non_missing", "n_non_zero"):
            need(row[name], name)
    return spec, rows


def whole_columns(subject: ExportSubject) -> Iterator[tuple[Table, int, bool, list[int | None]]]:
    """For a file alone: (table, column from 0, surely a count, values) of columns that hold whole numbers."""
    for contents in subject.contents:
        for table in contents.tables:
            for i, name in enumerate(table.header):
                cells = [row[i].strip() if i < len(row) else "" for row in table.rows]
                values = [int(c) if re.fullmatch(r"[0-9]{1,15}", c) else None for c in cells]
                numeric = all(v is not None or not c or is_suppressed(c) for v, c in zip(values, cells, strict=True))
                if numeric and any(v is not None for v in values) and not _NOT_A_COUNT.search(name):
                    yield table, i, bool(_COUNT_NAME.search(name)), values


def is_suppressed(cell: str) -> bool:
    """Whether a cell says that its value was hidden."""
    return bool(re.fullmatch(r"\*+|[xX]|[<＜≤]\s*[0-9]+|…|\.\.+|—+|-|c", cell.strip()))


@check("cell_threshold")
def cell_threshold(subject: ExportSubject, parameters: Any) -> Measured:
    """Every cell rests on at least `threshold` distinct entities with a value, with a non-zero contribution, and with a
    contribution that moves when amounts are perturbed (R1; none at all is left to other rules)."""
    t = parameters.threshold
    if subject.by_file:
        return _small_numbers(subject, t)
    spec, cells = cells_of(subject)
    misses, smallest = [], None
    for row in cells:
        if not row["n_non_missing"]:
            continue
        counts = [row["n"], *(c for c in (row["n_non_zero"], row["n_informative"]) if c)]
        smallest = min(counts) if smallest is None else min(smallest, *counts)
        if min(counts) < t:
            misses.append(Miss(cell_place(spec.file_name, row["cell"], row["measure"]), min(counts), t))
    return Measured(smallest, t, limited(misses))


def _small_numbers(subject: ExportSubject, t: int) -> Measured:
    misses, smallest = [], None
    for table, i, surely, values in whole_columns(subject):
        for number, value in enumerate(values, start=1):
            if value and value < t:
                severity = None if surely else Outcome.REVIEW
                misses.append(Miss(f"{table.place}#row={number};column={table.header[i]}", value, t, severity))
        smallest = min([v for v in values if v] + ([smallest] if smallest is not None else []), default=None)
    return Measured(smallest, t, limited(misses))


def _contributions(cells: Iterable[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], float, float, float]]:
    """(row, x1, x2, X) of cells whose value adds up contributions; an unknown contribution stops the rule."""
    for row in cells:
        if row["op"] == "count_distinct" or not row["n_non_missing"]:
            continue
        x1, x2, total = row["x1"], row["x2"], row["x_total"]
        if any(x is None or not math.isfinite(x) for x in (x1, x2, total)):
            raise CannotRun("contributions")
        yield row, x1, x2, total


@check("dominance")
def dominance(subject: ExportSubject, parameters: Any) -> Measured:
    """(n,k): the n largest entities give less than k % of the cell's absolute contributions (R2; equal fails)."""
    if subject.by_file:
        return not_assessed(_file(subject))
    if parameters.n > 2:
        raise CannotRun("third largest contribution")
    spec, cells = cells_of(subject)
    k, misses, worst = parameters.k_percent, [], 0.0
    for row, x1, x2, total in _contributions(cells):
        largest = x1 + (x2 if parameters.n == 2 else 0.0)
        percent = 100 * largest / total if total else 0.0
        worst = max(worst, percent)
        if total and 100 * largest >= k * total:
            misses.append(Miss(cell_place(spec.file_name, row["cell"], row["measure"]), round(percent, 2), k))
    return Measured(round(worst, 2), k, limited(misses))


@check("p_percent")
def p_percent(subject: ExportSubject, parameters: Any) -> Measured:
    """p %: what is left without the two largest is at least p % of the largest (R3)."""
    if subject.by_file:
        return not_assessed(_file(subject))
    spec, cells = cells_of(subject)
    p, misses, worst = parameters.p_percent, [], None
    for row, x1, x2, total in _contributions(cells):
        if not x1:
            continue
        rest = 100 * (total - x1 - x2) / x1
        worst = rest if worst is None else min(worst, rest)
        if 100 * (total - x1 - x2) < p * x1:
            misses.append(Miss(cell_place(spec.file_name, row["cell"], row["measure"]), round(rest, 2), p))
    return Measured(None if worst is None else round(worst, 2), p, limited(misses))


@check("zero_cells")
def zero_cells(subject: ExportSubject, parameters: Any) -> Measured:
    """Combinations of released dimension values that hold nobody: a person decides whether that is structural (R6)."""
    if subject.by_file:
        zeros = [Miss(f"{t.place}#row={n};column={t.header[i]}", 0) for t, i, surely, values in whole_columns(subject)
                 for n, v in enumerate(values, start=1) if surely and v == 0]  # fmt: skip
        return Measured(len(zeros), 0, limited(zeros))
    spec, evidence = subject.need_evidence()
    k = evidence.dimensions
    possible = math.prod(len({row[i] for row in evidence.rows}) for i in range(k)) if k else len(evidence.rows)
    empty = possible - len(evidence.rows)
    return Measured(empty, 0, (Miss(spec.file_name, empty, 0),) if empty else ())


@check("group_disclosure")
def group_disclosure(subject: ExportSubject, parameters: Any) -> Measured:
    """No cell holds (nearly) the whole of its row or column: that would tell about every member of the group (R7)."""
    if subject.by_file:
        return not_assessed(_file(subject))
    spec, evidence = subject.need_evidence()
    g, misses, worst = parameters.max_share, [], 0.0
    counts = [name for name, m in spec.measures.items() if m.is_count]
    for share, cell, measure in _shares(evidence, counts):
        worst = max(worst, share)
        if share >= g:
            misses.append(Miss(cell_place(spec.file_name, cell, measure), round(share, 3), g))
    return Measured(round(worst, 3), g, limited(misses))


def _shares(evidence: Evidence, counts: list[str]) -> Iterator[tuple[float, int, str]]:
    """The largest cell's share of each group that leaves one dimension free; dimensions with one value are not free."""
    k = evidence.dimensions
    free = [i for i in range(k) if len({row[i] for row in evidence.rows}) > 1]
    for measure in counts:
        values = pl.Series([row[evidence.columns.index(measure)] for row in evidence.rows], dtype=pl.Int64)
        for i in free:
            groups: dict[tuple[Any, ...], list[int]] = {}
            for cell, row in enumerate(evidence.rows):
                groups.setdefault((*row[:i], *row[i + 1 : k]), []).append(cell)
            for members in groups.values():
                total = int(values[members].sum())
                top = max(members, key=lambda c: values[c])
                if total:
                    yield int(values[top]) / total, top, measure


@check("extremes")
def extremes(subject: ExportSubject, parameters: Any) -> Measured:
    """Minimum, maximum and quantiles: a declared job cannot ask for them; in a file alone their names are looked
    for."""
    if not subject.by_file:
        subject.need_evidence()
        return Measured(0, parameters.threshold)
    misses = [
        Miss(f"{table.place}#column={i + 1}", None, parameters.threshold)
        for contents in subject.contents
        for table in contents.tables
        for i, name in enumerate(table.header)
        if _EXTREME_NAME.search(name)
    ]
    return Measured(len(misses), parameters.threshold, limited(misses))


def _file(subject: ExportSubject) -> str:
    return subject.files[0].name if subject.files else "request"
