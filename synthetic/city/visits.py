"""门诊就诊: one row an outpatient visit of 2025. UTF-8, LF, dates in four spellings, refused rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from synthetic import providers
from synthetic.city.columns import chunked, iso_days, money, named, serial, shuffled_serial, whole, without
from synthetic.city.diagnoses import DIAGNOSES, SEASONS, draw
from synthetic.city.dirt import Soiler
from synthetic.city.population import age_on
from synthetic.city.schema import HEALTH, Column, Frame, Layout, Table
from synthetic.city.society import MATERNITY, Clinic, Society
from synthetic.providers.pools import Words, pick_index
from synthetic.providers.remark import fill

PAYMENTS = ("职工医保", "居民医保", "自费", "商业保险")
_REMARKS = (
    "症状{count}天，建议{day}天后复诊",
    "多饮水，注意休息",
    "家属电话{mobile}，已通知取报告",
    "患者对青霉素过敏",
    "凭身份证{id}代办取药",
    "转上级医院进一步检查",
    "血压偏高，\n嘱低盐饮食，{count}周后复查",
)
_REMARK_WEIGHTS = (0.4, 0.25, 0.08, 0.07, 0.03, 0.16, 0.01)

COLUMNS = (
    Column("就诊流水号", "text", "key", "就诊流水号", "none", None, "公共数据", (1, 4)),
    Column("机构编码", "text", "code", "医疗机构编码", "none", None, "公共数据", (1, 4)),
    Column("机构名称", "text", "organisation", "医疗机构名称", "none", "ORGANIZATION", "公共数据", (1, 4)),
    Column("身份证号", "text", "resident_id", "患者公民身份号码", "direct", "CN_RESIDENT_ID", "个人身份信息", (4, 4)),
    Column("患者姓名", "text", "person_name", "患者姓名", "direct", "PERSON", "个人基本资料", (3, 4)),
    Column("病历号", "text", "code", "门诊病历号", "direct", None, "个人健康生理信息", (3, 4)),
    Column("性别", "text", "category", "患者性别", "quasi", None, "个人基本资料", (2, 3)),
    Column("年龄", "integer", "number", "就诊时周岁年龄", "quasi", None, "个人基本资料", (2, 3)),
    Column("科室", "text", "category", "就诊科室", "sensitive", None, "个人健康生理信息", (2, 4)),
    Column("诊断编码", "text", "code", "诊断编码（ICD-10）", "sensitive", None, "个人健康生理信息", (4, 4)),
    Column("诊断名称", "text", "category", "主要诊断名称", "sensitive", None, "个人健康生理信息", (4, 4)),
    Column("就诊日期", "date", "date", "就诊日期", "quasi", None, "个人健康生理信息", (2, 4)),
    Column("费用", "decimal", "amount", "本次门诊总费用，元", "sensitive", None, "个人财产信息", (2, 4)),
    Column("医保支付", "decimal", "amount", "医保基金支付，元", "sensitive", None, "个人财产信息", (2, 4)),
    Column("自付金额", "decimal", "amount", "个人自付，元", "sensitive", None, "个人财产信息", (2, 4)),
    Column("支付方式", "text", "category", "医疗付费方式", "sensitive", None, "个人财产信息", (1, 4)),
    Column("联系电话", "text", "mobile", "患者联系电话", "direct", "CN_MOBILE", "个人基本资料", (3, 4)),
    Column(
        "备注", "text", "free_text", "医嘱及导诊备注，可能含联系方式", "sensitive", None, "个人健康生理信息", (3, 4)
    ),
)


def chunks(city: Society, rows: int) -> Iterator[Frame]:
    """`rows` visits in order of their number, dates within each chunk ascending."""
    for number, part in chunked(rows):
        yield _chunk(city, number, part)


def _chunk(city: Society, number: int, part: slice) -> Frame:
    people, n = city.people, part.stop - part.start

    def rng(column: str) -> np.random.Generator:
        return city.rng("clinic_visits", column, number)

    who = _patients(rng("患者"), city, n)
    days = np.sort(_days(rng("就诊日期"), n))
    ages = np.maximum(age_on(people.births[who], days), 0)
    diagnosis = draw(rng("诊断"), days.astype("datetime64[M]").astype(np.int64) % 12, ages, people.male[who])
    where = _clinic(rng("机构"), city, people.districts[who], diagnosis)
    payment = _payment(rng("支付方式"), ages, people.employed[who], people.local[who])
    fee = _fee(rng("费用"), city, diagnosis, where, ages)
    paid = np.round(fee * _insured_share(city, where, payment), 2)
    unnamed = rng("未实名").random(n) < 0.012
    return {
        "就诊流水号": serial("MZ", part.start + np.arange(n) + 1, 10),
        "机构编码": named([clinic.code for clinic in city.clinics], where),
        "机构名称": named([clinic.name for clinic in city.clinics], where),
        "身份证号": without(people.ids[who], unnamed),
        "患者姓名": people.names[who],
        "病历号": serial("M4499", shuffled_serial(who, 10**8), 8),
        "性别": people.sexes(who),
        "年龄": whole(ages),
        "科室": named([d.department for d in DIAGNOSES], diagnosis),
        "诊断编码": named([d.code for d in DIAGNOSES], diagnosis),
        "诊断名称": without(named([d.name for d in DIAGNOSES], diagnosis), rng("诊断空").random(n) < 0.015),
        "就诊日期": iso_days(days),
        "费用": money(fee),
        "医保支付": money(paid),
        "自付金额": money(fee - paid),
        "支付方式": named(PAYMENTS, payment),
        "联系电话": without(people.mobiles[who], rng("电话空").random(n) < 0.08),
        "备注": _remark(rng("备注"), n),
    }


def _patients(rng: np.random.Generator, city: Society, n: int) -> np.ndarray:
    """The very young and the old come most; a few people come often."""
    people = city.people
    need = np.interp(people.ages, (0, 4, 10, 20, 35, 50, 65, 80, 101), (3.2, 2.6, 1.2, 0.6, 0.8, 1.1, 2.1, 3.0, 2.4))
    frail = city.rng("clinic_visits", "体质").gamma(1.5, 1.0, len(people))
    newborn = people.births >= np.datetime64("2025-01-01")  # visits would come before birth
    return pick_index(rng, len(people), n, need * frail * ~people.reserved * ~newborn)


def _days(rng: np.random.Generator, n: int) -> np.ndarray:
    """Days of 2025: winter is busy, Monday most, Sunday least."""
    days = np.arange(np.datetime64("2025-01-01"), np.datetime64("2026-01-01"))
    month = days.astype("datetime64[M]").astype(np.int64) % 12
    season = 0.7 + 0.3 * np.array(SEASONS["冬"])[month]
    weekday = np.array([1.3, 1.1, 1.05, 1.0, 1.05, 0.8, 0.6])[(days.astype(np.int64) + 3) % 7]  # day 0 was a Thursday
    return days[pick_index(rng, len(days), n, season * weekday)]


def _clinic(rng: np.random.Generator, city: Society, homes: np.ndarray, diagnosis: np.ndarray) -> np.ndarray:
    """Mostly a clinic of the own district; city hospitals draw from everywhere; women and children have theirs."""
    out = np.empty(len(homes), dtype=np.int64)
    family = np.array([d.department in ("儿科", "妇科", "产科") for d in DIAGNOSES])[diagnosis]
    for home in range(6):
        for own in (False, True):
            rows = np.flatnonzero((homes == home) & (family == own))
            pull = [_pull(clinic, home, own) for clinic in city.clinics]
            out[rows] = pick_index(rng, len(pull), len(rows), pull)
    return out


def _pull(clinic: Clinic, home: int, family: bool) -> float:
    if clinic.code == MATERNITY:
        return clinic.weight * 4.0 * family
    return clinic.weight * (6.0 if clinic.district == home else 1.0 if clinic.grade == "三级" else 0.25)


def _payment(rng: np.random.Generator, ages: np.ndarray, employed: np.ndarray, local: np.ndarray) -> np.ndarray:
    group = np.select([employed, ages >= 60, (ages < 18) & local, ages < 18, local], [0, 1, 2, 3, 4], 5)
    table = (
        (0.82, 0.05, 0.10, 0.03),
        (0.48, 0.44, 0.07, 0.01),
        (0.0, 0.86, 0.10, 0.04),
        (0.0, 0.66, 0.29, 0.05),
        (0.10, 0.76, 0.11, 0.03),
        (0.07, 0.51, 0.39, 0.03),
    )
    out = np.empty(len(ages), dtype=np.int64)
    for place, weights in enumerate(table):
        rows = np.flatnonzero(group == place)
        out[rows] = pick_index(rng, 4, len(rows), weights)
    return out


def _fee(
    rng: np.random.Generator, city: Society, diagnosis: np.ndarray, where: np.ndarray, ages: np.ndarray
) -> np.ndarray:
    typical = np.array([d.fee for d in DIAGNOSES])[diagnosis]
    level = np.array([clinic.fee for clinic in city.clinics])[where]
    return np.round(typical * level * (1 + np.maximum(ages - 45, 0) / 160) * np.exp(rng.normal(0, 0.42, len(ages))), 2)


def _insured_share(city: Society, where: np.ndarray, payment: np.ndarray) -> np.ndarray:
    """The lower the hospital's grade, the more the fund pays (assumed shares)."""
    grade = np.array([("三级", "二级", "一级").index(clinic.grade) for clinic in city.clinics])[where]
    staff, resident = np.array([0.5, 0.6, 0.75])[grade], np.array([0.3, 0.45, 0.6])[grade]
    return np.select([payment == 0, payment == 1], [staff, resident], 0.0)


def _remark(rng: np.random.Generator, n: int) -> Words:
    chosen = pick_index(rng, len(_REMARKS), n, _REMARK_WEIGHTS)
    values = {
        "count": whole(rng.integers(1, 8, n)),
        "day": whole(rng.integers(3, 15, n)),
        "mobile": providers.mobiles(rng, n),
        "id": providers.people(rng, n).resident_ids,
    }
    return without(fill(_REMARKS, chosen, values), rng.random(n) < 0.7)


def soil(soiler: Soiler) -> None:
    """The dirtiest table: refused rows of three kinds, four spellings of the date, values that cannot be."""
    soiler.break_rows(0.0012)
    soiler.bad_check("身份证号", 0.001)
    soiler.full_width("身份证号", 0.0008)
    soiler.full_width("联系电话", 0.001)
    soiler.impossible("年龄", ("230", "-3"), 0.0006)
    soiler.negative("费用", 0.0008)
    soiler.impossible("就诊日期", ("2025-02-30", "2025-06-31", "2025/13/05"), 0.0006)
    soiler.trailing_blanks("科室", 0.005)
    soiler.duplicate(0.003)
    soiler.spell_dates("就诊日期", (0.55, 0.22, 0.13, 0.10))
    soiler.spell_missing(empty=0.4)


TABLE = Table(
    key="clinic_visits",
    title="门诊就诊",
    department=HEALTH,
    grain="每行一次门诊就诊",
    columns=COLUMNS,
    layout=Layout("csv", "utf-8", blank_tail=2),
    entities={"person": "身份证号", "clinic": "机构编码"},
    base_rows=30_000,
    chunks=chunks,
    soil=soil,
)
