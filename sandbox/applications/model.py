"""The lives of a use application, of each department's approval, and of a grant, as tables."""

from __future__ import annotations

from policies.text import Text
from sandbox.kernel.identity import Role
from sandbox.kernel.lifecycle import Lifecycle, State, Transition

APPLICATION = Lifecycle(
    noun="application",
    title=Text("使用申请", "Use application"),
    initial="draft",
    states=(
        State("draft", Text("草稿", "draft"), Role.MERCHANT),
        State("checking", Text("运营机构核查中", "checked by the operator"), Role.OPERATOR, "active"),
        State("returned", Text("退回补正", "returned for completion"), Role.MERCHANT, "warn"),
        State("check_rejected", Text("核查未通过", "rejected by the check"), None, "bad"),
        State("approving", Text("数源部门审核中", "with the departments"), Role.DEPARTMENT, "active"),
        State("rejected", Text("审核不同意", "rejected by a department"), None, "bad"),
        State("approved", Text("审核通过，待签协议", "approved, agreement to be signed"), Role.MERCHANT, "active"),
        State("approved_by_lapse", Text("视为同意，待签协议", "deemed approved, agreement to be signed"),
              Role.MERCHANT, "active"),
        State("agreement_signed", Text("协议已签，待授权生效", "agreement signed"), Role.SYSTEM, "active"),
        State("active", Text("授权有效", "active"), None, "good"),
        State("suspended", Text("已暂停", "suspended"), Role.OPERATOR, "bad"),
        State("expired", Text("已到期", "expired")),
        State("revoked", Text("已撤销", "revoked"), None, "bad"),
        State("closed", Text("已结束", "closed")),
        State("withdrawn", Text("已撤回", "withdrawn")),
    ),
    transitions=(
        Transition("submit", ("draft", "returned"), "checking", "application:submit", Text("提交", "submit"),
                   guards=("merchant_active", "one_scenario"), clock="application_check"),
        Transition("return", ("checking",), "returned", "application:check", Text("退回补正", "return"), reason=True),
        Transition("reject_check", ("checking",), "check_rejected", "application:check",
                   Text("核查不通过", "reject"), reason=True),
        Transition("pass_check", ("checking",), "approving", "application:check", Text("核查通过", "pass the check")),
        Transition("return_by_department", ("approving",), "returned", "application:conclude",
                   Text("部门退回补正", "returned by a department")),
        Transition("reject", ("approving",), "rejected", "application:conclude", Text("审核不同意", "rejected")),
        Transition("approve", ("approving",), "approved", "application:conclude",
                   Text("审核全部同意", "approved by all"),
                   guards=("all_approved",)),
        Transition("approve_by_lapse", ("approving",), "approved_by_lapse", "application:conclude",
                   Text("审核通过（含超期视为同意）", "approved, some by lapse"), guards=("all_approved",)),
        Transition("sign", ("approved", "approved_by_lapse"), "agreement_signed", "agreement:sign",
                   Text("签署协议", "sign the agreement"), guards=("merchant_active",)),
        Transition("activate", ("agreement_signed",), "active", "grant:activate",
                   Text("授权生效", "grants take effect")),
        Transition("suspend", ("active",), "suspended", "application:suspend", Text("暂停", "suspend"), reason=True),
        Transition("resume", ("suspended",), "active", "application:suspend", Text("恢复", "resume"), reason=True),
        Transition("revoke", ("active", "suspended"), "revoked", "application:revoke",
                   Text("撤销", "revoke"), reason=True),
        Transition("expire", ("active", "suspended"), "expired", "application:lapse", Text("到期", "expire")),
        Transition("close", ("active",), "closed", "application:close", Text("结束使用", "close")),
        Transition("withdraw", ("draft", "checking", "returned", "approving", "approved", "approved_by_lapse"),
                   "withdrawn", "application:withdraw", Text("撤回", "withdraw")),
    ),
)  # fmt: skip

APPROVAL = Lifecycle(
    noun="approval",
    title=Text("部门审核", "Department's approval"),
    initial="pending",
    states=(
        State("pending", Text("待审核", "pending"), Role.DEPARTMENT, "active"),
        State("approved", Text("同意", "approved"), None, "good"),
        State("returned", Text("退回", "returned"), None, "warn"),
        State("rejected", Text("不同意", "rejected"), None, "bad"),
        State("approved_by_lapse", Text("超期视为同意", "deemed approved"), None, "good"),
        State("dropped", Text("申请已撤回或退回", "application left"), None),
    ),
    transitions=(
        Transition("approve", ("pending",), "approved", "application:approve", Text("同意", "approve")),
        Transition("return", ("pending",), "returned", "application:approve", Text("退回补正", "return"), reason=True),
        Transition("reject", ("pending",), "rejected", "application:approve", Text("不同意", "reject"), reason=True),
        Transition("lapse", ("pending",), "approved_by_lapse", "application:lapse",
                   Text("超期视为同意", "deemed consent"),
                   guards=("clock_run_out",)),
        Transition("drop", ("pending",), "dropped", "application:conclude", Text("不再办理", "no longer needed")),
    ),
)  # fmt: skip
