"""Four related tables of 100,000 parents: how long, how many rows a second, and no orphan; HMA beside it where it can.

Residents and enterprises are the parents, visits hang on residents, insurance records on a resident and an enterprise.
Ours is measured from real rows to judged rows, gates included, by the `tree` engine in one thread; HMA gets the same
tables with a few hundred parents, for more it would take hours, and is measured from the protected view to drawn rows.
`PDS_BENCH_PARENTS` sets the parents (100,000).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

import numpy as np
import polars as pl

from benchmarks.figures import Figure, peak_mb
from policies.text import Text
from synthetic.fields import Field, Order, Sum
from synthetic.tables import TableInput

_PARENTS = 100_000
_HMA_PARENTS = 400
_MINUTES, _MEMORY_MB = 10.0, 4_000.0
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), "1")


def run() -> list[Figure]:
    """The figures alone."""
    return figures()


def figures() -> list[Figure]:
    """Rows a second against HMA's, CPU minutes, orphans and broken rules, peak memory."""
    parents = int(os.environ.get("PDS_BENCH_PARENTS", str(_PARENTS)))
    ours, hma = _in_a_process("tree", parents), _in_a_process("hma", _HMA_PARENTS)
    size, rows = f"{parents:,}", f"{ours['rows']:,.0f}"
    return [
        Figure("related rows", ours["rate"], hma["rate"], "rows/s",
               Text(f"四张相关表（父表 {size} 行）每 CPU 秒的行数，含核查；对 HMA 在 {_HMA_PARENTS} 行父表上",
                    f"rows a CPU second, four related tables of {size} parents, gates included; against HMA's with "
                    f"{_HMA_PARENTS} parents")),
        Figure("related time", ours["seconds"] / 60, _MINUTES, "CPU min",
               Text(f"共 {rows} 行的 CPU 分钟，对上限", f"CPU minutes of {rows} rows, at most")),
        Figure("orphans", ours["orphans"] + ours["broken"], 1.0, "rows",
               Text("孤儿行与违反约束的行，须为 0", "orphans and rows that break a rule; must be 0")),
        Figure("related memory", ours["memory"], _MEMORY_MB, "MB",
               Text("进程最高内存，对上限", "peak memory of the process, at most")),
    ]  # fmt: skip


def _in_a_process(engine: str, parents: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.simulate_related", engine, str(parents)]
    told = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=os.environ | _ONE_THREAD).stdout
    return dict(json.loads(told.splitlines()[-1]))


# ---- inside the measured process ----------------------------------------------------------------------------------
RESIDENT = (
    Field("身份证号", "text", "resident_id", "direct", 3, nullable=False, unique=True,
          follows={"sex": "性别", "birth": "出生日期"}),
    Field("姓名", "text", "person_name", "direct", 3, follows={"sex": "性别"}),
    Field("性别", "text", "category", "quasi", 2, nullable=False, codes=("男", "女")),
    Field("出生日期", "date", "date", "quasi", 3, nullable=False),
    Field("区", "text", "district", "quasi", 2),
    Field("月收入", "decimal", "amount", "sensitive", 3),
    Field("登记日期", "date", "date", "none", 2),
)  # fmt: skip
ENTERPRISE = (
    Field("统一社会信用代码", "text", "uscc", "direct", 2, nullable=False, unique=True),
    Field("企业名称", "text", "organisation", "none", 2),
    Field("行业", "text", "category", "none", 2),
    Field("成立日期", "date", "date", "none", 2),
    Field("注册资本", "decimal", "amount", "none", 2),
)
VISIT = (
    Field("就诊号", "text", "key", "none", 2, nullable=False),
    Field("身份证号", "text", "resident_id", "direct", 3, nullable=False, references=("居民", "身份证号")),
    Field("姓名", "text", "person_name", "direct", 3, references=("居民", "姓名")),
    Field("就诊区", "text", "category", "none", 2),
    Field("就诊日期", "date", "date", "none", 2),
    Field("费用", "decimal", "amount", "none", 2),
    Field("医保支付", "decimal", "amount", "none", 2),
    Field("自付金额", "decimal", "amount", "none", 2),
)
INSURANCE = (
    Field("记录号", "integer", "key", "none", 2, nullable=False),
    Field("身份证号", "text", "resident_id", "direct", 3, nullable=False, references=("居民", "身份证号")),
    Field("单位代码", "text", "uscc", "direct", 2, nullable=False, references=("企业", "统一社会信用代码")),
    Field("险种", "text", "category", "none", 2),
    Field("基数", "decimal", "amount", "none", 2),
    Field("参保日期", "date", "date", "none", 2),
)


def related_tables(parents: int, seed: int = 3) -> dict[str, TableInput]:
    """Four tables with `parents` residents; nobody is behind a row."""
    from synthetic import providers as p

    rng = np.random.default_rng(seed)
    firms, visits, records = max(250, parents // 10), parents * 5 // 2, parents * 3 // 2
    people = p.people(rng, parents)
    born = people.births.astype("datetime64[D]")
    age = (np.datetime64("2025-12-31") - born).astype(int) / 365
    districts, _ = p.places(rng, parents)
    income = np.round(np.exp(8 + 0.01 * age + rng.normal(0, 0.4, parents)), 2)
    residents = pl.DataFrame(
        {"身份证号": people.resident_ids, "姓名": people.names, "性别": people.sexes, "出生日期": born,
         "区": districts, "月收入": income, "登记日期": _days(rng, "2000-01-01", 9_000, parents)}
    )  # fmt: skip
    founded = _days(rng, "1995-01-01", 10_000, firms)
    enterprises = pl.DataFrame(
        {"统一社会信用代码": p.usccs(rng, firms), "企业名称": p.company_names(rng, firms),
         "行业": rng.choice(["制造", "零售", "建筑", "软件", "物流"], firms), "成立日期": founded,
         "注册资本": np.round(rng.lognormal(14, 1, firms), 2)}
    )  # fmt: skip
    seen = _visits(rng, visits, people, age, districts)
    whom, where = rng.integers(0, parents, records), rng.integers(0, firms, records)
    later = (rng.random(records) * (np.datetime64("2025-12-31") - founded[where]).astype(int)).astype(int)
    insured = pl.DataFrame(
        {"记录号": np.arange(records), "身份证号": people.resident_ids[whom],
         "单位代码": enterprises["统一社会信用代码"].to_numpy()[where],
         "险种": rng.choice(["养老", "医疗", "失业"], records),
         "基数": np.round(income[whom] * rng.normal(1, 0.1, records), 2),
         "参保日期": founded[where] + later.astype("timedelta64[D]")}
    )  # fmt: skip
    return {
        "居民": TableInput(residents, RESIDENT),
        "企业": TableInput(enterprises, ENTERPRISE),
        "就诊": TableInput(seen, VISIT, constraints=(
            Sum("费用", ("医保支付", "自付金额")), Order("居民.出生日期", "就诊日期"))),
        "参保": TableInput(insured, INSURANCE, constraints=(Order("企业.成立日期", "参保日期"),)),
    }  # fmt: skip


def _visits(
    rng: np.random.Generator, visits: int, people: Any, age: np.ndarray, districts: np.ndarray
) -> pl.DataFrame:
    """The old come more often and cost more, mostly near home."""
    parents = len(age)
    who = rng.choice(parents, visits, p=age / age.sum())
    near = np.where(rng.random(visits) < 0.85, districts[who], districts[rng.integers(0, parents, visits)])
    paid = np.round(rng.lognormal(4 + age[who] / 60, 0.6), 2)
    share = np.round(paid * rng.random(visits), 2)
    return pl.DataFrame(
        {"就诊号": [f"MZ{i:09d}" for i in range(visits)], "身份证号": people.resident_ids[who],
         "姓名": people.names[who], "就诊区": near, "就诊日期": _days(rng, "2025-01-01", 364, visits),
         "费用": paid, "医保支付": share, "自付金额": np.round(paid - share, 2)}
    )  # fmt: skip


def _days(rng: np.random.Generator, first: str, span: int, n: int) -> Any:
    return np.datetime64(first) + rng.integers(0, span, n).astype("timedelta64[D]")


def measured(parents: int) -> dict[str, float]:
    """CPU seconds of our own way from real rows to judged rows, and what is wrong with these."""
    from synthetic.constraints import violations
    from synthetic.links import Parent, orphans
    from synthetic.related import simulate_related

    tables = related_tables(parents)
    start = time.process_time()
    made = simulate_related(tables, seed=1, engine="tree")
    seconds = time.process_time() - start
    memory = peak_mb()
    above = {n: Parent(m.frame, 1, fields=tables[n].fields) for n, m in made.items()}
    lost = sum(sum(orphans(m.frame, tables[n].fields, above).values()) for n, m in made.items())
    broken = sum(
        sum(violations(m.frame, tables[n].fields, tables[n].constraints, above).values()) for n, m in made.items()
    )
    rows = sum(m.frame.height for m in made.values())
    for name, one in made.items():
        print(name, one.frame.height, one.verdict.outcome.value, [f.rule for f in one.verdict.findings])
    return {"rate": rows / seconds, "seconds": seconds, "rows": rows, "orphans": lost, "broken": broken,
            "memory": memory}  # fmt: skip


def _hma(parents: int) -> dict[str, float]:
    from policies.editions import load
    from synthetic.families import draw_families
    from synthetic.tables import parents_first, sizes_of

    tables, edition = related_tables(parents), load("simulation")
    start = time.process_time()
    drawn = draw_families(
        tables, parents_first(tables), sizes_of(tables, None, edition), 1, edition, asked=True
    )  # fmt: skip
    seconds, rows = time.process_time() - start, sum(f.rows or 0 for f in drawn.values())
    return {"rate": rows / seconds, "seconds": seconds, "rows": rows}


if __name__ == "__main__":
    print(json.dumps({"tree": measured, "hma": _hma}[sys.argv[1]](int(sys.argv[2]))))
