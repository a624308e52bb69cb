"""The rules for a column that only the catalogue describes: its dictionary, then its name or comment, then its type.

Ranges and shares here are everyday ones that nobody measured: they give a column its look, no statistic (assumed).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from types import MappingProxyType

from synthetic.fields import Field
from synthetic.generator import Dates, Number, Provider, Rule, Template, Vocabulary
from synthetic.providers.gazetteer import DISTRICTS
from synthetic.providers.pools import listed
from synthetic.providers.vocabulary import INDUSTRY_WORDS

_EAST = [d.longitude for d in DISTRICTS]
_NORTH = [d.latitude for d in DISTRICTS]
_REACH = 0.05


def _words(text: str, *weights: float) -> Vocabulary:
    return Vocabulary(values=listed(text), weights=weights or None)


_NUMBERS: Mapping[str, Number] = MappingProxyType(  # the first word that the name or comment holds
    {
        "百分": Number(low=0, high=100),
        "率 比例 占比 rate ratio": Number(low=0, high=1),
        "年龄 age": Number(low=0, high=95, distribution="normal"),
        "经度 longitude lng": Number(low=min(_EAST) - _REACH, high=max(_EAST) + _REACH, distribution="normal"),
        "纬度 latitude": Number(low=min(_NORTH) - _REACH, high=max(_NORTH) + _REACH, distribution="normal"),
        "年份 年度 year": Number(low=2015, high=2025),
        "月份 month": Number(low=1, high=12),
        "气温 温度": Number(low=-2, high=38, distribution="normal"),
        "湿度": Number(low=25, high=100, distribution="normal"),
        "身高": Number(low=140, high=195, distribution="normal"),
        "体重": Number(low=35, high=105, distribution="normal"),
        "面积": Number(low=20, high=800, distribution="lognormal"),
        "注册资本 投资额": Number(low=10_000, high=50_000_000, distribution="lognormal"),
        "工资 收入 薪 salary income": Number(low=1_800, high=40_000, distribution="lognormal"),
        "天数 时长 工作日 期限 days": Number(low=1, high=60),
        "分数 成绩 得分 评分 score": Number(low=35, high=100, distribution="normal"),
        "人数 人次 数量 次数 件数 户数 count": Number(low=1, high=400, distribution="lognormal"),
        "金额 费 价 款 资金 税 余额 基数 amount price fee": Number(low=5, high=20_000, distribution="lognormal"),
        "pm2.5 pm25 pm10 aqi 浓度": Number(low=5, high=160, distribution="lognormal"),
    }
)
_DATES: Mapping[str, Dates] = MappingProxyType(
    {
        "出生 birth": Dates(first=date(1940, 1, 1), last=date(2020, 12, 31)),
        "到期 截止 失效 有效期 届满 expire end": Dates(first=date(2025, 1, 1), last=date(2032, 12, 31)),
        "成立 注册 设立 登记 开户": Dates(first=date(2005, 1, 1), last=date(2025, 12, 31)),
    }
)
_LABELS: Mapping[str, Rule] = MappingProxyType(
    {
        "性别 sex gender": _words("男 女", 51, 49),
        "民族": _words("汉族 壮族 瑶族 回族 满族 苗族 土家族", 96, 1.4, 0.8, 0.6, 0.5, 0.4, 0.3),
        "学历 文化程度 受教育": _words("小学 初中 高中 中专 大专 本科 硕士研究生", 15, 26, 18, 7, 15, 16, 3),
        "婚姻": _words("未婚 已婚 离异 丧偶", 30, 60, 5, 5),
        "政治面貌": _words("群众 共青团员 中共党员 民主党派", 74, 15, 10, 1),
        "血型": _words("A型 B型 O型 AB型", 28, 24, 38, 10),
        "证件类型 证件种类": _words("居民身份证 护照 港澳居民来往内地通行证 外国人永久居留身份证", 95, 2, 2, 1),
        "科室": _words("内科 外科 儿科 妇产科 急诊科 骨科 眼科 口腔科 中医科 皮肤科"),
        "险种 参保": _words("职工基本医疗保险 城乡居民基本医疗保险 失业保险 工伤保险 生育保险"),
        "支付方式 缴费方式": _words("微信 支付宝 银行卡 现金 医保账户", 42, 28, 14, 8, 8),
        "行业": Vocabulary(values=tuple(name for name in INDUSTRY_WORDS if len(name) <= 40)),
        "职业": _words("专业技术人员 办事人员 商业服务业人员 生产运输人员 农林牧渔人员 学生 离退休人员"),
        "燃料 能源类型": _words("汽油 柴油 纯电动 插电混动", 60, 12, 20, 8),
        "季度": _words("一季度 二季度 三季度 四季度"),
        "星期": _words("星期一 星期二 星期三 星期四 星期五 星期六 星期日"),
        "天气": _words("晴 多云 阴 小雨 中雨 大雨", 25, 35, 18, 13, 6, 3),
        "是否": _words("是 否"),
        "结果 结论": _words("通过 不通过 待定", 80, 12, 8),
        "状态": _words("正常 办理中 已办结 暂停 注销", 60, 15, 15, 4, 6),
        "等级 级别": _words("一级 二级 三级 四级"),
        "渠道 来源": _words("窗口 网上 电话 移动端 自助终端"),
        "姓名 联系人 经办人 法人 负责人 name": Provider(provider="person_name"),
        "身份证": Provider(provider="resident_id"),
        "信用代码": Provider(provider="uscc"),
        "手机 电话 mobile phone": Provider(provider="mobile"),
        "邮箱 email": Provider(provider="email"),
        "地址 住址 address": Provider(provider="address"),
        "企业 公司 单位 机构名称": Provider(provider="organisation"),
        "备注 说明 内容 事由 描述": Provider(provider="remark"),
        "编码 编号 代码 code": Template(templates=("{letter}{digits:5}",)),
    }
)
_AMOUNT = Number(low=5, high=2_000, distribution="lognormal")
_LABELS_BY_TYPE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "boolean": ("true", "false"),
        "date": tuple(f"{year}-01-01" for year in range(2020, 2025)),
        "timestamp": tuple(f"{year}-01-01 00:00:00" for year in range(2020, 2025)),
    }
)
_LETTERED = ("甲类", "乙类", "丙类", "丁类", "戊类")
_PLACES: Mapping[str, Rule] = MappingProxyType(
    {
        "district": Vocabulary(values=tuple(d.name for d in DISTRICTS), weights=tuple(d.weight for d in DISTRICTS)),
        "street": Provider(provider="street"),
    }
)


def catalogue_rule(field: Field, fields: Sequence[Field]) -> tuple[Rule, str]:
    """The rule of a column, and why: "dictionary", "name" with the word that decided, or "type".

    `fields` are all columns that are drawn with it: a street lies in the district of its row.
    """
    if field.codes:
        return Vocabulary.model_construct(values=field.codes), "dictionary"
    if field.semantic in _PLACES and field.dtype == "text":
        return _fitting(_placed(_PLACES[field.semantic], fields), field), f"name {field.semantic}"
    for group, rule in _table(field).items():
        word = next((w for w in listed(group) if w in f"{field.name} {field.comment}".lower()), None)
        if word and _room(rule, field):
            return rule, f"name {word}"
    return _by_type(field), "type"


def _placed(rule: Rule, fields: Sequence[Field]) -> Rule:
    district = next((f.name for f in fields if f.semantic == "district" and f.dtype == "text"), None)
    return rule.model_copy(update={"of": district}) if isinstance(rule, Provider) else rule


def _table(field: Field) -> Mapping[str, Rule]:
    if not field.numeric:
        return _LABELS if field.dtype == "text" else {}
    return _DATES if field.dtype in ("date", "timestamp") else _NUMBERS


def _room(rule: Rule, field: Field) -> bool:
    """Whether every text of the rule fits into the column; what a provider makes has a length of its own."""
    if field.length is None or field.numeric:
        return True
    return not isinstance(rule, Provider) and all(len(text) <= field.length for text in rule.texts())


def _fitting(rule: Rule, field: Field) -> Rule:
    return rule if field.length is None or field.length >= _LONGEST_PLACE else _by_type(field)


_LONGEST_PLACE = 8


def _by_type(field: Field) -> Rule:
    if field.numeric and field.dtype in ("date", "timestamp"):
        return Dates(first=date(2020, 1, 1), last=date(2025, 12, 31))
    if field.numeric:
        return _AMOUNT if field.semantic == "amount" else Number(low=0, high=100)
    if field.dtype != "text":
        return Vocabulary(values=_LABELS_BY_TYPE.get(field.dtype, tuple("12345")))
    if field.semantic == "code":
        return Template(templates=("{letter}{digits:" + str(min(5, max(1, (field.length or 6) - 1))) + "}",))
    return Vocabulary(values=tuple(dict.fromkeys(label[: field.length] for label in _LETTERED)))
