"""Words of use, quotas, statements, the machine and its isolation."""

from __future__ import annotations

from policies.text import Text

KINDS: dict[str, Text] = {
    "query": Text("查询", "queries"),
    "read": Text("读数", "reads"),
    "script": Text("脚本", "scripts"),
    "run": Text("真实数据运行", "runs on real data"),
    "download": Text("下载", "downloads"),
    "upload": Text("上传", "uploads"),
    "check": Text("出域自查", "self-checks"),
}
FORMS: dict[str, Text] = {
    "bwrap-own-uid": Text("命名空间，独立用户", "namespaces, own user"),
    "bwrap-userns": Text("用户命名空间", "user namespace"),
    "landlock": Text("文件访问规则", "Landlock"),
    "limits-only": Text("仅资源限制", "limits only"),
}
MODES: dict[str, Text] = {"simulated": Text("仿真", "simulated"), "real": Text("真实", "real")}

WORDS: dict[str, Text] = {
    "workspace.tab_usage": Text("用量", "Usage"),
    "usage.title": Text("用量账单", "Statements of use"),
    "usage.lead": Text("按月汇总各空间的用量；价目人人相同", "Use of each workspace by month; one price list for all"),
    "usage.today": Text("今日配额", "Quotas today"),
    "usage.renews": Text(
        "每日配额在北京时间零点恢复；存储按当前占用计算",
        "Daily quotas renew at midnight, Beijing time; storage is what is there now",
    ),
    "usage.raised": Text("已追加，有效至 {day}", "raised until {day}"),
    "usage.days": Text("每日用量", "Use by day"),
    "usage.day": Text("日期", "Day"),
    "usage.cpu": Text("处理器时间", "Processor time"),
    "usage.memory": Text("内存时间", "Memory-time"),
    "usage.storage": Text("存储", "Storage"),
    "usage.rows": Text("返回行数", "Rows returned"),
    "usage.gb_hours": Text("{n} GB·小时", "{n} GB hours"),
    "usage.gb_days": Text("{n} GB·天", "{n} GB days"),
    "usage.none": Text("还没有用量", "Nothing has been used yet"),
    "usage.none_next": Text(
        "运行查询、脚本或作业后，用量会记在这里", "Run a query, a script or a job and it appears here"
    ),
    "usage.months": Text("用量账单", "Statements of use"),
    "usage.month_of": Text("{month} 用量账单", "Statement of use, {month}"),
    "usage.month": Text("月份", "Month"),
    "usage.show": Text("查看", "Show"),
    "usage.month_none": Text("这个月没有用量", "Nothing was used in this month"),
    "usage.month_none_next": Text("请选择其他月份", "Choose another month"),
    "usage.workspace": Text("空间", "Workspace"),
    "usage.statement_note": Text(
        "账单由计量账本逐笔相加得出，不是付款通知；单价为零的项目只计量、不收费",
        "Added up from the ledger entry by entry; no demand for payment. A price of zero means measured, not charged",
    ),
    "usage.run_note": Text(
        "真实数据运行按档位计量，避免从用量推知数据",
        "Runs on real data are measured in steps, so that use tells nothing of data",
    ),
    "usage.prices": Text("价目（元）", "Prices (CNY)"),
    "usage.prices_note": Text(
        "所有数据商同价；政府指导价公布前为零，只计量不收费",
        "The same for every merchant; zero until the guided price is published: measured, not charged",
    ),
    "usage.item": Text("项目", "Item"),
    "usage.edition": Text("规则版本", "Edition of the rules"),
    "usage.quantity": Text("数量", "Quantity"),
    "usage.price": Text("单价（元）", "Unit price (CNY)"),
    "usage.amount": Text("金额（元）", "Amount (CNY)"),
    "usage.total": Text("合计", "Total"),
    "usage.acts": Text("使用次数", "How often"),
    "usage.download": Text("下载 CSV", "Download CSV"),
    "quota.title": Text("配额申请", "Requests for more"),
    "quota.lead": Text(
        "数据商申请追加配额，运营机构核定额度和期限", "Merchants ask for more; the operator sets amount and last day"
    ),
    "quota.ask": Text("申请追加配额", "Ask for more"),
    "quota.measure": Text("项目", "Quota"),
    "quota.wanted": Text("希望的额度", "New quota wanted"),
    "quota.wanted_help": Text("填写追加后的总额，单位见项目", "The total you want, in the unit of the quota"),
    "quota.why": Text("理由", "Reason"),
    "quota.why_help": Text("用来做什么、需要多久", "What it is for and how long you need it"),
    "quota.send": Text("提交申请", "Send"),
    "quota.mine": Text("我的配额申请", "Requests of this workspace"),
    "quota.granted": Text("核定额度", "Granted"),
    "quota.until": Text("有效至", "Last day"),
    "quota.until_help": Text("到这一天为止，次日恢复为共同配额", "Holds up to and including this day"),
    "quota.amount": Text("核定额度（{unit}）", "Amount ({unit})"),
    "quota.common": Text("共同配额", "Common quota"),
    "quota.grant": Text("同意追加", "Grant"),
    "quota.none": Text("没有配额申请", "There are no requests"),
    "quota.none_next": Text("数据商在空间的“用量”页提出申请", "Merchants ask on the usage page of their workspace"),
    "quota.answer": Text("答复", "Answer"),
    "quota.near": Text("{what}已用 {percent}%", "{what}: {percent} % used"),
    "quota.near_next": Text(
        "用满后当日不能再执行，可提前申请追加", "At 100 % nothing more runs today; ask for more in time"
    ),
    "quota.full": Text("{what}已用满", "{what} is used up"),
    "quota.full_next": Text(
        "今日不能再执行；零点恢复，或申请追加", "Nothing more runs today; it renews at midnight, or ask for more"
    ),
    "quota.full_storage": Text("存储已用满", "Storage is full"),
    "quota.full_storage_next": Text(
        "不能再上传或运行脚本；请删除文件，或申请追加", "No uploads or scripts; delete files or ask for more"
    ),
    "quota.to_usage": Text("查看用量和配额", "Show use and quotas"),
    "machine.title": Text("空间运行", "Workspaces on this machine"),
    "machine.lead": Text(
        "谁在运行、还剩多少；不显示数据商的任何内容", "Who runs and what is left; nothing of what merchants work on"
    ),
    "machine.running": Text("正在执行", "Running"),
    "machine.places": Text("共 {n} 个位置", "of {n} places"),
    "machine.waiting": Text("排队", "Waiting"),
    "machine.held": Text("已承诺内存", "Memory promised"),
    "machine.capacity": Text("共 {n} MB", "of {n} MB"),
    "machine.open": Text("使用中的空间", "Open workspaces"),
    "machine.live": Text("当前运行", "Now"),
    "machine.busy": Text("执行中", "running"),
    "machine.idle": Text("空闲 {time}", "idle for {time}"),
    "machine.asleep": Text("未启动", "not started"),
    "machine.memory": Text("内存", "Memory"),
    "machine.nearest": Text("最接近上限", "Nearest its limit"),
    "machine.none": Text("还没有开发空间", "There are no workspaces"),
    "machine.none_next": Text("数据商开通空间后显示在这里", "They appear when merchants open them"),
    "machine.freeze": Text("冻结", "Freeze"),
    "isolation.title": Text("隔离", "Isolation"),
    "isolation.lead": Text(
        "平台启动时用真实攻击检验本机的隔离，等级决定能否使用真实数据",
        "At start-up the platform attacks its own jail; the tier decides whether real data may be used",
    ),
    "isolation.tested": Text("自检时间", "Tested"),
    "isolation.form": Text("隔离方式", "Form"),
    "isolation.attacks": Text("攻击与拦截", "Attacks and what stopped them"),
    "isolation.attack": Text("攻击", "Attack"),
    "isolation.outcome": Text("结果", "Outcome"),
    "isolation.by": Text("由什么拦截", "Stopped by"),
    "isolation.stopped": Text("已拦截", "stopped"),
    "isolation.through": Text("未拦截", "got through"),
    "isolation.count": Text("拦截 / 攻击", "Stopped / attacks"),
    "isolation.rejected": Text("试过但不成立的方式", "Forms that were tried and do not hold"),
    "isolation.none": Text("还没有自检记录", "No self-test is on record"),
    "isolation.again": Text("重新自检", "Run the self-test again"),
    "isolation.again_note": Text("约需数秒，结果立即生效并留痕", "Takes a few seconds, holds at once and is recorded"),
    "isolation.decision": Text("运营机构的书面决定", "The operator's written decision"),
    "isolation.decision_none": Text(
        "没有决定：只有强隔离可以使用真实数据", "No decision: real data on strong isolation only"
    ),
    "isolation.decision_is": Text("接受的等级", "Accepted"),
    "isolation.decide": Text("作出决定", "Decide"),
    "isolation.tier": Text("接受的最低等级", "Lowest tier accepted"),
    "isolation.only_strong": Text("只接受强隔离", "strong only"),
    "isolation.also_medium": Text("也接受中等隔离", "medium too"),
    "isolation.also_weak": Text("也接受弱隔离（仅演示市）", "weak too (demonstration city only)"),
    "isolation.decide_help": Text(
        "写明主机情况、数据范围和补救措施；决定永久留痕",
        "Say what the host is, which data and what makes up for it; kept for good",
    ),
    "isolation.follows": Text("由此可以做什么", "What follows"),
    "isolation.real_yes": Text("可以运行真实数据作业", "Runs on real data are allowed"),
    "isolation.real_no": Text("真实数据作业已停用，只能使用仿真数据", "Runs on real data are off; simulated data only"),
    "isolation.scripts_yes": Text("可以在仿真数据上运行脚本", "Scripts run on simulated data"),
    "isolation.scripts_no": Text("脚本已停用", "Scripts are off"),
    "isolation.queries": Text("可以在仿真数据上查询", "Queries run on simulated data"),
    "isolation.history": Text("自检和决定的历史", "History of tests and decisions"),
    "isolation.level": Text("等级", "Tier"),
    "isolation.detail": Text("理由或未拦截的攻击", "Reason, or attacks that got through"),
    "isolation.by_whom": Text("决定人", "Decided by"),
}
