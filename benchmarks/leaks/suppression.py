"""Leaks through what is hidden: a cell with stars that totals, references or earlier releases give back.

The twin is the product as the platform hides it; the leak hides less than that, or was hidden before somebody knew what
has left since.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import polars as pl

from benchmarks.leaks.cells import COUNT, ROLES, SUM, base
from benchmarks.leaks.registry import Pair, case
from benchmarks.leaks.town import Town, aggregate, job, released
from sandbox.exports.subject import ExportSubject

Frame = pl.DataFrame
BOTH = COUNT | SUM
WHERE, MONTH = "新区", 1
STARS: dict[str, Any] = {"suppress": {"below": "policy", "as": "*"}}


def small(town: Town, name: str, n: int = 4) -> Frame:
    """Two months, and a district of its own with `n` people in the first and thirty in the second: rounding alone would
    leave a total and one other cell no room for more."""
    rows = base(town).with_columns(月份=pl.col("月份") % 2 + 1)
    months = pl.Series([MONTH] * n + [2] * 30, dtype=rows.schema["月份"])
    moved = rows.sample(len(months), seed=town.rng(name).randrange(10**6)).with_columns(
        所属区=pl.lit(WHERE), 身份证号=pl.lit("N") + pl.col("身份证号"), 月份=months
    )
    return pl.concat([rows, moved])


def product(measures: Mapping[str, Any], margins: list[list[str]]) -> Any:
    return job(measures, ["所属区", "月份"], margins=margins, **STARS)


def source(town: Town, frame: Frame) -> Any:
    return {"t": town.source(frame, "身份证号", roles=ROLES)}


def rows_of(subject: ExportSubject, *wanted: tuple[Any, ...]) -> list[int]:
    """The rows of the finest table with these values of the dimensions."""
    evidence = subject.evidence
    assert evidence is not None
    k = evidence.dimensions
    return [n for n, row in enumerate(evidence.rows) if tuple(row[:k]) in wanted and not evidence.groupings[n]]


def hiding(subject: ExportSubject, rows: list[int]) -> ExportSubject:
    """The same product in which only these rows have stars."""
    assert subject.spec is not None
    hidden = frozenset((row, name) for row in rows for name in subject.spec.measures)
    return replace(subject, hidden=hidden, shown=None)


def plant(
    name: str, measures: Mapping[str, Any], margins: list[list[str]], less: Callable[[ExportSubject], list[int]],
    n: int = 4,
) -> None:  # fmt: skip
    """A case within one request: what `less` leaves hidden is given back by the rest."""

    @case(name, "EXP-SUPP-01", "job")
    def within(town: Town) -> Pair:
        twin = aggregate(town, source(town, small(town, name, n)), product(measures, margins))
        return Pair(hiding(twin, less(twin)), twin)


def alone(subject: ExportSubject) -> list[int]:
    return rows_of(subject, (WHERE, MONTH))


def beside(subject: ExportSubject) -> list[int]:
    """With it only another cell of its row, so that its column gives it back."""
    return rows_of(subject, (WHERE, MONTH), (WHERE, 2))


def in_a_chain(subject: ExportSubject) -> list[int]:
    """Three corners of a rectangle: the last is given back first, then all the others."""
    assert subject.evidence is not None
    other = next(row[0] for row in subject.evidence.rows if row[0] not in (WHERE, None))
    return rows_of(subject, (WHERE, MONTH), (WHERE, 2), (other, MONTH))


BY_DISTRICT, BOTH_WAYS = [["所属区"]], [["所属区"], ["月份"]]
plant("hidden: a count that its margin gives back", COUNT, BY_DISTRICT, alone)
plant("hidden: an amount that its margin gives back", SUM, BY_DISTRICT, alone)
plant("hidden: a mean that its margin gives back", {"均": {"op": "mean", "of": "费用"}}, BY_DISTRICT, alone)
plant("hidden: nine persons that their margin gives back", COUNT, BY_DISTRICT, alone, 9)
plant("hidden: one person that a margin gives back", BOTH, BY_DISTRICT, alone, 1)
plant("hidden: a count and an amount that the other margin gives back", BOTH, BOTH_WAYS, beside)
plant("hidden: an amount that the other margin gives back", SUM, BOTH_WAYS, beside)
plant("hidden: three corners of a rectangle", BOTH, BOTH_WAYS, in_a_chain)
plant("hidden: an amount that the grand total gives back", SUM, [["所属区"], ["月份"], []], beside)


def tiny(town: Town, name: str) -> Frame:
    """Two small cells beside one another: together they are as many as one of them may be uncertain by."""
    rows = small(town, name)
    second = (pl.col("所属区") == WHERE) & (pl.col("月份") == 2)
    return rows.filter(~second | (second.cum_sum() <= 3))


@case("hidden: two small cells, with an interval that says it", "EXP-SUPP-01", "job")
def narrow(town: Town) -> Pair:
    twin = aggregate(town, source(town, tiny(town, "narrow")), product(COUNT, BY_DISTRICT))
    return Pair(hiding(twin, rows_of(twin, (WHERE, MONTH), (WHERE, 2))), twin)


BEFORE: dict[str, tuple[Mapping[str, Any], dict[str, Any]]] = {
    "hidden: a count that an earlier total gives back": (COUNT, job(COUNT, ["所属区"])),
    "hidden: an amount that an earlier total gives back": (SUM, job(SUM, ["所属区"])),
    "hidden: a count that an earlier table without a filter gives back": (COUNT, job(COUNT, ["片区", "所属区"])),
}
for _name, (_measures, _earlier) in BEFORE.items():

    @case(_name, "EXP-SUPP-01", "ledger")
    def before(town: Town, name: str = _name, measures: Any = _measures, text: Any = _earlier) -> Pair:
        sources = source(town, small(town, name))
        seen = released(town, sources, text)
        blind = aggregate(town, sources, product(measures, []))
        return Pair(replace(blind, history=seen), aggregate(town, sources, product(measures, []), history=seen))


# ---- people who are in several parts of a whole: their sets add up to nothing, the labels do ----

DATED = {"derive": {"月": {"month": "日期"}, "季": {"quarter": "日期"}}}
MARCH = (WHERE, "2026-03")


def coming_back(town: Town, name: str, n: int = 4) -> Frame:
    """All come in each month of a quarter, but of the thirty in a district of their own only `n` come in March."""
    months = pl.DataFrame({"日期": [f"2026-{m:02}-10" for m in (1, 2, 3)]}).select(pl.col("日期").str.to_date())
    rows = base(town)
    moved = rows.sample(30, seed=town.rng(name).randrange(10**6)).with_columns(
        所属区=pl.lit(WHERE), 身份证号=pl.lit("N") + pl.col("身份证号")
    )
    every = pl.concat([rows.join(months, how="cross"), moved.join(months.head(2), how="cross")])
    return pl.concat([every, moved.head(n).join(months.tail(1), how="cross")])


def dated(measures: Mapping[str, Any], dimensions: list[str], **more: Any) -> Any:
    return job(measures, dimensions, **DATED, **more)


def months_of(town: Town, name: str, n: int = 4) -> Any:
    return {"t": town.source(coming_back(town, name, n), "身份证号", roles=ROLES | {"日期": "open"})}


for _rule in ("EXP-SUPP-01", "EXP-DIFF-01"):

    @case(f"hidden: an amount of a month that an earlier quarter gives back, {_rule}", _rule, "ledger")
    def of_a_quarter(town: Town) -> Pair:
        sources = months_of(town, "quarter")
        seen = released(town, sources, dated(SUM, ["所属区", "季"]))
        text = dated(SUM, ["所属区", "月"], **STARS)
        blind = aggregate(town, sources, text)
        leak = replace(hiding(blind, rows_of(blind, MARCH)), history=seen)
        return Pair(leak, aggregate(town, sources, text, history=seen))


@case("hidden: a month released with stars, and now the quarter", "EXP-DIFF-01", "ledger")
def quarter_after(town: Town) -> Pair:
    def request(n: int) -> ExportSubject:
        sources = months_of(town, "after", n)
        seen = released(town, sources, dated(SUM, ["所属区", "月"], **STARS))
        return aggregate(town, sources, dated(SUM, ["所属区", "季"]), history=seen)

    return Pair(request(4), request(30))
