"""Leaks in records: classes that are too small, classes that tell, and rows of the source under another name."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import polars as pl

from benchmarks.leaks.registry import Pair, case
from benchmarks.leaks.town import BY_HAND, Town, records, report

Frame = pl.DataFrame
FILE = "明细.csv"
ROLES: dict[str, Any] = {
    "性别": "quasi", "年龄": "quasi", "出生日期": "quasi", "民族": "quasi", "所属区": "quasi", "所属街道": "quasi",
    "职业": "quasi", "诊断名称": "sensitive", "费用": "sensitive", "支付方式": "sensitive", "年份": "open",
}  # fmt: skip


ILLNESSES = ("高血压", "糖尿病", "感冒", "胃炎", "骨折")
BLOCK = 2 * len(ILLNESSES)
"""Rows of a class in which every illness and every way to pay comes once"""


def register(town: Town) -> Frame:
    """One row a resident, with what a clinic would know of each.

    Illnesses and ways to pay are dealt out in turn within every class: what chance makes of small classes is no clean
    twin of anything.
    """
    rng = town.rng("register")
    n = town.residents.height
    return town.residents.select(
        "身份证号", "姓名", "手机号", "性别", "年龄", "出生日期", "民族", "所属区", "所属街道", "职业"
    ).with_columns(
        诊断名称=_dealt(1, ILLNESSES), 费用=pl.Series([float(20 + rng.randrange(2000)) for _ in range(n)]),
        支付方式=_dealt(len(ILLNESSES), ("医保", "自费")), 年份=pl.lit(2025),
    )  # fmt: skip


def _dealt(times: int, values: tuple[str, ...]) -> pl.Expr:
    """The values in turn, each `times` times, within every class of 所属区 and 性别."""
    return (_turn() // times % len(values)).replace_strict(dict(enumerate(values)), return_dtype=pl.String)


def _turn() -> pl.Expr:
    return pl.int_range(pl.len()).over("所属区", "性别")


def sample(town: Town, *columns: str) -> Frame:
    """Two blocks of five of every class of the register, with bands in place of ages."""
    rows = register(town).filter(_turn() // BLOCK % 5 < 2).with_columns(年龄段=pl.col("年龄") // 40)
    return rows.select(columns or ("所属区", "性别", "诊断名称", "支付方式"))


def judged(town: Town, leak: Frame, twin: Frame | None = None, *, audience: Any = "contract") -> Pair:
    """Two files of records of the same register, for the same audience; the plain sample is the twin unless given."""
    rows = register(town)
    source = {"t": town.source(rows, "身份证号", roles=ROLES, identifiers=("姓名", "手机号"))}
    twin = sample(town) if twin is None else twin
    return Pair(records(source, {FILE: leak}, audience=audience), records(source, {FILE: twin}, audience=audience))


def odd(town: Town, n: int, **values: Any) -> Frame:
    """The sample, with `n` rows that have values of their own."""
    rows = sample(town)
    first = pl.int_range(pl.len()) < n
    return rows.with_columns(**{c: pl.when(first).then(pl.lit(v)).otherwise(c) for c, v in values.items()})


SIZES = {"one person alone in a district": 1, "four persons alike": 4, "three persons alike": 3}
for _name, _n in SIZES.items():

    @case(_name, "EXP-KANON-01", "csv", BY_HAND)
    def small(town: Town, n: int = _n) -> Pair:
        return judged(town, odd(town, n, 所属区="离岛区", 性别="男"))


@case("two persons alike in an enclave", "EXP-KANON-01", "csv", BY_HAND)
def enclave(town: Town) -> Pair:
    return judged(town, odd(town, 2, 所属区="离岛区", 性别="女"), audience="enclave")


@case("days of birth", "EXP-KANON-01", "csv", BY_HAND)
def births(town: Town) -> Pair:
    return judged(town, sample(town, "出生日期", "性别", "诊断名称", "支付方式"))


@case("exact ages in streets", "EXP-KANON-01", "csv", BY_HAND)
def streets(town: Town) -> Pair:
    return judged(town, sample(town, "年龄", "所属街道", "性别", "诊断名称"))


@case("missing values that are alike in three rows", "EXP-KANON-01", "csv", BY_HAND)
def missing(town: Town) -> Pair:
    return judged(town, odd(town, 3, 所属区=None, 性别="男"))


@case("days of birth under another name", "EXP-KANON-01", "csv", BY_HAND)
def renamed(town: Town) -> Pair:
    return judged(town, sample(town, "出生日期", "性别", "诊断名称").rename({"出生日期": "编组"}))


@case("few rows repeated", "EXP-KANON-01", "csv", BY_HAND)
def repeated(town: Town) -> Pair:
    rows = sample(town, "出生日期", "性别", "诊断名称").head(3)
    return judged(town, pl.concat([rows] * 8))


MASKS: dict[str, Callable[[pl.Expr], pl.Expr]] = {
    "手机号": lambda c: c.str.slice(0, 3) + "****" + c.str.slice(7),
    "身份证号": lambda c: c.str.slice(0, 10) + "********",
    "姓名": lambda c: c.str.slice(0, 1) + "**",
}  # fmt: skip
for _column, _mask in MASKS.items():

    @case(f"{_column} with stars beside a district", "EXP-KANON-01", "csv", BY_HAND)
    def stars(town: Town, column: str = _column, mask: Callable[[pl.Expr], pl.Expr] = _mask) -> Pair:
        rows = register(town).sample(fraction=0.4, seed=town.seed)
        shown = rows.select("所属区", "性别", "诊断名称", "支付方式", mask(pl.col(column).fill_null("")).alias("联系"))
        return judged(town, shown)


@case("weights that are one person's", "EXP-KANON-01", "csv", BY_HAND)
def weights(town: Town) -> Pair:
    rows = sample(town).with_columns(权重=1 + pl.int_range(pl.len()) / 1000)
    return judged(town, rows)


@case("nine alike, published to everybody", "EXP-KANON-01", "csv", (*BY_HAND, "EXP-ROW-01"))
def public(town: Town) -> Pair:
    pair = judged(town, odd(town, 9, 所属区="离岛区", 性别="男"), audience="public")
    return Pair(pair.leak, judged(town, sample(town)).twin)


@case("records for everybody", "EXP-ROW-01", "csv", BY_HAND)
def everybody(town: Town) -> Pair:
    return Pair(judged(town, sample(town), audience="public").leak, judged(town, sample(town)).twin)


@case("a risk of one in twenty for everybody", "EXP-RISK-01", "csv", BY_HAND)
def risk(town: Town) -> Pair:
    leak = judged(town, odd(town, 20, 所属区="离岛区", 性别="男"), audience="public").leak
    return Pair(leak, judged(town, sample(town)).twin)


@case("risk of a class of four", "EXP-RISK-01", "csv", BY_HAND)
def risk_contract(town: Town) -> Pair:
    return judged(town, odd(town, 4, 所属区="离岛区", 性别="男"))


@case("a class in which everybody has one illness", "EXP-LDIV-01", "csv", BY_HAND)
def homogeneous(town: Town) -> Pair:
    return judged(town, odd(town, 30, 所属区="离岛区", 性别="男", 诊断名称="糖尿病"))


@case("a class in which nearly everybody has one illness", "EXP-LDIV-01", "csv", BY_HAND)
def nearly(town: Town) -> Pair:
    rows = odd(town, 30, 所属区="离岛区", 性别="男", 诊断名称="糖尿病")
    three = pl.int_range(pl.len()) < 3
    return judged(town, rows.with_columns(诊断名称=pl.when(three).then(pl.lit("感冒")).otherwise("诊断名称")))


@case("a district whose bills are the largest", "EXP-TCLOSE-01", "csv", BY_HAND)
def skewed(town: Town) -> Pair:
    rows = sample(town, "所属区", "性别", "费用").with_columns(费用=pl.col("费用") // 500)
    first = pl.int_range(pl.len()) < 60
    leak = rows.with_columns(所属区=pl.when(first).then(pl.lit("新区")).otherwise("所属区"),
                             费用=pl.when(first).then(pl.lit(3.0)).otherwise("费用"))  # fmt: skip
    leak = leak.with_columns(费用=pl.when(pl.int_range(pl.len()) < 25).then(pl.lit(2.0)).otherwise("费用"))
    return judged(town, leak, rows)


@case("a street whose illnesses are others", "EXP-TCLOSE-01", "csv", BY_HAND)
def other_illnesses(town: Town) -> Pair:
    rows = odd(town, 40, 所属区="离岛区", 性别="男", 诊断名称="骨折")
    half = pl.int_range(pl.len()) < 20
    return judged(town, rows.with_columns(诊断名称=pl.when(half).then(pl.lit("胃炎")).otherwise("诊断名称")))


WHOLE = ("年龄", "所属街道", "职业", "诊断名称", "费用")
RAW: dict[str, Callable[[Frame], Frame]] = {
    "rows of the source": lambda f: f, "rows in another order": lambda f: f.reverse(),
    "columns in another order": lambda f: f.select(*reversed(f.columns)),
    "rows with other blanks and zeros": lambda f: f.with_columns(费用=pl.col("费用").cast(pl.String) + "0",
                                                             职业=pl.lit(" ") + pl.col("职业")),
    "rows without two columns": lambda f: f.select("所属街道", "诊断名称", "费用"),
    "rows under other names": lambda f: f.rename(dict(zip(f.columns, "abcde", strict=True))),
    "rows with rounded amounts": lambda f: f.with_columns(费用=(pl.col("费用") / 10).round(0) * 10),
    "rows in base64": lambda f: f.select(
        *(pl.col(c).cast(pl.String).fill_null("").map_elements(
            lambda v: base64.b64encode(v.encode()).decode(), pl.String) for c in f.columns)
    ),
}  # fmt: skip
for _name, _change in RAW.items():

    @case(_name, "EXP-RAW-01", "csv", BY_HAND)
    def raw(town: Town, change: Callable[[Frame], Frame] = _change) -> Pair:
        return judged(town, change(sample(town, *WHOLE)))


@case("the register itself", "EXP-ENTITY-01", "csv", BY_HAND)
def whole_register(town: Town) -> Pair:
    return judged(town, register(town).select("所属区", "性别", "诊断名称", "支付方式"))


@case("tax of firms by name", "EXP-FIRM-01", "csv", BY_HAND)
def firms(town: Town) -> Pair:
    rows = town.firms.select("统一社会信用代码", "企业名称", "行业门类", "登记状态").with_columns(
        纳税额=pl.int_range(pl.len()) * 137 % 9000
    )
    roles: Any = {"企业名称": "open", "行业门类": "open", "登记状态": "open", "纳税额": "sensitive"}
    source = {"t": town.source(rows, "统一社会信用代码", "enterprise", roles=roles)}
    some = rows.filter(pl.col("行业门类").len().over("行业门类") > 30).head(60)
    return Pair(report(source, {"企业.csv": some.select("企业名称", "纳税额")}),
                report(source, {"企业.csv": some.select("行业门类", "登记状态")}))  # fmt: skip
