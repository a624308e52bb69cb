"""The life of an export request, as a table. No clock here ever turns into consent."""

from __future__ import annotations

from policies.text import Text
from sandbox.kernel.identity import Role
from sandbox.kernel.lifecycle import Lifecycle, State, Transition

UNDER_REVIEW = ("in_review", "second_review", "discussion", "third_review")
"""States in which officers are asked."""

REVIEWING = ("reviewer_independent", "reviewer_turn", "bytes_unchanged", "group_checked")
"""What has to hold whenever an officer's opinion moves a request."""

EXPORT = Lifecycle(
    noun="export",
    title=Text("出域申请", "Export request"),
    initial="draft",
    states=(
        State("draft", Text("草稿", "draft"), Role.MERCHANT),
        State("frozen", Text("已冻结，待机器核查", "frozen, awaiting machine checks"), Role.SYSTEM, "active"),
        State("checking", Text("机器核查中", "machine checks running"), Role.SYSTEM, "active"),
        State("blocked", Text("机器核查未通过", "blocked by the machine"), Role.MERCHANT, "bad"),
        State("in_review", Text("待人工复核", "in review"), Role.COMPLIANCE, "active"),
        State("second_review", Text("待第二人复核", "second review"), Role.COMPLIANCE, "active"),
        State("discussion", Text("意见不一致，讨论中", "opinions differ, under discussion"), Role.COMPLIANCE, "warn"),
        State("third_review", Text("待第三人裁定", "a third officer decides"), Role.COMPLIANCE, "warn"),
        State("returned", Text("退回修改", "returned"), Role.MERCHANT, "warn"),
        State("rejected", Text("不予出域", "rejected"), None, "bad"),
        State("approved", Text("复核通过，待放行", "approved, release pending"), Role.SYSTEM, "active"),
        State("released", Text("已放行", "released"), None, "good"),
        State("recalled", Text("已召回", "recalled"), None, "bad"),
        State("expired", Text("已到期", "expired")),
        State("withdrawn", Text("已撤回", "withdrawn")),
        State("measured", Text("检验件，已结束", "planted case, over")),
    ),
    transitions=(
        Transition("submit", ("draft",), "frozen", "export:submit", Text("冻结并提交", "freeze and submit"),
                   guards=("application_live",)),
        Transition("begin_check", ("frozen", "checking"), "checking", "export:check", Text("开始核查", "begin checks")),
        Transition("block", ("checking",), "blocked", "export:check", Text("不通过", "block")),
        Transition("to_review", ("checking",), "in_review", "export:check", Text("转人工复核", "to review"),
                   clock="export_review"),
        Transition("first_opinion", ("in_review",), "second_review", "export:review",
                   Text("提交意见（第一人）", "submit an opinion (first)"), guards=REVIEWING, clock="export_review"),
        Transition("approve", UNDER_REVIEW, "approved", "export:review", Text("复核同意", "approve"),
                   guards=(*REVIEWING, "signers_enough")),
        Transition("disagree", ("second_review",), "discussion", "export:review",
                   Text("意见不一致，转讨论", "opinions differ: discuss"), guards=REVIEWING, clock="export_review"),
        Transition("call_third", ("discussion",), "third_review", "export:review",
                   Text("请第三人裁定", "call a third officer"), guards=REVIEWING, clock="export_review", reason=True),
        Transition("return", UNDER_REVIEW, "returned", "export:review", Text("退回修改", "return"),
                   guards=("reviewer_independent",), reason=True),
        Transition("reject", UNDER_REVIEW, "rejected", "export:review", Text("不予出域", "reject"),
                   guards=(*REVIEWING, "refusers_enough"), reason=True),
        Transition("recheck", UNDER_REVIEW, "frozen", "export:check",
                   Text("同组文件已修改，重新核查", "a file of its group changed: check again")),
        Transition("revise", ("blocked", "returned"), "draft", "export:draft", Text("修改", "revise")),
        Transition("release", ("approved",), "released", "export:release", Text("放行", "release"),
                   guards=("never_a_canary", "bytes_unchanged", "verdict_in_force", "signers_enough")),
        Transition("withhold", ("approved",), "blocked", "export:release",
                   Text("放行前复查不通过", "blocked at release")),
        Transition("reopen", ("approved",), "in_review", "export:release",
                   Text("复查有新情况，重新复核", "the last check found something new: review again"),
                   clock="export_review"),
        Transition("recall", ("released", "expired"), "recalled", "export:recall", Text("召回", "recall"), reason=True),
        Transition("expire", ("released",), "expired", "export:release", Text("到期", "expire")),
        Transition("withdraw", ("draft", "frozen", "blocked", *UNDER_REVIEW, "returned"), "withdrawn",
                   "export:withdraw", Text("撤回", "withdraw")),
        Transition("measure", ("approved", "returned", "rejected"), "measured", "export:release",
                   Text("检验件结束", "end of a planted case"), guards=("a_canary",)),
    ),
)  # fmt: skip

RECALL = Lifecycle(
    noun="recall",
    title=Text("召回请求", "Recall request"),
    initial="asked",
    states=(
        State("asked", Text("待决定", "to be decided"), Role.COMPLIANCE, "warn"),
        State("granted", Text("已同意召回", "granted"), None, "bad"),
        State("refused", Text("不予召回", "refused")),
    ),
    transitions=(
        Transition("grant", ("asked",), "granted", "recall:decide", Text("同意召回", "grant"), reason=True),
        Transition("refuse", ("asked",), "refused", "recall:decide", Text("不予召回", "refuse"), reason=True),
    ),
)  # fmt: skip
"""A department asks that a release resting on its data be recalled; operator or compliance decide."""
