"""Leaks in cells of aggregates: too few people, one who dominates, whole groups, extremes, crafted constants; and facts
of the request that do not hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import polars as pl

from benchmarks.leaks.registry import Pair, case
from benchmarks.leaks.town import Town, aggregate, job, released
from sandbox.exports.subject import SIMULATED_LABEL, ExportSubject, VolumeFacts

COUNT: dict[str, Any] = {"人次": {"op": "count"}}
SUM: dict[str, Any] = {"金额": {"op": "sum", "of": "费用", "round": 0}}
ROLES: dict[str, Any] = {"所属区": "open", "性别": "open", "月份": "open", "片区": "open"}
Frame = pl.DataFrame


def base(town: Town) -> Frame:
    """One row a resident: district, sex, month, and a fee as clinics ask for it."""
    fees = town.visits["费用"].sample(town.residents.height, with_replacement=True, seed=town.seed)
    return town.residents.select("身份证号", "所属区", "性别").with_columns(
        费用=fees.clip(20, 900).round(0), 月份=pl.int_range(pl.len()) % 4 + 1, 片区=pl.lit("甲片")
    )


def few(town: Town, name: str, n: int, where: str = "新区") -> Frame:
    """`n` of the residents, moved to a district of their own."""
    rows = base(town)
    kept = rows.sample(n, seed=town.rng(name).randrange(10**6))
    return pl.concat([rows, kept.with_columns(所属区=pl.lit(where), 身份证号=pl.lit("N") + pl.col("身份证号"))])


def made(town: Town, frame: Frame, text: dict[str, Any], **changes: Any) -> ExportSubject:
    """The product of one input whose records are residents'."""
    source = town.source(frame, "身份证号", roles=ROLES)
    return aggregate(town, {"t": source}, text, **changes)


Make = Callable[[Town], Frame]


def plant(name: str, rule: str, text: dict[str, Any], leak: Make, twin: Make) -> None:
    """A case in which the same product is made of two tables."""

    @case(name, rule, "job")
    def pair(town: Town) -> Pair:
        return Pair(made(town, leak(town), text), made(town, twin(town), text))


BY_DISTRICT = ["所属区"]
THRESHOLD: dict[str, tuple[dict[str, Any], int]] = {
    "one person in a cell": (COUNT, 1), "three persons in a cell": (COUNT, 3), "nine persons in a cell": (COUNT, 9),
    "the sum of four persons": (SUM, 4), "the mean of six persons": ({"均": {"op": "mean", "of": "费用"}}, 6),
    "the distinct count of five": ({"人数": {"op": "count_distinct", "of": "身份证号"}}, 5),
    "the rate of seven persons": ({"比": {"op": "ratio", "of": "费用", "per": "月份", "round": 1}}, 7),
}  # fmt: skip
for _name, (_measures, _n) in THRESHOLD.items():
    plant(
        _name, "EXP-CELL-01", job(_measures, BY_DISTRICT),
        lambda town, n=_n, name=_name: few(town, name, n), lambda town, name=_name: few(town, name, 80),
    )  # fmt: skip


def repeated(town: Town, n: int, times: int) -> Frame:
    rows = few(town, "repeated", n)
    return pl.concat([rows, *[rows.filter(pl.col("所属区") == "新区")] * (times - 1)])


plant("three persons, forty times each", "EXP-CELL-01", job(COUNT, BY_DISTRICT),
      lambda town: repeated(town, 3, 40), lambda town: repeated(town, 60, 2))  # fmt: skip


def blanked(town: Town, kept: int) -> Frame:
    rows = few(town, "blanked", 60)
    number = pl.int_range(pl.len()).over("所属区")
    gone = (pl.col("所属区") == "新区") & (number >= kept)
    return rows.with_columns(费用=pl.when(gone).then(None).otherwise("费用"))


plant("sixty rows of which five have a value", "EXP-CELL-01", job({"均": {"op": "mean", "of": "费用"}}, BY_DISTRICT),
      lambda town: blanked(town, 5), lambda town: blanked(town, 45))  # fmt: skip


def zeroed(town: Town, kept: int) -> Frame:
    rows = few(town, "zeroed", 90)
    number = pl.int_range(pl.len()).over("所属区")
    gone = (pl.col("所属区") == "新区") & (number >= kept)
    return rows.with_columns(费用=pl.when(gone).then(0.0).otherwise("费用"))


plant("ninety persons of whom six have anything", "EXP-CELL-01", job(SUM, BY_DISTRICT),
      lambda town: zeroed(town, 6), lambda town: zeroed(town, 70))  # fmt: skip
plant("two persons of one sex in a district", "EXP-CELL-01", job(COUNT, ["所属区", "性别"]),
      lambda town: few(town, "sex", 4), lambda town: few(town, "sex", 160))  # fmt: skip
plant("eight persons in a margin", "EXP-CELL-01", job(COUNT, ["所属区", "月份"], margins=[["所属区"], []]),
      lambda town: few(town, "margin", 8), lambda town: few(town, "margin", 240))  # fmt: skip
plant("a filter that leaves four persons", "EXP-CELL-01",
      job(COUNT, BY_DISTRICT, where=[{"column": "费用", "op": ">", "value": 5000}]),
      lambda town: lifted(town, 4), lambda town: lifted(town, 60))  # fmt: skip


def lifted(town: Town, n: int) -> Frame:
    """In every district `n` persons have a fee of over 5000."""
    rows, number = base(town), pl.int_range(pl.len()).over("所属区")
    return rows.with_columns(费用=pl.when(number < n).then(6000.0 + number).otherwise("费用"))


def top(town: Town, *amounts: float, people: int = 60, each: float = 100.0) -> Frame:
    """A new district in which the first persons have these amounts and the others `each`."""
    rows, number = few(town, "top", people), pl.int_range(pl.len()).over("所属区")
    value = pl.lit(each) + number % 7
    for place, amount in enumerate(amounts):
        value = pl.when(number == place).then(pl.lit(amount)).otherwise(value)
    return rows.with_columns(费用=pl.when(pl.col("所属区") == "新区").then(value).otherwise("费用"))


DOMINATED = {
    "one person has 95 % of a sum": (150_000.0, 100.0), "two persons have 92 % of a sum": (50_000.0, 40_000.0),
    "a loss of one person is most of a sum": (-150_000.0, 100.0),
}  # fmt: skip
for _name, _amounts in DOMINATED.items():
    plant(_name, "EXP-DOM-01", job(SUM, BY_DISTRICT), lambda town, amounts=_amounts: top(town, *amounts),
          lambda town: top(town, 300.0, 200.0))  # fmt: skip
plant("the mean of one rich person", "EXP-DOM-01", job({"均": {"op": "mean", "of": "费用"}}, BY_DISTRICT),
      lambda town: top(town, 200_000.0), lambda town: top(town, 300.0))  # fmt: skip
KNOWN = {"the second knows the first to 6 %": 100_000.0, "the second knows the first to 9 %": 70_000.0}
for _name, _first in KNOWN.items():
    plant(_name, "EXP-DOM-02", job(SUM, BY_DISTRICT), lambda town, first=_first: top(town, first, 30_000.0),
          lambda town: top(town, 300.0, 200.0))  # fmt: skip


def firms(town: Town) -> Frame:
    """One row a firm: sector and turnover."""
    rows = town.firms.select("统一社会信用代码", "行业门类").with_columns(片区=pl.lit("全市"))
    number = pl.int_range(pl.len())
    return rows.with_columns(营收=100.0 + number % 37, 集团=pl.lit("J") + number.cast(pl.String))


def of_firms(town: Town, frame: Frame, holding: str | None = None) -> ExportSubject:
    source = town.source(frame, "统一社会信用代码", "enterprise", roles={"片区": "open"}, holding=holding)
    measures = {"家数": {"op": "count"}, "营收": {"op": "sum", "of": "营收", "round": 0}}
    return aggregate(town, {"t": source}, job(measures, ["片区"]))


@case("one firm has 55 % of a sector", "EXP-DOM-01", "job")
def one_firm(town: Town) -> Pair:
    rows, first = firms(town), pl.int_range(pl.len()) == 0
    rest = float(rows["营收"].sum())
    return Pair(of_firms(town, rows.with_columns(营收=pl.when(first).then(rest * 1.2).otherwise("营收"))),
                of_firms(town, rows))  # fmt: skip


@case("three firms of one holding have 60 %", "EXP-DOM-01", "job")
def holding(town: Town) -> Pair:
    rows = firms(town)
    rest, first = float(rows["营收"].sum()), pl.int_range(pl.len()) < 3
    big = rows.with_columns(营收=pl.when(first).then(rest * 0.5).otherwise("营收"))
    apart, joined = big, big.with_columns(集团=pl.when(first).then(pl.lit("H")).otherwise("集团"))
    small = apart.with_columns(营收=pl.when(first).then(rest * 0.05).otherwise("营收"))
    return Pair(of_firms(town, joined, "集团"), of_firms(town, small, "集团"))


EXTREMES: dict[str, dict[str, Any]] = {
    "the largest fee": {"最大": {"op": "max", "of": "费用"}}, "the smallest fee": {"最小": {"op": "min", "of": "费用"}},
    "the 99th percentile of sixty": {"高": {"op": "quantile", "of": "费用", "q": 0.99}},
    "the first percentile of sixty": {"低": {"op": "quantile", "of": "费用", "q": 0.01}},
}  # fmt: skip


def capped(town: Town) -> Frame:
    """Fees that hundreds share at either end."""
    number = pl.int_range(pl.len()).over("所属区")
    return base(town).with_columns(费用=50.0 + 10 * (number % 5))


for _name, _measures in EXTREMES.items():
    plant(_name, "EXP-EXTREME-01", job(_measures, BY_DISTRICT),
          lambda town: top(town, 900.0, 850.0, each=200.0), capped)  # fmt: skip


def skewed(town: Town, share: float) -> Frame:
    """Month 1 has this share of each district's people."""
    number, size = pl.int_range(pl.len()).over("所属区"), pl.len().over("所属区")
    rest = pl.int_range(pl.len()) % 3 + 2
    return base(town).with_columns(月份=pl.when(number < size * share).then(pl.lit(1)).otherwise(rest))


for _name, _share in (("91 % of a district in one month", 0.91), ("97 % of a district in one month", 0.97)):
    plant(_name, "EXP-GROUP-01", job(COUNT, ["所属区", "月份"]), lambda town, share=_share: skewed(town, share),
          lambda town: skewed(town, 0.6))  # fmt: skip


def split(town: Town, gap: bool) -> Frame:
    rows = base(town)
    first = rows["所属区"][0]
    return rows.filter(~((pl.col("所属区") == first) & (pl.col("月份") == 2))) if gap else rows


plant("nobody of a district in one month", "EXP-ZERO-01", job(COUNT, ["所属区", "月份"]),
      lambda town: split(town, True), lambda town: split(town, False))  # fmt: skip


@case("no man in a ward that could have some", "EXP-ZERO-01", "job")
def wards(town: Town) -> Pair:
    even = pl.int_range(pl.len()) % 2 == 0
    rows = base(town).with_columns(科室=pl.when(even).then(pl.lit("内科")).otherwise(pl.lit("外科")))
    text = job(COUNT, ["性别", "科室"])
    gone = (pl.col("性别") == "男") & (pl.col("科室") == "外科")
    births = rows.with_columns(科室=pl.when(pl.col("科室") == "外科").then(pl.lit("产科")).otherwise("科室"))
    structural = births.filter(~((pl.col("性别") == "男") & (pl.col("科室") == "产科")))
    other = pl.int_range(pl.len()) % 3 == 0  # two wards with men, so that they are not all in one
    more = structural.with_columns(科室=pl.when(other).then(pl.lit("骨科")).otherwise("科室"))
    return Pair(made(town, rows.filter(~gone), text), made(town, more, text))


SPREAD = {"离散": {"op": "stddev", "of": "费用", "round": 0}}
for _n in (10, 3):
    plant(f"the spread of {_n} persons", "EXP-DF-01", job(SPREAD, BY_DISTRICT),
          lambda town, n=_n: few(town, "spread", n), lambda town: few(town, "spread", 120))  # fmt: skip


CRAFTED = {
    "one person's fee among constants": "CASE WHEN 身份证号 = '{id}' THEN 费用 ELSE 1000000 END",
    "one person's fee and zeros": "CASE WHEN 身份证号 = '{id}' THEN 费用 ELSE 0 END",
    "two constants around one person":
        "CASE WHEN 身份证号 = '{id}' THEN 费用 WHEN 性别 = '男' THEN 500000 ELSE 700000 END",
}  # fmt: skip


def _prepared(expression: str) -> dict[str, Any]:
    return job(
        {"金额": {"op": "sum", "of": "x", "round": 0}}, ["所属区"],
        prepare=[{"name": "v", "sql": f"SELECT 身份证号, 所属区, {expression} AS x FROM t"}], **{"from": "v"},
    )  # fmt: skip


for _name, _text in CRAFTED.items():

    @case(_name, "EXP-CELL-01" if "zeros" in _name else "EXP-PROOF-02", "job with a step")
    def crafted(town: Town, text: str = _text) -> Pair:
        rows = base(town)
        who = rows["身份证号"][town.rng("crafted").randrange(rows.height)]
        return Pair(made(town, rows, _prepared(text.format(id=who))), made(town, rows, _prepared("费用 * 2")))


@case("a comparison with a key inside a measure", "EXP-EXPR-01", "job with a step")
def suspect(town: Town) -> Pair:
    text = "CASE WHEN 身份证号 < 'M' THEN 费用 ELSE 费用 + 1 END"
    return Pair(made(town, base(town), _prepared(text)), made(town, base(town), _prepared("费用 + 1")))


@case("a district for every person", "EXP-ENTITY-01", "job")
def person_rows(town: Town) -> Pair:
    rows = base(town)
    own = rows.with_columns(所属区=pl.lit("户") + pl.int_range(pl.len()).cast(pl.String))
    return Pair(made(town, own, job(COUNT, BY_DISTRICT)), made(town, rows, job(COUNT, BY_DISTRICT)))


TAMPERED: dict[str, Callable[[bytes], bytes]] = {
    "a count that is not rounded": lambda raw: raw.replace(b"0\n", b"1\n", 1).replace(b"5\n", b"6\n", 1),
    "lines in another order": lambda raw: b"".join([raw.splitlines(True)[0], *raw.splitlines(True)[:0:-1]]),
    "blanks at the end of lines": lambda raw: raw.replace(b"\n", b" \n"),
    "a row more": lambda raw: raw + raw.split(b"\n")[1] + b"\n",
}  # fmt: skip
for _name, _change in TAMPERED.items():

    @case(_name, "EXP-ROUND-01", "csv")
    def tampered(town: Town, change: Callable[[bytes], bytes] = _change) -> Pair:
        clean = made(town, base(town), job(COUNT, BY_DISTRICT))
        file = clean.files[0]
        return Pair(replace(clean, files=(replace(file, content=change(file.content)),)), clean)


@case("a script's cell that rests on four buckets", "EXP-CELL-01", "script", (
    "EXP-GRANT-01", "EXP-DOM-01", "EXP-DOM-02", "EXP-ZERO-01", "EXP-GROUP-01", "EXP-DF-01", "EXP-EXTREME-01",
    "EXP-DIFF-01", "EXP-DIFF-02", "EXP-SUPP-01", "EXP-ROUND-01", "EXP-PROOF-01", "EXP-PROOF-02", "EXP-EXPR-01",
    "EXP-LANE-01", "EXP-ENTITY-01",
))  # fmt: skip
def script(town: Town) -> Pair:
    from benchmarks.leaks.town import report

    source = {"t": town.source(base(town), "身份证号", roles=ROLES)}
    counts = base(town).group_by("所属区").agg(人数=(pl.len() // 5) * 5).sort("所属区")
    twin = replace(report(source, {"区.csv": counts}), form="aggregate")
    assert twin.application is not None and twin.black_box is not None
    twin = replace(twin, application=replace(twin.application, forms=frozenset({"aggregate"})))
    return Pair(replace(twin, black_box=(replace(twin.black_box[0], fewest=4),)), twin)


@case("a script's table that nobody can derive", "EXP-LANE-01", "script")
def by_a_script(town: Town) -> Pair:
    return Pair(script(town).twin, made(town, base(town), job(COUNT, BY_DISTRICT)))


@case("columns that nobody owns", "EXP-LANE-01", "job")
def ownerless(town: Town) -> Pair:
    source = {"t": town.source(base(town).drop("身份证号"), roles=ROLES)}
    return Pair(aggregate(town, source, job(COUNT, BY_DISTRICT)), made(town, base(town), job(COUNT, BY_DISTRICT)))


UNPROVED: dict[str, dict[str, Any]] = {
    "evidence that does not reproduce the output": {"reproduced": False},
    "a deleted half that gives something else": {"halves_as_predicted": 2},
    "fewer halves than asked for": {"halves": 1, "halves_as_predicted": 1},
    "perturbations that were not tried": {"perturbed": ()},
}  # fmt: skip
for _name, _wrong in UNPROVED.items():

    @case(_name, "EXP-PROOF-01", "job")
    def unproved(town: Town, wrong: dict[str, Any] = _wrong) -> Pair:
        clean = made(town, base(town), job(COUNT | SUM, BY_DISTRICT))
        assert clean.evidence is not None
        kinds = tuple(replace(kind, **wrong) for kind in clean.evidence.kinds)
        return Pair(replace(clean, evidence=replace(clean.evidence, kinds=kinds)), clean)


REFUSED = {
    "a step of random numbers": "费用 + random()",
    "a step that reads a file": "(SELECT max(x) FROM read_csv('/etc/passwd') f(x))",
}  # fmt: skip
for _name, _text in REFUSED.items():

    @case(_name, "EXP-PROOF-01", "job with a step")
    def refused(town: Town, text: str = _text) -> Pair:
        return Pair(made(town, base(town), _prepared(text)), made(town, base(town), _prepared("费用 + 1")))


FACTS: dict[str, tuple[str, Callable[[ExportSubject], dict[str, Any]]]] = {
    "an application out of force": ("EXP-GRANT-01", lambda s: {"application": replace(s.application, active=False)}),
    "an agreement that has ended": (
        "EXP-GRANT-01", lambda s: {"application": replace(s.application, agreement_until=date(2026, 5, 31))},
    ),
    "a form that was not approved": (
        "EXP-GRANT-01", lambda s: {"application": replace(s.application, forms=frozenset({"report"}))},
    ),
    "a column outside the grant": (
        "EXP-GRANT-01", lambda s: {"columns_read": {"t": frozenset({*s.columns_read["t"], "姓名"})}},
    ),
    "a snapshot that is not the grant's": (
        "EXP-GRANT-01", lambda s: {"grants": {"t": replace(s.grants["t"], snapshot="sha256:x")}},
    ),
    "important data": ("EXP-LEVEL-01", lambda s: {"grants": {"t": replace(s.grants["t"], important=True)}}),
    "real data called simulated": ("EXP-LABEL-01", lambda s: {"label": SIMULATED_LABEL}),
    "the last rows of a register taken in parts": ("EXP-VOL-01", lambda s: {"volume": VolumeFacts(49_999, 0, 0)}),
    "near the cap of all exports": ("EXP-VOL-01", lambda s: {"volume": VolumeFacts(45_000, 0, 0)}),
    "few rows of many columns, again and again": ("EXP-VOL-01", lambda s: {"volume": VolumeFacts(900, 999_999, 0)}),
    "large files, again and again": ("EXP-VOL-01", lambda s: {"volume": VolumeFacts(900, 9_000, 160 << 20)}),
}  # fmt: skip
for _name, (_rule, _changed) in FACTS.items():

    @case(_name, _rule, "request")
    def facts(town: Town, changed: Callable[[ExportSubject], Any] = _changed) -> Pair:
        clean = made(town, base(town), job(COUNT, BY_DISTRICT))
        return Pair(replace(clean, **changed(clean)), clean)


EARLIER: dict[str, tuple[int, dict[str, Any]]] = {
    "the same table without one person": (1, COUNT), "the same table without nine persons": (9, COUNT),
    "the sum without one person": (1, SUM), "the mean without three": (3, {"均": {"op": "mean", "of": "费用"}}),
}  # fmt: skip
for _name, (_n, _measures) in EARLIER.items():

    @case(_name, "EXP-DIFF-01", "ledger")
    def earlier(town: Town, n: int = _n, measures: dict[str, Any] = _measures) -> Pair:
        rows, text = base(town), job(measures, BY_DISTRICT)
        first = rows.filter(pl.col("所属区") == rows["所属区"][0])["身份证号"]

        def without(number: int) -> Frame:
            return rows.filter(~pl.col("身份证号").is_in(first.head(number).implode()))

        def before(frame: Frame) -> Any:
            return released(town, {"t": town.source(frame, "身份证号", roles=ROLES)}, text)

        leak, twin = (made(town, rows, text, history=before(without(number))) for number in (n, 60))
        return Pair(leak, twin)


@case("three tables that isolate two persons together", "EXP-DIFF-02", "ledger")
def closure(town: Town) -> Pair:
    rows = base(town)
    text = job(SUM, ["片区"])

    def part(low: int, high: int) -> Any:
        frame = rows.slice(low, high - low)
        return released(town, {"t": town.source(frame, "身份证号", roles=ROLES)}, text, f"R-{low}-{high}")

    def now(high: int) -> ExportSubject:
        return made(town, rows.slice(0, high), text, history=(*part(0, 100), *part(100, 200)))

    return Pair(now(202), now(260))
