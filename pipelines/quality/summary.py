"""One pass over a table, or over one part of it, into a summary; summaries of parts merge into that of the whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipelines.quality import keys
from pipelines.quality.batches import LOOKERS, Batch, Cells, batches
from pipelines.quality.rows import comparable, is_alone, is_row_wise, looks, moment, test
from pipelines.quality.texts import Column, Facets
from pipelines.reading.recipe import ColumnRecipe
from policies.schema.quality import columns_of
from policies.text import Text, UserError

SAMPLES = 10
"""failing rows that are named for each rule"""
ROWS = "rows"
"""the set of whole rows, for 0303; there is none where a declared key tells which rows may be alike"""


@dataclass(frozen=True, slots=True)
class Counted:
    """What one rule counted: `a` of `b` elements meet it. `rows`: the first failing rows, from 0.

    `newest` is the latest moment seen, for `fresh_within`.
    """

    a: int = 0
    b: int = 0
    rows: tuple[int, ...] = ()
    newest: datetime | None = None

    def plus(self, other: Counted, offset: int) -> Counted:
        """The counts of this part and of the one `offset` rows further down."""
        rows = (*self.rows, *(r + offset for r in other.rows))[:SAMPLES]
        moments = [m for m in (self.newest, other.newest) if m is not None]
        return Counted(self.a + other.a, self.b + other.b, rows, max(moments, default=None))


@dataclass(frozen=True, slots=True)
class Summary:
    """All that a report needs of a table or of a part of it. Counts, row numbers and names of spilled files: no value.

    `sets`: set of keys → files of fingerprints, in order of rows (`pipelines.quality.keys`). `rising`: sets whose keys
    are known to be all there and all different, because each is greater than the one before it: so a database exports
    a table that has a primary key. `files`: the files that were summarised, in order.
    """

    rows: int
    missing: Mapping[str, int]
    invalid: Mapping[str, int]
    rules: tuple[Counted, ...]
    sets: Mapping[str, tuple[str, ...]]
    rising: frozenset[str]
    files: tuple[str, ...]


def merge(first: Summary, second: Summary) -> Summary:
    """The summary of two parts, `second` following `first`. Associative; the report is that of both together.

    Whether keys go on rising from one part to the other is not known: a summary holds none. They are counted then.
    """
    rising = first.rising if not second.rows else frozenset() if first.rows else second.rising
    return Summary(
        first.rows + second.rows,
        {name: n + second.missing[name] for name, n in first.missing.items()},
        {name: n + second.invalid[name] for name, n in first.invalid.items()},
        tuple(a.plus(b, first.rows) for a, b in zip(first.rules, second.rules, strict=True)),
        {name: files + second.sets[name] for name, files in first.sets.items()},
        rising,
        first.files + second.files,
    )


def summarise(
    files: Sequence[str], columns: Sequence[ColumnRecipe], rules: Sequence[Any], policy: Any, folder: Path,
    *, part: str = "0",
) -> Summary:  # fmt: skip
    """Read the files once. `folder` takes the fingerprints, under names that begin with `part`.

    Raises:
        UserError: `quality.unknown_column`, `quality.unknown_rule`.
    """
    refuse_unknown(rules, columns, policy)
    schema = pl.scan_parquet(list(files)).collect_schema()
    spellings = policy.by_check("missing_spellings").parameters.spellings
    counter = _Counter(looks(schema, columns, spellings, rules), rules, keys.Spill(folder, part))
    with ThreadPoolExecutor(LOOKERS) as threads:
        ahead: list[Future[Facets]] = []
        size = 0
        for batch in batches(files):
            looking = counter.look(batch, threads)
            if ahead:
                counter.add([one.result() for one in ahead], size)
            ahead, size = looking, len(next(iter(batch.values())))
        if ahead:
            counter.add([one.result() for one in ahead], size)
    return counter.finish(files)


def repeated_among(found: Summary, doubtful: NDArray[np.bool_], columns: Sequence[Column], folder: Path) -> int:
    """How many of the doubtful rows repeat another one, cell by cell; the files are read once more."""
    spill, start = keys.Spill(folder, "again"), 0
    with ThreadPoolExecutor(LOOKERS) as threads:
        for batch in batches(found.files):
            size = len(next(iter(batch.values())))
            mine = np.flatnonzero(doubtful[start : start + size])
            lanes = threads.map(lambda c, b=batch: c.lanes(b[c.recipe.name]), columns)
            first, second = keys.added(list(lanes))
            spill.add(ROWS, (first[mine], second[mine]))
            start += size
    files = spill.close().get(ROWS, ())
    return keys.count(files) - keys.repeats(files, 0).different


def refuse_unknown(rules: Sequence[Any], columns: Sequence[ColumnRecipe], policy: Any) -> None:
    """Raise for a rule about a column that the table lacks, or of a kind that the policy does not know."""
    known = {c.name for c in columns}
    kinds = {k.kind for k in policy.by_check("declared_rules").parameters.kinds}
    for number, rule in enumerate(rules, 1):
        unknown = [c for c in columns_of(rule) if c not in known]
        if unknown or rule.kind not in kinds:
            raise UserError(
                "quality.unknown_column" if unknown else "quality.unknown_rule",
                Text(
                    f"第 {number} 条质量规则（{rule.kind}）引用了表中没有的列：{'、'.join(unknown)}" if unknown
                    else f"现行质量规则版本不允许声明 {rule.kind}",
                    f"Quality rule {number} ({rule.kind}) names columns the table lacks: {', '.join(unknown)}"
                    if unknown else f"The policy in force does not let departments declare {rule.kind}",
                ),
                fix=Text("请改正规则文件中的列名或规则种类", "Correct the column or the kind in the rules file"),
                columns=unknown, rule=number,
            )  # fmt: skip


def _key_sets(rules: Sequence[Any], recipes: Mapping[str, ColumnRecipe]) -> Iterator[tuple[str, list[pl.Expr]]]:
    """The sets of keys that the rules need: name and columns of each. `3v` is the key of rule 3 with its value."""
    for place, rule in enumerate(rules):
        if rule.kind in ("unique_key", "reference"):
            yield str(place), [pl.col(c) for c in rule.columns]
        elif rule.kind in ("same_data", "truth"):
            value = comparable(recipes[rule.column])
            yield str(place), only_with(value, [pl.col(c) for c in rule.columns])
            yield f"{place}v", [*map(pl.col, rule.columns), value]


def only_with(value: pl.Expr, key: Sequence[pl.Expr]) -> list[pl.Expr]:
    """The key, incomplete where there is no value."""
    return [pl.when(value.is_not_null()).then(key[0]), *key[1:]]


class _Counter:
    """Counts batch by batch."""

    def __init__(self, looks: Sequence[Column], rules: Sequence[Any], spill: keys.Spill) -> None:
        self._looks, self._rules, self._spill = looks, rules, spill
        self._tests = {i: test(r) for i, r in enumerate(rules) if is_row_wise(r)}
        self._sets = dict(_key_sets(rules, {c.recipe.name: c.recipe for c in looks}))
        self._last: dict[str, str] = {str(i): "" for i, r in enumerate(rules) if r.kind == "unique_key"}
        self._asked = list(self._questions())
        self._rows = 0
        self._missing = {c.recipe.name: 0 for c in looks}
        self._invalid = {c.recipe.name: 0 for c in looks if c.recipe.type != "text"}
        self._found = [Counted() for _ in rules]
        self._whole = not any(r.kind == "unique_key" for r in rules)  # else rows with one key are compared, no others
        nothing = {c.recipe.name: Cells(pl.Series([], dtype=c.stated)) for c in looks}
        self.add(
            [c.look(nothing[c.recipe.name], 0, whole=self._whole) for c in looks], 0
        )  # an empty table has its zeros

    def _questions(self) -> Iterator[pl.Expr]:
        for place, (applies, ok) in self._tests.items():
            yield (applies & ok).sum().alias(f"a{place}")
            yield applies.sum().alias(f"b{place}")
        for place, rule in enumerate(self._rules):
            if rule.kind == "fresh_within":
                yield moment(rule.column).max().alias(f"newest{place}")

    def look(self, batch: Batch, threads: Executor) -> list[Future[Facets]]:
        """Start looking at the columns of one batch."""
        return [threads.submit(c.look, batch[c.recipe.name], SAMPLES, whole=self._whole) for c in self._looks]

    def add(self, facets: Sequence[Facets], size: int) -> None:
        """Count what was found in one batch of `size` rows, which follow those of the batch before."""
        named = {c.recipe.name: f for c, f in zip(self._looks, facets, strict=True)}
        for name, found in named.items():
            self._missing[name] += found.missing
        for name in self._invalid:
            self._invalid[name] += named[name].invalid
        texts = pl.DataFrame([series for found in facets for series in found.series])
        counted = texts.lazy().select(self._asked).collect().row(0, named=True) if self._asked else {}
        alone = {c.recipe.name: iter(f.tests) for c, f in zip(self._looks, facets, strict=True)}
        for place, rule in enumerate(self._rules):
            one = (
                Counted(*next(alone[rule.column]))
                if is_alone(rule)
                else self._one(place, rule, counted, named, texts, size)
            )
            self._found[place] = self._found[place].plus(one, self._rows)
        if self._whole:
            self._spill.add(ROWS, keys.added([found.lanes for found in facets if found.lanes is not None]))
        for name, parts in self._sets.items():
            self._spill.add(name, keys.fingerprints(texts, parts))
            if size and name in self._last:
                self._rise(name, texts.select(parts).get_columns())
        self._rows += size

    def _one(
        self, place: int, rule: Any, counted: Mapping[str, Any], named: Mapping[str, Facets], texts: pl.DataFrame,
        size: int,
    ) -> Counted:  # fmt: skip
        if place in self._tests:
            a, b = int(counted[f"a{place}"] or 0), int(counted[f"b{place}"] or 0)
            applies, ok = self._tests[place]
            return Counted(a, b, self._failing(place, texts, applies & ~ok) if a < b else ())
        if rule.kind == "required":
            gaps = sum(named[c].missing for c in rule.columns)
            rows = sorted({row for c in rule.columns for row in named[c].gaps})[:SAMPLES]
            b = size * len(rule.columns)
            return Counted(b - gaps, b, tuple(rows))
        return Counted(newest=counted.get(f"newest{place}"))

    def _rise(self, name: str, key: Sequence[pl.Series]) -> None:
        """Remember the last key of a set of one column as long as each is greater than the one before it."""
        cells, last = key[0], self._last.pop(name)
        rises = len(key) == 1 and not cells.null_count() and cells[0] > last
        if rises and (cells[1:] > cells[:-1]).all():
            self._last[name] = cells[-1]

    def _failing(self, place: int, texts: pl.DataFrame, failing: pl.Expr) -> tuple[int, ...]:
        wanted = SAMPLES - len(self._found[place].rows)
        return tuple(texts.select(failing.arg_true().head(wanted)).to_series().to_list()) if wanted else ()

    def finish(self, files: Sequence[str]) -> Summary:
        found = tuple(self._found)
        rising = frozenset(self._last)
        return Summary(self._rows, self._missing, self._invalid, found, self._spill.close(), rising, tuple(files))
