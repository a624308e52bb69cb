"""Words of the simulation plan."""

from __future__ import annotations

from policies.text import Text

SEMANTICS: dict[str, Text] = {
    "person_name": Text("姓名", "person's name"),
    "resident_id": Text("居民身份证号", "resident ID"),
    "passport": Text("护照号", "passport"),
    "permit": Text("通行证号", "travel permit"),
    "medical_number": Text("病历号", "patient number"),
    "school_number": Text("学籍号", "pupil number"),
    "mobile": Text("手机号", "mobile number"),
    "landline": Text("固定电话", "landline number"),
    "email": Text("电子邮箱", "e-mail address"),
    "bank_card": Text("银行卡号", "bank card"),
    "uscc": Text("统一社会信用代码", "social credit code"),
    "organisation_code": Text("组织机构代码", "organisation code"),
    "organisation": Text("单位名称", "organisation's name"),
    "plate": Text("车牌号", "number plate"),
    "vin": Text("车架号", "vehicle identification number"),
    "imei": Text("手机串号", "device number"),
    "ip": Text("网络地址", "IP address"),
    "mac": Text("网卡地址", "MAC address"),
    "coordinates": Text("经纬度", "coordinates"),
    "address": Text("地址", "address"),
    "free_text": Text("自由文本（备注）", "free text (remarks)"),
    "key": Text("主键（按规律另编，不重复）", "key (new ones of its shape, all different)"),
    "shape": Text("按字形另造", "made up in its shape"),
    "district": Text("区县", "district"),
    "street": Text("街道", "street"),
    "category": Text("类别", "category"),
    "code": Text("编码", "code"),
    "number": Text("数值", "number"),
    "amount": Text("金额", "amount"),
    "date": Text("日期", "date"),
    "timestamp": Text("时间", "time"),
    "constant": Text("固定值", "constant"),
    "drop": Text("去掉这一列", "leave the column out"),
}
DECIDERS: dict[str, Text] = {
    "machine": Text("机器判断", "the machine"),
    "declared": Text("部门登记", "the department"),
    "operator": Text("运营人员", "an operator"),
    "default": Text("默认处理（假定）", "default answer (assumed)"),
}
WAYS: dict[str, Text] = {
    "invented": Text("虚构", "invented"),
    "pattern": Text("按规律另编", "new ones of its shape"),
    "learned": Text("按真实分布抽样", "sampled from the real distribution"),
    "blind": Text("不读取真实值", "drawn without real values"),
    "parent": Text("取自关联表", "from the related table"),
    "drop": Text("不出现", "left out"),
}

WORDS: dict[str, Text] = {
    "plan.lead": Text(
        "每一列按什么内容仿真、依据哪条规则。标识个人或单位的列一律虚构，不学习真实取值。判断有误的，在“改为”里更正后重新生成。",
        "What each column is simulated as, and by which rule. Columns that identify people or firms are invented. "
        "Where the machine is wrong, correct it and make the data again.",
    ),
    "plan.asks": Text("有 {count} 列要请您说明内容，才能生成仿真数据", "{count} columns need your answer first"),
    "plan.desk": Text("{name}：仿真方案待回答", "{name}: the simulation plan has questions"),
    "plan.go": Text("去回答", "Answer"),
    "plan.questions": Text("待回答", "Open questions"),
    "plan.question_lead": Text(
        "机器认不出这些文本列。未归类的文本里可能有真实个人信息，回答之前不会生成仿真数据。不确定时可以按默认处理：{default}（字母、数字、长度相仿），不保留任何真实字词。",
        "The machine does not know these text columns. Unclassified text may hold real personal data, so nothing is "
        "made before you answer. If unsure, take the default: {default} (letters, digits, length), with no real word.",
    ),
    "plan.settled": Text("各列方案", "Columns"),
    "plan.of_version": Text("第 {number} 版", "version {number}"),
    "plan.column": Text("列", "Column"),
    "plan.meaning": Text("仿真为", "Simulated as"),
    "plan.why": Text("依据", "Why"),
    "plan.by": Text("决定", "Decided by"),
    "plan.change": Text("改为", "Change to"),
    "plan.change_of": Text("“{column}”改为", "Change “{column}” to"),
    "plan.say_of": Text("“{column}”是什么内容", "What is “{column}”"),
    "plan.facts": Text("{distinct} 个不同取值，{missing} 个空值", "{distinct} distinct values, {missing} missing"),
    "plan.unanswered": Text("待回答", "not answered"),
    "plan.as_machine": Text("不改", "leave as it is"),
    "plan.choose": Text("请选择", "Choose"),
    "plan.take_back": Text("撤回指定，恢复原判断", "take back, as it was before"),
    "plan.group_invented": Text("虚构，不学习真实取值", "Invented, nothing is learned"),
    "plan.group_learned": Text("按真实分布抽样", "Sampled from the real distribution"),
    "plan.group_drop": Text("其他", "Other"),
    "plan.expired": Text("以前的指定已不适用于这一列", "an earlier answer no longer fits this column"),
    "plan.save": Text("保存更改", "Save"),
    "plan.save_answers": Text("保存回答", "Save the answers"),
    "plan.rest": Text("其余按默认处理", "Default for the rest"),
    "plan.regenerate": Text("按方案重新生成", "Make it again by this plan"),
    "plan.regenerate_lead": Text(
        "更改保存后不会自动生效，重新生成后才用于仿真数据。", "Changes take effect when the data is made again."
    ),
    "plan.before": Text("原判断：{meaning}", "before: {meaning}"),
    "plan.not_known": Text("机器认不出", "the machine did not know it"),
    "plan.say": Text("内容", "Content"),
    "plan.running": Text("正在生成，请等它结束", "it is being made; wait for it"),
    "plan.regenerate_open": Text("还有未回答的列", "questions are still open"),
    "plan.regenerate_unpublished": Text("发布后会自动生成", "made after publication"),
    "plan.last": Text("最近一次生成", "Last made"),
    "plan.assumed": Text("有 {count} 列按默认处理（假定）", "{count} columns by the default answer (assumed)"),
    "plan.none": Text("还没有仿真方案", "There is no plan yet"),
    "plan.none_next": Text("交付的数据读取并分级后，在这里列出每一列的仿真方案", "It appears once a delivery is read"),
    "plan.changed": Text("刚有新版本形成，方案已变化", "A new version came in between; the plan has changed"),
    "plan.changed_fix": Text("请刷新页面，核对后再保存", "Reload the page, look again and save"),
}
