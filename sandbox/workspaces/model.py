"""The life of a workspace, and of data that a merchant brings into it, as tables."""

from __future__ import annotations

from policies.text import Text
from sandbox.kernel.identity import Role
from sandbox.kernel.lifecycle import Lifecycle, State, Transition

WORKSPACE = Lifecycle(
    noun="workspace",
    title=Text("开发空间", "Workspace"),
    initial="open",
    states=(
        State("open", Text("使用中", "open"), Role.MERCHANT, "good"),
        State("frozen", Text("已冻结", "frozen"), Role.OPERATOR, "bad"),
        State("closed", Text("已关闭", "closed")),
    ),
    transitions=(
        Transition("freeze", ("open",), "frozen", "workspace:freeze", Text("冻结", "freeze"), reason=True),
        Transition("unfreeze", ("frozen",), "open", "workspace:freeze", Text("解冻", "unfreeze"), reason=True),
        Transition("close", ("open", "frozen"), "closed", "workspace:close", Text("关闭", "close")),
    ),
)

UPLOAD = Lifecycle(
    noun="upload",
    title=Text("社会数据引入", "Upload of a merchant's own data"),
    initial="uploaded",
    states=(
        State("uploaded", Text("待检查", "to be checked"), Role.SYSTEM),
        State("checking", Text("检查中", "being checked"), Role.SYSTEM, "active"),
        State("needs_decision", Text("待运营机构决定", "for the operator to decide"), Role.OPERATOR, "warn"),
        State("accepted", Text("已引入", "in the workspace"), None, "good"),
        State("refused", Text("未引入", "refused"), None, "bad"),
        State("replaced", Text("已有新版本", "replaced by a new version")),
        State("removed", Text("已删除", "removed")),
    ),
    transitions=(
        Transition("check", ("uploaded",), "checking", "upload:check", Text("开始检查", "check")),
        Transition("pass_check", ("checking",), "accepted", "upload:check", Text("检查通过，引入", "pass the check")),
        Transition("ask", ("checking",), "needs_decision", "upload:check",
                   Text("转运营机构决定", "ask the operator")),
        Transition("fail_check", ("uploaded", "checking"), "refused", "upload:check",
                   Text("检查未通过", "fail the check")),
        Transition("accept", ("needs_decision",), "accepted", "upload:decide", Text("同意引入", "accept"),
                   reason=True),
        Transition("refuse", ("needs_decision",), "refused", "upload:decide", Text("不同意引入", "refuse"),
                   reason=True),
        Transition("replace", ("accepted",), "replaced", "upload:check", Text("由新版本替换", "replace")),
        Transition("end", ("needs_decision", "accepted", "replaced"), "removed", "upload:check",
                   Text("随开发空间关闭或授权结束删除", "remove with its workspace or grant")),
        Transition("remove", ("needs_decision", "accepted", "replaced"), "removed", "upload:remove",
                   Text("删除", "remove")),
    ),
)  # fmt: skip

QUOTA = Lifecycle(
    noun="quota",
    title=Text("配额追加申请", "Request for a higher quota"),
    initial="submitted",
    states=(
        State("submitted", Text("待办理", "waiting"), Role.OPERATOR, "active"),
        State("granted", Text("已追加", "granted"), None, "good"),
        State("rejected", Text("未同意", "refused"), None, "bad"),
        State("withdrawn", Text("已撤回", "withdrawn")),
        State("revoked", Text("已收回", "taken back"), None, "bad"),
    ),
    transitions=(
        Transition("grant", ("submitted",), "granted", "quota:decide", Text("同意追加", "grant")),
        Transition("reject", ("submitted",), "rejected", "quota:decide", Text("不同意", "refuse"), reason=True),
        Transition("withdraw", ("submitted",), "withdrawn", "quota:request", Text("撤回", "withdraw")),
        Transition("revoke", ("granted",), "revoked", "quota:decide", Text("收回", "take back"), reason=True),
    ),
)
