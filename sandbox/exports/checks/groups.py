"""What the shape of a table tells about whole groups: empty combinations, and groups that are all in one cell."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sandbox.exports.checks.base import Measured, Miss, check, limited, not_assessed
from sandbox.exports.checks.cells import every_table, whole_columns
from sandbox.exports.places import within
from sandbox.exports.subject import ExportSubject, Judged

_LISTED = 1_000_000
"""Combinations that are looked at one by one."""


@check("zero_cells")
def zero_cells(subject: ExportSubject, parameters: Any) -> Measured:
    """Combinations of released dimension values that hold nobody: a person decides whether that is structural (R6),
    unless the policy lists it as such. Each set of margins is a table of its own."""
    if subject.by_file:
        columns = whole_columns(every_table(subject))
        zeros = [Miss(within(t.place, row=n, column=t.header[i]), 0) for t, i, surely, values in columns
                 for n, v in enumerate(values, start=1) if surely and v == 0]  # fmt: skip
        return Measured(len(zeros), 0, limited(zeros))
    misses, empty = [], 0
    for judged in subject.judged():
        found = sum(_empty(judged, cells, parameters.structural) for cells in _groupings(judged).values())
        empty += found
        misses += [Miss(judged.place, found, 0)] if found else []
    return Measured(empty, 0, tuple(misses))


def _groupings(judged: Judged) -> dict[int, list[int]]:
    """Grouping set → its rows."""
    found: dict[int, list[int]] = {}
    for cell, grouping in enumerate(judged.evidence.groupings):
        found.setdefault(grouping, []).append(cell)
    return found


def _empty(judged: Judged, cells: list[int], structural: Sequence[Mapping[str, str]]) -> int:
    """Combinations without a row. Where there are too many to look at one by one, none is taken for structural."""
    rows = [judged.evidence.rows[cell] for cell in cells]
    k = judged.evidence.dimensions
    values = [{row[i] for row in rows} for i in range(k)]
    missing = math.prod(map(len, values)) - len(rows)
    names, there = judged.evidence.columns[:k], {tuple(row[:k]) for row in rows}
    about = [one for one in structural if set(one) <= set(names)]
    if not missing or not about or math.prod(map(len, values)) > _LISTED:
        return missing
    return sum(combination not in there and not _structural(names, combination, about)
               for combination in itertools.product(*values))  # fmt: skip


def _structural(names: Sequence[str], values: Sequence[Any], listed: Sequence[Mapping[str, str]]) -> bool:
    here = dict(zip(names, map(str, values), strict=True))
    return any(all(here.get(name) == value for name, value in one.items()) for one in listed)


@check("group_disclosure")
def group_disclosure(subject: ExportSubject, parameters: Any) -> Measured:
    """No cell holds (nearly) the whole of its row or column: that would tell about every member of the group (R7).

    Looked at with every dimension free in turn, in the cells of all dimensions and in those of each set of margins; a
    cell with a large part of a wider group has a larger part of the narrower ones. A group whose every other cell is
    structurally empty could be nowhere else: that tells nothing, and so does a cell that the file does not show.
    """
    if subject.by_file:
        return not_assessed(subject.files[0].name if subject.files else "request")
    g, misses, worst = parameters.max_share, [], 0.0
    for judged in subject.judged():
        for cells in _groupings(judged).values():
            for share, cell, measure in _shares(judged, cells, parameters.structural):
                if (cell, measure) in judged.hidden:  # whether it can be worked out is the audit's to say
                    continue
                worst = max(worst, share)
                if share >= g:
                    misses.append(Miss(judged.cell(cell, measure), round(share, 3), g))
    return Measured(round(worst, 3), g, limited(misses))


def _shares(
    judged: Judged, cells: list[int], structural: Sequence[Mapping[str, str]]
) -> Iterator[tuple[float, int, str]]:
    """The largest cell's share of each group that leaves one dimension free; dimensions with one value are not free."""
    evidence = judged.evidence
    k = evidence.dimensions
    values_of = [{evidence.rows[cell][i] for cell in cells} for i in range(k)]
    free = [i for i in range(k) if len(values_of[i]) > 1]
    for measure in judged.counts:
        place = evidence.columns.index(measure)
        values = [evidence.rows[cell][place] for cell in cells]
        for i in free:
            groups: dict[tuple[Any, ...], list[int]] = {}
            for number, cell in enumerate(cells):
                row = evidence.rows[cell]
                groups.setdefault((*row[:i], *row[i + 1 : k]), []).append(number)
            for members in groups.values():
                total = sum(values[n] or 0 for n in members)
                top = max(members, key=values.__getitem__)
                row = evidence.rows[cells[top]]
                if (cells[top], measure) in judged.hidden:
                    continue
                if total and not _only_there(evidence.columns[:k], row, i, values_of[i], structural):
                    yield int(values[top]) / total, cells[top], measure


def _only_there(
    names: Sequence[str], row: Sequence[Any], free: int, values: Collection[Any],
    structural: Sequence[Mapping[str, str]],
) -> bool:  # fmt: skip
    """Whether the policy lists every other value of the free dimension as impossible beside the rest of this row."""
    k = len(names)
    others = ((*row[:free], value, *row[free + 1 : k]) for value in values if value != row[free])
    return bool(structural) and all(_structural(names, one, structural) for one in others)
