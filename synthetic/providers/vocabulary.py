"""Word lists behind the providers. Surnames and part of the given names come from Faker's zh_CN lists.

Faker is read once, for its vocabulary only. Its companies, addresses, cards, plates and passports are not used:
companies repeat and contain real firms, address parts contradict each other, the rest has no Chinese form.
"""

from __future__ import annotations

from functools import cache

from synthetic.providers.pools import listed

MALE_FIRST = tuple("志建国文明德永俊家子浩宇梓嘉伟天晓振海思一承泽")
MALE_SECOND = tuple("强军华明辉峰伟涛杰鹏斌轩宇豪然宸睿泽航霖龙林平波")
FEMALE_FIRST = tuple("秀玉桂淑丽春美晓雪佳思雨欣梓诗若语嘉梦静慧海")
FEMALE_SECOND = tuple("英兰珍芳梅华娟霞玲琴燕敏婷怡涵彤萱瑶琪琳妍洁")

# Given names that mark a generation; the middle generations add Faker's own lists.
MALE_BY_ERA: tuple[tuple[str, ...], ...] = (
    listed("建国 国强 志明 德华 永福 金水 文华 家兴 卫国 建军 国华 福生 耀祖 炳坤 树根"),
    listed("伟 勇 军 建平 志强 海涛 晓东 国栋 永强 文斌 俊杰 少华 伟明 剑锋 振华"),
    listed("浩 鹏 杰 俊辉 嘉豪 志豪 伟健 晨 凯 子健 文杰 泽林 宇航 家乐 锦涛"),
    listed("梓轩 浩然 子睿 宇轩 俊熙 奕辰 沐宸 梓睿 皓轩 铭泽 一诺 浩宇 子墨 天佑 嘉懿"),
)
FEMALE_BY_ERA: tuple[tuple[str, ...], ...] = (
    listed("秀英 桂英 玉兰 凤英 秀珍 淑珍 金凤 玉珍 惠芳 月娥 彩霞 银娣 美玲 爱华 桂香"),
    listed("丽 艳 敏 静 丽华 海燕 晓玲 春燕 红梅 小红 丽君 雪芬 燕玲 文英 少芬"),
    listed("婷婷 佳 倩 嘉欣 思敏 晓彤 婉婷 雅琪 颖 梦婷 诗雅 慧敏 雪莹 佳怡 紫琪"),
    listed("梓涵 欣怡 诗涵 雨桐 可馨 语桐 若曦 梓晴 依诺 思琪 芷若 沐瑶 一涵 佳妮 乐瑶"),
)
ERA_STARTS = (1968, 1985, 2002)  # first birth year of the second, third and fourth generation

TRADE_NAMES_FIRST = tuple("恒瑞华嘉盛鑫宏汇丰泰远景博信诚康润德隆凯达晟联众卓越启明晨曦海岭湖江南辰云天宇创智优品金百")
TRADE_NAMES_SECOND = tuple("达泰源信兴和隆盛通联创远景业诚丰旺利安康德华宇腾翔元恒洋佳美成新邦合益龙")

INDUSTRY_WORDS: dict[str, tuple[str, ...]] = {
    "制造业": ("机械", "电子", "塑胶制品", "五金制品", "家具", "服装", "精密模具", "包装材料"),
    "批发和零售业": ("商贸", "贸易", "百货", "建材", "食品", "医药", "日用品"),
    "住宿和餐饮业": ("餐饮管理", "酒店管理", "餐饮服务", "饮品"),
    "信息传输、软件和信息技术服务业": ("科技", "信息技术", "软件", "网络科技", "数据服务"),
    "建筑业": ("建筑工程", "装饰工程", "市政工程", "机电安装"),
    "交通运输、仓储和邮政业": ("物流", "运输", "供应链管理", "仓储服务"),
    "房地产业": ("房地产开发", "物业管理", "房产咨询"),
    "租赁和商务服务业": ("企业管理咨询", "广告", "人力资源", "会展服务"),
    "居民服务、修理和其他服务业": ("家政服务", "汽车维修", "美容美发", "洗涤服务"),
    "农、林、牧、渔业": ("农业发展", "水产养殖", "园林绿化", "果蔬种植"),
    "金融业": ("融资担保", "小额贷款", "保险代理"),
    "教育": ("教育咨询", "培训中心", "文化教育"),
    "卫生和社会工作": ("健康管理", "养老服务", "口腔门诊"),
}

REMARK_TEMPLATES = (
    "资料齐全，已归档",
    "已于{month}月{day}日核实",
    "材料第{count}次补正后受理",
    "窗口现场办理，当日办结",
    "网上申请，{count}个工作日内办结",
    "转{street}办理",
    "信息与{month}月台账一致",
    "需补充证明材料{count}份",
)


@cache
def surnames() -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Chinese surnames with their share in the population (Faker zh_CN, from the 2013 surname ranking)."""
    from faker.providers.person.zh_CN import Provider

    # Faker weighs 于 at 0.0074; that is its neighbour's 0.48 misplaced, as 于 ranks about 40th.
    weights = {name: float(weight) for name, weight in Provider.last_names.items()} | {"于": 0.48}
    return tuple(weights), tuple(weights.values())


@cache
def given_names(male: bool, era: int) -> tuple[str, ...]:
    """Given names of one sex and generation (0 = oldest … 3 = youngest)."""
    from faker.providers.person.zh_CN import Provider

    own = (MALE_BY_ERA if male else FEMALE_BY_ERA)[era]
    first, second = (MALE_FIRST, MALE_SECOND) if male else (FEMALE_FIRST, FEMALE_SECOND)
    low, high = ((0, 11), (0, 13), (6, 20), (12, 22))[era]
    made = tuple(a + b for a in first[low:high] for b in second[low:high] if a != b)
    common = tuple(Provider.first_names_male if male else Provider.first_names_female) if era in (1, 2) else own * 3
    return own * 8 + common * 2 + made
