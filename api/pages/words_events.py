"""What happened, in words: audit events for timelines, and for the line that says a step is done."""

from __future__ import annotations

from policies.text import Text
from sandbox.applications.model import APPLICATION, APPROVAL
from sandbox.catalog.corrections import CORRECTION
from sandbox.catalog.model import DELIVERY, LOWERING, RESOURCE
from sandbox.exports.model import EXPORT, RECALL
from sandbox.merchants.model import MERCHANT, ONBOARDING
from sandbox.products.model import RUN
from sandbox.workspaces.model import QUOTA, UPLOAD, WORKSPACE

LIFECYCLES = {
    life.noun: life
    for life in (
        RESOURCE, DELIVERY, LOWERING, CORRECTION, ONBOARDING, MERCHANT, APPLICATION, APPROVAL, WORKSPACE, QUOTA,
        UPLOAD, RUN, EXPORT, RECALL,
    )
}

_OTHERS: dict[str, Text] = {
    "access:refused": Text("操作被拒绝", "an attempt was refused"),
    "account:create": Text("开通账号", "opened an account"),
    "application:draft": Text("起草使用申请", "drafted the application"),
    "application:revise": Text("修改使用申请", "changed the application"),
    "approval:open": Text("转数源部门审核", "went to the department"),
    "audit:read": Text("查看审计记录", "read the audit log"),
    "audit:verify": Text("校验审计链", "verified the audit chain"),
    "clock:alarm": Text("缺少工作日历，时限告警", "a calendar year is missing: deadline alarm"),
    "clock:remind": Text("办理时限提醒", "reminder of the time limit"),
    "clock:overdue": Text("办理超期告警", "the time limit has passed: alarm"),
    "clock:move": Text("拨快演示时钟", "moved the demonstration clock"),
    "delivery:look": Text("查看文件开头", "looked at the head of the file"),
    "delivery:receive": Text("交付数据", "delivered data"),
    "delivery:regrade": Text("要求重新分级", "asked for a look again at the grades"),
    "export:draft": Text("起草出域申请", "drafted the request"),
    "export:incident": Text("证明与结果不一致，列为事件", "a proof contradicted the evidence: filed as an incident"),
    "export:vote": Text("对文件表决", "voted on the file"),
    "export:opinion": Text("修改复核意见", "changed an opinion"),
    "export:comment": Text("留言", "wrote a remark"),
    "export:look": Text("查看未遮盖内容", "looked at unmasked content"),
    "canary:plant": Text("放入检验件", "planted a case"),
    "canary:read": Text("查看检验件识别率", "looked at how reviewers did"),
    "recall:ask": Text("部门请求召回", "a department asked for a recall"),
    "release:notice": Text("通知放行或召回", "told of a release or recall"),
    "release:seen": Text("通知已读", "read a notice"),
    "release:trace": Text("追查流出的副本", "traced a leaked copy"),
    "release:listing": Text("生成登记与上架材料", "made the listing package"),
    "export:preview": Text("查看出域文件", "looked at the file"),
    "grant:dispose": Text("销毁授权数据", "destroyed the granted data"),
    "file:delete": Text("删除文件", "deleted a file"),
    "file:download": Text("下载文件（仿真数据）", "downloaded a file of simulated data"),
    "isolation:decide": Text("决定隔离等级", "decided on the isolation tier"),
    "isolation:selftest": Text("隔离自检", "isolation self-test"),
    "selfcheck:run": Text("出域自查（仿真数据）", "ran a self-check on simulated data"),
    "job:cancel": Text("取消任务", "cancelled a job"),
    "job:enqueue": Text("任务已排队", "a job was queued"),
    "job:fail": Text("任务失败", "a job failed"),
    "job:look": Text("查看任务记录", "looked at a job's record"),
    "job:lost": Text("任务中断", "a job broke off"),
    "job:retry": Text("重试任务", "retried the job"),
    "job:stop": Text("任务已停止", "a cancelled job has stopped"),
    "job:succeed": Text("任务完成", "a job finished"),
    "job:unheard": Text("任务失去联系", "a job fell silent"),
    "lowering:request": Text("申请放宽保护", "asked for less protection"),
    "merchant:tie": Text("登记关联数据商", "tied merchants together"),
    "onboarding:draft": Text("起草进驻申请", "drafted the onboarding application"),
    "onboarding:materials": Text("保存材料", "materials saved"),
    "organisation:create": Text("登记单位", "registered an organisation"),
    "plan:answer": Text("指定一列的仿真内容", "said what a column is simulated as"),
    "plan:ask": Text("仿真方案有待回答的列", "the simulation plan has open questions"),
    "plan:default": Text("按默认处理一列（假定）", "took the default answer for a column"),
    "plan:reset": Text("撤回一列的指定", "took back what was said about a column"),
    "platform:demonstration": Text("设为演示市", "marked as the demonstration city"),
    "quota:submit": Text("申请追加配额", "asked for a higher quota"),
    "quota:warn": Text("用量接近配额", "use is near its quota"),
    "policy:activate": Text("启用规则版本", "activated an edition"),
    "policy:install": Text("安装规则版本", "installed an edition"),
    "policy:propose": Text("提出规则版本", "proposed an edition"),
    "quarantine:read": Text("查看隔离行", "looked at rows in quarantine"),
    "release:download": Text("下载放行包", "downloaded the package"),
    "report:publish": Text("发布披露", "published a report"),
    "resource:declare": Text("登记数据来源", "declared where deliveries come from"),
    "resource:refresh": Text("开始更新", "started a refresh"),
    "resource:register": Text("登记资源", "registered the resource"),
    "resource:lower": Text("放宽列分级", "lowered a column's grade"),
    "resource:describe": Text("登记来源自带的说明", "registered comments of the source"),
    "resource:classify": Text("调整列分类", "changed a column's category"),
    "resource:subjects": Text("声明主体与角色", "declared entities and roles"),
    "resource:verify": Text("逐行校验主体声明", "verified the facts about entities"),
    "resource:raise": Text("从严调整列分级", "made a column's grade stricter"),
    "run:diagnose": Text("查看报错原文", "looked at the engine's own words"),
    "run:dispose_reports": Text("按期限删除报错原文", "deleted the engine's words when their time was over"),
    "run:request": Text("提交运行", "asked for a run"),
    "schedule:set": Text("调整更新计划", "changed the refresh schedule"),
    "script:cancel": Text("取消脚本", "cancelled a script"),
    "script:delete": Text("删除脚本", "deleted a script"),
    "script:end": Text("脚本结束", "a script ended"),
    "script:save": Text("保存脚本", "saved a script"),
    "script:start": Text("运行脚本", "ran a script"),
    "session:close": Text("退出登录", "signed out"),
    "session:open": Text("登录", "signed in"),
    "simulated:ask": Text("要求重新生成仿真数据", "asked for simulated data anew"),
    "simulated:browse": Text("查看仿真样例", "looked at simulated rows"),
    "simulated:fallback": Text("大模型接口不可用，改按规则生成", "the language model failed; rules planned instead"),
    "simulated:fail": Text("仿真数据未通过检验", "simulated data failed its gates"),
    "simulated:download": Text("下载仿真数据", "downloaded simulated data"),
    "simulated:publish": Text("发布仿真数据", "published simulated data"),
    "simulated:share": Text("回流共享目录", "fed back to the sharing catalogue"),
    "token:issue": Text("新建访问令牌", "issued an API token"),
    "upload:bring": Text("上传社会数据", "uploaded data of their own"),
    "workspace:open": Text("开通开发空间", "opened the workspace"),
    "workspace:query": Text("在仿真数据上查询", "queried simulated data"),
    "workspace:download": Text("下载仿真数据的查询结果", "downloaded a result of simulated data"),
    "rows:read": Text("读取授权数据行", "read granted rows"),
    "rows:preview": Text("汇总预览授权数据", "previewed granted data in aggregate"),
}
_TRANSITIONS = {f"{noun}:{row.name}": row.label for noun, life in LIFECYCLES.items() for row in life.transitions}
EVENTS: dict[str, Text] = _TRANSITIONS | _OTHERS
"""Audit event → what happened."""

_GOOD = ("publish", "admit", "approve", "approve_by_lapse", "confirm", "carry_over",
         "take_effect", "pass_check", "activate", "verify", "release", "succeed", "lapse", "resume",
         "unfreeze")  # fmt: skip
_BAD = ("reject", "reject_check", "refuse", "block", "withhold", "refused", "fail", "lost", "recall", "suspend",
        "revoke", "freeze", "alarm", "reopen", "incident")  # fmt: skip


def event_words(event: str) -> Text | None:
    """What `event` says, None for one without words."""
    return EVENTS.get(event)


def event_tone(event: str) -> str:
    """How an event looks in a timeline: good, bad or neutral."""
    step = event.partition(":")[2]
    return "good" if step in _GOOD else "bad" if step in _BAD else "neutral"
