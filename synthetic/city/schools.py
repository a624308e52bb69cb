"""学校: one row a school. An .xlsx with a merged title and a merged line above each district."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from synthetic import providers
from synthetic.city.columns import chunked, named, serial, whole, without
from synthetic.city.dirt import Soiler
from synthetic.city.schema import EDUCATION, Column, Frame, Layout, Table
from synthetic.city.society import Society
from synthetic.providers.gazetteer import CITY, STREETS
from synthetic.providers.pools import Words, pick, pick_index, words

KINDS = ("幼儿园", "小学", "初级中学", "九年一贯制学校", "高级中学", "中等职业学校", "特殊教育学校")
_WEIGHTS = (0.5, 0.27, 0.08, 0.06, 0.05, 0.03, 0.01)
_PUPILS = np.array([260, 1050, 1200, 1800, 2100, 1700, 150])
_CLASS = np.array([28, 43, 46, 44, 48, 42, 12])
_RATIO = np.array([13.5, 18.6, 13.1, 16.0, 11.9, 17.0, 4.0])
_PRIVATE = np.array([0.52, 0.12, 0.12, 0.42, 0.15, 0.25, 0.0])
_NUMERALS = "零一二三四五六七八九"
_PRIVATE_NAMES = ("阳光", "启明", "博雅", "育才", "华英", "新星", "金色摇篮", "小博士", "明德", "同心")

COLUMNS = (
    Column("学校标识码", "text", "code", "学校（机构）标识码，10位", "none", None, "公共数据", (1, 2)),
    Column("学校名称", "text", "organisation", "学校名称", "none", "ORGANIZATION", "公共数据", (1, 2)),
    Column("办学类型", "text", "category", "办学类型", "none", None, "公共数据", (1, 2)),
    Column("办学性质", "text", "category", "公办、民办", "none", None, "公共数据", (1, 2)),
    Column("所属区", "text", "district", "所属区", "none", None, "公共数据", (1, 2)),
    Column("所属街道", "text", "street", "所属街道（镇）", "none", None, "公共数据", (1, 2)),
    Column("地址", "text", "address", "学校地址", "none", "ADDRESS", "公共数据", (1, 3)),
    Column("班级数", "integer", "number", "班级数（个）", "none", None, "公共数据", (1, 2)),
    Column("在校学生数", "integer", "number", "在校学生数（人）", "none", None, "公共数据", (1, 2)),
    Column("专任教师数", "integer", "number", "专任教师数（人）", "none", None, "公共数据", (1, 2)),
    Column("建校年份", "integer", "number", "建校年份", "none", None, "公共数据", (1, 2)),
    Column("校长姓名", "text", "person_name", "校长（园长）姓名", "direct", "PERSON", "个人基本资料", (2, 4)),
    Column("联系电话", "text", "landline", "学校办公电话", "none", "CN_LANDLINE", "公共数据", (1, 3)),
    Column("经度", "decimal", "number", "经度（CGCS2000）", "none", "COORDINATES", "公共数据", (1, 3)),
    Column("纬度", "decimal", "number", "纬度（CGCS2000）", "none", "COORDINATES", "公共数据", (1, 3)),
)


def chunks(city: Society, rows: int) -> Iterator[Frame]:
    """Schools ordered by district, as the sections of the sheet need them."""
    home = pick_index(city.rng("schools", "街道"), len(STREETS), rows, [d.weight for d, _ in STREETS])
    home = np.sort(home)
    for number, part in chunked(rows):
        yield _chunk(city, number, home[part])


def _chunk(city: Society, number: int, home: np.ndarray) -> Frame:
    n = len(home)

    def rng(column: str) -> np.random.Generator:
        return city.rng("schools", column, number)

    kind = pick_index(rng("办学类型"), len(KINDS), n, _WEIGHTS)
    private = rng("办学性质").random(n) < _PRIVATE[kind]
    income = np.array([d.income for d, _ in STREETS])[home]
    pupils = np.maximum(_PUPILS[kind] * income**0.4 * np.exp(rng("学生").normal(0, 0.32, n)), 30).astype(np.int64)
    ratio = _RATIO[kind] * np.exp(rng("教师").normal(0, 0.08, n))
    teachers = np.maximum(np.round(pupils / ratio), 3).astype(np.int64)
    born = providers.births(rng("校长生日"), n, first="1964-01-01", last="1985-12-31")
    districts = named([d.name for d, _ in STREETS], home)
    streets = named([s.name for _, s in STREETS], home)
    east, north = _place(rng("坐标"), home)
    return {
        "学校标识码": serial("214499", number * 3000 + np.arange(n) + 1, 4 if number * 3000 + n < 9999 else 7),
        "学校名称": _names(rng("学校名称"), home, kind, private),
        "办学类型": named(KINDS, kind),
        "办学性质": named(("公办", "民办"), private.astype(np.int64)),
        "所属区": districts,
        "所属街道": streets,
        "地址": providers.addresses(rng("地址"), districts, streets, kind="site"),
        "班级数": whole(np.maximum(np.round(pupils / _CLASS[kind]), 1).astype(np.int64)),
        "在校学生数": whole(pupils),
        "专任教师数": without(whole(teachers), rng("教师空").random(n) < 0.03),
        "建校年份": whole(2024 - np.minimum(rng("年份").exponential(np.where(private, 9, 26)), 95).astype(np.int64)),
        "校长姓名": providers.person_names(rng("校长"), n, None, born),
        "联系电话": without(providers.landlines(rng("电话"), n), rng("电话空").random(n) < 0.05),
        "经度": east,
        "纬度": north,
    }


def _place(rng: np.random.Generator, home: np.ndarray) -> tuple[Words, Words]:
    east = np.array([d.longitude for d, _ in STREETS])[home] + rng.normal(0, 0.018, len(home))
    north = np.array([d.latitude for d, _ in STREETS])[home] + rng.normal(0, 0.014, len(home))
    spell = [f"{value:.6f}" for value in np.r_[east, north].tolist()]
    return np.array(spell[: len(home)], dtype=object), np.array(spell[len(home) :], dtype=object)


def _names(rng: np.random.Generator, home: np.ndarray, kind: np.ndarray, private: np.ndarray) -> Words:
    """Public schools are called by place and number, private ones by a fine word; names alike get a number."""
    place = CITY + named([d.name + s.name.removesuffix("街道") for d, s in STREETS], home)
    fine = np.where(private, pick(rng, _PRIVATE_NAMES, len(home)), "")
    tail = named(KINDS, kind)
    seen: dict[str, int] = {}
    numbers = np.empty(len(home), dtype=np.int64)
    for row, name in enumerate((place + fine + tail).tolist()):
        numbers[row] = seen[name] = seen.get(name, 0) + 1
    return (
        place
        + fine
        + np.where(numbers > 1, "第" + words([_ordinal(k) for k in range(numbers.max() + 1)])[numbers], "")
        + tail
    )


def _ordinal(number: int) -> str:
    """Chinese numerals as school names use them, up to 99; above that digits."""
    tens, ones = divmod(number, 10)
    if number > 99:
        return str(number)
    head = "" if not tens else "十" if tens == 1 else f"{_NUMERALS[tens]}十"
    return head + (_NUMERALS[ones] if ones else "")


def soil(soiler: Soiler) -> None:
    """A small, nearly clean workbook."""
    soiler.impossible("建校年份", ("2205", "0"), 0.005)
    soiler.negative("在校学生数", 0.004)
    soiler.trailing_blanks("校长姓名", 0.02)
    soiler.thousands("在校学生数", 0.2)
    soiler.spell_missing(empty=0.5)


TABLE = Table(
    key="schools",
    title="学校",
    department=EDUCATION,
    grain="每行一所学校",
    columns=COLUMNS,
    layout=Layout(
        "xlsx",
        "xlsx",
        kind="sheet",
        lead=("附件2：", "示范市各级各类学校基本情况一览表", "（2025—2026学年初，单位：人、个）"),
        tail=("合计：{rows}所", "注：数据来源于教育事业统计年报。"),
        section_column="所属区",
    ),
    entities={"school": "学校标识码"},
    base_rows=300,
    chunks=chunks,
    soil=soil,
)
