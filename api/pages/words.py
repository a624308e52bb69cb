"""Every sentence of the portal, Chinese first: one catalogue from key to `Text`.

Pages say `t("key")` or `t("key", count=3)`; a key that is not here stops the page instead of showing a hole. A group of
pages keeps its words in a module of its own beside this one, listed in `GROUPS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from api.pages.words_applications import WORDS as APPLICATIONS
from api.pages.words_catalog import WORDS as CATALOG
from api.pages.words_deliveries import WORDS as DELIVERIES
from api.pages.words_exports import WORDS as EXPORTS
from api.pages.words_files import WORDS as FILES
from api.pages.words_home import WORDS as HOME
from api.pages.words_metering import WORDS as METERING
from api.pages.words_onboarding import WORDS as ONBOARDING
from api.pages.words_oversight import WORDS as OVERSIGHT
from api.pages.words_plans import WORDS as PLANS
from api.pages.words_preview import WORDS as PREVIEW
from api.pages.words_quality import WORDS as QUALITY
from api.pages.words_queries import WORDS as QUERIES
from api.pages.words_reading import WORDS as READING
from api.pages.words_resources import WORDS as RESOURCES
from api.pages.words_reviewing import WORDS as REVIEWING
from api.pages.words_runs import WORDS as RUNS
from api.pages.words_selfchecks import WORDS as SELF_CHECKS
from api.pages.words_subjects import WORDS as SUBJECTS
from api.pages.words_twins import WORDS as TWINS
from api.pages.words_workspaces import WORDS as WORKSPACES
from policies.text import Text

LANGUAGES = ("zh", "en")
HTML_LANGUAGE = {"zh": "zh-CN", "en": "en"}

FRAME: dict[str, Text] = {
    "site.name": Text("公共数据沙箱", "Public Data Sandbox"),
    "site.purpose": Text("公共数据授权运营平台", "Authorised operation of public data"),
    "site.skip": Text("跳到正文", "Skip to content"),
    "site.footer": Text("本平台的每一次查看、操作和拒绝都会留痕", "Every view, action and refusal here is recorded"),
    "site.times": Text("时间均为北京时间", "All times are Beijing time"),
    "site.demonstration": Text("演示市", "Demonstration city"),
    "site.demonstration_note": Text(
        "本站的机构、人员和数据均为虚构，不对应任何真实城市",
        "Organisations, people and data on this site are invented and stand for no real city",
    ),
    "site.city_time": Text("演示时钟 {time}", "demonstration clock {time}"),
    "site.move_clock": Text("拨快时钟", "Move the clock"),
    "site.tier_note": Text(
        "本机未达到强隔离，真实数据作业已停用，只能使用仿真数据",
        "This machine is below strong isolation: runs on real data are off, only simulated data can be used",
    ),
    "nav.main": Text("主导航", "Main navigation"),
    "nav.catalog": Text("数据目录", "Catalogue"),
    "nav.onboarding": Text("进驻", "Onboarding"),
    "nav.applications": Text("使用申请", "Applications"),
    "nav.workspaces": Text("开发", "Development"),
    "nav.exports": Text("出域", "Export"),
    "nav.notices": Text("放行通知", "Releases"),
    "nav.reports": Text("披露", "Reporting"),
    "nav.resources": Text("数据资源", "Resources"),
    "nav.merchants": Text("数据商", "Merchants"),
    "nav.jobs": Text("治理任务", "Jobs"),
    "nav.machine": Text("运行", "Operation"),
    "nav.policies": Text("规则", "Policies"),
    "nav.audit": Text("审计", "Audit"),
    "nav.breadcrumb": Text("当前位置", "You are here"),
    "nav.home": Text("首页", "Home"),
    "nav.sections": Text("本页内容", "Sections of this page"),
    "nav.language": Text("语言", "Language"),
    "account.sign_in": Text("登录", "Sign in"),
    "account.sign_out": Text("退出", "Sign out"),
    "account.workspace": Text("工作空间", "Workspace"),
    "login.title": Text("登录", "Sign in"),
    "login.lead": Text(
        "数据不出域，结果经核查后放行。请使用所在机构开通的账号登录。",
        "Data stay inside; results leave after checks. Sign in with the account your organisation opened for you.",
    ),
    "login.point_simulated": Text(
        "先看仿真数据：字段、分布与真实数据相近，记录由程序生成",
        "Look at simulated data first: fields and distributions resemble the real ones, records are generated",
    ),
    "login.point_isolated": Text(
        "在隔离的工作空间开发，真实数据可用不可见",
        "Develop in an isolated workspace; real data can be used, not seen",
    ),
    "login.point_checked": Text(
        "出域结果先由机器核查、再由人复核，依据、阈值和责任人全程留痕",
        "Exports pass machine checks, then human review; grounds, thresholds and people are on record",
    ),
    "login.account": Text("账号", "Account"),
    "login.account_help": Text("由所在机构的管理员开通", "Opened by your organisation's administrator"),
    "login.password": Text("密码", "Password"),
    "login.submit": Text("登录", "Sign in"),
    "login.register": Text("数据商首次使用？注册单位账号", "New as a merchant? Register your organisation"),
    "done.step": Text("已完成：{what}", "Done: {what}"),
    "list.filter": Text("筛选", "Filter"),
    "list.search": Text("关键词", "Search"),
    "list.state": Text("状态", "State"),
    "list.all": Text("全部", "All"),
    "list.clear": Text("清除筛选", "Clear"),
    "list.none_match": Text("没有符合条件的记录", "Nothing matches"),
    "list.none_match_next": Text("请放宽条件后再试", "Loosen the filter and try again"),
    "handling.title": Text("办理", "Handling"),
    "handling.nothing": Text("目前没有需要您办理的步骤", "There is nothing for you to do now"),
    "handling.final": Text("此操作不可撤销", "This cannot be undone"),
    "handling.confirm": Text("确认{step}", "Confirm: {step}"),
    "fact.id": Text("编号", "Number"),
    "fact.organisation": Text("单位", "Organisation"),
    "fact.created": Text("创建时间", "Created"),
    "fact.since": Text("进入当前状态", "In this state since"),
    "fact.state": Text("状态", "State"),
    "fact.name": Text("名称", "Name"),
    "fact.actions": Text("操作", "Action"),
    "fact.turn": Text("轮到谁", "Whose turn"),
    "fact.clock": Text("办理时限", "Deadline"),
    "fact.none": Text("无", "none"),
    "step.unknown": Text("没有这个操作", "There is no such step"),
    "step.unknown_fix": Text("请刷新页面后再试", "Reload the page and try again"),
    "error.title": Text("操作没有完成", "This could not be done"),
    "error.code": Text("错误代码", "Error code"),
    "error.what_to_do": Text("您可以这样做", "What you can do"),
    "error.back": Text("返回首页", "Back to the home page"),
    "error.back_to_form": Text("返回刚才的页面", "Back to the page before"),
    "form.required_note": Text("除注明“选填”外均为必填", "All fields are required unless marked optional"),
    "form.optional": Text("选填", "optional"),
    "form.reason": Text("理由", "Reason"),
    "form.reason_help": Text("必填，将告知对方并留痕", "Obligatory; the other side reads it and it stays on record"),
    "form.choose": Text("请选择", "Choose"),
    "form.problems": Text("有 {count} 处需要修改", "{count} entries need a change"),
    "form.expired": Text(
        "页面已过期或来源不明，没有执行任何操作", "The page has expired or came from elsewhere; nothing was done"
    ),
    "form.expired_fix": Text("请重新打开页面后再提交", "Open the page again and submit once more"),
    "form.cross_site": Text(
        "请求来自其他网站，没有执行任何操作", "The request came from another site; nothing was done"
    ),
    "data.simulated": Text("仿真数据", "Simulated data"),
    "data.simulated_note": Text("非真实记录", "not real records"),
    "data.null": Text("空值", "NULL"),
    "data.row": Text("行", "Row"),
    "turn.label": Text("轮到谁", "Whose turn"),
    "turn.mine": Text("轮到您", "Your turn"),
    "turn.of": Text("轮到{who}", "{who}"),
    "turn.nobody": Text("已办结", "Completed"),
    "clock.days": Text("剩 {days} 个工作日", "{days} working days left"),
    "clock.one_day": Text("剩 1 个工作日", "1 working day left"),
    "clock.today": Text("今日到期", "due today"),
    "clock.overdue": Text("已超期", "overdue"),
    "clock.stopped": Text("计时暂停", "clock stopped"),
    "clock.lapse": Text("超期视为同意", "lapse means consent"),
    "clock.none": Text("无时限", "no deadline"),
    "queue.subject": Text("事项", "Subject"),
    "queue.party": Text("申请方", "Applicant"),
    "queue.state": Text("状态", "State"),
    "queue.clock": Text("办理时限", "Deadline"),
    "queue.keys": Text("按 j、k 上下移动，回车打开", "j and k move, Enter opens"),
    "progress.elapsed": Text("已用 {elapsed}", "{elapsed} elapsed"),
    "progress.rest": Text("预计还需 {rest}", "about {rest} left"),
    "meter.of": Text("{used} / {limit}", "{used} / {limit}"),
    "meter.near": Text("接近上限", "near the limit"),
    "meter.full": Text("已达上限", "limit reached"),
    "timeline.title": Text("办理留痕", "Record of handling"),
    "verdict.title": Text("核查结论", "Verdict"),
    "verdict.policy": Text("依据{policy} {edition} 版", "under the {policy}, edition {edition}"),
    "verdict.findings": Text("发现的问题", "Findings"),
    "verdict.no_findings": Text("全部规则已运行，没有发现问题", "All rules ran and found nothing"),
    "verdict.rules": Text("已运行的规则", "Rules that ran"),
    "verdict.counts": Text("已运行 {count} 条规则", "{count} rules ran"),
    "verdict.digest": Text("规则指纹", "policy digest"),
    "verdict.rule": Text("规则", "Rule"),
    "verdict.outcome": Text("结论", "Outcome"),
    "verdict.measured": Text("实测值", "Measured"),
    "verdict.threshold": Text("阈值", "Threshold"),
    "verdict.place": Text("位置", "Place"),
    "verdict.repair": Text("建议处理", "Suggested repair"),
    "verdict.evidence": Text("证据（已脱敏）", "Evidence (masked)"),
    "verdict.in_sheet": Text("在表中查看", "Show in the table"),
    "sheet.keys": Text("按 n、p 在标记格之间移动", "n and p move between marked cells"),
    "sheet.mark": Text("触发规则 {rules}", "triggers {rules}"),
    "pages.label": Text("分页", "Pages"),
    "pages.shown": Text("第 {first}–{last} 条，共 {total} 条", "{first}–{last} of {total}"),
    "pages.previous": Text("上一页", "Previous"),
    "pages.next": Text("下一页", "Next"),
    "snippet.copy": Text("复制", "Copy"),
    "snippet.copied": Text("已复制", "Copied"),
    "chart.data": Text("查看数据表", "Show the data table"),
    "sql.help": Text("Ctrl+Enter 运行", "Ctrl+Enter runs it"),
    "sql.run": Text("运行", "Run"),
}

GROUPS: tuple[Mapping[str, Text], ...] = (
    FRAME,
    HOME,
    CATALOG,
    TWINS,
    PREVIEW,
    READING,
    RESOURCES,
    SELF_CHECKS,
    SUBJECTS,
    DELIVERIES,
    PLANS,
    QUALITY,
    ONBOARDING,
    APPLICATIONS,
    WORKSPACES,
    QUERIES,
    METERING,
    RUNS,
    EXPORTS,
    REVIEWING,
    FILES,
    OVERSIGHT,
)


def _merged(groups: tuple[Mapping[str, Text], ...]) -> dict[str, Text]:
    catalogue: dict[str, Text] = {}
    for group in groups:
        if twice := catalogue.keys() & group.keys():
            raise ValueError(f"words defined twice: {sorted(twice)}")
        catalogue.update(group)
    return catalogue


CATALOGUE: Mapping[str, Text] = _merged(GROUPS)


def text(key: str, **values: object) -> Text:
    """The sentence of `key` with its places filled in both languages. Raises KeyError for an unknown key."""
    sentence = CATALOGUE[key]
    return sentence.fill(**values) if values else sentence


def speaker(language: str) -> Callable[..., str]:
    """The `t` of a page: `t(key, **values)` in `language`."""

    def t(key: str, **values: object) -> str:
        return text(key, **values).of(language)

    return t
