"""From a summary to a report: keys, references and the facts around a table are judged here."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pipelines.quality import keys, summary
from pipelines.quality.report import Measured, QualityReport, RuleResult, report
from pipelines.quality.rows import looks
from pipelines.quality.samples import Places, with_samples
from pipelines.quality.summary import ROWS, SAMPLES, Counted, Summary, only_with, repeated_among
from pipelines.quality.texts import moment, number
from pipelines.quality.words import advice, wanted
from pipelines.reading.landing import Accounting
from pipelines.reading.recipe import ColumnRecipe
from policies.schema.quality import columns_of


@dataclass(frozen=True, slots=True)
class Around:
    """What rules may need besides the table. What is missing here leaves its indicator not assessed.

    `others`: files of other tables by name. `deliveries`: days of the earlier deliveries, in order. `today`: the day
    of measuring. `before`: rows of the table that earlier deliveries brought; the accounting speaks of the others.
    """

    others: Mapping[str, Sequence[str]] = field(default_factory=dict)
    deliveries: Sequence[date] = ()
    today: date = field(default_factory=date.today)
    before: int = 0


def measure(
    files: Sequence[str], columns: Sequence[ColumnRecipe], rules: Sequence[Any], accounting: Accounting, policy: Any,
    *, name: str = "", around: Around | None = None, direct: Collection[str] | None = None,
    places: Places | None = None, work: Path | None = None,
) -> QualityReport:  # fmt: skip
    """Measure one table.

    Args:
        files: Parquet files of the table: the text version (values are judged as they were delivered) or the typed one.
        columns: the recipe of each column: its type and its spellings of missing.
        rules: declared rules of the table (`policies.schema.quality.DeclaredRule`).
        accounting: row counts of the reading.
        policy: an edition of the quality policy.
        direct: the columns that are direct identifiers, whose values no sample shows; None: nobody knows, none is
            shown at all.
        places: lines of the file that the rows came from.
        work: the folder in which fingerprints are spilled while this runs; None: that of the system.

    Raises:
        UserError: `quality.unknown_column`: a rule names a column the table does not have.
    """
    with tempfile.TemporaryDirectory(prefix="pds-quality-", dir=work) as folder:
        found = summary.summarise(files, columns, rules, policy, Path(folder))
        told = conclude(found, columns, rules, accounting, policy, Path(folder), name=name, around=around or Around())
    hidden = {c.name for c in columns} if direct is None else frozenset(direct)
    return with_samples(told, files, hidden, places or Places.of(accounting))


def conclude(
    found: Summary, columns: Sequence[ColumnRecipe], rules: Sequence[Any], accounting: Accounting, policy: Any,
    folder: Path, *, name: str, around: Around,
) -> QualityReport:  # fmt: skip
    """The report of a table from its summary. The spilled files of the summary must still be there."""
    case = _Case(found, {c.name: c for c in columns}, around, folder)
    kinds = {k.kind: k.indicator for k in policy.by_check("declared_rules").parameters.kinds}

    def judge(place: int, rule: Any) -> RuleResult:
        told = _JUDGES.get(rule.kind, _counted)(case, place, rule)
        return RuleResult(rule.kind, columns_of(rule), kinds[rule.kind], *told, wanted(rule), advice(rule))

    with ThreadPoolExecutor(_JUDGES_AT_ONCE) as threads:
        results = tuple(threads.map(judge, range(len(rules)), rules))
    measured = Measured(found.rows, found.missing, found.invalid, _repeated(case, results, columns), results)
    return report(name, measured, accounting, policy, before=around.before)


def _repeated(case: _Case, results: Sequence[RuleResult], columns: Sequence[ColumnRecipe]) -> int:
    """Rows that repeat another one. Where a key is declared, only rows that share it (or lack it) can be alike."""
    found = case.found
    if ROWS in found.sets:
        return found.rows - keys.repeats(found.sets[ROWS], 0).different
    failing, place = min((r.failing, i) for i, r in enumerate(results) if r.kind == "unique_key")
    if not failing:
        return 0
    schema = pl.scan_parquet(list(found.files)).collect_schema()
    plain = looks(schema, columns, (), ())
    return repeated_among(found, keys.not_unique(found.sets[str(place)]), plain, case.folder)


@dataclass(frozen=True, slots=True)
class _Case:
    found: Summary
    recipes: Mapping[str, ColumnRecipe]
    around: Around
    folder: Path

    def counted(self, place: int) -> Counted:
        return self.found.rules[place]


Judged = tuple[int | None, int | None, int, tuple[int, ...]]
"""A, B, how many fail, and the first rows that do"""
_JUDGES_AT_ONCE = 1 + (os.cpu_count() or 1)  # they wait for files as well
_UNKNOWN: Judged = (None, None, 0, ())


def _counted(case: _Case, place: int, rule: Any) -> Judged:
    counted = case.counted(place)
    return counted.a, counted.b, counted.b - counted.a, counted.rows


def _unique(case: _Case, place: int, rule: Any) -> Judged:
    """A = different complete keys, B = rows: a repeated or incomplete key fails."""
    if str(place) in case.found.rising:
        return case.found.rows, case.found.rows, 0, ()
    files = case.found.sets[str(place)]
    told = keys.repeats(files, SAMPLES)
    rows = list(told.rows) + (keys.rows_without_key(files, SAMPLES) if told.incomplete else [])
    return told.different, case.found.rows, case.found.rows - told.different, tuple(sorted(rows)[:SAMPLES])


def _reference(case: _Case, place: int, rule: Any) -> Judged:
    """A = complete references found in the other table, B = complete references."""
    files = case.around.others.get(rule.to_table)
    if files is None:
        return _UNKNOWN
    known = _known(case, f"{place}-there", files, rule.to_columns)["keys"]
    state = keys.membership(case.found.sets[str(place)], known)
    b, failing = int(np.count_nonzero(state)), int(np.count_nonzero(state == keys.ABSENT))
    return b - failing, b, failing, _first(state == keys.ABSENT)


def _elsewhere(case: _Case, place: int, rule: Any) -> Judged:
    """B = rows whose key is there with a value on both sides, A = those with the same value there."""
    files = case.around.others.get(rule.to_table)
    if files is None:
        return _UNKNOWN
    known = _known(case, f"{place}-there", files, rule.to_columns, (rule.to_column, case.recipes[rule.column]))
    both = keys.membership(case.found.sets[str(place)], known["keys"]) == keys.FOUND
    same = keys.membership(case.found.sets[f"{place}v"], known["values"]) == keys.FOUND
    a, b = int(np.count_nonzero(both & same)), int(np.count_nonzero(both))
    return a, b, b - a, _first(both & ~same)


def _known(
    case: _Case, name: str, files: Sequence[str], key: Sequence[str], value: tuple[str, ColumnRecipe] | None = None
) -> dict[str, tuple[str, ...]]:
    """Fingerprints of another table's keys, spilled beside ours, and of its keys with the value where one is asked."""
    spill = keys.Spill(case.folder, name)
    parts = [pl.col(c).cast(pl.String).str.strip_chars() for c in key]
    wanted = list(dict.fromkeys([*key, *([value[0]] if value else [])]))
    for batch in pl.scan_parquet(list(files)).select(wanted).collect_batches():
        if value is None:
            spill.add("keys", keys.fingerprints(batch, parts))
            continue
        there = batch.with_columns(_comparable(batch[value[0]], value[1]).alias("\0value"))
        spill.add("keys", keys.fingerprints(there, only_with(pl.col("\0value"), parts)))
        spill.add("values", keys.fingerprints(there, [*parts, pl.col("\0value")]))
    return {"keys": (), "values": (), **spill.close()}


def _comparable(cells: pl.Series, recipe: ColumnRecipe) -> pl.Series:
    """The other table's values in the form in which `rows.comparable` has ours, whatever type they are stored in."""
    text = cells.cast(pl.String).str.strip_chars()
    if recipe.type in ("date", "timestamp"):
        return cells.cast(pl.Datetime("us")) if cells.dtype.is_temporal() else moment(text)
    if recipe.type in ("integer", "decimal"):
        return cells.cast(pl.Float64) if cells.dtype.is_numeric() else number(text)
    return text


def _first(failing: np.ndarray) -> tuple[int, ...]:
    return tuple(np.flatnonzero(failing)[:SAMPLES].tolist())


def _expected(case: _Case, place: int, rule: Any) -> Judged:
    """A = records there are, at most as many as expected."""
    return min(case.found.rows, rule.rows), rule.rows, abs(rule.rows - case.found.rows), ()


def _fresh(case: _Case, place: int, rule: Any) -> Judged:
    """One element: whether the newest date is young enough; without any date it cannot be told."""
    newest = case.counted(place).newest
    if newest is None:
        return 0, 0, 0, ()
    good = newest.date() >= case.around.today - timedelta(days=rule.days)
    return int(good), 1, int(not good), ()


def _cycle(case: _Case, place: int, rule: Any) -> Judged:
    """B = updates due since the first delivery, A = those that came within the cycle; the first is no update."""
    days = [*case.around.deliveries, case.around.today]
    late = sum((later - earlier).days > rule.days for earlier, later in pairwise(days))
    return len(days) - 1 - late, len(days) - 1, late, ()


def _dictionary(case: _Case, place: int, rule: Any) -> Judged:
    """A = columns both in the dictionary and in the table, B = columns in either."""
    described, there = set(rule.columns), set(case.recipes)
    a, b = len(described & there), len(described | there)
    return a, b, b - a, ()


_JUDGES: dict[str, Callable[[_Case, int, Any], Judged]] = {
    "unique_key": _unique, "reference": _reference, "same_data": _elsewhere, "truth": _elsewhere,
    "expected_rows": _expected, "fresh_within": _fresh, "update_cycle": _cycle, "dictionary": _dictionary,
}  # fmt: skip
