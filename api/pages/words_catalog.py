"""Words of the catalogue, and of columns wherever they are shown."""

from __future__ import annotations

from policies.text import Text

TYPES: dict[str, Text] = {
    "text": Text("文本", "text"),
    "integer": Text("整数", "integer"),
    "decimal": Text("小数", "decimal"),
    "date": Text("日期", "date"),
    "timestamp": Text("时间", "timestamp"),
    "boolean": Text("是否", "yes or no"),
}
ROLES: dict[str, Text] = {
    "direct": Text("直接标识", "direct identifier"),
    "quasi": Text("准标识", "quasi-identifier"),
    "sensitive": Text("敏感属性", "sensitive attribute"),
    "none": Text("无", "none"),
}
ENTITIES: dict[str, Text] = {
    "CN_RESIDENT_ID": Text("居民身份证号", "resident ID"),
    "CN_RESIDENT_ID_15": Text("15 位居民身份证号", "resident ID, 15 digits"),
    "CN_MOBILE": Text("手机号", "mobile number"),
    "CN_LANDLINE": Text("固定电话", "landline number"),
    "CN_BANK_CARD": Text("银行卡号", "bank card"),
    "CN_USCC": Text("统一社会信用代码", "social credit code"),
    "CN_SOLE_TRADER": Text("个体工商户信用代码", "sole trader's credit code"),
    "CN_ORG_CODE": Text("组织机构代码", "organisation code"),
    "CN_PLATE": Text("车牌号", "number plate"),
    "CN_PASSPORT": Text("护照号", "passport"),
    "CN_TRAVEL_PERMIT": Text("通行证号", "travel permit"),
    "CN_HK_ID": Text("香港身份证号", "Hong Kong identity card"),
    "CN_TW_ID": Text("台湾身份证号", "Taiwan identity card"),
    "CN_WECHAT": Text("微信号", "WeChat account"),
    "CN_QQ": Text("QQ 号", "QQ number"),
    "VIN": Text("车架号", "vehicle identification number"),
    "IMEI": Text("手机串号", "device number"),
    "EMAIL_ADDRESS": Text("电子邮箱", "e-mail address"),
    "IP_ADDRESS": Text("网络地址", "IP address"),
    "MAC_ADDRESS": Text("网卡地址", "MAC address"),
    "COORDINATES": Text("经纬度", "coordinates"),
    "PERSON": Text("姓名", "person's name"),
    "ADDRESS": Text("地址", "address"),
    "ORGANIZATION": Text("单位名称", "organisation"),
}
ENGINES: dict[str, Text] = {
    "sdv": Text("统计建模引擎", "statistical engine (SDV)"),
    "tree": Text("树模型引擎", "tree engine"),
    "schema": Text("结构引擎（不读取真实记录）", "structure engine (reads no real row)"),
}

WORDS: dict[str, Text] = {
    "catalog.title": Text("数据目录", "Catalogue"),
    "catalog.lead": Text(
        "各部门已发布的数据资源：先看字段和仿真数据是否合用，再申请使用",
        "Resources departments have published: see whether fields and simulated data fit, then apply",
    ),
    "catalog.department": Text("数源部门", "Department"),
    "catalog.level": Text("数据级别", "Level"),
    "catalog.fields": Text("{count} 个字段", "{count} fields"),
    "catalog.cycle": Text("更新周期", "Update cycle"),
    "catalog.simulated": Text("有仿真数据", "simulated data available"),
    "catalog.not_simulated": Text("仿真数据生成中", "simulated data in preparation"),
    "catalog.none": Text("目录中还没有数据资源", "The catalogue is empty"),
    "catalog.none_next": Text(
        "数源部门交付、确认分级后，由运营机构发布到这里",
        "Resources appear once departments deliver, confirm grades, and the operator publishes",
    ),
    "catalog.dictionary": Text("字段", "Fields"),
    "catalog.rows": Text("样例行", "Rows"),
    "catalog.shapes": Text("分布", "Distributions"),
    "catalog.files": Text("下载", "Download"),
    "catalog.about": Text("仿真说明", "About the simulation"),
    "catalog.apply": Text("申请使用", "Apply to use"),
    "catalog.field": Text("字段", "Field"),
    "catalog.type": Text("类型", "Type"),
    "catalog.meaning": Text("含义", "Meaning"),
    "catalog.category": Text("分类", "Category"),
    "catalog.grade": Text("级别", "Level"),
    "catalog.sensitive": Text("敏感", "sensitive"),
    "catalog.how_simulated": Text("仿真方式", "How it is simulated"),
    "catalog.codes": Text("取值：{codes}", "values: {codes}"),
    "catalog.closeness": Text("与真实分布的接近度", "Closeness to the real distribution"),
    "catalog.no_comment": Text("未填写", "not given"),
    "catalog.rows_note": Text(
        "以下记录由程序生成，不对应任何真实的人或单位；第 {first}–{last} 行，共 {total} 行",
        "These records are generated and stand for no real person or organisation; rows {first}–{last} of {total}",
    ),
    "catalog.rows_wait": Text("仿真数据尚未生成", "There is no simulated data yet"),
    "catalog.rows_wait_next": Text("发布后自动生成，请稍后再看", "It is made after publication; come back later"),
    "catalog.rows_end": Text("没有更多行", "No more rows"),
    "catalog.engine": Text("生成引擎", "Engine"),
    "catalog.sim_rows": Text("仿真行数", "Rows"),
    "catalog.score": Text("整体接近度", "Overall fidelity"),
    "catalog.score_note": Text("相对于真实数据自身的抽样误差", "relative to the real data's own sampling error"),
    "catalog.shapes_score": Text("单列分布", "Single columns"),
    "catalog.pairs": Text("列间关系", "Pairs of columns"),
    "catalog.privacy": Text("隐私检验", "Privacy gates"),
    "catalog.good_for": Text("适用范围", "What it is good for"),
    "catalog.not_kept": Text("没有保留的特征", "What is not kept"),
    "catalog.seed": Text("随机种子", "Seed"),
    "catalog.mine": Text("管理此资源", "Manage this resource"),
}
