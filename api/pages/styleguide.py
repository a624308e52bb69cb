"""/styleguide: every component with fixed invented data, in demonstrations only. What it shows, pages may use."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

from fastapi import Request, Response

from api.pages import frame
from api.pages.views import (
    Choice,
    Clock,
    Crumb,
    Event,
    Mark,
    PageOf,
    QueueItem,
    Sheet,
    Tab,
    Turn,
    Viewer,
)
from api.pages.words_states import FIXED_STATES
from policies.text import Text
from policies.verdict import Finding, Outcome, RuleRun, Verdict
from sandbox.kernel.errors import NotPermitted
from sandbox.kernel.identity import Role
from sandbox.kernel.lifecycle import Offer, State

router = frame.page_router()

_DIGEST = "9f2c41d07be35a68c1d4e90277af6b1388d25e40cb91f6a3074de85b12c7f09a"
_VIEWER = Viewer("林知夏", Role.COMPLIANCE, "示范市公共数据运营有限公司", "门诊可及性研究")
_STATES = (
    State("draft", Text("草稿", "draft")),
    State("checking", Text("运营机构核查中", "checked by the operator"), Role.OPERATOR, "active"),
    State("approving", Text("数源部门审核中", "with the departments"), Role.DEPARTMENT, "active"),
    State("returned", Text("退回补正", "returned for completion"), Role.MERCHANT, "warn"),
    State("approved_by_lapse", Text("超期视为同意", "deemed approved"), None, "good"),
    State("rejected", Text("审核不同意", "rejected"), None, "bad"),
    State("released", Text("已放行", "released"), None, "good"),
    State("withdrawn", Text("已撤回", "withdrawn")),
)
_BY_NAME = {state.name: state for state in _STATES}

_QUEUE = (
    QueueItem(
        "EX-2026-0118", Text("各区门诊人次与次均费用（2025 年）", "Clinic visits and mean cost by district, 2025"),
        "/styleguide#sheet", "云帆数据科技", State("in_review", Text("复核中", "in review"), None, "active"),
        Turn("合规人员", mine=True), Clock(date(2026, 11, 24), 1),
        Text("聚合表 124 行 × 5 列，1 处阻断", "aggregate, 124 × 5, 1 blocking"),
    ),
    QueueItem(
        "AP-2026-0093", Text("普惠金融：企业社保缴费核验", "Inclusive finance: social-insurance verification"),
        "/styleguide", "惠融信用服务", _BY_NAME["approving"], Turn("市人力资源社会保障局"),
        Clock(date(2026, 11, 30), 5, lapse=True), Text("申请 3 项数据", "3 resources"),
    ),
    QueueItem(
        "AP-2026-0088", Text("公交客流与站点优化", "Bus ridership and stop planning"),
        "/styleguide", "通衢规划院", _BY_NAME["checking"], Turn("运营人员"), Clock(date(2026, 11, 20), 0, overdue=True),
    ),
    QueueItem(
        "AP-2026-0081", Text("学位供需预测", "Forecast of school places"),
        "/styleguide", "启明教育研究", _BY_NAME["returned"], Turn("数据商"), Clock(date(2026, 12, 1), 6, stopped=True),
    ),
    QueueItem(
        "EX-2026-0107", Text("空气质量月报", "Monthly air quality"),
        "/styleguide", "云帆数据科技", _BY_NAME["released"], Turn(), Clock(),
    ),
)  # fmt: skip

_TITLES = {
    "EXP-ID-01": Text("文件中不得含直接标识", "no direct identifier in the file"),
    "EXP-CELL-01": Text("每格贡献主体数不低于阈值", "contributors of a cell reach the threshold"),
    "EXP-DOM-01": Text("单一主体占比不高于阈值", "no contributor dominates a cell"),
    "EXP-DIFF-01": Text("与历史放行结果不可差分", "cannot be differenced against earlier releases"),
}
_RULES = (
    RuleRun("EXP-ID-01", Outcome.PASS, 0, 0),
    RuleRun("EXP-CELL-01", Outcome.BLOCK, 3, 10),
    RuleRun("EXP-DOM-01", Outcome.REVIEW, 0.61, 0.5),
    RuleRun("EXP-DIFF-01", Outcome.PASS, 42, 10),
)
_FINDINGS = (
    Finding(
        "EXP-CELL-01", Outcome.BLOCK, "第 3 行 人次", 3, 10,
        Text("海心区、2025-02 的格子只来自很少的人", "The cell of Haixin, 2025-02 rests on very few people"),
        Text("将“海心区”与相邻区合并，或按季度汇总", "Merge Haixin with a neighbouring district, or use quarters"),
        "44**************1X 等",
    ),
    Finding(
        "EXP-DOM-01", Outcome.REVIEW, "第 5 行 次均费用", 0.61, 0.5,
        Text("一名患者占该格费用的大部分", "One patient makes up most of this cell's cost"),
        Text("隐去该格，或改用中位数分档", "Suppress the cell, or publish a banded median"),
    ),
)  # fmt: skip
_VERDICT = Verdict.conclude("export", "2026-1", _DIGEST, _RULES, _FINDINGS)
_PASSED = Verdict.conclude("export", "2026-1", _DIGEST, [_RULES[0], _RULES[3]], [])
_SHEET = Sheet(
    ("区", "月份", "人次", "人数", "次均费用"),
    (
        ("东岸区", "2025-01", 12_840, 9_120, 186.4),
        ("东岸区", "2025-02", 10_265, 7_915, 179.9),
        ("海心区", "2025-02", 3, 3, None),
        ("北屏区", "2025-01", 8_330, 6_204, 203.5),
        ("北屏区", "2025-02", 415, 310, 1_902.7),
        ("南汀区", "2025-01", 5_120, 4_020, 165.2),
    ),
    (
        Mark(2, 2, ("EXP-CELL-01",), "block", Text("少于阈值的主体", "fewer entities than the threshold")),
        Mark(4, 4, ("EXP-DOM-01",), "review", Text("单一主体占比过高", "one entity dominates")),
    ),
)


def _at(day_of_month: int, hour: int, minute: int) -> datetime:
    return datetime(2026, 11, day_of_month, hour, minute, tzinfo=UTC)


_EVENTS = (
    Event(_at(23, 1, 41), "林知夏", Text("查看了证据表", "opened the evidence table"), Role.COMPLIANCE, digest=_DIGEST),
    Event(
        _at(20, 7, 12), "系统", Text("机器核查完成：阻断", "machine check finished: block"), Role.SYSTEM,
        Text("运行 4 条规则", "4 rules ran"), "bad", _DIGEST[8:],
    ),
    Event(
        _at(20, 7, 5), "周景行", Text("提交出域申请", "submitted the export request"), Role.MERCHANT,
        Text("用途：论文附表", "purpose: table of a paper"), "neutral", _DIGEST[20:],
    ),
    Event(
        _at(18, 2, 30), "市卫生健康委", Text("同意使用申请", "approved the use application"), Role.DEPARTMENT,
        tone="good", digest=_DIGEST[30:],
    ),
)  # fmt: skip
_OFFERS = (
    Offer("claim", Text("认领复核", "Claim review"), True, None, False),
    Offer(
        "release", Text("放行", "Release"), False,
        Text("仍有 1 条规则阻断，任何人都不能放行", "One rule still blocks; nobody can release it"), False,
    ),
    Offer("return", Text("退回补正", "Return"), True, None, True),
    Offer(
        "second", Text("签署二次复核", "Sign second review"), False,
        Text("您已签署第一次复核，须由另一人签署", "You signed the first review; another person must sign"), True,
    ),
)  # fmt: skip
_MONTHS = (("1 月", 38_120, 35_040), ("2 月", 29_870, 30_410), ("3 月", 41_300, 40_220), ("4 月", 40_010, 39_480),
           ("5 月", 43_550, 42_130), ("6 月", 39_720, 40_050))  # fmt: skip
_SQL = """-- 各区每月门诊人次
SELECT 区, month(就诊日期) AS 月份, count(*) AS 人次
FROM 门诊就诊
WHERE 费用 < 100000
GROUP BY ALL
ORDER BY 人次 DESC;"""
_SCHEMA = {
    "门诊就诊": ["身份证号", "就诊日期", "区", "科室", "费用"],
    "居民登记": ["身份证号", "姓名", "出生日期", "区"],
}


@router.get("/styleguide")
def show_components(request: Request, role: Role = Role.COMPLIANCE) -> Response:
    """All components on one page."""
    request.state.viewer = replace(_VIEWER, role=role)
    return frame.render(
        request,
        "styleguide.html",
        crumbs=[Crumb(Text("出域", "Export"), "/exports"), Crumb("EX-2026-0118")],
        simulated=True,
        states=_STATES,
        fixed_states=FIXED_STATES,
        queue=_QUEUE,
        verdict=_VERDICT,
        passed=_PASSED,
        titles=_TITLES,
        places={"EXP-CELL-01": "cell-2-2", "EXP-DOM-01": "cell-4-4"},
        sheet=_SHEET,
        events=_EVENTS,
        offers=_OFFERS,
        months=_MONTHS,
        sql=_SQL,
        schema=_SCHEMA,
        received=_at(20, 7, 5),
        page=PageOf(1, 20, 1_284, None, "?page=2"),
        tabs=_tabs(),
        themes=[Choice("health", Text("医疗健康", "health")), Choice("traffic", Text("交通出行", "transport"))],
        audiences=_audiences(),
    )


@router.get("/styleguide/login")
def show_login(request: Request) -> Response:
    """The sign-in page after a failed attempt."""
    error = NotPermitted(
        "login.failed", Text("账号或密码不正确", "Account or password is wrong"),
        fix=Text("请核对后重试；连续多次失败将暂时锁定", "Check and try again; repeated failures lock the account"),
    )  # fmt: skip
    return frame.render(request, "login.html", error=error, account="linzhixia", next="/")


@router.get("/styleguide/error")
def show_error(request: Request) -> Response:
    """The error page."""
    request.state.viewer = _VIEWER
    error = NotPermitted(
        "export.own_review",
        Text("您是该申请的提交人，不能复核自己的出域申请", "You submitted this request and cannot review it"),
        fix=Text("请由另一位合规人员认领", "Let another compliance officer claim it"),
    )
    return frame.error_page(request, error)


@router.post("/styleguide")
def accept_form(request: Request) -> Response:
    """Where the sample forms go: back to the page."""
    return show_components(request)


def _tabs() -> list[Tab]:
    return [
        Tab("queue", Text("待办", "To do"), "?tab=queue", 5),
        Tab("evidence", Text("证据", "Evidence"), "?tab=evidence", 2),
        Tab("history", Text("版本对比", "Versions"), "?tab=history"),
        Tab("trail", Text("留痕", "Record"), "?tab=trail", 1_204),
    ]


def _audiences() -> list[Choice]:
    return [
        Choice("public", Text("向社会公开", "public"), Text("按最严的阈值核查", "strictest thresholds")),
        Choice("contract", Text("合同约定的接收方", "a contract's recipient"), Text("须填写接收方", "name them")),
    ]
