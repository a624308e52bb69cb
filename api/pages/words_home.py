"""Words of the home page, sign-in and the account page."""

from __future__ import annotations

from policies.text import Text

WORDS: dict[str, Text] = {
    "home.title": Text("首页", "Home"),
    "home.hello": Text("{name}，您好", "Welcome, {name}"),
    "home.sorted": Text("最急的在前", "Most urgent first"),
    "home.waiting": Text("轮到您办理", "Your turn"),
    "home.overdue": Text("其中已超期", "of these overdue"),
    "home.flight": Text("在办事项", "In progress"),
    "home.flight_note": Text("轮到别人，您可以跟踪进度", "somebody else's turn; follow it here"),
    "home.nothing": Text("没有轮到您的事项", "Nothing waits for you"),
    "home.nothing_next": Text("有新的待办时会出现在这里", "New tasks will show up here"),
    "home.failed_jobs": Text("有 {count} 个治理任务失败，需要处理", "{count} jobs have failed and need attention"),
    "home.incidents": Text(
        "有 {count} 份出域申请的证明与结果不一致，需要查明",
        "In {count} export requests a proof contradicted the evidence",
    ),
    "home.open_jobs": Text("查看失败的任务", "Show failed jobs"),
    "home.proposed_policies": Text("有 {count} 个规则版本待第二人启用", "{count} editions wait for a second person"),
    "home.open_policies": Text("查看规则", "Show policies"),
    "home.onboard_first": Text("贵单位尚未进驻", "Your organisation has not been admitted yet"),
    "home.onboard_first_next": Text(
        "进驻核查通过后才能申请使用数据；现在可以先浏览目录和仿真数据",
        "You can apply for data once admitted; the catalogue and simulated data are open to you now",
    ),
    "home.onboard": Text("申请进驻", "Apply to enter"),
    "home.audit_lead": Text("审计记录只增不改，可随时校验", "The audit log only grows and can be verified at any time"),
    "home.open_audit": Text("查看审计记录", "Open the audit log"),
    "home.browse": Text("浏览数据目录", "Browse the catalogue"),
    "home.how": Text("公共数据怎样被使用", "How public data are used here"),
    "home.step_catalog": Text("查目录、看仿真数据", "Browse, look at simulated data"),
    "home.step_onboarding": Text("进驻", "Enter"),
    "home.step_application": Text("使用申请与审核", "Apply, be approved"),
    "home.step_development": Text("隔离开发", "Develop in isolation"),
    "home.step_export": Text("出域核查", "Checked export"),
    "home.step_report": Text("信息披露", "Public reporting"),
    "home.what_text": Text(
        "城市委托一家运营机构，把各部门的公共数据治理成目录，供数据商按场景申请使用。数据商在隔离环境中开发，"
        "看到的是仿真数据；真实数据可用不可见；结果须经机器核查和两位合规人员复核才能带出。",
        "A city appoints one operator who turns departments' public data into a catalogue that merchants apply to use, "
        "one scenario at a time. Merchants develop in isolation on simulated data; real data can be used but not seen; "
        "results leave only after machine checks and two officers' review.",
    ),
    "home.reports": Text("最近的信息披露", "Latest public reports"),
    "home.all_reports": Text("查看全部披露", "All reports"),
    "register.title": Text("注册数据商账号", "Register a merchant account"),
    "register.lead": Text(
        "注册后可浏览目录和仿真数据，并提交进驻申请；核查通过后才能申请使用数据",
        "You can browse the catalogue and apply to enter; applying for data needs admission",
    ),
    "register.organisation": Text("单位名称", "Organisation"),
    "register.organisation_help": Text("与营业执照一致", "As on the business licence"),
    "register.uscc": Text("统一社会信用代码", "Unified social credit code"),
    "register.uscc_help": Text("18 位，与营业执照一致", "18 characters, as on the licence"),
    "register.person": Text("经办人姓名", "Name of the person in charge"),
    "register.login": Text("登录名", "Login"),
    "register.login_help": Text("3 位以上小写字母、数字或 . _ -", "At least 3 lower-case letters, digits or . _ -"),
    "register.password_help": Text("至少 10 个字符", "At least 10 characters"),
    "register.submit": Text("注册", "Register"),
    "register.have": Text("已有账号？登录", "Have an account? Sign in"),
    "account.title": Text("我的账号", "My account"),
    "account.role": Text("角色", "Role"),
    "account.name": Text("姓名", "Name"),
    "account.tokens": Text("访问令牌", "API token"),
    "account.tokens_lead": Text(
        "供命令行和程序使用，权限与您的账号相同。令牌只显示一次，平台只保存其摘要",
        "For programs and the command line, with your account's rights. Shown once; the platform keeps only a digest",
    ),
    "account.token_label": Text("用途", "Label"),
    "account.token_days": Text("有效天数", "Days valid"),
    "account.token_days_help": Text("1–365 天", "1 to 365 days"),
    "account.token_issue": Text("新建令牌", "New token"),
    "account.token_made": Text(
        "令牌已生成，请立即复制保存，离开本页后无法再次查看", "Copy the token now: it cannot be shown again"
    ),
    "input.missing": Text("请填写此项", "This is required"),
    "input.short": Text("至少 {n} 个字符", "At least {n} characters"),
    "input.long": Text("最多 {n} 个字符", "At most {n} characters"),
    "input.pattern": Text("格式不符合要求，请对照下方说明", "The form is not right; see the note below"),
    "input.number": Text("请填写范围内的整数", "Give a whole number within the range"),
    "input.wrong": Text("填写不符合要求", "This does not hold"),
    "input.problems": Text("填写内容不符合要求：{names}", "These entries do not hold: {names}"),
    "input.problems_fix": Text("请修改标出的项后重新提交", "Change the marked entries and submit again"),
}
