"""许可处罚: one row a permit or penalty of a firm. UTF-8 with BOM, CRLF, title, repeated header, footer."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from synthetic import providers
from synthetic.city.columns import chunked, iso_days, money, named, serial, whole, without
from synthetic.city.dirt import Soiler
from synthetic.city.firms import SECTORS
from synthetic.city.schema import APPROVAL, AS_OF, Column, Frame, Layout, Table
from synthetic.city.society import Society
from synthetic.providers.gazetteer import CITY, DISTRICTS
from synthetic.providers.pools import Words, pick_index
from synthetic.providers.remark import fill

PERMITS = {
    "住宿和餐饮业": ("食品经营许可", "公共场所卫生许可", "户外招牌设置许可"),
    "制造业": ("排污许可", "工业产品生产许可", "特种设备使用登记"),
    "建筑业": ("建筑施工许可", "安全生产许可", "夜间施工许可"),
    "交通运输、仓储和邮政业": ("道路货物运输经营许可", "道路危险货物运输许可", "仓储消防验收"),
    "卫生和社会工作": ("医疗机构执业许可", "放射诊疗许可", "养老机构备案"),
}
_OTHER_PERMITS = ("食品经营许可", "户外招牌设置许可", "占用城市道路许可", "公共场所卫生许可")
PENALTIES = {
    "住宿和餐饮业": ("经营超过保质期的食品", "未按规定留样", "油烟直排"),
    "制造业": ("超标排放水污染物", "未如实记录安全培训", "使用未检验特种设备"),
    "建筑业": ("未取得施工许可擅自施工", "施工扬尘未覆盖", "夜间超时施工噪声扰民"),
    "交通运输、仓储和邮政业": ("超限运输", "未按规定维护车辆", "仓库占用疏散通道"),
    "卫生和社会工作": ("使用非卫生技术人员", "医疗废物未分类收集", "未按规定填写病历"),
}
_OTHER_PENALTIES = ("未亮照经营", "虚假宣传", "未明码标价", "占道经营")
MEASURES = ("警告", "罚款", "没收违法所得", "责令停产停业")
_FINE = np.array([0.0, 6200.0, 11000.0, 42000.0])
_TEXTS = (
    "经查，当事人{reason}，事实清楚，证据确凿，决定给予{measure}",
    "当事人法定代表人{boss}（身份证号{id}）到场接受询问，对{reason}的事实无异议",
    "当事人{reason}，\n限{count}日内改正，联系电话{mobile}",
    "群众投诉反映{reason}，现场检查属实",
)
_TEXT_WEIGHTS = (0.62, 0.14, 0.06, 0.18)

COLUMNS = (
    Column("文书号", "text", "key", "决定文书号", "none", None, "公共数据", (1, 2)),
    Column("信息类别", "text", "category", "行政许可、行政处罚", "none", None, "公共数据", (1, 2)),
    Column("统一社会信用代码", "text", "uscc", "行政相对人统一社会信用代码", "none", "CN_USCC", "组织数据", (1, 2)),
    Column("行政相对人名称", "text", "organisation", "行政相对人名称", "none", "ORGANIZATION", "组织数据", (1, 2)),
    Column("法定代表人", "text", "person_name", "法定代表人姓名", "direct", "PERSON", "个人基本资料", (2, 4)),
    Column("事项名称", "text", "category", "许可事项或违法行为", "none", None, "公共数据", (1, 2)),
    Column("处罚种类", "text", "category", "处罚种类，许可为空", "none", None, "公共数据", (1, 3)),
    Column("罚款金额", "decimal", "amount", "罚款金额，元，许可为空", "none", None, "公共数据", (1, 3)),
    Column("决定日期", "date", "date", "作出决定的日期", "none", None, "公共数据", (1, 2)),
    Column("有效期至", "date", "date", "许可有效期或公示期止", "none", None, "公共数据", (1, 2)),
    Column("决定机关", "text", "category", "作出决定的机关", "none", None, "公共数据", (1, 2)),
    Column("所属区", "text", "district", "相对人住所所属区", "none", None, "公共数据", (1, 2)),
    Column("决定内容", "text", "free_text", "决定内容摘要，可能含个人信息", "none", None, "公共数据", (1, 4)),
)


def chunks(city: Society, rows: int) -> Iterator[Frame]:
    """`rows` decisions of 2023–2025, dates ascending within a chunk."""
    for number, part in chunked(rows):
        yield _chunk(city, number, part)


def _chunk(city: Society, number: int, part: slice) -> Frame:
    firms, n = city.firms, part.stop - part.start

    def rng(column: str) -> np.random.Generator:
        return city.rng("permits_penalties", column, number)

    firm = _firm(rng("企业"), city, n)
    start = np.maximum(firms.founded[firm] + np.timedelta64(3, "D"), np.datetime64("2023-01-03"))
    span = np.maximum((AS_OF - start).astype(np.int64), 1)
    days = start + (rng("决定日期").random(n) * span).astype(np.int64).astype("timedelta64[D]")
    days = days - np.maximum((days.astype(np.int64) + 3) % 7 - 4, 0).astype(
        "timedelta64[D]"
    )  # offices close at weekends
    order = np.argsort(days, kind="stable")
    firm, days = firm[order], days[order]
    penalty = rng("信息类别").random(n) < 0.42
    measure = pick_index(rng("处罚种类"), 4, n, (0.3, 0.55, 0.1, 0.05))
    fine = np.round(_FINE[measure] * np.exp(rng("罚款").normal(0, 0.7, n)) / 100) * 100
    years = np.where(penalty, 1, rng("有效期").choice([3, 5], n))
    matter = _matter(rng("事项"), firms.sectors[firm], penalty)
    districts = named([d.name for d in DISTRICTS], firms.districts[firm])
    return {
        "文书号": serial(named(("示许字", "示罚字"), penalty.astype(np.int64)), part.start + np.arange(n) + 1, 7),
        "信息类别": named(("行政许可", "行政处罚"), penalty.astype(np.int64)),
        "统一社会信用代码": firms.usccs[firm],
        "行政相对人名称": firms.names[firm],
        "法定代表人": firms.bosses[firm],
        "事项名称": matter,
        "处罚种类": without(named(MEASURES, measure), ~penalty),
        "罚款金额": without(money(fine), ~penalty | (measure == 0)),
        "决定日期": iso_days(days),
        "有效期至": without(iso_days(days + (years * 365).astype("timedelta64[D]")), rng("期限空").random(n) < 0.05),
        "决定机关": CITY + districts + named(("行政审批局", "综合行政执法局"), penalty.astype(np.int64)),
        "所属区": districts,
        "决定内容": _text(rng("决定内容"), matter, named(MEASURES, measure), firms.bosses[firm], penalty),
    }


def _firm(rng: np.random.Generator, city: Society, n: int) -> np.ndarray:
    """Restaurants, factories and builders deal with the authorities most."""
    firms = city.firms
    busy = np.array([4.0 if s.name in PERMITS else 1.0 for s in SECTORS])[firms.sectors]
    return pick_index(rng, len(firms), n, busy * np.sqrt(firms.staff) * ~firms.reserved)


def _matter(rng: np.random.Generator, sectors: np.ndarray, penalty: np.ndarray) -> Words:
    out = np.empty(len(sectors), dtype=object)
    for place, sector in enumerate(SECTORS):
        for punished, table, other in ((False, PERMITS, _OTHER_PERMITS), (True, PENALTIES, _OTHER_PENALTIES)):
            rows = np.flatnonzero((sectors == place) & (penalty == punished))
            choice = table.get(sector.name, other)
            weights = tuple(1 / (turn + 1) for turn in range(len(choice)))
            out[rows] = named(choice, pick_index(rng, len(choice), len(rows), weights))
    return out


def _text(rng: np.random.Generator, matter: Words, measure: Words, boss: Words, penalty: np.ndarray) -> Words:
    n = len(matter)
    values = {
        "reason": matter,
        "measure": measure,
        "boss": boss,
        "id": providers.people(rng, n).resident_ids,
        "mobile": providers.mobiles(rng, n),
        "count": whole(rng.integers(3, 31, n)),
    }
    text = fill(_TEXTS, pick_index(rng, len(_TEXTS), n, _TEXT_WEIGHTS), values)
    return np.where(penalty, text, "准予" + matter)


def soil(soiler: Soiler) -> None:
    """A spreadsheet saved as CSV by hand."""
    soiler.break_rows(0.002)
    soiler.bad_check("统一社会信用代码", 0.002)
    soiler.impossible("决定日期", ("2024-02-30", "2025-09-31"), 0.0015)
    soiler.negative("罚款金额", 0.0015)
    soiler.trailing_blanks("行政相对人名称", 0.006)
    soiler.duplicate(0.005)
    soiler.thousands("罚款金额", 0.5)
    soiler.spell_dates("决定日期", (0.45, 0.3, 0.2, 0.05))
    soiler.spell_dates("有效期至", (0.6, 0.4, 0.0, 0.0))
    soiler.spell_missing(empty=0.35)


TABLE = Table(
    key="permits_penalties",
    title="许可处罚",
    department=APPROVAL,
    grain="每行一项行政许可或行政处罚决定",
    columns=COLUMNS,
    layout=Layout(
        "csv",
        "utf-8-sig",
        newline="\r\n",
        bom=True,
        lead=("示范市行政许可和行政处罚信息公示表（2023—2025年）",),
        tail=("合计：{rows}条", "注：处罚信息公示期一年，期满撤下。"),
        repeat_header_after=500,
    ),
    entities={"organisation": "统一社会信用代码"},
    base_rows=3_000,
    chunks=chunks,
    soil=soil,
)
