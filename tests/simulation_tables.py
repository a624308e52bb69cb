"""Invented tables for the tests of simulated data: residents, their visits, and the plans of both."""

from __future__ import annotations

import numpy as np
import polars as pl

from synthetic import providers as p
from synthetic.fields import Field, Order

RESIDENTS = "居民登记"
VISITS = "门诊就诊"
RARE_JOB = "宇航员"

RESIDENT_FIELDS = (
    Field("姓名", "text", "person_name", "direct", 3, follows={"sex": "性别"}),
    Field("身份证号", "text", "resident_id", "direct", 3, nullable=False, unique=True,
          follows={"sex": "性别", "birth": "出生日期"}),
    Field("性别", "text", "category", "quasi", 2, nullable=False, codes=("男", "女")),
    Field("出生日期", "date", "date", "quasi", 3, nullable=False),
    Field("手机号", "text", "mobile", "direct", 3),
    Field("区", "text", "district", "quasi", 2),
    Field("街道", "text", "street", "quasi", 2),
    Field("住址", "text", "address", "direct", 3, follows={"district": "区", "street": "街道"}),
    Field("职业", "text", "category", "quasi", 2),
    Field("月收入", "decimal", "amount", "sensitive", 3),
    Field("登记日期", "date", "date", "none", 2, nullable=False),
    Field("备注", "text", "free_text", "sensitive", 3),
)  # fmt: skip
RESIDENT_RULES = (Order("出生日期", "登记日期"),)

VISIT_FIELDS = (
    Field("就诊号", "text", "key", "direct", 2, nullable=False),
    Field("身份证号", "text", "resident_id", "direct", 3, nullable=False, references=(RESIDENTS, "身份证号"),
          follows={"sex": "性别", "birth": "出生日期"}),
    Field("姓名", "text", "person_name", "direct", 3, references=(RESIDENTS, "姓名")),
    Field("性别", "text", "category", "quasi", 2),
    Field("出生日期", "date", "date", "quasi", 2),
    Field("就诊日期", "date", "date", "none", 2),
    Field("科室", "text", "category", "none", 2),
    Field("费用", "decimal", "amount", "sensitive", 3),
)  # fmt: skip


def residents(rows: int, seed: int = 0) -> pl.DataFrame:
    """Related columns, a label of three people, one income nobody else comes near, missing incomes."""
    rng = np.random.default_rng(seed)
    born = p.births(rng, rows, last="2005-12-31")
    sexes = p.person_sexes(rng, rows)
    districts, streets = p.places(rng, rows)
    age = (np.datetime64("2025-01-01") - born).astype(int) / 365
    income = np.round(np.exp(8 + 0.02 * age + rng.normal(0, 0.4, rows)), 2)
    job = np.where(income > 12_000, "管理", rng.choice(["工人", "职员", "退休", "农民"], rows)).astype(object)
    job[:3] = RARE_JOB
    missing = rng.random(rows) < 0.1
    income[5], missing[5] = 987_654.32, False
    registered = born + (rng.random(rows) * (np.datetime64("2025-06-01") - born).astype(int)).astype("timedelta64[D]")
    return pl.DataFrame(
        {
            "姓名": p.person_names(rng, rows, sexes, born),
            "身份证号": p.resident_ids(rng, born, sexes),
            "性别": sexes,
            "出生日期": born,
            "手机号": p.mobiles(rng, rows),
            "区": districts,
            "街道": streets,
            "住址": p.addresses(rng, districts, streets),
            "职业": job,
            "月收入": pl.Series(income).set(pl.Series(missing), None),
            "登记日期": registered,
            "备注": p.remarks(rng, rows),
        }
    )


def visits(people: pl.DataFrame, rows: int, seed: int = 1) -> pl.DataFrame:
    """Visits of two thirds of the people, a few of whom come often."""
    rng = np.random.default_rng(seed)
    weight = rng.exponential(size=people.height * 2 // 3)
    who = rng.choice(len(weight), rows, p=weight / weight.sum())
    same = people.select("身份证号", "姓名", "性别", "出生日期")[who]
    days = np.datetime64("2024-01-01") + rng.integers(0, 365, rows).astype("timedelta64[D]")
    return same.select(
        pl.Series("就诊号", [f"MZ{i:08d}" for i in range(rows)]),
        "身份证号",
        "姓名",
        "性别",
        "出生日期",
        pl.Series("就诊日期", days),
        pl.Series("科室", rng.choice(["内科", "外科", "儿科"], rows, p=[0.5, 0.3, 0.2])),
        pl.Series("费用", np.round(rng.lognormal(5, 1, rows), 2)),
    )
