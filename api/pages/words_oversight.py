"""Words of audit, jobs, policies, public reports and the demonstration's clock."""

from __future__ import annotations

import re

from api.pages.words_subjects import KINDS
from policies.text import Text

JOB_KINDS: dict[str, Text] = {
    "refresh": Text("从来源更新", "refresh from its source"),
    "city_refresh": Text("部门更新", "refresh of a department"),
    "refresh_summary": Text("更新小结", "summary of a refresh"),
    "upkeep": Text("定时处理", "upkeep"),
    "ingest": Text("读取交付文件", "take in a delivery"),
    "regrade": Text("重新分级", "look at grades again"),
    "check_subjects": Text("校验主体声明", "verify facts about entities"),
    "simulate": Text("生成仿真数据", "make simulated data"),
    "grant": Text("生成授权快照", "build granted snapshots"),
    "dispose": Text("销毁授权数据", "destroy granted data"),
    "run": Text("真实数据运行", "run on real data"),
    "import": Text("社会数据导入检查", "check an upload"),
    "check_export": Text("出域机器核查", "check an export"),
    "release": Text("制作放行包", "make a release"),
    "self_check": Text("出域自查（仿真数据）", "self-check on simulated data"),
}
TABLE_OUTCOMES: dict[str, Text] = {
    "delivered": Text("已交付", "delivered"),
    "unchanged": Text("内容未变", "unchanged"),
    "nothing": Text("没有新文件", "nothing there"),
    "busy": Text("治理中，未重复交付", "still in governance"),
    "failed": Text("失败", "failed"),
}
RESULT_COUNTS: dict[str, Text] = {
    "version": Text("版本", "version"),
    "rows": Text("载入行", "rows loaded"),
    "quarantined": Text("隔离行", "rows set apart"),
    "level": Text("级别", "level"),
    "failures": Text("不符的声明", "facts not borne out"),
    "grants": Text("授权", "grants"),
    "departments": Text("部门", "departments"),
}
JOB_STEPS: dict[str, Text] = {
    "fetch": Text("从来源取数", "fetching"),
    "read": Text("读取文件", "reading"),
    "land": Text("入库", "landing"),
    "quality": Text("计算质量指标", "measuring quality"),
    "detect": Text("检测个人信息", "detecting personal data"),
    "grade": Text("提出分级建议", "proposing grades"),
    "subjects": Text("逐行校验主体声明", "verifying facts about entities"),
    "simulate": Text("建模和抽样", "modelling and sampling"),
    "prepare": Text("准备数据", "preparing"),
    "fit": Text("学习分布", "learning"),
    "draw": Text("生成仿真行", "drawing rows"),
    "judge": Text("逐行检验", "judging every row"),
    "finish": Text("整理结果", "finishing"),
    "publish": Text("发布", "publishing"),
    "files": Text("写出下载文件", "writing files to download"),
    "snapshot": Text("生成快照", "building snapshots"),
    "dry_run": Text("仿真数据试运行", "dry run"),
    "real_run": Text("真实数据运行", "run on real data"),
    "artefact": Text("写出产品", "writing the product"),
    "settle": Text("等到用时档位的边界", "waiting for the edge of the duration bucket"),
    "evidence": Text("推导证据", "deriving evidence"),
    "rules": Text("逐条核查规则", "running the rules"),
    "last_check": Text("放行前复查", "last check"),
    "record": Text("提交结果", "committing the result"),
    "package": Text("签名打包", "signing the package"),
}
_PROOF = "proof:"
_PROOF_STEPS: dict[str, Text] = {
    "twins": Text("为各行编上主体编号", "numbering the owners of rows"),
    "start": Text("启动隔离环境", "starting the jail"),
    "plain": Text("运行作业并固定结果", "running the job and freezing its values"),
    "owners": Text("读取各行的主体编号", "reading the owners of rows"),
    "trial": Text("逐桶移除和改动主体", "leaving out and changing buckets of entities"),
}
_KIND_STEPS: dict[str, Text] = {
    "contributions": Text("计算每个主体的贡献", "adding up what each entity contributes"),
    "cells": Text("汇总单元格证据", "writing the cell table"),
}
_PERTURBED: dict[str, Text] = {
    "minimum": Text("取最小值", "set to the minimum"),
    "maximum": Text("取最大值", "set to the maximum"),
    "shuffle": Text("打乱", "shuffled"),
    "domain": Text("换成同列的其他代码", "exchanged for other codes"),
}
_HALF = re.compile(r"half (\d+)")


def step_words(name: str) -> Text | str:
    """The words for a step of a job. A proof says itself where it is: the kind of entity, the proof, how many of it."""
    if not name.startswith(_PROOF):
        return JOB_STEPS.get(name, name)
    place = name.removeprefix(_PROOF)
    told = _PROOF_STEPS.get(place) or _proof_step(place.split(":"))
    return Text(f"证明：{told.zh}", f"proof: {told.en}")


def _proof_step(parts: list[str]) -> Text:
    """Words for a step of `derive`: `kind:carry` or `cube:kind:stage`, where a stage is `contributions`, `half i`,
    `cells` or `input.column:mode`; a column may have any name, of which the page shows what can be told apart."""
    if len(parts) == 2 and parts[1] == "carry":
        kind = _kind_words(parts[0])
        return Text(f"{kind.zh}：携带归属", f"{kind.en}: carrying owners along")
    if len(parts) < 3:
        return Text("核对结果", "checking the result")
    cube, kind, stage = parts[0], _kind_words(parts[1]), parts[2]
    half = _HALF.fullmatch(stage)
    if half:
        told = Text(f"第 {half[1]} 次随机删半", f"random half {half[1]}")
    elif stage in _KIND_STEPS:
        told = _KIND_STEPS[stage]
    else:
        mode = _PERTURBED.get(parts[-1], Text("改变取值", "changing values"))
        column = ":".join(parts[2:-1] or parts[2:])
        told = Text(f"扰动 {column}（{mode.zh}）", f"perturbing {column} ({mode.en})")
    if cube == "product":
        return Text(f"{kind.zh}：{told.zh}", f"{kind.en}: {told.en}")
    return Text(f"{cube}，{kind.zh}：{told.zh}", f"{cube}, {kind.en}: {told.en}")


def _kind_words(kind: str) -> Text:
    return KINDS.get(kind) or Text(f"主体 {kind}", f"entity {kind}")


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
        "平台在后台完成的工作；可以取消，失败或取消后可以重试，已成功的步骤不会重做",
        "Work the platform does by itself; it can be cancelled and retried, what succeeded is not done again",
    ),
    "job.none": Text("没有任务", "No jobs"),
    "job.none_next": Text("交付、发布、运行和出域会产生任务", "Deliveries, publications, runs and exports make jobs"),
    "job.none_found": Text("没有符合条件的任务", "No job meets these conditions"),
    "job.none_found_next": Text("请放宽筛选条件", "Widen the filter"),
    "job.search": Text("编号、表名、部门、错误", "Number, table, department, error"),
    "job.department": Text("部门", "Department"),
    "job.days": Text("时间", "When"),
    "job.today": Text("今天", "today"),
    "job.week": Text("近 7 天", "last 7 days"),
    "job.month": Text("近 30 天", "last 30 days"),
    "job.what_happened": Text("发生了什么", "What happened"),
    "job.what_to_do": Text("怎么办", "What to do"),
    "job.stopped_at": Text("停在：{step}", "stopped at: {step}"),
    "job.retry_reuses": Text("重试时可沿用：{steps}", "A retry can reuse: {steps}"),
    "job.retry_redoes": Text("重试时重做：{steps}", "A retry does again: {steps}"),
    "job.retry_whole": Text("这个任务没有可沿用的步骤，重试时从头执行", "A retry starts from the beginning"),
    "job.report": Text(
        "内部错误的详情（可能含数据内容，只限运营人员在本机查看）：{path}",
        "Details of the internal error (may hold data; operators on this machine only): {path}",
    ),
    "job.steps": Text("步骤", "Steps"),
    "job.steps_of": Text("第 {n} 次的步骤", "Steps of attempt {n}"),
    "job.steps_none": Text("还没有步骤", "No step yet"),
    "job.steps_none_next": Text("任务开始运行后逐步显示", "Steps appear once the job runs"),
    "job.steps_unknown": Text("没有步骤记录", "No steps on record"),
    "job.steps_unknown_next": Text("这次执行不分步骤，或早于步骤记录", "It had none, or is older than this record"),
    "job.facts": Text("基本信息", "Facts"),
    "job.step": Text("步骤", "Step"),
    "job.started": Text("开始", "Started"),
    "job.finished": Text("结束", "Ended"),
    "job.outcome": Text("结果", "Outcome"),
    "job.reused_all": Text("沿用以前的结果，未重做", "result of an earlier try, not done again"),
    "job.reused_parts": Text("共 {parts} 列，全部沿用以前的结果", "all {parts} columns from an earlier try"),
    "job.reused_some": Text("共 {parts} 列，沿用 {reused} 列", "{reused} of {parts} columns reused"),
    "job.parts": Text("共 {parts} 列", "{parts} columns"),
    "job.kept": Text("已保存，重试可沿用", "kept for a retry"),
    "job.attempts": Text("历次执行", "Attempts"),
    "job.asked_by": Text("发起人", "Asked for by"),
    "job.platform": Text("平台", "the platform"),
    "job.waited": Text("排队", "Waited"),
    "job.round_link": Text("所属更新轮次", "Refresh round"),
    "job.run_ref": Text("执行器编号", "Executor's run"),
    "job.log": Text("平台留痕", "What the platform recorded"),
    "job.log_lead": Text("与这个任务有关的审计记录；查看会留痕", "Audit events of this job; looking is recorded"),
    "job.log_search": Text("在留痕中查找", "Search these events"),
    "job.log_none": Text("没有符合的记录", "No event matches"),
    "job.log_none_next": Text("请换一个词，或清除筛选", "Try another word, or clear the filter"),
    "job.log_capped": Text("只显示最近 {count} 条", "Only the latest {count} are shown"),
    "job.kind": Text("任务", "Job"),
    "job.subject": Text("对象", "Subject"),
    "job.progress": Text("进度", "Progress"),
    "job.attempt": Text("第 {n} 次", "attempt {n}"),
    "job.retry": Text("重试", "Retry"),
    "job.took": Text("用时", "Duration"),
    "job.usual": Text("通常 {time}", "usually {time}"),
    "job.cancel": Text("取消", "Cancel"),
    "job.operator_only": Text("由运营人员办理", "Only the operator may do this"),
    "job.whole_city": Text("全市", "the whole city"),
    "job.round": Text("只显示这一轮更新的任务", "Only the jobs of this refresh round"),
    "job.all": Text("显示全部", "Show all"),
    "schedule.title": Text("更新计划", "Refresh schedule"),
    "schedule.lead": Text(
        "登记了来源的表按更新周期自动取数；内容没有变化的不重复交付，一张表失败不影响其他表",
        "Tables with a source are fetched by their update cycle; unchanged content is not delivered again",
    ),
    "schedule.department": Text("部门", "Department"),
    "schedule.tables": Text("有来源的表", "Tables with a source"),
    "schedule.when": Text("计划", "Plan"),
    "schedule.next": Text("下次", "Next"),
    "schedule.last": Text("最近一轮", "Last round"),
    "schedule.never": Text("不自动更新", "not by itself"),
    "schedule.daily": Text("每日 {at}", "daily at {at}"),
    "schedule.monthly": Text("每月 {day} 日 {at}", "day {day} of every month at {at}"),
    "schedule.cron": Text("按 {cron}", "by {cron}"),
    "schedule.by_cycle": Text("按登记的更新周期", "by the declared update cycle"),
    "schedule.by_operator": Text("由运营人员设定", "set by the operator"),
    "schedule.paused": Text("已暂停", "paused"),
    "schedule.pause": Text("暂停", "Pause"),
    "schedule.resume": Text("恢复", "Resume"),
    "schedule.run": Text("立即更新", "Refresh now"),
    "schedule.run_city": Text("更新全市", "Refresh the whole city"),
    "schedule.set": Text("设定时间", "Set the time"),
    "schedule.cron_field": Text("分 时 日 月 周", "minute hour day month weekday"),
    "schedule.cron_help": Text(
        "北京时间，如每天 1:30 写作 30 1 * * *；留空按更新周期", "Beijing time, e.g. 30 1 * * *; empty: by the cycle"
    ),
    "schedule.save": Text("保存", "Save"),
    "schedule.no_source": Text("没有登记来源的表", "no table with a source"),
    "schedule.none": Text("还没有数源部门", "There are no departments yet"),
    "schedule.none_next": Text("创建部门账号后显示在这里", "They appear once their accounts are created"),
    "source.title": Text("数据来源与更新", "Source and refresh"),
    "source.label": Text("来源", "Source"),
    "source.by_hand": Text("部门上传交付", "delivered by hand"),
    "source.drop": Text("投递目录 {folder}", "drop folder {folder}"),
    "source.database": Text("数据库连接 {connection} 的 {table}", "{table} of the connection {connection}"),
    "source.last": Text("最近更新", "Last refresh"),
    "source.change": Text("登记来源", "Declare a source"),
    "source.kind": Text("来源类型", "Kind of source"),
    "source.kind_none": Text("部门上传交付", "delivered by hand"),
    "source.kind_drop": Text("投递目录", "drop folder"),
    "source.kind_database": Text("数据库表", "database table"),
    "source.connection": Text("连接名", "Connection"),
    "source.connection_help": Text("由运营机构配置；仅数据库需要填", "Set up by the operator; for databases only"),
    "source.table": Text("表名", "Table"),
    "source.namespace": Text("模式", "Schema"),
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
