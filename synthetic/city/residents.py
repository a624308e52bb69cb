"""居民登记: one row a resident. GB18030, CRLF, as an old registration system exports it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from synthetic import providers
from synthetic.city.columns import chunked, iso_days, named, whole, without
from synthetic.city.dirt import Soiler
from synthetic.city.population import EDUCATION, Population
from synthetic.city.schema import AS_OF, POLICE, Column, Frame, Layout, Table
from synthetic.city.society import Society
from synthetic.providers.gazetteer import DISTRICTS, STREETS
from synthetic.providers.pools import Words, listed, pick, pick_index
from synthetic.providers.remark import fill

ETHNIC = ("汉族", "壮族", "瑶族", "土家族", "苗族", "回族", "畲族", "满族", "布依族")
_ETHNIC_WEIGHTS = (95.2, 1.8, 0.7, 0.7, 0.6, 0.3, 0.2, 0.3, 0.2)
OCCUPATIONS = listed(
    "学龄前儿童 在校学生 离退休人员 单位负责人 专业技术人员 办事人员 "
    "商业服务业人员 生产制造人员 农林牧渔业人员 灵活就业人员 无业人员"
)
_PRESCHOOL, _PUPIL, _RETIRED, _JOBLESS = 0, 1, 2, 10
_JOBS = {  # by lowest level of education, from 单位负责人 to 灵活就业人员
    0: (1, 1, 3, 25, 40, 22, 8),
    2: (2, 4, 6, 34, 36, 6, 12),
    3: (4, 12, 16, 36, 20, 2, 10),
    5: (9, 44, 26, 14, 2, 0, 5),
}
REGISTERS = ("本市城镇", "本市农村", "外来（居住证）")
_REMARKS = (
    "{month}月{day}日上门核实",
    "本人来电更新联系方式为{mobile}",
    "由{kin}（身份证号{id}）代办",
    "居住证{year}年{month}月到期",
    "与户主关系已核对",
    "材料已于{month}月补齐",
)
_PERMIT = 3
_REMARK_WEIGHTS = (0.34, 0.1, 0.06, 0.2, 0.18, 0.12)

COLUMNS = (
    Column("身份证号", "text", "resident_id", "公民身份号码", "direct", "CN_RESIDENT_ID", "个人身份信息", (4, 4)),
    Column("姓名", "text", "person_name", "居民姓名", "direct", "PERSON", "个人基本资料", (3, 4)),
    Column("性别", "text", "category", "性别：男、女", "quasi", None, "个人基本资料", (2, 3)),
    Column("出生日期", "date", "date", "出生日期", "quasi", None, "个人基本资料", (3, 3)),
    Column("年龄", "integer", "number", "截至2025年12月31日的周岁年龄", "quasi", None, "个人基本资料", (2, 3)),
    Column("民族", "text", "category", "民族", "quasi", None, "个人基本资料", (2, 3)),
    Column("婚姻状况", "text", "category", "未婚、已婚、离异、丧偶", "quasi", None, "个人基本资料", (2, 3)),
    Column("文化程度", "text", "category", "受教育程度", "quasi", None, "个人教育工作信息", (2, 3)),
    Column("职业", "text", "category", "职业大类", "quasi", None, "个人教育工作信息", (2, 3)),
    Column("户口性质", "text", "category", "户口登记性质", "quasi", None, "个人基本资料", (2, 3)),
    Column("所属区", "text", "district", "现住址所属区", "quasi", None, "个人位置信息", (1, 3)),
    Column("所属街道", "text", "street", "现住址所属街道（镇）", "quasi", None, "个人位置信息", (2, 3)),
    Column("现住址", "text", "address", "现住址（到门牌）", "direct", "ADDRESS", "个人基本资料", (3, 4)),
    Column("手机号", "text", "mobile", "本人手机号码", "direct", "CN_MOBILE", "个人基本资料", (3, 4)),
    Column("登记日期", "date", "date", "户籍或居住登记日期", "quasi", None, "个人基本资料", (2, 3)),
    Column("备注", "text", "free_text", "经办备注，可能含联系方式", "none", None, "个人基本资料", (3, 4)),
)


def chunks(city: Society, rows: int) -> Iterator[Frame]:
    """All people of the city in order of their number; `rows` is theirs."""
    for number, part in chunked(rows):
        yield _chunk(city, city.people, number, part)


def _chunk(city: Society, people: Population, number: int, part: slice) -> Frame:
    ages, n = people.ages[part], part.stop - part.start

    def rng(column: str) -> np.random.Generator:
        return city.rng("residents", column, number)

    districts = named([d.name for d in DISTRICTS], people.districts[part])
    streets = named([s.name for _, s in STREETS], people.streets[part])
    job = _occupation(rng("职业"), ages, people.employed[part], people.education[part])
    return {
        "身份证号": people.ids[part].copy(),
        "姓名": people.names[part].copy(),
        "性别": people.sexes(part),
        "出生日期": iso_days(people.births[part]),
        "年龄": whole(ages),
        "民族": pick(rng("民族"), ETHNIC, n, _ETHNIC_WEIGHTS),
        "婚姻状况": without(_marital(rng("婚姻状况"), ages, people.male[part]), rng("婚姻空").random(n) < 0.02),
        "文化程度": without(named(EDUCATION, people.education[part]), rng("文化空").random(n) < 0.03),
        "职业": without(named(OCCUPATIONS, job), rng("职业空").random(n) < 0.04),
        "户口性质": named(REGISTERS, _register(rng("户口"), people, part)),
        "所属区": districts,
        "所属街道": streets,
        "现住址": providers.addresses(rng("现住址"), districts, streets),
        "手机号": without(people.mobiles[part], rng("手机空").random(n) < np.where(ages < 12, 0.9, 0.05)),
        "登记日期": iso_days(_registered(rng("登记日期"), people, part)),
        "备注": _remark(rng("备注"), people.local[part]),
        "_reserved": people.reserved[part].astype(object),
    }


def _marital(rng: np.random.Generator, ages: np.ndarray, male: np.ndarray) -> Words:
    single = np.interp(ages, (0, 20, 24, 28, 33, 40, 60, 101), (1, 1, 0.86, 0.5, 0.2, 0.07, 0.03, 0.03))
    widowed = np.interp(ages, (0, 45, 60, 70, 80, 101), (0, 0.005, 0.04, 0.13, 0.36, 0.75)) * np.where(male, 0.55, 1.3)
    divorced = np.interp(ages, (0, 24, 35, 50, 70, 101), (0, 0.005, 0.06, 0.08, 0.03, 0.01))
    draw = rng.random(len(ages))
    steps = np.cumsum([single, np.minimum(widowed, 0.9 - single * 0.9), divorced], axis=0)
    return named(("未婚", "丧偶", "离异", "已婚"), (draw >= steps).sum(axis=0))


def _occupation(rng: np.random.Generator, ages: np.ndarray, employed: np.ndarray, education: np.ndarray) -> np.ndarray:
    idle = np.select([ages < 6, ages < 23, ages >= 55], [_PRESCHOOL, _PUPIL, _RETIRED], _JOBLESS)
    out = idle.copy()
    for low, high in ((0, 2), (2, 3), (3, 5), (5, 7)):
        rows = np.flatnonzero(employed & (education >= low) & (education < high))
        out[rows] = 3 + pick_index(rng, 7, len(rows), _JOBS[low])
    return out


def _register(rng: np.random.Generator, people: Population, part: slice) -> np.ndarray:
    town = np.array([street.name.endswith("镇") for _, street in STREETS])[people.streets[part]]
    rural = rng.random(part.stop - part.start) < np.where(town, 0.75, 0.12)
    return np.where(people.local[part], rural.astype(np.int64), 2)


def _registered(rng: np.random.Generator, people: Population, part: slice) -> np.ndarray:
    """Locals soon after birth or when the register went digital, others in recent years; never before birth."""
    births, n = people.births[part], part.stop - part.start
    soon = births + rng.integers(3, 90, n).astype("timedelta64[D]")
    digital = np.datetime64("1998-01-01") + rng.integers(0, 3000, n).astype("timedelta64[D]")
    recent = AS_OF - rng.exponential(1300, n).astype(np.int64).astype("timedelta64[D]")
    day = np.where(people.local[part], np.maximum(soon, digital), np.maximum(soon, recent))
    return np.minimum(np.where(people.local[part] & (births > digital), soon, day), AS_OF)


def _remark(rng: np.random.Generator, local: np.ndarray) -> Words:
    n = len(local)
    chosen = pick_index(rng, len(_REMARKS), n, _REMARK_WEIGHTS)
    chosen = np.where(local & (chosen == _PERMIT), 0, chosen)  # only newcomers have a residence permit
    kin = providers.people(rng, n)
    values = {
        "month": whole(rng.integers(1, 13, n)),
        "day": whole(rng.integers(1, 29, n)),
        "year": whole(rng.integers(2026, 2029, n)),
        "mobile": providers.mobiles(rng, n),
        "kin": kin.names,
        "id": kin.resident_ids,
    }
    return without(fill(_REMARKS, chosen, values), rng.random(n) < 0.86)


def soil(soiler: Soiler) -> None:
    """Old-system dirt. Wrong and lost IDs are taken from people no other table refers to."""
    soiler.bad_check("身份证号", 0.002, reserved=True)
    soiler.full_width("身份证号", 0.0015, reserved=True)
    soiler.break_rows(0.001, reserved=True)
    soiler.full_width("手机号", 0.002)
    soiler.impossible("年龄", ("230", "-1", "999"), 0.001)
    soiler.impossible("出生日期", ("1985-02-30", "1990-13-01", "2099-01-01"), 0.0008)
    soiler.trailing_blanks("姓名", 0.01)
    soiler.trailing_blanks("所属街道", 0.005)
    soiler.duplicate(0.003)
    soiler.spell_dates("出生日期", (0.9, 0.05, 0.0, 0.05))
    soiler.spell_dates("登记日期", (0.7, 0.18, 0.07, 0.05))
    soiler.spell_missing()


TABLE = Table(
    key="residents",
    title="居民登记",
    department=POLICE,
    grain="每行一名常住居民",
    columns=COLUMNS,
    layout=Layout("csv", "gb18030", newline="\r\n"),
    entities={"person": "身份证号"},
    base_rows=12_000,
    chunks=chunks,
    soil=soil,
)
