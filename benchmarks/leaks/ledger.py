"""Leaks that no product shows alone: what it says together with what has left before.

Every case is a history and a request over the same residents; leak and twin differ in how many people lie between them
(or, for amounts, in how large one of them is).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from benchmarks.leaks.cells import COUNT, ROLES, SUM, base
from benchmarks.leaks.registry import Pair, case
from benchmarks.leaks.town import Town, aggregate, job, released
from sandbox.exports.history import ReleasedCell

BOTH = COUNT | SUM
FEW, MANY = 4, 240
Frame = pl.DataFrame
Text = Mapping[str, Any]
Change = Callable[[tuple[ReleasedCell, ...]], tuple[ReleasedCell, ...]]


def people(town: Town, name: str, marks: Mapping[str, int], district: str = "新区", plain: int = 400) -> Frame:
    """The residents, and a district of their own for `plain` of them and, for every mark, so many more who carry it."""
    rows = base(town).with_columns(片区=pl.lit("甲片"))
    picked = rows.sample(plain + sum(marks.values()), seed=town.rng(name).randrange(10**6))
    mark = ["甲片"] * plain + [m for m, n in marks.items() for _ in range(n)]
    moved = picked.with_columns(
        所属区=pl.lit(district), 身份证号=pl.lit("N") + pl.col("身份证号"), 片区=pl.Series(mark)
    )
    return pl.concat([rows, moved])


def product(where: str | None, dimensions: Sequence[str] = ("所属区",), measures: Mapping[str, Any] = BOTH) -> Text:
    """A product over the residents that `where` lets in."""
    return job(measures, list(dimensions), **({"where": where} if where else {}))


def plant(
    name: str, rule: str, before: Sequence[Text], now: Text, make: Callable[[Town, int], Sequence[Frame]],
    change: Change = lambda cells: cells,
) -> None:  # fmt: skip
    """A case whose frames (one for each earlier release, the last for the request) hold FEW or MANY between them."""

    def request(town: Town, between: int) -> Any:
        *earlier, last = (
            {"t": town.source(frame, "身份证号", roles=ROLES)} for frame in make(town, between)
        )  # fmt: skip
        found = (
            cell for number, (source, text) in enumerate(zip(earlier, before, strict=True))
            for cell in released(town, source, text, f"R-{number}")
        )  # fmt: skip
        return aggregate(town, last, now, history=change(tuple(found)))

    @case(name, rule, "job")
    def _case(town: Town) -> Pair:
        return Pair(request(town, FEW), request(town, MANY))


def same(name: str, times: int, **marks: int) -> Callable[[Town, int], Sequence[Frame]]:
    """One table for all releases; a mark of 0 people gets as many as lie between."""

    def make(town: Town, between: int) -> Sequence[Frame]:
        return [people(town, name, {m: n or between for m, n in marks.items()})] * times

    return make


plant("ledger: a nested cell", "EXP-DIFF-01", [product(None, ())], product("所属区 <> '小区'", ()),
      lambda town, n: [people(town, "nested", {}, "小区", n)] * 2)  # fmt: skip
plant("ledger: a filter that leaves a few out", "EXP-DIFF-01", [product(None)], product("片区 <> '乙片'"),
      same("filter", 2, 乙片=0))  # fmt: skip
plant("ledger: some out and as many in", "EXP-DIFF-01", [product("片区 <> '乙片'")], product("片区 <> '丙片'"),
      lambda town, n: [people(town, "swap", {"乙片": n // 2, "丙片": n // 2})] * 2)  # fmt: skip
plant("ledger: the same table a month later", "EXP-DIFF-01", [product(None)], product(None),
      lambda town, n: [(now := people(town, "snapshot", {"甲片": n})).head(-n), now])  # fmt: skip
plant("ledger: groups cut elsewhere", "EXP-DIFF-01",
      [product(None, ("档",))], product(None, ("档",)),
      lambda town, n: [_cut(people(town, "recode", {"乙片": n, "丙片": 600}), ["甲片", "乙片"]),
                       _cut(people(town, "recode", {"乙片": n, "丙片": 600}), ["甲片"])])  # fmt: skip
plant("ledger: a total after all its other parts", "EXP-DIFF-02", [product("所属区 <> '小区'")], product(None, ()),
      lambda town, n: [people(town, "total", {}, "小区", n)] * 2)  # fmt: skip
plant("ledger: three tables that isolate a few", "EXP-DIFF-02",
      [product("片区 <> '丙片'", ()), product("片区 = '乙片'", ())], product("片区 = '甲片'", ()),
      same("three", 3, 乙片=600, 丁片=0))  # fmt: skip


def _cut(frame: Frame, lower: Sequence[str]) -> Frame:
    """The same people in two groups, cut by who is in `lower`."""
    return frame.with_columns(档=pl.when(pl.col("片区").is_in(lower)).then(pl.lit("低")).otherwise(pl.lit("高")))


def _giant(town: Town, between: int) -> Sequence[Frame]:
    """Forty people who are left out before; in the leak one of them has nearly all that they have together."""
    frame = people(town, "giant", {"乙片": 40})
    if between == FEW:
        marked = pl.col("片区") == "乙片"
        first = marked & (marked.cum_sum() == 1)
        fee = pl.when(first).then(pl.lit(4000.0)).when(marked).then(pl.lit(2.0)).otherwise(pl.col("费用"))
        frame = frame.with_columns(费用=fee)
    return [frame, frame]


plant("ledger: a difference that is one giant's", "EXP-DIFF-01", [product("片区 <> '乙片'", measures=SUM)],
      product(None, measures=SUM), _giant)  # fmt: skip


def _exact_too(cells: tuple[ReleasedCell, ...]) -> tuple[ReleasedCell, ...]:
    """As rounded, and once more under another edition, exact."""
    return (*cells, *(replace(cell, release="R-exact", low=None, high=None, value="exact") for cell in cells))


plant("ledger: one set rounded here and exact there", "EXP-DIFF-01", [product(None, measures=COUNT)],
      product("片区 <> '乙片'", measures=COUNT), same("exact", 2, 乙片=0), _exact_too)  # fmt: skip


# ---- the same people in several records: their sets add up to nothing, the records do ----


def visits_of(town: Town, name: str, n: int) -> Frame:
    """Everybody comes in each month of a quarter and to both clinics; of the people of a district of their own only `n`
    were at the second clinic, and `n` came in March."""
    months = pl.DataFrame({"日期": [f"2026-{m:02}-10" for m in (1, 2, 3)]}).select(pl.col("日期").str.to_date())
    clinics = pl.DataFrame({"片区": ["甲科", "乙科"]})
    rows = people(town, name, {}, plain=400).drop("片区")
    new = pl.col("所属区") == "新区"
    every = rows.join(months, how="cross").join(clinics, how="cross")
    few = rows.filter(new).head(n).select("身份证号")
    there = every.join(few, on="身份证号", how="semi")
    plain = every.filter(~new | ((pl.col("片区") == "甲科") & (pl.col("日期").dt.month() < 3)))
    return pl.concat([plain, there.filter((pl.col("片区") == "乙科") | (pl.col("日期").dt.month() == 3))])


def visited(where: str | None, dimensions: Sequence[str], measures: Mapping[str, Any] = SUM, **more: Any) -> Text:
    return job(measures, list(dimensions), **more, **({"where": where} if where else {}))


MONTHS = {"derive": {"月": {"month": "日期"}, "季": {"quarter": "日期"}}}
OWN_WORDS = "SELECT *, CASE month(日期) WHEN 1 THEN '正月' WHEN 2 THEN '二月' ELSE '三月' END AS 月 FROM t"
LEFT_OUT: dict[str, tuple[list[Text], Text]] = {
    "ledger: a clinic that a filter leaves out": (
        [visited(None, ["所属区"])], visited("片区 <> '乙科'", ["所属区"]),
    ),
    "ledger: a quarter, and its months but one": (
        [visited(None, ["所属区", "季"], **MONTHS)], visited("日期 < '2026-03-01'", ["所属区", "月"], **MONTHS),
    ),
    "ledger: a month in words of its own": (
        [visited(None, ["所属区"])],
        visited("月 <> '三月'", ["所属区", "月"], **{"from": "s"}, prepare=[{"name": "s", "sql": OWN_WORDS}]),
    ),
    "ledger: two tables that leave a month over": (
        [visited(None, ["所属区"]), visited("日期 < '2026-02-01'", ["所属区"])],
        visited("月 = '2026-02'", ["所属区", "月"], **MONTHS),
    ),
}  # fmt: skip
for _name, (_before, _now) in LEFT_OUT.items():

    @case(_name, "EXP-DIFF-02" if len(_before) > 1 or "months" in _name or "words" in _name else "EXP-DIFF-01", "job")
    def left_out(town: Town, name: str = _name, before: Sequence[Text] = _before, now: Text = _now) -> Pair:
        def request(n: int) -> Any:
            source = {"t": town.source(visits_of(town, name, n), "身份证号", roles=ROLES | {"日期": "open"})}
            seen = [c for i, text in enumerate(before) for c in released(town, source, text, f"R-{i}")]
            return aggregate(town, source, now, history=seen)

        return Pair(request(FEW), request(MANY))


@case("ledger: a clinic left out that is one giant's", "EXP-DIFF-01", "job")
def giant_left_out(town: Town) -> Pair:
    def request(fee: float) -> Any:
        rows = visits_of(town, "giant clinic", 40)
        there = (pl.col("所属区") == "新区") & (pl.col("片区") == "乙科")
        paid = pl.when(there & (there.cum_sum() == 1)).then(pl.lit(fee)).when(there).then(pl.lit(200.0))
        rows = rows.with_columns(费用=paid.otherwise(pl.col("费用")))
        source = {"t": town.source(rows, "身份证号", roles=ROLES | {"日期": "open"})}
        seen = released(town, source, visited("片区 <> '乙科'", ["所属区"]))
        return aggregate(town, source, visited(None, ["所属区"]), history=seen)

    return Pair(request(400_000.0), request(200.0))
