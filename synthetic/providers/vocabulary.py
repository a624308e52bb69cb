"""Word lists behind the providers. Surnames and part of the given names come from Faker's zh_CN lists.

Faker is read once, for its vocabulary only. Its companies, addresses, cards, plates and passports are not used:
companies repeat and contain real firms, address parts contradict each other, the rest has no Chinese form.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

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


class Remarks(NamedTuple):
    """Templates of one kind of text, and the things their place {item} speaks of."""

    templates: tuple[str, ...]
    items: tuple[str, ...]


REMARK_WORDS: dict[str, tuple[str, ...]] = {  # the first kind one of whose words occurs
    "complaint": ("信访", "投诉", "诉求", "举报", "热线", "工单", "来电", "12345", "complaint"),
    "medical": ("就诊", "主诉", "诊断", "医嘱", "病", "门诊", "住院", "处方", "体检", "护理", "medical", "diagnos"),
    "inspection": ("检查", "执法", "处罚", "巡查", "整改", "违法", "违章", "隐患", "inspect"),
    "school": ("学生", "学籍", "教学", "课程", "班级", "成绩", "school", "student"),
    "enterprise": ("企业", "经营", "公司", "法人", "纳税", "市场主体", "许可范围", "business", "enterprise"),
    "service": ("办件", "办理", "受理", "审批", "申请", "事项", "窗口", "service", "permit"),
}

REMARKS_BY_KIND: dict[str, Remarks] = {
    "complaint": Remarks(
        (
            "反映{street}附近{item}问题，希望尽快处理",
            "市民来电称{month}月{day}日晚{hour}时许{item}，影响休息",
            "投诉{item}，已是第{count}次反映",
            "建议在{street}增设相关设施，解决{item}问题",
            "咨询{item}由哪个部门负责，已答复",
            "已转{street}处理，{count}个工作日内回复",
            "经核实{item}情况属实，正在整改",
            "来访人要求书面答复{item}的处理结果",
        ),
        listed("路面破损 噪音扰民 占道经营 路灯不亮 垃圾清运不及时 电梯故障 违规停车 下水道堵塞 施工扬尘 停水"),
    ),
    "medical": Remarks(
        (
            "主诉{item}{count}天，无发热",
            "{item}{count}周，加重{day}天，建议复查",
            "因{item}就诊，予对症处理，随访",
            "复诊，{item}较前好转，继续原方案",
            "{item}，嘱清淡饮食、注意休息，{count}周后复诊",
            "否认药物过敏史，{item}待查",
            "{month}月体检发现异常，现{item}，进一步检查",
        ),
        listed("咳嗽 头晕 腰痛 胃部不适 膝关节疼痛 乏力 鼻塞流涕 皮疹 失眠 胸闷 咽痛 腹泻"),
    ),
    "inspection": Remarks(
        (
            "现场检查发现{item}，责令{count}日内改正",
            "{month}月{day}日复查，{item}已整改",
            "{item}，当场提出口头警告",
            "经检查未发现{item}情形",
            "抽查{count}处，其中一处{item}",
            "{item}，拟处罚款{amount}元",
            "已向{street}通报{item}情况",
        ),
        listed("消防通道堵塞 台账不全 标识缺失 灭火器过期 超范围经营 未公示许可证 卫生不达标 设备未检验"),
    ),
    "school": Remarks(
        (
            "{month}月参加{item}",
            "本学期{item}表现良好",
            "{item}缺课{count}次，已补",
            "因病请假{count}天，{item}另行安排",
            "家长已知悉{item}安排",
            "转入后补测{item}",
        ),
        listed("体质测试 社会实践 课外阅读 科技活动 期中测验 合唱排练 志愿服务 劳动课"),
    ),
    "enterprise": Remarks(
        (
            "主营{item}，经营正常",
            "{month}月变更经营范围，增加{item}",
            "年报已公示，{item}业务占比上升",
            "地址变更至{street}，待换照",
            "{item}项目于{month}月投产",
            "申请减免，材料第{count}次补正",
            "实地走访，{item}订单稳定",
        ),
        listed("五金加工 餐饮服务 软件开发 服装批发 物流运输 物业管理 建材销售 电子元件 食品零售 装饰设计 仓储"),
    ),
    "service": Remarks(
        (
            "{item}申请材料齐全，当场受理",
            "{item}缺少证明{count}份，已告知补正",
            "{month}月{day}日办结，{item}已送达",
            "由{street}窗口代收，{item}流转中",
            "申请人撤回{item}申请",
            "{item}符合条件，准予办理",
            "电话回访，对{item}办理表示满意",
        ),
        listed("居住登记 营业执照变更 社保转移 不动产登记 公积金提取 老年人优待 施工许可 食品经营许可 婚姻登记预约"),
    ),
}


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
