"""Words of use applications."""

from __future__ import annotations

from policies.text import Text

FORMS: dict[str, Text] = {
    "aggregate": Text("汇总统计表", "aggregate tables"),
    "report": Text("分析报告", "report"),
    "model": Text("模型", "model"),
    "api": Text("接口服务", "API service"),
    "dataset": Text("数据集", "data set"),
}
AUDIENCES: dict[str, Text] = {
    "public": Text("向社会公开", "the public"),
    "contract": Text("合同约定的接收方", "a contract's recipient"),
    "enclave": Text("仅在平台内使用", "inside the platform only"),
}
AUDIENCE_HELP: dict[str, Text] = {
    "public": Text("按最严的阈值核查", "checked with the strictest thresholds"),
    "contract": Text("接收方受协议约束", "the recipient is bound by a contract"),
    "enclave": Text("结果不离开平台", "results do not leave"),
}
DENIED: dict[str, Text] = {
    "raw_export": Text("不得带出原始数据", "no export of raw data"),
    "re_identification": Text("不得识别个人", "no re-identification"),
    "re_sharing": Text("不得转给他人", "no sharing with others"),
}
ALLOWED: dict[str, Text] = {
    "query_simulated": Text("在仿真数据上开发", "develop on simulated data"),
    "read_rows": Text("在平台内查看分级允许的数据行", "look at the rows that the levels allow, inside the platform"),
    "run": Text("在真实数据上运行作业（不可见）", "run jobs on real data, unseen"),
    "request_export": Text("申请出域", "request exports"),
}

WORDS: dict[str, Text] = {
    "application.title": Text("使用申请", "Applications"),
    "application.lead": Text(
        "一个场景一份申请，先由运营机构核查，再由数源部门审核；部门审核超期视为同意，运营机构核查不会",
        "One application a scenario: checked by the operator, then approved by the departments; a department's silence "
        "counts as consent, the operator's never does",
    ),
    "application.new": Text("新建使用申请", "New application"),
    "application.none": Text("还没有使用申请", "There are no applications"),
    "application.none_next": Text(
        "从目录选择数据，逐列说明用途后提交", "Choose data from the catalogue and give a reason for each column"
    ),
    "application.none_next_other": Text("数据商提交后显示在这里", "They appear once merchants submit"),
    "application.asks": Text("申请 {count} 项数据", "{count} resources"),
    "application.scenario": Text("应用场景", "Scenario"),
    "application.scenario_help": Text(
        "只写一个场景，如“街道级门诊负荷分析”", "Exactly one, such as “Clinic load by street”"
    ),
    "application.purpose": Text("用途说明", "Purpose"),
    "application.purpose_help": Text("谁用、怎么用、产生什么公共价值", "Who uses it, how, and to what public benefit"),
    "application.form": Text("产品形态", "Product form"),
    "application.audience": Text("使用范围", "Audience"),
    "application.term": Text("使用期限（月）", "Term in months"),
    "application.term_help": Text("1–60 个月，到期自动停用", "1 to 60; use ends by itself"),
    "application.columns": Text("申请的数据与字段", "Data and columns asked for"),
    "application.columns_help": Text(
        "只勾选场景必需的字段，并逐个说明为什么需要（最小必要）",
        "Tick only what the scenario needs and say why for each column",
    ),
    "application.why": Text("为什么需要“{column}”", "Why “{column}” is needed"),
    "application.why_column": Text("用途", "Reason"),
    "application.save": Text("保存草稿", "Save the draft"),
    "application.saved_next": Text("保存后可以检查一遍再提交", "You can look it over before submitting"),
    "application.nothing_published": Text(
        "目录中还没有可以申请的数据", "Nothing in the catalogue can be applied for yet"
    ),
    "application.twin": Text("使用申请草稿", "draft application"),
    "application.expires": Text("有效期至", "Valid until"),
    "application.approvals": Text("部门审核", "Departments' approval"),
    "application.approvals_lead": Text(
        "每个部门各有一个时限；到期未答复，系统按规则记为“超期视为同意”并留痕",
        "Each department has its own deadline; without an answer by its last day the system records deemed consent",
    ),
    "application.department": Text("数源部门", "Department"),
    "application.decision": Text("意见", "Decision"),
    "application.reason": Text("理由", "Reason"),
    "application.deemed": Text(
        "部门在期限内没有答复，按规则视为同意；其他时限都不会这样",
        "The department did not answer in time, which counts as consent by rule; no other deadline does",
    ),
    "application.round": Text("第 {round} 轮", "round {round}"),
    "application.agreement": Text("使用协议", "Agreement"),
    "application.agreement_lead": Text(
        "签署后系统按批准的字段生成授权快照，协议按以下内容执行",
        "After signing, snapshots with exactly the approved columns are made; the agreement says",
    ),
    "application.signed": Text("签署时间", "Signed"),
    "application.allowed": Text("可以", "Allowed"),
    "application.denied": Text("不得", "Not allowed"),
    "application.digest": Text("协议指纹", "Agreement digest"),
    "application.grants": Text("授权", "Grants"),
    "application.grant": Text("授权编号", "Grant"),
    "application.grant_ready": Text("已生效", "in effect"),
    "application.grant_building": Text("快照生成中", "snapshot being built"),
    "application.grant_ended": Text("已结束并销毁", "ended and destroyed"),
    "application.open_workspace": Text("开通开发空间", "Open the workspace"),
    "application.edit": Text("修改申请", "Edit"),
    "application.go_workspace": Text("进入开发空间", "Go to the workspace"),
    "application.own_part": Text("本部门意见", "Your department's decision"),
    "application.steps": Text("申请进度", "Progress"),
    "application.step_draft": Text("起草", "Draft"),
    "application.step_check": Text("运营机构核查", "Operator's check"),
    "application.step_approve": Text("部门审核", "Departments' approval"),
    "application.step_sign": Text("签署协议", "Sign the agreement"),
    "application.step_active": Text("授权有效", "In effect"),
    "application.returned": Text("申请被退回，请按意见修改后重新提交", "Returned: change it as asked and submit again"),
    "application.return_help": Text(
        "退回的申请不能修改内容时，请撤回后重新申请", "If the contents must change, withdraw this one and apply anew"
    ),
    "application.rows": Text("只申请满足条件的行（可选）", "Only rows that meet (optional)"),
    "application.rows_help": Text(
        "多个条件同时满足；条件的列须同时申请；多个值用逗号分隔；日期写作 2026-01-31",
        "All must hold; ask for the column too; separate values by commas; write dates as 2026-01-31",
    ),
    "application.rows_all": Text("全部行", "every row"),
    "application.rows_line": Text("条件{number}：{what}", "Condition {number}: {what}"),
    "application.rows_op": Text("条件", "Condition"),
    "application.rows_values": Text("取值", "Values"),
    "application.rows_asked": Text("行范围", "Rows"),
    "application.disposal": Text("数据销毁记录", "What was destroyed"),
    "application.disposal_binding": Text("内容", "What"),
    "application.disposal_digest": Text("数据摘要", "Digest"),
    "application.disposal_real": Text("作业用数据", "data for jobs"),
    "application.disposal_rows": Text("可读数据", "readable data"),
    "application.disposal_twin": Text("仿真数据副本", "copy of simulated data"),
    "application.disposal_key": Text("化名密钥", "key of the pseudonyms"),
    "application.disposal_folder": Text("空间内真实数据目录", "the workspace's folder of real data"),
    "application.disposal_gone": Text("已销毁", "destroyed"),
    "application.disposal_shared": Text("与其他有效授权共用，保留", "kept: shared with another grant in effect"),
    "application.disposal_not": Text("尚未销毁", "not yet destroyed"),
    "application.disposal_stays": Text(
        "作业产出的成果仍留在平台内供核查追溯，不再能申请出域；仿真数据上的开发成果归数据商",
        "What jobs made stays inside for review and tracing and can no longer be exported; work on simulated data is "
        "the merchant's",
    ),
    "application.missing": Text("请至少选择一个字段", "Choose at least one column"),
}
