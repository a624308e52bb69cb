"""Cells of aggregates, judged on the source's evidence; on the numbers of the file alone where there is none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from policies.verdict import Outcome
from sandbox.exports.checks.base import MOST, Measured, Miss, check, limited, not_assessed
from sandbox.exports.contents import Table
from sandbox.exports.places import within
from sandbox.exports.subject import CannotRun, ExportSubject, Judged
from sandbox.products.blackbox import Tried
from sandbox.products.evidence import KindEvidence

NOT_ADDED = ("count_distinct", "median", "quantile", "min", "max")
"""Measures whose value is not a sum of contributions."""
SIDES = {
    "min": ("n_min",), "max": ("n_max",), "median": ("n_below", "n_above"), "quantile": ("n_below", "n_above"),
}  # fmt: skip
"""The columns of the cell table that say who shares an extreme, or lies on each side of it."""

_COUNT_NAME = re.compile(r"人次|人数|数量|户数|家数|次数|件数|笔数|计数|个数|例数|count|^n$|^num", re.IGNORECASE)
_NOT_A_COUNT = re.compile(r"年|月|日|时|码|编号|序号|code|year|month|date|hour|id$", re.IGNORECASE)
_EXTREME_NAME = re.compile(
    r"最大|最小|最高|最低|中位|分位|max|min|median|quantile|percentile|^p[0-9]{1,2}$", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class CellTable:
    """The cells of one table that is judged as released, for one kind of entity."""

    judged: Judged
    kind: KindEvidence
    cells: pl.DataFrame
    most: int | None = MOST

    def misses(self, bad: pl.Expr, measured: pl.Expr, threshold: Any, severity: Outcome | None = None) -> list[Miss]:
        """The worst `most` cells for which `bad` holds (None: all), those with the smallest `measured` first."""
        found = self.cells.filter(bad).select("cell", "measure", "part", "op", _measured=measured)
        return [
            Miss(self.judged.cell(row["cell"], row["measure"]), row["_measured"], threshold, severity,
                 _evidence(self.kind.kind, row))
            for row in found.sort("_measured")[: self.most].iter_rows(named=True)
        ]  # fmt: skip


def _evidence(kind: str, row: dict[str, Any]) -> str:
    return kind if row["part"] == "value" else f"{kind}, {row['part']}"


def cell_tables(subject: ExportSubject) -> list[CellTable]:
    """The cell tables of product and references, for all kinds; an unknown number of anybody stops the rule.

    A cell that the platform hides is not judged as released.
    """
    found = []
    for judged in subject.judged():
        for kind in judged.evidence.kinds:
            _known(kind.cells, "n", "n_non_missing", "n_non_zero")
            found.append(CellTable(judged, kind, judged.shown(kind.cells), None if subject.exhaustive else MOST))
    return found


def _known(cells: pl.DataFrame, *names: str) -> None:
    for name in names:
        if cells[name].null_count():
            raise CannotRun(name)


def whole_columns(tables: Iterable[Table]) -> Iterator[tuple[Table, int, bool, list[int | None]]]:
    """(table, column from 0, surely a count, values) of columns that hold whole numbers, told by the numbers alone."""
    for table in tables:
        for i, name in enumerate(table.header):
            cells = [(cell or "").strip() for cell in table.column(i)]
            values = [int(c) if re.fullmatch(r"[0-9]{1,15}", c) else None for c in cells]
            numeric = all(v is not None or not c or is_suppressed(c) for v, c in zip(values, cells, strict=True))
            if numeric and any(v is not None for v in values) and not _NOT_A_COUNT.search(name):
                yield table, i, bool(_COUNT_NAME.search(name)), values


def every_table(subject: ExportSubject) -> list[Table]:
    """All tables of the request."""
    return [table for contents in subject.contents for table in contents.tables]


def is_suppressed(cell: str) -> bool:
    """Whether a cell says that its value was hidden."""
    return bool(re.fullmatch(r"\*+|[xX]|[<＜≤]\s*[0-9]+|…|\.\.+|—+|-|c", cell.strip()))


@check("cell_threshold")
def cell_threshold(subject: ExportSubject, parameters: Any) -> Measured:
    """Every cell rests on at least `threshold` distinct entities with a value and with a non-zero contribution (R1),
    on both sides of a ratio; a cell in which nobody contributes anything is left to other rules. A row in which nobody
    has any value says by being there that somebody is in it, and nobody knows how many."""
    t = parameters.threshold
    if subject.by_file:
        return small_numbers(every_table(subject), t)
    if subject.black_box is not None:
        return _certified(subject.black_box, t)
    misses: list[Miss] = []
    smallest = None
    for table in cell_tables(subject):
        present = pl.col("n_non_missing") > 0
        fewest = pl.min_horizontal("n", pl.col("n_non_zero").replace(0, None))
        empty = (pl.col("n_non_missing").max().over("cell") == 0) & (table.judged.evidence.dimensions > 0)
        misses += table.misses((present & (fewest < t)) | empty, fewest, t)
        smallest = least(smallest, table.cells.filter(present).select(fewest.min()).item())
    return Measured(smallest, t, limited(misses))


def _certified(tried: tuple[Tried, ...], t: int) -> Measured:
    """Without evidence: buckets of entities that change a cell are a lower bound on the entities behind it. A budget
    that was spent before `t` buckets were tried has established nothing: a person is told so."""
    misses = []
    for one in tried:
        if one.steady and (one.fewest is None or one.fewest < t):  # what is not steady is blocked as unprovable
            early = one.over_budget and one.tried < t and one.fewest in (None, one.tried)
            severity, about = (Outcome.REVIEW, "trials") if early else (None, "")
            misses.append(Miss(f"black box#{one.kind}", one.fewest, t, severity, about=about))
    return Measured(least(*(one.fewest for one in tried)), t, tuple(misses))


def least(*values: Any) -> Any:
    """The smallest value that is known, or None."""
    return min((v for v in values if v is not None), default=None)


def small_numbers(tables: Iterable[Table], t: int) -> Measured:
    """Whole numbers below `t` that are counts, or may be some."""
    misses, smallest = [], None
    for table, i, surely, values in whole_columns(tables):
        for number, value in enumerate(values, start=1):
            if value and value < t:
                severity = None if surely else Outcome.REVIEW
                misses.append(Miss(within(table.place, row=number, column=table.header[i]), value, t, severity))
        smallest = min([v for v in values if v] + ([smallest] if smallest is not None else []), default=None)
    return Measured(smallest, t, limited(misses))


def added_up(table: CellTable) -> CellTable:
    """Cells whose value adds up contributions; an unknown contribution stops the rule."""
    summed = table.cells.filter(~pl.col("op").is_in(NOT_ADDED) & (pl.col("n_non_missing") > 0))
    _known(summed, "x1", "x2", "x_total")
    if not summed.select(pl.all_horizontal(pl.col("x1", "x2", "x_total").is_finite().all())).item():
        raise CannotRun("contributions")
    return replace(table, cells=summed)


@check("dominance")
def dominance(subject: ExportSubject, parameters: Any) -> Measured:
    """(n,k): the n largest entities give less than k % of the cell's absolute contributions (R2; equal fails). The
    contributions of one holding count as one (R5): the evidence has merged them."""
    if subject.by_file:
        return not_assessed(_file(subject))
    misses: list[Miss] = []
    worst, strictest = 0.0, None
    for table in map(added_up, cell_tables(subject)):
        total = pl.col("x_total")
        for rule in parameters.of(table.kind.kind):
            largest = pl.col("x1") + (pl.col("x2") if rule.n == 2 else 0.0)
            percent = pl.when(total > 0).then(100 * largest / total).otherwise(0.0)
            bad = (total > 0) & (100 * largest >= rule.k_percent * total)
            misses += table.misses(bad, percent.round(2), rule.k_percent)
            strictest = least(strictest, rule.k_percent)
            worst = max(worst, table.cells.select(percent.max()).item() or 0.0)
    return Measured(round(worst, 2), strictest, limited(misses))


@check("p_percent")
def p_percent(subject: ExportSubject, parameters: Any) -> Measured:
    """p %: what is left without the two largest is at least p % of the largest (R3), with prior knowledge 100 p/q %
    (R4)."""
    if subject.by_file:
        return not_assessed(_file(subject))
    p, worst = parameters.of_largest, None
    misses: list[Miss] = []
    for table in map(added_up, cell_tables(subject)):
        rest = 100 * (pl.col("x_total") - pl.col("x1") - pl.col("x2"))
        some, percent = pl.col("x1") > 0, rest / pl.col("x1")
        misses += table.misses(some & (rest < p * pl.col("x1")), percent.round(2), p)
        worst = least(worst, table.cells.filter(some).select(percent.min()).item())
    return Measured(None if worst is None else round(worst, 2), p, limited(misses))


@check("residual_freedom")
def residual_freedom(subject: ExportSubject, parameters: Any) -> Measured:
    """A standard deviation leaves at least `min_residual` entities beyond the mean it is taken around (R8)."""
    if subject.by_file:
        return not_assessed(_file(subject))
    least_left, misses = None, []
    for table in cell_tables(subject):
        own = replace(table, cells=table.cells.filter((pl.col("op") == "stddev") & (pl.col("n_non_missing") > 0)))
        left = pl.col("n").cast(pl.Int64) - 1
        misses += own.misses(left < parameters.min_residual, left, parameters.min_residual)
        least_left = least(least_left, own.cells.select(left.min()).item())
    return Measured(least_left, parameters.min_residual, limited(misses))


@check("extremes")
def extremes(subject: ExportSubject, parameters: Any) -> Measured:
    """A minimum or maximum is shared by `threshold` entities, and as many lie on each side of a quantile (R9); near the
    threshold a person looks. In a file alone their names are looked for."""
    t = parameters.threshold
    if subject.by_file:
        return extreme_names(every_table(subject), t)
    misses: list[Miss] = []
    smallest = None
    for table in cell_tables(subject):
        for op, columns in SIDES.items():
            own = replace(table, cells=table.cells.filter((pl.col("op") == op) & (pl.col("n_non_missing") > 0)))
            _known(own.cells, *columns)
            fewest = pl.min_horizontal(*columns)
            misses += own.misses(fewest < t, fewest, t)
            misses += own.misses(fewest.is_between(t, parameters.review_below - 1), fewest, t, Outcome.REVIEW)
            smallest = least(smallest, own.cells.select(fewest.min()).item())
    return Measured(smallest, t, limited(misses))


def extreme_names(tables: Iterable[Table], t: int) -> Measured:
    """Columns that are called like an extreme."""
    misses = [
        Miss(within(table.place, column=i + 1), None, t, Outcome.REVIEW)
        for table in tables
        for i, name in enumerate(table.header)
        if _EXTREME_NAME.search(name)
    ]
    return Measured(len(misses), t, limited(misses))


def _file(subject: ExportSubject) -> str:
    return subject.files[0].name if subject.files else "request"
