"""社保缴费: one row a person and month. Text delimited by `|`, UTF-8."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from synthetic import providers
from synthetic.city.columns import chunked, iso_days, money, named, serial, without
from synthetic.city.dirt import Soiler
from synthetic.city.firms import SECTORS
from synthetic.city.schema import LABOUR, Column, Frame, Layout, Table
from synthetic.city.society import Society
from synthetic.providers.gazetteer import CITY, DISTRICTS
from synthetic.providers.pools import Words, pick_index

KINDS = ("职工五险", "养老医疗", "单项工伤")
_RATES = np.array([(0.21, 0.102), (0.2, 0.1), (0.004, 0.0)])  # employer, person (assumed)
_MONTHS_A_PERSON = 10.8  # most pay the whole year, some join or leave during it
FLOOR, CEILING = 4775, 27549  # yuan a month (assumed)
_PEOPLE_A_CHUNK = 8_000

COLUMNS = (
    Column("缴费流水号", "text", "key", "缴费记录流水号", "none", None, "公共数据", (1, 4)),
    Column("缴费年月", "text", "code", "费款所属期（YYYYMM）", "none", None, "公共数据", (1, 4)),
    Column("身份证号", "text", "resident_id", "参保人公民身份号码", "direct", "CN_RESIDENT_ID", "个人身份信息", (4, 4)),
    Column("姓名", "text", "person_name", "参保人姓名", "direct", "PERSON", "个人基本资料", (3, 4)),
    Column("险种", "text", "category", "参保险种组合", "sensitive", None, "个人财产信息", (2, 4)),
    Column("单位统一社会信用代码", "text", "uscc", "参保单位统一社会信用代码", "none", "CN_USCC", "组织数据", (1, 3)),
    Column("单位名称", "text", "organisation", "参保单位名称", "quasi", "ORGANIZATION", "个人教育工作信息", (1, 3)),
    Column("缴费基数", "decimal", "amount", "月缴费基数，元", "sensitive", None, "个人财产信息", (3, 4)),
    Column("单位缴费额", "decimal", "amount", "单位应缴额，元", "sensitive", None, "个人财产信息", (3, 4)),
    Column("个人缴费额", "decimal", "amount", "个人应缴额，元", "sensitive", None, "个人财产信息", (3, 4)),
    Column("缴费合计", "decimal", "amount", "单位与个人缴费额之和，元", "sensitive", None, "个人财产信息", (3, 4)),
    Column("银行卡号", "text", "bank_card", "代扣银行卡号", "direct", "CN_BANK_CARD", "个人财产信息", (4, 4)),
    Column("到账日期", "date", "date", "到账日期", "none", None, "公共数据", (1, 4)),
    Column("经办机构", "text", "category", "社保经办机构", "none", None, "公共数据", (1, 2)),
    Column("缴费状态", "text", "category", "正常、补缴、欠缴", "sensitive", None, "个人财产信息", (1, 4)),
)


@dataclass(frozen=True, slots=True)
class _Lines:
    """One entry a contribution: `who` and `employer` index people and firms, `month` counts from January 2025."""

    who: np.ndarray
    employer: np.ndarray
    month: np.ndarray
    kind: np.ndarray
    base: np.ndarray
    cards: Words


def chunks(city: Society, rows: int) -> Iterator[Frame]:
    """Contribution months of the insured, person by person, about `rows` in all."""
    people = city.people
    insured = np.flatnonzero(people.employed & ~people.reserved)
    wanted = min(len(insured), round(rows / _MONTHS_A_PERSON))
    members = np.sort(city.rng("social_insurance", "参保人").choice(insured, wanted, replace=False))
    for number, part in chunked(wanted, _PEOPLE_A_CHUNK):
        yield _chunk(city, number, members[part])


def _chunk(city: Society, number: int, members: np.ndarray) -> Frame:
    def rng(column: str) -> np.random.Generator:
        return city.rng("social_insurance", column, number)

    change = pick_index(rng("增减员"), 3, len(members), (0.8, 0.13, 0.07))
    turn = rng("增减月").integers(1, 12, len(members))
    first = np.where(change == 1, turn, 0)
    months = np.where(change == 2, turn, 12) - first
    employer = _employers(rng("单位"), city, members)
    cards = providers.bank_cards(rng("银行卡号"), len(members))
    who = np.repeat(np.arange(len(members)), months)
    month = np.arange(len(who)) - np.repeat(np.cumsum(months) - months, months) + first[who]
    order = np.lexsort((who, month))
    who, month = who[order], month[order]
    kind = _kind(rng("险种"), city.people.ages[members])[who]
    base = _base(rng("缴费基数"), city, members, employer)[who]
    line = _Lines(members[who], employer[who], month, kind, base, cards[who])
    return _columns(city, rng, line, number)


def _employers(rng: np.random.Generator, city: Society, members: np.ndarray) -> np.ndarray:
    """A firm for each person, drawn by staff; the educated work rather in well-paying sectors."""
    firms, learned = city.firms, city.people.education[members] >= 4
    wage = np.array([sector.wage for sector in SECTORS])[firms.sectors]
    usable = (firms.states == 0) & ~firms.reserved
    out = np.empty(len(members), dtype=np.int64)
    for group, taste in ((learned, wage**2.5), (~learned, wage**-1.0)):
        rows = np.flatnonzero(group)
        out[rows] = pick_index(rng, len(firms), len(rows), firms.staff * usable * taste)
    return out


def _kind(rng: np.random.Generator, ages: np.ndarray) -> np.ndarray:
    """Past retirement age only work injury can be insured."""
    return np.where(ages >= 60, 2, pick_index(rng, 2, len(ages), (0.86, 0.14)))


def _base(rng: np.random.Generator, city: Society, members: np.ndarray, employer: np.ndarray) -> np.ndarray:
    wage = np.array([sector.wage for sector in SECTORS])[city.firms.sectors[employer]]
    pay = city.people.income[members] * wage * np.exp(rng.normal(0, 0.06, len(members)))
    reported = np.where(rng.random(len(members)) < 0.1, FLOOR, pay)  # some employers report the floor
    return np.clip(np.round(reported), FLOOR, CEILING)


def _columns(city: Society, rng: Callable[[str], np.random.Generator], line: _Lines, number: int) -> Frame:
    people, firms, n = city.people, city.firms, len(line.who)
    who, employer, month, kind, base = line.who, line.employer, line.month, line.kind, line.base
    employers, own = np.round(base * _RATES[kind, 0], 2), np.round(base * _RATES[kind, 1], 2)
    period = serial("2025", month + 1, 2)
    paid = (np.datetime64("2025-01-01") + np.zeros(n, "timedelta64[D]")).astype("datetime64[M]") + month
    late = pick_index(rng("缴费状态"), 3, n, (0.955, 0.03, 0.015))
    days = np.where(late == 1, 45, 8) + rng("到账日期").integers(0, 12, n)
    return {
        "缴费流水号": serial("SI" + period, number * 300_000 + np.arange(n), 8),
        "缴费年月": period,
        "身份证号": people.ids[who],
        "姓名": people.names[who],
        "险种": named(KINDS, kind),
        "单位统一社会信用代码": firms.usccs[employer],
        "单位名称": firms.names[employer],
        "缴费基数": money(base),
        "单位缴费额": money(employers),
        "个人缴费额": money(own),
        "缴费合计": money(employers + own),
        "银行卡号": without(line.cards, rng("卡空").random(n) < 0.04),
        "到账日期": without(iso_days(paid.astype("datetime64[D]") + days.astype("timedelta64[D]")), late == 2),
        "经办机构": named([f"{CITY}社会保险基金管理局{d.name}分局" for d in DISTRICTS], firms.districts[employer]),
        "缴费状态": named(("正常", "补缴", "欠缴"), late),
    }


def soil(soiler: Soiler) -> None:
    """Thousands separators, several spellings of dates and of missing, refused rows."""
    soiler.break_rows(0.0006)
    soiler.bad_check("银行卡号", 0.001)
    soiler.negative("缴费基数", 0.0005)
    soiler.impossible("缴费年月", ("202513", "202500"), 0.0004)
    soiler.full_width("身份证号", 0.0005)
    soiler.trailing_blanks("单位名称", 0.004)
    soiler.duplicate(0.002)
    soiler.thousands("缴费基数", 0.25)
    soiler.spell_dates("到账日期", (0.85, 0.1, 0.0, 0.05))
    soiler.spell_missing(empty=0.4)


TABLE = Table(
    key="social_insurance",
    title="社保缴费",
    department=LABOUR,
    grain="每行一人一月缴费",
    columns=COLUMNS,
    layout=Layout("txt", "utf-8", delimiter="|"),
    entities={"person": "身份证号", "organisation": "单位统一社会信用代码"},
    base_rows=25_000,
    chunks=chunks,
    soil=soil,
)
