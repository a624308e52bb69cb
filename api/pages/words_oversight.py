"""Words of audit, jobs, policies, public reports and the demonstration's clock."""

from __future__ import annotations

from policies.text import Text

JOB_KINDS: dict[str, Text] = {
    "ingest": Text("读取交付文件", "take in a delivery"),
    "regrade": Text("重新分级", "look at grades again"),
    "simulate": Text("生成仿真数据", "make simulated data"),
    "grant": Text("生成授权快照", "build granted snapshots"),
    "dispose": Text("销毁授权数据", "destroy granted data"),
    "run": Text("真实数据运行", "run on real data"),
    "check_export": Text("出域机器核查", "check an export"),
    "release": Text("制作放行包", "make a release"),
}
JOB_STEPS: dict[str, Text] = {
    "read": Text("读取文件", "reading"),
    "land": Text("入库", "landing"),
    "quality": Text("计算质量指标", "measuring quality"),
    "detect": Text("检测个人信息", "detecting personal data"),
    "grade": Text("提出分级建议", "proposing grades"),
    "simulate": Text("建模和抽样", "modelling and sampling"),
    "publish": Text("发布", "publishing"),
    "snapshot": Text("生成快照", "building snapshots"),
    "dry_run": Text("仿真数据试运行", "dry run"),
    "real_run": Text("真实数据运行", "run on real data"),
    "artefact": Text("写出产品", "writing the product"),
    "evidence": Text("推导证据", "deriving evidence"),
    "rules": Text("逐条核查规则", "running the rules"),
    "last_check": Text("放行前复查", "last check"),
    "package": Text("签名打包", "signing the package"),
}
CHAIN_REASONS: dict[str, Text] = {
    "missing": Text("缺少一条记录", "a row is missing"),
    "altered": Text("记录被改动", "a row was altered"),
    "checkpoint": Text("与签名检查点不符", "it contradicts a signed checkpoint"),
    "truncated": Text("末尾被截断", "the end was cut off"),
}

WORDS: dict[str, Text] = {
    "audit.title": Text("审计记录", "Audit log"),
    "audit.lead": Text(
        "只增不改，每条记录与前一条以指纹相连；查看本页也会留痕",
        "Append-only; each row is chained to the one before. Opening this page is recorded too",
    ),
    "audit.object": Text("对象编号", "Object"),
    "audit.object_help": Text("留空查看全部", "Leave empty for all"),
    "audit.seq": Text("序号", "No."),
    "audit.at": Text("时间", "Time"),
    "audit.who": Text("操作人", "Who"),
    "audit.what": Text("事项", "What"),
    "audit.facts": Text("要素", "Facts"),
    "audit.hash": Text("指纹", "Hash"),
    "audit.newer": Text("较新", "Newer"),
    "audit.older": Text("较早", "Older"),
    "audit.range": Text("第 {first}–{last} 条，共 {total} 条", "{first}–{last} of {total}"),
    "audit.none": Text("没有记录", "No events"),
    "audit.none_next": Text("请检查对象编号", "Check the object's number"),
    "audit.verify": Text("校验审计链", "Verify the chain"),
    "audit.verify_lead": Text(
        "重新计算每一条记录的指纹，并与签名检查点比对",
        "Recomputes every hash and compares it with the signed checkpoints",
    ),
    "audit.intact": Text("审计链完整", "The chain is intact"),
    "audit.intact_note": Text(
        "已核对 {rows} 条记录和 {checkpoints} 个签名检查点", "{rows} rows and {checkpoints} signed checkpoints hold"
    ),
    "audit.broken": Text("审计链在第 {seq} 条处中断", "The chain breaks at row {seq}"),
    "audit.broken_next": Text(
        "请立即保全数据库和检查点文件，并按应急预案上报",
        "Secure the database and the checkpoint file at once and report",
    ),
    "job.title": Text("治理任务", "Jobs"),
    "job.lead": Text(
        "平台在后台完成的工作；失败的任务可以在排除原因后重试",
        "Work the platform does by itself; failed jobs can be retried",
    ),
    "job.none": Text("没有任务", "No jobs"),
    "job.none_next": Text("交付、发布、运行和出域会产生任务", "Deliveries, publications, runs and exports make jobs"),
    "job.kind": Text("任务", "Job"),
    "job.subject": Text("对象", "Subject"),
    "job.progress": Text("进度", "Progress"),
    "job.attempt": Text("第 {n} 次", "attempt {n}"),
    "job.retry": Text("重试", "Retry"),
    "job.took": Text("用时", "Duration"),
    "policy.title": Text("规则", "Policies"),
    "policy.lead": Text(
        "规则由合规人员编制，两人分别提出和启用；启用后不得修改，只能另发新版",
        "Officers own the rules: one proposes, another activates; an active edition never changes",
    ),
    "policy.kind": Text("规则", "Policy"),
    "policy.edition": Text("版本", "Edition"),
    "policy.effective": Text("生效日期", "In force from"),
    "policy.people": Text("提出 / 启用", "Proposed / activated"),
    "policy.in_force": Text("现行", "in force"),
    "policy.digest": Text("指纹", "Digest"),
    "policy.rules": Text("共 {count} 条规则", "{count} rules"),
    "policy.rule": Text("规则", "Rule"),
    "policy.why": Text("理由", "Why"),
    "policy.parameters": Text("参数", "Parameters"),
    "policy.on_fail": Text("不满足时", "If missed"),
    "policy.text": Text("版本全文", "Full text"),
    "policy.propose": Text("提出新版本", "Propose an edition"),
    "policy.propose_lead": Text(
        "粘贴完整的规则文本；不合要求时会指出行号和字段", "Paste the full text; problems are named by line and field"
    ),
    "policy.propose_do": Text("提出", "Propose"),
    "policy.activate": Text("启用", "Activate"),
    "policy.same_person": Text("启用须由提出人以外的第二人办理", "The second person must differ from the proposer"),
    "report.title": Text("信息披露", "Public reporting"),
    "report.lead": Text(
        "按期公布授权运营情况；每个数字都从审计记录逐条统计，可以复算",
        "How public data are operated, period by period; every figure is counted from the audit log",
    ),
    "report.none": Text("还没有披露", "Nothing has been published yet"),
    "report.none_next": Text("运营机构按期发布后显示在这里", "The operator publishes reports here"),
    "report.period": Text("{start} 至 {end}", "{start} to {end}"),
    "report.published": Text("发布时间", "Published"),
    "report.from": Text("开始日期", "From"),
    "report.to": Text("结束日期", "To"),
    "report.publish": Text("发布披露", "Publish a report"),
    "report.publish_lead": Text(
        "统计该期间的审计记录并公开，发布后不能修改", "Counts the log of that period and publishes it for good"
    ),
    "report.digest": Text("内容指纹", "Digest"),
    "report.counted_to": Text("统计到审计记录第 {seq} 条", "counted up to audit row {seq}"),
    "report.date": Text("日期不存在", "There is no such date"),
    "report.date_fix": Text("请按年-月-日填写", "Write year-month-day"),
    "report.twin": Text("披露", "report"),
    "demo.title": Text("演示时钟", "Demonstration clock"),
    "demo.lead": Text(
        "只在演示市可用：把平台时钟往后拨，观察时限到期和超期视为同意；时钟不能往回拨",
        "Only in the demonstration city: move the clock on to see deadlines run out; it never goes back",
    ),
    "demo.now": Text("平台现在的时间", "The platform's time"),
    "demo.jump": Text("拨到 {day}（{count} 个工作日后）", "On to {day} ({count} working days)"),
    "demo.to": Text("拨到", "Move to"),
    "demo.move": Text("拨快时钟", "Move the clock"),
    "demo.lapse_note": Text(
        "到期处理由平台定时进行，拨快后稍候片刻", "The platform handles what has become due a moment later"
    ),
    "demo.bad_time": Text("时间格式不正确", "This is not a time"),
    "demo.bad_time_fix": Text("请选择日期和时间", "Choose a date and a time"),
}
