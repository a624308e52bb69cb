"""企业登记: one row a firm. An .xlsx with an attachment line, a merged two-line title, a total and a note."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from synthetic import providers
from synthetic.city.columns import chunked, iso_days, money, named, whole, without
from synthetic.city.dirt import Soiler
from synthetic.city.firms import FORMS, SECTORS, SOLE, STATES
from synthetic.city.schema import MARKET, Column, Frame, Layout, Table
from synthetic.city.society import Society
from synthetic.providers.gazetteer import DISTRICTS, STREETS
from synthetic.providers.pools import Words, words

SCOPES = {
    "批发和零售业": "日用百货销售 建筑材料销售 服装服饰零售 食品销售 五金产品批发 家用电器销售 办公用品销售",
    "制造业": "塑料制品制造 五金产品制造 电子元器件制造 家具制造 模具制造 包装材料加工 服装制造",
    "住宿和餐饮业": "餐饮服务 小吃制售 住宿服务 酒店管理 外卖递送服务 饮品制售",
    "租赁和商务服务业": "企业管理咨询 广告设计 会议及展览服务 人力资源服务 汽车租赁 市场调查",
    "信息传输、软件和信息技术服务业": "软件开发 信息系统集成服务 数据处理服务 网络技术服务 信息技术咨询服务",
    "居民服务、修理和其他服务业": "家政服务 汽车修理与维护 洗染服务 美容服务 日用电器修理",
    "建筑业": "房屋建筑工程施工 室内装饰装修 市政设施工程 机电设备安装 园林绿化工程施工",
    "交通运输、仓储和邮政业": "普通货物道路运输 仓储服务 国内货运代理 装卸搬运 供应链管理服务",
    "房地产业": "房地产开发经营 物业管理 房地产经纪 非居住房地产租赁",
    "农、林、牧、渔业": "蔬菜种植 水产养殖 水果种植 花卉种植 农产品初加工",
    "教育": "文化艺术培训 教育咨询服务 职业技能培训 体育培训",
    "卫生和社会工作": "诊所服务 养老服务 健康咨询服务 口腔诊疗服务",
    "金融业": "融资担保业务 小额贷款业务 保险代理业务 投资咨询",
}
_SCOPE_TAILS = ("", "", "；技术咨询", "；货物进出口", "（依法须经批准的项目，经相关部门批准后方可开展经营活动）")

COLUMNS = (
    Column("统一社会信用代码", "text", "uscc", "统一社会信用代码（18位）", "none", "CN_USCC", "组织数据", (1, 2)),
    Column("企业名称", "text", "organisation", "登记名称", "none", "ORGANIZATION", "组织数据", (1, 2)),
    Column("企业类型", "text", "category", "市场主体类型", "none", None, "组织数据", (1, 2)),
    Column("行业门类", "text", "category", "国民经济行业门类（GB/T 4754）", "none", None, "组织数据", (1, 2)),
    Column("法定代表人", "text", "person_name", "法定代表人（经营者）姓名", "direct", "PERSON", "个人基本资料", (2, 4)),
    Column("注册资本(万元)", "decimal", "amount", "注册资本，万元", "none", None, "组织数据", (1, 2)),
    Column("成立日期", "date", "date", "成立日期", "none", None, "组织数据", (1, 2)),
    Column("登记状态", "text", "category", "存续、注销、吊销、迁出", "none", None, "组织数据", (1, 2)),
    Column("所属区", "text", "district", "住所所属区", "none", None, "组织数据", (1, 2)),
    Column("所属街道", "text", "street", "住所所属街道（镇）", "none", None, "组织数据", (1, 2)),
    Column("住所", "text", "address", "登记住所（经营场所）", "none", "ADDRESS", "组织数据", (1, 3)),
    Column("联系电话", "text", "landline", "企业固定电话", "none", "CN_LANDLINE", "组织数据", (1, 3)),
    Column("电子邮箱", "text", "email", "企业联络邮箱", "direct", "EMAIL_ADDRESS", "组织数据", (1, 3)),
    Column("从业人数", "integer", "number", "年报从业人数（人）", "none", None, "组织数据", (1, 3)),
    Column("经营范围", "text", "free_text", "登记的经营范围", "none", None, "组织数据", (1, 2)),
)


def chunks(city: Society, rows: int) -> Iterator[Frame]:
    """All firms of the city in order of their number; `rows` is theirs."""
    for number, part in chunked(rows):
        yield _chunk(city, number, part)


def _chunk(city: Society, number: int, part: slice) -> Frame:
    firms, n = city.firms, part.stop - part.start

    def rng(column: str) -> np.random.Generator:
        return city.rng("enterprises", column, number)

    districts = named([d.name for d in DISTRICTS], firms.districts[part])
    streets = named([s.name for _, s in STREETS], firms.streets[part])
    sole = firms.forms[part] == SOLE
    return {
        "统一社会信用代码": firms.usccs[part].copy(),
        "企业名称": firms.names[part].copy(),
        "企业类型": named(FORMS, firms.forms[part]),
        "行业门类": named([sector.name for sector in SECTORS], firms.sectors[part]),
        "法定代表人": firms.bosses[part].copy(),
        "注册资本(万元)": money(firms.capital[part]),
        "成立日期": iso_days(firms.founded[part]),
        "登记状态": named(STATES, firms.states[part]),
        "所属区": districts,
        "所属街道": streets,
        "住所": providers.addresses(rng("住所"), districts, streets, kind="office"),
        "联系电话": without(providers.landlines(rng("电话"), n), rng("电话空").random(n) < np.where(sole, 0.3, 0.06)),
        "电子邮箱": without(providers.emails(rng("邮箱"), n), rng("邮箱空").random(n) < np.where(sole, 0.7, 0.25)),
        "从业人数": without(whole(firms.staff[part]), rng("人数空").random(n) < 0.05),
        "经营范围": _scope(rng("经营范围"), firms.sectors[part]),
        "_reserved": firms.reserved[part].astype(object),
    }


def _scope(rng: np.random.Generator, sectors: np.ndarray) -> Words:
    """Two lines of business of the sector, in the wording of the register."""
    out = np.empty(len(sectors), dtype=object)
    tails = words(list(_SCOPE_TAILS))
    for place, sector in enumerate(SECTORS):
        rows = np.flatnonzero(sectors == place)
        kinds = words(SCOPES[sector.name].split())
        first = rng.integers(0, len(kinds), len(rows))
        second = (first + 1 + rng.integers(0, len(kinds) - 1, len(rows))) % len(kinds)
        out[rows] = "一般项目：" + kinds[first] + "；" + kinds[second] + tails[rng.integers(0, len(tails), len(rows))]
    return out


def soil(soiler: Soiler) -> None:
    """Dirt of a hand-kept workbook; there are no broken rows in a sheet."""
    soiler.bad_check("统一社会信用代码", 0.004, reserved=True)
    soiler.full_width("统一社会信用代码", 0.003, reserved=True)
    soiler.negative("注册资本(万元)", 0.001)
    soiler.impossible("成立日期", ("2023-02-30", "2019-11-31"), 0.001)
    soiler.impossible("从业人数", ("-5", "9999999"), 0.001)
    soiler.trailing_blanks("企业名称", 0.008)
    soiler.duplicate(0.004)
    soiler.thousands("注册资本(万元)", 0.3)
    soiler.spell_dates("成立日期", (0.72, 0.1, 0.12, 0.06))
    soiler.spell_missing(empty=0.45)


TABLE = Table(
    key="enterprises",
    title="企业登记",
    department=MARKET,
    grain="每行一个市场主体",
    columns=COLUMNS,
    layout=Layout(
        "xlsx",
        "xlsx",
        kind="sheet",
        lead=("附件1", "示范市企业登记基本信息表", "（截至2025年12月31日　填报单位：市市场监督管理局）"),
        tail=("合计：{rows}户", "注：本表含已注销、吊销市场主体；注册资本为认缴数。"),
    ),
    entities={"organisation": "统一社会信用代码"},
    base_rows=2_000,
    chunks=chunks,
    soil=soil,
)
