"""The life of an export request, as a table. No clock here ever turns into consent."""

from __future__ import annotations

from policies.text import Text
from sandbox.kernel.identity import Role
from sandbox.kernel.lifecycle import Lifecycle, State, Transition

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
        State("returned", Text("退回修改", "returned"), Role.MERCHANT, "warn"),
        State("rejected", Text("不予出域", "rejected"), None, "bad"),
        State("approved", Text("复核通过，待放行", "approved, release pending"), Role.SYSTEM, "active"),
        State("released", Text("已放行", "released"), None, "good"),
        State("recalled", Text("已召回", "recalled"), None, "bad"),
        State("expired", Text("已到期", "expired")),
        State("withdrawn", Text("已撤回", "withdrawn")),
    ),
    transitions=(
        Transition("submit", ("draft",), "frozen", "export:submit", Text("冻结并提交", "freeze and submit"),
                   guards=("application_live",)),
        Transition("begin_check", ("frozen", "checking"), "checking", "export:check", Text("开始核查", "begin checks")),
        Transition("block", ("checking",), "blocked", "export:check", Text("不通过", "block")),
        Transition("to_review", ("checking",), "in_review", "export:check", Text("转人工复核", "to review"),
                   clock="export_review"),
        Transition("approve_first", ("in_review",), "second_review", "export:review",
                   Text("同意（第一人）", "approve (first)"),
                   guards=("reviewer_independent", "bytes_unchanged"), clock="export_review"),
        Transition("approve_second", ("second_review",), "approved", "export:review",
                   Text("同意（第二人）", "approve (second)"),
                   guards=("reviewer_independent", "reviewer_different", "bytes_unchanged")),
        Transition("return", ("in_review", "second_review"), "returned", "export:review", Text("退回修改", "return"),
                   guards=("reviewer_independent", "reviewer_different"), reason=True),
        Transition("reject", ("in_review", "second_review"), "rejected", "export:review", Text("不予出域", "reject"),
                   guards=("reviewer_independent", "reviewer_different"), reason=True),
        Transition("revise", ("blocked", "returned"), "draft", "export:draft", Text("修改", "revise")),
        Transition("release", ("approved",), "released", "export:release", Text("放行", "release"),
                   guards=("bytes_unchanged",)),
        Transition("withhold", ("approved",), "blocked", "export:release",
                   Text("放行前复查不通过", "blocked at release")),
        Transition("recall", ("released",), "recalled", "export:recall", Text("召回", "recall"), reason=True),
        Transition("expire", ("released",), "expired", "export:release", Text("到期", "expire")),
        Transition("withdraw", ("draft", "frozen", "blocked", "in_review", "second_review", "returned"), "withdrawn",
                   "export:withdraw", Text("撤回", "withdraw")),
    ),
)  # fmt: skip
