"""The pools of Chinese identifiers, names and places against Faker's zh_CN providers, value for value in one process.

Times are processor seconds of this thread (`thread_time`), the best of `TURNS` turns taken in alternation, so that a
busy machine slows both sides alike. Our side makes `PDS_BENCH_VALUES` values (200,000) a turn, Faker `FAKER_VALUES`:
its cost a value does not fall with their number. Our time includes putting the values into an Arrow column.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import numpy as np
import polars as pl

from benchmarks.figures import Figure
from policies.text import Text
from synthetic import providers as p
from synthetic.providers.pools import Words

TURNS, FAKER_VALUES = 5, 2_000
Maker = Callable[[np.random.Generator, int], Words]

PAIRS: dict[str, tuple[Maker, str, float, str]] = {  # our pool, Faker's method, aim, what it is
    "names": (p.person_names, "name", 50, "姓名"),
    "addresses": (lambda rng, n: p.addresses(rng, *p.places(rng, n)), "address", 50, "地址"),
    "resident_ids": (lambda rng, n: p.people(rng, n).resident_ids, "ssn", 15, "身份证号（含姓名、性别、出生日期）"),
    "mobiles": (p.mobiles, "phone_number", 4, "手机号"),
    "company_names": (p.company_names, "company", 4, "企业名称"),
    "plates": (p.plates, "license_plate", 4, "车牌"),
}
ALONE: dict[str, tuple[Maker, str]] = {
    "usccs": (p.usccs, "统一社会信用代码"),
    "bank_cards": (p.bank_cards, "银行卡号"),
    "vins": (p.vins, "车架号"),
    "permits": (p.permits, "通行证号"),
    "remarks": (lambda rng, n: p.remarks(rng, n, kind="complaint"), "诉求文本"),
}
RATE = 1_000_000
"""values a second that a pool without a counterpart should make"""


def figures() -> list[Figure]:
    """Microseconds a value beside Faker's for every pair (the ratio is ours over Faker's), and rates of the others."""
    from faker import Faker

    fake, n = Faker("zh_CN"), int(os.environ.get("PDS_BENCH_VALUES", "200000"))
    Faker.seed(7)
    found = []
    for name, (make, method, aim, zh) in PAIRS.items():
        ours, theirs = _alternating(_column(make, n), _repeated(getattr(fake, method)), n)
        said = Text(f"{zh}：每值微秒，对 Faker zh_CN（目标 ≥ {aim:g} 倍，实得 {theirs / ours:.0f} 倍）",
                    f"{name}: µs a value, aim ≥ {aim:g}× Faker, got {theirs / ours:.0f}×")  # fmt: skip
        found.append(Figure(name, ours, round(theirs, 3), "µs/value", said))
    for name, (make, zh) in ALONE.items():
        rate = n / min(_seconds(_column(make, n)) for _ in range(TURNS))
        said = Text(f"{zh}：每秒个数（Faker 无对应）", f"{name}: values a second, no counterpart in Faker")
        found.append(Figure(name, rate, RATE, "values/s", said))
    return found


def _column(make: Maker, n: int) -> Callable[[], object]:
    turns = iter(range(1_000_000))
    return lambda: pl.Series(make(np.random.default_rng(next(turns)), n), dtype=pl.String)


def _repeated(one: Callable[[], str]) -> Callable[[], object]:
    return lambda: [one() for _ in range(FAKER_VALUES)]


def _alternating(ours: Callable[[], object], theirs: Callable[[], object], n: int) -> tuple[float, float]:
    """Best microseconds a value of either side."""
    ours(), theirs()  # both have been called once before either is timed
    times = [(_seconds(ours), _seconds(theirs)) for _ in range(TURNS)]
    return min(a for a, _ in times) / n * 1e6, min(b for _, b in times) / FAKER_VALUES * 1e6


def _seconds(call: Callable[[], object]) -> float:
    began = time.thread_time()
    call()
    return time.thread_time() - began


if __name__ == "__main__":
    for figure in figures():
        print(f"{figure.name:16} {figure.value:12.3f} {figure.against:12.3f} {figure.unit:9} {figure.text.en}")
